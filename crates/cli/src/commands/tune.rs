//! `tune`: how nuclei are made, chosen for a model that was trained before.

use std::path::PathBuf;

use anyhow::Result;
use stainfree_inference::{CONFIDENCE, DECISIONS, Decisions, Trial};
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

Writes DIR/models/NAME/nuclei.toml: the rule, what it and the default give, and how the score
changes with each decision. `predict` and `evaluate` read it; `--rule default` passes it over, and
deleting the file brings the default back. Beside it confidence.toml: how sure nuclei by that rule
are, from which `predict` gives each a confidence, and fields a count with an interval; and
familiar.toml: what the training's fields look like, by which `predict` marks fields unlike them.")]
pub(crate) struct Tune {
    /// The study
    dir: PathBuf,

    /// Name of the model [default: the study's only one, or `model`]
    #[arg(long, value_name = "NAME")]
    model: Option<String>,

    /// Cap on memory, such as `2GiB`
    #[arg(long, value_name = "SIZE", value_parser = memory::parse)]
    memory: Option<usize>,

    #[command(flatten)]
    json: Json,
}

impl Tune {
    pub(crate) fn run(&self, context: &Context) -> Result<Outcome> {
        self.json.check_result(&["model", "rule"])?;
        let study = super::open_study(&self.dir, context)?;
        let name = self.model.clone().unwrap_or_else(|| study.only_model());
        let folder = study.model_path(&name);
        let machine = context.machine.with_memory(self.memory);
        let chosen = tune(&study, &name, &context.job().on(&machine))?;
        context.console.finish();
        self.json.write_result(&chosen)?;
        let written = |name| format!("written to `{}`", folder.join(name).display());
        let mut lines = vec![table(&chosen.decisions), written(DECISIONS)];
        lines.push(chosen.confidence_note);
        lines.extend(chosen.confidence.map(|_| written(CONFIDENCE)));
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
    [
        format!("nuclei of {fields} validation fields"),
        format!(
            "{:<8} {:>9} {:>12} {:>12}",
            "rule", "object F1", "count error", "area error"
        ),
        line("chosen", &chosen.chosen),
        line("default", &chosen.default),
    ]
    .join("\n")
}

fn percent(share: f64) -> String {
    format!("{:+.1} %", 100.0 * share)
}
