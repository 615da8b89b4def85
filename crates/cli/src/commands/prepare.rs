//! `prepare`: truth, labels, overlays, split.

use std::path::PathBuf;

use anyhow::Result;
use stainfree_project::Part;
use stainfree_project::truth::align::AlignSummary;
use stainfree_project::truth::light::PlateLight;
use stainfree_project::truth::prepare::{
    Prepared, PreparedShard, prepare, prepare_shard, prepare_with_mitosis,
};
use stainfree_project::truth::shift::ShiftSummary;

use super::who;
use crate::Context;
use crate::failure::Outcome;
use crate::next;
use crate::output::Json;
use crate::shard::ShardArg;

/// Make the truth of every field: class masks, nucleus labels, overlays, split
///
/// Run again after a change of stainfree.toml or of images: only what changed is remade. A field
/// that cannot be read is reported and left out, the rest goes on (exit code 3).
#[derive(clap::Args)]
#[command(after_help = "Example:
  stainfree prepare study

Writes DIR/truth/classes, DIR/truth/nuclei, DIR/truth/cells (TIFF; a cell has the number of its
nucleus), DIR/truth/overlays (PNG, to look at) and DIR/fields.csv with a row for each field: split,
shares, counts, verdicts, usable or not and why.

Stains that are shifted against the brightfield are moved onto it where the shift is certain
(`[truth.shift]` in stainfree.toml); DIR/truth/shifts.csv has the estimates. Uneven light is \
divided out
(`[truth.illumination]`); DIR/truth/illumination.png shows it. DIR/truth/contact-sheet.png shows \
all fields,
the most doubtful first.

With --mitosis, DIR/truth/mitosis.csv lists nuclei that may be mitotic (DIR/truth/mitosis.png shows
them); `yes` or `no` in its column `decision` is taken over into DIR/human/mitosis.csv by the next
prepare, where it stays.

Nuclei corrected by hand: copies of DIR/truth/nuclei/NAME.tif in DIR/human/corrected, edited in any
tool, take the place of the automatic ones; see `stainfree compare`. Fields that are not to be
used: see `stainfree exclude`. Decisions that no longer fit are reported, and kept.")]
pub(crate) struct Prepare {
    /// The study
    dir: PathBuf,

    /// Make mitotic nuclei a class of their own, from now on: sets `truth.mitosis.find` and adds
    /// the class
    #[arg(long, conflicts_with = "shard")]
    mitosis: bool,

    #[command(flatten)]
    shard: ShardArg,

    /// Who decided what is taken over [default: STAINFREE_USER, else the name of your account]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,

    #[command(flatten)]
    json: Json,
}

impl Prepare {
    pub(crate) fn run(&self, context: &Context) -> Result<Outcome> {
        let shard = self.shard.choice(context)?;
        let key = if shard.is_some() { "made" } else { "train" };
        self.json.check_result(&[key, "left_out"])?;
        let study = super::open_study(&self.dir, context)?;
        let who = who(self.by.as_ref());
        let job = context.job().by(&who);
        if let Some(shard) = shard {
            let prepared = prepare_shard(&study, shard, &job)?;
            let done = self.show_shard(&prepared, context)?;
            let failed = prepared.failed.len();
            return super::end_of_shard(context, (shard, &self.dir), done, failed);
        }
        let prepared = match self.mitosis {
            true => prepare_with_mitosis(&study, &job)?.1,
            false => prepare(&study, &job)?,
        };
        self.show(&prepared, context)
    }

    /// What a shard did; gives the number of fields that did not fail.
    fn show_shard(&self, prepared: &PreparedShard, context: &Context) -> Result<usize> {
        context.console.finish();
        for (_, sentence) in &prepared.failed {
            context.console.warn(sentence);
        }
        let (made, kept) = (prepared.made, prepared.kept);
        let left_out = prepared.left_out.iter();
        let left_out = left_out
            .map(|(field, remarks)| serde_json::json!({"field": field, "remarks": remarks}));
        let failed = prepared.failed.iter().map(|(_, why)| why);
        self.json.write_result(&serde_json::json!({
            "made": made,
            "kept": kept,
            "left_out": left_out.collect::<Vec<_>>(),
            "failed": failed.collect::<Vec<_>>(),
        }))?;
        let done = made + kept + prepared.left_out.len();
        self.json.print(&format!(
            "{done} fields: {made} made, {kept} unchanged, {} left out",
            prepared.left_out.len()
        ))?;
        Ok(done)
    }

    /// What was prepared of the whole study, and what to type next.
    pub(super) fn show(&self, prepared: &Prepared, context: &Context) -> Result<Outcome> {
        context.console.finish();
        for (_, sentence) in &prepared.failed {
            context.console.warn(sentence);
        }
        let left_out: Vec<_> = prepared
            .rows
            .iter()
            .filter(|row| !row.is_usable())
            .collect();
        self.json.print(&format!(
            "{} fields: {} train, {} validation, {} test, {} left out ({} made, {} unchanged)",
            prepared.rows.len(),
            prepared.count(Part::Train),
            prepared.count(Part::Validation),
            prepared.count(Part::Test),
            left_out.len(),
            prepared.made,
            prepared.kept
        ))?;
        let (ignored, pixels) = prepared.ignored_pixels();
        if ignored > 0 {
            self.json.print(&format!(
                "{ignored} of {pixels} pixels are ignored ({:.2} %): uncertain edges, and rims \
                 that a moved stain does not reach",
                100.0 * ignored as f64 / pixels as f64
            ))?;
        }
        self.json.write_result(&summary(prepared))?;
        if let Some(count) = prepared.mitotic() {
            let list = self.dir.join("truth").join("mitosis.csv");
            self.json.print(&format!(
                "{count} nuclei are mitotic; confirm or reject candidates in `{}`",
                list.display()
            ))?;
        }
        for light in &prepared.lights {
            self.json.print(&light_line(light))?;
        }
        if let Some(aligned) = &prepared.aligned {
            self.json.print(&aligned_line(aligned))?;
        }
        for shift in &prepared.shifts {
            self.json.print(&shift_line(shift))?;
        }
        for row in &left_out {
            context
                .console
                .detail(&format!("left out `{}`: {}", row.name, row.remarks));
        }
        if prepared.count(Part::Validation) == 0 {
            context.job().progress.note(
                "no field validates: the checkpoint will be the last one; \
                give more groups or another `split.group`",
            );
        }
        if prepared.count(Part::Test) == 0 {
            context
                .job()
                .progress
                .note("no field is kept for the test: `evaluate` will have nothing to score");
        }
        if !prepared.failed.is_empty() {
            context.console.warn(&format!(
                "{} of {} fields failed",
                prepared.failed.len(),
                prepared.rows.len()
            ));
        }
        let outcome = Outcome::of(prepared.made + prepared.kept, prepared.failed.len())?;
        let sheet = self.dir.join("truth").join("contact-sheet.png");
        context.next_after(
            outcome,
            &format!("stainfree train {}", next::word(&self.dir)),
            &format!("once `{}` looks right", sheet.display()),
        );
        Ok(outcome)
    }
}

/// What was prepared, for another program.
fn summary(prepared: &Prepared) -> serde_json::Value {
    let left_out: Vec<serde_json::Value> = prepared
        .rows
        .iter()
        .filter(|row| !row.is_usable())
        .map(|row| serde_json::json!({"field": row.name, "remarks": row.remarks}))
        .collect();
    let failed: Vec<&String> = prepared.failed.iter().map(|(_, why)| why).collect();
    let (ignored, pixels) = prepared.ignored_pixels();
    serde_json::json!({
        "fields": prepared.rows.len(),
        "train": prepared.count(Part::Train),
        "validation": prepared.count(Part::Validation),
        "test": prepared.count(Part::Test),
        "left_out": left_out,
        "made": prepared.made,
        "kept": prepared.kept,
        "ignored_pixels": ignored,
        "pixels": pixels,
        "mitotic": prepared.mitotic(),
        "failed": failed,
    })
}

/// What the light of a stain is like, in one line.
fn light_line(light: &PlateLight) -> String {
    let (stain, plate) = (light.stain.name(), light.plate.as_str());
    let of = if plate.is_empty() {
        String::new()
    } else {
        format!(" of `{plate}`")
    };
    let what = match light.used {
        true => "corrected",
        false if !light.is_certain() => "cannot tell, left as it is",
        false => "even enough, left as it is",
    };
    format!(
        "light of the {stain} stain{of}: varies by {:.1} %, {what}",
        100.0 * light.unevenness
    )
}

/// What the truth was moved by, in one line.
fn aligned_line(aligned: &AlignSummary) -> String {
    let (dy, dx) = aligned.median_px;
    let left = match aligned.left {
        0 => String::new(),
        n => format!("; {n} stay where they are"),
    };
    format!(
        "truth of {} group{} moved back as `align` found: {dy:+.1} px down, {dx:+.1} px right in \
         the middle, +- {:.1} at most{left}",
        aligned.moved,
        if aligned.moved == 1 { "" } else { "s" },
        aligned.largest_radius_px
    )
}

/// What became of a stain's shift, in one line.
fn shift_line(shift: &ShiftSummary) -> String {
    let stain = shift.stain.name();
    let unsure = match shift.cannot_tell {
        0 => String::new(),
        n => format!(
            "; cannot tell in {n} of {} groups, left as it is there",
            n + shift.corrected
        ),
    };
    if shift.corrected == 0 {
        return format!("shift of the {stain} stain: cannot tell, left as it is");
    }
    let radius = shift
        .largest_radius_px
        .map_or(String::new(), |r| format!(" +- {r:.2}"));
    let (dy, dx) = shift.median_px;
    format!(
        "shift of the {stain} stain: {dy:+.2} px down, {dx:+.2} px right{radius}, corrected{unsure}"
    )
}
