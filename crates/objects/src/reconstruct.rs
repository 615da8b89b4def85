//! Grey morphological reconstruction, and the h-maxima that come from it.
//!
//! Method: Vincent (1993), "Morphological grayscale reconstruction in image analysis": one raster
//! and one anti-raster sweep carry values far, a queue finishes the rest.

use crate::labels::Connectivity;
use crate::terrain::Terrain;
use stainfree_image::Image;
use std::collections::VecDeque;

/// Reconstruction by dilation: the largest image under `mask` that grows from `seed`.
///
/// `seed` is lowered to `mask` where it lies above. NaN is not allowed in either.
///
/// # Panics
/// If the sizes differ.
pub fn reconstruct(seed: &Image<f32>, mask: &Image<f32>, connectivity: Connectivity) -> Image<f32> {
    assert_eq!(
        seed.size(),
        mask.size(),
        "reconstruction needs seed and mask of one size"
    );
    let (height, width) = mask.size();
    let limit = mask.data();
    let mut out = Image::new(
        height,
        width,
        seed.data()
            .iter()
            .zip(limit)
            .map(|(&s, &m)| s.min(m))
            .collect(),
    );
    if height == 0 || width == 0 {
        return out;
    }
    let offsets = connectivity.offsets();
    let (before, after) = offsets.split_at(offsets.len() / 2);
    let values = out.data_mut();
    let near = |y: usize, x: usize, (dy, dx): (isize, isize)| -> Option<usize> {
        let (ny, nx) = (y.checked_add_signed(dy)?, x.checked_add_signed(dx)?);
        (ny < height && nx < width).then_some(ny * width + nx)
    };
    for y in 0..height {
        for x in 0..width {
            let i = y * width + x;
            let mut v = values[i];
            for &o in before {
                if let Some(j) = near(y, x, o) {
                    v = v.max(values[j]);
                }
            }
            values[i] = v.min(limit[i]);
        }
    }
    let mut queue = VecDeque::new();
    for y in (0..height).rev() {
        for x in (0..width).rev() {
            let i = y * width + x;
            let mut v = values[i];
            for &o in after {
                if let Some(j) = near(y, x, o) {
                    v = v.max(values[j]);
                }
            }
            values[i] = v.min(limit[i]);
            let pending = after.iter().any(|&o| {
                near(y, x, o).is_some_and(|j| values[j] < values[i] && values[j] < limit[j])
            });
            if pending {
                queue.push_back((y, x));
            }
        }
    }
    while let Some((y, x)) = queue.pop_front() {
        let v = values[y * width + x];
        for &o in offsets {
            let Some(j) = near(y, x, o) else { continue };
            if values[j] < v && values[j] < limit[j] {
                values[j] = v.min(limit[j]);
                queue.push_back((j / width, j % width));
            }
        }
    }
    out
}

/// Pixels on the tops of the maxima that rise at least `h` above the saddle to a higher one.
///
/// A pixel belongs to the result where the reconstruction of `image - h` under `image` stays at
/// `image - h`: nothing higher can be reached without descending by `h`.
pub fn h_maxima(image: &Image<f32>, h: f32, connectivity: Connectivity) -> Image<bool> {
    let terrain = Terrain::new(image, |_| true);
    terrain.marked(&terrain.tops(|v| v - h, connectivity))
}

/// Connected plateaus without a higher neighbour.
pub fn regional_maxima(image: &Image<f32>, connectivity: Connectivity) -> Image<bool> {
    let (height, width) = image.size();
    let values = image.data();
    let mut top = Image::filled(height, width, true);
    let mut stack = Vec::new();
    for y in 0..height {
        for x in 0..width {
            let i = y * width + x;
            let higher_near =
                neighbours(y, x, height, width, connectivity).any(|j| values[j] > values[i]);
            if !higher_near || !top.data()[i] {
                continue;
            }
            // The whole plateau of a pixel with a higher neighbour is no maximum.
            top.data_mut()[i] = false;
            stack.push(i);
            while let Some(p) = stack.pop() {
                for j in neighbours(p / width, p % width, height, width, connectivity) {
                    if top.data()[j] && values[j] == values[p] {
                        top.data_mut()[j] = false;
                        stack.push(j);
                    }
                }
            }
        }
    }
    top
}

/// Indices of the neighbours of `(y, x)` inside the image.
pub(crate) fn neighbours(
    y: usize,
    x: usize,
    height: usize,
    width: usize,
    connectivity: Connectivity,
) -> impl Iterator<Item = usize> {
    connectivity.offsets().iter().filter_map(move |&(dy, dx)| {
        let (ny, nx) = (y.checked_add_signed(dy)?, x.checked_add_signed(dx)?);
        (ny < height && nx < width).then_some(ny * width + nx)
    })
}
