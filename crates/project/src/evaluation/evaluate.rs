//! `evaluate`: scores of folders of masks or labels matched by name.
//!
//! Here: pairing files, counting each field, summing up. What a score means is in
//! [`stainfree_scores`]; scoring a model on its study is in
//! [`score_model`](crate::evaluation::score_model).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use stainfree_image::{Image, composed, read_class_mask, read_info, read_labels, read_plane};
use stainfree_inference::largest;
use stainfree_scores::{
    BootstrapOptions, BoundaryCounts, ByName, Convention, FieldScores, Masks, Matching,
    PaperScores, ScoreError, ScoredOn, Scores, Surroundings, calibration, class_contours,
    class_lines, match_labels_ignoring, measured, paper_scores, pixel_counts, summarise,
};

use crate::evaluation::best_shift::{Labels, ScoredField, at_best_shift};
use crate::study::each_field::EachField;
use crate::study::names;
use crate::study::provenance::folders::{self, Pairing};
use crate::truth::kinds::KindTable;
use crate::{GroupRule, Job, Part, ProjectError};

/// Two folders whose files are matched by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The folder that is right.
    pub truth: PathBuf,
    /// The folder that is judged.
    pub prediction: PathBuf,
}

/// What to score.
#[derive(Clone, Debug)]
pub struct FolderOptions {
    /// Folders of class masks, and the names of the classes, background first.
    pub classes: Option<(Pair, Vec<String>)>,
    /// Folders of label images.
    pub objects: Option<Pair>,
    /// Folders of label images of whole cells, scored beside the nuclei.
    pub cells: Option<Pair>,
    /// Also score how touching nuclei of the label images are told apart.
    pub splitting: bool,
    /// Also score outlines: contours of classes or nuclei, and lines such as scheme B's.
    pub boundaries: bool,
    /// Table of the kinds of the true nuclei, such as `cells.csv` of `simulate`; see [`KindTable`].
    pub kinds: Option<PathBuf>,
    /// Side of a pixel in um; `None` = as the label images say.
    pub pixel_um: Option<f64>,
    /// How pixel scores are counted.
    pub convention: Convention,
    /// Group of a field by its name, for the intervals.
    pub group: Option<String>,
    /// Only fields whose name is in this list; `None` = all.
    pub only: Option<Vec<String>>,
    /// What the fields are to the model that predicted them, where it is known: the test is what it
    /// has not met.
    pub on: Part,
}

/// Scores, and what could not be scored.
#[derive(Clone, Debug)]
pub struct Evaluated {
    /// The scores; their JSON is `scores.json`.
    pub scores: Scores,
    /// The counts of every field that they are made of.
    pub counts: Vec<FieldScores>,
    /// Mean of the model's own loss over the fields, where a model was scored.
    pub loss: Option<f64>,
    /// Fields that could not be scored: name and sentence.
    pub failed: Vec<(String, String)>,
    /// Anything a reader must know.
    pub messages: Vec<String>,
}

impl Evaluated {
    /// Keeps what the scored fields are to the model, and says it where a reader must know.
    pub(crate) fn call(&mut self, on: ScoredOn) {
        if on.is_remarkable() {
            self.messages.push(on.note.clone());
        }
        self.scores.on = Some(on);
    }
}

/// Scores folders of predictions against folders of truth.
///
/// # Errors
/// Folders without a common name, or nothing that could be scored.
pub fn evaluate_folders(options: &FolderOptions, job: &Job) -> Result<Evaluated, ProjectError> {
    let rule = options.group.as_deref().map(GroupRule::parse).transpose()?;
    if let Some(GroupRule::Key(_) | GroupRule::Well) = &rule {
        return Err(ProjectError::Usage(
            "the group of a file can only be told from its name; give `--group` an \
             expression such as `re:^([A-Z]\\d+)_`"
                .to_owned(),
        ));
    }
    let kinds = options.kinds.as_deref().map(KindTable::read).transpose()?;
    let mut messages = Vec::new();
    let mut jobs: Vec<(String, Files)> = Vec::new();
    if let Some((pair, _)) = &options.classes {
        for (name, truth, prediction) in matched(pair, options, &mut messages)? {
            jobs.push((
                name,
                Files {
                    classes: Some((truth, prediction)),
                    ..Files::default()
                },
            ));
        }
    }
    if let Some(pair) = &options.objects {
        for (name, truth, prediction) in matched(pair, options, &mut messages)? {
            match jobs.iter_mut().find(|(known, _)| *known == name) {
                Some((_, files)) => files.objects = Some((truth, prediction)),
                None => jobs.push((
                    name,
                    Files {
                        objects: Some((truth, prediction)),
                        ..Files::default()
                    },
                )),
            }
        }
    }
    if let Some(pair) = &options.cells {
        for (name, truth, prediction) in matched(pair, options, &mut messages)? {
            if let Some((_, files)) = jobs.iter_mut().find(|(known, _)| *known == name) {
                files.cells = Some((truth, prediction));
            }
        }
    }
    let on = keep_unseen(&mut jobs, options.on, rule.as_ref(), job)?;
    if let Some(kinds) = &kinds {
        let without = jobs.iter().filter(|(name, _)| !kinds.has(name)).count();
        if without > 0 {
            messages.push(format!(
                "the table of kinds has no nucleus of {without} of {} fields",
                jobs.len()
            ));
        }
    }
    let classes: &[String] = options.classes.as_ref().map_or(&[], |(_, names)| names);
    let scored = EachField::new(job, &jobs, |(name, _)| name.clone()).at_once(
        |(name, files)| {
            let rule = rule.as_ref();
            let group = rule.map(|rule| rule.group_of_name(name)).transpose()?;
            Ok(Ok(score_files(
                name,
                group,
                files,
                options,
                kinds.as_ref(),
            )?))
        },
        |(name, _), error| Ok(Err((name.clone(), error.to_string()))),
    )?;
    let (mut fields, mut failed) = (Vec::new(), Vec::new());
    for result in scored {
        match result {
            Ok(scores) => fields.push(scores),
            Err(failure) => failed.push(failure),
        }
    }
    let fields = at_best_shift(fields, job.cancel, |name| {
        let files = jobs.iter().find(|(known, _)| known == name);
        let files = files.map(|(_, files)| files);
        files.map_or_else(|| Err(gone(name)), |files| read_again(name, files, classes))
    })?;
    let bootstrap = BootstrapOptions {
        convention: options.convention,
        group_name: "group".to_owned(),
        ..BootstrapOptions::default()
    };
    let mut evaluated = sum_up(&fields, classes, &bootstrap, failed, messages)?;
    if let Some(on) = on {
        evaluated.call(on);
        // Labels of nobody knows whom are no numbers of a model.
        evaluated.scores.verdict = Some(evaluated.scores.verdict());
    }
    Ok(evaluated)
}

/// Takes away the fields that the model which predicted them has met, or, of another part than the
/// test, those that are not of it; returns what the scores are called.
fn keep_unseen(
    jobs: &mut Vec<(String, Files)>,
    part: Part,
    rule: Option<&GroupRule>,
    job: &Job,
) -> Result<Option<ScoredOn>, ProjectError> {
    let pairings: Vec<Pairing> = jobs
        .iter()
        .filter_map(|(name, files)| {
            let (classes, nuclei) = (files.classes.as_ref(), files.objects.as_ref());
            Some(Pairing {
                name,
                group: rule.and_then(|rule| rule.group_of_name(name).ok()),
                prediction: classes.or(nuclei).map(|(_, prediction)| prediction)?,
                classes: classes.map(|(truth, _)| truth.as_path()),
                nuclei: nuclei.map(|(truth, _)| truth.as_path()),
            })
        })
        .collect();
    let (scored, on) = folders::choose(&pairings, part, job)?;
    jobs.retain(|(name, _)| scored.contains(name));
    Ok(on)
}

/// Sums up scored fields; an error if there are none.
pub(crate) fn sum_up(
    fields: &[FieldScores],
    classes: &[String],
    bootstrap: &BootstrapOptions,
    failed: Vec<(String, String)>,
    messages: Vec<String>,
) -> Result<Evaluated, ProjectError> {
    if fields.is_empty() {
        let first = failed
            .first()
            .map_or("there was none".to_owned(), |(_, sentence)| {
                sentence.clone()
            });
        return Err(ProjectError::Failed(format!(
            "no field could be scored: {first}"
        )));
    }
    let mut messages = messages;
    messages.extend(nothing_to_find(fields, classes));
    Ok(Evaluated {
        scores: summarise(fields, classes, bootstrap)?,
        counts: fields.to_vec(),
        loss: None,
        failed,
        messages,
    })
}

/// Sentences on what no field has in its truth.
fn nothing_to_find(fields: &[FieldScores], classes: &[String]) -> Vec<String> {
    let n = fields.len();
    let mut sentences = Vec::new();
    let objects: Vec<u64> = fields
        .iter()
        .filter_map(|field| Some(field.objects.as_ref()?.truth))
        .collect();
    if !objects.is_empty() && objects.iter().sum::<u64>() == 0 {
        sentences.push(format!(
            "the truth of none of {n} scored fields has a nucleus: scores of nuclei say at most \
             that some were invented"
        ));
    }
    for (class, name) in classes.iter().enumerate().skip(1) {
        let counts = fields
            .iter()
            .filter_map(|field| field.pixels.as_ref()?.classes.get(class));
        let counts: Vec<u64> = counts.map(|counts| counts.tp + counts.fn_).collect();
        if !counts.is_empty() && counts.iter().sum::<u64>() == 0 {
            sentences.push(format!(
                "the truth of none of {n} scored fields has a pixel of the class `{name}`"
            ));
        }
    }
    sentences
}

/// The files of one field: truth and prediction.
#[derive(Default)]
struct Files {
    classes: Option<(PathBuf, PathBuf)>,
    objects: Option<(PathBuf, PathBuf)>,
    cells: Option<(PathBuf, PathBuf)>,
}

/// Name, truth and prediction of a field.
type PairOfFiles = (String, PathBuf, PathBuf);

/// The files of two folders that belong together, and says which do not.
fn matched(
    pair: &Pair,
    options: &FolderOptions,
    messages: &mut Vec<String>,
) -> Result<Vec<PairOfFiles>, ProjectError> {
    let (files, left_over) = pairs(pair, options.only.as_deref(), messages)?;
    if let Some(first) = left_over.first() {
        messages.push(format!(
            "{} of {} files of `{}` have no truth in `{}` and are not scored (first: `{first}`)",
            left_over.len(),
            left_over.len() + files.len(),
            pair.prediction.display(),
            pair.truth.display(),
        ));
    }
    Ok(files)
}

/// The files of two folders that belong together, and the names in the second that the first lacks.
pub(crate) fn pairs(
    pair: &Pair,
    only: Option<&[String]>,
    messages: &mut Vec<String>,
) -> Result<(Vec<PairOfFiles>, Vec<String>), ProjectError> {
    let truth = names::truth_files(&pair.truth)?;
    let mut prediction: BTreeMap<String, (String, PathBuf)> = names::truth_files(&pair.prediction)?
        .into_iter()
        .map(|(name, path)| (composed(&name), (name, path)))
        .collect();
    let wanted = |name: &String| only.is_none_or(|only| only.contains(name));
    let mut matched = Vec::new();
    let mut missing = Vec::new();
    let mut example = None;
    for (name, path) in truth.into_iter().filter(|(name, _)| wanted(name)) {
        match prediction.remove(&composed(&name)) {
            Some((_, found)) => matched.push((name, path, found)),
            None => {
                example.get_or_insert_with(|| path.clone());
                missing.push(name);
            }
        }
    }
    if matched.is_empty() {
        return Err(ProjectError::Failed(format!(
            "no file of `{}` has the name of one in `{}`{}; files are matched by name",
            pair.prediction.display(),
            pair.truth.display(),
            example.map_or(String::new(), |path| format!(
                " (one there: `{}`)",
                path.display()
            ))
        )));
    }
    if !missing.is_empty() {
        messages.push(format!(
            "{} of {} truth files have no prediction in `{}` and are not scored (first: `{}`)",
            missing.len(),
            missing.len() + matched.len(),
            pair.prediction.display(),
            missing[0]
        ));
    }
    let left_over = prediction.into_values().map(|(name, _)| name);
    let left_over = left_over.filter(wanted).collect();
    Ok((matched, left_over))
}

fn score_files(
    name: &str,
    group: Option<String>,
    files: &Files,
    options: &FolderOptions,
    kinds: Option<&KindTable>,
) -> Result<ScoredField, ProjectError> {
    let classes: &[String] = options.classes.as_ref().map_or(&[], |(_, names)| names);
    let mut scores = FieldScores {
        name: name.to_owned(),
        group,
        ..FieldScores::default()
    };
    let (mut ignore, mut overlaps) = (None, None);
    if let Some((truth_path, prediction_path)) = &files.classes {
        let truth = read_mask(truth_path, classes)?;
        let pages = read_info(prediction_path)?.pages.len();
        let prediction = if pages == classes.len() && pages > 1 {
            // One page a class: probabilities, as `predict --probabilities` writes them.
            let planes = (0..pages)
                .map(|page| Ok(read_plane(prediction_path, page)?.to_f32()))
                .collect::<Result<Vec<_>, ProjectError>>()?;
            scores.paper =
                Some(paper_scores(&planes, &truth).map_err(|e| in_file(prediction_path, e))?);
            scores.calibration =
                Some(calibration(&planes, &truth).map_err(|e| in_file(prediction_path, e))?);
            largest(&planes)
        } else {
            read_mask(prediction_path, classes)?
        };
        let counts = pixel_counts(&truth, &prediction, classes.len())
            .map_err(|e| in_file(prediction_path, e))?;
        if options.convention == Convention::Paper && scores.paper.is_none() {
            scores.paper = Some(PaperScores::from(&counts));
        }
        scores.pixels = Some(counts);
        if options.boundaries {
            scores.boundaries = class_outlines(&truth, &prediction, classes)
                .map_err(|e| in_file(prediction_path, e))?;
        }
        ignore = ignored(&truth);
    }
    if let Some((truth_path, prediction_path)) = &files.objects {
        let truth = read_instances(truth_path)?;
        let prediction = read_instances(prediction_path)?;
        let matching = Matching::new(&truth, &prediction, ignore.as_ref())
            .map_err(|e| in_file(prediction_path, e))?;
        scores.objects = Some(matching.objects());
        overlaps = Some(matching.shift_overlaps());
        let pixel_um = match options.pixel_um {
            None => stated_pixel_um(&[truth_path.as_path(), prediction_path.as_path()])?,
            given => given,
        };
        let [one, other] = [&truth, &prediction].map(|nuclei| Masks {
            nuclei,
            cytoplasm: None,
        });
        let sums = measured(one, other, ignore.as_ref(), &[], pixel_um);
        scores.measured = Some(sums.map_err(|e| in_file(prediction_path, e))?);
        if options.splitting {
            scores.splitting = Some(matching.splitting(pixel_um));
        }
        if options.boundaries {
            let outlines = matching.contours(pixel_um);
            scores.boundaries.0.push((ALL_NUCLEI.to_owned(), outlines));
        }
        let kinds = kinds.map(|kinds| kinds.by_label(name, &truth));
        if let Some(kinds) = &kinds {
            scores.kinds = matching.by_kind(kinds);
        }
        let around = Surroundings {
            brightfield: None,
            kinds: kinds.as_ref(),
        };
        scores.judged = Some(matching.judged(around)?);
    }
    if let Some((truth_path, prediction_path)) = &files.cells {
        let (truth, prediction) = (
            read_instances(truth_path)?,
            read_instances(prediction_path)?,
        );
        let counts = match_labels_ignoring(&truth, &prediction, ignore.as_ref());
        scores.cells = Some(counts.map_err(|e| in_file(prediction_path, e))?);
    }
    Ok(ScoredField { scores, overlaps })
}

/// The ignored pixels of a class mask; none where there is no such pixel.
fn ignored(mask: &Image<u8>) -> Option<Image<bool>> {
    let any = mask.data().contains(&stainfree_scores::IGNORED);
    any.then(|| mask.map(|&class| class == stainfree_scores::IGNORED))
}

/// The labels of a field as they were scored.
fn read_again(name: &str, files: &Files, classes: &[String]) -> Result<Labels, ProjectError> {
    let (truth, prediction) = files.objects.as_ref().ok_or_else(|| gone(name))?;
    let mask = files.classes.as_ref();
    let mask = mask
        .map(|(truth, _)| read_mask(truth, classes))
        .transpose()?;
    Ok(Labels {
        truth: read_instances(truth)?,
        prediction: read_instances(prediction)?,
        ignore: mask.as_ref().and_then(ignored),
    })
}

fn gone(name: &str) -> ProjectError {
    ProjectError::Failed(format!("the labels of `{name}` are gone"))
}

/// The pixel size that the first of the files states, where one does.
fn stated_pixel_um(files: &[&Path]) -> Result<Option<f64>, ProjectError> {
    for path in files {
        if let Some(pixel_um) = read_info(path)?.pixel_um {
            return Ok(Some(pixel_um));
        }
    }
    Ok(None)
}

/// What the outlines of all nuclei are called among those of the classes.
pub(crate) const ALL_NUCLEI: &str = "objects";

/// Outlines of every class but the background: by their pixels where the class is a line itself.
pub(crate) fn class_outlines(
    truth: &Image<u8>,
    prediction: &Image<u8>,
    classes: &[String],
) -> Result<ByName<BoundaryCounts>, ScoreError> {
    let outline = |(class, name): (usize, &String)| {
        let counts = match name.as_str() {
            "boundary" | "split" => class_lines(truth, prediction, class as u8),
            _ => class_contours(truth, prediction, class as u8),
        };
        Ok((name.clone(), counts?))
    };
    let outlines = classes.iter().enumerate().skip(1).map(outline);
    Ok(ByName(outlines.collect::<Result<_, ScoreError>>()?))
}

/// A class mask whose values are classes of `classes` or 255.
fn read_mask(path: &Path, classes: &[String]) -> Result<Image<u8>, ProjectError> {
    let mask = read_class_mask(path)?;
    let unknown = mask
        .data()
        .iter()
        .find(|&&value| usize::from(value) >= classes.len() && value != stainfree_scores::IGNORED);
    match unknown {
        None => Ok(mask),
        Some(value) => Err(ProjectError::Failed(format!(
            "`{}` holds the value `{value}`, which is none of the {} classes ({}); name more with \
             `--classes`, or use `--objects` for label images",
            path.display(),
            classes.len(),
            classes.join(", ")
        ))),
    }
}

fn read_instances(path: &Path) -> Result<Image<u32>, ProjectError> {
    let labels = read_labels(path)?;
    crate::truth::given::check_instances(path, &labels, "use `--classes` for masks")?;
    Ok(labels)
}

fn in_file(path: &Path, error: stainfree_scores::ScoreError) -> ProjectError {
    ProjectError::Failed(format!("`{}`: {error}", path.display()))
}
