//! The modules of a crate, and what each names of others.
//!
//! Read from tokens: no names are resolved that macros make, and no types. Code that is compiled
//! for tests only is left out.

use std::collections::{BTreeMap, BTreeSet};

use super::tokens::{Token, tokens};

/// Gives the source of a file, by its path from the root of the workspace.
pub(crate) type Sources<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A path that a module names.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    /// Its words, `crate`, `self` and `super` among them.
    pub(crate) words: Vec<String>,
    /// File and line.
    pub(crate) place: String,
}

/// A module: a file, or a part of one in braces.
#[derive(Debug, Default)]
pub(crate) struct Module {
    /// Its path from the root of the crate.
    pub(crate) path: Vec<String>,
    parent: usize,
    children: BTreeMap<String, usize>,
    /// Types, functions and the like that it defines.
    items: BTreeSet<String>,
    /// Names that `use` brings in, and what they stand for.
    aliases: BTreeMap<String, Vec<String>>,
    /// Modules of which `use` brings in everything.
    globs: Vec<Vec<String>>,
    /// Every path in its code.
    pub(crate) named: Vec<Named>,
}

/// All modules of a crate; the first is its root.
#[derive(Debug)]
pub(crate) struct Crate {
    pub(crate) modules: Vec<Module>,
}

impl Crate {
    /// Reads the crate whose root is the file `root`.
    ///
    /// # Panics
    /// If a file of a module is not there.
    pub(crate) fn read(root: &str, sources: Sources) -> Self {
        let mut found = Self {
            modules: vec![Module::default()],
        };
        let folder = root.rsplit_once('/').map_or("", |(folder, _)| folder);
        let source = sources(root).unwrap_or_else(|| panic!("there is no `{root}`"));
        let tokens = tokens(&source);
        found.body(0, &tokens, root, folder, sources);
        found
    }

    /// Reads the items of a module; `folder` is where the files of its modules lie.
    fn body(
        &mut self,
        module: usize,
        tokens: &[Token],
        file: &str,
        folder: &str,
        sources: Sources,
    ) {
        let mut at = 0;
        let mut for_tests = false;
        while let Some(token) = tokens.get(at) {
            let end = item_end(tokens, at);
            let item = &tokens[at..end];
            if token.text == "#" {
                for_tests |= is_for_tests(item);
                at = end;
                continue;
            }
            if !std::mem::take(&mut for_tests) {
                self.item(module, item, file, folder, sources);
            }
            at = end;
        }
    }

    fn item(&mut self, module: usize, item: &[Token], file: &str, folder: &str, sources: Sources) {
        let word = |at: usize| item.get(at).map_or("", |token| token.text.as_str());
        // What an item is comes behind how visible it is.
        let mut at = 0;
        if word(0) == "pub" {
            at = if word(1) == "(" { closing(item, 1) } else { 1 };
        }
        if word(at) == "mod" {
            self.module(module, &item[at + 1..], file, folder, sources);
            return;
        }
        if word(at) == "use" {
            let mut leaves = Vec::new();
            use_tree(&item[at + 1..], &mut Vec::new(), &mut leaves);
            for leaf in &leaves {
                let owner = &mut self.modules[module];
                match &leaf.alias {
                    Some(alias) => {
                        owner.aliases.insert(alias.clone(), leaf.words.clone());
                    }
                    None => owner.globs.push(leaf.words.clone()),
                }
            }
            self.keep(module, leaves, file);
            return;
        }
        while ["unsafe", "async", "extern"].contains(&word(at))
            || (word(at) == "const" && word(at + 1) == "fn")
        {
            at += 1;
        }
        let defines = [
            "fn", "struct", "enum", "trait", "type", "const", "static", "union",
        ];
        if defines.contains(&word(at)) {
            self.modules[module].items.insert(word(at + 1).to_owned());
        }
        self.code(module, item, file);
    }

    /// Reads `name;` or `name { .. }`.
    fn module(
        &mut self,
        parent: usize,
        item: &[Token],
        file: &str,
        folder: &str,
        sources: Sources,
    ) {
        let name = item[0].text.clone();
        let child = self.modules.len();
        let mut path = self.modules[parent].path.clone();
        path.push(name.clone());
        self.modules.push(Module {
            path,
            parent,
            ..Module::default()
        });
        self.modules[parent].children.insert(name.clone(), child);
        let below = format!("{folder}/{name}");
        if item[1].text == "{" {
            self.body(child, &item[2..item.len() - 1], file, &below, sources);
            return;
        }
        let files = [format!("{below}.rs"), format!("{below}/mod.rs")];
        let read = files.iter().find_map(|file| Some((file, sources(file)?)));
        let (file, source) =
            read.unwrap_or_else(|| panic!("`{file}` has a module `{name}` without a file"));
        self.body(child, &tokens(&source), file, &below, sources);
    }

    /// Finds the paths in code.
    fn code(&mut self, module: usize, tokens: &[Token], file: &str) {
        let mut found = Vec::new();
        let mut at = 0;
        while at < tokens.len() {
            let token = &tokens[at];
            if token.text == "use" {
                let end = item_end(tokens, at);
                use_tree(&tokens[at + 1..end], &mut Vec::new(), &mut found);
                at = end;
                continue;
            }
            let begins = at == 0 || tokens[at - 1].text != "::";
            if token.is_word() && begins {
                let mut words = vec![token.text.clone()];
                while at + 2 < tokens.len()
                    && tokens[at + 1].text == "::"
                    && tokens[at + 2].is_word()
                {
                    words.push(tokens[at + 2].text.clone());
                    at += 2;
                }
                if words.len() > 1 {
                    let line = token.line;
                    found.push(Leaf {
                        words,
                        alias: None,
                        line,
                    });
                }
            }
            at += 1;
        }
        self.keep(module, found, file);
    }

    fn keep(&mut self, module: usize, leaves: Vec<Leaf>, file: &str) {
        let named = leaves.into_iter().map(|leaf| Named {
            words: leaf.words,
            place: format!("{file}:{}", leaf.line),
        });
        self.modules[module].named.extend(named);
    }

    /// The module in which the thing that `module` calls `words` is defined; `None` where it is of
    /// another crate or a name of the code around.
    pub(crate) fn resolve(&self, module: usize, words: &[String]) -> Option<usize> {
        self.find(module, words, 0).map(|(found, _)| found)
    }

    /// As [`resolve`](Self::resolve), and whether `words` name the module itself.
    fn find(&self, module: usize, words: &[String], depth: usize) -> Option<(usize, bool)> {
        // Two names that stand for each other do not compile, but must not hang this.
        if depth > 32 {
            return None;
        }
        let mut at = module;
        let mut rest = words;
        let mut relative = false;
        while let Some((first, after)) = rest.split_first() {
            match first.as_str() {
                "crate" => at = 0,
                "self" => {}
                "super" => at = self.modules[at].parent,
                _ => break,
            }
            (rest, relative) = (after, true);
        }
        if !relative {
            let first = rest.first()?;
            let here = &self.modules[at];
            if !here.children.contains_key(first) && !here.aliases.contains_key(first) {
                return None;
            }
        }
        self.walk(at, rest, depth)
    }

    fn walk(&self, at: usize, words: &[String], depth: usize) -> Option<(usize, bool)> {
        let Some((first, rest)) = words.split_first() else {
            return Some((at, true));
        };
        let here = &self.modules[at];
        if let Some(&child) = here.children.get(first) {
            return self.walk(child, rest, depth);
        }
        if let Some(target) = here.aliases.get(first) {
            // Itself, as in `use std::fmt`: another crate's.
            if target.first() == Some(first) {
                return None;
            }
            let (found, is_module) = self.find(at, target, depth + 1)?;
            return match is_module {
                true => self.walk(found, rest, depth),
                false => Some((found, false)),
            };
        }
        if !here.items.contains(first) {
            for glob in &here.globs {
                if let Some((from, true)) = self.find(at, glob, depth + 1)
                    && from != at
                    && self.modules[from].knows(first)
                {
                    return self.walk(from, words, depth + 1);
                }
            }
        }
        Some((at, false))
    }

    /// The modules below the first that `from` and `to` have in common, one above each; `None`
    /// where one of them lies in the other.
    pub(crate) fn apart(&self, from: usize, to: usize) -> Option<(Vec<String>, String, String)> {
        let (from, to) = (&self.modules[from].path, &self.modules[to].path);
        let same = from.iter().zip(to).take_while(|(a, b)| a == b).count();
        let (a, b) = (from.get(same)?, to.get(same)?);
        Some((from[..same].to_vec(), a.clone(), b.clone()))
    }
}

impl Module {
    fn knows(&self, name: &str) -> bool {
        self.children.contains_key(name)
            || self.items.contains(name)
            || self.aliases.contains_key(name)
    }
}

/// A path, and the name that `use` gives it.
struct Leaf {
    words: Vec<String>,
    /// `None` of everything in a module, and in code.
    alias: Option<String>,
    line: usize,
}

/// The parts of a list between the commas outside inner braces; none is empty.
fn parted_by_commas(tokens: &[Token]) -> impl Iterator<Item = &[Token]> {
    let mut depth = 0;
    let is_comma = move |token: &Token| {
        match token.text.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        depth == 0 && token.text == ","
    };
    tokens.split(is_comma).filter(|part| !part.is_empty())
}

/// The paths of `a::{b, c as d}`.
fn use_tree(tokens: &[Token], before: &mut Vec<String>, found: &mut Vec<Leaf>) {
    let length = before.len();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        match token.text.as_str() {
            "::" | ";" => at += 1,
            "{" => {
                let end = closing(tokens, at);
                for inside in parted_by_commas(&tokens[at + 1..end - 1]) {
                    use_tree(inside, &mut before.clone(), found);
                }
                return before.truncate(length);
            }
            "*" => {
                found.push(Leaf {
                    words: before.clone(),
                    alias: None,
                    line: token.line,
                });
                return before.truncate(length);
            }
            "as" => break,
            word => {
                before.push(word.to_owned());
                at += 1;
            }
        }
    }
    let mut words = before.clone();
    if words.len() > 1 && words.last().is_some_and(|word| word == "self") {
        words.pop();
    }
    let alias = match tokens.get(at).map(|token| token.text.as_str()) {
        Some("as") => tokens[at + 1].text.clone(),
        _ => words.last().cloned().unwrap_or_default(),
    };
    let line = tokens.first().map_or(0, |token| token.line);
    found.push(Leaf {
        words,
        alias: Some(alias),
        line,
    });
    before.truncate(length);
}

/// Just behind the bracket that closes the one at `at`.
fn closing(tokens: &[Token], at: usize) -> usize {
    let mut depth = 0usize;
    for (i, token) in tokens.iter().enumerate().skip(at) {
        match token.text.as_str() {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return i + 1;
        }
    }
    tokens.len()
}

/// Just behind the attribute or item that begins at `at`: its `;`, or the brace that ends it.
fn item_end(tokens: &[Token], at: usize) -> usize {
    if tokens[at].text == "#" {
        let bracket = at + 1 + usize::from(tokens[at + 1].text == "!");
        return closing(tokens, bracket);
    }
    let head = match tokens[at].text == "pub" {
        true if tokens.get(at + 1).is_some_and(|token| token.text == "(") => {
            closing(tokens, at + 1)
        }
        true => at + 1,
        false => at,
    };
    let is_use = tokens.get(head).is_some_and(|token| token.text == "use");
    let mut i = at;
    while i < tokens.len() {
        match tokens[i].text.as_str() {
            ";" => return i + 1,
            "{" => {
                let end = closing(tokens, i);
                if !is_use {
                    return end;
                }
                i = end;
            }
            "(" | "[" => i = closing(tokens, i),
            _ => i += 1,
        }
    }
    tokens.len()
}

/// Whether an attribute is `#[cfg(test)]`, or `#[cfg(all(test, ..))]`.
fn is_for_tests(attribute: &[Token]) -> bool {
    let words: Vec<&str> = attribute
        .iter()
        .filter(|token| token.is_word())
        .map(|token| token.text.as_str())
        .collect();
    words.starts_with(&["cfg", "test"]) || words.starts_with(&["cfg", "all", "test"])
}
