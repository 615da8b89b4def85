//! A study: its images, its truth, the predictions of its models, and its corrections.

use std::path::{Path, PathBuf};

use stainfree_image::table::number;
use stainfree_image::{Product, Store};
use stainfree_project::prediction::familiar::strangest_of_training;
use stainfree_project::study::human::corrected;
use stainfree_project::{Part, Study};

use super::{Columns, Layer, LayerKind, Opened, Shown, What, channels};
use crate::ViewError;
use crate::work::{Source, WorkList};

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

    let mut sources: Vec<(Layer, Box<Finder>, Option<Box<Finder>>)> = Vec::new();
    let mut add = |name: &str, kind: LayerKind, find: Box<Finder>, sure: Option<Box<Finder>>| {
        let name = name.to_owned();
        sources.push((Layer { name, kind }, find, sure));
    };
    let nuclei = truth.clone();
    add(
        "nuclei, corrected here",
        LayerKind::Corrections,
        Box::new(move |name| {
            let file = corrected.get(name).cloned();
            file.or_else(|| there(nuclei.path(Product::Nuclei, name)))
        }),
        None,
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
        add(title, kind, find, None);
    }
    let mut by_model: Vec<(String, Vec<Store>)> = Vec::new();
    for model in &models {
        let stores: Vec<Store> = parts
            .iter()
            .filter(|(of, _)| of == model)
            .map(|(_, store)| store.clone())
            .collect();
        for (what, kind, product) in PREDICTED {
            let sure = (product == Product::Nuclei).then(|| in_any(&stores, Product::Confidence));
            add(
                &format!("{model}: {what}"),
                kind,
                in_any(&stores, product),
                sure,
            );
        }
        by_model.push((model.clone(), stores));
    }

    let mut columns = table(&study, &source.dataset, &models)?;
    let fields = source.dataset.fields.iter();
    let names: Vec<String> = fields.map(|field| field.name.clone()).collect();
    for (model, stores) in &by_model {
        let find = in_any(stores, Product::Confidence);
        columns.add_confidence(&format!("mean confidence ({model})"), &names, find)?;
    }
    let default = match models.contains(&study.only_model()) {
        true => Some(study.only_model()),
        false => models.first().cloned(),
    };
    if let Some(model) = &default {
        add_strangeness(&mut columns, &study.model_path(model));
    }
    opened.columns = columns.titles();
    let fields = source.dataset.fields.into_iter();
    opened.fields = fields
        .map(|field| {
            let mut shown = Shown::of(field, 0);
            let name = &shown.name;
            shown.labels = sources.iter().map(|(_, find, _)| find(name)).collect();
            let sure = |find: &Option<Box<Finder>>| find.as_ref().and_then(|find| find(name));
            shown.sure = sources.iter().map(|(_, _, find)| sure(find)).collect();
            shown.cells = columns.of(&shown.name);
            shown
        })
        .collect();
    opened.layers = sources.into_iter().map(|(layer, ..)| layer).collect();
    opened.drop_empty_layers();
    opened.add_differences();
    opened.model = default;
    opened.add_lists(&study, &models);
    opened.study = Some(study);
    opened.checked()
}

/// The column of the table with how unlike the training a field is.
const STRANGENESS: &str = "strangeness";

/// Where the labels of a field lie, by its name.
type Finder = dyn Fn(&str) -> Option<PathBuf>;

/// What is shown of predictions.
const PREDICTED: [(&str, LayerKind, Product); 3] = [
    ("nuclei", LayerKind::Objects, Product::Nuclei),
    ("cells", LayerKind::Objects, Product::Cells),
    ("classes", LayerKind::Classes, Product::Classes),
];

/// Finds a product of a field in whichever of these folders has it.
fn in_any(stores: &[Store], product: Product) -> Box<Finder> {
    let stores = stores.to_vec();
    Box::new(move |name| {
        let mut paths = stores.iter().map(|store| store.path(product, name));
        paths.find(|path| path.is_file())
    })
}

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

/// Adds how unlike the others of its training each field is that a model has met. A model that
/// cannot be read shows nothing of it.
fn add_strangeness(columns: &mut Columns, model: &Path) {
    let found = strangest_of_training(model).unwrap_or_default();
    let numbers = found
        .iter()
        .map(|(k, (v, _))| (k.clone(), format!("{v:.2}")));
    columns.add(STRANGENESS, numbers.collect());
    let words = found.into_iter().map(|(k, (_, words))| (k, words));
    columns.add("unlike", words.collect());
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
                    field.sure.remove(layer);
                }
            }
        }
    }

    /// Adds a layer for where the truth and each model differ.
    fn add_differences(&mut self) {
        let Some(truth) = self.corrections() else {
            return;
        };
        let end = format!(": {}", PREDICTED[0].0);
        let models = self.layers.iter().enumerate();
        let models: Vec<(usize, String)> = models
            .filter_map(|(i, layer)| Some((i, layer.name.strip_suffix(&end)?.to_owned())))
            .filter(|(_, name)| name != "truth")
            .collect();
        for (layer, model) in models {
            self.layers.push(Layer {
                name: format!("difference: truth, {model}"),
                kind: LayerKind::Difference(truth, layer),
            });
            for field in &mut self.fields {
                let file = field.labels[truth]
                    .as_ref()
                    .and(field.labels[layer].clone());
                field.labels.push(file);
                field.sure.push(None);
            }
        }
    }

    /// Adds a list of the least sure objects of every layer that has confidences.
    pub(super) fn add_sure_list(&mut self) {
        for (layer, name) in self.layers.iter().enumerate() {
            if self.fields.iter().any(|field| field.sure[layer].is_some()) {
                let title = format!("least sure ({})", name.name);
                let source = Source::Sure { layer };
                self.lists.push(WorkList::new(title, Some(layer), source));
            }
        }
    }

    /// Adds a list of fields by their strangeness, where the table has it.
    pub(super) fn add_strangest(&mut self) {
        if let Some(column) = self.columns.iter().position(|title| title == STRANGENESS) {
            let source = Source::Column { column };
            let list = WorkList::new("strangest fields", None, source);
            self.lists.push(list);
        }
    }

    /// Adds the lists of a study.
    fn add_lists(&mut self, study: &Study, models: &[String]) {
        self.add_sure_list();
        let with_rows = |model: &str, file: &str| -> Vec<PathBuf> {
            let folder = study.model_path(model);
            let endings = ["-train.csv", "-validation.csv", ".csv"];
            let paths = endings.map(|end| folder.join(format!("{file}{end}")));
            paths.into_iter().filter(|path| path.is_file()).collect()
        };
        for model in models {
            let name = format!("{model}: {}", PREDICTED[0].0);
            let layer = self.layers.iter().position(|layer| layer.name == name);
            let tables = with_rows(model, "disagreements");
            if !tables.is_empty() {
                for (what, fields) in [("nuclei", false), ("fields", true)] {
                    let title = format!("{what} that truth and {model} disagree on");
                    let tables = tables.clone();
                    let source = Source::Disagreements { tables, fields };
                    self.lists.push(WorkList::new(title, layer, source));
                }
            }
            let tables = with_rows(model, "object-errors");
            if !tables.is_empty() {
                let title = format!("doubtful splits ({model})");
                let source = Source::Splits { tables };
                self.lists.push(WorkList::new(title, layer, source));
            }
        }
        let table = study.root().join("truth").join("mitosis.csv");
        if table.is_file() {
            let source = Source::Mitoses { table };
            let list = WorkList::new("mitosis candidates", None, source);
            self.lists.push(list);
        }
        self.add_strangest();
        if let Some(column) = self.columns.iter().position(|title| title == "concern") {
            let doubtful = |field: &Shown| number(&field.cells[column]).is_some_and(|v| v > 0.0);
            if self.fields.iter().any(doubtful) {
                let source = Source::Column { column };
                let list = WorkList::new("fields of doubtful truth", None, source);
                self.lists.push(list);
            }
        }
    }
}
