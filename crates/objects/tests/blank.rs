//! Pixels that show nothing are found, and nothing else is taken for them.

use stainfree_image::Image;
use stainfree_objects::{
    StainSettings, Word, blank_pixels, blank_regions, blank_share, fill_blank, segment_nuclei,
};

/// Noise of a standard deviation of about 12, the same at every call.
fn noise(y: usize, x: usize) -> f32 {
    let mut state = (y as u64) << 32 | x as u64;
    let mut sum = 0.0;
    for _ in 0..4 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        sum += ((state >> 40) & 31) as f32 - 15.5;
    }
    sum * 0.65
}

/// Blurred nuclei of 900 on a ground of 200, in whole counts.
fn stain(height: usize, width: usize) -> Image<f32> {
    Image::from_fn(height, width, |y, x| {
        let (dy, dx) = ((y % 48) as f32 - 24.0, (x % 48) as f32 - 24.0);
        let edge = 1.0 / (1.0 + (dy.hypot(dx) - 10.0).exp());
        (200.0 + 900.0 * edge + noise(y, x)).round()
    })
}

fn with(image: &Image<f32>, value: f32, inside: impl Fn(usize, usize) -> bool) -> Image<f32> {
    Image::from_fn(image.height(), image.width(), |y, x| match inside(y, x) {
        true => value,
        false => image.get(y, x),
    })
}

/// Found, and how many pixels of `rim` were missed or added.
fn errors(image: &Image<f32>, rim: impl Fn(usize, usize) -> bool) -> Option<usize> {
    let blank = blank_pixels(image)?;
    let mut wrong = 0;
    for y in 0..image.height() {
        for x in 0..image.width() {
            wrong += usize::from(blank.get(y, x) != rim(y, x));
        }
    }
    Some(wrong)
}

#[test]
fn a_picture_has_no_blank_pixels() {
    let plain = stain(192, 240);
    assert_eq!(blank_pixels(&plain), None);
    // Clipped ground, flat tops, few grey levels: parts of the picture.
    assert_eq!(blank_pixels(&plain.map(|&v| (v - 215.0).max(0.0))), None);
    assert_eq!(blank_pixels(&plain.map(|&v| v.min(700.0))), None);
    assert_eq!(blank_pixels(&plain.map(|&v| (v / 32.0).floor())), None);
    // Light too bright on one side.
    let light = Image::from_fn(160, 160, |y, x| {
        (180.0 + x as f32 + noise(y, x) / 3.0).round().min(255.0)
    });
    assert_eq!(blank_pixels(&light), None);
    assert_eq!(blank_pixels(&Image::filled(0, 0, 1.0)), None);
}

#[test]
fn a_saturated_nucleus_at_the_border_is_no_rim_however_large() {
    let plain = stain(240, 320);
    for radius in [20.0, 42.0, 60.0, 100.0, 150.0, 220.0] {
        for (cy, cx) in [(0.0, 160.0), (20.0, 300.0), (110.0, 0.0), (10.0, 10.0)] {
            let inside = |y: usize, x: usize| (y as f32 - cy).hypot(x as f32 - cx) < radius;
            let cell = with(&plain, 4095.0, inside);
            let blank = blank_pixels(&cell);
            assert!(blank.is_none(), "radius {radius} at {cy}, {cx}");
        }
    }
}

#[test]
fn what_lies_around_a_round_field_of_view_is_blank_and_clipped_ground_is_not() {
    let plain = stain(240, 320);
    for (radius, centre) in [
        (160.0, (119.5, 159.5)),
        (185.0, (119.5, 159.5)),
        (118.0, (119.5, 159.5)),
        (150.0, (130.0, 140.0)),
    ] {
        let (cy, cx) = centre;
        let outside = |y: usize, x: usize| (y as f32 - cy).hypot(x as f32 - cx) > radius;
        let blank = blank_pixels(&with(&plain, 0.0, outside)).expect("blank corners");
        let places = (0..240).flat_map(|y| (0..320).map(move |x| (y, x)));
        let (mut missed, mut added) = (0, 0);
        for (y, x) in places {
            missed += usize::from(outside(y, x) && !blank.get(y, x));
            added += usize::from(!outside(y, x) && blank.get(y, x));
        }
        // The first pixel beyond a short arc may look like a mixture and is then left out too: a
        // ring of one pixel, and the four arcs of a radius of 185 have 124.
        assert!(missed == 0 && added <= 124, "{radius}: {missed}, {added}");
    }
    // One large nucleus, or several, on ground that was clipped at 0.
    for nuclei in [
        &[(120.0, 160.0, 80.0f32)][..],
        &[(70.0, 80.0, 62.0), (150.0, 240.0, 70.0)],
    ] {
        let outside = |y: usize, x: usize| {
            nuclei
                .iter()
                .all(|&(cy, cx, radius)| (y as f32 - cy).hypot(x as f32 - cx) > radius)
        };
        assert_eq!(blank_pixels(&with(&plain, 0.0, outside)), None);
    }
}

#[test]
fn a_rotated_field_has_a_rim_at_every_angle() {
    let plain = stain(240, 320);
    for degrees in [3.0f32, 11.0, 27.0, 45.0] {
        let (sin, cos) = degrees.to_radians().sin_cos();
        let outside = |y: usize, x: usize| {
            let (dy, dx) = (y as f32 - 119.5, x as f32 - 159.5);
            let (v, u) = (cos * dy - sin * dx, sin * dy + cos * dx);
            v.abs() > 90.0 || u.abs() > 110.0
        };
        let wrong = errors(&with(&plain, 0.0, outside), outside);
        assert_eq!(wrong, Some(0), "{degrees}");
    }
}

#[test]
fn rims_gaps_and_missing_tiles_are_found_whatever_their_value() {
    let plain = stain(192, 240);
    // A rim of the very value of the ground is found in most pictures only, and spoils little.
    for value in [0.0, 100.0, 300.0, 65_535.0] {
        for (name, inside) in [
            ("column", (|_, x| x == 0) as fn(usize, usize) -> bool),
            ("rows", |y, _| y >= 186),
            ("frame", |y, x| {
                !(40..150).contains(&y) || !(30..200).contains(&x)
            }),
            ("gap", |_, x| (100..103).contains(&x)),
            ("tile", |y, x| {
                (64..96).contains(&y) && (96..160).contains(&x)
            }),
            ("two", |y, x| y < 10 || (x > 200 && y > 100)),
            ("slanted", |y, x| 5 * x + 3 * y < 300),
        ] {
            let wrong = errors(&with(&plain, value, inside), inside);
            assert!(
                wrong.is_some_and(|n| n < 40),
                "{name} of {value}: {wrong:?}"
            );
        }
    }
}

#[test]
fn values_without_a_number_are_blank_however_few() {
    let plain = stain(96, 96);
    let one = with(&plain, f32::INFINITY, |y, x| (y, x) == (5, 7));
    let blank = blank_pixels(&one).unwrap();
    assert_eq!(blank.data().iter().filter(|&&b| b).count(), 1);
    assert_eq!(blank_regions(&blank), None);
    let filled = fill_blank(&one, &blank);
    assert!((filled.get(5, 7) - plain.get(5, 7)).abs() < 60.0);
    assert_eq!(filled.get(5, 8), plain.get(5, 8));
    let all = blank_pixels(&Image::filled(9, 9, f32::NAN)).unwrap();
    assert_eq!(blank_share(Some(&all)), 1.0);
    assert!(
        fill_blank(&one, &Image::filled(96, 96, true))
            .data()
            .iter()
            .all(|v| *v == 0.0)
    );
}

#[test]
fn a_field_of_one_value_is_blank() {
    assert_eq!(
        blank_share(blank_pixels(&Image::filled(20, 30, 7.0)).as_ref()),
        1.0
    );
    assert_eq!(
        blank_share(blank_pixels(&Image::filled(3, 3, 0.0)).as_ref()),
        1.0
    );
}

#[test]
fn nuclei_beside_a_frame_are_those_without_it() {
    let plain = stain(240, 240);
    let settings = StainSettings::nuclei();
    let found = |image: &Image<f32>| segment_nuclei(image, Some(0.65), &settings).unwrap();
    let whole = found(&plain);
    let inside = |y: usize, x: usize| y < 48 || x < 96;
    for value in [0.0, 100.0, f32::NAN, 4095.0] {
        let seen = found(&with(&plain, value, inside));
        let (mut both, mut either, mut blank) = (0, 0, 0);
        for y in 0..240 {
            for x in 0..240 {
                let (a, b) = (whole.mask.get(y, x), seen.mask.get(y, x));
                if inside(y, x) {
                    assert!(!b && seen.ignore.get(y, x));
                    blank += 1;
                } else {
                    both += usize::from(a && b);
                    either += usize::from(a || b);
                }
            }
        }
        assert_eq!(blank, 48 * 240 + 192 * 96);
        assert!(
            both as f64 > 0.97 * either as f64,
            "{value}: {both} of {either}"
        );
        assert_eq!(seen.count, 4 * 3, "{value}");
        assert!(
            !seen.quality.iter().any(|v| v.unusable),
            "{value}: {:?}",
            seen.quality
        );
        let (a, b) = (whole.numbers.signal_to_noise, seen.numbers.signal_to_noise);
        assert!(
            (a.unwrap() / b.unwrap() - 1.0).abs() < 0.1,
            "{value}: {a:?} {b:?}"
        );
    }
}

#[test]
fn a_dead_pixel_leaves_no_hole_and_no_number_at_all_is_an_error() {
    let plain = stain(96, 96);
    let settings = StainSettings::nuclei();
    let dead = with(&plain, f32::NAN, |y, x| (y, x) == (24, 24));
    let found = segment_nuclei(&dead, Some(0.65), &settings).unwrap();
    assert!(found.mask.get(24, 24) && found.count == 4);
    let none = segment_nuclei(&Image::filled(9, 9, f32::NAN), None, &settings);
    let sentence = none.unwrap_err().to_string();
    assert!(sentence.contains("none of the `81` values"), "{sentence}");
    let dark = segment_nuclei(&Image::filled(9, 9, 3.0), None, &settings).unwrap();
    assert!(dark.count == 0 && dark.quality.iter().any(|v| v.word == Word::Empty));
}
