//! What does not belong into a stain: specks between the nuclei, and light of the other stain.

use crate::components::areas;
use crate::distance::{UNREACHED, edt_squared};
use crate::error::{ObjectsError, same_size};
use crate::gaussian::gaussian;
use stainfree_image::Image;
use std::collections::BTreeSet;

/// An object below this share of the median area is a speck.
const SPECK: f64 = 0.2;
/// So far from its edge a pixel is inside a nucleus, blur and all.
const INSIDE_PX: u32 = 5;
/// Fewer pixels say nothing about a correlation: a nucleus or two.
const LEAST_PIXELS: usize = 1000;

/// Share of the objects that are specks: below a fifth of the median area, and not cut by the rim
/// of the image.
///
/// `None` without objects.
pub fn debris_share(labels: &Image<u32>) -> Option<f64> {
    let sizes = areas(labels);
    let (height, width) = labels.size();
    let mut cut = BTreeSet::new();
    for y in 0..height {
        for x in 0..width {
            if y == 0 || x == 0 || y + 1 == height || x + 1 == width {
                cut.insert(labels.get(y, x));
            }
        }
    }
    let mut whole: Vec<usize> = sizes
        .into_iter()
        .filter(|(label, _)| !cut.contains(label))
        .map(|(_, size)| size)
        .collect();
    whole.sort_unstable();
    let median = *whole.get(whole.len() / 2)? as f64;
    let specks = whole
        .iter()
        .filter(|&&a| (a as f64) < SPECK * median)
        .count();
    Some(specks as f64 / whole.len() as f64)
}

/// How much of the nuclear stain shows in `other`: the correlation of their fine structure inside
/// the nuclei.
///
/// Chromatin is textured, and no other stain has a reason to follow its texture unless the light of
/// the nuclear dye leaks; where the two exclude each other the number is below 0. Fine is what lies
/// between Gaussians of 1 and 3 pixels, inside is 5 pixels from the edge. `None` without such
/// pixels.
///
/// # Errors
/// [`ObjectsError::SizeMismatch`] if the images differ in size.
pub fn bleed_through(
    nuclear: &Image<f32>,
    other: &Image<f32>,
    nuclei: &Image<u32>,
) -> Result<Option<f64>, ObjectsError> {
    same_size(
        "the nuclear stain",
        nuclear.size(),
        "the nuclei",
        nuclei.size(),
    )?;
    same_size("the other stain", other.size(), "the nuclei", nuclei.size())?;
    let depth = edt_squared(&nuclei.map(|&label| label > 0));
    let inside: Vec<usize> = (0..depth.data().len())
        .filter(|&i| depth.data()[i] > INSIDE_PX * INSIDE_PX && depth.data()[i] != UNREACHED)
        .collect();
    if inside.len() < LEAST_PIXELS {
        return Ok(None);
    }
    let fine = |image: &Image<f32>| -> Vec<f64> {
        let (narrow, wide) = (gaussian(image, 1.0), gaussian(image, 3.0));
        inside
            .iter()
            .map(|&i| f64::from(narrow.data()[i] - wide.data()[i]))
            .collect()
    };
    let (a, b) = (fine(nuclear), fine(other));
    let n = inside.len() as f64;
    let (ma, mb) = (a.iter().sum::<f64>() / n, b.iter().sum::<f64>() / n);
    let (mut aa, mut bb, mut ab) = (0.0, 0.0, 0.0);
    for (a, b) in a.iter().zip(&b) {
        aa += (a - ma).powi(2);
        bb += (b - mb).powi(2);
        ab += (a - ma) * (b - mb);
    }
    let scale = (aa * bb).sqrt();
    Ok(Some(if scale > 0.0 { ab / scale } else { 0.0 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sixteen nuclei of 12 x 12 pixels and four specks.
    fn nuclei() -> Image<u32> {
        Image::from_fn(160, 160, |y, x| {
            let (row, column) = (y / 40, x / 40);
            let (y, x) = (y % 40, x % 40);
            let number = (4 * row + column) as u32 + 1;
            match ((14..26).contains(&y) && (14..26).contains(&x), row == 3) {
                (true, _) => number,
                _ if row == 3 && (33..36).contains(&y) && (5..9).contains(&x) => 20 + column as u32,
                _ => 0,
            }
        })
    }

    #[test]
    fn specks_are_counted_among_whole_objects() {
        assert_eq!(debris_share(&nuclei()), Some(4.0 / 20.0));
        assert_eq!(debris_share(&Image::filled(9, 9, 0)), None);
    }

    #[test]
    fn leaking_light_follows_the_texture_of_the_nuclei_and_granules_do_not() {
        let labels = Image::from_fn(200, 200, |y, x| u32::from(y % 50 > 8 && x % 50 > 8));
        let texture = |k: usize| {
            Image::from_fn(200, 200, move |y, x| {
                let mut z = ((y / 2 * 1000 + x / 2 + k) as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
                z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
                let bits = (z ^ (z >> 27)) >> 20;
                200.0 + (bits % 100) as f32
            })
        };
        let (nuclear, granules) = (texture(1), texture(90_001));
        let number = |other: &Image<f32>| bleed_through(&nuclear, other, &labels).unwrap().unwrap();
        // 5,000 patches of texture: a chance correlation is some hundredths.
        assert!(number(&granules).abs() < 0.1, "{}", number(&granules));
        let mut leaking = granules.clone();
        for (v, n) in leaking.data_mut().iter_mut().zip(nuclear.data()) {
            *v += 0.5 * n;
        }
        assert!(
            (0.3..0.6).contains(&number(&leaking)),
            "{}",
            number(&leaking)
        );
        let none = Image::filled(200, 200, 0);
        assert_eq!(bleed_through(&nuclear, &granules, &none).unwrap(), None);
    }
}
