//! The times of images, where a CZI file keeps them in an attachment.
//!
//! `ZISRAWATTDIR` has the number of attachments and from byte 256 on entries of 128 bytes: `A1`, 10
//! spare bytes, position (int64), file part, an id (16 bytes), kind (8 bytes), name. A
//! `ZISRAWATTACH` has its content from byte 256 on; of the kind `CZTIMS` it is its length, the
//! number of times (both int32) and the times in seconds (doubles). Read from real files.

use super::directory::{content, int, long};
use crate::ImageError;
use crate::container::Bytes;

/// Bytes of the largest list that is read.
const MOST_BYTES: u64 = 1 << 24;

/// The times that the attachments at `position` tell, in seconds; none where there is no such
/// attachment, or where it cannot be read.
pub(super) fn stamps(bytes: &mut Bytes<'_>, position: u64) -> Vec<f64> {
    read(bytes, position)
        .unwrap_or_default()
        .unwrap_or_default()
}

fn read(bytes: &mut Bytes<'_>, position: u64) -> Result<Option<Vec<f64>>, ImageError> {
    let list = content(bytes, position, "ZISRAWATTDIR", MOST_BYTES)?;
    let entries = list.get(256..).unwrap_or_default();
    let mut entries = entries.chunks_exact(128);
    let times = entries.find(|entry| entry.get(40..).is_some_and(|e| e.starts_with(b"CZTIMS")));
    let place = times.and_then(|entry| long(entry, 12));
    let Some(place) = place.and_then(|place| u64::try_from(place).ok()) else {
        return Ok(None);
    };
    let attached = content(bytes, place, "ZISRAWATTACH", MOST_BYTES)?;
    let times = attached.get(256..).unwrap_or_default();
    let count = int(times, 4).and_then(|count| usize::try_from(count).ok());
    let numbers = times.get(8..).unwrap_or_default().chunks_exact(8);
    let numbers = numbers.filter_map(|number| Some(f64::from_le_bytes(number.try_into().ok()?)));
    Ok(Some(numbers.take(count.unwrap_or(0)).collect()))
}
