//! Training on the CPU: forward and backward pass over the program, and Adam.
//!
//! Weights, moments and gradients live in the kernels' blocked order; they are brought back to
//! natural order only when somebody asks for them. Filters are transformed anew in every pass, into
//! memory that all layers share.
//!
//! Here: the order of the layers, the gradients on their way back, natural order. What one layer
//! holds and does is in `layer`, where the arrays of a step lie in `memory`.

mod excite;
mod layer;
mod memory;
mod trained;

use crate::device::{AdamStep, OptimiserState, Train};
use crate::graph::{Activation, Graph, ParameterKind};
use crate::lower::{Lowered, Mode, lower};
use crate::machine::{Machine, MachineIdentity};
use crate::parameters::{Parameters, Tensor};
use crate::places;
use crate::predictor::{Session, prediction_scratch};
use crate::program::{Program, Step, ValueId};
use crate::tiles::Predict;
use layer::{AddLayer, Arrays, ConvLayer, NormLayer, UseStatistics};
use memory::StepMemory;
use stainfree_kernels::adam::AdamNumbers;
use stainfree_kernels::convolution::{ConvolutionScratch, ThreadScratch};
use stainfree_kernels::epilogue::{Epilogue, Sink};
use stainfree_kernels::{Blocked, Buffer, Isa, Workers, elementwise, max_pool};
use std::collections::HashMap;
use trained::Which;

/// Trains one network on batches of one shape.
pub struct CpuTrainer {
    graph: Graph,
    machine: Machine,
    isa: Isa,
    workers: Workers,
    layers: Vec<Layer>,
    /// Shape of every value of the program.
    shapes: Vec<Blocked>,
    readers: Vec<usize>,
    bare_relu: Vec<bool>,
    logits: ValueId,
    /// What the last forward pass was given.
    planar_input: Vec<f32>,
    planar_logits: Vec<f32>,
    /// Values and gradients of a step, and where each lies: they come and go in a known order.
    arrays: Buffer,
    places: StepMemory,
    /// Whether values of a forward pass are there for the way back.
    has_values: bool,
    /// Transformed filters of the layer at hand.
    filters: Buffer,
    scratch: ConvolutionScratch,
    momentum: f32,
    /// Seed of stochastic depth; none = nothing is dropped.
    drop_seed: Option<u64>,
    step: u64,
}

enum Layer {
    Conv(Box<ConvLayer>),
    MaxPool {
        from: ValueId,
        to: ValueId,
    },
    Add(AddLayer),
    Activate {
        from: ValueId,
        to: ValueId,
        activation: Activation,
    },
}

impl Layer {
    /// The layers of a program for batches of `images`, whose values have `shapes`.
    fn all(lowered: Lowered, images: usize, shapes: &[Blocked]) -> Vec<Layer> {
        let Lowered {
            program,
            kernels,
            isa,
        } = lowered;
        let layer = |(step, kernel)| match (step, kernel) {
            (Step::Conv(step), Some(kernel)) => {
                Layer::Conv(Box::new(ConvLayer::new(isa, kernel, step, shapes)))
            }
            (Step::Conv(step), None) => panic!("`{}` was given no kernel", step.weight),
            (Step::MaxPool { from, to }, _) => Layer::MaxPool { from, to },
            (
                Step::Activate {
                    from,
                    to,
                    activation,
                },
                _,
            ) => Layer::Activate {
                from,
                to,
                activation,
            },
            (
                Step::Add {
                    terms,
                    to,
                    drop,
                    activation,
                },
                _,
            ) => Layer::Add(AddLayer::new(terms, to, (drop, activation), images)),
        };
        program.steps.into_iter().zip(kernels).map(layer).collect()
    }
}

impl CpuTrainer {
    /// A trainer for batches of `[images, height, width]`, starting from `parameters`.
    ///
    /// # Panics
    /// If height or width is not a multiple of [`Graph::multiple`], there is no image, or the graph
    /// has no [`Program`], which whoever made it has asked.
    pub fn new(
        machine: &Machine,
        graph: &Graph,
        parameters: &Parameters,
        shape: [usize; 3],
    ) -> Self {
        let isa = machine.isa();
        let [images, height, width] = shape;
        let multiple = graph.multiple();
        let fits = height.is_multiple_of(multiple) && width.is_multiple_of(multiple);
        assert!(
            fits && images * height * width > 0,
            "crops must be a multiple of {multiple}"
        );
        let program = Program::new(graph).unwrap_or_else(|error| panic!("{error}"));
        let shapes = program.shapes(shape);
        let places = StepMemory::new(&program, &shapes);
        let layers = Layer::all(lower(&program, isa, Mode::Training), images, &shapes);
        let mut trainer = Self {
            graph: graph.clone(),
            machine: machine.clone(),
            isa,
            workers: machine.workers().clone(),
            layers,
            planar_input: vec![0.0; images * graph.input_channels() * height * width],
            planar_logits: vec![0.0; images * graph.output_channels() * height * width],
            shapes,
            readers: program.values.iter().map(|v| v.readers).collect(),
            bare_relu: program.values.iter().map(|v| v.bare_relu).collect(),
            logits: program.logits,
            arrays: Buffer::zeros(places.size),
            places,
            has_values: false,
            filters: Buffer::default(),
            scratch: ConvolutionScratch::default(),
            // Keras' momentum 0.99 is the weight of the old average.
            momentum: 0.01,
            drop_seed: None,
            step: 0,
        };
        trainer.load(Which::Values, &mut |name| Some(&parameters.get(name)?.data));
        trainer
            .norms_mut()
            .for_each(|norm| norm.load_statistics(parameters));
        trainer
    }

    /// All values for `input`.
    fn run(&mut self, input: &[f32], statistics: UseStatistics) {
        let Self {
            isa,
            workers,
            layers,
            shapes,
            arrays,
            places,
            filters,
            ..
        } = self;
        self.planar_input.copy_from_slice(input);
        shapes[0].pack(workers, input, &mut arrays[places.values[0].clone()]);
        for (index, layer) in layers.iter_mut().enumerate() {
            let place = |value: usize| places.values[value].clone();
            match layer {
                Layer::Conv(layer) => {
                    let inputs = layer.step.inputs.iter().map(|input| place(input.value));
                    let involved = [place(layer.step.to), places.before[index].clone()];
                    let involved: Vec<_> = involved.into_iter().chain(inputs).collect();
                    let arrays = Arrays::new(places::parts(arrays, &involved));
                    layer.forward(*isa, workers, shapes, arrays, filters, statistics);
                }
                Layer::Add(layer) => {
                    let [first, second] = layer.terms;
                    let involved = [layer.to, first, second].map(place);
                    let [out, first, second] = places::parts_of(arrays, involved);
                    layer.draw(self.drop_seed, self.step);
                    layer.forward(*isa, workers, &shapes[layer.to], [first, second], out);
                }
                Layer::MaxPool { from, to } => {
                    let [x, out] = places::parts_of(arrays, [*from, *to].map(place));
                    max_pool::forward(*isa, workers, &shapes[*from], x, out);
                }
                Layer::Activate {
                    from,
                    to,
                    activation,
                } => {
                    let [x, out] = places::parts_of(arrays, [*from, *to].map(place));
                    let (shape, kept) = (&shapes[*to], shapes[*to].height);
                    let (x, out) = (shape.whole(x), shape.whole_mut(out));
                    elementwise::activate_rows(*isa, workers, shape, *activation, x, out, 0..kept);
                }
            }
        }
    }

    /// Makes a value of the last forward pass again where the backward pass wants it.
    fn make_again(&mut self, value: ValueId) {
        let Self {
            isa,
            workers,
            layers,
            shapes,
            arrays,
            places,
            ..
        } = self;
        let Some(index) = places.writers[value] else {
            let to = &mut arrays[places.kept[value].clone()];
            return shapes[value].pack(workers, &self.planar_input, to);
        };
        let Layer::Conv(layer) = &mut layers[index] else {
            unreachable!("only convolutions are made again")
        };
        let inputs = match layer.norm {
            Some(_) => &[][..],
            None => &layer.step.inputs[..],
        };
        let inputs = inputs.iter().map(|input| places.kept[input.value].clone());
        let involved = [places.kept[value].clone(), places.before[index].clone()];
        let involved: Vec<_> = involved.into_iter().chain(inputs).collect();
        let arrays = Arrays::new(places::parts(arrays, &involved));
        layer.make_again(*isa, workers, shapes, arrays, &mut self.filters);
    }

    fn way_back(&mut self, d_logits: &[f32]) {
        let logits = self.logits;
        let to = &mut self.arrays[self.places.gradients[logits].clone()];
        self.shapes[logits].pack(&self.workers, d_logits, to);
        let mut arrivals = Arrivals {
            left: self.readers.clone(),
            begun: vec![false; self.shapes.len()],
        };
        for index in (0..self.layers.len()).rev() {
            for at in 0..self.places.again[index].len() {
                self.make_again(self.places.again[index][at]);
            }
            self.backward_of_layer(index, &mut arrivals);
        }
    }

    /// The part of one layer in [`Train::backward`].
    fn backward_of_layer(&mut self, index: usize, arrivals: &mut Arrivals) {
        let Self {
            isa,
            workers,
            layers,
            shapes,
            arrays,
            places,
            bare_relu,
            ..
        } = self;
        let (kept, gradients) = (&places.kept, &places.gradients);
        let mut reach = |value: usize| arrivals.reach(value, bare_relu[value]);
        match &mut layers[index] {
            Layer::Conv(layer) => {
                let step = &layer.step;
                let values = || step.inputs.iter().map(|input| input.value);
                // Below the first layer lies the image.
                let reaches_image = step.reads_image_alone();
                let to = match layer.norm {
                    Some(_) => kept[step.to].clone(),
                    None => 0..0,
                };
                let involved: Vec<_> = [to, places.before[index].clone()]
                    .into_iter()
                    .chain(values().map(|value| kept[value].clone()))
                    .chain([gradients[step.to].clone()])
                    .chain(
                        values()
                            .filter(|_| !reaches_image)
                            .map(|value| gradients[value].clone()),
                    )
                    .collect();
                let mut own = places::parts(arrays, &involved);
                let mut d = own.split_off(2 + step.inputs.len()).into_iter();
                let own = Arrays::new(own);
                let d_out = d.next().expect("the output is one of them");
                let mut sinks: Vec<Sink> = d
                    .zip(values().zip(&own.inputs))
                    .map(|(data, (value, y))| reach(value).sink(data, y))
                    .collect();
                let room = (&mut self.filters, &mut self.scratch);
                layer.backward(*isa, workers, shapes, &own, d_out, &mut sinks, room);
            }
            Layer::Add(layer) => {
                let [first, second] = layer.terms;
                let cut = |value: usize| match bare_relu[value] {
                    true => kept[value].clone(),
                    false => 0..0,
                };
                let [to, d_first, d_second] =
                    [layer.to, first, second].map(|value| gradients[value].clone());
                let involved = [to, d_first, d_second, cut(first), cut(second)];
                let [d_out, d_first, d_second, y_first, y_second] =
                    places::parts_of(arrays, involved);
                let mut first = reach(first).sink(d_first, y_first);
                let mut second = reach(second).sink(d_second, y_second);
                let shape = &shapes[layer.to];
                layer.backward(*isa, workers, shape, d_out, [&mut first, &mut second]);
            }
            Layer::MaxPool { from, to } => {
                let (from, to) = (*from, *to);
                let involved = [
                    gradients[to].clone(),
                    gradients[from].clone(),
                    kept[from].clone(),
                ];
                let [d_out, d_x, x] = places::parts_of(arrays, involved);
                let mut sink = reach(from).sink(d_x, x);
                max_pool::backward(*isa, workers, &shapes[from], x, d_out, &mut sink);
            }
            Layer::Activate {
                from,
                to,
                activation,
            } => {
                let (from, to, activation) = (*from, *to, *activation);
                let involved = [
                    gradients[to].clone(),
                    gradients[from].clone(),
                    kept[from].clone(),
                    kept[to].clone(),
                ];
                let [d_out, d_x, x, y] = places::parts_of(arrays, involved);
                let (arrival, shape) = (reach(from), &shapes[from]);
                let (x, y, d_out) = (&*x, &*y, &*d_out);
                let mut sink = arrival.sink(d_x, x);
                let arrays = [x, y, d_out];
                elementwise::activation_gradient(
                    *isa, workers, shape, activation, arrays, &mut sink,
                );
            }
        }
    }

    /// The last gradients of the trainable parameters, in natural order.
    pub fn gradients(&self) -> Vec<Tensor> {
        self.tensors(Which::Gradient)
    }

    fn conv_layers(&self) -> impl Iterator<Item = &ConvLayer> {
        self.layers.iter().filter_map(|layer| match layer {
            Layer::Conv(layer) => Some(&**layer),
            Layer::MaxPool { .. } | Layer::Add(_) | Layer::Activate { .. } => None,
        })
    }

    fn norms(&self) -> impl Iterator<Item = &NormLayer> {
        self.conv_layers().filter_map(|layer| layer.norm.as_ref())
    }

    fn norms_mut(&mut self) -> impl Iterator<Item = &mut NormLayer> {
        self.layers.iter_mut().filter_map(|layer| match layer {
            Layer::Conv(layer) => layer.norm.as_mut(),
            Layer::MaxPool { .. } | Layer::Add(_) | Layer::Activate { .. } => None,
        })
    }

    /// One array of every trainable parameter, in the graph's order and layout.
    fn tensors(&self, which: Which) -> Vec<Tensor> {
        let mut found: HashMap<&str, Vec<f32>> = HashMap::new();
        for layer in self.conv_layers() {
            let len = self.info(&layer.weight.name).len();
            let mut natural = vec![0.0; len];
            layer.conv.unblock(layer.weight.part(which), &mut natural);
            found.insert(&layer.weight.name, natural);
            for trained in layer.small() {
                let len = self.info(&trained.name).len();
                found.insert(&trained.name, trained.part(which)[..len].to_vec());
            }
            if let Some(excite) = &layer.excite {
                for (trained, natural) in excite.matrices().iter().zip(excite.natural(which)) {
                    found.insert(&trained.name, natural);
                }
            }
        }
        let trainable = self
            .graph
            .parameters()
            .iter()
            .filter(|p| p.kind == ParameterKind::Trainable);
        trainable
            .map(|info| Tensor {
                name: info.name.clone(),
                shape: info.shape.clone(),
                kind: info.kind,
                data: found
                    .remove(info.name.as_str())
                    .expect("a layer holds every parameter"),
            })
            .collect()
    }

    fn info(&self, name: &str) -> &crate::graph::ParameterInfo {
        self.graph
            .parameters()
            .iter()
            .find(|p| p.name == name)
            .expect("the graph lists this parameter")
    }

    /// Fills one array of every trainable parameter from natural order.
    fn load<'a>(&mut self, which: Which, find: &mut dyn FnMut(&str) -> Option<&'a Vec<f32>>) {
        for layer in &mut self.layers {
            let Layer::Conv(layer) = layer else { continue };
            let weights = find(&layer.weight.name).expect("every parameter is given");
            layer.conv.block(weights, layer.weight.part_mut(which));
            for trained in layer.small_mut() {
                let values = find(&trained.name).expect("every parameter is given");
                trained.part_mut(which)[..values.len()].copy_from_slice(values);
            }
            if let Some(excite) = &mut layer.excite {
                let weights = excite
                    .matrices()
                    .each_ref()
                    .map(|trained| &find(&trained.name).expect("every parameter is given")[..]);
                excite.load(which, weights);
            }
        }
    }
}

impl Train for CpuTrainer {
    fn forward(&mut self, input: &[f32]) -> &[f32] {
        let workers = self.workers.clone();
        workers.run(|| {
            self.run(input, UseStatistics::Batch(self.momentum));
            self.has_values = true;
            self.shapes[self.logits].unpack(
                &self.workers,
                &self.arrays[self.places.values[self.logits].clone()],
                &mut self.planar_logits,
            );
        });
        &self.planar_logits
    }

    fn backward(&mut self, d_logits: &[f32]) {
        assert!(
            std::mem::take(&mut self.has_values),
            "a backward pass follows a forward pass"
        );
        let workers = self.workers.clone();
        workers.run(|| self.way_back(d_logits));
    }

    fn not_finite(&self) -> Option<String> {
        let layers: Vec<&ConvLayer> = self.conv_layers().collect();
        let found = self.workers.map(layers.len(), |index| {
            let layer = layers[index];
            let mut trained = layer.weights().chain(layer.small());
            let gradient = trained
                .find(|trained| !all_finite(trained.part(Which::Gradient)))
                .map(|trained| format!("the gradient of `{}`", trained.name));
            gradient.or_else(|| {
                let norm = layer.norm.as_ref()?;
                let finite = all_finite(&norm.running_mean) && all_finite(&norm.running_var);
                (!finite).then(|| format!("the running statistics of `{}`", norm.prefix()))
            })
        });
        found.into_iter().flatten().next()
    }

    fn adam_step(&mut self, step: &AdamStep) {
        self.step += 1;
        let AdamStep {
            lr,
            beta1,
            beta2,
            epsilon,
            weight_decay,
        } = *step;
        let numbers = |decay| AdamNumbers {
            number: self.step,
            rate: lr,
            beta1,
            beta2,
            epsilon,
            decay,
        };
        let (plain, decayed) = (numbers(0.0), numbers(weight_decay));
        let (isa, workers) = (self.isa, &self.workers);
        let layers = &mut self.layers;
        workers.run(|| {
            for layer in layers {
                if let Layer::Conv(layer) = layer {
                    for trained in layer.weights_mut() {
                        trained.update(isa, workers, &decayed);
                    }
                    for trained in layer.small_mut() {
                        trained.update(isa, workers, &plain);
                    }
                }
            }
        });
    }

    fn set_batch_norm_momentum(&mut self, momentum: f32) {
        self.momentum = momentum;
    }

    fn set_stochastic_depth(&mut self, seed: Option<u64>) {
        self.drop_seed = seed;
    }

    fn recalibrate(&mut self, prefix: &str, batches: Vec<Vec<f32>>) {
        let mut count = 0;
        for batch in batches {
            let workers = self.workers.clone();
            workers.run(|| self.run(&batch, UseStatistics::Running));
            count += 1;
        }
        for norm in self.norms_mut() {
            if count > 0 && norm.prefix().starts_with(prefix) {
                norm.recalibrate(count);
            } else {
                norm.forget_moments();
            }
        }
    }

    fn parameters(&self) -> Parameters {
        let mut tensors = self.tensors(Which::Values);
        for norm in self.norms() {
            let prefix = norm.prefix();
            for (name, data) in [
                ("running_mean", &norm.running_mean),
                ("running_var", &norm.running_var),
            ] {
                tensors.push(Tensor {
                    name: format!("{prefix}.{name}"),
                    shape: vec![data.len()],
                    kind: ParameterKind::Statistic,
                    data: data.clone(),
                });
            }
        }
        Parameters::new(&self.graph, tensors)
            .expect("the layers hold exactly the graph's parameters")
    }

    fn optimiser_state(&self) -> OptimiserState {
        OptimiserState {
            step: self.step,
            first: self.tensors(Which::First),
            second: self.tensors(Which::Second),
        }
    }

    fn restore(&mut self, parameters: &Parameters, state: &OptimiserState) {
        self.load(Which::Values, &mut |name| Some(&parameters.get(name)?.data));
        let find = |tensors: &'_ [Tensor]| -> HashMap<String, Vec<f32>> {
            tensors
                .iter()
                .map(|t| (t.name.clone(), t.data.clone()))
                .collect()
        };
        let (first, second) = (find(&state.first), find(&state.second));
        self.load(Which::First, &mut |name| first.get(name));
        self.load(Which::Second, &mut |name| second.get(name));
        self.norms_mut()
            .for_each(|norm| norm.load_statistics(parameters));
        self.step = state.step;
    }

    fn predictor(&self, parameters: &Parameters) -> Box<dyn Predict> {
        Box::new(Session::new(&self.machine, &self.graph, parameters))
    }

    fn memory_bytes(&self) -> usize {
        let excites = self.conv_layers().filter_map(|l| l.excite.as_ref());
        let scaled: usize = excites.map(|e| e.scaled().len()).sum();
        // With the channels that they are filled up with.
        let weights: usize = self
            .conv_layers()
            .flat_map(|layer| layer.weights().chain(layer.small()))
            .map(|trained| trained.part(Which::Values).len())
            .sum();
        // The largest transformed filters are held twice: for use, and as products of the gradient.
        let filters = self
            .conv_layers()
            .map(|l| l.conv.prepared_len())
            .max()
            .unwrap_or(0);
        let planar = self.planar_input.len() + self.planar_logits.len();
        let values = self.arrays.len() + planar + scaled + 4 * weights + 2 * filters;
        let scratch = self
            .conv_layers()
            .fold(ThreadScratch::default(), |sum, layer| {
                sum.and_trained(&layer.conv)
            });
        size_of::<f32>() * values + self.workers.threads() * scratch.bytes()
    }

    fn prediction_scratch_bytes(&self) -> usize {
        self.workers.threads() * prediction_scratch(&self.graph, self.isa)
    }

    fn identity(&self) -> MachineIdentity {
        self.machine.identity()
    }
}

/// Whether all are numbers; without a jump after each, so that many are looked at at once.
pub(crate) fn all_finite(values: &[f32]) -> bool {
    let wrong = |found: bool, x: &f32| found | !x.is_finite();
    values
        .chunks(4096)
        .all(|part| !part.iter().fold(false, wrong))
}

/// Which gradients have arrived at the values on the way back.
struct Arrivals {
    /// Readers that have not yet sent theirs.
    left: Vec<usize>,
    /// Whether one has.
    begun: Vec<bool>,
}

impl Arrivals {
    /// One more arrives at `value`; `bare_relu` says whether a ReLU without a batch norm made it.
    fn reach(&mut self, value: ValueId, bare_relu: bool) -> Arrival {
        self.left[value] -= 1;
        Arrival {
            accumulate: std::mem::replace(&mut self.begun[value], true),
            cut: self.left[value] == 0 && bare_relu,
        }
    }
}

/// What to do with a gradient that arrives.
struct Arrival {
    /// Add it to what is there.
    accumulate: bool,
    /// Then cut off what the ReLU did: it was the last one.
    cut: bool,
}

impl Arrival {
    /// Where it goes, at a value that was `y`.
    fn sink<'a>(&self, data: &'a mut [f32], y: &'a [f32]) -> Sink<'a> {
        let epilogue = Epilogue {
            accumulate: self.accumulate,
            mask: self.cut.then_some(y),
            ..Epilogue::default()
        };
        Sink { data, epilogue }
    }
}
