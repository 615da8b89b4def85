//! What computes a model's network: this processor with the program's own kernels, or ONNX Runtime
//! with the library that the user has, and through it a GPU.

#[cfg(feature = "onnxruntime")]
mod onnx_runtime;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use stainfree_network::model::Model;
use stainfree_network::tiles::{DeviceError, Predict, Tile};
use stainfree_network::{Machine, PreparedNetwork, Session, Workers};

/// What computes a network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Device {
    /// This processor, with the program's own kernels.
    #[default]
    Cpu,
    /// ONNX Runtime, by one of its execution providers.
    OnnxRuntime(Provider),
}

/// An execution provider of ONNX Runtime.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Provider {
    /// The processor.
    #[default]
    Cpu,
    /// GPUs of NVIDIA.
    Cuda,
    /// GPUs of NVIDIA, with networks compiled for them.
    TensorRt,
    /// Apple's processors.
    CoreMl,
    /// GPUs under Windows.
    DirectMl,
    /// Processors and GPUs of Intel.
    OpenVino,
}

impl Provider {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Cpu,
        Self::Cuda,
        Self::TensorRt,
        Self::CoreMl,
        Self::DirectMl,
        Self::OpenVino,
    ];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::TensorRt => "tensorrt",
            Self::CoreMl => "coreml",
            Self::DirectMl => "directml",
            Self::OpenVino => "openvino",
        }
    }
}

/// The word for ONNX Runtime, before its provider.
const ONNX_RUNTIME: &str = "onnxruntime";

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::OnnxRuntime(Provider::Cpu) => f.write_str(ONNX_RUNTIME),
            Self::OnnxRuntime(provider) => write!(f, "{ONNX_RUNTIME}:{}", provider.name()),
        }
    }
}

impl FromStr for Device {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        let provider = match word.split_once(':') {
            None if word == "cpu" => return Ok(Self::Cpu),
            None if word == ONNX_RUNTIME => Some(Provider::Cpu),
            Some((ONNX_RUNTIME, name)) => Provider::ALL.into_iter().find(|p| p.name() == name),
            _ => None,
        };
        provider.map(Self::OnnxRuntime).ok_or_else(|| {
            let providers = Provider::ALL.map(Provider::name).join("`, `");
            format!(
                "`{word}` is no device; choose `cpu`, or `{ONNX_RUNTIME}:` with one of \
                 `{providers}`"
            )
        })
    }
}

/// The providers that the user's library of ONNX Runtime has.
///
/// # Errors
/// It cannot be loaded, or this build has no use for it.
pub fn onnx_runtime_providers() -> Result<Vec<Provider>, DeviceError> {
    #[cfg(feature = "onnxruntime")]
    return onnx_runtime::providers();
    #[cfg(not(feature = "onnxruntime"))]
    Err(without_feature())
}

#[cfg(not(feature = "onnxruntime"))]
fn without_feature() -> DeviceError {
    DeviceError(
        "this build of the program lacks the feature `onnxruntime`; build it with `--features \
         onnxruntime`, or leave `--device` out"
            .to_owned(),
    )
}

/// A network on a device.
pub(crate) enum Engine {
    Cpu(Session),
    #[cfg(feature = "onnxruntime")]
    OnnxRuntime(onnx_runtime::Runtime),
}

impl Engine {
    /// The network of `model` on this processor.
    pub(crate) fn cpu(workers: &Workers, network: &Arc<PreparedNetwork>) -> Self {
        Self::Cpu(Session::on(workers, network))
    }

    /// The network of `model` by a provider of ONNX Runtime, and a sentence on what computes it.
    ///
    /// # Errors
    /// There is no library, or it lacks the provider.
    #[cfg(feature = "onnxruntime")]
    pub(crate) fn onnx_runtime(
        model: &Model,
        machine: &Machine,
        provider: Provider,
    ) -> Result<(Self, String), DeviceError> {
        let runtime = onnx_runtime::Runtime::new(model, machine, provider)?;
        let said = runtime.said().to_owned();
        Ok((Self::OnnxRuntime(runtime), said))
    }

    /// That this build has none.
    ///
    /// # Errors
    /// Always.
    #[cfg(not(feature = "onnxruntime"))]
    pub(crate) fn onnx_runtime(
        _: &Model,
        _: &Machine,
        _: Provider,
    ) -> Result<(Self, String), DeviceError> {
        Err(without_feature())
    }

    /// Another one of the same network, for another image at the same time.
    pub(crate) fn sibling(&self) -> Self {
        match self {
            Self::Cpu(session) => Self::cpu(session.workers(), session.network()),
            #[cfg(feature = "onnxruntime")]
            Self::OnnxRuntime(runtime) => Self::OnnxRuntime(runtime.sibling()),
        }
    }

    /// Threads for what is done beside the network, too.
    pub(crate) fn workers(&self) -> &Workers {
        match self {
            Self::Cpu(session) => session.workers(),
            #[cfg(feature = "onnxruntime")]
            Self::OnnxRuntime(runtime) => runtime.workers(),
        }
    }
}

impl Predict for Engine {
    fn predict(&mut self, tile: &Tile, out: &mut [f32]) -> Result<(), DeviceError> {
        match self {
            Self::Cpu(session) => session.predict(tile, out),
            #[cfg(feature = "onnxruntime")]
            Self::OnnxRuntime(runtime) => runtime.predict(tile, out),
        }
    }

    fn memory_bytes(&self, height: usize, width: usize) -> usize {
        match self {
            Self::Cpu(session) => session.memory_bytes(height, width),
            #[cfg(feature = "onnxruntime")]
            Self::OnnxRuntime(runtime) => runtime.memory_bytes(height, width),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_name_devices_and_others_are_refused() {
        assert_eq!("cpu".parse(), Ok(Device::Cpu));
        assert_eq!(
            "onnxruntime".parse(),
            Ok(Device::OnnxRuntime(Provider::Cpu))
        );
        for provider in Provider::ALL {
            let word = format!("onnxruntime:{}", provider.name());
            let device: Device = word.parse().unwrap();
            assert_eq!(device, Device::OnnxRuntime(provider));
            assert_eq!(device.to_string().parse(), Ok(device));
        }
        for word in [
            "",
            "gpu",
            "cuda",
            "cpu:cuda",
            "onnxruntime:",
            "onnxruntime:gpu",
        ] {
            let refused = word.parse::<Device>().unwrap_err();
            assert!(refused.contains("`tensorrt`"), "{refused}");
        }
    }
}
