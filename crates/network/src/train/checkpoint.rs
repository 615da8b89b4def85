//! The state of a training on disk, whole at every moment.
//!
//! `checkpoint.safetensors` holds parameters, Adam's moments, their average where one is made and,
//! as a note, [`Progress`]; it is written beside itself and renamed, so a killed program leaves the
//! last whole one. `best.safetensors` holds the parameters chosen so far and, as a note, the step
//! and value that they were chosen by ([`Best`]). New ones wait as `best.next.safetensors` until a
//! checkpoint knows of them: should only they be written, the steps that led to them are lost and
//! so are they, and the checkpoint's own best is still there.

use super::TrainError;
use super::identity::Identity;
use crate::device::OptimiserState;
use crate::graph::{Graph, ParameterKind};
use crate::machine::MachineIdentity;
use crate::model::write_atomic;
use crate::optimiser::ScheduleState;
use crate::parameters::{Parameters, Tensor};
use crate::tensor_file::{from_safetensors, named_safetensors, to_safetensors};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Note in the file of the best state.
const BEST: &str = "best";

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
    pub(super) machines: Vec<MachineIdentity>,
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
    /// Steps that were made as a shorter training and count as rounds that have ended.
    #[serde(default)]
    pub(super) rounds_from: u64,
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
    /// A best state that no checkpoint knows yet.
    next: PathBuf,
    pub(super) log: PathBuf,
}

impl Files {
    pub(super) fn new(folder: &Path) -> Self {
        Self {
            checkpoint: folder.join("checkpoint.safetensors"),
            best: folder.join("best.safetensors"),
            next: folder.join("best.next.safetensors"),
            log: folder.join("log.jsonl"),
        }
    }

    /// Writes the parameters chosen at `best`, to wait for the checkpoint that knows of them, or to
    /// stand alone where there is none.
    pub(super) fn save_best(&self, best: &Best, parameters: &Parameters) -> Result<(), TrainError> {
        let text = serde_json::to_string(best).expect("numbers can be written as JSON");
        let notes = [(BEST.to_string(), text)].into();
        let path = match self.checkpoint.exists() {
            true => &self.next,
            false => &self.best,
        };
        Ok(write_atomic(
            path,
            &to_safetensors(parameters.iter(), Some(notes)),
        )?)
    }

    /// Puts a best state that waits in its place, or takes it away.
    fn settle_best(&self, is_known: bool) -> Result<(), TrainError> {
        let done = match is_known {
            true => std::fs::rename(&self.next, &self.best),
            false => std::fs::remove_file(&self.next),
        };
        done.or_else(|error| self.unless_missing(&self.next, error))
    }

    /// Whether the best state that waits is the checkpoint's; else it comes of steps that are lost.
    ///
    /// # Errors
    /// It cannot be read: it may be the only copy, so that it is not taken for a lost one.
    fn is_known(&self, progress: &Progress) -> Result<bool, TrainError> {
        let (_, notes) = self.read(&self.next)?;
        let best = self.best_of(&self.next, &notes)?;
        Ok(best.is_some() && best == progress.best)
    }

    /// The best state, and the step and value that it was chosen by: those that the file states, or
    /// `known` by the checkpoint where an earlier version wrote the file.
    pub(super) fn load_best(
        &self,
        graph: &Graph,
        known: Best,
    ) -> Result<(Parameters, Best), TrainError> {
        let (tensors, notes) = self.read(&self.best)?;
        let best = self.best_of(&self.best, &notes)?.unwrap_or(known);
        let parameters = Parameters::new(graph, tensors);
        let parameters = parameters.map_err(|e| self.damaged(&self.best, e.to_string()))?;
        Ok((parameters, best))
    }

    fn best_of(
        &self,
        path: &Path,
        notes: &BTreeMap<String, String>,
    ) -> Result<Option<Best>, TrainError> {
        let best = notes.get(BEST).map(|text| serde_json::from_str(text));
        best.transpose()
            .map_err(|e| self.damaged(path, e.to_string()))
    }

    fn unless_missing(&self, path: &Path, error: std::io::Error) -> Result<(), TrainError> {
        match error.kind() {
            std::io::ErrorKind::NotFound => Ok(()),
            _ => Err(TrainError::File {
                path: path.into(),
                error,
            }),
        }
    }

    /// Deletes what another training left.
    pub(super) fn clear(&self) -> Result<(), TrainError> {
        // The checkpoint first: without it nothing else is taken for anything.
        for path in [&self.checkpoint, &self.best, &self.next] {
            std::fs::remove_file(path).or_else(|error| self.unless_missing(path, error))?;
        }
        Ok(())
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
        write_atomic(&self.checkpoint, &named_safetensors(tensors, Some(notes)))?;
        // Written for this checkpoint.
        self.settle_best(true)
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
        if self.next.exists() {
            self.settle_best(self.is_known(&progress)?)?;
        }
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
