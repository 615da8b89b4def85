//! What comes out of an experiment: a table of runs, a table of conditions, a page.
//!
//! A *condition* is everything but seed and fold; its numbers are means over its seeds, with an
//! interval that covers other groups of fields and other seeds at once.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use stainfree_report::{Column, Fact, ReportData, Table, encode_png, render};

use super::conditions::{Condition, conditions};
use super::curve::Advice;
use super::figures::{Named, figures};
use super::file::{Experiment, Images};
use super::questions;
use super::run_table::csv;
use super::shown::Shown;
use super::tables::tables;
use super::{RunResult, runs};
use crate::ProjectError;

/// Points of a training curve that are kept in a result.
const CURVE_POINTS: usize = 100;

/// The training loss over the steps from a log, as means over equal stretches.
///
/// # Errors
/// The log cannot be read.
pub(super) fn loss_curve(log: &Path) -> Result<Vec<(f64, f64)>, ProjectError> {
    let text = std::fs::read_to_string(log).map_err(|error| ProjectError::read(log, &error))?;
    let points: Vec<(f64, f64)> = text
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|entry| entry["what"] == "step")
        .filter_map(|entry| Some((entry["step"].as_f64()?, entry["loss"].as_f64()?)))
        .collect();
    let stretch = points.len().div_ceil(CURVE_POINTS).max(1);
    let mean = |part: &[(f64, f64)]| {
        let sum = part.iter().fold((0.0, 0.0), |s, p| (s.0 + p.0, s.1 + p.1));
        (sum.0 / part.len() as f64, sum.1 / part.len() as f64)
    };
    Ok(points.chunks(stretch).map(mean).collect())
}

/// Writes `results.csv`, `results.md`, `report.html`, and every figure as SVG and PNG in
/// `figures/`; returns their paths.
///
/// # Errors
/// A file cannot be written.
pub(super) fn write(
    experiment: &Experiment,
    out: &Path,
    results: &[RunResult],
    advice: &[Advice],
) -> Result<Vec<PathBuf>, ProjectError> {
    let conditions = conditions(results)?;
    let figures = figures(results, &conditions, advice);
    let tables = tables(
        experiment,
        &conditions,
        advice,
        questions::tables(&conditions)?,
    );
    let lines = summary(results, &conditions, advice);
    let folder = out.join("figures");
    std::fs::create_dir_all(&folder).map_err(|error| ProjectError::write(&folder, &error))?;
    let mut files = vec![
        (out.join("results.csv"), csv(results)?),
        (
            out.join("results.md"),
            markdown(experiment, &lines, &tables).into_bytes(),
        ),
        (
            out.join("report.html"),
            render(&page(
                experiment,
                trained(results).len(),
                lines,
                tables,
                &figures,
            ))?
            .into_bytes(),
        ),
    ];
    for (name, chart) in &figures {
        let svg = chart.svg.standalone();
        files.push((folder.join(format!("{name}.svg")), svg.into_bytes()));
        let png = encode_png(&chart.svg.picture())?;
        files.push((folder.join(format!("{name}.png")), png));
    }
    for (path, bytes) in &files {
        stainfree_image::write_atomic(path, bytes)?;
    }
    Ok(files.into_iter().map(|(path, _)| path).collect())
}

fn markdown(experiment: &Experiment, lines: &[String], tables: &[Shown]) -> String {
    let mut text = format!("# {}\n\n{}\n", title(experiment), lines.join("\n\n"));
    for table in tables {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n## {}\n\n{}\n\n", table.title, table.caption);
        let _ = writeln!(text, "| {} |", table.columns.join(" | "));
        let _ = writeln!(text, "|{}", "---|".repeat(table.columns.len()));
        for row in &table.rows {
            let _ = writeln!(text, "| {} |", row.join(" | "));
        }
    }
    text
}

fn title(experiment: &Experiment) -> String {
    let name = experiment.path.file_stem();
    name.map_or("experiment".into(), |name| {
        name.to_string_lossy().into_owned()
    })
}

/// The runs that were trained, each once: the same model with flips averaged is no other, nor is a
/// run under a second name.
fn trained(results: &[RunResult]) -> Vec<&RunResult> {
    let mut seen = BTreeSet::new();
    let own = results.iter().filter(|run| !run.choice.flips);
    own.filter(|run| seen.insert(&run.hash)).collect()
}

fn summary(results: &[RunResult], conditions: &[Condition], advice: &[Advice]) -> Vec<String> {
    let trained = trained(results);
    let seconds: f64 = trained.iter().map(|result| result.seconds).sum();
    let mut lines = vec![format!(
        "{} in {} of training.",
        runs(trained.len()),
        crate::training::shared::duration(seconds)
    )];
    let folded = |c: &&Condition| c.choice.fold.is_some();
    if let Some(first) = trained.iter().find(|run| run.choice.fold.is_none()) {
        lines.push(format!(
            "Scored on the test fields: {} of them; {}.",
            first.scores.images, first.scores.intervals.note
        ));
    }
    if let Some(condition) = conditions.iter().find(folded) {
        let fields = &condition.repeats[0];
        let groups: BTreeSet<_> = fields.iter().map(|field| &field.group).collect();
        lines.push(format!(
            "Cross-validated on {} fields of {} groups, each the test of one fold; the study's own \
             test fields are not looked at.",
            fields.len(),
            groups.len()
        ));
    }
    for one in advice {
        // What was varied beside the number of images; alone it needs no name.
        let name = match advice.len() {
            1 => String::new(),
            _ => format!("{}: ", one.condition),
        };
        lines.push(format!("{name}{}", one.sentence));
    }
    let shown = conditions.iter().find(|c| c.choice.images == Images::All);
    if let Some((condition, agreement)) = shown.and_then(|c| Some((c, c.agreement()?))) {
        let sentences = agreement.quantities.iter().take(2);
        let sentences: Vec<String> = sentences.map(|row| row.sentence(&agreement.unit)).collect();
        lines.push(format!(
            "The cost of freeing the channel ({}): {}",
            condition.label(),
            sentences.join(" ")
        ));
    }
    lines
}

fn page(
    experiment: &Experiment,
    count: usize,
    lines: Vec<String>,
    tables: Vec<Shown>,
    figures: &[Named],
) -> ReportData {
    let table = |shown: Shown| Table {
        title: shown.title,
        caption: shown.caption,
        columns: shown
            .columns
            .iter()
            .enumerate()
            .map(|(i, name)| {
                if holds_numbers(&shown.rows, i) {
                    Column::number(*name, "")
                } else {
                    Column::text(*name)
                }
            })
            .collect(),
        rows: shown
            .rows
            .into_iter()
            .map(|row| row.into_iter().map(Into::into).collect())
            .collect(),
        folded: false,
    };
    ReportData {
        title: title(experiment),
        subtitle: format!("an experiment of {}", runs(count)),
        summary: lines,
        charts: figures.iter().map(|(_, chart)| chart.clone()).collect(),
        tables: tables.into_iter().map(table).collect(),
        config: std::fs::read_to_string(&experiment.path).unwrap_or_default(),
        provenance: vec![Fact::new(
            "Program",
            format!("stainfree {}", env!("CARGO_PKG_VERSION")),
        )],
        ..ReportData::default()
    }
}

/// Whether a column is set to the right: it holds numbers, perhaps signed.
fn holds_numbers(rows: &[Vec<String>], column: usize) -> bool {
    let mut cells = rows.iter().filter_map(|row| row.get(column));
    let is_number =
        |cell: &String| cell.starts_with(|c: char| c.is_ascii_digit() || c == '+' || c == '-');
    column > 0 && cells.all(is_number)
}
