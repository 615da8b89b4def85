//! CellProfiler's names for what it measures alike.
//!
//! Read from `MeasureObjectSizeShape` and `MeasureObjectIntensity` of CellProfiler 4: shapes are
//! scikit-image's `regionprops` there as well. What has another definition keeps its own name:
//! orientation (degrees there), Feret diameters, the median and the quartiles (another rank),
//! neighbours, textures. Intensities are as the files store them, where CellProfiler brings them to
//! 0 to 1. docs/measure.md lists all of this.

use super::cells::ColumnType;

/// Columns before the measured ones. CellProfiler sorts its own by name, so that no table of its
/// own begins like this.
pub(super) const FIRST: [(&str, ColumnType); 7] = [
    ("ImageNumber", ColumnType::Integer),
    ("ObjectNumber", ColumnType::Integer),
    ("Metadata_Plate", ColumnType::Text),
    ("Metadata_Well", ColumnType::Text),
    ("Metadata_Site", ColumnType::Integer),
    ("Metadata_T", ColumnType::Integer),
    ("Metadata_Field", ColumnType::Text),
];

/// Parts of a cell, ours and CellProfiler's usual name of such objects.
const PARTS: [(&str, &str); 3] = [("cell_", "Cells_"), ("cytoplasm_", "Cytoplasm_"), ("", "")];

/// Shapes.
const SHAPES: [(&str, &str); 17] = [
    ("area", "AreaShape_Area"),
    ("centroid-0", "Location_Center_Y"),
    ("centroid-1", "Location_Center_X"),
    ("equivalent_diameter_area", "AreaShape_EquivalentDiameter"),
    ("axis_major_length", "AreaShape_MajorAxisLength"),
    ("axis_minor_length", "AreaShape_MinorAxisLength"),
    ("eccentricity", "AreaShape_Eccentricity"),
    ("bbox-0", "AreaShape_BoundingBoxMinimum_Y"),
    ("bbox-1", "AreaShape_BoundingBoxMinimum_X"),
    ("bbox-2", "AreaShape_BoundingBoxMaximum_Y"),
    ("bbox-3", "AreaShape_BoundingBoxMaximum_X"),
    ("area_bbox", "AreaShape_BoundingBoxArea"),
    ("extent", "AreaShape_Extent"),
    ("perimeter", "AreaShape_Perimeter"),
    ("euler_number", "AreaShape_EulerNumber"),
    ("area_convex", "AreaShape_ConvexArea"),
    ("solidity", "AreaShape_Solidity"),
];

/// Intensities, before the name of the channel.
const INTENSITIES: [(&str, &str); 5] = [
    ("intensity_mean", "Intensity_MeanIntensity"),
    ("intensity_std", "Intensity_StdIntensity"),
    ("intensity_min", "Intensity_MinIntensity"),
    ("intensity_max", "Intensity_MaxIntensity"),
    ("intensity_sum", "Intensity_IntegratedIntensity"),
];

/// What CellProfiler calls a column; the name itself where it has none of this meaning.
pub(super) fn name(ours: &str, channels: &[String]) -> String {
    for (part, theirs) in PARTS {
        let Some(rest) = ours.strip_prefix(part) else {
            continue;
        };
        let shape = SHAPES.iter().find(|(shape, _)| *shape == rest);
        let known = shape.map(|(_, shape)| (*shape).to_owned());
        if let Some(known) = known.or_else(|| intensity(rest, channels)) {
            return format!("{theirs}{known}");
        }
    }
    ours.to_owned()
}

/// An intensity with the name of its channel, which our columns have where there are several.
fn intensity(ours: &str, channels: &[String]) -> Option<String> {
    INTENSITIES.iter().find_map(|(kind, theirs)| {
        let rest = ours.strip_prefix(kind)?;
        let channel = match channels {
            [only] => Some(only).filter(|_| rest.is_empty()),
            several => several
                .iter()
                .find(|name| rest.strip_prefix('_') == Some(name)),
        };
        Some(format!("{theirs}_{}", channel?))
    })
}

#[cfg(test)]
mod tests {
    use super::name;

    #[test]
    fn what_means_the_same_is_renamed_and_the_rest_is_not() {
        let several = ["DAPI".to_owned(), "std_BF".to_owned()];
        for (ours, theirs) in [
            ("area", "AreaShape_Area"),
            ("cell_centroid-1", "Cells_Location_Center_X"),
            ("cytoplasm_area", "Cytoplasm_AreaShape_Area"),
            ("intensity_mean_DAPI", "Intensity_MeanIntensity_DAPI"),
            (
                "cytoplasm_intensity_sum_std_BF",
                "Cytoplasm_Intensity_IntegratedIntensity_std_BF",
            ),
            ("intensity_mean_net_DAPI", "intensity_mean_net_DAPI"),
            ("intensity_median_DAPI", "intensity_median_DAPI"),
            ("ring_intensity_mean_DAPI", "ring_intensity_mean_DAPI"),
            ("area_um2", "area_um2"),
            ("orientation", "orientation"),
            ("cell_label", "cell_label"),
        ] {
            assert_eq!(name(ours, &several), theirs);
        }
        let only = &several[..1];
        assert_eq!(name("intensity_max", only), "Intensity_MaxIntensity_DAPI");
        assert_eq!(name("intensity_mean_net", only), "intensity_mean_net");
    }
}
