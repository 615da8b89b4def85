//! Amounts of memory as people write them: `2GiB`, `800MB`, `1.5 GiB`.

/// Units and their bytes, longest names first where one ends in another.
const UNITS: [(&str, f64); 7] = [
    ("kib", 1024.0),
    ("mib", 1048576.0),
    ("gib", 1073741824.0),
    ("kb", 1e3),
    ("mb", 1e6),
    ("gb", 1e9),
    ("b", 1.0),
];

/// Reads an amount in bytes; a number without a unit is refused, since it could mean anything.
///
/// # Errors
/// One sentence with examples.
pub(crate) fn parse(text: &str) -> Result<usize, String> {
    let lower = text.trim().to_lowercase();
    let parsed = UNITS.iter().find_map(|(unit, bytes)| {
        let number: f64 = lower.strip_suffix(unit)?.trim().parse().ok()?;
        Some(number * bytes)
    });
    match parsed {
        Some(bytes) if bytes >= 1.0 && bytes < 2f64.powi(53) => Ok(bytes as usize),
        _ => Err(format!(
            "`{text}` is no amount of memory; write it like `2GiB` or `800MB`"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn amounts_need_a_unit() {
        assert_eq!(parse("2GiB"), Ok(2 << 30));
        assert_eq!(parse("1.5 mib"), Ok(3 << 19));
        assert_eq!(parse("800MB"), Ok(800_000_000));
        for wrong in ["2", "GiB", "-1GiB", "nanGiB", "1e99GiB", ""] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
