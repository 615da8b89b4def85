//! Truth images: labels, class masks, and telling one from the other.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::names::{marked_names, natural_order, stem, truth_stem};
use crate::numbers::{class_mask_of, labels_of};
use crate::pairing::{images_in, only_page};
use crate::{Image, ImageError};

/// Reads instance labels: 0 = background, any other integer one object.
///
/// Unsigned and signed integers and whole-numbered floats are taken. The file must have one page;
/// [`crate::TruthOf`] reads the truth of stacks and movies.
///
/// # Errors
/// [`ImageError::WrongContent`] for negative or fractional values (an intensity image or
/// probabilities) and for several pages, and the errors of [`crate::read_plane`].
pub fn read_labels(path: &Path) -> Result<Image<u32>, ImageError> {
    labels_of(path, only_page(path)?)
}

/// Reads a class mask: one class (0 to 255) per pixel, from a file of one page.
///
/// Which classes are allowed is for the caller to say; see [`MaskContent`] for what a mask seems
/// to hold.
///
/// # Errors
/// [`ImageError::WrongContent`] for values above 255, negative or fractional ones and for several
/// pages, and the errors of [`crate::read_plane`].
pub fn read_class_mask(path: &Path) -> Result<Image<u8>, ImageError> {
    class_mask_of(path, only_page(path)?)
}

/// What the values of a truth image suggest that it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MaskContent {
    /// Only 0.
    Empty,
    /// Background and one other value, which is 1 or 255: a binary mask.
    Binary {
        /// The value of the foreground.
        foreground: u32,
    },
    /// Only values below [`MAX_CLASSES`], and 255 (ignored).
    Classes {
        /// The values that occur, ascending.
        values: Vec<u32>,
    },
    /// Anything else: instance labels.
    Labels {
        /// Number of different values but 0.
        objects: usize,
        /// The largest value.
        largest: u32,
    },
}

/// Most classes a mask is believed to have, numbered from 0; any other number but 255 is the
/// label of an object.
///
/// The schemes here have four; eight leaves room for foreign masks. A label image of a few objects
/// (fewer than eight) cannot be told from a class mask by its values alone, so that callers judge
/// a folder by all its files.
pub const MAX_CLASSES: u32 = 8;

impl MaskContent {
    /// Judges the values of a class mask or label image.
    pub fn of<T: Copy + Into<u32>>(image: &Image<T>) -> Self {
        let mut values = BTreeSet::new();
        let mut last = None;
        for &value in image.data() {
            let value = value.into();
            // Neighbours are mostly equal; this keeps the set out of the inner loop.
            if last != Some(value) {
                values.insert(value);
                last = Some(value);
            }
        }
        let objects: Vec<u32> = values.iter().copied().filter(|&value| value != 0).collect();
        match objects[..] {
            [] => Self::Empty,
            [foreground @ (1 | 255)] => Self::Binary { foreground },
            _ if objects
                .iter()
                .all(|&value| value < MAX_CLASSES || value == 255) =>
            {
                Self::Classes {
                    values: values.into_iter().collect(),
                }
            }
            [.., largest] => Self::Labels {
                objects: objects.len(),
                largest,
            },
        }
    }
}

/// One truth file of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TruthFile {
    /// The name of the field it belongs to: the file name without extension and what marks it as
    /// truth.
    pub name: String,
    /// What was cut from the end, such as `_labels`; empty without such a mark.
    pub suffix: String,
    /// The file.
    pub path: PathBuf,
}

/// The truth files of a folder whose fields are not known, in natural order of their names.
///
/// Where a file with a mark of truth (`a_labels`) lies beside one of that name without it, only
/// files with a mark are truth and the others are images; otherwise every image file is.
/// [`crate::Pairing`] knows the fields and is surer.
///
/// # Errors
/// [`ImageError::Read`] if the folder cannot be read, [`ImageError::NoImages`] if it holds none.
pub fn truth_files(folder: &Path) -> Result<Vec<TruthFile>, ImageError> {
    let mut files: Vec<TruthFile> = images_in(folder)?
        .into_iter()
        .map(|path| {
            let full = stem(&path);
            let cut = truth_stem(&full).map(str::to_string);
            let name = cut.or_else(|| marked_names(&full).into_iter().next());
            let name = name.unwrap_or_else(|| full.clone());
            TruthFile {
                suffix: full.strip_prefix(&name).unwrap_or(&full).to_string(),
                name,
                path,
            }
        })
        .collect();
    let plain: BTreeSet<String> = files
        .iter()
        .filter(|file| file.suffix.is_empty())
        .map(|file| file.name.clone())
        .collect();
    if files
        .iter()
        .any(|file| !file.suffix.is_empty() && plain.contains(&file.name))
    {
        files.retain(|file| !file.suffix.is_empty());
    }
    files.sort_by(|a, b| natural_order(&a.name, &b.name).then_with(|| a.path.cmp(&b.path)));
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(values: &[u32]) -> Image<u32> {
        Image::new(1, values.len(), values.to_vec())
    }

    #[test]
    fn content_is_told_by_values() {
        assert_eq!(MaskContent::of(&row(&[0, 0])), MaskContent::Empty);
        assert_eq!(
            MaskContent::of(&row(&[0, 255])),
            MaskContent::Binary { foreground: 255 }
        );
        assert_eq!(
            MaskContent::of(&row(&[0, 1, 1])),
            MaskContent::Binary { foreground: 1 }
        );
        let classes = MaskContent::Classes {
            values: vec![0, 1, 2, 255],
        };
        assert_eq!(MaskContent::of(&row(&[2, 0, 255, 1])), classes);
        let labels = MaskContent::Labels {
            objects: 2,
            largest: 300,
        };
        assert_eq!(MaskContent::of(&row(&[0, 7, 300])), labels);
        // One object with an odd number is a label and no binary mask.
        let one = MaskContent::Labels {
            objects: 1,
            largest: 17,
        };
        assert_eq!(MaskContent::of(&row(&[0, 17])), one);
    }
}
