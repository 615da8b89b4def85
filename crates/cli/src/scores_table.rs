//! Scores as a table for the terminal.

use stainfree_scores::{Scores, Statistic};

use crate::output::table;

/// The table of `scores`: classes, their mean, objects, and what the intervals are.
pub(crate) fn render(scores: &Scores) -> String {
    let mut text = String::new();
    let mut rows = Vec::new();
    for (name, class) in scores.classes.iter() {
        rows.push(row(&format!("{name} F1"), &class.f1));
        rows.push(row(&format!("{name} IoU"), &class.iou));
    }
    if let Some(mean) = &scores.mean {
        rows.push(row("mean F1", &mean.f1));
        rows.push(row("mean IoU", &mean.iou));
    }
    if let Some(accuracy) = &scores.accuracy {
        rows.push(row("accuracy", accuracy));
    }
    if let Some(objects) = &scores.objects {
        // All of them are in the JSON; these say what a reader at a terminal wants to know.
        for name in ["f1_50", "mean_ap", "pq", "count_error"] {
            rows.extend(
                objects
                    .detail
                    .get(name)
                    .map(|statistic| row(&format!("objects {name}"), statistic)),
            );
        }
    }
    text.push_str(&table(
        &["score", "pooled", "95 % interval", "mean over images"],
        &rows,
        1,
    ));
    if let Some(objects) = &scores.objects {
        text.push_str(&format!(
            "\n\n{} objects in the truth, {} predicted",
            objects.truth, objects.prediction
        ));
    }
    text.push_str(&format!(
        "\n\n{} field{} in {} group{}; {}",
        scores.images,
        plural(scores.images),
        scores.groups,
        plural(scores.groups),
        scores.intervals.note
    ));
    text
}

fn row(name: &str, statistic: &Statistic) -> Vec<String> {
    let number = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.4}"));
    let interval = statistic.ci95.map_or("-".to_owned(), |[low, high]| {
        format!("{low:.4} to {high:.4}")
    });
    vec![
        name.to_owned(),
        number(statistic.pooled),
        interval,
        number(statistic.mean_over_images),
    ]
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}
