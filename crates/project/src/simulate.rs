//! `simulate`: a plate of the virtual microscope, in a folder that one process fills.

use std::path::Path;

use stainfree_specimen::{PlateSpec, PlateSummary, write_plate};

use crate::study::lease::Thing;
use crate::{Job, ProjectError};

/// Simulates a plate and writes it into `out`; see [`write_plate`].
///
/// # Errors
/// What [`write_plate`] cannot do, or a folder that another process has.
pub fn simulate(spec: &PlateSpec, out: &Path, job: &Job) -> Result<PlateSummary, ProjectError> {
    spec.validate()?;
    let thing = Thing {
        folder: out,
        name: "plate",
        command: "simulate",
    };
    let lease = thing.own("wait until it ends, or choose another folder", job.cancel)?;
    lease.during(job, |job| {
        job.cancel.check()?;
        let mut report = |done, total| job.progress.step(done, total, "simulating");
        let written = job.run(|| write_plate(spec, out, job.cancel.flag(), &mut report))?;
        Ok(written?)
    })
}
