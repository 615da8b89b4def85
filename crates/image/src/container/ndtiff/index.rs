//! The index of an NDTiff data set: an entry for each image, one after the other.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::Value;

use crate::ImageError;
use crate::container::{Bytes, MOST_PLANES};
use crate::names::natural_order;

/// Longest index that is read; an entry takes 100 bytes.
const MOST_BYTES: u64 = 1 << 30;
/// Bytes of the numbers behind the axes and the file's name.
const NUMBERS: usize = 32;

/// Where an image stands along an axis.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum At {
    Number(i64),
    Name(String),
}

impl Ord for At {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => a.cmp(b),
            (Self::Name(a), Self::Name(b)) => natural_order(a, b),
            (Self::Number(_), Self::Name(_)) => Ordering::Less,
            (Self::Name(_), Self::Number(_)) => Ordering::Greater,
        }
    }
}

impl PartialOrd for At {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl std::fmt::Display for At {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

/// Axes by their names in small letters, as programs differ in case.
pub(super) type Axes = BTreeMap<String, At>;

/// One image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) axes: Axes,
    pub(super) file: String,
    pub(super) pixels: u64,
    /// Height and width.
    pub(super) size: (usize, usize),
    pub(super) kind: u32,
    pub(super) is_compressed: bool,
    /// First byte and length of its metadata, where these are not compressed.
    pub(super) metadata: Option<(u64, u64)>,
}

/// What stands in an index.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// In their order, of several for the same axes the last.
    pub(super) entries: Vec<Entry>,
    /// Files and pixels of those that have a later one.
    pub(super) replaced: HashSet<(String, u64)>,
    pub(super) problems: Vec<String>,
}

/// Reads an index as far as it is in order.
///
/// # Errors
/// [`ImageError::Broken`] if it has none, [`ImageError::TooLarge`], [`ImageError::Read`].
pub(super) fn read(file: &mut Bytes<'_>) -> Result<Index, ImageError> {
    let path = file.path.to_path_buf();
    let too_large = |what: String, cap: String| ImageError::TooLarge {
        path: path.clone(),
        what,
        cap,
        way_out: "save it in several data sets",
    };
    if file.length > MOST_BYTES {
        return Err(too_large(
            format!("it has {} bytes", file.length),
            format!("{MOST_BYTES} bytes"),
        ));
    }
    let bytes = file.at(0, file.length, "entries")?;
    let mut index = Index::default();
    let mut known: HashMap<Axes, usize> = HashMap::new();
    let (mut rest, mut again) = (bytes.as_slice(), 0);
    while !rest.is_empty() {
        let (entry, behind) = match entry(rest) {
            Ok(read) => read,
            Err(what) => {
                let count = index.entries.len() + again;
                let said = format!("its index ends after {count} entries, since {what}");
                index.problems.push(said);
                break;
            }
        };
        rest = behind;
        match known.get(&entry.axes) {
            Some(&first) => {
                again += 1;
                let earlier = std::mem::replace(&mut index.entries[first], entry);
                index.replaced.insert((earlier.file, earlier.pixels));
            }
            None if index.entries.len() == MOST_PLANES => {
                let (what, cap) = ("it has more entries", format!("{MOST_PLANES} entries"));
                return Err(too_large(what.into(), cap));
            }
            None => {
                known.insert(entry.axes.clone(), index.entries.len());
                index.entries.push(entry);
            }
        }
    }
    if index.entries.is_empty() {
        let why = index.problems.pop();
        return Err(file.broken(why.unwrap_or("it is empty".into())));
    }
    if again > 0 {
        index.problems.push(format!(
            "{again} entries of its index have a later one for the same image, which counts"
        ));
    }
    Ok(index)
}

/// The first entry, and what follows it; else what is wrong.
fn entry(bytes: &[u8]) -> Result<(Entry, &[u8]), &'static str> {
    let (axes, rest) = text(bytes)?;
    if axes.is_empty() {
        return Err("an empty one follows; the acquisition may not have ended");
    }
    let (name, rest) = text(rest)?;
    let (numbers, rest) = rest.split_at_checked(NUMBERS).ok_or(CUT)?;
    let number = |k: usize| {
        let piece = numbers[4 * k..].first_chunk().copied();
        u32::from_le_bytes(piece.unwrap_or_default())
    };
    let not_axes = "its axes are no JSON object of numbers and names";
    let axes: BTreeMap<String, Value> = serde_json::from_slice(axes).map_err(|_| not_axes)?;
    let mut read = Axes::new();
    for (axis, value) in axes {
        let at = match value {
            Value::Number(number) => match number.as_i64() {
                Some(number) => At::Number(number),
                None => At::Name(number.to_string()),
            },
            Value::String(name) => At::Name(name),
            _ => return Err(not_axes),
        };
        if read.insert(axis.to_lowercase(), at).is_some() {
            return Err("an axis is there twice");
        }
    }
    let is_plain = number(7) == 0;
    let entry = Entry {
        axes: read,
        file: String::from_utf8_lossy(name).into_owned(),
        pixels: u64::from(number(0)),
        size: (number(2) as usize, number(1) as usize),
        kind: number(3),
        is_compressed: number(4) != 0,
        metadata: is_plain.then(|| (u64::from(number(5)), u64::from(number(6)))),
    };
    Ok((entry, rest))
}

/// What is said of an index that ends too early.
const CUT: &str = "the next one is cut off or damaged";

/// A text with its length before it, and what follows.
fn text(bytes: &[u8]) -> Result<(&[u8], &[u8]), &'static str> {
    let (length, rest) = bytes.split_first_chunk().ok_or(CUT)?;
    let length = u32::from_le_bytes(*length) as usize;
    rest.split_at_checked(length).ok_or(CUT)
}
