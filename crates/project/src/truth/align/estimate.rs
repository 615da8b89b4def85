//! What the fields of a group together say about where their truth lies.

use stainfree_image::Field;
use stainfree_objects::{Doubt, FieldFit, Lies, TruthEvidence, TruthLaid};

use super::{GroupLaid, Suspect, Verdict};

/// A group and its fields.
pub(crate) struct Group<'a> {
    pub(crate) plate: &'a str,
    pub(crate) group: &'a str,
    /// In the order of the evidence.
    pub(crate) fields: &'a [&'a Field],
    pub(crate) models: String,
}

/// What a group says by itself.
pub(crate) struct Laid {
    pub(crate) laid: GroupLaid,
    /// Whether truth and prediction fit at one place, however exactly it is known.
    pub(crate) fits: bool,
    pub(crate) suspects: Vec<Suspect>,
}

/// What is known of a group, and which of its fields have odd truth.
pub(crate) fn lay(group: &Group, evidence: &[TruthEvidence], max_radius_px: f64) -> Laid {
    let found = TruthLaid::find(evidence, max_radius_px);
    let odd = |(field, fit): (&&Field, &FieldFit)| {
        let what = match fit {
            FieldFit::Fits(_) => return None,
            FieldFit::Turned(turn) => format!("its truth fits better {}", turn.words()),
            FieldFit::Elsewhere(apart) => {
                format!("its truth lies {apart:.1} px from where that of the others does")
            }
            FieldFit::Swapped(i) => {
                format!("the truth of `{}` fits it better", group.fields[*i].name)
            }
        };
        Some(Suspect {
            field: field.name.clone(),
            what,
        })
    };
    let suspects: Vec<Suspect> = group
        .fields
        .iter()
        .zip(&found.fields)
        .filter_map(odd)
        .collect();
    let (verdict, because) = judge(&found);
    let mut laid = GroupLaid {
        plate: group.plate.to_owned(),
        group: group.group.to_owned(),
        fields: evidence.len() - suspects.len(),
        nuclei: found.nuclei,
        verdict,
        dy_px: None,
        dx_px: None,
        radius95_px: None,
        dy_um: None,
        dx_um: None,
        clear: (found.clear * 100.0).round() / 100.0,
        second_peak: None,
        because,
        models: group.models.clone(),
        own_dy_px: None,
        own_dx_px: None,
        own_radius95_px: None,
    };
    if let Some(shift) = found.shift {
        let pixel_um = group.fields.first().and_then(|field| field.pixel_um);
        laid.take(shift, pixel_um);
    }
    let fits = match found.lies {
        Lies::Here | Lies::Roughly => true,
        Lies::CannotTell(doubt) => matches!(doubt, Doubt::Uncertain(_)),
        Lies::Turned(_) => false,
    };
    Laid {
        laid,
        fits,
        suspects,
    }
}

/// The verdict on a group, with its reason.
fn judge(found: &TruthLaid) -> (Verdict, String) {
    match found.lies {
        Lies::Here => (Verdict::Certain, "certain".to_owned()),
        Lies::Roughly => (
            Verdict::Roughly,
            "roughly: more fields or a model that predicts better would tell more exactly"
                .to_owned(),
        ),
        Lies::Turned(turn) => (
            Verdict::Turned,
            format!("the truth fits better {}", turn.words()),
        ),
        Lies::CannotTell(doubt) => (Verdict::CannotTell, format!("cannot tell: {}", why(doubt))),
    }
}

fn why(doubt: Doubt) -> String {
    match doubt {
        Doubt::FewNuclei(count) => format!("{count} nuclei are too few"),
        Doubt::NoFit(times) => format!(
            "truth and prediction hardly fit ({times:.1} times chance); the truth is of other \
             fields, or the model does not know such images"
        ),
        Doubt::TooFar => "the best shift is further than is looked for".to_owned(),
        Doubt::SecondPeak(share) => format!(
            "another shift explains {:.0} % of what the best one does",
            100.0 * share
        ),
        Doubt::Uncertain(radius) if radius.is_finite() => {
            format!("good to {radius:.1} px only")
        }
        Doubt::Uncertain(_) => "the nuclei are too few".to_owned(),
        Doubt::FieldsDiffer(apart) => {
            format!("the fields say different shifts, {apart:.1} px apart")
        }
        Doubt::Strangers => "most fields have the truth of another one".to_owned(),
    }
}
