//! What the common columns mean, and how numbers are written in tables and sentences.

use stainfree_scores::Statistic;

use crate::data::Cell;

pub(super) const F1: &str =
    "Overlap of truth and prediction: 2 TP / (2 TP + FP + FN). 1 is perfect agreement, 0 none.";
pub(super) const IOU: &str =
    "Intersection over union, TP / (TP + FP + FN): stricter than F1, from the same pixels.";
pub(super) const POOLED: &str = "From the pixels or objects of all fields counted together: every \
    pixel weighs the same. The main value.";
pub(super) const MEAN: &str = "Average of the fields' own values: every field weighs the same. \
    Fields where the value is undefined do not enter.";
pub(super) const INTERVAL: &str = "95 % bootstrap interval of the pooled value: where it would \
    mostly fall if other wells or fields had been imaged.";

/// Pooled value, interval, mean of fields; the reason of an undefined value as a note.
pub(super) fn statistic_cells(s: &Statistic) -> [Cell; 3] {
    let reason = s.reason.clone().unwrap_or_default();
    let cell = |text: String, defined: bool| Cell {
        text,
        note: if defined {
            String::new()
        } else {
            reason.clone()
        },
    };
    [
        cell(number(s.pooled), s.pooled.is_some()),
        cell(interval(s.ci95), s.ci95.is_some()),
        cell(number(s.mean_over_images), s.mean_over_images.is_some()),
    ]
}

pub(super) fn interval_words(s: &Statistic) -> String {
    match (s.ci95, &s.reason) {
        (Some([low, high]), _) => format!("95 % interval {low:.3} to {high:.3}"),
        (None, Some(reason)) => reason.clone(),
        (None, None) => String::new(),
    }
}

pub(super) fn interval(ci95: Option<[f64; 2]>) -> String {
    ci95.map_or("n/a".to_owned(), |[low, high]| {
        format!("{low:.3} to {high:.3}")
    })
}

pub(super) fn number(value: Option<f64>) -> String {
    value.map_or("n/a".to_owned(), |v| format!("{v:.3}"))
}

pub(super) fn signed_percent(value: Option<f64>) -> String {
    value.map_or("n/a".to_owned(), |v| format!("{:+.1} %", 100.0 * v))
}

/// A count with commas between thousands.
pub(super) fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

pub(super) fn plural(n: usize, word: &str) -> String {
    match (n, word) {
        (1, _) => format!("1 {word}"),
        (_, "nucleus") => format!("{n} nuclei"),
        _ => format!("{n} {word}s"),
    }
}

/// The text with its first letter large.
pub(crate) fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

/// First letter small, except in words of capitals such as `F1` or `AJI`.
pub(super) fn lower(text: &str) -> String {
    let mut letters = text.chars();
    match (letters.next(), letters.clone().next()) {
        (Some(first), Some(second)) if second.is_lowercase() => {
            first.to_lowercase().chain(letters).collect()
        }
        _ => text.to_owned(),
    }
}
