//! The graph as steps for the CPU executors: convolution, batch norm and activation become one
//! step, and up-sampling and concatenation disappear into the inputs of the convolution that
//! follows.

use crate::graph::{Activation, Graph, NodeId, Op, SAME_3X3, Window};
use stainfree_kernels::winograd::TileSize;
use stainfree_kernels::{Blocked, Isa};

/// Index of an array the steps read and write.
pub(crate) type ValueId = usize;

/// An array of the plan, shaped by its channels and scale.
#[derive(Clone, Debug)]
pub(crate) struct Value {
    pub(crate) channels: usize,
    /// `2^level` times smaller than the input.
    pub(crate) level: usize,
    /// Whether its gradient must be cut off where the value is not positive, because a ReLU made it
    /// (a batch norm in between does that itself).
    pub(crate) bare_relu: bool,
    /// Steps that read it.
    pub(crate) readers: usize,
}

/// Input of a convolution.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Input {
    pub(crate) value: ValueId,
    pub(crate) upsampled: bool,
}

/// One step.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Conv(ConvStep),
    MaxPool {
        from: ValueId,
        to: ValueId,
    },
    /// The sum of two values; the second may be dropped in training.
    Add {
        terms: [ValueId; 2],
        to: ValueId,
        drop: f64,
    },
}

impl Step {
    /// The value it writes.
    pub(crate) fn to(&self) -> ValueId {
        match self {
            Step::Conv(conv) => conv.to,
            Step::MaxPool { to, .. } | Step::Add { to, .. } => *to,
        }
    }

    /// The values it reads.
    pub(crate) fn reads(&self) -> Vec<ValueId> {
        match self {
            Step::Conv(conv) => conv.inputs.iter().map(|input| input.value).collect(),
            Step::MaxPool { from, .. } => vec![*from],
            Step::Add { terms, .. } => terms.to_vec(),
        }
    }

    /// Whether what it writes has half the height and width of what it reads.
    pub(crate) fn halves(&self) -> bool {
        match self {
            Step::Conv(conv) => conv.window.stride == 2,
            Step::MaxPool { .. } => true,
            Step::Add { .. } => false,
        }
    }
}

/// Convolution with what follows it.
#[derive(Clone, Debug)]
pub(crate) struct ConvStep {
    pub(crate) inputs: Vec<Input>,
    /// Gates that the channels of the only input are multiplied with before.
    pub(crate) excite: Option<ExciteStep>,
    pub(crate) weight: String,
    pub(crate) bias: Option<String>,
    pub(crate) window: Window,
    pub(crate) depthwise: bool,
    pub(crate) norm: Option<Norm>,
    pub(crate) activation: Activation,
    pub(crate) to: ValueId,
    /// That of what it writes: `2^level` times smaller than the input.
    pub(crate) level: usize,
    /// The tiles that Winograd's algorithm makes it by; none where another kernel does.
    pub(crate) tile: Option<TileSize>,
}

impl ConvStep {
    /// Whether it is 3x3, stride 1, and sees all channels.
    pub(crate) fn is_dense_3x3(&self) -> bool {
        self.window == SAME_3X3 && !self.depthwise
    }
}

/// Below this halving of the image filters come from memory for every few tiles, and those of
/// larger tiles take nearly twice the bytes.
const DEEPEST_LARGE_TILES: usize = 3;

/// Up to so many channels Winograd's algorithm, which fills them up to 16, is slower than a product
/// of patches.
const FEW_CHANNELS: usize = 4;

/// Squeeze-and-excitation before a [`ConvStep`].
#[derive(Clone, Debug)]
pub(crate) struct ExciteStep {
    pub(crate) prefix: String,
    pub(crate) squeezed: usize,
}

impl ExciteStep {
    /// Names of both weights, then of both biases.
    pub(crate) fn names(&self) -> [String; 4] {
        ["fc1.weight", "fc2.weight", "fc1.bias", "fc2.bias"]
            .map(|name| format!("{}.{name}", self.prefix))
    }
}

/// A batch norm inside a [`ConvStep`].
#[derive(Clone, Debug)]
pub(crate) struct Norm {
    pub(crate) prefix: String,
    pub(crate) epsilon: f64,
}

/// Steps in order; value 0 is the input, `logits` the output before the softmax.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) values: Vec<Value>,
    pub(crate) steps: Vec<Step>,
    pub(crate) logits: ValueId,
}

impl Plan {
    /// # Panics
    /// If the graph joins node kinds in an order the executors do not know; graphs come from this
    /// crate.
    pub(crate) fn new(graph: &Graph) -> Plan {
        let mut plan = Plan {
            values: vec![],
            steps: vec![],
            logits: 0,
        };
        // For each node: the inputs a convolution reading it would have.
        let mut seen: Vec<Vec<Input>> = Vec::new();
        // Gates whose convolution comes next.
        let mut gates: Option<(NodeId, ExciteStep)> = None;
        for (index, node) in graph.nodes().iter().enumerate() {
            let plain = |value| {
                vec![Input {
                    value,
                    upsampled: false,
                }]
            };
            let before = node.inputs.first().map(|id| seen[id.0].clone());
            let inputs = match (&node.op, before) {
                (Op::Input, _) => plain(plan.value(node.channels, node.level)),
                (
                    Op::Conv {
                        weight,
                        bias,
                        window,
                        depthwise,
                    },
                    Some(inputs),
                ) => {
                    let to = plan.value(node.channels, node.level);
                    inputs
                        .iter()
                        .for_each(|input| plan.values[input.value].readers += 1);
                    let (weight, bias) = (weight.clone(), bias.clone());
                    let excite = gates.take().map(|(gated, excite)| {
                        assert!(
                            gated == node.inputs[0] && window.kernel == 1 && !depthwise,
                            "gates are read by a 1x1 convolution"
                        );
                        excite
                    });
                    let first = inputs[0].value == 0;
                    let few = first && plan.values[0].channels <= FEW_CHANNELS;
                    let mut conv = ConvStep {
                        inputs,
                        excite,
                        weight,
                        bias,
                        window: *window,
                        depthwise: *depthwise,
                        norm: None,
                        activation: Activation::None,
                        to,
                        level: node.level,
                        tile: None,
                    };
                    conv.tile = (conv.is_dense_3x3() && !few).then_some(TileSize::Four);
                    plan.steps.push(Step::Conv(conv));
                    plain(to)
                }
                (Op::BatchNorm { prefix, epsilon }, Some(inputs)) => {
                    let conv = plan.conv_of(inputs[0].value);
                    assert!(
                        conv.bias.is_none() && conv.activation == Activation::None,
                        "batch norm follows a bare convolution"
                    );
                    conv.norm = Some(Norm {
                        prefix: prefix.clone(),
                        epsilon: *epsilon,
                    });
                    inputs
                }
                (Op::Activation(activation), Some(inputs)) => {
                    let conv = plan.conv_of(inputs[0].value);
                    conv.activation = *activation;
                    let bare = conv.norm.is_none();
                    assert!(
                        !bare || *activation == Activation::Relu,
                        "without a batch norm only ReLU is known from its value"
                    );
                    plan.values[inputs[0].value].bare_relu = bare;
                    inputs
                }
                (Op::SqueezeExcite { prefix, squeezed }, Some(inputs)) => {
                    let excite = ExciteStep {
                        prefix: prefix.clone(),
                        squeezed: *squeezed,
                    };
                    gates = Some((NodeId(index), excite));
                    inputs
                }
                (Op::Add { drop }, Some(inputs)) => {
                    let terms = [inputs[0].value, seen[node.inputs[1].0][0].value];
                    for term in terms {
                        plan.values[term].readers += 1;
                    }
                    let to = plan.value(node.channels, node.level);
                    let drop = *drop;
                    plan.steps.push(Step::Add { terms, to, drop });
                    plain(to)
                }
                (Op::MaxPool, Some(inputs)) => {
                    let from = inputs[0].value;
                    plan.values[from].readers += 1;
                    let to = plan.value(node.channels, node.level);
                    plan.steps.push(Step::MaxPool { from, to });
                    plain(to)
                }
                (Op::UpsampleConcat, Some(low)) => {
                    let mut joined = vec![Input {
                        value: low[0].value,
                        upsampled: true,
                    }];
                    joined.extend(node.inputs.get(1).map(|NodeId(skip)| seen[*skip][0]));
                    joined
                }
                (Op::Softmax, Some(inputs)) => {
                    plan.logits = inputs[0].value;
                    inputs
                }
                (op, None) => panic!("node {index} ({op:?}) has no input"),
            };
            seen.push(inputs);
        }
        assert!(gates.is_none(), "gates are read by a 1x1 convolution");
        plan.check_gates();
        plan
    }

    /// The plan of a prediction, whose convolutions are made by the tiles that are fastest on
    /// `isa`.
    pub(crate) fn for_prediction(graph: &Graph, isa: Isa) -> Plan {
        let mut plan = Plan::new(graph);
        let Plan { values, steps, .. } = &mut plan;
        for step in steps {
            if let Step::Conv(conv) = step
                && conv.tile.is_some()
                && conv.level <= DEEPEST_LARGE_TILES
            {
                let channels = |value: ValueId| values[value].channels;
                let inputs = conv.inputs.iter().map(|input| channels(input.value)).sum();
                conv.tile = Some(TileSize::fastest(isa, inputs, channels(conv.to)));
            }
        }
        plan
    }

    /// Executors put gradients through gates in place: nobody else may read what they weigh.
    fn check_gates(&self) {
        for step in &self.steps {
            if let Step::Conv(ConvStep {
                inputs,
                excite: Some(_),
                ..
            }) = step
            {
                let value = &self.values[inputs[0].value];
                assert!(
                    value.readers == 1 && !value.bare_relu,
                    "only the gates' convolution reads what they weigh"
                );
            }
        }
    }

    /// Shapes of all values for `[images, height, width]` of the input.
    pub(crate) fn shapes(&self, [images, height, width]: [usize; 3]) -> Vec<Blocked> {
        let shape = |value: &Value| Blocked {
            images,
            channels: value.channels,
            height: height >> value.level,
            width: width >> value.level,
        };
        self.values.iter().map(shape).collect()
    }

    fn value(&mut self, channels: usize, level: usize) -> ValueId {
        self.values.push(Value {
            channels,
            level,
            bare_relu: false,
            readers: 0,
        });
        self.values.len() - 1
    }

    /// The convolution that has just written `value`.
    fn conv_of(&mut self, value: ValueId) -> &mut ConvStep {
        match self.steps.last_mut() {
            Some(Step::Conv(conv)) if conv.to == value => conv,
            _ => panic!("value {value} does not come from the convolution right before"),
        }
    }
}
