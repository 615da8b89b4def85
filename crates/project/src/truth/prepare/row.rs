//! The row of a field in `fields.csv`: shares, verdicts and remarks of its truth.

use stainfree_image::Field;
use stainfree_inference::MITOTIC;
use stainfree_objects::IGNORED;

use crate::study::config::{CytoplasmFrom, Scheme, TruthConfig, nucleus_classes};
use crate::study::fields::{FieldRow, NucleiBy, Usable};
use crate::study::human::mitosis::Decision;
use crate::truth::field_truth::FieldTruth;
use crate::truth::fixes::StainFixes;
use crate::truth::moves::Move;
use crate::truth::stain::Stain;

/// Pixels of a class mask.
struct Counts {
    /// By class.
    of: [usize; 256],
    /// In a class of nuclei.
    nuclei: usize,
    /// In all.
    pixels: usize,
}

impl Counts {
    fn new(config: &TruthConfig, truth: &FieldTruth) -> Self {
        let mut of = [0usize; 256];
        for &class in truth.classes.data() {
            of[class as usize] += 1;
        }
        let nuclei = nucleus_classes(&config.classes);
        Self {
            nuclei: nuclei.iter().map(|&class| of[class]).sum(),
            of,
            pixels: truth.classes.data().len(),
        }
    }

    fn ignored(&self) -> usize {
        self.of[IGNORED as usize]
    }
}

/// The row of a field of which this share of the pixels shows nothing.
pub(super) fn row_of(
    config: &TruthConfig,
    truth: &FieldTruth,
    stains: &StainFixes,
    field: &Field,
    group: &str,
    blank: f64,
) -> FieldRow {
    let counts = Counts::new(config, truth);
    let kept = (counts.pixels - counts.ignored()).max(1) as f64;
    let has_cytoplasm =
        config.scheme == Scheme::A && config.classes.get(2).is_some_and(|name| name != MITOTIC);
    let usable = !truth.verdicts.iter().any(|(_, verdict)| verdict.unusable)
        && counts.ignored() < counts.pixels;
    let remarks = remarks(config, truth, &counts, has_cytoplasm, blank);
    let severities = truth.verdicts.iter().map(|(_, verdict)| verdict.severity());
    let (nucleus, cytoplasm) = (truth.nucleus_numbers, truth.cytoplasm_numbers);
    let is_mitotic = |mitotic: Option<Decision>| mitotic == Some(Decision::Yes);
    let mitotic = truth.mitosis.iter().filter(|r| is_mitotic(r.mitotic));
    let mitotic = mitotic.count();
    let radius = |shift: Option<Move>| shift.and_then(|s| s.radius95_px).map(rounded);
    // Labels and masks are the nuclei of a field without a stain.
    let laid = stains.nucleus.shift.or(stains.given);
    FieldRow {
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
        height: truth.classes.height(),
        width: truth.classes.width(),
        pixel_um: field.pixel_um,
        nuclei: truth.count,
        nucleus_share: rounded(counts.nuclei as f64 / kept),
        cytoplasm_share: has_cytoplasm.then(|| rounded(counts.of[2] as f64 / kept)),
        ignored_share: rounded(counts.ignored() as f64 / counts.pixels.max(1) as f64),
        blank_share: rounded(blank),
        nucleus_threshold: truth.nucleus_threshold.map(rounded),
        cytoplasm_threshold: truth.cytoplasm_threshold.map(rounded),
        nucleus_dy_px: laid.map(|s| rounded(s.dy_px)),
        nucleus_dx_px: laid.map(|s| rounded(s.dx_px)),
        nucleus_shift_radius_px: radius(laid),
        cytoplasm_dy_px: stains.cytoplasm.shift.map(|s| rounded(s.dy_px)),
        cytoplasm_dx_px: stains.cytoplasm.shift.map(|s| rounded(s.dx_px)),
        cytoplasm_shift_radius_px: radius(stains.cytoplasm.shift),
        mitotic: config.mitosis.find.then_some(mitotic),
        nucleus_verdicts: verdicts_on(truth, Stain::Nucleus),
        cytoplasm_verdicts: verdicts_on(truth, Stain::Cytoplasm),
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
    }
}

/// What a person should know about the field.
fn remarks(
    config: &TruthConfig,
    truth: &FieldTruth,
    counts: &Counts,
    has_cytoplasm: bool,
    blank: f64,
) -> Vec<String> {
    let mut remarks: Vec<String> = truth
        .verdicts
        .iter()
        .map(|(stain, verdict)| format!("{stain} {}: {}", verdict.word, verdict.reason))
        .collect();
    if counts.ignored() == counts.pixels {
        remarks.push("every pixel is ignored".to_owned());
    } else if counts.nuclei == 0 && truth.verdicts.is_empty() {
        remarks.push("no nucleus in the truth".to_owned());
    }
    if config.cytoplasm_from() == CytoplasmFrom::Nothing && has_cytoplasm && counts.of[2] == 0 {
        remarks.push("no cytoplasm in the truth".to_owned());
    }
    remarks.extend(truth.remarks.iter().cloned());
    if blank > 0.0 {
        remarks.push(format!(
            "{:.1} % of the pixels show nothing and are ignored",
            100.0 * blank
        ));
    }
    remarks
}

/// What is thought of a stain, each with its number.
fn verdicts_on(truth: &FieldTruth, stain: Stain) -> String {
    let of_stain = truth.verdicts.iter().filter(|(of, _)| *of == stain.name());
    let words: Vec<String> = of_stain
        .map(|(_, v)| format!("{} {:.3}", v.word, v.value))
        .collect();
    words.join("; ")
}

/// Six digits are more than any share or threshold deserves, and keep the table readable.
fn rounded(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}
