//! A table to be shown, and how values stand in it.

use std::fmt::Write as _;

use stainfree_scores::Repeated;

/// A value that may be undefined.
pub(super) fn dash(value: Option<String>) -> String {
    value.unwrap_or_else(|| "-".to_owned())
}

/// `0.812 (0.780 to 0.840)`, with the spread of the seeds where there are several.
pub(super) fn with_interval(value: &Repeated) -> String {
    let Some(mean) = value.mean else {
        return "-".to_owned();
    };
    let mut text = format!("{mean:.3}");
    if let Some([low, high]) = value.ci95 {
        let _ = write!(text, " ({low:.3} to {high:.3})");
    }
    if let Some(sd) = value.sd {
        let _ = write!(text, ", sd {sd:.3}");
    }
    text
}

/// A table with its title and a sentence on how to read it.
pub(super) struct Shown {
    pub(super) title: String,
    pub(super) caption: String,
    pub(super) columns: Vec<&'static str>,
    pub(super) rows: Vec<Vec<String>>,
}
