//! What a model has met, as its record says it, and by what a field is recognised.

use std::collections::BTreeMap;

use stainfree_image::{Image, Plane};
use stainfree_project::Part;
use stainfree_project::study::provenance::{Ancestor, Content, Known, MetField, Provenance};

use crate::common::{Place, has, said};

fn picture(seed: usize) -> Image<u16> {
    Image::from_fn(9, 7, |y, x| ((y * 31 + x * 17 + seed * 101) % 997) as u16)
}

fn content(seed: usize) -> Content {
    Content::of_planes(&[Plane::U16(picture(seed))])
}

fn met(name: &str, role: Part, content: Content) -> MetField {
    MetField {
        name: name.to_owned(),
        group: format!("group of {name}"),
        role,
        through: None,
        content,
    }
}

#[test]
fn a_copy_is_the_same_field_and_a_touched_one_is_another() {
    let image = picture(1);
    let first = content(1);
    // Another type, whose values are the same.
    let floats = Plane::F32(image.map(|&v| f32::from(v)));
    assert_eq!(Content::of_planes(&[floats]), first);
    // Turned, cut, moved, or one value off: another image.
    let turned = Image::from_fn(7, 9, |y, x| image.get(x, y));
    let flipped = Image::from_fn(9, 7, |y, x| image.get(8 - y, x));
    let mut touched = image.clone();
    *touched.get_mut(0, 0) = 1 + image.get(0, 0);
    let cut = image.crop(0, 0, 8, 7);
    for other in [turned, flipped, touched, cut] {
        assert_ne!(Content::of_planes(&[Plane::U16(other)]), first);
    }
    // A plane of one value is in any two fields and tells neither.
    let flat = Plane::U8(Image::filled(9, 7, 3));
    assert!(
        Content::of_planes(std::slice::from_ref(&flat))
            .image
            .is_empty()
    );
    let both = Content::of_planes(&[flat, Plane::U16(image)]);
    assert_eq!(both.image, first.image);
}

#[test]
fn truth_is_recognised_by_what_it_says_of_nuclei() {
    let labels = Image::from_fn(6, 6, |y, x| (y / 3 * 2 + x / 3) as u32);
    let of = |classes: Option<&Image<u8>>, nuclei: Option<&Image<u32>>| {
        Content::default().with_truth(classes, nuclei)
    };
    let nuclei = of(None, Some(&labels)).nuclei.unwrap();
    // Other numbers are the same nuclei; two that became one are not.
    let numbered = labels.map(|&label| [0, 900, 7, 41][label as usize]);
    assert_eq!(of(None, Some(&numbered)).nuclei, Some(nuclei.clone()));
    let joined = labels.map(|&label| [0, 1, 1, 2][label as usize]);
    assert_ne!(of(None, Some(&joined)).nuclei, Some(nuclei));
    // Truth that says nothing recognises nothing.
    assert_eq!(of(None, Some(&Image::filled(6, 6, 0))).nuclei, None);
    let mask = labels.map(|&label| u8::from(label > 0));
    let classes = of(Some(&mask), None).classes.unwrap();
    let ignored = mask.map(|&class| if class == 0 { 255 } else { class });
    assert_eq!(of(Some(&ignored), None).classes, None, "one class is left");
    assert_eq!(of(Some(&Image::filled(6, 6, 0)), None).classes, None);
    assert_ne!(of(Some(&mask.map(|&c| 2 * c)), None).classes, Some(classes));
}

#[test]
fn a_field_is_met_by_any_part_of_it_and_training_says_more_than_validation() {
    let mask = Image::from_fn(9, 7, |y, _| u8::from(y > 4));
    let fields = vec![
        met("kept", Part::Test, content(1)),
        met("chose", Part::Validation, content(2)),
        met(
            "trained",
            Part::Train,
            content(3).with_truth(Some(&mask), None),
        ),
        met("again", Part::Validation, content(3)),
    ];
    let record = Provenance::new("well", fields);
    let index = record.index();
    let name = |content: &Content| index.met(content).map(|field| &field.name[..]);
    assert_eq!(name(&content(1)), None, "what was kept from it is its test");
    assert_eq!(index.kept(&content(1)).unwrap().name, "kept");
    assert_eq!(name(&content(2)), Some("chose"));
    assert_eq!(name(&content(3)), Some("trained"));
    assert_eq!(name(&content(4)), None);
    assert!(index.kept(&content(2)).is_none());
    // The same truth under another image, and one plane of three.
    let truth = Content::default().with_truth(Some(&mask), None);
    assert_eq!(name(&truth), Some("trained"));
    let three = Content {
        image: [content(8), content(9), content(2)]
            .iter()
            .flat_map(|content| content.image.clone())
            .collect(),
        ..Content::default()
    };
    assert_eq!(name(&three), Some("chose"));
    assert_eq!(name(&Content::default()), None, "nothing known is not met");
}

#[test]
fn a_record_survives_its_file_with_all_that_it_says() {
    let place = Place::new();
    let mut record = Provenance::new(
        "re:^(\\d+)_",
        vec![
            met("a, \"b\" ü", Part::Train, content(1)),
            met("c", Part::Test, content(2)),
        ],
    );
    record.model = "0123".to_owned();
    record.virtual_plates = Some(u64::MAX);
    for (name, knows) in [
        ("model a", Known::Recorded),
        ("old", Known::Unknown),
        ("virtual-plates", Known::VirtualPlates),
        ("vgg16", Known::Photographs),
    ] {
        let name = name.to_owned();
        record.ancestors.push(Ancestor { name, knows });
    }
    let path = place.path("provenance.json");
    record.write(&path).unwrap();
    assert_eq!(Provenance::read(&path).unwrap(), Some(record.clone()));
    assert_eq!(record.unknown_ancestors(), ["old"]);
    // Words by which other programs know them.
    let text = place.text("provenance.json");
    has(
        &text,
        &[
            "\"virtual-plates\"",
            "\"train\"",
            "\"photographs\"",
            "\"unknown\"",
        ],
    );
    assert_eq!(Provenance::read(&place.path("none.json")).unwrap(), None);
}

#[test]
fn a_record_that_cannot_be_read_is_never_taken_for_none() {
    let place = Place::new();
    let path = place.path("model/provenance.json");
    let no_hash = BTreeMap::new();
    // Without a file and without a hash: a model of an older version.
    std::fs::create_dir_all(place.path("model")).unwrap();
    let of_model =
        |hashes: &BTreeMap<String, String>| Provenance::of_model(&place.path("model"), hashes);
    assert_eq!(of_model(&no_hash).unwrap(), None);
    for (text, part) in [
        ("", "EOF"),
        ("{\"format\": 1}", "missing field `fields`"),
        (
            "{\"format\": 2, \"fields\": []}",
            "its format is `2`, and this program reads `1`",
        ),
        (
            "{\"format\": 1, \"fields\": [{\"name\": \"a\", \"group\": \"b\", \"role\": \"x\"}]}",
            "unknown variant `x`",
        ),
    ] {
        std::fs::write(&path, text).unwrap();
        has(
            &said(Provenance::read(&path)),
            &[
                "is damaged",
                part,
                "copy it from where the model was trained, or train again",
            ],
        );
    }
    // A file that the model does not name is of another one, and a named one that is gone is told.
    has(
        &said(of_model(&no_hash)),
        &["provenance.json` is not the file that"],
    );
    let hashes: BTreeMap<String, String> = [("provenance".to_owned(), "00".to_owned())].into();
    has(&said(of_model(&hashes)), &["do not belong together"]);
    std::fs::remove_file(&path).unwrap();
    has(&said(of_model(&hashes)), &["is missing", "train again"]);
}
