//! The tables of an experiment: a row a condition.

use super::conditions::Condition;
use super::curve::{self, Advice};
use super::file::Experiment;
use super::published;
use super::shown::{Shown, with_interval};

/// All tables, the main one first.
pub(super) fn tables(
    experiment: &Experiment,
    conditions: &[Condition],
    advice: &[Advice],
    answers: Vec<Shown>,
) -> Vec<Shown> {
    let mut tables = vec![pooled_table(conditions)];
    tables.extend(curve::table(advice));
    tables.extend(answers);
    tables.push(paper_table(conditions));
    if experiment.file.published {
        tables.extend(published_tables());
    }
    tables
}

fn pooled_table(conditions: &[Condition]) -> Shown {
    Shown {
        title: "Pooled scores".to_owned(),
        caption:
            "Counts summed over the test fields, class of the largest probability. Means over \
            seeds; in brackets \
                  95 % intervals that resample groups (fields where there are few groups) and \
                  seeds; sd is the \
                  standard deviation between seeds."
                .to_owned(),
        columns: vec![
            "condition",
            "seeds",
            "images",
            "nucleus F1",
            "nucleus IoU",
            "mean F1",
            "mean IoU",
            "nuclei as objects, F1 at 0.5",
            "clusters resolved",
            "count error",
        ],
        rows: conditions
            .iter()
            .map(|c| {
                vec![
                    c.label(),
                    c.repeats.len().to_string(),
                    c.images().to_string(),
                    with_interval(&c.nucleus_f1),
                    with_interval(&c.nucleus_iou),
                    with_interval(&c.mean_f1),
                    with_interval(&c.mean_iou),
                    with_interval(&c.object_f1),
                    with_interval(&c.clusters),
                    c.count_error
                        .mean
                        .map_or("-".to_owned(), |v| format!("{:+.1} %", 100.0 * v)),
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
        caption: "The paper's convention: a class is predicted where its probability exceeds 0.5; \
            mean over classes, \
                  background included, then over images. The loss is each run's own, mean over \
                  images, so it \
                  compares only runs of the same loss."
            .to_owned(),
        columns: PAPER_COLUMNS.to_vec(),
        rows: conditions.iter().filter_map(row).collect(),
    }
}

fn published_tables() -> Vec<Shown> {
    let numbers = |scores: &[f64; 4]| scores.map(|score| format!("{score:.5}"));
    let table = |title: &str, rows: &[published::Row]| Shown {
        title: title.to_owned(),
        caption:
            "As published, on the authors' own plates: other cells, other images, so only the \
            order of rows \
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
