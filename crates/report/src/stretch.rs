//! From intensities to grey or tinted pictures that people can look at.

use stainfree_image::Image;

use crate::palette::Rgb;

/// Shares of the pixels that become black and white: brightfield has few extreme pixels (dust,
/// bubbles), which must not decide the contrast.
const BRIGHTFIELD: (f64, f64) = (0.005, 0.995);
/// Stains: the dim half is background, and the brightest per mille saturates.
const STAIN: (f64, f64) = (0.02, 0.999);

/// A brightfield plane in grey, stretched between its 0.5 % and 99.5 % points.
///
/// A flat plane becomes mid-grey; values that are not finite become black.
pub fn brightfield_picture(plane: &Image<f32>) -> Image<[u8; 3]> {
    stretched(plane, BRIGHTFIELD).map(|&v| [to_u8(v); 3])
}

/// A stain on black in the given colour, stretched between its 2 % and 99.9 % points.
pub fn stain_picture(plane: &Image<f32>, color: Rgb) -> Image<[u8; 3]> {
    stretched(plane, STAIN).map(|&v| color.map(|c| to_u8(v * f32::from(c) / 255.0)))
}

fn to_u8(value: f32) -> u8 {
    (value * 255.0).round() as u8
}

/// Values as shares of the range between the two points, cut to 0..1.
fn stretched(plane: &Image<f32>, shares: (f64, f64)) -> Image<f32> {
    let (low, high) = range(plane.data(), shares);
    let scale = if high > low { 1.0 / (high - low) } else { 0.0 };
    plane.map(|&v| match v.is_finite() {
        true if scale > 0.0 => ((v - low) * scale).clamp(0.0, 1.0),
        true => 0.5,
        false => 0.0,
    })
}

/// The two points, from at most about a hundred thousand evenly spread pixels: enough for a
/// display.
fn range(values: &[f32], shares: (f64, f64)) -> (f32, f32) {
    // An odd step does not keep hitting the same columns of an even width.
    let step = (values.len() / 100_000) | 1;
    let mut sample: Vec<f32> = values
        .iter()
        .step_by(step)
        .copied()
        .filter(|v| v.is_finite())
        .collect();
    if sample.is_empty() {
        return (0.0, 0.0);
    }
    sample.sort_unstable_by(f32::total_cmp);
    let at = |share: f64| sample[(share * (sample.len() - 1) as f64).round() as usize];
    (at(shares.0), at(shares.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_extreme_pixels_do_not_take_the_contrast() {
        // A ramp 0..399 with one hot pixel: the middle of the ramp stays middle grey.
        let mut plane = Image::from_fn(20, 20, |y, x| (20 * y + x) as f32);
        *plane.get_mut(0, 0) = 1e9;
        let picture = brightfield_picture(&plane);
        let middle = picture.get(10, 0)[0];
        assert!((125..=130).contains(&middle), "{middle}");
        assert_eq!(picture.get(0, 0), [255; 3]);
        assert_eq!(picture.get(0, 1), [0; 3]);
    }

    #[test]
    fn flat_and_broken_planes_have_a_picture() {
        assert_eq!(
            brightfield_picture(&Image::filled(2, 2, 7.0)).get(1, 1),
            [128; 3]
        );
        assert_eq!(
            brightfield_picture(&Image::filled(2, 2, f32::NAN)).get(0, 0),
            [0; 3]
        );
    }

    #[test]
    fn a_stain_keeps_its_hue() {
        let plane = Image::from_fn(1, 100, |_, x| x as f32);
        assert_eq!(
            stain_picture(&plane, [0, 128, 255]).get(0, 99),
            [0, 128, 255]
        );
    }
}
