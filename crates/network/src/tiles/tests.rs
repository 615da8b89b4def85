//! Networks of known reach and appetite on images of every size.

use super::*;
use crate::output::Values;
use crate::{Encoder, UnetSpec};

/// A "network" of known reach: class 1 is the mean over a square of `reach` to each side (zero
/// outside), class 0 the first plane itself.
struct Mean {
    reach: isize,
    sizes: Vec<(usize, usize)>,
}

impl Predict for Mean {
    fn predict(&mut self, tile: &Tile, out: &mut [f32]) -> Result<(), DeviceError> {
        let [height, width] = tile.size();
        self.sizes.push((height, width));
        let mut plane = vec![0.0; height * width];
        for (y, row) in plane.chunks_exact_mut(width).enumerate() {
            tile.row(0, y, row);
        }
        let inside = |i: isize, n: usize| (0..n as isize).contains(&i);
        let ([top, left], [image_height, image_width]) = (tile.corner(), tile.out_size());
        let [rows, columns] = tile.kept();
        for (y, x) in rows.flat_map(|y| columns.clone().map(move |x| (y, x))) {
            let mut sum = 0.0;
            let (i, j) = (y as isize, x as isize);
            for v in (i - self.reach..=i + self.reach).filter(|v| inside(*v, height)) {
                for u in (j - self.reach..=j + self.reach).filter(|u| inside(*u, width)) {
                    sum += plane[v as usize * width + u as usize];
                }
            }
            let at = (i + top) as usize * image_width + (j + left) as usize;
            out[at] = plane[y * width + x];
            out[image_height * image_width + at] = sum;
        }
        Ok(())
    }

    fn memory_bytes(&self, height: usize, width: usize) -> usize {
        height * width
    }
}

fn image(height: usize, width: usize) -> Vec<f32> {
    (0..3 * height * width)
        .map(|i| ((i * 7919) % 64) as f32)
        .collect()
}

fn run(
    height: usize,
    width: usize,
    memory: Option<usize>,
    flips: bool,
) -> (Vec<f32>, Vec<(usize, usize)>) {
    let options = TileOptions {
        multiple: 8,
        channels: 3,
        outputs: vec![Output::classes(2)],
        radius: 7,
        sees_whole_image: false,
        memory,
        flips,
    };
    let mut network = Mean {
        reach: 7,
        sizes: vec![],
    };
    let out = predict_image(&mut network, &image(height, width), height, width, &options).unwrap();
    (out, network.sizes)
}

#[test]
fn tiles_give_what_the_whole_gives() {
    for (height, width) in [(70, 53), (64, 64), (8, 100), (1, 1), (65, 9)] {
        let (whole, sizes) = run(height, width, None, false);
        assert_eq!(
            sizes,
            [(height.next_multiple_of(8), width.next_multiple_of(8))]
        );
        assert_eq!(
            whole[..height * width],
            image(height, width)[..height * width]
        );
        for cap in [24 * 24, 32 * 32, 40 * 40] {
            let (tiled, sizes) = run(height, width, Some(cap), false);
            // Whole numbers: the sums are exact in f32.
            assert_eq!(tiled, whole, "{height} x {width} under {cap}");
            assert!(
                sizes
                    .iter()
                    .all(|(h, w)| h * w <= cap && h % 8 == 0 && w % 8 == 0),
                "{sizes:?}"
            );
        }
    }
    assert!(
        run(70, 53, Some(32 * 32), false).1.len() > 4,
        "the cap did not lead to tiles"
    );
}

/// The image put together from its parts, of which no more is at hand than they read.
fn in_parts(height: usize, width: usize, memory: usize, most: usize, flips: bool) -> Vec<f32> {
    let options = TileOptions {
        multiple: 8,
        channels: 3,
        outputs: vec![Output::classes(2)],
        radius: 7,
        sees_whole_image: false,
        memory: Some(memory),
        flips,
    };
    let mut network = Mean {
        reach: 7,
        sizes: vec![],
    };
    let planes = image(height, width);
    let found = cuts(&network, &options, [height, width], most).unwrap();
    let mut whole = vec![f32::NAN; 2 * height * width];
    for rows in &found.rows {
        for columns in &found.columns {
            let kept = [rows.clone(), columns.clone()];
            let at = needed_for_part(&options, [height, width], &kept, found.margin);
            let row = |c: usize, y: usize| {
                let from = (c * height + y) * width;
                planes[from + at[1].start..from + at[1].end].to_vec()
            };
            let there: Vec<f32> = (0..3)
                .flat_map(|c| at[0].clone().flat_map(move |y| row(c, y)))
                .collect();
            let window = Window {
                planes: &there,
                at: at.clone(),
                size: [height, width],
            };
            let part = predict_part(&mut network, &window, &kept, found.margin, &options, None);
            let part = part.unwrap();
            for (i, value) in part.into_iter().enumerate() {
                let (line, x) = (i / columns.len(), i % columns.len());
                let (c, y) = (line / rows.len(), line % rows.len());
                whole[(c * height + rows.start + y) * width + columns.start + x] = value;
            }
        }
    }
    whole
}

#[test]
fn parts_of_which_only_a_window_is_there_give_what_the_whole_gives() {
    for (height, width) in [(70, 53), (64, 64), (8, 100), (1, 1), (65, 9)] {
        for flips in [false, true] {
            let (whole, _) = run(height, width, None, flips);
            for (memory, most) in [(24 * 24, 64), (40 * 40, 16), (64 * 64, 1)] {
                let found = in_parts(height, width, memory, most, flips);
                // Whole numbers, and quarters of them: exact in f32.
                assert_eq!(found, whole, "{height} x {width}, {memory}, flips {flips}");
            }
        }
    }
}

#[test]
fn a_cut_margin_is_known_with_the_memory_that_would_do() {
    let cut = |memory: Option<usize>, height: usize, width: usize| {
        let network = Mean {
            reach: 7,
            sizes: vec![],
        };
        let options = TileOptions {
            multiple: 8,
            channels: 3,
            outputs: vec![Output::classes(2)],
            radius: 15,
            sees_whole_image: false,
            memory,
            flips: false,
        };
        cut_margin(&network, &options, height, width)
    };
    // 8 kept pixels and 16 more to each side.
    let full = 40 * 40;
    let expected = CutMargin {
        margin: 8,
        full: 16,
        needed: full,
    };
    assert_eq!(cut(Some(full - 1), 70, 53), Some(expected));
    assert_eq!(cut(Some(full), 70, 53), None);
    assert_eq!(cut(None, 70, 53), None);
    // In one piece; not at all.
    assert_eq!(cut(Some(24 * 24), 20, 24), None);
    assert_eq!(cut(Some(24 * 24 - 1), 70, 53), None);
}

/// Takes more memory for narrow tiles than for wide ones, as high bands of whole rows do.
struct NarrowIsDear(Mean);

impl Predict for NarrowIsDear {
    fn predict(&mut self, tile: &Tile, out: &mut [f32]) -> Result<(), DeviceError> {
        self.0.predict(tile, out)
    }

    fn memory_bytes(&self, height: usize, width: usize) -> usize {
        let dear = if width < 60 { 8 } else { 1 };
        dear * height * width
    }
}

#[test]
fn a_larger_tile_that_needs_less_memory_keeps_the_margin() {
    let mut network = NarrowIsDear(Mean {
        reach: 7,
        sizes: vec![],
    });
    // The least core with its margin is 40 x 40 and takes 12800; four tiles of at most 80 x 80
    // take half of that.
    let cap = 80 * 80;
    let options = TileOptions {
        multiple: 8,
        channels: 3,
        outputs: vec![Output::classes(2)],
        radius: 15,
        memory: Some(cap),
        flips: false,
        sees_whole_image: false,
    };
    let (height, width) = (120, 128);
    assert_eq!(cut_margin(&network, &options, height, width), None);
    let planes = image(height, width);
    let tiled = predict_image(&mut network, &planes, height, width, &options).unwrap();
    assert_eq!(tiled, run(height, width, None, false).0);
    assert_eq!(network.0.sizes, [(80, 80), (80, 80), (72, 80), (72, 80)]);
    // One byte less, and the cut margin names what would do.
    let less = TileOptions {
        memory: Some(cap - 1),
        ..options
    };
    let cut = cut_margin(&network, &less, height, width).unwrap();
    assert_eq!((cut.margin, cut.needed), (8, cap));
}

#[test]
fn flips_average_four_views() {
    let (plain, _) = run(13, 21, None, false);
    let (flipped, sizes) = run(13, 21, None, true);
    assert_eq!(sizes.len(), 4);
    // Away from the padding the square mean is symmetric, so flips change nothing there.
    assert_eq!(flipped[..13 * 21], plain[..13 * 21]);
}

/// Points from every pixel to the middle of the brightest one, as any network does that knows
/// no up and down.
struct ToBrightest;

impl Predict for ToBrightest {
    fn predict(&mut self, tile: &Tile, out: &mut [f32]) -> Result<(), DeviceError> {
        let [height, width] = tile.size();
        let mut plane = vec![0.0; height * width];
        for (y, row) in plane.chunks_exact_mut(width).enumerate() {
            tile.row(0, y, row);
        }
        let brightest = (0..plane.len()).max_by(|&a, &b| plane[a].total_cmp(&plane[b]));
        let (v, u) = brightest.map_or((0, 0), |i| (i / width, i % width));
        let ([top, left], [image_height, image_width]) = (tile.corner(), tile.out_size());
        let [rows, columns] = tile.kept();
        for (y, x) in rows.flat_map(|y| columns.clone().map(move |x| (y, x))) {
            let at = (y as isize + top) as usize * image_width + (x as isize + left) as usize;
            let numbers = [1.0, v as f32 - y as f32, u as f32 - x as f32, 1.0];
            for (channel, number) in numbers.into_iter().enumerate() {
                out[channel * image_height * image_width + at] = number;
            }
        }
        Ok(())
    }

    fn memory_bytes(&self, height: usize, width: usize) -> usize {
        height * width
    }
}

#[test]
fn vectors_of_flipped_views_are_turned_back() {
    let vector = Output {
        name: "to-brightest".into(),
        values: Values::Displacement,
        ..Output::classes(2)
    };
    let last = Output {
        name: "one".into(),
        ..Output::classes(1)
    };
    let predict = |flips: bool| {
        let options = TileOptions {
            multiple: 8,
            channels: 3,
            outputs: vec![Output::classes(1), vector.clone(), last.clone()],
            radius: 7,
            sees_whole_image: false,
            memory: None,
            flips,
        };
        // Whole multiples: nothing is mirrored, so there is one brightest pixel.
        let mut planes = vec![0.0; 3 * 16 * 24];
        planes[5 * 24 + 20] = 1.0;
        predict_image(&mut ToBrightest, &planes, 16, 24, &options).unwrap()
    };
    let plain = predict(false);
    assert_eq!((plain[16 * 24], plain[2 * 16 * 24]), (5.0, 20.0));
    assert_eq!(predict(true), plain);
}

#[test]
fn a_number_that_is_none_beside_sound_classes_is_refused() {
    struct Nan;
    impl Predict for Nan {
        fn predict(&mut self, _: &Tile, out: &mut [f32]) -> Result<(), DeviceError> {
            let last = out.len() - 3;
            out[last] = f32::NAN;
            Ok(())
        }
        fn memory_bytes(&self, _: usize, _: usize) -> usize {
            0
        }
    }
    let options = TileOptions {
        multiple: 8,
        channels: 3,
        outputs: vec![Output::classes(2), Output::classes(1)],
        radius: 7,
        sees_whole_image: false,
        memory: None,
        flips: false,
    };
    let error = predict_image(&mut Nan, &image(8, 8), 8, 8, &options).unwrap_err();
    assert_eq!(error, TileError::NotFinite { pixels: 1 });
}

#[test]
fn too_small_a_cap_says_what_would_do() {
    let options = TileOptions {
        multiple: 8,
        channels: 3,
        outputs: vec![Output::classes(2)],
        radius: 7,
        sees_whole_image: false,
        memory: Some(100),
        flips: false,
    };
    let mut network = Mean {
        reach: 7,
        sizes: vec![],
    };
    let error = predict_image(&mut network, &image(64, 64), 64, 64, &options).unwrap_err();
    // 8 kept plus 8 (half the radius, rounded up) to each side.
    assert_eq!(
        error,
        TileError::Memory {
            cap: 100,
            needed: 24 * 24
        }
    );
}

#[test]
fn the_networks_reach_is_counted_along_its_longest_path() {
    let graph = Graph::unet(&UnetSpec::narrow(Encoder::Vgg16, 0.0625, 2)).unwrap();
    // Encoder: 2 * 1 + 2 * 2 + 3 * 4 + 3 * 8 + 3 * 16 = 90, pools 1 + 2 + 4 + 8 + 16 = 31,
    // centre 2 * 32, up-sampling 31, decoder 2 * (16 + 8 + 4 + 2 + 1) = 62, head 1.
    assert_eq!(receptive_radius(&graph), 90 + 31 + 64 + 31 + 62 + 1);
}

#[test]
fn argmax_takes_the_first_of_equals() {
    assert_eq!(
        argmax(&[0.5, 0.2, 0.3, 0.5, 0.5, 0.3, 0.0, 0.3, 0.4], 3),
        [0, 1, 2]
    );
}
