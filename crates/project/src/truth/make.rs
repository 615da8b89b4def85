//! The truth of one field: class mask and nucleus labels from stains, masks or labels.
//!
//! Here: reading the field's sources (`given`), checking that they are what they should be, putting
//! them together. Not here: which fields, what is written where
//! ([`prepare`](mod@crate::truth::prepare)).

use std::collections::BTreeSet;
use std::path::Path;

use stainfree_image::{Field, Image, PlaneAt, TruthOf};
use stainfree_objects::{
    Connectivity, IGNORED, NUCLEUS, StainNumbers, Verdict, apply_ignore, bleed_through,
    cells_from_nuclei, debris_share, joined, label, mitotic_candidates, relabel_consecutive,
    scheme_a, scheme_b, segment_cytoplasm_besides, segment_nuclei_besides, smoothed_share,
};

use super::files::{TruthFiles, plane_at};
use super::fixes::{Corrected, StainFixes};
use super::given::{
    Given, NoTruth, file_of, read_cells, read_instances, read_sized, read_stain,
    refuse_without_background, shared_numbers_note,
};
use crate::ProjectError;
use crate::study::config::nucleus_classes;
use crate::study::config::{
    CytoplasmFrom, MaskValues, MissingCells, NucleiFrom, Scheme, TruthConfig,
};
use crate::study::finding::Review;
use crate::study::human;
use crate::study::human::mitosis::Decision;
use crate::study::human::mitosis::Said;
use crate::study::{Source, Study};
use crate::truth::mitosis::decide;

/// The truth of one field.
#[derive(Clone, Debug)]
pub(crate) struct FieldTruth {
    pub(crate) classes: Image<u8>,
    pub(crate) nuclei: Image<u32>,
    /// The automatic nuclei, where `nuclei` were corrected by hand.
    pub(crate) automatic: Option<Image<u32>>,
    pub(crate) count: usize,
    /// Whole cells, each with the label of its nucleus; from a cytoplasmic stain.
    pub(crate) cells: Option<Image<u32>>,
    /// What was measured in each stain; `None` where the truth does not come from it.
    pub(crate) nucleus_numbers: Option<StainNumbers>,
    pub(crate) cytoplasm_numbers: Option<StainNumbers>,
    pub(crate) debris_share: Option<f64>,
    pub(crate) bleed_through: Option<f64>,
    /// The candidates for mitosis and what the truth says of them; empty where they are not looked
    /// for.
    pub(crate) mitosis: Vec<Review>,
    /// Places of decisions on mitosis at which no nucleus is.
    pub(crate) misfits: Vec<(f64, f64)>,
    /// What the nuclear stain is recognised by, where the truth comes from it.
    pub(crate) image: Option<String>,
    pub(crate) nucleus_threshold: Option<f64>,
    pub(crate) cytoplasm_threshold: Option<f64>,
    /// Pixels at which a stain shows nothing; they are ignored.
    pub(crate) blank: Option<Image<bool>>,
    /// What is odd about the files that were given.
    pub(crate) remarks: Vec<String>,
    /// Remarks on both stains.
    pub(crate) verdicts: Vec<(&'static str, Verdict)>,
}

/// Makes the truth of `field`, whose brightfield is `size` = (height, width).
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
    let at = plane_at(source, field)?;
    let Some(from) = truth.nuclei_from() else {
        return Err(NoTruth::Left("the study names no truth".to_owned()));
    };
    if let NucleiFrom::Masks(_) = from
        && truth.mask_values == MaskValues::Classes
    {
        return match files.corrected.get(&field.name) {
            None => from_class_mask(truth, files, field, at, size),
            Some(path) => Err(NoTruth::Failed(ProjectError::Failed(format!(
                "`{}` corrects nuclei, but the truth of this study is class masks; correct the \
                 mask of field `{}` itself",
                path.display(),
                field.name
            )))),
        };
    }

    let given = Given::of(truth);
    let mut verdicts = Vec::new();
    let mut ignore: Option<Image<bool>>;
    let (mut nucleus_numbers, mut cytoplasm_numbers) = (None, None);
    let (mut debris, mut bleed) = (None, None);
    let mut blank = None;
    let mut remarks = Vec::new();
    let mut mitosis = Vec::new();
    let mut nuclear = None;
    let mut nucleus_threshold = None;
    let mut image = None;
    let (mut mask, mut nuclei, mut count) = match from {
        NucleiFrom::Stain(channel) => {
            let stain = read_stain(field, source.nucleus, channel, size)?;
            image = Some(human::content(&stain));
            let corrected = Corrected::new(stain.to_f32(), &fixes.nucleus);
            let stain = &corrected.stain;
            let mut found = segment_nuclei_besides(
                stain,
                corrected.blank.as_ref(),
                field.pixel_um,
                &truth.nucleus_settings,
            )
            .map_err(|e| in_field(field, e))?;
            let limits = &truth.nucleus_settings.quality;
            let (numbers, quality) = (&mut found.numbers, &mut found.quality);
            corrected.recount_saturation(&found.mask, limits, numbers, quality);
            verdicts.extend(
                found
                    .quality
                    .into_iter()
                    .map(|verdict| ("nucleus", verdict)),
            );
            nucleus_threshold = Some(f64::from(found.threshold));
            nucleus_numbers = Some(found.numbers);
            debris = debris_share(&found.labels);
            let verdict = debris.and_then(|share| Verdict::of_debris(share, limits));
            verdicts.extend(verdict.map(|verdict| ("nucleus", verdict)));
            if truth.mitosis.find {
                let least = truth.mitosis.review_score.min(truth.mitosis.min_score);
                mitosis = mitotic_candidates(stain, &found.labels, found.um_per_pixel, least)
                    .map_err(|e| in_field(field, e))?;
            }
            ignore = joined(Some(found.ignore), corrected.unknown);
            blank = corrected.blank;
            nuclear = Some(corrected.stain);
            (found.mask, found.labels, found.count)
        }
        NucleiFrom::Masks(folder) => {
            let mask = read_cells(file_of(&files.nuclei, field, folder)?, at, size)?;
            let mask = given.place(mask);
            ignore = given.unknown(size);
            let labels = label(&mask, Connectivity::Eight);
            (mask, labels.image, labels.count)
        }
        NucleiFrom::Labels(folder) => {
            let path = file_of(&files.nuclei, field, folder)?;
            let stored = read_instances(path, at, size)?;
            refuse_without_background(&path.path, &stored)?;
            remarks.extend(shared_numbers_note(&path.path, &stored));
            let labels = relabel_consecutive(&given.place(stored));
            ignore = given.unknown(size);
            (labels.image.map(|&l| l != 0), labels.image, labels.count)
        }
    };

    let automatic = match files.corrected.get(&field.name) {
        None => None,
        Some(path) => {
            let stored = read_instances(&TruthOf::alone(path.clone()), at, size)?;
            remarks.extend(shared_numbers_note(path, &stored));
            let corrected = relabel_consecutive(&stored);
            // A person has looked: doubts about stain and threshold no longer count, and where the
            // stain shows nothing the nuclei are known all the same.
            verdicts.clear();
            (ignore, blank) = (None, None);
            (mask, count) = (corrected.image.map(|&l| l != 0), corrected.count);
            Some(std::mem::replace(&mut nuclei, corrected.image))
        }
    };

    let mut cytoplasm_threshold = None;
    let mut cells_unknown = false;
    let mut cells = None;
    let cytoplasm = match truth.cytoplasm_from() {
        CytoplasmFrom::Nothing => None,
        CytoplasmFrom::Stain(channel) => {
            let stain = read_stain(field, source.cytoplasm, channel, size)?;
            let corrected = Corrected::new(stain.to_f32(), &fixes.cytoplasm);
            let stain = &corrected.stain;
            let mut found = segment_cytoplasm_besides(
                stain,
                corrected.blank.as_ref(),
                field.pixel_um,
                &truth.cytoplasm_settings,
            )
            .map_err(|e| in_field(field, e))?;
            let limits = &truth.cytoplasm_settings.quality;
            let (numbers, quality) = (&mut found.numbers, &mut found.quality);
            corrected.recount_saturation(&found.mask, limits, numbers, quality);
            verdicts.extend(
                found
                    .quality
                    .into_iter()
                    .map(|verdict| ("cytoplasm", verdict)),
            );
            cytoplasm_threshold = Some(f64::from(found.threshold));
            cytoplasm_numbers = Some(found.numbers);
            if let Some(nuclear) = &nuclear {
                bleed = bleed_through(nuclear, stain, &nuclei).map_err(|e| in_field(field, e))?;
                let verdict = bleed.and_then(|number| Verdict::of_bleed_through(number, limits));
                verdicts.extend(verdict.map(|verdict| ("cytoplasm", verdict)));
            }
            let grown = cells_from_nuclei(&nuclei, &found.mask, &found.flat);
            cells = Some(grown.map_err(|e| in_field(field, e))?);
            ignore = joined(ignore, joined(Some(found.ignore), corrected.unknown));
            blank = joined(blank, corrected.blank);
            Some(found.mask)
        }
        CytoplasmFrom::Cells(folder) => match (files.cells.get(&field.name), truth.missing_cells) {
            (Some(path), _) => {
                ignore = joined(ignore, given.unknown(size));
                Some(given.place(read_cells(path, at, size)?))
            }
            (None, MissingCells::Skip) => {
                return Err(NoTruth::Left(format!(
                    "no cell mask in `{}`",
                    folder.display()
                )));
            }
            (None, MissingCells::Ignore) => {
                cells_unknown = true;
                None
            }
        },
    };

    let mut classes = match truth.scheme {
        Scheme::A => scheme_a(&mask, cytoplasm.as_ref()),
        Scheme::B => scheme_b(&nuclei, truth.line_placement, truth.line_px),
    };
    let (mitosis, misfits) = decide(
        &field.name,
        &mitosis,
        &nuclei,
        decided,
        truth.mitosis.min_score,
    );
    if truth.mitosis.find {
        let class = (truth.classes.len() - 1) as u8;
        paint_mitotic(&mut classes, &nuclei, &mitosis, class);
    }
    if cells_unknown {
        ignore = Some(mask.map(|&inside| !inside));
    }
    if let Some(ignore) = &ignore {
        apply_ignore(&mut classes, ignore).map_err(|e| in_field(field, e))?;
    }
    Ok(FieldTruth {
        classes,
        nuclei,
        automatic,
        count,
        cells,
        nucleus_numbers,
        cytoplasm_numbers,
        debris_share: debris,
        bleed_through: bleed,
        mitosis,
        misfits,
        image,
        nucleus_threshold,
        cytoplasm_threshold,
        blank,
        remarks,
        verdicts,
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

fn from_class_mask(
    truth: &TruthConfig,
    files: &TruthFiles,
    field: &Field,
    at: PlaneAt,
    size: (usize, usize),
) -> Result<FieldTruth, NoTruth> {
    let folder = truth.masks.as_deref().unwrap_or(Path::new(""));
    let given_mask = file_of(&files.nuclei, field, folder)?;
    let path = &given_mask.path;
    let values = read_sized(given_mask, at, size)?;
    let count = truth.classes.len() as u32;
    if let Some(&value) = values
        .data()
        .iter()
        .find(|&&value| value >= count && value != u32::from(IGNORED))
    {
        let classes: Vec<String> = truth
            .classes
            .iter()
            .enumerate()
            .map(|(i, name)| format!("{i} {name}"))
            .collect();
        let hint = if smoothed_share(&values) > 0.0 {
            "; the edges of the mask are smoothed: save it with two values (such as all above 127 \
             as 255)"
        } else if value > 15 {
            "; if these are instance labels, set `truth.labels` instead of `truth.masks`"
        } else {
            "; correct the mask or `truth.classes`"
        };
        return Err(NoTruth::Failed(ProjectError::Failed(format!(
            "`{}` holds the value `{value}`, which is no class (classes: {}, 255 ignored){hint}",
            path.display(),
            classes.join(", ")
        ))));
    }
    if count == 2 || !values.data().contains(&1) {
        let only_ignored = values.data().contains(&255)
            && values
                .data()
                .iter()
                .all(|&value| value == 0 || value == 255);
        if only_ignored {
            return Err(NoTruth::Failed(ProjectError::Failed(format!(
                "`{}` holds 0 and 255 only, where 255 means ignored; if 255 is the nucleus, set \
                 `truth.mask_values = \"binary\"`",
                path.display()
            ))));
        }
    }
    let given = Given::of(truth);
    let mut classes = given.place(values.map(|&value| value as u8));
    if let Some(unknown) = given.unknown(size) {
        apply_ignore(&mut classes, &unknown).map_err(|e| in_field(field, e))?;
    }
    let (nuclei, nuclei_count) = nuclei_of(&classes, &truth.classes);
    Ok(FieldTruth {
        classes,
        nuclei,
        automatic: None,
        count: nuclei_count,
        cells: None,
        nucleus_numbers: None,
        cytoplasm_numbers: None,
        debris_share: None,
        bleed_through: None,
        mitosis: Vec::new(),
        misfits: Vec::new(),
        image: None,
        nucleus_threshold: None,
        cytoplasm_threshold: None,
        blank: None,
        remarks: Vec::new(),
        verdicts: Vec::new(),
    })
}

/// The nuclei of a class mask and their number: what hangs together in a class of nuclei, mitotic
/// ones included, as among predicted nuclei.
fn nuclei_of(classes: &Image<u8>, names: &[String]) -> (Image<u32>, usize) {
    let mut nuclei = Image::filled(classes.height(), classes.width(), 0u32);
    let mut count = 0;
    for number in nucleus_classes(names) {
        let of_class = classes.map(|&class| usize::from(class) == number);
        let parts = label(&of_class, Connectivity::Eight);
        for (nucleus, &part) in nuclei.data_mut().iter_mut().zip(parts.image.data()) {
            if part != 0 {
                *nucleus = count as u32 + part;
            }
        }
        count += parts.count;
    }
    (nuclei, count)
}

fn in_field(field: &Field, error: stainfree_objects::ObjectsError) -> ProjectError {
    ProjectError::Failed(format!("field `{}`: {error}", field.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mitotic_nuclei_of_a_class_mask_are_nuclei() {
        let mask = Image::new(1, 9, vec![1, 1, 0, 3, 3, 1, 2, 0, 3]);
        let names = ["background", "nucleus", "cytoplasm", "mitotic"].map(str::to_owned);
        let (nuclei, count) = nuclei_of(&mask, &names);
        assert_eq!(nuclei.data(), [1, 1, 0, 3, 3, 2, 0, 0, 4]);
        assert_eq!(count, 4);
        // Without such a class, 3 is whatever its name says.
        let others = ["background", "nucleus", "cytoplasm", "dirt"].map(str::to_owned);
        assert_eq!(nuclei_of(&mask, &others).1, 2);
    }
}
