//! Errors of the system in words that a user can act on, and which of them end everything.

use std::io::{Error, ErrorKind};
use std::path::Path;

use super::*;

#[test]
fn what_the_system_says_becomes_what_a_user_can_do() {
    let path = Path::new("out/f.tif");
    for (kind, words) in [
        (ErrorKind::NotFound, "it does not exist"),
        (
            ErrorKind::PermissionDenied,
            "choose another folder or change its rights",
        ),
        (
            ErrorKind::ReadOnlyFilesystem,
            "the file system is read-only",
        ),
        (ErrorKind::StorageFull, "the disk is full; free some space"),
        (
            ErrorKind::QuotaExceeded,
            "the disk is full; free some space",
        ),
        (ErrorKind::FileTooLarge, "`ulimit -f`"),
        (ErrorKind::NotADirectory, "it is not a folder"),
        (ErrorKind::IsADirectory, "it is a folder"),
    ] {
        let read = ProjectError::read(path, &Error::from(kind)).to_string();
        assert!(
            read.starts_with("`out/f.tif` could not be read: "),
            "{read}"
        );
        assert!(read.contains(words), "{read}");
        let write = ProjectError::write(path, &Error::from(kind)).to_string();
        assert!(
            write.starts_with("`out/f.tif` could not be written: "),
            "{write}"
        );
        assert!(write.contains(words), "{write}");
    }
    // What is not known is said as the system says it.
    let odd = ProjectError::read(path, &Error::other("the cable is out")).to_string();
    assert_eq!(odd, "`out/f.tif` could not be read: the cable is out");
}

#[test]
fn a_disk_that_takes_no_file_is_told_from_a_field_that_is_bad() {
    let path = Path::new("f");
    let full = || Error::from(ErrorKind::StorageFull);
    let image = stainfree_image::write_atomic(Path::new("/dev/null/x"), b"").unwrap_err();
    for error in [
        ProjectError::write(path, &full()),
        ProjectError::from(image),
        ProjectError::Model(stainfree_network::model::ModelError::Write {
            path: path.into(),
            error: full(),
        }),
    ] {
        assert!(error.is_write(), "{error}");
        assert!(crate::study::each_field::of_this_field(error).is_err());
    }
    for error in [
        ProjectError::read(path, &full()),
        ProjectError::Field("field `f` is bad".into()),
        ProjectError::NotAmongImages("f".into()),
    ] {
        assert!(!error.is_write(), "{error}");
        assert!(crate::study::each_field::of_this_field(error).is_ok());
    }
    // A stop ends everything as well, and is no fault of the disk.
    assert!(!ProjectError::Cancelled.is_write());
    assert!(crate::study::each_field::of_this_field(ProjectError::Cancelled).is_err());
}

#[test]
fn places_in_files_are_named_with_their_lines_where_they_are_known() {
    let config = |line| ProjectError::Config {
        path: "s/stainfree.toml".into(),
        line,
        message: "no".into(),
    };
    assert_eq!(
        config(Some(7)).to_string(),
        "`s/stainfree.toml`, line 7: no"
    );
    assert_eq!(config(None).to_string(), "`s/stainfree.toml`: no");
    let table = ProjectError::Table {
        path: "t.csv".into(),
        line: Some(2),
        message: "no".into(),
    };
    assert_eq!(table.to_string(), "`t.csv`, line 2: no");
}
