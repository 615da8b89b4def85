//! Encoder weights that are part of the program, for whoever has no network.

use super::{Imported, SOURCES, Source, WeightsError, safe, select, take_over, wanted};
use crate::graph::Graph;
use crate::parameters::Parameters;
use std::path::Path;

/// What is carried: name of the source, and its tensors in half precision (`weights/README.md` has origin and licence).
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

/// Replaces the encoder's parameters by those of `source` that the program carries; the rest stays as it is.
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
