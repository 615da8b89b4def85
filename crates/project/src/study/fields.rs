//! `fields.csv`: one row a field, with its part of the split, what was found in it and whether it
//! is usable.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::ProjectError;
use crate::study::split::Part;

/// Name of the table in the study's folder.
pub const FILE_NAME: &str = "fields.csv";

/// One field of a study after `prepare`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FieldRow {
    /// Name of the field.
    pub name: String,
    /// Group that stays together in the split.
    pub group: String,
    /// Well, where there are wells.
    pub well: Option<String>,
    /// Site within the well.
    pub site: Option<u32>,
    /// Part of the split; empty for a field that is not usable.
    pub split: Option<Part>,
    /// Whether the field trains and scores.
    pub usable: Usable,
    /// Why it is not usable, or what looks odd about it; `; ` between several.
    pub remarks: String,
    /// Whether its nuclei are the automatic ones or were corrected by hand; empty for a field that
    /// was left out.
    #[serde(default)]
    pub nuclei_from: Option<NucleiBy>,
    /// Rows in pixels.
    pub height: usize,
    /// Columns in pixels.
    pub width: usize,
    /// Pixel size in um, where known.
    pub pixel_um: Option<f64>,
    /// Number of nuclei in the truth.
    pub nuclei: usize,
    /// Share of the kept pixels that is nucleus.
    pub nucleus_share: f64,
    /// Share of the kept pixels that is cytoplasm, where the truth has that class.
    pub cytoplasm_share: Option<f64>,
    /// Share of all pixels that is ignored.
    pub ignored_share: f64,
    /// Share of all pixels at which brightfield or stain show nothing (regions of one value or
    /// without numbers, such as the rim of a stitched image); they are among the ignored ones.
    #[serde(default)]
    pub blank_share: f64,
    /// Threshold on the nuclear stain, in its units above the background.
    pub nucleus_threshold: Option<f64>,
    /// Threshold on the cytoplasmic stain, in its units above the background.
    pub cytoplasm_threshold: Option<f64>,
    /// How far down the nuclear stain lay and was moved back, pixels; empty where it was left.
    pub nucleus_dy_px: Option<f64>,
    /// And how far right.
    pub nucleus_dx_px: Option<f64>,
    /// Uncertainty of that shift (95 %), pixels.
    pub nucleus_shift_radius_px: Option<f64>,
    /// How far down the cytoplasmic stain lay and was moved back, pixels; empty where it was left.
    pub cytoplasm_dy_px: Option<f64>,
    /// And how far right.
    pub cytoplasm_dx_px: Option<f64>,
    /// Uncertainty of that shift (95 %), pixels.
    pub cytoplasm_shift_radius_px: Option<f64>,
    /// Number of nuclei the truth calls mitotic, where they are looked for.
    pub mitotic: Option<usize>,
    /// Words and numbers of the verdicts on the nuclear stain; `; ` between several.
    #[serde(default)]
    pub nucleus_verdicts: String,
    /// The same of the cytoplasmic stain.
    #[serde(default)]
    pub cytoplasm_verdicts: String,
    /// How doubtful the truth is: the worst number over its limit, 0 without a verdict; unusable
    /// fields above 1e6.
    #[serde(default)]
    pub concern: f64,
    /// Contrast of the nuclear stain over its noise.
    pub nucleus_signal_to_noise: Option<f64>,
    /// Share of the nucleus mask at the image's largest value.
    pub nucleus_saturated_share: Option<f64>,
    /// Width of the edges of the nuclei, pixels.
    pub nucleus_edge_width_px: Option<f64>,
    /// Relative change of the mask when the threshold moves by 10 % either way.
    pub nucleus_threshold_slope: Option<f64>,
    /// Share of the nuclei that are specks.
    pub debris_share: Option<f64>,
    /// Contrast of the cytoplasmic stain over its noise.
    pub cytoplasm_signal_to_noise: Option<f64>,
    /// Share of the cytoplasm mask at the image's largest value.
    pub cytoplasm_saturated_share: Option<f64>,
    /// Width of the edges of the cells, pixels.
    pub cytoplasm_edge_width_px: Option<f64>,
    /// Relative change of the mask when the threshold moves by 10 % either way.
    pub cytoplasm_threshold_slope: Option<f64>,
    /// Correlation of the fine structure of both stains inside nuclei.
    pub bleed_through: Option<f64>,
}

/// Who drew the nuclei of a field's truth; written as `automatic` and `corrected`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NucleiBy {
    /// Made from the stain, or taken from the given masks or labels.
    Automatic,
    /// Corrected by hand.
    Corrected,
}

/// Whether a field can be used; written as `yes` and `no`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Usable {
    /// It trains and scores.
    Yes,
    /// It is left out.
    No,
}

impl FieldRow {
    /// A field that is left out, with the reason.
    pub(crate) fn left_out(name: &str, group: &str, reason: String) -> Self {
        Self {
            name: name.to_owned(),
            group: group.to_owned(),
            well: None,
            site: None,
            split: None,
            usable: Usable::No,
            remarks: reason,
            nuclei_from: None,
            height: 0,
            width: 0,
            pixel_um: None,
            nuclei: 0,
            nucleus_share: 0.0,
            cytoplasm_share: None,
            ignored_share: 0.0,
            blank_share: 0.0,
            nucleus_threshold: None,
            cytoplasm_threshold: None,
            nucleus_dy_px: None,
            nucleus_dx_px: None,
            nucleus_shift_radius_px: None,
            cytoplasm_dy_px: None,
            cytoplasm_dx_px: None,
            cytoplasm_shift_radius_px: None,
            mitotic: None,
            nucleus_verdicts: String::new(),
            cytoplasm_verdicts: String::new(),
            concern: 0.0,
            nucleus_signal_to_noise: None,
            nucleus_saturated_share: None,
            nucleus_edge_width_px: None,
            nucleus_threshold_slope: None,
            debris_share: None,
            cytoplasm_signal_to_noise: None,
            cytoplasm_saturated_share: None,
            cytoplasm_edge_width_px: None,
            cytoplasm_threshold_slope: None,
            bleed_through: None,
        }
    }

    /// Whether the field trains and scores.
    pub fn is_usable(&self) -> bool {
        self.usable == Usable::Yes
    }
}

/// Writes the table.
///
/// # Errors
/// The file cannot be written.
pub fn write(path: &Path, rows: &[FieldRow]) -> Result<(), ProjectError> {
    crate::study::table::write(path, rows)
}

/// Reads the table.
///
/// # Errors
/// The file is missing or was changed into something else.
pub fn read(path: &Path) -> Result<Vec<FieldRow>, ProjectError> {
    let texts = [
        "name",
        "group",
        "well",
        "remarks",
        "nucleus_verdicts",
        "cytoplasm_verdicts",
    ];
    crate::study::table::read(path, &texts, "delete it and prepare again")
}

/// The same where the table may not be there yet: then there are no rows.
///
/// # Errors
/// It is there and damaged: what a person typed into it would be lost if it counted as empty.
pub(crate) fn read_if_there(path: &Path) -> Result<Vec<FieldRow>, ProjectError> {
    match path.try_exists() {
        Ok(false) => Ok(Vec::new()),
        _ => read(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_survive_the_file_with_empty_cells_and_odd_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        let rows = [
            FieldRow {
                split: Some(Part::Validation),
                usable: Usable::Yes,
                well: Some("B02".into()),
                site: Some(1),
                pixel_um: Some(0.325),
                nuclei_from: Some(NucleiBy::Corrected),
                ..FieldRow::left_out("a, \"b\"", "g", "x; y".into())
            },
            FieldRow::left_out("ü", "", String::new()),
        ];
        write(&path, &rows).unwrap();
        assert_eq!(read(&path).unwrap(), rows);
        // As Excel saves it where numbers have a decimal comma.
        let excel = std::fs::read_to_string(&path).unwrap();
        let excel = excel
            .replace("\"a, \"\"b\"\"\"", "c")
            .replace("x; y", "\"x; y\"")
            .replace(',', ";")
            .replace("0.325", "0,325")
            .replace(";yes;", ";YES;")
            .replace('\n', "\r\n");
        std::fs::write(&path, format!("\u{FEFF}{excel};;;\r\n")).unwrap();
        let read_again = read(&path).unwrap();
        assert_eq!(read_again[0].pixel_um, Some(0.325));
        assert_eq!((read_again[0].usable, read_again.len()), (Usable::Yes, 2));
        assert_eq!(read_again[1], rows[1]);
        std::fs::write(&path, "name,group\na,b\n").unwrap();
        assert!(
            read(&path)
                .unwrap_err()
                .to_string()
                .contains("prepare again")
        );
    }
}
