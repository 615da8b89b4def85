//! The drawing of a plot: shapes in the plot's own units, described once and written by two back
//! ends.
//!
//! Here: the shapes, and both forms of SVG. Inside a page text and lines take their colours from
//! the page (`currentColor`, CSS variables), so they follow light and dark; a file of its own has
//! plain colours on white. Pictures are drawn in `raster`. Every text that comes from outside is
//! escaped.

use std::fmt::Write;

use crate::palette::{Rgb, css};

/// How the styles of every drawn SVG file begin: by this a file is known to be one of them.
pub const SVG_NOTE: &str = "<style>text{fill:#222}.grid{stroke:#ddd;fill:none}";

/// What a shape is for; decides its colour, thickness and dashes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Ink {
    /// Lines behind the data at the ticks.
    Grid,
    /// Axes and ticks.
    Axis,
    /// Upright and level lines with a name.
    Mark,
    /// Data of the series with this index.
    Series(usize),
    /// Data of the series with this index, as an interval: a little thicker.
    Interval(usize),
}

/// Colours of series: of pages by variable, of files and pictures as here. They work on white and
/// on near-black.
const SERIES: [Rgb; 6] = [
    [0x00, 0x72, 0xb2],
    [0xd5, 0x5e, 0x00],
    [0x00, 0x9e, 0x73],
    [0xcc, 0x79, 0xa7],
    [0x56, 0xb4, 0xe9],
    [0xe6, 0x9f, 0x00],
];

/// Opacity of areas.
pub(crate) const AREA: f64 = 0.18;

impl Ink {
    /// Class of the page's style sheet.
    fn class(self) -> &'static str {
        match self {
            Ink::Grid => "grid",
            Ink::Axis => "axis",
            Ink::Mark => "mark",
            Ink::Series(_) => "curve",
            Ink::Interval(_) => "interval",
        }
    }

    fn series(self) -> Option<usize> {
        match self {
            Ink::Series(i) | Ink::Interval(i) => Some(i % SERIES.len()),
            _ => None,
        }
    }

    /// Colour on white.
    pub(crate) fn color(self) -> Rgb {
        match (self, self.series()) {
            (_, Some(i)) => SERIES[i],
            (Ink::Grid, _) => [0xdd; 3],
            _ => [0x88; 3],
        }
    }

    /// Thickness of lines.
    pub(crate) fn width(self) -> f64 {
        match self {
            Ink::Series(_) => 2.0,
            Ink::Interval(_) => 2.5,
            _ => 1.0,
        }
    }

    /// The colour as CSS: a variable of the page with a fallback, or plain.
    fn css(self, page: bool) -> String {
        match self.series() {
            Some(i) if page => format!("var(--series-{}, {})", i + 1, css(SERIES[i])),
            _ => css(self.color()),
        }
    }
}

/// Lengths of dash and gap; `None` is a whole line.
pub(crate) type Dash = Option<[f64; 2]>;

/// Where a text's position lies in it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

impl Anchor {
    fn name(self) -> &'static str {
        match self {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        }
    }
}

/// A place: right, down.
pub(crate) type At = (f64, f64);

/// One shape.
#[derive(Clone, Debug)]
pub(crate) enum Shape {
    /// Lines from point to point.
    Line {
        points: Vec<At>,
        ink: Ink,
        dash: Dash,
    },
    /// A closed translucent area.
    Area { points: Vec<At>, ink: Ink },
    /// A filled circle.
    Dot { at: At, radius: f64, ink: Ink },
    /// A text; `at` is on its base line.
    Text {
        at: At,
        anchor: Anchor,
        text: String,
    },
}

/// Shapes and the size they lie in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Drawing {
    pub(crate) width: f64,
    pub(crate) height: f64,
    /// For readers who cannot see it.
    pub(crate) label: String,
    pub(crate) shapes: Vec<Shape>,
}

impl Drawing {
    pub(crate) fn new(width: f64, height: f64, label: String) -> Self {
        Self {
            width,
            height,
            label,
            shapes: Vec::new(),
        }
    }

    pub(crate) fn line(&mut self, ink: Ink, from: At, to: At) {
        let dash = (ink == Ink::Mark).then_some([2.0, 3.0]);
        self.path(ink, dash, vec![from, to]);
    }

    pub(crate) fn path(&mut self, ink: Ink, dash: Dash, points: Vec<At>) {
        self.shapes.push(Shape::Line { points, ink, dash });
    }

    pub(crate) fn dot(&mut self, ink: Ink, at: At, radius: f64) {
        self.shapes.push(Shape::Dot { at, radius, ink });
    }

    pub(crate) fn area(&mut self, ink: Ink, points: Vec<At>) {
        self.shapes.push(Shape::Area { points, ink });
    }

    pub(crate) fn text(&mut self, at: At, anchor: Anchor, text: &str) {
        self.shapes.push(Shape::Text {
            at,
            anchor,
            text: text.to_owned(),
        });
    }

    /// SVG for a page that has the style sheet.
    pub(crate) fn page_svg(&self) -> String {
        let Self { width, height, .. } = self;
        let label = escape(&self.label);
        let mut out = format!(
            "<svg class=\"plot\" viewBox=\"0 0 {width} {height}\" role=\"img\" \
             aria-label=\"{label}\">"
        );
        self.write_shapes(&mut out, true);
        out.push_str("</svg>");
        out
    }

    /// SVG as a file of its own; few programs know variables, so colours are plain.
    pub(crate) fn file_svg(&self) -> String {
        let Self { width, height, .. } = self;
        let label = escape(&self.label);
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
             role=\"img\" aria-label=\"{label}\" \
             font-family=\"sans-serif\" font-size=\"13\">{SVG_NOTE}.axis{{stroke:#888;fill:none}}\
             .mark{{stroke:#888;fill:none}}.curve{{fill:none;stroke-width:2}}\
             .interval{{fill:none;stroke-width:2.5}}</style>\
             <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>"
        );
        self.write_shapes(&mut out, false);
        out.push_str("</svg>");
        out
    }

    fn write_shapes(&self, out: &mut String, page: bool) {
        for shape in &self.shapes {
            // Writing to a String cannot fail.
            let _ = match shape {
                Shape::Line { points, ink, dash } => {
                    let dash = dash.map_or(String::new(), |[on, off]| {
                        format!(" stroke-dasharray=\"{on} {off}\"")
                    });
                    let stroke = match ink.series() {
                        Some(_) => format!(" style=\"stroke:{}\"", ink.css(page)),
                        None => String::new(),
                    };
                    let (class, path) = (ink.class(), path(points));
                    write!(out, "<path class=\"{class}\" d=\"{path}\"{stroke}{dash}/>")
                }
                Shape::Area { points, ink } => write!(
                    out,
                    "<path d=\"{}Z\" style=\"fill:{};stroke:none;fill-opacity:{AREA}\"/>",
                    path(points),
                    ink.css(page)
                ),
                Shape::Dot { at, radius, ink } => write!(
                    out,
                    "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"{radius}\" style=\"fill:{}\"/>",
                    at.0,
                    at.1,
                    ink.css(page)
                ),
                Shape::Text { at, anchor, text } => write!(
                    out,
                    "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{}\">{}</text>",
                    at.0,
                    at.1,
                    anchor.name(),
                    escape(text)
                ),
            };
        }
    }
}

fn path(points: &[At]) -> String {
    let mut path = String::new();
    for (i, (x, y)) in points.iter().enumerate() {
        let letter = if i == 0 { 'M' } else { 'L' };
        let _ = write!(path, "{letter}{x:.1} {y:.1}");
    }
    path
}

/// Text as SVG has it, between tags and in attributes.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}
