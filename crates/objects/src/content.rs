//! Whether what is given as labels is labels: told from intensities, from labels that were enlarged
//! with interpolation, from class masks, by the shapes of its numbers.
//!
//! A label is a solid piece. Intensities and interpolated labels fall into slivers of equal value
//! that lie against each other; a class mask has many pieces of one number far apart; in a class
//! mask of a single cell the nucleus lies inside the cytoplasm. docs/truth.md has the counts of
//! false alarms on real labels and masks.

use crate::labels::Connectivity;
use crate::runs::Components;
use stainfree_image::Image;
use std::collections::BTreeMap;

/// Why numbers are no labels.
#[derive(Clone, Debug, PartialEq)]
pub enum NotLabels {
    /// Most pieces are slivers against others, and hardly any pixel is 0: an image.
    Intensities {
        /// Slivers of equal value that touch others.
        slivers: usize,
    },
    /// Slivers between solid pieces and the background: labels, or a mask, that were enlarged,
    /// turned or smoothed by mixing neighbours.
    Mixed {
        /// Slivers of equal value that touch others.
        slivers: usize,
        /// Solid pieces.
        objects: usize,
    },
    /// Few numbers, each of them of several pieces far apart: classes.
    Mask {
        /// Different numbers but 0.
        numbers: usize,
        /// Solid pieces.
        objects: usize,
    },
}

impl std::fmt::Display for NotLabels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            NotLabels::Intensities { slivers } => write!(
                f,
                "an image, not labels: hardly a pixel is 0, and equal numbers form {slivers} \
                 slivers"
            ),
            NotLabels::Mixed { slivers, objects } => write!(
                f,
                "numbers mixed with their neighbours' at the edges ({slivers} slivers at \
                 {objects} objects), as after smoothing or interpolation"
            ),
            NotLabels::Mask {
                numbers: 1,
                objects,
            } => write!(
                f,
                "one number for {objects} objects far apart: a mask, not instance labels"
            ),
            NotLabels::Mask { numbers, objects } => write!(
                f,
                "{numbers} numbers for {objects} objects far apart: classes, not instance labels"
            ),
        }
    }
}

/// Slivers up to this number are left to chance: ragged hand-drawn edges.
const FEW_SLIVERS: usize = 8;
/// Slivers for each solid piece that are still believed to be labels.
const SLIVERS_A_PIECE: f64 = 0.5;
/// An image rather than mixed labels if no more of it is 0.
const HARDLY: f64 = 0.01;
/// Most numbers that may be classes where every one has pieces far apart.
const MOST_CLASSES: usize = 3;
/// A gap of so many diameters parts two objects, not two pieces of one.
const FAR: f64 = 2.0;
/// A piece below this share of the middle one of its number, the larger of two, is a stray dab and
/// no object. Not of the largest: beside a clump all single nuclei of a mask would be dabs.
const DAB: f64 = 0.1;

/// What is known of one piece of equal number.
#[derive(Clone, Copy)]
struct Piece {
    number: u32,
    area: usize,
    /// Pixels whose four neighbours belong to it too.
    inner: usize,
    /// Sides against the background and against other numbers.
    open: usize,
    touching: usize,
    top: usize,
    bottom: usize,
    left: usize,
    right: usize,
}

impl Piece {
    fn is_solid(&self) -> bool {
        self.inner > 0
    }

    fn diameter(&self) -> f64 {
        2.0 * (self.area as f64 / std::f64::consts::PI).sqrt()
    }

    /// Pixels between the frames of two pieces.
    fn gap(&self, other: &Piece) -> f64 {
        let between = |a: (usize, usize), b: (usize, usize)| {
            (b.0.saturating_sub(a.1)).max(a.0.saturating_sub(b.1)) as f64
        };
        let dy = between((self.top, self.bottom), (other.top, other.bottom));
        let dx = between((self.left, self.right), (other.left, other.right));
        dy.hypot(dx)
    }
}

fn pieces_of(image: &Image<u32>) -> Vec<Piece> {
    let found = Components::of_values(image, Connectivity::Eight);
    let mut pieces = vec![
        Piece {
            number: 0,
            area: 0,
            inner: 0,
            open: 0,
            touching: 0,
            top: usize::MAX,
            bottom: 0,
            left: usize::MAX,
            right: 0,
        };
        found.count() + 1
    ];
    let (height, width) = image.size();
    for (y, run, piece) in found.iter() {
        let piece = &mut pieces[piece as usize];
        let (left, right) = (run.from as usize, run.to as usize - 1);
        piece.number = image.get(y, left);
        piece.area += run.len();
        piece.top = piece.top.min(y);
        piece.bottom = piece.bottom.max(y);
        piece.left = piece.left.min(left);
        piece.right = piece.right.max(right);
        for x in left..=right {
            let mut own = 0;
            let sides = [(-1isize, 0isize), (1, 0), (0, -1), (0, 1)];
            for (dy, dx) in sides {
                let (Some(v), Some(u)) = (y.checked_add_signed(dy), x.checked_add_signed(dx))
                else {
                    own += 1;
                    continue;
                };
                // What lies outside of the field may well go on there.
                match (v < height && u < width).then(|| image.get(v, u)) {
                    None => own += 1,
                    Some(value) if value == piece.number => own += 1,
                    Some(0) => piece.open += 1,
                    Some(_) => piece.touching += 1,
                }
            }
            piece.inner += usize::from(own == sides.len());
        }
    }
    pieces.split_off(1)
}

/// Why `labels` are none; `None` where they may be labels.
pub fn not_labels(labels: &Image<u32>) -> Option<NotLabels> {
    let pieces = pieces_of(labels);
    let slivers = pieces
        .iter()
        .filter(|p| !p.is_solid() && p.touching > 0)
        .count();
    let objects = pieces.iter().filter(|p| p.is_solid()).count();
    if slivers > FEW_SLIVERS && slivers as f64 > SLIVERS_A_PIECE * objects as f64 {
        let zeros = labels.data().iter().filter(|&&v| v == 0).count();
        let hardly = zeros as f64 <= HARDLY * labels.data().len() as f64;
        return Some(match hardly {
            true => NotLabels::Intensities { slivers },
            false => NotLabels::Mixed { slivers, objects },
        });
    }
    let numbers = by_number(&pieces);
    let each_apart = numbers.values().all(|pieces| are_far_apart(pieces));
    (!numbers.is_empty() && numbers.len() <= MOST_CLASSES && each_apart).then_some(
        NotLabels::Mask {
            numbers: numbers.len(),
            objects,
        },
    )
}

/// The solid pieces of every number.
fn by_number(pieces: &[Piece]) -> BTreeMap<u32, Vec<Piece>> {
    let mut numbers: BTreeMap<u32, Vec<Piece>> = BTreeMap::new();
    for piece in pieces.iter().filter(|piece| piece.is_solid()) {
        numbers.entry(piece.number).or_default().push(*piece);
    }
    numbers
}

/// Whether two of the pieces lie further apart than pieces of one object do.
fn are_far_apart(pieces: &[Piece]) -> bool {
    let mut areas: Vec<_> = pieces.iter().map(|piece| piece.area).collect();
    areas.sort_unstable();
    let usual = areas.get(areas.len() / 2).copied().unwrap_or(0);
    let is_object = |piece: &&Piece| piece.area as f64 >= DAB * usual as f64;
    let pieces: Vec<&Piece> = pieces.iter().filter(is_object).collect();
    let far = |a: &Piece, b: &Piece| a.gap(b) > FAR * a.diameter().max(b.diameter());
    pieces
        .iter()
        .enumerate()
        .any(|(i, a)| pieces[i + 1..].iter().any(|b| far(a, b)))
}

/// The numbers whose pieces lie so far apart that they are several objects, as where labels above
/// 255 were saved in 8 bits.
pub fn shared_numbers(labels: &Image<u32>) -> Vec<u32> {
    let numbers = by_number(&pieces_of(labels));
    let shared = numbers
        .into_iter()
        .filter(|(_, pieces)| are_far_apart(pieces));
    shared.map(|(number, _)| number).collect()
}

/// What shapes say of numbers that may be labels or classes; add up a folder's files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NumberShapes {
    /// Numbers but 0 and 255, counted in every file.
    pub numbers: usize,
    /// Those of a single piece.
    pub single: usize,
    /// Those that lie inside another one.
    pub enclosed: usize,
    /// Most numbers in a file.
    pub most: usize,
}

impl NumberShapes {
    /// Of one image.
    pub fn of(image: &Image<u32>) -> Self {
        /// Share of a piece's sides that lie against other numbers, if it lies inside one.
        const ENCLOSED: f64 = 0.8;
        let pieces = pieces_of(image);
        let mut numbers: BTreeMap<u32, Vec<Piece>> = BTreeMap::new();
        for piece in pieces.iter().filter(|piece| piece.number != 255) {
            numbers.entry(piece.number).or_default().push(*piece);
        }
        let is_enclosed = |pieces: &&Vec<Piece>| {
            let open: usize = pieces.iter().map(|p| p.open).sum();
            let touching: usize = pieces.iter().map(|p| p.touching).sum();
            touching as f64 > ENCLOSED * (open + touching) as f64
        };
        Self {
            numbers: numbers.len(),
            single: numbers.values().filter(|pieces| pieces.len() == 1).count(),
            enclosed: numbers.values().filter(is_enclosed).count(),
            most: numbers.len(),
        }
    }

    /// Of two images together.
    pub fn and(self, other: Self) -> Self {
        Self {
            numbers: self.numbers + other.numbers,
            single: self.single + other.single,
            enclosed: self.enclosed + other.enclosed,
            most: self.most.max(other.most),
        }
    }

    /// Whether the numbers are those of objects: several in a file, each one piece, none inside
    /// another. One in twenty may be in pieces.
    pub fn are_instances(&self) -> bool {
        self.most > 1 && self.enclosed == 0 && 20 * self.single >= 19 * self.numbers
    }
}

/// Share of the foreground of a mask that lies between 0 and its most frequent value, in slivers:
/// edges that were smoothed. 0 for a mask of few values, and for one whose other values are strays.
pub fn smoothed_share(mask: &Image<u32>) -> f64 {
    let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
    let mut foreground = 0usize;
    for &value in mask.data().iter().filter(|&&value| value != 0) {
        *counts.entry(value).or_default() += 1;
        foreground += 1;
    }
    let most = counts.values().max().copied().unwrap_or(0);
    let few = counts.len() <= 8;
    if few || matches!(not_labels(mask), None | Some(NotLabels::Mask { .. })) {
        return 0.0;
    }
    (foreground - most) as f64 / foreground as f64
}
