//! What is said of mistakes that people make: where, what was found, what to do.

use super::*;

const GOOD: &str = "globals:
  id: c1
outputs:
  relay_1: {type: syslog, config: {address: relay.local, port: 13000}}
inputs:
  sqs_collector:
    id: \"1\"
    base_url: https://sqs.us-east-1.amazonaws.com/111111111111/q
    services:
      aws_sqs_vpc: {}
";

/// Each problem on a line: place, message, advice.
fn said(text: &str) -> Vec<String> {
    let problems = match parse(text, Path::new("/"), &environment()) {
        Ok(loaded) => loaded.warnings,
        Err(Problems(problems)) => problems,
    };
    problems.iter().map(|problem| format!("{problem:#}")).collect()
}

#[test]
fn the_good_file_is_good() {
    assert_eq!(said(GOOD), Vec::<String>::new());
}

/// Names that would change a log, a page, a metric or a thread's name.
#[test]
fn names_are_plain_text_wherever_they_are_given() {
    let good = format!(
        "{GOOD}  aws_2:\n    id: \"2\"\n    services:\n      own: {{types: [metrics], regions: [us-east-1], metric_namespaces: [N]}}\n"
    );
    for (name, place) in [
        ("id: c1", "globals.id"),
        ("globals:\n  id: c1\n  name: n1", "globals.name"),
        ("relay_1", "outputs.relay_1"),
        ("sqs_collector", "inputs.sqs_collector"),
        ("id: \"1\"", "inputs.sqs_collector.id"),
        ("aws_sqs_vpc", "inputs.sqs_collector.services.aws_sqs_vpc"),
        ("aws_2", "inputs.aws_2"),
        ("own", "inputs.aws_2.services.own"),
    ] {
        for (escape, shown) in [
            ("\\n", "\\n"),
            ("\\e", "\\u{1b}"),
            ("\\0", "\\0"),
            ("\\u202e", "\\u{202e}"),
            ("\\u2066", "\\u{2066}"),
        ] {
            // In YAML, escapes work between double quotes.
            let (start, own) = name.trim_end_matches('"').rsplit_once([' ', '"']).unwrap_or(("", name));
            let quote = if start.ends_with(' ') || start.is_empty() { "" } else { " " };
            let bad = format!("{start}{quote}\"{own}{escape}x\"");
            let what = if name.starts_with("globals:") { "globals:\n  id: c1" } else { name };
            let text = good.replacen(what, &bad.replace("\"\"", "\""), 1);
            let said = said(&text);
            let told = said.iter().find(|line| line.contains("characters that are invisible")).cloned();
            let told = told.unwrap_or_else(|| panic!("{text}\n{said:#?}"));
            assert!(told.contains(place) && told.contains(shown), "{place}: {told}");
            assert!(told.chars().all(|c| !c.is_control() && c != '\u{202e}'), "{told:?}");
        }
    }
    assert_eq!(said(&good), Vec::<String>::new());
}

/// What is replaced in the good file, by what, and a part of what is said.
const MISTAKES: &[(&str, &str, &[&str])] = &[
    (
        "    id: \"1\"",
        "    id: \"1\"\n    region: us-east-1\n    id: \"2\"",
        &["line 9, column 5: the key id is written twice, first in line 7"],
    ),
    (
        "    id: \"1\"",
        "    id: \"1\"\n    region: us-esat-1",
        &["is us-esat-1, but the queue's URL names us-east-1, which is used"],
    ),
    (
        "      aws_sqs_vpc: {}",
        "      custom_x: {file_format: {type: json_array_processor}, routing_template: 'my.app.[record-a].[record-b].[file-c]'}",
        &["[record-a] names no field", "[record-b] names no field", "[file-c] names no field"],
    ),
    (
        "inputs:\n",
        "inputs:\n  aws:\n    id: 5\n    services:\n      audit-events-all:\n        types: [audit_api]\n        regions: [us-esat]\n        pull_retries: 5000\n        zzz: 1\n",
        &[
            "\"audit_api\" is not a type",
            "\"us-esat\" does not look like a region",
            "5000 is out of range",
            "zzz: is not a known key",
        ],
    ),
    (
        "    id: \"1\"",
        "    id: \"1\"\n    sqs_wait_timeout: 2.5",
        &[
            "line 8, column 5: inputs.sqs_collector.sqs_wait_timeout: must be an integer, but is 2.5 (allowed: 0 to 20; without the key: 20)",
        ],
    ),
    (
        "    id: \"1\"",
        "    id: \"1\"\n    receivers: many",
        &["but is \"many\" (allowed: 1 to 64; without the key: 2)"],
    ),
    (
        "      aws_sqs_vpc: {}",
        "      aws_sqs_vpc: {line_filter_rules: [{source: record, key: a, type: match, value: b}]}",
        &[
            "line_filter_rules[0]: is a condition, and must be a list of conditions (write two pairs of brackets",
        ],
    ),
    (
        "      aws_sqs_vpc: {}",
        "      aws_sqs_vpc: {line_filter_rules: {source: record, key: a, type: match, value: b}}",
        &[
            "line_filter_rules: is a mapping, and must be a list of lists of conditions (write two pairs of brackets",
        ],
    ),
    (
        "    services:\n      aws_sqs_vpc: {}",
        "    aws_sqs_vpc: {}",
        &["aws_sqs_vpc: is not a known key (it belongs under the \"services\" of an input)"],
    ),
    (
        "    services:\n",
        "services:\n",
        &["line 9, column 1: services: is not a known key (it belongs under an input"],
    ),
    (
        "  id: c1",
        "  id: c1\n  senders: 3",
        &["globals.senders: is not a known key (it belongs under outputs.NAME.config)"],
    ),
    (
        "    services:",
        "    credentials: {aws_access_key_id: <YOUR_KEY>, aws_secret_access_key: <YOUR_SECRET>}\n    services:",
        &["aws_access_key_id: is a placeholder", "aws_secret_access_key: is a placeholder"],
    ),
    ("https://sqs", "http://sqs", &["base_url: is one of AWS's own and begins with http://"]),
    ("111111111111", "11111111111", &["base_url: has an account number without exactly 12 digits"]),
    ("/111111111111/", "/{account-id}/", &["base_url: has a placeholder in braces"]),
    (
        "    services:",
        "    credentials: {aws_access_key_id: wJalrXUtnFEMI, aws_secret_access_key: AKIAIOSFODNN7EXAMPLE}\n    services:",
        &["aws_secret_access_key: holds an access key's id, which belongs into aws_access_key_id"],
    ),
    (
        "    services:",
        "    credentials: {aws_cross_account_role: 'arn:aws:iam::111111111111:role/a', aws_external_id: '{external_id}'}\n    services:",
        &["aws_external_id: is a placeholder", "aws_external_id: is no external id"],
    ),
    (
        "  id: c1",
        "  id: c1\n  persistence: {config: {directory_name: /proc/x}}",
        &["persistence.config.directory_name: is in /proc"],
    ),
    (
        "  relay_1: {type: syslog, config: {address: relay.local, port: 13000}}",
        "  relay_1: {type: syslog, config: {address: relay.local, port: 13000}}\n  relay_2: {type: relay, config: {address: Relay.local, port: 13000}}",
        &["outputs.relay_2: delivers to the same place as outputs.relay_1 (relay.local:13000)"],
    ),
    ("    id", "\tid", &["line 7, column 1: the indentation contains a tab"]),
    (
        "  relay_1: {type: syslog, config: {address: relay.local, port: 13000}}",
        "  console_1: {type: console}",
        &[
            "line 3, column 1: outputs: no output goes to Devo, and messages are deleted once their records are printed: those of 111111111111/q",
        ],
    ),
    (
        "outputs:\n  relay_1: {type: syslog, config: {address: relay.local, port: 13000}}\n",
        "",
        &["outputs: no output is enabled (write one to Devo: "],
    ),
];

#[test]
fn each_mistake_is_told_at_its_place() {
    for (good, bad, told) in MISTAKES {
        assert!(GOOD.contains(good), "{good}");
        let said = said(&GOOD.replacen(good, bad, 1));
        for told in *told {
            assert!(said.iter().any(|said| said.contains(told)), "{told} is not in {said:#?}");
        }
    }
    assert_eq!(said("# nothing\n"), ["the file is empty (aws-to-devo init writes a first configuration)"]);
}

/// Two halves of a key that are swapped: the secret stands where ids are, which are shown.
#[test]
fn a_secret_in_the_place_of_the_id_is_not_shown() {
    let keys = "    credentials: {aws_access_key_id: wJalrXUtnFEMI, aws_secret_access_key: AKIAIOSFODNN7EXAMPLE}\n    services:\n      wJalrXUtnFEMI: {}";
    let said = said(&GOOD.replacen("    services:", keys, 1)).concat();
    assert!(said.contains("may be swapped") && !said.contains("wJalrXUtnFEMI"), "{said}");
}

/// However many there are.
#[test]
fn problems_come_in_the_order_of_the_file() {
    // Those that can stand in one file.
    let is_apart = |good: &str| {
        good == "    id"
            || ["services", "aws_sqs_vpc", "outputs", "relay_1"].iter().any(|part| good.contains(part))
    };
    let mistakes = MISTAKES.iter().filter(|(good, ..)| !is_apart(good));
    let text = mistakes.fold(GOOD.to_owned(), |text, (good, bad, _)| text.replacen(good, bad, 1));
    let Err(Problems(problems)) = parse(&text, Path::new("/"), &environment()) else { panic!() };
    let errors = problems.iter().filter(|problem| problem.severity == Severity::Error);
    let places: Vec<_> = errors.map(|problem| problem.at.unwrap()).collect();
    assert!(places.len() >= 8 && places.is_sorted(), "{places:?}");
}

#[test]
fn outputs_may_stand_in_another_file_with_its_certificates_beside_it() {
    let (cloud, other) = (tempfile::tempdir().unwrap(), certificates(-1, 300));
    let file = cloud.path().join("cloud.json");
    let inputs = GOOD.split_once("inputs:").unwrap().1;
    std::fs::write(&file, format!("inputs:{inputs}")).unwrap();
    assert!(load(&file, &environment()).is_err());
    let outputs = other.path().join("outputs.yaml");
    std::fs::write(
        &outputs,
        format!("outputs: {{d: {{type: devo_platform, config: {{address: devo.local, {FILES}}}}}}}"),
    )
    .unwrap();
    let loaded =
        load_with(&file, Some(&outputs), &environment()).unwrap_or_else(|problems| panic!("{problems}"));
    let Destination::Tls { files, .. } = &loaded.config.outputs[0].destination else { panic!() };
    assert_eq!(files.chain.as_deref(), Some(other.path().join("chain.crt").as_path()));
    std::fs::write(&outputs, "inputs: {}").unwrap();
    let problems = load_with(&file, Some(&outputs), &environment()).unwrap_err().to_string();
    assert!(problems.contains("outputs.yaml: outputs: is missing"), "{problems}");
}

#[test]
fn certificate_and_chain_that_are_swapped_are_told_as_that() {
    let folder = certificates(-1, 300);
    let swapped = "chain: domain.crt, cert: chain.crt, key: domain.key";
    let problems = problems_of_output(swapped, folder.path()).concat();
    assert!(problems.contains("are swapped: the key belongs to the latter"), "{problems}");
}

#[test]
fn a_file_in_another_encoding_is_told_as_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.yaml");
    std::fs::write(
        &file,
        [&[0xff, 0xfe][..], &"id".encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>()].concat(),
    )
    .unwrap();
    let problems = load(&file, &environment()).unwrap_err().to_string();
    assert!(problems.contains("is UTF-16, and must be UTF-8"), "{problems}");
}

/// One bad value must not make the readers of others stop.
#[test]
fn a_bad_value_leaves_the_other_keys_known() {
    let folder = certificates(-1, 300);
    let (mut tried, mut unknown) = (0, Vec::new());
    each_example("valid", |name, text| {
        let tree = tree::read(&text, &Report::default()).unwrap();
        let mut places = Vec::new();
        pointers(&tree, "", &mut places);
        // They say which keys there are.
        let decides = |place: &str| {
            ["/type", "/types", "/enabled", "sqs_queue_name"].iter().any(|key| place.ends_with(key))
        };
        for place in places.iter().filter(|place| !decides(place)) {
            for bad in
                [serde_json::json!([["\u{7}"]]), serde_json::json!("\u{7} bad"), serde_json::Value::Null]
            {
                let mut tree = tree.clone();
                *tree.pointer_mut(place).unwrap() = bad.clone();
                let Err(Problems(problems)) = parse(&tree.to_string(), folder.path(), &environment()) else {
                    continue;
                };
                tried += 1;
                let is_unknown = |problem: &&Problem| problem.message == "is not a known key";
                unknown.extend(
                    problems.iter().filter(is_unknown).map(|it| format!("{name}{place}={bad}: {}", it.path)),
                );
            }
        }
    });
    assert_eq!(unknown, Vec::<String>::new());
    assert!(tried > 1000, "{tried}");
}

/// The JSON pointers of everything below the tree.
fn pointers(value: &serde_json::Value, at: &str, found: &mut Vec<String>) {
    let below: Vec<(String, &serde_json::Value)> = match value {
        serde_json::Value::Object(entries) => {
            entries.iter().map(|(key, value)| (key.replace('~', "~0").replace('/', "~1"), value)).collect()
        }
        serde_json::Value::Array(items) => {
            items.iter().enumerate().map(|(index, value)| (index.to_string(), value)).collect()
        }
        _ => Vec::new(),
    };
    for (key, value) in below {
        let place = format!("{at}/{key}");
        pointers(value, &place, found);
        found.push(place);
    }
}

#[test]
fn a_service_that_nobody_knows_is_called_so() {
    for (written, meant) in [
        ("cloudtrail: {}", "did you mean \"aws_sqs_cloudtrail\"?"),
        ("vpc:", "did you mean \"aws_sqs_vpc\"?"),
        ("aws_sqs_vpcc: {}", "did you mean \"aws_sqs_vpc\"?"),
        ("nope: {}", "the command services lists all."),
        ("nope: {enabled: true, filename_filter_rules: []}", "the command services lists all."),
    ] {
        let said = said(&GOOD.replace("aws_sqs_vpc: {}", written));
        assert_eq!(said.len(), 1, "{said:?}");
        for part in ["is not a known service", meant, "needs file_format and routing_template"] {
            assert!(said[0].contains(part), "{said:?}");
        }
    }
    // One of the user's own, whose name is like a built-in one's without its beginning.
    let own = "cloudtrails: {file_format: {type: line_split_processor, config: {json: true}}, routing_template: my.app.a.b}";
    assert_eq!(said(&GOOD.replace("aws_sqs_vpc: {}", own)), Vec::<String>::new());
    let half = said(&GOOD.replace("aws_sqs_vpc: {}", "shop: {routing_template: my.app.a.b}"));
    assert!(half[0].contains("file_format: is missing"), "{half:?}");
}

#[test]
fn a_region_or_a_log_group_that_is_wrong_says_nothing_of_the_keys_beside_it() {
    let logs = "{types: [logs], log_group: /a, regions: [us-east-1], start_time: 2026-01-01T00:00:00Z, \
                use_first_optimized_retrieval: true, shards: 1, tag: my.app.a.b}";
    let with = |service: &str| {
        said(&format!("{GOOD}  aws_2:\n    id: \"2\"\n    services:\n      own: {service}\n"))
    };
    assert_eq!(with(logs), Vec::<String>::new());
    for (right, wrong, why) in [
        ("us-east-1", "us-east-1a", "does not look like a region"),
        ("log_group: /a, ", "", "log_group: is missing"),
        ("2026-01-01T00:00:00Z", "yesterday", "is not a point in time"),
        ("my.app.a.b", "'my.{nothing}'", "is not a placeholder"),
    ] {
        let said = with(&logs.replace(right, wrong));
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].contains(why), "{said:?}");
    }
}

#[test]
fn text_is_read_as_it_is_written_also_if_it_is_a_number() {
    for id in ["123456789012345678901", "1.10", "12e3", "0x10", "7"] {
        let text = GOOD.replace("id: c1", &format!("id: {id}")).replace("id: \"1\"", &format!("id: {id}"));
        let config = parse(&text, Path::new("/"), &environment()).unwrap().config;
        assert_eq!(config.inputs[0].id, id);
        assert!(config.globals.host.contains(&format!("-{id}-")), "{}", config.globals.host);
    }
    let port = GOOD.replace("port: 13000", "port: 0x32C8");
    assert_eq!(said(&port), Vec::<String>::new());
}
