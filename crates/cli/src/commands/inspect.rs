//! `inspect`: what is in this folder?

use std::path::PathBuf;

use anyhow::Result;
use stainfree_image::{OpenOptions, open, summarise};

use crate::Context;
use crate::failure::Outcome;
use crate::output;

/// Show what a folder, plate or image file holds
///
/// Recognises the layout and lists fields, wells, channels, planes, size and pixel size, and
/// everything that is missing or odd. Only headers are read, so large plates take seconds.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  stainfree inspect plate/\n  stainfree inspect plate/ --json -")]
pub(crate) struct Inspect {
    /// Plate, folder or image file
    path: PathBuf,

    /// Write what was found as JSON to FILE; `-` is standard output
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Pixel size in um, where the files state none or a wrong one
    #[arg(long, value_name = "UM")]
    pixel_um: Option<f64>,
}

impl Inspect {
    pub(crate) fn run(&self, _context: &Context) -> Result<Outcome> {
        output::check_json(self.json.as_deref(), &["layout", "fields", "channels"])?;
        let found = summarise(&open(
            &self.path,
            &OpenOptions {
                pixel_um: self.pixel_um,
                ..OpenOptions::default()
            },
        )?);
        if let Some(target) = &self.json {
            output::write_json(target, &found)?;
        }
        if !output::is_stdout(self.json.as_deref()) {
            let rows: Vec<Vec<String>> = [
                ("layout", found.layout.clone()),
                ("fields", found.fields.to_string()),
                ("wells", found.wells.to_string()),
                ("sites per well", found.sites.to_string()),
                ("time points", found.times.to_string()),
                ("planes", found.planes.to_string()),
                ("channels", found.channels.join(", ")),
                (
                    "size (height x width)",
                    format!("{} x {}", found.height, found.width),
                ),
                ("pixel size", found.pixel_size()),
            ]
            .into_iter()
            .map(|(what, value)| vec![what.to_owned(), value])
            .collect();
            output::print(&output::table(
                &["", &self.path.display().to_string()],
                &rows,
                usize::MAX,
            ))?;
            if !found.problems.is_empty() {
                output::print(&format!("\nmissing or odd ({}):", found.problems.len()))?;
                for problem in &found.problems {
                    output::print(&format!("  - {problem}"))?;
                }
            }
        }
        Ok(Outcome::Done)
    }
}
