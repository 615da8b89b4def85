//! The descriptions inside an ND2 file, as trees of named values.
//!
//! Binary, of files from version 3 on: one byte of type, the length of the name in UTF-16 units,
//! the name with its closing zero, the value. A level says how many items it has and how many bytes
//! it takes from its own first byte on, and has a table of the places of its items behind them. A
//! whole tree may be packed with zlib behind the letters `LV0Z` and a length. Older files have XML,
//! in UTF-8 or UTF-16: `<uiWidth runtype="lx_uint32" value="512"/>`. (Read from the three samples;
//! for the types and XML, the documentation and source of the Python package `nd2`.)

use std::io::Read;

use flate2::read::ZlibDecoder;
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use crate::format::description;

/// Levels nest no deeper in any file that is known (12).
const MOST_DEPTH: usize = 64;
/// A list of 10,000 positions has 60,000 values.
const MOST_ITEMS: usize = 1 << 20;
/// Longest packed tree, unpacked.
const MOST_UNPACKED: u64 = 64 << 20;

/// A value, or a level of named ones; items of a list have no name, or `no_name`.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// Of every type of number; a truth value is 0 or 1.
    Number(f64),
    Text(String),
    Bytes(Vec<u8>),
    Level(Vec<(String, Value)>),
}

impl Value {
    /// The tree in the data of a chunk.
    ///
    /// # Errors
    /// What is wrong with it, as the end of a sentence.
    pub(super) fn parsed(data: &[u8]) -> Result<Self, String> {
        let tree = match data {
            [0xff, 0xfe, ..] | [0xef, 0xbb, 0xbf, ..] | [b'<', ..] => of_xml(&decoded(data))?,
            [b'L', b'V', b'0', b'Z', ..] => binary(&unpacked(data)?)?,
            _ => binary(data)?,
        };
        Ok(tree.unwrapped())
    }

    /// What is in it, without levels that hold nothing but one level.
    pub(super) fn unwrapped(mut self) -> Self {
        loop {
            match self {
                Self::Level(mut items) if matches!(items[..], [(_, Self::Level(_))]) => {
                    self = items.pop().map_or(Self::Level(items), |(_, inner)| inner);
                }
                other => return other,
            }
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        let found = self.items().iter().find(|(own, _)| own == name);
        found.map(|(_, value)| value)
    }

    /// Of a level; none of anything else.
    pub(super) fn items(&self) -> &[(String, Self)] {
        match self {
            Self::Level(items) => items,
            _ => &[],
        }
    }

    pub(super) fn number(&self, name: &str) -> Option<f64> {
        match self.get(name)? {
            Self::Number(number) if number.is_finite() => Some(*number),
            _ => None,
        }
    }

    /// A whole number from 0 on.
    pub(super) fn count(&self, name: &str) -> Option<usize> {
        let number = self.number(name)?;
        let fits = number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&number);
        fits.then_some(number as usize)
    }

    /// A truth value; false where it is not stated.
    pub(super) fn is_set(&self, name: &str) -> bool {
        self.number(name).is_some_and(|number| number != 0.0)
    }

    /// A text; empty where it is not stated.
    pub(super) fn text(&self, name: &str) -> &str {
        match self.get(name) {
            Some(Self::Text(text)) => text,
            _ => "",
        }
    }

    /// A list of truth values: bytes, or a level of them.
    pub(super) fn flags(&self, name: &str) -> Option<Vec<bool>> {
        match self.get(name)? {
            Self::Bytes(bytes) => Some(bytes.iter().map(|&byte| byte != 0).collect()),
            Self::Level(items) => {
                let is_set = |(_, value): &(_, Self)| !matches!(value, Self::Number(0.0));
                Some(items.iter().map(is_set).collect())
            }
            _ => None,
        }
    }
}

const CUT: &str = "ends within a value";

fn unpacked(data: &[u8]) -> Result<Vec<u8>, String> {
    /// `LV0Z` and a length.
    const BEFORE: usize = 12;
    let packed = data.get(BEFORE..).ok_or(CUT)?;
    let mut tree = Vec::new();
    let read = ZlibDecoder::new(packed)
        .take(MOST_UNPACKED)
        .read_to_end(&mut tree);
    read.map_err(|error| format!("cannot be unpacked ({error})"))?;
    Ok(tree)
}

fn binary(data: &[u8]) -> Result<Value, String> {
    let mut left = MOST_ITEMS;
    Binary { rest: data }.items(1, MOST_DEPTH, &mut left)
}

/// What is left of the items of one level.
struct Binary<'a> {
    rest: &'a [u8],
}

impl<'a> Binary<'a> {
    fn items(mut self, count: u32, depth: usize, left: &mut usize) -> Result<Value, String> {
        let mut items = Vec::new();
        for _ in 0..count {
            *left = left.checked_sub(1).ok_or("has too many values")?;
            items.push(self.item(depth, left)?);
        }
        Ok(Value::Level(items))
    }

    fn item(&mut self, depth: usize, left: &mut usize) -> Result<(String, Value), String> {
        let before = self.rest.len();
        let [kind, units] = self.fixed::<2>()?;
        let name = self.take(usize::from(units) * 2)?;
        let name = of_utf16(name.as_chunks().0);
        let value = match kind {
            1 => Value::Number(f64::from(u8::from(self.fixed::<1>()? != [0]))),
            2 => Value::Number(f64::from(i32::from_le_bytes(self.fixed()?))),
            3 => Value::Number(f64::from(u32::from_le_bytes(self.fixed()?))),
            4 => Value::Number(i64::from_le_bytes(self.fixed()?) as f64),
            5 | 7 => Value::Number(u64::from_le_bytes(self.fixed()?) as f64),
            6 => Value::Number(f64::from_le_bytes(self.fixed()?)),
            8 => self.text(),
            9 => {
                let length = u64::from_le_bytes(self.fixed()?);
                Value::Bytes(self.long(length)?.to_vec())
            }
            11 => {
                let depth = depth.checked_sub(1).ok_or("nests too deep")?;
                let count = u32::from_le_bytes(self.fixed()?);
                let length = u64::from_le_bytes(self.fixed()?);
                let used = (before - self.rest.len()) as u64;
                let inner = self.long(length.checked_sub(used).ok_or(CUT)?)?;
                let level = Binary { rest: inner }.items(count, depth, left)?;
                self.long(u64::from(count) * 8)?;
                level
            }
            other => return Err(format!("has a value of the type `{other}`")),
        };
        Ok((name, value))
    }

    /// Up to the closing zero, or the end.
    fn text(&mut self) -> Value {
        let units = self.rest.as_chunks::<2>().0;
        let end = units.iter().position(|unit| *unit == [0, 0]);
        let text = of_utf16(&units[..end.unwrap_or(units.len())]);
        let used = end.map_or(self.rest.len(), |end| 2 * (end + 1));
        self.rest = &self.rest[used..];
        Value::Text(text)
    }

    fn long(&mut self, count: u64) -> Result<&'a [u8], String> {
        self.take(usize::try_from(count).map_err(|_| CUT)?)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (piece, rest) = self.rest.split_at_checked(count).ok_or(CUT)?;
        self.rest = rest;
        Ok(piece)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let piece = self.take(N)?;
        piece.try_into().map_err(|_| CUT.to_string())
    }
}

/// Text without its closing zeros.
fn of_utf16(units: &[[u8; 2]]) -> String {
    let units: Vec<u16> = units.iter().map(|unit| u16::from_le_bytes(*unit)).collect();
    String::from_utf16_lossy(&units)
        .trim_end_matches('\0')
        .to_string()
}

/// XML as text, in UTF-16 where it says so or its second byte is zero.
fn decoded(data: &[u8]) -> String {
    match data {
        [0xff, 0xfe, rest @ ..] => of_utf16(rest.as_chunks().0),
        [_, 0, ..] => of_utf16(data.as_chunks().0),
        _ => description::text(data)
            .trim_start_matches('\u{feff}')
            .to_string(),
    }
}

fn of_xml(text: &str) -> Result<Value, String> {
    let mut reader = Reader::from_str(text);
    // The levels that are open, and what has been met in each.
    let mut open: Vec<(String, Value)> = vec![(String::new(), Value::Level(Vec::new()))];
    let mut left = MOST_ITEMS;
    loop {
        let event = reader.read_event();
        match event.map_err(|error| format!("is damaged XML ({error})"))? {
            Event::Start(element) => {
                if open.len() > MOST_DEPTH {
                    return Err("nests too deep".into());
                }
                open.push(of_element(&element));
            }
            Event::Empty(element) => close(&mut open, of_element(&element), &mut left)?,
            Event::End(_) => {
                let done = open.pop().ok_or("is damaged XML")?;
                close(&mut open, done, &mut left)?;
            }
            Event::Eof => break,
            _ => {}
        }
    }
    match open.pop() {
        Some((_, tree)) if open.is_empty() => Ok(tree),
        _ => Err("ends within its XML".into()),
    }
}

/// Hands an element that is complete to the one around it.
fn close(
    open: &mut [(String, Value)],
    done: (String, Value),
    left: &mut usize,
) -> Result<(), String> {
    *left = left.checked_sub(1).ok_or("has too many values")?;
    if let Some((_, Value::Level(items))) = open.last_mut() {
        items.push(done);
    }
    Ok(())
}

fn of_element(element: &BytesStart<'_>) -> (String, Value) {
    let name = element.local_name().as_ref().to_string();
    let text = attribute(element, "value").unwrap_or_default();
    let value = match attribute(element, "runtype").unwrap_or_default().as_str() {
        "bool" => Value::Number(f64::from(u8::from(
            text == "1" || text.eq_ignore_ascii_case("true"),
        ))),
        "double" | "float" | "lx_int32" | "lx_int64" | "lx_uint32" | "lx_uint64" => {
            description::number(&text).map_or(Value::Text(text), Value::Number)
        }
        "CLxStringW" | "CLxByteArray" | "unknown" => Value::Text(text),
        _ => Value::Level(Vec::new()),
    };
    (name, value)
}

fn attribute(element: &BytesStart<'_>, name: &str) -> Option<String> {
    let raw = element.try_get_attribute(name).ok()??.value.into_owned();
    let text = quick_xml::escape::unescape(&raw);
    Some(text.map_or(raw.clone(), |text| text.into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An item as the file keeps it: type, name, value.
    fn item(kind: u8, name: &str, value: &[u8]) -> Vec<u8> {
        let units: Vec<u16> = name.encode_utf16().chain([0]).collect();
        let name = units.iter().flat_map(|unit| unit.to_le_bytes());
        [kind, units.len() as u8]
            .into_iter()
            .chain(name)
            .chain(value.iter().copied())
            .collect()
    }

    fn level(name: &str, items: &[Vec<u8>]) -> Vec<u8> {
        let head = item(11, name, &[]).len() + 12;
        let length = (head + items.concat().len()) as u64;
        let count = items.len() as u32;
        let value = [
            &count.to_le_bytes()[..],
            &length.to_le_bytes(),
            &items.concat(),
            &vec![0; 8 * items.len()],
        ];
        item(11, name, &value.concat())
    }

    fn text(text: &str) -> Vec<u8> {
        let units = text.encode_utf16().chain([0]);
        units.flat_map(u16::to_le_bytes).collect()
    }

    #[test]
    fn every_type_of_value_is_read_and_what_follows_a_level_too() {
        let tree = level(
            "Root",
            &[
                item(1, "bOn", &[116]),
                item(2, "iLow", &(-7_i32).to_le_bytes()),
                item(3, "uiHigh", &u32::MAX.to_le_bytes()),
                item(4, "l", &(-1_i64).to_le_bytes()),
                item(5, "ul", &9_u64.to_le_bytes()),
                item(6, "dPi", &3.25_f64.to_le_bytes()),
                item(7, "p", &[1, 0, 0, 0, 0, 0, 0, 0]),
                item(8, "ws", &text("5 \u{b5}m")),
                item(9, "ba", &[2, 0, 0, 0, 0, 0, 0, 0, 1, 0]),
                level("", &[item(2, "a", &5_i32.to_le_bytes())]),
                item(8, "last", &text("end")),
            ],
        );
        let read = Value::parsed(&tree).expect("a tree");
        assert!(read.is_set("bOn"));
        assert_eq!(read.number("iLow"), Some(-7.0));
        assert_eq!(read.count("iLow"), None);
        assert_eq!(read.count("uiHigh"), Some(u32::MAX as usize));
        assert_eq!(read.number("l"), Some(-1.0));
        assert_eq!(read.count("ul"), Some(9));
        assert_eq!(read.number("dPi"), Some(3.25));
        assert_eq!(read.text("ws"), "5 \u{b5}m");
        assert_eq!(read.flags("ba"), Some(vec![true, false]));
        assert_eq!(read.get("").and_then(|inner| inner.count("a")), Some(5));
        assert_eq!(read.text("last"), "end");

        let mut packed = b"LV0Z\0\0\0\0\0\0\0\0".to_vec();
        let mut zlib = flate2::write::ZlibEncoder::new(&mut packed, Default::default());
        std::io::Write::write_all(&mut zlib, &tree).expect("packed");
        zlib.finish().expect("packed");
        assert_eq!(Value::parsed(&packed).expect("a tree"), read);
    }

    #[test]
    fn xml_of_older_files_gives_the_same_tree() {
        let xml = "<?xml version=\"1.0\"?><variant version=\"1.0\"><no_name \
                   runtype=\"CLxListVariant\"><bOn runtype=\"bool\" value=\"true\"/><uiWidth \
                   runtype=\"lx_uint32\" value=\"512\"></uiWidth><d runtype=\"double\" \
                   value=\"0.5\"/><ws runtype=\"CLxStringW\" value=\"a &amp; \u{b5}\"/>\
                   <pItemValid><_00 runtype=\"bool\" value=\"true\"/><_01 runtype=\"bool\" \
                   value=\"false\"/></pItemValid></no_name></variant>";
        let utf16: Vec<u8> = xml.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let marked = [&[0xff, 0xfe][..], &utf16].concat();
        for data in [xml.as_bytes(), &utf16, &marked] {
            let read = Value::parsed(data).expect("a tree");
            assert!(read.is_set("bOn"));
            assert_eq!(read.count("uiWidth"), Some(512));
            assert_eq!(read.number("d"), Some(0.5));
            assert_eq!(read.text("ws"), "a & \u{b5}");
            assert_eq!(read.flags("pItemValid"), Some(vec![true, false]));
        }
    }

    #[test]
    fn damage_is_an_error_and_never_deep_or_long() {
        let tree = level("Root", &[item(2, "a", &[0; 4]), level("b", &[])]);
        for cut in 0..tree.len() {
            assert!(Value::parsed(&tree[..cut]).is_err(), "{cut}");
        }
        let mut deep = item(2, "a", &[0; 4]);
        for _ in 0..100 {
            deep = level("", &[deep]);
        }
        assert_eq!(Value::parsed(&deep), Err("nests too deep".into()));
        let said = Value::parsed(&item(10, "a", &[]));
        assert_eq!(said, Err("has a value of the type `10`".into()));
        for xml in ["<a>", "<a></b>", &"<a>".repeat(100), "<a b='"] {
            assert!(Value::parsed(xml.as_bytes()).is_err(), "{xml}");
        }
    }
}
