//! Results: tables and JSON on standard output or into a file.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Result;
use stainfree_project::ProjectError;
use stainfree_project::study::guard;

/// What is written as `-`.
const STDOUT: &str = "-";

/// Keys by which the JSON of scores is told.
pub(crate) const SCORES: [&str; 3] = ["images", "groups", "classes"];

/// Prints a result on standard output.
///
/// # Errors
/// The output is closed; a closed pipe ends the program quietly (see [`crate::failure::report`]).
pub(crate) fn print(text: &str) -> Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    if !text.ends_with('\n') {
        stdout.write_all(b"\n")?;
    }
    stdout.flush()?;
    Ok(())
}

/// What [`OfProgram`] calls the version.
const PROGRAM: &str = "program";

/// The result of a command, with the version of the program that it is of.
#[derive(serde::Serialize)]
struct OfProgram<'a, T> {
    program: &'static str,
    #[serde(flatten)]
    result: &'a T,
}

/// `--json`, which every command with a result takes.
#[derive(clap::Args)]
pub(crate) struct Json {
    /// Write the result as JSON to FILE; `-` is standard output
    #[arg(long = "json", value_name = "FILE")]
    target: Option<PathBuf>,
}

impl Json {
    /// Refuses a target that holds anything else than the JSON of the same command, which has these
    /// keys. To be asked before any work is done.
    ///
    /// # Errors
    /// The file is somebody's own.
    pub(crate) fn check(&self, keys: &[&str]) -> Result<()> {
        if let Some(target) = self
            .target
            .as_deref()
            .filter(|target| *target != Path::new(STDOUT))
        {
            let expected = "JSON that this command has written";
            guard::check_file(target, expected, |path| guard::is_json(path, keys))
                .map_err(ProjectError::from)?;
        }
        Ok(())
    }

    /// As [`check`](Self::check), for a command whose JSON says which program wrote it.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub(crate) fn check_result(&self, keys: &[&str]) -> Result<()> {
        let keys: Vec<&str> = [PROGRAM].iter().chain(keys).copied().collect();
        self.check(&keys)
    }

    /// As [`write`](Self::write), with the program's version before what `result` holds.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub(crate) fn write_result(&self, result: &impl serde::Serialize) -> Result<()> {
        self.write(&OfProgram {
            program: env!("CARGO_PKG_VERSION"),
            result,
        })
    }

    /// Writes `value` where it was asked for.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn write(&self, value: &impl serde::Serialize) -> Result<()> {
        let Some(target) = self.target.as_deref() else {
            return Ok(());
        };
        let text = serde_json::to_string_pretty(value)?;
        if target == Path::new(STDOUT) {
            return print(&text);
        }
        stainfree_image::write_atomic(target, format!("{text}\n").as_bytes())?;
        Ok(())
    }

    /// Prints a result for people, unless standard output is taken by JSON.
    ///
    /// # Errors
    /// As [`print()`].
    pub(crate) fn print(&self, text: &str) -> Result<()> {
        match self.target.as_deref() {
            Some(target) if target == Path::new(STDOUT) => Ok(()),
            _ => print(text),
        }
    }
}

/// A table with a header; columns from `right` on are aligned to the right.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>], right: usize) -> String {
    let titles: Vec<String> = header.iter().map(|&title| title.to_owned()).collect();
    let lines: Vec<&Vec<String>> = std::iter::once(&titles).chain(rows).collect();
    let width = |column: usize| {
        lines
            .iter()
            .filter_map(|line| line.get(column))
            .map(|cell| console::measure_text_width(cell))
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let mut text = Vec::new();
    for line in &lines {
        let cells: Vec<String> = line
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(column, (cell, &width))| {
                let side = if column >= right {
                    console::Alignment::Right
                } else {
                    console::Alignment::Left
                };
                console::pad_str(cell, width, side, None).into_owned()
            })
            .collect();
        text.push(cells.join("   ").trim_end().to_owned());
    }
    text.join("\n")
}

#[cfg(test)]
mod tests {
    use super::table;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [
            vec!["zytoplasma ä".to_owned(), "0.5".to_owned()],
            vec!["b".to_owned(), "10.25".to_owned()],
        ];
        assert_eq!(
            table(&["what", "value"], &rows, 1),
            "what           value\nzytoplasma ä     0.5\nb              10.25"
        );
    }
}
