//! The documentation matches the program.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first failure"
)]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use aws_to_devo::cli;
use aws_to_devo::config::{self, endings, ignored, keys, registry, vendor};
use aws_to_devo::ledger::{self, Store};
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
fn the_configurations_for_kubernetes_lack_nothing_but_the_certificates() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/kubernetes");
    let files: Vec<_> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    assert!(files.len() >= 2, "{files:?}");
    for file in files {
        let objects = fs::read_to_string(file).unwrap();
        lacks_only_certificates(&objects);
        keeps_its_ledger_in_a_volume_of_a_group(&objects);
    }
}

/// Opens the configuration's ledger in a volume as Kubernetes makes it with `fsGroup`: its group may write to it.
fn keeps_its_ledger_in_a_volume_of_a_group(objects: &str) {
    assert!(objects.contains("fsGroup: 65532"), "{objects}");
    let folder = configuration(objects)["globals"]["persistence"]["config"]["directory_name"].clone();
    let mount = "{name: state, mountPath: /state}";
    let below =
        folder.as_str().and_then(|folder| folder.strip_prefix("/state")).filter(|_| objects.contains(mount));
    let below = below.unwrap_or_else(|| panic!("{folder} is not in the volume")).trim_start_matches('/');
    let volume = tempfile::tempdir().unwrap();
    fs::set_permissions(volume.path(), fs::Permissions::from_mode(0o2777)).unwrap();
    let ledger = Store::open(&volume.path().join(below).join(ledger::FILE));
    assert!(ledger.is_ok(), "{folder}: {}", ledger.unwrap_err());
    assert_eq!(fs::metadata(volume.path().join(below)).unwrap().permissions().mode() & 0o777, 0o700);
}

/// The configuration that Kubernetes' objects have.
fn configuration(objects: &str) -> serde_json::Value {
    serde_saphyr::from_str(&configuration_text(objects)).unwrap()
}

fn configuration_text(objects: &str) -> String {
    let map = objects.split("---\n").find(|object| object.contains("kind: ConfigMap")).unwrap();
    let map: serde_json::Value = serde_saphyr::from_str(map).unwrap();
    map["data"]["config.yaml"].as_str().unwrap().to_owned()
}

/// Checks the configuration that Kubernetes' objects have, whose certificates are in a volume.
fn lacks_only_certificates(objects: &str) {
    let text = configuration_text(objects);
    let problems = config::parse(&text, Path::new("/config"), &config::Environment::here())
        .expect_err("no certificates");
    let problems = problems.to_string();
    let errors: Vec<&str> = problems.lines().filter(|line| line.starts_with("error: ")).collect();
    assert!(
        errors.iter().all(|error| error.contains("cannot read /certs/")) && errors.len() == 3,
        "{problems}"
    );
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

/// `scripts/mutants --simulate` finds what it takes out by its text.
#[test]
fn mechanisms_that_the_simulation_is_to_miss_are_in_the_code_and_on_its_page() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(docs().join("simulation.md")).unwrap();
    let list = fs::read_to_string(root.join("mutants/mechanisms.yaml")).unwrap();
    let mechanisms: Vec<serde_json::Value> = serde_saphyr::from_str(&list).unwrap();
    for mechanism in &mechanisms {
        let name = mechanism["taken_out"].as_str().unwrap();
        assert!(page.contains(&format!("| {name} |")), "{name} stands in no table");
        for edit in mechanism["edits"].as_array().unwrap() {
            let [file, from] = ["file", "from"].map(|key| edit[key].as_str().unwrap());
            let times = fs::read_to_string(root.join(file)).unwrap().matches(from).count();
            assert_eq!(times, 1, "{name}: {file} has {from:?} {times} times");
        }
    }
    assert!(mechanisms.len() > 50);
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

/// Most readers have a file of a release, and no compiler.
#[test]
fn the_first_commands_need_no_compiler() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (page, section) in [
        ("README.md", "\n## Start\n"),
        ("docs/quick-start.md", "\n## 1. The program\n"),
        ("docs/installing.md", "\n## From the files of a release\n"),
    ] {
        let text = fs::read_to_string(root.join(page)).unwrap();
        let (before, section) = text.split_once(section).unwrap_or_else(|| panic!("{page}: {section}"));
        assert!(!before.contains("\n## "), "{page}: something stands before {section}");
        let section = section.split("\n## ").next().unwrap();
        let (_, commands) =
            blocks(section).into_iter().next().unwrap_or_else(|| panic!("{page}: no commands"));
        assert!(commands.contains("SHA256SUMS"), "{page}: {commands}");
        assert!(!commands.contains("cargo ") && !commands.contains("scripts/"), "{page}: {commands}");
    }
}

/// Files of a release, and tags of the image.
#[test]
fn files_are_named_by_the_version() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let named = regex::Regex::new(r"aws-to-devo[-_:]([0-9]+[.][0-9]+[.][0-9]+)").unwrap();
    let mut count = 0;
    let files = pages().into_iter().chain(files_below(&root.join("deploy")));
    for file in files.filter(|file| !file.ends_with("CHANGELOG.md")) {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        for version in named.captures_iter(&text) {
            assert_eq!(&version[1], env!("CARGO_PKG_VERSION"), "{}", file.display());
            count += 1;
        }
    }
    assert!(count > 10, "{count} names");
}

/// The folders of the compose file are relative to its own.
#[test]
fn the_folders_of_the_compose_file_are_made_on_its_page() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let compose = fs::read_to_string(root.join("deploy/container/compose.yaml")).unwrap();
    let page = fs::read_to_string(docs().join("containers.md")).unwrap();
    let folders = regex::Regex::new(r"- \./([a-z]+):").unwrap();
    let folders: Vec<_> = folders.captures_iter(&compose).map(|folder| folder[1].to_owned()).collect();
    assert_eq!(folders, ["config", "certs"]);
    for folder in folders {
        assert!(page.contains(&format!(" collector/{folder}")), "{folder}");
    }
    assert!(compose.contains("\nname: aws-to-devo\n"), "the project has the name of any folder");
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
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            assert!(leads_somewhere(&page, link), "{}: {link}", page.display());
        }
    }
}

/// A reader copies commands and configurations: an option or a key that does not exist would be found by them.
#[test]
fn commands_and_configurations_of_the_pages_are_understood() {
    let (mut commands, mut configurations) = (0, 0);
    for page in pages() {
        for (language, block) in blocks(&fs::read_to_string(&page).unwrap()) {
            match language.as_str() {
                "bash" => {
                    for line in own_commands(&block) {
                        let parsed = cli::command().try_get_matches_from(line.split_whitespace());
                        assert!(parsed.is_ok(), "{}: {line}: {}", page.display(), parsed.unwrap_err());
                        commands += 1;
                    }
                }
                "yaml" | "json" => {
                    let parsed = serde_saphyr::from_str::<serde_json::Value>(&block);
                    assert!(parsed.is_ok(), "{}: {}\n{block}", page.display(), parsed.unwrap_err());
                    configurations += 1;
                }
                _ => {}
            }
        }
    }
    assert!(commands > 20 && configurations > 10, "{commands} commands, {configurations} configurations");
}

/// The program's own commands in a block, without what follows in the shell. Brackets around optional parts go, and
/// placeholders become values.
fn own_commands(block: &str) -> Vec<String> {
    let joined = block.replace("\\\n", " ");
    let own = regex::Regex::new(r"(?m)(?:^|&& |; |sudo |exec )(aws-to-devo [^>|#;&\n]*)").unwrap();
    let values = [
        ("INPUT=NAME/PREFIX…", "my-logs"),
        ("TIME", "2026-11-01"),
        ("BUCKET", "my-logs"),
        ("ARN", "arn:aws:sqs:us-east-1:123456789012:dead"),
        ("--limit N", "--limit 9"),
    ];
    let filled =
        |own: &str| values.iter().fold(own.to_owned(), |own, (name, value)| own.replace(name, value));
    own.captures_iter(&joined)
        .map(|found| filled(&found[1].replace(['[', ']', '(', ')', '\'', '"'], "")))
        .collect()
}

/// The code blocks of a page, with their languages.
fn blocks(text: &str) -> Vec<(String, String)> {
    let fences = regex::Regex::new(r"(?ms)^ *```([a-z]+)\n(.*?)^ *```").unwrap();
    fences.captures_iter(text).map(|block| (block[1].to_owned(), block[2].to_owned())).collect()
}

/// A row with a cell too few or too many loses text when the page is shown.
#[test]
fn rows_of_a_table_have_as_many_cells_as_its_head() {
    let mut rows = 0;
    for page in pages() {
        let mut cells = None;
        for line in fs::read_to_string(&page).unwrap().lines() {
            let row = line.trim_start();
            let own = row.starts_with('|').then(|| row.replace("\\|", "").matches('|').count());
            assert!(cells.is_none() || own.is_none() || cells == own, "{}: {line}", page.display());
            cells = own;
            rows += usize::from(own.is_some());
        }
    }
    assert!(rows > 300, "{rows} rows");
}

/// All pages: those in `docs`, and those beside it.
fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = files_below(&docs());
    pages.extend(fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()));
    pages.retain(|page| page.extension().is_some_and(|extension| extension == "md"));
    pages
}

/// Comments and messages cite pages, and their sections as `docs/PAGE.md#SECTION`.
#[test]
fn pages_that_are_cited_in_the_code_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let citations = regex::Regex::new("docs/[a-z_/-]+[.](?:md|svg)(?:#[a-z0-9-]+)?").unwrap();
    let mut cited = 0;
    for folder in ["src", "tests", "benches", "fuzz/fuzz_targets", "fuzz/src", "scripts", "deploy"] {
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

/// Each exported metric is there to be looked at: in the dashboard, or in an alert.
#[test]
fn dashboard_and_alerts_name_the_metrics_that_exist_and_no_others() {
    let families = metrics::families(&Snapshot::default());
    let is_known = |name: &str| families.iter().any(|family| family.name == name);
    let names = regex::Regex::new(r"\b(aws_to_devo|process)_[a-z0-9_]+").unwrap();
    let mut used = BTreeSet::new();
    for file in ["deploy/grafana/aws-to-devo.json", "deploy/prometheus/aws-to-devo.rules.yml"] {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
        let named: Vec<&str> = names.find_iter(&text).map(|found| found.as_str()).collect();
        assert!(named.len() >= 15, "{file}");
        for name in named {
            assert!(is_known(name), "{file} names {name}, which is no metric");
        }
        used.extend(names.find_iter(&text).map(|found| found.as_str().to_owned()));
    }
    let unused: Vec<_> = families.iter().filter(|family| !used.contains(&family.name)).collect();
    assert!(unused.is_empty(), "neither the dashboard nor an alert uses {unused:?}");
    let dashboard =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/grafana/aws-to-devo.json"));
    let dashboard: serde_json::Value = serde_json::from_str(&dashboard.unwrap()).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let rows: Vec<_> = panels.iter().filter(|panel| panel["type"] == "row").collect();
    let titles: Vec<_> = rows.iter().filter_map(|row| row["title"].as_str()?.split(':').next()).collect();
    assert_eq!(
        titles,
        ["Overview", "Bottleneck", "Polled sources", "Inputs", "Outputs", "Devo tables", "Troubles", "Audit"]
    );
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64()).collect();
    assert_eq!(ids.len(), panels.len(), "ids are unique");
    // Whole panels, none over another.
    let mut taken = BTreeSet::new();
    for panel in panels {
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().unwrap());
        assert!(x + w <= 24, "{}", panel["title"]);
        for place in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            assert!(taken.insert(place), "{} is over another panel", panel["title"]);
        }
    }
}

/// The writers of logs are facts of the code, which the Terraform module needs too.
#[test]
fn the_terraform_module_has_the_writers_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/terraform/writers.tf.json");
    let expected = format!("{:#}\n", setup::writers::terraform());
    if fs::read_to_string(&path).ok().as_deref() != Some(&expected) {
        assert!(std::env::var_os(UPDATE).is_some(), "{path:?} is stale: {UPDATE}=1 cargo test --test docs");
        fs::write(&path, expected).unwrap();
    }
}

/// The template of a configuration, and the resources of the Terraform module that stand for its.
#[test]
fn the_terraform_module_creates_what_the_template_does() {
    let module = files_below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/terraform"));
    let module: String = module.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    let declared: BTreeSet<&str> =
        module.split("\nresource \"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let of = [
        ("AWS::SQS::Queue", "aws_sqs_queue"),
        ("AWS::SQS::QueuePolicy", "aws_sqs_queue_policy"),
        ("AWS::CloudWatch::Alarm", "aws_cloudwatch_metric_alarm"),
        ("AWS::S3::Bucket", "aws_s3_bucket"),
        ("AWS::S3::BucketPolicy", "aws_s3_bucket_policy"),
        ("AWS::CloudTrail::Trail", "aws_cloudtrail"),
        ("AWS::Events::Rule", "aws_cloudwatch_event_rule"),
        ("AWS::IAM::ManagedPolicy", "aws_iam_policy"),
        ("AWS::IAM::Role", "aws_iam_role"),
    ];
    let mut kinds = BTreeSet::new();
    for buckets in [&[][..], &["logs/AWSLogs"]] {
        let template = largest_template(buckets);
        let resources = template["Resources"].as_object().unwrap();
        kinds.extend(resources.values().map(|it| it["Type"].as_str().unwrap().to_owned()));
        let queue = &template["Resources"]["SqsCollectorQueue"]["Properties"];
        for (argument, value) in [
            ("message_retention_seconds", &queue["MessageRetentionPeriod"]),
            ("receive_wait_time_seconds", &queue["ReceiveMessageWaitTimeSeconds"]),
            ("maxReceiveCount", &queue["RedrivePolicy"]["maxReceiveCount"]),
        ] {
            let line = regex::Regex::new(&format!("\n *{argument} += {value}\n")).unwrap();
            assert!(line.is_match(&module), "{argument} is not {value}");
        }
    }
    assert_eq!(kinds, of.iter().map(|(kind, _)| (*kind).to_owned()).collect());
    for (kind, resource) in of {
        assert!(declared.contains(resource), "{resource}, which stands for {kind}, is not in the module");
    }
}

/// The template of a configuration with a role, and with all extras.
fn largest_template(buckets: &[&str]) -> serde_json::Value {
    let text = "inputs:
  sqs_collector:
    id: 1
    base_url: https://sqs.eu-west-1.amazonaws.com/123456789012/logs
    credentials: {aws_cross_account_role: 'arn:aws:iam::123456789012:role/reader'}
    services: {aws_sqs_cloudtrail: {}}
outputs: {console_1: {type: console}}
";
    let loaded = config::parse(text, Path::new(""), &config::Environment::here());
    let needs = setup::Needs::of(&loaded.unwrap_or_else(|p| panic!("{p}")).config, &[]).unwrap();
    let extras = setup::Extras { expire_days: Some(30), trail: true, alarm_topic: None };
    let buckets = buckets.iter().map(|bucket| bucket.parse().unwrap()).collect();
    setup::template(&needs, &setup::Wishes { buckets, extras, ..setup::Wishes::default() }).unwrap().json
}

/// Whoever is woken up by an alert finds what it means, how to look and what to do.
#[test]
fn every_alert_leads_to_its_section_of_the_runbook() {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus/aws-to-devo.rules.yml");
    let rules: serde_json::Value =
        serde_saphyr::from_str(&fs::read_to_string(rules).unwrap()).expect("the rules are YAML");
    let alerts: Vec<(&str, &str)> = rules["groups"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|group| group["rules"].as_array().unwrap())
        .map(|rule| {
            (rule["alert"].as_str().unwrap(), rule["annotations"]["runbook_url"].as_str().unwrap_or(""))
        })
        .collect();
    for (alert, url) in &alerts {
        assert_eq!(*url, format!("docs/runbook.md#{}", alert.to_lowercase()), "{alert}");
    }
    let text = fs::read_to_string(docs().join("runbook.md")).unwrap();
    let sections: Vec<(&str, &str)> =
        text.split("\n## ").skip(1).filter_map(|section| section.split_once('\n')).collect();
    let names: Vec<&str> = sections.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        names,
        alerts.iter().map(|(alert, _)| *alert).collect::<Vec<_>>(),
        "in the order of the rules"
    );
    for (name, section) in sections {
        let parts = ["\n**Means:** ", "\n**Look:** ", "\n**Do:** "];
        assert!(parts.iter().all(|part| section.contains(part)), "{name} lacks one of {parts:?}");
    }
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
