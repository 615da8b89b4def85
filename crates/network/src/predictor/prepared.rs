//! What is the same for all images: the program, filters with the batch norms in them, and how rows
//! of a step are made in memory that somebody else holds.

use super::gates::{GateLayers, Gated};
use crate::bands::Schedule;
use crate::conv::convolution;
use crate::graph::{Activation, Graph};
use crate::lower::{Kernel, Lowered, Mode, lower};
use crate::machine::Machine;
use crate::output::Output;
use crate::parameters::Parameters;
use crate::places::{self, Lived};
use crate::program::{ConvStep, Program, Step, ValueId};
use stainfree_kernels::blocked::{Rows, RowsMut, blocks};
use stainfree_kernels::convolution::{Convolution, ThreadScratch};
use stainfree_kernels::epilogue::Epilogue;
use stainfree_kernels::{Blocked, Buffer, Isa, LANES, Workers, elementwise, max_pool};
use std::ops::Range;

/// A network made ready to predict: its program, and filters as the kernels want them. It does not
/// change any more, so that any number of sessions share it ([`super::Session`]), on as many
/// threads.
pub struct PreparedNetwork {
    pub(super) lowered: Lowered,
    /// Per step: transformed filters and bias of a convolution.
    layers: Vec<Option<PreparedLayer>>,
    /// Per value: the step whose gates weigh it.
    weighed_by: Vec<Option<usize>>,
    multiple: usize,
    pub(super) outputs: Vec<Output>,
    pub(super) input_channels: usize,
}

struct PreparedLayer {
    kernel: Kernel,
    filters: Buffer,
    bias: Vec<f32>,
    gates: Option<GateLayers>,
}

/// Where the held rows of every value lie in one piece of memory while they are needed.
pub(super) struct Held {
    pub(super) shapes: Vec<Blocked>,
    pub(super) kept: Vec<usize>,
    pub(super) places: Vec<Range<usize>>,
    pub(super) size: usize,
}

/// [`PreparedNetwork::scratch_bytes`] of a network that is not prepared yet.
pub(crate) fn prediction_scratch(graph: &Graph, isa: Isa) -> usize {
    scratch_of(&lowered(graph, isa))
}

/// The graph's program for a prediction.
///
/// # Panics
/// If there is none.
fn lowered(graph: &Graph, isa: Isa) -> Lowered {
    let program = Program::new(graph).unwrap_or_else(|error| panic!("{error}"));
    lower(&program, isa, Mode::Prediction)
}

/// A shape of `value` for asking a convolution how its filters lie, which no size changes.
fn any_shape(program: &Program, value: ValueId) -> Blocked {
    Blocked {
        images: 1,
        channels: program.values[value].channels,
        height: 2,
        width: 2,
    }
}

fn scratch_of(lowered: &Lowered) -> usize {
    let Lowered {
        program, kernels, ..
    } = lowered;
    let steps = program.steps.iter().zip(kernels);
    let convolutions = steps.filter_map(|(step, kernel)| match (step, kernel) {
        (Step::Conv(step), Some(kernel)) => Some(convolution(*kernel, step, |value| {
            any_shape(program, value)
        })),
        _ => None,
    });
    let scratch = convolutions.fold(ThreadScratch::default(), |sum, conv| sum.and(&conv));
    scratch.bytes()
}

impl PreparedNetwork {
    /// Prepares `parameters` for prediction with the instructions of `machine`; its threads do the
    /// work.
    ///
    /// # Panics
    /// If the graph has no [`Program`], which whoever made it has asked.
    pub fn new(machine: &Machine, graph: &Graph, parameters: &Parameters) -> Self {
        let workers = machine.workers();
        let lowered = lowered(graph, machine.isa());
        let Program { values, steps, .. } = &lowered.program;
        let layer = |(step, kernel): (&Step, &Option<Kernel>)| match (step, kernel) {
            (Step::Conv(step), Some(kernel)) => {
                let program = &lowered.program;
                Some(PreparedLayer::new(
                    *kernel, workers, program, step, parameters,
                ))
            }
            _ => None,
        };
        let layers = steps.iter().zip(&lowered.kernels).map(layer).collect();
        let mut weighed_by = vec![None; values.len()];
        for (index, step) in steps.iter().enumerate() {
            if let Step::Conv(conv) = step
                && conv.excite.is_some()
            {
                weighed_by[conv.inputs[0].value] = Some(index);
            }
        }
        Self {
            weighed_by,
            lowered,
            layers,
            multiple: graph.multiple(),
            outputs: graph.outputs().to_vec(),
            input_channels: graph.input_channels(),
        }
    }

    /// Bytes that each thread of a session takes for its work at most, beside
    /// [`Predict::memory_bytes`](crate::tiles::Predict::memory_bytes), which must not depend on the
    /// threads: it decides how an image is cut.
    pub fn scratch_bytes(&self) -> usize {
        scratch_of(&self.lowered)
    }

    /// What it predicts, the classes first.
    pub fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.outputs[0].channels
    }

    /// Heights and widths must be a multiple of this.
    pub fn multiple(&self) -> usize {
        self.multiple
    }

    /// Bytes of filters, which all sessions share.
    pub fn filter_bytes(&self) -> usize {
        let gates = |layer: &PreparedLayer| layer.gates.as_ref().map_or(0, GateLayers::len);
        let layers = self.layers.iter().flatten();
        let values: usize = layers.map(|layer| layer.filters.len() + gates(layer)).sum();
        size_of::<f32>() * values
    }

    /// Bytes of the filters that a session holds the gates of its image in, a second copy.
    pub(super) fn gated_bytes(&self) -> usize {
        let gated = |layer: &&PreparedLayer| layer.gates.is_some();
        let layers = self.layers.iter().flatten().filter(gated);
        size_of::<f32>() * layers.map(|layer| layer.filters.len()).sum::<usize>()
    }

    pub(super) fn schedule(&self, height: usize, width: usize) -> Schedule {
        let fits = height.is_multiple_of(self.multiple) && width.is_multiple_of(self.multiple);
        assert!(
            fits && height * width > 0,
            "sizes must be a multiple of {}",
            self.multiple
        );
        Schedule::new(&self.lowered, height, width)
    }

    /// Lays the rows that `schedule` holds into one piece of memory.
    pub(super) fn held(&self, schedule: &Schedule, height: usize, width: usize) -> Held {
        let shapes = self.lowered.program.shapes([1, height, width]);
        let arrays: Vec<Lived> = schedule
            .lives(&self.lowered.program)
            .into_iter()
            .enumerate()
            .map(|(value, life)| Lived {
                len: held(&shapes[value], schedule.kept[value]),
                life,
            })
            .collect();
        let (places, size) = places::lay_out(&arrays);
        Held {
            shapes,
            kept: schedule.kept.clone(),
            places,
            size,
        }
    }

    /// Makes `rows` of what a step writes.
    pub(super) fn step(
        &self,
        index: usize,
        rows: &Range<usize>,
        held: &Held,
        memory: &mut [f32],
        gated: &mut [Gated],
        workers: &Workers,
    ) {
        let Lowered { program, isa, .. } = &self.lowered;
        let step = &program.steps[index];
        let (to, reads) = (step.to(), step.reads());
        let involved: Vec<_> = std::iter::once(to)
            .chain(reads.iter().copied())
            .map(|value| held.places[value].clone())
            .collect();
        let mut parts = places::parts(memory, &involved).into_iter();
        let out = parts.next().expect("the output is one of them");
        let mut target = write(out, held.kept[to]);
        let inputs: Vec<Rows> = parts
            .zip(&reads)
            .map(|(data, &value)| read(data, held.kept[value]))
            .collect();
        let shape = &held.shapes[to];
        match step {
            Step::Conv(step) => {
                let part = (inputs, target, rows);
                self.convolve(index, step, held, &mut gated[index], part, workers);
            }
            Step::Add { activation, .. } => {
                let (terms, out) = ([inputs[0], inputs[1]], again(&mut target));
                elementwise::add_rows(*isa, workers, shape, terms, &[1.0], out, rows.clone());
                if *activation != Activation::None {
                    let rows = rows.clone();
                    elementwise::activate_in_place_rows(
                        *isa,
                        workers,
                        shape,
                        *activation,
                        target,
                        rows,
                    );
                }
            }
            Step::Activate { activation, .. } => {
                let (x, rows) = (inputs[0], rows.clone());
                elementwise::activate_rows(*isa, workers, shape, *activation, x, target, rows);
            }
            Step::MaxPool { from, .. } => {
                let shape = &held.shapes[*from];
                max_pool::forward_rows(*isa, workers, shape, inputs[0], target, rows.clone());
            }
        }
        if let Some(reader) = self.weighed_by[to] {
            // While the rows are still in cache.
            let (shape, made) = (&held.shapes[to], held.read(memory, to));
            gated[reader].gather(*isa, workers, shape, made, rows.clone());
        }
    }

    /// Makes rows of what the convolution `step`, at `index` of the program, writes.
    fn convolve(
        &self,
        index: usize,
        step: &ConvStep,
        held: &Held,
        gated: &mut Gated,
        (inputs, target, rows): (Vec<Rows>, RowsMut, &Range<usize>),
        workers: &Workers,
    ) {
        let layer = self.layers[index]
            .as_ref()
            .expect("every convolution has its filters");
        let conv = convolution(layer.kernel, step, |value| held.shapes[value]);
        let filters = match (&conv, &layer.gates) {
            (Convolution::Pointwise(conv), Some(gates)) => {
                if rows.start == 0 {
                    let shape = &held.shapes[step.inputs[0].value];
                    gated.close(gates, shape, conv, &layer.filters);
                }
                gated.filters()
            }
            _ => &layer.filters,
        };
        let epilogue = Epilogue::biased(&layer.bias, step.activation);
        conv.forward_rows(workers, &inputs, filters, epilogue, target, rows.clone());
    }
}

impl PreparedLayer {
    fn new(
        kernel: Kernel,
        workers: &Workers,
        program: &Program,
        step: &ConvStep,
        parameters: &Parameters,
    ) -> Self {
        let outputs = program.values[step.to].channels;
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
                let mean = f64::from(mean[k]) - f64::from(bias[k]);
                bias[k] = (f64::from(beta[k]) - scale * mean) as f32;
                for w in &mut weights[k * filter..(k + 1) * filter] {
                    *w = (f64::from(*w) * scale) as f32;
                }
            }
        }
        let conv = convolution(kernel, step, |value| any_shape(program, value));
        let mut blocked = Buffer::zeros(conv.blocked_len());
        conv.block(&weights, &mut blocked);
        let mut room = Buffer::default();
        conv.prepare(workers, &blocked, &mut room);
        let filters = if room.is_empty() { blocked } else { room };
        let gates = step.excite.as_ref().map(|excite| {
            let channels = program.values[step.inputs[0].value].channels;
            GateLayers::new(kernel.isa, channels, excite, parameters)
        });
        Self {
            kernel,
            filters,
            bias,
            gates,
        }
    }
}

impl Held {
    /// The held rows of `value`.
    pub(super) fn read<'a>(&self, memory: &'a [f32], value: ValueId) -> Rows<'a> {
        read(&memory[self.places[value].clone()], self.kept[value])
    }
}

/// Values in `kept` rows of an array.
fn held(shape: &Blocked, kept: usize) -> usize {
    let rows = Blocked {
        height: kept,
        ..*shape
    };
    rows.len()
}

fn read(data: &[f32], kept: usize) -> Rows<'_> {
    Rows { data, kept }
}

pub(super) fn write(data: &mut [f32], kept: usize) -> RowsMut<'_> {
    RowsMut { data, kept }
}

/// The same rows, to write them twice.
fn again<'a>(rows: &'a mut RowsMut) -> RowsMut<'a> {
    write(rows.data, rows.kept)
}
