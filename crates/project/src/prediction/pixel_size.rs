//! What is said of the pixel sizes of fields, and of the model that reads them.

use stainfree_image::{Field, rounded_um};
use stainfree_network::model::ModelInfo;
use stainfree_network::resample::{MAX_FACTOR, SAME_PIXEL_SIZE, resampled_size};

/// Pixels of light microscopes, um: a camera's pixel over the magnification.
const POSSIBLE_UM: std::ops::RangeInclusive<f64> = 0.02..=20.0;

/// A sentence where a pixel size cannot be that of a light microscope.
pub(crate) fn odd_pixel_size<'a>(fields: impl IntoIterator<Item = &'a Field>) -> Option<String> {
    let odd = |field: &'a Field| Some((field, field.pixel_um?));
    let mut sizes = fields.into_iter().filter_map(odd);
    let (field, um) = sizes.find(|(_, um)| !POSSIBLE_UM.contains(um))?;
    Some(format!(
        "field `{}` has pixels of {} um, which no light microscope has: a mistake of units? give \
         the right size with `--pixel-um`",
        field.name,
        rounded_um(um)
    ))
}

/// What is to be said of the pixel sizes of `fields` and of the model that reads them.
pub(crate) fn remarks_on_pixel_sizes(info: &ModelInfo, fields: &[&Field]) -> Vec<String> {
    let unknown = fields
        .iter()
        .filter(|field| field.pixel_um.is_none())
        .count();
    let first = fields.iter().find_map(|field| field.pixel_um);
    let mut said: Vec<String> = odd_pixel_size(fields.iter().copied()).into_iter().collect();
    let Some(trained) = info.pixel_um else {
        said.push(match first {
            Some(um) => format!(
                "the model knows no pixel size, so images are read as they are (pixels of {} um): \
                 things must be as large in pixels as those it learned from",
                rounded_um(um)
            ),
            None => "neither the model nor the images state a pixel size: things must be as \
                     large in pixels as those the model learned from"
                .to_owned(),
        });
        return said;
    };
    if unknown > 0 {
        said.push(format!(
            "{unknown} of {} fields have no pixel size and are taken to have the model's, {} um; \
             if that is wrong, so are the results: give the size with `--pixel-um`",
            fields.len(),
            rounded_um(trained)
        ));
    }
    let named = || {
        fields
            .iter()
            .filter_map(|f| Some((f.name.as_str(), f.pixel_um?)))
    };
    said.extend(remarks_on_other_sizes(
        named(),
        trained,
        info.recipe.rescale,
    ));
    said
}

/// What is to be said of fields, by name and pixel size, that have another one than the model.
fn remarks_on_other_sizes<'a>(
    fields: impl Iterator<Item = (&'a str, f64)>,
    trained: f64,
    rescale: bool,
) -> Vec<String> {
    let is_other = |(_, um): &(&str, f64)| (um / trained - 1.0).abs() > SAME_PIXEL_SIZE;
    // So far apart that a field is refused, where it would have to be resampled.
    let is_refused =
        |&(_, um): &(&str, f64)| rescale && resampled_size([1, 1], um, trained).is_err();
    let (refused, read): (Vec<_>, Vec<_>) = fields.filter(is_other).partition(is_refused);
    let model = rounded_um(trained);
    let mut said = Vec::new();
    if let Some(&(_, um)) = read.first() {
        let follows = match rescale {
            true => "they are resampled, and the results brought back to their size",
            false => "its recipe leaves them as they are (`rescale = false`): expect worse results",
        };
        said.push(format!(
            "the images have pixels of {} um and the model is for {model} um: {follows}",
            rounded_um(um)
        ));
    }
    if let Some(&(name, um)) = refused.first() {
        said.push(format!(
            "{} of the fields (first: `{name}`, pixels of {} um) are more than a factor of \
             {MAX_FACTOR} from the model's {model} um, too far to be resampled: they are not \
             predicted; give the right size with `--pixel-um`",
            refused.len(),
            rounded_um(um)
        ));
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_too_far_from_the_model_are_not_said_to_be_resampled() {
        let said = |fields: &[(&str, f64)], rescale| {
            remarks_on_other_sizes(fields.iter().copied(), 0.6499999999999999, rescale)
        };
        let same = ("same", 0.65);
        assert!(said(&[same], true).is_empty());
        let near = said(&[same, ("a", 0.3249999999999)], true);
        let resampled = "the images have pixels of 0.325 um and the model is for 0.65 um: they are \
            resampled, and the results brought back to their size";
        assert_eq!(near, [resampled]);
        let far = said(&[("far", 650.0), same, ("far2", 0.01)], true);
        let refused = "2 of the fields (first: `far`, pixels of 650 um) are more than a factor of \
            8 from the model's 0.65 um, too far to be resampled: they are not predicted; give the \
            right size with `--pixel-um`";
        assert_eq!(far, [refused]);
        let both = said(&[("far", 650.0), ("far2", 0.01), ("a", 0.325)], true);
        assert_eq!(both, [resampled, refused]);
        // Read as they are, none is refused.
        let [plain] = &said(&[("far", 650.0)], false)[..] else {
            panic!("one sentence");
        };
        assert!(plain.contains("pixels of 650 um") && plain.contains("rescale = false"));
    }
}
