//! Prediction on the CPU: batch norms folded into the filters, activations in reused memory.

use crate::graph::Graph;
use crate::parameters::Parameters;
use crate::plan::{ConvStep, Plan, Step};
use stainfree_kernels::blocked::blocks;
use stainfree_kernels::winograd::{Conv, Epilogue, FilterBank, Part};
use stainfree_kernels::{Blocked, Buffer, Isa, LANES, Workers, elementwise, max_pool};
use std::ops::Range;

/// Runs one network on single images of any size that is a multiple of [`Graph::multiple`].
pub struct CpuPredictor {
    isa: Isa,
    workers: Workers,
    plan: Plan,
    /// Per step: transformed filters and bias of a convolution.
    layers: Vec<Option<Layer>>,
    /// Activations; kept from one image to the next.
    memory: Buffer,
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
            memory: Buffer::default(),
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
        elementwise::softmax(&self.workers, self.classes, &mut logits);
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
        let (places, size) = self.places(&shapes);
        if self.memory.len() < size {
            // The old memory is given back before the new is taken.
            self.memory = Buffer::default();
            self.memory = Buffer::zeros(size);
        }
        shapes[0].pack(&self.workers, input, &mut self.memory[places[0].clone()]);
        for (step, layer) in self.plan.steps.iter().zip(&self.layers) {
            match (step, layer) {
                (Step::Conv(step), Some(layer)) => {
                    let reads = step.inputs.iter().map(|i| &places[i.value]);
                    let (out, inputs) = split(&mut self.memory, &places[step.to], reads);
                    let conv = conv(self.isa, &self.plan, step, &shapes[step.to]);
                    let epilogue = Epilogue {
                        bias: Some(&layer.bias),
                        relu: step.relu,
                    };
                    conv.forward(&self.workers, &inputs, &layer.filters, epilogue, out);
                }
                (Step::MaxPool { from, to }, _) => {
                    let reads = std::iter::once(&places[*from]);
                    let (out, inputs) = split(&mut self.memory, &places[*to], reads);
                    max_pool::forward(self.isa, &self.workers, &shapes[*from], inputs[0], out);
                }
                (Step::Conv(_), None) => unreachable!("every convolution has its filters"),
            }
        }
        let mut logits = vec![0.0; self.classes * height * width];
        let last = &self.memory[places[self.plan.logits].clone()];
        shapes[self.plan.logits].unpack(&self.workers, last, &mut logits);
        logits
    }

    /// Bytes a prediction of this size needs beside the input: activations at their peak, filters, logits.
    pub fn memory_bytes(&self, height: usize, width: usize) -> usize {
        let (_, size) = self.places(&self.shapes(height, width));
        let filters: usize = self.layers.iter().flatten().map(|l| l.filters.len()).sum();
        size_of::<f32>() * (size + filters + (self.classes + self.input_channels) * height * width)
    }

    /// Where each value lies in one piece of memory, and the size of that: as low as those allow that are still
    /// to be read, in the order in which values come.
    fn places(&self, shapes: &[Blocked]) -> (Vec<Range<usize>>, usize) {
        let mut left: Vec<usize> = self.plan.values.iter().map(|v| v.readers).collect();
        let mut places = vec![0..0; shapes.len()];
        // In order of their places.
        let mut held = vec![0];
        places[0] = 0..shapes[0].len();
        let mut size = places[0].end;
        for step in &self.plan.steps {
            let (to, reads) = match step {
                Step::Conv(step) => (step.to, step.inputs.iter().map(|i| i.value).collect()),
                Step::MaxPool { from, to } => (*to, vec![*from]),
            };
            let (mut start, mut index) = (0, 0);
            while index < held.len() && places[held[index]].start < start + shapes[to].len() {
                start = places[held[index]].end;
                index += 1;
            }
            places[to] = start..start + shapes[to].len();
            held.insert(index, to);
            size = size.max(places[to].end);
            for value in reads {
                left[value] -= 1;
                if left[value] == 0 {
                    held.retain(|&h| h != value);
                }
            }
        }
        (places, size)
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

/// The part of `memory` that is written, and those that are read beside it.
///
/// # Panics
/// If one of them overlaps the part that is written.
fn split<'a>(
    memory: &'a mut [f32],
    write: &Range<usize>,
    read: impl Iterator<Item = &'a Range<usize>>,
) -> (&'a mut [f32], Vec<&'a [f32]>) {
    let (before, rest) = memory.split_at_mut(write.start);
    let (out, after) = rest.split_at_mut(write.len());
    let (before, after) = (&*before, &*after);
    let part = |r: &Range<usize>| {
        if r.end <= write.start {
            &before[r.clone()]
        } else {
            assert!(r.start >= write.end, "a value is read where it is written");
            &after[r.start - write.end..r.end - write.end]
        }
    };
    (out, read.map(part).collect())
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
