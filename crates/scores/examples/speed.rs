//! Times the scores of one crowded field: `cargo run --release -p stainfree-scores --example speed`.

use std::time::Instant;

use stainfree_image::Image;
use stainfree_scores::{BootstrapOptions, FieldScores, match_labels, pixel_counts, summarise};

/// Side of a full field, and of the grid cell around each object: 72 x 72 = 5,184 objects.
const SIDE: usize = 2160;
const CELL: usize = 30;

/// Touching round objects, moved by `shift` pixels.
fn labels(shift: usize) -> Image<u32> {
    Image::from_fn(SIDE, SIDE, |y, x| {
        let (y, x) = (y + shift, x + 2 * shift);
        let (dy, dx) = (y % CELL, x % CELL);
        let inside = dy.abs_diff(CELL / 2).pow(2) + dx.abs_diff(CELL / 2).pow(2) < 16 * 16;
        if inside {
            (y / CELL * (SIDE / CELL + 1) + x / CELL + 1) as u32
        } else {
            0
        }
    })
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (truth, prediction) = (labels(0), labels(3));
    let mut best = f64::INFINITY;
    let mut objects = match_labels(&truth, &prediction)?;
    for _ in 0..5 {
        let start = Instant::now();
        objects = match_labels(&truth, &prediction)?;
        best = best.min(start.elapsed().as_secs_f64());
    }
    println!(
        "{} x {} objects matched in {:.1} ms",
        objects.truth,
        objects.prediction,
        1e3 * best
    );

    let class = |labels: &Image<u32>| labels.map(|&label| u8::from(label > 0));
    let (t, p) = (class(&truth), class(&prediction));
    let start = Instant::now();
    let pixels = pixel_counts(&t, &p, 2)?;
    println!(
        "{} pixels counted in {:.1} ms",
        pixels.kept,
        1e3 * start.elapsed().as_secs_f64()
    );

    let field = |i: usize| FieldScores {
        name: i.to_string(),
        group: Some((i / 2).to_string()),
        pixels: Some(pixels.clone()),
        objects: Some(objects.clone()),
        ..Default::default()
    };
    let fields: Vec<FieldScores> = (0..192).map(field).collect();
    let start = Instant::now();
    let names = ["background".to_owned(), "nucleus".to_owned()];
    let scores = summarise(&fields, &names, &BootstrapOptions::default())?;
    println!(
        "{} fields, {} units summarised in {:.1} ms",
        scores.images,
        scores.intervals.units,
        1e3 * start.elapsed().as_secs_f64()
    );
    Ok(())
}
