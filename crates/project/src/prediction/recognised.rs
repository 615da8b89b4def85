//! What a prediction is recognised by: the image, the model and the options that it was made with.
//!
//! A field whose row in the table has the key of today's is done already; files without a row are
//! told by their notes.

use std::path::Path;
use std::sync::OnceLock;

use stainfree_image::{Field, PlaneRef, Store, marker};
use stainfree_inference::Device;
use stainfree_network::Precision;

use crate::Job;
use crate::prediction::opened::OpenedModel;
use crate::prediction::options::PredictOptions;
use crate::prediction::table::Rows;
use crate::prediction::written::{Made, NOTED, is_large, note};
use crate::study::Brightfield;
use crate::study::fingerprint::Fingerprint;
use crate::study::provenance::Content;

/// A field that is to be predicted.
pub(crate) struct Task<'a> {
    pub(crate) field: &'a Field,
    pub(crate) brightfield: Brightfield,
    pub(crate) input: Input,
    /// Whether files without a row are what this run would make; looked at once.
    is_left_over: OnceLock<bool>,
}

impl<'a> Task<'a> {
    /// Of a field that is seen in `brightfield`, under these [`conditions`].
    pub(crate) fn new(
        field: &'a Field,
        brightfield: &Brightfield,
        conditions: &Fingerprint,
    ) -> Self {
        Self {
            field,
            input: Input::of(field, brightfield, conditions),
            brightfield: brightfield.clone(),
            is_left_over: OnceLock::new(),
        }
    }

    /// Whether no file is there, or all that are say that this model made them of this image: what
    /// a killed run, or one whose table was deleted, leaves.
    pub(crate) fn is_left_over(&self, model: &str, out: &Path) -> bool {
        *self.is_left_over.get_or_init(|| {
            let (store, name) = (Store::at(out), &self.field.name);
            let path = |(product, what)| (store.path(product, name), what);
            let found = NOTED.into_iter().map(path);
            let mut found = found.filter(|(path, _)| path.is_file()).peekable();
            if found.peek().is_none() {
                return true;
            }
            // Where the image cannot be read there is nothing to replace them with.
            let content = match is_large(self.field) {
                true => {
                    let planes = self.brightfield.sources(self.field).ok();
                    let size = (self.field.height, self.field.width);
                    let of = |planes: Vec<_>| Content::of_regions(&planes, size, &mut || Ok(()));
                    planes.and_then(|planes| of(planes).ok())
                }
                false => {
                    let planes = self.brightfield.read(self.field);
                    planes.ok().map(|planes| Content::of_planes(&planes))
                }
            };
            found.all(|(path, what)| {
                let Some(content) = &content else {
                    return marker::note_of(&path).is_some_and(|note| note.contains(model));
                };
                let made = note(self.field, what, &Made { model, content });
                marker::note_of(&path).is_some_and(|note| made.text.ends_with(&note))
            })
        })
    }
}

/// What decides a prediction beside the image and what a model's hash covers. The cap on memory is
/// a part of it: it decides which tiles an image is computed in.
pub(crate) fn conditions(opened: &OpenedModel, flips: bool, job: &Job) -> Fingerprint {
    let model = opened.predictor.info();
    let mut hash = Fingerprint::empty();
    hash.bytes(env!("CARGO_PKG_VERSION"));
    hash.bytes([
        u8::from(flips),
        u8::from(is_bf16(job)),
        u8::from(model.recipe.rescale),
    ]);
    hash.bytes(model.pixel_um.unwrap_or(0.0).to_le_bytes());
    hash.bytes((opened.predictor.memory() as u64).to_le_bytes());
    match opened.predictor.rule_word() {
        Some(rule) => hash.bytes(rule),
        // The default for outputs beside the classes is not what it was in every build.
        None if opened.predictor.outputs().len() > 1 => {
            hash.bytes(opened.predictor.decoder().word());
        }
        None => {}
    }
    if opened.predictor.device() != Device::Cpu {
        hash.bytes(opened.predictor.device().to_string());
    }
    // A model may be given a confidence after fields were predicted.
    if let Some(confidence) = opened.predictor.confidence() {
        hash.bytes(confidence.word());
    }
    hash
}

/// What a field is read from.
pub(crate) struct Input {
    /// The first plane's file.
    pub(crate) path: String,
    /// A hash of the conditions, and of names, sizes and times of all files: what "the same image"
    /// means. Where their folder lies is no part of it.
    pub(crate) key: String,
    /// The key of older versions, in which places are as they were typed.
    older_key: String,
}

impl Input {
    fn of(field: &Field, brightfield: &Brightfield, conditions: &Fingerprint) -> Self {
        let planes = brightfield.planes_of(field).unwrap_or_default();
        let planes: Vec<&PlaneRef> = planes
            .iter()
            .filter_map(|&(channel, z)| field.planes[channel][z].as_ref())
            .collect();
        let mut begun = conditions.clone();
        begun.bytes(field.pixel_um.unwrap_or(0.0).to_le_bytes());
        let mut hash = begun.clone();
        planes.iter().for_each(|plane| hash.plane(plane));
        Self {
            path: planes.first().map_or(String::new(), |plane| plane.name()),
            key: hash.finish_short(8),
            older_key: older_key(begun, &planes),
        }
    }
}

/// See [`Input::older_key`].
fn older_key(mut hash: Fingerprint, planes: &[&PlaneRef]) -> String {
    for plane in planes {
        let stamp = plane.stamp().ok();
        let (bytes, time) = stamp.map_or((0, 0), |stamp| (stamp.bytes, stamp.nanoseconds()));
        hash.bytes(plane.location().as_os_str().as_encoded_bytes());
        hash.bytes(plane.part().to_le_bytes());
        hash.bytes(bytes.to_le_bytes());
        hash.bytes(time.to_le_bytes());
    }
    hash.finish_short(8)
}

/// The options that change a prediction.
pub(crate) fn words(model: &OpenedModel, options: &PredictOptions, job: &Job) -> String {
    let precision = is_bf16(job).then(|| "bf16".to_owned());
    let flips = options.flips.then(|| "flips".to_owned());
    let rule = model.predictor.rule_word();
    let rule = rule.map(|word| format!("rule:{word}"));
    let sure = model.predictor.confidence();
    let sure = sure.map(|sure| format!("confidence:{}", sure.word()));
    let found = model.predictor.temperatures();
    let found = found.filter(|_| options.probabilities);
    let found = found.map(|found| format!("temperatures:{}", found.word()));
    let device = Some(model.predictor.device()).filter(|device| *device != Device::Cpu);
    let device = device.map(|device| device.to_string());
    let words = [precision, flips, rule, sure, found, device];
    let words: Vec<String> = words.into_iter().flatten().collect();
    words.join(" ")
}

/// Whether the network's products are rounded.
fn is_bf16(job: &Job) -> bool {
    job.machine.isa().precision() == Precision::Bf16
}

/// Nuclei of a field that the same model has done from the same input.
pub(crate) fn already(rows: &Rows, header: &[String], task: &Task, model: &str) -> Option<usize> {
    let row = rows.get(&task.field.name)?;
    let cell = |column: &str| {
        let place = header.iter().position(|name| name == column);
        place.map(|i| row[i].as_str())
    };
    let same = cell("status") == Some("done")
        && cell("model") == Some(model)
        // Rows of older versions do not say which image it was.
        && cell("content").is_some_and(|content| !content.is_empty())
        && cell("key").is_some_and(|key| key == task.input.key || key == task.input.older_key);
    same.then(|| {
        cell("nuclei")
            .and_then(|count| count.parse().ok())
            .unwrap_or(0)
    })
}
