//! Sound inputs of every reader, and those that once broke one or came close: none may do more than
//! fail. `fuzz/` finds them, starting from the sound ones; `testdata/hostile/READER/` keeps them.

mod common;

use std::path::Path;

use common::hostile::{READERS, SEPARATOR, read};
use common::{
    c01, cellvoyager_index, czi, harmony_image, harmony_index, htd, lif, nd2, ndtiff, plane,
    samples,
};

/// Parts of an input that is several files.
fn joined(parts: &[&[u8]]) -> Vec<u8> {
    parts.join(SEPARATOR)
}

/// Files of the samples with this ending.
fn sampled(ending: &str) -> Vec<Vec<u8>> {
    let listing = std::fs::read_dir(samples()).expect("the samples");
    let mut paths: Vec<_> = listing.map(|entry| entry.expect("listed").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == ending));
    paths.sort();
    let bytes = paths.iter().map(|path| std::fs::read(path).expect("read"));
    bytes.filter(|bytes| bytes.len() < 1 << 15).collect()
}

/// Small sound inputs of a reader.
fn sound(reader: &str) -> Vec<Vec<u8>> {
    match reader {
        "tiff" => sampled("tif"),
        "png" => sampled("png"),
        "nd2" => {
            let named = nd2::points(&[("B02_0000", 0.0, 0.0), ("B02_0001", 300.0, 0.0)]);
            let (loops, size) = (nd2::experiment(2, named, None), [4, 6]);
            let attributes = nd2::attributes(size, 2, 16, 2);
            let picture = nd2::picture(&["BF", "DAPI"], None);
            let mut file = nd2::File::described(&attributes, &picture, Some(&loops));
            for number in 0..2 {
                file.frame(number, &nd2::pixels(size, 2, |_, _, c| (number + c) as u16));
            }
            vec![file.finished()]
        }
        "czi" => {
            let blocks = ["S0 M0", "S1 M0"].map(|on| czi::Block::grey(&plane(1)).on(on));
            let said = czi::description(&czi::scenes(&[("P1", ""), ("P2", "")]), [""; 3]);
            vec![czi::file(&said, &blocks)]
        }
        "lif" => {
            let sides = [lif::dimension(1, 2, 0.0, 1), lif::dimension(2, 2, 0.0, 2)];
            let gray = [lif::channel(8, "Gray", 0, "")];
            let image = lif::image("x", &gray, &sides, 1, "");
            [1, 2]
                .map(|version| lif::file(version, &image, &[(1, &[1, 2, 3, 4])]))
                .to_vec()
        }
        "c01" => vec![c01::file([4, 6], 0, |y, x| y + x)],
        "ndtiff" => {
            let taken = [ndtiff::Taken {
                axes: r#"{"channel":0,"z":0,"time":1}"#,
                said: "{}",
                kind: 1,
                size: (2, 2),
                pixels: &[1, 2, 3, 4, 5, 6, 7, 8],
            }];
            vec![ndtiff::set("p_NDTiffStack.tif", "{}", &taken).0]
        }
        "zarr" => {
            let image: &[u8] = br#"{"multiscales":[{"datasets":[{"path":"0"}],"axes":["y","x"]}]}"#;
            let array: &[u8] = br#"{"zarr_format":2,"shape":[4,6],"chunks":[4,6],"dtype":"<u2",
                "order":"C","compressor":null,"filters":null,"fill_value":0,
                "dimension_separator":"/"}"#;
            let group: &[u8] = br#"{"zarr_format":3,"node_type":"group","attributes":{"ome":{
                "version":"0.5","multiscales":[{"axes":[{"name":"y","type":"space"},
                {"name":"x","type":"space"}],"datasets":[{"path":"0","coordinateTransformations":
                [{"type":"scale","scale":[0.5,0.5]}]}]}]}}}"#;
            let newer: &[u8] = br#"{"zarr_format":3,"node_type":"array","shape":[4,6],
                "data_type":"uint16","chunk_grid":{"name":"regular","configuration":{
                "chunk_shape":[4,6]}},"chunk_key_encoding":{"name":"default","configuration":{
                "separator":"/"}},"fill_value":0,"codecs":[{"name":"bytes","configuration":{
                "endian":"little"}},{"name":"zstd","configuration":{"level":1,"checksum":false}}],
                "dimension_names":["y","x"],"attributes":{}}"#;
            let packed = zstd::encode_all(&[7; 48][..], 1).expect("packed");
            vec![
                joined(&[image, array, &[7; 48]]),
                joined(&[b"", b"", b"", group, newer, &packed]),
            ]
        }
        "harmony" => {
            let more = "<PlaneID>1</PlaneID><TimepointID>0</TimepointID><ChannelID>1</ChannelID>";
            let image = harmony_image("r01c02f01p01-ch1sk1fk1fl1.tiff", [1, 2, 1], more);
            vec![harmony_index("", &[image]).into_bytes()]
        }
        "cellvoyager" => {
            let said = "Type=\"IMG\" Row=\"2\" Column=\"3\" TimePoint=\"1\" FieldIndex=\"1\" \
                        ZIndex=\"1\" ActionIndex=\"1\" Ch=\"1\"";
            let index = cellvoyager_index(&[(said.into(), "p_B03_T0001F001L01A01Z01C01.tif")]);
            let detail = b"<bts:MeasurementDetail xmlns:bts=\"b\" \
                           bts:MeasurementSettingFileName=\"p.mes\"><bts:MeasurementChannel \
                           bts:Ch=\"1\" bts:HorizontalPixelDimension=\"0.325\" \
                           bts:VerticalPixelDimension=\"0.325\"/></bts:MeasurementDetail>";
            let settings = b"<bts:MeasurementSetting xmlns:bts=\"b\"><bts:Channel bts:Ch=\"1\" \
                             bts:Kind=\"Brightfield\"/></bts:MeasurementSetting>";
            vec![joined(&[index.as_bytes(), detail, settings])]
        }
        "imagexpress" => vec![htd(1, 0, 1, &["BF"]).into_bytes()],
        "companion" => {
            let xml = "<OME><Image ID=\"Image:0\"><Pixels DimensionOrder=\"XYZCT\" SizeX=\"6\" \
                       SizeY=\"4\" SizeC=\"1\" SizeZ=\"1\" SizeT=\"1\"><Channel Name=\"BF\"/>\
                       <TiffData><UUID FileName=\"a.ome.tif\">urn:uuid:1</UUID></TiffData>\
                       </Pixels></Image></OME>";
            vec![xml.as_bytes().to_vec()]
        }
        other => panic!("no sound input for `{other}`"),
    }
}

/// Those that this build has.
fn readers() -> impl Iterator<Item = &'static str> {
    let built = |reader: &&str| *reader != "zarr" || cfg!(feature = "zarr");
    READERS.into_iter().filter(built)
}

/// Whether it could be read.
fn try_out(reader: &str, data: &[u8]) -> bool {
    let place = tempfile::tempdir().expect("a folder");
    read(reader, place.path(), data)
}

/// With `STAINFREE_SEEDS=DIR` they are written to `DIR/READER/`, for `cargo fuzz` to start from.
#[test]
fn sound_inputs_reach_the_pixels() {
    for reader in readers() {
        let mut any = false;
        for (number, data) in sound(reader).iter().enumerate() {
            any |= try_out(reader, data);
            if let Some(folder) = std::env::var_os("STAINFREE_SEEDS") {
                let folder = Path::new(&folder).join(reader);
                std::fs::create_dir_all(&folder).expect("made");
                std::fs::write(folder.join(format!("sound-{number}")), data).expect("written");
            }
        }
        assert!(any, "no input of `{reader}` is read");
    }
}

#[test]
fn what_was_found_by_fuzzing_stays_mended() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/hostile");
    for reader in readers() {
        // Nothing was found for most.
        let Ok(listing) = std::fs::read_dir(folder.join(reader)) else {
            continue;
        };
        let mut inputs: Vec<_> = listing.map(|entry| entry.expect("listed").path()).collect();
        inputs.sort();
        for input in inputs {
            println!("{reader} {}", input.display());
            try_out(reader, &std::fs::read(&input).expect("read"));
        }
    }
}
