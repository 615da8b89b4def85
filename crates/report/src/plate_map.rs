//! Heat maps of plates: one number a well, as SVG and as a picture.
//!
//! The drawing is laid out once, as rectangles and texts, and then written in either form. Numbers
//! grow from dark blue to yellow (viridis, Smith & van der Walt 2015), which keeps its order in
//! grey and for colour-blind readers.

use std::collections::BTreeSet;
use std::fmt::Write;

use stainfree_image::Image;

use crate::ReportError;
use crate::axis::{Axis, Scale};
use crate::drawing::escape;
use crate::font::CAPTION;
use crate::palette::{Rgb, css};

/// A number for every well of a plate.
#[derive(Clone, Debug, Default)]
pub struct PlateMap {
    /// Above the map: the column.
    pub title: String,
    /// Below the title: the plate, what was averaged.
    pub note: String,
    /// Name (`B02`) and value of each well; a value that is not finite is shown as unknown.
    pub wells: Vec<(String, f64)>,
    /// Whether the colours begin at 0, so that small differences of large numbers look small.
    pub from_zero: bool,
}

/// What the head of every map as SVG has: by this a file is known to be one of them.
pub const MAP_NOTE: &str = " font-family=\"sans-serif\" font-size=\"14\"><rect width=";

/// Rows and columns of the plates there are.
const PLATES: [(usize, usize); 7] = [(2, 3), (3, 4), (4, 6), (6, 8), (8, 12), (16, 24), (32, 48)];

/// Ten colours of viridis at equal steps.
const VIRIDIS: [Rgb; 10] = [
    [0x44, 0x01, 0x54],
    [0x48, 0x28, 0x78],
    [0x3E, 0x49, 0x89],
    [0x31, 0x68, 0x8E],
    [0x26, 0x82, 0x8E],
    [0x1F, 0x9E, 0x89],
    [0x35, 0xB7, 0x79],
    [0x6E, 0xCE, 0x58],
    [0xB5, 0xDE, 0x2B],
    [0xFD, 0xE7, 0x25],
];
const PAPER: Rgb = [255, 255, 255];
const INK: Rgb = [40, 42, 46];
/// Wells without a value, and wells that were not imaged: both grey, only the first with an edge.
const UNKNOWN: Rgb = [214, 214, 210];
const NOT_IMAGED: Rgb = [240, 240, 238];

/// Pixels around the wells; letters are 14 high and 12 wide on pictures.
const LEFT: usize = 46;
const TOP: usize = 84;
const EDGE: usize = 20;
const BAR_HEIGHT: usize = 16;
const BOTTOM: usize = 84;

/// What is drawn, in pixels from the upper left corner.
enum Shape {
    Box {
        y: usize,
        x: usize,
        height: usize,
        width: usize,
        color: Rgb,
        /// Shown when the pointer rests on it.
        says: String,
    },
    Text {
        /// Middle of the line.
        y: usize,
        x: usize,
        anchor: Anchor,
        color: Rgb,
        text: String,
    },
}

#[derive(Clone, Copy, PartialEq)]
enum Anchor {
    Start,
    Middle,
}

/// A drawing and its size.
struct Drawing {
    height: usize,
    width: usize,
    shapes: Vec<Shape>,
}

impl PlateMap {
    /// The map as SVG with its own colours, readable on its own.
    ///
    /// # Errors
    /// [`ReportError::Well`] for a name that is no well of a plate of up to 1,536 wells.
    pub fn svg(&self) -> Result<String, ReportError> {
        let drawing = self.draw()?;
        let (height, width) = (drawing.height, drawing.width);
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
             width=\"{width}\" height=\"{height}\"{MAP_NOTE}\"{width}\" \
             height=\"{height}\" fill=\"{}\"/>",
            css(PAPER)
        );
        for shape in &drawing.shapes {
            // Writing to a String cannot fail.
            let _ = match shape {
                Shape::Box {
                    y,
                    x,
                    height,
                    width,
                    color,
                    says,
                } => {
                    let title = match says.as_str() {
                        "" => String::new(),
                        says => format!("<title>{}</title>", escape(says)),
                    };
                    write!(
                        out,
                        "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" \
                         fill=\"{}\">{title}</rect>",
                        css(*color)
                    )
                }
                Shape::Text {
                    y,
                    x,
                    anchor,
                    color,
                    text,
                } => {
                    let anchor = if *anchor == Anchor::Start {
                        "start"
                    } else {
                        "middle"
                    };
                    write!(
                        out,
                        "<text x=\"{x}\" y=\"{}\" text-anchor=\"{anchor}\" fill=\"{}\">{}</text>",
                        y + 5,
                        css(*color),
                        escape(text)
                    )
                }
            };
        }
        out.push_str("</svg>\n");
        Ok(out)
    }

    /// The map as a picture.
    ///
    /// # Errors
    /// As [`svg`](Self::svg).
    pub fn picture(&self) -> Result<Image<[u8; 3]>, ReportError> {
        let drawing = self.draw()?;
        let mut picture = Image::filled(drawing.height, drawing.width, PAPER);
        for shape in &drawing.shapes {
            match shape {
                Shape::Box {
                    y,
                    x,
                    height,
                    width,
                    color,
                    ..
                } => {
                    for row in *y..y + height {
                        picture.row_mut(row)[*x..x + width].fill(*color);
                    }
                }
                Shape::Text {
                    y,
                    x,
                    anchor,
                    color,
                    text,
                } => {
                    let half = match anchor {
                        Anchor::Start => 0,
                        Anchor::Middle => CAPTION.width(text) / 2,
                    };
                    let corner = (
                        y.saturating_sub(CAPTION.height() / 2),
                        x.saturating_sub(half),
                    );
                    let corner = (corner.0 as i64, corner.1 as i64);
                    CAPTION.draw(&mut picture, corner, text, *color);
                }
            }
        }
        Ok(picture)
    }

    fn draw(&self) -> Result<Drawing, ReportError> {
        let mut placed = Vec::new();
        for (name, value) in &self.wells {
            let place = place_of(name).ok_or_else(|| ReportError::Well { name: name.clone() })?;
            placed.push((place, name, *value));
        }
        let (rows, columns) = plate_for(&placed.iter().map(|&(place, ..)| place).collect());
        let (height, width) = match columns {
            ..=12 => (46, 66),
            13..=24 => (30, 36),
            _ => (18, 22),
        };
        let zero = self.from_zero.then_some(0.0);
        let values = placed.iter().map(|&(_, _, value)| value);
        let axis = Axis::over(values.chain(zero), Scale::Linear, 5);
        let mut shapes = Vec::new();
        let mut text = |y, x, anchor, color, text: String| {
            shapes.push(Shape::Text {
                y,
                x,
                anchor,
                color,
                text,
            });
        };
        text(22, EDGE, Anchor::Start, INK, self.title.clone());
        text(44, EDGE, Anchor::Start, INK, self.note.clone());
        // Every second number where they would run into each other.
        let step = if width < 30 { 2 } else { 1 };
        for column in (0..columns).step_by(step) {
            let x = LEFT + column * width + width / 2;
            text(TOP - 14, x, Anchor::Middle, INK, (column + 1).to_string());
        }
        for row in 0..rows {
            let y = TOP + row * height + height / 2;
            text(y, LEFT / 2, Anchor::Middle, INK, row_name(row));
        }
        for row in 0..rows {
            for column in 0..columns {
                let found = placed.iter().find(|&&(place, ..)| place == (row, column));
                let share = |value: f64| axis.as_ref().and_then(|axis| axis.place(value));
                let (color, says, label) = match found {
                    None => (NOT_IMAGED, String::new(), None),
                    Some((_, name, value)) => match share(*value) {
                        Some(share) => {
                            let color = viridis(share);
                            (
                                color,
                                format!("{name}: {value}"),
                                Some((short(*value), on(color))),
                            )
                        }
                        None => (UNKNOWN, format!("{name}: unknown"), None),
                    },
                };
                let (y, x) = (TOP + row * height, LEFT + column * width);
                let (height, width) = (height - 2, width - 2);
                shapes.push(Shape::Box {
                    y: y + 1,
                    x: x + 1,
                    height,
                    width,
                    color,
                    says,
                });
                if let (Some((text, color)), true) = (label, columns <= 12) {
                    let (y, x) = (y + 1 + height / 2, x + 1 + width / 2);
                    shapes.push(Shape::Text {
                        y,
                        x,
                        anchor: Anchor::Middle,
                        color,
                        text,
                    });
                }
            }
        }
        let (bottom, right) = (TOP + rows * height, LEFT + columns * width);
        color_bar(&mut shapes, axis.as_ref(), bottom + 20, right);
        let longest = self.title.chars().count().max(self.note.chars().count());
        Ok(Drawing {
            height: bottom + BOTTOM,
            width: (right + EDGE).max(2 * EDGE + longest * CAPTION.advance()),
            shapes,
        })
    }
}

/// The colours with their numbers.
fn color_bar(shapes: &mut Vec<Shape>, axis: Option<&Axis>, y: usize, right: usize) {
    let text = |x: usize, text: String| Shape::Text {
        y: y + BAR_HEIGHT + 16,
        x,
        anchor: Anchor::Middle,
        color: INK,
        text,
    };
    let Some(axis) = axis else {
        shapes.push(text((LEFT + right) / 2, "no values to show".into()));
        return;
    };
    // Room for half a number on either side.
    let (from, length) = (LEFT + 20, (right - LEFT).saturating_sub(40).max(60));
    for x in 0..length {
        shapes.push(Shape::Box {
            y,
            x: from + x,
            height: BAR_HEIGHT,
            width: 1,
            color: viridis(x as f64 / (length - 1) as f64),
            says: String::new(),
        });
    }
    // As many ticks as have room for their labels.
    let most = (length / 80).max(2);
    for &tick in axis
        .ticks
        .iter()
        .step_by(axis.ticks.len().div_ceil(most).max(1))
    {
        if let Some(share) = axis.place(tick) {
            let x = from + (share * (length - 1) as f64).round() as usize;
            shapes.push(Shape::Box {
                y: y + BAR_HEIGHT,
                x,
                height: 5,
                width: 1,
                color: INK,
                says: String::new(),
            });
            shapes.push(text(x, axis.label(tick)));
        }
    }
}

/// Row and column, from 0, of a well's name: letters, then a number from 1 (`B02`, `AA7`).
fn place_of(name: &str) -> Option<(usize, usize)> {
    let digits = name.find(|c: char| c.is_ascii_digit())?;
    let (letters, number) = name.split_at(digits);
    let row = match letters.to_ascii_uppercase().as_bytes() {
        [a @ b'A'..=b'Z'] => usize::from(a - b'A'),
        [b'A', b @ b'A'..=b'F'] => 26 + usize::from(b - b'A'),
        _ => return None,
    };
    let column: usize = number.parse().ok()?;
    (1..=PLATES[PLATES.len() - 1].1)
        .contains(&column)
        .then(|| (row, column - 1))
}

fn row_name(row: usize) -> String {
    let letter = |i: usize| char::from(b'A' + i as u8);
    match row.checked_sub(26) {
        None => letter(row).to_string(),
        Some(rest) => format!("A{}", letter(rest)),
    }
}

/// The plate that the wells are from: a small one only where all its wells are there, since 96 and
/// more are usual.
fn plate_for(places: &BTreeSet<(usize, usize)>) -> (usize, usize) {
    let rows = places.iter().map(|place| place.0 + 1).max().unwrap_or(0);
    let columns = places.iter().map(|place| place.1 + 1).max().unwrap_or(0);
    let fits =
        |&&(r, c): &&(usize, usize)| rows <= r && columns <= c && (r >= 8 || places.len() == r * c);
    *PLATES
        .iter()
        .find(fits)
        .unwrap_or(&PLATES[PLATES.len() - 1])
}

/// The colour of a share from 0 to 1.
fn viridis(share: f64) -> Rgb {
    let place = share.clamp(0.0, 1.0) * (VIRIDIS.len() - 1) as f64;
    let low = (place as usize).min(VIRIDIS.len() - 2);
    let rest = place - low as f64;
    let mix = |c: usize| {
        let (a, b) = (f64::from(VIRIDIS[low][c]), f64::from(VIRIDIS[low + 1][c]));
        (a + (b - a) * rest).round() as u8
    };
    [mix(0), mix(1), mix(2)]
}

/// Black or white, whichever has the higher contrast on the colour (WCAG 2, relative luminance
/// above 0.179).
fn on(color: Rgb) -> Rgb {
    let [r, g, b] = color.map(|value| (f64::from(value) / 255.0).powf(2.2));
    let luminance = 0.2126 * r + 0.7152 * g + 0.0722 * b;
    if luminance > 0.179 { [0; 3] } else { [255; 3] }
}

/// A number in at most five characters, six with its sign.
fn short(value: f64) -> String {
    let (scaled, end) = match value.abs() {
        0.0 => return "0".into(),
        v if v < 0.001 => return format!("{value:.0e}"),
        v if v < 9_999.5 => (value, ""),
        v if v < 999_500.0 => (value / 1e3, "k"),
        v if v < 999.5e6 => (value / 1e6, "M"),
        _ => return format!("{value:.0e}"),
    };
    let decimals = match scaled.abs() {
        v if v < 9.995 => 2,
        v if v < 99.95 => 1,
        _ => 0,
    };
    format!("{scaled:.decimals$}{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(wells: &[(&str, f64)]) -> PlateMap {
        PlateMap {
            title: "area <um2>".into(),
            note: "mean".into(),
            wells: wells
                .iter()
                .map(|&(name, value)| (name.to_owned(), value))
                .collect(),
            from_zero: false,
        }
    }

    #[test]
    fn wells_lie_where_the_plate_has_them() {
        assert_eq!(place_of("B02"), Some((1, 1)));
        assert_eq!(place_of("af48"), Some((31, 47)));
        for wrong in ["", "B", "02", "B0", "B49", "AG1", "BA1", "B2x"] {
            assert_eq!(place_of(wrong), None, "{wrong}");
        }
        assert_eq!((row_name(1), row_name(27)), ("B".into(), "AB".into()));
        let all = |rows: usize, columns: usize| {
            plate_for(
                &(0..rows)
                    .flat_map(|r| (0..columns).map(move |c| (r, c)))
                    .collect(),
            )
        };
        assert_eq!((all(2, 3), all(4, 6)), ((2, 3), (4, 6)));
        // Part of a plate is more often part of a large one.
        assert_eq!(
            (all(2, 5), all(0, 0), all(1, 13)),
            ((8, 12), (8, 12), (16, 24))
        );
    }

    #[test]
    fn the_largest_value_is_yellow_and_the_smallest_dark() {
        let map = map(&[("A01", 0.0), ("A02", 10.0), ("B03", f64::NAN)]);
        let picture = map.picture().unwrap();
        // Just inside the corner of each well, clear of its text.
        let at =
            |row: usize, column: usize| picture.get(TOP + row * 46 + 3, LEFT + column * 66 + 3);
        assert_eq!((at(0, 0), at(0, 1)), (VIRIDIS[0], VIRIDIS[9]));
        assert_eq!((at(1, 2), at(1, 0)), (UNKNOWN, NOT_IMAGED));
        let svg = map.svg().unwrap();
        assert!(svg.as_str().contains("<title>A02: 10</title>"));
        assert!(svg.as_str().contains("area &lt;um2&gt;"));
    }

    #[test]
    fn what_is_no_well_is_said() {
        let error = map(&[("middle", 1.0)]).svg().unwrap_err().to_string();
        assert_eq!(
            error,
            "`middle` is no well of a plate; a well is named by row and column, such as `B02`"
        );
        assert!(map(&[]).picture().is_ok(), "a plate without wells is empty");
        assert!(
            map(&[("A1", f64::NAN)])
                .svg()
                .unwrap()
                .as_str()
                .contains("no values to show")
        );
    }

    #[test]
    fn numbers_in_wells_are_short() {
        let texts = [
            0.0, 0.1234, 9.996, 12.34, 123.4, 1234.0, 12_345.0, -0.5, 2.5e6, 1e-5,
        ]
        .map(short);
        assert_eq!(
            texts,
            [
                "0", "0.12", "10.0", "12.3", "123", "1234", "12.3k", "-0.50", "2.50M", "1e-5"
            ]
        );
    }
}
