//! A simulated plate on disk: an ImageXpress exported plate and its truth.
//!
//! ```text
//! OUT/plate/sim1_Plate_4312/sim1.HTD                     (repeated in every folder below)
//!           TimePoint_1/ZStep_1/sim1_B02_s1_w1.TIF       lowest brightfield plane
//!           TimePoint_1/ZStep_1/sim1_B02_s1_w2.TIF       nuclear stain, single plane
//!           TimePoint_1/ZStep_2/sim1_B02_s1_w1.TIF       nominal brightfield plane
//! OUT/truth/{classes,nuclei,cells}/B02_s1.tif
//! OUT/truth/cells.csv
//! OUT/made-by-stainfree.json                           (and in OUT/truth)
//! ```
//!
//! With one plane there are no `ZStep` folders. Everything is written to a hidden folder in `OUT`
//! and moved when complete, so a killed run leaves no half plate. Beside each finished field that
//! folder holds its rows of `cells.csv`, written last: by them the next run with the same settings
//! goes on.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;
use stainfree_image::marker::{self, Kind, Marker};
use stainfree_image::write::{Compression, Integers, described};
use stainfree_image::{Product, Store};

use crate::error::SpecimenError;
use crate::field::{SimulatedField, simulate_field};
use crate::file::{write_atomic, wrote};
use crate::metadata::{htd, plane_description};
use crate::names::PlateNames;
use crate::spec::PlateSpec;

/// What [`write_plate`] wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlateSummary {
    /// Folder of the plate: the one that holds the topmost HTD file.
    pub plate: PathBuf,
    /// Folder of the truth.
    pub truth: PathBuf,
    /// Number of fields.
    pub fields: usize,
    /// Number of cells in all fields, and how many of them are in mitosis.
    pub cells: usize,
    /// See `cells`.
    pub mitotic: usize,
}

/// Folder in `OUT` in which a plate is made.
const UNFINISHED: &str = ".simulating";

/// File in it that says which plate that is.
const SETTINGS: &str = "settings.txt";

/// Pixels that may be simulated at a time; each costs about 100 bytes of memory.
const PIXELS_AT_A_TIME: usize = 2160 * 2160 * 2;

/// Simulates a plate and writes it to `out/plate` and `out/truth`.
///
/// `progress(done, total)` is called with the number of finished fields, first with those that an
/// interrupted run of the same `spec` has left. Once `cancel` is set, the call ends after the
/// fields it is at. The files are the same bytes for the same `spec`, whatever the number of
/// threads and interruptions. What an interrupted run of another `spec` has left is deleted.
///
/// # Errors
/// [`SpecimenError::Spec`] for values that cannot be simulated, [`SpecimenError::Exists`] if `out`
/// already holds a plate or truth, [`SpecimenError::Write`] and [`SpecimenError::Image`] if a file
/// cannot be written, [`SpecimenError::Cancelled`] if a stop was asked for.
pub fn write_plate(
    spec: &PlateSpec,
    out: &Path,
    cancel: &AtomicBool,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<PlateSummary, SpecimenError> {
    spec.validate()?;
    let (plate, truth) = (out.join("plate"), out.join("truth"));
    for path in [&plate, &truth] {
        if path.symlink_metadata().is_ok() {
            return Err(SpecimenError::Exists { path: path.clone() });
        }
    }
    if marker::written_by_us(out).is_some_and(|kind| kind != Kind::Plate) {
        return Err(SpecimenError::Exists {
            path: out.to_path_buf(),
        });
    }
    let unfinished = out.join(UNFINISHED);
    let is_filled = std::fs::read_dir(&unfinished).is_ok_and(|mut all| all.next().is_some());
    if is_filled && !unfinished.join(SETTINGS).is_file() {
        // Not a plate that was begun here.
        return Err(SpecimenError::Exists { path: unfinished });
    }
    mark(out, Kind::Plate)?;
    keep_only(spec, &unfinished)?;
    let names = PlateNames::new(spec);
    let folders = Folders::create(spec, &names, &unfinished)?;

    let total = spec.wells * spec.sites;
    let field = |i: usize| (i / spec.sites, i % spec.sites);
    let mut rows: Vec<Option<Vec<CellRow>>> =
        (0..total).map(|i| folders.rows_left(field(i))).collect();
    let missing: Vec<usize> = (0..total).filter(|&i| rows[i].is_none()).collect();
    // Small fields are simulated side by side; large ones one by one, each on all threads.
    let together = (PIXELS_AT_A_TIME / (spec.side * spec.side)).clamp(1, 64);
    let mut finished = total - missing.len();
    progress(finished, total);
    for batch in missing.chunks(together.min(rayon::current_num_threads())) {
        if cancel.load(Ordering::SeqCst) {
            return Err(SpecimenError::Cancelled {
                done: finished,
                total,
                unfinished,
            });
        }
        let done: Vec<Result<Vec<CellRow>, SpecimenError>> = batch
            .par_iter()
            .map(|&i| {
                let (well, site) = field(i);
                let field = simulate_field(spec, well, site)?;
                folders.write_field(spec, &names, well, &field)?;
                let rows = rows_of(&field);
                folders.leave_rows((well, site), &rows)?;
                Ok(rows)
            })
            .collect();
        for (&i, field) in batch.iter().zip(done) {
            rows[i] = Some(field?);
        }
        finished += batch.len();
        progress(finished, total);
    }
    let rows = rows.into_iter().flatten().flatten().collect::<Vec<_>>();
    write_table(&folders.truth.join("cells.csv"), &rows)?;
    mark(&folders.truth, Kind::Truth)?;

    std::fs::rename(&folders.truth, &truth).map_err(wrote(&truth))?;
    std::fs::rename(unfinished.join("plate"), &plate).map_err(wrote(&plate))?;
    std::fs::remove_dir_all(&unfinished).map_err(wrote(&unfinished))?;
    Ok(PlateSummary {
        plate: plate.join(&names.folder),
        truth,
        fields: total,
        cells: rows.len(),
        mitotic: rows.iter().filter(|row| row.is_mitotic()).count(),
    })
}

/// Leaves `unfinished` as it is if it holds a part of the plate of `spec`, else empty.
fn keep_only(spec: &PlateSpec, unfinished: &Path) -> Result<(), SpecimenError> {
    // Every value of the description, and the program that made the fields.
    let settings = format!("stainfree {}\n{spec:?}\n", env!("CARGO_PKG_VERSION"));
    let path = unfinished.join(SETTINGS);
    if std::fs::read_to_string(&path).is_ok_and(|found| found == settings) {
        return Ok(());
    }
    if unfinished.exists() {
        std::fs::remove_dir_all(unfinished).map_err(wrote(unfinished))?;
    }
    std::fs::create_dir_all(unfinished).map_err(wrote(unfinished))?;
    write_atomic(&path, settings.as_bytes())
}

/// Says what `folder` is, for whoever looks for images there.
fn mark(folder: &Path, kind: Kind) -> Result<(), SpecimenError> {
    Ok(marker::write(folder, &Marker::new("simulate", kind))?)
}

/// Where the files of a plate go.
struct Folders {
    /// One folder for each brightfield plane; stains lie in the first.
    steps: Vec<PathBuf>,
    truth: PathBuf,
    /// One table for each finished field.
    rows: PathBuf,
}

impl Folders {
    fn create(spec: &PlateSpec, names: &PlateNames, root: &Path) -> Result<Self, SpecimenError> {
        let plate = root.join("plate").join(&names.folder);
        let time = plate.join("TimePoint_1");
        let steps: Vec<PathBuf> = if spec.planes == 1 {
            vec![time.clone()]
        } else {
            (1..=spec.planes)
                .map(|step| time.join(format!("ZStep_{step}")))
                .collect()
        };
        let truth = root.join("truth");
        let store = Store::at(&truth);
        let kinds = [Product::Classes, Product::Nuclei, Product::Cells];
        let kinds = kinds.map(|kind| store.folder(kind));
        let rows = root.join("rows");
        for folder in steps.iter().chain(&kinds).chain([&rows]) {
            std::fs::create_dir_all(folder).map_err(wrote(folder))?;
        }
        let description = htd(spec, names);
        let mut places = vec![plate, time];
        places.extend(steps.iter().cloned());
        places.dedup();
        for folder in places {
            let path = folder.join(format!("{}.HTD", names.plate));
            write_atomic(&path, description.as_bytes())?;
        }
        Ok(Folders { steps, truth, rows })
    }

    fn rows_file(&self, (well, site): (usize, usize)) -> PathBuf {
        self.rows.join(format!("{well}_{site}.csv"))
    }

    /// Says that a field is finished, and which cells it has.
    fn leave_rows(&self, field: (usize, usize), rows: &[CellRow]) -> Result<(), SpecimenError> {
        write_table(&self.rows_file(field), rows)
    }

    /// The cells of a field that an earlier run has finished.
    fn rows_left(&self, field: (usize, usize)) -> Option<Vec<CellRow>> {
        let mut table = csv::Reader::from_path(self.rows_file(field)).ok()?;
        let row = |record: csv::StringRecord| {
            let text: Vec<String> = record.iter().map(str::to_owned).collect();
            Some(CellRow(text.try_into().ok()?))
        };
        table.records().map(|record| row(record.ok()?)).collect()
    }

    fn write_field(
        &self,
        spec: &PlateSpec,
        names: &PlateNames,
        well: usize,
        field: &SimulatedField,
    ) -> Result<(), SpecimenError> {
        let heights = spec.plane_heights_um();
        let stains = [&field.nuclear, &field.cytoplasmic];
        let stains = stains.iter().filter_map(|stain| stain.as_ref());
        let planes = field
            .brightfield
            .iter()
            .enumerate()
            .map(|(z, image)| (0, z, image));
        // Stains are taken once, at the nominal plane, and stored in the first folder.
        let planes = planes.chain(stains.enumerate().map(|(i, image)| (i + 1, 0, image)));
        for (wave, z, image) in planes {
            // The description names the step a plane was taken at; a stain's step differs from its
            // folder, by which readers know a single plane from the first of a stack.
            let taken_at = if wave == 0 {
                z + 1
            } else {
                spec.planes / 2 + 1
            };
            let step = (spec.planes > 1).then_some(taken_at);
            let height = if wave == 0 { heights[z] } else { 0.0 };
            let text = plane_description(spec, names, field, well, wave, step, height);
            let file = format!("{}_{}_w{}.TIF", names.plate, field.name, wave + 1);
            described(
                &self.steps[z].join(file),
                Integers::Counts(image),
                &text,
                Compression::Uncompressed,
            )?;
        }
        let note = format!(
            "stainfree simulated truth of {} seed {} {}; pixel size {} um",
            names.plate, spec.seed, field.name, field.pixel_um
        );
        let truth = &field.truth;
        let store = Store::at(&self.truth);
        for (product, pixels) in [
            (Product::Classes, Integers::Classes(&truth.classes)),
            (Product::Nuclei, Integers::Labels(&truth.nuclei)),
            (Product::Cells, Integers::Labels(&truth.cells)),
        ] {
            let path = store.path(product, &field.name);
            described(&path, pixels, &note, Compression::Deflate)?;
        }
        Ok(())
    }
}

/// A row of `cells.csv`.
#[derive(Clone, Debug)]
struct CellRow([String; COLUMNS.len()]);

impl CellRow {
    fn is_mitotic(&self) -> bool {
        self.0.last().is_some_and(|text| text == "1")
    }
}

/// Columns of `cells.csv`. Areas are those of the whole cell unless they say nucleus.
const COLUMNS: [&str; 11] = [
    "id",
    "field",
    "well",
    "site",
    "y_px",
    "x_px",
    "area_px",
    "area_um2",
    "nucleus_area_px",
    "nucleus_area_um2",
    "mitotic",
];

fn rows_of(field: &SimulatedField) -> Vec<CellRow> {
    let pixel_um2 = field.pixel_um * field.pixel_um;
    let um2 = |area: u32| format!("{:.2}", f64::from(area) * pixel_um2);
    field
        .truth
        .records
        .iter()
        .map(|cell| {
            CellRow([
                cell.id.to_string(),
                field.name.clone(),
                field.well.clone(),
                field.site.to_string(),
                format!("{:.2}", cell.position.0),
                format!("{:.2}", cell.position.1),
                cell.area_px.to_string(),
                um2(cell.area_px),
                cell.nucleus_area_px.to_string(),
                um2(cell.nucleus_area_px),
                u8::from(cell.mitotic).to_string(),
            ])
        })
        .collect()
}

fn write_table(path: &Path, rows: &[CellRow]) -> Result<(), SpecimenError> {
    let mut table = csv::Writer::from_writer(Vec::new());
    let mut record = |fields: &[&str]| {
        table
            .write_record(fields)
            .map_err(|e| wrote(path)(std::io::Error::other(e)))
    };
    record(&COLUMNS)?;
    for row in rows {
        record(&row.0.each_ref().map(String::as_str))?;
    }
    let bytes = table
        .into_inner()
        .map_err(|e| wrote(path)(e.into_error()))?;
    write_atomic(path, &bytes)
}
