//! Fields and plates as their users meet them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use stainfree_image::{Image, OpenOptions, Plane};
use stainfree_specimen::{
    CHANNELS, Degrade, Optics, PlateSpec, SimulatedField, SpecimenError, simulate_field,
    write_plate,
};

/// Nobody asks for a stop.
static GO_ON: AtomicBool = AtomicBool::new(false);

/// Small enough for a quick test, large enough for some twenty cells.
fn small() -> PlateSpec {
    PlateSpec {
        wells: 1,
        sites: 1,
        side: 320,
        planes: 1,
        seed: 11,
        ..PlateSpec::default()
    }
}

fn field(spec: &PlateSpec) -> SimulatedField {
    simulate_field(spec, 0, 0).unwrap()
}

/// Pearson correlation of `a(y, x)` with `b(y + dy, x + dx)` over the common inner part.
fn correlation(a: &Image<u16>, b: &Image<u16>, dy: isize, dx: isize) -> f64 {
    let (height, width) = a.size();
    let (mut n, mut sa, mut sb, mut saa, mut sbb, mut sab) = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0);
    for y in 8..height - 8 {
        for x in 8..width - 8 {
            let u = f64::from(a.get(y, x));
            let v = f64::from(b.get((y as isize + dy) as usize, (x as isize + dx) as usize));
            n += 1.0;
            sa += u;
            sb += v;
            saa += u * u;
            sbb += v * v;
            sab += u * v;
        }
    }
    let covariance = sab / n - sa / n * (sb / n);
    let (va, vb) = (saa / n - (sa / n).powi(2), sbb / n - (sb / n).powi(2));
    covariance / (va * vb).sqrt()
}

fn with_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .unwrap()
        .install(work)
}

#[test]
fn threads_change_nothing_and_seeds_change_everything() {
    let spec = PlateSpec {
        side: 200,
        planes: 3,
        ..small()
    };
    let one = with_threads(1, || field(&spec));
    let three = with_threads(3, || field(&spec));
    assert_eq!(one.brightfield, three.brightfield);
    assert_eq!(one.nuclear, three.nuclear);
    assert_eq!(one.cytoplasmic, three.cytoplasmic);
    assert_eq!(one.truth, three.truth);
    let other = field(&PlateSpec {
        seed: 12,
        ..spec.clone()
    });
    assert_ne!(one.truth.cells, other.truth.cells);
    // Another site of the same plate is another field.
    let two_sites = PlateSpec { sites: 2, ..spec };
    let second = simulate_field(&two_sites, 0, 1).unwrap();
    assert_ne!(one.truth.cells, second.truth.cells);
}

#[test]
fn contrast_inverts_through_focus() {
    let optics = Optics {
        focus_offset_um: 0.0,
        ..Optics::default()
    };
    let spec = PlateSpec {
        planes: 3,
        optics,
        ..small()
    };
    let field = field(&spec);
    let through = correlation(&field.brightfield[0], &field.brightfield[2], 0, 0);
    // Pure phase would give -1; absorption, dust and uneven light, which do not invert, give more.
    assert!(
        through < -0.4,
        "planes at {:?} um correlate by {through}",
        field.defocus_um
    );
    // Above the cells (towards the lamp) cells are darker than the empty field, below brighter.
    let inside_minus_outside = |image: &Image<u16>| {
        let mean = |inside: bool| {
            let pixels = image.data().iter().zip(field.truth.cells.data());
            let chosen: Vec<f64> = pixels
                .filter(|&(_, &label)| (label > 0) == inside)
                .map(|(&v, _)| f64::from(v))
                .collect();
            chosen.iter().sum::<f64>() / chosen.len() as f64
        };
        mean(true) - mean(false)
    };
    assert!(
        inside_minus_outside(&field.brightfield[2]) < inside_minus_outside(&field.brightfield[0])
    );
}

#[test]
fn confluence_is_met() {
    for confluence in [0.2, 0.6, 0.95] {
        let spec = PlateSpec {
            side: 512,
            planes: 1,
            confluence,
            unstained: true,
            ..small()
        };
        let field = field(&spec);
        let covered = field
            .truth
            .classes
            .data()
            .iter()
            .filter(|&&c| c > 0)
            .count();
        let share = covered as f64 / field.truth.classes.data().len() as f64;
        // Sampling of every fourth pixel, and pieces cut off from their nucleus are removed.
        assert!(
            (share - confluence).abs() < 0.025,
            "{share} covered, {confluence} wanted"
        );
    }
}

#[test]
fn truth_is_consistent() {
    let field = field(&PlateSpec {
        mitotic_share: 0.2,
        ..small()
    });
    let truth = &field.truth;
    let (nuclei, cells) = (truth.nuclei.data(), truth.cells.data());
    let mut areas = vec![(0u32, 0u32); truth.records.len() + 1];
    for ((&class, &nucleus), &cell) in truth.classes.data().iter().zip(nuclei).zip(cells) {
        assert!(
            nucleus == 0 || nucleus == cell,
            "a nucleus lies in its own cell"
        );
        let expected = if nucleus > 0 {
            1
        } else if cell > 0 {
            2
        } else {
            0
        };
        assert_eq!(class, expected);
        areas[cell as usize].0 += 1;
        areas[nucleus as usize].1 += 1;
    }
    let with_nucleus = truth
        .records
        .iter()
        .filter(|r| r.nucleus_area_px > 0)
        .count();
    assert_eq!(nuclei.iter().max().copied(), Some(with_nucleus as u32));
    assert_eq!(
        cells.iter().max().copied(),
        Some(truth.records.len() as u32)
    );
    for (i, record) in truth.records.iter().enumerate() {
        assert_eq!(record.id as usize, i + 1);
        assert_eq!((record.area_px, record.nucleus_area_px), areas[i + 1]);
        assert_eq!(record.nucleus_area_px > 0, i < with_nucleus);
        let (y, x) = record.position;
        assert!(y >= 0.0 && x >= 0.0 && y < 320.0 && x < 320.0);
    }
    assert!(truth.records.iter().any(|r| r.mitotic) && truth.records.iter().any(|r| !r.mitotic));
}

#[test]
fn stains_lie_on_their_structures_and_move_with_the_shift() {
    let still = field(&small());
    let moved = field(&PlateSpec {
        shift_px: (3.0, -2.0),
        ..small()
    });
    assert_eq!(still.truth, moved.truth);
    assert_eq!(still.brightfield, moved.brightfield);
    let (a, b) = (
        still.nuclear.as_ref().unwrap(),
        moved.nuclear.as_ref().unwrap(),
    );
    let (right, none) = (correlation(a, b, 3, -2), correlation(a, b, 0, 0));
    // Only noise and the slow illumination differ at the right shift.
    assert!(
        right > 0.995 && right > none + 0.01,
        "{right} shifted, {none} in place"
    );

    let mean = |image: &Image<u16>, wanted: u8| {
        let pixels = image.data().iter().zip(still.truth.classes.data());
        let chosen: Vec<f64> = pixels
            .filter(|&(_, &c)| c == wanted)
            .map(|(&v, _)| f64::from(v))
            .collect();
        chosen.iter().sum::<f64>() / chosen.len() as f64
    };
    assert!(mean(a, 1) > 5.0 * mean(a, 2));
    let mitochondria = still.cytoplasmic.as_ref().unwrap();
    assert!(mean(mitochondria, 2) > mean(mitochondria, 1));
    assert!(mean(mitochondria, 2) > 3.0 * mean(mitochondria, 0));
}

#[test]
fn half_a_pixel_of_shift_is_half_a_pixel() {
    let centroid = |shift: f64| {
        let field = field(&PlateSpec {
            shift_px: (shift, 0.0),
            ..small()
        });
        let image = field.nuclear.unwrap();
        // Correlating with the unshifted image at -1, 0, +1 and a parabola through the three.
        let still = self::field(&small()).nuclear.unwrap();
        let c: Vec<f64> = [-1, 0, 1]
            .map(|dy| correlation(&still, &image, dy, 0))
            .to_vec();
        0.5 * (c[0] - c[2]) / (c[0] - 2.0 * c[1] + c[2])
    };
    assert!((centroid(0.5) - 0.5).abs() < 0.1);
}

#[test]
fn a_hard_plate_saturates_and_a_clean_one_does_not_much() {
    let saturated = |degrade| {
        let field = field(&PlateSpec {
            degrade,
            mitotic_share: 0.3,
            ..small()
        });
        field
            .nuclear
            .unwrap()
            .data()
            .iter()
            .filter(|&&v| v == u16::MAX)
            .count()
    };
    assert!(saturated(Degrade::Hard) > 50);
    assert!(saturated(Degrade::Clean) < 50);
}

#[test]
fn an_unstained_plate_shows_the_same_cells() {
    let stained = field(&small());
    let unstained = field(&PlateSpec {
        unstained: true,
        ..small()
    });
    assert_eq!(stained.brightfield, unstained.brightfield);
    assert_eq!(stained.truth, unstained.truth);
    assert!(unstained.nuclear.is_none() && unstained.cytoplasmic.is_none());
}

fn open(path: &Path) -> stainfree_image::Dataset {
    stainfree_image::open(path, &OpenOptions::default()).unwrap()
}

#[test]
fn a_written_plate_is_read_back() {
    let out = tempfile::tempdir().unwrap();
    let out = out.path().join("with space and ü");
    let spec = PlateSpec {
        wells: 2,
        sites: 2,
        side: 96,
        planes: 3,
        ..small()
    };
    let mut seen = Vec::new();
    let summary = write_plate(&spec, &out, &GO_ON, &mut |done, total| {
        seen.push((done, total))
    })
    .unwrap();
    assert_eq!(summary.fields, 4);
    assert_eq!((seen[0], *seen.last().unwrap()), ((0, 4), (4, 4)));

    // Both the folder that `simulate` names and the plate folder inside it open.
    for root in [&out.join("plate"), &summary.plate] {
        let data = open(root);
        assert_eq!(data.problems, Vec::<String>::new());
        assert_eq!(data.channels, CHANNELS);
        assert_eq!(data.fields.len(), 4);
        for (i, read) in data.fields.iter().enumerate() {
            let simulated = simulate_field(&spec, i / 2, i % 2).unwrap();
            assert_eq!((&read.name, read.pixel_um), (&simulated.name, Some(0.325)));
            for z in 0..3 {
                let Plane::U16(image) = read.read(0, z).unwrap() else {
                    panic!("16 bit")
                };
                assert_eq!(image, simulated.brightfield[z]);
            }
            for (channel, stain) in [(1, &simulated.nuclear), (2, &simulated.cytoplasmic)] {
                assert_eq!(read.planes[channel].iter().flatten().count(), 1);
                let Plane::U16(image) = read.read(channel, 0).unwrap() else {
                    panic!("16 bit")
                };
                assert_eq!(Some(&image), stain.as_ref());
            }
            let path = |kind: &str| summary.truth.join(kind).join(format!("{}.tif", read.name));
            let classes = stainfree_image::read_class_mask(&path("classes")).unwrap();
            assert_eq!(classes, simulated.truth.classes);
            let nuclei = stainfree_image::read_labels(&path("nuclei")).unwrap();
            assert_eq!(nuclei, simulated.truth.nuclei);
            let cells = stainfree_image::read_labels(&path("cells")).unwrap();
            assert_eq!(cells, simulated.truth.cells);
        }
    }
    let table = std::fs::read_to_string(summary.truth.join("cells.csv")).unwrap();
    assert_eq!(table.lines().count(), summary.cells + 1);
    assert!(table.starts_with("id,field,well,site,y_px,x_px,area_px,"));

    // A second plate does not overwrite the first, and nothing unfinished is left.
    let again = write_plate(&spec, &out, &GO_ON, &mut |_, _| {}).unwrap_err();
    assert!(matches!(again, SpecimenError::Exists { .. }), "{again}");
    // The plate, its truth, and the marker.
    assert_eq!(std::fs::read_dir(&out).unwrap().count(), 3);
}

#[test]
fn a_single_plane_plate_has_no_steps_and_what_was_killed_starts_clean() {
    let out = tempfile::tempdir().unwrap();
    let left_over = out.path().join(".simulating/plate/half.TIF");
    std::fs::create_dir_all(left_over.parent().unwrap()).unwrap();
    std::fs::write(&left_over, "half").unwrap();
    let spec = PlateSpec {
        side: 96,
        unstained: true,
        ..small()
    };
    // What nobody knows is not deleted.
    let refused = write_plate(&spec, out.path(), &GO_ON, &mut |_, _| {}).unwrap_err();
    assert!(matches!(refused, SpecimenError::Exists { .. }), "{refused}");
    assert!(left_over.is_file());
    // A plate of other choices that was begun and killed is.
    std::fs::write(out.path().join(".simulating/settings.txt"), "another plate").unwrap();
    let summary = write_plate(&spec, out.path(), &GO_ON, &mut |_, _| {}).unwrap();
    let time = summary.plate.join("TimePoint_1");
    let names: Vec<_> = std::fs::read_dir(&time)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(
        names.contains(&"sim11u_B02_s1_w1.TIF".to_owned()),
        "{names:?}"
    );
    let data = open(&out.path().join("plate"));
    assert_eq!(data.channels, ["Brightfield"]);
    assert_eq!(data.problems, Vec::<String>::new());
}

/// All files below `root` with their bytes, by path.
fn files(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let bytes = std::fs::read(&path).unwrap();
                found.insert(path.strip_prefix(root).unwrap().to_path_buf(), bytes);
            }
        }
    }
    found
}

#[test]
fn what_was_stopped_goes_on_to_the_same_bytes() {
    let place = tempfile::tempdir().unwrap();
    let (whole, parts) = (place.path().join("whole"), place.path().join("parts"));
    let spec = PlateSpec {
        wells: 5,
        side: 96,
        ..small()
    };
    let expected = write_plate(&spec, &whole, &GO_ON, &mut |_, _| {}).unwrap();
    // One thread makes one field at a time.
    let alone = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .unwrap();
    let until = |limit: usize, spec: &PlateSpec| {
        let (mut seen, cancel) = (Vec::new(), AtomicBool::new(false));
        let result = alone.install(|| {
            write_plate(spec, &parts, &cancel, &mut |done, total| {
                seen.push((done, total));
                cancel.store(done >= limit, Ordering::SeqCst);
            })
        });
        (result, seen)
    };
    let unfinished = parts.join(".simulating");
    let kept = |done: usize| {
        format!(
            "stopped as asked after {done} of 5 fields; they are kept in `{}`, and the same \
             command goes on from there",
            unfinished.display()
        )
    };
    let (result, seen) = until(2, &spec);
    assert_eq!(result.unwrap_err().to_string(), kept(2));
    assert_eq!(seen, [(0, 5), (1, 5), (2, 5)]);
    let names: Vec<_> = std::fs::read_dir(&parts).unwrap().collect();
    assert_eq!(names.len(), 2, "a half plate is not shown as a plate");
    // What is finished is not made again: its time stays.
    let first = unfinished.join("truth/classes/B02_s1.tif");
    let made = || std::fs::metadata(&first).unwrap().modified().unwrap();
    let time = made();
    let (result, seen) = until(3, &spec);
    assert_eq!(result.unwrap_err().to_string(), kept(3));
    assert_eq!(seen, [(2, 5), (3, 5)]);
    assert_eq!(made(), time);
    // Another plate does not take over fields of this one.
    let other = PlateSpec {
        seed: spec.seed + 1,
        ..spec.clone()
    };
    let (result, seen) = until(1, &other);
    assert_eq!(result.unwrap_err().to_string(), kept(1));
    assert_eq!(seen, [(0, 5), (1, 5)]);
    assert_eq!(until(4, &spec).1[0], (0, 5));
    let summary = write_plate(&spec, &parts, &GO_ON, &mut |_, _| {}).unwrap();
    assert_eq!(
        (summary.fields, summary.cells, summary.mitotic),
        (expected.fields, expected.cells, expected.mitotic)
    );
    assert!(
        files(&whole) == files(&parts),
        "interruptions changed the plate"
    );
}

#[test]
fn what_cannot_be_simulated_is_refused_before_work() {
    let out = tempfile::tempdir().unwrap();
    let bad = PlateSpec {
        side: 20,
        ..small()
    };
    let error = write_plate(&bad, out.path(), &GO_ON, &mut |_, _| panic!("no work")).unwrap_err();
    assert_eq!(error.to_string(), "`side` is `20`: use 64 to 8192 pixels");
    let error = simulate_field(&small(), 5, 0).unwrap_err();
    assert!(error.to_string().starts_with("`well` is `5`"));
}
