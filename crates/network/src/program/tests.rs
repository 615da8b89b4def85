use super::*;
use crate::description;
use crate::{Encoder, UnetSpec};

/// Convolution, batch norm, ReLU, head.
const PLAIN: [&str; 6] = [
    "input inputs= channels=3 level=0",
    "conv inputs=0 channels=4 level=0 weight=a.weight bias= kernel=3 stride=1 before=1",
    "batch-norm inputs=1 channels=4 level=0 prefix=n epsilon=1e-3",
    "relu inputs=2 channels=4 level=0",
    "conv inputs=3 channels=2 level=0 weight=h.weight bias=h.bias kernel=3 stride=1 before=1",
    "softmax inputs=4 channels=2 level=0",
];

fn program_of(lines: &[&str]) -> Result<Program, ProgramError> {
    let text = format!("stainfree graph 1\n{}\n", lines.join("\n"));
    Program::new(&description::read(&text).unwrap())
}

#[test]
fn convolution_batch_norm_and_activation_are_one_step() {
    let program = program_of(&PLAIN).unwrap();
    let [Step::Conv(first), Step::Conv(head)] = &program.steps[..] else {
        panic!("{program:?}")
    };
    assert_eq!(first.activation, Activation::Relu);
    assert_eq!(first.norm.as_ref().unwrap().prefix, "n");
    assert_eq!((head.bias.as_deref(), head.to), (Some("h.bias"), 2));
    assert_eq!(program.logits, 2);
    assert!(!program.values[1].bare_relu, "a batch norm cuts by itself");
}

#[test]
fn nothing_is_fused_that_others_read() {
    // The sum reads what the ReLU is a function of.
    let mut lines = PLAIN.to_vec();
    lines[4] = "add inputs=2,3 channels=4 level=0 drop=0e0";
    lines[5] = "softmax inputs=4 channels=4 level=0";
    let program = program_of(&lines).unwrap();
    let own = Step::Activate {
        from: 1,
        to: 2,
        activation: Activation::Relu,
    };
    assert_eq!(program.steps[1], own);
    let Step::Conv(conv) = &program.steps[0] else {
        panic!("{program:?}")
    };
    assert_eq!(conv.activation, Activation::None);
}

#[test]
fn a_relu_whose_gradient_nobody_would_cut_off_is_a_step_of_its_own() {
    let mut lines = PLAIN.to_vec();
    lines[5] = "relu inputs=4 channels=2 level=0";
    lines.push("softmax inputs=5 channels=2 level=0");
    let program = program_of(&lines).unwrap();
    assert!(matches!(program.steps[2], Step::Activate { .. }));
    assert!(program.values.iter().all(|value| !value.bare_relu));
}

#[test]
fn encoders_need_no_activation_of_its_own() {
    for encoder in Encoder::ALL {
        let graph = Graph::unet(&UnetSpec::new(encoder, 1.0, 3)).unwrap();
        let program = Program::new(&graph).unwrap();
        let own = |step: &Step| matches!(step, Step::Activate { .. });
        assert!(!program.steps.iter().any(own), "{}", encoder.name());
    }
}

#[test]
fn what_cannot_be_executed_names_the_node_and_why() {
    let check = |changes: &[(usize, &str)], node: usize, why: &str| {
        let mut lines = PLAIN.to_vec();
        for &(at, line) in changes {
            lines.resize(lines.len().max(at + 1), "");
            lines[at] = line;
        }
        let error = program_of(&lines).unwrap_err();
        assert_eq!(error.node, node, "{error}");
        assert!(error.to_string().contains(why), "{error}");
    };
    let sum = "add inputs=1,3 channels=4 level=0 drop=0e0";
    let end =
        |from: usize, channels: usize| format!("softmax inputs={from} channels={channels} level=0");
    check(&[(4, sum), (5, &end(4, 4))], 2, "1 more nodes read");
    check(
        &[
            (2, "relu inputs=1 channels=4 level=0"),
            (
                3,
                "batch-norm inputs=2 channels=4 level=0 prefix=n epsilon=1e-3",
            ),
        ],
        3,
        "a batch norm follows a convolution, and node 2 is none",
    );
    let strided = PLAIN[1].replace("stride=1", "stride=3");
    check(&[(1, &strided)], 1, "its stride is `3`");
    let padded = PLAIN[1].replace("before=1", "before=3");
    check(&[(1, &padded)], 1, "its padding `3`");
    let depthwise = "depthwise inputs=2 channels=4 level=0 weight=d.weight bias= kernel=7 \
                     stride=1 before=3";
    check(
        &[(3, depthwise)],
        3,
        "depthwise convolutions are 3x3 or 5x5",
    );
    let past = PLAIN[4].replace("inputs=3", "inputs=2");
    check(&[(4, &past)], 3, "no node reads it");
    check(
        &[
            (4, "add inputs=3,3 channels=4 level=0 drop=0e0"),
            (5, &end(4, 4)),
        ],
        4,
        "both terms are the same",
    );
    check(
        &[(
            3,
            "squeeze-excite inputs=2 channels=4 level=0 prefix=s squeezed=2",
        )],
        4,
        "what gates weigh is read by a dense 1x1",
    );
    let up = |from: usize, level: usize| {
        format!("upsample-concat inputs={from} channels=4 level={level}")
    };
    let pool =
        |from: usize, level: usize| format!("max-pool inputs={from} channels=4 level={level}");
    check(
        &[
            (3, &pool(2, 1)),
            (4, &up(3, 0)),
            (5, "relu inputs=4 channels=4 level=0"),
            (6, &end(5, 4)),
        ],
        5,
        "only dense convolutions read joined or up-sampled arrays (node 4)",
    );
    check(
        &[
            (3, &pool(2, 1)),
            (4, &pool(3, 2)),
            (5, &up(4, 1)),
            (6, &up(5, 0)),
            (7, &end(6, 4)),
        ],
        6,
        "only dense convolutions read joined",
    );
}

#[test]
fn outputs_smaller_than_the_image_are_refused() {
    let mut lines = PLAIN.to_vec();
    lines[4] = "conv inputs=3 channels=2 level=1 weight=h.weight bias= kernel=3 stride=2 before=1";
    lines[5] = "softmax inputs=4 channels=2 level=1";
    let error = program_of(&lines).unwrap_err();
    assert_eq!(error.node, 4);
    assert!(error.to_string().contains("of the image's size"), "{error}");
}

/// A convolution of the image, `small` halved ones that are joined to it one by one, and the head.
fn joined(small: usize) -> Result<Program, ProgramError> {
    let conv = |from: usize, channels: usize, level: usize, name: &str, stride: usize| {
        format!(
            "conv inputs={from} channels={channels} level={level} weight={name}.weight bias= \
             kernel=3 stride={stride} before=1"
        )
    };
    let mut lines = vec![PLAIN[0].to_owned(), conv(0, 4, 0, "skip", 1)];
    for i in 0..small {
        let skip = lines.len() - 1;
        lines.push(conv(0, 4, 1, &format!("small{i}"), 2));
        let channels = 4 * (i + 2);
        let from = skip + 1;
        lines.push(format!(
            "upsample-concat inputs={from},{skip} channels={channels} level=0"
        ));
    }
    lines.push(conv(lines.len() - 1, 2, 0, "head", 1));
    lines.push(format!(
        "softmax inputs={} channels=2 level=0",
        lines.len() - 1
    ));
    program_of(&lines.iter().map(|line| &line[..]).collect::<Vec<_>>())
}

#[test]
fn so_many_arrays_are_joined_and_no_more() {
    assert!(joined(7).is_ok());
    let error = joined(8).unwrap_err().to_string();
    assert!(
        error.contains("it joins 9 arrays, and 8 are possible"),
        "{error}"
    );
}

#[test]
fn numbers_of_channels_that_no_network_has_are_errors() {
    let read = |at: usize, line: &str| {
        let mut lines = PLAIN.to_vec();
        lines.resize(lines.len().max(at + 1), "");
        lines[at] = line;
        description::read(&format!("stainfree graph 1\n{}\n", lines.join("\n"))).unwrap_err()
    };
    for channels in ["0", "1"] {
        let error = read(5, &format!("softmax inputs=4 channels={channels} level=0"));
        assert!(error.contains("a network needs 2 to 16"), "{error}");
    }
    for channels in [usize::MAX, usize::MAX - 1, 15] {
        let error = read(
            6,
            &format!(
                "output inputs=4 channels={channels} level=0 name=far link=linear values=scalar \
                 loss=squared weight=1e0"
            ),
        );
        assert!(error.contains("16 are possible"), "{error}");
    }
}
