//! The rules of direction between modules (see `src/lib.rs`), read off the sources themselves.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first thing that is not as it should be"
)]

use std::fs;
use std::path::{Path, PathBuf};

/// Stages that do their work without the outside world.
const PURE: [&str; 6] = ["services", "stages/resolve", "decode", "stages/frame", "ack", "setup"];

/// The only files of `poll` that are not pure: sources are. The last one is for tests only.
const LOOP: [&str; 4] = ["sources/mod.rs", "sources/worker.rs", "sources/pace.rs", "sources/testing.rs"];

/// What a pure module may not touch. `Instant` and `Timestamp` are values; asking for the time is not.
const WORLD: [&str; 10] = [
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
];

/// Who may not use whom.
const FORBIDDEN: [(&str, &[&str]); 12] = [
    ("stages::receive", &["stages::fetch", "stages::send", "pipeline", "cli", "testbed", "stages::frame"]),
    (
        "stages::backfill",
        &[
            "stages::receive",
            "stages::fetch",
            "stages::send",
            "pipeline",
            "cli",
            "testbed",
            "stages::frame",
            "decode",
        ],
    ),
    (
        "stages::sources",
        &["stages::receive", "stages::fetch", "stages::send", "pipeline", "cli", "testbed", "stages::frame"],
    ),
    ("stages::fetch", &["stages::receive", "stages::send", "pipeline", "cli", "testbed", "stages::frame"]),
    ("stages::send", &["stages::receive", "stages::fetch", "pipeline", "cli", "testbed", "aws", "decode"]),
    (
        "decode",
        &[
            "stages::frame",
            "stages::receive",
            "stages::fetch",
            "stages::send",
            "pipeline",
            "cli",
            "aws",
            "config",
            "telemetry",
        ],
    ),
    (
        "services",
        &[
            "stages::receive",
            "stages::fetch",
            "stages::send",
            "pipeline",
            "cli",
            "aws",
            "config",
            "stages::frame",
        ],
    ),
    (
        "stages::resolve",
        &[
            "stages::receive",
            "stages::fetch",
            "stages::send",
            "pipeline",
            "cli",
            "aws",
            "config",
            "stages::frame",
            "decode",
        ],
    ),
    (
        "stages::frame",
        &["stages::receive", "stages::fetch", "stages::send", "pipeline", "cli", "aws", "config"],
    ),
    (
        "aws",
        &[
            "stages::receive",
            "stages::fetch",
            "stages::send",
            "pipeline",
            "cli",
            "stages::frame",
            "decode",
            "stages::resolve",
            "testbed",
        ],
    ),
    (
        "ack",
        &[
            "stages::receive",
            "stages::fetch",
            "stages::send",
            "pipeline",
            "cli",
            "aws",
            "config",
            "stages::frame",
            "decode",
            "stages::resolve",
        ],
    ),
    (
        "ledger",
        &[
            "stages::receive",
            "stages::fetch",
            "stages::send",
            "pipeline",
            "cli",
            "aws",
            "config",
            "stages::frame",
            "decode",
        ],
    ),
];

#[test]
fn no_module_uses_one_that_it_must_not_know() {
    for (module, forbidden) in FORBIDDEN {
        for (file, text) in sources(&module.replace("::", "/")) {
            for other in forbidden {
                let named =
                    text.contains(&format!("crate::{other}::")) || text.contains(&format!("crate::{other};"));
                assert!(!named, "{} uses {other}", file.display());
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
fn unsafe_code_stays_in_its_places() {
    let places = ["decode/inflate/libdeflate.rs", "decode/simd/x86.rs", "send/outq.rs"];
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
    files.into_iter().filter(|file| !file.ends_with("tests.rs")).map(text).collect()
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
