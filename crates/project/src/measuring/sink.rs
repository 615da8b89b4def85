//! What a table is made of: its columns, and rows field by field in order.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use stainfree_objects::measure::{Column, Frame, Kind, MeasurePlan, Unit};

use super::cells::{Cells, ColumnHead, ColumnType};
use super::heat::HeatMap;
use super::inputs::{Inputs, Work};
use super::table::TableFile;
use super::wells::{WellKey, WellRow, Wells};
use super::{CONFIDENCE, ColumnNames, FIRST, cellprofiler};
use crate::ProjectError;

/// All that is known of a table before its rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct TablePlan {
    /// Whose names the columns have.
    pub(super) names: ColumnNames,
    /// Channels that are measured.
    pub(super) channels: Vec<String>,
    /// What is measured.
    pub(super) measured: Vec<Column>,
    /// Whether wells are summed up.
    pub(super) by_well: bool,
    /// Columns to be shown as plate heat maps.
    pub(super) heatmaps: Vec<String>,
    /// How unlike the training fields are, where a map of that is wanted.
    pub(super) strangeness: BTreeMap<String, f64>,
    /// Where it comes from, for formats that say so.
    pub(super) facts: Vec<(String, String)>,
}

impl TablePlan {
    /// The heads of the objects' table.
    pub(super) fn heads(&self) -> Vec<ColumnHead> {
        heads(self.names, &self.measured, &self.channels)
    }

    /// The sums of wells, where they are wanted.
    pub(super) fn wells(&self) -> Option<Wells> {
        self.by_well.then(|| Wells::new(&self.measured))
    }

    /// The heat maps, with nothing in them.
    ///
    /// # Errors
    /// There is no such column.
    pub(super) fn maps(&self, well_heads: &[ColumnHead]) -> Result<Vec<HeatMap>, ProjectError> {
        let maps = self
            .heatmaps
            .iter()
            .map(|name| HeatMap::of(name, well_heads));
        maps.collect()
    }
}

/// Where a field is, as tables say it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct FieldPlace {
    pub(super) name: String,
    pub(super) plate: Option<String>,
    pub(super) well: Option<String>,
    pub(super) site: Option<u32>,
    pub(super) time: Option<u32>,
    pub(super) pixel_um: Option<f64>,
}

impl FieldPlace {
    pub(super) fn of(work: &Work) -> Self {
        let position = &work.field.position;
        Self {
            name: work.field.name.clone(),
            plate: position.plate.clone(),
            well: position.well.clone(),
            site: position.site,
            time: work.field.time,
            pixel_um: work.pixel_um,
        }
    }
}

/// The rows of one field.
pub(super) struct FieldRows {
    pub(super) labels: Vec<u32>,
    /// `[column][object]`.
    pub(super) columns: Vec<Vec<f64>>,
    pub(super) size: (usize, usize),
    /// What the field lacks, a sentence each; its cells are empty.
    pub(super) missing: Vec<String>,
    /// What a user should know about its numbers.
    pub(super) notes: Vec<String>,
}

/// Where rows go: the table, the table of wells, the heat maps.
pub(super) struct Sink {
    out: PathBuf,
    wells_out: Option<PathBuf>,
    names: ColumnNames,
    /// Fields until now, which CellProfiler numbers.
    images: u32,
    heads: Vec<ColumnHead>,
    measured: Vec<Column>,
    table: TableFile,
    wells: Option<Wells>,
    wells_table: Option<TableFile>,
    heatmaps: Vec<HeatMap>,
    /// How unlike the training fields are, where a map of that is wanted.
    strangeness: BTreeMap<String, f64>,
}

impl Sink {
    /// Begins the table `out`, and that of the wells where there is one.
    ///
    /// # Errors
    /// A file cannot be written.
    pub(super) fn begin(
        plan: &TablePlan,
        out: &Path,
        wells_out: Option<&Path>,
    ) -> Result<Self, ProjectError> {
        let heads = plan.heads();
        let wells = plan.wells();
        let well_heads = wells.as_ref().map_or(&[][..], |wells| &wells.heads);
        let facts: Vec<(&str, String)> = plan
            .facts
            .iter()
            .map(|(key, value)| (key.as_str(), value.clone()))
            .collect();
        let begin = |path: &Path| TableFile::begin(path, well_heads, &facts);
        Ok(Self {
            out: out.to_owned(),
            wells_out: wells_out.map(Path::to_owned),
            table: TableFile::begin(out, &heads, &facts)?,
            wells_table: wells_out.map(begin).transpose()?,
            names: plan.names,
            images: 0,
            heads,
            measured: plan.measured.clone(),
            heatmaps: plan.maps(well_heads)?,
            wells,
            strangeness: plan.strangeness.clone(),
        })
    }

    /// Appends a field, and gives the number of wells that it ended.
    pub(super) fn add(
        &mut self,
        field: &FieldPlace,
        rows: FieldRows,
    ) -> Result<usize, ProjectError> {
        let mut ended = 0;
        if let (Some(wells), Some(well)) = (&mut self.wells, &field.well) {
            let key = WellKey {
                plate: field.plate.clone(),
                well: well.clone(),
                time: field.time,
            };
            let mm = field.pixel_um.map_or(f64::NAN, |um| um / 1000.0);
            let area = (rows.size.0 * rows.size.1) as f64 * mm * mm;
            let strangeness = self.strangeness.get(&field.name).copied();
            for map in &mut self.heatmaps {
                map.add_field(&key, strangeness.unwrap_or(f64::NAN));
            }
            let before = wells.add(key, &rows.columns, rows.labels.len(), area);
            ended = self.end_well(before)?;
        }
        let n = rows.labels.len();
        let text = |text: Option<&str>| Cells::Text(vec![text.map(Arc::from); n]);
        let number = |number: Option<u32>| Cells::Integer(vec![number.map(i64::from); n]);
        self.images += 1;
        let labels = || {
            let labels = rows.labels.iter();
            Cells::Integer(labels.map(|&label| Some(i64::from(label))).collect())
        };
        let mut cells = match self.names {
            ColumnNames::Own => Vec::new(),
            ColumnNames::CellProfiler => vec![number(Some(self.images)), labels()],
        };
        cells.extend([
            text(field.plate.as_deref()),
            text(field.well.as_deref()),
            number(field.site),
            number(field.time),
            text(Some(&field.name)),
        ]);
        if self.names == ColumnNames::Own {
            cells.push(labels());
        }
        let columns = self.measured.iter().zip(rows.columns);
        cells.extend(columns.map(|(column, values)| Cells::numbers(kind(column), values)));
        self.table.append(cells)?;
        Ok(ended)
    }

    /// Ends the last well.
    pub(super) fn close_well(&mut self) -> Result<usize, ProjectError> {
        let last = self.wells.as_mut().and_then(Wells::close);
        self.end_well(last)
    }

    fn end_well(&mut self, row: Option<WellRow>) -> Result<usize, ProjectError> {
        let Some(row) = row else {
            return Ok(0);
        };
        for map in &mut self.heatmaps {
            map.add(&row);
        }
        if let Some(table) = &mut self.wells_table {
            table.append(row.cells())?;
        }
        Ok(1)
    }

    /// Names of the columns of the objects' table.
    pub(super) fn columns(&self) -> Vec<String> {
        self.heads.iter().map(|head| head.name.clone()).collect()
    }

    /// Gives the files their names.
    ///
    /// # Errors
    /// One of them cannot be written.
    pub(super) fn finish(self) -> Result<Vec<PathBuf>, ProjectError> {
        let mut files = vec![self.out.clone()];
        self.table.finish()?;
        if let (Some(table), Some(path)) = (self.wells_table, self.wells_out) {
            table.finish()?;
            files.push(path);
        }
        for map in &self.heatmaps {
            files.extend(map.write(&self.out)?);
        }
        Ok(files)
    }
}

/// The columns that are measured, and how sure nuclei are where the prediction says it.
pub(super) fn columns(plan: &MeasurePlan, inputs: &Inputs) -> Vec<Column> {
    let mut columns = plan.columns().to_vec();
    if inputs.has_confidence() {
        columns.push(Column {
            name: CONFIDENCE.to_owned(),
            unit: Unit::None,
            kind: Kind::Float,
            frame: Frame::Free,
        });
    }
    columns
}

/// The heads of the objects' table.
fn heads(names: ColumnNames, measured: &[Column], channels: &[String]) -> Vec<ColumnHead> {
    let head = |&(name, kind): &(&str, ColumnType)| ColumnHead::new(name, kind);
    let rename = |name: &str| match names {
        ColumnNames::Own => name.to_owned(),
        ColumnNames::CellProfiler => cellprofiler::name(name, channels),
    };
    let first = match names {
        ColumnNames::Own => &FIRST[..],
        ColumnNames::CellProfiler => &cellprofiler::FIRST[..],
    };
    let rest = measured.iter();
    let rest = rest.map(|column| ColumnHead::new(rename(&column.name), kind(column)));
    first.iter().map(head).chain(rest).collect()
}

pub(super) fn kind(column: &Column) -> ColumnType {
    match column.kind {
        Kind::Integer => ColumnType::Integer,
        Kind::Float => ColumnType::Float,
    }
}
