//! Gradients against finite differences of the definitions in f64.

use super::interpreter::{Array, Moved, Statistics, owner, values};
use stainfree_network::{CpuTrainer, Graph, Isa, Machine, Parameters, Tensor, Train};
use std::sync::Mutex;

/// The derivative of a weighted sum of the logits by single elements of every trainable tensor of a
/// network whose weights `seed` draws, `side` pixels a side; what is not the finite difference.
pub fn wrong_gradients(
    graph: &Graph,
    seed: u64,
    side: usize,
    isa: Isa,
    checked: &dyn Fn(&Tensor) -> bool,
) -> Vec<String> {
    let parameters = Parameters::initialise(graph, seed);
    let noise = |i: usize, period: usize| (i * 7919 % period) as f32 / period as f32 - 0.5;
    let pixels = side * side;
    let channels = graph.input_channels();
    let input: Vec<f32> = (0..channels * pixels)
        .map(|i| 3.0 * noise(i, 2003))
        .collect();
    let weights: Vec<f32> = (0..graph.classes() * pixels)
        .map(|i| noise(i + 5, 1009))
        .collect();
    let machine = Machine::new(2).with_isa(isa);
    let mut trainer = CpuTrainer::new(&machine, graph, &parameters, [1, side, side]);
    trainer.forward(&input);
    trainer.backward(&weights);
    let wide = Array {
        channels,
        height: side,
        width: side,
        data: input.iter().map(|&v| f64::from(v)).collect(),
    };
    let known = {
        let mut known = vec![wide];
        known.extend(values(graph, &parameters, Statistics::Image, None, &known));
        known
    };
    let value = |moved: &Moved| -> f64 {
        let before = &known[..owner(graph, moved.name)];
        let made = values(graph, &parameters, Statistics::Image, Some(moved), before);
        let logits = &made.last().unwrap().data;
        logits
            .iter()
            .zip(&weights)
            .map(|(l, w)| l * f64::from(*w))
            .sum()
    };
    let wrong = &Mutex::new(Vec::new());
    let check = &|tensor: &Tensor, by_chance: bool| {
        let largest = tensor.data.iter().fold(0f32, |m, g| m.max(g.abs()));
        // The element of the largest gradient, and perhaps one by chance.
        let first = tensor.data.iter().position(|g| g.abs() == largest).unwrap();
        let second = by_chance.then(|| 31 * tensor.name.len() % tensor.data.len());
        for index in std::iter::once(first).chain(second) {
            let found = f64::from(tensor.data[index]);
            // Small enough to cross hardly an edge of a ReLU or a pool, large enough for f64.
            let step = 1e-6 / (1.0 + found.abs());
            let moved = |by| Moved {
                name: &tensor.name,
                index,
                by,
            };
            let difference = (value(&moved(step)) - value(&moved(-step))) / (2.0 * step);
            // f32 through fifty layers is off by up to 1.3e-4 here, and by 4e-4 where the sum
            // nearly vanishes (a bias before a batch norm has no gradient at all).
            let limit = 1e-3 * f64::from(largest) + 1e-3;
            let right = (found - difference).abs() < limit;
            if !right {
                let name = &tensor.name;
                let message = format!("seed {seed}, {name} [{index}]: {found} {difference}");
                wrong.lock().unwrap().push(message);
            }
        }
    };
    let gradients = trainer.gradients();
    let checked: Vec<&Tensor> = gradients.iter().filter(|t| checked(t)).collect();
    std::thread::scope(|scope| {
        for half in checked.chunks(checked.len().div_ceil(2)) {
            scope.spawn(move || {
                half.iter()
                    .enumerate()
                    .for_each(|(i, t)| check(t, i % 4 == 0))
            });
        }
    });
    std::mem::take(&mut *wrong.lock().unwrap())
}
