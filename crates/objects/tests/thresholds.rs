//! Thresholds against what they are said to be best at, by trying every one; and the laws of
//! brighter and lighter images.

use proptest::prelude::*;
use stainfree_image::Image;
use stainfree_objects::Threshold;
use stainfree_objects::threshold::{
    Histogram, above, above_local, ground, li, local_gaussian, local_mean, otsu, otsu_log, triangle,
};

fn values() -> impl Strategy<Value = Vec<f32>> {
    // Two heaps of different size and place, in whole numbers.
    let (low, high) = (0u16..60, 100u16..400);
    let heaps = (
        prop::collection::vec(low, 2..80),
        prop::collection::vec(high, 2..80),
    );
    heaps.prop_map(|(a, b)| a.into_iter().chain(b).map(f32::from).collect())
}

/// Number, mean of `values` and their squared deviations from it.
fn spread(values: &[f64]) -> (f64, f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n.max(1.0);
    let squares = values.iter().map(|v| (v - mean).powi(2)).sum();
    (n, mean, squares)
}

#[test]
fn of_equally_good_cuts_the_first_counts_however_sums_round() {
    // Found by the laws below: three cuts of these have the same variance, and rounding chose.
    let values = [
        27, 46, 2, 27, 46, 27, 21, 15, 46, 40, 52, 27, 9, 15, 9, 58, 46, 181, 330, 385, 169, 151,
        138, 114, 360, 305, 163, 225, 163, 231, 348, 107, 342, 169, 360, 126, 336, 219, 330, 262,
        144, 219, 354, 360, 169, 262, 311, 256, 299, 311, 186, 237, 335, 201, 316, 276, 123, 202,
        397, 180, 252, 388, 209, 292, 366, 288, 185, 109, 155, 314, 359, 324, 171, 138, 149, 389,
        297, 248, 174, 349, 292, 230, 156, 337, 244, 269, 180, 156, 296,
    ];
    let values: Vec<f32> = values.map(|v| v as f32).to_vec();
    let changed: Vec<f32> = values.iter().map(|v| 4.0 * v + 256.0).collect();
    let (a, b) = (otsu(&values, 64).unwrap(), otsu(&changed, 64).unwrap());
    assert!((4.0 * a + 256.0 - b).abs() < 1e-2, "{a} {b}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None,
        ..Default::default() })]

    #[test]
    fn a_histogram_counts_every_value_in_its_bin(values in values(), bins in 1usize..50) {
        let low = values.iter().copied().fold(f32::INFINITY, f32::min);
        let high = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let found = Histogram::new(&values, bins).unwrap();
        prop_assert_eq!((found.low, found.high), (f64::from(low), f64::from(high)));
        prop_assert_eq!(found.counts.iter().sum::<u64>(), values.len() as u64);
        let width = (found.high - found.low) / bins as f64;
        for (i, &count) in found.counts.iter().enumerate() {
            // Values within a millionth of a bin of its edges may be counted on either side.
            let (from, to) = (found.low + i as f64 * width, found.low + (i + 1) as f64 * width);
            let within = |slack: f64| values.iter().map(|&v| f64::from(v)).filter(|&v| {
                v >= from - slack && (v < to + slack || (i + 1 == bins && v <= to))
            }).count() as u64;
            prop_assert!(within(-1e-6 * width) <= count && count <= within(1e-6 * width));
        }
    }

    #[test]
    fn otsus_threshold_leaves_the_least_spread_within_the_classes(values in values(),
        bins in 2usize..40) {
        let histogram = Histogram::new(&values, bins).unwrap();
        let width = (histogram.high - histogram.low) / bins as f64;
        let centre = |i: usize| histogram.low + (i as f64 + 0.5) * width;
        let class = |bins: std::ops::Range<usize>| -> Vec<f64> {
            bins.flat_map(|i| (0..histogram.counts[i]).map(move |_| centre(i))).collect()
        };
        let within = |cut: usize| spread(&class(0..cut + 1)).2 + spread(&class(cut + 1..bins)).2;
        let least = (0..bins - 1).map(within).fold(f64::INFINITY, f64::min);
        let found = f64::from(otsu(&values, bins).unwrap());
        let cut = ((found - histogram.low) / width) as usize;
        prop_assert!((found - centre(cut)).abs() < 1e-3 * width);
        let allowed = least * (1.0 + 1e-9) + 1e-9;
        prop_assert!(within(cut) <= allowed, "{} beyond {}", within(cut), least);
    }

    #[test]
    fn lis_threshold_is_a_fixed_point_and_no_worse_than_its_start(values in values()) {
        let low = values.iter().copied().fold(f32::INFINITY, f32::min);
        let shifted: Vec<f64> = values.iter().map(|&v| f64::from(v - low)).collect();
        // What Li and Lee minimise: the entropy of the image against its picture of two means.
        let entropy = |cut: f64| {
            let part = |upper: bool| -> Vec<f64> {
                shifted.iter().copied().filter(|&v| (v > cut) == upper).collect()
            };
            let term = |class: Vec<f64>| {
                let (n, mean, _) = spread(&class);
                if mean > 0.0 { -n * mean * mean.ln() } else { 0.0 }
            };
            term(part(true)) + term(part(false))
        };
        let found = f64::from(li(&values).unwrap() - low);
        let (_, start, _) = spread(&shifted);
        prop_assert!(entropy(found) <= entropy(start) + 1e-9 * entropy(start).abs());
        let means = [true, false].map(|upper| {
            let class: Vec<f64> = shifted.iter().copied()
                .filter(|&v| (v > found) == upper).collect();
            spread(&class).1
        });
        if means[1] > 0.0 {
            let next = (means[0] - means[1]) / (means[0].ln() - means[1].ln());
            // The classes at the threshold give the threshold again, up to f32 and a value at it.
            let gap = |v: &f64| (v - found).abs() < 1e-3;
            prop_assert!((next - found).abs() < 1e-3 || shifted.iter().any(gap));
        }
    }

    #[test]
    fn a_brighter_or_lighter_image_has_a_threshold_as_much_brighter(values in values()) {
        // Powers of two and whole numbers: no rounding.
        let changed: Vec<f32> = values.iter().map(|v| 4.0 * v + 256.0).collect();
        let near = |a: Option<f32>, b: Option<f32>| {
            let (a, b) = (a.unwrap() * 4.0 + 256.0, b.unwrap());
            (a - b).abs() < 1e-2
        };
        prop_assert!(near(otsu(&values, 64), otsu(&changed, 64)));
        prop_assert!(near(triangle(&values, 64), triangle(&changed, 64)));
        prop_assert!(near(li(&values), li(&changed)));
        // On a logarithmic scale a factor moves it, with the noise.
        let bright: Vec<f32> = values.iter().map(|v| 8.0 * v).collect();
        let dim = otsu_log(&values, 2.0, 64).unwrap();
        let lit = otsu_log(&bright, 16.0, 64).unwrap();
        prop_assert!((8.0 * dim - lit).abs() <= 1e-5 * lit, "{} {}", dim, lit);
    }

    #[test]
    fn the_triangles_threshold_is_the_bin_farthest_from_the_line(values in values(),
        bins in 4usize..60) {
        let Histogram { counts, low, high } = Histogram::new(&values, bins).unwrap();
        let most = *counts.iter().max().unwrap();
        let peak = counts.iter().position(|&c| c == most).unwrap();
        let first = counts.iter().position(|&c| c > 0).unwrap();
        let last = counts.iter().rposition(|&c| c > 0).unwrap();
        let end = if peak - first < last - peak { last } else { first };
        let found = f64::from(triangle(&values, bins).unwrap());
        let bin = ((found - low) / (high - low) * bins as f64) as usize;
        // Below the line from the foot of the tail to the peak; as scikit-image draws it, the foot
        // lies at 0 counts.
        let (run, rise) = (peak as f64 - end as f64, most as f64);
        let depth = |i: usize| {
            let x = i as f64 - end as f64;
            (rise * x * run.signum() - run.abs() * counts[i] as f64) / run.hypot(rise)
        };
        let between = peak.min(end)..=peak.max(end);
        prop_assert!(between.contains(&bin));
        let deepest = between.filter(|&i| i != peak).map(depth).fold(f64::NEG_INFINITY, f64::max);
        prop_assert!((depth(bin) - deepest).abs() < 1e-9, "{} {}", depth(bin), deepest);
    }
}

#[test]
fn equal_values_have_no_threshold() {
    for n in [0, 1, 50] {
        let same = vec![3.0f32; n];
        assert_eq!(otsu(&same, 16), None);
        assert_eq!(li(&same), None);
        assert_eq!(triangle(&same, 16), None);
        assert_eq!(otsu_log(&same, 1.0, 16), None);
        assert_eq!(ground(&same), None);
        assert_eq!(Histogram::new(&same, 16), None);
    }
    assert_eq!(Histogram::new(&[1.0, 2.0], 0), None);
}

#[test]
fn the_logarithm_finds_dim_objects_beside_bright_ones() {
    // Ground about 1, dim objects at 60, some of 6000: the linear threshold lies above the dim
    // ones, the logarithmic one below.
    let ground = (0..8000).map(|i| 0.5 + (i % 100) as f32 * 0.01);
    let dim = (0..1500).map(|i| 50.0 + (i % 20) as f32);
    let bright = (0..500).map(|i| 5500.0 + (i % 100) as f32 * 10.0);
    let values: Vec<f32> = ground.chain(dim).chain(bright).collect();
    assert!(otsu(&values, 256).unwrap() > 60.0);
    let t = otsu_log(&values, 0.3, 256).unwrap();
    // The middle of the last bin with ground.
    assert!((1.4..50.0).contains(&t), "{t}");
    // What lies below zero counts as zero.
    let mut lower = values.clone();
    lower
        .iter_mut()
        .filter(|v| **v < 0.55)
        .for_each(|v| *v -= 900.0);
    let zeroed: Vec<f32> = lower.iter().map(|v| v.max(0.0)).collect();
    assert_eq!(otsu_log(&lower, 0.3, 256), otsu_log(&zeroed, 0.3, 256));
}

#[test]
fn the_ground_follows_its_own_level_and_spread_and_not_the_cells() {
    // A normal ground by twelve sums of a counter, and 30 % cells above it.
    let normal = |i: usize| -> f32 {
        let hash = |k: usize| {
            let mut z = ((i * 12 + k) as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            (z ^ (z >> 31)) >> 40
        };
        (0..12)
            .map(|k| hash(k) as f32 / (1u64 << 24) as f32)
            .sum::<f32>()
            - 6.0
    };
    let field = |level: f32, sd: f32, cells: f32| -> Vec<f32> {
        let one = |i: usize| match i % 10 {
            0..3 => level + cells * (1.0 + (i % 37) as f32 / 37.0),
            _ => level + sd * normal(i),
        };
        (0..20_000).map(one).collect()
    };
    let t = ground(&field(100.0, 5.0, 200.0)).unwrap();
    // The peak of the ground plus three and a half times its spread, within half a spread.
    assert!((t - 117.5).abs() < 2.5, "{t}");
    let brighter = ground(&field(100.0, 5.0, 2000.0)).unwrap();
    assert!((t - brighter).abs() < 1.0, "{t} {brighter}");
    let wider = ground(&field(100.0, 20.0, 800.0)).unwrap();
    assert!((wider - 170.0).abs() < 10.0, "{wider}");
}

#[test]
fn foreground_lies_strictly_above_its_threshold() {
    let image = Image::new(2, 3, vec![1.0f32, 2.0, 3.0, f32::NAN, -1.0, 2.0]);
    let expected = [false, false, true, false, false, false];
    assert_eq!(above(&image, 2.0).data(), expected);
    let own = Image::new(2, 3, vec![0.5f32, 2.0, 4.0, 0.0, -2.0, 1.9]);
    let expected = [true, false, false, false, true, true];
    assert_eq!(above_local(&image, &own).data(), expected);
    // A window of one pixel is the image; a wide one around a point has its share of it.
    let point = Image::from_fn(9, 9, |y, x| if (y, x) == (4, 4) { 49.0 } else { 0.0f32 });
    assert_eq!(local_mean(&point, 0), point);
    let mean = local_mean(&point, 3);
    for (y, x) in (0..9).flat_map(|y| (0..9).map(move |x| (y, x))) {
        let inside = (1..=7).contains(&y) && (1..=7).contains(&x);
        let expected = if inside { 1.0 } else { 0.0 };
        assert!((mean.get(y, x) - expected).abs() < 1e-6, "{y} {x}");
    }
    let soft = local_gaussian(&point, 3);
    assert!(soft.get(4, 4) > soft.get(4, 5) && soft.get(4, 5) > soft.get(4, 6));
    assert!((soft.data().iter().sum::<f32>() - 49.0).abs() < 1e-3);
    assert!(Threshold::all().all(|t| t.to_string() == t.name() && !t.name().is_empty()));
}
