//! Operations against their definitions, written down plainly, on random images of every small
//! size: single pixels, single rows, and rows that cross a word of packed pixels.

use proptest::prelude::*;
use stainfree_image::Image;
use stainfree_objects::*;
use std::collections::BTreeMap;

const BOTH: [Connectivity; 2] = [Connectivity::Four, Connectivity::Eight];

fn sizes() -> impl Strategy<Value = (usize, usize)> {
    prop_oneof![
        (1usize..10, 1usize..10),
        (1usize..4, 60usize..70),
        (40usize..70, 1usize..3),
    ]
}

fn masks() -> impl Strategy<Value = Image<bool>> {
    (sizes(), 0.1f64..0.9).prop_flat_map(|((h, w), share)| {
        prop::collection::vec(prop::bool::weighted(share), h * w)
            .prop_map(move |v| Image::new(h, w, v))
    })
}

/// Whole heights below `levels`, so that ties are many and sums are exact.
fn reliefs(levels: u16) -> impl Strategy<Value = Image<f32>> {
    sizes().prop_flat_map(move |(h, w)| {
        prop::collection::vec(0..levels, h * w)
            .prop_map(move |v| Image::new(h, w, v.into_iter().map(f32::from).collect()))
    })
}

fn few_labels() -> impl Strategy<Value = Image<u32>> {
    sizes().prop_flat_map(|(h, w)| {
        let values = prop_oneof![6 => Just(0u32), 1 => Just(3), 1 => Just(5), 1 => Just(4_000_000)];
        prop::collection::vec(values, h * w).prop_map(move |v| Image::new(h, w, v))
    })
}

fn near(size: (usize, usize), at: (usize, usize), c: Connectivity) -> Vec<(usize, usize)> {
    let (y, x) = (at.0 as isize, at.1 as isize);
    let moved = c.offsets().iter().map(|&(dy, dx)| (y + dy, x + dx));
    let inside = |&(y, x): &(isize, isize)| {
        (0..size.0 as isize).contains(&y) && (0..size.1 as isize).contains(&x)
    };
    let places = moved.filter(inside).map(|(y, x)| (y as usize, x as usize));
    places.collect()
}

fn places(size: (usize, usize)) -> impl Iterator<Item = (usize, usize)> {
    (0..size.0).flat_map(move |y| (0..size.1).map(move |x| (y, x)))
}

fn square(a: (usize, usize), b: (usize, usize)) -> usize {
    a.0.abs_diff(b.0).pow(2) + a.1.abs_diff(b.1).pow(2)
}

/// Connected components by filling from each pixel that is not numbered yet; a value of 0 is
/// nowhere.
fn filled(values: &Image<u32>, c: Connectivity) -> Image<u32> {
    let mut out = values.map(|_| 0);
    let mut count = 0;
    for start in places(values.size()) {
        let value = values.get(start.0, start.1);
        if value == 0 || out.get(start.0, start.1) != 0 {
            continue;
        }
        count += 1;
        let mut stack = vec![start];
        *out.get_mut(start.0, start.1) = count;
        while let Some(p) = stack.pop() {
            for (y, x) in near(values.size(), p, c) {
                if values.get(y, x) == value && out.get(y, x) == 0 {
                    *out.get_mut(y, x) = count;
                    stack.push((y, x));
                }
            }
        }
    }
    out
}

fn count_of(labels: &Image<u32>) -> BTreeMap<u32, usize> {
    let mut count = BTreeMap::new();
    for &l in labels.data().iter().filter(|&&l| l != 0) {
        *count.entry(l).or_insert(0) += 1;
    }
    count
}

/// A window around a pixel, mirrored with the rim repeated.
fn mirrored(i: isize, len: usize) -> usize {
    let mut i = i;
    loop {
        if i < 0 {
            i = -1 - i;
        } else if i >= len as isize {
            i = 2 * len as isize - 1 - i;
        } else {
            return i as usize;
        }
    }
}

fn largest_difference(a: &Image<f32>, b: &Image<f32>) -> f32 {
    assert_eq!(a.size(), b.size());
    let pairs = a.data().iter().zip(b.data());
    pairs.fold(0.0, |m, (a, b)| m.max((a - b).abs()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None,
        ..Default::default() })]

    #[test]
    fn components_are_what_filling_finds(mask in masks(), labels in few_labels()) {
        for c in BOTH {
            let expected = filled(&mask.map(|&m| u32::from(m)), c);
            let found = label(&mask, c);
            prop_assert_eq!(found.count, count_of(&expected).len());
            prop_assert_eq!(&found.image, &expected);
            prop_assert_eq!(&label_values(&labels, c).image, &filled(&labels, c));
        }
        prop_assert_eq!(areas(&labels), count_of(&labels));
    }

    #[test]
    fn what_is_small_goes_and_what_is_closed_in_is_filled(mask in masks(), area in 1usize..12) {
        for c in BOTH {
            let parts = filled(&mask.map(|&m| u32::from(m)), c);
            let sizes = count_of(&parts);
            let expected = parts.map(|l| *l != 0 && sizes[l] >= area);
            prop_assert_eq!(remove_small_objects(&mask, area, c), expected);
        }
        let gaps = filled(&mask.map(|&m| u32::from(!m)), Connectivity::Four);
        let sizes = count_of(&gaps);
        let (height, width) = mask.size();
        let at_rim = |&(y, x): &(usize, usize)| {
            y == 0 || x == 0 || y + 1 == height || x + 1 == width
        };
        let open: Vec<u32> = places(mask.size()).filter(at_rim)
            .map(|(y, x)| gaps.get(y, x)).collect();
        let expected = gaps.map(|l| *l == 0 || (!open.contains(l) && sizes[l] <= area));
        prop_assert_eq!(fill_holes_below(&mask, area), expected);
    }

    #[test]
    fn labels_at_the_rim_go_and_the_asked_for_stay(labels in few_labels(), buffer in 0usize..3) {
        let (height, width) = labels.size();
        let from_rim = |(y, x): (usize, usize)| {
            y.min(x).min(height - 1 - y).min(width - 1 - x)
        };
        let gone: Vec<u32> = places(labels.size()).filter(|&p| from_rim(p) <= buffer)
            .map(|(y, x)| labels.get(y, x)).collect();
        let expected = labels.map(|l| if gone.contains(l) { 0 } else { *l });
        prop_assert_eq!(remove_border_objects(&labels, buffer), expected);
        let sizes = count_of(&labels);
        let few = retain(&labels, |l, area| { assert_eq!(area, sizes[&l]); area < 4 || l == 5 });
        let expected = labels.map(|&l| if l != 0 && (sizes[&l] < 4 || l == 5) { l } else { 0 });
        prop_assert_eq!(few, expected);
    }

    #[test]
    fn footprints_are_the_offsets_that_their_names_say(mask in masks(), r in 0usize..5) {
        let disk = |a: (usize, usize), b: (usize, usize)| square(a, b) <= r * r;
        let quad = |a: (usize, usize), b: (usize, usize)| {
            a.0.abs_diff(b.0).max(a.1.abs_diff(b.1)) <= r
        };
        let all: Vec<(usize, usize)> = places(mask.size()).collect();
        let check = |footprint, inside: &dyn Fn((usize, usize), (usize, usize)) -> bool| {
            let meets = |p, value| all.iter()
                .any(|&q| inside(p, q) && mask.get(q.0, q.1) == value);
            let (h, w) = mask.size();
            let dilated = Image::from_fn(h, w, |y, x| meets((y, x), true));
            let eroded = Image::from_fn(h, w, |y, x| !meets((y, x), false));
            dilate(&mask, footprint) == dilated && erode(&mask, footprint) == eroded
        };
        prop_assert!(check(Footprint::Disk(r), &disk), "disk {}", r);
        prop_assert!(check(Footprint::Square(r), &quad), "square {}", r);
    }

    #[test]
    fn a_reconstruction_is_dilation_under_the_mask_until_nothing_changes(image in reliefs(9),
        marks in prop::collection::vec(0u8..12, 700)) {
        for c in BOTH {
            let mut at = marks.iter().cycle();
            let seed = image.map(|_| f32::from(*at.next().unwrap()) - 3.0);
            let mut expected = Image::from_fn(image.height(), image.width(), |y, x| {
                seed.get(y, x).min(image.get(y, x))
            });
            loop {
                let grown = Image::from_fn(image.height(), image.width(), |y, x| {
                    let around = near(image.size(), (y, x), c).into_iter()
                        .map(|(v, u)| expected.get(v, u));
                    around.fold(expected.get(y, x), f32::max).min(image.get(y, x))
                });
                if grown == expected {
                    break;
                }
                expected = grown;
            }
            prop_assert_eq!(reconstruct(&seed, &image, c), expected);
        }
    }

    #[test]
    fn maxima_are_plateaus_without_a_higher_neighbour(image in reliefs(5)) {
        for c in BOTH {
            let plateaus = filled(&image.map(|&v| v as u32 + 1), c);
            let mut tops: BTreeMap<u32, bool> = BTreeMap::new();
            for (y, x) in places(image.size()) {
                let higher = near(image.size(), (y, x), c).into_iter()
                    .any(|(v, u)| image.get(v, u) > image.get(y, x));
                *tops.entry(plateaus.get(y, x)).or_insert(true) &= !higher;
            }
            prop_assert_eq!(regional_maxima(&image, c), plateaus.map(|p| tops[p]));
        }
    }

    #[test]
    fn a_flooded_pixel_is_reached_over_the_lowest_pass(image in reliefs(7),
        marks in prop::collection::vec(0u8..9, 700)) {
        for c in BOTH {
            let mut at = marks.iter().cycle();
            let seeds = image.map(|_| match at.next() { Some(1) => 1u32, Some(2) => 2, _ => 0 });
            let mut at = marks.iter().cycle();
            let mask = image.map(|_| *at.next().unwrap() != 8);
            let found = watershed(&image, &seeds, &mask, c);
            // The lowest pass from the seeds of each label to every pixel (Bellman and Ford).
            let pass = |wanted: u32| {
                let mut cost = Image::from_fn(image.height(), image.width(), |y, x| {
                    let start = seeds.get(y, x) == wanted && mask.get(y, x);
                    if start { image.get(y, x) } else { f32::INFINITY }
                });
                loop {
                    let next = Image::from_fn(image.height(), image.width(), |y, x| {
                        if !mask.get(y, x) {
                            return f32::INFINITY;
                        }
                        let around = near(image.size(), (y, x), c).into_iter()
                            .map(|(v, u)| cost.get(v, u).max(image.get(y, x)));
                        around.fold(cost.get(y, x), f32::min)
                    });
                    if next == cost {
                        return cost;
                    }
                    cost = next;
                }
            };
            let (one, two) = (pass(1), pass(2));
            for (y, x) in places(image.size()) {
                let (a, b) = (one.get(y, x), two.get(y, x));
                match found.get(y, x) {
                    0 => prop_assert!(a.is_infinite() && b.is_infinite()),
                    1 => prop_assert!(a <= b && a.is_finite()),
                    2 => prop_assert!(b <= a && b.is_finite()),
                    other => prop_assert!(false, "label {} was no seed", other),
                }
                if mask.get(y, x) && seeds.get(y, x) != 0 {
                    prop_assert_eq!(found.get(y, x), seeds.get(y, x));
                }
            }
        }
    }

    #[test]
    fn expanded_labels_are_the_nearest_and_the_smaller_of_two(labels in few_labels(),
        distance in 0f64..5.0) {
        let size = labels.size();
        let expected = Image::from_fn(size.0, size.1, |y, x| {
            let here = labels.get(y, x);
            let others = places(size).filter(|&(v, u)| labels.get(v, u) != 0)
                .map(|p| (square((y, x), p), labels.get(p.0, p.1)));
            match others.min() {
                _ if here != 0 => here,
                Some((d, l)) if (d as f64) <= distance * distance => l,
                _ => 0,
            }
        });
        prop_assert_eq!(expand_labels(&labels, distance), expected);
        for c in BOTH {
            let differs = |y: usize, x: usize| near(size, (y, x), c).into_iter()
                .any(|(v, u)| labels.get(v, u) != labels.get(y, x));
            let thick = Image::from_fn(size.0, size.1, differs);
            let inner = Image::from_fn(size.0, size.1, |y, x| {
                thick.get(y, x) && labels.get(y, x) != 0
            });
            prop_assert_eq!(thick_boundaries(&labels, c), thick);
            prop_assert_eq!(inner_boundaries(&labels, c), inner);
        }
    }

    #[test]
    fn smoothing_is_a_weighted_mean_of_the_mirrored_image(image in reliefs(200),
        sigma in 0.3f64..3.0, radius in 0usize..6) {
        let (height, width) = image.size();
        let reach = (4.0 * sigma + 0.5) as isize;
        let weight = |i: isize| (-0.5 * (i as f64 / sigma).powi(2)).exp();
        let total: f64 = (-reach..=reach).map(weight).sum();
        let at = |y: isize, x: isize| f64::from(image.get(mirrored(y, height), mirrored(x, width)));
        let mean = |y: usize, x: usize, reach: isize, weight: &dyn Fn(isize) -> f64| -> f32 {
            let (y, x) = (y as isize, x as isize);
            (-reach..=reach).map(|i| weight(i) * (-reach..=reach)
                .map(|j| weight(j) * at(y + i, x + j)).sum::<f64>()).sum::<f64>() as f32
        };
        let expected = Image::from_fn(height, width, |y, x| {
            mean(y, x, reach, &|i| weight(i) / total)
        });
        // Sums of up to 25 terms of at most 200 twice over, in f32.
        let d = largest_difference(&gaussian(&image, sigma), &expected);
        prop_assert!(d < 1e-4, "sigma {}: {}", sigma, d);
        let side = (2 * radius + 1) as f64;
        let expected = Image::from_fn(height, width, |y, x| {
            mean(y, x, radius as isize, &|_| 1.0 / side)
        });
        let d = largest_difference(&box_mean(&image, radius), &expected);
        prop_assert!(d < 1e-4, "radius {}: {}", radius, d);
    }

    #[test]
    fn block_means_are_the_means_of_the_blocks(image in reliefs(200), side in 1usize..9) {
        let (height, width) = image.size();
        let found = block_means(&image, side);
        prop_assert_eq!(found.size(), (height.div_ceil(side), width.div_ceil(side)));
        for (gy, gx) in places(found.size()) {
            let inside = |&(y, x): &(usize, usize)| y / side == gy && x / side == gx;
            let block: Vec<f64> = places(image.size()).filter(inside)
                .map(|(y, x)| f64::from(image.get(y, x))).collect();
            let mean = block.iter().sum::<f64>() / block.len() as f64;
            prop_assert!((f64::from(found.get(gy, gx)) - mean).abs() < 1e-4);
        }
    }
}

/// The background's definition: the tenth percentile of 4 x 4 block means in even windows,
/// smoothed by a block of windows, enlarged linearly from the middles of the windows.
fn plain_background(image: &Image<f32>, window: f64) -> Image<f32> {
    let blocks = block_means(image, 4);
    let count = |n: usize| ((n as f64 / (window / 4.0).max(1.0)) as usize).max(1);
    let (rows, columns) = (count(blocks.height()), count(blocks.width()));
    let grid = Image::from_fn(rows, columns, |gy, gx| {
        let part = |i: usize, n: usize, all: usize| i * all / n..(i + 1) * all / n;
        let mut values: Vec<f32> = part(gy, rows, blocks.height())
            .flat_map(|y| part(gx, columns, blocks.width()).map(move |x| (y, x)))
            .map(|(y, x)| blocks.get(y, x))
            .collect();
        values.sort_by(f32::total_cmp);
        values[((values.len() - 1) as f64 * 0.1).round() as usize]
    });
    let grid = gaussian(&grid, 1.0);
    let at = |i: usize, n: usize, len: usize| {
        let place = (i as f64 + 0.5) / len as f64 * n as f64 - 0.5;
        let place = place.clamp(0.0, n as f64 - 1.0);
        (place.floor() as usize, place.ceil() as usize, place.fract())
    };
    Image::from_fn(image.height(), image.width(), |y, x| {
        let (top, bottom, v) = at(y, rows, image.height());
        let (left, right, u) = at(x, columns, image.width());
        let line =
            |y: usize| f64::from(grid.get(y, left)) * (1.0 - u) + f64::from(grid.get(y, right)) * u;
        (line(top) * (1.0 - v) + line(bottom) * v) as f32
    })
}

#[test]
fn a_background_is_the_low_percentile_of_windows_between_which_it_is_linear() {
    let noisy = |height: usize, width: usize| {
        Image::from_fn(height, width, |y, x| {
            100.0 + y as f32 + 2.0 * x as f32 + ((y * 31 + x * 17 + y * x * 7) % 101) as f32
        })
    };
    // One pixel, one row, several windows with a rest, windows beyond the image.
    for (size, window) in [
        ((1, 1), 8.0),
        ((1, 90), 20.0),
        ((70, 3), 0.0),
        ((61, 83), 16.0),
        ((61, 83), 25.0),
        ((40, 40), 4000.0),
    ] {
        let image = noisy(size.0, size.1);
        let (found, expected) = (background(&image, window), plain_background(&image, window));
        let d = largest_difference(&found, &expected);
        // Values up to 450 in f32.
        assert!(d < 1e-3, "{size:?} by {window}: {d}");
        let flat = subtract_background(image.clone(), window);
        let rest = Image::from_fn(size.0, size.1, |y, x| image.get(y, x) - expected.get(y, x));
        assert!(largest_difference(&flat, &rest) < 1e-3, "{size:?}");
    }
    let nothing = Image::new(0, 5, vec![]);
    assert_eq!(background(&nothing, 9.0), nothing);
    assert_eq!(subtract_background(nothing.clone(), 9.0), nothing);
    // Bright objects on three quarters of a window leave its background as it is.
    let cells = Image::from_fn(64, 64, |y, _| if y % 16 < 12 { 900.0 } else { 100.0 });
    let ground = background(&cells, 16.0);
    assert!(ground.data().iter().all(|&v| v == 100.0));
}
