//! The commands: one file each, and one line each in the registry at the end.
//!
//! A command is a `clap` struct with its help texts and a `run` that turns arguments into one
//! library call and shows the result.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::builder::Styles;
use stainfree_network::{Encoder, Isa, Precision};
use stainfree_project::study::group::GroupRule;
use stainfree_project::study::human::corrected::bring_over;
use stainfree_project::study::shards::Shard;
use stainfree_project::training::Trained;
use stainfree_project::{ProjectError, Study};

use crate::Context;
use crate::failure::Outcome;
use crate::output::Json;

// Declared here and not in the macro below, where `cargo fmt` would not see them.
mod adapt;
mod advise;
mod align;
mod bench;
mod choices;
mod compare;
mod completions;
mod convert;
mod demo;
mod devices;
mod estimate;
mod evaluate;
mod exclude;
mod experiment;
mod export;
mod folder;
mod import;
mod inspect;
mod man;
mod measure;
mod merge;
mod new;
mod outlines;
mod plan;
mod predict;
mod prepare;
mod pretrain;
mod report;
mod retrain;
mod segment;
mod simulate;
mod status;
mod train;
mod tune;
mod view;
mod weights;

/// Makes the subcommands, their groups on the help page, and the dispatch from one list.
macro_rules! commands {
    ($($heading:literal { $($module:ident :: $args:ident),+ $(,)? })+) => {
        /// What to do.
        #[derive(clap::Subcommand)]
        pub(crate) enum Command {
            $($(#[allow(missing_docs)] $args($module::$args),)+)+
        }

        impl Command {
            /// Runs the command.
            pub(crate) fn run(&self, context: &Context) -> Result<Outcome> {
                match self {
                    $($(Command::$args(args) => args.run(context),)+)+
                }
            }
        }

        /// The headings of the help page, and the commands below each.
        const GROUPS: &[(&str, &[&str])] = &[
            $(($heading, &[$(stringify!($module)),+])),+
        ];
    };
}

// In the order of the help page.
commands! {
    "From a stained plate to cells, in this order" {
        inspect::Inspect,
        new::New,
        prepare::Prepare,
        train::Train,
        predict::Predict,
        evaluate::Evaluate,
        measure::Measure,
        report::Report,
        view::View,
    }
    "More" {
        demo::Demo,
        segment::Segment,
        outlines::Outlines,
        retrain::Retrain,
        adapt::Adapt,
        tune::Tune,
        compare::Compare,
        convert::Convert,
        exclude::Exclude,
        align::Align,
        plan::Plan,
        estimate::Estimate,
        advise::Advise,
        experiment::Experiment,
        export::Export,
        import::Import,
        weights::Weights,
        status::Status,
        merge::Merge,
    }
    "For experts" {
        pretrain::Pretrain,
        simulate::Simulate,
        bench::Bench,
        devices::Devices,
        completions::Completions,
        man::Man,
    }
}

/// `program` with a help page that lists the commands in groups, which the parser cannot do itself.
pub(crate) fn in_groups(program: clap::Command) -> clap::Command {
    let (header, literal) = (Styles::styled(), Styles::styled());
    let (header, literal) = (header.get_header(), literal.get_literal());
    let mut list = String::new();
    for (heading, names) in GROUPS {
        list += &format!("{header}{heading}:{header:#}\n");
        for name in *names {
            let about = program
                .find_subcommand(name)
                .and_then(clap::Command::get_about)
                .map(ToString::to_string)
                .unwrap_or_default();
            list += &format!("  {literal}{name:<12}{literal:#} {about}\n");
        }
        list.push('\n');
    }
    program.help_template(format!(
        "{{before-help}}{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{list}\
         {header}Options:{header:#}\n{{options}}{{after-help}}"
    ))
}

/// Opens a study; what earlier versions kept elsewhere is brought to where it belongs, and said.
fn open_study(dir: &Path, context: &Context) -> Result<Study> {
    let study = Study::open(dir)?;
    if let Some(line) = bring_over(&study)? {
        context.job().progress.note(&line);
    }
    Ok(study)
}

/// The folder of a model: `given`, or that of the model `name` of the study `given`.
fn model_folder(given: &Path, name: Option<&str>, context: &Context) -> Result<PathBuf> {
    if !Study::is_at(given) {
        return match name {
            None => Ok(given.to_owned()),
            Some(_) => Err(crate::failure::UsageError(format!(
                "`--model` names a model of a study, and `{}` is none; leave it out",
                given.display()
            ))
            .into()),
        };
    }
    let study = open_study(given, context)?;
    Ok(study.trained_model(name)?)
}

/// The encoders, as values that the parser lists and checks.
fn encoders() -> clap::builder::PossibleValuesParser {
    clap::builder::PossibleValuesParser::new(Encoder::ALL.map(Encoder::name))
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
pub(crate) fn precision(name: &str) -> Result<Precision> {
    let precision = Precision::parse(name).unwrap_or_default();
    match Isa::choose(precision) {
        Ok(_) => Ok(precision),
        Err(sentence) => {
            Err(crate::failure::UsageError(format!("`--precision {name}`: {sentence}")).into())
        }
    }
}

/// `--group` as it is written today: a pattern has `re:` before it, which earlier versions had not.
fn group_rule(given: Option<&String>, context: &Context) -> Option<String> {
    let rule = given?;
    if !GroupRule::is_bare(rule) {
        return Some(rule.clone());
    }
    context.job().progress.note(&format!(
        "`--group {rule}` is taken for the pattern `re:{rule}`; write it so, since a later version \
         takes a bare word for a mistake"
    ));
    Some(format!("re:{rule}"))
}

/// Refuses a `--width` that is no number.
fn finite_width(width: Option<f64>) -> Result<()> {
    if width.is_some_and(|width| !width.is_finite()) {
        let sentence = "`--width` must be a number such as `0.25`".to_owned();
        return Err(crate::failure::UsageError(sentence).into());
    }
    Ok(())
}

/// The end of a command that fills a folder from `inputs`, of which `done` are there now and some
/// have failed: how it ended, and what to type next, where `measure` takes `objects`.
fn end_of_fields(
    context: &Context,
    inputs: &[PathBuf],
    objects: &str,
    done: usize,
    failed: &[String],
) -> Result<Outcome> {
    if !failed.is_empty() {
        let total = failed.len() + done;
        let sentence = format!("{} of {total} inputs failed", failed.len());
        context.console.warn(&sentence);
    }
    let outcome = Outcome::of(done, failed.len())?;
    if let [images] = inputs {
        let images = crate::next::word(images);
        context.next_after(
            outcome,
            &format!("stainfree measure {objects} --images {images} --out cells.csv"),
            "a row for every nucleus",
        );
    }
    Ok(outcome)
}

/// The end of a command that did `shard` of the fields of `folder`: how it ended, and what to type
/// once all shards have.
fn end_of_shard(
    context: &Context,
    (shard, folder): (Shard, &Path),
    done: usize,
    failed: usize,
) -> Result<Outcome> {
    if failed > 0 {
        let sentence = format!("{failed} of {} inputs failed", failed + done);
        context.console.warn(&sentence);
    }
    let outcome = Outcome::of(done, failed)?;
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let word = crate::next::word(folder);
    context.next_after(
        outcome,
        &format!("stainfree merge {word}"),
        &format!(
            "once all {} shards are done, as `stainfree status {word}` says",
            shard.count()
        ),
    );
    Ok(outcome)
}

/// Keys by which the JSON of a training is told.
const TRAINED: [&str; 2] = ["model", "chosen_step"];

/// Says what a finished training left; one that was stopped says how to go on.
fn trained(context: &Context, result: Result<Trained, ProjectError>, json: &Json) -> Result<()> {
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
    json.write_result(&serde_json::json!({
        "model": trained.model,
        "steps": trained.steps,
        "chosen_step": trained.chosen_step,
        "chosen_value": trained.chosen_value,
        "seconds": trained.seconds,
    }))?;
    json.print(&format!(
        "model `{}`: {} steps in {:.0} s, kept step {}{chosen}",
        trained.model.display(),
        trained.steps,
        trained.seconds,
        trained.chosen_step
    ))
}
