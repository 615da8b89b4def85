//! What Keras calls the layers of encoders, and how it lays out their arrays.

use super::NamedArray;

/// torchvision's name of an array within its features, e.g. `2.0.block.1.0.weight`; `None` for what
/// is no encoder's.
///
/// Names are `LAYER/LAYER/kernel:0` (or `LAYER/LAYER_W_1:0`, before Keras 2): `block1_conv1` of
/// VGG16, and `stem_conv`, `block2a_expand_conv`, `block2a_bn` .. of efficientnet 1.0.0.
pub(super) fn canonical(name: &str) -> Option<String> {
    let leaf = name.rsplit('/').next().unwrap_or(name);
    name.split('/').find_map(|layer| {
        let (layer, norm) = match vgg16(layer) {
            Some(index) => (index.to_string(), false),
            None => efficientnet(layer)?,
        };
        Some(format!("{layer}.{}", part(leaf, norm)?))
    })
}

/// torchvision's name of an array of a convolution, or of a batch norm.
fn part(leaf: &str, norm: bool) -> Option<&'static str> {
    let table: &[(&str, &str)] = match norm {
        false => &[
            ("kernel", "weight"),
            ("_W", "weight"),
            ("bias", "bias"),
            ("_b_", "bias"),
        ],
        true => &[
            ("gamma", "weight"),
            ("beta", "bias"),
            ("moving_mean", "running_mean"),
            ("moving_variance", "running_var"),
        ],
    };
    let (_, part) = table.iter().find(|(word, _)| leaf.contains(word))?;
    Some(part)
}

/// torchvision's number of `blockB_convC` of VGG16: convolutions, ReLUs and pools count.
pub(super) fn vgg16(layer: &str) -> Option<usize> {
    let (block, conv) = layer.strip_prefix("block")?.split_once("_conv")?;
    let (block, conv): (usize, usize) = (block.parse().ok()?, conv.parse().ok()?);
    let convs = [2, 2, 3, 3, 3];
    let count = *convs.get(block.checked_sub(1)?)?;
    let before: usize = convs[..block - 1].iter().map(|n| 2 * n + 1).sum();
    (1..=count).contains(&conv).then(|| before + 2 * (conv - 1))
}

/// torchvision's name of a layer of EfficientNet, and whether it is a batch norm. A block is named
/// by its stage and a letter; in stage 1 nothing is expanded, so its parts are counted from the
/// depthwise convolution on.
fn efficientnet(layer: &str) -> Option<(String, bool)> {
    for (end, stage) in [("stem", 0), ("top", 8)] {
        match layer.strip_prefix(end) {
            Some("_conv") => return Some((format!("{stage}.0"), false)),
            Some("_bn") => return Some((format!("{stage}.1"), true)),
            _ => {}
        }
    }
    let (block, kind) = layer.strip_prefix("block")?.split_once('_')?;
    let (stage, letter) = block.split_at_checked(block.len().checked_sub(1)?)?;
    let stage: usize = stage.parse().ok()?;
    let letter = letter.bytes().next().filter(u8::is_ascii_lowercase)?;
    let (part, inner) = match kind {
        "expand_conv" => (0, "0"),
        "expand_bn" => (0, "1"),
        "dwconv" => (1, "0"),
        "bn" => (1, "1"),
        "se_reduce" => (2, "fc1"),
        "se_expand" => (2, "fc2"),
        "project_conv" => (3, "0"),
        "project_bn" => (3, "1"),
        _ => return None,
    };
    let part = if stage == 1 {
        i32::checked_sub(part, 1).filter(|p| *p >= 0)?
    } else {
        part
    };
    let name = format!("{stage}.{}.block.{part}.{inner}", letter - b'a');
    Some((name, kind.ends_with("bn")))
}

/// Keras' `[height, width, in, out]`, or `[height, width, channel, 1]` of a depthwise convolution,
/// to `[out, in, height, width]`.
pub(super) fn to_oihw(array: &NamedArray) -> NamedArray {
    let [height, width, inputs, outputs] = array.shape[..] else {
        return array.clone();
    };
    let mut data = Vec::with_capacity(array.data.len());
    for o in 0..outputs {
        for i in 0..inputs {
            for y in 0..height {
                for x in 0..width {
                    data.push(array.data[((y * width + x) * inputs + i) * outputs + o]);
                }
            }
        }
    }
    let depthwise = array.name.contains("depthwise_kernel");
    let [outer, inner] = if depthwise {
        [inputs, outputs]
    } else {
        [outputs, inputs]
    };
    NamedArray {
        name: array.name.clone(),
        shape: vec![outer, inner, height, width],
        data,
    }
}
