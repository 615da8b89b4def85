//! What `predict` and `evaluate` write of a field.

use std::path::Path;

use stainfree_image::{Field, Image, Product, Store, marker, write};
use stainfree_inference::{Nuclei, cells, cytoplasm_class};

use crate::ProjectError;
use crate::prediction::forms::{Forms, LabelsOf, put_forms};
use crate::prediction::sure;
use crate::prediction::zarr;
use crate::study::disk::remove;
use crate::study::provenance::Content;

/// What may be kept of a field.
pub(crate) const PRODUCTS: [Product; 15] = [
    Product::Classes,
    Product::Nuclei,
    Product::Cells,
    Product::Probabilities,
    Product::Outputs,
    Product::Overlays,
    Product::GeoJson,
    Product::Rois,
    Product::Cellpose,
    Product::CellposeCells,
    Product::Napari,
    Product::NapariCells,
    Product::OmeLabels,
    Product::Confidence,
    Product::ConfidenceMap,
];

/// Those that are written unasked, and what their notes call them.
pub(crate) const NOTED: [(Product, &str); 3] = [
    (Product::Classes, "class mask"),
    (Product::Nuclei, "nuclei"),
    (Product::Cells, "cells"),
];

/// What notes call that which probabilities are written with.
const TEMPERATURES: &str = "temperatures";

/// What is written beside class masks and nuclei.
#[derive(Clone, Copy, Default)]
pub(crate) struct Wanted {
    /// Whole cells: the model knows cytoplasm.
    pub(crate) cells: bool,
    /// Probabilities of the classes.
    pub(crate) probabilities: bool,
    /// What the temperatures are recognised by that they are written with, where the model has
    /// some.
    pub(crate) temperatures: Option<u32>,
    /// Outputs beside the classes: they are asked for, and the model has some.
    pub(crate) outputs: bool,
    /// Pictures.
    pub(crate) overlay: bool,
    /// How sure nuclei are: the model says it.
    pub(crate) confidence: bool,
    /// Maps of that, which are asked for.
    pub(crate) confidence_map: bool,
    /// Forms for other programs.
    pub(crate) forms: Forms,
    /// A store of the image with its labels.
    pub(crate) zarr: bool,
}

impl Wanted {
    fn wants(self, product: Product) -> bool {
        match product {
            Product::Cells => self.cells,
            Product::Probabilities => self.probabilities,
            Product::Outputs => self.outputs,
            Product::Overlays => self.overlay,
            Product::Confidence => self.confidence,
            Product::ConfidenceMap => self.confidence_map,
            Product::Classes | Product::Nuclei => true,
            other => self.forms.products(self.cells).any(|form| form == other),
        }
    }

    /// The same without what can be made from the files of the others.
    pub(crate) fn but_derived(self) -> Self {
        Self {
            cells: false,
            forms: Forms::default(),
            zarr: false,
            ..self
        }
    }

    /// What the notes of probabilities call them.
    pub(crate) fn probabilities_called(self) -> String {
        match self.temperatures {
            Some(number) => format!("probabilities by {TEMPERATURES} {number:08x}"),
            None => "probabilities".to_owned(),
        }
    }

    /// Whether these probabilities are written with the temperatures that the model has now: it may
    /// have been given some, or others, since.
    fn as_now(self, note: Option<String>) -> bool {
        let note = note.unwrap_or_default();
        match self.temperatures {
            Some(_) => note.contains(&format!("{} of", self.probabilities_called())),
            None => !note.contains(TEMPERATURES),
        }
    }

    /// What is written.
    pub(crate) fn products(self) -> impl Iterator<Item = Product> {
        PRODUCTS
            .into_iter()
            .filter(move |&product| self.wants(product))
    }

    /// What an earlier run may have left that is not written now: it would pass for this run's.
    pub(crate) fn stale(self) -> Vec<Product> {
        let unwanted = |product: &Product| !self.wants(*product);
        PRODUCTS.into_iter().filter(unwanted).collect()
    }

    /// Whether everything that is written of a field lies in `out`. Versions that know no
    /// `outputs` have left those of another model than `model`.
    pub(crate) fn exist(self, field: &Field, out: &Path, model: &str) -> bool {
        let store = Store::at(out);
        let exists = |kind: Product| {
            let path = store.path(kind, &field.name);
            let is_of = || marker::note_of(&path).is_some_and(|note| note.contains(model));
            let is_right = || match kind {
                Product::Outputs => is_of(),
                Product::Probabilities => self.as_now(marker::note_of(&path)),
                _ => true,
            };
            path.is_file() && is_right()
        };
        let is_stored = || !self.zarr || zarr::exists(out, field, model, self.cells);
        self.products().all(exists) && is_stored()
    }
}

/// Deletes these outputs of a field, where there are any.
pub(crate) fn remove_outputs(
    out: &Path,
    name: &str,
    kinds: &[Product],
) -> Result<(), ProjectError> {
    let store = Store::at(out);
    kinds
        .iter()
        .try_for_each(|&kind| remove(&store.path(kind, name)))
}

/// Pixels from which on cells and contents are made by region, whatever the cap on memory.
const LARGE: usize = 1 << 26;

/// Whether what is made of the files of a field is made by region.
pub(crate) fn is_large(field: &Field) -> bool {
    field.height * field.width > LARGE
}

/// What a prediction was made by and from.
pub(crate) struct Made<'a> {
    /// Hash of the model.
    pub(crate) model: &'a str,
    /// The image.
    pub(crate) content: &'a Content,
}

/// Whole cells of a field; none where the model knows no cytoplasm.
pub(crate) fn cells_of(
    field: &Field,
    classes: &Image<u8>,
    names: &[String],
    nuclei: &Nuclei,
    model_um: Option<f64>,
) -> Option<Image<u32>> {
    let cytoplasm = cytoplasm_class(names)?;
    let pixel_um = field.pixel_um.or(model_um);
    Some(cells(classes, cytoplasm, &nuclei.labels, pixel_um))
}

/// Writes the whole cells of a field that was predicted before, with the note of its nuclei.
pub(crate) fn cells_of_files(
    store: &Store,
    field: &Field,
    names: &[String],
    model_um: Option<f64>,
) -> Result<(), ProjectError> {
    let (classes, labels) = (
        store.classes(&field.name)?,
        store.labels(Product::Nuclei, &field.name)?,
    );
    let path = store.path(Product::Nuclei, &field.name);
    let said = marker::note_of(&path).filter(|_| classes.size() == labels.size());
    let Some(said) = said else {
        return Err(ProjectError::Field(format!(
            "`{}` does not belong to the class mask of field `{}`",
            path.display(),
            field.name
        )));
    };
    let nuclei = Nuclei { labels, count: 0 };
    let note = write::Note {
        text: format!(
            "stainfree {}",
            said.replacen(": nuclei of", ": cells of", 1)
        ),
        pixel_um: field.pixel_um,
    };
    match cells_of(field, &classes, names, &nuclei, model_um) {
        Some(cells) => Ok(store.put_labels(Product::Cells, &field.name, &cells, &note)?),
        None => Ok(()),
    }
}

/// Writes the forms of a field that was predicted before, with the notes of its labels.
///
/// # Errors
/// The labels cannot be read or say nothing, or a file cannot be written.
pub(crate) fn forms_of_files(
    store: &Store,
    field: &Field,
    forms: Forms,
    cells: bool,
) -> Result<(), ProjectError> {
    let name = &field.name;
    let read = |product| store.labels(product, name);
    let nuclei = read(Product::Nuclei)?;
    let cells = cells.then(|| read(Product::Cells)).transpose()?;
    let path = store.path(Product::Nuclei, name);
    let Some(said) = marker::note_of(&path) else {
        return Err(ProjectError::Field(format!(
            "`{}` does not say what it was made from",
            path.display()
        )));
    };
    let sure = sure::read(&store.path(Product::Confidence, name))?;
    let sure = sure.map(|sure| {
        let nuclei = sure.into_iter();
        nuclei.map(|(label, (_, sure))| (label, sure)).collect()
    });
    let labels = LabelsOf {
        name,
        nuclei: &nuclei,
        cells: cells.as_ref(),
        sure: sure.as_ref(),
    };
    put_forms(store, forms, labels, |what| write::Note {
        text: format!(
            "stainfree {}",
            said.replacen(": nuclei of", &format!(": {what} of"), 1)
        ),
        pixel_um: field.pixel_um,
    })
}

/// Writes `classes/NAME.tif` and `nuclei/NAME.tif`, and `cells/NAME.tif` or removes what an earlier
/// model left there.
pub(crate) fn write_field(
    out: &Path,
    field: &Field,
    classes: &Image<u8>,
    nuclei: &Nuclei,
    cells: Option<&Image<u32>>,
    made: &Made,
) -> Result<(), ProjectError> {
    let store = Store::at(out);
    let name = &field.name;
    store.put_classes(name, classes, &note(field, "class mask", made))?;
    match cells {
        Some(cells) => {
            let note = note(field, "cells", made);
            store.put_labels(Product::Cells, name, cells, &note)?;
        }
        None => remove(&store.path(Product::Cells, name))?,
    }
    let note = note(field, "nuclei", made);
    Ok(store.put_labels(Product::Nuclei, name, &nuclei.labels, &note)?)
}

pub(crate) fn note(field: &Field, what: &str, made: &Made) -> write::Note {
    write::Note {
        text: format!(
            "stainfree {} prediction: {what} of field {}, model {}, image {}",
            env!("CARGO_PKG_VERSION"),
            field.name,
            made.model,
            made.content.image.join(" ")
        ),
        pixel_um: field.pixel_um,
    }
}
