//! The documentation names what there is.

use std::fs;
use std::path::Path;

use aws_to_devo::config::{self, registry};
use aws_to_devo::telemetry::metrics;

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
    let catalog = registry::Catalog::of_configuration(&folder.path().join("collector.yaml"));
    let catalog = catalog.unwrap_or_else(|problems| panic!("{problems}"));
    let own: Vec<&str> =
        catalog.rows()[registry::rows().len()..].iter().map(|row| row.name.as_str()).collect();
    assert_eq!(own, ["shop_orders", "everything"]);
}

/// The sample that `deploy/install` puts into /etc.
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
        assert!(error.starts_with(&format!("error: outputs.devo_1.config.{key}: cannot read")), "{error}");
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
        let names: Vec<(&str, &str)> = proofs.split('`').filter_map(|word| word.split_once("::")).collect();
        assert!(!names.is_empty(), "no test: {row}");
        for (file, test) in names {
            let source =
                fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
            // Property tests have arguments.
            let found = source
                .split("#[test]")
                .skip(1)
                .any(|after| after.lines().any(|line| line.trim_start().starts_with(&format!("fn {test}("))));
            assert!(found, "{file} has no test {test}");
        }
    }
}

#[test]
fn the_table_of_metrics_is_that_of_the_code() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/monitoring.md");
    let text = fs::read_to_string(&file).unwrap();
    let (before, rest) = text.split_once("| metric | kind |").expect("the table");
    let after = rest.split_once("\n\n").expect("something after it").1;
    let made = format!("{before}{}\n{after}", metrics::table());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&file, &made).unwrap();
    } else {
        assert!(made == text, "the table is out of date: UPDATE_DOCS=1 cargo test --test docs");
    }
}
