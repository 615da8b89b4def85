//! Plots as SVG: curves over steps, and scores with their intervals.
//!
//! The drawings take text and line colours from the page (`currentColor`, CSS variables with fixed
//! fallbacks), so they follow light and dark; every text that comes from outside is escaped.

use std::fmt::Write;

use crate::axis::{Axis, Scale};
use crate::data::Svg;

/// Size of a plot in its own units; the page scales it to the column.
const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 46.0;
/// Room for a letter: the page sets 13 units on wide windows, 16 on narrow ones.
const LETTER: f64 = 8.6;

/// Height of a line of a legend below the plot.
const LEGEND_LINE: f64 = 19.0;

/// Colours of series as the page's variables; the fallbacks work on white and on near-black.
const SERIES: [&str; 6] = [
    "var(--series-1, #0072b2)",
    "var(--series-2, #d55e00)",
    "var(--series-3, #009e73)",
    "var(--series-4, #cc79a7)",
    "var(--series-5, #56b4e9)",
    "var(--series-6, #e69f00)",
];

/// One curve.
#[derive(Clone, Debug, Default)]
pub struct Series {
    /// Name in the legend.
    pub name: String,
    /// `(x, y)` in drawing order; values that are not finite break the curve.
    pub points: Vec<(f64, f64)>,
    /// Dashed, for a second measurement of the same kind (validation beside training).
    pub dashed: bool,
}

/// Curves over a common horizontal axis, such as loss against training steps.
#[derive(Clone, Debug, Default)]
pub struct LineChart {
    /// Text below the horizontal axis.
    pub x_label: String,
    /// Text above the vertical axis.
    pub y_label: String,
    /// The curves.
    pub series: Vec<Series>,
    /// Scale of the horizontal axis.
    pub x_scale: Scale,
    /// Scale of the vertical axis.
    pub y_scale: Scale,
    /// Upright lines with a name, such as the chosen checkpoint.
    pub marks: Vec<(f64, String)>,
}

impl LineChart {
    /// The drawing; without any point that can be shown, a line of text that says so.
    pub fn svg(&self) -> Svg {
        let xs = self
            .series
            .iter()
            .flat_map(|s| s.points.iter().map(|p| p.0));
        let ys = self
            .series
            .iter()
            .flat_map(|s| s.points.iter().map(|p| p.1));
        let marks = self.marks.iter().map(|mark| mark.0);
        let axes = (
            Axis::over(xs.chain(marks), self.x_scale, 6),
            Axis::over(ys, self.y_scale, 5),
        );
        let (Some(x), Some(y)) = axes else {
            return nothing();
        };
        let below = if legend_fits(&self.series, &self.y_label) {
            0.0
        } else {
            LEGEND_LINE * self.series.len() as f64 + 6.0
        };
        let mut out = open(
            WIDTH,
            HEIGHT + below,
            &format!("{} against {}", self.y_label, self.x_label),
        );
        let px = |v: f64| x.place(v).map(|p| LEFT + p * (WIDTH - LEFT - RIGHT));
        let py = |v: f64| {
            y.place(v)
                .map(|p| HEIGHT - BOTTOM - p * (HEIGHT - TOP - BOTTOM))
        };
        for &tick in &y.ticks {
            if let Some(at) = py(tick) {
                line(&mut out, "grid", (LEFT, at), (WIDTH - RIGHT, at));
                text(&mut out, LEFT - 8.0, at + 4.0, "end", &y.label(tick));
            }
        }
        let floor = HEIGHT - BOTTOM;
        for &tick in &x.ticks {
            if let Some(at) = px(tick) {
                line(&mut out, "axis", (at, floor), (at, floor + 5.0));
                text(&mut out, at, floor + 19.0, "middle", &x.label(tick));
            }
        }
        line(&mut out, "axis", (LEFT, floor), (WIDTH - RIGHT, floor));
        text(
            &mut out,
            (LEFT + WIDTH - RIGHT) / 2.0,
            HEIGHT - 8.0,
            "middle",
            &self.x_label,
        );
        for (at, name) in &self.marks {
            if let Some(at) = px(*at) {
                line(&mut out, "mark", (at, TOP), (at, floor));
                let (anchor, shift) = if at > WIDTH * 0.7 {
                    ("end", -5.0)
                } else {
                    ("start", 5.0)
                };
                text(&mut out, at + shift, TOP + 12.0, anchor, name);
            }
        }
        for (i, series) in self.series.iter().enumerate() {
            curve(&mut out, series, &style(i, series), px, py);
        }
        text(&mut out, 4.0, 16.0, "start", &self.y_label);
        legend(&mut out, &self.series, below > 0.0);
        out.push_str("</svg>");
        Svg(out)
    }
}

fn curve(
    out: &mut String,
    series: &Series,
    style: &Style,
    px: impl Fn(f64) -> Option<f64>,
    py: impl Fn(f64) -> Option<f64>,
) {
    let mut path = String::new();
    let mut pen_down = false;
    let mut shown = Vec::new();
    for &(x, y) in &series.points {
        let (Some(x), Some(y)) = (px(x), py(y)) else {
            pen_down = false;
            continue;
        };
        let letter = if pen_down { 'L' } else { 'M' };
        // Writing to a String cannot fail.
        let _ = write!(path, "{letter}{x:.1} {y:.1}");
        pen_down = true;
        shown.push((x, y));
    }
    let Style { color, dash } = style;
    let _ = write!(
        out,
        "<path class=\"curve\" d=\"{path}\" style=\"stroke:{color}\"{dash}/>"
    );
    // Few points are measurements rather than a curve; show each.
    if shown.len() <= 40 {
        for (x, y) in shown {
            let _ = write!(
                out,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.4\" style=\"fill:{color}\"/>"
            );
        }
    }
}

/// How a curve is told from the others.
struct Style {
    color: &'static str,
    dash: &'static str,
}

/// Colours come round after six curves; every second round is dotted.
fn style(index: usize, series: &Series) -> Style {
    Style {
        color: SERIES[index % SERIES.len()],
        dash: match (series.dashed, index / SERIES.len() % 2) {
            (true, _) => " stroke-dasharray=\"6 4\"",
            (false, 0) => "",
            (false, _) => " stroke-dasharray=\"2 3\"",
        },
    }
}

/// Room for a name in the legend.
fn legend_width(series: &Series) -> f64 {
    series.name.chars().count() as f64 * LETTER + 34.0
}

/// Whether all names have room in a row that starts where the vertical axis label ends.
fn legend_fits(series: &[Series], y_label: &str) -> bool {
    let names: f64 = series.iter().map(legend_width).sum();
    names + y_label.chars().count() as f64 * LETTER + 12.0 <= WIDTH - RIGHT
}

/// Names in a row above the plot, or below it one to a line.
fn legend(out: &mut String, series: &[Series], below: bool) {
    let mut x = WIDTH - RIGHT;
    for (i, s) in series
        .iter()
        .enumerate()
        .rev()
        .filter(|(_, s)| !s.name.is_empty())
    {
        let (x, y) = if below {
            (LEFT, HEIGHT + LEGEND_LINE * (i as f64 + 0.5))
        } else {
            x -= legend_width(s);
            (x, 12.0)
        };
        let Style { color, dash } = style(i, s);
        let _ = write!(
            out,
            "<path class=\"curve\" d=\"M{x:.1} {y:.1}h20\" style=\"stroke:{color}\"{dash}/>"
        );
        text(out, x + 25.0, y + 4.0, "start", &s.name);
    }
}

/// One score with its interval.
#[derive(Clone, Debug, Default)]
pub struct IntervalRow {
    /// Name of the score.
    pub label: String,
    /// Its value; `None` is shown as undefined.
    pub value: Option<f64>,
    /// Its interval.
    pub interval: Option<[f64; 2]>,
}

/// Scores below one another: a dot for the value, a bar for the interval.
#[derive(Clone, Debug, Default)]
pub struct IntervalChart {
    /// The scores.
    pub rows: Vec<IntervalRow>,
}

impl IntervalChart {
    /// The drawing. Scores lie between 0 and 1; the axis starts where the lowest of them needs it to.
    pub fn svg(&self) -> Svg {
        let values = self
            .rows
            .iter()
            .flat_map(|r| r.value.into_iter().chain(r.interval.into_iter().flatten()));
        let Some(axis) = Axis::over(values.chain([1.0]), Scale::Linear, 5) else {
            return nothing();
        };
        let longest = self
            .rows
            .iter()
            .map(|r| r.label.chars().count())
            .max()
            .unwrap_or(0);
        let left = (longest as f64 * LETTER + 16.0).min(WIDTH * 0.52);
        let right = 64.0;
        let height = 30.0 * self.rows.len() as f64 + 36.0;
        let floor = height - 28.0;
        let mut out = open(WIDTH, height, "scores with their 95 % intervals");
        let px = |v: f64| axis.place(v).map(|p| left + p * (WIDTH - left - right));
        for &tick in &axis.ticks {
            if let Some(at) = px(tick) {
                line(&mut out, "grid", (at, 4.0), (at, floor));
                text(&mut out, at, floor + 18.0, "middle", &axis.label(tick));
            }
        }
        for (i, row) in self.rows.iter().enumerate() {
            let y = 20.0 + 30.0 * i as f64;
            text(&mut out, left - 12.0, y + 4.5, "end", &row.label);
            if let Some([low, high]) = row.interval
                && let (Some(low), Some(high)) = (px(low), px(high))
            {
                let _ = write!(
                    out,
                    "<path class=\"interval\" d=\"M{low:.1} {y:.1}H{high:.1}M{low:.1} {:.1}v10M{high:.1} {:.1}v10\" \
                     style=\"stroke:{}\"/>",
                    y - 5.0,
                    y - 5.0,
                    SERIES[0]
                );
            }
            if let Some(at) = row.value.and_then(px) {
                let _ = write!(
                    out,
                    "<circle cx=\"{at:.1}\" cy=\"{y:.1}\" r=\"4.5\" style=\"fill:{}\"/>",
                    SERIES[0]
                );
            }
            let shown = row.value.map_or("n/a".to_owned(), |v| format!("{v:.3}"));
            text(&mut out, WIDTH - 4.0, y + 4.5, "end", &shown);
        }
        out.push_str("</svg>");
        Svg(out)
    }
}

/// A plot as a file of its own: what the page's style sheet says, in plain colours on white, since few programs
/// know variables.
pub(crate) fn standalone(svg: &str) -> String {
    let mut plain = String::with_capacity(svg.len() + 900);
    let mut rest = svg;
    while let Some((before, after)) = rest.split_once("var(--") {
        plain.push_str(before);
        let (_, fallback) = after.split_once(", ").unwrap_or(("", after));
        let (color, after) = fallback.split_once(')').unwrap_or((fallback, ""));
        plain.push_str(color);
        rest = after;
    }
    plain.push_str(rest);
    let Some((tag, body)) = plain.split_once('>') else {
        return plain;
    };
    let tag = tag.replace(
        "<svg class=\"plot\"",
        "<svg xmlns=\"http://www.w3.org/2000/svg\"",
    );
    format!(
        "{tag} font-family=\"sans-serif\" font-size=\"13\"><style>text{{fill:#222}}\
         .grid{{stroke:#ddd;fill:none}}.axis{{stroke:#888;fill:none}}\
         .mark{{stroke:#888;fill:none;stroke-dasharray:2 3}}.curve{{fill:none;stroke-width:2}}\
         .interval{{fill:none;stroke-width:2.5}}</style>\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>{body}"
    )
}

fn open(width: f64, height: f64, label: &str) -> String {
    format!(
        "<svg class=\"plot\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{}\">",
        escape(label)
    )
}

fn nothing() -> Svg {
    let mut out = open(WIDTH, 40.0, "no values");
    text(&mut out, WIDTH / 2.0, 24.0, "middle", "no values to show");
    out.push_str("</svg>");
    Svg(out)
}

fn line(out: &mut String, class: &str, from: (f64, f64), to: (f64, f64)) {
    let _ = write!(
        out,
        "<path class=\"{class}\" d=\"M{:.1} {:.1}L{:.1} {:.1}\"/>",
        from.0, from.1, to.0, to.1
    );
}

fn text(out: &mut String, x: f64, y: f64, anchor: &str, content: &str) {
    let _ = write!(
        out,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>",
        escape(content)
    );
}

/// Text for SVG content and attributes.
fn escape(text: &str) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: &[(f64, f64)]) -> LineChart {
        LineChart {
            series: vec![Series {
                name: "training <b>".into(),
                points: points.to_vec(),
                dashed: false,
            }],
            y_label: "loss & more".into(),
            ..Default::default()
        }
    }

    #[test]
    fn curves_run_from_the_first_to_the_last_point() {
        let svg = chart(&[(0.0, 0.0), (10.0, 1.0)]).svg();
        assert!(
            svg.as_str().contains("d=\"M56.0 254.0L536.0 34.0\""),
            "{}",
            svg.as_str()
        );
    }

    #[test]
    fn a_value_that_is_not_finite_breaks_the_curve() {
        let svg = chart(&[(0.0, 0.0), (1.0, f64::NAN), (2.0, 1.0), (4.0, 1.0)]).svg();
        let path = svg.as_str().split("class=\"curve\" d=\"").nth(1).unwrap();
        let path = path.split('"').next().unwrap();
        assert_eq!(path.matches('M').count(), 2, "{path}");
    }

    #[test]
    fn a_file_of_its_own_needs_no_style_sheet() {
        let svg = chart(&[(0.0, 0.0), (10.0, 1.0)]).svg().standalone();
        assert!(
            svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 560 300\"")
        );
        assert!(
            !svg.contains("var(") && svg.contains("stroke:#0072b2"),
            "{svg}"
        );
        assert!(svg.ends_with("</svg>"));
    }

    #[test]
    fn a_legend_that_is_too_wide_goes_below_a_line_to_each_name() {
        let mut many = chart(&[(0.0, 0.0), (1.0, 1.0)]);
        many.series = vec![many.series[0].clone(); 8];
        let svg = many.svg();
        assert!(
            svg.as_str().contains("viewBox=\"0 0 560 458\""),
            "{}",
            svg.as_str()
        );
        // Six colours, then dotted.
        assert_eq!(svg.as_str().matches("stroke-dasharray=\"2 3\"").count(), 4);
    }

    #[test]
    fn names_are_escaped() {
        let svg = chart(&[(0.0, 1.0)]).svg();
        assert!(svg.as_str().contains("training &lt;b&gt;") && !svg.as_str().contains("<b>"));
        assert!(svg.as_str().contains("loss &amp; more"));
    }

    #[test]
    fn plots_without_values_say_so() {
        assert!(
            LineChart::default()
                .svg()
                .as_str()
                .contains("no values to show")
        );
        let row = IntervalRow {
            label: "F1".into(),
            ..Default::default()
        };
        assert!(
            IntervalChart { rows: vec![row] }
                .svg()
                .as_str()
                .contains("n/a")
        );
    }
}
