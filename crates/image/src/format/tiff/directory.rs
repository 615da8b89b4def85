//! The structure of a TIFF file: its directories, their tags, and which of them are planes.
//!
//! Every offset and length is checked against the size of the file before memory is taken.

use std::collections::HashSet;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use super::super::{MAX_PAGES, check_size, open};
use crate::ImageError;
use crate::format::description::text;

/// Numbers of the tags that are read.
pub(super) mod tag {
    pub(crate) const NEW_SUBFILE_TYPE: u16 = 254;
    pub(crate) const WIDTH: u16 = 256;
    pub(crate) const HEIGHT: u16 = 257;
    pub(crate) const BITS_PER_SAMPLE: u16 = 258;
    pub(crate) const COMPRESSION: u16 = 259;
    pub(crate) const PHOTOMETRIC: u16 = 262;
    pub(crate) const FILL_ORDER: u16 = 266;
    pub(crate) const IMAGE_DESCRIPTION: u16 = 270;
    pub(crate) const STRIP_OFFSETS: u16 = 273;
    pub(crate) const SAMPLES_PER_PIXEL: u16 = 277;
    pub(crate) const ROWS_PER_STRIP: u16 = 278;
    pub(crate) const STRIP_BYTE_COUNTS: u16 = 279;
    pub(crate) const X_RESOLUTION: u16 = 282;
    pub(crate) const Y_RESOLUTION: u16 = 283;
    pub(crate) const PLANAR_CONFIGURATION: u16 = 284;
    pub(crate) const RESOLUTION_UNIT: u16 = 296;
    pub(crate) const PREDICTOR: u16 = 317;
    pub(crate) const TILE_WIDTH: u16 = 322;
    pub(crate) const TILE_HEIGHT: u16 = 323;
    pub(crate) const TILE_OFFSETS: u16 = 324;
    pub(crate) const TILE_BYTE_COUNTS: u16 = 325;
    pub(crate) const EXTRA_SAMPLES: u16 = 338;
    pub(crate) const SAMPLE_FORMAT: u16 = 339;
    pub(crate) const UIC1: u16 = 33628;
    pub(crate) const UIC2: u16 = 33629;
    pub(crate) const IJ_METADATA_BYTE_COUNTS: u16 = 50838;
    pub(crate) const IJ_METADATA: u16 = 50839;
    pub(crate) const MICRO_MANAGER: u16 = 51123;
    pub(crate) const HARMONY: u16 = 65500;
    pub(crate) const NIS_PIXEL_UM: u16 = 65326;
}

/// Bit 0 of NewSubfileType marks a reduced copy of another page.
const REDUCED: u64 = 1;

/// Most values of one tag, a million strips sixteen times over; more is damage.
const MAX_VALUES: u64 = 1 << 24;

/// The order of the bytes of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Little,
    Big,
}

impl Order {
    /// The unsigned number in up to eight bytes.
    pub(super) fn number(self, bytes: &[u8]) -> u64 {
        let add = |sum: u64, &byte: &u8| sum << 8 | u64::from(byte);
        match self {
            Self::Little => bytes.iter().rev().fold(0, add),
            Self::Big => bytes.iter().fold(0, add),
        }
    }
}

/// An open TIFF file.
pub(super) struct TiffFile<'a> {
    pub(super) path: &'a Path,
    pub(super) order: Order,
    /// Size of the file.
    pub(super) bytes: u64,
    reader: File,
    modified: Option<SystemTime>,
    /// Offsets have 8 bytes instead of 4.
    big: bool,
    first: u64,
}

/// One directory: what is said about one page.
pub(super) struct Directory {
    entries: Vec<Entry>,
    next: u64,
}

struct Entry {
    tag: u16,
    kind: u16,
    count: u64,
    /// The value itself if it fits, else where it lies.
    value: Vec<u8>,
}

/// Which directories are planes, in the order of the file.
pub(super) struct Index {
    pub(super) planes: Vec<Place>,
}

/// Where the directory of a plane lies, and its size.
pub(super) struct Place {
    offset: u64,
    next: u64,
    pub(super) size: (usize, usize),
}

impl<'a> TiffFile<'a> {
    pub(super) fn open(path: &'a Path) -> Result<Self, ImageError> {
        let reader = open(path)?;
        let metadata = reader
            .metadata()
            .map_err(|error| ImageError::read(path, error))?;
        let mut file = Self {
            path,
            order: Order::Little,
            bytes: metadata.len(),
            reader,
            modified: metadata.modified().ok(),
            big: false,
            first: 0,
        };
        let start = file.read(0, 8)?;
        if start[0] == b'M' {
            file.order = Order::Big;
        }
        file.big = file.order.number(&start[2..4]) == 43;
        file.first = if file.big {
            if file.order.number(&start[4..6]) != 8 {
                return Err(file.broken("its offsets are of an unknown size"));
            }
            file.offset_at(8)?
        } else {
            file.order.number(&start[4..8])
        };
        Ok(file)
    }

    pub(super) fn broken(&self, what: impl Into<String>) -> ImageError {
        ImageError::broken(self.path, what)
    }

    /// `length` bytes from `offset`.
    pub(super) fn read(&mut self, offset: u64, length: u64) -> Result<Vec<u8>, ImageError> {
        if offset
            .checked_add(length)
            .is_none_or(|end| end > self.bytes)
        {
            return Err(self.broken("the file ends too early"));
        }
        let mut bytes = vec![0; length as usize];
        self.reader
            .seek(SeekFrom::Start(offset))
            .and_then(|_| self.reader.read_exact(&mut bytes))
            .map_err(|error| ImageError::read(self.path, error))?;
        Ok(bytes)
    }

    fn offset_at(&mut self, at: u64) -> Result<u64, ImageError> {
        let bytes = self.read(at, if self.big { 8 } else { 4 })?;
        Ok(self.order.number(&bytes))
    }

    /// The first directory.
    pub(super) fn first(&mut self) -> Result<Directory, ImageError> {
        self.directory(self.first)
    }

    fn directory(&mut self, offset: u64) -> Result<Directory, ImageError> {
        let (count_bytes, entry_bytes, offset_bytes) =
            if self.big { (8, 20, 8) } else { (2, 12, 4) };
        // Directories of images have some twenty tags: one look mostly gets the whole of it.
        let ahead = 1024.min(self.bytes.saturating_sub(offset));
        let mut bytes = self.read(offset, ahead.max(count_bytes))?;
        let count = self.order.number(&bytes[..count_bytes as usize]);
        let length = count
            .checked_mul(entry_bytes)
            .and_then(|entries| entries.checked_add(count_bytes + offset_bytes))
            .ok_or_else(|| self.broken("a directory claims more tags than can be there"))?;
        if length > bytes.len() as u64 {
            bytes = self.read(offset, length)?;
        }
        let order = self.order;
        let entries = bytes[count_bytes as usize..]
            .chunks_exact(entry_bytes as usize)
            .take(count as usize)
            .map(|entry| {
                let (tag, rest) = entry.split_at(2);
                let (kind, rest) = rest.split_at(2);
                let (count, value) = rest.split_at(offset_bytes as usize);
                Entry {
                    tag: order.number(tag) as u16,
                    kind: order.number(kind) as u16,
                    count: order.number(count),
                    value: value.to_vec(),
                }
            })
            .collect();
        let next = &bytes[(length - offset_bytes) as usize..length as usize];
        Ok(Directory {
            entries,
            next: order.number(next),
        })
    }

    /// The bytes of a tag's value; an error if they lie outside of the file.
    fn value(&mut self, entry: &Entry) -> Result<Vec<u8>, ImageError> {
        let length = entry
            .count
            .checked_mul(width_of(entry.kind))
            .ok_or_else(|| self.broken("a tag claims more bytes than can be there"))?;
        if length <= entry.value.len() as u64 {
            return Ok(entry.value[..length as usize].to_vec());
        }
        self.read(self.order.number(&entry.value), length)
    }

    /// The bytes of the first tag of this number, if it is there and sound.
    pub(super) fn bytes_of(&mut self, directory: &Directory, tag: u16) -> Option<Vec<u8>> {
        let entry = directory.entry(tag)?;
        self.value(entry).ok()
    }

    /// What lies where a tag points to, `width` bytes for each of its values: MetaMorph's tags hold
    /// more than their types say.
    pub(super) fn elsewhere(
        &mut self,
        directory: &Directory,
        tag: u16,
        width: u64,
    ) -> Option<Vec<u8>> {
        let entry = directory.entry(tag)?;
        let length = entry.count.checked_mul(width)?;
        self.read(self.order.number(&entry.value), length).ok()
    }

    /// The whole numbers of a tag; empty where it is absent.
    ///
    /// # Errors
    /// The values lie outside of the file, or are no whole numbers.
    pub(super) fn numbers(
        &mut self,
        directory: &Directory,
        tag: u16,
    ) -> Result<Vec<u64>, ImageError> {
        let Some(entry) = directory.entry(tag) else {
            return Ok(Vec::new());
        };
        // Bytes, signed or not, and offsets; signed ones below zero become large and are refused
        // where they are used.
        let whole = matches!(entry.kind, 1 | 3 | 4 | 6 | 8 | 9 | 13 | 16 | 17 | 18);
        if !whole || entry.count > MAX_VALUES {
            return Err(self.broken(format!("its tag {tag} holds no usable numbers")));
        }
        let width = width_of(entry.kind) as usize;
        let order = self.order;
        let bytes = self.value(entry)?;
        let numbers = bytes.chunks_exact(width);
        Ok(numbers.map(|bytes| order.number(bytes)).collect())
    }

    /// The first whole number of a tag.
    ///
    /// # Errors
    /// As [`numbers`](Self::numbers).
    pub(super) fn number(
        &mut self,
        directory: &Directory,
        tag: u16,
    ) -> Result<Option<u64>, ImageError> {
        Ok(self.numbers(directory, tag)?.first().copied())
    }

    /// How many values a tag has; 0 where it is absent.
    pub(super) fn count_of(directory: &Directory, tag: u16) -> u64 {
        directory.entry(tag).map_or(0, |entry| entry.count)
    }

    /// The first value of a tag that holds fractions or floats.
    pub(super) fn fraction(&mut self, directory: &Directory, tag: u16) -> Option<f64> {
        let kind = directory.entry(tag)?.kind;
        let bytes = self.bytes_of(directory, tag)?;
        let first = bytes.get(..width_of(kind).max(1) as usize)?;
        let order = self.order;
        Some(match kind {
            5 => order.number(&first[..4]) as f64 / order.number(&first[4..]) as f64,
            10 => {
                let signed = |bytes: &[u8]| f64::from(order.number(bytes) as u32 as i32);
                signed(&first[..4]) / signed(&first[4..])
            }
            11 => f64::from(f32::from_bits(order.number(first) as u32)),
            12 => f64::from_bits(order.number(first)),
            1 | 3 | 4 | 16 => order.number(first) as f64,
            _ => return None,
        })
    }

    /// All texts of a tag, which may be there several times: Micro-Manager writes OME-XML and
    /// ImageJ's description into one directory.
    pub(super) fn texts(&mut self, directory: &Directory, tag: u16) -> Vec<String> {
        let entries = directory.entries.iter().filter(|entry| entry.tag == tag);
        entries
            .filter_map(|entry| self.value(entry).ok())
            .map(|bytes| text(&bytes))
            .collect()
    }

    /// The first text of a tag that begins in this way; long texts that do not are not read.
    pub(super) fn text_beginning(
        &mut self,
        directory: &Directory,
        tag: u16,
        start: &str,
    ) -> Option<String> {
        let entries = directory.entries.iter().filter(|entry| entry.tag == tag);
        entries.into_iter().find_map(|entry| {
            let length = start.len() as u64;
            let offset = self.order.number(&entry.value);
            let begins = entry.count >= length
                && width_of(entry.kind) == 1
                && self.read(offset, length).ok()? == start.as_bytes();
            begins.then(|| self.value(entry).ok().map(|bytes| text(&bytes)))?
        })
    }

    /// `(height, width)`, within the cap.
    pub(super) fn size(&mut self, directory: &Directory) -> Result<(usize, usize), ImageError> {
        let mut side = |tag, name: &str| {
            self.number(directory, tag)?
                .ok_or_else(|| self.broken(format!("a page states no {name}")))
        };
        let width = side(tag::WIDTH, "width")?;
        let height = side(tag::HEIGHT, "height")?;
        check_size(self.path, height, width)?;
        Ok((height as usize, width as usize))
    }

    /// Which directories are planes: all but the reduced copies of a pyramid.
    ///
    /// Going through all directories takes as long as there are many; the result is remembered for
    /// the files that were looked at last, so that reading all their planes takes time in
    /// proportion.
    pub(super) fn index(&mut self) -> Result<Arc<Index>, ImageError> {
        let index = Arc::new(self.walk()?);
        remember(self, &index);
        Ok(index)
    }

    fn walk(&mut self) -> Result<Index, ImageError> {
        let mut planes = Vec::new();
        let mut seen = HashSet::new();
        let mut offset = self.first;
        while offset != 0 {
            if !seen.insert(offset) {
                return Err(self.broken("its directories go round in a circle"));
            }
            let directory = self.directory(offset)?;
            let size = self.size(&directory)?;
            let kind = self.number(&directory, tag::NEW_SUBFILE_TYPE);
            // The first page is one in any case: a file has at least one plane.
            let reduced = matches!(kind, Ok(Some(bits)) if bits & REDUCED != 0);
            if planes.is_empty() || !reduced {
                planes.push(Place {
                    offset,
                    next: directory.next,
                    size,
                });
            }
            if planes.len() > MAX_PAGES {
                return Err(too_many_pages(self.path, planes.len()));
            }
            offset = directory.next;
        }
        match planes.is_empty() {
            true => Err(self.broken("it has no page")),
            false => Ok(Index { planes }),
        }
    }

    /// The directory of a plane; `None` if the file is no longer the one of the index.
    fn directory_at(&mut self, place: &Place) -> Option<Directory> {
        let directory = self.directory(place.offset).ok()?;
        let same = directory.next == place.next && self.size(&directory).ok()? == place.size;
        same.then_some(directory)
    }

    /// How many directories are planes.
    pub(super) fn planes(&mut self) -> Result<usize, ImageError> {
        match recall(self) {
            Some(index) => Ok(index.planes.len()),
            None => Ok(self.index()?.planes.len()),
        }
    }

    /// The directory of plane `page`, if there are so many.
    pub(super) fn plane(&mut self, page: usize) -> Result<Option<Directory>, ImageError> {
        if page == 0 {
            return self.first().map(Some);
        }
        // Another file may lie under the name of one that is remembered.
        if let Some(index) = recall(self)
            && let Some(place) = index.planes.get(page)
            && let Some(directory) = self.directory_at(place)
        {
            return Ok(Some(directory));
        }
        match self.index()?.planes.get(page) {
            Some(place) => self.directory(place.offset).map(Some),
            None => Ok(None),
        }
    }
}

impl Directory {
    fn entry(&self, tag: u16) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.tag == tag)
    }

    /// Whether the directory has a tag of this number.
    pub(super) fn has(&self, tag: u16) -> bool {
        self.entry(tag).is_some()
    }
}

/// Bytes of one value of a type; 0 for types that no reader knows.
fn width_of(kind: u16) -> u64 {
    match kind {
        1 | 2 | 6 | 7 | 129 => 1,
        3 | 8 => 2,
        4 | 9 | 11 | 13 => 4,
        5 | 10 | 12 | 16 | 17 | 18 => 8,
        _ => 0,
    }
}

pub(super) fn too_many_pages(path: &Path, pages: usize) -> ImageError {
    ImageError::TooLarge {
        path: path.to_path_buf(),
        what: format!("it states {pages} planes"),
        cap: format!("{MAX_PAGES} planes"),
        way_out: "split it into several files",
    }
}

/// A file as it was when its index was made.
struct Known {
    path: PathBuf,
    bytes: u64,
    modified: Option<SystemTime>,
    first: u64,
    index: Arc<Index>,
}

/// The indices of the files read last; as many as a few threads work on at once.
static RECENT: Mutex<Vec<Known>> = Mutex::new(Vec::new());
const RECENT_FILES: usize = 16;

fn recall(file: &TiffFile<'_>) -> Option<Arc<Index>> {
    let recent = RECENT.lock().unwrap_or_else(PoisonError::into_inner);
    let known = recent.iter().find(|known| known.path == file.path)?;
    let same =
        known.bytes == file.bytes && known.modified == file.modified && known.first == file.first;
    same.then(|| known.index.clone())
}

fn remember(file: &TiffFile<'_>, index: &Arc<Index>) {
    let mut recent = RECENT.lock().unwrap_or_else(PoisonError::into_inner);
    recent.retain(|known| known.path != file.path);
    // One page is found without an index.
    if index.planes.len() == 1 {
        return;
    }
    if recent.len() >= RECENT_FILES {
        recent.remove(0);
    }
    recent.push(Known {
        path: file.path.to_path_buf(),
        bytes: file.bytes,
        modified: file.modified,
        first: file.first,
        index: index.clone(),
    });
}
