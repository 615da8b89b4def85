//! What comes of a prediction.

use stainfree_image::Image;
use stainfree_objects::{BACKGROUND, IGNORED};

use crate::remark::Remark;

/// Name of the output that holds the probabilities of the classes.
pub const PROBABILITIES: &str = "probabilities";

/// One real-valued output of the network: a group of channels that belong together.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// What it is called ([`PROBABILITIES`]).
    pub name: &'static str,
    /// Names of its channels; for probabilities those of the classes.
    pub channels: Vec<String>,
    /// One plane a channel, each of the image's size.
    pub planes: Vec<Image<f32>>,
}

/// What the network says of an image; nuclei are not yet made.
#[derive(Clone, Debug, PartialEq)]
pub struct Pixels {
    /// Class of the largest probability; ignored where the image shows nothing.
    pub classes: Image<u8>,
    /// The network's outputs.
    pub outputs: Vec<Output>,
    /// Share of the pixels that show nothing.
    pub blank_share: f64,
    /// What the user should know of how it was computed, and has not been told.
    pub remarks: Vec<Remark>,
}

impl Pixels {
    /// The probabilities, one plane a class.
    pub fn probabilities(&self) -> &[Image<f32>] {
        let of_classes = |output: &&Output| output.name == PROBABILITIES;
        let output = self.outputs.iter().find(of_classes);
        output.map_or(&[], |output| &output.planes)
    }
}

/// Everything that is predicted of an image.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// Class of the largest probability; ignored where the image shows nothing.
    pub classes: Image<u8>,
    /// The network's outputs.
    pub outputs: Vec<Output>,
    /// Nucleus instances; 0 is background.
    pub labels: Image<u32>,
    /// Number of nuclei.
    pub count: usize,
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
    let mut classes = vec![0u8; height * width];
    for (i, class) in classes.iter_mut().enumerate() {
        for (candidate, plane) in planes.iter().enumerate().skip(1) {
            if plane.data()[i] > planes[*class as usize].data()[i] {
                *class = candidate as u8;
            }
        }
    }
    Image::new(height, width, classes)
}

/// Where nothing was seen, nothing is said: the class is ignored, and none but the background is
/// probable.
pub(crate) fn leave_open(
    classes: &mut Image<u8>,
    probabilities: &mut [Image<f32>],
    regions: &Image<bool>,
) {
    let open = |i: &usize| regions.data()[*i];
    for i in (0..regions.data().len()).filter(open) {
        classes.data_mut()[i] = IGNORED;
        for (class, plane) in probabilities.iter_mut().enumerate() {
            let is_background = class == usize::from(BACKGROUND);
            plane.data_mut()[i] = if is_background { 1.0 } else { 0.0 };
        }
    }
}

/// `[class][y][x]` as one image a class; never more than one of them in memory twice.
pub(crate) fn planes_of(
    mut all: Vec<f32>,
    classes: usize,
    height: usize,
    width: usize,
) -> Vec<Image<f32>> {
    let mut planes = Vec::with_capacity(classes);
    for class in (0..classes).rev() {
        let plane = all.split_off(class * height * width);
        all.shrink_to_fit();
        planes.push(Image::new(height, width, plane));
    }
    planes.reverse();
    planes
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let mut probabilities = [row(&[0.1, 0.2]), row(&[0.9, 0.8])];
        let mut classes = largest(&probabilities);
        let regions = Image::new(1, 2, vec![true, false]);
        leave_open(&mut classes, &mut probabilities, &regions);
        assert_eq!(classes.data(), [IGNORED, 1]);
        assert_eq!(probabilities[0].data(), [1.0, 0.2]);
        assert_eq!(probabilities[1].data(), [0.0, 0.8]);
    }
}
