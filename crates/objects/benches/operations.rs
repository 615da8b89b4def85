//! Time of the operations that truth is made of, on a field of 2160 x 2160.
//!
//! `cargo bench -p stainfree-objects --bench operations -- [--repeat N]`
//!
//! Wall milliseconds on one thread and on all, the fastest repeat. The whole truth beside
//! scikit-image: `bench/splitting/speed.py`.

use stainfree_image::Image;
use stainfree_objects::threshold::{ground, li, otsu, otsu_log};
use stainfree_objects::*;
use std::hint::black_box;
use std::time::Instant;

const SIDE: usize = 2160;

/// Nuclei as bells on a jittered grid, some of them touching, with noise of a few counts.
fn stain() -> Image<f32> {
    const STEP: usize = 56;
    let mut state = 1u32;
    let noise = Image::from_fn(SIDE, SIDE, |_, _| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 26) as f32
    });
    Image::from_fn(SIDE, SIDE, |y, x| {
        let number = (y / STEP) * (SIDE / STEP + 1) + x / STEP;
        let jitter = |k: usize| ((number * k) % 19) as f32 - 9.0;
        let dy = (y % STEP) as f32 - 28.0 - jitter(7);
        let dx = (x % STEP) as f32 - 28.0 - jitter(11);
        let far = (dy / 14.0).hypot(dx / 17.0);
        300.0 + 2000.0 / (1.0 + far.powi(8)) + noise.get(y, x)
    })
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let place = arguments.iter().position(|argument| argument == "--repeat");
    let repeat = place
        .and_then(|i| arguments.get(i + 1)?.parse().ok())
        .unwrap_or(5);
    let image = stain();
    let flat = subtract_background(gaussian(&image, 1.0), 100.0);
    let mask = flat.map(|&v| v > 900.0);
    let labels = label(&mask, Connectivity::Four).image;
    let depth = gaussian(&edt(&mask), 1.0);
    let seeds = label(
        &h_maxima(&depth, 0.5, Connectivity::Eight),
        Connectivity::Eight,
    )
    .image;
    let surface = depth.map(|&d| -d);
    let lowered = flat.map(|&v| v - 100.0);
    let four = Connectivity::Four;
    let disk = Footprint::Disk(2);
    let scene = Scene {
        stain: Some(&flat),
        ..Scene::of_mask(&mask, 0.5)
    };
    let nuclei = StainSettings::nuclei();
    let cells = StainSettings::cytoplasm();
    type Work<'a> = Box<dyn Fn() + Sync + 'a>;
    fn work<'a, T>(f: impl Fn() -> T + Sync + 'a) -> Work<'a> {
        Box::new(move || {
            black_box(f());
        })
    }
    let mut lines: Vec<(String, Work)> = vec![
        ("gaussian, 1 px".into(), work(|| gaussian(&image, 1.0))),
        ("gaussian, 5 px".into(), work(|| gaussian(&image, 5.0))),
        ("box mean".into(), work(|| box_mean(&image, 15))),
        ("background".into(), work(|| background(&image, 100.0))),
        ("noise level".into(), work(|| noise_level(&image))),
        ("otsu".into(), work(|| otsu(flat.data(), 1024))),
        (
            "otsu-log".into(),
            work(|| otsu_log(flat.data(), 10.0, 1024)),
        ),
        ("li".into(), work(|| li(flat.data()))),
        ("ground".into(), work(|| ground(flat.data()))),
        ("fill holes".into(), work(|| fill_holes(&mask))),
        (
            "drop small objects".into(),
            work(|| remove_small_objects(&mask, 50, four)),
        ),
        ("closing, disk of 2 px".into(), work(|| close(&mask, disk))),
        ("components".into(), work(|| label(&mask, four))),
        ("distance transform".into(), work(|| edt(&mask))),
        (
            "reconstruction".into(),
            work(|| reconstruct(&lowered, &flat, four)),
        ),
        ("h-maxima".into(), work(|| h_maxima(&depth, 0.5, four))),
        (
            "watershed".into(),
            work(|| watershed(&surface, &seeds, &mask, four)),
        ),
        (
            "inner boundaries".into(),
            work(|| inner_boundaries(&labels, four)),
        ),
        (
            "truth of nuclei".into(),
            work(|| segment_nuclei(&image, Some(0.5), &nuclei)),
        ),
        (
            "truth of cytoplasm".into(),
            work(|| segment_cytoplasm(&image, Some(0.5), &cells)),
        ),
    ];
    for method in Splitting::all().filter(|m| m.reads().is_none()) {
        lines.push((
            format!("splitting: {method}"),
            work(move || split(&scene, &method)),
        ));
    }
    let pools = [1, 0].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        pool.build().expect("threads")
    });
    println!("{:<24} {:>12} {:>12}", "", "1 thread, ms", "all, ms");
    for (name, work) in lines {
        let fastest = pools.each_ref().map(|pool| {
            let once = || {
                let started = Instant::now();
                pool.install(&work);
                started.elapsed().as_secs_f64() * 1e3
            };
            (0..repeat).map(|_| once()).fold(f64::INFINITY, f64::min)
        });
        println!("{name:<24} {:>12.2} {:>12.2}", fastest[0], fastest[1]);
    }
}
