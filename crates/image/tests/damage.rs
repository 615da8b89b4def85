//! Damaged, foreign and oversized files give one clear sentence; none of them panics or takes
//! memory for pixels that cannot be there.

mod common;

use std::fs;
use std::path::Path;

use common::{Random, plane, put, samples};
use stainfree_image::{
    ImageError, OpenOptions, open, read_class_mask, read_info, read_labels, read_plane, write,
    write_atomic,
};

/// Everything that reads a file; only that it returns matters.
fn read_all(path: &Path) {
    if let Ok(info) = read_info(path) {
        for page in 0..info.pages.len().min(4) {
            let _ = read_plane(path, page);
        }
    }
    let _ = read_plane(path, 0);
    let _ = read_labels(path);
    let _ = open(path, &OpenOptions::default());
}

fn sample_files() -> Vec<std::path::PathBuf> {
    let folders = [samples(), samples().join("real"), samples().join("labels")];
    let mut files: Vec<_> = folders
        .iter()
        .flat_map(|folder| fs::read_dir(folder).expect("samples"))
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|e| e == "tif" || e == "png"))
        .collect();
    files.sort();
    assert!(files.len() > 50);
    files
}

#[test]
fn truncated_files_never_panic_and_lose_no_pixel_silently() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut random = Random(1);
    for file in sample_files() {
        let bytes = fs::read(&file).expect("a sample");
        let whole = read_plane(&file, 0).ok();
        for round in 0..24 {
            // The header is short, so every fourth cut falls into it.
            let cut = if round % 4 == 0 {
                random.below(200)
            } else {
                random.below(bytes.len())
            };
            let path = folder.path().join(file.file_name().expect("a name"));
            fs::write(&path, &bytes[..cut.min(bytes.len() - 1)]).expect("written");
            read_all(&path);
            // What still reads must be what it was: the cut fell behind the pixels.
            if let (Ok(plane), Some(whole)) = (read_plane(&path, 0), &whole) {
                assert_eq!(&plane, whole, "{} cut at {cut}", file.display());
            }
        }
    }
}

#[test]
fn changed_bytes_never_panic() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut random = Random(2);
    for file in sample_files() {
        let bytes = fs::read(&file).expect("a sample");
        for round in 0..60 {
            let mut bytes = bytes.clone();
            for _ in 0..1 + round % 4 {
                let reach = if round % 2 == 0 {
                    bytes.len().min(400)
                } else {
                    bytes.len()
                };
                let at = random.below(reach);
                bytes[at] = [0, 1, 0x7f, 0x80, 0xff, random.below(256) as u8][random.below(6)];
            }
            let path = folder.path().join(file.file_name().expect("a name"));
            fs::write(&path, &bytes).expect("written");
            read_all(&path);
        }
    }
}

fn message(error: ImageError) -> String {
    let text = error.to_string();
    assert!(!text.contains('\n') && !text.ends_with('.'), "{text}");
    text
}

#[test]
fn each_kind_of_bad_file_has_its_sentence() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name);
    let shown = |name: &str| at(name).display().to_string();

    put(folder.path(), "empty.tif", b"");
    let error = read_plane(&at("empty.tif"), 0).expect_err("empty");
    assert!(matches!(error, ImageError::Broken { .. }));
    assert_eq!(
        message(error),
        format!(
            "`{}` is broken: the file is empty (0 bytes); copy or export it again from its source",
            shown("empty.tif")
        )
    );

    put(folder.path(), "notes.tif", b"hello there");
    let error = read_plane(&at("notes.tif"), 0).expect_err("text");
    assert!(matches!(error, ImageError::NotSupported { .. }));
    assert_eq!(
        message(error),
        format!(
            "`{}` is not supported: it is neither TIFF nor PNG (it starts with the bytes `68 65 6c \
             6c 6f 20 74 68`); \
             save it as TIFF or PNG, or take it out of the folder",
            shown("notes.tif")
        )
    );

    let error = read_plane(&at("missing äöü.tif"), 0).expect_err("missing");
    assert!(matches!(error, ImageError::Read { .. }));
    assert!(message(error).ends_with("check the spelling of the path"));

    let error = open(&at("missing"), &OpenOptions::default()).expect_err("missing");
    assert!(message(error).starts_with(&format!("cannot read `{}`", shown("missing"))));

    let error = read_plane(folder.path(), 0).expect_err("a folder");
    assert!(message(error).contains("is a folder and not an image file"));

    let whole = fs::read(samples().join("u16-none.tif")).expect("a sample");
    put(folder.path(), "cut.tif", &whole[..whole.len() / 2]);
    let error = read_plane(&at("cut.tif"), 0).expect_err("half a file");
    assert!(matches!(error, ImageError::Broken { .. }), "{error}");
}

/// A little-endian TIFF of one uncompressed 8-bit strip that claims to be `height` x `width`.
fn claim(height: u32, width: u32) -> Vec<u8> {
    let mut bytes = b"II*\0\x08\0\0\0".to_vec();
    let tags: [(u16, u32); 8] = [
        (256, width),
        (257, height),
        (258, 8),
        (259, 1),
        (262, 1),
        (273, 8),
        (278, height),
        (279, height.wrapping_mul(width)),
    ];
    bytes.extend((tags.len() as u16).to_le_bytes());
    for (tag, value) in tags {
        bytes.extend(tag.to_le_bytes());
        bytes.extend([4, 0, 1, 0, 0, 0]);
        bytes.extend(value.to_le_bytes());
    }
    bytes.extend([0; 4]);
    bytes
}

#[test]
fn sizes_are_judged_before_memory_is_taken() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("claim.tif");
    let read = |height, width| {
        fs::write(&path, claim(height, width)).expect("written");
        read_plane(&path, 0).expect_err("a false claim")
    };
    let error = read(0, 5);
    assert!(matches!(error, ImageError::Broken { .. }), "{error}");

    let error = read(1 << 20, 1 << 20);
    assert!(matches!(error, ImageError::TooLarge { .. }), "{error}");
    assert!(message(error).contains("and the cap is 68719476736 pixels"));

    // A size that is read by region only, in a file that could hold it if it were compressed.
    fs::write(&path, claim(1 << 15, 1 << 15)).expect("written");
    assert!(read_info(&path).is_ok());

    // Below the cap, but in a file of a hundred bytes.
    let error = read(20_000, 20_000);
    assert!(matches!(error, ImageError::Broken { .. }), "{error}");
    assert!(message(error).contains("a plane of 20000 x 20000 pixels cannot lie in a file of"));
}

#[test]
fn content_in_the_wrong_place_is_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("a.tif");
    write::labels(
        &path,
        &plane(10).map(|&v| u32::from(v)),
        &write::Note::default(),
    )
    .expect("written");
    let text = message(read_class_mask(&path).expect_err("labels"));
    assert!(
        text.contains("does not hold a class mask: it has the value `1000`"),
        "{text}"
    );
    assert!(
        text.ends_with("if these are instance labels, give them as labels"),
        "{text}"
    );

    write::plane_f32(
        &path,
        &plane(0).map(|&v| f32::from(v) / 2.0),
        &write::Note::default(),
    )
    .expect("written");
    let text = message(read_labels(&path).expect_err("fractions"));
    assert!(
        text.contains("does not hold labels: it has the value `0.5`"),
        "{text}"
    );
}

#[test]
fn one_bad_file_in_a_folder_is_reported_and_the_rest_goes_on() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let note = write::Note::default();
    for name in ["bf", "nuc"] {
        fs::create_dir(folder.path().join(name)).expect("a folder");
        for field in ["a", "b"] {
            let path = folder.path().join(name).join(format!("{field}.tif"));
            write::plane_u16(&path, &plane(1), &note).expect("written");
        }
    }
    put(folder.path(), "nuc/a.tif", b"");
    put(folder.path(), "bf/c.tif", b"no image");
    let data = open(folder.path(), &OpenOptions::default()).expect("opens");
    assert_eq!(data.fields.len(), 2);
    assert!(data.fields[0].planes[1][0].is_none());
    assert!(!data.fields[0].is_complete(1) && data.fields[1].is_complete(1));
    assert_eq!(data.problems.len(), 3, "{:#?}", data.problems);
    let text = message(data.fields[0].read(1, 0).expect_err("missing"));
    assert!(
        text.starts_with("plane 0 of channel number 1 is missing in field `a`"),
        "{text}"
    );
}

#[test]
fn writing_where_nothing_can_be_written_names_the_file_and_keeps_the_old_one() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let blocked = folder.path().join("taken");
    fs::create_dir(&blocked).expect("a folder");
    put(&blocked, "inside", b"x");
    let text = message(write_atomic(&blocked, b"x").expect_err("a folder is in the way"));
    assert!(
        text.starts_with(&format!("cannot write `{}`", blocked.display())),
        "{text}"
    );

    let under_file = blocked.join("inside").join("a.tif");
    let text = message(write_atomic(&under_file, b"x").expect_err("a file is in the way"));
    assert!(
        text.ends_with("a file lies where its folder should be; move it"),
        "{text}"
    );
    let left: Vec<_> = fs::read_dir(&blocked).expect("a folder").collect();
    assert_eq!(left.len(), 1, "a temporary file was left behind");
}
