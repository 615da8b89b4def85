//! Pixels that show nothing of the specimen: the rims and gaps of stitched, registered and
//! letterboxed images, missing tiles, dead lines of a camera, values that are no numbers.
//!
//! Such pixels say nothing of the background, the noise or the contrast of a field, and a few
//! columns of them spoil all three. So they are found first, and every statistic leaves them out.
//!
//! What is told from what: empty ground whose values were clipped at 0, overexposed light and
//! saturated nuclei hold large areas of one value too, and are part of the picture. A blank region
//!
//! 1. is exactly constant and hangs together by edges,
//! 2. ends in straight lines, upright or slanted, or lies around one round field of view, where the
//!    picture's own areas end raggedly or are round themselves,
//! 3. ends at once: two pixels beyond its edge the picture has its ordinary values, where the edge
//!    of clipped light lies on a slope,
//! 4. lies at the border, or is a rectangle, or a long line.
//!
//! docs/truth.md has the counts of false alarms on real images.

mod rows;

pub use rows::{BlankRows, BlankSurvey, MOST_PIXELS as MOST_BLANK_PIXELS};

use crate::bits::Bits;
use crate::labels::Connectivity;
use crate::runs::{Components, Frame, without_small};
use stainfree_image::Image;

/// Regions without so many pixels side by side are part of the picture.
const LEAST_LENGTH: usize = 16;
/// A rectangle inside the field has at least so many pixels ..
const LEAST_AREA: usize = 256;
/// .. and sides of at least so many; a line inside is at least [`LEAST_LINE`] long.
const LEAST_SIDE: usize = 8;
const LEAST_LINE: usize = 64;
/// Shortest piece of an outline that counts as straight.
const STRAIGHT: usize = 12;
/// Share of the outline that must be straight: where a tenth of the neighbours happen to have the
/// region's value, two thirds of it are.
const STRAIGHT_SHARE: f64 = 0.6;
/// A slanted line in pixels lies within half a pixel of its ideal; the arc of a small cell does
/// not.
const LARGEST_DEVIATION: f64 = 0.6;
/// The slanted lines of an outline have so many directions at most, as those of a rotated field ..
const DIRECTIONS: usize = 2;
/// .. each within so many degrees, since pixels are coarse: along the arc of a large cell there are
/// many.
const SAME_DIRECTION: usize = 3;
/// A round field of view has a radius of at least so much of the field's shorter side: a nucleus on
/// clipped ground is smaller.
const LEAST_VIEW: f64 = 0.4;
/// Pixels on a circle lie within so much of it.
const ON_CIRCLE: f64 = 1.0;
/// The step at the edge over that further out, at least.
const STEP: f32 = 0.5;
/// Blank regions share few values; more are the flat areas of a lossy compression.
const MOST_VALUES: usize = 3;
/// A picture in which more neighbours than this share their value was drawn, not taken.
const DRAWN: f64 = 0.9;

/// The pixels of `plane` that show nothing; `None` where all show something.
///
/// All are blank where the field is constant.
pub fn blank_pixels(plane: &Image<f32>) -> Option<Image<bool>> {
    let mut blank = plane.map(|v| !v.is_finite());
    let mut any = blank.data().contains(&true);
    if has_long_run(plane) {
        for region in regions(plane) {
            any = true;
            region.paint(&mut blank);
        }
    }
    any.then_some(blank)
}

/// The pixels that are blank in any of the planes of a brightfield, and those that no transmitted
/// light reaches: hot and saturated specks.
pub fn blank_in_brightfield<'a>(
    planes: impl IntoIterator<Item = &'a Image<f32>>,
) -> Option<Image<bool>> {
    let of_plane = |plane: &Image<f32>| {
        let blank = blank_pixels(plane);
        let specks = specks(plane, blank.as_ref());
        joined(blank, specks)
    };
    planes.into_iter().map(of_plane).fold(None, joined)
}

/// A speck lies so many times further out than the central 99 % of the pixels are wide: well
/// beyond dust and bubbles, which are part of the picture.
const FAR_OUT: f32 = 10.0;
/// Share of the pixels that specks have at most: more is the picture.
const SPECKS: f64 = 0.002;

/// The values beyond which a pixel is a speck.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SpeckLimits {
    low: f32,
    high: f32,
}

impl SpeckLimits {
    /// Of so many values, how many lie below the central 99 %, and as many above; `None` for too
    /// few to tell.
    pub fn rank(count: usize) -> Option<usize> {
        Some(count / 200).filter(|&rank| rank > 0)
    }

    /// Beyond the central values, which lie from `low` to `high`.
    pub fn between(low: f32, high: f32) -> Option<Self> {
        let reach = FAR_OUT * (high - low);
        (reach > 0.0).then_some(Self {
            low: low - reach,
            high: high + reach,
        })
    }

    /// Whether a value lies beyond.
    pub fn is_far(&self, value: f32) -> bool {
        value > self.high || value < self.low
    }

    /// Whether so many far values of so many are specks, and not the picture.
    pub fn are_few(far: usize, count: usize) -> bool {
        far > 0 && far as f64 <= SPECKS * count as f64
    }
}

/// Few pixels of values far beyond all others, with their neighbours.
fn specks(plane: &Image<f32>, blank: Option<&Image<bool>>) -> Option<Image<bool>> {
    let is_seen = |i: usize| blank.is_none_or(|blank| !blank.data()[i]);
    let places = plane.data().iter().enumerate();
    let mut seen: Vec<f32> = places
        .filter(|&(i, _)| is_seen(i))
        .map(|(_, &v)| v)
        .collect();
    let rank = SpeckLimits::rank(seen.len())?;
    let last = seen.len() - 1;
    let low = *seen.select_nth_unstable_by(rank, f32::total_cmp).1;
    let high = *seen.select_nth_unstable_by(last - rank, f32::total_cmp).1;
    let limits = SpeckLimits::between(low, high)?;
    let count = seen.iter().filter(|&&v| limits.is_far(v)).count();
    if !SpeckLimits::are_few(count, seen.len()) {
        return None;
    }
    let (height, width) = plane.size();
    let mut specks = Image::filled(height, width, false);
    for (i, &v) in plane.data().iter().enumerate() {
        if is_seen(i) && limits.is_far(v) {
            let (y, x) = (i / width, i % width);
            for y in y.saturating_sub(1)..(y + 2).min(height) {
                for x in x.saturating_sub(1)..(x + 2).min(width) {
                    *specks.get_mut(y, x) = true;
                }
            }
        }
    }
    Some(specks)
}

/// Pixels of either mask, which are of one size.
pub fn joined(a: Option<Image<bool>>, b: Option<Image<bool>>) -> Option<Image<bool>> {
    match (a, b) {
        (Some(mut a), Some(b)) => {
            let pairs = a.data_mut().iter_mut().zip(b.data());
            pairs.for_each(|(a, &b)| *a |= b);
            Some(a)
        }
        (a, b) => a.or(b),
    }
}

/// The blank pixels without lone ones: a dead pixel that was filled from around it is as good as
/// seen. `None` where nothing is left.
pub fn blank_regions(blank: &Image<bool>) -> Option<Image<bool>> {
    let kept = without_small(Bits::from_mask(blank), LEAST_LENGTH, Connectivity::Eight);
    (kept.count() > 0).then(|| kept.to_mask())
}

/// Share of the pixels that are blank.
pub fn blank_share(blank: Option<&Image<bool>>) -> f64 {
    blank.map_or(0.0, |blank| {
        let count = blank.data().iter().filter(|&&b| b).count();
        count as f64 / blank.data().len().max(1) as f64
    })
}

/// `image` with its blank pixels filled from around them, smoothly, so that filters may cross their
/// edge. Where all are blank they become 0.
///
/// Means of the pixels that are known are halved in size until none is missing, and handed back
/// down ("pull-push"; Gortler et al. 1996, "The Lumigraph").
pub fn fill_blank(image: &Image<f32>, blank: &Image<bool>) -> Image<f32> {
    if !blank.data().contains(&false) {
        return image.map(|_| 0.0);
    }
    let mut out = image.clone();
    for (v, &b) in out.data_mut().iter_mut().zip(blank.data()) {
        if b {
            *v = 0.0;
        }
    }
    fill(&mut out, blank);
    out
}

fn fill(image: &mut Image<f32>, blank: &Image<bool>) {
    if !blank.data().contains(&true) {
        return;
    }
    let (height, width) = image.size();
    let half = |n: usize| n.div_ceil(2);
    let known =
        |y: usize, x: usize| (y < height && x < width && !blank.get(y, x)).then_some((y, x));
    let below = |y: usize, x: usize| {
        let places = [(0, 0), (0, 1), (1, 0), (1, 1)];
        places
            .into_iter()
            .filter_map(move |(i, j)| known(2 * y + i, 2 * x + j))
    };
    let mut smaller = Image::from_fn(half(height), half(width), |y, x| {
        let (mut sum, mut count) = (0.0f32, 0);
        for (y, x) in below(y, x) {
            sum += image.get(y, x);
            count += 1;
        }
        sum / count.max(1) as f32
    });
    let missing = Image::from_fn(half(height), half(width), |y, x| {
        below(y, x).next().is_none()
    });
    fill(&mut smaller, &missing);
    // Between the four nearest of the smaller image, so that no step is left at its blocks.
    let between = |i: usize, n: usize| {
        let nearest = i / 2;
        let other = if i.is_multiple_of(2) {
            nearest.saturating_sub(1)
        } else {
            nearest + 1
        };
        (nearest, other.min(n - 1))
    };
    let size = smaller.size();
    for y in 0..height {
        let (y0, y1) = between(y, size.0);
        for x in 0..width {
            if blank.get(y, x) {
                let (x0, x1) = between(x, size.1);
                let at = |y, x| smaller.get(y, x);
                let near = 0.75 * at(y0, x0) + 0.25 * at(y0, x1);
                let far = 0.75 * at(y1, x0) + 0.25 * at(y1, x1);
                *image.get_mut(y, x) = 0.75 * near + 0.25 * far;
            }
        }
    }
}

/// Whether equal values stand in a row or a column anywhere, as many as a region needs.
fn has_long_run(plane: &Image<f32>) -> bool {
    let mut columns = vec![1usize; plane.width()];
    for y in 0..plane.height() {
        let row = plane.row(y);
        let mut length = 1;
        for x in 1..row.len() {
            length = if row[x] == row[x - 1] { length + 1 } else { 1 };
            if length >= LEAST_LENGTH {
                return true;
            }
        }
        if y > 0 {
            for ((n, a), b) in columns.iter_mut().zip(row).zip(plane.row(y - 1)) {
                *n = if a == b { *n + 1 } else { 1 };
                if *n >= LEAST_LENGTH {
                    return true;
                }
            }
        }
    }
    // A field smaller than any region may still be of one value.
    plane.data().len() > 1 && plane.data().iter().all(|v| *v == plane.data()[0])
}

/// One side of a pixel at the edge of a region.
#[derive(Clone, Copy)]
struct Edge {
    y: usize,
    x: usize,
    /// Towards the picture.
    outward: (isize, isize),
}

impl Edge {
    /// The place `steps` pixels beyond the edge.
    fn beyond(self, steps: isize, (height, width): (usize, usize)) -> Option<(usize, usize)> {
        let y = self.y.checked_add_signed(steps * self.outward.0)?;
        let x = self.x.checked_add_signed(steps * self.outward.1)?;
        (y < height && x < width).then_some((y, x))
    }
}

/// A region of one value and what is measured of it.
struct Region {
    label: u32,
    frame: Frame,
    value: f32,
    area: usize,
    /// Whether its edge is a mixture of both sides, as after a rotation.
    mixed_edge: bool,
    pixels: std::rc::Rc<Image<u32>>,
}

impl Region {
    fn paint(&self, blank: &mut Image<bool>) {
        let (height, width) = blank.size();
        for y in self.frame.rows() {
            for x in self.frame.columns() {
                if self.pixels.get(y, x) != self.label {
                    continue;
                }
                *blank.get_mut(y, x) = true;
                if self.mixed_edge {
                    for y in y.saturating_sub(1)..(y + 2).min(height) {
                        for x in x.saturating_sub(1)..(x + 2).min(width) {
                            *blank.get_mut(y, x) = true;
                        }
                    }
                }
            }
        }
    }
}

/// The blank regions of finite value.
fn regions(plane: &Image<f32>) -> Vec<Region> {
    // 0 stands for what is no number; +0 and -0 are one value.
    let bits = |&v: &f32| {
        if v.is_finite() {
            (v + 0.0).to_bits() + 1
        } else {
            0
        }
    };
    let values = plane.map(bits);
    let found = Components::of_values(&values, Connectivity::Four);
    let groups = found.groups();
    let areas = found.areas();
    let pixels = std::rc::Rc::new(found.painted().image);
    let judge = |i: usize| {
        let label = i + 1;
        if areas[label] < LEAST_LENGTH.min(plane.data().len()) {
            return None;
        }
        let (y, run) = *groups.runs(i).first()?;
        let region = Region {
            label: label as u32,
            frame: groups.frame(i),
            value: plane.get(y as usize, run.from as usize),
            area: areas[label],
            mixed_edge: false,
            pixels: pixels.clone(),
        };
        judged(region, plane)
    };
    let mut regions: Vec<Region> = (0..groups.len()).filter_map(judge).collect();
    let mut known: Vec<f32> = regions.iter().map(|region| region.value).collect();
    known.sort_unstable_by(f32::total_cmp);
    known.dedup();
    if known.len() > MOST_VALUES {
        let finite = || plane.data().iter().copied().filter(|v| v.is_finite());
        let least = finite().fold(f32::INFINITY, f32::min);
        let largest = finite().fold(f32::NEG_INFINITY, f32::max);
        regions.retain(|region| region.value == least || region.value == largest);
    }
    if !regions.is_empty() && is_drawn(plane, &regions) {
        regions.clear();
    }
    regions
}

/// Whether the rest of the picture is constant by pieces too.
fn is_drawn(plane: &Image<f32>, regions: &[Region]) -> bool {
    let mut blank = plane.map(|v| !v.is_finite());
    regions.iter().for_each(|region| region.paint(&mut blank));
    let (mut equal, mut pairs) = (0u64, 0u64);
    for y in 0..plane.height() {
        let (row, blank) = (plane.row(y), blank.row(y));
        for x in 1..row.len() {
            if !blank[x] && !blank[x - 1] {
                pairs += 1;
                equal += u64::from(row[x] == row[x - 1]);
            }
        }
    }
    equal as f64 > DRAWN * pairs as f64
}

/// The region if it is blank.
fn judged(mut region: Region, plane: &Image<f32>) -> Option<Region> {
    let size = plane.size();
    let (tall, wide) = region.frame.size();
    if region.area == plane.data().len() {
        return Some(region);
    }
    if tall.max(wide) < LEAST_LENGTH {
        return None;
    }
    let edges = edges_of(&region, plane);
    if edges.is_empty() {
        // Only what is no number lies around it.
        return Some(region);
    }
    let at_border = at_border(&region, size) >= LEAST_LENGTH;
    let upright = upright(&edges);
    let share = |straight: &[Edge]| straight.len() as f64 / edges.len() as f64;
    let straight = if share(&upright) >= STRAIGHT_SHARE {
        let large = region.area >= LEAST_AREA && tall.min(wide) >= LEAST_SIDE;
        (at_border || large || tall.max(wide) >= LEAST_LINE).then_some(upright)?
    } else {
        // A ragged outline is as long as it likes.
        let plausible = at_border && edges.len() <= 20 * (size.0 + size.1);
        let slanted = plausible.then(|| slanted(&edges, region.frame))?;
        match share(&slanted) >= STRAIGHT_SHARE {
            true => slanted,
            false => {
                let around = around_view(&edges, size);
                (share(&around) >= STRAIGHT_SHARE).then_some(around)?
            }
        }
    };
    let step = |distance: isize| {
        let places = straight
            .iter()
            .filter_map(|edge| edge.beyond(distance, size));
        let mut steps: Vec<f32> = places
            .map(|(y, x)| (plane.get(y, x) - region.value).abs())
            .filter(|step| step.is_finite())
            .collect();
        let middle = steps.len() / 2;
        (!steps.is_empty()).then(|| *steps.select_nth_unstable_by(middle, f32::total_cmp).1)
    };
    let (first, near, far) = (step(1), step(2), step(8));
    if let (Some(near), Some(far)) = (near, far)
        && near < STEP * far
    {
        return None;
    }
    region.mixed_edge = first
        .zip(near)
        .is_some_and(|(first, near)| first < 0.8 * near);
    Some(region)
}

/// The sides of the region's pixels at which the picture begins.
fn edges_of(region: &Region, plane: &Image<f32>) -> Vec<Edge> {
    let mut edges = Vec::new();
    for y in region.frame.rows() {
        for x in region.frame.columns() {
            if region.pixels.get(y, x) != region.label {
                continue;
            }
            for outward in [(-1, 0), (1, 0), (0, -1), (0, 1)] {
                let edge = Edge { y, x, outward };
                let beyond = edge.beyond(1, plane.size());
                if beyond.is_some_and(|(y, x)| {
                    // A region without a number has no label.
                    region.pixels.get(y, x) != region.label && region.pixels.get(y, x) != 0
                }) {
                    edges.push(edge);
                }
            }
        }
    }
    edges
}

/// Most pixels that the region has on one border of the field.
fn at_border(region: &Region, (height, width): (usize, usize)) -> usize {
    let mine = |y: usize, x: usize| usize::from(region.pixels.get(y, x) == region.label);
    let row = |y: usize| (0..width).map(|x| mine(y, x)).sum::<usize>();
    let column = |x: usize| (0..height).map(|y| mine(y, x)).sum::<usize>();
    let rows = row(0).max(row(height - 1));
    rows.max(column(0)).max(column(width - 1))
}

/// The edges that stand in line with others, upright or level, with few gaps.
fn upright(edges: &[Edge]) -> Vec<Edge> {
    const LONGEST_GAP: usize = 4;
    const LEAST_DENSITY: f64 = 0.6;
    let mut straight = Vec::new();
    for outward in [(-1, 0), (1, 0), (0, -1), (0, 1)] {
        let mut line: Vec<Edge> = edges
            .iter()
            .copied()
            .filter(|edge| edge.outward == outward)
            .collect();
        let place = |edge: &Edge| match outward.0 {
            0 => (edge.x, edge.y),
            _ => (edge.y, edge.x),
        };
        line.sort_unstable_by_key(place);
        let near = |a: &Edge, b: &Edge| {
            let (a, b) = (place(a), place(b));
            a.0 == b.0 && b.1 - a.1 <= LONGEST_GAP
        };
        for piece in line.chunk_by(near) {
            let span = place(&piece[piece.len() - 1]).1 - place(&piece[0]).1 + 1;
            if piece.len() >= STRAIGHT && piece.len() as f64 >= LEAST_DENSITY * span as f64 {
                straight.extend_from_slice(piece);
            }
        }
    }
    straight
}

/// The edges around which the outline is a straight line, in the few directions that most have.
fn slanted(edges: &[Edge], frame: Frame) -> Vec<Edge> {
    let (height, width) = frame.size();
    let mut outline = Image::filled(height, width, false);
    for edge in edges {
        *outline.get_mut(edge.y - frame.top, edge.x - frame.left) = true;
    }
    let mut known: std::collections::HashMap<(usize, usize), Option<usize>> = Default::default();
    let with_direction = |edge: &Edge| {
        let (y, x) = (edge.y - frame.top, edge.x - frame.left);
        let found = known
            .entry((y, x))
            .or_insert_with(|| direction(&outline, y, x));
        Some((*edge, (*found)?))
    };
    let mut left: Vec<(Edge, usize)> = edges.iter().filter_map(with_direction).collect();
    let mut straight = Vec::new();
    for _ in 0..DIRECTIONS {
        let of_most = most_frequent(left.iter().map(|&(_, degrees)| degrees));
        let (these, others) = left
            .into_iter()
            .partition(|&(_, degrees)| between(degrees, of_most) <= SAME_DIRECTION);
        let these: Vec<(Edge, usize)> = these;
        straight.extend(these.into_iter().map(|(edge, _)| edge));
        left = others;
    }
    straight
}

/// The edges that lie on one large circle around the picture, as those of the corners that a round
/// field of view leaves; none where there is no such circle.
fn around_view(edges: &[Edge], (height, width): (usize, usize)) -> Vec<Edge> {
    let Some((cy, cx, radius)) = circle(edges) else {
        return Vec::new();
    };
    if radius < LEAST_VIEW * height.min(width) as f64 {
        return Vec::new();
    }
    let is_on = |edge: &Edge| {
        let (dy, dx) = (cy - edge.y as f64, cx - edge.x as f64);
        // The picture lies inside of it.
        let inward = dy * edge.outward.0 as f64 + dx * edge.outward.1 as f64 > 0.0;
        inward && (dy.hypot(dx) - radius).abs() <= ON_CIRCLE
    };
    edges.iter().copied().filter(is_on).collect()
}

/// Centre and radius of the circle nearest to the edges: least squares of `y^2 + x^2 + a y + b x +
/// c` (Kasa 1976).
fn circle(edges: &[Edge]) -> Option<(f64, f64, f64)> {
    let n = edges.len() as f64;
    let mean = |value: &dyn Fn(&Edge) -> f64| edges.iter().map(value).sum::<f64>() / n;
    let (my, mx) = (mean(&|e| e.y as f64), mean(&|e| e.x as f64));
    let moment =
        |py: i32, px: i32| mean(&|e| (e.y as f64 - my).powi(py) * (e.x as f64 - mx).powi(px));
    let (yy, xx, yx) = (moment(2, 0), moment(0, 2), moment(1, 1));
    let right = (
        (moment(3, 0) + moment(1, 2)) / 2.0,
        (moment(0, 3) + moment(2, 1)) / 2.0,
    );
    let determinant = yy * xx - yx * yx;
    if !(determinant > f64::EPSILON * (yy + xx) * (yy + xx)) {
        return None;
    }
    let dy = (right.0 * xx - right.1 * yx) / determinant;
    let dx = (right.1 * yy - right.0 * yx) / determinant;
    Some((my + dy, mx + dx, (dy * dy + dx * dx + yy + xx).sqrt()))
}

/// Degrees between two directions of lines, which come back after 180.
fn between(one: usize, other: usize) -> usize {
    let apart = one.abs_diff(other);
    apart.min(180 - apart)
}

/// The direction around which most of `degrees` lie.
fn most_frequent(degrees: impl Iterator<Item = usize>) -> usize {
    let mut counts = [0usize; 180];
    degrees.for_each(|degrees| counts[degrees] += 1);
    let around = |middle: &usize| -> usize {
        let near = (0..180).filter(|&other| between(other, *middle) <= SAME_DIRECTION);
        near.map(|other| counts[other]).sum()
    };
    (0..180).max_by_key(around).unwrap_or(0)
}

/// The direction of the outline around a pixel, in degrees from 0 to 179, if it is a straight line
/// there.
fn direction(outline: &Image<bool>, y: usize, x: usize) -> Option<usize> {
    let reach = STRAIGHT;
    let (height, width) = outline.size();
    let (mut n, mut sums, mut squares) = (0.0f64, [0.0f64; 2], [0.0f64; 3]);
    for v in y.saturating_sub(reach)..(y + reach + 1).min(height) {
        let columns = x.saturating_sub(reach)..(x + reach + 1).min(width);
        for u in columns.filter(|&u| outline.get(v, u)) {
            let (dy, dx) = (v as f64 - y as f64, u as f64 - x as f64);
            n += 1.0;
            sums = [sums[0] + dy, sums[1] + dx];
            squares = [
                squares[0] + dy * dy,
                squares[1] + dy * dx,
                squares[2] + dx * dx,
            ];
        }
    }
    let mean = sums.map(|sum| sum / n);
    let yy = squares[0] / n - mean[0] * mean[0];
    let yx = squares[1] / n - mean[0] * mean[1];
    let xx = squares[2] / n - mean[1] * mean[1];
    // The smaller eigenvalue: the variance across the line.
    let across = (yy + xx) / 2.0 - ((yy - xx) / 2.0).hypot(yx);
    let is_straight =
        n >= reach as f64 && n <= 3.2 * reach as f64 && across.max(0.0).sqrt() <= LARGEST_DEVIATION;
    let degrees = (2.0 * yx).atan2(xx - yy).to_degrees() / 2.0;
    is_straight.then(|| (degrees.rem_euclid(180.0) as usize) % 180)
}
