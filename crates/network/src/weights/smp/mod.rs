//! U-Nets of segmentation_models.pytorch that were trained elsewhere, whole.
//!
//! A file of their `state_dict` (`.pth`, `.pt`, safetensors, also as Lightning wraps it) says by
//! its names which encoder it has. What comes out computes the same logits; every tensor is
//! accounted for. The names are those of segmentation_models.pytorch 0.3 to 0.6, whose own networks
//! made the numbers that `tests/smp.rs` holds this to.

mod networks;

use super::{NamedArray, WeightsError, adopt_epsilon, read, shorten};
use crate::Encoder;
use crate::graph::{Graph, ParameterInfo};
use crate::input::InputSpec;
use crate::model::NetworkName;
use crate::parameters::Parameters;
use crate::unet::{GraphError, HEAD, UnetSpec};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The encoders whose U-Nets are read, by their names in segmentation_models.pytorch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmpEncoder {
    /// `vgg16`: this program's own.
    Vgg16,
    /// `vgg16_bn`: with batch norm.
    Vgg16Bn,
    /// `mobilenet_v2`: this program's own.
    MobilenetV2,
    /// `efficientnet-b4` of efficientnet_pytorch: other skips and padding than this program's.
    EfficientnetB4,
    /// `timm-efficientnet-b4`.
    TimmEfficientnetB4,
}

impl SmpEncoder {
    /// Every one there is.
    pub const ALL: [Self; 5] = [
        Self::Vgg16,
        Self::Vgg16Bn,
        Self::MobilenetV2,
        Self::EfficientnetB4,
        Self::TimmEfficientnetB4,
    ];

    /// What segmentation_models.pytorch calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Vgg16 => "vgg16",
            Self::Vgg16Bn => "vgg16_bn",
            Self::MobilenetV2 => "mobilenet_v2",
            Self::EfficientnetB4 => "efficientnet-b4",
            Self::TimmEfficientnetB4 => "timm-efficientnet-b4",
        }
    }

    /// This program's encoder that computes the same: such a network can be trained on.
    pub fn own(self) -> Option<Encoder> {
        match self {
            Self::Vgg16 => Some(Encoder::Vgg16),
            Self::MobilenetV2 => Some(Encoder::MobilenetV2),
            Self::Vgg16Bn | Self::EfficientnetB4 | Self::TimmEfficientnetB4 => None,
        }
    }

    /// This program's encoder that is most like it.
    pub fn nearest(self) -> Encoder {
        match self {
            Self::Vgg16 | Self::Vgg16Bn => Encoder::Vgg16,
            Self::MobilenetV2 => Encoder::MobilenetV2,
            Self::EfficientnetB4 | Self::TimmEfficientnetB4 => Encoder::EfficientnetB4,
        }
    }

    /// The encoder whose names these are.
    fn of_names(file: &Tensors) -> Option<Self> {
        let has = |name: &str| file.contains_key(name);
        // Of EfficientNets, B4 alone has as many channels in its first convolution and as many
        // blocks.
        let has_stem = |name: &str| {
            file.get(name)
                .is_some_and(|array| array.shape.first() == Some(&48))
        };
        if has_stem("encoder._conv_stem.weight") && has("encoder._blocks.31._project_conv.weight") {
            Some(Self::EfficientnetB4)
        } else if has_stem("encoder.conv_stem.weight") && has("encoder.blocks.6.1.conv_pwl.weight")
        {
            Some(Self::TimmEfficientnetB4)
        } else if has("encoder.features.18.0.weight") {
            Some(Self::MobilenetV2)
        } else if has("encoder.features.1.running_var") {
            // VGG19 goes on behind 40, and VGG13 ends before.
            let ends = has("encoder.features.40.weight") && !has("encoder.features.43.weight");
            ends.then_some(Self::Vgg16Bn)
        } else {
            // VGG19 has an activation for its 24th layer.
            let is = has("encoder.features.24.weight") && has("encoder.features.28.weight");
            is.then_some(Self::Vgg16)
        }
    }

    /// Whether tensors called so stand beside the U-Net in such files, and take no part in it.
    fn is_unused(self, name: &str) -> bool {
        let beside: &[&str] = match self {
            Self::EfficientnetB4 => &["_conv_head.", "_bn1.", "_fc."],
            Self::TimmEfficientnetB4 => &["conv_head.", "bn2.", "classifier."],
            Self::Vgg16 | Self::Vgg16Bn | Self::MobilenetV2 => &["classifier."],
        };
        let rest = name.strip_prefix("encoder.");
        rest.is_some_and(|rest| beside.iter().any(|start| rest.starts_with(start)))
    }
}

/// What became of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is part of the network.
    Applied,
    /// The network needs it, and the file has none: a fresh one took its place.
    Missing,
    /// The file has it, and the network has no place for it.
    LeftOver,
    /// It stands beside the U-Net in every such file, such as a classifier's head.
    Unused,
}

impl Fate {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Missing => "missing",
            Self::LeftOver => "left over",
            Self::Unused => "no part of the U-Net",
        }
    }
}

/// A tensor of the file or of the network.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorFate {
    /// Its name in the file, or the network's where it is missing there.
    pub name: String,
    /// Its shape in the file, or the network's.
    pub shape: Vec<usize>,
    /// What became of it.
    pub fate: Fate,
}

/// A network that was read.
#[derive(Debug)]
pub struct SmpNetwork {
    /// Its encoder.
    pub encoder: SmpEncoder,
    /// What it computes.
    pub graph: Graph,
    /// Its numbers.
    pub parameters: Parameters,
    /// What a model calls it.
    pub name: NetworkName,
    /// Channels of the file's last convolution: 1 became two classes, of which the first has a
    /// logit of 0, so that their probabilities are those of a sigmoid.
    pub head_channels: usize,
    /// Channels of the images that it was trained on: 1 (the second of three planes here) or 3.
    pub image_channels: usize,
    /// Every tensor, in the order of the network, then those that it has no place for.
    pub tensors: Vec<TensorFate>,
}

impl SmpNetwork {
    /// Puts the classes into another order: `order` has, for each place, the class that comes
    /// there.
    ///
    /// # Panics
    /// If a number in `order` is no class.
    pub fn reorder_classes(&mut self, order: &[usize]) {
        for name in ["weight", "bias"].map(|end| format!("{HEAD}.{end}")) {
            let tensor = self
                .parameters
                .get_mut(&name)
                .expect("a network has a head");
            let row = tensor.data.len() / tensor.shape[0];
            let rows = order
                .iter()
                .map(|&class| &tensor.data[class * row..][..row]);
            tensor.data = rows.flatten().copied().collect();
        }
    }
}

/// Reads the U-Net in the file `path`. Where tensors are missing or left over, that is an error
/// unless `partial`; what is missing then starts fresh from `seed`.
///
/// # Errors
/// The file cannot be read, holds no U-Net of a known encoder, or not all of one; a tensor has
/// another shape or numbers that are not finite.
pub fn import(path: &Path, partial: bool, seed: u64) -> Result<SmpNetwork, SmpError> {
    let mut file = tensors_of(path)?;
    let encoder = SmpEncoder::of_names(&file).ok_or_else(|| SmpError::Unknown {
        path: path.into(),
        known: SmpEncoder::ALL.map(SmpEncoder::name).join(", "),
    })?;
    let mut applied = Vec::new();
    if encoder == SmpEncoder::Vgg16Bn {
        applied = fold_biases(&mut file);
    }
    let image_channels = widen_input(path, &mut file)?;
    let head_channels = widen_head(path, &mut file)?;
    let graph = networks::graph(encoder, head_channels.max(2))?;
    let mut parameters = Parameters::initialise(&graph, seed);
    let (mut arrays, mut tensors) = (Vec::new(), Vec::new());
    for info in graph.parameters() {
        let found = file.remove(&info.name);
        let (name, shape) = found.as_ref().map_or_else(
            || (info.name.clone(), info.shape.clone()),
            |array| (array.name.clone(), array.stored.clone()),
        );
        let fate = match found {
            Some(array) => {
                arrays.push(checked(path, info, array)?);
                Fate::Applied
            }
            None => Fate::Missing,
        };
        tensors.push(TensorFate { name, shape, fate });
    }
    tensors.append(&mut applied);
    tensors.extend(file.into_values().map(|array| TensorFate {
        fate: match encoder.is_unused(&graph_name(&array.name)) {
            true => Fate::Unused,
            false => Fate::LeftOver,
        },
        name: array.name,
        shape: array.stored,
    }));
    if !partial {
        refuse_parts(path, encoder, &tensors)?;
    }
    if encoder.own().is_some() {
        adopt_epsilon(&graph, networks::EPSILON, &mut arrays);
    }
    for array in arrays {
        let tensor = parameters.get_mut(&array.name);
        tensor.expect("a name of the graph").data = array.data;
    }
    Ok(SmpNetwork {
        encoder,
        name: name_of(encoder, head_channels.max(2)),
        graph,
        parameters,
        head_channels,
        image_channels,
        tensors,
    })
}

/// An array of the file, by the name of which it has no prefix any more.
#[derive(Clone, Debug)]
struct Stored {
    /// Its name in the file.
    name: String,
    /// Its shape in the file.
    stored: Vec<usize>,
    /// Its shape here.
    shape: Vec<usize>,
    data: Vec<f32>,
}

/// The arrays of a file by the names that the graph has for them.
type Tensors = BTreeMap<String, Stored>;

/// What stands before the parts of a U-Net is what somebody wrapped it in (`model.`, `module.`).
fn tensors_of(path: &Path) -> Result<Tensors, SmpError> {
    // torch counts batches beside every batch norm, in whole numbers.
    let arrays = read(path, &|name| !name.ends_with("num_batches_tracked"))?;
    let head = format!("{HEAD}.weight");
    let wrapped = arrays
        .iter()
        .find_map(|array| array.name.strip_suffix(&head))
        .ok_or_else(|| SmpError::NoUnet { path: path.into() })?
        .to_owned();
    let stored = |array: NamedArray| {
        let own = array.name.strip_prefix(&wrapped).unwrap_or(&array.name);
        let stored = Stored {
            stored: array.shape.clone(),
            shape: array.shape,
            data: array.data,
            name: array.name.clone(),
        };
        (graph_name(own), stored)
    };
    Ok(arrays.into_iter().map(stored).collect())
}

/// The graph's name of a tensor: only gates are called otherwise there.
fn graph_name(name: &str) -> String {
    name.replace("._se_reduce.", "._se.fc1.")
        .replace("._se_expand.", "._se.fc2.")
        .replace(".se.conv_reduce.", ".se.fc1.")
        .replace(".se.conv_expand.", ".se.fc2.")
}

/// Takes the biases of convolutions that a batch norm follows into its means: what it subtracts
/// from the sum with the bias, it subtracts less of the sum without. Returns what became of them.
fn fold_biases(file: &mut Tensors) -> Vec<TensorFate> {
    let folds = |number: &str| {
        let number: usize = number.parse().ok()?;
        let mean = format!("encoder.features.{}.running_mean", number + 1);
        Some((format!("encoder.features.{number}.bias"), mean))
    };
    let numbers: Vec<String> = file
        .keys()
        .filter_map(|name| {
            name.strip_prefix("encoder.features.")?
                .strip_suffix(".bias")
        })
        .map(str::to_owned)
        .collect();
    let mut folded = Vec::new();
    for (bias, mean) in numbers.iter().filter_map(|number| folds(number)) {
        let Some(biases) = file.get(&bias).map(|array| array.data.clone()) else {
            continue;
        };
        let Some(means) = file.get_mut(&mean).filter(|m| m.data.len() == biases.len()) else {
            continue;
        };
        means.data.iter_mut().zip(biases).for_each(|(m, b)| *m -= b);
        folded.extend(file.remove(&bias).map(|array| TensorFate {
            name: array.name,
            shape: array.stored,
            fate: Fate::Applied,
        }));
    }
    folded
}

/// Names of the first convolutions.
const FIRST: [&str; 4] = [
    "encoder.features.0.weight",
    "encoder.features.0.0.weight",
    "encoder._conv_stem.weight",
    "encoder.conv_stem.weight",
];

/// A network of one-channel images reads the second of three planes, which with a single plane is
/// that. Returns the channels that its images had.
fn widen_input(path: &Path, file: &mut Tensors) -> Result<usize, SmpError> {
    const SECOND: usize = 1;
    let Some(first) = FIRST.iter().find(|name| file.contains_key(**name)) else {
        return Ok(InputSpec::CHANNELS);
    };
    let array = file.get_mut(*first).expect("just found");
    let [out, channels, height, width] = array.shape[..] else {
        return Ok(InputSpec::CHANNELS);
    };
    match channels {
        InputSpec::CHANNELS => Ok(channels),
        1 => {
            let taps = height * width;
            let mut data = vec![0.0; out * InputSpec::CHANNELS * taps];
            for (wide, narrow) in data
                .chunks_mut(InputSpec::CHANNELS * taps)
                .zip(array.data.chunks(taps))
            {
                wide[SECOND * taps..][..taps].copy_from_slice(narrow);
            }
            array.data = data;
            array.shape = vec![out, InputSpec::CHANNELS, height, width];
            Ok(channels)
        }
        _ => Err(SmpError::Channels {
            path: path.into(),
            channels,
        }),
    }
}

/// A single channel, meant for a sigmoid, becomes two classes. Returns the channels that it had.
fn widen_head(path: &Path, file: &mut Tensors) -> Result<usize, SmpError> {
    let weight = file
        .get_mut(&format!("{HEAD}.weight"))
        .filter(|weight| weight.shape.len() == 4 && weight.shape[0] > 0)
        .ok_or_else(|| SmpError::NoUnet { path: path.into() })?;
    let channels = weight.shape[0];
    if channels > 1 {
        return Ok(channels);
    }
    let nothing = vec![0.0; weight.data.len()];
    weight.data.splice(0..0, nothing);
    weight.shape[0] = 2;
    if let Some(bias) = file.get_mut(&format!("{HEAD}.bias")) {
        bias.data.insert(0, 0.0);
        bias.shape = vec![bias.data.len()];
    }
    Ok(channels)
}

/// The array as the parameter `info`.
fn checked(path: &Path, info: &ParameterInfo, array: Stored) -> Result<NamedArray, SmpError> {
    if array.shape != info.shape {
        return Err(SmpError::Shape {
            path: path.into(),
            name: array.name,
            expected: info.shape.clone(),
            found: array.stored,
        });
    }
    if array.data.iter().any(|x| !x.is_finite()) {
        return Err(WeightsError::NotFinite {
            path: path.into(),
            name: array.name,
        }
        .into());
    }
    Ok(NamedArray {
        name: info.name.clone(),
        shape: array.shape,
        data: array.data,
    })
}

/// Refuses a file in which something is missing or left over.
fn refuse_parts(path: &Path, encoder: SmpEncoder, all: &[TensorFate]) -> Result<(), SmpError> {
    let of = |fate| {
        let names = all.iter().filter(|tensor| tensor.fate == fate);
        names.map(|tensor| tensor.name.clone()).collect::<Vec<_>>()
    };
    let (missing, left_over) = (of(Fate::Missing), of(Fate::LeftOver));
    let part = |names: &[String], what: &str| match names.len() {
        0 => None,
        n => Some(format!("{n} tensors are {what} ({})", shorten(names))),
    };
    let parts = [
        part(&missing, "missing"),
        part(&left_over, "left over, without a place in that network"),
    ];
    let what: Vec<String> = parts.into_iter().flatten().collect();
    match what.is_empty() {
        true => Ok(()),
        false => Err(SmpError::Parts {
            path: path.into(),
            encoder: encoder.name(),
            what: what.join(", and "),
        }),
    }
}

/// What a model calls the network.
fn name_of(encoder: SmpEncoder, classes: usize) -> NetworkName {
    if let Some(own) = encoder.own() {
        return UnetSpec::new(own, 1.0, classes).into();
    }
    let mut table = toml::Table::new();
    let name = format!("{} of segmentation_models.pytorch", encoder.name());
    table.insert("encoder".into(), name.into());
    table.insert("width".into(), 1.0.into());
    table.insert("classes".into(), (classes as i64).into());
    NetworkName::Other(table)
}

/// A file whose U-Net cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SmpError {
    /// Not a file of weights, or a damaged one.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The network cannot be built.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// No U-Net of segmentation_models.pytorch.
    #[error(
        "`{path}` holds no U-Net of segmentation_models.pytorch: it has no tensor \
         `segmentation_head.0.weight`; save `model.state_dict()` of a `Unet`"
    )]
    NoUnet {
        /// The file.
        path: PathBuf,
    },
    /// An encoder that is not known.
    #[error(
        "`{path}` has an encoder that is not read (read are U-Nets of segmentation_models.pytorch \
         on {known}); export such a network as ONNX from where it was trained"
    )]
    Unknown {
        /// The file.
        path: PathBuf,
        /// Names of encoders.
        known: String,
    },
    /// Images of another number of channels.
    #[error(
        "`{path}` was trained on images of `{channels}` channels, and models here read 1 or 3 \
         brightfield planes"
    )]
    Channels {
        /// The file.
        path: PathBuf,
        /// The channels.
        channels: usize,
    },
    /// Another shape than the network's.
    #[error(
        "`{path}`: tensor `{name}` has shape {found:?}, and a `Unet` of default `decoder_channels` \
         and `encoder_depth` has {expected:?} there"
    )]
    Shape {
        /// The file.
        path: PathBuf,
        /// Its name in the file.
        name: String,
        /// The network's.
        expected: Vec<usize>,
        /// The file's.
        found: Vec<usize>,
    },
    /// Not all of the network, or more than that.
    #[error("`{path}` is not just a `Unet` on `{encoder}`: {what}; `--partial` takes what fits")]
    Parts {
        /// The file.
        path: PathBuf,
        /// The encoder.
        encoder: &'static str,
        /// How many, and the first of them.
        what: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file's tensors with zeros.
    fn tensors(named: &[(&str, &[usize])]) -> Tensors {
        let stored = |(name, shape): &(&str, &[usize])| Stored {
            name: name.to_string(),
            stored: shape.to_vec(),
            shape: shape.to_vec(),
            data: vec![0.5; shape.iter().product()],
        };
        let pairs = named.iter().map(|one| (one.0.to_string(), stored(one)));
        pairs.collect()
    }

    #[test]
    fn encoders_that_are_alike_are_told_apart() {
        let of = |named: &[(&str, &[usize])]| SmpEncoder::of_names(&tensors(named));
        let filter: &[usize] = &[48, 3, 3, 3];
        let b4 = ("encoder._blocks.31._project_conv.weight", filter);
        let stem = "encoder._conv_stem.weight";
        assert_eq!(of(&[(stem, filter), b4]), Some(SmpEncoder::EfficientnetB4));
        // B3 has narrower ones, B5 more blocks and as many channels.
        assert_eq!(of(&[(stem, &[40, 3, 3, 3]), b4]), None);
        let norm = ("encoder.features.1.running_var", &[64][..]);
        // VGG13 and VGG11 end earlier.
        assert_eq!(of(&[norm, ("encoder.features.31.weight", filter)]), None);
        assert_eq!(of(&[("encoder.features.24.weight", filter)]), None);
        assert_eq!(of(&[("encoder.layer1.0.conv1.weight", filter)]), None);
    }

    #[test]
    fn a_channel_alone_is_a_class_beside_a_background_of_nothing() {
        let path = Path::new("x.pth");
        let (weight, bias) = ("segmentation_head.0.weight", "segmentation_head.0.bias");
        let mut file = tensors(&[(weight, &[1, 16, 3, 3]), (bias, &[1])]);
        assert_eq!(widen_head(path, &mut file).unwrap(), 1);
        assert_eq!(file[weight].shape, [2, 16, 3, 3]);
        assert_eq!(file[bias].data, [0.0, 0.5]);
        assert!(file[weight].data[..144].iter().all(|&w| w == 0.0));
        assert!(file[weight].data[144..].iter().all(|&w| w == 0.5));
    }

    #[test]
    fn one_plane_is_the_second_of_three() {
        let path = Path::new("x.pth");
        let mut file = tensors(&[("encoder.features.0.weight", &[2, 1, 1, 1])]);
        assert_eq!(widen_input(path, &mut file).unwrap(), 1);
        let wide = &file["encoder.features.0.weight"];
        assert_eq!(wide.data, [0.0, 0.5, 0.0, 0.0, 0.5, 0.0]);
        let mut file = tensors(&[("encoder.features.0.weight", &[2, 4, 1, 1])]);
        let error = widen_input(path, &mut file).unwrap_err().to_string();
        assert!(error.contains("`4` channels"), "{error}");
    }
}
