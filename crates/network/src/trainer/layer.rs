//! The layers of the trainer: what one convolution or batch norm holds, and its part of a pass.
//!
//! Here: arrays in the kernels' blocked order and the kernels called on them. Not here: the order
//! of the layers, who reads which value, and natural order (`trainer`).

use super::excite::ExciteLayer;
use super::trained::Trained;
use crate::conv::convolution;
use crate::lower::Kernel;
use crate::parameters::Parameters;
use crate::program::ConvStep;
use crate::random::{Purpose, Random};
use stainfree_kernels::activation::Activation;
use stainfree_kernels::batch_norm::{self, ForwardRecord, Statistics};
use stainfree_kernels::blocked::{Rows, RowsMut, blocks};
use stainfree_kernels::convolution::{Convolution, ConvolutionScratch};
use stainfree_kernels::epilogue::{Epilogue, Sink};
use stainfree_kernels::{Blocked, Buffer, Isa, LANES, Workers, elementwise};

/// A convolution with what follows it: perhaps a bias, a batch norm, an activation.
pub(super) struct ConvLayer {
    pub(super) step: ConvStep,
    pub(super) conv: Convolution,
    pub(super) weight: Trained,
    bias: Option<Trained>,
    pub(super) excite: Option<ExciteLayer>,
    pub(super) norm: Option<NormLayer>,
}

impl ConvLayer {
    pub(super) fn new(isa: Isa, kernel: Kernel, step: ConvStep, shapes: &[Blocked]) -> Self {
        let conv = convolution(kernel, &step, |value| shapes[value]);
        let padded = blocks(shapes[step.to].channels) * LANES;
        Self {
            weight: Trained::new(&step.weight, conv.blocked_len()),
            bias: step.bias.as_ref().map(|name| Trained::new(name, padded)),
            excite: step
                .excite
                .as_ref()
                .map(|excite| ExciteLayer::new(isa, excite, &shapes[step.inputs[0].value])),
            norm: step.norm.as_ref().map(|norm| NormLayer {
                gamma: Trained::new(&format!("{}.weight", norm.prefix), padded),
                beta: Trained::new(&format!("{}.bias", norm.prefix), padded),
                running_mean: vec![],
                running_var: vec![],
                statistics: Statistics::default(),
                scale: vec![],
                shift: vec![],
                moments: vec![],
                epsilon: norm.epsilon,
                activation: step.activation,
            }),
            step,
            conv,
        }
    }

    /// Trained arrays that are weights of a convolution.
    pub(super) fn weights(&self) -> impl Iterator<Item = &Trained> {
        let excite = self.excite.iter().flat_map(ExciteLayer::matrices);
        std::iter::once(&self.weight).chain(excite)
    }

    /// Trained arrays with a value for every channel.
    pub(super) fn small(&self) -> impl Iterator<Item = &Trained> {
        let norm = self.norm.iter().flat_map(|n| [&n.gamma, &n.beta]);
        let excite = self.excite.iter().flat_map(ExciteLayer::biases);
        self.bias.iter().chain(norm).chain(excite)
    }

    pub(super) fn small_mut(&mut self) -> impl Iterator<Item = &mut Trained> {
        let norm = self.norm.iter_mut();
        let norm = norm.flat_map(|n| [&mut n.gamma, &mut n.beta]);
        let excite = self.excite.iter_mut().flat_map(ExciteLayer::biases_mut);
        self.bias.iter_mut().chain(norm).chain(excite)
    }

    /// Trained arrays that are weights of a convolution.
    pub(super) fn weights_mut(&mut self) -> impl Iterator<Item = &mut Trained> {
        let excite = self.excite.iter_mut();
        std::iter::once(&mut self.weight).chain(excite.flat_map(ExciteLayer::matrices_mut))
    }

    /// Output of the layer; `room` is for filters as the kernels read them.
    pub(super) fn forward(
        &mut self,
        isa: Isa,
        workers: &Workers,
        shapes: &[Blocked],
        arrays: Arrays,
        room: &mut Buffer,
        statistics: UseStatistics,
    ) {
        if let Some(excite) = &mut self.excite {
            let value = self.step.inputs[0].value;
            excite.forward(isa, workers, &shapes[value], arrays.inputs[0]);
        }
        let shape = &shapes[self.step.to];
        let Arrays {
            out,
            before,
            inputs,
        } = arrays;
        match &mut self.norm {
            None => self.convolve(workers, shapes, &inputs, room, out),
            Some(_) => self.convolve(workers, shapes, &inputs, room, before),
        }
        if let Some(norm) = &mut self.norm {
            norm.measure(isa, workers, shape, before, statistics);
            norm.apply(isa, workers, shape, before, out);
        }
    }

    /// The output of the last forward pass once more, to the same bits, from what the batch norm
    /// read then or, without one, from the inputs.
    pub(super) fn make_again(
        &self,
        isa: Isa,
        workers: &Workers,
        shapes: &[Blocked],
        arrays: Arrays,
        room: &mut Buffer,
    ) {
        let shape = &shapes[self.step.to];
        match &self.norm {
            None => self.convolve(workers, shapes, &arrays.inputs, room, arrays.out),
            Some(norm) => norm.apply(isa, workers, shape, arrays.before, arrays.out),
        }
    }

    /// The convolution with its bias, and its activation unless a batch norm stands between.
    fn convolve(
        &self,
        workers: &Workers,
        shapes: &[Blocked],
        inputs: &[&[f32]],
        room: &mut Buffer,
        out: &mut [f32],
    ) {
        let filters = self.conv.prepare(workers, &self.weight.values, room);
        let heights = self.step.inputs.iter().map(|i| shapes[i.value].height);
        let inputs: Vec<Rows> = read(self.excite.as_ref(), inputs)
            .iter()
            .zip(heights)
            .map(|(&data, kept)| Rows { data, kept })
            .collect();
        let epilogue = Epilogue {
            bias: self.bias.as_ref().map(|b| &b.values[..]),
            activation: match &self.norm {
                None => self.step.activation,
                Some(_) => Activation::None,
            },
            ..Epilogue::default()
        };
        let kept = shapes[self.step.to].height;
        let out = RowsMut { data: out, kept };
        self.conv
            .forward_rows(workers, &inputs, filters, epilogue, out, 0..kept);
    }

    /// Gradients of this layer's parameters, and of its inputs into `sinks`; with none, below lies
    /// the image. `d_out` becomes the gradient of the bare convolution; `room` is for filters as
    /// the kernels read them, and what the kernels need.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn backward(
        &mut self,
        isa: Isa,
        workers: &Workers,
        shapes: &[Blocked],
        arrays: &Arrays,
        d_out: &mut [f32],
        sinks: &mut [Sink],
        (room, scratch): (&mut Buffer, &mut ConvolutionScratch),
    ) {
        self.own_gradients(isa, workers, shapes, arrays, d_out, scratch);
        if sinks.is_empty() {
            return;
        }
        let filters = self.conv.prepare_turned(workers, &self.weight.values, room);
        self.conv.input_gradient(workers, d_out, filters, sinks);
        if let Some(excite) = &mut self.excite {
            let shape = &shapes[self.step.inputs[0].value];
            excite.backward(workers, shape, arrays.inputs[0], sinks[0].data);
        }
    }

    /// Gradients of this layer's parameters.
    fn own_gradients(
        &mut self,
        isa: Isa,
        workers: &Workers,
        shapes: &[Blocked],
        arrays: &Arrays,
        d_out: &mut [f32],
        scratch: &mut ConvolutionScratch,
    ) {
        let shape = &shapes[self.step.to];
        if let Some(norm) = &mut self.norm {
            let forward = ForwardRecord {
                x: arrays.before,
                y: arrays.out,
                activation: norm.activation,
                scale: &norm.scale,
                shift: &norm.shift,
                statistics: &norm.statistics,
                gamma: &norm.gamma.values,
                epsilon: norm.epsilon,
            };
            let (d_gamma, d_beta) = batch_norm::backward(isa, workers, shape, &forward, d_out);
            norm.gamma.gradient.copy_from_slice(&d_gamma);
            norm.beta.gradient.copy_from_slice(&d_beta);
        }
        if let Some(bias) = &mut self.bias {
            bias.gradient
                .copy_from_slice(&elementwise::channel_sums(isa, workers, shape, d_out));
        }
        let inputs = read(self.excite.as_ref(), &arrays.inputs);
        self.conv
            .weight_gradient(workers, &inputs, d_out, &mut self.weight.gradient, scratch);
    }
}

/// The arrays of a step that a layer reads and writes.
pub(super) struct Arrays<'a> {
    /// What the layer makes.
    pub(super) out: &'a mut [f32],
    /// What its batch norm reads; empty without one.
    pub(super) before: &'a mut [f32],
    /// Its inputs, part by part.
    pub(super) inputs: Vec<&'a [f32]>,
}

impl<'a> Arrays<'a> {
    /// From the three in this order.
    ///
    /// # Panics
    /// If there are fewer than two.
    pub(super) fn new(parts: Vec<&'a mut [f32]>) -> Self {
        let mut parts = parts.into_iter();
        let mut next = || parts.next().expect("an output and what its norm reads");
        Self {
            out: next(),
            before: next(),
            inputs: parts.map(|part| &*part).collect(),
        }
    }
}

/// What the convolution reads of a layer that reads `inputs`.
fn read<'a>(excite: Option<&'a ExciteLayer>, inputs: &[&'a [f32]]) -> Vec<&'a [f32]> {
    match excite {
        Some(excite) => vec![excite.scaled()],
        None => inputs.to_vec(),
    }
}

/// Where a batch norm takes mean and variance from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum UseStatistics {
    /// From the batch; the running ones move towards them by this share.
    Batch(f32),
    /// From the running ones; those of the batches are added up for [`NormLayer::recalibrate`].
    Running,
}

/// A batch norm with an activation after a convolution.
pub(super) struct NormLayer {
    gamma: Trained,
    beta: Trained,
    pub(super) running_mean: Vec<f32>,
    pub(super) running_var: Vec<f32>,
    statistics: Statistics,
    /// The last forward pass multiplied with the one and added the other.
    scale: Vec<f32>,
    shift: Vec<f32>,
    /// Per channel, sums of mean and mean square over batches.
    moments: Vec<[f64; 2]>,
    epsilon: f64,
    activation: Activation,
}

impl NormLayer {
    /// What the names of this layer's parameters begin with.
    pub(super) fn prefix(&self) -> &str {
        self.gamma.name.trim_end_matches(".weight")
    }

    /// Takes over the running statistics among `parameters`.
    pub(super) fn load_statistics(&mut self, parameters: &Parameters) {
        let prefix = self.prefix();
        let [mean, var] = ["running_mean", "running_var"]
            .map(|name| parameters.values(&format!("{prefix}.{name}")).to_vec());
        (self.running_mean, self.running_var) = (mean, var);
    }

    /// Decides from `before`, what the convolution gave, and `statistics` what the layer multiplies
    /// with and adds.
    fn measure(
        &mut self,
        isa: Isa,
        workers: &Workers,
        shape: &Blocked,
        before: &[f32],
        statistics: UseStatistics,
    ) {
        self.statistics = batch_norm::statistics(isa, workers, shape, before);
        match statistics {
            UseStatistics::Batch(momentum) => self.follow(shape, momentum),
            UseStatistics::Running => self.add_moments_and_use_running(),
        }
        let Statistics { mean, variance } = &self.statistics;
        (self.scale, self.shift) = as_scale_and_shift(
            &self.gamma.values,
            &self.beta.values,
            mean,
            variance,
            self.epsilon,
        );
    }

    /// Batch norm as it was measured, then the activation.
    fn apply(&self, isa: Isa, workers: &Workers, shape: &Blocked, before: &[f32], out: &mut [f32]) {
        let (scale, shift, activation) = (&self.scale, &self.shift, self.activation);
        batch_norm::scale_shift(isa, workers, shape, before, scale, shift, activation, out);
    }

    /// Moves the running statistics towards the batch's.
    fn follow(&mut self, shape: &Blocked, momentum: f32) {
        let n = (shape.images * shape.height * shape.width) as f64;
        let unbiased = n / (n - 1.0).max(1.0);
        for channel in 0..shape.channels {
            let mix =
                |old: &mut f32, new: f64| *old = ((1.0 - momentum) * *old) + momentum * new as f32;
            mix(
                &mut self.running_mean[channel],
                self.statistics.mean[channel],
            );
            mix(
                &mut self.running_var[channel],
                self.statistics.variance[channel] * unbiased,
            );
        }
    }

    /// Adds up the batch's moments, then puts the running statistics in their place.
    fn add_moments_and_use_running(&mut self) {
        let Statistics { mean, variance } = &mut self.statistics;
        self.moments.resize(mean.len(), [0.0; 2]);
        for (sums, (m, v)) in self
            .moments
            .iter_mut()
            .zip(mean.iter().zip(variance.iter()))
        {
            sums[0] += m;
            sums[1] += v + m * m;
        }
        for (channel, (&m, &v)) in self.running_mean.iter().zip(&self.running_var).enumerate() {
            (mean[channel], variance[channel]) = (f64::from(m), f64::from(v));
        }
    }

    /// Makes the mean and variance of the last `batches` batches the running ones, and changes
    /// scale and shift so that the layer does what it did.
    pub(super) fn recalibrate(&mut self, batches: usize) {
        let moments = std::mem::take(&mut self.moments);
        for (channel, (mean, var)) in self
            .running_mean
            .iter_mut()
            .zip(&mut self.running_var)
            .enumerate()
        {
            let [sum, squares] = moments[channel].map(|sum| sum / batches as f64);
            let variance = batch_norm::not_negative(squares - sum * sum);
            let (gamma, beta) = (
                &mut self.gamma.values[channel],
                &mut self.beta.values[channel],
            );
            // What the layer multiplies with stays; what it adds follows the mean.
            let slope = f64::from(*gamma) / (f64::from(*var) + self.epsilon).sqrt();
            *beta = (f64::from(*beta) + slope * (sum - f64::from(*mean))) as f32;
            *gamma = (slope * (variance + self.epsilon).sqrt()) as f32;
            (*mean, *var) = (sum as f32, variance as f32);
        }
    }

    /// Forgets moments that were added up.
    pub(super) fn forget_moments(&mut self) {
        self.moments.clear();
    }
}

/// A sum of two values, the second of which may be dropped for some images.
pub(super) struct AddLayer {
    pub(super) terms: [usize; 2],
    pub(super) to: usize,
    drop: f64,
    activation: Activation,
    /// What the second was multiplied with in the last forward pass, image by image.
    factors: Vec<f32>,
}

impl AddLayer {
    pub(super) fn new(
        terms: [usize; 2],
        to: usize,
        (drop, activation): (f64, Activation),
        images: usize,
    ) -> Self {
        let factors = vec![1.0; images];
        Self {
            terms,
            to,
            drop,
            activation,
            factors,
        }
    }

    /// Draws which images drop the second term at `step`; what is kept makes up for it. None are
    /// dropped without a seed.
    pub(super) fn draw(&mut self, seed: Option<u64>, step: u64) {
        self.factors.fill(1.0);
        let Some(seed) = seed.filter(|_| self.drop > 0.0) else {
            return;
        };
        let mut random = Random::new(seed, Purpose::StochasticDepth, self.to as u64, step);
        for factor in &mut self.factors {
            let kept = random.uniform() >= self.drop;
            *factor = if kept {
                (1.0 / (1.0 - self.drop)) as f32
            } else {
                0.0
            };
        }
    }

    pub(super) fn forward(
        &self,
        isa: Isa,
        workers: &Workers,
        shape: &Blocked,
        terms: [&[f32]; 2],
        out: &mut [f32],
    ) {
        let kept = shape.height;
        let terms = terms.map(|data| Rows { data, kept });
        let to = RowsMut {
            data: &mut *out,
            kept,
        };
        elementwise::add_rows(isa, workers, shape, terms, &self.factors, to, 0..kept);
        if self.activation != Activation::None {
            let to = RowsMut { data: out, kept };
            let activation = self.activation;
            elementwise::activate_in_place_rows(isa, workers, shape, activation, to, 0..kept);
        }
    }

    /// Sends the gradient of the sum to both terms; whoever read the sum has cut it off where a
    /// ReLU did.
    pub(super) fn backward(
        &self,
        isa: Isa,
        workers: &Workers,
        shape: &Blocked,
        d_out: &[f32],
        [first, second]: [&mut Sink; 2],
    ) {
        let ones = vec![1.0; shape.images];
        elementwise::add_gradient(isa, workers, shape, d_out, &ones, first);
        elementwise::add_gradient(isa, workers, shape, d_out, &self.factors, second);
    }
}

/// `gamma * (x - mean) / sqrt(variance + epsilon) + beta` as `x * scale + shift`.
fn as_scale_and_shift(
    gamma: &[f32],
    beta: &[f32],
    mean: &[f64],
    variance: &[f64],
    epsilon: f64,
) -> (Vec<f32>, Vec<f32>) {
    (0..gamma.len())
        .map(|c| {
            let scale = f64::from(gamma[c]) / (variance[c] + epsilon).sqrt();
            (scale as f32, (f64::from(beta[c]) - scale * mean[c]) as f32)
        })
        .unzip()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_are_dropped_as_often_as_they_should_and_made_up_for() {
        let factors = |seed, step| {
            let mut layer = AddLayer::new([1, 2], 3, (0.25, Activation::None), 4000);
            layer.draw(seed, step);
            layer.factors
        };
        let drawn = factors(Some(7), 5);
        let kept = 4.0 / 3.0;
        assert!(drawn.iter().all(|&f| f == 0.0 || f == kept));
        let dropped = drawn.iter().filter(|&&f| f == 0.0).count();
        // 1000 of 4000, with a deviation of 27.
        assert!((900..1100).contains(&dropped), "{dropped}");
        assert_eq!(factors(Some(7), 5), drawn, "a step can be made again alone");
        assert_ne!(factors(Some(7), 6), drawn);
        assert_ne!(factors(Some(8), 5), drawn);
        assert!(factors(None, 5).iter().all(|&f| f == 1.0));
    }
}
