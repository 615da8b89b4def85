//! `convert`: images of any layout as OME-TIFF or OME-Zarr.
//!
//! An image is there whole or not at all. The marker of the folder says what each was made from, so
//! that the same command goes on where it was stopped; of a plate, each image says so itself, in a
//! hidden folder that takes the plate's name at the end.

mod images;
mod record;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use stainfree_image::marker::Kind;
use stainfree_image::write::{ZarrField, ome_zarr_plate};
use stainfree_image::{Dataset, OpenOptions};

use self::images::{Shown, images_of};
use self::record::Record;
use crate::prediction::results::{my_turn, share_fields};
use crate::study::each_field::EachField;
use crate::study::guard::{Inputs, ResultFolder};
use crate::{Job, ProjectError};

/// What attributes of a group in a store say that this program wrote.
const OURS: &str = "stainfree";

/// What images are written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A file for each image.
    OmeTiff,
    /// A store for each plate, or image without one.
    OmeZarr,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::OmeTiff, Self::OmeZarr];

    /// Its word on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OmeTiff => "ome-tiff",
            Self::OmeZarr => "ome-zarr",
        }
    }

    const fn ending(self) -> &'static str {
        match self {
            Self::OmeTiff => "ome.tif",
            Self::OmeZarr => "ome.zarr",
        }
    }
}

/// What to convert, and to what.
#[derive(Clone, Debug)]
pub struct ConvertOptions {
    /// A plate, folder or file.
    pub input: PathBuf,
    /// Folder for the results.
    pub out: PathBuf,
    /// The format.
    pub to: Format,
    /// What is known of the images that their files do not say.
    pub opening: OpenOptions,
    /// Replace what was made from other images or by another version.
    pub overwrite: bool,
}

/// What was converted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Converted {
    /// Images that are there.
    pub images: usize,
    /// Those of them that were there already.
    pub skipped: usize,
    /// The names of files and stores in the folder.
    pub files: Vec<String>,
    /// What failed, a sentence each.
    pub failed: Vec<String>,
}

/// A file or store that is asked for, with its images.
struct Target<'a> {
    name: String,
    /// Of a plate.
    plate: Option<String>,
    images: Vec<(Shown<'a>, String)>,
    /// A hash of what it follows from.
    key: String,
}

/// Writes every image of the input.
///
/// # Errors
/// The input cannot be opened, the folder cannot be written or holds other results of these names
/// that are not to be replaced, or [`ProjectError::Cancelled`] (what is finished is kept).
pub fn convert(options: &ConvertOptions, job: &Job) -> Result<Converted, ProjectError> {
    let set = stainfree_image::open(&options.input, &options.opening)?;
    for problem in &set.problems {
        job.progress.note(problem);
    }
    let targets = targets_of(&set, options.to)?;
    if let Some(note) = about_flat_channels(&targets) {
        job.progress.note(&note);
    }
    check(&set, &targets, &Record::read(&options.out), options)?;
    let turn = my_turn(&options.out, "convert", job.cancel)?;
    let record = Record::read(&options.out);
    check(&set, &targets, &record, options)?;
    let names = targets.iter().map(|target| target.name.clone()).collect();
    let lease = share_fields(&options.out, "convert", names, job)?;
    begin(record, &targets, options)?;
    drop(turn);
    lease.during(job, |job| write_all(&targets, options, job))
}

/// A sentence about channels that were taken in fewer planes than others.
fn about_flat_channels(targets: &[Target]) -> Option<String> {
    let images = targets.iter().flat_map(|target| &target.images);
    let flat: std::collections::BTreeSet<&str> = images
        .flat_map(|(image, _)| image.flat_channels())
        .collect();
    let names: Vec<&str> = flat.into_iter().collect();
    (!names.is_empty()).then(|| {
        format!(
            "channels that were taken in fewer planes than others are written as the first planes \
             of the stack, whatever their depth was: {}",
            stainfree_image::list_names(&names)
        )
    })
}

/// The files or stores that are made of a data set.
fn targets_of(set: &Dataset, format: Format) -> Result<Vec<Target<'_>>, ProjectError> {
    let mut targets: Vec<Target> = Vec::new();
    let mut plates: BTreeMap<String, usize> = BTreeMap::new();
    for image in images_of(set) {
        let plate = image.place.as_ref().map(|(plate, _)| plate.clone());
        let plate = plate.filter(|_| format == Format::OmeZarr);
        let key = image.key(format);
        if let Some(at) = plate.as_ref().and_then(|plate| plates.get(plate)) {
            targets[*at].images.push((image, key));
            continue;
        }
        if let Some(plate) = &plate {
            plates.insert(plate.clone(), targets.len());
        }
        let stem = file_stem(plate.as_deref().unwrap_or(&image.name));
        targets.push(Target {
            name: format!("{stem}.{}", format.ending()),
            plate,
            images: vec![(image, key)],
            key: String::new(),
        });
    }
    for target in &mut targets {
        let mut hash = crate::study::fingerprint::Fingerprint::new(1);
        target.images.iter().for_each(|(_, key)| hash.text(key));
        target.key = hash.finish_short(8);
    }
    let mut seen = std::collections::BTreeSet::new();
    match targets
        .iter()
        .find(|target| !seen.insert(target.name.to_lowercase()))
    {
        Some(twice) => Err(ProjectError::Usage(format!(
            "two images or plates of `{}` would become `{}`; convert them one by one, each with a \
             folder of its own as `--out`",
            set.root.display(),
            twice.name
        ))),
        None => Ok(targets),
    }
}

/// A name as that of a file on every system.
fn file_stem(name: &str) -> String {
    let kept = |c: char| match c {
        '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|' => '_',
        c if c.is_control() => '_',
        c => c,
    };
    let stem: String = name.trim().chars().map(kept).collect();
    match stem.trim_matches('.') {
        "" => "images".to_owned(),
        stem => stem.to_owned(),
    }
}

/// Refuses to write over an image, over what this program did not write and, unless that is asked
/// for, over what follows from something else.
fn check(
    set: &Dataset,
    targets: &[Target],
    record: &Record,
    options: &ConvertOptions,
) -> Result<(), ProjectError> {
    const WAY_OUT: &str = "choose a folder of its own for the results with `--out`";
    let folder = ResultFolder {
        path: &options.out,
        kind: &Kind::Conversion,
        way_out: WAY_OUT,
    };
    let inputs = Inputs::of(std::slice::from_ref(set));
    folder.check(&inputs, std::iter::empty())?;
    let mut others = Vec::new();
    for target in targets {
        let path = options.out.join(&target.name);
        inputs.spare(&path, WAY_OUT)?;
        match record.key(&target.name) {
            _ if !path.exists() => {}
            Some(key) if target.is_at(&path) => {
                if *key != target.key {
                    others.push(&target.name);
                }
            }
            _ => {
                return Err(crate::Refusal::NotOurs {
                    path,
                    expected: "result of `convert`".to_owned(),
                    way_out: format!("move it away, or {WAY_OUT}"),
                }
                .into());
            }
        }
    }
    match others.first() {
        Some(first) if !options.overwrite => Err(ProjectError::Exists(format!(
            "`{}` holds {} of {} results, such as `{first}`, of another image, option or version; \
             replace them with `--overwrite`, or choose another folder with `--out`",
            options.out.display(),
            others.len(),
            targets.len(),
        ))),
        _ => Ok(()),
    }
}

/// Takes away what follows from something else, and records what is being made. What lies there
/// under its name later is what the record says.
fn begin(
    mut record: Record,
    targets: &[Target],
    options: &ConvertOptions,
) -> Result<(), ProjectError> {
    for target in targets {
        let path = options.out.join(&target.name);
        let part = part_of(&options.out, &target.name);
        if record.key(&target.name) != Some(&target.key) {
            remove_all(&path)?;
            remove_all(&part)?;
        } else if target.lacks_images_in(&path) && !part.exists() {
            // Some of its images could not be made, or were taken out; they are made now.
            rename(&path, &part)?;
        }
        record.put(&target.name, &target.key);
    }
    record.write(&options.out)
}

impl Target<'_> {
    /// Where the images of a plate lie in the store `path`, with their keys; none of other targets.
    fn groups<'a>(&'a self, path: &'a Path) -> impl Iterator<Item = (PathBuf, &'a String)> {
        let of_plate = self.images.iter().filter(|_| self.plate.is_some());
        of_plate.filter_map(move |(image, key)| {
            let (_, field) = image.place.as_ref()?;
            Some((path.join(field.path()), key))
        })
    }

    /// Whether what lies at `path` is what this program wrote there, as far as a store says: any of
    /// a plate's images, or the image itself.
    fn is_at(&self, path: &Path) -> bool {
        if !path.is_dir() {
            return true;
        }
        match self.plate {
            Some(_) => self
                .groups(path)
                .any(|(group, _)| record::key_of_group(&group).is_some()),
            None => record::key_of_group(path).is_some(),
        }
    }

    /// Whether the store of a plate at `path` is there and some image in it is not.
    fn lacks_images_in(&self, path: &Path) -> bool {
        let lacking =
            |(group, key): (PathBuf, &String)| record::key_of_group(&group).as_ref() != Some(key);
        path.is_dir() && self.groups(path).any(lacking)
    }
}

/// The hidden folder of a plate that is not finished.
fn part_of(out: &Path, name: &str) -> PathBuf {
    out.join(format!(".{name}.part"))
}

/// An image and where it goes.
struct Task<'a> {
    image: &'a Shown<'a>,
    key: &'a str,
    path: PathBuf,
    /// Whether it is there already.
    done: bool,
}

/// [`convert`] of what nobody else is at.
fn write_all(
    targets: &[Target],
    options: &ConvertOptions,
    job: &Job,
) -> Result<Converted, ProjectError> {
    let tasks: Vec<Vec<Task>> = targets
        .iter()
        .map(|target| tasks_of(target, options))
        .collect();
    let todo: Vec<&Task> = tasks.iter().flatten().filter(|task| !task.done).collect();
    let all = tasks.iter().flatten().count();
    let mut converted = Converted {
        skipped: all - todo.len(),
        ..Converted::default()
    };
    let each = EachField::new(job, &todo, |task| task.image.name.clone());
    let failed = each.after(converted.skipped).at_once(
        |task| {
            task.image
                .write(&task.path, options.to, task.key, job.cancel)?;
            Ok(None)
        },
        |task, error| Ok(Some(format!("`{}`: {error}", task.image.name))),
    )?;
    converted.failed = failed.into_iter().flatten().collect();
    converted.images = all - converted.failed.len();
    let mut record = Record::default();
    for (target, tasks) in targets.iter().zip(&tasks) {
        let there = tasks.iter().filter(|task| task.path.exists()).count();
        if there > 0 && finish(target, tasks, options)? {
            converted.files.push(target.name.clone());
        }
        record.put(&target.name, &target.key);
    }
    let _turn = my_turn(&options.out, "convert", job.cancel)?;
    Record::read(&options.out)
        .joined(record)
        .write(&options.out)?;
    Ok(converted)
}

fn tasks_of<'a>(target: &'a Target, options: &ConvertOptions) -> Vec<Task<'a>> {
    let whole = options.out.join(&target.name);
    let is_there = whole.exists();
    let part = part_of(&options.out, &target.name);
    let task = |(image, key): &'a (Shown<'a>, String)| {
        let (path, done) = match (&image.place, &target.plate) {
            (Some((_, field)), Some(_)) if !is_there => {
                let path = part.join(field.path());
                let done = record::key_of_group(&path).as_ref() == Some(key);
                (path, done)
            }
            (Some((_, field)), Some(_)) => (whole.join(field.path()), true),
            _ => (whole.clone(), is_there),
        };
        Task {
            image,
            key,
            path,
            done,
        }
    };
    target.images.iter().map(task).collect()
}

/// Gives a plate its name, with what says which images it has; whether the target is there.
fn finish(target: &Target, tasks: &[Task], options: &ConvertOptions) -> Result<bool, ProjectError> {
    let whole = options.out.join(&target.name);
    let Some(plate) = target.plate.as_ref().filter(|_| !whole.exists()) else {
        return Ok(whole.exists());
    };
    let there = tasks.iter().filter(|task| task.path.exists());
    let fields = there.filter_map(|task| Some(task.image.place.as_ref()?.1.clone()));
    let fields: Vec<ZarrField> = fields.collect();
    let part = part_of(&options.out, &target.name);
    ome_zarr_plate(&part, plate, &fields)?;
    rename(&part, &whole)?;
    Ok(true)
}

fn rename(from: &Path, to: &Path) -> Result<(), ProjectError> {
    std::fs::rename(from, to).map_err(|error| ProjectError::write(to, &error))
}

/// Deletes a file or a folder that may be missing.
fn remove_all(path: &Path) -> Result<(), ProjectError> {
    let removed = match path.is_dir() {
        true => std::fs::remove_dir_all(path),
        false => return crate::study::disk::remove(path),
    };
    removed.map_err(|error| ProjectError::write(path, &error))
}
