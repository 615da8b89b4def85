//! Files of microscopes and other programs that are not read: what they are, and how to convert
//! them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Entries;
use crate::ImageError;
use crate::names::{file_name, list_names};

/// A kind of file that holds images and is not read.
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

const fn vendor(name: &'static str, ends: &'static [&'static str]) -> Kind {
    Kind {
        name,
        way_out: EXPORT,
        ends,
    }
}

const KINDS: [Kind; 21] = [
    Kind {
        name: "OME-Zarr store",
        way_out: "convert it to OME-TIFF, with `bfconvert` or Fiji",
        ends: &["zarr", "n5"],
    },
    vendor("Nikon file", &["nd2", "nd"]),
    vendor("Zeiss file", &["czi", "lsm", "zvi"]),
    vendor("Leica file", &["lif", "lof", "xlef", "lei", "scn"]),
    vendor("Olympus file", &["oib", "oif", "oir", "vsi", "ets"]),
    vendor("Imaris file", &["ims"]),
    vendor("DeltaVision file", &["dv", "r3d"]),
    vendor("Opera file", &["flex", "mea"]),
    vendor("Cellomics file", &["c01", "dib"]),
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

fn kind_of(path: &Path) -> Option<Kind> {
    let is_store = path.is_dir()
        && [".zgroup", ".zarray", ".zattrs", "zarr.json"]
            .iter()
            .any(|name| path.join(name).is_file());
    if is_store {
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
    if path.is_dir() && kind != KINDS[0] {
        return None;
    }
    Some(ImageError::not_supported(
        path,
        format!(
            "stainfree reads TIFF and PNG, and this is {}",
            article(kind)
        ),
        kind.way_out,
    ))
}

fn article(kind: Kind) -> String {
    let vowel = kind.name.starts_with(['A', 'E', 'I', 'O', 'U', 'H']);
    let article = if vowel { "an" } else { "a" };
    format!("{article} {}", kind.name)
}

/// What lies in a folder that has no image, and what to do with it.
pub(super) fn instead(entries: &Entries) -> (String, String) {
    let mut found = by_kind(entries);
    for inside in entries
        .folders
        .iter()
        .filter_map(|path| Entries::of(path).ok())
    {
        for (kind, files) in by_kind(&inside) {
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
    let mut ways: Vec<&str> = Vec::new();
    for kind in found.keys() {
        if !ways.contains(&kind.way_out) {
            ways.push(kind.way_out);
        }
    }
    (
        format!("it has no TIFF or PNG file, but {}", listed.join(", ")),
        ways.join("; "),
    )
}

/// A sentence about files of microscopes that lie among images and are not read.
pub(super) fn beside(entries: &Entries) -> Option<String> {
    let mut found = by_kind(entries);
    found.retain(|kind, _| kind.way_out == EXPORT || *kind == KINDS[0]);
    let listed: Vec<String> = found
        .iter()
        .map(|(kind, files)| counted(*kind, files))
        .collect();
    let way_out = found.keys().next()?.way_out;
    Some(format!("not read: {}; {way_out}", listed.join(", ")))
}

fn by_kind(entries: &Entries) -> BTreeMap<Kind, Vec<String>> {
    let mut found: BTreeMap<Kind, Vec<String>> = BTreeMap::new();
    let all: Vec<&PathBuf> = entries.others.iter().chain(&entries.folders).collect();
    for path in all {
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
            ("a.nd2", "1 Nikon file (`a.nd2`)"),
            ("a.CZI", "1 Zeiss file (`a.CZI`)"),
            ("a.jpg", "1 JPEG (`a.jpg`)"),
            ("a.stk", "1 MetaMorph stack (`a.stk`)"),
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
    fn a_foreign_file_named_alone_is_told_by_its_kind() {
        let error = named_alone(Path::new("x/a.ims"))
            .expect("foreign")
            .to_string();
        assert!(
            error.contains("reads TIFF and PNG, and this is an Imaris file; export as TIFF"),
            "{error}"
        );
        assert!(named_alone(Path::new("a.tif")).is_none());
    }
}
