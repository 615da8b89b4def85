//! U-Nets of segmentation_models.pytorch, imported whole, against their own logits.
//!
//! `testdata/network/smp.json` (by `make_smp.py`) has the names and shapes of their `state_dict`s,
//! and what those networks make of an image; the weights are remade here.

mod common;

use common::value;
use serde_json::Value;
use stainfree_network::weights::smp::{Fate, SmpEncoder, SmpError, import};
use stainfree_network::{Machine, Session};
use std::path::{Path, PathBuf};

/// Stated for the import; relative to the largest logit. The golden numbers are sums in f64.
const TOLERANCE: f64 = 1e-4;
const SIZE: [usize; 2] = [64, 96];
const EVERY: usize = 7;

fn networks() -> Vec<Value> {
    let text = std::fs::read_to_string(common::path("smp.json")).expect("the golden file");
    let mut all: Value = serde_json::from_str(&text).expect("JSON");
    match all["networks"].take() {
        Value::Array(networks) => networks,
        _ => panic!("a list of networks"),
    }
}

/// Names and shapes of a network's tensors.
fn tensors(network: &Value) -> Vec<(String, Vec<usize>)> {
    let tensors = network["tensors"].as_array().expect("tensors");
    let shape = |shape: &Value| {
        let sides = shape.as_array().expect("a shape").iter();
        sides
            .map(|side| side.as_u64().expect("a side") as usize)
            .collect()
    };
    let one = |tensor: &Value| {
        (
            tensor[0].as_str().expect("a name").into(),
            shape(&tensor[1]),
        )
    };
    tensors.iter().map(one).collect()
}

/// As `initial` of `make_smp.py`.
fn initial(name: &str, shape: &[usize]) -> Vec<f32> {
    let count = shape.iter().product();
    if name.ends_with("running_var") || (name.ends_with(".weight") && shape.len() == 1) {
        value(name, count, 0.2, 1.0)
    } else if shape.len() > 1 {
        let inputs: usize = shape[1..].iter().product();
        value(name, count, (6.0 / inputs as f64).sqrt() as f32, 0.0)
    } else {
        value(name, count, 0.1, 0.0)
    }
}

/// Writes tensors as safetensors, each under the name that `named` gives it.
fn write(path: &Path, tensors: &[(String, Vec<usize>)], named: impl Fn(&str) -> String) {
    let bytes: Vec<(String, Vec<usize>, Vec<u8>)> = tensors
        .iter()
        .map(|(name, shape)| {
            let values = initial(name, shape);
            let bytes = values.iter().flat_map(|x| x.to_le_bytes()).collect();
            (named(name), shape.clone(), bytes)
        })
        .collect();
    let views = bytes.iter().map(|(name, shape, bytes)| {
        let view =
            safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), bytes);
        (name.clone(), view.expect("a tensor"))
    });
    let file = safetensors::serialize(views, None).expect("a file");
    std::fs::write(path, file).expect("written");
}

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("unet.safetensors")
    }
}

#[test]
fn logits_are_those_of_the_network_that_was_trained() {
    let place = Place::new();
    for network in networks() {
        let encoder = network["encoder"].as_str().expect("a name");
        let channels = network["channels"].as_u64().expect("channels") as usize;
        // As data-parallel and Lightning modules wrap it.
        write(&place.file(), &tensors(&network), |name| {
            format!("model.module.{name}")
        });
        let found = import(&place.file(), false, 0).unwrap_or_else(|e| panic!("{encoder}: {e}"));
        assert_eq!(found.encoder.name(), encoder);
        assert_eq!(found.image_channels, channels);
        let applied = found.tensors.iter().filter(|t| t.fate == Fate::Applied);
        let unused = found
            .tensors
            .iter()
            .filter(|t| t.fate == Fate::Unused)
            .count();
        assert_eq!(
            applied.count() + unused,
            tensors(&network).len(),
            "{encoder}"
        );

        let [height, width] = SIZE;
        let plane = height * width;
        let name = format!("smp {encoder} {channels}");
        let image = value(&name, channels * plane, 1.0, 0.0);
        let image = match channels {
            1 => image.repeat(3),
            _ => image,
        };
        let mut session = Session::new(&Machine::new(2), &found.graph, &found.parameters);
        let logits = session.logits(&image, height, width);
        // A single channel is the second of two classes here.
        let logits = match found.head_channels {
            1 => {
                assert!(logits[..plane].iter().all(|&x| x == 0.0));
                &logits[plane..]
            }
            _ => &logits[..],
        };
        let golden = network["logits"].as_array().expect("logits").iter();
        let golden = golden.map(|x| x.as_f64().expect("a number"));
        let pairs = logits
            .iter()
            .step_by(EVERY)
            .map(|&x| f64::from(x))
            .zip(golden);
        let worst = pairs.fold(0.0, |worst: f64, (a, b)| worst.max((a - b).abs()));
        let error = worst / network["largest"].as_f64().expect("a number");
        assert!(error < TOLERANCE, "{encoder}: {error:e}");
    }
}

#[test]
fn nothing_is_taken_in_part_unasked() {
    let place = Place::new();
    let all = networks();
    let network = all.iter().find(|n| n["encoder"] == "mobilenet_v2");
    let mut some = tensors(network.expect("the smallest one"));
    let first = some.remove(0).0;
    some.push((
        "decoder.blocks.0.attention1.attention.cSE.1.weight".into(),
        vec![4, 4],
    ));
    write(&place.file(), &some, str::to_owned);
    let error = import(&place.file(), false, 0).expect_err("one is missing");
    let said = error.to_string();
    assert!(matches!(error, SmpError::Parts { .. }), "{said}");
    for part in [
        &first[..],
        "1 tensors are missing",
        "1 tensors are left over",
        "cSE",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let found = import(&place.file(), true, 7).expect("in part");
    let of = |fate| {
        found
            .tensors
            .iter()
            .find(|t| t.fate == fate)
            .map(|t| &t.name[..])
    };
    assert_eq!(of(Fate::Missing), Some(&first[..]));
    assert!(of(Fate::LeftOver).is_some_and(|name| name.contains("cSE")));
}

#[test]
fn other_files_are_told_from_what_is_read() {
    let place = Place::new();
    let tensor = |name: &str, shape: &[usize]| (name.to_owned(), shape.to_vec());
    let head = tensor("segmentation_head.0.weight", &[2, 16, 3, 3]);
    let said = |tensors: &[(String, Vec<usize>)]| {
        write(&place.file(), tensors, str::to_owned);
        import(&place.file(), true, 0)
            .expect_err("no such network")
            .to_string()
    };
    let none = said(&[tensor("encoder.layer1.0.conv1.weight", &[1, 1, 1, 1])]);
    assert!(
        none.contains("no U-Net of segmentation_models.pytorch"),
        "{none}"
    );
    let other = said(&[tensor("encoder.layer1.0.conv1.weight", &[1, 1, 1, 1]), head]);
    let known = SmpEncoder::ALL.map(SmpEncoder::name).join(", ");
    assert!(other.contains(&known), "{other}");
}
