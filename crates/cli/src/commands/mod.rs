//! The commands: one file each, and one line each in the registry at the end.
//!
//! A command is a `clap` struct with its help texts and a `run` that turns arguments into one
//! library call and shows the result.

use std::path::Path;

use anyhow::Result;
use stainfree_network::{Isa, Precision};
use stainfree_project::human::corrected::bring_over;
use stainfree_project::train::Trained;
use stainfree_project::{ProjectError, Study};

use crate::Context;
use crate::failure::Outcome;

// Declared here and not in the macro below, where `cargo fmt` would not see them.
mod advise;
mod bench;
mod choices;
mod compare;
mod demo;
mod devices;
mod evaluate;
mod exclude;
mod experiment;
mod inspect;
mod measure;
mod new;
mod predict;
mod prepare;
mod pretrain;
mod report;
mod segment;
mod simulate;
mod train;
mod weights;

/// Makes the subcommands and the dispatch from one list.
macro_rules! commands {
    ($($module:ident :: $args:ident),+ $(,)?) => {
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
    pretrain::Pretrain,
    predict::Predict,
    evaluate::Evaluate,
    compare::Compare,
    exclude::Exclude,
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

/// Opens a study; what earlier versions kept elsewhere is brought to where it belongs, and said.
fn open_study(dir: &Path, context: &Context) -> Result<Study> {
    let study = Study::open(dir)?;
    if let Some(line) = bring_over(&study)? {
        context.job().progress.note(&line);
    }
    Ok(study)
}

/// Who decides: as given, else as the environment says.
fn who(given: Option<&String>) -> String {
    let named = ["STAINFREE_USER", "USER", "LOGNAME", "USERNAME"]
        .iter()
        .filter_map(|variable| std::env::var(variable).ok());
    given
        .cloned()
        .into_iter()
        .chain(named)
        .map(|name| name.trim().to_owned())
        .find(|name| !name.is_empty())
        .unwrap_or_else(|| "unknown".to_owned())
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

/// Refuses a `--width` that is no number.
fn finite_width(width: Option<f64>) -> Result<()> {
    if width.is_some_and(|width| !width.is_finite()) {
        let sentence = "`--width` must be a number such as `0.25`".to_owned();
        return Err(crate::failure::UsageError(sentence).into());
    }
    Ok(())
}

/// A finished training in a line; one that was stopped says how to go on.
fn trained(context: &Context, result: Result<Trained, ProjectError>) -> Result<String> {
    context.console.finish();
    let trained = result.inspect_err(|_| {
        if context.cancel.is_stopped() {
            context
                .console
                .warn("stopped; the same command goes on from here");
        }
    })?;
    let chosen = trained
        .chosen_value
        .map_or(String::new(), |value| format!(", chosen at {value:.4}"));
    Ok(format!(
        "model `{}`: {} steps in {:.0} s, kept step {}{chosen}",
        trained.model.display(),
        trained.steps,
        trained.seconds,
        trained.chosen_step
    ))
}
