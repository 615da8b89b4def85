//! `evaluate DIR`: a model scored on the fields of its study that it never saw.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use stainfree_image::{Field, Image, Product, Store, read_class_mask, read_labels};
use stainfree_inference::confidence::{Count, CountOf, CountRule};
use stainfree_inference::{Confidence, Options, RuleChoice, cytoplasm_class};
use stainfree_network::Loss;
use stainfree_objects::IGNORED;
use stainfree_scores::{
    BootstrapOptions, ByName, ConfidenceSummary, Convention, ExpectedArea, ExpectedCount,
    FieldConfidence, FieldScores, Masks, Matching, ObjectCounts, ScoredOn, Scores, SureObject,
    Surroundings, calibration, match_labels_ignoring, measured, paper_scores, pixel_counts,
};

use crate::evaluation::best_shift::{Labels, ScoredField, at_best_shift};
use crate::evaluation::disagreement::{self, Disagreement};
use crate::evaluation::evaluate::{ALL_NUCLEI, Evaluated, class_outlines, sum_up};
use crate::evaluation::wrong_objects::{self, Seen as CloseUp, WrongObject};
use crate::prediction::areas::{ExpectedAreas, named};
use crate::prediction::opened::{OpenedModel, nuclei_of};
use crate::prediction::pixel_size::remarks_on_pixel_sizes;
use crate::prediction::predict::FILE_NAME;
use crate::prediction::sure::Sure;
use crate::prediction::written::{Made, PRODUCTS, cells_of, remove_outputs, write_field};
use crate::study::config::{Scheme, nucleus_classes};
use crate::study::disk::{create_folder, remove};
use crate::study::each_field::EachField;
use crate::study::fields::{FieldRow, NucleiBy};
use crate::study::provenance::judge::{Candidate, Given, Judged};
use crate::study::provenance::predictions::{self, Prediction};
use crate::study::provenance::{Content, Provenance, fields_of};
use crate::study::read_middle;
use crate::study::{Source, Study};
use crate::training::start::is_from_model;
use crate::training::study_fields::StudyFields;
use crate::training::train::hash_of_data;
use crate::truth::kinds::{KindTable, from_classes};
use crate::{Cancel, GroupRule, Job, Part, ProjectError};

/// Which model, on which part, how counted.
#[derive(Clone, Debug)]
pub struct ModelOptions {
    /// Name of the model.
    pub model: String,
    /// Part of the split.
    pub on: Part,
    /// How pixel scores are counted.
    pub convention: Convention,
    /// Score outlines; those of scheme B always are.
    pub boundaries: bool,
    /// Table of the kinds of the true nuclei; see [`KindTable`]. Nuclei are found by their
    /// centroids.
    pub kinds: Option<PathBuf>,
    /// Average over the four flips.
    pub flips: bool,
    /// How nuclei are made.
    pub rule: RuleChoice,
}

impl ModelOptions {
    fn predicting(&self) -> Options {
        Options {
            flips: self.flips,
            rule: self.rule.clone(),
            ..Options::default()
        }
    }
}

/// Predicts the fields of a part and scores them against the study's truth.
///
/// Predictions go to `runs/NAME/PART/{classes,nuclei}`, the ranking of what truth and model
/// disagree on to `models/NAME/disagreements.csv` (test) or `disagreements-PART.csv`, the scores to
/// `models/NAME/scores.json` (test) or `scores-PART.json`.
///
/// # Errors
/// No such model, no field in that part, classes that differ from the study's, or a disk that
/// cannot be written to.
pub fn evaluate_model(
    study: &Study,
    options: &ModelOptions,
    job: &Job,
) -> Result<Evaluated, ProjectError> {
    score(study, options, true, job)
}

/// [`evaluate_model`] without pictures of wrong nuclei: of the many models of an experiment nobody
/// looks at them.
///
/// # Errors
/// As [`evaluate_model`].
pub(crate) fn evaluate_without_pictures(
    study: &Study,
    options: &ModelOptions,
    job: &Job,
) -> Result<Evaluated, ProjectError> {
    score(study, options, false, job)
}

fn score(
    study: &Study,
    options: &ModelOptions,
    pictures: bool,
    job: &Job,
) -> Result<Evaluated, ProjectError> {
    study.truth_must_be_still("evaluate")?;
    let folder = study.model_path(&options.model);
    if !folder.is_dir() {
        return Err(ProjectError::Failed(format!(
            "the study has no model `{}`{}",
            options.model,
            match study.models().as_slice() {
                [] => format!("; run `stainfree train {}` first", study.root().display()),
                names => format!(" (models: {})", names.join(", ")),
            }
        )));
    }
    let mut model = OpenedModel::open(&folder, job.machine, &options.predicting())?;
    let info = model.predictor.info().clone();
    if let Some(sentence) = model.predictor.unknown_keys() {
        job.progress.note(&sentence);
    }
    let classes = &study.config().truth.classes;
    if info.classes != *classes {
        return Err(ProjectError::Failed(format!(
            "the model `{}` knows the classes {} and the study has {}; train it again",
            options.model,
            info.classes.join(", "),
            classes.join(", ")
        )));
    }
    let source = study.source()?;
    let rows = study.fields()?;
    let part = StudyFields::of(study, &source, &rows, options.on)?;
    if part.fields().is_empty() {
        return Err(ProjectError::Failed(format!(
            "no field of `{}` is in the {} part; change `[split]` and prepare again",
            study.root().display(),
            options.on
        )));
    }
    let (chosen, on) = unseen(study, options, &source, &rows, &part, &model, job)?;
    let left_out = |name: &String| !chosen.contains(name);
    for sentence in remarks_on_pixel_sizes(&info, part.fields()) {
        job.progress.note(&sentence);
    }
    let out = study.run_path(&options.model).join(options.on.name());
    // Its rows vouch for files that are about to be rewritten.
    remove(&out.join(FILE_NAME))?;
    let mut unscored = part.fields().iter().filter(|field| left_out(&field.name));
    unscored.try_for_each(|field| remove_outputs(&out, &field.name, &PRODUCTS))?;
    let cells = cytoplasm_class(classes).map(|_| Product::Cells);
    let sure = model.predictor.confidence().map(|_| Product::Confidence);
    let always = [Product::Classes, Product::Nuclei];
    for product in always.into_iter().chain(cells).chain(sure) {
        create_folder(&Store::at(&out).folder(product))?;
    }
    let mut scoring = Scoring {
        study,
        source: &source,
        rows: &rows,
        out: &out,
        hash: model.predictor.hash().to_owned(),
        loss: Loss::new(&info.recipe.loss, classes.len()).map_err(|error| {
            ProjectError::Failed(format!("the model `{}`: {error}", options.model))
        })?,
        kinds: options.kinds.as_deref().map(KindTable::read).transpose()?,
        boundaries: options.boundaries || study.config().truth.scheme == Scheme::B,
        losses: Vec::new(),
        counts: model.predictor.confidence().map(|sure| sure.counts.clone()),
        pixel_um: model.predictor.decoder().pixel_um,
        scored: Vec::new(),
        predictions: Vec::new(),
        disagreements: Vec::new(),
    };
    let fields = part.fields().iter().copied();
    let fields: Vec<&Field> = fields.filter(|field| !left_out(&field.name)).collect();
    EachField::new(job, &fields, |field| field.name.clone())
        .in_turn(|field| scoring.field(&mut model, field, job))?;
    scoring.finish(options, on, pictures, job)
}

/// What is found out field by field, and what that takes.
struct Scoring<'a> {
    study: &'a Study,
    source: &'a Source,
    rows: &'a [FieldRow],
    /// Where predictions go.
    out: &'a Path,
    /// Hash of the model.
    hash: String,
    /// The model's own.
    loss: Loss,
    kinds: Option<KindTable>,
    boundaries: bool,
    losses: Vec<f64>,
    /// How counts follow from confidences, where the model has those.
    counts: Option<CountRule>,
    /// Pixel size of images that do not know theirs.
    pixel_um: Option<f64>,
    scored: Vec<ScoredField>,
    predictions: Vec<Prediction>,
    disagreements: Vec<Disagreement>,
}

/// Masks of a field, true or predicted.
struct Seen<'a> {
    classes: &'a Image<u8>,
    nuclei: &'a Image<u32>,
}

impl Scoring<'_> {
    /// Predicts a field, keeps the prediction and scores it.
    fn field(
        &mut self,
        model: &mut OpenedModel,
        field: &Field,
        job: &Job,
    ) -> Result<(), ProjectError> {
        let classes = &self.study.config().truth.classes;
        let planes = self.source.brightfield.read(field)?;
        let content = Content::of_planes(&planes);
        let found = model.predict(field, &planes, job)?;
        let parted = nuclei_of(field, &found, model.predictor.decoder())?;
        let made = Made {
            model: &self.hash,
            content: &content,
        };
        let cells = cells_of(
            field,
            &found.classes,
            classes,
            &parted,
            model.predictor.decoder().pixel_um,
        );
        write_field(
            self.out,
            field,
            &found.classes,
            &parted,
            cells.as_ref(),
            &made,
        )?;
        let prediction = Prediction::new(&field.name, &self.hash, &content);
        self.predictions.push(prediction);
        let truth = read_class_mask(&self.study.class_mask_path(&field.name))?;
        let probabilities = found.probabilities();
        self.losses
            .extend(field_loss(&self.loss, probabilities, &truth));
        let true_nuclei = read_labels(&self.study.nuclei_path(&field.name))?;
        self.disagreements.extend(disagreement::of_field(
            &field.name,
            &truth,
            &true_nuclei,
            &found.classes,
            &parted.labels,
            probabilities,
            &nucleus_classes(classes),
        ));
        let light = planes[planes.len() / 2].to_f32();
        let truth = Seen {
            classes: &truth,
            nuclei: &true_nuclei,
        };
        let predicted = Seen {
            classes: &found.classes,
            nuclei: &parted.labels,
        };
        let mut scored = self.scores(field, &light, &truth, &predicted, probabilities)?;
        if let Some(confidence) = model.predictor.confidence() {
            let decoder = model.predictor.decoder();
            let sure = Sure::of(field, &found, &parted.labels, decoder, confidence);
            sure.put(&Store::at(self.out), &field.name, None)?;
            let found = self.confidence(field, &truth, &predicted, &sure, confidence)?;
            scored.scores.confidence = Some(found);
        }
        if let Some(temperatures) = model.predictor.temperatures() {
            let mut planes = probabilities.to_vec();
            job.run(|| temperatures.apply(&mut planes))?;
            let counts = calibration(&planes, truth.classes);
            let counts = counts.map_err(|error| {
                ProjectError::Failed(format!("field `{}`: {error}", field.name))
            })?;
            scored.scores.calibrated = Some(counts);
        }
        scored.scores.cells = self.cell_counts(field, &truth, cells.as_ref())?;
        self.scored.push(scored);
        Ok(())
    }

    /// All counts of a field.
    fn scores(
        &self,
        field: &Field,
        light: &Image<f32>,
        truth: &Seen,
        predicted: &Seen,
        probabilities: &[Image<f32>],
    ) -> Result<ScoredField, ProjectError> {
        let in_field = |error: stainfree_scores::ScoreError| {
            ProjectError::Failed(format!("field `{}`: {error}", field.name))
        };
        let classes = &self.study.config().truth.classes;
        let ignore = ignored(truth.classes);
        let matching =
            Matching::new(truth.nuclei, predicted.nuclei, ignore.as_ref()).map_err(in_field)?;
        let mut outlines = ByName::default();
        if self.boundaries {
            outlines =
                class_outlines(truth.classes, predicted.classes, classes).map_err(in_field)?;
            let nuclei = matching.contours(field.pixel_um);
            outlines.0.push((ALL_NUCLEI.to_owned(), nuclei));
        }
        let kinds = match &self.kinds {
            Some(table) => table.by_place(&field.name, truth.nuclei),
            None => from_classes(truth.nuclei, truth.classes, classes),
        };
        let row = self.rows.iter().find(|row| row.name == field.name);
        let pixels = pixel_counts(truth.classes, predicted.classes, classes.len());
        let measured = measured(
            masks(truth, classes),
            masks(predicted, classes),
            ignore.as_ref(),
            &stains(self.source, field)?,
            field.pixel_um,
        );
        let around = Surroundings {
            brightfield: Some(light),
            kinds: Some(&kinds),
        };
        let scores = FieldScores {
            name: field.name.clone(),
            group: row.map(|row| row.group.clone()),
            pixels: Some(pixels.map_err(in_field)?),
            paper: Some(paper_scores(probabilities, truth.classes).map_err(in_field)?),
            objects: Some(matching.objects()),
            shifted: None,
            judged: Some(matching.judged(around).map_err(in_field)?),
            cells: None,
            splitting: Some(matching.splitting(field.pixel_um)),
            boundaries: outlines,
            kinds: matching.by_kind(&kinds),
            calibration: Some(calibration(probabilities, truth.classes).map_err(in_field)?),
            calibrated: None,
            confidence: None,
            measured: Some(measured.map_err(in_field)?),
        };
        Ok(ScoredField {
            scores,
            overlaps: Some(matching.shift_overlaps()),
        })
    }

    /// The confidences of a field beside what is right, and its count beside what was expected.
    fn confidence(
        &self,
        field: &Field,
        truth: &Seen,
        predicted: &Seen,
        sure: &Sure,
        confidence: &Confidence,
    ) -> Result<FieldConfidence, ProjectError> {
        let ignore = ignored(truth.classes);
        let matching = Matching::new(truth.nuclei, predicted.nuclei, ignore.as_ref());
        let matching = matching
            .map_err(|error| ProjectError::Failed(format!("field `{}`: {error}", field.name)))?;
        let by_label = sure.by_label();
        let object = |(label, right): (u32, bool)| {
            let confidence = *by_label.get(&label)?;
            Some(SureObject { confidence, right })
        };
        let objects: Vec<SureObject> = matching.right().into_iter().filter_map(object).collect();
        let row = self.rows.iter().find(|row| row.name == field.name);
        let sum = objects.iter().map(|object| object.confidence).sum();
        let count = self.counts.as_ref().map(|rule| ExpectedCount {
            name: field.name.clone(),
            group: row.map(|row| row.group.clone()),
            truth: matching.objects().truth,
            predicted: objects.len() as u64,
            ..expected(rule, sum, CountOf::Field)
        });
        Ok(FieldConfidence {
            areas: self.areas(field, truth, predicted, (sure, &matching), confidence),
            objects,
            count,
        })
    }

    /// The areas of a field beside what was expected of them, of pixels that count.
    fn areas(
        &self,
        field: &Field,
        truth: &Seen,
        predicted: &Seen,
        (sure, matching): (&Sure, &Matching),
        confidence: &Confidence,
    ) -> Vec<ExpectedArea> {
        let counts = |i: usize| truth.classes.data()[i] != IGNORED;
        let pixels = |is: &dyn Fn(usize) -> bool| {
            let all = 0..truth.classes.data().len();
            all.filter(|&i| counts(i) && is(i)).count()
        };
        let class = cytoplasm_class(&self.study.config().truth.classes);
        let of_class = |seen: &Seen| class.map(|c| pixels(&|i| seen.classes.data()[i] == c));
        let right = matching.right();
        let nuclei = sure.nuclei().iter();
        let nuclei = nuclei.filter(|nucleus| right.contains_key(&nucleus.label));
        let pixel_um = field.pixel_um.or(self.pixel_um);
        let cytoplasm = of_class(predicted);
        let Some(found) = ExpectedAreas::of_field(confidence, nuclei, cytoplasm, pixel_um) else {
            return Vec::new();
        };
        let side = match confidence.in_pixels {
            true => 1.0,
            false => pixel_um.unwrap_or(1.0),
        };
        let true_nuclei = pixels(&|i| truth.nuclei.data()[i] > 0) as f64 * side * side;
        let mean = true_nuclei / matching.objects().truth as f64;
        let true_cytoplasm = of_class(truth).map(|pixels| pixels as f64 * side * side);
        let truths = [
            Some(true_nuclei),
            Some(mean).filter(|m| m.is_finite()),
            true_cytoplasm,
        ];
        let row = self.rows.iter().find(|row| row.name == field.name);
        let area = |((of, said), truth): ((&str, Option<Count>), Option<f64>)| {
            let said = said?;
            Some(ExpectedArea {
                name: field.name.clone(),
                group: row.map(|row| row.group.clone()),
                of: of.to_owned(),
                unit: found.unit.clone(),
                truth: truth?,
                expected: said.expected,
                interval: said.interval,
                level: said.interval.and(confidence.counts.level),
            })
        };
        let all = named(&found.areas).into_iter().zip(truths);
        all.filter_map(area).collect()
    }

    /// The counts of the wells of all scored fields.
    fn wells(&self, summary: &ConfidenceSummary) -> Vec<ExpectedCount> {
        let (fields, Some(rule)) = (self.source.by_name(), &self.counts) else {
            return Vec::new();
        };
        let mut wells: Vec<ExpectedCount> = Vec::new();
        for count in &summary.fields {
            let position = fields.get(count.name.as_str()).map(|field| &field.position);
            let Some(position) = position.filter(|position| position.well.is_some()) else {
                continue;
            };
            let name = position.well_or_name();
            let same = |well: &&mut ExpectedCount| well.name == name && well.group == count.group;
            match wells.iter_mut().find(same) {
                Some(well) => {
                    well.truth += count.truth;
                    well.predicted += count.predicted;
                    well.expected += count.expected;
                }
                None => wells.push(ExpectedCount {
                    name,
                    ..count.clone()
                }),
            }
        }
        let with_interval = |well: ExpectedCount| ExpectedCount {
            name: well.name,
            group: well.group,
            truth: well.truth,
            predicted: well.predicted,
            ..expected(rule, well.expected / rule.per_found, CountOf::Well)
        };
        wells.into_iter().map(with_interval).collect()
    }

    /// The labels of a field as they were scored.
    fn labels(&self, name: &str) -> Result<Labels, ProjectError> {
        let mask = read_class_mask(&self.study.class_mask_path(name))?;
        Ok(Labels {
            truth: read_labels(&self.study.nuclei_path(name))?,
            prediction: Store::at(self.out).labels(Product::Nuclei, name)?,
            ignore: ignored(&mask),
        })
    }

    /// Draws the worst of the wrong objects.
    fn show_wrong(
        &self,
        wrong: &[WrongObject],
        scores: &Scores,
        cancel: &Cancel,
    ) -> Result<(), ProjectError> {
        let fields = self.source.by_name();
        let sheets = wrong_objects::close_ups(wrong, scores, |name| {
            cancel.check()?;
            let Some(field) = fields.get(name) else {
                return Ok(None);
            };
            let planes = self.source.brightfield.read(field)?;
            let Labels {
                truth, prediction, ..
            } = self.labels(name)?;
            Ok(Some(CloseUp {
                light: planes[planes.len() / 2].to_f32(),
                truth,
                prediction,
            }))
        })?;
        wrong_objects::write_sheets(self.out, &sheets)
    }

    /// Whole cells against those of the truth, where both are known.
    fn cell_counts(
        &self,
        field: &Field,
        truth: &Seen,
        predicted: Option<&Image<u32>>,
    ) -> Result<Option<ObjectCounts>, ProjectError> {
        let path = self.study.cells_path(&field.name);
        let Some(predicted) = predicted.filter(|_| path.is_file()) else {
            return Ok(None);
        };
        let ignore = ignored(truth.classes);
        let counts = match_labels_ignoring(&read_labels(&path)?, predicted, ignore.as_ref());
        counts.map(Some).map_err(|error| {
            ProjectError::Failed(format!("the cells of field `{}`: {error}", field.name))
        })
    }

    /// Sums up, and writes what was found.
    fn finish(
        mut self,
        options: &ModelOptions,
        on: ScoredOn,
        pictures: bool,
        job: &Job,
    ) -> Result<Evaluated, ProjectError> {
        let study = self.study;
        let scored = std::mem::take(&mut self.scored);
        let scored = at_best_shift(scored, job.cancel, |name| self.labels(name))?;
        predictions::write(self.out, &self.predictions)?;
        let disagreements = std::mem::take(&mut self.disagreements);
        let table = disagreement::path(study, &options.model, options.on);
        disagreement::write(&table, disagreements)?;
        let bootstrap = BootstrapOptions {
            convention: options.convention,
            group_name: unit(study, self.rows)?,
            ..BootstrapOptions::default()
        };
        let classes = &study.config().truth.classes;
        let mut evaluated = sum_up(&scored, classes, &bootstrap, Vec::new(), Vec::new())?;
        evaluated.call(on);
        if let Some(summary) = &mut evaluated.scores.confidence {
            summary.wells = self.wells(summary);
        }
        evaluated.scores.verdict = Some(evaluated.scores.verdict());
        let losses = &self.losses;
        evaluated.loss =
            (!losses.is_empty()).then(|| losses.iter().sum::<f64>() / losses.len() as f64);
        let text = serde_json::to_vec_pretty(&evaluated.scores).map_err(|error| {
            ProjectError::Failed(format!("the scores cannot be written down: {error}"))
        })?;
        let name = if options.on == Part::Test {
            "scores.json".to_owned()
        } else {
            format!("scores-{}.json", options.on)
        };
        let table = wrong_objects::table_path(study, &options.model, options.on);
        wrong_objects::remove_table(&table)?;
        stainfree_image::write_atomic(&study.model_path(&options.model).join(name), &text)?;
        let wrong = wrong_objects::wrong_objects(&evaluated.counts);
        said(wrong_objects::write_table(&table, &wrong), job)?;
        if pictures {
            let shown = self.show_wrong(&wrong, &evaluated.scores, job.cancel);
            said(shown, job)?;
        }
        Ok(evaluated)
    }
}

/// What is expected from this sum of confidences.
fn expected(rule: &CountRule, sum: f64, of: CountOf) -> ExpectedCount {
    let count = rule.count(sum, of);
    ExpectedCount {
        name: String::new(),
        group: None,
        truth: 0,
        predicted: 0,
        expected: count.expected,
        level: count.interval.and(rule.level),
        interval: count.interval,
    }
}

/// Says what went wrong beside the scores, which are written; only a stop ends the command.
fn said(by_product: Result<(), ProjectError>, job: &Job) -> Result<(), ProjectError> {
    match by_product {
        Err(ProjectError::Cancelled) => Err(ProjectError::Cancelled),
        Err(error) => {
            let sentence = format!("{error} (the scores are written)");
            job.progress.note(&sentence);
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

/// The ignored pixels of a class mask; none where there is no such pixel.
fn ignored(mask: &Image<u8>) -> Option<Image<bool>> {
    let any = mask.data().contains(&IGNORED);
    any.then(|| mask.map(|&class| class == IGNORED))
}

/// The fields of the part that are scored, and what the scores are called.
fn unseen(
    study: &Study,
    options: &ModelOptions,
    source: &Source,
    rows: &[FieldRow],
    part: &StudyFields,
    model: &OpenedModel,
    job: &Job,
) -> Result<(BTreeSet<String>, ScoredOn), ProjectError> {
    let names: BTreeSet<&String> = part.fields().iter().map(|field| &field.name).collect();
    let rows_of_part: Vec<&FieldRow> = rows
        .iter()
        .filter(|row| names.contains(&row.name))
        .collect();
    let met = fields_of(study, source, &rows_of_part, job)?;
    let candidates: Vec<Candidate> = rows_of_part
        .iter()
        .zip(met)
        .map(|(row, field)| Candidate {
            name: field.name,
            group: Some(field.group),
            content: field.content,
            given: Given {
                classes: true,
                nuclei: true,
            },
            corrected: row.nuclei_from == Some(NucleiBy::Corrected),
        })
        .collect();
    let info = model.predictor.info();
    let folder = study.model_path(&options.model);
    let record = Provenance::of_model(&folder, &info.hashes)?;
    let out = study.run_path(&options.model).join(options.on.name());
    if let Some(record) = &record {
        record.put_beside(&out, model.predictor.hash())?;
    }
    let trained_here = study.run_path(&options.model).join("log.jsonl").is_file();
    let group = GroupRule::canonical(&study.config().split.group);
    let same_rule = |r: &Provenance| GroupRule::canonical(&r.group) == group;
    let data = || hash_of_data(study, rows).ok();
    // What another model had met before this one started from it, the study cannot know.
    let heir = info.pretrained.as_deref().is_some_and(is_from_model);
    let judged = Judged {
        name: &options.model,
        hash: model.predictor.hash(),
        record: record.as_ref(),
        same_groups: trained_here && record.as_ref().is_some_and(same_rule),
        otherwise_known: record.is_none()
            && !heir
            && data().is_some_and(|data| info.hashes.get("data") == Some(&data)),
    };
    let (chosen, on) = judged.choose(options.on, &candidates)?;
    Ok((chosen.into_iter().collect(), on))
}

/// The loss of a field as a batch of its own; none where all of it is ignored.
fn field_loss(loss: &Loss, probabilities: &[Image<f32>], truth: &Image<u8>) -> Option<f64> {
    // The softmax of the logarithms of probabilities is the probabilities.
    let logits: Vec<f32> = probabilities
        .iter()
        .flat_map(|plane| plane.data().iter().map(|p| p.max(f32::MIN_POSITIVE).ln()))
        .collect();
    let mut gradient = vec![0.0; logits.len()];
    let value = loss.evaluate(&logits, truth.data(), 1, &mut gradient);
    value.is_finite().then_some(value)
}

/// Nuclei and cytoplasm of one side.
fn masks<'a>(seen: &Seen<'a>, classes: &[String]) -> Masks<'a> {
    let class = classes.iter().position(|name| name == "cytoplasm");
    Masks {
        nuclei: seen.nuclei,
        cytoplasm: class.map(|class| (seen.classes, class as u8)),
    }
}

/// The stains of a field as they were imaged, by the names of their channels.
fn stains(source: &Source, field: &Field) -> Result<Vec<(String, Image<f32>)>, ProjectError> {
    let channels = [source.nucleus, source.cytoplasm].into_iter().flatten();
    channels
        .map(|channel| {
            let name = source.dataset.channels.get(channel).cloned();
            let name = name.unwrap_or_else(|| channel.to_string());
            Ok((name, read_middle(field, channel)?.to_f32()))
        })
        .collect()
}

/// What a group of the study's split is called.
pub(crate) fn unit(study: &Study, rows: &[FieldRow]) -> Result<String, ProjectError> {
    let rule = GroupRule::parse(&study.config().split.group)?;
    let usable = rows.iter().filter(|row| row.is_usable());
    Ok(rule.unit(usable).to_owned())
}
