//! The house has floors: who may import whom. Reads every `use` and every path of the sources, and fails on a circle
//! between sibling modules or an import from a higher floor. A module and its own children may use each other: they are
//! one thing in several files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The top-level modules from the ground up: a module imports only from those before it.
const FLOORS: &[&str] = &[
    "error",
    "text",
    "version",
    "files",
    "worker_report",
    "config",
    "aws",
    "request",
    "stack",
    "enqueue",
    "worker",
    "dlq",
    "tracking",
    "status",
    "logs",
    "doctor",
    "gallery",
    "cli",
    "main",
];

/// A module's path, `["worker", "runner", "call"]`; the root is empty.
type Module = Vec<String>;
/// Module → the modules that it names, with one line that does.
type Imports = BTreeMap<Module, BTreeMap<Module, String>>;

#[test]
fn no_circles_between_siblings_and_no_import_from_above() {
    let mut complaints = Vec::new();
    for (root, floors) in [("src", Some(FLOORS)), ("crates/engine/src", None)] {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(root);
        let imports = read_imports(&root);
        assert!(
            imports.len() > 5,
            "{} has {} modules: are the sources where they were?",
            root.display(),
            imports.len()
        );
        complaints.extend(circles(&imports));
        if let Some(floors) = floors {
            complaints.extend(climbs(&imports, floors));
        }
    }
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn a_circle_and_a_climb_are_found() {
    let module = |path: &str| path.split('/').map(str::to_owned).collect::<Module>();
    let edge = |from: &str, to: &str| (module(from), BTreeMap::from([(module(to), format!("use {to}"))]));
    let imports = Imports::from([edge("a/x", "b"), edge("b", "c/y"), edge("c", "a"), edge("a", "a/x")]);
    assert_eq!(circles(&imports), ["circle: a -> b (use b) -> c (use c/y) -> a (use a)"]);
    assert_eq!(climbs(&imports, &["a", "b", "c"]), ["a/x imports from above: use b", "b imports from above: use c/y"]);
    let text = "use super::{one, two::Three as T};\nuse crate::four::{self, five::Six};\n// use crate::no\nlet x = crate::seven::f();";
    let names = paths(text).into_iter().map(|(path, _)| path.join("::")).collect::<Vec<_>>();
    assert_eq!(names, ["super::one", "super::two::Three", "crate::four", "crate::four::five::Six", "crate::seven::f"]);
}

/// The imports of every source file under a crate's root, tests left out.
fn read_imports(root: &Path) -> Imports {
    let mut files = Vec::new();
    list(root, &mut files);
    let module_of = |file: &str| -> Module {
        let path = file.trim_end_matches(".rs");
        let mut parts: Module = path.split('/').map(str::to_owned).collect();
        if parts.last().is_some_and(|last| last == "mod") || parts == ["lib"] {
            parts.pop();
        }
        parts
    };
    let names: Vec<String> =
        files.iter().filter_map(|file| Some(file.strip_prefix(root).ok()?.to_str()?.to_owned())).collect();
    let modules: BTreeSet<Module> = names.iter().map(|name| module_of(name)).collect();
    let mut imports = Imports::new();
    for (file, name) in files.iter().zip(&names) {
        let from = module_of(name);
        let text = fs::read_to_string(file).unwrap();
        // Unit tests may use whatever they test with.
        let text = text.split("#[cfg(test)]").next().unwrap_or_default();
        let named = imports.entry(from.clone()).or_default();
        for (path, line) in paths(text) {
            if let Some(to) = resolve(&from, &path, &modules).filter(|to| *to != from) {
                named.entry(to).or_insert(line);
            }
        }
    }
    imports
}

fn list(folder: &Path, files: &mut Vec<std::path::PathBuf>) {
    let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && name != "tests" {
            list(&path, files);
        } else if name.ends_with(".rs") && name != "tests.rs" {
            files.push(path);
        }
    }
}

/// Every path that begins with `crate`, `super` or `self` (or stands behind one in a group of a `use`), and its line.
fn paths(text: &str) -> Vec<(Vec<String>, String)> {
    let code: String =
        text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n");
    let mut found = Vec::new();
    let mut rest = code.as_str();
    let starts = ["crate::", "super::", "self::"];
    while let Some(at) = starts.iter().filter_map(|start| rest.find(start)).min() {
        let inside_a_word = rest[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':' || c == '$');
        let (tree, len) = tree_at(&rest[at..]);
        if !inside_a_word {
            let line = format!("use {}", rest[at..at + len].split_whitespace().collect::<Vec<_>>().join(" "));
            expand(&tree, &mut Vec::new(), &line, &mut found);
        }
        rest = &rest[at + len.max(1)..];
    }
    found
}

/// The text of a path or use tree at the start of `text`, and how long it is.
fn tree_at(text: &str) -> (String, usize) {
    let (mut depth, mut len) = (0, 0);
    for (at, c) in text.char_indices() {
        match c {
            '{' if text[..at].ends_with("::") || depth > 0 => depth += 1,
            '}' if depth > 0 => depth -= 1,
            _ if depth > 0 => {}
            _ if c.is_alphanumeric() || c == '_' || c == ':' => {}
            _ => break,
        }
        len = at + c.len_utf8();
    }
    (text[..len].to_owned(), len)
}

fn expand(tree: &str, prefix: &mut Vec<String>, line: &str, found: &mut Vec<(Vec<String>, String)>) {
    let tree = tree.trim();
    let depth = prefix.len();
    if let Some((head, group)) = tree.split_once('{') {
        prefix.extend(head.split("::").map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned));
        let group = group.trim_end().strip_suffix('}').unwrap_or(group);
        let (mut nesting, mut start) = (0, 0);
        for (at, c) in group.char_indices().chain([(group.len(), ',')]) {
            match c {
                '{' => nesting += 1,
                '}' => nesting -= 1,
                ',' if nesting == 0 => {
                    if !group[start..at].trim().is_empty() {
                        expand(&group[start..at], prefix, line, found);
                    }
                    start = at + 1;
                }
                _ => {}
            }
        }
    } else {
        let name = tree.split(" as ").next().unwrap_or_default();
        let parts = name.split("::").map(|part| part.trim().to_owned()).filter(|part| !part.is_empty());
        let mut path: Vec<String> = prefix.iter().cloned().chain(parts).collect();
        if path.len() > 1 && path.last().is_some_and(|last| last == "self" || last == "*") {
            path.pop();
        }
        found.push((path, line.to_owned()));
    }
    prefix.truncate(depth);
}

/// The deepest module that a path leads to.
fn resolve(from: &Module, path: &[String], modules: &BTreeSet<Module>) -> Option<Module> {
    let mut at: Module = from.clone();
    let mut parts = path.iter().peekable();
    match parts.next()?.as_str() {
        "crate" => at.clear(),
        "super" => drop(at.pop()?),
        _ => {}
    }
    while parts.next_if(|part| *part == "super").is_some() {
        at.pop()?;
    }
    for part in parts {
        at.push(part.clone());
        if !modules.contains(&at) {
            at.pop();
            break;
        }
    }
    Some(at)
}

/// Where two modules' ways part: the siblings that an import ties together. None within one line of descent.
fn siblings(from: &Module, to: &Module) -> Option<(Module, Module)> {
    let common = from.iter().zip(to).take_while(|(a, b)| a == b).count();
    (common < from.len() && common < to.len()).then(|| (from[..=common].to_vec(), to[..=common].to_vec()))
}

fn circles(imports: &Imports) -> Vec<String> {
    let mut edges: BTreeMap<Module, BTreeMap<Module, &str>> = BTreeMap::new();
    for (from, named) in imports {
        for (to, line) in named {
            if let Some((a, b)) = siblings(from, to) {
                edges.entry(a).or_default().entry(b).or_insert(line);
            }
        }
    }
    // Depth first; whoever is met again on the way closes a circle. Done modules are not gone through again.
    let mut done = BTreeSet::new();
    let mut found = Vec::new();
    for start in edges.keys() {
        walk(start, &edges, &mut Vec::new(), &mut done, &mut found);
    }
    found
}

fn walk<'a>(
    at: &'a Module,
    edges: &'a BTreeMap<Module, BTreeMap<Module, &str>>,
    way: &mut Vec<(&'a Module, &'a str)>,
    done: &mut BTreeSet<&'a Module>,
    found: &mut Vec<String>,
) {
    if let Some(first) = way.iter().position(|(module, _)| *module == at) {
        let steps: Vec<String> =
            way[first + 1..].iter().map(|(module, line)| format!("{} ({line})", module.join("/"))).collect();
        let closing = edges[way[way.len() - 1].0][at];
        let steps = steps.into_iter().chain([format!("{} ({closing})", at.join("/"))]).collect::<Vec<_>>();
        found.push(format!("circle: {} -> {}", at.join("/"), steps.join(" -> ")));
        return;
    }
    if done.contains(at) {
        return;
    }
    let line = way.last().map_or("", |(module, _)| edges[*module][at]);
    way.push((at, line));
    for to in edges.get(at).into_iter().flat_map(BTreeMap::keys) {
        walk(to, edges, way, done, found);
    }
    way.pop();
    done.insert(at);
}

fn climbs(imports: &Imports, floors: &[&str]) -> Vec<String> {
    let floor = |module: &Module| floors.iter().position(|floor| Some(*floor) == module.first().map(String::as_str));
    let mut found = Vec::new();
    for (from, named) in imports {
        let Some(name) = from.first() else { continue };
        let Some(own) = floor(from) else {
            found.push(format!("{name} has no floor: add it to FLOORS, above what it imports"));
            continue;
        };
        for (to, line) in named {
            if floor(to).is_some_and(|other| other > own) {
                found.push(format!("{} imports from above: {line}", from.join("/")));
            }
        }
    }
    found
}
