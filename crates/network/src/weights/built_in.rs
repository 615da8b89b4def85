//! Weights that are part of the program, for whoever has no network (`weights/README.md` has origin
//! and licence).

use super::{Imported, SOURCES, Source, WeightsError, safe, select, take_over, wanted};
use crate::graph::{Graph, ParameterKind};
use crate::model::{Model, ModelError, ModelInfo};
use crate::parameters::{Parameters, Tensor};
use safetensors::{Dtype, SafeTensors};
use std::path::Path;

/// Name of the model that the program carries: a U-Net on MobileNetV2 that started from ImageNet
/// and has seen virtual plates only.
pub const VIRTUAL_PLATES: &str = "virtual-plates";

const PLATES_INFO: &str = include_str!("../../weights/virtual_plates.toml");
const PLATES_WEIGHTS: &[u8] = include_bytes!("../../weights/virtual_plates.safetensors");

/// The model [`VIRTUAL_PLATES`]. Its convolutions are kept in 8 bit with a factor per output
/// channel.
///
/// # Errors
/// If its file does not fit the network that this version builds.
pub fn virtual_plates() -> Result<Model, ModelError> {
    let broken = |what: String| ModelError::Weights {
        path: VIRTUAL_PLATES.into(),
        what,
    };
    let info: ModelInfo = toml::from_str(PLATES_INFO).map_err(|e| broken(e.to_string()))?;
    let graph = info.network.graph().map_err(broken)?;
    let tensors = eight_bit(PLATES_WEIGHTS).map_err(broken)?;
    let parameters = Parameters::new(&graph, tensors).map_err(|e| broken(e.to_string()))?;
    Ok(Model {
        info,
        graph,
        parameters,
        ignored: Vec::new(),
    })
}

/// Tensors of 8-bit integers with a factor per first index (`NAME.scale`, f32), and of half
/// precision.
fn eight_bit(bytes: &[u8]) -> Result<Vec<Tensor>, String> {
    let file = SafeTensors::deserialize(bytes).map_err(|e| e.to_string())?;
    let mut tensors = Vec::new();
    for (name, view) in file.iter().filter(|(name, _)| !name.ends_with(".scale")) {
        let data: Vec<f32> = match view.dtype() {
            Dtype::F16 => (view.data().chunks_exact(2))
                .map(|b| half::f16::from_le_bytes([b[0], b[1]]).to_f32())
                .collect(),
            Dtype::I8 => {
                let scale = file
                    .tensor(&format!("{name}.scale"))
                    .map_err(|e| e.to_string())?;
                let row = view.data().len() / view.shape()[0].max(1);
                (view.data().chunks_exact(row.max(1)))
                    .zip(scale.data().chunks_exact(4))
                    .flat_map(|(row, b)| {
                        let scale = f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
                        row.iter().map(move |&value| f32::from(value as i8) * scale)
                    })
                    .collect()
            }
            other => return Err(format!("tensor `{name}` is of type {other:?}")),
        };
        tensors.push(Tensor {
            name: name.to_owned(),
            shape: view.shape().to_vec(),
            kind: ParameterKind::Trainable,
            data,
        });
    }
    Ok(tensors)
}

/// What is carried: name of the source, and its tensors in half precision (`weights/README.md` has
/// origin and licence).
const CARRIED: [(&str, &[u8]); 1] = [(
    "mobilenet-v2-onnx-zoo",
    include_bytes!("../../weights/mobilenet_v2_f16.safetensors"),
)];

/// The source of `encoder`'s weights that the program carries, where it carries any.
pub fn built_in(encoder: &str) -> Option<&'static Source> {
    SOURCES
        .iter()
        .find(|source| source.encoder == encoder && source.is_built_in())
}

impl Source {
    /// Whether the program carries these weights, rounded to half precision.
    pub fn is_built_in(&self) -> bool {
        CARRIED.iter().any(|(name, _)| *name == self.name)
    }
}

/// Replaces the encoder's parameters by those of `source` that the program carries; the rest stays
/// as it is.
///
/// # Errors
/// If the program does not carry them, or they do not fit the network. Then nothing was changed.
pub fn load_built_in(
    graph: &Graph,
    parameters: &mut Parameters,
    source: &'static Source,
) -> Result<Imported, WeightsError> {
    let label = Path::new(source.name);
    let carried = CARRIED.iter().find(|(name, _)| *name == source.name);
    let Some((_, bytes)) = carried else {
        return Err(WeightsError::Broken {
            path: label.into(),
            what: "these weights are not part of the program".into(),
        });
    };
    let file = safe::read(bytes, &|_| true).map_err(|what| WeightsError::Broken {
        path: label.into(),
        what,
    })?;
    let found = select(&wanted(graph), label, &file)?;
    Ok(take_over(parameters, source, found))
}
