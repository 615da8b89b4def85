//! An image and what the model says of it: by this, other programs see whether they do the same.

use stainfree_image::{Image, Plane, read_plane};
use stainfree_inference::planes::{full_range, intensities, network_input};
use stainfree_network::input::InputError;
use stainfree_network::output::parts;
use stainfree_network::tiles::receptive_radius;
use stainfree_network::{Graph, Model, Session, TileOptions, predict_image};
use stainfree_specimen::{PlateSpec, simulate_field};

use super::ExportOptions;
use super::npy::npy;
use crate::{Job, ProjectError};

/// Least side of the example, and the largest where the network does not need more.
const SIDE: usize = 256;
/// Full range of 16 bits.
const SIXTEEN_BITS: f32 = 65_535.0;
/// What the virtual microscope's pixels can be, um, and what they are for models that know none.
const PIXEL_UM: [f64; 3] = [0.1, 1.3, 0.325];

/// An image with the model's outputs.
pub(super) struct Example {
    /// Raw planes, all of one size.
    pub(super) planes: Vec<Image<f32>>,
    /// Name, channels and values of every output.
    pub(super) outputs: Vec<(String, usize, Vec<f32>)>,
    /// Largest count of the images' format.
    pub(super) full_range: f32,
    /// Whether the virtual microscope took it.
    pub(super) simulated: bool,
}

/// The widest border of tiles: programs that cut images make tiles of a few hundred pixels.
const WIDEST_HALO: usize = 128;

/// Pixels at the borders of a tile that had better be cut away: half of what a pixel sees, as
/// `tiles` takes where memory is short, and no more than programs can cut.
pub(super) fn halo(graph: &Graph) -> usize {
    let half = (receptive_radius(graph) / 2).next_multiple_of(graph.multiple());
    half.min(WIDEST_HALO)
}

/// The least side that leaves something between two halos.
pub(super) fn least_side(graph: &Graph) -> usize {
    2 * halo(graph) + graph.multiple()
}

impl Example {
    /// Takes or reads the image, and predicts it in f32.
    ///
    /// # Errors
    /// Images that cannot be read, are not as many as the model's planes, differ in size or are too
    /// small; numbers that are none.
    pub(super) fn make(
        options: &ExportOptions,
        model: &Model,
        job: &Job,
    ) -> Result<Self, ProjectError> {
        let side = SIDE.max(least_side(&model.graph));
        let raw = match options.images.is_empty() {
            true => simulated(model, side)?,
            false => read(options, model)?,
        };
        let own_range = raw.first().map_or(SIXTEEN_BITS, full_range);
        let full_range = options.full_range.unwrap_or(own_range);
        let planes = intensities(&raw).into_iter();
        let planes: Vec<Image<f32>> = planes.map(|plane| middle(&plane, side)).collect();
        let input = network_input(&model.info.input, &planes, full_range, None);
        let input = input.map_err(input_error)?;
        let (height, width) = planes[0].size();
        let mut session = Session::new(job.machine, &model.graph, &model.parameters);
        let tiles = TileOptions::new(&model.graph);
        let all = predict_image(&mut session, &input, height, width, &tiles)
            .map_err(|error| ProjectError::Failed(error.to_string()))?;
        let outputs = parts(model.graph.outputs(), &all).into_iter();
        Ok(Self {
            outputs: outputs
                .map(|(output, values)| (output.name.clone(), output.channels, values.to_vec()))
                .collect(),
            planes,
            full_range,
            simulated: options.images.is_empty(),
        })
    }

    /// Height and width.
    pub(super) fn size(&self) -> (usize, usize) {
        self.planes[0].size()
    }

    /// All arrays as files of NumPy, the input first, each with the name of what it is.
    pub(super) fn arrays(&self) -> Vec<(String, Vec<u8>)> {
        let (height, width) = self.size();
        let planes: Vec<&[f32]> = self.planes.iter().map(Image::data).collect();
        let shape = [1, planes.len(), height, width];
        let input = ("test_input".to_owned(), npy(&shape, &planes.concat()));
        let outputs = self.outputs.iter().map(|(name, channels, values)| {
            let shape = [1, *channels, height, width];
            (format!("test_output.{name}"), npy(&shape, values))
        });
        [input].into_iter().chain(outputs).collect()
    }
}

fn input_error(error: InputError) -> ProjectError {
    ProjectError::Failed(error.to_string())
}

/// A field of the virtual microscope at the model's pixel size.
fn simulated(model: &Model, side: usize) -> Result<Vec<Plane>, ProjectError> {
    let [least, most, unknown] = PIXEL_UM;
    let spec = PlateSpec {
        wells: 1,
        sites: 1,
        side,
        planes: model.info.input.planes,
        unstained: true,
        pixel_um: model.info.pixel_um.unwrap_or(unknown).clamp(least, most),
        ..PlateSpec::default()
    };
    let field = simulate_field(&spec, 0, 0)?;
    Ok(field.brightfield.into_iter().map(Plane::U16).collect())
}

/// The images that are given, one a plane.
fn read(options: &ExportOptions, model: &Model) -> Result<Vec<Plane>, ProjectError> {
    let wanted = model.info.input.planes;
    if options.images.len() != wanted {
        return Err(ProjectError::Usage(format!(
            "`--image` names {} images and the model reads {wanted} planes; give one a plane",
            options.images.len()
        )));
    }
    let read = options.images.iter().map(|path| read_plane(path, 0));
    let planes: Vec<Plane> = read.collect::<Result<_, _>>()?;
    let size = planes[0].size();
    if let Some(other) = planes.iter().map(Plane::size).find(|other| *other != size) {
        let error = InputError::Sizes { first: size, other };
        return Err(input_error(error));
    }
    let least = least_side(&model.graph);
    let (height, width) = size;
    if height.min(width) < least {
        return Err(ProjectError::Failed(format!(
            "`{}` has {height} x {width} pixels, and the example needs {least} along each side; \
             give a larger image",
            options.images[0].display()
        )));
    }
    Ok(planes)
}

/// The middle of a plane, at most `side` pixels along each side.
fn middle(plane: &Image<f32>, side: usize) -> Image<f32> {
    let (height, width) = plane.size();
    let (h, w) = (height.min(side), width.min(side));
    plane.crop((height - h) / 2, (width - w) / 2, h, w)
}
