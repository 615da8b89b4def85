//! Gaussian smoothing, separable, with mirrored borders.
//!
//! Here: the sampled, truncated, normalised kernel on rows, then on columns, and the box mean.
//! Not here: derivatives, recursive approximations.
//!
//! Border: the edge pixel is repeated in the mirror (`d c b a | a b c d | d c b a`), which is
//! `mode="reflect"` of `scipy.ndimage` (its default) and `mode="symmetric"` of `numpy.pad`.
//! `skimage.filters.gaussian` defaults to `nearest` instead: equal away from the border only.

use stainfree_image::Image;

/// Kernel half-width in standard deviations; scipy's and scikit-image's default.
const TRUNCATE: f64 = 4.0;

/// Index of the pixel that mirrored position `i` shows, for an axis of `len` pixels.
pub(crate) fn mirror(i: isize, len: usize) -> usize {
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
    if !(sigma > 0.0) || height == 0 || width == 0 {
        return image.clone();
    }
    let kernel = half_kernel(sigma);
    let radius = kernel.len() - 1;
    let mut out = Image::filled(height, width, 0.0f32);
    let mut column = vec![0.0f32; width];
    let mut padded = vec![0.0f32; width + 2 * radius];
    for y in 0..height {
        // Columns first: whole rows are added, so the inner loop is contiguous.
        column
            .iter_mut()
            .zip(image.row(y))
            .for_each(|(o, &v)| *o = kernel[0] * v);
        for (i, &weight) in kernel.iter().enumerate().skip(1) {
            let above = image.row(mirror(y as isize - i as isize, height));
            let below = image.row(mirror((y + i) as isize, height));
            for ((o, &a), &b) in column.iter_mut().zip(above).zip(below) {
                *o += weight * (a + b);
            }
        }
        padded[radius..radius + width].copy_from_slice(&column);
        for i in 1..=radius {
            padded[radius - i] = column[mirror(-(i as isize), width)];
            padded[radius + width - 1 + i] = column[mirror((width - 1 + i) as isize, width)];
        }
        let row = out.row_mut(y);
        row.iter_mut()
            .zip(&padded[radius..])
            .for_each(|(o, &v)| *o = kernel[0] * v);
        for (i, &weight) in kernel.iter().enumerate().skip(1) {
            let left = &padded[radius - i..radius - i + width];
            let right = &padded[radius + i..radius + i + width];
            for ((o, &a), &b) in row.iter_mut().zip(left).zip(right) {
                *o += weight * (a + b);
            }
        }
    }
    out
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
