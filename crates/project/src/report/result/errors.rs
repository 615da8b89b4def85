//! What is expected to be wrong among the nuclei of a result, by the errors of the model's test.

use stainfree_image::{Product, Store, read_labels};
use stainfree_report::{Column, Table};
use stainfree_scores::{ByNeighbours, ExpectedError, ExpectedErrors, Fate, by_neighbours};

use super::known::Known;
use super::rows::Row;
use crate::{Job, ProjectError};

/// Fields whose nuclei are looked at; spread over the result, they say how crowded it is.
const MOST_FIELDS: usize = 64;
/// Larger ones are passed over: reading them whole takes long.
const MOST_PIXELS: f64 = 67_108_864.0;

/// The table of what is expected to be wrong; `None` where the model's test tells no errors, or no
/// nuclei are at hand.
///
/// # Errors
/// [`ProjectError::Cancelled`].
pub(super) fn table(
    rows: &[Row],
    store: &Store,
    known: Option<&Known>,
    job: &Job,
) -> Result<Option<Table>, ProjectError> {
    let scores = known.and_then(|known| known.scores.as_ref());
    let Some((scores, errors)) = scores.and_then(|s| Some((s, s.object_errors.as_ref()?))) else {
        return Ok(None);
    };
    let (seen, fields) = seen(rows, store, job)?;
    let nuclei = rows.iter().filter(|row| row.is_done).map(|row| row.nuclei);
    let Some(found) = ExpectedErrors::of(errors, &scores.fields, scaled(seen, nuclei.sum())) else {
        return Ok(None);
    };
    let [here, there] = found.crowded.map(|share| 100.0 * share);
    let range = match found.level {
        Some(level) => format!(
            "The range is that of the test's groups: one more group like them lies in it with a \
             probability of {:.0} %. ",
            100.0 * level
        ),
        None => "How far groups differ is not known: the test has fewer than three. ".to_owned(),
    };
    let caption = format!(
        "By what was wrong among nuclei with as many neighbours on the model's test ({} fields in \
         {} groups): {here:.0} % of the nuclei have a neighbour here, {there:.0} % had there \
         ({fields} field{} looked at). {range}It holds for images like those of the test; of \
         images unlike the training more may be wrong.",
        scores.images,
        scores.groups,
        if fields == 1 { "" } else { "s" },
    );
    Ok(Some(Table {
        title: "What is expected to be wrong".to_owned(),
        caption,
        columns: vec![
            Column::text("what"),
            Column::text("that is"),
            Column::number("expected", "How many of all nuclei of this result."),
            Column::number("of 100", "For every hundred predicted nuclei."),
            Column::number(
                "range",
                "From the best group of the test to the worst, brought to the nuclei of this \
                 result.",
            ),
        ],
        rows: found
            .rows
            .iter()
            .map(|error| cells(error, found.predicted))
            .map(|cells| cells.map(Into::into).into())
            .collect(),
        folded: false,
    }))
}

fn cells(error: &ExpectedError, predicted: u64) -> [String; 5] {
    let interval = error.interval.map_or(String::new(), |[low, high]| {
        format!("{low:.0} to {high:.0}")
    });
    [
        error.fate.words().to_owned(),
        meaning(error.fate).to_owned(),
        format!("{:.0}", error.expected),
        format!("{:.1}", 100.0 * error.expected / predicted as f64),
        interval,
    ]
}

fn meaning(fate: Fate) -> &'static str {
    match fate {
        Fate::Found => "right",
        Fate::Missed => "a true nucleus that was not found",
        Fate::Merged => "one outline around two nuclei or more",
        Fate::Split => "a part of a nucleus that was cut",
        Fate::BadlyOutlined => "an outline that overlaps its nucleus by less than half",
        Fate::WrongSize => "an outline far too large or too small",
        Fate::Spurious => "an outline where there is no nucleus",
    }
}

/// Nuclei by their neighbours in fields spread over the result, and how many fields those are. What
/// cannot be read is passed over: the table of fields says what is missing.
fn seen(rows: &[Row], store: &Store, job: &Job) -> Result<(ByNeighbours, usize), ProjectError> {
    let readable = |row: &&Row| row.is_done && row.pixels <= MOST_PIXELS;
    let done: Vec<&Row> = rows.iter().filter(readable).collect();
    let step = done.len().div_ceil(MOST_FIELDS).max(1);
    let (mut all, mut fields) = (ByNeighbours::default(), 0);
    for row in done.iter().step_by(step) {
        job.cancel.check()?;
        let Ok(labels) = read_labels(&store.path(Product::Nuclei, &row.name)) else {
            continue;
        };
        for (sum, n) in all.iter_mut().zip(by_neighbours(&labels)) {
            *sum += n;
        }
        fields += 1;
    }
    Ok((all, fields))
}

/// So many nuclei, as crowded as those that were seen.
fn scaled(seen: ByNeighbours, nuclei: u64) -> ByNeighbours {
    let all: u64 = seen.iter().sum();
    match all {
        0 => seen,
        _ => seen.map(|n| (n as f64 / all as f64 * nuclei as f64).round() as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_fields_speak_for_all_nuclei() {
        assert_eq!(scaled([6, 3, 1, 0], 1000), [600, 300, 100, 0]);
        assert_eq!(scaled([0; 4], 1000), [0; 4]);
    }

    #[test]
    fn an_error_is_told_in_words_and_numbers() {
        let error = ExpectedError {
            fate: Fate::BadlyOutlined,
            expected: 12.4,
            interval: Some([6.0, 30.0]),
        };
        let cells = cells(&error, 200);
        assert_eq!(cells[0], "badly outlined");
        assert_eq!(cells[2..], ["12", "6.2", "6 to 30"]);
    }
}
