//! `truth/contact-sheet.png`: every field with its truth, the most doubtful first.

use stainfree_image::{Image, read_class_mask, write};
use stainfree_report::{contact_sheet, scale_down};

use crate::ProjectError;
use crate::fields::FieldRow;
use crate::pictures::overlay;
use crate::study::{Source, Study};

/// Columns, fields on a page, and most pages: a minute of looking.
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
    for (page, rows) in order.chunks(PER_PAGE).take(MOST_PAGES).enumerate() {
        let mut shown: Vec<(Image<[u8; 3]>, String)> = Vec::new();
        for row in rows {
            let Some(field) = source.dataset.fields.iter().find(|f| f.name == row.name) else {
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
        let name = match page {
            0 => "contact-sheet.png".to_owned(),
            n => format!("contact-sheet-{}.png", n + 1),
        };
        let path = study.root().join("truth").join(name);
        write::png_rgb(&path, &contact_sheet(&pictures, COLUMNS))?;
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
