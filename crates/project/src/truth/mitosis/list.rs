//! The list of candidates: reading what a person typed into it, and writing it anew.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use stainfree_image::table::{Table, number, yes_or_no};

use super::sheets;
use crate::ProjectError;
use crate::study::finding::Review;
use crate::study::human::Stamp;
use crate::study::human::mitosis::Decision;
use crate::study::human::mitosis::{Cells, Said, append, read};
use crate::study::{Source, Study};

/// What people said of nuclei, and the list in which they may have said more.
#[derive(Clone, Debug, Default)]
pub(crate) struct Decisions {
    /// What `human/mitosis.csv` has, and behind it what was typed into the list since.
    said: Vec<Said>,
    /// How many of them are not in that table yet.
    typed: usize,
    /// The rows of the list.
    listed: Vec<Review>,
}

impl Decisions {
    /// Reads both tables; none of them need be there.
    pub(crate) fn find(study: &Study) -> Result<Self, ProjectError> {
        let said = read(study)?;
        let path = list_path(study);
        if !path.exists() {
            return Ok(Self {
                said,
                ..Self::default()
            });
        }
        let table = Table::read(&path)?;
        let shown = shown(study)?;
        let cells = Cells::of(&path, &table);
        let decisions: Vec<Option<Decision>> = table
            .rows
            .iter()
            .map(|row| cells.decision(row))
            .collect::<Result<_, _>>()?;
        let needed = ["field", "y_px", "x_px", "decision"];
        if let Some(title) = needed.iter().find(|title| table.column(title).is_none())
            && !table.columns.is_empty()
        {
            return Err(ProjectError::Table {
                path,
                line: None,
                message: format!(
                    "it has no column `{title}` (columns: {}); give it back, or delete the list \
                     and prepare again",
                    table.columns.join(", ")
                ),
            });
        }
        let mut found = Self {
            said,
            ..Self::default()
        };
        for (row, decision) in table.rows.iter().zip(decisions) {
            match cells.said(row) {
                Ok(typed) => {
                    found.add_typed(typed, &shown);
                    found.listed.push(review(&cells, row));
                }
                Err(error) if decision.is_some() => return Err(error),
                // Nothing is said of it.
                Err(_) => {}
            }
        }
        Ok(found)
    }

    /// Adds a row of the list if a person changed it: it says something else than the program
    /// wrote (`shown`) and than is known of that place.
    fn add_typed(&mut self, typed: Said, shown: &[Said]) {
        let of_place = |said: &[Said]| {
            let mut last_first = said.iter().rev();
            let last = last_first.find(|said| said.same_place(&typed));
            last.and_then(|said| said.decision)
        };
        let unchanged = typed.decision == of_place(shown);
        if !unchanged && typed.decision != of_place(&self.said) {
            let (image, line) = (String::new(), 0);
            self.said.push(Said {
                image,
                line,
                ..typed
            });
            self.typed += 1;
        }
    }

    /// Puts what was typed into `human/mitosis.csv`; says how many decisions that were. `image`
    /// gives what the image of a field is recognised by.
    pub(crate) fn take_over(
        &mut self,
        study: &Study,
        stamp: &Stamp,
        image: impl Fn(&str) -> String,
    ) -> Result<usize, ProjectError> {
        let first = self.said.len() - self.typed;
        for said in &mut self.said[first..] {
            said.image = image(&said.field);
        }
        append(study, &self.said[first..], stamp)?;
        if self.typed > 0 {
            // Now with the lines that they have there.
            self.said = read(study)?;
        }
        Ok(std::mem::take(&mut self.typed))
    }

    /// All of them, the oldest first.
    pub(crate) fn all(&self) -> &[Said] {
        &self.said
    }

    /// What was said of the nuclei of a field.
    pub(crate) fn of(&self, field: &str) -> Vec<Said> {
        let of_field = self.said.iter().filter(|said| said.field == field);
        of_field.cloned().collect()
    }

    /// The rows that the list has of a field, with what is said of them by now: what stays where
    /// the field could not be made this time.
    pub(crate) fn listed(&self, field: &str) -> Vec<Review> {
        let rows = self.listed.iter().filter(|row| row.field == field);
        rows.map(|row| {
            let place = shown_as(row);
            let mut last_first = self.said.iter().rev();
            let last = last_first.find(|said| said.same_place(&place));
            Review {
                decision: last.map_or(row.decision, |said| said.decision),
                ..row.clone()
            }
        })
        .collect()
    }
}

/// Takes over what was typed into the list since its decisions were found, and says it in `rows`,
/// with which the list is about to be written anew; how many decisions that were.
pub(crate) fn take_over_late(
    study: &Study,
    stamp: &Stamp,
    image: impl Fn(&str) -> String,
    rows: &mut [Review],
) -> Result<usize, ProjectError> {
    let mut decisions = Decisions::find(study)?;
    let typed = decisions.said[decisions.said.len() - decisions.typed..].to_vec();
    for row in rows {
        let place = shown_as(row);
        if let Some(said) = typed.iter().rev().find(|said| said.same_place(&place)) {
            row.decision = said.decision;
        }
    }
    decisions.take_over(study, stamp, image)
}

/// A row of the list as it is written.
fn review(cells: &Cells, row: &stainfree_image::table::Row) -> Review {
    let numeric = |title: &str| number(cells.cell(row, title));
    let verdict = |title: &str| match yes_or_no(cells.cell(row, title)) {
        Some(true) => Some(Decision::Yes),
        Some(false) => Some(Decision::No),
        None => None,
    };
    Review {
        field: cells.cell(row, "field").to_owned(),
        label: cells.cell(row, "label").parse().ok(),
        y_px: numeric("y_px").unwrap_or_default(),
        x_px: numeric("x_px").unwrap_or_default(),
        score: numeric("score"),
        brightness: numeric("brightness"),
        compactness: numeric("compactness"),
        mitotic: verdict("mitotic"),
        decision: verdict("decision"),
    }
}

/// Writes the list, most mitotic first, and its picture sheets (`truth/mitosis.png`, `-2.png` ..).
pub(crate) fn write(
    study: &Study,
    source: &Source,
    mut reviews: Vec<Review>,
) -> Result<(), ProjectError> {
    reviews.sort_by(|a, b| {
        let score = |r: &Review| r.score.unwrap_or(1.0);
        score(b)
            .total_cmp(&score(a))
            .then_with(|| a.field.cmp(&b.field))
            .then(a.label.cmp(&b.label))
    });
    match reviews.is_empty() {
        // Titles alone: rows may be added by hand.
        true => stainfree_image::write_atomic(&list_path(study), TITLES.as_bytes())?,
        false => crate::study::table::write(&list_path(study), &reviews)?,
    }
    // After the list: were it before, a kill between would make what stands in the list look like
    // something that a person typed or took back.
    let said: Vec<Shown> = reviews.iter().filter_map(Shown::of).collect();
    crate::study::table::write(&shown_path(study), &said)?;
    sheets::draw(study, source, &reviews)
}

fn list_path(study: &Study) -> PathBuf {
    study.root().join("truth").join("mitosis.csv")
}

/// The titles of an empty list.
const TITLES: &str = "field,label,y_px,x_px,score,brightness,compactness,mitotic,decision\n";

/// A decision as the program wrote it into the list, in a table beside it: what differs from this,
/// a person typed.
#[derive(Serialize, Deserialize)]
struct Shown {
    field: String,
    y_px: f64,
    x_px: f64,
    decision: Decision,
}

impl Shown {
    fn of(row: &Review) -> Option<Self> {
        Some(Self {
            field: row.field.clone(),
            y_px: row.y_px,
            x_px: row.x_px,
            decision: row.decision?,
        })
    }
}

fn shown_path(study: &Study) -> PathBuf {
    study.root().join("truth").join("mitosis-shown.csv")
}

/// The decisions that the program wrote into the list.
fn shown(study: &Study) -> Result<Vec<Said>, ProjectError> {
    let path = shown_path(study);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let way_out = "delete it and prepare again";
    let rows: Vec<Shown> = crate::study::table::read(&path, &["field"], way_out)?;
    let said = rows.into_iter().map(|row| Said {
        field: row.field,
        y_px: row.y_px,
        x_px: row.x_px,
        decision: Some(row.decision),
        image: String::new(),
        line: 0,
    });
    Ok(said.collect())
}

/// The place and the decision of a row.
fn shown_as(row: &Review) -> Said {
    Said {
        field: row.field.clone(),
        y_px: row.y_px,
        x_px: row.x_px,
        decision: row.decision,
        image: String::new(),
        line: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::config::FILE_NAME;

    /// A study with a list of candidates; the folder is deleted with the first.
    fn study_with(list: &str) -> (tempfile::TempDir, Study) {
        let folder = tempfile::tempdir().unwrap();
        let choices = "[images]\npath = \".\"\nbrightfield = [\"BF\"]\n[truth]\nnucleus = \
            \"DAPI\"\nclasses = [\"background\", \"nucleus\"]\n";
        std::fs::write(folder.path().join(FILE_NAME), choices).unwrap();
        let study = Study::open(folder.path()).unwrap();
        std::fs::create_dir(folder.path().join("truth")).unwrap();
        std::fs::write(list_path(&study), list).unwrap();
        (folder, study)
    }

    fn take_over(study: &Study) -> Vec<(String, f64, Option<Decision>)> {
        let mut decisions = Decisions::find(study).unwrap();
        let image = |field: &str| format!("image of {field}");
        let stamp = Stamp::now("me");
        decisions.take_over(study, &stamp, image).unwrap();
        // A second time there is nothing to take over.
        assert_eq!(decisions.take_over(study, &stamp, image).unwrap(), 0);
        let said = read(study).unwrap().into_iter();
        assert!(decisions.all().iter().all(|s| s.line > 0));
        said.map(|s| (s.field, s.x_px, s.decision)).collect()
    }

    #[test]
    fn what_was_typed_is_taken_over_once_however_the_list_was_saved() {
        let (yes, no) = (Some(Decision::Yes), Some(Decision::No));
        let expected = [("a".to_owned(), 7.5, yes), ("b".to_owned(), 3.0, no)];
        let plain = "field,label,y_px,x_px,mitotic,decision\na,1,5,7.5,no,Yes\nb,2,1,3,yes, NO \n\
            b,3,9,9,yes,\n,,,,,\n";
        let semicolons = plain.replace(',', ";").replace("7.5", "7,5");
        let wide: Vec<u8> = semicolons
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        for list in [
            plain.as_bytes().to_vec(),
            format!("\u{FEFF}{}", semicolons.replace('\n', "\r\n")).into_bytes(),
            [&b"\xFF\xFE"[..], &wide].concat(),
            b"Decision\tX_px\tnote\tY_px\tField\rx\t7,5\t!\t5\ta\rFALSCH\t3\t\t1\tb\r".to_vec(),
        ] {
            let (_folder, study) = study_with("");
            std::fs::write(list_path(&study), &list).unwrap();
            // A kill after this, before the list is written anew, changes nothing.
            for _ in 0..2 {
                assert_eq!(
                    take_over(&study),
                    expected,
                    "{}",
                    String::from_utf8_lossy(&list)
                );
            }
        }
    }

    #[test]
    fn a_wrong_word_or_place_is_told_with_line_and_field() {
        let said = |list: &str| {
            let (_folder, study) = study_with(list);
            let error = Decisions::find(&study).unwrap_err().to_string();
            error.split_once("mitosis.csv`").unwrap().1.to_owned()
        };
        assert_eq!(
            said("field;y_px;x_px;decision\n\nf;1;2;\ng;1;2;perhaps\n"),
            ", line 4: field `g`: the column `decision` holds `perhaps`; it takes `yes`, `no` or \
             nothing"
        );
        assert_eq!(
            said("field,y_px,x_px,decision\nf,12. May,2,yes\n"),
            ", line 2: field `f`: the column `y_px` holds `12. May`; it takes a place in px"
        );
        assert!(said("field,y_px,x_px\nf,1,2\n").starts_with(": it has no column `decision`"));
    }

    #[test]
    fn a_decision_is_taken_back_by_deleting_the_word_and_not_by_an_old_list() {
        let list = "field,y_px,x_px,decision\na,5,7,yes\na,5,20,no\n";
        let (_folder, study) = study_with(list);
        take_over(&study);
        let rows = Decisions::find(&study).unwrap().listed("a");
        let shown: Vec<Shown> = rows.iter().filter_map(Shown::of).collect();
        crate::study::table::write(&shown_path(&study), &shown).unwrap();
        // Someone decides elsewhere; the list still shows what it was written with.
        let elsewhere = Said {
            decision: Some(Decision::No),
            ..shown_as(&rows[0])
        };
        append(&study, &[elsewhere], &Stamp::now("viewer")).unwrap();
        let last = |said: &[(String, f64, Option<Decision>)]| said.last().unwrap().2;
        assert_eq!(take_over(&study).len(), 3);
        assert_eq!(last(&take_over(&study)), Some(Decision::No));
        // A person deletes a word, and a whole row, which says nothing.
        std::fs::write(list_path(&study), "field,y_px,x_px,decision\na,5,20,\n").unwrap();
        let said = take_over(&study);
        assert_eq!(said.len(), 4);
        assert_eq!(said[3], ("a".to_owned(), 20.0, None));
    }
}
