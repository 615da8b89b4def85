//! Raw planes as the network reads them: the same steps for a training and a prediction.

use stainfree_image::{Image, Plane};
use stainfree_network::input::{InputError, InputSpec};
use stainfree_network::resample::resample;
use stainfree_objects::{blank_in_brightfield, fill_blank};

/// Largest count that the plane's format can hold; 1 for floating point.
pub fn full_range(plane: &Plane) -> f32 {
    plane.full_range().unwrap_or(1.0)
}

/// Planes as numbers.
pub fn intensities(planes: &[Plane]) -> Vec<Image<f32>> {
    planes.iter().map(Plane::to_f32).collect()
}

/// The planes with pixels that show nothing filled, and those pixels, of all planes together.
pub fn without_blanks(planes: Vec<Image<f32>>) -> (Vec<Image<f32>>, Option<Image<bool>>) {
    let Some(blank) = blank_in_brightfield(&planes) else {
        return (planes, None);
    };
    let filled = planes
        .iter()
        .map(|plane| fill_blank(plane, &blank))
        .collect();
    (filled, Some(blank))
}

/// Blank pixels at another pixel size: whatever a blank pixel has a part in.
pub fn resample_blank(blank: &Image<bool>, height: usize, width: usize) -> Image<bool> {
    let share = blank.map(|&blank| if blank { 1.0 } else { 0.0 });
    resample(&share, height, width).map(|&share| share > 1e-3)
}

/// An image's planes as the network's input, `[3][height][width]`; see
/// [`InputSpec::normalise_besides`].
///
/// # Errors
/// The planes are not as many as the model reads, differ in size or have no pixel, or all are
/// blank.
pub fn network_input(
    input: &InputSpec,
    planes: &[Image<f32>],
    full_range: f32,
    blank: Option<&Image<bool>>,
) -> Result<Vec<f32>, InputError> {
    let normalised = input.normalise_besides(planes, full_range, blank)?;
    let (height, width) = normalised[0].size();
    let mut out = vec![0.0; 3 * height * width];
    let views: Vec<&[f32]> = normalised.iter().map(Image::data).collect();
    input.write_channels(&views, &mut out);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use stainfree_network::input::{Normalisation, Preprocessing};

    #[test]
    fn formats_have_their_range_and_numbers_none() {
        let planes = [
            Plane::U8(Image::filled(1, 2, 7)),
            Plane::U16(Image::filled(1, 2, 700)),
            Plane::F32(Image::filled(1, 2, 0.5)),
        ];
        assert_eq!(planes.each_ref().map(full_range), [255.0, 65_535.0, 1.0]);
        let values = intensities(&planes);
        let second: Vec<f32> = values.iter().map(|plane| plane.get(0, 1)).collect();
        assert_eq!(second, [7.0, 700.0, 0.5]);
    }

    #[test]
    fn a_rim_that_shows_nothing_is_known_and_filled() {
        let texture = |y: usize, x: usize| 100.0 + ((y * 31 + x * 17) % 23) as f32;
        let plane = Image::from_fn(64, 64, |y, x| if x < 16 { 0.0 } else { texture(y, x) });
        let (filled, blank) = without_blanks(vec![plane.clone()]);
        let blank = blank.unwrap();
        assert!(blank.get(30, 3) && !blank.get(30, 40));
        assert!(filled[0].get(30, 3) > 50.0, "{}", filled[0].get(30, 3));
        assert_eq!(filled[0].get(30, 40), plane.get(30, 40));
        let whole = Image::from_fn(64, 64, texture);
        assert_eq!(without_blanks(vec![whole.clone()]), (vec![whole], None));
    }

    #[test]
    fn a_pixel_that_a_blank_one_has_a_part_in_is_blank() {
        let blank = Image::from_fn(4, 8, |_, x| x < 3);
        let halved = resample_blank(&blank, 2, 4);
        assert_eq!(halved.row(0), [true, true, false, false]);
    }

    #[test]
    fn one_plane_feeds_all_three_channels() {
        let input = InputSpec {
            planes: 1,
            normalisation: Normalisation::Paper,
            preprocessing: Preprocessing::centred(),
        };
        let plane = Image::from_fn(2, 2, |y, x| (y * 2 + x) as f32 * 60.0);
        let found = network_input(&input, std::slice::from_ref(&plane), 255.0, None).unwrap();
        assert_eq!(found[..4], found[4..8]);
        assert_eq!(found[..4], found[8..]);
        assert!(found[0] < found[1]);
        let two = [plane.clone(), plane];
        let error = network_input(&input, &two, 255.0, None).unwrap_err();
        assert!(matches!(
            error,
            InputError::Planes {
                expected: 1,
                found: 2
            }
        ));
    }
}
