//! A network that starts where a trained model stands.

use crate::model::{Model, NetworkName};
use crate::parameters::Parameters;
use crate::unet::UnetSpec;

/// Gives `into`, the parameters of the network `spec`, all that `model` has learned, statistics
/// included. Of the last layer those classes are taken that both know by name; the others stay as
/// they are. Returns how many classes that is.
///
/// # Errors
/// If encoder or width differ. Then nothing was changed.
pub fn inherit(
    model: &Model,
    spec: &UnetSpec,
    classes: &[String],
    into: &mut Parameters,
) -> Result<usize, InheritError> {
    let theirs = &model.info.network;
    let same = theirs.spec().is_some_and(|theirs| {
        let classes = theirs.classes;
        *theirs
            == UnetSpec {
                classes,
                ..spec.clone()
            }
    });
    if !same {
        return Err(InheritError {
            ours: describe(&spec.clone().into()),
            theirs: describe(theirs),
            encoder: theirs.encoder(),
            width: theirs.width(),
        });
    }
    let shared: Vec<(usize, usize)> = classes
        .iter()
        .enumerate()
        .filter_map(|(to, class)| {
            let from = model.info.classes.iter().position(|c| c == class)?;
            Some((from, to))
        })
        .collect();
    for tensor in into.iter_mut() {
        let Some(given) = model.parameters.get(&tensor.name) else {
            continue;
        };
        if !tensor.name.starts_with(model.graph.head()) {
            tensor.data.clone_from(&given.data);
            continue;
        }
        let row = tensor.data.len() / spec.classes;
        for &(from, to) in &shared {
            tensor.data[to * row..][..row].copy_from_slice(&given.data[from * row..][..row]);
        }
    }
    Ok(shared.len())
}

fn describe(network: &NetworkName) -> String {
    format!("`{}` of width {}", network.encoder(), network.width())
}

/// A model of another network.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error(
    "the model is {theirs} and the training asks for {ours}; add `--encoder {encoder} --width \
     {width}`"
)]
pub struct InheritError {
    theirs: String,
    ours: String,
    encoder: String,
    width: String,
}

#[cfg(test)]
mod tests {
    use super::*;
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
        assert_eq!(inherit(&model, &spec, &classes, &mut taken), Ok(2));
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
    fn another_network_is_refused_with_the_flags_that_would_fit() {
        let model = model(&["background", "nucleus"]);
        let spec = UnetSpec::new(Encoder::Vgg16, 0.25, 2);
        let graph = Graph::unet(&spec).unwrap();
        let mut parameters = Parameters::initialise(&graph, 8);
        let before = parameters.clone();
        let error = inherit(&model, &spec, &model.info.classes, &mut parameters).unwrap_err();
        assert_eq!(parameters, before);
        assert_eq!(
            error.to_string(),
            "the model is `mobilenet-v2` of width 0.125 and the training asks for `vgg16` of width \
             0.25; add `--encoder mobilenet-v2 --width 0.125`"
        );
    }
}
