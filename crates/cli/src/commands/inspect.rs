//! `inspect`: what is in this folder?

use std::path::PathBuf;

use anyhow::Result;
use stainfree_image::{Dataset, Inspection, open, summarise};
use stainfree_project::study::channels::{Recognised, recognise_brightfield};

use crate::Context;
use crate::failure::Outcome;
use crate::next;
use crate::opening::Opening;
use crate::output::{self, Json};

/// Show what a folder, plate or image file holds
///
/// Recognises the layout and lists fields, wells, channels, planes, size and pixel size, and
/// everything that is missing or odd. Only headers are read, so large plates take seconds.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  stainfree inspect plate/\n  stainfree inspect plate/ --json -")]
pub(crate) struct Inspect {
    /// Plate, folder or image file
    path: PathBuf,

    #[command(flatten)]
    json: Json,

    #[command(flatten)]
    opening: Opening,
}

/// What `--json` writes.
#[derive(serde::Serialize)]
struct Found<'a> {
    #[serde(flatten)]
    inspection: &'a Inspection,
    /// The channels that look like brightfield.
    brightfield: Option<&'a [String]>,
    /// By what they do.
    brightfield_by: Option<&'static str>,
}

/// What tells that channels are brightfield; `alone`, there is one channel.
fn by(found: &Recognised, alone: bool) -> &'static str {
    match (found.said, alone) {
        (true, _) => "as the files say",
        (false, true) => "the only channel",
        (false, false) => "guessed from names",
    }
}

/// That no brightfield was found, and of which channels the files say that they are none.
fn unknown(dataset: &Dataset) -> String {
    match &dataset.said_to_be(false)[..] {
        [] => "unknown".to_owned(),
        others => format!(
            "unknown (no transmitted light, as the files say: {})",
            others.join(", ")
        ),
    }
}

impl Inspect {
    pub(crate) fn run(&self, context: &Context) -> Result<Outcome> {
        self.json.check(&["layout", "fields", "channels"])?;
        let dataset = open(&self.path, &self.opening.options())?;
        let found = summarise(&dataset);
        let brightfield = recognise_brightfield(&dataset);
        let alone = dataset.channels.len() == 1;
        self.json.write(&Found {
            inspection: &found,
            brightfield: brightfield.as_ref().map(|found| &found.channels[..]),
            brightfield_by: brightfield.as_ref().map(|found| by(found, alone)),
        })?;
        let rows: Vec<Vec<String>> = [
            ("layout", found.layout.clone()),
            ("fields", found.fields.to_string()),
            ("wells", found.wells.to_string()),
            ("sites per well", found.sites.to_string()),
            ("time points", found.times.to_string()),
            ("planes", found.planes.to_string()),
            ("channels", found.channels.join(", ")),
            (
                "brightfield",
                match &brightfield {
                    Some(found) => format!("{} ({})", found.channels.join(", "), by(found, alone)),
                    None => unknown(&dataset),
                },
            ),
            (
                "size (height x width)",
                format!("{} x {}", found.height, found.width),
            ),
            ("pixel size", found.pixel_size()),
        ]
        .into_iter()
        .map(|(what, value)| vec![what.to_owned(), value])
        .collect();
        self.json.print(&output::table(
            &["", &self.path.display().to_string()],
            &rows,
            usize::MAX,
        ))?;
        if !found.problems.is_empty() {
            self.json
                .print(&format!("\nmissing or odd ({}):", found.problems.len()))?;
            for problem in &found.problems {
                self.json.print(&format!("  - {problem}"))?;
            }
        }
        if found.fields > 0 {
            context.next(
                &format!("stainfree new {} --out study", next::word(&self.path)),
                "where they are stained; `stainfree predict MODEL PATH` where not",
            );
        }
        Ok(Outcome::Done)
    }
}
