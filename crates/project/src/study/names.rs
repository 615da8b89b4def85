//! Names of fields, and how truth files find the field they belong to.
//!
//! A truth file belongs to the field of the same name, whatever suffix its maker added:
//! `b_labels.tif` is the truth of `b.png`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use stainfree_image::{Dataset, ImageError, Pairing, list_names, marker};
use strsim::levenshtein;

use crate::ProjectError;

/// The truth of a study's fields in a folder or a file. What a model has predicted is refused.
///
/// # Errors
/// As [`Pairing::of`], and [`ProjectError::PredictedTruth`].
pub(crate) fn truth_of(path: &Path, dataset: &Dataset) -> Result<Pairing, ProjectError> {
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    // `nuclei` and `classes` lie in the folder that bears the marker.
    let predicted = |folder: &Path| marker::written_by_us(folder) == Some(marker::Kind::Prediction);
    if real.ancestors().take(2).any(predicted) {
        return Err(ProjectError::PredictedTruth(path.to_owned()));
    }
    Ok(Pairing::of(path, dataset)?)
}

/// Says which files of `path` belong to no field; `None` if all do.
pub(crate) fn without_field(path: &Path, pairing: &Pairing) -> Option<String> {
    let names = pairing.stranger_names();
    let what = match names.len() {
        0 => return None,
        1 => "1 file belongs".to_owned(),
        n => format!("{n} files belong"),
    };
    Some(format!(
        "`{}`: {what} to no field: {}",
        path.display(),
        list_names(&names)
    ))
}

/// The truth files of a folder by the name of their field, where the fields are not known.
///
/// # Errors
/// The folder cannot be read, holds no image, or holds two files for one name.
pub fn truth_files(folder: &Path) -> Result<BTreeMap<String, PathBuf>, ProjectError> {
    let mut files: BTreeMap<String, PathBuf> = BTreeMap::new();
    for file in stainfree_image::truth_files(folder)? {
        if let Some(first) = files.get(&file.name) {
            return Err(ImageError::TwoTruths {
                first: first.clone(),
                second: file.path,
                field: file.name,
                note: String::new(),
            }
            .into());
        }
        files.insert(file.name, file.path);
    }
    Ok(files)
}

/// The choice most like `wanted`, or `None` where none is near (more than half of it differs).
pub fn nearest<'a>(wanted: &str, choices: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted_lower = wanted.to_lowercase();
    choices
        .into_iter()
        .map(|choice| (levenshtein(&wanted_lower, &choice.to_lowercase()), choice))
        .min()
        .filter(|(distance, choice)| {
            2 * distance <= wanted.chars().count().max(choice.chars().count())
        })
        .map(|(_, choice)| choice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_truths_of_one_field_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a_mask.png"), b"").unwrap();
        std::fs::write(folder.path().join("a_labels.tif"), b"").unwrap();
        assert!(
            truth_files(folder.path())
                .unwrap_err()
                .to_string()
                .contains("both the truth of `a`")
        );
    }

    #[test]
    fn the_nearest_choice_is_offered_only_when_it_is_near() {
        assert_eq!(
            nearest("brigthfield", ["planes", "brightfield"]),
            Some("brightfield")
        );
        assert_eq!(nearest("xyz", ["planes", "brightfield"]), None);
    }
}
