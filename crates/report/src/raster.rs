//! The drawing of a plot as a picture, with smooth edges, dark on white.
//!
//! Coverage of a pixel by a line or dot is taken from its distance to the pixel's middle, that of
//! an area from the stretches it covers on four lines a pixel.

use stainfree_image::Image;

use crate::drawing::{AREA, Anchor, At, Dash, Drawing, Shape};
use crate::font::{PLOT, mix};
use crate::palette::Rgb;

/// Pixels per unit of a plot: sharp on slides and in print at a column's width.
const SCALE: f64 = 2.0;
/// From the top of a letter's cell to its base line, pixels.
const BASE: f64 = 19.0;
const INK: Rgb = [0x22; 3];
/// Lines on which the coverage of areas is taken, per pixel.
const SUBLINES: usize = 4;

impl Drawing {
    /// The drawing as an sRGB picture of `SCALE` pixels to a unit.
    pub(crate) fn picture(&self) -> Image<Rgb> {
        let side = |units: f64| ((units * SCALE).round() as usize).max(1);
        let mut picture = Image::filled(side(self.height), side(self.width), [255u8; 3]);
        let scaled = |&(x, y): &At| (x * SCALE, y * SCALE);
        for shape in &self.shapes {
            match shape {
                Shape::Line { points, ink, dash } => {
                    let points: Vec<At> = points.iter().map(scaled).collect();
                    let pieces = dashes(&points, dash.map(|dash| dash.map(|d| d * SCALE)));
                    draw_lines(&mut picture, &pieces, ink.width() * SCALE, ink.color());
                }
                Shape::Area { points, ink } => {
                    let points: Vec<At> = points.iter().map(scaled).collect();
                    draw_area(&mut picture, &points, ink.color());
                }
                Shape::Dot { at, radius, ink } => {
                    let at = scaled(at);
                    draw_lines(&mut picture, &[(at, at)], 2.0 * radius * SCALE, ink.color());
                }
                Shape::Text { at, anchor, text } => {
                    draw_text(&mut picture, scaled(at), *anchor, text);
                }
            }
        }
        picture
    }
}

/// A piece of a line, from and to.
type Piece = (At, At);

/// The pieces of a line that are drawn.
fn dashes(points: &[At], dash: Dash) -> Vec<Piece> {
    let whole = points.windows(2).map(|pair| (pair[0], pair[1]));
    let Some(lengths) = dash else {
        return whole.collect();
    };
    let mut pieces = Vec::new();
    // Dash or gap we are in, and what is left of it.
    let (mut phase, mut left) = (0, lengths[0]);
    for (from, to) in whole {
        let length = (to.0 - from.0).hypot(to.1 - from.1);
        let at = |along: f64| {
            let share = along / length;
            (
                from.0 + share * (to.0 - from.0),
                from.1 + share * (to.1 - from.1),
            )
        };
        let mut along = 0.0;
        while along < length {
            let end = (along + left).min(length);
            if phase == 0 {
                pieces.push((at(along), at(end)));
            }
            left -= end - along;
            along = end;
            if left <= 1e-9 {
                phase = 1 - phase;
                left = lengths[phase];
            }
        }
    }
    pieces
}

/// Pieces with round ends; where they meet, nothing is painted twice.
fn draw_lines(picture: &mut Image<Rgb>, pieces: &[Piece], width: f64, color: Rgb) {
    let reach = width / 2.0 + 0.5;
    let all = pieces.iter().flat_map(|&(from, to)| [from, to]);
    let (rows, columns) = window(picture, all, reach);
    let (height, span) = (rows.len(), columns.len());
    let mut coverage = vec![0.0f64; height * span];
    for &(from, to) in pieces {
        let (near_rows, near_columns) = window(picture, [from, to].into_iter(), reach);
        for y in near_rows {
            for x in near_columns.clone() {
                let distance = distance((x as f64 + 0.5, y as f64 + 0.5), from, to);
                let here = &mut coverage[(y - rows.start) * span + x - columns.start];
                *here = here.max((reach - distance).clamp(0.0, 1.0));
            }
        }
    }
    for (i, &share) in coverage
        .iter()
        .enumerate()
        .filter(|(_, share)| **share > 0.0)
    {
        mix(
            picture.get_mut(rows.start + i / span, columns.start + i % span),
            color,
            share,
        );
    }
}

/// Rows and columns of the picture that points reach.
fn window(
    picture: &Image<Rgb>,
    points: impl Iterator<Item = At>,
    reach: f64,
) -> (std::ops::Range<usize>, std::ops::Range<usize>) {
    let mut bounds = [
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::INFINITY,
        f64::NEG_INFINITY,
    ];
    for (x, y) in points {
        bounds = [
            bounds[0].min(y),
            bounds[1].max(y),
            bounds[2].min(x),
            bounds[3].max(x),
        ];
    }
    let range = |low: f64, high: f64, len: usize| {
        let from = (low - reach).floor().max(0.0) as usize;
        let to = (high + reach).ceil().max(0.0) as usize;
        from.min(len)..to.min(len)
    };
    let [top, bottom, left, right] = bounds;
    (
        range(top, bottom, picture.height()),
        range(left, right, picture.width()),
    )
}

fn distance(at: At, from: At, to: At) -> f64 {
    let (dx, dy) = (to.0 - from.0, to.1 - from.1);
    let (x, y) = (at.0 - from.0, at.1 - from.1);
    let squared = dx * dx + dy * dy;
    let along = if squared > 0.0 {
        ((x * dx + y * dy) / squared).clamp(0.0, 1.0)
    } else {
        0.0
    };
    (x - along * dx).hypot(y - along * dy)
}

/// The inside of a closed outline, even-odd.
fn draw_area(picture: &mut Image<Rgb>, outline: &[At], color: Rgb) {
    let (rows, _) = window(picture, outline.iter().copied(), 0.0);
    let width = picture.width();
    for row in rows {
        let mut coverage = vec![0.0f64; width];
        for subline in 0..SUBLINES {
            let y = row as f64 + (subline as f64 + 0.5) / SUBLINES as f64;
            for stretch in crossings(outline, y).chunks_exact(2) {
                let (from, to) = (stretch[0].max(0.0), stretch[1].min(width as f64));
                let first = from as usize;
                for (x, share) in coverage
                    .iter_mut()
                    .enumerate()
                    .take(to.ceil() as usize)
                    .skip(first)
                {
                    let inside = to.min(x as f64 + 1.0) - from.max(x as f64);
                    *share += inside.max(0.0) / SUBLINES as f64;
                }
            }
        }
        for (x, &share) in coverage
            .iter()
            .enumerate()
            .filter(|(_, share)| **share > 0.0)
        {
            mix(picture.get_mut(row, x), color, share.min(1.0) * AREA);
        }
    }
}

/// Where the outline crosses a line, from the left.
fn crossings(outline: &[At], y: f64) -> Vec<f64> {
    let next = outline.iter().cycle().skip(1);
    let mut found: Vec<f64> = outline
        .iter()
        .zip(next)
        .filter(|(from, to)| (from.1 <= y) != (to.1 <= y))
        .map(|(from, to)| from.0 + (y - from.1) / (to.1 - from.1) * (to.0 - from.0))
        .collect();
    found.sort_unstable_by(f64::total_cmp);
    found
}

fn draw_text(picture: &mut Image<Rgb>, at: At, anchor: Anchor, text: &str) {
    let width = PLOT.width(text) as f64;
    let left = match anchor {
        Anchor::Start => at.0,
        Anchor::Middle => at.0 - width / 2.0,
        Anchor::End => at.0 - width,
    };
    let corner = ((at.1 - BASE).round() as i64, left.round() as i64);
    PLOT.draw(picture, corner, text, INK);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drawing::Ink;

    fn drawing(shape: Shape) -> Drawing {
        let mut drawing = Drawing::new(20.0, 10.0, String::new());
        drawing.shapes.push(shape);
        drawing
    }

    /// How much of each pixel the shape covers, added up, in square units of the plot.
    fn covered(picture: &Image<Rgb>, color: Rgb) -> f64 {
        let share = |pixel: &Rgb| (255.0 - f64::from(pixel[0])) / (255.0 - f64::from(color[0]));
        picture.data().iter().map(share).sum::<f64>() / (SCALE * SCALE)
    }

    #[test]
    fn shapes_cover_their_area() {
        let ink = Ink::Series(0);
        let dot = drawing(Shape::Dot {
            at: (10.3, 5.1),
            radius: 3.0,
            ink,
        })
        .picture();
        let expected = std::f64::consts::PI * 9.0;
        // Distance instead of true coverage at the rim, and colours in whole steps.
        assert!((covered(&dot, ink.color()) - expected).abs() < 0.3);
        let line = Shape::Line {
            points: vec![(4.0, 2.0), (10.0, 5.0), (16.0, 5.0)],
            ink,
            dash: None,
        };
        let length = 45f64.sqrt() + 6.0;
        let expected = length * 2.0 + std::f64::consts::PI;
        assert!((covered(&drawing(line).picture(), ink.color()) - expected).abs() < 0.4);
        let area = Shape::Area {
            points: vec![(2.25, 1.0), (12.25, 1.0), (12.25, 7.0)],
            ink,
        };
        let found = covered(&drawing(area).picture(), ink.color()) / AREA;
        assert!((found - 30.0).abs() < 0.6, "{found}");
    }

    #[test]
    fn dashes_keep_their_rhythm_round_corners() {
        let pieces = dashes(&[(0.0, 0.0), (5.0, 0.0), (5.0, 5.0)], Some([4.0, 2.0]));
        assert_eq!(pieces, [((0.0, 0.0), (4.0, 0.0)), ((5.0, 1.0), (5.0, 5.0))]);
    }

    #[test]
    fn text_stands_where_its_anchor_says() {
        let columns = |anchor: Anchor| {
            let text = Shape::Text {
                at: (10.0, 8.0),
                anchor,
                text: "H".into(),
            };
            let picture = drawing(text).picture();
            let dark = (0..picture.width())
                .filter(|&x| (0..picture.height()).any(|y| picture.get(y, x)[0] < 128));
            let dark: Vec<usize> = dark.collect();
            (dark[0], dark[dark.len() - 1])
        };
        assert!(columns(Anchor::Start).0 >= 20);
        assert!(columns(Anchor::End).1 < 20);
        let (left, right) = columns(Anchor::Middle);
        assert!(left < 20 && right >= 20);
    }
}
