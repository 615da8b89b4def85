//! `measure`: a table with a row per object.

use std::path::{Path, PathBuf};

use anyhow::Result;
use stainfree_objects::measure::{Background, MeasureSettings, Ring, TextureSettings};
use stainfree_project::ProjectError;
use stainfree_project::measuring::{ColumnNames, MeasureOptions, MeasuredPlate, Objects, measure};

use crate::Context;
use crate::failure::{Outcome, UsageError};
use crate::opening::Opening;
use crate::output::Json;
use crate::shard::ShardArg;

/// Measure every object: shape, intensities, neighbours
///
/// Needs label images and the images to measure. Labels are matched to fields by name (suffixes
/// such as _labels ignored); of a result of `predict`, the nuclei are measured, and the cells too
/// where the model knows cytoplasm. Names and definitions are those of scikit-image's regionprops
/// where it has them; docs/measure.md has them all. The table appears whole or not at all. A field
/// that fails is reported and counted, the rest goes on (exit code 3).
#[derive(clap::Args)]
#[command(after_help = "Examples:
  stainfree measure result/ --images plate2/ --out cells.csv
  stainfree measure --labels labels/ --cells labels/cells --images plate/ --out cells.parquet \
  --wells wells.csv
  stainfree measure --labels labels/ --images plate/ --out cells.csv --heatmap area_um2 --heatmap \
  objects

Rows: plate, well, site, time, field, label, then the numbers. Columns in pixels have twins in um
(area_um2, perimeter_um) where the pixel size is known. With several channels, intensity columns end
in the channel: intensity_mean_DAPI. Columns of the ring around an object, of its cell and of the
cytoplasm begin with ring_, cell_ and cytoplasm_.")]
pub(crate) struct Measure {
    /// Folder that `stainfree predict` has written
    #[arg(
        value_name = "RESULT",
        conflicts_with = "labels",
        required_unless_present = "labels"
    )]
    result: Option<PathBuf>,

    /// Folder of label images, or one file
    #[arg(long, value_name = "DIR")]
    labels: Option<PathBuf>,

    /// Plate, folder or file with the images to measure
    #[arg(long, value_name = "PATH")]
    images: PathBuf,

    /// Folder of label images of whole cells, or one file; each object belongs to the cell that
    /// covers most of it
    #[arg(long, value_name = "DIR")]
    cells: Option<PathBuf>,

    /// Table to write: .csv, or .parquet
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,

    /// Also write a table with a row per well: number of objects; mean, median and std of each
    /// column
    #[arg(long, value_name = "FILE")]
    wells: Option<PathBuf>,

    /// Also draw a plate heat map of a column, OUT_COLUMN.svg and .png; may be given several times
    #[arg(long, value_name = "COLUMN")]
    heatmap: Vec<String>,

    /// Channels to measure [default: all]
    #[arg(long, value_name = "NAME[,NAME..]", value_delimiter = ',')]
    channels: Vec<String>,

    /// z plane to measure, from 1 [default: the middle one]
    #[arg(
        long,
        visible_alias = "planes",
        value_name = "Z",
        value_parser = clap::value_parser!(u32).range(1..),
    )]
    plane: Option<u32>,

    #[command(flatten)]
    opening: Opening,

    /// Ring around each object: gap and width in um, or `none`
    #[arg(long, value_name = "GAP,WIDTH", default_value = "1,3", value_parser = parse_ring)]
    ring: RingArg,

    /// Objects within this distance are counted as near
    #[arg(long, value_name = "UM", default_value_t = MeasureSettings::default().neighbours_um)]
    neighbours_um: f64,

    /// What the _net columns subtract: `field` (median of the field outside objects, cells and
    /// rings) or `ring` (median of the object's ring)
    #[arg(long, value_name = "WHERE", value_parser = ["field", "ring"], default_value = "field")]
    background: String,

    /// Also measure texture (Haralick features of grey-level co-occurrences)
    #[arg(long)]
    texture: bool,

    /// Distance of the pixels that texture compares
    #[arg(
        long,
        value_name = "PX",
        requires = "texture",
        default_value_t = TextureSettings::default().distance_px,
    )]
    texture_distance: usize,

    /// Whose names the columns have: `stainfree` (scikit-image's), or `cellprofiler` (its names for
    /// what it measures alike)
    #[arg(
        long,
        value_name = "NAMES",
        value_parser = ["stainfree", "cellprofiler"],
        default_value = "stainfree",
    )]
    columns: String,

    /// Leave out objects that touch the rim of the image
    #[arg(long)]
    skip_border: bool,

    /// Replace tables and heat maps of `measure` that exist
    #[arg(long)]
    overwrite: bool,

    #[command(flatten)]
    shard: ShardArg,

    #[command(flatten)]
    json: Json,
}

/// `--ring`: a ring, or none.
#[derive(Clone, Copy, Debug)]
struct RingArg(Option<Ring>);

fn parse_ring(text: &str) -> Result<RingArg, String> {
    if text == "none" {
        return Ok(RingArg(None));
    }
    let numbers: Option<Vec<f64>> = text
        .split(',')
        .map(|number| number.trim().parse().ok())
        .collect();
    match numbers.as_deref() {
        Some(&[gap_um, width_um]) => Ok(RingArg(Some(Ring { gap_um, width_um }))),
        _ => Err("give gap and width in um, such as `1,3`, or `none`".to_owned()),
    }
}

impl Measure {
    pub(crate) fn run(&self, context: &Context) -> Result<Outcome> {
        self.json.check_result(&["objects", "columns"])?;
        let options = self.options(context)?;
        let measured = measure(&options, &context.job()).map_err(|error| match error {
            ProjectError::Cancelled => anyhow::Error::from(error).context(
                "stopped as asked; tables are written whole or not at all, so nothing was kept",
            ),
            error => error.into(),
        })?;
        context.console.finish();
        for sentence in &measured.failed {
            context.console.warn(sentence);
        }
        if let Some(shard) = options.shard {
            self.show_shard(&measured)?;
            let folder = self.out.parent().unwrap_or(Path::new("."));
            let failed = measured.failed.len();
            return super::end_of_shard(context, (shard, folder), measured.fields, failed);
        }
        if measured.fields > 0 {
            self.show(&measured)?;
        }
        if !measured.failed.is_empty() {
            context.console.warn(&format!(
                "{} inputs failed, {} fields measured",
                measured.failed.len(),
                measured.fields
            ));
        }
        Outcome::of(measured.fields, measured.failed.len())
    }

    fn options(&self, context: &Context) -> Result<MeasureOptions> {
        let objects = match (&self.result, &self.labels) {
            (_, Some(labels)) => Objects::Labels(labels.clone()),
            (Some(result), None) => Objects::Prediction(result.clone()),
            // The parser lets nothing else through.
            (None, None) => {
                return Err(
                    UsageError("name a result of `predict`, or `--labels`".to_owned()).into(),
                );
            }
        };
        if self.background == "ring" && self.ring.0.is_none() {
            return Err(UsageError(
                "`--background ring` needs a ring; leave `--ring none` out".to_owned(),
            )
            .into());
        }
        let texture = TextureSettings {
            distance_px: self.texture_distance,
            ..TextureSettings::default()
        };
        Ok(MeasureOptions {
            objects,
            images: self.images.clone(),
            cells: self.cells.clone(),
            out: self.out.clone(),
            wells: self.wells.clone(),
            heatmaps: self.heatmap.clone(),
            channels: self.channels.clone(),
            plane: self.plane.map(|z| z as usize),
            opening: self.opening.options(),
            skip_border: self.skip_border,
            names: match self.columns.as_str() {
                "cellprofiler" => ColumnNames::CellProfiler,
                _ => ColumnNames::Own,
            },
            overwrite: self.overwrite,
            shard: self.shard.choice(context)?,
            settings: MeasureSettings {
                ring: self.ring.0,
                neighbours_um: self.neighbours_um,
                background: if self.background == "ring" {
                    Background::Ring
                } else {
                    Background::Field
                },
                texture: self.texture.then_some(texture),
            },
        })
    }

    fn show_shard(&self, measured: &MeasuredPlate) -> Result<()> {
        self.json.write_result(&serde_json::json!({
            "objects": measured.objects,
            "fields": measured.fields,
            "kept": measured.kept,
            "columns": measured.columns,
            "files": measured.files,
            "failed": measured.failed,
        }))?;
        self.json.print(&format!(
            "{} objects in {} fields ({} measured before), {:.1} s",
            measured.objects, measured.fields, measured.kept, measured.seconds
        ))
    }

    fn show(&self, measured: &MeasuredPlate) -> Result<()> {
        let facts = serde_json::json!({
            "objects": measured.objects,
            "fields": measured.fields,
            "wells": measured.wells,
            "columns": measured.columns,
            "files": measured.files,
            "failed": measured.failed,
        });
        self.json.write_result(&facts)?;
        self.json.print(&format!(
            "{} objects in {} fields, {} columns, {:.1} s; table in `{}`",
            measured.objects,
            measured.fields,
            measured.columns.len(),
            measured.seconds,
            self.out.display()
        ))?;
        Ok(())
    }
}
