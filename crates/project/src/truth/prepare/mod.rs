//! `prepare`: truth, labels and overlays of every field, the split, and `fields.csv`.
//!
//! Fields are independent: each is made on one thread, and its row is kept in
//! `truth/rows/NAME.json` under a key of everything it was made from, with a hash of every file it
//! vouches for. So a second run, or one after an interruption, only makes what is missing or
//! changed. A row is deleted before its files are rewritten and written after them; while any field
//! is rewritten, `truth/unfinished` says so to everyone who reads `fields.csv`.

mod field;
mod known;
mod remarks;
mod row;
mod shared;
mod typed;
mod written;

use std::collections::BTreeMap;

use stainfree_image::marker::{self, Kind, Marker};
use stainfree_image::{Field, Product};

use self::field::{FieldInputs, Outcome, one_field};
use self::known::Known;
use self::remarks::{remark_on_empty, remark_on_shared_places};
pub(crate) use self::shared::states;
pub use self::shared::{PreparedShard, join, prepare_shard};
use self::typed::{exclude, take_out_late, take_out_typed, take_over_typed};
use self::written::Written;
use crate::study::disk::create_folder;
use crate::study::each_field::EachField;
use crate::study::fields::{self, FieldRow};
use crate::study::finding::Review;
use crate::study::guard::Inputs;
use crate::study::human::corrected;
use crate::study::human::excluded::{self, Exclusion};
use crate::study::human::fit::{self, Seen};
use crate::study::human::{self, Stamp};
use crate::study::split::{Part, split_further};
use crate::study::split_record;
use crate::study::vouched;
use crate::study::{Source, Study};
use crate::truth::align::{AlignSummary, Alignment};
use crate::truth::files::TruthFiles;
use crate::truth::fixes::StainFixes;
use crate::truth::light::{Lights, PlateLight};
use crate::truth::mitosis::{self, Decisions};
use crate::truth::sheet;
use crate::truth::shift::{self, ShiftSummary, Shifts};
use crate::{GroupRule, Job, ProjectError};

/// What `prepare` did.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// One row a field, as in `fields.csv`.
    pub rows: Vec<FieldRow>,
    /// Fields that were made now.
    pub made: usize,
    /// Fields that had not changed.
    pub kept: usize,
    /// Fields that failed: name and sentence.
    pub failed: Vec<(String, String)>,
    /// The flat field of each stain and plate; empty where it is not looked for or the fields are
    /// too few.
    pub lights: Vec<PlateLight>,
    /// The shift of each stain; empty where it is not looked for.
    pub shifts: Vec<ShiftSummary>,
    /// What the truth was moved by because `align` had found it; none where nothing was.
    pub aligned: Option<AlignSummary>,
}

impl Prepared {
    /// Nuclei of the usable fields that the truth calls mitotic; `None` where they are not looked
    /// for.
    pub fn mitotic(&self) -> Option<usize> {
        let looked_for = self.rows.iter().any(|row| row.mitotic.is_some());
        let usable = self.rows.iter().filter(|row| row.is_usable());
        looked_for.then(|| usable.filter_map(|row| row.mitotic).sum())
    }

    /// Pixels of the usable fields that are ignored, and all of their pixels.
    pub fn ignored_pixels(&self) -> (u64, u64) {
        let usable = self.rows.iter().filter(|row| row.is_usable());
        usable.fold((0, 0), |(ignored, all), row| {
            let pixels = (row.height * row.width) as u64;
            (
                ignored + (row.ignored_share * pixels as f64).round() as u64,
                all + pixels,
            )
        })
    }

    /// Number of usable fields in a part of the split.
    pub fn count(&self, part: Part) -> usize {
        self.rows
            .iter()
            .filter(|row| row.split == Some(part))
            .count()
    }
}

/// Prepares the study: only what is new or changed since the last time.
///
/// A field that cannot be read or has wrong truth is reported, left out and counted; the rest goes
/// on. What people decided is read from the study's folder `human`; decisions that no longer fit
/// are reported.
///
/// # Errors
/// Images or truth folders that cannot be opened, nothing usable at all, a disk that cannot be
/// written to, or [`ProjectError::Cancelled`].
pub fn prepare(study: &Study, job: &Job) -> Result<Prepared, ProjectError> {
    alone(study, job, |job| prepare_variant(study, study, job))
}

/// [`prepare`] with mitotic nuclei as a class of their own, from now on: `stainfree.toml` says so
/// once nothing stands in the way of preparing. Gives the study as it is then.
///
/// # Errors
/// As [`prepare`]; and the study's sources do not allow the class.
pub fn prepare_with_mitosis(study: &Study, job: &Job) -> Result<(Study, Prepared), ProjectError> {
    alone(study, job, |job| {
        let Some((wanted, text)) = mitosis::enabled(study)? else {
            return Ok((study.clone(), prepare_variant(study, study, job)?));
        };
        let given = Given::find(&wanted, &wanted, job)?;
        stainfree_image::write_atomic(&study.config_path(), text.as_bytes())?;
        let prepared = make(&wanted, &wanted, given, job)?;
        Ok((wanted, prepared))
    })
}

/// Work on a truth that nobody else makes and that no training reads.
fn alone<T>(
    study: &Study,
    job: &Job,
    work: impl FnOnce(&Job) -> Result<T, ProjectError>,
) -> Result<T, ProjectError> {
    let way_out = "wait until it ends, then prepare again";
    // Before, so that no shard meets a lease that is given up at once; after, since one may have
    // begun in between.
    study.fields_for("prepare").must_be_free(way_out)?;
    let lease = study.truth_for("prepare").own(way_out, job.cancel)?;
    study.fields_for("prepare").must_be_free(way_out)?;
    study.no_training_may_run()?;
    lease.during(job, work)
}

/// What truth is made of, found and looked over before anything is written.
struct Given {
    source: Source,
    files: TruthFiles,
    rule: GroupRule,
    decisions: Decisions,
    /// Fields that a person took out.
    excluded: BTreeMap<String, Exclusion>,
    /// What the last run wrote into `fields.csv`.
    written: Written,
}

impl Given {
    /// As [`prepare_variant`].
    fn find(study: &Study, base: &Study, job: &Job) -> Result<Self, ProjectError> {
        Self::of(study, base, study.source()?, job)
    }

    /// [`find`](Self::find) of images that are found already.
    fn of(study: &Study, base: &Study, source: Source, job: &Job) -> Result<Self, ProjectError> {
        for problem in &source.dataset.problems {
            job.progress.note(problem);
        }
        let files = TruthFiles::find(study, &source.dataset)?;
        spare_inputs(study, &source, &files)?;
        Ok(Self {
            files,
            rule: GroupRule::parse(&study.config().split.group)?,
            decisions: Decisions::find(base)?,
            excluded: excluded::in_force(base)?,
            written: Written::find(study)?,
            source,
        })
    }
}

/// Prepares a variant of `base`: other planes, other classes, another split of the same images.
/// Where stains are moved and what people decided is as in `base`, so that variants have the same
/// truth.
///
/// # Errors
/// As [`prepare`].
pub(crate) fn prepare_variant(
    study: &Study,
    base: &Study,
    job: &Job,
) -> Result<Prepared, ProjectError> {
    make(study, base, Given::find(study, base, job)?, job)
}

/// What is found in a whole plate before its fields are made.
struct Plates {
    lights: Lights,
    shifts: Shifts,
    alignment: Alignment,
}

impl Plates {
    /// Finds it, or takes what was found last time, and takes over what people typed since: all
    /// that has to be the same for every field.
    fn find(
        study: &Study,
        base: &Study,
        given: &mut Given,
        job: &Job,
    ) -> Result<Self, ProjectError> {
        // Tables that people fill in are the study's own affair: a variant only reads them.
        let own = study.root() == base.root();
        if own && let Some(line) = corrected::bring_over(study)? {
            job.progress.note(&line);
            given.files = TruthFiles::find(study, &given.source.dataset)?;
        }
        given.remark_on_files(job);
        begin(study)?;
        let plates = Self {
            lights: Lights::find(study, &given.source, job)?,
            shifts: Shifts::find(base, study, job)?,
            alignment: Alignment::find(base, job)?,
        };
        if own {
            given.take_over(study, job)?;
        }
        Ok(plates)
    }
}

/// Makes the truth of what is given.
fn make(
    study: &Study,
    base: &Study,
    mut given: Given,
    job: &Job,
) -> Result<Prepared, ProjectError> {
    let plates = Plates::find(study, base, &mut given, job)?;
    make_all(study, base, given, &plates, job)
}

/// Makes the truth of all fields of these plates, and what is said of all of them.
fn make_all(
    study: &Study,
    base: &Study,
    mut given: Given,
    plates: &Plates,
    job: &Job,
) -> Result<Prepared, ProjectError> {
    let own = study.root() == base.root();
    let was_ended_early = study.is_half_prepared();
    let Plates {
        lights,
        shifts,
        alignment,
    } = plates;
    let known = Known::of(study, &given.files)?;
    let fields: Vec<&Field> = given.source.dataset.fields.iter().collect();
    let mut outcomes = make_fields(study, &given, plates, &fields, job)?;
    if own {
        // What was typed while this ran.
        take_out_typed(study, &given.written, &mut given.excluded, job)?;
    }
    for outcome in &mut outcomes {
        if let Some(exclusion) = given.excluded.get(&outcome.row.name) {
            exclude(&mut outcome.row, exclusion);
        }
    }
    if own {
        known.record(study, &given.files, &outcomes, job.who)?;
        given.remark_on_misfits(study, &outcomes, job)?;
    }
    let (mut prepared, mut mitoses) = Prepared::of(outcomes, &given.decisions);
    prepared.lights = lights.all().to_vec();
    let fields = &given.source.dataset.fields;
    prepared.aligned = AlignSummary::of(alignment, fields, |field| {
        let (truth, laid) = (&study.config().truth, alignment.of(field)?);
        StainFixes::of(lights, shifts, alignment, truth, field).laid_by(&laid)
    });
    prepared.shifts = ShiftSummary::of(shifts.all());
    assign_parts(study, base, &mut prepared.rows, job)?;
    let source = &given.source;
    if own {
        remark_on_shared_places(&source.dataset.fields, &prepared.rows, job)?;
    }
    if prepared.made > 0 || was_ended_early {
        sheet::draw(study, source, &prepared.rows)?;
        let by_name = source.by_name();
        let laid = |row: &&FieldRow| {
            let field = by_name.get(row.name.as_str());
            field.is_none_or(|field| alignment.of(field).is_none())
        };
        let others: Vec<FieldRow> = prepared.rows.iter().filter(laid).cloned().collect();
        shift::draw(study, source, shifts, &others)?;
    }
    if study.config().truth.mitosis.find {
        if own {
            take_over_typed(study, source, &mut mitoses, job)?;
        }
        mitosis::write(study, source, mitoses)?;
    }
    if own {
        let rows = &mut prepared.rows;
        take_out_late(study, &given.written, &mut given.excluded, rows, job)?;
    }
    fields::write(&study.root().join(fields::FILE_NAME), &prepared.rows)?;
    study.end_rewriting()?;
    remark_on_empty(&prepared.rows, job);
    some_is_usable(study, &prepared.rows)?;
    Ok(prepared)
}

impl Given {
    /// All that a field may be made of.
    fn inputs<'a>(&'a self, study: &'a Study, plates: &'a Plates) -> FieldInputs<'a> {
        FieldInputs {
            study,
            source: &self.source,
            files: &self.files,
            plates,
            decisions: &self.decisions,
            rule: &self.rule,
        }
    }

    /// Says which truth files belong to no field.
    fn remark_on_files(&self, job: &Job) {
        for path in self.files.strangers(&self.source.dataset.fields) {
            job.progress.note(&format!(
                "`{}` has the name of no field and corrects nothing",
                path.display()
            ));
        }
        for sentence in self.files.unused() {
            job.progress.note(sentence);
        }
    }

    /// Takes over what people typed into the study's tables since the last run.
    fn take_over(&mut self, study: &Study, job: &Job) -> Result<(), ProjectError> {
        let image = |name: &str| image_of(study, &self.source, name);
        let taken = self
            .decisions
            .take_over(study, &Stamp::now(job.who), image)?;
        if taken > 0 {
            job.progress.note(&format!(
                "{taken} decision{} on nuclei taken over into `{}`",
                if taken == 1 { "" } else { "s" },
                human::mitosis::path(study).display()
            ));
        }
        take_out_typed(study, &self.written, &mut self.excluded, job)
    }

    /// Says which decisions no longer fit what they were made on.
    fn remark_on_misfits(
        &self,
        study: &Study,
        outcomes: &[Outcome],
        job: &Job,
    ) -> Result<(), ProjectError> {
        let corrections = corrected::last(study)?;
        let seen: Vec<Seen> = outcomes.iter().map(Outcome::seen).collect();
        let decisions = self.decisions.all();
        for note in fit::notes(study, decisions, &self.excluded, &corrections, &seen) {
            job.progress.note(&note);
        }
        Ok(())
    }
}

/// Marks the study's folder as one, and makes the folders of its truth.
fn begin(study: &Study) -> Result<(), ProjectError> {
    if marker::read(study.root()).is_none() {
        marker::write(study.root(), &Marker::new("prepare", Kind::Study))?;
    }
    let kept = [
        Product::Classes,
        Product::Nuclei,
        Product::Cells,
        Product::Automatic,
        Product::Overlays,
    ];
    let kept = kept.map(|product| study.truth().folder(product));
    for path in kept.into_iter().chain([study.root().join("truth/rows")]) {
        create_folder(&path)?;
    }
    Ok(())
}

/// Makes those of the fields that are not as their inputs would make them.
fn make_fields(
    study: &Study,
    given: &Given,
    plates: &Plates,
    fields: &[&Field],
    job: &Job,
) -> Result<Vec<Outcome>, ProjectError> {
    let inputs = given.inputs(study, plates);
    EachField::new(job, fields, |field| field.name.clone()).at_once(
        |field| one_field(&inputs, field, job),
        // What is wrong with one field is in its row; this is wrong with all.
        |_, error| Err(error),
    )
}

impl Prepared {
    /// What became of the fields, and the candidates for mitosis among their nuclei.
    fn of(outcomes: Vec<Outcome>, decisions: &Decisions) -> (Self, Vec<Review>) {
        let mut prepared = Self {
            rows: Vec::with_capacity(outcomes.len()),
            made: 0,
            kept: 0,
            failed: Vec::new(),
            lights: Vec::new(),
            shifts: Vec::new(),
            aligned: None,
        };
        let mut mitoses = Vec::new();
        for outcome in outcomes {
            prepared.made += usize::from(outcome.made && outcome.failed.is_none());
            prepared.kept += usize::from(!outcome.made);
            if outcome.failed.is_some() {
                mitoses.extend(decisions.listed(&outcome.row.name));
            } else if outcome.row.is_usable() {
                // What is found in a field without a usable stain is noise.
                mitoses.extend(outcome.mitosis);
            }
            let failed = outcome.failed;
            let failed = failed.map(|sentence| (outcome.row.name.clone(), sentence));
            prepared.failed.extend(failed);
            prepared.rows.push(outcome.row);
        }
        (prepared, mitoses)
    }
}

/// Refuses a study without a usable field.
fn some_is_usable(study: &Study, rows: &[FieldRow]) -> Result<(), ProjectError> {
    if rows.iter().any(FieldRow::is_usable) {
        return Ok(());
    }
    let first = rows.first();
    let first = first.map_or("there are none".to_owned(), |row| {
        format!("`{}`: {}", row.name, row.remarks)
    });
    Err(ProjectError::Failed(format!(
        "no field of `{}` is usable ({first}); see `{}`",
        study.root().display(),
        study.root().join(fields::FILE_NAME).display()
    )))
}

/// Refuses to write truth over the images or the truth that it is made of.
fn spare_inputs(study: &Study, source: &Source, files: &TruthFiles) -> Result<(), ProjectError> {
    let mut inputs = Inputs::of(std::slice::from_ref(&source.dataset));
    let names = || {
        source
            .dataset
            .fields
            .iter()
            .map(|field| field.name.as_str())
    };
    names()
        .flat_map(|name| files.of(name))
        .for_each(|path| inputs.add(path));
    let way_out = "name images and truth outside of the study's `truth` in `stainfree.toml`";
    for name in names() {
        for output in [
            study.class_mask_path(name),
            study.nuclei_path(name),
            study.cells_path(name),
            study.automatic_path(name),
            study.overlay_path(name),
        ] {
            inputs.spare(&output, way_out)?;
        }
    }
    Ok(())
}

/// What the image of a field is recognised by: as the last run found it, since that is what a
/// person looked at; else as it is now. Empty where it cannot be told.
fn image_of(study: &Study, source: &Source, name: &str) -> String {
    match vouched::last(study, name) {
        Some(kept) if !kept.facts.image.is_empty() => kept.facts.image,
        _ => human::content_of(source, name).unwrap_or_default(),
    }
}

/// Gives every usable field its part of the split: the one that its group has already, as long as
/// `[split]` says the same.
fn assign_parts(
    study: &Study,
    base: &Study,
    rows: &mut [FieldRow],
    job: &Job,
) -> Result<(), ProjectError> {
    let split = &study.config().split;
    let groups: Vec<String> = rows
        .iter()
        .filter(|row| row.is_usable())
        .map(|row| row.group.clone())
        .collect();
    let kept = split_record::kept(study, base)?;
    let parts: BTreeMap<String, Part> = if groups.is_empty() {
        BTreeMap::new()
    } else {
        split_further(&groups, &split.rule(), &kept)?
    };
    for row in rows.iter_mut() {
        row.split = if row.is_usable() {
            parts.get(&row.group).copied()
        } else {
            None
        };
    }
    if study.root() != base.root() {
        return Ok(());
    }
    let moved = split_record::moved_to_test(&study.root().join(fields::FILE_NAME), rows)?;
    if moved > 0 {
        job.progress.note(&format!(
            "{moved} field{} that trained or validated {} kept for the test now; models that have \
             met them are not scored on them",
            if moved == 1 { "" } else { "s" },
            if moved == 1 { "is" } else { "are" },
        ));
    }
    // A fold is a passing state of the study: its parts are not those of the groups.
    if split.fold.is_none() {
        split_record::write(study, kept, &parts)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
