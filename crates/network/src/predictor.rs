//! Prediction on the CPU: batch norms folded into the filters, activations in reused memory.

use crate::graph::Graph;
use crate::parameters::Parameters;
use crate::plan::{ConvStep, Plan, Step};
use stainfree_kernels::blocked::blocks;
use stainfree_kernels::winograd::{Conv, Epilogue, FilterBank, Part};
use stainfree_kernels::{Blocked, Buffer, Isa, LANES, Workers, max_pool};

/// Runs one network on single images of any size that is a multiple of [`Graph::multiple`].
pub struct CpuPredictor {
    isa: Isa,
    workers: Workers,
    plan: Plan,
    /// Per step: transformed filters and bias of a convolution.
    layers: Vec<Option<Layer>>,
    multiple: usize,
    classes: usize,
    input_channels: usize,
}

struct Layer {
    filters: Buffer,
    bias: Vec<f32>,
}

impl CpuPredictor {
    /// Prepares `parameters` for prediction with `threads` threads.
    pub fn new(graph: &Graph, parameters: &Parameters, threads: usize, isa: Isa) -> Self {
        let (plan, workers) = (Plan::new(graph), Workers::new(threads));
        let layers = plan
            .steps
            .iter()
            .map(|step| match step {
                Step::Conv(step) => Some(Layer::new(isa, &workers, &plan, step, parameters)),
                Step::MaxPool { .. } => None,
            })
            .collect();
        let (multiple, classes) = (graph.multiple(), graph.classes());
        Self {
            isa,
            workers,
            plan,
            layers,
            multiple,
            classes,
            input_channels: graph.input_channels(),
        }
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Heights and widths must be a multiple of this.
    pub fn multiple(&self) -> usize {
        self.multiple
    }

    /// Probabilities `[class][y][x]` of `input`, `[channel][y][x]`.
    ///
    /// # Panics
    /// If the size is not a multiple of [`Self::multiple`], or `input` has another length.
    pub fn probabilities(&mut self, input: &[f32], height: usize, width: usize) -> Vec<f32> {
        let mut logits = self.logits(input, height, width);
        let pixels = height * width;
        for p in 0..pixels {
            softmax(&mut logits, p, pixels, self.classes);
        }
        logits
    }

    /// Logits `[class][y][x]` of `input`, `[channel][y][x]`.
    ///
    /// # Panics
    /// As [`Self::probabilities`].
    pub fn logits(&mut self, input: &[f32], height: usize, width: usize) -> Vec<f32> {
        let fits = height.is_multiple_of(self.multiple) && width.is_multiple_of(self.multiple);
        assert!(
            fits && height * width > 0,
            "sizes must be a multiple of {}",
            self.multiple
        );
        assert_eq!(
            input.len(),
            self.input_channels * height * width,
            "input has another size"
        );
        let shapes = self.shapes(height, width);
        let mut left: Vec<usize> = self.plan.values.iter().map(|v| v.readers).collect();
        let mut values: Vec<Buffer> = shapes.iter().map(|_| Buffer::default()).collect();
        // Memory of values that are read no more, for those still to come.
        let mut free: Vec<Buffer> = Vec::new();
        values[0] = take(&mut free, shapes[0].len());
        shapes[0].pack(&self.workers, input, &mut values[0]);
        for (step, layer) in self.plan.steps.iter().zip(&self.layers) {
            let (to, reads) = match step {
                Step::Conv(step) => (step.to, step.inputs.iter().map(|i| i.value).collect()),
                Step::MaxPool { from, to } => (*to, vec![*from]),
            };
            let mut out = take(&mut free, shapes[to].len());
            match (step, layer) {
                (Step::Conv(step), Some(layer)) => {
                    let inputs: Vec<&[f32]> =
                        step.inputs.iter().map(|i| &values[i.value][..]).collect();
                    let shape = &shapes[to];
                    let conv = conv(self.isa, &self.plan, step, shape);
                    let epilogue = Epilogue {
                        bias: Some(&layer.bias),
                        relu: step.relu,
                    };
                    conv.forward(&self.workers, &inputs, &layer.filters, epilogue, &mut out);
                }
                (Step::MaxPool { from, .. }, _) => {
                    max_pool::forward(
                        self.isa,
                        &self.workers,
                        &shapes[*from],
                        &values[*from],
                        &mut out,
                    );
                }
                (Step::Conv(_), None) => unreachable!("every convolution has its filters"),
            }
            values[to] = out;
            for value in reads {
                left[value] -= 1;
                if left[value] == 0 {
                    free.push(std::mem::take(&mut values[value]));
                }
            }
        }
        let mut logits = vec![0.0; self.classes * height * width];
        shapes[self.plan.logits].unpack(&self.workers, &values[self.plan.logits], &mut logits);
        logits
    }

    /// Bytes a prediction of this size needs beside the input: activations at their peak, filters, logits.
    pub fn memory_bytes(&self, height: usize, width: usize) -> usize {
        let shapes = self.shapes(height, width);
        let mut left: Vec<usize> = self.plan.values.iter().map(|v| v.readers).collect();
        let (mut held, mut peak) = (shapes[0].len(), 0);
        for step in &self.plan.steps {
            let (to, reads) = match step {
                Step::Conv(step) => (step.to, step.inputs.iter().map(|i| i.value).collect()),
                Step::MaxPool { from, to } => (*to, vec![*from]),
            };
            held += shapes[to].len();
            peak = peak.max(held);
            for value in reads {
                left[value] -= 1;
                if left[value] == 0 {
                    held -= shapes[value].len();
                }
            }
        }
        let filters: usize = self.layers.iter().flatten().map(|l| l.filters.len()).sum();
        size_of::<f32>() * (peak + filters + (self.classes + self.input_channels) * height * width)
    }

    fn shapes(&self, height: usize, width: usize) -> Vec<Blocked> {
        let shape = |level: usize, channels| Blocked {
            images: 1,
            channels,
            height: height >> level,
            width: width >> level,
        };
        self.plan
            .values
            .iter()
            .map(|v| shape(v.level, v.channels))
            .collect()
    }
}

/// Replaces the logits of pixel `p` by probabilities.
fn softmax(values: &mut [f32], p: usize, pixels: usize, classes: usize) {
    let largest = (0..classes)
        .map(|c| values[c * pixels + p])
        .fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for c in 0..classes {
        let e = (values[c * pixels + p] - largest).exp();
        values[c * pixels + p] = e;
        sum += e;
    }
    for c in 0..classes {
        values[c * pixels + p] /= sum;
    }
}

/// A buffer of exactly `len` values: one that is free if it has that size, else a fresh one (and one
/// that is free is given back to the system, so that memory does not pile up).
fn take(free: &mut Vec<Buffer>, len: usize) -> Buffer {
    match free.iter().position(|b| b.len() == len) {
        Some(index) => free.swap_remove(index),
        None => {
            free.clear();
            Buffer::zeros(len)
        }
    }
}

fn parts(plan: &Plan, step: &ConvStep) -> Vec<Part> {
    let part = |i: &crate::plan::Input| Part {
        channels: plan.values[i.value].channels,
        upsampled: i.upsampled,
    };
    step.inputs.iter().map(part).collect()
}

fn conv(isa: Isa, plan: &Plan, step: &ConvStep, out: &Blocked) -> Conv {
    Conv::new(
        isa,
        out.images,
        out.height,
        out.width,
        &parts(plan, step),
        out.channels,
    )
}

impl Layer {
    fn new(
        isa: Isa,
        workers: &Workers,
        plan: &Plan,
        step: &ConvStep,
        parameters: &Parameters,
    ) -> Self {
        let outputs = plan.values[step.to].channels;
        let mut weights = parameters.values(&step.weight).to_vec();
        let mut bias = vec![0.0; blocks(outputs) * LANES];
        if let Some(name) = &step.bias {
            bias[..outputs].copy_from_slice(parameters.values(name));
        }
        if let Some(norm) = &step.norm {
            let get = |name: &str| parameters.values(&format!("{}.{name}", norm.prefix));
            let (gamma, beta) = (get("weight"), get("bias"));
            let (mean, variance) = (get("running_mean"), get("running_var"));
            let filter = weights.len() / outputs;
            for k in 0..outputs {
                let scale = f64::from(gamma[k]) / (f64::from(variance[k]) + norm.epsilon).sqrt();
                bias[k] = (f64::from(beta[k]) - scale * f64::from(mean[k])) as f32;
                for w in &mut weights[k * filter..(k + 1) * filter] {
                    *w = (f64::from(*w) * scale) as f32;
                }
            }
        }
        let channels: Vec<usize> = parts(plan, step).iter().map(|p| p.channels).collect();
        let bank = FilterBank::new(isa, &channels, outputs);
        let mut blocked = Buffer::zeros(bank.blocked_len());
        bank.block(&weights, &mut blocked);
        let mut filters = Buffer::default();
        bank.transform(workers, &blocked, &mut filters);
        Self { filters, bias }
    }
}
