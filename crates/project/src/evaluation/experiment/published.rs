//! The paper's published numbers, to stand beside one's own.
//!
//! Source: Bisaria, Fan and Ratnayeke (2020), Tables 1 and 2, and the evaluation cells of the
//! authors' notebooks (nalinratnayeke/CS230-cell-segmentation). Mean over images and classes,
//! background included, a class being predicted where its probability exceeds 0.5. The loss column
//! is left out: it is that of a single image.

/// One published row: mean IoU and F1 over classes, IoU and F1 of the nucleus.
pub(super) struct Row {
    /// What was trained.
    pub(super) name: &'static str,
    /// Mean IoU, mean F1, nucleus IoU, nucleus F1.
    pub(super) scores: [f64; 4],
}

const fn row(name: &'static str, scores: [f64; 4]) -> Row {
    Row { name, scores }
}

/// Table 1, development set.
pub(super) const TABLE_1: [Row; 3] = [
    row(
        "scheme A, three planes",
        [0.77114, 0.84612, 0.78615, 0.87966],
    ),
    row("scheme A, one plane", [0.77612, 0.84943, 0.79262, 0.88383]),
    row("scheme B, one plane", [0.52031, 0.62138, 0.75169, 0.85767]),
];

/// Table 2, test set; scheme A, one plane.
pub(super) const TABLE_2: [Row; 4] = [
    row("VGG16, hybrid loss", [0.78086, 0.85228, 0.80887, 0.89389]),
    row("VGG16, Dice loss", [0.76105, 0.83958, 0.78483, 0.87895]),
    row("VGG16, focal loss", [0.77823, 0.85296, 0.78522, 0.87921]),
    row(
        "EfficientNet-B4, hybrid loss",
        [0.76835, 0.84596, 0.77549, 0.87266],
    ),
];

/// The notebooks' evaluation by number of training images (encoder, images, scores), development
/// set.
pub(super) const BY_SIZE: [(&str, usize, [f64; 4]); 10] = [
    ("vgg16", 16, [0.74797, 0.83107, 0.7471, 0.85455]),
    ("vgg16", 128, [0.76683, 0.84199, 0.78066, 0.8762]),
    ("vgg16", 512, [0.77483, 0.84689, 0.79436, 0.88487]),
    ("vgg16", 1024, [0.77586, 0.8474, 0.79679, 0.88643]),
    ("vgg16", 1500, [0.77274, 0.84529, 0.79598, 0.88597]),
    ("efficientnet-b4", 16, [0.73639, 0.82297, 0.72782, 0.84133]),
    ("efficientnet-b4", 128, [0.74786, 0.83045, 0.74159, 0.85069]),
    ("efficientnet-b4", 512, [0.75981, 0.83806, 0.76146, 0.86364]),
    (
        "efficientnet-b4",
        1024,
        [0.76245, 0.83965, 0.76568, 0.86643],
    ),
    ("efficientnet-b4", 1500, [0.76551, 0.8416, 0.77484, 0.8724]),
];
