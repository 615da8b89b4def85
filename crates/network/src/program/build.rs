//! From nodes to steps.

use super::{Activation, ConvStep, ExciteStep, IMAGE, Input, Norm, Program, ProgramError};
use super::{Step, Value, ValueId, Window};
use crate::description;
use crate::graph::{Node, NodeId, Op};

/// More joined arrays than any network has; a convolution reads every one of them.
const MOST_JOINED: usize = 8;

/// The program of `nodes`, which read earlier ones only.
pub(super) fn program(nodes: &[Node]) -> Result<Program, ProgramError> {
    let mut builder = Builder::new(nodes);
    for index in 0..nodes.len() {
        let seen = builder
            .node(index)
            .map_err(|why| error(nodes, index, why))?;
        builder.seen.push(seen);
    }
    builder.finish()
}

fn error(nodes: &[Node], node: usize, why: impl Into<String>) -> ProgramError {
    ProgramError {
        node,
        operation: description::line(&nodes[node]),
        why: why.into(),
    }
}

/// What readers of a node find.
#[derive(Clone)]
enum Seen {
    /// Arrays that a convolution reads; one that is not up-sampled, but for
    /// [`Op::UpsampleConcat`].
    Arrays(Vec<Input>),
    /// The value of a node, once it was multiplied with its gates.
    Gated(ValueId, ExciteStep),
}

struct Builder<'a> {
    nodes: &'a [Node],
    /// By node: the nodes that read it.
    readers: Vec<Vec<usize>>,
    /// By node, as far as they are done.
    seen: Vec<Seen>,
    /// By value: the step that writes it.
    writers: Vec<Option<usize>>,
    program: Program,
}

type Found<T> = Result<T, String>;

impl<'a> Builder<'a> {
    fn new(nodes: &'a [Node]) -> Self {
        let mut readers = vec![vec![]; nodes.len()];
        for (index, node) in nodes.iter().enumerate() {
            node.inputs
                .iter()
                .for_each(|&NodeId(from)| readers[from].push(index));
        }
        Self {
            nodes,
            readers,
            seen: vec![],
            writers: vec![],
            program: Program {
                values: vec![],
                steps: vec![],
                logits: IMAGE,
            },
        }
    }

    /// The steps of a node, or what it changes in those before; gives what its readers find.
    fn node(&mut self, index: usize) -> Found<Seen> {
        let node = &self.nodes[index];
        let last = index + 1 == self.nodes.len();
        if !last && self.readers[index].is_empty() {
            return Err("no node reads it".into());
        }
        match &node.op {
            Op::Input if index == 0 => {
                let image = self.value(node, None);
                Ok(one(image))
            }
            Op::Input => Err("the image is the first node".into()),
            Op::Conv { .. } => self.convolution(index),
            Op::BatchNorm { prefix, epsilon } => {
                let norm = Norm {
                    prefix: prefix.clone(),
                    epsilon: *epsilon,
                };
                self.batch_norm(node, norm)
            }
            Op::Activation(activation) => self.activation(index, *activation),
            Op::SqueezeExcite { prefix, squeezed } => {
                let excite = ExciteStep {
                    prefix: prefix.clone(),
                    squeezed: *squeezed,
                };
                self.gates(index, excite)
            }
            Op::Add { drop } => {
                let terms = [self.array(node, 0)?, self.array(node, 1)?];
                if terms[0] == terms[1] {
                    return Err("both terms are the same array".into());
                }
                let drop = *drop;
                self.step(node, |to| Step::Add {
                    terms,
                    to,
                    drop,
                    activation: Activation::None,
                })
            }
            Op::MaxPool => {
                let from = self.array(node, 0)?;
                self.step(node, |to| Step::MaxPool { from, to })
            }
            Op::UpsampleConcat => self.joined(node),
        }
    }

    fn finish(mut self) -> Result<Program, ProgramError> {
        let last = self.nodes.len() - 1;
        match self.seen.last() {
            Some(Seen::Arrays(arrays)) if plain(arrays).is_some() => {
                self.program.logits = arrays[0].value;
            }
            _ => {
                let why = "the last node gives an array of its own";
                return Err(error(self.nodes, last, why));
            }
        }
        if self.nodes[last].level > 0 {
            return Err(error(self.nodes, last, "outputs are of the image's size"));
        }
        if self.program.logits == IMAGE {
            return Err(error(self.nodes, last, "nothing is computed"));
        }
        Ok(self.program)
    }

    /// A new value with the shape of `node`.
    fn value(&mut self, node: &Node, writer: Option<usize>) -> ValueId {
        self.program.values.push(Value {
            channels: node.channels,
            level: node.level,
            bare_relu: false,
            readers: 0,
        });
        self.writers.push(writer);
        self.program.values.len() - 1
    }

    /// A new step that writes a value with the shape of `node`.
    fn step(&mut self, node: &Node, step: impl FnOnce(ValueId) -> Step) -> Found<Seen> {
        let to = self.value(node, Some(self.program.steps.len()));
        let step = step(to);
        for value in step.reads() {
            self.program.values[value].readers += 1;
        }
        self.program.steps.push(step);
        Ok(one(to))
    }

    /// The one array that input `i` of `node` is.
    fn array(&self, node: &Node, i: usize) -> Found<ValueId> {
        let NodeId(from) = node.inputs[i];
        match &self.seen[from] {
            Seen::Arrays(arrays) => plain(arrays).ok_or_else(|| {
                format!("only dense convolutions read joined or up-sampled arrays (node {from})")
            }),
            Seen::Gated(..) => Err(format!(
                "only 1x1 convolutions read what gates weigh (node {from})"
            )),
        }
    }

    fn convolution(&mut self, index: usize) -> Found<Seen> {
        let node = &self.nodes[index];
        let Op::Conv {
            weight,
            bias,
            window,
            depthwise,
        } = &node.op
        else {
            return Err("it is no convolution".into());
        };
        check_window(*window, *depthwise)?;
        let (inputs, excite) = match self.seen[node.inputs[0].0].clone() {
            Seen::Arrays(inputs) => (inputs, None),
            Seen::Gated(value, excite) => {
                if *depthwise || !is_pointwise(*window) {
                    return Err("what gates weigh is read by a dense 1x1 convolution".into());
                }
                let input = Input {
                    value,
                    upsampled: false,
                };
                (vec![input], Some(excite))
            }
        };
        if *depthwise && plain(&inputs).is_none() {
            return Err("only dense convolutions read joined or up-sampled arrays".into());
        }
        let (weight, bias) = (weight.clone(), bias.clone());
        let (window, depthwise, level) = (*window, *depthwise, node.level);
        self.step(node, |to| {
            Step::Conv(ConvStep {
                inputs,
                excite,
                weight,
                bias,
                window,
                depthwise,
                norm: None,
                activation: Activation::None,
                to,
                level,
            })
        })
    }

    /// A batch norm becomes part of the convolution that it follows.
    fn batch_norm(&mut self, node: &Node, norm: Norm) -> Found<Seen> {
        let NodeId(from) = node.inputs[0];
        if !matches!(self.nodes[from].op, Op::Conv { .. }) {
            return Err(format!(
                "a batch norm follows a convolution, and node {from} is none"
            ));
        }
        let others = self.readers[from].len() - 1;
        if others > 0 {
            return Err(format!(
                "{others} more nodes read the convolution that it follows (node {from})"
            ));
        }
        let to = self.array(node, 0)?;
        if let Some(Step::Conv(conv)) = self.writer(to) {
            conv.norm = Some(norm);
        }
        Ok(one(to))
    }

    /// The step that writes `value`.
    fn writer(&mut self, value: ValueId) -> Option<&mut Step> {
        self.writers[value].map(|step| &mut self.program.steps[step])
    }

    /// An activation becomes part of the step that it follows, or one of its own.
    fn activation(&mut self, index: usize, activation: Activation) -> Found<Seen> {
        let node = &self.nodes[index];
        let from = self.array(node, 0)?;
        if self.readers[node.inputs[0].0].len() == 1 && self.fuse(index, from, activation) {
            return Ok(one(from));
        }
        self.step(node, |to| Step::Activate {
            from,
            to,
            activation,
        })
    }

    /// Whether the step that writes `value` takes over the `activation` of node `index`.
    fn fuse(&mut self, index: usize, value: ValueId, activation: Activation) -> bool {
        // Gradients that come through gates, and that of the loss, are not cut off.
        let weighed = |&reader: &usize| matches!(self.nodes[reader].op, Op::SqueezeExcite { .. });
        let readers = &self.readers[index];
        let passed = readers.is_empty() || readers.iter().any(weighed);
        let bare = match activation {
            Activation::None => true,
            Activation::Relu => !passed,
            Activation::Relu6 | Activation::Swish => false,
        };
        let (own, normed) = match self.writer(value) {
            Some(Step::Conv(conv)) => {
                let normed = conv.norm.is_some();
                (&mut conv.activation, normed)
            }
            Some(Step::Add { activation, .. }) => (activation, false),
            _ => return false,
        };
        if *own != Activation::None || !(normed || bare) {
            return false;
        }
        *own = activation;
        self.program.values[value].bare_relu = !normed && activation == Activation::Relu;
        true
    }

    /// Gates become part of the convolution that follows.
    fn gates(&mut self, index: usize, excite: ExciteStep) -> Found<Seen> {
        let node = &self.nodes[index];
        let from = self.array(node, 0)?;
        if from == IMAGE {
            return Err("gates weigh the image".into());
        }
        // Gradients go through gates in place.
        if self.readers[node.inputs[0].0].len() > 1 {
            let NodeId(from) = node.inputs[0];
            return Err(format!(
                "other nodes read what its gates weigh (node {from})"
            ));
        }
        if self.readers[index].len() > 1 {
            return Err("one 1x1 convolution reads what gates weigh, and no more".into());
        }
        Ok(Seen::Gated(from, excite))
    }

    fn joined(&self, node: &Node) -> Found<Seen> {
        let mut joined = vec![Input {
            value: self.array(node, 0)?,
            upsampled: true,
        }];
        if let Some(&NodeId(skip)) = node.inputs.get(1) {
            match &self.seen[skip] {
                Seen::Arrays(arrays) => joined.extend(arrays),
                Seen::Gated(..) => {
                    return Err(format!(
                        "only 1x1 convolutions read what gates weigh (node {skip})"
                    ));
                }
            }
        }
        if joined.len() > MOST_JOINED {
            let arrays = joined.len();
            return Err(format!(
                "it joins {arrays} arrays, and {MOST_JOINED} are possible"
            ));
        }
        let twice =
            |(i, input): (usize, &Input)| joined[..i].iter().any(|o| o.value == input.value);
        if joined.iter().enumerate().any(twice) {
            return Err("it joins an array with itself".into());
        }
        Ok(Seen::Arrays(joined))
    }
}

fn one(value: ValueId) -> Seen {
    Seen::Arrays(vec![Input {
        value,
        upsampled: false,
    }])
}

/// The array, where it is one that is not up-sampled.
fn plain(arrays: &[Input]) -> Option<ValueId> {
    match arrays {
        [input] if !input.upsampled => Some(input.value),
        _ => None,
    }
}

/// 1x1 with stride 1.
fn is_pointwise(window: Window) -> bool {
    (window.kernel, window.stride, window.before) == (1, 1, 0)
}

fn check_window(window: Window, depthwise: bool) -> Found<()> {
    let Window {
        kernel,
        stride,
        before,
    } = window;
    if ![1, 2].contains(&stride) {
        return Err(format!("its stride is `{stride}` and must be 1 or 2"));
    }
    if kernel == 0 || before >= kernel {
        return Err(format!(
            "its padding `{before}` must be less than its kernel `{kernel}`"
        ));
    }
    if depthwise && ![3, 5].contains(&kernel) {
        return Err(format!(
            "its kernel is `{kernel}`; depthwise convolutions are 3x3 or 5x5"
        ));
    }
    Ok(())
}
