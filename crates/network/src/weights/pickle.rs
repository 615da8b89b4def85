//! A reader for the pickles inside torch files that never executes anything.
//!
//! Python's pickle is a small stack machine. Here its instructions build plain values; a call of a
//! Python function is kept as "this function with these arguments" ([`Pickled::Call`]) and means
//! nothing unless the reader of tensors (`pth`) knows it. Every other instruction is an error.
//!
//! Source: CPython's `Lib/pickletools.py`, where each instruction is documented.

use std::collections::HashMap;
use std::io::Read;
use std::rc::Rc;

/// A value on the machine's stack. Containers know their depth, so that none grows beyond what can
/// be dropped and printed without recursion trouble.
#[derive(Clone, Debug)]
pub(super) enum Pickled {
    None,
    Bool,
    Int(i64),
    /// An integer beyond 64 bits, as little-endian bytes.
    Big(Vec<u8>),
    Float,
    Text(Rc<str>),
    Bytes,
    /// Tuple or list.
    Sequence(Rc<Sequence>),
    /// Keys and values in turn.
    Dict(Rc<Sequence>),
    /// `module.name`.
    Global(Rc<str>),
    /// A persistent identifier: torch's reference to a storage.
    Reference(Rc<Sequence>),
    /// A function (first) and its arguments.
    Call(Rc<Sequence>),
}

#[derive(Clone, Debug, Default)]
pub(super) struct Sequence {
    pub(super) items: Vec<Pickled>,
    depth: usize,
}

const MAX_DEPTH: usize = 64;
/// Instructions in a pickle; a network of 10,000 tensors needs about a million.
const MAX_INSTRUCTIONS: usize = 20_000_000;
/// Bytes in a string; names are short.
const MAX_TEXT: usize = 1 << 20;

impl Pickled {
    fn depth(&self) -> usize {
        match self {
            Pickled::Sequence(s) | Pickled::Dict(s) | Pickled::Reference(s) | Pickled::Call(s) => {
                s.depth
            }
            _ => 0,
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Pickled::Text(text) | Pickled::Global(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn int(&self) -> Option<i64> {
        match self {
            Pickled::Int(n) => Some(*n),
            _ => None,
        }
    }

    /// The items of a tuple or list.
    pub(super) fn items(&self) -> Option<&[Pickled]> {
        match self {
            Pickled::Sequence(s) => Some(&s.items),
            _ => None,
        }
    }
}

impl Sequence {
    fn push(&mut self, value: Pickled) -> Result<(), String> {
        self.depth = self.depth.max(value.depth() + 1);
        if self.depth > MAX_DEPTH {
            return Err("its pickle nests too deeply".into());
        }
        self.items.push(value);
        Ok(())
    }

    fn of(items: Vec<Pickled>) -> Result<Rc<Self>, String> {
        let mut sequence = Self::default();
        for item in items {
            sequence.push(item)?;
        }
        Ok(Rc::new(sequence))
    }
}

struct StackMachine<'a, R> {
    input: &'a mut R,
    stack: Vec<Pickled>,
    marks: Vec<usize>,
    memo: HashMap<u32, Pickled>,
}

/// Reads one pickle and leaves `input` behind its end.
pub(super) fn read<R: Read>(input: &mut R) -> Result<Pickled, String> {
    let mut machine = StackMachine {
        input,
        stack: vec![],
        marks: vec![],
        memo: HashMap::new(),
    };
    for _ in 0..MAX_INSTRUCTIONS {
        let [code] = machine.bytes()?;
        if code == b'.' {
            return machine.pop();
        }
        machine.step(code)?;
    }
    Err("its pickle goes on without end".into())
}

impl<R: Read> StackMachine<'_, R> {
    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut buffer = [0; N];
        self.input
            .read_exact(&mut buffer)
            .map_err(|e| format!("its pickle breaks off ({e})"))?;
        Ok(buffer)
    }

    fn long(&mut self, length: usize) -> Result<Vec<u8>, String> {
        if length > MAX_TEXT {
            return Err(format!("its pickle has a string of {length} bytes"));
        }
        let mut buffer = vec![0; length];
        self.input
            .read_exact(&mut buffer)
            .map_err(|e| format!("its pickle breaks off ({e})"))?;
        Ok(buffer)
    }

    fn text(&mut self, length: usize) -> Result<Rc<str>, String> {
        let bytes = self.long(length)?;
        Ok(String::from_utf8_lossy(&bytes).into())
    }

    fn line(&mut self) -> Result<String, String> {
        let mut line = Vec::new();
        while line.len() < MAX_TEXT {
            let [byte] = self.bytes()?;
            if byte == b'\n' {
                return Ok(String::from_utf8_lossy(&line).into_owned());
            }
            line.push(byte);
        }
        Err("its pickle has a line without end".into())
    }

    fn pop(&mut self) -> Result<Pickled, String> {
        // What lies below a mark belongs to the container being built.
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.len() > floor {
            true => Ok(self.stack.pop().expect("the stack is not empty")),
            false => Err("its pickle takes from an empty stack".into()),
        }
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Pickled>, String> {
        let mark = self.marks.pop().ok_or("its pickle has no mark")?;
        Ok(self.stack.split_off(mark))
    }

    fn tuple(&mut self, items: Vec<Pickled>) -> Result<(), String> {
        self.stack.push(Pickled::Sequence(Sequence::of(items)?));
        Ok(())
    }

    /// Adds `items` to the container on top of the stack.
    fn extend(&mut self, items: Vec<Pickled>) -> Result<(), String> {
        match self.stack.last_mut() {
            // An `OrderedDict` is a call without arguments; its items become those of a dictionary.
            Some(top @ Pickled::Call(_)) => {
                let Pickled::Call(call) = &*top else {
                    unreachable!("matched above")
                };
                if call.items[0].text() != Some("collections.OrderedDict") {
                    return Err("its pickle fills an unknown object".into());
                }
                *top = Pickled::Dict(Sequence::of(items)?);
            }
            Some(Pickled::Sequence(s) | Pickled::Dict(s)) => {
                let sequence = Rc::make_mut(s);
                for item in items {
                    sequence.push(item)?;
                }
            }
            _ => return Err("its pickle fills what is no container".into()),
        }
        Ok(())
    }

    fn remember(&mut self, index: u32) -> Result<(), String> {
        let top = self
            .stack
            .last()
            .ok_or("its pickle remembers nothing")?
            .clone();
        self.memo.insert(index, top);
        Ok(())
    }

    fn recall(&mut self, index: u32) -> Result<(), String> {
        let value = self
            .memo
            .get(&index)
            .ok_or("its pickle recalls what it never had")?
            .clone();
        self.stack.push(value);
        Ok(())
    }

    fn integer(&mut self, length: usize) -> Result<(), String> {
        let bytes = self.long(length)?;
        self.stack.push(if length <= 8 {
            let fill = if bytes.last().is_some_and(|b| b & 0x80 != 0) {
                0xff
            } else {
                0
            };
            let mut buffer = [fill; 8];
            buffer[..length].copy_from_slice(&bytes);
            Pickled::Int(i64::from_le_bytes(buffer))
        } else {
            Pickled::Big(bytes)
        });
        Ok(())
    }

    /// Executes one instruction. Long, since it is a table: an arm an instruction, to be read
    /// beside that of `pickletools`.
    fn step(&mut self, code: u8) -> Result<(), String> {
        match code {
            0x80 => drop(self.bytes::<1>()?),          // PROTO
            0x95 => drop(self.bytes::<8>()?),          // FRAME
            b'(' => self.marks.push(self.stack.len()), // MARK
            b'0' => drop(self.pop()?),                 // POP
            b'1' => drop(self.pop_to_mark()?),         // POP_MARK
            b'N' => self.stack.push(Pickled::None),
            0x88 | 0x89 => self.stack.push(Pickled::Bool), // NEWTRUE, NEWFALSE
            b'J' => {
                let n = i32::from_le_bytes(self.bytes()?); // BININT
                self.stack.push(Pickled::Int(n.into()));
            }
            b'K' => {
                let [n] = self.bytes()?; // BININT1
                self.stack.push(Pickled::Int(n.into()));
            }
            b'M' => {
                let n = u16::from_le_bytes(self.bytes()?); // BININT2
                self.stack.push(Pickled::Int(n.into()));
            }
            0x8a => {
                let [length] = self.bytes()?; // LONG1
                self.integer(length.into())?;
            }
            b'G' => {
                self.bytes::<8>()?; // BINFLOAT; no number of interest is stored as one
                self.stack.push(Pickled::Float);
            }
            b'X' | b'T' => {
                let length = u32::from_le_bytes(self.bytes()?); // BINUNICODE, BINSTRING
                let text = self.text(length as usize)?;
                self.stack.push(Pickled::Text(text));
            }
            0x8c | b'U' => {
                let [length] = self.bytes()?; // SHORT_BINUNICODE, SHORT_BINSTRING
                let text = self.text(length.into())?;
                self.stack.push(Pickled::Text(text));
            }
            b'C' => {
                let [length] = self.bytes()?; // SHORT_BINBYTES
                self.long(length.into())?;
                self.stack.push(Pickled::Bytes);
            }
            b'B' => {
                let length = u32::from_le_bytes(self.bytes()?); // BINBYTES
                self.long(length as usize)?;
                self.stack.push(Pickled::Bytes);
            }
            b'q' => {
                let [index] = self.bytes()?; // BINPUT
                self.remember(index.into())?;
            }
            b'r' => {
                let index = u32::from_le_bytes(self.bytes()?); // LONG_BINPUT
                self.remember(index)?;
            }
            0x94 => self.remember(self.memo.len() as u32)?, // MEMOIZE
            b'h' => {
                let [index] = self.bytes()?; // BINGET
                self.recall(index.into())?;
            }
            b'j' => {
                let index = u32::from_le_bytes(self.bytes()?); // LONG_BINGET
                self.recall(index)?;
            }
            b'c' => {
                let name = format!("{}.{}", self.line()?, self.line()?); // GLOBAL
                self.stack.push(Pickled::Global(name.into()));
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?); // STACK_GLOBAL
                let (Some(name), Some(module)) = (name.text(), module.text()) else {
                    return Err("its pickle names a function without a name".into());
                };
                self.stack
                    .push(Pickled::Global(format!("{module}.{name}").into()));
            }
            b')' => self.tuple(vec![])?, // EMPTY_TUPLE
            b']' => self.tuple(vec![])?, // EMPTY_LIST
            0x85..=0x87 => {
                let mut items = vec![]; // TUPLE1 to TUPLE3
                for _ in 0..code - 0x84 {
                    items.insert(0, self.pop()?);
                }
                self.tuple(items)?;
            }
            b't' => {
                let items = self.pop_to_mark()?; // TUPLE
                self.tuple(items)?;
            }
            b'}' => self.stack.push(Pickled::Dict(Rc::default())), // EMPTY_DICT
            b'a' => {
                let item = self.pop()?; // APPEND
                self.extend(vec![item])?;
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?); // SETITEM
                self.extend(vec![key, value])?;
            }
            b'e' | b'u' => {
                let items = self.pop_to_mark()?; // APPENDS, SETITEMS
                self.extend(items)?;
            }
            b'R' | 0x81 => {
                let (arguments, function) = (self.pop()?, self.pop()?); // REDUCE, NEWOBJ
                self.stack
                    .push(Pickled::Call(Sequence::of(vec![function, arguments])?));
            }
            // BUILD: attributes of an object, such as a state dict's `_metadata`; of no interest.
            b'b' => drop(self.pop()?),
            b'Q' => {
                let identifier = self.pop()?; // BINPERSID
                self.stack
                    .push(Pickled::Reference(Sequence::of(vec![identifier])?));
            }
            other => {
                return Err(format!(
                    "its pickle uses instruction 0x{other:02x}, which is not read"
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_kept_and_never_made() {
        // os.system("true"), protocol 2: what a malicious file would hold.
        let bytes = b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R.";
        let Pickled::Call(call) = read(&mut &bytes[..]).unwrap() else {
            panic!("no call")
        };
        assert_eq!(call.items[0].text(), Some("os.system"));
        assert_eq!(call.items[1].items().unwrap()[0].text(), Some("true"));
    }

    #[test]
    fn containers_and_the_memo() {
        // {"a": (1, -2), "b": [300, None]} with "a" remembered and recalled as the list's last
        // item.
        let bytes = b"\x80\x02}(X\x01\x00\x00\x00aq\x00K\x01J\xfe\xff\xff\xff\x86\
                      X\x01\x00\x00\x00b](M\x2c\x01Nh\x00eu.";
        let Pickled::Dict(dict) = read(&mut &bytes[..]).unwrap() else {
            panic!("no dictionary")
        };
        assert_eq!(dict.items[1].items().unwrap()[1].int(), Some(-2));
        let list = dict.items[3].items().unwrap();
        assert_eq!((list[0].int(), list[2].text()), (Some(300), Some("a")));
    }

    #[test]
    fn hostile_pickles_end_in_an_error() {
        let mut deep = vec![b']'; 1];
        deep.extend([0x85; 5000]);
        deep.push(b'.');
        assert!(read(&mut &deep[..]).unwrap_err().contains("nests"));
        for bytes in [
            &b"\x80\x02"[..],
            b"R.",
            b"(.",
            b"t.",
            b"h\x00.",
            b"X\xff\xff\xff\xff",
            b"I1\n.",
            b"K\x01(a.",
        ] {
            assert!(read(&mut &bytes[..]).is_err(), "{bytes:?}");
        }
    }
}
