//! `segment`: labels from stains by the classical method alone, without a study.

use std::collections::BTreeMap;
use std::path::PathBuf;

use stainfree_image::marker::{self, Kind, Marker};
use stainfree_image::{Dataset, Field, Product, Store, write};
use stainfree_objects::{
    StainSettings, Verdict, Word, blank_pixels, blank_regions, blank_share, cells_from_nuclei,
    segment_cytoplasm, segment_nuclei,
};

use crate::prediction::pixel_size::odd_pixel_size;
use crate::prediction::results::{my_turn, open_inputs, share_fields, unique_names};
use crate::study::channels::{find_channel, guess_nucleus};
use crate::study::disk::{create_folder, remove};
use crate::study::each_field::EachField;
use crate::study::fingerprint::Fingerprint;
use crate::study::guard::{Inputs, ResultFolder};
use crate::study::read_middle;
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
    /// Pixel size in um that overrides the images'.
    pub pixel_um: Option<f64>,
    /// Settings of the nuclear stain.
    pub nuclei: StainSettings,
    /// Settings of the cytoplasmic stain.
    pub cells: StainSettings,
    /// Replace labels that were made from other images or with other options.
    pub overwrite: bool,
}

/// What was segmented.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Segmented {
    /// Fields that were written.
    pub fields: usize,
    /// Nuclei in them.
    pub nuclei: usize,
    /// What failed, a sentence each.
    pub failed: Vec<String>,
}

/// A field, its nuclear channel, and its cytoplasmic one where cells are asked for.
type FieldWork<'a> = (&'a Field, usize, Option<usize>);

/// Labels of nuclei (and cells) of every field of the inputs.
///
/// Afterwards the folder has of each of these fields what this run made of it: nothing where it
/// failed, and no cells where none were asked for.
///
/// # Errors
/// No input can be opened, a named channel does not exist, the folder cannot be written or holds
/// other labels of these fields that are not to be replaced, or [`ProjectError::Cancelled`].
pub fn segment(options: &SegmentOptions, job: &Job) -> Result<Segmented, ProjectError> {
    for settings in [&options.nuclei, &options.cells] {
        settings
            .check()
            .map_err(|error| ProjectError::Usage(error.to_string()))?;
    }
    let (sets, failed) = open_inputs(&options.inputs, options.pixel_um);
    if let (true, Some(first)) = (sets.is_empty(), failed.first()) {
        return Err(ProjectError::Failed(first.clone()));
    }
    let mut work: Vec<FieldWork> = Vec::new();
    for set in &sets {
        for problem in &set.problems {
            job.progress.note(problem);
        }
        let nucleus = match &options.channel {
            Some(name) => find_channel(set, name).map_err(ProjectError::Failed)?,
            None => guess_nucleus(&set.channels).ok_or_else(|| {
                let known: Vec<String> = set
                    .channels
                    .iter()
                    .map(|name| format!("`{name}`"))
                    .collect();
                ProjectError::Failed(format!(
                    "no channel of `{}` looks like a nuclear stain (channels: {}); name it with \
                     `--channel`",
                    set.root.display(),
                    known.join(", ")
                ))
            })?,
        };
        let cytoplasm = options
            .cytoplasm
            .as_deref()
            .map(|name| find_channel(set, name))
            .transpose()
            .map_err(ProjectError::Failed)?;
        work.extend(set.fields.iter().map(|field| (field, nucleus, cytoplasm)));
    }
    unique_names(work.iter().map(|(field, ..)| *field), &sets)?;
    check_folder(&work, &sets, options)?;
    keys_with(&work, options)?;
    let names = work.iter().map(|(field, ..)| field.name.clone()).collect();
    let turn = my_turn(&options.out, "segment", job.cancel)?;
    let lease = share_fields(&options.out, "segment", names, job)?;
    let mut marker = Marker::new("segment", Kind::Segmentation);
    // Names and digits: turning them into JSON cannot fail.
    let keys = serde_json::to_value(keys_with(&work, options)?).unwrap_or_default();
    marker.more.insert(KEYS.to_owned(), keys);
    marker::write(&options.out, &marker)?;
    drop(turn);
    lease.during(job, |job| segment_ours(&work, failed, options, job))
}

/// [`segment`] of fields that nobody else is at.
fn segment_ours(
    work: &[FieldWork],
    failed: Vec<String>,
    options: &SegmentOptions,
    job: &Job,
) -> Result<Segmented, ProjectError> {
    let folder = Store::at(&options.out).folder(match options.cytoplasm {
        Some(_) => Product::Cells,
        None => Product::Labels,
    });
    create_folder(&folder)?;

    let message = |(field, ..): &FieldWork| field.name.clone();
    let results = EachField::new(job, work, message).at_once(
        |&(field, nucleus, cytoplasm)| Ok(Ok(one_field(field, nucleus, cytoplasm, options)?)),
        |(field, ..), error| {
            // Labels of an earlier run are not this one's.
            remove_labels(options, &field.name)?;
            Ok(Err(error.to_string()))
        },
    )?;
    let mut segmented = Segmented {
        failed,
        ..Segmented::default()
    };
    let mut found = Vec::new();
    for (result, (field, ..)) in results.into_iter().zip(work) {
        match result {
            Ok(of_field) => {
                segmented.fields += 1;
                segmented.nuclei += of_field.nuclei;
                found.push((field.name.as_str(), of_field));
            }
            Err(sentence) => segmented.failed.push(sentence),
        }
    }
    let odd = odd_pixel_size(work.iter().map(|(field, ..)| *field));
    for sentence in remarks(&found).iter().chain(&odd) {
        job.progress.note(sentence);
    }
    Ok(segmented)
}

/// Refuses to write over an image, or over what this program did not write.
fn check_folder(
    work: &[FieldWork],
    sets: &[Dataset],
    options: &SegmentOptions,
) -> Result<(), ProjectError> {
    // Cells as well where none are asked for: those of an earlier run are removed.
    let outputs: Vec<PathBuf> = work
        .iter()
        .flat_map(|(field, ..)| labels_of(options, &field.name))
        .collect();
    let folder = ResultFolder {
        path: &options.out,
        kind: &Kind::Segmentation,
        way_out: "choose a folder of its own for the labels with `--out`",
    };
    Ok(folder.check(&Inputs::of(sets), outputs.iter().map(PathBuf::as_path))?)
}

/// What the marker calls the [`key`] of each field whose labels lie in the folder.
const KEYS: &str = "fields";

/// What the labels of a field follow from: the program, the options, and the planes.
fn key(&(field, nucleus, cytoplasm): &FieldWork, options: &SegmentOptions) -> String {
    let mut hash = Fingerprint::new(1);
    hash.text(env!("CARGO_PKG_VERSION"));
    hash.value(&(options.pixel_um, &options.nuclei, &options.cells));
    hash.value(&cytoplasm.is_some());
    for channel in std::iter::once(nucleus).chain(cytoplasm) {
        // What is not there fails when it is read.
        let planes = field.planes[channel].iter().flatten();
        hash.stamps(planes.filter_map(|plane| plane.stamp().ok()).collect());
    }
    hash.finish_short(8)
}

/// The keys of the fields whose labels lie in the folder once these are made.
///
/// # Errors
/// [`ProjectError::Exists`]: labels of one of these fields are there that follow from something
/// else, and are not to be replaced.
fn keys_with(
    work: &[FieldWork],
    options: &SegmentOptions,
) -> Result<BTreeMap<String, String>, ProjectError> {
    let marker = marker::read(&options.out);
    let found = marker.and_then(|mut marker| marker.more.remove(KEYS));
    let found = found.and_then(|keys| serde_json::from_value(keys).ok());
    let mut keys: BTreeMap<String, String> = found.unwrap_or_default();
    let mut others: Vec<&str> = Vec::new();
    for one in work {
        let (name, key) = (&one.0.name, key(one, options));
        let is_there = labels_of(options, name).iter().any(|path| path.is_file());
        if is_there && keys.get(name) != Some(&key) {
            others.push(name);
        }
        keys.insert(name.clone(), key);
    }
    match others.first() {
        Some(first) if !options.overwrite => Err(ProjectError::Exists(format!(
            "`{}` holds labels of {} of {} fields, such as `{first}`, that are of another image, \
             option or version; replace them with `--overwrite`, or choose another folder with \
             `--out`",
            options.out.display(),
            others.len(),
            work.len(),
        ))),
        _ => Ok(keys),
    }
}

/// Where the labels of a field lie: its cells, then its nuclei.
fn labels_of(options: &SegmentOptions, name: &str) -> [PathBuf; 2] {
    let store = Store::at(&options.out);
    [Product::Cells, Product::Labels].map(|product| store.path(product, name))
}

/// Takes away what an earlier run made of a field.
fn remove_labels(options: &SegmentOptions, name: &str) -> Result<(), ProjectError> {
    let labels = labels_of(options, name);
    labels.iter().try_for_each(|path| remove(path))
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

fn one_field(
    field: &Field,
    nucleus: usize,
    cytoplasm: Option<usize>,
    options: &SegmentOptions,
) -> Result<Found, ProjectError> {
    let in_field = |error: stainfree_objects::ObjectsError| {
        ProjectError::Failed(format!("field `{}`: {error}", field.name))
    };
    let stain = read_middle(field, nucleus)?.to_f32();
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
    let note = |what: &str| write::Note {
        text: format!(
            "stainfree {} classical {what} of field {}",
            env!("CARGO_PKG_VERSION"),
            field.name
        ),
        pixel_um: field.pixel_um,
    };
    let cells = match cytoplasm {
        Some(channel) => {
            let stain = read_middle(field, channel)?.to_f32();
            let area =
                segment_cytoplasm(&stain, field.pixel_um, &options.cells).map_err(in_field)?;
            Some(cells_from_nuclei(&found.labels, &area.mask, &area.flat).map_err(in_field)?)
        }
        None => None,
    };
    // Whenever the program is killed, no cells lie beside nuclei that they do not belong to.
    let (store, name) = (Store::at(&options.out), &field.name);
    remove(&store.path(Product::Cells, name))?;
    store.put_labels(Product::Labels, name, &found.labels, &note("nuclei"))?;
    if let Some(cells) = cells {
        store.put_labels(Product::Cells, name, &cells, &note("cells"))?;
    }
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
