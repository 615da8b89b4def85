//! The numbers that a field is judged by, against their definitions on the images that a
//! segmentation hands back, and the verdicts at their limits.

use stainfree_image::Image;
use stainfree_objects::{
    Footprint, QualityLimits, StainNumbers, StainSettings, Threshold, Verdict, Word, bleed_through,
    debris_share, erode, gaussian, noise_level, segment_cytoplasm, segment_nuclei,
};

/// Numbers in 0..1 by place.
fn chance(y: usize, x: usize, seed: u64) -> f32 {
    let mut z = (y as u64 * 1_000_003 + x as u64 + seed * 77_777_777_777)
        .wrapping_add(1)
        .wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 31)) >> 40) as f32 / (1u32 << 24) as f32
}

/// A sum of twelve, of mean 0 and deviation 1.
fn normal(y: usize, x: usize, seed: u64) -> f32 {
    (0..12).map(|k| chance(y, x, 12 * seed + k)).sum::<f32>() - 6.0
}

/// Soft disks on a noisy ground.
fn stain(disks: &[(f32, f32, f32, f32)], blur: f64, noise: f32, ceiling: f32) -> Image<f32> {
    let sharp = Image::from_fn(90, 110, |y, x| {
        let heights = disks.iter().map(|&(cy, cx, r, height)| {
            let inside = (y as f32 - cy).hypot(x as f32 - cx) <= r;
            if inside { height } else { 0.0 }
        });
        200.0 + heights.fold(0.0, f32::max)
    });
    let soft = gaussian(&sharp, blur);
    Image::from_fn(90, 110, |y, x| {
        (soft.get(y, x) + noise * normal(y, x, 1))
            .round()
            .min(ceiling)
    })
}

const CELLS: [(f32, f32, f32, f32); 4] = [
    (25.0, 25.0, 12.0, 600.0),
    (30.0, 80.0, 14.0, 800.0),
    (65.0, 35.0, 13.0, 500.0),
    (64.0, 88.0, 11.0, 900.0),
];

fn settings() -> StainSettings {
    StainSettings {
        threshold: Threshold::Otsu,
        ..StainSettings::cytoplasm()
    }
}

fn median(mut values: Vec<f32>) -> f32 {
    values.sort_by(f32::total_cmp);
    values[values.len() / 2]
}

/// All of [`StainNumbers`] by their definitions, of images small enough that no row is passed over.
fn plain_numbers(
    raw: &Image<f32>,
    flat: &Image<f32>,
    mask: &Image<bool>,
    threshold: f32,
) -> StainNumbers {
    let (height, width) = flat.size();
    let part = |inside: bool| -> Vec<f32> {
        let pixels = flat.data().iter().zip(mask.data());
        pixels.filter(|p| *p.1 == inside).map(|p| *p.0).collect()
    };
    let area = part(true).len();
    let outside = median(part(false));
    let largest = raw.data().iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let at_top = raw
        .data()
        .iter()
        .zip(mask.data())
        .filter(|&(&v, &m)| m && v == largest);
    let above = |t: f32| flat.data().iter().filter(|&&v| v > t).count() as f64;
    let inner = erode(mask, Footprint::Disk(1));
    let mut widths = Vec::new();
    for (y, x) in (1..height - 1).flat_map(|y| (1..width - 1).map(move |x| (y, x))) {
        if !mask.get(y, x) || inner.get(y, x) {
            continue;
        }
        let slope = ((flat.get(y + 1, x) - flat.get(y - 1, x)) / 2.0)
            .hypot((flat.get(y, x + 1) - flat.get(y, x - 1)) / 2.0);
        let top = (y.saturating_sub(3)..(y + 4).min(height))
            .flat_map(|v| (x.saturating_sub(3)..(x + 4).min(width)).map(move |u| (v, u)))
            .map(|(v, u)| flat.get(v, u))
            .fold(f32::NEG_INFINITY, f32::max);
        if slope > 0.0 {
            widths.push((top - outside) / slope);
        }
    }
    StainNumbers {
        foreground_share: area as f64 / (height * width) as f64,
        signal_to_noise: Some(f64::from((median(part(true)) - outside) / noise_level(raw))),
        saturated_share: at_top.count() as f64 / area as f64,
        edge_width_px: Some(f64::from(median(widths))),
        threshold_slope: Some((above(0.9 * threshold) - above(1.1 * threshold)) / above(threshold)),
    }
}

#[test]
fn numbers_are_what_they_are_said_to_be() {
    for (blur, noise, ceiling) in [(1.0, 6.0, 4095.0), (2.5, 20.0, 4095.0), (1.0, 3.0, 900.0)] {
        let raw = stain(&CELLS, blur, noise, ceiling);
        let found = segment_cytoplasm(&raw, Some(1.0), &settings()).unwrap();
        assert!(found.mask.data().contains(&true));
        let expected = plain_numbers(&raw, &found.flat, &found.mask, found.threshold);
        let numbers = &found.numbers;
        assert_eq!(numbers.foreground_share, expected.foreground_share);
        assert_eq!(numbers.signal_to_noise, expected.signal_to_noise);
        assert_eq!(numbers.saturated_share, expected.saturated_share);
        assert_eq!(numbers.threshold_slope, expected.threshold_slope);
        assert_eq!(numbers.edge_width_px, expected.edge_width_px);
    }
}

#[test]
fn clipped_blurred_and_dim_fields_are_told() {
    let words = |raw: &Image<f32>, pixel_um: f64| -> Vec<Word> {
        let found = segment_nuclei(raw, Some(pixel_um), &StainSettings::default()).unwrap();
        found.quality.iter().map(|verdict| verdict.word).collect()
    };
    assert_eq!(words(&stain(&CELLS, 1.0, 6.0, 4095.0), 1.0), []);
    // Nine tenths of two cells lie at the ceiling.
    assert_eq!(
        words(&stain(&CELLS, 1.0, 6.0, 700.0), 1.0),
        [Word::Saturated]
    );
    // The same edges on larger pixels are wider in um.
    let wide = words(&stain(&CELLS, 2.0, 6.0, 4095.0), 2.0);
    assert!(wide.contains(&Word::OutOfFocus), "{wide:?}");
    let empty = stain(&[], 1.0, 6.0, 4095.0);
    let found = segment_nuclei(&empty, Some(1.0), &StainSettings::default()).unwrap();
    assert!(
        found.quality.iter().any(|verdict| verdict.unusable),
        "{:?}",
        found.quality
    );
    // Without a pixel size the objects are the yardstick.
    let raw = stain(&CELLS, 1.0, 6.0, 4095.0);
    let found = segment_nuclei(&raw, None, &StainSettings::default()).unwrap();
    let verdict = &found.quality[0];
    assert_eq!(
        (verdict.word, verdict.severity()),
        (Word::Uncalibrated, 0.0)
    );
    assert!((20.0..30.0).contains(&verdict.value), "{}", verdict.reason);
    assert!((found.um_per_pixel * verdict.value - 14.0).abs() < 1e-9);
}

#[test]
fn noise_is_measured_on_any_smooth_ground() {
    let noisy = |sd: f32, ground: fn(usize, usize) -> f32| {
        Image::from_fn(160, 300, |y, x| ground(y, x) + sd * normal(y, x, 5))
    };
    for sd in [1.0, 30.0] {
        for ground in [
            |_, _| 100.0,
            |y, x| 3.0 * y as f32 - 2.0 * x as f32,
            |_, x| 1000.0 * (x as f32 / 60.0).sin(),
        ] {
            let found = noise_level(&noisy(sd, ground));
            // The median of 12,000 differences, which share pixels: some percent.
            assert!((found / sd - 1.0).abs() < 0.06, "{sd}: {found}");
        }
    }
    // By its definition: every fourth row, the upper of two middles.
    let image = noisy(7.0, |_, _| 50.0);
    let differences = (0..160).step_by(4).flat_map(|y| {
        let row = image.row(y);
        row.windows(3)
            .map(|v| (v[0] - 2.0 * v[1] + v[2]).abs())
            .collect::<Vec<f32>>()
    });
    let plain = median(differences.collect()) / (0.6745 * 6f32.sqrt());
    assert_eq!(noise_level(&image), plain);
}

#[test]
fn the_least_noise_is_that_of_a_grey_level() {
    // Few levels, 5 apart: most second differences are 0, and what is left is rounding.
    let steps = Image::from_fn(40, 90, |y, x| 5.0 * ((x / 30 + y / 20) as f32));
    assert!((noise_level(&steps) - 5.0 / 12f32.sqrt()).abs() < 1e-6);
    // Steps in rows that are not looked at, or between rows, are none.
    let unseen = Image::from_fn(40, 90, |y, _| if y % 4 == 1 { 9.0 } else { 0.0 });
    for image in [
        unseen,
        Image::filled(7, 9, 3.0),
        Image::filled(1, 1, 3.0),
        Image::filled(9, 2, 1.0),
    ] {
        let found = noise_level(&image);
        assert!(found > 0.0 && found <= f32::MIN_POSITIVE, "{found}");
    }
}

#[test]
fn a_verdict_begins_beyond_its_limit() {
    let limits = QualityLimits::default();
    type Make = fn(f64, &QualityLimits) -> Option<Verdict>;
    let all: [(Make, f64, Word, &str); 3] = [
        (
            Verdict::of_saturation,
            limits.max_saturated_share,
            Word::Saturated,
            "25.0 % of the mask is at the largest value of the image",
        ),
        (
            Verdict::of_debris,
            limits.max_debris_share,
            Word::Debris,
            "25 % of the objects are specks",
        ),
        (
            Verdict::of_bleed_through,
            limits.max_bleed_through,
            Word::BleedThrough,
            "inside nuclei it follows the nuclear stain (correlation 0.25)",
        ),
    ];
    for (make, limit, word, reason) in all {
        assert_eq!(make(limit, &limits), None);
        assert_eq!(make(f64::NAN, &limits), None);
        let verdict = make(0.25, &limits).unwrap();
        assert_eq!(
            (verdict.word, verdict.value, verdict.limit),
            (word, 0.25, limit)
        );
        assert_eq!((verdict.unusable, verdict.reason.as_str()), (false, reason));
        assert!((verdict.severity() - 0.25 / limit).abs() < 1e-12);
    }
}

#[test]
fn severity_puts_the_unusable_first_and_then_what_is_farthest_beyond() {
    let verdict = |word: Word, value: f64, limit: f64, unusable: bool| Verdict {
        word,
        value,
        limit,
        unusable,
        reason: String::new(),
    };
    // At its limit every number is 1, whichever side is worse.
    for word in [
        Word::Empty,
        Word::WeakStain,
        Word::Saturated,
        Word::OutOfFocus,
    ] {
        assert_eq!(verdict(word, 0.3, 0.3, false).severity(), 1.0);
    }
    // Less is worse of what there should be, more of what there should not.
    assert_eq!(verdict(Word::WeakStain, 1.0, 4.0, false).severity(), 4.0);
    assert_eq!(verdict(Word::OutOfFocus, 8.0, 4.0, false).severity(), 2.0);
    let ordered = [
        verdict(Word::WeakStain, 2.0, 4.0, true),
        verdict(Word::Empty, 0.4, 0.5, true),
        verdict(Word::Debris, 0.9, 0.1, false),
        verdict(Word::ThresholdOnSlope, 0.3, 0.25, false),
        verdict(Word::Uncalibrated, 900.0, 14.0, true),
    ];
    assert!(
        ordered
            .windows(2)
            .all(|pair| pair[0].severity() > pair[1].severity())
    );
    assert!(verdict(Word::Empty, 0.0, 0.5, true).severity().is_finite());
}

#[test]
fn words_are_written_as_they_are_named() {
    for word in [
        Word::Empty,
        Word::WeakStain,
        Word::Saturated,
        Word::OutOfFocus,
        Word::ThresholdOnSlope,
        Word::Debris,
        Word::BleedThrough,
        Word::Uncalibrated,
    ] {
        let written = serde_json::to_string(&word).unwrap();
        assert_eq!(written, format!("\"{word}\""));
        assert_eq!(serde_json::from_str::<Word>(&written).unwrap(), word);
    }
}

#[test]
fn specks_are_below_a_fifth_of_the_median_and_whole() {
    // Seven objects of 10 x 10, one of 20 (the fifth itself), one of 19, one speck at the rim.
    let labels = Image::from_fn(60, 200, |y, x| {
        let (object, y0, x0) = (x / 20, y.wrapping_sub(20), (x % 20).wrapping_sub(5));
        match object {
            0..7 if y0 < 10 && x0 < 10 => object as u32 + 1,
            7 if y0 < 2 && x0 < 10 => 50,
            8 if y0 < 2 && x0 < 10 && (y0, x0) != (1, 9) => 60,
            9 if y == 0 && x0 < 3 => 70,
            _ => 0,
        }
    });
    assert_eq!(debris_share(&labels), Some(1.0 / 9.0));
    // Only what is cut by the rim: nothing is known.
    assert_eq!(debris_share(&Image::filled(4, 4, 1)), None);
}

#[test]
fn bleed_through_is_a_correlation_of_fine_structure_deep_inside() {
    let texture = |seed: u64| Image::from_fn(120, 130, |y, x| 100.0 * chance(y / 2, x / 2, seed));
    let nuclei = Image::from_fn(120, 130, |y, x| {
        u32::from((10..110).contains(&y) && (10..120).contains(&x))
    });
    let (nuclear, other) = (texture(1), texture(2));
    let number = |a: &Image<f32>, b: &Image<f32>| bleed_through(a, b, &nuclei).unwrap().unwrap();
    let found = number(&nuclear, &other);
    // Its own light is all there is to it, whatever its level and gain; turned over it is -1.
    let (bright, turned) = (
        nuclear.map(|v| 7.0 * v + 900.0),
        nuclear.map(|v| 500.0 - 2.0 * v),
    );
    assert!((number(&nuclear, &bright) - 1.0).abs() < 1e-5);
    assert!((number(&nuclear, &turned) + 1.0).abs() < 1e-5);
    assert!((number(&other, &nuclear) - found).abs() < 1e-12);
    // Slow changes of the other stain and what happens outside are not looked at.
    let changed = Image::from_fn(120, 130, |y, x| match nuclei.get(y, x) {
        0 => 1e4 * chance(y, x, 3),
        _ => other.get(y, x),
    });
    let inside = |y: usize, x: usize| {
        let depth = |i: usize, from: usize, to: usize| (i + 1 - from).min(to - i);
        depth(y, 10, 110).min(depth(x, 10, 120)) > 12
    };
    // Twelve pixels off the edge neither Gaussian sees across it: by definition, there.
    let deep = Image::from_fn(120, 130, |y, x| {
        u32::from(nuclei.get(y, x) != 0 && inside(y, x))
    });
    let a = bleed_through(&nuclear, &other, &deep).unwrap();
    assert_eq!(bleed_through(&nuclear, &changed, &deep).unwrap(), a);
    let fine = |image: &Image<f32>| -> Vec<f64> {
        let (narrow, wide) = (gaussian(image, 1.0), gaussian(image, 3.0));
        let depth = stainfree_objects::edt(&nuclei.map(|&l| l != 0));
        (0..image.data().len())
            .filter(|&i| depth.data()[i] > 5.0)
            .map(|i| f64::from(narrow.data()[i]) - f64::from(wide.data()[i]))
            .collect()
    };
    let (a, b) = (fine(&nuclear), fine(&other));
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    let product = |a: &[f64], b: &[f64]| {
        let (ma, mb) = (mean(a), mean(b));
        a.iter()
            .zip(b)
            .map(|(a, b)| (a - ma) * (b - mb))
            .sum::<f64>()
    };
    let expected = product(&a, &b) / (product(&a, &a) * product(&b, &b)).sqrt();
    assert!((found - expected).abs() < 1e-5, "{found} {expected}");
    // One level says nothing.
    assert_eq!(number(&nuclear, &Image::filled(120, 130, 8.0)), 0.0);
    let small = Image::filled(3, 3, 0.0);
    assert!(bleed_through(&small, &other, &nuclei).is_err());
    assert!(bleed_through(&nuclear, &small, &nuclei).is_err());
}
