//! OME-Zarr 0.5: an image, its labels and plates of images as stores of zarr 3.
//!
//! Planes are asked for one by one, or row by row, so an image may be larger than memory. Chunks
//! are of one plane and at most 1,024 x 1,024 pixels, compressed with zstd, which every reader of
//! zarr 3 knows. Levels halve until both sides are at most 512: the mean of
//! 2 x 2 pixels for intensities, one of them for labels. A plane that is missing has no chunks, so
//! readers show zeros. A group is written under another name and renamed at the end, its old
//! content, if any, deleted then: it is there whole or not at all.
//!
//! Here: images. Not here: chunks and levels of a plane (`rows`), what groups say (`metadata`),
//! plates and labels (`groups`).

mod groups;
mod metadata;
mod rows;

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde_json::Value;

pub use self::groups::{
    ZarrField, ZarrLabels, ZarrSaid, ome_zarr_labels, ome_zarr_labels_rows, ome_zarr_plate,
};
use self::metadata::Axes;
use self::rows::PlaneRows;
use super::ome_tiff::Sample;
use super::{OmeTiff, PixelType, PlaneOf, Samples};
use crate::{Image, ImageError};

/// Sides of a chunk in pixels, at most.
const CHUNK: usize = 1024;
/// Levels halve until both sides are at most as long.
const SMALLEST: usize = 512;
/// How hard zstd tries: its default.
const LEVEL: i32 = 3;
/// Rows that are asked for at once.
const ROWS: usize = 256;
/// Metadata of groups and arrays.
const FILE: &str = "zarr.json";

/// Takes the pixels out of samples of a type.
macro_rules! into {
    ($samples:expr, $type:ident) => {
        match $samples {
            Samples::$type(rows) => Some(rows),
            _ => None,
        }
    };
}
/// What a store says of an image beside what an OME-TIFF does.
#[derive(Clone, Debug, Default)]
pub struct ZarrMore {
    /// Between time points; `None` writes none.
    pub time_step_s: Option<f64>,
    /// Further attributes of the group, by their keys; `ome` is taken.
    pub attributes: BTreeMap<String, Value>,
}

/// Writes an image as the group `folder`, of the planes that `plane` gives when it is asked, z
/// fastest, then channel, then time. `None` is a plane that is missing.
///
/// Planes of another type than [`OmeTiff::pixel_type`] are stored in that type where it holds all
/// of their values. What lies at `folder` is replaced.
///
/// # Errors
/// Those of `plane`; [`ImageError::Write`] if a file cannot be written; [`ImageError::Misuse`] if
/// there is nothing to write, a plane has another size or values that the type does not hold, or
/// what lies at `folder` is no store.
pub fn ome_zarr<E: From<ImageError>>(
    folder: &Path,
    image: &OmeTiff,
    more: &ZarrMore,
    mut plane: impl FnMut(PlaneOf) -> Result<Option<Samples>, E>,
) -> Result<(), E> {
    let whole = |place, _: Range<usize>| plane(place);
    put_image(folder, image, more, image.size.0, whole)
}

/// As [`ome_zarr`], of rows that `rows` gives when it is asked for them, those of a plane from the
/// top down, so that planes may be larger than memory. A plane is missing if its first rows are.
///
/// # Errors
/// As [`ome_zarr`].
pub fn ome_zarr_rows<E: From<ImageError>>(
    folder: &Path,
    image: &OmeTiff,
    more: &ZarrMore,
    rows: impl FnMut(PlaneOf, Range<usize>) -> Result<Option<Samples>, E>,
) -> Result<(), E> {
    put_image(folder, image, more, ROWS, rows)
}

/// Of pieces of so many rows.
fn put_image<E: From<ImageError>>(
    folder: &Path,
    image: &OmeTiff,
    more: &ZarrMore,
    step: usize,
    mut rows: impl FnMut(PlaneOf, Range<usize>) -> Result<Option<Samples>, E>,
) -> Result<(), E> {
    image.check(folder)?;
    let unfinished = Unfinished::beside(folder)?;
    let axes = Axes::of(image);
    let mut ranges = vec![None; image.channels.len()];
    let mut there = false;
    for place in image.places() {
        let put = ImagePlane {
            folder,
            part: &unfinished.path,
            image,
            axes,
            place,
            step,
        };
        let range = match image.pixel_type {
            PixelType::U8 => put.of(&mut rows, |s| into!(s, U8)),
            PixelType::U16 => put.of(&mut rows, |s| into!(s, U16)),
            PixelType::U32 => put.of(&mut rows, |s| into!(s, U32)),
            PixelType::F32 => put.of(&mut rows, |s| into!(s, F32)),
        };
        let Some(range) = range? else { continue };
        there = true;
        ranges[place.channel] = wider(ranges[place.channel], range);
    }
    if !there {
        return Err(image.misuse(folder, "has no plane at all").into());
    }
    put_groups(&unfinished.path, image, axes, more, &ranges)
        .and_then(|()| unfinished.take_name(folder))
        .map_err(|error| ImageError::write(folder, error))?;
    Ok(())
}

/// A plane of an image that is written.
struct ImagePlane<'a> {
    /// The store, and where it lies until it is whole.
    folder: &'a Path,
    part: &'a Path,
    image: &'a OmeTiff,
    axes: Axes,
    place: PlaneOf,
    /// Rows of a piece.
    step: usize,
}

impl ImagePlane<'_> {
    /// Writes it, of samples that `take` makes pixels of, and gives the range of its values; `None`
    /// if it is missing.
    fn of<T: Sample + Into<f64>, E: From<ImageError>>(
        &self,
        rows: &mut impl FnMut(PlaneOf, Range<usize>) -> Result<Option<Samples>, E>,
        take: impl Fn(Samples) -> Option<Image<T>>,
    ) -> Result<Option<Option<[f64; 2]>>, E> {
        let (image, place) = (self.image, self.place);
        let write = |error| ImageError::write(self.folder, error);
        let mut file: Option<PlaneRows<T>> = None;
        for top in (0..image.size.0).step_by(self.step.max(1)) {
            let these = top..(top + self.step).min(image.size.0);
            let size = (these.len(), image.size.1);
            let Some(samples) = rows(place, these)? else {
                return match file {
                    None => Ok(None),
                    Some(_) => Err(image.misuse(self.folder, "lacks rows of a plane").into()),
                };
            };
            let samples = image.fitting(self.folder, place, samples, size)?;
            let file = match &mut file {
                Some(file) => file,
                none => {
                    let made =
                        PlaneRows::new(self.part, self.axes, place, image.size, image.shrink);
                    none.insert(made.map_err(write)?)
                }
            };
            // They are of the image's type now.
            let Some(pixels) = take(samples) else {
                continue;
            };
            for y in 0..pixels.height() {
                file.push(pixels.row(y)).map_err(write)?;
            }
        }
        Ok(file.map(|file| file.range()))
    }
}

/// Writes what the group and the arrays of an image say.
fn put_groups(
    folder: &Path,
    image: &OmeTiff,
    axes: Axes,
    more: &ZarrMore,
    ranges: &[Option<[f64; 2]>],
) -> io::Result<()> {
    let levels = levels(image.size);
    for (level, &(height, width)) in levels.iter().enumerate() {
        let shape = [
            image.times,
            image.channels.len(),
            image.planes,
            height,
            width,
        ];
        let array = metadata::array(
            axes,
            shape,
            chunk((height, width), image.size.1),
            image.pixel_type,
        );
        put_json(&folder.join(level.to_string()), &array)?;
    }
    let mut attributes = metadata::ome(serde_json::json!({
        "multiscales": metadata::multiscales(image, axes, more, levels.len()),
        "omero": metadata::omero(image, ranges),
    }));
    attributes.extend(more.attributes.clone());
    put_json(folder, &metadata::group(Value::Object(attributes)))
}

/// Writes the metadata of the group or array `folder`, which is made.
fn put_json(folder: &Path, said: &Value) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    // Plain data: turning it into text cannot fail.
    let text = serde_json::to_string_pretty(said).unwrap_or_default();
    super::replace_file(&folder.join(FILE), format!("{text}\n").as_bytes())
}

/// The sizes of all levels, the full one first.
fn levels(size: (usize, usize)) -> Vec<(usize, usize)> {
    let mut levels = vec![size];
    let (mut height, mut width) = size;
    while height.max(width) > SMALLEST {
        (height, width) = (height.div_ceil(2), width.div_ceil(2));
        levels.push((height, width));
    }
    levels
}

/// The size of the chunks of a level of an image of that width: smaller ones in wide images, of
/// which a row of chunks is in memory at every level.
fn chunk((height, width): (usize, usize), of_image: usize) -> (usize, usize) {
    let side = match of_image {
        0..=8192 => CHUNK,
        8193..=16384 => CHUNK / 2,
        _ => CHUNK / 4,
    };
    (height.min(side), width.min(side))
}

/// The range of both.
fn wider(a: Option<[f64; 2]>, b: Option<[f64; 2]>) -> Option<[f64; 2]> {
    match (a, b) {
        (Some(a), Some(b)) => Some([a[0].min(b[0]), a[1].max(b[1])]),
        (a, b) => a.or(b),
    }
}

/// A group while it is written: a hidden folder beside its place, deleted unless it takes its name.
struct Unfinished {
    path: PathBuf,
    named: bool,
}

impl Unfinished {
    /// Empty; what a program that was killed has left is deleted, or gets its name again where it
    /// is all there is.
    fn beside(folder: &Path) -> Result<Self, ImageError> {
        let old = hidden(folder, "old");
        if !there(folder) && there(&old) {
            let restored = std::fs::rename(&old, folder);
            restored.map_err(|error| ImageError::write(folder, error))?;
        }
        if there(folder) && !folder.join(FILE).is_file() {
            return Err(ImageError::Misuse {
                what: format!(
                    "`{}` is there, and it is no OME-Zarr store",
                    folder.display()
                ),
                way_out: "choose another name, or delete it first".into(),
            });
        }
        let path = hidden(folder, "part");
        let made = remove(&path).and_then(|()| std::fs::create_dir_all(&path));
        made.map_err(|error| ImageError::write(folder, error))?;
        Ok(Self { path, named: false })
    }

    fn take_name(mut self, folder: &Path) -> io::Result<()> {
        let old = hidden(folder, "old");
        remove(&old)?;
        match std::fs::rename(folder, &old) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        if let Err(error) = std::fs::rename(&self.path, folder) {
            // What was there before comes back; the first error is the one that counts.
            let _ = std::fs::rename(&old, folder);
            return Err(error);
        }
        self.named = true;
        remove(&old)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.named {
            // Whoever writes the group next deletes what is left.
            let _ = remove(&self.path);
        }
    }
}

/// Whether anything is at `path`, a link to nothing included.
fn there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// `.NAME.ENDING` beside a folder.
fn hidden(folder: &Path, ending: &str) -> PathBuf {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    folder.with_file_name(format!(".{name}.{ending}"))
}

/// Deletes a folder that may be missing.
fn remove(folder: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_store_comes_back_where_the_new_one_cannot_take_its_name() {
        let place = tempfile::tempdir().expect("a folder");
        let store = place.path().join("a.zarr");
        std::fs::create_dir(&store).expect("made");
        std::fs::write(store.join(FILE), "old").expect("written");
        let new = Unfinished::beside(&store).expect("made");
        std::fs::remove_dir(&new.path).expect("deleted");
        assert!(new.take_name(&store).is_err());
        assert_eq!(
            std::fs::read_to_string(store.join(FILE)).expect("read"),
            "old"
        );

        // As a program leaves it that was killed between the two.
        std::fs::rename(&store, hidden(&store, "old")).expect("renamed");
        drop(Unfinished::beside(&store).expect("made"));
        assert_eq!(
            std::fs::read_to_string(store.join(FILE)).expect("read"),
            "old"
        );

        std::fs::remove_file(store.join(FILE)).expect("deleted");
        std::fs::write(store.join("thesis.txt"), "mine").expect("written");
        let error = Unfinished::beside(&store).err().expect("refused");
        assert!(
            error.to_string().contains("is no OME-Zarr store"),
            "{error}"
        );
        assert!(store.join("thesis.txt").is_file());
    }
}
