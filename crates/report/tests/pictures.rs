//! Pictures against plain definitions: colours laid over, areas averaged, pages put together.

use stainfree_image::Image;
use stainfree_report::{
    Rgb, brightfield_picture, class_picture, contact_sheet, encode_png, enlarge, error_legend,
    error_picture, overlay_classes, overlay_labels, scale_down, sheet, side_by_side, stain_picture,
};

fn base(height: usize, width: usize) -> Image<Rgb> {
    Image::from_fn(height, width, |y, x| {
        [
            (y * 37 % 256) as u8,
            (x * 53 % 256) as u8,
            ((y * x) % 256) as u8,
        ]
    })
}

fn places(size: (usize, usize)) -> impl Iterator<Item = (usize, usize)> {
    (0..size.0).flat_map(move |y| (0..size.1).map(move |x| (y, x)))
}

/// How much of `over` there is in `mixed` above `below`, by the channel that tells most.
fn share(below: Rgb, mixed: Rgb, over: Rgb) -> f64 {
    let channel = (0..3).max_by_key(|&c| over[c].abs_diff(below[c])).unwrap();
    let [b, m, o] = [below, mixed, over].map(|color| f64::from(color[channel]));
    (m - b) / (o - b)
}

#[test]
fn objects_are_filled_lightly_and_outlined_clearly() {
    let picture = Image::filled(12, 14, [40, 40, 40]);
    // Class 1 with class 2 inside of it, an ignored pixel, and class 1 at the rim.
    let classes = Image::from_fn(12, 14, |y, x| match (y, x) {
        (5..=6, 6..=7) => 2,
        (2..=9, 3..=10) => 1,
        (11, 13) => 255,
        (0, 12..) => 1,
        _ => 0u8,
    });
    let colors = [[0, 0, 0], [240, 60, 0], [0, 200, 250]];
    let found = overlay_classes(&picture, &classes, &colors).unwrap();
    for (y, x) in places(classes.size()) {
        let (class, color) = (classes.get(y, x), found.get(y, x));
        if class == 0 || class == 255 {
            assert_eq!(color, [40, 40, 40], "{y} {x}");
            continue;
        }
        let around = [(0, 1), (2, 1), (1, 0), (1, 2)];
        let differs = around.iter().any(|&(dy, dx)| {
            let (v, u) = (y + dy, x + dx);
            (1..=12).contains(&v) && (1..=14).contains(&u) && classes.get(v - 1, u - 1) != class
        });
        let part = share([40, 40, 40], color, colors[class as usize]);
        let expected = if differs { 0.95 } else { 0.28 };
        assert!((part - expected).abs() < 0.01, "{y} {x}: {part}");
    }
    // Labels one and two have colours of their own, and the eighth that of the first again.
    let labels = |label: u32| Image::from_fn(6, 6, |y, x| if y < 3 && x < 3 { label } else { 0 });
    let edge = |label: u32| {
        overlay_labels(&Image::filled(6, 6, [9; 3]), &labels(label))
            .unwrap()
            .get(2, 2)
    };
    assert_ne!(edge(1), edge(2));
    assert_eq!(edge(1), edge(8));
    let alone = class_picture(&classes, &colors);
    assert_eq!([alone.get(3, 4), alone.get(5, 6)], [colors[1], colors[2]]);
    assert_ne!(
        alone.get(11, 13),
        alone.get(11, 0),
        "ignored is no background"
    );
    // A class beyond the colours has one all the same.
    let many = overlay_classes(
        &picture,
        &classes.map(|&c| if c == 2 { 9 } else { c }),
        &colors,
    );
    assert_ne!(many.unwrap().get(5, 6), [40, 40, 40]);
}

#[test]
fn errors_have_the_colours_of_their_legend() {
    let white = Image::filled(1, 5, [250; 3]);
    let row = |values: [u8; 5]| Image::new(1, 5, values.to_vec());
    let (truth, prediction) = (row([1, 1, 0, 0, 255]), row([1, 0, 1, 2, 1]));
    let found = error_picture(&white, &truth, &prediction, 1).unwrap();
    let dim = [150; 3];
    assert_eq!(
        (found.get(0, 3), found.get(0, 4)),
        (dim, dim),
        "neither, and ignored"
    );
    for (x, ((color, name), expected)) in error_legend()
        .into_iter()
        .zip([0.35, 0.85, 0.85])
        .enumerate()
    {
        let part = share(dim, found.get(0, x), color);
        assert!((part - expected).abs() < 0.01, "{name}: {part}");
    }
    let names: Vec<&str> = error_legend().iter().map(|entry| entry.1).collect();
    assert_eq!(names, ["found", "missed", "false"]);
    let small = Image::filled(1, 4, 0u8);
    let error = error_picture(&white, &truth, &small, 1)
        .unwrap_err()
        .to_string();
    assert!(error.contains("prediction"), "{error}");
    assert!(error_picture(&white, &small, &prediction, 1).is_err());
    assert!(overlay_classes(&white, &small, &[]).is_err());
    assert!(overlay_labels(&white, &Image::filled(2, 5, 0)).is_err());
}

#[test]
fn smaller_pictures_are_means_of_the_areas_they_stand_for() {
    for (height, width, side) in [
        (60, 40, 25),
        (7, 100, 33),
        (64, 64, 16),
        (5, 5, 1),
        (9, 2, 4),
    ] {
        let picture = base(height, width);
        let found = scale_down(&picture, side);
        assert_eq!(found.height().max(found.width()), side);
        let (rows, columns) = found.size();
        // How much of source pixel `s` lies in part `i` of `n`.
        let overlap = |i: usize, n: usize, s: usize, all: usize| {
            let step = all as f64 / n as f64;
            let (from, to) = (i as f64 * step, (i + 1) as f64 * step);
            (to.min(s as f64 + 1.0) - from.max(s as f64)).max(0.0) / step
        };
        for (y, x) in places(found.size()) {
            for c in 0..3 {
                let mean: f64 = places(picture.size())
                    .map(|(v, u)| {
                        overlap(y, rows, v, height)
                            * overlap(x, columns, u, width)
                            * f64::from(picture.get(v, u)[c])
                    })
                    .sum();
                let shown = f64::from(found.get(y, x)[c]);
                assert!((shown - mean).abs() <= 0.51, "{y} {x}: {shown}, not {mean}");
            }
        }
    }
    let small = base(3, 4);
    assert_eq!(scale_down(&small, 4), small);
    assert_eq!(enlarge(&small, 0), small);
    let large = enlarge(&small, 3);
    assert_eq!(large.size(), (9, 12));
    assert!(places(large.size()).all(|(y, x)| large.get(y, x) == small.get(y / 3, x / 3)));
    assert_eq!(scale_down(&large, 4), small, "back again");
}

/// Whether `part` lies in `page` with its first corner at `(y, x)`.
fn lies_at(page: &Image<Rgb>, part: &Image<Rgb>, (y, x): (usize, usize)) -> bool {
    y + part.height() <= page.height()
        && x + part.width() <= page.width()
        && page.crop(y, x, part.height(), part.width()) == *part
}

fn found_at(page: &Image<Rgb>, part: &Image<Rgb>) -> Vec<(usize, usize)> {
    places(page.size())
        .filter(|&at| lies_at(page, part, at))
        .collect()
}

#[test]
fn pages_show_every_picture_whole_and_in_order() {
    let (a, b) = (base(20, 30), enlarge(&base(5, 8), 2));
    let c = Image::from_fn(8, 50, |y, x| [200, (y * 9) as u8, (x * 5) as u8]);
    let page = side_by_side(&[(&a, "left"), (&b, ""), (&c, "right")], &[]);
    let at: Vec<Vec<(usize, usize)>> = [&a, &b, &c].map(|p| found_at(&page, p)).into();
    assert!(at.iter().all(|found| found.len() == 1), "{at:?}");
    let tops: Vec<usize> = at.iter().map(|found| found[0].0).collect();
    assert!(
        tops.iter().all(|&top| top == tops[0]),
        "top edges are aligned"
    );
    let lefts: Vec<usize> = at.iter().map(|found| found[0].1).collect();
    assert!(lefts[0] + 30 <= lefts[1] && lefts[1] + 16 <= lefts[2]);
    // A legend adds a line with its colours, and moves nothing.
    let named = side_by_side(
        &[(&a, "left"), (&b, ""), (&c, "right")],
        &[([1, 2, 3], "x"), ([250, 0, 9], "y")],
    );
    assert!(lies_at(&named, &page, (0, 0)) && named.height() > page.height());
    for color in [[1, 2, 3], [250, 0, 9]] {
        let pixels = named.data().iter().filter(|&&p| p == color).count();
        assert_eq!(pixels, 14 * 14, "a square of {color:?}");
    }
    // Rows of different length, with captions at their left.
    let rows = [("one", vec![&a, &b]), ("a longer name", vec![&c])];
    let page = sheet(&["first", "second"], &rows);
    let [pa, pb, pc] = [&a, &b, &c].map(|p| found_at(&page, p)[0]);
    assert_eq!((pa.0, pa.1), (pb.0, pc.1));
    assert!(
        pc.0 >= pa.0 + 20 && pb.1 >= pc.1 + 50,
        "columns are as wide as their widest"
    );
    let pictures = [
        (&a, "one"),
        (&b, "a caption that is far too long for so narrow a column"),
        (&c, "three"),
    ];
    for columns in [1, 2, 3, 9] {
        let page = contact_sheet(&pictures, columns, &[]);
        let at: Vec<(usize, usize)> = [&a, &b, &c].map(|p| found_at(&page, p)[0]).into();
        for i in 1..3 {
            let same_row = i % columns.min(3) != 0;
            assert_eq!(
                at[i].0 == at[i - 1].0,
                same_row,
                "{columns} columns: {at:?}"
            );
            assert_eq!(at[i].1 > at[i - 1].1, same_row);
        }
    }
    assert!(
        contact_sheet(&[], 3, &[])
            .data()
            .iter()
            .all(|p| *p == [246, 246, 244])
    );
}

#[test]
fn a_title_wider_than_its_picture_makes_its_column_as_wide() {
    let (a, b) = (base(6, 9), enlarge(&base(3, 4), 3));
    let left = |title: &str| {
        let page = side_by_side(&[(&a, title), (&b, "")], &[]);
        found_at(&page, &b)[0].1
    };
    let (short, long, longer) = (left(""), left("a long title"), left("a long title of two"));
    assert_eq!(short, left("."), "a title that fits takes no room");
    // Every letter takes as much.
    assert!(long > short);
    assert_eq!((longer - long) % 7, 0);
    assert!(longer - long >= 7 * 7, "{short} {long} {longer}");
}

#[test]
fn planes_are_stretched_between_their_own_percentiles() {
    // 1000 values: brightfield from rank 5 to 994, stain from rank 20 to 998.
    let plane = Image::from_fn(10, 100, |y, x| ((y * 100 + x) * 7 % 1000) as f32);
    let grey = brightfield_picture(&plane);
    let stain = stain_picture(&plane, [255, 128, 0]);
    for (y, x) in places(plane.size()) {
        let v = f64::from(plane.get(y, x));
        let expected = |low: f64, high: f64| ((v - low) / (high - low)).clamp(0.0, 1.0) * 255.0;
        let g = grey.get(y, x);
        assert!(g[0] == g[1] && g[1] == g[2]);
        assert!(
            (f64::from(g[0]) - expected(5.0, 994.0)).abs() <= 0.51,
            "{v}: {g:?}"
        );
        let s = stain.get(y, x);
        assert!(
            (f64::from(s[0]) - expected(20.0, 998.0)).abs() <= 0.51,
            "{v}: {s:?}"
        );
        assert!((f64::from(s[1]) - expected(20.0, 998.0) * 128.0 / 255.0).abs() <= 0.51);
        assert_eq!(s[2], 0);
    }
    // Gain and offset of the camera are not seen.
    let other = brightfield_picture(&plane.map(|v| 16.0 * v + 4096.0));
    assert_eq!(other, grey);
}

#[test]
fn a_png_says_its_size_and_whether_it_has_colour() {
    let header = |picture: &Image<Rgb>| {
        let bytes = encode_png(picture).unwrap();
        assert_eq!(bytes[..8], [137, 80, 78, 71, 13, 10, 26, 10]);
        let number = |i: usize| u32::from_be_bytes(bytes[i..i + 4].try_into().unwrap());
        // Width, height, bits, colour type: 0 is grey, 2 is RGB.
        (number(16), number(20), bytes[24], bytes[25])
    };
    assert_eq!(header(&base(5, 9)), (9, 5, 8, 2));
    assert_eq!(
        header(&Image::from_fn(4, 6, |y, x| [(y * x) as u8; 3])),
        (6, 4, 8, 0)
    );
    for size in [(0, 0), (0, 4), (4, 0)] {
        let error = encode_png(&Image::new(size.0, size.1, vec![])).unwrap_err();
        assert!(!error.to_string().is_empty());
    }
}
