//! A graph made of nodes that were stored, of which nothing is known to be right.

use super::{Graph, Init, Node, NodeId, Op, ParameterInfo, ParameterKind};
use crate::output::{self, Output};
use std::collections::HashSet;

/// The deepest halving: no image is larger than 2^16 pixels a side.
const DEEPEST: usize = 16;
/// More channels than any network has; products of four such numbers fit into 64 bits.
const MOST_CHANNELS: usize = 1 << 15;
/// The largest filter.
const LARGEST_KERNEL: usize = 31;
/// More nodes than any network has.
const MOST_NODES: usize = 2_000;

impl Graph {
    /// The graph of `nodes`, the last of which gives the channels of `outputs`. Parameters follow
    /// from them, in their order; where they start is not stored with nodes, so weights start with
    /// He's normal.
    ///
    /// # Errors
    /// A sentence with what is wrong with the outputs, or the first node that reads later ones, has
    /// a shape that does not follow from what it reads, a number that cannot be, or a parameter
    /// that another one has.
    pub(crate) fn of_nodes(nodes: Vec<Node>, outputs: Vec<Output>) -> Result<Graph, String> {
        let (Some(first), Some(last)) = (nodes.first(), nodes.last()) else {
            return Err("it has no nodes".into());
        };
        if nodes.len() > MOST_NODES {
            return Err(format!("it has {} nodes, which are too many", nodes.len()));
        }
        let (input_channels, made) = (first.channels, last.channels);
        let Some((classes, further)) = outputs.split_first() else {
            return Err("it says nothing of its outputs".into());
        };
        output::check(classes.channels, further).map_err(|error| error.to_string())?;
        let named = output::channels(&outputs);
        if named != made {
            return Err(format!(
                "its outputs have {named} channels, and its last node {made}"
            ));
        }
        let (mut parameters, mut names) = (Vec::new(), HashSet::new());
        for (index, node) in nodes.iter().enumerate() {
            let named = |why: String| format!("its node {index} {why}");
            check(&nodes[..index], node).map_err(named)?;
            for info in parameters_of(&nodes[..index], node) {
                if !names.insert(info.name.clone()) {
                    let why = format!("has the parameter `{}` of another one", info.name);
                    return Err(named(why));
                }
                parameters.push(info);
            }
        }
        Ok(Graph {
            nodes,
            parameters,
            outputs,
            input_channels,
        })
    }
}

/// Whether `node` can follow on `before`.
fn check(before: &[Node], node: &Node) -> Result<(), String> {
    let inputs: Option<Vec<&Node>> = node.inputs.iter().map(|id| before.get(id.0)).collect();
    let inputs = inputs.ok_or("reads a node that does not come before it")?;
    let (channels, level) = (node.channels, node.level);
    if !(1..=MOST_CHANNELS).contains(&channels) || level > DEEPEST {
        return Err(format!(
            "has {channels} channels at level {level}, of 1 to {MOST_CHANNELS} and 0 to {DEEPEST}"
        ));
    }
    let expected = shape(node, &inputs)?;
    if expected != (channels, level) {
        return Err(format!(
            "has {channels} channels at level {level}, but what it reads makes {} at level {}",
            expected.0, expected.1
        ));
    }
    Ok(())
}

/// Channels and level that follow from what a node reads.
fn shape(node: &Node, inputs: &[&Node]) -> Result<(usize, usize), String> {
    let counted = |wanted: &[usize]| match wanted.contains(&inputs.len()) {
        true => Ok(()),
        false => Err(format!("reads {} nodes, of {wanted:?}", inputs.len())),
    };
    match node.op {
        Op::Input => counted(&[0])?,
        Op::Add { .. } => counted(&[2])?,
        Op::UpsampleConcat => counted(&[1, 2])?,
        _ => counted(&[1])?,
    }
    let Some(&&Node {
        channels, level, ..
    }) = inputs.first()
    else {
        return Ok((node.channels, 0));
    };
    match &node.op {
        Op::Conv {
            window, depthwise, ..
        } => {
            if !(1..=LARGEST_KERNEL).contains(&window.kernel) {
                return Err(format!(
                    "has the kernel `{}`, of 1 to {LARGEST_KERNEL}",
                    window.kernel
                ));
            }
            let out = if *depthwise { channels } else { node.channels };
            Ok((out, level + usize::from(window.stride == 2)))
        }
        Op::BatchNorm { epsilon, .. } if !(epsilon.is_finite() && *epsilon > 0.0) => Err(format!(
            "has the epsilon `{epsilon}`, which must be above 0"
        )),
        Op::Add { drop } if !(0.0..1.0).contains(drop) => {
            Err(format!("has the drop `{drop}`, of 0 to less than 1"))
        }
        Op::SqueezeExcite { squeezed, .. } if !(1..=MOST_CHANNELS).contains(squeezed) => Err(
            format!("squeezes to `{squeezed}` values, of 1 to {MOST_CHANNELS}"),
        ),
        Op::Add { .. } if (inputs[1].channels, inputs[1].level) != (channels, level) => {
            Err("adds arrays of different shapes".into())
        }
        Op::MaxPool => Ok((channels, level + 1)),
        Op::UpsampleConcat => {
            let up = level.checked_sub(1).ok_or("up-samples beyond the image")?;
            match inputs.get(1) {
                Some(skip) if skip.level != up => Err("joins arrays of different sizes".into()),
                skip => Ok((channels + skip.map_or(0, |skip| skip.channels), up)),
            }
        }
        _ => Ok((channels, level)),
    }
}

/// The parameters of `node`, which follows on `before`.
fn parameters_of(before: &[Node], node: &Node) -> Vec<ParameterInfo> {
    use ParameterKind::{Statistic, Trainable};
    let inputs = |i: usize| {
        let read: Option<&NodeId> = node.inputs.get(i);
        read.map_or(0, |id| before[id.0].channels)
    };
    let info = |name: String, shape: Vec<usize>, kind, init| ParameterInfo {
        name,
        shape,
        kind,
        init,
    };
    let channels = node.channels;
    let weight =
        |name: &str, shape: Vec<usize>| info(name.to_owned(), shape, Trainable, Init::HeNormal);
    let each = |name: String, len: usize, kind, start: f32| {
        info(name, vec![len], kind, Init::Constant(start))
    };
    match &node.op {
        Op::Conv {
            weight: name,
            bias,
            window,
            depthwise,
        } => {
            let seen = if *depthwise { 1 } else { inputs(0) };
            let shape = vec![channels, seen, window.kernel, window.kernel];
            let bias = bias.iter().cloned();
            let bias = bias.map(|name| each(name, channels, Trainable, 0.0));
            std::iter::once(weight(name, shape)).chain(bias).collect()
        }
        Op::BatchNorm { prefix, .. } => [
            ("weight", Trainable, 1.0),
            ("bias", Trainable, 0.0),
            ("running_mean", Statistic, 0.0),
            ("running_var", Statistic, 1.0),
        ]
        .map(|(name, kind, start)| each(format!("{prefix}.{name}"), channels, kind, start))
        .into(),
        Op::SqueezeExcite { prefix, squeezed } => {
            let layer = |name: &str, [out, seen]: [usize; 2]| {
                let name = format!("{prefix}.{name}");
                let bias = each(format!("{name}.bias"), out, Trainable, 0.0);
                [
                    weight(&format!("{name}.weight"), vec![out, seen, 1, 1]),
                    bias,
                ]
            };
            let (first, second) = ([*squeezed, channels], [channels, *squeezed]);
            [layer("fc1", first), layer("fc2", second)].concat()
        }
        _ => vec![],
    }
}
