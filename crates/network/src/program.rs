//! The graph as fused operations: what an executor does, whatever machine it runs on.
//!
//! Convolution, batch norm and activation become one step, and up-sampling and concatenation
//! disappear into the inputs of the convolution that follows. Something is fused only where nobody
//! else reads what lies between. Here: the steps, what was fused, and why a graph has no program.
//! Not here: kernels, tiles and precision (`lower`), the order of rows (`bands`), memory.

mod build;
#[cfg(test)]
mod tests;

pub use crate::graph::{Activation, Window};

use crate::graph::Graph;
use stainfree_kernels::Blocked;

/// Index of an array the steps read and write, in [`Program::values`].
pub type ValueId = usize;

/// The image: the value that no step writes.
pub const IMAGE: ValueId = 0;

/// An array, shaped by its channels and scale.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    /// Its channels.
    pub channels: usize,
    /// `2^level` times smaller than the image in both directions.
    pub level: usize,
    /// Whether its gradient must be cut off where the value is not positive, because a ReLU made it
    /// (a batch norm in between does that itself).
    pub bare_relu: bool,
    /// Steps that read it.
    pub readers: usize,
}

/// Input of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Input {
    /// The array.
    pub value: ValueId,
    /// Whether every pixel of it is read as 2x2 (nearest up-sampling).
    pub upsampled: bool,
}

/// One step.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// A convolution with what precedes and follows it.
    Conv(ConvStep),
    /// Largest of each 2x2 block, stride 2.
    MaxPool {
        /// What it reads.
        from: ValueId,
        /// What it writes.
        to: ValueId,
    },
    /// The sum of two values; the second may be dropped in training.
    Add {
        /// What is added.
        terms: [ValueId; 2],
        /// What it writes.
        to: ValueId,
        /// Probability of dropping the second for an image.
        drop: f64,
        /// Follows the sum: nothing, or a ReLU, whose slope is known from its value.
        activation: Activation,
    },
    /// An activation that could not be fused: others read what it is a function of, or its slope
    /// is not known from its value.
    Activate {
        /// What it reads.
        from: ValueId,
        /// What it writes.
        to: ValueId,
        /// The function.
        activation: Activation,
    },
}

impl Step {
    /// The value it writes.
    pub fn to(&self) -> ValueId {
        match self {
            Step::Conv(conv) => conv.to,
            Step::MaxPool { to, .. } | Step::Add { to, .. } | Step::Activate { to, .. } => *to,
        }
    }

    /// The values it reads.
    pub fn reads(&self) -> Vec<ValueId> {
        match self {
            Step::Conv(conv) => conv.inputs.iter().map(|input| input.value).collect(),
            Step::MaxPool { from, .. } | Step::Activate { from, .. } => vec![*from],
            Step::Add { terms, .. } => terms.to_vec(),
        }
    }

    /// The values that get a gradient from it: all that it reads, but for a convolution of nothing
    /// but the image, below which there is nothing to train.
    pub fn sends_to(&self) -> Vec<ValueId> {
        match self {
            Step::Conv(conv) if conv.reads_image_alone() => vec![],
            _ => self.reads(),
        }
    }

    /// Whether what it writes has half the height and width of what it reads.
    pub fn halves(&self) -> bool {
        match self {
            Step::Conv(conv) => conv.window.stride == 2,
            Step::MaxPool { .. } => true,
            Step::Add { .. } | Step::Activate { .. } => false,
        }
    }
}

/// Convolution with what precedes and follows it: gates, bias, batch norm, activation.
#[derive(Clone, Debug, PartialEq)]
pub struct ConvStep {
    /// The arrays it reads, joined channel after channel; several, or up-sampled ones, only where
    /// it is dense.
    pub inputs: Vec<Input>,
    /// Gates that the channels of the only input are multiplied with before; then it is 1x1.
    pub excite: Option<ExciteStep>,
    /// Name of the weight.
    pub weight: String,
    /// Name of the bias.
    pub bias: Option<String>,
    /// Filter size, stride and padding.
    pub window: Window,
    /// Whether every channel sees itself alone.
    pub depthwise: bool,
    /// Follows convolution and bias.
    pub norm: Option<Norm>,
    /// Follows last; any behind a batch norm, without one only what [`Step::Add`] may have.
    pub activation: Activation,
    /// What it writes.
    pub to: ValueId,
    /// That of what it writes: `2^level` times smaller than the image.
    pub level: usize,
}

impl ConvStep {
    /// Whether it is 3x3, stride 1, padding 1, and sees all channels.
    pub fn is_dense_3x3(&self) -> bool {
        self.window == crate::graph::SAME_3X3 && !self.depthwise
    }

    /// Whether it reads nothing but the image.
    pub fn reads_image_alone(&self) -> bool {
        self.inputs.iter().all(|input| input.value == IMAGE)
    }

    /// Its input, where it is one that is read as it is.
    pub(crate) fn plain_input(&self) -> Option<ValueId> {
        match self.inputs[..] {
            [
                Input {
                    value,
                    upsampled: false,
                },
            ] => Some(value),
            _ => None,
        }
    }
}

/// Squeeze-and-excitation before a [`ConvStep`].
#[derive(Clone, Debug, PartialEq)]
pub struct ExciteStep {
    /// Common beginning of the parameter names.
    pub prefix: String,
    /// Values between the two layers.
    pub squeezed: usize,
}

impl ExciteStep {
    /// Names of both weights, then of both biases.
    pub fn names(&self) -> [String; 4] {
        ["fc1.weight", "fc2.weight", "fc1.bias", "fc2.bias"]
            .map(|name| format!("{}.{name}", self.prefix))
    }
}

/// A batch norm inside a [`ConvStep`].
#[derive(Clone, Debug, PartialEq)]
pub struct Norm {
    /// Common beginning of the parameter names.
    pub prefix: String,
    /// Added to the variance before the square root.
    pub epsilon: f64,
}

/// Steps in order; every value is written once, before it is read.
#[derive(Clone, Debug, PartialEq)]
pub struct Program {
    /// All arrays; the first is the [`IMAGE`].
    pub values: Vec<Value>,
    /// The steps.
    pub steps: Vec<Step>,
    /// The value that is given away: the logits.
    pub logits: ValueId,
}

/// A graph that no executor can run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("node {node} of the network (`{operation}`) cannot be executed: {why}")]
pub struct ProgramError {
    /// Index of the node.
    pub node: usize,
    /// Its line in the network's description.
    pub operation: String,
    /// What stands in the way.
    pub why: String,
}

impl Program {
    /// The program of `graph`.
    ///
    /// # Errors
    /// Names the first node that cannot be executed, and why.
    pub fn new(graph: &Graph) -> Result<Program, ProgramError> {
        build::program(graph.nodes())
    }

    /// Shapes of all values for `[images, height, width]` of the image.
    pub(crate) fn shapes(&self, [images, height, width]: [usize; 3]) -> Vec<Blocked> {
        let shape = |value: &Value| Blocked {
            images,
            channels: value.channels,
            height: height >> value.level,
            width: width >> value.level,
        };
        self.values.iter().map(shape).collect()
    }
}
