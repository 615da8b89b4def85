//! Progress and notes on standard error: a bar on a terminal, a line every few seconds elsewhere.

use std::io::{self, IsTerminal, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use stainfree_project::Progress;

/// Pause between two lines of progress where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Writes what the library reports.
pub(crate) struct Console {
    quiet: bool,
    verbose: bool,
    state: Mutex<State>,
}

struct State {
    bar: Option<ProgressBar>,
    total: usize,
    terminal: bool,
    last_line: Option<Instant>,
}

impl Console {
    /// A console for this run.
    pub(crate) fn new(quiet: bool, verbose: bool) -> Self {
        let state = State {
            bar: None,
            total: 0,
            terminal: io::stderr().is_terminal(),
            last_line: None,
        };
        Self {
            quiet,
            verbose,
            state: Mutex::new(state),
        }
    }

    /// A note that only `--verbose` shows.
    pub(crate) fn detail(&self, message: &str) {
        if self.verbose {
            self.line(message);
        }
    }

    /// A warning: shown even with `--quiet`, since it names an input that failed.
    pub(crate) fn warn(&self, message: &str) {
        let yellow = console::Style::new().for_stderr().yellow().bold();
        self.write(&format!("{} {message}", yellow.apply_to("warning:")));
    }

    /// Takes the bar away, so that what follows starts on a line of its own.
    pub(crate) fn finish(&self) {
        if let Some(bar) = self.lock().bar.take() {
            bar.finish_and_clear();
        }
    }

    fn line(&self, message: &str) {
        if !self.quiet {
            self.write(message);
        }
    }

    fn write(&self, message: &str) {
        let state = self.lock();
        let put = || {
            // Standard error may be closed; there is nowhere left to say so.
            let _ = writeln!(io::stderr().lock(), "{message}");
        };
        match &state.bar {
            Some(bar) => bar.suspend(put),
            None => put(),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Progress for Console {
    fn step(&self, done: usize, total: usize, message: &str) {
        if self.quiet {
            return;
        }
        let mut state = self.lock();
        if state.terminal {
            if state.bar.is_none() || state.total != total {
                if let Some(old) = state.bar.take() {
                    old.finish_and_clear();
                }
                let bar =
                    ProgressBar::with_draw_target(Some(total as u64), ProgressDrawTarget::stderr());
                if let Ok(style) =
                    ProgressStyle::with_template("{bar:24} {pos}/{len} {eta:>4} left  {wide_msg}")
                {
                    bar.set_style(style.progress_chars("=> "));
                }
                state.bar = Some(bar);
                state.total = total;
            }
            if let Some(bar) = &state.bar {
                bar.set_position(done as u64);
                bar.set_message(message.to_owned());
                if done >= total {
                    bar.finish_and_clear();
                }
            }
            if done >= total {
                state.bar = None;
            }
            return;
        }
        let due = state
            .last_line
            .is_none_or(|last| last.elapsed() >= LINE_EVERY)
            || done == total;
        if due {
            state.last_line = Some(Instant::now());
            let _ = writeln!(io::stderr().lock(), "{done}/{total}  {message}");
        }
    }

    fn note(&self, message: &str) {
        self.line(message);
    }
}
