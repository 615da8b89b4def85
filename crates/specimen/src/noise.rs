//! Smooth random textures: a lattice of random numbers under a quadratic B-spline.

use crate::rng::Key;

/// A stationary texture of mean 0 and variance 1 whose grain is about `2 * scale` pixels.
///
/// The quadratic B-spline spreads every lattice value over three cells, so the texture has a
/// continuous slope and no visible lattice.
#[derive(Debug)]
pub(crate) struct Noise {
    lattice: Vec<f32>,
    columns: usize,
    per_pixel: f32,
}

/// Mean over the cell of the sum of squared weights of the quadratic B-spline, per axis: dividing
/// by it makes the two-dimensional variance one.
const SPLINE_POWER: f32 = 11.0 / 20.0;

impl Noise {
    /// A texture for coordinates in `[0, side]`.
    pub(crate) fn new(key: Key, side: usize, scale: f32) -> Self {
        let columns = (side as f32 / scale).ceil() as usize + 4;
        // Uniform numbers of variance 1, divided by the power the spline takes away.
        let reach = 3.0_f32.sqrt() / SPLINE_POWER;
        let lattice = (0..columns * columns)
            .map(|i| {
                let unit = (key.bits(i as u64) >> 40) as f32 * (1.0 / (1u32 << 24) as f32);
                (2.0 * unit - 1.0) * reach
            })
            .collect();
        Noise {
            lattice,
            columns,
            per_pixel: 1.0 / scale,
        }
    }

    /// Lattice cell and the three spline weights at a coordinate.
    fn weights(&self, at: f32) -> (usize, [f32; 3]) {
        let place = at * self.per_pixel;
        let cell = place as usize;
        let t = place - cell as f32;
        (
            cell,
            [
                0.5 * (1.0 - t) * (1.0 - t),
                0.5 + t * (1.0 - t),
                0.5 * t * t,
            ],
        )
    }

    /// Adds `amplitude` times the texture of row `y`, columns `0..out.len()`, to `out`.
    pub(crate) fn add_row(&self, y: f32, amplitude: f32, out: &mut [f32]) {
        let (cell, w) = self.weights(y);
        let rows: [&[f32]; 3] =
            std::array::from_fn(|i| &self.lattice[(cell + i) * self.columns..][..self.columns]);
        let blended: Vec<f32> = (0..self.columns)
            .map(|x| amplitude * (w[0] * rows[0][x] + w[1] * rows[1][x] + w[2] * rows[2][x]))
            .collect();
        for (x, value) in out.iter_mut().enumerate() {
            let (cell, w) = self.weights(x as f32);
            let near = &blended[cell..cell + 3];
            *value += w[0] * near[0] + w[1] * near[1] + w[2] * near[2];
        }
    }

    /// The texture at one point; outside `[0, side]` it continues with its edge value.
    pub(crate) fn at(&self, y: f32, x: f32) -> f32 {
        let limit = (self.columns - 4) as f32 / self.per_pixel;
        let (row, v) = self.weights(y.clamp(0.0, limit));
        let (column, w) = self.weights(x.clamp(0.0, limit));
        let mut sum = 0.0;
        for i in 0..3 {
            for j in 0..3 {
                sum += v[i] * w[j] * self.lattice[(row + i) * self.columns + column + j];
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texture_has_unit_variance_and_both_readings_agree() {
        let side = 256;
        let noise = Noise::new(Key::new(5), side, 2.7);
        let (mut sum, mut squares) = (0.0, 0.0);
        for y in 0..side {
            let mut row = vec![0.0; side];
            noise.add_row(y as f32, 1.0, &mut row);
            for (x, &value) in row.iter().enumerate() {
                sum += f64::from(value);
                squares += f64::from(value * value);
                assert!((value - noise.at(y as f32, x as f32)).abs() < 1e-5);
            }
        }
        let n = (side * side) as f64;
        // About 9000 independent lattice values: 4 standard errors are 0.06.
        assert!((sum / n).abs() < 0.05 && (squares / n - 1.0).abs() < 0.06);
    }
}
