//! `plan`: which wells of a screen to stain.

use std::path::PathBuf;

use anyhow::Result;
use stainfree_project::screen::plan::{PlanOptions, Planned, plan};
use stainfree_project::{ProjectError, Study};

use crate::Context;
use crate::failure::{Outcome, UsageError};
use crate::next;
use crate::opening::Names;
use crate::output::Json;

/// Draw at random which wells of a screen to stain, for `estimate`
///
/// All wells have the same probability; those drawn are spread over plates, over conditions, and
/// over what was predicted, where that is known. With a study, wells that trained its model are not
/// drawn. Written is a table: `plate, well, probability, stratum`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  stainfree plan study plate --wells 24 --out stain.csv
  stainfree plan wells.csv --wells 24 --by dose --layout layout.csv --column objects

Stain those wells, measure them, and give both tables to `stainfree estimate`. The same seed draws
the same wells again; do not draw until you like them: that is no longer at random.")]
pub(crate) struct Plan {
    /// Plates, or tables with a row a well; a study among them says which wells trained its model
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// Number of wells to stain
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    wells: u64,

    #[command(flatten)]
    names: Names,

    /// Column of conditions, such as a dose, over which wells are spread
    #[arg(long, value_name = "COLUMN")]
    by: Option<String>,

    /// Table with that column, by well (and plate) [default: the table of the screen]
    #[arg(long, value_name = "TABLE", requires = "by")]
    layout: Option<PathBuf>,

    /// Column of predictions over which wells are spread
    #[arg(long, value_name = "NAME")]
    column: Option<String>,

    /// Another number draws other wells
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// Write the table to FILE [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,

    #[command(flatten)]
    json: Json,
}

/// What the table has to begin with where one is written over.
const HEAD: &str = "plate,well,probability,stratum";

impl Plan {
    pub(crate) fn run(&self, context: &Context) -> Result<Outcome> {
        self.json.check_result(&["wells", "of"])?;
        if let Some(out) = &self.out {
            let is_ours = |path: &std::path::Path| {
                // With another column, somebody has put counts in.
                std::fs::read_to_string(path).is_ok_and(|text| text.lines().next() == Some(HEAD))
            };
            let expected = "a table that this command has written";
            stainfree_project::study::guard::check_file(out, expected, is_ours)
                .map_err(ProjectError::from)?;
        }
        let (studies, screen): (Vec<_>, Vec<_>) = self
            .paths
            .iter()
            .cloned()
            .partition(|path| Study::is_at(path));
        let study = match studies.as_slice() {
            [] => None,
            [study] => Some(study.clone()),
            _ => return Err(UsageError("name one study at most".to_owned()).into()),
        };
        if screen.is_empty() {
            return Err(UsageError(
                "name the plates or the table of the screen, after the study".to_owned(),
            )
            .into());
        }
        let planned = plan(&PlanOptions {
            screen,
            study,
            opening: self.names.options(),
            wells: usize::try_from(self.wells).unwrap_or(usize::MAX),
            by: self.by.clone(),
            layout: self.layout.clone(),
            column: self.column.clone(),
            seed: self.seed,
        })?;
        for problem in &planned.problems {
            context.console.warn(problem);
        }
        self.json.write_result(&planned)?;
        let table = table(&planned);
        match &self.out {
            Some(out) => {
                stainfree_image::write_atomic(out, table.as_bytes())?;
                self.json.print(&format!(
                    "{} of {} wells are to be stained: written to `{}`",
                    planned.wells.len(),
                    planned.of,
                    out.display()
                ))?;
                let stained = next::word(out);
                context.next(
                    &format!("stainfree estimate --predicted wells.csv --stained {stained}"),
                    "once the counts of the stained wells are in a column of that table",
                );
            }
            None => self.json.print(&table)?,
        }
        Ok(Outcome::Done)
    }
}

/// As CSV.
fn table(planned: &Planned) -> String {
    let cell = |text: &str| match text.contains([',', '"', '\n', ';']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    };
    let row = |well: &stainfree_project::screen::plan::PlannedWell| {
        let (plate, stratum) = (cell(&well.plate), cell(&well.stratum));
        format!(
            "{plate},{},{},{stratum}\n",
            cell(&well.well),
            well.probability
        )
    };
    let rows: String = planned.wells.iter().map(row).collect();
    format!("{HEAD}\n{rows}")
}
