//! Seeded watershed by priority flooding.
//!
//! Pixels are flooded in the order of their value, ties in the order in which they were reached;
//! a pixel takes the label of the neighbour that reached it first. This is the order of
//! `skimage.segmentation.watershed` without compactness and without lines, and gives its labels.
//!
//! Source: Beucher & Meyer (1993), "The morphological approach to segmentation".

use crate::components::Connectivity;
use crate::reconstruct::neighbours;
use stainfree_image::Image;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Maps f32 to u32 so that the order of numbers is kept (NaN sorts beyond infinity).
fn order(v: f32) -> u32 {
    // -0.0 and 0.0 are one level.
    let bits = (v + 0.0).to_bits();
    if bits >> 31 == 1 {
        !bits
    } else {
        bits | 1 << 31
    }
}

/// Floods `surface` from `seeds` (0 = none), lowest first, within `mask`.
///
/// All images are `[height, width]`; the result holds the seeds' labels, 0 outside the mask and
/// where no seed can reach. Seeds outside the mask are dropped.
///
/// # Panics
/// If the sizes differ.
pub fn watershed(
    surface: &Image<f32>,
    seeds: &Image<u32>,
    mask: &Image<bool>,
    connectivity: Connectivity,
) -> Image<u32> {
    assert!(
        surface.size() == seeds.size() && seeds.size() == mask.size(),
        "watershed needs images of one size"
    );
    let (height, width) = surface.size();
    let (values, inside) = (surface.data(), mask.data());
    let mut out = Image::new(
        height,
        width,
        seeds
            .data()
            .iter()
            .zip(inside)
            .map(|(&s, &m)| if m { s } else { 0 })
            .collect::<Vec<u32>>(),
    );
    let labels = out.data_mut();
    // (value, age) packed into one key: earlier is smaller.
    let mut queue: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
    let mut age = 0u64;
    let key = |i: usize, age: u64| (u64::from(order(values[i])) << 32) | age;
    for (i, &l) in labels.iter().enumerate() {
        if l != 0 {
            queue.push(Reverse((key(i, 0), i)));
        }
    }
    while let Some(Reverse((_, i))) = queue.pop() {
        for j in neighbours(i / width, i % width, height, width, connectivity) {
            if !inside[j] || labels[j] != 0 {
                continue;
            }
            labels[j] = labels[i];
            age += 1;
            queue.push(Reverse((key(j, age), j)));
        }
    }
    out
}
