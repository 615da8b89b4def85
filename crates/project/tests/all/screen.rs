//! Wells that are stained and what they say of a screen: laws that hold for any tables.

use std::collections::{BTreeMap, BTreeSet};

use stainfree_project::ProjectError;
use stainfree_project::screen::estimate::{EstimateOptions, Estimated, Unit, estimate};
use stainfree_project::screen::plan::{PlanOptions, Planned, plan};
use stainfree_scores::powered::Weight;

use crate::common::{Place, has, said};

/// Writes a table.
fn table(place: &Place, name: &str, head: &str, rows: &[String]) {
    place.write(name, format!("{head}\n{}\n", rows.join("\n")));
}

fn options(place: &Place) -> EstimateOptions {
    EstimateOptions {
        predicted: place.path("predicted.csv"),
        stained: place.path("stained.csv"),
        ..EstimateOptions::default()
    }
}

/// `B02` and so on: eight rows of twelve columns.
fn well(i: usize) -> String {
    format!("{}{:02}", (b'A' + (i / 12) as u8) as char, i % 12 + 1)
}

/// A count of a well that looks like none of its neighbours'.
fn count(i: usize) -> f64 {
    100.0 + ((i * 7919) % 61) as f64
}

/// Predictions of 96 wells, of which `offset` is added; every fourth well is stained.
fn screen(place: &Place, offset: f64) {
    let predicted = |i: usize| format!("{},{}", well(i), count(i) + offset);
    let predicted: Vec<String> = (0..96).map(predicted).collect();
    let stained: Vec<String> = (0..96)
        .step_by(4)
        .map(|i| format!("{},{}", well(i), count(i)))
        .collect();
    table(place, "predicted.csv", "well,cells", &predicted);
    table(place, "stained.csv", "well,cells", &stained);
}

fn mean(of: impl Iterator<Item = f64>) -> f64 {
    let values: Vec<f64> = of.collect();
    values.iter().sum::<f64>() / values.len() as f64
}

fn close(found: f64, expected: f64) {
    // Sums of a hundred numbers in f64.
    let near = (found - expected).abs() < 1e-9 * expected.abs().max(1.0);
    assert!(near, "{found} instead of {expected}");
}

#[test]
fn predictions_without_error_give_the_mean_of_all_wells_however_far_they_are_off() {
    for offset in [0.0, 40.0, -90.0] {
        let place = Place::new();
        screen(&place, offset);
        let found = estimate(&options(&place)).unwrap();
        let [row] = &found.groups[..] else {
            panic!("{found:?}");
        };
        assert_eq!((row.n, row.others), (24, 72));
        assert_eq!((found.column.as_str(), found.unit), ("cells", Unit::Well));
        let all = mean((0..96).map(count));
        close(row.powered.estimate, all);
        close(row.classical.estimate, mean((0..96).step_by(4).map(count)));
        // The slope is 1; stained wells stand for themselves, the others for three quarters.
        close(row.lambda, 0.75);
        // The sum is estimated with the weight that is best for the mean of wells like these.
        let total = row.total.unwrap().ci95.unwrap();
        assert!(
            total[0] <= 96.0 * all && 96.0 * all <= total[1],
            "{total:?}"
        );
        let [low, high] = row.powered.ci95.unwrap();
        let [wide_low, wide_high] = row.classical.ci95.unwrap();
        assert!(low <= all && all <= high);
        assert!(
            high - low < wide_high - wide_low,
            "predictions say something"
        );
        assert!(row.worth_wells.unwrap() > 24.0);
        assert!(found.problems.is_empty(), "{:?}", found.problems);
    }
}

#[test]
fn without_weight_predictions_say_nothing_and_with_a_given_one_that_much() {
    let place = Place::new();
    screen(&place, 40.0);
    let with = |weight: Weight| {
        let found = estimate(&EstimateOptions {
            weight,
            ..options(&place)
        });
        found.unwrap().groups[0].powered
    };
    let stained = mean((0..96).step_by(4).map(count));
    close(with(Weight::Given(0.0)).estimate, stained);
    // weight * mean(predicted elsewhere) + mean(truth - weight * predicted), by hand.
    let others = mean((0..96).filter(|i| i % 4 > 0).map(|i| count(i) + 40.0));
    let apart = mean(
        (0..96)
            .step_by(4)
            .map(|i| count(i) - 0.5 * (count(i) + 40.0)),
    );
    close(with(Weight::Given(0.5)).estimate, 0.5 * others + apart);
}

#[test]
fn wells_that_were_drawn_more_often_count_less() {
    let place = Place::new();
    let predicted: Vec<String> = (0..12).map(|i| format!("{},0", well(i))).collect();
    table(&place, "predicted.csv", "well,cells", &predicted);
    let stained = ["A01,10,1.0", "A02,20,0.5", "A03,40,0.25"].map(str::to_owned);
    table(&place, "stained.csv", "well,cells,probability", &stained);
    let found = estimate(&EstimateOptions {
        weight: Weight::Given(0.0),
        ..options(&place)
    });
    // Each stands for one over its probability: (10 + 2 * 20 + 4 * 40) / 7.
    close(found.unwrap().groups[0].classical.estimate, 30.0);
}

#[test]
fn wells_are_joined_however_they_were_typed_and_what_is_missing_is_said() {
    let place = Place::new();
    screen(&place, 3.0);
    let expected = estimate(&options(&place)).unwrap().groups[0]
        .powered
        .estimate;
    // As a spreadsheet saves them: semicolons, decimal commas, `a1` for `A01`.
    let rows = place.text("stained.csv");
    let typed = rows.lines().skip(1).map(|row| {
        let (well, cells) = row.split_once(',').unwrap();
        let column: usize = well[1..].parse().unwrap();
        format!("{}{column};{cells},0", well[..1].to_lowercase())
    });
    let typed: Vec<String> = typed.collect();
    table(&place, "stained.csv", "Well;Cells", &typed);
    close(
        estimate(&options(&place)).unwrap().groups[0]
            .powered
            .estimate,
        expected,
    );
    // A stained well without a prediction, and predictions that are none.
    let more = [&typed[..], &["h13;7".to_owned()]].concat();
    table(&place, "stained.csv", "Well;Cells", &more);
    let rows = place.text("predicted.csv");
    let rows: Vec<String> = rows
        .lines()
        .skip(1)
        .map(|row| match row.split_once(',').unwrap() {
            ("A02", _) => "A02,".to_owned(),
            ("A03", _) => "A03,NaN".to_owned(),
            _ => row.to_owned(),
        })
        .collect();
    table(&place, "predicted.csv", "well,cells", &rows);
    let found = estimate(&options(&place)).unwrap();
    assert_eq!((found.groups[0].n, found.groups[0].others), (24, 70));
    let problems = found.problems.join("\n");
    has(
        &problems,
        &[
            "2 wells have no predicted `cells` and are left out",
            "`A02`",
            "1 of 25 stained wells have no prediction and are left out",
        ],
    );
}

/// The screen with three conditions, a third of the wells each.
fn conditions(place: &Place, names: [&str; 3]) {
    screen(place, 10.0);
    let layout: Vec<String> = (0..96)
        .map(|i| format!("{},{}", well(i), names[i % 3]))
        .collect();
    table(place, "layout.csv", "well,dose", &layout);
}

fn by_dose(place: &Place) -> EstimateOptions {
    EstimateOptions {
        by: Some("Dose".to_owned()),
        layout: Some(place.path("layout.csv")),
        ..options(place)
    }
}

#[test]
fn conditions_stand_in_the_order_of_their_numbers_and_against_the_first() {
    let place = Place::new();
    conditions(&place, ["10", "2.5", "0"]);
    let found = estimate(&by_dose(&place)).unwrap();
    let order: Vec<&str> = found
        .groups
        .iter()
        .map(|row| row.by.as_deref().unwrap())
        .collect();
    assert_eq!(order, ["0", "2.5", "10"]);
    for (row, third) in found.groups.iter().zip([2, 1, 0]) {
        close(
            row.powered.estimate,
            mean((third..96).step_by(3).map(count)),
        );
        assert_eq!((row.n, row.others), (8, 24));
    }
    let difference = |found: &Estimated, i: usize| {
        let row = &found.differences[i];
        (row.by.clone(), row.against.clone(), row.powered.estimate)
    };
    assert_eq!(found.differences.len(), 2);
    let (by, against, apart) = difference(&found, 0);
    assert_eq!((&by[..], &against[..]), ("2.5", "0"));
    let of = |i: usize| found.groups[i].powered.estimate;
    close(apart, of(1) - of(0));
    // Against another one the same differences turn round.
    let other = estimate(&EstimateOptions {
        against: Some("2.5".to_owned()),
        ..by_dose(&place)
    })
    .unwrap();
    let (by, against, turned) = difference(&other, 0);
    assert_eq!((&by[..], &against[..]), ("0", "2.5"));
    close(turned, -apart);
    has(
        &said(estimate(&EstimateOptions {
            against: Some("3".to_owned()),
            ..by_dose(&place)
        })),
        &[
            "there is no condition `3` with stained wells",
            "choose from",
        ],
    );
    // Words stand as people count: `day 2` before `day 10`.
    let place = Place::new();
    conditions(&place, ["day 10", "day 2", "control"]);
    let found = estimate(&by_dose(&place)).unwrap();
    let order: Vec<&str> = found
        .groups
        .iter()
        .map(|row| row.by.as_deref().unwrap())
        .collect();
    assert_eq!(order, ["control", "day 2", "day 10"]);
}

#[test]
fn conditions_that_nobody_stained_or_knows_are_named() {
    let place = Place::new();
    conditions(&place, ["a", "b", "c"]);
    // None of `c` is stained, and three wells have no dose.
    let keep = |row: &&str| {
        let well = row.split(',').next().unwrap();
        let i = (0..96).find(|&i| crate::screen::well(i) == well);
        i.is_none_or(|i| i % 3 != 2)
    };
    let text = place.text("stained.csv");
    let rows: Vec<&str> = text.lines().filter(keep).collect();
    place.write("stained.csv", rows.join("\n"));
    let text = place.text("layout.csv");
    let rows: Vec<String> = text
        .lines()
        .map(|row| match row.split_once(',').unwrap() {
            (well @ ("A01" | "A02" | "A04"), _) => format!("{well},"),
            _ => row.to_owned(),
        })
        .collect();
    place.write("layout.csv", rows.join("\n"));
    let found = estimate(&by_dose(&place)).unwrap();
    assert_eq!(found.groups.len(), 2);
    has(
        &found.problems.join("\n"),
        &[
            "3 wells have no `Dose` and are left out",
            "no well of `c` was stained",
        ],
    );
}

#[test]
fn columns_that_are_missing_or_too_many_are_asked_for() {
    let place = Place::new();
    table(
        &place,
        "predicted.csv",
        "well,cells,area",
        &["A01,1,2".to_owned()],
    );
    let cases: [(&str, &[&str]); 4] = [
        (
            "well,cells,area\nA01,1,2\n",
            &["both tables have the columns", "`cells`", "`--column`"],
        ),
        (
            "well,nuclei\nA01,1\n",
            &["share no column of numbers", "`--column`"],
        ),
        ("well,cells\nA09,1\n", &["none of the 1 wells of `"]),
        ("cells\n1\n", &["it has no column `well`"]),
    ];
    for (stained, parts) in cases {
        place.write("stained.csv", stained);
        has(&said(estimate(&options(&place))), parts);
    }
    // Of several plates, wells have to say theirs.
    table(
        &place,
        "predicted.csv",
        "plate,well,cells",
        &["p,A01,1".to_owned(), "q,A01,3".to_owned()],
    );
    place.write("stained.csv", "well,cells\nA01,1\n");
    has(
        &said(estimate(&options(&place))),
        &["on which of the 2 plates", "add the column `plate`"],
    );
}

/// A screen of plates, each with wells of four doses, with a prediction each.
fn plates(place: &Place, names: &[&str]) -> usize {
    let mut rows = Vec::new();
    for plate in names {
        for i in 0..24 {
            rows.push(format!("{plate},{},{},{}", well(i), i % 4, count(i)));
        }
    }
    table(place, "screen.csv", "plate,well,dose,cells", &rows);
    rows.len()
}

fn planned(place: &Place, change: impl FnOnce(&mut PlanOptions)) -> Result<Planned, ProjectError> {
    let mut options = PlanOptions {
        screen: vec![place.path("screen.csv")],
        wells: 12,
        seed: 1,
        ..PlanOptions::default()
    };
    change(&mut options);
    plan(&options)
}

#[test]
fn wells_are_spread_over_plates_and_conditions_and_their_probability_is_true() {
    let place = Place::new();
    let names = ["p1", "p2", "p10"];
    let all = plates(&place, &names);
    for seed in 0..10 {
        let found = planned(&place, |options| {
            options.by = Some("dose".to_owned());
            options.column = Some("cells".to_owned());
            options.seed = seed;
        })
        .unwrap();
        assert_eq!((found.wells.len(), found.of), (12, all));
        let mut strata: BTreeMap<&str, usize> = BTreeMap::new();
        let mut wells = BTreeSet::new();
        for drawn in &found.wells {
            close(drawn.probability, 12.0 / all as f64);
            *strata.entry(&drawn.stratum).or_default() += 1;
            assert!(wells.insert((&drawn.plate, &drawn.well)), "{drawn:?} twice");
        }
        // Twelve strata of a plate and a dose, a well of each.
        assert_eq!(strata.len(), 12, "{strata:?}");
        assert!(strata.contains_key("p10/3"));
        // A condition has three stained wells: enough for an interval.
        assert!(found.problems.is_empty(), "{:?}", found.problems);
        let again = planned(&place, |options| {
            options.by = Some("dose".to_owned());
            options.column = Some("cells".to_owned());
            options.seed = seed;
        });
        assert_eq!(again.unwrap().wells, found.wells);
    }
    let draws = |seed| {
        planned(&place, |options| options.seed = seed)
            .unwrap()
            .wells
    };
    assert_ne!(draws(1), draws(2));
}

#[test]
fn too_few_and_too_many_wells_are_said() {
    let place = Place::new();
    let all = plates(&place, &["p1", "p2", "p3", "p4"]);
    let found = planned(&place, |options| options.wells = 2).unwrap();
    assert_eq!(found.wells.len(), 2);
    has(
        &found.problems.join("\n"),
        &["2 of 4 plates get no stained well", "draw 4 wells or more"],
    );
    let found = planned(&place, |options| {
        options.wells = 8;
        options.by = Some("dose".to_owned());
    });
    has(
        &found.unwrap().problems.join("\n"),
        &[
            "of 4 conditions get fewer than 3 stained wells",
            "draw more wells",
        ],
    );
    let found = planned(&place, |options| options.wells = 1000).unwrap();
    assert_eq!(found.wells.len(), all);
    assert!(found.wells.iter().all(|drawn| drawn.probability == 1.0));
    has(
        &found.problems.join("\n"),
        &["there are 96 wells, which is fewer than 1000"],
    );
}

#[test]
fn screens_that_cannot_be_drawn_from_are_told() {
    let place = Place::new();
    plates(&place, &["p1"]);
    place.picture("images/f.tif", 0, 2000);
    let twice = planned(&place, |options| {
        options.screen.push(place.path("screen.csv"))
    });
    has(
        &said(twice),
        &[
            "both have the well `A01` of one plate, `p1`",
            "by a column `plate`",
        ],
    );
    let images = planned(&place, |options| {
        options.screen = vec![place.path("images")]
    });
    has(
        &said(images),
        &[
            "has no wells that could be drawn",
            "the columns `plate` and `well`",
        ],
    );
    let images = planned(&place, |options| {
        options.screen = vec![place.path("images")];
        options.column = Some("cells".to_owned());
    });
    has(
        &said(images),
        &["are images, which know neither conditions nor predictions"],
    );
    has(
        &said(planned(&place, |options| {
            options.by = Some("drug".to_owned())
        })),
        &["it has no column `drug`", "`dose`"],
    );
    // A layout of other wells leaves none.
    place.write("layout.csv", "well,drug\nP24,x\n");
    let none = planned(&place, |options| {
        options.by = Some("drug".to_owned());
        options.layout = Some(place.path("layout.csv"));
    });
    has(
        &said(none),
        &["no wells are left to draw from (24 wells have no `drug`"],
    );
}
