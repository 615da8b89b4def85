//! `segment`: labels from stains by the classical method alone, without a study.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rayon::prelude::*;
use stainfree_image::marker::{self, Kind, Marker};
use stainfree_image::{Dataset, Field, OpenOptions, Product, Store, write};
use stainfree_objects::{
    StainSettings, Verdict, Word, blank_pixels, blank_regions, blank_share, cells_from_nuclei,
    segment_cytoplasm, segment_nuclei,
};

use crate::fingerprint::Fingerprint;
use crate::guard::{Inputs, ResultFolder};
use crate::lease::{GRACE, Lease, Thing};
use crate::pixel_size::odd_pixel_size;
use crate::study::{find_channel, keep_images_only};
use crate::{Cancel, Job, ProjectError, new, vouched};

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

/// Opens several inputs: folders and plates one by one, single files together.
///
/// Inputs that cannot be opened are returned as sentences.
pub(crate) fn open_inputs(
    inputs: &[PathBuf],
    pixel_um: Option<f64>,
) -> (Vec<Dataset>, Vec<String>) {
    let options = OpenOptions {
        pixel_um,
        ..OpenOptions::default()
    };
    let (mut sets, mut failed) = (Vec::new(), Vec::new());
    for input in inputs {
        match stainfree_image::open(input, &options) {
            Ok(mut set) => {
                keep_images_only(&mut set);
                sets.push(set);
            }
            Err(error) => failed.push(error.to_string()),
        }
    }
    (sets, failed)
}

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
    let mut work: Vec<(&Field, usize, Option<usize>)> = Vec::new();
    for set in &sets {
        for problem in &set.problems {
            job.progress.note(problem);
        }
        let nucleus = match &options.channel {
            Some(name) => find_channel(set, name).map_err(ProjectError::Failed)?,
            None => new::guess_nucleus(&set.channels).ok_or_else(|| {
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
    let key = key(&work, options);
    earlier_runs(&work, &key, options)?;
    let names = work.iter().map(|(field, ..)| field.name.clone()).collect();
    let turn = my_turn(&options.out, "segment", job.cancel)?;
    let lease = share_fields(&options.out, "segment", names, job)?;
    let mut runs = earlier_runs(&work, &key, options)?;
    if !runs.contains(&key) {
        runs.push(key);
    }
    let mut marker = Marker::new("segment", Kind::Segmentation);
    marker.more.insert(RUNS.to_owned(), runs.into());
    marker::write(&options.out, &marker)?;
    drop(turn);
    lease.during(job, |job| segment_ours(&work, failed, options, job))
}

/// [`segment`] of fields that nobody else is at.
fn segment_ours(
    work: &[(&Field, usize, Option<usize>)],
    failed: Vec<String>,
    options: &SegmentOptions,
    job: &Job,
) -> Result<Segmented, ProjectError> {
    let folder = Store::at(&options.out).folder(match options.cytoplasm {
        Some(_) => Product::Cells,
        None => Product::Labels,
    });
    std::fs::create_dir_all(&folder).map_err(|error| ProjectError::write(&folder, &error))?;

    let done = AtomicUsize::new(0);
    let segment_one = |&(field, nucleus, cytoplasm): &(&Field, usize, Option<usize>)| {
        job.cancel.check()?;
        let result = match one_field(field, nucleus, cytoplasm, options) {
            // Where one field cannot be written, none can.
            Err(error) if error.is_write() => return Err(error),
            Err(error) => {
                // Labels of an earlier run are not this one's.
                remove_labels(options, &field.name)?;
                Err(error.to_string())
            }
            Ok(found) => Ok(found),
        };
        let done = done.fetch_add(1, Ordering::SeqCst) + 1;
        job.progress.step(done, work.len(), &field.name);
        Ok(result)
    };
    let results: Result<Vec<Result<Found, String>>, ProjectError> =
        job.run(|| work.par_iter().map(segment_one).collect())?;
    let results = results?;
    job.cancel.check()?;
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

/// Held for moments: by whoever looks who does which field of a result, or changes its table.
pub(crate) fn my_turn(out: &Path, command: &str, cancel: &Cancel) -> Result<Lease, ProjectError> {
    Thing {
        folder: out,
        name: "turn",
        command,
    }
    .wait(cancel)
}

/// Takes fields of a result, of which others may do other fields. To be called on one's turn.
pub(crate) fn share_fields(
    out: &Path,
    command: &str,
    names: Vec<String>,
    job: &Job,
) -> Result<Lease, ProjectError> {
    let thing = fields_of(out, command);
    let wanted: BTreeSet<&String> = names.iter().collect();
    let begun = Instant::now();
    loop {
        let conflict = thing.holders().into_iter().find_map(|holder| {
            let mut both = holder.parts.iter().filter(|name| wanted.contains(name));
            let first = both.next()?.clone();
            let count = 1 + both.count();
            Some((holder, first, count))
        });
        let Some((holder, first, count)) = conflict else {
            return thing.share(names, job.cancel);
        };
        // One that was killed may take a moment to be gone.
        if begun.elapsed() < GRACE {
            job.cancel.check()?;
            std::thread::sleep(Duration::from_millis(20));
            continue;
        }
        let way_out = format!(
            "it does {count} of the same fields, such as `{first}`: wait until it ends, or choose \
             another folder with `--out`"
        );
        return Err(thing.held_by(&holder, &way_out));
    }
}

/// The fields of a result that are being done.
pub(crate) fn fields_of<'a>(out: &'a Path, command: &'a str) -> Thing<'a> {
    Thing {
        folder: out,
        name: "fields",
        command,
    }
}

/// Refuses two fields that would be written under one name.
pub(crate) fn unique_names<'a>(
    mut fields: impl Iterator<Item = &'a Field>,
    sets: &[Dataset],
) -> Result<(), ProjectError> {
    let mut seen = BTreeSet::new();
    let Some(Field { name, .. }) = fields.find(|field| !seen.insert(&field.name)) else {
        return Ok(());
    };
    let has = |set: &&Dataset| set.fields.iter().any(|field| field.name == *name);
    let roots: Vec<&Path> = sets
        .iter()
        .filter(has)
        .map(|set| set.root.as_path())
        .collect();
    Err(ProjectError::Usage(same_name(name, &roots)))
}

/// The sentence about a field that several inputs, or one twice, have.
fn same_name(name: &str, roots: &[&Path]) -> String {
    let mut different: Vec<String> = Vec::new();
    for root in roots {
        let root = format!("`{}`", root.display());
        if !different.contains(&root) {
            different.push(root);
        }
    }
    match &different[..] {
        [] | [_] => format!(
            "field `{name}` of {} is among the inputs more than once; name it once",
            different.concat()
        ),
        [first, second] => format!(
            "{first} and {second} both have a field called `{name}`; run the command for each, \
             with a folder of its own as `--out`"
        ),
        [first, second, ..] => format!(
            "{first}, {second} and {} more have a field called `{name}`; run the command for \
             each, with a folder of its own as `--out`",
            different.len() - 2
        ),
    }
}

/// Refuses to write over an image, or over what this program did not write.
fn check_folder(
    work: &[(&Field, usize, Option<usize>)],
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

/// What the marker calls the runs whose labels lie in the folder, each by its [`key`].
const RUNS: &str = "runs";

/// What labels of these fields follow from: the program, the options, and the planes.
fn key(work: &[(&Field, usize, Option<usize>)], options: &SegmentOptions) -> String {
    let mut hash = Fingerprint::new(1);
    hash.text(env!("CARGO_PKG_VERSION"));
    hash.value(&(options.pixel_um, &options.nuclei, &options.cells));
    for (field, nucleus, cytoplasm) in work {
        hash.text(&field.name);
        let channels = std::iter::once(nucleus).chain(cytoplasm);
        for planes in channels.map(|&channel| &field.planes[channel]) {
            // What is not there fails when it is read.
            let stamps = planes.iter().flatten().filter_map(|p| p.stamp().ok());
            hash.stamps(stamps.collect());
        }
    }
    hash.finish()
}

/// The runs of which labels stay in the folder: all, where none of these fields has any that are
/// another run's.
///
/// # Errors
/// [`ProjectError::Exists`]: one has, and they are not to be replaced.
fn earlier_runs(
    work: &[(&Field, usize, Option<usize>)],
    key: &String,
    options: &SegmentOptions,
) -> Result<Vec<String>, ProjectError> {
    let marker = marker::read(&options.out);
    let runs = marker.and_then(|mut marker| marker.more.remove(RUNS));
    let runs: Vec<String> = runs
        .and_then(|runs| serde_json::from_value(runs).ok())
        .unwrap_or_default();
    let there = |(field, ..): &&(&Field, usize, Option<usize>)| {
        labels_of(options, &field.name)
            .iter()
            .any(|path| path.is_file())
    };
    let mut there = work.iter().filter(there);
    let Some((first, ..)) = there.next().filter(|_| !runs.contains(key)) else {
        return Ok(runs);
    };
    if options.overwrite {
        return Ok(Vec::new());
    }
    Err(ProjectError::Exists(format!(
        "`{}` holds labels of {} of {} fields, such as `{}`, that are of another image, option or \
         version; replace them with `--overwrite`, or choose another folder with `--out`",
        options.out.display(),
        1 + there.count(),
        work.len(),
        first.name
    )))
}

/// Where the labels of a field lie: its cells, then its nuclei.
fn labels_of(options: &SegmentOptions, name: &str) -> [PathBuf; 2] {
    let store = Store::at(&options.out);
    [Product::Cells, Product::Labels].map(|product| store.path(product, name))
}

/// Takes away what an earlier run made of a field.
fn remove_labels(options: &SegmentOptions, name: &str) -> Result<(), ProjectError> {
    let labels = labels_of(options, name);
    labels.iter().try_for_each(|path| vouched::remove(path))
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
    let stain = crate::truth::read_middle(field, nucleus)?.to_f32();
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
            let stain = crate::truth::read_middle(field, channel)?.to_f32();
            let area =
                segment_cytoplasm(&stain, field.pixel_um, &options.cells).map_err(in_field)?;
            Some(cells_from_nuclei(&found.labels, &area.mask, &area.flat).map_err(in_field)?)
        }
        None => None,
    };
    // Whenever the program is killed, no cells lie beside nuclei that they do not belong to.
    let (store, name) = (Store::at(&options.out), &field.name);
    vouched::remove(&store.path(Product::Cells, name))?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_that_share_the_name_of_a_field_are_named() {
        let said = |roots: &[&str]| {
            let roots: Vec<&Path> = roots.iter().map(Path::new).collect();
            same_name("a", &roots)
        };
        assert_eq!(
            said(&["one", "one"]),
            "field `a` of `one` is among the inputs more than once; name it once"
        );
        assert_eq!(
            said(&["one", "two"]),
            "`one` and `two` both have a field called `a`; run the command for each, with a \
             folder of its own as `--out`"
        );
        assert!(
            said(&["one", "two", "one", "three"])
                .starts_with("`one`, `two` and 1 more have a field called `a`; ")
        );
    }
}
