//! Truth from the stains of simulated plates against what is really there.
//!
//! ```text
//! cargo run --release -p stainfree-project --example truth_simulated [-- SEED [KEEP_IN]]
//! ```
//! Two plates (clean, `hard`) of 2 wells x 2 fields of 1024 x 1024 pixels, 70 % confluent, stains
//! shifted, of SEED (78 if none is given); each is simulated, made a study and prepared as a user
//! would, once with the ignore band and once without. KEEP_IN keeps the studies to be looked at.
//! `docs/truth.md` has the results.

mod simulated;

use std::path::Path;

use simulated::{Failure, Mitotic, plate, prepared, reviewed, word, write};
use stainfree_image::{Image, read_class_mask, read_labels, read_plane};
use stainfree_project::Study;
use stainfree_scores::{match_labels, pixel_counts};
use stainfree_specimen::{Degrade, PlateSpec, stain_light};

fn main() -> Result<(), Failure> {
    let scratch = tempfile::tempdir()?;
    let mut words = std::env::args().skip(1);
    let seed = words.next().map_or(Ok(78), |seed| seed.parse())?;
    let keep = words.next();
    let root = keep.as_deref().map_or(scratch.path(), Path::new);
    println!(
        "| plate | nucleus F1 | cytoplasm F1 | ignored | cells of IoU above 0.5 | mitotic: \
         precision, recall | light: correlation, rms error |"
    );
    println!("|---|---|---|---|---|---|---|");
    for degrade in [Degrade::Clean, Degrade::Hard] {
        let spec = plate(seed, degrade);
        let name = word(degrade);
        let folder = root.join(name);
        write(&spec, &folder)?;
        for (kind, width, remark) in [("band", "1.0", ""), ("all", "0.0", ", nothing ignored")] {
            let band = |text: String| {
                text.replace(
                    "ignore_width_px = 1.0",
                    &format!("ignore_width_px = {width}"),
                )
            };
            let study = prepared(&folder, &root.join(format!("{name}-{kind}")), band)?;
            report(&format!("{name}{remark}"), &study, &folder, &spec)?;
        }
    }
    Ok(())
}

/// Prints the line of one study.
fn report(name: &str, study: &Study, plate: &Path, spec: &PlateSpec) -> Result<(), Failure> {
    let exact = plate.join("truth");
    let mut pixels = [[0u64; 3]; 3];
    let (mut ignored, mut all) = (0usize, 0usize);
    let (mut found, mut cells) = (0usize, 0usize);
    for row in study.fields()? {
        let file = format!("{}.tif", row.name);
        // Mitotic nuclei are nuclei here.
        let made = read_class_mask(&study.class_mask_path(&row.name))?;
        let made = made.map(|&v| if v == 3 { 1 } else { v });
        let is = read_class_mask(&exact.join("classes").join(&file))?;
        ignored += made.data().iter().filter(|&&v| v == 255).count();
        all += made.data().len();
        // The made truth is the first: its ignored pixels count nowhere. F1 is the same both ways.
        let counts = pixel_counts(&made, &is, 3)?;
        for (class, sum) in pixels.iter_mut().enumerate() {
            let c = counts.classes[class];
            *sum = [sum[0] + c.tp, sum[1] + c.fp, sum[2] + c.fn_];
        }
        let nuclei = read_labels(&exact.join("nuclei").join(&file))?;
        // Cells whose nucleus is in the field: others cannot be grown.
        let largest = nuclei.data().iter().copied().max().unwrap_or(0);
        let is = read_labels(&exact.join("cells").join(&file))?
            .map(|&l| if l <= largest { l } else { 0 });
        let matches = match_labels(&is, &read_labels(&study.cells_path(&row.name))?)?;
        found += matches.at[0].tp as usize;
        cells += largest as usize;
    }
    let f1 = |[tp, fp, fn_]: [u64; 3]| 2.0 * tp as f64 / (2 * tp + fp + fn_).max(1) as f64;
    let lights: Vec<String> = ["nucleus", "cytoplasm"]
        .iter()
        .zip(stain_light(spec))
        .map(|(stain, light)| light_error(study, stain, &light))
        .collect::<Result<_, _>>()?;
    let mitotic = Mitotic::of(&reviewed(study, plate)?);
    let mitotic = format!(
        "{:.2}, {:.2} of {}",
        mitotic.precision(),
        mitotic.recall(),
        mitotic.all
    );
    println!(
        "| {name} | {:.3} | {:.3} | {:.1} % | {:.3} | {} | {} |",
        f1(pixels[1]),
        f1(pixels[2]),
        100.0 * ignored as f64 / all as f64,
        found as f64 / cells.max(1) as f64,
        mitotic,
        lights.join("; ")
    );
    Ok(())
}

/// Correlation and rms difference of the estimated and the true light, each with mean 1.
fn light_error(study: &Study, stain: &str, light: &Image<f32>) -> Result<String, Failure> {
    let folder = study.root().join("truth").join("illumination");
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let ours = path
            .file_stem()
            .is_some_and(|stem| stem.to_string_lossy().ends_with(stain));
        if !ours {
            continue;
        }
        let found = read_plane(&path, 0)?.to_f32();
        let n = light.data().len() as f64;
        let mean = light.data().iter().map(|&v| f64::from(v)).sum::<f64>() / n;
        let (mut aa, mut bb, mut ab, mut dd) = (0.0, 0.0, 0.0, 0.0);
        for (&f, &l) in found.data().iter().zip(light.data()) {
            let (a, b) = (f64::from(f) - 1.0, f64::from(l) / mean - 1.0);
            aa += a * a;
            bb += b * b;
            ab += a * b;
            dd += (a - b) * (a - b);
        }
        return Ok(format!(
            "{stain} {:.3}, {:.3} of {:.3}",
            ab / (aa * bb).sqrt(),
            (dd / n).sqrt(),
            (bb / n).sqrt()
        ));
    }
    Ok(format!("{stain} none"))
}
