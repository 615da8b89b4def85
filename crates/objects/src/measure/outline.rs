//! Length of the outline, and holes.
//!
//! - `perimeter` is that of `skimage.measure.perimeter` with neighborhood 4 (Benkrid & Crookes,
//!   "Design and FPGA Implementation of a Perimeter Estimator"): a line through the centres of the
//!   border pixels, each counted by how its border neighbours lie. It is shorter than the outline
//!   of the pixels' edges.
//! - `perimeter_crofton` is that of `skimage.measure.perimeter_crofton` with 4 directions:
//!   intersections with lines of four directions (Rivollier 2010). Less biased for round objects.
//! - `euler_number`: pieces minus holes, 8-connected, from 2 x 2 windows (Ohser, Nagel & Schladitz
//!   2002).

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_PI_2, FRAC_PI_4, SQRT_2};

use super::regions::Regions;
use super::{Block, Column, Family, Part, Scene, Unit};

pub(super) struct Outline;

impl Family for Outline {
    fn name(&self) -> &'static str {
        "outline"
    }

    fn applies_to(&self, part: Part) -> bool {
        part.is_object()
    }

    fn columns(&self) -> Vec<Column> {
        vec![
            Column::float("perimeter", Unit::Length),
            Column::float("perimeter_crofton", Unit::Length),
            Column::integer("euler_number", Unit::None),
        ]
    }

    fn measure(&self, scene: &Scene, part: Part, _channel: Option<usize>, block: &mut Block) {
        let regions = &scene.layer(part).regions;
        let mut mask = Mask::default();
        for i in 0..regions.len() {
            mask.draw(regions, i);
            let windows = mask.windows();
            block.row(i).copy_from_slice(&[
                mask.perimeter(),
                perimeter_crofton(&windows),
                euler_number(&windows),
            ]);
        }
    }
}

/// One object in its bounding box with a background rim of one pixel; the memory is used again.
#[derive(Default)]
struct Mask {
    width: usize,
    inside: Vec<u8>,
    border: Vec<u8>,
}

impl Mask {
    fn draw(&mut self, regions: &Regions, i: usize) {
        let bounds = regions.bounds(i);
        self.width = bounds.width() + 2;
        self.inside.clear();
        self.inside.resize(self.width * (bounds.height() + 2), 0);
        for run in regions.runs(i) {
            let row = (run.y - bounds.top + 1) as usize * self.width + 1;
            let (from, to) = (run.from - bounds.left, run.to - bounds.left);
            self.inside[row + from as usize..row + to as usize].fill(1);
        }
    }

    /// Border pixels by their border neighbours. The rim of the image counts as background.
    fn perimeter(&mut self) -> f64 {
        let (w, inside) = (self.width, &self.inside);
        let end = inside.len() - w;
        self.border.clear();
        self.border.resize(inside.len(), 0);
        for (k, border) in self.border[w..end].iter_mut().enumerate() {
            let k = k + w;
            let all = inside[k - 1] & inside[k + 1] & inside[k - w] & inside[k + w];
            *border = inside[k] & !all & 1;
        }
        let border = &self.border;
        // Counted first and weighted after: integers do not depend on the order.
        let [mut straight, mut diagonal, mut mixed] = [0u32; 3];
        for k in w..end {
            if border[k] == 0 {
                continue;
            }
            let edges = border[k - 1] + border[k + 1] + border[k - w] + border[k + w];
            let corners =
                border[k - w - 1] + border[k - w + 1] + border[k + w - 1] + border[k + w + 1];
            match (edges, corners) {
                (2 | 3, 0..=2) => straight += 1,
                (0, 2) | (1, 3) => diagonal += 1,
                (1, 1 | 2) => mixed += 1,
                _ => {}
            }
        }
        f64::from(straight) + f64::from(diagonal) * SQRT_2 + f64::from(mixed) * (1.0 + SQRT_2) / 2.0
    }

    /// How often each 2 x 2 window occurs: bit 0 is its lower right pixel, 1 upper right, 2 lower
    /// left, 3 upper left.
    fn windows(&self) -> [u32; 16] {
        let mut counts = [0u32; 16];
        let w = self.width;
        for (above, below) in self
            .inside
            .chunks_exact(w)
            .zip(self.inside[w..].chunks_exact(w))
        {
            let mut left = 0;
            for (&a, &b) in above[1..].iter().zip(&below[1..]) {
                let right = b | a << 1;
                counts[usize::from(right | left << 2)] += 1;
                left = right;
            }
        }
        counts
    }
}

fn euler_number(windows: &[u32; 16]) -> f64 {
    f64::from(windows[8]) - f64::from(windows[6]) - f64::from(windows[14])
}

fn perimeter_crofton(windows: &[u32; 16]) -> f64 {
    let count = |numbers: &[usize]| f64::from(numbers.iter().map(|&n| windows[n]).sum::<u32>());
    FRAC_PI_4 * (1.0 + FRAC_1_SQRT_2) * count(&[1, 5])
        + FRAC_PI_4 * FRAC_1_SQRT_2 * count(&[2, 7, 10, 11])
        + FRAC_PI_2 * FRAC_1_SQRT_2 * count(&[3])
        + FRAC_PI_4 * count(&[8, 12])
        + FRAC_PI_2 * count(&[9, 13])
}
