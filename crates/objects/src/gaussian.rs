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
use stainfree_kernels::{Loops, vectorised};

/// Kernel half-width in standard deviations; scipy's and scikit-image's default.
const TRUNCATE: f64 = 4.0;

/// Frames of so many pixels, those of a few nuclei, are not worth handing out to other threads.
const SMALL: usize = 1 << 14;

/// Index of the pixel that mirrored position `i` shows, for an axis of `len` pixels.
pub(crate) fn mirror(i: isize, len: usize) -> usize {
    if (0..len as isize).contains(&i) {
        return i as usize;
    }
    let period = 2 * len as isize;
    let i = i.rem_euclid(period);
    (if i < len as isize { i } else { period - 1 - i }) as usize
}

/// One half of the symmetric kernel: weight at 0, 1, .. radius, normalised to sum 1 over both
/// sides.
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
        let mut window = Vec::with_capacity(2 * blur.radius() + 1);
        for (k, row) in rows.chunks_exact_mut(width).enumerate() {
            blur.row(frame.top + i * BAND + k, &mut window, &mut padded, row);
        }
    };
    let bands = out.data_mut();
    if height * width <= SMALL {
        bands.chunks_mut(BAND * width).enumerate().for_each(band);
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

impl<'a> Blur<'a> {
    fn radius(&self) -> usize {
        self.kernel.len() - 1
    }

    /// Row `y` of the result; `padded` holds `radius` values more on either side, `window` is
    /// scratch.
    fn row(&self, y: usize, window: &mut Vec<&'a [f32]>, padded: &mut [f32], out: &mut [f32]) {
        self.columns(y, window, padded);
        let radius = self.radius();
        let padded = &*padded;
        vectorised(Weighted {
            kernel: &self.kernel,
            taps: |i: usize| (&padded[radius - i..], &padded[radius + i..]),
            out,
        });
    }

    /// Weighted sums over the columns through row `y`, with what lies left and right of the frame.
    fn columns(&self, y: usize, window: &mut Vec<&'a [f32]>, padded: &mut [f32]) {
        let (height, width) = self.image.size();
        let (radius, left, right) = (self.radius(), self.frame.left, self.frame.right);
        // What there is of the row beyond the frame; the rest is mirrored.
        let (from, to) = (left.saturating_sub(radius), (right + radius).min(width));
        let row = |y: isize| &self.image.row(mirror(y, height))[from..to];
        window.clear();
        window.extend((y as isize - radius as isize..=(y + radius) as isize).map(row));
        let start = from + radius - left;
        vectorised(Weighted {
            kernel: &self.kernel,
            taps: |i: usize| (window[radius - i], window[radius + i]),
            out: &mut padded[start..start + to - from],
        });
        // The frame and what lies `radius` around it always hold what is mirrored into view.
        for k in (0..start).chain(start + to - from..padded.len()) {
            let x = (left + k) as isize - radius as isize;
            padded[k] = padded[mirror(x, width) + radius - left];
        }
    }
}

/// `out = kernel[0] * v + sum of kernel[i] * (a + b)`, where `taps(i)` are the values `i` before
/// and after.
struct Weighted<'a, T> {
    kernel: &'a [f32],
    taps: T,
    out: &'a mut [f32],
}

impl<'v, T: Fn(usize) -> (&'v [f32], &'v [f32])> Loops for Weighted<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(mut self) {
        // Sums of a block stay in registers; a narrow image still has some of the smaller ones.
        const WIDE: usize = 32;
        const NARROW: usize = 8;
        let n = self.out.len();
        let mut x = 0;
        while x + WIDE <= n {
            self.block::<WIDE>(x);
            x += WIDE;
        }
        while x < n {
            match n.checked_sub(NARROW) {
                // The last block may overlap the one before: it says the same.
                Some(last) => self.block::<NARROW>(x.min(last)),
                None => (x..n).for_each(|x| self.block::<1>(x)),
            }
            x += NARROW;
        }
    }
}

impl<'v, T: Fn(usize) -> (&'v [f32], &'v [f32])> Weighted<'_, T> {
    /// N values from `x`; taps are added one after the other, so that N does not change the
    /// rounding.
    #[inline(always)]
    fn block<const N: usize>(&mut self, x: usize) {
        let mut sums = [0.0f32; N];
        let centre = &(self.taps)(0).0[x..x + N];
        for k in 0..N {
            sums[k] = self.kernel[0] * centre[k];
        }
        for (i, &weight) in self.kernel.iter().enumerate().skip(1) {
            let (before, after) = (self.taps)(i);
            let (before, after) = (&before[x..x + N], &after[x..x + N]);
            for k in 0..N {
                sums[k] += weight * (before[k] + after[k]);
            }
        }
        self.out[x..x + N].copy_from_slice(&sums);
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
