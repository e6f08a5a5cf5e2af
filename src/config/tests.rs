//! The examples of `testdata/config`: the meaning of valid ones, and the messages for bad ones.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::*;
use crate::config::problem::Report;
use crate::decode::Format;
use crate::settings::AccessKey;
use crate::settings::Destination;
use crate::settings::Queue;

/// Dates are relative to this; certificates are made around it.
fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn environment() -> Environment {
    Environment {
        host_name: "host 1".into(),
        cores: 2,
        memory: 8 << 30,
        now: now(),
        variable: Box::new(|name| (name == "AWS_ENDPOINT_URL_STS").then(|| "http://sts.local".into())),
    }
}

fn testdata(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/config").join(folder)
}

fn day(days: i64) -> SystemTime {
    let distance = Duration::from_secs(86_400 * days.unsigned_abs());
    if days < 0 { now() - distance } else { now() + distance }
}

/// A folder with a chain, a certificate valid for the given days around `now`, and its key.
fn certificates(from_days: i64, until_days: i64) -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let (ca, ca_key) = (rcgen::CertificateParams::new(vec![]).unwrap(), rcgen::KeyPair::generate().unwrap());
    let chain = ca.self_signed(&ca_key).unwrap().pem();
    let issuer = rcgen::Issuer::new(ca, ca_key);
    let mut params = rcgen::CertificateParams::new(vec!["domain".into()]).unwrap();
    params.not_before = day(from_days).into();
    params.not_after = day(until_days).into();
    let key = rcgen::KeyPair::generate().unwrap();
    let cert = params.signed_by(&key, &issuer).unwrap().pem();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("chain.crt", &chain);
    write("domain.crt", &cert);
    write("domain.key", &key.serialize_pem());
    write("chain.txt", "no certificate");
    write("other.key", &rcgen::KeyPair::generate().unwrap().serialize_pem());
    for key in ["domain.key", "other.key"] {
        std::fs::set_permissions(folder.path().join(key), std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    folder
}

/// What `check` prints, without the temporary folder's name.
fn check(text: &str, folder: &Path) -> String {
    let mut out = Vec::new();
    let verdict = crate::cli::check::Verdict::of(parse(text, folder, &environment()), |_| vec![], false);
    verdict.write(&mut out).unwrap();
    String::from_utf8(out).unwrap().replace(&folder.display().to_string(), "FOLDER")
}

fn golden(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(testdata("expected"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

/// Runs over every example of a folder.
fn each_example(folder: &str, mut see: impl FnMut(&str, String)) {
    let mut paths: Vec<_> = std::fs::read_dir(testdata(folder)).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty());
    for path in paths {
        let text = std::fs::read_to_string(&path).unwrap();
        see(path.file_stem().unwrap().to_str().unwrap(), text);
    }
}

#[test]
fn valid_examples_mean_what_is_expected() {
    let folder = certificates(-1, 300);
    each_example("valid", |name, text| {
        let checked = check(&text, folder.path());
        assert!(checked.contains("The configuration is valid"), "{checked}");
        golden(name, &checked);
    });
}

#[test]
fn bad_examples_get_all_their_problems() {
    let folder = certificates(-1, 300);
    each_example("bad", |name, text| {
        let checked = check(&text, folder.path());
        assert!(checked.contains("The configuration cannot be used"), "{checked}");
        golden(name, &checked);
    });
}

#[test]
fn no_secret_is_shown() {
    let folder = certificates(-1, 300);
    let mut seen = 0;
    let mut see = |_: &str, text: String| {
        seen += text.matches("never-shown").count();
        assert!(!check(&text, folder.path()).contains("never-shown"));
        let loaded = parse(&text, folder.path(), &environment());
        assert!(!format!("{loaded:?}").contains("never-shown"));
    };
    each_example("valid", &mut see);
    each_example("bad", &mut see);
    assert!(seen > 5);
}

#[test]
fn the_vendors_file_is_read_as_written() {
    let folder = certificates(-1, 300);
    let text = std::fs::read_to_string(testdata("valid/vendor.json")).unwrap();
    let config = parse(&text, folder.path(), &environment()).unwrap().config;
    let input = &config.inputs[0];
    assert_eq!((input.id.as_str(), input.region.as_str()), ("12351", "us-west-1"));
    assert_eq!(input.visibility_timeout, Duration::from_secs(240));
    assert_eq!(input.messages_per_receive, 1);
    assert!(input.ack_messages);
    assert_eq!(input.credentials.key, None);
    assert_eq!(input.credentials.cross_account_role, None);
    assert_eq!(input.endpoints.sts.as_deref(), Some("http://sts.local"));
    assert_eq!(input.endpoints.s3, None);
    assert_eq!(config.globals.host, "collector-not_used-host_1");
    assert_eq!(config.globals.memory_limit, 2 << 30);
    let custom = &input.services[1];
    assert!(custom.skips("a/CloudTrail-Digest/b"));
    assert_eq!(custom.file_fields[0].value("a_b/c").as_deref(), Some("ab"));
}

#[test]
fn parquet_is_asked_for_by_processor_or_encoding() {
    let format = |format: &str| {
        let text = std::fs::read_to_string(testdata("valid/minimal.yaml")).unwrap();
        let service = format!("custom_x: {{routing_template: my.app.a.b, {format}}}");
        let text = text.replace("aws_sqs_vpc:", &service);
        assert!(text.contains("custom_x"), "{text}");
        let config = parse(&text, Path::new(""), &environment()).unwrap().config;
        config.inputs[0].services[0].format.clone()
    };
    assert_eq!(format("file_format: {type: parquet_processor}"), Format::Parquet);
    assert_eq!(format("encoding: parquet"), Format::Parquet);
    let both = "encoding: parquet, file_format: {type: line_split_processor, config: {json: true}}";
    assert_eq!(format(both), Format::Parquet);
}

#[test]
fn do_not_send_keeps_the_messages() {
    let input = |extra: &str| {
        let text = std::fs::read_to_string(testdata("valid/minimal.yaml")).unwrap();
        let text = text.replace("    id: 1\n", &format!("    id: 1\n{extra}"));
        parse(&text, Path::new(""), &environment()).unwrap().config.inputs.remove(0)
    };
    assert!(input("").ack_messages);
    assert!(!input("    do_not_send: true\n").ack_messages);
    assert!(input("    do_not_send: true\n    ack_messages: true\n").ack_messages);
}

#[test]
fn the_nearest_endpoint_wins() {
    let endpoints = |keys: &str, variables: &'static [(&str, &str)]| {
        let text = std::fs::read_to_string(testdata("valid/minimal.yaml")).unwrap();
        let text = text.replace("    id: 1\n", &format!("    id: 1\n{keys}"));
        let value = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        let environment = Environment { variable: Box::new(value), ..environment() };
        let endpoints = parse(&text, Path::new(""), &environment).unwrap().config.inputs.remove(0).endpoints;
        [endpoints.sqs, endpoints.s3, endpoints.sts].map(Option::unwrap_or_default)
    };
    const VARIABLES: &[(&str, &str)] =
        &[("AWS_ENDPOINT_URL", "http://e"), ("AWS_ENDPOINT_URL_S3", "http://e3/")];
    assert_eq!(endpoints("", &[]), ["", "", ""]);
    assert_eq!(endpoints("", VARIABLES), ["http://e", "http://e3", "http://e"]);
    let common = "    endpoint_url: http://f/\n";
    assert_eq!(endpoints(common, VARIABLES), ["http://f", "http://f", "http://f"]);
    let own = "    endpoint_url: http://f\n    sqs_endpoint_url: http://q:1\n";
    assert_eq!(endpoints(own, VARIABLES), ["http://q:1", "http://f", "http://f"]);
}

fn problems_of_output(config: &str, folder: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(testdata("valid/minimal.yaml")).unwrap();
    let output = format!("{{type: devo_platform, config: {{address: devo.local, {config}}}}}");
    let text = text.replace("{type: console}", &output);
    let problems = match parse(&text, folder, &environment()) {
        Ok(loaded) => loaded.warnings,
        Err(Problems(problems)) => problems,
    };
    problems.into_iter().map(|p| format!("{:?} {}: {}", p.severity, p.path, p.message)).collect()
}

const FILES: &str = "chain: chain.crt, cert: domain.crt, key: domain.key";

#[test]
fn certificates_are_judged_by_the_date() {
    let first = |from, until| problems_of_output(FILES, certificates(from, until).path()).concat();
    assert_eq!(first(-1, 31), "");
    assert!(first(-1, 29).starts_with("Warning outputs.console_1.config.cert: expires in 29 days"));
    assert!(first(-2, -1).starts_with("Error outputs.console_1.config.cert: has expired"));
    assert!(first(1, 40).starts_with("Error outputs.console_1.config.cert: is not valid before"));
}

#[test]
fn the_key_must_belong_to_the_certificate_and_to_nobody_else() {
    use std::os::unix::fs::PermissionsExt;
    let folder = certificates(-1, 300);
    let other = problems_of_output(&FILES.replace("domain.key", "other.key"), folder.path()).concat();
    assert!(other.contains("config.key: does not belong to the certificate"), "{other}");
    let key = folder.path().join("domain.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let open = problems_of_output(FILES, folder.path()).concat();
    assert!(open.starts_with("Warning") && open.contains("can be read by other users"), "{open}");
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    std::fs::write(&key, encrypted).unwrap();
    let encrypted = problems_of_output(FILES, folder.path()).concat();
    assert!(encrypted.contains("is encrypted"), "{encrypted}");
}

#[test]
fn a_missing_file_is_a_problem_not_a_panic() {
    let Err(problems) = load(Path::new("/nonexistent/config.yaml"), &environment()) else { panic!() };
    assert!(problems.to_string().contains("cannot read /nonexistent/config.yaml"));
}

#[test]
fn a_ledger_is_required_unless_told_otherwise() {
    let folder = certificates(-1, 300);
    let valid = std::fs::read_to_string(testdata("valid/vendor.json")).unwrap();
    let required =
        |text: &str| parse(text, folder.path(), &environment()).unwrap().config.globals.state_required;
    assert!(required(&valid));
    assert!(!required(
        &valid.replace(r#""type": "filesystem""#, r#""type": "filesystem", "required": false"#)
    ));
}

#[test]
fn paths_are_relative_to_the_files_folder() {
    let folder = certificates(-1, 300);
    let path = folder.path().join("config.json");
    std::fs::copy(testdata("valid/vendor.json"), &path).unwrap();
    let config = load(&path, &environment()).unwrap().config;
    assert_eq!(config.globals.state_directory, folder.path().join("state"));
    let Destination::Tls { files, .. } = &config.outputs[0].destination else { panic!() };
    assert_eq!(files.chain.as_deref(), Some(folder.path().join("chain.crt").as_path()));
}

/// The vendor's layout: `config`, `certs` and `state` beside each other.
#[test]
fn however_the_files_path_is_spelled_it_leads_to_the_same_places() {
    let root = certificates(-1, 300);
    let root = root.path();
    let [config, certs, other] = ["config", "certs", "other"].map(|name| root.join(name));
    for folder in [&config, &certs, &other, &root.join("state")] {
        std::fs::create_dir(folder).unwrap();
    }
    for file in ["chain.crt", "domain.crt", "domain.key"] {
        std::fs::rename(root.join(file), certs.join(file)).unwrap();
    }
    std::fs::copy(testdata("valid/vendor.json"), config.join("config.json")).unwrap();
    std::os::unix::fs::symlink(&config, other.join("link")).unwrap();
    let here = std::env::current_dir().unwrap();
    let up: PathBuf = here.components().skip(1).map(|_| "..").collect();
    let relative = up.join(config.strip_prefix("/").unwrap());
    let spelled =
        [config.clone(), relative, config.join("./../config"), other.join("../config/"), other.join("link")];
    for folder in spelled {
        let read = load(&folder.join("config.json"), &environment()).unwrap().config;
        assert_eq!(read.globals.state_directory, root.join("state"), "{folder:?}");
        let Destination::Tls { files, .. } = &read.outputs[0].destination else { panic!() };
        assert_eq!(files.chain.as_deref(), Some(certs.join("chain.crt").as_path()), "{folder:?}");
    }
    let text = "{outputs: {c: {type: console}}, inputs: {sqs_collector: {id: 1, base_url: \
                'https://sqs.us-east-1.amazonaws.com/111111111111/q', services: {aws_sqs_vpc: {}}}}}";
    for folder in ["", ".", "src/.."] {
        let read = parse(text, Path::new(folder), &environment()).unwrap().config;
        assert_eq!(read.globals.state_directory, here.join("state"), "{folder:?}");
    }
}

/// FIPS and dual stack by the environment, else by the profile, which is the input's own, that of `AWS_PROFILE`, or the
/// default one.
#[test]
fn variants_of_addresses_come_from_the_environment_or_the_profile() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("config");
    let profiles = "[default]\nuse_fips_endpoint = True\n[profile other]\nuse_dualstack_endpoint=true\n\
                    [profile odd]\nuse_fips_endpoint = perhaps\n";
    std::fs::write(&file, profiles).unwrap();
    let read = |region: &str, credentials: &str, variables: &[(&str, &str)]| {
        let mut variables: Vec<(String, String)> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        variables.push(("AWS_CONFIG_FILE".to_owned(), file.display().to_string()));
        let value = move |name: &str| {
            variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
        };
        let environment = Environment { variable: Box::new(value), ..environment() };
        let text = format!(
            "outputs: {{c: {{type: console}}}}\ninputs:\n  sqs_collector: {{id: 1, base_url: 'https://sqs.{region}.amazonaws.com/111111111111/q', \
             credentials: {{{credentials}}}, services: {{aws_sqs_vpc: {{}}}}}}\n  aws: {{id: 2, credentials: {{{credentials}}}, \
             services: {{metrics-all: {{regions: [{region}]}}}}}}\n"
        );
        let config = parse(&text, Path::new(""), &environment)?.config;
        let variants = [config.inputs[0].endpoints.variant, config.sources[0].endpoints.variant];
        assert_eq!(variants[0], variants[1]);
        Ok::<_, Problems>((variants[0].fips, variants[0].dual_stack))
    };
    let (fips, dual_stack) = ("AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT");
    let variant =
        |credentials, variables: &[(&str, &str)]| read("us-east-1", credentials, variables).unwrap();
    assert_eq!(variant("", &[]), (true, false));
    assert_eq!(variant("", &[(fips, "false"), (dual_stack, "TRUE")]), (false, true));
    assert_eq!(variant("", &[(fips, " ")]), (true, false), "blank counts as absent");
    assert_eq!(variant("", &[("AWS_PROFILE", "other")]), (false, true));
    assert_eq!(variant("profile: other", &[("AWS_PROFILE", "default")]), (false, true));
    assert_eq!(variant("profile: nobody", &[]), (false, false));
    let refused = |region, credentials, variables: &[(&str, &str)]| {
        read(region, credentials, variables).unwrap_err().to_string()
    };
    let odd = refused("us-east-1", "profile: odd", &[]);
    assert!(odd.contains("inputs.sqs_collector (use_fips_endpoint of the profile): \"perhaps\""), "{odd}");
    let odd = refused("us-east-1", "", &[(dual_stack, "1")]);
    assert!(odd.contains("(environment variable AWS_USE_DUALSTACK_ENDPOINT)"), "{odd}");
    let china = refused("cn-north-1", "", &[]);
    assert!(china.contains("AWS has no FIPS endpoints in cn-north-1"), "{china}");
}

/// The vendor's container has `config`, `certs` and `state` beside each other. Files in the file's own folder win.
#[test]
fn certificates_and_state_are_found_where_the_vendor_has_them() {
    let root = tempfile::tempdir().unwrap();
    let files = certificates(-1, 300);
    let copy = |to: &str| {
        std::fs::create_dir_all(root.path().join(to)).unwrap();
        for name in ["chain.crt", "domain.crt", "domain.key"] {
            std::fs::copy(files.path().join(name), root.path().join(to).join(name)).unwrap();
        }
    };
    let read = || {
        std::fs::create_dir_all(root.path().join("config")).unwrap();
        let path = root.path().join("config/config.json");
        std::fs::copy(testdata("valid/vendor.json"), &path).unwrap();
        let config = load(&path, &environment())?.config;
        let Destination::Tls { files, .. } = &config.outputs[0].destination else { panic!() };
        let key = files.identity.as_ref().unwrap().key.clone();
        let within = |path: &Path| path.strip_prefix(root.path()).unwrap().display().to_string();
        Ok::<_, Problems>((within(&key), within(&config.globals.state_directory)))
    };
    let missing = read().unwrap_err().to_string();
    assert!(missing.contains("config/chain.crt") && missing.contains("a folder certs"), "{missing}");
    let found = |key: &str, state: &str| assert_eq!(read().unwrap(), (key.to_owned(), state.to_owned()));
    copy("certs");
    found("certs/domain.key", "config/state");
    std::fs::create_dir(root.path().join("state")).unwrap();
    found("certs/domain.key", "state");
    copy("config/certs");
    std::fs::create_dir(root.path().join("config/state")).unwrap();
    found("config/certs/domain.key", "config/state");
    copy("config");
    found("config/domain.key", "config/state");
}

/// A configuration with the given credentials, in a file of the given mode; problems and key.
fn with_credentials(credentials: &str, mode: u32) -> (Vec<String>, Option<AccessKey>) {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str, mode| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    };
    for (name, text, mode) in [
        ("secret", "never-shown/+\n", 0o600),
        ("open", "never-shown-open", 0o644),
        ("id", "AKIAFILE\n", 0o600),
        ("empty", " \n", 0o600),
        ("lines", "never-shown\nnever-shown", 0o600),
    ] {
        write(name, text, mode);
    }
    let text = std::fs::read_to_string(testdata("valid/minimal.yaml")).unwrap();
    let text = text.replace(
        "    id: 1\n",
        &format!("    id: 1\n    ack_messages: false\n    credentials: {credentials}\n"),
    );
    let file = write("config.yaml", &text, mode);
    let value = |name: &str| (name == "SECRET").then(|| "never-shown-variable".to_owned());
    let environment = Environment { variable: Box::new(value), ..environment() };
    let (problems, config) = match load(&file, &environment) {
        Ok(Loaded { mut config, warnings, .. }) => (warnings, config.inputs.remove(0).credentials.key),
        Err(Problems(problems)) => (problems, None),
    };
    let shown = problems.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert!(!shown.concat().contains("never-shown"), "{shown:?}");
    (shown, config)
}

#[test]
fn secrets_may_come_from_files_and_from_the_environment() {
    let both = "{aws_access_key_id_file: id, aws_secret_access_key_file: secret}";
    let (problems, key) = with_credentials(both, 0o644);
    let key = key.unwrap();
    assert_eq!(
        (problems.concat(), key.id.as_str(), key.secret.as_str()),
        (String::new(), "AKIAFILE", "never-shown/+")
    );
    let variable = "{aws_access_key_id: A, aws_secret_access_key: \"${SECRET}\"}";
    let (problems, key) = with_credentials(variable, 0o644);
    assert_eq!((problems.concat(), key.unwrap().secret.as_str()), (String::new(), "never-shown-variable"));
    for (file, part) in
        [("empty", "empty does not contain"), ("lines", "lines does not contain"), ("no", "cannot read")]
    {
        let (problems, key) =
            with_credentials(&both.replace("file: secret", &format!("file: {file}")), 0o600);
        assert!(key.is_none() && problems.len() == 1 && problems[0].contains(part), "{problems:?}");
    }
    let (problems, _) = with_credentials(&variable.replace("SECRET", "NOT_SET"), 0o600);
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].contains("aws_secret_access_key: the environment variable NOT_SET is not set"));
}

#[test]
fn secrets_that_others_can_read_are_warned_about() {
    let written = "{aws_access_key_id: A, aws_secret_access_key: never-shown}";
    let (problems, _) = with_credentials(written, 0o640);
    assert!(problems.len() == 1 && problems[0].starts_with("warning: "), "{problems:?}");
    assert!(problems[0].contains("config.yaml can be read by other users"), "{problems:?}");
    assert_eq!(with_credentials(written, 0o600).0, Vec::<String>::new());
    let (problems, key) = with_credentials("{aws_access_key_id: A, aws_secret_access_key_file: open}", 0o644);
    assert!(key.is_some() && problems.len() == 1, "{problems:?}");
    assert!(problems[0].contains("aws_secret_access_key_file: ") && problems[0].contains("open can be read"));
}

mod definitions;
mod documented_keys;
mod messages;
mod registry_rows;
mod schema;
mod vendor_keys;
mod vendor_rows;

/// `docs/custom_service.md` states what its examples send.
mod documented_examples {
    use super::*;
    use crate::decode::{Bounds, Decoder, Record, Scratch};
    use crate::services::{Definition, Route, Verdict};

    fn definition(name: &str) -> Definition {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/custom_service.md");
        let page = std::fs::read_to_string(page).unwrap();
        let (_, example) = page.split_once(&format!("```json\n\"{name}\": ")).unwrap();
        let (example, _) = example.split_once("```").unwrap();
        let (keys, report) = (serde_json::from_str(example).unwrap(), Report::default());
        let definition = service::read(
            name,
            &node::Node::new("s", &keys, &report),
            "us-east-1",
            registry::Catalog::built_in(),
        );
        assert_eq!(report.into_problems(), []);
        Arc::unwrap_or_clone(definition.unwrap())
    }

    /// Tags and bodies.
    fn sent(definition: &Definition, key: &str, object: &[u8]) -> Vec<(String, String)> {
        let mut route = Route::new(definition, key);
        let mut sent = Vec::new();
        let mut sink = |record: Record<'_>| {
            if let Verdict::Send { tag, .. } = route.verdict(record) {
                sent.push((tag.to_owned(), String::from_utf8(record.bytes.to_vec()).unwrap()));
            }
        };
        let mut decoder = Decoder::new(definition.format.clone(), Bounds::default());
        decoder.push(object, true, &mut Scratch::new(), &mut sink).unwrap();
        sent
    }

    #[test]
    fn lines_by_folder() {
        let firewall = definition("custom_firewall");
        let allow = r#"{"action":"allow","severity":"info"}"#;
        let debug = r#"{"action":"deny","severity":"debug"}"#;
        let object = format!("{allow}\n{debug}\n");
        let threat = "firewall/threat-log/2024/01/01/x.gz";
        let expected = [("my.app.firewall.threat_log".to_owned(), allow.to_owned())];
        assert_eq!(sent(&firewall, threat, object.as_bytes()), expected);
        assert_eq!(sent(&firewall, "firewall/traffic/x", object.as_bytes()), []);
        assert!(firewall.skips("firewall/test/x") && !firewall.claims("other/x"));
    }

    #[test]
    fn a_smaller_shape() {
        let object = br#"{"meta": {"page": 1},
 "result": {"items": [
   {"id": 1, "user": {"name": "ada", "mail": "a@example.com"}, "cost": 1.50},
   {"id": 2, "user": {"name": "bob"}, "cost": 2}]}}"#;
        let record = |tag: &str, body: &str| (tag.to_owned(), body.to_owned());
        let expected = [
            record("my.app.billing.ada", r#"{"id":1,"user":"ada","cost_usd":1.50}"#),
            record("my.app.billing.bob", r#"{"id":2,"user":"bob","cost_usd":2}"#),
        ];
        assert_eq!(sent(&definition("custom_billing"), "k", object), expected);
    }

    #[test]
    fn fields_of_a_text_file() {
        let object = b"Datum;Ger\xe4t;Meldung\r\n2024-01-01;T\xfcre 1;\"ge\xf6ffnet; dann zu\"\r\n";
        let body = r#"{"Datum":"2024-01-01","Gerät":"Türe 1","Meldung":"geöffnet; dann zu"}"#;
        let expected = [("my.app.doors.events".to_owned(), body.to_owned())];
        assert_eq!(sent(&definition("custom_doors"), "k", object), expected);
    }
}

mod any_tree {
    use proptest::prelude::*;
    use serde_json::{Map, Value};

    use super::*;

    /// Keys that mean something somewhere, so that the readers get far.
    const KEYS: &[&str] = &[
        "globals",
        "inputs",
        "outputs",
        "sqs_collector",
        "services",
        "aws_sqs_vpc",
        "custom_service",
        "credentials",
        "file_format",
        "type",
        "config",
        "key",
        "keys",
        "operations",
        "operator",
        "pattern",
        "element",
        "on",
        "when",
        "template",
        "routing_template",
        "routing_cases",
        "line_filter_rules",
        "filename_filter_rules",
        "value",
        "record_field_mapping",
        "file_field_definitions",
        "base_url",
        "region",
        "memory_limit",
        "chain",
        "cert",
        "address",
        "port",
        "source",
        "enabled",
        "id",
        "a",
    ];
    const TEXTS: &[&str] = &[
        "",
        "true",
        "match",
        "record",
        "file",
        "split",
        "regex",
        "replace",
        "(",
        "a.[record-a]",
        "[",
        "7",
        "-1",
        "line_split_processor",
        "unseparated_json_processor",
        "devo_platform",
        "syslog",
        "console",
        "SSL",
        "a",
        "https://sqs.us-west-1.amazonaws.com/111111111111/q",
        "http://[",
        "9999999999999GiB",
        "arn:aws:iam::1:role/",
        "é",
    ];

    fn tree() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            proptest::sample::select(TEXTS).prop_map(Value::from),
            ".*".prop_map(Value::from),
        ];
        leaf.prop_recursive(8, 128, 8, |inner| {
            let key = proptest::sample::select(KEYS).prop_map(str::to_owned);
            prop_oneof![
                1 => proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                4 => proptest::collection::vec((key, inner), 0..8)
                    .prop_map(|entries| Value::Object(Map::from_iter(entries))),
            ]
        })
    }

    /// A valid tree with one subtree replaced, so that every reader meets every shape.
    fn replaced(mut config: Value, at: &[proptest::sample::Index], by: Value) -> Value {
        let mut place = &mut config;
        for step in at {
            let size = place.as_object().map_or(0, Map::len) + place.as_array().map_or(0, Vec::len);
            if size == 0 {
                break;
            }
            let step = step.index(size);
            place = match place {
                Value::Object(entries) => entries.values_mut().nth(step).unwrap(),
                Value::Array(items) => &mut items[step],
                _ => break,
            };
        }
        *place = by;
        config
    }

    proptest! {
        #[test]
        fn never_panics(tree in tree()) {
            let _ = parse(&tree.to_string(), Path::new("/nonexistent"), &environment());
        }

        #[test]
        fn never_panics_on_text(text in "[ -~\n\t\u{0}é]{0,200}") {
            let _ = parse(&text, Path::new("/nonexistent"), &environment());
        }

        #[test]
        fn a_refusal_names_an_error(
            name in proptest::sample::select(&["valid/full.yaml", "valid/vendor.json", "bad/services.yaml"][..]),
            at in proptest::collection::vec(any::<proptest::sample::Index>(), 1..9),
            by in tree(),
        ) {
            let text = std::fs::read_to_string(testdata(name)).unwrap();
            let config = tree::read(&text, &Report::default()).unwrap();
            let text = replaced(config, &at, by).to_string();
            if let Err(Problems(problems)) = parse(&text, Path::new("/nonexistent"), &environment()) {
                prop_assert_eq!(problems[0].severity, Severity::Error);
            }
        }
    }
}

#[test]
fn what_a_fifo_queue_or_a_low_rate_makes_of_an_output_is_said() {
    let warnings = |queue: &str, config: &str| {
        let text = format!(
            r#"
            outputs: {{relay: {{type: relay, config: {{address: h, port: 1, type: TCP, {config}}}}}}}
            inputs: {{sqs_collector: {{id: "1", base_url: "https://sqs.us-east-1.amazonaws.com/111111111111/{queue}", services: {{aws_sqs_vpc: {{}}}}}}}}"#
        );
        let loaded = parse(&text, Path::new(""), &Environment::here()).unwrap();
        loaded.warnings.into_iter().map(|problem| problem.to_string()).collect::<Vec<_>>().join("\n")
    };
    assert!(
        warnings("q.fifo", "compression: gzip")
            .contains("outputs.relay.config.compression: does not apply to inputs.sqs_collector")
    );
    assert!(!warnings("q", "compression: gzip").contains("compression"));
    assert!(warnings("q", "max_bytes_per_second: 1000").contains("a pause of up to 263 s"));
    assert!(!warnings("q", "max_bytes_per_second: 1000000").contains("per_second"));
}

#[test]
fn a_fifo_queue_is_known_by_its_name_whatever_its_address_looks_like() {
    for (url, is_fifo) in [
        ("https://sqs.us-east-1.amazonaws.com/111122223333/logs.fifo", true),
        ("https://sqs.us-east-1.amazonaws.com/111122223333/logs.fifo/", true),
        ("http://127.0.0.1:4566/000000000000/logs.fifo", true),
        ("http://127.0.0.1:4566/000000000000/logs.fifo?x=y", true),
        ("https://vpce-1.sqs.us-east-1.vpce.amazonaws.com/111122223333/logs.fifo", true),
        ("https://sqs.us-east-1.amazonaws.com/111122223333/logs", false),
        ("https://my.fifo/111122223333/logs", false),
        ("https://sqs.us-east-1.amazonaws.com/111122223333/fifo", false),
        ("https://sqs.us-east-1.amazonaws.com/111122223333/logs.fifo-copy", false),
    ] {
        assert_eq!(Queue::Url(url.into()).is_fifo(), is_fifo, "{url}");
    }
    assert!(Queue::Name("logs.fifo".into()).is_fifo() && !Queue::Name("logs".into()).is_fifo());
}
