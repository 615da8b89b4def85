//! Files of microscopes and other programs that are not read: what they are, and how to convert
//! them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use regex::Regex;

use super::Entries;
use crate::ImageError;
use crate::names::{file_name, list_names};

/// A kind of file that holds images and is not read, or not where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    /// Of one file, without its article.
    name: &'static str,
    way_out: &'static str,
    /// Endings in small letters.
    ends: &'static [&'static str],
}

const EXPORT: &str = "export as TIFF from the microscope's program, or convert with Fiji's \
     Bio-Formats importer or `bfconvert`";

/// What to do where stores are not read.
const NO_ZARR: &str = "this build has no OME-Zarr: build it with the feature `zarr`, or convert \
     the store to OME-TIFF, with `bfconvert` or Fiji";

const fn vendor(name: &'static str, ends: &'static [&'static str]) -> Kind {
    Kind {
        name,
        way_out: EXPORT,
        ends,
    }
}

/// What is read, but not from among images of another kind, or two folders down.
const READ_APART: &str = "name it, or a folder of such files alone, by itself";

const fn readable(name: &'static str, ends: &'static [&'static str]) -> Kind {
    Kind {
        name,
        way_out: READ_APART,
        ends,
    }
}

const KINDS: [Kind; 25] = [
    Kind {
        name: "OME-Zarr store",
        way_out: match cfg!(feature = "zarr") {
            true => "name the store by itself, or the folder that it lies in",
            false => NO_ZARR,
        },
        ends: &["zarr"],
    },
    Kind {
        name: "N5 store",
        way_out: "convert it to OME-Zarr, with Fiji",
        ends: &["n5"],
    },
    readable("Nikon ND2 file", &["nd2"]),
    vendor("MetaMorph series", &["nd"]),
    readable("Zeiss CZI file", &["czi"]),
    vendor("Zeiss file", &["lsm", "zvi"]),
    readable("Leica LIF file", &["lif"]),
    vendor("Leica file", &["lof", "xlef", "lei", "scn"]),
    vendor("Olympus file", &["oib", "oif", "oir", "vsi", "ets"]),
    vendor("Imaris file", &["ims"]),
    vendor("DeltaVision file", &["dv", "r3d"]),
    vendor("Opera file", &["flex", "mea"]),
    readable("Cellomics file", &["c01", "dib"]),
    vendor("slide scan", &["svs", "ndpi", "mrxs", "bif", "qptiff"]),
    vendor("DICOM file", &["dcm", "dicom"]),
    vendor("Incell file", &["xdce"]),
    vendor("volume", &["mrc", "nii", "mha", "mhd", "nrrd"]),
    Kind {
        name: "MetaMorph stack",
        way_out: "it is a TIFF inside: give it the ending `.tif`",
        ends: &["stk"],
    },
    Kind {
        name: "JPEG",
        way_out: "its compression has changed the intensities: export the images again as TIFF or \
                  PNG",
        ends: &["jpg", "jpeg", "jpe", "jfif", "jp2", "jxl", "webp"],
    },
    Kind {
        name: "picture",
        way_out: "export the images again as TIFF or PNG",
        ends: &["bmp", "gif", "svg", "pdf", "psd", "heic"],
    },
    Kind {
        name: "video",
        way_out: "its compression has changed the intensities: export the frames again as TIFF",
        ends: &["avi", "mp4", "mov", "mkv", "wmv", "mpg"],
    },
    Kind {
        name: "NumPy or MATLAB array",
        way_out: "save it as TIFF, with `tifffile.imwrite` or `imwrite`",
        ends: &["npy", "npz", "mat", "pkl"],
    },
    Kind {
        name: "HDF5 file",
        way_out: "save its images as TIFF",
        ends: &["h5", "hdf5", "hdf", "ch5"],
    },
    Kind {
        name: "ImageJ region file",
        way_out: "draw the regions into a label image in Fiji and save it as TIFF",
        ends: &["roi"],
    },
    Kind {
        name: "compressed file",
        way_out: "unpack it first",
        ends: &["gz", "zip", "7z", "tar", "rar", "bz2", "xz", "zst"],
    },
];

/// Whether a folder is an OME-Zarr store.
pub(super) fn is_store(path: &Path) -> bool {
    let names = [".zgroup", ".zarray", ".zattrs", "zarr.json"];
    path.is_dir() && names.iter().any(|name| path.join(name).is_file())
}

fn kind_of(path: &Path) -> Option<Kind> {
    if is_store(path) {
        return Some(KINDS[0]);
    }
    let end = path.extension()?.to_string_lossy().to_lowercase();
    KINDS
        .into_iter()
        .find(|kind| kind.ends.contains(&end.as_str()))
}

/// The error for a file, or the folder of a store, that was named by itself.
pub(super) fn named_alone(path: &Path) -> Option<ImageError> {
    let kind = kind_of(path)?;
    if path.is_dir() && !KINDS[..2].contains(&kind) {
        return None;
    }
    // Where stores are read, this one has nothing by which it could be.
    if kind == KINDS[0] && cfg!(feature = "zarr") {
        return Some(match path.is_dir() {
            true => ImageError::broken(path, "it is an OME-Zarr store without metadata"),
            false => ImageError::not_supported(
                path,
                "it is a file, and an OME-Zarr store is a folder",
                "unpack it first",
            ),
        });
    }
    Some(ImageError::not_supported(
        path,
        format!("it is {}, which stainfree does not read", article(kind)),
        kind.way_out,
    ))
}

const CONVERT: &str = "convert it to OME-TIFF with Fiji's Bio-Formats importer or `bfconvert`, or \
     copy the images of each channel into a folder of its own, under the same names";

/// A system whose plates are folders of TIFFs that make no sense without its index, which is not
/// read.
struct Mark {
    /// With its article.
    system: &'static str,
    way_out: &'static str,
    /// Whether names in a folder, in small letters, are those of the system.
    bears: fn(&[String]) -> bool,
}

fn has(names: &[String], wanted: &str) -> bool {
    names.iter().any(|name| name == wanted)
}

fn ends(names: &[String], wanted: &str) -> bool {
    names.iter().any(|name| name.ends_with(wanted))
}

static OF_HARMONY: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^r\d+c\d+f\d+p\d+-ch\d+sk\d+fk\d+fl\d+\.tiff?$").expect("a valid pattern")
});
static OF_CELLVOYAGER: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = r"_[a-p]\d\d_t\d{4}f\d{3}l\d\da\d\dz\d+c\d\d\.(tif|png)$";
    Regex::new(pattern).expect("a valid pattern")
});
static OF_NDTIFF: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(^|_)ndtiffstack(_\d+)?\.tif$").expect("a valid pattern"));
static OF_SCANR: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"--w\d{5}--p\d{5}--.*\.tif$").expect("a valid pattern"));

fn some(names: &[String], pattern: &Regex) -> bool {
    names.iter().any(|name| pattern.is_match(name))
}

const MARKS: [Mark; 7] = [
    Mark {
        system: "a Harmony plate without a usable index (`Index.idx.xml` or `Index.xml`)",
        way_out: "copy the index beside the images, or export the plate again",
        bears: |names| some(names, &OF_HARMONY),
    },
    Mark {
        system: "an NDTiff data set of Micro-Manager without its index (`NDTiff.index`)",
        way_out: "copy the index beside the files, or save the set again in Micro-Manager as an \
                  image stack file (OME-TIFF)",
        bears: |names| has(names, "full resolution") || some(names, &OF_NDTIFF),
    },
    Mark {
        system: "a CellVoyager plate without its index (`MeasurementData.mlf`)",
        way_out: "copy the index beside the images",
        bears: |names| ends(names, ".mrf") || ends(names, ".wpi") || some(names, &OF_CELLVOYAGER),
    },
    Mark {
        system: "a Columbus export (`ImageIndex.ColumbusIDX.xml`)",
        way_out: "export it from Harmony, whose index is read",
        bears: |names| ends(names, ".columbusidx.xml"),
    },
    Mark {
        system: "an Olympus ScanR experiment without its metadata (`data/metadata.ome.xml`)",
        way_out: "copy the metadata beside the images, or convert them to OME-TIFF",
        bears: |names| has(names, "experiment_descriptor.xml") || some(names, &OF_SCANR),
    },
    Mark {
        system: "an Incucyte archive (`EssenFiles`) without its scans (`ScanData`)",
        way_out: "name the whole archive, or export the images from the Incucyte's program",
        bears: |names| has(names, "essenfiles"),
    },
    Mark {
        system: "an IN Cell Analyzer plate (`.xdce`)",
        way_out: CONVERT,
        bears: |names| ends(names, ".xdce"),
    },
];

/// The refusal of a folder that bears the mark of a system which is not read, itself or, where it
/// has no images of its own, in the folders in it: taken for plain images, positions would become
/// channels.
///
/// # Errors
/// If the folder cannot be listed.
pub(super) fn marked(path: &Path) -> Result<Option<ImageError>, ImageError> {
    let inside = Entries::of(path)?;
    let names_of = |entries: &Entries| -> Vec<String> {
        let all = [&entries.images, &entries.folders, &entries.others];
        let names = all.into_iter().flatten();
        names.map(|path| file_name(path).to_lowercase()).collect()
    };
    let mut listings = vec![(path.to_path_buf(), names_of(&inside))];
    if inside.images.is_empty() {
        for folder in &inside.folders {
            listings.push((folder.clone(), names_of(&Entries::of(folder)?)));
        }
    }
    if let Some(error) = sets_inside(path, &listings) {
        return Ok(Some(error));
    }
    let mut found = listings.iter().filter_map(|(folder, names)| {
        let mark = MARKS.iter().find(|mark| (mark.bears)(names))?;
        Some(ImageError::not_supported(
            folder,
            format!("it is {}, which stainfree does not read", mark.system),
            mark.way_out,
        ))
    });
    Ok(found.next())
}

/// The refusal of a folder of folders with OME-TIFF sets: files of the same name in each are no
/// channels. `listings` begin with the folder itself.
fn sets_inside(path: &Path, listings: &[(PathBuf, Vec<String>)]) -> Option<ImageError> {
    let is_of_set = |name: &String| {
        let is_stack = name.contains("mmstack") && name.ends_with(".ome.tif");
        is_stack || name.ends_with(".companion.ome")
    };
    let inside = listings.iter().skip(1);
    let sets = inside.filter(|(_, names)| names.iter().any(is_of_set));
    let sets: Vec<String> = sets.map(|(folder, _)| file_name(folder)).collect();
    (!sets.is_empty()).then(|| ImageError::NoImages {
        path: path.to_path_buf(),
        what: format!(
            "its folders hold OME-TIFF sets, each by itself ({})",
            list_names(&sets)
        ),
        way_out: "name one of the folders in it".into(),
    })
}

fn article(kind: Kind) -> String {
    let vowel = kind.name.starts_with(['A', 'E', 'I', 'O', 'U', 'H']) || kind == KINDS[1];
    let article = if vowel { "an" } else { "a" };
    format!("{article} {}", kind.name)
}

/// What lies in a folder that has no image, and what to do with it.
pub(super) fn instead(entries: &Entries) -> (String, String) {
    let mut found = by_kind(entries, |_| false);
    for inside in entries
        .folders
        .iter()
        .filter_map(|path| Entries::of(path).ok())
    {
        for (kind, files) in by_kind(&inside, |_| false) {
            found.entry(kind).or_default().extend(files);
        }
    }
    if found.is_empty() {
        let names: Vec<String> = entries.others.iter().map(|path| file_name(path)).collect();
        let what = match names.len() {
            0 => "it has no TIFF or PNG file".to_string(),
            _ => format!("it has no TIFF or PNG file, only {}", list_names(&names)),
        };
        let way_out = "name a plate, a folder of images or an image file";
        return (what, way_out.into());
    }
    let listed: Vec<String> = found
        .iter()
        .map(|(kind, files)| counted(*kind, files))
        .collect();
    (
        format!("it has no TIFF or PNG file, but {}", listed.join(", ")),
        ways_out(&found),
    )
}

/// What to do about files of several kinds, each way once.
fn ways_out(found: &BTreeMap<Kind, Vec<String>>) -> String {
    let mut ways: Vec<&str> = Vec::new();
    for kind in found.keys() {
        if !ways.contains(&kind.way_out) {
            ways.push(kind.way_out);
        }
    }
    ways.join("; ")
}

/// Sentences about files of microscopes that lie among images and are not read, by their way out;
/// `is_read` says which of them are.
pub(super) fn beside(entries: &Entries, is_read: impl Fn(&Path) -> bool) -> Vec<String> {
    let mut by_way_out: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (kind, files) in by_kind(entries, is_read) {
        if [EXPORT, READ_APART].contains(&kind.way_out) || kind == KINDS[0] {
            let listed = by_way_out.entry(kind.way_out).or_default();
            listed.push(counted(kind, &files));
        }
    }
    let told = by_way_out.into_iter();
    told.map(|(way_out, listed)| format!("not read: {}; {way_out}", listed.join(", ")))
        .collect()
}

fn by_kind(entries: &Entries, is_read: impl Fn(&Path) -> bool) -> BTreeMap<Kind, Vec<String>> {
    let mut found: BTreeMap<Kind, Vec<String>> = BTreeMap::new();
    let all = entries.others.iter().chain(&entries.folders);
    for path in all.filter(|path| !is_read(path)) {
        if let Some(kind) = kind_of(path) {
            found.entry(kind).or_default().push(file_name(path));
        }
    }
    found
}

fn counted(kind: Kind, files: &[String]) -> String {
    let plural = match files.len() {
        1 => kind.name.to_string(),
        _ => format!("{}s", kind.name),
    };
    format!("{} {plural} ({})", files.len(), list_names(files))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_foreign_files_says_what_they_are_and_how_to_convert_them() {
        for (name, what) in [
            ("a.nd", "1 MetaMorph series (`a.nd`)"),
            ("deep/a.nd2", "1 Nikon ND2 file (`a.nd2`)"),
            ("a.LSM", "1 Zeiss file (`a.LSM`)"),
            ("deep/b.lif", "1 Leica LIF file (`b.lif`)"),
            ("deep/a.czi", "1 Zeiss CZI file (`a.czi`)"),
            ("a.jpg", "1 JPEG (`a.jpg`)"),
            ("a.stk", "1 MetaMorph stack (`a.stk`)"),
            ("a.n5/attributes.json", "1 N5 store (`a.n5`)"),
            ("a.zarr/.zattrs", "1 OME-Zarr store (`a.zarr`)"),
            ("store/zarr.json", "1 OME-Zarr store (`store`)"),
        ] {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            std::fs::write(&path, b"{}").expect("written");
            let (said, way_out) = instead(&Entries::of(folder.path()).expect("lists"));
            assert!(said.ends_with(what), "{said}");
            assert!(!way_out.is_empty());
        }
    }

    #[test]
    fn folders_of_tiffs_with_the_mark_of_a_system_are_told_by_it() {
        for (names, what) in [
            (&["x_NDTiffStack_1.tif"][..], "NDTiff"),
            (&["Full resolution/x.tif", "Downsampled_x2/x.tif"], "NDTiff"),
            (
                &["p.wpi", "p_B03_T0001F001L01A01Z01C01.tif"],
                "without its index",
            ),
            (&["ImageIndex.ColumbusIDX.xml", "0001.tif"], "Columbus"),
            (
                &["data/B2--W00014--P00001--Z00000--T00000--405 nm #1.tif"],
                "ScanR",
            ),
            (
                &[
                    "Images/r01c01f01p01-ch1sk1fk1fl1.tiff",
                    "Images/Index.idx.xml",
                ],
                "Harmony",
            ),
            (&["p_B03_T0001F001L01A01Z01C01.tif"], "without its index"),
            (&["EssenFiles/a.tif"], "Incucyte"),
            (&["plate.xdce", "A - 1(fld 1 wv DAPI).tif"], "IN Cell"),
        ] {
            let folder = tempfile::tempdir().expect("a temporary folder");
            for name in names {
                let path = folder.path().join(name);
                std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
                std::fs::write(&path, b"x").expect("written");
            }
            let said = crate::open(folder.path(), &crate::OpenOptions::default());
            let said = said.expect_err("refused").to_string();
            assert!(
                said.contains(what) && said.contains("is not supported"),
                "{said}"
            );
        }
        // Notes of one's own are no mark, and what lies deeper is not what was opened.
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir(folder.path().join("raw")).expect("made");
        for name in [
            "metadata.txt",
            "img_001.tif",
            "metadata.ome.xml",
            "raw/x_NDTiffStack.tif",
        ] {
            std::fs::write(folder.path().join(name), b"x").expect("written");
        }
        assert!(marked(folder.path()).expect("lists").is_none());
    }

    #[test]
    fn a_foreign_file_named_alone_is_told_by_its_kind() {
        let error = named_alone(Path::new("x/a.ims"))
            .expect("foreign")
            .to_string();
        assert!(
            error.contains("it is an Imaris file, which stainfree does not read; export as TIFF"),
            "{error}"
        );
        assert!(named_alone(Path::new("a.tif")).is_none());
        let folder = tempfile::tempdir().expect("a temporary folder");
        let said = |name: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir(&path).expect("made");
            named_alone(&path)
                .map(|error| error.to_string())
                .unwrap_or_default()
        };
        let store = match cfg!(feature = "zarr") {
            true => "store without metadata",
            false => "this build has no OME-Zarr",
        };
        assert!(said("a.zarr").contains(store));
        assert!(said("a.n5").contains("it is an N5 store"));
        assert_eq!(said("a.gif"), "");
    }
}
