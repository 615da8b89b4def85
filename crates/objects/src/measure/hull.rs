//! The convex hull: its area, solidity, and the longest and shortest distance between parallel
//! tangents.
//!
//! As `skimage.morphology.convex_hull_image` defines it: every pixel stands for the middles of its
//! four edges (a diamond), the hull is their convex hull, and a pixel belongs to the hull where its
//! centre does, border included. All in integers of half a pixel, so that no centre on an edge is
//! decided by rounding.
//!
//! `feret_diameter_max` is `regionprops`': the longest distance between the middles of edges of the
//! *hull image*. `feret_diameter_min` is the smallest width of the same points' hull (scikit-image
//! has none).
//!
//! Method: an object's rows have a first and a last pixel; the hull of the diamonds is a chain of
//! at most two points a row on either side (Andrew 1979), so the cost is that of the rows.

use std::collections::BTreeMap;

use stainfree_image::Image;

use super::regions::Regions;
use super::{Block, Column, Family, Part, Scene, Unit};

pub(super) struct Hull;

impl Family for Hull {
    fn name(&self) -> &'static str {
        "hull"
    }

    fn applies_to(&self, part: Part) -> bool {
        part.is_object()
    }

    fn columns(&self) -> Vec<Column> {
        vec![
            Column::integer("area_convex", Unit::Area),
            Column::float("solidity", Unit::None),
            Column::float("feret_diameter_max", Unit::Length),
            Column::float("feret_diameter_min", Unit::Length),
        ]
    }

    fn measure(&self, scene: &Scene, part: Part, _channel: Option<usize>, block: &mut Block) {
        let regions = &scene.layer(part).regions;
        for i in 0..regions.len() {
            let filled = Outline::of_rows(&extremes(regions, i)).fill();
            let area: i64 = filled.iter().map(|(from, to)| to - from + 1).sum();
            // The hull image may bulge beyond the hull by half a pixel: its own points are looked
            // at.
            let around = Outline::of_rows(&filled).points();
            block.row(i).copy_from_slice(&[
                area as f64,
                regions.area(i) as f64 / area as f64,
                longest(&around),
                narrowest(&around),
            ]);
        }
    }
}

/// The solidity of every object: its area by that of its convex hull.
pub fn solidities(labels: &Image<u32>) -> BTreeMap<u32, f64> {
    let regions = Regions::of(labels);
    let solidity = |i: usize| {
        let filled = Outline::of_rows(&extremes(&regions, i)).fill();
        let hull: i64 = filled.iter().map(|(from, to)| to - from + 1).sum();
        (regions.labels()[i], regions.area(i) as f64 / hull as f64)
    };
    (0..regions.len()).map(solidity).collect()
}

/// First and last column of every row of the bounding box, `(MAX, MIN)` where a row is empty.
fn extremes(regions: &Regions, i: usize) -> Vec<(i64, i64)> {
    let bounds = regions.bounds(i);
    let mut rows = vec![(i64::MAX, i64::MIN); bounds.height()];
    for run in regions.runs(i) {
        let row = &mut rows[(run.y - bounds.top) as usize];
        let (from, last) = (
            i64::from(run.from - bounds.left),
            i64::from(run.to - bounds.left) - 1,
        );
        *row = (row.0.min(from), row.1.max(last));
    }
    rows
}

/// A point in half pixels, `(y, x)`.
type Point = (i64, i64);

/// The left and the right side of a convex hull, from the top down.
struct Outline {
    left: Vec<Point>,
    right: Vec<Point>,
    rows: usize,
}

impl Outline {
    /// The hull of the diamonds of rows that reach from their first to their last pixel.
    fn of_rows(rows: &[(i64, i64)]) -> Self {
        // Half rows -1, 0, .., 2 n - 1: even ones are rows of pixels, odd ones lie between two
        // rows.
        let (mut left, mut right) = (Vec::new(), Vec::new());
        let whole = |y: i64| {
            let row = usize::try_from(y).ok().and_then(|y| rows.get(y));
            row.copied().filter(|&(from, to)| from <= to)
        };
        for y in -1..2 * rows.len() as i64 {
            let (from, to) = if y.rem_euclid(2) == 0 {
                match whole(y / 2) {
                    Some((from, to)) => (2 * from - 1, 2 * to + 1),
                    None => continue,
                }
            } else {
                let (above, below) = (whole((y - 1).div_euclid(2)), whole((y + 1) / 2));
                let Some((from, to)) = [above, below]
                    .into_iter()
                    .flatten()
                    .reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
                else {
                    continue;
                };
                (2 * from, 2 * to)
            };
            push_convex(&mut left, (y, from), 1);
            push_convex(&mut right, (y, to), -1);
        }
        Self {
            left,
            right,
            rows: rows.len(),
        }
    }

    /// First and last pixel of every row whose centre lies in the hull.
    fn fill(&self) -> Vec<(i64, i64)> {
        let (mut l, mut r) = (0, 0);
        (0..self.rows as i64)
            .map(|row| {
                let y = 2 * row;
                let (a, b) = edge_at(&self.left, y, &mut l);
                // x >= a / b in half pixels, so the pixel is at least a / (2 b).
                let first = -(-a).div_euclid(2 * b);
                let (a, b) = edge_at(&self.right, y, &mut r);
                (first, a.div_euclid(2 * b))
            })
            .collect()
    }

    /// The corners, once around.
    fn points(mut self) -> Vec<Point> {
        self.right.reverse();
        self.left.append(&mut self.right);
        self.left.dedup();
        if self.left.len() > 1 && self.left.first() == self.left.last() {
            self.left.pop();
        }
        self.left
    }
}

/// Twice the signed area of the triangle `a`, `b`, `c`.
fn turn(a: Point, b: Point, c: Point) -> i64 {
    (b.0 - a.0) * (c.1 - a.1) - (b.1 - a.1) * (c.0 - a.0)
}

/// Adds a point below the others and drops those that would make a dent; `side` is 1 on the left,
/// -1 on the right.
fn push_convex(chain: &mut Vec<Point>, point: Point, side: i64) {
    while let [.., a, b] = chain[..] {
        // Points on a straight line are dropped as well.
        if side * turn(a, b, point) > 0 {
            break;
        }
        chain.pop();
    }
    chain.push(point);
}

/// Where the chain crosses row `y`, as the fraction `a / b` of half pixels with `b > 0`; `from`
/// remembers the edge.
fn edge_at(chain: &[Point], y: i64, from: &mut usize) -> (i64, i64) {
    while chain[*from + 1].0 < y {
        *from += 1;
    }
    let (a, b) = (chain[*from], chain[*from + 1]);
    let height = b.0 - a.0;
    (a.1 * height + (b.1 - a.1) * (y - a.0), height)
}

/// The longest distance between two corners, in pixels.
fn longest(points: &[Point]) -> f64 {
    let square = |a: Point, b: Point| (a.0 - b.0).pow(2) + (a.1 - b.1).pow(2);
    let pairs = points
        .iter()
        .enumerate()
        .flat_map(|(i, &a)| points[i + 1..].iter().map(move |&b| square(a, b)));
    (pairs.max().unwrap_or(0) as f64).sqrt() / 2.0
}

/// The smallest width over all directions, in pixels: it is reached with one tangent along an edge.
fn narrowest(points: &[Point]) -> f64 {
    let edges = points.iter().zip(points.iter().cycle().skip(1));
    edges
        .map(|(&a, &b)| {
            let far = points.iter().map(|&p| turn(a, b, p).abs()).max();
            let length = ((b.0 - a.0).pow(2) + (b.1 - a.1).pow(2)) as f64;
            far.unwrap_or(0) as f64 / length.sqrt() / 2.0
        })
        .fold(f64::INFINITY, f64::min)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pixel_is_a_diamond() {
        let outline = Outline::of_rows(&[(0, 0)]);
        assert_eq!(outline.fill(), [(0, 0)]);
        let points = outline.points();
        assert_eq!(points, [(-1, 0), (0, -1), (1, 0), (0, 1)]);
        assert_eq!(longest(&points), 1.0);
        // Between two parallel sides of the diamond.
        assert!((narrowest(&points) - 0.5f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn a_notch_is_filled_and_an_empty_row_is_bridged() {
        // "#.#" / "..." / "###"
        let outline = Outline::of_rows(&[(0, 2), (i64::MAX, i64::MIN), (0, 2)]);
        assert_eq!(outline.fill(), [(0, 2), (0, 2), (0, 2)]);
    }
}
