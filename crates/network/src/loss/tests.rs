//! The contract every registered loss must pass, the paper's fixture, and PyTorch's numbers.

use super::*;
use crate::random::{Purpose, Random};

fn term(name: &str, classes: usize) -> LossTerm {
    let mut term = LossTerm::new(name, 1.0);
    if name == "weighted-dice" {
        term.class_weights = Some([0.0, 1.0, 0.5, 0.25][..classes].to_vec());
    }
    term
}

fn evaluate(
    terms: &[LossTerm],
    classes: usize,
    logits: &[f32],
    target: &[u8],
    images: usize,
) -> (f64, Vec<f32>) {
    let mut gradient = vec![f32::NAN; logits.len()];
    let value = Loss::new(terms, classes)
        .unwrap()
        .evaluate(logits, target, images, &mut gradient);
    (value, gradient)
}

/// A batch of two images of `pixels` pixels with some ignored ones.
fn batch(classes: usize, pixels: usize) -> (Vec<f32>, Vec<u8>) {
    let mut random = Random::new(5, Purpose::Noise, classes as u64, pixels as u64);
    let logits = (0..2 * classes * pixels)
        .map(|_| random.between(-2.0, 2.0) as f32)
        .collect();
    let target = (0..2 * pixels)
        .map(|_| {
            if random.chance(0.2) {
                IGNORED
            } else {
                random.below(classes) as u8
            }
        })
        .collect();
    (logits, target)
}

#[test]
fn the_papers_fixture() {
    let p = [
        [0.7f32, 0.2, 0.1],
        [0.1, 0.8, 0.1],
        [0.3, 0.4, 0.3],
        [0.2, 0.3, 0.5],
    ];
    let logits: Vec<f32> = (0..3)
        .flat_map(|c| p.iter().map(move |p| p[c].ln()))
        .collect();
    let target = [0, 1, 1, 2];
    let value = |kind: &str| {
        let mut term = LossTerm::new(kind, 1.0);
        if kind == "weighted-dice" {
            term.class_weights = Some(vec![0.0, 1.0, 0.5]);
        }
        evaluate(&[term], 3, &logits, &target, 1).0
    };
    // Tolerance: half a unit of the last digit the reference states.
    assert!((value("dice") - 0.414217).abs() < 6e-7, "{}", value("dice"));
    assert!(
        (value("weighted-dice") - 0.700450).abs() < 6e-7,
        "{}",
        value("weighted-dice")
    );
    assert!(
        (value("focal") - 0.0113370).abs() < 6e-8,
        "{}",
        value("focal")
    );
    assert!(
        (value("paper") - 0.448964).abs() < 6e-7,
        "{}",
        value("paper")
    );
    assert!((value("paper") - value("focal") - 0.437627).abs() < 6e-7);
}

#[test]
fn uniform_probabilities_give_the_known_focal_loss() {
    let (value, _) = evaluate(
        &[LossTerm::new("focal", 1.0)],
        3,
        &[0.0; 12],
        &[0, 1, 2, 0],
        1,
    );
    assert!((value - 0.0407).abs() < 5e-5, "{value}");
}

#[test]
fn every_loss_agrees_with_torch() {
    let bytes = include_bytes!("../../../../testdata/network/loss.safetensors");
    let file = safetensors::SafeTensors::deserialize(bytes).unwrap();
    let f32s = |name: &str| -> Vec<f32> {
        let tensor = file.tensor(name).unwrap();
        tensor
            .data()
            .chunks(4)
            .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
            .collect()
    };
    for classes in 2..=4 {
        let logits = f32s(&format!("c{classes}.logits"));
        let target = file
            .tensor(&format!("c{classes}.target"))
            .unwrap()
            .data()
            .to_vec();
        for entry in LOSSES {
            let (value, gradient) =
                evaluate(&[term(entry.name, classes)], classes, &logits, &target, 2);
            let key = format!("c{classes}.{}", entry.name.replace('-', "_"));
            let expected = file.tensor(&format!("{key}.value")).unwrap();
            let expected = f64::from_le_bytes(expected.data().try_into().unwrap());
            // f32 probabilities: relative rounding 6e-8 each, a few of them in a row.
            assert!(
                (value - expected).abs() < 1e-6 * expected.abs().max(0.1),
                "{key}: {value} {expected}"
            );
            let expected = f32s(&format!("{key}.d_logits"));
            let largest = expected.iter().fold(0.0f32, |m, x| m.max(x.abs()));
            for (a, b) in gradient.iter().zip(&expected) {
                assert!(
                    (a - b).abs() < 5e-6 * largest,
                    "{key}: {a} {b} of {largest}"
                );
            }
        }
    }
}

#[test]
fn every_loss_keeps_the_contract() {
    for entry in LOSSES {
        for classes in [2, 3, 4] {
            let terms = [term(entry.name, classes)];
            // More pixels than a block holds would hide nothing here and cost time in the
            // differences.
            let (logits, target) = batch(classes, 9);
            let (value, gradient) = evaluate(&terms, classes, &logits, &target, 2);
            let context = format!("{} with {classes} classes", entry.name);
            assert!(value.is_finite() && value >= 0.0, "{context}: {value}");

            // Central differences: error h^2 times a third derivative below 1, plus value noise
            // 1e-8 / h.
            let h = 5e-3f32;
            let largest = gradient.iter().fold(0.0f32, |m, x| m.max(x.abs()));
            for i in 0..logits.len() {
                let shifted = |by: f32| {
                    let mut moved = logits.clone();
                    moved[i] += by;
                    evaluate(&terms, classes, &moved, &target, 2).0
                };
                let difference = (shifted(h) - shifted(-h)) / (2.0 * f64::from(h));
                let error = (difference - f64::from(gradient[i])).abs();
                assert!(
                    error < 1e-3 * f64::from(largest) + 2e-6,
                    "{context}: {difference} {}",
                    gradient[i]
                );
            }

            // Ignored pixels: zero gradient, and their logits do not matter.
            let mut moved = logits.clone();
            for (pixel, &t) in target.iter().enumerate() {
                for class in 0..classes {
                    let index = (pixel / 9 * classes + class) * 9 + pixel % 9;
                    if t == IGNORED {
                        assert_eq!(gradient[index], 0.0, "{context}");
                        moved[index] = 3.0 * class as f32;
                    }
                }
            }
            assert_eq!(
                evaluate(&terms, classes, &moved, &target, 2),
                (value, gradient.clone()),
                "{context}"
            );

            // The order of the images does not matter beyond rounding.
            let half = 9 * classes;
            let swapped: Vec<f32> = logits[half..]
                .iter()
                .chain(&logits[..half])
                .copied()
                .collect();
            let targets: Vec<u8> = target[9..].iter().chain(&target[..9]).copied().collect();
            let (other, turned) = evaluate(&terms, classes, &swapped, &targets, 2);
            assert!((other - value).abs() < 1e-12 * value.max(1.0), "{context}");
            for (a, b) in turned[..half].iter().zip(&gradient[half..]) {
                assert!((a - b).abs() <= 1e-6 * largest, "{context}");
            }

            // Nothing to learn from: nothing happens.
            let (value, gradient) = evaluate(&terms, classes, &logits, &[IGNORED; 18], 2);
            assert!(
                value == 0.0 && gradient.iter().all(|g| *g == 0.0),
                "{context}"
            );
        }
    }
}

#[test]
fn extreme_logits_stay_finite() {
    for entry in LOSSES {
        let logits = [500.0, -500.0, 0.0, -500.0, 500.0, 0.0];
        let (value, gradient) = evaluate(&[term(entry.name, 2)], 2, &logits, &[1, 1, 0], 1);
        assert!(
            value.is_finite() && gradient.iter().all(|g| g.is_finite()),
            "{}",
            entry.name
        );
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let (logits, target) = batch(3, 3 * BLOCK + 17);
    let terms = [
        LossTerm::new("paper", 1.0),
        LossTerm::new("cross-entropy", 0.5),
    ];
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| evaluate(&terms, 3, &logits, &target, 2))
    };
    let (value, gradient) = run(1);
    let (other, turned) = run(3);
    assert_eq!(value.to_bits(), other.to_bits());
    assert_eq!(gradient, turned);
}

#[test]
fn a_sum_is_the_sum_of_its_terms() {
    let (logits, target) = batch(3, 40);
    let (a, da) = evaluate(&[LossTerm::new("dice", 1.0)], 3, &logits, &target, 2);
    let (b, db) = evaluate(
        &[LossTerm::new("cross-entropy", 1.0)],
        3,
        &logits,
        &target,
        2,
    );
    let both = [
        LossTerm::new("dice", 0.5),
        LossTerm::new("cross-entropy", 2.0),
    ];
    let (c, dc) = evaluate(&both, 3, &logits, &target, 2);
    assert!((c - 0.5 * a - 2.0 * b).abs() < 1e-12);
    for i in 0..dc.len() {
        assert!((dc[i] - 0.5 * da[i] - 2.0 * db[i]).abs() < 1e-7);
    }
}

#[test]
fn wrong_recipes_are_named() {
    let error = |term: LossTerm| Loss::new(&[term], 3).err().unwrap().to_string();
    assert_eq!(
        error(LossTerm::new("dicee", 1.0)),
        "there is no loss `dicee` (known: paper, dice, weighted-dice, focal, cross-entropy)"
    );
    assert!(error(LossTerm::new("dice", f64::NAN)).contains("positive number"));
    assert!(error(LossTerm::new("weighted-dice", 1.0)).contains("needs `class_weights`"));
    let short = LossTerm {
        class_weights: Some(vec![1.0]),
        ..LossTerm::new("cross-entropy", 1.0)
    };
    assert!(error(short).contains("it needs 3 numbers"));
}
