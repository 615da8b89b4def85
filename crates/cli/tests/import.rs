//! `import`: networks of segmentation_models.pytorch as models. Their logits are held to that
//! program's in crates/network/tests/smp.rs.

mod common;

use std::path::Path;

use common::{Place, disks};
use serde_json::{Map, Value, json};

/// Writes the `state_dict` of a MobileNetV2 U-Net of three classes with small numbers, but for the
/// tensor `left_out`.
fn state_dict(path: &Path, left_out: &str) {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/network/smp.json");
    let golden: Value = serde_json::from_slice(&std::fs::read(golden).unwrap()).unwrap();
    let mut networks = golden["networks"].as_array().unwrap().iter();
    let network = networks
        .find(|network| network["encoder"] == "mobilenet_v2" && network["classes"] == 3)
        .unwrap();
    let (mut header, mut data) = (Map::new(), Vec::<u8>::new());
    for tensor in network["tensors"].as_array().unwrap() {
        let (name, shape) = (tensor[0].as_str().unwrap(), &tensor[1]);
        if name == left_out {
            continue;
        }
        let sides = shape.as_array().unwrap().iter();
        let count: u64 = sides.map(|side| side.as_u64().unwrap()).product();
        let begin = data.len();
        for k in 0..count {
            let value = match name.ends_with("running_var") {
                true => 1.0,
                false => ((k * 7 + 3) % 13) as f32 / 100.0 - 0.06,
            };
            data.extend(f32::to_le_bytes(value));
        }
        header.insert(
            name.to_owned(),
            json!({"dtype": "F32", "shape": shape, "data_offsets": [begin, data.len()]}),
        );
    }
    let header = serde_json::to_vec(&header).unwrap();
    let length = (header.len() as u64).to_le_bytes();
    std::fs::write(path, [&length[..], &header, &data].concat()).unwrap();
}

#[test]
fn a_network_from_elsewhere_predicts_and_says_what_it_was_made_of() {
    let place = Place::new();
    state_dict(&place.path("unet.safetensors"), "");
    let import = |classes, more: &[&'static str]| {
        let plain = [
            "import",
            "unet.safetensors",
            "--classes",
            classes,
            "--out",
            "model",
        ];
        [&plain[..], more].concat()
    };
    let run = place.ok(&import("nucleus,background,cytoplasm", &["--json", "-"]));
    let said: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(said["encoder"], "mobilenet_v2");
    assert_eq!(
        said["classes"],
        json!(["background", "nucleus", "cytoplasm"])
    );
    let tensors = said["tensors"].as_array().unwrap();
    assert!(tensors.iter().all(|tensor| tensor["fate"] == "applied"));

    disks(&place.path("image.tif"), 96, 4000, 0);
    place.ok(&["predict", "model", "image.tif", "--out", "result"]);
    assert!(place.path("result/classes/image.tif").is_file());
    // The same again is kept; another one takes its place only where that is asked for.
    place.ok(&import("nucleus,background,cytoplasm", &[]));
    place.fails(
        1,
        &import("background,nucleus,cytoplasm", &[]),
        "error: `model` has another model; choose another folder, or replace it with `--overwrite`",
    );
    place.ok(&import("background,nucleus,cytoplasm", &["--overwrite"]));
    place.fails(
        2,
        &import("nucleus,cytoplasm", &[]),
        "error: `--classes nucleus,cytoplasm` names 2 channels, and the last convolution of \
         `unet.safetensors` has 3; name each in its order, such as `background,nucleus`",
    );
    place.fails(
        2,
        &import("nucleus,cytoplasm,debris", &[]),
        "error: `--classes nucleus,cytoplasm,debris` has no `background`: one of several channels \
         must be that of all else; a network with one sigmoid a channel cannot be imported",
    );
}

#[test]
fn a_part_of_a_network_is_taken_where_that_is_asked_for() {
    let place = Place::new();
    let missing = "decoder.blocks.4.conv2.0.weight";
    state_dict(&place.path("unet.safetensors"), missing);
    let import = [
        "import",
        "unet.safetensors",
        "--classes",
        "background,nucleus,cytoplasm",
        "--out",
        "model",
    ];
    place.fails(
        1,
        &import,
        &format!(
            "error: `unet.safetensors` is not just a `Unet` on `mobilenet_v2`: 1 tensors are \
             missing (`{missing}`); `--partial` takes what fits"
        ),
    );
    assert!(!place.path("model").exists(), "nothing was written");
    let run = place.ok(&[&import[..], &["--partial"]].concat());
    assert!(run.stdout.contains(missing), "{}", run.stdout);
    assert!(run.stderr.contains("start fresh"), "{}", run.stderr);
}
