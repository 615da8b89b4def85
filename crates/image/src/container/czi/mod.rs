//! Zeiss CZI files: scenes as images, mosaics composed, wells and channels from the description.
//!
//! Here: what is in a file (`directory` has its blocks, `metadata` its description) and which
//! blocks make a plane; `pixels` reads them. A block has a place in the dimensions X, Y, C
//! (channel), Z, T, S (scene) and M (tile of a mosaic), and in B, V, H, I and R (block, view,
//! phase, illumination, rotation), which are no part of an image here. X and Y are pixels of the
//! stage: they may be negative, and scenes lie as far apart as the wells of a plate. So every scene
//! has the box of its own tiles; of tiles that overlap, the one with the higher number lies on top.
//! Blocks that show others smaller (the pyramid) are passed over.

mod coverage;
mod directory;
mod metadata;
mod pixels;
mod times;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use coverage::{Tile, covered};
use directory::{Block, Directory, Header};
use metadata::{Metadata, Scene, even_step};
use pixels::{CziPlane, Kept, Placed, Unread};

use super::{Bytes, ChannelSaid, Contained, Contents, MOST_PLANES, Reader};
use crate::format::MAX_REGIONS_PIXELS;
use crate::names::list_names;
use crate::{ImageError, PlaneRef};

/// The reader of CZI files.
pub(crate) struct Czi;

impl Reader for Czi {
    fn name(&self) -> &'static str {
        "czi"
    }

    /// By its name alone, so that one that is cut off or empty is told as what it is.
    fn takes(&self, path: &Path) -> bool {
        let end = path.extension();
        end.is_some_and(|end| end.eq_ignore_ascii_case("czi")) && path.is_file()
    }

    fn list(&self, path: &Path) -> Result<Contents, ImageError> {
        let bytes = &mut Bytes::open(path)?;
        let header = Header::read(bytes)?;
        let mut directory = Directory::read(bytes, &header)?;
        let description = header.description.or(directory.description);
        let mut metadata = Metadata::read(bytes, description);
        refuse_further_dimensions(path, &directory)?;
        let mut problems = std::mem::take(&mut directory.problems);
        if header.unfinished {
            problems.push("a program had not finished writing it".into());
        }
        problems.append(&mut metadata.problems);
        let cut_off = drop_cut_off(bytes.length, &mut directory);
        if directory.blocks.is_empty() {
            return Err(bytes.broken(match (cut_off, directory.reduced) {
                (Some(cut_off), _) => cut_off,
                (None, 0) => "it has no pixels".into(),
                _ => "it has reduced copies of its pixels only, and not the pixels".into(),
            }));
        }
        problems.extend(cut_off);
        let stamps = match header.attachments {
            Some(position) if metadata.time_step_s.is_none() => times::stamps(bytes, position),
            _ => Vec::new(),
        };
        let mut listing = Listing::of(path, directory.blocks, metadata, stamps)?;
        problems.append(&mut listing.problems);
        listing.contents(problems)
    }
}

/// Refuses a file whose images have more places than channels, planes and times can name.
fn refuse_further_dimensions(path: &Path, directory: &Directory) -> Result<(), ImageError> {
    let mut ranges = directory.others.iter();
    let Some((letter, (first, last))) = ranges.find(|(_, (first, last))| first != last) else {
        return Ok(());
    };
    let (name, way_out) = match letter {
        'B' => ("blocks of an experiment", "split it by blocks in ZEN"),
        'V' => ("views", "save one view in ZEN"),
        'H' => (
            "phases, as the raw data of an Airyscan or of structured illumination have",
            "process it in ZEN and open the result",
        ),
        'I' => ("illuminations", "fuse them in ZEN, or save one of them"),
        'R' => ("rotations", "process it in ZEN and open the result"),
        _ => (
            "places in a dimension that is not known",
            "export it as OME-TIFF from ZEN",
        ),
    };
    let count = i64::from(*last) - i64::from(*first) + 1;
    Err(ImageError::not_supported(
        path,
        format!("it has {count} {name} (dimension `{letter}`)"),
        way_out,
    ))
}

/// Leaves out blocks that lie behind the end of the file; a sentence about them.
fn drop_cut_off(length: u64, directory: &mut Directory) -> Option<String> {
    let all = directory.blocks.len();
    let fits = |block: &Block| Kept::of(block).map_or(true, |kept| kept.fits(block, length));
    directory.blocks.retain(fits);
    let lost = all - directory.blocks.len();
    (lost > 0).then(|| {
        format!("it is cut off: `{lost}` of its `{all}` blocks of pixels lie behind its end")
    })
}

/// Places along one dimension, in order.
struct Axis(Vec<i32>);

impl Axis {
    /// From the first to the last of `places`, and those that are missing between them; where most
    /// would be missing, only those that are there. Not empty.
    fn of(places: BTreeSet<i32>) -> Self {
        let ends = places.first().copied().zip(places.last().copied());
        let (first, last) = ends.unwrap_or((0, 0));
        let span = i64::from(last) - i64::from(first);
        match span < 2 * places.len() as i64 {
            true => Self((first..=last).collect()),
            false => Self(places.into_iter().collect()),
        }
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn index(&self, place: i32) -> Option<usize> {
        self.0.binary_search(&place).ok()
    }
}

/// The blocks of a file on their way to images.
struct Listing<'a> {
    path: &'a Path,
    /// Sorted by scene, time, plane, channel and tile, from the lowest tile to the top.
    blocks: Vec<Block>,
    metadata: Metadata,
    /// Seconds; empty where they are not needed.
    stamps: Vec<f64>,
    channels: Axis,
    channels_said: Vec<ChannelSaid>,
    problems: Vec<String>,
    /// Sentences about scenes, with the scenes.
    notes: BTreeMap<String, Vec<String>>,
    /// Why the first image that cannot be used cannot.
    refused: Option<ImageError>,
}

impl<'a> Listing<'a> {
    fn of(
        path: &'a Path,
        mut blocks: Vec<Block>,
        metadata: Metadata,
        stamps: Vec<f64>,
    ) -> Result<Self, ImageError> {
        // Stable, so that blocks without a number lie as they follow in the file.
        blocks.sort_by_key(|b| (b.scene, b.time, b.plane, b.channel, b.tile));
        let channels = Axis::of(blocks.iter().map(|block| block.channel).collect());
        if channels.len() > MOST_PLANES {
            return Err(too_many(path, channels.len()));
        }
        let mut listing = Self {
            path,
            channels_said: channels_said(&channels, &metadata.channels),
            channels,
            blocks,
            metadata,
            stamps,
            problems: Vec::new(),
            notes: BTreeMap::new(),
            refused: None,
        };
        listing.compare_sizes();
        Ok(listing)
    }

    /// Tells where the description declares more than there is.
    fn compare_sizes(&mut self) {
        let count = |of: fn(&Block) -> i32| {
            let places: BTreeSet<i32> = self.blocks.iter().map(of).collect();
            places.len()
        };
        let found = [
            ('C', "channels", count(|block| block.channel)),
            ('Z', "planes", count(|block| block.plane)),
            ('T', "times", count(|block| block.time)),
            ('S', "scenes", count(|block| block.scene.unwrap_or(0))),
        ];
        for (letter, name, found) in found {
            if let Some(&declared) = self.metadata.sizes.get(&letter)
                && declared > found
            {
                self.problems.push(format!(
                    "it declares `{declared}` {name} and has images of `{found}`"
                ));
            }
        }
    }

    /// All images.
    fn contents(mut self, mut problems: Vec<String>) -> Result<Contents, ImageError> {
        let blocks = std::mem::take(&mut self.blocks);
        let scenes: Vec<&[Block]> = blocks.chunk_by(|a, b| a.scene == b.scene).collect();
        let mut images = Vec::new();
        let (mut part, mut places) = (0, 0);
        for (scene, of_scene) in self.scenes(&scenes).into_iter().zip(&scenes) {
            let Some(image) = self.image(scene, of_scene, &mut part)? else {
                continue;
            };
            places += image.places.len();
            if places > MOST_PLANES {
                return Err(too_many(self.path, places));
            }
            images.push(image);
        }
        for (sentence, names) in self.notes {
            problems.push(match scenes.len() {
                1 => sentence,
                _ => format!("scene {}: {sentence}", list_names(&names)),
            });
        }
        match self.refused {
            Some(error) if images.is_empty() => Err(error),
            _ => Ok(Contents {
                plate: None,
                images,
                problems,
            }),
        }
    }

    /// What is said of each scene: by its number or, where the numbers are others, by its rank.
    fn scenes(&self, of_scenes: &[&[Block]]) -> Vec<Scene> {
        let said = &self.metadata.scenes;
        let number = |blocks: &[Block]| blocks.first().and_then(|block| block.scene);
        let by_number: HashMap<i32, &Scene> = said
            .iter()
            .filter_map(|scene| Some((scene.index?, scene)))
            .collect();
        let numbered = |blocks: &[Block]| by_number.get(&number(blocks)?).copied();
        let all = of_scenes.iter().all(|blocks| numbered(blocks).is_some());
        let by_rank = !all && said.len() == of_scenes.len();
        let named = of_scenes.iter().enumerate().map(|(rank, blocks)| {
            let found = match by_rank {
                true => said.get(rank),
                false => numbered(blocks),
            };
            let mut scene = found.cloned().unwrap_or_default();
            if scene.name.is_empty() && of_scenes.len() > 1 {
                scene.name = match number(blocks) {
                    Some(number) => format!("S{number}"),
                    None => "without a scene".into(),
                };
            }
            scene
        });
        named.collect()
    }

    fn note(&mut self, scene: &Scene, sentence: String) {
        let names = self.notes.entry(sentence).or_default();
        names.push(scene.name.clone());
    }

    /// The image of a scene; `None`, with a note, if nothing of it can be used.
    fn image(
        &mut self,
        scene: Scene,
        blocks: &[Block],
        part: &mut usize,
    ) -> Result<Option<Contained>, ImageError> {
        let read = self.channels_read(&scene, blocks);
        let used: Vec<(&Block, Kept)> = blocks
            .iter()
            .filter(|block| read.contains(&block.channel))
            .filter_map(|block| Some((block, Kept::of(block).ok()?)))
            .collect();
        let Some(frame) = self.frame(&scene, &used) else {
            return Ok(None);
        };
        let planes = Axis::of(used.iter().map(|(block, _)| block.plane).collect());
        let times = Axis::of(used.iter().map(|(block, _)| block.time).collect());
        let mut image = Contained {
            size: frame.size,
            channels: self.channels_said.clone(),
            planes: planes.len(),
            times: times.len(),
            pixel_um: self.metadata.pixel_um,
            z_step_um: self.metadata.z_step_um.filter(|_| planes.len() > 1),
            time_step_s: self.time_step(times.len()),
            centre_um: scene.centre_um,
            well: scene.well.clone(),
            name: scene.name.clone(),
            ..Contained::default()
        };
        image.check(self.path)?;
        image.places = vec![None; self.channels.len() * planes.len() * times.len()];
        for (key, plane) in self.planes(&scene, &frame, &used) {
            let (time, z, channel) = key;
            let index = self.channels.index(channel).zip(planes.index(z));
            let index = index.zip(times.index(time)).map(|((c, z), t)| {
                let (channels, planes) = (self.channels.len(), planes.len());
                c + channels * (z + planes * t)
            });
            if let Some(place) = index.and_then(|index| image.places.get_mut(index)) {
                let plane = CziPlane {
                    part: *part,
                    ..plane
                };
                *place = Some(PlaneRef::new(plane));
                *part += 1;
            }
        }
        Ok(Some(image))
    }

    /// The planes of a scene by time, plane and channel, with notes on what is odd about them.
    fn planes(
        &mut self,
        scene: &Scene,
        frame: &Frame,
        used: &[(&Block, Kept)],
    ) -> Vec<((i32, i32, i32), CziPlane)> {
        let path = Arc::new(self.path.to_path_buf());
        let key = |block: &Block| (block.time, block.plane, block.channel);
        let (mut gaps, mut twice) = (false, false);
        let mut planes = Vec::new();
        for group in used.chunk_by(|a, b| key(a.0) == key(b.0)) {
            let plane = frame.plane(&path, group);
            let tiles: Vec<Tile> = plane.tiles.iter().map(|tile| tile.place).collect();
            gaps |= !covered(frame.size, &tiles);
            twice |= lie_twice(group);
            planes.extend(group.first().map(|(block, _)| (key(block), plane)));
        }
        if gaps {
            let said = "tiles leave gaps in some of its planes, where pixels are 0";
            self.note(scene, said.into());
        }
        if twice {
            let said = "blocks lie exactly over others, of which the last is taken";
            self.note(scene, said.into());
        }
        planes
    }

    /// The channels of a scene, with notes on those whose pixels are not read.
    fn channels_read(&mut self, scene: &Scene, blocks: &[Block]) -> BTreeSet<i32> {
        let mut kinds: BTreeMap<i32, Result<Kept, Unread>> = BTreeMap::new();
        for block in blocks {
            let kept = Kept::of(block);
            let kind = kinds.entry(block.channel).or_insert_with(|| kept.clone());
            match (&*kind, kept) {
                (Ok(first), Ok(other)) if !first.goes_with(other) => {
                    *kind = Err(Unread {
                        what: "its blocks have pixels of several types".into(),
                        way_out: "export it as OME-TIFF from ZEN",
                    });
                }
                (Ok(_), Err(unread)) => *kind = Err(unread),
                _ => {}
            }
        }
        let mut read = BTreeSet::new();
        for (channel, kind) in kinds {
            match kind {
                Ok(_) => {
                    read.insert(channel);
                }
                Err(unread) => self.leave_out(scene, channel, unread),
            }
        }
        read
    }

    fn leave_out(&mut self, scene: &Scene, channel: i32, unread: Unread) {
        let Unread { what, way_out } = unread;
        let index = self.channels.index(channel).unwrap_or(0);
        let said = self.channels_said.get(index).map(|said| said.name.clone());
        let name = said.filter(|name| !name.is_empty());
        let name = name.unwrap_or_else(|| format!("C{}", index + 1));
        self.note(
            scene,
            format!("channel `{name}` is left out: {what}; {way_out}"),
        );
        let error = || ImageError::not_supported(self.path, what, way_out);
        self.refused.get_or_insert_with(error);
    }

    /// The box of the scene's tiles; `None`, with a note, if there is none or it is too large.
    fn frame(&mut self, scene: &Scene, used: &[(&Block, Kept)]) -> Option<Frame> {
        let frame = Frame::around(used)?;
        let (height, width) = frame.size;
        let error = crate::format::check_size(self.path, height as u64, width as u64).err();
        if error.is_some() {
            self.note(
                scene,
                format!(
                    "left out, since its tiles lie over `{height}` x `{width}` pixels, and the \
                     cap is {MAX_REGIONS_PIXELS} pixels; export it in parts from ZEN"
                ),
            );
        }
        match error {
            None => Some(frame),
            Some(error) => {
                self.refused.get_or_insert(error);
                None
            }
        }
    }

    /// Seconds between the times of a scene of several.
    fn time_step(&self, times: usize) -> Option<f64> {
        if times < 2 {
            return None;
        }
        let stamped = (self.stamps.len() == times).then(|| even_step(&self.stamps));
        self.metadata.time_step_s.or(stamped.flatten())
    }
}

fn too_many(path: &Path, count: usize) -> ImageError {
    ImageError::TooLarge {
        path: path.to_path_buf(),
        what: format!("it has {count} planes"),
        cap: format!("{MOST_PLANES} planes"),
        way_out: "export it in parts",
    }
}

/// What is said of each channel: by its rank or, where the file has fewer channels than are
/// described, by its number.
fn channels_said(channels: &Axis, said: &[ChannelSaid]) -> Vec<ChannelSaid> {
    let numbered = channels.0.iter().enumerate().map(|(rank, &number)| {
        let index = match said.len() == channels.len() {
            true => Some(rank),
            false => usize::try_from(number).ok(),
        };
        index.and_then(|index| said.get(index)).cloned()
    });
    numbered.map(Option::unwrap_or_default).collect()
}

/// Whether blocks of one plane have the same place and nothing that orders them.
fn lie_twice(group: &[(&Block, Kept)]) -> bool {
    let mut places = BTreeSet::new();
    let place = |block: &Block| (block.tile, block.left, block.top, block.width, block.height);
    group.len() > 1 && !group.iter().all(|(block, _)| places.insert(place(block)))
}

/// The box of the tiles of a scene.
struct Frame {
    left: i64,
    top: i64,
    /// Height and width.
    size: (usize, usize),
}

impl Frame {
    /// `None` around nothing.
    fn around(blocks: &[(&Block, Kept)]) -> Option<Self> {
        let end = |start: i32, length: u32| i64::from(start) + i64::from(length);
        let blocks = || blocks.iter().map(|(block, _)| block);
        let left = blocks().map(|block| i64::from(block.left)).min()?;
        let top = blocks().map(|block| i64::from(block.top)).min()?;
        let right = blocks().map(|block| end(block.left, block.width)).max()?;
        let bottom = blocks().map(|block| end(block.top, block.height)).max()?;
        let length = |from: i64, to: i64| usize::try_from(to - from).ok();
        Some(Self {
            left,
            top,
            size: (length(top, bottom)?, length(left, right)?),
        })
    }

    /// The plane that blocks of one channel, plane and time make.
    fn plane(&self, path: &Arc<PathBuf>, group: &[(&Block, Kept)]) -> CziPlane {
        let offset = |start: i32, from: i64| u32::try_from(i64::from(start) - from).ok();
        let placed = |&(block, kept): &(&Block, Kept)| {
            Some(Placed {
                place: Tile {
                    left: offset(block.left, self.left)?,
                    top: offset(block.top, self.top)?,
                    width: block.width,
                    height: block.height,
                },
                position: block.position,
                pixel: block.pixel,
                compression: block.compression,
                kept,
            })
        };
        CziPlane {
            path: Arc::clone(path),
            part: 0,
            size: self.size,
            tiles: group.iter().filter_map(placed).collect(),
        }
    }
}
