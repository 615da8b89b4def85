//! Columns of the table of fields, joined by the names of fields.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use stainfree_image::table::Table;

use crate::ViewError;
use crate::work::confidences;

/// Columns that only programs read.
const NOT_SHOWN: [&str; 9] = [
    "name", "field", "key", "content", "options", "input", "program", "model", "looks",
];

/// Columns with the cells of fields.
#[derive(Debug, Default)]
pub(crate) struct Columns {
    titles: Vec<String>,
    cells: Vec<BTreeMap<String, String>>,
}

impl Columns {
    /// Adds a column.
    pub(crate) fn add(&mut self, title: &str, cells: BTreeMap<String, String>) {
        if cells.values().any(|cell| !cell.is_empty()) {
            self.titles.push(title.to_owned());
            self.cells.push(cells);
        }
    }

    /// Adds the columns of the table at `path`, where there is one; its column `key` names fields.
    ///
    /// # Errors
    /// The table is damaged.
    pub(crate) fn add_table(&mut self, path: &Path, key: &str) -> Result<(), ViewError> {
        if !path.exists() {
            return Ok(());
        }
        let table = Table::read(path)?;
        let Some(name) = table.column(key) else {
            return Ok(());
        };
        for (column, title) in table.columns.iter().enumerate() {
            if NOT_SHOWN.contains(&title.as_str()) || self.titles.contains(title) {
                continue;
            }
            let cells = table.rows.iter().map(|row| {
                let (field, cell) = (row.cell(name), row.cell(column));
                (field.to_owned(), cell.to_owned())
            });
            self.add(title, cells.collect());
        }
        Ok(())
    }

    /// Adds how many rows of a table each of these fields has; nothing where there is no table.
    ///
    /// # Errors
    /// The table is damaged.
    pub(crate) fn add_count<'a>(
        &mut self,
        path: &Path,
        title: &str,
        fields: impl Iterator<Item = &'a str>,
    ) -> Result<(), ViewError> {
        if !path.exists() {
            return Ok(());
        }
        let table = Table::read(path)?;
        let Some(name) = table.column("field") else {
            return Ok(());
        };
        let mut counts: BTreeMap<String, usize> =
            fields.map(|field| (field.to_owned(), 0)).collect();
        for row in &table.rows {
            *counts.entry(row.cell(name).to_owned()).or_default() += 1;
        }
        let cells = counts.into_iter().map(|(k, n)| (k, n.to_string()));
        self.add(title, cells.collect());
        Ok(())
    }

    /// Adds the mean confidence of each field's objects, where `table` has theirs.
    ///
    /// # Errors
    /// A table cannot be read.
    pub(crate) fn add_confidence(
        &mut self,
        title: &str,
        fields: &[String],
        table: impl Fn(&str) -> Option<PathBuf>,
    ) -> Result<(), ViewError> {
        let mut cells = BTreeMap::new();
        for field in fields {
            let Some(path) = table(field) else { continue };
            let sure = confidences(&path)?;
            if !sure.is_empty() {
                let mean = sure.values().sum::<f64>() / sure.len() as f64;
                cells.insert(field.clone(), format!("{mean:.3}"));
            }
        }
        self.add(title, cells);
        Ok(())
    }

    /// The titles.
    pub(crate) fn titles(&self) -> Vec<String> {
        self.titles.clone()
    }

    /// The cells of a field, empty where nothing is known.
    pub(crate) fn of(&self, field: &str) -> Vec<String> {
        let cell = |column: &BTreeMap<String, String>| column.get(field).cloned();
        let cells = self.cells.iter();
        cells
            .map(|column| cell(column).unwrap_or_default())
            .collect()
    }
}
