//! Growing labels into the background, and the boundaries between labels.

use crate::labels::Connectivity;
use crate::reconstruct::neighbours;
use stainfree_image::Image;

/// Grows every label by at most `distance` pixels (Euclidean) into the background.
///
/// A background pixel takes the label of the nearest object pixel; objects never overlap. Of
/// equally near labels the smaller wins, so the result does not depend on the order of work
/// (`skimage.segmentation.expand_labels` leaves ties open).
pub fn expand_labels(labels: &Image<u32>, distance: f64) -> Image<u32> {
    let (height, width) = labels.size();
    let mut out = labels.clone();
    if !(distance >= 1.0) || height == 0 || width == 0 {
        return out;
    }
    let limit = distance * distance;
    let reach = distance as usize;
    // Nearest labelled pixel above or below in the same column, by rows; then rows by columns.
    // Only offsets within the reach matter: the window is scanned, rows first.
    let offsets: Vec<(isize, isize, usize)> = disk_offsets(reach, limit);
    for y in 0..height {
        for x in 0..width {
            if labels.get(y, x) != 0 {
                continue;
            }
            let mut best = (usize::MAX, u32::MAX);
            for &(dy, dx, d) in &offsets {
                if d > best.0 {
                    break;
                }
                let (Some(ny), Some(nx)) = (y.checked_add_signed(dy), x.checked_add_signed(dx))
                else {
                    continue;
                };
                if ny < height && nx < width {
                    let l = labels.get(ny, nx);
                    if l != 0 && (d, l) < best {
                        best = (d, l);
                    }
                }
            }
            if best.0 != usize::MAX {
                *out.get_mut(y, x) = best.1;
            }
        }
    }
    out
}

/// Offsets within a disk, nearest first, with their squared distance.
fn disk_offsets(reach: usize, limit: f64) -> Vec<(isize, isize, usize)> {
    let r = reach as isize;
    let mut offsets: Vec<(isize, isize, usize)> = (-r..=r)
        .flat_map(|dy| (-r..=r).map(move |dx| (dy, dx, (dy * dy + dx * dx) as usize)))
        .filter(|&(_, _, d)| d > 0 && d as f64 <= limit)
        .collect();
    offsets.sort_by_key(|&(dy, dx, d)| (d, dy, dx));
    offsets
}

/// Pixels of objects with a neighbour of another value: the inner boundary.
///
/// Equal to `skimage.segmentation.find_boundaries(mode="inner")`. The rim of the image is no
/// boundary.
pub fn inner_boundaries(labels: &Image<u32>, connectivity: Connectivity) -> Image<bool> {
    let (height, width) = labels.size();
    let values = labels.data();
    Image::from_fn(height, width, |y, x| {
        let here = values[y * width + x];
        here != 0 && neighbours(y, x, height, width, connectivity).any(|j| values[j] != here)
    })
}

/// Pixels of any value with a neighbour of another value, on both sides of every border.
///
/// Equal to `skimage.segmentation.find_boundaries(mode="thick")`.
pub fn thick_boundaries(labels: &Image<u32>, connectivity: Connectivity) -> Image<bool> {
    let (height, width) = labels.size();
    let values = labels.data();
    Image::from_fn(height, width, |y, x| {
        let here = values[y * width + x];
        neighbours(y, x, height, width, connectivity).any(|j| values[j] != here)
    })
}
