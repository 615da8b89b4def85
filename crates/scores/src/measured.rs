//! The cost of freeing the stain's channel: counts, areas and intensities as they are measured
//! through predicted masks, against the same through true ones.
//!
//! Here: sums of a field ([`MaskMeasures`]); their agreement over wells is in `measured_agreement`.
//! Intensities are above the ground of their field, the same for both masks: with the ground in
//! them, per cents of a dim stain would look better than they are.

use serde::{Deserialize, Serialize};
use stainfree_image::Image;

use crate::pixels::{IGNORED, check_size};
use crate::{ByName, ScoreError};

/// Sum and number of pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PixelSum {
    /// Sum of their intensities above the ground of the field.
    pub sum: f64,
    /// Pixels.
    pub n: u64,
}

impl PixelSum {
    pub(crate) fn mean(self) -> Option<f64> {
        (self.n > 0).then(|| self.sum / self.n as f64)
    }

    fn plus(self, other: Self) -> Self {
        Self {
            sum: self.sum + other.sum,
            n: self.n + other.n,
        }
    }
}

/// A channel under the masks of one side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ChannelSums {
    /// In nuclei.
    pub nucleus: PixelSum,
    /// In cytoplasm; no pixel where the masks have no such class.
    pub cytoplasm: PixelSum,
}

impl ChannelSums {
    fn add(&mut self, other: &Self) {
        self.nucleus = self.nucleus.plus(other.nucleus);
        self.cytoplasm = self.cytoplasm.plus(other.cytoplasm);
    }
}

/// What one side's masks measure in a field.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SideMeasures {
    /// Nuclei.
    pub nuclei: u64,
    /// Their pixels.
    pub nucleus_px: u64,
    /// The same in um2; none where the pixel size is not known.
    pub nucleus_um2: Option<f64>,
    /// Channels by name.
    pub channels: ByName<ChannelSums>,
}

impl SideMeasures {
    pub(crate) fn add(&mut self, other: &Self, first: bool) {
        self.nuclei += other.nuclei;
        self.nucleus_px += other.nucleus_px;
        self.nucleus_um2 = match (first, self.nucleus_um2, other.nucleus_um2) {
            (true, _, area) => area,
            (false, sum, area) => sum.zip(area).map(|(sum, area)| sum + area),
        };
        self.channels.merge(&other.channels, ChannelSums::add);
    }
}

/// What true and predicted masks measure in a field.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MaskMeasures {
    /// Through the true masks.
    pub truth: SideMeasures,
    /// Through the predicted masks.
    pub prediction: SideMeasures,
    /// Pixels of the field that are not ignored.
    pub field_px: u64,
}

/// The masks of one side of a field, all of one size.
#[derive(Clone, Copy, Debug)]
pub struct Masks<'a> {
    /// Nuclei, 0 outside.
    pub nuclei: &'a Image<u32>,
    /// Which pixels are cytoplasm: class mask and class; none where that is not known.
    pub cytoplasm: Option<(&'a Image<u8>, u8)>,
}

impl Masks<'_> {
    /// Whether a pixel lies in a nucleus or in cytoplasm.
    fn cover(&self, i: usize) -> bool {
        let cytoplasm = |(classes, class): (&Image<u8>, u8)| classes.data()[i] == class;
        self.nuclei.data()[i] != 0 || self.cytoplasm.is_some_and(cytoplasm)
    }
}

/// A channel and its intensity where no cell is.
struct Channel<'a> {
    name: &'a str,
    image: &'a Image<f32>,
    ground: f64,
}

/// Where fewer pixels of a field are empty, its darkest ones stand for its ground.
const LEAST_EMPTY: f64 = 0.01;

/// The median over the pixels that are `empty` on both sides; in a field without such ground, its 1
/// % quantile.
fn ground(image: &Image<f32>, empty: &dyn Fn(usize) -> bool) -> f64 {
    let all = image.data();
    let mut values: Vec<f32> = (0..all.len())
        .filter(|&i| empty(i))
        .map(|i| all[i])
        .collect();
    let mut quantile = 0.5;
    if (values.len() as f64) < LEAST_EMPTY * all.len() as f64 {
        values = all.to_vec();
        quantile = LEAST_EMPTY;
    }
    if values.is_empty() {
        return 0.0;
    }
    let rank = ((values.len() - 1) as f64 * quantile) as usize;
    f64::from(*values.select_nth_unstable_by(rank, f32::total_cmp).1)
}

/// Measures a field through both sides' masks.
///
/// `ignore` marks pixels that neither side measures; a nucleus counts where a pixel of it is left.
/// `channels` are images by name, `pixel_um` is the side of a pixel in um.
///
/// # Errors
/// [`ScoreError::Size`] if a mask or channel differs in size from the true nuclei.
pub fn measured(
    truth: Masks,
    prediction: Masks,
    ignore: Option<&Image<bool>>,
    channels: &[(String, Image<f32>)],
    pixel_um: Option<f64>,
) -> Result<MaskMeasures, ScoreError> {
    let size = truth.nuclei.size();
    for masks in [truth, prediction] {
        check_size("prediction", masks.nuclei.size(), size)?;
        if let Some((classes, _)) = masks.cytoplasm {
            check_size("prediction", classes.size(), size)?;
        }
    }
    for (name, image) in channels {
        check_size(&format!("channel `{name}`"), image.size(), size)?;
    }
    let kept = |i: usize| ignore.is_none_or(|ignore| !ignore.data()[i]);
    let empty = |i: usize| kept(i) && !truth.cover(i) && !prediction.cover(i);
    let channels: Vec<Channel> = channels
        .iter()
        .map(|(name, image)| Channel {
            name,
            image,
            ground: ground(image, &empty),
        })
        .collect();
    let side = |masks: Masks| one_side(masks, &kept, &channels, pixel_um);
    let pixels = 0..size.0 * size.1;
    Ok(MaskMeasures {
        truth: side(truth),
        prediction: side(prediction),
        field_px: pixels.filter(|&i| kept(i)).count() as u64,
    })
}

fn one_side(
    masks: Masks,
    kept: &dyn Fn(usize) -> bool,
    channels: &[Channel],
    pixel_um: Option<f64>,
) -> SideMeasures {
    let labels = masks.nuclei.data();
    let inside: Vec<usize> = (0..labels.len())
        .filter(|&i| labels[i] != 0 && kept(i))
        .collect();
    let mut seen: Vec<u32> = inside.iter().map(|&i| labels[i]).collect();
    seen.sort_unstable();
    seen.dedup();
    let around: Vec<usize> = match masks.cytoplasm {
        None => Vec::new(),
        Some((classes, class)) => (0..labels.len())
            .filter(|&i| classes.data()[i] == class && classes.data()[i] != IGNORED && kept(i))
            .collect(),
    };
    let sum = |channel: &Channel, pixels: &[usize]| {
        let above = |&i: &usize| f64::from(channel.image.data()[i]) - channel.ground;
        PixelSum {
            sum: pixels.iter().map(above).sum(),
            n: pixels.len() as u64,
        }
    };
    let of = |channel: &Channel| {
        let sums = ChannelSums {
            nucleus: sum(channel, &inside),
            cytoplasm: sum(channel, &around),
        };
        (channel.name.to_owned(), sums)
    };
    SideMeasures {
        nuclei: seen.len() as u64,
        nucleus_px: inside.len() as u64,
        nucleus_um2: pixel_um.map(|um| um * um * inside.len() as f64),
        channels: ByName(channels.iter().map(of).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drawing::labels;

    #[test]
    fn a_field_is_measured_through_both_masks_without_what_is_ignored() {
        let truth = labels(&["11..2", "11..2"]);
        let prediction = labels(&["1....", "1...."]);
        let cytoplasm = Image::from_fn(2, 5, |_, x| if x == 2 { 2u8 } else { 0 });
        let ignore = Image::from_fn(2, 5, |_, x| x == 4);
        let light = Image::from_fn(2, 5, |y, x| (10 * y + x) as f32);
        let masks = |nuclei| Masks {
            nuclei,
            cytoplasm: Some((&cytoplasm, 2)),
        };
        let channels = [("stain".to_owned(), light)];
        let found = measured(
            masks(&truth),
            masks(&prediction),
            Some(&ignore),
            &channels,
            Some(0.5),
        );
        let found = found.unwrap();
        assert_eq!(
            (found.truth.nuclei, found.truth.nucleus_px, found.field_px),
            (1, 4, 8)
        );
        assert_eq!(found.truth.nucleus_um2, Some(1.0));
        // Empty on both sides and not ignored are the pixels (0, 3) and (1, 3) with 3 and 13; the
        // lower one is their median.
        let stain = found.truth.channels.get("stain").unwrap();
        assert_eq!(
            stain.nucleus,
            PixelSum {
                sum: 22.0 - 4.0 * 3.0,
                n: 4
            }
        );
        assert_eq!(
            stain.cytoplasm,
            PixelSum {
                sum: 14.0 - 2.0 * 3.0,
                n: 2
            }
        );
        let stain = found.prediction.channels.get("stain").unwrap();
        assert_eq!(
            stain.nucleus,
            PixelSum {
                sum: 10.0 - 2.0 * 3.0,
                n: 2
            }
        );
    }

    #[test]
    fn a_field_without_empty_ground_takes_its_darkest_pixels() {
        let image = Image::from_fn(20, 10, |y, x| (10 * y + x) as f32);
        assert_eq!(ground(&image, &|_| false), 1.0);
        assert_eq!(ground(&image, &|i| i < 101), 50.0);
    }
}
