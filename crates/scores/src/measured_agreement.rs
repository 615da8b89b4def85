//! How what is measured through predicted masks agrees with what is measured through true ones,
//! over wells, whose values come from the sums of their fields.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::measured::{MaskMeasures, SideMeasures};
use crate::{BlandAltman, FieldScores, bland_altman, bland_altman_percent, concordance, pearson};

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
