//! Pixel and object scores with intervals, on arrays and tables.
//!
//! Three steps: count each field ([`pixel_counts`], [`paper_scores`], [`match_labels`]), gather the
//! counts as [`FieldScores`], and [`summarise`] them into [`Scores`], whose JSON is `scores.json`.
//! Here are no files, no clock and no printing. Undefined values are NaN on counts and `None` with a
//! reason in results; they never count as 0 or 1.
#![forbid(unsafe_code)]

mod assignment;
mod bootstrap;
mod clusters;
mod compare;
mod cut_line;
#[cfg(test)]
mod drawing;
mod error;
mod extent;
mod fields;
mod matching;
mod overlap;
mod paper;
mod pixels;
mod plan;
mod repeats;
mod result;
mod splitting;
mod summary;

pub use compare::{Difference, compare};
pub use error::ScoreError;
pub use fields::{BootstrapOptions, Convention, FieldScores, UnitRule};
pub use matching::{
    Jaccard, MatchCounts, Matching, ObjectCounts, Pair, THRESHOLDS, match_labels,
    match_labels_ignoring, matched_pairs, threshold,
};
pub use paper::{PaperScores, paper_scores};
pub use pixels::{
    Background, ClassCounts, IGNORED, PixelCounts, pixel_counts, pixel_counts_ignoring,
};
pub use repeats::{Repeated, Terms, over_repeats};
pub use result::{
    ByName, FieldObjects, FieldPixelwise, FieldRow, IntervalNote, ObjectSummary, PairNumbers,
    PaperPair, PaperSummary, Pixelwise, Pooled, ResolvedRow, Scores, SplittingSummary, Statistic,
    ThresholdRow,
};
pub use splitting::{Resolved, SplittingCounts};
pub use summary::summarise;
