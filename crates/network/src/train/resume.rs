//! Whether a training goes on from what stands in its folder, and what is said of that.

use super::checkpoint::{Files, Progress};
use super::identity::{Identity, earlier};
use super::{Observer, TrainError, TrainJob};
use crate::machine::MachineIdentity;

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
    let [before, now] = [saved.steps, steps].map(|steps| job.recipe.rounds(steps));
    let in_rounds = before.count() > 1 || now.count() > 1;
    if saved.steps != 0 && in_rounds && !before.go_on_as(&now, saved.step) {
        differences.push(format!(
            "its rounds end elsewhere in {steps} steps than in the {} that it was made for",
            saved.steps
        ));
    }
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

/// Says what is not as it was, where it does not keep a training from going on.
pub(super) fn remark_on_changes(
    saved: &Progress,
    machine: &MachineIdentity,
    steps: u64,
    observer: &mut dyn Observer,
) {
    let step = saved.step;
    if saved.training.is_none() {
        observer.message(
            "an earlier version of the program began this training and did not write down which \
             images and truth it read: whether they are the same cannot be told",
        );
    }
    if saved.steps != 0 && saved.steps != steps {
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
