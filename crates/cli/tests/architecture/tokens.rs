//! Rust source as words and marks, each with its line: all that modules and paths are read from.

/// A word or a mark of the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    /// An identifier, `::`, or one character.
    pub(crate) text: String,
    /// Line, from 1.
    pub(crate) line: usize,
}

impl Token {
    /// Whether it is an identifier or a keyword.
    pub(crate) fn is_word(&self) -> bool {
        self.text.starts_with(is_word)
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The tokens of `source`, without comments, texts, characters and lifetimes.
pub(crate) fn tokens(source: &str) -> Vec<Token> {
    let mut reader = Reader {
        rest: source,
        line: 1,
        found: Vec::new(),
    };
    while reader.step() {}
    reader.found
}

struct Reader<'a> {
    rest: &'a str,
    line: usize,
    found: Vec<Token>,
}

impl Reader<'_> {
    /// Reads one thing; false at the end.
    fn step(&mut self) -> bool {
        let Some(first) = self.rest.chars().next() else {
            return false;
        };
        let length = if self.rest.starts_with("//") {
            self.rest.find('\n').unwrap_or(self.rest.len())
        } else if self.rest.starts_with("/*") {
            block_comment(self.rest)
        } else if let Some(length) = text(self.rest) {
            length
        } else if first == '\'' {
            character_or_lifetime(self.rest)
        } else if is_word(first) {
            let length = self.rest.find(|c| !is_word(c)).unwrap_or(self.rest.len());
            self.keep(length);
            length
        } else if self.rest.starts_with("::") {
            self.keep(2);
            2
        } else {
            if !first.is_whitespace() {
                self.keep(first.len_utf8());
            }
            first.len_utf8()
        };
        let (read, rest) = self.rest.split_at(length);
        self.line += read.matches('\n').count();
        self.rest = rest;
        true
    }

    fn keep(&mut self, length: usize) {
        self.found.push(Token {
            text: self.rest[..length].to_owned(),
            line: self.line,
        });
    }
}

/// Length of the comment `/* .. */` that `rest` begins with; they nest.
fn block_comment(rest: &str) -> usize {
    let mut depth = 0usize;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest[at..].starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                break;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

/// Length of the text that `rest` begins with, raw or not, of characters or bytes.
fn text(rest: &str) -> Option<usize> {
    let prefix = ["", "b", "c", "r", "br", "cr"]
        .into_iter()
        .filter(|prefix| rest.starts_with(prefix))
        .find(|prefix| {
            let after = &rest[prefix.len()..];
            let hashes = after.len() - after.trim_start_matches('#').len();
            after[hashes..].starts_with('"') && (hashes == 0 || prefix.ends_with('r'))
        })?;
    let after = &rest[prefix.len()..];
    if prefix.ends_with('r') {
        let hashes = after.len() - after.trim_start_matches('#').len();
        let end = format!("\"{}", "#".repeat(hashes));
        let body = &after[hashes + 1..];
        let length = body.find(&end).map_or(body.len(), |at| at + end.len());
        return Some(prefix.len() + hashes + 1 + length);
    }
    let mut escaped = false;
    for (at, c) in after.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(prefix.len() + at + 1),
            _ => {}
        }
    }
    Some(rest.len())
}

/// Length of the character `'x'` or the lifetime `'a` that `rest` begins with.
fn character_or_lifetime(rest: &str) -> usize {
    let mut inside = rest.char_indices().skip(1);
    match inside.next() {
        Some((_, '\\')) => {
            // What is escaped may be a quotation mark itself.
            let after = rest.char_indices().skip(3).find(|&(_, c)| c == '\'');
            after.map_or(rest.len(), |(at, _)| at + 1)
        }
        Some(_) => match inside.next() {
            Some((at, '\'')) => at + 1,
            _ => 1 + rest[1..].find(|c| !is_word(c)).unwrap_or(rest.len() - 1),
        },
        None => rest.len(),
    }
}
