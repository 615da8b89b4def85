//! `simulate`: the virtual microscope.

use anyhow::Result;
use stainfree_project::ProjectError;
use stainfree_project::simulate::simulate;
use stainfree_specimen::{Degrade, Optics, PlateSpec, SpecimenError};

use super::folder::Folder;
use crate::Context;
use crate::failure::{Outcome, UsageError};
use crate::next;
use crate::output::Json;

/// Simulate a plate with exactly known cells
///
/// Brightfield by a partially coherent transfer function, a nuclear and a mitochondrial stain
/// through a widefield microscope; written as an ImageXpress export with its exact truth beside it.
/// The same arguments give the same bytes. Ctrl-C ends it after the current fields; the same
/// command then goes on where it stood. A finished plate is never overwritten.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  stainfree simulate plate1 --wells 6 --sites 2
  stainfree simulate plate2 --unstained --seed 2 --side 512

Writes OUT/plate (ImageXpress), OUT/truth/{classes,nuclei,cells}/NAME.tif and \
OUT/truth/cells.csv.")]
pub(crate) struct Simulate {
    /// Folder for plate and truth
    #[command(flatten)]
    folder: Folder,

    /// Number of wells
    #[arg(long, value_name = "N", default_value_t = PlateSpec::default().wells)]
    wells: usize,

    /// Fields in each well
    #[arg(long, value_name = "N", default_value_t = PlateSpec::default().sites)]
    sites: usize,

    /// Height and width of a field in pixels
    #[arg(long, value_name = "PX", default_value_t = PlateSpec::default().side)]
    side: usize,

    /// Brightfield planes: 1 or 3
    #[arg(long, value_name = "N", default_value_t = PlateSpec::default().planes)]
    planes: usize,

    /// Share of the area covered by cells
    #[arg(long, value_name = "X", default_value_t = PlateSpec::default().confluence)]
    confluence: f64,

    /// All randomness follows from it
    #[arg(long, value_name = "N", default_value_t = PlateSpec::default().seed)]
    seed: u64,

    /// Brightfield only
    #[arg(long)]
    unstained: bool,

    /// Shift of the stains against the brightfield, pixels
    #[arg(
        long,
        value_name = "DY,DX",
        value_delimiter = ',',
        allow_hyphen_values = true
    )]
    shift: Vec<f64>,

    #[command(flatten)]
    microscope: Microscope,

    /// `clean` or `hard`: dim, uneven, hazy, dirty
    #[arg(long, value_name = "NAME", value_parser = ["clean", "hard"], default_value = "clean")]
    degrade: String,

    #[command(flatten)]
    json: Json,
}

/// The brightfield microscope that is simulated.
#[derive(clap::Args)]
#[command(next_help_heading = "Microscope")]
struct Microscope {
    /// Pixel size at the specimen, um
    #[arg(long, value_name = "UM", default_value_t = PlateSpec::default().pixel_um)]
    pixel_um: f64,

    /// Numerical aperture of the objective
    #[arg(long, value_name = "NA", default_value_t = Optics::default().objective_na)]
    objective_na: f64,

    /// Numerical aperture of the condenser
    #[arg(long, value_name = "NA", default_value_t = Optics::default().condenser_na)]
    condenser_na: f64,

    /// Wavelength of the light, um
    #[arg(long, value_name = "UM", default_value_t = Optics::default().wavelength_um)]
    wavelength_um: f64,

    /// Height of the focal plane above the best focus of the cells, um
    #[arg(
        long,
        value_name = "UM",
        default_value_t = Optics::default().focus_offset_um,
        allow_hyphen_values = true
    )]
    focus_um: f64,
}

impl Microscope {
    fn optics(&self) -> Optics {
        Optics {
            objective_na: self.objective_na,
            condenser_na: self.condenser_na,
            wavelength_um: self.wavelength_um,
            focus_offset_um: self.focus_um,
            ..Optics::default()
        }
    }
}

impl Simulate {
    pub(crate) fn run(&self, context: &Context) -> Result<Outcome> {
        self.json.check_result(&["plate", "truth"])?;
        let out = self.folder.get()?;
        let shift_px = match self.shift[..] {
            [] => (0.0, 0.0),
            [dy, dx] => (dy, dx),
            _ => {
                return Err(UsageError(format!(
                    "`--shift` takes two numbers such as `1.5,-2`, not {}",
                    self.shift.len()
                ))
                .into());
            }
        };
        let spec = PlateSpec {
            wells: self.wells,
            sites: self.sites,
            side: self.side,
            planes: self.planes,
            confluence: self.confluence,
            seed: self.seed,
            unstained: self.unstained,
            shift_px,
            degrade: self.degrade.parse::<Degrade>()?,
            pixel_um: self.microscope.pixel_um,
            optics: self.microscope.optics(),
            ..PlateSpec::default()
        };
        spec.validate()
            .map_err(|error| UsageError(error.to_string()))?;
        simulate(&spec, out, &context.job()).map_err(|error| match error {
            ProjectError::Specimen(error @ SpecimenError::Cancelled { .. }) => {
                anyhow::Error::from(ProjectError::Cancelled).context(error.to_string())
            }
            error => error.into(),
        })?;
        context.console.finish();
        let (plate, truth) = (out.join("plate"), out.join("truth"));
        self.json.write_result(&serde_json::json!({
            "plate": plate,
            "truth": truth,
            "wells": spec.wells,
            "sites": spec.sites,
            "side": spec.side,
        }))?;
        self.json.print(&format!(
            "{} wells x {} fields of {} x {} pixels in `{}`, exact truth in `{}`",
            spec.wells,
            spec.sites,
            spec.side,
            spec.side,
            plate.display(),
            truth.display()
        ))?;
        let (plate, what) = (next::word(&plate), "what the program sees in it");
        context.next(&format!("stainfree inspect {plate}"), what);
        Ok(Outcome::Done)
    }
}
