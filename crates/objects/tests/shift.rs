//! The shift estimator on drawn cells, and moving a stain.

use stainfree_image::Image;
use stainfree_objects::{ShiftEvidence, gaussian, move_back, shift_evidence, uncovered};

/// A small generator for places and noise.
struct Random(u64);

impl Random {
    fn unit(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}

const SIDE: usize = 300;

/// Soft disks of 24 px at `cells`, moved by `shift`.
fn disks(cells: &[(f64, f64)], shift: (f64, f64)) -> Image<f32> {
    Image::from_fn(SIDE, SIDE, |y, x| {
        let inside = |&(cy, cx): &(f64, f64)| {
            let r = (y as f64 - cy - shift.0).hypot(x as f64 - cx - shift.1);
            1.0 / (1.0 + ((r - 12.0) / 0.8).exp())
        };
        cells.iter().map(inside).sum::<f64>() as f32
    })
}

/// A brightfield: phase contrast of the disks (`sign` turns it over), and a stain shifted by
/// `shift`.
fn field(seed: u64, sign: f32, shift: (f64, f64)) -> (Image<f32>, Image<f32>) {
    let mut random = Random(seed);
    let cells: Vec<(f64, f64)> = (0..22)
        .map(|_| (SIDE as f64 * random.unit(), SIDE as f64 * random.unit()))
        .collect();
    let shape = disks(&cells, (0.0, 0.0));
    let (narrow, wide) = (gaussian(&shape, 1.0), gaussian(&shape, 2.5));
    let mut noise = |size: f64| (size * (random.unit() + random.unit() - 1.0)) as f32;
    let light = (0..SIDE * SIDE)
        .map(|i| 1000.0 * (1.0 + sign * 0.1 * (narrow.data()[i] - wide.data()[i])) + noise(8.0));
    let light = Image::new(SIDE, SIDE, light.collect());
    let stain = gaussian(&disks(&cells, shift), 1.0).map(|&v| 100.0 + 400.0 * v);
    let stain = stain.map(|&v| v + noise(20.0));
    (light, stain)
}

fn pooled(fields: &[(Image<f32>, Image<f32>)]) -> ShiftEvidence {
    ShiftEvidence::pooled(
        fields
            .iter()
            .map(|(light, stain)| shift_evidence(std::slice::from_ref(light), stain).unwrap()),
    )
}

#[test]
fn a_shift_is_found_to_parts_of_a_pixel_whatever_the_contrast() {
    let shift = (5.3, -3.6);
    for sign in [1.0, -1.0] {
        let fields: Vec<_> = (1..5).map(|seed| field(seed, sign, shift)).collect();
        let found = pooled(&fields).estimate().unwrap();
        let error = (found.dy_px - shift.0).hypot(found.dx_px - shift.1);
        assert!(error < 0.25, "{found:?}");
        assert!(found.is_certain(0.5), "{found:?}");
        assert!(error <= found.radius95_px, "{found:?}");
    }
}

#[test]
fn fields_of_other_cells_give_no_certain_answer() {
    let fields: Vec<_> = (1..5)
        .map(|seed| {
            (
                field(seed, 1.0, (0.0, 0.0)).0,
                field(seed + 10, 1.0, (0.0, 0.0)).1,
            )
        })
        .collect();
    let found = pooled(&fields).estimate();
    assert!(
        found.is_none_or(|found| !found.is_certain(0.5)),
        "{found:?}"
    );
    // One tile cannot know how sure it is.
    let (light, stain) = field(1, 1.0, (0.0, 0.0));
    let one = light.crop(0, 0, 170, 170);
    let found = shift_evidence(&[one], &stain.crop(0, 0, 170, 170))
        .unwrap()
        .estimate();
    assert!(found.is_none_or(|found| found.radius95_px.is_infinite()));
    let small = Image::filled(96, 96, 1.0);
    assert_eq!(
        shift_evidence(std::slice::from_ref(&small), &small)
            .unwrap()
            .estimate(),
        None
    );
    let flat = Image::filled(200, 200, 7.0);
    assert_eq!(
        shift_evidence(std::slice::from_ref(&flat), &flat)
            .unwrap()
            .estimate(),
        None
    );
}

#[test]
fn moving_by_whole_pixels_copies_and_between_them_never_overshoots() {
    let image = Image::from_fn(7, 9, |y, x| (10 * y + x) as f32);
    let moved = move_back(&image, (2.0, -1.0));
    assert_eq!(moved.get(1, 3), image.get(3, 2));
    let unknown = uncovered(7, 9, (2.0, -1.0));
    assert_eq!(
        Image::from_fn(7, 9, |y, x| y > 4 || x < 1),
        unknown,
        "rows beyond the last and columns before the first are unknown"
    );
    // A ramp stays a ramp: exact for cubics through linear data, away from the rim.
    let moved = move_back(&image, (0.25, 0.5));
    assert!((moved.get(3, 4) - (10.0 * 3.25 + 4.5)).abs() < 1e-4);
    let step = Image::from_fn(1, 8, |_, x| if x < 4 { 0.0 } else { 65_535.0 });
    let moved = move_back(&step, (0.0, 0.3));
    assert!(moved.data().iter().all(|&v| (0.0..=65_535.0).contains(&v)));
    assert_eq!(moved.get(0, 6), 65_535.0);
}
