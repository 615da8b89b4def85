//! Class masks for training: scheme A and scheme B, and masks from truth that already exists.
//!
//! Scheme A: 0 background, 1 nucleus, 2 cytoplasm. Scheme B: 0 background, 1 nucleus, 2 boundary,
//! 3 split; painted in that order, so a split lies over a boundary.

use crate::error::{ObjectsError, same_size};
use crate::expand::expand_labels;
use crate::labels::Connectivity;
use crate::reconstruct::neighbours;
use serde::{Deserialize, Serialize};
use stainfree_image::Image;
use stainfree_kernels::{Loops, vectorised};

/// Class of the background in both schemes.
pub const BACKGROUND: u8 = 0;
/// Class of the nuclei in both schemes.
pub const NUCLEUS: u8 = 1;
/// Class of the cytoplasm in scheme A.
pub const CYTOPLASM: u8 = 2;
/// Class of the outline of the nuclei in scheme B.
pub const BOUNDARY: u8 = 2;
/// Class of the cut between touching nuclei in scheme B.
pub const SPLIT: u8 = 3;
/// Value of pixels that neither train nor score.
pub const IGNORED: u8 = 255;

/// Where the lines of scheme B lie; the paper does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinePlacement {
    /// All of the width inside the nuclei.
    #[default]
    Inside,
    /// All of the width outside the nuclei.
    Outside,
    /// Half of the width on either side; of an odd width the larger half inside.
    Across,
}

/// Scheme A: nucleus painted over cytoplasm; without a cytoplasm mask, two classes.
///
/// # Panics
/// If the sizes differ.
pub fn scheme_a(nuclei: &Image<bool>, cytoplasm: Option<&Image<bool>>) -> Image<u8> {
    if let Some(c) = cytoplasm {
        assert_eq!(
            nuclei.size(),
            c.size(),
            "nuclei and cytoplasm must show the same field"
        );
    }
    let Some(cytoplasm) = cytoplasm else {
        return nuclei.map(|&n| if n { NUCLEUS } else { BACKGROUND });
    };
    let mut classes = Image::filled(nuclei.height(), nuclei.width(), BACKGROUND);
    vectorised(SchemeA {
        nuclei: nuclei.data(),
        cytoplasm: cytoplasm.data(),
        classes: classes.data_mut(),
    });
    classes
}

struct SchemeA<'a> {
    nuclei: &'a [bool],
    cytoplasm: &'a [bool],
    classes: &'a mut [u8],
}

impl Loops for SchemeA<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let masks = self.nuclei.iter().zip(self.cytoplasm);
        for (class, (&n, &c)) in self.classes.iter_mut().zip(masks) {
            let beside = if c { CYTOPLASM } else { BACKGROUND };
            *class = if n { NUCLEUS } else { beside };
        }
    }
}

/// Scheme B from nucleus instances: outline and cut, each `width_px` pixels wide.
///
/// An outline is drawn where a nucleus meets background, a cut where two nuclei meet: touching, or
/// with a gap no wider than the line. The lines grow pixel by pixel, by turns in 4 and in 8
/// directions, which keeps their width within a pixel of `width_px` in every direction.
/// A cut between touching nuclei has no outside: it is centred (of an odd width, the pixel more
/// lies on the nucleus with the smaller label). The rim of the image is no edge.
pub fn scheme_b(labels: &Image<u32>, placement: LinePlacement, width_px: usize) -> Image<u8> {
    let (height, width) = labels.size();
    let mut classes = labels.map(|&l| if l == 0 { BACKGROUND } else { NUCLEUS });
    if width_px == 0 || height == 0 || width == 0 {
        return classes;
    }
    let (inside, outside) = match placement {
        LinePlacement::Inside => (width_px, 0),
        LinePlacement::Outside => (0, width_px),
        LinePlacement::Across => (width_px.div_ceil(2), width_px / 2),
    };
    let is_nucleus = labels.map(|&l| l != 0);
    let is_background = labels.map(|&l| l == 0);
    let line = grow_within(&is_background, &is_nucleus, inside);
    paint(&mut classes, &line, BOUNDARY);
    let line = grow_within(&is_nucleus, &is_background, outside);
    paint(&mut classes, &line, BOUNDARY);
    paint(&mut classes, &cuts(labels, width_px), SPLIT);
    classes
}

/// Pixels of `field` that `steps` steps from `from` reach; `from` itself is not part of it.
fn grow_within(from: &Image<bool>, field: &Image<bool>, steps: usize) -> Image<bool> {
    let (height, width) = from.size();
    let mut reached = Image::filled(height, width, false);
    let mut front: Vec<usize> = (0..height * width).filter(|&i| from.data()[i]).collect();
    for step in 0..steps {
        let connectivity = if step % 2 == 0 {
            Connectivity::Four
        } else {
            Connectivity::Eight
        };
        let mut next = Vec::new();
        for &i in &front {
            for j in neighbours(i / width, i % width, height, width, connectivity) {
                if field.data()[j] && !reached.data()[j] {
                    reached.data_mut()[j] = true;
                    next.push(j);
                }
            }
        }
        front = next;
    }
    reached
}

/// Pixels of the cuts between nuclei that touch or are at most `width_px` background pixels apart.
///
/// Nuclei grow into the gap until they meet; the seam is the start, and the line grows from it by
/// turns to either side, so that it is `width_px` wide across the seam.
fn cuts(labels: &Image<u32>, width_px: usize) -> Image<bool> {
    let (height, width) = labels.size();
    let zones = expand_labels(labels, width_px.div_ceil(2) as f64);
    let zone = zones.data();
    // Seen from the seam, the side of a pixel: the smaller label's first.
    let seam = |smaller: bool| -> Image<bool> {
        Image::from_fn(height, width, |y, x| {
            let here = zone[y * width + x];
            here != 0
                && neighbours(y, x, height, width, Connectivity::Four)
                    .any(|j| zone[j] != 0 && zone[j] != here && (here < zone[j]) == smaller)
        })
    };
    let mut cut = Image::filled(height, width, false);
    for (smaller, steps) in [(true, width_px.div_ceil(2)), (false, width_px / 2)] {
        if steps == 0 {
            continue;
        }
        let mut front: Vec<usize> = Vec::new();
        for (i, &s) in seam(smaller).data().iter().enumerate() {
            if s {
                cut.data_mut()[i] = true;
                front.push(i);
            }
        }
        for step in 1..steps {
            let connectivity = if step % 2 == 1 {
                Connectivity::Four
            } else {
                Connectivity::Eight
            };
            let mut next = Vec::new();
            for &i in &front {
                for j in neighbours(i / width, i % width, height, width, connectivity) {
                    // The line stays in its own zone: the other side has its own steps.
                    if zone[j] == zone[i] && !cut.data()[j] {
                        cut.data_mut()[j] = true;
                        next.push(j);
                    }
                }
            }
            front = next;
        }
    }
    cut
}

/// Sets the pixels of `line` to `class`.
fn paint(classes: &mut Image<u8>, line: &Image<bool>, class: u8) {
    for (c, &l) in classes.data_mut().iter_mut().zip(line.data()) {
        if l {
            *c = class;
        }
    }
}

/// Sets ignored pixels to [`IGNORED`], whatever their class.
///
/// # Errors
/// [`ObjectsError::SizeMismatch`] if the sizes differ.
pub fn apply_ignore(classes: &mut Image<u8>, ignore: &Image<bool>) -> Result<(), ObjectsError> {
    same_size(
        "the class mask",
        classes.size(),
        "the ignore mask",
        ignore.size(),
    )?;
    paint(classes, ignore, IGNORED);
    Ok(())
}

/// Nucleus and cell masks of existing instance labels: every pixel with a label.
///
/// `cells` are whole cells (cytoplasm with nucleus), or none. The result goes to [`scheme_a`].
///
/// # Errors
/// [`ObjectsError::SizeMismatch`] if the sizes differ.
pub fn masks_from_labels(
    nuclei: &Image<u32>,
    cells: Option<&Image<u32>>,
) -> Result<(Image<bool>, Option<Image<bool>>), ObjectsError> {
    if let Some(c) = cells {
        same_size(
            "the nucleus labels",
            nuclei.size(),
            "the cell labels",
            c.size(),
        )?;
    }
    Ok((nuclei.map(|&l| l != 0), cells.map(|c| c.map(|&l| l != 0))))
}
