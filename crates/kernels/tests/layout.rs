//! The blocked layout, rows that are held in turn, passes over single values, and links, at sizes
//! that fill no block.

mod common;

use common::layer::planar_len;
use common::{noise, packed, unpacked};
use stainfree_kernels::blocked::{Rows, RowsMut, blocks};
use stainfree_kernels::link::{Link, Planes, sigmoid, write_linked};
use stainfree_kernels::{Blocked, Buffer, Isa, LANES, Workers, elementwise, max_pool};
use std::sync::atomic::{AtomicUsize, Ordering};

fn shape(images: usize, channels: usize, height: usize, width: usize) -> Blocked {
    Blocked {
        images,
        channels,
        height,
        width,
    }
}

const SHAPES: [[usize; 4]; 6] = [
    [1, 1, 1, 1],
    [2, 16, 3, 5],
    [3, 17, 1, 9],
    [1, 33, 7, 1],
    [2, 5, 4, 4],
    [1, 48, 2, 31],
];

#[test]
fn every_value_has_its_place_in_a_block_and_the_rest_is_zero() {
    for [images, channels, height, width] in SHAPES {
        let shape = shape(images, channels, height, width);
        assert_eq!(shape.blocks(), blocks(channels));
        assert_eq!(
            shape.len(),
            images * shape.blocks() * height * width * LANES
        );
        let planar: Vec<f32> = (1..=planar_len(&shape)).map(|i| i as f32).collect();
        for threads in [1, 3] {
            let workers = Workers::new(threads);
            let mut blocked = vec![f32::NAN; shape.len()];
            shape.pack(&workers, &planar, &mut blocked);
            for (i, &found) in blocked.iter().enumerate() {
                let (lane, pixel) = (i % LANES, i / LANES % (height * width));
                let (plane, image) = (i / shape.plane(), i / shape.plane() / shape.blocks());
                let channel = plane % shape.blocks() * LANES + lane;
                let expected = match channel < channels {
                    true => planar[(image * channels + channel) * height * width + pixel],
                    false => 0.0,
                };
                assert_eq!(found, expected, "{shape:?} at {i}");
            }
            assert_eq!(unpacked(&workers, &shape, &blocked), planar);
        }
    }
}

#[test]
fn rows_that_are_held_in_turn_lie_at_their_remainder() {
    let (shape, kept) = (shape(2, 20, 11, 3), 4);
    let (workers, planar) = (Workers::new(2), noise(2 * 20 * 33, 1));
    let line = |channel: usize, y: usize, to: &mut [f32]| {
        to.copy_from_slice(&planar[(channel * 11 + y) * 3..][..3]);
    };
    let mut held = vec![0.0; 2 * 2 * kept * 3 * LANES];
    let mut found = vec![f32::NAN; planar.len()];
    for first in (0..11).step_by(3) {
        let rows = first..(first + 3).min(11);
        let to = RowsMut {
            data: &mut held,
            kept,
        };
        shape.pack_rows(&workers, &line, to, rows.clone());
        for y in rows.clone() {
            // Channel 17 of the second image: lane 1 of its second block.
            let place = (3 * kept + y % kept) * 3 * LANES + 1;
            assert_eq!(held[place], planar[((20 + 17) * 11 + y) * 3]);
        }
        let from = Rows { data: &held, kept };
        shape.unpack_rows(&workers, from, &mut found, rows);
    }
    assert_eq!(found, planar);
}

#[test]
#[should_panic(expected = "planar array has another size")]
fn a_planar_array_of_another_size_is_refused() {
    let shape = shape(1, 3, 2, 2);
    shape.pack(&Workers::new(1), &[0.0; 11], &mut vec![0.0; shape.len()]);
}

#[test]
fn every_task_is_done_once_and_answers_keep_their_order() {
    for threads in [1, 2, 5] {
        let workers = Workers::new(threads);
        assert_eq!(workers.threads(), threads);
        for count in [0, 1, 2, 7, 100] {
            let done: Vec<AtomicUsize> = (0..count).map(|_| AtomicUsize::new(0)).collect();
            workers.for_each(count, |task| {
                done[task].fetch_add(1, Ordering::Relaxed);
            });
            assert!(done.iter().all(|n| n.load(Ordering::Relaxed) == 1));
            let squares: Vec<usize> = (0..count).map(|i| i * i).collect();
            assert_eq!(workers.map(count, |task| task * task), squares);
        }
        assert_eq!(workers.run(|| 7), 7);
    }
}

#[test]
fn buffers_begin_at_a_cache_line_with_zeros() {
    for len in [0, 1, 15, 16, 1000] {
        let buffer = Buffer::zeros(len);
        assert_eq!(buffer.len(), len);
        assert!(buffer.iter().all(|&v| v == 0.0));
        assert!(
            len == 0 || (buffer.as_ptr() as usize).is_multiple_of(64),
            "{len}"
        );
    }
    assert!(Buffer::default().is_empty());
}

#[test]
fn sums_of_channels_are_those_of_all_images_and_pixels() {
    for [images, channels, height, width] in SHAPES {
        let shape = shape(images, channels, height, width);
        let workers = Workers::new(2);
        // Quarters: exact in f32 whatever the order.
        let planar: Vec<f32> = (0..planar_len(&shape))
            .map(|i| (i % 37) as f32 / 4.0)
            .collect();
        let x = packed(&workers, &shape, &planar);
        let mut expected = vec![0.0; shape.blocks() * LANES];
        for (i, v) in planar.iter().enumerate() {
            expected[i / (height * width) % channels] += v;
        }
        for isa in Isa::available() {
            let found = elementwise::channel_sums(isa, &workers, &shape, &x);
            assert_eq!(found, expected, "{} {shape:?}", isa.name());
        }
    }
}

#[test]
fn sums_of_arrays_are_made_in_rows_that_are_held() {
    let (shape, workers) = (shape(2, 20, 9, 4), Workers::new(2));
    let quarters = |k: usize| -> Vec<f32> {
        (0..planar_len(&shape))
            .map(|i| (i * k % 29) as f32 / 4.0 - 3.0)
            .collect()
    };
    let (a, b, factors) = (quarters(3), quarters(7), [0.5, -2.0]);
    let [x, y] = [&a, &b].map(|planar| packed(&workers, &shape, planar));
    for isa in Isa::available() {
        let kept = 4;
        let mut held = vec![0.0; 2 * 2 * kept * 4 * LANES];
        let mut found = vec![f32::NAN; a.len()];
        for first in (0..9).step_by(4) {
            let rows = first..(first + 4).min(9);
            let terms = [&x, &y].map(|data| shape.whole(data));
            let to = RowsMut {
                data: &mut held,
                kept,
            };
            elementwise::add_rows(isa, &workers, &shape, terms, &factors, to, rows.clone());
            shape.unpack_rows(&workers, Rows { data: &held, kept }, &mut found, rows);
        }
        let factor = |i: usize| factors[i / (20 * 36)];
        let expected: Vec<f32> = (0..a.len()).map(|i| a[i] + factor(i) * b[i]).collect();
        assert_eq!(found, expected, "{}", isa.name());
    }
}

#[test]
fn a_pool_takes_the_largest_of_four() {
    for [images, channels, height, width] in [[1, 1, 2, 2], [2, 17, 4, 6], [1, 33, 8, 2]] {
        let shape = shape(images, channels, height, width);
        let half = Blocked {
            height: height / 2,
            width: width / 2,
            ..shape
        };
        let (workers, planar) = (Workers::new(2), noise(planar_len(&shape), 3));
        let x = packed(&workers, &shape, &planar);
        let mut expected = vec![f32::NEG_INFINITY; planar_len(&half)];
        for (i, &v) in planar.iter().enumerate() {
            let (u, y, plane) = (i % width, i / width % height, i / (height * width));
            let to = (plane * half.height + y / 2) * half.width + u / 2;
            expected[to] = expected[to].max(v);
        }
        for isa in Isa::available() {
            let mut out = vec![0.0; half.len()];
            max_pool::forward(isa, &workers, &shape, &x, &mut out);
            assert_eq!(unpacked(&workers, &half, &out), expected, "{}", isa.name());
        }
    }
}

/// The groups of one row of pixels, whose planes come back.
fn linked(groups: &[(Link, usize)], planar: &[f32], pixels: usize) -> Vec<f32> {
    let channels = planar.len() / pixels;
    let (shape, workers) = (shape(1, channels, 1, pixels), Workers::new(1));
    let blocked = packed(&workers, &shape, planar);
    let mut found = vec![f32::NAN; planar.len()];
    let to = Planes {
        data: &mut found,
        height: 1,
        width: pixels,
        corner: [0, 0],
    };
    write_linked(
        &workers,
        &shape,
        groups,
        shape.whole(&blocked),
        [0..1, 0..pixels],
        to,
    );
    found
}

#[test]
fn probabilities_do_not_see_what_is_added_to_all_logits() {
    let pixels = 7;
    for classes in [1, 2, 5, 16] {
        let logits: Vec<f32> = noise(classes * pixels, 4).iter().map(|v| 8.0 * v).collect();
        let found = linked(&[(Link::Softmax, classes)], &logits, pixels);
        for x in 0..pixels {
            let sum: f32 = (0..classes).map(|c| found[c * pixels + x]).sum();
            assert!((sum - 1.0).abs() < 1e-6, "{classes} classes: {sum}");
        }
        // Far beyond what an exponential of f32 holds, on either side.
        for shift in [-1000.0, 1000.0] {
            let moved: Vec<f32> = logits.iter().map(|v| v + shift).collect();
            let other = linked(&[(Link::Softmax, classes)], &moved, pixels);
            let pairs = found.iter().zip(&other);
            // Logits near 1000 are known to 6e-5.
            let largest = pairs.fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
            assert!(largest < 1e-4, "{classes} classes: {largest}");
        }
    }
    // Two classes are a sigmoid of their difference.
    let found = linked(&[(Link::Softmax, 2)], &[0.0, 0.0, 0.0, -3.0, 0.5, 40.0], 3);
    for (x, difference) in [-3.0, 0.5, 40.0].into_iter().enumerate() {
        assert!((found[3 + x] - sigmoid(difference)).abs() < 1e-6);
    }
}

#[test]
fn what_is_no_number_stays_with_its_pixel_and_its_group() {
    let groups = [(Link::Softmax, 2), (Link::Sigmoid, 1), (Link::Linear, 1)];
    let mut logits = noise(4 * 3, 5);
    let sound = linked(&groups, &logits, 3);
    logits[1] = f32::NAN;
    logits[2 * 3 + 2] = f32::NAN;
    let found = linked(&groups, &logits, 3);
    for (i, (found, sound)) in found.iter().zip(sound).enumerate() {
        match (i / 3, i % 3) {
            (0 | 1, 1) | (2, 2) => assert!(found.is_nan(), "{i}"),
            _ => assert_eq!(*found, sound, "{i}"),
        }
    }
    assert_eq!([f32::NEG_INFINITY, f32::INFINITY].map(sigmoid), [0.0, 1.0]);
    assert_eq!(sigmoid(0.0), 0.5);
}

#[test]
#[should_panic(expected = "every channel has a link")]
fn channels_without_a_link_are_refused() {
    linked(&[(Link::Linear, 2)], &[0.0; 9], 3);
}
