//! `split.json`: the part of every group of a study, and the rule that gave it.
//!
//! Groups keep their part as long as `[split]` says the same, whatever joins the study, fails for a
//! while, or is taken away. Another rule is an explicit wish: it splits anew.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::GroupRule;
use crate::ProjectError;
use crate::study::Study;
use crate::study::config::SplitConfig;
use crate::study::fields::{self, FieldRow};
use crate::study::split::{Part, split_groups};

/// Name of the file in the study's folder.
pub const FILE_NAME: &str = "split.json";

/// What the file holds.
#[derive(Serialize, Deserialize)]
struct Record {
    /// `[split]` without its fold, which changes no group's part in the study.
    rule: SplitConfig,
    groups: BTreeMap<String, Part>,
}

fn path(study: &Study) -> PathBuf {
    study.root().join(FILE_NAME)
}

/// What of `[split]` decides the part of a group.
fn rule_of(study: &Study) -> SplitConfig {
    let split = study.config().split.clone();
    SplitConfig {
        fold: None,
        group: GroupRule::canonical(&split.group),
        ..split
    }
}

/// The parts that groups of `study` have already; none where `[split]` has changed. A variant has
/// those of its `base`, where it is split by the same rule.
///
/// # Errors
/// The record is damaged, or, without one, the table of fields.
pub(crate) fn kept(study: &Study, base: &Study) -> Result<BTreeMap<String, Part>, ProjectError> {
    let rule = rule_of(study);
    let path = path(base);
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return of_older_version(base, &rule);
        }
        Err(error) => return Err(ProjectError::read(&path, &error)),
    };
    let record: Record =
        serde_json::from_slice(&text).map_err(|error| ProjectError::DamagedSplit {
            path,
            why: error.to_string(),
        })?;
    let before = SplitConfig {
        group: GroupRule::canonical(&record.rule.group),
        ..record.rule
    };
    Ok(if before == rule {
        record.groups
    } else {
        BTreeMap::new()
    })
}

/// The parts in the table of a study without a record, where they are those that `rule` gives to
/// the groups of that table: otherwise another rule had made them.
///
/// # Errors
/// The table cannot be read: taken for an empty one, groups would be split anew.
fn of_older_version(
    study: &Study,
    rule: &SplitConfig,
) -> Result<BTreeMap<String, Part>, ProjectError> {
    let table = study.root().join(fields::FILE_NAME);
    let rows = match table.try_exists() {
        Ok(false) => Vec::new(),
        _ => fields::read(&table)?,
    };
    let usable: Vec<&FieldRow> = rows.iter().filter(|row| row.split.is_some()).collect();
    let groups: Vec<String> = usable.iter().map(|row| row.group.clone()).collect();
    let parts: BTreeMap<String, Part> = usable
        .iter()
        .filter_map(|row| Some((row.group.clone(), row.split?)))
        .collect();
    Ok(match split_groups(&groups, &rule.rule()) {
        Ok(expected) if expected == parts => parts,
        _ => BTreeMap::new(),
    })
}

/// Keeps `parts`, with those of groups that are not there at the moment.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn write(
    study: &Study,
    kept: BTreeMap<String, Part>,
    parts: &BTreeMap<String, Part>,
) -> Result<(), ProjectError> {
    let mut groups = kept;
    groups.extend(parts.iter().map(|(group, part)| (group.clone(), *part)));
    let record = Record {
        rule: rule_of(study),
        groups,
    };
    // Plain names: turning them into text cannot fail.
    let mut text = serde_json::to_vec_pretty(&record).unwrap_or_default();
    text.push(b'\n');
    let path = path(study);
    // Untouched where nothing changed.
    if std::fs::read(&path).is_ok_and(|before| before == text) {
        return Ok(());
    }
    Ok(stainfree_image::write_atomic(&path, &text)?)
}

/// Fields that trained or validated before and are kept for the test now: the table before, and the
/// rows after.
pub(crate) fn moved_to_test(table: &Path, rows: &[FieldRow]) -> Result<usize, ProjectError> {
    let before: BTreeMap<String, Part> = fields::read_if_there(table)?
        .into_iter()
        .filter_map(|row| Some((row.name, row.split?)))
        .collect();
    let moved = |row: &&FieldRow| {
        let before = before.get(&row.name);
        row.split == Some(Part::Test) && before.is_some_and(|part| *part != Part::Test)
    };
    Ok(rows.iter().filter(moved).count())
}
