//! The page about a result of `predict`: whether its numbers can be used, its plates and wells, and
//! its strangest fields.
//!
//! `rows` reads the table, `known` finds the model and what is known of it, `plates` puts wells on
//! maps and into tables, `strange` draws the fields that are the least like the training.

mod errors;
mod known;
mod plates;
mod rows;
mod strange;

use std::path::PathBuf;

use stainfree_image::marker::{self, Kind};
use stainfree_image::{Dataset, OpenOptions, Store};
use stainfree_report::{Fact, Headline, Judgement, ReportData, render};
use stainfree_scores::verdict::{Evidence, StrangePlate, Tested, Used, Verdict};

use super::{PAGE, Places, Reported, next_steps};
use crate::prediction::familiar::{Gathered, PlateLooks};
use crate::prediction::made_from::MadeFrom;
use crate::prediction::results::open_inputs;
use crate::study::guard::{self, Inputs};
use crate::study::provenance::{Provenance, beside};
use crate::{Job, ProjectError};

use known::Known;
use rows::{Row, Well};

/// What to report on, and where what belongs to it lies.
#[derive(Clone, Debug, Default)]
pub struct ResultOptions {
    /// A result of `predict`.
    pub result: PathBuf,
    /// The images that were predicted; empty = where the result says they were.
    pub images: Vec<PathBuf>,
    /// What is known of those images that their files do not say.
    pub opening: OpenOptions,
    /// The study whose model predicted, or the model's folder; none = where the result says it was.
    pub model: Option<PathBuf>,
}

/// Writes `report.html` into a result of `predict`.
///
/// # Errors
/// It is no such result or an empty one, what was asked for is not what made it, or the page
/// cannot be written.
pub fn report_result(options: &ResultOptions, job: &Job) -> Result<Reported, ProjectError> {
    let folder = &options.result;
    match marker::written_by_us(folder) {
        Some(Kind::Prediction) => {}
        other => {
            let what = match (other, folder.exists()) {
                (Some(kind), _) => format!("is {}", kind.described()),
                (None, true) => "is nothing that this program made".to_owned(),
                (None, false) => "does not exist".to_owned(),
            };
            return Err(ProjectError::Usage(format!(
                "`{}` {what}; `report` takes a study or a result of `predict`",
                folder.display()
            )));
        }
    }
    let rows = rows::read(folder)?;
    let opening = |path: &PathBuf| (path.clone(), options.opening.clone());
    let images = match options.images.is_empty() {
        true => MadeFrom::of(folder).images,
        false => options.images.iter().map(opening).collect(),
    };
    let sets = opened(&images, options, job)?;
    let images: Vec<PathBuf> = images.into_iter().map(|(path, _)| path).collect();
    let page = folder.join(PAGE);
    guard::check_file(&page, "report of this program", guard::is_our_page)?;
    Inputs::of(&sets).spare(&page, "keep images in a folder of another name")?;
    let first = first_done(&rows);
    let known = Known::of(folder, options.model.as_deref(), first, job)?;
    let wells = rows::wells(
        &rows,
        &sets,
        known.as_ref().and_then(|known| known.confidence.as_ref()),
    );
    let looks = plates_of(&rows, &sets, known.as_ref());
    let evidence = Evidence {
        test: known
            .as_ref()
            .and_then(|known| known.scores.as_ref().map(Tested::from)),
        result: Some(used(options, &rows, &wells, &looks)?),
    };
    let verdict = Verdict::of(&evidence);
    let places = Places {
        study: known.as_ref().and_then(Known::named_study),
        result: Some(folder.clone()),
        images: images.clone(),
    };
    let mut data = ReportData {
        title: title(options, &wells),
        subtitle: subtitle(&rows, known.as_ref()),
        judgement: Some(Judgement {
            about: about(&rows),
            next: next_steps(&verdict, &places),
            verdict: verdict.clone(),
        }),
        headlines: headlines(&rows, &evidence),
        facts: facts(&rows, known.as_ref(), &images),
        ..ReportData::default()
    };
    plates::add(&mut data, &rows, &wells, &looks);
    let store = Store::at(folder);
    data.plates
        .extend(errors::table(&rows, &store, known.as_ref(), job)?);
    data.strange = strange::strangest(&rows, &sets, &store, known.as_ref(), job)?;
    stainfree_image::write_atomic(&page, render(&data)?.as_bytes())?;
    Ok(Reported { page, verdict })
}

/// The images; where the result alone names them and they are gone, that is said.
fn opened(
    images: &[(PathBuf, OpenOptions)],
    options: &ResultOptions,
    job: &Job,
) -> Result<Vec<Dataset>, ProjectError> {
    let (mut sets, mut failed) = (Vec::new(), Vec::new());
    for (path, opening) in images {
        let (opened, refused) = open_inputs(std::slice::from_ref(path), opening);
        sets.extend(opened);
        failed.extend(refused);
    }
    match (failed.first(), options.images.is_empty()) {
        (Some(error), false) => return Err(ProjectError::Failed(error.clone())),
        (Some(error), true) => job.progress.note(&format!(
            "{error}; the page goes without pictures and plates (`--images` says where they are)"
        )),
        (None, _) if images.is_empty() => job.progress.note(
            "this result does not say which images it is of, so the page goes without pictures and \
             plates; `--images` adds them",
        ),
        (None, _) => {}
    }
    Ok(sets)
}

/// A field that was predicted; a failed one where there is no other.
fn first_done(rows: &[Row]) -> &Row {
    rows.iter().find(|row| row.is_done).unwrap_or(&rows[0])
}

/// How unlike the training the plates are.
fn plates_of(rows: &[Row], sets: &[Dataset], known: Option<&Known>) -> Vec<PlateLooks> {
    let Some((_, familiarity)) = known.and_then(|known| known.familiarity.as_ref()) else {
        return Vec::new();
    };
    let fields = rows::by_name(sets);
    let mut gathered = Gathered::default();
    for row in rows.iter().filter(|row| row.is_done) {
        let field = fields.get(row.name.as_str());
        let plate = field.and_then(|field| field.position.plate.as_ref());
        if let Some(looks) = &row.looks {
            gathered.add(plate, familiarity.compare(looks.clone()));
        }
    }
    gathered.plates(familiarity)
}

/// What is known of the result.
fn used(
    options: &ResultOptions,
    rows: &[Row],
    wells: &[Well],
    looks: &[PlateLooks],
) -> Result<Used, ProjectError> {
    let done: Vec<&Row> = rows.iter().filter(|row| row.is_done).collect();
    let pixels: f64 = done.iter().map(|row| row.pixels).sum();
    let blank: Option<f64> = done
        .iter()
        .map(|row| Some(row.ignored_share? * row.pixels))
        .sum();
    let record = Provenance::read(&beside(&options.result, &first_done(rows).model))?;
    let met = record.map(|record| {
        let index = record.index();
        let met = |row: &&&Row| index.met(&row.content).is_some();
        done.iter().filter(met).count()
    });
    let compared: Vec<&&Row> = done.iter().filter(|r| r.strangeness.is_some()).collect();
    let marked = compared.iter().filter(|row| row.is_strange).count();
    let plate = |plate: &PlateLooks| StrangePlate {
        name: plate.plate.clone(),
        strangeness: plate.strangeness,
        unlike: plate.unlike(),
        when_as_strange: plate.expected.as_ref().and_then(|e| e.when_as_strange),
    };
    Ok(Used {
        fields: rows.len(),
        failed: rows.len() - done.len(),
        ignored: blank.filter(|_| pixels > 0.0).map(|blank| blank / pixels),
        met,
        compared: (!compared.is_empty()).then_some((compared.len(), marked)),
        plates: looks.iter().map(plate).collect(),
        expected_f1: rows::expected_f1(rows),
        well_half_width: half_width(wells),
    })
}

/// Half the width of the intervals of wells' counts by the counts, the median.
fn half_width(wells: &[Well]) -> Option<f64> {
    let half = |well: &Well| {
        let count = well.count.as_ref()?;
        let [low, high] = count.interval?;
        Some((high - low) / 2.0 / count.expected.max(1.0))
    };
    let mut halves: Vec<f64> = wells.iter().filter_map(half).collect();
    halves.sort_by(f64::total_cmp);
    halves.get(halves.len() / 2).copied()
}

/// The plates, or what the folder is called.
fn title(options: &ResultOptions, wells: &[Well]) -> String {
    let mut plates: Vec<&str> = wells.iter().filter_map(|w| w.plate.as_deref()).collect();
    plates.dedup();
    match plates[..] {
        [plate] => format!("Plate {plate}"),
        [one, two] => format!("Plates {one} and {two}"),
        _ => format!("Result `{}`", options.result.display()),
    }
}

fn subtitle(rows: &[Row], known: Option<&Known>) -> String {
    let model = match known.and_then(|known| known.study.as_ref()) {
        Some((study, name)) => format!("model `{name}` of `{}`", super::folder_name(study)),
        None => {
            let hash = &first_done(rows).model;
            format!("model {}", hash.get(..12).unwrap_or(hash))
        }
    };
    let other = rows
        .iter()
        .any(|row| row.is_done && row.model != first_done(rows).model);
    let mixed = if other { ", and others" } else { "" };
    format!("{model}{mixed}, {} fields", rows.len())
}

fn about(rows: &[Row]) -> String {
    let n = rows.len();
    format!(
        "Counts and areas of nuclei in {n} field{} of this result, without a stain.",
        if n == 1 { "" } else { "s" }
    )
}

/// The numbers that a reader wants first.
fn headlines(rows: &[Row], evidence: &Evidence) -> Vec<Headline> {
    let done = || rows.iter().filter(|row| row.is_done);
    let fields = done().count();
    let headline = |label: &str, value: String, detail: String, explanation: &str| Headline {
        label: label.to_owned(),
        value,
        detail,
        explanation: explanation.to_owned(),
    };
    let nuclei: u64 = done().map(|row| row.nuclei).sum();
    let mut headlines = vec![headline(
        "Nuclei predicted",
        nuclei.to_string(),
        format!("in {fields} field{}", if fields == 1 { "" } else { "s" }),
        "As they were drawn: with those that are wrong, without those that were missed.",
    )];
    let expected: Option<f64> = done().map(|row| row.expected).sum();
    if let Some(expected) = expected.filter(|_| fields > 0) {
        headlines.push(headline(
            "True nuclei expected",
            format!("{expected:.0}"),
            "from how sure the model is of each".to_owned(),
            "Right on average where images are like those that validated the model.",
        ));
    }
    let result = evidence.result.as_ref();
    if let Some(f1) = result.and_then(|used| used.expected_f1) {
        headlines.push(headline(
            "Nuclei found, F1 expected",
            format!("{f1:.2}"),
            "nobody has counted here".to_owned(),
            "What the model expects of itself here, from how sure it is of its nuclei; 1 is \
             perfect.",
        ));
    }
    let strangeness = result.and_then(|used| {
        let plates = used.plates.iter().map(|plate| plate.strangeness);
        plates.reduce(f64::max)
    });
    if let Some(strangeness) = strangeness {
        headlines.push(headline(
            "Strangeness",
            format!("{strangeness:.1}"),
            "of the strangest plate".to_owned(),
            "How unlike the training images are; 1 is what one plate in twenty like it exceeds.",
        ));
    }
    headlines
}

fn facts(rows: &[Row], known: Option<&Known>, images: &[PathBuf]) -> Vec<Fact> {
    let first = first_done(rows);
    let mut facts = vec![
        Fact::new(
            "Program",
            format!("stainfree {}", env!("CARGO_PKG_VERSION")),
        ),
        Fact::new("Model hash", &first.model),
    ];
    if let Some(known) = known {
        facts.push(Fact::new("Model", known.folder.display()));
        facts.push(Fact::new("Classes", known.classes.join(", ")));
        facts.extend(known.rescales_to.map(|um| {
            let um = stainfree_image::rounded_um(um);
            Fact::new("Images are brought to", format!("{um} um a pixel"))
        }));
    }
    if !first.options.is_empty() {
        facts.push(Fact::new("Options", &first.options));
    }
    let images = images.iter().map(|path| path.display());
    facts.extend(images.map(|path| Fact::new("Images", path)));
    facts
}
