//! Tables on disk: CSV with a head, written whole or not at all, and read back however a person
//! saved them in between.

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use stainfree_image::table::{Row, Table, number};

use crate::ProjectError;

/// Writes `rows` with their names as the head.
pub(crate) fn write<T: Serialize>(path: &Path, rows: &[T]) -> Result<(), ProjectError> {
    let failed = |error: &dyn std::fmt::Display| {
        ProjectError::NotMade(format!("`{}` cannot be made: {error}", path.display()))
    };
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.serialize(row).map_err(|error| failed(&error))?;
    }
    let bytes = writer.into_inner().map_err(|error| failed(&error))?;
    Ok(stainfree_image::write_atomic(path, &bytes)?)
}

/// Reads rows as [`write`] writes them.
///
/// Cells of the columns `texts` are taken as they are; all others hold numbers and words of the
/// program, in which neither case nor a decimal comma matters. Errors end with `way_out`.
///
/// # Errors
/// [`ProjectError::Table`] with the line and the column.
pub(crate) fn read<T: DeserializeOwned>(
    path: &Path,
    texts: &[&str],
    way_out: &str,
) -> Result<Vec<T>, ProjectError> {
    let table = Table::read(path)?;
    let titles: Vec<String> = table.columns.iter().map(|c| c.to_lowercase()).collect();
    let head = csv::StringRecord::from(titles.clone());
    let typed = |row: &Row| -> csv::StringRecord {
        let cell = |(column, title): (usize, &String)| {
            let text = row.cell(column);
            match texts.contains(&title.as_str()) {
                true => text.to_owned(),
                false if text.contains(',') && number(text).is_some() => text.replace(',', "."),
                false => text.to_lowercase(),
            }
        };
        titles.iter().enumerate().map(cell).collect()
    };
    let read = |row: &Row| {
        let cells = typed(row);
        cells
            .deserialize(Some(&head))
            .map_err(|error| ProjectError::Table {
                path: path.to_owned(),
                line: Some(row.line),
                message: format!(
                    "{}; {way_out}",
                    describe::<T>(&error, (&table, row), (&cells, &head))
                ),
            })
    };
    table.rows.iter().map(read).collect()
}

/// What is wrong with a row, naming the cell where it is known; `cells` are those that were read
/// under `head`.
fn describe<T: DeserializeOwned>(
    error: &csv::Error,
    (table, row): (&Table, &Row),
    (cells, head): (&csv::StringRecord, &csv::StringRecord),
) -> String {
    let csv::ErrorKind::Deserialize { err, .. } = error.kind() else {
        return error.to_string();
    };
    let place = err.field().and_then(|column| usize::try_from(column).ok());
    let place = place.or_else(|| place_of_word::<T>(&err.kind().to_string(), cells, head));
    match place.and_then(|column| Some((table.columns.get(column)?, row.cell(column)))) {
        Some((title, cell)) => format!("column `{title}` holds `{cell}`: {}", err.kind()),
        None => err.kind().to_string(),
    }
}

/// The column of a word that is none of its column's, which the `message` about it does not name:
/// it is of this word, and where another one stands, of that one.
fn place_of_word<T: DeserializeOwned>(
    message: &str,
    cells: &csv::StringRecord,
    head: &csv::StringRecord,
) -> Option<usize> {
    const NO_WORD: &str = "\u{1}";
    let is_of =
        |message: &str, word: &str| message.starts_with(&format!("unknown variant `{word}`"));
    (0..cells.len()).find(|&column| {
        let cell = |(i, cell)| if i == column { NO_WORD } else { cell };
        let probe: csv::StringRecord = cells.iter().enumerate().map(cell).collect();
        let error = probe.deserialize::<T>(Some(head)).err();
        let is_read_as_word = error.is_some_and(|error| match error.kind() {
            csv::ErrorKind::Deserialize { err, .. } => is_of(&err.kind().to_string(), NO_WORD),
            _ => false,
        });
        is_read_as_word && is_of(message, &cells[column])
    })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Part {
        name: String,
        part: Option<crate::Part>,
        share: Option<f64>,
        count: usize,
    }

    fn read_text(text: &str) -> Result<Vec<Part>, ProjectError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.csv");
        std::fs::write(&path, text).unwrap();
        read(&path, &["name"], "write it again")
    }

    #[test]
    fn order_case_and_decimal_commas_do_not_matter_and_texts_are_kept() {
        let rows = read_text("Count;note;share;Part;name\n3;x;0,5;TEST;1,5 A\n0;;;;b\n").unwrap();
        let part = |name: &str, part, share, count| Part {
            name: name.to_owned(),
            part,
            share,
            count,
        };
        let expected = [
            part("1,5 A", Some(crate::Part::Test), Some(0.5), 3),
            part("b", None, None, 0),
        ];
        assert_eq!(rows, expected);
    }

    #[test]
    fn line_and_column_of_a_wrong_cell_are_named() {
        let said = |text: &str| {
            let error = read_text(text).unwrap_err().to_string();
            error.split_once("t.csv`").unwrap().1.to_owned()
        };
        assert_eq!(
            said("name,part,share,count\n\na,,12. May,1\n"),
            ", line 3: column `share` holds `12. May`: invalid float literal; write it again"
        );
        let missing = said("name,part\na,\n");
        assert!(missing.contains("missing field"), "{missing}");
        let surplus = said("name,part,share,count\na,,1,5,2\n");
        assert!(
            surplus.contains("line 2 has 5 cells under 4 titles"),
            "{surplus}"
        );
    }
}
