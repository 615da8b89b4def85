//! Cuts between concave points of the outline: where two nuclei meet, the outline turns inward on
//! both sides, and the way across is short beside the way around.
//!
//! 1. The outline of a piece is followed along its pixel edges and smoothed.
//! 2. Concave points are the local extremes of its inward turn.
//! 3. Pairs of them are cut in the order of (way across) / (way around); then a concave point that
//!    found no partner may be cut to the nearest place across. Cuts never cross.
//!
//! # Source
//! The ratio is the bottleneck of Wang, Zhang & Ray (2012), "Bottleneck detection".

use super::{Method, Part, not_negative};
use crate::components::label_values;
use crate::error::ObjectsError;
use crate::labels::Connectivity;
use crate::reconstruct::neighbours;
use serde::{Deserialize, Serialize};
use stainfree_image::Image;

/// Choices of the cuts between concave points.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Concavity {
    /// Standard deviation of the Gaussian along the outline, in um.
    pub smoothing_um: f64,
    /// Length of outline on either side of a point over which its turn is measured, in um.
    pub arm_um: f64,
    /// Smallest inward turn of a concave point, in degrees.
    pub turn_degrees: f64,
    /// Largest (way across) / (way around) of a cut between two concave points.
    pub across: f64,
    /// The same from a concave point to a place of the outline that is none.
    pub across_single: f64,
}

impl Default for Concavity {
    fn default() -> Self {
        Self {
            smoothing_um: 0.5,
            arm_um: 1.5,
            turn_degrees: 25.0,
            across: 0.55,
            across_single: 0.35,
        }
    }
}

impl Method for Concavity {
    fn check(&self) -> Result<(), ObjectsError> {
        not_negative(&[
            ("splitting.smoothing_um", self.smoothing_um),
            ("splitting.arm_um", self.arm_um),
            ("splitting.turn_degrees", self.turn_degrees),
            ("splitting.across", self.across),
            ("splitting.across_single", self.across_single),
        ])
    }

    fn split_part(&self, part: &Part) -> Option<Image<u32>> {
        self.cut_pieces(&part.whole(), part.seen.um_per_pixel)
    }
}

/// A point of an outline, `(y, x)` in pixels; pixel centres are whole numbers.
type Point = (f64, f64);

/// A pixel edge is this long along a smooth outline, on average over all directions (pi / 4).
const EDGE: f64 = std::f64::consts::FRAC_PI_4;

impl Concavity {
    /// `pieces` (labels, each 4-connected) after all cuts, renumbered; `None` if there is nothing
    /// to cut.
    pub(super) fn cut_pieces(&self, pieces: &Image<u32>, um_per_pixel: f64) -> Option<Image<u32>> {
        let (height, width) = pieces.size();
        let labels = pieces.data();
        let mut seen = vec![false; labels.iter().copied().max().unwrap_or(0) as usize + 1];
        seen[0] = true;
        let mut open: Option<Image<u32>> = None;
        for i in 0..labels.len() {
            let l = labels[i];
            if seen[l as usize] {
                continue;
            }
            seen[l as usize] = true;
            let inside = |y: isize, x: isize| {
                y >= 0
                    && x >= 0
                    && (y as usize) < height
                    && (x as usize) < width
                    && labels[y as usize * width + x as usize] == l
            };
            let raw = trace(i / width, i % width, &inside);
            let outline = Outline::new(&raw, self.smoothing_um / um_per_pixel);
            for (from, to) in self.cuts(&outline, self.arm_um / um_per_pixel, &inside) {
                draw(open.get_or_insert_with(|| pieces.clone()), from, to, l);
            }
        }
        let parts = label_values(&open?, Connectivity::Four).image;
        Some(close_lines(&parts, pieces))
    }

    /// Segments across the outline, best first, none crossing another.
    fn cuts(
        &self,
        outline: &Outline,
        arm: f64,
        inside: &impl Fn(isize, isize) -> bool,
    ) -> Vec<(Point, Point)> {
        let notches = outline.concave_points(arm, self.turn_degrees.to_radians());
        let points = &outline.points;
        let mut taken: Vec<(usize, usize)> = Vec::new();
        let mut uses = vec![0usize; points.len()];
        let mut take = |pairs: Vec<(f64, usize, usize)>, most: [usize; 2]| {
            for (_, i, j) in pairs {
                let free = uses[i] < most[0] && uses[j] < most[1];
                if free
                    && !taken.iter().any(|&cut| crossing(cut, (i, j)))
                    && stays_inside(points[i], points[j], inside)
                {
                    uses[i] += 1;
                    uses[j] += 1;
                    taken.push((i.min(j), i.max(j)));
                }
            }
        };
        // A notch between three nuclei is the end of two cuts.
        take(outline.pairs(&notches, 2.0 * arm, self.across), [2, 2]);
        take(
            outline.singles(&notches, 2.0 * arm, self.across_single),
            [1, 1],
        );
        taken.iter().map(|&(i, j)| (points[i], points[j])).collect()
    }
}

/// Middles of the pixel edges around a piece, clockwise, from its first pixel in raster order.
fn trace(y: usize, x: usize, inside: &impl Fn(isize, isize) -> bool) -> Vec<Point> {
    // Headings east, south, west, north, from corner to corner; the piece lies on the right hand.
    const STEP: [(isize, isize); 4] = [(0, 1), (1, 0), (0, -1), (-1, 0)];
    // The pixels right and left of the next edge, seen from a corner (its lower right pixel).
    const RIGHT: [(isize, isize); 4] = [(0, 0), (0, -1), (-1, -1), (-1, 0)];
    const LEFT: [(isize, isize); 4] = [(-1, 0), (0, 0), (0, -1), (-1, -1)];
    let start = (y as isize, x as isize);
    let (mut at, mut heading) = (start, 0usize);
    let mut points = Vec::new();
    loop {
        let (dy, dx) = STEP[heading];
        points.push((
            at.0 as f64 - 0.5 + dy as f64 / 2.0,
            at.1 as f64 - 0.5 + dx as f64 / 2.0,
        ));
        at = (at.0 + dy, at.1 + dx);
        let is_inside = |(dy, dx): (isize, isize)| inside(at.0 + dy, at.1 + dx);
        if !is_inside(RIGHT[heading]) {
            heading = (heading + 1) % 4;
        } else if is_inside(LEFT[heading]) {
            heading = (heading + 3) % 4;
        }
        if at == start && heading == 0 {
            return points;
        }
    }
}

fn distance(a: Point, b: Point) -> f64 {
    let (dy, dx) = (a.0 - b.0, a.1 - b.1);
    (dy * dy + dx * dx).sqrt()
}

/// A closed sequence with `reach` of its values repeated on either side; `reach` is at most its
/// length.
fn wrapped<T: Copy>(values: &[T], reach: usize) -> Vec<T> {
    let (before, after) = (&values[values.len() - reach..], &values[..reach]);
    [before, values, after].concat()
}

/// A closed, smoothed outline.
struct Outline {
    points: Vec<Point>,
    /// Length of the way from the first point to each, and all around at the end.
    along: Vec<f64>,
}

impl Outline {
    /// `smoothing` is the standard deviation in pixels along the outline.
    fn new(raw: &[Point], smoothing: f64) -> Self {
        let n = raw.len();
        let sigma = (smoothing / EDGE).max(1e-9);
        let reach = ((3.0 * sigma).ceil() as usize).min(n / 2);
        let weights: Vec<f64> = (0..=reach)
            .map(|i| (-0.5 * (i as f64 / sigma).powi(2)).exp())
            .collect();
        let total = weights[0] + 2.0 * weights[1..].iter().sum::<f64>();
        let around = wrapped(raw, reach);
        let smooth = |i: usize| {
            let i = i + reach;
            let mut sum = (around[i].0 * weights[0], around[i].1 * weights[0]);
            for (k, w) in weights.iter().enumerate().skip(1) {
                let (a, b) = (around[i - k], around[i + k]);
                sum = (sum.0 + w * (a.0 + b.0), sum.1 + w * (a.1 + b.1));
            }
            (sum.0 / total, sum.1 / total)
        };
        let points: Vec<Point> = (0..n).map(smooth).collect();
        let mut along = vec![0.0; n + 1];
        for i in 0..n {
            along[i + 1] = along[i] + distance(points[i], points[(i + 1) % n]);
        }
        Self { points, along }
    }

    /// Indices of the local extremes of the inward turn, at least `turn` radians.
    fn concave_points(&self, arm: f64, turn: f64) -> Vec<usize> {
        /// What stands for every turn to the right: less than any inward one.
        const CONVEX: f64 = -1.0;
        let n = self.points.len();
        let k = ((arm / EDGE).round() as usize).max(1);
        if n < 4 * k {
            return Vec::new();
        }
        let p = wrapped(&self.points, k);
        let inward = |i: usize| {
            let (a, b, c) = (p[i], p[i + k], p[i + 2 * k]);
            let (u, v) = ((b.0 - a.0, b.1 - a.1), (c.0 - b.0, c.1 - b.1));
            // Clockwise with y downward: to the right is convex, and this is positive to the left.
            let left = u.0 * v.1 - u.1 * v.0;
            if left < 0.0 {
                return CONVEX;
            }
            left.atan2(u.0 * v.0 + u.1 * v.1)
        };
        let turns: Vec<f64> = (0..n).map(inward).collect();
        let turns = wrapped(&turns, k);
        let is_extreme = |i: usize| {
            let here = turns[i + k];
            (1..=k).all(|d| turns[i + k - d] < here && turns[i + k + d] <= here)
        };
        (0..n)
            .filter(|&i| turns[i + k] >= turn && is_extreme(i))
            .collect()
    }

    /// (Way across) / (the shorter way around), infinite for points closer than `least` on the way.
    fn ratio(&self, i: usize, j: usize, least: f64) -> f64 {
        let arc = (self.along[j] - self.along[i]).abs();
        let arc = arc.min(self.along[self.points.len()] - arc);
        if arc < least {
            return f64::INFINITY;
        }
        distance(self.points[i], self.points[j]) / arc
    }

    /// Pairs of notches below the limit, best first.
    fn pairs(&self, notches: &[usize], least: f64, limit: f64) -> Vec<(f64, usize, usize)> {
        let mut found = Vec::new();
        for (k, &i) in notches.iter().enumerate() {
            for &j in &notches[k + 1..] {
                let ratio = self.ratio(i, j, least);
                if ratio < limit {
                    found.push((ratio, i, j));
                }
            }
        }
        found.sort_by(|a, b| a.0.total_cmp(&b.0).then((a.1, a.2).cmp(&(b.1, b.2))));
        found
    }

    /// For every notch the best point across, below the limit, best first.
    fn singles(&self, notches: &[usize], least: f64, limit: f64) -> Vec<(f64, usize, usize)> {
        let mut found: Vec<(f64, usize, usize)> = notches
            .iter()
            .filter_map(|&i| {
                (0..self.points.len())
                    .map(|j| (self.ratio(i, j, least), i, j))
                    .min_by(|a, b| a.0.total_cmp(&b.0))
            })
            .filter(|&(ratio, _, _)| ratio < limit)
            .collect();
        found.sort_by(|a, b| a.0.total_cmp(&b.0).then((a.1, a.2).cmp(&(b.1, b.2))));
        found
    }
}

/// Whether two chords of one closed outline cross; chords that share an end do not.
fn crossing((a, b): (usize, usize), (i, j): (usize, usize)) -> bool {
    let between = |k: usize| a < k && k < b;
    let shares_an_end = [i, j].iter().any(|k| *k == a || *k == b);
    !shares_an_end && between(i) != between(j)
}

/// Whether the straight way between two outline points leaves the piece nowhere.
fn stays_inside(from: Point, to: Point, inside: &impl Fn(isize, isize) -> bool) -> bool {
    // The ends lie on the outline, so the first pixels may fall either side.
    const END: f64 = 1.5;
    let length = distance(from, to);
    let steps = (2.0 * length).ceil().max(1.0) as usize;
    (0..=steps).all(|s| {
        let t = s as f64 / steps as f64;
        let at = |a: f64, b: f64| (a + t * (b - a)).round() as isize;
        t * length < END || (1.0 - t) * length < END || inside(at(from.0, to.0), at(from.1, to.1))
    })
}

/// Clears the pixels of piece `l` on a segment, so densely that its sides are not 4-connected.
fn draw(open: &mut Image<u32>, from: Point, to: Point, l: u32) {
    // A pixel beyond either end: smoothing has drawn the outline into the piece.
    const BEYOND: f64 = 1.0;
    const STEPS_A_PIXEL: f64 = 4.0;
    let (height, width) = open.size();
    let length = distance(from, to).max(1e-9);
    let unit = ((to.0 - from.0) / length, (to.1 - from.1) / length);
    let steps = (STEPS_A_PIXEL * (length + 2.0 * BEYOND)).ceil() as usize;
    for s in 0..=steps {
        let t = s as f64 / STEPS_A_PIXEL - BEYOND;
        let (y, x) = ((from.0 + t * unit.0).round(), (from.1 + t * unit.1).round());
        if y >= 0.0 && x >= 0.0 && (y as usize) < height && (x as usize) < width {
            let v = open.get_mut(y as usize, x as usize);
            if *v == l {
                *v = 0;
            }
        }
    }
}

/// Gives the cleared pixels of every piece to its parts, ring by ring.
fn close_lines(parts: &Image<u32>, pieces: &Image<u32>) -> Image<u32> {
    let (height, width) = parts.size();
    let mut out = parts.clone();
    let mut last = parts.data().iter().copied().max().unwrap_or(0);
    let flags = parts.data().iter().zip(pieces.data());
    let is_cut = |(&part, &piece): (&u32, &u32)| part == 0 && piece != 0;
    let mut waiting: Vec<usize> = flags
        .enumerate()
        .filter(|&(_, f)| is_cut(f))
        .map(|(i, _)| i)
        .collect();
    while !waiting.is_empty() {
        let reached: Vec<(usize, u32)> = waiting
            .iter()
            .filter_map(|&i| {
                neighbours(i / width, i % width, height, width, Connectivity::Four)
                    .find(|&j| out.data()[j] != 0 && pieces.data()[j] == pieces.data()[i])
                    .map(|j| (i, out.data()[j]))
            })
            .collect();
        if reached.is_empty() {
            // A piece that is nothing but cut keeps its own number.
            let first = waiting[0];
            last += 1;
            out.data_mut()[first] = last;
        }
        for (i, l) in reached {
            out.data_mut()[i] = l;
        }
        waiting.retain(|&i| out.data()[i] == 0);
    }
    out
}
