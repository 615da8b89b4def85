//! The light of a channel: estimated where it is known, whatever cells lie under it.

use stainfree_image::Image;
use stainfree_objects::{FlatField, block_means, coarse};

/// Light by place, from -1 to 1 in both directions.
type Light<'a> = &'a dyn Fn(f32, f32) -> f32;

/// Cells on a ground, elsewhere in every field, both under `light` on top of `offset`.
fn field(seed: usize, size: (usize, usize), light: Light, offset: f32) -> Image<f32> {
    Image::from_fn(size.0, size.1, |y, x| {
        let at = |i: usize, n: usize| 2.0 * (i as f32 + 0.5) / n as f32 - 1.0;
        let cell = ((y / 4) * 11 + (x / 4) * 17 + seed * 29) % 23 < 6;
        let level = 100.0 + 10.0 * seed as f32;
        light(at(y, size.0), at(x, size.1)) * level * if cell { 5.0 } else { 1.0 } + offset
    })
}

fn fields(count: usize, light: Light, offset: f32) -> Vec<Image<f32>> {
    (0..count)
        .map(|seed| field(seed, (40, 52), light, offset))
        .collect()
}

/// The same light by its formula, of mean 1.
fn shown(light: Light, height: usize, width: usize) -> Image<f32> {
    let at = |i: usize, n: usize| 2.0 * (i as f32 + 0.5) / n as f32 - 1.0;
    let image = Image::from_fn(height, width, |y, x| light(at(y, height), at(x, width)));
    let mean = image.data().iter().sum::<f32>() / image.data().len() as f32;
    image.map(|v| v / mean)
}

fn worst(a: &Image<f32>, b: &Image<f32>) -> f32 {
    let pairs = a.data().iter().zip(b.data());
    pairs.fold(0.0, |m, (a, b)| m.max((a / b - 1.0).abs()))
}

#[test]
fn light_of_every_order_that_fields_are_enough_for_is_found() {
    // Slopes and bowls from 4 fields on, a twist of third order from 8, of fourth from 20.
    let second =
        |v: f32, u: f32| (0.2 * v - 0.1 * u - 0.3 * u * u - 0.2 * v * v + 0.1 * u * v).exp();
    let third = move |v: f32, u: f32| second(v, u) * (0.15 * v * v * u - 0.1 * u * u * u).exp();
    let fourth = move |v: f32, u: f32| third(v, u) * (-0.1 * u * u * v * v).exp();
    let cases: [(usize, Light); 3] = [(4, &second), (8, &third), (20, &fourth)];
    for (count, light) in cases {
        let found = FlatField::estimate(&fields(count, light, 0.0), 0.0).unwrap();
        assert_eq!(found.fields, count);
        let error = worst(&found.image(40, 52), &shown(light, 40, 52));
        // The ground is exactly the light; the ridge of a thousandth takes a little of the highest
        // orders.
        assert!(error < 0.015, "{count} fields: {error}");
        // The surface is a function of the place, not of the size it was estimated at.
        assert!(worst(&found.image(90, 31), &shown(light, 90, 31)) < 0.02);
        assert!(found.agreement > 0.999, "{}", found.agreement);
    }
    // A twist of third order is beyond four fields.
    let few = FlatField::estimate(&fields(7, &third, 0.0), 0.0).unwrap();
    assert!(worst(&few.image(40, 52), &shown(&third, 40, 52)) > 0.03);
}

#[test]
fn even_light_is_even_and_stays_so() {
    let flat = FlatField::estimate(&fields(6, &|_, _| 1.0, 0.0), 0.0).unwrap();
    assert!(flat.unevenness() < 1e-3, "{}", flat.unevenness());
    let stain = field(3, (40, 52), &|_, _| 1.0, 0.0);
    assert!(worst(&flat.correct(&stain), &stain) < 2e-3);
    // A light of known deviation: exp(s u) over the field, s = 0.2.
    let slope = |_: f32, u: f32| (0.2 * u).exp();
    let flat = FlatField::estimate(&fields(6, &slope, 0.0), 0.0).unwrap();
    let light = shown(&slope, 64, 64);
    let squares = light
        .data()
        .iter()
        .map(|&v| f64::from(v - 1.0).powi(2))
        .sum::<f64>();
    let expected = (squares / 4096.0).sqrt();
    assert!((flat.unevenness() / expected - 1.0).abs() < 0.02);
    let mean = |image: &Image<f32>| image.data().iter().sum::<f32>() / image.data().len() as f32;
    for size in [(1, 1), (1, 9), (30, 40)] {
        assert!(
            (mean(&flat.image(size.0, size.1)) - 1.0).abs() < 1e-5,
            "{size:?}"
        );
    }
}

#[test]
fn the_camera_offset_lies_below_the_light() {
    let light = |v: f32, u: f32| (0.3 * v - 0.2 * u * u).exp();
    let flat = FlatField::estimate(&fields(6, &light, 400.0), 400.0).unwrap();
    assert!(worst(&flat.image(40, 52), &shown(&light, 40, 52)) < 0.01);
    // Corrected, ground and cells have the levels that they would have under even light.
    let even = flat.correct(&field(2, (40, 52), &light, 400.0));
    let mean = shown(&light, 40, 52).get(0, 0) / light(-1.0 + 1.0 / 40.0, -1.0 + 1.0 / 52.0);
    for &v in even.data() {
        let level = (v - 400.0) * mean / 120.0;
        let nearest = if level > 3.0 { 5.0 } else { 1.0 };
        assert!(
            (level / nearest - 1.0).abs() < 0.02,
            "{v} is {level} levels"
        );
    }
    // The background is the median of the fields', over the offset.
    let levels: Vec<f64> = (0..6)
        .map(|i| (100.0 + 10.0 * i as f64) / f64::from(mean))
        .collect();
    assert!(
        (flat.background / levels[3] - 1.0).abs() < 0.02,
        "{}",
        flat.background
    );
    // An offset that is not given makes the estimate too even, never too uneven.
    let blind = FlatField::estimate(&fields(6, &light, 400.0), 0.0).unwrap();
    assert!(blind.unevenness() < 0.5 * flat.unevenness());
}

#[test]
fn fields_that_disagree_say_so_and_too_few_say_nothing() {
    let (left, right) = (
        |_: f32, u: f32| (0.3 * u).exp(),
        |_: f32, u: f32| (-0.3 * u).exp(),
    );
    let mixed: Vec<Image<f32>> = (0..8)
        .map(|i| match i % 2 {
            0 => field(i, (40, 52), &left, 0.0),
            _ => field(i, (40, 52), &right, 0.0),
        })
        .collect();
    let found = FlatField::estimate(&mixed, 0.0).unwrap();
    assert!(found.agreement < -0.9, "{}", found.agreement);
    let alike = fields(4, &left, 0.0);
    assert!(FlatField::estimate(&alike, 0.0).is_some());
    assert_eq!(FlatField::estimate(&alike[..3], 0.0), None);
    assert_eq!(FlatField::estimate(&[], 0.0), None);
    let mut other = alike.clone();
    other[2] = other[2].crop(0, 0, 40, 51);
    assert_eq!(FlatField::estimate(&other, 0.0), None);
}

#[test]
fn coarse_fields_have_at_most_64_blocks_a_side() {
    for (height, width, side) in [
        (64, 10, 1),
        (65, 10, 2),
        (30, 640, 10),
        (641, 30, 11),
        (1, 1, 1),
    ] {
        let image = Image::from_fn(height, width, |y, x| (y * 3 + x) as f32);
        let found = coarse(&image);
        assert_eq!(found, block_means(&image, side), "{height} x {width}");
        assert!(found.height() <= 64 && found.width() <= 64);
    }
}

#[test]
fn a_flat_field_is_written_and_read() {
    let flat = FlatField::estimate(&fields(5, &|v, _| (0.1 * v).exp(), 7.0), 7.0).unwrap();
    let read: FlatField = serde_json::from_str(&serde_json::to_string(&flat).unwrap()).unwrap();
    assert_eq!(read.image(9, 12), flat.image(9, 12));
    assert_eq!((read.camera_offset, read.fields), (7.0, 5));
}

#[test]
fn the_ground_is_followed_where_cells_cover_nearly_all_of_it() {
    // A pixel in eight is ground, and cells are of any brightness above it.
    let light = |v: f32, u: f32| (0.25 * v - 0.2 * u * u).exp();
    let full: Vec<Image<f32>> = (0..6)
        .map(|seed| {
            Image::from_fn(40, 52, |y, x| {
                let at = |i: usize, n: usize| 2.0 * (i as f32 + 0.5) / n as f32 - 1.0;
                let place = (y * 11 + x * 17 + seed * 29) % 64;
                let cell = if place < 8 {
                    1.0
                } else {
                    2.0 + place as f32 / 8.0
                };
                100.0 * cell * light(at(y, 40), at(x, 52))
            })
        })
        .collect();
    let found = FlatField::estimate(&full, 0.0).unwrap();
    let error = worst(&found.image(40, 52), &shown(&light, 40, 52));
    assert!(error < 0.01, "{error}");
    let mean = shown(&light, 40, 52).get(20, 26) / light(0.025, 1.0 / 52.0);
    let share = found.background * f64::from(mean) / 100.0;
    // Weights end at a tenth of the spread, which cells draw the level up by a little.
    assert!((share - 1.0).abs() < 0.1, "{share} of the ground");
}
