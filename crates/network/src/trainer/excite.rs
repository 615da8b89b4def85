//! Squeeze-and-excitation before a 1x1 convolution: trained arrays, and what a forward pass leaves
//! for the way back.

use super::trained::{Trained, Which};
use crate::program::ExciteStep;
use stainfree_kernels::blocked::Rows;
use stainfree_kernels::excite::{self, Excite, ExciteWeights, Gates};
use stainfree_kernels::{Blocked, Buffer, Isa, LANES, Workers};

/// The gates of one convolution's input.
pub(super) struct ExciteLayer {
    kernel: Excite,
    /// Weights of both layers.
    matrices: [Trained; 2],
    /// Biases of both layers.
    biases: [Trained; 2],
    gates: Gates,
    /// What the convolution reads.
    scaled: Buffer,
}

impl ExciteLayer {
    pub(super) fn new(isa: Isa, step: &ExciteStep, shape: &Blocked) -> Self {
        let kernel = Excite::new(isa, shape.channels, step.squeezed);
        let [reduce, expand, reduce_bias, expand_bias] = step.names();
        let matrix = |name: &str| Trained::new(name, kernel.matrix_len());
        let [first, second] = kernel.bias_lens();
        Self {
            matrices: [matrix(&reduce), matrix(&expand)],
            biases: [
                Trained::new(&reduce_bias, first),
                Trained::new(&expand_bias, second),
            ],
            kernel,
            gates: Gates::default(),
            scaled: Buffer::zeros(shape.len()),
        }
    }

    /// Both weights, which lie in the kernel's order.
    pub(super) fn matrices(&self) -> &[Trained; 2] {
        &self.matrices
    }

    pub(super) fn matrices_mut(&mut self) -> &mut [Trained; 2] {
        &mut self.matrices
    }

    pub(super) fn biases(&self) -> &[Trained; 2] {
        &self.biases
    }

    pub(super) fn biases_mut(&mut self) -> &mut [Trained; 2] {
        &mut self.biases
    }

    /// What the convolution read in the last forward pass.
    pub(super) fn scaled(&self) -> &Buffer {
        &self.scaled
    }

    /// One array of both weights in natural order.
    pub(super) fn natural(&self, which: Which) -> [Vec<f32>; 2] {
        let mut natural = [vec![], vec![]];
        let [first, second] = self.matrices.each_ref().map(|m| m.part(which));
        self.kernel
            .places(&mut |_, _, _| natural.iter_mut().for_each(|n| n.push(0.0)));
        self.kernel.places(&mut |place, reduce, expand| {
            natural[0][reduce] = first[place];
            natural[1][expand] = second[place];
        });
        natural
    }

    /// Fills one array of both weights from natural order.
    pub(super) fn load(&mut self, which: Which, natural: [&[f32]; 2]) {
        let Self {
            kernel, matrices, ..
        } = self;
        let [first, second] = matrices.each_mut().map(|m| m.part_mut(which));
        kernel.places(&mut |place, reduce, expand| {
            first[place] = natural[0][reduce];
            second[place] = natural[1][expand];
        });
    }

    /// Makes the gates of `x` and multiplies it with them.
    pub(super) fn forward(&mut self, isa: Isa, workers: &Workers, shape: &Blocked, x: &[f32]) {
        let mut sums = vec![0.0; shape.images * shape.blocks() * LANES];
        let rows = Rows {
            data: x,
            kept: shape.height,
        };
        excite::add_sums(isa, workers, shape, rows, 0..shape.height, &mut sums);
        let layers = self.layers();
        self.gates = self.kernel.gates(&sums, shape.height * shape.width, layers);
        let gates = &self.gates.gates;
        excite::scale(isa, workers, shape, x, gates, &mut self.scaled);
    }

    /// The gradient `d` at what the convolution reads becomes that at `x`; gradients of the layers
    /// are kept.
    pub(super) fn backward(
        &mut self,
        workers: &Workers,
        shape: &Blocked,
        x: &[f32],
        d: &mut [f32],
    ) {
        let Self {
            kernel,
            matrices: [reduce, expand],
            biases: [reduce_bias, expand_bias],
            gates,
            ..
        } = self;
        let layers = ExciteWeights {
            reduce: &reduce.values[..],
            reduce_bias: &reduce_bias.values[..],
            expand: &expand.values[..],
            expand_bias: &expand_bias.values[..],
        };
        let d_layers = ExciteWeights {
            reduce: &mut reduce.gradient[..],
            reduce_bias: &mut reduce_bias.gradient[..],
            expand: &mut expand.gradient[..],
            expand_bias: &mut expand_bias.gradient[..],
        };
        kernel.backward(workers, shape, x, gates, layers, d_layers, d);
    }

    fn layers(&self) -> ExciteWeights<&[f32]> {
        let [reduce, expand] = self.matrices.each_ref().map(|m| &m.values[..]);
        let [reduce_bias, expand_bias] = self.biases.each_ref().map(|b| &b.values[..]);
        ExciteWeights {
            reduce,
            reduce_bias,
            expand,
            expand_bias,
        }
    }
}
