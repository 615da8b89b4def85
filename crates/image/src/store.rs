//! What the program keeps of each field: in which folder, under which name, in which format.
//!
//! Masks, labels, probabilities and pictures that one command writes and another reads, by the name
//! of their field. Nobody else knows how their files end; another format is another [`Store`].

use std::borrow::Borrow;
use std::path::PathBuf;

use crate::outline::Outlines;
use crate::write::{self, Note, OmeTiff, PixelType, Samples, Shrink};
use crate::{Image, ImageError, read_class_mask, read_labels};

/// The ending of every file of pixels that the program writes.
pub const TIFF: &str = "tif";
/// The ending of every picture that the program writes.
pub const PNG: &str = "png";
/// The ending of outlines as QuPath reads them.
pub const GEOJSON: &str = "geojson";
/// The ending of tables.
pub const CSV: &str = "csv";
/// The ending of outlines as ImageJ reads them.
pub const ZIP: &str = "zip";

/// A kind of what is kept of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Product {
    /// Class masks.
    Classes,
    /// Labels of nuclei.
    Nuclei,
    /// Labels of nuclei where nothing else is kept, in the folder itself.
    Labels,
    /// Labels of nuclei as they were before somebody corrected them.
    Automatic,
    /// Labels of whole cells.
    Cells,
    /// Probabilities of the classes, a page each.
    Probabilities,
    /// What a network says beside the classes, a page each.
    Outputs,
    /// The relative light of a stain, by plate instead of field.
    Illumination,
    /// Pictures of the classes over the brightfield.
    Overlays,
    /// Labels of nuclei and cells as channels of an OME-TIFF.
    OmeLabels,
    /// Outlines of nuclei and cells for QuPath.
    GeoJson,
    /// Outlines of nuclei and cells for ImageJ's ROI Manager.
    Rois,
    /// Labels of nuclei under the name that Cellpose looks for.
    Cellpose,
    /// Labels of whole cells under that name.
    CellposeCells,
    /// Labels of nuclei in 32 bits, which napari opens as labels.
    Napari,
    /// Labels of whole cells in 32 bits.
    NapariCells,
    /// How sure every nucleus is, a table.
    Confidence,
    /// Nuclei painted with that, 0 elsewhere.
    ConfidenceMap,
}

impl Product {
    /// Its folder in a store; empty for the store's own.
    pub const fn folder(self) -> &'static str {
        match self {
            Self::Classes => "classes",
            Self::Nuclei => "nuclei",
            Self::Labels => "",
            Self::Automatic => "automatic",
            Self::Cells => "cells",
            Self::Probabilities => "probabilities",
            Self::Outputs => "outputs",
            Self::Illumination => "illumination",
            Self::Overlays => "overlays",
            Self::OmeLabels => "ome",
            Self::GeoJson => "qupath",
            Self::Rois => "rois",
            Self::Cellpose => "cellpose",
            Self::CellposeCells => "cellpose/cells",
            Self::Napari => "napari",
            Self::NapariCells => "napari/cells",
            Self::Confidence => "confidence",
            Self::ConfidenceMap => "confidence_map",
        }
    }

    /// The name of the file of the field `name`.
    pub fn file(self, name: &str) -> String {
        match self {
            Self::Overlays => format!("{name}.{PNG}"),
            Self::OmeLabels => format!("{name}.ome.{TIFF}"),
            Self::GeoJson => format!("{name}.{GEOJSON}"),
            Self::Rois => format!("{name}.{ZIP}"),
            Self::Confidence => format!("{name}.{CSV}"),
            Self::Cellpose | Self::CellposeCells => format!("{name}_cp_masks.{TIFF}"),
            _ => format!("{name}.{TIFF}"),
        }
    }
}

/// A folder of such files: the truth of a study, a prediction, a segmentation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// The store in this folder, which need not be there yet.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The folder of a kind.
    pub fn folder(&self, product: Product) -> PathBuf {
        match product.folder() {
            "" => self.root.clone(),
            folder => self.root.join(folder),
        }
    }

    /// Where the file of a field lies.
    pub fn path(&self, product: Product, name: &str) -> PathBuf {
        self.folder(product).join(product.file(name))
    }

    /// The class mask of a field.
    ///
    /// # Errors
    /// Those of [`read_class_mask`].
    pub fn classes(&self, name: &str) -> Result<Image<u8>, ImageError> {
        read_class_mask(&self.path(Product::Classes, name))
    }

    /// Labels of a field.
    ///
    /// # Errors
    /// Those of [`read_labels`].
    pub fn labels(&self, product: Product, name: &str) -> Result<Image<u32>, ImageError> {
        read_labels(&self.path(product, name))
    }

    /// Keeps the class mask of a field.
    ///
    /// # Errors
    /// [`ImageError::Write`] if the file cannot be written.
    pub fn put_classes(&self, name: &str, mask: &Image<u8>, note: &Note) -> Result<(), ImageError> {
        write::class_mask(&self.path(Product::Classes, name), mask, note)
    }

    /// Keeps labels of a field.
    ///
    /// # Errors
    /// [`ImageError::Write`] if the file cannot be written.
    pub fn put_labels(
        &self,
        product: Product,
        name: &str,
        labels: &Image<u32>,
        note: &Note,
    ) -> Result<(), ImageError> {
        let path = self.path(product, name);
        match product {
            Product::Napari | Product::NapariCells => write::wide_labels(&path, labels, note),
            _ => write::labels(&path, labels, note),
        }
    }

    /// Keeps labels of nuclei, and of whole cells where there are some, as channels of one file.
    ///
    /// # Errors
    /// [`ImageError::Write`] if the file cannot be written; [`ImageError::Misuse`] if nuclei and
    /// cells differ in size, or there is no pixel.
    pub fn put_ome_labels(
        &self,
        name: &str,
        nuclei: &Image<u32>,
        cells: Option<&Image<u32>>,
        note: &Note,
    ) -> Result<(), ImageError> {
        let channels: Vec<(&str, &Image<u32>)> = [("nuclei", Some(nuclei)), ("cells", cells)]
            .into_iter()
            .filter_map(|(name, labels)| Some((name, labels?)))
            .collect();
        let values = channels.iter().flat_map(|(_, labels)| labels.data());
        // 16 bits at least, as in every other file of labels.
        let pixel_type = PixelType::of_counts(values.copied().max().unwrap_or(0));
        let image = OmeTiff {
            name: name.to_owned(),
            text: note.text.clone(),
            size: nuclei.size(),
            planes: 1,
            times: 1,
            channels: channels.iter().map(|&(name, _)| name.to_owned()).collect(),
            pixel_type: pixel_type.max(PixelType::U16),
            pixel_um: note.pixel_um,
            z_step_um: None,
            shrink: Shrink::Nearest,
        };
        write::ome_tiff(&self.path(Product::OmeLabels, name), &image, |place| {
            let (_, labels) = channels[place.channel];
            Ok(Some(Samples::U32(labels.clone())))
        })
    }

    /// Keeps outlines of a field as QuPath reads them.
    ///
    /// # Errors
    /// [`ImageError::Write`] if the file cannot be written.
    pub fn put_geojson(
        &self,
        name: &str,
        outlines: &Outlines,
        pixel_um: Option<f64>,
    ) -> Result<(), ImageError> {
        write::geojson(&self.path(Product::GeoJson, name), name, outlines, pixel_um)
    }

    /// Keeps outlines of a field as ImageJ reads them.
    ///
    /// # Errors
    /// [`ImageError::Write`] if the file cannot be written.
    pub fn put_rois(&self, name: &str, outlines: &Outlines) -> Result<(), ImageError> {
        write::imagej_rois(&self.path(Product::Rois, name), name, outlines)
    }

    /// Keeps planes of numbers of a field, such as probabilities, in their order.
    ///
    /// # Errors
    /// [`ImageError::Write`] if the file cannot be written; [`ImageError::Misuse`] if there is no
    /// plane or if they differ in size.
    pub fn put_planes(
        &self,
        product: Product,
        name: &str,
        planes: &[impl Borrow<Image<f32>>],
        note: &Note,
    ) -> Result<(), ImageError> {
        write::stack_f32(&self.path(product, name), planes, note)
    }

    /// Keeps the picture of a field.
    ///
    /// # Errors
    /// [`ImageError::Write`] if the file cannot be written.
    pub fn put_picture(&self, name: &str, picture: &Image<[u8; 3]>) -> Result<(), ImageError> {
        write::png_rgb(&self.path(Product::Overlays, name), picture)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// People and scripts know these names, and so do results of earlier versions.
    #[test]
    fn files_lie_where_they_always_lay() {
        let store = Store::at("result");
        let at = |product| store.path(product, "B02_s1").display().to_string();
        assert_eq!(at(Product::Classes), "result/classes/B02_s1.tif");
        assert_eq!(at(Product::Labels), "result/B02_s1.tif");
        assert_eq!(at(Product::Overlays), "result/overlays/B02_s1.png");
        assert_eq!(at(Product::OmeLabels), "result/ome/B02_s1.ome.tif");
        assert_eq!(at(Product::GeoJson), "result/qupath/B02_s1.geojson");
        assert_eq!(at(Product::Rois), "result/rois/B02_s1.zip");
        let cellpose = "result/cellpose/cells/B02_s1_cp_masks.tif";
        assert_eq!(at(Product::CellposeCells), cellpose);
        assert_eq!(at(Product::Napari), "result/napari/B02_s1.tif");
        assert_eq!(at(Product::Confidence), "result/confidence/B02_s1.csv");
        let map = "result/confidence_map/B02_s1.tif";
        assert_eq!(at(Product::ConfidenceMap), map);
    }

    #[test]
    fn what_is_put_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path());
        for product in [Product::Classes, Product::Nuclei] {
            std::fs::create_dir(store.folder(product)).unwrap();
        }
        let mask = Image::new(1, 3, vec![0, 1, 255]);
        let labels = Image::new(1, 3, vec![0, 7, 70_000]);
        store.put_classes("f", &mask, &Note::default()).unwrap();
        let put = |product| store.put_labels(product, "f", &labels, &Note::default());
        put(Product::Nuclei).unwrap();
        assert_eq!(store.classes("f").unwrap(), mask);
        assert_eq!(store.labels(Product::Nuclei, "f").unwrap(), labels);
        assert!(store.labels(Product::Cells, "f").is_err());
    }
}
