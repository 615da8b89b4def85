//! The contract of every splitting method, and what some of them promise beyond it.

use stainfree_image::Image;
use stainfree_objects::*;

/// An ellipse: middle `(y, x)`, half-axes along y and x, brightness.
type Ellipse = (f64, f64, f64, f64, f32);

const UM: f64 = 0.5;

/// Ellipses on background, blurred by a pixel as a microscope does; the mask is drawn sharp.
fn drawn(height: usize, width: usize, nuclei: &[Ellipse]) -> (Image<bool>, Image<f32>) {
    let value = |y: usize, x: usize| {
        let covers = |n: &&Ellipse| ((y as f64 - n.0) / n.2).hypot((x as f64 - n.1) / n.3) <= 1.0;
        nuclei.iter().find(covers).map_or(0.0, |n| n.4)
    };
    let sharp = Image::from_fn(height, width, value);
    (sharp.map(|&v| v > 0.0), gaussian(&sharp, 1.0))
}

/// Nuclei with lines 3 px wide where they meet, as a network of scheme B sees them.
fn classes(labels: &Image<u32>) -> Image<u8> {
    scheme_b(labels, LinePlacement::Inside, 3)
}

/// Every nucleus' own distance as a share of its largest, as a network that is right sees it.
fn own_distance(labels: &Image<u32>) -> Image<f32> {
    let (height, width) = labels.size();
    // Lines between the labels are taken for background: half a pixel more or less.
    let inside = |y: usize, x: usize| {
        let label = labels.get(y, x);
        let same = |y: usize, x: usize| labels.get(y, x) == label;
        label != 0 && same(y, (x + 1).min(width - 1)) && same((y + 1).min(height - 1), x)
    };
    let depth = edt(&Image::from_fn(height, width, inside));
    let mut most = std::collections::HashMap::new();
    for (&label, &d) in labels.data().iter().zip(depth.data()) {
        let top = most.entry(label).or_insert(1.0f32);
        *top = top.max(d);
    }
    let shares = labels.data().iter().zip(depth.data());
    let shares = shares.map(|(label, d)| d / most[label]).collect();
    Image::new(height, width, shares)
}

/// The direction from every pixel to the centroid of its nucleus, down and to the right.
fn to_middles(labels: &Image<u32>) -> [Image<f32>; 2] {
    let mut sums = std::collections::HashMap::new();
    let places = || (0..labels.height()).flat_map(|y| (0..labels.width()).map(move |x| (y, x)));
    for (y, x) in places() {
        let sum = sums.entry(labels.get(y, x)).or_insert([0.0f32; 3]);
        sum.iter_mut()
            .zip([y as f32, x as f32, 1.0])
            .for_each(|(s, v)| *s += v);
    }
    [0, 1].map(|axis| {
        Image::from_fn(labels.height(), labels.width(), |y, x| {
            let [sy, sx, n] = sums[&labels.get(y, x)];
            let way = [sy / n - y as f32, sx / n - x as f32];
            let length = way[0].hypot(way[1]).max(1.0);
            if labels.get(y, x) == 0 {
                0.0
            } else {
                way[axis] / length
            }
        })
    })
}

/// Splits with everything that any method reads.
fn separate(
    mask: &Image<bool>,
    stain: &Image<f32>,
    truth: &Image<u32>,
    method: &Splitting,
) -> Labels {
    let classes = classes(truth);
    let [down, right] = to_middles(truth);
    let scene = Scene {
        mask,
        stain: Some(stain),
        classes: Some(&classes),
        distances: Some(Distances {
            border: &own_distance(truth),
            neighbour: None,
        }),
        flow: Some([&down, &right]),
        um_per_pixel: UM,
    };
    split(&scene, method).unwrap()
}

/// Two nuclei of 12 um that overlap by a sixth, one alone, and one cut off by the rim.
fn scene() -> (Image<bool>, Image<f32>, Image<u32>) {
    let nuclei = [
        (40.0, 40.0, 13.0, 11.0, 300.0),
        (44.0, 59.0, 12.0, 11.0, 400.0),
        (95.0, 30.0, 12.0, 14.0, 350.0),
        (90.0, 108.0, 13.0, 12.0, 320.0),
    ];
    let (mask, stain) = drawn(128, 112, &nuclei);
    let truth = Image::from_fn(128, 112, |y, x| {
        let covers = |n: &Ellipse| ((y as f64 - n.0) / n.2).hypot((x as f64 - n.1) / n.3) <= 1.0;
        nuclei.iter().position(covers).map_or(0, |i| i as u32 + 1)
    });
    (mask, stain, truth)
}

fn turned<T: Copy>(image: &Image<T>) -> Image<T> {
    Image::from_fn(image.width(), image.height(), |y, x| {
        image.get(x, image.width() - 1 - y)
    })
}

fn moved<T: Copy>(image: &Image<T>, by: (usize, usize), empty: T) -> Image<T> {
    Image::from_fn(image.height() + 20, image.width() + 20, |y, x| {
        let (y, x) = (y.wrapping_sub(by.0), x.wrapping_sub(by.1));
        if y < image.height() && x < image.width() {
            image.get(y, x)
        } else {
            empty
        }
    })
}

#[test]
fn every_method_parts_the_pair_and_leaves_the_single_ones() {
    let (mask, stain, truth) = scene();
    for method in Splitting::all() {
        let found = separate(&mask, &stain, &truth, &method);
        let expected = if method == Splitting::None { 3 } else { 4 };
        assert_eq!(found.count, expected, "{method}");
        // The same pixels, each label one 4-connected piece, numbered in raster order.
        assert_eq!(found.image.map(|&l| l != 0), mask, "{method}");
        assert_eq!(
            label_values(&found.image, Connectivity::Four),
            found,
            "{method}"
        );
        // The cut lies where the nuclei meet: no nucleus loses more than a twelfth of its pixels.
        if method != Splitting::None {
            let mut both = vec![vec![0usize; 5]; 5];
            for (&t, &f) in truth.data().iter().zip(found.image.data()) {
                both[t as usize][f as usize] += 1;
            }
            for nucleus in &both[1..] {
                let (most, all) = (nucleus.iter().max().unwrap(), nucleus.iter().sum::<usize>());
                assert!(all - most <= all / 12, "{method}: {nucleus:?}");
            }
        }
    }
}

#[test]
fn moving_and_turning_the_field_moves_and_turns_the_result() {
    let (mask, stain, truth) = scene();
    for method in Splitting::all() {
        let plain = separate(&mask, &stain, &truth, &method);
        let by = (7, 20);
        // The nucleus on the rim would gain pixels; it is left out.
        let keep = remove_border_objects(&plain.image, 0).map(|&l| l != 0);
        let inner = Image::new(
            128,
            112,
            mask.data()
                .iter()
                .zip(keep.data())
                .map(|(&m, &k)| m && k)
                .collect(),
        );
        let plain = separate(&inner, &stain, &truth, &method);
        let far = separate(
            &moved(&inner, by, false),
            &moved(&stain, by, 0.0),
            &moved(&truth, by, 0),
            &method,
        );
        assert_eq!(moved(&plain.image, by, 0), far.image, "{method}");
        // Ties go to the neighbour that is met first, so a few pixels on a cut may change sides.
        let other = separate(&turned(&inner), &turned(&stain), &turned(&truth), &method);
        assert_eq!(other.count, plain.count, "{method}");
        let back = (0..3).fold(other.image, |image, _| turned(&image));
        let differ = thick_boundaries(&plain.image, Connectivity::Four)
            .data()
            .iter()
            .zip(thick_boundaries(&back, Connectivity::Four).data())
            .filter(|(a, b)| a != b)
            .count();
        assert!(differ <= 60, "{method}: {differ} boundary pixels differ");
    }
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let (mask, stain, truth) = scene();
    for method in Splitting::all() {
        let with = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            pool.install(|| separate(&mask, &stain, &truth, &method))
        };
        assert_eq!(with(1), with(3), "{method}");
    }
}

#[test]
fn empty_full_and_tiny_masks_stay_as_they_are() {
    for method in Splitting::all() {
        for (height, width, full) in [(1, 1, true), (1, 1, false), (3, 5, true), (5, 3, false)] {
            let mask = Image::filled(height, width, full);
            let stain = Image::filled(height, width, 3.0f32);
            let truth = mask.map(|&m| u32::from(m));
            let found = separate(&mask, &stain, &truth, &method);
            assert_eq!(found.count, usize::from(full), "{method}");
        }
    }
}

#[test]
fn more_nuclei_than_sixteen_bits_hold() {
    // 280 x 280 squares of 2 px.
    let mask = Image::from_fn(840, 840, |y, x| y % 3 != 2 && x % 3 != 2);
    let truth = label(&mask, Connectivity::Four).image;
    let stain = mask.map(|&m| if m { 9.0f32 } else { 0.0 });
    for method in Splitting::all() {
        let found = separate(&mask, &stain, &truth, &method);
        assert_eq!(found.count, 78_400, "{method}");
        assert_eq!(found.image.get(837, 837), 78_400, "{method}");
    }
}

#[test]
fn a_valley_parts_nuclei_without_a_neck() {
    // Two nuclei side by side in a straight-edged mask: only the stain knows.
    let (_, stain) = drawn(
        80,
        60,
        &[
            (24.0, 30.0, 14.0, 10.0, 300.0),
            (52.0, 30.0, 14.0, 10.0, 300.0),
        ],
    );
    let mask = Image::from_fn(80, 60, |y, x| {
        (12..66).contains(&y) && (22..39).contains(&x)
    });
    let truth = mask.map(|&m| u32::from(m));
    let count = |method: Splitting| separate(&mask, &stain, &truth, &method).count;
    assert_eq!(count("evidence".parse().unwrap()), 2);
    assert_eq!(count("intensity".parse().unwrap()), 2);
    assert_eq!(count("distance".parse().unwrap()), 1);
}

#[test]
fn a_dark_nucleolus_parts_nothing() {
    // The hole in the brightness reaches a third of the way across a convex nucleus.
    let (mask, _) = drawn(60, 60, &[(30.0, 30.0, 15.0, 12.0, 300.0)]);
    let (hole, _) = drawn(60, 60, &[(30.0, 32.0, 4.0, 4.0, 1.0)]);
    let sharp = Image::from_fn(60, 60, |y, x| match (mask.get(y, x), hole.get(y, x)) {
        (_, true) => 120.0,
        (true, false) => 300.0,
        _ => 0.0,
    });
    let truth = mask.map(|&m| u32::from(m));
    let found = separate(&mask, &gaussian(&sharp, 1.0), &truth, &Splitting::default());
    assert_eq!(found.count, 1);
}

#[test]
fn a_bent_nucleus_stays_whole_and_two_side_by_side_do_not() {
    // A horseshoe of 9 px whose arms end in knobs of 13 px, five round nuclei, and two that touch.
    let bent = |y: f64, x: f64| {
        let (dy, dx) = (y - 35.0, x - 35.0);
        let from_arc = if dx > 0.0 {
            (dy.hypot(dx) - 11.0).abs()
        } else {
            (dy.abs() - 11.0).hypot(dx)
        };
        let from_knob = (dy.abs() - 11.0).hypot(dx + 4.0);
        from_arc <= 4.5 || from_knob <= 6.5
    };
    let round = [
        (35.0, 80.0),
        (35.0, 120.0),
        (35.0, 160.0),
        (85.0, 35.0),
        (85.0, 80.0),
        (85.0, 130.0),
        (85.0, 150.0),
    ];
    let sharp = Image::from_fn(110, 190, |y, x| {
        let (y, x) = (y as f64, x as f64);
        let inside = |c: &(f64, f64)| (y - c.0).hypot(x - c.1) <= 11.0;
        if bent(y, x) || round.iter().any(inside) {
            300.0
        } else {
            0.0
        }
    });
    let mask = sharp.map(|&v| v > 0.0);
    let stain = gaussian(&sharp, 1.0);
    let scene = Scene {
        stain: Some(&stain),
        ..Scene::of_mask(&mask, UM)
    };
    let found = split(&scene, &Splitting::default()).unwrap();
    assert_eq!(found.image.get(24, 35), found.image.get(46, 35), "two arms");
    assert_ne!(found.image.get(85, 130), found.image.get(85, 150), "a pair");
    assert_eq!(found.count, 8);
}

#[test]
fn what_does_not_fit_is_refused() {
    let mask = Image::filled(4, 4, true);
    let scene = Scene::of_mask(&mask, UM);
    let text = split(&scene, &"boundary".parse().unwrap())
        .unwrap_err()
        .to_string();
    assert_eq!(
        text,
        "`boundary` reads the boundary and split classes of a prediction, and there are none (a \
         stain has none); choose another"
    );
    let settings = StainSettings {
        splitting: "boundary".parse().unwrap(),
        ..StainSettings::default()
    };
    assert!(settings.check().is_err());
    let text = "magic".parse::<Splitting>().unwrap_err().to_string();
    assert_eq!(
        text,
        "unknown splitting `magic`; choose one of: evidence, distance, intensity, concavity, \
         boundary, learned, flow, none"
    );
    let wrong: Splitting =
        serde_json::from_str(r#"{"method": "distance", "depth_um": -1.0}"#).unwrap();
    assert_eq!(
        split(&scene, &wrong).unwrap_err().to_string(),
        "`splitting.depth_um` = `-1` is out of range; it must be 0 or more"
    );
    let small = Image::filled(2, 2, 1.0f32);
    assert!(
        split(
            &Scene {
                stain: Some(&small),
                ..scene
            },
            &Splitting::None
        )
        .is_err()
    );
}

#[test]
fn names_and_choices_read_back() {
    for method in Splitting::all() {
        assert_eq!(method.name().parse::<Splitting>().unwrap(), method);
        let written = serde_json::to_string(&method).unwrap();
        assert_eq!(serde_json::from_str::<Splitting>(&written).unwrap(), method);
        // A choice left out takes its usual value; one that does not exist is an error.
        let short = format!(r#"{{"method": "{method}"}}"#);
        assert_eq!(serde_json::from_str::<Splitting>(&short).unwrap(), method);
        if method != Splitting::None {
            let long = format!(r#"{{"method": "{method}", "size": 1}}"#);
            assert!(
                serde_json::from_str::<Splitting>(&long).is_err(),
                "{method}"
            );
        }
    }
}

#[test]
fn predicted_distances_part_a_sheet_without_a_waist_and_tell_a_waist_from_a_border() {
    // A block of 3 x 4 nuclei that leave no background between them.
    let truth = Image::from_fn(80, 100, |y, x| match (y, x) {
        (4..76, 2..98) => ((y - 4) / 24 * 4 + (x - 2) / 24) as u32 + 1,
        _ => 0,
    });
    let mask = truth.map(|&l| l != 0);
    let border = own_distance(&truth);
    let scene = Scene {
        distances: Some(Distances {
            border: &border,
            neighbour: None,
        }),
        ..Scene::of_mask(&mask, UM)
    };
    let learned = Splitting::Learned(splitting::Learned::default());
    let found = split(&scene, &learned).unwrap();
    assert_eq!(found.count, 12);
    let same = found.image.data().iter().zip(truth.data());
    let wrong = same.filter(|(a, b)| a != b).count();
    assert!(wrong < 72 * 96 / 20, "{wrong} pixels");
    let by_shape = split(&scene, &Splitting::Distance(Default::default())).unwrap();
    assert!(by_shape.count < 12, "{}", by_shape.count);

    // Two middles with a shallow valley: what lies near a neighbour decides.
    let two = Image::from_fn(30, 60, |_, x| {
        let from = |middle: f64| 1.0 - (x as f64 - middle).abs() / 20.0;
        from(20.0).max(from(23.0) - 0.01) as f32
    });
    let whole = Image::filled(30, 60, true);
    let near = Image::from_fn(30, 60, |_, x| if x == 21 || x == 22 { 1.0 } else { 0.0 });
    let count = |neighbour| {
        let distances = Some(Distances {
            border: &two,
            neighbour,
        });
        let scene = Scene {
            distances,
            ..Scene::of_mask(&whole, UM)
        };
        split(&scene, &learned).unwrap().count
    };
    assert_eq!((count(None), count(Some(&near))), (1, 2));
}

#[test]
fn a_method_that_reads_a_prediction_says_what_is_missing() {
    let mask = Image::filled(4, 4, true);
    for method in Splitting::all() {
        let found = split(&Scene::of_mask(&mask, UM), &method);
        match (method.reads(), found) {
            (None, found) => assert_eq!(found.unwrap().count, 1),
            (Some(what), found) => {
                let sentence = found.unwrap_err().to_string();
                assert!(
                    sentence.contains(what) && sentence.contains(method.name()),
                    "{sentence}"
                );
            }
        }
    }
}
