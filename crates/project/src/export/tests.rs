use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::path::Path;

use stainfree_image::{Image, write};
use stainfree_network::input::{InputSpec, Normalisation, Preprocessing};
use stainfree_network::model::{FORMAT, ModelInfo, sha256};
use stainfree_network::output::OutputKind;
use stainfree_network::recipe::Recipe;
use stainfree_network::{
    Encoder, Graph, Machine, Model, Parameters, TrainingRecord, UnetSpec, onnx,
};

use stainfree_scores::{
    BootstrapOptions, FieldScores, ScoredOn, Standing, pixel_counts, summarise,
};

use super::*;
use crate::study::provenance::{Ancestor, Content, Known, MetField, Provenance};
use crate::{Cancel, Part, Silent};

/// A small model of random weights with two outputs, in `folder`.
fn model_in(folder: &Path, normalisation: Normalisation) -> Model {
    let network = UnetSpec {
        outputs: vec![OutputKind::named("flow").unwrap().output()],
        ..UnetSpec::new(Encoder::Vgg16, 0.0625, 2)
    };
    let graph = Graph::unet(&network).unwrap();
    let mut model = Model {
        info: ModelInfo {
            format: FORMAT,
            program: "stainfree 0.0.0".into(),
            classes: ["background", "Nucleus 2"].map(str::to_owned).into(),
            pixel_um: Some(0.5),
            pretrained: None,
            network: network.into(),
            input: InputSpec {
                planes: 1,
                normalisation,
                preprocessing: Preprocessing::centred(),
            },
            recipe: Recipe::named("default").unwrap(),
            training: TrainingRecord::default(),
            adapted: None,
            hashes: BTreeMap::new(),
        },
        parameters: Parameters::initialise(&graph, 3),
        graph,
        ignored: vec![],
    };
    model.save(folder).unwrap();
    model
}

fn options(folder: &Path, format: Format, out: &str) -> ExportOptions {
    ExportOptions {
        model: folder.join("model"),
        format,
        out: folder.join(out),
        full_range: None,
        images: vec![],
        name: None,
        authors: vec![],
        licence: None,
    }
}

fn run(options: &ExportOptions) -> Result<Exported, ProjectError> {
    let (cancel, machine) = (Cancel::new(), Machine::new(2));
    export(options, &Job::new(&Silent, &cancel, &machine))
}

fn local() -> Normalisation {
    Normalisation::Local { radius_px: 20.0 }
}

/// The values of an array file, and its shape as it stands there.
fn array(bytes: &[u8]) -> (String, Vec<f32>) {
    let length = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = String::from_utf8(bytes[10..10 + length].to_vec()).unwrap();
    let shape = header.split(['(', ')']).nth(1).unwrap().to_owned();
    let values = bytes[10 + length..].chunks(4);
    let values = values.map(|b| f32::from_le_bytes(b.try_into().unwrap()));
    (shape, values.collect())
}

/// All files of a package.
fn unzipped(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let bytes = std::fs::read(path).unwrap();
    let mut zip = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
    let files = zip.len();
    let read = |i: usize| {
        let mut file = zip.by_index(i).unwrap();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        (file.name().unwrap().into_owned(), bytes)
    };
    (0..files).map(read).collect()
}

#[test]
fn an_onnx_file_comes_with_arrays_and_is_replaced_only_where_it_is_ours() {
    let place = tempfile::tempdir().unwrap();
    model_in(&place.path().join("model"), local());
    let options = options(place.path(), Format::Onnx, "net.onnx");
    let written = run(&options).unwrap();
    let names: Vec<String> = written
        .files
        .iter()
        .map(|file| file.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    let expected = [
        "net.onnx",
        "net.test_input.npy",
        "net.test_output.classes.npy",
    ];
    assert_eq!(names[..3], expected);
    assert_eq!(names[3..], ["net.test_output.flow.npy"]);
    assert!(written.remarks.is_empty(), "{:?}", written.remarks);
    let (shape, planes) = array(&std::fs::read(&written.files[1]).unwrap());
    assert_eq!(shape, "1, 1, 288, 288,");
    assert!(
        planes.iter().any(|&count| count > 255.0),
        "raw counts of 16 bits"
    );
    let (shape, classes) = array(&std::fs::read(&written.files[2]).unwrap());
    assert_eq!(shape, "1, 2, 288, 288,");
    let (first, second) = classes.split_at(288 * 288);
    assert!(
        first
            .iter()
            .zip(second)
            .all(|(a, b)| (a + b - 1.0).abs() < 1e-5)
    );
    assert_eq!(array(&std::fs::read(&written.files[3]).unwrap()).0, shape);
    // Again: the same bytes. An array without its network, or another file, is somebody's.
    let bytes = std::fs::read(&written.files[0]).unwrap();
    run(&options).unwrap();
    assert_eq!(std::fs::read(&written.files[0]).unwrap(), bytes);
    for (kept, text) in [(0, "mine"), (1, "mine, too")] {
        std::fs::write(&written.files[kept], text).unwrap();
        let error = run(&options).unwrap_err().to_string();
        assert!(error.contains(&names[kept]), "{error}");
        assert_eq!(std::fs::read_to_string(&written.files[kept]).unwrap(), text);
        std::fs::remove_file(&written.files[kept]).unwrap();
        std::fs::remove_file(&written.files[0]).unwrap_or_default();
    }
}

#[test]
fn a_package_holds_what_its_description_names_and_says_nothing_else() {
    let place = tempfile::tempdir().unwrap();
    let model = model_in(&place.path().join("model"), local());
    let mut options = options(place.path(), Format::Bioimageio, "net.zip");
    let written = run(&options).unwrap();
    assert_eq!(written.remarks.len(), 2, "{:?}", written.remarks);
    let parts = unzipped(&options.out);
    let text = String::from_utf8(parts["rdf.yaml"].clone()).unwrap();
    for name in ["weights.onnx", "test_input.npy", "test_output.flow.npy"] {
        assert!(text.contains(&format!("\"source\": \"{name}\"")), "{name}");
        assert!(text.contains(&sha256(&parts[name])), "{name}");
    }
    assert!(parts["weights.onnx"].starts_with(onnx::BEGINNING.as_bytes()));
    assert!(parts["cover.png"].starts_with(b"\x89PNG"));
    assert!(text.contains("\"name\": \"not named\"") && !text.contains("license"));
    assert!(text.contains("[\"background\",\"nucleus_2\"]"), "{text}");
    assert!(text.contains("\"scale\": 0.5"));
    let card = String::from_utf8(parts["README.md"].clone()).unwrap();
    for said in [
        "Nothing is recorded",
        "No scores lie",
        "None was named",
        &model.hash()[..],
    ] {
        assert!(card.contains(said), "{said}");
    }
    // What is given is said.
    options.authors = vec!["A. Name".into()];
    options.licence = Some("CC-BY-4.0".into());
    options.name = Some("my model".into());
    assert!(run(&options).unwrap().remarks.is_empty());
    let parts = unzipped(&options.out);
    let text = String::from_utf8(parts["rdf.yaml"].clone()).unwrap();
    for said in ["\"A. Name\"", "\"license\": \"CC-BY-4.0\"", "\"my model\""] {
        assert!(text.contains(said), "{said}");
    }
}

#[test]
fn the_example_may_be_an_image_whose_format_gives_the_full_range() {
    let place = tempfile::tempdir().unwrap();
    model_in(&place.path().join("model"), Normalisation::Paper);
    let mut options = options(place.path(), Format::Onnx, "net.onnx");
    let remarks = run(&options).unwrap().remarks;
    assert!(remarks[0].contains("`--full-range`"), "{remarks:?}");
    let image = Image::from_fn(300, 340, |y, x| ((y * 31 + x * 17) % 251) as u8);
    let path = place.path().join("image.png");
    write::png_gray(&path, &image).unwrap();
    options.images = vec![path.clone()];
    let written = run(&options).unwrap();
    assert_eq!(written.full_range, 255.0);
    let (shape, planes) = array(&std::fs::read(&written.files[1]).unwrap());
    assert_eq!(shape, "1, 1, 288, 288,");
    assert_eq!(planes[0], f32::from(image.get(6, 26)));
    // Too small, too many, or the output itself.
    write::png_gray(&path, &Image::filled(40, 40, 1)).unwrap();
    let error = run(&options).unwrap_err().to_string();
    assert!(
        error.contains("`288`") || error.contains("needs 288"),
        "{error}"
    );
    options.images = vec![path.clone(), path];
    assert!(matches!(run(&options), Err(ProjectError::Usage(_))));
}

#[test]
fn names_and_endings_that_cannot_be_are_refused() {
    let place = tempfile::tempdir().unwrap();
    model_in(&place.path().join("model"), local());
    let ending = options(place.path(), Format::Onnx, "net.zip");
    let error = run(&ending).unwrap_err().to_string();
    assert!(error.contains("net.onnx"), "{error}");
    type Change = fn(&mut ExportOptions);
    let changes: [(Change, &str); 3] = [
        (|o| o.name = Some("no".into()), "`--name no`"),
        (|o| o.authors = vec!["a/b".into()], "`--author a/b`"),
        (|o| o.model.push("none"), "no model folder"),
    ];
    for (change, part) in changes {
        let mut wrong = options(place.path(), Format::Bioimageio, "net.zip");
        change(&mut wrong);
        let error = run(&wrong).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
        assert!(!wrong.out.exists());
    }
}

/// The same model with other classes and this record of what it has met.
fn model_of(folder: &Path, classes: &[&str], record: Option<&Provenance>) -> Model {
    let place = tempfile::tempdir().unwrap();
    let mut model = model_in(&place.path().join("model"), local());
    let network = UnetSpec::new(Encoder::Vgg16, 0.0625, classes.len());
    model.graph = Graph::unet(&network).unwrap();
    model.parameters = Parameters::initialise(&model.graph, 3);
    model.info.network = network.into();
    model.info.classes = classes.iter().map(|class| (*class).to_owned()).collect();
    std::fs::create_dir_all(folder).unwrap();
    if let Some(record) = record {
        record.write(&folder.join("provenance.json")).unwrap();
        let hash = sha256(&record.bytes());
        model.info.hashes.insert("provenance".into(), hash);
    }
    model.save(folder).unwrap();
    model
}

/// A text of the package that is made of the model in `folder`.
fn text_of(folder: &Path, name: &str) -> String {
    let options = options(folder, Format::Bioimageio, "net.zip");
    run(&options).unwrap_or_else(|error| panic!("{error}"));
    String::from_utf8(unzipped(&options.out)[name].clone()).unwrap()
}

#[test]
fn channels_have_names_of_their_own_whatever_classes_are_called() {
    for (classes, expected) in [
        (["empty", "x", "X"], ["empty", "x", "x_2"]),
        (["1st", "2nd", "µ"], ["n1st", "n2nd", "n_"]),
        // A name that is numbered must not become another one's.
        (["x", "x_2", "X"], ["x", "x_2", "x_3"]),
        (["x_2", "x", "X"], ["x_2", "x", "x_3"]),
    ] {
        let place = tempfile::tempdir().unwrap();
        model_of(&place.path().join("model"), &classes, None);
        let text = text_of(place.path(), "rdf.yaml");
        let names = serde_json::to_string(&expected).unwrap();
        assert!(text.contains(&names), "{names} of {classes:?} in\n{text}");
    }
}

#[test]
fn the_card_says_what_trained_the_model_and_what_it_started_from() {
    let field = |name: &str, group: &str, role: Part, through: Option<&str>| MetField {
        name: name.into(),
        group: group.into(),
        role,
        through: through.map(str::to_owned),
        content: Content::default(),
    };
    let mut record = Provenance::new(
        "well",
        vec![
            field("a", "B02", Part::Train, None),
            field("b", "B02", Part::Train, None),
            field("c", "B03", Part::Train, None),
            field("d", "B04", Part::Test, None),
            // What an ancestor met is no field of this training.
            field("e", "C01", Part::Train, Some("model a")),
        ],
    );
    for (name, knows) in [("model a", Known::Recorded), ("old", Known::Unknown)] {
        let name = name.to_owned();
        record.ancestors.push(Ancestor { name, knows });
    }
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("model");
    let model = model_of(&folder, &["background", "nucleus"], Some(&record));
    let card = text_of(place.path(), "README.md");
    for said in [
        "- train: 3 fields of 2 groups.",
        "- test: 1 fields of 1 groups.",
        "- Started from `model a`: a model whose fields are recorded.",
        "- Started from `old`: a model that records nothing",
        "No scores lie in the model's folder",
    ] {
        assert!(card.contains(said), "{said}\n{card}");
    }
    assert!(!card.contains("- validation:"), "there was none");
    // Scores are this model's, or are not said.
    let mask = Image::from_fn(4, 4, |y, _| u8::from(y > 1));
    let scored = FieldScores {
        name: "d".into(),
        pixels: Some(pixel_counts(&mask, &mask, 2).unwrap()),
        ..FieldScores::default()
    };
    let classes = &model.info.classes;
    let mut scores = summarise(&[scored], classes, &BootstrapOptions::default()).unwrap();
    for (of, is_said) in [("another", false), (&model.hash()[..], true)] {
        scores.on = Some(ScoredOn {
            standing: Standing::Test,
            model: of.to_owned(),
            asked: 1,
            left_out: Vec::new(),
            truth_changed: None,
            corrected: None,
            note: "scored on 1 field that the model has not met".into(),
        });
        let text = serde_json::to_string(&scores).unwrap();
        std::fs::write(folder.join("scores.json"), text).unwrap();
        let card = text_of(place.path(), "README.md");
        assert_eq!(
            card.contains("| nucleus | F1 of pixels | 1.000 |"),
            is_said,
            "{card}"
        );
    }
    // A file that is damaged is told and not left out.
    std::fs::write(folder.join("scores.json"), "{").unwrap();
    let error = run(&options(place.path(), Format::Bioimageio, "net.zip"));
    let error = error.unwrap_err().to_string();
    assert!(error.contains("scores.json` is damaged"), "{error}");
    std::fs::remove_file(folder.join("scores.json")).unwrap();
    std::fs::write(folder.join("provenance.json"), "{}").unwrap();
    let error = run(&options(place.path(), Format::Bioimageio, "net.zip"));
    assert!(matches!(error, Err(ProjectError::OtherModels { .. })));
}

#[test]
fn names_that_the_format_does_not_take_are_refused_and_the_longest_are_taken() {
    let place = tempfile::tempdir().unwrap();
    model_in(&place.path().join("model"), local());
    let longest = "m".repeat(128);
    for (name, taken) in [
        ("my model (v2)+", true),
        (&longest[..], true),
        ("four", false),
        (&format!("{longest}m")[..], false),
        ("größe", false),
        ("a/b/c", false),
    ] {
        let options = ExportOptions {
            name: Some(name.to_owned()),
            ..options(place.path(), Format::Bioimageio, "net.zip")
        };
        match run(&options) {
            Ok(_) => assert!(taken, "{name}"),
            Err(error) => {
                assert!(!taken, "{error}");
                assert!(error.to_string().contains("5 to 128 letters"), "{error}");
            }
        }
    }
    for author in ["", "  ", "a\\b"] {
        let options = ExportOptions {
            authors: vec!["A. Name".into(), author.to_owned()],
            ..options(place.path(), Format::Bioimageio, "net.zip")
        };
        assert!(
            matches!(run(&options), Err(ProjectError::Usage(_))),
            "{author:?}"
        );
    }
}
