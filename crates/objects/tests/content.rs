//! Labels are told from images, interpolated labels and masks by their shapes.

use stainfree_image::Image;
use stainfree_objects::{NotLabels, NumberShapes, not_labels, shared_numbers, smoothed_share};

/// Disks of radius 8 on a grid, numbered from 1.
fn disks(height: usize, width: usize) -> Image<u32> {
    Image::from_fn(height, width, |y, x| {
        let (v, u) = (y / 24, x / 24);
        let (dy, dx) = ((y % 24) as f64 - 12.0, (x % 24) as f64 - 12.0);
        let number = 1 + v * (width / 24) + u;
        if dy.hypot(dx) < 8.0 { number as u32 } else { 0 }
    })
}

/// `factor` times as large, mixing neighbours.
fn enlarged(image: &Image<u32>, factor: usize) -> Image<u32> {
    let (height, width) = image.size();
    let at = |i: usize, n: usize| {
        let place = (i as f64 + 0.5) / factor as f64 - 0.5;
        let low = place.floor().clamp(0.0, (n - 1) as f64);
        (
            low as usize,
            (low as usize + 1).min(n - 1),
            (place - low).clamp(0.0, 1.0),
        )
    };
    Image::from_fn(factor * height, factor * width, |y, x| {
        let ((y0, y1, v), (x0, x1, u)) = (at(y, height), at(x, width));
        let value = |y, x| f64::from(image.get(y, x));
        let upper = value(y0, x0) * (1.0 - u) + value(y0, x1) * u;
        let lower = value(y1, x0) * (1.0 - u) + value(y1, x1) * u;
        (upper * (1.0 - v) + lower * v).round() as u32
    })
}

#[test]
fn labels_are_labels() {
    assert_eq!(not_labels(&disks(96, 144)), None);
    assert_eq!(not_labels(&Image::filled(20, 20, 0)), None);
    assert_eq!(not_labels(&Image::filled(20, 20, 7)), None);
    // Touching cells without any background, and a lone object of two pieces.
    let tiles = Image::from_fn(60, 60, |y, x| (1 + y / 10 * 6 + x / 10) as u32);
    assert_eq!(not_labels(&tiles), None);
    let halves = Image::from_fn(30, 30, |y, x| {
        u32::from((5..25).contains(&x) && (5..25).contains(&y) && y != 15)
    });
    assert_eq!(not_labels(&halves), None);
}

#[test]
fn an_image_is_no_label_image() {
    let noise = Image::from_fn(64, 64, |y, x| (200 + (y * 7919 + x * 104_729) % 61) as u32);
    assert!(matches!(
        not_labels(&noise),
        Some(NotLabels::Intensities { .. })
    ));
}

#[test]
fn interpolated_labels_and_smoothed_masks_are_told() {
    let mixed = enlarged(&disks(72, 72), 2);
    assert!(
        matches!(not_labels(&mixed), Some(NotLabels::Mixed { .. })),
        "{:?}",
        not_labels(&mixed)
    );
    let mask = disks(72, 72).map(|&l| if l > 0 { 255 } else { 0 });
    assert_eq!(smoothed_share(&mask), 0.0);
    let grey = enlarged(&mask, 3);
    assert!(smoothed_share(&grey) > 0.05, "{}", smoothed_share(&grey));
}

#[test]
fn strays_do_not_make_a_mask_smoothed() {
    let mut mask = disks(72, 72).map(|&l| if l > 0 { 255 } else { 0 });
    for i in 0..12 {
        *mask.get_mut(6 * i, 0) = 7 + i as u32;
    }
    assert!(matches!(not_labels(&mask), Some(NotLabels::Mask { .. })));
    assert_eq!(smoothed_share(&mask), 0.0);
}

#[test]
fn a_mask_with_a_clump_is_a_mask() {
    let disk = |y: usize, x: usize, cy: f64, cx: f64, radius: f64| {
        (y as f64 - cy).hypot(x as f64 - cx) < radius
    };
    let mask = Image::from_fn(160, 200, |y, x| {
        let clump = disk(y, x, 40.0, 40.0, 32.0);
        let singles = [(130.0, 30.0), (130.0, 100.0), (30.0, 150.0), (120.0, 170.0)];
        u32::from(clump || singles.iter().any(|&(cy, cx)| disk(y, x, cy, cx, 7.0)))
    });
    assert!(matches!(not_labels(&mask), Some(NotLabels::Mask { .. })));
    assert_eq!(shared_numbers(&mask), [1]);
}

#[test]
fn a_stray_dab_makes_no_second_object() {
    let dabbed = |side: usize| {
        let dab =
            move |y: usize, x: usize| (60..60 + side).contains(&y) && (60..60 + side).contains(&x);
        let disk = |y: usize, x: usize| (y as f64 - 12.0).hypot(x as f64 - 12.0) < 8.0;
        Image::from_fn(72, 72, move |y, x| u32::from(disk(y, x) || dab(y, x)))
    };
    // Of 197 pixels: a dab of 16, and a piece of 25.
    assert_eq!(not_labels(&dabbed(4)), None);
    assert_eq!(shared_numbers(&dabbed(4)), Vec::<u32>::new());
    assert!(matches!(
        not_labels(&dabbed(5)),
        Some(NotLabels::Mask { .. })
    ));
    assert_eq!(shared_numbers(&dabbed(5)), [1]);
}

#[test]
fn a_mask_is_told_from_labels() {
    let mask = disks(72, 72).map(|&l| u32::from(l > 0));
    let found = not_labels(&mask);
    assert_eq!(
        found,
        Some(NotLabels::Mask {
            numbers: 1,
            objects: 9
        })
    );
}

#[test]
fn numbers_that_wrapped_are_counted() {
    let labels = disks(24 * 16, 24 * 20);
    assert_eq!(shared_numbers(&labels), Vec::<u32>::new());
    // 320 objects in 8 bits: 256 is background, 1 to 64 come twice.
    let wrapped = labels.map(|&l| l % 256);
    assert_eq!(shared_numbers(&wrapped), (1..=64).collect::<Vec<u32>>());
    assert_eq!(not_labels(&wrapped), None);
}

#[test]
fn few_numbers_are_objects_or_classes_by_their_shapes() {
    let few = disks(24, 72);
    assert!(NumberShapes::of(&few).are_instances());
    // One cell: a nucleus inside its cytoplasm.
    let cell = Image::from_fn(40, 40, |y, x| {
        match (y as f64 - 20.0).hypot(x as f64 - 20.0) {
            r if r < 6.0 => 1,
            r if r < 14.0 => 2,
            _ => 0,
        }
    });
    assert!(!NumberShapes::of(&cell).are_instances());
    // Nuclei of one class.
    let nuclei = disks(48, 72).map(|&l| u32::from(l > 0));
    assert!(!NumberShapes::of(&nuclei).are_instances());
    let both = NumberShapes::of(&few).and(NumberShapes::of(&cell));
    assert!(!both.are_instances());
}
