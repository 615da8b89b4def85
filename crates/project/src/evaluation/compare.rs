//! `compare`: automatic labels beside labels corrected by hand, field by field.
//!
//! Here: pairing files, listing changes, the table as CSV. What counts as a change is in
//! [`stainfree_scores::edits`].

use std::path::{Path, PathBuf};

use serde::Serialize;
use stainfree_image::read_labels;
use stainfree_scores::{Change, Edit, edits};

use crate::evaluation::evaluate::{Pair, pairs};
use crate::study::Study;
use crate::study::each_field::EachField;
use crate::study::guard;
use crate::study::human::corrected;
use crate::truth::given::check_instances;
use crate::{Job, Part, ProjectError};

/// The changes of one field.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FieldEdits {
    /// Name of the field.
    pub name: String,
    /// All changes, unchanged nuclei included.
    pub edits: Vec<Edit>,
}

impl FieldEdits {
    /// How many changes of one kind there are.
    pub fn count(&self, change: Change) -> usize {
        self.edits
            .iter()
            .filter(|edit| edit.change == change)
            .count()
    }
}

/// What `compare` found.
#[derive(Clone, Debug)]
pub struct Compared {
    /// One entry a field, in the order of their names.
    pub fields: Vec<FieldEdits>,
    /// Fields that could not be compared: name and sentence.
    pub failed: Vec<(String, String)>,
    /// Anything a reader must know.
    pub messages: Vec<String>,
}

impl Compared {
    /// How many changes of one kind there are in all fields.
    pub fn count(&self, change: Change) -> usize {
        self.fields.iter().map(|field| field.count(change)).sum()
    }
}

/// Lists what changed in the nuclei of a study, for every field that was corrected.
///
/// # Errors
/// Nothing was corrected, `prepare` has not seen it yet, no field could be compared, or
/// [`ProjectError::Cancelled`].
pub fn compare_study(study: &Study, job: &Job) -> Result<Compared, ProjectError> {
    study.truth_must_be_still("compare")?;
    if let Some(line) = corrected::bring_over(study)? {
        job.progress.note(&line);
    }
    let folder = corrected::folder(study);
    let corrected = corrected::files(study)?;
    if corrected.is_empty() {
        return Err(ProjectError::NothingCorrected(format!(
            "`{}` holds no corrected labels; copy files of `{}` there and edit them",
            folder.display(),
            study.root().join("truth").join("nuclei").display()
        )));
    }
    let mut messages = Vec::new();
    let mut files = Vec::new();
    for (name, path) in corrected {
        let automatic = study.automatic_path(&name);
        match automatic.is_file() {
            true => files.push((name, path, automatic)),
            false => messages.push(format!(
                "`{}` is not part of the truth yet; run `stainfree prepare {}`",
                path.display(),
                study.root().display()
            )),
        }
    }
    if files.is_empty() {
        return Err(ProjectError::NothingCorrected(format!(
            "the corrections in `{}` are not part of the truth yet; run `stainfree prepare {}`",
            folder.display(),
            study.root().display()
        )));
    }
    let mut compared = compare_files(&files, messages, job)?;
    compared
        .messages
        .extend(test_fields(study, &compared.fields));
    Ok(compared)
}

/// Says how many corrected fields are kept for the test: scores of models are made on another truth
/// then than the one they were trained beside.
fn test_fields(study: &Study, corrected: &[FieldEdits]) -> Option<String> {
    let rows = study.fields().ok()?;
    let is_test = |name: &String| {
        let mut rows = rows.iter();
        rows.any(|row| row.name == *name && row.split == Some(Part::Test))
    };
    let test: Vec<&String> = corrected
        .iter()
        .map(|field| &field.name)
        .filter(|name| is_test(name))
        .collect();
    let first = test.first()?;
    Some(format!(
        "{} of {} corrected fields are kept for the test (first: `{first}`); `evaluate` says of \
         how many the truth has changed after a training",
        test.len(),
        corrected.len()
    ))
}

/// Lists what changed from `pair.prediction` (automatic) to `pair.truth` (corrected), for every
/// field that was corrected.
///
/// # Errors
/// Folders without a common name, no field that could be compared, or [`ProjectError::Cancelled`].
pub fn compare_labels(pair: &Pair, job: &Job) -> Result<Compared, ProjectError> {
    let mut messages = Vec::new();
    // Most automatic labels were never corrected.
    let (files, _) = pairs(pair, None, &mut messages)?;
    compare_files(&files, messages, job)
}

/// Compares files, each with the name of its field, corrected and automatic.
fn compare_files(
    files: &[(String, PathBuf, PathBuf)],
    messages: Vec<String>,
    job: &Job,
) -> Result<Compared, ProjectError> {
    let found = EachField::new(job, files, |(name, ..)| name.clone()).at_once(
        |(name, corrected, automatic)| {
            let name = name.clone();
            let edits = compare_field(automatic, corrected)?;
            Ok(Ok(FieldEdits { name, edits }))
        },
        |(name, ..), error| Ok(Err((name.clone(), error.to_string()))),
    )?;
    let mut compared = Compared {
        fields: Vec::new(),
        failed: Vec::new(),
        messages,
    };
    for result in found {
        match result {
            Ok(field) => compared.fields.push(field),
            Err(failure) => compared.failed.push(failure),
        }
    }
    Ok(compared)
}

fn compare_field(automatic: &Path, corrected: &Path) -> Result<Vec<Edit>, ProjectError> {
    let (before, after) = (read_labels(automatic)?, read_labels(corrected)?);
    for (path, labels) in [(automatic, &before), (corrected, &after)] {
        check_instances(path, labels, "give every nucleus a number of its own")?;
    }
    edits(&before, &after)
        .map_err(|error| ProjectError::Failed(format!("`{}`: {error}", corrected.display())))
}

/// Columns of the table of changes.
const COLUMNS: [&str; 9] = [
    "field",
    "change",
    "automatic",
    "corrected",
    "y_px",
    "x_px",
    "area_automatic_px",
    "area_corrected_px",
    "iou",
];

/// Refuses a place for the table of [`write_csv`] where another file lies.
///
/// # Errors
/// The file is no table of changes.
pub fn check_csv(path: &Path) -> Result<(), ProjectError> {
    let is_ours = |path: &Path| guard::is_table(path, &COLUMNS[..4]);
    Ok(guard::check_file(path, "table of `compare`", is_ours)?)
}

/// Writes every change but `unchanged` as a row: field, change, labels before and after (blanks
/// between several), centroid in px, areas in px, IoU.
///
/// # Errors
/// The file cannot be written.
pub fn write_csv(path: &Path, fields: &[FieldEdits]) -> Result<(), ProjectError> {
    let failed = |error: csv::Error| {
        ProjectError::NotMade(format!("`{}` cannot be made: {error}", path.display()))
    };
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(COLUMNS).map_err(failed)?;
    for field in fields {
        for edit in &field.edits {
            if edit.change != Change::Unchanged {
                writer
                    .write_record(row(&field.name, edit))
                    .map_err(failed)?;
            }
        }
    }
    let bytes = writer.into_inner().map_err(|error| {
        ProjectError::NotMade(format!("`{}` cannot be made: {error}", path.display()))
    })?;
    Ok(stainfree_image::write_atomic(path, &bytes)?)
}

fn row(field: &str, edit: &Edit) -> [String; 9] {
    let labels = |labels: &[u32]| {
        let words: Vec<String> = labels.iter().map(u32::to_string).collect();
        words.join(" ")
    };
    [
        field.to_owned(),
        edit.change.name().to_owned(),
        labels(&edit.before),
        labels(&edit.after),
        format!("{:.1}", edit.position.0),
        format!("{:.1}", edit.position.1),
        edit.area_before.to_string(),
        edit.area_after.to_string(),
        format!("{:.4}", edit.iou),
    ]
}
