//! Folders as they are compared: every file, with all that says how long something took left out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Files by their path.
pub(crate) type Tree = BTreeMap<String, Vec<u8>>;

/// All files of a folder, sorted.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        // It may be gone: the program is running.
        let entries = std::fs::read_dir(&folder).into_iter().flatten();
        for entry in entries.filter_map(Result::ok) {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                _ => found.push(entry.path()),
            }
        }
    }
    found.sort();
    found
}

/// Reads a folder.
pub(crate) fn read_tree(folder: &Path) -> Tree {
    let read = |path: PathBuf| {
        let name = path
            .strip_prefix(folder)
            .expect("inside")
            .to_string_lossy()
            .into_owned();
        let bytes = std::fs::read(&path).expect("readable");
        let bytes = without_times(&name, bytes);
        (name, bytes)
    };
    files(folder).into_iter().map(read).collect()
}

/// Copies a folder with the times of its files.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("made");
    for entry in std::fs::read_dir(from)
        .expect("a folder")
        .filter_map(Result::ok)
    {
        let target = to.join(entry.file_name());
        let facts = entry.metadata().expect("there");
        if facts.is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), &target).expect("copied");
            let file = std::fs::File::options()
                .append(true)
                .open(&target)
                .expect("there");
            file.set_modified(facts.modified().expect("a time"))
                .expect("set");
        }
    }
}

/// What the files of a folder take of a small disk: whole pages.
pub(crate) fn size_on_disk(folder: &Path) -> u64 {
    let pages = |path: &PathBuf| {
        path.metadata()
            .map_or(0, |facts| facts.len().div_ceil(4096))
    };
    4096 * files(folder).iter().map(pages).sum::<u64>()
}

/// A file that is not finished yet.
pub(crate) fn is_temporary(file: &str) -> bool {
    let name = file.rsplit('/').next().unwrap_or(file);
    name.starts_with('.') && name.ends_with(".part")
}

/// The first difference between two folders.
pub(crate) fn difference(expected: &Tree, found: &Tree) -> Option<String> {
    for (file, bytes) in expected {
        match found.get(file) {
            None => return Some(format!("`{file}` is missing")),
            Some(other) if other != bytes => {
                return Some(format!(
                    "`{file}` differs: {}",
                    first_difference(bytes, other)
                ));
            }
            Some(_) => {}
        }
    }
    let more = found.keys().find(|file| !expected.contains_key(*file));
    more.map(|file| format!("`{file}` is there and should not be"))
}

fn first_difference(a: &[u8], b: &[u8]) -> String {
    let at = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let around = |bytes: &[u8]| {
        let part = &bytes[at.saturating_sub(60).min(bytes.len())..bytes.len().min(at + 60)];
        String::from_utf8_lossy(part).into_owned()
    };
    format!("byte {at}: `{}` became `{}`", around(a), around(b))
}

/// The fields that `result/predictions.csv` says are done, each with its model.
pub(crate) fn predicted(tree: &Tree) -> BTreeMap<String, String> {
    let Some(bytes) = tree.get("result/predictions.csv") else {
        return BTreeMap::new();
    };
    let mut reader = csv::Reader::from_reader(bytes.as_slice());
    let heads = reader.headers().expect("a head").clone();
    let place = |name: &str| {
        heads
            .iter()
            .position(|head| head == name)
            .expect("a column")
    };
    let (status, model) = (place("status"), place("model"));
    let rows = reader.records().map(|row| row.expect("a row"));
    let done = rows.filter(|row| &row[status] == "done");
    done.map(|row| (row[0].to_owned(), row[model].to_owned()))
        .collect()
}

/// What says of labels what they were made from.
pub(crate) const LABELLED: &str = "labels/made-by-stainfree.json";

/// The fields that it says are there, each with its key.
pub(crate) fn labelled(tree: &Tree) -> BTreeMap<String, String> {
    let Some(bytes) = tree.get(LABELLED) else {
        return BTreeMap::new();
    };
    let marker: serde_json::Value = serde_json::from_slice(bytes).expect("JSON");
    let fields = marker["fields"].as_object().cloned().unwrap_or_default();
    let keys = fields
        .into_iter()
        .map(|(name, of)| (name, of["key"].to_string()));
    keys.collect()
}

/// The file without what legitimately differs between two runs: how many seconds something took,
/// and, in a checkpoint, how long a log is that says so.
fn without_times(name: &str, bytes: Vec<u8>) -> Vec<u8> {
    let file = name.rsplit('/').next().unwrap_or(name);
    match file {
        "predictions.csv" | "results.csv" => without_column(&bytes, "seconds"),
        "log.jsonl" | "result.json" => without_numbers(bytes, &["\"seconds\":", "\"waiting\":"]),
        "model.toml" => without_numbers(bytes, &["seconds = "]),
        "checkpoint.safetensors" => checkpoint_without_times(bytes),
        // "2 runs in 3 s of training".
        "results.md" | "report.html" => without_numbers(bytes, &["runs in "]),
        _ => bytes,
    }
}

fn without_column(bytes: &[u8], column: &str) -> Vec<u8> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .from_reader(bytes);
    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut place = None;
    for row in reader.records() {
        let Ok(row) = row else {
            return bytes.to_vec();
        };
        place = place.or_else(|| row.iter().position(|head| head == column));
        let cells = row.iter().enumerate();
        let cells = cells.map(|(i, cell)| if Some(i) == place { "" } else { cell });
        writer.write_record(cells).expect("in memory");
    }
    writer.into_inner().expect("in memory")
}

/// Takes away the numbers after each of `keys`.
fn without_numbers(bytes: Vec<u8>, keys: &[&str]) -> Vec<u8> {
    let Ok(mut text) = String::from_utf8(bytes.clone()) else {
        return bytes;
    };
    for key in keys {
        let mut parts = text.split(key);
        let mut kept = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            kept.push_str(key);
            let is_number = |c: char| c.is_ascii_digit() || ".eE+-".contains(c);
            kept.push_str(part.trim_start_matches(is_number));
        }
        text = kept;
    }
    text.into_bytes()
}

/// A safetensors file whose note `progress` has neither seconds nor a length of the log.
fn checkpoint_without_times(bytes: Vec<u8>) -> Vec<u8> {
    let Some((length, rest)) = bytes.split_first_chunk::<8>() else {
        return bytes;
    };
    let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
    if length > rest.len() {
        return bytes;
    }
    let (head, data) = rest.split_at(length);
    let head = without_numbers(
        head.to_vec(),
        &["\\\\\\\"seconds\\\\\\\":", "\\\\\\\"log_bytes\\\\\\\":"],
    );
    // The head is filled up with blanks to a multiple of eight.
    let mut kept = head.trim_ascii_end().to_vec();
    kept.extend(data);
    kept
}
