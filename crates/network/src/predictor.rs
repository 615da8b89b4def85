//! Prediction on the CPU: batch norms folded into the filters, rows made in the order of `bands`.
//!
//! What does not change from image to image ([`PreparedNetwork`]) is apart from what one image at a
//! time needs ([`Session`]), so that several images can be computed at once with one set of
//! filters.

mod gates;

use crate::bands::{Band, Maker, Schedule};
use crate::conv::convolution;
use crate::graph::{Activation, Graph};
use crate::lower::{Kernel, Lowered, Mode, lower};
use crate::machine::Machine;
use crate::output::{self, Link, Output};
use crate::parameters::Parameters;
use crate::places::{self, Lived};
use crate::program::{ConvStep, Program, Step, ValueId};
use crate::tiles::{Predict, Tile};
use gates::{GateLayers, Gated};
use stainfree_kernels::blocked::{Rows, RowsMut, blocks};
use stainfree_kernels::convolution::Convolution;
use stainfree_kernels::epilogue::Epilogue;
use stainfree_kernels::link::{Planes, write_linked};
use stainfree_kernels::{Blocked, Buffer, Isa, LANES, Workers, elementwise, max_pool};
use std::ops::Range;
use std::sync::Arc;

/// A network made ready to predict: its program, and filters as the kernels want them. It does not
/// change any more, so that any number of [`Session`]s share it, on as many threads.
pub struct PreparedNetwork {
    lowered: Lowered,
    /// Per step: transformed filters and bias of a convolution.
    layers: Vec<Option<PreparedLayer>>,
    /// Per value: the step whose gates weigh it.
    weighed_by: Vec<Option<usize>>,
    multiple: usize,
    outputs: Vec<Output>,
    input_channels: usize,
}

/// Runs a prepared network on one image after the other, of any size that is a multiple of
/// [`Graph::multiple`]: the threads, and the memory that an image takes.
pub struct Session {
    network: Arc<PreparedNetwork>,
    workers: Workers,
    /// Rows of values that are held; the memory is kept from one image to the next.
    memory: Buffer,
    /// Per step: the gates of a convolution's input.
    gated: Vec<Gated>,
}

struct PreparedLayer {
    kernel: Kernel,
    filters: Buffer,
    bias: Vec<f32>,
    gates: Option<GateLayers>,
}

/// Where the held rows of every value lie in one piece of memory while they are needed.
struct Held {
    shapes: Vec<Blocked>,
    kept: Vec<usize>,
    places: Vec<Range<usize>>,
    size: usize,
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
        (Step::Conv(step), Some(kernel)) => {
            let conv = convolution(*kernel, step, |value| any_shape(program, value));
            Some(conv.scratch_bytes())
        }
        _ => None,
    });
    convolutions.max().unwrap_or(0)
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
    /// [`Predict::memory_bytes`], which must not depend on the threads: it decides how an image is
    /// cut.
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
    fn gated_bytes(&self) -> usize {
        let gated = |layer: &&PreparedLayer| layer.gates.is_some();
        let layers = self.layers.iter().flatten().filter(gated);
        size_of::<f32>() * layers.map(|layer| layer.filters.len()).sum::<usize>()
    }

    fn schedule(&self, height: usize, width: usize) -> Schedule {
        let fits = height.is_multiple_of(self.multiple) && width.is_multiple_of(self.multiple);
        assert!(
            fits && height * width > 0,
            "sizes must be a multiple of {}",
            self.multiple
        );
        Schedule::new(&self.lowered, height, width)
    }

    /// Lays the rows that `schedule` holds into one piece of memory.
    fn held(&self, schedule: &Schedule, height: usize, width: usize) -> Held {
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
    fn step(
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

impl Session {
    /// A session of a network that no other session needs, on the threads of `machine`.
    pub fn new(machine: &Machine, graph: &Graph, parameters: &Parameters) -> Self {
        let network = PreparedNetwork::new(machine, graph, parameters);
        Self::on(machine.workers(), &Arc::new(network))
    }

    /// A session of `network` on these threads.
    pub fn on(workers: &Workers, network: &Arc<PreparedNetwork>) -> Self {
        let steps = network.lowered.program.steps.iter();
        Self {
            workers: workers.clone(),
            memory: Buffer::default(),
            gated: steps.map(|_| Gated::default()).collect(),
            network: Arc::clone(network),
        }
    }

    /// What it shares with other sessions.
    pub fn network(&self) -> &Arc<PreparedNetwork> {
        &self.network
    }

    /// The threads of its arithmetic.
    pub fn workers(&self) -> &Workers {
        &self.workers
    }

    /// What the last convolution gives, `[channel][y][x]` (logits of the classes, then further
    /// outputs before their links), for `input`, `[channel][y][x]`.
    ///
    /// # Panics
    /// If the size is not a multiple of [`PreparedNetwork::multiple`], or `input` has another
    /// length.
    pub fn logits(&mut self, input: &[f32], height: usize, width: usize) -> Vec<f32> {
        let schedule = self.network.schedule(height, width);
        self.logits_in(&schedule, input, height, width)
    }

    fn logits_in(
        &mut self,
        schedule: &Schedule,
        input: &[f32],
        height: usize,
        width: usize,
    ) -> Vec<f32> {
        let pixels = height * width;
        assert_eq!(
            input.len(),
            self.network.input_channels * pixels,
            "input has another size"
        );
        let line = |channel: usize, y: usize, to: &mut [f32]| {
            to.copy_from_slice(&input[channel * pixels + y * width..][..width]);
        };
        let mut logits = vec![0.0; output::channels(&self.network.outputs) * pixels];
        let workers = self.workers.clone();
        self.each_band(
            schedule,
            [height, width],
            &line,
            &mut |shape, from, rows| {
                shape.unpack_rows(&workers, from, &mut logits, rows);
            },
        );
        logits
    }

    /// Runs all bands: `line` writes row `y` of an input channel, `emit` gets rows of logits as
    /// they come.
    fn each_band(
        &mut self,
        schedule: &Schedule,
        [height, width]: [usize; 2],
        line: &(dyn Fn(usize, usize, &mut [f32]) + Sync),
        emit: &mut (dyn FnMut(&Blocked, Rows, Range<usize>) + Send),
    ) {
        let held = self.network.held(schedule, height, width);
        // Tiles at the edge of an image need a little less than those inside; only an image far
        // smaller gives memory back.
        let (has, needs) = (self.memory.len(), held.size);
        if has < needs || has > 2 * needs {
            // The old memory is given back before the new is taken.
            self.memory = Buffer::default();
            self.memory = Buffer::zeros(held.size);
        }
        let mut memory = std::mem::take(&mut self.memory);
        let mut gated = std::mem::take(&mut self.gated);
        let network = &self.network;
        self.workers.run(|| {
            for Band { maker, rows } in &schedule.bands {
                match *maker {
                    Maker::Input => {
                        let to = write(&mut memory[held.places[0].clone()], held.kept[0]);
                        held.shapes[0].pack_rows(&self.workers, line, to, rows.clone());
                    }
                    Maker::Step(step) => {
                        let (memory, gated) = (&mut memory, &mut gated);
                        network.step(step, rows, &held, memory, gated, &self.workers);
                    }
                    Maker::Output => {
                        let last = network.lowered.program.logits;
                        emit(&held.shapes[last], held.read(&memory, last), rows.clone());
                    }
                }
            }
        });
        (self.memory, self.gated) = (memory, gated);
    }
}

impl Predict for Session {
    fn predict(&mut self, tile: &Tile, out: &mut [f32]) {
        let [height, width] = tile.size();
        let schedule = self.network.schedule(height, width);
        let line = |channel: usize, y: usize, to: &mut [f32]| tile.row(channel, y, to);
        let [kept_rows, columns] = tile.kept();
        let workers = self.workers.clone();
        let groups = self.network.outputs.iter().map(|o| (o.link, o.channels));
        let groups: Vec<(Link, usize)> = groups.collect();
        self.each_band(
            &schedule,
            [height, width],
            &line,
            &mut |shape, logits, rows| {
                let rows = rows.start.max(kept_rows.start)..rows.end.min(kept_rows.end);
                if rows.is_empty() {
                    return;
                }
                let [height, width] = tile.image_size();
                let to = Planes {
                    data: out,
                    height,
                    width,
                    corner: tile.corner(),
                };
                let pixels = [rows, columns.clone()];
                write_linked(&workers, shape, &groups, logits, pixels, to);
            },
        );
    }

    /// Rows that are held, and filters.
    fn memory_bytes(&self, height: usize, width: usize) -> usize {
        let network = &self.network;
        let schedule = Schedule::new(&network.lowered, height, width);
        let rows = network.held(&schedule, height, width).size;
        size_of::<f32>() * rows + network.filter_bytes() + network.gated_bytes()
    }
}

impl Held {
    /// The held rows of `value`.
    fn read<'a>(&self, memory: &'a [f32], value: ValueId) -> Rows<'a> {
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

fn write(data: &mut [f32], kept: usize) -> RowsMut<'_> {
    RowsMut { data, kept }
}

/// The same rows, to write them twice.
fn again<'a>(rows: &'a mut RowsMut) -> RowsMut<'a> {
    write(rows.data, rows.kept)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Encoder, UnetSpec};

    fn session(graph: &Graph, parameters: &Parameters, isa: Isa) -> Session {
        Session::new(&Machine::new(2).with_isa(isa), graph, parameters)
    }

    #[test]
    fn bands_give_what_the_whole_image_gives() {
        Encoder::ALL.into_iter().for_each(bands_and_whole);
    }

    fn bands_and_whole(encoder: Encoder) {
        let graph = Graph::unet(&UnetSpec::new(encoder, 0.25, 3)).unwrap();
        let parameters = Parameters::initialise(&graph, 3);
        let (height, width) = (416, 96);
        let input: Vec<f32> = (0..3 * height * width)
            .map(|i| ((i * 7919) % 2003) as f32 / 1000.0 - 1.0)
            .collect();
        let norm =
            |x: &mut dyn Iterator<Item = f32>| x.map(|x| f64::from(x).powi(2)).sum::<f64>().sqrt();
        for isa in Isa::available() {
            let mut predictor = session(&graph, &parameters, isa);
            let whole = Schedule::with_tiles(&predictor.network.lowered, height, width, |_| {
                usize::MAX / 8
            });
            let expected = predictor.logits_in(&whole, &input, height, width);
            for tiles in [1, 30, 100] {
                let bands =
                    Schedule::with_tiles(&predictor.network.lowered, height, width, |_| tiles);
                assert!(
                    bands.kept.iter().sum::<usize>() < whole.kept.iter().sum::<usize>() * 3 / 4,
                    "nothing is given up"
                );
                let found = predictor.logits_in(&bands, &input, height, width);
                let error = norm(&mut found.iter().zip(&expected).map(|(a, b)| a - b));
                // Two sums of f32 in different order, 23 layers deep; a wrong row would be of the
                // order of 1.
                let relative = error / norm(&mut expected.iter().copied());
                assert!(
                    relative < 1e-5,
                    "{} {}, {tiles} tiles: {relative:e}",
                    encoder.name(),
                    isa.name()
                );
            }
        }
    }

    /// What the MobileNetV2 encoder with its ImageNet weights makes of an input: blocks 1, 3, 6, 13
    /// and 18.
    fn imagenet_features(
        input: &[f32],
        height: usize,
        width: usize,
    ) -> Option<Vec<(usize, Vec<f32>)>> {
        let path = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("../../../shared/weights/mobilenet_v2_features.safetensors");
        if !path.exists() {
            println!("skipped: `{}` is absent", path.display());
            return None;
        }
        let graph = Graph::unet(&UnetSpec::new(Encoder::MobilenetV2, 1.0, 2)).unwrap();
        let mut parameters = Parameters::initialise(&graph, 1);
        let imported = crate::weights::load_encoder(&graph, &mut parameters, &path, None).unwrap();
        assert_eq!(imported.source.name, "mobilenet-v2-onnx-zoo");
        assert_eq!((imported.tensors, imported.values), (260, 2_257_984));
        let mut predictor = session(&graph, &parameters, Isa::available()[0]);
        let blocks = [
            (1, 16, 1),
            (3, 24, 2),
            (6, 32, 3),
            (13, 96, 4),
            (18, 1280, 5),
        ];
        let mut feature = |(block, channels, level): (usize, usize, usize)| {
            // The last array of so many channels at its scale.
            let of = |v: &crate::program::Value| v.channels == channels && v.level == level;
            let lowered = &mut Arc::get_mut(&mut predictor.network).unwrap().lowered;
            let program = &mut lowered.program;
            let value = program.values.iter().rposition(of).unwrap();
            // The network ends there.
            let last = program.steps.iter().position(|step| step.to() == value);
            program.steps.truncate(last.unwrap() + 1);
            program.logits = value;
            let schedule = Schedule::new(lowered, height, width);
            let mut planar = vec![0.0; channels * (height >> level) * (width >> level)];
            let line = |channel: usize, y: usize, to: &mut [f32]| {
                to.copy_from_slice(&input[(channel * height + y) * width..][..width]);
            };
            let workers = predictor.workers.clone();
            let mut emit = |shape: &Blocked, rows: Rows, made: Range<usize>| {
                shape.unpack_rows(&workers, rows, &mut planar, made);
            };
            predictor.each_band(&schedule, [height, width], &line, &mut emit);
            (block, planar)
        };
        // The deepest first: each cuts the network shorter.
        let mut features: Vec<_> = blocks.into_iter().rev().map(&mut feature).collect();
        features.reverse();
        Some(features)
    }

    #[test]
    fn imagenet_features_are_those_stated_with_the_weights() {
        let input: Vec<f32> = (0..3 * 64 * 64)
            .map(|i| {
                let (c, y, x) = (i / 4096, i / 64 % 64, i % 64);
                ((7 * c + 3 * y + 5 * x) % 17) as f32 / 4.0 - 2.0
            })
            .collect();
        let Some(features) = imagenet_features(&input, 64, 64) else {
            return;
        };
        // Mean and largest value, as the README of the weights has them.
        let stated = [
            (1, -0.000166, 5.799142),
            (3, 0.084768, 4.078633),
            (6, 0.118671, 3.832885),
            (13, -0.050748, 2.852159),
            (18, 0.199393, 3.192290),
        ];
        for ((block, values), (stated_block, mean, largest)) in features.iter().zip(stated) {
            assert_eq!(*block, stated_block);
            let n = values.len() as f64;
            let found = values.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
            let max = values.iter().fold(0f32, |m, x| m.max(x.abs()));
            // f32 differs by at most 8e-6 there.
            assert!(
                (found - mean).abs() < 1e-5,
                "features.{block}: mean {found}"
            );
            assert!(
                (f64::from(max) - largest).abs() < 2e-5,
                "features.{block}: {max}"
            );
        }
    }

    #[test]
    fn imagenet_features_of_a_real_image_are_torchs() {
        let file = std::fs::read(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../testdata/network/mobilenet_v2_imagenet.safetensors"
        ))
        .unwrap();
        let file = safetensors::SafeTensors::deserialize(&file).unwrap();
        let preprocessing = crate::Preprocessing::torchvision();
        let input: Vec<f32> = file
            .tensor("input")
            .unwrap()
            .data()
            .chunks(64 * 64)
            .enumerate()
            .flat_map(|(channel, plane)| {
                let (_, factor, offset) = preprocessing.channel(channel);
                plane
                    .iter()
                    .map(move |&x| f32::from(x) / 255.0 * factor + offset)
            })
            .collect();
        let Some(features) = imagenet_features(&input, 64, 64) else {
            return;
        };
        for (block, values) in features {
            let expected: Vec<f64> = file
                .tensor(&format!("features.{block}"))
                .unwrap()
                .data()
                .chunks(4)
                .map(|b| f64::from(f32::from_le_bytes(b.try_into().unwrap())))
                .collect();
            let error = stainfree_kernels::plain::relative_error(&values, &expected);
            // Up to fifty layers of f32.
            assert!(error < 1e-5, "features.{block}: {error:e}");
        }
    }
}
