//! `completions`: what a shell completes after `stainfree`.

use anyhow::Result;
use clap_complete::{Shell, generate};

use crate::Context;
use crate::failure::Outcome;
use crate::output;

/// Print a script that lets a shell complete commands and options
#[derive(clap::Args)]
#[command(after_help = "Examples:
  stainfree completions bash > ~/.local/share/bash-completion/completions/stainfree
  stainfree completions zsh > ~/.zfunc/_stainfree       # a folder in $fpath
  stainfree completions fish > ~/.config/fish/completions/stainfree.fish
  stainfree completions powershell >> $PROFILE")]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(&self, _context: &Context) -> Result<Outcome> {
        let mut script = Vec::new();
        generate(self.shell, &mut crate::program(), crate::NAME, &mut script);
        output::print(&String::from_utf8(script)?)?;
        Ok(Outcome::Done)
    }
}
