//! A new study: looks at the images, guesses what was not said, writes `stainfree.toml`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use stainfree_image::marker::{self, Kind, Marker};
use stainfree_image::{Dataset, OpenOptions, Pairing, PlaneAt, TruthOf, list_names};
use stainfree_objects::{NumberShapes, smoothed_share};

use crate::study::channels::{CYTOPLASM, NUCLEUS, find_channel, recognise_brightfield, speaks_of};
use crate::study::config::{self, Config, MaskValues, Scheme, TruthConfig};
use crate::study::lease;
use crate::study::lease::{Lease, Thing};
use crate::study::names;
use crate::study::recipe;
use crate::study::template;
use crate::study::{Study, keep_images_only, relative_to};
use crate::truth::given::check_instances;
use crate::{Cancel, GroupRule, ProjectError};

/// Truth files looked at to learn what their values mean; `prepare` checks every one.
const LOOKED_AT: usize = 8;

/// What the user said about a new study; everything left out is guessed or has a default.
#[derive(Clone, Debug, Default)]
pub struct NewOptions {
    /// Plate, folder or file with the images.
    pub images: PathBuf,
    /// Brightfield channel, or three channels that are the planes.
    pub brightfield: Vec<String>,
    /// z of the brightfield, from 1.
    pub planes: Vec<usize>,
    /// Channel of the nuclear stain.
    pub nucleus: Option<String>,
    /// Channel of the cytoplasmic stain.
    pub cytoplasm: Option<String>,
    /// Folder of masks.
    pub masks: Option<PathBuf>,
    /// Folder of nucleus instances.
    pub labels: Option<PathBuf>,
    /// Folder of whole-cell masks.
    pub cell_masks: Option<PathBuf>,
    /// Folder of whole-cell instances.
    pub cell_labels: Option<PathBuf>,
    /// Scheme A (the default) or B.
    pub scheme: Option<Scheme>,
    /// Group rule of the split.
    pub group: Option<String>,
    /// Shares of train, validation and test.
    pub fractions: Option<[f64; 3]>,
    /// Groups that are the test set.
    pub test_groups: Vec<String>,
    /// What is known of the images that their files do not say.
    pub opening: OpenOptions,
    /// Seed of the split and of the training.
    pub seed: Option<u64>,
}

/// A study that was just made.
#[derive(Clone, Debug)]
pub struct Created {
    /// The study.
    pub study: Study,
    /// What was recognised and what was guessed, a sentence each.
    pub messages: Vec<String>,
}

/// Makes the study `root` with every choice written out.
///
/// # Errors
/// The folder holds something, the images cannot be opened, a named channel or truth does not
/// exist, or no brightfield or truth can be guessed; [`ProjectError::Cancelled`] after a stop.
pub fn create(root: &Path, options: &NewOptions, cancel: &Cancel) -> Result<Created, ProjectError> {
    refuse_filled(root, &Kind::Study, "the study")?;
    let mut dataset = stainfree_image::open(&options.images, &options.opening)?;
    keep_images_only(&mut dataset);
    let mut messages = vec![format!(
        "images: {} with {} field{}, channels {}",
        dataset.layout,
        dataset.fields.len(),
        if dataset.fields.len() == 1 { "" } else { "s" },
        listed(&dataset.channels)
    )];
    messages.extend(
        dataset
            .problems
            .iter()
            .map(|problem| format!("note: {problem}")),
    );

    let root_at = absolute(root)?;
    let place = |path: &Path| -> Result<PathBuf, ProjectError> {
        Ok(relative_to(&absolute(path)?, &root_at))
    };
    let mut config = Config::default();
    config.images.path = place(&options.images)?;
    config.images.planes = options.planes.clone();
    config.images.pixel_um = options.opening.pixel_um;
    config.images.pattern = options.opening.pattern.clone();
    config.images.brightfield = brightfield(&dataset, options, &mut messages)?;
    if options.opening.pixel_um.is_none()
        && dataset.fields.iter().all(|field| field.pixel_um.is_none())
    {
        messages.push(
            "the images state no pixel size: lengths are in pixels; give it with \
            `--pixel-um` if you know it"
                .to_owned(),
        );
    }

    let guessed = truth_given(options)
        .is_none()
        .then(|| guess_truth(&dataset, options, &mut messages))
        .transpose()?;
    let given = guessed.as_ref().unwrap_or(options);
    let truth = &mut config.truth;
    for name in [&given.nucleus, &given.cytoplasm].into_iter().flatten() {
        find_channel(&dataset, name).map_err(ProjectError::Failed)?;
    }
    truth.nucleus = given.nucleus.clone();
    truth.cytoplasm = given.cytoplasm.clone();
    truth.masks = given.masks.as_deref().map(place).transpose()?;
    truth.labels = given.labels.as_deref().map(place).transpose()?;
    truth.cell_masks = given.cell_masks.as_deref().map(place).transpose()?;
    truth.cell_labels = given.cell_labels.as_deref().map(place).transpose()?;
    truth.scheme = options.scheme.unwrap_or(Scheme::A);
    truth.classes = truth.usual_classes();
    if let Some(folder) = &given.masks {
        read_masks(folder, &dataset, truth, &mut messages)?;
    }
    if let Some(folder) = &given.labels {
        refuse_what_is_no_label(folder, &dataset)?;
    }
    for folder in [&given.labels, &given.cell_labels, &given.cell_masks]
        .into_iter()
        .flatten()
    {
        report_matches(folder, &dataset, &mut messages)?;
    }
    if let Some(folder) = &given.masks {
        report_matches(folder, &dataset, &mut messages)?;
    }

    choose_split(&mut config, options, &dataset)?;

    let text = template::render(&config, &recipe::listing(&config.training.recipe)?);
    let path = root.join(config::FILE_NAME);
    config::parse(&text, &path)?;
    cancel.check()?;
    let _lease = sole_maker(root, &Kind::Study, ("the study", "new"), cancel)?;
    marker::write(root, &Marker::new("new", Kind::Study))?;
    stainfree_image::write_atomic(&path, text.as_bytes())?;
    Ok(Created {
        study: Study::open(root)?,
        messages,
    })
}

/// What the values of masks in `folder` mean, and the classes that follow.
///
/// # Errors
/// The folder cannot be read, or holds what is no mask.
fn read_masks(
    folder: &Path,
    dataset: &Dataset,
    truth: &mut TruthConfig,
    messages: &mut Vec<String>,
) -> Result<(), ProjectError> {
    let Seen {
        values,
        shapes,
        smoothed,
    } = seen_in(folder, dataset)?;
    if let Some(path) = smoothed {
        return Err(ProjectError::NotLabels {
            path,
            found: "a mask with smoothed edges: values between that of the background and that \
                    of the foreground"
                .to_owned(),
            way_out: "save masks with two values (such as all above 127 as 255)".to_owned(),
        });
    }
    truth.mask_values = mask_values(folder, &values, truth.scheme)?;
    if shapes.are_instances() {
        messages.push(format!(
            "masks: every number of `{}` is one piece, as of instances; if they are, give the \
             folder as `--labels` instead of `--masks`",
            folder.display()
        ));
    }
    if truth.mask_values == MaskValues::Binary {
        messages.push(format!(
            "masks: `{}` holds 0 and 255 only, read as background and nucleus",
            folder.display()
        ));
    } else {
        truth.classes = class_names(
            truth.scheme,
            values
                .iter()
                .copied()
                .filter(|&v| v != 255)
                .max()
                .unwrap_or(0),
        );
        messages.push(format!("masks: classes {}", listed(&truth.classes)));
    }
    Ok(())
}

/// How the fields are split, as asked for.
///
/// # Errors
/// A group rule that does not fit the fields, fractions that cannot be, or test groups that no
/// field has.
fn choose_split(
    config: &mut Config,
    options: &NewOptions,
    dataset: &Dataset,
) -> Result<(), ProjectError> {
    if let Some(group) = &options.group {
        let rule = GroupRule::parse(group)?;
        for field in &dataset.fields {
            rule.group(field)?;
        }
        config.split.group = group.clone();
    }
    if let Some(fractions) = options.fractions {
        crate::study::split::check_fractions(fractions)?;
        config.split.fractions = fractions;
    }
    config.split.test_groups = options.test_groups.clone();
    config.split.seed = options.seed.unwrap_or(0);
    if let Some(seed) = options.seed {
        config.training.change.insert(
            "seed".to_owned(),
            toml::Value::Integer(i64::try_from(seed).map_err(|_| {
                ProjectError::Usage(format!("seed `{seed}` is too large; use one below 2^63"))
            })?),
        );
    }
    check_groups(dataset, config)
}

/// Refuses a folder that holds something; `what` wants to be there. The marker alone, and what a
/// killed program leaves before its first file is whole, are nothing.
pub(crate) fn refuse_filled(root: &Path, kind: &Kind, what: &str) -> Result<(), ProjectError> {
    let entries = match std::fs::read_dir(root) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(ProjectError::write(root, &error)),
    };
    let begun = marker::read(root).is_some_and(|marker| marker.kind == *kind);
    let counts = |entry: std::fs::DirEntry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_marker = begun && name == marker::FILE_NAME;
        !is_marker && !lease::is_lease(&name) && !stainfree_image::write::is_unfinished(&name)
    };
    if entries.filter_map(Result::ok).any(counts) {
        return Err(ProjectError::Exists(format!(
            "`{}` exists and is not empty; choose a new folder for {what}, or delete this one",
            root.display()
        )));
    }
    Ok(())
}

/// The lease of whoever makes something new in `root`, which nobody has filled in the meantime:
/// `command` makes `what`. `cancel` stops the waiting, and the work under the lease.
pub(crate) fn sole_maker(
    root: &Path,
    kind: &Kind,
    (what, command): (&str, &str),
    cancel: &Cancel,
) -> Result<Lease, ProjectError> {
    let thing = Thing {
        folder: root,
        name: "making",
        command,
    };
    let lease = thing.own("choose another folder", cancel)?;
    refuse_filled(root, kind, what)?;
    Ok(lease)
}

/// `path` from the root of the file system, symbolic links resolved as far as it exists.
fn absolute(path: &Path) -> Result<PathBuf, ProjectError> {
    if let Ok(real) = path.canonicalize() {
        return Ok(real);
    }
    let full = std::path::absolute(path).map_err(|error| ProjectError::read(path, &error))?;
    match (full.parent(), full.file_name()) {
        (Some(parent), Some(name)) => Ok(absolute(parent)?.join(name)),
        _ => Ok(full),
    }
}

fn brightfield(
    dataset: &Dataset,
    options: &NewOptions,
    messages: &mut Vec<String>,
) -> Result<Vec<String>, ProjectError> {
    if !options.brightfield.is_empty() {
        return options
            .brightfield
            .iter()
            .map(|name| {
                let index = find_channel(dataset, name).map_err(|text| {
                    ProjectError::Channel(format!("{text}; choose with `--brightfield`"))
                })?;
                Ok(dataset.channels[index].clone())
            })
            .collect();
    }
    let found = recognise_brightfield(dataset).ok_or_else(|| {
        ProjectError::Channel(format!(
            "no channel of `{}` looks like brightfield (channels: {}); name it with \
             `--brightfield`",
            dataset.root.display(),
            listed(&dataset.channels)
        ))
    })?;
    let chosen = listed(&found.channels);
    messages.push(match found.said {
        true => format!("brightfield: {chosen}, as the files say"),
        false => format!("brightfield: guessed {chosen}"),
    });
    Ok(found.channels)
}

fn truth_given(options: &NewOptions) -> Option<()> {
    let any = options.nucleus.is_some() || options.masks.is_some() || options.labels.is_some();
    any.then_some(())
}

/// Truth that was not named: files beside the images, then folders that look like truth, then
/// stains.
fn guess_truth(
    dataset: &Dataset,
    options: &NewOptions,
    messages: &mut Vec<String>,
) -> Result<NewOptions, ProjectError> {
    let mut guess = options.clone();
    let base = if dataset.root.is_dir() {
        dataset.root.clone()
    } else {
        dataset.root.parent().unwrap_or(Path::new(".")).to_owned()
    };
    let suffixed = Pairing::of(&base, dataset).is_ok_and(|found| !found.files.is_empty());
    let folders: Vec<PathBuf> = dataset
        .channels
        .iter()
        .filter(|name| stainfree_image::looks_like_truth(name))
        .map(|name| base.join(name))
        .filter(|path| path.is_dir())
        .collect();
    let about_cells = |path: &Path| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().to_lowercase().contains("cell"))
    };
    let nuclei = if suffixed {
        Some(base.clone())
    } else {
        folders.iter().find(|path| !about_cells(path)).cloned()
    };
    if let Some(folder) = nuclei {
        let seen = seen_in(&folder, dataset)?;
        if seen.looks_like_labels() {
            let by_shape = if looks_like_labels(&seen.values) {
                ""
            } else {
                ", since each number is one piece and none lies inside another; if the numbers \
                 are classes, give the folder as `--masks`"
            };
            messages.push(format!(
                "truth: guessed nucleus instances in `{}`{by_shape}",
                folder.display()
            ));
            guess.labels = Some(folder);
        } else {
            messages.push(format!("truth: guessed masks in `{}`", folder.display()));
            guess.masks = Some(folder);
        }
        let cells_open = options.cytoplasm.is_none()
            && options.cell_masks.is_none()
            && options.cell_labels.is_none();
        if let Some(cells) = folders
            .iter()
            .find(|path| about_cells(path))
            .filter(|_| cells_open && !suffixed)
        {
            messages.push(format!(
                "cells: guessed whole-cell masks in `{}`",
                cells.display()
            ));
            guess.cell_masks = Some(cells.clone());
        }
        return Ok(guess);
    }
    let stain = |words: &[&str]| {
        dataset
            .channels
            .iter()
            .find(|name| !stainfree_image::looks_like_truth(name) && speaks_of(name, words))
            .cloned()
    };
    guess.nucleus = stain(&NUCLEUS);
    let Some(nucleus) = &guess.nucleus else {
        return Err(ProjectError::Channel(format!(
            "no channel of `{}` looks like a nuclear stain (channels: {}) and no truth lies beside \
             the images; name it with `--nucleus`, `--masks` or `--labels`",
            dataset.root.display(),
            listed(&dataset.channels)
        )));
    };
    messages.push(format!("nucleus: guessed the stain `{nucleus}`"));
    if guess.cytoplasm.is_none()
        && guess.cell_masks.is_none()
        && guess.cell_labels.is_none()
        && options.scheme != Some(Scheme::B)
    {
        guess.cytoplasm = stain(&CYTOPLASM);
        match &guess.cytoplasm {
            Some(name) => messages.push(format!("cytoplasm: guessed the stain `{name}`")),
            None => messages.push(
                "cytoplasm: no stain found, so the classes are background and nucleus".to_owned(),
            ),
        }
    }
    Ok(guess)
}

/// The truth of the first fields that have one, and which plane tells what its values mean.
fn first_truth(folder: &Path, dataset: &Dataset) -> Result<Vec<(TruthOf, PlaneAt)>, ProjectError> {
    let files = names::truth_of(folder, dataset)?.files;
    let matched = dataset.fields.iter().filter_map(|field| {
        // Any plane tells what the values mean; where truth has pages, it has one for each.
        let depth = field.planes.iter().map(Vec::len).max()?;
        Some((files.get(&field.name)?.clone(), PlaneAt { z: 0, depth }))
    });
    Ok(matched.take(LOOKED_AT).collect())
}

/// Refuses a folder whose first files hold no labels.
fn refuse_what_is_no_label(folder: &Path, dataset: &Dataset) -> Result<(), ProjectError> {
    for (truth, at) in first_truth(folder, dataset)? {
        // A file that cannot be read is `prepare`'s to report.
        if let Ok(labels) = truth.labels(at) {
            check_instances(&truth.path, &labels, "give masks as `--masks`")?;
        }
    }
    Ok(())
}

/// What the first truth files that belong to a field hold.
struct Seen {
    values: BTreeSet<u32>,
    shapes: NumberShapes,
    /// The first mask whose edges were smoothed.
    smoothed: Option<PathBuf>,
}

impl Seen {
    fn looks_like_labels(&self) -> bool {
        looks_like_labels(&self.values) || self.shapes.are_instances()
    }
}

fn seen_in(folder: &Path, dataset: &Dataset) -> Result<Seen, ProjectError> {
    let mut values = BTreeSet::new();
    let mut shapes = NumberShapes::default();
    let mut smoothed = None;
    for (truth, at) in first_truth(folder, dataset)? {
        // A file that cannot be read is `prepare`'s to report; the others still tell.
        if let Ok(image) = truth.labels(at) {
            values.extend(image.data().iter().copied());
            shapes = shapes.and(NumberShapes::of(&image));
            if smoothed.is_none() && smoothed_share(&image) > 0.0 {
                smoothed = Some(truth.path.clone());
            }
        }
    }
    Ok(Seen {
        values,
        shapes,
        smoothed,
    })
}

fn looks_like_labels(values: &BTreeSet<u32>) -> bool {
    values.iter().any(|&value| value > 3 && value != 255) || values.len() > 5
}

fn mask_values(
    folder: &Path,
    values: &BTreeSet<u32>,
    scheme: Scheme,
) -> Result<MaskValues, ProjectError> {
    let classes: Vec<u32> = values
        .iter()
        .copied()
        .filter(|&value| value != 255)
        .collect();
    let largest = if scheme == Scheme::B { 3 } else { 15 };
    if let Some(value) = classes.iter().find(|&&value| value > largest) {
        return Err(ProjectError::Failed(format!(
            "`{}` holds the value `{value}`, which is no class: it looks like instance labels; use \
             `--labels` instead of `--masks`",
            folder.display()
        )));
    }
    Ok(
        if classes.iter().all(|&value| value == 0) && values.contains(&255) {
            MaskValues::Binary
        } else {
            MaskValues::Classes
        },
    )
}

fn class_names(scheme: Scheme, largest: u32) -> Vec<String> {
    let known: &[&str] = match scheme {
        Scheme::A => &["background", "nucleus", "cytoplasm"],
        Scheme::B => &["background", "nucleus", "boundary", "split"],
    };
    let count = if scheme == Scheme::B {
        4
    } else {
        (largest as usize + 1).max(2)
    };
    (0..count)
        .map(|i| {
            known
                .get(i)
                .map_or_else(|| format!("class{i}"), |&name| name.to_owned())
        })
        .collect()
}

fn report_matches(
    folder: &Path,
    dataset: &Dataset,
    messages: &mut Vec<String>,
) -> Result<(), ProjectError> {
    let found = names::truth_of(folder, dataset)?;
    found.refuse_empty(folder, dataset)?;
    let without: Vec<&str> = dataset
        .fields
        .iter()
        .map(|field| field.name.as_str())
        .filter(|name| !found.files.contains_key(*name))
        .collect();
    if !without.is_empty() {
        messages.push(format!(
            "`{}` has truth for {} of {} fields; none for {}",
            folder.display(),
            found.files.len(),
            dataset.fields.len(),
            list_names(&without)
        ));
    }
    messages.extend(names::without_field(folder, &found));
    Ok(())
}

/// Named test groups must exist; said now rather than at `prepare`.
fn check_groups(dataset: &Dataset, config: &Config) -> Result<(), ProjectError> {
    if config.split.test_groups.is_empty() {
        return Ok(());
    }
    let rule = GroupRule::parse(&config.split.group)?;
    let groups = dataset
        .fields
        .iter()
        .map(|field| rule.group(field))
        .collect::<Result<Vec<_>, _>>()?;
    crate::study::split::split_groups(&groups, &config.split.rule()).map(|_| ())
}

fn listed(names: &[String]) -> String {
    names
        .iter()
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn brightfield_is_guessed_by_name() {
        use crate::study::channels::guess_brightfield;
        let guess = |names: &[&str]| guess_brightfield(&owned(names));
        assert_eq!(
            guess(&["Hoechst", "Brightfield"]),
            Some(owned(&["Brightfield"]))
        );
        assert_eq!(
            guess(&["bright field", "DAPI"]),
            Some(owned(&["bright field"]))
        );
        assert_eq!(
            guess(&["BF1", "BF2", "BF3", "DAPI"]),
            Some(owned(&["BF1", "BF2", "BF3"]))
        );
        assert_eq!(
            guess(&["bf", "cell_mask", "nuc", "nuc_gt"]),
            Some(owned(&["bf"]))
        );
        assert_eq!(
            guess(&["brightfield_channel", "live_nuclei_channel"]),
            Some(owned(&["brightfield_channel"]))
        );
        assert_eq!(
            guess(&["Digital Phase Contrast", "Brightfield high", "Alexa 488"]),
            Some(owned(&["Brightfield high"]))
        );
        assert_eq!(guess(&["BFP", "GFP"]), None);
        assert_eq!(guess(&["w1"]), Some(owned(&["w1"])));
    }

    #[test]
    fn stains_are_told_by_the_beginning_of_a_word() {
        assert!(speaks_of("live_nuclei_channel", &NUCLEUS) && speaks_of("Hoechst 33342", &NUCLEUS));
        assert!(speaks_of("MitoTracker Red", &CYTOPLASM));
        assert!(!speaks_of("renucleated", &NUCLEUS));
    }

    #[test]
    fn values_tell_masks_from_labels() {
        let of = |values: &[u32]| {
            mask_values(Path::new("m"), &values.iter().copied().collect(), Scheme::A)
        };
        assert_eq!(of(&[0, 255]).unwrap(), MaskValues::Binary);
        assert_eq!(of(&[0, 1, 2, 255]).unwrap(), MaskValues::Classes);
        assert_eq!(
            of(&[0, 1, 57]).unwrap_err().to_string(),
            "`m` holds the value `57`, which is no class: it looks like instance labels; use \
             `--labels` instead of `--masks`"
        );
    }
}
