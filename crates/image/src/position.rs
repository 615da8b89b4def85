//! Where a field lies.

/// The place that a field shows, the same at all its times.
///
/// Fields of one position show the same cells again. Unique within a plate by its name, and within
/// a data set of several plates as well.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// On plates `WELL_sSITE`, else the name of the field without its time.
    pub name: String,
    /// The plate, where the layout knows plates.
    pub plate: Option<String>,
    /// The well, as printed on the plate (`B02`).
    pub well: Option<String>,
    /// The site within the well, from 1.
    pub site: Option<u32>,
}

impl Position {
    /// What the sites of a well share: `PLATE/WELL`, or the well where no plate is known; where
    /// there are no wells, the name of the position.
    pub fn well_or_name(&self) -> String {
        match (&self.plate, &self.well) {
            (Some(plate), Some(well)) => format!("{plate}/{well}"),
            (None, Some(well)) => well.clone(),
            (_, None) => self.name.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sites_of_a_well_share_it_and_places_without_wells_stand_alone() {
        let place = |plate: Option<&str>, well: Option<&str>| {
            Position {
                name: "B02_s1".into(),
                plate: plate.map(str::to_owned),
                well: well.map(str::to_owned),
                site: Some(1),
            }
            .well_or_name()
        };
        assert_eq!(place(Some("p"), Some("B02")), "p/B02");
        assert_eq!(place(None, Some("B02")), "B02");
        assert_eq!(place(Some("p"), None), "B02_s1");
    }
}
