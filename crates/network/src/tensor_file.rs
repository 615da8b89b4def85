//! Tensors of f32 and notes as a safetensors file, for the model folder and for checkpoints.

use crate::graph::ParameterKind;
use crate::parameters::Tensor;
use safetensors::tensor::View;
use safetensors::{Dtype, SafeTensors};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The tensors as a safetensors file, with notes in its header. The same input gives the same
/// bytes.
pub(crate) fn to_safetensors<'a>(
    tensors: impl Iterator<Item = &'a Tensor>,
    notes: Option<BTreeMap<String, String>>,
) -> Vec<u8> {
    named_safetensors(tensors.map(|tensor| (tensor.name.clone(), tensor)), notes)
}

/// The same, under names that are given.
pub(crate) fn named_safetensors<'a>(
    tensors: impl Iterator<Item = (String, &'a Tensor)>,
    notes: Option<BTreeMap<String, String>>,
) -> Vec<u8> {
    // One note only: several would stand in the header in the random order of a hash map.
    let notes = notes.map(|notes| {
        let text = serde_json::to_string(&notes).expect("text can be written as JSON");
        [("stainfree".to_string(), text)].into_iter().collect()
    });
    let stored = tensors.map(|(name, tensor)| (name, Stored(tensor)));
    safetensors::serialize(stored, notes).expect("tensors of f32 can be written")
}

/// A tensor whose bytes are made when they are written, so that one is in memory twice at a time.
struct Stored<'a>(&'a Tensor);

impl View for Stored<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.0.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let bytes = self.0.data.iter().flat_map(|x| x.to_le_bytes());
        Cow::Owned(bytes.collect())
    }

    fn data_len(&self) -> usize {
        size_of::<f32>() * self.0.data.len()
    }
}

/// What [`to_safetensors`] wrote; `kind` of the tensors is set by whoever knows the graph.
pub(crate) fn from_safetensors(
    bytes: &[u8],
) -> Result<(Vec<Tensor>, BTreeMap<String, String>), String> {
    let sound = |e: safetensors::SafeTensorError| format!("not a sound safetensors file ({e})");
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(sound)?;
    let notes = header
        .metadata()
        .as_ref()
        .and_then(|notes| notes.get("stainfree"));
    let notes = notes.map_or(Ok(BTreeMap::new()), |text| {
        serde_json::from_str(text).map_err(|e| format!("its notes are damaged ({e})"))
    })?;
    let file = SafeTensors::deserialize(bytes).map_err(sound)?;
    let mut tensors = Vec::new();
    for (name, view) in file.iter() {
        if view.dtype() != Dtype::F32 {
            return Err(format!(
                "tensor `{name}` is of type {:?}, not f32",
                view.dtype()
            ));
        }
        let data = view
            .data()
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect();
        let kind = ParameterKind::Trainable;
        tensors.push(Tensor {
            name: name.to_string(),
            shape: view.shape().to_vec(),
            kind,
            data,
        });
    }
    Ok((tensors, notes))
}
