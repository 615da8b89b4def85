//! A network that starts where a trained model stands.

use crate::description;
use crate::graph::{Graph, Node, Op};
use crate::model::{Model, NetworkName};
use crate::output::{self, Output};
use crate::parameters::Parameters;
use crate::unet::UnetSpec;

/// Gives `into`, the parameters of `graph`, which `spec` builds, all that `model` has learned,
/// statistics included. Of the last layer those classes and further outputs are taken that both
/// know by name; the others stay as they are. Returns how many classes that is.
///
/// # Errors
/// If the model computes anything else, apart from the last layer's channels, or lacks a tensor.
/// Then nothing was changed.
pub fn inherit(
    model: &Model,
    spec: &UnetSpec,
    graph: &Graph,
    classes: &[String],
    into: &mut Parameters,
) -> Result<usize, InheritError> {
    compare(model, spec, graph)?;
    let missing = |name: &&str| model.parameters.get(name).is_none();
    if let Some(name) = into.iter().map(|tensor| &tensor.name[..]).find(missing) {
        return Err(InheritError::Missing { name: name.into() });
    }
    let shared: Vec<(usize, usize)> = classes
        .iter()
        .enumerate()
        .filter_map(|(to, class)| {
            let from = model.info.classes.iter().position(|c| c == class)?;
            Some((from, to))
        })
        .collect();
    // Channels of the last layer: the classes', then those of further outputs.
    let ours = graph.outputs();
    let head = format!("{}.", graph.head());
    let channels = shared.iter().copied();
    let channels: Vec<(usize, usize)> = channels
        .chain(further(model.graph.outputs(), ours))
        .collect();
    for tensor in into.iter_mut() {
        let Some(given) = model.parameters.get(&tensor.name) else {
            continue;
        };
        if !tensor.name.starts_with(&head) {
            tensor.data.clone_from(&given.data);
            continue;
        }
        let row = tensor.data.len() / output::channels(ours);
        for &(from, to) in &channels {
            tensor.data[to * row..][..row].copy_from_slice(&given.data[from * row..][..row]);
        }
    }
    Ok(shared.len())
}

/// The channels, theirs and ours, of further outputs that are the same in both.
fn further(theirs: &[Output], ours: &[Output]) -> Vec<(usize, usize)> {
    let same = |a: &Output, b: &Output| {
        (&a.name, a.channels, a.link, a.values) == (&b.name, b.channels, b.link, b.values)
    };
    let first = |of: &[Output], at: usize| output::channels(&of[..at]);
    let mut pairs = Vec::new();
    for (to, output) in ours.iter().enumerate().skip(1) {
        if let Some(from) = theirs.iter().position(|other| same(other, output)) {
            let firsts = (first(theirs, from), first(ours, to));
            pairs.extend((0..output.channels).map(|i| (firsts.0 + i, firsts.1 + i)));
        }
    }
    pairs
}

/// Refuses a model whose nodes are others than those of `graph`, the last convolution's channels
/// apart.
fn compare(model: &Model, spec: &UnetSpec, graph: &Graph) -> Result<(), InheritError> {
    let (theirs, ours) = (model.graph.nodes(), graph.nodes());
    let is_conv = |node: &Node| matches!(node.op, Op::Conv { .. });
    let head = ours.iter().rposition(is_conv).unwrap_or(ours.len());
    let differs = |index: &usize| match (theirs.get(*index), ours.get(*index)) {
        (Some(theirs), Some(ours)) if *index >= head => {
            let channels = ours.channels;
            *ours
                != Node {
                    channels,
                    ..theirs.clone()
                }
        }
        (theirs, ours) => theirs != ours,
    };
    let Some(node) = (0..theirs.len().max(ours.len())).find(differs) else {
        return Ok(());
    };
    let [name, wanted] = [model.info.network.clone(), spec.clone().into()];
    let (encoder, width) = (name.encoder(), name.width());
    let (name, wanted) = (named(&name), named(&wanted));
    if name != wanted {
        return Err(InheritError::Named {
            ours: wanted,
            theirs: name,
            encoder,
            width,
        });
    }
    let line = |nodes: &[Node]| nodes.get(node).map_or("missing".into(), description::line);
    Err(InheritError::Nodes {
        program: model.info.program.clone(),
        name,
        node,
        theirs: line(theirs),
        ours: line(ours),
    })
}

fn named(network: &NetworkName) -> String {
    format!("`{}` of width {}", network.encoder(), network.width())
}

/// A model that a training cannot start from.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum InheritError {
    /// A model of another network, by name.
    #[error(
        "the model is {theirs} and the training asks for {ours}; add `--encoder {encoder} --width \
         {width}`"
    )]
    Named {
        /// The model's network.
        theirs: String,
        /// The one asked for.
        ours: String,
        /// The model's encoder.
        encoder: String,
        /// The model's width.
        width: String,
    },
    /// A network of that name that computes something else.
    #[error(
        "the model is {name} as `{program}` builds it, whose node {node} is `{theirs}`, and here \
         `{ours}`; train it with that program, or start from another model"
    )]
    Nodes {
        /// What wrote the model.
        program: String,
        /// The network, by name.
        name: String,
        /// The first node that differs.
        node: usize,
        /// That node of the model.
        theirs: String,
        /// That node of the network asked for.
        ours: String,
    },
    /// A tensor that the network has and the model has not.
    #[error("the model lacks the tensor `{name}`; start from another model")]
    Missing {
        /// Its name.
        name: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OutputKind;
    use crate::input::{InputSpec, Normalisation, Preprocessing};
    use crate::model::{FORMAT, ModelInfo, TrainingRecord};
    use crate::recipe::Recipe;
    use crate::{Encoder, Graph};
    use std::collections::BTreeMap;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    fn model(classes: &[&str]) -> Model {
        let network = UnetSpec::new(Encoder::MobilenetV2, 0.125, classes.len());
        let graph = Graph::unet(&network).unwrap();
        let parameters = Parameters::initialise(&graph, 7);
        Model {
            info: ModelInfo {
                format: FORMAT,
                program: "test".into(),
                classes: names(classes),
                pixel_um: None,
                pretrained: None,
                network: network.into(),
                input: InputSpec {
                    planes: 1,
                    normalisation: Normalisation::Paper,
                    preprocessing: Preprocessing::centred(),
                },
                recipe: Recipe::standard(),
                training: TrainingRecord::default(),
                adapted: None,
                hashes: BTreeMap::new(),
            },
            graph,
            parameters,
            ignored: Vec::new(),
        }
    }

    #[test]
    fn everything_but_unknown_classes_is_taken_over() {
        let model = model(&["background", "nucleus", "cytoplasm"]);
        let classes = names(&["background", "mitotic", "nucleus"]);
        let spec = UnetSpec::new(Encoder::MobilenetV2, 0.125, 3);
        let graph = Graph::unet(&spec).unwrap();
        let fresh = Parameters::initialise(&graph, 8);
        let mut taken = fresh.clone();
        assert_eq!(inherit(&model, &spec, &graph, &classes, &mut taken), Ok(2));
        for tensor in taken.iter() {
            let theirs = &model.parameters.get(&tensor.name).unwrap().data;
            if !tensor.name.starts_with(model.graph.head()) {
                assert_eq!(&tensor.data, theirs, "{}", tensor.name);
                continue;
            }
            let row = tensor.data.len() / 3;
            let part = |data: &[f32], class: usize| data[class * row..][..row].to_vec();
            assert_eq!(part(&tensor.data, 0), part(theirs, 0));
            assert_eq!(part(&tensor.data, 2), part(theirs, 1));
            let untouched = &fresh.get(&tensor.name).unwrap().data;
            assert_eq!(part(&tensor.data, 1), part(untouched, 1));
        }
    }

    #[test]
    fn an_output_that_both_have_is_taken_over_wherever_its_channels_lie() {
        let with = |classes: usize, names: &[&str]| {
            let output = |name: &&str| Output {
                name: (*name).to_owned(),
                channels: 2,
                ..OutputKind::named("distance").unwrap().output()
            };
            let outputs = names.iter().map(output).collect();
            let spec = UnetSpec::new(Encoder::MobilenetV2, 0.125, classes);
            UnetSpec { outputs, ..spec }
        };
        let mut model = model(&["background", "nucleus"]);
        let spec = with(2, &["first", "second"]);
        model.graph = Graph::unet(&spec).unwrap();
        model.info.network = spec.into();
        model.parameters = Parameters::initialise(&model.graph, 7);
        let spec = with(3, &["second", "third"]);
        let graph = Graph::unet(&spec).unwrap();
        let fresh = Parameters::initialise(&graph, 8);
        let mut taken = fresh.clone();
        let classes = names(&["background", "nucleus", "cytoplasm"]);
        assert_eq!(inherit(&model, &spec, &graph, &classes, &mut taken), Ok(2));
        let name = format!("{}.weight", model.graph.head());
        let [theirs, ours, before] = [&model.parameters, &taken, &fresh].map(|parameters| {
            let tensor = parameters.get(&name).unwrap();
            let row = tensor.data.len() / tensor.shape[0];
            tensor.data.chunks(row).collect::<Vec<_>>()
        });
        // Theirs: two classes, `first`, `second`; ours: three classes, `second`, `third`.
        assert_eq!(ours[..2], theirs[..2]);
        assert_eq!(ours[3..5], theirs[4..6]);
        assert_eq!((ours[2], &ours[5..]), (before[2], &before[5..]));
    }

    #[test]
    fn another_network_is_refused_with_the_flags_that_would_fit() {
        let model = model(&["background", "nucleus"]);
        let spec = UnetSpec::new(Encoder::Vgg16, 0.25, 2);
        let graph = Graph::unet(&spec).unwrap();
        let mut parameters = Parameters::initialise(&graph, 8);
        let before = parameters.clone();
        let error =
            inherit(&model, &spec, &graph, &model.info.classes, &mut parameters).unwrap_err();
        assert_eq!(parameters, before);
        assert_eq!(
            error.to_string(),
            "the model is `mobilenet-v2` of width 0.125 and the training asks for `vgg16` of width \
             0.25; add `--encoder mobilenet-v2 --width 0.125`"
        );
    }

    #[test]
    fn nodes_decide_and_not_the_name() {
        let plain = model(&["background", "nucleus"]);
        let spec = UnetSpec::new(Encoder::MobilenetV2, 0.125, 2);
        let graph = Graph::unet(&spec).unwrap();
        let fresh = Parameters::initialise(&graph, 8);
        let take = |model: &Model| {
            let mut taken = fresh.clone();
            let found = inherit(model, &spec, &graph, &model.info.classes, &mut taken);
            assert_eq!(taken == fresh, found.is_err());
            found
        };
        let mut other = plain.clone();
        let text = description::describe(&plain.graph);
        let changed = text.replacen("epsilon=1e-3", "epsilon=1e-2", 1);
        assert_ne!(text, changed);
        other.graph = description::read(&changed).unwrap();
        let error = take(&other).unwrap_err().to_string();
        assert!(error.contains("epsilon=1e-2"), "{error}");
        assert!(error.contains("start from another model"), "{error}");

        let mut renamed = plain.clone();
        renamed.info.network =
            NetworkName::Other([("encoder".into(), "new".into())].into_iter().collect());
        assert_eq!(take(&renamed), Ok(2));

        let mut lacking = plain.clone();
        let tensors = plain.parameters.iter().skip(1).cloned().collect();
        lacking.parameters = Parameters::lacking(tensors);
        let error = take(&lacking).unwrap_err().to_string();
        let name = &plain.parameters.iter().next().unwrap().name;
        assert!(
            error.contains(&format!("lacks the tensor `{name}`")),
            "{error}"
        );
    }
}
