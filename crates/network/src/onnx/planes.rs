//! Raw planes to what the network reads, as ONNX nodes: normalisation by the whole image, mirrored
//! borders, the encoder's scale; and the results cut back to the image.
//!
//! The definitions are those of `input` and `tiles`; lengths are those of the image that is given,
//! so one file serves all sizes. Sums are of f32 there; what they would lose is kept small by
//! taking a plane's mean away first.

use super::nodes::{Attribute, Element, Nodes};
use crate::input::{
    BLUR_PASSES, CENTRE, InputSpec, LEAST_DEVIATION, LEAST_LIGHT, LEAST_RANGE, LIMIT,
    Normalisation, OUTLIERS, SPREAD, STRETCHED, blur_half,
};

/// Axis of the rows, and of the columns.
const SIDES: [i64; 2] = [2, 3];

/// Planes that were padded.
pub(super) struct Padded {
    /// `[batch][plane][y][x]`, sides multiples of the network's.
    pub(super) planes: String,
    /// Rows above, columns to the left, of the image.
    before: [String; 2],
    /// Height and width of the image.
    lengths: [String; 2],
}

/// Nodes that work on planes, `[batch][plane][y][x]`.
pub(super) struct Planes<'a>(pub(super) &'a mut Nodes);

impl Planes<'_> {
    /// Normalises every plane by itself. `full_range` is the largest count of the image's format.
    pub(super) fn normalised(
        &mut self,
        x: &str,
        normalisation: &Normalisation,
        full_range: f32,
    ) -> String {
        let x = self.finite(x);
        match *normalisation {
            Normalisation::Paper => self.eight_bits(&x, full_range),
            Normalisation::Percentiles { low, high } => self.stretched(&x, [low, high], full_range),
            Normalisation::Local { radius_px } => self.local(&x, radius_px, full_range),
        }
    }

    /// Mirrors the image up to multiples of `multiple`, half of the surplus on each side.
    pub(super) fn padded(&mut self, x: &str, multiple: usize) -> Padded {
        let multiple = self.0.whole(multiple as i64);
        let two = self.0.whole(2);
        let mut planes = x.to_owned();
        let mut found = SIDES.map(|axis| {
            let length = self.length(x, axis);
            let minus = self.op("Neg", &[&length]);
            let surplus = self.op("Mod", &[&minus, &multiple]);
            let before = self.op("Div", &[&surplus, &two]);
            let behind = self.op("Sub", &[&surplus, &before]);
            planes = self.mirrored(&planes, axis, [&before, &behind]);
            [before, length]
        });
        let mut taken = |i: usize| [0, 1].map(|side: usize| std::mem::take(&mut found[side][i]));
        Padded {
            planes,
            before: taken(0),
            lengths: taken(1),
        }
    }

    /// The network's channels of normalised planes, as its encoder expects them.
    pub(super) fn channels(&mut self, x: &str, input: &InputSpec) -> String {
        let all: [_; InputSpec::CHANNELS] =
            std::array::from_fn(|channel| input.preprocessing.channel(channel));
        let shape = [1, InputSpec::CHANNELS, 1, 1];
        let factors = self
            .0
            .floats("factors", &shape, &all.map(|(_, factor, _)| factor));
        let offsets = self
            .0
            .floats("offsets", &shape, &all.map(|(.., offset)| offset));
        let planes = all.map(|(plane, ..)| plane.min(input.planes - 1) as i64);
        let order = self.0.list(&planes);
        let first = [("axis", Attribute::Int(1))];
        let x = self.0.add("Gather", &[x, &order], &first);
        let x = self.op("Mul", &[&x, &factors]);
        self.op("Add", &[&x, &offsets])
    }

    /// The part of `x` that shows the image.
    pub(super) fn cut(&mut self, x: &str, padded: &Padded) -> String {
        let zero = self.0.list(&[0]);
        let mut at = |name: &String| self.op("Unsqueeze", &[name, &zero]);
        let starts = padded.before.each_ref().map(&mut at);
        let lengths = padded.lengths.each_ref().map(&mut at);
        let first = [("axis", Attribute::Int(0))];
        let starts = self.0.add("Concat", &[&starts[0], &starts[1]], &first);
        let lengths = self.0.add("Concat", &[&lengths[0], &lengths[1]], &first);
        let ends = self.op("Add", &[&starts, &lengths]);
        let sides = self.0.list(&SIDES);
        self.op("Slice", &[x, &starts, &ends, &sides])
    }

    fn op(&mut self, operator: &str, inputs: &[&str]) -> String {
        self.0.add(operator, inputs, &[])
    }

    /// Values that are no numbers count as 0.
    fn finite(&mut self, x: &str) -> String {
        let [none, endless] = ["IsNaN", "IsInf"].map(|test| self.op(test, &[x]));
        let wrong = self.op("Or", &[&none, &endless]);
        let zero = self.0.number(0.0);
        self.op("Where", &[&wrong, &zero, x])
    }

    fn eight_bits(&mut self, x: &str, full_range: f32) -> String {
        let [factor, half, zero, most] =
            [255.0 / full_range, 0.5, 0.0, 255.0].map(|value| self.0.number(value));
        let x = self.op("Mul", &[x, &factor]);
        // Halves go up; the operator `Round` takes them to the even number.
        let x = self.op("Add", &[&x, &half]);
        let x = self.op("Floor", &[&x]);
        let x = self.op("Clip", &[&x, &zero, &most]);
        self.op("Div", &[&x, &most])
    }

    fn stretched(&mut self, x: &str, percent: [f64; 2], full_range: f32) -> String {
        let flat = self.flat(x);
        let [low, high] = percent.map(|percent| self.percentile(&flat, percent));
        let least = self.0.number(LEAST_RANGE * full_range);
        let range = self.op("Sub", &[&high, &low]);
        let range = self.op("Max", &[&range, &least]);
        let x = self.op("Sub", &[x, &low]);
        let x = self.op("Div", &[&x, &range]);
        let [from, to] = STRETCHED.map(|limit| self.0.number(limit));
        self.op("Clip", &[&x, &from, &to])
    }

    fn local(&mut self, x: &str, radius_px: f64, full_range: f32) -> String {
        let centre = self.0.plane_means(x);
        let x = self.op("Sub", &[x, &centre]);
        let around = self.blurred(&x, blur_half(radius_px));
        let background = self.op("Add", &[&around, &centre]);
        let [tenth, least] =
            [LEAST_LIGHT, LEAST_RANGE * full_range].map(|value| self.0.number(value));
        let floor = self.0.plane_means(&background);
        let floor = self.op("Mul", &[&floor, &tenth]);
        let floor = self.op("Max", &[&floor, &least]);
        let light = self.op("Max", &[&background, &floor]);
        let x = self.op("Sub", &[&x, &around]);
        let x = self.op("Div", &[&x, &light]);
        let scale = self.contrast(&x);
        let x = self.op("Mul", &[&x, &scale]);
        let [low, high, spread, middle] =
            [-LIMIT, LIMIT, SPREAD, CENTRE].map(|value| self.0.number(value));
        let x = self.op("Clip", &[&x, &low, &high]);
        let x = self.op("Mul", &[&x, &spread]);
        self.op("Add", &[&x, &middle])
    }

    /// One by the root of the mean square of each plane, outliers cut; 0 where nothing differs.
    fn contrast(&mut self, x: &str) -> String {
        let magnitude = self.op("Abs", &[x]);
        let flat = self.flat(&magnitude);
        let limit = self.percentile(&flat, OUTLIERS);
        let magnitude = self.op("Min", &[&magnitude, &limit]);
        let squares = self.op("Mul", &[&magnitude, &magnitude]);
        let mean = self.0.plane_means(&squares);
        let deviation = self.op("Sqrt", &[&mean]);
        let [least, none] = [LEAST_DEVIATION, 0.0].map(|value| self.0.number(value));
        let is_some = self.op("Greater", &[&deviation, &least]);
        let scale = self.op("Reciprocal", &[&deviation]);
        self.op("Where", &[&is_some, &scale, &none])
    }

    /// Box means of `2 half + 1` pixels, passed again and again, along lines and then columns.
    fn blurred(&mut self, x: &str, half: usize) -> String {
        let window = 2 * half as i64 + 1;
        // A mirrored line stays mirrored in its box means, so it is made once for all passes.
        let around = self.0.whole((BLUR_PASSES * half) as i64);
        let mut x = x.to_owned();
        for (axis, shape) in [(3, [1, window]), (2, [window, 1])] {
            x = self.mirrored(&x, axis, [&around, &around]);
            for _ in 0..BLUR_PASSES {
                let shape = [("kernel_shape", Attribute::Ints(&shape))];
                x = self.0.add("AveragePool", &[&x], &shape);
            }
        }
        x
    }

    /// `x` with mirrored values before and behind it along an axis, without repeating the edge and
    /// as often as needed.
    fn mirrored(&mut self, x: &str, axis: i64, [before, behind]: [&str; 2]) -> String {
        let length = self.length(x, axis);
        let [one, two] = [1, 2].map(|value| self.0.whole(value));
        let last = self.op("Sub", &[&length, &one]);
        let period = self.op("Mul", &[&last, &two]);
        // Of a line of one value all is that value.
        let period = self.op("Max", &[&period, &one]);
        let first = self.op("Neg", &[before]);
        let end = self.op("Add", &[&length, behind]);
        let index = self.op("Range", &[&first, &end, &one]);
        let index = self.op("Mod", &[&index, &period]);
        let back = self.op("Sub", &[&period, &index]);
        let index = self.op("Min", &[&index, &back]);
        self.0
            .add("Gather", &[x, &index], &[("axis", Attribute::Int(axis))])
    }

    /// How long an axis is.
    fn length(&mut self, x: &str, axis: i64) -> String {
        let part = [
            ("start", Attribute::Int(axis)),
            ("end", Attribute::Int(axis + 1)),
        ];
        let length = self.0.add("Shape", &[x], &part);
        self.op("Squeeze", &[&length])
    }

    /// The values of each plane as a line.
    fn flat(&mut self, x: &str) -> String {
        let shape = self.0.list(&[0, 0, -1]);
        self.op("Reshape", &[x, &shape])
    }

    /// The value below which `percent` of each line lie, by linear interpolation between ranks; one
    /// a plane.
    fn percentile(&mut self, lines: &str, percent: f64) -> String {
        let count = self.length(lines, 2);
        let one = self.0.whole(1);
        let share = self.0.double(percent / 100.0);
        let last = self.op("Sub", &[&count, &one]);
        let last_rank = self.cast(&last, Element::F64);
        let rank = self.op("Mul", &[&last_rank, &share]);
        let below = self.op("Floor", &[&rank]);
        let share = self.op("Sub", &[&rank, &below]);
        let share = self.cast(&share, Element::F32);
        let below = self.cast(&below, Element::I64);
        let next = self.op("Add", &[&below, &one]);
        let next = self.op("Min", &[&next, &last]);
        // Whichever end of the order is nearer is sorted.
        let from_top = percent > 50.0;
        let ranks = [below, next].map(|rank| match from_top {
            true => self.op("Sub", &[&last, &rank]),
            false => rank,
        });
        let farthest = self.op("Max", &[&ranks[0], &ranks[1]]);
        let sorted = self.op("Add", &[&farthest, &one]);
        let first = self.0.list(&[0]);
        let sorted = self.op("Unsqueeze", &[&sorted, &first]);
        let attributes = [
            ("axis", Attribute::Int(2)),
            ("largest", Attribute::Int(i64::from(from_top))),
        ];
        let [values, _] = self.0.add_all::<2>("TopK", &[lines, &sorted], &attributes);
        let [below, above] = ranks.map(|rank| {
            let rank = self.op("Unsqueeze", &[&rank, &first]);
            let axis = [("axis", Attribute::Int(2))];
            self.0.add("Gather", &[&values, &rank], &axis)
        });
        let step = self.op("Sub", &[&above, &below]);
        let step = self.op("Mul", &[&step, &share]);
        let value = self.op("Add", &[&below, &step]);
        let behind = self.0.list(&[3]);
        self.op("Unsqueeze", &[&value, &behind])
    }

    fn cast(&mut self, x: &str, to: Element) -> String {
        let to = [("to", Attribute::Int(to as i64))];
        self.0.add("Cast", &[x], &to)
    }
}
