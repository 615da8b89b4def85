//! Whether a training goes on from what stands in its folder, and what is said of that.

use super::checkpoint::{Files, Progress};
use super::identity::{Identity, earlier};
use super::{Observer, TrainError, TrainJob};
use crate::machine::MachineIdentity;
use crate::recipe::{Recipe, Rounds};

/// Refuses to go on with what another training left.
pub(super) fn refuse_another(
    job: &TrainJob,
    saved: &Progress,
    identity: &Identity,
    steps: u64,
) -> Result<(), TrainError> {
    let mut differences = match &saved.training {
        Some(before) => before.differences(identity),
        None if saved.identity == earlier(job) => Vec::new(),
        None => {
            vec![
                "an earlier version of the program began it, with other choices or fields than \
                  these, and did not write down which"
                    .into(),
            ]
        }
    };
    differences.extend(other_rounds(job.recipe, saved, steps));
    let folder = job.folder.to_path_buf();
    let step = saved.step;
    if !differences.is_empty() {
        return Err(TrainError::OtherTraining {
            folder,
            step,
            differences: differences.join("; "),
        });
    }
    if steps < step {
        return Err(TrainError::TooFewSteps {
            folder,
            step,
            steps,
        });
    }
    Ok(())
}

/// Whether a training was made in rounds, as far as it was made.
fn in_rounds(recipe: &Recipe, saved: &Progress) -> bool {
    let rounds = recipe.rounds(saved.rounds_from, saved.steps);
    recipe.round_length().is_some() && (rounds.count() > 1 || saved.averaged > 0)
}

/// Steps of a shorter training that count as rounds that have ended when it is made one of `steps`
/// steps.
pub(super) fn rounds_from(recipe: &Recipe, saved: &Progress, steps: u64) -> u64 {
    let Some(length) = recipe.round_length() else {
        return 0;
    };
    let is_finished = saved.steps != 0 && saved.step == saved.steps && saved.steps < steps;
    let room = in_rounds(recipe, saved) || steps.saturating_sub(saved.step) >= length;
    match is_finished && room {
        true => saved.step,
        false => saved.rounds_from,
    }
}

/// Why the rounds of what stands do not fit those of a training of `steps` steps, in words.
fn other_rounds(recipe: &Recipe, saved: &Progress, steps: u64) -> Option<String> {
    let length = recipe.round_length()?;
    if saved.steps == 0 || saved.steps == steps || steps < saved.step {
        return None;
    }
    let from = rounds_from(recipe, saved, steps);
    if from == saved.step && in_rounds(recipe, saved) && steps - from < length {
        return Some(format!(
            "{} steps more are less than a round, so give {} or more",
            steps - from,
            from + length
        ));
    }
    let [was, now] = [
        recipe.rounds(saved.rounds_from, saved.steps),
        recipe.rounds(from, steps),
    ];
    let fits = from == saved.step || was.go_on_as(&now, saved.step);
    (!fits && (was.count() > 1 || now.count() > 1)).then(|| {
        format!(
            "its rounds end elsewhere in {steps} steps than in the {} that it was made for, so let \
             it finish these first",
            saved.steps
        )
    })
}

/// Says what is not as it was, where it does not keep a training from going on.
pub(super) fn remark_on_changes(
    saved: &Progress,
    machine: &MachineIdentity,
    steps: u64,
    rounds: Rounds,
    observer: &mut dyn Observer,
) {
    let step = saved.step;
    if saved.training.is_none() {
        observer.message(
            "an earlier version of the program began this training and did not write down which \
             images and truth it read: whether they are the same cannot be told",
        );
    }
    let in_rounds = rounds.count() > 1;
    if saved.steps != 0 && saved.steps != steps && !in_rounds {
        observer.message(&format!(
            "the learning rate of the first {step} steps was planned for {} steps and is planned \
             for {steps} from here on, so the result is not that of a training of {steps} steps \
             from the start",
            saved.steps
        ));
    }
    if let Some(before) = saved.machines.last().filter(|before| *before != machine) {
        observer.message(&format!(
            "the steps before were computed with {before}, those from here on with {machine}: \
             the result can differ in its last digits from that of one machine"
        ));
    }
}

/// What beginning anew gives up, in words; none where nothing stands.
pub(super) fn lost(files: &Files) -> Option<String> {
    if !files.checkpoint.exists() {
        return None;
    }
    let path = files.checkpoint.display();
    Some(match files.progress() {
        Ok(progress) => format!(
            "beginning anew: the {} steps of `{path}` are given up",
            progress.step
        ),
        Err(_) => format!("beginning anew: `{path}`, which cannot be read, is given up"),
    })
}
