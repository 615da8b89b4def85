//! The model folder: everything needed to use a trained network, and to know where it came from.
//!
//! `model.toml` (this file's [`ModelInfo`]) and `weights.safetensors` (tensors under the graph's
//! names, and the graph itself as a note). The weights are written first and `model.toml` last,
//! each by renaming a finished file, so a folder with a `model.toml` is complete; its digest ties
//! the two together. Copying the folder is sharing the model.

mod error;
mod network;

pub use error::ModelError;
pub use network::NetworkName;

use crate::description::{describe, read};
use crate::graph::Graph;
use crate::input::InputSpec;
use crate::machine::MachineIdentity;
use crate::parameters::{Parameters, Tensor};
use crate::program::Program;
use crate::recipe::Recipe;
use crate::tensor_file::{from_safetensors, to_safetensors};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Version of the layout this program writes; larger ones are refused.
pub const FORMAT: u32 = 1;
/// The file that makes a folder a model's.
pub const INFO: &str = "model.toml";
const WEIGHTS: &str = "weights.safetensors";
/// New weights of a model that is being replaced.
const NEXT: &str = "weights.next.safetensors";
/// Note in the weights file that is the network, and the name of its digest.
const GRAPH: &str = "graph";
/// Larger files are refused before they are read; the widest network has under 2 GB.
const MAX_WEIGHTS: u64 = 4 << 30;

/// What `model.toml` says. Keys of later versions are passed over: what they say beside this must
/// not keep a model from predicting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    /// The network by name.
    pub network: NetworkName,
    /// What happens to images before the network reads them.
    pub input: InputSpec,
    /// How it was trained.
    pub recipe: Recipe,
    /// What came of the training.
    pub training: TrainingRecord,
    /// What its batch norms were measured on, where that was not the training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapted: Option<Adapted>,
    /// SHA-256 in hexadecimal: `data` (the training set), `config` (the project's file), `weights`
    /// and `graph`, which is in the weights file (both filled in by [`Model::save`]), and what
    /// further files of the folder the project has.
    #[serde(default)]
    pub hashes: BTreeMap<String, String>,
}

impl ModelInfo {
    /// What the `model.toml` of a model's folder says, and the keys in it that this version does
    /// not know and passes over. Its weights are not looked at.
    ///
    /// # Errors
    /// There is no such file, it cannot be read, is damaged or of a newer version, or has a choice
    /// that this version does not know and that decides predictions.
    pub fn of_folder(folder: &Path) -> Result<(Self, Vec<String>), ModelError> {
        let path = folder.join(INFO);
        if !path.exists() {
            return Err(ModelError::NoModel {
                folder: folder.into(),
            });
        }
        let text = std::fs::read_to_string(&path).map_err(|error| ModelError::Read {
            path: path.clone(),
            error,
        })?;
        let damaged = |what: String| ModelError::Info {
            path: path.clone(),
            what,
        };
        // The version first: a newer layout may have keys that are unknown here.
        let table: toml::Table =
            toml::from_str(&text).map_err(|e| damaged(e.message().to_string()))?;
        match table.get("format").and_then(toml::Value::as_integer) {
            Some(n) if n == i64::from(FORMAT) => {}
            Some(format) => return Err(ModelError::Format { path, format }),
            None => return Err(damaged("key `format` is missing".into())),
        }
        read_info(table).map_err(damaged)
    }
}

/// What batch norms were measured on anew, with weights as they are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Adapted {
    /// Hash of the model that it was made of.
    pub from: String,
    /// The fields that were looked at.
    pub fields: Vec<String>,
    /// Weight of what was measured; the rest is what the other model had.
    pub share: f64,
    /// Crops that were measured.
    pub crops: u32,
    /// Their side, px.
    pub crop_px: usize,
}

/// What came of a training.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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
    /// The machines that computed it, in the order in which they took part: on one kind alone it
    /// comes out the same again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub machines: Vec<MachineIdentity>,
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
    /// Keys of its `model.toml` that this version does not know and has passed over.
    pub ignored: Vec<String>,
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
        let graph = describe(&self.graph);
        let digest = sha256(graph.as_bytes());
        let bytes = to_safetensors(
            self.parameters.iter(),
            Some([(GRAPH.to_string(), graph)].into()),
        );
        self.info.hashes.insert(GRAPH.into(), digest);
        self.info.hashes.insert("weights".into(), sha256(&bytes));
        let text = toml::to_string(&self.info).expect("every field can be written as TOML");
        if !folder.join(INFO).exists() {
            write_atomic(&folder.join(WEIGHTS), &bytes)?;
            return write_atomic(&folder.join(INFO), text.as_bytes());
        }
        // The one that is there stays whole until `model.toml` names the new weights.
        Self::settle(folder)?;
        write_atomic(&folder.join(NEXT), &bytes)?;
        write_atomic(&folder.join(INFO), text.as_bytes())?;
        take_place(folder)
    }

    /// Puts the weights that `model.toml` names in their place, where a program that was killed
    /// left them beside it.
    ///
    /// # Errors
    /// If they cannot be renamed.
    pub fn settle(folder: &Path) -> Result<(), ModelError> {
        match is_named(&folder.join(NEXT), named_hash(folder, "weights").as_ref()) {
            true => take_place(folder),
            false => Ok(()),
        }
    }

    /// Reads a model folder.
    ///
    /// # Errors
    /// Names the file, and the tensor or key, that is missing, damaged or does not fit.
    pub fn load(folder: &Path) -> Result<Self, ModelError> {
        let info_path = folder.join(INFO);
        let (info, ignored) = ModelInfo::of_folder(folder)?;
        let says = |network: String| ModelError::Info {
            what: format!("`classes` names {} classes, {network}", info.classes.len()),
            path: info_path.clone(),
        };
        if let Some(spec) = info.network.spec()
            && info.classes.len() != spec.classes
        {
            return Err(says(format!("`network.classes` is {}", spec.classes)));
        }
        let path = weights_path(folder, &info);
        let (tensors, graph) = read_weights(&path, &info, &info_path)?;
        if info.classes.len() != graph.classes() {
            return Err(says(format!("its network has {}", graph.classes())));
        }
        let parameters = Parameters::new(&graph, tensors).map_err(|error| ModelError::Tensor {
            path: path.clone(),
            error,
        })?;
        Ok(Self {
            info,
            graph,
            parameters,
            ignored,
        })
    }

    /// Identifies what the model computes: SHA-256 over its weights, network, classes and input.
    ///
    /// The network counts by name, as it did when models held no graph, and the stored graph beside
    /// it where it is another than the one that this version builds by that name.
    pub fn hash(&self) -> String {
        #[derive(Serialize)]
        struct Hashed<'a> {
            classes: &'a [String],
            weights: String,
            network: &'a NetworkName,
            input: &'a InputSpec,
            #[serde(skip_serializing_if = "Option::is_none")]
            graph: Option<String>,
        }
        let graph = describe(&self.graph);
        let by_name = self.info.network.graph();
        let is_named = by_name.is_ok_and(|named| describe(&named) == graph);
        let hashed = Hashed {
            classes: &self.info.classes,
            weights: sha256(&to_safetensors(self.parameters.iter(), None)),
            network: &self.info.network,
            input: &self.info.input,
            graph: (!is_named).then(|| sha256(graph.as_bytes())),
        };
        sha256(&serde_json::to_vec(&hashed).expect("every field can be written as JSON"))
    }
}

/// The tensors of the weights file at `path`, which `info` (at `info_path`) names, and the network.
fn read_weights(
    path: &Path,
    info: &ModelInfo,
    info_path: &Path,
) -> Result<(Vec<Tensor>, Graph), ModelError> {
    let unread = |error| ModelError::Read {
        path: path.into(),
        error,
    };
    let broken = |what| ModelError::Weights {
        path: path.into(),
        what,
    };
    let mismatch = || ModelError::Mismatch { path: path.into() };
    let size = std::fs::metadata(path).map_err(unread)?.len();
    if size > MAX_WEIGHTS {
        return Err(broken(format!("{size} bytes are too many")));
    }
    let bytes = std::fs::read(path).map_err(unread)?;
    let (tensors, mut notes) = from_safetensors(&bytes).map_err(broken)?;
    let differs = |key: &str, bytes: &[u8]| {
        let expected = info.hashes.get(key);
        expected.is_some_and(|expected| *expected != sha256(bytes))
    };
    let stored = notes.remove(GRAPH);
    if differs("weights", &bytes) || differs(GRAPH, stored.as_deref().unwrap_or("").as_bytes()) {
        return Err(mismatch());
    }
    let graph = match stored {
        Some(stored) => executable(&stored).map_err(|what| ModelError::Graph {
            path: path.into(),
            what,
            program: info.program.clone(),
        }),
        // Models of the first versions do not say.
        None => info.network.graph().map_err(|what| ModelError::Network {
            path: info_path.into(),
            what,
        }),
    }?;
    Ok((tensors, graph))
}

/// The graph that was stored as `text`, if it can be executed on what [`InputSpec`] gives.
fn executable(text: &str) -> Result<Graph, String> {
    let graph = read(text)?;
    Program::new(&graph).map_err(|error| error.to_string())?;
    if graph.input_channels() != InputSpec::CHANNELS {
        return Err(format!(
            "its network reads {} channels and images have {}",
            graph.input_channels(),
            InputSpec::CHANNELS
        ));
    }
    Ok(graph)
}

/// The weights that `info` was written with: those of a program that was killed while it replaced a
/// model lie beside the old ones.
fn weights_path(folder: &Path, info: &ModelInfo) -> PathBuf {
    let next = folder.join(NEXT);
    match is_named(&next, info.hashes.get("weights")) {
        true => next,
        false => folder.join(WEIGHTS),
    }
}

/// New weights take the place of the old ones.
fn take_place(folder: &Path) -> Result<(), ModelError> {
    let place = folder.join(WEIGHTS);
    std::fs::rename(folder.join(NEXT), &place)
        .map_err(|error| ModelError::Write { path: place, error })
}

/// Whether there is a file of this hash at `path`.
fn is_named(path: &Path, hash: Option<&String>) -> bool {
    std::fs::read(path).is_ok_and(|bytes| hash == Some(&sha256(&bytes)))
}

/// The hash called `key` in the `model.toml` of `folder`, whatever else that says: also of a
/// version that this program cannot read.
pub fn named_hash(folder: &Path, key: &str) -> Option<String> {
    let text = std::fs::read_to_string(folder.join(INFO)).ok()?;
    let table: toml::Table = toml::from_str(&text).ok()?;
    let hash = table.get("hashes")?.get(key)?;
    hash.as_str().map(str::to_owned)
}

/// Choices of a recipe that a prediction follows, and their values where a recipe does not name
/// them; all others only say how the model was made.
const FOLLOWED: [(&str, bool); 1] = [("rescale", false)];

/// A table that earlier versions wrote and never put anything into.
const NEVER_FILLED: &str = "scores";

/// What `model.toml` says, and the keys in it that this version does not know.
///
/// What decides a prediction (input, classes, pixel size, [`FOLLOWED`]) must be known in full. How
/// a model was trained need not be: what is unknown there is passed over, with the default recipe's
/// choice in its place. Nor need the name of its network, where the graph is stored.
fn read_info(mut table: toml::Table) -> Result<(ModelInfo, Vec<String>), String> {
    let sentence = |error: toml::de::Error| error.message().to_string();
    let mut ignored = Vec::new();
    if let Some(toml::Value::Table(recipe)) = table.get_mut("recipe")
        && recipe.clone().try_into::<Recipe>().is_err()
    {
        let (known, unknown) = known_choices(recipe);
        if let Some(key) = unknown.iter().find(|key| is_followed(key)) {
            let value = recipe[key].clone();
            return Err(unknown_choice(key, &value, table.get("program")));
        }
        *recipe = known;
        ignored.extend(unknown.into_iter().map(|key| format!("recipe.{key}")));
    }
    let info: ModelInfo = table.clone().try_into().map_err(sentence)?;
    if let Some(um) = info.pixel_um.filter(|um| !(um.is_finite() && *um > 0.0)) {
        return Err(format!(
            "`pixel_um` is `{um}`, which is no size; set it to that of the training images in um, \
             or take the line away"
        ));
    }
    let unknown = info.network.unknown_keys();
    ignored.extend(unknown.into_iter().map(|key| format!("network.{key}")));
    let known = toml::Table::try_from(&info).map_err(|error| error.to_string())?;
    ignored.extend(
        table
            .keys()
            .filter(|key| !known.contains_key(*key) && *key != NEVER_FILLED)
            .cloned(),
    );
    Ok((info, ignored))
}

fn is_followed(key: &str) -> bool {
    FOLLOWED.iter().any(|(followed, _)| *followed == key)
}

fn unknown_choice(key: &str, value: &toml::Value, program: Option<&toml::Value>) -> String {
    let program = program.and_then(toml::Value::as_str);
    format!(
        "`recipe.{key}` is `{value}`, which this version does not know, and predictions depend on \
         it; use `{}`, which wrote it, or set it to `true` or `false`",
        program.unwrap_or("the program")
    )
}

/// A recipe with those of the choices that this version understands, and the keys of the others.
fn known_choices(recipe: &toml::Table) -> (toml::Table, Vec<String>) {
    let understood = |table: &toml::Table| table.clone().try_into::<Recipe>().is_ok();
    let mut known = toml::Table::try_from(Recipe::standard()).unwrap_or_default();
    // What is not named must mean what it means in a recipe that is understood as it stands.
    known.extend(FOLLOWED.map(|(key, value)| (key.to_owned(), value.into())));
    let mut unknown = Vec::new();
    for (key, value) in recipe {
        let before = known.insert(key.clone(), value.clone());
        if understood(&known) {
            continue;
        }
        unknown.push(key.clone());
        match before {
            Some(before) => known.insert(key.clone(), before),
            None => known.remove(key),
        };
    }
    (known, unknown)
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

#[cfg(test)]
mod tests;
