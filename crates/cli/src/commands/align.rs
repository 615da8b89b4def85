//! `align`: where the truth lies against the brightfield.

use std::path::PathBuf;

use anyhow::Result;
use stainfree_project::align::{AlignOptions, Aligned, FIELDS_PER_GROUP, align, forget};
use stainfree_project::truth::align::{GroupLaid, Verdict};

use crate::Context;
use crate::failure::Outcome;
use crate::next;
use crate::output::{Json, table};

/// Find how far the truth lies off the brightfield, for prepare to move it back
///
/// Labels and masks hold nothing that tells; what a model takes for nuclei does, if it has not met
/// the fields. Each group of fields (a plate, an experiment) is looked at together.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  stainfree align study
  stainfree align study --model fold1,fold2
  stainfree align study --undo

Writes DIR/align/shifts.csv, a row for each group, and DIR/align/shifts.png: outlines as they were
given and as they are moved back. `stainfree prepare DIR` then moves labels and masks by whole
pixels, and the nuclear stain by parts of one. What is typed in `[truth.shift]` of stainfree.toml
wins.

Without --model it is virtual-plates, which has met no plate. A model of the study looks only at
groups of which it has met no field; of several, the first that has not. A model that trained on
truth that lies off has learned a part of that. Truth is read as it was given: to align again after
prepare changes nothing. Groups that are not looked at keep what was found for them before.

A group that fits, but is too small to tell, is weighed with the others where four or more fit: it
lies nearer to where they lie, the more so the less it says itself (`with others`).
`cannot tell` and `turned` leave the truth where it is. Fields whose truth is mirrored, that of
another one, or elsewhere than that of the others are named and stay where they are.")]
pub(crate) struct Align {
    /// The study
    dir: PathBuf,

    /// Models of the study that look, or virtual-plates [default: virtual-plates]
    #[arg(long = "model", value_name = "NAME,..", value_delimiter = ',')]
    models: Vec<String>,

    /// Fields that lie alike: `plate`, `well`, `field`, `key:NAME` or `re:PATTERN` [default: the
    /// groups of the split; plates where those are wells or fields]
    #[arg(long, value_name = "RULE")]
    group: Option<String>,

    /// Look at no more fields of a group than this
    #[arg(
        long,
        value_name = "N",
        default_value_t = FIELDS_PER_GROUP as u32,
        value_parser = clap::value_parser!(u32).range(1..),
    )]
    fields: u32,

    /// Forget what was found; the next prepare leaves the truth where it was given
    #[arg(long, conflicts_with_all = ["models", "group", "fields"])]
    undo: bool,

    #[command(flatten)]
    json: Json,
}

impl Align {
    pub(crate) fn run(&self, context: &Context) -> Result<Outcome> {
        self.json.check_result(&["groups", "suspects"])?;
        let study = super::open_study(&self.dir, context)?;
        let job = context.job();
        if self.undo {
            let there = forget(&study, &job)?;
            self.json.write_result(&serde_json::json!({
                "groups": [],
                "suspects": [],
            }))?;
            self.json.print(match there {
                true => "forgotten; the next prepare leaves the truth where it was given",
                false => "nothing was found before",
            })?;
            self.next(context);
            return Ok(Outcome::Done);
        }
        let options = AlignOptions {
            models: self.models.clone(),
            group: super::group_rule(self.group.as_ref().filter(|rule| *rule != "plate"), context)
                .or_else(|| self.group.clone()),
            fields: Some(self.fields as usize),
        };
        let found = align(&study, &options, &job)?;
        context.console.finish();
        self.show(&found, context)?;
        let looked = found.groups.iter().map(|group| group.fields).sum();
        let outcome = Outcome::of(looked, found.failed.len())?;
        if outcome == Outcome::Done {
            self.next(context);
        }
        Ok(outcome)
    }

    fn next(&self, context: &Context) {
        let command = format!("stainfree prepare {}", next::word(&self.dir));
        context.next(&command, "for it to count");
    }

    fn show(&self, found: &Aligned, context: &Context) -> Result<()> {
        for sentence in &found.failed {
            context.console.warn(sentence);
        }
        for suspect in &found.suspects {
            let sentence = format!("field `{}`: {}", suspect.field, suspect.what);
            context.console.warn(&sentence);
        }
        if let Some(first) = found.met.first() {
            context.job().progress.note(&format!(
                "{} fields are left out, since every model has met some of their group (first: \
                 `{first}`)",
                found.met.len()
            ));
        }
        let suspects: Vec<serde_json::Value> = found
            .suspects
            .iter()
            .map(|s| serde_json::json!({"field": s.field, "what": s.what}))
            .collect();
        self.json.write_result(&serde_json::json!({
            "groups": found.groups,
            "suspects": suspects,
            "met": found.met,
            "failed": found.failed,
        }))?;
        let head = [
            "group", "verdict", "fields", "nuclei", "down", "right", "+-", "um", "clear",
        ];
        let rows: Vec<Vec<String>> = found.groups.iter().map(row).collect();
        self.json.print(&table(&head, &rows, 2))?;
        self.json.print(
            "down, right, +- in pixels (95 %); um: the length; clear: how many times chance truth \
             and prediction fit",
        )?;
        for group in found
            .groups
            .iter()
            .filter(|g| g.verdict != Verdict::Certain)
        {
            let sentence = format!("`{}`: {}", group.name(), group.because);
            context.job().progress.note(&sentence);
        }
        Ok(())
    }
}

fn row(group: &GroupLaid) -> Vec<String> {
    let signed = |px: Option<f64>| px.map_or("-".to_owned(), |px| format!("{px:+.2}"));
    let length = group.dy_um.zip(group.dx_um).map(|(dy, dx)| dy.hypot(dx));
    let plain = |value: Option<f64>| value.map_or("-".to_owned(), |v| format!("{v:.2}"));
    vec![
        group.name(),
        match group.verdict {
            Verdict::Certain => "certain",
            Verdict::Roughly => "roughly",
            Verdict::WithOthers => "with others",
            Verdict::CannotTell => "cannot tell",
            Verdict::Turned => "turned",
        }
        .to_owned(),
        group.fields.to_string(),
        group.nuclei.to_string(),
        signed(group.dy_px),
        signed(group.dx_px),
        plain(group.radius95_px),
        plain(length),
        format!("{:.1}", group.clear),
    ]
}
