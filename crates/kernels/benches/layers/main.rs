//! Speed of every layer shape of U-Net/VGG16, and of EfficientNet-B4's (`direct`), beside what the
//! processor could do.
//!
//! `cargo bench -p stainfree-kernels -- [--side PX] [--threads N] [--precision f32|bf16] [--batch
//! N] [--tile 4|6]`
//!
//! GFLOP/s count the work of a direct convolution (2 x multiply-adds), so Winograd's may lie above
//! the peak. The roofline: "products" is the share of the time that its own multiplications would
//! take at peak, "memory" the share that reading its inputs and filters and writing its outputs
//! once would take at the bandwidth of a copy. What is left of the time goes into transforms, and
//! into products and memory that do not overlap.

mod direct;

use stainfree_kernels::activation::Activation;
use stainfree_kernels::adam::{self, AdamNumbers};
use stainfree_kernels::batch_norm;
use stainfree_kernels::blocked::{Rows, blocks};
use stainfree_kernels::epilogue::{Epilogue, Sink};
use stainfree_kernels::link::{Link, Planes, write_linked};
use stainfree_kernels::winograd::{GradientScratch, Part, TileSize, Winograd};
use stainfree_kernels::{
    Blocked, Buffer, Isa, LANES, Precision, Workers, elementwise, max_pool, peak,
};
use std::time::Instant;

/// A convolution of the network: `2^level` times smaller than the image, parts (channels,
/// up-sampled), outputs.
struct Shape {
    level: usize,
    parts: &'static [(usize, bool)],
    outputs: usize,
}

const fn shape(level: usize, parts: &'static [(usize, bool)], outputs: usize) -> Shape {
    Shape {
        level,
        parts,
        outputs,
    }
}

/// Every different convolution of U-Net/VGG16 with 3 classes but the first, which is one of
/// `direct`.
const SHAPES: [Shape; 20] = [
    shape(0, &[(64, false)], 64),
    shape(1, &[(64, false)], 128),
    shape(1, &[(128, false)], 128),
    shape(2, &[(128, false)], 256),
    shape(2, &[(256, false)], 256),
    shape(3, &[(256, false)], 512),
    shape(3, &[(512, false)], 512),
    shape(4, &[(512, false)], 512),
    shape(5, &[(512, false)], 512),
    shape(4, &[(512, true), (512, false)], 256),
    shape(4, &[(256, false)], 256),
    shape(3, &[(256, true), (512, false)], 128),
    shape(3, &[(128, false)], 128),
    shape(2, &[(128, true), (256, false)], 64),
    shape(2, &[(64, false)], 64),
    shape(1, &[(64, true), (128, false)], 32),
    shape(1, &[(32, false)], 32),
    shape(0, &[(32, true)], 16),
    shape(0, &[(16, false)], 16),
    shape(0, &[(16, false)], 3),
];

struct Options {
    side: usize,
    batch: usize,
    threads: usize,
    precision: Precision,
    /// Tiles of forward passes and input gradients.
    tile: TileSize,
}

impl Options {
    fn from_arguments() -> Result<Self, String> {
        let mut options = Self {
            side: 640,
            batch: 1,
            threads: 1,
            precision: Precision::F32,
            tile: TileSize::Four,
        };
        // Cargo itself passes `--bench`.
        let mut arguments = std::env::args().skip(1).filter(|a| a != "--bench");
        while let Some(flag) = arguments.next() {
            let value = arguments.next().ok_or(format!("`{flag}` has no value"))?;
            let number = || value.parse().map_err(|_| format!("`{value}` is no number"));
            match flag.as_str() {
                "--side" => options.side = number()?,
                "--batch" => options.batch = number()?,
                "--tile" => {
                    options.tile = [TileSize::Four, TileSize::Six]
                        .into_iter()
                        .find(|tile| tile.side().to_string() == value)
                        .ok_or(format!("`{value}` is no tile"))?;
                }
                "--threads" => options.threads = number()?,
                "--precision" => {
                    options.precision =
                        Precision::parse(&value).ok_or(format!("`{value}` is no precision"))?;
                }
                _ => return Err(format!("`{flag}` is not known")),
            }
        }
        let fits = options.side > 0 && options.side.is_multiple_of(32) && options.batch > 0;
        fits.then_some(options)
            .ok_or("the side must be a multiple of 32".to_owned())
    }
}

fn main() -> Result<(), String> {
    let options = Options::from_arguments()?;
    let isa = Isa::choose(options.precision)?;
    let workers = Workers::new(options.threads);
    let roof = Roof {
        gflops: peak::gflops(isa, options.threads),
        gigabytes: copy_bandwidth(&workers),
    };
    println!(
        "{} {}, {} threads, peak {:.0} GFLOP/s, copy {:.0} GB/s; image {side} x {side}, batch {}\n",
        isa.name(),
        options.precision.name(),
        options.threads,
        roof.gflops,
        roof.gigabytes,
        options.batch,
        side = options.side
    );
    println!(
        "{:<26} {:>5} {:<16} {:>9} {:>9} {:>7} {:>9} {:>7}",
        "convolution", "side", "kernel", "ms", "GFLOP/s", "of peak", "products", "memory"
    );
    let mut totals = [0.0; 3];
    for shape in &SHAPES {
        convolution(&options, isa, &workers, &roof, shape, &mut totals);
    }
    let sum = |name: &str, seconds: f64| println!("{name:<26} {:>32.2} ms", seconds * 1e3);
    println!();
    sum("forward, once each", totals[0]);
    sum("input gradient", totals[1]);
    sum("weight gradient", totals[2]);
    direct::convolutions(&options, isa, &workers, &roof);
    passes(&options, isa, &workers);
    Ok(())
}

/// What bounds every kernel.
struct Roof {
    /// Multiply-adds between registers, counted twice.
    gflops: f64,
    /// Bytes read plus bytes written by a copy that no cache holds, in GB/s.
    gigabytes: f64,
}

fn copy_bandwidth(workers: &Workers) -> f64 {
    const CHUNK: usize = 1 << 16;
    let from = filled(64 << 20);
    let mut to = vec![0.0f32; from.len()];
    let seconds = fastest(|| {
        let chunks: Vec<_> = to.chunks_mut(CHUNK).map(std::sync::Mutex::new).collect();
        workers.for_each(chunks.len(), |i| {
            let mut chunk = chunks[i].lock().expect("no chunk is poisoned");
            chunk.copy_from_slice(&from[i * CHUNK..][..CHUNK]);
        });
    });
    2.0 * size_of_val(&from[..]) as f64 / seconds / 1e9
}

/// Seconds of the fastest of at least 5 runs, going on for a fifth of a second.
fn fastest(mut work: impl FnMut()) -> f64 {
    work();
    let (begun, mut best) = (Instant::now(), f64::INFINITY);
    let mut runs = 0;
    while runs < 5 || begun.elapsed().as_secs_f64() < 0.2 {
        let start = Instant::now();
        work();
        best = best.min(start.elapsed().as_secs_f64());
        runs += 1;
    }
    best
}

fn filled(len: usize) -> Buffer {
    let mut buffer = Buffer::zeros(len);
    for (i, value) in buffer.iter_mut().enumerate() {
        *value = ((i * 7919) % 2003) as f32 / 1001.5 - 1.0;
    }
    buffer
}

fn convolution(
    options: &Options,
    isa: Isa,
    workers: &Workers,
    roof: &Roof,
    shape: &Shape,
    totals: &mut [f64; 3],
) {
    let side = options.side >> shape.level;
    let images = options.batch;
    let parts: Vec<Part> = shape
        .parts
        .iter()
        .map(|&(channels, upsampled)| Part {
            channels,
            upsampled,
        })
        .collect();
    let conv = Winograd::new(isa, images, side, side, &parts, shape.outputs).tiled(options.tile);
    let len = |part: &Part| {
        let side = side >> usize::from(part.upsampled);
        images * blocks(part.channels) * side * side * LANES
    };
    let inputs: Vec<Buffer> = parts.iter().map(|part| filled(len(part))).collect();
    let inputs: Vec<&[f32]> = inputs.iter().map(|input| &input[..]).collect();
    let channels: Vec<usize> = parts.iter().map(|part| part.channels).collect();
    let bank = conv.filters();
    let blocked = filled(bank.blocked_len());
    let (mut filters, mut turned) = (Buffer::default(), Buffer::default());
    bank.transform(workers, &blocked, &mut filters);
    bank.transform_turned(workers, &blocked, &mut turned);
    let mut out = Buffer::zeros(images * blocks(shape.outputs) * side * side * LANES);
    let d_out = filled(out.len());
    let mut d_inputs: Vec<Buffer> = parts.iter().map(|part| Buffer::zeros(len(part))).collect();
    let mut d_filters = Buffer::zeros(bank.blocked_len());
    let mut scratch = GradientScratch::default();

    let inputs_sum: usize = channels.iter().sum();
    let direct = 2e-9 * (images * side * side * 9 * inputs_sum * shape.outputs) as f64;
    // 36 products for 16 pixels, or 64 for 36, between channels filled up to whole blocks.
    let own = |tile: TileSize| {
        let tiles = images * side.div_ceil(tile.side()).pow(2);
        let products = tiles * (tile.side() + 2).pow(2);
        2e-9 * (products * bank.padded_inputs() * bank.padded_outputs()) as f64
    };
    let own = [own(options.tile), own(options.tile), own(TileSize::Four)];
    // Inputs, outputs and transformed filters once each, whichever of them is written.
    let values = inputs.iter().map(|input| input.len()).sum::<usize>() + out.len();
    let bytes = (size_of::<f32>() * values) as f64;
    let filter_bytes =
        [filters.len(), turned.len(), 2 * blocked.len()].map(|len| (size_of::<f32>() * len) as f64);
    let seconds = [
        fastest(|| {
            let epilogue = Epilogue {
                activation: Activation::Relu,
                ..Epilogue::default()
            };
            conv.forward(workers, &inputs, &filters, epilogue, &mut out);
        }),
        fastest(|| {
            let mut sinks: Vec<Sink> = d_inputs.iter_mut().map(|data| Sink::new(data)).collect();
            conv.input_gradient(workers, &d_out, &turned, &mut sinks);
        }),
        fastest(|| conv.weight_gradient(workers, &inputs, &d_out, &mut d_filters, &mut scratch)),
    ];
    let up = if parts[0].upsampled { "up " } else { "" };
    let from: Vec<String> = channels.iter().map(usize::to_string).collect();
    let title = format!("{up}{} to {}", from.join(" + "), shape.outputs);
    let kernels = ["forward", "input gradient", "weight gradient"];
    for (i, (kernel, seconds)) in kernels.iter().zip(seconds).enumerate() {
        totals[i] += seconds;
        let title = if i == 0 { &title } else { "" };
        let bytes = bytes + filter_bytes[i];
        show(title, side, kernel, seconds, [direct, own[i]], bytes, roof);
    }
}

/// One line of the table; `work` in units of 1e9 operations is that of a direct convolution, and
/// what is really done.
fn show(
    title: &str,
    side: usize,
    kernel: &str,
    seconds: f64,
    [direct, own]: [f64; 2],
    bytes: f64,
    roof: &Roof,
) {
    println!(
        "{title:<26} {side:>5} {kernel:<16} {:>9.3} {:>9.0} {:>6.0}% {:>8.0}% {:>6.0}%",
        seconds * 1e3,
        direct / seconds,
        100.0 * direct / seconds / roof.gflops,
        100.0 * own / roof.gflops / seconds,
        100.0 * bytes / roof.gigabytes / 1e9 / seconds
    );
}

/// Kernels that only pass over memory.
fn passes(options: &Options, isa: Isa, workers: &Workers) {
    println!("\n{:<38} {:>9} {:>9}", "pass over memory", "ms", "GB/s");
    let shape = Blocked {
        images: options.batch,
        channels: 64,
        height: options.side,
        width: options.side,
    };
    let show = |name: &str, values: usize, seconds: f64| {
        let bytes = (values * size_of::<f32>()) as f64;
        println!(
            "{name:<38} {:>9.3} {:>9.1}",
            seconds * 1e3,
            bytes / seconds / 1e9
        );
    };
    let x = filled(shape.len());
    let mut out = Buffer::zeros(shape.len());
    let quarter = shape.len() / 4;
    let seconds = fastest(|| max_pool::forward(isa, workers, &shape, &x, &mut out[..quarter]));
    show("max-pool, 64 channels", shape.len() + quarter, seconds);
    let seconds = fastest(|| {
        batch_norm::statistics(isa, workers, &shape, &x);
    });
    show("batch norm, statistics", shape.len(), seconds);
    let seconds = fastest(|| {
        elementwise::channel_sums(isa, workers, &shape, &x);
    });
    show("sums of channels", shape.len(), seconds);
    let classes = Blocked {
        channels: 3,
        ..shape
    };
    if options.batch == 1 {
        let logits = Rows {
            data: &x[..classes.len()],
            kept: options.side,
        };
        let mut planes = vec![0.0; 3 * options.side * options.side];
        let groups = [(Link::Softmax, 3)];
        let seconds = fastest(|| {
            let to = Planes {
                data: &mut planes,
                height: options.side,
                width: options.side,
                corner: [0, 0],
            };
            let all = 0..options.side;
            write_linked(workers, &classes, &groups, logits, [all.clone(), all], to);
        });
        show("softmax, 3 classes", classes.len() + planes.len(), seconds);
    }
    let count = 4 << 20;
    let (mut values, gradient) = (filled(count), filled(count));
    let (mut first, mut second) = (Buffer::zeros(count), Buffer::zeros(count));
    let step = AdamNumbers {
        number: 1,
        rate: 1e-6,
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-7,
        decay: 0.0,
    };
    let seconds = fastest(|| {
        adam::update(
            isa,
            workers,
            &step,
            &gradient,
            &mut values,
            &mut first,
            &mut second,
        );
    });
    show("Adam, 4 Mi parameters", 7 * count, seconds);
}
