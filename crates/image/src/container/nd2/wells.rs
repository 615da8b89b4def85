//! Wells in the names that NIS-Elements gives to points and files.
//!
//! ND2 has no field for a well. The program names the points of a plate `B02_0006` (read from a
//! listing in an issue of `nd2reader`), and files `.._WellB02_PointB02_0006_Channel.._Seq0000.nd2`
//! or `WellB02_Channel.._Seq0000.nd2` (from several public analyses). Points are numbered from
//! `0000`.

use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;

use super::experiment::Point;
use crate::names::{printed_well, stem};

/// Where a point is on a plate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) well: String,
    /// From 1, where the name has the point's number.
    pub(super) site: Option<u32>,
}

static OF_POINT: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = r"^(?i:well[ _-]?)?([A-P])([01]?\d|2[0-4])(?:_(\d{4}))?$";
    Regex::new(pattern).expect("a valid pattern")
});
static OF_FILE: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = r"(?:^|_)Well([A-P])([01]\d|2[0-4])(?:_Point[A-P]\d\d_(\d{4}))?_";
    Regex::new(pattern).expect("a valid pattern")
});

/// The well and site in a name, and whether it can be nothing else: one with a column of two
/// digits, or with the word or a number of four digits beside it. `A1` may be a name of any kind.
fn of_name(pattern: &Regex, name: &str) -> Option<(Place, bool)> {
    let found = pattern.captures(name)?;
    let well = printed_well(&found[1], &found[2])?;
    let number = found
        .get(3)
        .and_then(|number| number.as_str().parse::<u32>().ok());
    let place = Place {
        well,
        site: number.map(|number| number + 1),
    };
    let is_sure = found[2].len() == 2 || found[0].len() > found[1].len() + found[2].len();
    Some((place, is_sure))
}

/// Wells of the points, if the names of all of them are such.
pub(super) fn of_points(points: &[Point]) -> Option<Vec<Place>> {
    let named = points.iter().map(|point| of_name(&OF_POINT, &point.name));
    let named: Vec<(Place, bool)> = named.collect::<Option<_>>()?;
    let is_sure = named.iter().all(|(_, is_sure)| *is_sure);
    let wells: Vec<Place> = named.into_iter().map(|(place, _)| place).collect();
    (!wells.is_empty() && (is_sure || lie_apart(points, &wells))).then_some(wells)
}

/// Whether points of different wells are as far from each other as those of a plate: looked at from
/// each point to the next one.
fn lie_apart(points: &[Point], wells: &[Place]) -> bool {
    /// The wells of 1,536 are 2,250 um from each other, and a point need not be in the middle.
    const LEAST_UM: f64 = 1_500.0;
    let pairs = points.windows(2).zip(wells.windows(2));
    let mut apart = pairs
        .filter(|(_, wells)| wells[0].well != wells[1].well)
        .map(|(at, _)| match (at[0].place_um, at[1].place_um) {
            (Some(a), Some(b)) => (a[0] - b[0]).hypot(a[1] - b[1]) >= LEAST_UM,
            _ => false,
        });
    points.len() > 1 && apart.all(|apart| apart)
}

/// The well in the name of a file that holds one.
pub(super) fn of_file(path: &Path) -> Option<Place> {
    of_name(&OF_FILE, &format!("{}_", stem(path))).map(|(place, _)| place)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(named: &[(&str, f64)]) -> Vec<Point> {
        let point = |(name, x): &(&str, f64)| Point {
            name: name.to_string(),
            place_um: Some([*x, 0.0]),
        };
        named.iter().map(point).collect()
    }

    fn wells(named: &[(&str, f64)]) -> Option<Vec<(String, Option<u32>)>> {
        let found = of_points(&points(named))?;
        Some(
            found
                .into_iter()
                .map(|place| (place.well, place.site))
                .collect(),
        )
    }

    #[test]
    fn names_of_points_are_wells_only_where_they_can_be_nothing_else() {
        let at = |well: &str, site| (well.to_string(), site);
        assert_eq!(
            wells(&[("E02_0000", 0.0), ("E02_0006", 1.0)]),
            Some(vec![at("E02", Some(1)), at("E02", Some(7))])
        );
        assert_eq!(
            wells(&[("B02", 0.0), ("Well C3", 9000.0)]),
            Some(vec![at("B02", None), at("C03", None)])
        );
        assert_eq!(
            wells(&[("A1", 0.0), ("A2", 9000.0)]).map(|wells| wells.len()),
            Some(2)
        );
        for named in [
            &[("A1", 0.0), ("A2", 200.0)][..],
            &[("A1", 0.0)],
            &[("B02", 0.0), ("", 9000.0)],
            &[("B02", 0.0), ("control", 9000.0)],
            &[("B02_1", 0.0)],
            &[("Q02", 0.0)],
            &[("B25", 0.0)],
            &[("B00", 0.0)],
            &[],
        ] {
            assert_eq!(wells(named), None, "{named:?}");
        }
    }

    #[test]
    fn names_of_files_of_a_plate_have_their_well() {
        for (name, site) in [
            ("WellB02_ChannelDAPI,GFP_Seq0000", None),
            ("20250506_124144_018__WellB02_ChannelSD DAPI_Seq0000", None),
            ("x__WellB02_PointB02_0003_ChannelFITC_Seq0000", Some(4)),
        ] {
            let well = "B02".to_string();
            let found = of_file(Path::new(&format!("{name}.nd2")));
            assert_eq!(found, Some(Place { well, site }), "{name}");
        }
        for name in ["B02", "Well1_ChannelDAPI_Seq0000", "Wellness", "WellB25_x"] {
            assert_eq!(of_file(Path::new(&format!("{name}.nd2"))), None, "{name}");
        }
    }
}
