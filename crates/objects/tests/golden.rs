//! Every operation against scikit-image and scipy, on a real 8-bit crop and a synthetic 16-bit
//! field. `testdata/objects/make_golden.py` makes the numbers.

use flate2::read::ZlibDecoder;
use stainfree_image::Image;
use stainfree_objects::threshold::{li, local_gaussian, local_mean, otsu, triangle};
use stainfree_objects::*;
use std::io::Read;
use std::path::Path;

/// The golden arrays.
struct Golden {
    index: serde_json::Value,
    bytes: Vec<u8>,
}

impl Golden {
    fn read() -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/objects");
        let index =
            serde_json::from_slice(&std::fs::read(folder.join("golden.json")).unwrap()).unwrap();
        let mut bytes = Vec::new();
        let packed = std::fs::read(folder.join("golden.bin.z")).unwrap();
        ZlibDecoder::new(&packed[..])
            .read_to_end(&mut bytes)
            .unwrap();
        Self { index, bytes }
    }

    fn words(&self, name: &str) -> (usize, usize, impl Iterator<Item = [u8; 4]>) {
        let entry = &self.index["arrays"][name];
        let size = |i: usize| {
            entry["shape"][i]
                .as_u64()
                .unwrap_or_else(|| panic!("no array {name}")) as usize
        };
        let (height, width) = (size(0), size(1));
        let from = entry["offset"].as_u64().unwrap() as usize;
        let words = self.bytes[from..from + 4 * height * width]
            .chunks_exact(4)
            .map(|c| c.try_into().unwrap());
        (height, width, words)
    }

    fn numbers(&self, name: &str) -> Image<f32> {
        let (height, width, words) = self.words(name);
        Image::new(height, width, words.map(f32::from_le_bytes).collect())
    }

    fn labels(&self, name: &str) -> Image<u32> {
        let (height, width, words) = self.words(name);
        Image::new(height, width, words.map(u32::from_le_bytes).collect())
    }

    fn mask(&self, name: &str) -> Image<bool> {
        self.labels(name).map(|&v| v != 0)
    }

    fn scalar(&self, field: &str, name: &str) -> f64 {
        self.index["scalars"][field][name].as_f64().unwrap()
    }
}

const FIELDS: [&str; 2] = ["real", "synthetic"];
const BOTH: [(Connectivity, &str); 2] = [(Connectivity::Four, "4"), (Connectivity::Eight, "8")];

/// Number of pixels that differ.
fn differing<T: PartialEq>(a: &Image<T>, b: &Image<T>) -> usize {
    assert_eq!(a.size(), b.size());
    a.data()
        .iter()
        .zip(b.data())
        .filter(|(a, b)| a != b)
        .count()
}

/// Largest difference relative to the largest value of the expected image.
fn relative(a: &Image<f32>, b: &Image<f32>) -> f32 {
    let largest = b.data().iter().fold(0.0f32, |m, v| m.max(v.abs()));
    a.data()
        .iter()
        .zip(b.data())
        .fold(0.0f32, |m, (a, b)| m.max((a - b).abs()))
        / largest
}

#[test]
fn filters_equal_scipy() {
    let golden = Golden::read();
    // f32 sums of at most 17 terms twice, against f64: a few times 6e-8.
    let tolerance = 1e-6;
    for field in FIELDS {
        let image = golden.numbers(&format!("{field}/image"));
        for (sigma, name) in [(0.7, "gaussian_0.7"), (2.0, "gaussian_2.0")] {
            let d = relative(
                &gaussian(&image, sigma),
                &golden.numbers(&format!("{field}/{name}")),
            );
            assert!(d < tolerance, "{field} {name}: {d}");
        }
        let d = relative(
            &local_mean(&image, 7),
            &golden.numbers(&format!("{field}/local_mean")),
        );
        assert!(d < tolerance, "{field} local mean: {d}");
        let d = relative(
            &local_gaussian(&image, 7),
            &golden.numbers(&format!("{field}/local_gaussian")),
        );
        assert!(d < tolerance, "{field} local gaussian: {d}");
    }
}

#[test]
fn thresholds_equal_scikit_image() {
    let golden = Golden::read();
    for field in FIELDS {
        let smooth = golden.numbers(&format!("{field}/smooth"));
        let bin = golden.scalar(field, "bin");
        let check = |name: &str, ours: Option<f32>, tolerance: f64| {
            let (ours, theirs) = (f64::from(ours.unwrap()), golden.scalar(field, name));
            assert!(
                (ours - theirs).abs() <= tolerance,
                "{field} {name}: {ours} against {theirs}"
            );
        };
        // The same bin; its centre is rounded to f32.
        check("otsu", otsu(smooth.data(), 256), bin * 1e-3);
        check("triangle", triangle(smooth.data(), 256), bin * 1e-3);
        // Both iterations stop within a small part of a grey level of the fixed point.
        check("li", li(smooth.data()), bin * 0.05);
    }
}

#[test]
fn components_and_holes_equal_scikit_image() {
    let golden = Golden::read();
    for field in FIELDS {
        let get = |name: &str| golden.mask(&format!("{field}/{name}"));
        let mask = get("mask");
        for (connectivity, n) in BOTH {
            let ours = label(&mask, connectivity);
            assert_eq!(
                differing(&ours.image, &golden.labels(&format!("{field}/label_{n}"))),
                0,
                "{field} {n}"
            );
        }
        assert_eq!(
            differing(&fill_holes(&mask), &get("fill")),
            0,
            "{field} fill"
        );
        let ours = remove_small_objects(&mask, 12, Connectivity::Four);
        assert_eq!(
            differing(&ours, &get("drop_small")),
            0,
            "{field} small objects"
        );
        let labels = golden.labels(&format!("{field}/labels"));
        let gaps = golden.labels(&format!("{field}/gaps"));
        let relabelled = golden.labels(&format!("{field}/relabelled"));
        assert_eq!(
            differing(&relabel_consecutive(&gaps).image, &relabelled),
            0,
            "{field} relabel"
        );
        for (buffer, name) in [(0, "border"), (2, "border_2")] {
            let theirs = golden.labels(&format!("{field}/{name}"));
            assert_eq!(
                differing(&remove_border_objects(&labels, buffer), &theirs),
                0,
                "{field} {name}"
            );
        }
        for (connectivity, n) in BOTH {
            let inner = inner_boundaries(&labels, connectivity);
            assert_eq!(
                differing(&inner, &get(&format!("inner_{n}"))),
                0,
                "{field} inner {n}"
            );
            let thick = thick_boundaries(&labels, connectivity);
            assert_eq!(
                differing(&thick, &get(&format!("thick_{n}"))),
                0,
                "{field} thick {n}"
            );
        }
    }
}

#[test]
fn morphology_and_distance_equal_scikit_image() {
    let golden = Golden::read();
    for field in FIELDS {
        let mask = golden.mask(&format!("{field}/mask"));
        for r in [1, 2, 3, 5] {
            for (footprint, shape) in [
                (Footprint::Disk(r), "disk"),
                (Footprint::Square(r), "square"),
            ] {
                let check = |name: &str, ours: Image<bool>| {
                    let theirs = golden.mask(&format!("{field}/{name}_{shape}_{r}"));
                    assert_eq!(differing(&ours, &theirs), 0, "{field} {name} {shape} {r}");
                };
                check("erosion", erode(&mask, footprint));
                check("dilation", dilate(&mask, footprint));
                if r == 2 {
                    check("opening", open(&mask, footprint));
                    check("closing", close(&mask, footprint));
                }
            }
        }
        let clean = golden.mask(&format!("{field}/clean"));
        let theirs = golden.labels(&format!("{field}/edt_squared"));
        assert_eq!(
            differing(&edt_squared(&clean), &theirs),
            0,
            "{field} distance"
        );
    }
}

#[test]
fn reconstruction_and_watershed_equal_scikit_image() {
    let golden = Golden::read();
    for field in FIELDS {
        let levels = golden.numbers(&format!("{field}/levels"));
        let smooth = golden.numbers(&format!("{field}/smooth"));
        let clean = golden.mask(&format!("{field}/clean"));
        let seeds = golden.labels(&format!("{field}/seeds"));
        for (connectivity, n) in BOTH {
            let ours = reconstruct(&levels.map(|&v| v - 3.0), &levels, connectivity);
            let theirs = golden.numbers(&format!("{field}/reconstruct_{n}"));
            assert_eq!(differing(&ours, &theirs), 0, "{field} reconstruction {n}");
            let theirs = golden.mask(&format!("{field}/maxima_{n}"));
            assert_eq!(
                differing(&regional_maxima(&levels, connectivity), &theirs),
                0,
                "{field} maxima {n}"
            );
            let theirs = golden.mask(&format!("{field}/h_maxima_{n}"));
            assert_eq!(
                differing(&h_maxima(&levels, 3.0, connectivity), &theirs),
                0,
                "{field} h-maxima {n}"
            );
            for (name, surface) in [("levels", &levels), ("smooth", &smooth)] {
                let ours = watershed(&surface.map(|&v| -v), &seeds, &clean, connectivity);
                let theirs = golden.labels(&format!("{field}/watershed_{name}_{n}"));
                assert_eq!(differing(&ours, &theirs), 0, "{field} watershed {name} {n}");
            }
        }
    }
}

#[test]
fn expanded_labels_cover_the_same_pixels() {
    // Which of two equally near labels wins is left open there: extent must be equal, labels only
    // where the nearest is unique (checked by the share of ties, which lie on the seams).
    let golden = Golden::read();
    for field in FIELDS {
        let ours = expand_labels(&golden.labels(&format!("{field}/labels")), 3.0);
        let theirs = golden.labels(&format!("{field}/expand_3"));
        assert_eq!(
            differing(&ours.map(|&l| l != 0), &theirs.map(|&l| l != 0)),
            0,
            "{field}"
        );
        let ties = differing(&ours, &theirs);
        assert!(
            ties * 100 <= ours.data().len(),
            "{field}: {ties} labels differ"
        );
    }
}
