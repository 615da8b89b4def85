//! From predicted classes and nuclei to whole cells.

mod rows;

use std::collections::VecDeque;

use stainfree_image::Image;
use stainfree_objects::{NUCLEUS, NucleusRule, areas};

pub use rows::{CellSurvey, cell_rows};

/// The class of the cytoplasm, where a model has one.
pub const CYTOPLASM: &str = "cytoplasm";

/// The number of the class [`CYTOPLASM`] among `names`.
pub fn cytoplasm_class(names: &[String]) -> Option<u8> {
    let place = names.iter().position(|name| name == CYTOPLASM);
    place.and_then(|class| u8::try_from(class).ok())
}

/// Whole cells: each of `nuclei` grows through the pixels of `classes` that are `cytoplasm`, or of
/// the class of nuclei without being one's, step by step over common edges, until cells meet.
///
/// A cell bears the label of its nucleus and contains it. Connected cytoplasm that no nucleus
/// reaches is a cell without a nucleus if it is at least as large as the median of the nuclei, and
/// smaller pieces are 0; where there is no nucleus, the smallest cell is the smallest nucleus that
/// would be kept ([`NucleusRule`], in um2 with `pixel_um`, else in px). These cells are numbered on
/// from the largest label, from the top.
///
/// It is the watershed of a flat surface, as a breadth-first search: that holds nothing of the size
/// of the image beside the cells.
///
/// # Panics
/// If the sizes differ.
pub fn cells(
    classes: &Image<u8>,
    cytoplasm: u8,
    nuclei: &Image<u32>,
    pixel_um: Option<f64>,
) -> Image<u32> {
    assert_eq!(
        classes.size(),
        nuclei.size(),
        "classes and nuclei differ in size"
    );
    let is_open = |cells: &Image<u32>, i: usize| {
        cells.data()[i] == 0 && is_cell(classes.data()[i], cytoplasm)
    };
    let mut cells = grown(classes, cytoplasm, nuclei, |_, _| {});
    let least = smallest_cell(areas(nuclei).into_values().collect(), pixel_um);
    let last = nuclei.data().iter().copied().max().unwrap_or(0);
    let mut next = last.saturating_add(1);
    // Pieces that are no cells, closed until all are found.
    let mut specks = Vec::new();
    for first in 0..nuclei.data().len() {
        if !is_open(&cells, first) {
            continue;
        }
        let mut piece = vec![first];
        cells.data_mut()[first] = next;
        let mut looked = 0;
        while let Some(&i) = piece.get(looked) {
            looked += 1;
            for n in neighbours(i, nuclei.size()) {
                if is_open(&cells, n) {
                    cells.data_mut()[n] = next;
                    piece.push(n);
                }
            }
        }
        if piece.len() >= least {
            next = next.saturating_add(1);
        } else {
            specks.append(&mut piece);
        }
    }
    for i in specks {
        cells.data_mut()[i] = 0;
    }
    cells
}

/// Where the rule for nuclei takes none, what was called one is the cell's all the same.
fn is_cell(class: u8, cytoplasm: u8) -> bool {
    class == cytoplasm || class == NUCLEUS
}

/// Nuclei with all that they reach; `at` is told every pixel that is reached from another, and that
/// other.
fn grown(
    classes: &Image<u8>,
    cytoplasm: u8,
    nuclei: &Image<u32>,
    mut at: impl FnMut(usize, usize),
) -> Image<u32> {
    let mut cells = nuclei.clone();
    let nucleus = (0..nuclei.data().len()).filter(|&i| nuclei.data()[i] != 0);
    // Inside a nucleus there is nothing to begin with.
    let rim = |i: &usize| neighbours(*i, nuclei.size()).any(|n| nuclei.data()[n] == 0);
    let mut reached: VecDeque<usize> = nucleus.filter(rim).collect();
    while let Some(i) = reached.pop_front() {
        let cell = cells.data()[i];
        for n in neighbours(i, nuclei.size()) {
            if cells.data()[n] == 0 && is_cell(classes.data()[n], cytoplasm) {
                cells.data_mut()[n] = cell;
                at(n, i);
                reached.push_back(n);
            }
        }
    }
    cells
}

/// Pixels that share an edge with pixel `i`: above, left, right, below.
fn neighbours(i: usize, (height, width): (usize, usize)) -> impl Iterator<Item = usize> {
    let (y, x) = (i / width, i % width);
    let at = |inside: bool, n: usize| inside.then_some(n);
    [
        at(y > 0, i.wrapping_sub(width)),
        at(x > 0, i.wrapping_sub(1)),
        at(x + 1 < width, i + 1),
        at(y + 1 < height, i + width),
    ]
    .into_iter()
    .flatten()
}

/// Pixels of the smallest cell without a nucleus, where nuclei have these.
fn smallest_cell(mut sizes: Vec<usize>, pixel_um: Option<f64>) -> usize {
    sizes.sort_unstable();
    let clean_up = NucleusRule::default();
    let smallest = match pixel_um {
        Some(um) => (clean_up.min_area_um2 / (um * um)).ceil() as usize,
        None => clean_up.min_area_px,
    };
    sizes.get(sizes.len() / 2).copied().unwrap_or(smallest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use stainfree_objects::{Connectivity, watershed};

    /// Classes and nuclei from a drawing: `c` is cytoplasm, digits are nuclei.
    fn drawn(rows: &[&str]) -> (Image<u8>, Image<u32>) {
        let at = |y: usize, x: usize| rows[y].as_bytes()[x];
        let (height, width) = (rows.len(), rows[0].len());
        let class = |c: u8| match c {
            b'c' => 2,
            b'.' => 0,
            _ => 1,
        };
        let nucleus = |c: u8| u32::from(c.is_ascii_digit()) * u32::from(c.wrapping_sub(b'0'));
        (
            Image::from_fn(height, width, |y, x| class(at(y, x))),
            Image::from_fn(height, width, |y, x| nucleus(at(y, x))),
        )
    }

    fn cells_of(rows: &[&str]) -> Vec<String> {
        let (classes, nuclei) = drawn(rows);
        let cells = cells(&classes, 2, &nuclei, None);
        let sign = |&cell: &u32| char::from_digit(cell, 10).unwrap();
        let row = |y| cells.row(y).iter().map(sign).collect();
        (0..cells.height()).map(row).collect()
    }

    #[test]
    fn nuclei_grow_until_they_meet_and_keep_their_numbers() {
        assert_eq!(
            cells_of(&[
                "cc22cccc55cc",
                "............",
                "cc..........",
                "3..........."
            ]),
            [
                "222222555555",
                "000000000000",
                "330000000000",
                "300000000000"
            ]
        );
    }

    #[test]
    fn cytoplasm_of_a_nucleus_size_is_a_cell_without_one_and_less_is_none() {
        // The median nucleus has three pixels; pieces that touch at a corner are two.
        let rows = [
            "c111c..cc.",
            ".......c..",
            "cc......c.",
            "........c.",
            "..4.777...",
        ];
        assert_eq!(
            cells_of(&rows),
            [
                "1111100880",
                "0000000800",
                "0000000000",
                "0000000000",
                "0040777000"
            ]
        );
    }

    #[test]
    fn without_a_nucleus_a_cell_is_as_large_as_the_smallest_nucleus() {
        // 30 pixels, and 12 um2 are 48 pixels of 0.5 um.
        let classes = Image::from_fn(6, 20, |_, x| if x < 5 { 2 } else { 0 });
        let nothing = Image::filled(6, 20, 0);
        let number = |pixel_um| cells(&classes, 2, &nothing, pixel_um).get(3, 3);
        assert_eq!((number(None), number(Some(0.5))), (1, 0));
    }

    #[test]
    fn cells_of_nuclei_are_the_watershed_of_a_flat_surface() {
        // Nuclei and cytoplasm scattered by multiples of large primes.
        for (height, width) in [(1, 40), (40, 1), (30, 41), (64, 64)] {
            let hash = |y: usize, x: usize| (y * 7919 + x * 104_729) * 2_654_435_761 % 1009;
            let classes = Image::from_fn(height, width, |y, x| match hash(y, x) % 10 {
                0 => 0,
                _ => 2,
            });
            let nuclei = Image::from_fn(height, width, |y, x| {
                let (y, x) = (y / 2, x / 3);
                if hash(y, x) % 17 == 0 {
                    1 + (y * 64 + x) as u32
                } else {
                    0
                }
            });
            let pairs = nuclei.data().iter().zip(classes.data());
            let area = pairs
                .map(|(&nucleus, &class)| nucleus != 0 || class == 2)
                .collect();
            let area = Image::new(height, width, area);
            let flat = Image::filled(height, width, 0.0);
            let expected = watershed(&flat, &nuclei, &area, Connectivity::Four);
            assert!(nuclei.data().iter().any(|&nucleus| nucleus > 0));
            let last = nuclei.data().iter().copied().max().unwrap_or(0);
            let grown = cells(&classes, 2, &nuclei, None);
            let grown = grown.map(|&cell| if cell > last { 0 } else { cell });
            assert_eq!(grown, expected, "{height} x {width}");
        }
    }

    #[test]
    fn the_class_is_found_by_its_name() {
        let names = ["background", "nucleus", CYTOPLASM].map(str::to_owned);
        assert_eq!(cytoplasm_class(&names), Some(2));
        assert_eq!(cytoplasm_class(&names[..2]), None);
    }
}
