//! The outline of the object at a place of an image: the closed line around the place that lies on
//! the strongest edge.
//!
//! In rays around the place the grey values form an image of angle and distance. In it the line is
//! a distance for every angle that changes by at most a step from ray to ray and ends where it
//! began; of all such lines the one with the largest sum of edges is found by dynamic programming,
//! for each of a few distances on the first ray. Edges are differences of the grey values across a
//! few pixels along a ray, all falling or all rising outward, whichever gives more: a nucleus is
//! brighter than what is around it in a stain, and often darker or lighter in brightfield. Edges
//! count the more the nearer they lie to the usual radius of an object: without that the bright
//! neighbour of a dim nucleus draws the line to its own far side (`bench/viewer/outlines.py`).
//!
//! Source: boundaries in polar images by dynamic programming, Timp and Karssemeijer (2004), "A new
//! 2D segmentation method based on dynamic programming applied to computer aided detection in
//! mammography", Medical Physics 31:958.

use stainfree_image::{Image, Region};

use crate::ViewError;

/// Rays around the place.
const RAYS: usize = 72;
/// Distance of samples along a ray, pixels.
const STEP: f64 = 0.5;
/// Half of the length over which an edge is looked at, in samples.
const HALF: usize = 4;
/// Samples that the line may move by from ray to ray.
const MOST_CHANGE: usize = 2;
/// First distances that are tried for the line on the first ray, in samples.
const EVERY: usize = 2;
/// Nearest distance of the line from the place, pixels.
const LEAST: f64 = 2.0;
/// Farthest that is looked at, pixels.
pub(crate) const FARTHEST: usize = 250;
/// Standard deviation of the distances at which edges count, in usual radii: an object of half or
/// one and a half times the radius is found nearly as well.
const SPREAD: f64 = 0.5;
/// Mean edge of the line by the noise from pixel to pixel, below which there is none: noise alone
/// reaches 0.9 in the tests below, an object under noise 7.
const LEAST_EDGE: f64 = 1.5;

/// A row of pixels: `[y, first x, x after the last]`.
pub(crate) type Run = [u32; 3];

/// The part of an image that [`outline`] looks at.
pub(crate) fn window(
    (y, x): (usize, usize),
    reach: usize,
    (height, width): (usize, usize),
) -> Region {
    let reach = reach.min(FARTHEST) + HALF;
    let (top, left) = (y.saturating_sub(reach), x.saturating_sub(reach));
    Region {
        y: top,
        x: left,
        height: (y + reach + 1).min(height) - top,
        width: (x + reach + 1).min(width) - left,
    }
}

/// The pixels of the object around `(y, x)` of `image`, nowhere farther from it than `reach`
/// pixels, which is twice the radius of usual objects.
///
/// # Errors
/// No edge goes around the place.
pub(crate) fn outline(
    image: &Image<f32>,
    (y, x): (usize, usize),
    reach: usize,
) -> Result<Vec<Run>, ViewError> {
    let none = || {
        ViewError::Misuse(
            "no edge goes around this place; click well inside an object, or paint it".to_owned(),
        )
    };
    let count = (reach.min(FARTHEST) as f64 / STEP) as usize;
    let first = (LEAST / STEP) as usize;
    if count <= first + 1 || y >= image.height() || x >= image.width() {
        return Err(none());
    }
    let polar = Polar::of(image, (y as f64, x as f64), count);
    let usual = reach as f64 / 2.0;
    let line_of = |sign: f64| {
        let edges = polar.edges(sign);
        let weight = |i: usize| likely((i % count) as f64 * STEP, usual);
        let counted: Vec<f64> = edges
            .iter()
            .enumerate()
            .map(|(i, e)| e * weight(i))
            .collect();
        let (line, counted) = best_line(&counted, count, first);
        let places = line.iter().enumerate();
        let sum: f64 = places.map(|(ray, at)| edges[ray * count + at]).sum();
        (line, sum, counted)
    };
    let (falling, rising) = (line_of(1.0), line_of(-1.0));
    let (line, sum, _) = if falling.2 >= rising.2 {
        falling
    } else {
        rising
    };
    // Of an image of one value neither is above 0.
    if sum <= 0.0 || sum / (RAYS as f64) < LEAST_EDGE * noise_of(image) {
        return Err(none());
    }
    let corners: Vec<[f64; 2]> = line
        .iter()
        .enumerate()
        .map(|(ray, &place)| {
            let (sin, cos) = angle(ray);
            let distance = place as f64 * STEP;
            [y as f64 + distance * sin, x as f64 + distance * cos]
        })
        .collect();
    Ok(filled(&corners, image.size()))
}

/// How much an edge counts at a distance from the place, 0 to 1.
fn likely(distance: f64, usual: f64) -> f64 {
    (-0.5 * ((distance - usual) / (SPREAD * usual)).powi(2)).exp()
}

fn angle(ray: usize) -> (f64, f64) {
    (ray as f64 * std::f64::consts::TAU / RAYS as f64).sin_cos()
}

/// Standard deviation of the noise: from the median difference of neighbours in a row, which edges
/// are too few to change.
fn noise_of(image: &Image<f32>) -> f64 {
    let rows = (0..image.height()).map(|y| image.row(y));
    let differences = rows.flat_map(|row| row.windows(2).map(|pair| (pair[1] - pair[0]).abs()));
    let mut differences: Vec<f32> = differences.filter(|v| v.is_finite()).collect();
    let middle = differences.len() / 2;
    if differences.is_empty() {
        return 0.0;
    }
    let (_, median, _) = differences.select_nth_unstable_by(middle, f32::total_cmp);
    // Of a normal distribution the median of the absolute value is 0.6745 standard deviations, and
    // a difference of two has twice the variance.
    f64::from(*median) / 0.6745 / std::f64::consts::SQRT_2
}

/// Grey values along rays, `RAYS x count`.
struct Polar {
    values: Vec<f64>,
    count: usize,
}

impl Polar {
    fn of(image: &Image<f32>, (y0, x0): (f64, f64), count: usize) -> Self {
        let mut values = Vec::with_capacity(RAYS * count);
        for ray in 0..RAYS {
            let (sin, cos) = angle(ray);
            for place in 0..count {
                let distance = place as f64 * STEP;
                values.push(sample(image, y0 + distance * sin, x0 + distance * cos));
            }
        }
        Self { values, count }
    }

    /// How much brighter it is before each sample than behind it, times `sign`; the mean of
    /// [`HALF`] samples on either side, and of the rays beside.
    fn edges(&self, sign: f64) -> Vec<f64> {
        let mut along = vec![0.0; self.values.len()];
        for ray in 0..RAYS {
            let values = &self.values[ray * self.count..][..self.count];
            for place in 1..self.count {
                let before = &values[place.saturating_sub(HALF)..place];
                let behind = &values[place..(place + HALF).min(self.count)];
                let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len().max(1) as f64;
                along[ray * self.count + place] = sign * (mean(before) - mean(behind));
            }
        }
        let mut edges = vec![0.0; along.len()];
        for ray in 0..RAYS {
            for place in 0..self.count {
                let at = |turn: usize| along[(ray + turn) % RAYS * self.count + place];
                edges[ray * self.count + place] = (at(RAYS - 1) + 2.0 * at(0) + at(1)) / 4.0;
            }
        }
        edges
    }
}

/// Between pixels; beyond the rim the rim goes on, so that an object that it cuts has no edge
/// there.
fn sample(image: &Image<f32>, y: f64, x: f64) -> f64 {
    let (height, width) = image.size();
    let y = y.clamp(0.0, (height - 1) as f64);
    let x = x.clamp(0.0, (width - 1) as f64);
    let (top, left) = (y.floor() as usize, x.floor() as usize);
    let (bottom, right) = ((top + 1).min(height - 1), (left + 1).min(width - 1));
    let (fy, fx) = (y - top as f64, x - left as f64);
    let value = |y, x| f64::from(image.get(y, x));
    let above = value(top, left) * (1.0 - fx) + value(top, right) * fx;
    let below = value(bottom, left) * (1.0 - fx) + value(bottom, right) * fx;
    let value = above * (1.0 - fy) + below * fy;
    if value.is_finite() { value } else { 0.0 }
}

/// The closed line of the largest sum, as a sample on each ray, and that sum.
fn best_line(edges: &[f64], count: usize, first: usize) -> (Vec<usize>, f64) {
    let mut best = (vec![first; RAYS], f64::NEG_INFINITY);
    for start in (first..count).step_by(EVERY) {
        let (line, sum) = line_from(edges, count, first, start);
        if sum > best.1 {
            best = (line, sum);
        }
    }
    best
}

/// The best line that begins at the sample `start` of the first ray and ends beside it.
fn line_from(edges: &[f64], count: usize, first: usize, start: usize) -> (Vec<usize>, f64) {
    let mut sums = vec![f64::NEG_INFINITY; RAYS * count];
    let mut from = vec![0usize; RAYS * count];
    sums[start] = edges[start];
    for ray in 1..RAYS {
        for place in first..count {
            let low = place.saturating_sub(MOST_CHANGE).max(first);
            let high = (place + MOST_CHANGE).min(count - 1);
            let before = &sums[(ray - 1) * count..];
            let mut best = place;
            for other in low..=high {
                // Of equal ones the nearest, so that flat places give round lines.
                let better = before[other] > before[best];
                let nearer =
                    before[other] == before[best] && other.abs_diff(place) < best.abs_diff(place);
                if better || nearer {
                    best = other;
                }
            }
            sums[ray * count + place] = before[best] + edges[ray * count + place];
            from[ray * count + place] = best;
        }
    }
    let last = (RAYS - 1) * count;
    let near = start.saturating_sub(MOST_CHANGE).max(first)..=(start + MOST_CHANGE).min(count - 1);
    let end = near.max_by(|a, b| sums[last + a].total_cmp(&sums[last + b]));
    let mut place = end.unwrap_or(start);
    let sum = sums[last + place];
    let mut line = vec![start; RAYS];
    for ray in (1..RAYS).rev() {
        line[ray] = place;
        place = from[ray * count + place];
    }
    (line, sum)
}

/// The pixels whose centres lie in a polygon, row by row, within an image of this size.
fn filled(corners: &[[f64; 2]], (height, width): (usize, usize)) -> Vec<Run> {
    let ys = corners.iter().map(|corner| corner[0]);
    let top = ys.clone().fold(f64::INFINITY, f64::min).ceil().max(0.0) as usize;
    let bottom = ys.fold(f64::NEG_INFINITY, f64::max).floor().max(-1.0) as i64;
    let mut runs = Vec::new();
    for row in top as i64..=bottom.min(height as i64 - 1) {
        let y = row as f64;
        let mut crossings: Vec<f64> = (0..corners.len())
            .filter_map(|i| {
                let (a, b) = (corners[i], corners[(i + 1) % corners.len()]);
                let crosses = (a[0] <= y) != (b[0] <= y);
                crosses.then(|| a[1] + (y - a[0]) / (b[0] - a[0]) * (b[1] - a[1]))
            })
            .collect();
        crossings.sort_by(f64::total_cmp);
        for pair in crossings.chunks_exact(2) {
            let from = pair[0].ceil().max(0.0) as usize;
            let to = (pair[1].floor() + 1.0).clamp(0.0, width as f64) as usize;
            if from < to {
                runs.push([row as u32, from as u32, to as u32]);
            }
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Noise that is the same everywhere, -1 to 1.
    fn noise(y: usize, x: usize) -> f32 {
        let mixed = (y * 73_856_093) ^ (x * 19_349_663);
        ((mixed.wrapping_mul(2_654_435_761) >> 7) % 2001) as f32 / 1000.0 - 1.0
    }

    /// An ellipse with half axes 9 and 14 around (40, 40), and a neighbour that nearly touches it.
    fn inside(y: usize, x: usize) -> bool {
        let (dy, dx) = (y as f64 - 40.0, x as f64 - 40.0);
        (dy / 9.0).powi(2) + (dx / 14.0).powi(2) < 1.0
    }

    fn image(sign: f32) -> Image<f32> {
        Image::from_fn(80, 90, |y, x| {
            let neighbour = (y as f64 - 40.0).hypot(x as f64 - 66.0) < 10.0;
            let light = if inside(y, x) || neighbour {
                100.0
            } else {
                20.0
            };
            sign * (light + 15.0 * noise(y, x))
        })
    }

    fn iou(runs: &[Run]) -> f64 {
        let found = |y: usize, x: usize| {
            let (y, x) = (y as u32, x as u32);
            runs.iter()
                .any(|run| run[0] == y && run[1] <= x && x < run[2])
        };
        let (mut both, mut any) = (0, 0);
        for y in 0..80 {
            for x in 0..90 {
                both += usize::from(found(y, x) && inside(y, x));
                any += usize::from(found(y, x) || inside(y, x));
            }
        }
        f64::from(both as u32) / f64::from(any as u32)
    }

    #[test]
    fn the_outline_is_the_edge_wherever_in_the_object_it_begins() {
        for sign in [1.0, -1.0] {
            let image = image(sign);
            for place in [(40, 40), (37, 34), (43, 46)] {
                let runs = outline(&image, place, 24).unwrap();
                let found = iou(&runs);
                assert!(found > 0.85, "{sign} {place:?}: IoU {found}");
            }
        }
    }

    #[test]
    fn a_brighter_neighbour_draws_no_line_to_its_far_side() {
        let bright = |y: usize, x: usize| (y as f64 - 40.0).hypot(x as f64 - 64.0) < 9.0;
        let image = Image::from_fn(80, 90, |y, x| {
            let light = match (bright(y, x), inside(y, x)) {
                (true, _) => 900.0,
                (_, true) => 100.0,
                _ => 20.0,
            };
            light + 5.0 * noise(y, x)
        });
        let found = iou(&outline(&image, (40, 40), 24).unwrap());
        assert!(found > 0.7, "IoU {found}");
    }

    #[test]
    fn where_nothing_is_there_is_no_outline() {
        let flat = Image::filled(60, 60, 5.0);
        assert!(outline(&flat, (30, 30), 1).is_err());
        assert!(outline(&flat, (30, 30), 20).is_err());
        let noisy = Image::from_fn(60, 60, noise);
        assert!(outline(&noisy, (30, 30), 20).is_err());
        assert!(outline(&noisy, (60, 30), 20).is_err());
    }

    #[test]
    fn at_the_rim_the_outline_ends_with_the_image() {
        let cut = Image::from_fn(40, 40, |y, x| {
            let inside = (y as f64).hypot(x as f64 - 20.0) < 12.0;
            if inside { 50.0 } else { noise(y, x) }
        });
        let runs = outline(&cut, (3, 20), 20).unwrap();
        assert!(runs.iter().all(|run| run[0] < 40 && run[2] <= 40));
        assert_eq!(runs[0][0], 0);
        let area: u32 = runs.iter().map(|run| run[2] - run[1]).sum();
        // Half of a disc of radius 12.
        assert!((200..260).contains(&area), "{area}");
        let region = window((3, 20), 20, (40, 40));
        assert_eq!(
            (region.y, region.x, region.height, region.width),
            (0, 0, 28, 40)
        );
    }
}
