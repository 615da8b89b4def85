//! The commands: one file each, and one line each in the registry at the end.
//!
//! A command is a `clap` struct with its help texts and a `run` that turns arguments into one library
//! call and shows the result.

use anyhow::Result;
use stainfree_network::{Isa, Precision};

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
    compare::Compare,
    measure::Measure,
    report::Report,
    experiment::Experiment,
    advise::Advise,
    demo::Demo,
    segment::Segment,
    simulate::Simulate,
    weights::Weights,
    bench::Bench,
    devices::Devices,
}

/// `--precision`, checked against this processor.
fn precision(name: &str) -> Result<Precision> {
    let precision = Precision::parse(name).unwrap_or_default();
    match Isa::choose(precision) {
        Ok(_) => Ok(precision),
        Err(sentence) => {
            Err(crate::failure::UsageError(format!("`--precision {name}`: {sentence}")).into())
        }
    }
}
