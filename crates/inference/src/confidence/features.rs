//! What a nucleus is judged by: numbers that a prediction holds anyway.
//!
//! One list, [`FEATURES`], and one pass over the pixels that fills a table with a row a nucleus. A
//! number that a network does not say (it has no such output) is NaN in all rows.

use std::collections::BTreeMap;

use stainfree_image::Image;
use stainfree_network::OutputKind;
use stainfree_objects::{areas, expand_labels, solidities};

/// How many features there are.
pub(super) const COUNT: usize = 16;

/// Name and meaning of every feature, in the order of a row.
pub const FEATURES: [(&str, &str); COUNT] = [
    ("inside", "logit of the mean probability of its pixels"),
    ("rim", "mean probability of its outermost pixels"),
    ("outside", "mean probability of the background around it"),
    ("peak", "largest probability"),
    ("spread", "standard deviation of the probability inside"),
    ("seed", "largest predicted distance"),
    (
        "residual",
        "mean difference of the predicted distance from that of its outline",
    ),
    (
        "crowding",
        "mean nearness of a second nucleus that the network says",
    ),
    (
        "saddle",
        "height of the saddle to a touching nucleus by that of its top; 0 if none touches",
    ),
    (
        "touching",
        "share of its outline that touches another nucleus",
    ),
    ("area", "logarithm of its area by the usual one"),
    ("area_off", "square of that"),
    ("solidity", "area by that of its convex hull"),
    (
        "elongation",
        "logarithm of its longest by its shortest axis",
    ),
    ("border", "1 where it touches the rim of the image, else 0"),
    (
        "ragged",
        "logarithm of its outline by that of a circle of its area",
    ),
];

/// The place of `area` in a row.
pub(super) const AREA: usize = 10;

/// How far around a nucleus the background is looked at, um; in pixels where sizes do not count.
const AROUND_UM: f64 = 1.0;
const AROUND_PX: f64 = 2.0;

/// Planes that features are taken from, all of one size.
#[derive(Clone, Copy, Debug)]
pub struct Maps<'a> {
    /// Probability of a nucleus, of whatever kind.
    pub probability: &'a Image<f32>,
    /// The output `distance`.
    pub distance: Option<&'a Image<f32>>,
    /// The output `neighbour`.
    pub neighbour: Option<&'a Image<f32>>,
}

/// The features of every nucleus of an image.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FeatureTable {
    /// Labels, ascending.
    pub labels: Vec<u32>,
    /// Centroids, down and to the right, px.
    pub centroids: Vec<[f64; 2]>,
    /// Areas, px.
    pub pixels: Vec<usize>,
    /// A row a label; `area` is still the logarithm of the area itself, in um2, or in px where
    /// sizes do not count.
    pub rows: Vec<[f64; COUNT]>,
}

impl FeatureTable {
    /// The features of the nuclei in `labels` (0 is background), from `maps` of the same size.
    /// `pixel_um` is the side of a pixel; `None` where sizes do not count.
    ///
    /// # Panics
    /// If the sizes differ.
    pub fn new(labels: &Image<u32>, maps: &Maps, pixel_um: Option<f64>) -> Self {
        let sums = Sums::of(labels, maps, pixel_um);
        let solidity = solidities(labels);
        let mut table = Self::default();
        for (&label, sum) in sums.labels.iter().zip(&sums.objects) {
            let solidity = solidity.get(&label).copied().unwrap_or(f64::NAN);
            table.labels.push(label);
            table.centroids.push([sum.y / sum.n, sum.x / sum.n]);
            table.pixels.push(sum.n as usize);
            table.rows.push(sum.row(maps, solidity, pixel_um));
        }
        table
    }

    /// Adds the nuclei of another table.
    pub(super) fn append(&mut self, other: Self) {
        self.labels.extend(other.labels);
        self.centroids.extend(other.centroids);
        self.pixels.extend(other.pixels);
        self.rows.extend(other.rows);
    }

    /// Areas, um2, or px where sizes do not count.
    pub fn areas(&self) -> impl Iterator<Item = f64> + '_ {
        self.rows.iter().map(|row| row[AREA].exp())
    }
}

/// How far around a nucleus the background is looked at, px.
pub(super) fn around(pixel_um: Option<f64>) -> f64 {
    match pixel_um {
        Some(um) => (AROUND_UM / um).clamp(1.0, 8.0),
        None => AROUND_PX,
    }
}

/// A row with its area by `usual`, the usual one.
pub(super) fn beside(row: &[f64; COUNT], usual: f64) -> [f64; COUNT] {
    let mut row = *row;
    row[AREA] -= usual.ln();
    row[AREA + 1] = row[AREA] * row[AREA];
    row
}

/// What is summed over the pixels of a nucleus.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    n: f64,
    y: f64,
    x: f64,
    yy: f64,
    xx: f64,
    yx: f64,
    p: f64,
    pp: f64,
    peak: f64,
    rim: [f64; 2],
    around: [f64; 2],
    seed: f64,
    residual: [f64; 2],
    crowding: f64,
    saddle: f64,
    edges: f64,
    touching: f64,
    border: bool,
}

impl Sum {
    fn row(&self, maps: &Maps, solidity: f64, pixel_um: Option<f64>) -> [f64; COUNT] {
        let n = self.n;
        let mean = self.p / n;
        let share = |[sum, n]: [f64; 2], none: f64| if n > 0.0 { sum / n } else { none };
        let bounded = mean.clamp(0.01, 0.99);
        let has = |map: Option<&Image<f32>>, value: f64| map.map_or(f64::NAN, |_| value);
        let top = match maps.distance {
            Some(_) => self.seed,
            None => self.peak,
        };
        let um = pixel_um.unwrap_or(1.0);
        let area = n * um * um;
        // Edges of pixels overstate a slanted line: on average by 4 / pi.
        let outline = (self.edges * std::f64::consts::FRAC_PI_4).max(1.0);
        [
            (bounded / (1.0 - bounded)).ln(),
            share(self.rim, mean),
            share(self.around, 0.0),
            self.peak,
            (self.pp / n - mean * mean).max(0.0).sqrt(),
            has(maps.distance, self.seed),
            has(maps.distance, share(self.residual, 0.0)),
            has(maps.neighbour, self.crowding / n),
            if top > 0.0 {
                (self.saddle / top).clamp(0.0, 1.0)
            } else {
                0.0
            },
            if self.edges > 0.0 {
                self.touching / self.edges
            } else {
                0.0
            },
            area.ln(),
            0.0,
            solidity,
            self.elongation(),
            f64::from(u8::from(self.border)),
            (outline / (4.0 * std::f64::consts::PI * n).sqrt()).ln(),
        ]
    }

    /// Logarithm of the ratio of the axes of the ellipse with the same second moments; a twelfth is
    /// that of a pixel itself.
    fn elongation(&self) -> f64 {
        let (y, x) = (self.y / self.n, self.x / self.n);
        let yy = self.yy / self.n - y * y + 1.0 / 12.0;
        let xx = self.xx / self.n - x * x + 1.0 / 12.0;
        let yx = self.yx / self.n - y * x;
        let (middle, half) = ((yy + xx) / 2.0, ((yy - xx) / 2.0).hypot(yx));
        let least = (middle - half).max(1.0 / 12.0);
        ((middle + half) / least).ln() / 2.0
    }
}

/// The sums of all nuclei.
struct Sums {
    labels: Vec<u32>,
    objects: Vec<Sum>,
}

impl Sums {
    fn of(labels: &Image<u32>, maps: &Maps, pixel_um: Option<f64>) -> Self {
        assert_eq!(
            labels.size(),
            maps.probability.size(),
            "labels and probability"
        );
        let numbered = areas(labels).into_keys().enumerate();
        let places: BTreeMap<u32, usize> = numbered.map(|(place, label)| (label, place)).collect();
        let mut sums = Self {
            labels: places.keys().copied().collect(),
            objects: vec![Sum::default(); places.len()],
        };
        let grown = expand_labels(labels, around(pixel_um));
        let own = maps.distance.map(|_| distance_of(labels));
        let mut last = (0, 0);
        // Labels come in runs: the place of the last one is nearly always asked for again.
        let mut place = |label: u32| {
            if last.0 != label {
                last = (label, places.get(&label).copied().unwrap_or(0));
            }
            last.1
        };
        let pixels = maps.probability.data();
        for y in 0..labels.height() {
            for x in 0..labels.width() {
                let i = y * labels.width() + x;
                let label = labels.data()[i];
                let p = finite(pixels[i]);
                if label > 0 {
                    let sum = &mut sums.objects[place(label)];
                    sum.add([y, x], p);
                    sum.add_outputs(maps, own.as_ref(), i);
                    sum.add_outline(labels, maps, [y, x]);
                } else if grown.data()[i] > 0 {
                    let sum = &mut sums.objects[place(grown.data()[i])];
                    sum.around[0] += p;
                    sum.around[1] += 1.0;
                }
            }
        }
        sums
    }
}

impl Sum {
    fn add(&mut self, [y, x]: [usize; 2], p: f64) {
        let (y, x) = (y as f64, x as f64);
        self.n += 1.0;
        self.y += y;
        self.x += x;
        self.yy += y * y;
        self.xx += x * x;
        self.yx += y * x;
        self.p += p;
        self.pp += p * p;
        self.peak = self.peak.max(p);
    }

    /// What the network says beside the classes at pixel `i`; `own` is the distance in the outline.
    fn add_outputs(&mut self, maps: &Maps, own: Option<&Image<f32>>, i: usize) {
        if let (Some(distance), Some(own)) = (maps.distance, own) {
            let said = finite(distance.data()[i]);
            self.seed = self.seed.max(said);
            let own = own.data()[i];
            if own.is_finite() {
                self.residual[0] += (said - f64::from(own)).abs();
                self.residual[1] += 1.0;
            }
        }
        if let Some(neighbour) = maps.neighbour {
            self.crowding += finite(neighbour.data()[i]);
        }
    }

    /// The edges of a pixel that are the outline's, and the saddle where another nucleus touches.
    fn add_outline(&mut self, labels: &Image<u32>, maps: &Maps, [y, x]: [usize; 2]) {
        let (height, width) = labels.size();
        let surface = maps.distance.unwrap_or(maps.probability).data();
        let here = y * width + x;
        let label = labels.data()[here];
        let beside = [
            (y > 0).then(|| here - width),
            (x > 0).then(|| here - 1),
            (x + 1 < width).then(|| here + 1),
            (y + 1 < height).then(|| here + width),
        ];
        let mut rim = false;
        for there in beside {
            let Some(there) = there else {
                self.border = true;
                continue;
            };
            let other = labels.data()[there];
            if other == label {
                continue;
            }
            rim = true;
            self.edges += 1.0;
            if other > 0 {
                self.touching += 1.0;
                let pass = finite(surface[here]).min(finite(surface[there]));
                self.saddle = self.saddle.max(pass);
            }
        }
        if rim {
            self.rim[0] += finite(maps.probability.data()[here]);
            self.rim[1] += 1.0;
        }
    }
}

/// The distance that the network would learn from these labels; NaN where none is known.
fn distance_of(labels: &Image<u32>) -> Image<f32> {
    let kind = OutputKind::named(crate::decisions::DISTANCES[0]);
    let made = kind
        .ok()
        .and_then(|kind| kind.truth(labels).into_iter().next());
    made.unwrap_or_else(|| labels.map(|_| f32::NAN))
}

/// Nothing is said where nothing was seen.
fn finite(value: f32) -> f64 {
    if value.is_finite() {
        f64::from(value)
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(name: &str) -> usize {
        FEATURES.iter().position(|(n, _)| *n == name).unwrap()
    }

    /// Two squares of 10 px that touch along an edge, a third alone at the rim.
    fn squares() -> Image<u32> {
        Image::from_fn(30, 40, |y, x| match (y, x) {
            (5..15, 5..15) => 4,
            (5..15, 15..25) => 7,
            (20..30, 28..38) => 9,
            _ => 0,
        })
    }

    #[test]
    fn features_are_what_their_names_say() {
        let labels = squares();
        let probability = labels.map(|&label| match label {
            0 => 0.25,
            9 => 0.5,
            _ => 0.75f32,
        });
        let mut distance = distance_of(&labels);
        // The network sees the first two as one: no valley between them.
        for y in 5..15 {
            *distance.get_mut(y, 14) = 0.9;
            *distance.get_mut(y, 15) = 0.8;
        }
        let maps = Maps {
            probability: &probability,
            distance: Some(&distance),
            neighbour: None,
        };
        let table = FeatureTable::new(&labels, &maps, Some(0.5));
        assert_eq!(table.labels, [4, 7, 9]);
        assert_eq!(table.centroids[0], [9.5, 9.5]);
        let value = |row: usize, name: &str| table.rows[row][at(name)];
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-6, "{a} {b}");
        near(value(0, "inside"), 3f64.ln());
        near(value(2, "inside"), 0.0);
        near(value(0, "outside"), 0.25);
        near(value(0, "rim"), 0.75);
        near(value(0, "spread"), 0.0);
        near(value(0, "seed"), 1.0);
        near(value(0, "saddle"), 0.8);
        near(value(2, "saddle"), 0.0);
        // 10 of 40 edges; a square at the rim has 30 that are its outline's.
        near(value(0, "touching"), 0.25);
        near(value(2, "touching"), 0.0);
        near(value(0, "area"), 25f64.ln());
        near(value(0, "solidity"), 1.0);
        near(value(0, "elongation"), 0.0);
        assert_eq!([0, 2].map(|row| value(row, "border")), [0.0, 1.0]);
        assert!(value(0, "residual") > 0.05 && value(2, "residual") == 0.0);
        assert!(value(0, "crowding").is_nan());
        near(beside(&table.rows[0], 50.0)[at("area")], 0.5f64.ln());
        near(
            beside(&table.rows[0], 50.0)[at("area_off")],
            0.5f64.ln().powi(2),
        );
        // Twice as long as wide.
        let long = Image::from_fn(24, 44, |y, x| {
            u32::from((2..22).contains(&y) && (2..42).contains(&x))
        });
        let flat = long.map(|_| 0.5);
        let maps = Maps {
            probability: &flat,
            distance: None,
            neighbour: None,
        };
        let table = FeatureTable::new(&long, &maps, None);
        near(table.rows[0][at("elongation")], 2f64.ln());
        near(table.rows[0][at("area")], 800f64.ln());
        assert!(table.rows[0][at("seed")].is_nan());
    }

    #[test]
    fn an_image_without_nuclei_has_an_empty_table_and_holes_in_what_is_known_count_as_nothing() {
        let labels = Image::filled(4, 4, 0u32);
        let holes = Image::filled(4, 4, f32::NAN);
        let maps = Maps {
            probability: &holes,
            distance: Some(&holes),
            neighbour: None,
        };
        assert_eq!(
            FeatureTable::new(&labels, &maps, None),
            FeatureTable::default()
        );
        let one = Image::filled(4, 4, 1u32);
        let table = FeatureTable::new(&one, &maps, None);
        assert!(table.rows[0].iter().take(7).all(|value| value.is_finite()));
    }
}
