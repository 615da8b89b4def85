//! Seconds of a training step and a prediction of the paper's network: `step_time SIDE BATCH
//! THREADS [bf16]`.

use stainfree_network::{
    AdamStep, CpuTrainer, Encoder, Graph, Machine, Parameters, Precision, Session, Train, UnetSpec,
};
use std::time::Instant;

fn main() {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let precision = match arguments.iter().position(|a| a == "bf16") {
        Some(at) => {
            arguments.remove(at);
            Precision::Bf16
        }
        None => Precision::F32,
    };
    let numbers: Vec<usize> = arguments
        .iter()
        .map(|a| a.parse().expect("a number"))
        .collect();
    let &[side, batch, threads] = &numbers[..] else {
        panic!("usage: step_time SIDE BATCH THREADS [bf16]")
    };
    let graph = Graph::unet(&UnetSpec::new(Encoder::Vgg16, 1.0, 3)).expect("a valid network");
    let parameters = Parameters::initialise(&graph, 1);
    let machine = Machine::new(threads).with_precision(precision);
    let machine = machine.expect("a supported instruction set");
    let input: Vec<f32> = (0..batch * 3 * side * side)
        .map(|i| (i % 255) as f32 / 128.0 - 1.0)
        .collect();
    let mut trainer = CpuTrainer::new(&machine, &graph, &parameters, [batch, side, side]);
    let adam = AdamStep {
        lr: 1e-4,
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-7,
        weight_decay: 0.0,
    };
    for _ in 0..3 {
        let start = Instant::now();
        let logits = trainer.forward(&input).to_vec();
        let forward = start.elapsed().as_secs_f64();
        trainer.backward(&logits);
        let backward = start.elapsed().as_secs_f64() - forward;
        trainer.adam_step(&adam);
        let all = start.elapsed().as_secs_f64();
        println!(
            "step {all:.3} s: forward {forward:.3}, backward {backward:.3}, update {:.3}",
            all - forward - backward
        );
    }
    drop(trainer);
    let mut predictor = Session::new(&machine, &graph, &parameters);
    for _ in 0..3 {
        let start = Instant::now();
        predictor.logits(&input[..3 * side * side], side, side);
        println!("prediction {:.3} s", start.elapsed().as_secs_f64());
    }
}
