//! A table that only grows: rows are added at its end, and those that are there stay.

use std::path::Path;

use stainfree_image::table::Table;

use crate::ProjectError;

/// Adds `rows` with cells under `titles` to the table at `path`, which need not exist.
///
/// Cells and columns that a person added stay as they are, however the table was saved. The table
/// is replaced by the longer one in one step, so that a kill leaves the old or the new; two
/// programs that add rows at once wait for each other.
///
/// # Errors
/// The table is damaged, or cannot be written.
pub(super) fn append(
    path: &Path,
    titles: &[&str],
    rows: &[Vec<String>],
) -> Result<(), ProjectError> {
    if rows.is_empty() {
        return Ok(());
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(|error| ProjectError::write(folder, &error))?;
    let lock = folder.join(".lock");
    let lock = std::fs::File::create(&lock).map_err(|error| ProjectError::write(&lock, &error))?;
    // Some network shares know no locks; there two programs at once are the user's to avoid.
    let _ = lock.lock();

    let table = if path.exists() {
        Table::read(path)?
    } else {
        Table::default()
    };
    let mut columns: Vec<&str> = table.columns.iter().map(String::as_str).collect();
    let missing = titles.iter().filter(|title| table.column(title).is_none());
    columns.extend(missing);
    let failed = |error: &dyn std::fmt::Display| {
        ProjectError::NotMade(format!("`{}` cannot be made: {error}", path.display()))
    };
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(&columns).map_err(|e| failed(&e))?;
    for row in &table.rows {
        let cells = (0..columns.len()).map(|column| row.cell(column));
        writer.write_record(cells).map_err(|e| failed(&e))?;
    }
    for row in rows {
        let cells = columns.iter().map(|column| {
            let of = titles.iter().position(|t| t.eq_ignore_ascii_case(column));
            of.map_or("", |i| row[i].as_str())
        });
        writer.write_record(cells).map_err(|e| failed(&e))?;
    }
    let bytes = writer.into_inner().map_err(|e| failed(&e))?;
    Ok(stainfree_image::write_atomic(path, &bytes)?)
}

/// The rows of such a table; none where there is no table.
///
/// # Errors
/// The table is damaged, or lacks one of the columns `needed`.
pub(super) fn read(path: &Path, needed: &[&str]) -> Result<Table, ProjectError> {
    if !path.exists() {
        return Ok(Table::default());
    }
    let table = Table::read(path)?;
    match needed.iter().find(|title| table.column(title).is_none()) {
        Some(title) => Err(ProjectError::Table {
            path: path.to_owned(),
            line: None,
            message: format!(
                "it has no column `{title}` (columns: {}); give it that title in the first line",
                table.columns.join(", ")
            ),
        }),
        None => Ok(table),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_added_and_what_a_person_wrote_stays_however_it_was_saved() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("human").join("t.csv");
        let row = |a: &str, b: &str| vec![a.to_owned(), b.to_owned()];
        append(&path, &["a", "b"], &[row("1", "x, y")]).unwrap();
        append(&path, &["a", "b"], &[]).unwrap();
        let text = || std::fs::read_to_string(&path).unwrap();
        assert_eq!(text(), "a,b\n1,\"x, y\"\n");
        // Saved by Excel, with a column of its own, without one of ours, and in another order.
        std::fs::write(&path, "\u{FEFF}note;B\r\n\"kept; too\";0,5\r\n;\r\n").unwrap();
        append(&path, &["a", "b"], &[row("2", "y"), row("3", "z")]).unwrap();
        assert_eq!(text(), "note,B,a\nkept; too,\"0,5\",\n,y,2\n,z,3\n");
        // A damaged table is left alone.
        std::fs::write(&path, "a,b\n1,2,3\n").unwrap();
        let error = append(&path, &["a", "b"], &[row("4", "y")]).unwrap_err();
        assert!(error.to_string().contains("line 2 has 3 cells"), "{error}");
        assert_eq!(text(), "a,b\n1,2,3\n");
    }

    #[test]
    fn two_writers_at_once_lose_no_row() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.csv");
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let path = &path;
                scope.spawn(move || {
                    for i in 0..10 {
                        append(path, &["a"], &[vec![format!("{writer}.{i}")]]).unwrap();
                    }
                });
            }
        });
        assert_eq!(read(&path, &["a"]).unwrap().rows.len(), 40);
    }
}
