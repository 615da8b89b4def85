//! The texts of an ImageXpress export: the HTD file and the description of every plane.

use crate::field::SimulatedField;
use crate::names::{CHANNELS, PlateNames};
use crate::spec::PlateSpec;

/// Distance in um of neighbouring wells of a 96-well and a 384-well plate (ANSI/SLAS 4-2004).
const WELL_PITCH_UM: [f64; 2] = [9000.0, 4500.0];
/// Height in um of the nominal focal plane in the stage's coordinates; any real plate has some.
const STAGE_HEIGHT_UM: f64 = 9000.0;

/// Columns and rows of the grid of sites.
fn site_grid(spec: &PlateSpec) -> (usize, usize) {
    let columns = (1..).find(|c| c * c >= spec.sites).unwrap_or(1);
    (columns, spec.sites.div_ceil(columns))
}

/// Number of waves.
fn waves(spec: &PlateSpec) -> usize {
    if spec.unstained { 1 } else { CHANNELS.len() }
}

/// The HTD file of a plate.
pub(crate) fn htd(spec: &PlateSpec, names: &PlateNames) -> String {
    let mut text = String::new();
    let mut line = |key: &str, value: &str| {
        text.push_str(&format!("\"{key}\", {value}\r\n"));
    };
    let flag = |on: bool| if on { "TRUE" } else { "FALSE" };
    let flags = |on: Vec<bool>| on.into_iter().map(flag).collect::<Vec<_>>().join(", ");
    let (rows, columns) = spec.plate_shape();
    let (x_sites, y_sites) = site_grid(spec);
    let places: Vec<_> = (0..spec.wells).map(|well| spec.well_place(well)).collect();
    line("HTSInfoFile", "Version 1.0");
    line("Description", &format!("\"simulated, seed {}\"", spec.seed));
    line("PlateType", if spec.wells <= 96 { "2" } else { "3" });
    line("TimePoints", "1");
    line("ZSeries", flag(spec.planes > 1));
    line(
        "ZSteps",
        &if spec.planes > 1 { spec.planes } else { 0 }.to_string(),
    );
    line("ZProjection", "FALSE");
    line("XWells", &columns.to_string());
    line("YWells", &rows.to_string());
    for row in 0..rows {
        let on = (0..columns)
            .map(|column| places.contains(&(row, column)))
            .collect();
        line(&format!("WellsSelection{}", row + 1), &flags(on));
    }
    line("Sites", "TRUE");
    line("XSites", &x_sites.to_string());
    line("YSites", &y_sites.to_string());
    for row in 0..y_sites {
        let on = (0..x_sites)
            .map(|column| row * x_sites + column < spec.sites)
            .collect();
        line(&format!("SiteSelection{}", row + 1), &flags(on));
    }
    line("Waves", "TRUE");
    line("NWavelengths", &waves(spec).to_string());
    for (i, name) in CHANNELS.iter().take(waves(spec)).enumerate() {
        line(&format!("WaveName{}", i + 1), &format!("\"{name}\""));
    }
    for i in 1..=waves(spec) {
        line(&format!("WaveCollect{i}"), "1");
    }
    line(
        "UniquePlateIdentifier",
        &format!("\"{}\"", names.identifier),
    );
    text.push_str("\"EndFile\"\r\n");
    text
}

/// The MetaXpress description of one plane: `wave` from 0, `step` from 1 in a stack, `height_um`
/// relative to the nominal plane.
pub(crate) fn plane_description(
    spec: &PlateSpec,
    names: &PlateNames,
    field: &SimulatedField,
    well: usize,
    wave: usize,
    step: Option<usize>,
    height_um: f64,
) -> String {
    let mut text = String::from("<MetaData>\n");
    let version = env!("CARGO_PKG_VERSION");
    let (row, column) = spec.well_place(well);
    let (x_sites, _) = site_grid(spec);
    let site = field.site as usize - 1;
    let (site_y, site_x) = (site / x_sites, site % x_sites);
    let pitch = WELL_PITCH_UM[usize::from(spec.wells > 96)];
    let width_um = spec.side as f64 * spec.pixel_um;
    let stage_x = (column as f64 + 0.5) * pitch + site_x as f64 * width_um;
    let stage_y = (row as f64 + 0.5) * pitch + site_y as f64 * width_um;
    let side = spec.side.to_string();
    let pixel = spec.pixel_um.to_string();
    let emission = ["550", "460", "600"][wave];
    let stage_z = format!("{:.2}", STAGE_HEIGHT_UM + height_um);

    let about = format!(
        "Plate Name: {}&#13;&#10;Simulated, seed {}&#13;&#10;",
        names.plate, spec.seed
    );
    let of_image = [
        ("Description", "string", about.as_str()),
        ("MetaDataVersion", "float", "1"),
        ("ApplicationName", "string", "stainfree simulate"),
        ("ApplicationVersion", "string", version),
    ];
    for (id, kind, value) in of_image {
        prop(&mut text, "prop", id, kind, value);
    }
    text.push_str("<PlaneInfo>\n");
    let x_text = format!("{stage_x:.2}");
    let y_text = format!("{stage_y:.2}");
    let label = format!("{} : Site {}", field.well, field.site);
    let aperture = spec.optics.objective_na.to_string();
    let [in_x, in_y] = [site_x, site_y].map(|at| (at + 1).to_string());
    let of_plane = [
        ("prop", "plane-type", "string", "plane"),
        ("prop", "pixel-size-x", "int", side.as_str()),
        ("prop", "pixel-size-y", "int", side.as_str()),
        ("prop", "bits-per-pixel", "int", "16"),
        ("prop", "spatial-calibration-state", "bool", "on"),
        ("prop", "spatial-calibration-x", "float", pixel.as_str()),
        ("prop", "spatial-calibration-y", "float", pixel.as_str()),
        ("prop", "spatial-calibration-units", "string", "um"),
        ("prop", "image-name", "string", CHANNELS[wave]),
        ("prop", "stage-position-x", "float", x_text.as_str()),
        ("prop", "stage-position-y", "float", y_text.as_str()),
        ("prop", "stage-label", "string", label.as_str()),
        ("prop", "z-position", "float", stage_z.as_str()),
        ("prop", "wavelength", "float", emission),
        ("prop", "camera-binning-x", "int", "1"),
        ("prop", "camera-binning-y", "int", "1"),
        ("prop", "_IllumSetting_", "string", CHANNELS[wave]),
        ("prop", "_MagNA_", "float", aperture.as_str()),
        ("prop", "_MagRI_", "float", "1"),
        (
            "custom-prop",
            "ImageXpress Micro X",
            "float",
            x_text.as_str(),
        ),
        (
            "custom-prop",
            "ImageXpress Micro Y",
            "float",
            y_text.as_str(),
        ),
        (
            "custom-prop",
            "ImageXpress Micro Z",
            "float",
            stage_z.as_str(),
        ),
        ("custom-prop", "SiteX", "float", in_x.as_str()),
        ("custom-prop", "SiteY", "float", in_y.as_str()),
    ];
    for (tag, id, kind, value) in of_plane {
        prop(&mut text, tag, id, kind, value);
    }
    if let Some(step) = step {
        prop(
            &mut text,
            "custom-prop",
            "Z Step",
            "float",
            &step.to_string(),
        );
    }
    text.push_str("</PlaneInfo>\n</MetaData>\n");
    text
}

/// Adds one property. Ids and values are plain ASCII without quotes or markup.
fn prop(text: &mut String, tag: &str, id: &str, kind: &str, value: &str) {
    text.push_str(&format!(
        "<{tag} id=\"{id}\" type=\"{kind}\" value=\"{value}\"/>\n"
    ));
}
