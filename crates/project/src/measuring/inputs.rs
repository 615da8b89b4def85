//! Which files belong to a field: its labels, its cells, its channels.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use stainfree_image::{
    Dataset, Field, Image, Pairing, Plane, PlaneAt, Product, Store, TruthOf, list_names,
    looks_like_truth, read_info,
};
use stainfree_inference::{CYTOPLASM, cells as whole_cells};
use stainfree_objects::areas;

use super::MeasureOptions;
use crate::prediction::sure;
use crate::study::channels::find_channel;
use crate::study::fingerprint::{Fingerprint, stamp_of_file};
use crate::study::guard;
use crate::study::keep_images_only;
use crate::study::names;
use crate::study::predictions::{self as table, FILE_NAME as PREDICTIONS};
use crate::study::read_middle;
use crate::truth::given::check_instances;
use crate::{Job, ProjectError};

/// Where the labels of the objects come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Objects {
    /// A folder of label images, or one file.
    Labels(PathBuf),
    /// A folder that `predict` has written.
    Prediction(PathBuf),
}

impl Objects {
    /// The folder or file.
    pub fn path(&self) -> &Path {
        match self {
            Objects::Labels(path) | Objects::Prediction(path) => path,
        }
    }
}

/// The images and the labels that belong to them.
pub(super) struct Inputs {
    pub(super) set: Dataset,
    /// Channels that are measured, as numbers of the data set.
    pub(super) channels: Vec<usize>,
    labels: Pairing,
    cells: Cells,
    /// The prediction that says how sure nuclei are.
    sure: Option<Store>,
    /// Hashes of the models that made the labels, where `predict` has noted them.
    pub(super) models: String,
}

/// Where whole cells come from.
enum Cells {
    None,
    Labels(PathBuf, Pairing),
    /// Cells of `predict`; where it has kept none, or none of these nuclei, class masks in which
    /// this class is cytoplasm.
    Classes(Store, u8),
}

/// A field with its labels.
pub(super) struct Work<'a> {
    pub(super) field: &'a Field,
    pub(super) labels: &'a TruthOf,
    /// The plane that is measured.
    at: PlaneAt,
    /// Pixel size of the images, else of the labels.
    pub(super) pixel_um: Option<f64>,
}

impl Inputs {
    /// Opens the images and finds the labels; pixels are read later.
    pub(super) fn open(options: &MeasureOptions, job: &Job) -> Result<Self, ProjectError> {
        let mut set = stainfree_image::open(&options.images, &options.opening)?;
        keep_images_only(&mut set);
        for problem in &set.problems {
            job.progress.note(problem);
        }
        let (labels, models) = match &options.objects {
            Objects::Labels(path) => (Pairing::of(path, &set)?, String::new()),
            Objects::Prediction(folder) => {
                let nuclei = Store::at(folder).folder(Product::Nuclei);
                if !nuclei.is_dir() {
                    return Err(ProjectError::Failed(format!(
                        "`{}` is no result of `stainfree predict`: it has no folder `nuclei`; give \
                         label images with `--labels`",
                        folder.display()
                    )));
                }
                let mut found = Pairing::of(&nuclei, &set)?;
                let models = keep_vouched(folder, &mut found.files, job)?;
                (found, models)
            }
        };
        let cells = match (&options.cells, &options.objects) {
            (Some(path), _) => Cells::Labels(path.clone(), Pairing::of(path, &set)?),
            (None, Objects::Prediction(folder)) => cytoplasm_class(folder)?
                .map_or(Cells::None, |class| {
                    Cells::Classes(Store::at(folder), class)
                }),
            (None, Objects::Labels(_)) => Cells::None,
        };
        let channels = channels(&set, &options.channels, &[&labels, cells.named().1], job)?;
        let sure = match &options.objects {
            Objects::Prediction(folder) => Some(Store::at(folder)),
            Objects::Labels(_) => None,
        };
        let says = |store: &Store| {
            let mut names = labels.files.keys();
            names.any(|name| store.path(Product::Confidence, name).is_file())
        };
        let sure = sure.filter(says);
        let inputs = Self {
            set,
            channels,
            labels,
            cells,
            sure,
            models,
        };
        let folder = match &options.objects {
            Objects::Labels(path) => path.clone(),
            Objects::Prediction(folder) => Store::at(folder).folder(Product::Nuclei),
        };
        inputs.labels.refuse_empty(&folder, &inputs.set)?;
        for (path, files) in [(Some(&folder), &inputs.labels), inputs.cells.named()] {
            let sentence = path.and_then(|path| names::without_field(path, files));
            if let Some(sentence) = sentence {
                job.progress.note(&sentence);
            }
        }
        Ok(inputs)
    }

    pub(super) fn has_cells(&self) -> bool {
        !matches!(self.cells, Cells::None)
    }

    /// Whether the prediction says how sure nuclei are.
    pub(super) fn has_confidence(&self) -> bool {
        self.sure.is_some()
    }

    /// How sure each of these `objects` of a field is; NaN where nothing is known, or where it is
    /// no longer what was predicted: its area is another.
    pub(super) fn confidences(
        &self,
        work: &Work,
        objects: &Image<u32>,
        labels: &[u32],
    ) -> Result<Vec<f64>, ProjectError> {
        let name = &work.field.name;
        let path = self
            .sure
            .as_ref()
            .map(|store| store.path(Product::Confidence, name));
        let known = path.map(|path| sure::read(&path)).transpose()?.flatten();
        let known = known.unwrap_or_default();
        let areas = areas(objects);
        let of = |label: &u32| match known.get(label) {
            Some((area, confidence)) if areas.get(label) == Some(area) => *confidence,
            _ => f64::NAN,
        };
        Ok(labels.iter().map(of).collect())
    }

    /// A hash of name, size and time of all files that a field is measured from.
    pub(super) fn key(&self, work: &Work) -> String {
        let name = &work.field.name;
        let mut hash = Fingerprint::new(1);
        for &channel in &self.channels {
            let planes = work.field.planes[channel].iter().flatten();
            planes.for_each(|plane| hash.plane(plane));
        }
        let mut files = vec![work.labels.path.clone()];
        match &self.cells {
            Cells::None => {}
            Cells::Labels(_, found) => {
                files.extend(found.files.get(name).map(|truth| truth.path.clone()));
            }
            Cells::Classes(store, _) => {
                let products = [Product::Classes, Product::Cells];
                files.extend(products.map(|product| store.path(product, name)));
            }
        }
        let sure = self.sure.as_ref();
        files.extend(sure.map(|store| store.path(Product::Confidence, name)));
        // What is not there fails when it is read.
        let stamps = files.iter().filter_map(|path| stamp_of_file(path).ok());
        stamps.for_each(|stamp| hash.stamps(vec![stamp]));
        hash.finish_short(8)
    }

    /// Every file that may be read.
    pub(super) fn files(&self) -> guard::Inputs {
        let mut files = guard::Inputs::of(std::slice::from_ref(&self.set));
        let (_, cells) = self.cells.named();
        let truth = self.labels.files.values().chain(cells.files.values());
        truth.for_each(|truth| files.add(&truth.path));
        if let Some(store) = &self.sure {
            let tables = self.labels.files.keys();
            tables.for_each(|name| files.add(&store.path(Product::Confidence, name)));
        }
        if let Cells::Classes(store, _) = &self.cells {
            for name in self.labels.files.keys() {
                files.add(&store.path(Product::Classes, name));
                files.add(&store.path(Product::Cells, name));
            }
        }
        files
    }

    pub(super) fn channel_names(&self) -> Vec<String> {
        self.channels
            .iter()
            .map(|&c| self.set.channels[c].clone())
            .collect()
    }

    /// Fields that have labels, well by well; the others are said.
    pub(super) fn work(&self, plane: Option<usize>, job: &Job) -> Vec<Work<'_>> {
        let mut work: Vec<Work> = Vec::new();
        let mut without: Vec<&str> = Vec::new();
        for field in &self.set.fields {
            match self.labels.files.get(&field.name) {
                Some(labels) => work.push(Work {
                    field,
                    labels,
                    at: self.plane_at(field, plane),
                    pixel_um: pixel_um(field, &labels.path),
                }),
                None => without.push(&field.name),
            }
        }
        if !without.is_empty() {
            job.progress.note(&format!(
                "{} of {} fields have no labels and are left out: {}",
                without.len(),
                self.set.fields.len(),
                list_names(&without)
            ));
        }
        // Summaries take a well at a time. Its sites stay in the natural order of the fields'
        // names, which on plates is that of the sites; so do fields without a well.
        work.sort_by_key(|work| {
            let position = &work.field.position;
            (
                position.plate.as_ref(),
                position.well.as_ref(),
                work.field.time,
            )
        });
        work
    }

    /// The plane that is measured, in the deepest of the channels.
    fn plane_at(&self, field: &Field, plane: Option<usize>) -> PlaneAt {
        let planes = self.channels.iter().map(|&channel| &field.planes[channel]);
        let Some(deepest) = planes.max_by_key(|planes| planes.len()) else {
            return PlaneAt::ONLY;
        };
        let present: Vec<usize> = (0..deepest.len())
            .filter(|&z| deepest[z].is_some())
            .collect();
        let middle = present.len().saturating_sub(1) / 2;
        PlaneAt {
            z: plane.map_or(present.get(middle).copied().unwrap_or(0), |z| {
                z.saturating_sub(1)
            }),
            depth: deepest.len(),
        }
    }

    /// The labels of a field and its cells, `None` where it has none; where kept cells are not
    /// used, `notes` says so.
    pub(super) fn read_labels(
        &self,
        work: &Work,
        notes: &mut Vec<String>,
    ) -> Result<(Image<u32>, Option<Image<u32>>), ProjectError> {
        let labels = &work.labels.path;
        let objects = work.labels.labels(work.at)?;
        check_instances(
            labels,
            &objects,
            "number the objects first, or make labels with `stainfree segment`",
        )?;
        let cells = match &self.cells {
            Cells::None => None,
            Cells::Labels(folder, files) => {
                let truth = files.files.get(&work.field.name).ok_or_else(|| {
                    ProjectError::Field(format!(
                        "field `{}` has no cells in `{}`; add the file, or leave `--cells` out",
                        work.field.name,
                        folder.display()
                    ))
                })?;
                let cells = truth.labels(work.at)?;
                same_size((labels, objects.size()), (&truth.path, cells.size()))?;
                Some(cells)
            }
            Cells::Classes(store, class) => match kept_cells(store, work, &objects, notes)? {
                Some(cells) => Some(cells),
                None => {
                    let path = store.path(Product::Classes, &work.field.name);
                    let classes = store.classes(&work.field.name)?;
                    same_size((labels, objects.size()), (&path, classes.size()))?;
                    Some(whole_cells(&classes, *class, &objects, work.pixel_um))
                }
            },
        };
        Ok((objects, cells))
    }

    /// The planes of a field's channels, of the size of its labels; a channel that it lacks is
    /// `None`.
    pub(super) fn read_channel(
        &self,
        work: &Work,
        channel: usize,
        plane: Option<usize>,
        size: (usize, usize),
    ) -> Result<Option<Plane>, ProjectError> {
        let planes = &work.field.planes[channel];
        if planes.iter().all(Option::is_none) {
            return Ok(None);
        }
        let read = match plane {
            None => read_middle(work.field, channel)?,
            Some(z) if planes.get(z - 1).is_some_and(Option::is_some) => {
                work.field.read(channel, z - 1)?
            }
            Some(z) => {
                return Err(ProjectError::Field(format!(
                    "field `{}` has no plane `{z}` of the channel `{}` (planes: 1 to {}); choose \
                     with `--plane`",
                    work.field.name,
                    self.set.channels[channel],
                    planes.len()
                )));
            }
        };
        let place = planes.iter().flatten().next();
        let path = place.map_or(Path::new(""), |place| place.location());
        same_size((&work.labels.path, size), (path, read.size()))?;
        Ok(Some(read))
    }
}

/// The cells that `predict` has kept of a field; `None` where there are none, or where a nucleus is
/// not in the cell of its number, as when nuclei were corrected since.
fn kept_cells(
    store: &Store,
    work: &Work,
    nuclei: &Image<u32>,
    notes: &mut Vec<String>,
) -> Result<Option<Image<u32>>, ProjectError> {
    let path = store.path(Product::Cells, &work.field.name);
    if !path.is_file() {
        return Ok(None);
    }
    let cells = store.labels(Product::Cells, &work.field.name)?;
    same_size((&work.labels.path, nuclei.size()), (&path, cells.size()))?;
    let mut pairs = nuclei.data().iter().zip(cells.data());
    if pairs.all(|(&nucleus, &cell)| nucleus == 0 || nucleus == cell) {
        return Ok(Some(cells));
    }
    notes.push(format!(
        "`{}` does not have the cells of the nuclei in `{}`; they are made from the class mask \
         instead",
        path.display(),
        work.labels.path.display()
    ));
    Ok(None)
}

impl Cells {
    /// The files of cells, and where they were named.
    fn named(&self) -> (Option<&PathBuf>, &Pairing) {
        static NONE: Pairing = Pairing {
            files: BTreeMap::new(),
            strangers: Vec::new(),
        };
        match self {
            Cells::Labels(path, files) => (Some(path), files),
            Cells::None | Cells::Classes(..) => (None, &NONE),
        }
    }
}

/// The channels named, or all that are images: folders of the labels and of other truth are not
/// measured.
fn channels(
    set: &Dataset,
    wanted: &[String],
    labels: &[&Pairing],
    job: &Job,
) -> Result<Vec<usize>, ProjectError> {
    if !wanted.is_empty() {
        let find = |name: &String| {
            find_channel(set, name).map_err(|sentence| {
                ProjectError::Channel(format!("{sentence}; choose with `--channels`"))
            })
        };
        let found: Result<Vec<usize>, ProjectError> = wanted.iter().map(find).collect();
        let found = found?;
        let different: BTreeSet<&usize> = found.iter().collect();
        if different.len() < found.len() {
            return Err(ProjectError::Usage(
                "`--channels` names a channel twice; name each once".into(),
            ));
        }
        return Ok(found);
    }
    let files: BTreeSet<PathBuf> = labels
        .iter()
        .flat_map(|files| files.files.values())
        .filter_map(|truth| truth.path.canonicalize().ok())
        .collect();
    let is_labels = |channel: usize| {
        let planes = set
            .fields
            .iter()
            .filter_map(|field| field.planes.get(channel)?.iter().flatten().next());
        planes.take(1).any(|place| {
            let real = place.location().canonicalize();
            real.is_ok_and(|path| files.contains(&path))
        })
    };
    let mut kept = Vec::new();
    for (channel, name) in set.channels.iter().enumerate() {
        if is_labels(channel) {
            continue;
        }
        if looks_like_truth(name) && set.channels.len() > 1 {
            job.progress.note(&format!(
                "`{name}` looks like labels or masks and is not measured; \
                name it in `--channels` if it is an image"
            ));
            continue;
        }
        kept.push(channel);
    }
    Ok(kept)
}

fn pixel_um(field: &Field, labels: &Path) -> Option<f64> {
    field.pixel_um.or_else(|| read_info(labels).ok()?.pixel_um)
}

fn same_size(
    (first, size): (&Path, (usize, usize)),
    (second, other): (&Path, (usize, usize)),
) -> Result<(), ProjectError> {
    if size == other {
        return Ok(());
    }
    Err(ProjectError::Field(format!(
        "`{}` is {} x {} but `{}` is {} x {}; both must show the same field",
        first.display(),
        size.0,
        size.1,
        second.display(),
        other.0,
        other.1
    )))
}

/// The class called cytoplasm in the masks of `predict`, whose table has a share for each class in
/// their order.
///
/// # Errors
/// The table cannot be read.
fn cytoplasm_class(folder: &Path) -> Result<Option<u8>, ProjectError> {
    let Some(table) = table::read(&folder.join(PREDICTIONS))? else {
        return Ok(None);
    };
    let place = table::classes(&table.columns).position(|class| class == CYTOPLASM);
    Ok(place.map(|class| class as u8))
}

/// Keeps the label images that the table of `predict` vouches for and says which are left out;
/// gives the models that made them, separated by blanks.
fn keep_vouched(
    folder: &Path,
    files: &mut BTreeMap<String, TruthOf>,
    job: &Job,
) -> Result<String, ProjectError> {
    let by_name = done_by(&folder.join(PREDICTIONS))?.ok_or_else(|| {
        ProjectError::Failed(format!(
            "`{0}` has no `{PREDICTIONS}` that says which fields are done; run `stainfree predict` \
             again (`stainfree merge {0}` where shards did), or give label images with \
             `--labels {0}/nuclei`",
            folder.display()
        ))
    })?;
    let unknown: Vec<String> = files
        .keys()
        .filter(|name| !by_name.contains_key(*name))
        .cloned()
        .collect();
    if by_name.is_empty() {
        return Err(ProjectError::Failed(format!(
            "no field of `{}` is done, as `{PREDICTIONS}` says; run `stainfree predict` again",
            folder.display()
        )));
    }
    if let Some(first) = unknown.first() {
        job.progress.note(&format!(
            "{} of {} label images of `{}` are left out, such as `{first}`: `{PREDICTIONS}` does \
             not say that they are done, since `predict` failed there or was ended early; run it \
             again",
            unknown.len(),
            files.len(),
            folder.display()
        ));
    }
    files.retain(|name, _| by_name.contains_key(name));
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for name in files.keys() {
        *counts.entry(&by_name[name]).or_default() += 1;
    }
    if counts.len() > 1 {
        let each = counts.iter().map(|(model, count)| {
            let short: String = model.chars().take(8).collect();
            format!("{count} by `{short}`")
        });
        job.progress.note(&format!(
            "`{}` holds predictions of {} models ({}): their objects are not comparable; predict \
             all fields with one",
            folder.display(),
            counts.len(),
            each.collect::<Vec<_>>().join(", ")
        ));
    }
    let models: Vec<&str> = counts.into_keys().collect();
    Ok(models.join(" "))
}

/// The model that has done each field, of the table of `predict`; `None` where there is no table.
///
/// # Errors
/// The table cannot be read.
fn done_by(path: &Path) -> Result<Option<BTreeMap<String, String>>, ProjectError> {
    let done = table::read(path)?.as_ref().and_then(table::done);
    Ok(done.map(|done| done.into_iter().map(|row| (row.name, row.model)).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_that_cannot_be_read_is_no_missing_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(PREDICTIONS);
        assert_eq!(done_by(&path).unwrap(), None);
        let write = |row: &str| {
            let table =
                format!("name,status,nucleus_share,ignored_share,cytoplasm_share,model\n{row}");
            std::fs::write(&path, table).unwrap();
        };
        write("a,Done,0,0,0,12\nb,failed,0,0,0,12\n");
        let done = BTreeMap::from([("a".to_owned(), "12".to_owned())]);
        assert_eq!(done_by(&path).unwrap(), Some(done));
        // What shows nothing is no class, wherever its share stands.
        assert_eq!(cytoplasm_class(folder.path()).unwrap(), Some(1));
        write("a,done,0,5,0,0,0,12\n");
        for error in [
            done_by(&path).unwrap_err(),
            cytoplasm_class(folder.path()).unwrap_err(),
        ] {
            let error = error.to_string();
            assert!(error.contains("line 2 has 8 cells"), "{error}");
        }
    }
}
