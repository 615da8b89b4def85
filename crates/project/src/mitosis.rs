//! Mitotic nuclei: the list in which a person confirms or rejects what was found.
//!
//! `prepare` writes `truth/mitosis.csv` (a row a candidate) and `truth/mitosis.png` (a picture a
//! candidate); a person types `yes` or `no` into the column `decision`. The next `prepare` first
//! takes what was typed over into `human/mitosis.csv`, where it stays, and then writes the list
//! anew. A row may be added by hand: field, y and x are enough. Not here: the score
//! ([`stainfree_objects::mitotic_candidates`]).

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use stainfree_image::table::{Table, number, yes_or_no};
use stainfree_image::{Field, Image, write};
use stainfree_objects::MitoticCandidate;
use stainfree_report::{contact_sheet, enlarge, stain_picture};

use crate::config::{FILE_NAME, parse};
use crate::human::Stamp;
use crate::human::mitosis::{Cells, Said, append, read};
use crate::study::{Source, Study};
use crate::{ProjectError, sheet, truth};

/// Name of the class.
pub const CLASS: &str = "mitotic";

/// Name and columns of the picture sheet, candidates on a page, side of a window in pixels and its
/// enlargement.
const SHEET: &str = "mitosis";
const COLUMNS: usize = 8;
const PER_PAGE: usize = 64;
const WINDOW: usize = 64;
const ENLARGED: usize = 2;

/// What a person says about a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// It is mitotic.
    Yes,
    /// It is not.
    No,
}

impl Decision {
    /// As it is written in tables.
    pub fn word(self) -> &'static str {
        match self {
            Decision::Yes => "yes",
            Decision::No => "no",
        }
    }
}

/// A row of the review list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Review {
    /// Name of the field.
    pub field: String,
    /// Number of the nucleus in `truth/nuclei`.
    pub label: Option<u32>,
    /// Its centroid, pixels.
    pub y_px: f64,
    /// See `y_px`.
    pub x_px: f64,
    /// 0 to 1.
    pub score: Option<f64>,
    /// Octaves above the field's median nucleus, behind the score.
    #[serde(default)]
    pub brightness: Option<f64>,
    /// The same of its compactness.
    #[serde(default)]
    pub compactness: Option<f64>,
    /// What the truth says now.
    pub mitotic: Option<Decision>,
    /// What a person says; empty = as found.
    pub decision: Option<Decision>,
}

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

/// The candidates of a field after a person's decisions, each with what the truth says of it, and
/// the places of decisions at which there is no nucleus.
///
/// A decision belongs to the nucleus at its place, whatever number that has now; of several the
/// last one counts.
pub(crate) fn decide(
    field: &str,
    candidates: &[MitoticCandidate],
    nuclei: &Image<u32>,
    said: &[Said],
    min_score: f64,
) -> (Vec<Review>, Vec<(f64, f64)>) {
    let mut reviews: Vec<Review> = candidates
        .iter()
        .map(|c| Review {
            field: field.to_owned(),
            label: Some(c.label),
            y_px: tenth(c.y_px),
            x_px: tenth(c.x_px),
            score: Some(thousandth(c.score)),
            brightness: Some(thousandth(c.brightness)),
            compactness: Some(thousandth(c.compactness)),
            mitotic: Some(if c.score >= min_score {
                Decision::Yes
            } else {
                Decision::No
            }),
            decision: None,
        })
        .collect();
    let mut misfits = Vec::new();
    let mut last: BTreeMap<u32, &Said> = BTreeMap::new();
    for said in said {
        match label_at(nuclei, said) {
            Some(label) => {
                last.insert(label, said);
            }
            None => misfits.push((said.y_px, said.x_px)),
        }
    }
    for (label, said) in last {
        let Some(decision) = said.decision else {
            continue;
        };
        let known = reviews.iter_mut().find(|r| r.label == Some(label));
        match known {
            Some(review) => (review.mitotic, review.decision) = (Some(decision), Some(decision)),
            None => reviews.push(Review {
                field: field.to_owned(),
                label: Some(label),
                y_px: said.y_px,
                x_px: said.x_px,
                score: None,
                brightness: None,
                compactness: None,
                mitotic: Some(decision),
                decision: Some(decision),
            }),
        }
    }
    (reviews, misfits)
}

/// The nucleus at the place of a decision.
fn label_at(nuclei: &Image<u32>, said: &Said) -> Option<u32> {
    let inside = |at: f64, side: usize| {
        let at = at.round();
        (at >= 0.0 && at < side as f64).then_some(at as usize)
    };
    let (y, x) = (
        inside(said.y_px, nuclei.height())?,
        inside(said.x_px, nuclei.width())?,
    );
    let label = nuclei.get(y, x);
    (label != 0).then_some(label)
}

fn thousandth(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

fn tenth(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
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
        false => crate::table::write(&list_path(study), &reviews)?,
    }
    // After the list: were it before, a kill between would make what stands in the list look like
    // something that a person typed or took back.
    let said: Vec<Shown> = reviews.iter().filter_map(Shown::of).collect();
    crate::table::write(&shown_path(study), &said)?;
    let Some(channel) = source.nucleus else {
        return sheet::remove_pages(study, SHEET, 0);
    };
    let fields: BTreeMap<&str, &Field> = source
        .dataset
        .fields
        .iter()
        .map(|field| (field.name.as_str(), field))
        .collect();
    for (page, rows) in reviews.chunks(PER_PAGE).enumerate() {
        let windows = windows(rows, |name| {
            // A field that cannot be read has no pictures; its rows stay.
            let stain = truth::read_middle(fields.get(name)?, channel).ok()?;
            Some(stain_picture(&stain.to_f32(), [255; 3]))
        });
        let captions: Vec<String> = rows.iter().map(caption).collect();
        let pictures: Vec<(&Image<[u8; 3]>, &str)> = windows
            .iter()
            .zip(&captions)
            .filter_map(|(window, caption)| Some((window.as_ref()?, caption.as_str())))
            .collect();
        let path = sheet::page_path(study, SHEET, page);
        write::png_rgb(&path, &contact_sheet(&pictures, COLUMNS))?;
    }
    sheet::remove_pages(study, SHEET, reviews.len().div_ceil(PER_PAGE))
}

/// The picture of each row's nucleus, where its field has one. Fields are seen one at a time: what
/// is kept of them is a window a row.
fn windows<P: Borrow<Image<[u8; 3]>>>(
    rows: &[Review],
    picture: impl Fn(&str) -> Option<P>,
) -> Vec<Option<Image<[u8; 3]>>> {
    let mut windows = vec![None; rows.len()];
    let fields: BTreeSet<&str> = rows.iter().map(|row| row.field.as_str()).collect();
    for field in fields {
        let Some(picture) = picture(field) else {
            continue;
        };
        for (row, shown) in rows.iter().zip(&mut windows) {
            if row.field == field {
                let window = window(picture.borrow(), row.y_px, row.x_px);
                *shown = Some(enlarge(&window, ENLARGED));
            }
        }
    }
    windows
}

/// Field, number, score and what the truth says.
fn caption(row: &Review) -> String {
    let word = if row.mitotic == Some(Decision::Yes) {
        "yes"
    } else {
        "no"
    };
    let score = row
        .score
        .map_or("by hand".to_owned(), |score| format!("{score:.2}"));
    let number = row.label.unwrap_or_default();
    format!("{} {number} {score} {word}", row.field)
}

/// The window of a picture around `(y, x)`, moved inside where it would leave it.
fn window(picture: &Image<[u8; 3]>, y: f64, x: f64) -> Image<[u8; 3]> {
    let (h, w) = (picture.height().min(WINDOW), picture.width().min(WINDOW));
    let first = |at: f64, side: usize, len: usize| {
        ((at - side as f64 / 2.0).max(0.0) as usize).min(len - side)
    };
    picture.crop(
        first(y, h, picture.height()),
        first(x, w, picture.width()),
        h,
        w,
    )
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
    let rows: Vec<Shown> = crate::table::read(&path, &["field"], way_out)?;
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

/// The study with the class switched on, and its `stainfree.toml` then, with every other line as it
/// is; `None` where it is on. Nothing is written.
///
/// # Errors
/// The file cannot be read, or the study's sources do not allow the class.
pub(crate) fn enabled(study: &Study) -> Result<Option<(Study, String)>, ProjectError> {
    let config = study.config();
    if config.truth.mitosis.find {
        return Ok(None);
    }
    let path = study.root().join(FILE_NAME);
    let text =
        crate::config::read_text(&path).map_err(|error| ProjectError::read(&path, &error))?;
    let mut wanted = config.truth.clone();
    wanted.mitosis.find = true;
    let classes = crate::template::toml_value(&wanted.usual_classes());
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for line in &mut lines {
        if line.starts_with("classes = ") {
            *line = format!("classes = {classes}");
        }
    }
    let section = lines
        .iter()
        .position(|line| line.trim() == "[truth.mitosis]");
    let key = section.and_then(|s| {
        let rest = lines[s + 1..]
            .iter()
            .take_while(|line| !line.starts_with('['));
        rest.enumerate()
            .find(|(_, line)| line.starts_with("find = "))
            .map(|(i, _)| s + 1 + i)
    });
    match (section, key) {
        (_, Some(key)) => lines[key] = "find = true".to_owned(),
        (Some(section), None) => lines.insert(section + 1, "find = true".to_owned()),
        (None, None) => lines.extend([
            "".to_owned(),
            "[truth.mitosis]".to_owned(),
            "find = true".to_owned(),
        ]),
    }
    let changed = lines.join("\n") + "\n";
    let wanted = study.with_config(parse(&changed, &path)?);
    Ok(Some((wanted, changed)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_follows_the_nucleus_at_its_place() {
        let nuclei = Image::from_fn(10, 20, |_, x| match x {
            0..=4 => 7,
            10..=14 => 9,
            _ => 0,
        });
        let candidate = |label, x_px, score| MitoticCandidate {
            label,
            y_px: 5.0,
            x_px,
            score,
            brightness: 1.0,
            compactness: 1.0,
        };
        let said = |x_px, decision| Said {
            field: "f".to_owned(),
            y_px: 5.0,
            x_px,
            decision,
            image: String::new(),
            line: 1,
        };
        let (yes, no) = (Some(Decision::Yes), Some(Decision::No));
        let found = [candidate(7, 2.0, 0.9)];
        let state = |said: &[Said]| -> Vec<(Option<u32>, Option<Decision>)> {
            let (rows, _) = decide("f", &found, &nuclei, said, 0.5);
            rows.iter().map(|r| (r.label, r.mitotic)).collect()
        };
        assert_eq!(state(&[]), [(Some(7), yes)]);
        // Rejected by place, whatever its number was; added by hand; a place without a nucleus.
        let decided = [said(1.0, no), said(12.0, yes), said(7.0, yes)];
        assert_eq!(state(&decided), [(Some(7), no), (Some(9), yes)]);
        let (_, misfits) = decide("f", &found, &nuclei, &decided, 0.5);
        assert_eq!(misfits, [(5.0, 7.0)]);
        // The last word on a nucleus counts, also one that takes back.
        let changed = [
            said(1.0, no),
            said(3.0, None),
            said(12.0, yes),
            said(11.0, no),
        ];
        assert_eq!(state(&changed), [(Some(7), yes), (Some(9), no)]);
    }

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
        crate::table::write(&shown_path(&study), &shown).unwrap();
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

    #[test]
    fn one_field_is_held_at_a_time_and_a_window_of_it_is_kept() {
        use std::cell::Cell;
        struct Held<'a>(Image<[u8; 3]>, &'a Cell<usize>);
        impl Borrow<Image<[u8; 3]>> for Held<'_> {
            fn borrow(&self) -> &Image<[u8; 3]> {
                &self.0
            }
        }
        impl Drop for Held<'_> {
            fn drop(&mut self) {
                self.1.set(self.1.get() - 1);
            }
        }
        let row = |field: &str, x_px: f64| Review {
            field: field.to_owned(),
            label: Some(1),
            y_px: 3.0,
            x_px,
            score: None,
            brightness: None,
            compactness: None,
            mitotic: None,
            decision: None,
        };
        let rows = [
            row("b", 0.0),
            row("a", 290.0),
            row("b", 150.0),
            row("gone", 1.0),
        ];
        let (held, read) = (Cell::new(0), Cell::new(0));
        let windows = windows(&rows, |name| {
            held.set(held.get() + 1);
            read.set(read.get() + 1);
            assert_eq!(held.get(), 1, "whole pictures in memory");
            let picture = Image::from_fn(200, 300, |_, x| [x as u8, 0, 0]);
            (name != "gone").then(|| Held(picture, &held)).or_else(|| {
                held.set(held.get() - 1);
                None
            })
        });
        assert_eq!(read.get(), 3, "each field is read once");
        let side = WINDOW * ENLARGED;
        let sizes: Vec<_> = windows
            .iter()
            .map(|w| w.as_ref().map(Image::size))
            .collect();
        let full = Some((side, side));
        assert_eq!(sizes, [full, full, full, None]);
        let first = |i: usize| windows[i].as_ref().unwrap().get(0, 0)[0];
        assert_eq!(
            [first(0), first(1), first(2)],
            [0, (300 - WINDOW) as u8, 150 - 32]
        );
    }
}
