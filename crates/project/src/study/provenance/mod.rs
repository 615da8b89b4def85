//! What a model has met: the record by which no field that trained or chose it is scored as test.
//!
//! Here: the one record format, and looking up in it; the modules have what a field is recognised
//! by, and the judgement. A model's folder holds `provenance.json`; a folder of predictions holds a
//! copy for each model in [`FOLDER`], so that scores can be judged without the model at hand.
//! ARCHITECTURE.md lists who writes and who checks.
//!
//! A field is recognised by its content: the values of its brightfield planes and of its truth. So
//! copies, other names and other compressions are the same field, and another plate with the same
//! names is another.

mod content;
pub(crate) mod folders;
pub(crate) mod judge;
pub(crate) mod predictions;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use stainfree_image::Field;
use stainfree_network::model::ModelInfo;
use stainfree_network::weights;

use crate::study::beside_model::RECORD;
use crate::study::each_field::EachField;
use crate::study::fields::FieldRow;
use crate::study::{Source, Study};
use crate::{Job, Part, ProjectError};
pub use content::Content;
pub(crate) use content::{content_of, full_range_of, hash_of};

/// Folder of the records of all models of a folder of predictions; each is called by the first
/// digits of its model's hash.
pub const FOLDER: &str = "provenance";
/// Version of the record's layout.
const FORMAT: u32 = 1;
/// Digits of a model's hash in a file's name.
const NAME_DIGITS: usize = 16;

/// A field that a model has met, or that was kept from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetField {
    /// Its name then.
    pub name: String,
    /// Its group in the split.
    pub group: String,
    /// What it was to the training: `train` and `validation` fields are met, those of the `test`
    /// part were kept from it.
    pub role: Part,
    /// The model that met it, where this one has only started from that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub through: Option<String>,
    /// What it is recognised by.
    #[serde(flatten)]
    pub content: Content,
}

impl MetField {
    /// Whether the model knows it.
    fn is_met(&self) -> bool {
        self.role != Part::Test
    }
}

/// What a model knows beside the fields of its own training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Known {
    /// The fields that its record names; they are among those of this record.
    Recorded,
    /// Virtual plates, which are no field of any study.
    VirtualPlates,
    /// Photographs of things.
    Photographs,
    /// A model without a record.
    Unknown,
}

/// What a network started from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ancestor {
    /// As `pretrained` in `model.toml`.
    pub name: String,
    /// What it has seen.
    pub knows: Known,
}

/// The record of a model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// Version of the layout.
    pub format: u32,
    /// Hash of the model; empty while it is trained.
    #[serde(default)]
    pub model: String,
    /// How fields were grouped: `split.group` of its study.
    #[serde(default)]
    pub group: String,
    /// Fields that trained, chose, or were kept for the test.
    pub fields: Vec<MetField>,
    /// Virtual plates that it was trained on: their seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub virtual_plates: Option<u64>,
    /// What it started from, and what that had started from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ancestors: Vec<Ancestor>,
}

impl Provenance {
    /// A record of fields, and of what the network started from.
    pub fn new(group: &str, fields: Vec<MetField>) -> Self {
        Self {
            format: FORMAT,
            group: group.to_owned(),
            fields,
            ..Self::default()
        }
    }

    /// The record in a model's folder; `None` where an older version has written the model.
    ///
    /// # Errors
    /// The record is damaged, of a newer version, missing though the model says it has one, or not
    /// the one that the model was written with.
    pub fn of_model(
        folder: &Path,
        hashes: &BTreeMap<String, String>,
    ) -> Result<Option<Self>, ProjectError> {
        let path = folder.join(RECORD.file);
        let Some(hash) = hashes.get(RECORD.key) else {
            // Of whatever model it is, it is not this one's.
            return match path.exists() {
                true => Err(RECORD.of_another(folder)),
                false => Ok(None),
            };
        };
        match RECORD.find(folder, hash)? {
            None => Err(ProjectError::NoRecord(path)),
            Some(bytes) => Self::of_bytes(&path, &bytes).map(Some),
        }
    }

    /// The record at `path`; `None` where there is no such file.
    ///
    /// # Errors
    /// It is damaged, or of a newer version.
    pub fn read(path: &Path) -> Result<Option<Self>, ProjectError> {
        match std::fs::read(path) {
            Ok(bytes) => Self::of_bytes(path, &bytes).map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(ProjectError::read(path, &error)),
        }
    }

    fn of_bytes(path: &Path, bytes: &[u8]) -> Result<Self, ProjectError> {
        let damaged = |why: String| ProjectError::DamagedRecord {
            path: path.to_owned(),
            why,
        };
        let found: Self =
            serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
        match found.format {
            FORMAT => Ok(found),
            other => Err(damaged(format!(
                "its format is `{other}`, and this program reads `{FORMAT}`"
            ))),
        }
    }

    /// Writes the record, whole or not at all.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), ProjectError> {
        Ok(stainfree_image::write_atomic(path, &self.bytes())?)
    }

    /// The record as it is written.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        // Plain names and hashes: turning them into text cannot fail.
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// Puts a copy beside predictions of the model of this hash: `OUT/provenance/HASH.json`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn put_beside(&self, out: &Path, model: &str) -> Result<(), ProjectError> {
        let path = beside(out, model);
        let folder = out.join(FOLDER);
        std::fs::create_dir_all(&folder).map_err(|error| ProjectError::write(&folder, &error))?;
        self.write(&path)
    }

    /// Takes over what the ancestor called `name` has met.
    fn inherit(&mut self, name: &str, ancestor: Option<Self>) {
        let knows = match &ancestor {
            None => Known::Unknown,
            Some(record) if record.virtual_plates.is_some() => Known::VirtualPlates,
            Some(_) => Known::Recorded,
        };
        self.ancestors.push(Ancestor {
            name: name.to_owned(),
            knows,
        });
        let Some(ancestor) = ancestor else { return };
        let met = ancestor.fields.into_iter().filter(MetField::is_met);
        self.fields.extend(met.map(|field| MetField {
            through: Some(field.through.unwrap_or_else(|| name.to_owned())),
            ..field
        }));
        self.ancestors.extend(ancestor.ancestors);
    }

    /// Ancestors of which nobody knows what they were trained on.
    pub fn unknown_ancestors(&self) -> Vec<&str> {
        let unknown = self.ancestors.iter().filter(|a| a.knows == Known::Unknown);
        unknown.map(|ancestor| ancestor.name.as_str()).collect()
    }

    /// Looks up fields in the record.
    pub fn index(&self) -> Index<'_> {
        let mut index = Index {
            hashes: HashMap::new(),
            groups: BTreeMap::new(),
        };
        for field in &self.fields {
            let content = &field.content;
            let truth = [&content.classes, &content.nuclei];
            for hash in content.image.iter().chain(truth.into_iter().flatten()) {
                let known = index.hashes.entry(hash).or_insert(field);
                // What trained says more than what chose, and either more than what was kept.
                if field.role < known.role {
                    *known = field;
                }
            }
            if field.is_met() && field.through.is_none() {
                index.groups.entry(&field.group).or_insert(field);
            }
        }
        index
    }
}

/// Where the record of the model with this hash lies beside its predictions.
pub(crate) fn beside(out: &Path, model: &str) -> PathBuf {
    let digits = model.get(..NAME_DIGITS).unwrap_or(model);
    out.join(FOLDER).join(format!("{digits}.json"))
}

/// A record made for looking up.
pub struct Index<'a> {
    hashes: HashMap<&'a String, &'a MetField>,
    groups: BTreeMap<&'a str, &'a MetField>,
}

impl<'a> Index<'a> {
    /// The field of the record that has this content, if the model has met it.
    pub fn met(&self, content: &Content) -> Option<&'a MetField> {
        let truth = [&content.classes, &content.nuclei];
        let hashes = content.image.iter().chain(truth.into_iter().flatten());
        let found = hashes.filter_map(|hash| self.hashes.get(hash).copied());
        found
            .filter(|field| field.is_met())
            .min_by_key(|field| field.role)
    }

    /// The field of the record with these planes, which was kept from the training.
    pub fn kept(&self, content: &Content) -> Option<&'a MetField> {
        let found = content
            .image
            .iter()
            .filter_map(|hash| self.hashes.get(hash));
        found.copied().find(|field| !field.is_met())
    }

    /// A field of this group that the model has met.
    pub(crate) fn met_group(&self, group: &str) -> Option<&'a MetField> {
        self.groups.get(group).copied()
    }
}

/// The content of fields of a study, in the order of `rows`.
///
/// A field kept for the test that cannot be read has no content: that is no reason not to train.
///
/// # Errors
/// A field that is not among the images, or one of another part that cannot be read;
/// [`ProjectError::Cancelled`].
pub(crate) fn fields_of(
    study: &Study,
    source: &Source,
    rows: &[&FieldRow],
    job: &Job,
) -> Result<Vec<MetField>, ProjectError> {
    let by_name: BTreeMap<&str, &Field> = source
        .dataset
        .fields
        .iter()
        .map(|field| (field.name.as_str(), field))
        .collect();
    let met = |row: &&FieldRow, content| MetField {
        name: row.name.clone(),
        group: row.group.clone(),
        role: row.split.unwrap_or(Part::Test),
        through: None,
        content,
    };
    EachField::new(&job.quiet(), rows, |row| row.name.clone()).at_once(
        |row| match by_name.get(row.name.as_str()) {
            Some(field) => Ok(met(row, content_of(study, source, field)?)),
            None => Err(ProjectError::NotAmongImages(row.name.clone())),
        },
        |row, error| match row.split.unwrap_or(Part::Test) {
            Part::Test => Ok(met(row, Content::default())),
            _ => Err(error),
        },
    )
}

/// The record of a training that is about to start: its fields, and the folder of the model or the
/// name of what it starts from, `origin`.
///
/// # Errors
/// The record of the model it starts from is damaged, missing, or that of another model.
pub(crate) fn of_training(
    group: &str,
    fields: Vec<MetField>,
    model: Option<&Path>,
    origin: Option<&str>,
) -> Result<Provenance, ProjectError> {
    let mut record = Provenance::new(group, fields);
    let Some(origin) = origin else {
        return Ok(record);
    };
    if let Some(path) = model {
        let (info, _) = ModelInfo::of_folder(path)?;
        let ancestor = Provenance::of_model(path, &info.hashes)?;
        record.inherit(origin, ancestor);
        return Ok(record);
    }
    record.ancestors.push(Ancestor {
        name: origin.to_owned(),
        knows: if origin == weights::VIRTUAL_PLATES {
            Known::VirtualPlates
        } else {
            Known::Photographs
        },
    });
    Ok(record)
}

/// How the fields of a stopped training differ from those it would go on with; `None` where they
/// are the same.
pub(crate) fn difference(before: &Provenance, now: &Provenance) -> Option<String> {
    let met = |record: &Provenance| -> BTreeMap<String, MetField> {
        let own = record.fields.iter().filter(|f| f.is_met());
        let own = own.filter(|field| field.through.is_none());
        own.map(|field| (field.name.clone(), field.clone()))
            .collect()
    };
    let (before, now) = (met(before), met(now));
    let count = |what: &dyn Fn(&MetField, &MetField) -> bool| -> (usize, Option<&String>) {
        let mut changed = before
            .iter()
            .filter(|(name, old)| now.get(*name).is_some_and(|new| what(old, new)));
        let first = changed.next().map(|(name, _)| name);
        (changed.count() + usize::from(first.is_some()), first)
    };
    let truth = count(&|old, new| {
        (&old.content.classes, &old.content.nuclei) != (&new.content.classes, &new.content.nuclei)
    });
    let image = count(&|old, new| old.content.image != new.content.image);
    let role = count(&|old, new| old.role != new.role);
    let gone = before.keys().find(|name| !now.contains_key(*name));
    let added = now.keys().find(|name| !before.contains_key(*name));
    let mut said = Vec::new();
    for ((n, first), what) in [
        (truth, "the truth"),
        (image, "the image"),
        (role, "the part of the split"),
    ] {
        if let Some(first) = first {
            let all = before.len();
            said.push(format!(
                "{what} of {n} of {all} fields has changed (first: `{first}`)"
            ));
        }
    }
    said.extend(gone.map(|name| format!("`{name}` trains or validates no longer")));
    said.extend(added.map(|name| format!("`{name}` trains or validates now")));
    (!said.is_empty()).then(|| said.join(", "))
}

#[cfg(test)]
mod tests {
    use stainfree_image::{Image, Plane};

    use super::*;

    fn picture(seed: u16) -> Image<u16> {
        Image::from_fn(8, 12, |y, x| {
            (y as u16 * 31 + x as u16 * 7).wrapping_mul(seed)
        })
    }

    fn content(seed: u16) -> Content {
        Content::of_planes(&[Plane::U16(picture(seed))])
    }

    fn met(name: &str, role: Part, seed: u16) -> MetField {
        MetField {
            name: name.to_owned(),
            group: name.to_owned(),
            role,
            through: None,
            content: content(seed),
        }
    }

    #[test]
    fn a_field_is_met_by_any_of_its_planes_or_by_its_truth() {
        let truth = Image::new(1, 3, vec![0u8, 1, 0]);
        let mut stack = met("a", Part::Train, 3);
        stack.content.image.extend(content(5).image);
        stack.content = stack.content.with_truth(Some(&truth), None);
        let chose = met("b", Part::Validation, 7);
        let record = Provenance::new("well", vec![stack, chose, met("c", Part::Test, 9)]);
        let index = record.index();
        let role = |content: &Content| index.met(content).map(|field| field.role);
        assert_eq!(
            role(&content(5)),
            Some(Part::Train),
            "the second plane alone"
        );
        assert_eq!(role(&content(7)), Some(Part::Validation));
        assert_eq!(role(&content(9)), None, "kept for the test");
        assert_eq!(index.kept(&content(9)).unwrap().name, "c");
        assert_eq!(role(&content(11)), None, "never met");
        let same_truth = content(11).with_truth(Some(&truth), None);
        assert_eq!(
            role(&same_truth),
            Some(Part::Train),
            "other image, same cells"
        );
    }

    #[test]
    fn what_ancestors_met_is_met_and_what_was_kept_from_them_is_not() {
        let old = Provenance::new(
            "well",
            vec![met("a", Part::Train, 3), met("b", Part::Test, 5)],
        );
        let mut middle = Provenance::new("well", vec![met("c", Part::Validation, 7)]);
        middle.inherit("model old 12", Some(old));
        let mut young = Provenance::new("field", vec![met("d", Part::Train, 9)]);
        young.inherit("model middle 34", Some(middle));
        young.inherit("model lost 56", None);
        let index = young.index();
        assert_eq!(
            index.met(&content(3)).unwrap().through.as_deref(),
            Some("model old 12")
        );
        assert!(index.met(&content(5)).is_none());
        assert!(index.met(&content(7)).is_some() && index.met(&content(9)).is_some());
        assert!(
            index.met_group("a").is_none(),
            "groups of another study mean nothing"
        );
        assert_eq!(young.unknown_ancestors(), ["model lost 56"]);
    }

    #[test]
    fn a_record_survives_its_file_and_a_damaged_one_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(RECORD.file);
        assert_eq!(Provenance::read(&path).unwrap(), None);
        let record = Provenance::new("well", vec![met("ü", Part::Train, 3)]);
        record.write(&path).unwrap();
        assert_eq!(Provenance::read(&path).unwrap(), Some(record));
        std::fs::write(&path, "{\"format\": 9, \"fields\": []}").unwrap();
        let error = Provenance::read(&path).unwrap_err().to_string();
        assert!(error.contains("its format is `9`"), "{error}");
        std::fs::remove_file(&path).unwrap();
        let hashes = BTreeMap::from([(RECORD.key.to_owned(), "12".to_owned())]);
        let error = Provenance::of_model(folder.path(), &hashes).unwrap_err();
        assert!(matches!(error, ProjectError::NoRecord(_)), "{error}");
        assert_eq!(
            Provenance::of_model(folder.path(), &BTreeMap::new()).unwrap(),
            None
        );
    }

    #[test]
    fn a_record_of_another_model_is_refused_and_one_that_waits_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let record = |name: &str| Provenance::new("well", vec![met(name, Part::Train, 3)]);
        let old = BTreeMap::from([RECORD.put(folder, &record("old").bytes()).unwrap()]);
        std::fs::write(folder.join("model.toml"), "format = 1\n").unwrap();
        assert_eq!(
            Provenance::of_model(folder, &old).unwrap(),
            Some(record("old"))
        );
        // Killed while it is replaced: before `model.toml` names the new record, and after.
        let new = BTreeMap::from([RECORD.put(folder, &record("new").bytes()).unwrap()]);
        assert_eq!(
            Provenance::of_model(folder, &old).unwrap(),
            Some(record("old"))
        );
        assert_eq!(
            Provenance::of_model(folder, &new).unwrap(),
            Some(record("new"))
        );
        let text = format!("[hashes]\n{} = \"{}\"\n", RECORD.key, new[RECORD.key]);
        std::fs::write(folder.join("model.toml"), text).unwrap();
        crate::study::beside_model::settle(folder).unwrap();
        let read = |path: &Path| Provenance::read(path).unwrap();
        assert_eq!(read(&folder.join(RECORD.file)), Some(record("new")));
        assert!(!folder.join("provenance.next.json").exists());
        // A model and a record of two trainings, also where the model names none.
        for hashes in [old, BTreeMap::new()] {
            let error = Provenance::of_model(folder, &hashes).unwrap_err();
            assert!(matches!(error, ProjectError::OtherModels { .. }), "{error}");
            assert!(error.to_string().contains("do not belong together"));
        }
    }

    #[test]
    fn what_changed_since_a_training_stopped_is_named() {
        let before = Provenance::new(
            "well",
            vec![
                met("a", Part::Train, 3),
                met("b", Part::Train, 5),
                met("c", Part::Test, 7),
            ],
        );
        assert_eq!(difference(&before, &before), None);
        let mut other = before.clone();
        other.fields[2].content = Content::default();
        assert_eq!(
            difference(&before, &other),
            None,
            "test fields teach nothing"
        );
        other.fields[1].content.nuclei = Some("12".to_owned());
        assert_eq!(
            difference(&before, &other).unwrap(),
            "the truth of 1 of 2 fields has changed (first: `b`)"
        );
        other.fields.remove(0);
        assert!(
            difference(&before, &other)
                .unwrap()
                .ends_with("`a` trains or validates no longer")
        );
    }
}
