//! How a command ends: exit codes, the one sentence of an error, and the rim of last resort.

use std::io::{self, Write};
use std::process::ExitCode;

use stainfree_project::ProjectError;

/// The command could not be done.
pub(crate) const FAILED: u8 = 1;
/// Wrong usage.
pub(crate) const USAGE: u8 = 2;
/// Done, but some inputs failed.
pub(crate) const PARTLY: u8 = 3;
/// Stopped by Ctrl-C.
pub(crate) const STOPPED: u8 = 130;

/// How a command that ran to its end went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Everything was done.
    Done,
    /// Some inputs failed; they have been listed.
    Partly,
}

impl Outcome {
    /// `Partly` where some inputs failed.
    ///
    /// # Errors
    /// Every input failed, so that nothing was done.
    pub(crate) fn of(done: usize, failed: usize) -> anyhow::Result<Self> {
        match (done, failed) {
            (_, 0) => Ok(Outcome::Done),
            (0, 1) => anyhow::bail!("nothing was done: the only input failed"),
            (0, _) => anyhow::bail!("nothing was done: all {failed} inputs failed"),
            _ => Ok(Outcome::Partly),
        }
    }

    /// Its exit code.
    pub(crate) fn exit_code(self) -> ExitCode {
        match self {
            Outcome::Done => ExitCode::SUCCESS,
            Outcome::Partly => ExitCode::from(PARTLY),
        }
    }
}

/// A mistake in the arguments that the parser cannot see; exit code 2.
#[derive(Debug)]
pub(crate) struct UsageError(pub(crate) String);

impl std::fmt::Display for UsageError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

/// Prints `error` as one sentence (the chain behind it on demand) and gives its exit code.
pub(crate) fn report(error: &anyhow::Error, verbose: bool) -> ExitCode {
    let code = exit_code(error);
    // A closed pipe on standard output means that the reader has seen enough.
    if error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    {
        return ExitCode::SUCCESS;
    }
    let red = console::Style::new().for_stderr().red().bold();
    // Nothing can be said about a standard error that cannot be written to.
    let mut stderr = io::stderr().lock();
    let _ = writeln!(stderr, "{} {error}", red.apply_to("error:"));
    if verbose {
        let mut last = error.to_string();
        for cause in error.chain().skip(1).map(|cause| cause.to_string()) {
            if cause != last {
                let _ = writeln!(stderr, "  because: {cause}");
            }
            last = cause;
        }
    }
    ExitCode::from(code)
}

fn exit_code(error: &anyhow::Error) -> u8 {
    if error.downcast_ref::<UsageError>().is_some() {
        return USAGE;
    }
    match error.downcast_ref::<ProjectError>() {
        Some(ProjectError::Usage(_)) => USAGE,
        Some(ProjectError::Cancelled) => STOPPED,
        _ => FAILED,
    }
}

/// Replaces the panic message by one sentence: a panic is a fault of the program, not of the user.
pub(crate) fn one_sentence_panics() {
    std::panic::set_hook(Box::new(|info| {
        let what = info
            .payload()
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| info.payload().downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "no message".to_owned());
        let place = info.location().map_or(String::new(), |at| {
            format!(" at {}:{}", at.file(), at.line())
        });
        let _ = writeln!(
            io::stderr().lock(),
            "error: stainfree {} met a fault of its own{place} ({}); please report it with the \
             command that led here",
            env!("CARGO_PKG_VERSION"),
            what.replace('\n', " ")
        );
    }));
}
