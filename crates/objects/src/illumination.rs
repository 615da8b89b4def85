//! The flat field of a stain: how the light of a channel falls off over the field, from many
//! fields.
//!
//! Uneven light multiplies background and signal alike. Cells lie elsewhere in every field, the
//! light does not: so one smooth surface for the plate and one level for each field are laid under
//! the logarithms of all fields at once, at their low quantile. It is the background that the
//! surface follows, or the dim parts of the cells where a plate is full. The surface is a
//! polynomial, so a handful of fields is enough.
//!
//! Source: quantile regression (Koenker & Bassett 1978) by iteratively reweighted least squares.
//! The model, one profile times a level per field, is that of retrospective shading correction
//! (Smith et al. 2015, "CIDRE"; Peng et al. 2017, "BaSiC"). Not here: dust, and what a camera adds
//! in the dark, which must be given.

use crate::background::block_means;
use serde::{Deserialize, Serialize};
use stainfree_image::Image;

/// Blocks on the longer side of a coarse field: finer than any light falls off, coarser than noise.
const GRID: usize = 64;
/// The share of the blocks of a field that may be darker than its background.
const QUANTILE: f64 = 0.05;
/// Rounds of reweighting; the surface moves by less than 1e-3 after twenty.
const ROUNDS: usize = 40;
/// Fields below this number say nothing: cells could be taken for light.
const LEAST_FIELDS: usize = 4;
/// Ridge as a share of the mean diagonal.
const RIDGE: f64 = 1e-3;

/// A smooth flat field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FlatField {
    degree: usize,
    /// Of the logarithm, in Legendre polynomials over the field, without the constant.
    coefficients: Vec<f64>,
    /// What a dark image shows; it lies below the light and is not divided.
    pub camera_offset: f64,
    /// Median over the fields of the background, in the stain's unit above the offset.
    pub background: f64,
    /// Fields that it was estimated from.
    pub fields: usize,
    /// Correlation of the estimates from the even and from the odd fields.
    pub agreement: f64,
}

/// A field on the coarse grid that [`FlatField::estimate`] works on.
pub fn coarse(stain: &Image<f32>) -> Image<f32> {
    let longer = stain.height().max(stain.width());
    block_means(stain, longer.div_ceil(GRID).max(1))
}

impl FlatField {
    /// The flat field of a channel from coarse fields of one size; `None` from fewer than 4.
    ///
    /// `camera_offset` is what a dark image shows. Left at 0 where it is not, the estimate is too
    /// even, but still makes the background even.
    pub fn estimate(fields: &[Image<f32>], camera_offset: f64) -> Option<Self> {
        let size = fields.first()?.size();
        if fields.len() < LEAST_FIELDS || fields.iter().any(|field| field.size() != size) {
            return None;
        }
        let degree = match fields.len() {
            0..=7 => 2,
            8..=19 => 3,
            _ => 4,
        };
        let logs: Vec<Vec<f64>> = fields
            .iter()
            .map(|field| {
                let above = |&v: &f32| (f64::from(v) - camera_offset).max(1e-3).ln();
                field.data().iter().map(above).collect()
            })
            .collect();
        let basis = basis(size.0, size.1, degree);
        let fit = |chosen: &[&[f64]]| quantile_surface(chosen, &basis);
        let all: Vec<&[f64]> = logs.iter().map(Vec::as_slice).collect();
        let half =
            |odd: usize| -> Vec<&[f64]> { all.iter().skip(odd).step_by(2).copied().collect() };
        let (coefficients, mut levels) = fit(&all);
        levels.sort_by(f64::total_cmp);
        let surface = |w: &[f64]| -> Vec<f64> { basis.iter().map(|row| dot(row, w)).collect() };
        let (even, odd) = (fit(&half(0)).0, fit(&half(1)).0);
        Some(Self {
            degree,
            agreement: correlation(&surface(&even), &surface(&odd)),
            coefficients,
            camera_offset,
            background: levels[levels.len() / 2].exp(),
            fields: fields.len(),
        })
    }

    /// The relative light of every pixel; its mean is 1.
    pub fn image(&self, height: usize, width: usize) -> Image<f32> {
        let (rows, columns) = (legendre(height, self.degree), legendre(width, self.degree));
        let mut sum = 0.0f64;
        let mut light = Image::from_fn(height, width, |y, x| {
            let mut k = 0;
            let mut log = 0.0;
            for i in 0..=self.degree {
                for j in 0..=self.degree - i {
                    if i + j > 0 {
                        log += self.coefficients[k] * rows[y][i] * columns[x][j];
                        k += 1;
                    }
                }
            }
            let value = log.exp();
            sum += value;
            value as f32
        });
        let scale = ((height * width) as f64 / sum) as f32;
        light.data_mut().iter_mut().for_each(|v| *v *= scale);
        light
    }

    /// Standard deviation of the relative light over the field: 0 is even.
    pub fn unevenness(&self) -> f64 {
        let light = self.image(GRID, GRID);
        let n = light.data().len() as f64;
        let squares = light.data().iter().map(|&v| f64::from(v - 1.0).powi(2));
        (squares.sum::<f64>() / n).sqrt()
    }

    /// `stain` under even light: every pixel above the camera's offset over the light there.
    ///
    /// Pixels at the camera's ceiling are treated like any other, so they no longer share one
    /// value; whoever counts them looks at the stain as it was read. (Lifted to one value they
    /// would stand out of their surroundings like a step, up to twice as high as they are where the
    /// light is good.)
    pub fn correct(&self, stain: &Image<f32>) -> Image<f32> {
        let offset = self.camera_offset as f32;
        let mut even = self.image(stain.height(), stain.width());
        for (e, &v) in even.data_mut().iter_mut().zip(stain.data()) {
            *e = (v - offset) / *e + offset;
        }
        even
    }
}

/// Legendre polynomials 0..=degree at `count` evenly spread places from -1 to 1.
fn legendre(count: usize, degree: usize) -> Vec<Vec<f64>> {
    let at = |i: usize| {
        let t = 2.0 * (i as f64 + 0.5) / count as f64 - 1.0;
        let mut p = vec![1.0, t];
        for n in 1..degree {
            let n_f = n as f64;
            p.push(((2.0 * n_f + 1.0) * t * p[n] - n_f * p[n - 1]) / (n_f + 1.0));
        }
        p
    };
    (0..count).map(at).collect()
}

/// Products of the polynomials up to `degree` together, without the constant, at every pixel.
fn basis(height: usize, width: usize, degree: usize) -> Vec<Vec<f64>> {
    let (rows, columns) = (legendre(height, degree), legendre(width, degree));
    let mut basis = Vec::with_capacity(height * width);
    for row in &rows {
        for column in &columns {
            let mut products = Vec::new();
            for i in 0..=degree {
                for j in 0..=degree - i {
                    if i + j > 0 {
                        products.push(row[i] * column[j]);
                    }
                }
            }
            basis.push(products);
        }
    }
    basis
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Coefficients of the surface at the low quantile of all fields, and the level of each.
fn quantile_surface(fields: &[&[f64]], basis: &[Vec<f64>]) -> (Vec<f64>, Vec<f64>) {
    let terms = basis[0].len();
    let mut levels: Vec<f64> = fields
        .iter()
        .map(|field| {
            let mut sorted = field.to_vec();
            sorted.sort_by(f64::total_cmp);
            sorted[(QUANTILE * (sorted.len() - 1) as f64) as usize]
        })
        .collect();
    let mut w = vec![0.0; terms];
    for _ in 0..ROUNDS {
        let surface: Vec<f64> = basis.iter().map(|row| dot(row, &w)).collect();
        let softness = {
            let mut sizes: Vec<f64> = fields
                .iter()
                .zip(&levels)
                .flat_map(|(field, level)| {
                    field
                        .iter()
                        .zip(&surface)
                        .map(move |(v, s)| (v - level - s).abs())
                })
                .collect();
            let middle = sizes.len() / 2;
            // A tenth of the median keeps the weights finite without moving the quantile.
            (0.1 * *sizes.select_nth_unstable_by(middle, f64::total_cmp).1).max(1e-4)
        };
        let mut normal = vec![0.0; terms * terms];
        let mut right = vec![0.0; terms];
        let mut means = Vec::with_capacity(fields.len());
        for (field, level) in fields.iter().zip(&levels) {
            let (mut total, mut mean_v) = (0.0, 0.0);
            let mut mean_p = vec![0.0; terms];
            for ((&v, s), p) in field.iter().zip(&surface).zip(basis) {
                let residual = v - level - s;
                let side = if residual > 0.0 {
                    QUANTILE
                } else {
                    1.0 - QUANTILE
                };
                let weight = side / residual.abs().max(softness);
                total += weight;
                mean_v += weight * v;
                for i in 0..terms {
                    let wp = weight * p[i];
                    mean_p[i] += wp;
                    right[i] += wp * v;
                    for j in 0..=i {
                        normal[i * terms + j] += wp * p[j];
                    }
                }
            }
            mean_v /= total;
            mean_p.iter_mut().for_each(|m| *m /= total);
            for i in 0..terms {
                right[i] -= total * mean_p[i] * mean_v;
                for j in 0..=i {
                    normal[i * terms + j] -= total * mean_p[i] * mean_p[j];
                }
            }
            means.push((mean_v, mean_p));
        }
        w = solve(&normal, &right);
        for (level, (v, p)) in levels.iter_mut().zip(&means) {
            *level = v - dot(p, &w);
        }
    }
    (w, levels)
}

/// Solves the symmetric system whose lower triangle is `normal`, with a ridge, by Cholesky.
fn solve(normal: &[f64], right: &[f64]) -> Vec<f64> {
    let n = right.len();
    let ridge = RIDGE * (0..n).map(|i| normal[i * n + i]).sum::<f64>() / n as f64;
    let mut l = vec![0.0; n * n];
    for i in 0..n {
        for j in 0..=i {
            let inner: f64 = (0..j).map(|k| l[i * n + k] * l[j * n + k]).sum();
            let value = normal[i * n + j] - inner;
            l[i * n + j] = if i == j {
                (value + ridge).max(f64::MIN_POSITIVE).sqrt()
            } else {
                value / l[j * n + j]
            };
        }
    }
    let mut z = right.to_vec();
    for i in 0..n {
        let inner: f64 = (0..i).map(|k| l[i * n + k] * z[k]).sum();
        z[i] = (z[i] - inner) / l[i * n + i];
    }
    for i in (0..n).rev() {
        let inner: f64 = (i + 1..n).map(|k| l[k * n + i] * z[k]).sum();
        z[i] = (z[i] - inner) / l[i * n + i];
    }
    z
}

/// Pearson's; 0 where one of the two does not vary.
fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let n = a.len() as f64;
    let (ma, mb) = (a.iter().sum::<f64>() / n, b.iter().sum::<f64>() / n);
    let (mut aa, mut bb, mut ab) = (0.0, 0.0, 0.0);
    for (a, b) in a.iter().zip(b) {
        aa += (a - ma).powi(2);
        bb += (b - mb).powi(2);
        ab += (a - ma) * (b - mb);
    }
    let scale = (aa * bb).sqrt();
    if scale > 0.0 { ab / scale } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bright squares on a background under a bowl of light, elsewhere in every field.
    fn field(seed: usize, light: &Image<f32>) -> Image<f32> {
        Image::from_fn(light.height(), light.width(), |y, x| {
            let cell = ((y / 20) * 7 + (x / 20) * 13 + seed * 5) % 10 < 6;
            light.get(y, x) * if cell { 900.0 } else { 300.0 } + 100.0
        })
    }

    #[test]
    fn the_light_is_found_under_cells_that_cover_most_of_every_field() {
        let light = Image::from_fn(240, 320, |y, x| {
            let (v, u) = (y as f32 / 120.0 - 1.0, x as f32 / 160.0 - 1.2);
            (0.1 * v - 0.25 * (u * u + v * v)).exp()
        });
        let fields: Vec<Image<f32>> = (0..6).map(|i| coarse(&field(i, &light))).collect();
        let found = FlatField::estimate(&fields, 100.0).unwrap();
        let (flat, mean) = (
            found.image(240, 320),
            light.data().iter().sum::<f32>() / 76_800.0,
        );
        let worst = flat
            .data()
            .iter()
            .zip(light.data())
            .map(|(f, l)| (f - l / mean).abs())
            .fold(0.0, f32::max);
        // Blocks that lie half on a cell blur the quantile.
        assert!(worst < 0.03, "{worst}");
        assert!(found.agreement > 0.99, "{found:?}");
        assert!((found.background / (300.0 * f64::from(mean)) - 1.0).abs() < 0.05);
        let even = found.correct(&field(1, &light));
        let grounds = [(5, 25), (230, 310), (120, 160)].map(|(y, x)| even.get(y, x) - 100.0);
        let levels = [300.0 * mean, 900.0 * mean];
        assert!(
            grounds
                .iter()
                .all(|g| levels.iter().any(|l| (g / l - 1.0).abs() < 0.05)),
            "{grounds:?}"
        );
        assert_eq!(FlatField::estimate(&fields[..3], 0.0), None);
    }

    #[test]
    fn a_saturated_pixel_does_not_rise_above_its_even_neighbours() {
        let light = Image::from_fn(64, 64, |_, x| 1.0 - 0.004 * x as f32);
        let fields: Vec<Image<f32>> = (0..4).map(|i| coarse(&field(i, &light))).collect();
        let flat = FlatField::estimate(&fields, 0.0).unwrap();
        // A ceiling of 1000 cuts what lies on the left; on the right the light is weaker, and a
        // pixel just reaches it.
        let mut stain = light.map(|&l| (1100.0 * l).min(1000.0));
        *stain.get_mut(3, 60) = 1000.0;
        let even = flat.correct(&stain);
        let found = flat.image(64, 64);
        for x in [0, 10, 20, 40, 60] {
            let expected = stain.get(3, x) / found.get(3, x);
            assert_eq!(even.get(3, x), expected, "column {x}");
        }
    }
}
