//! Class masks: where their lines lie and how wide they are, what is read back from them, and
//! whole cells around nuclei.

use stainfree_image::Image;
use stainfree_objects::{
    BACKGROUND, BOUNDARY, CYTOPLASM, Connectivity, IGNORED, LinePlacement, NUCLEUS, NucleusRule,
    ObjectsError, PredictedField, SPLIT, apply_ignore, areas, cells_from_nuclei, edt, gaussian,
    label_values, masks_from_labels, nuclei_from_prediction, scheme_a, scheme_b, watershed,
};

const ALL: [LinePlacement; 3] = [
    LinePlacement::Inside,
    LinePlacement::Outside,
    LinePlacement::Across,
];

fn turned<T: Copy>(image: &Image<T>) -> Image<T> {
    Image::from_fn(image.width(), image.height(), |y, x| {
        image.get(x, image.width() - 1 - y)
    })
}

fn disk(y: usize, x: usize, (cy, cx, r): (f64, f64, f64)) -> bool {
    (y as f64 - cy).hypot(x as f64 - cx) <= r
}

/// Two that touch, one with a gap of three pixels to the first, and one alone.
fn nuclei() -> Image<u32> {
    Image::from_fn(60, 90, |y, x| match () {
        () if disk(y, x, (22.0, 20.0, 12.0)) => 4,
        () if disk(y, x, (22.0, 44.0, 11.8)) => 9,
        () if disk(y, x, (46.0, 20.0, 8.0)) => 2,
        () if disk(y, x, (30.0, 74.0, 10.0)) => 7,
        () => 0,
    })
}

#[test]
fn a_straight_outline_is_as_wide_as_asked_on_the_side_that_is_asked() {
    // Nucleus from column 10 to 29, from rim to rim: the rim of the image is no edge.
    let strip = Image::from_fn(5, 50, |_, x| u32::from((10..30).contains(&x)));
    for width in 0..6usize {
        for (placement, inside) in ALL.into_iter().zip([width, 0, width.div_ceil(2)]) {
            let outside = width - inside;
            let classes = scheme_b(&strip, placement, width);
            for (x, &class) in classes.row(2).iter().enumerate() {
                let line = (10 - outside..10 + inside).contains(&x)
                    || (30 - inside..30 + outside).contains(&x);
                let expected = match x {
                    _ if line => BOUNDARY,
                    10..30 => NUCLEUS,
                    _ => BACKGROUND,
                };
                assert_eq!(class, expected, "{placement:?} of {width} at {x}");
            }
            assert!((1..5).all(|y| classes.row(y) == classes.row(0)));
        }
    }
}

#[test]
fn a_cut_is_centred_on_its_seam_and_bridges_gaps_up_to_its_width() {
    for gap in 0..6usize {
        // Nuclei 1 and 2 on either side of a gap.
        let pair = Image::from_fn(7, 60, |_, x| match x {
            5..25 => 1,
            _ if (25 + gap..50 + gap).contains(&x) => 2,
            _ => 0u32,
        });
        for width in 1..6usize {
            let classes = scheme_b(&pair, LinePlacement::Inside, width);
            let cut: Vec<usize> = (0..60).filter(|&x| classes.get(3, x) == SPLIT).collect();
            if gap > 2 * width.div_ceil(2) {
                assert!(cut.is_empty(), "gap {gap}, line {width}: {cut:?}");
                continue;
            }
            assert_eq!(cut.len(), width, "gap {gap}, line {width}: {cut:?}");
            assert!(cut.windows(2).all(|pair| pair[1] == pair[0] + 1), "{cut:?}");
            // The seam lies in the middle of the gap, of an odd one on the larger label's side; so
            // does the cut about it.
            let seam = 25 + gap.div_ceil(2);
            assert_eq!(cut[0], seam - width.div_ceil(2), "gap {gap}, line {width}");
        }
    }
}

#[test]
fn lines_turn_with_the_image_and_follow_the_order_of_numbers_only() {
    let labels = nuclei();
    for placement in ALL {
        for width in 1..5 {
            let classes = scheme_b(&labels, placement, width);
            // Their order is kept: of two it decides who has the odd pixel.
            let renamed = labels.map(|&l| if l == 0 { 0 } else { 100_000 + 3 * l });
            assert_eq!(scheme_b(&renamed, placement, width), classes);
            let back = scheme_b(&turned(&labels), placement, width);
            assert_eq!(back, turned(&classes));
        }
        let classes = scheme_b(&labels, placement, 3);
        let split = classes.data().iter().filter(|&&c| c == SPLIT).count();
        assert!(split > 9, "{placement:?}: {split}");
        assert_eq!(
            scheme_b(&labels, placement, 0),
            labels.map(|&l| u8::from(l != 0))
        );
    }
    let nothing = Image::new(0, 3, vec![]);
    assert_eq!(scheme_b(&nothing, LinePlacement::Inside, 3).size(), (0, 3));
    let empty = Image::filled(4, 4, 0u32);
    assert!(
        scheme_b(&empty, LinePlacement::Across, 3)
            .data()
            .iter()
            .all(|&c| c == BACKGROUND)
    );
    let full = Image::filled(4, 4, 6u32);
    assert!(
        scheme_b(&full, LinePlacement::Across, 3)
            .data()
            .iter()
            .all(|&c| c == NUCLEUS)
    );
}

#[test]
fn a_round_outline_keeps_its_width_within_a_pixel_in_every_direction() {
    let centre = 40.0;
    let labels = Image::from_fn(81, 81, |y, x| u32::from(disk(y, x, (centre, centre, 30.0))));
    for width in [2usize, 4, 5] {
        let classes = scheme_b(&labels, LinePlacement::Inside, width);
        for k in 0..64 {
            let (s, c) = (std::f64::consts::TAU * f64::from(k) / 64.0).sin_cos();
            // Along a ray, in tenths of a pixel.
            let at = |r: usize| {
                let place = |d: f64| (centre + d * r as f64 / 10.0).round() as usize;
                classes.get(place(s), place(c))
            };
            let wide = (0..400).filter(|&r| at(r) == BOUNDARY).count() as f64 / 10.0;
            assert!((wide - width as f64).abs() <= 1.2, "{width} at {k}: {wide}");
        }
    }
}

#[test]
fn nuclei_are_read_back_from_the_lines_that_part_them() {
    let labels = nuclei();
    let classes = scheme_b(&labels, LinePlacement::Inside, 3);
    let field = PredictedField {
        lines: true,
        ..PredictedField::of_classes(&classes)
    };
    for pixel_um in [Some(0.8), None] {
        let found = nuclei_from_prediction(&field, pixel_um, &NucleusRule::default()).unwrap();
        assert_eq!(found.count, 4, "{pixel_um:?}");
        // All pixels are back, and those of the cut that bridges a gap.
        let lines = classes.map(|&class| class != BACKGROUND);
        assert_eq!(found.image.map(|&l| l != 0), lines);
        for (label, area) in areas(&labels) {
            let own = labels
                .data()
                .iter()
                .zip(found.image.data())
                .filter(|p| *p.0 == label);
            let mut votes = std::collections::BTreeMap::new();
            own.for_each(|(_, &l)| *votes.entry(l).or_insert(0) += 1);
            let most = votes.values().copied().max().unwrap();
            assert!(most * 20 >= area * 19, "nucleus {label}: {votes:?}");
        }
    }
    for wrong in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let error = nuclei_from_prediction(&field, Some(wrong), &NucleusRule::default());
        assert!(
            matches!(error, Err(ObjectsError::PixelSize { .. })),
            "{wrong}"
        );
        let rule = NucleusRule {
            min_area_um2: -1.0,
            ..NucleusRule::default()
        };
        let error = nuclei_from_prediction(&field, None, &rule);
        assert!(matches!(
            error,
            Err(ObjectsError::Setting {
                setting: "min_area_um2",
                ..
            })
        ));
    }
}

#[test]
fn classes_are_painted_over_each_other_and_ignored_over_all() {
    let row = |flags: [u8; 4]| Image::new(1, 4, flags.map(|f| f == 1).to_vec());
    let mut classes = scheme_a(&row([1, 1, 0, 0]), Some(&row([1, 0, 1, 0])));
    assert_eq!(classes.data(), [NUCLEUS, NUCLEUS, CYTOPLASM, BACKGROUND]);
    apply_ignore(&mut classes, &row([0, 1, 0, 1])).unwrap();
    assert_eq!(classes.data(), [NUCLEUS, IGNORED, CYTOPLASM, IGNORED]);
    let before = classes.clone();
    let error = apply_ignore(&mut classes, &Image::filled(2, 2, true)).unwrap_err();
    assert!(
        matches!(error, ObjectsError::SizeMismatch { .. }),
        "{error}"
    );
    assert_eq!(classes, before);
    let (nuclei, cells) = (
        Image::new(1, 3, vec![0, 7, 0]),
        Image::new(1, 3, vec![9, 9, 0]),
    );
    let (a, b) = masks_from_labels(&nuclei, Some(&cells)).unwrap();
    assert_eq!(a.data(), [false, true, false]);
    assert_eq!(b.unwrap().data(), [true, true, false]);
    assert_eq!(masks_from_labels(&nuclei, None).unwrap().1, None);
    assert!(masks_from_labels(&nuclei, Some(&Image::filled(1, 2, 0))).is_err());
}

/// Two nuclei in one stretch of cytoplasm, which is dim in column `dim`.
fn pair(dim: usize) -> (Image<u32>, Image<bool>, Image<f32>) {
    let nuclei = Image::from_fn(41, 101, |y, x| match () {
        () if disk(y, x, (20.0, 25.0, 8.0)) => 3,
        () if disk(y, x, (20.0, 75.0, 8.0)) => 8,
        () => 0,
    });
    let cytoplasm = Image::from_fn(41, 101, |y, x| (5..36).contains(&y) && (5..96).contains(&x));
    let stain = Image::from_fn(41, 101, |y, x| match cytoplasm.get(y, x) {
        false => 0.0,
        true => 1000.0 * (1.0 - 0.95 * (-(x as f32 - dim as f32).powi(2) / 18.0).exp()),
    });
    (nuclei, cytoplasm, stain)
}

#[test]
fn cells_hold_their_nuclei_and_share_the_cytoplasm() {
    for dim in [42, 50, 58] {
        let (nuclei, cytoplasm, stain) = pair(dim);
        let cells = cells_from_nuclei(&nuclei, &cytoplasm, &stain).unwrap();
        let pixels = nuclei.data().iter().zip(cytoplasm.data()).zip(cells.data());
        for ((&nucleus, &inside), &cell) in pixels {
            assert!(
                nucleus == 0 || cell == nucleus,
                "{cell} on nucleus {nucleus}"
            );
            assert_eq!(cell != 0, inside || nucleus != 0);
        }
        assert_eq!(
            label_values(&cells, Default::default()).count,
            2,
            "in one piece each"
        );
        // The border follows the dim line, where distance alone would put it at 50.
        let border = (0..101).position(|x| cells.get(20, x) == 8).unwrap();
        assert!(border.abs_diff(dim) <= 4, "{border}, dim at {dim}");
        // Neither the numbers nor the stain's gain matter.
        let renamed = nuclei.map(|&l| if l == 0 { 0 } else { 1000 - l });
        let other = cells_from_nuclei(&renamed, &cytoplasm, &stain).unwrap();
        assert_eq!(other, cells.map(|&l| if l == 0 { 0 } else { 1000 - l }));
        let bright = cells_from_nuclei(&nuclei, &cytoplasm, &stain.map(|v| 8.0 * v)).unwrap();
        let differing = bright
            .data()
            .iter()
            .zip(cells.data())
            .filter(|(a, b)| a != b);
        assert!(differing.count() < 10);
    }
}

#[test]
fn cells_meet_where_distance_and_dim_stain_together_say() {
    // A stain that lies unevenly, so that neither decides alone.
    let (nuclei, cytoplasm, dim) = pair(60);
    let stain = Image::from_fn(41, 101, |y, x| {
        dim.get(y, x) * (1.0 + ((y * 7 + x * 13) % 11) as f32 / 4.0)
    });
    let area = Image::from_fn(41, 101, |y, x| cytoplasm.get(y, x) || nuclei.get(y, x) != 0);
    let mut sizes: Vec<usize> = areas(&nuclei).into_values().collect();
    sizes.sort_unstable();
    let radius = (sizes[1] as f64 / std::f64::consts::PI).sqrt();
    // The logarithm above a tenth of the mean, in deviations, after a blur of 0.15 radii.
    let soft = gaussian(&stain, 0.15 * radius);
    let inside = |image: &Image<f32>| -> Vec<f64> {
        let pixels = image.data().iter().zip(area.data());
        pixels.filter(|p| *p.1).map(|p| f64::from(*p.0)).collect()
    };
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let floor = 0.1 * mean(&inside(&soft)) as f32;
    let log = soft.map(|&v| (v.max(0.0) + floor).ln());
    let around = mean(&inside(&log));
    let squares: Vec<f64> = inside(&log).iter().map(|v| (v - around).powi(2)).collect();
    let deviation = mean(&squares).sqrt() as f32;
    let away = edt(&nuclei.map(|&n| n == 0));
    let surface = Image::from_fn(41, 101, |y, x| {
        2.0 / radius as f32 * away.get(y, x) - log.get(y, x) / deviation
    });
    let expected = watershed(&surface, &nuclei, &area, Connectivity::Four);
    let found = cells_from_nuclei(&nuclei, &cytoplasm, &stain).unwrap();
    let pairs = found.data().iter().zip(expected.data());
    let differing = pairs.filter(|(a, b)| a != b).count();
    // Heights that are equal but for rounding may be flooded in another order.
    assert!(differing < 5, "{differing}");
    let border = |image: &Image<u32>| (0..101).filter(|&x| image.get(20, x) == 3).count();
    let alone = watershed(&log.map(|v| -v), &nuclei, &area, Connectivity::Four);
    assert_ne!(
        border(&found),
        border(&alone),
        "the stain alone says something else"
    );
}

#[test]
fn cytoplasm_without_a_nucleus_belongs_to_nobody() {
    let (nuclei, mut cytoplasm, stain) = pair(50);
    // An island that no nucleus reaches.
    for x in 98..101 {
        *cytoplasm.get_mut(1, x) = true;
    }
    let cells = cells_from_nuclei(&nuclei, &cytoplasm, &stain).unwrap();
    assert!((98..101).all(|x| cells.get(1, x) == 0));
    let none = cells_from_nuclei(&nuclei.map(|_| 0), &cytoplasm, &stain).unwrap();
    assert!(none.data().iter().all(|&cell| cell == 0));
    // Without cytoplasm a cell is its nucleus; an even stain parts by distance.
    let alone = cells_from_nuclei(&nuclei, &cytoplasm.map(|_| false), &stain).unwrap();
    assert_eq!(alone, nuclei);
    let even = cells_from_nuclei(&nuclei, &pair(50).1, &stain.map(|_| 5.0)).unwrap();
    for y in 5..36 {
        assert_eq!((even.get(y, 48), even.get(y, 52)), (3, 8), "row {y}");
    }
    let small = Image::filled(2, 2, false);
    assert!(cells_from_nuclei(&nuclei, &small, &stain).is_err());
    assert!(cells_from_nuclei(&nuclei, &cytoplasm, &Image::filled(2, 2, 0.0)).is_err());
}
