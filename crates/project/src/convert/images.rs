//! The images of a data set as they are written: all times of a place in one.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use stainfree_image::write::{
    OmeTiff, PixelType, PlaneOf, Samples, Shrink, ZarrField, ZarrMore, ome_tiff, ome_zarr,
};
use stainfree_image::{Dataset, Field};

use super::Format;
use crate::study::fingerprint::Fingerprint;
use crate::{Cancel, ProjectError};

/// One place in all its channels and planes, at all its times.
pub(super) struct Shown<'a> {
    pub(super) name: String,
    /// One for each time.
    fields: Vec<&'a Field>,
    /// Which channels of the data set it has, and what they are called.
    channels: Vec<(usize, String)>,
    /// The plate, and where it lies in it.
    pub(super) place: Option<(String, ZarrField)>,
}

/// The images of a data set in the order of its fields.
pub(super) fn images_of(set: &Dataset) -> Vec<Shown<'_>> {
    let mut images: Vec<Shown> = Vec::new();
    let mut lapses: HashMap<(Option<&str>, &str), usize> = HashMap::new();
    for field in &set.fields {
        let place = (
            field.position.plate.as_deref(),
            field.position.name.as_str(),
        );
        if let Some(at) = lapses.get(&place).filter(|_| field.time.is_some()) {
            images[*at].fields.push(field);
            continue;
        }
        if field.time.is_some() {
            lapses.insert(place, images.len());
        }
        images.push(Shown {
            name: field.name.clone(),
            fields: vec![field],
            channels: Vec::new(),
            place: None,
        });
    }
    for image in &mut images {
        image.fields.sort_by_key(|field| field.time);
        if image.fields.len() > 1 {
            image.name.clone_from(&image.fields[0].position.name);
        }
        let has = |c: usize| {
            let planes = image.fields.iter().flat_map(|field| &field.planes[c]);
            planes.flatten().next().is_some()
        };
        let named = set.channels.iter().cloned().enumerate();
        image.channels = named.filter(|(c, _)| has(*c)).collect();
    }
    add_places(&mut images);
    images
}

/// Adds where images lie in their plates; those of a well are counted from 0.
fn add_places(images: &mut [Shown]) {
    let mut counted = BTreeMap::new();
    for image in images {
        let position = &image.fields[0].position;
        let (Some(plate), Some(well)) = (&position.plate, &position.well) else {
            continue;
        };
        let Some((row, column)) = row_and_column(well) else {
            continue;
        };
        let count: &mut usize = counted.entry((plate, well)).or_default();
        let field = ZarrField {
            row: row.to_owned(),
            column: column.to_owned(),
            image: count.to_string(),
        };
        *count += 1;
        image.place = Some((plate.clone(), field));
    }
}

/// `B03` as `B` and `03`.
fn row_and_column(well: &str) -> Option<(&str, &str)> {
    let split = well.find(|c: char| !c.is_ascii_alphabetic())?;
    let (row, column) = well.split_at(split);
    let is_number = column.chars().all(|c| c.is_ascii_digit());
    (!row.is_empty() && is_number).then_some((row, column))
}

impl Shown<'_> {
    /// What its file follows from: the program, the format, its planes and what is said of them.
    pub(super) fn key(&self, format: Format) -> String {
        let mut hash = Fingerprint::new(1);
        hash.text(env!("CARGO_PKG_VERSION"));
        hash.text(format.name());
        hash.text(&self.name);
        for (c, name) in &self.channels {
            hash.text(name);
            for field in &self.fields {
                hash.value(&(field.pixel_um, &field.metadata, field.time));
                hash.value(
                    &field.planes[*c]
                        .iter()
                        .map(Option::is_some)
                        .collect::<Vec<_>>(),
                );
                field.planes[*c]
                    .iter()
                    .flatten()
                    .for_each(|plane| hash.plane(plane));
            }
        }
        hash.finish_short(8)
    }

    /// A number among the facts of its fields.
    fn fact(&self, key: &str) -> Option<f64> {
        self.fields[0].metadata.get(key)?.parse().ok()
    }

    fn described(&self, pixel_type: PixelType) -> OmeTiff {
        let depth = |(c, _): &(usize, String)| {
            let depths = self.fields.iter().map(|field| field.planes[*c].len());
            depths.max().unwrap_or(0)
        };
        let first = self.fields[0];
        OmeTiff {
            name: self.name.clone(),
            text: String::new(),
            size: (first.height, first.width),
            planes: self.channels.iter().map(depth).max().unwrap_or(0),
            times: self.fields.len(),
            channels: self.channels.iter().map(|(_, name)| name.clone()).collect(),
            pixel_type,
            pixel_um: first.pixel_um,
            z_step_um: self.fact("z_step_um"),
            shrink: Shrink::Mean,
        }
    }

    /// The plane at a place; `None` where there is none.
    fn read(&self, place: PlaneOf) -> Result<Option<Samples>, ProjectError> {
        let (c, _) = self.channels[place.channel];
        match self.fields[place.time].planes[c].get(place.z) {
            Some(Some(plane)) => Ok(Some(plane.read()?.into())),
            _ => Ok(None),
        }
    }

    /// Writes it to `path`, in the narrowest type that its planes have. What a plane's type is
    /// shows when it is read, so where one is wider than those before it is begun anew.
    pub(super) fn write(
        &self,
        path: &Path,
        format: Format,
        key: &str,
        cancel: &Cancel,
    ) -> Result<(), ProjectError> {
        let mut pixel_type = PixelType::U8;
        loop {
            let found = Cell::new(pixel_type);
            let written = self.write_as(
                path,
                format,
                key,
                |place| {
                    cancel.check()?;
                    let samples = self.read(place)?;
                    if let Some(samples) = &samples {
                        found.set(found.get().max(samples.pixel_type()));
                    }
                    match found.get() == pixel_type {
                        true => Ok(samples),
                        false => Err(ProjectError::Failed("a wider type of pixels".to_owned())),
                    }
                },
                pixel_type,
            );
            match found.get() {
                same if same == pixel_type => return written,
                wider => pixel_type = wider,
            }
        }
    }

    fn write_as(
        &self,
        path: &Path,
        format: Format,
        key: &str,
        plane: impl FnMut(PlaneOf) -> Result<Option<Samples>, ProjectError>,
        pixel_type: PixelType,
    ) -> Result<(), ProjectError> {
        let image = self.described(pixel_type);
        match format {
            Format::OmeTiff => ome_tiff(path, &image, plane),
            Format::OmeZarr => {
                let said = serde_json::json!({ "program": env!("CARGO_PKG_VERSION"), "key": key });
                let more = ZarrMore {
                    time_step_s: self.fact("time_step_s"),
                    attributes: [(super::OURS.to_owned(), said)].into(),
                };
                ome_zarr(path, &image, &more, plane)
            }
        }
    }
}
