//! `segment`: labels from stains by the classical method alone, without a study.
//!
//! What is already made from the same images with the same options is skipped, and what is of
//! anything else is replaced only where that is asked for.

use std::path::{Path, PathBuf};

use stainfree_image::marker::{self, Kind, is_our_tiff};
use stainfree_image::{Dataset, Field, Image, OpenOptions, Product, Store, write};
use stainfree_objects::{
    StainSettings, Verdict, Word, blank_pixels, blank_regions, blank_share, cells_from_nuclei,
    segment_cytoplasm, segment_nuclei,
};

use crate::prediction::forms::{Forms, LabelsOf, all_products, put_forms, remove_forms};
use crate::prediction::labelled::{Finished, Known, Labelled, Maker, Place};
use crate::prediction::pixel_size::odd_pixel_size;
use crate::prediction::results::{fields_of, my_turn, open_inputs, share_fields, unique_names};
use crate::study::channels::{find_channel, guess_nucleus};
use crate::study::disk::{create_folder, remove};
use crate::study::each_field::EachField;
use crate::study::fingerprint::Fingerprint;
use crate::study::guard::{Inputs, ResultFolder};
use crate::study::read_middle;
use crate::study::shards::{Ended, Shard, Share};
use crate::{Job, ProjectError};

/// What to segment and how.
#[derive(Clone, Debug)]
pub struct SegmentOptions {
    /// Plates, folders or files.
    pub inputs: Vec<PathBuf>,
    /// Folder for `NAME.tif` and `cells/NAME.tif`.
    pub out: PathBuf,
    /// Channel of the nuclear stain; `None` = the only one, or the one whose name says so.
    pub channel: Option<String>,
    /// Channel of the cytoplasmic stain; `None` = no cells.
    pub cytoplasm: Option<String>,
    /// What is known of the images that their files do not say.
    pub opening: OpenOptions,
    /// Settings of the nuclear stain.
    pub nuclei: StainSettings,
    /// Settings of the cytoplasmic stain.
    pub cells: StainSettings,
    /// Write labels in these forms too.
    pub forms: Forms,
    /// Replace labels that were made from other images or with other options.
    pub overwrite: bool,
    /// Which share of the fields; `None` = all of them.
    pub shard: Option<Shard>,
}

/// What was segmented.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Segmented {
    /// Fields whose labels are there.
    pub fields: usize,
    /// Those of them that were done already.
    pub skipped: usize,
    /// Nuclei in all of them.
    pub nuclei: usize,
    /// What failed, a sentence each.
    pub failed: Vec<String>,
}

/// A field that labels are asked for.
struct Task<'a> {
    field: &'a Field,
    /// Channel of the nuclear stain.
    nucleus: usize,
    /// Channel of the cytoplasmic stain, where cells are asked for.
    cytoplasm: Option<usize>,
    /// A hash of what the labels follow from.
    key: String,
    /// The number of nuclei, where the labels are there and only forms of them are missing.
    kept: Option<usize>,
}

/// Labels of nuclei (and cells) of every field of the inputs.
///
/// Afterwards the folder has of each of these fields what this run would make of it: nothing where
/// it failed, and no cells where none were asked for. What is there as it would be made stays.
///
/// # Errors
/// No input can be opened, a named channel does not exist, the folder cannot be written or holds
/// other labels of these fields that are not to be replaced, or [`ProjectError::Cancelled`] (what
/// is finished is kept).
pub fn segment(options: &SegmentOptions, job: &Job) -> Result<Segmented, ProjectError> {
    for settings in [&options.nuclei, &options.cells] {
        settings
            .check()
            .map_err(|error| ProjectError::Usage(error.to_string()))?;
    }
    let (sets, failed) = open_inputs(&options.inputs, &options.opening);
    if let (true, Some(first)) = (sets.is_empty(), failed.first()) {
        return Err(ProjectError::Failed(first.clone()));
    }
    let mut work: Vec<Task> = Vec::new();
    for set in &sets {
        for problem in &set.problems {
            job.progress.note(problem);
        }
        work.extend(tasks_of(set, options)?);
    }
    unique_names(work.iter().map(|task| task.field), &sets)?;
    let fields = work.iter().map(|task| task.field);
    let share = Share::of(("segment", ""), &options.out, fields, options.shard);
    work.retain(|task| share.has(&task.field.name));
    check_folder(&work, &sets, options)?;
    refuse_others(&Known::read(Maker::Segment, &options.out)?, &work, options)?;
    share.wait_for_the_dead(&fields_of(&options.out, "segment"), job)?;
    // Others may fill the same folder: what they have done until now is done.
    let turn = my_turn(&options.out, "segment", job.cancel)?;
    let known = Known::read(Maker::Segment, &options.out)?;
    refuse_others(&known, &work, options)?;
    share.write(job)?;
    let own = share.table().map_or(Place::Marker, Place::Table);
    let mut segmented = Segmented {
        failed,
        ..Segmented::default()
    };
    let todo = skip_done(&known, work, &mut segmented, options, job);
    let names = todo.iter().map(|task| task.field.name.clone()).collect();
    let command = share.command("segment");
    let lease = share_fields(&options.out, &command, names, job)?;
    let begun = todo.iter().filter(|task| task.kept.is_none());
    let begun = begun.map(|task| (task.field.name.clone(), task.key.clone()));
    Known::begin(Maker::Segment, &options.out, &own, begun)?;
    drop(turn);
    lease.during(job, |job| {
        segment_ours(&todo, &mut segmented, options, own, job)
    })?;
    Ok(segmented)
}

/// How the fields of shared work in `out` ended.
///
/// # Errors
/// A table is damaged.
pub(crate) fn ended(out: &Path) -> Result<Ended, ProjectError> {
    let store = Store::at(out);
    let is_there = |name: &str| is_our_tiff(&store.path(Product::Labels, name));
    Ok(Known::read(Maker::Segment, out)?.ended(is_there))
}

/// Lets the folder say of the labels of all shards what a single run lets it say, and gives the
/// file.
///
/// # Errors
/// A table is damaged or the folder cannot be written, or [`ProjectError::Cancelled`].
pub(crate) fn join(out: &Path, job: &Job) -> Result<Vec<PathBuf>, ProjectError> {
    let _turn = my_turn(out, "merge", job.cancel)?;
    Known::join(Maker::Segment, out)?;
    Ok(vec![out.join(marker::FILE_NAME)])
}

/// What is asked for of each field of an input.
fn tasks_of<'a>(set: &'a Dataset, options: &SegmentOptions) -> Result<Vec<Task<'a>>, ProjectError> {
    let nucleus = match &options.channel {
        Some(name) => find_channel(set, name).map_err(ProjectError::Failed)?,
        None => guess_nucleus(&set.channels).ok_or_else(|| no_nucleus(set))?,
    };
    let cytoplasm = options.cytoplasm.as_deref();
    let cytoplasm = cytoplasm
        .map(|name| find_channel(set, name))
        .transpose()
        .map_err(ProjectError::Failed)?;
    let task = |field| Task {
        field,
        nucleus,
        cytoplasm,
        key: key(field, nucleus, cytoplasm, options),
        kept: None,
    };
    Ok(set.fields.iter().map(task).collect())
}

fn no_nucleus(set: &Dataset) -> ProjectError {
    let known = set.channels.iter().map(|name| format!("`{name}`"));
    ProjectError::Failed(format!(
        "no channel of `{}` looks like a nuclear stain (channels: {}); name it with `--nucleus`",
        set.root.display(),
        known.collect::<Vec<_>>().join(", ")
    ))
}

/// Counts what is done already, and gives the rest.
fn skip_done<'a>(
    known: &Known,
    work: Vec<Task<'a>>,
    segmented: &mut Segmented,
    options: &SegmentOptions,
    job: &Job,
) -> Vec<Task<'a>> {
    let (total, store) = (work.len(), Store::at(&options.out));
    let mut todo = Vec::new();
    for mut task in work {
        let name = &task.field.name;
        let [cells, nuclei] = labels_of(options, name).map(|path| path.is_file());
        let there = nuclei && cells == task.cytoplasm.is_some();
        let same = known.labels(name).filter(|found| found.key == task.key);
        let Some(done) = same.filter(|_| there) else {
            todo.push(task);
            continue;
        };
        if !options.forms.exist(&store, name, cells) {
            task.kept = Some(done.nuclei);
            todo.push(task);
            continue;
        }
        segmented.fields += 1;
        segmented.skipped += 1;
        segmented.nuclei += done.nuclei;
        let message = format!("{name} (done already)");
        job.progress.step(segmented.skipped, total, &message);
    }
    todo
}

/// [`segment`] of fields that nobody else is at.
fn segment_ours(
    todo: &[Task],
    segmented: &mut Segmented,
    options: &SegmentOptions,
    own: Place,
    job: &Job,
) -> Result<(), ProjectError> {
    let store = Store::at(&options.out);
    create_folder(&store.folder(match options.cytoplasm {
        Some(_) => Product::Cells,
        None => Product::Labels,
    }))?;
    let forms = options.forms;
    forms.create_folders(&store, options.cytoplasm.is_some())?;

    let finished = Finished::new(Maker::Segment, &options.out, own);
    let each = EachField::new(job, todo, |task| task.field.name.clone());
    let results = each.after(segmented.skipped).at_once(
        |task| {
            let found = one_field(task, options)?;
            let labelled = Labelled {
                key: task.key.clone(),
                nuclei: found.nuclei,
            };
            finished.put(&task.field.name, Ok(labelled))?;
            Ok(Ok(found))
        },
        |task, error| {
            // Labels of an earlier run are not this one's.
            remove_labels(options, &task.field.name)?;
            let sentence = error.to_string();
            finished.put(&task.field.name, Err(sentence.clone()))?;
            Ok(Err(sentence))
        },
    );
    finished.save()?;
    let mut found = Vec::new();
    for (result, task) in results?.into_iter().zip(todo) {
        match result {
            Ok(of_field) => {
                segmented.fields += 1;
                segmented.nuclei += of_field.nuclei;
                found.push((task.field.name.as_str(), of_field));
            }
            Err(sentence) => segmented.failed.push(sentence),
        }
    }
    let odd = odd_pixel_size(todo.iter().map(|task| task.field));
    for sentence in remarks(&found).iter().chain(&odd) {
        job.progress.note(sentence);
    }
    Ok(())
}

/// Refuses to write over an image, or over what this program did not write.
fn check_folder(
    work: &[Task],
    sets: &[Dataset],
    options: &SegmentOptions,
) -> Result<(), ProjectError> {
    // Cells and forms as well where none are asked for: those of an earlier run are removed.
    let outputs: Vec<PathBuf> = work
        .iter()
        .flat_map(|task| outputs_of(options, &task.field.name))
        .collect();
    let folder = ResultFolder {
        path: &options.out,
        kind: &Kind::Segmentation,
        way_out: "choose a folder of its own for the labels with `--out`",
    };
    Ok(folder.check(&Inputs::of(sets), outputs.iter().map(PathBuf::as_path))?)
}

/// What the labels of a field follow from: the program, the settings, its pixels and their size.
fn key(
    field: &Field,
    nucleus: usize,
    cytoplasm: Option<usize>,
    options: &SegmentOptions,
) -> String {
    let mut hash = Fingerprint::new(2);
    hash.text(env!("CARGO_PKG_VERSION"));
    hash.value(&(field.pixel_um, &options.nuclei, &options.cells));
    for (role, channel) in [("nucleus", Some(nucleus)), ("cytoplasm", cytoplasm)] {
        hash.text(role);
        let planes = channel.map(|channel| field.planes[channel].iter().flatten());
        planes.into_iter().flatten().for_each(|p| hash.plane(p));
    }
    hash.finish_short(8)
}

/// Refuses to replace labels that follow from something else, unless that is asked for.
///
/// # Errors
/// [`ProjectError::Exists`].
fn refuse_others(
    known: &Known,
    work: &[Task],
    options: &SegmentOptions,
) -> Result<(), ProjectError> {
    let (mut others, mut unknown) = (Vec::new(), Vec::new());
    for Task { field, key, .. } in work {
        let is_there = || labels_of(options, &field.name).iter().any(|p| p.is_file());
        match known.key(&field.name) {
            Some(same) if same == key => {}
            Some(_) if is_there() => others.push(&field.name),
            // As versions before these marks have left them.
            None if is_there() => unknown.push(&field.name),
            _ => {}
        }
    }
    let found = [
        ("are of another image, option or version", others),
        ("do not say what they were made from", unknown),
    ];
    let mut found = found.iter().filter(|(_, names)| !names.is_empty());
    let Some((what, names)) = found.next().filter(|_| !options.overwrite) else {
        return Ok(());
    };
    Err(ProjectError::Exists(format!(
        "`{}` holds labels of {} of {} fields, such as `{}`, that {what}; replace them with \
         `--overwrite`, or choose another folder with `--out`",
        options.out.display(),
        names.len(),
        work.len(),
        names[0]
    )))
}

/// Where the labels of a field lie: its cells, then its nuclei.
fn labels_of(options: &SegmentOptions, name: &str) -> [PathBuf; 2] {
    let store = Store::at(&options.out);
    [Product::Cells, Product::Labels].map(|product| store.path(product, name))
}

/// Where all files of a field lie.
fn outputs_of(options: &SegmentOptions, name: &str) -> impl Iterator<Item = PathBuf> {
    let store = Store::at(&options.out);
    let forms = all_products().map(|product| store.path(product, name));
    labels_of(options, name)
        .into_iter()
        .chain(forms.collect::<Vec<_>>())
}

/// Takes away what an earlier run made of a field.
fn remove_labels(options: &SegmentOptions, name: &str) -> Result<(), ProjectError> {
    outputs_of(options, name).try_for_each(|path| remove(&path))
}

/// What was found in a field.
struct Found {
    nuclei: usize,
    /// Why its labels were left empty.
    unusable: Option<Verdict>,
    /// What else is worth knowing.
    uncalibrated: Option<Verdict>,
    blank_share: f64,
}

/// One sentence for each thing that is odd, with the first field that shows it.
fn remarks(found: &[(&str, Found)]) -> Vec<String> {
    let say = |of: &dyn Fn(&Found) -> Option<String>, what: &str, then: &str| {
        let odd: Vec<(&str, String)> = found
            .iter()
            .filter_map(|(name, found)| of(found).map(|reason| (*name, reason)))
            .collect();
        let (name, reason) = odd.first()?;
        let (odd, all) = (odd.len(), found.len());
        Some(format!(
            "{odd} of {all} fields {what} (`{name}`: {reason}); {then}"
        ))
    };
    let verdict = |verdict: &Option<Verdict>| {
        let verdict = verdict.as_ref()?;
        Some(format!("{}, {}", verdict.word, verdict.reason))
    };
    let sentences = [
        say(
            &|found| verdict(&found.unusable),
            "show no stain that could be segmented",
            "their labels are empty",
        ),
        say(
            &|found| verdict(&found.uncalibrated),
            "have no pixel size",
            "all lengths follow from that; give it with `--pixel-um`",
        ),
        say(
            &|found| {
                let share = 100.0 * found.blank_share;
                (share > 0.0).then(|| format!("{share:.1} % of its pixels"))
            },
            "hold pixels that show nothing, such as the rim of a stitched image",
            "they take no part",
        ),
    ];
    sentences.into_iter().flatten().collect()
}

/// The forms of a field whose labels are there.
fn forms_of_labels(task: &Task, options: &SegmentOptions) -> Result<(), ProjectError> {
    let (store, name) = (Store::at(&options.out), &task.field.name);
    let nuclei = store.labels(Product::Labels, name)?;
    let cells = task.cytoplasm.map(|_| store.labels(Product::Cells, name));
    let cells = cells.transpose()?;
    let labels = LabelsOf {
        name,
        nuclei: &nuclei,
        cells: cells.as_ref(),
        sure: None,
    };
    put_forms(&store, options.forms, labels, |what| note(task.field, what))
}

/// What a file says of where it comes from.
fn note(field: &Field, what: &str) -> write::Note {
    write::Note {
        text: format!(
            "stainfree {} classical {what} of field {}",
            env!("CARGO_PKG_VERSION"),
            field.name
        ),
        pixel_um: field.pixel_um,
    }
}

/// Writes the files of a field.
fn put_field(
    task: &Task,
    options: &SegmentOptions,
    nuclei: &Image<u32>,
    cells: Option<&Image<u32>>,
) -> Result<(), ProjectError> {
    let (store, name) = (Store::at(&options.out), &task.field.name);
    // Whenever the program is killed, nothing lies beside nuclei that it does not belong to.
    remove(&store.path(Product::Cells, name))?;
    remove_forms(&store, name)?;
    let note = |what: &str| note(task.field, what);
    store.put_labels(Product::Labels, name, nuclei, &note("nuclei"))?;
    if let Some(cells) = cells {
        store.put_labels(Product::Cells, name, cells, &note("cells"))?;
    }
    let labels = LabelsOf {
        name,
        nuclei,
        cells,
        sure: None,
    };
    put_forms(&store, options.forms, labels, note)
}

fn one_field(task: &Task, options: &SegmentOptions) -> Result<Found, ProjectError> {
    let field = task.field;
    if let Some(nuclei) = task.kept {
        match forms_of_labels(task, options) {
            Ok(()) => {
                return Ok(Found {
                    nuclei,
                    unusable: None,
                    uncalibrated: None,
                    blank_share: 0.0,
                });
            }
            // Nothing that is there goes for want of room.
            Err(error) if error.is_write() => return Err(error),
            // Where the labels cannot be read they are made again.
            Err(_) => {}
        }
    }
    let in_field = |error: stainfree_objects::ObjectsError| {
        ProjectError::Failed(format!("field `{}`: {error}", field.name))
    };
    let stain = read_middle(field, task.nucleus)?.to_f32();
    let mut found = segment_nuclei(&stain, field.pixel_um, &options.nuclei).map_err(in_field)?;
    let blank = blank_pixels(&stain).as_ref().and_then(blank_regions);
    let unusable = found
        .quality
        .iter()
        .find(|verdict| verdict.unusable)
        .cloned();
    if unusable.is_some() {
        // What a threshold finds in noise or uneven light are no nuclei; `prepare` leaves such
        // fields out.
        found.labels = found.labels.map(|_| 0);
        found.count = 0;
    }
    let cells = match task.cytoplasm {
        Some(channel) => {
            let stain = read_middle(field, channel)?.to_f32();
            let area =
                segment_cytoplasm(&stain, field.pixel_um, &options.cells).map_err(in_field)?;
            Some(cells_from_nuclei(&found.labels, &area.mask, &area.flat).map_err(in_field)?)
        }
        None => None,
    };
    put_field(task, options, &found.labels, cells.as_ref())?;
    let uncalibrated = found
        .quality
        .into_iter()
        .find(|v| v.word == Word::Uncalibrated);
    Ok(Found {
        nuclei: found.count,
        uncalibrated: uncalibrated.filter(|_| unusable.is_none()),
        unusable,
        blank_share: blank_share(blank.as_ref()),
    })
}
