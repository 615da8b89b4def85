//! A network as text, one line a node, so that a model says itself what it computes.
//!
//! A model folder names its network by encoder, width and classes, which only the program that
//! wrote it need understand: the graph is made from this text, constants, windows, activations,
//! names of parameters and all. The words are part of the model's format: a node that exists today
//! is described in the same way for ever, and a word of a later version is an error that names it,
//! for passing over it would compute something else.

use crate::graph::{Activation, Graph, Node, NodeId, Op, Window};
use std::str::FromStr;

/// What the text begins with; other layouts of the lines will begin otherwise.
const FIRST: &str = "stainfree graph 1";

/// The nodes of `graph`, a line each.
pub fn describe(graph: &Graph) -> String {
    let lines = graph.nodes().iter().map(line);
    std::iter::once(FIRST.to_owned())
        .chain(lines)
        .map(|line| line + "\n")
        .collect()
}

/// Operation, inputs, shape, then what only this operation has.
pub(crate) fn line(node: &Node) -> String {
    let inputs: Vec<String> = node.inputs.iter().map(|id| id.0.to_string()).collect();
    let (name, own) = operation(&node.op);
    let Node {
        channels, level, ..
    } = node;
    let line = format!(
        "{name} inputs={} channels={channels} level={level} {own}",
        inputs.join(",")
    );
    line.trim_end().to_owned()
}

fn operation(op: &Op) -> (&'static str, String) {
    match op {
        Op::Input => ("input", String::new()),
        Op::Conv {
            weight,
            bias,
            window,
            depthwise,
        } => {
            let bias = bias.as_deref().unwrap_or("");
            let own = format!(
                "weight={weight} bias={bias} kernel={} stride={} before={}",
                window.kernel, window.stride, window.before
            );
            (if *depthwise { "depthwise" } else { "conv" }, own)
        }
        Op::BatchNorm { prefix, epsilon } => {
            ("batch-norm", format!("prefix={prefix} epsilon={epsilon:e}"))
        }
        Op::Activation(activation) => {
            let name = match activation {
                Activation::None => "identity",
                Activation::Relu => "relu",
                Activation::Relu6 => "relu6",
                Activation::Swish => "swish",
            };
            (name, String::new())
        }
        Op::Add { drop } => ("add", format!("drop={drop:e}")),
        Op::SqueezeExcite { prefix, squeezed } => (
            "squeeze-excite",
            format!("prefix={prefix} squeezed={squeezed}"),
        ),
        Op::MaxPool => ("max-pool", String::new()),
        Op::UpsampleConcat => ("upsample-concat", String::new()),
        Op::Softmax => ("softmax", String::new()),
    }
}

/// The graph that [`describe`] wrote. Whether it can be executed, [`Program::new`] says.
///
/// [`Program::new`]: crate::Program::new
///
/// # Errors
/// A sentence with the first line that this version does not understand, or that cannot be.
pub fn read(text: &str) -> Result<Graph, String> {
    let mut lines = text.lines();
    if lines.next() != Some(FIRST) {
        return Err("its graph is written in a way that this version does not know".into());
    }
    let node =
        |line: &str| node(line).map_err(|why| format!("its network has the node `{line}`, {why}"));
    Graph::of_nodes(lines.map(node).collect::<Result<_, _>>()?)
}

fn node(line: &str) -> Result<Node, String> {
    let mut words = line.split(' ');
    let name = words.next().unwrap_or_default();
    let mut own = Words(Vec::new());
    for word in words {
        let pair = word.split_once('=');
        own.0
            .push(pair.ok_or_else(|| format!("whose word `{word}` has no value"))?);
    }
    let inputs = own.text("inputs")?.split(',').filter(|id| !id.is_empty());
    let id = |id: &str| {
        id.parse()
            .map(NodeId)
            .map_err(|_| "whose inputs are no numbers")
    };
    let node = Node {
        inputs: inputs.map(id).collect::<Result<_, _>>()?,
        channels: own.value("channels")?,
        level: own.value("level")?,
        op: own.operation(name)?,
    };
    match own.0.first() {
        None => Ok(node),
        Some((key, _)) => Err(format!("whose `{key}` this version does not know")),
    }
}

/// Keys and values of a line that are still to be read.
struct Words<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Words<'a> {
    fn text(&mut self, key: &str) -> Result<&'a str, String> {
        let at = self.0.iter().position(|(name, _)| *name == key);
        let at = at.ok_or_else(|| format!("which has no `{key}`"))?;
        Ok(self.0.remove(at).1)
    }

    fn value<T: FromStr>(&mut self, key: &str) -> Result<T, String> {
        let text = self.text(key)?;
        text.parse()
            .map_err(|_| format!("whose `{key}` cannot be `{text}`"))
    }

    fn name(&mut self, key: &str) -> Result<String, String> {
        let name = self.text(key)?;
        match name.is_empty() {
            true => Err(format!("whose `{key}` is empty")),
            false => Ok(name.to_owned()),
        }
    }

    fn operation(&mut self, name: &str) -> Result<Op, String> {
        Ok(match name {
            "input" => Op::Input,
            "conv" | "depthwise" => Op::Conv {
                weight: self.name("weight")?,
                bias: Some(self.text("bias")?.to_owned()).filter(|bias| !bias.is_empty()),
                window: Window {
                    kernel: self.value("kernel")?,
                    stride: self.value("stride")?,
                    before: self.value("before")?,
                },
                depthwise: name == "depthwise",
            },
            "batch-norm" => Op::BatchNorm {
                prefix: self.name("prefix")?,
                epsilon: self.value("epsilon")?,
            },
            "identity" => Op::Activation(Activation::None),
            "relu" => Op::Activation(Activation::Relu),
            "relu6" => Op::Activation(Activation::Relu6),
            "swish" => Op::Activation(Activation::Swish),
            "add" => Op::Add {
                drop: self.value("drop")?,
            },
            "squeeze-excite" => Op::SqueezeExcite {
                prefix: self.name("prefix")?,
                squeezed: self.value("squeezed")?,
            },
            "max-pool" => Op::MaxPool,
            "upsample-concat" => Op::UpsampleConcat,
            "softmax" => Op::Softmax,
            _ => return Err("an operation that this version does not know".into()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{ParameterInfo, ParameterKind};
    use crate::{Encoder, Program, UnetSpec};

    fn graph(encoder: Encoder) -> Graph {
        Graph::unet(&UnetSpec::new(encoder, 0.25, 3)).unwrap()
    }

    #[test]
    fn the_description_is_the_format_and_stays() {
        let text = describe(&graph(Encoder::MobilenetV2));
        let lines: Vec<&str> = text.lines().take(4).collect();
        let expected = [
            "stainfree graph 1",
            "input inputs= channels=3 level=0",
            "conv inputs=0 channels=16 level=1 weight=encoder.features.0.0.weight bias= kernel=3 \
             stride=2 before=1",
            "batch-norm inputs=1 channels=16 level=1 prefix=encoder.features.0.1 epsilon=1e-5",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn what_was_described_is_read_to_the_last_parameter() {
        for encoder in Encoder::ALL {
            let own = graph(encoder);
            let found = read(&describe(&own)).unwrap();
            assert_eq!(found.nodes(), own.nodes());
            // Where they start is not stored.
            let plain = |graph: &Graph| -> Vec<(String, Vec<usize>, ParameterKind)> {
                let parts = |i: &ParameterInfo| (i.name.clone(), i.shape.clone(), i.kind);
                graph.parameters().iter().map(parts).collect()
            };
            assert_eq!(plain(&found), plain(&own));
            assert_eq!(found.classes(), 3);
            assert_eq!(found.input_channels(), 3);
            assert_eq!(found.encoder_prefix(), "encoder.");
            assert_eq!(found.head(), "segmentation_head.0");
            assert_eq!(Program::new(&found), Program::new(&own));
        }
    }

    #[test]
    fn what_cannot_be_or_is_not_known_names_the_line() {
        let own = describe(&graph(Encoder::EfficientnetB4));
        let error = |from: &str, to: &str| {
            let changed = own.replacen(from, to, 1);
            assert_ne!(changed, own, "{from}");
            read(&changed).unwrap_err()
        };
        for (from, to, part) in [
            ("graph 1", "graph 2", "in a way that this version"),
            (
                "swish ",
                "gelu ",
                "`gelu inputs=2 channels=16 level=1`, an operation that",
            ),
            (
                " bias=",
                " dilation=2 bias=",
                "whose `dilation` this version does not know",
            ),
            (" stride=2", "", "which has no `stride`"),
            (
                " epsilon=1e-3",
                " epsilon=x",
                "whose `epsilon` cannot be `x`",
            ),
            (
                " epsilon=1e-3",
                " epsilon=-1",
                "its node 2 has the epsilon `-1`",
            ),
            (
                "swish inputs=2",
                "swish inputs=99",
                "reads a node that does not come before it",
            ),
            ("channels=3 ", "channels=0 ", "its node 0 has 0 channels"),
            (
                "prefix=encoder.features.0.1",
                "prefix=encoder.features.1.0.block.0.1",
                "of another",
            ),
            (
                "kernel=3 stride=2",
                "kernel=3 stride=1",
                "but what it reads makes 16 at level 0",
            ),
            (" squeezed=", " squeezed=99999", "squeezes to"),
        ] {
            let found = error(from, to);
            assert!(found.contains(part), "{found}");
        }
        assert!(
            read("stainfree graph 1\n")
                .unwrap_err()
                .contains("no nodes")
        );
    }
}
