//! `outlines`: labels that exist, of whatever program, in the forms that other programs open.
//!
//! What is already made from the same labels is skipped, and what is of other labels is replaced
//! only where that is asked for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use stainfree_image::marker::{self, Kind};
use stainfree_image::store::TIFF;
use stainfree_image::{Product, Store, read_info, read_labels, stem, truth_stem, write};

use crate::prediction::forms::{Forms, LabelsOf, all_products, put_forms, remove_forms};
use crate::prediction::labelled::{Finished, Known, Labelled, Maker, Place};
use crate::prediction::results::{my_turn, share_fields};
use crate::study::each_field::EachField;
use crate::study::fingerprint::{Fingerprint, stamp_of_file};
use crate::study::guard::{Inputs, ResultFolder};
use crate::study::names::truth_files;
use crate::truth::given::check_instances;
use crate::{Job, ProjectError};

/// Which labels, and in which forms.
#[derive(Clone, Debug)]
pub struct OutlinesOptions {
    /// A folder of label images, one file, or a result of `predict` or `segment`.
    pub labels: PathBuf,
    /// Labels of whole cells, a folder or a file; `None` = those of the result.
    pub cells: Option<PathBuf>,
    /// Folder for the forms.
    pub out: PathBuf,
    /// The forms.
    pub forms: Forms,
    /// Pixel size in um that overrides the labels'.
    pub pixel_um: Option<f64>,
    /// Replace what was made from other labels.
    pub overwrite: bool,
}

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outlined {
    /// Fields whose forms are there.
    pub fields: usize,
    /// Those of them that were done already.
    pub skipped: usize,
    /// Objects in all of them, without the cells of nuclei.
    pub objects: usize,
    /// What failed, a sentence each.
    pub failed: Vec<String>,
}

/// The labels of one field.
struct Task {
    name: String,
    nuclei: PathBuf,
    cells: Option<PathBuf>,
    /// A hash of what the forms follow from.
    key: String,
}

/// Writes the forms of every label image.
///
/// # Errors
/// The labels cannot be listed, the folder cannot be written or holds forms of other labels that
/// are not to be replaced, or [`ProjectError::Cancelled`] (what is finished is kept).
pub fn outlines(options: &OutlinesOptions, job: &Job) -> Result<Outlined, ProjectError> {
    if let Some(um) = options.pixel_um.filter(|um| !(um.is_finite() && *um > 0.0)) {
        return Err(ProjectError::Usage(format!(
            "`{um}` is no pixel size; give the width of a pixel in um, such as 0.325"
        )));
    }
    let tasks = tasks_of(options)?;
    check_folder(&tasks, options)?;
    let out = &options.out;
    let turn = my_turn(out, Maker::Outlines.command(), job.cancel)?;
    let known = Known::read(Maker::Outlines, out)?;
    refuse_others(&known, &tasks, options)?;
    let mut outlined = Outlined::default();
    let todo = skip_done(&known, tasks, &mut outlined, options, job);
    let names = todo.iter().map(|task| task.name.clone()).collect();
    let lease = share_fields(out, Maker::Outlines.command(), names, job)?;
    // Files of the same labels in forms that are not asked for now stay as they are.
    let others = todo
        .iter()
        .filter(|task| known.key(&task.name) != Some(&task.key));
    let others: Vec<&str> = others.map(|task| task.name.as_str()).collect();
    let store = Store::at(out);
    others
        .iter()
        .try_for_each(|name| remove_forms(&store, name))?;
    let begun = todo
        .iter()
        .map(|task| (task.name.clone(), task.key.clone()));
    Known::begin(Maker::Outlines, out, &Place::Marker, begun)?;
    drop(turn);
    lease.during(job, |job| write_ours(&todo, &mut outlined, options, job))?;
    Ok(outlined)
}

/// The label images, with their cells.
fn tasks_of(options: &OutlinesOptions) -> Result<Vec<Task>, ProjectError> {
    let places = Places::of(&options.labels);
    let nuclei = match places.is_ours {
        true => files_of_ours(&places.nuclei)?,
        false => named(&places.nuclei)?,
    };
    let mut cells = match (&options.cells, &places.cells) {
        (None, None) => BTreeMap::new(),
        (None, Some(folder)) if places.is_ours => files_of_ours(folder)?,
        (None, Some(path)) | (Some(path), _) => named(path)?,
    };
    // One file for one: they need no common name.
    if let (1, 1, Some(path)) = (nuclei.len(), cells.len(), &options.cells)
        && path.is_file()
    {
        let names: Vec<String> = nuclei.keys().cloned().collect();
        cells = names
            .into_iter()
            .zip(std::iter::once(path.clone()))
            .collect();
    }
    let task = |(name, nuclei): (String, PathBuf)| {
        let cells = cells.remove(&name);
        if let (None, Some(folder)) = (&cells, &options.cells) {
            return Err(ProjectError::Failed(format!(
                "`{}` has no cells in `{}`; add the file, or leave `--cells` out",
                nuclei.display(),
                folder.display()
            )));
        }
        let key = key(&nuclei, cells.as_deref(), options.pixel_um)?;
        Ok(Task {
            name,
            nuclei,
            cells,
            key,
        })
    };
    nuclei.into_iter().map(task).collect()
}

/// Where labels lie.
struct Places {
    nuclei: PathBuf,
    /// Cells of the same result.
    cells: Option<PathBuf>,
    /// Whether this program wrote them, so that names of files are those of fields.
    is_ours: bool,
}

impl Places {
    fn of(labels: &Path) -> Self {
        let store = Store::at(labels);
        let [nuclei, cells] = [Product::Nuclei, Product::Cells].map(|kind| store.folder(kind));
        let in_folders = nuclei.is_dir();
        let is_ours = in_folders || marker::written_by_us(labels) == Some(Kind::Segmentation);
        Self {
            nuclei: if in_folders {
                nuclei
            } else {
                labels.to_owned()
            },
            cells: Some(cells).filter(|path| is_ours && path.is_dir()),
            is_ours,
        }
    }
}

/// The label images of a folder of this program, by the names of their fields as they are.
fn files_of_ours(folder: &Path) -> Result<BTreeMap<String, PathBuf>, ProjectError> {
    let entries = std::fs::read_dir(folder).map_err(|error| ProjectError::read(folder, &error))?;
    let mut files = BTreeMap::new();
    for entry in entries {
        let path = entry
            .map_err(|error| ProjectError::read(folder, &error))?
            .path();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let is_labels = path.extension().is_some_and(|end| end == TIFF) && path.is_file();
        if is_labels && !stem.starts_with('.') {
            files.insert(stem.into_owned(), path.clone());
        }
    }
    match files.is_empty() {
        true => Err(ProjectError::Failed(format!(
            "`{}` holds no labels; make some with `stainfree predict` or `stainfree segment`",
            folder.display()
        ))),
        false => Ok(files),
    }
}

/// The label images of a folder, or the one file, by the name of the field.
fn named(path: &Path) -> Result<BTreeMap<String, PathBuf>, ProjectError> {
    if !path.is_file() {
        return truth_files(path);
    }
    // As the same file is called among others.
    let stem = stem(path);
    let name = truth_stem(&stem).unwrap_or(&stem).to_owned();
    Ok(BTreeMap::from([(name, path.to_owned())]))
}

/// What the forms of a field follow from: the program, its labels and the size of a pixel.
fn key(nuclei: &Path, cells: Option<&Path>, pixel_um: Option<f64>) -> Result<String, ProjectError> {
    let mut hash = Fingerprint::new(1);
    hash.text(env!("CARGO_PKG_VERSION"));
    hash.value(&pixel_um);
    for path in std::iter::once(nuclei).chain(cells) {
        hash.stamps(vec![stamp_of_file(path)?]);
    }
    Ok(hash.finish_short(8))
}

/// Refuses to write over labels, or over what this program did not write.
fn check_folder(tasks: &[Task], options: &OutlinesOptions) -> Result<(), ProjectError> {
    let store = Store::at(&options.out);
    let mut inputs = Inputs::default();
    for task in tasks {
        std::iter::once(&task.nuclei)
            .chain(&task.cells)
            .for_each(|path| inputs.add(path));
    }
    let files = |task: &Task| {
        all_products()
            .map(|kind| store.path(kind, &task.name))
            .collect()
    };
    let outputs: Vec<Vec<PathBuf>> = tasks.iter().map(files).collect();
    let folder = ResultFolder {
        path: &options.out,
        kind: &Kind::Outlines,
        way_out: "choose a folder of its own for the outlines with `--out`",
    };
    Ok(folder.check(&inputs, outputs.iter().flatten().map(PathBuf::as_path))?)
}

/// Refuses to replace forms of other labels, unless that is asked for.
///
/// # Errors
/// [`ProjectError::Exists`].
fn refuse_others(
    known: &Known,
    tasks: &[Task],
    options: &OutlinesOptions,
) -> Result<(), ProjectError> {
    let store = Store::at(&options.out);
    let is_there = |name: &str| all_products().any(|kind| store.path(kind, name).is_file());
    let is_other = |task: &&Task| known.key(&task.name) != Some(&task.key) && is_there(&task.name);
    let mut others = tasks.iter().filter(is_other);
    let Some(first) = others.next().filter(|_| !options.overwrite) else {
        return Ok(());
    };
    Err(ProjectError::Exists(format!(
        "`{}` holds files of {} of {} fields, such as `{}`, that are of other labels, or of \
         another pixel size or version; replace them with `--overwrite`, or choose another folder \
         with `--out`",
        options.out.display(),
        1 + others.count(),
        tasks.len(),
        first.name
    )))
}

/// Counts what is done already, and gives the rest.
fn skip_done(
    known: &Known,
    tasks: Vec<Task>,
    outlined: &mut Outlined,
    options: &OutlinesOptions,
    job: &Job,
) -> Vec<Task> {
    let (total, store) = (tasks.len(), Store::at(&options.out));
    let mut todo = Vec::new();
    for task in tasks {
        let same = known
            .labels(&task.name)
            .filter(|found| found.key == task.key);
        let there = options
            .forms
            .exist(&store, &task.name, task.cells.is_some());
        let Some(done) = same.filter(|_| there) else {
            todo.push(task);
            continue;
        };
        outlined.fields += 1;
        outlined.skipped += 1;
        outlined.objects += done.nuclei;
        let message = format!("{} (done already)", task.name);
        job.progress.step(outlined.skipped, total, &message);
    }
    todo
}

/// [`outlines`] of fields that nobody else is at.
fn write_ours(
    todo: &[Task],
    outlined: &mut Outlined,
    options: &OutlinesOptions,
    job: &Job,
) -> Result<(), ProjectError> {
    let store = Store::at(&options.out);
    let any_cells = todo.iter().any(|task| task.cells.is_some());
    options.forms.create_folders(&store, any_cells)?;
    let finished = Finished::new(Maker::Outlines, &options.out, Place::Marker);
    let each = EachField::new(job, todo, |task| task.name.clone());
    let results = each.after(outlined.skipped).at_once(
        |task| {
            let objects = one_field(task, options)?;
            let labelled = Labelled {
                key: task.key.clone(),
                nuclei: objects,
            };
            finished.put(&task.name, Ok(labelled))?;
            Ok(Ok(objects))
        },
        |task, error| {
            remove_forms(&store, &task.name)?;
            let sentence = error.to_string();
            finished.put(&task.name, Err(sentence.clone()))?;
            Ok(Err(sentence))
        },
    );
    finished.save()?;
    for result in results? {
        match result {
            Ok(objects) => {
                outlined.fields += 1;
                outlined.objects += objects;
            }
            Err(sentence) => outlined.failed.push(sentence),
        }
    }
    Ok(())
}

/// Writes the forms of one field, and gives the number of its objects.
fn one_field(task: &Task, options: &OutlinesOptions) -> Result<usize, ProjectError> {
    let way_out = "number the objects first, or make labels with `stainfree segment`";
    let read = |path: &PathBuf| -> Result<_, ProjectError> {
        let labels = read_labels(path)?;
        check_instances(path, &labels, way_out)?;
        Ok(labels)
    };
    let nuclei = read(&task.nuclei)?;
    let cells = task.cells.as_ref().map(read).transpose()?;
    let stated = || read_info(&task.nuclei).ok()?.pixel_um;
    let pixel_um = options.pixel_um.or_else(stated);
    let file = task.nuclei.file_name().unwrap_or_default();
    let labels = LabelsOf {
        name: &task.name,
        nuclei: &nuclei,
        cells: cells.as_ref(),
        sure: None,
    };
    put_forms(&Store::at(&options.out), options.forms, labels, |what| {
        write::Note {
            text: format!(
                "stainfree {} {what} of field {}, from {}",
                env!("CARGO_PKG_VERSION"),
                task.name,
                file.to_string_lossy()
            ),
            pixel_um,
        }
    })?;
    Ok(stainfree_objects::areas(&nuclei).len())
}
