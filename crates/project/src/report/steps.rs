//! What a verdict asks for, as commands on the folders at hand.

use std::path::PathBuf;

use stainfree_report::NextStep;
use stainfree_scores::verdict::{Step, Verdict};

use crate::study::shell::word;

/// The folders that commands name.
#[derive(Clone, Debug, Default)]
pub(super) struct Places {
    /// The study, and the model where it has several.
    pub(super) study: Option<(PathBuf, Option<String>)>,
    /// The result.
    pub(super) result: Option<PathBuf>,
    /// The images of the result.
    pub(super) images: Vec<PathBuf>,
}

/// What to do next.
pub(super) fn next_steps(verdict: &Verdict, places: &Places) -> Vec<NextStep> {
    let steps = verdict.steps().into_iter();
    let next = |step: Step| NextStep {
        words: format!("{}.", step.words()),
        command: places.command(step).unwrap_or_default(),
    };
    steps.map(next).collect()
}

impl Places {
    /// The command of a step; `None` where it is none, or a folder that it names is not known.
    fn command(&self, step: Step) -> Option<String> {
        let study = self.study.as_ref();
        let of_study = |command: &str| {
            let (folder, model) = study?;
            let model = model.as_ref();
            let model = model.map_or(String::new(), |name| format!(" --model {}", word(name)));
            Some(format!("stainfree {command} {}{model}", word(folder)))
        };
        let view = || {
            let images = match &self.images[..] {
                [one] => format!(" --images {}", word(one)),
                _ => String::new(),
            };
            Some(format!(
                "stainfree view {}{images}",
                word(self.result.as_ref()?)
            ))
        };
        let view_study = || Some(format!("stainfree view {}", word(&study?.0)));
        match step {
            Step::Evaluate => of_study("evaluate"),
            Step::Tune => of_study("tune"),
            Step::Correct => view_study(),
            Step::Look => view().or_else(view_study),
            Step::Stain => {
                let study = study.map(|(folder, _)| word(folder));
                let plates = match self.images.is_empty() {
                    true => vec!["PLATE".to_owned()],
                    false => self.images.iter().map(word).collect(),
                };
                let named: Vec<String> = study.into_iter().chain(plates).collect();
                Some(format!(
                    "stainfree plan {} --wells 24 --out stain.csv",
                    named.join(" ")
                ))
            }
            Step::Refocus | Step::MoreGroups | Step::SeveralWells => None,
            Step::Repair | Step::LeaveOut => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_name_the_folders_at_hand() {
        let mut places = Places {
            study: Some(("my study".into(), None)),
            result: Some("result".into()),
            images: vec!["plate".into()],
        };
        let said = |places: &Places, step| places.command(step).unwrap_or_default();
        assert_eq!(
            said(&places, Step::Stain),
            "stainfree plan 'my study' plate --wells 24 --out stain.csv"
        );
        assert_eq!(
            said(&places, Step::Look),
            "stainfree view result --images plate"
        );
        places.study = Some(("study".into(), Some("b".into())));
        places.result = None;
        assert_eq!(said(&places, Step::Tune), "stainfree tune study --model b");
        assert_eq!(said(&places, Step::Look), "stainfree view study");
        places.study = None;
        assert_eq!(said(&places, Step::Evaluate), "");
    }
}
