//! What lies beside the images: a JSON file per field, a table `fields.csv` for all of them.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::Notes;
use crate::names::truth_stem;

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
        // A byte-order mark is what some editors leave in front.
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text);
        let json: Value = match serde_json::from_slice(text) {
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
        let pixel_um = PIXEL_KEYS.iter().find_map(|key| json.get(key)?.as_f64());
        Some(Self {
            metadata,
            pixel_um: pixel_um.filter(is_size),
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
/// without an image extension. Commas, semicolons and tabs separate.
pub(super) fn table(folder: &Path, notes: &mut Notes) -> BTreeMap<String, Facts> {
    let path = folder.join("fields.csv");
    let mut rows = BTreeMap::new();
    let Ok(bytes) = std::fs::read(&path) else {
        return rows;
    };
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let first_line = bytes
        .split(|&byte| byte == b'\n')
        .next()
        .unwrap_or_default();
    let count = |wanted: u8| first_line.iter().filter(|&&byte| byte == wanted).count();
    let delimiter = [b',', b';', b'\t']
        .into_iter()
        .rev()
        .max_by_key(|&d| count(d));
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter.unwrap_or(b','))
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(bytes);
    let headers: Vec<String> = match reader.byte_headers() {
        Ok(headers) => headers
            .iter()
            .map(|h| String::from_utf8_lossy(h).into_owned())
            .collect(),
        Err(error) => {
            notes.add(format!("the table cannot be read: {error}"), &path);
            return rows;
        }
    };
    const NAMES: [&str; 5] = ["file", "field", "name", "image", "filename"];
    let Some(key) = headers
        .iter()
        .position(|h| NAMES.contains(&h.to_lowercase().as_str()))
    else {
        notes.add(
            "the table has no column `file`, `field` or `name` and is not used",
            &path,
        );
        return rows;
    };
    for record in reader.byte_records() {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                notes.add(format!("a row cannot be read: {error}"), &path);
                continue;
            }
        };
        let value = |column: usize| {
            record
                .get(column)
                .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
        };
        let Some(name) = value(key) else { continue };
        let mut facts = Facts::default();
        for (column, header) in headers.iter().enumerate() {
            if let Some(text) = value(column).filter(|text| !text.is_empty()) {
                facts.metadata.insert(header.clone(), text);
            }
        }
        facts.pixel_um = PIXEL_KEYS
            .iter()
            .find_map(|key| facts.metadata.get(*key)?.parse().ok())
            .filter(is_size);
        rows.insert(field_key(&name), facts);
    }
    rows
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
