//! A network as text, one line a node, so that a model says itself what it computes.
//!
//! A model folder names its network by encoder, width and classes; constants such as a batch norm's
//! epsilon come from the program that builds it. Written down, a later program whose constants are
//! others computes the same, or says what it cannot. The words are part of the model's format: a
//! node that exists today is described in the same way for ever.

use crate::graph::{Activation, Graph, Node, Op};

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
fn line(node: &Node) -> String {
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

/// `graph` with the constants of `stored`, what [`describe`] gave when a model was written.
///
/// # Errors
/// A sentence with the first node that this program computes in another way.
pub fn as_stored(mut graph: Graph, stored: &str) -> Result<Graph, String> {
    let own = describe(&graph);
    if own == stored {
        return Ok(graph);
    }
    let (then, now): (Vec<&str>, Vec<&str>) = (stored.lines().collect(), own.lines().collect());
    if then.first() != Some(&FIRST) {
        return Err("its graph is written in a way that this version does not know".into());
    }
    if then.len() != now.len() {
        return Err(format!(
            "its network has {} nodes and this version's {}",
            then.len() - 1,
            now.len() - 1
        ));
    }
    for (index, (then, now)) in then.iter().zip(&now).enumerate().skip(1) {
        if then == now {
            continue;
        }
        let other = || format!("its network has the node `{then}` and this version's `{now}`");
        let (rest_then, value) = without_constant(then).ok_or_else(other)?;
        let (rest_now, _) = without_constant(now).ok_or_else(other)?;
        if rest_then != rest_now {
            return Err(other());
        }
        graph.set_constant(index - 1, value);
    }
    Ok(graph)
}

/// A line without the constant that any value of is computed with, and that value.
fn without_constant(line: &str) -> Option<(&str, f64)> {
    let (rest, last) = line.rsplit_once(' ')?;
    let (name, value) = last.split_once('=')?;
    let value: f64 = value.parse().ok()?;
    let sound = match name {
        "epsilon" => value.is_finite() && value > 0.0,
        "drop" => (0.0..1.0).contains(&value),
        _ => false,
    };
    sound.then_some((rest, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Encoder, UnetSpec};

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
    fn stored_constants_are_used_and_other_nodes_are_named() {
        for encoder in Encoder::ALL {
            let own = describe(&graph(encoder));
            assert_eq!(describe(&as_stored(graph(encoder), &own).unwrap()), own);
            let stored = own.replacen(" epsilon=1e-", " epsilon=3e-", 1);
            if stored != own {
                assert_eq!(
                    describe(&as_stored(graph(encoder), &stored).unwrap()),
                    stored
                );
            }
            let other = own.replacen("kernel=3", "kernel=5", 1);
            let error = as_stored(graph(encoder), &other).unwrap_err();
            assert!(error.contains("kernel=5 "), "{error}");
            let longer = own.clone() + "softmax inputs=1 channels=3 level=0\n";
            assert!(
                as_stored(graph(encoder), &longer)
                    .unwrap_err()
                    .contains("nodes")
            );
            assert!(as_stored(graph(encoder), "a graph").is_err());
        }
    }
}
