//! What people decided about a study: the folder `human`, which no command rewrites.
//!
//! Tables there only grow: `mitosis.csv` (decisions on nuclei), `excluded.csv` (fields that are
//! not to be used), `corrected.csv` (since when a field has which corrected nuclei). A later row
//! takes the place of an earlier one, which stays. Label images corrected by hand lie in
//! `corrected`. Every row says who decided, when, and on which image ([`content`]).
//!
//! Here: reading and writing these. Not here: what follows from them
//! (`truth::prepare`, `truth::mitosis`).

pub mod corrected;
pub mod excluded;
pub(crate) mod fit;
mod ledger;
pub mod mitosis;

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use stainfree_image::{Image, Plane};

use crate::study::provenance::hash_of;
use crate::study::{Source, Study, read_middle};

/// Name of the folder in the study's.
pub const FOLDER: &str = "human";

/// Who decides, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// A name.
    pub who: String,
    /// Date and time in UTC, as `2026-03-01T09:30:00Z`.
    pub when: String,
}

impl Stamp {
    /// `who`, now.
    pub fn now(who: &str) -> Self {
        Self::at(who, SystemTime::now())
    }

    /// `who`, at `time`.
    pub fn at(who: &str, time: SystemTime) -> Self {
        Self {
            who: who.to_owned(),
            when: utc(time),
        }
    }
}

/// The study's folder of decisions.
pub fn folder(study: &Study) -> PathBuf {
    study.root().join(FOLDER)
}

/// Date and time in UTC to the second.
fn utc(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |t| t.as_secs());
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Days since 1970 to a date of the Gregorian calendar (Hinnant 2013, "chrono-compatible
    // low-level date algorithms"): years begin in March, so that the leap day comes last.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let from_march = (5 * day + 2) / 153;
    let day = day - (153 * from_march + 2) / 5 + 1;
    let month = (from_march + 2) % 12 + 1;
    let year = era * 400 + year + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// What is recognised of an image: a hash of its size and pixel values, whatever file they lie in.
pub fn content(plane: &Plane) -> String {
    match plane {
        Plane::U8(image) => digest(image, |v| f32::from(v).to_bits()),
        Plane::U16(image) => digest(image, |v| f32::from(v).to_bits()),
        Plane::F32(image) => digest(image, f32::to_bits),
    }
}

/// The same of a label image.
pub fn content_of_labels(labels: &Image<u32>) -> String {
    digest(labels, |label| label)
}

/// What the image of a field is recognised by now.
pub fn content_of(source: &Source, name: &str) -> Option<String> {
    let field = source.dataset.fields.iter().find(|f| f.name == name)?;
    let plane = match source.nucleus {
        Some(channel) => read_middle(field, channel).ok()?,
        None => source.brightfield.read(field).ok()?.swap_remove(0),
    };
    Some(content(&plane))
}

fn digest<T: Copy>(image: &Image<T>, bits: impl Fn(T) -> u32) -> String {
    let mut digits = hash_of("", image.size(), image.data(), bits);
    // Sixteen digits tell any number of fields apart and still fit into a table.
    digits.truncate(16);
    digits
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn seconds_since_1970_are_the_right_date() {
        let at = |seconds| utc(UNIX_EPOCH + Duration::from_secs(seconds));
        // From `date -u -d @SECONDS`.
        assert_eq!(at(0), "1970-01-01T00:00:00Z");
        assert_eq!(at(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(at(951_868_800), "2000-03-01T00:00:00Z");
        assert_eq!(at(1_735_689_599), "2024-12-31T23:59:59Z");
        assert_eq!(at(4_107_542_400), "2100-03-01T00:00:00Z");
    }

    #[test]
    fn content_is_the_pixels_and_not_their_type() {
        let values = Image::new(1, 3, vec![1u8, 2, 255]);
        let wide = Plane::U16(values.map(|&v| u16::from(v)));
        let other = Plane::U8(Image::new(3, 1, vec![1u8, 2, 255]));
        let plane = Plane::U8(values);
        assert_eq!(content(&plane), content(&wide));
        assert_ne!(content(&plane), content(&other));
        // Tables of decisions hold these: by Python's hashlib and struct.
        assert_eq!(content(&plane), "bd32c430a100a9f7");
        let labels = Image::new(1, 3, vec![1u32, 2, 255]);
        assert_eq!(content_of_labels(&labels), "cbfd4915acd293db");
    }
}
