//! `flow`: in which direction the middle of the own nucleus lies, as a vector of length 1 within
//! nuclei and 0 outside.
//!
//! Heat is put into the middle of every nucleus and spreads within it; the flow is the direction in
//! which the logarithm of the warmth rises. It leads around bends to the middle, and changes
//! abruptly from one nucleus to the next, however they touch. Source: Stringer et al. (2021),
//! "Cellpose: a generalist algorithm for cellular segmentation", Nature Methods 18:100.
//!
//! The middle is the pixel of the nucleus that is nearest to the medians of its rows and columns;
//! heat spreads for as many steps as the nucleus' frame has pixels around (1000 at most), to the
//! mean of 3 x 3 pixels, outside of the nucleus none. Of a nucleus that the image's rim or unknown
//! pixels cut, the middle is that of what is seen.

use super::{Link, OutputKind, OutputLoss, Values, frames, is_object};
use rayon::prelude::*;
use stainfree_image::Image;
use std::ops::Range;

pub(super) const KIND: OutputKind = OutputKind {
    name: "flow",
    summary: "direction to the middle of the nucleus, down and to the right",
    channels: 2,
    link: Link::Linear,
    values: Values::Direction,
    loss: OutputLoss::Squared,
    weight: 2.0,
    truth,
};

fn truth(labels: &Image<u32>) -> Vec<Image<f32>> {
    let (height, width) = labels.size();
    let of_objects: Vec<_> = frames(labels)
        .into_par_iter()
        .map(|(label, frame)| Heated::new(labels, label, &frame).flows())
        .collect();
    let mut flows = vec![Image::filled(height, width, 0.0); 2];
    for (y, x, direction) in of_objects.into_iter().flatten() {
        for (flow, part) in flows.iter_mut().zip(direction) {
            flow.data_mut()[y * width + x] = part;
        }
    }
    flows
}

/// Steps at most: as many as nuclei of 250 pixels take. What is larger is no nucleus, and one label
/// over a whole image would take minutes.
const MOST_STEPS: usize = 1000;

/// The warmth of one object, in its frame and a rim of one pixel around it.
struct Heated {
    corner: [usize; 2],
    width: usize,
    inside: Vec<bool>,
    warmth: Vec<f64>,
}

impl Heated {
    fn new(labels: &Image<u32>, label: u32, [rows, columns]: &[Range<usize>; 2]) -> Self {
        debug_assert!(is_object(label), "an object");
        let width = columns.len() + 2;
        let mut inside = vec![false; (rows.len() + 2) * width];
        for (i, y) in rows.clone().enumerate() {
            for (j, x) in columns.clone().enumerate() {
                inside[(i + 1) * width + j + 1] = labels.get(y, x) == label;
            }
        }
        let mut heated = Self {
            corner: [rows.start, columns.start],
            width,
            warmth: vec![0.0; inside.len()],
            inside,
        };
        heated.spread((2 * (rows.len() + columns.len())).min(MOST_STEPS));
        heated
    }

    /// The pixel that is nearest to the medians of rows and columns; the first of several.
    fn middle(&self) -> usize {
        let pixels = || (0..self.inside.len()).filter(|&i| self.inside[i]);
        let median = |of: &dyn Fn(usize) -> usize| {
            let mut all: Vec<usize> = pixels().map(of).collect();
            all.sort_unstable();
            let half = all.len() / 2;
            match all.len() % 2 {
                1 => all[half] as f64,
                _ => (all[half - 1] + all[half]) as f64 / 2.0,
            }
        };
        let (y, x) = (median(&|i| i / self.width), median(&|i| i % self.width));
        let away = |i: usize| {
            let (dy, dx) = ((i / self.width) as f64 - y, (i % self.width) as f64 - x);
            dy * dy + dx * dx
        };
        let nearest = pixels().min_by(|&a, &b| away(a).total_cmp(&away(b)));
        nearest.unwrap_or_default()
    }

    fn spread(&mut self, steps: usize) {
        let (width, middle) = (self.width, self.middle());
        let pixels: Vec<usize> = (0..self.inside.len()).filter(|&i| self.inside[i]).collect();
        let mut next = self.warmth.clone();
        for _ in 0..steps {
            self.warmth[middle] += 1.0;
            for &i in &pixels {
                let row = |i: usize| self.warmth[i - 1] + self.warmth[i] + self.warmth[i + 1];
                next[i] = (row(i - width) + row(i) + row(i + width)) / 9.0;
            }
            std::mem::swap(&mut self.warmth, &mut next);
        }
    }

    /// Row, column and direction of every pixel.
    fn flows(&self) -> Vec<(usize, usize, [f32; 2])> {
        let level = |i: usize| self.warmth[i].ln_1p();
        let pixels = (0..self.inside.len()).filter(|&i| self.inside[i]);
        let flow = |i: usize| {
            let down = level(i + self.width) - level(i - self.width);
            let right = level(i + 1) - level(i - 1);
            let length = down.hypot(right).max(f64::MIN_POSITIVE);
            let direction = [down, right].map(|part| (part / length) as f32);
            let (y, x) = (i / self.width - 1, i % self.width - 1);
            (self.corner[0] + y, self.corner[1] + x, direction)
        };
        pixels.map(flow).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_leads_to_the_middle_of_its_own_nucleus() {
        // Two discs side by side that touch.
        let labels = Image::from_fn(40, 64, |y, x| {
            let inside = |cx: f64| (y as f64 - 20.0).hypot(x as f64 - cx) < 13.0;
            if inside(19.0) && x < 32 {
                1
            } else {
                u32::from(inside(44.0)) * 2
            }
        });
        let flows = truth(&labels);
        for (y, x) in (0..40).flat_map(|y| (0..64).map(move |x| (y, x))) {
            let [down, right] = [0, 1].map(|c| f64::from(flows[c].get(y, x)));
            let middle = match labels.get(y, x) {
                0 => {
                    assert_eq!((down, right), (0.0, 0.0));
                    continue;
                }
                1 => 19.0,
                _ => 44.0,
            };
            let (dy, dx) = (20.0 - y as f64, middle - x as f64);
            let away = dy.hypot(dx);
            if away > 2.0 {
                assert!((down.hypot(right) - 1.0).abs() < 1e-5);
                let cosine = (dy * down + dx * right) / away;
                assert!(cosine > 0.7, "{cosine} at {y} {x}");
            }
        }
        // Left and right of the line between them it points apart.
        assert!(flows[1].get(20, 30) < -0.9 && flows[1].get(20, 34) > 0.9);
    }

    #[test]
    fn a_speck_has_no_direction_and_is_no_number_less() {
        let flows = truth(&Image::new(1, 3, vec![0, 5, 0]));
        assert!(flows.iter().all(|flow| flow.data() == [0.0; 3]));
    }
}
