//! Connected components of masks and clean-up of label images.
//!
//! Labels are numbered in the order in which a raster scan meets the first pixel of each component,
//! as `skimage.measure.label` and `scipy.ndimage.label` do; `runs` finds them.

use crate::bits::Bits;
use crate::labels::{Connectivity, Labels};
use crate::runs::{Components, without_small};
use stainfree_image::Image;
use std::collections::{BTreeMap, BTreeSet};

/// Connected components of the true pixels of `mask`.
///
/// Labels are consecutive from 1 in raster order of the first pixel of each component.
pub fn label(mask: &Image<bool>, connectivity: Connectivity) -> Labels {
    Components::new(&Bits::from_mask(mask), connectivity).painted()
}

/// Connected components of equal non-zero values: an object that lies in two pieces becomes two.
///
/// Renumbers in raster order; two touching labels stay apart.
pub fn label_values(labels: &Image<u32>, connectivity: Connectivity) -> Labels {
    Components::of_values(labels, connectivity).painted()
}

/// Number of pixels of every label that occurs, but of the background.
///
/// Labels are any numbers up to 2^32 - 1, as other programs number tracks: memory goes by how many
/// there are, not by the largest.
pub fn areas(labels: &Image<u32>) -> BTreeMap<u32, usize> {
    let mut areas = BTreeMap::new();
    // Run by run: neighbours mostly are of one label, and a search for each would take long.
    for run in labels.data().chunk_by(|a, b| a == b) {
        if run[0] != 0 {
            *areas.entry(run[0]).or_insert(0) += run.len();
        }
    }
    areas
}

/// Labels for which `keep` is true, the others background; it is asked once a run of pixels.
fn kept(labels: &Image<u32>, keep: impl Fn(u32) -> bool) -> Image<u32> {
    let (mut last, mut answer) = (0, 0);
    labels.map(|&label| {
        if label != last {
            last = label;
            answer = if label != 0 && keep(label) { label } else { 0 };
        }
        answer
    })
}

/// Renumbers labels to 1..=n, keeping their order by value (as
/// `skimage.segmentation.relabel_sequential`).
pub fn relabel_consecutive(labels: &Image<u32>) -> Labels {
    let mut values: Vec<u32> = labels.data().to_vec();
    // Neighbouring pixels mostly repeat: dropping repeats first keeps the sort short.
    values.dedup();
    values.sort_unstable();
    values.dedup();
    if values.first() == Some(&0) {
        values.remove(0);
    }
    let (mut last, mut number) = (0u32, 0u32);
    let image = labels.map(|&v| {
        if v == 0 {
            return 0;
        }
        if v != last {
            // `values` holds every non-zero value of the image.
            number = values.binary_search(&v).map_or(0, |i| i as u32 + 1);
            last = v;
        }
        number
    });
    Labels {
        image,
        count: values.len(),
    }
}

/// Sets every label for which `keep(label, area)` is false to background; numbers stay as they are.
pub fn retain(labels: &Image<u32>, mut keep: impl FnMut(u32, usize) -> bool) -> Image<u32> {
    let areas = areas(labels).into_iter();
    let chosen: BTreeSet<u32> = areas
        .filter(|&(label, area)| keep(label, area))
        .map(|(label, _)| label)
        .collect();
    kept(labels, |label| chosen.contains(&label))
}

/// Removes the labels that touch the rim of the image; numbers stay as they are.
///
/// With `buffer` > 0, labels within that many pixels of the rim go too
/// (`skimage.segmentation.clear_border` with `buffer_size`).
pub fn remove_border_objects(labels: &Image<u32>, buffer: usize) -> Image<u32> {
    let (height, width) = labels.size();
    let mut touches = BTreeSet::new();
    for y in 0..height {
        let edge_row = y <= buffer || y + buffer + 1 >= height;
        for x in 0..width {
            if edge_row || x <= buffer || x + buffer + 1 >= width {
                touches.insert(labels.get(y, x));
            }
        }
    }
    kept(labels, |label| !touches.contains(&label))
}

/// Removes components of fewer than `min_area` pixels from a mask.
pub fn remove_small_objects(
    mask: &Image<bool>,
    min_area: usize,
    connectivity: Connectivity,
) -> Image<bool> {
    if min_area <= 1 {
        return mask.clone();
    }
    without_small(Bits::from_mask(mask), min_area, connectivity).to_mask()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_any_numbers_and_memory_goes_by_how_many_there_are() {
        // A table by label would ask for 34 GB.
        let huge = u32::MAX;
        let data = vec![huge, huge, 0, 7, 0, 0, 0, 0, 0, 3_000_000_000, 0, 0];
        let labels = Image::new(3, 4, data);
        let found: Vec<(u32, usize)> = areas(&labels).into_iter().collect();
        assert_eq!(found, [(7, 1), (3_000_000_000, 1), (huge, 2)]);
        let large = retain(&labels, |_, area| area > 1);
        assert_eq!(large.data()[..4], [huge, huge, 0, 0]);
        assert_eq!(large.data()[9], 0);
        let wide = Image::from_fn(5, 5, |y, x| match (y, x) {
            (0, 0) => huge,
            (2, 2) => huge - 1,
            _ => 0,
        });
        let inside = remove_border_objects(&wide, 0);
        assert_eq!((inside.get(0, 0), inside.get(2, 2)), (0, huge - 1));
    }
}
