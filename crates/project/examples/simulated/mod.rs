//! Simulated plates as a user would work with them, for the examples that measure truth against
//! what is really there.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use stainfree_image::read_labels;
use stainfree_project::study::finding::Review;
use stainfree_project::study::human::mitosis::Decision;
use stainfree_project::truth::prepare::prepare_with_mitosis;
use stainfree_project::{Cancel, Job, NewOptions, Silent, Study, new};
use stainfree_specimen::{Degrade, PlateSpec, write_plate};

pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Two wells of two fields of 1024 x 1024 pixels, 70 % confluent, the stains shifted.
pub(crate) fn plate(seed: u64, degrade: Degrade) -> PlateSpec {
    PlateSpec {
        wells: 2,
        sites: 2,
        side: 1024,
        planes: 1,
        seed,
        confluence: 0.7,
        shift_px: (2.4, -1.7),
        degrade,
        ..PlateSpec::default()
    }
}

/// The word for it in a table.
pub(crate) fn word(degrade: Degrade) -> &'static str {
    match degrade {
        Degrade::Clean => "clean",
        Degrade::Hard => "hard",
    }
}

/// Writes the plate into `folder`, with its truth beside it.
pub(crate) fn write(spec: &PlateSpec, folder: &Path) -> Result<(), Failure> {
    write_plate(spec, folder, &AtomicBool::new(false), &mut |_, _| {})?;
    Ok(())
}

/// A prepared study of the plate in `folder` with mitotic nuclei, its config changed by `edit`
/// before.
pub(crate) fn prepared(
    plate: &Path,
    folder: &Path,
    edit: impl Fn(String) -> String,
) -> Result<Study, Failure> {
    let (progress, cancel) = (Silent, Cancel::new());
    let machine = stainfree_network::Machine::new(2);
    let job = Job::new(&progress, &cancel, &machine);
    let options = NewOptions {
        images: plate.join("plate"),
        ..NewOptions::default()
    };
    new::create(folder, &options, &cancel)?;
    let path = folder.join("stainfree.toml");
    std::fs::write(&path, edit(std::fs::read_to_string(&path)?))?;
    let (study, _) = prepare_with_mitosis(&Study::open(folder)?, &job)?;
    Ok(study)
}

/// A nucleus of the review list, and whether it really is mitotic.
pub(crate) struct Reviewed {
    pub(crate) row: Review,
    /// The nucleus of the exact truth at its place; 0 for none.
    pub(crate) nucleus: u32,
    pub(crate) mitotic: bool,
}

/// The review list of a study against the exact truth of its plate, and the number of mitotic
/// nuclei there.
pub(crate) fn reviewed(study: &Study, plate: &Path) -> Result<(Vec<Reviewed>, usize), Failure> {
    let exact = plate.join("truth");
    let mut mitotic: BTreeSet<(String, u32)> = BTreeSet::new();
    for cell in csv::Reader::from_path(exact.join("cells.csv"))?.deserialize::<Cell>() {
        let cell = cell?;
        if cell.mitotic == 1 && cell.nucleus_area_px > 0 {
            mitotic.insert((cell.field, cell.id));
        }
    }
    let list = study.root().join("truth").join("mitosis.csv");
    let mut rows = Vec::new();
    let mut nuclei = None;
    let mut list: Vec<Review> = csv::Reader::from_path(list)?
        .deserialize()
        .collect::<Result<_, _>>()?;
    list.sort_by(|a, b| a.field.cmp(&b.field));
    for row in list {
        let image = match nuclei.take() {
            Some((field, image)) if field == row.field => image,
            _ => read_labels(&exact.join("nuclei").join(format!("{}.tif", row.field)))?,
        };
        let nucleus = image.get(row.y_px.round() as usize, row.x_px.round() as usize);
        nuclei = Some((row.field.clone(), image));
        rows.push(Reviewed {
            mitotic: mitotic.contains(&(row.field.clone(), nucleus)),
            nucleus,
            row,
        });
    }
    Ok((rows, mitotic.len()))
}

/// How many mitotic nuclei were found, how many are right, how many there are.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mitotic {
    pub(crate) found: usize,
    pub(crate) right: usize,
    pub(crate) all: usize,
}

impl Mitotic {
    /// Counts what the study calls mitotic; a nucleus found twice is right once.
    pub(crate) fn of((rows, all): &(Vec<Reviewed>, usize)) -> Self {
        let called = |r: &&Reviewed| r.row.mitotic == Some(Decision::Yes);
        let found: Vec<&Reviewed> = rows.iter().filter(called).collect();
        let right = found.iter().filter(|r| r.mitotic);
        let right: BTreeSet<(&str, u32)> =
            right.map(|r| (r.row.field.as_str(), r.nucleus)).collect();
        Self {
            found: found.len(),
            right: right.len(),
            all: *all,
        }
    }

    pub(crate) fn precision(&self) -> f64 {
        self.right as f64 / self.found.max(1) as f64
    }

    pub(crate) fn recall(&self) -> f64 {
        self.right as f64 / self.all.max(1) as f64
    }
}

impl std::ops::AddAssign for Mitotic {
    fn add_assign(&mut self, other: Self) {
        self.found += other.found;
        self.right += other.right;
        self.all += other.all;
    }
}

/// What is needed of a row of `cells.csv`.
#[derive(serde::Deserialize)]
struct Cell {
    id: u32,
    field: String,
    nucleus_area_px: u32,
    mitotic: u8,
}
