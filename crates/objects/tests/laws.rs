//! Laws that hold on every image, and the smallest images there are.

use proptest::prelude::*;
use stainfree_image::Image;
use stainfree_objects::threshold::{li, otsu};
use stainfree_objects::*;

fn masks() -> impl Strategy<Value = Image<bool>> {
    (1usize..14, 1usize..14, 0.1f64..0.9).prop_flat_map(|(h, w, share)| {
        prop::collection::vec(prop::bool::weighted(share), h * w)
            .prop_map(move |v| Image::new(h, w, v))
    })
}

/// Reliefs of few whole heights, with many ties, and a mask of the same size.
fn reliefs() -> impl Strategy<Value = (Image<f32>, Image<bool>)> {
    (1usize..12, 1usize..12).prop_flat_map(|(h, w)| {
        let heights = prop::collection::vec(0u8..9, h * w);
        let flags = prop::collection::vec(prop::bool::weighted(0.7), h * w);
        (heights, flags).prop_map(move |(v, m)| {
            let v = v.into_iter().map(f32::from).collect();
            (Image::new(h, w, v), Image::new(h, w, m))
        })
    })
}

const BOTH: [Connectivity; 2] = [Connectivity::Four, Connectivity::Eight];

/// The image at `(y, x)` of a larger empty one.
fn framed<T: Copy>(image: &Image<T>, (top, left): (usize, usize), empty: T) -> Image<T> {
    Image::from_fn(image.height() + 10, image.width() + 80, |y, x| {
        let (y, x) = (y.wrapping_sub(top), x.wrapping_sub(left));
        let inside = y < image.height() && x < image.width();
        if inside { image.get(y, x) } else { empty }
    })
}

/// What became of an image of `size` that [`framed`] put `by` beyond `(3, 3)`.
fn back_to<T: Copy>(image: &Image<T>, by: (usize, usize), size: (usize, usize)) -> Image<T> {
    image.crop(3 + by.0, 3 + by.1, size.0, size.1)
}

fn turned<T: Copy>(image: &Image<T>) -> Image<T> {
    Image::from_fn(image.width(), image.height(), |y, x| {
        image.get(x, image.width() - 1 - y)
    })
}

fn inverse(mask: &Image<bool>) -> Image<bool> {
    mask.map(|&m| !m)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None,
        ..Default::default() })]

    #[test]
    fn repeating_changes_nothing(mask in masks(), r in 0usize..4) {
        let filled = fill_holes(&mask);
        prop_assert_eq!(&fill_holes(&filled), &filled);
        for footprint in [Footprint::Square(r), Footprint::Disk(r)] {
            let opened = open(&mask, footprint);
            prop_assert_eq!(&open(&opened, footprint), &opened);
            let closed = close(&mask, footprint);
            prop_assert_eq!(&close(&closed, footprint), &closed);
        }
    }

    #[test]
    fn erosion_is_dilation_of_the_rest(mask in masks(), r in 0usize..4) {
        for footprint in [Footprint::Square(r), Footprint::Disk(r)] {
            prop_assert_eq!(erode(&mask, footprint), inverse(&dilate(&inverse(&mask), footprint)));
        }
    }

    #[test]
    fn turning_the_image_turns_the_result(mask in masks(), r in 0usize..4) {
        prop_assert_eq!(edt_squared(&turned(&mask)), turned(&edt_squared(&mask)));
        prop_assert_eq!(dilate(&turned(&mask), Footprint::Disk(r)),
            turned(&dilate(&mask, Footprint::Disk(r))));
        for c in [Connectivity::Four, Connectivity::Eight] {
            prop_assert_eq!(label(&turned(&mask), c).count, label(&mask, c).count);
        }
    }

    #[test]
    fn distance_is_the_nearest_background(mask in masks()) {
        let found = edt_squared(&mask);
        for y in 0..mask.height() {
            for x in 0..mask.width() {
                let mut nearest = UNREACHED;
                for v in 0..mask.height() {
                    for u in 0..mask.width() {
                        if !mask.get(v, u) {
                            nearest = nearest.min(
                                (y.abs_diff(v).pow(2) + x.abs_diff(u).pow(2)) as u32);
                        }
                    }
                }
                prop_assert_eq!(found.get(y, x), nearest);
            }
        }
    }

    #[test]
    fn thresholds_do_not_depend_on_order(values in prop::collection::vec(0f32..1000.0, 2..200)) {
        let mut backwards = values.clone();
        backwards.reverse();
        prop_assert_eq!(otsu(&values, 64), otsu(&backwards, 64));
        // Sums in another order: the last digits of f64 may move the f32 result by one step.
        let (a, b) = (li(&values).unwrap_or(0.0), li(&backwards).unwrap_or(0.0));
        prop_assert!((a - b).abs() <= 1e-3);
    }

    #[test]
    fn renaming_labels_renames_the_watershed(mask in masks()) {
        let parts = label(&erode(&mask, Footprint::Disk(1)), Connectivity::Four);
        let distance = edt(&mask).map(|&d| -d.min(1e6));
        let plain = watershed(&distance, &parts.image, &mask, Connectivity::Four);
        let renamed = watershed(&distance, &parts.image.map(|&l| l * 70_000), &mask,
            Connectivity::Four);
        prop_assert_eq!(plain.map(|&l| l * 70_000), renamed);
    }

    #[test]
    fn repeating_a_clean_up_or_a_reconstruction_changes_nothing(mask in masks(),
        (image, _) in reliefs(), area in 1usize..9) {
        for c in BOTH {
            let clean = remove_small_objects(&mask, area, c);
            prop_assert_eq!(&remove_small_objects(&clean, area, c), &clean);
            let seed = image.map(|&v| v - 2.0);
            let rebuilt = reconstruct(&seed, &image, c);
            prop_assert_eq!(&reconstruct(&rebuilt, &image, c), &rebuilt);
            let labels = label(&mask, c);
            prop_assert_eq!(&label_values(&labels.image, c), &labels);
            prop_assert_eq!(&relabel_consecutive(&labels.image), &labels);
        }
        let filled = fill_holes_below(&mask, area);
        prop_assert_eq!(&fill_holes_below(&filled, area), &filled);
    }

    #[test]
    fn opening_is_closing_of_the_rest(mask in masks(), r in 0usize..4) {
        for footprint in [Footprint::Square(r), Footprint::Disk(r)] {
            prop_assert_eq!(open(&mask, footprint), inverse(&close(&inverse(&mask), footprint)));
        }
    }

    #[test]
    fn turning_turns_every_operation(mask in masks(), (image, _) in reliefs(), r in 0usize..4,
        h in 0f32..4.0) {
        for footprint in [Footprint::Square(r), Footprint::Disk(r)] {
            for operation in [erode, dilate, open, close] {
                prop_assert_eq!(operation(&turned(&mask), footprint),
                    turned(&operation(&mask, footprint)));
            }
        }
        prop_assert_eq!(fill_holes(&turned(&mask)), turned(&fill_holes(&mask)));
        for c in BOTH {
            prop_assert_eq!(remove_small_objects(&turned(&mask), r + 2, c),
                turned(&remove_small_objects(&mask, r + 2, c)));
            prop_assert_eq!(h_maxima(&turned(&image), h, c), turned(&h_maxima(&image, h, c)));
            prop_assert_eq!(regional_maxima(&turned(&image), c),
                turned(&regional_maxima(&image, c)));
            let seed = image.map(|&v| v - h);
            prop_assert_eq!(reconstruct(&turned(&seed), &turned(&image), c),
                turned(&reconstruct(&seed, &image, c)));
            let labels = label(&mask, c).image;
            prop_assert_eq!(inner_boundaries(&turned(&labels), c),
                turned(&inner_boundaries(&labels, c)));
            prop_assert_eq!(thick_boundaries(&turned(&labels), c),
                turned(&thick_boundaries(&labels, c)));
            prop_assert_eq!(expand_labels(&turned(&labels), f64::from(h)),
                turned(&expand_labels(&labels, f64::from(h))));
        }
        // Sums of whole numbers up to 20 in another order: a few steps of f32.
        for smooth in [|i: &Image<f32>| gaussian(i, 1.3), |i: &Image<f32>| box_mean(i, 2)] {
            let (a, b) = (smooth(&turned(&image)), turned(&smooth(&image)));
            let largest = a.data().iter().zip(b.data()).fold(0f32, |m,
                (a, b)| m.max((a - b).abs()));
            prop_assert!(largest < 1e-5, "{}", largest);
        }
    }

    #[test]
    fn moving_moves_every_operation(mask in masks(), (image, _) in reliefs(),
        by in (0usize..5, 0usize..70), r in 0usize..3) {
        // Inside an empty frame, so that nothing meets the rim; 70 columns cross a word of packed
        // pixels.
        let frame = |by| framed(&mask, by, false);
        let (still, far) = (frame((3, 3)), frame((3 + by.0, 3 + by.1)));
        let back = |m: &Image<bool>| m.crop(by.0, by.1, mask.height() + 6, mask.width() + 6);
        let here = |m: &Image<bool>| m.crop(0, 0, mask.height() + 6, mask.width() + 6);
        for footprint in [Footprint::Square(r), Footprint::Disk(r)] {
            for operation in [erode, dilate, open, close] {
                prop_assert_eq!(back(&operation(&far, footprint)),
                    here(&operation(&still, footprint)));
            }
        }
        prop_assert_eq!(back(&fill_holes(&far)), here(&fill_holes(&still)));
        let (distance, moved) = (edt_squared(&still), edt_squared(&far));
        let size = (mask.height() + 6, mask.width() + 6);
        prop_assert_eq!(moved.crop(by.0, by.1, size.0, size.1),
            distance.crop(0, 0, size.0, size.1));
        let (relief, far) = (framed(&image, (3, 3), 0.0),
            framed(&image, (3 + by.0, 3 + by.1), 0.0));
        for c in BOTH {
            prop_assert_eq!(back_to(&h_maxima(&far, 2.0, c), by, image.size()),
                back_to(&h_maxima(&relief, 2.0, c), (0, 0), image.size()));
        }
    }

    #[test]
    fn h_maxima_are_where_the_reconstruction_stays_low((image, _) in reliefs(), h in 0u8..5) {
        let h = f32::from(h);
        for c in BOTH {
            let lowered = image.map(|&v| v - h);
            let rebuilt = reconstruct(&lowered, &image, c);
            let stays = lowered.data().iter().zip(rebuilt.data()).map(|(l, r)| l == r).collect();
            prop_assert_eq!(h_maxima(&image, h, c),
                Image::new(image.height(), image.width(), stays));
        }
    }

    #[test]
    fn a_watershed_of_its_own_result_and_of_renamed_seeds((image, mask) in reliefs()) {
        for c in BOTH {
            let seeds = label(&h_maxima(&image.map(|&v| -v), 1.0, c), c).image;
            let basins = watershed(&image, &seeds, &mask, c);
            prop_assert_eq!(&watershed(&image, &basins, &mask, c), &basins);
            // Any other numbers, in another order.
            let other = |&l: &u32| if l == 0 { 0 } else { 100_000 - 7 * l };
            prop_assert_eq!(watershed(&image, &seeds.map(other), &mask, c), basins.map(other));
        }
    }

    #[test]
    fn every_split_keeps_every_pixel_and_is_whole_pieces(mask in masks(), (image, _) in reliefs()) {
        let (height, width) = (mask.height().min(image.height()), mask.width().min(image.width()));
        let (mask, stain) = (mask.crop(0, 0, height, width), image.crop(0, 0, height, width));
        let classes = stain.map(|&v| (v as u8) % 4);
        let scene = Scene { stain: Some(&stain), classes: Some(&classes),
            flow: Some([&stain, &stain]),
            distances: Some(Distances { border: &stain, neighbour: Some(&stain) }),
            ..Scene::of_mask(&mask, 1.0) };
        for method in Splitting::all() {
            let parts = split(&scene, &method).unwrap();
            prop_assert_eq!(parts.image.map(|&l| l != 0), mask.clone(), "{}", method);
            prop_assert_eq!(&label_values(&parts.image, Connectivity::Four), &parts, "{}", method);
        }
    }

    #[test]
    fn a_split_keeps_every_pixel(mask in masks()) {
        let parts = split(&Scene::of_mask(&mask, 1.0), &Splitting::default()).unwrap();
        prop_assert_eq!(parts.image.map(|&l| l != 0), mask);
        prop_assert_eq!(parts.image.data().iter().copied().max().unwrap_or(0) as usize,
            parts.count);
    }
}

#[test]
fn more_objects_than_sixteen_bits_hold() {
    let mask = Image::from_fn(600, 600, |y, x| y % 2 == 0 && x % 2 == 0);
    let labels = label(&mask, Connectivity::Four);
    assert_eq!(labels.count, 90_000);
    assert_eq!(labels.image.get(598, 598), 90_000);
}

#[test]
fn the_smallest_images_segment() {
    for stain in [
        Image::filled(1, 1, 7.0f32),
        Image::filled(1, 9, 0.0),
        Image::filled(5, 3, 100.0),
    ] {
        for pixel_um in [None, Some(0.5)] {
            let found = segment_nuclei(&stain, pixel_um, &StainSettings::default()).unwrap();
            assert_eq!(found.count, 0, "a constant field has no nuclei");
            assert!(
                found
                    .quality
                    .iter()
                    .any(|v| v.word == Word::Empty && v.unusable)
            );
            segment_cytoplasm(&stain, pixel_um, &StainSettings::cytoplasm()).unwrap();
        }
    }
    let none = segment_nuclei(&Image::new(0, 4, vec![]), None, &StainSettings::default());
    assert_eq!(
        none.unwrap_err(),
        ObjectsError::NoPixels {
            height: 0,
            width: 4
        }
    );
}

/// Disks of different brightness on a noisy ground: centre (y, x), radius, height.
fn disks(places: &[(f32, f32, f32, f32)]) -> Image<f32> {
    let sharp = Image::from_fn(120, 160, |y, x| {
        let mut v = 100.0f32;
        for &(cy, cx, r, height) in places {
            if (y as f32 - cy).hypot(x as f32 - cx) <= r {
                v = v.max(100.0 + height);
            }
        }
        v
    });
    let mut state = 1u32;
    let mut soft = gaussian(&sharp, 1.5);
    for v in soft.data_mut() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *v += (state >> 24) as f32 / 32.0;
    }
    soft
}

#[test]
fn dim_nuclei_stand_beside_bright_ones_and_touching_ones_part() {
    // One nucleus is fifteen times brighter; two of equal brightness touch.
    let stain = disks(&[
        (30.0, 30.0, 12.0, 3000.0),
        (30.0, 100.0, 12.0, 200.0),
        (85.0, 60.0, 12.0, 800.0),
        (85.0, 82.0, 12.0, 800.0),
    ]);
    let found = segment_nuclei(&stain, Some(0.6), &StainSettings::default()).unwrap();
    assert_eq!(found.count, 4, "{:?}", found.quality);
    let disk = std::f64::consts::PI * 144.0;
    for (l, a) in areas(&found.labels) {
        assert!(
            (a as f64 / disk - 1.0).abs() < 0.2,
            "nucleus {l} has {a} px, drawn {disk:.0}"
        );
    }
}

#[test]
fn schemes_paint_in_the_order_of_the_paper() {
    let labels = Image::from_fn(9, 20, |y, x| match (y, x) {
        (1..=7, 1..=8) => 1,
        (1..=7, 9..=17) => 2,
        _ => 0u32,
    });
    let classes = scheme_b(&labels, LinePlacement::Inside, 3);
    // Along the middle row: outline of 3, the cut of 3 about the seam at 8 | 9, outline of 3.
    let row: Vec<u8> = classes.row(4).to_vec();
    assert_eq!(row.iter().filter(|&&c| c == SPLIT).count(), 3, "{row:?}");
    assert_eq!(&row[..5], &[0, 2, 2, 2, 1], "{row:?}");
    assert_eq!(&row[15..], &[2, 2, 2, 0, 0], "{row:?}");
    let outside = scheme_b(&labels, LinePlacement::Outside, 3);
    assert_eq!(&outside.row(4)[..3], &[2, 1, 1]);
    let nuclei = Image::new(1, 3, vec![true, false, false]);
    let cells = Image::new(1, 3, vec![true, true, false]);
    assert_eq!(
        scheme_a(&nuclei, Some(&cells)).data(),
        &[NUCLEUS, CYTOPLASM, BACKGROUND]
    );
    assert_eq!(
        scheme_a(&nuclei, None).data(),
        &[NUCLEUS, BACKGROUND, BACKGROUND]
    );
}

#[test]
fn settings_and_names_explain_themselves() {
    let text = "kmeans".parse::<Threshold>().unwrap_err().to_string();
    assert_eq!(
        text,
        "unknown threshold `kmeans`; choose one of: object, otsu, otsu-log, li, triangle, ground, \
         local-mean, local-gaussian"
    );
    for method in Threshold::all() {
        assert_eq!(method.name().parse::<Threshold>().unwrap(), method);
        assert_eq!(serde_json::to_value(method).unwrap(), method.name());
    }
    let settings = StainSettings::cytoplasm();
    let json = serde_json::to_string(&settings).unwrap();
    assert_eq!(
        serde_json::from_str::<StainSettings>(&json).unwrap(),
        settings
    );
    assert!(serde_json::from_str::<StainSettings>(r#"{"smoothing": 1}"#).is_err());
    let mut partial = serde_json::Deserializer::from_str(r#"{"smoothing_um": 3.0}"#);
    let read = stainfree_objects::settings::deserialize_cytoplasm(&mut partial).unwrap();
    assert_eq!(
        read,
        StainSettings {
            smoothing_um: 3.0,
            ..settings
        }
    );
}
