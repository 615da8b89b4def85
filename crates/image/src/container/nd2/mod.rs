//! ND2 files of Nikon's NIS-Elements, from version 2 on.
//!
//! - `chunks`: where things lie. `tree`: the descriptions. `picture`: what they say of pixels and
//!   channels. `experiment`: the order of the frames. `wells`: what names say. `frame`: the pixels.
//! - A frame has one place, plane and time in all channels, whose samples lie next to each other.
//! - What a file does not say: that a channel was taken on one plane only (it is zero on the
//!   others) and, as a rule, which channel was taken in transmitted light (that of a sample is
//!   called fluorescence).
//!
//! Read from the samples of three microscopes, from the documentation and source of the Python
//! package `nd2`, and from issues of it, of `nd2reader` and of Bio-Formats.

mod chunks;
mod experiment;
mod frame;
mod picture;
mod tree;
mod wells;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use chunks::Chunks;
use experiment::{Axis, Experiment, Loop};
use frame::{FramePlane, Frames};
use picture::{Attributes, Picture, WAY_OUT};
use tree::Value;

use super::{Bytes, Contained, Contents, Reader};
use crate::names::{folder_name, folder_of};
use crate::{ImageError, PlaneRef};

/// ND2 files.
pub(crate) struct Nd2;

impl Reader for Nd2 {
    fn name(&self) -> &'static str {
        "nd2"
    }

    fn takes(&self, path: &Path) -> bool {
        let end = path.extension();
        end.is_some_and(|end| end.eq_ignore_ascii_case("nd2")) && path.is_file()
    }

    fn list(&self, path: &Path) -> Result<Contents, ImageError> {
        let mut bytes = Bytes::open(path)?;
        refuse_others(&mut bytes)?;
        let mut problems = Vec::new();
        let chunks = Chunks::of(&mut bytes, &mut problems)?;
        let (attributes, experiment, picture) = described(&mut bytes, &chunks, &mut problems)?;
        let experiment = completed(experiment, &chunks, &mut problems);
        let file = Listed {
            frames: Arc::new(Frames {
                path: path.to_path_buf(),
                attributes,
            }),
            experiment,
            picture,
        };
        file.contents(&chunks, problems)
    }
}

/// Refuses what only has the ending, and the format before this one.
fn refuse_others(bytes: &mut Bytes<'_>) -> Result<(), ImageError> {
    let start = bytes.at(0, bytes.length.min(8), "start")?;
    match start[..] {
        [0xda, 0xce, 0xbe, 0x0a, ..] => Ok(()),
        [0, 0, 0, 0x0c, 0x6a, 0x50, ..] => {
            let what = "it is an ND2 file of an old version, made of JPEG 2000";
            Err(ImageError::not_supported(bytes.path, what, WAY_OUT))
        }
        [] => Err(bytes.broken("the file is empty (0 bytes)")),
        _ => Err(bytes.broken("it does not begin as an ND2 file does")),
    }
}

/// What the descriptions say.
fn described(
    bytes: &mut Bytes<'_>,
    chunks: &Chunks,
    problems: &mut Vec<String>,
) -> Result<(Attributes, Option<Experiment>, Picture), ImageError> {
    let path = bytes.path;
    let mut tree = |names: [&str; 2]| {
        let data = chunks.data(bytes, names)?;
        Ok::<_, ImageError>(data.map(|data| Value::parsed(&data)))
    };
    let broken = |name: &str, error: &str| {
        ImageError::broken(path, format!("its description `{name}` {error}"))
    };
    let attributes = match tree(["ImageAttributesLV", "ImageAttributes"])? {
        Some(Ok(tree)) => Attributes::of(&tree, path, problems)?,
        Some(Err(error)) => return Err(broken("ImageAttributes", &error)),
        None => {
            return Err(ImageError::Broken {
                path: path.to_path_buf(),
                what: "nothing in it says how large its images are, as in a recording that was \
                       cut off before its end was written"
                    .into(),
                way_out: "open it in NIS-Elements, which may repair it, and save it again".into(),
            });
        }
    };
    let experiment = match tree(["ImageMetadataLV", "ImageMetadata"])? {
        Some(Ok(tree)) => {
            let found = Experiment::of(&tree, problems);
            Some(found.map_err(|error| {
                let what = format!("its experiment {error}, which is not known");
                ImageError::not_supported(path, what, WAY_OUT)
            })?)
        }
        Some(Err(error)) => return Err(broken("ImageMetadata", &error)),
        None => None,
    };
    let picture = match tree(["ImageMetadataSeqLV|0", "ImageMetadataSeq|0"])? {
        Some(Ok(tree)) => Some(tree),
        Some(Err(error)) => {
            problems.push(format!(
                "its description `ImageMetadataSeq` {error}, so names of channels and the pixel \
                 size are not known"
            ));
            None
        }
        None => None,
    };
    let picture = Picture::of(picture.as_ref(), attributes.components, path, problems)?;
    Ok((attributes, experiment, picture))
}

/// The loops of the frames that there are: an endless time loop has as many times as were
/// taken, and frames without any loop are times.
fn completed(
    experiment: Option<Experiment>,
    chunks: &Chunks,
    problems: &mut Vec<String>,
) -> Experiment {
    let frames = chunks
        .frames
        .keys()
        .next_back()
        .map_or(0, |last| last.saturating_add(1));
    let mut experiment = experiment.unwrap_or_default();
    if experiment.loops.is_empty() && frames > 1 {
        problems.push(format!(
            "nothing says what its {frames} frames are; they are taken as times"
        ));
        experiment.loops.push(Loop {
            axis: Axis::Time,
            count: 0,
        });
    }
    experiment
}

/// A file whose descriptions are understood.
struct Listed {
    frames: Arc<Frames>,
    experiment: Experiment,
    picture: Picture,
}

impl Listed {
    fn contents(self, chunks: &Chunks, mut problems: Vec<String>) -> Result<Contents, ImageError> {
        let mut by_point: BTreeMap<usize, Vec<(usize, usize, u64, u64)>> = BTreeMap::new();
        let (mut times, mut beyond) = (0, 0_usize);
        for (&number, &offset) in &chunks.frames {
            match self.experiment.at(number) {
                Some(at) => {
                    times = times.max(at.time.saturating_add(1));
                    let of_point = by_point.entry(at.point).or_default();
                    of_point.push((at.time, at.z, number, offset));
                }
                None => beyond += 1,
            }
        }
        if beyond > 0 {
            problems.push(format!(
                "{beyond} of its {} frames are beyond the {} of its experiment and are left out",
                chunks.frames.len(),
                self.experiment.frames()
            ));
        }
        self.tell_missing(chunks.frames.len() - beyond, times, &mut problems);
        self.check(by_point.len(), times, chunks.frames.len())?;
        let images = by_point
            .iter()
            .map(|(&point, frames)| self.image(point, times, frames));
        let mut images: Vec<Contained> = images.collect();
        let plate = self.name_wells(&mut images, &mut problems);
        Ok(Contents {
            plate,
            images,
            problems,
        })
    }

    /// Checks what is to be listed against the caps and against the frames that there are.
    fn check(&self, points: usize, times: usize, frames: usize) -> Result<(), ImageError> {
        let path = &self.frames.path;
        let all = Contained {
            channels: vec![Default::default(); self.picture.channels.len()],
            planes: self.experiment.planes(),
            times: times.saturating_mul(points),
            size: self.size(),
            ..Contained::default()
        };
        if frames == 0 {
            return Err(ImageError::broken(path, "it has no frames"));
        }
        all.check(path)?;
        /// A recording that was stopped misses planes of one round, which is short.
        const MOST_MISSING: usize = 64;
        let listed = all.planes.saturating_mul(all.times);
        if listed / MOST_MISSING > frames.max(MOST_MISSING) {
            let what =
                format!("it has {frames} frames of the {listed} that their numbers speak of");
            return Err(ImageError::broken(path, what));
        }
        Ok(())
    }

    fn size(&self) -> (usize, usize) {
        let Attributes { height, width, .. } = self.frames.attributes;
        (height, width)
    }

    /// Says how many frames of those that were planned, or taken, are there.
    fn tell_missing(&self, found: usize, times: usize, problems: &mut Vec<String>) {
        let planned = self.experiment.frames();
        let is_endless = self
            .experiment
            .loops
            .first()
            .is_some_and(|own| own.count == 0);
        let planned = match is_endless {
            true => planned.saturating_mul(times as u64),
            false => planned,
        };
        let taken = self.frames.attributes.frames.unwrap_or(found).max(found);
        if (found as u64) < planned {
            problems.push(format!(
                "it has {found} of the {planned} frames of its experiment, as of a recording that \
                 was stopped"
            ));
        } else if found < taken {
            problems.push(format!("it speaks of {taken} frames and has {found}"));
        }
    }

    /// The image of one point: its frames by time, plane, number and place in the file.
    fn image(&self, point: usize, times: usize, frames: &[(usize, usize, u64, u64)]) -> Contained {
        let channels = &self.picture.channels;
        let planes = self.experiment.planes();
        let mut places = vec![None; channels.len() * planes * times];
        for &(time, z, number, offset) in frames {
            for (c, channel) in channels.iter().enumerate() {
                let place = places.get_mut(c + channels.len() * (z + planes * time));
                if let Some(place) = place {
                    *place = Some(PlaneRef::new(FramePlane {
                        of: Arc::clone(&self.frames),
                        number,
                        offset,
                        component: channel.component,
                    }));
                }
            }
        }
        let known = self.experiment.points.get(point);
        let centre_um = match known {
            Some(point) => point.place_um,
            None => self.picture.place_um.filter(|_| point == 0),
        };
        Contained {
            name: known.map_or(String::new(), |point| point.name.clone()),
            size: self.size(),
            channels: channels
                .iter()
                .map(|channel| channel.said.clone())
                .collect(),
            planes,
            times,
            pixel_um: self.picture.pixel_um,
            z_step_um: self.experiment.z_step_um.filter(|_| planes > 1),
            time_step_s: self.experiment.time_step_s.filter(|_| times > 1),
            centre_um,
            places,
            ..Contained::default()
        }
    }

    /// Gives the images their wells where names have them, and the plate its name where each
    /// well has a file of its own.
    fn name_wells(&self, images: &mut [Contained], problems: &mut Vec<String>) -> Option<String> {
        let path = &self.frames.path;
        let named: Vec<experiment::Point> = images
            .iter()
            .map(|image| experiment::Point {
                name: image.name.clone(),
                place_um: image.centre_um,
            })
            .collect();
        if let Some(wells) = wells::of_points(&named) {
            for (image, place) in images.iter_mut().zip(wells) {
                (image.well, image.site) = (Some(place.well), place.site);
            }
            drop_repeated_sites(images, problems);
            return None;
        }
        let place = wells::of_file(path)?;
        let alone = images.len() == 1;
        for image in images {
            image.well = Some(place.well.clone());
            image.site = place.site.filter(|_| alone);
        }
        Some(folder_name(folder_of(path))).filter(|name| !name.is_empty())
    }
}

/// Sites that several images of a well have are not taken: they are then counted.
fn drop_repeated_sites(images: &mut [Contained], problems: &mut Vec<String>) {
    let mut seen = BTreeMap::new();
    for image in images.iter() {
        *seen.entry((image.well.clone(), image.site)).or_insert(0) += 1;
    }
    let is_repeated =
        |((_, site), count): (&(_, Option<u32>), &usize)| site.is_some() && *count > 1;
    let some_left_open = images.iter().any(|image| image.site.is_none());
    if seen.iter().any(is_repeated) {
        problems
            .push("names of its points occur twice, so sites are counted in their order".into());
    } else if !some_left_open {
        return;
    }
    for image in images {
        image.site = None;
    }
}
