//! Squeeze-and-excitation in a prediction: means are gathered as rows come, and the gates go into
//! the filters of the convolution behind them, which is much less work than multiplying its input.

use crate::parameters::Parameters;
use crate::program::ExciteStep;
use stainfree_kernels::blocked::{Rows, blocks};
use stainfree_kernels::excite::{self, Excite, ExciteWeights};
use stainfree_kernels::pointwise::Pointwise;
use stainfree_kernels::{Blocked, Buffer, Isa, LANES, Workers};
use std::ops::Range;

/// The two layers that make the gates of one convolution's input.
pub(super) struct GateLayers {
    kernel: Excite,
    arrays: ExciteWeights<Vec<f32>>,
}

impl GateLayers {
    pub(super) fn new(isa: Isa, channels: usize, step: &ExciteStep, from: &Parameters) -> Self {
        let kernel = Excite::new(isa, channels, step.squeezed);
        let [reduce, expand, reduce_bias, expand_bias] = step.names();
        let matrix = || vec![0.0; kernel.matrix_len()];
        let bias = |name: &str, len: usize| {
            let mut bias = from.values(name).to_vec();
            bias.resize(len, 0.0);
            bias
        };
        let [first, second] = kernel.bias_lens();
        let mut arrays = ExciteWeights {
            reduce: matrix(),
            reduce_bias: bias(&reduce_bias, first),
            expand: matrix(),
            expand_bias: bias(&expand_bias, second),
        };
        let (reduce, expand) = (from.values(&reduce), from.values(&expand));
        kernel.places(&mut |place, i, j| {
            arrays.reduce[place] = reduce[i];
            arrays.expand[place] = expand[j];
        });
        Self { kernel, arrays }
    }

    /// Values of both matrices.
    pub(super) fn len(&self) -> usize {
        2 * self.kernel.matrix_len()
    }
}

/// What becomes of one image's gates.
#[derive(Default)]
pub(super) struct Gated {
    /// Sums of every channel over the rows there have been.
    sums: Vec<f64>,
    /// The convolution's filters times the gates.
    filters: Buffer,
}

impl Gated {
    /// Takes in `rows` of what the gates will weigh.
    pub(super) fn gather(
        &mut self,
        isa: Isa,
        workers: &Workers,
        shape: &Blocked,
        x: Rows,
        rows: Range<usize>,
    ) {
        if rows.start == 0 {
            self.sums.clear();
            self.sums.resize(blocks(shape.channels) * LANES, 0.0);
        }
        excite::add_sums(isa, workers, shape, x, rows, &mut self.sums);
    }

    /// Makes the gates, once all rows were gathered, and puts them into `filters`.
    pub(super) fn close(
        &mut self,
        layers: &GateLayers,
        shape: &Blocked,
        conv: &Pointwise,
        filters: &[f32],
    ) {
        let ExciteWeights {
            reduce,
            reduce_bias,
            expand,
            expand_bias,
        } = &layers.arrays;
        let arrays = ExciteWeights {
            reduce: &reduce[..],
            reduce_bias: &reduce_bias[..],
            expand: &expand[..],
            expand_bias: &expand_bias[..],
        };
        let pixels = shape.height * shape.width;
        let gates = layers.kernel.gates(&self.sums, pixels, arrays);
        conv.scaled(filters, &gates.gates, &mut self.filters);
    }

    /// Filters for what has not been weighed.
    pub(super) fn filters(&self) -> &[f32] {
        &self.filters
    }
}
