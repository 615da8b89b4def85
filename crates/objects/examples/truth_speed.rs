//! Time and memory of the truth of one field with two stains, splitting included, as one JSON line.
//!
//! ```text
//! truth_speed NUCLEUS.tif CELL.tif PIXEL_UM [REPEAT [THREADS]]
//! ```
//! The minimum over the repeats. `bench/splitting/speed.py` runs it beside scikit-image.

use stainfree_image::Image;
use stainfree_objects::{ObjectsError, StainSettings, scheme_a, segment_cytoplasm, segment_nuclei};
use std::error::Error;
use std::fs::File;
use std::io::BufReader;
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [nucleus, cell, pixel_um, more @ ..] = &arguments[..] else {
        return Err("usage: truth_speed NUCLEUS.tif CELL.tif PIXEL_UM [REPEAT [THREADS]]".into());
    };
    let pixel_um: f64 = pixel_um.parse()?;
    let repeat: usize = more.first().map_or(Ok(5), |v| v.parse())?;
    let threads: usize = more.get(1).map_or(Ok(1), |v| v.parse())?;
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()?;
    // As in the program: one task reads and makes one field after the other.
    let line =
        pool.install(|| measured([nucleus, cell], pixel_um, repeat).map_err(|e| e.to_string()));
    println!("{}", line?);
    Ok(())
}

/// The JSON line for a field of two stains.
fn measured(paths: [&str; 2], pixel_um: f64, repeat: usize) -> Result<String, Box<dyn Error>> {
    let program = peak_bytes();
    let (nucleus, cell) = (read(paths[0])?, read(paths[1])?);
    let pixels = nucleus.data().len();
    let images = 2 * size_of::<f32>() * pixels;
    // From here on the peak is that of the work, not of the reading.
    std::fs::write("/proc/self/clear_refs", "5").ok();
    let (mut best, mut nuclei) = ([f64::INFINITY; 3], 0);
    let mut cpu = f64::INFINITY;
    for _ in 0..repeat {
        let started = cpu_seconds();
        let (seconds, count) = truth(&nucleus, &cell, pixel_um)?;
        cpu = cpu.min(cpu_seconds() - started);
        nuclei = count;
        for (b, s) in best.iter_mut().zip(seconds) {
            *b = b.min(s);
        }
    }
    let beyond = peak_bytes() as f64 - program as f64 - images as f64;
    let (threads, [nucleus, cytoplasm, all]) = (rayon::current_num_threads(), best);
    let bytes = beyond / pixels as f64;
    Ok(format!(
        "{{\"threads\": {threads}, \"nuclei\": {nuclei}, \"cpu_seconds\": {cpu:.4}, \
         \"seconds\": {all:.4}, \"nucleus_s\": {nucleus:.4}, \"cytoplasm_s\": {cytoplasm:.4}, \
         \"bytes_per_pixel\": {bytes:.1}}}"
    ))
}

/// Seconds of the nuclei, of the cytoplasm and of everything, and the number of nuclei.
fn truth(
    nucleus: &Image<f32>,
    cell: &Image<f32>,
    pixel_um: f64,
) -> Result<([f64; 3], usize), ObjectsError> {
    let start = Instant::now();
    // The cytoplasm first: no whole cells are grown here, so its smoothed stain goes before the
    // nuclei come.
    let cells = segment_cytoplasm(cell, Some(pixel_um), &StainSettings::cytoplasm())?;
    drop(cells.flat);
    let (cells, ignored) = (cells.mask, cells.ignore);
    let first = start.elapsed().as_secs_f64();
    let nuclei = segment_nuclei(nucleus, Some(pixel_um), &StainSettings::nuclei())?;
    let second = start.elapsed().as_secs_f64();
    let classes = scheme_a(&nuclei.mask, Some(&cells));
    std::hint::black_box((&classes, &ignored));
    Ok((
        [second - first, first, start.elapsed().as_secs_f64()],
        nuclei.count,
    ))
}

fn read(path: &str) -> Result<Image<f32>, Box<dyn Error>> {
    let mut decoder = tiff::decoder::Decoder::new(BufReader::new(File::open(path)?))?;
    let (width, height) = decoder.dimensions()?;
    let tiff::decoder::DecodingResult::U16(values) = decoder.read_image()? else {
        return Err(format!("{path}: not 16 bit").into());
    };
    let values = values.into_iter().map(f32::from).collect();
    Ok(Image::new(height as usize, width as usize, values))
}

/// CPU time of all threads of this process so far; 0 where the system does not tell (`/proc`).
fn cpu_seconds() -> f64 {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten();
    // Nanoseconds on a processor come first.
    let of_thread = |thread: std::io::Result<std::fs::DirEntry>| {
        let times = std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        times.split_whitespace().next()?.parse::<f64>().ok()
    };
    threads.filter_map(of_thread).sum::<f64>() / 1e9
}

/// The most memory this process has had, in bytes; 0 where the system does not tell (`/proc`).
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    let number = line.and_then(|l| l.trim().trim_end_matches(" kB").parse::<u64>().ok());
    number.unwrap_or(0) * 1024
}
