//! Any request to the status page: answered, with the headers that protect its readers.

#![no_main]

use std::path::Path;
use std::sync::{Arc, LazyLock};

use aws_to_devo::config::{self, Environment};
use aws_to_devo::http::read_request;
use aws_to_devo::status::Site;
use aws_to_devo::telemetry::Telemetry;
use libfuzzer_sys::fuzz_target;

const CONFIGURATION: &str = "outputs: {o: {type: console}}\ninputs: {sqs_collector: {id: '1', \
                             base_url: 'https://sqs.eu-west-1.amazonaws.com/111111111111/q', services: {aws_sqs_vpc: {}}}}\n";

static SITE: LazyLock<Site> = LazyLock::new(|| {
    let loaded = config::parse(CONFIGURATION, Path::new(""), &Environment::here()).expect("a configuration");
    let telemetry = Arc::new(Telemetry::of(&loaded.config, Arc::default()));
    Site { telemetry, hosts: vec!["collector".to_owned()] }
});

fuzz_target!(|bytes: &[u8]| {
    let (mut stream, mut buffer) = (bytes, Vec::new());
    while let Ok(Some(request)) = read_request(&mut stream, &mut buffer) {
        let response = SITE.answer(&request);
        assert!([200, 400, 403, 404, 405, 503].contains(&response.status), "{}", response.status);
        let header =
            |name: &str| response.headers.iter().find(|(own, _)| *own == name).map(|(_, value)| &**value);
        assert_eq!(header("x-content-type-options"), Some("nosniff"));
        assert!(response.headers.iter().all(|(_, value)| !value.contains(['\r', '\n'])));
        let is_page = header("content-type").is_some_and(|form| form.starts_with("text/html"));
        assert!(!is_page || header("content-security-policy").is_some());
        // Only a refusal quotes the request, as plain text.
        assert!(request.method == "GET" || response.status == 403 || response.status == 405);
    }
});
