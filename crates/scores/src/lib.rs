//! Pixel and object scores with intervals, on arrays and tables.
//!
//! Three steps: count each field ([`pixel_counts`], [`paper_scores`], [`match_labels`]), gather the
//! counts as [`FieldScores`], and [`summarise`] them into [`Scores`], whose JSON is `scores.json`.
//! Here are no files, no clock and no printing. Undefined values are NaN on counts and `None` with
//! a reason in results; they never count as 0 or 1.
#![forbid(unsafe_code)]

mod agreement;
mod assignment;
mod bootstrap;
mod boundaries;
mod by_name;
mod calibration;
mod clusters;
mod compare;
mod confidence;
mod confidence_summary;
mod cut_line;
#[cfg(test)]
mod drawing;
mod edits;
mod error;
mod expected_errors;
mod extent;
pub mod familiar;
mod fate;
mod fate_strata;
mod fields;
mod kinds;
mod learning_curve;
mod matching;
mod measured;
mod measured_agreement;
mod named;
mod near;
mod overlap;
mod paper;
mod pixels;
mod places;
mod plan;
pub mod powered;
mod repeats;
mod result;
mod rigid_shift;
mod risk;
mod skeleton;
mod splitting;
mod standing;
mod student;
mod summary;
mod tested;
pub mod verdict;

pub use agreement::{
    BlandAltman, Estimate, bland_altman, bland_altman_percent, concordance, pearson,
};
pub use boundaries::{BoundaryCounts, Outline, PairSums, TOLERANCES, class_contours, class_lines};
pub use by_name::ByName;
pub use calibration::{Bin, CALIBRATION_BINS, CalibrationCounts, ReliabilityRow, calibration};
pub use compare::{Difference, compare};
pub use confidence::{ExpectedArea, ExpectedCount, FieldConfidence, SureObject};
pub use edits::{Change, Edit, edits};
pub use error::ScoreError;
pub use expected_errors::{ByNeighbours, ExpectedError, ExpectedErrors, by_neighbours};
pub use fate::{Fate, JudgedObject, Side, Surroundings};
pub use fate_strata::{FateRow, FateShare, FateStratum, FieldFates, ObjectErrors};
pub use fields::{BootstrapOptions, Convention, FieldScores, UnitRule};
pub use kinds::KindCounts;
pub use learning_curve::{
    CurvePoint, CurveRun, Doubling, LearningCurve, SizePoint, learning_curve,
};
pub use matching::{
    Jaccard, MatchCounts, Matching, ObjectCounts, Pair, THRESHOLDS, match_labels,
    match_labels_ignoring, matched_pairs, threshold,
};
pub use measured::{ChannelSums, MaskMeasures, Masks, PixelSum, SideMeasures, measured};
pub use measured_agreement::{AgreementRow, AgreementSummary, UnitPair, measured_agreement};
pub use paper::{PaperScores, paper_scores};
pub use pixels::{
    Background, ClassCounts, IGNORED, PixelCounts, pixel_counts, pixel_counts_ignoring,
};
pub use repeats::{Repeated, Terms, between_repeats, over_repeats};
pub use result::{
    BoundarySummary, CalibrationSummary, ConfidenceRow, ConfidenceSummary, FieldObjects,
    FieldPixelwise, FieldRow, GroupShift, IntervalNote, KindSummary, LookedAtRow, ObjectSummary,
    PairNumbers, PairSummary, PaperPair, PaperSummary, Pixelwise, Pooled, ResolvedRow, ScoredOn,
    Scores, SplittingSummary, Statistic, Thickness, ThresholdRow, ToleranceRow,
};
pub use rigid_shift::{SHIFT_REACH, Shift, ShiftOverlaps, ShiftedCounts, moved};
pub use risk::{Controlled, Uncontrolled, controlled};
pub use splitting::{Resolved, SplittingCounts};
pub use standing::Standing;
pub use summary::summarise;
