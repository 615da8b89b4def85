//! What comes of a prediction.

use stainfree_image::Image;
use stainfree_network::output::{CLASSES, Output, Values, parts};
use stainfree_network::tiles::argmax_of;
use stainfree_objects::{BACKGROUND, IGNORED};

use crate::remark::Remark;

/// Name of the output that holds the probabilities of the classes.
pub const PROBABILITIES: &str = "probabilities";

/// One real-valued output of the network: a group of channels that belong together.
#[derive(Clone, Debug, PartialEq)]
pub struct PredictedOutput {
    /// What it is called: [`PROBABILITIES`], or as the model names it.
    pub name: String,
    /// What its numbers are.
    pub values: Values,
    /// Names of its channels; for probabilities those of the classes, else the output's own, with a
    /// number where there are several.
    pub channels: Vec<String>,
    /// One plane a channel, each of the image's size. Where the image shows nothing, NaN, and for
    /// probabilities the background's.
    pub planes: Vec<Image<f32>>,
}

/// What the network says of an image; nuclei are not yet made.
#[derive(Clone, Debug, PartialEq)]
pub struct Pixels {
    /// Class of the largest probability; ignored where the image shows nothing.
    pub classes: Image<u8>,
    /// The network's outputs, the probabilities first.
    pub outputs: Vec<PredictedOutput>,
    /// Share of the pixels that show nothing.
    pub blank_share: f64,
    /// What the user should know of how it was computed, and has not been told.
    pub remarks: Vec<Remark>,
}

impl Pixels {
    /// What comes out of a network with these `outputs`, the first of which tells `classes` apart:
    /// `made` is `[channel][y][x]` of all of them.
    ///
    /// # Panics
    /// If `made` is of another size.
    pub fn of_network(
        outputs: &[Output],
        classes: &[String],
        made: &[f32],
        [height, width]: [usize; 2],
    ) -> Self {
        let image = |plane: &[f32]| Image::new(height, width, plane.to_vec());
        let of = |(output, data): (&Output, &[f32])| {
            let planes = data.chunks_exact(height * width).map(image).collect();
            PredictedOutput::new(output, classes, planes)
        };
        let outputs: Vec<_> = parts(outputs, made).into_iter().map(of).collect();
        Self {
            classes: largest(&outputs[0].planes),
            outputs,
            blank_share: 0.0,
            remarks: Vec::new(),
        }
    }

    /// The probabilities, one plane a class.
    pub fn probabilities(&self) -> &[Image<f32>] {
        let of_classes = |output: &&PredictedOutput| output.name == PROBABILITIES;
        let output = self.outputs.iter().find(of_classes);
        output.map_or(&[], |output| &output.planes)
    }

    /// The channels of all other outputs, with their names.
    pub fn further(&self) -> (Vec<&str>, Vec<&Image<f32>>) {
        let others = self.outputs.iter().filter(|o| o.name != PROBABILITIES);
        let channels = others.flat_map(|o| o.channels.iter().map(String::as_str).zip(&o.planes));
        channels.unzip()
    }
}

/// Everything that is predicted of an image.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// Class of the largest probability; ignored where the image shows nothing.
    pub classes: Image<u8>,
    /// The network's outputs, the probabilities first: as they hold, where the model's folder has
    /// [`crate::Temperatures`].
    pub outputs: Vec<PredictedOutput>,
    /// Nucleus instances; 0 is background.
    pub labels: Image<u32>,
    /// Number of nuclei.
    pub count: usize,
    /// How sure each is, by label: the probability that it matches a true nucleus at IoU >= 0.5;
    /// empty where the model's folder has no [`crate::Confidence`].
    pub confidences: Vec<f64>,
    /// Share of the pixels that show nothing.
    pub blank_share: f64,
    /// What the user should know of how it was computed, and has not been told.
    pub remarks: Vec<Remark>,
}

/// The class of the largest probability of each pixel, ties to the lower class.
///
/// # Panics
/// If there is no plane.
pub fn largest(planes: &[Image<f32>]) -> Image<u8> {
    let (height, width) = planes[0].size();
    let planes: Vec<&[f32]> = planes.iter().map(Image::data).collect();
    Image::new(height, width, argmax_of(&planes))
}

impl PredictedOutput {
    /// What the network's output `of` gives, by `planes`; `classes` are the names of its classes.
    pub(crate) fn new(of: &Output, classes: &[String], planes: Vec<Image<f32>>) -> Self {
        let (name, channels) = match (of.name == CLASSES, of.channels) {
            (true, _) => (PROBABILITIES.to_owned(), classes.to_vec()),
            (false, 1) => (of.name.clone(), vec![of.name.clone()]),
            (false, count) => {
                let numbered = (1..=count).map(|i| format!("{} {i}", of.name));
                (of.name.clone(), numbered.collect())
            }
        };
        Self {
            name,
            values: of.values,
            channels,
            planes,
        }
    }
}

/// Where nothing was seen, nothing is said: the class is ignored, none but the background is
/// probable, and further outputs are no numbers.
pub(crate) fn leave_open(
    classes: &mut Image<u8>,
    outputs: &mut [PredictedOutput],
    regions: &Image<bool>,
) {
    let open = |i: &usize| regions.data()[*i];
    for i in (0..regions.data().len()).filter(open) {
        classes.data_mut()[i] = IGNORED;
        for output in outputs.iter_mut() {
            for (channel, plane) in output.planes.iter_mut().enumerate() {
                plane.data_mut()[i] = match (output.name == PROBABILITIES, channel) {
                    (false, _) => f32::NAN,
                    (true, class) if class == usize::from(BACKGROUND) => 1.0,
                    (true, _) => 0.0,
                };
            }
        }
    }
}

/// `[channel][y][x]` as one image a channel; never more than one of them in memory twice.
pub(crate) fn planes_of(
    mut all: Vec<f32>,
    channels: usize,
    height: usize,
    width: usize,
) -> Vec<Image<f32>> {
    let mut planes = Vec::with_capacity(channels);
    for channel in (0..channels).rev() {
        let plane = all.split_off(channel * height * width);
        all.shrink_to_fit();
        planes.push(Image::new(height, width, plane));
    }
    planes.reverse();
    planes
}

#[cfg(test)]
mod tests {
    use super::*;
    use stainfree_network::OutputKind;

    fn row(values: &[f32]) -> Image<f32> {
        Image::new(1, values.len(), values.to_vec())
    }

    #[test]
    fn ties_go_to_the_lower_class() {
        let planes = [
            row(&[0.4, 0.5, 0.2]),
            row(&[0.4, 0.3, 0.4]),
            row(&[0.2, 0.2, 0.4]),
        ];
        assert_eq!(largest(&planes).data(), [0, 0, 1]);
    }

    #[test]
    fn planes_come_apart_in_their_order() {
        let planes = planes_of((0..12).map(|i| i as f32).collect(), 3, 2, 2);
        assert_eq!(planes.len(), 3);
        assert_eq!(planes[1].data(), [4.0, 5.0, 6.0, 7.0]);
        assert_eq!(planes[2].data(), [8.0, 9.0, 10.0, 11.0]);
    }

    #[test]
    fn nothing_is_said_where_nothing_was_seen() {
        let planes = vec![row(&[0.1, 0.2]), row(&[0.9, 0.8])];
        let mut classes = largest(&planes);
        let names = ["ground", "nucleus"].map(str::to_owned);
        let distance = OutputKind::named("distance").unwrap().output();
        let mut outputs = [
            PredictedOutput::new(&Output::classes(2), &names, planes),
            PredictedOutput::new(&distance, &names, vec![row(&[0.5, 0.25])]),
        ];
        let regions = Image::new(1, 2, vec![true, false]);
        leave_open(&mut classes, &mut outputs, &regions);
        assert_eq!(classes.data(), [IGNORED, 1]);
        let [probabilities, distance] = outputs.each_ref().map(|output| &output.planes);
        assert_eq!(probabilities[0].data(), [1.0, 0.2]);
        assert_eq!(probabilities[1].data(), [0.0, 0.8]);
        assert!(distance[0].get(0, 0).is_nan());
        assert_eq!(distance[0].get(0, 1), 0.25);
    }

    #[test]
    fn channels_have_names() {
        let names = ["ground", "nucleus"].map(str::to_owned);
        let of = |output: &Output| PredictedOutput::new(output, &names, vec![]);
        let classes = of(&Output::classes(2));
        assert_eq!(
            (&classes.name[..], &classes.channels[..]),
            (PROBABILITIES, &names[..])
        );
        let mut output = OutputKind::named("distance").unwrap().output();
        assert_eq!(of(&output).channels, ["distance"]);
        output.channels = 2;
        assert_eq!(of(&output).channels, ["distance 1", "distance 2"]);
    }
}
