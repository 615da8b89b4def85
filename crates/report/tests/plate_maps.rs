//! Maps of plates: wells in their places, colours in the order of their numbers, and numbers that
//! can be read on them.

use stainfree_report::PlateMap;

/// `x`, `y`, width, height, fill, title of every rectangle but the paper.
fn boxes(svg: &str) -> Vec<([usize; 4], String, String)> {
    let get = |source: &str, name: &str| -> String {
        let key = format!("{name}=\"");
        let rest = &source[source.find(&key).unwrap() + key.len()..];
        rest[..rest.find('"').unwrap()].to_owned()
    };
    svg.split("<rect ")
        .skip(2)
        .map(|rest| {
            let place = ["x", "y", "width", "height"].map(|name| {
                get(&format!(" {rest}"), &format!(" {name}"))
                    .parse()
                    .unwrap()
            });
            let title = rest
                .split("<title>")
                .nth(1)
                .filter(|_| rest.find("<title>") < rest.find("</rect>"));
            let title = title.map_or("", |t| t.split("</title>").next().unwrap());
            (place, get(rest, "fill"), title.to_owned())
        })
        .collect()
}

fn rgb(css: &str) -> [u8; 3] {
    [1, 3, 5].map(|i| u8::from_str_radix(&css[i..i + 2], 16).unwrap())
}

/// Relative luminance (WCAG 2).
fn luminance(color: [u8; 3]) -> f64 {
    let linear = color.map(|v| {
        let v = f64::from(v) / 255.0;
        if v <= 0.04045 {
            v / 12.92
        } else {
            ((v + 0.055) / 1.055).powf(2.4)
        }
    });
    0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
}

fn contrast(a: [u8; 3], b: [u8; 3]) -> f64 {
    let (a, b) = (luminance(a), luminance(b));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

fn map(wells: Vec<(String, f64)>) -> PlateMap {
    PlateMap {
        title: "count".into(),
        note: "mean of fields".into(),
        wells,
        from_zero: false,
    }
}

fn name(row: usize, column: usize) -> String {
    let letter = |i: usize| char::from(b'A' + i as u8);
    let row = match row {
        0..26 => letter(row).to_string(),
        _ => format!("A{}", letter(row - 26)),
    };
    format!("{row}{:02}", column + 1)
}

#[test]
fn every_plate_has_its_wells_in_a_grid() {
    for (rows, columns) in [(2, 3), (3, 4), (4, 6), (6, 8), (8, 12), (16, 24), (32, 48)] {
        let places = || (0..rows).flat_map(|r| (0..columns).map(move |c| (r, c)));
        let wells = places()
            .map(|(r, c)| (name(r, c), (r * columns + c) as f64))
            .collect();
        let svg = map(wells).svg().unwrap();
        let all = boxes(&svg);
        let wells: Vec<_> = all.iter().filter(|b| !b.2.is_empty()).collect();
        assert_eq!(wells.len(), rows * columns);
        let [x0, y0, width, height] = wells[0].0;
        let step = [wells[1].0[0] - x0, wells[columns].0[1] - y0];
        assert!(step[0] > width && step[1] > height, "wells do not touch");
        for ((r, c), (place, _, title)) in places().zip(&wells) {
            assert_eq!(*title, format!("{}: {}", name(r, c), r * columns + c));
            assert_eq!(*place, [x0 + c * step[0], y0 + r * step[1], width, height]);
        }
        // The picture has the same wells, clear of their numbers.
        let picture = map(places()
            .map(|(r, c)| (name(r, c), (r * columns + c) as f64))
            .collect())
        .picture()
        .unwrap();
        for (place, fill, _) in &wells {
            assert_eq!(picture.get(place[1] + 1, place[0] + 1), rgb(fill));
        }
    }
}

#[test]
fn larger_numbers_are_lighter_and_equal_ones_alike() {
    let values = [-3.0, 0.0, 0.0, 1.5, 2.0, 7.25, 9.0, 9.0, 11.0];
    let wells = values
        .iter()
        .enumerate()
        .map(|(i, &v)| (name(0, i), v))
        .collect();
    let svg = map(wells).svg().unwrap();
    let light: Vec<f64> = boxes(&svg)
        .iter()
        .filter(|b| !b.2.is_empty())
        .map(|b| luminance(rgb(&b.1)))
        .collect();
    for i in 1..values.len() {
        match values[i] == values[i - 1] {
            true => assert_eq!(light[i], light[i - 1]),
            false => assert!(
                light[i] > light[i - 1],
                "{} after {}",
                values[i],
                values[i - 1]
            ),
        }
    }
}

#[test]
fn numbers_can_be_read_on_every_colour() {
    let wells = (0..96).map(|i| (name(i / 12, i % 12), i as f64)).collect();
    let svg = map(wells).svg().unwrap();
    let wells: Vec<_> = boxes(&svg)
        .into_iter()
        .filter(|b| !b.2.is_empty())
        .collect();
    let labels: Vec<[u8; 3]> = svg
        .split("<rect ")
        .filter(|part| part.contains("<title>"))
        .map(|part| {
            let text = part.split("<text ").nth(1).unwrap();
            rgb(text.split("fill=\"").nth(1).unwrap())
        })
        .collect();
    assert_eq!(labels.len(), 96);
    for ((_, fill, title), label) in wells.iter().zip(labels) {
        // Black or white, whichever stands out more; never below 4.5 to 1, as WCAG asks of text.
        let [black, white] = [[0; 3], [255; 3]].map(|ink| contrast(ink, rgb(fill)));
        assert!(contrast(label, rgb(fill)) >= 4.5, "{title}");
        assert!(
            contrast(label, rgb(fill)) > black.max(white) - 0.3,
            "{title}"
        );
    }
}

#[test]
fn the_colour_bar_says_which_number_a_colour_is() {
    let wells = vec![
        ("A01".to_owned(), 0.0),
        ("A02".to_owned(), 20.0),
        ("H12".to_owned(), 100.0),
    ];
    let svg = map(wells).svg().unwrap();
    let all = boxes(&svg);
    let bar: Vec<_> = all.iter().filter(|b| b.0[2] == 1 && b.0[3] == 16).collect();
    let ticks: Vec<_> = all.iter().filter(|b| b.0[2] == 1 && b.0[3] == 5).collect();
    assert!(ticks.len() >= 3);
    let (from, to) = (bar[0].0[0], bar[bar.len() - 1].0[0]);
    // Numbers below the bar, at their ticks: a linear scale from its first to its last colour.
    let numbers: Vec<(usize, f64)> = svg
        .split("<text ")
        .skip(1)
        .filter(|t| {
            ticks
                .iter()
                .any(|tick| t.contains(&format!("y=\"{}\"", tick.0[1] + 16 + 5)))
        })
        .map(|t| {
            let x = t.split("x=\"").nth(1).unwrap().split('"').next().unwrap();
            let text = t.split('>').nth(1).unwrap().split('<').next().unwrap();
            (x.parse().unwrap(), text.parse().unwrap())
        })
        .collect();
    assert_eq!(numbers.len(), ticks.len());
    for ((x, number), tick) in numbers.iter().zip(&ticks) {
        assert_eq!(*x, tick.0[0]);
        let share = (x - from) as f64 / (to - from) as f64;
        assert!((100.0 * share - number).abs() < 0.3, "{number} at {share}");
    }
    // Each well has the colour of the bar at its number.
    for (title, share) in [("A01: 0", 0.0), ("A02: 20", 0.2), ("H12: 100", 1.0)] {
        let well = all.iter().find(|b| b.2 == title).unwrap();
        let at = (share * (to - from) as f64).round() as usize;
        let distance = rgb(&well.1)
            .iter()
            .zip(rgb(&bar[at].1))
            .map(|(&a, b)| a.abs_diff(b))
            .max()
            .unwrap();
        assert!(distance <= 1, "{title}");
    }
}

#[test]
fn unknown_and_absent_wells_differ_from_all_numbers() {
    let wells = vec![
        ("A01".to_owned(), 1.0),
        ("A02".to_owned(), f64::NAN),
        ("A03".to_owned(), f64::INFINITY),
    ];
    let svg = map(wells).svg().unwrap();
    let all = boxes(&svg);
    let unknown: Vec<_> = all.iter().filter(|b| b.2.ends_with("unknown")).collect();
    assert_eq!(unknown.len(), 2);
    let absent = all
        .iter()
        .filter(|b| b.2.is_empty() && b.0[2] > 1)
        .collect::<Vec<_>>();
    assert_eq!(absent.len(), 93);
    for grey in [&unknown[0].1, &absent[0].1] {
        let [r, g, b] = rgb(grey);
        assert!(r.abs_diff(g) < 4 && g.abs_diff(b) < 6, "{grey}");
    }
    assert_ne!(unknown[0].1, absent[0].1);
    let odd = PlateMap {
        title: "<b>&".into(),
        note: "\u{1F52C} <i>".into(),
        wells: vec![("A1".into(), 1.0)],
        from_zero: false,
    };
    let svg = odd.svg().unwrap();
    assert!(svg.contains("&lt;b&gt;&amp;") && !svg.contains("<i>"));
    assert!(
        odd.picture().is_ok(),
        "letters that the font lacks are no error"
    );
}

#[test]
fn colours_begin_at_zero_where_that_is_asked_for() {
    let wells = || vec![("A1".into(), 3.0), ("A2".into(), 3.5)];
    let ends = |from_zero| {
        let map = PlateMap {
            from_zero,
            ..map(wells())
        };
        map.svg().unwrap().contains(">0</text>")
    };
    assert_eq!((ends(false), ends(true)), (false, true));
}
