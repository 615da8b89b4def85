//! Writes a sample report from drawn cells: `cargo run -p stainfree-report --example sample
//! OUT.html`.

use std::error::Error;

use stainfree_image::Image;
use stainfree_report::{
    Chart, Fact, FieldCard, Figure, LineChart, Picture, ReportData, Scale, Series, Swatch,
    brightfield_picture, class_color, class_colors, error_legend, error_picture, field_facts,
    overlay_classes, render, sheet, stain_picture, worst_and_best,
};
use stainfree_scores::{
    BootstrapOptions, ByName, FieldScores, Matching, class_contours, paper_scores, pixel_counts,
    summarise,
};

const SIDE: usize = 256;
const CLASSES: [&str; 3] = ["background", "nucleus", "cytoplasm"];

fn main() -> Result<(), Box<dyn Error>> {
    let out = std::env::args()
        .nth(1)
        .ok_or("give the file to write, such as sample.html")?;
    let classes = CLASSES.map(str::to_owned);
    let colors = class_colors(&classes);
    let fields: Vec<Field> = (0..20).map(Field::draw).collect();
    let counted = fields
        .iter()
        .map(Field::score)
        .collect::<Result<Vec<_>, _>>()?;
    let scores = summarise(&counted, &classes, &BootstrapOptions::default())?;

    let mut data = ReportData {
        title: "Sample study <drawn cells>".into(),
        subtitle: "Model `default` on the test wells of 20 drawn fields".into(),
        summary: vec![
            "The model finds most nuclei and most of the cytoplasm in brightfield images of wells \
             it \
             has not seen. Outlines are off by a pixel or two; small nuclei at the rim are \
             sometimes \
             missed."
                .into(),
        ],
        facts: vec![
            Fact::new("Fields", "160 training, 20 validation, 20 test"),
            Fact::new("Split", "by well, seed 1"),
            Fact::new("Pixel size", "0.345 um"),
            Fact::new("Training", "3,000 steps in 1 h 12 min on 2 cores"),
        ],
        provenance: vec![
            Fact::new("Program", concat!("stainfree ", env!("CARGO_PKG_VERSION"))),
            Fact::new("Model hash", "4f0c2a9b7be1d3a4"),
        ],
        config: "[training]\nrecipe = \"default\"\nsteps = 3000   # 40 epochs\n".into(),
        notes: vec!["Everything on this page was drawn by a program; no cell was imaged.".into()],
        ..Default::default()
    };
    data.legend = (1..3)
        .map(|i| Swatch {
            color: class_color(i, CLASSES[i]),
            label: CLASSES[i].into(),
        })
        .chain(error_legend().map(|(color, label)| Swatch {
            color,
            label: label.into(),
        }))
        .collect();
    data.add_scores(&scores);
    for field in &fields[..2] {
        data.figures.push(Figure {
            title: field.name.clone(),
            caption: "The brightfield is all the model sees.".into(),
            pictures: field.pictures(&colors)?,
        });
    }
    let crops: Vec<[Image<[u8; 3]>; 3]> = fields[2..5]
        .iter()
        .map(|f| f.crop(&colors))
        .collect::<Result<_, _>>()?;
    let rows: Vec<(&str, Vec<&Image<[u8; 3]>>)> = crops
        .iter()
        .zip(&fields[2..5])
        .map(|(c, f)| (f.name.as_str(), c.iter().collect()))
        .collect();
    data.figures.push(Figure {
        title: "Validation crops at step 3000".into(),
        caption: String::new(),
        pictures: vec![Picture::new(
            sheet(&["brightfield", "truth", "prediction"], &rows),
            "crops",
        )],
    });
    let (worst, best) = worst_and_best(&scores, 2);
    let card = |&i: &usize| -> Result<FieldCard, Box<dyn Error>> {
        Ok(FieldCard {
            name: fields[i].name.clone(),
            facts: field_facts(&scores.fields[i]),
            pictures: fields[i].pictures(&colors)?,
            note: String::new(),
        })
    };
    data.worst = worst.iter().map(card).collect::<Result<_, _>>()?;
    data.best = best.iter().map(card).collect::<Result<_, _>>()?;
    data.charts.extend(curves());
    data.truth.lines = vec!["18 of 20 test fields have a truth without doubts; 2 are dim.".into()];
    std::fs::write(out, render(&data)?)?;
    Ok(())
}

/// A smooth pseudo-random number in 0..1.
fn noise(i: usize) -> f64 {
    let mut z = (i as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 31)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    (z >> 40) as f64 / (1u64 << 24) as f64
}

fn curves() -> [Chart; 2] {
    let curve = |name: &str, dashed, f: &dyn Fn(f64, f64) -> f64| Series {
        name: name.into(),
        dashed,
        points: (1..=60)
            .map(|i| {
                let step = f64::from(i) * 50.0;
                (step, f(step / 3000.0, noise(i as usize) - 0.5))
            })
            .collect(),
    };
    let fall = |t: f64| 0.08 + 0.55 * (-6.0 * t).exp();
    let loss = LineChart {
        x_label: "training steps".into(),
        y_label: "loss".into(),
        series: vec![
            curve("training", false, &|t, n| fall(t) * (1.0 + 0.15 * n)),
            curve("validation", true, &|t, n| {
                (fall(t) + 0.02 + 0.03 * t) * (1.0 + 0.08 * n)
            }),
        ],
        y_scale: Scale::Log,
        marks: vec![(2400.0, "chosen".into())],
        ..Default::default()
    };
    let f1 = LineChart {
        x_label: "training steps".into(),
        y_label: "F1".into(),
        series: vec![
            curve("nucleus", false, &|t, n| {
                0.93 - 0.8 * (-7.0 * t).exp() + 0.015 * n
            }),
            curve("cytoplasm", true, &|t, n| {
                0.88 - 0.7 * (-5.0 * t).exp() + 0.02 * n
            }),
        ],
        marks: vec![(2400.0, "chosen".into())],
        ..Default::default()
    };
    [
        Chart {
            title: "Loss".into(),
            caption: "Training crops and validation fields; logarithmic.".into(),
            svg: loss.svg(),
        },
        Chart {
            title: "F1 on validation".into(),
            caption: String::new(),
            svg: f1.svg(),
        },
    ]
}

/// Drawn round cells: their truth, a shifted prediction, a brightfield and a stain.
struct Field {
    name: String,
    well: String,
    truth: Image<u8>,
    truth_labels: Image<u32>,
    prediction: Image<u8>,
    labels: Image<u32>,
    brightfield: Image<f32>,
    stain: Image<f32>,
}

impl Field {
    fn draw(index: usize) -> Self {
        let random = |i: usize| noise(1000 * index + i);
        let cells: Vec<[f64; 3]> = (0..14)
            .map(|i| {
                let spread = SIDE as f64;
                [
                    random(3 * i) * spread,
                    random(3 * i + 1) * spread,
                    11.0 + 6.0 * random(3 * i + 2),
                ]
            })
            .collect();
        // Fields differ in how far the prediction is off.
        let shift = 1.0 + 5.0 * random(900);
        let hit = |y: usize, x: usize, shift: f64, stretch: f64, from: usize| {
            cells
                .iter()
                .enumerate()
                .skip(from)
                .find(|(i, [cy, cx, r])| {
                    let wobble =
                        1.0 + 0.15 * ((y as f64 - cy).atan2(x as f64 - cx) * 3.0 + *i as f64).sin();
                    (y as f64 - cy - shift).hypot(x as f64 - cx + shift) < r * stretch * wobble
                })
        };
        let label = |shift: f64, from| {
            Image::from_fn(SIDE, SIDE, |y, x| {
                hit(y, x, shift, 1.0, from).map_or(0, |(i, _)| i as u32 + 1)
            })
        };
        let classes = |labels: &Image<u32>, shift: f64, from| {
            Image::from_fn(SIDE, SIDE, |y, x| match labels.get(y, x) {
                0 => 2 * u8::from(hit(y, x, shift, 2.2, from).is_some()),
                _ => 1,
            })
        };
        let truth_labels = label(0.0, 0);
        let lost = index % 3;
        let labels = label(shift * 0.6, lost);
        let grain = |y: usize, x: usize| (noise(y * SIDE + x + index) - 0.5) as f32;
        let brightfield = Image::from_fn(SIDE, SIDE, |y, x| {
            let edge = |stretch| f32::from(u8::from(hit(y, x, 0.0, stretch, 0).is_some()));
            1000.0 + 60.0 * (edge(2.25) - edge(2.1)) * 2.0 - 70.0 * (edge(1.05) - edge(0.95))
                + 25.0 * edge(1.0)
                + 30.0 * grain(y, x)
        });
        let stain = Image::from_fn(SIDE, SIDE, |y, x| {
            200.0 + f32::from(u8::from(truth_labels.get(y, x) > 0)) * 900.0 + 120.0 * grain(x, y)
        });
        Self {
            name: format!("B{:02}_s{}", index / 2 + 2, index % 2 + 1),
            well: format!("B{:02}", index / 2 + 2),
            truth: classes(&truth_labels, 0.0, 0),
            prediction: classes(&labels, shift, lost),
            truth_labels,
            labels,
            brightfield,
            stain,
        }
    }

    fn score(&self) -> Result<FieldScores, stainfree_scores::ScoreError> {
        let plane = |class: u8| self.prediction.map(|&c| f32::from(u8::from(c == class)));
        let matching = Matching::new(&self.truth_labels, &self.labels, None)?;
        let outlines = [
            ("nucleus", class_contours(&self.truth, &self.prediction, 1)?),
            ("objects", matching.contours(Some(0.325))),
        ];
        Ok(FieldScores {
            name: self.name.clone(),
            group: Some(self.well.clone()),
            pixels: Some(pixel_counts(&self.truth, &self.prediction, 3)?),
            paper: Some(paper_scores(&[plane(0), plane(1), plane(2)], &self.truth)?),
            objects: Some(matching.objects()),
            splitting: Some(matching.splitting(Some(0.325))),
            boundaries: ByName(
                outlines
                    .map(|(name, counts)| (name.to_owned(), counts))
                    .to_vec(),
            ),
            ..FieldScores::default()
        })
    }

    fn pictures(&self, colors: &[[u8; 3]]) -> Result<Vec<Picture>, Box<dyn Error>> {
        let below = brightfield_picture(&self.brightfield);
        Ok(vec![
            Picture::new(below.clone(), "brightfield"),
            Picture::new(stain_picture(&self.stain, [120, 170, 255]), "nuclear stain"),
            Picture::new(
                overlay_classes(&below, &self.truth, colors)?,
                "truth from the stains",
            ),
            Picture::new(
                overlay_classes(&below, &self.prediction, colors)?,
                "prediction",
            ),
            Picture::new(
                error_picture(&below, &self.truth, &self.prediction, 1)?,
                "nuclei: found, missed, false",
            ),
        ])
    }

    fn crop(&self, colors: &[[u8; 3]]) -> Result<[Image<[u8; 3]>; 3], Box<dyn Error>> {
        let below = brightfield_picture(&self.brightfield);
        let cut = |image: Image<[u8; 3]>| image.crop(40, 40, 160, 160);
        Ok([
            cut(below.clone()),
            cut(overlay_classes(&below, &self.truth, colors)?),
            cut(overlay_classes(&below, &self.prediction, colors)?),
        ])
    }
}
