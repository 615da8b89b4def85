//! Squared Euclidean distances of up to 3 px, exact, in bytes.
//!
//! Euclidean distances are separable: first the nearest member along the row, then down the column,
//! each pass the least of seven shifts. Nothing beyond 3 px is wanted by any score, so a pass is a
//! few byte operations a pixel whatever the picture.

use stainfree_image::Image;

/// Largest distance that is measured, in px.
pub(crate) const REACH: usize = 3;

/// Square of [`REACH`]: the largest squared distance that is exact.
pub(crate) const FARTHEST: u8 = 9;

/// Stands for a distance out of reach; two squared shifts more still fit a byte.
pub(crate) const FAR: u8 = 100;

/// Squares of the shifts of a pass.
const SQUARES: [u8; 2 * REACH + 1] = [9, 4, 1, 0, 1, 4, 9];

/// Turns membership (0 for members, [`FAR`] elsewhere) into squared distances to the nearest
/// member, values above [`FARTHEST`] meaning "out of reach". `values` has rows of `stride` and a
/// frame of [`REACH`] pixels, in which the result means nothing.
pub(crate) fn spread(values: &mut [u8], scratch: &mut Vec<u8>, stride: usize) {
    scratch.clear();
    scratch.resize(values.len(), FAR);
    // Shifts past the end of a row reach only into frames, which nobody reads.
    least_of_shifts(scratch, values, 1);
    values.fill(FAR);
    least_of_shifts(values, scratch, stride);
}

/// The least of `from` shifted by -3 to 3 times `step`, plus the square of the shift. The first and
/// last three steps of `into` are left alone.
fn least_of_shifts(into: &mut [u8], from: &[u8], step: usize) {
    let inner = REACH * step..from.len() - REACH * step;
    for (i, square) in SQUARES.into_iter().enumerate() {
        let shifted = &from[i * step..];
        for (least, &value) in into[inner.clone()].iter_mut().zip(shifted) {
            *least = (*least).min(value + square);
        }
    }
}

/// Squared distance of every pixel to the nearest true pixel of `mask`, above [`FARTHEST`] where it
/// is more than 3 px away.
pub(crate) fn squared_distances(mask: &Image<bool>) -> Image<u8> {
    let (height, width) = mask.size();
    let stride = width + 2 * REACH;
    let mut values = vec![FAR; (height + 2 * REACH) * stride];
    for y in 0..height {
        let start = (y + REACH) * stride + REACH;
        for (value, &member) in values[start..].iter_mut().zip(mask.row(y)) {
            if member {
                *value = 0;
            }
        }
    }
    spread(&mut values, &mut Vec::new(), stride);
    let mut out = Vec::with_capacity(height * width);
    for y in 0..height {
        out.extend_from_slice(&values[(y + REACH) * stride + REACH..][..width]);
    }
    Image::new(height, width, out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn distances_are_those_of_the_definition(
            members in proptest::collection::vec(proptest::bool::weighted(0.06), 9 * 13),
        ) {
            let mask = Image::new(9, 13, members);
            let near = squared_distances(&mask);
            for y in 0..9i32 {
                for x in 0..13i32 {
                    let least = (0..9i32)
                        .flat_map(|v| (0..13i32).map(move |u| (v, u)))
                        .filter(|&(v, u)| mask.get(v as usize, u as usize))
                        .map(|(v, u)| (v - y).pow(2) + (u - x).pow(2))
                        .min()
                        .unwrap_or(i32::MAX);
                    let got = i32::from(near.get(y as usize, x as usize));
                    if least <= i32::from(FARTHEST) {
                        prop_assert_eq!(got, least);
                    } else {
                        prop_assert!(got > i32::from(FARTHEST));
                    }
                }
            }
        }
    }
}
