//! The schema says what the readers say.

use serde_json::{Map, Value, json};

use super::*;
use crate::config::kind::Kind;
use crate::config::service_keys::{OPERATORS, PROCESSORS};

const STRANGER: &str = "zz_unknown";

fn validator() -> jsonschema::Validator {
    jsonschema::draft7::new(&crate::config::schema::schema()).unwrap()
}

fn faults(schema: &jsonschema::Validator, tree: &Value) -> Vec<String> {
    schema.iter_errors(tree).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

fn samples() -> Vec<(String, Value)> {
    let mut samples = Vec::new();
    each_example("valid", |name, text| {
        samples.push((name.to_owned(), tree::read(&text, &Report::default()).unwrap()));
    });
    for file in ["deploy/config.yaml", "docs/quick-start.md"] {
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
        let example =
            text.split_once("```yaml\n").and_then(|(_, rest)| Some(rest.split_once("```")?.0.to_owned()));
        let text = example.unwrap_or(text);
        samples.push((file.to_owned(), tree::read(&text, &Report::default()).unwrap()));
    }
    samples
}

#[test]
fn every_sample_configuration_is_valid() {
    let schema = validator();
    for (name, tree) in samples() {
        assert_eq!(faults(&schema, &tree), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn every_prebuilt_service_could_be_written_into_a_file() {
    let schema = validator();
    for row in registry::rows() {
        let services = json!({"custom_x": row.keys});
        let tree = json!({
            "inputs": {"sqs_collector": {"base_url": "https://sqs.us-east-1.amazonaws.com/111111111111/q", "services": services}},
            "outputs": {"console": {"type": "console"}},
        });
        assert_eq!(faults(&schema, &tree), Vec::<String>::new(), "{}", row.name);
    }
}

/// A key that nobody knows, in every mapping of every sample: the schema refuses it where the readers do.
#[test]
fn an_unknown_key_is_refused_wherever_the_readers_refuse_it() {
    let (schema, folder) = (validator(), certificates(-1, 300));
    let mut refused = 0;
    for (name, tree) in samples() {
        for place in mappings(&tree) {
            let mut changed = tree.clone();
            changed.pointer_mut(&place).unwrap()[STRANGER] = Value::Null;
            let by_schema = !schema.is_valid(&changed);
            let by_readers = unknown_keys(&changed, folder.path()).iter().any(|key| key == STRANGER);
            assert!(by_schema || !by_readers, "{name}{place}: the schema takes an unknown key");
            refused += usize::from(by_readers);
        }
    }
    assert!(refused > 150, "{refused} places");
}

/// Each key of any processor below each of them.
#[test]
fn each_processor_and_operator_has_the_keys_that_its_reader_asks_for() {
    let names: Vec<&str> = PROCESSORS.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, service::processors::SUPPORTED);
    let keys = |lists: &'static [(&str, &[keys::Key])]| {
        lists
            .iter()
            .flat_map(|(_, keys)| keys.iter().map(|(key, ..)| *key))
            .collect::<std::collections::BTreeSet<_>>()
    };
    let schema = validator();
    let agree = |service: Value, what: &str| {
        let tree = json!({
            "inputs": {"sqs_collector": {"id": 1, "base_url": "https://sqs.us-east-1.amazonaws.com/111111111111/q",
                                         "services": {"custom_x": service}}},
            "outputs": {"console": {"type": "console"}},
        });
        let by_schema = faults(&schema, &tree).concat().contains("Additional properties are not allowed");
        // A key is unknown to a form of the processor; another form may have it.
        let by_readers = unknown_keys(&tree, Path::new("/"));
        assert_eq!(by_schema, !by_readers.is_empty(), "{what}: {:?} {by_readers:?}", faults(&schema, &tree));
    };
    for processor in names {
        for key in keys(PROCESSORS).into_iter().filter(|key| *key != "others") {
            let config = Map::from_iter([(key.to_owned(), Value::Null)]);
            let format = json!({"type": processor, "config": config});
            agree(
                json!({"routing_template": "my.app.a.b", "file_format": format}),
                &format!("{processor} {key}"),
            );
        }
    }
    for (operator, _) in OPERATORS {
        for key in keys(OPERATORS) {
            // All that an operation needs, so that its reader looks at the rest.
            let needed: &[(&str, Value)] = match *operator {
                "split" => &[("on", json!("/")), ("element", json!(0))],
                "replace" => &[("to_replace", json!("a"))],
                "regex" => &[("pattern", json!("(a)"))],
                "map" => &[("values", json!({}))],
                "set" => &[("value", json!("a"))],
                _ => &[],
            };
            let mut operation = json!({ "operator": operator });
            operation[key] = Value::Null;
            for (key, value) in needed {
                operation[*key] = value.clone();
            }
            let fields = json!({"x": [operation]});
            let service = json!({"routing_template": "my.app.a.b", "file_field_definitions": fields,
                                 "file_format": {"type": "json_array_processor"}});
            agree(service, &format!("{operator} {key}"));
        }
    }
}

/// What stands below a service: no key is listed for which nobody asks.
#[test]
fn every_listed_key_below_a_service_is_read() {
    let folder = certificates(-1, 300);
    for examples in ["valid", "bad"] {
        each_example(examples, |_, text| drop(parse(&text, folder.path(), &environment())));
    }
    let index = regex::Regex::new(r"\[\d+\]").unwrap();
    let asked: Vec<String> = node::asked::all()
        .into_iter()
        .map(|(path, key)| format!("{}.{key}", index.replace_all(&path, "[]")))
        .collect();
    for section in service_keys::SECTIONS {
        let place = section.place.replace("NAME", "[a-z_]+").replace("[]", r"\[\]");
        for (key, ..) in section.keys {
            let pattern = regex::Regex::new(&format!(r"\.{place}\.{key}$")).unwrap();
            assert!(
                asked.iter().any(|path| pattern.is_match(path)),
                "no reader asks for {}.{key}",
                section.place
            );
        }
    }
}

/// Values that the readers refuse for their type, range or spelling.
#[test]
fn what_the_bad_examples_are_refused_for_is_refused_by_the_schema() {
    let schema = validator();
    for wrong in [
        json!({"globals": {"workers": 0}}),
        json!({"globals": {"debug": "perhaps"}}),
        json!({"globals": {"status": {"port": 70_000}}}),
        json!({"outputs": {"x": {"type": "devo"}, "y": {"type": "kafka"}}}),
        json!({"inputs": {"sqs_collector": {"base_url": "x", "services": {"aws_sqs_vpcc": {}}}}}),
        json!({"inputs": {"kafka": {}}}),
        json!({"inputs": {"sqs_collector": {"services": {"aws_sqs_vpc": {}}}}}),
    ] {
        let mut tree = json!({"inputs": {}, "outputs": {}});
        assert!(schema.is_valid(&tree));
        tree.as_object_mut().unwrap().extend(wrong.as_object().unwrap().clone());
        assert!(!schema.is_valid(&tree), "{tree}");
    }
}

/// The last parts of the paths at which the readers find keys that they do not know.
fn unknown_keys(tree: &Value, folder: &Path) -> Vec<String> {
    let problems = match parse(&tree.to_string(), folder, &environment()) {
        Ok(loaded) => loaded.warnings,
        Err(Problems(problems)) => problems,
    };
    let unknown = problems.into_iter().filter(|problem| problem.kind == Kind::UnknownKey);
    unknown.map(|problem| problem.path.rsplit('.').next().unwrap().to_owned()).collect()
}

/// JSON pointers to all mappings.
fn mappings(tree: &Value) -> Vec<String> {
    let below = |key: String, value: &Value| {
        let key = key.replace('~', "~0").replace('/', "~1");
        mappings(value).into_iter().map(move |place| format!("/{key}{place}")).collect::<Vec<_>>()
    };
    match tree {
        Value::Object(entries) => {
            let deeper = entries.iter().flat_map(|(key, value)| below(key.clone(), value));
            std::iter::once(String::new()).chain(deeper).collect()
        }
        Value::Array(items) => {
            items.iter().enumerate().flat_map(|(i, value)| below(i.to_string(), value)).collect()
        }
        _ => vec![],
    }
}
