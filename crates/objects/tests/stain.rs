//! Segmentation step by step: what its settings say, put together from operations that are tested
//! alone.

use stainfree_image::Image;
use stainfree_objects::threshold::{
    above, ground, li, local_gaussian, local_mean, otsu, otsu_log, triangle,
};
use stainfree_objects::{
    Connectivity, CytoplasmTruth, Footprint, StainSettings, Threshold, close, edt,
    fill_holes_below, gaussian, label, noise_level, remove_small_objects, segment_cytoplasm,
    segment_nuclei, subtract_background,
};

const PIXEL_UM: f64 = 0.8;

/// Disks of different brightness, holes and specks on a sloping ground with noise.
fn stain() -> Image<f32> {
    let disks = [
        (25.0, 25.0, 12.0, 900.0),
        (26.0, 78.0, 14.0, 300.0),
        (70.0, 30.0, 13.0, 2500.0),
        (74.0, 85.0, 12.0, 600.0),
        (50.0, 55.0, 1.5, 1500.0),
    ];
    let sharp = Image::from_fn(100, 110, |y, x| {
        let inside = |&&(cy, cx, r, _): &&(f32, f32, f32, f32)| {
            let d = (y as f32 - cy).hypot(x as f32 - cx);
            d <= r && (r < 13.5 || d > 3.0)
        };
        let height = disks.iter().find(inside).map_or(0.0, |disk| disk.3);
        100.0 + 0.4 * x as f32 + height
    });
    let soft = gaussian(&sharp, 1.2);
    let mut state = 7u32;
    soft.map(|&v| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        v + (state >> 24) as f32 / 16.0
    })
}

fn settings(threshold: Threshold) -> StainSettings {
    StainSettings {
        threshold,
        closing_um: 1.6,
        max_hole_um2: 25.0,
        min_area_um2: 20.0,
        ..StainSettings::cytoplasm()
    }
}

fn segment(settings: &StainSettings) -> CytoplasmTruth {
    segment_cytoplasm(&stain(), Some(PIXEL_UM), settings).unwrap()
}

/// A mask as the settings clean it.
fn cleaned(mask: &Image<bool>, settings: &StainSettings) -> Image<bool> {
    let px = |um2: f64| um2 / (PIXEL_UM * PIXEL_UM);
    let closed = match settings.closing_um > 0.0 {
        true => {
            let radius = (settings.closing_um / PIXEL_UM).round() as usize;
            close(mask, Footprint::Disk(radius))
        }
        false => mask.clone(),
    };
    let filled = match settings.max_hole_um2 > 0.0 {
        true => fill_holes_below(&closed, px(settings.max_hole_um2) as usize),
        false => closed,
    };
    let least = px(settings.min_area_um2).ceil() as usize;
    remove_small_objects(&filled, least, Connectivity::Four)
}

#[test]
fn the_surface_is_smoothed_without_haze_above_its_background() {
    let px = |um: f64| um / PIXEL_UM;
    for (haze_share, background_um) in [(0.0, 0.0), (0.0, 30.0), (0.4, 0.0), (0.3, 40.0)] {
        let choices = StainSettings {
            smoothing_um: 0.9,
            haze_share,
            // Below four pixels the haze is not made coarser.
            haze_um: 2.4,
            background_um,
            ..settings(Threshold::Otsu)
        };
        let mut expected = gaussian(&stain(), px(0.9));
        let haze = gaussian(&expected, px(2.4));
        for (v, h) in expected.data_mut().iter_mut().zip(haze.data()) {
            *v -= haze_share as f32 * h;
        }
        if background_um > 0.0 {
            expected = subtract_background(expected, px(background_um));
        }
        let found = segment(&choices).flat;
        let pairs = found.data().iter().zip(expected.data());
        let largest = pairs.fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
        assert!(largest < 1e-2, "{haze_share} {background_um}: {largest}");
    }
}

#[test]
fn global_thresholds_cut_the_surface_and_what_is_cut_is_cleaned() {
    type Method = fn(&[f32]) -> Option<f32>;
    let methods: [(Threshold, Method); 4] = [
        (Threshold::Otsu, |v| otsu(v, 1024)),
        (Threshold::Li, li),
        (Threshold::Triangle, |v| triangle(v, 1024)),
        (Threshold::Ground, ground),
    ];
    for (threshold, method) in methods {
        for (threshold_factor, closing_um, max_hole_um2) in
            [(1.0, 1.6, 25.0), (1.3, 0.0, 0.0), (0.8, 0.0, 1e9)]
        {
            let choices = StainSettings {
                threshold_factor,
                closing_um,
                max_hole_um2,
                ..settings(threshold)
            };
            let found = segment(&choices);
            let t = method(found.flat.data()).unwrap() * threshold_factor as f32;
            assert_eq!(found.threshold, t, "{threshold}");
            let expected = cleaned(&above(&found.flat, t), &choices);
            assert_eq!(found.mask, expected, "{threshold} {threshold_factor}");
            assert!(found.mask.data().contains(&true));
        }
    }
}

#[test]
fn logarithmic_thresholds_begin_at_some_times_the_noise() {
    // For nuclei of one brightness the scale begins far above the noise, as a floor for dim ones
    // just above it; local thresholds end at half of the former.
    for (threshold, knee, share) in [
        (Threshold::OtsuLog, 30.0, 1.0),
        (Threshold::Object, 3.0, 1.0),
        (Threshold::LocalMean, 30.0, 0.5),
        (Threshold::LocalGaussian, 30.0, 0.5),
    ] {
        let found = segment(&settings(threshold));
        let noise = noise_level(&stain());
        let t = otsu_log(found.flat.data(), knee * noise, 1024).unwrap();
        assert_eq!(found.threshold, t * share, "{threshold}");
    }
}

#[test]
fn local_thresholds_are_the_surrounding_with_a_floor() {
    for threshold in [Threshold::LocalMean, Threshold::LocalGaussian] {
        let choices = StainSettings {
            local_radius_um: 12.0,
            threshold_factor: 1.1,
            ..settings(threshold)
        };
        let found = segment(&choices);
        let radius = (12.0 / PIXEL_UM).round() as usize;
        let around = match threshold {
            Threshold::LocalMean => local_mean(&found.flat, radius),
            _ => local_gaussian(&found.flat, radius),
        };
        let cut = Image::from_fn(100, 110, |y, x| {
            found.flat.get(y, x) > (1.1 * around.get(y, x)).max(found.threshold)
        });
        assert_eq!(found.mask, cleaned(&cut, &choices), "{threshold}");
    }
}

#[test]
fn an_object_ends_at_a_share_of_its_own_brightness() {
    let choices = StainSettings {
        closing_um: 0.0,
        max_hole_um2: 0.0,
        // Twice a pixel at most: zones are found pixel by pixel.
        object_smoothing_um: 1.2,
        ..settings(Threshold::Object)
    };
    for object_share in [0.3, 0.5, 0.7] {
        let choices = StainSettings {
            object_share,
            ..choices.clone()
        };
        let found = segment(&choices);
        let floor = found.threshold;
        // The disks lie apart, so what is above the floor in one piece is one object.
        let pieces = label(&above(&found.flat, floor), Connectivity::Eight);
        let mut level = vec![f32::INFINITY; pieces.count + 1];
        for (piece, level) in level.iter_mut().enumerate().skip(1) {
            let pixels = found.flat.data().iter().zip(pieces.image.data());
            let own = pixels.filter(|p| *p.1 as usize == piece).map(|p| *p.0);
            let mut own: Vec<f32> = own.collect();
            own.sort_by(f32::total_cmp);
            let brightness = own[((own.len() - 1) as f64 * 0.8) as usize];
            *level = (brightness * object_share as f32).max(floor);
        }
        let cut = Image::from_fn(100, 110, |y, x| {
            found.flat.get(y, x) > level[pieces.image.get(y, x) as usize]
        });
        let expected = cleaned(&cut, &choices);
        let objects = label(&expected, Connectivity::Four).count;
        assert_eq!(objects, 4, "the dim ones beside the bright, and no speck");
        // The ring has several tops, each of which is a zone with a brightness of its own.
        let of_ring = |y: usize, x: usize| (8..45).contains(&y) && (60..97).contains(&x);
        for (y, x) in (0..100).flat_map(|y| (0..110).map(move |x| (y, x))) {
            let same = found.mask.get(y, x) == expected.get(y, x);
            assert!(same || of_ring(y, x), "{object_share}: {y} {x}");
        }
    }
}

#[test]
fn a_dim_object_keeps_its_own_threshold_across_a_valley() {
    // Two disks with a gap, blurred until the valley between them has half of the dim one's height:
    // more than a fifth lower, so they are two. The threshold of the bright one, or of both
    // together, lies above the dim one.
    let sharp = Image::from_fn(60, 90, |y, x| {
        let inside = |cx: f32| (y as f32 - 30.0).hypot(x as f32 - cx) <= 12.0;
        match (inside(25.0), inside(54.0)) {
            (true, _) => 900.0f32,
            (_, true) => 400.0,
            _ => 100.0,
        }
    });
    let mut state = 5u32;
    let stain = gaussian(&sharp, 2.5).map(|&v| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        v + (state >> 24) as f32 / 64.0
    });
    let valley = (34..50)
        .map(|x| stain.get(30, x))
        .fold(f32::INFINITY, f32::min)
        - 100.0;
    assert!((90.0..220.0).contains(&valley), "{valley}");
    let choices = StainSettings {
        haze_share: 0.0,
        background_um: 0.0,
        ..settings(Threshold::Object)
    };
    let stain = stain.map(|v| v - 100.0);
    let found = segment_cytoplasm(&stain, Some(1.0), &choices).unwrap();
    let (mut dim, mut kept) = (0, 0);
    for (y, x) in (0..60).flat_map(|y| (0..90).map(move |x| (y, x))) {
        let deep = (y as f32 - 30.0).hypot(x as f32 - 54.0) <= 10.0;
        dim += usize::from(deep);
        kept += usize::from(deep && found.mask.get(y, x));
    }
    assert_eq!(kept, dim, "pixels of the dim disk");
}

#[test]
fn pixels_are_ignored_where_the_threshold_decides_and_the_edge_is_near() {
    for (ignore_width_px, ignore_margin) in [(1.0, 0.1), (2.5, 0.3), (1.5, 0.06)] {
        let choices = StainSettings {
            ignore_width_px,
            ignore_margin,
            ..settings(Threshold::Otsu)
        };
        let found = segment(&choices);
        let cut = |factor: f32| cleaned(&above(&found.flat, found.threshold * factor), &choices);
        let margin = ignore_margin as f32;
        let (wide, narrow) = (cut(1.0 - margin), cut(1.0 + margin));
        // Distances to the nearest pixel on the other side of the edge.
        let to_outside = edt(&found.mask);
        let to_inside = edt(&found.mask.map(|&m| !m));
        let expected = Image::from_fn(100, 110, |y, x| match found.mask.get(y, x) {
            true => !narrow.get(y, x) && f64::from(to_outside.get(y, x)) <= ignore_width_px,
            false => wide.get(y, x) && f64::from(to_inside.get(y, x)) <= ignore_width_px,
        });
        assert_eq!(found.ignore, expected, "{ignore_width_px} {ignore_margin}");
        assert!(expected.data().contains(&true));
        let none = StainSettings {
            ignore_width_px: 0.0,
            ..choices
        };
        assert!(!segment(&none).ignore.data().contains(&true));
    }
}

#[test]
fn without_a_pixel_size_objects_are_as_large_as_their_yardstick() {
    // Disks of one size at three magnifications: the diameter is theirs, to a tenth.
    for radius in [6.0, 12.0, 24.0f32] {
        let side = (radius * 16.0) as usize;
        let sharp = Image::from_fn(side, side, |y, x| {
            let at = |i: usize| (i as f32).rem_euclid(radius * 4.0) - radius * 2.0;
            if at(y).hypot(at(x)) <= radius {
                900.0
            } else {
                100.0
            }
        });
        let mut state = 3u32;
        let stain = gaussian(&sharp, 1.0).map(|&v| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            v + (state >> 24) as f32 / 32.0
        });
        let found = segment_nuclei(&stain, None, &StainSettings::default()).unwrap();
        let diameter = 14.0 / found.um_per_pixel;
        let drawn = f64::from(2.0 * radius);
        // What is measured is a width, taken for that of an ellipse: a disk reads a fifth larger.
        let share = diameter / drawn;
        assert!((1.05..1.3).contains(&share), "{drawn}: {diameter}");
        assert_eq!(found.count, 16);
    }
}
