//! The CPU's trainer and predictor against PyTorch: same weights, same logits, gradients and Adam
//! steps.

mod common;

use common::{Golden, initial_parameters, value};
use stainfree_network::{
    AdamStep, CpuTrainer, Encoder, Graph, Isa, Loss, LossTerm, Machine, Parameters, Session, Train,
    UnetSpec,
};

/// Stated in the issue: 1e-4 relative. The golden numbers are sums in f64.
const TOLERANCE: f64 = 1e-4;

struct Case {
    golden: Golden,
    graph: Graph,
    parameters: Parameters,
    input: Vec<f32>,
    shape: [usize; 3],
    encoder: Encoder,
}

fn cases() -> Vec<Case> {
    let (vgg16, mobilenet_v2) = (Encoder::Vgg16, Encoder::MobilenetV2);
    let b4 = Encoder::EfficientnetB4;
    [
        ("net_w0125_c3_64x64", vgg16, 3, [2, 64, 64]),
        ("net_w0125_c4_64x96", vgg16, 4, [2, 64, 96]),
        ("mobilenet_v2_w0125_c3_64x64", mobilenet_v2, 3, [2, 64, 64]),
        ("efficientnet_b4_w0125_c3_64x96", b4, 3, [2, 64, 96]),
    ]
    .into_iter()
    .map(|(name, encoder, classes, shape)| {
        let spec = UnetSpec {
            least_channels: 4,
            encoder,
            width: 0.125,
            classes,
            outputs: vec![],
        };
        let graph = Graph::unet(&spec).unwrap();
        let parameters = initial_parameters(&graph);
        let golden = Golden::open(&format!("{name}.safetensors"));
        let seed = golden.i32("input_seed")[0];
        let count = 3 * shape.iter().product::<usize>();
        let input = value(&format!("input{seed}"), count, 2.0, 0.0);
        Case {
            golden,
            graph,
            parameters,
            input,
            shape,
            encoder,
        }
    })
    .collect()
}

/// Every case with every instruction set that this processor has.
fn on_every_isa(cases: &[Case]) -> Vec<(&Case, Isa)> {
    let all = Isa::available();
    let with = |case| all.iter().map(move |&isa| (case, isa));
    cases.iter().flat_map(with).collect()
}

/// Largest difference relative to the largest expected value.
fn distance(got: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(got.len(), expected.len());
    let largest = expected.iter().fold(1e-30f32, |m, x| m.max(x.abs()));
    let worst = got
        .iter()
        .zip(expected)
        .fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
    f64::from(worst / largest)
}

fn loss(classes: usize) -> Loss {
    Loss::new(
        &[
            LossTerm::new("cross-entropy", 1.0),
            LossTerm::new("dice", 1.0),
        ],
        classes,
    )
    .unwrap()
}

#[test]
fn eval_logits_are_torchs() {
    for (case, isa) in on_every_isa(&cases()) {
        let [images, height, width] = case.shape;
        let mut predictor = Session::new(
            &Machine::new(2).with_isa(isa),
            &case.graph,
            &case.parameters,
        );
        let size = case.input.len() / images;
        let logits: Vec<f32> = case
            .input
            .chunks(size)
            .flat_map(|image| predictor.logits(image, height, width))
            .collect();
        let error = distance(&logits, &case.golden.f32("eval_logits"));
        let isa = isa.name();
        assert!(error < TOLERANCE, "{:?} {isa}: {error:e}", case.shape);
    }
}

/// Norm of the difference relative to the norm of what is expected.
fn error(got: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(got.len(), expected.len());
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>().sqrt();
    let mut differences = got.iter().zip(expected).map(|(a, b)| f64::from(a - b));
    norm(&mut differences) / norm(&mut expected.iter().map(|&b| f64::from(b)))
}

/// White noise through random weights is the worst case of bf16 factors in Winograd's transforms:
/// each layer adds 1.2e-2 (against 2.3e-3 of a direct bf16 convolution; both as in NumPy with
/// rounded factors), 20 layers in random directions 5e-2. On real images, where neighbours are
/// alike, a trained network stays below 1e-2 (docs/performance.md). bf16 that is as exact as f32 is
/// none.
#[test]
fn bf16_logits_are_torchs_as_far_as_rounding_allows() {
    let Some(isa) = Isa::available()[0].bf16() else {
        return println!("skipped: this processor has no bf16 instructions");
    };
    for case in cases() {
        let [images, height, width] = case.shape;
        let mut predictor = Session::new(
            &Machine::new(2).with_isa(isa),
            &case.graph,
            &case.parameters,
        );
        let logits: Vec<f32> = case
            .input
            .chunks(case.input.len() / images)
            .flat_map(|image| predictor.logits(image, height, width))
            .collect();
        let eval = error(&logits, &case.golden.f32("eval_logits"));
        let mut trainer = CpuTrainer::new(
            &Machine::new(2).with_isa(isa),
            &case.graph,
            &case.parameters,
            case.shape,
        );
        let train = error(
            trainer.forward(&case.input),
            &case.golden.f32("train_logits"),
        );
        for error in [eval, train] {
            assert!((1e-4..1e-1).contains(&error), "{:?}: {error:e}", case.shape);
        }
    }
}

#[test]
fn train_logits_loss_and_every_gradient_are_torchs() {
    for (case, isa) in on_every_isa(&cases()) {
        let at = format!("{:?} {}", case.shape, isa.name());
        let mut trainer = CpuTrainer::new(
            &Machine::new(2).with_isa(isa),
            &case.graph,
            &case.parameters,
            case.shape,
        );
        let logits = trainer.forward(&case.input).to_vec();
        let error = distance(&logits, &case.golden.f32("train_logits"));
        assert!(error < TOLERANCE, "{at}: {error:e}");
        let mut d_logits = vec![0.0; logits.len()];
        let target = case.golden.u8("target");
        let value =
            loss(case.graph.classes()).evaluate(&logits, &target, case.shape[0], &mut d_logits);
        let expected = case.golden.f64("loss")[0];
        assert!(
            (value - expected).abs() < 1e-5 * expected,
            "{at}: {value} {expected}"
        );
        trainer.backward(&d_logits);
        let gradients = trainer.gradients();
        assert!(!gradients.is_empty());
        let far: Vec<String> = gradients
            .iter()
            .map(|tensor| {
                let d = case.golden.distance("grad", &tensor.name, &tensor.data);
                (&tensor.name, d)
            })
            .filter(|(_, d)| !d.within(TOLERANCE))
            .map(|(name, d)| format!("{name} {d:?}"))
            .collect();
        assert!(far.is_empty(), "{at}: {}", far.join("\n"));
    }
}

#[test]
fn three_adam_steps_with_batch_norm_are_torchs() {
    // The steps after the first ask for inputs that keep clear of many more edges: only VGG16 has
    // them.
    for case in cases()
        .into_iter()
        .filter(|case| case.encoder == Encoder::Vgg16)
    {
        for isa in Isa::available() {
            three_adam_steps(&case, isa);
        }
    }
}

/// Takes the golden steps; losses and all parameters must be torch's, in every step and to the end.
///
/// The golden inputs keep the ReLUs and poolings of all three steps further from their edges than
/// rounding reaches (`MARGIN` in the script). Without that, one turned choice would change small
/// gradients by more than their size, and Adam would take whole steps elsewhere. What is left is
/// that Adam divides gradients near zero, with their rounding, by their own size: the worst element
/// ends at half of [`TOLERANCE`].
fn three_adam_steps(case: &Case, isa: Isa) {
    let at = format!("{:?} {}", case.shape, isa.name());
    let mut trainer = CpuTrainer::new(
        &Machine::new(2).with_isa(isa),
        &case.graph,
        &case.parameters,
        case.shape,
    );
    let loss = loss(case.graph.classes());
    let target = case.golden.u8("target");
    let step_losses = case.golden.f64("step_losses");
    for step_loss in step_losses {
        let logits = trainer.forward(&case.input).to_vec();
        let mut d_logits = vec![0.0; logits.len()];
        let value = loss.evaluate(&logits, &target, case.shape[0], &mut d_logits);
        let close = (value - step_loss).abs() < TOLERANCE * step_loss;
        assert!(close, "{at}: {value} {step_loss}");
        trainer.backward(&d_logits);
        trainer.adam_step(&AdamStep {
            lr: 1e-3,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-7,
            weight_decay: 0.0,
        });
    }
    for tensor in trainer.parameters().iter() {
        let name = &tensor.name;
        let before = &case.parameters.get(name).unwrap().data;
        assert_ne!(&tensor.data, before, "{at}: {name} never changed");
        let d = case.golden.distance("after", name, &tensor.data);
        assert!(d.within(TOLERANCE), "{at}: {name} {d:?}");
    }
}

#[test]
#[should_panic = "a backward pass follows a forward pass"]
fn values_serve_one_backward_pass() {
    let case = cases().swap_remove(0);
    let isa = Isa::available()[0];
    let mut trainer = CpuTrainer::new(
        &Machine::new(2).with_isa(isa),
        &case.graph,
        &case.parameters,
        case.shape,
    );
    let d_logits = trainer.forward(&case.input).to_vec();
    trainer.backward(&d_logits);
    trainer.backward(&d_logits);
}
