//! ImageXpress plate descriptions (`.HTD`): lines `"Key", value, value` up to `"EndFile"`.
//!
//! The files are not UTF-8: MetaXpress writes the bytes 82 81 for a new line inside a text. Editors
//! save them again in UTF-8 or UTF-16, with the line ends of any system.

use std::path::Path;

use crate::ImageError;
use crate::names::well_name;
use crate::table::text_of;

/// What the plate description declares.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Htd {
    /// Number of time points.
    pub(super) times: u32,
    /// Number of planes of a stack; 0 without stacks.
    pub(super) z_steps: u32,
    /// Wells chosen for imaging, as printed on the plate.
    pub(super) wells: Vec<String>,
    /// Number of sites chosen in each well.
    pub(super) sites: u32,
    /// Names of the wavelengths w1, w2, ..; not always unique.
    pub(super) waves: Vec<String>,
    pub(super) identifier: Option<String>,
    pub(super) text: Option<String>,
}

/// Most rows, columns, waves and sites that are believed; a plate of 1,536 wells has 32 x 48.
pub(super) const MOST: u32 = 1024;

impl Htd {
    pub(super) fn read(path: &Path) -> Result<Self, ImageError> {
        let bytes = std::fs::read(path).map_err(|error| ImageError::read(path, error))?;
        Self::parse(&as_utf8(bytes)).ok_or_else(|| {
            ImageError::broken(
                path,
                "it is no ImageXpress plate description (no `HTSInfoFile`)",
            )
        })
    }

    /// `None` if the bytes are no plate description at all.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut htd = Self {
            times: 1,
            sites: 1,
            ..Self::default()
        };
        let (mut known, mut chosen_sites, mut grid) = (false, 0, [1, 1]);
        let mut waves: Vec<(u32, String)> = Vec::new();
        let mut wave_count = 1;
        for line in bytes.split(|byte| b"\r\n".contains(byte)) {
            let (key, values) = fields(line);
            let first = values.first().map(String::as_str).unwrap_or_default();
            let number = first.parse::<u32>().ok().filter(|&number| number <= MOST);
            match key.as_str() {
                "EndFile" => break,
                "HTSInfoFile" => known = true,
                "Description" => htd.text = Some(first.to_string()).filter(|t| !t.is_empty()),
                "TimePoints" => htd.times = number.unwrap_or(1).max(1),
                "ZSteps" => htd.z_steps = number.unwrap_or(0),
                "XSites" => grid[1] = number.unwrap_or(1).max(1),
                "YSites" => grid[0] = number.unwrap_or(1).max(1),
                "NWavelengths" => wave_count = number.unwrap_or(1).max(1),
                "UniquePlateIdentifier" => htd.identifier = Some(first.to_string()),
                _ => {}
            }
            if let Some(row) = numbered(&key, "WellsSelection") {
                let chosen = values
                    .iter()
                    .zip(1_u32..)
                    .filter(|(value, _)| is_true(value));
                htd.wells
                    .extend(chosen.map(|(_, column)| well_name(row, column)));
            } else if numbered(&key, "SiteSelection").is_some() {
                chosen_sites += values.iter().filter(|value| is_true(value)).count() as u32;
            } else if let Some(wave) = numbered(&key, "WaveName") {
                waves.push((wave, first.to_string()));
            }
        }
        // With one site the selection may be absent.
        htd.sites = if chosen_sites > 0 {
            chosen_sites
        } else {
            grid[0] * grid[1]
        };
        htd.waves = (1..=wave_count)
            .map(|w| {
                waves
                    .iter()
                    .find(|(number, _)| *number == w)
                    .map(|(_, name)| name.clone())
            })
            .map(Option::unwrap_or_default)
            .collect();
        known.then_some(htd)
    }

    /// A unique name for wavelength `w`: the declared one, with `_wN` where it is not unique and
    /// `wN` alone where there is none.
    pub(super) fn channel_name(&self, w: u32) -> String {
        let declared = |w: u32| {
            let name = (w as usize)
                .checked_sub(1)
                .and_then(|index| self.waves.get(index));
            name.map(|name| name.trim()).filter(|name| !name.is_empty())
        };
        match declared(w) {
            None => format!("w{w}"),
            Some(name) => {
                let same = (1..=self.waves.len() as u32).filter(|&o| declared(o) == Some(name));
                if same.count() > 1 {
                    format!("{name}_w{w}")
                } else {
                    name.to_string()
                }
            }
        }
    }
}

/// The bytes in UTF-8 if an editor has saved them with a mark or in UTF-16; else as they are.
fn as_utf8(bytes: Vec<u8>) -> Vec<u8> {
    if bytes.contains(&0) || bytes.starts_with(b"\xef\xbb\xbf") {
        return text_of(&bytes).into_bytes();
    }
    bytes
}

/// The number after `prefix` in a key such as `WaveName3`, within 1 to [`MOST`].
fn numbered(key: &str, prefix: &str) -> Option<u32> {
    let number = key.strip_prefix(prefix)?.parse().ok()?;
    (1..=MOST).contains(&number).then_some(number)
}

fn is_true(value: &str) -> bool {
    value.eq_ignore_ascii_case("true")
}

/// The key and the values of a line; commas inside quotes do not separate.
fn fields(line: &[u8]) -> (String, Vec<String>) {
    let mut parts = vec![Vec::new()];
    let mut quoted = false;
    for &byte in line {
        match byte {
            b'"' => quoted = !quoted,
            b',' if !quoted => parts.push(Vec::new()),
            byte => parts.last_mut().expect("never empty").push(byte),
        }
    }
    let mut texts = parts.into_iter().map(|part| text(&part).trim().to_string());
    (texts.next().unwrap_or_default(), texts.collect())
}

/// UTF-8 where it is valid; otherwise every byte as Latin-1, and MetaXpress' new lines as spaces.
fn text(bytes: &[u8]) -> String {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return text.to_string();
    }
    let text: String = bytes.iter().map(|&byte| char::from(byte)).collect();
    text.replace("\u{82}\u{81}", " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_utf8_and_names_with_commas() {
        let htd = Htd::parse(
            b"\"HTSInfoFile\", Version 1.0\r\n\"Description\", \"a\x82\x81b, c\"\r\n\
              \"WellsSelection2\", FALSE, TRUE, TRUE\r\n\"XSites\", 2\r\n\"YSites\", 2\r\n\
              \"SiteSelection1\", TRUE, FALSE\r\n\"SiteSelection2\", TRUE, TRUE\r\n\
              \"NWavelengths\", \
              3\r\n\"WaveName1\", \"FITC\"\r\n\"WaveName2\", \"FITC\"\r\n\"EndFile\"\r\n\
              \"WaveName3\", \"late\"\r\n",
        )
        .expect("a plate description");
        assert_eq!(htd.text.as_deref(), Some("a b, c"));
        assert_eq!(htd.wells, ["B02", "B03"]);
        assert_eq!(htd.sites, 3);
        let names: Vec<String> = (1..=4).map(|w| htd.channel_name(w)).collect();
        assert_eq!(names, ["FITC_w1", "FITC_w2", "w3", "w4"]);
        assert_eq!(Htd::parse(b"PNG"), None);
    }

    #[test]
    fn descriptions_that_an_editor_saved_are_read() {
        let text = "\"HTSInfoFile\", 1\n\"NWavelengths\", 1\n\"WaveName1\", \"\u{b5}\"\n";
        let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        for bytes in [
            [b"\xef\xbb\xbf", text.as_bytes()].concat(),
            [b"\xff\xfe".to_vec(), utf16].concat(),
            text.replace('\n', "\r").into_bytes(),
            text.replace('\n', "\r\n").into_bytes(),
        ] {
            let htd = Htd::parse(&as_utf8(bytes)).expect("a plate description");
            assert_eq!(htd.channel_name(1), "\u{b5}");
        }
    }
}
