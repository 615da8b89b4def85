//! From planes found by a layout to a checked data set: one size per field, channels united by
//! name, everything missing said.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use super::draft::{Draft, Slot};
use crate::names::{list_names, natural_order};
use crate::{Dataset, Field, ImageError, OpenOptions, PlaneRef, Position, rounded_um};

/// What a layout found: its fields, the order of its channels, and what is odd.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) fields: Vec<Draft>,
    /// Channels that come first, in this order, whether or not the first field has them.
    pub(super) channel_order: Vec<String>,
    /// Of channels of which the files say it: whether they were taken in transmitted light.
    pub(super) transmitted: BTreeMap<String, bool>,
    pub(super) problems: Vec<String>,
}

impl Found {
    /// Keeps what files say of the light of channels; one that says transmitted outweighs others.
    pub(super) fn say_light(&mut self, said: impl IntoIterator<Item = (String, bool)>) {
        for (channel, transmitted) in said {
            *self.transmitted.entry(channel).or_default() |= transmitted;
        }
    }
}

/// Checks what was found and makes the data set of it.
pub(super) fn assemble(
    layout: &str,
    root: &Path,
    found: Found,
    options: &OpenOptions,
) -> Result<Dataset, ImageError> {
    let Found {
        mut fields,
        channel_order,
        mut transmitted,
        mut problems,
    } = found;
    fields.sort_by(|a, b| natural_order(&a.name, &b.name));
    drop_repeated_names(&mut fields, &mut problems);
    super::series::place(&mut fields);

    let mut channels = channel_order;
    let mut numbers: HashMap<String, usize> = HashMap::new();
    for (c, name) in channels.iter().enumerate() {
        numbers.entry(name.clone()).or_insert(c);
    }
    for (name, _) in fields.iter().flat_map(|field| &field.channels) {
        if !numbers.contains_key(name) {
            numbers.insert(name.clone(), channels.len());
            channels.push(name.clone());
        }
    }
    let mut depths = vec![1; channels.len()];
    for (name, planes) in fields.iter().flat_map(|field| &field.channels) {
        let depth = &mut depths[numbers[name]];
        *depth = planes.len().max(*depth);
    }

    let mut checked = Vec::with_capacity(fields.len());
    for draft in fields {
        if let Some(field) = check(draft, &channels, &numbers, &depths, &mut problems) {
            checked.push(field);
        }
    }
    let present: Vec<bool> = (0..channels.len())
        .map(|c| {
            checked
                .iter()
                .any(|field| field.planes[c].iter().any(Option::is_some))
        })
        .collect();
    keep(&mut channels, &present);
    for field in &mut checked {
        keep(&mut field.planes, &present);
    }
    report_missing(&channels, &checked, &mut problems);

    if checked.is_empty() {
        return Err(ImageError::NoImages {
            path: root.to_path_buf(),
            what: match problems.len() {
                0 => "it has no TIFF or PNG file".into(),
                1 => problems.remove(0),
                n => format!("{} ({} more such problems)", problems[0], n - 1),
            },
            way_out: "name a plate, a folder of images or an image file".into(),
        });
    }
    transmitted.retain(|name, _| channels.contains(name));
    if let Some(um) = options.pixel_um {
        if !(um.is_finite() && um > 0.0) {
            return Err(ImageError::Misuse {
                what: format!("`{um}` is no pixel size"),
                way_out: "give the width of a pixel in um, such as 0.325".into(),
            });
        }
        checked
            .iter_mut()
            .for_each(|field| field.pixel_um = Some(um));
    }
    Ok(Dataset {
        layout: layout.to_string(),
        root: root.to_path_buf(),
        channels,
        transmitted,
        fields: checked,
        problems,
    })
}

fn keep<T>(items: &mut Vec<T>, keep: &[bool]) {
    let mut keep = keep.iter();
    items.retain(|_| *keep.next().expect("one flag per item"));
}

fn drop_repeated_names(fields: &mut Vec<Draft>, problems: &mut Vec<String>) {
    let mut kept: Vec<Draft> = Vec::with_capacity(fields.len());
    // Sorted by name, so that those of one name are neighbours.
    for field in fields.drain(..) {
        match kept.last().filter(|first| first.name == field.name) {
            Some(first) => problems.push(format!(
                "field `{}` occurs twice ({} and {}); only the first is used",
                field.name,
                list_names(&files_of(first)),
                list_names(&files_of(&field))
            )),
            None => kept.push(field),
        }
    }
    *fields = kept;
}

fn files_of(field: &Draft) -> Vec<String> {
    let slots = field
        .channels
        .iter()
        .flat_map(|(_, planes)| planes.iter().flatten());
    let mut files: Vec<String> = slots.map(|slot| slot.place.name()).collect();
    files.dedup();
    files
}

/// One field with one size, or `None` with a problem if nothing of it can be used.
fn check(
    draft: Draft,
    channels: &[String],
    numbers: &HashMap<String, usize>,
    depths: &[usize],
    problems: &mut Vec<String>,
) -> Option<Field> {
    let mut planes: Vec<Vec<Option<Slot>>> = vec![Vec::new(); channels.len()];
    for (name, slots) in draft.channels {
        let c = numbers[&name];
        if planes[c].iter().any(Option::is_some) {
            let file_of = |slots: &[Option<Slot>]| {
                let slot = slots.iter().flatten().next();
                slot.map_or(String::new(), |slot| slot.place.name())
            };
            problems.push(format!(
                "field `{}` has channel `{name}` twice (`{}` and `{}`); only the first is used",
                draft.name,
                file_of(&planes[c]),
                file_of(&slots)
            ));
        } else {
            planes[c] = slots;
        }
    }
    for (planes, &depth) in planes.iter_mut().zip(depths) {
        // A field whose channel is missing as a whole misses as many planes as the others have;
        // a shallower stack of its own is no hole.
        if planes.is_empty() {
            planes.resize(depth, None);
        }
    }
    let Some((height, width)) = size_of_most(&planes) else {
        problems.push(format!(
            "field `{}` has no plane that is there; it is left out",
            draft.name
        ));
        return None;
    };
    let usual = planes
        .iter()
        .flatten()
        .flatten()
        .find(|slot| slot.size == (height, width))?
        .place
        .name();
    for (channel, planes) in channels.iter().zip(&mut planes) {
        for (z, slot) in planes.iter_mut().enumerate() {
            if let Some(Slot {
                size: (h, w),
                place,
            }) = slot
                && (*h, *w) != (height, width)
            {
                problems.push(format!(
                    "field `{}`: `{}` (plane {} of channel `{channel}`) is {h} x {w} and `{}` is \
                     {height} x {width}; the first is left out, since all planes of a field must \
                     show the same place",
                    draft.name,
                    place.name(),
                    z + 1,
                    usual
                ));
                *slot = None;
            }
        }
    }
    Some(Field {
        pixel_um: one_pixel_size(&draft.name, &draft.pixel_um, problems),
        position: Position {
            name: draft.position.unwrap_or_else(|| draft.name.clone()),
            plate: draft.plate,
            well: draft.well,
            site: draft.site,
        },
        name: draft.name,
        time: draft.time,
        height,
        width,
        planes: planes
            .into_iter()
            .map(|planes| {
                planes
                    .into_iter()
                    .map(|slot| slot.map(|slot| slot.place))
                    .collect()
            })
            .collect(),
        metadata: draft.metadata,
    })
}

/// The size that most planes have; of equally frequent ones, the first.
fn size_of_most(planes: &[Vec<Option<Slot>>]) -> Option<(usize, usize)> {
    let mut counts: HashMap<(usize, usize), (usize, Reverse<usize>)> = HashMap::new();
    for (k, slot) in planes.iter().flatten().flatten().enumerate() {
        counts.entry(slot.size).or_insert((0, Reverse(k))).0 += 1;
    }
    let most = counts.into_iter().max_by_key(|(_, count)| *count);
    most.map(|(size, _)| size)
}

fn one_pixel_size(name: &str, stated: &[f64], problems: &mut Vec<String>) -> Option<f64> {
    let first = *stated.first()?;
    // Programs round calibrations differently; a part in a thousand is a pixel over a whole field.
    match stated.iter().find(|um| (*um - first).abs() > 1e-3 * first) {
        Some(other) => {
            problems.push(format!(
                "field `{name}` states the pixel sizes {} um and {} um, so none is taken",
                rounded_um(first),
                rounded_um(*other)
            ));
            None
        }
        None => Some(first),
    }
}

fn report_missing(channels: &[String], fields: &[Field], problems: &mut Vec<String>) {
    for (c, channel) in channels.iter().enumerate() {
        let without = |wanted: fn(&[Option<PlaneRef>]) -> bool| -> Vec<&str> {
            let found = fields.iter().filter(|field| wanted(&field.planes[c]));
            found.map(|field| field.name.as_str()).collect()
        };
        let total = fields.len();
        let none = without(|planes| planes.iter().all(Option::is_none));
        if !none.is_empty() {
            problems.push(format!(
                "channel `{channel}` is missing in {} of {total} fields: {}",
                none.len(),
                list_names(&none)
            ));
        }
        let some = without(|planes| {
            planes.iter().any(Option::is_none) && planes.iter().any(Option::is_some)
        });
        if !some.is_empty() {
            problems.push(format!(
                "channel `{channel}` misses some planes in {} of {total} fields: {}",
                some.len(),
                list_names(&some)
            ));
        }
    }
}
