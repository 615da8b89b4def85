//! `bench`: speed here.

use std::time::Instant;

use anyhow::Result;
use serde_json::json;
use stainfree_network::{
    AdamStep, CpuTrainer, Encoder, Graph, Machine, Parameters, Session, TileOptions, Train,
    UnetSpec, peak, predict_image,
};

use super::devices::{cpu_name, instruction_set};
use crate::Context;
use crate::failure::{Outcome, UsageError};
use crate::output::{self, Json};

/// Measure how fast this machine predicts and trains
///
/// Runs the network on made-up pixels: whole fields for prediction, full steps (forward, backward,
/// optimiser) for training. Beside it stands what the processor could do at most: multiply-adds
/// between registers, on the same threads. Other work on the machine lowers all of these numbers.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  stainfree bench
  stainfree bench --predict 2160 --repeat 3
  stainfree bench --train 320 --batch 4 --json -")]
pub(crate) struct Bench {
    /// Time the prediction of a field of SIDE x SIDE pixels
    #[arg(long, value_name = "SIDE")]
    predict: Option<usize>,

    /// Time training steps on crops of SIDE x SIDE pixels
    #[arg(long, value_name = "SIDE")]
    train: Option<usize>,

    /// Crops per training step
    #[arg(long, value_name = "N", default_value_t = 1)]
    batch: usize,

    /// The network's encoder
    #[arg(long, value_name = "NAME", value_parser = super::encoders(), default_value = "vgg16")]
    encoder: String,

    /// Factor on all channel counts
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    width: f64,

    /// Times each measurement is repeated
    #[arg(
        long,
        value_name = "N",
        default_value_t = 3,
        value_parser = clap::value_parser!(u32).range(1..=1000),
    )]
    repeat: u32,

    /// Arithmetic: f32, or bf16 (a processor with AVX-512 BF16)
    #[arg(long, value_name = "NAME", value_parser = ["f32", "bf16"], default_value = "f32")]
    precision: String,

    #[command(flatten)]
    json: Json,
}

/// Side of what is measured where nothing is said: small enough for any machine.
const USUAL_SIDE: usize = 320;
/// Larger sides are refused before memory is taken.
const MAX_SIDE: usize = 8192;

impl Bench {
    pub(crate) fn run(&self, context: &Context) -> Result<Outcome> {
        self.json.check(&["machine", "runs"])?;
        let encoder = Encoder::parse(&self.encoder)
            .ok_or_else(|| UsageError(format!("no encoder is called `{}`", self.encoder)))?;
        let graph = Graph::unet(&UnetSpec::new(encoder, self.width, 3))?;
        let machine = context.machine(&self.precision, None)?;
        let (predict, train) = match (self.predict, self.train) {
            (None, None) => (Some(USUAL_SIDE), Some(USUAL_SIDE)),
            asked => asked,
        };
        for side in [predict, train].into_iter().flatten() {
            if side == 0 || side > MAX_SIDE {
                return Err(UsageError(format!("`{side}` is no side; use 1 to {MAX_SIDE}")).into());
            }
        }
        if !(1..=64).contains(&self.batch) {
            return Err(UsageError(format!(
                "`--batch {}` is out of range; use 1 to 64",
                self.batch
            ))
            .into());
        }
        context.cancel.check()?;
        // Before the runs: they leave the processor hot.
        let plain = machine.isa().f32();
        let peak = peak::gflops(plain, machine.threads());
        let peak_bf16 = plain.bf16().map(|isa| peak::gflops(isa, machine.threads()));
        let mut runs = Vec::new();
        if let Some(side) = predict {
            let seconds = self.predictions(context, &machine, &graph, side)?;
            runs.push(self.entry("predict", side, 1, context, &seconds));
        }
        if let Some(side) = train {
            let side = side.next_multiple_of(graph.multiple());
            let seconds = self.steps(context, &machine, &graph, side)?;
            runs.push(self.entry("train", side, self.batch, context, &seconds));
        }
        let mut peaks = json!({"f32": rounded(peak), "bf16": peak_bf16.map(rounded)});
        if peak_bf16.is_none() {
            peaks["reason"] = json!("this processor has no bf16 instructions");
        }
        let found = json!({"cpu": cpu_name(), "isa": instruction_set(), "peak_gflops": peaks});
        self.json.write(&json!({"machine": found, "runs": runs}))?;
        self.json.print(&output::table(
            &["what", "side", "batch", "threads", "median s", "min s"],
            &rows_of(&runs),
            1,
        ))?;
        self.json.print(&format!(
            "\npeak of the processor: {} GFLOP/s f32{} on {} threads ({}), multiply-adds \
                 between registers",
            rounded(peak),
            peak_bf16.map_or(String::new(), |peak| format!(", {} bf16", rounded(peak))),
            context.machine.threads(),
            machine.isa().name()
        ))?;
        Ok(Outcome::Done)
    }

    /// Seconds of each prediction of a field of `side` x `side` pixels.
    fn predictions(
        &self,
        context: &Context,
        machine: &Machine,
        graph: &Graph,
        side: usize,
    ) -> Result<Vec<f64>> {
        let parameters = Parameters::initialise(graph, 1);
        let mut session = Session::new(machine, graph, &parameters);
        // As `predict` does: the session has all it needs.
        drop(parameters);
        let input = pixels(3 * side * side);
        let whole = TileOptions::new(graph);
        self.time(context, || {
            drop(predict_image(&mut session, &input, side, side, &whole))
        })
    }

    /// Seconds of each training step on crops of `side` x `side` pixels.
    fn steps(
        &self,
        context: &Context,
        machine: &Machine,
        graph: &Graph,
        side: usize,
    ) -> Result<Vec<f64>> {
        let parameters = Parameters::initialise(graph, 1);
        let shape = [self.batch, side, side];
        let mut trainer = CpuTrainer::new(machine, graph, &parameters, shape);
        let input = pixels(self.batch * 3 * side * side);
        let gradient = pixels(self.batch * graph.output_channels() * side * side);
        // The rate is tiny, so that the numbers stay finite however often this runs.
        let step = AdamStep {
            lr: 1e-8,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-7,
            weight_decay: 0.0,
        };
        self.time(context, || {
            trainer.forward(&input);
            trainer.backward(&gradient);
            trainer.adam_step(&step);
        })
    }

    /// Seconds of each repetition, after one that warms caches up and is not counted.
    fn time(&self, context: &Context, mut work: impl FnMut()) -> Result<Vec<f64>> {
        work();
        let mut seconds = Vec::new();
        for _ in 0..self.repeat {
            context.cancel.check()?;
            let begun = Instant::now();
            work();
            seconds.push(begun.elapsed().as_secs_f64());
        }
        seconds.sort_by(f64::total_cmp);
        Ok(seconds)
    }

    fn entry(
        &self,
        what: &str,
        side: usize,
        batch: usize,
        context: &Context,
        seconds: &[f64],
    ) -> serde_json::Value {
        json!({
            "what": what, "encoder": self.encoder, "width": self.width, "side": side,
            "batch": batch,
            "precision": self.precision, "threads": context.machine.threads(),
            "seconds": {"median": seconds[seconds.len() / 2], "min": seconds[0]},
            "peak_memory_bytes": peak_memory(),
        })
    }
}

/// A row of the table for each run.
fn rows_of(runs: &[serde_json::Value]) -> Vec<Vec<String>> {
    runs.iter()
        .map(|run| {
            let text = |key: &str| {
                run[key]
                    .as_str()
                    .map_or_else(|| run[key].to_string(), str::to_owned)
            };
            let seconds =
                |key: &str| format!("{:.3}", run["seconds"][key].as_f64().unwrap_or(f64::NAN));
            vec![
                text("what"),
                text("side"),
                text("batch"),
                text("threads"),
                seconds("median"),
                seconds("min"),
            ]
        })
        .collect()
}

/// To a tenth: the measurement is no better.
fn rounded(gflops: f64) -> f64 {
    (gflops * 10.0).round() / 10.0
}

/// Values between -1 and 1 that are the same on every machine.
fn pixels(count: usize) -> Vec<f32> {
    (0..count)
        .map(|i| ((i * 2_654_435_761) % 2001) as f32 / 1000.0 - 1.0)
        .collect()
}

/// Most memory this process has held, where the system says so.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}
