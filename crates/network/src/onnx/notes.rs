//! What an ONNX file says of itself, in sentences for people and in JSON for programs.

use super::OnnxOptions;
use crate::input::{
    CENTRE, ChannelOrder, InputSpec, LIMIT, Normalisation, OUTLIERS, SPREAD, STRETCHED, blur_half,
};
use crate::model::Model;
use crate::output::{CLASSES, Link, Output, Values};
use serde_json::json;

/// Keys and texts of the file's `metadata_props`.
pub fn notes(model: &Model, options: &OnnxOptions) -> Vec<(&'static str, String)> {
    let info = &model.info;
    let outputs = model.graph.outputs().iter().map(|output| {
        json!({
            "name": output.name,
            "channels": output.channels,
            "link": output.link.name(),
            "values": output.values.name(),
            "about": about(output, &info.classes),
        })
    });
    let outputs: Vec<serde_json::Value> = outputs.collect();
    let mut notes = vec![
        (
            "program",
            format!("stainfree {}", env!("CARGO_PKG_VERSION")),
        ),
        ("trained_by", info.program.clone()),
        ("model", model.hash()),
        ("classes", json!(info.classes).to_string()),
        ("outputs", json!(outputs).to_string()),
        ("input", planes(&info.input)),
        ("full_range", options.full_range.to_string()),
        ("normalisation", json!(info.input.normalisation).to_string()),
        ("preprocessing", json!(info.input.preprocessing).to_string()),
        ("in_the_file", input_sentences(model, options).join(" ")),
        ("multiple", model.graph.multiple().to_string()),
        ("outside_of_the_file", OUTSIDE.to_owned()),
    ];
    if let Some(um) = info.pixel_um {
        let rescaled = match info.recipe.rescale {
            true => "images of another pixel size are resampled to it before",
            false => "images of other pixel sizes are read as they are",
        };
        notes.push(("pixel_um", um.to_string()));
        notes.push(("other_pixel_sizes", rescaled.to_owned()));
    }
    notes
}

/// What a prediction does beside what the file does.
pub const OUTSIDE: &str = "\
    Stainfree also fills pixels that show nothing (rims and gaps of one value, no numbers) before \
    the planes are normalised, resamples images to the model's pixel size where its recipe says \
    so, and makes nuclei of the outputs.";

/// What the planes are.
pub fn planes(input: &InputSpec) -> String {
    let planes = match input.planes {
        1 => "one brightfield plane".to_owned(),
        n => format!("{n} brightfield planes in the order of their z"),
    };
    format!("{planes}, raw counts as they are stored in the image, as float32")
}

/// What an output's channels are.
pub fn about(output: &Output, classes: &[String]) -> String {
    if output.name == CLASSES {
        return format!("probabilities of the classes {}", classes.join(", "));
    }
    let link = match output.link {
        Link::Linear => "",
        Link::Sigmoid => ", between 0 and 1",
        Link::Softmax => ", which add up to 1",
    };
    let values = match output.values {
        Values::Scalar => "a number",
        Values::Length => "a length in pixels",
        Values::Direction => "a direction, its part down and its part to the right",
        Values::Displacement => "a way in pixels, its part down and its part to the right",
    };
    format!("{}: {values} for each pixel{link}", output.name)
}

/// What the file does before the network, in order.
pub fn input_sentences(model: &Model, options: &OnnxOptions) -> Vec<String> {
    let input = &model.info.input;
    let multiple = model.graph.multiple();
    let order = match input.preprocessing.order {
        ChannelOrder::Rgb => "in the order of the planes",
        ChannelOrder::Bgr => "in the reverse order of the planes",
    };
    let channels = match input.planes {
        1 => "The plane becomes three channels".to_owned(),
        _ => format!("The planes become three channels {order}"),
    };
    let [scale, mean, std] = [
        format!("{}", input.preprocessing.range),
        format!("{:?}", input.preprocessing.mean),
        format!("{:?}", input.preprocessing.std),
    ];
    vec![
        "Values that are no numbers count as 0.".to_owned(),
        normalisation(&input.normalisation, options.full_range),
        format!(
            "Each side is then mirrored (the edge is not repeated) up to the next multiple of \
             {multiple}, half of the surplus before the image (rounded down) and the rest behind, \
             and the outputs are cut back: sides may be of any length."
        ),
        format!("{channels}, each times {scale}, minus {mean}, divided by {std}."),
    ]
}

fn normalisation(normalisation: &Normalisation, full_range: f32) -> String {
    let each = "Each plane of each image is normalised by itself, over all of its pixels";
    match *normalisation {
        Normalisation::Paper => format!(
            "Counts are brought to 8 bits as round(255 x / {full_range}), cut to 0 to 255, and \
             divided by 255; {full_range} is the largest count of the images' format, which was \
             chosen when the file was written."
        ),
        Normalisation::Percentiles { low, high } => format!(
            "{each}: its {low} percentile becomes 0 and its {high} percentile 1 (linear \
             interpolation between ranks), cut to {} to {}.",
            STRETCHED[0], STRETCHED[1]
        ),
        Normalisation::Local { radius_px } => format!(
            "{each}: the background is taken away and divided by (three box means of {} pixels \
             along lines and columns, borders mirrored: a blur of {radius_px} pixels); the rest \
             is divided by the root of its mean square, magnitudes cut at their {OUTLIERS} \
             percentile for that, cut to -{LIMIT} to {LIMIT}, times {SPREAD}, plus {CENTRE}.",
            2 * blur_half(radius_px) + 1
        ),
    }
}
