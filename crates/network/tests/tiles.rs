//! Tiles of the real network against the whole image.

mod common;

use common::{initial_parameters, value};
use stainfree_network::tiles::Predict;
use stainfree_network::{
    Encoder, Graph, Machine, Session, TileOptions, UnetSpec, argmax, predict_image,
};

#[test]
fn tiles_give_the_classes_of_the_whole_image() {
    let spec = UnetSpec {
        least_channels: 4,
        encoder: Encoder::Vgg16,
        width: 0.0625,
        classes: 3,
        outputs: vec![],
    };
    let graph = Graph::unet(&spec).unwrap();
    let mut predictor = Session::new(&Machine::new(2), &graph, &initial_parameters(&graph));
    // Not a multiple of 32, and larger than twice the margin of 288 pixels.
    let (height, width) = (845, 650);
    let input = value("image", 3 * height * width, 2.0, 0.0);
    let whole = TileOptions::new(&graph);
    let cap = Predict::memory_bytes(&predictor, 832, 672);
    let tiled = TileOptions {
        memory: Some(cap),
        ..whole.clone()
    };
    let a = predict_image(&mut predictor, &input, height, width, &whole).unwrap();
    let b = predict_image(&mut predictor, &input, height, width, &tiled).unwrap();
    let largest = a
        .iter()
        .zip(&b)
        .fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
    // Rounding only: the margin covers everything a pixel sees.
    assert!(largest < 1e-5, "{largest:e}");
    let (a, b) = (argmax(&a, 3), argmax(&b, 3));
    let same = a.iter().zip(&b).filter(|(a, b)| a == b).count();
    assert!(
        same as f64 >= 0.9999 * a.len() as f64,
        "{same} of {}",
        a.len()
    );
    let classes: std::collections::HashSet<u8> = a.into_iter().collect();
    assert!(classes.len() > 1, "one class everywhere shows nothing");
}
