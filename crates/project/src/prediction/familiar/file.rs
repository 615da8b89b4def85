//! What a model's training looked like: `familiar.toml` in its folder.
//!
//! The features of training and validation fields as they are; what is made of them is decided
//! when they are read. The file names the model it is of: beside other weights it is not used.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::features::{FEATURES, Looks, is_of_image};
use crate::ProjectError;

/// Name of the file.
pub const FILE_NAME: &str = "familiar.toml";

/// What `familiar.toml` says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// Program and version that wrote it.
    pub(crate) program: String,
    /// What the model is recognised by.
    pub(crate) model: String,
    /// What the rule is recognised by that nuclei were made by, where it is not the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rule: Option<String>,
    /// What the numbers of a field are.
    pub(crate) features: Vec<String>,
    /// The fields.
    pub(crate) fields: Vec<KeptField>,
    /// What the model scores on validation fields that were made worse.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) worse: Vec<WorseScore>,
}

/// What whole nuclei score on validation fields whose images were made worse; the first row is of
/// the fields as they are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct WorseScore {
    /// What was done to them.
    pub(crate) what: String,
    /// Their median strangeness to the groups of the training other than their own.
    pub(crate) strangeness: f64,
    /// F1 of nuclei at IoU 0.5, pooled.
    pub(crate) f1: f64,
}

/// A field that the training has met.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct KeptField {
    pub(crate) name: String,
    /// Its group in the split, or its well.
    pub(crate) group: String,
    /// Whether it was trained on; else it validated.
    pub(crate) trained: bool,
    /// A number for every feature, NaN where there is none.
    pub(crate) values: Vec<f64>,
}

impl KeptField {
    pub(crate) fn new(name: &str, group: &str, trained: bool, looks: &Looks) -> Self {
        Self {
            name: name.to_owned(),
            group: group.to_owned(),
            trained,
            // More digits say nothing.
            values: looks.0.map(|v| (v * 1e5).round() / 1e5).to_vec(),
        }
    }
}

impl Kept {
    /// Of these fields, seen by the model `hash` and its rule.
    pub(crate) fn new(hash: &str, rule: Option<&str>, fields: Vec<KeptField>) -> Self {
        Self {
            program: format!("stainfree {}", env!("CARGO_PKG_VERSION")),
            model: hash.to_owned(),
            rule: rule.map(str::to_owned),
            features: FEATURES.map(|feature| feature.key.to_owned()).to_vec(),
            fields,
            worse: Vec::new(),
        }
    }

    /// The same without the fields of a group.
    pub(crate) fn without_group(&self, group: &str) -> Self {
        let mut others = self.clone();
        others.fields.retain(|field| field.group != group);
        others
    }

    /// What a field of it looks like; NaN where an older file does not have a feature.
    pub(crate) fn looks(&self, field: &KeptField) -> Looks {
        Looks(FEATURES.each_ref().map(|feature| {
            let place = self.features.iter().position(|name| name == feature.key);
            place.map_or(f64::NAN, |i| field.values[i])
        }))
    }

    /// What is kept of images alone, for the model `hash`, which was made of this one: what the
    /// network says of them, and what it scores, is another's.
    pub(crate) fn of_images(&self, hash: &str) -> Self {
        let places: Vec<usize> = (0..self.features.len())
            .filter(|&i| is_of_image(&self.features[i]))
            .collect();
        let fields = self.fields.iter().map(|field| KeptField {
            values: places.iter().map(|&i| field.values[i]).collect(),
            ..field.clone()
        });
        Self {
            model: hash.to_owned(),
            features: places.iter().map(|&i| self.features[i].clone()).collect(),
            fields: fields.collect(),
            worse: Vec::new(),
            ..self.clone()
        }
    }

    /// What is kept of the model `hash` in `folder`; `None` where nothing is, or of another model.
    ///
    /// # Errors
    /// The file cannot be read, or is damaged.
    pub(crate) fn read(folder: &Path, hash: &str) -> Result<Option<Self>, ProjectError> {
        let path = folder.join(FILE_NAME);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(ProjectError::read(&path, &error)),
        };
        let found: Result<Self, _> = toml::from_str(&text);
        let found = found.map_err(|error| damaged(&path, error.message()))?;
        let is_whole = |field: &KeptField| field.values.len() == found.features.len();
        if !found.fields.iter().all(is_whole) {
            return Err(damaged(&path, "a field has not a number for every feature"));
        }
        Ok((found.model == hash).then_some(found))
    }

    /// Writes the file whole or not at all; one that is there is replaced.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn write(&self, folder: &Path) -> Result<PathBuf, ProjectError> {
        let path = folder.join(FILE_NAME);
        // Names and numbers: turning them into text cannot fail.
        let text = toml::to_string(self).unwrap_or_default();
        stainfree_image::write_atomic(&path, text.as_bytes())?;
        Ok(path)
    }
}

fn damaged(path: &Path, what: &str) -> ProjectError {
    ProjectError::Failed(format!(
        "`{}` is damaged ({what}); delete it, and `stainfree tune` makes it anew",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::super::features::COUNT;
    use super::*;

    #[test]
    fn of_another_network_only_what_is_of_images_is_kept() {
        let values: [f64; COUNT] = std::array::from_fn(|i| i as f64);
        let field = KeptField::new("f", "A1", true, &Looks(values));
        let mut kept = Kept::new("old", Some("rule"), vec![field]);
        kept.worse.push(WorseScore {
            what: "as they are".to_owned(),
            strangeness: 0.5,
            f1: 0.9,
        });
        let images = kept.of_images("new");
        assert_eq!((&*images.model, images.worse.len()), ("new", 0));
        let has = |key: &str| images.features.iter().any(|known| known == key);
        assert!(has("light") && has("pixel_um") && has("likeness_of_planes"));
        for key in ["nucleus_share", "cytoplasm_share", "doubt", "nuclei"] {
            assert!(!has(key), "{key}");
        }
        // Every value stays with its name.
        let noise = images.features.iter().position(|key| key == "noise");
        let of_old = kept.features.iter().position(|key| key == "noise");
        assert_eq!(
            images.fields[0].values[noise.unwrap()],
            of_old.unwrap() as f64
        );
        // It is a file as any other.
        let folder = tempfile::tempdir().unwrap();
        images.write(folder.path()).unwrap();
        assert_eq!(Kept::read(folder.path(), "new").unwrap(), Some(images));
        assert_eq!(Kept::read(folder.path(), "old").unwrap(), None);
    }
}
