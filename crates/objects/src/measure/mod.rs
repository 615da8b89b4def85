//! Numbers for every object: shape, neighbours, intensities and texture, of the object and of what
//! is around it.
//!
//! A property family is one file here and one line in `FAMILIES`; the contract test
//! `tests/measure.rs` then covers it. Names and definitions are those of
//! `skimage.measure.regionprops` where it has them; docs/measure.md lists every column.
//!
//! Method: one pass over the labels makes runs of pixels, sorted by object (`regions`); everything
//! after works on the runs or the bounding box of one object, so that it costs time by object.

mod area;
mod background;
mod bounds;
mod hull;
mod intensity;
mod links;
mod moments;
mod neighbours;
mod outline;
mod parts;
mod pixels;
mod ratio;
mod regions;
mod texture;

use serde::{Deserialize, Serialize};
use stainfree_image::{Image, Plane};

use crate::error::{ObjectsError, same_size};
pub use hull::solidities;
use parts::Layer;
pub use parts::Part;
use regions::Regions;
pub use texture::TextureSettings;

/// All property families, in the order of the table's columns.
const FAMILIES: [&dyn Family; 11] = [
    &links::Links,
    &area::Area,
    &moments::Moments,
    &bounds::BoundingBox,
    &outline::Outline,
    &hull::Hull,
    &neighbours::Neighbours,
    &intensity::Intensity,
    &background::BackgroundLevel,
    &ratio::Ratio,
    &texture::Texture,
];

/// The names of all property families.
pub fn family_names() -> Vec<&'static str> {
    FAMILIES.iter().map(|family| family.name()).collect()
}

/// Properties that are measured together.
trait Family: Sync {
    /// Its name in the registry.
    fn name(&self) -> &'static str;
    /// The parts of a cell that it is measured on.
    fn applies_to(&self, part: Part) -> bool;
    /// Its columns, without the prefix of the part and the suffix of the channel.
    fn columns(&self) -> Vec<Column>;
    /// Whether it looks at intensities, so that there is one set of columns a channel.
    fn per_channel(&self) -> bool {
        false
    }
    /// Whether the block's rows are the objects, although the part is another one.
    fn by_object(&self) -> bool {
        false
    }
    /// Fills the block, a row for each region of the part (or each object). What is left is
    /// undefined.
    fn measure(&self, scene: &Scene, part: Part, channel: Option<usize>, block: &mut Block);
}

/// What a number is a number of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unit {
    /// Counts, shares, ratios, labels.
    None,
    /// Pixel indices.
    Pixels,
    /// Pixels along a line; has a twin in um.
    Length,
    /// Pixels of area; has a twin in um2.
    Area,
    /// Radians.
    Radians,
    /// The image's own intensities.
    Intensity,
}

/// Whether a column's numbers are whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// Whole numbers, exact.
    Integer,
    /// Real numbers.
    Float,
}

/// What changes a number, besides the object itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Frame {
    /// Nothing: it stays when the image is moved, turned by 90 degrees or its labels are renamed.
    Free,
    /// A place along the rows: it moves with the image.
    Row,
    /// A place along the columns.
    Column,
    /// An angle against the rows.
    Angle,
    /// The number of a label.
    Label,
}

/// A column of the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name, with the prefix of the part and the suffix of the channel.
    pub name: String,
    /// What its numbers are numbers of.
    pub unit: Unit,
    /// Whether they are whole.
    pub kind: Kind,
    /// What else they depend on.
    pub frame: Frame,
}

impl Column {
    fn integer(name: &str, unit: Unit) -> Self {
        Self {
            name: name.to_owned(),
            unit,
            kind: Kind::Integer,
            frame: Frame::Free,
        }
    }

    fn float(name: &str, unit: Unit) -> Self {
        Self {
            kind: Kind::Float,
            ..Self::integer(name, unit)
        }
    }

    fn in_frame(self, frame: Frame) -> Self {
        Self { frame, ..self }
    }

    /// Name ending and the power of the pixel size of the twin in um.
    fn twin(&self) -> Option<(&'static str, i32)> {
        match self.unit {
            Unit::Length => Some(("_um", 1)),
            Unit::Area => Some(("_um2", 2)),
            _ => None,
        }
    }
}

/// The numbers of one family on one part: a row a region.
struct Block {
    columns: usize,
    values: Vec<f64>,
}

impl Block {
    /// All undefined.
    fn new(rows: usize, columns: usize) -> Self {
        Self {
            columns,
            values: vec![f64::NAN; rows * columns],
        }
    }

    fn row(&mut self, i: usize) -> &mut [f64] {
        &mut self.values[i * self.columns..(i + 1) * self.columns]
    }
}

/// A ring around each object.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ring {
    /// Where it begins, in um from the object.
    pub gap_um: f64,
    /// How wide it is, in um.
    pub width_um: f64,
}

/// Where the background of a channel is taken from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Background {
    /// The median of the field's pixels outside all objects, cells and rings: one level for the
    /// field.
    #[default]
    Field,
    /// The median of the object's ring: one level for the object.
    Ring,
}

/// Rings and neighbourhoods end here: the largest cells are as wide, and time goes by their area.
const FARTHEST_UM: f64 = 100.0;

/// What to measure and how.
#[derive(Clone, Debug, PartialEq)]
pub struct MeasureSettings {
    /// The ring around objects; measured where the pixel size is known.
    pub ring: Option<Ring>,
    /// Objects within this distance in um are near.
    pub neighbours_um: f64,
    /// Where the background is taken from.
    pub background: Background,
    /// Texture, on request.
    pub texture: Option<TextureSettings>,
}

impl Default for MeasureSettings {
    /// A ring that begins 1 um off the nucleus, beyond its blurred edge, and is 3 um wide, so that
    /// it stays in the cell; neighbours within 10 um, about a nucleus away.
    fn default() -> Self {
        Self {
            ring: Some(Ring {
                gap_um: 1.0,
                width_um: 3.0,
            }),
            neighbours_um: 10.0,
            background: Background::Field,
            texture: None,
        }
    }
}

impl MeasureSettings {
    /// Checks the ranges of all settings.
    ///
    /// # Errors
    /// [`ObjectsError::Setting`] naming the first one that is out of range.
    pub fn check(&self) -> Result<(), ObjectsError> {
        let in_range = |setting, value: f64, from: f64, to: f64, range| {
            if (from..=to).contains(&value) {
                Ok(())
            } else {
                Err(ObjectsError::Setting {
                    setting,
                    value,
                    range,
                })
            }
        };
        if let Some(Ring { gap_um, width_um }) = self.ring {
            in_range("ring gap", gap_um, 0.0, FARTHEST_UM, "from 0 to 100 um")?;
            in_range(
                "ring width",
                width_um,
                f64::MIN_POSITIVE,
                FARTHEST_UM,
                "above 0 and up to 100 um",
            )?;
        }
        in_range(
            "neighbours",
            self.neighbours_um,
            0.0,
            FARTHEST_UM,
            "from 0 to 100 um",
        )?;
        if let Some(texture) = self.texture {
            let (distance, levels) = (texture.distance_px as f64, texture.levels as f64);
            in_range(
                "texture distance",
                distance,
                1.0,
                1000.0,
                "from 1 to 1000 pixels",
            )?;
            in_range("texture levels", levels, 2.0, 256.0, "from 2 to 256")?;
        }
        Ok(())
    }
}

/// The images of one field.
pub struct FieldImages<'a> {
    /// Labels of the objects.
    pub objects: &'a Image<u32>,
    /// Labels of whole cells, with numbers of their own.
    pub cells: Option<&'a Image<u32>>,
    /// A plane for each channel of the plan; `None` where the field has none.
    pub channels: &'a [Option<Plane>],
    /// Pixel size in um.
    pub pixel_um: Option<f64>,
}

/// A family on a part (and a channel): some neighbouring columns of the table.
struct Step {
    family: &'static dyn Family,
    part: Part,
    channel: Option<usize>,
    columns: Vec<Column>,
}

/// Which columns a table has; the same for all its fields.
pub struct MeasurePlan {
    settings: MeasureSettings,
    channels: usize,
    cells: bool,
    calibrated: bool,
    steps: Vec<Step>,
    columns: Vec<Column>,
}

impl MeasurePlan {
    /// The plan for `channels`, with whole cells or without, with twins in um (and rings) or
    /// without.
    ///
    /// # Errors
    /// [`ObjectsError::Setting`] for a setting out of range.
    pub fn new(
        settings: MeasureSettings,
        channels: &[String],
        cells: bool,
        calibrated: bool,
    ) -> Result<Self, ObjectsError> {
        settings.check()?;
        let mut steps = Vec::new();
        let parts = Part::ALL.into_iter().filter(|part| match part {
            Part::Object => true,
            Part::Ring => settings.ring.is_some() && calibrated,
            Part::Cell | Part::Cytoplasm => cells,
        });
        let parts: Vec<Part> = parts.collect();
        let wanted = |family: &dyn Family| family.name() != "texture" || settings.texture.is_some();
        let mut add = |family: &'static dyn Family, part: Part, channel: Option<usize>| {
            let suffix = match channel {
                Some(c) if channels.len() > 1 => format!("_{}", channels[c]),
                _ => String::new(),
            };
            let columns = family.columns().into_iter().map(|column| Column {
                name: format!("{}{}{suffix}", part.prefix(), column.name),
                ..column
            });
            steps.push(Step {
                family,
                part,
                channel,
                columns: columns.collect(),
            });
        };
        for per_channel in [false, true] {
            let numbers: Vec<Option<usize>> = if per_channel {
                (0..channels.len()).map(Some).collect()
            } else {
                vec![None]
            };
            for channel in numbers {
                for &part in &parts {
                    for family in FAMILIES {
                        let fits = family.per_channel() == per_channel && family.applies_to(part);
                        if fits && wanted(family) {
                            add(family, part, channel);
                        }
                    }
                }
            }
        }
        let columns = with_twins(&steps, calibrated);
        Ok(Self {
            settings,
            channels: channels.len(),
            cells,
            calibrated,
            steps,
            columns,
        })
    }

    /// All columns in order.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Measures one field.
    ///
    /// # Errors
    /// [`ObjectsError::SizeMismatch`] if the images differ in size, [`ObjectsError::PixelSize`] for
    /// a pixel size that is none.
    ///
    /// # Panics
    /// If the images are not those of the plan: another number of channels, cells where none were
    /// planned.
    pub fn measure(&self, images: &FieldImages) -> Result<Measured, ObjectsError> {
        assert_eq!(images.channels.len(), self.channels, "channels of the plan");
        assert!(self.cells || images.cells.is_none(), "cells without a plan");
        let scene = Scene::new(&self.settings, images)?;
        let objects = scene.layer(Part::Object).regions.len();
        let mut columns = Vec::with_capacity(self.columns.len());
        for step in &self.steps {
            let count = step.columns.len();
            let layer = &scene.layers[step.part as usize];
            let Some(layer) = layer else {
                // A part that this field lacks: no pixel size for the ring, no cells here.
                let twins = step.columns.iter().filter(|c| self.twin(c).is_some());
                let missing = count + twins.count();
                columns.extend((0..missing).map(|_| vec![f64::NAN; objects]));
                continue;
            };
            let rows = if step.family.by_object() {
                objects
            } else {
                layer.regions.len()
            };
            let mut block = Block::new(rows, count);
            step.family
                .measure(&scene, step.part, step.channel, &mut block);
            for (k, column) in step.columns.iter().enumerate() {
                let of = |i: usize| {
                    if step.family.by_object() {
                        Some(i)
                    } else {
                        layer.region_of(i)
                    }
                };
                let value = |i: usize| of(i).map_or(f64::NAN, |row| block.values[row * count + k]);
                let values: Vec<f64> = (0..objects).map(value).collect();
                let scaled = self.twin(column).map(|power| {
                    let factor = images.pixel_um.map_or(f64::NAN, |um| um.powi(power));
                    values.iter().map(|value| value * factor).collect()
                });
                columns.push(values);
                columns.extend(scaled);
            }
        }
        Ok(Measured {
            labels: scene.layer(Part::Object).regions.labels().to_vec(),
            columns,
        })
    }

    /// The power of the pixel size in a column's twin, where there is one.
    fn twin(&self, column: &Column) -> Option<i32> {
        column
            .twin()
            .filter(|_| self.calibrated)
            .map(|(_, power)| power)
    }
}

fn with_twins(steps: &[Step], calibrated: bool) -> Vec<Column> {
    let mut columns = Vec::new();
    for column in steps.iter().flat_map(|step| &step.columns) {
        columns.push(column.clone());
        if let (true, Some((ending, _))) = (calibrated, column.twin()) {
            columns.push(Column {
                name: format!("{}{ending}", column.name),
                kind: Kind::Float,
                ..column.clone()
            });
        }
    }
    columns
}

/// The numbers of one field.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// The labels of the objects, ascending.
    pub labels: Vec<u32>,
    /// `[column][object]`, in the order of [`MeasurePlan::columns`]; NaN where a number is
    /// undefined.
    pub columns: Vec<Vec<f64>>,
}

/// One field, taken apart.
struct Scene<'a> {
    settings: &'a MeasureSettings,
    channels: &'a [Option<Plane>],
    pixel_um: Option<f64>,
    /// By [`Part`].
    layers: [Option<Layer>; 4],
    /// By channel.
    background: Vec<Levels>,
}

impl<'a> Scene<'a> {
    fn new(settings: &'a MeasureSettings, images: &FieldImages<'a>) -> Result<Self, ObjectsError> {
        let objects = images.objects;
        for plane in images.channels.iter().flatten() {
            same_size("the labels", objects.size(), "the image", plane.size())?;
        }
        if let Some(cells) = images.cells {
            same_size("the labels", objects.size(), "the cells", cells.size())?;
        }
        if let Some(value) = images.pixel_um.filter(|um| !(*um > 0.0 && um.is_finite())) {
            return Err(ObjectsError::PixelSize { value });
        }
        let regions = Regions::of(objects);
        let rings = match (settings.ring, images.pixel_um) {
            (Some(ring), Some(um)) => {
                Some(parts::rings(&regions, ring.gap_um / um, ring.width_um / um))
            }
            _ => None,
        };
        let mut scene = Self {
            settings,
            channels: images.channels,
            pixel_um: images.pixel_um,
            layers: [None, None, None, None],
            background: Vec::new(),
        };
        scene.layers[Part::Ring as usize] = rings.as_ref().map(|rings| {
            Layer::linked(Regions::of(&rings.labels), regions.labels().iter().copied())
        });
        if let Some(cells) = images.cells {
            let linked = parts::cell_of_each(&regions, cells);
            let layer =
                |image: &Image<u32>| Layer::linked(Regions::of(image), linked.iter().copied());
            scene.layers[Part::Cell as usize] = Some(layer(cells));
            scene.layers[Part::Cytoplasm as usize] = Some(layer(&parts::cytoplasm(cells, objects)));
        }
        scene.layers[Part::Object as usize] = Some(Layer::own(regions));
        scene.background = match settings.background {
            Background::Field => {
                let near = rings.map(|rings| rings.near);
                let outside = outside(objects, images.cells, near.as_ref());
                let level = |plane: &Plane| Levels::Field(pixels::median_where(plane, &outside));
                scene.levels(level)
            }
            Background::Ring => scene.levels(|plane| scene.ring_levels(plane)),
        };
        Ok(scene)
    }

    fn levels(&self, level: impl Fn(&Plane) -> Levels) -> Vec<Levels> {
        let unknown = Levels::Field(f64::NAN);
        let of = |plane: &Option<Plane>| plane.as_ref().map_or(unknown.clone(), &level);
        self.channels.iter().map(of).collect()
    }

    /// The median of each object's ring, and for each region of the parts the mean of its objects'.
    fn ring_levels(&self, plane: &Plane) -> Levels {
        let median = |layer: &Layer, i: usize| {
            let region = layer.region_of(i)?;
            Some(pixels::Values::of(plane, &layer.regions, region).quantiles[pixels::MEDIAN])
        };
        let ring = self.layers[Part::Ring as usize].as_ref();
        let of = |i: usize| ring.and_then(|ring| median(ring, i)).unwrap_or(f64::NAN);
        let objects: Vec<f64> = (0..self.layer(Part::Object).regions.len())
            .map(of)
            .collect();
        let by_region = |layer: &Option<Layer>| {
            let layer = layer.as_ref();
            layer.map_or(Vec::new(), |layer| layer.mean_by_region(&objects))
        };
        Levels::Regions([0, 1, 2, 3].map(|part| by_region(&self.layers[part])))
    }

    /// A part that this field has; families are only asked about those.
    fn layer(&self, part: Part) -> &Layer {
        self.layers[part as usize]
            .as_ref()
            .expect("a part that the field has")
    }

    fn plane(&self, channel: Option<usize>) -> Option<&Plane> {
        self.channels.get(channel?)?.as_ref()
    }

    /// A length in pixels, where the pixel size is known.
    fn pixels(&self, um: f64) -> Option<f64> {
        self.pixel_um.map(|pixel| um / pixel)
    }

    /// The background of region `i` of a part; NaN where it is not known.
    ///
    /// Every part takes the level of its object, a cell with several objects the mean of theirs:
    /// all are seen through the same haze.
    fn background(&self, channel: Option<usize>, part: Part, i: usize) -> f64 {
        match channel.map(|channel| &self.background[channel]) {
            Some(Levels::Field(level)) => *level,
            Some(Levels::Regions(levels)) => levels[part as usize][i],
            None => f64::NAN,
        }
    }
}

/// The background of one channel.
#[derive(Clone)]
enum Levels {
    /// One for the field.
    Field(f64),
    /// One for each region of each [`Part`].
    Regions([Vec<f64>; 4]),
}

/// Pixels that belong to nothing that is measured.
fn outside(
    objects: &Image<u32>,
    cells: Option<&Image<u32>>,
    near: Option<&Image<bool>>,
) -> Image<bool> {
    let mut outside = objects.map(|&label| label == 0);
    if let Some(cells) = cells {
        for (outside, &cell) in outside.data_mut().iter_mut().zip(cells.data()) {
            *outside &= cell == 0;
        }
    }
    if let Some(near) = near {
        for (outside, &near) in outside.data_mut().iter_mut().zip(near.data()) {
            *outside &= !near;
        }
    }
    outside
}
