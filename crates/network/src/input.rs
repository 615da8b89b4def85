//! From raw planes to what the encoder reads; recorded in the model, since a model is only as good
//! as its input is the same.
//!
//! Two steps. [`Normalisation`] brings each plane to a scale of its own, where the range of an
//! ordinary picture is 0 to 1; it looks at whole fields, never at crops, so a crop in training and
//! the same pixels in prediction have the same values. [`Preprocessing`] then turns three planes
//! into the channels, order and scale that the encoder's weights were trained with.

mod rows;

pub use rows::{NormalisedRows, Pass, Row, RowNormaliser, Values, ranked};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use stainfree_image::Image;
use std::borrow::Cow;

/// How raw intensities become comparable between fields.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Normalisation {
    /// The paper's: the plane's full range to 8 bit, `round(255 x / full_range)`, no stretch at
    /// all.
    Paper,
    /// `low` percent of the field's pixels lie below 0 and `100 - high` percent above 1; clipped to
    /// -0.5 to 1.5.
    Percentiles {
        /// Lower percentile, 0 to 100.
        low: f64,
        /// Upper percentile, 0 to 100.
        high: f64,
    },
    /// Local background taken away, then divided by the field's own contrast: uneven illumination,
    /// exposure and gain drop out. Centred on 0.45 with a standard deviation of 0.225, clipped at 5
    /// of them.
    Local {
        /// Standard deviation of the background's blur in pixels, wider than a cell.
        radius_px: f64,
    },
}

/// Centre and standard deviation of a normalised plane; those of natural images in ImageNet, so
/// that pretrained encoders see what they are used to.
pub const CENTRE: f32 = 0.45;
pub(crate) const SPREAD: f32 = 0.225;
/// Where [`Normalisation::Local`] is clipped, in standard deviations.
pub(crate) const LIMIT: f32 = 5.0;
/// Percentile of the magnitudes above which a pixel does not set the contrast: one in a thousand
/// is dust or dead.
pub(crate) const OUTLIERS: f64 = 99.9;
/// Contrast below which there is none.
pub(crate) const LEAST_DEVIATION: f32 = 1e-7;
/// The floor of the background is this share of its mean, and keeps dark corners from exploding.
pub(crate) const LEAST_LIGHT: f32 = 0.1;
/// Ranges and backgrounds below this share of the full range count as that.
pub(crate) const LEAST_RANGE: f32 = 1e-6;
/// Where [`Normalisation::Percentiles`] is clipped.
pub(crate) const STRETCHED: [f32; 2] = [-0.5, 1.5];
/// Box means that make a blur.
pub(crate) const BLUR_PASSES: usize = 3;

impl Normalisation {
    /// Refuses numbers that make no sense.
    ///
    /// # Errors
    /// Percentiles outside 0 to 100 or in the wrong order, a radius that is not 1 to 1000.
    pub fn check(&self) -> Result<(), InputError> {
        match *self {
            Normalisation::Percentiles { low, high }
                if !(0.0 <= low && low < high && high <= 100.0) =>
            {
                Err(InputError::Percentiles { low, high })
            }
            Normalisation::Local { radius_px } if !(1.0..=1000.0).contains(&radius_px) => {
                Err(InputError::Radius(radius_px))
            }
            _ => Ok(()),
        }
    }

    /// Normalises one plane of raw counts; `full_range` is the largest count its format can hold
    /// (255, 65535, or 1 for floating point). Values that are not finite count as 0.
    pub fn apply(&self, plane: &Image<f32>, full_range: f32) -> Image<f32> {
        self.apply_besides(plane, full_range, None)
    }

    /// [`Normalisation::apply`] to a plane of which some pixels are `blank`: they show nothing of
    /// the specimen, take no part in any statistic and get the mean of all others.
    ///
    /// # Panics
    /// If `blank` is of another size.
    pub fn apply_besides(
        &self,
        plane: &Image<f32>,
        full_range: f32,
        blank: Option<&Image<bool>>,
    ) -> Image<f32> {
        if let Some(blank) = blank {
            assert_eq!(plane.size(), blank.size(), "a mask of the plane");
        }
        let finite = plane.map(|&x| if x.is_finite() { x } else { 0.0 });
        let mut normalised = match *self {
            Normalisation::Paper => {
                finite.map(|&x| (x * (255.0 / full_range)).round().clamp(0.0, 255.0) / 255.0)
            }
            Normalisation::Percentiles { low, high } => {
                let limits = percentiles(&seen(&finite, blank), [low, high]);
                stretched(&finite, limits, full_range)
            }
            Normalisation::Local { radius_px } => local(&finite, blank, radius_px, full_range),
        };
        if let Some(blank) = blank {
            let seen = seen(&normalised, Some(blank));
            let sum: f64 = seen.iter().map(|&v| f64::from(v)).sum();
            let mean = (sum / seen.len().max(1) as f64) as f32;
            let pairs = normalised.data_mut().iter_mut().zip(blank.data());
            pairs
                .filter(|(_, blank)| **blank)
                .for_each(|(v, _)| *v = mean);
        }
        normalised
    }
}

/// The values of the pixels that are not blank.
fn seen<'a>(image: &'a Image<f32>, blank: Option<&Image<bool>>) -> Cow<'a, [f32]> {
    let Some(blank) = blank else {
        return image.data().into();
    };
    let pairs = image.data().iter().zip(blank.data());
    pairs
        .filter(|&(_, &blank)| !blank)
        .map(|(&v, _)| v)
        .collect()
}

/// The values below which `percent` of `data` lie, by linear interpolation between ranks (NumPy's
/// default).
fn percentiles<const N: usize>(data: &[f32], percent: [f64; N]) -> [f32; N] {
    if data.is_empty() {
        return [0.0; N];
    }
    let mut data = data.to_vec();
    percent.map(|p| {
        let rank = p / 100.0 * (data.len() - 1) as f64;
        let (_, &mut below, rest) = data.select_nth_unstable_by(rank as usize, f32::total_cmp);
        let above = rest.iter().copied().fold(f32::INFINITY, f32::min);
        let share = rank.fract() as f32;
        if share > 0.0 {
            below + (above - below) * share
        } else {
            below
        }
    })
}

fn stretched(plane: &Image<f32>, [low, high]: [f32; 2], full_range: f32) -> Image<f32> {
    let range = (high - low).max(LEAST_RANGE * full_range);
    plane.map(|&x| ((x - low) / range).clamp(STRETCHED[0], STRETCHED[1]))
}

/// The mean around each pixel of those that are not blank; 0 where there is none.
fn blur_besides(plane: &Image<f32>, blank: &Image<bool>, radius_px: f64) -> Image<f32> {
    let weight = blank.map(|&blank| if blank { 0.0 } else { 1.0 });
    let mut sum = plane.clone();
    let pairs = sum.data_mut().iter_mut().zip(weight.data());
    pairs.for_each(|(v, w)| *v *= w);
    let (mut sum, weight) = (blur(&sum, radius_px), blur(&weight, radius_px));
    let pairs = sum.data_mut().iter_mut().zip(weight.data());
    // Far inside a blank region only the rounding of the running sum is left.
    pairs.for_each(|(v, &w)| *v = if w > 1e-4 { *v / w } else { 0.0 });
    sum
}

fn local(
    plane: &Image<f32>,
    blank: Option<&Image<bool>>,
    radius_px: f64,
    full_range: f32,
) -> Image<f32> {
    let is_seen = |i: usize| blank.is_none_or(|blank| !blank.data()[i]);
    let background = match blank {
        None => blur(plane, radius_px),
        Some(blank) => blur_besides(plane, blank, radius_px),
    };
    let seen = (0..plane.data().len()).filter(|&i| is_seen(i)).count();
    // Divide by the background as well where there is light: shading multiplies.
    let around = background.data().iter().enumerate();
    let sum: f64 = around
        .filter(|&(i, _)| is_seen(i))
        .map(|(_, &x)| f64::from(x))
        .sum();
    let mean = sum / seen.max(1) as f64;
    let floor = (LEAST_LIGHT * mean as f32).max(LEAST_RANGE * full_range);
    let data: Vec<f32> = plane
        .data()
        .iter()
        .zip(background.data())
        .map(|(x, b)| (x - b) / b.max(floor))
        .collect();
    let places = data.iter().enumerate();
    let magnitudes: Vec<f32> = places
        .filter(|&(i, _)| is_seen(i))
        .map(|(_, x)| x.abs())
        .collect();
    let [limit] = percentiles(&magnitudes, [OUTLIERS]);
    let squares: f64 = magnitudes
        .iter()
        .map(|x| f64::from(x.min(limit)).powi(2))
        .sum();
    let deviation = (squares / seen.max(1) as f64).sqrt() as f32;
    let scale = if deviation > LEAST_DEVIATION {
        1.0 / deviation
    } else {
        0.0
    };
    let (height, width) = plane.size();
    let data = data
        .iter()
        .map(|x| CENTRE + SPREAD * (x * scale).clamp(-LIMIT, LIMIT))
        .collect();
    Image::new(height, width, data)
}

/// Nearly Gaussian blur: three box means in each direction, borders mirrored.
///
/// Source: Wells (1986), "Efficient synthesis of Gaussian filters by cascaded uniform filters";
/// widths after Getreuer (2013). Sums in f64, so the running sum does not drift.
fn blur(image: &Image<f32>, sigma: f64) -> Image<f32> {
    let half = blur_half(sigma);
    let (height, width) = image.size();
    let mut rows = image.data().to_vec();
    rows.par_chunks_mut(width.max(1))
        .for_each(|row| blur_line(row, half));
    let mut columns = transpose(&rows, height, width);
    columns
        .par_chunks_mut(height.max(1))
        .for_each(|column| blur_line(column, half));
    Image::new(height, width, transpose(&columns, width, height))
}

/// Pixels to each side of the middle one in the box means of a blur.
pub(crate) fn blur_half(sigma: f64) -> usize {
    let passes = BLUR_PASSES as f64;
    let half = ((12.0 * sigma * sigma / passes + 1.0).sqrt() - 1.0) / 2.0;
    half.round().max(1.0) as usize
}

fn transpose(data: &[f32], height: usize, width: usize) -> Vec<f32> {
    let mut out = vec![0.0; data.len()];
    out.par_chunks_mut(height.max(1))
        .enumerate()
        .for_each(|(x, column)| {
            for (y, value) in column.iter_mut().enumerate() {
                *value = data[y * width + x];
            }
        });
    out
}

fn blur_line(line: &mut [f32], half: usize) {
    let n = line.len();
    let window = 2 * half + 1;
    // The line with `half` mirrored values before it and one more behind it.
    let mut from = vec![0.0f32; n + window];
    for _ in 0..BLUR_PASSES {
        from[half..half + n].copy_from_slice(line);
        for i in (0..half).chain(half + n..n + window) {
            from[i] = line[mirror(i as isize - half as isize, n)];
        }
        let mut sum: f64 = from[..window].iter().map(|&x| f64::from(x)).sum();
        let scale = 1.0 / window as f64;
        for ((out, &first), &next) in line.iter_mut().zip(&from).zip(&from[window..]) {
            *out = (sum * scale) as f32;
            sum += f64::from(next) - f64::from(first);
        }
    }
}

/// `index` reflected into `0..n` without repeating the edge (… 2 1 0 1 2 …), as often as needed.
pub(crate) fn mirror(index: isize, n: usize) -> usize {
    if n == 1 {
        return 0;
    }
    let period = 2 * (n as isize - 1);
    let i = index.rem_euclid(period);
    i.min(period - i) as usize
}

/// Order of the colour channels an encoder's weights expect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChannelOrder {
    /// Red first: plane 1 feeds channel 1.
    Rgb,
    /// Blue first: the planes' order is reversed.
    Bgr,
}

/// What a source of encoder weights expects of its input; mixing two of them up is silent and
/// costly.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocessing {
    /// Order of the channels.
    pub order: ChannelOrder,
    /// Factor that takes 0 to 1 to the source's range (1 or 255).
    pub range: f32,
    /// Taken away from each channel, in the source's order and range.
    pub mean: [f32; InputSpec::CHANNELS],
    /// Each channel is divided by this.
    pub std: [f32; InputSpec::CHANNELS],
}

impl Preprocessing {
    /// For weights that start fresh: mean 0 and standard deviation 1 for a normalised plane.
    pub fn centred() -> Self {
        Self {
            order: ChannelOrder::Rgb,
            range: 1.0,
            mean: [CENTRE; 3],
            std: [SPREAD; 3],
        }
    }

    /// Keras' VGG16 (`caffe` mode), which is also the paper's: BGR, 0 to 255, mean taken away.
    pub fn keras_vgg16() -> Self {
        Self {
            order: ChannelOrder::Bgr,
            range: 255.0,
            mean: [103.939, 116.779, 123.68],
            std: [1.0; 3],
        }
    }

    /// torchvision's ImageNet weights: RGB, 0 to 1, mean and standard deviation of ImageNet.
    pub fn torchvision() -> Self {
        Self {
            order: ChannelOrder::Rgb,
            range: 1.0,
            mean: [0.485, 0.456, 0.406],
            std: [0.229, 0.224, 0.225],
        }
    }

    /// torchvision's `IMAGENET1K_FEATURES` VGG16: RGB, 0 to 1, minus the mean, times 255.
    pub fn torchvision_vgg16_features() -> Self {
        let std = [1.0 / 255.0; 3];
        Self {
            order: ChannelOrder::Rgb,
            range: 1.0,
            mean: [0.48235, 0.45882, 0.40784],
            std,
        }
    }

    /// The plane (0 to 2) that feeds `channel`, and the factor and offset applied to it.
    pub fn channel(&self, channel: usize) -> (usize, f32, f32) {
        let plane = match self.order {
            ChannelOrder::Rgb => channel,
            ChannelOrder::Bgr => 2 - channel,
        };
        (
            plane,
            self.range / self.std[channel],
            -self.mean[channel] / self.std[channel],
        )
    }
}

/// All that happens to an image before the network reads it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputSpec {
    /// Brightfield planes per field: 1 (used three times) or 3.
    pub planes: usize,
    /// Per plane and field.
    pub normalisation: Normalisation,
    /// What the encoder's weights expect.
    pub preprocessing: Preprocessing,
}

impl InputSpec {
    /// Channels that [`InputSpec::write_channels`] writes: those of the images that encoders were
    /// trained on.
    pub const CHANNELS: usize = 3;

    /// Normalises the planes of one field; as many come out as go in (see [`InputSpec::planes`]).
    ///
    /// # Errors
    /// A wrong number of planes, planes of different sizes, an empty field, a range that is not
    /// positive.
    pub fn normalise(
        &self,
        planes: &[Image<f32>],
        full_range: f32,
    ) -> Result<Vec<Image<f32>>, InputError> {
        self.normalise_besides(planes, full_range, None)
    }

    /// [`InputSpec::normalise`] where some pixels are `blank`, see
    /// [`Normalisation::apply_besides`].
    ///
    /// # Errors
    /// As [`InputSpec::normalise`]; a mask of another size, or one that leaves no pixel.
    pub fn normalise_besides(
        &self,
        planes: &[Image<f32>],
        full_range: f32,
        blank: Option<&Image<bool>>,
    ) -> Result<Vec<Image<f32>>, InputError> {
        self.normalisation.check()?;
        if !matches!(self.planes, 1 | Self::CHANNELS) || planes.len() != self.planes {
            return Err(InputError::Planes {
                expected: self.planes,
                found: planes.len(),
            });
        }
        let size = planes[0].size();
        if let Some(other) = planes.iter().find(|p| p.size() != size) {
            return Err(InputError::Sizes {
                first: size,
                other: other.size(),
            });
        }
        if size.0 == 0 || size.1 == 0 {
            return Err(InputError::Empty);
        }
        if !(full_range.is_finite() && full_range > 0.0) {
            return Err(InputError::FullRange(full_range));
        }
        if let Some(blank) = blank {
            if blank.size() != size {
                return Err(InputError::Sizes {
                    first: size,
                    other: blank.size(),
                });
            }
            if !blank.data().contains(&false) {
                return Err(InputError::Blank);
            }
        }
        Ok(planes
            .iter()
            .map(|plane| self.normalisation.apply_besides(plane, full_range, blank))
            .collect())
    }

    /// Writes the three channels of normalised planes (one, or three) into `out`,
    /// `[channel][y][x]`.
    ///
    /// # Panics
    /// If `out` does not hold three planes.
    pub fn write_channels(&self, planes: &[&[f32]], out: &mut [f32]) {
        let size = planes[0].len();
        assert_eq!(
            out.len(),
            Self::CHANNELS * size,
            "the network reads three channels"
        );
        for (channel, out) in out.chunks_mut(size.max(1)).enumerate() {
            let (plane, factor, offset) = self.preprocessing.channel(channel);
            let plane = planes[plane.min(planes.len() - 1)];
            for (out, &x) in out.iter_mut().zip(plane) {
                *out = x * factor + offset;
            }
        }
    }
}

/// Input that the network cannot read.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum InputError {
    /// Percentiles out of order.
    #[error("percentiles `{low}` and `{high}` make no range; use 0 <= low < high <= 100")]
    Percentiles {
        /// Lower.
        low: f64,
        /// Upper.
        high: f64,
    },
    /// Background radius out of range.
    #[error("background radius `{0}` px is outside 1 to 1000")]
    Radius(f64),
    /// Wrong number of planes.
    #[error("{found} brightfield planes given, the model reads {expected} (1 or 3 are possible)")]
    Planes {
        /// What the model was made for.
        expected: usize,
        /// What was given.
        found: usize,
    },
    /// Planes of different sizes.
    #[error("the planes differ in size: {} x {} and {} x {}", first.0, first.1, other.0, other.1)]
    Sizes {
        /// Height and width of the first plane.
        first: (usize, usize),
        /// Of a plane that differs.
        other: (usize, usize),
    },
    /// No pixel at all.
    #[error("the field has no pixel")]
    Empty,
    /// No pixel shows anything.
    #[error(
        "no pixel shows anything: all hold one value or no number; look at the file, or leave it \
         out"
    )]
    Blank,
    /// The largest possible count is not positive.
    #[error("full range `{0}` is not a positive number")]
    FullRange(f32),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Purpose, Random};

    fn spec(normalisation: Normalisation, preprocessing: Preprocessing) -> InputSpec {
        InputSpec {
            planes: 1,
            normalisation,
            preprocessing,
        }
    }

    #[test]
    fn the_papers_input_is_8_bit_bgr_and_flips_the_planes() {
        let input = InputSpec {
            planes: 3,
            ..spec(Normalisation::Paper, Preprocessing::keras_vgg16())
        };
        let planes: Vec<_> = [257.0 * 10.0, 257.0 * 20.4, 65535.0]
            .map(|x| Image::filled(1, 1, x))
            .into();
        let planes = input.normalise(&planes, 65535.0).unwrap();
        let planes: Vec<&[f32]> = planes.iter().map(|p| p.data()).collect();
        let mut out = [0.0; 3];
        input.write_channels(&planes, &mut out);
        // BF3 = 255 first, then BF2 = 20 (20.4 rounds), then BF1 = 10.
        for (got, expected) in out
            .iter()
            .zip([255.0 - 103.939, 20.0 - 116.779, 10.0 - 123.68])
        {
            assert!((got - expected).abs() < 1e-4, "{got} {expected}");
        }
    }

    #[test]
    fn one_plane_feeds_all_channels() {
        let input = spec(Normalisation::Paper, Preprocessing::torchvision());
        let mut out = [0.0; 6];
        input.write_channels(&[&[0.485, 1.0]], &mut out);
        assert!(out[0].abs() < 1e-6 && (out[3] - (1.0 - 0.456) / 0.224).abs() < 1e-5);
        assert!((out[5] - (1.0 - 0.406) / 0.225).abs() < 1e-5);
    }

    #[test]
    fn percentiles_interpolate_like_numpy() {
        let data: Vec<f32> = (0..11).rev().map(|x| x as f32 * 10.0).collect();
        // numpy.percentile(numpy.arange(0, 110, 10), (25, 99)) = 25, 99
        assert_eq!(percentiles(&data, [25.0, 99.0, 100.0]), [25.0, 99.0, 100.0]);
    }

    #[test]
    fn gain_and_offset_drop_out_of_percentiles() {
        let image = Image::from_fn(20, 30, |y, x| ((7 * y + 3 * x) % 50) as f32);
        let n = Normalisation::Percentiles {
            low: 1.0,
            high: 99.0,
        };
        let a = n.apply(&image, 255.0);
        let b = n.apply(&image.map(|x| 1000.0 + 40.0 * x), 65535.0);
        for (a, b) in a.data().iter().zip(b.data()) {
            assert!((a - b).abs() < 1e-4);
        }
    }

    #[test]
    fn local_flattening_removes_shading_and_gain() {
        let mut random = Random::new(1, Purpose::Noise, 0, 0);
        let texture = Image::from_fn(128, 160, |_, _| 1.0 + 0.05 * random.normal() as f32);
        let n = Normalisation::Local { radius_px: 12.0 };
        let flat = n.apply(&texture, 65535.0);
        let shaded = Image::from_fn(128, 160, |y, x| {
            texture.get(y, x) * (20_000.0 - 20.0 * y as f32 - 15.0 * x as f32)
        });
        let other = n.apply(&shaded, 65535.0);
        let (mut sum, mut squares) = (0.0, 0.0);
        for (a, b) in flat.data().iter().zip(other.data()) {
            sum += f64::from((a - b).abs());
            squares += f64::from((a - CENTRE) / SPREAD).powi(2);
        }
        let n = flat.data().len() as f64;
        // Mirroring bends the background at the borders by slope times 12 px, 1.5 % where the
        // texture is 5 %.
        assert!(sum / n < 0.02, "{}", sum / n);
        assert!((squares / n - 1.0).abs() < 0.05, "{}", squares / n);
    }

    #[test]
    fn a_blank_field_stays_finite_in_every_normalisation() {
        for n in [
            Normalisation::Paper,
            Normalisation::Percentiles {
                low: 0.5,
                high: 99.5,
            },
            Normalisation::Local { radius_px: 32.0 },
        ] {
            for value in [0.0, 65535.0, f32::NAN] {
                let out = n.apply(&Image::filled(5, 7, value), 65535.0);
                assert!(out.data().iter().all(|x| x.is_finite()), "{n:?} {value}");
            }
            let single = n.apply(&Image::filled(1, 1, 3.0), 255.0);
            assert!(single.data()[0].is_finite());
        }
    }

    #[test]
    fn the_blur_keeps_the_mean_of_a_line_and_its_width() {
        let mut line = vec![0.0f32; 201];
        line[100] = 1.0;
        let image = Image::new(1, 201, line);
        let out = blur(&image, 10.0);
        let sum: f32 = out.data().iter().sum();
        let variance: f32 = out
            .data()
            .iter()
            .enumerate()
            .map(|(x, v)| v * (x as f32 - 100.0).powi(2))
            .sum();
        assert!((sum - 1.0).abs() < 1e-5);
        // Three boxes of 21: variance 3 (21^2 - 1) / 12 = 110.
        assert!((variance - 110.0).abs() < 1.0, "{variance}");
    }

    #[test]
    fn mirroring_does_not_repeat_the_edge() {
        let got: Vec<usize> = (-3..7).map(|i| mirror(i, 3)).collect();
        assert_eq!(got, [1, 2, 1, 0, 1, 2, 1, 0, 1, 2]);
        assert_eq!(mirror(-5, 1), 0);
    }

    #[test]
    fn wrong_input_is_named() {
        let input = spec(Normalisation::Paper, Preprocessing::centred());
        let two = vec![Image::filled(2, 2, 0.0); 2];
        assert_eq!(
            input.normalise(&two, 255.0).unwrap_err().to_string(),
            "2 brightfield planes given, the model reads 1 (1 or 3 are possible)"
        );
        let three = InputSpec {
            planes: 3,
            ..input.clone()
        };
        let sizes = [
            Image::filled(2, 2, 0.0),
            Image::filled(2, 2, 0.0),
            Image::filled(2, 3, 0.0),
        ];
        assert_eq!(
            three.normalise(&sizes, 255.0).unwrap_err().to_string(),
            "the planes differ in size: 2 x 2 and 2 x 3"
        );
        assert!(
            Normalisation::Percentiles {
                low: 60.0,
                high: 40.0
            }
            .check()
            .is_err()
        );
        assert!(
            Normalisation::Local {
                radius_px: f64::NAN
            }
            .check()
            .is_err()
        );
    }
}
