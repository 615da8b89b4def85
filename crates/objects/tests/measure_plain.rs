//! Measured numbers against textbook values of drawn shapes, and against plain definitions where
//! scikit-image has none: levels from rings, pairs at any distance, pixels that are no number.

use stainfree_image::{Image, Plane};
use stainfree_objects::measure::{
    Background, FieldImages, Kind, MeasurePlan, MeasureSettings, Measured, Ring, TextureSettings,
    Unit,
};
use std::f64::consts::{FRAC_PI_4, PI, SQRT_2};

/// A table whose columns are asked for by name.
struct Table {
    plan: MeasurePlan,
    found: Measured,
}

impl Table {
    fn of(
        settings: MeasureSettings,
        objects: &Image<u32>,
        cells: Option<&Image<u32>>,
        channels: &[Option<Plane>],
        pixel_um: Option<f64>,
    ) -> Self {
        let names: Vec<String> = (0..channels.len()).map(|i| format!("w{i}")).collect();
        let plan = MeasurePlan::new(settings, &names, cells.is_some(), pixel_um.is_some()).unwrap();
        let images = FieldImages {
            objects,
            cells,
            channels,
            pixel_um,
        };
        let found = plan.measure(&images).unwrap();
        Self { plan, found }
    }

    fn shapes(objects: &Image<u32>) -> Self {
        Self::of(MeasureSettings::default(), objects, None, &[], None)
    }

    fn column(&self, name: &str) -> &[f64] {
        let place = self
            .plan
            .columns()
            .iter()
            .position(|column| column.name == name);
        &self.found.columns[place.unwrap_or_else(|| panic!("no column {name}"))]
    }

    fn only(&self, name: &str) -> f64 {
        assert_eq!(self.found.labels.len(), 1);
        self.column(name)[0]
    }
}

fn drawn(rows: &[&str]) -> Image<u32> {
    let cell = |y: usize, x: usize| rows[y].as_bytes()[x];
    Image::from_fn(rows.len(), rows[0].len(), |y, x| match cell(y, x) {
        b'.' => 0,
        letter => u32::from(letter),
    })
}

fn places(size: (usize, usize)) -> impl Iterator<Item = (usize, usize)> + Clone {
    (0..size.0).flat_map(move |y| (0..size.1).map(move |x| (y, x)))
}

fn chance(i: usize) -> u64 {
    let mut z = (i as u64)
        .wrapping_add(1)
        .wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    (z ^ (z >> 27)) >> 20
}

/// Small ragged objects all over an image, some of which touch.
fn scattered(height: usize, width: usize, count: usize) -> Image<u32> {
    let mut image = Image::filled(height, width, 0);
    for i in 0..count {
        let (y, x) = (
            chance(3 * i) as usize % height,
            chance(3 * i + 1) as usize % width,
        );
        let reach = chance(3 * i + 2) as usize % 4;
        for (v, u) in places((height, width)).filter(|&(v, u)| {
            v.abs_diff(y) <= reach
                && u.abs_diff(x) <= reach
                && !chance(v * width + u).is_multiple_of(5)
        }) {
            *image.get_mut(v, u) = i as u32 + 1;
        }
    }
    image
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * b.abs().max(1.0) || (a.is_nan() && b.is_nan())
}

#[test]
fn a_rectangle_has_the_moments_of_its_sides() {
    for (height, width) in [(1, 1), (1, 9), (4, 4), (5, 12), (13, 2)] {
        let image = Image::from_fn(20, 20, |y, x| {
            u32::from((3..3 + height).contains(&y) && (5..5 + width).contains(&x))
        });
        let table = Table::shapes(&image);
        // The variance of 0..n is (n^2 - 1) / 12; an axis is four deviations.
        let axis = |n: usize| 4.0 * (((n * n - 1) as f64) / 12.0).sqrt();
        let (major, minor) = (axis(height.max(width)), axis(height.min(width)));
        assert!(
            close(table.only("axis_major_length"), major),
            "{height} x {width}"
        );
        assert!(
            close(table.only("axis_minor_length"), minor),
            "{height} x {width}"
        );
        let eccentricity = if major == 0.0 {
            0.0
        } else {
            (1.0 - (minor / major).powi(2)).sqrt()
        };
        assert!(
            close(table.only("eccentricity"), eccentricity),
            "{height} x {width}"
        );
        assert!(close(
            table.only("centroid-0"),
            3.0 + (height as f64 - 1.0) / 2.0
        ));
        assert!(close(
            table.only("centroid-1"),
            5.0 + (width as f64 - 1.0) / 2.0
        ));
        let area = (height * width) as f64;
        assert!(close(
            table.only("equivalent_diameter_area"),
            (4.0 * area / PI).sqrt()
        ));
        assert_eq!((table.only("area_bbox"), table.only("extent")), (area, 1.0));
        assert_eq!(
            (table.only("area_convex"), table.only("solidity")),
            (area, 1.0)
        );
        if height > 1 && width > 1 {
            // Through the centres of the border's pixels.
            let perimeter = 2.0 * (height + width - 2) as f64;
            assert!(height < 3 || width < 3 || close(table.only("perimeter"), perimeter));
        }
        match height.cmp(&width) {
            std::cmp::Ordering::Greater => assert_eq!(table.only("orientation"), 0.0),
            std::cmp::Ordering::Less => assert!(close(table.only("orientation").abs(), PI / 2.0)),
            std::cmp::Ordering::Equal => assert_eq!(table.only("orientation"), -FRAC_PI_4),
        }
    }
}

#[test]
fn slanted_lines_lie_at_their_angles() {
    let line = |step: fn(usize) -> (usize, usize)| {
        let on: Vec<(usize, usize)> = (0..9).map(step).collect();
        Table::shapes(&Image::from_fn(20, 20, |y, x| {
            u32::from(on.contains(&(y, x)))
        }))
    };
    let down = line(|i| (i, i));
    assert!(close(down.only("orientation"), FRAC_PI_4));
    assert!(close(line(|i| (i, 10 - i)).only("orientation"), -FRAC_PI_4));
    assert_eq!(down.only("axis_minor_length"), 0.0);
    assert_eq!(down.only("eccentricity"), 1.0);
    assert!(close(
        down.only("axis_major_length"),
        4.0 * (2.0 * 80.0 / 12.0f64).sqrt()
    ));
    // Two rows for a column: the angle whose tangent is one half.
    let steep = line(|i| (2 * i, i));
    assert!(
        close(steep.only("orientation"), 0.5f64.atan()),
        "{}",
        steep.only("orientation")
    );
    // The longest extent of nine diamonds in a row: eight steps and a diamond.
    assert!(close(down.only("feret_diameter_max"), 8.0f64.hypot(9.0)));
}

#[test]
fn a_disk_is_round_by_every_measure() {
    let radius = 40.0f64;
    let disk = Image::from_fn(101, 101, |y, x| {
        u32::from((y as f64 - 50.0).hypot(x as f64 - 50.0) <= radius)
    });
    let table = Table::shapes(&disk);
    let near = |name: &str, expected: f64, tolerance: f64| {
        let found = table.only(name);
        assert!(
            (found / expected - 1.0).abs() < tolerance,
            "{name}: {found}, not {expected}"
        );
    };
    near("area", PI * radius * radius, 0.005);
    near("perimeter_crofton", 2.0 * PI * radius, 0.01);
    near("axis_major_length", 2.0 * radius, 0.01);
    near("axis_minor_length", 2.0 * radius, 0.01);
    near("feret_diameter_max", 2.0 * radius + 1.0, 0.01);
    near("feret_diameter_min", 2.0 * radius + 1.0, 0.02);
    near("solidity", 1.0, 0.02);
    assert!(table.only("eccentricity") < 1e-6);
}

#[test]
fn holes_and_pieces_are_counted_with_corners_joined() {
    let numbers = |rows: &[&str]| Table::shapes(&drawn(rows)).only("euler_number");
    assert_eq!(numbers(&["a"]), 1.0);
    assert_eq!(numbers(&["a.", ".a"]), 1.0);
    assert_eq!(numbers(&["a.a", "...", "a.a"]), 4.0);
    assert_eq!(numbers(&["aaa", "a.a", "aaa"]), 0.0);
    assert_eq!(numbers(&[".a.", "a.a", ".a."]), 0.0);
    assert_eq!(numbers(&["aaaaa", "a.a.a", "aaaaa"]), -1.0);
    assert_eq!(numbers(&["aaaaa", "a...a", "a.a.a", "a...a", "aaaaa"]), 1.0);
}

#[test]
fn what_ends_at_the_rim_touches_it() {
    let image = drawn(&["a..b..", "......", ".c..d.", "......", "e..f.."]);
    let table = Table::shapes(&image);
    assert_eq!(
        table.column("touches_border"),
        [1.0, 1.0, 0.0, 0.0, 1.0, 1.0]
    );
    assert_eq!(table.column("bbox-0"), [0.0, 0.0, 2.0, 2.0, 4.0, 4.0]);
    assert_eq!(table.column("bbox-3"), [1.0, 4.0, 2.0, 5.0, 1.0, 4.0]);
    let right = Table::shapes(&drawn(&["...", "..a", "..."]));
    assert_eq!(right.only("touches_border"), 1.0);
}

#[test]
fn the_hull_is_that_of_the_middles_of_the_pixels_edges() {
    type Point = (i64, i64);
    let turn = |a: Point, b: Point, c: Point| (b.0 - a.0) * (c.1 - a.1) - (b.1 - a.1) * (c.0 - a.0);
    // Half pixels, so that all is whole. A point lies in the hull unless a line through two of the
    // points has it alone on one side.
    let diamonds = |pixels: &[Point]| -> Vec<Point> {
        let around = [(-1, 0), (1, 0), (0, -1), (0, 1)];
        let of = |&(y, x): &Point| around.map(|(dy, dx)| (2 * y + dy, 2 * x + dx));
        pixels.iter().flat_map(of).collect()
    };
    let image = scattered(60, 80, 30);
    let table = Table::shapes(&image);
    for (i, &label) in table.found.labels.iter().enumerate() {
        let pixels: Vec<Point> = places(image.size())
            .filter(|&(y, x)| image.get(y, x) == label)
            .map(|(y, x)| (y as i64, x as i64))
            .collect();
        let points = diamonds(&pixels);
        let edges: Vec<(Point, Point)> = points
            .iter()
            .flat_map(|&a| points.iter().map(move |&b| (a, b)))
            .filter(|&(a, b)| a != b && points.iter().all(|&c| turn(a, b, c) >= 0))
            .collect();
        let inside = |p: Point| edges.iter().all(|&(a, b)| turn(a, b, p) >= 0);
        let hull: Vec<Point> = places(image.size())
            .map(|(y, x)| (y as i64, x as i64))
            .filter(|&(y, x)| inside((2 * y, 2 * x)))
            .collect();
        assert_eq!(
            table.column("area_convex")[i],
            hull.len() as f64,
            "object {label}"
        );
        assert!(close(
            table.column("solidity")[i],
            pixels.len() as f64 / hull.len() as f64
        ));
        let points = diamonds(&hull);
        let longest = points.iter().flat_map(|a| {
            points
                .iter()
                .map(move |b| (((a.0 - b.0).pow(2) + (a.1 - b.1).pow(2)) as f64).sqrt() / 2.0)
        });
        let longest = longest.fold(0.0, f64::max);
        assert!(
            close(table.column("feret_diameter_max")[i], longest),
            "object {label}"
        );
        // Widths in every thousandth of a half turn come near the smallest, and never below it.
        let width = |k: usize| {
            let (s, c) = (PI * k as f64 / 1000.0).sin_cos();
            let along = points
                .iter()
                .map(|p| (p.0 as f64 * s + p.1 as f64 * c) / 2.0);
            let (low, high) = along.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| {
                (l.min(v), h.max(v))
            });
            high - low
        };
        let narrowest = (0..1000).map(width).fold(f64::INFINITY, f64::min);
        let found = table.column("feret_diameter_min")[i];
        assert!(
            found <= narrowest + 1e-9 && found > narrowest - 0.04,
            "{found} {narrowest}"
        );
    }
}

#[test]
fn neighbours_are_counted_by_the_distance_of_their_nearest_pixels() {
    let image = scattered(150, 170, 120);
    for (um, pixel_um) in [(0.0, 0.5), (0.7, 0.5), (3.0, 0.5), (40.0, 0.5), (10.0, 4.0)] {
        let settings = MeasureSettings {
            neighbours_um: um,
            ..MeasureSettings::default()
        };
        let table = Table::of(settings, &image, None, &[], Some(pixel_um));
        let labels = &table.found.labels;
        let coordinates: Vec<Vec<(usize, usize)>> = labels
            .iter()
            .map(|&l| {
                places(image.size())
                    .filter(|&(y, x)| image.get(y, x) == l)
                    .collect()
            })
            .collect();
        let square = |a: &[(usize, usize)], b: &[(usize, usize)]| -> usize {
            let of = |p: &(usize, usize)| {
                b.iter()
                    .map(|q| p.0.abs_diff(q.0).pow(2) + p.1.abs_diff(q.1).pow(2))
                    .min()
            };
            a.iter().filter_map(of).min().unwrap()
        };
        for (i, a) in coordinates.iter().enumerate() {
            let others = coordinates.iter().enumerate().filter(|(j, _)| *j != i);
            let gaps: Vec<f64> = others.map(|(_, b)| (square(a, b) as f64).sqrt()).collect();
            let within = |limit: f64| gaps.iter().filter(|&&gap| gap <= limit).count() as f64;
            assert_eq!(
                table.column("neighbours_touching")[i],
                within(SQRT_2),
                "{}",
                labels[i]
            );
            let near = within(um / pixel_um);
            assert_eq!(
                table.column("neighbours_near")[i],
                near,
                "{} in {um} um",
                labels[i]
            );
        }
    }
    let unknown = Table::of(MeasureSettings::default(), &image, None, &[], None);
    assert!(
        unknown
            .column("neighbours_near")
            .iter()
            .all(|near| near.is_nan())
    );
}

/// A field of two nuclei in one cell and one in another, with a channel.
fn field() -> (Image<u32>, Image<u32>, Image<u16>) {
    let objects = Image::from_fn(40, 70, |y, x| match (y, x) {
        (15..=20, 10..=15) => 1,
        (15..=20, 26..=30) => 2,
        (18..=24, 50..=57) => 3,
        _ => 0,
    });
    let cells = Image::from_fn(40, 70, |y, x| match (y, x) {
        (8..=28, 4..=36) => 9,
        (10..=30, 44..=64) => 8,
        _ => 0u32,
    });
    let plane = Image::from_fn(40, 70, |y, x| {
        (100 + 3 * x + chance(y * 70 + x) as usize % 40) as u16
    });
    (objects, cells, plane)
}

#[test]
fn a_level_from_the_ring_is_its_median_and_a_cells_the_mean_of_its_nuclei() {
    let (objects, cells, plane) = field();
    let settings = MeasureSettings {
        background: Background::Ring,
        ring: Some(Ring {
            gap_um: 2.0,
            width_um: 2.5,
        }),
        ..MeasureSettings::default()
    };
    let channels = [Some(Plane::U16(plane.clone()))];
    let table = Table::of(settings, &objects, Some(&cells), &channels, Some(1.0));
    let nearest = |y: usize, x: usize, label: u32| {
        let of = places(objects.size()).filter(|&(v, u)| objects.get(v, u) == label);
        let square = |(v, u): (usize, usize)| v.abs_diff(y).pow(2) + u.abs_diff(x).pow(2);
        (of.map(square).min().unwrap() as f64).sqrt()
    };
    let mut levels = vec![];
    for label in 1..=3u32 {
        let ring = places(objects.size()).filter(|&(y, x)| {
            let own = nearest(y, x, label);
            let others = (1..=3).filter(|&l| l != label).map(|l| nearest(y, x, l));
            own > 2.0 && own <= 4.5 && others.fold(f64::INFINITY, f64::min) > own
        });
        let mut values: Vec<u16> = ring.map(|(y, x)| plane.get(y, x)).collect();
        values.sort_unstable();
        let last = values.len() - 1;
        let (low, high) = (values[last / 2], values[last.div_ceil(2)]);
        levels.push((f64::from(low) + f64::from(high)) / 2.0);
        let i = label as usize - 1;
        assert_eq!(table.column("ring_area")[i], values.len() as f64);
        assert_eq!(table.column("background")[i], levels[i]);
        let net = table.column("intensity_mean")[i] - levels[i];
        assert!(close(table.column("intensity_mean_net")[i], net));
        let sum = table.column("intensity_sum")[i] - levels[i] * table.column("area")[i];
        assert!(close(table.column("intensity_sum_net")[i], sum));
    }
    let cell = (levels[0] + levels[1]) / 2.0;
    for i in [0, 1] {
        let net = table.column("cell_intensity_mean")[i] - cell;
        assert!(close(table.column("cell_intensity_mean_net")[i], net));
        assert_eq!(table.column("cell_nuclei")[i], 2.0);
        // A nucleus and its cytoplasm are both taken above the nucleus' own level.
        let ratio = (table.column("intensity_mean")[i] - levels[i])
            / (table.column("cytoplasm_intensity_mean")[i] - levels[i]);
        let expected =
            if ratio.is_finite() && table.column("cytoplasm_intensity_mean")[i] > levels[i] {
                ratio
            } else {
                f64::NAN
            };
        assert!(close(table.column("cytoplasm_ratio")[i], expected));
    }
    assert_eq!(table.column("cell_label"), [9.0, 9.0, 8.0]);
    assert_eq!(table.column("cytoplasm_area")[2], 21.0 * 21.0 - 56.0);
}

#[test]
fn a_cell_has_the_nuclei_that_lie_in_it_by_more_than_half() {
    let objects = drawn(&["aaaa", "....", "bbbb", "....", "cc.."]);
    let cells = drawn(&["xx..", "....", "xxxy", "....", ".zz."]);
    let table = Table::of(
        MeasureSettings::default(),
        &objects,
        Some(&cells),
        &[],
        None,
    );
    let label = table.column("cell_label");
    assert!(
        label[0].is_nan() && label[2].is_nan(),
        "half is not more than half"
    );
    assert_eq!(label[1], f64::from(b'x'));
    assert_eq!(table.column("cell_nuclei")[1], 1.0);
    // The cell's own numbers are the nucleus' row.
    assert_eq!(table.column("cell_area")[1], 5.0);
    assert!(table.column("cell_area")[0].is_nan());
    // All of `x` lies under nuclei: it has no cytoplasm.
    assert!(table.column("cytoplasm_area")[1].is_nan());
}

#[test]
fn floats_are_measured_as_the_same_whole_numbers_are_and_nan_stays_with_its_object() {
    let (objects, cells, plane) = field();
    let measure = |channel: Plane| {
        let settings = MeasureSettings {
            texture: Some(TextureSettings::default()),
            ..MeasureSettings::default()
        };
        Table::of(
            settings,
            &objects,
            Some(&cells),
            &[Some(channel)],
            Some(1.0),
        )
    };
    let floats = plane.map(|&v| f32::from(v));
    let (whole, real) = (
        measure(Plane::U16(plane)),
        measure(Plane::F32(floats.clone())),
    );
    for (column, (a, b)) in whole
        .plan
        .columns()
        .iter()
        .zip(whole.found.columns.iter().zip(&real.found.columns))
    {
        assert!(
            a.iter().zip(b).all(|(&a, &b)| close(a, b)),
            "{}",
            column.name
        );
    }
    // A pixel that is no number, in the second nucleus; one outside of everything.
    let mut broken = floats;
    *broken.get_mut(17, 28) = f32::NAN;
    *broken.get_mut(1, 1) = f32::NAN;
    let found = measure(Plane::F32(broken));
    for name in [
        "intensity_mean",
        "intensity_median",
        "intensity_max",
        "intensity_std",
        "intensity_p5",
    ] {
        let column = found.column(name);
        assert!(column[1].is_nan(), "{name}");
        assert_eq!(
            [column[0], column[2]],
            [real.column(name)[0], real.column(name)[2]],
            "{name}"
        );
    }
    // The background is that of the pixels that are numbers.
    assert!(
        found
            .column("background")
            .iter()
            .all(|level| level.is_finite())
    );
    assert_eq!(found.column("area"), real.column("area"));
}

/// The seven features of pairs at `distance` in `levels`, by counting into a matrix.
fn plain_texture(
    objects: &Image<u32>,
    plane: &Image<u16>,
    label: u32,
    distance: isize,
    levels: usize,
) -> Option<[f64; 7]> {
    let inside = |y: isize, x: isize| {
        let (height, width) = objects.size();
        y >= 0
            && x >= 0
            && (y as usize) < height
            && (x as usize) < width
            && objects.get(y as usize, x as usize) == label
    };
    let values = || places(objects.size()).filter(|&(y, x)| objects.get(y, x) == label);
    let all: Vec<f64> = values().map(|(y, x)| f64::from(plane.get(y, x))).collect();
    let (low, high) = (
        all.iter().copied().fold(f64::INFINITY, f64::min),
        all.iter().copied().fold(0.0, f64::max),
    );
    let grey = |y: usize, x: usize| -> usize {
        if high == low {
            return 0;
        }
        let share = (f64::from(plane.get(y, x)) - low) * levels as f64 / (high - low);
        (share as usize).min(levels - 1)
    };
    let diagonal = (distance as f64 / SQRT_2).round() as isize;
    let mut sums = [0.0; 7];
    let mut directions = 0.0;
    for (dy, dx) in [
        (0, distance),
        (diagonal, diagonal),
        (distance, 0),
        (diagonal, -diagonal),
    ] {
        let mut matrix = vec![vec![0.0; levels]; levels];
        let mut total = 0.0;
        for (y, x) in values() {
            let (v, u) = (y as isize + dy, x as isize + dx);
            if inside(v, u) {
                let (a, b) = (grey(y, x), grey(v as usize, u as usize));
                matrix[a][b] += 1.0;
                matrix[b][a] += 1.0;
                total += 2.0;
            }
        }
        if total == 0.0 {
            continue;
        }
        directions += 1.0;
        let p = |i: usize, j: usize| matrix[i][j] / total;
        let pairs = || (0..levels).flat_map(|i| (0..levels).map(move |j| (i, j)));
        let sum = |of: &dyn Fn(f64, f64, f64) -> f64| -> f64 {
            pairs().map(|(i, j)| of(i as f64, j as f64, p(i, j))).sum()
        };
        let mean = sum(&|i, _, p| i * p);
        let variance = sum(&|i, _, p| (i - mean).powi(2) * p);
        let covariance = sum(&|i, j, p| (i - mean) * (j - mean) * p);
        let asm = sum(&|_, _, p| p * p);
        let features = [
            sum(&|i, j, p| (i - j).powi(2) * p),
            sum(&|i, j, p| (i - j).abs() * p),
            sum(&|i, j, p| p / (1.0 + (i - j).powi(2))),
            asm,
            asm.sqrt(),
            if variance < 1e-9 {
                1.0
            } else {
                covariance / variance
            },
            sum(&|_, _, p| if p > 0.0 { -p * p.ln() } else { 0.0 }),
        ];
        sums.iter_mut().zip(features).for_each(|(s, f)| *s += f);
    }
    (directions > 0.0).then(|| sums.map(|s| s / directions))
}

#[test]
fn texture_counts_pairs_at_any_distance_in_any_number_of_levels() {
    let objects = scattered(50, 60, 25);
    let plane = Image::from_fn(50, 60, |y, x| (chance(y * 60 + x) % 900) as u16);
    let names = [
        "contrast",
        "dissimilarity",
        "homogeneity",
        "ASM",
        "energy",
        "correlation",
        "entropy",
    ];
    for (distance_px, levels) in [(1, 2), (2, 8), (3, 256), (40, 5)] {
        let settings = MeasureSettings {
            texture: Some(TextureSettings {
                distance_px,
                levels,
            }),
            ..MeasureSettings::default()
        };
        let table = Table::of(
            settings,
            &objects,
            None,
            &[Some(Plane::U16(plane.clone()))],
            None,
        );
        for (i, &label) in table.found.labels.iter().enumerate() {
            let expected = plain_texture(&objects, &plane, label, distance_px as isize, levels);
            for (k, name) in names.iter().enumerate() {
                let found = table.column(&format!("texture_{name}"))[i];
                let wanted = expected.map_or(f64::NAN, |features| features[k]);
                assert!(
                    close(found, wanted),
                    "{name} of {label} at {distance_px}: {found}, not {wanted}"
                );
            }
        }
    }
    // A flat object has one level, whatever it is.
    let flat = Image::filled(5, 5, 77u16);
    let settings = MeasureSettings {
        texture: Some(TextureSettings::default()),
        ..MeasureSettings::default()
    };
    let table = Table::of(
        settings,
        &Image::filled(5, 5, 4),
        None,
        &[Some(Plane::U16(flat))],
        None,
    );
    let found: Vec<f64> = names
        .iter()
        .map(|n| table.only(&format!("texture_{n}")))
        .collect();
    assert_eq!(found, [0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0]);
}

#[test]
fn settings_out_of_range_are_named_with_their_range() {
    let standard = MeasureSettings::default;
    let ring = |gap_um: f64, width_um: f64| MeasureSettings {
        ring: Some(Ring { gap_um, width_um }),
        ..standard()
    };
    let texture = |distance_px: usize, levels: usize| MeasureSettings {
        texture: Some(TextureSettings {
            distance_px,
            levels,
        }),
        ..standard()
    };
    for good in [
        ring(0.0, 100.0),
        ring(100.0, 0.1),
        texture(1, 2),
        texture(1000, 256),
        standard(),
    ] {
        assert!(good.check().is_ok(), "{good:?}");
    }
    for (wrong, name) in [
        (ring(-0.1, 1.0), "`ring gap` = `-0.1`"),
        (ring(f64::NAN, 1.0), "`ring gap` = `NaN`"),
        (ring(0.0, 0.0), "`ring width` = `0`"),
        (ring(0.0, 100.5), "`ring width` = `100.5`"),
        (texture(0, 8), "`texture distance` = `0`"),
        (texture(1001, 8), "`texture distance` = `1001`"),
        (texture(1, 1), "`texture levels` = `1`"),
        (texture(1, 257), "`texture levels` = `257`"),
    ] {
        let error = wrong.check().unwrap_err().to_string();
        assert!(
            error.starts_with(name) && error.contains("out of range"),
            "{error}"
        );
    }
}

#[test]
fn lengths_and_areas_have_twins_right_behind_them() {
    let plan = MeasurePlan::new(MeasureSettings::default(), &["a".into()], true, true).unwrap();
    let columns = plan.columns();
    let mut twins = 0;
    for (i, column) in columns.iter().enumerate() {
        let ending = match column.unit {
            Unit::Length => "_um",
            Unit::Area => "_um2",
            _ => continue,
        };
        if column.name.ends_with("_um") || column.name.ends_with("_um2") {
            continue;
        }
        let twin = &columns[i + 1];
        assert_eq!(twin.name, format!("{}{ending}", column.name));
        assert_eq!((twin.kind, twin.frame), (Kind::Float, column.frame));
        twins += 1;
    }
    assert!(twins > 10, "{twins}");
    // Measured, each is its column times the pixel size or its square.
    let objects = scattered(40, 40, 12);
    let table = Table::of(MeasureSettings::default(), &objects, None, &[], Some(0.25));
    for (name, twin, factor) in [
        ("area_convex", "area_convex_um2", 0.0625),
        ("feret_diameter_max", "feret_diameter_max_um", 0.25),
        ("centroid-1", "centroid-1_um", 0.25),
    ] {
        let pairs = table.column(name).iter().zip(table.column(twin));
        pairs.for_each(|(px, um)| assert_eq!(px * factor, *um, "{name}"));
    }
}
