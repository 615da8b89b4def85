//! Folders that are written, read, replaced, damaged, and of other versions.

use super::*;
use crate::{Encoder, UnetSpec, input::Preprocessing};

fn model() -> Model {
    let recipe = Recipe {
        width: 0.0625,
        ..Recipe::standard()
    };
    let network = UnetSpec::narrow(Encoder::Vgg16, 0.0625, 3);
    let graph = Graph::unet(&network).unwrap();
    let input = InputSpec {
        planes: 1,
        normalisation: recipe.normalisation.clone(),
        preprocessing: Preprocessing::centred(),
    };
    let parameters = Parameters::initialise(&graph, 5);
    let info = ModelInfo {
        format: FORMAT,
        program: "stainfree 0.1.0".into(),
        classes: ["background", "nucleus", "cytoplasm"]
            .map(String::from)
            .into(),
        pixel_um: Some(0.31),
        pretrained: None,
        network: network.into(),
        input,
        recipe,
        training: TrainingRecord {
            steps: 10,
            chosen_step: 8,
            chosen_value: Some(0.8),
            fields: 3,
            seconds: 1.5,
            machines: vec![crate::Machine::new(1).identity()],
        },
        adapted: None,
        hashes: [("data".to_string(), "00".to_string())].into(),
    };
    Model {
        info,
        graph,
        parameters,
        ignored: Vec::new(),
    }
}

fn saved() -> (tempfile::TempDir, PathBuf, Model) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mein Modell ü");
    let mut model = model();
    model.save(&path).unwrap();
    (folder, path, model)
}

#[test]
fn what_is_saved_is_loaded() {
    let (_folder, path, model) = saved();
    let loaded = Model::load(&path).unwrap();
    assert_eq!(loaded.info, model.info);
    assert_eq!(loaded.parameters, model.parameters);
    assert_eq!(loaded.hash(), model.hash());
    let files: Vec<_> = std::fs::read_dir(&path)
        .unwrap()
        .map(|f| f.unwrap().file_name())
        .collect();
    assert_eq!(files.len(), 2, "temporary files were left: {files:?}");
}

#[test]
fn the_hash_follows_what_is_computed_and_nothing_else() {
    let (mut a, mut b, mut c) = (model(), model(), model());
    a.info.training.seconds += 1.0;
    assert_eq!(a.hash(), model().hash());
    b.parameters
        .get_mut("segmentation_head.0.bias")
        .unwrap()
        .data[0] = 1.0;
    assert_ne!(b.hash(), model().hash());
    c.info.input.preprocessing = Preprocessing::torchvision();
    assert_ne!(c.hash(), model().hash());
    // The same name and weights under another graph compute something else.
    let mut d = model();
    let text = describe(&d.graph);
    let changed = text.replacen("epsilon=1e-3", "epsilon=1e-2", 1);
    assert_ne!(text, changed);
    d.graph = read(&changed).unwrap();
    assert_ne!(d.hash(), model().hash());
}

#[test]
fn the_same_model_gives_the_same_bytes() {
    let (_a, first, _) = saved();
    let (_b, second, _) = saved();
    for file in [INFO, WEIGHTS] {
        assert_eq!(
            std::fs::read(first.join(file)).unwrap(),
            std::fs::read(second.join(file)).unwrap()
        );
    }
}

#[test]
fn a_model_that_is_replaced_is_the_old_or_the_new_one_at_every_moment() {
    let (_folder, path, old) = saved();
    let mut new = model();
    let bias = new.parameters.get_mut("segmentation_head.0.bias");
    bias.unwrap().data[0] = 1.0;
    let put = |name: &str, bytes: &[u8]| std::fs::write(path.join(name), bytes).unwrap();
    let (_other, elsewhere, _) = {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("new");
        new.save(&place).unwrap();
        (folder, place, ())
    };
    let file = |name: &str| std::fs::read(elsewhere.join(name)).unwrap();
    // Killed before `model.toml` was written, and after.
    put(NEXT, &file(WEIGHTS));
    assert_eq!(Model::load(&path).unwrap().hash(), old.hash());
    put(INFO, &file(INFO));
    assert_eq!(Model::load(&path).unwrap().hash(), new.hash());
    // Whoever writes next brings that to its end, also where a later version was killed.
    let text = String::from_utf8(file(INFO)).unwrap();
    put(INFO, text.replace("format = 1", "format = 2").as_bytes());
    Model::settle(&path).unwrap();
    put(INFO, text.as_bytes());
    assert_eq!(std::fs::read(path.join(WEIGHTS)).unwrap(), file(WEIGHTS));
    model().save(&path).unwrap();
    assert_eq!(Model::load(&path).unwrap().hash(), old.hash());
    assert!(!path.join(NEXT).exists());
}

#[test]
fn what_a_later_version_adds_does_not_keep_a_model_from_predicting() {
    let (_folder, path, saved) = saved();
    let text = std::fs::read_to_string(path.join(INFO)).unwrap();
    let later = text
        .replace("[recipe]\n", "[recipe]\nwarp = 3\n")
        .replace(
            "[recipe.schedule",
            "[recipe.tempo.x]\ny = 1\n\n[recipe.schedule",
        )
        .replace("[training]\n", "[training]\nkilowatt_hours = 3.5\n");
    std::fs::write(path.join(INFO), format!("author = \"x\"\n{later}")).unwrap();
    let loaded = Model::load(&path).unwrap();
    assert_eq!(loaded.hash(), saved.hash());
    let mut ignored = loaded.ignored.clone();
    ignored.sort();
    assert_eq!(ignored, ["author", "recipe.tempo", "recipe.warp"]);
    assert_eq!(loaded.info.recipe, saved.info.recipe);
    // What decides a prediction must be known.
    std::fs::write(
        path.join(INFO),
        text.replace("[input]\n", "[input]\ngamma = 2\n"),
    )
    .unwrap();
    let error = Model::load(&path).unwrap_err().to_string();
    assert!(error.contains("gamma"), "{error}");
}

#[test]
fn a_network_that_this_version_cannot_name_is_made_from_its_graph() {
    let (_folder, path, saved) = saved();
    let text = std::fs::read_to_string(path.join(INFO)).unwrap();
    let later = text
        .replace("encoder = \"vgg16\"", "encoder = \"resnet\"")
        .replace("[network]\n", "[network]\ndepth = 5\n");
    std::fs::write(path.join(INFO), &later).unwrap();
    let loaded = Model::load(&path).unwrap();
    assert_eq!(describe(&loaded.graph), describe(&saved.graph));
    assert_eq!(loaded.parameters, saved.parameters);
    let mut ignored = loaded.ignored.clone();
    ignored.sort();
    assert_eq!(ignored, ["network.depth", "network.encoder"]);
    assert_eq!(loaded.info.network.encoder(), "resnet");
    assert_eq!(loaded.info.network.spec(), None);
    // Saved again, it says the same.
    let copy = path.with_extension("copy");
    loaded.clone().save(&copy).unwrap();
    assert_eq!(Model::load(&copy).unwrap().hash(), loaded.hash());
}

#[test]
fn a_choice_that_predictions_follow_is_known_or_the_model_is_refused() {
    let (_folder, path, _) = saved();
    let text = std::fs::read_to_string(path.join(INFO)).unwrap();
    let load = |changed: &str| {
        std::fs::write(path.join(INFO), changed).unwrap();
        Model::load(&path)
    };
    let named = text.replace("rescale = true\n", "rescale = \"x-only\"\n");
    assert_ne!(named, text);
    let error = load(&named).unwrap_err().to_string();
    assert!(
        error.contains("model.toml` cannot be used: `recipe.rescale` is `\"x-only\"`"),
        "{error}"
    );
    assert!(
        error.contains("use `stainfree 0.1.0`, which wrote it"),
        "{error}"
    );
    // Beside a key of another version it means what it means without.
    let unnamed = text.replace("rescale = true\n", "");
    assert!(!load(&unnamed).unwrap().info.recipe.rescale);
    let later = unnamed.replace("[recipe]\n", "[recipe]\nwarp = 3\n");
    let loaded = load(&later).unwrap();
    assert_eq!(loaded.ignored, ["recipe.warp"]);
    assert!(!loaded.info.recipe.rescale);
    for size in ["0.0", "-0.31", "nan"] {
        let wrong = text.replace("pixel_um = 0.31", &format!("pixel_um = {size}"));
        let error = load(&wrong).unwrap_err().to_string();
        assert!(error.contains("which is no size"), "{error}");
    }
}

#[test]
fn a_model_is_computed_as_it_was_trained_or_says_why_not() {
    let (_folder, path, mut model) = saved();
    let described = |text: &str| {
        let notes = [(GRAPH.to_string(), text.to_string())].into();
        to_safetensors(model.parameters.iter(), Some(notes))
    };
    let own = describe(&model.graph);
    let stored = own.replacen("epsilon=1e-3", "epsilon=1e-5", 1);
    assert_ne!(own, stored);
    let swish = own.replacen("relu ", "swish ", 1);
    let (other, unknown, none) = (
        described(&swish),
        described(&own.replacen("relu ", "gelu ", 1)),
        to_safetensors(model.parameters.iter(), None),
    );
    let stored = (described(&stored), stored);
    let mut put = |bytes: &[u8]| {
        model.info.hashes.insert("weights".into(), sha256(bytes));
        model.info.hashes.remove(GRAPH);
        std::fs::write(path.join(INFO), toml::to_string(&model.info).unwrap()).unwrap();
        std::fs::write(path.join(WEIGHTS), bytes).unwrap();
    };
    put(&stored.0);
    assert_eq!(describe(&Model::load(&path).unwrap().graph), stored.1);
    put(&other);
    assert_eq!(describe(&Model::load(&path).unwrap().graph), swish);
    put(&unknown);
    let error = Model::load(&path).unwrap_err().to_string();
    assert!(error.contains("the node `gelu inputs="), "{error}");
    assert!(
        error.contains("use `stainfree 0.1.0`, which wrote it"),
        "{error}"
    );
    // As the first version wrote it.
    put(&none);
    assert_eq!(describe(&Model::load(&path).unwrap().graph), own);
}

#[test]
fn every_kind_of_damage_is_named() {
    let load = |path: &Path| Model::load(path).unwrap_err().to_string();
    let (_folder, path, _) = saved();
    let info = std::fs::read_to_string(path.join(INFO)).unwrap();

    std::fs::write(path.join(INFO), info.replace("format = 1", "format = 9")).unwrap();
    assert!(
        load(&path).ends_with("has format `9`, this program reads format 1; use a newer version")
    );
    std::fs::write(path.join(INFO), info.replace("pixel_um", "pixel_mm")).unwrap();
    // A key of another version, for all this one knows.
    assert_eq!(Model::load(&path).unwrap().ignored, ["pixel_mm"]);
    std::fs::write(path.join(INFO), "nonsense").unwrap();
    assert!(load(&path).contains("cannot be used"));
    std::fs::write(path.join(INFO), info.replace("classes = 3", "classes = 4")).unwrap();
    assert!(load(&path).contains("`classes` names 3 classes, `network.classes` is 4"));
    let weights = std::fs::read(path.join(WEIGHTS)).unwrap();
    // Only a model that does not say what it computes is made from its name.
    let other = info.replace("width = 0.0625", "width = 0.125");
    let bare = {
        let (tensors, _) = from_safetensors(&weights).unwrap();
        to_safetensors(tensors.iter(), None)
    };
    let named = |info: &str, bytes: &[u8]| {
        let mut table: toml::Table = toml::from_str(info).unwrap();
        let hashes = toml::Table::from_iter([("weights".to_owned(), sha256(bytes).into())]);
        table.insert("hashes".into(), hashes.into());
        std::fs::write(path.join(INFO), toml::to_string(&table).unwrap()).unwrap();
        std::fs::write(path.join(WEIGHTS), bytes).unwrap();
    };
    named(&other, &bare);
    assert!(
        load(&path).contains(
            "does not fit its `model.toml`: tensor `encoder.features.0.weight` has shape"
        )
    );
    named(&info.replace("\"vgg16\"", "\"resnet\""), &bare);
    let error = load(&path);
    assert!(
        error.contains("model.toml`: unknown variant `resnet`"),
        "{error}"
    );
    assert!(error.contains("`vgg16`"), "{error}");
    std::fs::write(path.join(INFO), &info).unwrap();
    assert!(load(&path).contains("copy the whole model folder again"));
    // The graph has a digest of its own.
    let digest = sha256(describe(&model().graph).as_bytes());
    std::fs::write(path.join(WEIGHTS), &weights).unwrap();
    std::fs::write(path.join(INFO), info.replace(&digest, &"0".repeat(64))).unwrap();
    assert!(load(&path).contains("copy the whole model folder again"));
    std::fs::write(path.join(INFO), &info).unwrap();

    let mut flipped = weights.clone();
    *flipped.last_mut().unwrap() ^= 1;
    std::fs::write(path.join(WEIGHTS), flipped).unwrap();
    assert!(load(&path).contains("copy the whole model folder again"));
    std::fs::write(path.join(WEIGHTS), &weights[..weights.len() / 2]).unwrap();
    assert!(load(&path).contains("not a sound safetensors file"));
    std::fs::remove_file(path.join(WEIGHTS)).unwrap();
    assert!(load(&path).contains("weights.safetensors` cannot be read"));
    std::fs::remove_file(path.join(INFO)).unwrap();
    assert!(load(&path).contains("is no model folder: it has no `model.toml`"));
}
