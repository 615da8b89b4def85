//! The log of a training as it is read back, also while the training writes it.

use std::path::Path;

use serde::Serialize;

use crate::ProjectError;

/// Losses and validations of a training, in the order in which they were made.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Curves {
    /// Step and loss of its batch.
    pub losses: Vec<(u64, f64)>,
    /// What was measured on the validation fields.
    pub validations: Vec<Validated>,
}

/// A validation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Validated {
    /// After how many steps.
    pub step: u64,
    /// Pixel F1 of each class, background first; none where a class is in neither truth nor
    /// prediction.
    pub f1: Vec<Option<f64>>,
    /// Mean over the classes but the background.
    pub mean_f1: Option<f64>,
    /// F1 of whole nuclei, where they were looked at.
    pub object_f1: Option<f64>,
}

impl Curves {
    /// Reads `log.jsonl`. A line cut short by a crash, or that is being written, is left out.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read(log: &Path) -> Result<Self, ProjectError> {
        let text = std::fs::read_to_string(log).map_err(|error| ProjectError::read(log, &error))?;
        Ok(Self::of(&text))
    }

    fn of(text: &str) -> Self {
        let mut curves = Self::default();
        for line in text.lines() {
            let Ok(entry) = serde_json::from_str::<serde_json::Value>(line) else {
                continue;
            };
            let Some(step) = entry["step"].as_u64() else {
                continue;
            };
            match entry["what"].as_str() {
                Some("step") => {
                    let loss = entry["loss"].as_f64();
                    curves.losses.extend(loss.map(|loss| (step, loss)));
                }
                Some("validation") => {
                    let f1 = entry["f1"].as_array().into_iter().flatten();
                    curves.validations.push(Validated {
                        step,
                        f1: f1.map(serde_json::Value::as_f64).collect(),
                        mean_f1: entry["mean_f1"].as_f64(),
                        object_f1: entry["object_f1"].as_f64(),
                    });
                }
                _ => {}
            }
        }
        curves
    }

    /// The losses as an exponential mean over about 20 steps, at most `most` of them.
    pub fn smooth_losses(&self, most: usize) -> Vec<(u64, f64)> {
        let mut mean = self.losses.first().map_or(0.0, |point| point.1);
        let smooth = self.losses.iter().map(|&(step, value)| {
            mean += 0.05 * (value - mean);
            (step, mean)
        });
        let every = self.losses.len().div_ceil(most.max(1)).max(1);
        let last = self.losses.len().saturating_sub(1);
        let kept = smooth.enumerate();
        let kept = kept.filter(|(i, _)| i % every == 0 || *i == last);
        kept.map(|(_, point)| point).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_read_while_it_is_written() {
        let text = concat!(
            r#"{"what":"step","step":1,"loss":2.0,"lr":0.1}"#,
            "\n",
            r#"{"what":"step","step":2,"loss":1.0,"lr":0.1}"#,
            "\n",
            r#"{"what":"validation","step":2,"f1":[0.9,0.5,null],"mean_f1":0.5,"object_f1":0.25}"#,
            "\n",
            r#"{"what":"round","step":2}"#,
            "\n",
            r#"{"what":"step","step":3,"lo"#,
        );
        let curves = Curves::of(text);
        assert_eq!(curves.losses, [(1, 2.0), (2, 1.0)]);
        let validated = Validated {
            step: 2,
            f1: vec![Some(0.9), Some(0.5), None],
            mean_f1: Some(0.5),
            object_f1: Some(0.25),
        };
        assert_eq!(curves.validations, [validated]);
        assert_eq!(curves.smooth_losses(10), [(1, 2.0), (2, 1.95)]);
        let long = Curves {
            losses: (1..=1000).map(|step| (step, 1.0)).collect(),
            ..Curves::default()
        };
        let thin = long.smooth_losses(100);
        assert!(thin.len() <= 101, "{}", thin.len());
        assert_eq!((thin[0].0, thin[thin.len() - 1].0), (1, 1000));
    }
}
