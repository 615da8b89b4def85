//! The cost of freeing the stain's channel: counts, areas and intensities as they are measured
//! through predicted masks, against the same through true ones.
//!
//! Here: sums of a field ([`MaskMeasures`]), and their agreement over wells ([`AgreementSummary`]).
//! A well's values come from the sums of its fields. Intensities are above the ground of their
//! field, the same for both masks: with the ground in them, per cents of a dim stain would look
//! better than they are.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stainfree_image::Image;

use crate::pixels::{IGNORED, check_size};
use crate::{
    BlandAltman, ByName, FieldScores, ScoreError, bland_altman, bland_altman_percent, concordance,
    pearson,
};

/// Sum and number of pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PixelSum {
    /// Sum of their intensities above the ground of the field.
    pub sum: f64,
    /// Pixels.
    pub n: u64,
}

impl PixelSum {
    fn mean(self) -> Option<f64> {
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
    fn add(&mut self, other: &Self, first: bool) {
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

/// Agreement of what predicted and true masks measure, by quantity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AgreementSummary {
    /// What a value is taken from: `well` or another group, or `field`.
    pub unit: String,
    /// How many there are.
    pub units: usize,
    /// The quantities.
    pub quantities: Vec<AgreementRow>,
}

impl AgreementSummary {
    /// The sentence that stands for all quantities where none of them can be compared.
    pub fn too_few(&self) -> Option<String> {
        let unknown = |row: &AgreementRow| row.percent.is_none() && row.concordance.is_none();
        self.quantities.iter().all(unknown).then(|| {
            let (units, unit) = (self.units, &self.unit);
            let s = if units == 1 { "" } else { "s" };
            format!(
                "what is measured through masks cannot be compared: {units} {unit}{s} are too few"
            )
        })
    }
}

/// One quantity of one unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UnitPair {
    /// The unit.
    pub name: String,
    /// Through the true masks.
    pub truth: f64,
    /// Through the predicted masks.
    pub prediction: f64,
    /// True nuclei per million pixels.
    pub density: f64,
}

/// Agreement of one quantity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AgreementRow {
    /// What is measured.
    pub quantity: String,
    /// Its unit; empty where it has none.
    pub measured_in: String,
    /// The values.
    pub pairs: Vec<UnitPair>,
    /// Prediction minus truth: bias and limits of agreement.
    pub difference: Option<BlandAltman>,
    /// The same in per cent of the mean of both.
    pub percent: Option<BlandAltman>,
    /// Lin's concordance correlation.
    pub concordance: Option<f64>,
    /// Pearson's correlation, which does not see a bias.
    pub pearson: Option<f64>,
    /// Mean difference in per cent where cells are sparser than in the median unit.
    pub percent_sparse: Option<f64>,
    /// Mean difference in per cent where cells are denser.
    pub percent_dense: Option<f64>,
    /// Why numbers are missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl AgreementRow {
    /// What it means, in a plain sentence.
    pub fn sentence(&self, unit: &str) -> String {
        let what = &self.quantity;
        let Some(percent) = &self.percent else {
            return format!(
                "How well {what} agree cannot be told from {} {unit}{}.",
                self.pairs.len(),
                if self.pairs.len() == 1 { "" } else { "s" }
            );
        };
        let [low, high] = percent.bias.ci95;
        let sure = if low > 0.0 || high < 0.0 {
            ""
        } else {
            ", which may be chance"
        };
        let bias = percent.bias.value;
        let direction = if bias < 0.0 { "lower" } else { "higher" };
        format!(
            "{}{} measured through predicted masks: {:.1} % {direction} on average{sure}; a single \
             {unit} differs by {:+.0} \
             to {:+.0} % (limits of agreement, from {} {unit}s).",
            what[..1].to_uppercase(),
            &what[1..],
            bias.abs(),
            percent.lower.value,
            percent.upper.value,
            percent.n
        )
    }
}

/// Fewer units than this say nothing about agreement.
const FEWEST: usize = 3;

/// Agreement over the groups (called `group_name`) of the measured fields, over fields where there
/// are fewer than three groups; `None` where nothing was measured.
pub fn measured_agreement(fields: &[FieldScores], group_name: &str) -> Option<AgreementSummary> {
    let measured = || {
        fields
            .iter()
            .filter_map(|f| Some((f, f.measured.as_ref()?)))
    };
    let by = |name: &dyn Fn(&FieldScores) -> String| {
        let mut units: BTreeMap<String, (MaskMeasures, u64)> = BTreeMap::new();
        for (field, sums) in measured() {
            let (total, count) = units.entry(name(field)).or_default();
            let first = *count == 0;
            total.truth.add(&sums.truth, first);
            total.prediction.add(&sums.prediction, first);
            total.field_px += sums.field_px;
            *count += 1;
        }
        units
    };
    let own = |field: &FieldScores| field.name.clone();
    let group = |field: &FieldScores| field.group.clone().unwrap_or_else(|| field.name.clone());
    let mut units = by(&group);
    let mut unit = group_name.to_owned();
    if units.len() < FEWEST || measured().all(|(field, _)| field.group.is_none()) {
        (units, unit) = (by(&own), "field".to_owned());
    }
    if units.is_empty() {
        return None;
    }
    let first = &units.values().next()?.0.truth;
    let known = units
        .values()
        .all(|(sums, _)| sums.truth.nucleus_um2.is_some() && sums.prediction.nucleus_um2.is_some());
    let mut quantities: Vec<Quantity> = vec![Quantity::Count, Quantity::Area { um2: known }];
    for (channel, _) in first.channels.iter() {
        let of = |region| Quantity::Intensity {
            channel: channel.to_owned(),
            region,
        };
        quantities.extend([Region::Nucleus, Region::Cytoplasm, Region::Ratio].map(of));
    }
    let rows = quantities
        .iter()
        .map(|quantity| agreement_row(quantity, &units));
    Some(AgreementSummary {
        unit,
        units: units.len(),
        quantities: rows.filter(|row| !row.pairs.is_empty()).collect(),
    })
}

/// What is compared.
enum Quantity {
    /// Nuclei per field.
    Count,
    /// Mean area of a nucleus.
    Area { um2: bool },
    /// Mean intensity of a channel.
    Intensity { channel: String, region: Region },
}

#[derive(Clone, Copy)]
enum Region {
    Nucleus,
    Cytoplasm,
    Ratio,
}

impl Quantity {
    /// Name and unit.
    fn names(&self) -> (String, &'static str) {
        match self {
            Self::Count => ("nuclei per field".to_owned(), ""),
            Self::Area { um2: true } => ("area of a nucleus".to_owned(), "um2"),
            Self::Area { um2: false } => ("area of a nucleus".to_owned(), "px"),
            Self::Intensity { channel, region } => {
                let region = match region {
                    Region::Nucleus => "in nuclei",
                    Region::Cytoplasm => "in cytoplasm",
                    Region::Ratio => "nucleus over cytoplasm",
                };
                (format!("intensity of {channel} {region}"), "")
            }
        }
    }

    fn of(&self, side: &SideMeasures, fields: u64) -> Option<f64> {
        let per_nucleus = |sum: f64| (side.nuclei > 0).then(|| sum / side.nuclei as f64);
        match self {
            Self::Count => Some(side.nuclei as f64 / fields as f64),
            Self::Area { um2: true } => per_nucleus(side.nucleus_um2?),
            Self::Area { um2: false } => per_nucleus(side.nucleus_px as f64),
            Self::Intensity { channel, region } => {
                let sums = side.channels.get(channel)?;
                match region {
                    Region::Nucleus => sums.nucleus.mean(),
                    Region::Cytoplasm => sums.cytoplasm.mean(),
                    Region::Ratio => {
                        let below = sums.cytoplasm.mean().filter(|mean| *mean != 0.0)?;
                        Some(sums.nucleus.mean()? / below)
                    }
                }
            }
        }
    }
}

fn agreement_row(
    quantity: &Quantity,
    units: &BTreeMap<String, (MaskMeasures, u64)>,
) -> AgreementRow {
    let pair = |(name, (sums, fields)): (&String, &(MaskMeasures, u64))| {
        Some(UnitPair {
            name: name.clone(),
            truth: quantity.of(&sums.truth, *fields)?,
            prediction: quantity.of(&sums.prediction, *fields)?,
            density: 1e6 * sums.truth.nuclei as f64 / sums.field_px.max(1) as f64,
        })
    };
    let pairs: Vec<UnitPair> = units.iter().filter_map(pair).collect();
    let (x, y): (Vec<f64>, Vec<f64>) = pairs.iter().map(|p| (p.truth, p.prediction)).unzip();
    let mut densities: Vec<f64> = pairs.iter().map(|p| p.density).collect();
    densities.sort_unstable_by(f64::total_cmp);
    let median = densities.get(densities.len() / 2).copied();
    let percent_where = |dense: bool| {
        let half = pairs
            .iter()
            .filter(|p| median.is_some_and(|m| (p.density >= m) == dense));
        let percents: Vec<f64> = half
            .filter(|p| p.truth + p.prediction != 0.0)
            .map(|p| 200.0 * (p.prediction - p.truth) / (p.truth + p.prediction))
            .collect();
        (!percents.is_empty()).then(|| percents.iter().sum::<f64>() / percents.len() as f64)
    };
    let (name, measured_in) = quantity.names();
    AgreementRow {
        quantity: name,
        measured_in: measured_in.to_owned(),
        difference: bland_altman(&x, &y),
        percent: bland_altman_percent(&x, &y),
        concordance: concordance(&x, &y),
        pearson: pearson(&x, &y),
        percent_sparse: percent_where(false),
        percent_dense: percent_where(true),
        reason: (pairs.len() < FEWEST)
            .then(|| format!("{} units are fewer than {FEWEST}", pairs.len())),
        pairs,
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

    #[test]
    fn wells_are_compared_by_the_sums_of_their_fields() {
        let side = |nuclei: u64, px: u64| SideMeasures {
            nuclei,
            nucleus_px: px,
            ..SideMeasures::default()
        };
        // Four wells of two fields; the prediction has a tenth more nuclei, dense wells first.
        let field = |i: u64| FieldScores {
            name: format!("f{i}"),
            group: Some(format!("W{}", i / 2)),
            measured: Some(MaskMeasures {
                truth: side(100 - 10 * (i / 2), 1000),
                prediction: side(110 - 11 * (i / 2), 1100),
                field_px: 1_000_000,
            }),
            ..FieldScores::default()
        };
        let fields: Vec<FieldScores> = (0..8).map(field).collect();
        let found = measured_agreement(&fields, "well").unwrap();
        assert_eq!((found.unit.as_str(), found.units), ("well", 4));
        let counts = &found.quantities[0];
        assert_eq!(counts.pairs[1].truth, 90.0);
        let percent = counts.percent.unwrap();
        assert!((percent.bias.value - 100.0 * 0.1 / 1.05).abs() < 1e-9 && percent.sd < 1e-9);
        assert_eq!(counts.difference.unwrap().bias.value, 8.5);
        assert!(
            counts
                .sentence("well")
                .starts_with("Nuclei per field measured through predicted masks: 9.5 % higher")
        );
        // Areas per nucleus agree: ten pixels and more nuclei cancel.
        let area = &found.quantities[1];
        assert_eq!(
            (area.quantity.as_str(), area.measured_in.as_str()),
            ("area of a nucleus", "px")
        );
        assert!(area.percent.unwrap().bias.value.abs() < 1e-9);
        // Two wells are too few, their four fields are not.
        let few = measured_agreement(&fields[..4], "well").unwrap();
        assert_eq!((few.unit.as_str(), few.units), ("field", 4));
        assert_eq!(measured_agreement(&[FieldScores::default()], "well"), None);
    }
}
