//! Too many pieces, then merged again unless the evidence speaks for two nuclei.
//!
//! 1. Pieces: a watershed of distance and intensity with shallow limits, then cuts between concave
//!    points of its pieces.
//! 2. The evidence that two neighbouring pieces are two nuclei, in log odds: the valley of
//!    intensity along their border, their difference in brightness, the neck, what the hull of the
//!    two covers beside them, whether the outline is dented at both ends of the border, their size
//!    together and the size of the smaller one against the typical piece of the field.
//! 3. How often a border of this field is one between two nuclei, by the evidence of all its
//!    borders: lobed nuclei far apart give many weak ones, a dense layer many strong ones.
//! 4. The pair that speaks most for one nucleus is merged, its neighbours are looked at again,
//!    until every border left speaks for two.
//!
//! Nothing is left to one threshold: two nuclei without a neck may have a valley, two without a
//! valley a neck, and a dark nucleolus in a convex outline is neither. A bent nucleus is dented on
//! its inner side alone, two that touch on both.

use super::concavity::Concavity;
use super::distance::flood;
use super::hull::{Extent, Hull};
use super::intensity::joint_surface;
use super::{Cut, Method, Part, Parts, not_negative};
use crate::bits::Run;
use crate::error::ObjectsError;
use crate::quantile::extremes;
use crate::runs::runs_of_values;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use stainfree_image::Image;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

/// Choices of the merging.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Evidence {
    /// Standard deviation of the Gaussian on the distance transform, in um; the stain gets a little
    /// less.
    pub smoothing_um: f64,
    /// How much the evidence for two nuclei must outweigh that for one, in log odds: more cuts
    /// less.
    pub caution: f64,
}

impl Default for Evidence {
    fn default() -> Self {
        Self {
            smoothing_um: 0.6,
            caution: 1.0,
        }
    }
}

/// The stain is smoothed by this share of the smoothing: its valleys are narrower than necks.
const STAIN_SMOOTHING: f64 = 0.8;

/// Depth of a valley of the joint surface that parts two pieces: 3 %, so that no border is missing.
const PIECE_DEPTH: f32 = 0.03;

/// Weight of the intensity in the surface of the pieces.
const PIECE_INTENSITY: f32 = 0.5;

/// Cuts of the pieces: more than the method on its own would make.
const PIECE_CUTS: Concavity = Concavity {
    smoothing_um: 0.4,
    arm_um: 1.5,
    turn_degrees: 20.0,
    across: 0.7,
    across_single: 0.45,
};

/// Log odds for two nuclei, chosen on every second field of bbbc038-u2os and of aisegcell near the
/// optimum of a logistic regression and rounded (docs/splitting.md).
mod weight {
    /// Per unit of `ln(mean along the border / brightness of the dimmer piece)`.
    pub(super) const VALLEY: f64 = -5.0;
    /// Per unit of `|ln(brightness / brightness)|`.
    pub(super) const CONTRAST: f64 = 4.0;
    /// Both of these together where there is no stain: what they give between one nucleus and two.
    pub(super) const NO_STAIN: f64 = 1.0;
    /// Per unit of `ln(half-width at the border / half-width of the narrower piece)`.
    pub(super) const NECK: f64 = -1.5;
    /// Per unit of solidity that the two together have more than each alone.
    pub(super) const SOLIDITY_GAIN: f64 = -6.0;
    /// Per unit of solidity of the two together above [`CONVEX`].
    pub(super) const CONVEXITY: f64 = -60.0;
    /// A nucleus with a nearly convex outline.
    pub(super) const CONVEX: f64 = 0.95;
    /// Per unit of `depth of the shallower dent at the border's ends / root of the typical area`,
    /// beyond [`DENT`].
    pub(super) const DENTED: f64 = 7.0;
    /// A dent that speaks for neither.
    pub(super) const DENT: f64 = 0.13;
    /// Deeper dents than this say nothing more.
    pub(super) const DEEPEST: f64 = 0.3;
    /// Per unit of `ln(area of the two / area of a typical nucleus)`.
    pub(super) const SIZE: f64 = 2.5;
    /// The two together count as two typical nuclei at most (ln 2): giants are no clusters.
    pub(super) const LARGEST: f64 = std::f64::consts::LN_2;
    /// Per unit of `ln(area of the smaller / area of a typical nucleus)`.
    pub(super) const SMALLER: f64 = 0.5;
    /// The smaller one counts between a fifth of a typical nucleus (ln 0.22) and one.
    pub(super) const SMALLEST: f64 = -1.5;
}

/// Before anything is seen of a field, a border is as likely one between two nuclei as not, which
/// weighs as much as this many of its borders.
const PRIOR_BORDERS: f64 = 1.0;
/// How far the field may raise the log odds: few are so dense that cuts should be made on less
/// evidence.
const MOST_RAISED: f64 = 0.75;
/// Rounds of the prior; it moves by less than 1e-6 after them.
const PRIOR_ROUNDS: usize = 100;

/// Equal-area disk of a nucleus over the disk of its half-width: nuclei are half again as long as
/// wide.
const ELONGATION: f64 = 1.5;

/// Rank of the pixel that stands for the brightness of a piece: the median, which noise does not
/// move.
const BRIGHTNESS_PERCENTILE: f64 = 0.5;

impl Method for Evidence {
    fn check(&self) -> Result<(), ObjectsError> {
        not_negative(&[("splitting.smoothing_um", self.smoothing_um)])?;
        if !self.caution.is_finite() {
            return Err(ObjectsError::Setting {
                setting: "splitting.caution",
                value: self.caution,
                range: "a number",
            });
        }
        Ok(())
    }

    fn split_part(&self, part: &Part) -> Option<Image<u32>> {
        let mut found = [Found::new(part, self)];
        let (typical, caution) = self.weigh(&mut found);
        let [found] = found;
        Some(found.pieces?.merged(typical, caution))
    }

    /// The typical area and the prior are those of the whole field, so all pieces are known before
    /// any is merged.
    fn split_all(&self, parts: &Parts) -> Vec<Option<Cut>> {
        let found = |i| Found::new(&parts.get(i), self);
        let mut found: Vec<Found> = (0..parts.len()).into_par_iter().map(found).collect();
        let (typical, caution) = self.weigh(&mut found);
        let merge =
            |(i, found): (usize, Found)| parts.cut(i, &found.pieces?.merged(typical, caution));
        found.into_par_iter().enumerate().map(merge).collect()
    }
}

impl Evidence {
    /// Weighs every border; returns the typical area in pixels and the caution under the field's
    /// own prior.
    fn weigh(&self, all: &mut [Found]) -> (f64, f64) {
        let typical = typical_area(all);
        let pieces = all.par_iter_mut().filter_map(|found| found.pieces.as_mut());
        pieces.for_each(|pieces| pieces.weigh(typical));
        (typical, self.caution - raised(all, self.caution))
    }
}

/// By how much the log odds of every border rise from how many borders of the field are between two
/// nuclei.
///
/// The share is the one under which the mean probability of the borders is that share.
///
/// # Source
/// Saerens, Latinne & Decaestecker (2002), "Adjusting the outputs of a classifier to new a priori
/// probabilities: a simple procedure".
fn raised(all: &[Found], caution: f64) -> f64 {
    let pieces = all.iter().filter_map(|found| found.pieces.as_ref());
    let borders = pieces.flat_map(|pieces| pieces.borders.values());
    let odds: Vec<f64> = borders.map(|border| border.for_two - caution).collect();
    let mut raised = 0.0f64;
    for _ in 0..PRIOR_ROUNDS {
        let two: f64 = odds.iter().map(|o| 1.0 / (1.0 + (-o - raised).exp())).sum();
        let share = (two + 0.5 * PRIOR_BORDERS) / (odds.len() as f64 + PRIOR_BORDERS);
        raised = (share / (1.0 - share)).ln();
    }
    raised.min(MOST_RAISED)
}

/// Area of a typical nucleus in pixels, from the half-widths of pieces: the median pixel's.
///
/// Widths, because a piece may be half a nucleus, and half a nucleus is as wide as a whole one.
fn typical_area(all: &[Found]) -> f64 {
    let mut widths: Vec<(f32, usize)> = all.iter().flat_map(|f| &f.widths).copied().collect();
    widths.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let half = widths.iter().map(|w| w.1).sum::<usize>() / 2;
    let mut seen = 0;
    let median = widths.iter().find(|w| {
        seen += w.1;
        seen > half
    });
    let half_width = median.map_or(1.0, |w| f64::from(w.0));
    std::f64::consts::PI * half_width * half_width * ELONGATION
}

/// A piece, or several that were merged.
#[derive(Clone, Debug, Default)]
struct Piece {
    /// Number of pixels.
    area: usize,
    extent: Extent,
    /// Smoothed stain of the pixels, in no order; empty without a stain.
    values: Vec<f32>,
    /// Largest value of the smoothed distance transform.
    half_width: f32,
    /// See [`BRIGHTNESS_PERCENTILE`]; 0 without a stain.
    brightness: f64,
    hull: f64,
}

impl Piece {
    /// Adds what is known of a run of row `y`.
    fn add(&mut self, y: usize, run: Run, distance: &Image<f32>, stain: Option<&Image<f32>>) {
        self.extent.add(y, run);
        let widths = &distance.row(y)[run.columns()];
        self.half_width = widths.iter().fold(self.half_width, |a, &b| a.max(b));
        if let Some(stain) = stain {
            self.values.extend_from_slice(&stain.row(y)[run.columns()]);
        }
    }
}

/// Where two pieces meet.
#[derive(Clone, Debug, Default)]
struct Border {
    /// Middles of the pixel edges between them, `(y, x)` doubled.
    edges: Vec<(i64, i64)>,
    /// Sum over the edges of the mean intensity of both sides.
    intensity: f64,
    /// Largest half-width on it.
    half_width: f32,
    /// Log odds that the pieces on both sides are two nuclei.
    for_two: f64,
}

impl Border {
    fn add(&mut self, edge: (i64, i64), intensity: f32, half_width: f32) {
        self.edges.push(edge);
        self.intensity += f64::from(intensity);
        self.half_width = self.half_width.max(half_width);
    }

    fn join(&mut self, other: Border) {
        self.edges.extend(other.edges);
        self.intensity += other.intensity;
        self.half_width = self.half_width.max(other.half_width);
    }

    /// The two edges farthest apart.
    fn ends(&self) -> [(i64, i64); 2] {
        let apart = |a: (i64, i64), b: (i64, i64)| (a.0 - b.0).pow(2) + (a.1 - b.1).pow(2);
        let mut ends = [self.edges[0]; 2];
        for (i, &a) in self.edges.iter().enumerate() {
            for &b in &self.edges[i + 1..] {
                if apart(a, b) > apart(ends[0], ends[1]) {
                    ends = [a, b];
                }
            }
        }
        ends
    }
}

/// The pieces of one part, numbered from 1 in `runs`, from 0 in `list`.
///
/// Those of all parts wait for the field's prior, so they are kept small.
struct Pieces {
    /// Size of the part's frame.
    size: (usize, usize),
    runs: Cut,
    list: Vec<Piece>,
    borders: BTreeMap<(usize, usize), Border>,
    has_stain: bool,
}

/// What was found in a part.
struct Found {
    /// Half-width and area of every piece.
    widths: Vec<(f32, usize)>,
    /// `None` if the part is one piece.
    pieces: Option<Pieces>,
}

impl Found {
    fn new(part: &Part, settings: &Evidence) -> Self {
        let smoothing = part.px(settings.smoothing_um);
        let area = part.mask.data().iter().filter(|&&m| m).count();
        let Some(distance) = part.smooth_distance(smoothing) else {
            return Self {
                widths: vec![(1.0, area)],
                pieces: None,
            };
        };
        let stain = part.smooth_stain(smoothing * STAIN_SMOOTHING);
        let surface = joint_surface(&part.mask, &distance, stain.as_ref(), PIECE_INTENSITY);
        let ratio = (-PIECE_DEPTH).exp();
        let flooded = flood(&surface, |v| v * ratio, part);
        let um_per_pixel = part.seen.um_per_pixel;
        let cut = match &flooded {
            Some(pieces) => PIECE_CUTS.cut_pieces(pieces, um_per_pixel),
            None => PIECE_CUTS.cut_pieces(&part.whole(), um_per_pixel),
        };
        let Some(image) = cut.or(flooded) else {
            let widest = extremes(distance.data()).1;
            return Self {
                widths: vec![(widest, area)],
                pieces: None,
            };
        };
        let pieces = Pieces::describe(&image, &distance, stain.as_ref());
        let widths = pieces.list.iter().map(|p| (p.half_width, p.area));
        Self {
            widths: widths.collect(),
            pieces: Some(pieces),
        }
    }
}

impl Pieces {
    fn describe(image: &Image<u32>, distance: &Image<f32>, stain: Option<&Image<f32>>) -> Self {
        let count = image.data().iter().copied().max().unwrap_or(0) as usize;
        let (height, width) = image.size();
        let mut list = vec![Piece::default(); count];
        let mut borders: BTreeMap<(usize, usize), Border> = BTreeMap::new();
        let runs: Cut = runs_of(image);
        for &(_, run, l) in &runs {
            list[l as usize - 1].area += run.len();
        }
        if stain.is_some() {
            // Values wait for the whole field: not a byte more than they need.
            let reserve = |piece: &mut Piece| piece.values.reserve_exact(piece.area);
            list.iter_mut().for_each(reserve);
        }
        let labels = image.data();
        let mut edge = |i: usize, j: usize, middle: (i64, i64)| {
            let (l, other) = (labels[i], labels[j]);
            if other == 0 || other == l {
                return;
            }
            let (a, b) = (l.min(other) as usize - 1, l.max(other) as usize - 1);
            let intensity = stain.map_or(0.0, |s| 0.5 * (s.data()[i] + s.data()[j]));
            let half_width = distance.data()[i].min(distance.data()[j]);
            let border = borders.entry((a, b)).or_default();
            border.add(middle, intensity, half_width);
        };
        for &(y, run, l) in &runs {
            let y = y as usize;
            list[l as usize - 1].add(y, run, distance, stain);
            for x in run.columns() {
                let (i, dy, dx) = (y * width + x, 2 * y as i64, 2 * x as i64);
                if x + 1 == run.to as usize && x + 1 < width {
                    edge(i, i + 1, (dy, dx + 1));
                }
                if y + 1 < height {
                    edge(i, i + width, (dy + 1, dx));
                }
            }
        }
        let mut pieces = Self {
            size: image.size(),
            runs,
            list,
            borders,
            has_stain: stain.is_some(),
        };
        for i in 0..pieces.list.len() {
            pieces.measure(i);
        }
        pieces
    }

    /// What follows from the pixels of a piece.
    fn measure(&mut self, i: usize) {
        let piece = &mut self.list[i];
        if piece.area == 0 {
            return;
        }
        piece.hull = Hull::of(&piece.extent).area();
        let k = (piece.values.len() as f64 * BRIGHTNESS_PERCENTILE) as usize;
        if k < piece.values.len() {
            let ranked = piece.values.select_nth_unstable_by(k, f32::total_cmp);
            piece.brightness = f64::from(*ranked.1);
        }
    }

    /// Weighs the evidence at every border.
    fn weigh(&mut self, typical_area: f64) {
        let pairs: Vec<(usize, usize)> = self.borders.keys().copied().collect();
        for (a, b) in pairs {
            self.weigh_pair(a, b, typical_area);
        }
    }

    fn weigh_pair(&mut self, a: usize, b: usize, typical_area: f64) {
        let for_two = self.evidence(a, b, typical_area);
        if let Some(border) = self.borders.get_mut(&(a, b)) {
            border.for_two = for_two;
        }
    }

    /// Log odds that two neighbours are two nuclei.
    fn evidence(&self, a: usize, b: usize, typical_area: f64) -> f64 {
        let (p, q, border) = (&self.list[a], &self.list[b], &self.borders[&(a, b)]);
        let area = (p.area + q.area) as f64;
        let smaller = p.area.min(q.area) as f64;
        let mut both = p.extent.clone();
        both.unite(&q.extent);
        let hull = Hull::of(&both);
        let solidity = area / hull.area();
        let depths = border.ends().map(|end| hull.depth(end));
        let dent = depths[0].min(depths[1]) / typical_area.sqrt();
        let apart = area / (p.hull + q.hull);
        let neck = f64::from(border.half_width / p.half_width.min(q.half_width));
        let intensity = if self.has_stain {
            // Brightness is positive above the threshold; a mask drawn by hand may lie on anything.
            let positive = |v: f64| v.max(f64::from(f32::MIN_POSITIVE));
            let (bright, dim) = (
                positive(p.brightness.max(q.brightness)),
                positive(p.brightness.min(q.brightness)),
            );
            let valley = (positive(border.intensity / border.edges.len() as f64) / dim).ln();
            weight::VALLEY * valley + weight::CONTRAST * (bright / dim).ln()
        } else {
            weight::NO_STAIN
        };
        intensity
            + weight::NECK * neck.ln()
            + weight::SOLIDITY_GAIN * (solidity - apart)
            + weight::CONVEXITY * (solidity - weight::CONVEX).max(0.0)
            + weight::DENTED * (dent.min(weight::DEEPEST) - weight::DENT)
            + weight::SIZE * (area / typical_area).ln().min(weight::LARGEST)
            + weight::SMALLER * (smaller / typical_area).ln().clamp(weight::SMALLEST, 0.0)
    }

    /// Merges until every border left, all of them weighed, speaks for two nuclei; gives the
    /// labels.
    fn merged(mut self, typical_area: f64, caution: f64) -> Image<u32> {
        let n = self.list.len();
        let mut near: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); n];
        for &(a, b) in self.borders.keys() {
            near[a].insert(b);
            near[b].insert(a);
        }
        // A queued pair counts only while neither piece has changed since.
        let mut version = vec![0u32; n];
        let mut into: Vec<usize> = (0..n).collect();
        let mut queue = BinaryHeap::new();
        for &(a, b) in self.borders.keys() {
            queue.extend(self.candidate(a, b, caution, &version));
        }
        while let Some(Reverse((_, a, b, versions))) = queue.pop() {
            if versions != [version[a], version[b]] {
                continue;
            }
            self.merge(a, b);
            into[b] = a;
            version[a] += 1;
            version[b] += 1;
            near[a].remove(&b);
            for c in std::mem::take(&mut near[b]) {
                if c == a {
                    continue;
                }
                near[c].remove(&b);
                near[c].insert(a);
                near[a].insert(c);
                if let Some(border) = self.borders.remove(&(b.min(c), b.max(c))) {
                    self.borders
                        .entry((a.min(c), a.max(c)))
                        .or_default()
                        .join(border);
                }
            }
            for &c in &near[a] {
                let (first, second) = (a.min(c), a.max(c));
                self.weigh_pair(first, second, typical_area);
                queue.extend(self.candidate(first, second, caution, &version));
            }
        }
        // A piece is always merged into one that still stands or that is merged later.
        let root = |l: u32| {
            let mut i = l as usize - 1;
            while into[i] != i {
                i = into[i];
            }
            i as u32 + 1
        };
        let mut image = Image::filled(self.size.0, self.size.1, 0);
        for &(y, run, l) in &self.runs {
            image.row_mut(y as usize)[run.columns()].fill(root(l));
        }
        image
    }

    /// The pair as an entry of the queue, if it speaks for one nucleus.
    fn candidate(&self, a: usize, b: usize, caution: f64, version: &[u32]) -> Option<Candidate> {
        let for_two = self.borders[&(a, b)].for_two - caution;
        (for_two < 0.0).then(|| Reverse((order(for_two), a, b, [version[a], version[b]])))
    }

    fn merge(&mut self, a: usize, b: usize) {
        self.borders.remove(&(a, b));
        let other = std::mem::take(&mut self.list[b]);
        let piece = &mut self.list[a];
        piece.values.extend_from_slice(&other.values);
        piece.area += other.area;
        piece.extent.unite(&other.extent);
        piece.half_width = piece.half_width.max(other.half_width);
        self.measure(a);
    }
}

/// The runs of all labels, in raster order.
fn runs_of(image: &Image<u32>) -> Cut {
    let in_row = |y: usize| {
        let labelled = runs_of_values(image.row(y)).filter(|&(_, l)| l != 0);
        labelled.map(move |(run, l)| (y as u32, run, l))
    };
    (0..image.height()).flat_map(in_row).collect()
}

/// A pair for one nucleus: the evidence as an ordered number, both pieces, and their versions when
/// it was weighed.
type Candidate = Reverse<(u64, usize, usize, [u32; 2])>;

/// Maps f64 to u64 so that the order of numbers is kept.
fn order(v: f64) -> u64 {
    let bits = v.to_bits();
    if bits >> 63 == 1 {
        !bits
    } else {
        bits | 1 << 63
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_of_weak_borders_asks_for_more_and_one_of_strong_borders_for_little_less() {
        let field = |odds: &[f64]| {
            let image = Image::filled(1, 1, 0);
            let mut pieces = Pieces::describe(&image, &Image::filled(1, 1, 0.0), None);
            for (i, &for_two) in odds.iter().enumerate() {
                let border = Border {
                    for_two,
                    ..Border::default()
                };
                pieces.borders.insert((i, i + 1), border);
            }
            [Found {
                widths: Vec::new(),
                pieces: Some(pieces),
            }]
        };
        assert_eq!(raised(&field(&[]), 0.0), 0.0);
        // As many for as against say nothing of the field.
        assert!(raised(&field(&[2.0, -2.0]), 0.0).abs() < 1e-9);
        // One true pair among thirty borders within lobed nuclei: its odds stand, theirs fall.
        let lobed = [[20.0].as_slice(), &[1.0, -2.0, -2.0].repeat(10)].concat();
        let shift = raised(&field(&lobed), 0.0);
        assert!(shift < -1.0 && 20.0 + shift > 0.0, "{shift}");
        assert_eq!(raised(&field(&[5.0; 50]), 0.0), MOST_RAISED);
        // Caution is part of the odds.
        assert!(raised(&field(&[2.0, -2.0]), 1.0) < -0.1);
    }
}
