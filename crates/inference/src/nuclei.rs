//! From predicted classes to nuclei.

use stainfree_image::Image;
use stainfree_objects::{CleanUp, NUCLEUS, nuclei_from_prediction, nuclei_from_scheme_b};

use crate::InferenceError;

/// The class of mitotic nuclei, where a model has one.
pub const MITOTIC: &str = "mitotic";

/// The classes of scheme B, in their order.
const SCHEME_B: [&str; 4] = ["background", "nucleus", "boundary", "split"];

/// Nucleus instances of a predicted image.
#[derive(Clone, Debug, PartialEq)]
pub struct Nuclei {
    /// 0 is background.
    pub labels: Image<u32>,
    /// Their number.
    pub count: usize,
}

/// The nuclei among predicted `classes`, cleaned up and parted by shape, or by the predicted lines
/// where `names` are those of scheme B. `pixel_um` is the pixel size of `classes`; without one
/// nuclei that touch stay together.
///
/// # Errors
/// [`InferenceError::Nuclei`] if the pixel size is not a positive number.
pub fn nuclei(
    classes: &Image<u8>,
    names: &[String],
    pixel_um: Option<f64>,
) -> Result<Nuclei, InferenceError> {
    // A mitotic nucleus is a nucleus, whatever its class.
    let mitotic = names.iter().position(|name| name == MITOTIC);
    let is_mitotic = |class: u8| Some(usize::from(class)) == mitotic;
    let classes = classes.map(|&class| if is_mitotic(class) { NUCLEUS } else { class });
    let clean_up = CleanUp::default();
    let scheme_b = names.iter().map(String::as_str).take(SCHEME_B.len());
    let found = if scheme_b.eq(SCHEME_B) {
        nuclei_from_scheme_b(&classes, pixel_um, &clean_up)
    } else {
        let mask = classes.map(|&class| class == NUCLEUS);
        nuclei_from_prediction(&mask, pixel_um, &clean_up)
    }?;
    Ok(Nuclei {
        labels: found.image,
        count: found.count,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    /// Two discs of `classes` side by side, of 20 pixels each, with a line of `line` between.
    fn two_discs(classes: [u8; 2], line: Option<u8>) -> Image<u8> {
        Image::from_fn(48, 80, |y, x| {
            let inside = |at: usize| {
                let (dy, dx) = (y as f64 - 24.0, x as f64 - at as f64);
                dy * dy + dx * dx <= 400.0
            };
            match (line, inside(22), inside(58)) {
                (Some(line), true, _) if x >= 39 => line,
                (Some(line), _, true) if x <= 41 => line,
                (_, true, _) => classes[0],
                (_, _, true) => classes[1],
                _ => 0,
            }
        })
    }

    #[test]
    fn a_mitotic_nucleus_is_a_nucleus() {
        let scheme = names(&["background", "nucleus", "cytoplasm", MITOTIC]);
        let found = nuclei(&two_discs([1, 3], None), &scheme, Some(0.5)).unwrap();
        assert_eq!(found.count, 2);
        assert_ne!(found.labels.get(24, 22), found.labels.get(24, 58));
        // Another class of that number is none.
        let other = names(&["background", "nucleus", "cytoplasm", "debris"]);
        let found = nuclei(&two_discs([1, 3], None), &other, Some(0.5)).unwrap();
        assert_eq!((found.count, found.labels.get(24, 58)), (1, 0));
    }

    #[test]
    fn lines_of_scheme_b_are_no_background() {
        let scheme = names(&["background", "nucleus", "boundary", "split"]);
        let classes = two_discs([1, 1], Some(3));
        let with_lines = nuclei(&classes, &scheme, Some(0.5)).unwrap();
        assert_eq!(with_lines.count, 2);
        let area = |found: &Nuclei| found.labels.data().iter().filter(|&&l| l > 0).count();
        let plain = names(&["background", "nucleus", "cytoplasm"]);
        let without = nuclei(&classes, &plain, Some(0.5)).unwrap();
        assert!(area(&with_lines) > area(&without), "lines go to the nuclei");
    }

    #[test]
    fn a_pixel_size_that_is_none_is_refused() {
        let scheme = names(&["background", "nucleus"]);
        let error = nuclei(&two_discs([1, 1], None), &scheme, Some(0.0)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "pixel size `0` um is not a positive number; give it in um or leave it out"
        );
    }
}
