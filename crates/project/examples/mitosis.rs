//! The score of mitotic nuclei: its weights, and how right it is on other plates.
//!
//! ```text
//! cargo run --release -p stainfree-project --example mitosis -- fit FIRST LAST
//! cargo run --release -p stainfree-project --example mitosis -- score FIRST LAST [KEEP_IN]
//! ```
//! For every seed from FIRST to LAST a clean and a `hard` plate of 4 fields is simulated and
//! prepared as a user would. `fit` prints the weights of a logistic regression for
//! `crates/objects/src/mitosis.rs`; `score` prints precision and recall at the program's weights.
//! KEEP_IN keeps the studies to be looked at. `docs/truth.md` has the results.

mod simulated;

use std::path::Path;

use simulated::{Failure, Mitotic, plate, prepared, reviewed, word, write};
use stainfree_specimen::Degrade;

fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [what, first, last] = match words.as_slice() {
        [what, first, last, ..] => [what, first, last],
        _ => return Err("give `fit` or `score`, the first and the last seed".into()),
    };
    let seeds: Vec<u64> = (first.parse()?..=last.parse()?).collect();
    let scratch = tempfile::tempdir()?;
    let root = words.get(3).map_or(scratch.path(), Path::new);
    match what.as_str() {
        "fit" => fit(&seeds, root),
        "score" => score(&seeds, root),
        _ => Err(format!("`{what}` is neither `fit` nor `score`").into()),
    }
}

/// A nucleus for the regression: brightness, compactness, and whether it is mitotic.
type Nucleus = ([f64; 2], bool);

fn fit(seeds: &[u64], root: &Path) -> Result<(), Failure> {
    let mut nuclei: Vec<Nucleus> = Vec::new();
    for &seed in seeds {
        for degrade in [Degrade::Clean, Degrade::Hard] {
            let name = format!("{}-{seed}", word(degrade));
            let folder = root.join(&name);
            write(&plate(seed, degrade), &folder)?;
            // Every nucleus is listed.
            let listed = |text: String| text.replace("review_score = 0.1", "review_score = 0.0");
            let study = prepared(&folder, &root.join(format!("{name}-study")), listed)?;
            for seen in reviewed(&study, &folder)?.0 {
                if let (Some(brightness), Some(compactness)) =
                    (seen.row.brightness, seen.row.compactness)
                {
                    nuclei.push(([brightness, compactness], seen.mitotic));
                }
            }
        }
    }
    let mitotic = nuclei.iter().filter(|(_, mitotic)| *mitotic).count();
    let [brightness, compactness, constant] = regression(&nuclei);
    println!("{} nuclei, {mitotic} of them mitotic", nuclei.len());
    println!("brightness {brightness:.2}, compactness {compactness:.2}, constant {constant:.2}");
    Ok(())
}

/// Logistic regression by Newton's method; a small ridge keeps it finite where the kinds do not
/// overlap.
fn regression(nuclei: &[Nucleus]) -> [f64; 3] {
    const RIDGE: f64 = 1e-2;
    let mut weights = [0.0; 3];
    for _ in 0..50 {
        let mut gradient = [0.0; 3];
        let mut hessian = [[0.0; 3]; 3];
        for &([a, b], mitotic) in nuclei {
            let x = [a, b, 1.0];
            let sum: f64 = x.iter().zip(&weights).map(|(x, w)| x * w).sum();
            let p = 1.0 / (1.0 + (-sum).exp());
            for i in 0..3 {
                gradient[i] += x[i] * (p - f64::from(u8::from(mitotic)));
                for j in 0..3 {
                    hessian[i][j] += x[i] * x[j] * p * (1.0 - p);
                }
            }
        }
        for i in 0..3 {
            gradient[i] += RIDGE * weights[i];
            hessian[i][i] += RIDGE;
        }
        let step = solved(hessian, gradient);
        for (weight, step) in weights.iter_mut().zip(step) {
            *weight -= step;
        }
    }
    weights
}

/// `x` in `a x = b`, by Cramer's rule.
fn solved(a: [[f64; 3]; 3], b: [f64; 3]) -> [f64; 3] {
    let determinant = |m: [[f64; 3]; 3]| {
        m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1])
            - m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0])
            + m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0])
    };
    let whole = determinant(a);
    std::array::from_fn(|column| {
        let mut replaced = a;
        for row in 0..3 {
            replaced[row][column] = b[row];
        }
        determinant(replaced) / whole
    })
}

fn score(seeds: &[u64], root: &Path) -> Result<(), Failure> {
    println!("| plates | precision | recall | worst plate | right of called, of all |");
    println!("|---|---|---|---|---|");
    for degrade in [Degrade::Clean, Degrade::Hard] {
        let mut plates = Vec::new();
        for &seed in seeds {
            let name = format!("{}-{seed}", word(degrade));
            let folder = root.join(&name);
            write(&plate(seed, degrade), &folder)?;
            let study = prepared(&folder, &root.join(format!("{name}-study")), |text| text)?;
            let counts = Mitotic::of(&reviewed(&study, &folder)?);
            println!("| {name} | {} |", counted(&counts));
            plates.push(counts);
        }
        let pooled = sum(plates.iter());
        let worst = |value: fn(&Mitotic) -> f64| plates.iter().map(value).fold(1.0, f64::min);
        println!(
            "| {} {} | {} | {} | {:.2}, {:.2} | {} of {}, of {} |",
            plates.len(),
            word(degrade),
            interval(&plates, Mitotic::precision),
            interval(&plates, Mitotic::recall),
            worst(Mitotic::precision),
            worst(Mitotic::recall),
            pooled.right,
            pooled.found,
            pooled.all,
        );
    }
    Ok(())
}

fn counted(counts: &Mitotic) -> String {
    format!(
        "{:.3} | {:.3} | | {} of {}, of {}",
        counts.precision(),
        counts.recall(),
        counts.right,
        counts.found,
        counts.all
    )
}

fn sum<'a>(plates: impl Iterator<Item = &'a Mitotic>) -> Mitotic {
    plates.fold(Mitotic::default(), |mut sum, plate| {
        sum += *plate;
        sum
    })
}

/// The pooled value and where 95 % of it lie when plates are drawn anew.
fn interval(plates: &[Mitotic], value: fn(&Mitotic) -> f64) -> String {
    const DRAWINGS: usize = 2000;
    let mut state = 1u64;
    let mut drawn: Vec<f64> = (0..DRAWINGS)
        .map(|_| {
            value(&sum((0..plates.len()).map(|_| {
                // Knuth's linear congruential generator; its upper bits are good enough to draw a
                // plate.
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                &plates[(state >> 33) as usize % plates.len()]
            })))
        })
        .collect();
    drawn.sort_by(f64::total_cmp);
    let at = |share: f64| drawn[(share * (DRAWINGS - 1) as f64).round() as usize];
    format!(
        "{:.3} ({:.3} to {:.3})",
        value(&sum(plates.iter())),
        at(0.025),
        at(0.975)
    )
}
