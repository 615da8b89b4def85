//! What a result was made from: its model's folder and its images, as its marker names them.
//!
//! Places are relative to the result's folder where both lie below one, so that they are found
//! again when all of it is moved or mounted elsewhere. Nothing depends on them: what is no longer
//! there is asked for.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use serde_json::{Map, Value};
use stainfree_image::OpenOptions;
use stainfree_image::marker::{self, Kind, Marker};

use crate::ProjectError;
use crate::study::relative_to;

/// Key of the model's folder.
const MODEL: &str = "model_folder";
/// Key of the images.
const IMAGES: &str = "images";
/// Key of how names of files were read, by the images; where it was said.
const PATTERNS: &str = "patterns";

/// Folders and files that a result was made from.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct MadeFrom {
    /// The model's folder.
    pub(crate) model: Option<PathBuf>,
    /// Plates, folders and files of images, with what was said of them.
    pub(crate) images: Vec<(PathBuf, OpenOptions)>,
}

impl MadeFrom {
    /// What the marker of the result `out` says.
    pub(crate) fn of(out: &Path) -> Self {
        let more = marker::read(out).map_or_else(Default::default, |marker| marker.more);
        let path = |value: &Value| Some(short(out.join(value.as_str()?)));
        let images = more.get(IMAGES).and_then(Value::as_array);
        let opening = |word: &Value| {
            let pattern = more.get(PATTERNS)?.get(word.as_str()?)?;
            pattern.as_str().map(str::to_owned)
        };
        let image = |word: &Value| {
            let opening = OpenOptions {
                pattern: opening(word),
                ..OpenOptions::default()
            };
            Some((path(word)?, opening))
        };
        Self {
            model: more.get(MODEL).and_then(path),
            images: images.into_iter().flatten().filter_map(image).collect(),
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
            beside.to_string_lossy().into_owned()
        };
        let mut more = |key: &str, value: Value| marker.more.insert(key.to_owned(), value);
        if let Some(model) = &self.model {
            more(MODEL, Value::from(word(model)));
        }
        let earlier = Self::of(out).images;
        let earlier = earlier.iter().filter(|(path, _)| path.exists());
        let all = earlier.chain(&self.images);
        let all: BTreeMap<String, Option<&String>> = all
            .map(|(path, opening)| (word(path), opening.pattern.as_ref()))
            .collect();
        let patterns = all.iter().filter_map(|(path, pattern)| {
            let pattern = pattern.as_ref()?;
            Some((path.clone(), Value::from(pattern.as_str())))
        });
        let patterns: Map<String, Value> = patterns.collect();
        if !patterns.is_empty() {
            more(PATTERNS, Value::from(patterns));
        }
        more(IMAGES, all.into_keys().collect());
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
        for (images, pattern) in [
            (&second, None),
            (&first, Some("(?<name>.+)")),
            (&second, None),
        ] {
            let opening = OpenOptions {
                pattern: pattern.map(str::to_owned),
                ..OpenOptions::default()
            };
            let made_from = MadeFrom {
                model: Some(at("model")),
                images: vec![(images.clone(), opening)],
            };
            made_from.put(&out, "1234").unwrap();
        }
        assert_eq!(marker::read(&out).unwrap().model.as_deref(), Some("1234"));
        let moved = place.path().join("moved");
        std::fs::rename(place.path().join("all"), &moved).unwrap();
        let found = MadeFrom::of(&moved.join("out"));
        let same = |path: &Path, name: &str| full(path) == full(&moved.join(name));
        assert!(same(&found.model.unwrap(), "model"));
        let [(a, by_pattern), (b, plain)] = &found.images[..] else {
            panic!("{:?}", found.images);
        };
        assert!(!a.display().to_string().contains(".."), "{}", a.display());
        assert!(same(a, "plates/a") && same(b, "plates/b"));
        assert_eq!(by_pattern.pattern.as_deref(), Some("(?<name>.+)"));
        assert_eq!(plain.pattern, None);
    }
}
