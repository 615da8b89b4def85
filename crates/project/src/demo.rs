//! `demo`: the main job on a simulated plate, through the same calls a user's commands make.

use std::path::{Path, PathBuf};
use std::time::Instant;

use stainfree_image::marker::{self, Kind, Marker};
use stainfree_image::{Product, Store};
use stainfree_inference::RuleChoice;
use stainfree_network::Encoder;
use stainfree_network::recipe::Length;
use stainfree_scores::{Convention, Scores};
use stainfree_specimen::{PlateSpec, SpecimenError};

use crate::evaluation::evaluate::{Evaluated, FolderOptions, Pair, evaluate_folders};
use crate::evaluation::score_model::{ModelOptions, evaluate_model};
use crate::evaluation::wrong_objects::wrong_objects;
use crate::prediction::predict::{PredictOptions, predict};
use crate::report::{ReportOptions, ScoredSet, report};
use crate::simulate::simulate;
use crate::study::{DEFAULT_MODEL, Study};
use crate::training::train::{TrainOptions, train};
use crate::truth::prepare;
use crate::{Job, NewOptions, Part, ProjectError, new};

/// How large the demo is.
#[derive(Clone, Debug, PartialEq)]
pub struct DemoOptions {
    /// Folder for everything; must not exist or be empty.
    pub out: PathBuf,
    /// Height and width of the fields in pixels.
    pub side: usize,
    /// Wells of the stained plate, two fields each.
    pub wells: usize,
    /// Training steps.
    pub steps: u64,
    /// Factor on the network's channel counts.
    pub width: f64,
    /// Side of the training crops in pixels.
    pub crop: usize,
    /// Crops per step.
    pub batch: usize,
    /// Seed of plates, split and training.
    pub seed: u64,
}

impl DemoOptions {
    /// Minutes on two cores, and good enough to look at.
    pub fn new(out: PathBuf) -> Self {
        Self {
            out,
            side: 448,
            wells: 10,
            steps: 900,
            width: 0.25,
            crop: 192,
            batch: 4,
            seed: 1,
        }
    }
}

/// What the demo made.
#[derive(Clone, Debug)]
pub struct Demo {
    /// The study.
    pub study: PathBuf,
    /// Scores of the unstained plate against the exact truth.
    pub scores: Scores,
    /// Their file.
    pub scores_file: PathBuf,
    /// The page.
    pub report: PathBuf,
    /// Wall time in seconds.
    pub seconds: f64,
}

/// Simulates a stained and an unstained plate, then makes, prepares, trains, predicts, scores and
/// reports as a user would.
///
/// The two plates share no cell and no well: every well of the unstained plate is unseen.
///
/// # Errors
/// The folder holds something, or whatever a step cannot do; [`ProjectError::Cancelled`] after a
/// stop.
pub fn demo(options: &DemoOptions, job: &Job) -> Result<Demo, ProjectError> {
    let started = Instant::now();
    let out = &options.out;
    new::refuse_filled(out, &Kind::Demo, "the demo")?;
    let lease = new::sole_maker(out, &Kind::Demo, ("the demo", "demo"), job.cancel)?;
    marker::write(out, &Marker::new("demo", Kind::Demo))?;
    lease.during(job, |job| demo_ours(options, started, job))
}

/// [`demo`] in a folder that nobody else has.
fn demo_ours(options: &DemoOptions, started: Instant, job: &Job) -> Result<Demo, ProjectError> {
    let out = &options.out;
    let (stained, unstained) = (out.join("stained"), out.join("unstained"));
    let headline = |number: usize, what: &str| job.progress.note(&format!("[{number}/7] {what}"));

    headline(
        1,
        "simulating a stained plate and, with other cells, an unstained one",
    );
    plates(options, &stained, &unstained, job)?;

    headline(2, "new: a study from the stained plate");
    let root = out.join("study");
    let created = new::create(
        &root,
        &NewOptions {
            images: stained.join("plate"),
            seed: Some(options.seed),
            ..NewOptions::default()
        },
        job.cancel,
    )?;
    for message in &created.messages {
        job.progress.note(message);
    }
    let study = created.study;

    headline(3, "prepare: truth from the stains");
    let prepared = prepare::prepare(&study, job)?;
    job.progress.note(&format!(
        "{} fields train, {} validate, {} test",
        prepared.count(Part::Train),
        prepared.count(Part::Validation),
        prepared.count(Part::Test)
    ));

    headline(4, "train: a narrow U-Net on brightfield alone");
    let trained = train(&study, &narrow(options), job)?;

    headline(5, "predict: the unstained plate");
    let result = out.join("result");
    let predicted = predict(
        &PredictOptions {
            model: trained.model.clone(),
            inputs: vec![unstained.join("plate")],
            out: result.clone(),
            overlay: true,
            // A part of the demo, which follows what the demo trained.
            overwrite: true,
            ..PredictOptions::default()
        },
        job,
    )?;
    if let Some(first) = predicted.failed.first() {
        return Err(ProjectError::Failed(first.clone()));
    }

    headline(
        6,
        "evaluate: the study's own test wells, then the unstained plate against the exact truth",
    );
    evaluate_model(
        &study,
        &ModelOptions {
            rule: RuleChoice::OfModel,
            model: DEFAULT_MODEL.to_owned(),
            on: Part::Test,
            convention: Convention::Argmax,
            boundaries: false,
            kinds: None,
            flips: false,
        },
        job,
    )?;
    let evaluated = score_unstained(&study, &unstained, &result, job)?;
    let scores = evaluated.scores.clone();
    let scores_file = out.join("scores.json");
    let text = serde_json::to_vec_pretty(&scores).map_err(|error| {
        ProjectError::Failed(format!("the scores cannot be written down: {error}"))
    })?;
    stainfree_image::write_atomic(&scores_file, &text)?;

    headline(7, "report");
    let page = report(
        &study,
        &report_options(&evaluated, &unstained, &result)?,
        job,
    )?
    .page;
    let shown = out.join("report.html");
    let html = std::fs::read(&page).map_err(|error| ProjectError::read(&page, &error))?;
    stainfree_image::write_atomic(&shown, &html)?;
    Ok(Demo {
        study: root,
        scores,
        scores_file,
        report: shown,
        seconds: started.elapsed().as_secs_f64(),
    })
}

/// A stained plate and, with other cells, an unstained one.
fn plates(
    options: &DemoOptions,
    stained: &Path,
    unstained: &Path,
    job: &Job,
) -> Result<(), ProjectError> {
    let spec = PlateSpec {
        wells: options.wells,
        sites: 2,
        side: options.side,
        seed: options.seed,
        ..PlateSpec::default()
    };
    plate(&spec, stained, job)?;
    let other = PlateSpec {
        wells: 4,
        sites: 1,
        seed: options.seed + 1,
        unstained: true,
        ..spec
    };
    plate(&other, unstained, job)
}

/// A training of minutes.
fn narrow(options: &DemoOptions) -> TrainOptions {
    TrainOptions {
        name: DEFAULT_MODEL.to_owned(),
        // From nothing: the carried start has seen virtual plates, which would be no proof.
        encoder: Some(Encoder::Vgg16.name().to_owned()),
        width: Some(options.width),
        weights: Some("none".to_owned()),
        length: Some(Length::Steps(options.steps)),
        batch: Some(options.batch),
        crop: Some(options.crop),
        ..TrainOptions::default()
    }
}

fn plate(spec: &PlateSpec, out: &Path, job: &Job) -> Result<(), ProjectError> {
    job.cancel.check()?;
    simulate(spec, out, job).map_err(|error| match error {
        ProjectError::Specimen(SpecimenError::Cancelled { .. }) => ProjectError::Cancelled,
        error => error,
    })?;
    job.cancel.check()
}

fn score_unstained(
    study: &Study,
    unstained: &Path,
    result: &Path,
    job: &Job,
) -> Result<Evaluated, ProjectError> {
    let pair = |product: Product| Pair {
        truth: Store::at(unstained.join("truth")).folder(product),
        prediction: Store::at(result).folder(product),
    };
    let evaluated = evaluate_folders(
        &FolderOptions {
            classes: Some((pair(Product::Classes), study.config().truth.classes.clone())),
            objects: Some(pair(Product::Nuclei)),
            cells: Some(pair(Product::Cells)),
            splitting: true,
            boundaries: false,
            kinds: Some(unstained.join("truth").join("cells.csv")),
            pixel_um: None,
            convention: Convention::Argmax,
            group: Some("^([A-Z]+[0-9]+)_".to_owned()),
            only: None,
            on: Part::Test,
        },
        job,
    )?;
    match evaluated.failed.first() {
        Some((_, sentence)) => Err(ProjectError::Failed(sentence.clone())),
        None => Ok(evaluated),
    }
}

fn report_options(
    evaluated: &Evaluated,
    unstained: &Path,
    result: &Path,
) -> Result<ReportOptions, ProjectError> {
    let scores = &evaluated.scores;
    let dataset = stainfree_image::open(
        &unstained.join("plate"),
        &stainfree_image::OpenOptions::default(),
    )?;
    let summary = vec![
        "A virtual microscope made two plates with different cells: a stained one, from which the \
         model learned, and \
         an unstained one, of which it saw only the brightfield. The scores compare its masks with \
         the exactly known \
         cells of the unstained plate."
            .to_owned(),
        "Simulated cells are simpler than real ones: these numbers show that the program works, \
         not how well it will \
         do on your plate."
            .to_owned(),
    ];
    Ok(ReportOptions {
        model: DEFAULT_MODEL.to_owned(),
        title: Some("Demo: a simulated plate".to_owned()),
        summary,
        disagreements: Vec::new(),
        shown: Some(ScoredSet {
            title: format!(
                "the unstained plate ({} fields it never saw, exact truth)",
                scores.images
            ),
            wrong: wrong_objects(&evaluated.counts),
            scores: scores.clone(),
            brightfield: crate::Brightfield {
                channels: vec![0],
                planes: Vec::new(),
            },
            nucleus: None,
            fields: dataset.fields,
            truth: Store::at(unstained.join("truth")),
            prediction: Store::at(result),
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cancel, Progress};

    /// Asks for a stop as soon as anything begins.
    struct StopsAtOnce<'a>(&'a Cancel);

    impl Progress for StopsAtOnce<'_> {
        fn step(&self, _done: usize, _total: usize, _message: &str) {}
        fn note(&self, _message: &str) {
            self.0.stop();
        }
    }

    fn small(out: PathBuf) -> DemoOptions {
        DemoOptions {
            side: 96,
            wells: 3,
            steps: 1,
            width: 0.0625,
            crop: 32,
            batch: 1,
            ..DemoOptions::new(out)
        }
    }

    #[test]
    fn a_stop_ends_the_demo_whether_it_works_or_waits() {
        let place = tempfile::tempdir().unwrap();
        let out = place.path().join("demo");
        let cancel = Cancel::new();
        let progress = StopsAtOnce(&cancel);
        let machine = stainfree_network::Machine::new(1);
        let job = Job::new(&progress, &cancel, &machine);
        let stopped = demo(&small(out.clone()), &job).unwrap_err();
        assert!(matches!(stopped, ProjectError::Cancelled), "{stopped}");
        assert!(!out.join("study").exists(), "it went on");
        // Another demo has the folder: whoever stops does not want to hear of it.
        std::fs::remove_dir_all(&out).unwrap();
        let other = Cancel::new();
        let whole = ("the demo", "demo");
        let _held = new::sole_maker(&out, &Kind::Demo, whole, &other).unwrap();
        let stopped = demo(&small(out.clone()), &job).unwrap_err();
        assert!(matches!(stopped, ProjectError::Cancelled), "{stopped}");
        assert_eq!(marker::read(&out), None, "whoever is refused marks nothing");
    }
}
