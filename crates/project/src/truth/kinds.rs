//! Which nuclei of the truth are of which kind, such as mitotic: from a table, or from class masks.

use std::collections::BTreeMap;
use std::path::Path;

use stainfree_image::Image;
use stainfree_image::table::{Table, number, yes_or_no};
use stainfree_inference::MITOTIC;

use crate::ProjectError;

/// The kinds of a nucleus that is in mitosis and of one that is not.
const INTERPHASE: &str = "interphase";

/// One nucleus of the table.
#[derive(Clone, Debug, PartialEq)]
struct Known {
    label: Option<u32>,
    /// Centroid in px.
    place: Option<(f64, f64)>,
    kind: String,
}

/// A table of nuclei with their kinds, by field.
///
/// Columns: `field` (the field's name); `label` or `id` (its number in the label image) or `y_px`
/// and `x_px` (its centroid), or both; `kind` (any word) or `mitotic` (1 or 0). Others are not
/// read, so the `cells.csv` of `simulate` will do.
#[derive(Clone, Debug, Default)]
pub struct KindTable(BTreeMap<String, Vec<Known>>);

impl KindTable {
    /// Reads the table.
    ///
    /// # Errors
    /// The file cannot be read, a column is missing, or a cell is not what its column holds.
    pub fn read(path: &Path) -> Result<Self, ProjectError> {
        let read = Table::read(path)?;
        let column = |name: &str| read.column(name);
        let missing = |wanted: &str| ProjectError::Table {
            path: path.to_owned(),
            line: None,
            message: format!(
                "it has no column {wanted} (columns: {})",
                read.columns.join(", ")
            ),
        };
        let field = column("field").ok_or_else(|| missing("`field`"))?;
        let label = column("label").or_else(|| column("id"));
        let place = column("y_px").zip(column("x_px"));
        if label.is_none() && place.is_none() {
            return Err(missing("`label` (or `id`, or `y_px` and `x_px`)"));
        }
        let kind = match (column("kind"), column(MITOTIC)) {
            (Some(kind), _) => Kind::Word(kind),
            (None, Some(mitotic)) => Kind::Mitotic(mitotic),
            (None, None) => return Err(missing("`kind` or `mitotic`")),
        };
        let mut table = Self::default();
        for row in &read.rows {
            let cell = |i: usize| row.cell(i);
            let wrong = |i: usize, holds: &str| ProjectError::Table {
                path: path.to_owned(),
                line: Some(row.line),
                message: format!(
                    "`{}` in column `{}` of field `{}`, which holds {holds}",
                    cell(i),
                    read.columns[i],
                    cell(field)
                ),
            };
            let number = |i: usize| number(cell(i)).ok_or_else(|| wrong(i, "a coordinate in px"));
            let label = label
                .map(|i| cell(i).parse().map_err(|_| wrong(i, "whole numbers")))
                .transpose()?;
            let place = match place {
                Some((y, x)) => Some((number(y)?, number(x)?)),
                None => None,
            };
            let kind = match kind {
                Kind::Word(i) => cell(i).to_owned(),
                Kind::Mitotic(i) => match yes_or_no(cell(i)) {
                    Some(true) => MITOTIC.to_owned(),
                    Some(false) => INTERPHASE.to_owned(),
                    None => return Err(wrong(i, "1 or 0")),
                },
            };
            // An empty kind says that it is not known.
            if !kind.is_empty() {
                let known = Known { label, place, kind };
                table
                    .0
                    .entry(cell(field).to_owned())
                    .or_default()
                    .push(known);
            }
        }
        Ok(table)
    }

    /// Whether the table has nuclei of the field.
    pub(crate) fn has(&self, field: &str) -> bool {
        self.0.contains_key(field)
    }

    /// Kinds by label, where the label images are those the table was made with; by centroid where
    /// it has no labels.
    pub(crate) fn by_label(&self, field: &str, labels: &Image<u32>) -> BTreeMap<u32, String> {
        let rows = self.0.get(field).map_or(&[][..], Vec::as_slice);
        let label = |known: &Known| known.label.or_else(|| label_at(known, labels));
        rows.iter()
            .filter_map(|known| Some((label(known)?, known.kind.clone())))
            .collect()
    }

    /// Kinds by the nucleus that lies at the centroid, where labels were renumbered; by label where
    /// the table has no centroids.
    pub(crate) fn by_place(&self, field: &str, labels: &Image<u32>) -> BTreeMap<u32, String> {
        let rows = self.0.get(field).map_or(&[][..], Vec::as_slice);
        let label = |known: &Known| match known.place {
            Some(_) => label_at(known, labels),
            None => known.label,
        };
        rows.iter()
            .filter_map(|known| Some((label(known)?, known.kind.clone())))
            .collect()
    }
}

/// Where the kind stands.
#[derive(Clone, Copy)]
enum Kind {
    Word(usize),
    Mitotic(usize),
}

/// The label of the pixel at the centroid; `None` outside the image and on background.
fn label_at(known: &Known, labels: &Image<u32>) -> Option<u32> {
    let (y, x) = known.place?;
    let inside = |v: f64, side: usize| {
        (v.round() >= 0.0 && v.round() < side as f64).then_some(v.round() as usize)
    };
    let label = labels.get(inside(y, labels.height())?, inside(x, labels.width())?);
    (label != 0).then_some(label)
}

/// Kinds from class masks with a class `mitotic`: a nucleus is mitotic if more than half of it is.
/// Nothing without such a class.
pub(crate) fn from_classes(
    nuclei: &Image<u32>,
    mask: &Image<u8>,
    classes: &[String],
) -> BTreeMap<u32, String> {
    let Some(mitotic) = classes.iter().position(|name| name == MITOTIC) else {
        return BTreeMap::new();
    };
    let mut pixels: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
    for (&label, &class) in nuclei.data().iter().zip(mask.data()) {
        if label != 0 {
            let (all, of_it) = pixels.entry(label).or_default();
            *all += 1;
            *of_it += u64::from(usize::from(class) == mitotic);
        }
    }
    let kind = |(all, of_it): (u64, u64)| if 2 * of_it > all { MITOTIC } else { INTERPHASE };
    pixels
        .into_iter()
        .map(|(label, counts)| (label, kind(counts).to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Result<KindTable, ProjectError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cells.csv");
        std::fs::write(&path, text).unwrap();
        KindTable::read(&path)
    }

    #[test]
    fn kinds_are_found_by_label_or_by_place() {
        let cells =
            table("id,field,y_px,x_px,mitotic\n1,a,0.2,0,0\n2,a,0,2.0,1\n3,b,0,0,1\n").unwrap();
        let labels = Image::new(1, 3, vec![1, 0, 2]);
        let kinds = |pairs: &[(u32, &str)]| -> BTreeMap<u32, String> {
            pairs
                .iter()
                .map(|&(label, kind)| (label, kind.to_owned()))
                .collect()
        };
        let expected = kinds(&[(1, INTERPHASE), (2, MITOTIC)]);
        assert_eq!(cells.by_label("a", &labels), expected);
        // Renumbered labels: the place tells.
        let renumbered = Image::new(1, 3, vec![7, 0, 1]);
        assert_eq!(
            cells.by_place("a", &renumbered),
            kinds(&[(7, INTERPHASE), (1, MITOTIC)])
        );
        assert!(!cells.has("c"));
        let words = table("field,label,kind\na,1,apoptotic\na,2,\n").unwrap();
        assert_eq!(words.by_place("a", &labels), kinds(&[(1, "apoptotic")]));
    }

    #[test]
    fn a_table_without_the_columns_names_those_it_has() {
        let error = table("name,id\na,1\n").unwrap_err().to_string();
        assert!(
            error.ends_with("it has no column `field` (columns: name, id)"),
            "{error}"
        );
        let error = table("field,id\na,1\n").unwrap_err().to_string();
        assert!(
            error.contains("has no column `kind` or `mitotic`"),
            "{error}"
        );
        let error = table("field,id,mitotic\na,1,perhaps\n")
            .unwrap_err()
            .to_string();
        assert!(
            error.ends_with(
                ", line 2: `perhaps` in column `mitotic` of field `a`, which holds 1 or 0"
            ),
            "{error}"
        );
        let saved =
            table("\u{FEFF}Mitotic;X_px;y_px;FIELD\r\nYes;2,0;0,2;a\r\n;;;\r\nFALSCH;0;0;a\r\n");
        let labels = Image::new(1, 3, vec![7, 0, 1]);
        let kinds = saved.unwrap().by_label("a", &labels);
        assert_eq!(
            (kinds[&1].as_str(), kinds[&7].as_str()),
            (MITOTIC, INTERPHASE)
        );
    }

    #[test]
    fn a_nucleus_is_mitotic_if_most_of_it_is() {
        let nuclei = Image::new(1, 6, vec![1, 1, 1, 2, 2, 0]);
        let mask = Image::new(1, 6, vec![3, 3, 1, 1, 3, 3]);
        let classes = ["background", "nucleus", "cytoplasm", "mitotic"].map(str::to_owned);
        let kinds = from_classes(&nuclei, &mask, &classes);
        assert_eq!(
            (kinds[&1].as_str(), kinds[&2].as_str()),
            (MITOTIC, INTERPHASE)
        );
        assert!(from_classes(&nuclei, &mask, &classes[..3]).is_empty());
    }
}
