//! A result of `predict` or `segment`, over the images that it is of where they are given.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use stainfree_image::marker::Kind;
use stainfree_image::{
    Dataset, Field, OpenOptions, Product, Store, natural_order, open as open_images, read_info,
    stem,
};

use super::{Columns, Layer, LayerKind, Opened, Shown, What, channels};
use crate::ViewError;

/// What is shown of a result.
const LAYERS: [(&str, LayerKind, Product); 3] = [
    ("nuclei", LayerKind::Objects, Product::Nuclei),
    ("cells", LayerKind::Objects, Product::Cells),
    ("classes", LayerKind::Classes, Product::Classes),
];

/// Opens the result at `path`.
pub(super) fn open(
    path: &Path,
    images: Option<&Path>,
    opening: &OpenOptions,
    kind: &Kind,
) -> Result<Opened, ViewError> {
    let layers: &[(&str, LayerKind, Product)] = match kind {
        Kind::Prediction => &LAYERS,
        Kind::Segmentation => &[("nuclei", LayerKind::Objects, Product::Labels)],
        other => {
            return Err(ViewError::Absent(format!(
                "`{}` is {}, of which there is nothing to show; give a study, a result of \
                 `predict` or `segment`, or images",
                path.display(),
                other.described()
            )));
        }
    };
    let store = Store::at(path);
    let mut opened = Opened::empty(What::Result, path);
    let dataset = images.map(|images| open_images(images, opening));
    let mut dataset = dataset.transpose()?;
    match &dataset {
        Some(dataset) => opened.channels = channels(dataset, None, None),
        None => opened.notes.push(
            "labels alone are shown; `--images` with what was predicted shows them over it"
                .to_owned(),
        ),
    }
    let mut columns = Columns::default();
    columns.add_table(&path.join("predictions.csv"), "name")?;
    let mut fields = fields_of(&mut dataset);
    let names = names(&store, layers)?;
    columns.add_confidence("mean confidence", &names, |name| {
        let path = store.path(Product::Confidence, name);
        path.is_file().then_some(path)
    })?;
    opened.columns = columns.titles();
    for name in names {
        let files: Vec<Option<PathBuf>> = layers
            .iter()
            .map(|&(_, _, product)| Some(store.path(product, &name)).filter(|p| p.is_file()))
            .collect();
        let mut shown = match fields.remove(&name) {
            Some(field) => Shown::of(field, 0),
            None => labels_only(&name, &files)?,
        };
        shown.cells = columns.of(&name);
        let sure = store.path(Product::Confidence, &name);
        let is_sure = |product: Product| product == Product::Nuclei && sure.is_file();
        let tables = layers
            .iter()
            .map(|&(_, _, p)| is_sure(p).then(|| sure.clone()));
        shown.sure = tables.collect();
        shown.labels = files;
        opened.fields.push(shown);
    }
    if let Some(dataset) = &dataset {
        let without = opened.fields.iter().filter(|f| f.image.is_none()).count();
        if without > 0 {
            opened.notes.push(format!(
                "{without} of {} fields have no image of their name in `{}`",
                opened.fields.len(),
                dataset.root.display()
            ));
        }
    }
    let layer = |&(name, kind, _): &(&str, LayerKind, Product)| Layer {
        name: name.to_owned(),
        kind,
    };
    opened.layers = layers.iter().map(layer).collect();
    opened.drop_empty_layers();
    opened.add_sure_list();
    opened.add_strangest();
    opened.checked()
}

fn fields_of(dataset: &mut Option<Dataset>) -> BTreeMap<String, Field> {
    let fields = dataset.as_mut().map(|set| std::mem::take(&mut set.fields));
    let fields = fields.unwrap_or_default().into_iter();
    fields.map(|field| (field.name.clone(), field)).collect()
}

/// The names of the fields that the first folder of labels with any has.
fn names(store: &Store, layers: &[(&str, LayerKind, Product)]) -> Result<Vec<String>, ViewError> {
    for &(_, _, product) in layers {
        let folder = store.folder(product);
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(_) => continue,
        };
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let mut names: Vec<String> = paths
            .filter(|path| path.extension().is_some_and(|end| end == "tif"))
            .map(|path| stem(&path))
            .filter(|name| !name.starts_with('.'))
            .collect();
        names.sort_by(|a, b| natural_order(a, b));
        if !names.is_empty() {
            return Ok(names);
        }
    }
    Ok(Vec::new())
}

/// A field of which no image is at hand.
fn labels_only(name: &str, files: &[Option<PathBuf>]) -> Result<Shown, ViewError> {
    let info = match files.iter().flatten().next() {
        Some(path) => Some(read_info(path)?),
        None => None,
    };
    let size = info.as_ref().and_then(|info| info.pages.first().copied());
    Ok(Shown {
        name: name.to_owned(),
        image: None,
        size: size.unwrap_or((0, 0)),
        pixel_um: info.and_then(|info| info.pixel_um),
        labels: Vec::new(),
        sure: Vec::new(),
        cells: Vec::new(),
    })
}
