//! What every layout must keep, on a small example of each, and the rules of single layouts.

mod common;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use common::{
    c01, cellvoyager_index, czi, first_pixel, harmony_image, harmony_index, htd, lif, nd2, ndtiff,
    plane, put, put_plane, stack,
};
use stainfree_image::{Dataset, Field, OpenOptions, layout_names, open, summarise};

/// Writes an example of a layout into `folder` and says what to open. A new layout needs one here.
fn example(layout: &str, folder: &Path) -> PathBuf {
    match layout {
        "imagexpress" => {
            put(folder, "p.HTD", htd(2, 2, 2, &["BF", "DAPI"]).as_bytes());
            for (t, s, w) in [(1, 1, 1), (1, 1, 2), (1, 2, 1), (2, 1, 1)] {
                for z in 1..=2 {
                    // w2 is one plane copied into both steps; without any metadata.
                    let number = if w == 2 { 50 } else { 100 * t + 10 * s + z };
                    let name = format!("TimePoint_{t}/ZStep_{z}/p_B02_s{s}_w{w}.TIF");
                    put_plane(folder, &name, number, "");
                }
            }
            put_plane(folder, "TimePoint_1/ZStep_1/p_B02_s1_w1_thumb.TIF", 9, "");
            folder.to_path_buf()
        }
        "imagexpress-database" => {
            let guid = "1E78EB128-BD0D-4D94-A6AD-3FF28BB1B105";
            put_plane(folder, &format!("2024-01-01/7/p_C07_s1_w{guid}.tif"), 1, "");
            folder.to_path_buf()
        }
        "harmony" => {
            let more = "<PlaneID>1</PlaneID><TimepointID>0</TimepointID><ChannelID>1</ChannelID>";
            let images = [harmony_image(
                "r01c02f01p01-ch1sk1fk1fl1.tiff",
                [1, 2, 1],
                more,
            )];
            let index = harmony_index("", &images);
            put(folder, "Images/Index.idx.xml", index.as_bytes());
            put_plane(folder, "Images/r01c02f01p01-ch1sk1fk1fl1.tiff", 1, "");
            folder.to_path_buf()
        }
        "cellvoyager" => {
            let said = "Type=\"IMG\" Row=\"2\" Column=\"3\" TimePoint=\"1\" FieldIndex=\"1\" \
                        ZIndex=\"1\" ActionIndex=\"1\" Ch=\"1\"";
            let file = "p_B03_T0001F001L01A01Z01C01.tif";
            let index = cellvoyager_index(&[(said.into(), file)]);
            put(folder, "MeasurementData.mlf", index.as_bytes());
            put_plane(folder, file, 1, "");
            folder.to_path_buf()
        }
        "nd2" => {
            let named = nd2::points(&[("B02_0000", 0.0, 0.0), ("B02_0001", 300.0, 0.0)]);
            let (loops, size) = (nd2::experiment(2, named, None), [4, 6]);
            let attributes = nd2::attributes(size, 2, 16, 2);
            let picture = nd2::picture(&["BF", "DAPI"], None);
            let mut file = nd2::File::described(&attributes, &picture, Some(&loops));
            for number in 0..2 {
                file.frame(number, &nd2::pixels(size, 2, |_, _, c| (number + c) as u16));
            }
            put(folder, "plate.nd2", &file.finished());
            folder.to_path_buf()
        }
        "cellomics" => {
            for (name, first) in [("f00d0", 1), ("f00d1", 2), ("f01d0", 3)] {
                let bytes = c01::file([4, 6], 0, |y, x| first + y + x);
                put(folder, &format!("plate 7_B02{name}.C01"), &bytes);
            }
            folder.to_path_buf()
        }
        "czi" => {
            let blocks = ["S0 M0", "S1 M0"].map(|on| czi::Block::grey(&plane(1)).on(on));
            let said = czi::description(&czi::scenes(&[("P1", ""), ("P2", "")]), [""; 3]);
            put(folder, "a.czi", &czi::file(&said, &blocks));
            folder.to_path_buf()
        }
        "incucyte-archive" => {
            for (time, number) in [("2301/31/2300", 1), ("2302/01/0100", 2)] {
                let name = format!("EssenFiles/ScanData/{time}/7/A1-1-Ph.tif");
                put_plane(folder, &name, number, "");
            }
            folder.to_path_buf()
        }
        "incucyte" => {
            put_plane(folder, "phase/VID7_A1_1_00d00h00m.tif", 1, "");
            put_plane(folder, "red/VID7_A1_1_00d00h00m.tif", 2, "");
            folder.to_path_buf()
        }
        "gen5" => {
            put_plane(folder, "B3_01_1_1_Bright Field_001.tif", 1, "");
            put_plane(folder, "B3_01_2_1_DAPI_001.tif", 2, "");
            folder.to_path_buf()
        }
        "lif" => {
            let sides = [lif::dimension(1, 2, 0.0, 1), lif::dimension(2, 2, 0.0, 2)];
            let gray = [lif::channel(8, "Gray", 0, "")];
            let image = |name| lif::image(name, &gray, &sides, 1, "");
            let bytes = lif::file(2, &(image("x") + &image("y")), &[(1, &[1, 2, 3, 4])]);
            put(folder, "a.lif", &bytes);
            folder.to_path_buf()
        }
        "ndtiff" => {
            let axes = [r#"{"position":0,"z":0}"#, r#"{"position":1,"z":3}"#];
            let taken = axes.map(|axes| ndtiff::Taken {
                axes,
                said: "{}",
                kind: 0,
                size: (2, 2),
                pixels: &[1, 2, 3, 4],
            });
            let (index, tiff) = ndtiff::set("x_NDTiffStack.tif", "{}", &taken);
            put(folder, "NDTiff.index", &index);
            put(folder, "x_NDTiffStack.tif", &tiff);
            folder.to_path_buf()
        }
        "micro-manager" => {
            for (z, number) in [(0, 1), (1, 2)] {
                let name = format!("Pos0/img_000000000_BF_00{z}.tif");
                put_plane(folder, &name, number, "");
            }
            put(folder, "Pos0/metadata.txt", b"{\"Summary\": {}}");
            folder.to_path_buf()
        }
        "ome-tiff" => {
            let file = "<UUID FileName=\"a.tif\">urn:uuid:1</UUID>";
            let xml = format!(
                "<OME><Image ID=\"Image:0\"><Pixels DimensionOrder=\"XYZCT\" SizeX=\"6\" \
                 SizeY=\"4\" SizeC=\"1\" SizeZ=\"1\" SizeT=\"1\"><Channel Name=\"BF\"/>\
                 <TiffData>{file}</TiffData></Pixels></Image></OME>"
            );
            put(folder, "x.companion.ome", xml.as_bytes());
            put_plane(folder, "a.tif", 1, "");
            folder.join("x.companion.ome")
        }
        "ome-zarr" => {
            // One image of two channels in zarr 2, stored as it is, without any unit.
            let axes = r#"["c", "y", "x"]"#;
            let image = format!(r#"[{{"datasets": [{{"path": "0"}}], "axes": {axes}}}]"#);
            let attributes = format!(r#"{{"multiscales": {image}}}"#);
            put(folder, ".zattrs", attributes.as_bytes());
            let array = r#"{"zarr_format": 2, "shape": [2, 4, 6], "chunks": [1, 4, 6],
                "dtype": "|u1", "order": "C", "compressor": null, "filters": null,
                "fill_value": 0}"#;
            put(folder, "0/.zarray", array.as_bytes());
            put(folder, "0/0.0.0", &[1; 24]);
            put(folder, "0/1.0.0", &[2; 24]);
            folder.to_path_buf()
        }
        "file" => {
            put_plane(folder, "a.tif", 1, "");
            folder.join("a.tif")
        }
        "folder-per-place" => {
            for (place, number) in [("Pos0", 1), ("Pos1", 3)] {
                put_plane(folder, &format!("{place}/bf.tif"), number, "");
                put_plane(folder, &format!("{place}/dapi.tif"), number + 1, "");
            }
            folder.to_path_buf()
        }
        "parallel-folders" => {
            for (channel, number) in [("bf", 1), ("nuc", 2)] {
                put_plane(folder, &format!("{channel}/a 1.tif"), number, "");
                put_plane(folder, &format!("{channel}/a 10.tif"), number, "");
            }
            put(folder, "fields.csv", b"file;pixel_size_um\na 1.tif;0.5\n");
            folder.to_path_buf()
        }
        "folder" => {
            put_plane(folder, "x_bf.tif", 1, "");
            put_plane(folder, "x_dapi.tif", 2, "");
            put_plane(folder, "x_mask.tif", 3, "");
            folder.to_path_buf()
        }
        other => panic!("layout `{other}` has no example in this test"),
    }
}

fn opened(layout: &str) -> (tempfile::TempDir, Dataset) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let inside = folder.path().join("Platte ä 1");
    let path = example(layout, &inside);
    let data = open(&path, &OpenOptions::default()).expect("opens");
    (folder, data)
}

#[test]
fn every_layout_keeps_the_contract() {
    for layout in layout_names() {
        let (_folder, data) = opened(layout);
        assert_eq!(data.layout, layout);
        assert!(!data.fields.is_empty(), "{layout}");
        let names: HashSet<_> = data.fields.iter().map(|field| &field.name).collect();
        assert_eq!(names.len(), data.fields.len(), "{layout}: names repeat");
        let channels: HashSet<_> = data.channels.iter().collect();
        assert_eq!(
            channels.len(),
            data.channels.len(),
            "{layout}: channels repeat"
        );
        for field in &data.fields {
            assert_eq!(field.planes.len(), data.channels.len(), "{layout}");
            assert_eq!(
                field.pixel_um.is_some(),
                field.name == "a 1",
                "{layout}: invented size"
            );
            for (c, planes) in field.planes.iter().enumerate() {
                assert!(!planes.is_empty(), "{layout}: channel without planes");
                for z in 0..planes.len() {
                    match field.read(c, z) {
                        Ok(plane) => assert_eq!(plane.size(), (field.height, field.width)),
                        Err(_) => assert!(planes[z].is_none(), "{layout}: plane does not read"),
                    }
                }
            }
        }
    }
}

#[test]
fn plates_name_fields_by_well_site_and_time_and_see_through_copies() {
    let (_folder, data) = opened("imagexpress");
    let names: Vec<_> = data
        .fields
        .iter()
        .map(|field| field.name.as_str())
        .collect();
    assert_eq!(names, ["B02_s1_t001", "B02_s1_t002", "B02_s2_t001"]);
    assert_eq!(data.channels, ["BF", "DAPI"]);
    let field = &data.fields[0];
    assert_eq!((field.planes[0].len(), field.planes[1].len()), (2, 1));
    assert_eq!(first_pixel(&field.read(0, 1).expect("a plane")), 11_200.0);
}

#[test]
fn a_place_has_one_position_at_all_times() {
    let moments = |data: &Dataset| -> Vec<(String, Option<u32>)> {
        let moment = |field: &Field| (field.position.name.clone(), field.time);
        data.fields.iter().map(moment).collect()
    };
    let at = |position: &str, time| (position.to_string(), time);
    let (_folder, data) = opened("imagexpress");
    assert_eq!(
        moments(&data),
        [
            at("B02_s1", Some(1)),
            at("B02_s1", Some(2)),
            at("B02_s2", Some(1))
        ]
    );
    let (_folder, data) = opened("parallel-folders");
    assert_eq!(moments(&data), [at("a 1", None), at("a 10", None)]);

    let folder = tempfile::tempdir().expect("a temporary folder");
    let movie = "ImageJ=1.53\nimages=2\nframes=2\n";
    put(
        folder.path(),
        "movie.tif",
        &stack(&[plane(1), plane(2)], movie),
    );
    for (name, number) in [("x_t0", 3), ("x_t1", 4), ("y_t1", 5), ("z", 6)] {
        put_plane(folder.path(), &format!("{name}.tif"), number, "");
    }
    let data = open(folder.path(), &OpenOptions::default()).expect("opens");
    let names: Vec<_> = data.fields.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(
        names,
        ["movie_t001", "movie_t002", "x_t0", "x_t1", "y_t1", "z"]
    );
    assert_eq!(
        moments(&data),
        [
            at("movie", Some(1)),
            at("movie", Some(2)),
            at("x", Some(1)),
            at("x", Some(2)),
            at("y", Some(2)),
            at("z", None)
        ]
    );
    assert_eq!(summarise(&data).positions, 4);
}

#[test]
fn folders_and_ends_of_names_become_channels_in_natural_order() {
    let (_folder, data) = opened("parallel-folders");
    let names: Vec<_> = data
        .fields
        .iter()
        .map(|field| field.name.as_str())
        .collect();
    assert_eq!(names, ["a 1", "a 10"]);
    assert_eq!(data.fields[0].pixel_um, Some(0.5));
    let (_folder, data) = opened("folder");
    assert_eq!(data.channels, ["bf", "dapi"]);
    assert_eq!(data.fields[0].name, "x");
}

#[test]
fn truth_in_the_folder_of_a_channel_does_not_become_the_channel() {
    for name in ["a-labels", "Labels of a", "a_masks"] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        put_plane(folder.path(), &format!("bf/{name}.tif"), 9, "");
        put_plane(folder.path(), "bf/a.tif", 1, "");
        put_plane(folder.path(), "nuc/a.tif", 2, "");
        // Of nothing in its folder: truth as a channel of its own.
        put_plane(folder.path(), "gt/a_masks.tif", 3, "");
        let data = open(folder.path(), &OpenOptions::default()).expect("opens");
        assert_eq!(data.channels, ["bf", "gt", "nuc"]);
        let first = |channel| first_pixel(&data.fields[0].read(channel, 0).expect("a plane"));
        assert_eq!([0, 1, 2].map(first), [100.0, 300.0, 200.0], "{name}");
        let said = format!("`{name}.tif`: named as the truth of an image beside it; left out");
        assert_eq!(data.problems, [said]);
    }
}

#[test]
fn planes_of_another_size_are_left_out_and_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for channel in ["bf", "nuc", "cyto"] {
        put_plane(folder.path(), &format!("{channel}/a.tif"), 1, "");
    }
    let small = stainfree_image::Image::filled(2, 2, 1_u16);
    let path = folder.path().join("nuc/a.tif");
    stainfree_image::write::plane_u16(&path, &small, &Default::default()).expect("written");
    let data = open(folder.path(), &OpenOptions::default()).expect("opens");
    assert_eq!((data.fields[0].height, data.fields[0].width), (4, 6));
    let bf = folder.path().join("bf/a.tif");
    let wanted = format!(
        "`{}` (plane 1 of channel `nuc`) is 2 x 2 and `{}` is 4 x 6",
        path.display(),
        bf.display()
    );
    assert!(
        data.problems.iter().any(|line| line.contains(&wanted)),
        "{:#?}",
        data.problems
    );
}
