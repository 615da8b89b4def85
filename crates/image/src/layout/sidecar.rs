//! What lies beside the images: a JSON file per field, a table `fields.csv` for all of them.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::Notes;
use crate::names::truth_stem;
use crate::table::{Table, number, text_of};

/// Values about one field.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) pixel_um: Option<f64>,
    /// The JSON itself, for keys that explain pages.
    pub(super) json: Value,
}

/// Keys under which a pixel size in µm is accepted; a key without its unit would be a guess.
const PIXEL_KEYS: [&str; 4] = [
    "pixel_size_um",
    "pixel_um",
    "pixel_size_x_um",
    "um_per_pixel",
];

impl Facts {
    /// Reads a JSON sidecar; one that cannot be used becomes a problem.
    pub(super) fn from_json(path: &Path, notes: &mut Notes) -> Option<Self> {
        let text = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) => {
                notes.add(format!("the sidecar cannot be read: {error}"), path);
                return None;
            }
        };
        let json: Value = match serde_json::from_str(&text_of(&text)) {
            Ok(json) => json,
            Err(error) => {
                notes.add(
                    format!("the sidecar is no valid JSON and is not used: {error}"),
                    path,
                );
                return None;
            }
        };
        let mut metadata = BTreeMap::new();
        flatten("", &json, &mut metadata);
        let size = PIXEL_KEYS
            .iter()
            .find_map(|key| Some((*key, json.get(key).filter(|value| !value.is_null())?)));
        let pixel_um = size.and_then(|(key, value)| {
            // Some programs write numbers as texts.
            let um = value.as_f64().or_else(|| number(value.as_str()?));
            if um.filter(is_size).is_none() {
                let text = value.as_str().map_or(value.to_string(), str::to_owned);
                notes.add(no_size(key, &text), path);
            }
            um.filter(is_size)
        });
        Some(Self {
            metadata,
            pixel_um,
            json,
        })
    }

    /// Adds values that are not there yet.
    pub(super) fn add(&mut self, other: &Self) {
        for (key, value) in &other.metadata {
            self.metadata
                .entry(key.clone())
                .or_insert_with(|| value.clone());
        }
        self.pixel_um = self.pixel_um.or(other.pixel_um);
    }

    /// The texts of the list under `key`, if it is a list of texts.
    pub(super) fn texts(&self, key: &str) -> Option<Vec<String>> {
        let list = self.json.get(key)?.as_array()?;
        list.iter()
            .map(|text| text.as_str().map(str::to_string))
            .collect()
    }
}

fn is_size(um: &f64) -> bool {
    um.is_finite() && *um > 0.0
}

/// Nested keys joined by dots; lists of plain values joined by commas, other lists by number.
fn flatten(prefix: &str, value: &Value, out: &mut BTreeMap<String, String>) {
    let plain = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    };
    let below = |key: &str| match prefix {
        "" => key.to_string(),
        _ => format!("{prefix}.{key}"),
    };
    match value {
        Value::Null => {}
        Value::Object(map) => map
            .iter()
            .for_each(|(key, value)| flatten(&below(key), value, out)),
        Value::Array(list) => match list.iter().map(plain).collect::<Option<Vec<_>>>() {
            Some(texts) => {
                out.insert(prefix.to_string(), texts.join(","));
            }
            None => {
                list.iter()
                    .enumerate()
                    .for_each(|(n, v)| flatten(&below(&n.to_string()), v, out));
            }
        },
        plain_value => {
            out.extend(plain(plain_value).map(|text| (prefix.to_string(), text)));
        }
    }
}

/// The rows of `fields.csv` in `folder` by field name; empty where there is no such file.
///
/// The first column called `file`, `field`, `name`, `image` or `filename` names the field, with or
/// without an image extension.
pub(super) fn table(folder: &Path, notes: &mut Notes) -> BTreeMap<String, Facts> {
    let path = folder.join("fields.csv");
    let mut rows = BTreeMap::new();
    let Ok(bytes) = std::fs::read(&path) else {
        return rows;
    };
    let table = match Table::parse(&path, &bytes) {
        Ok(table) => table,
        Err(error) => {
            notes.by_sentence.entry(error.to_string()).or_default();
            return rows;
        }
    };
    const NAMES: [&str; 5] = ["file", "field", "name", "image", "filename"];
    let Some(key) = table
        .columns
        .iter()
        .position(|title| NAMES.contains(&title.to_lowercase().as_str()))
    else {
        notes.add(
            "the table has no column `file`, `field` or `name` and is not used",
            &path,
        );
        return rows;
    };
    for row in &table.rows {
        if let Some(what) = table.surplus(row) {
            notes.add(format!("a row is not used: {what}"), &path);
            continue;
        }
        let mut facts = Facts::default();
        for (column, title) in table.columns.iter().enumerate() {
            let text = row.cell(column);
            if !text.is_empty() {
                facts.metadata.insert(title.clone(), text.to_owned());
            }
        }
        let size = PIXEL_KEYS
            .iter()
            .find_map(|key| Some((*key, row.cell(table.column(key)?))))
            .filter(|(_, text)| !text.is_empty());
        if let Some((key, text)) = size {
            facts.pixel_um = number(text).filter(is_size);
            if facts.pixel_um.is_none() {
                notes.add(format!("line {}: {}", row.line, no_size(key, text)), &path);
            }
        }
        rows.insert(field_key(row.cell(key)), facts);
    }
    rows
}

/// Says that what stands where a pixel size belongs is none.
fn no_size(key: &str, text: &str) -> String {
    format!("`{key}` is `{text}`, which is no pixel size in um; it is not used")
}

/// A table's name of a field without image extension and truth suffix.
fn field_key(name: &str) -> String {
    let path = Path::new(name);
    let stem = if crate::names::is_image_name(path) {
        crate::names::stem(path)
    } else {
        name.into()
    };
    truth_stem(&stem).map_or(stem.clone(), str::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pixel sizes by field and the problems, of a `fields.csv` with this content.
    fn sizes(content: &[u8]) -> (Vec<(String, Option<f64>)>, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("fields.csv"), content).unwrap();
        let mut notes = Notes::default();
        let rows = table(folder.path(), &mut notes);
        let sizes = rows.into_iter().map(|(name, facts)| (name, facts.pixel_um));
        (sizes.collect(), notes.into_problems())
    }

    #[test]
    fn a_decimal_comma_is_taken_and_what_is_no_size_is_named() {
        let both = vec![("a".to_owned(), Some(0.65)), ("b".to_owned(), Some(0.5))];
        for text in [
            "file;Pixel_um\na.tif;0,65\nb.tif;0.5\n",
            "pixel_um\tfile\r\n0,65\ta.tif\r\n0,5\tb.tif\r\n\t\r\n",
            "file,pixel_um\ra.tif,\"0,65\"\rb.tif,0.5",
        ] {
            assert_eq!(sizes(text.as_bytes()), (both.clone(), vec![]), "{text:?}");
        }
        let (rows, problems) = sizes(b"file;pixel_um\na;0,65 um\nb;\nc;-1\n");
        assert!(rows.iter().all(|(_, um)| um.is_none()));
        assert_eq!(problems.len(), 2, "{problems:?}");
        let said = "line 2: `pixel_um` is `0,65 um`, which is no pixel size in um; it is not used";
        assert!(problems[0].contains(said), "{problems:?}");
        // Unquoted between commas: not 0 and not 65.
        let (rows, problems) = sizes(b"file,pixel_um\na,0,65\n");
        assert!(
            rows.is_empty() && problems.len() == 1,
            "{rows:?} {problems:?}"
        );
    }

    #[test]
    fn a_size_given_as_text_in_json_is_taken_or_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        let size = |text: &str| {
            std::fs::write(&path, format!("{{\"pixel_um\": {text}}}")).unwrap();
            let mut notes = Notes::default();
            let facts = Facts::from_json(&path, &mut notes).unwrap();
            (facts.pixel_um, notes.into_problems().len())
        };
        assert_eq!(size("0.65"), (Some(0.65), 0));
        assert_eq!(size("\"0.65\""), (Some(0.65), 0));
        assert_eq!(size("\"0,65\""), (Some(0.65), 0));
        assert_eq!(size("\"about 1\""), (None, 1));
        assert_eq!(size("[1]"), (None, 1));
        assert_eq!(size("null"), (None, 0));
    }
}
