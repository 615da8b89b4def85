//! The picture sheets of the list of candidates.

use std::borrow::Borrow;
use std::collections::BTreeSet;

use stainfree_image::{Image, write};
use stainfree_report::{contact_sheet, enlarge, stain_picture};

use crate::ProjectError;
use crate::study::finding::Review;
use crate::study::human::mitosis::Decision;
use crate::study::read_middle;
use crate::study::{Source, Study};
use crate::truth::sheet;

/// Name and columns of the picture sheet, candidates on a page, side of a window in pixels and its
/// enlargement.
const SHEET: &str = "mitosis";
const COLUMNS: usize = 8;
const PER_PAGE: usize = 64;
const WINDOW: usize = 64;
const ENLARGED: usize = 2;

/// Draws the sheets of a list.
///
/// # Errors
/// A page cannot be written.
pub(super) fn draw(study: &Study, source: &Source, reviews: &[Review]) -> Result<(), ProjectError> {
    let Some(channel) = source.nucleus else {
        return sheet::remove_pages(study, SHEET, 0);
    };
    let fields = source.by_name();
    for (page, rows) in reviews.chunks(PER_PAGE).enumerate() {
        let windows = windows(rows, |name| {
            // A field that cannot be read has no pictures; its rows stay.
            let stain = read_middle(fields.get(name)?, channel).ok()?;
            Some(stain_picture(&stain.to_f32(), [255; 3]))
        });
        let captions: Vec<String> = rows.iter().map(caption).collect();
        let pictures: Vec<(&Image<[u8; 3]>, &str)> = windows
            .iter()
            .zip(&captions)
            .filter_map(|(window, caption)| Some((window.as_ref()?, caption.as_str())))
            .collect();
        let path = sheet::page_path(study, SHEET, page);
        write::png_rgb(&path, &contact_sheet(&pictures, COLUMNS, &[]))?;
    }
    sheet::remove_pages(study, SHEET, reviews.len().div_ceil(PER_PAGE))
}

/// The picture of each row's nucleus, where its field has one. Fields are seen one at a time: what
/// is kept of them is a window a row.
fn windows<P: Borrow<Image<[u8; 3]>>>(
    rows: &[Review],
    picture: impl Fn(&str) -> Option<P>,
) -> Vec<Option<Image<[u8; 3]>>> {
    let mut windows = vec![None; rows.len()];
    let fields: BTreeSet<&str> = rows.iter().map(|row| row.field.as_str()).collect();
    for field in fields {
        let Some(picture) = picture(field) else {
            continue;
        };
        for (row, shown) in rows.iter().zip(&mut windows) {
            if row.field == field {
                let window = window(picture.borrow(), row.y_px, row.x_px);
                *shown = Some(enlarge(&window, ENLARGED));
            }
        }
    }
    windows
}

/// Field, number, score and what the truth says.
fn caption(row: &Review) -> String {
    let word = if row.mitotic == Some(Decision::Yes) {
        "yes"
    } else {
        "no"
    };
    let score = row
        .score
        .map_or("by hand".to_owned(), |score| format!("{score:.2}"));
    let number = row.label.unwrap_or_default();
    format!("{} {number} {score} {word}", row.field)
}

/// The window of a picture around `(y, x)`, moved inside where it would leave it.
fn window(picture: &Image<[u8; 3]>, y: f64, x: f64) -> Image<[u8; 3]> {
    let (h, w) = (picture.height().min(WINDOW), picture.width().min(WINDOW));
    let first = |at: f64, side: usize, len: usize| {
        ((at - side as f64 / 2.0).max(0.0) as usize).min(len - side)
    };
    picture.crop(
        first(y, h, picture.height()),
        first(x, w, picture.width()),
        h,
        w,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_field_is_held_at_a_time_and_a_window_of_it_is_kept() {
        use std::cell::Cell;
        struct Held<'a>(Image<[u8; 3]>, &'a Cell<usize>);
        impl Borrow<Image<[u8; 3]>> for Held<'_> {
            fn borrow(&self) -> &Image<[u8; 3]> {
                &self.0
            }
        }
        impl Drop for Held<'_> {
            fn drop(&mut self) {
                self.1.set(self.1.get() - 1);
            }
        }
        let row = |field: &str, x_px: f64| Review {
            field: field.to_owned(),
            label: Some(1),
            y_px: 3.0,
            x_px,
            score: None,
            brightness: None,
            compactness: None,
            mitotic: None,
            decision: None,
        };
        let rows = [
            row("b", 0.0),
            row("a", 290.0),
            row("b", 150.0),
            row("gone", 1.0),
        ];
        let (held, read) = (Cell::new(0), Cell::new(0));
        let windows = windows(&rows, |name| {
            held.set(held.get() + 1);
            read.set(read.get() + 1);
            assert_eq!(held.get(), 1, "whole pictures in memory");
            let picture = Image::from_fn(200, 300, |_, x| [x as u8, 0, 0]);
            (name != "gone").then(|| Held(picture, &held)).or_else(|| {
                held.set(held.get() - 1);
                None
            })
        });
        assert_eq!(read.get(), 3, "each field is read once");
        let side = WINDOW * ENLARGED;
        let sizes: Vec<_> = windows
            .iter()
            .map(|w| w.as_ref().map(Image::size))
            .collect();
        let full = Some((side, side));
        assert_eq!(sizes, [full, full, full, None]);
        let first = |i: usize| windows[i].as_ref().unwrap().get(0, 0)[0];
        assert_eq!(
            [first(0), first(1), first(2)],
            [0, (300 - WINDOW) as u8, 150 - 32]
        );
    }
}
