//! `stainfree` without a command: what lies in the current folder, and what to do next.

use std::path::Path;

use anyhow::Result;
use stainfree_image::marker::{self, Kind};
use stainfree_image::{ImageError, Inspection, OpenOptions, open, summarise};
use stainfree_project::{ProjectError, Study};

use crate::Context;
use crate::failure::Outcome;
use crate::next;
use crate::output;

/// Says what lies here and which command comes next.
///
/// # Errors
/// A study that cannot be opened, or standard output is closed.
pub(crate) fn look(context: &Context) -> Result<Outcome> {
    let here = Path::new(".");
    if Study::is_at(here) {
        return study(&Study::open(here)?, context);
    }
    match marker::written_by_us(here) {
        Some(Kind::Prediction) => {
            output::print("this folder holds predictions")?;
            context.next(
                "stainfree measure . --images PLATE --out cells.csv",
                "a row for every nucleus; PLATE is what was predicted",
            );
        }
        Some(Kind::Segmentation) => {
            output::print("this folder holds labels of `segment`")?;
            context.next(
                "stainfree measure --labels . --images PLATE --out cells.csv",
                "a row for every nucleus; PLATE is what was segmented",
            );
        }
        Some(kind) => output::print(&format!("this folder is {}", kind.described()))?,
        None => match open(here, &OpenOptions::default()).map(|found| summarise(&found)) {
            Ok(found) if found.fields > 0 => images(&found, context)?,
            Ok(_) | Err(ImageError::NoImages { .. }) => nothing(context)?,
            Err(error) => {
                output::print(&format!("what lies here cannot be opened: {error}"))?;
            }
        },
    }
    Ok(Outcome::Done)
}

/// A study: the first step that is missing.
fn study(study: &Study, context: &Context) -> Result<Outcome> {
    let models = study.models();
    match study.fields() {
        Err(ProjectError::NotPrepared(_) | ProjectError::HalfPrepared(_)) => {
            output::print("this folder is a study that is not prepared")?;
            context.next(
                "stainfree prepare .",
                "truth for every field, and pictures of it",
            );
        }
        Err(error) => return Err(error.into()),
        Ok(rows) if models.is_empty() => {
            output::print(&format!("this folder is a study of {} fields", rows.len()))?;
            context.next("stainfree train .", "a model");
        }
        Ok(rows) => {
            output::print(&format!(
                "this folder is a study of {} fields with the models {}",
                rows.len(),
                models
                    .iter()
                    .map(|name| format!("`{name}`"))
                    .collect::<Vec<_>>()
                    .join(", ")
            ))?;
            let only = study.only_model();
            let named = (!models.contains(&only)).then(|| models[0].as_str());
            let model = next::model(named);
            context.next(
                &format!("stainfree evaluate .{model}"),
                "how good it is; then `stainfree report .`",
            );
            context.next(
                &format!("stainfree predict . PLATE --out result{model}"),
                "nuclei and cytoplasm of a plate without stains",
            );
        }
    }
    Ok(Outcome::Done)
}

/// Images: a study where they are stained, a prediction where a model stands already.
fn images(found: &Inspection, context: &Context) -> Result<()> {
    output::print(&format!(
        "this folder holds {} fields ({}; channels {})",
        found.fields,
        found.layout,
        found.channels.join(", ")
    ))?;
    context.next(
        "stainfree inspect .",
        "all that is known of them, and what is odd",
    );
    context.next(
        "stainfree new . --out ../study",
        "where they are stained: a study of them",
    );
    context.next(
        "stainfree predict MODEL . --out ../result",
        "where they are not, with a model of yours",
    );
    Ok(())
}

/// Nothing that the program knows.
fn nothing(context: &Context) -> Result<()> {
    output::print(
        "this folder holds no images, study or result; `stainfree --help` lists commands",
    )?;
    context.next(
        "stainfree inspect PLATE",
        "what the program sees in a folder of yours",
    );
    context.next(
        "stainfree demo",
        "the whole job on a simulated plate, in minutes",
    );
    Ok(())
}
