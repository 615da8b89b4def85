//! Means of a few stained wells with the help of predictions: against ppi-python, and whether the
//! intervals hold on simulated screens.

use serde_json::Value;
use stainfree_image::random::Stream;
use stainfree_scores::powered::{
    Interval, StainedWell, Weight, Wells, difference, powered_mean, weight_of_others,
};

/// 97.5 % point of the normal distribution, as scipy gives it.
const NORMAL: f64 = 1.959963984540054;

fn golden() -> Vec<Value> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../testdata/scores/powered.json"
    );
    serde_json::from_str(&std::fs::read_to_string(path).expect("powered.json")).expect("valid")
}

fn numbers(value: &Value) -> Vec<f64> {
    let list = value.as_array().expect("a list");
    list.iter()
        .map(|value| value.as_f64().expect("a number"))
        .collect()
}

fn wells(truth: &[f64], predicted: &[f64], others: &[f64]) -> Wells {
    let stained = truth.iter().zip(predicted);
    Wells {
        stained: stained
            .map(|(&truth, &predicted)| StainedWell {
                truth,
                predicted,
                stands_for: 1.0,
            })
            .collect(),
        predicted: others.to_vec(),
    }
}

/// Population variance.
fn spread(values: &[f64]) -> f64 {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    values
        .iter()
        .map(|value| (value - mean).powi(2))
        .sum::<f64>()
        / values.len() as f64
}

#[test]
fn estimates_and_weights_are_those_of_ppi_python() {
    for case in golden() {
        let [truth, predicted, others] =
            ["truth", "predicted", "others"].map(|key| numbers(&case[key]));
        let wells = wells(&truth, &predicted, &others);
        for result in case["results"].as_array().expect("results") {
            let weight = result["weight"].as_f64().expect("a weight");
            let how = match result["tuned"] == true {
                true => Weight::PowerTuned,
                false => Weight::Given(weight),
            };
            let got = powered_mean(&wells, how).expect("stained wells");
            let expected = result["estimate"].as_f64().expect("an estimate");
            assert!(
                (got.weight - weight).abs() < 1e-9,
                "{} {weight}",
                got.weight
            );
            let off = (got.powered.estimate - expected).abs();
            assert!(off < 1e-9 * expected, "{} {expected}", got.powered.estimate);

            let ci95 = got.powered.ci95.expect("an interval");
            for (found, expected) in ci95.iter().zip(numbers(&result["student95"])) {
                let off = (found - expected).abs();
                assert!(off < 1e-9 * expected.abs().max(1.0), "{found} {expected}");
            }
            // ppi-python's own: normal, with variances over n.
            let half = normal_half(&truth, &predicted, &others, weight);
            let ci95 = numbers(&result["ci95"]);
            assert!(((ci95[1] - ci95[0]) / 2.0 - half).abs() < 1e-9 * half);
        }
    }
}

/// Half of ppi-python's interval.
fn normal_half(truth: &[f64], predicted: &[f64], others: &[f64], weight: f64) -> f64 {
    let errors: Vec<f64> = truth
        .iter()
        .zip(predicted)
        .map(|(y, f)| y - weight * f)
        .collect();
    let own = spread(&errors) / truth.len() as f64;
    let of_screen = weight * weight * spread(others) / others.len() as f64;
    NORMAL * (own + of_screen).sqrt()
}

/// Draws of a simulated screen.
struct Draws(Stream);

impl Draws {
    fn uniform(&mut self) -> f64 {
        ((self.0.bits() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    /// Box and Muller.
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.uniform().ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Predictions {
    Strong,
    Weak,
    Useless,
    /// Half of the cells are found, always.
    Halved,
    /// Errors grow with the count.
    Multiplied,
}

const ALL: [Predictions; 5] = [
    Predictions::Strong,
    Predictions::Weak,
    Predictions::Useless,
    Predictions::Halved,
    Predictions::Multiplied,
];

/// Counts of wells: normal with mean 300 and standard deviation 60, and what is predicted.
fn well(draws: &mut Draws, kind: Predictions) -> (f64, f64) {
    let truth = 300.0 + 60.0 * draws.normal();
    let predicted = match kind {
        Predictions::Strong => 0.8 * truth + 20.0 + 12.0 * draws.normal(),
        Predictions::Weak => 0.8 * truth + 72.0 * draws.normal(),
        Predictions::Useless => 300.0 + 60.0 * draws.normal(),
        Predictions::Halved => 0.5 * truth + 3.0 * draws.normal(),
        Predictions::Multiplied => 0.8 * truth * (0.15 * draws.normal()).exp(),
    };
    (truth, predicted)
}

fn screen(draws: &mut Draws, kind: Predictions, n: usize, others: usize) -> (Wells, f64) {
    let all: Vec<(f64, f64)> = (0..n + others).map(|_| well(draws, kind)).collect();
    let (truth, predicted): (Vec<f64>, Vec<f64>) = all.iter().copied().unzip();
    let total = truth.iter().sum();
    (wells(&truth[..n], &predicted[..n], &predicted[n..]), total)
}

fn holds(interval: &Interval, truth: f64) -> bool {
    let [low, high] = interval.ci95.expect("an interval");
    (low..=high).contains(&truth)
}

fn width(interval: &Interval) -> f64 {
    let [low, high] = interval.ci95.expect("an interval");
    high - low
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Screens of each kind: a coverage of 95 % scatters by 0.34 points.
const SCREENS: usize = 4000;

#[test]
fn intervals_hold_on_simulated_screens_and_are_never_much_wider_than_without_predictions() {
    for (at, kind) in ALL.into_iter().enumerate() {
        for n in [6, 8, 12, 24] {
            let mut draws = Draws(Stream::new(100 * at as u64 + n as u64));
            let (mut held, mut total_held, mut by_classical) = (0, 0, Vec::new());
            for _ in 0..SCREENS {
                let (wells, total) = screen(&mut draws, kind, n, 384 - n);
                let mean = powered_mean(&wells, Weight::Auto).expect("stained wells");
                held += usize::from(holds(&mean.powered, 300.0));
                total_held += usize::from(holds(&mean.total, total));
                by_classical.push(width(&mean.powered) / width(&mean.classical));
            }
            let share = |held: usize| 100.0 * held as f64 / SCREENS as f64;
            let (held, total_held) = (share(held), share(total_held));
            let ratio = median(by_classical);
            println!("{kind:?} n {n}: {held:.1} %, total {total_held:.1} %, width {ratio:.2}");
            for held in [held, total_held] {
                assert!((93.5..=96.5).contains(&held), "{kind:?} {n}: {held}");
            }
            assert!(ratio < 1.25, "{kind:?} {n}: {ratio}");
            if matches!(kind, Predictions::Strong | Predictions::Halved) {
                assert!(ratio < 0.4, "{kind:?} {n}: {ratio}");
            }
        }
    }
}

#[test]
fn with_three_to_five_wells_intervals_hold_and_still_gain() {
    for (at, kind) in ALL.into_iter().enumerate() {
        for n in [3, 4, 5] {
            let mut draws = Draws(Stream::new(1000 + 100 * at as u64 + n as u64));
            let (mut held, mut by_classical) = (0, Vec::new());
            for _ in 0..SCREENS {
                let (wells, _) = screen(&mut draws, kind, n, 96 - n);
                let mean = powered_mean(&wells, Weight::Auto).expect("stained wells");
                held += usize::from(holds(&mean.powered, 300.0));
                by_classical.push(width(&mean.powered) / width(&mean.classical));
            }
            let held = 100.0 * held as f64 / SCREENS as f64;
            let ratio = median(by_classical);
            println!("{kind:?} n {n}: {held:.1} %, width {ratio:.2}");
            assert!((93.0..=98.0).contains(&held), "{kind:?} {n}: {held}");
            assert!(ratio < 1.1, "{kind:?} {n}: {ratio}");
        }
    }
}

#[test]
fn normal_intervals_with_few_wells_hold_too_rarely() {
    for (n, most) in [(6, 87.0), (12, 92.0)] {
        for kind in [Predictions::Strong, Predictions::Weak, Predictions::Useless] {
            let mut draws = Draws(Stream::new(4000 + n as u64));
            let mut held = 0;
            for _ in 0..SCREENS {
                let (wells, _) = screen(&mut draws, kind, n, 384 - n);
                let tuned = powered_mean(&wells, Weight::PowerTuned).expect("stained wells");
                let truth: Vec<f64> = wells.stained.iter().map(|well| well.truth).collect();
                let said: Vec<f64> = wells.stained.iter().map(|well| well.predicted).collect();
                let half = normal_half(&truth, &said, &wells.predicted, tuned.weight);
                held += usize::from((tuned.powered.estimate - 300.0).abs() <= half);
            }
            let held = 100.0 * held as f64 / SCREENS as f64;
            println!("normal, {kind:?} n {n}: {held:.1} %");
            assert!(held < most, "{kind:?} {n}: {held}");
        }
    }
}

#[test]
fn skewed_counts_cost_what_they_cost_students_t_alone() {
    for n in [6, 8, 12, 24] {
        let mut draws = Draws(Stream::new(5000 + n as u64));
        let (mut held, mut alone) = (0, 0);
        for _ in 0..SCREENS {
            // A gamma distribution of shape 4: mean 300, standard deviation 150.
            let mut count = || -75.0 * (0..4).map(|_| draws.uniform().ln()).sum::<f64>();
            let truth: Vec<f64> = (0..384).map(|_| count()).collect();
            let said: Vec<f64> = truth
                .iter()
                .map(|y| 0.8 * y + 180.0 * draws.normal())
                .collect();
            let wells = wells(&truth[..n], &said[..n], &said[n..]);
            let mean = powered_mean(&wells, Weight::Auto).expect("stained wells");
            held += usize::from(holds(&mean.powered, 300.0));
            alone += usize::from(holds(&mean.classical, 300.0));
        }
        let share = |held: usize| 100.0 * held as f64 / SCREENS as f64;
        println!(
            "skewed n {n}: {:.1} %, stained alone {:.1} %",
            share(held),
            share(alone)
        );
        assert!(
            share(held) > 91.5 && share(held) > share(alone) - 1.5,
            "{n}"
        );
    }
}

#[test]
fn differences_of_conditions_hold() {
    for (n, m) in [(4, 4), (8, 6), (12, 24)] {
        let mut draws = Draws(Stream::new(7 + n as u64));
        let (mut held, mut narrower) = (0, Vec::new());
        for _ in 0..SCREENS {
            let (one, _) = screen(&mut draws, Predictions::Strong, n, 60);
            let (mut other, _) = screen(&mut draws, Predictions::Strong, m, 60);
            for well in &mut other.stained {
                (well.truth, well.predicted) = (well.truth + 50.0, well.predicted + 40.0);
            }
            other.predicted.iter_mut().for_each(|f| *f += 40.0);
            let mean = |wells: &Wells| powered_mean(wells, Weight::Auto).expect("stained wells");
            let apart = difference(&mean(&one), &mean(&other));
            held += usize::from(holds(&apart.powered, -50.0));
            narrower.push(width(&apart.powered) / width(&apart.classical));
        }
        let held = 100.0 * held as f64 / SCREENS as f64;
        let narrower = median(narrower);
        println!("{n} against {m}: {held:.1} %, width {narrower:.2}");
        assert!((93.5..=97.0).contains(&held), "{n} {m}: {held}");
        assert!(narrower < 0.75, "{n} {m}: {narrower}");
    }
}

#[test]
fn wells_drawn_with_other_probabilities_count_for_what_they_stand_for() {
    // A stratum of low counts, of which one in 20 was stained, and one of high ones, one in four.
    let mut held = 0;
    let mut draws = Draws(Stream::new(3));
    for _ in 0..SCREENS {
        let (mut wells, mut counted) = (Wells::default(), 0.0);
        for (level, of, stained, stands_for) in [(100.0, 200, 10, 20.0), (500.0, 40, 10, 4.0)] {
            for k in 0..of {
                let truth = level + 20.0 * draws.normal();
                let predicted = truth + 10.0 * draws.normal() - 30.0;
                counted += truth;
                match k < stained {
                    true => wells.stained.push(StainedWell {
                        truth,
                        predicted,
                        stands_for,
                    }),
                    false => wells.predicted.push(predicted),
                }
            }
        }
        let mean = powered_mean(&wells, Weight::Auto).expect("stained wells");
        // Without what they stand for, the mean would be near 300 and not near 167.
        assert!((mean.powered.estimate - counted / 240.0).abs() < 40.0);
        held += usize::from(holds(&mean.total, counted));
    }
    let held = 100.0 * held as f64 / SCREENS as f64;
    println!("drawn unequally: {held:.1} %");
    // Strata are not told apart, nor how many of their wells were drawn, which makes intervals
    // too wide and never too short.
    assert!(held >= 94.0, "{held}");
}

#[test]
fn the_number_of_wells_that_halves_the_interval_does_so() {
    let mut draws = Draws(Stream::new(17));
    let (wells, _) = screen(&mut draws, Predictions::Weak, 12, 2000);
    let mean = powered_mean(&wells, Weight::Auto).expect("stained wells");
    let more = mean.to_halve.expect("within reach");
    assert!((30..=60).contains(&more), "{more}");
    let mut ratios = Vec::new();
    for seed in 0..200 {
        let mut draws = Draws(Stream::new(seed));
        let (few, _) = screen(&mut draws, Predictions::Weak, 12, 2000);
        let (many, _) = screen(&mut draws, Predictions::Weak, more, 2000);
        let of = |wells: &Wells| width(&powered_mean(wells, Weight::Auto).expect("some").powered);
        ratios.push(of(&many) / of(&few));
    }
    let ratio = median(ratios);
    assert!((0.42..=0.58).contains(&ratio), "{ratio}");
    // Of 20 wells that differ, no number gives half the interval of 19.
    let (wells, _) = screen(&mut draws, Predictions::Useless, 19, 1);
    let mean = powered_mean(&wells, Weight::Auto).expect("stained wells");
    assert_eq!(mean.to_halve, None);
}

#[test]
fn few_wells_constant_predictions_and_a_screen_stained_as_a_whole_are_no_trouble() {
    assert_eq!(powered_mean(&Wells::default(), Weight::Auto), None);
    let two = powered_mean(&wells(&[3.0, 5.0], &[1.0, 2.0], &[1.0; 9]), Weight::Auto);
    let two = two.expect("stained wells");
    assert_eq!(
        (two.powered.estimate, two.powered.ci95, two.worth_wells),
        (4.0, None, None)
    );

    let truth = [3.0, 5.0, 4.0, 6.0, 2.0, 4.0];
    let constant = powered_mean(&wells(&truth, &[7.0; 6], &[7.0; 30]), Weight::Auto);
    let constant = constant.expect("stained wells");
    assert_eq!(constant.weight, 0.0);
    assert_eq!(constant.powered, constant.classical);

    let whole = powered_mean(&wells(&truth, &truth, &[]), Weight::Auto).expect("stained wells");
    assert_eq!(whole.powered, whole.classical);
    assert_eq!(
        (whole.total.estimate, whole.total.ci95),
        (24.0, Some([24.0, 24.0]))
    );

    // Perfect predictions: nothing scatters but the screen.
    let others: Vec<f64> = (0..50).map(|k| f64::from(k % 9)).collect();
    let perfect = powered_mean(&wells(&truth, &truth, &others), Weight::Given(1.0));
    let perfect = perfect.expect("stained wells");
    let mean = others.iter().sum::<f64>() / 50.0;
    assert!((perfect.powered.estimate - mean).abs() < 1e-12);
    assert!(perfect.worth_wells.expect("an interval") > 6.0);
}

#[test]
fn a_weight_from_other_conditions_is_their_slope() {
    let predicted: Vec<f64> = (0..8).map(f64::from).collect();
    let truth: Vec<f64> = predicted.iter().map(|f| 2.0 * f + 1.0).collect();
    let one = wells(&truth, &predicted, &[0.0, 7.0]);
    let higher: Vec<f64> = truth.iter().map(|y| y + 100.0).collect();
    let other = wells(&higher, &predicted, &[0.0, 7.0]);
    let weight = weight_of_others(&[&one, &other]).expect("enough wells");
    // 84 of 84 + 7 of squares, twice: drawn towards 0 by one well of ten.
    assert!(weight > 1.7 && weight < 2.0, "{weight}");
    let few = wells(&truth[..3], &predicted[..3], &[0.0, 7.0]);
    assert_eq!(weight_of_others(&[&few]), None);
}
