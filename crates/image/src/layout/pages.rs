//! What the pages of one file are: channels, planes and times, and the images they make.

use std::collections::BTreeSet;
use std::path::Path;

use super::{Draft, Notes, Slot, containers, ome};
use crate::PlaneRef;
use crate::format::{Axes, FileInfo, reduced_copies};

/// What is said of a file that its name makes a single plane.
pub(super) const SEVERAL_PAGES: &str = "it has several pages, of which the first is used";

/// The channels of one time point, each with its planes along z.
pub(super) type Channels = Vec<(String, Vec<Option<Slot>>)>;

/// What the pages of a file are, where the file itself does not say.
pub(super) enum Pages<'a> {
    Unknown,
    Planes,
    Channels(&'a [String]),
}

/// The channels of one file at each of its time points.
///
/// `alone` is the name of the channel if there is only one; `prefix` goes before the names of
/// several. Pages of unknown meaning become channels `page1`, `page2`, ..: three planes named as
/// channels can still be used as planes, whereas the reverse would hide the stains.
pub(super) fn channels_of(
    path: &Path,
    info: &FileInfo,
    pages: &Pages<'_>,
    alone: &str,
    prefix: &str,
    notes: &mut Notes,
) -> Vec<Channels> {
    let slot = |page| slot_of(path, info, page);
    let count = info.pages.len();
    if let Pages::Channels(names) = pages {
        if names.len() == count {
            let pages = names.iter().zip(0..count);
            let channels = pages.map(|(name, page)| (name.clone(), vec![slot(page)]));
            return vec![channels.collect()];
        }
        if info
            .axes
            .as_ref()
            .is_none_or(|axes| axes.channels != names.len())
        {
            notes.add(
                format!(
                    "{} channels are named, but the file has {count} pages",
                    names.len()
                ),
                path,
            );
        }
    }
    if let Some(axes) = &info.axes {
        let names: Vec<String> = match pages {
            Pages::Channels(names) if names.len() == axes.channels => names.to_vec(),
            _ if info.channels.len() == axes.channels => info.channels.clone(),
            _ if axes.channels == 1 => vec![alone.to_string()],
            _ => (1..=axes.channels)
                .map(|c| format!("{prefix}C{c}"))
                .collect(),
        };
        return by_axes(axes, &names, slot);
    }
    let as_planes = matches!(pages, Pages::Planes);
    without_axes(path, info, as_planes, alone, prefix, notes)
}

/// The channels of a file that does not say what its pages are: the first of one, all of them
/// planes, or each a channel.
fn without_axes(
    path: &Path,
    info: &FileInfo,
    as_planes: bool,
    alone: &str,
    prefix: &str,
    notes: &mut Notes,
) -> Vec<Channels> {
    let slot = |page| slot_of(path, info, page);
    let count = info.pages.len();
    let full = full_size(info);
    if full.len() < count {
        notes.add(reduced_copies(count - full.len(), count), path);
    }
    if let [page] = full[..] {
        return vec![vec![(alone.to_string(), vec![slot(page)])]];
    }
    // More pages than a microscope has channels are a stack.
    const MOST_CHANNELS: usize = 32;
    if as_planes || full.len() > MOST_CHANNELS {
        let planes = full.into_iter().map(slot).collect();
        return vec![vec![(alone.to_string(), planes)]];
    }
    let (count, last) = (full.len(), full.last().map_or(count, |page| page + 1));
    notes.add(
        format!(
            "nothing says whether its {count} pages are channels or planes; they are taken as \
             channels `{prefix}page1` to `{prefix}page{last}`"
        ),
        path,
    );
    let channels = full
        .iter()
        .map(|&page| (format!("{prefix}page{}", page + 1), vec![slot(page)]));
    vec![channels.collect()]
}

fn slot_of(path: &Path, info: &FileInfo, page: usize) -> Option<Slot> {
    let place = PlaneRef::of_file(path.to_path_buf(), page);
    info.pages.get(page).map(|&size| Slot { place, size })
}

/// The channels called `names` at each time, where a file says which page is which plane.
fn by_axes(axes: &Axes, names: &[String], slot: impl Fn(usize) -> Option<Slot>) -> Vec<Channels> {
    let planes = |c, t| {
        let pages = (0..axes.planes).map(|z| axes.page(c, z, t));
        pages.map(|page| page.and_then(&slot)).collect()
    };
    let at = |t| {
        let named = names.iter().enumerate();
        named
            .map(|(c, name)| (name.clone(), planes(c, t)))
            .collect()
    };
    (0..axes.times).map(at).collect()
}

/// The pages of the largest size: others are reduced copies, as Incucyte's archive and scanners of
/// slides keep them.
fn full_size(info: &FileInfo) -> Vec<usize> {
    let area = |&(height, width): &(usize, usize)| height.saturating_mul(width);
    let largest = info.pages.iter().map(area).max();
    let pages = info.pages.iter().enumerate();
    let full = pages.filter(|(_, size)| Some(area(size)) == largest);
    full.map(|(page, _)| page).collect()
}

/// The images of one file with their names: the positions of an OME-TIFF are fields of their own,
/// called as they are in it where names tell them apart, else `NAME_p1`, `NAME_p2`.
pub(super) fn images_of(name: &str, info: FileInfo) -> Vec<(String, FileInfo)> {
    let images = info.into_images();
    if images.len() == 1 {
        return images
            .into_iter()
            .map(|info| (name.to_string(), info))
            .collect();
    }
    let own = |info: &FileInfo| match ome::is_a_number(&info.facts.name) {
        true => String::new(),
        false => containers::as_name(&info.facts.name),
    };
    let own: Vec<String> = images.iter().map(own).collect();
    let distinct: BTreeSet<&String> = own.iter().filter(|own| !own.is_empty()).collect();
    let told_apart = distinct.len() == own.len();
    let names = own.iter().enumerate().map(|(k, own)| match told_apart {
        true if own.starts_with(name) => own.clone(),
        true => format!("{name}_{own}"),
        false => format!("{name}_p{}", k + 1),
    });
    names.zip(images).collect()
}

/// One draft per time point, named with `_tNNN` where there are several.
pub(super) fn drafts_by_time(name: &str, times: Vec<Channels>) -> Vec<Draft> {
    let several = times.len() > 1;
    times
        .into_iter()
        .enumerate()
        .map(|(t, channels)| Draft {
            name: if several {
                format!("{name}_t{:03}", t + 1)
            } else {
                name.to_string()
            },
            position: several.then(|| name.to_string()),
            time: several.then_some(t as u32 + 1),
            channels,
            ..Draft::default()
        })
        .collect()
}
