//! ONNX files read and computed by the operators' definitions, in f64: what written files are held
//! to. Only what files of this program use is known; anything else is a panic.

use std::collections::{BTreeMap, HashMap};

/// A field of a protobuf message.
enum Field<'a> {
    Int(u64),
    Four([u8; 4]),
    Bytes(&'a [u8]),
}

impl<'a> Field<'a> {
    fn bytes(&self) -> &'a [u8] {
        match self {
            Field::Bytes(bytes) => bytes,
            _ => panic!("no bytes"),
        }
    }

    fn text(&self) -> String {
        String::from_utf8(self.bytes().to_vec()).unwrap()
    }

    fn int(&self) -> i64 {
        match self {
            Field::Int(value) => *value as i64,
            _ => panic!("no integer"),
        }
    }
}

/// All fields of a message by their numbers.
struct Message<'a>(BTreeMap<u64, Vec<Field<'a>>>);

impl<'a> Message<'a> {
    fn read(mut bytes: &'a [u8]) -> Self {
        let mut fields: BTreeMap<u64, Vec<Field>> = BTreeMap::new();
        while !bytes.is_empty() {
            let key = varint(&mut bytes);
            let field = match key & 7 {
                0 => Field::Int(varint(&mut bytes)),
                2 => {
                    let length = varint(&mut bytes) as usize;
                    Field::Bytes(bytes.split_off(..length).unwrap())
                }
                5 => Field::Four(bytes.split_off(..4).unwrap().try_into().unwrap()),
                wire => panic!("wire type {wire}"),
            };
            fields.entry(key >> 3).or_default().push(field);
        }
        Self(fields)
    }

    fn all(&self, number: u64) -> &[Field<'a>] {
        self.0.get(&number).map_or(&[], Vec::as_slice)
    }

    fn one(&self, number: u64) -> &Field<'a> {
        &self.0[&number][0]
    }

    fn messages(&self, number: u64) -> impl Iterator<Item = Message<'a>> {
        self.all(number)
            .iter()
            .map(|field| Message::read(field.bytes()))
    }

    fn texts(&self, number: u64) -> Vec<String> {
        self.all(number).iter().map(Field::text).collect()
    }
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let byte = bytes.split_off_first().unwrap();
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    value
}

/// An array of any type; integers and truth values are numbers here.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    pub shape: Vec<usize>,
    pub data: Vec<f64>,
    /// Whether divisions give whole numbers.
    whole: bool,
}

impl Tensor {
    pub fn new(shape: &[usize], data: Vec<f64>) -> Self {
        assert_eq!(shape.iter().product::<usize>(), data.len());
        Self {
            shape: shape.to_vec(),
            data,
            whole: false,
        }
    }

    fn whole(shape: &[usize], data: Vec<f64>) -> Self {
        Self {
            whole: true,
            ..Self::new(shape, data)
        }
    }

    fn map(&self, of: impl Fn(f64) -> f64) -> Self {
        let data = self.data.iter().map(|&v| of(v)).collect();
        Self {
            data,
            ..self.clone()
        }
    }

    fn value(&self) -> f64 {
        assert_eq!(self.data.len(), 1);
        self.data[0]
    }

    /// Elements before an axis, along it, and behind it.
    fn around(&self, axis: usize) -> [usize; 3] {
        [
            self.shape[..axis].iter().product(),
            self.shape[axis],
            self.shape[axis + 1..].iter().product(),
        ]
    }

    /// With `made` of every line along an axis, of which there are `behind` side by side.
    fn lines(&self, axis: usize, made: impl Fn(&[f64]) -> Vec<f64>) -> Self {
        let [outer, length, inner] = self.around(axis);
        let mut lines = Vec::new();
        for (o, i) in (0..outer).flat_map(|o| (0..inner).map(move |i| (o, i))) {
            let at = |l: usize| self.data[(o * length + l) * inner + i];
            lines.push(made(&(0..length).map(at).collect::<Vec<_>>()));
        }
        let new = lines.first().map_or(0, Vec::len);
        let mut data = vec![0.0; outer * new * inner];
        for (index, line) in lines.iter().enumerate() {
            let (o, i) = (index / inner, index % inner);
            for (l, value) in line.iter().enumerate() {
                data[(o * new + l) * inner + i] = *value;
            }
        }
        let mut shape = self.shape.clone();
        shape[axis] = new;
        Self {
            shape,
            data,
            whole: self.whole,
        }
    }
}

/// A node's attributes.
#[derive(Default)]
struct Attributes {
    floats: HashMap<String, f64>,
    ints: HashMap<String, Vec<i64>>,
    texts: HashMap<String, String>,
}

impl Attributes {
    fn of(node: &Message) -> Self {
        let mut found = Self::default();
        for attribute in node.messages(5) {
            let name = attribute.one(1).text();
            match attribute.one(20).int() {
                1 => {
                    let Field::Four(bytes) = attribute.one(2) else {
                        panic!("no float");
                    };
                    let value = f32::from_le_bytes(*bytes);
                    found.floats.insert(name, f64::from(value));
                }
                2 => {
                    found.ints.insert(name, vec![attribute.one(3).int()]);
                }
                3 => {
                    found.texts.insert(name, attribute.one(4).text());
                }
                7 => {
                    let values = attribute.all(8).iter().map(Field::int);
                    found.ints.insert(name, values.collect());
                }
                kind => panic!("attribute of type {kind}"),
            }
        }
        found
    }

    fn int(&self, name: &str) -> usize {
        self.ints[name][0] as usize
    }

    fn lengths(&self, name: &str) -> Vec<usize> {
        self.ints[name].iter().map(|&v| v as usize).collect()
    }
}

/// An ONNX file.
pub struct Onnx<'a> {
    file: Message<'a>,
    graph: Message<'a>,
}

impl<'a> Onnx<'a> {
    pub fn read(bytes: &'a [u8]) -> Self {
        let file = Message::read(bytes);
        let graph = Message::read(file.one(7).bytes());
        Self { file, graph }
    }

    /// Version of the format, and of the operators.
    pub fn versions(&self) -> [i64; 2] {
        let operators = self.file.messages(8).next().unwrap();
        [self.file.one(1).int(), operators.one(2).int()]
    }

    pub fn notes(&self) -> BTreeMap<String, String> {
        let notes = self.file.messages(14);
        notes
            .map(|note| (note.one(1).text(), note.one(2).text()))
            .collect()
    }

    /// Names of inputs (11) or outputs (12) with their axes.
    pub fn ports(&self, number: u64) -> Vec<(String, Vec<String>)> {
        let port = |port: Message| {
            let kind = Message::read(port.one(2).bytes());
            let tensor = Message::read(kind.one(1).bytes());
            let shape = Message::read(tensor.one(2).bytes());
            let axis = |axis: Message| match axis.all(1).first() {
                Some(length) => length.int().to_string(),
                None => axis.one(2).text(),
            };
            (port.one(1).text(), shape.messages(1).map(axis).collect())
        };
        self.graph.messages(number).map(port).collect()
    }

    /// The outputs for `input`, by their names.
    pub fn run(&self, input: &Tensor) -> HashMap<String, Tensor> {
        let mut values: HashMap<String, Tensor> = HashMap::new();
        let mut add = |name: String, value: Tensor| {
            assert!(values.insert(name.clone(), value).is_none(), "{name} twice");
        };
        add(self.ports(11)[0].0.clone(), input.clone());
        for tensor in self.graph.messages(5) {
            add(tensor.one(8).text(), stored(&tensor));
        }
        for node in self.graph.messages(1) {
            let operator = node.one(4).text();
            let inputs = node.texts(1);
            let from: Vec<&Tensor> = inputs
                .iter()
                .filter(|name| !name.is_empty())
                .map(|name| {
                    values
                        .get(name)
                        .unwrap_or_else(|| panic!("{name} is unknown"))
                })
                .collect();
            let made = compute(&operator, &from, &Attributes::of(&node));
            let names = node.texts(2);
            assert!(made.len() <= names.len());
            for (name, value) in names.into_iter().zip(made) {
                assert!(values.insert(name.clone(), value).is_none(), "{name} twice");
            }
        }
        let outputs = self.ports(12).into_iter();
        outputs
            .map(|(name, _)| (name.clone(), values.remove(&name).unwrap()))
            .collect()
    }
}

fn stored(tensor: &Message) -> Tensor {
    let shape: Vec<usize> = tensor.all(1).iter().map(|d| d.int() as usize).collect();
    let bytes = tensor.one(9).bytes();
    let eight = |of: fn([u8; 8]) -> f64| -> Vec<f64> {
        let chunks = bytes.chunks(8);
        chunks.map(|b| of(b.try_into().unwrap())).collect()
    };
    match tensor.one(2).int() {
        1 => {
            let of = |b: &[u8]| f64::from(f32::from_le_bytes(b.try_into().unwrap()));
            Tensor::new(&shape, bytes.chunks(4).map(of).collect())
        }
        7 => Tensor::whole(&shape, eight(|b| i64::from_le_bytes(b) as f64)),
        11 => Tensor::new(&shape, eight(f64::from_le_bytes)),
        kind => panic!("elements of type {kind}"),
    }
}

/// What a node gives.
fn compute(operator: &str, x: &[&Tensor], attributes: &Attributes) -> Vec<Tensor> {
    let one = |value: Tensor| vec![value];
    let truth = |is: bool| f64::from(u8::from(is));
    match operator {
        "Identity" => one(x[0].clone()),
        "Relu" => one(x[0].map(|v| v.max(0.0))),
        "Sigmoid" => one(x[0].map(|v| 1.0 / (1.0 + (-v).exp()))),
        "Abs" => one(x[0].map(f64::abs)),
        "Neg" => one(x[0].map(|v| -v)),
        "Sqrt" => one(x[0].map(f64::sqrt)),
        "Floor" => one(x[0].map(f64::floor)),
        "Reciprocal" => one(x[0].map(|v| 1.0 / v)),
        "IsNaN" => one(x[0].map(|v| truth(v.is_nan()))),
        "IsInf" => one(x[0].map(|v| truth(v.is_infinite()))),
        "Clip" => one(x[0].map(|v| v.clamp(x[1].value(), x[2].value()))),
        "Add" => one(pairs(x[0], x[1], |a, b| a + b)),
        "Sub" => one(pairs(x[0], x[1], |a, b| a - b)),
        "Mul" => one(pairs(x[0], x[1], |a, b| a * b)),
        "Div" if x[0].whole => one(pairs(x[0], x[1], |a, b| (a / b).trunc())),
        "Div" => one(pairs(x[0], x[1], |a, b| a / b)),
        "Mod" => one(pairs(x[0], x[1], f64::rem_euclid)),
        "Min" => one(pairs(x[0], x[1], f64::min)),
        "Max" => one(pairs(x[0], x[1], f64::max)),
        "Greater" => one(pairs(x[0], x[1], |a, b| truth(a > b))),
        "Or" => one(pairs(x[0], x[1], f64::max)),
        "Where" => {
            // What is not chosen may be no number.
            let first = pairs(
                x[0],
                x[1],
                |is, a| if is == 1.0 { a } else { f64::NEG_INFINITY },
            );
            let second = pairs(
                x[0],
                x[2],
                |is, b| if is == 1.0 { f64::NEG_INFINITY } else { b },
            );
            one(pairs(&first, &second, f64::max))
        }
        "Cast" => {
            let whole = attributes.int("to") == 7;
            one(Tensor {
                whole,
                ..x[0].clone()
            })
        }
        "Shape" | "Squeeze" | "Unsqueeze" | "Reshape" | "Concat" | "Slice" | "Gather" | "Range" => {
            one(arranged(operator, x, attributes))
        }
        "TopK" => one(sorted(x[0], x[1].value() as usize, attributes)),
        "ReduceMean" | "Softmax" => one(reduced(operator, x[0], attributes)),
        "BatchNormalization" => {
            let epsilon = attributes.floats["epsilon"];
            let mut made = x[0].clone();
            let [_, channels, pixels] = made.around(1);
            for (i, plane) in made.data.chunks_mut(pixels).enumerate() {
                let c = i % channels;
                let scale = x[1].data[c] / (x[4].data[c] + epsilon).sqrt();
                for v in plane {
                    *v = (*v - x[3].data[c]) * scale + x[2].data[c];
                }
            }
            one(made)
        }
        "Conv" => one(convolved(x, attributes)),
        "MaxPool" => one(pooled(x[0], attributes, f64::NEG_INFINITY, f64::max)),
        "AveragePool" => {
            let count: usize = attributes.lengths("kernel_shape").iter().product();
            one(pooled(x[0], attributes, 0.0, |a, b| a + b).map(|v| v / count as f64))
        }
        "Resize" => {
            for (key, value) in [
                ("mode", "nearest"),
                ("coordinate_transformation_mode", "asymmetric"),
                ("nearest_mode", "floor"),
            ] {
                assert_eq!(attributes.texts[key], value);
            }
            assert_eq!(x[1].data, [1.0, 1.0, 2.0, 2.0]);
            let twice = |line: &[f64]| line.iter().flat_map(|&v| [v, v]).collect();
            one(x[0].lines(3, twice).lines(2, twice))
        }
        other => panic!("operator {other}"),
    }
}

/// Both arrays element by element, repeated along axes of one element.
fn pairs(a: &Tensor, b: &Tensor, of: impl Fn(f64, f64) -> f64) -> Tensor {
    let rank = a.shape.len().max(b.shape.len());
    let padded = |x: &Tensor| [vec![1; rank - x.shape.len()], x.shape.clone()].concat();
    let (left, right) = (padded(a), padded(b));
    let sides = left.iter().zip(&right);
    let shape: Vec<usize> = sides
        .map(|(&l, &r)| {
            assert!(l == r || l == 1 || r == 1, "{left:?} and {right:?}");
            if l == 1 { r } else { l }
        })
        .collect();
    let steps = |own: &[usize]| -> Vec<usize> {
        let step = |axis: usize| match own[axis] {
            1 => 0,
            _ => own[axis + 1..].iter().product(),
        };
        (0..rank).map(step).collect()
    };
    let (left, right) = (steps(&left), steps(&right));
    let mut at = vec![0; rank];
    let mut data = Vec::with_capacity(shape.iter().product());
    for _ in 0..shape.iter().product() {
        let place = |steps: &[usize]| at.iter().zip(steps).map(|(i, s)| i * s).sum::<usize>();
        data.push(of(a.data[place(&left)], b.data[place(&right)]));
        for axis in (0..rank).rev() {
            at[axis] += 1;
            if at[axis] < shape[axis] {
                break;
            }
            at[axis] = 0;
        }
    }
    Tensor {
        shape,
        data,
        whole: a.whole && b.whole,
    }
}

/// Operators that move elements, or speak of where they are.
fn arranged(operator: &str, x: &[&Tensor], attributes: &Attributes) -> Tensor {
    let with_shape = |shape: Vec<usize>| {
        assert_eq!(shape.iter().product::<usize>(), x[0].data.len());
        Tensor {
            shape,
            ..x[0].clone()
        }
    };
    match operator {
        "Shape" => {
            let part = &x[0].shape[attributes.int("start")..attributes.int("end")];
            let lengths: Vec<f64> = part.iter().map(|&n| n as f64).collect();
            Tensor::whole(&[part.len()], lengths)
        }
        "Squeeze" => with_shape(x[0].shape.iter().copied().filter(|&n| n != 1).collect()),
        "Unsqueeze" => {
            let mut shape = x[0].shape.clone();
            shape.insert(x[1].value() as usize, 1);
            with_shape(shape)
        }
        "Reshape" => {
            assert_eq!(x[1].data, [0.0, 0.0, -1.0]);
            let rest = x[0].shape[2..].iter().product();
            with_shape(vec![x[0].shape[0], x[0].shape[1], rest])
        }
        "Concat" => {
            let [outer, ..] = x[0].around(attributes.int("axis"));
            let part = |o: usize, x: &Tensor| {
                let length = x.data.len() / outer;
                x.data[o * length..][..length].to_vec()
            };
            let parts = (0..outer).flat_map(|o| x.iter().map(move |x| part(o, x)));
            let data: Vec<f64> = parts.collect::<Vec<_>>().concat();
            let mut shape = x[0].shape.clone();
            shape[attributes.int("axis")] = x.iter().map(|x| x.shape[attributes.int("axis")]).sum();
            Tensor {
                shape,
                data,
                whole: x[0].whole,
            }
        }
        "Slice" => {
            let mut made = x[0].clone();
            for (i, axis) in x[3].data.iter().enumerate() {
                let [from, to] = [x[1], x[2]].map(|ends| ends.data[i] as usize);
                made = made.lines(*axis as usize, |line| line[from..to].to_vec());
            }
            made
        }
        "Gather" => {
            let places = |line: &[f64]| x[1].data.iter().map(|&i| line[i as usize]).collect();
            assert_eq!(x[1].shape.len(), 1);
            x[0].lines(attributes.int("axis"), places)
        }
        _ => {
            let [from, to, step] = [x[0], x[1], x[2]].map(Tensor::value);
            let count = ((to - from) / step).ceil() as usize;
            let data = (0..count).map(|i| from + i as f64 * step).collect();
            Tensor::whole(&[count], data)
        }
    }
}

fn sorted(x: &Tensor, count: usize, attributes: &Attributes) -> Tensor {
    let largest = attributes.int("largest") == 1;
    x.lines(attributes.int("axis"), |line| {
        let mut line = line.to_vec();
        line.sort_by(f64::total_cmp);
        if largest {
            line.reverse();
        }
        line[..count].to_vec()
    })
}

fn reduced(operator: &str, x: &Tensor, attributes: &Attributes) -> Tensor {
    let mean = |line: &[f64]| vec![line.iter().sum::<f64>() / line.len() as f64];
    match operator {
        "ReduceMean" => x.lines(attributes.int("axes"), mean),
        _ => x.lines(attributes.int("axis"), |line| {
            let largest = line.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let terms: Vec<f64> = line.iter().map(|v| (v - largest).exp()).collect();
            let sum: f64 = terms.iter().sum();
            terms.iter().map(|v| v / sum).collect()
        }),
    }
}

/// Windows without padding, put together one value after the other.
fn pooled(x: &Tensor, attributes: &Attributes, start: f64, of: fn(f64, f64) -> f64) -> Tensor {
    let kernel = attributes.lengths("kernel_shape");
    let strides = match attributes.ints.contains_key("strides") {
        true => attributes.lengths("strides"),
        false => vec![1, 1],
    };
    let along = |x: &Tensor, axis: usize| {
        let (kernel, stride) = (kernel[axis - 2], strides[axis - 2]);
        x.lines(axis, |line| {
            let windows = line.windows(kernel).step_by(stride);
            windows
                .map(|window| window.iter().fold(start, |a, &b| of(a, b)))
                .collect()
        })
    };
    along(&along(x, 3), 2)
}

fn convolved(x: &[&Tensor], attributes: &Attributes) -> Tensor {
    let groups = attributes.int("group");
    let [pads, strides] = ["pads", "strides"].map(|name| attributes.lengths(name));
    let padded = |line: &[f64], axis: usize| {
        let around = |n: usize| vec![0.0; n];
        [&around(pads[axis])[..], line, &around(pads[axis + 2])].concat()
    };
    let from = x[0].lines(3, |line| padded(line, 1));
    let from = from.lines(2, |line| padded(line, 0));
    let [outputs, seen, kernel, _] = x[1].shape[..] else {
        panic!("weights of shape {:?}", x[1].shape);
    };
    assert_eq!(x[1].shape[2..], attributes.lengths("kernel_shape"));
    let [batch, channels, height, width] = from.shape[..] else {
        panic!("an image of shape {:?}", from.shape);
    };
    assert_eq!(seen * groups, channels);
    let made = [
        (height - kernel) / strides[0] + 1,
        (width - kernel) / strides[1] + 1,
    ];
    let mut data = Vec::with_capacity(batch * outputs * made[0] * made[1]);
    for (image, k) in (0..batch).flat_map(|b| (0..outputs).map(move |k| (b, k))) {
        let bias = x.get(2).map_or(0.0, |bias| bias.data[k]);
        let mut plane = vec![bias; made[0] * made[1]];
        let first = k / (outputs / groups) * seen;
        for c in 0..seen {
            let weights = &x[1].data[(k * seen + c) * kernel * kernel..][..kernel * kernel];
            let read = &from.data[(image * channels + first + c) * height * width..];
            for (tap, weight) in weights.iter().enumerate() {
                for (y, row) in plane.chunks_mut(made[1]).enumerate() {
                    let start = (y * strides[0] + tap / kernel) * width + tap % kernel;
                    let line = read[start..].iter().step_by(strides[1]);
                    row.iter_mut()
                        .zip(line)
                        .for_each(|(sum, v)| *sum += weight * v);
                }
            }
        }
        data.extend(plane);
    }
    Tensor::new(&[batch, outputs, made[0], made[1]], data)
}
