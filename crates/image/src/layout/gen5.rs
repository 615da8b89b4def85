//! Images that Gen5 exports from a Cytation or Lionheart: `B3_01_1_1_Bright Field_001.tif`.
//!
//! Well, step of the protocol, number of the channel within it, field, channel, time. Steps may
//! differ in their objective, so they are data of their own of the same places; negative ones are
//! what the program made of others (`B3_-1_1_1_Stitched[Bright Field]_001.tif`). Each file has a
//! description in XML with the width of the image in pixels and um. (Names and description as
//! several public analyses read them; no real file was at hand.)

use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;

use super::taken::{Taken, found, images_at};
use super::{Found, Layout};
use crate::ImageError;
use crate::format::description::number;
use crate::names::{folder_name, folder_of, printed_well, stem};
use crate::xml::{Met, walk_in};

pub(super) struct Gen5;

impl Layout for Gen5 {
    fn name(&self) -> &'static str {
        "gen5"
    }

    fn recognise(&self, path: &Path) -> Result<bool, ImageError> {
        let images = images_at(path, |image| taken(image).is_some())?;
        Ok(!images.is_empty())
    }

    fn read(&self, path: &Path) -> Result<Found, ImageError> {
        let images = images_at(path, |image| taken(image).is_some())?;
        let mut all: Vec<(i32, Taken)> = images.iter().filter_map(|one| taken(one)).collect();
        let several = |different: &dyn Fn(&(i32, Taken)) -> bool| all.iter().any(different);
        let steps = all.first().map(|(step, _)| *step);
        let steps = several(&|(step, _)| Some(*step) != steps);
        let plates = all.first().map(|(_, one)| one.plate.clone());
        let plates = several(&|(_, one)| Some(&one.plate) != plates.as_ref());
        for (step, one) in &mut all {
            one.of = match (plates, steps) {
                (true, true) => format!("{}_step{step}", one.plate),
                (false, true) => format!("step{step}"),
                _ => one.plate.clone(),
            };
        }
        let all = all.into_iter().map(|(_, one)| one).collect();
        Ok(found(path, all, pixel_um))
    }
}

static NAME: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = concat!(
        r"^(?<row>[A-P])(?<column>\d{1,2})_(?<step>-?\d{1,3})_\d{1,2}_(?<field>\d{1,4})_",
        r"(?<channel>[^_].*)_(?<time>\d{3,5})$"
    );
    Regex::new(pattern).expect("a valid pattern")
});

/// The step of a file, and the rest of what its name says.
fn taken(path: &Path) -> Option<(i32, Taken)> {
    let name = stem(path);
    let said = NAME.captures(&name)?;
    let plate = folder_name(folder_of(path));
    let one = Taken {
        of: plate.clone(),
        plate,
        well: printed_well(&said["row"], &said["column"])?,
        site: said["field"].parse().ok()?,
        time: said["time"].parse().ok()?,
        // Some programs have no blanks in names.
        channel: said["channel"].replace('_', " "),
        path: path.to_path_buf(),
    };
    Some((said["step"].parse().ok()?, one))
}

/// The pixel size by the description of a file.
fn pixel_um(path: &Path) -> Result<Option<f64>, String> {
    let descriptions = crate::format::descriptions(path);
    let text = descriptions
        .iter()
        .find(|text| text.contains("BTIImageMetaData"));
    let Some(text) = text else {
        return Ok(None);
    };
    let (mut pixels, mut um) = (None, None);
    let walked = walk_in(path, text.as_bytes(), |names, met| {
        if let (Met::End(text), [.., of, name]) = (met, names)
            && of == "ImageAcquisition"
        {
            match name.as_str() {
                "PixelWidth" => pixels = number(text),
                "ImageWidthMicrons" => um = number(text),
                _ => {}
            }
        }
    });
    walked.map_err(|_| "its description is damaged, so no pixel size is taken".to_string())?;
    let size = um.zip(pixels).map(|(um, pixels)| um / pixels);
    Ok(size.filter(|um| um.is_finite() && *um > 0.0))
}
