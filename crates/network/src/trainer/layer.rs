//! The layers of the trainer: what one convolution or batch norm holds, and its part of a pass.
//!
//! Here: arrays in the kernels' blocked order and the kernels called on them. Not here: the order of the
//! layers, who reads which value, and natural order (`trainer`).

use crate::parameters::Parameters;
use crate::plan::ConvStep;
use stainfree_kernels::adam::{self, Step as AdamNumbers};
use stainfree_kernels::batch_norm::{self, Saved, Statistics};
use stainfree_kernels::blocked::blocks;
use stainfree_kernels::winograd::{Conv, Epilogue, FilterBank, Part, Scratch};
use stainfree_kernels::{Blocked, Buffer, Isa, LANES, Workers, elementwise};

/// A convolution with what follows it: a bias, or a batch norm, and perhaps ReLU.
pub(super) struct ConvLayer {
    pub(super) step: ConvStep,
    pub(super) conv: Conv,
    pub(super) bank: FilterBank,
    pub(super) weight: Trained,
    bias: Option<Trained>,
    pub(super) norm: Option<NormLayer>,
}

impl ConvLayer {
    pub(super) fn new(isa: Isa, step: ConvStep, shapes: &[Blocked]) -> Self {
        let out = shapes[step.to];
        let parts: Vec<Part> = step
            .inputs
            .iter()
            .map(|i| Part {
                channels: shapes[i.value].channels,
                upsampled: i.upsampled,
            })
            .collect();
        let conv = Conv::new(isa, out.images, out.height, out.width, &parts, out.channels);
        let bank = conv.filters();
        let padded = blocks(out.channels) * LANES;
        Self {
            weight: Trained::new(&step.weight, bank.blocked_len()),
            bias: step.bias.as_ref().map(|name| Trained::new(name, padded)),
            norm: step.norm.as_ref().map(|norm| NormLayer {
                gamma: Trained::new(&format!("{}.weight", norm.prefix), padded),
                beta: Trained::new(&format!("{}.bias", norm.prefix), padded),
                running_mean: vec![],
                running_var: vec![],
                statistics: Statistics::default(),
                epsilon: norm.epsilon,
                before: Buffer::zeros(out.len()),
            }),
            step,
            conv,
            bank,
        }
    }

    /// Trained arrays other than the convolution's weights.
    pub(super) fn small(&self) -> impl Iterator<Item = &Trained> {
        self.bias
            .iter()
            .chain(self.norm.iter().flat_map(|n| [&n.gamma, &n.beta]))
    }

    pub(super) fn small_mut(&mut self) -> impl Iterator<Item = &mut Trained> {
        self.bias.iter_mut().chain(
            self.norm
                .iter_mut()
                .flat_map(|n| [&mut n.gamma, &mut n.beta]),
        )
    }

    /// Output of the layer into `out`; `filters` is room for the transformed ones.
    pub(super) fn forward(
        &mut self,
        isa: Isa,
        workers: &Workers,
        values: &[Buffer],
        shapes: &[Blocked],
        filters: &mut Buffer,
        out: &mut Buffer,
        momentum: f32,
    ) {
        self.bank.transform(workers, &self.weight.values, filters);
        let inputs = inputs(&self.step, values);
        let Some(norm) = &mut self.norm else {
            let bias = self.bias.as_ref().map(|b| &b.values[..]);
            let epilogue = Epilogue {
                bias,
                relu: self.step.relu,
            };
            return self.conv.forward(workers, &inputs, filters, epilogue, out);
        };
        self.conv.forward(
            workers,
            &inputs,
            filters,
            Epilogue::default(),
            &mut norm.before,
        );
        norm.normalise(isa, workers, &shapes[self.step.to], out, momentum);
    }

    /// Gradients of this layer's parameters; `d_out` becomes the gradient of the bare convolution.
    pub(super) fn own_gradients(
        &mut self,
        isa: Isa,
        workers: &Workers,
        values: &[Buffer],
        shapes: &[Blocked],
        d_out: &mut [f32],
        scratch: &mut Scratch,
    ) {
        let shape = &shapes[self.step.to];
        if let Some(norm) = &mut self.norm {
            let saved = Saved {
                x: &norm.before,
                y: &values[self.step.to],
                statistics: &norm.statistics,
                gamma: &norm.gamma.values,
                epsilon: norm.epsilon,
            };
            let (d_gamma, d_beta) = batch_norm::backward(isa, workers, shape, &saved, d_out);
            norm.gamma.gradient.copy_from_slice(&d_gamma);
            norm.beta.gradient.copy_from_slice(&d_beta);
        }
        if let Some(bias) = &mut self.bias {
            bias.gradient
                .copy_from_slice(&elementwise::channel_sums(isa, workers, shape, d_out));
        }
        let inputs = inputs(&self.step, values);
        self.conv
            .weight_gradient(workers, &inputs, d_out, &mut self.weight.gradient, scratch);
    }
}

/// What the convolution reads, part by part.
fn inputs<'a>(step: &ConvStep, values: &'a [Buffer]) -> Vec<&'a [f32]> {
    step.inputs.iter().map(|i| &values[i.value][..]).collect()
}

/// A batch norm with ReLU after a convolution.
pub(super) struct NormLayer {
    gamma: Trained,
    beta: Trained,
    pub(super) running_mean: Vec<f32>,
    pub(super) running_var: Vec<f32>,
    statistics: Statistics,
    epsilon: f64,
    /// What the convolution gave.
    pub(super) before: Buffer,
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

    /// Batch norm with the batch's statistics, then ReLU; running statistics move by `momentum`.
    fn normalise(
        &mut self,
        isa: Isa,
        workers: &Workers,
        shape: &Blocked,
        out: &mut [f32],
        momentum: f32,
    ) {
        self.statistics = batch_norm::statistics(isa, workers, shape, &self.before);
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
        let Statistics { mean, variance } = &self.statistics;
        let (scale, shift) = scale_shift(
            &self.gamma.values,
            &self.beta.values,
            mean,
            variance,
            self.epsilon,
        );
        batch_norm::scale_shift_relu(isa, workers, shape, &self.before, &scale, &shift, out);
    }
}

/// `gamma * (x - mean) / sqrt(variance + epsilon) + beta` as `x * scale + shift`.
fn scale_shift(
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

/// A trained array with its gradient and moments, in the executor's order.
pub(super) struct Trained {
    pub(super) name: String,
    pub(super) values: Buffer,
    gradient: Buffer,
    first: Buffer,
    second: Buffer,
}

impl Trained {
    fn new(name: &str, len: usize) -> Self {
        let [values, gradient, first, second] = [(); 4].map(|()| Buffer::zeros(len));
        Self {
            name: name.to_string(),
            values,
            gradient,
            first,
            second,
        }
    }

    /// One step of Adam along the gradient.
    pub(super) fn update(&mut self, isa: Isa, workers: &Workers, numbers: &AdamNumbers) {
        let Self {
            values,
            gradient,
            first,
            second,
            ..
        } = self;
        adam::update(isa, workers, numbers, gradient, values, first, second);
    }

    pub(super) fn part(&self, which: Which) -> &Buffer {
        match which {
            Which::Values => &self.values,
            Which::Gradient => &self.gradient,
            Which::First => &self.first,
            Which::Second => &self.second,
        }
    }

    pub(super) fn part_mut(&mut self, which: Which) -> &mut Buffer {
        match which {
            Which::Values => &mut self.values,
            Which::Gradient => &mut self.gradient,
            Which::First => &mut self.first,
            Which::Second => &mut self.second,
        }
    }
}

/// One of the four arrays of a [`Trained`].
#[derive(Clone, Copy)]
pub(super) enum Which {
    Values,
    Gradient,
    First,
    Second,
}
