//! Simulates one field, says how long it took, and writes what it looks like.
//!
//! `cargo run --release -p stainfree-specimen --example field -- OUT [SIDE [SEED [CONFLUENCE
//! [hard]]]]` writes `OUT/bf_0.png` .. `bf_2.png`, `nuclear.png`, `cytoplasmic.png` and
//! `classes.png` (8-bit, stretched from the 0.3rd to the 99.7th percentile).

use std::path::Path;
use std::time::Instant;

use stainfree_image::Image;
use stainfree_specimen::{Degrade, PlateSpec, simulate_field};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let out = Path::new(arguments.first().ok_or("name an output folder")?);
    std::fs::create_dir_all(out)?;
    let number = |i: usize, default: f64| -> Result<f64, std::num::ParseFloatError> {
        arguments.get(i).map_or(Ok(default), |text| text.parse())
    };
    let spec = PlateSpec {
        side: number(1, 2160.0)? as usize,
        seed: number(2, 1.0)? as u64,
        confluence: number(3, 0.65)?,
        degrade: arguments
            .get(4)
            .map_or(Ok(Degrade::Clean), |text| text.parse())?,
        ..PlateSpec::default()
    };
    let start = Instant::now();
    let field = simulate_field(&spec, 0, 0)?;
    println!(
        "{:.2} s for {} x {} pixels",
        start.elapsed().as_secs_f64(),
        spec.side,
        spec.side
    );
    println!(
        "{} cells, focal planes {:.2?} um",
        field.truth.records.len(),
        field.defocus_um
    );
    for (i, plane) in field.brightfield.iter().enumerate() {
        save(&out.join(format!("bf_{i}.png")), plane)?;
    }
    for (name, plane) in [
        ("nuclear", &field.nuclear),
        ("cytoplasmic", &field.cytoplasmic),
    ] {
        if let Some(plane) = plane {
            save(&out.join(format!("{name}.png")), plane)?;
        }
    }
    let classes = field
        .truth
        .classes
        .map(|&class| [0u16, 2, 1][class as usize]);
    save(&out.join("classes.png"), &classes)?;
    Ok(())
}

/// Writes an image as 8-bit PNG, stretched between percentiles, and prints its statistics.
fn save(path: &Path, image: &Image<u16>) -> Result<(), Box<dyn std::error::Error>> {
    let mut sorted = image.data().to_vec();
    sorted.sort_unstable();
    let at = |share: f64| f64::from(sorted[((sorted.len() - 1) as f64 * share) as usize]);
    let (low, high) = (at(0.003), at(0.997).max(at(0.003) + 1.0));
    let n = sorted.len() as f64;
    let mean = sorted.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
    let sd = (sorted
        .iter()
        .map(|&v| (f64::from(v) - mean).powi(2))
        .sum::<f64>()
        / n)
        .sqrt();
    println!(
        "{}: min {} median {} max {}, sd / mean {:.4}",
        path.display(),
        at(0.0),
        at(0.5),
        at(1.0),
        sd / mean
    );
    let grey =
        image.map(|&v| ((f64::from(v) - low) / (high - low) * 255.0).clamp(0.0, 255.0) as u8);
    let (height, width) = grey.size();
    let picture = image::GrayImage::from_raw(width as u32, height as u32, grey.into_data())
        .ok_or("picture size")?;
    picture.save(path)?;
    Ok(())
}
