//! Plates and wells of a result: maps and tables.

use std::collections::BTreeSet;

use stainfree_inference::confidence::{Areas, Count};
use stainfree_report::{Column, PlateMap, ReportData, Table};

use super::rows::{Row, Well};
use crate::prediction::familiar::PlateLooks;

/// Plates that are drawn; the tables have all.
const MOST_PLATES: usize = 8;
/// Tables with more rows start folded.
const FOLDED_FROM: usize = 24;

/// Adds maps of nuclei, confidence and strangeness by well, and the tables.
pub(super) fn add(data: &mut ReportData, rows: &[Row], wells: &[Well], looks: &[PlateLooks]) {
    let plates: BTreeSet<Option<&String>> = wells.iter().map(|w| w.plate.as_ref()).collect();
    for &plate in plates.iter().take(MOST_PLATES) {
        let of_plate: Vec<&Well> = wells.iter().filter(|w| w.plate.as_ref() == plate).collect();
        data.maps.extend(maps(plate, &of_plate));
    }
    if plates.len() > MOST_PLATES {
        let note = format!("{MOST_PLATES} of {} plates are drawn.", plates.len());
        data.notes.push(note);
    }
    data.plates.extend(plate_table(looks));
    data.plates.extend(well_table(wells));
    data.plates.extend(strange_table(rows));
    data.plates.extend(failed_table(rows));
}

/// The maps of a plate; a well of a name that no plate has is not drawn.
fn maps(plate: Option<&String>, wells: &[&Well]) -> Vec<PlateMap> {
    let map = |title: &str, note: &str, of: &dyn Fn(&Well) -> Option<f64>| {
        let values: Vec<(String, f64)> = wells
            .iter()
            .filter_map(|well| Some((well.well.clone(), of(well)?)))
            .collect();
        let plate = plate.map_or(String::new(), |plate| format!("plate {plate}, "));
        let map = PlateMap {
            title: title.to_owned(),
            note: format!("{plate}{note}"),
            wells: values,
            from_zero: true,
        };
        (!map.wells.is_empty() && map.svg().is_ok()).then_some(map)
    };
    let maps = [
        map("Strangeness", "strangest field; 1 is the limit", &|w| {
            w.strangeness
        }),
        map("Confidence", "mean of the nuclei", &|w| w.confidence),
        map("Nuclei predicted", "a well", &|w| Some(w.nuclei as f64)),
    ];
    maps.into_iter().flatten().collect()
}

fn plate_table(looks: &[PlateLooks]) -> Option<Table> {
    let row = |plate: &PlateLooks| {
        let unlike = match plate.strange {
            true => plate.unlike(),
            false => "like the training".to_owned(),
        };
        vec![
            plate
                .plate
                .clone()
                .unwrap_or("all fields".to_owned())
                .into(),
            plate.fields.to_string().into(),
            plate.strange_fields.to_string().into(),
            format!("{:.2}", plate.strangeness).into(),
            unlike.into(),
        ]
    };
    (!looks.is_empty()).then(|| Table {
        title: "Plates against the training".to_owned(),
        caption: String::new(),
        columns: vec![
            Column::text("plate"),
            Column::number("fields", "Fields that were compared with the training."),
            Column::number(
                "marked",
                "Those that are unlike it; one in twenty is by chance.",
            ),
            Column::number(
                "strangeness",
                "Of what all fields of the plate have in common; 1 is what one plate in twenty \
                 like the training exceeds.",
            ),
            Column::text("what is different"),
        ],
        rows: looks.iter().map(row).collect(),
        folded: looks.len() > FOLDED_FROM,
    })
}

/// A column of the table of wells: its head, and the cell of a well.
type WellColumn = (Column, fn(&Well) -> String);

/// The table of wells; columns of which nothing is known are left out.
fn well_table(wells: &[Well]) -> Option<Table> {
    let columns = well_columns().into_iter();
    let columns: Vec<WellColumn> = columns
        .filter(|(_, cell)| wells.iter().any(|well| !cell(well).is_empty()))
        .collect();
    let row = |well: &Well| columns.iter().map(|(_, cell)| cell(well).into()).collect();
    (!wells.is_empty()).then(|| Table {
        title: "Wells".to_owned(),
        caption: String::new(),
        rows: wells.iter().map(row).collect(),
        columns: columns.iter().map(|(head, _)| head.clone()).collect(),
        folded: wells.len() > FOLDED_FROM,
    })
}

fn well_columns() -> [WellColumn; 11] {
    const SAME_LEVEL: &str = "Of the same probability as that of the count.";
    fn number(value: Option<f64>) -> String {
        value.map_or(String::new(), |value| format!("{value:.2}"))
    }
    fn area(well: &Well, of: fn(&Areas) -> Option<Count>) -> Option<(Count, String)> {
        let areas = well.areas.as_ref()?;
        let unit = areas.unit.replace("um2", "µm²").replace("px2", "px²");
        Some((of(&areas.areas)?, unit))
    }
    fn expected(well: &Well, of: fn(&Areas) -> Option<Count>) -> String {
        let area = area(well, of);
        area.map_or(String::new(), |(a, unit)| {
            format!("{:.0} {unit}", a.expected)
        })
    }
    fn between(well: &Well, of: fn(&Areas) -> Option<Count>) -> String {
        let interval = area(well, of).and_then(|(area, _)| area.interval);
        interval.map_or(String::new(), |[low, high]| {
            format!("{low:.0} to {high:.0}")
        })
    }
    [
        (Column::text("well"), |well| match &well.plate {
            Some(plate) => format!("{plate}/{}", well.well),
            None => well.well.clone(),
        }),
        (
            Column::number("fields", "Fields that were predicted."),
            |well| well.fields.to_string(),
        ),
        (
            Column::number("nuclei", "Nuclei that were predicted."),
            |well| well.nuclei.to_string(),
        ),
        (
            Column::number(
                "expected",
                "True nuclei that are expected from the confidences, with those that were missed.",
            ),
            |well| {
                let count = well.count.as_ref();
                count.map_or(String::new(), |count| format!("{:.1}", count.expected))
            },
        ),
        (
            Column::number(
                "interval",
                "Where the true count lies, with the probability that the number of validation \
                 groups allows (`interval_level` in `predictions.csv`), on plates like these.",
            ),
            |well| {
                let interval = well.count.as_ref().and_then(|count| count.interval);
                interval.map_or(String::new(), |[low, high]| {
                    format!("{low:.0} to {high:.0}")
                })
            },
        ),
        (
            Column::number(
                "mean area",
                "Area of a true nucleus on average, as it is expected from the confidences.",
            ),
            |well| expected(well, |areas| areas.mean),
        ),
        (Column::number("mean area, interval", SAME_LEVEL), |well| {
            between(well, |areas| areas.mean)
        }),
        (
            Column::number("cytoplasm", "Area of the cytoplasm that is expected."),
            |well| expected(well, |areas| areas.cytoplasm),
        ),
        (Column::number("cytoplasm, interval", SAME_LEVEL), |well| {
            between(well, |areas| areas.cytoplasm)
        }),
        (
            Column::number(
                "confidence",
                "Mean probability that a predicted nucleus matches a true one.",
            ),
            |well| number(well.confidence),
        ),
        (
            Column::number("strangeness", "Of its strangest field; 1 is the limit."),
            |well| number(well.strangeness),
        ),
    ]
}

fn strange_table(rows: &[Row]) -> Option<Table> {
    let mut strange: Vec<&Row> = rows.iter().filter(|row| row.is_strange).collect();
    strange.sort_by(|a, b| {
        b.strangeness
            .partial_cmp(&a.strangeness)
            .unwrap_or_else(|| a.name.cmp(&b.name))
    });
    let row = |row: &&Row| {
        let strangeness = row.strangeness.map_or(String::new(), |s| format!("{s:.2}"));
        vec![
            row.name.clone().into(),
            strangeness.into(),
            row.unlike.clone().into(),
        ]
    };
    (!strange.is_empty()).then(|| Table {
        title: "Fields unlike the training".to_owned(),
        caption: "The strangest first.".to_owned(),
        columns: vec![
            Column::text("field"),
            Column::number(
                "strangeness",
                "1 is what one field in twenty like the training exceeds.",
            ),
            Column::text("what is different"),
        ],
        rows: strange.iter().map(row).collect(),
        folded: strange.len() > FOLDED_FROM,
    })
}

fn failed_table(rows: &[Row]) -> Option<Table> {
    let failed: Vec<&Row> = rows.iter().filter(|row| !row.is_done).collect();
    let row = |row: &&Row| vec![row.name.clone().into(), row.message.clone().into()];
    (!failed.is_empty()).then(|| Table {
        title: "Fields that failed".to_owned(),
        caption: "They are missing in all numbers.".to_owned(),
        columns: vec![Column::text("field"), Column::text("message")],
        rows: failed.iter().map(row).collect(),
        folded: failed.len() > FOLDED_FROM,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prediction::areas::ExpectedAreas;

    fn well(name: &str, expected: Option<f64>) -> Well {
        Well {
            plate: Some("P".to_owned()),
            well: name.to_owned(),
            fields: 2,
            nuclei: 7,
            count: expected.map(|expected| Count {
                expected,
                interval: Some([expected - 2.0, expected + 2.0]),
            }),
            areas: None,
            confidence: None,
            strangeness: Some(0.5),
        }
    }

    #[test]
    fn columns_of_which_nothing_is_known_are_left_out() {
        let heads = |wells: &[Well]| -> Vec<String> {
            let table = well_table(wells).unwrap();
            table.columns.into_iter().map(|head| head.name).collect()
        };
        let without = heads(&[well("B02", None)]);
        assert_eq!(without, ["well", "fields", "nuclei", "strangeness"]);
        let table = well_table(&[well("B02", None), well("B03", Some(9.0))]).unwrap();
        let cells: Vec<&str> = table.rows[1].iter().map(|cell| &*cell.text).collect();
        assert_eq!(cells, ["P/B03", "2", "7", "9.0", "7 to 11", "0.50"]);
        let mut measured = well("B04", Some(9.0));
        measured.areas = Some(ExpectedAreas {
            unit: "um2".to_owned(),
            areas: Areas {
                mean: Some(Count {
                    expected: 151.2,
                    interval: Some([140.4, 170.0]),
                }),
                ..Areas::default()
            },
        });
        let table = well_table(&[measured]).unwrap();
        let cells: Vec<&str> = table.rows[0].iter().map(|cell| &*cell.text).collect();
        assert_eq!(cells[5..], ["151 µm²", "140 to 170", "0.50"]);
        assert!(well_table(&[]).is_none());
    }

    #[test]
    fn wells_that_no_plate_has_are_not_drawn() {
        let (known, odd) = (well("B02", None), well("left", None));
        let plate = "P".to_owned();
        let maps = maps(Some(&plate), &[&known]);
        let titles: Vec<&str> = maps.iter().map(|map| &*map.title).collect();
        assert_eq!(titles, ["Strangeness", "Nuclei predicted"]);
        assert!(super::maps(Some(&plate), &[&odd]).is_empty());
    }
}
