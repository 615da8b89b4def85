//! `estimate`: what a few stained wells say of a whole screen.

use std::path::PathBuf;

use anyhow::Result;
use stainfree_project::screen::estimate::{EstimateOptions, Estimated, Unit, estimate};
use stainfree_scores::powered::{Interval, Weight};

use crate::Context;
use crate::failure::Outcome;
use crate::output::{self, Json};

/// Estimate counts of a whole screen from predictions and a few stained wells
///
/// The mean of a column over all wells, with a 95 % interval that holds whatever the network's
/// errors: the predictions of all wells, corrected by how far they are off on the stained ones.
/// These must have been drawn at random (`stainfree plan`), and must not have trained the network.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  stainfree measure --labels predictions/nuclei --images plate --out nuclei.csv --wells wells.csv
  stainfree estimate --predicted wells.csv --stained stained.csv --column objects
  stainfree estimate --predicted wells.csv --stained stained.csv --by dose --layout layout.csv

Both tables have a row a well: `plate`, `well` and numbers. `worth` is how many stained wells would
say as much without predictions. Three stained wells (of each condition) are the least for an
interval. What is assumed, and how it was tested: docs/trust.md.")]
pub(crate) struct Estimate {
    /// Table of what the network says of every well
    #[arg(long, value_name = "TABLE")]
    predicted: PathBuf,

    /// Table of what the stain says of the stained wells
    #[arg(long, value_name = "TABLE")]
    stained: PathBuf,

    /// The study whose model predicts: wells that trained it are left out
    #[arg(long, value_name = "DIR")]
    study: Option<PathBuf>,

    /// Column to estimate [default: the only one that both tables have]
    #[arg(long, value_name = "NAME")]
    column: Option<String>,

    /// Column of conditions, such as a dose: each gets an estimate, and a difference
    #[arg(long, value_name = "COLUMN")]
    by: Option<String>,

    /// Table with that column, by well (and plate) [default: the predicted one]
    #[arg(long, value_name = "TABLE", requires = "by")]
    layout: Option<PathBuf>,

    /// Condition that the others are compared with [default: the first]
    #[arg(long, value_name = "VALUE", requires = "by")]
    against: Option<String>,

    /// What was drawn at random: by default plates where several stained wells share one and other
    /// plates have none, else wells
    #[arg(long, value_name = "UNIT", default_value = "auto")]
    unit: UnitArg,

    /// How much predictions count: `auto`, `tuned` as in PPI++, 0 (not at all), 1 (fully)
    #[arg(long, value_name = "X", default_value = "auto", value_parser = weight)]
    weight: Weight,

    #[command(flatten)]
    json: Json,
}

/// What was drawn.
#[derive(Clone, Copy, clap::ValueEnum)]
enum UnitArg {
    Auto,
    Well,
    Plate,
}

fn weight(text: &str) -> Result<Weight, String> {
    match text {
        "auto" => Ok(Weight::Auto),
        "tuned" => Ok(Weight::PowerTuned),
        number => match number.parse::<f64>() {
            Ok(weight) if weight.is_finite() => Ok(Weight::Given(weight)),
            _ => Err("give `auto`, `tuned` or a number such as 1".to_owned()),
        },
    }
}

impl Estimate {
    pub(crate) fn run(&self, context: &Context) -> Result<Outcome> {
        self.json.check_result(&["column", "groups"])?;
        let found = estimate(&EstimateOptions {
            predicted: self.predicted.clone(),
            stained: self.stained.clone(),
            study: self.study.clone(),
            column: self.column.clone(),
            by: self.by.clone(),
            layout: self.layout.clone(),
            against: self.against.clone(),
            unit: match self.unit {
                UnitArg::Auto => Unit::Auto,
                UnitArg::Well => Unit::Well,
                UnitArg::Plate => Unit::Plate,
            },
            weight: self.weight,
        })?;
        for problem in &found.problems {
            context.console.warn(problem);
        }
        self.json.write_result(&found)?;
        self.json.print(&text(&found))?;
        Ok(Outcome::Done)
    }
}

/// The estimates, and below them the differences.
fn text(found: &Estimated) -> String {
    let units = match found.unit {
        Unit::Plate => "plates",
        _ => "wells",
    };
    let by = found.by.as_deref().unwrap_or_default();
    let stained = format!("stained {units}");
    let others = format!("other {units}");
    let mean = format!("mean {}", found.column);
    let header = [
        by,
        &stained,
        &others,
        &mean,
        "95 %",
        "stained alone, 95 %",
        "worth",
        "to halve",
    ];
    let rows: Vec<Vec<String>> = found
        .groups
        .iter()
        .map(|row| {
            vec![
                row.by.clone().unwrap_or_else(|| "all".into()),
                row.n.to_string(),
                row.others.to_string(),
                rounded(row.powered.estimate),
                between(&row.powered),
                between(&row.classical),
                row.worth_wells
                    .map_or("-".into(), |wells| format!("{wells:.1}")),
                row.wells_to_halve
                    .map_or("-".into(), |wells| wells.to_string()),
            ]
        })
        .collect();
    let mut lines = vec![output::table(&header, &rows, 1)];
    if !found.differences.is_empty() {
        let header = ["difference", "estimate", "95 %", "stained alone, 95 %"];
        let rows: Vec<Vec<String>> = found
            .differences
            .iter()
            .map(|row| {
                vec![
                    format!("{} - {}", row.by, row.against),
                    rounded(row.powered.estimate),
                    between(&row.powered),
                    between(&row.classical),
                ]
            })
            .collect();
        lines.push(String::new());
        lines.push(output::table(&header, &rows, 1));
    }
    lines.join("\n")
}

fn between(interval: &Interval) -> String {
    match interval.ci95 {
        Some([low, high]) => format!("{} to {}", rounded(low), rounded(high)),
        None => "-".into(),
    }
}

/// Four digits, which is more than any of it means.
fn rounded(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    let digits = (3 - value.abs().log10().floor() as i32).max(0) as usize;
    format!("{value:.digits$}")
}
