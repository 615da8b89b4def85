//! What the program keeps of each field: in which folder, under which name, in which format.
//!
//! Masks, labels, probabilities and pictures that one command writes and another reads, by the name
//! of their field. Nobody else knows how their files end; another format is another [`Store`].

use std::borrow::Borrow;
use std::path::PathBuf;

use crate::write::{self, Note};
use crate::{Image, ImageError, read_class_mask, read_labels};

/// The ending of every file of pixels that the program writes.
pub const TIFF: &str = "tif";
/// The ending of every picture that the program writes.
pub const PNG: &str = "png";

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
        }
    }

    /// The name of the file of the field `name`.
    pub fn file(self, name: &str) -> String {
        let ending = match self {
            Self::Overlays => PNG,
            _ => TIFF,
        };
        format!("{name}.{ending}")
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
        write::labels(&self.path(product, name), labels, note)
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
