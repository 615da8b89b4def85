//! What is resumed equals what was never interrupted, and no other training is gone on with.

use super::*;
use stainfree_kernels::Isa;

#[test]
fn a_resumed_training_equals_an_uninterrupted_one_bit_for_bit() {
    // With 32 the average is brought up to date every second step: once before the interruption.
    // In rounds of two steps an interruption after three is within one, after four between two.
    for (average_steps, round_steps, stop) in [
        (0, None, 3),
        (32, None, 3),
        (0, Some(2), 3),
        (0, Some(2), 4),
    ] {
        let recipe = Recipe {
            average_steps,
            round_steps,
            ..recipe(6)
        };
        let straight = Setup::new(recipe.clone());
        let expected = straight.train().unwrap();
        assert_eq!((expected.steps, expected.ending), (6, Ending::Finished));

        let broken = Setup::new(recipe);
        assert_eq!(train_until(&broken, stop).ending, Ending::Cancelled);
        let resumed = broken.train().unwrap();
        assert_eq!(resumed.parameters, expected.parameters);
        assert_eq!(
            (resumed.chosen_step, resumed.chosen_value),
            (expected.chosen_step, expected.chosen_value)
        );
        assert_eq!(broken.state(), straight.state());
        assert_eq!(
            broken.file("best.safetensors"),
            straight.file("best.safetensors")
        );
    }
}

#[test]
fn a_longer_training_in_rounds_goes_on_unless_its_rounds_end_elsewhere() {
    let of = |steps| Recipe {
        round_steps: Some(2),
        ..recipe(steps)
    };
    // One round, then two, then three: as if it had been made for three. What is kept is a mean,
    // and no state within the first round.
    let mut setup = Setup::new(of(2));
    let mut kept = Vec::new();
    for steps in [2, 4, 6] {
        setup.recipe = of(steps);
        kept.push(setup.train().unwrap());
    }
    let straight = Setup::new(of(6));
    let expected = straight.train().unwrap();
    assert!(
        [4, 6].contains(&kept[2].chosen_step),
        "{}",
        kept[2].chosen_step
    );
    let files = |setup: &Setup| Files::new(setup.folder.path());
    let saved = [&setup, &straight].map(|s| files(s).load(&s.graph, |_| Ok(())).unwrap());
    assert_eq!(saved[0].average, saved[1].average);
    assert_eq!(saved[0].parameters, saved[1].parameters);
    assert_eq!(expected.steps, 6);

    // What is finished counts as rounds that have ended; what is not, must end alike.
    let mut setup = Setup::new(of(5));
    assert_eq!(train_until(&setup, 4).ending, Ending::Cancelled);
    setup.recipe = of(8);
    let error = setup.train().unwrap_err().to_string();
    assert!(
        error.contains("its rounds end elsewhere in 8 steps than in the 5 that it was made for"),
        "{error}"
    );
    setup.recipe = of(5);
    setup.train().unwrap();
    setup.recipe = of(6);
    let error = setup.train().unwrap_err().to_string();
    assert!(
        error.contains("1 steps more are less than a round, so give 7 or more"),
        "{error}"
    );
    setup.recipe = of(4);
    let error = setup.train().unwrap_err().to_string();
    assert!(error.contains("5"), "{error}");
    assert!(!error.contains("round"), "{error}");
    setup.recipe = of(8);
    assert_eq!(setup.train().unwrap().steps, 8);
    let saved = files(&setup).load(&setup.graph, |_| Ok(())).unwrap();
    assert_eq!(
        (saved.progress.averaged, saved.progress.rounds_from),
        (3, 5)
    );
}

#[test]
fn killed_after_the_checkpoint_the_steps_in_between_are_made_again() {
    let straight = Setup::new(recipe(6));
    straight.train().unwrap();
    // A checkpoint after step 2, then two more steps (with a better state found and a longer log)
    // that were lost.
    let killed = Setup::new(recipe(6));
    train_until(&killed, 2);
    let checkpoint = killed.file("checkpoint.safetensors");
    train_until(&killed, 5);
    std::fs::write(
        killed.folder.path().join("checkpoint.safetensors"),
        checkpoint,
    )
    .unwrap();
    killed.train().unwrap();
    assert_eq!(killed.state(), straight.state());
    assert_eq!(
        killed.file("best.safetensors"),
        straight.file("best.safetensors")
    );
}

#[test]
fn a_best_state_of_lost_steps_is_lost_with_them() {
    let files_of = |setup: &Setup| Files::new(setup.folder.path());
    // What stands after 20 steps, and the state chosen in them.
    let setup = Setup::new(recipe(40));
    train_until(&setup, 2);
    let (first, checkpoint) = (
        setup.file("best.safetensors"),
        setup.file("checkpoint.safetensors"),
    );
    train_until(&setup, 20);
    let later = setup.file("best.safetensors");
    assert_ne!(first, later, "a better state was found");
    let saved = files_of(&setup).load(&setup.graph, |_| Ok(())).unwrap();
    let chosen = saved.progress.best.unwrap();
    let put = |name: &str, bytes: &[u8]| {
        std::fs::write(setup.folder.path().join(name), bytes).unwrap();
    };
    // Killed before the checkpoint that knows of it, and after.
    let after = setup.file("checkpoint.safetensors");
    for (stands, expected) in [(&checkpoint, &first), (&after, &later)] {
        put("checkpoint.safetensors", stands);
        put("best.safetensors", &first);
        put("best.next.safetensors", &later);
        files_of(&setup).load(&setup.graph, |_| Ok(())).unwrap();
        assert!(setup.file("best.safetensors") == *expected);
        assert!(!setup.folder.path().join("best.next.safetensors").exists());
    }
    // Step and value are those of the file, whatever a checkpoint takes them for.
    let other = Best {
        step: 1,
        value: 0.0,
    };
    let (_, best) = files_of(&setup)
        .load_best(&setup.graph, other.clone())
        .unwrap();
    assert_eq!(best, chosen);
    // As earlier versions wrote it.
    let (tensors, _) = from_safetensors(&later).unwrap();
    put("best.safetensors", &to_safetensors(tensors.iter(), None));
    let (_, best) = files_of(&setup)
        .load_best(&setup.graph, other.clone())
        .unwrap();
    assert_eq!(best, other);
}

#[test]
fn steps_that_are_made_otherwise_do_not_end_in_the_state_of_lost_ones() {
    // Killed between the best state of step 2 and its checkpoint; made again, no step is better
    // than the first: the learning rate has come to nothing.
    let mut setup = Setup::new(Recipe {
        validate_every: 1,
        ..recipe(6)
    });
    let job = TrainJob {
        checkpoint_every: 1,
        ..setup.job()
    };
    let cancel = AtomicBool::new(false);
    let mut stop = StopAt {
        step: 1,
        cancel: &cancel,
    };
    train(&job, &mut stop, &cancel).unwrap();
    let files = Files::new(setup.folder.path());
    let mut saved = files.load(&setup.graph, |_| Ok(())).unwrap();
    let first = setup.file("best.safetensors");
    saved.progress.best.as_mut().unwrap().value = 2.0;
    files
        .save(&saved.progress, &saved.parameters, &saved.optimiser, None)
        .unwrap();
    let lost = Best {
        step: 2,
        value: 3.0,
    };
    files.save_best(&lost, &setup.start).unwrap();
    setup.recipe.length = Length::Steps(3);
    let outcome = setup.train().unwrap();
    assert_eq!(outcome.chosen_step, 1);
    assert_ne!(outcome.parameters, setup.start);
    assert!(setup.file("best.safetensors") == first);
}

#[test]
fn other_choices_do_not_continue_a_checkpoint_but_a_fresh_start_replaces_it() {
    let mut setup = Setup::new(recipe(2));
    setup.train().unwrap();
    setup.recipe.adam.lr = 1e-3;
    let checkpoint = setup.file("checkpoint.safetensors");
    let error = setup.train().unwrap_err();
    assert!(
        matches!(&error, TrainError::OtherTraining { step: 2, differences, .. }
            if differences == "`adam.lr` was `0.003`, now `0.001`"),
        "{error}"
    );
    setup.recipe.adam.lr = 3e-3;
    setup.training.corrected = Some(3);
    let error = setup.train().unwrap_err();
    assert!(
        matches!(&error, TrainError::OtherTraining { differences, .. }
            if differences == "training fields of other truth: `field3`"),
        "{error}"
    );
    setup.training.corrected = None;
    setup.training.full_range = 65_535.0;
    let error = setup.train().unwrap_err();
    assert!(
        matches!(&error, TrainError::OtherTraining { differences, .. }
            if differences.starts_with("training fields whose format holds values up to 65535")),
        "{error}"
    );
    assert_eq!(setup.file("checkpoint.safetensors"), checkpoint);
    let job = TrainJob {
        restart: true,
        ..setup.job()
    };
    assert_eq!(
        train(&job, &mut Silent, &AtomicBool::new(false))
            .unwrap()
            .steps,
        2
    );
    let path = setup.folder.path().join("checkpoint.safetensors");
    std::fs::write(&path, &setup.file("checkpoint.safetensors")[..999]).unwrap();
    let error = setup.train().unwrap_err().to_string();
    assert!(error.contains("begin anew with `--overwrite`"), "{error}");
}

#[test]
fn a_training_can_be_made_longer_but_not_shorter_than_it_is() {
    let mut setup = Setup::new(recipe(2));
    setup.train().unwrap();
    setup.recipe.length = Length::Steps(4);
    let longer = setup.train().unwrap();
    assert_eq!((longer.resumed_at, longer.steps), (2, 4));
    setup.recipe.length = Length::Steps(3);
    let error = setup.train().unwrap_err();
    assert!(
        matches!(
            error,
            TrainError::TooFewSteps {
                step: 4,
                steps: 3,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn going_on_with_other_instructions_is_said_and_written_down() {
    let setup = Setup::new(recipe(4));
    train_until(&setup, 2);
    let other = *Isa::available().last().unwrap();
    if other == setup.machine.isa() {
        println!("not tested: this processor has one instruction set only");
        return;
    }
    let job = TrainJob {
        machine: &setup.machine.with_isa(other),
        ..setup.job()
    };
    let mut heard = Heard::default();
    let outcome = train(&job, &mut heard, &AtomicBool::new(false)).unwrap();
    let names: Vec<&str> = outcome
        .machines
        .iter()
        .map(|m| &m.instructions[..])
        .collect();
    assert_eq!(names, [setup.machine.isa().name(), other.name()]);
    let said = heard
        .0
        .iter()
        .any(|text| text.contains("can differ in its last digits"));
    assert!(said, "{:?}", heard.0);
}

#[test]
fn checkpoints_of_earlier_versions_go_on() {
    let setup = Setup::new(recipe(4));
    train_until(&setup, 2);
    let files = Files::new(setup.folder.path());
    let mut saved = files.load(&setup.graph, |_| Ok(())).unwrap();
    let as_before = |progress: &mut Progress, identity: String| {
        progress.training = None;
        progress.steps = 0;
        progress.machines.clear();
        progress.identity = identity;
    };
    let put = |saved: &checkpoint::Saved| {
        files
            .save(&saved.progress, &saved.parameters, &saved.optimiser, None)
            .unwrap();
    };
    as_before(&mut saved.progress, "of other choices".into());
    put(&saved);
    let error = setup.train().unwrap_err();
    assert!(matches!(error, TrainError::OtherTraining { .. }), "{error}");
    as_before(&mut saved.progress, identity::earlier(&setup.job()));
    put(&saved);
    let mut heard = Heard::default();
    let outcome = train(&setup.job(), &mut heard, &AtomicBool::new(false)).unwrap();
    assert_eq!((outcome.resumed_at, outcome.steps), (2, 4));
    assert!(
        heard.0.iter().any(|text| text.contains("earlier version")),
        "{:?}",
        heard.0
    );
}

#[test]
fn numbers_of_a_checkpoint_survive_to_the_last_bit() {
    let setup = Setup::new(recipe(2));
    setup.train().unwrap();
    let files = Files::new(setup.folder.path());
    let mut saved = files.load(&setup.graph, |_| Ok(())).unwrap();
    let mut random = Random::new(5, Purpose::Noise, 0, 0);
    // Without `float_roundtrip` about a tenth of such numbers come back changed.
    for _ in 0..200 {
        saved.progress.epoch_loss = random.between(0.0, 1.0) * random.between(0.0, 1e-3);
        saved.progress.best = Some(Best {
            step: 1,
            value: random.between(0.0, 1.0),
        });
        let text = serde_json::to_string(&saved.progress).unwrap();
        assert_eq!(
            serde_json::from_str::<Progress>(&text).unwrap(),
            saved.progress
        );
    }
    files
        .save(&saved.progress, &saved.parameters, &saved.optimiser, None)
        .unwrap();
    assert_eq!(
        files.load(&setup.graph, |_| Ok(())).unwrap().progress,
        saved.progress
    );
}
