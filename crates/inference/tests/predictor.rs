//! The predictor against the network run by hand, and what it refuses.

use std::collections::BTreeMap;
use std::process::Command;

use stainfree_image::{Image, Plane, read_labels, write};
use stainfree_inference::planes::network_input;
use stainfree_inference::{InferenceError, Options, PROBABILITIES, Predictor, Remark, largest};
use stainfree_network::input::{InputError, InputSpec, Preprocessing};
use stainfree_network::model::{FORMAT, Model, ModelInfo};
use stainfree_network::output::{OutputKind, Values};
use stainfree_network::recipe::Recipe;
use stainfree_network::resample::resample;
use stainfree_network::{
    Encoder, Graph, Machine, Parameters, Session, TileOptions, TrainingRecord, UnetSpec,
    predict_image,
};
use stainfree_objects::{NucleusRule, PredictedField, nuclei_from_prediction};

/// Pixel size of the model, um.
const MODEL_UM: f64 = 0.5;

/// A small model of random weights that reads `planes` planes.
fn model(planes: usize) -> Model {
    model_of(Encoder::MobilenetV2, 0.25, planes)
}

fn model_of(encoder: Encoder, width: f64, planes: usize) -> Model {
    let recipe = Recipe {
        encoder,
        width,
        rescale: true,
        ..Recipe::named("default").unwrap()
    };
    model_with(recipe, UnetSpec::new(encoder, width, 3), planes)
}

/// A model that says how far pixels lie from borders, too.
fn model_with_distance() -> Model {
    let plain = model(1);
    let spec = plain.info.network.spec().unwrap().clone();
    let outputs = vec![OutputKind::named("distance").unwrap().output()];
    model_with(plain.info.recipe, UnetSpec { outputs, ..spec }, 1)
}

fn model_with(recipe: Recipe, network: UnetSpec, planes: usize) -> Model {
    let graph = Graph::unet(&network).unwrap();
    let parameters = Parameters::initialise(&graph, 5);
    Model {
        info: ModelInfo {
            format: FORMAT,
            program: "stainfree 0.0.0".into(),
            classes: ["background", "nucleus", "cytoplasm"]
                .map(str::to_owned)
                .into(),
            pixel_um: Some(MODEL_UM),
            pretrained: None,
            network: network.into(),
            input: InputSpec {
                planes,
                normalisation: recipe.normalisation.clone(),
                preprocessing: Preprocessing::centred(),
            },
            recipe,
            training: TrainingRecord::default(),
            adapted: None,
            hashes: BTreeMap::new(),
        },
        graph,
        parameters,
        ignored: Vec::new(),
    }
}

fn predictor(planes: usize) -> Predictor {
    Predictor::new(model(planes), &Machine::new(2), &Options::default())
}

/// A plane of discs on an uneven ground, in the counts of a 16-bit camera.
fn plane(height: usize, width: usize, seed: usize) -> Plane {
    let disc = |y: usize, x: usize| {
        let (dy, dx) = (y as f64 % 40.0 - 20.0, x as f64 % 40.0 - 20.0);
        if dy * dy + dx * dx < 144.0 { 4000 } else { 0 }
    };
    Plane::U16(Image::from_fn(height, width, |y, x| {
        (12_000 + 11 * y + 5 * x + disc(y, x) + (y * 7919 + x * 104_729 + seed) % 997) as u16
    }))
}

#[test]
fn it_says_what_the_network_run_by_hand_says() {
    let (height, width) = (90, 118);
    let planes = [0, 1, 2].map(|seed| plane(height, width, seed));
    let found = predictor(3).predict(&planes, Some(MODEL_UM)).unwrap();

    let model = model(3);
    let raw = planes.each_ref().map(Plane::to_f32);
    let input = network_input(&model.info.input, &raw, 65_535.0, None).unwrap();
    let mut session = Session::new(&Machine::new(1), &model.graph, &model.parameters);
    let whole = TileOptions::new(&model.graph);
    let expected = predict_image(&mut session, &input, height, width, &whole).unwrap();

    assert_eq!(found.outputs.len(), 1);
    let output = &found.outputs[0];
    assert_eq!(
        (&output.name[..], &output.channels),
        (PROBABILITIES, &model.info.classes)
    );
    let values: Vec<f32> = output
        .planes
        .iter()
        .flat_map(|p| p.data().to_vec())
        .collect();
    assert!(values == expected, "other probabilities");
    let classes = largest(&output.planes);
    assert_eq!(found.classes, classes);
    let rule = NucleusRule::default();
    let field = PredictedField::of_classes(&classes);
    let expected = nuclei_from_prediction(&field, Some(MODEL_UM), &rule).unwrap();
    assert_eq!(
        (&found.labels, found.count),
        (&expected.image, expected.count)
    );
    assert_eq!((found.blank_share, found.remarks), (0.0, vec![]));
}

#[test]
fn further_outputs_are_those_of_the_network_and_follow_the_pixel_size() {
    let (height, width) = (60, 80);
    let image = [plane(height, width, 0)];
    let model = model_with_distance();
    let by_hand = |raw: &Image<f32>| {
        let raw = std::slice::from_ref(raw);
        let input = network_input(&model.info.input, raw, 65_535.0, None).unwrap();
        let mut session = Session::new(&Machine::new(1), &model.graph, &model.parameters);
        let (height, width) = raw[0].size();
        let whole = TileOptions::new(&model.graph);
        let mut all = predict_image(&mut session, &input, height, width, &whole).unwrap();
        Image::new(height, width, all.split_off(3 * height * width))
    };
    let predict = |um: f64| {
        let mut predictor = Predictor::new(model.clone(), &Machine::new(2), &Options::default());
        predictor.predict(&image, Some(um)).unwrap()
    };
    let found = predict(MODEL_UM);
    assert_eq!(found.outputs.len(), 2);
    let distance = &found.outputs[1];
    assert_eq!(distance.name, "distance");
    assert_eq!(distance.values, Values::Scalar);
    assert_eq!(distance.channels, ["distance"]);
    let raw = image[0].to_f32();
    assert!(distance.planes[0] == by_hand(&raw), "other distances");

    let found = predict(2.0 * MODEL_UM);
    let there = by_hand(&resample(&raw, 2 * height, 2 * width));
    assert!(found.outputs[1].planes[0] == resample(&there, height, width));
}

#[test]
fn further_outputs_say_nothing_of_what_shows_nothing() {
    let Plane::U16(mut image) = plane(96, 96, 0) else {
        unreachable!("counts are 16-bit")
    };
    for y in 0..96 {
        image.row_mut(y)[..40].fill(0);
    }
    let image = [Plane::U16(image)];
    for um in [MODEL_UM, 2.0 * MODEL_UM] {
        let machine = Machine::new(2);
        let mut predictor = Predictor::new(model_with_distance(), &machine, &Options::default());
        let found = predictor.predict(&image, Some(um)).unwrap();
        let distance = &found.outputs[1].planes[0];
        for (value, class) in distance.data().iter().zip(found.classes.data()) {
            assert_eq!(value.is_nan(), *class == stainfree_objects::IGNORED);
        }
        assert!(distance.get(48, 5).is_nan() && distance.get(48, 80).is_finite());
    }
}

#[test]
fn siblings_share_the_filters_and_predict_the_same_at_once() {
    let images = [0, 1, 2].map(|seed| [plane(64, 96, seed)]);
    let mut first = predictor(1);
    let expected = images
        .each_ref()
        .map(|image| first.predict(image, None).unwrap());
    let found = std::thread::scope(|scope| {
        let runs = images.each_ref().map(|image| {
            let mut sibling = first.sibling();
            assert_eq!(
                (sibling.hash(), sibling.memory()),
                (first.hash(), first.memory())
            );
            scope.spawn(move || sibling.predict(image, None).unwrap())
        });
        runs.map(|run| run.join().unwrap())
    });
    assert_eq!(found, expected);
}

#[test]
fn a_folder_predicts_as_the_model_that_was_saved_there() {
    let folder = tempfile::tempdir().unwrap();
    let mut saved = model(1);
    saved.save(folder.path()).unwrap();
    let options = Options::default();
    let mut opened = Predictor::open(folder.path(), &Machine::new(1), &options).unwrap();
    assert_eq!(opened.hash(), saved.hash());
    assert_eq!(opened.info(), &saved.info);
    assert_eq!(opened.unknown_keys(), None);
    let image = [plane(64, 64, 0)];
    let expected = predictor(1).predict(&image, None).unwrap();
    assert_eq!(opened.predict(&image, None).unwrap(), expected);

    let nowhere = folder.path().join("nowhere");
    let error = Predictor::open(&nowhere, &Machine::new(1), &options)
        .err()
        .unwrap();
    assert!(matches!(error, InferenceError::Model(_)), "{error}");
    assert!(error.to_string().contains("nowhere"), "{error}");
}

#[test]
fn neither_threads_nor_what_was_predicted_before_change_a_bit() {
    let images = [[plane(96, 70, 0)], [plane(64, 130, 1)]];
    let alone = |threads: usize, image: &[Plane]| {
        let machine = Machine::new(threads);
        let flipped = Options {
            flips: true,
            ..Options::default()
        };
        let mut predictor = Predictor::new(model(1), &machine, &flipped);
        predictor.predict(image, Some(MODEL_UM)).unwrap()
    };
    let mut both = predictor(1);
    for image in &images {
        let one = alone(1, image);
        assert_eq!(alone(3, image), one);
        let plain = both.predict(image, Some(MODEL_UM)).unwrap();
        // Flips are another prediction, of the same kind.
        assert_ne!(plain.outputs, one.outputs);
        let again = predictor(1).predict(image, Some(MODEL_UM)).unwrap();
        assert_eq!(plain, again);
    }
}

#[test]
fn other_pixel_sizes_are_brought_to_the_models_and_back() {
    let image = [plane(60, 80, 0)];
    let found = predictor(1).predict(&image, Some(2.0 * MODEL_UM)).unwrap();
    assert_eq!(found.classes.size(), (60, 80));
    assert_eq!(found.outputs[0].planes[0].size(), (60, 80));
    let as_it_is = predictor(1).predict(&image, Some(MODEL_UM)).unwrap();
    assert_ne!(found.outputs, as_it_is.outputs);
    // An unknown size is taken for the model's.
    assert_eq!(predictor(1).predict(&image, None).unwrap(), as_it_is);
}

#[test]
fn a_model_of_one_plane_reads_the_middle_of_three() {
    let stack = [0, 1, 2].map(|seed| plane(64, 64, seed));
    let middle = predictor(1).predict(&stack[1..2], None).unwrap();
    assert_eq!(predictor(1).predict(&stack, None).unwrap(), middle);
}

#[test]
fn what_shows_nothing_is_of_no_class() {
    let Plane::U16(mut image) = plane(96, 96, 0) else {
        unreachable!("counts are 16-bit")
    };
    for y in 0..96 {
        image.row_mut(y)[..40].fill(0);
    }
    let found = predictor(1).predict(&[Plane::U16(image)], None).unwrap();
    let share = 40.0 / 96.0;
    assert!(
        (found.blank_share - share).abs() < 0.05,
        "{}",
        found.blank_share
    );
    assert_eq!(found.classes.get(48, 5), stainfree_objects::IGNORED);
    assert_eq!(found.labels.get(48, 5), 0);
    let at = |class: usize| found.outputs[0].planes[class].get(48, 5);
    assert_eq!([at(0), at(1), at(2)], [1.0, 0.0, 0.0]);
}

#[test]
fn a_small_cap_is_kept_with_fewer_threads_and_in_tiles_and_said_once() {
    // Narrow, so that few tiles do.
    let image = [plane(64, 700, 0)];
    let with = |memory: usize| {
        let machine = Machine::new(4).with_memory(Some(memory));
        let model = model_of(Encoder::Vgg16, 0.125, 1);
        Predictor::new(model, &machine, &Options::default())
    };
    let mut scarce = with(1 << 20);
    assert_eq!(scarce.workers().threads(), 1);
    let error = scarce.predict(&image, None).unwrap_err();
    let InferenceError::Memory { needed, .. } = error else {
        panic!("{error}")
    };
    // A failed prediction carries none.
    let remarks = scarce.take_remarks();
    assert!(matches!(remarks[..], [Remark::Threads(_)]), "{remarks:?}");

    let mut enough = with(needed);
    let mut found = enough.predict(&image, None).unwrap();
    let tiles = found.remarks.pop().unwrap();
    assert!(matches!(tiles, Remark::Tiles(_)), "{tiles:?}");
    let sentence = tiles.sentence("the image");
    assert!(
        sentence.starts_with("the image of 64 x 700 pixels is computed in tiles to keep to"),
        "{sentence}"
    );
    assert_eq!(enough.predict(&image, None).unwrap().remarks, []);
}

#[test]
fn what_cannot_be_predicted_is_refused_in_a_sentence() {
    let of = |planes: &[Plane], pixel_um: Option<f64>| {
        predictor(3).predict(planes, pixel_um).unwrap_err()
    };
    let good = || plane(64, 64, 0);
    let error = of(&[], None);
    assert_eq!(
        error.to_string(),
        "0 brightfield planes given, the model reads 3 (1 or 3 are possible)"
    );
    let error = of(&[good(), good()], None);
    assert!(matches!(
        error,
        InferenceError::Input(InputError::Planes {
            expected: 3,
            found: 2
        })
    ));
    let error = of(&[good(), good(), plane(64, 65, 0)], None);
    assert_eq!(
        error.to_string(),
        "the planes differ in size: 64 x 64 and 64 x 65"
    );
    let none = || Plane::U8(Image::new(0, 5, vec![]));
    let error = of(&[none(), none(), none()], None);
    assert_eq!(error.to_string(), "the field has no pixel");
    let one_value = || Plane::U8(Image::filled(64, 64, 9));
    let error = of(&[one_value(), one_value(), one_value()], None);
    assert!(matches!(error, InferenceError::NothingSeen), "{error}");
    for um in [0.0, -0.5, f64::NAN, f64::INFINITY] {
        let error = of(&[good(), good(), good()], Some(um)).to_string();
        let start = format!("pixel size `{um}` um is not a positive number");
        assert!(error.starts_with(&start), "{error}");
    }
    let error = of(&[good(), good(), good()], Some(100.0)).to_string();
    assert!(error.contains("more than a factor of 8"), "{error}");
}

#[test]
fn a_cap_below_the_smallest_tile_names_one_that_does() {
    let options = Options::default();
    let with = |bytes: usize| {
        let machine = Machine::new(1).with_memory(Some(bytes));
        Predictor::new(model(1), &machine, &options).predict(&[plane(64, 64, 0)], None)
    };
    let error = with(1 << 20).unwrap_err();
    let InferenceError::Memory { cap, needed } = error else {
        panic!("{error}")
    };
    assert_eq!(cap, 1 << 20);
    assert!(with(needed).is_ok());
    assert!(matches!(
        with(needed - (1 << 20)),
        Err(InferenceError::Memory { .. })
    ));
}

#[test]
fn results_that_are_no_number_are_refused() {
    let mut broken = model(1);
    let name = broken.parameters.iter().next().unwrap().name.clone();
    broken
        .parameters
        .get_mut(&name)
        .unwrap()
        .data
        .fill(f32::NAN);
    let mut predictor = Predictor::new(broken, &Machine::new(1), &Options::default());
    let error = predictor.predict(&[plane(64, 64, 0)], None).unwrap_err();
    assert!(error.to_string().contains("not a number"), "{error}");
}

/// `cargo test` builds examples too, beside the tests; a single test asked for by name does not.
#[test]
fn the_example_writes_the_labels_of_an_image_file() {
    let tests = std::env::current_exe().unwrap();
    let built = tests.ancestors().nth(2).unwrap().join("examples");
    let example = built.join(format!("predict_image{}", std::env::consts::EXE_SUFFIX));
    if !example.exists() {
        println!("skipped: `{}` is not built", example.display());
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    model(1).save(&place("model")).unwrap();
    let Plane::U16(image) = plane(96, 80, 0) else {
        unreachable!("counts are 16-bit")
    };
    write::plane_u16(&place("image.tif"), &image, &write::Note::default()).unwrap();
    let arguments = ["model", "image.tif", "labels.tif"].map(place);
    let run = Command::new(example).args(arguments).output().unwrap();
    assert!(
        run.status.success(),
        "{}",
        String::from_utf8_lossy(&run.stderr)
    );
    let expected = predictor(1).predict(&[Plane::U16(image)], None).unwrap();
    let printed = String::from_utf8(run.stdout).unwrap();
    assert_eq!(printed, format!("{} nuclei\n", expected.count));
    assert_eq!(read_labels(&place("labels.tif")).unwrap(), expected.labels);
}
