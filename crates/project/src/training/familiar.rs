//! What a model's training looks like, kept beside the model.

use std::collections::BTreeMap;
use std::path::Path;

use stainfree_image::Field;
use stainfree_inference::Options;
use stainfree_network::Model;

use crate::prediction::familiar::{Kept, KeptField, Looks};
use crate::prediction::opened::{OpenedModel, nuclei_of};
use crate::study::each_field::EachField;
use crate::study::fields::FieldRow;
use crate::study::{Source, Study};
use crate::training::worse::scores_when_worse;
use crate::{Job, Part, ProjectError};

/// Fields of the training that are looked at, and validation fields: each is predicted once.
const MOST_FIELDS: [usize; 2] = [64, 64];

/// [`keep_looks`] of a model that was trained just now, unless it is there already. The model is
/// whole without it: where it cannot be kept, that is said.
///
/// # Errors
/// [`ProjectError::Cancelled`].
pub(crate) fn looks_for(
    study: &Study,
    source: &Source,
    rows: &[FieldRow],
    trained: &Path,
    job: &Job,
) -> Result<(), ProjectError> {
    let hash = Model::load(trained)?.hash();
    if let Ok(Some(_)) = Kept::read(trained, &hash) {
        return Ok(());
    }
    match keep_looks(study, source, rows, trained, job) {
        Err(error @ ProjectError::Cancelled) => Err(error),
        Err(error) => {
            job.progress.note(&format!(
                "the model is whole, but what its training looked like was not kept, so fields \
                 unlike it will not be marked: {error}; `stainfree tune` keeps it"
            ));
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

/// Predicts fields that trained and validated by the model in `folder`, and writes what they look
/// like beside it; what was there is replaced.
///
/// # Errors
/// A field cannot be read or predicted, or the file not be written.
pub(crate) fn keep_looks(
    study: &Study,
    source: &Source,
    rows: &[FieldRow],
    folder: &Path,
    job: &Job,
) -> Result<(), ProjectError> {
    let mut model = OpenedModel::open(folder, job.machine, &Options::default())?;
    let info = model.predictor.info().clone();
    let decoder = model.predictor.decoder().clone();
    let workers = model.predictor.workers().clone();
    let mut kept = Vec::new();
    let fields = fields_of(source, rows);
    EachField::new(job, &fields, |(field, _)| {
        format!("{} (what it looks like)", field.name)
    })
    .in_turn(|(field, row)| {
        let planes = source.brightfield.read(field)?;
        let pixels = match model.predict(field, &planes, job) {
            Err(ProjectError::NothingSeen { .. }) => return Ok(()),
            pixels => pixels?,
        };
        let found = workers.run(|| -> Result<_, ProjectError> {
            let looks = Looks::of(&planes, field.pixel_um, &info, &pixels);
            let nuclei = nuclei_of(field, &pixels, &decoder)?;
            Ok(looks.with_nuclei(&nuclei, field.pixel_um, &info))
        })?;
        let trained = row.split == Some(Part::Train);
        kept.push(KeptField::new(&field.name, &row.group, trained, &found));
        Ok(())
    })?;
    let (hash, rule) = (model.predictor.hash(), model.predictor.rule_word());
    let mut kept = Kept::new(hash, rule, kept);
    kept.worse = scores_when_worse((study, source, rows), &mut model, &kept, job)?;
    kept.write(folder)?;
    Ok(())
}

/// The fields that are looked at: evenly chosen where there are many.
fn fields_of<'a>(source: &'a Source, rows: &'a [FieldRow]) -> Vec<(&'a Field, &'a FieldRow)> {
    let by_name: BTreeMap<&str, &Field> = source.by_name();
    let part = |(part, most): (Part, usize)| {
        let rows = rows.iter().filter(move |row| row.split == Some(part));
        let found = rows.filter_map(|row| Some((*by_name.get(row.name.as_str())?, row)));
        let all: Vec<_> = found.collect();
        let count = all.len().min(most);
        (0..count)
            .map(|i| all[i * all.len() / count])
            .collect::<Vec<_>>()
    };
    let parts = [Part::Train, Part::Validation].into_iter().zip(MOST_FIELDS);
    parts.flat_map(part).collect()
}
