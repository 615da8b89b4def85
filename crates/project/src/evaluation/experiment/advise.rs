//! `advise`: what twice as many images would bring, from a few short runs, before anyone stains a
//! second plate.
//!
//! The runs are an ordinary experiment in `STUDY/advice` with nested sets of training images, so it
//! can be stopped, goes on where it stood, and writes the same tables and figures.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::curve::Advice;
use super::estimate::Estimate;
use super::file::Experiment;
use super::variant::absolute;
use super::{Ran, own_folder, run};
use crate::study::guard;
use crate::study::{Study, relative_to};
use crate::{Job, Part, ProjectError};

/// How short the runs are, and how many.
#[derive(Clone, Debug)]
pub struct AdviseOptions {
    /// Numbers of training images; empty: all, half, a quarter, an eighth.
    pub images: Vec<usize>,
    /// Runs of each number, with other images and another start.
    pub seeds: u64,
    /// Steps of every run.
    pub steps: u64,
    /// Factor on all channel counts.
    pub width: f64,
    /// Side of the training crops, px.
    pub crop: usize,
    /// Crops a step.
    pub batch: usize,
    /// Folder for runs and results; default `STUDY/advice`.
    pub out: Option<PathBuf>,
}

impl Default for AdviseOptions {
    /// Minutes on two cores for a study of small fields. At full width, since a narrower network
    /// has no start to begin from and learns little in so few steps.
    fn default() -> Self {
        Self {
            images: Vec::new(),
            seeds: 3,
            steps: 200,
            width: 1.0,
            crop: 192,
            batch: 4,
            out: None,
        }
    }
}

/// The advice and what it rests on; its JSON is what `--json` writes.
#[derive(Clone, Debug, Serialize)]
pub struct Advised {
    /// The study.
    pub study: PathBuf,
    /// Steps of every run.
    pub steps: u64,
    /// Factor on all channel counts.
    pub width: f64,
    /// Runs the advice is made of.
    pub runs: usize,
    /// The advice.
    pub advice: Advice,
    /// What a reader must know.
    pub caveat: String,
}

/// How the experiment file begins.
const FIRST_LINE: &str = "# Made by `stainfree advise`";

/// Numbers of images that a curve needs.
const FEWEST_SIZES: usize = 3;

/// Writes the experiment file of the advice and reads it back; nothing is trained yet.
///
/// # Errors
/// The study is not prepared or has too few training fields, sizes that it does not have, or a
/// folder that cannot be written.
pub fn plan(study: &Study, options: &AdviseOptions) -> Result<Experiment, ProjectError> {
    let rows = study.fields()?;
    let training = rows.iter().filter(|row| row.split == Some(Part::Train));
    let images = sizes(&options.images, training.count())?;
    let out = out(study, options);
    let path = out.join("advice.toml");
    let is_ours = |path: &Path| guard::begins_with(path, FIRST_LINE);
    guard::check_file(&path, "file of `stainfree advise`", is_ours)?;
    own_folder(&out, "advise")?;
    let home = relative_to(&absolute(study.root())?, &absolute(&out)?);
    let list = |numbers: &mut dyn Iterator<Item = String>| {
        let numbers: Vec<String> = numbers.collect();
        numbers.join(", ")
    };
    let text = format!(
        "{FIRST_LINE}: few short runs, to see what more training images would bring.\n\
         study = {study}\nout = \".\"\nsteps = {steps}\nwidth = {width:?}\n\n\
         [change]\ncrop = {crop}\nbatch = {batch}\nvalidate_every = {validate}\n\n\
         [[runs]]\nscheme = [\"{scheme:?}\"]\nimages = [{images}]\nseed = [{seeds}]\n",
        study = toml::Value::String(home.to_string_lossy().into_owned()),
        steps = options.steps,
        width = options.width,
        crop = options.crop,
        batch = options.batch,
        // Three looks: short runs are at their best near the end.
        validate = (options.steps / 3).max(1),
        scheme = study.config().truth.scheme,
        images = list(&mut images.iter().map(usize::to_string)),
        seeds = list(&mut (1..=options.seeds).map(|seed| seed.to_string())),
    );
    stainfree_image::write_atomic(&path, text.as_bytes())?;
    Experiment::load(&path)
}

fn out(study: &Study, options: &AdviseOptions) -> PathBuf {
    let own = || study.root().join("advice");
    options.out.clone().unwrap_or_else(own)
}

/// The numbers of images, smallest first.
fn sizes(given: &[usize], training: usize) -> Result<Vec<usize>, ProjectError> {
    let mut sizes = match given {
        [] => [8, 4, 2, 1].map(|part| training / part).to_vec(),
        given => given.to_vec(),
    };
    sizes.sort_unstable();
    sizes.dedup();
    sizes.retain(|&size| size > 0);
    if let Some(size) = sizes.iter().find(|size| **size > training) {
        return Err(ProjectError::Usage(format!(
            "`--images` asks for {size} training fields and the study has {training}"
        )));
    }
    if sizes.len() < FEWEST_SIZES {
        return Err(ProjectError::Failed(format!(
            "a learning curve needs {FEWEST_SIZES} numbers of images and there are {} (the study \
             has {training} training \
             fields, and 4 are the least); image more fields, or give `--images`",
            sizes.len()
        )));
    }
    Ok(sizes)
}

/// Time in seconds and memory in bytes of all runs together.
pub fn total(lines: &[Estimate]) -> (f64, usize) {
    let seconds = lines.iter().map(|line| line.seconds).sum();
    (
        seconds,
        lines.iter().map(|line| line.memory).max().unwrap_or(0),
    )
}

/// Does the runs that are not done yet and says what they advise.
///
/// # Errors
/// As [`run`]; or no run left a curve.
pub fn advise(
    study: &Study,
    options: &AdviseOptions,
    experiment: &Experiment,
    job: &Job,
) -> Result<(Advised, Ran), ProjectError> {
    let out = out(study, options);
    let ran = run(experiment, &out, job)?;
    let Some(advice) = ran.advice.first().cloned() else {
        return Err(ProjectError::Failed(format!(
            "the runs in `{}` differ in nothing; see its results",
            out.display()
        )));
    };
    let advised = Advised {
        study: study.root().to_owned(),
        steps: options.steps,
        width: options.width,
        runs: ran.done + ran.found,
        advice,
        caveat: format!(
            "Runs of {} steps at width {} say how such runs gain from images. A full training \
             stands higher and \
             its gain can differ; the interval does not cover that.",
            options.steps, options.width
        ),
    };
    Ok((advised, ran))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_halve_down_to_an_eighth_and_exist() {
        assert_eq!(sizes(&[], 16).unwrap(), [2, 4, 8, 16]);
        assert_eq!(sizes(&[], 5).unwrap(), [1, 2, 5]);
        assert_eq!(sizes(&[8, 2, 4], 9).unwrap(), [2, 4, 8]);
        let few = sizes(&[], 3).unwrap_err().to_string();
        assert!(few.contains("the study has 3 training fields"), "{few}");
        let many = sizes(&[2, 4, 10], 9).unwrap_err().to_string();
        assert!(many.contains("asks for 10 training fields"), "{many}");
    }
}
