//! Nuclei of one image: `predict_image MODEL IMAGE LABELS.tif [PIXEL_UM]`.

use std::error::Error;
use std::path::Path;

use stainfree_image::{read_info, read_plane, write};
use stainfree_inference::{Options, Predictor};
use stainfree_network::Machine;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (model, image, labels, pixel_um) = match &arguments[..] {
        [model, image, labels] => (model, Path::new(image), labels, None),
        [model, image, labels, um] => (model, Path::new(image), labels, Some(um.parse::<f64>()?)),
        _ => return Err("usage: predict_image MODEL IMAGE LABELS.tif [PIXEL_UM]".into()),
    };
    let threads = std::thread::available_parallelism()?.get();
    let mut predictor =
        Predictor::open(model.as_ref(), &Machine::new(threads), &Options::default())?;
    // A file states its pixel size, or not.
    let pixel_um = pixel_um.or(read_info(image)?.pixel_um);
    let found = predictor.predict(&[read_plane(image, 0)?], pixel_um)?;
    for remark in &found.remarks {
        eprintln!("{}", remark.sentence("the image"));
    }
    let note = write::Note {
        text: format!("nuclei, model {}", predictor.hash()),
        pixel_um,
    };
    write::labels(labels.as_ref(), &found.labels, &note)?;
    println!("{} nuclei", found.count);
    Ok(())
}
