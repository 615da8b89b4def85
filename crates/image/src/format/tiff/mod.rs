//! TIFF: pages of grey pixels, in strips or tiles, and stacks that ImageJ and MetaMorph wrote under
//! one page.
//!
//! `directory` is the structure of the file, `samples` the pixels of a page, `codec` the
//! compressions. Here: what a page is, and what the descriptions in the file say. The crate `tiff`,
//! which writes files (`write`), does not read them: it turns values round by their photometric
//! interpretation, keeps one description of several, and walks all pages anew for each of them.

mod codec;
mod directory;
mod samples;

use std::path::Path;

use directory::{Directory, Index, Order, TiffFile, tag, too_many_pages};
use samples::{Layout, photometric};

use super::description::is_our_description;
use super::imagej::{self, ImageJ};
use super::metaxpress::MetaXpress;
use super::micromanager::{self, PageSaid};
use super::ome::Ome;
use super::resolution::Resolution;
use super::shaped::Shaped;
use super::{
    Axes, COLOUR_TABLE, Dimension, FileInfo, MAX_PAGES, Pixels, no_such_page, reduced_copies, uic,
};
use crate::{ImageError, Region};

/// Reads all directories of the file, and what the first one says about the meaning of the pages.
pub(super) fn info(path: &Path) -> Result<FileInfo, ImageError> {
    let mut file = TiffFile::open(path)?;
    let index = file.index()?;
    let first = file.first()?;
    let descriptions = file.texts(&first, tag::IMAGE_DESCRIPTION);
    let (mut info, many) = pages(&mut file, &index, &first, &descriptions)?;
    let resolution = resolution(&mut file, &first)?;
    let sizes = describe(
        &mut info,
        &descriptions,
        &many,
        &mut file,
        &first,
        &resolution,
    );
    if let (None, Some(Stack { axes, .. })) = (&info.axes, &many.stack) {
        info.axes = axes.clone();
    }
    let is_placed = info.axes.as_ref().is_some_and(|axes| axes.placed.is_some());
    if !is_placed && many.stack.is_none() && first.has(tag::MICRO_MANAGER) {
        by_page(&mut info, &mut file, &first)?;
    }
    leave_reduced_out(&mut info);
    calibrate(&mut info, sizes, &resolution, &mut file, &first);
    Ok(info)
}

/// The pages of the file and the descriptions of the first, without what these say of the pages.
pub(super) fn outline(path: &Path) -> Result<(FileInfo, Vec<String>), ImageError> {
    let mut file = TiffFile::open(path)?;
    let index = file.index()?;
    let first = file.first()?;
    let descriptions = file.texts(&first, tag::IMAGE_DESCRIPTION);
    let (info, _) = pages(&mut file, &index, &first, &descriptions)?;
    Ok((info, descriptions))
}

/// Where there are more images than directories.
struct Many {
    /// Channels that are the samples of a pixel.
    channels: Option<usize>,
    stack: Option<Stack>,
}

/// The sizes of all pages, and whether and how their pixels can be read.
fn pages(
    file: &mut TiffFile<'_>,
    index: &Index,
    first: &Directory,
    descriptions: &[String],
) -> Result<(FileInfo, Many), ImageError> {
    let mut info = FileInfo::of_pages(index.planes.iter().map(|place| place.size).collect());
    info.ours = descriptions.iter().any(|text| is_our_description(text));
    let layout = Layout::of(file, first);
    let channels = match &layout {
        Ok(_) => channels_of_a_pixel(file, first, index.planes.len())?,
        Err(_) => None,
    };
    let stack = match channels {
        Some(_) => None,
        None => stack(file, first, index.planes.len())?,
    };
    if let Some(images) = channels.or(stack.as_ref().map(|stack| stack.images)) {
        info.pages = vec![info.pages[0]; images];
    }
    match layout {
        // Better known now than at the first reading.
        Err(ImageError::NotSupported { what, way_out, .. }) => {
            info.problems.push(format!("{what}; {way_out}"));
        }
        Ok(layout) => info.may_be_coloured = channels.is_none() && layout.may_be_coloured(),
        Err(_) => {}
    }
    if file.number(first, tag::PHOTOMETRIC)? == Some(photometric::PALETTE)
        && !descriptions
            .iter()
            .any(|text| ImageJ::parse(text).is_some())
    {
        // In ImageJ's files the table is how a channel is shown, which nobody takes for its values.
        info.problems.push(COLOUR_TABLE.into());
    }
    Ok((info, Many { channels, stack }))
}

/// What the descriptions say: dimensions and names go to `info`, the pixel sizes are returned.
fn describe(
    info: &mut FileInfo,
    descriptions: &[String],
    many: &Many,
    file: &mut TiffFile<'_>,
    first: &Directory,
    resolution: &Resolution,
) -> Vec<Result<Option<f64>, String>> {
    let (pages, full) = (info.pages.len(), full_pages(&info.pages));
    let mut sizes: Vec<Result<Option<f64>, String>> = Vec::new();
    let mut imagej_problem = None;
    for text in descriptions {
        if let Some(ome) = Ome::parse(text, pages, full, file.path) {
            info.problems.extend(ome.problems);
            let mut images = ome.images.into_iter();
            let first = images.next().unwrap_or_default();
            (info.axes, info.channels, info.facts) = (first.axes, first.channels, first.facts);
            info.further = images.collect();
            sizes.insert(0, Ok(first.pixel_um));
        } else if let Some(metaxpress) = MetaXpress::parse(text) {
            info.problems.extend(metaxpress.problem.clone());
            sizes.push(Ok(metaxpress.pixel_um));
            info.metaxpress = Some(metaxpress);
        } else if let Some(imagej) = ImageJ::parse(text) {
            sizes.push(imagej.pixel_um(resolution));
            match imagej_axes(&imagej, many, pages, full) {
                Ok(axes) => {
                    let labels = slice_labels(file, first);
                    if let (None, Some(axes)) = (&info.axes, axes) {
                        info.channels = imagej::channel_names(&labels, &axes);
                        info.axes = Some(axes);
                    }
                }
                Err(problem) => imagej_problem = Some(problem),
            }
        } else if let Some(shaped) = Shaped::parse(text) {
            sizes.extend(shaped.pixel_um(resolution));
            let axes = || shaped.axes(pages).or_else(|| shaped.axes(full));
            info.axes = info.axes.take().or_else(axes);
        }
    }
    // Micro-Manager writes both descriptions; one that fits is enough.
    if info.axes.is_none() {
        info.problems.extend(imagej_problem);
    }
    sizes
}

/// The dimensions that ImageJ's description states of all pages, or of those that are `full`.
fn imagej_axes(
    imagej: &ImageJ,
    many: &Many,
    pages: usize,
    full: usize,
) -> Result<Option<Axes>, String> {
    match many.channels {
        // Of images that are channels the description need not say so.
        Some(channels) => Ok(Some(Axes {
            channels,
            planes: 1,
            times: 1,
            order: Dimension::ALL,
            placed: None,
        })),
        None => imagej.axes(pages).or_else(|said| match full < pages {
            true => imagej.axes(full),
            false => Err(said),
        }),
    }
}

/// Takes what Micro-Manager says of every page by itself, where no OME-XML says it.
fn by_page(
    info: &mut FileInfo,
    file: &mut TiffFile<'_>,
    first: &Directory,
) -> Result<(), ImageError> {
    let mut said = Vec::with_capacity(info.pages.len());
    for page in 0..info.pages.len() {
        let text = match file.plane(page)? {
            Some(_) if page == 0 => file.texts(first, tag::MICRO_MANAGER),
            Some(directory) => file.texts(&directory, tag::MICRO_MANAGER),
            None => Vec::new(),
        };
        said.push(text.first().and_then(|text| PageSaid::parse(text)));
    }
    let silent = said.iter().filter(|said| said.is_none()).count();
    let mut images = micromanager::images(&said).unwrap_or_default().into_iter();
    // A description that fits all pages says more than some of them.
    if info.axes.is_some() && silent > 0 {
        return Ok(());
    }
    if let Some(image) = images.next() {
        (info.axes, info.channels, info.facts) = (image.axes, image.channels, image.facts);
        info.pixel_um = image.pixel_um;
        info.further = images.collect();
        if silent > 0 {
            info.problems.push(format!(
                "{silent} of {} pages bear no metadata of Micro-Manager that can be used, and are \
                 left out",
                said.len()
            ));
        }
    }
    Ok(())
}

/// How many pages of one size come first, where all others are smaller: reduced copies may follow
/// as pages of their own, without the tag that marks them.
fn full_pages(pages: &[(usize, usize)]) -> usize {
    let first = pages.first().copied().unwrap_or_default();
    let full = pages.iter().take_while(|&&size| size == first).count();
    let rest = pages.get(full..).unwrap_or_default();
    let smaller = |&(height, width): &(usize, usize)| height <= first.0 && width <= first.1;
    match rest.iter().all(|size| *size != first && smaller(size)) {
        true => full,
        false => pages.len(),
    }
}

/// Leaves out the pages behind those that a description counts.
fn leave_reduced_out(info: &mut FileInfo) {
    let full = full_pages(&info.pages);
    let counted = |axes: &Axes| axes.placed.is_none() && axes.count() == Some(full);
    if full < info.pages.len() && info.axes.as_ref().is_some_and(counted) {
        info.problems
            .push(reduced_copies(info.pages.len() - full, info.pages.len()));
        info.pages.truncate(full);
    }
}

/// The descriptions of the first page, however many pages there are.
pub(super) fn descriptions(path: &Path) -> Result<Vec<String>, ImageError> {
    let mut file = TiffFile::open(path)?;
    let first = file.first()?;
    Ok(file.texts(&first, tag::IMAGE_DESCRIPTION))
}

/// The pixel size by the first description that has one, else by the tags of single programs, else
/// by the resolution tags where they hold a size that a microscope has.
fn calibrate(
    info: &mut FileInfo,
    sizes: Vec<Result<Option<f64>, String>>,
    resolution: &Resolution,
    file: &mut TiffFile<'_>,
    first: &Directory,
) {
    if info.pixel_um.is_some() {
        return;
    }
    let described = !sizes.is_empty();
    let mut problem = None;
    for size in sizes {
        match size {
            Ok(Some(um)) => {
                info.pixel_um = Some(um);
                return;
            }
            Ok(None) => {}
            Err(said) => problem = problem.or(Some(said)),
        }
    }
    let nis = file.fraction(first, tag::NIS_PIXEL_UM);
    let nis = nis.filter(|um| um.is_finite() && *um > 0.0);
    match metamorph_um(file, first) {
        Ok(um) => info.pixel_um = um.or(nis),
        Err(said) => problem = problem.or(Some(said)),
    }
    // Harmony states the pixels of the camera there, whatever the objective.
    if info.pixel_um.is_none() && !described && !first.has(tag::HARMONY) && !first.has(tag::UIC1) {
        match resolution.alone() {
            Ok(um) => info.pixel_um = um,
            Err(said) if resolution.is_of_a_microscope() => problem = problem.or(Some(said)),
            Err(_) => {}
        }
    }
    if info.pixel_um.is_none() {
        info.problems.extend(problem);
    }
}

/// Reads page `page`, counted over the directories that are planes or, in stacks under one page,
/// over images; of it a region, or all.
pub(super) fn read(path: &Path, page: usize, region: Option<Region>) -> Result<Pixels, ImageError> {
    let mut file = TiffFile::open(path)?;
    let first = file.first()?;
    let layout = Layout::of(&mut file, &first);
    // Whoever has one sample a pixel, which is nearly everybody, need not know how many pages there
    // are to read the first.
    let several = layout.as_ref().is_ok_and(|layout| layout.depth().0 > 1);
    if page == 0 && !several {
        return layout?.read(&mut file, 0, region);
    }
    let planes = file.planes()?;
    if several && let Some(channels) = channels_of_a_pixel(&mut file, &first, planes)? {
        return match page < channels {
            true => layout?.of_channel(page).read(&mut file, 0, region),
            false => Err(no_such_page(path, page, channels)),
        };
    }
    if page == 0 {
        return layout?.read(&mut file, 0, region);
    }
    if let Some(stack) = stack(&mut file, &first, planes)? {
        if page >= stack.images {
            return Err(no_such_page(path, page, stack.images));
        }
        let shift = stack.bytes * page as u64;
        return Layout::of(&mut file, &first)?.read(&mut file, shift, region);
    }
    match file.plane(page)? {
        Some(directory) => Layout::of(&mut file, &directory)?.read(&mut file, 0, region),
        None => Err(no_such_page(path, page, planes)),
    }
}

/// The number of channels that are the samples of a pixel: in ImageJ's RGB48, three channels of 16
/// bits that say how they are shown, and not what colour anything has.
fn channels_of_a_pixel(
    file: &mut TiffFile<'_>,
    first: &Directory,
    planes: usize,
) -> Result<Option<usize>, ImageError> {
    let (samples, bits) = Layout::of(file, first)?.depth();
    if planes != 1 || samples < 2 || bits != 16 {
        return Ok(None);
    }
    let text = file.text_beginning(first, tag::IMAGE_DESCRIPTION, imagej::START);
    let said = text.and_then(|text| ImageJ::parse(&text));
    Ok(said
        .is_some_and(|said| said.is_of_channels(samples))
        .then_some(samples))
}

/// Images that follow the first one at a fixed distance, without directories of their own.
struct Stack {
    images: usize,
    /// Bytes of one image.
    bytes: u64,
    /// What the images are, where the tags that count them say so.
    axes: Option<Axes>,
}

/// Images under one page, as ImageJ and MetaMorph write them: more than there are directories, and
/// the first one uncompressed and in one piece.
fn stack(
    file: &mut TiffFile<'_>,
    first: &Directory,
    directories: usize,
) -> Result<Option<Stack>, ImageError> {
    let imagej = file.text_beginning(first, tag::IMAGE_DESCRIPTION, imagej::START);
    let imagej = imagej.and_then(|text| ImageJ::parse(&text));
    let metamorph = TiffFile::count_of(first, tag::UIC2);
    let (images, source) = match imagej {
        Some(imagej) => (imagej.images(), "description states"),
        None => (
            usize::try_from(metamorph).unwrap_or(usize::MAX),
            "MetaMorph tag counts",
        ),
    };
    if images <= directories.max(1) {
        return Ok(None);
    }
    if images > MAX_PAGES {
        return Err(too_many_pages(file.path, images));
    }
    let Some((start, bytes)) = Layout::of(file, first)?.in_one_piece() else {
        return Ok(None);
    };
    let end = start.saturating_add(bytes.saturating_mul(images as u64));
    if end > file.bytes {
        // Several directories are the other way to store a stack; then nothing is missing.
        if directories > 1 {
            return Ok(None);
        }
        return Err(file.broken(format!(
            "its {source} {images} images, which end at byte {end}, but the file has {} bytes",
            file.bytes
        )));
    }
    let axes = (metamorph == images as u64).then(|| metamorph_axes(file, first, images));
    Ok(Some(Stack {
        images,
        bytes,
        axes,
    }))
}

/// The planes of a MetaMorph stack: along z, or over time.
fn metamorph_axes(file: &mut TiffFile<'_>, first: &Directory, images: usize) -> Axes {
    let order = file.order;
    let entries = file.elsewhere(first, tag::UIC2, uic::UIC2_BYTES as u64);
    let over_time =
        entries.is_some_and(|bytes| uic::is_over_time(&bytes, |bytes| order.number(bytes) as u32));
    Axes {
        channels: 1,
        planes: if over_time { 1 } else { images },
        times: if over_time { images } else { 1 },
        order: Dimension::ALL,
        placed: None,
    }
}

/// The calibration of MetaMorph's tag UIC1.
fn metamorph_um(file: &mut TiffFile<'_>, first: &Directory) -> Result<Option<f64>, String> {
    let order = file.order;
    let Some(pairs) = file.elsewhere(first, tag::UIC1, uic::UIC1_BYTES as u64) else {
        return Ok(None);
    };
    uic::pixel_um(
        &pairs,
        |bytes| order.number(bytes) as u32,
        |offset, length| file.read(offset, length).ok(),
    )
}

fn resolution(file: &mut TiffFile<'_>, first: &Directory) -> Result<Resolution, ImageError> {
    let unit = file.number(first, tag::RESOLUTION_UNIT)?;
    let mut along = |tag| file.fraction(first, tag);
    Ok(Resolution {
        pixels_per_unit: [along(tag::X_RESOLUTION), along(tag::Y_RESOLUTION)],
        unit_um: unit.and_then(Resolution::unit_um),
    })
}

/// The labels of the slices in ImageJ's binary metadata.
fn slice_labels(file: &mut TiffFile<'_>, first: &Directory) -> Vec<String> {
    let counts = file.numbers(first, tag::IJ_METADATA_BYTE_COUNTS);
    let counts: Vec<u32> = counts
        .unwrap_or_default()
        .iter()
        .map(|&n| n as u32)
        .collect();
    let bytes = file.bytes_of(first, tag::IJ_METADATA).unwrap_or_default();
    imagej::labels(&counts, &bytes, file.order == Order::Big)
}
