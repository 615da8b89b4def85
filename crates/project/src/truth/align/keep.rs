//! What is kept of an alignment, for `prepare` (`align/shifts.json`) and for people
//! (`align/shifts.csv`).
//!
//! Each group names the fields that were looked at, and has a hash of their images and of the truth
//! that they were given: where that is another now, what was found says nothing about it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use stainfree_image::Field;

use super::weighed::{Alone, weighed};
use super::{Alignment, GroupLaid, Pool, Suspect, config_as_given};
use crate::study::config::ImagesConfig;
use crate::study::disk::{create_folder, remove};
use crate::study::fingerprint::{Fingerprint, stamp_of, stamp_of_file};
use crate::study::{Source, Study, table};
use crate::truth::files::TruthFiles;
use crate::{Job, ProjectError};

/// Changes whenever the same fields would give another estimate.
const FORMAT: u32 = 2;

/// A model that predicted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ModelUsed {
    pub(crate) name: String,
    pub(crate) hash: String,
}

/// A group, and what it was found from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct KeptGroup {
    /// What it says by itself.
    pub(crate) laid: GroupLaid,
    /// Whether truth and prediction fit at one place, however exactly it is known.
    pub(crate) fits: bool,
    /// Pixel size of its images.
    pub(crate) pixel_um: Option<f64>,
    pub(crate) suspects: Vec<Suspect>,
    /// Names of the fields that were looked at.
    pub(crate) fields: Vec<String>,
    /// The models that were asked for.
    #[serde(default)]
    pub(crate) models: Vec<ModelUsed>,
    /// Hash of their images and truth.
    pub(crate) inputs: String,
}

/// What `align/shifts.json` holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Kept {
    format: u32,
    /// Which fields are a group: `plate`, or a rule as in `split.group`.
    group: String,
    /// Largest uncertainty of what counts as certain, pixels.
    max_radius_px: f64,
    pub(crate) groups: Vec<KeptGroup>,
}

/// What every format says.
#[derive(Deserialize)]
struct Written {
    format: u32,
}

impl KeptGroup {
    /// Whether its fields and their truth are still those that were looked at.
    fn holds(&self, study: &Study, source: &Source, files: &TruthFiles) -> bool {
        let by_name = source.by_name();
        let fields = self.fields.iter();
        let fields: Option<Vec<&Field>> = fields
            .map(|name| by_name.get(name.as_str()).copied())
            .collect();
        let now = fields.map(|fields| inputs_of(study, source, files, &fields));
        now.is_some_and(|now| now.is_ok_and(|now| now == self.inputs))
    }
}

impl Kept {
    /// Of no group yet.
    pub(crate) fn new(pool: &Pool, max_radius_px: f64) -> Self {
        Self {
            format: FORMAT,
            group: pool.text().to_owned(),
            max_radius_px,
            groups: Vec::new(),
        }
    }

    /// What was kept in the study; none where nothing was.
    ///
    /// # Errors
    /// The file cannot be read, or is none of this version's.
    pub(crate) fn read(study: &Study) -> Result<Option<Self>, ProjectError> {
        let path = json_path(study);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(ProjectError::read(&path, &error)),
        };
        let damaged = |why: String| {
            ProjectError::Failed(format!(
                "`{}` cannot be used ({why}); run `stainfree align {}` again, or delete it to \
                 leave the truth where it is",
                path.display(),
                study.root().display()
            ))
        };
        let written: Written =
            serde_json::from_slice(&bytes).map_err(|e| damaged(e.to_string()))?;
        if written.format != FORMAT {
            let other = written.format;
            return Err(damaged(format!(
                "its format is `{other}`, and this program reads `{FORMAT}`"
            )));
        }
        let kept = serde_json::from_slice(&bytes).map_err(|e| damaged(e.to_string()))?;
        Ok(Some(kept))
    }

    /// What was found of a group from the same fields by the same models, if it was.
    pub(crate) fn same(
        &self,
        other: &Self,
        models: &[ModelUsed],
        inputs: &str,
    ) -> Option<&KeptGroup> {
        let mut groups = self.groups.iter().filter(|_| self.is_alike(other));
        groups.find(|group| group.models == models && group.inputs == inputs)
    }

    /// Whether groups of both mean the same.
    fn is_alike(&self, other: &Self) -> bool {
        (&self.group, self.max_radius_px) == (&other.group, other.max_radius_px)
    }

    /// Takes over the groups of the last run that this one has not looked at, as far as they still
    /// hold; says how many are forgotten.
    pub(crate) fn carry_over(
        &mut self,
        last: Self,
        study: &Study,
        source: &Source,
        files: &TruthFiles,
        job: &Job,
    ) {
        let alike = self.is_alike(&last);
        let name = |group: &KeptGroup| (group.laid.plate.clone(), group.laid.group.clone());
        let looked: BTreeSet<(String, String)> = self.groups.iter().map(name).collect();
        let others = last.groups.into_iter();
        let others = others.filter(|group| !alike || !looked.contains(&name(group)));
        let (held, forgotten): (Vec<KeptGroup>, Vec<KeptGroup>) =
            others.partition(|group| alike && group.holds(study, source, files));
        self.groups.extend(held);
        if let Some(first) = forgotten.first() {
            job.progress.note(&format!(
                "what was found before of {} group{} (first: `{}`) is forgotten: {}",
                forgotten.len(),
                if forgotten.len() == 1 { "" } else { "s" },
                first.laid.name(),
                match alike {
                    true => "images or truth are others now",
                    false => "fields were grouped or judged by another rule",
                }
            ));
        }
    }

    /// What is known of each group, given the others.
    pub(crate) fn laid(&self) -> Vec<GroupLaid> {
        let alone = self.groups.iter().map(|group| Alone {
            laid: &group.laid,
            fits: group.fits,
            pixel_um: group.pixel_um,
        });
        weighed(&alone.collect::<Vec<_>>())
    }

    /// Writes it, as JSON and as a table.
    ///
    /// # Errors
    /// The study cannot be written to.
    pub(crate) fn write(&self, study: &Study) -> Result<(), ProjectError> {
        create_folder(&study.root().join("align"))?;
        let text = serde_json::to_vec_pretty(self).map_err(|error| {
            ProjectError::NotMade(format!("the alignment cannot be kept: {error}"))
        })?;
        stainfree_image::write_atomic(&json_path(study), &text)?;
        table::write(&csv_path(study), &self.laid())
    }
}

/// Forgets what was kept; says whether there was anything.
///
/// # Errors
/// The files cannot be removed.
pub(crate) fn forget(study: &Study) -> Result<bool, ProjectError> {
    let path = json_path(study);
    let there = path.exists();
    for path in [path, csv_path(study), picture_path(study)] {
        remove(&path)?;
    }
    Ok(there)
}

fn json_path(study: &Study) -> PathBuf {
    study.root().join("align").join("shifts.json")
}

/// `align/shifts.csv`.
pub(crate) fn csv_path(study: &Study) -> PathBuf {
    study.root().join("align").join("shifts.csv")
}

/// `align/shifts.png`.
pub(crate) fn picture_path(study: &Study) -> PathBuf {
    study.root().join("align").join("shifts.png")
}

/// A hash of the images of fields and of the truth that they were given.
///
/// # Errors
/// A file is not there.
pub(crate) fn inputs_of(
    study: &Study,
    source: &Source,
    files: &TruthFiles,
    fields: &[&Field],
) -> Result<String, ProjectError> {
    let config = config_as_given(study).without_places();
    let images: &ImagesConfig = &config.images;
    let mut hash = Fingerprint::new(FORMAT);
    hash.value(images);
    hash.value(&config.truth);
    for field in fields {
        hash.text(&field.name);
        hash.value(&field.pixel_um);
        let brightfield = source.brightfield.planes_of(field)?;
        let brightfield = brightfield
            .into_iter()
            .filter_map(|(channel, z)| field.planes[channel][z].as_ref());
        let stain = source.nucleus.map(|channel| &field.planes[channel]);
        let planes = brightfield.chain(stain.into_iter().flatten().flatten());
        let given = files.nuclei_of(&field.name).map(stamp_of_file);
        let stamps = given.into_iter().chain(planes.map(stamp_of));
        hash.stamps(stamps.collect::<Result<_, _>>()?);
    }
    Ok(hash.finish())
}

impl Alignment {
    /// What was found in `study` and still holds; says what does not, and what else the study's
    /// choices make of it.
    ///
    /// # Errors
    /// What was kept cannot be read, or the images cannot be opened.
    pub(crate) fn find(study: &Study, job: &Job) -> Result<Self, ProjectError> {
        let Some(kept) = Kept::read(study)? else {
            return Ok(Self::default());
        };
        let source = study.source()?;
        let files = TruthFiles::find(study, &source.dataset)?;
        let mut kept = kept;
        let all = std::mem::take(&mut kept.groups).into_iter();
        let (groups, stale): (Vec<KeptGroup>, Vec<KeptGroup>) =
            all.partition(|group| group.holds(study, &source, &files));
        if let Some(first) = stale.first() {
            job.progress.note(&format!(
                "{} of {} groups (first: `{}`) have other images or truth than `stainfree align` \
                 looked at, and stay where they are; run `stainfree align {}` again",
                stale.len(),
                stale.len() + groups.len(),
                first.laid.name(),
                study.root().display()
            ));
        }
        // What no longer holds has no say in where others lie.
        kept.groups = groups;
        let suspects = kept.groups.iter().flat_map(|group| &group.suspects);
        let mut alignment = Self {
            pool: Pool::parse(&kept.group)?,
            suspects: suspects.map(|suspect| suspect.field.clone()).collect(),
            groups: kept.laid(),
        };
        alignment.give_way(study, job);
        alignment.remark_on_suspects(&source, study, job);
        alignment.remark_on_corrected(&source, &files, job);
        Ok(alignment)
    }

    /// Odd truth stays where it is.
    fn remark_on_suspects(&self, source: &Source, study: &Study, job: &Job) {
        let fields = source.dataset.fields.iter();
        let odd = fields.filter(|field| self.suspects.contains(&field.name));
        let is_moved = |field: &&Field| self.group_of(field).is_some_and(|g| g.shift().is_some());
        let odd: Vec<&Field> = odd.filter(is_moved).collect();
        if let Some(first) = odd.first() {
            job.progress.note(&format!(
                "the truth of {} field{} of groups that are moved is not (first: `{}`): `stainfree \
                 align` found it mirrored, elsewhere, or that of another field; correct what was \
                 given and run `stainfree align {}` again, or take the field out in `fields.csv`",
                odd.len(),
                if odd.len() == 1 { "" } else { "s" },
                first.name,
                study.root().display()
            ));
        }
    }

    /// Nuclei that a person drew stay where they were drawn.
    fn remark_on_corrected(&self, source: &Source, files: &TruthFiles, job: &Job) {
        let fields = source.dataset.fields.iter();
        let drawn = fields.filter(|field| files.corrected().contains_key(&field.name));
        let drawn: Vec<&Field> = drawn.filter(|field| self.of(field).is_some()).collect();
        if let Some(first) = drawn.first() {
            job.progress.note(&format!(
                "nuclei corrected by hand are not moved: {} field{} of groups that `stainfree \
                 align` moves (first: `{}`); look at {} overlay{}",
                drawn.len(),
                if drawn.len() == 1 { "" } else { "s" },
                first.name,
                if drawn.len() == 1 { "its" } else { "their" },
                if drawn.len() == 1 { "" } else { "s" },
            ));
        }
    }

    /// What a person has typed wins.
    fn give_way(&mut self, study: &Study, job: &Job) {
        let truth = &study.config().truth;
        let moves = self.groups.iter().any(|group| group.shift().is_some());
        let typed = match truth.nucleus.is_some() {
            true => truth.shift.typed_of_stains(),
            false => truth.shift.typed_of_labels(),
        };
        let Some(typed) = typed.filter(|_| moves) else {
            return;
        };
        job.progress.note(&format!(
            "the truth lies as `{typed}` of `[truth.shift]` says, and not as `stainfree align` has \
             found (`{}`)",
            csv_path(study).display()
        ));
        self.groups.clear();
    }
}
