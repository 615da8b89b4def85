//! What is corrected in a stain before it is segmented.

use serde::Serialize;
use stainfree_image::{Field, Image};
use stainfree_objects::{
    FlatField, QualityLimits, StainNumbers, Verdict, Word, blank_pixels, fill_blank, move_back,
    move_back_nearest, saturated_share, uncovered,
};

use crate::study::config::TruthConfig;
use crate::truth::align::Alignment;
use crate::truth::light::Lights;
use crate::truth::moves::Move;
use crate::truth::shift::Shifts;
use crate::truth::stain::Stain;

/// What is corrected in a stain before it is segmented.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Fix {
    pub(crate) light: Option<FlatField>,
    pub(crate) shift: Option<Move>,
}

/// What is corrected in the stains of a field before they are segmented, and where its labels and
/// masks are laid.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct StainFixes {
    pub(crate) nucleus: Fix,
    pub(crate) cytoplasm: Fix,
    /// How far labels and masks lie off as `align` found, whole pixels.
    // Left out where it is nothing: truth made before it existed stays valid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) given: Option<Move>,
}

impl StainFixes {
    pub(crate) fn of(
        lights: &Lights,
        shifts: &Shifts,
        alignment: &Alignment,
        truth: &TruthConfig,
        field: &Field,
    ) -> Self {
        let of = |stain| Fix {
            light: lights.of(field, stain).cloned(),
            shift: shifts.of(field, stain).map(|shift| Move {
                dy_px: shift.dy_px,
                dx_px: shift.dx_px,
                radius95_px: shift.radius95_px,
            }),
        };
        let mut fixes = Self {
            nucleus: of(Stain::Nucleus),
            cytoplasm: of(Stain::Cytoplasm),
            given: None,
        };
        match (truth.nucleus.is_some(), alignment.of(field)) {
            (_, None) => {}
            // Of a stain the images alone tell too, and may tell more exactly.
            (true, Some(laid)) => {
                let own = fixes.nucleus.shift.take();
                fixes.nucleus.shift = own.filter(|own| own.is_surer(&laid)).or(Some(laid));
            }
            (false, Some(laid)) => fixes.given = laid.in_whole_pixels(),
        }
        fixes
    }

    /// What nuclei are moved by because `laid` was found; none where they are not.
    pub(crate) fn laid_by(&self, laid: &Move) -> Option<Move> {
        self.given
            .or(self.nucleus.shift.filter(|shift| shift == laid))
    }
}

/// A stain that lies on the brightfield, under even light.
pub(super) struct Corrected {
    pub(super) stain: Image<f32>,
    /// Pixels of which nothing is known after the move.
    pub(super) unknown: Option<Image<bool>>,
    /// Pixels that show nothing; they have been filled.
    pub(super) blank: Option<Image<bool>>,
    /// Pixels at the camera's ceiling; only where the light was made even, elsewhere the stain
    /// itself shows them.
    ceiling: Option<Image<bool>>,
}

impl Corrected {
    pub(super) fn new(mut stain: Image<f32>, fix: &Fix) -> Self {
        let blank = blank_pixels(&stain);
        if let Some(blank) = &blank {
            stain = fill_blank(&stain, blank);
        }
        let mut ceiling = None;
        if let Some(light) = &fix.light {
            let values = stain.data().iter().copied();
            let largest = values.fold(f32::NEG_INFINITY, f32::max);
            ceiling = Some(stain.map(|&v| v == largest));
            stain = light.correct(&stain);
        }
        let Some(Move { dy_px, dx_px, .. }) = fix.shift else {
            return Self {
                stain,
                unknown: None,
                blank,
                ceiling,
            };
        };
        let shift = (dy_px, dx_px);
        Self {
            unknown: Some(uncovered(stain.height(), stain.width(), shift)),
            stain: move_back(&stain, shift),
            ceiling: ceiling.map(|ceiling| move_back_nearest(&ceiling, shift)),
            blank: blank.map(|blank| move_back_nearest(&blank, shift)),
        }
    }

    /// What is thought of the stain in `mask`, from what was measured there: its saturation is
    /// counted anew where the stain does not show it itself any more.
    pub(super) fn judge(
        &self,
        of: Stain,
        mask: &Image<bool>,
        mut numbers: StainNumbers,
        mut quality: Vec<Verdict>,
        limits: &QualityLimits,
    ) -> (StainNumbers, Vec<(&'static str, Verdict)>) {
        if let Some(ceiling) = &self.ceiling {
            numbers.saturated_share = saturated_share(ceiling, mask);
            quality.retain(|verdict| verdict.word != Word::Saturated);
            quality.extend(Verdict::of_saturation(numbers.saturated_share, limits));
        }
        let verdicts = quality.into_iter();
        let verdicts = verdicts.map(|verdict| (of.name(), verdict));
        (numbers, verdicts.collect())
    }
}
