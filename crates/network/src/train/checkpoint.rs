//! The state of a training on disk, whole at every moment.
//!
//! `checkpoint.safetensors` holds parameters, Adam's moments, their average where one is made and,
//! as a note, [`Progress`]; it is written beside itself and renamed, so a killed program leaves the
//! last whole one. `best.safetensors` holds the parameters chosen so far and is written before it:
//! should only that one be written, the steps that led to it are made again, from the older
//! checkpoint, with the same numbers.

use super::TrainError;
use super::identity::{Identity, Machine};
use crate::graph::{Graph, ParameterKind};
use crate::model::{from_safetensors, named_safetensors, to_safetensors, write_atomic};
use crate::optimiser::ScheduleState;
use crate::parameters::{Parameters, Tensor};
use crate::trainer::OptimiserState;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The state chosen so far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Best {
    pub(super) step: u64,
    /// Loss or F1, as the recipe selects.
    pub(super) value: f64,
}

/// Everything but the arrays.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Progress {
    /// Digest of all choices, as earlier versions wrote it; empty where `training` says more.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) identity: String,
    /// What the training is recognised by; none in checkpoints of earlier versions.
    #[serde(default)]
    pub(super) training: Option<Identity>,
    /// Steps that it is made for; 0 in checkpoints of earlier versions.
    #[serde(default)]
    pub(super) steps: u64,
    /// The machines that its steps were computed on, in the order in which they took part.
    #[serde(default)]
    pub(super) machines: Vec<Machine>,
    /// Steps done.
    pub(super) step: u64,
    pub(super) schedule: ScheduleState,
    /// Sum and number of this epoch's losses.
    pub(super) epoch_loss: f64,
    pub(super) epoch_steps: u64,
    pub(super) best: Option<Best>,
    /// Validations since the best one.
    pub(super) waited: u32,
    /// Wall time so far.
    pub(super) seconds: f64,
    /// Length of the log; what was written after the checkpoint is written again.
    pub(super) log_bytes: u64,
    /// Updates of the average of the weights; 0 where none is made.
    #[serde(default)]
    pub(super) averaged: u64,
}

/// What a checkpoint holds.
pub(super) struct Saved {
    pub(super) progress: Progress,
    pub(super) parameters: Parameters,
    pub(super) optimiser: OptimiserState,
    /// The average of the weights, where one is made.
    pub(super) average: Option<Parameters>,
}

/// The files of one training.
pub(super) struct Files {
    pub(super) checkpoint: PathBuf,
    pub(super) best: PathBuf,
    pub(super) log: PathBuf,
}

impl Files {
    pub(super) fn new(folder: &Path) -> Self {
        Self {
            checkpoint: folder.join("checkpoint.safetensors"),
            best: folder.join("best.safetensors"),
            log: folder.join("log.jsonl"),
        }
    }

    pub(super) fn save_best(&self, parameters: &Parameters) -> Result<(), TrainError> {
        Ok(write_atomic(
            &self.best,
            &to_safetensors(parameters.iter(), None),
        )?)
    }

    pub(super) fn load_best(&self, graph: &Graph) -> Result<Parameters, TrainError> {
        let (tensors, _) = self.read(&self.best)?;
        Parameters::new(graph, tensors).map_err(|e| self.damaged(&self.best, e.to_string()))
    }

    pub(super) fn save<'a>(
        &self,
        progress: &Progress,
        parameters: &'a Parameters,
        state: &'a OptimiserState,
        average: Option<&'a Parameters>,
    ) -> Result<(), TrainError> {
        let named = |kind: &'static str| {
            move |tensor: &'a Tensor| (format!("{kind}/{}", tensor.name), tensor)
        };
        let average = average.into_iter().flat_map(|p| p.iter());
        let tensors = parameters
            .iter()
            .map(named("parameter"))
            .chain(state.first.iter().map(named("first")))
            .chain(state.second.iter().map(named("second")))
            .chain(average.map(named("average")));
        let text = serde_json::to_string(progress).expect("progress can be written as JSON");
        let notes = [("progress".to_string(), text)].into();
        Ok(write_atomic(
            &self.checkpoint,
            &named_safetensors(tensors, Some(notes)),
        )?)
    }

    /// How far the checkpoint is, without its arrays.
    pub(super) fn progress(&self) -> Result<Progress, TrainError> {
        self.progress_of(&self.read(&self.checkpoint)?.1)
    }

    fn progress_of(&self, notes: &BTreeMap<String, String>) -> Result<Progress, TrainError> {
        let damaged = |what: String| self.damaged(&self.checkpoint, what);
        let progress = notes
            .get("progress")
            .ok_or_else(|| damaged("its notes are missing".into()))?;
        serde_json::from_str(progress).map_err(|e| damaged(e.to_string()))
    }

    /// The checkpoint, for the network `graph`; `check` may refuse it before its arrays are looked
    /// at, which are those of another network where the training is another.
    pub(super) fn load(
        &self,
        graph: &Graph,
        check: impl FnOnce(&Progress) -> Result<(), TrainError>,
    ) -> Result<Saved, TrainError> {
        let damaged = |what: String| self.damaged(&self.checkpoint, what);
        let (tensors, notes) = self.read(&self.checkpoint)?;
        let progress = self.progress_of(&notes)?;
        check(&progress)?;
        // By kind and name, moved and not copied: they are several times the weights.
        let mut kinds: BTreeMap<String, Vec<Tensor>> = BTreeMap::new();
        for mut tensor in tensors {
            if let Some((kind, name)) = tensor.name.split_once('/') {
                let (kind, name) = (kind.to_string(), name.to_string());
                tensor.name = name;
                kinds.entry(kind).or_default().push(tensor);
            }
        }
        let mut part = |kind: &str| kinds.remove(kind).unwrap_or_default();
        let mut whole =
            |kind: &str| Parameters::new(graph, part(kind)).map_err(|e| damaged(e.to_string()));
        let parameters = whole("parameter")?;
        let average = match progress.averaged {
            0 => None,
            _ => Some(whole("average")?),
        };
        let mut moments = |kind: &str| -> Result<Vec<Tensor>, TrainError> {
            let mut found: BTreeMap<String, Tensor> = part(kind)
                .into_iter()
                .map(|t| (t.name.clone(), t))
                .collect();
            let trainable = graph
                .parameters()
                .iter()
                .filter(|p| p.kind == ParameterKind::Trainable);
            trainable
                .map(|info| {
                    let tensor = found.remove(&info.name);
                    tensor
                        .filter(|tensor| tensor.shape == info.shape)
                        .ok_or_else(|| damaged(format!("`{kind}/{}` is missing", info.name)))
                })
                .collect()
        };
        let optimiser = OptimiserState {
            step: progress.step,
            first: moments("first")?,
            second: moments("second")?,
        };
        Ok(Saved {
            progress,
            parameters,
            optimiser,
            average,
        })
    }

    fn read(&self, path: &Path) -> Result<(Vec<Tensor>, BTreeMap<String, String>), TrainError> {
        let bytes = std::fs::read(path).map_err(|error| TrainError::File {
            path: path.into(),
            error,
        })?;
        from_safetensors(&bytes).map_err(|what| self.damaged(path, what))
    }

    fn damaged(&self, path: &Path, what: String) -> TrainError {
        TrainError::Checkpoint {
            path: path.into(),
            what,
        }
    }
}
