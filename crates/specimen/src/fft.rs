//! Two-dimensional Fourier transforms of square images, two real images at a time.
//!
//! A pair of real images `a`, `b` travels as the complex image `a + i b`. Linear filters with real,
//! even kernels act on the pair at once; where `a` and `b` need different filters,
//! [`Spectrum::pair`] separates them by the symmetry of a real image's spectrum. Rows are
//! transformed in bands of fixed height, so the result does not depend on the thread count.

use std::sync::Arc;

use rayon::prelude::*;
use rustfft::{Fft, FftPlanner, num_complex::Complex32};

/// Rows in a band of work.
const BAND: usize = 16;

/// The smallest length not below `least` whose only prime factors are 2, 3 and 5, and that is a
/// multiple of 16: such lengths transform fastest.
pub(crate) fn fast_length(least: usize) -> usize {
    let smooth = |mut n: usize| {
        for p in [2, 3, 5] {
            while n.is_multiple_of(p) {
                n /= p;
            }
        }
        n == 1
    };
    let mut n = least.max(16).next_multiple_of(16);
    while !smooth(n) {
        n += 16;
    }
    n
}

/// Transforms of one side length.
pub(crate) struct Transform {
    side: usize,
    forward: Arc<dyn Fft<f32>>,
    inverse: Arc<dyn Fft<f32>>,
}

/// The spectrum of a pair of real images, stored with the horizontal frequency outside:
/// `data[kx * side + ky]`, frequencies in the usual wrapped order.
pub(crate) struct Spectrum {
    side: usize,
    data: Vec<Complex32>,
}

impl Transform {
    pub(crate) fn new(side: usize) -> Self {
        let mut planner = FftPlanner::new();
        Transform {
            side,
            forward: planner.plan_fft_forward(side),
            inverse: planner.plan_fft_inverse(side),
        }
    }

    /// Height and width of the images.
    pub(crate) fn side(&self) -> usize {
        self.side
    }

    /// The spectrum of `a + i b`; both are `[side, side]`.
    pub(crate) fn forward(&self, a: &[f32], b: &[f32]) -> Spectrum {
        let mut data = vec![Complex32::default(); self.side * self.side];
        data.par_chunks_mut(self.side * BAND)
            .zip(
                a.par_chunks(self.side * BAND)
                    .zip(b.par_chunks(self.side * BAND)),
            )
            .for_each(|(rows, (a, b))| {
                for ((out, &re), &im) in rows.iter_mut().zip(a).zip(b) {
                    *out = Complex32::new(re, im);
                }
            });
        let data = self.rows_then_columns(data, &self.forward);
        Spectrum {
            side: self.side,
            data,
        }
    }

    /// The complex image of a spectrum, `[side, side]`: real and imaginary part are the pair.
    pub(crate) fn inverse(&self, spectrum: Spectrum) -> Vec<Complex32> {
        let mut data = self.rows_then_columns(spectrum.data, &self.inverse);
        let scale = 1.0 / (self.side * self.side) as f32;
        data.par_chunks_mut(self.side * BAND).for_each(|rows| {
            for value in rows {
                *value *= scale;
            }
        });
        data
    }

    /// Transforms rows, transposes, transforms rows again; the result stays transposed.
    fn rows_then_columns(&self, data: Vec<Complex32>, fft: &Arc<dyn Fft<f32>>) -> Vec<Complex32> {
        let side = self.side;
        let rows = |data: &mut [Complex32]| {
            data.par_chunks_mut(side * BAND).for_each(|rows| {
                let mut scratch = vec![Complex32::default(); fft.get_inplace_scratch_len()];
                fft.process_with_scratch(rows, &mut scratch);
            });
        };
        let mut data = data;
        rows(&mut data);
        let mut turned = vec![Complex32::default(); data.len()];
        turned
            .par_chunks_mut(side * BAND)
            .enumerate()
            .for_each(|(band, out)| {
                // Square blocks keep the strided reads in cache.
                for y0 in (0..side).step_by(BAND) {
                    for i in 0..out.len() / side {
                        let x = band * BAND + i;
                        for y in y0..(y0 + BAND).min(side) {
                            out[i * side + y] = data[y * side + x];
                        }
                    }
                }
            });
        drop(data);
        rows(&mut turned);
        turned
    }
}

impl Spectrum {
    /// A new spectrum computed from the spectra of the two real images at every frequency.
    ///
    /// `combine(kx, ky, a, b)` gets signed frequency indices and the values of both spectra, and
    /// returns the spectra of the two images of the new pair.
    pub(crate) fn pair(
        &self,
        combine: impl Fn(i32, i32, Complex32, Complex32) -> (Complex32, Complex32) + Sync,
    ) -> Spectrum {
        let side = self.side;
        let signed = |k: usize| {
            if k > side / 2 {
                k as i32 - side as i32
            } else {
                k as i32
            }
        };
        let mut data = vec![Complex32::default(); self.data.len()];
        data.par_chunks_mut(side).enumerate().for_each(|(kx, row)| {
            let mirrored = ((side - kx) % side) * side;
            let (here, there) = (
                &self.data[kx * side..][..side],
                &self.data[mirrored..][..side],
            );
            for (ky, out) in row.iter_mut().enumerate() {
                let (z, w) = (here[ky], there[(side - ky) % side].conj());
                let a = (z + w) * 0.5;
                let b = (z - w) * Complex32::new(0.0, -0.5);
                let (a, b) = combine(signed(kx), signed(ky), a, b);
                *out = a + Complex32::new(-b.im, b.re);
            }
        });
        Spectrum { side, data }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fast_lengths_are_smooth_multiples_of_16() {
        for (least, length) in [(1, 16), (2304, 2304), (2305, 2400), (384, 384), (390, 400)] {
            assert_eq!(fast_length(least), length);
        }
    }

    #[test]
    fn a_pair_comes_back_with_its_own_filters() {
        // Odd in both directions, so that a mixed-up axis or sign would show.
        let side = 48;
        let a: Vec<f32> = (0..side * side)
            .map(|i| ((i * 7919) % 101) as f32)
            .collect();
        let b: Vec<f32> = (0..side * side)
            .map(|i| ((i * 104_729) % 89) as f32)
            .collect();
        let transform = Transform::new(side);
        let spectrum = transform.forward(&a, &b);
        // a doubled; b moved by 3 rows and 5 columns.
        let moved = spectrum.pair(|kx, ky, a, b| {
            let turn = -std::f32::consts::TAU * (3.0 * ky as f32 + 5.0 * kx as f32) / side as f32;
            (a * 2.0, b * Complex32::from_polar(1.0, turn))
        });
        let image = transform.inverse(moved);
        for y in 0..side {
            for x in 0..side {
                let value = image[y * side + x];
                assert!((value.re - 2.0 * a[y * side + x]).abs() < 1e-3);
                let from = (y + side - 3) % side * side + (x + side - 5) % side;
                assert!((value.im - b[from]).abs() < 1e-3);
            }
        }
    }
}
