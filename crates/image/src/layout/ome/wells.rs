//! Which well and site an image of OME-XML shows.
//!
//! `Plate` elements say it (`Well`, `WellSample`, `ImageRef`; rows and columns from 0). The index
//! of a sample counts through the whole plate, so that the fields of a well are numbered by its
//! order.
//! Without them, names of images do: `Well 14, Position 1 (B2)` of scanR, `W14(B2),A1,F1` of CQ1
//! (read from programs that convert them), and labels `B2-Site_0` that Micro-Manager's plate plugin
//! gives to positions.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::LazyLock;

use regex::Regex;

use crate::format::ome::{Document, Naming, Plate, Stated};
use crate::names::printed_well;

/// Where on a plate an image lies.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Place {
    /// Number of the plate in the document.
    pub(super) plate: usize,
    /// As printed on the plate (`B02`).
    pub(super) well: String,
    /// From 1.
    pub(super) site: u32,
    /// Where the plate was imaged several times, what tells them apart; sites are those of each.
    pub(super) acquisition: Option<String>,
    pub(super) centre_um: Option<[f64; 2]>,
}

/// Rows and columns from which on a number is taken for damage.
const MOST_ROWS: usize = 10_000;

/// The place of every image, by its number in the document; images that nothing is said of are
/// left out.
pub(super) fn places(document: &Document) -> HashMap<usize, Place> {
    let by_id: HashMap<&str, usize> = document
        .images
        .iter()
        .enumerate()
        .rev()
        .map(|(k, image)| (image.id.as_str(), k))
        .collect();
    let mut found = HashMap::new();
    for (number, plate) in document.plates.iter().enumerate() {
        for (image, place) in of_plate(number, plate) {
            if let Some(&k) = by_id.get(image) {
                found.entry(k).or_insert(place);
            }
        }
    }
    if found.is_empty() {
        found = by_name(document);
    }
    found
}

/// Identifiers of the images of one plate with their places.
fn of_plate(number: usize, plate: &Plate) -> Vec<(&str, Place)> {
    let mut wells: BTreeMap<(usize, usize), Vec<_>> = BTreeMap::new();
    for well in &plate.wells {
        if let (Some(row), Some(column)) = (well.row, well.column) {
            let samples = wells.entry((row, column)).or_default();
            samples.extend(well.samples.iter().filter(|s| !s.images.is_empty()));
        }
    }
    let acquisitions = acquisitions(plate);
    let mut found = Vec::new();
    for ((row, column), mut samples) in wells {
        let Some(well) = printed(plate, row, column) else {
            continue;
        };
        samples.sort_by_key(|sample| sample.index);
        let mut sites: HashMap<Option<&String>, u32> = HashMap::new();
        for sample in samples {
            let acquisition = sample.id.as_deref().and_then(|id| acquisitions.get(id));
            let site = sites.entry(acquisition).or_default();
            for image in &sample.images {
                *site += 1;
                let place = Place {
                    plate: number,
                    well: well.clone(),
                    site: *site,
                    acquisition: acquisition.cloned(),
                    centre_um: sample.centre_um,
                };
                found.push((image.as_str(), place));
            }
        }
    }
    found
}

/// The acquisition of every sample by its identifier, where there are several: its name, or its
/// number where names do not tell them apart.
fn acquisitions(plate: &Plate) -> HashMap<&str, String> {
    let with_samples = plate
        .acquisitions
        .iter()
        .filter(|of| !of.samples.is_empty());
    let all: Vec<_> = with_samples.collect();
    let names: HashSet<&str> = all.iter().filter_map(|of| of.name.as_deref()).collect();
    let told_apart = names.len() == all.len();
    let mut found = HashMap::new();
    if all.len() > 1 {
        for (number, of) in all.into_iter().enumerate() {
            let name = match &of.name {
                Some(name) if told_apart => name.clone(),
                _ => format!("acquisition{number}"),
            };
            found.extend(of.samples.iter().map(|id| (id.as_str(), name.clone())));
        }
    }
    found
}

/// A well as it is printed on the plate: `B02`, and where rows are numbers and columns letters,
/// `02B`.
fn printed(plate: &Plate, row: usize, column: usize) -> Option<String> {
    if row >= MOST_ROWS || column >= MOST_ROWS {
        return None;
    }
    let numbers = |n: usize| format!("{:02}", n + 1);
    Some(match (plate.rows_in, plate.columns_in) {
        (Naming::Numbers, Naming::Letters) => format!("{}{}", numbers(row), letters(column)),
        (Naming::Numbers, _) => format!("R{}C{}", numbers(row), numbers(column)),
        (_, Naming::Letters) => format!("{}-{}", letters(row), letters(column)),
        _ => format!("{}{}", letters(row), numbers(column)),
    })
}

/// `A` to `Z`, then `AA`.
fn letters(row: usize) -> String {
    let letter = |n: usize| char::from(b'A' + (n % 26) as u8);
    match row / 26 {
        0 => letter(row).to_string(),
        more => format!("{}{}", letters(more - 1), letter(row)),
    }
}

static OF_SCANR: LazyLock<Regex> = LazyLock::new(|| {
    let name = r"^Well \d+, Position (?<site>\d+) \((?<row>[A-Z]{1,2})(?<column>\d+)\)";
    Regex::new(name).expect("a valid pattern")
});
/// Names of scanR's files, whose well is the beginning.
static FILE_OF_SCANR: LazyLock<Regex> = LazyLock::new(|| {
    let name = r"^(?<row>[A-Z]{1,2})(?<column>\d+)--W\d+--P(?<site>\d+)--";
    Regex::new(name).expect("a valid pattern")
});
static OF_CQ1: LazyLock<Regex> = LazyLock::new(|| {
    let name =
        r"^W(?<number>\d+)\((?:(?<row>[A-Z]{1,2})-?(?<column>\d+))?[^)]*\),A[^,]*,F(?<site>\d+)$";
    Regex::new(name).expect("a valid pattern")
});
/// Counts sites from 0.
static LABEL: LazyLock<Regex> = LazyLock::new(|| {
    let name = r"^(?<row>[A-Z]{1,2})(?<column>\d+)-Site_(?<site>\d+)$";
    Regex::new(name).expect("a valid pattern")
});

/// Places by the names of images, where each image with planes has one of its own.
fn by_name(document: &Document) -> HashMap<usize, Place> {
    let images = document.images.iter().enumerate();
    let with_planes = images.filter(|(_, image)| !image.blocks.is_empty());
    let columns = document.plates.first().and_then(|plate| plate.columns);
    let found: Option<HashMap<usize, Place>> = with_planes
        .map(|(k, image)| Some((k, of_name(image, columns)?)))
        .collect();
    let found = found.unwrap_or_default();
    let mut seen = HashSet::new();
    match found.values().all(|at| seen.insert((&at.well, at.site))) {
        true => found,
        false => HashMap::new(),
    }
}

fn of_name(image: &Stated, columns: Option<usize>) -> Option<Place> {
    let file = image.blocks.first().and_then(|block| block.file.as_deref());
    let label = image.label.as_deref().unwrap_or_default();
    for (pattern, text, first) in [
        (&OF_SCANR, image.name.as_str(), 1),
        (&OF_CQ1, image.name.as_str(), 1),
        (&LABEL, label, 0),
        (&FILE_OF_SCANR, file.unwrap_or_default(), 1),
    ] {
        let Some(found) = pattern.captures(text) else {
            continue;
        };
        let number = |group: &str| found.name(group)?.as_str().parse::<u32>().ok();
        let well = match (found.name("row"), found.name("column")) {
            (Some(row), Some(column)) => printed_well(row.as_str(), column.as_str())?,
            // Numbers of wells count row by row.
            _ => {
                let (well, columns) = (number("number")?.checked_sub(1)? as usize, columns?);
                let (row, column) = (well.checked_div(columns)?, well.checked_rem(columns)?);
                printed(&Plate::default(), row, column)?
            }
        };
        return Some(Place {
            plate: 0,
            well,
            site: number("site")?.checked_add(1 - first)?,
            acquisition: None,
            centre_um: None,
        });
    }
    None
}

/// The well and site that a label of Micro-Manager's plate plugin names.
pub(in crate::layout) fn of_label(label: &str) -> Option<(String, u32)> {
    let found = LABEL.captures(label)?;
    let site: u32 = found["site"].parse().ok()?;
    Some((
        printed_well(&found["row"], &found["column"])?,
        site.checked_add(1)?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(plate: &str, images: &[(&str, &str)]) -> Vec<(usize, String, u32)> {
        let images: String = images
            .iter()
            .enumerate()
            .map(|(k, (name, label))| {
                format!(
                    "<Image ID=\"Image:{k}\" Name=\"{name}\"><StageLabel Name=\"{label}\"/><Pixels>\
                     <TiffData/></Pixels></Image>"
                )
            })
            .collect();
        let document = Document::parse(&format!("<OME>{plate}{images}</OME>")).expect("OME-XML");
        let mut found: Vec<_> = places(&document)
            .into_iter()
            .map(|(k, at)| (k, at.well, at.site))
            .collect();
        found.sort();
        found
    }

    fn at(k: usize, well: &str, site: u32) -> (usize, String, u32) {
        (k, well.into(), site)
    }

    #[test]
    fn samples_are_numbered_within_their_well_in_the_order_of_their_index() {
        let sample = |index: u32, image: u32| {
            format!("<WellSample Index=\"{index}\"><ImageRef ID=\"Image:{image}\"/></WellSample>")
        };
        let plate = |naming: &str| {
            format!(
                "<Plate {naming}><Well Row=\"1\" Column=\"2\">{}{}</Well>\
                 <Well Row=\"27\" Column=\"0\">{}</Well><Well Column=\"0\">{}</Well></Plate>",
                sample(9, 0),
                sample(3, 1),
                sample(4, 2),
                sample(5, 3),
            )
        };
        let images = [("a", ""); 4];
        let wells = |naming: &str| found(&plate(naming), &images);
        assert_eq!(
            wells(""),
            [at(0, "B03", 2), at(1, "B03", 1), at(2, "AB01", 1)]
        );
        let turned = "RowNamingConvention=\"number\" ColumnNamingConvention=\"letter\"";
        assert_eq!(
            wells(turned),
            [at(0, "02C", 2), at(1, "02C", 1), at(2, "28A", 1)]
        );
        let numbers = "RowNamingConvention=\"number\" ColumnNamingConvention=\"number\"";
        assert_eq!(wells(numbers)[2], at(2, "R28C01", 1));
    }

    #[test]
    fn names_tell_wells_where_all_of_them_do() {
        let scanr = [
            ("Well 14, Position 1 (B2)", ""),
            ("Well 14, Position 2 (B2)", ""),
        ];
        assert_eq!(found("", &scanr), [at(0, "B02", 1), at(1, "B02", 2)]);
        let mixed = [scanr[0], ("overview", "")];
        assert_eq!(found("", &mixed), []);
        let cq1 = [("W14(B2),A1,F3", ""), ("W15(Well),A1,F1", "")];
        let plate = "<Plate Rows=\"8\" Columns=\"12\"/>";
        assert_eq!(found(plate, &cq1), [at(0, "B02", 3), at(1, "B03", 1)]);
        assert_eq!(found("<Plate Columns=\"0\"/>", &cq1), []);
        let labels = [("x", "C4-Site_0"), ("y", "C4-Site_1")];
        assert_eq!(found("", &labels), [at(0, "C04", 1), at(1, "C04", 2)]);
        // Twice the same place tells nothing.
        assert_eq!(found("", &[labels[0]; 2]), []);
    }
}
