//! Pixel and object scores of the nuclear segmentation on real stains, for every threshold method.
//!
//! ```text
//! cargo run --release -p stainfree-objects --example truth_scores [-- DATA [KEY=VALUE ..]]
//! ```
//! DATA holds `bbbc038-u2os`, `celldetective` and `aisegcell` (default: `../shared/data`). A
//! `KEY=VALUE` changes one setting of all rows (JSON value, for example `threshold_factor=0.9`).
//! The tables are Markdown; `docs/truth.md` explains them.

use stainfree_image::Image;
use stainfree_objects::{
    Connectivity, NucleiTruth, StainSettings, Threshold, label, segment_nuclei,
};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};

type Failure = Box<dyn std::error::Error>;

/// A stain with its truth.
struct Field {
    name: String,
    group: String,
    stain: Image<f32>,
    truth: Image<u32>,
    pixel_um: Option<f64>,
}

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let data = PathBuf::from(arguments.next().unwrap_or_else(|| "../shared/data".into()));
    let changes: Vec<String> = arguments.collect();
    let per_field = changes.iter().any(|c| c == "fields");
    let mut settings = serde_json::to_value(StainSettings::default())?;
    for change in changes.iter().filter(|c| *c != "fields") {
        let (key, value) = change.split_once('=').ok_or("a change is KEY=VALUE")?;
        let mut place = &mut settings;
        for part in key.split('.') {
            place = &mut place[part];
        }
        *place = serde_json::from_str(value)?;
    }
    let settings: StainSettings = serde_json::from_value(settings)?;
    for (name, fields) in [
        ("bbbc038-u2os", bbbc038(&data)?),
        ("celldetective", celldetective(&data)?),
        ("aisegcell", aisegcell(&data)?),
    ] {
        println!("\n## {name}, {} fields\n", fields.len());
        println!(
            "| method | group | fields | precision | recall | F1 pooled | F1, fields 1, 3, .. | \
             F1, fields 2, 4, .. | \
             object F1 at 0.5 / 0.7 | false pixels in objects without a label | s |"
        );
        println!("|---|---|---|---|---|---|---|---|---|---|---|");
        let mut rows: Vec<(String, StainSettings)> = vec![("default".into(), settings.clone())];
        if !per_field {
            rows.extend(Threshold::all().map(|threshold| {
                (
                    threshold.to_string(),
                    StainSettings {
                        threshold,
                        ..settings.clone()
                    },
                )
            }));
        }
        for (method, settings) in rows {
            score(&method, &settings, &fields, per_field)?;
        }
    }
    Ok(())
}

/// Sums over fields.
#[derive(Default, Clone)]
struct Sums {
    fields: usize,
    both: u64,
    false_positive: u64,
    missed: u64,
    without_label: u64,
    half: [[u64; 3]; 2],
    object: [f64; 2],
    seconds: f64,
}

fn score(
    method: &str,
    settings: &StainSettings,
    fields: &[Field],
    per_field: bool,
) -> Result<(), Failure> {
    let mut sums: BTreeMap<String, Sums> = BTreeMap::new();
    for (i, field) in fields.iter().enumerate() {
        let start = std::time::Instant::now();
        let found = segment_nuclei(&field.stain, field.pixel_um, settings)?;
        let seconds = start.elapsed().as_secs_f64();
        let (both, false_positive, missed) = pixels(&field.truth, &found.mask);
        let objects = [0.5, 0.7].map(|t| object_f1(&field.truth, &found, t));
        let words: Vec<String> = found
            .quality
            .iter()
            .map(|v| format!("{} {:.2}", v.word, v.value))
            .collect();
        if per_field {
            println!(
                "{} {} F1 {:.3} P {:.3} R {:.3} obj {:.3} n {} t {:.2} um/px {:.2} {:?} | {}",
                field.name,
                field.group,
                f1(both, false_positive, missed),
                both as f64 / (both + false_positive).max(1) as f64,
                both as f64 / (both + missed).max(1) as f64,
                objects[0],
                found.count,
                found.threshold,
                found.um_per_pixel,
                found.numbers,
                words.join(", ")
            );
        }
        for group in ["all", &field.group] {
            let s = sums.entry(group.to_owned()).or_default();
            s.fields += 1;
            s.both += both;
            s.false_positive += false_positive;
            s.missed += missed;
            s.without_label += without_label(&field.truth, &found.mask);
            for (sum, v) in s.half[i % 2].iter_mut().zip([both, false_positive, missed]) {
                *sum += v;
            }
            s.object[0] += objects[0];
            s.object[1] += objects[1];
            s.seconds += seconds;
        }
    }
    for (group, s) in &sums {
        if group != "all" && method != "default" {
            continue;
        }
        let n = s.fields as f64;
        println!(
            "| {method} | {group} | {} | {:.4} | {:.4} | {:.4} | {:.4} | {:.4} | {:.3} / {:.3} | \
             {:.2} | {:.2} |",
            s.fields,
            s.both as f64 / (s.both + s.false_positive).max(1) as f64,
            s.both as f64 / (s.both + s.missed).max(1) as f64,
            f1(s.both, s.false_positive, s.missed),
            f1(s.half[0][0], s.half[0][1], s.half[0][2]),
            f1(s.half[1][0], s.half[1][1], s.half[1][2]),
            s.object[0] / n,
            s.object[1] / n,
            s.without_label as f64 / s.false_positive.max(1) as f64,
            s.seconds,
        );
    }
    Ok(())
}

fn f1(both: u64, false_positive: u64, missed: u64) -> f64 {
    2.0 * both as f64 / (2 * both + false_positive + missed).max(1) as f64
}

/// Pixels in both, in the mask only, in the truth only.
fn pixels(truth: &Image<u32>, mask: &Image<bool>) -> (u64, u64, u64) {
    let mut n = (0, 0, 0);
    for (&t, &m) in truth.data().iter().zip(mask.data()) {
        match (t != 0, m) {
            (true, true) => n.0 += 1,
            (false, true) => n.1 += 1,
            (true, false) => n.2 += 1,
            (false, false) => {}
        }
    }
    n
}

/// Pixels of the mask's components that meet no label.
fn without_label(truth: &Image<u32>, mask: &Image<bool>) -> u64 {
    let parts = label(mask, Connectivity::Four);
    let mut meets = vec![false; parts.count + 1];
    for (&p, &t) in parts.image.data().iter().zip(truth.data()) {
        meets[p as usize] |= t != 0;
    }
    parts
        .image
        .data()
        .iter()
        .filter(|&&p| p != 0 && !meets[p as usize])
        .count() as u64
}

/// F1 of objects matched at IoU above `t`; above a half, a match is unique.
fn object_f1(truth: &Image<u32>, found: &NucleiTruth, t: f64) -> f64 {
    let mut overlap: BTreeMap<(u32, u32), u64> = BTreeMap::new();
    let (mut a, mut b): (BTreeMap<u32, u64>, BTreeMap<u32, u64>) = Default::default();
    for (&x, &y) in truth.data().iter().zip(found.labels.data()) {
        if x != 0 {
            *a.entry(x).or_default() += 1;
        }
        if y != 0 {
            *b.entry(y).or_default() += 1;
        }
        if x != 0 && y != 0 {
            *overlap.entry((x, y)).or_default() += 1;
        }
    }
    let matched = overlap
        .iter()
        .filter(|&((x, y), &n)| n as f64 > t * (a[x] + b[y] - n) as f64)
        .count();
    2.0 * matched as f64 / (a.len() + b.len()).max(1) as f64
}

/// Sorted paths of a folder with one ending.
fn list(folder: &Path, ending: &str) -> Result<Vec<PathBuf>, Failure> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)?
        .map(|e| e.map(|e| e.path()))
        .collect::<Result<_, _>>()?;
    paths.retain(|p| p.to_string_lossy().ends_with(ending));
    paths.sort();
    Ok(paths)
}

fn stem(path: &Path) -> String {
    path.file_stem()
        .map(|s| s.to_string_lossy().into_owned())
        .unwrap_or_default()
}

fn read_png(path: &Path) -> Result<Image<u32>, Failure> {
    let picture = image::open(path)?.into_luma16();
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    Ok(Image::new(
        height,
        width,
        picture.into_raw().into_iter().map(u32::from).collect(),
    ))
}

/// Grey 8-bit PNG: the 16-bit reader multiplies by 257.
fn read_png8(path: &Path) -> Result<Image<u32>, Failure> {
    Ok(read_png(path)?.map(|&v| v / 257))
}

fn read_tiff(path: &Path, page: usize) -> Result<Image<u32>, Failure> {
    let mut decoder = tiff::decoder::Decoder::new(BufReader::new(File::open(path)?))?;
    decoder.seek_to_image(page)?;
    let (width, height) = decoder.dimensions()?;
    let data = match decoder.read_image()? {
        tiff::decoder::DecodingResult::U8(v) => v.into_iter().map(u32::from).collect(),
        tiff::decoder::DecodingResult::U16(v) => v.into_iter().map(u32::from).collect(),
        _ => return Err(format!("{}: not 8 or 16 bit", path.display()).into()),
    };
    Ok(Image::new(height as usize, width as usize, data))
}

/// Column `value` of a CSV file without quotes, by column `key`.
fn column(path: &Path, key: &str, value: &str) -> Result<BTreeMap<String, String>, Failure> {
    let text = fs::read_to_string(path)?;
    let mut lines = text.lines().map(|l| l.split(',').collect::<Vec<_>>());
    let head = lines.next().ok_or("an empty table")?;
    let at = |name: &str| {
        head.iter()
            .position(|h| *h == name)
            .ok_or(format!("no column {name}"))
    };
    let (k, v) = (at(key)?, at(value)?);
    Ok(lines
        .filter(|l| l.len() > k.max(v))
        .map(|l| (l[k].to_owned(), l[v].to_owned()))
        .collect())
}

fn bbbc038(data: &Path) -> Result<Vec<Field>, Failure> {
    let root = data.join("bbbc038-u2os");
    let groups = column(&root.join("fields.csv"), "field", "group")?;
    let mut fields = Vec::new();
    for path in list(&root.join("images"), ".png")? {
        let name = stem(&path);
        fields.push(Field {
            group: groups.get(&name).cloned().unwrap_or_default(),
            stain: read_png8(&path)?.map(|&v| v as f32),
            truth: read_png(&root.join("labels").join(format!("{name}.png")))?,
            pixel_um: None,
            name,
        });
    }
    Ok(fields)
}

fn celldetective(data: &Path) -> Result<Vec<Field>, Failure> {
    let mut fields = Vec::new();
    for path in list(&data.join("celldetective"), "_labels.tif")? {
        let name = stem(&path).trim_end_matches("_labels").to_owned();
        let beside = |ending: &str| path.with_file_name(format!("{name}{ending}"));
        let note: serde_json::Value = serde_json::from_reader(File::open(beside(".json"))?)?;
        fields.push(Field {
            group: note["experiment"].as_str().unwrap_or_default().to_owned(),
            stain: read_tiff(&beside(".tif"), 1)?.map(|&v| v as f32),
            truth: read_tiff(&path, 0)?,
            pixel_um: note["pixel_size_um"].as_f64(),
            name,
        });
    }
    Ok(fields)
}

fn aisegcell(data: &Path) -> Result<Vec<Field>, Failure> {
    let root = data.join("aisegcell");
    let sizes = column(&root.join("fields.csv"), "file", "pixel_size_um")?;
    let mut fields = Vec::new();
    for path in list(&root.join("nuc"), ".png")? {
        let name = stem(&path);
        let truth = read_png8(&root.join("nuc_gt").join(format!("{name}.png")))?;
        fields.push(Field {
            group: name.split('_').next().unwrap_or_default().to_owned(),
            stain: read_png8(&path)?.map(|&v| v as f32),
            truth: label(&truth.map(|&v| v != 0), Connectivity::Eight).image,
            pixel_um: sizes
                .get(&format!("{name}.png"))
                .and_then(|s| s.parse().ok()),
            name,
        });
    }
    Ok(fields)
}
