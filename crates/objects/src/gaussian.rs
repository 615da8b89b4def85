//! Gaussian smoothing, separable, with mirrored borders.
//!
//! Here: the sampled, truncated, normalised kernel on rows, then on columns, and the box mean.
//! Not here: derivatives, recursive approximations.
//!
//! Border: the edge pixel is repeated in the mirror (`d c b a | a b c d | d c b a`), which is
//! `mode="reflect"` of `scipy.ndimage` (its default) and `mode="symmetric"` of `numpy.pad`.
//! `skimage.filters.gaussian` defaults to `nearest` instead: equal away from the border only.

use crate::bits::BAND;
use crate::runs::Frame;
use rayon::prelude::*;
use stainfree_image::Image;

/// Kernel half-width in standard deviations; scipy's and scikit-image's default.
const TRUNCATE: f64 = 4.0;

/// Index of the pixel that mirrored position `i` shows, for an axis of `len` pixels.
pub(crate) fn mirror(i: isize, len: usize) -> usize {
    if (0..len as isize).contains(&i) {
        return i as usize;
    }
    let period = 2 * len as isize;
    let i = i.rem_euclid(period);
    (if i < len as isize { i } else { period - 1 - i }) as usize
}

/// One half of the symmetric kernel: weight at 0, 1, .. radius, normalised to sum 1 over both sides.
fn half_kernel(sigma: f64) -> Vec<f32> {
    let radius = (TRUNCATE * sigma + 0.5) as usize;
    let weights: Vec<f64> = (0..=radius)
        .map(|i| (-0.5 * (i as f64 / sigma).powi(2)).exp())
        .collect();
    let sum = weights[0] + 2.0 * weights[1..].iter().sum::<f64>();
    weights.iter().map(|w| (w / sum) as f32).collect()
}

/// Smooths `image` with a Gaussian of standard deviation `sigma` in pixels.
///
/// The kernel reaches `round(4 sigma)` pixels; the border is mirrored with the edge repeated.
/// `sigma <= 0` (or NaN) returns a copy. Arithmetic is f32: about 1e-6 relative against f64.
pub fn gaussian(image: &Image<f32>, sigma: f64) -> Image<f32> {
    let (height, width) = image.size();
    let everything = Frame {
        top: 0,
        left: 0,
        bottom: height,
        right: width,
    };
    gaussian_within(image, sigma, everything)
}

/// The part of [`gaussian`] inside `frame`, at the cost of that part.
pub(crate) fn gaussian_within(image: &Image<f32>, sigma: f64, frame: Frame) -> Image<f32> {
    let (height, width) = frame.size();
    if !(sigma > 0.0) || height == 0 || width == 0 {
        return image.crop(frame.top, frame.left, height, width);
    }
    let blur = Blur {
        image,
        kernel: half_kernel(sigma),
        frame,
    };
    let mut out = Image::filled(height, width, 0.0f32);
    let band = |(i, rows): (usize, &mut [f32])| {
        let mut padded = vec![0.0f32; width + 2 * blur.radius()];
        for (k, row) in rows.chunks_exact_mut(width).enumerate() {
            blur.row(frame.top + i * BAND + k, &mut padded, row);
        }
    };
    let bands = out.data_mut();
    if height <= BAND {
        band((0, bands));
    } else {
        let bands = bands.par_chunks_mut(BAND * width).enumerate();
        bands.for_each(band);
    }
    out
}

/// A Gaussian of the rows and columns of a frame.
struct Blur<'a> {
    image: &'a Image<f32>,
    kernel: Vec<f32>,
    frame: Frame,
}

impl Blur<'_> {
    fn radius(&self) -> usize {
        self.kernel.len() - 1
    }

    /// Row `y` of the result; `padded` holds `radius` values more on either side.
    fn row(&self, y: usize, padded: &mut [f32], out: &mut [f32]) {
        self.columns(y, padded);
        let radius = self.radius();
        let taps = |i: usize| (&padded[radius - i..], &padded[radius + i..]);
        weighted(&self.kernel, taps, out);
    }

    /// Weighted sums over the columns through row `y`, with what lies left and right of the frame.
    fn columns(&self, y: usize, padded: &mut [f32]) {
        let (height, width) = self.image.size();
        let (radius, left, right) = (self.radius(), self.frame.left, self.frame.right);
        // What there is of the row beyond the frame; the rest is mirrored.
        let (from, to) = (left.saturating_sub(radius), (right + radius).min(width));
        let row = |y: isize| &self.image.row(mirror(y, height))[from..to];
        let rows = |i: usize| (row(y as isize - i as isize), row((y + i) as isize));
        let start = from + radius - left;
        let there = &mut padded[start..start + to - from];
        weighted(&self.kernel, rows, there);
        // The frame and what lies `radius` around it always hold what is mirrored into view.
        for k in (0..start).chain(start + to - from..padded.len()) {
            let x = (left + k) as isize - radius as isize;
            padded[k] = padded[mirror(x, width) + radius - left];
        }
    }
}

/// `kernel[0] * v + sum of kernel[i] * (a + b)`, where `taps(i)` are the values `i` before and after.
fn weighted<'a>(kernel: &[f32], taps: impl Fn(usize) -> (&'a [f32], &'a [f32]), out: &mut [f32]) {
    let centre = taps(0).0;
    out.iter_mut()
        .zip(centre)
        .for_each(|(o, &v)| *o = kernel[0] * v);
    let tap = |i: usize| (kernel[i], taps(i).0, taps(i).1);
    let mut i = 1;
    while i + 2 < kernel.len() {
        add_taps(out, [tap(i), tap(i + 1), tap(i + 2)]);
        i += 3;
    }
    while i < kernel.len() {
        add_taps(out, [tap(i)]);
        i += 1;
    }
}

/// Adds N taps in one pass, one after the other, so that their number does not change the rounding.
fn add_taps<const N: usize>(out: &mut [f32], taps: [(f32, &[f32], &[f32]); N]) {
    let n = out.len();
    let taps = taps.map(|(weight, before, after)| (weight, &before[..n], &after[..n]));
    for (x, o) in out.iter_mut().enumerate() {
        let mut sum = *o;
        for (weight, before, after) in taps {
            sum += weight * (before[x] + after[x]);
        }
        *o = sum;
    }
}

/// Mean over a square of `2 radius + 1` pixels a side, mirrored border as in [`gaussian`].
///
/// Running sums in f64: the time does not depend on the radius.
pub fn box_mean(image: &Image<f32>, radius: usize) -> Image<f32> {
    let (height, width) = image.size();
    if radius == 0 || height == 0 || width == 0 {
        return image.clone();
    }
    let side = (2 * radius + 1) as f64;
    let reach = radius as isize;
    // Column sums of the window around the current row.
    let mut sums = vec![0.0f64; width];
    for i in -reach..=reach {
        for (s, &v) in sums.iter_mut().zip(image.row(mirror(i, height))) {
            *s += f64::from(v);
        }
    }
    let mut out = Image::filled(height, width, 0.0f32);
    for y in 0..height {
        if y > 0 {
            let old = image.row(mirror(y as isize - 1 - reach, height));
            let new = image.row(mirror(y as isize + reach, height));
            for ((s, &o), &n) in sums.iter_mut().zip(old).zip(new) {
                *s += f64::from(n) - f64::from(o);
            }
        }
        let mut sum: f64 = (-reach..=reach).map(|i| sums[mirror(i, width)]).sum();
        for x in 0..width {
            if x > 0 {
                sum += sums[mirror(x as isize + reach, width)]
                    - sums[mirror(x as isize - 1 - reach, width)];
            }
            *out.get_mut(y, x) = (sum / (side * side)) as f32;
        }
    }
    out
}
