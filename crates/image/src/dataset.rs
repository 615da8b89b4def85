//! Fields and the data set they make: where each plane lies, and how it is read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::{ImageError, Plane, PlaneRef, Position};

/// One field: one site of a well at one time, in all its channels and planes.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// The name that results carry: the file name without extension, or `WELL_sSITE` on plates,
    /// with `_tNNN` in time-lapse. Unique within a data set.
    pub name: String,
    /// The place that the field shows.
    pub position: Position,
    /// The time point, from 1, in time-lapse: from a layout, a file's axis of time, or names of
    /// which several differ in nothing but a time (`a_t001`, `a_t002`).
    pub time: Option<u32>,
    /// Rows in pixels, the same for all planes.
    pub height: usize,
    /// Columns in pixels, the same for all planes.
    pub width: usize,
    /// `[channel][z]`, with one entry per channel of the data set; `None` where a plane is missing.
    pub planes: Vec<Vec<Option<PlaneRef>>>,
    /// Pixel size in µm; `None` where none is stated.
    pub pixel_um: Option<f64>,
    /// Values of the JSON sidecar (nested keys joined by dots) and columns of `fields.csv`.
    pub metadata: BTreeMap<String, String>,
}

impl Field {
    /// Reads plane `z` of `channel`, both from 0.
    ///
    /// # Errors
    /// [`ImageError::Misuse`] if there is no such channel or plane, or it is missing;
    /// [`ImageError::Broken`] if the file has changed its size since it was opened; and the errors
    /// of [`crate::read_plane`].
    pub fn read(&self, channel: usize, z: usize) -> Result<Plane, ImageError> {
        let source = self.plane(channel, z)?;
        let plane = source.read()?;
        if plane.size() != (self.height, self.width) {
            let (height, width) = plane.size();
            return Err(ImageError::broken(
                source.location(),
                format!(
                    "page {} is {height} x {width} and was {} x {} when the folder was opened",
                    source.part(),
                    self.height,
                    self.width
                ),
            ));
        }
        Ok(plane)
    }

    /// Plane `z` of `channel`, both from 0, to be read in part or asked for its [`crate::Stamp`].
    ///
    /// # Errors
    /// [`ImageError::Misuse`] if there is no such channel or plane, or it is missing.
    pub fn plane(&self, channel: usize, z: usize) -> Result<&PlaneRef, ImageError> {
        let planes = self.planes.get(channel).ok_or_else(|| ImageError::Misuse {
            what: format!(
                "field `{}` has no channel number {channel} (it has {}, counted from 0)",
                self.name,
                self.planes.len()
            ),
            way_out: "choose one of its channels".into(),
        })?;
        let place = planes.get(z).ok_or_else(|| ImageError::Misuse {
            what: format!(
                "channel number {channel} of field `{}` has no plane {z} (it has {}, counted from \
                 0)",
                self.name,
                planes.len()
            ),
            way_out: "choose one of its planes".into(),
        })?;
        place.as_ref().ok_or_else(|| ImageError::Misuse {
            what: format!(
                "plane {z} of channel number {channel} is missing in field `{}`",
                self.name
            ),
            way_out: "add the image or leave the field out".into(),
        })
    }

    /// Whether every plane of `channel` is there.
    pub fn is_complete(&self, channel: usize) -> bool {
        self.planes
            .get(channel)
            .is_some_and(|planes| !planes.is_empty() && planes.iter().all(Option::is_some))
    }
}

/// All fields found at one place.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// The name of the layout that was recognised.
    pub layout: String,
    /// The folder or file that was opened.
    pub root: PathBuf,
    /// Channel names, unique; every field has one entry for each in [`Field::planes`].
    pub channels: Vec<String>,
    /// Of channels of which the files say it: whether they were taken in transmitted light
    /// (where files differ, whether any says so).
    pub transmitted: BTreeMap<String, bool>,
    /// The fields in natural order of their names.
    pub fields: Vec<Field>,
    /// What is missing or odd, each a sentence; the fields that remain can be used.
    pub problems: Vec<String>,
}

impl Dataset {
    /// Names of the channels of which files say that they were taken in transmitted light (`true`)
    /// or in another (`false`), in the order of the channels.
    pub fn said_to_be(&self, transmitted: bool) -> Vec<&str> {
        let said = |name: &&String| self.transmitted.get(*name) == Some(&transmitted);
        self.channels
            .iter()
            .filter(said)
            .map(String::as_str)
            .collect()
    }

    /// The number of different places; smaller than the number of fields in time-lapse.
    pub fn places(&self) -> usize {
        let place = |field: &Field| {
            let Position { plate, name, .. } = field.position.clone();
            (plate, name)
        };
        let places: BTreeSet<_> = self.fields.iter().map(place).collect();
        places.len()
    }

    /// The number of the channel called `name`.
    ///
    /// # Errors
    /// [`ImageError::Misuse`] listing the channels there are.
    pub fn channel(&self, name: &str) -> Result<usize, ImageError> {
        self.channels
            .iter()
            .position(|channel| channel == name)
            .ok_or_else(|| {
                let known: Vec<String> = self
                    .channels
                    .iter()
                    .map(|channel| format!("`{channel}`"))
                    .collect();
                ImageError::Misuse {
                    what: format!("`{}` has no channel `{name}`", self.root.display()),
                    way_out: format!("choose from its channels: {}", known.join(", ")),
                }
            })
    }
}

/// What the user knows about the images that the files do not say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OpenOptions {
    /// How names of TIFF and PNG files are to be read, whatever wrote them: a regular expression
    /// for the path below the folder (parts divided by `/`) without its extension. Its groups are
    /// `name`, or `well` (or `row` and `column`) and `site`; `channel`, `z` and `time`. Folders
    /// below are read where it has a `/`. Files that do not match are left out and reported.
    pub pattern: Option<String>,
    /// Pixel size in µm, which overrides what the files say.
    pub pixel_um: Option<f64>,
}
