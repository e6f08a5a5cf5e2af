//! Modules know downwards only: what `src/lib.rs` says of layers, read off the sources themselves.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first failure"
)]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// Circles that are still there: the modules of each, in order. The list can only shrink.
const KNOWN: &[&str] = &[];

/// Parts that do their work without the outside world.
const PURE: [&str; 6] = ["services", "stages/resolve", "decode", "stages/frame", "ack", "setup"];

/// The only files of `stages/sources` that are not pure: sources are. The last one is for tests only.
const LOOP: [&str; 4] = ["sources/mod.rs", "sources/pull_loop.rs", "sources/pace.rs", "sources/testing.rs"];

/// What a pure module may not touch. `Instant` and `Timestamp` are values; asking for the time is not.
const WORLD: [&str; 15] = [
    "std::net",
    "std::fs",
    "std::thread",
    "Instant::now",
    "SystemTime::now",
    "Timestamp::now",
    "ureq::",
    "std::env",
    "std::process",
    "thread::sleep",
    "thread::spawn",
    "clock::now",
    "clock::since",
    "clock::wall",
    "clock::timestamp",
];

/// Functions that decide in which order things happen. Only [`RUNTIME`] uses them, so that a simulation can replace them.
const ORDER: [&str; 13] = [
    "Instant::now",
    "SystemTime::now",
    "Timestamp::now",
    ".elapsed()",
    "crossbeam_channel",
    "rayon::",
    "thread::Builder",
    "thread::spawn",
    "thread::sleep",
    "thread::park",
    "thread::scope",
    "sync::mpsc",
    "sync::Condvar",
];

/// The modules with that, and what runs outside of a simulated pipeline: commands, servers, the children of a credential
/// process, and look-ups of names.
const RUNTIME: [&str; 9] = [
    "base/runtime/",
    "cli/",
    "http/",
    "lab/",
    "status/",
    "testbed/",
    "aws/chain/process.rs",
    "aws/chain/metadata.rs",
    "aws/names.rs",
];

/// Pairs of which neither leads to a circle, and which are kept apart all the same: the first does not know the second.
const APART: [(&str, &[&str]); 8] = [
    ("stages::receive", &["stages::fetch", "stages::send", "stages::frame", "decode"]),
    ("stages::backfill", &["stages::receive", "stages::fetch", "stages::send", "stages::frame", "decode"]),
    ("stages::sources", &["stages::receive", "stages::fetch", "stages::send", "stages::frame"]),
    ("stages::fetch", &["stages::receive", "stages::send", "stages::frame"]),
    ("stages::send", &["stages::receive", "stages::fetch", "aws", "decode"]),
    ("stages", &["config"]),
    ("aws", &["ack", "decode", "services", "ledger"]),
    ("base", &["ack", "decode", "services", "settings", "telemetry", "aws", "ledger", "handoff", "stages"]),
];

#[test]
fn no_module_is_known_by_one_that_it_knows() {
    let house = House::read();
    let mut found = BTreeMap::new();
    for (level, graph) in house.graphs() {
        for circle in circles(&graph) {
            let names: Vec<&str> = circle.iter().map(String::as_str).collect();
            let key = names.join(" ");
            let shown = shown(&level, &graph, &circle);
            found.insert(key, shown);
        }
    }
    let mut report = String::new();
    for (key, shown) in found.iter().filter(|(key, _)| !KNOWN.contains(&key.as_str())) {
        let _ = writeln!(report, "{shown}    its modules: {key:?}");
    }
    assert!(report.is_empty(), "modules know each other in a circle:\n{report}");
    let gone: Vec<_> = KNOWN.iter().filter(|key| !found.contains_key(**key)).collect();
    assert!(gone.is_empty(), "these circles are gone; take them off the list: {gone:#?}");
}

#[test]
fn parts_that_are_kept_apart_do_not_know_each_other() {
    let is_in = |module: &[String], part: &str| {
        let part: Vec<&str> = part.split("::").collect();
        module.len() >= part.len() && module.iter().zip(&part).all(|(own, asked)| own == asked)
    };
    for edge in House::read().edges {
        for (part, others) in APART {
            for other in others.iter().filter(|_| is_in(&edge.from, part)) {
                assert!(!is_in(&edge.to, other), "{} uses {other}: {}", edge.from.join("::"), edge.by);
            }
        }
    }
}

#[test]
fn pure_modules_do_not_touch_the_world() {
    let of_loop = |file: &Path| LOOP.iter().any(|name| file.ends_with(name));
    let polled = sources("stages/sources").into_iter().filter(|(file, _)| !of_loop(file));
    for (file, text) in PURE.into_iter().flat_map(sources).chain(polled) {
        for part in WORLD {
            assert!(!text.contains(part), "{} uses {part}", file.display());
        }
    }
}

#[test]
fn time_threads_and_channels_are_those_of_the_runtime() {
    for (file, text) in sources("") {
        let place = file.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap();
        let name = place.to_string_lossy();
        if RUNTIME.iter().any(|part| name.starts_with(part)) || name.ends_with("testing.rs") {
            continue;
        }
        let imports = text.contains("base::runtime");
        for part in ORDER {
            // The runtime's threads are written like those of `std`, where they are imported.
            let is_own = imports && ["thread::spawn", "thread::sleep"].contains(&part);
            let part = if is_own { format!("std::{part}") } else { part.to_owned() };
            let found = text.lines().find(|line| line.contains(&part));
            assert!(found.is_none(), "{name} uses {part}: {}", found.unwrap_or_default().trim());
        }
    }
}

#[test]
fn unsafe_code_stays_in_its_places() {
    let places = [
        "base/allocator.rs",
        "decode/inflate/libdeflate.rs",
        "decode/simd/neon.rs",
        "decode/simd/x86.rs",
        "frame/lines.rs",
        "send/outq.rs",
    ];
    let found: Vec<_> = sources("")
        .into_iter()
        .filter(|(_, text)| text.lines().any(|line| line.contains("unsafe {") || line.contains("unsafe fn")))
        .map(|(file, _)| file)
        .collect();
    for file in &found {
        assert!(places.iter().any(|place| file.ends_with(place)), "unsafe code in {}", file.display());
    }
    assert_eq!(found.len(), places.len(), "a place is listed that holds none: {found:?}");
}

/// Whether a value is intact whose thread died while holding its lock is decided once. The runtime's locks pass it on, as
/// those of `std` do.
#[test]
fn a_poisoned_lock_is_handled_in_one_place() {
    let places = ["base/locks.rs", "base/runtime/sync.rs"];
    let others =
        sources("").into_iter().filter(|(file, _)| !places.iter().any(|place| file.ends_with(place)));
    for (file, text) in others {
        let text: String = text.split_whitespace().collect();
        for guard in [".lock()", ".read()", ".write()"] {
            for way in [".unwrap_or_else(", ".ok()"] {
                assert!(!text.contains(&format!("{guard}{way}")), "{}: {guard}{way}", file.display());
            }
        }
        for name in ["PoisonError", "|poisoned|", "Err(poisoned)"] {
            assert!(!text.contains(name), "{} has its own way with a poisoned lock: {name}", file.display());
        }
    }
}

/// A command that ignores a failed write must not end as if it had printed everything, so all writes are noted. The
/// others ask what standard output is, or confirm each record that they print.
#[test]
fn standard_output_is_written_in_one_place() {
    let places = ["base/out.rs", "send/console.rs"];
    let harmless = ["stdout().is_terminal()", "ProgressDrawTarget::stdout()", ".stdout(Stdio", "Command"];
    let others =
        sources("").into_iter().filter(|(file, _)| !places.iter().any(|place| file.ends_with(place)));
    for (file, text) in others {
        let mut lines = text.lines().filter(|line| !harmless.iter().any(|form| line.contains(form)));
        let found =
            lines.find(|line| ["stdout()", " print!(", "println!("].iter().any(|way| line.contains(way)));
        let is_answer_to_parent = file.ends_with("bench/stand_in.rs");
        assert!(found.is_none() || is_answer_to_parent, "{}: {}", file.display(), found.unwrap_or_default());
    }
}

/// `crate::`, `super::` and paths through children are found, in `use` lines with braces as well as in code; tests, and
/// what only looks like a path, are not.
#[test]
fn every_way_of_naming_a_module_is_read() {
    let text = r#"
        //! `crate::comment`
        use crate::{a, b::{self, c::D}, e as f};
        pub(in crate::seen) use super::g::*;
        #[cfg(test)]
        use crate::only_in_tests;
        fn code() -> crate::h::I { log!("{} crate::in_text", super::super::j::k()); child::l(Vec::<crate::m::N>::new()) }
        mod inline { fn code() { super::child::o(); } }
        #[cfg(test)]
        mod tests { use crate::also_in_tests; }
    "#;
    let own = ["x".to_owned(), "y".to_owned()];
    let mut found = Vec::new();
    read(text.parse().unwrap(), &own, &mut found, &mut Vec::new());
    let modules = ["x::y", "x::y::child"].map(|name| name.split("::").map(str::to_owned).collect::<Vec<_>>());
    let mut absolute: Vec<String> = found
        .iter()
        .filter_map(|path| Some(path.absolute(&modules.iter().cloned().collect())?.join("::")))
        .collect();
    absolute.sort();
    assert_eq!(
        absolute,
        ["a", "b", "b::c::D", "e", "h::I", "j::k", "m::N", "x::g::*", "x::y::child::l", "x::y::child::o"]
    );
}

#[test]
fn a_circle_is_found_and_its_way_is_shown() {
    let edge = |from: &str, to: &str| Edge {
        from: vec![from.into()],
        to: vec![to.into()],
        by: format!("crate::{to}::X"),
    };
    let house = House { edges: vec![edge("a", "b"), edge("b", "c"), edge("c", "a"), edge("c", "d")] };
    let (level, graph) = house.graphs().remove(0);
    let found = circles(&graph);
    assert_eq!(found, [BTreeSet::from(["a".to_owned(), "b".to_owned(), "c".to_owned()])]);
    let shown = shown(&level, &graph, &found[0]);
    assert!(shown.contains("a -> b (crate::b::X)") && shown.contains("c -> a (crate::a::X)"), "{shown}");
}

/// All modules of the library, by what they say of each other.
struct House {
    edges: Vec<Edge>,
}

/// One module names another.
struct Edge {
    from: Vec<String>,
    to: Vec<String>,
    /// The queue as written.
    by: String,
}

/// Which names which, and by what path.
type Graph = BTreeMap<String, BTreeMap<String, String>>;

impl House {
    fn read() -> House {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut files = Vec::new();
        collect(&root, &mut files);
        let mut texts: BTreeMap<Vec<String>, Vec<Written>> = BTreeMap::new();
        let mut tests = Vec::new();
        for file in files.iter().filter(|file| !file.ends_with("main.rs")) {
            let own = module_of(file.strip_prefix(&root).unwrap());
            let stream: TokenStream = fs::read_to_string(file).unwrap().parse().unwrap();
            read(stream, &own, texts.entry(own.clone()).or_default(), &mut tests);
        }
        texts.retain(|module, _| !tests.iter().any(|test: &Vec<String>| module.starts_with(test)));
        let modules: BTreeSet<Vec<String>> = texts.keys().cloned().collect();
        let exported = exported(&texts, &modules);
        let mut edges = Vec::new();
        for (from, paths) in &texts {
            for path in paths {
                let Some(absolute) = path.absolute(&modules) else { continue };
                let to = home(&absolute, &modules, &exported, 8);
                if !to.is_empty() && to != *from && !from.is_empty() {
                    edges.push(Edge { from: from.clone(), to, by: path.segments.join("::") });
                }
            }
        }
        House { edges }
    }

    /// The files with each other, then the children of each folder with each other.
    fn graphs(&self) -> Vec<(String, Graph)> {
        let mut graphs = BTreeMap::<String, Graph>::new();
        let mut add = |level: String, from: String, to: String, by: &str| {
            graphs
                .entry(level)
                .or_default()
                .entry(from)
                .or_default()
                .entry(to)
                .or_insert_with(|| by.to_owned());
        };
        for Edge { from, to, by } in &self.edges {
            add("files".to_owned(), from.join("::"), to.join("::"), by);
            let common = from.iter().zip(to).take_while(|(one, other)| one == other).count();
            if from.len() > common && to.len() > common {
                let folder = from[..common].join("::");
                let way = format!("{}: {by}", from.join("::"));
                let child = |path: &[String]| path[..=common].join("::");
                add(format!("folders of src::{folder}"), child(from), child(to), &way);
            }
        }
        graphs.into_iter().collect()
    }
}

/// A path as a module writes it.
struct Written {
    segments: Vec<String>,
    /// The module that it stands in, inline ones included.
    scope: Vec<String>,
    is_use: bool,
}

impl Written {
    /// The path from the crate's root. None: it leads out of the crate, or names something of the module's own.
    fn absolute(&self, modules: &BTreeSet<Vec<String>>) -> Option<Vec<String>> {
        let first = self.segments.first()?;
        if first == "crate" {
            return Some(self.segments[1..].to_vec());
        }
        let mut base = self.scope.clone();
        let ups = self.segments.iter().take_while(|name| ["self", "super"].contains(&name.as_str())).count();
        for _ in self.segments[..ups].iter().filter(|name| *name == "super") {
            base.pop()?;
        }
        base.extend_from_slice(&self.segments[ups..]);
        let child = || modules.contains(&[self.scope.as_slice(), std::slice::from_ref(first)].concat());
        (ups > 0 || child()).then_some(base)
    }
}

/// For each module: names that it passes on, and where they come from.
fn exported(
    texts: &BTreeMap<Vec<String>, Vec<Written>>,
    modules: &BTreeSet<Vec<String>>,
) -> BTreeMap<Vec<String>, Vec<String>> {
    let mut exported = BTreeMap::new();
    for (module, paths) in texts {
        for path in paths.iter().filter(|path| path.is_use && path.scope == *module) {
            if let Some(absolute) = path.absolute(modules) {
                let name = absolute.last().cloned().unwrap_or_default();
                exported.insert([module.as_slice(), &[name]].concat(), absolute);
            }
        }
    }
    exported
}

/// The module in which that is written down.
fn home(
    path: &[String],
    modules: &BTreeSet<Vec<String>>,
    exported: &BTreeMap<Vec<String>, Vec<String>>,
    patience: u32,
) -> Vec<String> {
    let known = (0..=path.len()).rev().find(|length| modules.contains(&path[..*length])).unwrap_or(0);
    let passed_on = path.get(..=known).and_then(|name| exported.get(name).filter(|from| *from != name));
    match passed_on.filter(|_| patience > 0) {
        Some(from) => home(&[from.as_slice(), &path[known + 1..]].concat(), modules, exported, patience - 1),
        None => path[..known].to_vec(),
    }
}

/// Adds the paths of `stream`, which stands in module `scope`, and the modules in files that are for tests only.
fn read(stream: TokenStream, scope: &[String], paths: &mut Vec<Written>, tests: &mut Vec<Vec<String>>) {
    let tokens: Vec<TokenTree> = stream.into_iter().collect();
    let mut at = 0;
    while at < tokens.len() {
        if is_for_tests(&tokens[at..]) {
            let end = end_of_item(&tokens, at);
            tests.extend(name_of_module(&tokens[at..end]).map(|name| [scope, &[name]].concat()));
            at = end;
        } else if is_ident(tokens.get(at), "use") {
            at = read_use(&tokens, at + 1, &[], scope, paths);
        } else if is_ident(tokens.get(at), "mod") && is_brace(tokens.get(at + 2)) {
            let inner = [scope, &[tokens[at + 1].to_string()]].concat();
            if let Some(TokenTree::Group(group)) = tokens.get(at + 2) {
                read(group.stream(), &inner, paths, tests);
            }
            at += 3;
        } else if is_ident(tokens.get(at), "pub") && matches!(tokens.get(at + 1), Some(TokenTree::Group(_))) {
            // Who may see it, such as `pub(in crate::a)`, is no knowledge.
            at += 2;
        } else if let TokenTree::Group(group) = &tokens[at] {
            read(group.stream(), scope, paths, tests);
            at += 1;
        } else {
            at = read_path(&tokens, at, scope, paths);
        }
    }
}

/// A path of at least two names, or one token of something else.
fn read_path(tokens: &[TokenTree], at: usize, scope: &[String], paths: &mut Vec<Written>) -> usize {
    let mut segments = Vec::new();
    let mut next = at;
    while let Some(TokenTree::Ident(name)) = tokens.get(next) {
        segments.push(name.to_string());
        next += 1;
        if !is_colons(&tokens[next..]) || !matches!(tokens.get(next + 2), Some(TokenTree::Ident(_))) {
            break;
        }
        next += 2;
    }
    if segments.len() > 1 {
        paths.push(Written { segments, scope: scope.to_vec(), is_use: false });
    }
    // What comes after generics (`Vec::<T>::new`) begins no path.
    while is_colons(&tokens[next.min(tokens.len())..])
        && matches!(tokens.get(next + 2), Some(TokenTree::Ident(_)))
    {
        next += 3;
    }
    next.max(at + 1)
}

/// One branch of a `use`, up to what ends it.
fn read_use(
    tokens: &[TokenTree],
    mut at: usize,
    prefix: &[String],
    scope: &[String],
    paths: &mut Vec<Written>,
) -> usize {
    let mut segments = prefix.to_vec();
    loop {
        match tokens.get(at) {
            Some(TokenTree::Group(group)) => {
                let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                let mut branch = 0;
                while branch < inner.len() {
                    branch = read_use(&inner, branch, &segments, scope, paths);
                }
                return end_of_branch(tokens, at);
            }
            Some(TokenTree::Ident(name)) if name == "self" && !segments.is_empty() => at += 1,
            Some(TokenTree::Ident(name)) if name == "as" => {
                return finish(tokens, at, segments, scope, paths);
            }
            Some(TokenTree::Ident(name)) => {
                segments.push(name.to_string());
                at += 1;
            }
            Some(TokenTree::Punct(punct)) if punct.as_char() == ':' => at += 1,
            Some(TokenTree::Punct(punct)) if punct.as_char() == '*' => {
                segments.push("*".to_owned());
                at += 1;
            }
            _ => return finish(tokens, at, segments, scope, paths),
        }
    }
}

fn finish(
    tokens: &[TokenTree],
    at: usize,
    segments: Vec<String>,
    scope: &[String],
    paths: &mut Vec<Written>,
) -> usize {
    paths.push(Written { segments, scope: scope.to_vec(), is_use: true });
    end_of_branch(tokens, at)
}

/// Behind the comma or semicolon.
fn end_of_branch(tokens: &[TokenTree], at: usize) -> usize {
    let ends = |token: &TokenTree| matches!(token, TokenTree::Punct(p) if [',', ';'].contains(&p.as_char()));
    tokens[at..].iter().position(ends).map_or(tokens.len(), |length| at + length + 1)
}

/// `#[cfg(test)]`, `#[cfg(all(test, …))]`.
fn is_for_tests(tokens: &[TokenTree]) -> bool {
    let [TokenTree::Punct(hash), TokenTree::Group(attribute), ..] = tokens else { return false };
    let text = attribute.to_string().replace(' ', "");
    hash.as_char() == '#' && (text == "[cfg(test)]" || text.starts_with("[cfg(all(test"))
}

/// Behind the item, field or statement that begins with attributes at `at`.
fn end_of_item(tokens: &[TokenTree], at: usize) -> usize {
    let ends = |token: &TokenTree| match token {
        TokenTree::Punct(punct) => [',', ';'].contains(&punct.as_char()),
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        _ => false,
    };
    tokens[at..].iter().position(ends).map_or(tokens.len(), |length| at + length + 1)
}

/// The name, if the item is a module in a file of its own.
fn name_of_module(item: &[TokenTree]) -> Option<String> {
    let at = item.iter().position(|token| is_ident(Some(token), "mod"))?;
    (at + 3 == item.len() && !is_brace(item.get(at + 2))).then(|| item[at + 1].to_string())
}

fn is_ident(token: Option<&TokenTree>, name: &str) -> bool {
    matches!(token, Some(TokenTree::Ident(ident)) if ident == name)
}

fn is_brace(token: Option<&TokenTree>) -> bool {
    matches!(token, Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace)
}

fn is_colons(tokens: &[TokenTree]) -> bool {
    let is_colon = |token: &TokenTree| matches!(token, TokenTree::Punct(punct) if punct.as_char() == ':');
    tokens.len() >= 2 && tokens[..2].iter().all(is_colon)
}

/// Sets of nodes each of which leads to all others of its set.
fn circles(graph: &Graph) -> Vec<BTreeSet<String>> {
    let reached: BTreeMap<&String, BTreeSet<&String>> =
        graph.keys().map(|node| (node, from(graph, node))).collect();
    let mut circles = BTreeSet::new();
    for (node, all) in &reached {
        let both = all.iter().filter(|other| reached.get(*other).is_some_and(|back| back.contains(node)));
        let circle: BTreeSet<String> = both.map(|other| (*other).clone()).collect();
        if circle.len() > 1 {
            circles.insert(circle);
        }
    }
    circles.into_iter().collect()
}

/// All that can be reached from a node; the node itself, if there is a way back.
fn from<'g>(graph: &'g Graph, node: &'g String) -> BTreeSet<&'g String> {
    let mut reached = BTreeSet::new();
    let mut open = vec![node];
    while let Some(next) = open.pop() {
        for other in graph.get(next).into_iter().flat_map(BTreeMap::keys) {
            if reached.insert(other) {
                open.push(other);
            }
        }
    }
    reached
}

/// The shortest way through a circle and back, a line for each step.
fn shown(level: &str, graph: &Graph, circle: &BTreeSet<String>) -> String {
    let ways = circle.iter().filter_map(|node| way_back(graph, node));
    let way = ways.min_by_key(Vec::len).unwrap_or_default();
    let mut text = format!("{level}:\n");
    for pair in way.windows(2) {
        let _ = writeln!(text, "    {} -> {} ({})", pair[0], pair[1], graph[pair[0]][pair[1]]);
    }
    text
}

/// The shortest way from a node to itself.
fn way_back<'g>(graph: &'g Graph, node: &'g String) -> Option<Vec<&'g String>> {
    let mut open = VecDeque::from([vec![node]]);
    let mut seen = BTreeSet::new();
    while let Some(way) = open.pop_front() {
        for other in graph.get(*way.last()?).into_iter().flat_map(BTreeMap::keys) {
            if other == node {
                return Some([way.as_slice(), &[node]].concat());
            }
            if seen.insert(other) {
                open.push_back([way.as_slice(), &[other]].concat());
            }
        }
    }
    None
}

/// `a/b.rs` and `a/b/mod.rs` are `a::b`.
fn module_of(file: &Path) -> Vec<String> {
    let text = file.with_extension("");
    let mut names: Vec<String> = text.iter().map(|name| name.to_string_lossy().into_owned()).collect();
    if names.last().is_some_and(|last| ["mod", "lib"].contains(&last.as_str())) {
        names.pop();
    }
    names
}

/// The module's files with their text, tests left out.
fn sources(module: &str) -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(module), &mut files);
    assert!(!files.is_empty(), "no sources of {module:?}");
    let text = |file: PathBuf| {
        let text = fs::read_to_string(&file).unwrap();
        let code = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap().to_owned();
        (file, code)
    };
    let is_of_tests = |file: &PathBuf| file.ends_with("tests.rs") || file.iter().any(|part| part == "tests");
    files.into_iter().filter(|file| !is_of_tests(file)).map(text).collect()
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}
