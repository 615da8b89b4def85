//! OME-XML in the first page of an OME-TIFF: dimensions, channel names, pixel size, and which page
//! is which plane.
//!
//! `TiffData` elements say where planes lie; `DimensionOrder` counts only where they leave it open.
//! What cannot be obeyed is reported instead of guessed. Here: one file by itself. What the XML
//! says is in `document`, where it puts planes in `place`; sets of several files are a layout
//! (`layout::ome`).

mod document;
mod place;

use std::collections::BTreeSet;
use std::path::Path;

pub(crate) use document::{Block, Channel, Document, Elsewhere, Naming, Plate, Stated};
pub(crate) use document::{is_ome, root_uuid};
pub(crate) use place::place;

use super::{Axes, Facts, ImageInfo};
use crate::names::file_name;

/// What the XML says about the images of the file.
#[derive(Default)]
pub(super) struct Ome {
    /// The images of which this file holds planes; the first one in any case.
    pub(super) images: Vec<ImageInfo>,
    pub(super) problems: Vec<String>,
}

impl Ome {
    /// `None` if `description` is not OME-XML; `pages` is the number of pages of the file `path`,
    /// and `full` how many of them come before those that are reduced copies by their size.
    pub(super) fn parse(description: &str, pages: usize, full: usize, path: &Path) -> Option<Self> {
        let document = Document::parse(description)?;
        let mut found = Self {
            problems: document.problems.clone(),
            ..Self::default()
        };
        if let Some(elsewhere) = &document.elsewhere {
            found.problems.push(elsewhere.not_there());
        }
        let several = document.images.len() > 1;
        let file = match document.file_of_blocks(path) {
            Ok(file) => file,
            Err(problem) => {
                found.problems.push(problem);
                return Some(found);
            }
        };
        let mut used = BTreeSet::new();
        for image in document.images {
            // Of a set, an image may lie in other files altogether.
            let here = image.blocks.is_empty() || image.blocks.iter().any(|block| file.has(block));
            if several && !here {
                continue;
            }
            let mut info = ImageInfo {
                pixel_um: image.pixel_um,
                facts: image.facts(),
                ..ImageInfo::default()
            };
            let mut problems: Vec<String> = image.problem.clone().into_iter().collect();
            match image.place(pages, full, several, &file) {
                Ok(placed) => {
                    problems.extend(placed.problems);
                    let channels = placed.channels;
                    info.facts.transmitted = channels.iter().map(|c| c.transmitted).collect();
                    let names: Option<Vec<String>> = channels.into_iter().map(|c| c.name).collect();
                    info.channels = names.unwrap_or_default();
                    info.axes = placed.axes;
                }
                Err(problem) => problems.push(problem),
            }
            let placed = info.axes.iter().filter_map(|axes| axes.placed.as_ref());
            used.extend(placed.flatten().flatten().copied());
            for problem in problems {
                if !found.problems.contains(&problem) {
                    found.problems.push(problem);
                }
            }
            found.images.push(info);
        }
        if !used.is_empty() && used.len() < pages {
            found.problems.push(format!(
                "its OME metadata does not name {} of {pages} pages, which are not read",
                pages - used.len()
            ));
        }
        Some(found)
    }
}

impl Elsewhere {
    fn not_there(&self) -> String {
        let file = self.file.as_deref().unwrap_or("another file");
        format!(
            "its OME metadata lies in `{file}`, which is not there or does not name it, so that \
             the file is read by itself"
        )
    }
}

/// Which `TiffData` elements mean this file.
pub(super) enum Own {
    /// All: there is one file, whatever its name is by now.
    All,
    /// Those of this name; those without one by the identifier.
    Named(String, Option<String>),
    Uuid(String),
}

impl Own {
    fn has(&self, block: &Block) -> bool {
        match self {
            Self::All => true,
            Self::Named(name, own) => match &block.file {
                Some(file) => plain_name(file) == *name,
                None => block.uuid.is_none() || block.uuid == *own,
            },
            Self::Uuid(own) => block.uuid.as_ref() == Some(own),
        }
    }
}

impl Document {
    fn blocks(&self) -> impl Iterator<Item = &Block> {
        self.images.iter().flat_map(|image| &image.blocks)
    }

    /// Whether its elements name several files. A file that was renamed keeps its old name in its
    /// XML: where all elements name one and the same file, it is this one.
    pub(crate) fn is_of_several_files(&self) -> bool {
        let named = |block: &Block| (block.file.as_deref().map(plain_name), block.uuid.clone());
        let first = self.blocks().next().map(named);
        self.blocks().any(|block| Some(named(block)) != first)
    }

    /// What tells the elements of the file `path` from those of others in a set.
    fn file_of_blocks(&self, path: &Path) -> Result<Own, String> {
        if !self.is_of_several_files() {
            return Ok(Own::All);
        }
        let by_name = Own::Named(plain_name(&file_name(path)), self.uuid.clone());
        if self.blocks().any(|block| by_name.has(block)) {
            return Ok(by_name);
        }
        let by_uuid = self.uuid.clone().map(Own::Uuid);
        by_uuid
            .filter(|own| self.blocks().any(|block| own.has(block)))
            .ok_or_else(|| SPREAD.into())
    }
}

/// The planes of an image that lie in one file.
struct InFile {
    axes: Option<Axes>,
    channels: Vec<Channel>,
    problems: Vec<String>,
}

impl Stated {
    /// What is said of it besides its pages and channels.
    fn facts(&self) -> Facts {
        Facts {
            name: self.name.clone(),
            transmitted: Vec::new(),
            z_step_um: self.z_step_um,
            time_step_s: self.time_step_s,
            centre_um: self.centre_um,
        }
    }

    /// Which page of this file holds which plane; `Err` says why the pages cannot be told.
    fn place(self, pages: usize, full: usize, several: bool, file: &Own) -> Result<InFile, String> {
        let Some(axes) = self.axes_in_pages() else {
            return Ok(InFile {
                axes: None,
                channels: Vec::new(),
                problems: Vec::new(),
            });
        };
        let (channels, planes, times) = (axes.channels, axes.planes, axes.times);
        let mismatch = || {
            format!(
                "its OME metadata states {channels} channels x {planes} planes x {times} times, \
                 but it has {pages} pages"
            )
        };
        // More planes than a file can have pages, or none, is no description of this one.
        let total = axes
            .count()
            .filter(|total| (1..=super::MAX_PAGES).contains(total));
        let total = total.ok_or_else(mismatch)?;
        let mut names = self.channels;
        names.resize(channels, Channel::default());
        if self.blocks.iter().all(Block::says_nothing) {
            if several {
                return Err("its OME metadata does not say which pages are which image".into());
            }
            if total != pages && total != full {
                return Err(mismatch());
            }
            return Ok(InFile {
                axes: Some(axes),
                channels: names,
                problems: Vec::new(),
            });
        }
        let own: Vec<((), &Block)> = self
            .blocks
            .iter()
            .filter(|block| file.has(block))
            .map(|block| ((), block))
            .collect();
        let spread = own.len() < self.blocks.len();
        let mut placed = vec![None; total];
        for (plane, ((), page)) in place(&axes, &own, |()| pages)? {
            if page >= pages {
                return Err(format!(
                    "its OME metadata names page {page} (from 0), but it has {pages} pages"
                ));
            }
            placed[plane] = Some(page);
        }
        in_file(axes, names, placed, spread)
    }
}

/// An image of which these pages are in the file; `spread` says that others hold the rest.
fn in_file(
    mut axes: Axes,
    names: Vec<Channel>,
    placed: Vec<Option<usize>>,
    spread: bool,
) -> Result<InFile, String> {
    let total = placed.len();
    let missing = total - placed.iter().flatten().count();
    if missing == total {
        return Err("its OME metadata names no page of this file".into());
    }
    let mut problems = Vec::new();
    if spread {
        problems.push(SPREAD.into());
    } else if missing > 0 {
        problems.push(format!(
            "its OME metadata names no page for {missing} of {total} planes"
        ));
    }
    axes.placed = Some(placed);
    let (axes, channels) = match spread {
        true => own_part(&axes, &names),
        false => (axes, names),
    };
    Ok(InFile {
        axes: Some(axes),
        channels,
        problems,
    })
}

/// What is said of one file of a set that is not read as one.
const SPREAD: &str =
    "its OME metadata spreads the image over several files, which are read one by one";

impl Block {
    /// Whether pages simply follow the order of the dimensions.
    fn says_nothing(&self) -> bool {
        self.first == [0; 3] && self.count.is_none() && self.page.is_none() && self.file.is_none()
    }
}

/// The last part of a path of any system, in lower case.
pub(crate) fn plain_name(file: &str) -> String {
    let name = file.rsplit(['/', '\\']).next().unwrap_or(file);
    name.trim().to_lowercase()
}

/// The channels, planes and times of a set that lie in one file, and the names of those channels.
fn own_part(axes: &Axes, names: &[Channel]) -> (Axes, Vec<Channel>) {
    let (mut cs, mut zs, mut ts) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let all = (0..axes.times).flat_map(|t| {
        (0..axes.planes).flat_map(move |z| (0..axes.channels).map(move |c| (c, z, t)))
    });
    for (c, z, t) in all {
        if axes.page(c, z, t).is_some() {
            cs.insert(c);
            zs.insert(z);
            ts.insert(t);
        }
    }
    let mut placed = Vec::new();
    for &t in &ts {
        for &z in &zs {
            placed.extend(cs.iter().map(|&c| axes.page(c, z, t)));
        }
    }
    let part = Axes {
        channels: cs.len(),
        planes: zs.len(),
        times: ts.len(),
        order: axes.order,
        placed: Some(placed),
    };
    (part, cs.iter().map(|&c| names[c].clone()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An OME-TIFF `a.ome.tif` of 2 channels x 3 planes with these `TiffData` elements.
    fn parsed(order: &str, blocks: &str, pages: usize) -> Ome {
        let xml = format!(
            "<?xml version=\"1.0\"?><OME UUID=\"urn:uuid:1\"><Image ID=\"Image:0\"><Pixels \
             DimensionOrder=\"{order}\" SizeX=\"4\" SizeY=\"3\" SizeZ=\"3\" SizeC=\"2\" \
             SizeT=\"1\"><Channel Name=\"BF\"/><Channel Name=\"A &amp; B\"/>{blocks}</Pixels>\
             </Image></OME>"
        );
        Ome::parse(&xml, pages, pages, Path::new("folder/a.ome.tif")).expect("OME-XML")
    }

    fn pages(ome: &Ome) -> Vec<Option<usize>> {
        let axes = ome.images[0].axes.as_ref().expect("axes");
        (0..axes.channels)
            .flat_map(|c| (0..axes.planes).map(move |z| (c, z)))
            .map(|(c, z)| axes.page(c, z, 0))
            .collect()
    }

    const Z_FIRST: [Option<usize>; 6] = [Some(0), Some(1), Some(2), Some(3), Some(4), Some(5)];
    const C_FIRST: [Option<usize>; 6] = [Some(0), Some(2), Some(4), Some(1), Some(3), Some(5)];

    #[test]
    fn order_units_and_names_are_taken() {
        let xml = "<?xml version=\"1.0\"?><OME><Image ID=\"Image:0\"><Pixels \
            DimensionOrder=\"XYZCT\" \
                   SizeX=\"4\" SizeY=\"3\" SizeZ=\"2\" SizeC=\"2\" SizeT=\"1\" \
                   PhysicalSizeX=\"0,65\" \
                   PhysicalSizeY=\"650\" PhysicalSizeYUnit=\"nm\"><Channel Name=\"BF\"/>\
                   <Channel Name=\"A &amp; B\"/></Pixels></Image></OME>";
        let ome = Ome::parse(xml, 4, 4, Path::new("a.tif")).expect("OME-XML");
        let image = &ome.images[0];
        let axes = image.axes.as_ref().expect("consistent sizes");
        assert_eq!(axes.page(1, 0, 0), Some(2));
        assert_eq!(image.channels, ["BF", "A & B"]);
        assert_eq!(image.pixel_um, Some(0.65));
        assert!(ome.problems.is_empty());
        let other = Ome::parse(xml, 3, 3, Path::new("a.tif")).expect("OME-XML");
        assert_eq!(other.problems.len(), 1);
    }

    #[test]
    fn without_tiff_data_the_dimension_order_counts() {
        for blocks in ["", "<TiffData/>"] {
            assert_eq!(pages(&parsed("XYZCT", blocks, 6)), Z_FIRST);
            assert_eq!(pages(&parsed("XYCZT", blocks, 6)), C_FIRST);
        }
    }

    #[test]
    fn tiff_data_places_planes_whatever_the_dimension_order() {
        let each: String = (0..6)
            .map(|page| {
                format!(
                    "<TiffData IFD=\"{page}\" FirstC=\"{}\" FirstZ=\"{}\"/>",
                    page / 3,
                    page % 3
                )
            })
            .collect();
        // Two runs, of which the second comes first in the file.
        let runs = "<TiffData IFD=\"3\" PlaneCount=\"3\"/>\
                    <TiffData IFD=\"0\" FirstC=\"1\" PlaneCount=\"3\"/>";
        for order in ["XYZCT", "XYCZT", "XYTCZ"] {
            let ome = parsed(order, &each, 6);
            assert_eq!(pages(&ome), Z_FIRST, "{order}");
            assert_eq!(ome.images[0].channels, ["BF", "A & B"]);
            assert!(ome.problems.is_empty(), "{:?}", ome.problems);
        }
        let turned = [Some(3), Some(4), Some(5), Some(0), Some(1), Some(2)];
        assert_eq!(pages(&parsed("XYZCT", runs, 6)), turned);
    }

    #[test]
    fn every_image_has_its_own_pages() {
        let image = |name: &str, page: usize| {
            format!(
                "<Image><Pixels DimensionOrder=\"XYZCT\" SizeZ=\"2\" SizeC=\"1\" SizeT=\"1\">\
                 <Channel Name=\"{name}\"/><TiffData IFD=\"{page}\" PlaneCount=\"2\"/></Pixels>\
                 </Image>"
            )
        };
        let xml = format!("<OME>{}{}</OME>", image("BF", 2), image("GFP", 0));
        let ome = Ome::parse(&xml, 4, 4, Path::new("a.tif")).expect("OME-XML");
        let first = |image: &ImageInfo| image.axes.as_ref().and_then(|axes| axes.page(0, 0, 0));
        let found: Vec<_> = ome
            .images
            .iter()
            .map(|i| (&i.channels[0][..], first(i)))
            .collect();
        assert_eq!(found, [("BF", Some(2)), ("GFP", Some(0))]);
        assert!(ome.problems.is_empty(), "{:?}", ome.problems);
        // Without a word about pages, they cannot be told apart.
        let open = xml
            .replace(" PlaneCount=\"2\"", "")
            .replace(" IFD=\"2\"", "");
        let open = open.replace(" IFD=\"0\"", "");
        let ome = Ome::parse(&open, 4, 4, Path::new("a.tif")).expect("OME-XML");
        let said = "its OME metadata does not say which pages are which image";
        assert_eq!(ome.problems, [said]);
    }

    #[test]
    fn planes_without_a_page_and_pages_without_a_plane_are_said() {
        let some = "<TiffData IFD=\"0\" FirstZ=\"1\"/><TiffData IFD=\"2\" FirstC=\"1\"/>";
        let ome = parsed("XYZCT", some, 3);
        assert_eq!(pages(&ome), [None, Some(0), None, Some(2), None, None]);
        assert_eq!(
            ome.problems,
            [
                "its OME metadata names no page for 4 of 6 planes",
                "its OME metadata does not name 1 of 3 pages, which are not read"
            ]
        );
    }

    #[test]
    fn what_cannot_be_obeyed_is_reported_and_not_guessed() {
        for (blocks, said) in [
            (
                "<TiffData IFD=\"6\"/>",
                "names page 6 (from 0), but it has 6 pages",
            ),
            (
                "<TiffData IFD=\"0\" FirstC=\"2\"/>",
                "names the plane C 2, Z 0, T 0",
            ),
            ("<TiffData IFD=\"0\" PlaneCount=\"7\"/>", "places 7 planes"),
            (
                "<TiffData IFD=\"0\"/><TiffData IFD=\"1\"/>",
                "names several pages for one plane",
            ),
            (
                "<TiffData IFD=\"0\"/><TiffData IFD=\"0\" FirstC=\"1\"/>",
                "names one page for several planes",
            ),
        ] {
            let ome = parsed("XYZCT", blocks, 6);
            assert_eq!(ome.images[0].axes, None, "{blocks}");
            assert!(ome.problems[0].contains(said), "{:?}", ome.problems);
        }
    }

    #[test]
    fn of_a_set_the_own_planes_are_taken_and_a_renamed_file_is_no_set() {
        let file = |name: &str, c: usize| {
            format!(
                "<TiffData IFD=\"0\" FirstC=\"{c}\" PlaneCount=\"3\">\
                 <UUID FileName=\"{name}\">urn:uuid:{c}</UUID></TiffData>"
            )
        };
        let set = file("b.ome.tif", 0) + &file("a.ome.tif", 1);
        let ome = parsed("XYZCT", &set, 3);
        assert_eq!(pages(&ome), [Some(0), Some(1), Some(2)]);
        assert_eq!(ome.images[0].channels, ["A & B"]);
        assert_eq!(ome.problems, [SPREAD]);
        // The same by its identifier after all files were renamed.
        let ome = parsed("XYZCT", &(file("x.tif", 0) + &file("y.tif", 1)), 3);
        assert_eq!(ome.images[0].channels, ["A & B"]);
        let renamed = file("x.tif", 0) + &file("x.tif", 1).replace("urn:uuid:1", "urn:uuid:0");
        let renamed = renamed.replace("IFD=\"0\" FirstC=\"1\"", "IFD=\"3\" FirstC=\"1\"");
        let ome = parsed("XYCZT", &renamed.replace("PlaneCount=\"3\"", ""), 6);
        assert_eq!(
            ome.images[0].axes.as_ref().expect("placed").page(1, 0, 0),
            Some(3)
        );
    }
}
