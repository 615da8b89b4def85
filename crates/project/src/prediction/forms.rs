//! The forms of labels that other programs open, beside the files that are always written.
//!
//! A form is one file for each field, or two where there are whole cells: it follows from labels
//! that are there, and is made from them again where it is missing. Where each lies, and under
//! which name, is said by `Store`.

use std::collections::BTreeMap;
use std::str::FromStr;

use stainfree_image::outline::Outlines;
use stainfree_image::write::Note;
use stainfree_image::{Image, Product, Store};

use crate::ProjectError;
use crate::study::disk::{create_folder, remove};

/// What a program asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Outlines for QuPath.
    GeoJson,
    /// Outlines for ImageJ and Fiji.
    ImagejRois,
    /// Labels under Cellpose's names.
    Cellpose,
    /// Labels that napari takes for labels.
    Napari,
    /// Labels as OME-TIFF.
    OmeTiff,
}

impl Form {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::GeoJson,
        Self::ImagejRois,
        Self::Cellpose,
        Self::Napari,
        Self::OmeTiff,
    ];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::GeoJson => "geojson",
            Self::ImagejRois => "imagej-rois",
            Self::Cellpose => "cellpose",
            Self::Napari => "napari",
            Self::OmeTiff => "ome-tiff",
        }
    }

    /// The programs that users may say instead.
    pub const fn programs(self) -> &'static [&'static str] {
        match self {
            Self::GeoJson => &["qupath"],
            Self::ImagejRois => &["imagej", "fiji"],
            Self::Cellpose | Self::Napari => &[],
            Self::OmeTiff => &["ome"],
        }
    }

    /// What is written, for a help page.
    pub const fn help(self) -> &'static str {
        match self {
            Self::GeoJson => {
                "OUT/qupath/NAME.geojson: outlines for QuPath, nuclei as detections, or in cells"
            }
            Self::ImagejRois => {
                "OUT/rois/NAME.zip: outlines for the ROI Manager of ImageJ and Fiji"
            }
            Self::Cellpose => {
                "OUT/cellpose/NAME_cp_masks.tif: labels by Cellpose's name; cells in \
                 OUT/cellpose/cells"
            }
            Self::Napari => {
                "OUT/napari/NAME.tif: 32-bit labels, which napari opens as labels; cells in \
                 OUT/napari/cells"
            }
            Self::OmeTiff => {
                "OUT/ome/NAME.ome.tif: labels as channels `nuclei` and `cells`, with the pixel size"
            }
        }
    }

    /// Whether it consists of outlines.
    pub(crate) const fn has_outlines(self) -> bool {
        matches!(self, Self::GeoJson | Self::ImagejRois)
    }

    /// What is kept of a field, with whole cells or without.
    fn products(self, cells: bool) -> &'static [Product] {
        match (self, cells) {
            (Self::GeoJson, _) => &[Product::GeoJson],
            (Self::ImagejRois, _) => &[Product::Rois],
            (Self::Cellpose, false) => &[Product::Cellpose],
            (Self::Cellpose, true) => &[Product::Cellpose, Product::CellposeCells],
            (Self::Napari, false) => &[Product::Napari],
            (Self::Napari, true) => &[Product::Napari, Product::NapariCells],
            (Self::OmeTiff, _) => &[Product::OmeLabels],
        }
    }
}

impl FromStr for Form {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        let is_it = |form: &Self| form.name() == word || form.programs().contains(&word);
        Self::ALL.into_iter().find(is_it).ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join("`, `");
            format!("`{word}` is no form of labels; choose from `{known}`")
        })
    }
}

/// The forms that are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forms([bool; Form::ALL.len()]);

impl FromIterator<Form> for Forms {
    fn from_iter<I: IntoIterator<Item = Form>>(forms: I) -> Self {
        let mut wanted = Self::default();
        for form in forms {
            wanted.0[form as usize] = true;
        }
        wanted
    }
}

impl Forms {
    /// Whether none is asked for.
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }

    /// Those that are asked for.
    pub(crate) fn iter(self) -> impl Iterator<Item = Form> {
        let is_wanted = move |form: &Form| self.0[*form as usize];
        Form::ALL.into_iter().filter(is_wanted)
    }

    /// What is kept of a field for them.
    pub(crate) fn products(self, cells: bool) -> impl Iterator<Item = Product> {
        self.iter()
            .flat_map(move |form| form.products(cells).iter().copied())
    }

    /// Whether all of it is there.
    pub(crate) fn exist(self, store: &Store, name: &str, cells: bool) -> bool {
        let mut products = self.products(cells);
        products.all(|product| store.path(product, name).is_file())
    }

    /// Makes their folders.
    ///
    /// # Errors
    /// One cannot be made.
    pub(crate) fn create_folders(self, store: &Store, cells: bool) -> Result<(), ProjectError> {
        let mut products = self.products(cells);
        products.try_for_each(|product| create_folder(&store.folder(product)))
    }

    /// Whether outlines are among them.
    fn need_outlines(self) -> bool {
        self.iter().any(Form::has_outlines)
    }
}

/// Everything that any form keeps of a field.
pub(crate) fn all_products() -> impl Iterator<Item = Product> + Clone {
    let of_form = |form: Form| form.products(true).iter().copied();
    Form::ALL.into_iter().flat_map(of_form)
}

/// Deletes all forms of a field, where there are any: they are of labels that are no longer there.
pub(crate) fn remove_forms(store: &Store, name: &str) -> Result<(), ProjectError> {
    all_products().try_for_each(|product| remove(&store.path(product, name)))
}

/// Labels of a field.
#[derive(Clone, Copy)]
pub(crate) struct LabelsOf<'a> {
    pub(crate) name: &'a str,
    pub(crate) nuclei: &'a Image<u32>,
    pub(crate) cells: Option<&'a Image<u32>>,
    /// How sure nuclei are, by label, where that is known.
    pub(crate) sure: Option<&'a BTreeMap<u32, f64>>,
}

/// Writes a field in these forms, whose folders are there; `note` is what a file with this content
/// says of where it comes from.
///
/// # Errors
/// A file cannot be written, or nuclei and cells differ in size.
pub(crate) fn put_forms(
    store: &Store,
    forms: Forms,
    labels: LabelsOf,
    note: impl Fn(&str) -> Note,
) -> Result<(), ProjectError> {
    let LabelsOf {
        name,
        nuclei,
        cells,
        sure,
    } = labels;
    if let Some(cells) = cells.filter(|cells| cells.size() != nuclei.size()) {
        let ((height, width), (rows, columns)) = (nuclei.size(), cells.size());
        return Err(ProjectError::Field(format!(
            "the labels of field `{name}` are {height} x {width} and its cells {rows} x {columns}; \
             both must be of the same image"
        )));
    }
    let mut outlines = match forms.need_outlines() {
        true => stainfree_objects::outlines(nuclei, cells)
            .map_err(|error| ProjectError::Field(format!("field `{name}`: {error}")))?,
        false => Outlines::default(),
    };
    outlines.confidences = sure.cloned().unwrap_or_default();
    let put = |product, labels: Option<&Image<u32>>, what| match labels {
        Some(labels) => store.put_labels(product, name, labels, &note(what)),
        None => Ok(()),
    };
    for form in forms.iter() {
        match form {
            Form::GeoJson => store.put_geojson(name, &outlines, note("nuclei").pixel_um)?,
            Form::ImagejRois => store.put_rois(name, &outlines)?,
            Form::Cellpose => {
                put(Product::Cellpose, Some(nuclei), "nuclei")?;
                put(Product::CellposeCells, cells, "cells")?;
            }
            Form::Napari => {
                put(Product::Napari, Some(nuclei), "nuclei")?;
                put(Product::NapariCells, cells, "cells")?;
            }
            Form::OmeTiff => store.put_ome_labels(name, nuclei, cells, &note("labels"))?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_programs_name_forms() {
        for form in Form::ALL {
            assert_eq!(form.name().parse(), Ok(form));
        }
        assert_eq!("fiji".parse(), Ok(Form::ImagejRois));
        assert_eq!("qupath".parse(), Ok(Form::GeoJson));
        let refused = "svg".parse::<Form>().unwrap_err();
        assert!(refused.ends_with("`napari`, `ome-tiff`"), "{refused}");
    }

    #[test]
    fn a_form_that_lacks_its_cells_is_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path());
        let forms: Forms = [Form::Cellpose, Form::GeoJson].into_iter().collect();
        forms.create_folders(&store, true).unwrap();
        let nuclei = Image::new(2, 2, vec![0, 1, 1, 2]);
        let mut labels = LabelsOf {
            name: "f",
            nuclei: &nuclei,
            cells: None,
            sure: None,
        };
        let put = |labels| put_forms(&store, forms, labels, |_| Note::default()).unwrap();
        put(labels);
        assert!(forms.exist(&store, "f", false) && !forms.exist(&store, "f", true));
        labels.cells = Some(&nuclei);
        put(labels);
        assert!(forms.exist(&store, "f", true));
        remove_forms(&store, "f").unwrap();
        assert!(!forms.exist(&store, "f", false));
    }
}
