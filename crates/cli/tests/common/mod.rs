//! Running the program in a folder of its own, and small images to run it on.

#![allow(dead_code)] // every test file uses a part of it

pub(crate) mod confidence;
#[cfg(feature = "viewer")]
pub(crate) mod viewer;

use std::path::{Path, PathBuf};
use std::process::Command;

use stainfree_image::random::Stream;
use stainfree_image::{Image, write};

/// A training that takes seconds: a sixteenth of the network, tiny crops.
pub(crate) const TINY: [&str; 10] = [
    "--encoder",
    "vgg16",
    "--width",
    "0.0625",
    "--crop",
    "64",
    "--batch",
    "2",
    "--steps",
    "4",
];

/// What a run of the program left.
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A folder that is deleted afterwards, with a blank and an umlaut in its name.
pub(crate) struct Place(tempfile::TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("stainfree tést ü ")
            .tempdir()
            .expect("a temporary folder");
        Self(folder)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs `stainfree` with `args` in this folder.
    pub(crate) fn run(&self, args: &[&str]) -> Run {
        self.run_with(&[], args)
    }

    /// The same with more environment variables.
    pub(crate) fn run_with(&self, variables: &[(&str, &str)], args: &[&str]) -> Run {
        self.start("", variables, args)
    }

    /// Runs in a folder below this one.
    pub(crate) fn run_in(&self, folder: &str, args: &[&str]) -> Run {
        self.start(folder, &[], args)
    }

    fn start(&self, folder: &str, variables: &[(&str, &str)], args: &[&str]) -> Run {
        let output = Command::new(env!("CARGO_BIN_EXE_stainfree"))
            .args(args)
            .args(["--threads", "2"])
            .current_dir(self.path(folder))
            .env_remove("STAINFREE_WEIGHTS")
            .env("XDG_DATA_HOME", self.0.path())
            .env("NO_COLOR", "1")
            .envs(variables.iter().copied())
            .output()
            .expect("the program starts");
        Run {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Runs and expects success.
    #[track_caller]
    pub(crate) fn ok(&self, args: &[&str]) -> Run {
        let run = self.run(args);
        assert_eq!(run.code, 0, "{args:?}\n{}\n{}", run.stdout, run.stderr);
        run
    }

    /// Runs and expects this exit code and this last line on standard error.
    #[track_caller]
    pub(crate) fn fails(&self, code: i32, args: &[&str], sentence: &str) {
        let run = self.run(args);
        let last = run.stderr.lines().last().unwrap_or_default();
        assert_eq!(
            (run.code, last),
            (code, sentence),
            "{args:?}\n{}\n{}",
            run.stdout,
            run.stderr
        );
    }

    pub(crate) fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }
}

/// No text, 0.5 µm pixels.
fn half_micron() -> write::Note {
    write::Note {
        text: String::new(),
        pixel_um: Some(0.5),
    }
}

/// Writes a 16-bit picture with bright disks, `size` pixels square, of 0.5 um.
pub(crate) fn disks(path: &Path, size: usize, level: u16, shift: usize) {
    disks_at(path, size, level, shift, Some(0.5));
}

/// The same with pixels of `pixel_um`.
pub(crate) fn disks_at(path: &Path, size: usize, level: u16, shift: usize, pixel_um: Option<f64>) {
    let image = Image::from_fn(size, size, |y, x| {
        let inside = disk_at(y, x, shift) != 0;
        // A little texture, so that nothing is flat.
        let texture = ((y * 7 + x * 13) % 11) as u16;
        texture + if inside { level } else { level / 10 }
    });
    let note = write::Note {
        pixel_um,
        ..half_micron()
    };
    write::plane_u16(path, &image, &note).unwrap();
}

/// Labels of the same disks.
pub(crate) fn disk_labels(path: &Path, size: usize, shift: usize) {
    let image = Image::from_fn(size, size, |y, x| disk_at(y, x, shift));
    write::labels(path, &image, &half_micron()).unwrap();
}

/// A mask of the same disks with `value` inside.
pub(crate) fn disk_mask(path: &Path, size: usize, shift: usize, value: u8) {
    let image = Image::from_fn(size, size, |y, x| {
        if disk_at(y, x, shift) != 0 { value } else { 0 }
    });
    write::class_mask(path, &image, &half_micron()).unwrap();
}

/// The number of the disk that covers a pixel: disks of radius 11 on a grid of 32 pixels.
fn disk_at(y: usize, x: usize, shift: usize) -> u32 {
    let (cy, cx) = ((y + shift) / 32, (x + shift) / 32);
    let (dy, dx) = (
        (y + shift) as f64 % 32.0 - 16.0,
        (x + shift) as f64 % 32.0 - 16.0,
    );
    if dy.hypot(dx) < 11.0 {
        (cy * 8 + cx + 1) as u32
    } else {
        0
    }
}

/// Parallel folders `images/bf`, `images/dapi` with `count` fields `f0`, `f1` ..
pub(crate) fn parallel_folders(place: &Place, count: usize) {
    for folder in ["images/bf", "images/dapi"] {
        std::fs::create_dir_all(place.path(folder)).unwrap();
    }
    for i in 0..count {
        disks(&place.path(&format!("images/bf/f{i}.tif")), 96, 2000, i);
        disks(&place.path(&format!("images/dapi/f{i}.tif")), 96, 9000, i);
    }
}

/// A study of so many fields with a model of a few steps, in `study`.
pub(crate) fn trained_study(fields: usize) -> Place {
    let place = Place::new();
    parallel_folders(&place, fields);
    place.ok(&["new", "study", "--images", "images"]);
    place.ok(&["prepare", "study"]);
    place.ok(&[&["train", "study"], &TINY[..]].concat());
    place
}

/// So many fields of nothing but noise in `noise`.
pub(crate) fn noise(place: &Place, fields: u64) {
    std::fs::create_dir_all(place.path("noise")).expect("made");
    for i in 0..fields {
        let mut stream = Stream::new(i);
        let image = Image::from_fn(96, 96, |_, _| 500 + stream.below(1000) as u16);
        let note = write::Note {
            text: String::new(),
            pixel_um: Some(0.5),
        };
        let path = place.path(&format!("noise/n{i}.tif"));
        write::plane_u16(&path, &image, &note).expect("written");
    }
}
