//! Training on the CPU: forward and backward pass over the plan, and Adam.
//!
//! Weights, moments and gradients live in the kernels' blocked order; they are brought back to natural
//! order only when somebody asks for them. Filters are transformed anew in every pass, into memory that
//! all layers share.
//!
//! Here: the order of the layers, the gradients on their way back, natural order. What one layer holds and
//! does is in `layer`.

mod excite;
mod layer;

use crate::conv::Scratch;
use crate::graph::{Graph, ParameterKind};
use crate::parameters::{Parameters, Tensor};
use crate::places::{self, Places};
use crate::plan::{Plan, Step, ValueId};
use layer::{AddLayer, ConvLayer, NormLayer, UseStatistics, Which};
use stainfree_kernels::adam::Step as AdamNumbers;
use stainfree_kernels::max_pool::{self, Merge};
use stainfree_kernels::winograd::Sink;
use stainfree_kernels::{Blocked, Buffer, Isa, Workers};
use std::collections::HashMap;
use std::ops::Range;

/// The numbers of one Adam step (Keras' convention, see [`stainfree_kernels::adam`]).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamStep {
    /// Learning rate.
    pub lr: f64,
    /// Memory of the first moment.
    pub beta1: f64,
    /// Memory of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Decoupled weight decay of convolution weights, as a share of `lr`.
    pub weight_decay: f64,
}

/// What Adam remembers, in natural order.
#[derive(Clone, Debug, PartialEq)]
pub struct OptimiserState {
    /// Steps taken.
    pub step: u64,
    /// First moments of the trainable parameters, in the graph's order.
    pub first: Vec<Tensor>,
    /// Second moments, likewise.
    pub second: Vec<Tensor>,
}

/// Trains one network on batches of one shape.
pub struct CpuTrainer {
    graph: Graph,
    isa: Isa,
    workers: Workers,
    layers: Vec<Layer>,
    /// Shape of every value of the plan.
    shapes: Vec<Blocked>,
    readers: Vec<usize>,
    bare_relu: Vec<bool>,
    logits: ValueId,
    /// Every value of the last forward pass.
    values: Vec<Buffer>,
    planar_logits: Vec<f32>,
    /// Gradients of all values, and where each lies: they come and go in a known order.
    gradients: Buffer,
    places: Vec<Range<usize>>,
    /// Transformed filters of the layer at hand.
    filters: Buffer,
    scratch: Scratch,
    momentum: f32,
    /// Seed of stochastic depth; none = nothing is dropped.
    drop_seed: Option<u64>,
    step: u64,
}

enum Layer {
    Conv(Box<ConvLayer>),
    MaxPool { from: ValueId, to: ValueId },
    Add(AddLayer),
}

impl CpuTrainer {
    /// A trainer for batches of `[images, height, width]`, starting from `parameters`.
    ///
    /// # Panics
    /// If height or width is not a multiple of [`Graph::multiple`], or there is no image.
    pub fn new(
        graph: &Graph,
        parameters: &Parameters,
        shape: [usize; 3],
        threads: usize,
        isa: Isa,
    ) -> Self {
        let [images, height, width] = shape;
        let multiple = graph.multiple();
        let fits = height.is_multiple_of(multiple) && width.is_multiple_of(multiple);
        assert!(
            fits && images * height * width > 0,
            "crops must be a multiple of {multiple}"
        );
        let plan = Plan::new(graph);
        let shapes: Vec<Blocked> = plan
            .values
            .iter()
            .map(|v| Blocked {
                images,
                channels: v.channels,
                height: height >> v.level,
                width: width >> v.level,
            })
            .collect();
        let layers: Vec<Layer> = plan
            .steps
            .into_iter()
            .map(|step| match step {
                Step::Conv(step) => Layer::Conv(Box::new(ConvLayer::new(isa, step, &shapes))),
                Step::MaxPool { from, to } => Layer::MaxPool { from, to },
                Step::Add { terms, to, drop } => Layer::Add(AddLayer::new(terms, to, drop, images)),
            })
            .collect();
        let (places, size) = gradient_places(&layers, &shapes, plan.logits);
        let mut trainer = Self {
            graph: graph.clone(),
            isa,
            workers: Workers::new(threads),
            layers,
            values: shapes.iter().map(|s| Buffer::zeros(s.len())).collect(),
            planar_logits: vec![0.0; images * graph.classes() * height * width],
            shapes,
            readers: plan.values.iter().map(|v| v.readers).collect(),
            bare_relu: plan.values.iter().map(|v| v.bare_relu).collect(),
            logits: plan.logits,
            gradients: Buffer::zeros(size),
            places,
            filters: Buffer::default(),
            scratch: Scratch::default(),
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

    /// Logits `[image][class][y][x]` of `input`, `[image][channel][y][x]`, with the batch's own
    /// statistics; running statistics move towards them.
    ///
    /// # Panics
    /// If `input` has another size than the batch.
    pub fn forward(&mut self, input: &[f32]) -> &[f32] {
        self.run(input, UseStatistics::Batch(self.momentum));
        self.shapes[self.logits].unpack(
            &self.workers,
            &self.values[self.logits],
            &mut self.planar_logits,
        );
        &self.planar_logits
    }

    /// All values for `input`.
    fn run(&mut self, input: &[f32], statistics: UseStatistics) {
        let Self {
            isa,
            workers,
            layers,
            shapes,
            values,
            filters,
            ..
        } = self;
        shapes[0].pack(workers, input, &mut values[0]);
        for layer in layers {
            match layer {
                Layer::Conv(layer) => {
                    // The output is taken out so that the inputs can be read beside it.
                    let mut out = std::mem::take(&mut values[layer.step.to]);
                    layer.forward(*isa, workers, values, shapes, filters, &mut out, statistics);
                    values[layer.step.to] = out;
                }
                Layer::Add(layer) => {
                    let mut out = std::mem::take(&mut values[layer.to]);
                    layer.draw(self.drop_seed, self.step);
                    layer.forward(*isa, workers, values, &shapes[layer.to], &mut out);
                    values[layer.to] = out;
                }
                Layer::MaxPool { from, to } => {
                    let (before, after) = values.split_at_mut(*to);
                    max_pool::forward(*isa, workers, &shapes[*from], &before[*from], &mut after[0]);
                }
            }
        }
    }

    /// Gradients of all parameters from that of the last forward pass' logits.
    ///
    /// # Panics
    /// If `d_logits` has another size than the logits.
    pub fn backward(&mut self, d_logits: &[f32]) {
        let Self {
            isa,
            workers,
            layers,
            shapes,
            values,
            gradients,
            places,
            ..
        } = self;
        let mut left = self.readers.clone();
        let logits = self.logits;
        shapes[logits].pack(workers, d_logits, &mut gradients[places[logits].clone()]);
        // Whether a value's gradient holds something already.
        let mut begun = vec![false; values.len()];
        for layer in layers.iter_mut().rev() {
            let mut reach = |value: usize| {
                left[value] -= 1;
                let accumulate = std::mem::replace(&mut begun[value], true);
                // The last gradient to arrive is cut off where the ReLU was.
                (accumulate, left[value] == 0 && self.bare_relu[value])
            };
            match layer {
                Layer::Conv(layer) => {
                    let d_out = &mut gradients[places[layer.step.to].clone()];
                    layer.own_gradients(*isa, workers, values, shapes, d_out, &mut self.scratch);
                    if layer.step.inputs[0].value == 0 {
                        continue;
                    }
                    let (conv, weights) = (&layer.conv, &layer.weight.values);
                    let filters = conv.prepare_turned(workers, weights, &mut self.filters);
                    let involved = std::iter::once(layer.step.to)
                        .chain(layer.step.inputs.iter().map(|input| input.value));
                    let involved: Vec<_> = involved.map(|value| places[value].clone()).collect();
                    let mut parts = places::parts(gradients, &involved).into_iter();
                    let d_out = parts.next().expect("the output is one of them");
                    let mut sinks: Vec<Sink> = parts
                        .zip(&layer.step.inputs)
                        .map(|(data, input)| {
                            let (accumulate, masked) = reach(input.value);
                            let mask = masked.then(|| &values[input.value][..]);
                            Sink {
                                data,
                                accumulate,
                                mask,
                            }
                        })
                        .collect();
                    conv.input_gradient(workers, d_out, filters, &mut sinks);
                    if let Some(excite) = &mut layer.excite {
                        let value = layer.step.inputs[0].value;
                        let d = &mut gradients[places[value].clone()];
                        excite.backward(workers, &shapes[value], &values[value], d);
                    }
                }
                Layer::Add(layer) => {
                    let [first, second] = layer.terms;
                    let involved = [layer.to, first, second].map(|value| places[value].clone());
                    let mut parts = places::parts(gradients, &involved);
                    let [d_out, d_first, d_second] = &mut parts[..] else {
                        unreachable!("there are three of them")
                    };
                    let mut sink = |value: usize, data| {
                        let (accumulate, masked) = reach(value);
                        let mask = masked.then(|| &values[value][..]);
                        Sink {
                            data,
                            accumulate,
                            mask,
                        }
                    };
                    let mut first = sink(first, d_first);
                    let mut second = sink(second, d_second);
                    let shape = &shapes[layer.to];
                    layer.backward(*isa, workers, shape, d_out, [&mut first, &mut second]);
                }
                Layer::MaxPool { from, to } => {
                    let involved = [places[*to].clone(), places[*from].clone()];
                    let mut parts = places::parts(gradients, &involved);
                    let (accumulate, relu) = reach(*from);
                    let merge = Merge { accumulate, relu };
                    let (x, shape) = (&values[*from], &shapes[*from]);
                    let [d_out, d_x] = &mut parts[..] else {
                        unreachable!("there are two of them")
                    };
                    max_pool::backward(*isa, workers, shape, x, d_out, d_x, merge);
                }
            }
        }
    }

    /// Moves all trainable parameters along their last gradients.
    pub fn adam_step(&mut self, step: &AdamStep) {
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
        for layer in &mut self.layers {
            if let Layer::Conv(layer) = layer {
                for trained in layer.weights_mut() {
                    trained.update(self.isa, &self.workers, &decayed);
                }
                for trained in layer.small_mut() {
                    trained.update(self.isa, &self.workers, &plain);
                }
            }
        }
    }

    /// Weight of a batch's statistics in the running ones; 0.01 at first. With `1 / k` at the k-th of
    /// several forward passes the running statistics become the plain average over these passes.
    pub fn set_batch_norm_momentum(&mut self, momentum: f32) {
        self.momentum = momentum;
    }

    /// From now on, branches of residual blocks that have a rate for it are dropped at random (stochastic depth),
    /// as a function of `seed` and the number of steps taken; with `None`, as at first, nothing is dropped.
    pub fn set_stochastic_depth(&mut self, seed: Option<u64>) {
        self.drop_seed = seed;
    }

    /// Measures mean and variance before every batch norm whose name begins with `prefix` on `batches` (each as
    /// for [`CpuTrainer::forward`]), makes them the running statistics, and changes scale and shift so that the
    /// network predicts what it did.
    ///
    /// Pretrained files may come with batch norms that were folded into the convolutions: then they hold no
    /// statistics, and normalising by a batch's would destroy the network.
    ///
    /// # Panics
    /// If a batch has another size.
    pub fn recalibrate(&mut self, prefix: &str, batches: impl IntoIterator<Item = Vec<f32>>) {
        let mut count = 0;
        for batch in batches {
            self.run(&batch, UseStatistics::Running);
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

    /// All parameters as they are now, in natural order.
    pub fn parameters(&self) -> Parameters {
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

    /// The last gradients of the trainable parameters, in natural order.
    pub fn gradients(&self) -> Vec<Tensor> {
        self.tensors(Which::Gradient)
    }

    /// What Adam remembers.
    pub fn optimiser_state(&self) -> OptimiserState {
        OptimiserState {
            step: self.step,
            first: self.tensors(Which::First),
            second: self.tensors(Which::Second),
        }
    }

    /// Goes on from saved parameters and moments, bit for bit.
    ///
    /// # Panics
    /// If a tensor is missing or has another shape than the network's.
    pub fn restore(&mut self, parameters: &Parameters, state: &OptimiserState) {
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

    /// Bytes held for activations, gradients, weights and moments; known before the first step.
    pub fn memory_bytes(&self) -> usize {
        let activations: usize = self.shapes.iter().map(Blocked::len).sum();
        let before: usize = self.norms().map(|n| n.before.len()).sum();
        let excites = self.conv_layers().filter_map(|l| l.excite.as_ref());
        let scaled: usize = excites.map(|e| e.scaled().len()).sum();
        let weights: usize = self.graph.trainable_count();
        // The largest transformed filters are held twice: for use, and as products of the gradient.
        let filters = self
            .conv_layers()
            .map(|l| l.conv.prepared_len())
            .max()
            .unwrap_or(0);
        let gradients = self.gradients.len();
        size_of::<f32>() * (activations + before + scaled + gradients + 4 * weights + 2 * filters)
    }

    fn conv_layers(&self) -> impl Iterator<Item = &ConvLayer> {
        self.layers.iter().filter_map(|layer| match layer {
            Layer::Conv(layer) => Some(&**layer),
            Layer::MaxPool { .. } | Layer::Add(_) => None,
        })
    }

    fn norms(&self) -> impl Iterator<Item = &NormLayer> {
        self.conv_layers().filter_map(|layer| layer.norm.as_ref())
    }

    fn norms_mut(&mut self) -> impl Iterator<Item = &mut NormLayer> {
        self.layers.iter_mut().filter_map(|layer| match layer {
            Layer::Conv(layer) => layer.norm.as_mut(),
            Layer::MaxPool { .. } | Layer::Add(_) => None,
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

/// Where the gradient of every value lies in one piece of memory, and its size: each is held from the first
/// reader that sends one back until the layer that made the value has used it.
fn gradient_places(
    layers: &[Layer],
    shapes: &[Blocked],
    logits: ValueId,
) -> (Vec<Range<usize>>, usize) {
    let mut memory = Places::default();
    let mut places = vec![0..0; shapes.len()];
    places[logits] = memory.take(shapes[logits].len());
    for layer in layers.iter().rev() {
        let (to, reads) = match layer {
            Layer::Conv(layer) => {
                let reads = layer.step.inputs.iter().map(|input| input.value);
                (layer.step.to, reads.filter(|&value| value != 0).collect())
            }
            Layer::MaxPool { from, to } => (*to, vec![*from]),
            Layer::Add(layer) => (layer.to, layer.terms.to_vec()),
        };
        for value in reads {
            if places[value].is_empty() {
                places[value] = memory.take(shapes[value].len());
            }
        }
        memory.free(&places[to]);
    }
    (places, memory.size())
}
