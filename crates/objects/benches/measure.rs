//! Time of `measure` by property family: 1,500 nuclei in a field of 2160 x 2160 with five 16-bit
//! channels.
//!
//! `cargo bench -p stainfree-objects --bench measure -- [--repeat N]`
//!
//! Wall seconds on one thread, the fastest repeat. Columns that a setting adds show in the
//! difference between lines.

use std::time::Instant;

use stainfree_image::{Image, Plane};
use stainfree_objects::expand_labels;
use stainfree_objects::measure::{
    Background, FieldImages, MeasurePlan, MeasureSettings, TextureSettings,
};

const SIDE: usize = 2160;
const NUCLEI: usize = 1500;

/// Ellipses on a jittered grid, some of them touching.
fn nuclei() -> Image<u32> {
    let columns = (NUCLEI as f64).sqrt().ceil() as usize;
    let step = SIDE / columns;
    Image::from_fn(SIDE, SIDE, |y, x| {
        let (row, column) = ((y / step).min(columns - 1), (x / step).min(columns - 1));
        let number = row * columns + column;
        let jitter = |k: usize| ((number * k) % 17) as f64 - 8.0;
        let (dy, dx) = (
            y as f64 - (row * step + step / 2) as f64 - jitter(7),
            x as f64 - (column * step + step / 2) as f64 - jitter(11),
        );
        let inside = (dy / (16.0 + jitter(3) / 2.0)).hypot(dx / (13.0 + jitter(5) / 4.0)) < 1.0;
        if inside && number < NUCLEI {
            number as u32 + 1
        } else {
            0
        }
    })
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let place = arguments.iter().position(|argument| argument == "--repeat");
    let repeat = place
        .and_then(|i| arguments.get(i + 1)?.parse().ok())
        .unwrap_or(5);
    let objects = nuclei();
    let cells = expand_labels(&objects, 8.0);
    let mut state = 1u32;
    let planes: Vec<Option<Plane>> = (0..5)
        .map(|_| {
            let stain = objects.map(|&label| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let level = if label == 0 { 300 } else { 2000 + label % 1000 };
                (level + (state >> 23)) as u16
            });
            Some(Plane::U16(stain))
        })
        .collect();
    let channels: Vec<String> = (1..=5).map(|c| format!("c{c}")).collect();
    let plain = MeasureSettings {
        ring: None,
        ..MeasureSettings::default()
    };
    let texture = Some(TextureSettings::default());
    let around = MeasureSettings {
        background: Background::Ring,
        ..MeasureSettings::default()
    };
    let lines = [
        ("shape alone", plain.clone(), 0, false),
        ("shape and one channel", plain.clone(), 1, false),
        ("shape and five channels", plain.clone(), 5, false),
        (
            "with texture",
            MeasureSettings { texture, ..plain },
            5,
            false,
        ),
        ("with rings", MeasureSettings::default(), 5, false),
        ("with rings as background", around, 5, false),
        (
            "with rings, cells, cytoplasm",
            MeasureSettings::default(),
            5,
            true,
        ),
    ];
    println!("{:<30} {:>8} {:>8}", "", "columns", "seconds");
    for (name, settings, count, with_cells) in lines {
        let plan = MeasurePlan::new(settings, &channels[..count], with_cells, true)
            .expect("settings in range");
        let images = FieldImages {
            objects: &objects,
            cells: with_cells.then_some(&cells),
            channels: &planes[..count],
            pixel_um: Some(0.5),
        };
        let mut fastest = f64::INFINITY;
        for _ in 0..repeat {
            let started = Instant::now();
            let measured = plan.measure(&images).expect("images of one size");
            assert_eq!(measured.labels.len(), NUCLEI);
            fastest = fastest.min(started.elapsed().as_secs_f64());
        }
        println!("{name:<30} {:>8} {fastest:>8.4}", plan.columns().len());
    }
}
