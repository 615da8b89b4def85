//! Which images of a folder hold pixels that show nothing, and whether rims laid over them are
//! found.
//!
//! ```text
//! blank_count FOLDER [FOLDER ..]
//! ```
//! A line for every image with such pixels; at the end the count, and for each kind of rim how many
//! of the images without any were given back with exactly that rim.

mod pictures;

use stainfree_image::{Image, OpenOptions, open};
use stainfree_objects::{blank_pixels, blank_share};
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let (mut images, mut found, mut seen) = (0, 0, BTreeSet::new());
    let mut rims: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for file in pictures::of_arguments()? {
        let Ok(set) = open(&file, &OpenOptions::default()) else {
            continue;
        };
        for field in &set.fields {
            for (c, planes) in field.planes.iter().enumerate() {
                for z in (0..planes.len()).filter(|&z| planes[z].is_some()) {
                    let Ok(plane) = field.read(c, z) else {
                        continue;
                    };
                    let plane = plane.to_f32();
                    // Class masks and labels in the same folders are no pictures; nor is a file
                    // given twice.
                    let bits = plane.data().iter().map(|v| v.to_bits());
                    let key: Vec<u32> = bits.step_by(61).collect();
                    if is_drawn(&plane) || !seen.insert(key) {
                        continue;
                    }
                    images += 1;
                    let blank = blank_pixels(&plane);
                    if let Some(blank) = &blank {
                        found += 1;
                        let share = 100.0 * blank_share(Some(blank));
                        println!("{} channel {c} plane {z}: {share:.2} %", file.display());
                        continue;
                    }
                    for (kind, rimmed, rim) in rimmed(&plane) {
                        let count = rims.entry(kind).or_default();
                        let all = blank_pixels(&rimmed).is_some_and(|blank| alike(&blank, &rim));
                        *count = (count.0 + usize::from(all), count.1 + 1);
                    }
                }
            }
        }
    }
    println!("{found} of {images} images have blank pixels");
    for (kind, (right, all)) in rims {
        println!("{kind}: {right} of {all}");
    }
    Ok(())
}

/// Whether hardly any neighbours differ, or hardly any values.
fn is_drawn(plane: &Image<f32>) -> bool {
    let values: BTreeSet<u32> = plane.data().iter().map(|v| v.to_bits()).collect();
    let (mut equal, mut pairs) = (0usize, 0usize);
    for y in 0..plane.height() {
        equal += plane
            .row(y)
            .windows(2)
            .filter(|w| w[0] == w[1] && w[0] != 0.0)
            .count();
        pairs += plane.row(y).windows(2).filter(|w| w[0] != 0.0).count();
    }
    values.len() <= 3 || plane.data().len() < 400 || equal as f64 > 0.85 * pairs as f64
}

/// Up to one pixel of the edge may be lost or added.
fn alike(found: &Image<bool>, rim: &Image<bool>) -> bool {
    let pairs = found.data().iter().zip(rim.data());
    let wrong = pairs.filter(|(a, b)| a != b).count();
    let area = rim.data().iter().filter(|&&b| b).count();
    wrong as f64 <= 0.1 * area as f64 + 8.0
}

type Rimmed = (&'static str, Image<f32>, Image<bool>);

fn rimmed(plane: &Image<f32>) -> Vec<Rimmed> {
    let (height, width) = plane.size();
    let mut sorted = plane.data().to_vec();
    sorted.sort_by(f32::total_cmp);
    let (middle, top) = (sorted[sorted.len() / 2], sorted[sorted.len() - 1]);
    let lay = |kind, value: f32, inside: &dyn Fn(usize, usize) -> bool| {
        let rim = Image::from_fn(height, width, inside);
        let laid = Image::from_fn(height, width, |y, x| match rim.get(y, x) {
            true => value,
            false => plane.get(y, x),
        });
        (kind, laid, rim)
    };
    let slanted = |y: usize, x: usize| 5 * x + 3 * y < width;
    let frame = |y: usize, x: usize| {
        y < height / 8 || x < width / 8 || y >= height - height / 8 || x >= width - width / 8
    };
    let tile = |y: usize, x: usize| {
        (height / 4..height / 2).contains(&y) && (width / 3..width / 2).contains(&x)
    };
    vec![
        lay("column of 0", 0.0, &|_, x| x == 0),
        lay(
            "three columns at twice the largest value",
            2.0 * top,
            &|_, x| x < 3,
        ),
        lay("three rows of the median, inside", middle, &|y, _| {
            (height / 2..height / 2 + 3).contains(&y)
        }),
        lay("frame of 0", 0.0, &frame),
        lay("frame of half the median", middle / 2.0, &frame),
        lay("frame of the median", middle, &frame),
        lay("slanted corner of 0", 0.0, &slanted),
        lay("slanted corner of the largest value", top, &slanted),
        lay("missing tile of 0", 0.0, &tile),
        lay("missing tile, NaN", f32::NAN, &tile),
    ]
}
