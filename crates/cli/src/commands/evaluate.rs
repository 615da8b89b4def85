//! `evaluate`: scores of a study's model, or of folders.

use std::path::{Path, PathBuf};

use anyhow::Result;
use stainfree_project::Part;
use stainfree_project::evaluation::evaluate::{Evaluated, FolderOptions, Pair, evaluate_folders};
use stainfree_project::evaluation::score_model::{ModelOptions, evaluate_model};
use stainfree_scores::Convention;

use crate::Context;
use crate::failure::{Outcome, UsageError};
use crate::output::{self, Json};
use crate::rule::Rule;
use crate::{memory, next, scores_table};

/// Score predictions against the truth, with intervals
///
/// With a study: predicts the fields that were kept for the test and scores them. With --truth and
/// --prediction: scores files of two folders, matched by name (suffixes such as _labels ignored).
#[derive(clap::Args)]
#[command(after_help = "Examples:
  stainfree evaluate study --model first --json scores.json
  stainfree evaluate --truth truth/classes --prediction result/classes --classes \
  background,nucleus,cytoplasm
  stainfree evaluate --truth labels/ --prediction result/nuclei --objects \
  --group 're:^([A-Z][0-9]+)_'
  stainfree evaluate --truth labels/ --prediction result/nuclei --splitting --boundaries
  stainfree evaluate --truth sim/truth/nuclei --prediction result/nuclei --kinds sim/truth/cells.csv

The main score is pooled over all fields; intervals (95 %) resample groups. With a study,
DIR/models/NAME/scores.json is written as well, and beside it disagreements.csv: nuclei that only \
the
truth or only the model has, the surest first; and object-errors.csv: every nucleus that is \
missed,
merged, split, badly outlined, of wrong size or spurious (of other parts: scores-PART.json, ..).
DIR/runs/NAME/PART/errors/ has pictures of the ten worst of each; `report` shows those of the test
fields, and ten disagreements of training and validation fields, once they are scored with --on.")]
pub(crate) struct Evaluate {
    /// The study whose model is scored
    #[arg(conflicts_with_all = ["truth", "prediction"], required_unless_present = "truth")]
    dir: Option<PathBuf>,

    /// Name of the model [default: the study's only one, or `model`]
    #[arg(long, value_name = "NAME", requires = "dir")]
    model: Option<String>,

    /// Which fields: `test`, `validation`, or `train` (to find wrong truth)
    ///
    /// The test is what the model has not met: fields that trained or chose it, or a model it
    /// started from, are left out and named, also in folders that `predict` has written. Scores of
    /// the other parts are labelled as such and are no test.
    #[arg(
        long,
        value_name = "PART",
        value_parser = ["test", "validation", "train"],
        default_value = "test",
    )]
    on: String,

    /// Cap on memory, such as `2GiB`
    #[arg(long, value_name = "SIZE", value_parser = memory::parse)]
    memory: Option<usize>,

    /// Average over the four flips of each field (four times the work)
    #[arg(long)]
    flips: bool,

    #[command(flatten)]
    rule: Rule,

    /// Arithmetic: f32, or bf16 (faster; a processor with AVX-512 BF16)
    #[arg(long, value_name = "NAME", value_parser = ["f32", "bf16"], default_value = "f32")]
    precision: String,

    /// Folder of class masks or labels that is right
    #[arg(long, value_name = "DIR", requires = "prediction")]
    truth: Option<PathBuf>,

    /// Folder of class masks or labels that is judged
    #[arg(long, value_name = "DIR", requires = "truth")]
    prediction: Option<PathBuf>,

    /// Names of the classes of the masks, background first
    #[arg(long, value_name = "NAME,NAME..", value_delimiter = ',')]
    classes: Vec<String>,

    /// The folders hold label images: score objects
    #[arg(long, conflicts_with = "classes")]
    objects: bool,

    /// Score how touching nuclei are told apart: clusters resolved, cuts missed and false cuts
    ///
    /// With folders of label images, this includes --objects. With a study, scores.json always
    /// holds these scores; the flag shows them. docs/scores.md says what each number means.
    #[arg(long, conflicts_with = "classes")]
    splitting: bool,

    /// Score outlines: F1 within 0 to 3 px, thickness of lines, distances between matched nuclei
    ///
    /// Classes named `boundary` and `split` are lines and compared by their pixels, all others by
    /// their contours. A study of scheme B always has these scores.
    #[arg(long)]
    boundaries: bool,

    /// Table of the kinds of the true nuclei, such as cells.csv of `simulate`: scores each kind
    /// apart
    ///
    /// Columns: field; label or id, or the centroid y_px and x_px; kind (a word) or mitotic (1 or
    /// 0). In a study nuclei are found by their centroid; without the table, a class `mitotic` of
    /// its truth tells the kinds.
    #[arg(long, value_name = "FILE", conflicts_with = "classes")]
    kinds: Option<PathBuf>,

    /// Side of a pixel in um, for distances in um [default: as the files say]
    #[arg(long, value_name = "UM", requires = "truth", value_parser = pixel_um)]
    pixel_um: Option<f64>,

    /// `argmax`, or `paper`: probability above 0.5, as segmentation_models counts
    #[arg(long, value_name = "NAME", value_parser = ["argmax", "paper"], default_value = "argmax")]
    convention: String,

    /// `re:PATTERN`: a regular expression whose first capture in the name is the group that
    /// intervals resample
    #[arg(long, value_name = "RULE")]
    group: Option<String>,

    #[command(flatten)]
    json: Json,
}

impl Evaluate {
    pub(crate) fn run(&self, context: &Context) -> Result<Outcome> {
        self.json.check(&output::SCORES)?;
        let convention = if self.convention == "paper" {
            Convention::Paper
        } else {
            Convention::Argmax
        };
        let evaluated = match (&self.dir, &self.truth, &self.prediction) {
            (Some(dir), _, _) => self.model(dir, convention, context)?,
            (None, Some(truth), Some(prediction)) => {
                self.folders(truth, prediction, convention, context)?
            }
            // The parser lets nothing else through.
            _ => {
                return Err(
                    UsageError("name a study, or `--truth` and `--prediction`".to_owned()).into(),
                );
            }
        };
        context.console.finish();
        for (name, sentence) in &evaluated.failed {
            context
                .console
                .warn(&format!("`{name}` is not scored: {sentence}"));
        }
        for message in &evaluated.messages {
            context.job().progress.note(message);
        }
        self.json.write(&evaluated.scores)?;
        self.json
            .print(&scores_table::render(&evaluated.scores, self.shown()))?;
        let outcome = Outcome::of(evaluated.scores.images, evaluated.failed.len())?;
        if let Some(dir) = &self.dir {
            context.next_after(
                outcome,
                &format!(
                    "stainfree report {}{}",
                    next::word(dir),
                    next::model(self.model.as_deref())
                ),
                "pictures, curves and scores on one page",
            );
        }
        Ok(outcome)
    }

    fn on(&self) -> Part {
        // No other word gets here.
        Part::named(&self.on).unwrap_or(Part::Test)
    }

    fn shown(&self) -> scores_table::Shown {
        scores_table::Shown {
            splitting: self.splitting,
        }
    }

    fn model(&self, dir: &Path, convention: Convention, context: &Context) -> Result<Evaluated> {
        let study = super::open_study(dir, context)?;
        let model = self.model.clone().unwrap_or_else(|| study.only_model());
        let on = self.on();
        let options = ModelOptions {
            model,
            on,
            convention,
            boundaries: self.boundaries,
            kinds: self.kinds.clone(),
            flips: self.flips,
            rule: self.rule.choice()?,
        };
        let machine = context.machine(&self.precision, self.memory)?;
        let job = context.job().on(&machine);
        Ok(evaluate_model(&study, &options, &job)?)
    }

    fn folders(
        &self,
        truth: &Path,
        prediction: &Path,
        convention: Convention,
        context: &Context,
    ) -> Result<Evaluated> {
        self.rule.only_for_models()?;
        let objects = self.objects || self.splitting || self.kinds.is_some();
        if self.classes.is_empty() && !objects {
            return Err(UsageError(
                "say what the folders hold: `--classes background,nucleus,..` \
                for class masks, or `--objects` for labels"
                    .to_owned(),
            )
            .into());
        }
        let pair = Pair {
            truth: truth.to_owned(),
            prediction: prediction.to_owned(),
        };
        let options = FolderOptions {
            classes: (!objects).then(|| (pair.clone(), self.classes.clone())),
            objects: objects.then_some(pair),
            cells: None,
            splitting: self.splitting,
            boundaries: self.boundaries,
            kinds: self.kinds.clone(),
            pixel_um: self.pixel_um,
            convention,
            group: super::group_rule(self.group.as_ref(), context),
            only: None,
            on: self.on(),
        };
        Ok(evaluate_folders(&options, &context.job())?)
    }
}

/// A pixel size: a number above 0.
fn pixel_um(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() && value > 0.0 => Ok(value),
        _ => Err(format!(
            "`{text}` is not a pixel size; give a number of um above 0, such as `0.65`"
        )),
    }
}
