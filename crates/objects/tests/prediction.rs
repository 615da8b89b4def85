//! Clean-up of predicted nuclei.

use stainfree_image::Image;
use stainfree_objects::{
    Distances, Labels, LinePlacement, NucleusRule, PredictedField, nuclei_from_prediction, scheme_b,
};

/// Disks `(y, x, radius)` on 64 x 96 pixels.
fn disks(disks: &[(f64, f64, f64)]) -> Image<bool> {
    Image::from_fn(64, 96, |y, x| {
        disks.iter().any(|&(cy, cx, radius)| {
            (y as f64 - cy).powi(2) + (x as f64 - cx).powi(2) <= radius * radius
        })
    })
}

fn nuclei_of(mask: &Image<bool>, pixel_um: Option<f64>) -> Labels {
    let classes = mask.map(|&nucleus| u8::from(nucleus));
    let field = PredictedField::of_classes(&classes);
    nuclei_from_prediction(&field, pixel_um, &NucleusRule::default()).unwrap()
}

fn count(mask: &Image<bool>, pixel_um: Option<f64>) -> usize {
    nuclei_of(mask, pixel_um).count
}

#[test]
fn nuclei_that_touch_are_parted_where_the_pixel_size_is_known() {
    // Two nuclei of 16 um that overlap by 4 um.
    let pair = disks(&[(32.0, 32.0, 16.0), (32.0, 56.0, 16.0)]);
    assert_eq!(count(&pair, Some(0.5)), 2);
    // Without a pixel size nothing says how deep a waist is.
    assert_eq!(count(&pair, None), 1);
}

#[test]
fn one_nucleus_stays_one_whatever_its_outline() {
    // An outline that wobbles by a pixel, and an ellipse twice as long as wide.
    let rough = Image::from_fn(64, 96, |y, x| {
        let (dy, dx) = (y as f64 - 32.0, x as f64 - 48.0);
        let wobble = (9.0 * dy.atan2(dx)).sin();
        dy.hypot(dx) <= 16.0 + wobble
    });
    assert_eq!(count(&rough, Some(0.5)), 1);
    let long = Image::from_fn(64, 96, |y, x| {
        ((y as f64 - 32.0) / 12.0).hypot((x as f64 - 48.0) / 24.0) <= 1.0
    });
    assert_eq!(count(&long, Some(0.5)), 1);
}

#[test]
fn specks_are_dropped_and_holes_are_filled() {
    // 12 um2 at 0.5 um are 48 pixels.
    assert_eq!(count(&disks(&[(10.0, 10.0, 3.0)]), Some(0.5)), 0);
    let ring = disks(&[(32.0, 48.0, 14.0)]);
    let hole = disks(&[(32.0, 48.0, 5.0)]);
    let ring = Image::from_fn(64, 96, |y, x| ring.get(y, x) && !hole.get(y, x));
    let found = nuclei_of(&ring, Some(0.5));
    assert_eq!(found.count, 1);
    assert_eq!(found.image.get(32, 48), 1);
}

#[test]
fn lines_of_scheme_b_part_nuclei_without_a_waist() {
    // Two halves of one block: neither shape nor pixel size tells them apart.
    let truth = Image::from_fn(40, 60, |y, x| match (y, x) {
        (8..32, 10..30) => 1,
        (8..32, 30..50) => 2,
        _ => 0u32,
    });
    let classes = scheme_b(&truth, LinePlacement::Inside, 3);
    for pixel_um in [None, Some(0.5)] {
        let field = PredictedField {
            lines: true,
            ..PredictedField::of_classes(&classes)
        };
        let found = nuclei_from_prediction(&field, pixel_um, &NucleusRule::default()).unwrap();
        assert_eq!(found.count, 2);
        // The lines belong to the nuclei; the middle of the cut may fall to either side.
        let differ = (0..40).flat_map(|y| (0..60).map(move |x| (y, x)));
        let differ = differ
            .filter(|&(y, x)| found.image.get(y, x) != truth.get(y, x))
            .count();
        assert!(differ <= 24, "{differ} pixels");
    }
}

#[test]
fn a_rule_decides_what_is_a_nucleus() {
    // Three squares: sure, unsure, and sure but without a middle; a hole in the first.
    let square =
        |y: usize, x: usize, left: usize| (8..28).contains(&y) && (left..left + 20).contains(&x);
    let hole = |y: usize, x: usize| (16..19).contains(&y) && (12..15).contains(&x);
    let probability = Image::from_fn(40, 90, |y, x| match (y, x) {
        (y, x) if hole(y, x) => 0.1,
        (y, x) if square(y, x, 4) || square(y, x, 60) => 0.9,
        (y, x) if square(y, x, 32) => 0.55,
        _ => 0.05f32,
    });
    let border = Image::from_fn(40, 90, |y, x| match (y, x) {
        (y, x) if square(y, x, 4) || square(y, x, 32) => 0.8,
        (y, x) if square(y, x, 60) => 0.1f32,
        _ => 0.0,
    });
    let classes = probability.map(|&p| u8::from(p > 0.5));
    let field = PredictedField {
        classes: &classes,
        lines: false,
        probability: Some(&probability),
        distances: Some(Distances {
            border: &border,
            neighbour: None,
        }),
        flow: None,
    };
    let with = |rule: NucleusRule| nuclei_from_prediction(&field, Some(0.5), &rule).unwrap();
    let rule = NucleusRule {
        splitting: "learned".parse().unwrap(),
        ..NucleusRule::default()
    };
    assert_eq!(with(rule.clone()).count, 3);
    let strict = NucleusRule {
        threshold: Some(0.7),
        ..rule.clone()
    };
    assert_eq!(with(strict.clone()).count, 2);
    let sure = with(NucleusRule {
        least_distance: 0.5,
        ..strict
    });
    assert_eq!((sure.count, sure.image.get(17, 13)), (1, 1));
    // Holes above the area stay: 9 pixels are 2.25 um2.
    let open = |um2| {
        with(NucleusRule {
            max_hole_um2: um2,
            ..rule.clone()
        })
        .image
        .get(17, 13)
    };
    assert_eq!((open(2.0), open(2.25)), (0, 1));
    // Smoothed, a pixel beside the rim is no longer sure of itself.
    let corner = with(NucleusRule {
        threshold: Some(0.5),
        smoothing_um: 1.0,
        ..rule.clone()
    });
    assert_eq!(corner.image.get(8, 4), 0);
    // A threshold without the probability is said to lack it.
    let without = PredictedField {
        probability: None,
        ..field
    };
    let strict = NucleusRule {
        threshold: Some(0.7),
        ..rule
    };
    let error = nuclei_from_prediction(&without, Some(0.5), &strict).unwrap_err();
    assert!(error.to_string().contains("the probabilities"), "{error}");
    let wrong = NucleusRule {
        threshold: Some(1.5),
        ..NucleusRule::default()
    };
    let error = nuclei_from_prediction(&field, None, &wrong).unwrap_err();
    assert!(error.to_string().contains("`threshold` = `1.5`"), "{error}");
}
