//! Which files of a field's truth are as `prepare` made them.
//!
//! `truth/rows/NAME.json` holds a field's row, the key of all that it was made from, and a hash of
//! every file. It is deleted before one of them is rewritten and written after the last: whenever
//! the program is killed, a row that is there belongs to the files that are there. Pictures are
//! there or not, and nobody looks into them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use stainfree_image::Product;
use stainfree_image::store::TIFF;
use stainfree_network::model::sha256;

use crate::study::Study;
use crate::study::disk::remove;
use crate::study::fields::FieldRow;
use crate::study::finding::{Facts, Review};
use crate::{Job, ProjectError};

/// What of a field's truth is vouched for.
const VOUCHED: [Product; 4] = [
    Product::Classes,
    Product::Nuclei,
    Product::Automatic,
    Product::Cells,
];

/// Where changed files are kept.
const SET_ASIDE: &str = "set-aside";

/// A row of a version without hashes is written this much after its files at most.
const TOGETHER: Duration = Duration::from_secs(2);

/// A field's row, the key of all that it was made from, and its files.
#[derive(Serialize, Deserialize)]
pub(crate) struct Kept {
    key: String,
    pub(crate) row: FieldRow,
    pub(crate) mitosis: Vec<Review>,
    #[serde(default)]
    pub(crate) facts: Facts,
    /// SHA-256 of the field's file in each folder; rows of older versions have none.
    #[serde(default)]
    files: Option<BTreeMap<String, String>>,
}

/// What is there of a field before it is made.
pub(crate) enum Before {
    /// The same field from the same inputs, with every file as it was written.
    Same(Box<Kept>),
    /// Nothing, or something else.
    Other {
        /// Files that somebody has changed since the program wrote them.
        changed: Vec<PathBuf>,
    },
}

/// What was written of the field `name` when it was made last.
pub(crate) fn last(study: &Study, name: &str) -> Option<Kept> {
    serde_json::from_slice(&std::fs::read(row_path(study, name)).ok()?).ok()
}

/// Whether a row vouches for files of the field `name` that are all there, made of what `key` says
/// where that is given; nobody looks into them.
pub(crate) fn is_there(study: &Study, name: &str, key: Option<&str>) -> bool {
    let Some(kept) = last(study, name) else {
        return false;
    };
    let products = VOUCHED.into_iter();
    let mut expected = products.filter(|product| match &kept.files {
        Some(files) => files.contains_key(product.folder()),
        None => *product == Product::Classes,
    });
    key.is_none_or(|key| kept.key == key)
        && study.overlay_path(name).is_file()
        && expected.all(|product| study.truth().path(product, name).is_file())
}

/// Looks at the row and the files of the field `name`.
pub(crate) fn before(study: &Study, name: &str, key: &str) -> Before {
    let Some(kept) = last(study, name) else {
        // Without a row nothing is vouched for; beside a damaged one, what was changed since counts
        // as somebody's.
        let changed = changed_after(study, name);
        return Before::Other { changed };
    };
    let Some(files) = &kept.files else {
        let changed = changed_after(study, name);
        return Before::Other { changed };
    };
    let mut whole = study.overlay_path(name).is_file();
    let mut changed = Vec::new();
    for product in VOUCHED {
        let path = study.truth().path(product, name);
        match (std::fs::read(&path), files.get(product.folder())) {
            (Ok(bytes), Some(hash)) if sha256(&bytes) == *hash => {}
            (Ok(_), _) => changed.push(path),
            (Err(_), None) => {}
            (Err(_), Some(_)) => whole = false,
        }
    }
    if kept.key == key && whole && changed.is_empty() {
        return Before::Same(Box::new(kept));
    }
    Before::Other { changed }
}

/// The files that were changed well after the row was written: what a version without hashes left.
fn changed_after(study: &Study, name: &str) -> Vec<PathBuf> {
    let time = |path: &Path| path.metadata().ok()?.modified().ok();
    let Some(written) = time(&row_path(study, name)) else {
        return Vec::new();
    };
    VOUCHED
        .map(|product| study.truth().path(product, name))
        .into_iter()
        .filter(|path| time(path).is_some_and(|changed| changed > written + TOGETHER))
        .collect()
}

/// Takes a changed file out of the way instead of writing over it, and says where it is.
///
/// # Errors
/// The folder cannot be written to.
pub(crate) fn set_aside(study: &Study, path: &Path, job: &Job) -> Result<(), ProjectError> {
    let truth = study.root().join("truth");
    let inner = path.strip_prefix(&truth).unwrap_or(path);
    let first = truth.join(SET_ASIDE).join(inner);
    if let Some(folder) = first.parent() {
        std::fs::create_dir_all(folder).map_err(|error| ProjectError::write(folder, &error))?;
    }
    let stem = first.file_stem().unwrap_or_default().to_string_lossy();
    let numbered = (2..).map(|n| first.with_file_name(format!("{stem}-{n}.{TIFF}")));
    let target = std::iter::once(first.clone())
        .chain(numbered)
        .find(|target| !target.exists());
    let target = target.unwrap_or_else(|| first.clone());
    std::fs::rename(path, &target).map_err(|error| ProjectError::write(&target, &error))?;
    job.progress.note(&format!(
        "`{}` was changed since `prepare` made it and is made anew; the changed file is now `{}`, \
         and corrected nuclei belong into `{}`",
        path.display(),
        target.display(),
        study.resolve(&study.config().truth.corrected).display()
    ));
    Ok(())
}

/// Says that the files of the field `name` are about to change.
///
/// # Errors
/// The study cannot be written to.
pub(crate) fn begin_rewriting(study: &Study, name: &str) -> Result<(), ProjectError> {
    study.begin_rewriting()?;
    remove(&row_path(study, name))
}

/// Vouches for the files of a field as they are now.
///
/// # Errors
/// A file cannot be read again, or the row cannot be written.
pub(crate) fn vouch(
    study: &Study,
    key: String,
    row: FieldRow,
    mitosis: Vec<Review>,
    facts: Facts,
) -> Result<Kept, ProjectError> {
    let mut files = BTreeMap::new();
    for product in VOUCHED {
        let path = study.truth().path(product, &row.name);
        match std::fs::read(&path) {
            Ok(bytes) => drop(files.insert(product.folder().to_owned(), sha256(&bytes))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(ProjectError::read(&path, &error)),
        }
    }
    let kept = Kept {
        key,
        row,
        mitosis,
        facts,
        files: Some(files),
    };
    let text = serde_json::to_vec_pretty(&kept).map_err(|error| {
        ProjectError::Failed(format!(
            "the row of field `{}` cannot be kept: {error}",
            kept.row.name
        ))
    })?;
    stainfree_image::write_atomic(&row_path(study, &kept.row.name), &text)?;
    Ok(kept)
}

fn row_path(study: &Study, name: &str) -> PathBuf {
    let rows = study.root().join("truth").join("rows");
    rows.join(format!("{name}.json"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::config::FILE_NAME;

    /// A study with one field whose files are bytes.
    fn study() -> (tempfile::TempDir, Study, FieldRow) {
        let folder = tempfile::tempdir().unwrap();
        let config = "[images]\npath = \"images\"\nbrightfield = [\"BF\"]\n\
                      [truth]\nnucleus = \"DAPI\"\nclasses = [\"background\", \"nucleus\"]\n";
        std::fs::write(folder.path().join(FILE_NAME), config).unwrap();
        let study = Study::open(folder.path()).unwrap();
        for inner in ["classes", "nuclei", "overlays", "rows"] {
            std::fs::create_dir_all(folder.path().join("truth").join(inner)).unwrap();
        }
        for path in [study.class_mask_path("f"), study.nuclei_path("f")] {
            std::fs::write(path, "as made").unwrap();
        }
        std::fs::write(study.overlay_path("f"), "picture").unwrap();
        let row = FieldRow::left_out("f", "g", String::new());
        (folder, study, row)
    }

    fn put(study: &Study, row: &FieldRow) {
        let facts = Facts::default();
        vouch(study, "a".into(), row.clone(), Vec::new(), facts).unwrap();
    }

    fn is_same(study: &Study, key: &str) -> bool {
        matches!(before(study, "f", key), Before::Same(_))
    }

    #[test]
    fn a_row_vouches_for_these_files_of_these_inputs_only() {
        let (_folder, study, row) = study();
        assert!(!is_same(&study, "a"));
        put(&study, &row);
        assert!(is_same(&study, "a"));
        assert!(!is_same(&study, "b"));
        // Cells that another config has left are no part of it.
        std::fs::create_dir_all(study.root().join("truth/cells")).unwrap();
        std::fs::write(study.cells_path("f"), "stale").unwrap();
        assert!(!is_same(&study, "a"));
        std::fs::remove_file(study.cells_path("f")).unwrap();
        assert!(is_same(&study, "a"));
        std::fs::remove_file(study.overlay_path("f")).unwrap();
        assert!(!is_same(&study, "a"));
    }

    #[test]
    fn what_is_rewritten_is_vouched_for_by_nothing_meanwhile() {
        let (_folder, study, row) = study();
        put(&study, &row);
        begin_rewriting(&study, "f").unwrap();
        // Killed here, with the masks of another config: going back finds no row.
        std::fs::write(study.class_mask_path("f"), "of another config").unwrap();
        assert!(!is_same(&study, "a"));
        let text = study.fields().unwrap_err().to_string();
        assert!(text.contains("half prepared"), "{text}");
        study.end_rewriting().unwrap();
        assert!(!study.is_half_prepared());
    }

    #[test]
    fn a_file_that_a_person_changed_is_set_aside_and_never_lost() {
        let (_folder, study, row) = study();
        let (silent, cancel) = (crate::Silent, crate::Cancel::new());
        let machine = stainfree_network::Machine::new(1);
        let job = Job::new(&silent, &cancel, &machine);
        for changed in ["by hand", "again"] {
            std::fs::write(study.nuclei_path("f"), "as made").unwrap();
            put(&study, &row);
            std::fs::write(study.nuclei_path("f"), changed).unwrap();
            // Whether or not the inputs are the same as well.
            let Before::Other { changed } = before(&study, "f", changed) else {
                panic!("it is not the same");
            };
            assert_eq!(changed, [study.nuclei_path("f")]);
            set_aside(&study, &changed[0], &job).unwrap();
            assert!(!study.nuclei_path("f").exists());
        }
        let aside = study.root().join("truth/set-aside/nuclei");
        let text = |name: &str| std::fs::read_to_string(aside.join(name)).unwrap();
        assert_eq!(
            (text("f.tif"), text("f-2.tif")),
            ("by hand".into(), "again".into())
        );
    }

    #[test]
    fn rows_of_older_versions_are_made_again_and_later_changes_noticed() {
        let (_folder, study, row) = study();
        put(&study, &row);
        let path = row_path(&study, "f");
        let mut kept: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        kept.as_object_mut().unwrap().remove("files");
        std::fs::write(&path, kept.to_string()).unwrap();
        let found = before(&study, "f", "a");
        assert!(matches!(found, Before::Other { changed } if changed.is_empty()));
        let nuclei = std::fs::File::options()
            .write(true)
            .open(study.nuclei_path("f"))
            .unwrap();
        let later = std::time::SystemTime::now() + Duration::from_secs(60);
        nuclei.set_modified(later).unwrap();
        let Before::Other { changed } = before(&study, "f", "a") else {
            panic!("it is not the same");
        };
        assert_eq!(changed, [study.nuclei_path("f")]);
    }
}
