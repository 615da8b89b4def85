//! The frame of a LIF file: a description, then blocks of memory, each with its own name.

use std::collections::HashMap;

use crate::ImageError;
use crate::container::Bytes;

/// What the description, and every block, begins with.
const START: u8 = 0x70;
/// What stands before each number in the frame.
const MARK: u8 = 0x2A;
/// Longest description, bytes: the settings of an image take 30 kB, so this is for 9,000 images.
const MOST_DESCRIPTION: u64 = 1 << 28;
/// Longest name of a block, characters; `MemBlock_` and a number are usual.
const MOST_NAME: u32 = 1 << 12;
/// Most blocks of a file; each image, and each folder, has one.
const MOST_BLOCKS: usize = 1 << 20;

/// The pixels of one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// First byte in the file.
    pub(super) start: u64,
    /// Bytes that are stated, of which the file may lack some.
    pub(super) bytes: u64,
}

/// The description, and the byte at which the blocks begin.
///
/// # Errors
/// [`ImageError::Broken`] if the file does not begin so, [`ImageError::TooLarge`].
pub(super) fn description(file: &mut Bytes<'_>) -> Result<(String, u64), ImageError> {
    let start = file.at(0, 13, "beginning")?;
    if start[..4] != [START, 0, 0, 0] || start[8] != MARK {
        return Err(file.broken("it does not begin as a Leica image file does"));
    }
    let bytes = 2 * u64::from(number(&start[9..]));
    if bytes > MOST_DESCRIPTION {
        return Err(ImageError::TooLarge {
            path: file.path.to_path_buf(),
            what: format!("its description takes {bytes} bytes"),
            cap: format!("{MOST_DESCRIPTION} bytes"),
            way_out: "save its images in several files",
        });
    }
    let text = utf16(&file.at(13, bytes, "description")?);
    Ok((text, 13 + bytes))
}

/// The blocks from byte `at` on by their names, and a sentence if they end before the file does.
/// Sizes have 8 bytes where `is_wide` (version 2 of the container), else 4.
///
/// # Errors
/// [`ImageError::Read`].
pub(super) fn blocks(
    file: &mut Bytes<'_>,
    mut at: u64,
    is_wide: bool,
) -> Result<(HashMap<String, Block>, Option<String>), ImageError> {
    let mut found = HashMap::new();
    while at < file.length && found.len() < MOST_BLOCKS {
        let Some((name, block)) = block(file, at, is_wide)? else {
            let said = format!("no block of memory begins at byte {at}, where one should");
            return Ok((found, Some(said)));
        };
        at = block.start.saturating_add(block.bytes);
        found.entry(name).or_insert(block);
    }
    Ok((found, None))
}

/// The block whose frame begins at byte `at`.
fn block(
    file: &mut Bytes<'_>,
    at: u64,
    is_wide: bool,
) -> Result<Option<(String, Block)>, ImageError> {
    let size = if is_wide { 8 } else { 4 };
    let frame = 9 + size + 5;
    if file.length - at < frame {
        return Ok(None);
    }
    let bytes = file.at(at, frame, "block")?;
    let (size, rest) = bytes[9..].split_at(size as usize);
    let length = number(&rest[1..]);
    let is_block = bytes[..4] == [START, 0, 0, 0] && bytes[8] == MARK && rest[0] == MARK;
    let start = at + frame + 2 * u64::from(length);
    if !is_block || length > MOST_NAME || start > file.length {
        return Ok(None);
    }
    let name = utf16(&file.at(at + frame, 2 * u64::from(length), "block")?);
    let mut wide = [0; 8];
    wide[..size.len()].copy_from_slice(size);
    let bytes = u64::from_le_bytes(wide);
    Ok(Some((name, Block { start, bytes })))
}

/// The number in the first four bytes.
fn number(bytes: &[u8]) -> u32 {
    let first = bytes.first_chunk().copied();
    u32::from_le_bytes(first.unwrap_or_default())
}

fn utf16(bytes: &[u8]) -> String {
    let units = bytes.chunks_exact(2);
    let units = units.map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    let read = char::decode_utf16(units);
    read.map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect()
}
