//! One field: made from its inputs, unless it is there as they would make it.

use stainfree_image::{Field, Plane, Product, write};
use stainfree_inference::planes::intensities;
use stainfree_objects::{IGNORED, blank_in_brightfield, blank_regions, blank_share, joined};

use super::Plates;
use super::row::row_of;
use crate::pictures::overlay;
use crate::study::disk::remove;
use crate::study::fields::FieldRow;
use crate::study::finding::{Facts, Review};
use crate::study::fingerprint::{Fingerprint, stamp_of, stamp_of_file};
use crate::study::human;
use crate::study::human::fit::Seen;
use crate::study::human::mitosis::Said;
use crate::study::vouched::{self, Before};
use crate::study::{Source, Study};
use crate::truth::field_truth::FieldTruth;
use crate::truth::files::TruthFiles;
use crate::truth::fixes::StainFixes;
use crate::truth::given::NoTruth;
use crate::truth::make;
use crate::truth::mitosis::Decisions;
use crate::{GroupRule, Job, ProjectError};

/// Changes whenever the same inputs would give other files; part of every key.
const FORMAT: u32 = 8;

/// What became of a field.
pub(super) struct Outcome {
    pub(super) row: FieldRow,
    pub(super) mitosis: Vec<Review>,
    pub(super) facts: Facts,
    /// Whether it was made now.
    pub(super) made: bool,
    /// Why it could not be made.
    pub(super) failed: Option<String>,
}

impl Outcome {
    /// What decisions are compared with.
    pub(super) fn seen(&self) -> Seen<'_> {
        Seen {
            name: &self.row.name,
            image: &self.facts.image,
            misfits: &self.facts.misfits,
        }
    }
}

/// All that fields may be made of.
pub(super) struct FieldInputs<'a> {
    pub(super) study: &'a Study,
    pub(super) source: &'a Source,
    pub(super) files: &'a TruthFiles,
    pub(super) plates: &'a Plates,
    pub(super) decisions: &'a Decisions,
    pub(super) rule: &'a GroupRule,
}

impl FieldInputs<'_> {
    /// What stains of a field are corrected by.
    fn stains(&self, field: &Field) -> StainFixes {
        let Plates {
            lights,
            shifts,
            alignment,
        } = self.plates;
        StainFixes::of(lights, shifts, alignment, &self.study.config().truth, field)
    }

    /// Whether the truth of a field was made of these inputs and is still there; files are not
    /// looked into.
    pub(super) fn is_made(&self, field: &Field) -> bool {
        let (stains, said) = (self.stains(field), self.decisions.of(&field.name));
        let key = key(self.study, self.source, self.files, (&stains, &said), field);
        key.is_ok_and(|key| vouched::is_there(self.study, &field.name, Some(&key)))
    }
}

/// Makes one field; an error is one that no other field would survive either.
pub(super) fn one_field(
    inputs: &FieldInputs,
    field: &Field,
    job: &Job,
) -> Result<Outcome, ProjectError> {
    let FieldInputs {
        study,
        source,
        files,
        decisions,
        rule,
        ..
    } = *inputs;
    let group = rule.group(field)?;
    let left_out = |reason: String, failed: bool| Outcome {
        row: FieldRow {
            well: field.position.well.clone(),
            site: field.position.site,
            ..FieldRow::left_out(&field.name, &group, reason.clone())
        },
        mitosis: Vec::new(),
        facts: Facts::default(),
        made: true,
        failed: failed.then_some(reason),
    };
    if field.name.trim() != field.name {
        let reason = format!(
            "the name of field `{}` begins or ends with a blank, which tables do not keep, so that \
             it would not be found again; rename its files",
            field.name
        );
        return Ok(left_out(reason, true));
    }
    let stains = inputs.stains(field);
    let said = decisions.of(&field.name);
    let key = match key(study, source, files, (&stains, &said), field) {
        Ok(key) => key,
        Err(error) => return Ok(left_out(error.to_string(), true)),
    };
    match vouched::before(study, &field.name, &key) {
        Before::Same(kept) => {
            return Ok(Outcome {
                row: FieldRow { group, ..kept.row },
                mitosis: kept.mitosis,
                facts: kept.facts,
                made: false,
                failed: None,
            });
        }
        Before::Other { changed } => {
            for path in changed {
                vouched::set_aside(study, &path, job)?;
            }
        }
    }
    let made = make_field(study, source, files, (&stains, &said), field, &group);
    let (row, mitosis, facts) = match made {
        Ok(made) => made,
        Err(NoTruth::Left(reason)) => return Ok(left_out(reason, false)),
        // Where one field cannot be written, none can.
        Err(NoTruth::Failed(error)) if error.is_write() => return Err(error),
        Err(NoTruth::Failed(error)) => return Ok(left_out(error.to_string(), true)),
    };
    let kept = vouched::vouch(study, key, row, mitosis, facts)?;
    Ok(Outcome {
        row: kept.row,
        mitosis: kept.mitosis,
        facts: kept.facts,
        made: true,
        failed: None,
    })
}

/// A hash of the choices and of size and time of every file the field's truth depends on.
fn key(
    study: &Study,
    source: &Source,
    files: &TruthFiles,
    (stains, said): (&StainFixes, &[Said]),
    field: &Field,
) -> Result<String, ProjectError> {
    let brightfield = source.brightfield.planes_of(field)?;
    let brightfield = brightfield
        .into_iter()
        .filter_map(|(channel, z)| field.planes[channel][z].as_ref());
    let stained = [source.nucleus, source.cytoplasm].into_iter().flatten();
    let stained = stained.flat_map(|channel| field.planes[channel].iter().flatten());
    let planes = brightfield.chain(stained).map(stamp_of);
    let truth = files.of(&field.name).map(stamp_of_file);
    let inputs = truth.chain(planes).collect::<Result<_, _>>()?;
    let config = study.config().without_places();
    let mut hash = Fingerprint::new(FORMAT);
    hash.value(&config.images);
    hash.value(&config.truth);
    hash.value(&field.pixel_um);
    // Where they lie in their table, and who said them, is no part of it.
    let said: Vec<_> = said.iter().map(|s| (s.y_px, s.x_px, s.decision)).collect();
    hash.value(&(stains, said));
    hash.stamps(inputs);
    Ok(hash.finish())
}

/// The row of a field, the candidates for mitosis in it, and what decisions are compared with.
fn make_field(
    study: &Study,
    source: &Source,
    files: &TruthFiles,
    (stains, said): (&StainFixes, &[Said]),
    field: &Field,
    group: &str,
) -> Result<(FieldRow, Vec<Review>, Facts), NoTruth> {
    let brightfield = source.brightfield.read(field)?;
    let size = brightfield[0].size();
    let mut truth = make::make(study, source, files, stains, said, field, size)?;
    let blank = ignore_blank(&mut truth, &brightfield, field)?;
    write_files(study, field, &truth, &brightfield[0])?;
    let row = row_of(&study.config().truth, &truth, stains, field, group, blank);
    let by_hand = truth.automatic.is_some();
    let facts = Facts {
        image: truth
            .image
            .unwrap_or_else(|| human::content(&brightfield[0])),
        labels: by_hand.then(|| human::content_of_labels(&truth.nuclei)),
        misfits: truth.misfits,
    };
    Ok((row, truth.mitosis, facts))
}

/// Ignores what the brightfield does not show, which can neither be learned nor scored. Gives the
/// share of the pixels at which brightfield or stains show nothing.
fn ignore_blank(
    truth: &mut FieldTruth,
    brightfield: &[Plane],
    field: &Field,
) -> Result<f64, ProjectError> {
    let blank = blank_in_brightfield(&intensities(brightfield));
    let blank = blank.as_ref().and_then(blank_regions);
    if let Some(blank) = &blank {
        if !blank.data().contains(&false) {
            return Err(ProjectError::NothingSeen {
                field: field.name.clone(),
            });
        }
        let pairs = truth.classes.data_mut().iter_mut().zip(blank.data());
        pairs
            .filter(|(_, blank)| **blank)
            .for_each(|(class, _)| *class = IGNORED);
    }
    let of_stains = truth.blank.as_ref().and_then(blank_regions);
    Ok(blank_share(joined(blank, of_stains).as_ref()))
}

/// Writes masks, labels and overlay of a field.
fn write_files(
    study: &Study,
    field: &Field,
    truth: &FieldTruth,
    brightfield: &Plane,
) -> Result<(), ProjectError> {
    let note = |what: &str| write::Note {
        text: format!(
            "stainfree {} {what} of field {}",
            env!("CARGO_PKG_VERSION"),
            field.name
        ),
        pixel_um: field.pixel_um,
    };
    vouched::begin_rewriting(study, &field.name)?;
    let (store, name) = (study.truth(), &field.name);
    store.put_classes(name, &truth.classes, &note("truth: class mask"))?;
    store.put_labels(Product::Nuclei, name, &truth.nuclei, &note("truth: nuclei"))?;
    let optional = [
        (
            Product::Automatic,
            &truth.automatic,
            "nuclei before correction",
        ),
        (Product::Cells, &truth.cells, "truth: cells"),
    ];
    for (product, labels, what) in optional {
        match labels {
            Some(labels) => store.put_labels(product, name, labels, &note(what))?,
            // Those of a time when the field had them.
            None => remove(&store.path(product, name))?,
        }
    }
    let picture = overlay(
        &brightfield.to_f32(),
        &truth.classes,
        &study.config().truth.classes,
    )?;
    store.put_picture(name, &picture)?;
    Ok(())
}
