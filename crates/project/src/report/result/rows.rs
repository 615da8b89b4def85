//! The table of a result, and its fields put together by well.

use std::collections::BTreeMap;
use std::path::Path;

use stainfree_image::{Dataset, Field, Product, Store};
use stainfree_inference::Confidence;
use stainfree_inference::confidence::{Count, CountOf};

use crate::ProjectError;
use crate::prediction::areas::{ExpectedAreas, WellAreas};
use crate::prediction::familiar::Looks;
use crate::prediction::sure;
use crate::study::predictions::{
    self, AREA_UNIT, AREAS, EXPECTED, FILE_NAME, IGNORED_SHARE, LOOKS,
};
use crate::study::provenance::Content;

/// A field of a result.
#[derive(Default)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) is_done: bool,
    /// Why it failed.
    pub(super) message: String,
    /// Hash of the model.
    pub(super) model: String,
    /// Options that change a prediction, such as `rule:1234`.
    pub(super) options: String,
    pub(super) nuclei: u64,
    /// True nuclei that are expected.
    pub(super) expected: Option<f64>,
    pub(super) ignored_share: Option<f64>,
    pub(super) pixels: f64,
    pub(super) strangeness: Option<f64>,
    pub(super) is_strange: bool,
    /// What is different.
    pub(super) unlike: String,
    pub(super) looks: Option<Looks>,
    /// What its image is recognised by.
    pub(super) content: Content,
    /// Sum and number of the confidences of its nuclei.
    pub(super) sure: Option<(f64, usize)>,
    /// Cells of the columns of areas.
    pub(super) areas: BTreeMap<&'static str, String>,
}

impl Row {
    /// The word that an option has after its name.
    pub(super) fn option(&self, name: &str) -> Option<&str> {
        let mut words = self.options.split_whitespace();
        words.find_map(|word| word.strip_prefix(name)?.strip_prefix(':'))
    }
}

/// The fields of the result in `folder`.
///
/// # Errors
/// There are none, or a table cannot be read.
pub(super) fn read(folder: &Path) -> Result<Vec<Row>, ProjectError> {
    let path = folder.join(FILE_NAME);
    let table = predictions::read(&path)?.filter(|table| !table.rows.is_empty());
    let Some(table) = table else {
        return Err(ProjectError::Failed(format!(
            "`{}` has no field yet; give the command `predict` again",
            path.display()
        )));
    };
    let store = Store::at(folder);
    let rows = table.rows.iter().map(|row| {
        let cell = |name: &str| table.column(name).map_or("", |column| row.cell(column));
        row_of(&store, &cell)
    });
    rows.collect()
}

fn row_of<'a>(store: &Store, cell: &dyn Fn(&str) -> &'a str) -> Result<Row, ProjectError> {
    let number = |name: &str| cell(name).parse::<f64>().ok();
    let name = cell("name").to_owned();
    let kept = sure::read(&store.path(Product::Confidence, &name))?;
    let sum = |kept: sure::Kept| {
        let sum = kept.values().map(|(_, confidence)| confidence).sum();
        (sum, kept.len())
    };
    let words = cell("content").split_whitespace();
    Ok(Row {
        is_done: cell("status").eq_ignore_ascii_case("done"),
        message: cell("message").to_owned(),
        model: cell("model").to_owned(),
        options: cell("options").to_owned(),
        nuclei: number("nuclei").unwrap_or(0.0) as u64,
        expected: number(EXPECTED),
        ignored_share: number(IGNORED_SHARE),
        pixels: number("height")
            .zip(number("width"))
            .map_or(0.0, |(h, w)| h * w),
        strangeness: number("strangeness"),
        is_strange: cell("strange").eq_ignore_ascii_case("yes"),
        unlike: cell("unlike").to_owned(),
        looks: Looks::of_cell(cell(LOOKS)),
        content: Content {
            image: words.map(str::to_owned).collect(),
            ..Content::default()
        },
        sure: kept.map(sum),
        areas: AREAS
            .into_iter()
            .flatten()
            .chain([AREA_UNIT])
            .map(|column| (column, cell(column).to_owned()))
            .collect(),
        name,
    })
}

/// A well of a result.
#[derive(Default)]
pub(super) struct Well {
    pub(super) plate: Option<String>,
    pub(super) well: String,
    pub(super) fields: usize,
    pub(super) nuclei: u64,
    /// Expected true nuclei with their interval.
    pub(super) count: Option<Count>,
    /// Areas that are expected, with their intervals.
    pub(super) areas: Option<ExpectedAreas>,
    /// Mean confidence of its nuclei.
    pub(super) confidence: Option<f64>,
    /// That of its strangest field.
    pub(super) strangeness: Option<f64>,
}

/// The wells of fields that are done, in the order of plates and wells; none where the images are
/// not at hand, or know no wells.
pub(super) fn wells(rows: &[Row], sets: &[Dataset], known: Option<&Confidence>) -> Vec<Well> {
    let fields: BTreeMap<&str, &Field> = by_name(sets);
    let mut wells: BTreeMap<(Option<&String>, &String), Vec<&Row>> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.is_done) {
        let position = fields.get(row.name.as_str()).map(|field| &field.position);
        if let Some((position, well)) = position.and_then(|p| Some((p, p.well.as_ref()?))) {
            let key = (position.plate.as_ref(), well);
            wells.entry(key).or_default().push(row);
        }
    }
    let well = |((plate, well), rows): ((Option<&String>, &String), Vec<&Row>)| {
        let expected: Option<f64> = rows.iter().map(|row| row.expected).sum();
        let sure: Option<Vec<(f64, usize)>> = rows.iter().map(|row| row.sure).collect();
        let mean = |sure: Vec<(f64, usize)>| {
            let n: usize = sure.iter().map(|(_, n)| n).sum();
            (n > 0).then(|| sure.iter().map(|(sum, _)| sum).sum::<f64>() / n as f64)
        };
        Well {
            plate: plate.cloned(),
            well: well.clone(),
            fields: rows.len(),
            nuclei: rows.iter().map(|row| row.nuclei).sum(),
            areas: areas_of(&rows, expected, known),
            count: expected.map(|expected| match known.map(|known| &known.counts) {
                Some(rule) => rule.count(expected / rule.per_found, CountOf::Well),
                None => Count {
                    expected,
                    interval: None,
                },
            }),
            confidence: sure.and_then(mean),
            strangeness: rows
                .iter()
                .filter_map(|row| row.strangeness)
                .reduce(f64::max),
        }
    };
    wells.into_iter().map(well).collect()
}

/// Areas that are expected in a well of so many true nuclei.
fn areas_of(
    rows: &[&Row],
    expected: Option<f64>,
    known: Option<&Confidence>,
) -> Option<ExpectedAreas> {
    let known = known?;
    let mut areas = WellAreas::default();
    for row in rows {
        areas.add(|column| row.areas.get(column).cloned());
    }
    areas.finish(known.areas.as_ref()?, expected? / known.counts.per_found)
}

/// Fields by their names.
pub(super) fn by_name(sets: &[Dataset]) -> BTreeMap<&str, &Field> {
    let fields = sets.iter().flat_map(|set| &set.fields);
    fields.map(|field| (field.name.as_str(), field)).collect()
}

/// F1 of nuclei that is expected from their confidences: right ones against predicted and expected
/// ones; `None` where a field has no confidences.
pub(super) fn expected_f1(rows: &[Row]) -> Option<f64> {
    let done = rows.iter().filter(|row| row.is_done);
    let all: Option<Vec<(f64, usize, f64)>> = done
        .map(|row| row.sure.zip(row.expected).map(|((s, n), e)| (s, n, e)))
        .collect();
    let (right, found, true_ones) = all?.iter().fold((0.0, 0.0, 0.0), |(r, f, t), (s, n, e)| {
        (r + s, f + *n as f64, t + e)
    });
    (found + true_ones > 0.0).then(|| 2.0 * right / (found + true_ones))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, sure: Option<(f64, usize)>, expected: Option<f64>) -> Row {
        let cells = |column: &str| match column {
            "name" => "f",
            "status" => "done",
            "options" => "flips rule:12ab confidence:cd34",
            "content" => "aa bb",
            "nuclei" => "4",
            _ => "",
        };
        let row = row_of(&Store::at("nowhere"), &cells).unwrap();
        Row {
            name: name.to_owned(),
            sure,
            expected,
            ..row
        }
    }

    #[test]
    fn what_is_not_in_the_table_is_not_known() {
        let row = row("a", None, None);
        assert!(row.is_done && !row.is_strange);
        assert_eq!((row.nuclei, row.ignored_share, row.sure), (4, None, None));
        assert_eq!(row.content.image, ["aa", "bb"]);
        let options = ["rule", "confidence", "bf16"].map(|name| row.option(name));
        assert_eq!(options, [Some("12ab"), Some("cd34"), None]);
    }

    #[test]
    fn expected_f1_weighs_right_nuclei_against_found_and_true_ones() {
        let one = row("a", Some((3.0, 4)), Some(4.0));
        let two = row("b", Some((1.0, 4)), Some(2.0));
        // 4 right of 8 found, 6 expected.
        assert_eq!(expected_f1(&[one, two]), Some(8.0 / 14.0));
        let other = row("c", None, Some(2.0));
        assert_eq!(
            expected_f1(&[row("a", Some((3.0, 4)), Some(4.0)), other]),
            None
        );
        assert_eq!(expected_f1(&[row("a", Some((0.0, 0)), Some(0.0))]), None);
    }
}
