//! Squeeze-and-excitation: every channel times a gate that two small layers make of the means of
//! all channels.
//!
//! Hu et al. (2018), "Squeeze-and-Excitation Networks", with swish between the layers as in
//! EfficientNet (Tan & Le 2019). For one image, with `m` the mean of every channel over all pixels:
//!
//! 1. `h = swish(R m + r)`, a few values;
//! 2. `g = sigmoid(E h + e)`, one gate a channel;
//! 3. `y = g x`.
//!
//! Both matrices are kept as `[squeezed][channel]`, channels filled up to whole blocks: the first
//! layer is a dot product a row, the second a weighted sum of rows, and so are their gradients the
//! other way round. Sums over pixels run along a row in f32 and over rows in f64, in order (see
//! `pass`), so means may be gathered band by band.

mod lanes;

use crate::blocked::{Blocked, LANES, Rows, blocks};
use crate::elementwise::RowSums;
use crate::isa::Isa;
use crate::link::sigmoid;
use crate::pass::Pass;
use crate::workers::Workers;
use lanes::{AddOuter, AddRows, Affine, Dots, Products, Scale, Sigmoids};
use std::ops::Range;

/// The two layers for so many channels.
#[derive(Clone, Copy, Debug)]
pub struct Excite {
    isa: Isa,
    channels: usize,
    squeezed: usize,
}

/// The trained arrays, as [`Excite::places`] lays them out; biases are filled up to whole blocks.
#[derive(Clone, Copy)]
pub struct ExciteWeights<T> {
    /// `[squeezed][channel]`.
    pub reduce: T,
    /// `[squeezed]`.
    pub reduce_bias: T,
    /// `[squeezed][channel]`, turned from the `[channel][squeezed]` of files.
    pub expand: T,
    /// `[channel]`.
    pub expand_bias: T,
}

/// What the two layers made of every image's means.
#[derive(Clone, Debug, Default)]
pub struct Gates {
    /// `[image][channel]`, filled up to whole blocks.
    pub gates: Vec<f32>,
    means: Vec<f32>,
    /// `[image][squeezed]`, before the swish.
    hidden: Vec<f32>,
}

impl Excite {
    /// For `channels` channels of which `squeezed` values are made.
    pub fn new(isa: Isa, channels: usize, squeezed: usize) -> Self {
        Self {
            isa: isa.f32(),
            channels,
            squeezed,
        }
    }

    fn padded(&self) -> usize {
        blocks(self.channels) * LANES
    }

    /// Values of each of the two matrices.
    pub fn matrix_len(&self) -> usize {
        self.squeezed * self.padded()
    }

    /// Values of the two biases.
    pub fn bias_lens(&self) -> [usize; 2] {
        [self.squeezed, self.channels].map(|n| blocks(n) * LANES)
    }

    /// Calls `visit(place, index in [squeezed][channel], index in [channel][squeezed])` for every
    /// value of a matrix.
    pub fn places(&self, visit: &mut dyn FnMut(usize, usize, usize)) {
        for s in 0..self.squeezed {
            for c in 0..self.channels {
                visit(
                    s * self.padded() + c,
                    s * self.channels + c,
                    c * self.squeezed + s,
                );
            }
        }
    }

    /// Gates from `sums`, the `[image][channel]` sums over `pixels` pixels.
    ///
    /// # Panics
    /// If an array has another size.
    pub fn gates(&self, sums: &[f64], pixels: usize, layers: ExciteWeights<&[f32]>) -> Gates {
        self.check(layers);
        let padded = self.padded();
        let means: Vec<f32> = sums
            .iter()
            .map(|sum| (sum / pixels as f64) as f32)
            .collect();
        let mut found = Gates::default();
        for means in means.chunks_exact(padded) {
            let mut hidden = self.isa.run(Dots {
                matrix: layers.reduce,
                vector: means,
            });
            hidden
                .iter_mut()
                .zip(layers.reduce_bias)
                .for_each(|(h, b)| *h += b);
            let squeezed: Vec<f32> = hidden.iter().map(|&h| h * sigmoid(h)).collect();
            let mut gates = layers.expand_bias.to_vec();
            self.isa.run(AddRows {
                matrix: layers.expand,
                factors: &squeezed,
                to: &mut gates,
            });
            self.isa.run(Sigmoids(&mut gates));
            found.hidden.extend(hidden);
            found.gates.extend(gates);
        }
        found.means = means;
        found
    }

    /// From the gradient `d` at the gated array: the gradients of the layers, while `d` becomes the
    /// gradient at `x`.
    ///
    /// # Panics
    /// If an array has another size.
    #[allow(clippy::too_many_arguments)]
    pub fn backward(
        &self,
        workers: &Workers,
        shape: &Blocked,
        x: &[f32],
        gates: &Gates,
        layers: ExciteWeights<&[f32]>,
        d_layers: ExciteWeights<&mut [f32]>,
        d: &mut [f32],
    ) {
        self.check(layers);
        assert!(
            x.len() == shape.len() && d.len() == x.len() && shape.channels == self.channels,
            "array has another size"
        );
        let d_gates = products(self.isa, workers, shape, x, d);
        let d_means = self.layer_gradients(&d_gates, gates, layers, d_layers);
        let pixels = (shape.height * shape.width) as f32;
        let shifts: Vec<f32> = d_means.iter().map(|d| d / pixels).collect();
        affine(self.isa, workers, shape, &gates.gates, &shifts, d);
    }

    /// Gradients of the layers, added up image by image, and those of the means.
    fn layer_gradients(
        &self,
        d_gates: &[f32],
        gates: &Gates,
        layers: ExciteWeights<&[f32]>,
        d: ExciteWeights<&mut [f32]>,
    ) -> Vec<f32> {
        let (padded, isa) = (self.padded(), self.isa);
        let ExciteWeights {
            reduce: d_reduce,
            reduce_bias: d_reduce_bias,
            expand: d_expand,
            expand_bias: d_expand_bias,
        } = d;
        for d in [
            &mut *d_reduce,
            &mut *d_reduce_bias,
            &mut *d_expand,
            &mut *d_expand_bias,
        ] {
            d.fill(0.0);
        }
        let mut d_means = vec![0.0; d_gates.len()];
        for (image, d_mean) in d_means.chunks_exact_mut(padded).enumerate() {
            let of = |values: &'_ [f32], len: usize| values[image * len..][..len].to_vec();
            let (gate, hidden) = (of(&gates.gates, padded), of(&gates.hidden, self.squeezed));
            let mut d_logit = of(d_gates, padded);
            d_logit
                .iter_mut()
                .zip(&gate)
                .for_each(|(d, g)| *d *= g * (1.0 - g));
            d_expand_bias
                .iter_mut()
                .zip(&d_logit)
                .for_each(|(sum, d)| *sum += d);
            let squeezed: Vec<f32> = hidden.iter().map(|&h| h * sigmoid(h)).collect();
            isa.run(AddOuter {
                left: &squeezed,
                right: &d_logit,
                to: d_expand,
            });
            let mut d_hidden = isa.run(Dots {
                matrix: layers.expand,
                vector: &d_logit,
            });
            for (d, &h) in d_hidden.iter_mut().zip(&hidden) {
                let g = sigmoid(h);
                *d *= g + h * g * (1.0 - g);
            }
            d_reduce_bias
                .iter_mut()
                .zip(&d_hidden)
                .for_each(|(sum, d)| *sum += d);
            isa.run(AddOuter {
                left: &d_hidden,
                right: &gates.means[image * padded..][..padded],
                to: d_reduce,
            });
            isa.run(AddRows {
                matrix: layers.reduce,
                factors: &d_hidden,
                to: d_mean,
            });
        }
        d_means
    }

    #[track_caller]
    fn check(&self, layers: ExciteWeights<&[f32]>) {
        let [reduce_bias, expand_bias] = self.bias_lens();
        let ExciteWeights {
            reduce,
            reduce_bias: r,
            expand,
            expand_bias: e,
        } = layers;
        assert!(
            [reduce, expand].map(<[f32]>::len) == [self.matrix_len(); 2]
                && [r.len(), e.len()] == [reduce_bias, expand_bias],
            "layers have another size"
        );
    }
}

/// Adds the sums of every channel over the rows `rows` to `sums`, `[image][channel]` filled up to
/// whole blocks; `x` may hold fewer rows than the images have.
///
/// # Panics
/// If a length does not match.
pub fn add_sums(
    isa: Isa,
    workers: &Workers,
    shape: &Blocked,
    x: Rows,
    rows: Range<usize>,
    sums: &mut [f64],
) {
    shape.check_rows(x.data.len(), x.kept, &rows);
    let (planes, []) = sums.as_chunks_mut::<LANES>() else {
        panic!("sums are not whole blocks")
    };
    let mut added: Vec<[[f64; LANES]; 1]> = planes.iter().map(|&plane| [plane]).collect();
    let kernel = RowSums {
        row: shape.width * LANES,
        x,
    };
    let pass = Pass::new(isa, workers, shape.planes(), rows, shape.width);
    pass.add_sums(None, &kernel, &mut added);
    planes.copy_from_slice(added.as_flattened());
}

/// `out = x * gate`, with a gate for every channel of every image.
///
/// # Panics
/// If a length does not match.
pub fn scale(
    isa: Isa,
    workers: &Workers,
    shape: &Blocked,
    x: &[f32],
    gates: &[f32],
    out: &mut [f32],
) {
    assert!(
        x.len() == shape.len() && out.len() == x.len() && gates.len() == shape.planes() * LANES,
        "array has another size"
    );
    let x = shape.whole(x);
    Pass::whole(isa, workers, shape).run(shape.whole_mut(out), &Scale { x, gates });
}

/// Sums of `x * d` over the pixels of every channel of every image.
fn products(isa: Isa, workers: &Workers, shape: &Blocked, x: &[f32], d: &[f32]) -> Vec<f32> {
    let kernel = Products {
        row: shape.width * LANES,
        x: shape.whole(x),
        d: shape.whole(d),
    };
    let found = Pass::whole(isa, workers, shape).sums(None, &kernel);
    let sums = found.as_flattened().as_flattened().iter();
    sums.map(|&sum| sum as f32).collect()
}

/// `d = d * factor + shift`, for every channel of every image.
fn affine(
    isa: Isa,
    workers: &Workers,
    shape: &Blocked,
    factors: &[f32],
    shifts: &[f32],
    d: &mut [f32],
) {
    let kernel = Affine { factors, shifts };
    Pass::whole(isa, workers, shape).run(shape.whole_mut(d), &kernel);
}

#[cfg(test)]
mod tests;
