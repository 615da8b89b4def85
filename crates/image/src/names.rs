//! What file names say: their order, whether they mean an image or a truth, which well they name.

use std::cmp::Ordering;
use std::path::Path;

use unicode_normalization::UnicodeNormalization;

/// Suffixes that mark a file as the truth of the image with the same name, whether or not that
/// image is there.
const SURE_SUFFIXES: [&str; 6] = [
    "_cp_masks",
    "_labelled",
    "_labels",
    "_masks",
    "_mask",
    "_seg",
];

/// Endings of truth files, for messages; what else is known is in [`truth_names`].
pub(crate) const TRUTH_ENDINGS: [&str; 8] = [
    "_labels",
    "_masks",
    "_cp_masks",
    "-labels",
    "_label",
    "_seg",
    "_gt",
    "_instances",
];

/// What makers of truth write behind the name of the image, after one of [`GAPS`].
const ENDINGS: [&str; 31] = [
    "cp_masks",
    "cp_mask",
    "stardist_labels",
    "instance_labels",
    "instance_masks",
    "instance_mask",
    "instances_ids",
    "instances",
    "instance",
    "label_image",
    "label_map",
    "labelmap",
    "labelled",
    "labeled",
    "labels",
    "label",
    "lbls",
    "lbl",
    "masks",
    "mask",
    "segmentation",
    "segmented",
    "segm",
    "seg",
    "ground_truth",
    "groundtruth",
    "gt",
    "truth",
    "annotations",
    "annotation",
    "object identities",
];

/// What they write before it.
const BEGINNINGS: [&str; 17] = [
    "labels of ",
    "label of ",
    "label image of ",
    "label map of ",
    "count masks of ",
    "masks of ",
    "mask of ",
    "segmentation of ",
    "lblimg_",
    "labels_",
    "label_",
    "labels-",
    "masks_",
    "mask_",
    "mask-",
    "seg_",
    "gt_",
];

/// What stands between a name and what was added to it.
const GAPS: [char; 4] = ['_', '-', '.', ' '];

/// What files of truth say of their kind of object, between the image's name and the ending.
const OBJECTS: [&str; 6] = ["nuclei", "nucleus", "nuc", "cells", "cell", "cyto"];

/// Endings of image files that stay in the names of what was made from them.
const EXTENSIONS: [&str; 11] = [
    ".tif", ".tiff", ".png", ".ome", ".nd2", ".czi", ".lif", ".stk", ".jpg", ".oib", ".vsi",
];

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
    SURE_SUFFIXES.iter().find_map(|suffix| {
        let cut = name
            .len()
            .checked_sub(suffix.len())
            .filter(|&cut| cut > 0)?;
        let tail = name.get(cut..)?;
        tail.eq_ignore_ascii_case(suffix).then(|| &name[..cut])
    })
}

/// Names of images that the truth called `name` (without extension) may be of, the likeliest first:
/// `a_cp_masks`, `a-labels`, `a.labels`, `Labels of a.tif` and `a_nuclei_gt` may be of `a`.
///
/// Only a name that some image has means anything: `label_free` may be of `free`.
pub(crate) fn marked_names(name: &str) -> Vec<String> {
    let after = without_ending(name, &ENDINGS);
    let before = without_beginning(name);
    let both = before.and_then(|rest| without_ending(rest, &ENDINGS));
    let mut found = Vec::new();
    for base in [after, both, before].into_iter().flatten() {
        found.extend([base, without_extensions(base)].map(str::to_string));
    }
    for base in [after, both, before].into_iter().flatten() {
        found.extend(without_ending(without_extensions(base), &OBJECTS).map(str::to_string));
    }
    found
}

/// As [`marked_names`], and names of files that nothing marks as truth but where they lie:
/// `a.tif.tif` and `a_nuclei.tif` in a folder of labels.
pub(crate) fn truth_names(name: &str) -> Vec<String> {
    let mut found = marked_names(name);
    let plain = without_extensions(name);
    found.push(plain.to_string());
    found.extend(without_ending(plain, &OBJECTS).map(str::to_string));
    found.retain(|base| base != name);
    found
}

fn without_beginning(name: &str) -> Option<&str> {
    BEGINNINGS.iter().find_map(|word| {
        let head = name.get(..word.len())?;
        head.eq_ignore_ascii_case(word).then(|| &name[word.len()..])
    })
}

/// `name` without the first of `words` that it ends with, and without the gap before it.
fn without_ending<'a>(name: &'a str, words: &[&str]) -> Option<&'a str> {
    let base = words.iter().find_map(|word| {
        let cut = name.len().checked_sub(word.len())?;
        let tail = name.get(cut..)?;
        let base = &name[..cut];
        (tail.eq_ignore_ascii_case(word) && base.ends_with(GAPS)).then_some(base)
    })?;
    let base = base.trim_end_matches(GAPS);
    (!base.is_empty()).then_some(base)
}

fn without_extensions(mut name: &str) -> &str {
    let end = |name: &str| {
        EXTENSIONS.iter().find_map(|end| {
            let cut = name.len().checked_sub(end.len()).filter(|&cut| cut > 0)?;
            name.get(cut..)?.eq_ignore_ascii_case(end).then_some(cut)
        })
    };
    while let Some(cut) = end(name) {
        name = &name[..cut];
    }
    name
}

/// `name` with composed letters: the one way of several in which systems store an umlaut. Names are
/// the same if they are the same in this form.
///
/// ```
/// use stainfree_image::composed;
/// assert_eq!(composed("a\u{308}"), "\u{e4}");
/// ```
pub fn composed(name: &str) -> String {
    name.nfc().collect()
}

/// `name` with everything beyond ASCII spelled out, to tell names apart that look the same.
pub(crate) fn spelled(name: &str) -> String {
    let spell = |letter: char| match letter.is_ascii() {
        true => letter.to_string(),
        false => letter.escape_unicode().to_string(),
    };
    name.chars().map(spell).collect()
}

/// Whether a folder or channel name speaks of truth (`masks`, `nuc_gt`, `labels`) rather than of
/// an image. A hint for guessing only: some sets call fluorescence images `masks`.
pub fn looks_like_truth(name: &str) -> bool {
    const WORDS: [&str; 14] = [
        "gt",
        "truth",
        "groundtruth",
        "label",
        "labels",
        "labelled",
        "mask",
        "masks",
        "seg",
        "segmentation",
        "instance",
        "instances",
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
pub fn stem(path: &Path) -> String {
    let stem = path
        .file_stem()
        .map(|s| s.to_string_lossy().into_owned())
        .unwrap_or_default();
    let cut = stem.len().saturating_sub(4);
    match stem.get(cut..) {
        Some(end) if cut > 0 && end.eq_ignore_ascii_case(".ome") => stem[..cut].to_string(),
        _ => stem,
    }
}

/// A folder that can be opened: `.` for the empty path, which is the parent of a bare name.
pub(crate) fn or_here(folder: &Path) -> &Path {
    if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    }
}

/// The folder that `path` lies in; of the root, the root.
pub(crate) fn folder_of(path: &Path) -> &Path {
    or_here(path.parent().unwrap_or(path))
}

/// The name of a folder, also where `.` or `..` stands for it; empty for the root.
pub(crate) fn folder_name(folder: &Path) -> String {
    let name = file_name(folder);
    if !name.is_empty() {
        return name;
    }
    let full = or_here(folder).canonicalize();
    full.map_or(String::new(), |full| file_name(&full))
}

/// The last part of a path as text.
pub(crate) fn file_name(path: &Path) -> String {
    path.file_name()
        .map(|s| s.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// Whether the extension is one this program reads images from.
pub fn is_image_name(path: &Path) -> bool {
    let hidden = file_name(path).starts_with('.');
    let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase());
    !hidden && matches!(extension.as_deref(), Some("tif" | "tiff" | "png"))
}

/// Row 1 and column 2 as `A02`; rows beyond `Z` as `AA`, `AB`, ..
pub(crate) fn well_name(row: u32, column: u32) -> String {
    let letter = |n: u32| char::from(b'A' + (n % 26) as u8);
    match row - 1 {
        row @ 0..26 => format!("{}{column:02}", letter(row)),
        row => format!("{}{}{column:02}", letter(row / 26 - 1), letter(row)),
    }
}

/// Rows and columns of the largest plate that is made, of 3,456 wells.
const MOST_ROWS: u32 = 48;
const MOST_COLUMNS: u32 = 72;

/// A row (`B`, `b`, `AF`) and a column (`2`, `02`) as printed on the plate (`B02`); `None` where no
/// plate has such a well.
///
/// ```
/// use stainfree_image::printed_well;
/// assert_eq!(printed_well("b", "2").as_deref(), Some("B02"));
/// assert_eq!(printed_well("ABC", "2"), None);
/// ```
pub fn printed_well(row: &str, column: &str) -> Option<String> {
    let letter = |c: char| u32::from(c.to_ascii_uppercase()) - u32::from('A') + 1;
    let is_row = matches!(row.len(), 1 | 2) && row.chars().all(|c| c.is_ascii_alphabetic());
    let row = row
        .chars()
        .filter(|_| is_row)
        .fold(0, |n, c| n * 26 + letter(c));
    let is_column = column.chars().all(|c| c.is_ascii_digit());
    let column: u32 = column.parse().ok().filter(|_| is_column)?;
    let is_one = (1..=MOST_ROWS).contains(&row) && (1..=MOST_COLUMNS).contains(&column);
    is_one.then(|| well_name(row, column))
}

/// Up to five names in backticks, then how many more there are.
///
/// ```
/// use stainfree_image::list_names;
/// assert_eq!(list_names(&["a", "b"]), "`a`, `b`");
/// assert_eq!(list_names(&["a"; 7]), "`a`, `a`, `a`, `a`, `a` and 2 more");
/// ```
pub fn list_names<S: AsRef<str>>(names: &[S]) -> String {
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
    fn names_of_truth_lead_to_the_name_of_the_image() {
        for name in [
            "W0_cp_masks",
            "W0_CP_MASKS",
            "W0-labels",
            "W0-mask",
            "W0.labels",
            "W0_label",
            "W0_gt",
            "W0_segmentation",
            "W0_instances",
            "Labels of W0",
            "labels of W0.tif",
            "Mask of W0",
            "LblImg_W0",
            "mask_W0",
            "W0.tif",
            "W0.ome_cp_masks",
            "W0.nd2 - labels",
            "W0_nuclei_masks",
            "W0_Object Identities",
        ] {
            let names = truth_names(name);
            assert!(names.contains(&"W0".to_string()), "{name}: {names:?}");
        }
        assert_eq!(truth_names("W0"), [""; 0]);
        assert_eq!(truth_names("_gt"), [""; 0]);
        assert!(truth_names("label_free").iter().all(|base| base == "free"));
        assert_eq!(truth_names("target"), [""; 0]);
        assert_eq!(truth_names("ä_gt")[0], "ä");
    }

    #[test]
    fn forms_of_a_letter_are_one_and_can_be_told_apart() {
        let (one, two) = ("Zellk\u{f6}rper", "Zellko\u{308}rper");
        assert_eq!(composed(one), composed(two));
        assert_eq!(spelled(two), "Zellko\\u{308}rper");
    }

    #[test]
    fn truth_folders_are_told_by_whole_words() {
        for name in ["nuc_gt", "masks", "Labels", "cell_mask", "instances_ids"] {
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

    #[test]
    fn rows_beyond_z_have_two_letters() {
        assert_eq!(well_name(26, 1), "Z01");
        assert_eq!(well_name(27, 48), "AA48");
        assert_eq!(well_name(32, 7), "AF07");
    }

    #[test]
    fn wells_are_those_of_plates() {
        let read = |row, column| printed_well(row, column).unwrap_or_default();
        assert_eq!(read("b", "2"), "B02");
        assert_eq!(read("AF", "048"), "AF48");
        assert_eq!(read("AV", "72"), "AV72");
        for (row, column) in [
            ("", "1"),
            ("AW", "1"),
            ("ABC", "1"),
            ("ä", "1"),
            ("A1", "1"),
        ] {
            assert_eq!(printed_well(row, column), None, "{row}");
        }
        for column in ["", "0", "73", "-1", "+1", "1a", "4294967297"] {
            assert_eq!(printed_well("A", column), None, "{column}");
        }
    }
}
