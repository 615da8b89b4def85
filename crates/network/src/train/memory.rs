//! The most memory that a training takes, told before its first step.

use super::{AHEAD, TrainJob};
use crate::device::Train;
use crate::parameters::Parameters;
use crate::recipe::{BatchNormStatistics, Selection};
use crate::train::validate::FOLDED_BATCHES;

/// What a training takes beside: code, threads, a field while it is read, normalised and scored.
const BASE: usize = 192 << 20;

/// Copies of all parameters that are held beside the trainer's own, at most.
struct Copies {
    /// From the first step to the last: the start, the average, the state chosen and not yet on
    /// disk.
    always: usize,
    /// While a checkpoint is written: parameters and both moments in natural order.
    saving: usize,
    /// The file that they and the average become. It is one piece of memory and lies beside what
    /// the system keeps for arrays of before, which are small enough to be kept.
    file: usize,
    /// While statistics are measured: parameters and moments as they are, the moments once more as
    /// they are taken back, and what was measured.
    measuring: usize,
    /// While it validates: the parameters that are scored.
    validating: usize,
}

impl Copies {
    fn of(job: &TrainJob) -> Self {
        let recipe = job.recipe;
        let rounds = usize::from(recipe.round_length().is_some());
        let average = usize::from(recipe.average_steps > 0) + rounds;
        Self {
            // Rounds begin anew from the start as it was measured.
            always: 1 + average + rounds + usize::from(recipe.selection != Selection::Last),
            saving: 3,
            file: 3 + average,
            measuring: match recipe.batch_norm {
                BatchNormStatistics::Running if rounds == 0 => 1,
                _ => 1 + 2 + 2 + 1,
            },
            validating: 1,
        }
    }
}

/// The most memory that a training takes, in bytes: what a step takes stays while it validates and
/// while it writes.
pub(super) fn most_memory(job: &TrainJob, trainer: &dyn Train) -> usize {
    let recipe = job.recipe;
    let weights = bytes_of(job.start);
    let largest = job.start.iter().map(|tensor| tensor.data.len()).max();
    let copies = Copies::of(job);
    // A tensor is in memory once more while it is written.
    let saving = copies.saving * weights + size_of::<f32>() * largest.unwrap_or(0);
    let measuring = copies.measuring * weights;
    let validating = match job.validation.is_empty() {
        true => 0,
        false => {
            let scratch = trainer.prediction_scratch_bytes();
            copies.validating * weights + job.memory.unwrap_or(0) + scratch
        }
    };
    let pixels = recipe.batch * recipe.crop * recipe.crop;
    let channels = job.graph.output_channels();
    // Planes, and the numbers that further outputs learn from.
    let floats = job.graph.input_channels() + channels - job.graph.classes();
    let input = pixels * floats * size_of::<f32>();
    // Before the first step.
    let folded = match job.folded_norms {
        true => FOLDED_BATCHES as usize * (input + pixels),
        false => 0,
    };
    // Planes and the truth; those that wait, the one at hand and the one being made. The
    // gradient of the logits is made anew in every step.
    let batches = (AHEAD + 2) * (input + pixels) + pixels * channels * size_of::<f32>();
    let now_and_then = [saving, measuring, validating, folded];
    trainer.memory_bytes()
        + batches
        + job.cache_bytes
        + (copies.always + copies.file) * weights
        + now_and_then.into_iter().max().unwrap_or(0)
        + BASE
}

fn bytes_of(parameters: &Parameters) -> usize {
    let values: usize = parameters.iter().map(|tensor| tensor.data.len()).sum();
    size_of::<f32>() * values
}
