//! `results.csv`: a row a run.

use super::RunResult;
use crate::ProjectError;

/// The table as bytes.
///
/// # Errors
/// It cannot be put together.
pub(super) fn csv(results: &[RunResult]) -> Result<Vec<u8>, ProjectError> {
    let fail = |error: &dyn std::fmt::Display| {
        ProjectError::NotMade(format!("`results.csv` cannot be made: {error}"))
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
        "mitotic",
        "loss",
        "encoder",
        "weights",
        "start",
        "recipe",
        "variant",
        "images",
        "split",
        "fold",
        "flips",
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
            "objects_f1_50_shifted",
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
        choice.mitotic.map_or(String::new(), |own| own.to_string()),
        own(&choice.loss),
        result.encoder.clone(),
        own(&choice.weights),
        result.start.clone(),
        own(&choice.recipe),
        own(&choice.variant),
        choice.images.to_string(),
        choice.split.to_string(),
        choice
            .fold
            .map_or(String::new(), |[fold, _]| fold.to_string()),
        choice.flips.to_string(),
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
    let objects = scores.objects.as_ref();
    let shifted = objects.and_then(|objects| objects.f1_50_shifted.as_ref());
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
        number(shifted.and_then(|shifted| shifted.pooled)),
    ]);
    row
}
