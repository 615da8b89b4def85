//! Several sessions of one prepared network at once: each as if it were alone, and filters are in
//! memory once. The only test of this file, since memory is counted for the whole process.

mod common;

use std::sync::Arc;

use common::{initial_parameters, value};
use stainfree_network::{
    Encoder, Graph, Machine, PreparedNetwork, Session, TileOptions, UnetSpec, predict_image,
};

/// Sides of the two images: one is no multiple of the network's.
const SIZES: [[usize; 2]; 2] = [[96, 70], [64, 128]];

/// Probabilities of image `index`.
fn probabilities(graph: &Graph, session: &mut Session, index: usize) -> Vec<f32> {
    let [height, width] = SIZES[index];
    let input = value(&format!("image{index}"), 3 * height * width, 2.0, 0.0);
    predict_image(session, &input, height, width, &TileOptions::new(graph)).unwrap()
}

/// Bytes of this process that lie in memory, where the system says so.
fn resident() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
    let kilobytes: usize = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes << 10)
}

/// What one session says of both images, one after the other, and what two say at once.
fn in_turn_and_at_once(graph: &Graph, network: &Arc<PreparedNetwork>, machine: &Machine) {
    let mut alone = Session::on(machine.workers(), network);
    let in_turn = [0, 1].map(|index| probabilities(graph, &mut alone, index));
    drop(alone);
    let at_once = std::thread::scope(|scope| {
        let one = |index: usize| {
            let mut session = Session::on(machine.workers(), network);
            // Twice, so that each runs beside the other for sure for some of the time, and on
            // memory that held another image before.
            let first = probabilities(graph, &mut session, 1 - index);
            drop(first);
            probabilities(graph, &mut session, index)
        };
        let running = [0, 1].map(|index| scope.spawn(move || one(index)));
        running.map(|thread| thread.join().unwrap())
    });
    assert!(at_once == in_turn, "other bits");
    assert_ne!(in_turn[0][..100], in_turn[1][..100]);
}

#[test]
fn sessions_of_one_network_do_not_meet_and_share_its_filters() {
    let machine = Machine::new(2);
    // The second has gates, which each session holds for its own image.
    for encoder in [Encoder::Vgg16, Encoder::EfficientnetB4] {
        let spec = UnetSpec {
            least_channels: 4,
            ..UnetSpec::new(encoder, 0.125, 3)
        };
        let graph = Graph::unet(&spec).unwrap();
        let network = PreparedNetwork::new(&machine, &graph, &initial_parameters(&graph));
        in_turn_and_at_once(&graph, &Arc::new(network), &machine);
    }

    let graph = Graph::unet(&UnetSpec::new(Encoder::Vgg16, 0.5, 2)).unwrap();
    let network = PreparedNetwork::new(&machine, &graph, &initial_parameters(&graph));
    let network = Arc::new(network);
    let filters = network.filter_bytes();
    let before = resident();
    let mut sessions: Vec<Session> = (0..4)
        .map(|_| Session::on(machine.workers(), &network))
        .collect();
    let input = value("image", 3 * 32 * 32, 2.0, 0.0);
    for session in &mut sessions {
        assert!(Arc::ptr_eq(session.network(), &network));
        session.logits(&input, 32, 32);
    }
    if let (Some(before), Some(after)) = (before, resident()) {
        let grown = after.saturating_sub(before);
        println!("{filters} bytes of filters, {grown} more with four sessions");
        assert!(
            grown < filters,
            "{grown} bytes more, filters take {filters}"
        );
    }
}
