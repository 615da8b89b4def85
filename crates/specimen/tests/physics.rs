//! What is known of any microscope and any culture holds for simulated ones.
//!
//! Sources: the band limit of a partially coherent microscope is `(NA_objective + NA_condenser) /
//! wavelength` (Born & Wolf, chapter 10); shares and areas are those that a plate was asked for.

use rustfft::FftPlanner;
use rustfft::num_complex::Complex64;
use stainfree_image::Image;
use stainfree_specimen::{Optics, PlateSpec, SimulatedField, simulate_field};

fn spec(side: usize) -> PlateSpec {
    PlateSpec {
        wells: 4,
        sites: 2,
        side,
        planes: 1,
        seed: 11,
        ..PlateSpec::default()
    }
}

fn fields(spec: &PlateSpec) -> Vec<SimulatedField> {
    let places = (0..spec.wells).flat_map(|well| (0..spec.sites).map(move |site| (well, site)));
    places
        .map(|(well, site)| simulate_field(spec, well, site).unwrap())
        .collect()
}

/// Mean power of the rows at each frequency from 0 to half the sampling rate, windowed (Hann), so
/// that the borders leave nothing at high frequencies.
fn row_power(image: &Image<u16>) -> Vec<f64> {
    let width = image.width();
    let transform = FftPlanner::new().plan_fft_forward(width);
    let mut power = vec![0.0; width / 2];
    for y in 0..image.height() {
        let row = image.row(y);
        let mean = row.iter().map(|&v| f64::from(v)).sum::<f64>() / width as f64;
        let mut line: Vec<Complex64> = row
            .iter()
            .enumerate()
            .map(|(x, &v)| {
                let phase = std::f64::consts::TAU * (x as f64 + 0.5) / width as f64;
                Complex64::new((f64::from(v) - mean) * (0.5 - 0.5 * phase.cos()), 0.0)
            })
            .collect();
        transform.process(&mut line);
        for (sum, value) in power.iter_mut().zip(&line) {
            *sum += value.norm_sqr() / image.height() as f64;
        }
    }
    power
}

/// Mean of `power` between two frequencies, cycles per um.
fn band(power: &[f64], pixel_um: f64, from: f64, to: f64) -> f64 {
    let per_um = 2.0 * power.len() as f64 * pixel_um;
    let inside = &power[(from * per_um) as usize..(to * per_um) as usize];
    inside.iter().sum::<f64>() / inside.len() as f64
}

#[test]
fn nothing_but_noise_lies_beyond_the_band_of_the_optics() {
    let spec = PlateSpec {
        optics: Optics {
            objective_na: 0.3,
            condenser_na: 0.1,
            ..Optics::default()
        },
        confluence: 0.8,
        ..spec(256)
    };
    // (0.3 + 0.1) / 0.55 um = 0.73 cycles per um; the camera samples 1.54.
    let field = simulate_field(&spec, 0, 0).unwrap();
    let power = row_power(&field.brightfield[0]);
    let mean = |from, to| band(&power, spec.pixel_um, from, to);
    let (inside, beyond, far) = (mean(0.15, 0.35), mean(0.85, 1.15), mean(1.15, 1.5));
    assert!(
        inside > 5.0 * beyond,
        "{inside} in the band, {beyond} out of it"
    );
    // White noise of 256 rows of some 50 frequencies: a hundredth; no trace of cells falls off.
    assert!(
        (beyond / far - 1.0).abs() < 0.1,
        "{beyond} and {far} beyond"
    );
}

#[test]
fn a_wider_aperture_shows_finer_detail() {
    let detail = |objective_na: f64| {
        let spec = PlateSpec {
            optics: Optics {
                objective_na,
                condenser_na: 0.1,
                ..Optics::default()
            },
            confluence: 0.8,
            ..spec(256)
        };
        let field = simulate_field(&spec, 0, 0).unwrap();
        let power = row_power(&field.brightfield[0]);
        // Over the noise, which lies beyond both bands.
        band(&power, spec.pixel_um, 0.6, 0.8) / band(&power, spec.pixel_um, 1.45, 1.53)
    };
    let (narrow, wide) = (detail(0.25), detail(0.6));
    assert!(
        (narrow - 1.0).abs() < 0.15,
        "beyond the narrow band: {narrow}"
    );
    assert!(wide > 1.5, "within the wide band: {wide}");
}

/// Mean area of the nuclei that touch no border, square um.
fn nucleus_um2(fields: &[SimulatedField]) -> f64 {
    let mut areas = Vec::new();
    for field in fields {
        let labels = &field.truth.nuclei;
        let (height, width) = labels.size();
        let mut cut = vec![false; field.truth.records.len() + 2];
        for i in 0..height.max(width) {
            for (y, x) in [(0, i), (height - 1, i), (i, 0), (i, width - 1)] {
                if y < height && x < width {
                    cut[labels.row(y)[x] as usize] = true;
                }
            }
        }
        let whole = field
            .truth
            .records
            .iter()
            .filter(|r| !cut[r.id as usize] && !r.mitotic && r.nucleus_area_px > 0);
        areas.extend(whole.map(|r| f64::from(r.nucleus_area_px) * field.pixel_um.powi(2)));
    }
    assert!(areas.len() > 20, "{} nuclei are too few", areas.len());
    areas.iter().sum::<f64>() / areas.len() as f64
}

#[test]
fn nuclei_have_the_same_size_in_um_at_any_pixel_size() {
    // The same 166 um, sampled twice as finely.
    let coarse = PlateSpec {
        pixel_um: 0.65,
        ..spec(256)
    };
    let fine = PlateSpec {
        pixel_um: 0.325,
        ..spec(512)
    };
    let [coarse, fine] = [coarse, fine].map(|spec| nucleus_um2(&fields(&spec)));
    assert!(
        (coarse / fine - 1.0).abs() < 0.15,
        "{coarse} and {fine} um2"
    );
}

#[test]
fn mitoses_are_as_frequent_as_asked_and_their_chromatin_is_dense() {
    let spec = PlateSpec {
        mitotic_share: 0.3,
        ..spec(320)
    };
    let fields = fields(&spec);
    let records = || fields.iter().flat_map(|field| &field.truth.records);
    let (all, mitotic) = (records().count(), records().filter(|r| r.mitotic).count());
    let expected = 0.3 * all as f64;
    // Four standard deviations of a binomial number.
    let slack = 4.0 * (0.3 * 0.7 * all as f64).sqrt();
    assert!(
        (mitotic as f64 - expected).abs() < slack,
        "{mitotic} of {all}"
    );

    let mut light = [(0.0, 0.0); 2];
    for field in &fields {
        let stain = field.nuclear.as_ref().unwrap();
        let mut is_mitotic = vec![None; field.truth.records.len() + 2];
        for record in &field.truth.records {
            is_mitotic[record.id as usize] = Some(record.mitotic);
        }
        for (&label, &count) in field.truth.nuclei.data().iter().zip(stain.data()) {
            if let Some(mitotic) = is_mitotic[label as usize].filter(|_| label > 0) {
                let (sum, pixels) = &mut light[usize::from(mitotic)];
                *sum += f64::from(count);
                *pixels += 1.0;
            }
        }
    }
    let [interphase, mitosis] = light.map(|(sum, pixels): (f64, f64)| sum / pixels);
    assert!(mitosis > 1.2 * interphase, "{mitosis} against {interphase}");
}

/// Pixels of one label that hang together with its first, edges only.
fn piece(labels: &Image<u32>, label: u32) -> usize {
    let (height, width) = labels.size();
    let at = labels.data().iter().position(|&l| l == label).unwrap();
    let mut seen = vec![false; height * width];
    let (mut next, mut count) = (vec![at], 0);
    seen[at] = true;
    while let Some(at) = next.pop() {
        count += 1;
        let (y, x) = (at / width, at % width);
        let around = [
            (y > 0).then(|| at - width),
            (y + 1 < height).then(|| at + width),
            (x > 0).then(|| at - 1),
            (x + 1 < width).then(|| at + 1),
        ];
        for other in around.into_iter().flatten() {
            if !seen[other] && labels.data()[other] == label {
                seen[other] = true;
                next.push(other);
            }
        }
    }
    count
}

#[test]
fn an_interphase_nucleus_is_one_piece_and_lies_in_its_own_cell() {
    for field in fields(&spec(256)) {
        let truth = &field.truth;
        for record in truth.records.iter().filter(|r| r.nucleus_area_px > 0) {
            let name = format!("{} {}", field.name, record.id);
            if !record.mitotic {
                let whole = record.nucleus_area_px as usize;
                let largest = piece(&truth.nuclei, record.id);
                assert!(largest + 8 >= whole, "{name}: {largest} of {whole}");
            }
        }
        let both = truth.nuclei.data().iter().zip(truth.cells.data());
        for (&nucleus, &cell) in both.filter(|(nucleus, _)| **nucleus > 0) {
            assert_eq!(nucleus, cell, "{}", field.name);
        }
    }
}
