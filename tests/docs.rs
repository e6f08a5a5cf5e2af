//! The documentation matches the program.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first failure"
)]

use std::fs;
use std::path::{Path, PathBuf};

use aws_to_devo::config::{self, endings, ignored, keys, registry, vendor};
use aws_to_devo::setup;
use aws_to_devo::telemetry::Snapshot;
use aws_to_devo::telemetry::reporters::metrics;

/// Set it to regenerate the generated parts: `UPDATE_DOCS=1 cargo test --test docs`.
const UPDATE: &str = "UPDATE_DOCS";

#[test]
fn generated_parts_are_up_to_date() {
    is_generated("troubleshooting.md", "errors", &vendor::markdown());
    is_generated("troubleshooting.md", "never", &vendor::never_markdown());
    is_generated("configuration.md", "keys", &keys::markdown());
    is_generated("monitoring.md", "endings", &aws_to_devo::telemetry::model::endings::table());
    is_generated("configuration.md", "ignored", &ignored::markdown());
    is_generated("monitoring.md", "metrics", &metrics::table());
    is_generated("services.md", "endings", &endings::markdown());
}

#[test]
fn every_service_and_its_tables_are_documented() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/services.md")).unwrap();
    let in_tables: Vec<&str> = text.lines().filter(|line| line.starts_with("| `")).collect();
    for row in registry::rows() {
        let name = format!("`{}`", row.name);
        assert!(in_tables.iter().any(|line| line.contains(&name)), "{name} stands in no table");
    }
    for line in &in_tables {
        for name in line.split('`').filter(|word| word.starts_with("aws_sqs_")) {
            assert!(registry::row(name).is_some(), "{name} is no service");
        }
    }
}

#[test]
fn the_definitions_file_of_the_documentation_can_be_used() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/services.md")).unwrap();
    let blocks: Vec<&str> =
        text.split("```yaml\n").skip(1).filter_map(|block| block.split("```").next()).collect();
    let [globals, definitions] = blocks.as_slice() else { panic!("two examples") };
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("collector.yaml"), globals).unwrap();
    fs::write(folder.path().join("my-services.yaml"), definitions).unwrap();
    let catalog = config::catalog(&folder.path().join("collector.yaml"));
    let catalog = catalog.unwrap_or_else(|problems| panic!("{problems}"));
    let own: Vec<&str> =
        catalog.rows()[registry::rows().len()..].iter().map(|row| row.name.as_str()).collect();
    assert_eq!(own, ["shop_orders", "everything"]);
}

/// The sample that `deploy/install` copies to /etc.
#[test]
fn the_sample_configuration_lacks_nothing_but_the_certificates() {
    let folder = tempfile::tempdir().unwrap();
    let sample = folder.path().join("config.yaml");
    fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/config.yaml"), &sample).unwrap();
    let problems = config::load(&sample, &config::Environment::here())
        .expect_err("the certificates are missing")
        .to_string();
    let errors: Vec<&str> = problems.lines().filter(|line| line.starts_with("error: ")).collect();
    for (error, key) in errors.iter().zip(["chain", "cert", "key"]) {
        assert!(error.contains(&format!(": outputs.devo_1.config.{key}: cannot read")), "{error}");
    }
    assert_eq!(errors.len(), 3, "{problems}");
}

#[test]
fn every_pitfall_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("docs/pitfalls.md")).unwrap();
    let is_row = |line: &&str| line.starts_with("| ") && !line.starts_with("| what goes wrong");
    let rows: Vec<&str> = text.lines().filter(is_row).collect();
    assert!(rows.len() >= 28, "{} rows", rows.len());
    for row in rows {
        let proofs = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        assert!(tests_exist(proofs) > 0, "no test: {row}");
    }
}

#[test]
fn what_the_sources_are_tried_with_names_tests_that_exist() {
    let text = fs::read_to_string(docs().join("api_sources.md")).unwrap();
    let (_, matrix) = text.split_once("## What they are tried with\n").expect("the matrix");
    let cells = matrix.lines().filter(|line| line.starts_with("| ") && line.contains("::"));
    let cells: Vec<&str> = cells.flat_map(|row| row.trim_matches('|').split(" | ").skip(1)).collect();
    assert!(cells.len() >= 4 * 8, "{} cells", cells.len());
    cells.iter().for_each(|cell| assert!(tests_exist(cell) > 0, "no test: {cell}"));
}

/// The number of tests named in the text as `file::test`; each must exist.
fn tests_exist(text: &str) -> usize {
    let names: Vec<(&str, &str)> = text.split('`').filter_map(|word| word.split_once("::")).collect();
    for (file, test) in &names {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let source = fs::read_to_string(path).unwrap_or_else(|error| panic!("{file}: {error}"));
        // Property tests have arguments.
        let found = source
            .split("#[test]")
            .skip(1)
            .any(|after| after.lines().any(|line| line.trim_start().starts_with(&format!("fn {test}("))));
        assert!(found, "{file} has no test {test}");
    }
    names.len()
}

#[test]
fn the_quick_starts_configuration_makes_a_stack() {
    let text = fs::read_to_string(docs().join("quick-start.md")).unwrap();
    let example =
        text.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.yaml");
    fs::write(&file, example).unwrap();
    let config = config::load_inputs(&file, &config::Environment::here()).unwrap_or_else(|p| panic!("{p}"));
    let stack = setup::template(&setup::Needs::of(&config, &[]).unwrap(), &setup::Wishes::default()).unwrap();
    for output in ["ReaderPolicyArn", "SqsCollectorBucketName"] {
        assert!(stack.json["Outputs"][output].is_object() && text.contains(output), "{output}");
    }
}

/// The part of a page between `<!-- NAME -->` and `<!-- /NAME -->`.
fn is_generated(page: &str, name: &str, expected: &str) {
    let path = docs().join(page);
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(&format!("<!-- {name} -->\n")).expect("the part's beginning");
    let (part, after) = rest.split_once(&format!("<!-- /{name} -->")).expect("the part's end");
    if part == expected {
        return;
    }
    assert!(std::env::var_os(UPDATE).is_some(), "docs/{page} is stale: {UPDATE}=1 cargo test --test docs");
    fs::write(&path, format!("{before}<!-- {name} -->\n{expected}<!-- /{name} -->{after}")).unwrap();
}

#[test]
fn links_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = files_below(&docs());
    pages.extend(fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()));
    pages.retain(|page| page.extension().is_some_and(|extension| extension == "md"));
    for page in pages {
        let text = fs::read_to_string(&page).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            assert!(leads_somewhere(&page, link), "{}: {link}", page.display());
        }
    }
}

/// Comments and messages cite pages, and their sections as `docs/PAGE.md#SECTION`.
#[test]
fn pages_that_are_cited_in_the_code_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let citations = regex::Regex::new("docs/[a-z_/-]+[.](?:md|svg)(?:#[a-z0-9-]+)?").unwrap();
    let mut cited = 0;
    for folder in ["src", "tests", "benches", "fuzz/fuzz_targets", "scripts", "deploy"] {
        for file in files_below(&root.join(folder)) {
            let Ok(text) = fs::read_to_string(&file) else { continue };
            for citation in citations.find_iter(&text) {
                assert!(
                    leads_somewhere(&root.join("any"), citation.as_str()),
                    "{}: {}",
                    file.display(),
                    citation.as_str()
                );
                cited += 1;
            }
        }
    }
    assert!(cited > 10, "{cited} citations");
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

#[test]
fn dashboard_and_alerts_name_metrics_that_exist() {
    let families = metrics::families(&Snapshot::default());
    let is_known = |name: &str| families.iter().any(|family| family.name == name);
    let names = regex::Regex::new("(aws_to_devo|process)_[a-z0-9_]+").unwrap();
    for file in ["deploy/grafana/aws-to-devo.json", "deploy/prometheus/aws-to-devo.rules.yml"] {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
        let named: Vec<&str> = names.find_iter(&text).map(|found| found.as_str()).collect();
        assert!(named.len() >= 15, "{file}");
        for name in named {
            assert!(is_known(name), "{file} names {name}, which is no metric");
        }
    }
    let dashboard =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/grafana/aws-to-devo.json"));
    let dashboard: serde_json::Value = serde_json::from_str(&dashboard.unwrap()).unwrap();
    assert!(dashboard["panels"].as_array().is_some_and(|panels| !panels.is_empty()));
}

/// Checks a file, and its heading if one is named; other sites are not checked.
fn leads_somewhere(page: &Path, link: &str) -> bool {
    if link.starts_with("https://") || link.starts_with("http://") {
        return true;
    }
    let (file, heading) = link.split_once('#').unwrap_or((link, ""));
    let target = if file.is_empty() { page.to_owned() } else { page.parent().unwrap().join(file) };
    let Ok(text) = fs::read_to_string(&target) else { return target.exists() && heading.is_empty() };
    heading.is_empty() || text.lines().any(|line| line.starts_with('#') && anchor(line) == heading)
}

/// The anchor that repository hosts derive from a heading.
fn anchor(heading: &str) -> String {
    let title = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")
}
