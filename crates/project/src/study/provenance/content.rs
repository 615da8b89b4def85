//! What a field is recognised by: hashes of the values of its planes and of its truth.
//!
//! Type, compression and name of a file do not enter, nor do the numbers of nuclei.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use stainfree_image::{Field, Image, Plane, PlaneRef, Region, Stamp, read_class_mask, read_labels};
use stainfree_inference::planes::full_range;
use stainfree_objects::IGNORED;

use crate::ProjectError;
use crate::study::fingerprint::Fingerprint;
use crate::study::{Source, Study};

/// Bytes of a content's hash that are kept: chance matches stay out of reach.
const HASH_BYTES: usize = 16;

/// What a field is recognised by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// A hash of the values of each brightfield plane. Planes of a single value are left out: they
    /// would be the same in any two fields.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub image: Vec<String>,
    /// A hash of the class mask; none where it has a single class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<String>,
    /// A hash of the nuclei, however they are numbered; none without any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nuclei: Option<String>,
}

impl Content {
    /// What the image of a field is recognised by.
    pub fn of_planes(planes: &[Plane]) -> Self {
        Self {
            image: planes.iter().filter_map(plane_hash).collect(),
            ..Self::default()
        }
    }

    /// [`Content::of_planes`] of planes of that size that are read by region; `go_on` is asked now
    /// and then.
    ///
    /// # Errors
    /// A plane cannot be read, or what `go_on` gives.
    pub(crate) fn of_regions(
        planes: &[PlaneRef],
        size: (usize, usize),
        go_on: &mut dyn FnMut() -> Result<(), ProjectError>,
    ) -> Result<Self, ProjectError> {
        let mut image = Vec::new();
        for plane in planes {
            image.extend(region_hash(plane, size, go_on)?);
        }
        Ok(Self {
            image,
            ..Self::default()
        })
    }

    /// The same with what its truth is recognised by.
    pub fn with_truth(mut self, classes: Option<&Image<u8>>, nuclei: Option<&Image<u32>>) -> Self {
        self.classes = classes.and_then(classes_hash);
        self.nuclei = nuclei.and_then(nuclei_hash);
        self
    }
}

/// A hash of the values of a plane, whatever type and compression they are stored in.
fn plane_hash(plane: &Plane) -> Option<String> {
    let values = plane.to_f32();
    let first = *values.data().first()?;
    if values.data().iter().all(|&value| value == first) {
        return None;
    }
    Some(hash_of("plane", values.size(), values.data(), plane_bits))
}

/// One bit pattern for every NaN, and one for both zeros.
fn plane_bits(value: f32) -> u32 {
    match value {
        value if value.is_nan() => f32::NAN.to_bits(),
        value => (value + 0.0).to_bits(),
    }
}

/// [`plane_hash`] of a plane that is read by region.
fn region_hash(
    plane: &PlaneRef,
    (height, width): (usize, usize),
    go_on: &mut dyn FnMut() -> Result<(), ProjectError>,
) -> Result<Option<String>, ProjectError> {
    const ROWS: usize = 256;
    let mut hash = begun("plane", (height, width));
    let (mut first, mut is_flat) = (None, true);
    for top in (0..height).step_by(ROWS) {
        go_on()?;
        let region = Region {
            y: top,
            x: 0,
            height: ROWS.min(height - top),
            width,
        };
        let values = plane.read_region(region)?.to_f32();
        let first = *first.get_or_insert(values.get(0, 0));
        is_flat = is_flat && values.data().iter().all(|&value| value == first);
        add_bits(&mut hash, values.data(), plane_bits);
    }
    Ok((!is_flat).then(|| hash.finish_short(HASH_BYTES)))
}

fn classes_hash(mask: &Image<u8>) -> Option<String> {
    let classes: BTreeSet<u8> = mask.data().iter().copied().collect();
    let classes = classes.into_iter().filter(|&class| class != IGNORED);
    (classes.count() > 1).then(|| hash_of("classes", mask.size(), mask.data(), u32::from))
}

/// Objects are numbered by their first pixels, so that other numbers are the same nuclei.
fn nuclei_hash(labels: &Image<u32>) -> Option<String> {
    let mut numbers: HashMap<u32, u32> = HashMap::from([(0, 0)]);
    let numbered: Vec<u32> = labels
        .data()
        .iter()
        .map(|&label| {
            let next = numbers.len() as u32;
            *numbers.entry(label).or_insert(next)
        })
        .collect();
    (numbers.len() > 1).then(|| hash_of("nuclei", labels.size(), &numbered, |label| label))
}

/// A hash of an image's size and of the bits of its values, in row-major order, in hexadecimal
/// digits; `what` parts kinds of images that may hold the same bits.
pub(crate) fn hash_of<T: Copy>(
    what: &str,
    size: (usize, usize),
    data: &[T],
    bits: impl Fn(T) -> u32,
) -> String {
    let mut hash = begun(what, size);
    add_bits(&mut hash, data, bits);
    hash.finish_short(HASH_BYTES)
}

/// The hash of an image before its values.
fn begun(what: &str, (height, width): (usize, usize)) -> Fingerprint {
    let mut hash = Fingerprint::empty();
    hash.bytes(what);
    hash.bytes((height as u64).to_le_bytes());
    hash.bytes((width as u64).to_le_bytes());
    hash
}

fn add_bits<T: Copy>(hash: &mut Fingerprint, data: &[T], bits: impl Fn(T) -> u32) {
    const PIECE: usize = 1 << 14;
    let mut bytes = Vec::with_capacity(4 * PIECE);
    for piece in data.chunks(PIECE) {
        bytes.clear();
        bytes.extend(piece.iter().flat_map(|&value| bits(value).to_le_bytes()));
        hash.bytes(&bytes);
    }
}

/// What a field of a study is recognised by.
///
/// # Errors
/// Its brightfield or its truth cannot be read.
pub(crate) fn content_of(
    study: &Study,
    source: &Source,
    field: &Field,
) -> Result<Content, ProjectError> {
    let mut image = Vec::new();
    for (channel, z) in source.brightfield.planes_of(field)? {
        image.extend(remembered(field, channel, z)?.hash);
    }
    let content = Content {
        image,
        ..Content::default()
    };
    let classes = read_class_mask(&study.class_mask_path(&field.name))?;
    let nuclei = read_labels(&study.nuclei_path(&field.name))?;
    Ok(content.with_truth(Some(&classes), Some(&nuclei)))
}

/// Largest count that the format of a field's brightfield can hold, as a training goes by it.
///
/// # Errors
/// Its brightfield cannot be read.
pub(crate) fn full_range_of(source: &Source, field: &Field) -> Result<f32, ProjectError> {
    let planes = source.brightfield.planes_of(field)?;
    let first = planes
        .first()
        .map(|&(channel, z)| remembered(field, channel, z));
    Ok(first.transpose()?.map_or(1.0, |facts| facts.full_range))
}

/// What is remembered of a plane.
#[derive(Clone)]
struct PlaneFacts {
    hash: Option<String>,
    full_range: f32,
}

/// The facts of a plane. It is read once by a program, unless its stamp changes: every run of an
/// experiment asks for the same ones.
fn remembered(field: &Field, channel: usize, z: usize) -> Result<PlaneFacts, ProjectError> {
    static REMEMBERED: Mutex<BTreeMap<Stamp, PlaneFacts>> = Mutex::new(BTreeMap::new());
    let known = || REMEMBERED.lock().unwrap_or_else(PoisonError::into_inner);
    let plane = field.planes[channel][z].as_ref();
    let stamp = plane.and_then(|plane| plane.stamp().ok());
    if let Some(found) = stamp.as_ref().and_then(|key| known().get(key).cloned()) {
        return Ok(found);
    }
    let plane = field.read(channel, z)?;
    let facts = PlaneFacts {
        hash: plane_hash(&plane),
        full_range: full_range(&plane),
    };
    if let Some(stamp) = stamp {
        known().insert(stamp, facts.clone());
    }
    Ok(facts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use stainfree_image::{OpenOptions, write};

    #[test]
    fn the_type_that_values_are_stored_in_does_not_matter_and_the_values_do() {
        let narrow = Image::from_fn(4, 6, |y, x| (y * 6 + x) as u8);
        let hashes: Vec<_> = [
            Plane::U8(narrow.clone()),
            Plane::U16(narrow.map(|&v| u16::from(v))),
            Plane::F32(narrow.map(|&v| f32::from(v))),
        ]
        .iter()
        .map(plane_hash)
        .collect();
        assert!(hashes[0].is_some() && hashes.iter().all(|hash| *hash == hashes[0]));
        let turned = Image::from_fn(6, 4, |y, x| (y * 4 + x) as u8);
        assert_ne!(
            plane_hash(&Plane::U8(turned)),
            hashes[0],
            "another shape of the same values"
        );
        let mut other = narrow.clone();
        other.data_mut()[5] += 1;
        assert_ne!(plane_hash(&Plane::U8(other)), hashes[0]);
        assert_eq!(plane_hash(&Plane::U8(narrow.map(|_| 3))), None, "flat");
    }

    #[test]
    fn a_plane_that_is_read_by_region_is_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tif");
        for value in [3, 600] {
            let plane = Image::from_fn(600, 7, |y, x| (y * value / 600 * 7 + x * value / 7) as u16);
            write::plane_u16(&path, &plane, &write::Note::default()).unwrap();
            let set = stainfree_image::open(&path, &OpenOptions::default()).unwrap();
            let sources = [set.fields[0].plane(0, 0).unwrap().clone()];
            let found = Content::of_regions(&sources, plane.size(), &mut || Ok(())).unwrap();
            assert_eq!(found, Content::of_planes(&[Plane::U16(plane)]));
        }
    }

    #[test]
    fn numbers_of_nuclei_mean_nothing_and_their_borders_do() {
        let labels = |values: [u32; 6]| nuclei_hash(&Image::new(1, 6, values.to_vec()));
        let first = labels([1, 1, 2, 2, 0, 3]);
        assert_eq!(first, labels([9, 9, 4, 4, 0, 70_000]));
        assert_ne!(first, labels([1, 1, 1, 1, 0, 3]), "two are one");
        assert_eq!(labels([0; 6]), None, "no nucleus is no mark");
        assert_eq!(classes_hash(&Image::new(1, 3, vec![0, 0, 255])), None);
        assert!(classes_hash(&Image::new(1, 3, vec![0, 1, 255])).is_some());
    }
}
