//! Areas of nuclei and cytoplasm that are expected in fields and wells: what `predictions.csv` and
//! the JSON of `predict` say of them.

use serde::Serialize;
use stainfree_inference::Confidence;
use stainfree_inference::confidence::{AreaRules, Areas, Count, CountOf, FoundAreas, SureNucleus};

use crate::study::predictions::{AREA_UNIT, AREAS};

/// Areas that are expected somewhere, and what they are in.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ExpectedAreas {
    /// `um2`, or `px2` where sizes do not count.
    pub unit: String,
    /// The areas.
    #[serde(flatten)]
    pub areas: Areas,
}

impl ExpectedAreas {
    /// Of a field's nuclei and the pixels of its cytoplasm, where the classes have one. `pixel_um`
    /// is the side of its pixels. `None` where the confidence knows no areas, or sizes count and
    /// are not known.
    pub(crate) fn of_field<'a>(
        confidence: &Confidence,
        nuclei: impl Iterator<Item = &'a SureNucleus>,
        cytoplasm: Option<usize>,
        pixel_um: Option<f64>,
    ) -> Option<Self> {
        let rules = confidence.areas.as_ref()?;
        let (unit, pixel) = match confidence.in_pixels {
            true => ("px2", 1.0),
            false => ("um2", pixel_um?.powi(2)),
        };
        let mut found = FoundAreas {
            nuclei: 0.0,
            confidences: 0.0,
            cytoplasm: cytoplasm.map(|pixels| pixels as f64 * pixel),
        };
        for nucleus in nuclei {
            found.nuclei += nucleus.confidence * nucleus.area as f64 * pixel;
            found.confidences += nucleus.confidence;
        }
        Some(Self {
            unit: unit.to_owned(),
            areas: rules.areas(&found, CountOf::Field),
        })
    }

    /// What `predictions.csv` says of them.
    pub(crate) fn cells(&self) -> Vec<(&'static str, String)> {
        let Areas {
            nuclei,
            mean,
            cytoplasm,
        } = &self.areas;
        let mut cells = vec![(AREA_UNIT, self.unit.clone())];
        for (columns, area) in AREAS.into_iter().zip([nuclei, mean, cytoplasm]) {
            let Some(area) = area else { continue };
            let [expected, low, high] = columns;
            cells.push((expected, format!("{:.2}", area.expected)));
            if let Some(interval) = area.interval {
                cells.push((low, format!("{:.2}", interval[0])));
                cells.push((high, format!("{:.2}", interval[1])));
            }
        }
        cells
    }
}

/// What was predicted in the fields of a well, summed up from the cells of their rows.
#[derive(Default)]
pub(crate) struct WellAreas {
    unit: Option<String>,
    /// Sums of what is expected of nuclei and of cytoplasm.
    sums: [Option<f64>; 2],
    /// A field says nothing, or in another unit.
    is_open: bool,
}

impl WellAreas {
    /// Adds a field by the cells of its row.
    pub(crate) fn add(&mut self, cell: impl Fn(&str) -> Option<String>) {
        let unit = cell(AREA_UNIT).filter(|unit| !unit.is_empty());
        let same = self.unit.is_none() || self.unit == unit;
        self.is_open |= unit.is_none() || !same;
        self.unit = unit.or(self.unit.take());
        for (sum, column) in self.sums.iter_mut().zip([AREAS[0][0], AREAS[2][0]]) {
            if let Some(area) = cell(column).and_then(|cell| cell.parse::<f64>().ok()) {
                *sum = Some(sum.unwrap_or(0.0) + area);
            }
        }
    }

    /// The areas of the well, whose confidences add up to `confidences`; `None` where a field does
    /// not say what it has.
    pub(crate) fn finish(self, rules: &AreaRules, confidences: f64) -> Option<ExpectedAreas> {
        let (unit, [Some(nuclei), cytoplasm]) = (self.unit?, self.sums) else {
            return None;
        };
        let per_found = |rule: &stainfree_inference::confidence::AreaRule| rule.per_found;
        let found = FoundAreas {
            nuclei: nuclei / per_found(&rules.nuclei),
            confidences,
            cytoplasm: cytoplasm
                .zip(rules.cytoplasm.as_ref().map(per_found))
                .map(|(a, f)| a / f),
        };
        (!self.is_open).then(|| ExpectedAreas {
            unit,
            areas: rules.areas(&found, CountOf::Well),
        })
    }
}

/// The three areas by their names in scores.
pub(crate) fn named(areas: &Areas) -> [(&'static str, Option<Count>); 3] {
    let Areas {
        nuclei,
        mean,
        cytoplasm,
    } = *areas;
    [
        ("all nuclei", nuclei),
        ("a nucleus on average", mean),
        ("cytoplasm", cytoplasm),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use stainfree_inference::confidence::AreaRule;

    fn rules() -> AreaRules {
        let rule = |per_found: f64| AreaRule {
            per_found,
            field: Some(1.0),
            well: Some(2.0),
        };
        AreaRules {
            usual: 50.0,
            nuclei: rule(2.0),
            mean: rule(1.25),
            cytoplasm: Some(rule(0.5)),
        }
    }

    #[test]
    fn a_wells_areas_are_those_of_its_fields_together() {
        let row = |nuclei: &str, cytoplasm: &str, unit: &str| {
            let cells = [
                (AREAS[0][0], nuclei),
                (AREAS[2][0], cytoplasm),
                (AREA_UNIT, unit),
            ];
            let cells = cells.map(|(column, cell)| (column.to_owned(), cell.to_owned()));
            move |column: &str| {
                let found = cells.iter().find(|(name, _)| name == column);
                found.map(|(_, cell)| cell.clone())
            }
        };
        let mut well = WellAreas::default();
        well.add(row("1000", "300", "um2"));
        well.add(row("600", "200", "um2"));
        let found = well.finish(&rules(), 10.0).unwrap();
        assert_eq!(found.unit, "um2");
        assert!((found.areas.nuclei.unwrap().expected - 1600.0).abs() < 1e-9);
        // 800 were found in 10 nuclei, which are by a quarter too small.
        assert!((found.areas.mean.unwrap().expected - 100.0).abs() < 1e-9);
        assert!((found.areas.cytoplasm.unwrap().expected - 500.0).abs() < 1e-9);
        for other in [row("1000", "", "px2"), row("", "", "")] {
            let mut well = WellAreas::default();
            well.add(row("1000", "300", "um2"));
            well.add(other);
            assert!(well.finish(&rules(), 10.0).is_none());
        }
    }

    #[test]
    fn an_area_without_an_interval_leaves_its_cells_empty() {
        let areas = Areas {
            nuclei: Some(Count {
                expected: 12.5,
                interval: Some([10.0, 15.0]),
            }),
            mean: Some(Count {
                expected: 3.0,
                interval: None,
            }),
            cytoplasm: None,
        };
        let said = ExpectedAreas {
            unit: "px2".to_owned(),
            areas,
        };
        let cells = said.cells();
        let columns: Vec<&str> = cells.iter().map(|(column, _)| *column).collect();
        let [nuclei, mean, _] = AREAS;
        assert_eq!(
            columns,
            [AREA_UNIT, nuclei[0], nuclei[1], nuclei[2], mean[0]]
        );
        assert_eq!(cells[1].1, "12.50");
    }
}
