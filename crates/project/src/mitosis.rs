//! Mitotic nuclei: the list in which a person confirms or rejects what was found.
//!
//! `prepare` writes `truth/mitosis.csv` (a row a candidate) and `truth/mitosis.png` (a picture a
//! candidate); a person writes `yes` or `no` into the column `decision`, and the next `prepare`
//! reads it back. A row may be added by hand: field, y and x are enough. Not here: the score
//! ([`stainfree_objects::mitotic_candidates`]).

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use stainfree_image::{Image, write};
use stainfree_objects::MitoticCandidate;
use stainfree_report::{contact_sheet, enlarge, stain_picture};

use crate::config::{FILE_NAME, parse};
use crate::study::{Source, Study};
use crate::{ProjectError, truth};

/// Name of the class.
pub const CLASS: &str = "mitotic";

/// Columns of the picture sheet, candidates on a page, side of a window in pixels and its
/// enlargement.
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

/// The review list of last time, by field.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reviews(BTreeMap<String, Vec<Review>>);

impl Reviews {
    /// Reads `truth/mitosis.csv`; empty where there is none.
    pub(crate) fn read(study: &Study) -> Result<Self, ProjectError> {
        let path = list_path(study);
        let Ok(text) = std::fs::read(&path) else {
            return Ok(Self::default());
        };
        let mut reviews: BTreeMap<String, Vec<Review>> = BTreeMap::new();
        for row in csv::Reader::from_reader(text.as_slice()).deserialize::<Review>() {
            let row = row.map_err(|error| {
                ProjectError::Failed(format!(
                    "`{}` cannot be read ({error}); the column `decision` takes `yes`, `no` or \
                     nothing",
                    path.display()
                ))
            })?;
            reviews.entry(row.field.clone()).or_default().push(row);
        }
        Ok(Self(reviews))
    }

    /// The decisions on a field.
    pub(crate) fn decided(&self, field: &str) -> Vec<Review> {
        let rows = self.0.get(field).into_iter().flatten();
        rows.filter(|row| row.decision.is_some()).cloned().collect()
    }
}

/// The candidates of a field after a person's decisions: each with what the truth says of it.
///
/// A decision belongs to the nucleus at its place, whatever number that has now.
pub(crate) fn decide(
    field: &str,
    candidates: &[MitoticCandidate],
    nuclei: &Image<u32>,
    decided: &[Review],
    min_score: f64,
) -> Vec<Review> {
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
    for row in decided {
        let (y, x) = (row.y_px.round(), row.x_px.round());
        if !(y >= 0.0 && x >= 0.0 && y < nuclei.height() as f64 && x < nuclei.width() as f64) {
            continue;
        }
        let label = nuclei.get(y as usize, x as usize);
        if label == 0 {
            continue;
        }
        match reviews
            .iter_mut()
            .find(|review| review.label == Some(label))
        {
            Some(review) => (review.mitotic, review.decision) = (row.decision, row.decision),
            None => reviews.push(Review {
                label: Some(label),
                score: None,
                brightness: None,
                compactness: None,
                mitotic: row.decision,
                ..row.clone()
            }),
        }
    }
    reviews
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
    crate::table::write(&list_path(study), &reviews)?;
    let Some(channel) = source.nucleus else {
        return Ok(());
    };
    for (page, rows) in reviews.chunks(PER_PAGE).enumerate() {
        let mut stains: BTreeMap<&str, Image<[u8; 3]>> = BTreeMap::new();
        let mut shown: Vec<(Image<[u8; 3]>, String)> = Vec::new();
        for row in rows {
            let Some(field) = source.dataset.fields.iter().find(|f| f.name == row.field) else {
                continue;
            };
            if !stains.contains_key(field.name.as_str()) {
                let stain = truth::read_middle(field, channel)?.to_f32();
                stains.insert(&field.name, stain_picture(&stain, [255; 3]));
            }
            let stain = &stains[field.name.as_str()];
            let word = if row.mitotic == Some(Decision::Yes) {
                "yes"
            } else {
                "no"
            };
            let score = row
                .score
                .map_or("by hand".to_owned(), |score| format!("{score:.2}"));
            let number = row.label.unwrap_or_default();
            shown.push((
                enlarge(&window(stain, row.y_px, row.x_px), ENLARGED),
                format!("{} {number} {score} {word}", row.field),
            ));
        }
        let pictures: Vec<(&Image<[u8; 3]>, &str)> = shown
            .iter()
            .map(|(picture, caption)| (picture, caption.as_str()))
            .collect();
        let name = if page == 0 {
            "mitosis.png".to_owned()
        } else {
            format!("mitosis-{}.png", page + 1)
        };
        write::png_rgb(
            &study.root().join("truth").join(name),
            &contact_sheet(&pictures, COLUMNS),
        )?;
    }
    Ok(())
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

/// Switches the class on in the study's `stainfree.toml`, leaving every other line as it is.
///
/// # Errors
/// The file cannot be read or written, or the study's sources do not allow the class.
pub fn enable(study: &Study) -> Result<Study, ProjectError> {
    let config = study.config();
    if config.truth.mitosis.find {
        return Ok(study.clone());
    }
    let path = study.root().join(FILE_NAME);
    let text = std::fs::read_to_string(&path).map_err(|error| ProjectError::read(&path, &error))?;
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
    parse(&changed, &path)?;
    stainfree_image::write_atomic(&path, changed.as_bytes())?;
    Study::open(study.root())
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
        let said = |x_px, decision| Review {
            field: "f".to_owned(),
            label: Some(1),
            y_px: 5.0,
            x_px,
            score: None,
            brightness: None,
            compactness: None,
            mitotic: None,
            decision: Some(decision),
        };
        let found = [candidate(7, 2.0, 0.9)];
        let state = |decided: &[Review]| -> Vec<(Option<u32>, Option<Decision>)> {
            let rows = decide("f", &found, &nuclei, decided, 0.5);
            rows.iter().map(|r| (r.label, r.mitotic)).collect()
        };
        assert_eq!(state(&[]), [(Some(7), Some(Decision::Yes))]);
        // Rejected by place, although the number was another; added by hand; a place without a
        // nucleus is nothing.
        let decided = [
            said(1.0, Decision::No),
            said(12.0, Decision::Yes),
            said(7.0, Decision::Yes),
        ];
        assert_eq!(
            state(&decided),
            [
                (Some(7), Some(Decision::No)),
                (Some(9), Some(Decision::Yes))
            ]
        );
    }
}
