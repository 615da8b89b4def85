//! A package of bioimage.io's format: a zip with the network, an example, a picture and two texts.

use std::io::{Cursor, Write};

use stainfree_image::Image;
use stainfree_network::{Model, argmax};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::example::Example;
use super::rdf::{CARD, COVER, NETWORK, Part};
use super::{ExportOptions, card, rdf, yaml};
use crate::{ProjectError, pictures};

/// The comment at the end of the zip, by which the program knows its own.
pub(super) const NOTE: &str = "exported by stainfree";
/// Name of the description within.
const DESCRIPTION: &str = "rdf.yaml";

/// The package's bytes: the same for the same model, options and version.
///
/// # Errors
/// What is known of the model cannot be read, or a text cannot stand in a description.
pub(super) fn make(
    options: &ExportOptions,
    model: &Model,
    example: &Example,
    network: &[u8],
    remarks: &mut Vec<String>,
) -> Result<Vec<u8>, ProjectError> {
    let card = card::card(options, model, example)?;
    let part = |name: &str, bytes: Vec<u8>| Part {
        name: name.to_owned(),
        bytes,
    };
    let arrays = example.arrays().into_iter();
    let mut parts: Vec<Part> = arrays
        .map(|(name, bytes)| part(&format!("{name}.npy"), bytes))
        .collect();
    parts.push(part(COVER, cover(model, example)?));
    parts.push(part(CARD, card.into_bytes()));
    let description = rdf::description(options, model, example, network, &parts, remarks)?;
    let description = yaml::yaml(&description).into_bytes();
    let failed = |error: zip::result::ZipError| {
        ProjectError::Failed(format!("the package cannot be made: {error}"))
    };
    zipped(description, network, &parts).map_err(failed)
}

fn zipped(
    description: Vec<u8>,
    network: &[u8],
    parts: &[Part],
) -> Result<Vec<u8>, zip::result::ZipError> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let parts = parts.iter().map(|part| (&part.name[..], &part.bytes[..]));
    let all = [(DESCRIPTION, &description[..]), (NETWORK, network)].into_iter();
    for (name, bytes) in all.chain(parts) {
        // Weights do not get smaller.
        let method = match name {
            NETWORK => CompressionMethod::Stored,
            _ => CompressionMethod::Deflated,
        };
        let options = SimpleFileOptions::default()
            .compression_method(method)
            .last_modified_time(zip::DateTime::default())
            .unix_permissions(0o644);
        zip.start_file(name, options)?;
        zip.write_all(bytes)?;
    }
    zip.set_comment(NOTE)?;
    Ok(zip.finish()?.into_inner())
}

/// The example and its classes side by side.
fn cover(model: &Model, example: &Example) -> Result<Vec<u8>, ProjectError> {
    let (height, width) = example.size();
    let (_, channels, probabilities) = &example.outputs[0];
    let mask = Image::new(height, width, argmax(probabilities, *channels));
    let middle = &example.planes[example.planes.len() / 2];
    pictures::cover(middle, &mask, &model.info.classes)
}
