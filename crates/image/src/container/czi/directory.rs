//! The segments of a CZI file, and the list of its blocks of pixels.
//!
//! A file is a chain of segments, each with a head of 32 bytes: name (16), bytes it has room for
//! and bytes that are used (int64 each; the latter may be 0 in early versions). The first one,
//! `ZISRAWFILE`, says where the others lie. `ZISRAWDIRECTORY` has the number of its entries and
//! from byte 128 on the entries: `DV`, pixel type, position, file part, compression, kind of
//! pyramid (1 byte), 5 spare bytes, number of dimensions, then for each of these its letter (4
//! bytes), start, size, a float, stored size, all int32 but the position (int64). Every block
//! repeats its entry at byte 16; where the two differ, the directory is right. A stored size of 0
//! means that it is the size. Read from real files, libCZI's `CziParse.cpp` and
//! `resolution_protocol.markdown`, and the published description of the format.

use std::collections::BTreeMap;

use crate::ImageError;
use crate::container::{Bytes, MOST_PLANES};

/// Bytes of the head of a segment.
pub(super) const HEAD: u64 = 32;
/// Bytes of an entry without its dimensions.
const ENTRY: u64 = 32;
/// Bytes of a dimension.
const DIMENSION: u64 = 20;
/// More dimensions than there are letters are damage.
const MOST_DIMENSIONS: i32 = 64;
/// Bytes of the longest directory that is read: a million blocks take a fifth of it.
const MOST_BYTES: u64 = 1 << 30;

/// Most segments that are searched: those of [`MOST_PLANES`] blocks.
const MOST_SEGMENTS: usize = MOST_PLANES;

/// The int32 at byte `at`.
pub(super) fn int(bytes: &[u8], at: usize) -> Option<i32> {
    let four = bytes.get(at..)?.first_chunk::<4>()?;
    Some(i32::from_le_bytes(*four))
}

/// The int64 at byte `at`.
pub(super) fn long(bytes: &[u8], at: usize) -> Option<i64> {
    let eight = bytes.get(at..)?.first_chunk::<8>()?;
    Some(i64::from_le_bytes(*eight))
}

/// The head of a segment.
struct Segment {
    name: String,
    room: u64,
    used: u64,
}

impl Segment {
    fn at(bytes: &mut Bytes<'_>, position: u64) -> Result<Self, ImageError> {
        let head = bytes.at(position, HEAD, "segment")?;
        let size = |at| long(&head, at).and_then(|size| u64::try_from(size).ok());
        let (Some(room), Some(used)) = (size(16), size(24)) else {
            return Err(bytes.broken(format!("its segment at byte {position} has no size")));
        };
        let name = head.iter().take(16).take_while(|&&byte| byte != 0);
        Ok(Self {
            name: name.map(|&byte| char::from(byte)).collect(),
            room,
            used,
        })
    }
}

/// The bytes of the segment `name` at `position`, without its head, as far as they are used;
/// `most` of them.
pub(super) fn content(
    bytes: &mut Bytes<'_>,
    position: u64,
    name: &str,
    most: u64,
) -> Result<Vec<u8>, ImageError> {
    let segment = Segment::at(bytes, position)?;
    if segment.name != name {
        return Err(bytes.broken(format!("it has no `{name}` at byte {position}")));
    }
    let count = match segment.used {
        0 => segment.room,
        used => used,
    };
    bytes.at(position + HEAD, count.min(most), "segment")
}

/// Where the parts of a file lie; `None` where it has no such part.
pub(super) struct Header {
    directory: Option<u64>,
    pub(super) description: Option<u64>,
    pub(super) attachments: Option<u64>,
    /// A program was still writing.
    pub(super) unfinished: bool,
}

const ONE_FILE: &str = "save it as one file in ZEN, or export it as OME-TIFF";

impl Header {
    /// # Errors
    /// [`ImageError::Broken`] for what is no CZI file, [`ImageError::NotSupported`] for another
    /// version and for a data set of several files.
    pub(super) fn read(bytes: &mut Bytes<'_>) -> Result<Self, ImageError> {
        let head = bytes.at(0, HEAD + 80, "header")?;
        if !head.starts_with(b"ZISRAWFILE\0") {
            return Err(bytes.broken("it does not begin as a CZI file"));
        }
        let number = |at| int(&head, at).unwrap_or(0);
        if number(32) != 1 {
            return Err(ImageError::not_supported(
                bytes.path,
                format!("it is version `{}.{}` of CZI", number(32), number(36)),
                "export it as OME-TIFF from ZEN",
            ));
        }
        if number(80) != 0 {
            return Err(in_several_files(bytes));
        }
        let position = |at| {
            let position = long(&head, at).and_then(|position| u64::try_from(position).ok());
            position.filter(|&position| position > 0)
        };
        Ok(Self {
            directory: position(84),
            description: position(92),
            attachments: position(104),
            unfinished: number(100) != 0,
        })
    }
}

fn in_several_files(bytes: &Bytes<'_>) -> ImageError {
    ImageError::not_supported(
        bytes.path,
        "it is a part of a data set of several files",
        ONE_FILE,
    )
}

/// Start, size and stored size along x or y.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Span {
    start: i32,
    size: i32,
    stored: i32,
}

/// What an entry says of a block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) pixel: i32,
    pub(super) compression: i32,
    position: i64,
    part: i32,
    x: Span,
    y: Span,
    /// Where it stands in each other dimension.
    places: Vec<(char, i32)>,
}

impl Entry {
    /// The entry that begins with `head`, whose dimensions are `dimensions`; the error says what is
    /// wrong with it.
    fn of(head: &[u8], dimensions: &[u8]) -> Result<Self, String> {
        if !head.starts_with(b"DV") {
            return Err("it does not begin with `DV`".into());
        }
        let mut entry = Self {
            pixel: int(head, 2).unwrap_or(-1),
            position: long(head, 6).unwrap_or(-1),
            part: int(head, 14).unwrap_or(0),
            compression: int(head, 18).unwrap_or(-1),
            ..Self::default()
        };
        for dimension in dimensions.chunks_exact(DIMENSION as usize) {
            let letter = char::from(dimension[0]);
            let number = |at| int(dimension, at).unwrap_or(0);
            let (start, size) = (number(4), number(8));
            let stored = match number(16) {
                0 => size,
                stored => stored,
            };
            let span = Span {
                start,
                size,
                stored,
            };
            match letter {
                'X' => entry.x = span,
                'Y' => entry.y = span,
                _ if !letter.is_ascii_uppercase() => return Err("a dimension has no name".into()),
                _ if size > 1 => return Err(format!("it spans `{size}` along `{letter}`")),
                _ => entry.places.push((letter, start)),
            }
        }
        let sizes = [entry.x.size, entry.y.size, entry.x.stored, entry.y.stored];
        if sizes.iter().any(|&size| size <= 0) {
            let [width, height, ..] = sizes;
            return Err(format!("its block has {height} x {width} pixels"));
        }
        Ok(entry)
    }

    /// The entry that the block at `position` has of itself, and where what follows it begins.
    pub(super) fn in_block(
        bytes: &mut Bytes<'_>,
        position: u64,
    ) -> Result<(Self, u64), ImageError> {
        /// Bytes before the dimensions: sizes of what follows, and the entry.
        const FIXED: u64 = 16 + ENTRY;
        let head = bytes.at(position, HEAD + FIXED, "block")?;
        let bad = |what: &str| bytes.broken(format!("its block at byte {position}: {what}"));
        if !head.starts_with(b"ZISRAWSUBBLOCK\0") {
            return Err(bad("it is no block of pixels"));
        }
        let entry = &head[(HEAD + 16) as usize..];
        let count = int(entry, 28).filter(|count| (0..=MOST_DIMENSIONS).contains(count));
        let Some(count) = count else {
            return Err(bad("its dimensions cannot be counted"));
        };
        let length = DIMENSION * u64::from(count.unsigned_abs());
        let dimensions = bytes.at(position + HEAD + FIXED, length, "block")?;
        let entry = Self::of(entry, &dimensions);
        let bad = |what: String| bytes.broken(format!("its block at byte {position}: {what}"));
        // The entry has room for ten dimensions, and takes more where it has more.
        Ok((
            entry.map_err(bad)?,
            position + HEAD + (FIXED + length).max(256),
        ))
    }

    /// Stored height and width.
    pub(super) fn stored(&self) -> (i32, i32) {
        (self.y.stored, self.x.stored)
    }

    /// Where it stands along `letter`; `None` where that is left out.
    fn along(&self, letter: char) -> Option<i32> {
        let mut places = self.places.iter();
        places
            .find(|place| place.0 == letter)
            .map(|&(_, start)| start)
    }
}

/// A block of pixels in full resolution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) position: u64,
    pub(super) pixel: i32,
    pub(super) compression: i32,
    /// `None` where the file has no scenes.
    pub(super) scene: Option<i32>,
    /// Its number in a mosaic: higher ones lie on top.
    pub(super) tile: Option<i32>,
    pub(super) channel: i32,
    pub(super) plane: i32,
    pub(super) time: i32,
    /// In pixels of the stage; at most as far as the two go together.
    pub(super) left: i32,
    pub(super) top: i32,
    pub(super) width: u32,
    pub(super) height: u32,
}

/// The blocks of a file.
#[derive(Default)]
pub(super) struct Directory {
    /// In the order of the file.
    pub(super) blocks: Vec<Block>,
    /// Number of those that show others smaller.
    pub(super) reduced: usize,
    /// The first and last place along dimensions that are no part of an image here.
    pub(super) others: BTreeMap<char, (i32, i32)>,
    /// Where the description was met, if the file had to be searched.
    pub(super) description: Option<u64>,
    pub(super) problems: Vec<String>,
    /// Entries that cannot be used, and what is wrong with the first.
    unusable: usize,
    fault: String,
}

impl Directory {
    /// Reads the list of blocks or, where there is none, searches them one after the other.
    ///
    /// # Errors
    /// [`ImageError::Broken`] if it cannot be followed, [`ImageError::NotSupported`] where blocks
    /// lie in other files.
    pub(super) fn read(bytes: &mut Bytes<'_>, header: &Header) -> Result<Self, ImageError> {
        let mut directory = match header.directory {
            Some(position) => Self::listed(bytes, position)?,
            None => Self::default(),
        };
        if directory.blocks.len() + directory.reduced + directory.unusable == 0 {
            directory = Self::searched(bytes)?;
        }
        if directory.unusable > 0 {
            directory.problems.push(format!(
                "`{}` of its blocks are left out, as their entries are damaged (of the first: {})",
                directory.unusable, directory.fault
            ));
        }
        Ok(directory)
    }

    fn listed(bytes: &mut Bytes<'_>, position: u64) -> Result<Self, ImageError> {
        const FIRST: usize = 128;
        let list = content(bytes, position, "ZISRAWDIRECTORY", MOST_BYTES)?;
        let count = int(&list, 0).and_then(|count| usize::try_from(count).ok());
        let Some(count) = count else {
            return Err(bytes.broken("its list of blocks cannot be counted"));
        };
        let mut directory = Self::default();
        let mut rest = list.get(FIRST..).unwrap_or_default();
        for number in 0..count {
            let dimensions = int(rest, 28).filter(|n| (0..=MOST_DIMENSIONS).contains(n));
            let length = dimensions.map(|n| (DIMENSION * u64::from(n.unsigned_abs())) as usize);
            let split = length.and_then(|length| rest.split_at_checked(ENTRY as usize + length));
            let Some((entry, after)) = split else {
                return Err(bytes.broken(format!(
                    "its list of blocks cannot be followed after `{number}` of `{count}` entries"
                )));
            };
            let (head, dimensions) = entry.split_at(ENTRY as usize);
            directory.add(bytes, Entry::of(head, dimensions), None)?;
            rest = after;
        }
        Ok(directory)
    }

    /// The chain of segments is followed as far as it goes, as where an acquisition was cut off
    /// before the list was written.
    fn searched(bytes: &mut Bytes<'_>) -> Result<Self, ImageError> {
        let mut directory = Self::default();
        let mut position = 0;
        for _ in 0..MOST_SEGMENTS {
            let Ok(segment) = Segment::at(bytes, position) else {
                break;
            };
            let known = segment.name.starts_with("ZISRAW") || segment.name == "DELETED";
            let end = (position + HEAD).checked_add(segment.room);
            let Some(end) = end.filter(|&end| known && end <= bytes.length) else {
                break;
            };
            if segment.name == "ZISRAWSUBBLOCK" {
                let entry = Entry::in_block(bytes, position);
                let entry = entry.map(|(entry, _)| entry);
                let entry = entry.map_err(|error| error.to_string());
                directory.add(bytes, entry, Some(position))?;
            } else if segment.name == "ZISRAWMETADATA" {
                directory.description = Some(position);
            }
            position = end;
        }
        directory.problems.push(format!(
            "its list of blocks is missing, as where an acquisition was cut off; `{}` were found",
            directory.blocks.len() + directory.reduced
        ));
        Ok(directory)
    }

    /// Takes an entry in; `found` is where its block was found, if not by the entry.
    fn add(
        &mut self,
        bytes: &Bytes<'_>,
        entry: Result<Entry, String>,
        found: Option<u64>,
    ) -> Result<(), ImageError> {
        let entry = match entry {
            Ok(entry) => entry,
            Err(fault) => {
                self.unusable += 1;
                if self.unusable == 1 {
                    self.fault = fault;
                }
                return Ok(());
            }
        };
        if entry.part != 0 && found.is_none() {
            return Err(in_several_files(bytes));
        }
        if entry.x.stored < entry.x.size || entry.y.stored < entry.y.size {
            self.reduced += 1;
            return Ok(());
        }
        if entry.x.stored != entry.x.size || entry.y.stored != entry.y.size {
            let fault = "its block has more pixels than it shows".into();
            return self.add(bytes, Err(fault), found);
        }
        let position = found.or_else(|| u64::try_from(entry.position).ok());
        let Some(position) = position else {
            return self.add(bytes, Err("its block lies nowhere".into()), found);
        };
        for &(letter, place) in &entry.places {
            if !"SCZTM".contains(letter) {
                let range = self.others.entry(letter).or_insert((place, place));
                *range = (range.0.min(place), range.1.max(place));
            }
        }
        // libCZI takes the outermost numbers for none.
        let tile = entry.along('M');
        let tile = tile.filter(|tile| ![i32::MIN, i32::MAX].contains(tile));
        self.blocks.push(Block {
            position,
            pixel: entry.pixel,
            compression: entry.compression,
            scene: entry.along('S'),
            tile,
            channel: entry.along('C').unwrap_or(0),
            plane: entry.along('Z').unwrap_or(0),
            time: entry.along('T').unwrap_or(0),
            left: entry.x.start,
            top: entry.y.start,
            width: entry.x.size.unsigned_abs(),
            height: entry.y.size.unsigned_abs(),
        });
        Ok(())
    }
}
