//! Which wells of a screen to stain: drawn at random over plates and conditions.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Serialize;
use stainfree_image::{OpenOptions, list_names, natural_order, open};
use stainfree_scores::powered::{FEWEST_STAINED, draw};

use super::wells::{WellKey, WellTable, leave_out_training};
use crate::ProjectError;

/// Where wells are drawn from.
#[derive(Clone, Debug, Default)]
pub struct PlanOptions {
    /// Plates, or tables with a row a well.
    pub screen: Vec<PathBuf>,
    /// The study whose model predicts: wells that trained it are left out, since it is better there
    /// than elsewhere.
    pub study: Option<PathBuf>,
    /// What is known of the plates that their files do not say.
    pub opening: OpenOptions,
    /// How many wells.
    pub wells: usize,
    /// Column of the conditions, over which wells are spread.
    pub by: Option<String>,
    /// Table with that column, by well.
    pub layout: Option<PathBuf>,
    /// Column of the predictions, over which wells are spread.
    pub column: Option<String>,
    /// Another seed draws other wells.
    pub seed: u64,
}

/// A well to stain.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlannedWell {
    /// Its plate; empty where there is one without a name.
    pub plate: String,
    /// The well.
    pub well: String,
    /// The probability with which it was to be drawn.
    pub probability: f64,
    /// Plate and condition that it stands for.
    pub stratum: String,
}

/// The wells to stain, in the order of plates.
#[derive(Clone, Debug, Serialize)]
pub struct Planned {
    /// The wells.
    pub wells: Vec<PlannedWell>,
    /// Wells they were drawn from.
    pub of: usize,
    /// What is to be known of them, each a sentence.
    pub problems: Vec<String>,
}

/// A well that may be drawn.
struct Candidate {
    key: WellKey,
    condition: Option<String>,
    predicted: Option<f64>,
}

/// Draws the wells.
///
/// # Errors
/// A plate or table cannot be read, or has no wells.
pub fn plan(options: &PlanOptions) -> Result<Planned, ProjectError> {
    let mut candidates = all_candidates(options)?;
    let mut problems = Vec::new();
    if let Some(study) = &options.study {
        leave_out_training(study, &mut candidates, |well| &well.key, &mut problems)?;
    }
    if let (Some(by), Some(layout)) = (&options.by, &options.layout) {
        let table = WellTable::read(layout)?;
        let column = table.column(by)?;
        for candidate in &mut candidates {
            candidate.condition = table.text(&candidate.key, column).map(str::to_owned);
        }
    }
    leave_out_unconditioned(options, &mut candidates, &mut problems);
    if candidates.is_empty() {
        let why: String = problems
            .iter()
            .map(|problem| format!(" ({problem})"))
            .collect();
        return Err(ProjectError::Usage(format!(
            "no wells are left to draw from{why}; name plates or tables with further wells"
        )));
    }
    if options.wells > candidates.len() {
        problems.push(format!(
            "there are {} wells, which is fewer than {}: all are to be stained",
            candidates.len(),
            options.wells
        ));
    }
    let names: Vec<String> = candidates.iter().map(stratum_of).collect();
    let strata = numbered(&names);
    let predicted: Vec<Option<f64>> = candidates.iter().map(|well| well.predicted).collect();
    let drawn = draw(&strata, &predicted, options.wells, options.seed);
    let wells: Vec<PlannedWell> = drawn
        .iter()
        .map(|drawn| PlannedWell {
            plate: candidates[drawn.well].key.plate.clone(),
            well: candidates[drawn.well].key.well.clone(),
            probability: drawn.probability,
            stratum: names[drawn.well].clone(),
        })
        .collect();
    let drawn: BTreeSet<usize> = drawn.iter().map(|drawn| drawn.well).collect();
    problems.extend(thin(&candidates, &drawn));
    Ok(Planned {
        wells,
        of: candidates.len(),
        problems,
    })
}

/// The wells of all plates and tables, in order.
///
/// # Errors
/// One of them twice: then half of them could never be drawn.
fn all_candidates(options: &PlanOptions) -> Result<Vec<Candidate>, ProjectError> {
    let mut candidates: BTreeMap<WellKey, (Candidate, &Path)> = BTreeMap::new();
    for path in &options.screen {
        for candidate in candidates_in(path, options)? {
            let key = candidate.key.clone();
            if let Some((_, other)) = candidates.get(&key) {
                return Err(ProjectError::Usage(format!(
                    "`{}` and `{}` both have the well `{}` of one plate{}; tell plates apart by a \
                     column `plate`",
                    other.display(),
                    path.display(),
                    key.well,
                    match key.plate.as_str() {
                        "" => String::new(),
                        plate => format!(", `{plate}`"),
                    }
                )));
            }
            candidates.insert(key, (candidate, path));
        }
    }
    Ok(candidates
        .into_values()
        .map(|(candidate, _)| candidate)
        .collect())
}

/// The wells at a path: of a table, or of the images there.
fn candidates_in(path: &Path, options: &PlanOptions) -> Result<Vec<Candidate>, ProjectError> {
    let is_table = path.is_file()
        && path.extension().is_some_and(|end| {
            ["csv", "tsv", "txt"]
                .iter()
                .any(|known| end.eq_ignore_ascii_case(known))
        });
    if !is_table {
        if options.column.is_some() || options.by.is_some() && options.layout.is_none() {
            return Err(ProjectError::Usage(format!(
                "`{}` are images, which know neither conditions nor predictions: give conditions \
                 with `--layout TABLE`, and `--column` with a table of the wells",
                path.display()
            )));
        }
        return wells_of_images(path, &options.opening);
    }
    let table = WellTable::read(path)?;
    let by = match (&options.by, &options.layout) {
        (Some(by), None) => Some(table.column(by)?),
        _ => None,
    };
    let column = options.column.as_deref();
    let column = column.map(|title| table.column(title)).transpose()?;
    let mut found = Vec::new();
    for key in table.wells() {
        let condition = by.and_then(|by| table.text(key, by)).map(str::to_owned);
        let predicted = match column {
            Some(column) => table.number(key, column)?,
            None => None,
        };
        found.push(Candidate {
            key: key.clone(),
            condition,
            predicted,
        });
    }
    Ok(found)
}

fn wells_of_images(path: &Path, opening: &OpenOptions) -> Result<Vec<Candidate>, ProjectError> {
    let dataset = open(path, opening)?;
    let mut wells = BTreeSet::new();
    for field in &dataset.fields {
        if let Some(well) = &field.position.well {
            wells.insert(WellKey {
                plate: field.position.plate.clone().unwrap_or_default(),
                well: well.clone(),
            });
        }
    }
    if wells.is_empty() {
        return Err(ProjectError::Usage(format!(
            "`{}` has no wells that could be drawn: its layout is `{}`; name a plate, or a table \
             with the columns `plate` and `well`",
            path.display(),
            dataset.layout
        )));
    }
    let candidate = |key| Candidate {
        key,
        condition: None,
        predicted: None,
    };
    Ok(wells.into_iter().map(candidate).collect())
}

/// Leaves out wells without a condition, where conditions were asked for.
fn leave_out_unconditioned(
    options: &PlanOptions,
    candidates: &mut Vec<Candidate>,
    problems: &mut Vec<String>,
) {
    let Some(by) = &options.by else {
        return;
    };
    let without: Vec<&str> = candidates
        .iter()
        .filter(|well| well.condition.is_none())
        .map(|well| well.key.well.as_str())
        .collect();
    if !without.is_empty() {
        problems.push(format!(
            "{} wells have no `{by}` and are not drawn: {}",
            without.len(),
            list_names(&without)
        ));
    }
    candidates.retain(|well| well.condition.is_some());
}

/// Plate and condition, as far as there are any.
fn stratum_of(well: &Candidate) -> String {
    let parts = [Some(&well.key.plate), well.condition.as_ref()];
    let parts: Vec<&str> = parts.into_iter().flatten().map(String::as_str).collect();
    let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join("/")
}

/// Each name by its place among all, in natural order.
fn numbered(names: &[String]) -> Vec<usize> {
    let mut distinct: Vec<&String> = names.iter().collect::<BTreeSet<_>>().into_iter().collect();
    distinct.sort_by(|a, b| natural_order(a, b));
    let place: BTreeMap<&String, usize> = distinct.into_iter().zip(0..).collect();
    names.iter().map(|name| place[name]).collect()
}

/// Plates that get no well, and conditions that get too few for an interval of their own.
fn thin(candidates: &[Candidate], drawn: &BTreeSet<usize>) -> Vec<String> {
    let mut plates: BTreeMap<&str, usize> = BTreeMap::new();
    let mut conditions: BTreeMap<&str, usize> = BTreeMap::new();
    for (place, well) in candidates.iter().enumerate() {
        let hit = usize::from(drawn.contains(&place));
        *plates.entry(&well.key.plate).or_default() += hit;
        if let Some(condition) = &well.condition {
            *conditions.entry(condition).or_default() += hit;
        }
    }
    let mut said = Vec::new();
    let empty: Vec<&str> = plates
        .iter()
        .filter(|(_, n)| **n == 0)
        .map(|(p, _)| *p)
        .collect();
    if !empty.is_empty() {
        said.push(format!(
            "{} of {} plates get no stained well ({}); draw {} wells or more to reach every plate",
            empty.len(),
            plates.len(),
            list_names(&empty),
            plates.len()
        ));
    }
    let few: Vec<&str> = conditions
        .iter()
        .filter(|(_, n)| **n < FEWEST_STAINED)
        .map(|(condition, _)| *condition)
        .collect();
    if !few.is_empty() {
        said.push(format!(
            "{} of {} conditions get fewer than {FEWEST_STAINED} stained wells, too few for an \
             interval of their own ({}); draw more wells",
            few.len(),
            conditions.len(),
            list_names(&few)
        ));
    }
    said
}
