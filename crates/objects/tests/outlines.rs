//! Outlines painted again give the same labels, and their lines are what geometry libraries ask
//! for. That other programs agree is shown by `testdata/image/check_outlines.py`.

use std::collections::BTreeSet;

use proptest::prelude::*;
use stainfree_image::Image;
use stainfree_image::outline::{Outline, Outlines};
use stainfree_objects::outlines;

fn labels(rows: &[&str]) -> Image<u32> {
    let width = rows[0].len();
    Image::from_fn(rows.len(), width, |y, x| match rows[y].as_bytes()[x] {
        b'.' => 0,
        digit => u32::from(digit - b'0'),
    })
}

fn of(labels: &Image<u32>) -> Vec<Outline> {
    outlines(labels, None).unwrap().nuclei
}

/// Every pixel whose centre an odd number of lines is around, as all programs fill polygons.
fn painted(outlines: &[Outline], (height, width): (usize, usize)) -> Image<u32> {
    let mut image = Image::filled(height, width, 0);
    for outline in outlines {
        let mut inside = Image::filled(height, width, false);
        for ring in outline.rings() {
            for (&[x, y], &[next_x, next_y]) in ring.iter().zip(ring.iter().cycle().skip(1)) {
                assert!((x == next_x) != (y == next_y), "no edge: {ring:?}");
                for y in y.min(next_y)..y.max(next_y) {
                    for inside in &mut inside.row_mut(y as usize)[x as usize..] {
                        *inside = !*inside;
                    }
                }
            }
        }
        for (value, inside) in image.data_mut().iter_mut().zip(inside.data()) {
            assert!(!inside || *value == 0, "two objects cover a pixel");
            if *inside {
                *value = outline.label;
            }
        }
    }
    image
}

#[track_caller]
fn check(labels: &Image<u32>) {
    let found = of(labels);
    assert_eq!(painted(&found, labels.size()), *labels);
    for outline in &found {
        let pixels = labels.data().iter().filter(|&&v| v == outline.label);
        assert_eq!(outline.area(), pixels.count() as u64);
        for ring in outline.rings() {
            let different: BTreeSet<_> = ring.iter().collect();
            assert_eq!(
                different.len(),
                ring.len(),
                "a line touches itself: {ring:?}"
            );
            let turns = ring
                .iter()
                .zip(ring.iter().cycle().skip(1))
                .zip(ring.iter().cycle().skip(2));
            for ((a, b), c) in turns {
                assert!((a[0] == b[0]) != (b[0] == c[0]), "no turn at {b:?}");
            }
        }
    }
}

/// Parts and holes of the only object.
fn shape(rows: &[&str]) -> Vec<usize> {
    let labels = labels(rows);
    check(&labels);
    let found = of(&labels);
    assert_eq!(found.len(), 1);
    found[0].parts.iter().map(|part| part.holes.len()).collect()
}

#[test]
fn a_pixel_is_a_square_from_its_upper_left_corner() {
    let found = of(&labels(&["...", "..7"]));
    let [outline] = &found[..] else {
        panic!("{found:?}")
    };
    let square = vec![[2, 1], [3, 1], [3, 2], [2, 2]];
    assert_eq!((outline.label, &outline.parts[0].outer), (7, &square));
    assert_eq!(shape(&["1"]), [0]);
    assert_eq!(of(&Image::filled(3, 4, 0)), []);
    assert_eq!(of(&Image::filled(0, 0, 0)), []);
}

#[test]
fn holes_are_lines_of_their_own() {
    assert_eq!(shape(&["1111", "1.11", "1111"]), [1]);
    // Two holes that meet in a corner, and a bay that a corner closes.
    assert_eq!(shape(&["1111", "1.11", "11.1", "1111"]), [2]);
    assert_eq!(shape(&["11.", "1.1", "111"]), [1]);
    // Something else in the hole, and a part of the same object in it.
    check(&labels(&["11111", "12221", "12.21", "12221", "11111"]));
    assert_eq!(
        shape(&["11111", "1...1", "1.1.1", "1...1", "11111"]),
        [1, 0]
    );
}

#[test]
fn pixels_that_meet_in_a_corner_are_two_parts() {
    assert_eq!(shape(&["1.", ".1"]), [0, 0]);
    assert_eq!(shape(&[".1", "1."]), [0, 0]);
    assert_eq!(shape(&["1.1", ".1.", "1.1"]), [0; 5]);
    // Labels that meet in a corner, crosswise.
    check(&labels(&["12", "21"]));
    assert_eq!(shape(&["11..", "11..", "....", "..11"]), [0, 0]);
}

#[test]
fn the_rim_of_the_image_closes_lines() {
    assert_eq!(shape(&["111", "1.1", "111"]), [1]);
    assert_eq!(shape(&["1.1", "111", "1.1"]), [0]);
    let far = Image::from_fn(2, 70_000, |_, x| u32::from(x > 66_000) * 4_000_000_000);
    check(&far);
}

#[test]
fn cells_have_the_only_nucleus_that_lies_inside() {
    let nuclei = labels(&[".1..2.", "...3..", "4...5.", "6....."]);
    let cells = labels(&["999888", "998888", "7...33", "7....."]);
    let Outlines { nuclei, cells, .. } = outlines(&nuclei, Some(&cells)).unwrap();
    let found: Vec<_> = cells
        .iter()
        .map(|cell| (cell.outline.label, cell.nucleus.map(|i| nuclei[i].label)))
        .collect();
    // 7 has two, 8 has two.
    assert_eq!(found, [(3, Some(5)), (7, None), (8, None), (9, Some(1))]);
    let halves = (labels(&["11"]), labels(&["1."]));
    let found = outlines(&halves.0, Some(&halves.1)).unwrap();
    assert_eq!(found.cells[0].nucleus, None);
    let halves = (labels(&["11"]), labels(&[".1"]));
    let found = outlines(&halves.0, Some(&halves.1)).unwrap();
    assert_eq!(found.cells[0].nucleus, None);
    assert!(outlines(&halves.0, Some(&Image::filled(2, 1, 1))).is_err());
}

proptest! {
    #[test]
    fn any_labels_come_back(
        (width, values) in (1..12_usize).prop_flat_map(|width| {
            (Just(width), prop::collection::vec(0..4_u32, width * 9))
        })
    ) {
        check(&Image::new(9, width, values));
    }

    /// Mostly one object: holes in parts in holes.
    #[test]
    fn any_mask_comes_back(values in prop::collection::vec(prop::bool::weighted(0.6), 15 * 15)) {
        let image = Image::new(15, 15, values.into_iter().map(u32::from).collect());
        check(&image);
    }
}
