//! How sure one may be of a predicted nucleus: the probability that it matches a true one at an IoU
//! of 0.5 or more.
//!
//! `features` has what a nucleus is judged by, `logistic` the line through it, `fit` chooses and
//! checks it on fields with truth, `counts` and `areas` turn confidences into counts and areas with
//! intervals. Here:
//! what is kept of it in a model's folder, `confidence.toml`. It is tied to the model and to the
//! rule for nuclei, by their hashes: beside others it is not used.

mod areas;
mod counts;
mod features;
mod fit;
mod logistic;
mod rows;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use stainfree_image::write_atomic;

use crate::InferenceError;
pub use areas::{AreaRule, AreaRules, Areas, FoundAreas};
pub use counts::{Count, CountOf, CountRule, CountedUnit, LEVELS};
use features::{COUNT, beside};
pub use features::{FEATURES, FeatureTable, Maps};
pub use fit::{Checked, FieldFound, LeftOut, TooFew};
use logistic::{Line, sigmoid};
pub(crate) use rows::{FeatureRows, LEAST_ROWS as LEAST_FEATURE_ROWS};

/// Name of the file.
pub const FILE_NAME: &str = "confidence.toml";

/// What `confidence.toml` says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Confidence {
    /// Program and version that fitted it.
    pub program: String,
    /// What the model is recognised by ([`stainfree_network::Model::hash`]).
    pub model: String,
    /// What the rule for nuclei is recognised by ([`crate::NucleusDecoder::word`]).
    pub rule: String,
    /// Whether areas are in pixels on every image: fields that it was fitted on have no known size.
    #[serde(default)]
    pub in_pixels: bool,
    /// Area of a usual predicted nucleus (the median), um2, or px.
    pub usual_area: f64,
    /// Logit of a nucleus whose features are all usual.
    pub intercept: f64,
    /// What it was fitted on, and how well it does there on what was left out.
    pub checked: Checked,
    /// How counts follow.
    pub counts: CountRule,
    /// How areas follow; earlier versions did not know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub areas: Option<AreaRules>,
    /// The features and their weights; none where too few nuclei were wrong, or right, to tell them
    /// apart: all have one confidence then.
    #[serde(default)]
    pub features: Vec<Weighed>,
}

/// A predicted nucleus, and how sure it is.
#[derive(Clone, Debug, PartialEq)]
pub struct SureNucleus {
    /// Its label.
    pub label: u32,
    /// Centroid, down and to the right, px.
    pub centroid: [f64; 2],
    /// Area, px.
    pub area: usize,
    /// The probability that it matches a true nucleus.
    pub confidence: f64,
}

/// A feature with its weight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Weighed {
    /// Its name in [`FEATURES`].
    pub name: String,
    /// Its mean over the nuclei that it was fitted on.
    pub mean: f64,
    /// Its standard deviation there.
    pub deviation: f64,
    /// What a standard deviation more adds to the logit.
    pub weight: f64,
}

impl Confidence {
    /// What was fitted for the model `hash` and the rule `rule` in `folder`; `None` where nothing
    /// was, or what is there is for another.
    ///
    /// # Errors
    /// [`InferenceError::Confidence`] if the file cannot be read or is damaged.
    pub fn read(folder: &Path, hash: &str, rule: &str) -> Result<Option<Self>, InferenceError> {
        Self::read_if(folder, |found| found.model == hash && found.rule == rule)
    }

    /// What is in `folder`, if it is what [`Confidence::word`] calls by this word.
    ///
    /// # Errors
    /// As [`Confidence::read`].
    pub fn of_word(folder: &Path, word: &str) -> Result<Option<Self>, InferenceError> {
        Self::read_if(folder, |found| found.word() == word)
    }

    fn read_if(
        folder: &Path,
        is_wanted: impl Fn(&Self) -> bool,
    ) -> Result<Option<Self>, InferenceError> {
        let path = folder.join(FILE_NAME);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(broken(&path, error.to_string())),
        };
        let found: Self =
            toml::from_str(&text).map_err(|error| broken(&path, error.message().to_owned()))?;
        if !is_wanted(&found) {
            return Ok(None);
        }
        found.check().map_err(|what| broken(&path, what))?;
        Ok(Some(found))
    }

    /// Whether all numbers can be used.
    fn check(&self) -> Result<(), String> {
        for feature in &self.features {
            if !FEATURES.iter().any(|(name, _)| *name == feature.name) {
                return Err(format!("this version knows no feature `{}`", feature.name));
            }
            let numbers = [feature.mean, feature.weight, feature.deviation];
            if !(numbers.iter().all(|n| n.is_finite()) && feature.deviation > 0.0) {
                return Err(format!(
                    "the numbers of `{}` are out of range",
                    feature.name
                ));
            }
        }
        let positive = [self.usual_area, self.counts.per_found];
        if !(positive.iter().all(|n| n.is_finite() && *n > 0.0) && self.intercept.is_finite()) {
            return Err("`usual_area`, `per_found` or `intercept` is out of range".to_owned());
        }
        if self.areas.as_ref().is_some_and(|areas| !areas.check()) {
            return Err("the numbers of `areas` are out of range".to_owned());
        }
        Ok(())
    }

    /// Removes what is in `folder` unless it is of this model and rule. A file that cannot be read
    /// stays, since a person may have changed it.
    ///
    /// # Errors
    /// [`InferenceError::Confidence`] if it cannot be read or removed.
    pub fn forget_other(folder: &Path, hash: &str, rule: &str) -> Result<(), InferenceError> {
        if Self::read(folder, hash, rule)?.is_some() {
            return Ok(());
        }
        let path = folder.join(FILE_NAME);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(broken(&path, error.to_string()))
            }
            _ => Ok(()),
        }
    }

    /// Writes the file whole or not at all; one that is there is replaced.
    ///
    /// # Errors
    /// [`InferenceError::Confidence`] if it cannot be written.
    pub fn write(&self, folder: &Path) -> Result<PathBuf, InferenceError> {
        let path = folder.join(FILE_NAME);
        let text = toml::to_string(self).map_err(|error| broken(&path, error.to_string()))?;
        let written = write_atomic(&path, text.as_bytes());
        written.map_err(|error| broken(&path, error.to_string()))?;
        Ok(path)
    }

    /// Eight hexadecimal digits that it is recognised by.
    pub fn word(&self) -> String {
        let text = toml::to_string(self).unwrap_or_default();
        stainfree_network::model::sha256(text.as_bytes())[..8].to_owned()
    }

    /// The confidence of every nucleus of a table, in its order; a feature that is unknown counts
    /// as usual.
    pub fn of(&self, table: &FeatureTable) -> Vec<f64> {
        table.rows.iter().map(|row| self.of_row(row)).collect()
    }

    /// The nuclei of a table with their confidences, in its order.
    pub fn nuclei(&self, table: &FeatureTable) -> Vec<SureNucleus> {
        let sure = self.of(table).into_iter().enumerate();
        let nucleus = |(i, confidence): (usize, f64)| SureNucleus {
            label: table.labels[i],
            centroid: table.centroids[i],
            area: table.pixels[i],
            confidence,
        };
        sure.map(nucleus).collect()
    }

    /// The confidence that all nuclei have, where they are not told apart.
    pub fn of_all(&self) -> Option<f64> {
        self.features.is_empty().then(|| sigmoid(self.intercept))
    }

    fn of_row(&self, row: &[f64; COUNT]) -> f64 {
        let row = beside(row, self.usual_area);
        let line = Line {
            intercept: self.intercept,
            weights: self.features.iter().map(|feature| feature.weight).collect(),
        };
        let standard = |feature: &Weighed| {
            let place = FEATURES.iter().position(|(name, _)| *name == feature.name);
            let value = place.map_or(f64::NAN, |place| row[place]);
            match value.is_finite() {
                true => (value - feature.mean) / feature.deviation,
                false => 0.0,
            }
        };
        let row: Vec<f64> = self.features.iter().map(standard).collect();
        sigmoid(line.logit(&row))
    }
}

fn broken(path: &Path, what: String) -> InferenceError {
    InferenceError::Confidence {
        path: path.to_owned(),
        what,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn confidence() -> Confidence {
        let feature = |name: &str, weight: f64| Weighed {
            name: name.to_owned(),
            mean: 2.0,
            deviation: 0.5,
            weight,
        };
        Confidence {
            program: "stainfree".to_owned(),
            model: "m".to_owned(),
            rule: "r".to_owned(),
            in_pixels: false,
            usual_area: 100.0,
            intercept: 1.0,
            checked: Checked::default(),
            counts: CountRule::new(1.25, &[], &[]),
            areas: None,
            features: vec![feature("inside", 0.5), feature("area", -1.0)],
        }
    }

    #[test]
    fn a_confidence_is_the_logistic_of_its_features() {
        let mut row = [0.0; COUNT];
        row[0] = 3.0;
        row[10] = 100f64.ln();
        let mut table = FeatureTable {
            labels: vec![1],
            centroids: vec![[0.0; 2]],
            pixels: vec![100],
            rows: vec![row],
        };
        // Inside is two deviations more, the area usual, which is four deviations below the mean.
        let found = confidence().of(&table)[0];
        assert!((found - sigmoid(1.0 + 1.0 + 4.0)).abs() < 1e-12, "{found}");
        table.rows[0][0] = f64::NAN;
        let unknown = confidence().of(&table)[0];
        assert!((unknown - sigmoid(1.0 + 4.0)).abs() < 1e-12, "{unknown}");
    }

    #[test]
    fn what_is_written_is_read_for_its_model_and_rule_only() {
        let folder = tempfile::tempdir().unwrap();
        let read = |model: &str, rule: &str| Confidence::read(folder.path(), model, rule);
        assert_eq!(read("m", "r").unwrap(), None);
        confidence().write(folder.path()).unwrap();
        assert_eq!(read("m", "r").unwrap(), Some(confidence()));
        assert_eq!(read("other", "r").unwrap(), None);
        assert_eq!(read("m", "other").unwrap(), None);
        let by_word = |word: &str| Confidence::of_word(folder.path(), word).unwrap();
        assert_eq!(by_word(&confidence().word()), Some(confidence()));
        assert_eq!(by_word("01234567"), None);
        Confidence::forget_other(folder.path(), "m", "r").unwrap();
        assert!(folder.path().join(FILE_NAME).exists());
        let mut damaged = confidence();
        damaged.features[0].deviation = 0.0;
        damaged.write(folder.path()).unwrap();
        let error = read("m", "r").unwrap_err().to_string();
        assert!(
            error.contains("`inside`") && error.contains("stainfree tune"),
            "{error}"
        );
        Confidence::forget_other(folder.path(), "m", "other").unwrap();
        assert!(!folder.path().join(FILE_NAME).exists());
    }
}
