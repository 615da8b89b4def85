//! What a result was made from: its model's folder and its images, as its marker names them.
//!
//! Places are relative to the result's folder where both lie below one, so that they are found
//! again when all of it is moved or mounted elsewhere. Nothing depends on them: what is no longer
//! there is asked for.

use std::path::{Component, Path, PathBuf};

use serde_json::Value;
use stainfree_image::marker::{self, Kind, Marker};

use crate::ProjectError;
use crate::study::relative_to;

/// Key of the model's folder.
const MODEL: &str = "model_folder";
/// Key of the images.
const IMAGES: &str = "images";

/// Folders and files that a result was made from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct MadeFrom {
    /// The model's folder.
    pub(crate) model: Option<PathBuf>,
    /// Plates, folders and files of images.
    pub(crate) images: Vec<PathBuf>,
}

impl MadeFrom {
    /// What the marker of the result `out` says.
    pub(crate) fn of(out: &Path) -> Self {
        let more = marker::read(out).map_or_else(Default::default, |marker| marker.more);
        let path = |value: &Value| Some(short(out.join(value.as_str()?)));
        let images = more.get(IMAGES).and_then(Value::as_array);
        Self {
            model: more.get(MODEL).and_then(path),
            images: images.into_iter().flatten().filter_map(path).collect(),
        }
    }

    /// Marks the folder `out`, which exists, as a result of the model `hash` made from this, and
    /// from what it was made from before, as far as that is still there.
    ///
    /// # Errors
    /// The marker cannot be written.
    pub(crate) fn put(&self, out: &Path, hash: &str) -> Result<(), ProjectError> {
        let mut marker = Marker::new("predict", Kind::Prediction).with_model(hash);
        let word = |path: &Path| {
            let beside = relative_to(&full(path), &full(out));
            Value::from(beside.to_string_lossy())
        };
        if let Some(model) = &self.model {
            marker.more.insert(MODEL.to_owned(), word(model));
        }
        let earlier = Self::of(out).images;
        let earlier = earlier.iter().filter(|path| path.exists());
        let mut images: Vec<Value> = earlier.map(|path| word(path)).collect();
        images.extend(self.images.iter().map(|path| word(path)));
        images.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
        images.dedup();
        marker.more.insert(IMAGES.to_owned(), Value::from(images));
        Ok(marker::write(out, &marker)?)
    }
}

/// `a/../b` as `b`, where that is the same place.
fn short(path: PathBuf) -> PathBuf {
    let mut short = PathBuf::new();
    for part in path.components() {
        let last = short.components().next_back();
        match (part, last) {
            (Component::ParentDir, Some(Component::Normal(_))) => {
                short.pop();
            }
            _ => short.push(part),
        }
    }
    if short.as_os_str().is_empty() {
        short.push(".");
    }
    match full(&short) == full(&path) {
        true => short,
        // A link leads elsewhere.
        false => path,
    }
}

/// The one spelling of a path; as it is where nothing lies there.
fn full(path: &Path) -> PathBuf {
    let absolute = || std::path::absolute(path);
    path.canonicalize()
        .or_else(|_| absolute())
        .unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_found_again_when_all_is_moved_and_add_up() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| {
            let folder = place.path().join("all").join(name);
            std::fs::create_dir_all(&folder).unwrap();
            folder
        };
        let (out, first, second) = (at("out"), at("plates/a"), at("plates/b"));
        assert_eq!(MadeFrom::of(&out), MadeFrom::default());
        for images in [&second, &first, &second] {
            let made_from = MadeFrom {
                model: Some(at("model")),
                images: vec![images.clone()],
            };
            made_from.put(&out, "1234").unwrap();
        }
        assert_eq!(marker::read(&out).unwrap().model.as_deref(), Some("1234"));
        let moved = place.path().join("moved");
        std::fs::rename(place.path().join("all"), &moved).unwrap();
        let found = MadeFrom::of(&moved.join("out"));
        let same = |path: &Path, name: &str| full(path) == full(&moved.join(name));
        assert!(same(&found.model.unwrap(), "model"));
        let shown = found.images[0].display().to_string();
        assert!(!shown.contains(".."), "{shown}");
        assert_eq!(found.images.len(), 2);
        assert!(same(&found.images[0], "plates/a") && same(&found.images[1], "plates/b"));
    }
}
