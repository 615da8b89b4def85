//! Tables with a row a well, joined by plate and well.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use stainfree_image::list_names;
use stainfree_image::table::{Row, Table, number};

use crate::study::split::Part;
use crate::{ProjectError, Study};

/// Columns that say which well a row is of.
pub(super) const PLATE: &str = "plate";
pub(super) const WELL: &str = "well";
/// Column of the probability with which a well was drawn.
pub(super) const PROBABILITY: &str = "probability";
/// Column of the stratum that it was drawn from.
pub(super) const STRATUM: &str = "stratum";

/// A well of a screen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct WellKey {
    /// Empty where there is one plate without a name.
    pub(super) plate: String,
    /// As printed on the plate (`B02`).
    pub(super) well: String,
}

/// A table with a row a well.
pub(super) struct WellTable {
    pub(super) path: PathBuf,
    table: Table,
    rows: BTreeMap<WellKey, usize>,
    /// Whether it has a column of plates with any content.
    pub(super) has_plates: bool,
}

impl WellTable {
    /// Reads the table at `path`.
    ///
    /// # Errors
    /// It cannot be read, has no column `well`, no well, or two rows of one.
    pub(super) fn read(path: &Path) -> Result<Self, ProjectError> {
        let table = Table::read(path)?;
        let refused = |line: Option<usize>, message: String| ProjectError::Table {
            path: path.to_owned(),
            line,
            message,
        };
        let Some(well) = table.column(WELL) else {
            let found: Vec<String> = table.columns.iter().map(|c| format!("`{c}`")).collect();
            return Err(refused(
                None,
                format!(
                    "it has no column `{WELL}` (there are {}); give a table with a row a well, as \
                     `stainfree measure --wells` writes it",
                    found.join(", ")
                ),
            ));
        };
        let plate = table.column(PLATE);
        let plate_of = |row: &Row| plate.map_or("", |plate| row.cell(plate)).to_owned();
        let has_plates = table.rows.iter().any(|row| !plate_of(row).is_empty());
        let mut rows = BTreeMap::new();
        for (place, row) in table.rows.iter().enumerate() {
            let name = row.cell(well);
            if name.is_empty() {
                return Err(refused(
                    Some(row.line),
                    format!("its `{WELL}` is empty; name the well, or take the row out"),
                ));
            }
            let key = WellKey {
                plate: plate_of(row),
                well: printed(name),
            };
            if rows.insert(key, place).is_some() {
                return Err(refused(
                    Some(row.line),
                    format!(
                        "it is a second row of well `{name}`; give each well one row (of several \
                         times, one)"
                    ),
                ));
            }
        }
        if rows.is_empty() {
            return Err(refused(
                None,
                "it has no rows; give a row for each well".into(),
            ));
        }
        Ok(Self {
            path: path.to_owned(),
            table,
            rows,
            has_plates,
        })
    }

    /// The wells, in order.
    pub(super) fn wells(&self) -> impl Iterator<Item = &WellKey> {
        self.rows.keys()
    }

    /// How many plates its wells lie on.
    pub(super) fn plates(&self) -> usize {
        let plates: BTreeSet<&String> = self.rows.keys().map(|key| &key.plate).collect();
        plates.len()
    }

    /// The number of wells.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Titles of the columns whose cells are all numbers or empty, but those that name wells.
    pub(super) fn numeric(&self) -> Vec<&str> {
        const NAMES: [&str; 7] = [PLATE, WELL, PROBABILITY, STRATUM, "time", "site", "fields"];
        let titles = self.table.columns.iter().enumerate();
        let kept = titles.filter(|(column, title)| {
            let cells = self.table.rows.iter().map(|row| row.cell(*column));
            let filled = |cell: &&str| !is_empty(cell);
            !NAMES.contains(&title.to_lowercase().as_str())
                && cells.clone().any(|cell| !is_empty(cell))
                && cells.filter(filled).all(|cell| number(cell).is_some())
        });
        kept.map(|(_, title)| title.as_str()).collect()
    }

    /// The column of this title.
    ///
    /// # Errors
    /// There is none; the message lists those there are.
    pub(super) fn column(&self, title: &str) -> Result<usize, ProjectError> {
        self.table.column(title).ok_or_else(|| {
            let found: Vec<String> = self
                .table
                .columns
                .iter()
                .map(|c| format!("`{c}`"))
                .collect();
            ProjectError::Table {
                path: self.path.clone(),
                line: None,
                message: format!(
                    "it has no column `{title}`; choose from its columns: {}",
                    found.join(", ")
                ),
            }
        })
    }

    /// The column of this title, if there is one.
    pub(super) fn has(&self, title: &str) -> Option<usize> {
        self.table.column(title)
    }

    /// The text in a column; `None` where the well has no row, or the cell is empty. A table
    /// without plates says the same of a well on every plate.
    pub(super) fn text(&self, key: &WellKey, column: usize) -> Option<&str> {
        let text = self.row(key)?.cell(column);
        (!text.is_empty()).then_some(text)
    }

    /// The number in a column; `None` as for [`text`](Self::text), and for `nan` and `NA`.
    ///
    /// # Errors
    /// The cell holds something else.
    pub(super) fn number(&self, key: &WellKey, column: usize) -> Result<Option<f64>, ProjectError> {
        let Some(row) = self.row(key) else {
            return Ok(None);
        };
        let cell = row.cell(column);
        if is_empty(cell) {
            return Ok(None);
        }
        match number(cell).filter(|value| value.is_finite()) {
            Some(value) => Ok(Some(value)),
            None => Err(ProjectError::Table {
                path: self.path.clone(),
                line: Some(row.line),
                message: format!(
                    "column `{}` holds `{cell}`, which is no number; correct it, or leave it empty \
                     where the well has none",
                    self.table.columns[column]
                ),
            }),
        }
    }

    fn row(&self, key: &WellKey) -> Option<&Row> {
        let plateless = || WellKey {
            plate: String::new(),
            well: key.well.clone(),
        };
        let place = match self.has_plates {
            true => self.rows.get(key),
            false => self.rows.get(&plateless()),
        };
        place.map(|&place| &self.table.rows[place])
    }
}

/// The wells of a study that its model has met.
pub(super) fn training_wells(study: &Path) -> Result<BTreeSet<WellKey>, ProjectError> {
    let study = Study::open(study)?;
    let source = study.source()?;
    let fields = source.by_name();
    let rows = study.fields()?;
    let met = rows
        .iter()
        .filter(|row| matches!(row.split, Some(Part::Train | Part::Validation)))
        .filter_map(|row| fields.get(row.name.as_str()));
    let key = |position: &stainfree_image::Position| {
        Some(WellKey {
            plate: position.plate.clone().unwrap_or_default(),
            well: printed(position.well.as_deref()?),
        })
    };
    Ok(met.filter_map(|field| key(&field.position)).collect())
}

/// Whether a well of a screen is one of those that trained: by plate and well, where both know
/// plates.
fn is_met(met: &BTreeSet<WellKey>, well: &WellKey) -> bool {
    let same_plate =
        |other: &WellKey| well.plate.is_empty() || other.plate.is_empty() || other == well;
    met.iter()
        .any(|other| other.well == well.well && same_plate(other))
}

/// Leaves out the wells that a study's model has met, and says which; `of` gives a well's key.
pub(super) fn leave_out_training<T>(
    study: &Path,
    wells: &mut Vec<T>,
    of: impl Fn(&T) -> &WellKey,
    problems: &mut Vec<String>,
) -> Result<(), ProjectError> {
    let met = training_wells(study)?;
    let left_out: BTreeSet<String> = wells
        .iter()
        .map(&of)
        .filter(|well| is_met(&met, well))
        .map(|well| well.well.clone())
        .collect();
    wells.retain(|well| !is_met(&met, of(well)));
    let names: Vec<&String> = left_out.iter().collect();
    match names.is_empty() {
        false => problems.push(format!(
            "wells that trained or chose the model of `{}` are left out, since it is better there: \
             {}",
            study.display(),
            list_names(&names)
        )),
        true if !met.is_empty() => problems.push(format!(
            "none of the {} wells that trained the model of `{}` is among those of the screen; if \
             they should be, plates are called otherwise there",
            met.len(),
            study.display()
        )),
        true => {}
    }
    Ok(())
}

/// Whether a cell says that there is no number.
fn is_empty(cell: &str) -> bool {
    matches!(
        cell.to_lowercase().as_str(),
        "" | "nan" | "na" | "n/a" | "none" | "null"
    )
}

/// A well as it is printed on plates, however it was typed: `b2` as `B02`.
fn printed(well: &str) -> String {
    let well = well.trim().to_uppercase();
    let digits = well
        .find(|c: char| c.is_ascii_digit())
        .unwrap_or(well.len());
    let (row, column) = well.split_at(digits);
    stainfree_image::printed_well(row.trim(), column.trim()).unwrap_or_else(|| well.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Result<WellTable, ProjectError> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("wells.csv");
        std::fs::write(&path, text).expect("written");
        WellTable::read(&path)
    }

    fn key(plate: &str, well: &str) -> WellKey {
        WellKey {
            plate: plate.into(),
            well: well.into(),
        }
    }

    #[test]
    fn wells_are_found_however_they_were_typed() {
        let table = table("Plate;Well;objects;dose\np;b2;12;low\np;AA 10;3,5;\n").expect("reads");
        let objects = table.column("Objects").expect("there");
        assert_eq!(
            table.number(&key("p", "B02"), objects).expect("reads"),
            Some(12.0)
        );
        assert_eq!(
            table.number(&key("p", "AA10"), objects).expect("reads"),
            Some(3.5)
        );
        assert_eq!(
            table.number(&key("q", "B02"), objects).expect("reads"),
            None
        );
        assert_eq!(table.text(&key("p", "AA10"), 3), None);
        assert_eq!(table.numeric(), ["objects"]);
    }

    #[test]
    fn a_table_without_plates_is_of_every_plate() {
        let table = table("well,dose\nA1,10\n").expect("reads");
        assert_eq!(table.text(&key("any", "A01"), 1), Some("10"));
    }

    #[test]
    fn what_is_no_table_of_wells_is_told() {
        for (text, what) in [
            ("field,objects\na,1\n", "it has no column `well`"),
            (
                "well,objects\nA1,1\na01,2\n",
                "line 3: it is a second row of well `a01`",
            ),
            ("well,objects\n,1\n", "line 2: its `well` is empty"),
            ("well,objects\n", "it has no rows"),
        ] {
            let said = table(text).err().expect("refused").to_string();
            assert!(said.contains(what), "{said}");
        }
        let wells = table("well,objects\nA1,many\nA2,\nA3,NA\n").expect("reads");
        let said = wells
            .number(&key("", "A01"), 1)
            .expect_err("refused")
            .to_string();
        assert!(
            said.contains("line 2: column `objects` holds `many`"),
            "{said}"
        );
        assert_eq!(wells.number(&key("", "A02"), 1).expect("reads"), None);
        assert_eq!(wells.number(&key("", "A03"), 1).expect("reads"), None);
        let said = wells.column("dose").expect_err("refused").to_string();
        assert!(
            said.contains("choose from its columns: `well`, `objects`"),
            "{said}"
        );
    }
}
