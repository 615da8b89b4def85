//! Small images, studies of them, and what a call says while it runs.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use stainfree_image::{Field, Image, ImageError, Plane, Position, write};
use stainfree_network::Machine;
use stainfree_project::truth::prepare::{Prepared, prepare};
use stainfree_project::{Cancel, Job, Progress, ProjectError, Study};

/// Side of the images, pixels.
pub(crate) const SIDE: usize = 96;
/// Their pixel size, um.
pub(crate) const PIXEL_UM: f64 = 0.5;

/// A folder that is deleted afterwards, with a blank and an umlaut in its name.
pub(crate) struct Place(tempfile::TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("tést ü ").tempdir();
        Self(folder.unwrap())
    }

    pub(crate) fn root(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a text, and the folders above it.
    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.made(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// The path, whose folder is there then.
    pub(crate) fn made(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    /// A brightfield image: disks with a little texture, so that nothing is flat.
    pub(crate) fn picture(&self, name: &str, shift: usize, level: u16) -> PathBuf {
        let image = Image::from_fn(SIDE, SIDE, |y, x| {
            let inside = disk_at(y, x, shift) != 0;
            ((y * 7 + x * 13) % 11) as u16 + if inside { level } else { level / 10 }
        });
        let path = self.made(name);
        write::plane_u16(&path, &image, &note()).unwrap();
        path
    }

    /// The planes of one channel, `BF`, as an OME-TIFF.
    pub(crate) fn stack(&self, name: &str, planes: &[Image<u16>]) -> PathBuf {
        let path = self.made(name);
        let image = write::OmeTiff {
            name: String::new(),
            text: String::new(),
            size: planes[0].size(),
            planes: planes.len(),
            times: 1,
            channels: vec!["BF".to_owned()],
            pixel_type: write::PixelType::U16,
            pixel_um: Some(PIXEL_UM),
            z_step_um: None,
            shrink: write::Shrink::Mean,
        };
        let plane = |place: write::PlaneOf| {
            let plane = Plane::U16(planes[place.z].clone());
            Ok::<_, ImageError>(Some(plane.into()))
        };
        write::ome_tiff(&path, &image, plane).unwrap();
        path
    }

    /// Labels of the same disks.
    pub(crate) fn labels(&self, name: &str, shift: usize) -> PathBuf {
        self.numbers(name, &disk_labels(shift))
    }

    /// Any label image.
    pub(crate) fn numbers(&self, name: &str, labels: &Image<u32>) -> PathBuf {
        let path = self.made(name);
        write::labels(&path, labels, &note()).unwrap();
        path
    }

    /// Any class mask.
    pub(crate) fn mask(&self, name: &str, mask: &Image<u8>) -> PathBuf {
        let path = self.made(name);
        write::class_mask(&path, mask, &note()).unwrap();
        path
    }

    /// `count` images `images/f0.tif` .. with labels `labels/f0.tif` .., and a study on them with
    /// these lines of `[split]`.
    pub(crate) fn labelled(&self, count: usize, split: &str) -> Study {
        for i in 0..count {
            self.picture(&format!("images/f{i}.tif"), i, 2000 + i as u16);
            self.labels(&format!("labels/f{i}.tif"), i);
        }
        self.study("labels = \"../labels\"", split)
    }

    /// A study on the images in `images` with these lines of `[truth]` and `[split]`. Its classes
    /// are background and nucleus unless they are named.
    pub(crate) fn study(&self, truth: &str, split: &str) -> Study {
        let classes = match truth.contains("classes") {
            true => "",
            false => "classes = [\"background\", \"nucleus\"]",
        };
        let text = format!(
            "[images]\npath = \"../images\"\nbrightfield = [\"images\"]\n[truth]\n{classes}\n\
             {truth}\n[split]\n{split}\n"
        );
        self.write("study/stainfree.toml", text);
        Study::open(&self.path("study")).unwrap()
    }
}

/// No text, pixels of [`PIXEL_UM`].
pub(crate) fn note() -> write::Note {
    write::Note {
        text: String::new(),
        pixel_um: Some(PIXEL_UM),
    }
}

/// Disks of radius 11 on a grid of 32 pixels.
pub(crate) fn disk_labels(shift: usize) -> Image<u32> {
    Image::from_fn(SIDE, SIDE, |y, x| disk_at(y, x, shift))
}

/// The number of the disk that covers a pixel.
fn disk_at(y: usize, x: usize, shift: usize) -> u32 {
    let (y, x) = (y + shift, x + shift);
    let (dy, dx) = (y as f64 % 32.0 - 16.0, x as f64 % 32.0 - 16.0);
    match dy.hypot(dx) < 11.0 {
        true => (y / 32 * 8 + x / 32 + 1) as u32,
        false => 0,
    }
}

/// A label image from lines of digits; anything else is background.
pub(crate) fn drawn(rows: &[&str]) -> Image<u32> {
    let cells: Vec<Vec<u32>> = rows
        .iter()
        .map(|row| row.chars().map(|c| c.to_digit(10).unwrap_or(0)).collect())
        .collect();
    Image::from_fn(cells.len(), cells[0].len(), |y, x| cells[y][x])
}

/// A field without planes, as far as its names go.
pub(crate) fn field(name: &str, plate: Option<&str>, well: Option<&str>) -> Field {
    Field {
        name: name.to_owned(),
        position: Position {
            name: name.to_owned(),
            plate: plate.map(str::to_owned),
            well: well.map(str::to_owned),
            site: None,
        },
        time: None,
        height: SIDE,
        width: SIDE,
        planes: Vec::new(),
        pixel_um: None,
        metadata: Default::default(),
    }
}

/// Keeps what it is told.
#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Progress for Heard {
    fn step(&self, _done: usize, _total: usize, _message: &str) {}
    fn note(&self, message: &str) {
        self.0.lock().unwrap().push(message.to_owned());
    }
}

/// What a call gives, and the notes that it makes.
pub(crate) fn heard<T>(call: impl FnOnce(&Job) -> T) -> (T, Vec<String>) {
    let (notes, cancel, machine) = (Heard::default(), Cancel::new(), Machine::new(2));
    let found = call(&Job::new(&notes, &cancel, &machine).by("Ada"));
    (found, notes.0.into_inner().unwrap())
}

/// What a call gives that nobody listens to.
pub(crate) fn quietly<T>(call: impl FnOnce(&Job) -> T) -> T {
    heard(call).0
}

/// Prepares, and gives what was said.
pub(crate) fn prepared(study: &Study) -> (Prepared, Vec<String>) {
    let (prepared, notes) = heard(|job| prepare(study, job));
    (prepared.unwrap(), notes)
}

/// What a call says that fails.
#[track_caller]
pub(crate) fn said<T>(result: Result<T, ProjectError>) -> String {
    match result {
        Ok(_) => panic!("it should have failed"),
        Err(error) => error.to_string(),
    }
}

/// Asserts that a sentence has all parts.
#[track_caller]
pub(crate) fn has(sentence: &str, parts: &[&str]) {
    for part in parts {
        assert!(sentence.contains(part), "`{part}` is not in:\n{sentence}");
    }
}
