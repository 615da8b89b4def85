//! `truth/contact-sheet.png`: every field with its truth, the most doubtful first.

use std::path::PathBuf;

use stainfree_image::{Image, read_class_mask, write};
use stainfree_report::{contact_sheet, scale_down};

use crate::ProjectError;
use crate::pictures::{class_legend, overlay};
use crate::study::disk::remove;
use crate::study::fields::FieldRow;
use crate::study::guard::is_our_png;
use crate::study::{Source, Study};

/// Name, columns, fields on a page, and most pages: a minute of looking.
const NAME: &str = "contact-sheet";
const COLUMNS: usize = 6;
const PER_PAGE: usize = 30;
const MOST_PAGES: usize = 4;
/// Longest side of a field on the sheet, pixels.
const SIDE: usize = 240;
/// Longest caption, characters.
const CAPTION: usize = 38;

/// Draws the sheet, and `contact-sheet-2.png` .. where there are many fields.
pub(crate) fn draw(study: &Study, source: &Source, rows: &[FieldRow]) -> Result<(), ProjectError> {
    let mut order: Vec<&FieldRow> = rows.iter().filter(|row| row.height > 0).collect();
    order.sort_by(|a, b| {
        b.concern
            .total_cmp(&a.concern)
            .then_with(|| a.name.cmp(&b.name))
    });
    let fields = source.by_name();
    for (page, rows) in order.chunks(PER_PAGE).take(MOST_PAGES).enumerate() {
        let mut shown: Vec<(Image<[u8; 3]>, String)> = Vec::new();
        for row in rows {
            let Some(field) = fields.get(row.name.as_str()) else {
                continue;
            };
            let light = source.brightfield.read(field)?;
            let mask = read_class_mask(&study.class_mask_path(&row.name))?;
            let picture = overlay(
                &light[light.len() / 2].to_f32(),
                &mask,
                &study.config().truth.classes,
            )?;
            shown.push((scale_down(&picture, SIDE), caption(row)));
        }
        let pictures: Vec<(&Image<[u8; 3]>, &str)> = shown
            .iter()
            .map(|(picture, caption)| (picture, caption.as_str()))
            .collect();
        let path = page_path(study, NAME, page);
        let legend = class_legend(&study.config().truth.classes);
        write::png_rgb(&path, &contact_sheet(&pictures, COLUMNS, &legend))?;
    }
    remove_pages(study, NAME, order.len().div_ceil(PER_PAGE).min(MOST_PAGES))
}

/// `truth/NAME.png`, and `truth/NAME-2.png` .. for the pages after the first, which is 0.
pub(crate) fn page_path(study: &Study, name: &str, page: usize) -> PathBuf {
    let name = match page {
        0 => format!("{name}.png"),
        page => format!("{name}-{}.png", page + 1),
    };
    study.root().join("truth").join(name)
}

/// Removes the pages of a sheet that an earlier run drew behind the first `pages`.
///
/// # Errors
/// A page is there and stays.
pub(crate) fn remove_pages(study: &Study, name: &str, pages: usize) -> Result<(), ProjectError> {
    let page_of = |file: &str| -> Option<usize> {
        match file.strip_prefix(name)?.strip_suffix(".png")? {
            "" => Some(0),
            rest => rest
                .strip_prefix('-')?
                .parse::<usize>()
                .ok()?
                .checked_sub(1),
        }
    };
    let entries = std::fs::read_dir(study.root().join("truth"));
    for entry in entries.into_iter().flatten().filter_map(Result::ok) {
        let page = page_of(&entry.file_name().to_string_lossy());
        if page.is_some_and(|page| page >= pages) && is_our_png(&entry.path()) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

/// Name, and what is wrong, as far as there is room.
fn caption(row: &FieldRow) -> String {
    let words = [&row.nucleus_verdicts, &row.cytoplasm_verdicts];
    let words: Vec<&str> = words
        .iter()
        .map(|w| w.as_str())
        .filter(|w| !w.is_empty())
        .collect();
    let text = format!("{} {}", row.name, words.join("; "));
    text.trim_end().chars().take(CAPTION).collect()
}
