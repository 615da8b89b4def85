//! Label images drawn in the source, for tests.

use stainfree_image::Image;

/// A character per pixel: `.` is background, digits are labels 0 to 9, letters labels from 10
/// (`a`).
pub(crate) fn labels(rows: &[&str]) -> Image<u32> {
    let value = |c: char| c.to_digit(36).unwrap_or(0);
    Image::new(
        rows.len(),
        rows[0].len(),
        rows.iter().flat_map(|row| row.chars().map(value)).collect(),
    )
}
