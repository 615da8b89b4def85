//! The program `stainfree`: arguments, progress, messages, exit codes.
//!
//! Each command is one file in `commands/` and one line in the registry there; the work itself is a
//! library call with the same words. Exit codes: 0 done; 1 could not be done; 2 wrong usage;
//! 3 done, but some inputs failed; 130 stopped by Ctrl-C.

#![forbid(unsafe_code)]

mod also;
mod commands;
mod console;
#[cfg(feature = "download")]
mod download;
mod failure;
mod here;
mod memory;
mod next;
mod opening;
mod output;
mod rule;
mod scores_table;
mod shard;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser};
use stainfree_network::Machine;
use stainfree_project::Cancel;

use console::Console;

/// What the program is called.
const NAME: &str = "stainfree";

/// Nuclei and cytoplasm in unstained cells, on an ordinary PC.
///
/// Stain one plate, image it together with brightfield, and train; from then on brightfield is
/// enough. `stainfree demo` does all of it on a simulated plate. `stainfree` alone says what lies
/// in the current folder, and what to do next.
#[derive(Parser)]
#[command(
    name = NAME,
    version,
    max_term_width = 100
)]
struct Cli {
    /// Without one: what lies in this folder, and what to do next.
    #[command(subcommand)]
    command: Option<commands::Command>,

    #[command(flatten)]
    global: GlobalArgs,
}

/// The program as the parser knows it: arguments, help pages, completions and manual pages follow.
fn program() -> clap::Command {
    commands::in_groups(Cli::command())
}

/// The arguments; the parser itself ends the program where they are wrong or ask for help.
fn arguments() -> Cli {
    let mut program = program();
    let matches = program.get_matches_mut();
    Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.format(&mut program).exit())
}

/// Flags that every command takes.
#[derive(clap::Args, Clone, Debug)]
struct GlobalArgs {
    /// Threads to use [default: all cores]; results do not depend on it
    #[arg(
        short = 'j',
        long,
        global = true,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..=1024),
    )]
    threads: Option<u32>,

    /// No progress and no notes, only results and errors
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    quiet: bool,

    /// Say more, and show what lies behind an error
    #[arg(long, short, global = true)]
    verbose: bool,
}

/// What every command is given.
pub(crate) struct Context {
    console: Console,
    cancel: Cancel,
    machine: Machine,
}

impl Context {
    /// The job description of the library calls.
    fn job(&self) -> stainfree_project::Job<'_> {
        stainfree_project::Job::new(&self.console, &self.cancel, &self.machine)
    }

    /// The machine as `--precision` and `--memory` (bytes) of a command want it, its threads
    /// started: work that comes without asking for them would panic where there are none.
    fn machine(&self, precision: &str, memory: Option<usize>) -> anyhow::Result<Machine> {
        let precision = commands::precision(precision)?;
        let machine = self.machine.with_precision(precision);
        let machine = machine.map_err(anyhow::Error::msg)?;
        machine.workers().start().map_err(anyhow::Error::msg)?;
        Ok(machine.with_memory(memory))
    }
}

/// Ctrl-C and a request to terminate end the program after its current unit of work; the second one
/// at once.
///
/// A hang-up is left to the system, so that `nohup` means what it says.
fn stop_on_signals(cancel: &Cancel) {
    use signal_hook::consts::{SIGINT, SIGTERM};
    for signal in [SIGINT, SIGTERM] {
        let stopped = i32::from(failure::STOPPED);
        // The order matters: the first signal finds the flag down and only raises it. Without a
        // handler the signal still ends the program, only less cleanly: not worth failing for.
        let _ = signal_hook::flag::register_conditional_shutdown(signal, stopped, cancel.shared());
        let _ = signal_hook::flag::register(signal, cancel.shared());
    }
}

/// A file that grows beyond `ulimit -f` is an error of that write, with a sentence, instead of the
/// end of the program by a signal.
fn keep_running_at_size_limits() {
    #[cfg(unix)]
    {
        use signal_hook::consts::signal::SIGXFSZ;
        let noticed = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        // Without the handler the system ends the program: not worth failing for.
        let _ = signal_hook::flag::register(SIGXFSZ, noticed);
    }
}

/// Runs `work` on a pool of so many threads: its parallel loops stay there, where they would
/// otherwise take as many as the machine has.
fn on_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> anyhow::Result<T> {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        // As much as the first thread of a program usually has.
        .stack_size(8 << 20)
        .build()
        .map_err(|error| {
            anyhow::anyhow!("the system gives no {threads} threads ({error}); ask for fewer")
        })?;
    Ok(pool.install(work))
}

/// Whether no parallel loop has run outside of a pool, for which a pool of all cores is made.
fn nothing_took_all_cores() -> bool {
    let whole_machine = rayon::ThreadPoolBuilder::new().num_threads(1);
    whole_machine.build_global().is_ok()
}

fn main() -> ExitCode {
    let cli = arguments();
    failure::one_sentence_panics();
    let cancel = Cancel::new();
    stop_on_signals(&cancel);
    keep_running_at_size_limits();
    let threads = match cli.global.threads {
        Some(n) => n as usize,
        None => std::thread::available_parallelism().map_or(1, |n| n.get()),
    };
    let context = Context {
        console: Console::new(cli.global.quiet, cli.global.verbose),
        cancel,
        machine: Machine::new(threads),
    };
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let result = on_threads(threads, || match &cli.command {
            Some(command) => command.run(&context),
            None => here::look(&context),
        })?;
        debug_assert!(
            nothing_took_all_cores(),
            "a parallel loop ran outside of the threads that were asked for"
        );
        result
    }));
    context.console.finish();
    match result {
        Ok(Ok(outcome)) => outcome.exit_code(),
        Ok(Err(error)) => failure::report(&error, cli.global.verbose),
        // The hook has said what happened.
        Err(_) => ExitCode::from(failure::FAILED),
    }
}
