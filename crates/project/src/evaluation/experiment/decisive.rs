//! What a run is recognised by: a hash of all that decides its result.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use stainfree_image::{Field, PlaneRef, Stamp, read_pieces};
use stainfree_inference::default_rule;
use stainfree_network::output::{Output, OutputKind};
use stainfree_network::recipe::Recipe;
use stainfree_network::weights::{self, VIRTUAL_PLATES};
use stainfree_objects::NucleusRule;

use crate::study::fields::FieldRow;
use crate::study::fingerprint::{Fingerprint, stamp_of, stamp_of_file};
use crate::study::{Source, Study};
use crate::training::start::is_name;
use crate::{Part, ProjectError};

/// What results hold and how they are come by, beyond what the program's version says: they are
/// made anew where it differs.
const RESULT_FORMAT: &str = "6: the rule that makes nuclei of a prediction is part of the hash";

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
        let mut hash = Fingerprint::empty();
        hash.text(env!("CARGO_PKG_VERSION"));
        hash.text(RESULT_FORMAT);
        // The study's choices, not its text: a comment of the file changes nothing.
        let config = serde_json::to_string(&self.study.config().without_places());
        hash.text(&config.unwrap_or_default());
        hash.text(&toml::to_string(self.recipe).unwrap_or_default());
        for file in self.weights_files() {
            hash.bytes(digest(&file)?);
        }
        if is_name(self.weights) {
            hash.text(self.weights);
        }
        if self.weights == VIRTUAL_PLATES {
            // Another build may carry another model under the name.
            hash.text(&weights::virtual_plates()?.hash());
        }
        hash.text(&serde_json::to_string(&self.rule()).unwrap_or_default());
        for name in self.images {
            hash.text(name);
        }
        self.add_fields(&mut hash)?;
        if let Some(kinds) = self.kinds {
            hash.bytes(digest(kinds)?);
        }
        Ok(hash.finish())
    }

    /// By what predictions become nuclei, unless the run chooses another rule from its own fields.
    fn rule(&self) -> NucleusRule {
        let named = self.recipe.outputs.iter();
        let outputs: Vec<Output> = named
            .filter_map(|name| Some(OutputKind::named(name).ok()?.output()))
            .collect();
        default_rule(&outputs)
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
    fn add_fields(&self, hash: &mut Fingerprint) -> Result<(), ProjectError> {
        let source = self.study.source()?;
        let by_name = source.by_name();
        for row in self.rows.iter().filter(|row| row.split.is_some()) {
            hash.text(&row.name);
            hash.text(row.split.map_or("", Part::name));
            hash.bytes(digest(&self.study.class_mask_path(&row.name))?);
            let nuclei = self.study.nuclei_path(&row.name);
            if nuclei.is_file() {
                hash.bytes(digest(&nuclei)?);
            }
            let Some(field) = by_name.get(row.name.as_str()) else {
                continue;
            };
            for plane in stored_planes(&source, field)?.into_values() {
                let stamp = stamp_of(plane)?;
                hash.bytes(digest_of(stamp, |sink| plane.stored(sink))?);
            }
        }
        Ok(())
    }
}

/// The planes of a field's brightfield and stains, one for each place that holds some, by place.
fn stored_planes<'a>(
    source: &Source,
    field: &'a Field,
) -> Result<BTreeMap<&'a Path, &'a PlaneRef>, ProjectError> {
    let brightfield = source.brightfield.planes_of(field)?;
    let brightfield = brightfield
        .into_iter()
        .filter_map(|(channel, z)| field.planes[channel][z].as_ref());
    let stains = [source.nucleus, source.cytoplasm].into_iter().flatten();
    let stains = stains.flat_map(|channel| field.planes[channel].iter().flatten());
    Ok(brightfield
        .chain(stains)
        .map(|plane| (plane.location(), plane))
        .collect())
}

/// Hash of a file's bytes.
fn digest(path: &Path) -> Result<[u8; 32], ProjectError> {
    digest_of(stamp_of_file(path)?, |sink| read_pieces(path, sink))
}

/// Hash of what `read` hands over. What bears a stamp is read once by a program, unless the stamp
/// changes: every run of a matrix asks for the same ones.
fn digest_of(
    stamp: Stamp,
    read: impl FnOnce(&mut dyn FnMut(&[u8])) -> std::io::Result<()>,
) -> Result<[u8; 32], ProjectError> {
    static KNOWN: Mutex<BTreeMap<PathBuf, (Stamp, [u8; 32])>> = Mutex::new(BTreeMap::new());
    // Pages of one file have its bytes in common.
    let stamp = Stamp { part: 0, ..stamp };
    let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((then, digest)) = known().get(&stamp.location)
        && *then == stamp
    {
        return Ok(*digest);
    }
    let mut hash = Fingerprint::empty();
    read(&mut |piece| hash.bytes(piece))
        .map_err(|error| ProjectError::read(&stamp.location, &error))?;
    let digest = hash.digest();
    known().insert(stamp.location.clone(), (stamp, digest));
    Ok(digest)
}
