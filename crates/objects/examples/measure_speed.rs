//! Time of measuring one field that is in memory already, on one thread.
//!
//! `cargo run --release -p stainfree-objects --example measure_speed -- REPEAT LABELS IMAGE..`
//!
//! Prints a line of JSON: CPU seconds (the fastest repeat; wall seconds where the system does not
//! tell) for the columns of plain labels and for all parts of the cell. `bench/measure/compare.py`
//! runs it beside scikit-image on the same files.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use stainfree_image::{Plane, read_labels, read_plane};
use stainfree_objects::expand_labels;
use stainfree_objects::measure::{FieldImages, MeasurePlan, MeasureSettings, TextureSettings};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [repeat, labels, images @ ..] = &arguments[..] else {
        return Err("give REPEAT LABELS IMAGE..".into());
    };
    let repeat: usize = repeat.parse()?;
    let objects = read_labels(Path::new(labels))?;
    let planes: Result<Vec<Option<Plane>>, _> = images
        .iter()
        .map(|path| read_plane(Path::new(path), 0).map(Some))
        .collect();
    let planes = planes?;
    let names: Vec<String> = (1..=planes.len()).map(|c| format!("c{c}")).collect();
    let cells = expand_labels(&objects, 8.0);
    let plain = MeasureSettings {
        ring: None,
        ..MeasureSettings::default()
    };
    let texture = MeasureSettings {
        texture: Some(TextureSettings::default()),
        ..plain.clone()
    };
    let mut line = Vec::new();
    for (name, settings, with_cells) in [
        ("labels", plain, false),
        ("labels_with_texture", texture, false),
        ("ring_cell_cytoplasm", MeasureSettings::default(), true),
    ] {
        let plan = MeasurePlan::new(settings, &names, with_cells, true)?;
        let images = FieldImages {
            objects: &objects,
            cells: with_cells.then_some(&cells),
            channels: &planes,
            pixel_um: Some(0.5),
        };
        let mut fastest = f64::INFINITY;
        let mut rows = 0;
        for _ in 0..repeat {
            let clock = Clock::start();
            rows = plan.measure(&images)?.labels.len();
            fastest = fastest.min(clock.seconds());
        }
        line.push(format!(
            "\"{name}\": {{\"seconds\": {fastest:.5}, \"objects\": {rows}, \"columns\": {}}}",
            plan.columns().len()
        ));
    }
    println!("{{{}}}", line.join(", "));
    Ok(())
}

/// CPU time of this thread, which does not grow when other programs run beside it.
struct Clock {
    wall: Instant,
    cpu_ns: Option<u64>,
}

impl Clock {
    fn start() -> Self {
        Self {
            wall: Instant::now(),
            cpu_ns: cpu_ns(),
        }
    }

    fn seconds(&self) -> f64 {
        match (self.cpu_ns, cpu_ns()) {
            (Some(start), Some(end)) => (end - start) as f64 / 1e9,
            _ => self.wall.elapsed().as_secs_f64(),
        }
    }
}

/// Nanoseconds that this thread has run, as Linux counts them.
fn cpu_ns() -> Option<u64> {
    let facts = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    facts.split_whitespace().next()?.parse().ok()
}
