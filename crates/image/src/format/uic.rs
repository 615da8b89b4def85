//! MetaMorph's private tags (UIC), which also the ImageXpress wrote before its XML: stacks of
//! planes under one directory, and the calibration.

use super::description::{Length, both};

/// Entries of the tag UIC1, by their number.
const SPATIAL_CALIBRATION: u32 = 3;
const X_CALIBRATION: u32 = 4;
const Y_CALIBRATION: u32 = 5;
const CALIBRATION_UNITS: u32 = 6;

/// Bytes of one pair of the tag UIC1: a number, and a value or the place of one.
pub(super) const UIC1_BYTES: usize = 8;
/// Bytes of one plane's entry in the tag UIC2: distance (two numbers), dates and times.
pub(super) const UIC2_BYTES: usize = 24;

/// Pixel size in µm of the tag UIC1, pairs of a number and a value or the place of one.
///
/// `bytes` are its pairs, `at` gives bytes of the file. `Err` is a sentence about a size that is
/// not understood.
pub(super) fn pixel_um(
    bytes: &[u8],
    word: impl Fn(&[u8]) -> u32,
    mut at: impl FnMut(u64, u64) -> Option<Vec<u8>>,
) -> Result<Option<f64>, String> {
    let (mut on, mut x, mut y, mut unit) = (true, None, None, None);
    for pair in bytes.chunks_exact(UIC1_BYTES) {
        let (id, value) = (word(&pair[..4]), word(&pair[4..]));
        let mut fraction = || {
            // No value lies in the header.
            let bytes = at(u64::from(value), 8).filter(|_| value >= 8)?;
            Some(f64::from(word(&bytes[..4])) / f64::from(word(&bytes[4..])))
        };
        match id {
            SPATIAL_CALIBRATION => on = value != 0,
            X_CALIBRATION => x = fraction(),
            Y_CALIBRATION => y = fraction(),
            CALIBRATION_UNITS => {
                let length = at(u64::from(value), 4).map(|bytes| word(&bytes));
                let text = length.and_then(|length| at(u64::from(value) + 4, u64::from(length)));
                // What follows the end of a C text is left from a longer one.
                unit = text.map(|bytes| {
                    let end = bytes.iter().position(|&byte| byte == 0);
                    super::description::text(&bytes[..end.unwrap_or(bytes.len())])
                });
            }
            _ => {}
        }
    }
    let (true, Some(x), Some(unit)) = (on, x, unit) else {
        return Ok(None);
    };
    both(Length::of(x, &unit), Length::of(y.unwrap_or(x), &unit))
}

/// Whether the planes of the tag UIC2 are a series over time: they lie at no distance from one
/// another, and their times differ.
pub(super) fn is_over_time(bytes: &[u8], word: impl Fn(&[u8]) -> u32) -> bool {
    let entries = bytes.chunks_exact(UIC2_BYTES);
    let flat = entries.clone().all(|entry| word(&entry[..4]) == 0);
    let mut times: Vec<&[u8]> = entries.map(|entry| &entry[8..16]).collect();
    times.dedup();
    flat && times.len() > 1
}
