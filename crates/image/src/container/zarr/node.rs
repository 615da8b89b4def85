//! Groups and arrays of a store: their metadata files in either version of zarr, and the paths by
//! which they name one another.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::ImageError;

/// Why a part of a store is not read.
#[derive(Debug)]
pub(super) enum Refusal {
    Broken(String),
    NotSupported {
        what: String,
        way_out: &'static str,
    },
    /// With its path.
    Error(ImageError),
}

impl Refusal {
    /// The error for the folder `path`.
    pub(super) fn at(self, path: &Path) -> ImageError {
        match self {
            Self::Broken(what) => ImageError::broken(path, what),
            Self::NotSupported { what, way_out } => ImageError::not_supported(path, what, way_out),
            Self::Error(error) => error,
        }
    }

    /// The sentence without a name.
    pub(super) fn what(&self) -> String {
        match self {
            Self::Broken(what) | Self::NotSupported { what, .. } => what.clone(),
            Self::Error(error) => error.to_string(),
        }
    }

    /// As it is said of the whole, where `path` is a part of it.
    pub(super) fn within(self, path: &str) -> Self {
        let of = |what: String| match path {
            "" => what,
            path => format!("of `{path}`: {what}"),
        };
        match self {
            Self::Broken(what) => Self::Broken(of(what)),
            Self::NotSupported { what, way_out } => Self::NotSupported {
                what: of(what),
                way_out,
            },
            Self::Error(error) => Self::Error(error),
        }
    }
}

pub(super) fn broken<T>(what: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::Broken(what.into()))
}

/// Which version of zarr keeps a group or array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    V2,
    V3,
}

/// What a metadata file says, each key as it is written; absent ones are null. What is consolidated
/// in it (a copy of all that lies below) is skipped.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Keys {
    pub(super) shape: Value,
    pub(super) fill_value: Value,
    // Version 2.
    pub(super) chunks: Value,
    pub(super) dtype: Value,
    pub(super) compressor: Value,
    pub(super) filters: Value,
    pub(super) order: Value,
    pub(super) dimension_separator: Value,
    // Version 3.
    pub(super) data_type: Value,
    pub(super) chunk_grid: Value,
    pub(super) chunk_key_encoding: Value,
    pub(super) codecs: Value,
    pub(super) storage_transformers: Value,
    zarr_format: Value,
    node_type: Value,
    attributes: Option<Map<String, Value>>,
}

/// A group or an array.
#[derive(Debug)]
pub(super) enum Node {
    Group(Map<String, Value>),
    /// With the file that describes it.
    Array(Format, Box<Keys>, PathBuf),
}

/// Metadata files that make a folder a group or an array.
pub(super) const MARKERS: [&str; 4] = ["zarr.json", ".zarray", ".zgroup", ".zattrs"];

impl Node {
    /// What the folder `path` is; `None` if it has no metadata.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, Refusal> {
        let [of_v3, of_array, of_group, of_attributes] = MARKERS.map(|name| path.join(name));
        if let Some(text) = text_of(&of_v3)? {
            return Self::of_v3(parsed(&text, "zarr.json")?, of_v3).map(Some);
        }
        if let Some(text) = text_of(&of_array)? {
            let keys: Keys = parsed(&text, ".zarray")?;
            if keys.zarr_format.as_u64() != Some(2) {
                return broken(format!(
                    "its `.zarray` has the `zarr_format` `{}`, which is not 2",
                    keys.zarr_format
                ));
            }
            return Ok(Some(Self::Array(Format::V2, Box::new(keys), of_array)));
        }
        let attributes = text_of(&of_attributes)?;
        if attributes.is_none() && !of_group.is_file() {
            return Ok(None);
        }
        let attributes = match attributes {
            Some(text) => parsed(&text, ".zattrs")?,
            None => Map::new(),
        };
        Ok(Some(Self::Group(attributes)))
    }

    fn of_v3(mut read: Keys, file: PathBuf) -> Result<Self, Refusal> {
        if read.zarr_format.as_u64() != Some(3) {
            return broken(format!(
                "its `zarr.json` has the `zarr_format` `{}`, which is not 3",
                read.zarr_format
            ));
        }
        match read.node_type.as_str() {
            Some("group") => Ok(Self::Group(read.attributes.take().unwrap_or_default())),
            Some("array") => Ok(Self::Array(Format::V3, Box::new(read), file)),
            _ => broken(format!(
                "its `zarr.json` has the `node_type` `{}`, which is neither group nor array",
                read.node_type
            )),
        }
    }
}

/// Most bytes of one metadata file: those of a plate of 1,536 wells are a hundredth of it.
const MOST_METADATA: u64 = 64 << 20;

/// The bytes of a metadata file; `None` if there is no such file.
fn text_of(path: &Path) -> Result<Option<Vec<u8>>, Refusal> {
    let read = |error| Refusal::Error(ImageError::read(path, error));
    match std::fs::metadata(path) {
        Ok(facts) if facts.is_file() => {}
        _ => return Ok(None),
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(read)?;
    let mut file = file.take(MOST_METADATA + 1);
    file.read_to_end(&mut bytes).map_err(read)?;
    if bytes.len() as u64 > MOST_METADATA {
        return Err(Refusal::Error(ImageError::TooLarge {
            path: path.to_path_buf(),
            what: "it has more bytes than metadata need".into(),
            cap: format!("{MOST_METADATA} bytes"),
            way_out: "take out what is consolidated in it",
        }));
    }
    Ok(Some(bytes))
}

/// A metadata file called `name` as what is wanted of it.
fn parsed<T: for<'a> Deserialize<'a>>(bytes: &[u8], name: &str) -> Result<T, Refusal> {
    if bytes.starts_with(b"version https://git-lfs") {
        return Err(Refusal::NotSupported {
            what: format!("its `{name}` is a placeholder of Git LFS and not the file itself"),
            way_out: "fetch the files, with `git lfs pull`",
        });
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    serde_json::from_slice(bytes)
        .or_else(|error| match without_nan(bytes) {
            Some(text) => serde_json::from_slice(&text),
            None => Err(error),
        })
        .map_err(|error| Refusal::Broken(format!("its `{name}` is no JSON as expected ({error})")))
}

/// The text with `null` for `NaN` and `Infinity`, which Python writes and JSON does not have;
/// `None` if there are none.
fn without_nan(bytes: &[u8]) -> Option<Vec<u8>> {
    const WORDS: [&[u8]; 3] = [b"-Infinity", b"Infinity", b"NaN"];
    let (mut out, mut rest) = (Vec::with_capacity(bytes.len()), bytes);
    let (mut in_text, mut found) = (false, false);
    while let [first, after @ ..] = rest {
        let word = WORDS.iter().find(|word| rest.starts_with(word));
        match (word, first, after) {
            (Some(word), ..) if !in_text => {
                out.extend(b"null");
                rest = &rest[word.len()..];
                found = true;
                continue;
            }
            (_, b'\\', [escaped, behind @ ..]) if in_text => {
                out.extend([b'\\', *escaped]);
                rest = behind;
                continue;
            }
            (_, b'"', _) => in_text = !in_text,
            _ => {}
        }
        out.push(*first);
        rest = after;
    }
    found.then_some(out)
}

/// The folder that metadata of `folder` name by `path`, which must lie within the store `root`
/// (without links in its own path), also when links are followed.
pub(super) fn inside(root: &Path, folder: &Path, path: &str) -> Result<PathBuf, Refusal> {
    let is_plain =
        |part: &str| !matches!(part, "" | "." | "..") && !part.contains(['\\', ':', '\0']);
    let trimmed = path.strip_suffix('/').unwrap_or(path);
    if !trimmed.split('/').all(is_plain) {
        return broken(format!("it names `{path}`, which is no path within it"));
    }
    let mut named = folder.to_path_buf();
    let mut has_links = false;
    for part in trimmed.split('/') {
        named.push(part);
        match std::fs::symlink_metadata(&named) {
            Ok(facts) => has_links |= facts.is_symlink(),
            Err(_) => return broken(format!("it names `{path}`, which is not there")),
        }
    }
    // To follow links takes many times as long, and stores have none as a rule.
    if has_links {
        let leads_out = match named.canonicalize() {
            Ok(real) => !real.starts_with(root),
            Err(_) => true,
        };
        if leads_out {
            return broken(format!(
                "it names `{path}`, a link that leads out of the store"
            ));
        }
    }
    Ok(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_within_the_store() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = folder.path().join("store");
        std::fs::create_dir_all(root.join("A/1")).expect("made");
        std::fs::create_dir_all(folder.path().join("other")).expect("made");
        let root = root.canonicalize().expect("there");
        for path in ["A/1", "A", "A/1/"] {
            assert!(inside(&root, &root, path).is_ok(), "{path}");
        }
        for path in [
            "../other",
            "A/../../other",
            "/etc",
            "",
            ".",
            "A//1",
            "A\\1",
            "C:",
            "B",
        ] {
            assert!(inside(&root, &root, path).is_err(), "{path}");
        }
        #[cfg(unix)]
        {
            let link = root.join("out");
            std::os::unix::fs::symlink(folder.path().join("other"), link).expect("a link");
            let said = inside(&root, &root, "out").expect_err("refused").what();
            assert!(said.contains("leads out"), "{said}");
        }
    }

    #[test]
    fn what_python_writes_for_no_number_is_read_as_none() {
        let text = br#"{"a": [NaN, -Infinity, 1], "b": "NaN \" Infinity"}"#;
        let read: Value = parsed(text, ".zattrs").expect("read");
        assert_eq!(read["a"], serde_json::json!([null, null, 1]));
        assert_eq!(read["b"], "NaN \" Infinity");
        assert!(parsed::<Value>(b"{NaM}", ".zattrs").is_err());
    }
}
