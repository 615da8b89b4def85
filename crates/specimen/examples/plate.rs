//! Writes a small plate: `cargo run --release -p stainfree-specimen --example plate -- OUT [SIDE]`.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use stainfree_specimen::{PlateSpec, write_plate};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let out = arguments.first().ok_or("name an output folder")?;
    let side = arguments.get(1).map_or(Ok(512), |text| text.parse())?;
    let spec = PlateSpec {
        wells: 2,
        sites: 2,
        side,
        ..PlateSpec::default()
    };
    let summary = write_plate(
        &spec,
        Path::new(out),
        &AtomicBool::new(false),
        &mut |done, total| {
            println!("{done} of {total} fields");
        },
    )?;
    println!("{summary:?}");
    Ok(())
}
