//! Elements of an XML text, one after the other: indexes of large plates are never held whole.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use crate::ImageError;

/// Elements nest no deeper in any index that is known.
const MOST_DEPTH: usize = 64;
/// Longest text of an element that is kept, bytes; names and numbers are short.
const MOST_TEXT: usize = 4096;
/// Larger files are no index; a plate of 384 wells with 100,000 images has 200 MB.
const MOST_BYTES: u64 = 2 << 30;

/// What is met on the way through a text.
pub(crate) enum Met<'a, 'b> {
    /// An element begins.
    Start(&'a BytesStart<'b>),
    /// An element ends; its text without that of elements in it, cut off where it is very long.
    End(&'a str),
}

/// Calls `visit` at the beginning and end of every element of the file at `path` with the names
/// from the root down to it, without their prefixes.
///
/// # Errors
/// If the file cannot be read, is no XML, or ends before its elements do.
pub(crate) fn walk(
    path: &Path,
    visit: impl FnMut(&[String], Met<'_, '_>),
) -> Result<(), ImageError> {
    let failed = |error| ImageError::read(path, error);
    let file = File::open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.len() > MOST_BYTES {
        return Err(ImageError::broken(path, "it is too large for an index"));
    }
    walk_in(path, BufReader::new(file), visit)
}

/// As [`walk`], through a text that stands in the file at `path` among other things.
///
/// # Errors
/// As [`walk`].
pub(crate) fn walk_in(
    path: &Path,
    mut text: impl BufRead,
    mut visit: impl FnMut(&[String], Met<'_, '_>),
) -> Result<(), ImageError> {
    let start = text.fill_buf();
    let start = start.map_err(|error| ImageError::read(path, error))?;
    // A byte order mark is no part of the text.
    if start.starts_with(b"\xef\xbb\xbf") {
        text.consume(3);
    }
    let mut reader = Reader::from_reader(text);
    let (mut names, mut text, mut buffer) = (Vec::new(), String::new(), Vec::new());
    loop {
        buffer.clear();
        let damaged = |what: String| ImageError::broken(path, what);
        let event = reader
            .read_event_into(&mut buffer)
            .map_err(|error| damaged(format!("its XML is damaged ({error})")))?;
        match event {
            Event::Start(element) => {
                names.push(element.local_name().as_ref().to_string());
                if names.len() > MOST_DEPTH {
                    return Err(damaged("its elements nest too deep".into()));
                }
                text.clear();
                visit(&names, Met::Start(&element));
            }
            Event::Empty(element) => {
                names.push(element.local_name().as_ref().to_string());
                visit(&names, Met::Start(&element));
                visit(&names, Met::End(""));
                names.pop();
                text.clear();
            }
            Event::Text(piece) => push(&mut text, &piece),
            Event::CData(piece) => push(&mut text, &piece),
            Event::GeneralRef(name) => {
                let escaped = format!("&{};", &*name);
                let resolved = quick_xml::escape::unescape(&escaped);
                push(&mut text, &resolved.unwrap_or_default());
            }
            Event::End(_) => {
                visit(&names, Met::End(text.trim()));
                names.pop();
                text.clear();
            }
            Event::Eof if names.is_empty() => return Ok(()),
            Event::Eof => {
                return Err(damaged(format!(
                    "it ends within its element `{}`",
                    names.join("/")
                )));
            }
            _ => {}
        }
    }
}

/// Adds as much of `piece` as a text may have.
fn push(text: &mut String, piece: &str) {
    let left = MOST_TEXT.saturating_sub(text.len());
    let end = (0..=left.min(piece.len())).rev();
    let end = end.into_iter().find(|&end| piece.is_char_boundary(end));
    text.push_str(&piece[..end.unwrap_or(0)]);
}

/// The attribute called `name`, whatever its prefix.
pub(crate) fn attribute(element: &BytesStart<'_>, name: &str) -> Option<String> {
    let mut all = element.attributes();
    let mut found = all.with_checks(false).flatten();
    let named = found.find(|attribute| attribute.key.local_name().as_ref() == name);
    let raw = named?.value.into_owned();
    Some(quick_xml::escape::unescape(&raw).map_or(raw.clone(), |text| text.into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walked(text: &[u8]) -> Result<Vec<String>, String> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("Index.xml");
        std::fs::write(&path, text).expect("written");
        let mut seen = Vec::new();
        let done = walk(&path, |names, met| match met {
            Met::Start(element) => seen.extend(attribute(element, "id")),
            Met::End(text) => seen.push(format!("{}={text}", names.join("/"))),
        });
        done.map(|()| seen).map_err(|error| error.to_string())
    }

    #[test]
    fn names_lose_their_prefix_and_texts_their_escapes() {
        let text = "\u{feff}<?xml version=\"1.0\"?><b:A xmlns:b=\"x\"><B b:id=\"1 &amp; 2\">\u{b5} \
                    &lt;&#x3bc;</B><C/></b:A>";
        assert_eq!(
            walked(text.as_bytes()).expect("XML"),
            ["1 & 2", "A/B=\u{b5} <\u{3bc}", "A/C=", "A="]
        );
    }

    #[test]
    fn damage_is_an_error_that_names_the_file() {
        for text in [&b"<A><B>"[..], b"<A><B></A>", b"<A b='", b"\xff\xfe<\0A\0"] {
            let error = walked(text).expect_err("damaged");
            assert!(
                error.contains("Index.xml` is broken: its XML is damaged")
                    || error.contains("it ends within"),
                "{error}"
            );
        }
        let deep = "<A>".repeat(100);
        let error = walked(deep.as_bytes()).expect_err("too deep");
        assert!(error.contains("nest too deep"), "{error}");
        let long = format!("<A>{}</A>", "\u{b5}".repeat(MOST_TEXT));
        let seen = walked(long.as_bytes()).expect("XML");
        assert_eq!(seen[0].len(), "A=".len() + MOST_TEXT);
        // Entities of the file's own are not resolved, so they cannot grow.
        let bomb = "<!DOCTYPE A [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;\">]><A>&b;</A>";
        assert_eq!(walked(bomb.as_bytes()).expect("XML"), ["A="]);
    }
}
