//! What comes out of an experiment: a table of runs, a table of conditions, a page.
//!
//! A *condition* is everything but the seed; its numbers are means over its seeds, with an interval that covers
//! other groups of fields and other seeds at once.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use stainfree_report::{Chart, Column, Fact, LineChart, ReportData, Scale, Series, Table, render};
use stainfree_scores::{
    BootstrapOptions, ClassCounts, FieldScores, Repeated, Resolved, Terms, UnitRule, over_repeats,
};

use super::file::{Choice, Experiment, Images};
use super::published;
use super::{RunResult, runs};
use crate::ProjectError;

/// Points of a training curve that are kept in a result.
const CURVE_POINTS: usize = 100;
/// Class that every scheme has.
const NUCLEUS: usize = 1;

/// The training loss over the steps from a log, as means over equal stretches.
///
/// # Errors
/// The log cannot be read.
pub(super) fn loss_curve(log: &Path) -> Result<Vec<(f64, f64)>, ProjectError> {
    let text = std::fs::read_to_string(log).map_err(|error| ProjectError::read(log, &error))?;
    let points: Vec<(f64, f64)> = text
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|entry| entry["what"] == "step")
        .filter_map(|entry| Some((entry["step"].as_f64()?, entry["loss"].as_f64()?)))
        .collect();
    let stretch = points.len().div_ceil(CURVE_POINTS).max(1);
    let mean = |part: &[(f64, f64)]| {
        let sum = part.iter().fold((0.0, 0.0), |s, p| (s.0 + p.0, s.1 + p.1));
        (sum.0 / part.len() as f64, sum.1 / part.len() as f64)
    };
    Ok(points.chunks(stretch).map(mean).collect())
}

/// Writes `results.csv`, `results.md`, `report.html` and `figures/*.svg`; returns their paths.
///
/// # Errors
/// A file cannot be written.
pub(super) fn write(
    experiment: &Experiment,
    out: &Path,
    results: &[RunResult],
) -> Result<Vec<PathBuf>, ProjectError> {
    let conditions = conditions(results)?;
    let figures = figures(&conditions);
    let folder = out.join("figures");
    std::fs::create_dir_all(&folder).map_err(|error| ProjectError::write(&folder, &error))?;
    let mut files = vec![
        (out.join("results.csv"), csv(results)?),
        (
            out.join("results.md"),
            markdown(experiment, results, &conditions).into_bytes(),
        ),
        (
            out.join("report.html"),
            render(&page(experiment, results, &conditions, &figures))?.into_bytes(),
        ),
    ];
    for (name, chart) in &figures {
        let svg = chart.svg.standalone();
        files.push((folder.join(format!("{name}.svg")), svg.into_bytes()));
    }
    for (path, bytes) in &files {
        stainfree_image::write_atomic(path, bytes)?;
    }
    Ok(files.into_iter().map(|(path, _)| path).collect())
}

/// All runs that differ in nothing but the seed.
struct Condition<'a> {
    choice: &'a Choice,
    runs: Vec<&'a RunResult>,
    nucleus_f1: Repeated,
    nucleus_iou: Repeated,
    mean_f1: Repeated,
    mean_iou: Repeated,
    object_f1: Repeated,
    count_error: Repeated,
    /// Clusters of touching nuclei that are exactly resolved.
    clusters: Repeated,
    loss: Option<f64>,
}

impl Condition<'_> {
    fn label(&self) -> String {
        self.choice.label()
    }

    /// The paper's convention: mean over images; IoU, F1, nucleus IoU, nucleus F1, averaged over seeds.
    fn paper(&self) -> Option<[f64; 4]> {
        let each: Vec<[f64; 4]> = self
            .runs
            .iter()
            .filter_map(|run| {
                let paper = run.scores.paper.as_ref()?;
                let nucleus = paper.classes.get("nucleus")?;
                Some([paper.mean.iou, paper.mean.f1, nucleus.iou, nucleus.f1])
            })
            .collect();
        (!each.is_empty()).then(|| {
            [0, 1, 2, 3].map(|i| each.iter().map(|row| row[i]).sum::<f64>() / each.len() as f64)
        })
    }

    /// Training images, which `all` leaves open.
    fn images(&self) -> usize {
        self.runs.first().map_or(0, |run| run.training_images)
    }
}

fn conditions(results: &[RunResult]) -> Result<Vec<Condition<'_>>, ProjectError> {
    let mut order: Vec<String> = Vec::new();
    let mut groups: BTreeMap<String, Vec<&RunResult>> = BTreeMap::new();
    for result in results {
        let label = result.choice.label();
        if !groups.contains_key(&label) {
            order.push(label.clone());
        }
        groups.entry(label).or_default().push(result);
    }
    order
        .iter()
        .filter_map(|label| groups.remove(label))
        .map(condition)
        .collect()
}

fn condition(runs: Vec<&RunResult>) -> Result<Condition<'_>, ProjectError> {
    let repeats: Vec<&[FieldScores]> = runs.iter().map(|run| run.counts.as_slice()).collect();
    let unit = runs.first().map_or("field", |run| run.scores.unit.as_str());
    let options = BootstrapOptions {
        unit: if unit == "field" {
            UnitRule::Field
        } else {
            UnitRule::Group
        },
        ..BootstrapOptions::default()
    };
    let of = |terms: &dyn Fn(&FieldScores) -> Vec<Terms>| over_repeats(&repeats, &options, terms);
    let class =
        |field: &FieldScores, which: &dyn Fn(usize) -> bool, term: fn(&ClassCounts) -> Terms| {
            let classes = field.pixels.iter().flat_map(|pixels| &pixels.classes);
            classes
                .enumerate()
                .filter(|(index, _)| which(*index))
                .map(|(_, counts)| term(counts))
                .collect::<Vec<Terms>>()
        };
    let nucleus = |index: usize| index == NUCLEUS;
    let any = |_: usize| true;
    let losses: Vec<f64> = runs.iter().filter_map(|run| run.test_loss).collect();
    Ok(Condition {
        choice: &runs[0].choice,
        nucleus_f1: of(&|field| class(field, &nucleus, f1_terms))?,
        nucleus_iou: of(&|field| class(field, &nucleus, iou_terms))?,
        mean_f1: of(&|field| class(field, &any, f1_terms))?,
        mean_iou: of(&|field| class(field, &any, iou_terms))?,
        object_f1: of(&object_terms)?,
        count_error: of(&count_terms)?,
        clusters: of(&cluster_terms)?,
        loss: (!losses.is_empty()).then(|| losses.iter().sum::<f64>() / losses.len() as f64),
        runs,
    })
}

fn f1_terms(counts: &ClassCounts) -> Terms {
    let hit = 2.0 * counts.tp as f64;
    [hit, hit + (counts.fp + counts.fn_) as f64]
}

fn iou_terms(counts: &ClassCounts) -> Terms {
    let hit = counts.tp as f64;
    [hit, hit + (counts.fp + counts.fn_) as f64]
}

/// F1 of objects at IoU 0.5, the first threshold.
fn object_terms(field: &FieldScores) -> Vec<Terms> {
    let objects = field.objects.as_ref();
    let terms = objects.map(|objects| {
        let both = (objects.truth + objects.prediction) as f64;
        [2.0 * objects.at[0].tp as f64, both]
    });
    terms.into_iter().collect()
}

fn count_terms(field: &FieldScores) -> Vec<Terms> {
    let objects = field.objects.as_ref();
    let terms = objects.map(|objects| {
        let (truth, found) = (objects.truth as f64, objects.prediction as f64);
        [found - truth, truth]
    });
    terms.into_iter().collect()
}

fn cluster_terms(field: &FieldScores) -> Vec<Terms> {
    let splitting = field.splitting.as_ref();
    let terms = splitting.map(|counts| {
        let sum = |of: fn(&Resolved) -> u64| counts.clusters.iter().map(of).sum::<u64>() as f64;
        [sum(|c| c.at_50), sum(|c| c.n)]
    });
    terms.into_iter().collect()
}

fn csv(results: &[RunResult]) -> Result<Vec<u8>, ProjectError> {
    let fail = |error: &dyn std::fmt::Display| {
        ProjectError::Failed(format!("`results.csv` cannot be made: {error}"))
    };
    let mut classes: Vec<&String> = Vec::new();
    for class in results.iter().flat_map(|result| &result.classes) {
        if !classes.contains(&class) {
            classes.push(class);
        }
    }
    let mut header: Vec<String> = [
        "run",
        "scheme",
        "planes",
        "loss",
        "encoder",
        "weights",
        "recipe",
        "images",
        "split",
        "seed",
        "training_images",
        "test_images",
        "test_groups",
        "steps",
        "chosen_step",
        "seconds",
        "test_loss",
    ]
    .map(str::to_owned)
    .to_vec();
    for class in &classes {
        header.extend(["f1", "iou"].map(|score| format!("{class}_{score}")));
    }
    header.extend(
        [
            "nucleus_f1_low",
            "nucleus_f1_high",
            "mean_f1",
            "mean_iou",
            "objects_f1_50",
            "count_error",
            "paper_iou",
            "paper_f1",
            "paper_nucleus_iou",
            "paper_nucleus_f1",
        ]
        .map(str::to_owned),
    );
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(&header).map_err(|error| fail(&error))?;
    for result in results {
        writer
            .write_record(csv_row(result, &classes))
            .map_err(|error| fail(&error))?;
    }
    writer.into_inner().map_err(|error| fail(&error))
}

fn csv_row(result: &RunResult, classes: &[&String]) -> Vec<String> {
    let own = |text: &Option<String>| text.clone().unwrap_or_default();
    let number = |value: Option<f64>| value.map_or(String::new(), |v| format!("{v:.5}"));
    let (choice, scores) = (&result.choice, &result.scores);
    let mut row = vec![
        result.id.clone(),
        format!("{:?}", choice.scheme),
        choice
            .planes
            .as_ref()
            .map_or(String::new(), ToString::to_string),
        own(&choice.loss),
        result.encoder.clone(),
        own(&choice.weights),
        own(&choice.recipe),
        choice.images.to_string(),
        choice.split.to_string(),
        choice.seed.to_string(),
        result.training_images.to_string(),
        scores.images.to_string(),
        scores.groups.to_string(),
        result.steps.to_string(),
        result.chosen_step.to_string(),
        format!("{:.1}", result.seconds),
        number(result.test_loss),
    ];
    for class in classes {
        let class = scores.classes.get(class);
        row.push(number(class.and_then(|class| class.f1.pooled)));
        row.push(number(class.and_then(|class| class.iou.pooled)));
    }
    let interval = scores
        .classes
        .get("nucleus")
        .and_then(|class| class.f1.ci95);
    let paper = scores.paper.as_ref();
    let nucleus = paper.and_then(|paper| paper.classes.get("nucleus"));
    row.extend([
        number(interval.map(|i| i[0])),
        number(interval.map(|i| i[1])),
        number(scores.mean.as_ref().and_then(|mean| mean.f1.pooled)),
        number(scores.mean.as_ref().and_then(|mean| mean.iou.pooled)),
        number(
            scores
                .objects
                .as_ref()
                .and_then(|objects| objects.f1_50.pooled),
        ),
        number(
            scores
                .objects
                .as_ref()
                .and_then(|objects| objects.count_error),
        ),
        number(paper.map(|paper| paper.mean.iou)),
        number(paper.map(|paper| paper.mean.f1)),
        number(nucleus.map(|nucleus| nucleus.iou)),
        number(nucleus.map(|nucleus| nucleus.f1)),
    ]);
    row
}

/// `0.812 (0.780 to 0.840)`, with the spread of the seeds where there are several.
fn with_interval(value: &Repeated) -> String {
    let Some(mean) = value.mean else {
        return "-".to_owned();
    };
    let mut text = format!("{mean:.3}");
    if let Some([low, high]) = value.ci95 {
        let _ = write!(text, " ({low:.3} to {high:.3})");
    }
    if let Some(sd) = value.sd {
        let _ = write!(text, ", sd {sd:.3}");
    }
    text
}

/// A table with its title and a sentence on how to read it.
struct Shown {
    title: String,
    caption: String,
    columns: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

fn tables(experiment: &Experiment, conditions: &[Condition]) -> Vec<Shown> {
    let mut tables = vec![pooled_table(conditions), paper_table(conditions)];
    if experiment.file.published {
        tables.extend(published_tables());
    }
    tables
}

fn pooled_table(conditions: &[Condition]) -> Shown {
    Shown {
        title: "Pooled scores".to_owned(),
        caption: "Counts summed over the test fields, class of the largest probability. Means over seeds; in brackets \
                  95 % intervals that resample groups (fields where there are few groups) and seeds; sd is the \
                  standard deviation between seeds."
            .to_owned(),
        columns: vec![
            "condition", "seeds", "images", "nucleus F1", "nucleus IoU", "mean F1", "mean IoU",
            "nuclei as objects, F1 at 0.5", "clusters resolved", "count error",
        ],
        rows: conditions
            .iter()
            .map(|c| {
                vec![
                    c.label(),
                    c.runs.len().to_string(),
                    c.images().to_string(),
                    with_interval(&c.nucleus_f1),
                    with_interval(&c.nucleus_iou),
                    with_interval(&c.mean_f1),
                    with_interval(&c.mean_iou),
                    with_interval(&c.object_f1),
                    with_interval(&c.clusters),
                    c.count_error.mean.map_or("-".to_owned(), |v| format!("{:+.1} %", 100.0 * v)),
                ]
            })
            .collect(),
    }
}

const PAPER_COLUMNS: [&str; 6] = [
    "condition",
    "loss",
    "IoU",
    "F1",
    "nucleus IoU",
    "nucleus F1",
];

fn paper_table(conditions: &[Condition]) -> Shown {
    let row = |c: &Condition| {
        let scores = c.paper()?;
        let loss = c.loss.map_or("-".to_owned(), |loss| format!("{loss:.4}"));
        let numbers = scores.map(|score| format!("{score:.5}"));
        Some([c.label(), loss].into_iter().chain(numbers).collect())
    };
    Shown {
        title: "In the columns of the paper's Tables 1 and 2".to_owned(),
        caption: "The paper's convention: a class is predicted where its probability exceeds 0.5; mean over classes, \
                  background included, then over images. The loss is each run's own, mean over images, so it \
                  compares only runs of the same loss."
            .to_owned(),
        columns: PAPER_COLUMNS.to_vec(),
        rows: conditions.iter().filter_map(row).collect(),
    }
}

fn published_tables() -> Vec<Shown> {
    let numbers = |scores: &[f64; 4]| scores.map(|score| format!("{score:.5}"));
    let table = |title: &str, rows: &[published::Row]| {
        Shown {
        title: title.to_owned(),
        caption: "As published, on the authors' own plates: other cells, other images, so only the order of rows \
                  can be compared. Their loss column is that of one image and is left out."
            .to_owned(),
        columns: PAPER_COLUMNS.to_vec(),
        rows: rows
            .iter()
            .map(|row| {
                let first = [row.name.to_owned(), "-".to_owned()];
                first.into_iter().chain(numbers(&row.scores)).collect()
            })
            .collect(),
    }
    };
    let by_size = published::BY_SIZE.map(|(encoder, images, scores)| {
        let first = [format!("{encoder}, {images} images"), "-".to_owned()];
        first.into_iter().chain(numbers(&scores)).collect()
    });
    vec![
        table("Published: Table 1", &published::TABLE_1),
        table("Published: Table 2", &published::TABLE_2),
        Shown {
            title: "Published: by number of images".to_owned(),
            caption: "From the authors' notebooks, development set.".to_owned(),
            columns: PAPER_COLUMNS.to_vec(),
            rows: by_size.to_vec(),
        },
    ]
}

fn markdown(experiment: &Experiment, results: &[RunResult], conditions: &[Condition]) -> String {
    let mut text = format!(
        "# {}\n\n{}\n",
        title(experiment),
        summary(results).join("\n")
    );
    for table in tables(experiment, conditions) {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n## {}\n\n{}\n\n", table.title, table.caption);
        let _ = writeln!(text, "| {} |", table.columns.join(" | "));
        let _ = writeln!(text, "|{}", "---|".repeat(table.columns.len()));
        for row in &table.rows {
            let _ = writeln!(text, "| {} |", row.join(" | "));
        }
    }
    text
}

fn title(experiment: &Experiment) -> String {
    let name = experiment.path.file_stem();
    name.map_or("experiment".into(), |name| {
        name.to_string_lossy().into_owned()
    })
}

fn summary(results: &[RunResult]) -> Vec<String> {
    let seconds: f64 = results.iter().map(|result| result.seconds).sum();
    let mut lines = vec![format!(
        "{} in {} of training.",
        runs(results.len()),
        crate::train::duration(seconds)
    )];
    if let Some(first) = results.first() {
        lines.push(format!(
            "Scored on the test fields: {} of them; {}.",
            first.scores.images, first.scores.intervals.note
        ));
    }
    lines
}

/// The figures by file name.
fn figures(conditions: &[Condition]) -> Vec<(&'static str, Chart)> {
    let mut figures = vec![("training", training_figure(conditions))];
    let sizes: std::collections::BTreeSet<usize> =
        conditions.iter().map(Condition::images).collect();
    if sizes.len() > 1 {
        figures.push((
            "nucleus-f1-by-images",
            size_figure(
                conditions,
                "Nucleus F1 by number of images",
                "nucleus F1",
                |c| c.nucleus_f1.mean,
            ),
        ));
        figures.push((
            "test-iou-by-images",
            size_figure(
                conditions,
                "Test IoU by number of images",
                "mean IoU",
                |c| c.mean_iou.mean,
            ),
        ));
        figures.push((
            "test-loss-by-images",
            size_figure(
                conditions,
                "Test loss by number of images",
                "test loss",
                |c| c.loss,
            ),
        ));
    }
    figures
}

/// The paper's Figure 3: training loss over the steps.
fn training_figure(conditions: &[Condition]) -> Chart {
    let series = conditions
        .iter()
        .filter_map(|c| {
            let run = c.runs.first()?;
            Some(Series {
                name: c.label(),
                points: run.training_loss.clone(),
                dashed: false,
            })
        })
        .collect();
    let chart = LineChart {
        x_label: "step".to_owned(),
        y_label: "training loss".to_owned(),
        series,
        x_scale: Scale::Linear,
        y_scale: Scale::Linear,
        marks: Vec::new(),
    };
    Chart {
        title: "Training".to_owned(),
        caption: "Training loss by condition, first seed (the paper's Figure 3); losses of different kinds cannot be compared.".to_owned(),
        svg: chart.svg(),
    }
}

/// The paper's Figure 4: a test number by set size, a line for everything else.
fn size_figure(
    conditions: &[Condition],
    title: &str,
    y_label: &str,
    value: impl Fn(&Condition) -> Option<f64>,
) -> Chart {
    let mut lines: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
    for condition in conditions {
        let rest = Choice {
            images: Images::All,
            ..condition.choice.clone()
        };
        if let Some(y) = value(condition) {
            let point = (condition.images() as f64, y);
            lines.entry(rest.label()).or_default().push(point);
        }
    }
    let series = lines
        .into_iter()
        // What was trained with one number of images says nothing about the number of images.
        .filter(|(_, points)| points.len() > 1)
        .map(|(name, mut points)| {
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            Series {
                name: name.replace(", all images", ""),
                points,
                dashed: false,
            }
        })
        .collect();
    let chart = LineChart {
        x_label: "training images".to_owned(),
        y_label: y_label.to_owned(),
        series,
        x_scale: Scale::Log,
        y_scale: Scale::Linear,
        marks: Vec::new(),
    };
    Chart {
        title: title.to_owned(),
        caption: "On the test fields, mean over seeds (the paper's Figure 4).".to_owned(),
        svg: chart.svg(),
    }
}

fn page(
    experiment: &Experiment,
    results: &[RunResult],
    conditions: &[Condition],
    figures: &[(&str, Chart)],
) -> ReportData {
    let table = |shown: Shown| Table {
        title: shown.title,
        caption: shown.caption,
        columns: shown
            .columns
            .iter()
            .enumerate()
            .map(|(i, name)| match i {
                0 => Column::text(*name),
                _ => Column::number(*name, ""),
            })
            .collect(),
        rows: shown
            .rows
            .into_iter()
            .map(|row| row.into_iter().map(Into::into).collect())
            .collect(),
        folded: false,
    };
    ReportData {
        title: title(experiment),
        subtitle: format!("an experiment of {}", runs(results.len())),
        summary: summary(results),
        charts: figures.iter().map(|(_, chart)| chart.clone()).collect(),
        tables: tables(experiment, conditions)
            .into_iter()
            .map(table)
            .collect(),
        config: std::fs::read_to_string(&experiment.path).unwrap_or_default(),
        provenance: vec![Fact::new(
            "Program",
            format!("stainfree {}", env!("CARGO_PKG_VERSION")),
        )],
        ..ReportData::default()
    }
}
