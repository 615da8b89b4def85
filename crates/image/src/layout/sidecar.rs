//! What lies beside the images: a JSON file per field, a table `fields.csv` for all of them.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use serde_json::Value;

use super::{Draft, Notes};
use crate::ImageError;
use crate::format::description::{is_no_unit, um_of};
use crate::names::{composed, is_image_name, stem, truth_stem};
use crate::table::{Row, Table, number, text_of};

/// Values about one field.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) pixel_um: Option<f64>,
    /// The JSON itself, for keys that explain pages.
    pub(super) json: Value,
}

/// Keys of a pixel size, in small letters and digits only, with one unit of theirs in µm. Those
/// without a unit need one in their value.
const PIXEL_KEYS: [(&str, Option<f64>); 18] = [
    ("pixelsizeum", Some(1.0)),
    ("pixelum", Some(1.0)),
    ("pixelsizexum", Some(1.0)),
    ("umperpixel", Some(1.0)),
    ("umperpx", Some(1.0)),
    ("umpixel", Some(1.0)),
    ("umpx", Some(1.0)),
    ("pixelsizemicron", Some(1.0)),
    ("pixelsizemicrons", Some(1.0)),
    ("micronsperpixel", Some(1.0)),
    ("physicalsizexum", Some(1.0)),
    ("pixelsizenm", Some(1e-3)),
    ("pixelsizexnm", Some(1e-3)),
    ("nmperpixel", Some(1e-3)),
    ("pixelsize", None),
    ("pixelsizex", None),
    ("pixelwidth", None),
    ("physicalsizex", None),
];

/// A value that is no pixel size.
#[derive(Debug, PartialEq)]
struct Unused {
    key: String,
    text: String,
    why: &'static str,
}

impl Unused {
    /// What all such values of one column have in common.
    fn fault(&self) -> String {
        format!("{}, {}", self.key, self.why)
    }
}

impl std::fmt::Display for Unused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { key, text, why } = self;
        write!(f, "`{key}` is `{text}`, {why}; it is not used")
    }
}

/// The pixel size in µm that `metadata` states; `Err` is what cannot be taken.
fn stated_pixel_um(metadata: &BTreeMap<String, String>) -> Result<Option<f64>, Unused> {
    let mut wrong = None;
    for (wanted, unit_um) in PIXEL_KEYS {
        let found = metadata.iter().find(|(key, _)| plain_key(key) == wanted);
        let Some((key, text)) = found else { continue };
        match length_um(text, unit_um) {
            Ok(Some(um)) => return Ok(Some(um)),
            Ok(None) => {}
            Err(why) => {
                wrong.get_or_insert(Unused {
                    key: key.clone(),
                    text: text.clone(),
                    why,
                });
            }
        }
    }
    wrong.map_or(Ok(None), Err)
}

const NO_SIZE: &str = "which is no pixel size in um";

/// `Pixel size [µm]` as `pixelsizeum`. A dot stays, as it stands between nested keys.
fn plain_key(key: &str) -> String {
    key.to_lowercase()
        .replace(['\u{b5}', '\u{3bc}'], "u")
        .chars()
        .filter(|c| c.is_alphanumeric() || *c == '.')
        .collect()
}

/// A length such as `0.65`, `0,65` or `650 nm`; `unit_um` counts where it has no unit of its own.
fn length_um(text: &str, unit_um: Option<f64>) -> Result<Option<f64>, &'static str> {
    let text = text.trim().trim_matches(['"', '\'']).trim();
    if is_no_unit(text) || ["nan", "na", "n/a", "-"].contains(&text.to_lowercase().as_str()) {
        return Ok(None);
    }
    let is_number = |c: char| c.is_ascii_digit() || "+-.,".contains(c);
    let end = text.find(|c| !is_number(c)).unwrap_or(text.len());
    // `6.5e-1` is a number as well.
    let (digits, unit) = match text.parse::<f64>() {
        Ok(_) => (text, ""),
        Err(_) => text.split_at(end),
    };
    let Some(value) = number(digits) else {
        return Err(NO_SIZE);
    };
    let unit_um = match unit.trim().trim_matches(['(', ')', '[', ']']) {
        "" => unit_um,
        unit => Some(um_of(unit).ok_or(NO_SIZE)?),
    };
    let Some(unit_um) = unit_um else {
        return Err("without a unit (`0.65 um`, or the key `pixel_size_um`)");
    };
    let um = value * unit_um;
    if !(um.is_finite() && um > 0.0) {
        return Err(NO_SIZE);
    }
    Ok(Some(um))
}

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
        // As written: a list of one number is no number.
        let texts = json.as_object().into_iter().flatten();
        let texts = texts.filter(|(_, value)| !value.is_null());
        let texts = texts.map(|(key, value)| {
            let text = value.as_str().map_or(value.to_string(), str::to_owned);
            (key.clone(), text)
        });
        let pixel_um = stated_pixel_um(&texts.collect()).unwrap_or_else(|unused| {
            notes.add(unused.to_string(), path);
            None
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

/// Facts about fields, by name.
#[derive(Debug, Default)]
pub(super) struct ByField {
    /// By the name with composed letters.
    rows: BTreeMap<String, Facts>,
}

impl ByField {
    pub(super) fn get(&self, field: &str) -> Option<&Facts> {
        self.rows.get(&composed(field))
    }

    /// Adds what is known of fields, by their names or those of their places, to them: metadata, in
    /// place of what files state, and pixel sizes beside theirs.
    pub(super) fn add_to(&self, fields: &mut [Draft]) {
        for draft in fields {
            let position = draft.position.as_deref().unwrap_or_default();
            if let Some(facts) = self.get(&draft.name).or_else(|| self.get(position)) {
                draft.metadata.extend(facts.metadata.clone());
                draft.pixel_um.extend(facts.pixel_um);
            }
        }
    }

    /// Adds what is not known yet of a field.
    pub(super) fn add(&mut self, field: &str, facts: &Facts) {
        self.rows.entry(composed(field)).or_default().add(facts);
    }
}

/// The rows of `fields.csv` in `folder`; empty where there is no such file, or one that cannot be
/// used, which is told.
///
/// The first column called `file`, `field`, `name`, `image` or `filename` names the field, with or
/// without an image extension.
pub(super) fn table(folder: &Path, notes: &mut Notes) -> ByField {
    let path = folder.join("fields.csv");
    let mut found = ByField::default();
    let read = match std::fs::read(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return found,
        Err(error) => Err(ImageError::read(&path, error)),
        Ok(bytes) => Table::parse(&path, &bytes),
    };
    let table = match read {
        Ok(table) => table,
        Err(error) => {
            notes.by_sentence.entry(error.to_string()).or_default();
            return found;
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
        return found;
    };
    // Rows of truth (`a_labels.tif`) only tell about fields that have no row of their own.
    let of_truth = |row: &Row| truth_stem(&plain_name(row.cell(key))).is_some();
    let (truth, own): (Vec<&Row>, Vec<&Row>) = table.rows.iter().partition(|row| of_truth(row));
    for row in truth.into_iter().chain(own) {
        if let Some(what) = table.surplus(row) {
            let sentence = format!("a row is not used: {what}");
            notes.add_row("cells without a title", sentence, &path);
            continue;
        }
        let mut facts = Facts::default();
        for (column, title) in table.columns.iter().enumerate() {
            let text = row.cell(column);
            if !text.is_empty() {
                facts.metadata.insert(title.clone(), text.to_owned());
            }
        }
        facts.pixel_um = stated_pixel_um(&facts.metadata).unwrap_or_else(|unused| {
            let sentence = format!("line {}: {unused}", row.line);
            notes.add_row(unused.fault(), sentence, &path);
            None
        });
        found.rows.insert(field_key(row.cell(key)), facts);
    }
    found
}

/// A table's name of a field without image extension and truth suffix, with composed letters.
fn field_key(name: &str) -> String {
    let plain = plain_name(name);
    composed(truth_stem(&plain).unwrap_or(&plain))
}

/// A table's name of a file without image extension.
fn plain_name(name: &str) -> String {
    let path = Path::new(name);
    if is_image_name(path) {
        stem(path)
    } else {
        name.into()
    }
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
        let sizes = rows
            .rows
            .into_iter()
            .map(|(name, facts)| (name, facts.pixel_um));
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
        let (rows, problems) = sizes(b"file;pixel_um\na;0,65 miles\nb;\nc;-1\n");
        assert!(rows.iter().all(|(_, um)| um.is_none()));
        assert_eq!(problems.len(), 1, "{problems:?}");
        let said =
            "line 2: `pixel_um` is `0,65 miles`, which is no pixel size in um; it is not used";
        assert!(problems[0].contains(said), "{problems:?}");
        // Unquoted between commas: not 0 and not 65.
        let (rows, problems) = sizes(b"file,pixel_um\na,0,65\n");
        assert!(
            rows.is_empty() && problems.len() == 1,
            "{rows:?} {problems:?}"
        );
    }

    #[test]
    fn a_thousand_rows_with_one_fault_make_one_line() {
        let mut text = "file,pixel_size\n".to_owned();
        for row in 0..1000 {
            text += &format!("f{row},0.{row}5\n");
        }
        let (rows, problems) = sizes(text.as_bytes());
        assert_eq!((rows.len(), problems.len()), (1000, 1), "{problems:?}");
        assert_eq!(
            problems[0],
            "`fields.csv`: line 2: `pixel_size` is `0.05`, without a unit (`0.65 um`, or the key \
             `pixel_size_um`); it is not used (and 999 more rows)"
        );
        let (_, problems) = sizes(b"file,um\na,0,65\nb,0,65\nc,1\n");
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].contains("line 2 has 3 cells") && problems[0].ends_with("1 more row)"));
    }

    #[test]
    fn a_table_that_cannot_be_read_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let mut notes = Notes::default();
        // What is no file cannot be read, whoever runs the test.
        std::fs::create_dir(folder.path().join("fields.csv")).unwrap();
        assert!(table(folder.path(), &mut notes).rows.is_empty());
        let problems = notes.into_problems();
        assert!(problems[0].starts_with("cannot read `"), "{problems:?}");
    }

    #[test]
    fn a_row_of_truth_does_not_take_the_place_of_the_images_row() {
        let expected = vec![("a".to_owned(), Some(0.65)), ("b".to_owned(), Some(0.5))];
        let text = b"file,pixel_um\na.tif,0.65\na_labels.tif,9\nb_mask.png,0.5\n";
        assert_eq!(sizes(text), (expected, vec![]));
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

    #[test]
    fn lengths_are_taken_as_people_write_them_or_named() {
        let um = |text| length_um(text, Some(1.0));
        for text in [
            "0.65",
            "0,65",
            " 0.65 um",
            "650 nm",
            "0,65 \u{b5}m",
            "6.5e-1",
        ] {
            let found = um(text).expect("taken").expect("a size");
            assert!((found - 0.65).abs() < 1e-12, "{text}: {found}");
        }
        assert_eq!(um("n/a"), Ok(None));
        assert_eq!(um("1.234,5"), Err(NO_SIZE));
        assert_eq!(um("zwei"), Err(NO_SIZE));
        assert_eq!(um("0.65 furlongs"), Err(NO_SIZE));
        assert_eq!(um("-1"), Err(NO_SIZE));
        assert!(length_um("0.65", None).is_err());
        assert_eq!(length_um("0.5 um", None), Ok(Some(0.5)));
    }

    #[test]
    fn keys_are_known_in_other_spellings() {
        let of = |key: &str| stated_pixel_um(&BTreeMap::from([(key.into(), "0.5".into())]));
        for key in [
            "pixel_size_um",
            "Pixel size [\u{b5}m]",
            "pixel_um",
            "PixelSizeUM",
        ] {
            assert_eq!(of(key), Ok(Some(0.5)), "{key}");
        }
        assert_eq!(of("pixel_size_nm"), Ok(Some(0.0005)));
        assert_eq!(of("camera.pixel_size_um"), Ok(None));
        assert!(of("pixel_size").is_err_and(|unused| unused.why.contains("without a unit")));
    }
}
