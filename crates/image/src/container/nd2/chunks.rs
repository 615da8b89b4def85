//! The chunks of an ND2 file, and the map that says where they lie.
//!
//! A chunk is a signature, the length of its name, the length of its data (u32, u32, u64, little
//! endian), its name up to and including `!`, padding that counts as name, and its data. It begins
//! at a multiple of 4,096. The last 40 bytes of a file say where the map is, a chunk of its own:
//! name, offset and size of each chunk, in the order of the text of the names. The stated sizes are
//! wrong in some files (an issue of Bio-Formats), so those of the chunks themselves count. A
//! recording that was cut off has no map; its chunks are found one after the other.

use std::collections::BTreeMap;

use crate::ImageError;
use crate::container::{Bytes, MOST_PLANES};

const SIGNATURE: u32 = 0x0abe_ceda;
/// Signature and both lengths.
const HEADER: u64 = 16;
const MAP: &[u8] = b"ND2 FILEMAP SIGNATURE NAME 0001!";
const END_OF_MAP: &[u8] = b"ND2 CHUNK MAP SIGNATURE 0000001!";
/// Of the signature and the place of the map, at the end of a file.
const FOOTER: u64 = 40;
const BLOCK: u64 = 4096;
const FRAME: &str = "ImageDataSeq|";
/// Longest name that is looked at; none that is needed is longer.
const MOST_NAME: u64 = 64;
/// A map of [`MOST_PLANES`] frames has 150 MB.
const MOST_MAP: u64 = 256 << 20;

/// What is needed of the chunks: those of the description by name, and the frames by number.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    named: BTreeMap<String, u64>,
    pub(super) frames: BTreeMap<u64, u64>,
}

/// Where the data of one chunk lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) offset: u64,
    pub(super) length: u64,
}

impl Chunks {
    /// From the map, or by going through the file where there is none, or where it leaves out
    /// frames among others.
    ///
    /// # Errors
    /// [`ImageError::Read`], [`ImageError::Broken`].
    pub(super) fn of(
        bytes: &mut Bytes<'_>,
        problems: &mut Vec<String>,
    ) -> Result<Self, ImageError> {
        let Some(mut mapped) = Self::mapped(bytes)? else {
            let met = Self::met(bytes)?;
            problems.push(format!(
                "its map of chunks is missing or damaged, as of a recording that was cut off; {} \
                 frames were found without it",
                met.frames.len()
            ));
            return Ok(met);
        };
        let last = mapped.frames.keys().next_back();
        let has_holes = last.is_some_and(|last| mapped.frames.len() as u64 <= *last);
        if has_holes {
            for (number, offset) in Self::met(bytes)?.frames {
                mapped.frames.entry(number).or_insert(offset);
            }
        }
        Ok(mapped)
    }

    /// What the map lists; `None` where there is none that can be read.
    fn mapped(bytes: &mut Bytes<'_>) -> Result<Option<Self>, ImageError> {
        let Some(place) = bytes.length.checked_sub(FOOTER) else {
            return Ok(None);
        };
        let footer = bytes.at(place, FOOTER, "end")?;
        let (signature, place) = footer.split_at(END_OF_MAP.len());
        if signature != END_OF_MAP {
            return Ok(None);
        }
        let Some(span) = span_at(bytes, number(place, 0), MAP)? else {
            return Ok(None);
        };
        if span.length > MOST_MAP {
            return Ok(None);
        }
        let map = bytes.at(span.offset, span.length, "map of chunks")?;
        Ok(entries(&map))
    }

    /// What is met on the way through the file, up to the first place that is no whole chunk.
    fn met(bytes: &mut Bytes<'_>) -> Result<Self, ImageError> {
        let (mut found, mut at) = (Self::default(), 0);
        for _ in 0..MOST_PLANES {
            let Some((name, span)) = chunk_at(bytes, at)? else {
                break;
            };
            found.note(&name, at);
            at = span.offset + span.length;
            let aligned = at.next_multiple_of(BLOCK);
            if chunk_at(bytes, aligned)?.is_some() {
                at = aligned;
            }
        }
        Ok(found)
    }

    fn note(&mut self, name: &[u8], offset: u64) {
        let end = name.iter().position(|&byte| byte == b'!');
        let Some(Ok(name)) = end.map(|end| std::str::from_utf8(&name[..end])) else {
            return;
        };
        if let Some(number) = name.strip_prefix(FRAME) {
            if let Ok(number) = number.parse() {
                self.frames.insert(number, offset);
            }
        } else if name.starts_with("Image") {
            self.named.insert(name.to_string(), offset);
        }
    }

    /// The data of the first of the chunks `names` (without `!`) that there is.
    ///
    /// # Errors
    /// [`ImageError::Read`], [`ImageError::Broken`].
    pub(super) fn data(
        &self,
        bytes: &mut Bytes<'_>,
        names: [&str; 2],
    ) -> Result<Option<Vec<u8>>, ImageError> {
        /// The longest that is known, of 1,500 positions, has 2 MB.
        const MOST: u64 = 64 << 20;
        let mut known = names.iter();
        let Some((name, &offset)) = known.find_map(|name| self.named.get_key_value(*name)) else {
            return Ok(None);
        };
        match span_at(bytes, offset, name.as_bytes())? {
            Some(span) if span.length <= MOST => bytes.at(span.offset, span.length, name).map(Some),
            _ => Err(bytes.broken(format!("its chunk `{name}` is not at byte {offset}"))),
        }
    }
}

/// Where the data of frame `number` lie, whose chunk begins at `offset`.
///
/// # Errors
/// [`ImageError::Read`], [`ImageError::Broken`] if the chunk is not there, or not whole.
pub(super) fn frame_at(
    bytes: &mut Bytes<'_>,
    number: u64,
    offset: u64,
) -> Result<Span, ImageError> {
    let name = format!("{FRAME}{number}!");
    let span = span_at(bytes, offset, name.as_bytes())?;
    span.ok_or_else(|| bytes.broken(format!("its frame {number} is not whole at byte {offset}")))
}

/// The data of the chunk at `offset` if its name begins with `name`.
fn span_at(bytes: &mut Bytes<'_>, offset: u64, name: &[u8]) -> Result<Option<Span>, ImageError> {
    let chunk = chunk_at(bytes, offset)?;
    let named = chunk.filter(|(found, _)| found.starts_with(name));
    Ok(named.map(|(_, span)| span))
}

/// Name and data of the chunk at `offset`; `None` where none lies within the file.
fn chunk_at(bytes: &mut Bytes<'_>, offset: u64) -> Result<Option<(Vec<u8>, Span)>, ImageError> {
    if offset
        .checked_add(HEADER)
        .is_none_or(|end| end > bytes.length)
    {
        return Ok(None);
    }
    let header = bytes.at(offset, HEADER, "chunks")?;
    let (signature, length) = (number(&header, 0) as u32, number(&header, 8));
    let name_length = number(&header, 0) >> 32;
    let begin = offset + HEADER;
    let data = begin.checked_add(name_length);
    let end = data.and_then(|data| data.checked_add(length));
    match (signature, data, end) {
        (SIGNATURE, Some(data), Some(end)) if end <= bytes.length => {
            let name = bytes.at(begin, name_length.min(MOST_NAME), "chunks")?;
            let span = Span {
                offset: data,
                length,
            };
            Ok(Some((name, span)))
        }
        _ => Ok(None),
    }
}

/// The entries of a map; `None` where it ends before it says so.
fn entries(mut map: &[u8]) -> Option<Chunks> {
    let mut found = Chunks::default();
    loop {
        let end = map.iter().position(|&byte| byte == b'!')? + 1;
        let (name, rest) = map.split_at(end);
        if name == END_OF_MAP {
            return Some(found);
        }
        let (place, rest) = rest.split_at_checked(16)?;
        found.note(name, number(place, 0));
        map = rest;
    }
}

/// The eight bytes at `place` as a number; 0 beyond the end.
fn number(bytes: &[u8], place: usize) -> u64 {
    let eight = bytes.get(place..).and_then(|bytes| bytes.first_chunk());
    eight.map_or(0, |eight| u64::from_le_bytes(*eight))
}
