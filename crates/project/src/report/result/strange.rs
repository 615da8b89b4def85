//! The strangest fields of a result, each beside the field of the training that it looks the most
//! like.

use stainfree_image::{Dataset, Field, Image, PlaneRef, Product, Region, Store};
use stainfree_report::{Figure, Picture, brightfield_picture, overlay_labels, scale_down};

use super::known::Known;
use super::rows::{Row, by_name};
use crate::study::Source;
use crate::study::provenance::Content;
use crate::{Job, ProjectError};

/// Fields that are shown.
const SHOWN: usize = 4;
/// Largest side of what is shown of a field, in its pixels and in those of the page.
const MOST_PX: f64 = 720.0;
const PICTURE_SIDE: usize = 480;

/// The least familiar fields, one of each well, with pictures of those whose images are at hand.
pub(super) fn strangest(
    rows: &[Row],
    sets: &[Dataset],
    result: &Store,
    known: Option<&Known>,
    job: &Job,
) -> Result<Vec<Figure>, ProjectError> {
    let fields = by_name(sets);
    let mut rows: Vec<(&Row, f64)> = rows
        .iter()
        .filter(|row| row.is_done)
        .filter_map(|row| Some((row, row.strangeness?)))
        .collect();
    rows.sort_by(|a, b| b.1.total_cmp(&a.1));
    let mut places = Vec::new();
    rows.retain(|(row, _)| {
        let place = fields
            .get(row.name.as_str())
            .map(|f| f.position.well_or_name());
        let place = place.unwrap_or_else(|| row.name.clone());
        let is_new = !places.contains(&place);
        places.push(place);
        is_new
    });
    let source = known.and_then(|known| known.study.as_ref()?.0.source().ok());
    let mut figures = Vec::new();
    for (done, (row, strangeness)) in rows.iter().take(SHOWN).enumerate() {
        job.cancel.check()?;
        job.progress
            .step(done + 1, SHOWN.min(rows.len()), &row.name);
        let near = nearest(row, known, source.as_ref());
        let field = fields.get(row.name.as_str()).copied();
        let mut pictures = Vec::new();
        if let Some(field) = field {
            let drawn = predicted_plane(row, field, job)
                .and_then(|plane| beside((field, &plane), result, near.as_ref()));
            match drawn {
                Ok(drawn) => pictures = drawn,
                Err(ProjectError::Cancelled) => return Err(ProjectError::Cancelled),
                Err(error) => job.progress.note(&format!("{error} (it is not shown)")),
            }
        }
        figures.push(Figure {
            title: row.name.clone(),
            caption: caption(row, *strangeness, near.as_ref()),
            pictures,
        });
    }
    Ok(figures)
}

/// A field of the training.
struct Near<'a> {
    field: &'a Field,
    source: &'a Source,
    trained: bool,
}

/// The field of the training that a row looks the most like, where its image is at hand.
fn nearest<'a>(row: &Row, known: Option<&Known>, source: Option<&'a Source>) -> Option<Near<'a>> {
    let (kept, familiarity) = known?.familiarity.as_ref()?;
    let kept = &kept.fields[familiarity.nearest(row.looks.as_ref()?)?];
    let source = source?;
    let mut fields = source.dataset.fields.iter();
    Some(Near {
        field: fields.find(|field| field.name == kept.name)?,
        source,
        trained: kept.trained,
    })
}

fn caption(row: &Row, strangeness: f64, near: Option<&Near>) -> String {
    let what = match (row.is_strange, row.unlike.is_empty()) {
        (false, _) => "like the training".to_owned(),
        (true, true) => "unlike the training, but no single number stands out".to_owned(),
        (true, false) => format!("unlike the training: {}", row.unlike),
    };
    let near = match near {
        None => String::new(),
        Some(near) => {
            let role = if near.trained { "trained" } else { "validated" };
            format!(
                " Beside it `{}`, which {role} the model and is the most like it.",
                near.field.name
            )
        }
    };
    format!("Strangeness {strangeness:.1} (1 is the limit), {what}.{near}")
}

/// The plane of a field that was predicted, the middle one of several: whatever channel and z that
/// was, it is known by its content, as is another image of the same name.
fn predicted_plane(row: &Row, field: &Field, job: &Job) -> Result<PlaneRef, ProjectError> {
    let wanted = &row.content.image;
    let size = (field.height, field.width);
    for plane in field.planes.iter().flatten().flatten() {
        let planes = std::slice::from_ref(plane);
        let found = Content::of_regions(planes, size, &mut || job.cancel.check())?;
        if found
            .image
            .first()
            .is_some_and(|hash| wanted.get(wanted.len() / 2) == Some(hash))
        {
            return Ok(plane.clone());
        }
    }
    Err(ProjectError::Field(format!(
        "the image of field `{}` is not the one that was predicted",
        field.name
    )))
}

/// A field with its predicted nuclei and the field of the training, the same size of each.
fn beside(
    (field, plane): (&Field, &PlaneRef),
    result: &Store,
    near: Option<&Near>,
) -> Result<Vec<Picture>, ProjectError> {
    let (side, other_side) = sides(field, near.map(|near| near.field));
    let region = middle(field, side);
    let grey = drawn(plane, region)?;
    let nuclei = result.labels(Product::Nuclei, &field.name)?;
    let nuclei = nuclei.crop(region.y, region.x, region.height, region.width);
    let small = |picture: &Image<[u8; 3]>| scale_down(picture, PICTURE_SIDE);
    let mut pictures = vec![
        Picture::new(small(&grey), "this field"),
        Picture::new(
            small(&overlay_labels(&grey, &nuclei)?),
            "its predicted nuclei",
        ),
    ];
    if let Some(near) = near {
        let region = middle(near.field, other_side);
        let planes = near.source.brightfield.sources(near.field)?;
        let grey = drawn(&planes[planes.len() / 2], region)?;
        let caption = format!("of the training: {}", near.field.name);
        pictures.push(Picture::new(small(&grey), caption));
    }
    Ok(pictures)
}

/// Sides in pixels of squares of the same size in um in both fields, or in pixels where a pixel
/// size is not known.
fn sides(field: &Field, other: Option<&Field>) -> (f64, f64) {
    let extent = |field: &Field| (field.height.min(field.width) as f64).min(MOST_PX);
    let Some(other) = other else {
        return (extent(field), 0.0);
    };
    match field.pixel_um.zip(other.pixel_um) {
        Some((um, other_um)) => {
            let side = (extent(field) * um).min(extent(other) * other_um);
            (side / um, side / other_um)
        }
        None => {
            let side = extent(field).min(extent(other));
            (side, side)
        }
    }
}

/// A square in the middle of a field.
fn middle(field: &Field, side: f64) -> Region {
    let side = (side.round() as usize).clamp(1, field.height.min(field.width).max(1));
    Region {
        y: (field.height - side) / 2,
        x: (field.width - side) / 2,
        height: side,
        width: side,
    }
}

fn drawn(plane: &PlaneRef, region: Region) -> Result<Image<[u8; 3]>, ProjectError> {
    Ok(brightfield_picture(&plane.read_region(region)?.to_f32()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use stainfree_image::Position;

    fn field(height: usize, width: usize, pixel_um: Option<f64>) -> Field {
        Field {
            name: "f".to_owned(),
            position: Position::default(),
            time: None,
            height,
            width,
            planes: Vec::new(),
            pixel_um,
            metadata: Default::default(),
        }
    }

    #[test]
    fn the_plane_that_was_predicted_is_found_by_its_content() {
        use stainfree_image::{OpenOptions, open, write};
        let folder = tempfile::tempdir().unwrap();
        let plane = |z: usize| Image::from_fn(20, 30, |y, x| (100 * z + 7 * y + x) as u16);
        for z in 1..=3 {
            let folder = folder.path().join(format!("z{z}"));
            std::fs::create_dir(&folder).unwrap();
            write::plane_u16(&folder.join("a.tif"), &plane(z), &Default::default()).unwrap();
        }
        let data = open(folder.path(), &OpenOptions::default()).unwrap();
        let field = &data.fields[0];
        let (cancel, machine) = (crate::Cancel::new(), stainfree_network::Machine::new(1));
        let job = Job::new(&crate::Silent, &cancel, &machine);
        let row = |of: &[usize]| {
            let planes: Vec<_> = of
                .iter()
                .map(|&z| stainfree_image::Plane::U16(plane(z)))
                .collect();
            Row {
                content: Content::of_planes(&planes),
                ..Row::default()
            }
        };
        for (of, shown) in [(&[2][..], 2), (&[1, 2, 3], 2), (&[3], 3)] {
            let found = predicted_plane(&row(of), field, &job).unwrap();
            assert_eq!(
                found.read().unwrap().to_f32(),
                plane(shown).map(|&v| f32::from(v))
            );
        }
        let error = predicted_plane(&row(&[4]), field, &job)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("is not the one that was predicted"),
            "{error}"
        );
        assert!(
            predicted_plane(&Row::default(), field, &job).is_err(),
            "nothing is known"
        );
    }

    #[test]
    fn both_fields_show_the_same_size_from_their_middle() {
        let (fine, coarse) = (field(400, 600, Some(0.25)), field(100, 200, Some(0.5)));
        // 50 um of both.
        assert_eq!(sides(&fine, Some(&coarse)), (200.0, 100.0));
        let region = middle(&fine, 200.0);
        let found = (region.y, region.x, region.height, region.width);
        assert_eq!(found, (100, 200, 200, 200));
        let unknown = field(100, 200, None);
        assert_eq!(sides(&fine, Some(&unknown)), (100.0, 100.0));
        assert_eq!(sides(&field(5000, 5000, None), None).0, MOST_PX);
        assert_eq!(middle(&field(1, 3, None), 0.2).height, 1);
    }
}
