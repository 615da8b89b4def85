//! The truth of one field: class mask and nucleus labels from stains, masks or labels.
//!
//! Here: putting together what `nuclei` and `cytoplasm` find. Not here: reading the field's sources
//! (`given`), which fields, what is written where ([`prepare`](mod@crate::truth::prepare)).

use std::collections::BTreeSet;

use stainfree_image::{Field, Image};
use stainfree_objects::{NUCLEUS, apply_ignore, joined, scheme_a, scheme_b};

use super::class_mask::from_class_mask;
use super::cytoplasm::Cytoplasm;
use super::field_truth::FieldTruth;
use super::files::TruthFiles;
use super::fixes::StainFixes;
use super::given::{Inputs, NoTruth, in_field};
use super::mitosis::decide;
use super::nuclei::Nuclei;
use crate::ProjectError;
use crate::study::config::{MaskValues, NucleiFrom, Scheme};
use crate::study::finding::Review;
use crate::study::human::mitosis::{Decision, Said};
use crate::study::{Source, Study};

/// Makes the truth of `field`, whose brightfield is `size` = (height, width).
///
/// # Errors
/// The field was given no truth, or something is wrong with it.
pub(crate) fn make(
    study: &Study,
    source: &Source,
    files: &TruthFiles,
    fixes: &StainFixes,
    decided: &[Said],
    field: &Field,
    size: (usize, usize),
) -> Result<FieldTruth, NoTruth> {
    let truth = &study.config().truth;
    let inputs = Inputs::of(truth, source, files, fixes, field, size)?;
    let Some(from) = truth.nuclei_from() else {
        return Err(NoTruth::Left("the study names no truth".to_owned()));
    };
    let by_hand = files.corrected.get(&field.name);
    if let NucleiFrom::Masks(_) = from
        && truth.mask_values == MaskValues::Classes
    {
        return match by_hand {
            None => from_class_mask(&inputs),
            Some(path) => Err(NoTruth::Failed(ProjectError::Failed(format!(
                "`{}` corrects nuclei, but the truth of this study is class masks; correct the \
                 mask of field `{}` itself",
                path.display(),
                field.name
            )))),
        };
    }
    let mut nuclei = Nuclei::find(&inputs, from)?;
    if let Some(path) = by_hand {
        nuclei.correct(path, inputs.at, size)?;
    }
    let cytoplasm = Cytoplasm::find(&inputs, &nuclei)?;
    put_together(&inputs, nuclei, cytoplasm, decided)
}

/// Paints the class mask of what was found.
fn put_together(
    inputs: &Inputs,
    nuclei: Nuclei,
    cytoplasm: Cytoplasm,
    decided: &[Said],
) -> Result<FieldTruth, NoTruth> {
    let (truth, field) = (inputs.truth, inputs.field);
    let mut classes = match truth.scheme {
        Scheme::A => scheme_a(&nuclei.mask, cytoplasm.mask.as_ref()),
        Scheme::B => scheme_b(&nuclei.labels, truth.line_placement, truth.line_px),
    };
    let least = truth.mitosis.min_score;
    let labels = &nuclei.labels;
    let (mitosis, misfits) = decide(&field.name, &nuclei.candidates, labels, decided, least);
    if truth.mitosis.find {
        let class = (truth.classes.len() - 1) as u8;
        paint_mitotic(&mut classes, &nuclei.labels, &mitosis, class);
    }
    let ignore = match cytoplasm.is_unknown {
        true => Some(nuclei.mask.map(|&inside| !inside)),
        false => joined(nuclei.ignore, cytoplasm.ignore),
    };
    if let Some(ignore) = &ignore {
        apply_ignore(&mut classes, ignore).map_err(|e| in_field(field, e))?;
    }
    let mut verdicts = nuclei.verdicts;
    verdicts.extend(cytoplasm.verdicts);
    Ok(FieldTruth {
        automatic: nuclei.automatic,
        cells: cytoplasm.cells,
        nucleus_numbers: nuclei.numbers,
        cytoplasm_numbers: cytoplasm.numbers,
        debris_share: nuclei.debris_share,
        bleed_through: cytoplasm.bleed_through,
        mitosis,
        misfits,
        image: nuclei.image,
        nucleus_threshold: nuclei.threshold,
        cytoplasm_threshold: cytoplasm.threshold,
        blank: joined(nuclei.blank, cytoplasm.blank),
        remarks: nuclei.remarks,
        verdicts,
        ..FieldTruth::of(classes, nuclei.labels, nuclei.count)
    })
}

/// Turns the nucleus pixels of the nuclei that are mitotic into `class`.
fn paint_mitotic(classes: &mut Image<u8>, nuclei: &Image<u32>, reviews: &[Review], class: u8) {
    let mitotic: BTreeSet<u32> = reviews
        .iter()
        .filter(|review| review.mitotic == Some(Decision::Yes))
        .filter_map(|review| review.label)
        .collect();
    for (value, label) in classes.data_mut().iter_mut().zip(nuclei.data()) {
        if *value == NUCLEUS && mitotic.contains(label) {
            *value = class;
        }
    }
}
