//! `tune`: how nuclei are made, chosen for a model that was trained before.

use std::path::PathBuf;

use anyhow::Result;
use stainfree_inference::{CONFIDENCE, DECISIONS, Decisions, TEMPERATURES, Trial};
use stainfree_project::training::tune::tune;

use crate::failure::Outcome;
use crate::output::Json;
use crate::{Context, memory, next};

/// Choose how a model's numbers become nuclei, on the validation fields
///
/// Threshold, smoothing, depth of cuts and smallest size are chosen by the nuclei that come out:
/// their F1 at IoU 0.5, their number and their mean area. No training: it takes seconds. `train`
/// does it at its end where four groups or more validate; a choice on fewer may be worse elsewhere.
/// How sure every nucleus is, the probability that it is right, is fitted on the same fields.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  stainfree tune study
  stainfree tune study --model first --json choice.json
  stainfree tune study --miss 0.1

Writes DIR/models/NAME/nuclei.toml: the rule, what it and the default give, and how the score
changes with each decision. `predict` and `evaluate` read it; `--rule default` passes it over, and
deleting the file brings the default back. Beside it confidence.toml: how sure nuclei by that rule
are, from which `predict` gives each a confidence, and fields a count with an interval;
probabilities.toml: temperatures by which probabilities of pixels are written; and
familiar.toml: what the training's fields look like, by which `predict` marks fields unlike them.")]
pub(crate) struct Tune {
    /// The study
    dir: PathBuf,

    /// Name of the model [default: the study's only one, or `model`]
    #[arg(long, value_name = "NAME")]
    model: Option<String>,

    /// Instead of the best rule, the strictest that misses at most this share of the nuclei in
    /// groups like the validation's, such as `0.05`: on average over such groups, whatever the
    /// network's errors. It needs 19 groups for 0.05, 9 for 0.1; fewer is an error that says so
    #[arg(long, value_name = "SHARE", value_parser = share)]
    miss: Option<f64>,

    /// Cap on memory, such as `2GiB`
    #[arg(long, value_name = "SIZE", value_parser = memory::parse)]
    memory: Option<usize>,

    #[command(flatten)]
    json: Json,
}

/// Reads a share, also where it is given in percent.
fn share(text: &str) -> Result<f64, String> {
    let (number, unit) = match text.strip_suffix('%') {
        Some(percent) => (percent.trim(), 0.01),
        None => (text, 1.0),
    };
    let share = number.parse::<f64>().ok().map(|number| number * unit);
    share
        .filter(|share| *share > 0.0 && *share < 1.0)
        .ok_or_else(|| "give a share between 0 and 1, such as `0.05`".to_owned())
}

impl Tune {
    pub(crate) fn run(&self, context: &Context) -> Result<Outcome> {
        self.json.check_result(&["model", "rule"])?;
        let study = super::open_study(&self.dir, context)?;
        let name = self.model.clone().unwrap_or_else(|| study.only_model());
        let folder = study.model_path(&name);
        let machine = context.machine.with_memory(self.memory);
        let chosen = tune(&study, &name, self.miss, &context.job().on(&machine))?;
        context.console.finish();
        self.json.write_result(&chosen)?;
        let written = |name| format!("written to `{}`", folder.join(name).display());
        let mut lines = vec![table(&chosen.decisions), written(DECISIONS)];
        lines.push(chosen.confidence_note);
        lines.extend(chosen.confidence.map(|_| written(CONFIDENCE)));
        lines.push(chosen.probabilities_note);
        lines.extend(chosen.probabilities.map(|_| written(TEMPERATURES)));
        self.json.print(&lines.join("\n"))?;
        context.next(
            &format!(
                "stainfree evaluate {}{}",
                next::word(&self.dir),
                next::model(self.model.as_deref())
            ),
            "how good it is on fields that it has not seen",
        );
        Ok(Outcome::Done)
    }
}

/// The rule and the default beside each other.
fn table(chosen: &Decisions) -> String {
    let line = |name: &str, trial: &Trial| {
        format!(
            "{name:<8} {:>9.3} {:>12} {:>12}",
            trial.f1,
            percent(trial.count_error),
            percent(trial.area_error)
        )
    };
    let fields = chosen.fields.len();
    let promise = chosen.promise.map(|promise| {
        format!(
            "misses at most {:.1} % of the nuclei on average over groups like these {} ({:.1} % \
             here)",
            100.0 * promise.promised,
            promise.groups,
            100.0 * promise.missed_here
        )
    });
    let mut lines = vec![
        format!("nuclei of {fields} validation fields"),
        format!(
            "{:<8} {:>9} {:>12} {:>12}",
            "rule", "object F1", "count error", "area error"
        ),
        line("chosen", &chosen.chosen),
        line("default", &chosen.default),
    ];
    lines.extend(promise);
    lines.join("\n")
}

fn percent(share: f64) -> String {
    format!("{:+.1} %", 100.0 * share)
}
