//! Letters on pictures: Noto Sans Mono, drawn beforehand in the sizes that are used here.
//!
//! Latin letters with their accents and the signs of units are there (`µ`, `°`, `±`, `²`); what is
//! not is shown as a question mark, not left out. Pages use the browser's letters instead.

use noto_sans_mono_bitmap::{
    FontWeight, RasterHeight, RasterizedChar, get_raster, get_raster_width,
};
use stainfree_image::{Image, composed};

use crate::palette::Rgb;

/// Letters of one size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Letters(RasterHeight);

/// Captions of pictures, and what stands in a heat map: readable on screens without zooming.
pub(crate) const CAPTION: Letters = Letters(RasterHeight::Size20);
/// Texts of a plot, at two pixels a unit as wide as the browser's letters are on average.
pub(crate) const PLOT: Letters = Letters(RasterHeight::Size24);

impl Letters {
    /// Height of a line in pixels, of which the letters' base line lies at four fifths.
    pub(crate) const fn height(self) -> usize {
        self.0.val()
    }

    /// Width of a letter and the room after it in pixels.
    pub(crate) const fn advance(self) -> usize {
        get_raster_width(FontWeight::Regular, self.0)
    }

    /// Width of a text in pixels.
    pub(crate) fn width(self, text: &str) -> usize {
        composed(text).chars().count() * self.advance()
    }

    /// Writes `text` with the first corner of its first letter at `(y, x)`; what leaves the picture
    /// is cut.
    pub(crate) fn draw(self, picture: &mut Image<Rgb>, (y, x): (i64, i64), text: &str, ink: Rgb) {
        let inside = |at: i64, len: usize| usize::try_from(at).ok().filter(|at| *at < len);
        // A letter and its accent may be two signs, as in file names from a Mac.
        for (i, letter) in composed(text).chars().enumerate() {
            let left = x + (i * self.advance()) as i64;
            let rows = self
                .glyph(letter)
                .into_iter()
                .flat_map(|drawn| drawn.rows());
            for (row, shares) in (y..).zip(rows) {
                for (column, &share) in (left..).zip(shares).filter(|(_, share)| **share > 0) {
                    let row = inside(row, picture.height());
                    if let (Some(row), Some(column)) = (row, inside(column, picture.width())) {
                        mix(picture.get_mut(row, column), ink, f64::from(share) / 255.0);
                    }
                }
            }
        }
    }

    /// The letter, else one that looks like it, else a question mark.
    fn glyph(self, letter: char) -> Option<RasterizedChar> {
        let alike = match letter {
            // The Greek letter, where the sign for micro is meant.
            '\u{3bc}' => 'µ',
            // Dashes, and the minus of typesetters.
            '\u{2010}'..='\u{2015}' | '\u{2212}' => '-',
            other => other,
        };
        let raster = |letter| get_raster(letter, FontWeight::Regular, self.0);
        raster(alike).or_else(|| raster('?'))
    }
}

/// Covers a share of a pixel.
pub(crate) fn mix(pixel: &mut Rgb, color: Rgb, share: f64) {
    for (below, above) in pixel.iter_mut().zip(color) {
        *below = (f64::from(*below) + share * (f64::from(above) - f64::from(*below))).round() as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_of_names_and_units_are_drawn_as_themselves() {
        let unknown = CAPTION.glyph('\u{4e2d}').expect("a question mark");
        assert_eq!(Some(unknown), CAPTION.glyph('?'));
        for letter in "aAzZ09äöüÄÖÜßéñµ°±²×_/%()=".chars() {
            for size in [CAPTION, PLOT] {
                assert_ne!(size.glyph(letter), size.glyph('?'), "{letter}");
            }
        }
        assert_ne!(CAPTION.glyph('a'), CAPTION.glyph('A'));
        assert_eq!(CAPTION.glyph('\u{3bc}'), CAPTION.glyph('µ'));
        assert_eq!(CAPTION.glyph('\u{2212}'), CAPTION.glyph('-'));
    }

    #[test]
    fn a_letter_with_an_accent_of_its_own_is_one_letter() {
        let drawn = |text: &str| {
            let mut picture = Image::filled(24, 40, [255; 3]);
            CAPTION.draw(&mut picture, (0, 0), text, [0; 3]);
            picture
        };
        assert_eq!(CAPTION.width("a\u{308}"), CAPTION.width("ä"));
        assert_eq!(drawn("a\u{308}b"), drawn("äb"));
        assert_ne!(drawn("ab"), drawn("äb"));
    }

    #[test]
    fn text_that_leaves_the_picture_is_cut() {
        let mut picture = Image::filled(12, 12, [0; 3]);
        CAPTION.draw(&mut picture, (-4, -3), "HELLO WORLD", [255; 3]);
        assert!(picture.data().contains(&[255; 3]));
        CAPTION.draw(&mut picture, (40, 40), "x", [255; 3]);
    }
}
