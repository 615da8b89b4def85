//! The description of a package: bioimage.io's `rdf.yaml`, format 0.5.
//!
//! The keys and what they may hold are those of the specification ("model description", 0.5.3 and
//! later). Nothing is said of a model that nobody has said: what the format demands and the user
//! has not given gets a word that shows so, and a remark.

use serde_json::{Value, json};
use stainfree_network::model::sha256;
use stainfree_network::onnx::{INPUT, OPERATORS, OnnxOptions, about, about_planes, notes};
use stainfree_network::output::CLASSES;
use stainfree_network::{Model, Output};

use super::ExportOptions;
use super::example::{Example, halo, least_side};
use crate::ProjectError;

/// Names of files of the package.
pub(super) const NETWORK: &str = "weights.onnx";
pub(super) const COVER: &str = "cover.png";
pub(super) const CARD: &str = "README.md";

/// A file of the package.
pub(super) struct Part {
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
}

/// The format's version: the oldest with all keys that are used, so that older programs read it.
const FORMAT: &str = "0.5.3";
/// The longest name of a package, and the shortest.
const NAME: [usize; 2] = [5, 128];
/// The longest description of a tensor.
const LONGEST_ABOUT: usize = 128;

/// The description; what it lacks is added to `remarks`.
///
/// # Errors
/// A name or an author that the format does not take.
pub(super) fn description(
    options: &ExportOptions,
    model: &Model,
    example: &Example,
    network: &[u8],
    parts: &[Part],
    remarks: &mut Vec<String>,
) -> Result<Value, ProjectError> {
    let info = &model.info;
    let full_range = example.full_range;
    let outputs = model.graph.outputs().iter();
    let outputs: Vec<Value> = outputs
        .map(|output| output_tensor(model, output, parts))
        .collect();
    let own: serde_json::Map<String, Value> = notes(model, &OnnxOptions { full_range })
        .into_iter()
        .map(|(key, text)| (key.to_owned(), text.into()))
        .collect();
    let mut rdf = json!({
        "format_version": FORMAT,
        "type": "model",
        "name": name(options, model)?,
        "description": format!(
            "Tells {} apart in unstained brightfield images. U-Net on {}, trained by {}.",
            info.classes.join(", "), info.network.encoder(), info.program
        ),
        "authors": authors(options, remarks)?,
        "cite": cited(&info.network.encoder()),
        "tags": [
            "unet", "2d", "transmission-light-microscopy", "nuclei", "cells",
            "semantic-segmentation", "in-silico-labeling", "brightfield", "label-free",
        ],
        "documentation": CARD,
        "covers": [COVER],
        "inputs": [input_tensor(model, parts)],
        "outputs": outputs,
        "weights": {"onnx": {
            "source": NETWORK, "sha256": sha256(network), "opset_version": OPERATORS,
        }},
        "config": {"stainfree": own},
    });
    match &options.licence {
        Some(licence) => rdf["license"] = licence.as_str().into(),
        None => remarks.push(
            "the package names no licence, without which nobody else may use it and older readers \
             of the format refuse it; give one with `--license`, such as `CC-BY-4.0`"
                .to_owned(),
        ),
    }
    Ok(rdf)
}

/// As given, or what the model is.
fn name(options: &ExportOptions, model: &Model) -> Result<String, ProjectError> {
    let may_be = |c: char| c.is_ascii_alphanumeric() || "_+- ()".contains(c);
    if let Some(name) = &options.name {
        let [least, most] = NAME;
        return match (least..=most).contains(&name.len()) && name.chars().all(may_be) {
            true => Ok(name.clone()),
            false => Err(ProjectError::Usage(format!(
                "`--name {name}` cannot be: {least} to {most} letters (a to z), digits, blanks \
                 and `_+-()` are possible"
            ))),
        };
    }
    let classes = model.info.classes.iter().skip(1).map(String::as_str);
    let classes: Vec<&str> = classes.collect();
    let encoder = model.info.network.encoder();
    let name = format!("stainfree {encoder} {}", classes.join(" and "));
    Ok(name.chars().filter(|&c| may_be(c)).take(NAME[1]).collect())
}

fn authors(options: &ExportOptions, remarks: &mut Vec<String>) -> Result<Value, ProjectError> {
    if options.authors.is_empty() {
        remarks.push(
            "the package names no author, and the format demands one: it says `not named`; give \
             them with `--author`"
                .to_owned(),
        );
        return Ok(json!([{"name": "not named"}]));
    }
    let wrong = |name: &&String| name.trim().is_empty() || name.contains(['/', '\\']);
    if let Some(name) = options.authors.iter().find(wrong) {
        return Err(ProjectError::Usage(format!(
            "`--author {name}` cannot be: a name has letters and no slashes"
        )));
    }
    let authors = options
        .authors
        .iter()
        .map(|name| json!({"name": name.trim()}));
    Ok(authors.collect())
}

/// The papers of the network's parts.
fn cited(encoder: &str) -> Value {
    let unet = json!({
        "text": "Ronneberger et al. (2015), U-Net: Convolutional Networks for Biomedical Image \
                 Segmentation",
        "doi": "10.1007/978-3-319-24574-4_28",
    });
    let own = match encoder {
        "vgg16" => Some((
            "Simonyan & Zisserman (2015), Very Deep Convolutional Networks for Large-Scale Image \
             Recognition",
            "10.48550/arXiv.1409.1556",
        )),
        "mobilenet-v2" => Some((
            "Sandler et al. (2018), MobileNetV2: Inverted Residuals and Linear Bottlenecks",
            "10.48550/arXiv.1801.04381",
        )),
        "efficientnet-b4" => Some((
            "Tan & Le (2019), EfficientNet: Rethinking Model Scaling for Convolutional Neural \
             Networks",
            "10.48550/arXiv.1905.11946",
        )),
        _ => None,
    };
    let own = own.map(|(text, doi)| json!({"text": text, "doi": doi}));
    [Some(unet), own].into_iter().flatten().collect()
}

fn input_tensor(model: &Model, parts: &[Part]) -> Value {
    let planes = model.info.input.planes;
    let names: Vec<String> = match planes {
        1 => vec!["brightfield".to_owned()],
        n => (1..=n).map(|z| format!("brightfield_{z}")).collect(),
    };
    let size = json!({"min": least_side(&model.graph), "step": 1});
    json!({
        "id": INPUT,
        "description": shortened(&about_planes(&model.info.input)),
        "axes": axes(model, &names, |id| json!({"type": "space", "id": id, "size": size.clone()})),
        "test_tensor": file(parts, "test_input.npy"),
        "data": {"type": "float32"},
        // All else that happens to raw counts is in the network.
        "preprocessing": [{"id": "ensure_dtype", "kwargs": {"dtype": "float32"}}],
    })
}

fn output_tensor(model: &Model, output: &Output, parts: &[Part]) -> Value {
    let halo = halo(&model.graph);
    let side = |id: &str| {
        let size = json!({"tensor_id": INPUT, "axis_id": id});
        json!({"type": "space", "id": id, "size": size, "halo": halo})
    };
    let data = match output.name == CLASSES {
        true => json!({"type": "float32", "range": [0, 1]}),
        false => json!({"type": "float32"}),
    };
    json!({
        "id": identifier(&output.name),
        "description": shortened(&about(output, &model.info.classes)),
        "axes": axes(model, &channel_names(model, output), side),
        "test_tensor": file(parts, &format!("test_output.{}.npy", output.name)),
        "data": data,
    })
}

/// Batch, channels, rows and columns; pixels have their size where it is known.
fn axes(model: &Model, channels: &[String], side: impl Fn(&str) -> Value) -> Value {
    let sides = ["y", "x"].map(|id| {
        let mut side = side(id);
        if let Some(um) = model.info.pixel_um {
            side["scale"] = um.into();
            side["unit"] = "micrometer".into();
        }
        side
    });
    let before = [
        json!({"type": "batch"}),
        json!({"type": "channel", "channel_names": channels}),
    ];
    before.into_iter().chain(sides).collect()
}

/// What the channels of an output are called.
fn channel_names(model: &Model, output: &Output) -> Vec<String> {
    if output.name == CLASSES {
        let classes = model.info.classes.iter();
        return distinct(classes.map(|class| identifier(class)).collect());
    }
    let name = identifier(&output.name);
    match (output.values.is_vector(), output.channels) {
        (true, 2) => ["down", "right"]
            .map(|part| format!("{name}_{part}"))
            .into(),
        (_, 1) => vec![name],
        (_, n) => (1..=n).map(|i| format!("{name}_{i}")).collect(),
    }
}

/// Names of which those that came out alike are numbered, as no other one is.
fn distinct(names: Vec<String>) -> Vec<String> {
    let mut taken: Vec<String> = Vec::new();
    for (k, name) in names.iter().enumerate() {
        let is_free = |wanted: &String| {
            let is_others = names.contains(wanted) && wanted != name;
            !taken.contains(wanted) && !is_others
        };
        let numbered = (2..names.len() + k + 3).map(|number| format!("{name}_{number}"));
        let mut wanted = std::iter::once(name.clone()).chain(numbered);
        // More numbers than names: one is free.
        taken.push(wanted.find(is_free).unwrap_or_default());
    }
    taken
}

/// The name as the format's identifiers are: small letters, digits and `_`, a letter first.
fn identifier(name: &str) -> String {
    let plain = |c: char| match c.to_ascii_lowercase() {
        c if c.is_ascii_alphanumeric() => c,
        _ => '_',
    };
    let name: String = name.chars().map(plain).collect();
    match name.starts_with(|c: char| c.is_ascii_lowercase()) {
        true => name,
        false => format!("n{name}"),
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(LONGEST_ABOUT).collect()
}

/// A file of the package with its hash.
fn file(parts: &[Part], name: &str) -> Value {
    let part = parts.iter().find(|part| part.name == name);
    json!({"source": name, "sha256": part.map(|part| sha256(&part.bytes))})
}
