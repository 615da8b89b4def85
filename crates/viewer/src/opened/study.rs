//! A study: its images, its truth, the predictions of its models, and its corrections.

use std::path::{Path, PathBuf};

use stainfree_image::{Product, Store};
use stainfree_project::study::human::corrected;
use stainfree_project::{Part, Study};

use super::{Columns, Layer, LayerKind, Opened, Shown, What, channels};
use crate::ViewError;

/// Opens the study at `path`.
pub(super) fn open(path: &Path) -> Result<Opened, ViewError> {
    let study = Study::open(path)?;
    let source = study.source()?;
    let mut opened = Opened::empty(What::Study, path);
    opened.channels = channels(&source.dataset, source.nucleus, source.cytoplasm);
    for &channel in &source.brightfield.channels {
        opened.channels[channel].role = super::Role::Brightfield;
    }
    opened.notes = source.dataset.problems.clone();
    let truth = study.truth();
    let corrected = corrected::files(&study)?;
    let models = study.models();
    let parts = predicted_parts(&study, &models);

    let mut sources: Vec<(Layer, Box<Finder>)> = Vec::new();
    let mut add = |name: &str, kind: LayerKind, find: Box<Finder>| {
        let name = name.to_owned();
        sources.push((Layer { name, kind }, find));
    };
    let nuclei = truth.clone();
    add(
        "nuclei, corrected here",
        LayerKind::Corrections,
        Box::new(move |name| {
            let file = corrected.get(name).cloned();
            file.or_else(|| there(nuclei.path(Product::Nuclei, name)))
        }),
    );
    for (title, kind, product) in [
        (
            "truth: nuclei before",
            LayerKind::Objects,
            Product::Automatic,
        ),
        ("truth: cells", LayerKind::Objects, Product::Cells),
        ("truth: classes", LayerKind::Classes, Product::Classes),
    ] {
        let store = truth.clone();
        let find = Box::new(move |name: &str| there(store.path(product, name)));
        add(title, kind, find);
    }
    for model in &models {
        let stores: Vec<Store> = parts
            .iter()
            .filter(|(of, _)| of == model)
            .map(|(_, store)| store.clone())
            .collect();
        for (what, kind, product) in PREDICTED {
            let stores = stores.clone();
            let find = Box::new(move |name: &str| {
                let mut paths = stores.iter().map(|store| store.path(product, name));
                paths.find(|path| path.is_file())
            });
            add(&format!("{model}: {what}"), kind, find);
        }
    }

    let columns = table(&study, &source.dataset, &models)?;
    opened.columns = columns.titles();
    let fields = source.dataset.fields.into_iter();
    opened.fields = fields
        .map(|field| {
            let mut shown = Shown::of(field, 0);
            let found = sources.iter().map(|(_, find)| find(&shown.name));
            shown.labels = found.collect();
            shown.cells = columns.of(&shown.name);
            shown
        })
        .collect();
    opened.layers = sources.into_iter().map(|(layer, _)| layer).collect();
    opened.drop_empty_layers();
    opened.model = match models.contains(&study.only_model()) {
        true => Some(study.only_model()),
        false => models.first().cloned(),
    };
    opened.study = Some(study);
    opened.checked()
}

/// Where the labels of a field lie, by its name.
type Finder = dyn Fn(&str) -> Option<PathBuf>;

/// What is shown of predictions.
const PREDICTED: [(&str, LayerKind, Product); 3] = [
    ("nuclei", LayerKind::Objects, Product::Nuclei),
    ("cells", LayerKind::Objects, Product::Cells),
    ("classes", LayerKind::Classes, Product::Classes),
];

fn there(path: PathBuf) -> Option<PathBuf> {
    path.is_file().then_some(path)
}

/// What `evaluate` keeps of each model: `runs/NAME/PART`.
fn predicted_parts(study: &Study, models: &[String]) -> Vec<(String, Store)> {
    let parts = [Part::Train, Part::Validation, Part::Test];
    let of_model = |model: &String| {
        let run = study.run_path(model);
        let stores = parts.map(|part| (model.clone(), Store::at(run.join(part.to_string()))));
        stores.into_iter()
    };
    models.iter().flat_map(of_model).collect()
}

/// The table of fields with how many wrong objects each has by each model.
fn table(
    study: &Study,
    dataset: &stainfree_image::Dataset,
    models: &[String],
) -> Result<Columns, ViewError> {
    let mut columns = Columns::default();
    columns.add_table(&study.root().join("fields.csv"), "name")?;
    let split = columns.titles().iter().position(|title| title == "split");
    for model in models {
        for (part, file) in [
            ("train", "object-errors-train.csv"),
            ("validation", "object-errors-validation.csv"),
            ("test", "object-errors.csv"),
        ] {
            let names = dataset.fields.iter().map(|field| field.name.as_str());
            let of_part = names.filter(|name| {
                let cells = columns.of(name);
                split.is_some_and(|split| cells[split] == part)
            });
            let of_part: Vec<&str> = of_part.collect();
            let title = format!("wrong nuclei ({model}, {part})");
            let path = study.model_path(model).join(file);
            columns.add_count(&path, &title, of_part.into_iter())?;
        }
    }
    Ok(columns)
}

impl Opened {
    /// Takes layers away that no field has.
    pub(super) fn drop_empty_layers(&mut self) {
        for layer in (0..self.layers.len()).rev() {
            if self
                .fields
                .iter()
                .all(|field| field.labels[layer].is_none())
            {
                self.layers.remove(layer);
                for field in &mut self.fields {
                    field.labels.remove(layer);
                }
            }
        }
    }
}
