//! The published weights this program knows, with the input each expects.

use super::{NamedArray, WeightsError};
use crate::input::Preprocessing;
use md5::Md5;
use sha2::{Digest as _, Sha256};
use std::io::Read;
use std::path::Path;

/// How a published file is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Digest {
    /// The MD5 digest in hexadecimal (all that its publisher states).
    Md5(&'static str),
    /// The first digits of the SHA-256 digest, as in torch's file names.
    Sha256Start(&'static str),
}

/// One published file of encoder weights.
#[derive(Debug)]
pub struct Source {
    /// Name on the command line and in models.
    pub name: &'static str,
    /// The encoder it belongs to.
    pub encoder: &'static str,
    /// What it is, in a line.
    pub summary: &'static str,
    /// File name under which it is published, and found again.
    pub file: &'static str,
    /// Where it is to be had; none if it was converted and is published nowhere as it is.
    pub url: Option<&'static str>,
    /// Its size in bytes, about.
    pub bytes: u64,
    /// How it is recognised.
    pub digest: Digest,
    /// Terms of use and whom to cite.
    pub licence: &'static str,
    /// The input it expects.
    pub preprocessing: fn() -> Preprocessing,
    /// Whether its batch norms are folded into the convolutions: they hold no statistics, which
    /// must be measured before anything is trained ([`crate::Train::recalibrate`]).
    pub folded: bool,
    /// The epsilon of batch norm it was trained with, where that is not the encoder's here.
    pub epsilon: Option<f64>,
    /// A tensor that only the full-width encoder has, with this shape.
    mark: (&'static str, &'static [usize]),
    /// Known values: tensor, index in `[out, in, y, x]` order, value.
    probes: &'static [(&'static str, usize, f32)],
}

const VGG: &str = "CC BY 4.0 (Oxford VGG); cite Simonyan and Zisserman, ICLR 2015, arXiv:1409.1556";

const MOBILENET_TORCHVISION: &str =
    "BSD 3-Clause (torchvision); cite Sandler et al., CVPR 2018, arXiv:1801.04381";
const VGG_MARK: (&str, &[usize]) = ("encoder.features.0.bias", &[64]);
const MOBILENET_MARK: (&str, &[usize]) = ("encoder.features.0.0.weight", &[32, 3, 3, 3]);

const B4_MARK: (&str, &[usize]) = ("encoder.features.0.0.weight", &[48, 3, 3, 3]);

/// Every known source, the recommended one of an encoder first.
pub const SOURCES: &[Source] = &[
    Source {
        name: "vgg16-keras",
        encoder: "vgg16",
        summary: "Keras' ImageNet VGG16, the paper's; input BGR, 0 to 255, mean taken away",
        file: "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
        url: Some(
            "https://github.com/fchollet/deep-learning-models/releases/download/v0.1/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
        ),
        bytes: 58_889_256,
        digest: Digest::Md5("6d6bbae143d832006294945121d1f1fc"),
        licence: VGG,
        preprocessing: Preprocessing::keras_vgg16,
        folded: false,
        epsilon: None,
        mark: VGG_MARK,
        // Keras index [y, x, in, out] of kernels is [out, in, y, x] here, in rows of 9 per input
        // channel.
        probes: &[
            ("encoder.features.0.weight", 0, 0.429_470_57),
            ("encoder.features.0.weight", 1, 0.373_467),
            ("encoder.features.0.bias", 25, 0.744_650_2),
            (
                "encoder.features.2.weight",
                (63 * 64 + 63) * 9 + 8,
                0.016_082_443,
            ),
            ("encoder.features.5.bias", 1, 0.064_407_81),
        ],
    },
    Source {
        name: "vgg16-torchvision",
        encoder: "vgg16",
        summary: "torchvision's VGG16, IMAGENET1K_V1; input RGB, 0 to 1, ImageNet mean and \
            deviation",
        file: "vgg16-397923af.pth",
        url: Some("https://download.pytorch.org/models/vgg16-397923af.pth"),
        bytes: 553_433_881,
        digest: Digest::Sha256Start("397923af"),
        licence: "BSD 3-Clause (torchvision); cite Simonyan and Zisserman, ICLR 2015, \
            arXiv:1409.1556",
        preprocessing: Preprocessing::torchvision,
        folded: false,
        epsilon: None,
        mark: VGG_MARK,
        probes: &[],
    },
    Source {
        name: "vgg16-torchvision-features",
        encoder: "vgg16",
        summary: "torchvision's VGG16, IMAGENET1K_FEATURES; input RGB, 0 to 1, minus the mean, \
            times 255",
        file: "vgg16_features-amdegroot-88682ab5.pth",
        url: Some("https://download.pytorch.org/models/vgg16_features-amdegroot-88682ab5.pth"),
        bytes: 553_434_000,
        digest: Digest::Sha256Start("88682ab5"),
        licence: VGG,
        preprocessing: Preprocessing::torchvision_vgg16_features,
        folded: false,
        epsilon: None,
        mark: VGG_MARK,
        probes: &[],
    },
    Source {
        name: "mobilenet-v2-torchvision",
        encoder: "mobilenet-v2",
        summary: "torchvision's MobileNetV2, IMAGENET1K_V2; input RGB, 0 to 1, ImageNet mean and \
            deviation",
        file: "mobilenet_v2-7ebf99e0.pth",
        url: Some("https://download.pytorch.org/models/mobilenet_v2-7ebf99e0.pth"),
        bytes: 14_260_000,
        digest: Digest::Sha256Start("7ebf99e0"),
        licence: MOBILENET_TORCHVISION,
        preprocessing: Preprocessing::torchvision,
        folded: false,
        epsilon: None,
        mark: MOBILENET_MARK,
        probes: &[],
    },
    Source {
        name: "mobilenet-v2-torchvision-v1",
        encoder: "mobilenet-v2",
        summary: "torchvision's MobileNetV2, IMAGENET1K_V1; input RGB, 0 to 1, ImageNet mean and \
            deviation",
        file: "mobilenet_v2-b0353104.pth",
        url: Some("https://download.pytorch.org/models/mobilenet_v2-b0353104.pth"),
        bytes: 14_260_000,
        digest: Digest::Sha256Start("b0353104"),
        licence: MOBILENET_TORCHVISION,
        preprocessing: Preprocessing::torchvision,
        folded: false,
        epsilon: None,
        mark: MOBILENET_MARK,
        probes: &[],
    },
    Source {
        name: "mobilenet-v2-onnx-zoo",
        encoder: "mobilenet-v2",
        summary: "mobilenetv2-7 of the ONNX model zoo, batch norms folded; input RGB, 0 to 1, \
            ImageNet mean and deviation",
        file: "mobilenet_v2_features.safetensors",
        url: None,
        bytes: 9_057_848,
        digest: Digest::Sha256Start(
            "d8d1119b5e465f32d3385719b77b28f15c814ac8e37811bc6988a2b46f62dd08",
        ),
        licence: "Apache-2.0 (ONNX model zoo); cite Sandler et al., CVPR 2018, arXiv:1801.04381",
        preprocessing: Preprocessing::torchvision,
        folded: true,
        epsilon: None,
        mark: MOBILENET_MARK,
        probes: &[
            ("encoder.features.0.0.weight", 100, -0.014_935_398),
            ("encoder.features.0.1.bias", 3, 0.282_952_04),
            ("encoder.features.1.conv.0.0.weight", 4, 0.030_931_568),
            ("encoder.features.18.0.weight", 12_345, 0.186_514_65),
        ],
    },
    Source {
        name: "efficientnet-b4-keras",
        encoder: "efficientnet-b4",
        summary: "efficientnet 1.0.0's B4 for Keras, AutoAugment, the paper's; input RGB, 0 to 1, \
            ImageNet mean and deviation",
        file: "efficientnet-b4_weights_tf_dim_ordering_tf_kernels_autoaugment_notop.h5",
        url: Some(
            "https://github.com/Callidior/keras-applications/releases/download/efficientnet/efficientnet-b4_weights_tf_dim_ordering_tf_kernels_autoaugment_notop.h5",
        ),
        bytes: 71_700_000,
        digest: Digest::Sha256Start(
            "7942c1407ff1feb34113995864970cd4d9d91ea64877e8d9c38b6c1e0767c411",
        ),
        licence: "Apache-2.0 (efficientnet 1.0.0); cite Tan and Le, ICML 2019, arXiv:1905.11946",
        preprocessing: Preprocessing::torchvision,
        folded: false,
        epsilon: None,
        mark: B4_MARK,
        probes: &[],
    },
    Source {
        name: "efficientnet-b4-torchvision",
        encoder: "efficientnet-b4",
        summary: "torchvision's EfficientNet-B4, IMAGENET1K_V1; input RGB, 0 to 1, ImageNet mean \
            and deviation",
        file: "efficientnet_b4_rwightman-23ab8bcd.pth",
        url: Some("https://download.pytorch.org/models/efficientnet_b4_rwightman-23ab8bcd.pth"),
        bytes: 78_100_000,
        digest: Digest::Sha256Start("23ab8bcd"),
        licence: "BSD 3-Clause (torchvision); cite Tan and Le, ICML 2019, arXiv:1905.11946",
        preprocessing: Preprocessing::torchvision,
        folded: false,
        epsilon: Some(1e-5),
        mark: B4_MARK,
        probes: &[],
    },
];

/// Probes may differ by rounding: the values are stated with 7 digits, and one copy of the biases
/// was cut to 16-bit fixed point (error below 2^-12).
const PROBE_TOLERANCE: f32 = 2.5e-4;

impl Source {
    /// The source called `name`.
    pub fn named(name: &str) -> Option<&'static Source> {
        SOURCES.iter().find(|source| source.name == name)
    }

    /// All names, for messages.
    pub fn names() -> String {
        SOURCES
            .iter()
            .map(|source| source.name)
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// Whether the arrays are those of this source's encoder at full width.
    fn fits(&self, arrays: &[NamedArray]) -> bool {
        let (name, shape) = self.mark;
        arrays.iter().any(|a| a.name == name && a.shape == shape)
    }

    /// Checks known values of arrays under the graph's names.
    pub(super) fn check_probes(
        &'static self,
        path: &Path,
        arrays: &[NamedArray],
    ) -> Result<(), WeightsError> {
        // Narrow networks have other weights altogether; a file for them carries no published
        // values.
        if !self.fits(arrays) {
            return Ok(());
        }
        for &(name, index, expected) in self.probes {
            let Some(array) = arrays
                .iter()
                .find(|a| a.name == name && a.data.len() > index)
            else {
                continue;
            };
            let found = array.data[index];
            if (found - expected).abs() > PROBE_TOLERANCE {
                return Err(WeightsError::Probe {
                    path: path.into(),
                    source_name: self.name,
                    name: name.into(),
                    expected,
                    found,
                });
            }
        }
        Ok(())
    }

    /// The source a complete file comes from: its probes fit, or it is named and hashed as
    /// published.
    pub(super) fn identify(
        path: &Path,
        arrays: &[NamedArray],
    ) -> Result<Option<&'static Source>, WeightsError> {
        let by_probe = |s: &&'static Source| {
            !s.probes.is_empty() && s.fits(arrays) && s.check_probes(path, arrays).is_ok()
        };
        if let Some(source) = SOURCES.iter().find(by_probe) {
            return Ok(Some(source));
        }
        let named = SOURCES
            .iter()
            .find(|s| path.file_name().is_some_and(|name| name == s.file));
        if let Some(source) = named {
            source.verify(path)?;
        }
        Ok(named)
    }

    /// Compares the file's checksum with the published one.
    ///
    /// # Errors
    /// If the file cannot be read or differs.
    pub fn verify(&self, path: &Path) -> Result<(), WeightsError> {
        self.digest.check(path)
    }
}

/// Lower-case digits of a checksum.
fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Digest {
    /// Compares the file's checksum with this one.
    ///
    /// # Errors
    /// [`WeightsError::Io`] if the file cannot be read, [`WeightsError::Checksum`] if it differs.
    pub fn check(self, path: &Path) -> Result<(), WeightsError> {
        let (kind, expected, found) = match self {
            Digest::Md5(expected) => {
                let mut hasher = Md5::new();
                feed(path, |bytes| hasher.update(bytes))?;
                ("md5", expected, hexadecimal(&hasher.finalize()))
            }
            Digest::Sha256Start(expected) => {
                let mut hasher = Sha256::new();
                feed(path, |bytes| hasher.update(bytes))?;
                ("sha256", expected, hexadecimal(&hasher.finalize()))
            }
        };
        if found.starts_with(expected) {
            return Ok(());
        }
        Err(WeightsError::Checksum {
            path: path.into(),
            kind,
            expected,
            found,
        })
    }
}

fn feed(path: &Path, mut take: impl FnMut(&[u8])) -> Result<(), WeightsError> {
    let io = |error| WeightsError::Io {
        path: path.into(),
        error,
    };
    let mut file = std::fs::File::open(path).map_err(io)?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).map_err(io)? {
            0 => return Ok(()),
            n => take(&buffer[..n]),
        }
    }
}
