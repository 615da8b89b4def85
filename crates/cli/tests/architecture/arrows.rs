//! Which part of the program may use which: the block `arrows` of ARCHITECTURE.md, and what the
//! modules do.

use std::collections::{BTreeMap, BTreeSet};

use super::modules::{Crate, Sources};

/// How the crates of the workspace are called in code, before their folder's name.
const PREFIX: &str = "stainfree_";

/// The arrows that ARCHITECTURE.md allows.
#[derive(Debug, Default)]
pub(crate) struct Allowed {
    /// By crate, or `crate/module` for the modules at the root of a crate.
    arrows: BTreeMap<String, BTreeSet<String>>,
    /// By crate: the modules that may name it, each `crate/module/..`, in the crates of which any
    /// is listed.
    only: BTreeMap<String, Vec<String>>,
}

impl Allowed {
    /// Reads lines `a -> b c` and `a <- b c` of the block that begins with "```arrows".
    ///
    /// # Errors
    /// There is no such block, or a line is none of these.
    pub(crate) fn parse(document: &str) -> Result<Self, String> {
        let lines = document.lines().map(str::trim);
        let mut lines = lines
            .skip_while(|line| *line != "```arrows")
            .skip(1)
            .peekable();
        if lines.peek().is_none() {
            return Err("there is no block `arrows`".to_owned());
        }
        let mut allowed = Self::default();
        let lines = lines.take_while(|line| *line != "```");
        for line in lines.filter(|line| !line.is_empty()) {
            let words = |list: &str| list.split_whitespace().map(str::to_owned).collect();
            if let Some((from, to)) = line.split_once("->") {
                let to: Vec<String> = words(to);
                let from = from.trim().to_owned();
                allowed.arrows.entry(from).or_default().extend(to);
            } else if let Some((crate_, by)) = line.split_once("<-") {
                allowed.only.insert(crate_.trim().to_owned(), words(by));
            } else {
                return Err(format!("`{line}` is no arrow"));
            }
        }
        Ok(allowed)
    }

    /// Whether the modules at the root of `crate_` are listed.
    fn lists_modules(&self, crate_: &str) -> bool {
        let begin = format!("{crate_}/");
        self.arrows.keys().any(|key| key.starts_with(&begin))
    }
}

/// What is wrong with a workspace, a sentence each; none if all is well.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) sentences: Vec<String>,
    /// The arrows that something takes.
    taken: BTreeSet<(String, String)>,
    /// The modules behind `<-` that name the crate, by that crate.
    used_by: BTreeSet<(String, String)>,
}

impl Findings {
    /// Looks at a crate: its folder's name, and the file of its root.
    pub(crate) fn look(&mut self, name: &str, root: &str, sources: Sources, allowed: &Allowed) {
        let read = Crate::read(root, sources);
        self.look_at_crates(name, &read, allowed);
        self.look_at_modules(name, &read, allowed);
    }

    /// Looks at the dependencies of a crate that are of the workspace: `manifest` is its
    /// `Cargo.toml`, of which only those of the program count, not those of tests.
    pub(crate) fn look_at_manifest(
        &mut self,
        name: &str,
        file: &str,
        manifest: &str,
        allowed: &Allowed,
    ) {
        let mut inside = false;
        for (i, line) in manifest.lines().enumerate() {
            if line.starts_with('[') {
                inside = line.trim() == "[dependencies]";
            }
            let used = line.strip_prefix("stainfree-").filter(|_| inside);
            if let Some(used) = used {
                let used = used.split(['.', ' ', '=']).next().unwrap_or_default();
                self.arrow(name, used, &format!("{file}:{}", i + 1), line, allowed);
            }
        }
    }

    /// Says which arrows of ARCHITECTURE.md nothing takes: a map of what might be is none.
    pub(crate) fn look_for_idle(&mut self, allowed: &Allowed) {
        for (from, to) in &allowed.arrows {
            for to in to {
                if !self.taken.contains(&(from.clone(), to.clone())) {
                    let sentence = format!("ARCHITECTURE.md: nothing takes `{from} -> {to}`");
                    self.sentences.push(sentence);
                }
            }
        }
        for (used, by) in &allowed.only {
            for by in by {
                if !self.used_by.contains(&(used.clone(), by.clone())) {
                    let sentence = format!("ARCHITECTURE.md: `{by}` does not use `{used}`");
                    self.sentences.push(sentence);
                }
            }
        }
    }

    fn look_at_crates(&mut self, name: &str, read: &Crate, allowed: &Allowed) {
        for module in &read.modules {
            let whole = std::iter::once(name.to_owned()).chain(module.path.iter().cloned());
            let whole: Vec<String> = whole.collect();
            for named in &module.named {
                let Some(used) = named.words[0].strip_prefix(PREFIX) else {
                    continue;
                };
                let path = named.words.join("::");
                self.arrow(name, used, &named.place, &path, allowed);
                let Some(only) = allowed.only.get(used) else {
                    continue;
                };
                let concerns = |by: &&String| by.split('/').next() == Some(name);
                let listed = |by: &&String| {
                    let parts: Vec<&str> = by.split('/').collect();
                    whole.len() >= parts.len() && parts.iter().zip(&whole).all(|(a, b)| a == b)
                };
                if let Some(by) = only.iter().find(listed) {
                    self.used_by.insert((used.to_owned(), by.clone()));
                } else if only.iter().any(|by| concerns(&by)) {
                    self.sentences.push(format!(
                        "{}: `{path}`: `{}` may not use `{used}` (ARCHITECTURE.md: `{used} <-`)",
                        named.place,
                        whole.join("/")
                    ));
                }
            }
        }
    }

    fn arrow(&mut self, from: &str, to: &str, place: &str, path: &str, allowed: &Allowed) {
        if from == to {
            return;
        }
        self.taken.insert((from.to_owned(), to.to_owned()));
        match allowed.arrows.get(from) {
            Some(known) if known.contains(to) => {}
            Some(_) => self.sentences.push(format!(
                "{place}: `{path}`: `{from}` may not use `{to}` (ARCHITECTURE.md)"
            )),
            None => self.sentences.push(format!(
                "{place}: `{path}`: ARCHITECTURE.md has no arrows of `{from}`"
            )),
        }
    }

    fn look_at_modules(&mut self, name: &str, read: &Crate, allowed: &Allowed) {
        // By parent: which of its modules use which, and where first.
        let mut levels: BTreeMap<Vec<String>, Graph> = BTreeMap::new();
        for (from, module) in read.modules.iter().enumerate() {
            for named in &module.named {
                let Some(to) = read.resolve(from, &named.words) else {
                    continue;
                };
                let Some((parent, from, to)) = read.apart(from, to) else {
                    continue;
                };
                let path = named.words.join("::");
                if parent.is_empty() && allowed.lists_modules(name) {
                    let [from, to] = [&from, &to].map(|module| format!("{name}/{module}"));
                    self.arrow(&from, &to, &named.place, &path, allowed);
                }
                let place = format!("{}: `{path}`", named.place);
                let graph = levels.entry(parent).or_default();
                graph.entry(from).or_default().entry(to).or_insert(place);
            }
        }
        for (parent, graph) in &levels {
            for cycle in cycles(graph) {
                let whole = std::iter::once(name).chain(parent.iter().map(String::as_str));
                let whole: Vec<&str> = whole.collect();
                let mut sentence = format!("modules of `{}` use each other:", whole.join("/"));
                for (from, to) in &cycle {
                    let place = &graph[from][to];
                    sentence.push_str(&format!("\n  {from} -> {to} at {place}"));
                }
                self.sentences.push(sentence);
            }
        }
    }
}

/// Which modules use which, and where first.
type Graph = BTreeMap<String, BTreeMap<String, String>>;

/// The arrows among each set of modules that reach one another.
fn cycles(graph: &Graph) -> Vec<Vec<(String, String)>> {
    let reached = |from: &String| {
        let mut found = BTreeSet::new();
        let mut next = vec![from];
        while let Some(module) = next.pop() {
            let used = graph.get(module).into_iter().flat_map(BTreeMap::keys);
            next.extend(used.filter(|used| found.insert((*used).clone())));
        }
        found
    };
    let reach: BTreeMap<&String, BTreeSet<String>> = graph
        .keys()
        .map(|module| (module, reached(module)))
        .collect();
    let together = |a: &String, b: &String| {
        let reaches = |a, b: &String| reach.get(a).is_some_and(|found| found.contains(b));
        reaches(a, b) && reaches(b, a)
    };
    let mut found = Vec::new();
    let mut seen: BTreeSet<&String> = BTreeSet::new();
    for module in graph.keys().filter(|module| together(module, module)) {
        if seen.contains(module) {
            continue;
        }
        let members = graph.keys().filter(|other| together(module, other));
        let members: BTreeSet<&String> = members.collect();
        let arrows = members.iter().flat_map(|from| {
            let used = graph[*from].keys().filter(|to| members.contains(to));
            used.map(|to| ((*from).clone(), to.clone()))
        });
        found.push(arrows.collect());
        seen.extend(members);
    }
    found
}
