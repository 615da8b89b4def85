//! The model card: what is known of a model, from its folder alone.

use std::collections::BTreeSet;
use std::fmt::Write;

use stainfree_network::Model;
use stainfree_network::onnx::{OUTSIDE, OnnxOptions, about, about_planes, input_sentences};
use stainfree_network::tiles::receptive_radius;
use stainfree_scores::Scores;

use super::ExportOptions;
use super::example::{Example, halo};
use crate::study::provenance::{Known, Provenance};
use crate::{Part, ProjectError};

/// The card as Markdown.
///
/// # Errors
/// A file of the model's folder is there and cannot be read.
pub(super) fn card(
    options: &ExportOptions,
    model: &Model,
    example: &Example,
) -> Result<String, ProjectError> {
    let record = Provenance::of_model(&options.model, &model.info.hashes)?;
    let sections = [
        ("What it does", purpose(model)),
        ("Data", data(model, record.as_ref())),
        ("Training", training(model)),
        ("Validation", validation(options, model)?),
        ("Input", input(model, example)),
        ("Outputs", outputs(model)),
        ("Limits", limits(model)),
        ("Files", files(model, example)),
        ("Licence", licence(options)),
    ];
    let mut text = format!("# A model of {}\n", model.info.program);
    for (title, lines) in sections {
        let _ = write!(text, "\n## {title}\n\n{}\n", lines.join("\n"));
    }
    Ok(text)
}

fn purpose(model: &Model) -> Vec<String> {
    vec![format!(
        "A U-Net (encoder {}, width {}) that tells {} apart in brightfield images of cells without \
         stains, pixel by pixel.",
        model.info.network.encoder(),
        model.info.network.width(),
        model.info.classes.join(", ")
    )]
}

fn data(model: &Model, record: Option<&Provenance>) -> Vec<String> {
    let mut lines = vec![
        "What the model's folder records of the fields; the images themselves are not part of \
         this package."
            .to_owned(),
        String::new(),
    ];
    match record {
        None => lines.push("- Nothing is recorded of the fields that trained it.".to_owned()),
        Some(record) => {
            for part in [Part::Train, Part::Validation, Part::Test] {
                let own = record.fields.iter().filter(|f| f.role == part);
                let own = own.filter(|field| field.through.is_none());
                let groups: BTreeSet<&str> = own.clone().map(|f| &f.group[..]).collect();
                let (fields, groups) = (own.count(), groups.len());
                if fields > 0 {
                    lines.push(format!("- {part}: {fields} fields of {groups} groups."));
                }
            }
            if record.virtual_plates.is_some() {
                lines.push("- Trained on fields of simulated plates.".to_owned());
            }
            for ancestor in &record.ancestors {
                let knows = match ancestor.knows {
                    Known::Recorded => "a model whose fields are recorded",
                    Known::VirtualPlates => "trained on simulated plates",
                    Known::Photographs => "trained on photographs of things",
                    Known::Unknown => "a model that records nothing of what it was trained on",
                };
                lines.push(format!("- Started from `{}`: {knows}.", ancestor.name));
            }
        }
    }
    if let (None, Some(start)) = (record, &model.info.pretrained) {
        lines.push(format!("- Started from `{start}`."));
    }
    match model.info.pixel_um {
        Some(um) => lines.push(format!("- Pixel size of the training images: {um} um.")),
        None => lines.push("- The pixel size of the training images is not known.".to_owned()),
    }
    lines
}

fn training(model: &Model) -> Vec<String> {
    let (record, recipe) = (&model.info.training, &model.info.recipe);
    let mut lines = vec![
        format!("- Recipe `{}`, seed {}.", recipe.name, recipe.seed),
        format!(
            "- {} steps of {} crops of {} pixels, from {} fields; the weights are those of step \
             {}.",
            record.steps, recipe.batch, recipe.crop, record.fields, record.chosen_step
        ),
    ];
    if let Some(value) = record.chosen_value {
        lines.push(format!(
            "- They were chosen by a value of {value:.4} on validation."
        ));
    }
    lines
}

/// The scores that `evaluate` left beside the model, where they are this model's.
fn validation(options: &ExportOptions, model: &Model) -> Result<Vec<String>, ProjectError> {
    let path = options.model.join("scores.json");
    let none = vec![
        "No scores lie in the model's folder. Predict images that the model has not met, with \
         classes that a person or a stain has given, and compare class by class (F1, IoU)."
            .to_owned(),
    ];
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(none),
        Err(error) => return Err(ProjectError::read(&path, &error)),
    };
    let damaged = |error: serde_json::Error| {
        ProjectError::Failed(format!(
            "`{}` is damaged ({error}); run `stainfree evaluate` again, or delete it",
            path.display()
        ))
    };
    let scores: Scores = serde_json::from_slice(&text).map_err(damaged)?;
    let hash = model.hash();
    // Scores of another model that was here before are not this one's.
    let Some(on) = scores.on.as_ref().filter(|on| on.model == hash) else {
        return Ok(none);
    };
    let mut lines = vec![
        format!(
            "Scores of `stainfree evaluate` on {} fields of {} groups, with 95 % intervals: {}.",
            scores.images, scores.groups, on.note
        ),
        String::new(),
        "| What | Score | Pooled | 95 % interval |".to_owned(),
        "|---|---|---|---|".to_owned(),
    ];
    let mut row = |what: &str, score: &str, statistic: &stainfree_scores::Statistic| {
        let number = |value: Option<f64>| value.map_or("not defined".into(), |v| format!("{v:.3}"));
        let interval = statistic
            .ci95
            .map_or("not defined".to_owned(), |[low, high]| {
                format!("{low:.3} to {high:.3}")
            });
        let pooled = number(statistic.pooled);
        lines.push(format!("| {what} | {score} | {pooled} | {interval} |"));
    };
    for (class, pixelwise) in scores.classes.iter() {
        row(class, "F1 of pixels", &pixelwise.f1);
        row(class, "IoU of pixels", &pixelwise.iou);
    }
    if let Some(objects) = &scores.objects {
        row("nuclei as objects", "F1 at IoU 0.5", &objects.f1_50);
    }
    Ok(lines)
}

fn input(model: &Model, example: &Example) -> Vec<String> {
    let full_range = example.full_range;
    let mut lines = vec![
        format!(
            "`[batch][plane][y][x]`: {}.",
            about_planes(&model.info.input)
        ),
        String::new(),
        "The network holds what happens to them; nothing is to be normalised before. In order:"
            .to_owned(),
        String::new(),
    ];
    let sentences = input_sentences(model, &OnnxOptions { full_range });
    lines.extend(sentences.iter().map(|sentence| format!("1. {sentence}")));
    lines.push(String::new());
    lines.push(
        "No steps that bioimage.io's format knows say exactly this, so none are asked for."
            .to_owned(),
    );
    lines
}

fn outputs(model: &Model) -> Vec<String> {
    let outputs = model.graph.outputs().iter();
    let line = |output| format!("- {}.", about(output, &model.info.classes));
    outputs.map(line).collect()
}

fn limits(model: &Model) -> Vec<String> {
    let (radius, halo) = (receptive_radius(&model.graph), halo(&model.graph));
    let mut lines = vec![
        format!("- {OUTSIDE}"),
        format!(
            "- Give whole images where memory allows: planes are normalised over what is given. A \
             pixel sees {radius} pixels to each side; tiles had better overlap by {halo}."
        ),
        "- Images of other cells, microscopes, magnifications or focus than it was trained on may \
         give anything: check it on some with known classes first."
            .to_owned(),
    ];
    if model.graph.sees_whole_image() {
        lines.push(
            "- This network weighs its channels by their means over what is given, so tiles \
             differ from the whole image whatever their overlap."
                .to_owned(),
        );
    }
    lines
}

fn files(model: &Model, example: &Example) -> Vec<String> {
    let what = match example.simulated {
        true => "a field of a virtual microscope, no photograph",
        false => "an image that was given when the package was made",
    };
    vec![format!(
        "The example is {what}; its outputs were computed by stainfree in f32. The model is \
         recognised by `{}`.",
        model.hash()
    )]
}

fn licence(options: &ExportOptions) -> Vec<String> {
    vec![match &options.licence {
        Some(licence) => format!("{licence}."),
        None => "None was named when the package was made.".to_owned(),
    }]
}
