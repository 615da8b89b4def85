//! Files of every layout give the same numbers; wrong files say what is wrong with them.

use super::*;
use crate::graph::{Init, ParameterKind};
use crate::unet::UnetSpec;
use crate::{Encoder, Tensor};
use std::path::PathBuf;

fn testdata(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../testdata/network")
        .join(name)
}

/// `value` of `testdata/network/make_golden.py`, scale 1.
fn value(name: &str, count: usize) -> Vec<f32> {
    let hash = name.bytes().fold(0xCBF2_9CE4_8422_2325u64, |h, b| {
        (h ^ u64::from(b)).wrapping_mul(0x100_0000_01B3)
    });
    (1..=count as u64)
        .map(|i| {
            let mut z = hash
                .wrapping_add(1)
                .wrapping_add(i.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            ((z ^ (z >> 31)) >> 40) as f32 / (1u32 << 24) as f32 * 2.0 - 1.0
        })
        .collect()
}

const INDICES: [usize; 13] = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28];

/// The encoder of the files `vgg_tiny`: two channels everywhere.
fn tiny() -> Vec<ParameterInfo> {
    let info = |name: String, shape: Vec<usize>| ParameterInfo {
        name,
        shape,
        kind: ParameterKind::Trainable,
        init: Init::HeNormal,
    };
    INDICES
        .iter()
        .flat_map(|&n| {
            let inputs = if n == 0 { 3 } else { 2 };
            [
                info(
                    format!("encoder.features.{n}.weight"),
                    vec![2, inputs, 3, 3],
                ),
                info(format!("encoder.features.{n}.bias"), vec![2]),
            ]
        })
        .collect()
}

fn import_tiny(path: &Path, source: Option<&str>) -> Result<Vec<NamedArray>, WeightsError> {
    let infos = tiny();
    import(&infos.iter().collect::<Vec<_>>(), path, source).map(|(_, arrays)| arrays)
}

#[test]
fn every_layout_gives_the_numbers_that_were_saved() {
    for (file, source) in [
        ("vgg_tiny.pth", "vgg16-torchvision"),
        ("vgg_tiny_legacy.pth", "vgg16-torchvision"),
        ("vgg_tiny_parameters.pth", "vgg16-torchvision"),
        ("vgg_tiny.h5", "vgg16-keras"),
        ("vgg_tiny_keras2.h5", "vgg16-keras"),
    ] {
        let arrays =
            import_tiny(&testdata(file), Some(source)).unwrap_or_else(|e| panic!("{file}: {e}"));
        assert_eq!(arrays.len(), 26);
        for array in arrays {
            let name = array.name.replace("encoder.", "vgg.");
            assert_eq!(array.data, value(&name, array.data.len()), "{file}: {name}");
        }
    }
}

#[test]
fn a_file_of_unknown_source_must_be_named() {
    let error = import_tiny(&testdata("vgg_tiny.pth"), None)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("it is not known which input its weights expect"),
        "{error}"
    );
    assert!(error.contains("vgg16-keras, vgg16-torchvision"), "{error}");
    let error = import_tiny(&testdata("vgg_tiny.pth"), Some("vgg19"))
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("there are no weights `vgg19` (known: vgg16-keras"),
        "{error}"
    );
}

fn full_width() -> Graph {
    Graph::unet(&UnetSpec::narrow(Encoder::Vgg16, 1.0, 2)).unwrap()
}

#[test]
fn an_incomplete_file_is_named_as_such() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/weights/vgg16_blocks1-2.safetensors");
    if !path.exists() {
        println!("skipped: {} is absent", path.display());
        return;
    }
    let graph = full_width();
    let mut parameters = Parameters::initialise(&graph, 1);
    let before = parameters
        .get("encoder.features.0.weight")
        .unwrap()
        .data
        .clone();
    let error = load_encoder(&graph, &mut parameters, &path, None)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("is incomplete: it holds 8 of the 26 tensors of the encoder"),
        "{error}"
    );
    assert!(
        error.contains("missing are `features.10.weight`, `features.10.bias`"),
        "{error}"
    );
    assert_eq!(
        parameters.get("encoder.features.0.weight").unwrap().data,
        before,
        "a failed import changed weights"
    );

    // The layers that are there are Keras': every probe that can be looked up agrees.
    let file: Vec<NamedArray> = read(&path, &|name| canonical(name).is_some())
        .unwrap()
        .into_iter()
        .map(|a| NamedArray {
            name: canonical(&a.name).unwrap(),
            ..a
        })
        .collect();
    let keras = Source::named("vgg16-keras").unwrap();
    keras.check_probes(&path, &file).unwrap();
    assert_eq!(
        Source::identify(&path, &file).unwrap().unwrap().name,
        "vgg16-keras"
    );

    // Layers swapped, as when a kernel is transposed wrongly: not Keras' any more.
    let mut wrong = file.clone();
    wrong[0].data.swap(0, 5);
    wrong.iter_mut().for_each(|a| a.data.reverse());
    assert!(keras.check_probes(&path, &wrong).is_err());
}

/// Activations of the first four convolutions of ImageNet's VGG16, plain loops in f64 sums.
#[test]
fn the_first_four_layers_give_torchs_activations() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/weights/vgg16_blocks1-2.safetensors");
    if !path.exists() {
        println!("skipped: {} is absent", path.display());
        return;
    }
    let arrays = read(&path, &|name| canonical(name).is_some()).unwrap();
    let golden = std::fs::read(testdata("vgg16_first4.safetensors")).unwrap();
    let golden = safe::read(&golden, &|_| true).unwrap();
    let get =
        |arrays: &[NamedArray], name: &str| arrays.iter().find(|a| a.name == name).unwrap().clone();
    let mut side = 16;
    let mut x: Vec<f32> = (0..3 * 256)
        .map(|i| (((7 * (i / 256) + 3 * (i / 16 % 16) + 5 * (i % 16)) % 17) as f32 - 8.0) * 12.0)
        .collect();
    for (layer, n) in [0, 2, 5, 7].into_iter().enumerate() {
        let weight = get(&arrays, &format!("features.{n}.weight"));
        let bias = get(&arrays, &format!("features.{n}.bias"));
        let (outputs, inputs) = (weight.shape[0], weight.shape[1]);
        let at = |x: &[f32], i: usize, y: isize, c: isize| {
            let inside = (0..side as isize).contains(&y) && (0..side as isize).contains(&c);
            if inside {
                f64::from(x[(i * side + y as usize) * side + c as usize])
            } else {
                0.0
            }
        };
        let mut out = vec![0.0f32; outputs * side * side];
        for (index, out) in out.iter_mut().enumerate() {
            let (o, y, c) = (index / side / side, index / side % side, index % side);
            let mut sum = f64::from(bias.data[o]);
            for (k, w) in weight.data[o * inputs * 9..(o + 1) * inputs * 9]
                .iter()
                .enumerate()
            {
                let (dy, dx) = ((k / 3 % 3) as isize - 1, (k % 3) as isize - 1);
                sum += f64::from(*w) * at(&x, k / 9, y as isize + dy, c as isize + dx);
            }
            *out = sum.max(0.0) as f32;
        }
        let expected = get(&golden, &format!("relu{layer}"));
        let largest = expected.data.iter().fold(0.0f32, |m, v| m.max(*v));
        for (a, b) in out.iter().zip(&expected.data) {
            // f32 rounding of the layers before.
            assert!(
                (a - b).abs() < 1e-5 * largest,
                "layer {layer}: {a} {b} of {largest}"
            );
        }
        x = out;
        if n == 2 {
            let old = x.clone();
            side = 8;
            x = (0..64 * 64)
                .map(|i| {
                    let first = (i / 64 * 16 + i / 8 % 8 * 2) * 16 + i % 8 * 2;
                    old[first]
                        .max(old[first + 1])
                        .max(old[first + 16])
                        .max(old[first + 17])
                })
                .collect();
        }
    }
}

fn save(folder: &Path, name: &str, tensors: &[(String, Vec<usize>, Vec<f32>)]) -> PathBuf {
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .map(|t| t.2.iter().flat_map(|x| x.to_le_bytes()).collect())
        .collect();
    let views = tensors.iter().zip(&bytes).map(|(t, bytes)| {
        let view =
            safetensors::tensor::TensorView::new(safetensors::Dtype::F32, t.1.clone(), bytes)
                .unwrap();
        (t.0.clone(), view)
    });
    let path = folder.join(name);
    std::fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
    path
}

#[test]
fn safetensors_of_any_naming_fill_a_narrow_network() {
    let folder = tempfile::tempdir().unwrap();
    let graph = Graph::unet(&UnetSpec::narrow(Encoder::Vgg16, 0.0625, 2)).unwrap();
    for prefix in ["", "features.", "encoder.features.", "module.features."] {
        let tensors: Vec<_> = graph
            .parameters()
            .iter()
            .filter_map(|info| {
                let rest = info.name.strip_prefix("encoder.features.")?;
                Some((
                    format!("{prefix}{rest}"),
                    info.shape.clone(),
                    value(rest, info.shape.iter().product()),
                ))
            })
            .collect();
        let path = save(folder.path(), "weights.safetensors", &tensors);
        let mut parameters = Parameters::initialise(&graph, 3);
        let head = parameters
            .get("segmentation_head.0.weight")
            .unwrap()
            .data
            .clone();
        let imported =
            load_encoder(&graph, &mut parameters, &path, Some("vgg16-torchvision")).unwrap();
        assert_eq!(
            (imported.tensors, imported.source.name),
            (26, "vgg16-torchvision")
        );
        let Tensor { data, .. } = parameters.get("encoder.features.28.weight").unwrap();
        assert_eq!(*data, value("28.weight", data.len()), "{prefix}");
        assert_eq!(
            parameters.get("segmentation_head.0.weight").unwrap().data,
            head
        );
    }
}

#[test]
fn a_full_width_file_that_is_not_keras_is_refused_under_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let graph = full_width();
    let encoder: Vec<&ParameterInfo> = graph
        .parameters()
        .iter()
        .filter(|p| p.name.starts_with("encoder."))
        .collect();
    // Only the shapes count here: the first layer is enough to be compared.
    let first: Vec<_> = encoder[..2]
        .iter()
        .map(|p| {
            (
                p.name.clone(),
                p.shape.clone(),
                vec![0.5; p.shape.iter().product()],
            )
        })
        .collect();
    let path = save(folder.path(), "mine.safetensors", &first);
    let error = import(&encoder[..2], &path, Some("vgg16-keras"))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("is not `vgg16-keras`: tensor `encoder.features.0.weight` has 0.5"),
        "{error}"
    );
}

#[test]
fn a_published_name_with_other_bytes_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vgg16-397923af.pth");
    std::fs::copy(testdata("vgg_tiny_legacy.pth"), &path).unwrap();
    let error = import_tiny(&path, None).unwrap_err().to_string();
    assert!(
        error.contains("its sha256 is") && error.ends_with("published is 397923af"),
        "{error}"
    );
    let found = find("vgg16", &[folder.path().to_path_buf()]).unwrap();
    assert_eq!((found.0, found.1.name), (path, "vgg16-torchvision"));
    assert!(find("vgg16", &[PathBuf::from("nowhere")]).is_none());
}

#[test]
fn a_tensor_of_another_shape_is_named_with_both_shapes() {
    let mut infos = tiny();
    infos[2].shape = vec![4, 2, 3, 3];
    let wanted: Vec<&ParameterInfo> = infos.iter().collect();
    let error = import(&wanted, &testdata("vgg_tiny.h5"), Some("vgg16-keras"))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("has shape [2, 2, 3, 3], the encoder needs [4, 2, 3, 3]"),
        "{error}"
    );
}

#[test]
fn files_cut_anywhere_or_damaged_give_an_error_and_no_panic() {
    let folder = tempfile::tempdir().unwrap();
    for file in [
        "vgg_tiny.pth",
        "vgg_tiny_legacy.pth",
        "vgg_tiny.h5",
        "vgg_tiny_keras2.h5",
    ] {
        let whole = std::fs::read(testdata(file)).unwrap();
        let path = folder.path().join(file);
        for part in 0..40 {
            std::fs::write(&path, &whole[..whole.len() * part / 40]).unwrap();
            assert!(
                import_tiny(&path, Some("vgg16-keras")).is_err(),
                "{file} cut at {part}/40"
            );
        }
        // Damage: must not panic; may go unnoticed where it hits a value.
        for at in (0..whole.len()).step_by(97) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0xff;
            std::fs::write(&path, &bytes).unwrap();
            let _ = import_tiny(&path, Some("vgg16-keras"));
        }
    }
    let text = folder.path().join("notes.txt");
    std::fs::write(&text, "no weights here").unwrap();
    let error = import_tiny(&text, None).unwrap_err().to_string();
    assert!(
        error.contains("is neither safetensors, nor a torch `.pth`, nor a Keras `.h5` file"),
        "{error}"
    );
    assert!(matches!(
        import_tiny(&folder.path().join("absent"), None),
        Err(WeightsError::Io { .. })
    ));
}

#[test]
fn keras_layers_have_torchvisions_numbers() {
    let keras: Vec<_> = [
        ("block1_conv1", 0),
        ("block2_conv2", 7),
        ("block3_conv1", 10),
        ("block5_conv3", 28),
    ]
    .map(|(name, _)| keras::vgg16(name))
    .into();
    assert_eq!(keras, [Some(0), Some(7), Some(10), Some(28)]);
    for wrong in [
        "block6_conv1",
        "block1_conv3",
        "block0_conv1",
        "block1_pool",
        "conv1",
    ] {
        assert_eq!(keras::vgg16(wrong), None, "{wrong}");
    }
}

/// Names and shapes of torchvision's file, by torchvision.
fn torchvision_b4() -> Vec<(String, Vec<usize>)> {
    let text = std::fs::read_to_string(testdata("efficientnet_b4_torchvision.txt")).unwrap();
    let line = |line: &str| {
        let mut words = line.split(' ').map(str::to_owned);
        let name = words.next().unwrap();
        (name, words.map(|n| n.parse().unwrap()).collect())
    };
    text.lines().map(line).collect()
}

#[test]
fn efficientnet_b4_has_torchvisions_names_and_shapes() {
    let graph = Graph::unet(&UnetSpec::new(Encoder::EfficientnetB4, 1.0, 3)).unwrap();
    let mut ours: Vec<(String, Vec<usize>)> = graph
        .parameters()
        .iter()
        .filter(|info| info.name.starts_with("encoder."))
        .map(|info| (info.name.clone(), info.shape.clone()))
        .collect();
    let mut theirs: Vec<(String, Vec<usize>)> = torchvision_b4()
        .into_iter()
        .filter_map(|(name, shape)| Some((canonical(&name)?, shape)))
        .collect();
    ours.sort();
    theirs.sort();
    assert_eq!(ours, theirs);
}

#[test]
fn every_keras_name_of_efficientnet_b4_is_known() {
    let text = std::fs::read_to_string(testdata("efficientnet_b4_keras.txt")).unwrap();
    for line in text.lines() {
        let (keras, torch) = line.split_once(' ').unwrap();
        assert_eq!(canonical(keras), Some(format!("encoder.{torch}")));
    }
    assert_eq!(text.lines().count(), 608);
    for stranger in [
        "block1a_expand_conv",
        "block2_bn",
        "blocka_bn",
        "block2a_add",
        "predictions",
        "block2a_\u{e9}",
    ] {
        assert_eq!(canonical(&format!("{stranger}/{stranger}/kernel:0")), None);
    }
}

/// The encoder of the files `efficientnet_b4_tiny`.
fn tiny_b4() -> Graph {
    let spec = UnetSpec::narrow(Encoder::EfficientnetB4, 0.0625, 2);
    Graph::unet(&spec).unwrap()
}

/// What the files hold under a name of ours: between 0.8 and 1.2.
fn tiny_b4_value(name: &str, count: usize) -> Vec<f32> {
    let values = value(&name.replace("encoder.features.", "b4."), count);
    values.into_iter().map(|x| 1.0 + 0.2 * x).collect()
}

#[test]
fn efficientnet_b4_is_read_from_both_layouts() {
    let graph = tiny_b4();
    let encoder = graph
        .parameters()
        .iter()
        .filter(|p| p.name.starts_with("encoder."));
    let encoder: Vec<&ParameterInfo> = encoder.collect();
    let stages = ["0.", "1.", "2.", "8."].map(|stage| format!("encoder.features.{stage}"));
    let few = encoder
        .iter()
        .filter(|p| stages.iter().any(|s| p.name.starts_with(s)));
    let few: Vec<&ParameterInfo> = few.copied().collect();
    for (file, source, wanted) in [
        (
            "efficientnet_b4_tiny.pth",
            "efficientnet-b4-torchvision",
            &encoder,
        ),
        ("efficientnet_b4_tiny.h5", "efficientnet-b4-keras", &few),
    ] {
        let (found, arrays) = import(wanted, &testdata(file), Some(source)).unwrap();
        assert_eq!(found.name, source);
        assert_eq!(arrays.len(), wanted.len(), "{file}");
        for array in arrays {
            let expected = tiny_b4_value(&array.name, array.data.len());
            assert_eq!(array.data, expected, "{file}: {}", array.name);
        }
    }
}

#[test]
fn scales_make_up_for_torchvisions_epsilon() {
    let graph = tiny_b4();
    let mut parameters = Parameters::initialise(&graph, 1);
    let (path, source) = (
        testdata("efficientnet_b4_tiny.pth"),
        "efficientnet-b4-torchvision",
    );
    let imported = load_encoder(&graph, &mut parameters, &path, Some(source)).unwrap();
    assert_eq!(imported.tensors, 608);
    let prefix = "encoder.features.3.1.block.1.1";
    let get = |name: &str| parameters.values(&format!("{prefix}.{name}")).to_vec();
    let (gamma, variance) = (get("weight"), get("running_var"));
    let file = tiny_b4_value(&format!("{prefix}.weight"), gamma.len());
    assert_eq!(
        variance,
        tiny_b4_value(&format!("{prefix}.running_var"), gamma.len())
    );
    for ((ours, theirs), variance) in gamma.iter().zip(file).zip(variance) {
        // The network adds 1e-3, torchvision's 1e-5.
        let [found, expected] = [(*ours, 1e-3), (theirs, 1e-5)]
            .map(|(gamma, epsilon)| f64::from(gamma) / (f64::from(variance) + epsilon).sqrt());
        assert!((found - expected).abs() < 1e-7, "{found} {expected}");
        assert!(*ours > theirs);
    }
}

#[test]
fn what_the_program_carries_is_the_file_it_was_made_from_in_half_precision() {
    let source = built_in("mobilenet-v2").unwrap();
    assert!(built_in("vgg16").is_none());
    let graph = Graph::unet(&UnetSpec::new(Encoder::MobilenetV2, 1.0, 2)).unwrap();
    let mut carried = Parameters::initialise(&graph, 1);
    let imported = load_built_in(&graph, &mut carried, source).unwrap();
    // 260 tensors, 2,257,984 values: the whole encoder.
    assert_eq!((imported.tensors, imported.values), (260, 2_257_984));
    // Narrower networks are refused.
    let narrow = Graph::unet(&UnetSpec::new(Encoder::MobilenetV2, 0.5, 2)).unwrap();
    let mut parameters = Parameters::initialise(&narrow, 1);
    let before = parameters.clone();
    let error = load_built_in(&narrow, &mut parameters, source).unwrap_err();
    assert!(error.to_string().contains("`width` 1 only"), "{error}");
    assert_eq!(parameters, before);

    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/weights/mobilenet_v2_features.safetensors");
    if !path.exists() {
        println!("skipped: `{}` is absent", path.display());
        return;
    }
    let mut exact = Parameters::initialise(&graph, 1);
    load_encoder(&graph, &mut exact, &path, None).unwrap();
    for (carried, exact) in carried.iter().zip(exact.iter()) {
        for (a, b) in carried.data.iter().zip(&exact.data) {
            // Half precision keeps 11 bits, and below 2^-14 steps of 2^-24.
            let rounding = (b.abs() / 2048.0).max(2f32.powi(-25));
            assert!((a - b).abs() <= rounding, "{}: {a} {b}", carried.name);
        }
    }
}
