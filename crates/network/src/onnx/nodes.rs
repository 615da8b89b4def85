//! An ONNX graph while it is put together, node after node.
//!
//! Field numbers are those of `onnx.proto` (IR version 8). Values are known by their names, each of
//! which is given once; a name that is taken gets a tail.

use super::proto::Message;
use std::collections::{BTreeMap, HashSet};

/// Types of a tensor's elements, as ONNX numbers them.
#[derive(Clone, Copy, Debug)]
pub(super) enum Element {
    F32 = 1,
    I64 = 7,
    F64 = 11,
}

/// An attribute of a node.
pub(super) enum Attribute<'a> {
    Int(i64),
    Float(f32),
    Text(&'a str),
    Ints(&'a [i64]),
}

impl Attribute<'_> {
    fn message(&self, name: &str) -> Message {
        let named = Message::default().text(1, name);
        match *self {
            Attribute::Float(value) => named.float(2, value).int(20, 1),
            Attribute::Int(value) => named.int(3, value).int(20, 2),
            Attribute::Text(text) => named.text(4, text).int(20, 3),
            Attribute::Ints(values) => named.ints(8, values).int(20, 7),
        }
    }
}

/// A graph's input or output: its name, what its axes are called or how long they are, and a
/// sentence on it.
pub(super) struct Port<'a> {
    pub(super) name: &'a str,
    pub(super) axes: [Axis; 4],
    pub(super) about: &'a str,
}

/// One axis of a [`Port`].
#[derive(Clone, Copy)]
pub(super) enum Axis {
    /// Of any length, by name.
    Open(&'static str),
    /// Of this length.
    Fixed(usize),
}

impl Port<'_> {
    fn message(&self) -> Message {
        let shape = self.axes.iter().fold(Message::default(), |shape, axis| {
            let axis = match *axis {
                Axis::Fixed(length) => Message::default().int(1, length as i64),
                Axis::Open(name) => Message::default().text(2, name),
            };
            shape.message(1, &axis)
        });
        let tensor = Message::default()
            .int(1, Element::F32 as i64)
            .message(2, &shape);
        let kind = Message::default().message(1, &tensor);
        Message::default()
            .text(1, self.name)
            .message(2, &kind)
            .text(3, self.about)
    }
}

/// The graph so far.
#[derive(Default)]
pub(super) struct Nodes {
    /// `GraphProto`.
    graph: Message,
    names: HashSet<String>,
    /// Names of numbers that are there already.
    numbers: BTreeMap<u32, String>,
    made: usize,
}

impl Nodes {
    /// Begins a graph called `name` whose inputs and outputs bear these names.
    pub(super) fn new(name: &str, ports: &[&str]) -> Self {
        Self {
            graph: Message::default().text(2, name),
            names: ports.iter().map(|&port| port.to_owned()).collect(),
            ..Self::default()
        }
    }

    /// `wanted`, or something like it that nothing else is called.
    fn claim(&mut self, wanted: &str) -> String {
        let mut name = wanted.to_owned();
        while !self.names.insert(name.clone()) {
            name.push('_');
        }
        name
    }

    /// Adds a node of one result, whose name comes back.
    pub(super) fn add(
        &mut self,
        operator: &str,
        inputs: &[&str],
        attributes: &[(&str, Attribute)],
    ) -> String {
        let [made] = self.add_all(operator, inputs, attributes);
        made
    }

    /// Adds a node of several results.
    pub(super) fn add_all<const N: usize>(
        &mut self,
        operator: &str,
        inputs: &[&str],
        attributes: &[(&str, Attribute)],
    ) -> [String; N] {
        let index = self.made;
        let results = std::array::from_fn(|i| match i {
            0 => self.claim(&format!("{operator}_{index}")),
            _ => self.claim(&format!("{operator}_{index}_{i}")),
        });
        self.put(operator, inputs, attributes, &results);
        results
    }

    /// Adds the node that gives the graph's output `port`.
    pub(super) fn give(
        &mut self,
        operator: &str,
        inputs: &[&str],
        attributes: &[(&str, Attribute)],
        port: &str,
    ) {
        self.put(operator, inputs, attributes, &[port.to_owned()]);
    }

    /// The mean of each plane, line by line first: one sum of f32 over a large image, as
    /// `GlobalAveragePool` may be computed, loses digits (1e-3 of a probability was seen).
    pub(super) fn plane_means(&mut self, x: &str) -> String {
        let along = |axis: &'static [i64]| [("axes", Attribute::Ints(axis))];
        let x = self.add("ReduceMean", &[x], &along(&[3]));
        self.add("ReduceMean", &[&x], &along(&[2]))
    }

    fn put(
        &mut self,
        operator: &str,
        inputs: &[&str],
        attributes: &[(&str, Attribute)],
        results: &[String],
    ) {
        let add = |node: Message, input: &&str| node.text(1, input);
        let mut node = inputs.iter().fold(Message::default(), add);
        for result in results {
            node = node.text(2, result);
        }
        node = node
            .text(3, &format!("{operator}_{}", self.made))
            .text(4, operator);
        for (name, attribute) in attributes {
            node = node.message(5, &attribute.message(name));
        }
        self.graph.push(1, &node);
        self.made += 1;
    }

    /// Adds numbers that are part of the file.
    pub(super) fn floats(&mut self, name: &str, shape: &[usize], values: &[f32]) -> String {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes());
        self.tensor(name, shape, Element::F32, bytes.collect())
    }

    /// A number that an array is computed with; the same one is there once.
    pub(super) fn number(&mut self, value: f32) -> String {
        if let Some(name) = self.numbers.get(&value.to_bits()) {
            return name.clone();
        }
        let name = self.floats("number", &[], &[value]);
        self.numbers.insert(value.to_bits(), name.clone());
        name
    }

    /// A number in double precision.
    pub(super) fn double(&mut self, value: f64) -> String {
        self.tensor("double", &[], Element::F64, value.to_le_bytes().into())
    }

    /// A whole number.
    pub(super) fn whole(&mut self, value: i64) -> String {
        self.tensor("whole", &[], Element::I64, value.to_le_bytes().into())
    }

    /// A list of whole numbers.
    pub(super) fn list(&mut self, values: &[i64]) -> String {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes());
        self.tensor("list", &[values.len()], Element::I64, bytes.collect())
    }

    fn tensor(&mut self, name: &str, shape: &[usize], element: Element, bytes: Vec<u8>) -> String {
        let name = self.claim(name);
        let shape: Vec<i64> = shape.iter().map(|&length| length as i64).collect();
        let tensor = Message::default()
            .ints(1, &shape)
            .int(2, element as i64)
            .text(8, &name)
            .bytes(9, &bytes);
        self.graph.push(5, &tensor);
        name
    }

    /// Ends with the graph's input and outputs.
    pub(super) fn finish(mut self, input: &Port, outputs: &[Port]) -> Message {
        self.graph.push(11, &input.message());
        for output in outputs {
            self.graph.push(12, &output.message());
        }
        self.graph
    }
}
