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
use crate::model::{from_safetensors, to_safetensors, write_atomic};
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

    pub(super) fn save(
        &self,
        progress: &Progress,
        parameters: &Parameters,
        state: &OptimiserState,
        average: Option<&Parameters>,
    ) -> Result<(), TrainError> {
        let renamed = |kind: &'static str, tensor: &Tensor| Tensor {
            name: format!("{kind}/{}", tensor.name),
            ..tensor.clone()
        };
        let tensors: Vec<Tensor> = parameters
            .iter()
            .map(|t| renamed("parameter", t))
            .chain(state.first.iter().map(|t| renamed("first", t)))
            .chain(state.second.iter().map(|t| renamed("second", t)))
            .chain(
                average
                    .into_iter()
                    .flat_map(|p| p.iter())
                    .map(|t| renamed("average", t)),
            )
            .collect();
        let text = serde_json::to_string(progress).expect("progress can be written as JSON");
        let notes = [("progress".to_string(), text)].into();
        Ok(write_atomic(
            &self.checkpoint,
            &to_safetensors(tensors.iter(), Some(notes)),
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
        let part = |kind: &str| -> Vec<Tensor> {
            let own = |t: &Tensor| {
                Some(Tensor {
                    name: t.name.strip_prefix(kind)?.to_string(),
                    ..t.clone()
                })
            };
            tensors.iter().filter_map(own).collect()
        };
        let whole =
            |kind: &str| Parameters::new(graph, part(kind)).map_err(|e| damaged(e.to_string()));
        let parameters = whole("parameter/")?;
        let average = match progress.averaged {
            0 => None,
            _ => Some(whole("average/")?),
        };
        let moments = |kind: &str| -> Result<Vec<Tensor>, TrainError> {
            let found = part(kind);
            let trainable = graph
                .parameters()
                .iter()
                .filter(|p| p.kind == ParameterKind::Trainable);
            trainable
                .map(|info| {
                    let tensor = found
                        .iter()
                        .find(|t| t.name == info.name && t.shape == info.shape);
                    tensor
                        .cloned()
                        .ok_or_else(|| damaged(format!("`{kind}{}` is missing", info.name)))
                })
                .collect()
        };
        let optimiser = OptimiserState {
            step: progress.step,
            first: moments("first/")?,
            second: moments("second/")?,
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
