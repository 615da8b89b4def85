//! `compare`: what a person changed in automatic labels.

use std::path::PathBuf;

use anyhow::Result;
use stainfree_project::Study;
use stainfree_project::evaluation::compare::{
    Compared, check_csv, compare_labels, compare_study, write_csv,
};
use stainfree_project::evaluation::evaluate::Pair;
use stainfree_scores::Change;

use crate::Context;
use crate::failure::{Outcome, UsageError};
use crate::output::{self, Json};

/// List what was corrected by hand: nuclei split, merged, added, removed, redrawn, reshaped
///
/// With a study: human/corrected against the automatic nuclei of the same fields. Otherwise two
/// folders of label images, matched by name. Numbers of labels mean nothing.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  stainfree compare study
  stainfree compare --labels automatic/ --corrected edited/ --out changes.csv

To correct the truth of a study: copy DIR/truth/nuclei/NAME.tif to DIR/human/corrected/, edit the
copy in napari, Fiji or any other tool, and run `stainfree prepare DIR` again: that field then has
your nuclei. fields.csv says so in its column nuclei_from.")]
pub(crate) struct Compare {
    /// The study whose truth was corrected
    #[arg(conflicts_with_all = ["labels", "corrected"], required_unless_present = "labels")]
    dir: Option<PathBuf>,

    /// Folder of automatic labels
    #[arg(long, value_name = "DIR", requires = "corrected")]
    labels: Option<PathBuf>,

    /// Folder of the same labels after correction
    #[arg(long, value_name = "DIR", requires = "labels")]
    corrected: Option<PathBuf>,

    /// Write every change as a row: field, change, labels, place, areas, IoU
    #[arg(short = 'o', long = "out", visible_alias = "csv", value_name = "FILE")]
    csv: Option<PathBuf>,

    #[command(flatten)]
    json: Json,
}

impl Compare {
    pub(crate) fn run(&self, context: &Context) -> Result<Outcome> {
        self.json.check(&["name", "edits"])?;
        if let Some(path) = &self.csv {
            check_csv(path)?;
        }
        let job = context.job();
        let compared = match (&self.dir, &self.labels, &self.corrected) {
            (Some(dir), _, _) => compare_study(&Study::open(dir)?, &job)?,
            (None, Some(labels), Some(corrected)) => {
                let pair = Pair {
                    truth: corrected.clone(),
                    prediction: labels.clone(),
                };
                compare_labels(&pair, &job)?
            }
            // The parser lets nothing else through.
            _ => {
                return Err(
                    UsageError("name a study, or `--labels` and `--corrected`".to_owned()).into(),
                );
            }
        };
        context.console.finish();
        for (name, sentence) in &compared.failed {
            context
                .console
                .warn(&format!("`{name}` is not compared: {sentence}"));
        }
        for message in &compared.messages {
            context.job().progress.note(message);
        }
        if let Some(path) = &self.csv {
            write_csv(path, &compared.fields)?;
        }
        self.json.write(&compared.fields)?;
        self.json.print(&table(&compared))?;
        Outcome::of(compared.fields.len(), compared.failed.len())
    }
}

/// A row a field and one for their sum.
fn table(compared: &Compared) -> String {
    let header: Vec<&str> = std::iter::once("field")
        .chain(Change::ALL.map(Change::name))
        .collect();
    let row = |name: &str, count: &dyn Fn(Change) -> usize| -> Vec<String> {
        std::iter::once(name.to_owned())
            .chain(Change::ALL.map(|change| count(change).to_string()))
            .collect()
    };
    let mut rows: Vec<Vec<String>> = compared
        .fields
        .iter()
        .map(|field| row(&field.name, &|change| field.count(change)))
        .collect();
    rows.push(row("all", &|change| compared.count(change)));
    output::table(&header, &rows, 1)
}
