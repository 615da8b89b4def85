//! Which weights of a training are kept: the best, the average, the epoch of the lowest loss.

use super::*;
use crate::loss::LossTerm;

#[test]
fn the_average_is_what_is_kept_and_steps_go_on_from_the_weights_themselves() {
    let trained = |average_steps| {
        let setup = Setup::new(Recipe {
            average_steps,
            selection: Selection::Last,
            ..recipe(6)
        });
        let kept = setup.train().unwrap().parameters;
        let files = Files::new(setup.folder.path());
        (kept, files.load(&setup.graph, |_| Ok(())).unwrap())
    };
    let (plain, saved) = trained(0);
    let (averaged, saved_too) = trained(32);
    assert_eq!(saved.parameters, saved_too.parameters);
    assert!(saved.average.is_none());
    let weights = |p: &Parameters| p.get("segmentation_head.0.weight").unwrap().data.clone();
    assert_eq!(weights(&averaged), weights(&saved_too.average.unwrap()));
    assert_ne!(weights(&averaged), weights(&plain));
}

#[test]
fn rounds_begin_at_the_same_start_and_the_mean_of_their_weights_is_kept() {
    let trained = |steps, round_steps| {
        let setup = Setup::new(Recipe {
            round_steps,
            selection: Selection::Last,
            ..recipe(steps)
        });
        let kept = setup.train().unwrap().parameters;
        let files = Files::new(setup.folder.path());
        (kept, files.load(&setup.graph, |_| Ok(())).unwrap())
    };
    let weights = |p: &Parameters| p.get("segmentation_head.0.weight").unwrap().data.clone();
    // A training of 3 steps is the first of two rounds.
    let (_, one) = trained(3, None);
    let (kept, two) = trained(6, Some(3));
    let (first, second) = (weights(&one.parameters), weights(&two.parameters));
    assert_ne!(first, second, "the second round has crops of its own");
    assert_eq!((two.progress.averaged, two.progress.step), (2, 6));
    for (mean, (a, b)) in weights(&kept).iter().zip(first.iter().zip(&second)) {
        // Rounded twice in f32.
        assert!((mean - (a + b) / 2.0).abs() <= 2.0 * f32::EPSILON * a.abs().max(b.abs()));
    }
    // One round is a training as ever.
    assert_eq!(trained(3, Some(3)).0, trained(3, None).0);
}

#[test]
fn only_the_ends_of_rounds_are_chosen_from() {
    struct Seen(Vec<ValidationReport>);
    impl Observer for Seen {
        fn validation(&mut self, report: &ValidationReport, _: &[Picture]) {
            self.0.push(report.clone());
        }
    }
    let setup = Setup::new(Recipe {
        round_steps: Some(4),
        validate_every: 2,
        ..recipe(12)
    });
    let mut seen = Seen(vec![]);
    let outcome = train(&setup.job(), &mut seen, &AtomicBool::new(false)).unwrap();
    let steps: Vec<u64> = seen.0.iter().map(|report| report.step).collect();
    assert_eq!(steps, [2, 4, 6, 8, 10, 12]);
    let best = seen.0.iter().filter(|report| report.best);
    assert!(best.map(|report| report.step).all(|step| step % 4 == 0));
    assert!(
        outcome.chosen_step.is_multiple_of(4),
        "{}",
        outcome.chosen_step
    );
}

#[test]
fn discs_are_learned_and_the_best_state_is_the_one_returned() {
    struct Best(Vec<ValidationReport>, usize);
    impl Observer for Best {
        fn validation(&mut self, report: &ValidationReport, pictures: &[Picture]) {
            self.0.push(report.clone());
            self.1 += pictures.len();
            assert_eq!(pictures[0].truth.size(), pictures[0].prediction.size());
            assert!(
                pictures[0].truth.data().contains(&1),
                "a picture without foreground"
            );
        }
    }
    let setup = Setup::new(Recipe {
        validate_every: 10,
        ..recipe(60)
    });
    let mut seen = Best(vec![], 0);
    let outcome = train(&setup.job(), &mut seen, &AtomicBool::new(false)).unwrap();
    let best = seen.0.iter().map(|r| r.mean_f1).fold(0.0, f64::max);
    assert_eq!(outcome.chosen_value, Some(best));
    assert!(
        seen.0
            .iter()
            .any(|r| r.step == outcome.chosen_step && r.mean_f1 == best && r.best)
    );
    assert_eq!((seen.0.len(), seen.1), (6, 6));
    // Discs twice as bright as their surroundings: far above the 0.3 that calling everything a disc
    // scores.
    assert!(best > 0.8, "{best}");
}

#[test]
fn the_papers_selection_keeps_the_epoch_of_the_lowest_loss() {
    let recipe = Recipe {
        width: 0.0625,
        crop: 32,
        batch: 2,
        length: Length::Epochs(3),
        loss: vec![LossTerm::new("paper", 1.0)],
        validate_every: 0,
        ..Recipe::paper()
    };
    let mut setup = Setup::new(recipe);
    setup.validation.fields = 0;
    let outcome = setup.train().unwrap();
    // 5 fields in batches of 2: 2 steps an epoch, the fifth field is dropped.
    assert_eq!(outcome.steps, 6);
    let (_, log) = setup.state();
    let losses: Vec<f64> = log
        .iter()
        .map(|l| {
            serde_json::from_str::<serde_json::Value>(l).unwrap()["loss"]
                .as_f64()
                .unwrap()
        })
        .collect();
    let epochs: Vec<f64> = losses
        .chunks(2)
        .map(|pair| (pair[0] + pair[1]) / 2.0)
        .collect();
    let lowest = epochs.iter().copied().fold(f64::INFINITY, f64::min);
    assert!((outcome.chosen_value.unwrap() - lowest).abs() < 1e-12);
    assert_eq!(epochs[outcome.chosen_step as usize / 2 - 1], lowest);
}

#[test]
fn early_stopping_waits_as_long_as_the_recipe_says() {
    // A learning rate that changes nothing: no validation is better than the first.
    let adam = Adam {
        lr: 1e-12,
        ..Adam::paper()
    };
    let setup = Setup::new(Recipe {
        patience: 2,
        adam,
        validate_every: 1,
        ..recipe(20)
    });
    let outcome = setup.train().unwrap();
    assert_eq!(
        (outcome.ending, outcome.steps, outcome.chosen_step),
        (Ending::EarlyStop, 3, 1)
    );
    assert_eq!(
        setup.train().unwrap().steps,
        3,
        "resuming went on in spite of the early stop"
    );
}
