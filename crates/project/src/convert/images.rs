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
    /// In the order of their times.
    fields: Vec<&'a Field>,
    /// Which of them shows each time; `None` where one is missing.
    times: Vec<Option<usize>>,
    /// Which channels of the data set it has, and what they are called.
    channels: Vec<(usize, String)>,
    /// The plate, and where it lies in it.
    pub(super) place: Option<(String, ZarrField)>,
}

/// The images of a data set in the order of its fields.
pub(super) fn images_of(set: &Dataset) -> Vec<Shown<'_>> {
    let mut images: Vec<Shown> = Vec::new();
    let mut lapses: HashMap<(Option<&str>, String), usize> = HashMap::new();
    for field in &set.fields {
        // A place that was imaged again at all its times is another image of it.
        let place = (field.position.plate.as_deref(), name_without_time(field));
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
            times: Vec::new(),
            channels: Vec::new(),
            place: None,
        });
    }
    for image in &mut images {
        image.fields.sort_by_key(|field| field.time);
        if image.fields.len() > 1 {
            image.name = name_without_time(image.fields[0]);
        }
        image.times = times_of(&image.fields);
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

/// The name that a field has at all its times.
fn name_without_time(field: &Field) -> String {
    let time = field.time.map(|time| format!("_t{time:03}"));
    let cut = time.and_then(|time| field.name.strip_suffix(&time));
    cut.unwrap_or(&field.position.name).to_owned()
}

/// Which field is at each time, from the first to the last. Where most between them would be
/// missing (`t010`, `t020` are minutes), only those that are there.
fn times_of(fields: &[&Field]) -> Vec<Option<usize>> {
    let number = |field: &&Field| field.time.unwrap_or(1) as usize;
    let ends = fields.first().map(number).zip(fields.last().map(number));
    let (first, last) = ends.unwrap_or((1, 1));
    let span = last - first + 1;
    let mut times = vec![None; span.min(2 * fields.len())];
    for (k, field) in fields.iter().enumerate() {
        match times.get_mut(number(field) - first) {
            Some(time) if span < 2 * fields.len() && time.is_none() => *time = Some(k),
            _ => return (0..fields.len()).map(Some).collect(),
        }
    }
    times
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

    /// Channels with fewer planes than others, which are written as the first ones.
    pub(super) fn flat_channels(&self) -> Vec<&str> {
        let depth = |c: usize| self.fields.iter().map(|field| field.planes[c].len()).max();
        let deepest = self.channels.iter().filter_map(|(c, _)| depth(*c)).max();
        let flat = self.channels.iter().filter(|(c, _)| depth(*c) < deepest);
        flat.map(|(_, name)| name.as_str()).collect()
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
            times: self.times.len(),
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
        let field = self.times[place.time].map(|k| self.fields[k]);
        match field.and_then(|field| field.planes[c].get(place.z)) {
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use stainfree_image::Position;

    use super::*;

    fn field(name: &str, position: &str, time: u32) -> Field {
        Field {
            name: name.into(),
            position: Position {
                name: position.into(),
                plate: Some("p".into()),
                ..Position::default()
            },
            time: Some(time),
            height: 1,
            width: 1,
            planes: vec![vec![None]],
            pixel_um: None,
            metadata: BTreeMap::new(),
        }
    }

    fn set(fields: Vec<Field>) -> Dataset {
        Dataset {
            layout: String::new(),
            root: "x".into(),
            channels: vec!["BF".into()],
            transmitted: BTreeMap::new(),
            fields,
            problems: Vec::new(),
        }
    }

    #[test]
    fn a_place_that_was_imaged_twice_is_two_images_at_their_own_times() {
        let twice = ["a", "b"].map(|of| {
            [1, 2].map(|time| field(&format!("{of}_B02_s1_t{time:03}"), "p_B02_s1", time))
        });
        let set = set(twice.concat());
        let images = images_of(&set);
        let names: Vec<&str> = images.iter().map(|image| image.name.as_str()).collect();
        assert_eq!(names, ["a_B02_s1", "b_B02_s1"]);
        assert!(images.iter().all(|image| image.times == [Some(0), Some(1)]));
    }

    #[test]
    fn a_time_that_is_missing_stays_so_and_numbers_that_are_no_count_are_closed_up() {
        let times = |numbers: &[u32]| {
            let fields = numbers
                .iter()
                .map(|&time| field(&format!("a_t{time:03}"), "a", time));
            let set = set(fields.collect());
            images_of(&set)[0].times.clone()
        };
        assert_eq!(times(&[1, 2, 4]), [Some(0), Some(1), None, Some(2)]);
        assert_eq!(times(&[10, 20, 30]), [Some(0), Some(1), Some(2)]);
        assert_eq!(times(&[7]), [Some(0)]);
    }
}
