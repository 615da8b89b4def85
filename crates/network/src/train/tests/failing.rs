//! Trainings that fail keep what was good, and say what is wrong.

use super::*;
use stainfree_kernels::Isa;

#[test]
fn nan_stops_the_training_and_the_good_files_stay() {
    let setup = Setup::new(recipe(6));
    train_until(&setup, 2);
    let files = Files::new(setup.folder.path());
    let mut saved = files.load(&setup.graph, |_| Ok(())).unwrap();
    let best = setup.file("best.safetensors");
    let bias = saved.parameters.get_mut("segmentation_head.0.bias");
    bias.unwrap().data[0] = f32::NAN;
    files
        .save(&saved.progress, &saved.parameters, &saved.optimiser, None)
        .unwrap();
    let before = setup.file("checkpoint.safetensors");
    let error = setup.train().unwrap_err().to_string();
    assert!(
        error.starts_with("training stopped after step 2: the loss is NaN; kept is `"),
        "{error}"
    );
    assert_eq!(setup.file("checkpoint.safetensors"), before);
    assert_eq!(setup.file("best.safetensors"), best);
}

#[test]
fn nan_below_a_relu_stops_the_training_at_its_step() {
    for isa in Isa::available() {
        // Both have a ReLU above; the last lies where half the network is past.
        for name in [
            "encoder.features.0.weight",
            "decoder.blocks.1.conv1.0.weight",
        ] {
            let setup = Setup::new(recipe(6));
            train_until(&setup, 2);
            let files = Files::new(setup.folder.path());
            let mut saved = files.load(&setup.graph, |_| Ok(())).unwrap();
            let best = setup.file("best.safetensors");
            saved.parameters.get_mut(name).unwrap().data[4] = f32::NAN;
            files
                .save(&saved.progress, &saved.parameters, &saved.optimiser, None)
                .unwrap();
            let before = setup.file("checkpoint.safetensors");
            let machine = setup.machine.with_isa(isa);
            let job = TrainJob {
                machine: &machine,
                ..setup.job()
            };
            let error = train(&job, &mut Silent, &AtomicBool::new(false)).unwrap_err();
            assert!(
                matches!(error, TrainError::NotFinite { step: 2, .. }),
                "{name}, {}: {error}",
                isa.name()
            );
            assert_eq!(setup.file("checkpoint.safetensors"), before);
            assert_eq!(setup.file("best.safetensors"), best);
        }
    }
}

#[test]
fn what_a_batch_norm_divides_away_stops_the_training_too() {
    let setup = Setup::new(recipe(6));
    train_until(&setup, 2);
    let files = Files::new(setup.folder.path());
    let mut saved = files.load(&setup.graph, |_| Ok(())).unwrap();
    // Sums of squares beyond f32: a variance without end, and everything over it is 0.
    let weight = saved.parameters.get_mut("decoder.blocks.1.conv1.0.weight");
    weight.unwrap().data.iter_mut().for_each(|w| *w *= 1e25);
    files
        .save(&saved.progress, &saved.parameters, &saved.optimiser, None)
        .unwrap();
    let error = setup.train().unwrap_err();
    assert!(
        matches!(error, TrainError::NotFinite { step: 2, .. }),
        "{error}"
    );
}

#[test]
fn wrong_data_are_named() {
    let mut setup = Setup::new(recipe(4));
    setup.training.broken = Some(3);
    assert_eq!(
        setup.train().unwrap_err().to_string(),
        "field `field3` cannot be read: the file is truncated"
    );
    setup.training.fields = 0;
    assert!(matches!(setup.train(), Err(TrainError::NoFields)));
}
