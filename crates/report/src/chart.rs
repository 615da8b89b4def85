//! Plots: curves over steps, measurements with bands and levels, and scores with their intervals.
//!
//! Here: where everything lies. How it is written down is in [`drawing`](crate::drawing).

use crate::axis::{Axis, Scale};
use crate::data::Svg;
use crate::drawing::{Anchor, At, Dash, Drawing, Ink};

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
/// Colours come round after so many curves.
const COLORS: usize = 6;
/// Radius of a measurement.
const DOT: f64 = 3.6;

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
        let all = || self.series.iter().flat_map(|s| &s.points);
        let xs = all().map(|p| p.0).chain(self.marks.iter().map(|m| m.0));
        let ys = all().map(|p| p.1);
        let (x_axis, y_axis) = (
            (&*self.x_label, self.x_scale),
            (&*self.y_label, self.y_scale),
        );
        let keys = self
            .series
            .iter()
            .enumerate()
            .map(|(i, s)| Key::line(i, s))
            .collect();
        let Some(mut frame) = Frame::new((xs, x_axis), (ys, y_axis), keys) else {
            return nothing();
        };
        if !all().any(|point| frame.place(*point).is_some()) {
            return nothing();
        }
        for (at, name) in &self.marks {
            frame.upright(*at, name);
        }
        for (i, series) in self.series.iter().enumerate() {
            frame.curve(i, series);
        }
        Svg::of(frame.finish())
    }
}

/// A stretch between two curves, such as an interval.
#[derive(Clone, Debug, Default)]
pub struct Band {
    /// Which series it belongs to, from 0.
    pub series: usize,
    /// `(x, low, high)` in order; values that are not finite are left out.
    pub points: Vec<(f64, f64, f64)>,
}

/// A level line with a name.
#[derive(Clone, Debug)]
pub struct Level {
    /// Its height.
    pub y: f64,
    /// What it is, written at its right end, or at its left one where points are in the way.
    pub name: String,
    /// Drawn whole instead of dotted.
    pub strong: bool,
}

/// Measurements as points, with curves through them, bands and levels.
#[derive(Clone, Debug, Default)]
pub struct PointChart {
    /// Text below the horizontal axis.
    pub x_label: String,
    /// Text above the vertical axis.
    pub y_label: String,
    /// Measurements, in the colours of the first series and following.
    pub points: Vec<Series>,
    /// Curves, in the same colours; those without a name are not in the legend.
    pub curves: Vec<Series>,
    /// Continuations of the curves to where nothing was measured, in the same colours, dashed.
    pub continuations: Vec<Series>,
    /// Bands behind them.
    pub bands: Vec<Band>,
    /// Level lines.
    pub levels: Vec<Level>,
    /// A line along which y equals x.
    pub diagonal: bool,
    /// Scale of the horizontal axis.
    pub x_scale: Scale,
}

impl PointChart {
    /// The drawing; without any point that can be shown, a line of text that says so.
    pub fn svg(&self) -> Svg {
        let all = || {
            self.points
                .iter()
                .chain(&self.curves)
                .flat_map(|s| &s.points)
        };
        let bands = || self.bands.iter().flat_map(|b| &b.points);
        let xs = all().map(|p| p.0).chain(bands().map(|p| p.0));
        let ys = all()
            .map(|p| p.1)
            .chain(bands().flat_map(|p| [p.1, p.2]))
            .chain(self.levels.iter().map(|l| l.y));
        let points = self.points.iter().enumerate().map(|(i, s)| Key::dot(i, s));
        let lines = || {
            let continued = self.continuations.iter().enumerate();
            self.curves.iter().enumerate().chain(continued)
        };
        let curves = lines().map(|(i, s)| Key::line(i, s));
        let (x_axis, y_axis) = (
            (&*self.x_label, self.x_scale),
            (&*self.y_label, Scale::Linear),
        );
        let keys = points.chain(curves).collect();
        let Some(mut frame) = Frame::new((xs, x_axis), (ys, y_axis), keys) else {
            return nothing();
        };
        let ends = bands().flat_map(|&(x, low, high)| [(x, low), (x, high)]);
        if !all()
            .copied()
            .chain(ends)
            .any(|point| frame.place(point).is_some())
        {
            return nothing();
        }
        for band in &self.bands {
            frame.band(band);
        }
        if self.diagonal {
            frame.diagonal();
        }
        for level in &self.levels {
            frame.level(level, &self.points);
        }
        for (i, series) in lines() {
            frame.path(i, series);
        }
        for (i, series) in self.points.iter().enumerate() {
            frame.dots(i, series, DOT);
        }
        Svg::of(frame.finish())
    }
}

/// A name of the legend and what it stands for.
struct Key {
    name: String,
    ink: Ink,
    /// `None` for a dot.
    line: Option<Dash>,
}

impl Key {
    fn line(index: usize, series: &Series) -> Self {
        Self {
            name: series.name.clone(),
            ink: Ink::Series(index),
            line: Some(dash(index, series)),
        }
    }

    fn dot(index: usize, series: &Series) -> Self {
        Self {
            line: None,
            ..Self::line(index, series)
        }
    }

    /// Room for the name.
    fn width(&self) -> f64 {
        self.name.chars().count() as f64 * LETTER + 34.0
    }
}

/// Colours come round; later rounds are dotted, then dashed in other ways.
fn dash(index: usize, series: &Series) -> Dash {
    const ROUNDS: [Dash; 4] = [None, Some([2.0, 3.0]), Some([10.0, 3.0]), Some([4.0, 8.0])];
    match series.dashed {
        true => Some([6.0, 4.0]),
        false => ROUNDS[index / COLORS % ROUNDS.len()],
    }
}

/// Axes and what is drawn between them.
struct Frame {
    x: Axis,
    y: Axis,
    keys: Vec<Key>,
    y_label: String,
    out: Drawing,
}

impl Frame {
    /// Axes over values, each with its label and scale; `None` where there is nothing to show.
    fn new<'a>(
        (xs, (x_label, x_scale)): (impl Iterator<Item = f64>, (&'a str, Scale)),
        (ys, (y_label, y_scale)): (impl Iterator<Item = f64>, (&'a str, Scale)),
        keys: Vec<Key>,
    ) -> Option<Self> {
        let (x, y) = (Axis::over(xs, x_scale, 6)?, Axis::over(ys, y_scale, 5)?);
        let keys: Vec<Key> = keys
            .into_iter()
            .filter(|key| !key.name.is_empty())
            .collect();
        let names: f64 = keys.iter().map(Key::width).sum();
        // In a row that starts where the label of the vertical axis ends, or below the plot.
        let fits = names + y_label.chars().count() as f64 * LETTER + 12.0 <= WIDTH - RIGHT;
        let below = if fits {
            0.0
        } else {
            LEGEND_LINE * keys.len() as f64 + 6.0
        };
        let label = format!("{y_label} against {x_label}");
        let mut frame = Self {
            x,
            y,
            keys,
            y_label: y_label.to_owned(),
            out: Drawing::new(WIDTH, HEIGHT + below, label),
        };
        frame.axes(x_label);
        Some(frame)
    }

    fn axes(&mut self, x_label: &str) {
        let floor = HEIGHT - BOTTOM;
        for tick in self.y.ticks.clone() {
            if let Some(at) = self.py(tick) {
                self.out.line(Ink::Grid, (LEFT, at), (WIDTH - RIGHT, at));
                let label = self.y.label(tick);
                self.out.text((LEFT - 8.0, at + 4.0), Anchor::End, &label);
            }
        }
        for tick in self.x.ticks.clone() {
            if let Some(at) = self.px(tick) {
                self.out.line(Ink::Axis, (at, floor), (at, floor + 5.0));
                let label = self.x.label(tick);
                self.out.text((at, floor + 19.0), Anchor::Middle, &label);
            }
        }
        self.out
            .line(Ink::Axis, (LEFT, floor), (WIDTH - RIGHT, floor));
        let middle = (LEFT + WIDTH - RIGHT) / 2.0;
        self.out
            .text((middle, HEIGHT - 8.0), Anchor::Middle, x_label);
    }

    fn px(&self, value: f64) -> Option<f64> {
        Some(LEFT + self.x.place(value)? * (WIDTH - LEFT - RIGHT))
    }

    fn py(&self, value: f64) -> Option<f64> {
        Some(HEIGHT - BOTTOM - self.y.place(value)? * (HEIGHT - TOP - BOTTOM))
    }

    fn place(&self, (x, y): (f64, f64)) -> Option<At> {
        Some((self.px(x)?, self.py(y)?))
    }

    fn upright(&mut self, at: f64, name: &str) {
        let Some(at) = self.px(at) else {
            return;
        };
        self.out.line(Ink::Mark, (at, TOP), (at, HEIGHT - BOTTOM));
        let (anchor, shift) = if at > WIDTH * 0.7 {
            (Anchor::End, -5.0)
        } else {
            (Anchor::Start, 5.0)
        };
        self.out.text((at + shift, TOP + 12.0), anchor, name);
    }

    /// A level with its name at that end where fewer of `points` lie below it.
    fn level(&mut self, level: &Level, points: &[Series]) {
        let Some(at) = self.py(level.y) else {
            return;
        };
        let (from, to) = ((LEFT, at), (WIDTH - RIGHT, at));
        let ink = if level.strong { Ink::Axis } else { Ink::Mark };
        self.out.line(ink, from, to);
        let length = level.name.chars().count() as f64 * LETTER;
        let hidden = |from: f64| {
            let places = points.iter().flat_map(|s| &s.points);
            let inside = places.filter_map(|p| self.place(*p)).filter(|(x, y)| {
                let across = from - DOT..=from + length + DOT;
                across.contains(x) && (at - 17.0 - DOT..at).contains(y)
            });
            inside.count()
        };
        let name = &level.name;
        if hidden(to.0 - length) <= hidden(from.0 + 4.0) {
            self.out.text((to.0, at - 5.0), Anchor::End, name);
        } else {
            self.out.text((from.0 + 4.0, at - 5.0), Anchor::Start, name);
        }
    }

    /// Between the corners where both axes have the same value.
    fn diagonal(&mut self) {
        let ends = (self.x.from.max(self.y.from), self.x.to.min(self.y.to));
        let ends = [ends.0, ends.1].map(|v| self.place((v, v)));
        if let [Some(from), Some(to)] = ends {
            self.out.line(Ink::Mark, from, to);
        }
    }

    fn band(&mut self, band: &Band) {
        let side = |of: fn(&(f64, f64, f64)) -> f64| -> Vec<At> {
            let points = band.points.iter();
            points.filter_map(|p| self.place((p.0, of(p)))).collect()
        };
        let (low, high) = (side(|p| p.1), side(|p| p.2));
        let outline = low.into_iter().chain(high.into_iter().rev()).collect();
        self.out.area(Ink::Series(band.series), outline);
    }

    /// A curve, and its points where they are few: those are measurements.
    fn curve(&mut self, index: usize, series: &Series) {
        self.path(index, series);
        let shown = series.points.iter().filter(|p| self.place(**p).is_some());
        if shown.count() <= 40 {
            self.dots(index, series, 2.4);
        }
    }

    fn path(&mut self, index: usize, series: &Series) {
        let places: Vec<Option<At>> = series.points.iter().map(|p| self.place(*p)).collect();
        for part in places.split(Option::is_none).filter(|part| part.len() > 1) {
            let points = part.iter().flatten().copied().collect();
            self.out
                .path(Ink::Series(index), dash(index, series), points);
        }
    }

    fn dots(&mut self, index: usize, series: &Series, radius: f64) {
        for at in series
            .points
            .iter()
            .filter_map(|p| self.place(*p))
            .collect::<Vec<_>>()
        {
            self.out.dot(Ink::Series(index), at, radius);
        }
    }

    /// The label of the vertical axis and the legend, above everything.
    fn finish(mut self) -> Drawing {
        self.out.text((4.0, 16.0), Anchor::Start, &self.y_label);
        let below = self.out.height > HEIGHT;
        let mut x = WIDTH - RIGHT;
        for (i, key) in self.keys.iter().enumerate().rev() {
            let (x, y) = if below {
                (LEFT, HEIGHT + LEGEND_LINE * (i as f64 + 0.5))
            } else {
                x -= key.width();
                (x, 12.0)
            };
            match key.line {
                Some(dash) => self.out.path(key.ink, dash, vec![(x, y), (x + 20.0, y)]),
                None => self.out.dot(key.ink, (x + 10.0, y), DOT),
            }
            self.out.text((x + 25.0, y + 4.0), Anchor::Start, &key.name);
        }
        self.out
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
    /// The drawing. Scores lie between 0 and 1; the axis starts where the lowest of them needs it
    /// to.
    pub fn svg(&self) -> Svg {
        let values = self
            .rows
            .iter()
            .flat_map(|r| r.value.into_iter().chain(r.interval.into_iter().flatten()));
        let Some(axis) = Axis::over(values.chain([1.0]), Scale::Linear, 5) else {
            return nothing();
        };
        let longest = self.rows.iter().map(|r| r.label.chars().count()).max();
        let left = (longest.unwrap_or(0) as f64 * LETTER + 16.0).min(WIDTH * 0.52);
        let right = 64.0;
        let height = 30.0 * self.rows.len() as f64 + 36.0;
        let floor = height - 28.0;
        let mut out = Drawing::new(WIDTH, height, "scores with their 95 % intervals".to_owned());
        let px = |v: f64| axis.place(v).map(|p| left + p * (WIDTH - left - right));
        for &tick in &axis.ticks {
            if let Some(at) = px(tick) {
                out.line(Ink::Grid, (at, 4.0), (at, floor));
                out.text((at, floor + 18.0), Anchor::Middle, &axis.label(tick));
            }
        }
        let ink = Ink::Interval(0);
        for (i, row) in self.rows.iter().enumerate() {
            let y = 20.0 + 30.0 * i as f64;
            out.text((left - 12.0, y + 4.5), Anchor::End, &row.label);
            let ends = row.interval.map(|ends| ends.map(px));
            if let Some([Some(low), Some(high)]) = ends {
                out.path(ink, None, vec![(low, y), (high, y)]);
                for end in [low, high] {
                    out.path(ink, None, vec![(end, y - 5.0), (end, y + 5.0)]);
                }
            }
            if let Some(at) = row.value.and_then(px) {
                out.dot(ink, (at, y), 4.5);
            }
            let shown = row.value.map_or("n/a".to_owned(), |v| format!("{v:.3}"));
            out.text((WIDTH - 4.0, y + 4.5), Anchor::End, &shown);
        }
        Svg::of(out)
    }
}

fn nothing() -> Svg {
    let mut out = Drawing::new(WIDTH, 40.0, "no values".to_owned());
    out.text((WIDTH / 2.0, 24.0), Anchor::Middle, "no values to show");
    Svg::of(out)
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
        let (curves, dots) = ("class=\"curve\"", "<circle");
        // The legend's, and the second half; the first is a point without a line.
        assert_eq!(svg.as_str().matches(curves).count(), 2);
        assert_eq!(svg.as_str().matches(dots).count(), 3);
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
        // Six colours, then dotted; each dash is drawn on the line and in the legend.
        assert_eq!(svg.as_str().matches("stroke-dasharray=\"2 3\"").count(), 4);
        many.series = vec![many.series[0].clone(); 20];
        let svg = many.svg();
        let count = |dash: &str| {
            let dash = format!("stroke-dasharray=\"{dash}\"");
            svg.as_str().matches(&dash).count()
        };
        assert_eq!(["2 3", "10 3", "4 8"].map(count), [12, 12, 4]);
    }

    #[test]
    fn measurements_have_bands_levels_and_a_diagonal() {
        let series = |name: &str, points: &[(f64, f64)]| Series {
            name: name.into(),
            points: points.to_vec(),
            dashed: false,
        };
        let chart = PointChart {
            points: vec![series("runs", &[(0.0, 0.1), (1.0, 0.9)])],
            curves: vec![series("", &[(0.0, 0.1), (1.0, 0.9)])],
            bands: vec![Band {
                series: 0,
                points: vec![(0.0, 0.0, 0.2), (1.0, 0.8, 1.0)],
            }],
            levels: vec![Level {
                y: 0.5,
                name: "bias".into(),
                strong: true,
            }],
            diagonal: true,
            ..PointChart::default()
        };
        let svg = chart.svg();
        let has = |what: &str| svg.as_str().contains(what);
        assert!(
            has("d=\"M56.0 254.0L536.0 78.0L536.0 34.0L56.0 210.0Z\""),
            "{}",
            svg.as_str()
        );
        assert!(has("d=\"M56.0 254.0L536.0 34.0\"") && has(">bias</text>"));
        assert_eq!(svg.picture().size(), (600, 1120));
    }

    #[test]
    fn names_of_levels_make_way_for_points() {
        let names = |points: &[(f64, f64)]| {
            let chart = PointChart {
                points: vec![Series {
                    name: "runs".into(),
                    points: points.to_vec(),
                    dashed: false,
                }],
                levels: vec![Level {
                    y: 0.5,
                    name: "bias".into(),
                    strong: false,
                }],
                ..PointChart::default()
            };
            let svg = chart.svg();
            let text = svg.as_str().split("<text").find(|t| t.contains(">bias<"));
            text.unwrap().contains("end")
        };
        assert!(names(&[(0.0, 0.0), (1.0, 1.0)]));
        assert!(!names(&[(0.0, 0.0), (0.97, 0.53), (1.0, 1.0)]));
        assert!(!names(&[(0.0, 0.0), (0.5, 1.0), (1.0, 0.53)]), "at the rim");
        // At both ends is no better.
        assert!(names(&[(0.0, 0.0), (0.02, 0.53), (0.97, 0.53), (1.0, 1.0)]));
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
