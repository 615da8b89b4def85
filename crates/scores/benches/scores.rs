//! Speed of the scores on one crowded field of 5,184 touching nuclei: `cargo bench -p
//! stainfree-scores`.
//!
//! The prediction is moved, some nuclei are fused with a neighbour and some cut in two,
//! so that found, missed and false cuts all occur. Each line is the fastest of several runs.

use std::error::Error;
use std::time::Instant;

use stainfree_image::Image;
use stainfree_scores::{BootstrapOptions, FieldScores, Matching, pixel_counts, summarise};

/// Side of a full field, and of the grid cell around each nucleus: 72 x 72 = 5,184 nuclei.
const SIDE: usize = 2160;
const CELL: usize = 30;

/// Round nuclei that touch all their neighbours, moved by `shift` pixels.
fn nuclei(shift: usize) -> Image<u32> {
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

/// Every 17th nucleus fused with the one before, every 19th cut in two.
fn predicted(labels: &Image<u32>) -> Image<u32> {
    let largest = labels.data().iter().max().copied().unwrap_or(0);
    Image::from_fn(SIDE, SIDE, |y, x| match labels.get(y, x) {
        0 => 0,
        label if label % 17 == 0 => label - 1,
        label if label % 19 == 0 && y % CELL < CELL / 2 => label + largest,
        label => label,
    })
}

fn timed<T>(what: &str, mut work: impl FnMut() -> T) -> T {
    let mut best = f64::INFINITY;
    let mut result = None;
    for _ in 0..9 {
        let start = Instant::now();
        result = Some(work());
        best = best.min(start.elapsed().as_secs_f64());
    }
    println!("{what:<42} {:8.1} ms", 1e3 * best);
    result.expect("nine runs were made")
}

fn main() -> Result<(), Box<dyn Error>> {
    let truth = nuclei(0);
    let prediction = predicted(&nuclei(2));
    let matching = timed("overlap table", || Matching::new(&truth, &prediction, None))?;
    let objects = timed("matching at ten thresholds, PQ, AJI, AJI+", || {
        matching.objects()
    });
    let splitting = timed("splitting", || matching.splitting(Some(0.65)));
    timed("all three", || -> Result<_, Box<dyn Error>> {
        let matching = Matching::new(&truth, &prediction, None)?;
        Ok((matching.objects(), matching.splitting(Some(0.65))))
    })?;
    let class = |labels: &Image<u32>| labels.map(|&label| u8::from(label > 0));
    let (t, p) = (class(&truth), class(&prediction));
    let pixels = timed("pixel counts", || pixel_counts(&t, &p, 2))?;
    let field = |i: usize| FieldScores {
        name: i.to_string(),
        group: Some((i / 2).to_string()),
        pixels: Some(pixels.clone()),
        objects: Some(objects.clone()),
        splitting: Some(splitting),
        ..Default::default()
    };
    let fields: Vec<FieldScores> = (0..192).map(field).collect();
    let names = ["background".to_owned(), "nucleus".to_owned()];
    timed("192 fields in 96 groups summarised", || {
        summarise(&fields, &names, &BootstrapOptions::default())
    })?;
    println!(
        "{SIDE} x {SIDE} px, {} true and {} predicted nuclei; {} joined pairs, {} found, {} \
         missed; {} false cuts",
        objects.truth,
        objects.prediction,
        splitting.pairs,
        splitting.found,
        splitting.missed,
        splitting.false_cuts
    );
    Ok(())
}
