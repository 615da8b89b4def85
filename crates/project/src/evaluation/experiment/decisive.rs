//! What a run is recognised by: a hash of all that decides its result.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use sha2::{Digest, Sha256};
use stainfree_image::Field;
use stainfree_network::recipe::Recipe;

use crate::study::fields::FieldRow;
use crate::study::{Source, Study};
use crate::training::start::is_name;
use crate::{Part, ProjectError};

/// What results hold and how they are come by, beyond what the program's version says: they are
/// made anew where it differs.
const RESULT_FORMAT: &str =
    "5: pixels, kinds and start are part of the hash; shifts are those of the study";

/// All that decides a run's result.
pub(super) struct Decisive<'a> {
    /// Its study, which is prepared ...
    pub(super) study: &'a Study,
    /// ... and the fields of it.
    pub(super) rows: &'a [FieldRow],
    pub(super) recipe: &'a Recipe,
    /// What it starts from: never `auto`, which is something else on another machine.
    pub(super) weights: &'a str,
    /// Names of the training images.
    pub(super) images: &'a [String],
    /// Table of the kinds of nuclei.
    pub(super) kinds: Option<&'a Path>,
}

impl Decisive<'_> {
    /// Hash of it: program, choices, recipe, weights, images, truth. Where files lie is no part of
    /// it.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub(super) fn hash(&self) -> Result<String, ProjectError> {
        let mut hash = Sha256::new();
        add_text(&mut hash, env!("CARGO_PKG_VERSION"));
        add_text(&mut hash, RESULT_FORMAT);
        // The study's choices, not its text: a comment of the file changes nothing.
        let config = serde_json::to_string(&self.study.config().without_places());
        add_text(&mut hash, &config.unwrap_or_default());
        add_text(&mut hash, &toml::to_string(self.recipe).unwrap_or_default());
        for file in self.weights_files() {
            hash.update(digest(&file)?);
        }
        if is_name(self.weights) {
            add_text(&mut hash, self.weights);
        }
        for name in self.images {
            add_text(&mut hash, name);
        }
        self.add_fields(&mut hash)?;
        if let Some(kinds) = self.kinds {
            hash.update(digest(kinds)?);
        }
        let digest = hash.finalize();
        Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// The weights file, or the two of a model's folder; known weights are told apart by their
    /// name.
    fn weights_files(&self) -> Vec<PathBuf> {
        match Path::new(self.weights) {
            _ if is_name(self.weights) => Vec::new(),
            folder if folder.is_dir() => ["model.toml", "weights.safetensors"]
                .map(|name| folder.join(name))
                .to_vec(),
            file => vec![file.to_owned()],
        }
    }

    /// Images and truth of the fields in use.
    fn add_fields(&self, hash: &mut Sha256) -> Result<(), ProjectError> {
        let source = self.study.source()?;
        let by_name = source.by_name();
        for row in self.rows.iter().filter(|row| row.split.is_some()) {
            add_text(hash, &row.name);
            add_text(hash, row.split.map_or("", Part::name));
            hash.update(digest(&self.study.class_mask_path(&row.name))?);
            let nuclei = self.study.nuclei_path(&row.name);
            if nuclei.is_file() {
                hash.update(digest(&nuclei)?);
            }
            let Some(field) = by_name.get(row.name.as_str()) else {
                continue;
            };
            for path in image_files(&source, field)? {
                hash.update(digest(&path)?);
            }
        }
        Ok(())
    }
}

/// The files of a field's brightfield and stains, each once.
fn image_files(source: &Source, field: &Field) -> Result<BTreeSet<PathBuf>, ProjectError> {
    let brightfield = source.brightfield.planes_of(field)?;
    let brightfield = brightfield
        .into_iter()
        .filter_map(|(channel, z)| field.planes[channel][z].as_ref());
    let stains = [source.nucleus, source.cytoplasm].into_iter().flatten();
    let stains = stains.flat_map(|channel| field.planes[channel].iter().flatten());
    Ok(brightfield
        .chain(stains)
        .map(|plane| plane.path.clone())
        .collect())
}

/// Hash of a file's bytes. Files are read once by a program, unless their size or time changes:
/// every run of a matrix asks for the same ones.
fn digest(path: &Path) -> Result<[u8; 32], ProjectError> {
    type Known = BTreeMap<PathBuf, (u64, Option<SystemTime>, [u8; 32])>;
    static KNOWN: Mutex<Known> = Mutex::new(BTreeMap::new());
    let fail = |error: std::io::Error| ProjectError::read(path, &error);
    let facts = std::fs::metadata(path).map_err(fail)?;
    let (size, time) = (facts.len(), facts.modified().ok());
    let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(&(then, at, digest)) = known().get(path)
        && (then, at) == (size, time)
    {
        return Ok(digest);
    }
    let mut file = std::fs::File::open(path).map_err(fail)?;
    let mut hash = Sha256::new();
    let mut piece = vec![0; 1 << 20];
    loop {
        match file.read(&mut piece).map_err(fail)? {
            0 => break,
            read => hash.update(&piece[..read]),
        }
    }
    let digest: [u8; 32] = hash.finalize().into();
    known().insert(path.to_owned(), (size, time, digest));
    Ok(digest)
}

/// A text with its length, so that neighbours cannot run into each other.
fn add_text(hash: &mut Sha256, text: &str) {
    hash.update((text.len() as u64).to_le_bytes());
    hash.update(text.as_bytes());
}
