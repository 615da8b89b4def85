//! `prepare`: truth, labels, overlays, split.

use std::path::PathBuf;

use anyhow::Result;
use stainfree_project::{Part, Study};

use crate::Context;
use crate::failure::Outcome;
use crate::output;

/// Make the truth of every field: class masks, nucleus labels, overlays, split
///
/// Run again after a change of stainfree.toml or of images: only what changed is remade. A field
/// that cannot be read is reported and left out, the rest goes on (exit code 3).
#[derive(clap::Args)]
#[command(after_help = "Example:
  stainfree prepare study

Writes DIR/truth/classes, DIR/truth/nuclei (TIFF), DIR/truth/overlays (PNG, to look at) and
DIR/fields.csv with a row for each field: split, shares, counts, verdicts, usable or not and why.

Nuclei corrected by hand: copies of DIR/truth/nuclei/NAME.tif in DIR/truth/corrected, edited in any
tool, take the place of the automatic ones; see `stainfree compare`.")]
pub(crate) struct Prepare {
    /// The study
    dir: PathBuf,
}

impl Prepare {
    pub(crate) fn run(&self, context: &Context) -> Result<Outcome> {
        let study = Study::open(&self.dir)?;
        let prepared = stainfree_project::prepare::prepare(&study, &context.job())?;
        context.console.finish();
        for (_, sentence) in &prepared.failed {
            context.console.warn(sentence);
        }
        let left_out: Vec<_> = prepared.rows.iter().filter(|row| !row.is_usable()).collect();
        output::print(&format!(
            "{} fields: {} train, {} validation, {} test, {} left out ({} made, {} unchanged)",
            prepared.rows.len(),
            prepared.count(Part::Train),
            prepared.count(Part::Validation),
            prepared.count(Part::Test),
            left_out.len(),
            prepared.made,
            prepared.kept
        ))?;
        for row in &left_out {
            context.console.detail(&format!("left out `{}`: {}", row.name, row.remarks));
        }
        if prepared.count(Part::Validation) == 0 {
            context.job().progress.note("no field validates: the checkpoint will be the last one; give more groups or another `split.group`");
        }
        if prepared.count(Part::Test) == 0 {
            context.job().progress.note("no field is kept for the test: `evaluate` will have nothing to score");
        }
        if !prepared.failed.is_empty() {
            context.console.warn(&format!("{} of {} fields failed", prepared.failed.len(), prepared.rows.len()));
        }
        Outcome::of(prepared.made + prepared.kept, prepared.failed.len())
    }
}
