//! `neighbour`: how near a pixel lies to a second object, 1 where two objects touch, 0 from one
//! radius on; between two objects as well as within them.
//!
//! The value is `(1 - d / r)^2`, where `d` is the distance to the second nearest object (of a pixel
//! of an object: to the nearest other one) and `r` the radius of the nearest, the largest distance
//! of any of its pixels to its border. The number is what the distance output is not: low where a
//! nucleus ends at background, high where it ends at another, so that the two together tell a waist
//! from a border. After the neighbour distance of Scherr et al. (2020), "Cell segmentation and
//! tracking using CNN-based distance predictions", PLOS ONE 15:e0243219, who fill gaps by
//! morphological closing and stretch the numbers by another curve; here one formula holds on both
//! sides of a border, and has no length in pixels in it.
//!
//! Pixels of unknown label are no object; an object that the image's rim cuts has the radius of
//! what is seen of it.

use super::distance::radii;
use super::{Link, OutputKind, OutputLoss, Values, frames};
use rayon::prelude::*;
use stainfree_image::Image;
use std::ops::Range;

pub(super) const KIND: OutputKind = OutputKind {
    name: "neighbour",
    summary: "nearness of a second nucleus, 1 where two touch and 0 one radius away",
    channels: 1,
    link: Link::Linear,
    values: Values::Scalar,
    loss: OutputLoss::Squared,
    weight: 5.0,
    truth,
};

fn truth(labels: &Image<u32>) -> Vec<Image<f32>> {
    let (height, width) = labels.size();
    let radii = radii(labels);
    // No farther than the largest radius can the second nearest object matter.
    let reach = radii.values().fold(0.0, |most: f64, &r| most.max(r));
    let frames: Vec<_> = frames(labels).into_iter().collect();
    let mut places = vec![Nearest::default(); height * width];
    // A few at once: the window of an object may be as large as the image.
    for some in frames.chunks(AT_ONCE) {
        let windows: Vec<(f64, Window)> = some
            .par_iter()
            .map(|(label, frame)| {
                let window = Window::around(labels, *label, frame.clone(), reach);
                (radii[label], window)
            })
            .collect();
        for (radius, window) in &windows {
            window.lay_on(*radius, &mut places, width);
        }
    }
    let values = places.iter().map(Nearest::value).collect();
    vec![Image::new(height, width, values)]
}

/// Objects whose distances are in memory at once.
const AT_ONCE: usize = 32;

/// The two nearest objects of a pixel.
#[derive(Clone, Copy)]
struct Nearest {
    /// Distance to the nearest object, and its radius.
    first: (f64, f64),
    /// Distance to the second nearest.
    second: f64,
}

impl Default for Nearest {
    fn default() -> Self {
        Self {
            first: (f64::INFINITY, 1.0),
            second: f64::INFINITY,
        }
    }
}

impl Nearest {
    /// Takes one more object into account.
    fn meet(&mut self, distance: f64, radius: f64) {
        if distance < self.first.0 {
            self.second = self.first.0;
            self.first = (distance, radius);
        } else {
            self.second = self.second.min(distance);
        }
    }

    fn value(&self) -> f32 {
        let near = 1.0 - self.second / self.first.1;
        // The pixel of a neighbour is at least one pixel away: touching is 1.
        let touching = 1.0 - 1.0 / self.first.1;
        if near <= 0.0 {
            return 0.0;
        }
        (near / touching.max(near)).powi(2) as f32
    }
}

/// The squared distances to one object around it.
struct Window {
    rows: Range<usize>,
    columns: Range<usize>,
    squares: Vec<u64>,
}

/// Squared distance where a column has no pixel of the object.
const NONE: u64 = u64::MAX;

impl Window {
    /// Everything within `reach` pixels of the rows and columns that the object takes.
    fn around(
        labels: &Image<u32>,
        label: u32,
        [rows, columns]: [Range<usize>; 2],
        reach: f64,
    ) -> Self {
        let margin = reach.ceil() as usize;
        let widened = |range: Range<usize>, most: usize| {
            range.start.saturating_sub(margin)..(range.end + margin).min(most)
        };
        let rows = widened(rows, labels.height());
        let columns = widened(columns, labels.width());
        let width = columns.len();
        // First to the object's pixels of the same column, downwards and back.
        let mut steps = vec![NONE; rows.len() * width];
        for (i, y) in rows.clone().enumerate() {
            for (j, x) in columns.clone().enumerate() {
                steps[i * width + j] = match labels.get(y, x) == label {
                    true => 0,
                    false if i == 0 => NONE,
                    false => steps[(i - 1) * width + j].saturating_add(1),
                };
            }
        }
        for i in (0..rows.len().saturating_sub(1)).rev() {
            for j in 0..width {
                let below = steps[(i + 1) * width + j].saturating_add(1);
                steps[i * width + j] = steps[i * width + j].min(below);
            }
        }
        // Then the least over the columns (Saito & Toriwaki 1994).
        let squared = |step: u64| if step == NONE { NONE } else { step * step };
        let mut squares = Vec::with_capacity(steps.len());
        for row in steps.chunks(width.max(1)) {
            let columns: Vec<u64> = row.iter().map(|&step| squared(step)).collect();
            squares.extend((0..width).map(|x| nearest_along(&columns, x)));
        }
        Self {
            rows,
            columns,
            squares,
        }
    }

    fn lay_on(&self, radius: f64, places: &mut [Nearest], width: usize) {
        let columns = self.columns.len();
        for (y, squares) in self.rows.clone().zip(self.squares.chunks(columns.max(1))) {
            let places = &mut places[y * width..][self.columns.clone()];
            for (place, &square) in places.iter_mut().zip(squares) {
                place.meet((square as f64).sqrt(), radius);
            }
        }
    }
}

/// The least of `columns[i] + (x - i)^2`; looks no farther than that can be.
fn nearest_along(columns: &[u64], x: usize) -> u64 {
    let mut least = columns[x];
    for step in 1..columns.len() {
        let further = (step * step) as u64;
        if further >= least {
            break;
        }
        let sides = [x.checked_sub(step), Some(x + step)];
        for other in sides.into_iter().flatten().filter_map(|i| columns.get(i)) {
            least = least.min(other.saturating_add(further));
        }
    }
    least
}

#[cfg(test)]
mod tests {
    use super::super::{UNKNOWN, is_object};
    use super::*;

    /// By the definition.
    fn expected(labels: &Image<u32>, y: usize, x: usize) -> f64 {
        let (height, width) = labels.size();
        let all: Vec<(usize, usize)> = (0..height)
            .flat_map(|v| (0..width).map(move |u| (v, u)))
            .collect();
        let distance = |a: (usize, usize), b: (usize, usize)| {
            (a.0 as f64 - b.0 as f64).hypot(a.1 as f64 - b.1 as f64)
        };
        let least = |from: (usize, usize), of: &dyn Fn(u32) -> bool| {
            let there = all.iter().filter(|&&(v, u)| of(labels.get(v, u)));
            there.fold(f64::INFINITY, |d, &at| d.min(distance(from, at)))
        };
        let mut names: Vec<u32> = labels
            .data()
            .iter()
            .copied()
            .filter(|&l| is_object(l))
            .collect();
        names.sort_unstable();
        names.dedup();
        let mut near: Vec<(f64, u32)> = names
            .iter()
            .map(|&name| (least((y, x), &|l| l == name), name))
            .collect();
        near.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let [(_, first), (second, _), ..] = near[..] else {
            return 0.0;
        };
        let own = all.iter().filter(|&&(v, u)| labels.get(v, u) == first);
        let depth = |&at: &(usize, usize)| least(at, &|l| l != first && l != UNKNOWN);
        let radius = own.map(depth).fold(0.0, f64::max);
        let near = (1.0 - second / radius).max(0.0);
        let touching = 1.0 - 1.0 / radius;
        if near == 0.0 {
            0.0
        } else {
            (near / touching).powi(2)
        }
    }

    fn discs(centres: &[(f64, f64, f64)]) -> Image<u32> {
        Image::from_fn(40, 60, |y, x| {
            let inside = |&(v, u, r): &(f64, f64, f64)| (y as f64 - v).hypot(x as f64 - u) < r;
            centres.iter().position(inside).map_or(0, |i| i as u32 + 1)
        })
    }

    #[test]
    fn numbers_are_those_of_the_definition() {
        // Two that touch, one apart, one cut by the rim, one alone.
        let mut labels = discs(&[
            (14.0, 12.0, 8.5),
            (14.0, 28.0, 8.0),
            (30.0, 22.0, 6.2),
            (39.0, 8.0, 7.0),
            (12.0, 54.0, 4.0),
        ]);
        for unknown in [false, true] {
            if unknown {
                (0..60).for_each(|x| labels.data_mut()[20 * 60 + x] = UNKNOWN);
            }
            let found = &truth(&labels)[0];
            for (y, x) in (0..40).flat_map(|y| (0..60).map(move |x| (y, x))) {
                let expected = expected(&labels, y, x) as f32;
                let found = found.get(y, x);
                assert!(
                    (found - expected).abs() < 1e-6,
                    "{found} {expected} at {y} {x}"
                );
            }
        }
    }

    #[test]
    fn touching_is_one_and_a_lonely_nucleus_has_none() {
        let labels = Image::from_fn(9, 20, |y, x| match (y, x) {
            (1..8, 2..9) => 1,
            (1..8, 9..16) => 2,
            _ => 0,
        });
        let found = &truth(&labels)[0];
        assert_eq!((found.get(4, 8), found.get(4, 9)), (1.0, 1.0));
        assert_eq!((found.get(4, 5), found.get(4, 12)), (0.0, 0.0));
        let alone = labels.map(|&l| u32::from(l == 1));
        assert!(truth(&alone)[0].data().iter().all(|&n| n == 0.0));
        // Specks of a single pixel have a radius of one.
        let specks = Image::new(1, 4, vec![1, 2, 0, 3]);
        assert!(truth(&specks)[0].data().iter().all(|n| n.is_finite()));
    }
}
