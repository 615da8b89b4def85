//! The colours of classes and scores: one place, chosen for colour-blind readers.
//!
//! Source: Okabe & Ito (2008), "Color Universal Design": eight colours that people with the common
//! colour deficiencies tell apart. Orange and blue lie furthest from each other and from the grey
//! of brightfield, so nucleus and cytoplasm have them.

/// An 8-bit sRGB colour.
pub type Rgb = [u8; 3];

const ORANGE: Rgb = [0xE6, 0x9F, 0x00];
const SKY_BLUE: Rgb = [0x56, 0xB4, 0xE9];
const GREEN: Rgb = [0x00, 0x9E, 0x73];
const YELLOW: Rgb = [0xF0, 0xE4, 0x42];
const BLUE: Rgb = [0x00, 0x72, 0xB2];
const VERMILION: Rgb = [0xD5, 0x5E, 0x00];
const PURPLE: Rgb = [0xCC, 0x79, 0xA7];

/// Colours of classes without a usual one: those of [`AGREED`], [`FALSE`] and [`MISSED`] come last.
const CLASSES: [Rgb; 7] = [ORANGE, SKY_BLUE, VERMILION, BLUE, GREEN, YELLOW, PURPLE];

/// Colours of labels next to each other.
pub(crate) const CYCLE: [Rgb; 7] = [ORANGE, SKY_BLUE, GREEN, YELLOW, PURPLE, VERMILION, BLUE];

/// Missed by the prediction.
pub(crate) const MISSED: Rgb = PURPLE;
/// Predicted, but not in the truth.
pub(crate) const FALSE: Rgb = YELLOW;
/// In truth and prediction.
pub(crate) const AGREED: Rgb = GREEN;

/// The colour of the class with index `class` called `name` (background is index 0 and is not
/// drawn).
pub fn class_color(class: usize, name: &str) -> Rgb {
    match name {
        "nucleus" | "nuclei" => ORANGE,
        "cytoplasm" | "cell" | "boundary" => SKY_BLUE,
        "split" => PURPLE,
        _ => CLASSES[class.saturating_sub(1) % CLASSES.len()],
    }
}

/// One colour per class name, background first.
pub fn class_colors(names: &[String]) -> Vec<Rgb> {
    names
        .iter()
        .enumerate()
        .map(|(class, name)| class_color(class, name))
        .collect()
}

/// The colour for CSS and SVG, such as `#e69f00`.
pub fn css(color: Rgb) -> String {
    format!("#{:02x}{:02x}{:02x}", color[0], color[1], color[2])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mitotic_nucleus_has_a_colour_that_nothing_beside_it_has() {
        let names = ["background", "nucleus", "cytoplasm", "mitotic"].map(str::to_owned);
        let mut colors = class_colors(&names)[1..].to_vec();
        colors.extend([AGREED, FALSE, MISSED]);
        colors.sort_unstable();
        colors.dedup();
        assert_eq!(colors.len(), 6);
    }
}
