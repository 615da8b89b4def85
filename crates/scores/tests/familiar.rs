//! What is unlike examples: against scikit-learn and scipy, and how often it is said of what is
//! like them.

use serde_json::Value;
use stainfree_image::random::Stream;
use stainfree_scores::familiar::{
    Example, Familiar, Mahalanobis, conformal_quantile, ledoit_wolf, lognormal_bound,
};

fn golden() -> Value {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../testdata/scores/familiar.json"
    );
    serde_json::from_str(&std::fs::read_to_string(path).expect("familiar.json")).expect("valid")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

fn numbers(value: &Value) -> Vec<f64> {
    let numbers = list(value).iter();
    numbers.map(|v| v.as_f64().expect("a number")).collect()
}

fn table(value: &Value) -> Vec<Vec<f64>> {
    list(value).iter().map(numbers).collect()
}

/// Both are f64 and add in another order: some hundred roundings.
#[track_caller]
fn same(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    let scale = expected.iter().fold(1e-3, |most: f64, v| most.max(v.abs()));
    for (found, expected) in found.iter().zip(expected) {
        assert!(
            (found - expected).abs() < 1e-10 * scale,
            "{found} {expected}"
        );
    }
}

#[test]
fn shrunk_covariances_and_distances_are_scikit_learns() {
    for case in list(&golden()["covariances"]) {
        let rows = table(&case["rows"]);
        let found = ledoit_wolf(&rows, rows[0].len());
        same(&found.mean, &numbers(&case["mean"]));
        same(&found.covariance, &table(&case["covariance"]).concat());
        same(&[found.shrinkage], &[case["shrinkage"].as_f64().unwrap()]);
        let distance = Mahalanobis::new(found.mean, &found.covariance).unwrap();
        let squared: Vec<f64> = table(&case["others"])
            .iter()
            .map(|row| distance.squared(row))
            .collect();
        same(&squared, &numbers(&case["squared"]));
    }
}

#[test]
fn limits_are_numpys_and_scipys() {
    for case in list(&golden()["limits"]) {
        let (scores, outside) = (numbers(&case["scores"]), case["outside"].as_f64().unwrap());
        let conformal = conformal_quantile(&scores, outside);
        assert_eq!(
            conformal,
            case["conformal"].as_f64(),
            "{} scores",
            scores.len()
        );
        let bound = lognormal_bound(&scores, outside).unwrap();
        // The quantile of Student's t is bisected to 1e-12.
        same(&[bound], &[case["lognormal"].as_f64().unwrap()]);
    }
    assert_eq!(lognormal_bound(&[1.0], 0.05), None);
    assert_eq!(lognormal_bound(&[1.0, 0.0], 0.05), None);
}

#[test]
fn what_does_not_vary_has_no_distance() {
    let flat = ledoit_wolf(&vec![vec![1.0, 2.0]; 4], 2);
    assert_eq!((flat.shrinkage, &flat.covariance[..]), (0.0, &[0.0; 4][..]));
    assert!(Mahalanobis::new(flat.mean, &flat.covariance).is_none());
}

/// Normal numbers, the sum of twelve uniform ones.
fn normal(stream: &mut Stream) -> f64 {
    let unit = |bits: u64| (bits >> 11) as f64 / (1u64 << 53) as f64;
    (0..12).map(|_| unit(stream.bits())).sum::<f64>() - 6.0
}

const COLUMNS: usize = 12;

/// A row of correlated columns, all of which lie `off` (in their standard deviations).
fn row(stream: &mut Stream, group: f64, off: f64) -> Vec<f64> {
    let common = normal(stream);
    (0..COLUMNS)
        .map(|_| 0.7 * common + 0.7 * normal(stream) + group + off)
        .collect()
}

/// `groups` of `each` rows; what the rows of a group have in common has a spread of `between`.
fn examples(stream: &mut Stream, groups: usize, each: usize, between: f64) -> Vec<Example> {
    let mut found = Vec::new();
    for group in 0..groups {
        let own = between * normal(stream);
        found.extend((0..each).map(|_| Example {
            group: group.to_string(),
            values: row(stream, own, 0.0),
        }));
    }
    found
}

/// The share of new rows, each of a group of its own, that are called unusual by as many trainings.
fn called_unusual(groups: usize, each: usize, between: f64, off: f64) -> f64 {
    const TRAININGS: usize = 150;
    const ROWS: usize = 10;
    let mut stream = Stream::new(9 + groups as u64);
    let mut called = 0;
    for _ in 0..TRAININGS {
        let known = examples(&mut stream, groups, each, between);
        let familiar = Familiar::learn(&known, &[0.1; COLUMNS]).unwrap();
        for _ in 0..ROWS {
            let own = between * normal(&mut stream);
            let row = row(&mut stream, own, off);
            called += usize::from(familiar.strangeness(&row) > 1.0);
        }
    }
    called as f64 / (TRAININGS * ROWS) as f64
}

#[test]
fn one_in_twenty_of_the_same_kind_is_called_unusual_at_most() {
    for (groups, each, between) in [(6, 1, 0.0), (12, 1, 0.0), (40, 1, 0.0), (20, 3, 0.5)] {
        let share = called_unusual(groups, each, between, 0.0);
        println!("{groups} x {each}: {:.1} %", 100.0 * share);
        // 1,500 rows by 150 trainings: those by one training go together, so that a share of 5 %
        // scatters by 1 %; three of these.
        assert!(share < 0.08, "{groups} groups of {each}: {share}");
    }
}

#[test]
fn another_kind_is_called_unusual() {
    for groups in [6, 12, 40] {
        let share = called_unusual(groups, 1, 0.0, 8.0);
        println!("{groups}: {:.1} %", 100.0 * share);
        // 94 % were measured of six examples, whose limit scatters most.
        assert!(share > 0.9, "{groups} groups: {share}");
    }
}

#[test]
fn too_few_examples_say_nothing() {
    let mut stream = Stream::new(1);
    let four = examples(&mut stream, 4, 1, 0.0);
    assert!(Familiar::learn(&four, &[0.1; COLUMNS]).is_none());
    // All of one group are left out one by one.
    let one_group = examples(&mut stream, 1, 6, 0.0);
    assert!(Familiar::learn(&one_group, &[0.1; COLUMNS]).is_some());
}
