//! One field: made from its inputs, unless it is there as they would make it.

use serde::{Deserialize, Serialize};
use stainfree_image::{Field, Product, write};
use stainfree_inference::planes::intensities;
use stainfree_objects::{IGNORED, blank_in_brightfield, blank_regions, blank_share, joined};

use crate::pictures::overlay;
use crate::study::config::{CytoplasmFrom, MITOTIC, Scheme, nucleus_classes};
use crate::study::fields::{FieldRow, NucleiBy, Usable};
use crate::study::finding::{Facts, Review};
use crate::study::fingerprint::{Fingerprint, stamp_of, stamp_of_file};
use crate::study::human;
use crate::study::human::fit::Seen;
use crate::study::human::mitosis::Decision;
use crate::study::human::mitosis::Said;
use crate::study::vouched::{self, Before};
use crate::study::{Source, Study};
use crate::truth::files::TruthFiles;
use crate::truth::fixes::StainFixes;
use crate::truth::given::NoTruth;
use crate::truth::light::Lights;
use crate::truth::make;
use crate::truth::mitosis::Decisions;
use crate::truth::shift::Shifts;
use crate::{GroupRule, Job, ProjectError};

/// Changes whenever the same inputs would give other files; part of every key.
const FORMAT: u32 = 7;

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

/// Makes one field; an error is one that no other field would survive either.
pub(super) fn one_field(
    study: &Study,
    source: &Source,
    files: &TruthFiles,
    (lights, shifts, decisions): (&Lights, &Shifts, &Decisions),
    rule: &GroupRule,
    field: &Field,
    job: &Job,
) -> Result<Outcome, ProjectError> {
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
    let stains = StainFixes::of(lights, shifts, field);
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
    let blank = blank_in_brightfield(&intensities(&brightfield))
        .as_ref()
        .and_then(blank_regions);
    if let Some(blank) = &blank {
        if !blank.data().contains(&false) {
            return Err(NoTruth::Failed(ProjectError::NothingSeen {
                field: field.name.clone(),
            }));
        }
        // What the brightfield does not show can neither be learned nor scored.
        let pairs = truth.classes.data_mut().iter_mut().zip(blank.data());
        pairs
            .filter(|(_, blank)| **blank)
            .for_each(|(class, _)| *class = IGNORED);
    }
    let of_stains = truth.blank.as_ref().and_then(blank_regions);
    let blank = blank_share(joined(blank, of_stains).as_ref());

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
            None => vouched::remove(&store.path(product, name))?,
        }
    }
    let picture = overlay(
        &brightfield[0].to_f32(),
        &truth.classes,
        &study.config().truth.classes,
    )?;
    store.put_picture(name, &picture)?;

    let mut counts = [0usize; 256];
    for &class in truth.classes.data() {
        counts[class as usize] += 1;
    }
    let nucleus_classes = nucleus_classes(&study.config().truth.classes);
    let nucleus_pixels: usize = nucleus_classes.iter().map(|&class| counts[class]).sum();
    let pixels = truth.classes.data().len();
    let kept = (pixels - counts[IGNORED as usize]).max(1) as f64;
    let config = &study.config().truth;
    let has_cytoplasm =
        config.scheme == Scheme::A && config.classes.get(2).is_some_and(|name| name != MITOTIC);
    let mut remarks: Vec<String> = truth
        .verdicts
        .iter()
        .map(|(stain, verdict)| format!("{stain} {}: {}", verdict.word, verdict.reason))
        .collect();
    let mut usable = !truth.verdicts.iter().any(|(_, verdict)| verdict.unusable);
    if counts[IGNORED as usize] == pixels {
        usable = false;
        remarks.push("every pixel is ignored".to_owned());
    } else if nucleus_pixels == 0 && truth.verdicts.is_empty() {
        remarks.push("no nucleus in the truth".to_owned());
    }
    if config.cytoplasm_from() == CytoplasmFrom::Nothing && has_cytoplasm && counts[2] == 0 {
        remarks.push("no cytoplasm in the truth".to_owned());
    }
    remarks.extend(truth.remarks.iter().cloned());
    if blank > 0.0 {
        remarks.push(format!(
            "{:.1} % of the pixels show nothing and are ignored",
            100.0 * blank
        ));
    }
    let verdicts_on = |stain: &str| -> String {
        let of_stain = truth.verdicts.iter().filter(|(of, _)| *of == stain);
        let words: Vec<String> = of_stain
            .map(|(_, v)| format!("{} {:.3}", v.word, v.value))
            .collect();
        words.join("; ")
    };
    let severities = truth.verdicts.iter().map(|(_, verdict)| verdict.severity());
    let (nucleus, cytoplasm) = (truth.nucleus_numbers, truth.cytoplasm_numbers);
    let mitotic = truth
        .mitosis
        .iter()
        .filter(|review| review.mitotic == Some(Decision::Yes))
        .count();
    let row = FieldRow {
        name: field.name.clone(),
        group: group.to_owned(),
        well: field.position.well.clone(),
        site: field.position.site,
        split: None,
        usable: if usable { Usable::Yes } else { Usable::No },
        remarks: remarks.join("; "),
        nuclei_from: Some(match truth.automatic {
            Some(_) => NucleiBy::Corrected,
            None => NucleiBy::Automatic,
        }),
        height: size.0,
        width: size.1,
        pixel_um: field.pixel_um,
        nuclei: truth.count,
        nucleus_share: rounded(nucleus_pixels as f64 / kept),
        cytoplasm_share: has_cytoplasm.then(|| rounded(counts[2] as f64 / kept)),
        ignored_share: rounded(counts[IGNORED as usize] as f64 / pixels.max(1) as f64),
        blank_share: rounded(blank),
        nucleus_threshold: truth.nucleus_threshold.map(rounded),
        cytoplasm_threshold: truth.cytoplasm_threshold.map(rounded),
        nucleus_dy_px: stains.nucleus.shift.map(|s| rounded(s.dy_px)),
        nucleus_dx_px: stains.nucleus.shift.map(|s| rounded(s.dx_px)),
        nucleus_shift_radius_px: stains
            .nucleus
            .shift
            .and_then(|s| s.radius95_px)
            .map(rounded),
        cytoplasm_dy_px: stains.cytoplasm.shift.map(|s| rounded(s.dy_px)),
        cytoplasm_dx_px: stains.cytoplasm.shift.map(|s| rounded(s.dx_px)),
        cytoplasm_shift_radius_px: stains
            .cytoplasm
            .shift
            .and_then(|s| s.radius95_px)
            .map(rounded),
        mitotic: config.mitosis.find.then_some(mitotic),
        nucleus_verdicts: verdicts_on("nucleus"),
        cytoplasm_verdicts: verdicts_on("cytoplasm"),
        concern: rounded(severities.fold(0.0, f64::max)),
        nucleus_signal_to_noise: nucleus.and_then(|n| n.signal_to_noise).map(rounded),
        nucleus_saturated_share: nucleus.map(|n| rounded(n.saturated_share)),
        nucleus_edge_width_px: nucleus.and_then(|n| n.edge_width_px).map(rounded),
        nucleus_threshold_slope: nucleus.and_then(|n| n.threshold_slope).map(rounded),
        debris_share: truth.debris_share.map(rounded),
        cytoplasm_signal_to_noise: cytoplasm.and_then(|n| n.signal_to_noise).map(rounded),
        cytoplasm_saturated_share: cytoplasm.map(|n| rounded(n.saturated_share)),
        cytoplasm_edge_width_px: cytoplasm.and_then(|n| n.edge_width_px).map(rounded),
        cytoplasm_threshold_slope: cytoplasm.and_then(|n| n.threshold_slope).map(rounded),
        bleed_through: truth.bleed_through.map(rounded),
    };
    let facts = Facts {
        image: truth
            .image
            .unwrap_or_else(|| human::content(&brightfield[0])),
        labels: truth
            .automatic
            .is_some()
            .then(|| human::content_of_labels(&truth.nuclei)),
        misfits: truth.misfits,
    };
    Ok((row, truth.mitosis, facts))
}

/// Six digits are more than any share or threshold deserves, and keep the table readable.
fn rounded(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}
