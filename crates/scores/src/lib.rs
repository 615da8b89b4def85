//! Pixel and object scores with intervals, on arrays and tables.
#![forbid(unsafe_code)]

mod assignment;
mod error;
mod matching;
mod overlap;
mod paper;
mod pixels;

pub use error::ScoreError;
pub use matching::{
    Jaccard, MatchCounts, ObjectCounts, Pair, THRESHOLDS, match_labels, match_labels_ignoring,
    matched_pairs, threshold,
};
pub use paper::{PaperScores, paper_scores};
pub use pixels::{
    Background, ClassCounts, IGNORED, PixelCounts, pixel_counts, pixel_counts_ignoring,
};
