//! What a training is asked for, and what comes of it.

use super::TrainingData;
use crate::graph::Graph;
use crate::input::InputSpec;
use crate::machine::{Machine, MachineIdentity};
use crate::parameters::Parameters;
use crate::recipe::Recipe;
#[cfg(doc)]
use crate::recipe::Selection;
use std::error::Error;
use std::path::Path;

/// Whole objects of validation fields, which the loop knows nothing of.
pub trait Judge: Sync {
    /// Objects of validation field `field` that are found, predicted without being there, and
    /// missed, by what the network makes of it: `[channel][y][x]` of all outputs.
    ///
    /// # Errors
    /// Whatever keeps the truth from being read.
    fn judge(
        &self,
        field: usize,
        made: &[f32],
        size: [usize; 2],
    ) -> Result<[u64; 3], Box<dyn Error + Send + Sync>>;
}

/// A training to be done.
pub struct TrainJob<'a> {
    /// The network.
    pub graph: &'a Graph,
    /// Where it starts: fresh, or with a pretrained encoder.
    pub start: &'a Parameters,
    /// Whether the encoder's batch norms are folded into its convolutions and must be measured
    /// before the first step ([`crate::weights::Source::folded`]).
    pub folded_norms: bool,
    /// All choices.
    pub recipe: &'a Recipe,
    /// What happens to images before the network reads them.
    pub input: &'a InputSpec,
    /// Fields to learn from.
    pub training: &'a dyn TrainingData,
    /// Fields to choose by; may be empty, then the last state is kept where the recipe would choose
    /// by them.
    pub validation: &'a dyn TrainingData,
    /// Counts nuclei of validation fields; without one, [`Selection::Objects`] goes by pixels
    /// alone.
    pub judge: Option<&'a dyn Judge>,
    /// Folder of `log.jsonl`, `checkpoint.safetensors` and `best.safetensors`; made if it does not
    /// exist.
    pub folder: &'a Path,
    /// Begin anew, and give up what the folder holds; else go on from its checkpoint where there is
    /// one.
    pub restart: bool,
    /// What computes; with more than one thread, another reads and crops ahead.
    pub machine: &'a Machine,
    /// Memory for normalised fields of both parts, bytes; more fields than fit are read again when
    /// needed.
    pub cache_bytes: usize,
    /// Cap on the network's memory while validating, bytes; larger fields are computed in tiles.
    pub memory: Option<usize>,
    /// Least number of steps between checkpoints; more where saving one takes long: 2 % of the time
    /// at most. With 1 every step is kept, whatever it takes.
    pub checkpoint_every: u64,
    /// Validation fields of which pictures are made.
    pub pictures: usize,
}

/// Why a training ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All steps were done.
    Finished,
    /// Validation did not get better for as long as the recipe waits.
    EarlyStop,
    /// It was asked to stop; the same job again goes on.
    Cancelled,
}

/// What came of a training.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The chosen parameters, with statistics fit for prediction.
    pub parameters: Parameters,
    /// Steps done.
    pub steps: u64,
    /// The step they belong to.
    pub chosen_step: u64,
    /// What they were chosen by: mean F1 or training loss; none for the last state.
    pub chosen_value: Option<f64>,
    /// Wall time in seconds, over all runs.
    pub seconds: f64,
    /// Why it ended.
    pub ending: Ending,
    /// Steps that stood before.
    pub resumed_at: u64,
    /// The machines that its steps were computed on.
    pub machines: Vec<MachineIdentity>,
}
