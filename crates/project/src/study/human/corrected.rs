//! Nuclei corrected by hand: label images in `human/corrected`, and `human/corrected.csv`, which
//! keeps since when a field has which.
//!
//! Earlier versions had these images in `truth/corrected`, a folder of what the program makes;
//! [`bring_over`] moves what lies there. Where the study cannot be written to, they are read from
//! there.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use stainfree_image::{ImageError, is_image_name, read_labels};

use super::{Stamp, content_of_labels, ledger};
use crate::ProjectError;
use crate::study::Study;
use crate::study::config::CORRECTED;
use crate::study::names;

/// Name of the table.
pub const FILE_NAME: &str = "corrected.csv";

/// Its columns.
const TITLES: [&str; 5] = ["field", "labels", "image", "who", "when"];

/// ... and where earlier versions had it.
const EARLIER_PLACE: &str = "truth/corrected";

/// A row of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Correction {
    /// Name of the field.
    pub field: String,
    /// [`content_of_labels`] of the corrected nuclei, numbered without gaps; empty: the correction
    /// was taken away.
    pub labels: String,
    /// What the image was ([`content`](super::content)).
    pub image: String,
    /// Who ran `prepare` when it was first seen.
    pub who: String,
    /// When that was; in UTC, as [`Stamp::when`].
    pub when: String,
}

/// Where the table lies.
pub fn path(study: &Study) -> PathBuf {
    super::folder(study).join(FILE_NAME)
}

/// All rows, the oldest first.
///
/// # Errors
/// The table cannot be read.
pub fn read(study: &Study) -> Result<Vec<Correction>, ProjectError> {
    let table = ledger::read(&path(study), &["field", "labels", "when"])?;
    let rows = table.rows.iter().map(|row| {
        let cell = |title: &str| {
            let column = table.column(title);
            column.map_or("", |i| row.cell(i)).to_owned()
        };
        Correction {
            field: cell("field"),
            labels: cell("labels"),
            image: cell("image"),
            who: cell("who"),
            when: cell("when"),
        }
    });
    Ok(rows.collect())
}

/// The last row of every field.
///
/// # Errors
/// As [`read`].
pub fn last(study: &Study) -> Result<BTreeMap<String, Correction>, ProjectError> {
    let rows = read(study)?.into_iter();
    Ok(rows.map(|row| (row.field.clone(), row)).collect())
}

/// Adds rows, each as it is.
pub(crate) fn append(study: &Study, rows: &[Correction]) -> Result<(), ProjectError> {
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let cells = [&row.field, &row.labels, &row.image, &row.who, &row.when];
            cells.map(String::clone).to_vec()
        })
        .collect();
    ledger::append(&path(study), &TITLES, &rows)
}

/// When the label image of a field was corrected, as far as its file tells.
pub(crate) fn stamp_of_file(path: &Path, who: &str) -> Stamp {
    let time = std::fs::metadata(path).and_then(|facts| facts.modified());
    time.map_or_else(|_| Stamp::now(who), |time| Stamp::at(who, time))
}

/// Whether the study keeps corrected nuclei where the program puts them, and not in a folder that
/// the user chose.
fn is_usual(study: &Study) -> bool {
    let chosen = study.config().truth.corrected.as_path();
    [CORRECTED, EARLIER_PLACE].map(Path::new).contains(&chosen)
}

/// The folder that corrected nuclei belong in.
pub fn folder(study: &Study) -> PathBuf {
    match is_usual(study) {
        true => study.root().join(CORRECTED),
        false => study.resolve(&study.config().truth.corrected),
    }
}

/// The folder that holds them now, as `truth.corrected` would name it: in an old study that cannot
/// be written to, the earlier one.
pub(crate) fn place_in_use(study: &Study) -> PathBuf {
    let holds = |place: &str| study.root().join(place).is_dir();
    match is_usual(study) {
        true if !holds(CORRECTED) && holds(EARLIER_PLACE) => PathBuf::from(EARLIER_PLACE),
        true => PathBuf::from(CORRECTED),
        false => study.config().truth.corrected.clone(),
    }
}

/// The corrected label images by the name of their field.
///
/// # Errors
/// A folder that cannot be read, or two files for one field.
pub fn files(study: &Study) -> Result<BTreeMap<String, PathBuf>, ProjectError> {
    let mut files = files_in(&folder(study))?;
    if is_usual(study) {
        // What could not be moved is what a person put there last.
        files.extend(files_in(&study.root().join(EARLIER_PLACE))?);
    }
    Ok(files)
}

fn files_in(folder: &Path) -> Result<BTreeMap<String, PathBuf>, ProjectError> {
    if !folder.is_dir() {
        return Ok(BTreeMap::new());
    }
    let mut files = match names::truth_files(folder) {
        Err(ProjectError::Image(ImageError::NoImages { .. })) => BTreeMap::new(),
        files => files?,
    };
    // Where some names have an ending such as `_labels`, those without are corrections as well.
    let entries = std::fs::read_dir(folder).map_err(|error| ProjectError::read(folder, &error))?;
    let mut others: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
    others.sort();
    for path in others {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        if is_image_name(&path) && files.values().all(|known| *known != path) {
            files.entry(stem.into_owned()).or_insert(path);
        }
    }
    Ok(files)
}

/// Moves label images from `truth/corrected` to `human/corrected`; what it did, in one line.
///
/// A file that lies at the new place already and differs is kept in `human/earlier`. Each file is
/// moved in one step, so that an interrupted move is finished by the next. A study that cannot be
/// written to is left as it is.
///
/// # Errors
/// Two files for one field, or a file that vanishes.
pub fn bring_over(study: &Study) -> Result<Option<String>, ProjectError> {
    let earlier = study.root().join(EARLIER_PLACE);
    if !is_usual(study) {
        return Ok(None);
    }
    let found = files_in(&earlier)?;
    if found.is_empty() {
        return Ok(None);
    }
    let place = folder(study);
    if std::fs::create_dir_all(&place).is_err() {
        return Ok(None);
    }
    let there = files_in(&place)?;
    let mut moved = 0;
    for (name, path) in &found {
        if let Some(old) = there.get(name)
            && !set_aside(study, name, old, path)?
        {
            return Ok(None);
        }
        let ending = path.extension().unwrap_or_default().to_string_lossy();
        match std::fs::rename(path, place.join(format!("{name}.{ending}"))) {
            Ok(()) => moved += 1,
            // Another program was faster.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(_) => return Ok(None),
        }
    }
    Ok((moved > 0).then(|| {
        let images = if moved == 1 { "image" } else { "images" };
        format!(
            "{moved} label {images} corrected by hand moved from `{}` to `{}`, where they belong",
            earlier.display(),
            place.display()
        )
    }))
}

/// Keeps the corrected nuclei at `old` in `human/earlier` before `new` takes their place; nothing
/// to keep where both are the same. `false` where the folder cannot be written to.
fn set_aside(study: &Study, name: &str, old: &Path, new: &Path) -> Result<bool, ProjectError> {
    let (Ok(kept), Ok(coming)) = (std::fs::read(old), std::fs::read(new)) else {
        return Ok(true);
    };
    let folder = super::folder(study).join("earlier");
    let ending = old.extension().unwrap_or_default().to_string_lossy();
    if kept != coming {
        if std::fs::create_dir_all(&folder).is_err() {
            return Ok(false);
        }
        let content = read_labels(old).map_or("unreadable".to_owned(), |l| content_of_labels(&l));
        let copy = folder.join(format!("{name}.{content}.{ending}"));
        stainfree_image::write_atomic(&copy, &kept)?;
    }
    // Another name would make two files of one field.
    if old.file_stem() != Some(name.as_ref()) || old.extension() != new.extension() {
        std::fs::remove_file(old).map_err(|error| ProjectError::write(old, &error))?;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use stainfree_image::{Image, write};

    use super::*;

    /// A study whose choices say `more` beyond what must be said, and its folder.
    fn study(more: &str) -> (tempfile::TempDir, Study) {
        let root = tempfile::tempdir().unwrap();
        let choices = format!(
            "[images]\npath = \".\"\nbrightfield = [\"BF\"]\n[truth]\nnucleus = \"DAPI\"\n\
             classes = [\"background\", \"nucleus\"]\n{more}"
        );
        std::fs::write(root.path().join("stainfree.toml"), choices).unwrap();
        let study = Study::open(root.path()).unwrap();
        (root, study)
    }

    /// A label image whose one object has this number.
    fn put(study: &Study, place: &str, number: u32) {
        let path = study.root().join(place);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let note = write::Note {
            text: String::new(),
            pixel_um: None,
        };
        write::labels(&path, &Image::new(1, 2, vec![0, number]), &note).unwrap();
    }

    /// Path and number of every corrected label image.
    fn found(study: &Study) -> Vec<(String, String, u32)> {
        let files = files(study).unwrap().into_iter();
        files
            .map(|(name, path)| {
                let number = read_labels(&path).unwrap().get(0, 1);
                let path = path.strip_prefix(study.root()).unwrap();
                (name, path.to_string_lossy().replace('\\', "/"), number)
            })
            .collect()
    }

    fn expect(found_now: Vec<(String, String, u32)>, expected: &[(&str, &str, u32)]) {
        let expected = expected
            .iter()
            .map(|&(n, p, v)| (n.to_owned(), p.to_owned(), v));
        assert_eq!(found_now, expected.collect::<Vec<_>>());
    }

    #[test]
    fn what_earlier_versions_had_in_truth_is_moved_and_said_in_one_line() {
        for choice in ["", "corrected = \"truth/corrected\"\n"] {
            let (_root, study) = study(choice);
            assert_eq!(bring_over(&study).unwrap(), None);
            put(&study, "truth/corrected/a_labels.tif", 1);
            put(&study, "truth/corrected/b.tif", 2);
            expect(
                found(&study),
                &[
                    ("a", "truth/corrected/a_labels.tif", 1),
                    ("b", "truth/corrected/b.tif", 2),
                ],
            );
            let said = bring_over(&study).unwrap().unwrap();
            assert!(
                said.starts_with("2 label images corrected by hand moved"),
                "{said}"
            );
            let moved = [
                ("a", "human/corrected/a.tif", 1),
                ("b", "human/corrected/b.tif", 2),
            ];
            expect(found(&study), &moved);
            assert_eq!(bring_over(&study).unwrap(), None);

            // Put there later out of habit: the newest counts, and the one before is kept.
            put(&study, "truth/corrected/b.tif", 3);
            bring_over(&study).unwrap().unwrap();
            expect(
                found(&study),
                &[moved[0], ("b", "human/corrected/b.tif", 3)],
            );
            let earlier = std::fs::read_dir(study.root().join("human/earlier")).unwrap();
            let earlier: Vec<PathBuf> = earlier.map(|e| e.unwrap().path()).collect();
            assert_eq!(earlier.len(), 1);
            assert_eq!(read_labels(&earlier[0]).unwrap().get(0, 1), 2);
        }
    }

    #[test]
    fn an_interrupted_move_and_a_study_that_cannot_be_written_to_lose_nothing() {
        let (_root, study) = study("");
        put(&study, "truth/corrected/a.tif", 1);
        put(&study, "truth/corrected/b.tif", 2);
        // Killed between two files.
        put(&study, "human/corrected/a.tif", 1);
        std::fs::remove_file(study.root().join("truth/corrected/a.tif")).unwrap();
        let expected = [
            ("a", "human/corrected/a.tif", 1),
            ("b", "truth/corrected/b.tif", 2),
        ];
        expect(found(&study), &expected);
        bring_over(&study).unwrap().unwrap();
        assert_eq!(found(&study).len(), 2);

        let (_root, closed) = self::study("");
        put(&closed, "truth/corrected/a.tif", 1);
        // A file in the way of the folder: it cannot be made.
        std::fs::write(closed.root().join("human"), "").unwrap();
        assert_eq!(bring_over(&closed).unwrap(), None);
        expect(found(&closed), &[("a", "truth/corrected/a.tif", 1)]);
        assert_eq!(place_in_use(&closed), Path::new(EARLIER_PLACE));
    }

    #[test]
    fn a_study_without_corrections_or_without_fields_says_which_it_is() {
        let (_root, study) = study("");
        let cancel = crate::Cancel::new();
        let machine = stainfree_network::Machine::new(1);
        let job = crate::Job::new(&crate::Silent, &cancel, &machine);
        let error = crate::evaluation::compare::compare_study(&study, &job).unwrap_err();
        assert!(
            matches!(error, ProjectError::NothingCorrected(_)),
            "{error}"
        );
        put(&study, "human/corrected/a.tif", 1);
        let error = crate::evaluation::compare::compare_study(&study, &job).unwrap_err();
        assert!(
            matches!(error, ProjectError::NothingCorrected(_)),
            "{error}"
        );
        assert!(
            error.to_string().contains("are not part of the truth yet"),
            "{error}"
        );
        let error = study.fields().unwrap_err();
        assert!(matches!(error, ProjectError::NotPrepared(_)), "{error}");
        assert!(
            error
                .to_string()
                .contains("is not prepared: it has no `fields.csv`"),
            "{error}"
        );
    }

    #[test]
    fn a_folder_that_the_user_chose_is_left_alone() {
        let (_root, study) = study("corrected = \"../mine\"\n");
        put(&study, "truth/corrected/a.tif", 1);
        assert_eq!(bring_over(&study).unwrap(), None);
        assert!(files(&study).unwrap().is_empty());
        assert_eq!(place_in_use(&study), Path::new("../mine"));
    }
}
