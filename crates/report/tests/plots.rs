//! Plots as their readers see them: every mark lies where the axis' own numbers say, in the file,
//! on the page and in the picture alike.

mod common;

use common::{Element, ROUNDING, by_ticks, dots, elements, ticks, value};
use stainfree_report::{
    Band, IntervalChart, IntervalRow, Level, LineChart, PointChart, Scale, Series, Svg,
};

fn series(name: &str, points: &[(f64, f64)]) -> Series {
    Series {
        name: name.into(),
        points: points.to_vec(),
        dashed: false,
    }
}

#[test]
fn every_point_lies_where_the_numbers_of_the_axes_say() {
    type Case = (&'static [(f64, f64)], Scale, Scale);
    let shapes: [Case; 5] = [
        (
            &[(0.0, 0.3), (3.0, 0.71), (7.0, 0.5), (9.0, 0.92)],
            Scale::Linear,
            Scale::Linear,
        ),
        (
            &[(-5.0, -2.0), (0.0, 0.0), (2.5, 7.5)],
            Scale::Linear,
            Scale::Linear,
        ),
        (
            &[(10.0, 0.5), (250.0, 0.02), (9000.0, 0.003)],
            Scale::Log,
            Scale::Log,
        ),
        (
            &[(0.0, 2.0), (40_000.0, 35.0), (90_000.0, 17.0)],
            Scale::Linear,
            Scale::Log,
        ),
        (
            &[(0.001, 15_000.0), (0.002, 48_000.0)],
            Scale::Linear,
            Scale::Linear,
        ),
    ];
    for (points, x_scale, y_scale) in shapes {
        let chart = LineChart {
            series: vec![series("", points)],
            x_scale,
            y_scale,
            ..LineChart::default()
        };
        let svg = chart.svg();
        for source in [svg.as_str().to_owned(), svg.standalone()] {
            let (across, up) = (ticks(&source, false), ticks(&source, true));
            let found = dots(&source);
            assert_eq!(found.len(), points.len());
            for (&(x, y), &(cx, cy)) in points.iter().zip(&found) {
                let (px, py) = (by_ticks(&across, x_scale, x), by_ticks(&up, y_scale, y));
                assert!(
                    (px - cx).abs() < ROUNDING && (py - cy).abs() < ROUNDING,
                    "({x}, {y}) lies at {cx} {cy}, not {px} {py}"
                );
            }
            // The other numbers of the axes lie on the same scale.
            for (ticks, scale) in [(&across, x_scale), (&up, y_scale)] {
                for &(v, at) in ticks {
                    assert!(
                        (by_ticks(ticks, scale, v) - at).abs() < ROUNDING,
                        "{v} at {at}"
                    );
                }
            }
            // The curve runs through the points, inside of the plot.
            let curve = elements(&source, "path")
                .into_iter()
                .find(|p| p.get("class") == Some("curve"))
                .unwrap();
            assert_eq!(curve.points(), found);
            let inside =
                |&(x, y): &(f64, f64)| (56.0..=536.0).contains(&x) && (34.0..=254.0).contains(&y);
            assert!(found.iter().all(inside));
        }
    }
}

#[test]
fn grid_lines_stand_at_the_numbers_beside_them() {
    let chart = LineChart {
        series: vec![series("", &[(0.0, 0.0), (7.3, 0.84)])],
        ..LineChart::default()
    };
    let svg = chart.svg();
    let lines: Vec<f64> = elements(svg.as_str(), "path")
        .iter()
        .filter(|p| p.get("class") == Some("grid"))
        .map(|p| p.points()[0].1)
        .collect();
    let mut numbers: Vec<f64> = ticks(svg.as_str(), true).iter().map(|t| t.1).collect();
    numbers.sort_by(|a, b| b.total_cmp(a));
    assert_eq!(lines.len(), numbers.len());
    assert!(
        lines
            .iter()
            .zip(&numbers)
            .all(|(a, b)| (a - b).abs() < 0.11)
    );
    // Steps are round: 0, 0.2, .. 1.
    let values: Vec<f64> = ticks(svg.as_str(), true).iter().map(|t| t.0).collect();
    assert_eq!(values, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]);
}

#[test]
fn numbers_of_an_axis_are_round_and_few_and_hold_the_points_between_them() {
    for low in [0.0, -3.7, 0.012, 125.0, 880.0] {
        for spread in [0.03, 0.5, 1.1, 2.3, 7.0, 14.0, 36.0, 410.0, 5200.0] {
            let chart = LineChart {
                series: vec![series("", &[(0.0, low), (1.0, low + spread)])],
                ..LineChart::default()
            };
            let found = ticks(chart.svg().as_str(), true);
            let values: Vec<f64> = found.iter().map(|tick| tick.0).collect();
            // At most five steps of the wanted size, and one more on either side.
            assert!(
                (3..=7).contains(&values.len()),
                "{low} + {spread}: {values:?}"
            );
            let step = (values[values.len() - 1] - values[0]) / (values.len() - 1) as f64;
            let power = 10f64.powf((step * 1.0001).log10().floor());
            let digits = [1.0, 2.0, 2.5, 5.0];
            let round = digits
                .iter()
                .any(|digit| (step / power - digit).abs() < 1e-6);
            assert!(round, "{low} + {spread}: {values:?}");
            for (i, value) in values.iter().enumerate() {
                assert!((value - values[0] - i as f64 * step).abs() < 1e-6 * step.max(1.0));
                let share = value / step;
                assert!((share - share.round()).abs() < 1e-6, "{value} by {step}");
            }
            let ends = [values[0], values[values.len() - 1]];
            assert!(
                ends[0] <= low + 1e-9 && ends[1] >= low + spread - 1e-9,
                "{ends:?}"
            );
        }
    }
}

#[test]
fn values_that_no_axis_can_show_leave_a_gap() {
    let points = [
        (1.0, 0.5),
        (2.0, 0.0),
        (3.0, 0.1),
        (4.0, f64::INFINITY),
        (5.0, 0.2),
        (6.0, 0.4),
    ];
    let chart = LineChart {
        series: vec![series("", &points)],
        y_scale: Scale::Log,
        ..LineChart::default()
    };
    let svg = chart.svg();
    // 0 has no logarithm: points 1 and 3 stand alone, 5 and 6 are joined.
    assert_eq!(dots(svg.as_str()).len(), 4);
    let curves = elements(svg.as_str(), "path")
        .into_iter()
        .filter(|p| p.get("class") == Some("curve"))
        .map(|p| p.points().len());
    assert_eq!(curves.collect::<Vec<_>>(), [2]);
    let none = LineChart {
        series: vec![series("", &[(1.0, -1.0), (f64::NAN, 2.0)])],
        y_scale: Scale::Log,
        ..LineChart::default()
    };
    // One point has a place across, the other one up: none has both.
    assert!(none.svg().as_str().contains("no values to show"));
    let none = PointChart {
        points: vec![series("", &[(1.0, f64::NAN), (f64::INFINITY, 2.0)])],
        levels: vec![Level {
            y: 0.5,
            name: "bias".into(),
            strong: true,
        }],
        ..PointChart::default()
    };
    assert!(none.svg().as_str().contains("no values to show"));
}

#[test]
fn many_points_are_a_curve_and_few_are_measurements() {
    for (count, shown) in [(40, 40), (41, 0)] {
        let points: Vec<(f64, f64)> = (0..count).map(|i| (f64::from(i), f64::from(i))).collect();
        let chart = LineChart {
            series: vec![series("", &points)],
            ..LineChart::default()
        };
        assert_eq!(dots(chart.svg().as_str()).len(), shown, "{count}");
    }
}

#[test]
fn marks_bands_and_levels_lie_on_the_scales_too() {
    let line = LineChart {
        series: vec![series("", &[(0.0, 0.0), (100.0, 1.0)])],
        marks: vec![(30.0, "chosen".into()), (90.0, "last".into())],
        ..LineChart::default()
    };
    let svg = line.svg();
    let across = ticks(svg.as_str(), false);
    let marks: Vec<Vec<(f64, f64)>> = elements(svg.as_str(), "path")
        .iter()
        .filter(|p| p.get("class") == Some("mark"))
        .map(Element::points)
        .collect();
    assert_eq!(marks.len(), 2);
    for (mark, at) in marks.iter().zip([30.0, 90.0]) {
        let expected = by_ticks(&across, Scale::Linear, at);
        assert!(
            mark.iter().all(|p| (p.0 - expected).abs() < ROUNDING),
            "{at}: {mark:?}"
        );
        assert_eq!((mark[0].1, mark[1].1), (34.0, 254.0));
    }
    // A name stands to the right of its line, near the right rim to the left.
    let texts = elements(svg.as_str(), "text");
    let name = |text: &str| texts.iter().find(|t| t.text == text).unwrap();
    assert!(name("chosen").number("x") > marks[0][0].0);
    assert_eq!(name("chosen").get("text-anchor"), Some("start"));
    assert!(name("last").number("x") < marks[1][0].0);
    assert_eq!(name("last").get("text-anchor"), Some("end"));

    let points = PointChart {
        points: vec![series("runs", &[(2.0, 10.0), (8.0, 30.0)])],
        bands: vec![Band {
            series: 0,
            points: vec![(2.0, 5.0, 15.0), (5.0, f64::NAN, 22.0), (8.0, 25.0, 38.0)],
        }],
        levels: vec![Level {
            y: 20.0,
            name: "half".into(),
            strong: false,
        }],
        diagonal: true,
        ..PointChart::default()
    };
    let svg = points.svg();
    let (across, up) = (ticks(svg.as_str(), false), ticks(svg.as_str(), true));
    let at = |x: f64, y: f64| {
        (
            by_ticks(&across, Scale::Linear, x),
            by_ticks(&up, Scale::Linear, y),
        )
    };
    let near =
        |a: (f64, f64), b: (f64, f64)| (a.0 - b.0).abs() < ROUNDING && (a.1 - b.1).abs() < ROUNDING;
    let paths = elements(svg.as_str(), "path");
    let area = paths
        .iter()
        .find(|p| p.get("d").unwrap().ends_with('Z'))
        .unwrap()
        .points();
    // Along the lower side and back along the upper one, which has a point more.
    let expected = [
        at(2.0, 5.0),
        at(8.0, 25.0),
        at(8.0, 38.0),
        at(5.0, 22.0),
        at(2.0, 15.0),
    ];
    assert_eq!(area.len(), 5);
    assert!(
        area.iter().zip(expected).all(|(a, b)| near(*a, b)),
        "{area:?}"
    );
    let dotted: Vec<Vec<(f64, f64)>> = paths
        .iter()
        .filter(|p| p.get("class") == Some("mark"))
        .map(Element::points)
        .collect();
    let (diagonal, level) = (&dotted[0], &dotted[1]);
    assert!((level[0].1 - at(2.0, 20.0).1).abs() < ROUNDING && level[0].1 == level[1].1);
    // The diagonal joins places of equal numbers.
    let slope = |v: f64| at(v, v);
    let on = |p: (f64, f64)| {
        let (a, b) = (slope(0.0), slope(10.0));
        let share = (p.0 - a.0) / (b.0 - a.0);
        (a.1 + share * (b.1 - a.1) - p.1).abs() < 2.0 * ROUNDING
    };
    assert!(diagonal.iter().all(|&p| on(p)), "{diagonal:?}");
}

#[test]
fn continuations_are_dashed_and_have_the_colour_of_their_curve() {
    let tail = Series {
        dashed: true,
        ..series("", &[(5.0, 0.8), (9.0, 0.9)])
    };
    let chart = PointChart {
        points: vec![series("a", &[(1.0, 0.4)]), series("b", &[(2.0, 0.5)])],
        curves: vec![
            series("", &[(1.0, 0.2), (5.0, 0.3)]),
            series("", &[(1.0, 0.4), (5.0, 0.8)]),
        ],
        continuations: vec![series("", &[]), tail],
        ..PointChart::default()
    };
    let file = chart.svg().standalone();
    let curves: Vec<Element> = elements(&file, "path")
        .into_iter()
        .filter(|p| p.get("class") == Some("curve"))
        .collect();
    let strokes: Vec<Option<&str>> = curves.iter().map(|c| c.get("style")).collect();
    assert_eq!(
        strokes.len(),
        2,
        "what lies beyond the axes is left out: {file}"
    );
    assert_ne!(strokes[0], strokes[1]);
    let shown = PointChart {
        levels: vec![],
        curves: vec![
            chart.curves[0].clone(),
            series("", &[(1.0, 0.4), (9.0, 0.95)]),
        ],
        ..chart
    };
    let file = shown.svg().standalone();
    let curves: Vec<Element> = elements(&file, "path")
        .into_iter()
        .filter(|p| p.get("class") == Some("curve"))
        .collect();
    assert_eq!(curves[1].get("style"), curves[2].get("style"));
    assert_eq!(curves[1].get("stroke-dasharray"), None);
    assert_eq!(curves[2].get("stroke-dasharray"), Some("6 4"));
}

#[test]
fn intervals_run_from_end_to_end_about_their_value() {
    let row = |label: &str, value: Option<f64>, interval: Option<[f64; 2]>| IntervalRow {
        label: label.into(),
        value,
        interval,
    };
    let chart = IntervalChart {
        rows: vec![
            row("F1", Some(0.8), Some([0.7, 0.85])),
            row("IoU", Some(0.66), None),
            row("a & b", None, None),
        ],
    };
    let svg = chart.svg();
    let texts = elements(svg.as_str(), "text");
    // Numbers below the rows.
    let floor = 30.0 * 3.0 + 36.0 - 10.0;
    let scale: Vec<(f64, f64)> = texts
        .iter()
        .filter(|t| t.number("y") == floor)
        .map(|t| (value(&t.text), t.number("x")))
        .collect();
    let at = |v: f64| by_ticks(&scale, Scale::Linear, v);
    let found = dots(svg.as_str());
    assert_eq!(found.len(), 2);
    assert!((found[0].0 - at(0.8)).abs() < ROUNDING && found[0].1 == 20.0);
    assert!((found[1].0 - at(0.66)).abs() < ROUNDING && found[1].1 == 50.0);
    let bars: Vec<Vec<(f64, f64)>> = elements(svg.as_str(), "path")
        .iter()
        .filter(|p| p.get("class") == Some("interval"))
        .map(Element::points)
        .collect();
    // The bar and its two ends.
    assert_eq!(bars.len(), 3);
    assert!(
        (bars[0][0].0 - at(0.7)).abs() < ROUNDING && (bars[0][1].0 - at(0.85)).abs() < ROUNDING
    );
    let shown: Vec<&str> = texts
        .iter()
        .filter(|t| t.number("x") == 556.0)
        .map(|t| t.text.as_str())
        .collect();
    assert_eq!(shown, ["0.800", "0.660", "n/a"]);
    assert!(svg.as_str().contains(">a &amp; b</text>"));
    // 1 is always on the axis, and the axis begins below the lowest end.
    assert!(scale.iter().any(|t| t.0 == 1.0) && scale[0].0 <= 0.66);
}

#[test]
fn the_picture_shows_dots_where_the_drawing_has_them() {
    let chart = PointChart {
        points: vec![
            series("a", &[(0.0, 0.1), (4.0, 0.9)]),
            series("b", &[(2.0, 0.4)]),
        ],
        ..PointChart::default()
    };
    let svg: Svg = chart.svg();
    let picture = svg.picture();
    let file = svg.standalone();
    for circle in elements(&file, "circle") {
        // Two pixels to a unit; in the middle of a dot there is nothing but its colour.
        let (x, y) = (2.0 * circle.number("cx"), 2.0 * circle.number("cy"));
        let [r, g, b] = picture.get(y as usize, x as usize);
        let style = format!("fill:#{r:02x}{g:02x}{b:02x}");
        assert_eq!(circle.get("style"), Some(style.as_str()), "at {x} {y}");
    }
    // Above the plot between label and legend there is paper.
    assert_eq!(picture.get(40, 300), [255; 3]);
}

#[test]
fn control_characters_and_quotes_cannot_leave_their_place() {
    let chart = LineChart {
        x_label: "a\" onload=\"x".into(),
        y_label: "b\u{7}\n<i>&".into(),
        series: vec![series("'\"<", &[(0.0, 1.0), (1.0, 2.0)])],
        marks: vec![(0.5, "</svg>".into())],
        ..LineChart::default()
    };
    for source in [chart.svg().as_str().to_owned(), chart.svg().standalone()] {
        assert!(!source.contains("\" onload=") && !source.contains("<i>"));
        assert!(!source.chars().any(|c| c.is_control()));
        assert_eq!(source.matches("</svg>").count(), 1);
        assert!(source.contains("aria-label=\"b  &lt;i&gt;&amp; against a&quot; onload=&quot;x\""));
    }
}
