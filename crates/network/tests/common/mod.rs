//! The golden numbers of `testdata/network`: how to remake their inputs and read their outputs.
//!
//! The layout is documented at the top of `testdata/network/make_golden.py`.

#![allow(dead_code, unreachable_pub)] // each test file uses its part

pub mod gradients;
pub mod interpreter;
pub mod onnx;

use stainfree_network::{Graph, Parameters, Tensor};
use std::path::PathBuf;

/// The file `name` of `testdata/network`.
pub fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../testdata/network")
        .join(name)
}

/// A golden file.
pub struct Golden(Vec<u8>);

impl Golden {
    pub fn open(name: &str) -> Self {
        Self(std::fs::read(path(name)).unwrap())
    }

    fn bytes(&self, tensor: &str) -> Vec<u8> {
        let file = safetensors::SafeTensors::deserialize(&self.0).unwrap();
        file.tensor(tensor)
            .unwrap_or_else(|e| panic!("{tensor}: {e}"))
            .data()
            .to_vec()
    }

    pub fn u8(&self, tensor: &str) -> Vec<u8> {
        self.bytes(tensor)
    }

    pub fn i32(&self, tensor: &str) -> Vec<i32> {
        self.bytes(tensor)
            .chunks(4)
            .map(|b| i32::from_le_bytes(b.try_into().unwrap()))
            .collect()
    }

    pub fn f32(&self, tensor: &str) -> Vec<f32> {
        self.bytes(tensor)
            .chunks(4)
            .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
            .collect()
    }

    pub fn f64(&self, tensor: &str) -> Vec<f64> {
        self.bytes(tensor)
            .chunks(8)
            .map(|b| f64::from_le_bytes(b.try_into().unwrap()))
            .collect()
    }

    /// How far `data` is from the stored numbers of `KIND_*.NAME`.
    pub fn distance(&self, kind: &str, name: &str, data: &[f32]) -> Distance {
        let samples = self.f32(&format!("{kind}_sample.{name}"));
        let stride = data.len().div_ceil(64);
        assert_eq!(samples.len(), data.len().div_ceil(stride), "{name}");
        let probe = self.f64(&format!("{kind}_probe.{name}"));
        let differences = data
            .iter()
            .step_by(stride)
            .zip(&samples)
            .map(|(a, b)| (f64::from(*a) - f64::from(*b)).abs());
        let norm = data
            .iter()
            .map(|&x| f64::from(x).powi(2))
            .sum::<f64>()
            .sqrt();
        let weights = value(&format!("probe.{name}"), data.len(), 1.0, 0.0);
        let dot: f64 = data
            .iter()
            .zip(&weights)
            .map(|(a, b)| f64::from(*a) * f64::from(*b))
            .sum();
        Distance {
            element: differences.fold(0.0, f64::max),
            // All samples of a tensor may be zero (dead channels): its own root mean square is a
            // scale, too.
            scale: samples
                .iter()
                .fold(probe[0] / (data.len() as f64).sqrt(), |m, x| {
                    m.max(f64::from(x.abs()))
                }),
            whole: (norm - probe[0]).abs().max((dot - probe[1]).abs()),
            norm: probe[0],
            rounding: self.rounding(name),
        }
    }

    /// What PyTorch's own gradients of `name` lose in f32, where that is known: of an element, and
    /// in norm.
    fn rounding(&self, name: &str) -> [f64; 2] {
        let file = safetensors::SafeTensors::deserialize(&self.0).unwrap();
        let tensor = format!("grad_rounding.{name}");
        if file.tensor(&tensor).is_err() {
            return [0.0; 2];
        }
        let values = self.f64(&tensor);
        [values[0], values[1]]
    }
}

/// A difference from golden numbers.
#[derive(Debug)]
pub struct Distance {
    /// Largest difference of a sampled element.
    pub element: f64,
    /// Largest sampled element, or the root mean square if that is larger.
    pub scale: f64,
    /// Difference of the L2 norm and of the dot product with the probe.
    pub whole: f64,
    /// The L2 norm.
    pub norm: f64,
    /// What PyTorch loses in f32.
    pub rounding: [f64; 2],
}

impl Distance {
    /// Whether it is within `tolerance` of the tensor's size, or, where rounding alone takes
    /// PyTorch further, within three times of what that does: kernels that sum in another order are
    /// as likely to end on the other side.
    pub fn within(&self, tolerance: f64) -> bool {
        let [element, whole] = self.rounding.map(|r| 3.0 * r);
        self.element < (tolerance * self.scale).max(element)
            && self.whole < (tolerance * self.norm).max(whole)
    }
}

/// `offset + scale * (2 u - 1)` with u from the counter-based generator of the script (seed 1).
pub fn value(name: &str, count: usize, scale: f32, offset: f32) -> Vec<f32> {
    let hash = name.bytes().fold(0xCBF2_9CE4_8422_2325u64, |h, b| {
        (h ^ u64::from(b)).wrapping_mul(0x100_0000_01B3)
    });
    (1..=count as u64)
        .map(|i| {
            let mut z = hash
                .wrapping_add(1)
                .wrapping_add(i.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^= z >> 31;
            let u = (z >> 40) as f32 / (1u32 << 24) as f32;
            offset + scale * (2.0 * u - 1.0)
        })
        .collect()
}

/// The parameters every golden network starts from.
pub fn initial_parameters(graph: &Graph) -> Parameters {
    let tensors = graph.parameters().iter().map(|info| {
        let count = info.shape.iter().product();
        let norm = info.name.ends_with(".weight") && info.shape.len() == 1;
        let data = if info.name.ends_with("running_var") || norm {
            value(&info.name, count, 0.2, 1.0)
        } else if info.shape.len() == 4 {
            let fan_in = (info.shape[1] * info.shape[2] * info.shape[3]) as f64;
            value(&info.name, count, (6.0 / fan_in).sqrt() as f32, 0.0)
        } else {
            value(&info.name, count, 0.1, 0.0)
        };
        Tensor {
            name: info.name.clone(),
            shape: info.shape.clone(),
            kind: info.kind,
            data,
        }
    });
    Parameters::new(graph, tensors.collect()).unwrap()
}
