//! Truth that is a class mask already.

use std::path::Path;

use stainfree_image::Image;
use stainfree_objects::{Connectivity, IGNORED, apply_ignore, label, smoothed_share};

use super::field_truth::FieldTruth;
use super::given::{Inputs, NoTruth, file_of, in_field, read_sized};
use crate::ProjectError;
use crate::study::config::{TruthConfig, nucleus_classes};

/// The truth that a class mask says.
///
/// # Errors
/// There is none of this field, or it holds what is no class.
pub(super) fn from_class_mask(inputs: &Inputs) -> Result<FieldTruth, NoTruth> {
    let (truth, field) = (inputs.truth, inputs.field);
    let folder = truth.masks.as_deref().unwrap_or(Path::new(""));
    let file = file_of(&inputs.files.nuclei, field, folder)?;
    let values = read_sized(file, inputs.at, inputs.size)?;
    check(truth, &file.path, &values)?;
    let mut classes = inputs.given.place(values.map(|&value| value as u8));
    if let Some(unknown) = inputs.given.unknown(inputs.size) {
        apply_ignore(&mut classes, &unknown).map_err(|e| in_field(field, e))?;
    }
    let (nuclei, count) = nuclei_of(&classes, &truth.classes);
    Ok(FieldTruth::of(classes, nuclei, count))
}

/// Refuses values that are no classes.
fn check(truth: &TruthConfig, path: &Path, values: &Image<u32>) -> Result<(), ProjectError> {
    let count = truth.classes.len() as u32;
    if let Some(&value) = values
        .data()
        .iter()
        .find(|&&value| value >= count && value != u32::from(IGNORED))
    {
        let classes: Vec<String> = truth
            .classes
            .iter()
            .enumerate()
            .map(|(i, name)| format!("{i} {name}"))
            .collect();
        let hint = if smoothed_share(values) > 0.0 {
            "; the edges of the mask are smoothed: save it with two values (such as all above 127 \
             as 255)"
        } else if value > 15 {
            "; if these are instance labels, set `truth.labels` instead of `truth.masks`"
        } else {
            "; correct the mask or `truth.classes`"
        };
        return Err(ProjectError::Failed(format!(
            "`{}` holds the value `{value}`, which is no class (classes: {}, 255 ignored){hint}",
            path.display(),
            classes.join(", ")
        )));
    }
    if count == 2 || !values.data().contains(&1) {
        let only_ignored = values.data().contains(&255)
            && values
                .data()
                .iter()
                .all(|&value| value == 0 || value == 255);
        if only_ignored {
            return Err(ProjectError::Failed(format!(
                "`{}` holds 0 and 255 only, where 255 means ignored; if 255 is the nucleus, set \
                 `truth.mask_values = \"binary\"`",
                path.display()
            )));
        }
    }
    Ok(())
}

/// The nuclei of a class mask and their number: what hangs together in a class of nuclei, mitotic
/// ones included, as among predicted nuclei.
fn nuclei_of(classes: &Image<u8>, names: &[String]) -> (Image<u32>, usize) {
    let mut nuclei = Image::filled(classes.height(), classes.width(), 0u32);
    let mut count = 0;
    for number in nucleus_classes(names) {
        let of_class = classes.map(|&class| usize::from(class) == number);
        let parts = label(&of_class, Connectivity::Eight);
        for (nucleus, &part) in nuclei.data_mut().iter_mut().zip(parts.image.data()) {
            if part != 0 {
                *nucleus = count as u32 + part;
            }
        }
        count += parts.count;
    }
    (nuclei, count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mitotic_nuclei_of_a_class_mask_are_nuclei() {
        let mask = Image::new(1, 9, vec![1, 1, 0, 3, 3, 1, 2, 0, 3]);
        let names = ["background", "nucleus", "cytoplasm", "mitotic"].map(str::to_owned);
        let (nuclei, count) = nuclei_of(&mask, &names);
        assert_eq!(nuclei.data(), [1, 1, 0, 3, 3, 2, 0, 0, 4]);
        assert_eq!(count, 4);
        // Without such a class, 3 is whatever its name says.
        let others = ["background", "nucleus", "cytoplasm", "dirt"].map(str::to_owned);
        assert_eq!(nuclei_of(&mask, &others).1, 2);
    }
}
