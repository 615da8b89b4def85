//! Batch norms measured on noise of known mean and spread.

use super::*;
use crate::train::RawField;
use crate::unet::UnetSpec;
use crate::{Encoder, Normalisation, Preprocessing};
use stainfree_image::Image;
use std::error::Error;

/// Fields of noise with this mean and spread.
struct Noise(f32, f32);

impl TrainingData for Noise {
    fn len(&self) -> usize {
        3
    }
    fn name(&self, field: usize) -> String {
        format!("f{field}")
    }
    fn read(&self, field: usize) -> Result<RawField, Box<dyn Error + Send + Sync>> {
        let at = |y: usize, x: usize| {
            let i = (field * 10_000 + y * 100 + x) as u64;
            let unit = (stainfree_image::random::number(3, i) >> 40) as f32 / (1 << 24) as f32;
            self.0 + self.1 * (unit - 0.5)
        };
        Ok(RawField {
            planes: vec![Image::from_fn(70, 60, at)],
            full_range: 1.0,
            blank: None,
            target: Image::filled(70, 60, 0),
            labels: None,
        })
    }
}

fn network() -> (Graph, Parameters) {
    let graph = Graph::unet(&UnetSpec::new(Encoder::MobilenetV2, 0.25, 2)).unwrap();
    let parameters = Parameters::initialise(&graph, 5);
    (graph, parameters)
}

fn input() -> InputSpec {
    InputSpec {
        planes: 1,
        normalisation: Normalisation::Paper,
        preprocessing: Preprocessing::torchvision(),
    }
}

fn measured(of: &Noise, share: f32) -> Parameters {
    let (graph, parameters) = network();
    let crops = NormCrops {
        side: 32,
        batch: 2,
        batches: 3,
    };
    let mut told = Vec::new();
    let found = measure_norms(
        &Machine::new(1),
        (&graph, &parameters),
        (&input(), of),
        (&crops, share),
        &mut |k| told.push(k),
        &AtomicBool::new(false),
    );
    assert_eq!(told, [1, 2, 3]);
    found.unwrap().unwrap()
}

fn statistics(of: &Parameters) -> Vec<f32> {
    let tensors = of.iter().filter(|t| t.kind == ParameterKind::Statistic);
    tensors.flat_map(|t| t.data.clone()).collect()
}

#[test]
fn statistics_follow_the_images_and_weights_do_not() {
    let (_, before) = network();
    assert!(has_norms(&before));
    // Of the encoder's own mean, so that what lies beyond the image's rim is like the image.
    let [flat, rich] = [Noise(0.45, 0.1), Noise(0.45, 0.4)].map(|of| measured(&of, 1.0));
    for (old, new) in before.iter().zip(rich.iter()) {
        let moved = old.data != new.data;
        assert_eq!(moved, old.kind == ParameterKind::Statistic, "{}", old.name);
    }
    assert_ne!(statistics(&flat), statistics(&rich));
    // The first batch norm is behind a convolution of the image: four times the spread is
    // sixteen times the variance.
    let variance = |of: &Parameters| -> f32 {
        let first = of.iter().find(|t| t.name.ends_with("running_var")).unwrap();
        first.data.iter().sum()
    };
    let ratio = variance(&rich) / variance(&flat);
    assert!((10.0..25.0).contains(&ratio), "{ratio}");
}

#[test]
fn a_share_lies_between_the_old_statistics_and_the_new() {
    let (_, before) = network();
    let old = statistics(&before);
    assert_eq!(statistics(&measured(&Noise(0.6, 0.4), 0.0)), old);
    let new = statistics(&measured(&Noise(0.6, 0.4), 1.0));
    let half = statistics(&measured(&Noise(0.6, 0.4), 0.5));
    for ((old, new), half) in old.iter().zip(&new).zip(&half) {
        assert!((half - (old + new) / 2.0).abs() <= 1e-6 * (1.0 + new.abs()));
    }
}

#[test]
fn a_stop_leaves_nothing() {
    let (graph, parameters) = network();
    let crops = NormCrops {
        side: 32,
        batch: 1,
        batches: 2,
    };
    let found = measure_norms(
        &Machine::new(1),
        (&graph, &parameters),
        (&input(), &Noise(0.5, 0.1)),
        (&crops, 1.0),
        &mut |_| {},
        &AtomicBool::new(true),
    );
    assert!(found.unwrap().is_none());
}
