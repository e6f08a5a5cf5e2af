//! The key `globals.definitions`: the user's own services in a separate file.

use super::*;

const CONFIGURATION: &str = "
globals: {definitions: my-services.yaml}
inputs:
  sqs_collector:
    id: 1
    base_url: https://sqs.us-west-1.amazonaws.com/111111111111/q
    ack_messages: false
    services:
      shop_orders: {line_filter_rules: [[{source: record, key: kind, type: match, value: test}]]}
      shop_all: {}
outputs:
  console_1: {type: console}
";

const DEFINITIONS: &str = "
shop_orders:
  table: my.app.shop.*
  reads: orders of the shop
  object_keys: ^orders/
  file_format: {type: line_split_processor, config: {json: true}}
  record_field_mapping:
    kind:
      keys: [order, kind]
      operations: [{operator: lowercase}, {operator: map, values: {gift: present, other: none}}]
  routing_template: my.app.shop.[record-kind]
shop_all:
  delegates: [shop_orders, aws_sqs_cloudtrail]
  file_format: {type: split_or_unseparated_processor}
  record_field_mapping: {fourth: {column: 3}, group: {keys: logGroup}}
  file_field_definitions: {first: [{operator: regex, pattern: ^x}, {operator: set, value: found}]}
  routing_template: my.app.shop.[file-first|record-fourth|record-group]
";

fn folder(definitions: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.yaml"), CONFIGURATION).unwrap();
    std::fs::write(folder.path().join("my-services.yaml"), definitions).unwrap();
    folder
}

fn problems(definitions: &str) -> String {
    let folder = folder(definitions);
    check(CONFIGURATION, folder.path())
}

#[test]
fn their_services_are_named_and_overridden_like_any_other() {
    let folder = folder(DEFINITIONS);
    let loaded = load(&folder.path().join("config.yaml"), &environment()).unwrap();
    assert_eq!(loaded.warnings, []);
    let [orders, all] = loaded.config.inputs[0].services.as_slice() else { panic!() };
    assert_eq!(orders.record_fields[0].value("GIFT").as_deref(), Some("present"));
    assert!(!orders.drop_records.is_empty(), "the input's override");
    let names: Vec<&str> = all.delegates.iter().map(|delegate| delegate.name.as_str()).collect();
    assert_eq!(names, ["shop_orders", "aws_sqs_cloudtrail"]);
    assert!(all.delegates[0].drop_records.is_empty(), "the override is of shop_orders alone");
}

#[test]
fn they_are_listed_after_the_pre_built_ones() {
    let folder = folder(DEFINITIONS);
    let catalog = catalog(&folder.path().join("config.yaml")).unwrap();
    let (built_in, own) = catalog.rows().split_at(registry::rows().len());
    assert_eq!(built_in[0].name, registry::rows()[0].name);
    let listed: Vec<(&str, &str)> = own.iter().map(|row| (row.name.as_str(), row.table.as_str())).collect();
    let template = "my.app.shop.[file-first|record-fourth|record-group]";
    assert_eq!(listed, [("shop_orders", "my.app.shop.*"), ("shop_all", template)]);
}

#[test]
fn a_name_that_is_taken_is_an_error_that_names_both_places() {
    let text = problems(&format!("{DEFINITIONS}\naws_sqs_vpc: {{}}\n"));
    assert!(
        text.contains(
            "my-services.yaml: line 19, column 1: aws_sqs_vpc: is defined in the built-in services and in "
        ),
        "{text}"
    );
    assert!(text.contains("1 error"), "{text}");
}

#[test]
fn problems_name_the_file() {
    let text = problems(
        "shop_orders: {file_format: {type: line_split_processor}, routing_template: a b, delegates: [shop_al]}
shop_all:
  file_format: {type: line_split_processor}
  record_field_mapping: {a: {}, b: {column: 1, keys: x}, c: {keys: x, operations: [{operator: map}, {operator: set}]}}
  routing_template: my.app.b
",
    );
    insta::assert_snapshot!(text, @r#"
    error: FOLDER/my-services.yaml: line 1, column 58: shop_orders.routing_template: the character ' ' is not allowed in a tag: use letters, digits, _ and -, levels separated by dots
        fields are in brackets: [record-NAME] or [file-NAME], each defined under that name
        AwsModuleDefinitionError 6: "shop_orders.routing_template" property is containing some unexpected placeholders
    error: FOLDER/my-services.yaml: line 1, column 93: shop_orders.delegates[0]: "shop_al" is not a service above
    error: FOLDER/my-services.yaml: line 4, column 26: shop_all.record_field_mapping.a.keys: names no key
        write the path to the value in the JSON record, such as ["userIdentity", "type"]
    error: FOLDER/my-services.yaml: line 4, column 33: shop_all.record_field_mapping.b: names more than one place
        keep "keys" (JSON) or "column" (comma-separated values)
    error: FOLDER/my-services.yaml: line 4, column 84: shop_all.record_field_mapping.c.operations[0].values: is missing
        write {from: to, ...}
    error: FOLDER/my-services.yaml: line 4, column 101: shop_all.record_field_mapping.c.operations[1].value: is missing
        write the field's value

    The configuration cannot be used (6 errors, 0 warnings).
    "#);
}

#[test]
fn a_file_that_is_not_there_is_a_problem() {
    let folder = tempfile::tempdir().unwrap();
    let text = check(CONFIGURATION, folder.path());
    assert!(text.contains("error: FOLDER/my-services.yaml: cannot read"), "{text}");
    std::fs::write(folder.path().join("config.yaml"), CONFIGURATION).unwrap();
    assert!(catalog(&folder.path().join("config.yaml")).is_err());
}
