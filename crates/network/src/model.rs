//! The model folder: everything needed to use a trained network, and to know where it came from.
//!
//! `model.toml` (this file's [`ModelInfo`]) and `weights.safetensors` (tensors under the graph's
//! names). The weights are written first and `model.toml` last, each by renaming a finished file,
//! so a folder with a `model.toml` is complete; its digest ties the two together. Copying the
//! folder is sharing the model.

use crate::graph::{Graph, GraphError};
use crate::input::InputSpec;
use crate::parameters::{ParameterError, Parameters, Tensor};
use crate::recipe::Recipe;
use crate::unet::UnetSpec;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Version of the layout this program writes; larger ones are refused.
pub const FORMAT: u32 = 1;
const INFO: &str = "model.toml";
const WEIGHTS: &str = "weights.safetensors";
/// Larger files are refused before they are read; the widest network has under 2 GB.
const MAX_WEIGHTS: u64 = 4 << 30;

/// What `model.toml` says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelInfo {
    /// Layout version.
    pub format: u32,
    /// Program and version that wrote it.
    pub program: String,
    /// Names of the classes, in the order of their numbers.
    pub classes: Vec<String>,
    /// Pixel size of the training images in um, where it was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pixel_um: Option<f64>,
    /// What it started from: a source of encoder weights ([`crate::weights::SOURCES`]) or `model
    /// NAME DIGEST`; none = nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pretrained: Option<String>,
    /// The network.
    pub network: UnetSpec,
    /// What happens to images before the network reads them.
    pub input: InputSpec,
    /// How it was trained.
    pub recipe: Recipe,
    /// What came of the training.
    pub training: TrainingRecord,
    /// Numbers on held-out fields by name, such as `validation.nucleus.f1`.
    #[serde(default)]
    pub scores: BTreeMap<String, f64>,
    /// SHA-256 in hexadecimal: `data` (the training set), `config` (the project's file), `weights`
    /// (filled in by [`Model::save`]).
    #[serde(default)]
    pub hashes: BTreeMap<String, String>,
}

/// What came of a training.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingRecord {
    /// Steps done.
    pub steps: u64,
    /// Step whose weights these are.
    pub chosen_step: u64,
    /// What they were chosen by (loss or F1), where something was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chosen_value: Option<f64>,
    /// Training fields.
    pub fields: usize,
    /// Wall time in seconds.
    pub seconds: f64,
}

/// A model in memory.
#[derive(Clone, Debug)]
pub struct Model {
    /// What is known about it.
    pub info: ModelInfo,
    /// Its network.
    pub graph: Graph,
    /// Its numbers.
    pub parameters: Parameters,
}

impl Model {
    /// Writes the folder, which is made if it does not exist; files of the same names are replaced.
    ///
    /// # Errors
    /// If something cannot be written; files already there are then whole, old or new.
    pub fn save(&mut self, folder: &Path) -> Result<(), ModelError> {
        std::fs::create_dir_all(folder).map_err(|error| ModelError::Write {
            path: folder.into(),
            error,
        })?;
        let bytes = to_safetensors(self.parameters.iter(), None);
        self.info.hashes.insert("weights".into(), sha256(&bytes));
        let text = toml::to_string(&self.info).expect("every field can be written as TOML");
        write_atomic(&folder.join(WEIGHTS), &bytes)?;
        write_atomic(&folder.join(INFO), text.as_bytes())
    }

    /// Reads a model folder.
    ///
    /// # Errors
    /// Names the file, and the tensor or key, that is missing, damaged or does not fit.
    pub fn load(folder: &Path) -> Result<Self, ModelError> {
        let info_path = folder.join(INFO);
        if !info_path.exists() {
            return Err(ModelError::NoModel {
                folder: folder.into(),
            });
        }
        let read_error = |path: &Path, error| ModelError::Read {
            path: path.into(),
            error,
        };
        let text = std::fs::read_to_string(&info_path).map_err(|e| read_error(&info_path, e))?;
        let damaged = |what: String| ModelError::Info {
            path: info_path.clone(),
            what,
        };
        // The version first: a newer layout may have keys that are unknown here.
        let table: toml::Table =
            toml::from_str(&text).map_err(|e| damaged(e.message().to_string()))?;
        match table.get("format").and_then(toml::Value::as_integer) {
            Some(n) if n == i64::from(FORMAT) => {}
            Some(n) => {
                return Err(ModelError::Format {
                    path: info_path,
                    format: n,
                });
            }
            None => return Err(damaged("key `format` is missing".into())),
        }
        let info: ModelInfo =
            toml::from_str(&text).map_err(|e| damaged(e.message().to_string()))?;
        let graph = Graph::unet(&info.network).map_err(|error| ModelError::Network {
            path: info_path.clone(),
            error,
        })?;
        if info.classes.len() != info.network.classes {
            let (named, classes) = (info.classes.len(), info.network.classes);
            return Err(damaged(format!(
                "`classes` names {named} classes, `network.classes` is {classes}"
            )));
        }
        let path = folder.join(WEIGHTS);
        let size = std::fs::metadata(&path)
            .map_err(|e| read_error(&path, e))?
            .len();
        if size > MAX_WEIGHTS {
            return Err(ModelError::Weights {
                path,
                what: format!("{size} bytes are too many"),
            });
        }
        let bytes = std::fs::read(&path).map_err(|e| read_error(&path, e))?;
        let (tensors, _) = from_safetensors(&bytes).map_err(|what| ModelError::Weights {
            path: path.clone(),
            what,
        })?;
        let parameters = Parameters::new(&graph, tensors).map_err(|error| ModelError::Tensor {
            path: path.clone(),
            error,
        })?;
        if let Some(expected) = info.hashes.get("weights")
            && *expected != sha256(&bytes)
        {
            return Err(ModelError::Mismatch { path });
        }
        Ok(Self {
            info,
            graph,
            parameters,
        })
    }

    /// Identifies what the model computes: SHA-256 over its weights, network, classes and input.
    pub fn hash(&self) -> String {
        #[derive(Serialize)]
        struct Identity<'a> {
            classes: &'a [String],
            weights: String,
            network: &'a UnetSpec,
            input: &'a InputSpec,
        }
        let identity = Identity {
            classes: &self.info.classes,
            weights: sha256(&to_safetensors(self.parameters.iter(), None)),
            network: &self.info.network,
            input: &self.info.input,
        };
        sha256(&serde_json::to_vec(&identity).expect("every field can be written as JSON"))
    }
}

/// SHA-256 in lower-case hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Writes `bytes` to `path` whole or not at all.
pub(crate) fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), ModelError> {
    stainfree_image::write::replace_file(path, bytes).map_err(|error| ModelError::Write {
        path: path.into(),
        error,
    })
}

/// The tensors as a safetensors file, with notes in its header. The same input gives the same
/// bytes.
pub(crate) fn to_safetensors<'a>(
    tensors: impl Iterator<Item = &'a Tensor>,
    notes: Option<BTreeMap<String, String>>,
) -> Vec<u8> {
    let tensors: Vec<(&Tensor, Vec<u8>)> = tensors
        .map(|t| (t, t.data.iter().flat_map(|x| x.to_le_bytes()).collect()))
        .collect();
    let views = tensors.iter().map(|(tensor, bytes)| {
        let view = TensorView::new(Dtype::F32, tensor.shape.clone(), bytes);
        (
            tensor.name.as_str(),
            view.expect("a tensor holds as many values as its shape says"),
        )
    });
    // One note only: several would stand in the header in the random order of a hash map.
    let notes = notes.map(|notes| {
        let text = serde_json::to_string(&notes).expect("text can be written as JSON");
        [("stainfree".to_string(), text)].into_iter().collect()
    });
    safetensors::serialize(views, notes).expect("tensors of f32 can be written")
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
        let kind = crate::graph::ParameterKind::Trainable;
        tensors.push(Tensor {
            name: name.to_string(),
            shape: view.shape().to_vec(),
            kind,
            data,
        });
    }
    Ok((tensors, notes))
}

/// A model folder that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// Not a model folder.
    #[error("`{folder}` is no model folder: it has no `model.toml`")]
    NoModel {
        /// The folder.
        folder: PathBuf,
    },
    /// Reading failed.
    #[error("`{path}` cannot be read: {error}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// Writing failed.
    #[error("`{path}` cannot be written: {error}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// Written by a newer program.
    #[error(
        "`{path}` has format `{format}`, this program reads format {FORMAT}; use a newer version"
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: i64,
    },
    /// `model.toml` is damaged.
    #[error("`{path}` cannot be used: {what}")]
    Info {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A network that cannot be built.
    #[error("`{path}`: {error}")]
    Network {
        /// The file.
        path: PathBuf,
        /// Why.
        error: GraphError,
    },
    /// The weights file is damaged.
    #[error("`{path}` cannot be used: {what}")]
    Weights {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A tensor does not fit the network.
    #[error("`{path}` does not fit its `model.toml`: {error}")]
    Tensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        error: ParameterError,
    },
    /// The weights are not those `model.toml` was written with.
    #[error(
        "`{path}` is not the file its `model.toml` was written with (other digest); copy the whole \
         model folder again"
    )]
    Mismatch {
        /// The file.
        path: PathBuf,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Encoder, input::Preprocessing};

    fn model() -> Model {
        let recipe = Recipe {
            width: 0.0625,
            ..Recipe::standard()
        };
        let network = UnetSpec::narrow(Encoder::Vgg16, 0.0625, 3);
        let graph = Graph::unet(&network).unwrap();
        let input = InputSpec {
            planes: 1,
            normalisation: recipe.normalisation.clone(),
            preprocessing: Preprocessing::centred(),
        };
        let parameters = Parameters::initialise(&graph, 5);
        let info = ModelInfo {
            format: FORMAT,
            program: "stainfree 0.1.0".into(),
            classes: ["background", "nucleus", "cytoplasm"]
                .map(String::from)
                .into(),
            pixel_um: Some(0.31),
            pretrained: None,
            network,
            input,
            recipe,
            training: TrainingRecord {
                steps: 10,
                chosen_step: 8,
                chosen_value: Some(0.8),
                fields: 3,
                seconds: 1.5,
            },
            scores: [("validation.nucleus.f1".to_string(), 0.8)].into(),
            hashes: [("data".to_string(), "00".to_string())].into(),
        };
        Model {
            info,
            graph,
            parameters,
        }
    }

    fn saved() -> (tempfile::TempDir, PathBuf, Model) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mein Modell ü");
        let mut model = model();
        model.save(&path).unwrap();
        (folder, path, model)
    }

    #[test]
    fn what_is_saved_is_loaded() {
        let (_folder, path, model) = saved();
        let loaded = Model::load(&path).unwrap();
        assert_eq!(loaded.info, model.info);
        assert_eq!(loaded.parameters, model.parameters);
        assert_eq!(loaded.hash(), model.hash());
        let files: Vec<_> = std::fs::read_dir(&path)
            .unwrap()
            .map(|f| f.unwrap().file_name())
            .collect();
        assert_eq!(files.len(), 2, "temporary files were left: {files:?}");
    }

    #[test]
    fn the_hash_follows_what_is_computed_and_nothing_else() {
        let (mut a, mut b, mut c) = (model(), model(), model());
        a.info.scores.clear();
        assert_eq!(a.hash(), model().hash());
        b.parameters
            .get_mut("segmentation_head.0.bias")
            .unwrap()
            .data[0] = 1.0;
        assert_ne!(b.hash(), model().hash());
        c.info.input.preprocessing = Preprocessing::torchvision();
        assert_ne!(c.hash(), model().hash());
    }

    #[test]
    fn the_same_model_gives_the_same_bytes() {
        let (_a, first, _) = saved();
        let (_b, second, _) = saved();
        for file in [INFO, WEIGHTS] {
            assert_eq!(
                std::fs::read(first.join(file)).unwrap(),
                std::fs::read(second.join(file)).unwrap()
            );
        }
    }

    #[test]
    fn every_kind_of_damage_is_named() {
        let load = |path: &Path| Model::load(path).unwrap_err().to_string();
        let (_folder, path, _) = saved();
        let info = std::fs::read_to_string(path.join(INFO)).unwrap();

        std::fs::write(path.join(INFO), info.replace("format = 1", "format = 9")).unwrap();
        assert!(
            load(&path)
                .ends_with("has format `9`, this program reads format 1; use a newer version")
        );
        std::fs::write(path.join(INFO), info.replace("pixel_um", "pixel_mm")).unwrap();
        assert!(load(&path).contains("pixel_mm"));
        std::fs::write(path.join(INFO), "nonsense").unwrap();
        assert!(load(&path).contains("cannot be used"));
        std::fs::write(path.join(INFO), info.replace("classes = 3", "classes = 4")).unwrap();
        assert!(load(&path).contains("`classes` names 3 classes, `network.classes` is 4"));
        let other = info.replace("width = 0.0625", "width = 0.125");
        std::fs::write(path.join(INFO), other).unwrap();
        assert!(load(&path).contains(
            "does not fit its `model.toml`: tensor `encoder.features.0.weight` has shape"
        ));
        std::fs::write(path.join(INFO), &info).unwrap();

        let weights = std::fs::read(path.join(WEIGHTS)).unwrap();
        let mut flipped = weights.clone();
        *flipped.last_mut().unwrap() ^= 1;
        std::fs::write(path.join(WEIGHTS), flipped).unwrap();
        assert!(load(&path).contains("copy the whole model folder again"));
        std::fs::write(path.join(WEIGHTS), &weights[..weights.len() / 2]).unwrap();
        assert!(load(&path).contains("not a sound safetensors file"));
        std::fs::remove_file(path.join(WEIGHTS)).unwrap();
        assert!(load(&path).contains("weights.safetensors` cannot be read"));
        std::fs::remove_file(path.join(INFO)).unwrap();
        assert!(load(&path).ends_with("is no model folder: it has no `model.toml`"));
    }
}
