//! What file names say: their order, whether they mean an image or a truth, which well they name.

use std::cmp::Ordering;
use std::path::Path;

/// Suffixes that mark a file as the truth of the image with the same name.
pub const TRUTH_SUFFIXES: [&str; 5] = ["_labelled", "_labels", "_masks", "_mask", "_seg"];

/// The name of the image that a truth file belongs to: `name` without its truth suffix.
///
/// `None` when `name` (a file name without extension) has no such suffix, so that it is an image
/// itself, or nothing but the suffix. Upper and lower case are the same.
///
/// ```
/// use stainfree_image::truth_stem;
/// assert_eq!(truth_stem("B02_s1_labels"), Some("B02_s1"));
/// assert_eq!(truth_stem("B02_s1"), None);
/// ```
pub fn truth_stem(name: &str) -> Option<&str> {
    TRUTH_SUFFIXES.iter().find_map(|suffix| {
        let cut = name
            .len()
            .checked_sub(suffix.len())
            .filter(|&cut| cut > 0)?;
        let tail = name.get(cut..)?;
        tail.eq_ignore_ascii_case(suffix).then(|| &name[..cut])
    })
}

/// Whether a folder or channel name speaks of truth (`masks`, `nuc_gt`, `labels`) rather than of
/// an image. A hint for guessing only: some sets call fluorescence images `masks`.
pub fn looks_like_truth(name: &str) -> bool {
    const WORDS: [&str; 11] = [
        "gt",
        "truth",
        "groundtruth",
        "label",
        "labels",
        "labelled",
        "mask",
        "masks",
        "seg",
        "annotation",
        "annotations",
    ];
    name.to_lowercase()
        .split(|c: char| !c.is_alphanumeric())
        .any(|word| WORDS.contains(&word))
}

/// Orders names as people do: runs of digits by their number, so that `s2` comes before `s10`.
///
/// Names that differ only in leading zeros keep a fixed order as well.
pub fn natural_order(a: &str, b: &str) -> Ordering {
    let (mut rest_a, mut rest_b) = (a, b);
    while let (Some(first_a), Some(first_b)) = (rest_a.chars().next(), rest_b.chars().next()) {
        if first_a.is_ascii_digit() && first_b.is_ascii_digit() {
            let (digits_a, tail_a) = split_digits(rest_a);
            let (digits_b, tail_b) = split_digits(rest_b);
            let (number_a, number_b) = (
                digits_a.trim_start_matches('0'),
                digits_b.trim_start_matches('0'),
            );
            let order = number_a
                .len()
                .cmp(&number_b.len())
                .then_with(|| number_a.cmp(number_b));
            if order != Ordering::Equal {
                return order;
            }
            (rest_a, rest_b) = (tail_a, tail_b);
        } else {
            let order = first_a.cmp(&first_b);
            if order != Ordering::Equal {
                return order;
            }
            (rest_a, rest_b) = (&rest_a[first_a.len_utf8()..], &rest_b[first_b.len_utf8()..]);
        }
    }
    rest_a.len().cmp(&rest_b.len()).then_with(|| a.cmp(b))
}

fn split_digits(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text.split_at(end)
}

/// The file name without its extension, and without `.ome` before it.
pub(crate) fn stem(path: &Path) -> String {
    let stem = path
        .file_stem()
        .map(|s| s.to_string_lossy().into_owned())
        .unwrap_or_default();
    match stem.to_lowercase().strip_suffix(".ome") {
        Some(shorter) if !shorter.is_empty() => stem[..stem.len() - 4].to_string(),
        _ => stem,
    }
}

/// The last part of a path as text.
pub(crate) fn file_name(path: &Path) -> String {
    path.file_name()
        .map(|s| s.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// Whether the extension is one this program reads images from.
pub(crate) fn is_image_name(path: &Path) -> bool {
    let hidden = file_name(path).starts_with('.');
    let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase());
    !hidden && matches!(extension.as_deref(), Some("tif" | "tiff" | "png"))
}

/// Up to five names in backticks, then how many more there are.
pub(crate) fn list_names<S: AsRef<str>>(names: &[S]) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<String> = names
        .iter()
        .take(SHOWN)
        .map(|name| format!("`{}`", name.as_ref()))
        .collect();
    match names.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_sort_by_value() {
        let mut names = ["s10", "s2", "s02", "s1", "a", "s2b", "s"];
        names.sort_by(|a, b| natural_order(a, b));
        assert_eq!(names, ["a", "s", "s1", "s02", "s2", "s2b", "s10"]);
    }

    #[test]
    fn truth_suffixes_are_cut_once_and_never_leave_nothing() {
        assert_eq!(truth_stem("a_labels"), Some("a"));
        assert_eq!(truth_stem("a_labelled"), Some("a"));
        assert_eq!(truth_stem("ä_MASK"), Some("ä"));
        assert_eq!(truth_stem("a_masks"), Some("a"));
        assert_eq!(truth_stem("a_seg"), Some("a"));
        assert_eq!(truth_stem("_seg"), None);
        assert_eq!(truth_stem("unmasked"), None);
    }

    #[test]
    fn truth_folders_are_told_by_whole_words() {
        for name in ["nuc_gt", "masks", "Labels", "cell_mask"] {
            assert!(looks_like_truth(name), "{name}");
        }
        for name in ["bf", "length", "masked", "segment"] {
            assert!(!looks_like_truth(name), "{name}");
        }
    }

    #[test]
    fn stems_drop_one_extension_and_ome() {
        assert_eq!(stem(Path::new("a/b.c.tif")), "b.c");
        assert_eq!(stem(Path::new("a/b.OME.tiff")), "b");
    }
}
