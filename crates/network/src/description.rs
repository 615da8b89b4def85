//! A network as text, one line a node, so that a model says itself what it computes.
//!
//! A model folder names its network by encoder, width and classes, which only the program that
//! wrote it need understand: the graph is made from this text, constants, windows, activations,
//! names of parameters and all. The words are part of the model's format: a node that exists today
//! is described in the same way for ever, and a word of a later version is an error that names it,
//! for passing over it would compute something else.

use crate::graph::{Activation, Graph, Node, NodeId, Op, Window};
use crate::output::{CLASSES, Link, Output, OutputLoss, Values};
use std::str::FromStr;

/// What the text begins with; other layouts of the lines will begin otherwise.
const FIRST: &str = "stainfree graph 1";

/// The nodes of `graph`, then its outputs, a line each.
pub fn describe(graph: &Graph) -> String {
    let lines = graph.nodes().iter().map(line);
    let outputs = graph.outputs().iter();
    let outputs = outputs.map(|output| output_line(output, graph.nodes()));
    std::iter::once(FIRST.to_owned())
        .chain(lines)
        .chain(outputs)
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

/// Where its channels come from, their number, then all else. The classes are written as the
/// softmax that they were before there were other outputs.
fn output_line(output: &Output, nodes: &[Node]) -> String {
    let level = nodes.last().map_or(0, |node| node.level);
    let from = nodes.len() - 1;
    let shape = format!("inputs={from} channels={} level={level}", output.channels);
    let Output {
        name, link, values, ..
    } = output;
    let (link, values, loss) = (link.name(), values.name(), output.loss.name());
    let weight = output.weight;
    match name == CLASSES {
        true => format!("{link} {shape}"),
        false => format!(
            "output {shape} name={name} link={link} values={values} loss={loss} weight={weight:e}"
        ),
    }
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
    let (mut nodes, mut outputs) = (Vec::new(), Vec::new());
    for line in lines {
        let read = read_line(line, &mut nodes, &mut outputs);
        read.map_err(|why| format!("its network has the node `{line}`, {why}"))?;
    }
    Graph::of_nodes(nodes, outputs)
}

/// Adds what a line says to the nodes, or to the outputs, which come behind all of them.
fn read_line(line: &str, nodes: &mut Vec<Node>, outputs: &mut Vec<Output>) -> Result<(), String> {
    let mut words = line.split(' ');
    let name = words.next().unwrap_or_default();
    let mut own = Words(Vec::new());
    for word in words {
        let pair = word.split_once('=');
        own.0
            .push(pair.ok_or_else(|| format!("whose word `{word}` has no value"))?);
    }
    match name {
        "softmax" | "output" => {
            let read = own.output(name, nodes)?;
            if outputs.is_empty() != (read.name == CLASSES) {
                return Err("where the classes are to be the first output".into());
            }
            outputs.push(read);
        }
        _ if !outputs.is_empty() => return Err("which comes behind an output".into()),
        _ => nodes.push(own.node(name)?),
    }
    match own.0.first() {
        None => Ok(()),
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

    /// One of the words that `name` gives to `all`.
    fn word<T: Copy>(
        &mut self,
        key: &str,
        all: &[T],
        name: fn(T) -> &'static str,
    ) -> Result<T, String> {
        let text = self.text(key)?;
        let found = all.iter().copied().find(|&value| name(value) == text);
        found.ok_or_else(|| format!("whose `{key}` cannot be `{text}`"))
    }

    fn inputs(&mut self) -> Result<Vec<NodeId>, String> {
        let inputs = self.text("inputs")?.split(',').filter(|id| !id.is_empty());
        let id = |id: &str| id.parse().map(NodeId);
        let inputs: Result<_, _> = inputs.map(id).collect();
        inputs.map_err(|_| "whose inputs are no numbers".into())
    }

    fn node(&mut self, name: &str) -> Result<Node, String> {
        Ok(Node {
            inputs: self.inputs()?,
            channels: self.value("channels")?,
            level: self.value("level")?,
            op: self.operation(name)?,
        })
    }

    /// An output of the last of `nodes`: the classes, or another one.
    fn output(&mut self, name: &str, nodes: &[Node]) -> Result<Output, String> {
        let (inputs, channels, level) = (
            self.inputs()?,
            self.value("channels")?,
            self.value("level")?,
        );
        let last = nodes
            .last()
            .map(|node| (vec![NodeId(nodes.len() - 1)], node.level));
        if last != Some((inputs, level)) {
            return Err("where outputs are of the last node".into());
        }
        if name == "softmax" {
            return Ok(Output::classes(channels));
        }
        Ok(Output {
            name: self.name("name")?,
            channels,
            link: self.word("link", &Link::ALL, Link::name)?,
            values: self.word("values", &Values::ALL, Values::name)?,
            loss: self.word("loss", &OutputLoss::ALL, OutputLoss::name)?,
            weight: self.value("weight")?,
        })
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
            _ => return Err("an operation that this version does not know".into()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{ParameterInfo, ParameterKind};
    use crate::{Encoder, OutputKind, Program, UnetSpec};

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
    fn outputs_are_lines_behind_the_nodes_and_the_classes_alone_what_they_were() {
        let spec = UnetSpec::new(Encoder::MobilenetV2, 0.25, 3);
        let last = |graph: &Graph| -> Vec<String> {
            let text = describe(graph);
            let head = |line: &&str| !line.contains("segmentation_head");
            let lines = text.lines().skip_while(head).skip(1);
            lines.map(str::to_owned).collect()
        };
        let alone = Graph::unet(&spec).unwrap();
        let from = alone.nodes().len() - 1;
        let classes = format!("softmax inputs={from} channels=3 level=0");
        assert_eq!(last(&alone), [&classes[..]]);
        let distance = OutputKind::named("distance").unwrap().output();
        let expected = format!(
            "output inputs={from} channels=1 level=0 name=distance link=linear values=scalar \
             loss=squared weight=5e0"
        );
        let outputs = vec![distance];
        let graph = Graph::unet(&UnetSpec { outputs, ..spec }).unwrap();
        assert_eq!(last(&graph), [classes.clone(), expected.clone()]);
        let text = describe(&graph);
        assert_eq!(read(&text).unwrap().outputs(), graph.outputs());
        // An output that only a later version can train predicts all the same.
        let later = read(&text.replace("name=distance", "name=flow")).unwrap();
        assert_eq!(later.outputs()[1].name, "flow");
        for (is, to, part) in [
            (
                &expected[..],
                "",
                "its outputs have 3 channels, and its last node 4",
            ),
            (&classes, "", "the classes are to be the first output"),
            (
                "link=linear",
                "link=probit",
                "whose `link` cannot be `probit`",
            ),
            (
                "values=scalar",
                "values=direction",
                "vectors have two channels",
            ),
            (
                "weight=5e0",
                "weight=5e0 age=3",
                "whose `age` this version does not know",
            ),
            (
                &format!("output inputs={from}"),
                "output inputs=1",
                "are of the last node",
            ),
        ] {
            let changed = text.replacen(is, to, 1).replace("\n\n", "\n");
            let error = read(&changed).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
        let behind = text + "relu inputs=1 channels=16 level=1\n";
        assert!(
            read(&behind)
                .unwrap_err()
                .contains("comes behind an output")
        );
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
