//! The documentation names what there is.

use std::fs;
use std::path::Path;

use aws_to_devo::config::registry;

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
