//! Texture: how often grey levels lie side by side (Haralick, Shanmugam & Dinstein 1973).
//!
//! Co-occurrences as `skimage.feature.graycomatrix` counts them, symmetric and normalised, at one
//! distance in four directions (0, 45, 90, 135 degrees); features as `skimage.feature.graycoprops`,
//! averaged over the directions that have pairs at all. Only pairs with both pixels in the object
//! count. Grey levels run from the object's darkest pixel to its brightest, so that the features do
//! not depend on how bright the object is.

use stainfree_image::{Image, Plane};

use super::regions::Regions;
use super::{Block, Column, Family, Part, Scene, Unit};

pub(super) struct Texture;

/// How texture is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextureSettings {
    /// Distance of the two pixels of a pair, in pixels.
    pub distance_px: usize,
    /// Number of grey levels.
    pub levels: usize,
}

impl Default for TextureSettings {
    /// Neighbouring pixels in 32 levels: a nucleus has too few pixels to fill a larger matrix.
    fn default() -> Self {
        Self {
            distance_px: 1,
            levels: 32,
        }
    }
}

const FEATURES: [&str; 7] = [
    "contrast",
    "dissimilarity",
    "homogeneity",
    "ASM",
    "energy",
    "correlation",
    "entropy",
];

impl Family for Texture {
    fn name(&self) -> &'static str {
        "texture"
    }

    fn applies_to(&self, part: Part) -> bool {
        part.is_object()
    }

    fn per_channel(&self) -> bool {
        true
    }

    fn columns(&self) -> Vec<Column> {
        let name = |feature| format!("texture_{feature}");
        FEATURES
            .map(|feature| Column::float(&name(feature), Unit::None))
            .to_vec()
    }

    fn measure(&self, scene: &Scene, part: Part, channel: Option<usize>, block: &mut Block) {
        let (Some(plane), Some(settings)) = (scene.plane(channel), scene.settings.texture) else {
            return;
        };
        let regions = &scene.layer(part).regions;
        let mut grey = Grey::default();
        let mut matrix = Matrix::new(settings.levels);
        for i in 0..regions.len() {
            match plane {
                Plane::U8(image) => grey.draw(image, regions, i, settings.levels),
                Plane::U16(image) => grey.draw(image, regions, i, settings.levels),
                Plane::F32(image) => grey.draw(image, regions, i, settings.levels),
            }
            let found: Vec<_> = directions(settings.distance_px)
                .into_iter()
                .filter_map(|step| matrix.features(&grey, step))
                .collect();
            if found.is_empty() {
                continue;
            }
            for (k, value) in block.row(i).iter_mut().enumerate() {
                *value = found.iter().map(|f| f[k]).sum::<f64>() / found.len() as f64;
            }
        }
    }
}

/// Steps `(dy, dx)` of the four directions; in the diagonal both are rounded, as in scikit-image.
fn directions(distance: usize) -> [(isize, isize); 4] {
    let d = distance as isize;
    let diagonal = (distance as f64 * std::f64::consts::FRAC_1_SQRT_2).round() as isize;
    [(0, d), (diagonal, diagonal), (d, 0), (diagonal, -diagonal)]
}

/// The grey levels of one object in its bounding box.
#[derive(Default)]
struct Grey {
    height: usize,
    width: usize,
    levels: Vec<u16>,
}

/// No pixel of the object.
const OUTSIDE: u16 = u16::MAX;

impl Grey {
    fn draw<T: Copy>(&mut self, image: &Image<T>, regions: &Regions, i: usize, levels: usize)
    where
        f64: From<T>,
    {
        let bounds = regions.bounds(i);
        (self.height, self.width) = (bounds.height(), bounds.width());
        let pixels = regions.runs(i).iter().flat_map(|run| run.of(image));
        let (low, high) = pixels
            .map(|&value| f64::from(value))
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| {
                (low.min(v), high.max(v))
            });
        let level = |value: T| {
            // A flat object has one level; NaN becomes level 0 as well.
            let share = (f64::from(value) - low) * levels as f64 / (high - low);
            (share as usize).min(levels - 1) as u16
        };
        self.levels.clear();
        self.levels.resize(self.height * self.width, OUTSIDE);
        for run in regions.runs(i) {
            let row = (run.y - bounds.top) as usize * self.width;
            let from = row + (run.from - bounds.left) as usize;
            for (target, &value) in self.levels[from..].iter_mut().zip(run.of(image)) {
                *target = level(value);
            }
        }
    }
}

/// A co-occurrence matrix, used again for every object.
struct Matrix {
    levels: usize,
    counts: Vec<u32>,
}

impl Matrix {
    fn new(levels: usize) -> Self {
        Self {
            levels,
            counts: vec![0; levels * levels],
        }
    }

    /// The features in the order of [`FEATURES`]; `None` without any pair.
    fn features(&mut self, grey: &Grey, step: (isize, isize)) -> Option<[f64; FEATURES.len()]> {
        let pairs = self.count(grey, step);
        if pairs == 0 {
            return None;
        }
        // Each pair counts in both orders: the matrix is symmetric, and both marginals are the
        // same.
        let total = f64::from(pairs) * 2.0;
        let n = self.levels;
        let [
            mut contrast,
            mut dissimilarity,
            mut homogeneity,
            mut asm,
            mut entropy,
        ] = [0.0; 5];
        let [mut mean, mut square, mut product] = [0.0; 3];
        for i in 0..n {
            for j in 0..=i {
                let count = self.counts[i * n + j] + self.counts[j * n + i];
                if count == 0 {
                    continue;
                }
                // Off the diagonal (i, j) and (j, i) hold the same; on it the sum has counted the
                // entry twice already.
                let twice = if i == j { 1.0 } else { 2.0 };
                let p = f64::from(count) / total;
                let (a, b, d) = (i as f64, j as f64, (i - j) as f64);
                contrast += twice * p * d * d;
                dissimilarity += twice * p * d;
                homogeneity += twice * p / (1.0 + d * d);
                asm += twice * p * p;
                entropy -= twice * p * p.ln();
                mean += twice * p * (a + b) / 2.0;
                square += twice * p * (a * a + b * b) / 2.0;
                product += twice * p * a * b;
            }
        }
        // Grey levels are small integers, so that little cancels: two levels have at least 1 / (2
        // pairs).
        let (variance, covariance) = (square - mean * mean, product - mean * mean);
        Some([
            contrast,
            dissimilarity,
            homogeneity,
            asm,
            asm.sqrt(),
            // One level only: perfectly predictable, as scikit-image has it.
            if variance < 1e-9 {
                1.0
            } else {
                covariance / variance
            },
            entropy,
        ])
    }

    /// Counts pairs in one order and returns their number.
    fn count(&mut self, grey: &Grey, (dy, dx): (isize, isize)) -> u32 {
        self.counts.fill(0);
        let mut pairs = 0;
        let width = grey.width as isize;
        for y in 0..grey.height as isize - dy {
            for x in (-dx).max(0)..width - dx.max(0) {
                let a = grey.levels[(y * width + x) as usize];
                let b = grey.levels[((y + dy) * width + x + dx) as usize];
                if a != OUTSIDE && b != OUTSIDE {
                    self.counts[usize::from(a) * self.levels + usize::from(b)] += 1;
                    pairs += 1;
                }
            }
        }
        pairs
    }
}
