//! Clean-up of predicted nuclei.

use stainfree_image::Image;
use stainfree_objects::{
    CleanUp, LinePlacement, nuclei_from_prediction, nuclei_from_scheme_b, scheme_b,
};

/// Disks `(y, x, radius)` on 64 x 96 pixels.
fn disks(disks: &[(f64, f64, f64)]) -> Image<bool> {
    Image::from_fn(64, 96, |y, x| {
        disks.iter().any(|&(cy, cx, radius)| {
            (y as f64 - cy).powi(2) + (x as f64 - cx).powi(2) <= radius * radius
        })
    })
}

fn count(mask: &Image<bool>, pixel_um: Option<f64>) -> usize {
    nuclei_from_prediction(mask, pixel_um, &CleanUp::default())
        .unwrap()
        .count
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
    let found = nuclei_from_prediction(&ring, Some(0.5), &CleanUp::default()).unwrap();
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
        let found = nuclei_from_scheme_b(&classes, pixel_um, &CleanUp::default()).unwrap();
        assert_eq!(found.count, 2);
        // The lines belong to the nuclei; the middle of the cut may fall to either side.
        let differ = (0..40).flat_map(|y| (0..60).map(move |x| (y, x)));
        let differ = differ
            .filter(|&(y, x)| found.image.get(y, x) != truth.get(y, x))
            .count();
        assert!(differ <= 24, "{differ} pixels");
    }
}
