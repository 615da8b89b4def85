//! `man`: manual pages.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap_mangen::Man as Page;
use stainfree_image::write_atomic;
use stainfree_project::ProjectError;
use stainfree_project::study::guard;

use crate::Context;
use crate::failure::Outcome;
use crate::output;

/// What every page begins with, by which its own pages are known again.
const BEGIN: &str = ".ie \\n(.g";

/// Write manual pages for `man`: one for the program, one for each command
#[derive(clap::Args)]
#[command(after_help = "Examples:
  stainfree man --out ~/.local/share/man/man1
  stainfree man | man -l -

Writes DIR/stainfree.1 and DIR/stainfree-COMMAND.1; without --out the first goes to standard
output.")]
pub(crate) struct Man {
    /// Folder for the pages
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Man {
    pub(crate) fn run(&self, _context: &Context) -> Result<Outcome> {
        let pages = pages()?;
        let Some(dir) = &self.out else {
            let (_, first) = &pages[0];
            output::print(&String::from_utf8_lossy(first))?;
            return Ok(Outcome::Done);
        };
        for (name, _) in &pages {
            check(&dir.join(name))?;
        }
        std::fs::create_dir_all(dir).map_err(|error| ProjectError::write(dir, &error))?;
        for (name, page) in &pages {
            write_atomic(&dir.join(name), page)?;
        }
        output::print(&format!(
            "{} manual pages in `{}`",
            pages.len(),
            dir.display()
        ))?;
        Ok(Outcome::Done)
    }
}

/// Refuses a file that is no manual page.
fn check(path: &Path) -> Result<(), ProjectError> {
    guard::check_file(path, "a manual page", |path| {
        guard::begins_with(path, BEGIN)
    })
    .map_err(ProjectError::from)
}

/// The pages by file name, the program's first.
fn pages() -> Result<Vec<(String, Vec<u8>)>> {
    let mut program = crate::program().disable_help_subcommand(true);
    program.build();
    let commands = program.get_subcommands().filter(|one| !one.is_hide_set());
    std::iter::once(&program)
        .chain(commands)
        .map(|one| {
            let page = Page::new(one.clone());
            let mut text = Vec::new();
            page.render(&mut text)?;
            Ok((page.get_filename(), text))
        })
        .collect()
}
