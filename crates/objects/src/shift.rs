//! The shift of a stain against the brightfield, from the images alone, to parts of a pixel.
//!
//! The two modalities look nothing alike, and the contrast of a brightfield turns over with its
//! focus. What they share is where structure lies. So a stain is *predicted* from the brightfield
//! by the best linear mixture of features that know no direction, once for every shift; the shift
//! at which the prediction is best is the one looked for. The sign of every feature is free, so
//! inverted contrast changes nothing, and features without a direction cannot move the optimum to
//! one side.
//!
//! 1. Features of a brightfield plane, all isotropic: bands of differences of Gaussians, local
//!    energy of three bands, gradient magnitude. Targets of a stain: its logarithm and its gradient
//!    magnitude, both without slow parts.
//! 2. In tiles: cross-correlation `c(s)` of every feature with every target for whole-pixel shifts
//!    `s`, covariance `C` of the features, energy `v` of the target.
//! 3. Sums over tiles and fields give `R2(s) = c(s)' C^-1 c(s) / v`, the share of the target
//!    explained. Its peak, with a paraboloid through the 3 x 3 values around it, is the shift.
//! 4. Tiles drawn anew with replacement give its uncertainty.
//!
//! The score is the multiple correlation of canonical analysis; the peak interpolation is that of
//! phase correlation. Not here: rotation, scaling, warps; which fields are pooled; moving masks by
//! it.

use crate::blank::{blank_pixels, fill_blank};
use crate::error::{ObjectsError, same_size};
use crate::gaussian::{box_mean, gaussian};
use crate::verdict::noise_level;
use rustfft::num_complex::Complex32;
use rustfft::{Fft, FftPlanner};
use serde::{Deserialize, Serialize};
use stainfree_image::Image;
use stainfree_image::random::Stream;
use std::sync::Arc;

/// Largest shift that is looked for, in pixels: twice the 8 px of a badly set up plate.
pub const LARGEST_SHIFT_PX: usize = 16;

/// Side of a tile of the stain in pixels: several cells, and small enough to be drawn anew.
const TILE: usize = 128;
/// Side of the brightfield around it that every shift needs; 160 = 2^5 x 5 suits the transform.
const WINDOW: usize = TILE + 2 * LARGEST_SHIFT_PX;
/// Brightfield read around a window, so that most of a filter's reach is real.
const MARGIN: usize = 32;
/// Tiles used of a field, those with most structure: enough for a field, whatever its size.
const TILES_PER_FIELD: usize = 32;
/// Shifts on a side of the table of scores.
const SIDE: usize = 2 * LARGEST_SHIFT_PX + 1;
/// Features of a brightfield plane, and targets of a stain.
const FEATURES: usize = 8;
const TARGETS: usize = 2;
/// Drawings of the bootstrap: enough for a 95 % point.
const DRAWINGS: usize = 100;
/// The key of the blocks that are drawn.
const DRAWINGS_KEY: u64 = 0x7368_6966_7421;
/// Most blocks that are drawn from: more do not change the interval.
const BLOCKS: usize = 48;
/// Fewer tiles than this say nothing about uncertainty.
const LEAST_BLOCKS: usize = 4;
/// Ridge, as a share of the mean variance of the features.
const RIDGE: f64 = 1e-3;

/// What one or several fields say about the shift: sums that can be pooled.
#[derive(Clone, Debug, PartialEq)]
pub struct ShiftEvidence {
    blocks: Vec<Sums>,
}

/// Sums over tiles; `n` features, shifts in raster order.
#[derive(Clone, Debug, PartialEq)]
struct Sums {
    /// `[TARGETS][SIDE * SIDE][n]`.
    cross: Vec<f32>,
    /// `[n][n]`.
    covariance: Vec<f64>,
    /// `[TARGETS]`.
    energy: [f64; TARGETS],
    tiles: usize,
}

/// A shift with its uncertainty.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShiftEstimate {
    /// How far the stain lies below (`dy`) and right (`dx`) of the brightfield, in pixels.
    pub dy_px: f64,
    /// See `dy_px`.
    pub dx_px: f64,
    /// 95 % of the drawings of the bootstrap lie within this distance, in pixels; infinite where
    /// the tiles are too few to tell.
    pub radius95_px: f64,
    /// Share of the stain's fine structure that the brightfield explains at this shift.
    pub explained: f64,
    /// Tiles that were pooled.
    pub tiles: usize,
}

/// What a stain of a field says about its shift against the brightfield.
///
/// `brightfield` are one or several planes, `stain` a stain of the same field. A field smaller than
/// 160 x 160 pixels has no tile and says nothing.
///
/// # Errors
/// [`ObjectsError::SizeMismatch`] if the images differ in size.
pub fn shift_evidence(
    brightfield: &[Image<f32>],
    stain: &Image<f32>,
) -> Result<ShiftEvidence, ObjectsError> {
    for plane in brightfield {
        same_size("the brightfield", plane.size(), "the stain", stain.size())?;
    }
    let (height, width) = stain.size();
    if height < WINDOW || width < WINDOW || brightfield.is_empty() {
        return Ok(ShiftEvidence { blocks: Vec::new() });
    }
    // A rim is structure that both images share, wherever the stain lies.
    let filled = |image: &Image<f32>| blank_pixels(image).map(|blank| fill_blank(image, &blank));
    let own = filled(stain);
    let stain = own.as_ref().unwrap_or(stain);
    let own: Vec<Option<Image<f32>>> = brightfield.iter().map(filled).collect();
    let pairs = brightfield.iter().zip(&own);
    let brightfield: Vec<&Image<f32>> = pairs.map(|(b, own)| own.as_ref().unwrap_or(b)).collect();
    let targets = targets_of(stain);
    let correlator = Correlator::new();
    let blocks = liveliest_tiles(&targets[0])
        .into_iter()
        .map(|(y, x)| {
            let features: Vec<Vec<f32>> = brightfield
                .iter()
                .flat_map(|plane| features_of(plane, y, x))
                .collect();
            let tiles = targets.each_ref().map(|target| tile_of(target, y, x));
            correlator.sums(&features, &tiles)
        })
        .collect();
    Ok(ShiftEvidence { blocks })
}

impl ShiftEvidence {
    /// The evidence of several fields together.
    pub fn pooled(parts: impl IntoIterator<Item = ShiftEvidence>) -> ShiftEvidence {
        ShiftEvidence {
            blocks: parts.into_iter().flat_map(|part| part.blocks).collect(),
        }
    }

    /// The same evidence in at most `count` blocks: less memory, and whole wells are drawn instead
    /// of tiles.
    pub fn merged(self, count: usize) -> ShiftEvidence {
        let total = self.blocks.len();
        let count = count.clamp(1, total.max(1));
        let mut blocks: Vec<Sums> = Vec::with_capacity(count);
        for (i, block) in self.blocks.into_iter().enumerate() {
            // Neighbours in order stay together: tiles of a field depend on each other.
            let at = i * count / total;
            match blocks.get_mut(at) {
                Some(sum) => sum.add(&block, 1.0),
                None => blocks.push(block),
            }
        }
        ShiftEvidence { blocks }
    }

    /// The shift that explains most; `None` without tiles, or where no shift within
    /// [`LARGEST_SHIFT_PX`] is better than its neighbours.
    pub fn estimate(&self) -> Option<ShiftEstimate> {
        let blocks = self.clone().merged(BLOCKS).blocks;
        let first = blocks.first()?;
        let total = first.weighted(&blocks, &vec![1.0; blocks.len()]);
        let (place, explained) = total.best()?;
        let radius95_px = if blocks.len() < LEAST_BLOCKS {
            f64::INFINITY
        } else {
            radius95(&blocks, place)
        };
        Some(ShiftEstimate {
            dy_px: place.0,
            dx_px: place.1,
            radius95_px,
            explained,
            tiles: total.tiles,
        })
    }
}

impl ShiftEstimate {
    /// Whether 95 of 100 repetitions would lie within `limit_px`.
    pub fn is_certain(&self, limit_px: f64) -> bool {
        self.radius95_px <= limit_px
    }

    /// Whether two estimates differ by no more than their uncertainties together.
    pub fn agrees_with(&self, other: &ShiftEstimate) -> bool {
        (self.dy_px - other.dy_px).hypot(self.dx_px - other.dx_px)
            <= self.radius95_px + other.radius95_px
    }
}

/// The distance from `place` within which 95 % of the drawings of `blocks` peak.
fn radius95(blocks: &[Sums], place: (f64, f64)) -> f64 {
    let mut random = Stream::new(DRAWINGS_KEY);
    let mut distances: Vec<f64> = (0..DRAWINGS)
        .map(|_| {
            let mut weights = vec![0.0f32; blocks.len()];
            for _ in 0..blocks.len() {
                weights[random.below(blocks.len())] += 1.0;
            }
            let drawn = blocks[0].weighted(blocks, &weights).best();
            drawn.map_or(f64::INFINITY, |((y, x), _)| {
                (y - place.0).hypot(x - place.1)
            })
        })
        .collect();
    distances.sort_unstable_by(f64::total_cmp);
    distances[DRAWINGS * 95 / 100 - 1]
}

impl Sums {
    fn add(&mut self, other: &Sums, weight: f32) {
        for (a, b) in self.cross.iter_mut().zip(&other.cross) {
            *a += weight * b;
        }
        for (a, b) in self.covariance.iter_mut().zip(&other.covariance) {
            *a += f64::from(weight) * b;
        }
        for (a, b) in self.energy.iter_mut().zip(&other.energy) {
            *a += f64::from(weight) * b;
        }
        self.tiles += weight as usize * other.tiles;
    }

    /// The sum of `blocks`, each times its weight; the sizes are those of `self`.
    fn weighted(&self, blocks: &[Sums], weights: &[f32]) -> Sums {
        let mut sum = Sums {
            cross: vec![0.0; self.cross.len()],
            covariance: vec![0.0; self.covariance.len()],
            energy: [0.0; TARGETS],
            tiles: 0,
        };
        for (block, &weight) in blocks.iter().zip(weights) {
            if weight > 0.0 {
                sum.add(block, weight);
            }
        }
        sum
    }

    /// The shift that explains most, and how much; the mean over the targets.
    fn best(&self) -> Option<((f64, f64), f64)> {
        let n = self.covariance.len().isqrt();
        let factor = cholesky(&self.covariance, n)?;
        let mut score = vec![0.0f64; SIDE * SIDE];
        let mut solved = vec![0.0f64; n];
        for (target, &energy) in self.energy.iter().enumerate() {
            if !(energy > 0.0) {
                continue;
            }
            for (place, value) in score.iter_mut().enumerate() {
                let c = &self.cross[(target * SIDE * SIDE + place) * n..][..n];
                *value += squared_norm(&factor, c, &mut solved) / (energy * TARGETS as f64);
            }
        }
        let place = (0..score.len()).max_by(|&a, &b| score[a].total_cmp(&score[b]))?;
        let (y, x) = (place / SIDE, place % SIDE);
        let inner = 1..SIDE - 1;
        if !inner.contains(&y) || !inner.contains(&x) || !(score[place] > 0.0) {
            return None;
        }
        let (dy, dx) = paraboloid(&score, SIDE, y, x);
        let reach = LARGEST_SHIFT_PX as f64;
        Some(((y as f64 + dy - reach, x as f64 + dx - reach), score[place]))
    }
}

/// Lower triangle `L` with `L L' = C + ridge`, `[n][n]`; `None` for features that are all constant.
fn cholesky(covariance: &[f64], n: usize) -> Option<Vec<f64>> {
    let trace: f64 = (0..n).map(|i| covariance[i * n + i]).sum();
    let ridge = RIDGE * trace / n as f64;
    if !(ridge > 0.0) {
        return None;
    }
    let mut l = vec![0.0f64; n * n];
    for i in 0..n {
        for j in 0..=i {
            let inner: f64 = (0..j).map(|k| l[i * n + k] * l[j * n + k]).sum();
            let value = covariance[i * n + j] - inner;
            l[i * n + j] = if i == j {
                (value + ridge).sqrt()
            } else {
                value / l[j * n + j]
            };
        }
    }
    Some(l)
}

/// `c' (L L')^-1 c`, by solving `L z = c`.
fn squared_norm(l: &[f64], c: &[f32], z: &mut [f64]) -> f64 {
    let n = c.len();
    for i in 0..n {
        let inner: f64 = (0..i).map(|k| l[i * n + k] * z[k]).sum();
        z[i] = (f64::from(c[i]) - inner) / l[i * n + i];
    }
    z.iter().map(|v| v * v).sum()
}

/// Top of the least-squares paraboloid through the 3 x 3 values around `(y, x)` of a table of
/// `side` columns, relative to it.
pub(crate) fn paraboloid(score: &[f64], side: usize, y: usize, x: usize) -> (f64, f64) {
    let at = |dy: usize, dx: usize| score[(y + dy - 1) * side + x + dx - 1];
    let column = |dx: usize| at(0, dx) + at(1, dx) + at(2, dx);
    let row = |dy: usize| at(dy, 0) + at(dy, 1) + at(dy, 2);
    let (gy, gx) = ((row(2) - row(0)) / 6.0, (column(2) - column(0)) / 6.0);
    let yy = (row(2) - 2.0 * row(1) + row(0)) / 3.0;
    let xx = (column(2) - 2.0 * column(1) + column(0)) / 3.0;
    let yx = (at(2, 2) - at(2, 0) - at(0, 2) + at(0, 0)) / 4.0;
    let determinant = yy * xx - yx * yx;
    if !(determinant > 0.0) {
        return (0.0, 0.0);
    }
    let dy = (yx * gx - xx * gy) / determinant;
    let dx = (yx * gy - yy * gx) / determinant;
    (dy.clamp(-1.0, 1.0), dx.clamp(-1.0, 1.0))
}

/// Logarithm and gradient magnitude of a stain, without slow parts.
fn targets_of(stain: &Image<f32>) -> [Image<f32>; TARGETS] {
    let noise = noise_level(stain);
    let mut sample: Vec<f32> = stain.data().iter().step_by(7).copied().collect();
    let tenth = sample.len() / 10;
    let low = *sample.select_nth_unstable_by(tenth, f32::total_cmp).1;
    // The knee hides the noise of the empty ground.
    let log = gaussian(stain, 1.0).map(|&v| ((v - low).max(0.0) + 10.0 * noise).ln());
    let slope = gradient_magnitude(&gaussian(&log, 1.0));
    [
        minus(&log, &gaussian(&log, 4.0)),
        minus(&slope, &gaussian(&slope, 8.0)),
    ]
}

/// First corners of the tiles with most of the target's energy, in raster order.
fn liveliest_tiles(target: &Image<f32>) -> Vec<(usize, usize)> {
    let places = |length: usize| -> Vec<usize> {
        let count = (length - 2 * LARGEST_SHIFT_PX) / TILE;
        let free = length - 2 * LARGEST_SHIFT_PX - TILE;
        (0..count)
            .map(|i| LARGEST_SHIFT_PX + free * i / (count - 1).max(1))
            .collect()
    };
    let mut tiles: Vec<(f64, usize, usize)> = Vec::new();
    let columns = places(target.width());
    for y in places(target.height()) {
        for &x in &columns {
            let energy: f64 = (y..y + TILE)
                .flat_map(|row| &target.row(row)[x..x + TILE])
                .map(|&v| f64::from(v * v))
                .sum();
            tiles.push((energy, y, x));
        }
    }
    tiles.sort_by(|a, b| b.0.total_cmp(&a.0));
    tiles.truncate(TILES_PER_FIELD);
    let mut places: Vec<(usize, usize)> = tiles.into_iter().map(|(_, y, x)| (y, x)).collect();
    places.sort_unstable();
    places
}

/// `TILE` x `TILE` values of a target, without their mean.
fn tile_of(target: &Image<f32>, y: usize, x: usize) -> Vec<f32> {
    let mut tile = target.crop(y, x, TILE, TILE).into_data();
    remove_mean(&mut tile);
    tile
}

/// The features of a brightfield plane in the window around the tile at `(y, x)`, `WINDOW` x
/// `WINDOW` each.
fn features_of(plane: &Image<f32>, y: usize, x: usize) -> [Vec<f32>; FEATURES] {
    let (y, x) = (y - LARGEST_SHIFT_PX, x - LARGEST_SHIFT_PX);
    let (top, left) = (y.saturating_sub(MARGIN), x.saturating_sub(MARGIN));
    let bottom = (y + WINDOW + MARGIN).min(plane.height());
    let right = (x + WINDOW + MARGIN).min(plane.width());
    let window = plane.crop(top, left, bottom - top, right - left);
    let light = box_mean(&window, 32);
    let relative = Image::new(
        window.height(),
        window.width(),
        window
            .data()
            .iter()
            .zip(light.data())
            .map(|(&v, &l)| if l > 0.0 { v / l } else { 1.0 })
            .collect(),
    );
    let [g1, g2, g4, g8] = [1.0, 2.0, 4.0, 8.0].map(|sigma| gaussian(&relative, sigma));
    let fast = minus(&relative, &g2);
    let (middle, coarse) = (minus(&g2, &g4), minus(&g4, &g8));
    let energy = |band: &Image<f32>, sigma: f64| {
        gaussian(&band.map(|&v| v * v), sigma).map(|&v| v.max(0.0).sqrt())
    };
    let swells = [
        energy(&fast, 2.0),
        energy(&middle, 3.0),
        energy(&coarse, 5.0),
        gradient_magnitude(&g2),
    ]
    .map(|map| minus(&map, &box_mean(&map, 24)));
    let slow = minus(&g8, &box_mean(&relative, 20));
    let [e0, e1, e2, edges] = swells;
    [minus(&g1, &g2), middle, coarse, slow, e0, e1, e2, edges].map(|map| {
        let mut values = map.crop(y - top, x - left, WINDOW, WINDOW).into_data();
        limit_outliers(&mut values);
        remove_mean(&mut values);
        values
    })
}

/// Scales to the median magnitude and cuts what lies beyond 4 robust standard deviations: dust and
/// debris.
fn limit_outliers(values: &mut [f32]) {
    let mut sizes: Vec<f32> = values.iter().map(|v| v.abs()).collect();
    let middle = sizes.len() / 2;
    // 1.4826 turns a median magnitude into a standard deviation of a normal distribution.
    let scale = 1.4826 * *sizes.select_nth_unstable_by(middle, f32::total_cmp).1;
    if scale > 0.0 {
        for v in values {
            *v = (*v / scale).clamp(-4.0, 4.0);
        }
    }
}

fn remove_mean(values: &mut [f32]) {
    let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len() as f64;
    for v in values {
        *v -= mean as f32;
    }
}

fn minus(a: &Image<f32>, b: &Image<f32>) -> Image<f32> {
    let data = a.data().iter().zip(b.data()).map(|(a, b)| a - b).collect();
    Image::new(a.height(), a.width(), data)
}

/// Length of the gradient by central differences; one-sided at the rim.
fn gradient_magnitude(image: &Image<f32>) -> Image<f32> {
    let (height, width) = image.size();
    Image::from_fn(height, width, |y, x| {
        let (up, down) = (y.saturating_sub(1), (y + 1).min(height - 1));
        let (left, right) = (x.saturating_sub(1), (x + 1).min(width - 1));
        let dy = (image.get(down, x) - image.get(up, x)) / (down - up).max(1) as f32;
        let dx = (image.get(y, right) - image.get(y, left)) / (right - left).max(1) as f32;
        dy.hypot(dx)
    })
}

/// Cross-correlation of windows with tiles through the Fourier transform.
struct Correlator {
    forward: Arc<dyn Fft<f32>>,
    inverse: Arc<dyn Fft<f32>>,
}

impl Correlator {
    fn new() -> Self {
        let mut planner = FftPlanner::new();
        Self {
            forward: planner.plan_fft_forward(WINDOW),
            inverse: planner.plan_fft_inverse(WINDOW),
        }
    }

    fn sums(&self, features: &[Vec<f32>], targets: &[Vec<f32>; TARGETS]) -> Sums {
        let n = features.len();
        // Two real features travel as one complex image.
        let pairs: Vec<Vec<Complex32>> = features
            .chunks(2)
            .map(|pair| {
                let second = pair.get(1);
                let value = |i: usize| Complex32::new(pair[0][i], second.map_or(0.0, |f| f[i]));
                let mut image: Vec<Complex32> = (0..WINDOW * WINDOW).map(value).collect();
                transform(&*self.forward, &mut image);
                image
            })
            .collect();
        let mut cross = vec![0.0f32; TARGETS * SIDE * SIDE * n];
        for (t, target) in targets.iter().enumerate() {
            let mut spectrum = vec![Complex32::default(); WINDOW * WINDOW];
            for (row, values) in target.chunks(TILE).enumerate() {
                for (x, &value) in values.iter().enumerate() {
                    spectrum[row * WINDOW + x].re = value;
                }
            }
            transform(&*self.forward, &mut spectrum);
            for (p, pair) in pairs.iter().enumerate() {
                let mut image: Vec<Complex32> = pair
                    .iter()
                    .zip(&spectrum)
                    .map(|(f, t)| f * t.conj())
                    .collect();
                transform(&*self.inverse, &mut image);
                for place in 0..SIDE * SIDE {
                    // The feature at window offset `o` lies under the tile if the stain is shifted
                    // by `reach - o`.
                    let (oy, ox) = (SIDE - 1 - place / SIDE, SIDE - 1 - place % SIDE);
                    let value = image[oy * WINDOW + ox] / (WINDOW * WINDOW) as f32;
                    let at = (t * SIDE * SIDE + place) * n + 2 * p;
                    cross[at] = value.re;
                    if 2 * p + 1 < n {
                        cross[at + 1] = value.im;
                    }
                }
            }
        }
        let share = (TILE * TILE) as f64 / (WINDOW * WINDOW) as f64;
        let dot =
            |a: &[f32], b: &[f32]| -> f64 { a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum() };
        let mut covariance = vec![0.0f64; n * n];
        for i in 0..n {
            for j in 0..=i {
                let value = share * dot(&features[i], &features[j]);
                covariance[i * n + j] = value;
                covariance[j * n + i] = value;
            }
        }
        Sums {
            cross,
            covariance,
            energy: targets.each_ref().map(|t| dot(t, t)),
            tiles: 1,
        }
    }
}

/// Transforms a `WINDOW` x `WINDOW` image in place: rows, transpose, rows. Two of them restore the
/// order of rows and columns; products of two spectra are transposed alike.
fn transform(fft: &dyn Fft<f32>, image: &mut Vec<Complex32>) {
    fft.process(image);
    let mut turned = vec![Complex32::default(); image.len()];
    for y in 0..WINDOW {
        for x in 0..WINDOW {
            turned[x * WINDOW + y] = image[y * WINDOW + x];
        }
    }
    fft.process(&mut turned);
    *image = turned;
}

/// The stain moved back by `shift` = (dy, dx) pixels, so that it lies on the brightfield.
///
/// Value `(y, x)` is that of the stain at `(y + dy, x + dx)`: cubic (Catmull & Rom 1974), cut to
/// the range of the two pixels on either side, so that no value appears that was not there and a
/// saturated plateau stays one. Beyond the rim the last pixel repeats; see [`uncovered`].
pub fn move_back(stain: &Image<f32>, shift: (f64, f64)) -> Image<f32> {
    let (height, width) = stain.size();
    let rows = Taps::new(shift.0, height);
    let columns = Taps::new(shift.1, width);
    let across = Image::from_fn(height, width, |y, x| columns.value(x, |i| stain.get(y, i)));
    Image::from_fn(height, width, |y, x| rows.value(y, |i| across.get(i, x)))
}

/// Labels or a mask moved back by `shift` = (dy, dx) pixels: value `(y, x)` is that of the pixel
/// nearest to `(y + dy, x + dx)`, and `T::default()` (background) beyond the rim. Numbers of
/// objects cannot be interpolated.
pub fn move_back_nearest<T: Copy + Default>(image: &Image<T>, shift: (f64, f64)) -> Image<T> {
    let (height, width) = image.size();
    let (dy, dx) = (shift.0.round() as isize, shift.1.round() as isize);
    Image::from_fn(height, width, |y, x| {
        let (y, x) = (y as isize + dy, x as isize + dx);
        let inside = (0..height as isize).contains(&y) && (0..width as isize).contains(&x);
        if inside {
            image.get(y as usize, x as usize)
        } else {
            T::default()
        }
    })
}

/// Pixels that a stain moved back by `shift` does not reach: nothing is known there.
pub fn uncovered(height: usize, width: usize, shift: (f64, f64)) -> Image<bool> {
    let outside = |i: usize, shift: f64, len: usize| {
        let at = i as f64 + shift;
        at < 0.0 || at > (len - 1) as f64
    };
    Image::from_fn(height, width, |y, x| {
        outside(y, shift.0, height) || outside(x, shift.1, width)
    })
}

/// The four pixels and weights behind a moved one, along one axis.
struct Taps {
    whole: isize,
    weights: [f32; 4],
    len: usize,
}

impl Taps {
    fn new(shift: f64, len: usize) -> Self {
        let t = (shift - shift.floor()) as f32;
        let (t2, t3) = (t * t, t * t * t);
        Self {
            whole: shift.floor() as isize,
            weights: [
                0.5 * (-t3 + 2.0 * t2 - t),
                0.5 * (3.0 * t3 - 5.0 * t2 + 2.0),
                0.5 * (-3.0 * t3 + 4.0 * t2 + t),
                0.5 * (t3 - t2),
            ],
            len,
        }
    }

    fn value(&self, i: usize, at: impl Fn(usize) -> f32) -> f32 {
        let first = i as isize + self.whole - 1;
        let last = self.len as isize - 1;
        let v: [f32; 4] = std::array::from_fn(|k| at((first + k as isize).clamp(0, last) as usize));
        let sum: f32 = v.iter().zip(&self.weights).map(|(v, w)| v * w).sum();
        sum.clamp(v[1].min(v[2]), v[1].max(v[2]))
    }
}
