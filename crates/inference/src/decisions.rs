//! By which rule a model's numbers become nuclei: `nuclei.toml` in its folder.
//!
//! The rule is chosen on fields with truth after the training, and can be chosen for any model that
//! has none. The file names the model it was chosen for: beside other weights it is not used, which
//! is said. Where it is deleted, the default holds again.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use stainfree_image::write_atomic;
use stainfree_network::Output;
use stainfree_objects::splitting::{Flow, Learned};
use stainfree_objects::{NucleusRule, Splitting};

use crate::InferenceError;

/// Name of the file.
pub const FILE_NAME: &str = "nuclei.toml";
/// What a pixel of unknown size is taken for, um.
pub const UNKNOWN_UM: f64 = 1.0;
/// The output with the distance to the border, and that with the nearness of a second nucleus.
pub(crate) const DISTANCES: [&str; 2] = ["distance", "neighbour"];

/// The output with the directions to the middle.
pub(crate) const FLOW: &str = "flow";

/// What `nuclei.toml` says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decisions {
    /// Program and version that chose.
    pub program: String,
    /// What the model is recognised by ([`stainfree_network::Model::hash`]).
    pub model: String,
    /// Whether the rule's lengths and areas are in pixels, and not in um: fields that it was chosen
    /// on have no known size. It then goes by pixels on every image.
    #[serde(default)]
    pub in_pixels: bool,
    /// How nuclei are made.
    pub rule: NucleusRule,
    /// What the rule gives on the fields that it was chosen on.
    pub chosen: Trial,
    /// What the default gives there.
    pub default: Trial,
    /// What the rule promises, where it was chosen for that and not as the best.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promise: Option<Promise>,
    /// The fields.
    pub fields: Vec<String>,
    /// How the score changes with each decision alone, the others as chosen.
    #[serde(default)]
    pub curve: Vec<CurvePoint>,
}

/// How few nuclei a rule misses in groups like those that it was chosen on (conformal risk control,
/// Angelopoulos et al. 2022). A nucleus is missed where predicted nuclei cover less than half of
/// it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Promise {
    /// The share that may be missed, as it was asked for.
    pub missed: f64,
    /// The share that is missed at most on average over new groups.
    pub promised: f64,
    /// The share that was missed in these groups on average.
    pub missed_here: f64,
    /// The groups.
    pub groups: usize,
}

/// A rule tried on fields with truth; numbers are pooled over them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// What was maximised.
    pub score: f64,
    /// F1 of nuclei matched at IoU 0.5.
    pub f1: f64,
    /// Predicted by true nuclei, minus one.
    pub count_error: f64,
    /// Mean area of predicted by that of true nuclei, minus one.
    pub area_error: f64,
    /// True nuclei that counted.
    #[serde(default)]
    pub nuclei: u64,
}

impl Trial {
    /// How much F1 scatters by which nuclei happened to be there: the standard error of a share of
    /// so many.
    pub fn standard_error(&self) -> f64 {
        (self.f1 * (1.0 - self.f1) / self.nuclei.max(1) as f64).sqrt()
    }
}

/// One value of one decision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// The decision, as its key in the rule.
    pub decision: String,
    /// The value tried.
    pub value: f64,
    /// What came of it.
    #[serde(flatten)]
    pub trial: Trial,
}

impl Decisions {
    /// What was chosen for the model `hash` in `folder`; `None` where nothing was, or what is there
    /// was chosen for another model.
    ///
    /// # Errors
    /// [`InferenceError::Decisions`] if the file cannot be read, is damaged or out of range.
    pub fn read(folder: &Path, hash: &str) -> Result<Option<Self>, InferenceError> {
        let path = folder.join(FILE_NAME);
        let broken = |what: String| InferenceError::Decisions {
            path: path.clone(),
            what,
        };
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(broken(error.to_string())),
        };
        let found: Self =
            toml::from_str(&text).map_err(|error| broken(error.message().to_owned()))?;
        if found.model != hash {
            return Ok(None);
        }
        let checked = found.rule.check();
        checked.map_err(|error| broken(error.to_string()))?;
        Ok(Some(found))
    }

    /// Removes what was chosen for another model than `hash` from `folder`: one that was replaced.
    /// A file that cannot be read stays, since a person may have changed it.
    ///
    /// # Errors
    /// [`InferenceError::Decisions`] if it cannot be read or removed.
    pub fn forget_other(folder: &Path, hash: &str) -> Result<(), InferenceError> {
        if Self::read(folder, hash)?.is_some() {
            return Ok(());
        }
        let path = folder.join(FILE_NAME);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(InferenceError::Decisions {
                    path,
                    what: error.to_string(),
                })
            }
            _ => Ok(()),
        }
    }

    /// Writes the file whole or not at all; one that is there is replaced.
    ///
    /// # Errors
    /// [`InferenceError::Decisions`] if it cannot be written.
    pub fn write(&self, folder: &Path) -> Result<PathBuf, InferenceError> {
        let path = folder.join(FILE_NAME);
        let broken = |what: String| InferenceError::Decisions {
            path: path.clone(),
            what,
        };
        let text = toml::to_string(self).map_err(|error| broken(error.to_string()))?;
        write_atomic(&path, text.as_bytes()).map_err(|error| broken(error.to_string()))?;
        Ok(path)
    }
}

/// The rule in a file that has one as its table `rule`, such as `nuclei.toml` of any model.
///
/// # Errors
/// In words, why there is none.
pub fn read_rule(path: &Path) -> Result<NucleusRule, String> {
    #[derive(Deserialize)]
    struct File {
        rule: NucleusRule,
    }
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let file: File = toml::from_str(&text).map_err(|error| error.message().to_owned())?;
    file.rule.check().map_err(|error| error.to_string())?;
    Ok(file.rule)
}

/// The rule for a network with these outputs that nothing was chosen for.
pub fn default_rule(outputs: &[Output]) -> NucleusRule {
    let usual = NucleusRule::default();
    match ways(outputs).into_iter().next() {
        // Of nuclei that touch nothing the class may be unsure; where the distance rises, there is
        // one. Chosen on predictions of 49 fields of celldetective that did not train
        // (docs/objects.md): counts 16 % too low in place of 23 %, object F1 as high.
        Some(splitting @ Splitting::Learned(_)) => NucleusRule {
            threshold: Some(0.4),
            least_distance: 0.2,
            splitting,
            ..usual
        },
        Some(splitting) => NucleusRule { splitting, ..usual },
        None => usual,
    }
}

/// The ways of parting nuclei that these outputs serve beside their shape, the best first.
pub fn ways(outputs: &[Output]) -> Vec<Splitting> {
    let there = |name: &str| outputs.iter().any(|output| output.name == name);
    let distances = there(DISTANCES[0]).then(|| Splitting::Learned(Learned::default()));
    let flow = there(FLOW).then(|| Splitting::Flow(Flow::default()));
    distances.into_iter().chain(flow).collect()
}

/// Whether a rule reads what the network says of directions.
pub(crate) fn reads_flow(rule: &NucleusRule) -> bool {
    matches!(rule.splitting, Splitting::Flow(_))
}

/// Whether a rule reads what the network says of distances.
pub(crate) fn reads_distances(rule: &NucleusRule) -> bool {
    matches!(rule.splitting, Splitting::Learned(_)) || rule.least_distance > 0.0
}
