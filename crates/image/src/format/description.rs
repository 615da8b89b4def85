//! Units and small pieces that the descriptions inside image files have in common.

use quick_xml::events::BytesStart;

use super::NO_SIZE_TAKEN;
use crate::rounded_um;

/// One µm in the units of length that programs write, lower case, with `u` for the micro sign.
const UNITS: [(&[&str], f64); 13] = [
    (
        &[
            "um",
            "u",
            "micron",
            "micrometer",
            "micrometre",
            "mikrometer",
            "mikron",
        ],
        1.0,
    ),
    (&["nm", "nanometer", "nanometre"], 1e-3),
    (&["mm", "millimeter", "millimetre"], 1e3),
    (&["cm", "centimeter", "centimetre"], 1e4),
    (&["dm", "decimeter", "decimetre"], 1e5),
    (&["m", "meter", "metre"], 1e6),
    (&["pm", "picometer", "picometre"], 1e-6),
    (&["fm", "femtometer", "femtometre"], 1e-9),
    (&["å", "a", "angstrom", "ångstrom", "ångström"], 1e-4),
    (&["inch", "inche", "in", "\"", "″"], 25_400.0),
    (&["thou", "mil"], 25.4),
    (&["li", "line"], 25_400.0 / 12.0),
    (&["ft", "foot", "feet"], 304_800.0),
];

/// Words that programs write instead of a unit where nothing was calibrated.
const NO_UNIT: [&str; 12] = [
    "",
    "px",
    "pixel",
    "pixels",
    "reference frame",
    "none",
    "null",
    "unknown",
    "uncalibrated",
    "unit",
    "units",
    "?",
];

/// What a length in a foreign unit comes to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Length {
    /// In µm, positive and finite.
    Um(f64),
    /// Nothing was calibrated, or the value is no size.
    Unstated,
    /// Something is stated that is not understood; a sentence about it.
    Unknown(String),
}

impl Length {
    /// `value` in `unit`, in any of the unit's usual spellings.
    pub(crate) fn of(value: f64, unit: &str) -> Self {
        match um_of(unit) {
            Some(factor) if (value * factor).is_finite() && value > 0.0 => Self::Um(value * factor),
            Some(_) => Self::Unstated,
            None if is_no_unit(unit) => Self::Unstated,
            None => Self::Unknown(format!(
                "its unit `{}` is not known, {NO_SIZE_TAKEN}",
                unit.trim()
            )),
        }
    }
}

/// A text as UTF-8 or, where it is none, as Latin-1, in which older programs write the micro sign.
pub(crate) fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().rposition(|&byte| byte != 0);
    let bytes = &bytes[..end.map_or(0, |last| last + 1)];
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_string(),
        Err(_) => bytes.iter().map(|&byte| char::from(byte)).collect(),
    }
}

/// The note that follows the program's name in a description: `0.1.0 prediction: nuclei of ..`.
pub(crate) fn said_by_us(description: &str) -> Option<&str> {
    description
        .lines()
        .find_map(|line| line.trim_start_matches("# ").strip_prefix("stainfree "))
}

/// Whether the description of a TIFF says that this program wrote it.
pub(crate) fn is_our_description(description: &str) -> bool {
    said_by_us(description).is_some()
}

/// One `unit` in µm; `None` for what is no known unit of length.
pub(crate) fn um_of(unit: &str) -> Option<f64> {
    let plain = plain(unit);
    let word = plain
        .split(['/', '\u{2215}'])
        .next()
        .unwrap_or_default()
        .trim_end_matches(" per pixel")
        .trim();
    let find = |word: &str| {
        let units = UNITS.iter();
        units
            .clone()
            .find(|(names, _)| names.contains(&word))
            .map(|(_, um)| *um)
    };
    // Plurals of words: `ms` are milliseconds and no metres.
    let singular = || word.strip_suffix('s').filter(|word| word.len() > 2);
    find(word).or_else(|| find(singular()?))
}

pub(crate) fn is_no_unit(unit: &str) -> bool {
    NO_UNIT.contains(&plain(unit).as_str())
}

/// A unit in lower case, with `u` for every micro sign, however it is written or was damaged on its
/// way through another encoding.
fn plain(unit: &str) -> String {
    let mut text = unescaped(unit);
    // UTF-8 that was read as Latin-1 or Windows-1252 and written again.
    for damaged in ["Âµ", "Î¼", "&#181;", "&#xB5;", "&micro;"] {
        text = text.replace(damaged, "u");
    }
    // A sign that was lost can have been nothing else in front of an `m`.
    for lost in ["\u{fffd}m", "?m"] {
        if text == lost {
            return "um".into();
        }
    }
    let text = text.replace(['µ', 'μ'], "u").to_lowercase();
    text.trim_matches(|c: char| {
        c.is_whitespace() || matches!(c, '.' | '[' | ']' | '(' | ')' | '\0')
    })
    .to_string()
}

/// Java's and C's escapes as the signs they stand for: `\u00B5m`, `\xb5m`.
fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let digits = match rest.as_bytes().get(1) {
            Some(b'u' | b'U') => 4,
            Some(b'x' | b'X') => 2,
            _ => 0,
        };
        let code = rest.get(2..2 + digits).filter(|_| digits > 0);
        let sign = code.and_then(|hex| char::from_u32(u32::from_str_radix(hex, 16).ok()?));
        match sign {
            Some(sign) => {
                out.push(sign);
                rest = &rest[2 + digits..];
            }
            None => {
                out.push('\\');
                rest = &rest[1..];
            }
        }
    }
    out + rest
}

/// A number as programs write it: with a point or, where the computer's language has it so, with a
/// decimal comma.
pub(crate) fn number(text: &str) -> Option<f64> {
    let text = text.trim();
    let decimal = match (text.matches(',').count(), text.contains('.')) {
        (1, false) => text.replace(',', "."),
        _ => text.to_string(),
    };
    decimal.parse().ok()
}

/// An attribute of an XML element, its escapes resolved where they can be.
pub(crate) fn attribute(element: &BytesStart<'_>, name: &str) -> Option<String> {
    let raw = element.try_get_attribute(name).ok()??;
    let text = raw.value.into_owned();
    Some(quick_xml::escape::unescape(&text).map_or(text.clone(), |t| t.into_owned()))
}

/// The pixel size where both directions agree to one part in a thousand; otherwise a sentence.
pub(super) fn square(x_um: f64, y_um: f64) -> Result<f64, String> {
    if (x_um - y_um).abs() <= 1e-3 * x_um.max(y_um) {
        Ok(x_um)
    } else {
        Err(format!(
            "its pixels are not square ({} x {} um), {NO_SIZE_TAKEN}",
            rounded_um(y_um),
            rounded_um(x_um)
        ))
    }
}

/// The pixel size of two directions, of which the second may be unstated.
pub(crate) fn both(x: Length, y: Length) -> Result<Option<f64>, String> {
    match (x, y) {
        (Length::Unknown(problem), _) | (_, Length::Unknown(problem)) => Err(problem),
        (Length::Um(x), Length::Um(y)) => square(x, y).map(Some),
        (Length::Um(x), Length::Unstated) => Ok(Some(x)),
        (Length::Unstated, _) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_micrometre_is_known_in_every_spelling() {
        for unit in [
            "um",
            "UM",
            "Um",
            " um ",
            "µm",
            "μm",
            "\\u00B5m",
            "\\u00b5m",
            "\\u03BCm",
            "\\xb5m",
            "Micron",
            "microns",
            "MICROMETER",
            "micrometers",
            "Micrometre",
            "Âµm",
            "Î¼m",
            "\u{fffd}m",
            "um/pixel",
            "µm per pixel",
            "[um]",
            "µ",
            "microns/px",
        ] {
            assert_eq!(Length::of(0.5, unit), Length::Um(0.5), "{unit}");
        }
    }

    #[test]
    fn other_lengths_are_converted() {
        for (value, unit, um) in [
            (500.0, "nm", 0.5),
            (2.0, "mm", 2_000.0),
            (0.5, "Inches", 12_700.0),
            (0.25, "\"", 6_350.0),
            (3.0, "CM", 30_000.0),
            (5e-7, "m", 0.5),
            (5_000.0, "Å", 0.5),
            (5_000.0, "Angstroms", 0.5),
        ] {
            let found = value * um_of(unit).expect(unit);
            assert!((found - um).abs() < 1e-9 * um, "{unit}: {found}");
        }
    }

    #[test]
    fn what_is_no_unit_is_told_from_what_is_not_known() {
        for unit in ["", "pixel", "Pixels", "reference frame"] {
            assert_eq!(Length::of(1.0, unit), Length::Unstated, "{unit}");
        }
        assert_eq!(Length::of(0.0, "um"), Length::Unstated);
        assert_eq!(Length::of(f64::INFINITY, "um"), Length::Unstated);
        let said = "its unit `furlong` is not known, so no pixel size is taken";
        assert_eq!(Length::of(1.0, "furlong"), Length::Unknown(said.into()));
        // Milliseconds are no metres.
        assert_eq!(um_of("ms"), None);
    }

    #[test]
    fn a_decimal_comma_is_a_point() {
        assert_eq!(number("0,325"), Some(0.325));
        assert_eq!(number(" 3.25E-1 "), Some(0.325));
        assert_eq!(number("1,234.5"), None);
        assert_eq!(number("wide"), None);
    }
}
