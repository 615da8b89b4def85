//! Squeeze-and-excitation: every channel times a gate that two small layers make of the means of all channels.
//!
//! Hu et al. (2018), "Squeeze-and-Excitation Networks", with swish between the layers as in EfficientNet
//! (Tan & Le 2019). For one image, with `m` the mean of every channel over all pixels:
//!
//! 1. `h = swish(R m + r)`, a few values;
//! 2. `g = sigmoid(E h + e)`, one gate a channel;
//! 3. `y = g x`.
//!
//! Both matrices are kept as `[squeezed][channel]`, channels filled up to whole blocks: the first layer is a dot
//! product a row, the second a weighted sum of rows, and so are their gradients the other way round.
//! Sums over pixels run along a row in f32 and over rows in f64, in order, so means may be gathered band by band.

use crate::activation::sigmoid;
use crate::blocked::{Blocked, LANES, Rows, blocks, slot};
use crate::isa::{Isa, Job, Simd};
use crate::workers::{Shared, Workers};
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
pub struct Layers<T> {
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

    /// Calls `visit(place, index in [squeezed][channel], index in [channel][squeezed])` for every value of a matrix.
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
    pub fn gates(&self, sums: &[f64], pixels: usize, layers: Layers<&[f32]>) -> Gates {
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
            let squeezed: Vec<f32> = hidden.iter().map(|&h| h * logistic(h)).collect();
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

    /// From the gradient `d` at the gated array: the gradients of the layers, while `d` becomes the gradient at `x`.
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
        layers: Layers<&[f32]>,
        d_layers: Layers<&mut [f32]>,
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
        layers: Layers<&[f32]>,
        d: Layers<&mut [f32]>,
    ) -> Vec<f32> {
        let (padded, isa) = (self.padded(), self.isa);
        let Layers {
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
            let squeezed: Vec<f32> = hidden.iter().map(|&h| h * logistic(h)).collect();
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
                let g = logistic(h);
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
    fn check(&self, layers: Layers<&[f32]>) {
        let [reduce_bias, expand_bias] = self.bias_lens();
        let Layers {
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

fn logistic(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// Adds the sums of every channel over the rows `rows` to `sums`, `[image][channel]` filled up to whole blocks;
/// `x` may hold fewer rows than the images have.
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
    let planes = shape.images * shape.blocks();
    assert_eq!(sums.len(), planes * LANES, "sums have another size");
    let row = shape.width * LANES;
    let found = workers.map(planes, |plane| {
        let mut sums: [f64; LANES] = std::array::from_fn(|lane| sums[plane * LANES + lane]);
        for y in rows.clone() {
            let line = &x.data[(plane * x.kept + slot(y, x.kept)) * row..][..row];
            isa.run(AddSum {
                line,
                sums: &mut sums,
            });
        }
        sums
    });
    sums.copy_from_slice(found.as_flattened());
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
    let planes = shape.images * shape.blocks();
    assert!(
        x.len() == shape.len() && out.len() == x.len() && gates.len() == planes * LANES,
        "array has another size"
    );
    let shared = Shared::new(out);
    workers.for_each(planes, |plane| {
        isa.run(Scale {
            x: &x[plane * shape.plane()..][..shape.plane()],
            gate: &gates[plane * LANES..][..LANES],
            // SAFETY: every plane belongs to one task.
            out: unsafe { shared.slice(plane * shape.plane(), shape.plane()) },
        });
    });
}

/// Sums of `x * d` over the pixels of every channel of every image.
fn products(isa: Isa, workers: &Workers, shape: &Blocked, x: &[f32], d: &[f32]) -> Vec<f32> {
    let found = workers.map(shape.images * shape.blocks(), |plane| {
        let plane = plane * shape.plane()..(plane + 1) * shape.plane();
        isa.run(Products {
            row: shape.width * LANES,
            x: &x[plane.clone()],
            d: &d[plane],
        })
    });
    found.as_flattened().iter().map(|&sum| sum as f32).collect()
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
    let shared = Shared::new(d);
    workers.for_each(shape.images * shape.blocks(), |plane| {
        isa.run(Affine {
            factor: &factors[plane * LANES..][..LANES],
            shift: &shifts[plane * LANES..][..LANES],
            // SAFETY: every plane belongs to one task.
            d: unsafe { shared.slice(plane * shape.plane(), shape.plane()) },
        });
    });
}

/// Dot products of a vector with the rows of a matrix.
struct Dots<'a> {
    matrix: &'a [f32],
    vector: &'a [f32],
}

impl Job for Dots<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Vec<f32> {
        let mut found = Vec::with_capacity(self.matrix.len() / self.vector.len());
        for row in self.matrix.chunks_exact(self.vector.len()) {
            let mut sum = s.zero();
            for (a, b) in row.chunks_exact(LANES).zip(self.vector.chunks_exact(LANES)) {
                // SAFETY: 16 values each.
                unsafe { sum = s.mul_add(s.load(a.as_ptr()), s.load(b.as_ptr()), sum) };
            }
            let mut lanes = [0.0f32; LANES];
            // SAFETY: `lanes` holds 16 values.
            unsafe { s.store(lanes.as_mut_ptr(), sum) };
            found.push(lanes.iter().sum());
        }
        found
    }
}

/// Adds the rows of a matrix, each times its factor, to a vector.
struct AddRows<'a> {
    matrix: &'a [f32],
    factors: &'a [f32],
    to: &'a mut [f32],
}

impl Job for AddRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for (row, &factor) in self.matrix.chunks_exact(self.to.len()).zip(self.factors) {
            let factor = s.splat(factor);
            for (a, to) in row.chunks_exact(LANES).zip(self.to.chunks_exact_mut(LANES)) {
                // SAFETY: 16 values each.
                unsafe {
                    let sum = s.mul_add(s.load(a.as_ptr()), factor, s.load(to.as_ptr()));
                    s.store(to.as_mut_ptr(), sum);
                }
            }
        }
    }
}

/// Adds `left * right^T` to a matrix.
struct AddOuter<'a> {
    left: &'a [f32],
    right: &'a [f32],
    to: &'a mut [f32],
}

impl Job for AddOuter<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let rows = self.to.chunks_exact_mut(self.right.len());
        for (row, &factor) in rows.zip(self.left) {
            let factor = s.splat(factor);
            for (to, b) in row
                .chunks_exact_mut(LANES)
                .zip(self.right.chunks_exact(LANES))
            {
                // SAFETY: 16 values each.
                unsafe {
                    let sum = s.mul_add(s.load(b.as_ptr()), factor, s.load(to.as_ptr()));
                    s.store(to.as_mut_ptr(), sum);
                }
            }
        }
    }
}

/// Every value becomes its sigmoid.
struct Sigmoids<'a>(&'a mut [f32]);

impl Job for Sigmoids<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for x in self.0.chunks_exact_mut(LANES) {
            // SAFETY: 16 values.
            unsafe { s.store(x.as_mut_ptr(), sigmoid(s, s.load(x.as_ptr()))) };
        }
    }
}

/// Adds the sum of a line to `sums`, lane by lane.
struct AddSum<'a> {
    line: &'a [f32],
    sums: &'a mut [f64; LANES],
}

impl Job for AddSum<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let mut sum = s.zero();
        for x in self.line.chunks_exact(LANES) {
            // SAFETY: 16 values.
            sum = s.add(sum, unsafe { s.load(x.as_ptr()) });
        }
        add_lanes(s, self.sums, sum);
    }
}

#[inline(always)]
fn add_lanes<S: Simd>(s: S, sums: &mut [f64; LANES], v: S::V) {
    let mut lanes = [0.0; LANES];
    // SAFETY: `lanes` holds 16 values.
    unsafe { s.store(lanes.as_mut_ptr(), v) };
    for (sum, lane) in sums.iter_mut().zip(lanes) {
        *sum += f64::from(lane);
    }
}

struct Scale<'a> {
    x: &'a [f32],
    gate: &'a [f32],
    out: &'a mut [f32],
}

impl Job for Scale<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // SAFETY: every slice read or written holds 16 values.
        unsafe {
            let gate = s.load(self.gate.as_ptr());
            let pixels = self.x.chunks_exact(LANES);
            for (x, out) in pixels.zip(self.out.chunks_exact_mut(LANES)) {
                s.store(out.as_mut_ptr(), s.mul(s.load(x.as_ptr()), gate));
            }
        }
    }
}

struct Products<'a> {
    row: usize,
    x: &'a [f32],
    d: &'a [f32],
}

impl Job for Products<'_> {
    type Output = [f64; LANES];

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> [f64; LANES] {
        let mut sums = [0.0; LANES];
        let rows = self.x.chunks_exact(self.row);
        for (x, d) in rows.zip(self.d.chunks_exact(self.row)) {
            let mut sum = s.zero();
            for (x, d) in x.chunks_exact(LANES).zip(d.chunks_exact(LANES)) {
                // SAFETY: 16 values each.
                unsafe { sum = s.mul_add(s.load(x.as_ptr()), s.load(d.as_ptr()), sum) };
            }
            add_lanes(s, &mut sums, sum);
        }
        sums
    }
}

struct Affine<'a> {
    factor: &'a [f32],
    shift: &'a [f32],
    d: &'a mut [f32],
}

impl Job for Affine<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // SAFETY: every slice read or written holds 16 values.
        unsafe {
            let (factor, shift) = (s.load(self.factor.as_ptr()), s.load(self.shift.as_ptr()));
            for d in self.d.chunks_exact_mut(LANES) {
                s.store(d.as_mut_ptr(), s.mul_add(s.load(d.as_ptr()), factor, shift));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers between -1 and 1.
    fn noise(len: usize, seed: usize) -> Vec<f32> {
        let value = |i: usize| ((i * 7919 + seed * 104_729) % 2003) as f32 / 1001.0 - 1.0;
        (0..len).map(value).collect()
    }

    /// A small case: planar input, natural layers, and the weights of the sum that is differentiated.
    struct Case {
        shape: Blocked,
        squeezed: usize,
        x: Vec<f32>,
        layers: [Vec<f32>; 4],
        d: Vec<f32>,
    }

    impl Case {
        fn new(channels: usize, squeezed: usize, [height, width]: [usize; 2]) -> Self {
            let shape = Blocked {
                images: 2,
                channels,
                height,
                width,
            };
            let count = 2 * channels * height * width;
            Self {
                shape,
                squeezed,
                x: noise(count, 1),
                layers: [
                    noise(squeezed * channels, 2),
                    noise(squeezed, 3),
                    noise(channels * squeezed, 4),
                    noise(channels, 5),
                ],
                d: noise(count, 6),
            }
        }

        /// The gated array by the definition, in f64, with one value of an array (4 = the input) moved.
        fn value(&self, moved: (usize, usize, f64)) -> Vec<f64> {
            let get = |array: usize, index: usize| {
                let values = if array == 4 {
                    &self.x
                } else {
                    &self.layers[array]
                };
                let by = if (array, index) == (moved.0, moved.1) {
                    moved.2
                } else {
                    0.0
                };
                f64::from(values[index]) + by
            };
            let (channels, squeezed) = (self.shape.channels, self.squeezed);
            let pixels = self.shape.height * self.shape.width;
            let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
            let mut out = Vec::new();
            for image in 0..2 {
                let at = |c: usize, p: usize| get(4, (image * channels + c) * pixels + p);
                let mean = |c: usize| (0..pixels).map(|p| at(c, p)).sum::<f64>() / pixels as f64;
                let means: Vec<f64> = (0..channels).map(mean).collect();
                let hidden: Vec<f64> = (0..squeezed)
                    .map(|s| {
                        let dot = |c: usize| get(0, s * channels + c) * means[c];
                        let h = get(1, s) + (0..channels).map(dot).sum::<f64>();
                        h * sigmoid(h)
                    })
                    .collect();
                for c in 0..channels {
                    let dot = |s: usize| get(2, c * squeezed + s) * hidden[s];
                    let gate = sigmoid(get(3, c) + (0..squeezed).map(dot).sum::<f64>());
                    out.extend((0..pixels).map(|p| gate * at(c, p)));
                }
            }
            out
        }

        /// The slope of the weighted sum of the gated array.
        fn slope(&self, array: usize, index: usize) -> f64 {
            let sum = |by: f64| -> f64 {
                let values = self.value((array, index, by));
                values
                    .iter()
                    .zip(&self.d)
                    .map(|(v, d)| v * f64::from(*d))
                    .sum()
            };
            (sum(1e-4) - sum(-1e-4)) / 2e-4
        }
    }

    #[test]
    fn gates_and_every_gradient_are_those_of_the_definition() {
        let workers = Workers::new(2);
        for (channels, squeezed, size) in [(1, 1, [1, 1]), (16, 4, [3, 5]), (21, 5, [7, 4])] {
            let case = Case::new(channels, squeezed, size);
            let shape = case.shape;
            for isa in Isa::available() {
                let excite = Excite::new(isa, channels, squeezed);
                let [mut reduce, mut expand] = [(); 2].map(|()| vec![0.0; excite.matrix_len()]);
                excite.places(&mut |place, first, second| {
                    reduce[place] = case.layers[0][first];
                    expand[place] = case.layers[2][second];
                });
                let padded = |values: &[f32]| {
                    let mut padded = values.to_vec();
                    padded.resize(blocks(values.len()) * LANES, 0.0);
                    padded
                };
                let (reduce_bias, expand_bias) = (padded(&case.layers[1]), padded(&case.layers[3]));
                let layers = Layers {
                    reduce: &reduce[..],
                    reduce_bias: &reduce_bias[..],
                    expand: &expand[..],
                    expand_bias: &expand_bias[..],
                };
                let blocked = |planar: &[f32]| {
                    let mut to = vec![0.0; shape.len()];
                    shape.pack(&workers, planar, &mut to);
                    to
                };
                let planar = |blocked: &[f32]| {
                    let mut to = vec![0.0; case.x.len()];
                    shape.unpack(&workers, blocked, &mut to);
                    to
                };
                let x = blocked(&case.x);
                let mut sums = vec![0.0; 2 * shape.blocks() * LANES];
                let rows = Rows {
                    data: &x,
                    kept: shape.height,
                };
                // In two bands, as a prediction does.
                let half = shape.height / 2;
                for band in [0..half, half..shape.height] {
                    add_sums(isa, &workers, &shape, rows, band, &mut sums);
                }
                let gates = excite.gates(&sums, shape.height * shape.width, layers);
                let mut out = vec![0.0; shape.len()];
                scale(isa, &workers, &shape, &x, &gates.gates, &mut out);
                let error = crate::plain::relative_error(&planar(&out), &case.value((9, 0, 0.0)));
                // A few roundings of f32.
                assert!(error < 1e-6, "{} {channels}: {error:e}", isa.name());

                let mut d = blocked(&case.d);
                let mut d_layers = [
                    reduce.clone(),
                    reduce_bias.clone(),
                    expand.clone(),
                    expand_bias.clone(),
                ];
                let [a, b, c, e] = &mut d_layers;
                let to = Layers {
                    reduce: &mut a[..],
                    reduce_bias: &mut b[..],
                    expand: &mut c[..],
                    expand_bias: &mut e[..],
                };
                excite.backward(&workers, &shape, &x, &gates, layers, to, &mut d);
                let mut natural = [
                    vec![],
                    d_layers[1][..squeezed].to_vec(),
                    vec![],
                    d_layers[3][..channels].to_vec(),
                ];
                natural[0] = vec![0.0; squeezed * channels];
                natural[2] = vec![0.0; squeezed * channels];
                excite.places(&mut |place, first, second| {
                    natural[0][first] = d_layers[0][place];
                    natural[2][second] = d_layers[2][place];
                });
                let found: Vec<Vec<f32>> = natural.into_iter().chain([planar(&d)]).collect();
                for (array, found) in found.iter().enumerate() {
                    for (index, &found) in found.iter().enumerate() {
                        let expected = case.slope(array, index);
                        // f32, and 1e-8 of the differences.
                        assert!(
                            (f64::from(found) - expected).abs() < 2e-6 * expected.abs().max(1.0),
                            "{} {channels}: array {array} [{index}]: {found} {expected}",
                            isa.name()
                        );
                    }
                }
            }
        }
    }
}
