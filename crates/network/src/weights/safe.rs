//! Encoder weights in safetensors: f32, f16 or bf16.

use super::NamedArray;
use safetensors::{Dtype, SafeTensors};

pub(super) fn read(bytes: &[u8], wanted: &dyn Fn(&str) -> bool) -> Result<Vec<NamedArray>, String> {
    let file = SafeTensors::deserialize(bytes)
        .map_err(|e| format!("not a sound safetensors file ({e})"))?;
    let mut arrays = Vec::new();
    for (name, view) in file.iter().filter(|(name, _)| wanted(name)) {
        let pairs = || view.data().chunks_exact(2).map(|b| [b[0], b[1]]);
        let data = match view.dtype() {
            Dtype::F32 => view
                .data()
                .chunks_exact(4)
                .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                .collect(),
            Dtype::F16 => pairs()
                .map(|b| half::f16::from_le_bytes(b).to_f32())
                .collect(),
            Dtype::BF16 => pairs()
                .map(|b| half::bf16::from_le_bytes(b).to_f32())
                .collect(),
            other => {
                return Err(format!(
                    "tensor `{name}` is of type {other:?}; f32, f16 and bf16 are read"
                ));
            }
        };
        arrays.push(NamedArray {
            name: name.into(),
            shape: view.shape().to_vec(),
            data,
        });
    }
    Ok(arrays)
}
