//! A row per well: how many objects, and mean, median and standard deviation of what was measured
//! on them.

use std::sync::Arc;

use stainfree_objects::measure::{Column, Frame};

use super::cells::{Cells, ColumnHead, ColumnType};

/// A well at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WellKey {
    pub(super) plate: Option<String>,
    pub(super) well: String,
    pub(super) time: Option<u32>,
}

/// Columns before those of the measured numbers.
pub(super) const FIRST: [(&str, ColumnType); 6] = [
    ("plate", ColumnType::Text),
    ("well", ColumnType::Text),
    ("time", ColumnType::Integer),
    ("fields", ColumnType::Integer),
    ("objects", ColumnType::Integer),
    ("objects_per_mm2", ColumnType::Float),
];
/// What is taken of the numbers of a well's objects.
const STATISTICS: [&str; 3] = ["mean", "median", "std"];

/// One well, summed up.
#[derive(Clone, Debug)]
pub(super) struct WellRow {
    pub(super) key: WellKey,
    fields: i64,
    objects: i64,
    /// Of the columns after [`FIRST`], with `objects_per_mm2` before them.
    numbers: Vec<f64>,
}

impl WellRow {
    /// The number in this column of the table.
    pub(super) fn number(&self, column: usize) -> f64 {
        match column {
            3 => self.fields as f64,
            4 => self.objects as f64,
            _ => column.checked_sub(5).map_or(f64::NAN, |i| self.numbers[i]),
        }
    }

    /// The row as cells.
    pub(super) fn cells(&self) -> Vec<Cells> {
        let text = |text: Option<&str>| Cells::Text(vec![text.map(Arc::from)]);
        let mut cells = vec![
            text(self.key.plate.as_deref()),
            text(Some(&self.key.well)),
            Cells::Integer(vec![self.key.time.map(i64::from)]),
            Cells::Integer(vec![Some(self.fields)]),
            Cells::Integer(vec![Some(self.objects)]),
        ];
        cells.extend(
            self.numbers
                .iter()
                .map(|&number| Cells::Float(vec![number])),
        );
        cells
    }
}

/// Sums up wells whose fields come one after another.
pub(super) struct Wells {
    /// Columns of the objects' table that are summed up: labels, places and angles have no mean.
    columns: Vec<usize>,
    pub(super) heads: Vec<ColumnHead>,
    open: Option<Open>,
}

/// The well whose fields are coming in.
struct Open {
    key: WellKey,
    fields: usize,
    objects: usize,
    area_mm2: f64,
    /// `[column][object]`.
    values: Vec<Vec<f64>>,
}

impl Wells {
    pub(super) fn new(measured: &[Column]) -> Self {
        let is_free = |&i: &usize| measured[i].frame == Frame::Free;
        let columns: Vec<usize> = (0..measured.len()).filter(is_free).collect();
        let mut heads: Vec<ColumnHead> = FIRST
            .iter()
            .map(|&(name, kind)| ColumnHead::new(name, kind))
            .collect();
        for &column in &columns {
            let name = &measured[column].name;
            heads.extend(
                STATISTICS.map(|s| ColumnHead::new(format!("{name}_{s}"), ColumnType::Float)),
            );
        }
        Self {
            columns,
            heads,
            open: None,
        }
    }

    /// Adds a field of `area_mm2` (NaN = unknown); gives the well before it, if this field begins
    /// another one.
    pub(super) fn add(
        &mut self,
        key: WellKey,
        measured: &[Vec<f64>],
        objects: usize,
        area_mm2: f64,
    ) -> Option<WellRow> {
        let before = match &self.open {
            Some(open) if open.key == key => None,
            _ => self.close(),
        };
        let open = self.open.get_or_insert_with(|| Open {
            key,
            fields: 0,
            objects: 0,
            area_mm2: 0.0,
            values: vec![Vec::new(); self.columns.len()],
        });
        open.fields += 1;
        open.objects += objects;
        open.area_mm2 += area_mm2;
        for (values, &column) in open.values.iter_mut().zip(&self.columns) {
            values.extend(measured[column].iter().filter(|value| !value.is_nan()));
        }
        before
    }

    /// Gives the last well.
    pub(super) fn close(&mut self) -> Option<WellRow> {
        let open = self.open.take()?;
        let mut numbers = vec![open.objects as f64 / open.area_mm2];
        for mut values in open.values {
            numbers.extend(statistics(&mut values));
        }
        Some(WellRow {
            key: open.key,
            fields: open.fields as i64,
            objects: open.objects as i64,
            numbers,
        })
    }
}

/// Mean, median and standard deviation (n - 1) of the known values; NaN where there are too few.
fn statistics(values: &mut [f64]) -> [f64; 3] {
    let n = values.len();
    if n == 0 {
        return [f64::NAN; 3];
    }
    let mean = values.iter().sum::<f64>() / n as f64;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let std = if n > 1 {
        (squares / (n - 1) as f64).sqrt()
    } else {
        f64::NAN
    };
    values.sort_unstable_by(f64::total_cmp);
    let median = (values[(n - 1) / 2] + values[n / 2]) / 2.0;
    [mean, median, std]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_well_is_summed_up_over_its_fields() {
        assert_eq!(
            statistics(&mut [4.0, 1.0, 7.0, 2.0]),
            [3.5, 3.0, 7f64.sqrt()]
        );
        let [mean, median, std] = statistics(&mut [5.0]);
        assert_eq!((mean, median), (5.0, 5.0));
        assert!(std.is_nan() && statistics(&mut []).iter().all(|v| v.is_nan()));
    }
    fn key(plate: Option<&str>, well: &str, time: Option<u32>) -> WellKey {
        WellKey {
            plate: plate.map(str::to_owned),
            well: well.to_owned(),
            time,
        }
    }

    /// Sums up wells with the one column `area`.
    fn wells() -> Wells {
        Wells {
            columns: vec![0],
            heads: Vec::new(),
            open: None,
        }
    }

    #[test]
    fn a_well_ends_where_another_plate_well_or_time_begins() {
        let keys = [
            key(None, "A01", None),
            key(Some("p"), "A01", None),
            key(Some("q"), "A01", None),
            key(Some("q"), "A02", None),
            key(Some("q"), "A02", Some(1)),
            key(Some("q"), "A02", Some(2)),
        ];
        let mut wells = wells();
        let mut rows = Vec::new();
        for (i, key) in keys.iter().enumerate() {
            // Two fields of each.
            for _ in 0..2 {
                rows.extend(wells.add(key.clone(), &[vec![i as f64]], 1, 0.25));
            }
        }
        rows.extend(wells.close());
        assert!(wells.close().is_none());
        let found: Vec<&WellKey> = rows.iter().map(|row| &row.key).collect();
        assert_eq!(found, keys.iter().collect::<Vec<_>>());
        for (i, row) in rows.iter().enumerate() {
            assert_eq!((row.number(3), row.number(4)), (2.0, 2.0));
            // Four objects a square millimetre, and the mean of what was measured on them.
            assert_eq!((row.number(5), row.number(6)), (4.0, i as f64));
        }
    }

    #[test]
    fn what_is_unknown_of_objects_and_fields_is_left_out_or_unknown() {
        let mut wells = wells();
        let nan = f64::NAN;
        wells.add(key(None, "A01", None), &[vec![1.0, nan, 4.0]], 3, 0.5);
        wells.add(key(None, "A01", None), &[Vec::new()], 0, 0.5);
        let row = wells.close().unwrap();
        // Three objects, of which two say something; a field without objects has area all the same.
        assert_eq!((row.number(4), row.number(5)), (3.0, 3.0));
        assert_eq!((row.number(6), row.number(7)), (2.5, 2.5));
        // A field of unknown size makes the density unknown, and nothing else.
        wells.add(key(None, "A02", None), &[vec![2.0]], 1, nan);
        let row = wells.close().unwrap();
        assert!(row.number(5).is_nan() && row.number(8).is_nan());
        assert_eq!(row.number(6), 2.0);
        // Neither has a well whose fields hold nothing.
        wells.add(key(None, "A03", None), &[Vec::new()], 0, 1.0);
        let row = wells.close().unwrap();
        assert_eq!(row.number(5), 0.0);
        assert!(row.number(6).is_nan());
        assert_eq!(row.cells().len(), 5 + 1 + 3);
    }
}
