//! Pixel sizes as they are shown.

/// A pixel size in um to six digits, for sentences and tables: without those that come from
/// dividing (`0.65`, where a file's pixels per centimetre give 0.6499999999999999).
pub fn rounded_um(um: f64) -> f64 {
    if um == 0.0 || !um.is_finite() {
        return um;
    }
    let digits = (6 - um.abs().log10().ceil() as i32).max(0) as usize;
    // Through text: a product and a quotient would bring digits back in.
    format!("{um:.digits$}").parse().unwrap_or(um)
}

#[cfg(test)]
mod tests {
    use super::rounded_um;

    #[test]
    fn digits_that_come_from_dividing_are_not_shown() {
        for (um, shown) in [
            (0.6499999999999999, "0.65"),
            (0.325, "0.325"),
            (1.0 / 3.0, "0.333333"),
            (0.012300000000000002, "0.0123"),
            (13.550400000000001, "13.5504"),
            (1e-9 / 3.0, "0.000000000333333"),
            (353.0, "353"),
            (25_400_000.4, "25400000"),
            (-0.6499999999999999, "-0.65"),
            (0.0, "0"),
            (f64::INFINITY, "inf"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(rounded_um(um).to_string(), shown);
        }
    }
}
