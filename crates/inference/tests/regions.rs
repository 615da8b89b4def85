//! Images that are predicted part by part against the same images in memory.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use stainfree_image::{Image, ImageError, Plane, PlaneRef, PlaneSource, Region, Stamp};
use stainfree_inference::{
    InferenceError, Options, PredictedOutput, Prediction, Predictor, RegionImage, RegionSink,
    RowsDone,
};
use stainfree_network::input::{InputSpec, Normalisation, Preprocessing};
use stainfree_network::model::{FORMAT, Model, ModelInfo};
use stainfree_network::recipe::Recipe;
use stainfree_network::{
    Encoder, Graph, Machine, OutputKind, Parameters, TrainingRecord, UnetSpec, output,
};

const MODEL_UM: f64 = 0.5;

fn model(planes: usize, normalisation: Normalisation) -> Model {
    let network = UnetSpec::new(Encoder::MobilenetV2, 0.0625, 3);
    model_of(network, planes, normalisation)
}

fn model_of(network: UnetSpec, planes: usize, normalisation: Normalisation) -> Model {
    let (encoder, width) = (network.encoder, network.width);
    let graph = Graph::unet(&network).unwrap();
    let parameters = Parameters::initialise(&graph, 5);
    Model {
        info: ModelInfo {
            format: FORMAT,
            program: "stainfree 0.0.0".into(),
            classes: ["background", "nucleus", "cytoplasm"]
                .map(str::to_owned)
                .into(),
            pixel_um: Some(MODEL_UM),
            pretrained: None,
            network: network.into(),
            input: InputSpec {
                planes,
                normalisation,
                preprocessing: Preprocessing::centred(),
            },
            recipe: Recipe {
                encoder,
                width,
                rescale: true,
                ..Recipe::named("default").unwrap()
            },
            training: TrainingRecord::default(),
            adapted: None,
            hashes: BTreeMap::new(),
        },
        graph,
        parameters,
        ignored: Vec::new(),
    }
}

/// A plane in memory that counts the most pixels that were asked for at once.
#[derive(Debug)]
struct InMemory(Plane);

impl PlaneSource for InMemory {
    fn location(&self) -> &Path {
        Path::new("memory")
    }
    fn part(&self) -> usize {
        0
    }
    fn stamp(&self) -> io::Result<Stamp> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn read(&self) -> Result<Plane, ImageError> {
        panic!("read as a whole")
    }
    fn read_region(&self, at: Region) -> Result<Plane, ImageError> {
        Ok(match &self.0 {
            Plane::U8(image) => Plane::U8(image.crop(at.y, at.x, at.height, at.width)),
            Plane::U16(image) => Plane::U16(image.crop(at.y, at.x, at.height, at.width)),
            Plane::F32(image) => Plane::F32(image.crop(at.y, at.x, at.height, at.width)),
        })
    }
    fn stored(&self, _: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        Ok(())
    }
}

/// Puts rows together.
#[derive(Default)]
struct Collected {
    classes: Vec<u8>,
    labels: Vec<u32>,
    outputs: Vec<Vec<f32>>,
    steps: usize,
    stop_at: usize,
}

impl RegionSink<InferenceError> for Collected {
    fn go_on(&mut self) -> Result<(), InferenceError> {
        self.steps += 1;
        match self.steps == self.stop_at {
            true => Err(InferenceError::Threads("stopped".into())),
            false => Ok(()),
        }
    }
    fn rows(&mut self, done: &RowsDone) -> Result<(), InferenceError> {
        self.classes.extend_from_slice(done.classes.data());
        self.labels.extend_from_slice(done.labels.data());
        Ok(())
    }
    fn wants_outputs(&self) -> bool {
        true
    }
    fn outputs(&mut self, _: usize, made: &[PredictedOutput]) -> Result<(), InferenceError> {
        let planes = made.iter().flat_map(|output| &output.planes);
        for (i, plane) in planes.enumerate() {
            self.outputs
                .resize(self.outputs.len().max(i + 1), Vec::new());
            self.outputs[i].extend_from_slice(plane.data());
        }
        Ok(())
    }
}

/// A very large plane of one value, of which no more than a band is ever asked for.
#[derive(Debug)]
struct Flat;

impl PlaneSource for Flat {
    fn location(&self) -> &Path {
        Path::new("flat")
    }
    fn part(&self) -> usize {
        0
    }
    fn stamp(&self) -> io::Result<Stamp> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn read(&self) -> Result<Plane, ImageError> {
        panic!("read as a whole")
    }
    fn read_region(&self, at: Region) -> Result<Plane, ImageError> {
        Ok(Plane::U16(Image::filled(at.height, at.width, 7)))
    }
    fn stored(&self, _: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        Ok(())
    }
}

/// Ends a prediction when it begins, after memory was divided.
struct Refusing;

impl RegionSink<InferenceError> for Refusing {
    fn go_on(&mut self) -> Result<(), InferenceError> {
        Err(InferenceError::Threads("stopped".into()))
    }
    fn rows(&mut self, _: &RowsDone) -> Result<(), InferenceError> {
        unreachable!()
    }
}

/// Discs on an uneven ground, in the counts of a 16-bit camera.
fn plane(height: usize, width: usize, seed: usize) -> Image<u16> {
    let disc = |y: usize, x: usize| {
        let (dy, dx) = (y as f64 % 40.0 - 20.0, x as f64 % 40.0 - 20.0);
        if dy * dy + dx * dx < 144.0 { 4000 } else { 0 }
    };
    Image::from_fn(height, width, |y, x| {
        (12_000 + 11 * y + 5 * x + disc(y, x) + (y * 7919 + x * 104_729 + seed) % 997) as u16
    })
}

/// In memory, and by region in at least so many parts.
fn both(
    model: &dyn Fn() -> Model,
    planes: &[Plane],
    pixel_um: Option<f64>,
    flips: bool,
    least_parts: usize,
) -> (Prediction, Collected) {
    let options = Options {
        flips,
        ..Options::default()
    };
    let predictor = |memory| {
        let machine = Machine::new(2).with_memory(Some(memory));
        Predictor::new(model(), &machine, &options)
    };
    let expected = predictor(AMPLE).predict(planes, pixel_um).unwrap();
    let sources: Vec<PlaneRef> = planes
        .iter()
        .map(|p| PlaneRef::new(InMemory(p.clone())))
        .collect();
    let image = RegionImage {
        planes: &sources,
        size: planes[0].size(),
        pixel_um,
        scratch: &std::env::temp_dir(),
    };
    // Between a cap that cuts nothing and one that leaves no room for the margin, that at which the
    // image is cut as it should be.
    let (mut low, mut high) = (64 << 20, 112 << 20);
    let mut memory = if least_parts > 1 { high } else { AMPLE };
    loop {
        let mut found = Collected::default();
        let done = predictor(memory).predict_regions(&image, &mut found);
        let is_exact = |said: &str| !said.contains("margin");
        match done {
            Ok(done) if done.parts < least_parts => high = memory,
            Ok(done) if is_exact(&done.remarks[0].sentence("it")) => {
                assert_eq!(done.remarks.len(), 1, "{:?}", done.remarks);
                assert!((done.blank_share - expected.blank_share).abs() < 1e-12);
                let last = found.labels.iter().copied().max().unwrap_or(0);
                assert_eq!(done.count, last as usize);
                return (expected, found);
            }
            Ok(_) | Err(InferenceError::Memory { .. }) => low = memory,
            Err(error) => panic!("{error}"),
        }
        memory = (low + high) / 2;
        assert!(
            high - low > 1 << 10,
            "no cap cuts it into {least_parts} parts"
        );
    }
}

/// Largest difference of any output, and the pixels of other classes.
fn apart(expected: &Prediction, found: &Collected) -> (f32, usize) {
    let planes = expected.outputs.iter().flat_map(|output| &output.planes);
    let pairs = planes.zip(&found.outputs);
    let differ = pairs.flat_map(|(a, b)| a.data().iter().zip(b).map(|(a, b)| (a - b).abs()));
    let classes = expected.classes.data().iter().zip(&found.classes);
    assert_eq!(expected.classes.data().len(), found.classes.len());
    (
        differ.fold(0.0, f32::max),
        classes.filter(|(a, b)| a != b).count(),
    )
}

const AMPLE: usize = 4 << 30;

fn normalisations() -> [Normalisation; 3] {
    [
        Normalisation::Paper,
        Normalisation::Percentiles {
            low: 0.5,
            high: 99.5,
        },
        Normalisation::Local { radius_px: 20.0 },
    ]
}

#[test]
fn an_image_in_one_part_is_the_image_in_memory_bit_for_bit() {
    // Below the side of one part; with a rim that shows nothing, and a number that is none.
    let (height, width) = (300, 190);
    let mut rim = plane(height, width, 0).map(|&v| f32::from(v));
    (0..height).for_each(|y| rim.row_mut(y)[..30].fill(0.0));
    *rim.get_mut(100, 100) = f32::NAN;
    for normalisation in normalisations() {
        let one = Plane::U16(plane(height, width, 0));
        for planes in [vec![one], vec![Plane::F32(rim.clone())]] {
            let model = || model(1, normalisation.clone());
            let (expected, found) = both(&model, &planes, Some(MODEL_UM), false, 1);
            let (most, classes) = apart(&expected, &found);
            assert_eq!((most.max(0.0), classes), (0.0, 0), "{normalisation:?}");
            assert!(expected.labels.data() == found.labels, "{normalisation:?}");
        }
    }
}

#[test]
fn parts_differ_by_the_last_digits_alone() {
    // Numbers of the network go up to 1; sums of f32 in another order differ by some 1e-6.
    const ROUNDING: f32 = 1e-4;
    let three = [0, 1, 2].map(|seed| Plane::U16(plane(211, 170, seed)));
    for (planes, um, flips) in [
        (&three[..], MODEL_UM, false),
        (&three[..1], MODEL_UM, true),
        (&three[..1], 0.8, false),
        (&three[..1], 0.37, false),
    ] {
        let model = || model(planes.len(), Normalisation::Local { radius_px: 20.0 });
        let (expected, found) = both(&model, planes, Some(um), flips, 4);
        let (most, classes) = apart(&expected, &found);
        assert!(most < ROUNDING, "{most} at {um} um, flips {flips}");
        // A pixel whose two best classes are a rounding error apart may have the other one.
        assert!(classes <= 5, "{classes} pixels at {um} um, flips {flips}");
    }
}

#[test]
fn rows_that_the_last_ones_push_out_are_not_needed_any_more() {
    // With the last row come all that a wide window has held back, whatever is left below a part.
    for height in (1170..1300).step_by(13) {
        let planes = [Plane::U16(plane(height, 96, 0))];
        let model = || model(1, Normalisation::Local { radius_px: 40.0 });
        let (expected, found) = both(&model, &planes, Some(MODEL_UM), false, 2);
        let (most, _) = apart(&expected, &found);
        assert!(most < 1e-4, "{most} at {height} rows");
    }
}

#[test]
fn it_is_needed_where_the_image_does_not_fit_and_stops_when_it_is_told() {
    let model = || model(1, Normalisation::Paper);
    let with = |memory: usize| {
        let machine = Machine::new(1).with_memory(Some(memory));
        Predictor::new(model(), &machine, &Options::default())
    };
    let needs = |memory: usize, size| with(memory).needs_regions(1, size, None);
    assert!(!needs(AMPLE, (1000, 1000)));
    assert!(needs(1 << 30, (40_000, 40_000)));
    assert!(needs(AMPLE, (40_000, 40_000)));
    // The division of memory leaves room for it, as for one that may be read as a whole.
    assert!(needs(1 << 30, (13_000, 40_000)));
    // Not enough for anything: as ever, the image is refused.
    assert!(!needs(64 << 20, (300, 300)));
    let source = [PlaneRef::new(InMemory(Plane::U16(plane(300, 300, 0))))];
    let image = RegionImage {
        planes: &source,
        size: (300, 300),
        pixel_um: None,
        scratch: &std::env::temp_dir(),
    };
    let mut sink = Collected {
        stop_at: 3,
        ..Collected::default()
    };
    let error = with(AMPLE).predict_regions(&image, &mut sink).unwrap_err();
    assert_eq!((error.to_string(), sink.steps), ("stopped".into(), 3));
    let error = with(70 << 20)
        .predict_regions(&image, &mut sink)
        .unwrap_err();
    assert!(matches!(error, InferenceError::Memory { .. }), "{error}");
}

#[test]
fn a_slide_of_40_000_pixels_fits_into_a_gibibyte_with_the_usual_network() {
    let mut network = UnetSpec::new(Encoder::MobilenetV2, 1.0, 3);
    network.outputs = output::KINDS.iter().map(OutputKind::output).collect();
    let model = model_of(network, 1, Normalisation::Local { radius_px: 40.0 });
    let machine = Machine::new(1).with_memory(Some(1 << 30));
    let mut predictor = Predictor::new(model, &machine, &Options::default());
    let source = [PlaneRef::new(Flat)];
    let mut image = RegionImage {
        planes: &source,
        size: (40_000, 40_000),
        pixel_um: None,
        scratch: &std::env::temp_dir(),
    };
    let error = predictor.predict_regions(&image, &mut Refusing);
    assert_eq!(error.unwrap_err().to_string(), "stopped");
    image.size.1 = 100_000;
    let error = predictor
        .predict_regions(&image, &mut Refusing)
        .unwrap_err();
    assert!(matches!(error, InferenceError::Memory { .. }), "{error}");
}

#[test]
fn without_a_place_for_what_waits_the_folder_is_named() {
    let model = model(1, Normalisation::Local { radius_px: 10.0 });
    let mut predictor = Predictor::new(model, &Machine::new(1), &Options::default());
    let source = [PlaneRef::new(InMemory(Plane::U16(plane(300, 300, 0))))];
    let image = RegionImage {
        planes: &source,
        size: (300, 300),
        pixel_um: None,
        scratch: Path::new("no/such/folder"),
    };
    let error = predictor.predict_regions(&image, &mut Collected::default());
    let said = error.unwrap_err().to_string();
    assert!(said.contains("`no/such/folder`"), "{said}");
}
