//! Too many pieces, then merged again unless the evidence speaks for two nuclei.
//!
//! 1. Pieces: a watershed of distance and intensity with shallow limits, then cuts between concave
//!    points of its pieces.
//! 2. The evidence that two neighbouring pieces are two nuclei, in log odds: the valley of intensity
//!    along their border, their difference in brightness, the neck, what the hull of the two covers
//!    beside them, and their size together against the typical piece of the field.
//! 3. The pair that speaks most for one nucleus is merged, its neighbours are looked at again, until
//!    every border left speaks for two.
//!
//! Nothing is left to one threshold: two nuclei without a neck may have a valley, two without a valley
//! a neck, and a dark nucleolus in a convex outline is neither.

use super::concavity::Concavity;
use super::distance::flood;
use super::hull::hull_area;
use super::intensity::joint_surface;
use super::{Cut, Method, Part, Parts, not_negative};
use crate::error::ObjectsError;
use crate::quantile::extremes;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use stainfree_image::Image;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

/// Choices of the merging.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Evidence {
    /// Standard deviation of the Gaussian on the distance transform, in um; the stain gets a little less.
    pub smoothing_um: f64,
    /// How much the evidence for two nuclei must outweigh that for one, in log odds: more cuts less.
    pub caution: f64,
}

impl Default for Evidence {
    fn default() -> Self {
        Self {
            smoothing_um: 0.6,
            caution: 1.0,
        }
    }
}

/// The stain is smoothed by this share of the smoothing: its valleys are narrower than necks.
const STAIN_SMOOTHING: f64 = 0.8;

/// Depth of a valley of the joint surface that parts two pieces: 3 %, so that no border is missing.
const PIECE_DEPTH: f32 = 0.03;

/// Weight of the intensity in the surface of the pieces.
const PIECE_INTENSITY: f32 = 0.5;

/// Cuts of the pieces: more than the method on its own would make.
const PIECE_CUTS: Concavity = Concavity {
    smoothing_um: 0.4,
    arm_um: 1.5,
    turn_degrees: 20.0,
    across: 0.7,
    across_single: 0.45,
};

/// Log odds for two nuclei, chosen on every second field of bbbc038-u2os near the optimum of a
/// logistic regression and rounded (docs/splitting.md).
mod weight {
    /// Per unit of `ln(mean along the border / brightness of the dimmer piece)`.
    pub(super) const VALLEY: f64 = -5.0;
    /// Per unit of `|ln(brightness / brightness)|`.
    pub(super) const CONTRAST: f64 = 4.0;
    /// Both of these together where there is no stain: what they give between one nucleus and two.
    pub(super) const NO_STAIN: f64 = 1.0;
    /// Per unit of `ln(half-width at the border / half-width of the narrower piece)`.
    pub(super) const NECK: f64 = -2.0;
    /// Per unit of solidity that the two together have more than each alone.
    pub(super) const SOLIDITY_GAIN: f64 = -6.0;
    /// Per unit of solidity of the two together above [`CONVEX`].
    pub(super) const CONVEXITY: f64 = -80.0;
    /// A nucleus with a nearly convex outline.
    pub(super) const CONVEX: f64 = 0.95;
    /// Per unit of `ln(area of the two / area of a typical nucleus)`.
    pub(super) const SIZE: f64 = 2.5;
    /// The two together count as two typical nuclei at most (ln 2): giants are no clusters.
    pub(super) const LARGEST: f64 = std::f64::consts::LN_2;
}

/// Equal-area disk of a nucleus over the disk of its half-width: nuclei are half again as long as wide.
const ELONGATION: f64 = 1.5;

/// Rank of the pixel that stands for the brightness of a piece: the median, which noise does not move.
const BRIGHTNESS_PERCENTILE: f64 = 0.5;

impl Method for Evidence {
    fn check(&self) -> Result<(), ObjectsError> {
        not_negative(&[("splitting.smoothing_um", self.smoothing_um)])?;
        if !self.caution.is_finite() {
            return Err(ObjectsError::Setting {
                setting: "splitting.caution",
                value: self.caution,
                range: "a number",
            });
        }
        Ok(())
    }

    fn split_part(&self, part: &Part) -> Option<Image<u32>> {
        let found = Found::new(part, self);
        let typical = typical_area(std::slice::from_ref(&found));
        Some(found.pieces?.merged(typical, self.caution))
    }

    /// The typical area is that of the whole field, so all pieces are known before any is merged.
    fn split_all(&self, parts: &Parts) -> Vec<Option<Cut>> {
        let found = |i| Found::new(&parts.get(i), self);
        let found: Vec<Found> = (0..parts.len()).into_par_iter().map(found).collect();
        let typical = typical_area(&found);
        let merge =
            |(i, found): (usize, Found)| parts.cut(i, &found.pieces?.merged(typical, self.caution));
        found.into_par_iter().enumerate().map(merge).collect()
    }
}

/// Area of a typical nucleus in pixels, from the half-widths of pieces: the median pixel's.
///
/// Widths, because a piece may be half a nucleus, and half a nucleus is as wide as a whole one.
fn typical_area(all: &[Found]) -> f64 {
    let mut widths: Vec<(f32, usize)> = all.iter().flat_map(|f| &f.widths).copied().collect();
    widths.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let half = widths.iter().map(|w| w.1).sum::<usize>() / 2;
    let mut seen = 0;
    let median = widths.iter().find(|w| {
        seen += w.1;
        seen > half
    });
    let half_width = median.map_or(1.0, |w| f64::from(w.0));
    std::f64::consts::PI * half_width * half_width * ELONGATION
}

/// A piece, or several that were merged.
#[derive(Clone, Debug, Default)]
struct Piece {
    /// Indices into the part, in raster order.
    pixels: Vec<u32>,
    /// Smoothed stain of the pixels, in no order; empty without a stain.
    values: Vec<f32>,
    /// Largest value of the smoothed distance transform.
    half_width: f32,
    /// See [`BRIGHTNESS_PERCENTILE`]; 0 without a stain.
    brightness: f64,
    hull: f64,
}

/// Where two pieces meet.
#[derive(Clone, Copy, Debug, Default)]
struct Border {
    /// Pixel edges between them.
    edges: f64,
    /// Sum over the edges of the mean intensity of both sides.
    intensity: f64,
    /// Largest half-width on it.
    half_width: f32,
}

impl Border {
    fn join(&mut self, other: Border) {
        self.edges += other.edges;
        self.intensity += other.intensity;
        self.half_width = self.half_width.max(other.half_width);
    }
}

/// The pieces of one part, numbered from 1 in `image`, from 0 in `list`.
struct Pieces {
    image: Image<u32>,
    list: Vec<Piece>,
    borders: BTreeMap<(usize, usize), Border>,
    has_stain: bool,
}

/// What was found in a part.
struct Found {
    /// Half-width and area of every piece.
    widths: Vec<(f32, usize)>,
    /// `None` if the part is one piece.
    pieces: Option<Pieces>,
}

impl Found {
    fn new(part: &Part, settings: &Evidence) -> Self {
        let smoothing = part.px(settings.smoothing_um);
        let area = part.mask.data().iter().filter(|&&m| m).count();
        let Some(distance) = part.smooth_distance(smoothing) else {
            return Self {
                widths: vec![(1.0, area)],
                pieces: None,
            };
        };
        let stain = part.smooth_stain(smoothing * STAIN_SMOOTHING);
        let surface = joint_surface(&part.mask, &distance, stain.as_ref(), PIECE_INTENSITY);
        let ratio = (-PIECE_DEPTH).exp();
        let flooded = flood(&surface, |v| v * ratio, part);
        let um_per_pixel = part.seen.um_per_pixel;
        let cut = match &flooded {
            Some(pieces) => PIECE_CUTS.cut_pieces(pieces, um_per_pixel),
            None => PIECE_CUTS.cut_pieces(&part.whole(), um_per_pixel),
        };
        let Some(image) = cut.or(flooded) else {
            let widest = extremes(distance.data()).1;
            return Self {
                widths: vec![(widest, area)],
                pieces: None,
            };
        };
        let pieces = Pieces::describe(image, &distance, stain.as_ref());
        let widths = pieces.list.iter().map(|p| (p.half_width, p.pixels.len()));
        Self {
            widths: widths.collect(),
            pieces: Some(pieces),
        }
    }
}

impl Pieces {
    fn describe(image: Image<u32>, distance: &Image<f32>, stain: Option<&Image<f32>>) -> Self {
        let count = image.data().iter().copied().max().unwrap_or(0) as usize;
        let (labels, width) = (image.data(), image.width());
        let mut list = vec![Piece::default(); count];
        let mut borders: BTreeMap<(usize, usize), Border> = BTreeMap::new();
        for (i, &l) in labels.iter().enumerate() {
            if l == 0 {
                continue;
            }
            let piece = &mut list[l as usize - 1];
            piece.pixels.push(i as u32);
            piece.values.extend(stain.map(|s| s.data()[i]));
            piece.half_width = piece.half_width.max(distance.data()[i]);
            let right = (i % width + 1 < width).then_some(i + 1);
            let below = (i + width < labels.len()).then_some(i + width);
            for j in [right, below].into_iter().flatten() {
                if labels[j] == 0 || labels[j] == l {
                    continue;
                }
                let (a, b) = (l.min(labels[j]) as usize - 1, l.max(labels[j]) as usize - 1);
                let intensity = stain.map_or(0.0, |s| 0.5 * (s.data()[i] + s.data()[j]));
                borders.entry((a, b)).or_default().join(Border {
                    edges: 1.0,
                    intensity: f64::from(intensity),
                    half_width: distance.data()[i].min(distance.data()[j]),
                });
            }
        }
        let mut pieces = Self {
            image,
            list,
            borders,
            has_stain: stain.is_some(),
        };
        for i in 0..pieces.list.len() {
            pieces.measure(i);
        }
        pieces
    }

    /// What follows from the pixels of a piece.
    fn measure(&mut self, i: usize) {
        let piece = &mut self.list[i];
        if piece.pixels.is_empty() {
            return;
        }
        piece.hull = hull_area(&piece.pixels, self.image.width());
        let k = (piece.values.len() as f64 * BRIGHTNESS_PERCENTILE) as usize;
        if k < piece.values.len() {
            let ranked = piece.values.select_nth_unstable_by(k, f32::total_cmp);
            piece.brightness = f64::from(*ranked.1);
        }
    }

    /// Log odds that two neighbours are two nuclei.
    fn evidence(&self, a: usize, b: usize, typical_area: f64) -> f64 {
        let (p, q, border) = (&self.list[a], &self.list[b], &self.borders[&(a, b)]);
        let area = (p.pixels.len() + q.pixels.len()) as f64;
        let solidity = area / hull_area(&united(&p.pixels, &q.pixels), self.image.width());
        let apart = area / (p.hull + q.hull);
        let neck = f64::from(border.half_width / p.half_width.min(q.half_width));
        let intensity = if self.has_stain {
            // Brightness is positive above the threshold; a mask drawn by hand may lie on anything.
            let positive = |v: f64| v.max(f64::from(f32::MIN_POSITIVE));
            let (bright, dim) = (
                positive(p.brightness.max(q.brightness)),
                positive(p.brightness.min(q.brightness)),
            );
            let valley = (positive(border.intensity / border.edges) / dim).ln();
            weight::VALLEY * valley + weight::CONTRAST * (bright / dim).ln()
        } else {
            weight::NO_STAIN
        };
        intensity
            + weight::NECK * neck.ln()
            + weight::SOLIDITY_GAIN * (solidity - apart)
            + weight::CONVEXITY * (solidity - weight::CONVEX).max(0.0)
            + weight::SIZE * (area / typical_area).ln().min(weight::LARGEST)
    }

    /// Merges until every border left speaks for two nuclei; gives the labels.
    fn merged(mut self, typical_area: f64, caution: f64) -> Image<u32> {
        let n = self.list.len();
        let mut near: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); n];
        for &(a, b) in self.borders.keys() {
            near[a].insert(b);
            near[b].insert(a);
        }
        // A queued pair counts only while neither piece has changed since.
        let mut version = vec![0u32; n];
        let mut into: Vec<usize> = (0..n).collect();
        let mut queue = BinaryHeap::new();
        for &(a, b) in self.borders.keys() {
            queue.extend(self.candidate(a, b, typical_area, caution, &version));
        }
        while let Some(Reverse((_, a, b, versions))) = queue.pop() {
            if versions != [version[a], version[b]] {
                continue;
            }
            self.merge(a, b);
            into[b] = a;
            version[a] += 1;
            version[b] += 1;
            near[a].remove(&b);
            for c in std::mem::take(&mut near[b]) {
                if c == a {
                    continue;
                }
                near[c].remove(&b);
                near[c].insert(a);
                near[a].insert(c);
                if let Some(border) = self.borders.remove(&(b.min(c), b.max(c))) {
                    self.borders
                        .entry((a.min(c), a.max(c)))
                        .or_default()
                        .join(border);
                }
            }
            for &c in &near[a] {
                queue.extend(self.candidate(a.min(c), a.max(c), typical_area, caution, &version));
            }
        }
        // A piece is always merged into one that still stands or that is merged later.
        let root = |l: u32| {
            let mut i = l as usize - 1;
            while into[i] != i {
                i = into[i];
            }
            i as u32 + 1
        };
        self.image.map(|&l| if l == 0 { 0 } else { root(l) })
    }

    /// The pair as an entry of the queue, if it speaks for one nucleus.
    fn candidate(
        &self,
        a: usize,
        b: usize,
        typical_area: f64,
        caution: f64,
        version: &[u32],
    ) -> Option<Candidate> {
        let for_two = self.evidence(a, b, typical_area) - caution;
        (for_two < 0.0).then(|| Reverse((order(for_two), a, b, [version[a], version[b]])))
    }

    fn merge(&mut self, a: usize, b: usize) {
        self.borders.remove(&(a, b));
        let other = std::mem::take(&mut self.list[b]);
        let piece = &mut self.list[a];
        piece.values.extend_from_slice(&other.values);
        piece.pixels = united(&piece.pixels, &other.pixels);
        piece.half_width = piece.half_width.max(other.half_width);
        self.measure(a);
    }
}

/// A pair for one nucleus: the evidence as an ordered number, both pieces, and their versions when it was weighed.
type Candidate = Reverse<(u64, usize, usize, [u32; 2])>;

/// Maps f64 to u64 so that the order of numbers is kept.
fn order(v: f64) -> u64 {
    let bits = v.to_bits();
    if bits >> 63 == 1 {
        !bits
    } else {
        bits | 1 << 63
    }
}

/// Two sorted lists as one.
fn united(a: &[u32], b: &[u32]) -> Vec<u32> {
    let mut out = Vec::with_capacity(a.len() + b.len());
    let (mut i, mut j) = (0, 0);
    while i < a.len() && j < b.len() {
        if a[i] < b[j] {
            out.push(a[i]);
            i += 1;
        } else {
            out.push(b[j]);
            j += 1;
        }
    }
    out.extend_from_slice(&a[i..]);
    out.extend_from_slice(&b[j..]);
    out
}
