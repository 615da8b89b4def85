//! Units and small pieces that the descriptions inside TIFF files have in common.

/// `value` in `unit` as µm; `None` for units that are no length, and for values that are no size.
pub(super) fn length_um(value: f64, unit: &str) -> Option<f64> {
    let factor = match unit.trim() {
        "um" | "µm" | "μm" | "micron" | "microns" | "micrometer" | "micrometre" => 1.0,
        "nm" | "nanometer" => 1e-3,
        "mm" | "millimeter" => 1e3,
        "cm" => 1e4,
        "m" => 1e6,
        "pm" => 1e-6,
        "Å" => 1e-4,
        _ => return None,
    };
    let um = value * factor;
    (um.is_finite() && um > 0.0).then_some(um)
}

/// The pixel size where both directions agree to one part in a thousand; otherwise a sentence.
pub(super) fn square(x_um: f64, y_um: f64) -> Result<f64, String> {
    if (x_um - y_um).abs() <= 1e-3 * x_um.max(y_um) {
        Ok(x_um)
    } else {
        Err(format!(
            "its pixels are not square ({y_um} x {x_um} um), so no pixel size is taken"
        ))
    }
}
