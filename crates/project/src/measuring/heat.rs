//! Plate heat maps of a column, as SVG and PNG beside the table.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use stainfree_image::write;
use stainfree_report::PlateMap;

use super::cells::ColumnHead;
use super::wells::{WellKey, WellRow};
use crate::ProjectError;
use crate::study::names;

/// Plates and times of which there is a map each.
pub(super) type Plates<'a> = BTreeSet<(&'a Option<String>, Option<u32>)>;

/// What is not of objects but of fields: how unlike the training `predict` has found them.
pub(super) const STRANGENESS: &str = "strangeness";

/// A column to be shown, and its values so far.
pub(super) struct HeatMap {
    /// As it was asked for.
    name: String,
    /// Its column in the table of wells; none is of fields.
    column: Option<usize>,
    /// Its head there.
    head: String,
    values: Vec<(WellKey, f64)>,
}

impl HeatMap {
    /// A column of the table of wells, or of the objects, of which the mean is taken.
    pub(super) fn of(name: &str, heads: &[ColumnHead]) -> Result<Self, ProjectError> {
        if name == STRANGENESS {
            return Ok(Self {
                name: name.to_owned(),
                column: None,
                head: String::new(),
                values: Vec::new(),
            });
        }
        let find = |name: &str| {
            heads[3..]
                .iter()
                .position(|head| head.name == name)
                .map(|i| i + 3)
        };
        let column = find(name)
            .or_else(|| find(&format!("{name}_mean")))
            .ok_or_else(|| {
                let known = heads[3..]
                    .iter()
                    .map(|head| head.name.strip_suffix("_mean").unwrap_or(&head.name));
                let near = names::nearest(name, known)
                    .map_or(String::new(), |near| format!("; did you mean `{near}`?"));
                ProjectError::Usage(format!(
                    "`--heatmap {name}`: there is no such column to average{near}"
                ))
            })?;
        Ok(Self {
            name: name.to_owned(),
            column: Some(column),
            head: heads[column].name.clone(),
            values: Vec::new(),
        })
    }

    pub(super) fn add(&mut self, row: &WellRow) {
        if let Some(column) = self.column {
            self.values.push((row.key.clone(), row.number(column)));
        }
    }

    /// Adds the field of a well, whose strangeness is `value`; wells show the largest of theirs.
    pub(super) fn add_field(&mut self, key: &WellKey, value: f64) {
        if self.column.is_some() {
            return;
        }
        match self.values.last_mut().filter(|(last, _)| last == key) {
            Some((_, most)) => *most = most.max(value),
            None => self.values.push((key.clone(), value)),
        }
    }

    /// Writes a map for each plate and time, named after the table `out`, and gives the files.
    pub(super) fn write(&self, out: &Path) -> Result<Vec<PathBuf>, ProjectError> {
        let plates: Plates = self
            .values
            .iter()
            .map(|(key, _)| (&key.plate, key.time))
            .collect();
        let mut written = Vec::new();
        for &(plate, time) in &plates {
            let [svg, png] = self.pair(out, &plates, (plate, time));
            let wells = self
                .values
                .iter()
                .filter(|(key, _)| (&key.plate, key.time) == (plate, time));
            let unit = match self.name.as_str() {
                _ if self.column.is_none() => "strangest field of each well; 1 is the limit",
                name if name == self.head => "per well",
                _ => "mean of the objects of each well",
            };
            let time_note = time.map(|time| format!("time {time}"));
            let notes = [
                plate.clone().map(|plate| format!("plate {plate}")),
                time_note,
                Some(unit.to_owned()),
            ];
            let map = PlateMap {
                title: self.name.clone(),
                note: notes.into_iter().flatten().collect::<Vec<_>>().join(", "),
                wells: wells
                    .map(|(key, value)| (key.well.clone(), *value))
                    .collect(),
                from_zero: false,
            };
            write::write_atomic(&svg, map.svg()?.as_bytes())?;
            write::png_rgb(&png, &map.picture()?)?;
            written.extend([svg, png]);
        }
        Ok(written)
    }

    /// The files of these plates and times.
    pub(super) fn files(&self, out: &Path, plates: &Plates) -> Vec<PathBuf> {
        let pairs = plates.iter().map(|&one| self.pair(out, plates, one));
        pairs.flatten().collect()
    }

    /// SVG and PNG of one of the plates and times.
    fn pair(
        &self,
        out: &Path,
        plates: &Plates,
        (plate, time): (&Option<String>, Option<u32>),
    ) -> [PathBuf; 2] {
        let plate_end = plate
            .as_deref()
            .filter(|_| plates.iter().any(|(other, _)| *other != plate));
        let time_end = time.map(|time| format!("t{time:03}"));
        let ends = [Some(self.name.as_str()), plate_end, time_end.as_deref()];
        let end = ends
            .into_iter()
            .flatten()
            .map(file_name)
            .collect::<Vec<_>>()
            .join("_");
        let stem = out
            .file_stem()
            .map(|stem| stem.to_string_lossy().into_owned())
            .unwrap_or_default();
        ["svg", "png"].map(|kind| out.with_file_name(format!("{stem}_{end}.{kind}")))
    }
}

/// The name with everything that is odd in file names replaced.
fn file_name(name: &str) -> String {
    let keep = |c: char| {
        if c.is_alphanumeric() || "-_.".contains(c) {
            c
        } else {
            '_'
        }
    };
    name.chars().map(keep).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_well_shows_its_strangest_field() {
        let key = |well: &str| WellKey {
            plate: None,
            well: well.to_owned(),
            time: None,
        };
        let mut map = HeatMap::of(STRANGENESS, &[]).unwrap();
        for (well, value) in [
            ("B02", 0.5),
            ("B02", 2.0),
            ("B02", f64::NAN),
            ("B03", f64::NAN),
        ] {
            map.add_field(&key(well), value);
        }
        assert_eq!(map.values.len(), 2);
        assert_eq!(map.values[0], (key("B02"), 2.0));
        assert!(map.values[1].1.is_nan());
        // Other columns are of objects.
        let head = ColumnHead::new("area_mean", crate::measuring::cells::ColumnType::Float);
        let heads = vec![head; 4];
        let mut map = HeatMap::of("area", &heads).unwrap();
        map.add_field(&key("B02"), 1.0);
        assert!(map.values.is_empty());
    }
}
