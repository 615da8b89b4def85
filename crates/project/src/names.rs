//! Names of fields, and how truth files find the field they belong to.
//!
//! A truth file belongs to the field of the same name, whatever suffix its maker added:
//! `b_labels.tif` is the truth of `b.png`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::ProjectError;

/// The truth files of a folder by the name of their field.
///
/// # Errors
/// The folder cannot be read, holds no image, or holds two files for one name.
pub fn truth_files(folder: &Path) -> Result<BTreeMap<String, PathBuf>, ProjectError> {
    let mut files: BTreeMap<String, PathBuf> = BTreeMap::new();
    for file in stainfree_image::truth_files(folder)? {
        if let Some(first) = files.get(&file.name) {
            return Err(ProjectError::Failed(format!(
                "`{}` and `{}` are both the truth of `{}`; keep one of them",
                first.display(),
                file.path.display(),
                file.name
            )));
        }
        files.insert(file.name, file.path);
    }
    Ok(files)
}

/// Number of single-character edits that turn `a` into `b` (Levenshtein 1966).
pub fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// The choice most like `wanted`, or `None` where none is near (more than half of it differs).
pub fn nearest<'a>(wanted: &str, choices: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted_lower = wanted.to_lowercase();
    choices
        .into_iter()
        .map(|choice| (edit_distance(&wanted_lower, &choice.to_lowercase()), choice))
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
        assert_eq!(edit_distance("kitten", "sitting"), 3);
        assert_eq!(
            nearest("brigthfield", ["planes", "brightfield"]),
            Some("brightfield")
        );
        assert_eq!(nearest("xyz", ["planes", "brightfield"]), None);
    }
}
