//! Leica LIF files (LAS AF, LAS X): many images, in folders, in one file.
//!
//! Read from the format's description by Leica as `liffile` and the reader of Bio-Formats follow
//! it, and from real files. A description in XML (`described`) is followed by blocks of memory
//! (`blocks`), which the images name. Where a sample lies is the sum of the steps of its channel
//! and along its dimensions, in whatever order these are; names of channels are those that the
//! user gave, or of dyes, ways of lighting or colours. Planes lie along X and Y; an image with no Y
//! is a section, whose rows lie along Z.

mod blocks;
mod described;
mod image;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use blocks::Block;
use described::{Described, Said};
use image::{Geometry, Whole};

use super::{Bytes, Contained, Contents, MOST_PLANES, Reader};
use crate::names::list_names;
use crate::{ImageError, PlaneRef};

/// Leica image files.
pub(crate) struct Lif;

impl Reader for Lif {
    fn name(&self) -> &'static str {
        "lif"
    }

    fn takes(&self, path: &Path) -> bool {
        let end = path.extension();
        end.is_some_and(|end| end.eq_ignore_ascii_case("lif")) && path.is_file()
    }

    fn list(&self, path: &Path) -> Result<Contents, ImageError> {
        let mut file = Bytes::open(path)?;
        let (text, at) = blocks::description(&mut file)?;
        let described = described::described(path, &text)?;
        drop(text);
        let is_wide = described.version.as_deref().map(str::trim) == Some("2");
        let (blocks, problem) = blocks::blocks(&mut file, at, is_wide)?;
        let mut listed = Listed {
            file: &file,
            shared: Arc::new(path.to_path_buf()),
            blocks,
            contents: Contents::default(),
            left_out: Vec::new(),
            cut: Vec::new(),
            planes: 0,
        };
        listed.contents.problems.extend(problem);
        listed.all(&described)
    }
}

/// The images of a file, as they are found.
struct Listed<'a> {
    file: &'a Bytes<'a>,
    shared: Arc<std::path::PathBuf>,
    blocks: HashMap<String, Block>,
    contents: Contents,
    /// Why images are left out, with their names.
    left_out: Vec<(String, String)>,
    /// Images of which planes are missing, with how many of how many.
    cut: Vec<(String, usize, usize)>,
    /// Planes so far, of all images.
    planes: usize,
}

impl Listed<'_> {
    fn all(mut self, described: &Described) -> Result<Contents, ImageError> {
        let path = self.file.path;
        for said in &described.images {
            let name = said.path.join("/");
            if let Err(why) = self.image(said, &name)? {
                self.left_out.push((why, name));
            }
        }
        for name in &described.events {
            let why = "they are photon events (FLIM) and no pixels";
            self.left_out.push((why.into(), name.clone()));
        }
        let (first, count) = (self.left_out.first().cloned(), described.images.len());
        self.contents.problems.extend(left_out(self.left_out));
        self.contents.problems.extend(cut_off(&self.cut));
        let images = &self.contents.images;
        match (images.is_empty(), first) {
            (false, _) => {}
            (true, Some((why, name))) => {
                return Err(ImageError::not_supported(
                    path,
                    format!("none of its {count} images can be used (`{name}`: {why})"),
                    "export the images that are wanted as TIFF from LAS X",
                ));
            }
            (true, None) => return Err(self.file.broken("it has no image")),
        }
        self.contents.problems.extend(wells_said(images));
        Ok(self.contents)
    }

    /// Adds an image; the inner error says why it is left out.
    ///
    /// # Errors
    /// What is wrong with the file as a whole.
    fn image(&mut self, said: &Said, name: &str) -> Result<Result<(), String>, ImageError> {
        let path = self.file.path;
        let geometry = match Geometry::of(said) {
            Ok(geometry) => geometry,
            Err(why) => return Ok(Err(why)),
        };
        let block = said.block.as_ref().and_then(|name| self.blocks.get(name));
        let Some(block) = block.filter(|block| block.bytes > 0) else {
            return Ok(Err("its pixels are not in the file".into()));
        };
        let whole = Whole {
            geometry: &geometry,
            block: *block,
            file: self.file.length,
        };
        let image = Contained {
            name: name.to_string(),
            well: image::well_of(&said.path),
            size: geometry.size(),
            channels: image::channel_names(said),
            planes: geometry.planes(),
            times: geometry.times(),
            ..Contained::default()
        };
        match image.check(path) {
            Ok(()) => {}
            Err(ImageError::Broken { what, .. } | ImageError::TooLarge { what, .. }) => {
                return Ok(Err(what));
            }
            Err(error) => return Err(error),
        }
        let count = image.channels.len() * image.planes * image.times;
        self.planes = count
            .checked_mul(geometry.tiles())
            .and_then(|count| count.checked_add(self.planes))
            .filter(|planes| *planes <= MOST_PLANES)
            .ok_or_else(|| ImageError::TooLarge {
                path: path.to_path_buf(),
                what: "its images have too many planes".into(),
                cap: format!("{MOST_PLANES} planes"),
                way_out: "save its images in several files",
            })?;
        if let Err(why) = whole.check() {
            return Ok(Err(why));
        }
        self.tiles(said, name, image, &whole);
        Ok(Ok(()))
    }

    /// Adds every tile of an image as an image of its own.
    fn tiles(&mut self, said: &Said, name: &str, image: Contained, whole: &Whole<'_>) {
        let geometry = whole.geometry;
        let mut tell = |what: &str| {
            let said = format!("image `{name}`: {what}");
            self.contents.problems.push(said);
        };
        geometry.notes().for_each(&mut tell);
        let calibration = geometry.calibration();
        calibration.problem.iter().for_each(|what| tell(what));
        let tiles = geometry.tiles();
        if tiles > 1 && said.tiles.len() != tiles {
            tell("nothing states where its tiles lie");
        }
        let (mut missing, mut part) = (0, self.planes - whole.count());
        let all = whole.count();
        for tile in 0..tiles {
            let mut places = Vec::with_capacity(all / tiles);
            for plane in whole.planes_of(tile) {
                let source = plane.map(|grid| super::strided::StridedPlane {
                    path: Arc::clone(&self.shared),
                    part,
                    grid,
                });
                missing += usize::from(source.is_none());
                part += 1;
                places.push(source.map(PlaneRef::new));
            }
            let centre = said.tiles.get(tile).copied().flatten();
            let is_placed = said.tiles.len() == tiles;
            self.contents.images.push(Contained {
                name: match tiles {
                    1 => name.to_string(),
                    _ => format!("{name} m{}", tile + 1),
                },
                pixel_um: calibration.pixel_um,
                z_step_um: calibration.z_step_um,
                time_step_s: calibration.time_step_s,
                centre_um: centre.filter(|_| is_placed).map(|at| at.map(|m| m * 1e6)),
                places,
                ..image.clone()
            });
        }
        if missing > 0 {
            self.cut.push((name.to_string(), missing, all));
        }
    }
}

/// A sentence for each reason.
fn left_out(images: Vec<(String, String)>) -> Vec<String> {
    let mut by_reason: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (why, name) in images {
        by_reason.entry(why).or_default().push(name);
    }
    let said = by_reason.into_iter().map(|(why, names)| {
        let what = if names.len() == 1 { "image" } else { "images" };
        format!("{what} {}: left out, since {why}", list_names(&names))
    });
    said.collect()
}

/// That planes are missing, of all images at once, as where the file was cut off.
fn cut_off(cut: &[(String, usize, usize)]) -> Option<String> {
    let missing: usize = cut.iter().map(|(_, missing, _)| missing).sum();
    let all: usize = cut.iter().map(|(_, _, all)| all).sum();
    let names: Vec<&str> = cut.iter().map(|(name, ..)| name.as_str()).collect();
    match names[..] {
        [] => None,
        [name] => Some(format!(
            "image `{name}`: {missing} of its {all} planes lie beyond the end of its block or of \
             the file"
        )),
        _ => Some(format!(
            "images {}: {missing} of their {all} planes lie beyond the ends of their blocks or of \
             the file",
            list_names(&names)
        )),
    }
}

/// That wells are taken from names, which nothing else says.
fn wells_said(images: &[Contained]) -> Option<String> {
    let named = images.iter().find(|image| image.well.is_some())?;
    let well = named.well.as_deref().unwrap_or_default();
    Some(format!(
        "wells are taken from the folders of the images (`{}` is in `{well}`)",
        named.name
    ))
}
