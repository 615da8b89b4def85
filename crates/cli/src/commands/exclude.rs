//! `exclude`: fields that a person takes out of a study.

use std::path::PathBuf;

use anyhow::Result;
use stainfree_project::Study;
use stainfree_project::study::human::Stamp;
use stainfree_project::study::human::excluded::{self, in_force};

use super::who;
use crate::Context;
use crate::failure::Outcome;
use crate::next;
use crate::output::Json;

/// Take fields out of a study, with the reason; without fields: list those that are out
///
/// The next prepare leaves them out of training, validation and test. Their truth stays, and they
/// can be taken in again.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  stainfree exclude study B02_s1 C05_s3 --because \"out of focus\"
  stainfree exclude study B02_s1 --undo
  stainfree exclude study

Adds rows to DIR/human/excluded.csv (field, excluded, reason, image, who, when), which no command
rewrites; the last row of a field counts. Rows may as well be typed there, in Excel or an editor:
`field` is enough.")]
pub(crate) struct Exclude {
    /// The study
    dir: PathBuf,

    /// Names of the fields, as in fields.csv
    #[arg(value_name = "FIELD")]
    fields: Vec<String>,

    /// Why they are not to be used
    #[arg(
        long,
        value_name = "TEXT",
        requires = "fields",
        conflicts_with = "undo"
    )]
    because: Option<String>,

    /// Take them in again
    #[arg(long, requires = "fields")]
    undo: bool,

    /// Who says so [default: STAINFREE_USER, else the name of your account]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,

    #[command(flatten)]
    json: Json,
}

impl Exclude {
    pub(crate) fn run(&self, context: &Context) -> Result<Outcome> {
        self.json.check_result(&["excluded"])?;
        let study = super::open_study(&self.dir, context)?;
        if self.fields.is_empty() {
            let out = in_force(&study)?;
            for (field, row) in &out {
                self.json.print(&format!("`{field}`: {}", row.remark()))?;
            }
            if out.is_empty() {
                self.json.print("no field is excluded")?;
            }
            self.write(&study)?;
            return Ok(Outcome::Done);
        }
        let reason = self.because.as_deref().unwrap_or_default();
        let stamp = Stamp::now(&who(self.by.as_ref()));
        excluded::decide(&study, &self.fields, !self.undo, reason, &stamp)?;
        self.write(&study)?;
        self.json.print(&format!(
            "{} {} in `{}`",
            match self.fields.as_slice() {
                [field] => format!("`{field}`"),
                fields => format!("{} fields", fields.len()),
            },
            if self.undo {
                "taken in again"
            } else {
                "excluded"
            },
            excluded::path(&study).display(),
        ))?;
        context.next(
            &format!("stainfree prepare {}", next::word(&self.dir)),
            "for it to count",
        );
        Ok(Outcome::Done)
    }

    /// The fields that are out, as JSON.
    fn write(&self, study: &Study) -> Result<()> {
        let excluded: Vec<serde_json::Value> = in_force(study)?
            .iter()
            .map(|(field, row)| serde_json::json!({"field": field, "remark": row.remark()}))
            .collect();
        self.json
            .write_result(&serde_json::json!({"excluded": excluded}))
    }
}
