//! The commands: one file each, and one line each in the registry at the end.
//!
//! A command is a `clap` struct with its help texts and a `run` that turns arguments into one library
//! call and shows the result.

use anyhow::Result;

use crate::Context;
use crate::failure::Outcome;

/// Makes the modules, the subcommands and the dispatch from one list.
macro_rules! commands {
    ($($module:ident :: $args:ident),+ $(,)?) => {
        $(mod $module;)+

        /// What to do.
        #[derive(clap::Subcommand)]
        pub(crate) enum Command {
            $(#[allow(missing_docs)] $args($module::$args),)+
        }

        impl Command {
            /// Runs the command.
            pub(crate) fn run(&self, context: &Context) -> Result<Outcome> {
                match self {
                    $(Command::$args(args) => args.run(context),)+
                }
            }
        }
    };
}

// In the order of the help page: the journey first.
commands! {
    inspect::Inspect,
    new::New,
    prepare::Prepare,
    train::Train,
    predict::Predict,
    evaluate::Evaluate,
    report::Report,
    demo::Demo,
    segment::Segment,
    simulate::Simulate,
    weights::Weights,
    bench::Bench,
    devices::Devices,
}

/// The CPU computes in f32; other precisions are known by name and refused with the way out.
fn only_f32(precision: &str) -> Result<()> {
    if precision == "f32" {
        return Ok(());
    }
    let sentence = format!(
        "precision `{precision}` cannot be computed by this version; use `--precision f32`"
    );
    Err(crate::failure::UsageError(sentence).into())
}
