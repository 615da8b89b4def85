//! What tells a folder that this program wrote from a folder of a user's.
//!
//! Such a folder holds a small file, written before anything else, which says what made it. Readers
//! of layouts leave marked folders alone, since nothing in them is an image of a microscope; only a
//! simulated plate is read as any other. Folders that older versions wrote without a marker are
//! told by what lies in them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::format::description::said_by_us;
use crate::format::descriptions;
use crate::names::is_image_name;
use crate::{ImageError, write_atomic};

/// Name of the marker.
pub const FILE_NAME: &str = "made-by-stainfree.json";

/// The program's name, as every marker has it.
const PROGRAM: &str = "stainfree";

/// First columns of the table that `predict` leaves.
const PREDICTIONS: &str = "name,status,message,";

/// Most files of a folder that are opened: listing thousands is quick, opening them is not.
const LOOKED_AT: usize = 4;

/// What a folder that the program wrote is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Kind {
    /// A study, with its truth, models and runs.
    Study,
    /// A model, or one that is being trained.
    Model,
    /// Results of `predict`.
    Prediction,
    /// Labels of `segment`.
    Segmentation,
    /// Labels in forms for other programs, of `outlines`.
    Outlines,
    /// Runs and results of `experiment` or `advise`.
    Experiment,
    /// Everything that `demo` leaves.
    Demo,
    /// A simulated plate: its images are read as those of a microscope.
    Plate,
    /// The exact truth of a simulated plate.
    Truth,
    /// Images in another format: read as those of a microscope.
    Conversion,
    /// What another version calls by this word.
    Other(String),
}

impl Kind {
    const NAMES: [(Kind, &'static str); 10] = [
        (Kind::Study, "study"),
        (Kind::Model, "model"),
        (Kind::Prediction, "prediction"),
        (Kind::Segmentation, "segmentation"),
        (Kind::Outlines, "outlines"),
        (Kind::Experiment, "experiment"),
        (Kind::Demo, "demo"),
        (Kind::Plate, "plate"),
        (Kind::Truth, "truth"),
        (Kind::Conversion, "conversion"),
    ];

    /// The word of the marker.
    pub fn name(&self) -> &str {
        match self {
            Kind::Other(word) => word,
            known => Self::NAMES
                .iter()
                .find(|(kind, _)| kind == known)
                .map_or("", |(_, name)| name),
        }
    }

    /// What it is, for a sentence: `a study`.
    pub fn described(&self) -> String {
        match self {
            Kind::Study => "a study".to_owned(),
            Kind::Model => "a model".to_owned(),
            Kind::Prediction => "a result of `predict`".to_owned(),
            Kind::Segmentation => "a result of `segment`".to_owned(),
            Kind::Outlines => "a result of `outlines`".to_owned(),
            Kind::Experiment => "an experiment".to_owned(),
            Kind::Demo => "a demo".to_owned(),
            Kind::Plate => "a simulated plate".to_owned(),
            Kind::Truth => "the truth of a simulated plate".to_owned(),
            Kind::Conversion => "a result of `convert`".to_owned(),
            Kind::Other(word) => format!("a folder of stainfree (`{word}`)"),
        }
    }

    /// Whether images of a microscope may lie in it.
    pub fn holds_images(&self) -> bool {
        matches!(self, Kind::Plate | Kind::Conversion)
    }
}

impl From<String> for Kind {
    fn from(word: String) -> Self {
        let known = Self::NAMES.into_iter().find(|(_, name)| *name == word);
        known.map_or(Kind::Other(word), |(kind, _)| kind)
    }
}

impl From<Kind> for String {
    fn from(kind: Kind) -> Self {
        kind.name().to_owned()
    }
}

/// What the marker of a folder says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Marker {
    /// `stainfree`.
    pub program: String,
    /// The version that wrote the folder.
    pub version: String,
    /// The command that wrote it.
    pub command: String,
    /// What it is.
    pub kind: Kind,
    /// Hash of the model that its results are of.
    #[serde(default)]
    pub model: Option<String>,
    /// Whatever else a command, or another version, says.
    #[serde(flatten)]
    pub more: BTreeMap<String, serde_json::Value>,
}

impl Marker {
    /// A marker of this version.
    pub fn new(command: &str, kind: Kind) -> Self {
        Self {
            program: PROGRAM.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            command: command.to_owned(),
            kind,
            model: None,
            more: BTreeMap::new(),
        }
    }

    /// The same with the hash of a model.
    #[must_use]
    pub fn with_model(mut self, hash: &str) -> Self {
        self.model = Some(hash.to_owned());
        self
    }
}

/// Marks `folder`, which is made if it does not exist. A marker that says the same stays as it is.
///
/// # Errors
/// [`ImageError::Write`]: the folder or the marker cannot be written.
pub fn write(folder: &Path, marker: &Marker) -> Result<(), ImageError> {
    if read(folder).as_ref() == Some(marker) {
        return Ok(());
    }
    std::fs::create_dir_all(folder).map_err(|error| ImageError::write(folder, error))?;
    // Names and words: turning them into text cannot fail.
    let text = serde_json::to_string_pretty(marker).unwrap_or_default();
    write_atomic(&folder.join(FILE_NAME), format!("{text}\n").as_bytes())
}

/// The marker of `folder`; `None` where there is none, or one that nobody can read.
pub fn read(folder: &Path) -> Option<Marker> {
    serde_json::from_slice(&std::fs::read(folder.join(FILE_NAME)).ok()?).ok()
}

/// What the program wrote `folder` as; `None` for a folder of the user's.
///
/// Folders without a marker are told by what only this program leaves: `stainfree.toml`, a model's
/// two files, the table of `predict`, results of an experiment, or label images that say so.
pub fn written_by_us(folder: &Path) -> Option<Kind> {
    if let Some(marker) = read(folder) {
        return Some(marker.kind);
    }
    let has = |name: &str| folder.join(name).is_file();
    if has(FILE_NAME) {
        return Some(Kind::Other("unknown".to_owned()));
    }
    if has("stainfree.toml") {
        return Some(Kind::Study);
    }
    if has("model.toml") && has("weights.safetensors") {
        return Some(Kind::Model);
    }
    if begins_with(&folder.join("predictions.csv"), PREDICTIONS) {
        return Some(Kind::Prediction);
    }
    if is_experiment(folder) {
        return Some(Kind::Experiment);
    }
    // `segment` leaves labels only, and a prediction that was killed has no table yet.
    if first_say(folder, "classical") {
        return Some(Kind::Segmentation);
    }
    ["nuclei", "classes"]
        .iter()
        .any(|inner| first_say(&folder.join(inner), "prediction: "))
        .then_some(Kind::Prediction)
}

/// Whether `path` is a TIFF that this program wrote.
pub fn is_our_tiff(path: &Path) -> bool {
    note_of(path).is_some()
}

/// What this program noted in a TIFF that it wrote; `None` for any other file.
pub fn note_of(path: &Path) -> Option<String> {
    let texts = descriptions(path);
    texts
        .iter()
        .find_map(|text| said_by_us(text))
        .map(str::to_owned)
}

fn begins_with(path: &Path, text: &str) -> bool {
    let mut found = Vec::new();
    let read =
        File::open(path).and_then(|file| file.take(text.len() as u64).read_to_end(&mut found));
    read.is_ok() && found == text.as_bytes()
}

/// Runs with results, or a study in `studies`.
fn is_experiment(folder: &Path) -> bool {
    let holds = |inner: &str, file: &str| {
        let folders = first_entries(&folder.join(inner), |_| true);
        folders.iter().any(|path| path.join(file).is_file())
    };
    holds("runs", "result.json") || holds("studies", "stainfree.toml")
}

/// Whether all of the first images of `folder` have a note of ours with this word: one label file
/// among images of the user's does not make the folder ours.
fn first_say(folder: &Path, word: &str) -> bool {
    let says = |path: &PathBuf| note_of(path).is_some_and(|note| note.contains(word));
    let first = first_entries(folder, is_image_name);
    !first.is_empty() && first.iter().all(says)
}

/// The first few entries of `folder` that are `wanted`, by name, hidden ones left out; none where
/// it cannot be listed.
pub(crate) fn first_entries(folder: &Path, wanted: impl Fn(&Path) -> bool) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let paths = entries.filter_map(Result::ok).map(|entry| entry.path());
    let is_hidden = |path: &Path| {
        let name = path.file_name().unwrap_or_default();
        name.to_string_lossy().starts_with('.')
    };
    let mut paths: Vec<PathBuf> = paths
        .filter(|path| !is_hidden(path) && wanted(path))
        .collect();
    paths.sort_unstable();
    paths.truncate(LOOKED_AT);
    paths
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Image, write as images};

    fn filled(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            std::fs::write(path, text).expect("written");
        }
        folder
    }

    #[test]
    fn a_marker_comes_back_with_what_this_version_does_not_know() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let inner = folder.path().join("new");
        let marker = Marker::new("predict", Kind::Prediction).with_model("abc");
        write(&inner, &marker).expect("written");
        assert_eq!(read(&inner), Some(marker));
        let text = r#"{"program":"stainfree","version":"9","command":"x","kind":"movie","fps":3}"#;
        std::fs::write(inner.join(FILE_NAME), text).expect("written");
        let later = read(&inner).expect("readable");
        assert_eq!((later.kind.name(), later.model), ("movie", None));
        assert_eq!(later.more["fps"], 3);
        assert_eq!(written_by_us(&inner), Some(Kind::Other("movie".to_owned())));
    }

    #[test]
    fn a_damaged_marker_still_keeps_the_folder_from_being_read() {
        let folder = filled(&[(FILE_NAME, "")]);
        let kind = written_by_us(folder.path()).expect("ours");
        assert!(!kind.holds_images());
    }

    #[test]
    fn folders_of_older_versions_are_told_by_their_files() {
        let told = |files: &[(&str, &str)]| written_by_us(filled(files).path());
        assert_eq!(told(&[("stainfree.toml", "")]), Some(Kind::Study));
        let model = [("model.toml", ""), ("weights.safetensors", "")];
        assert_eq!(told(&model), Some(Kind::Model));
        assert_eq!(told(&model[..1]), None);
        let table = "name,status,message,background_share,nuclei\n";
        assert_eq!(told(&[("predictions.csv", table)]), Some(Kind::Prediction));
        assert_eq!(told(&[("predictions.csv", "a,b\n")]), None);
        assert_eq!(
            told(&[("runs/a/result.json", "{}")]),
            Some(Kind::Experiment)
        );
        assert_eq!(told(&[("a.tif", "no tiff"), ("b.txt", "")]), None);
        assert_eq!(told(&[]), None);
    }

    #[test]
    fn labels_without_a_table_are_told_by_what_they_say() {
        let labels = Image::from_fn(4, 4, |y, _| y as u32);
        let save = |path: &Path, text: &str| {
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            let note = images::Note {
                text: text.to_owned(),
                pixel_um: None,
            };
            images::labels(path, &labels, &note).expect("written");
        };
        let folder = tempfile::tempdir().expect("a temporary folder");
        let at = |name: &str| folder.path().join(name);
        save(
            &at("s/a.tif"),
            "stainfree 0.1.0 classical nuclei of field a",
        );
        save(
            &at("p/nuclei/a.tif"),
            "stainfree 0.1.0 prediction: nuclei of field a, model 1",
        );
        save(&at("u/a.tif"), "made by hand");
        // Images of the user's, with one of our label files among them.
        for inner in ["m", "m/nuclei"] {
            let ours = format!("{inner}/a.tif");
            save(
                &at(&ours),
                "stainfree 0.1.0 classical or prediction: nuclei of field a",
            );
            save(&at(&format!("{inner}/b.TIFF")), "made by hand");
        }
        assert_eq!(written_by_us(&at("s")), Some(Kind::Segmentation));
        assert_eq!(written_by_us(&at("p")), Some(Kind::Prediction));
        assert_eq!(written_by_us(&at("u")), None);
        assert_eq!(written_by_us(&at("m")), None);
        assert!(is_our_tiff(&at("s/a.tif")) && !is_our_tiff(&at("u/a.tif")));
    }
}
