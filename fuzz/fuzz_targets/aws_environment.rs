#![no_main]

use std::sync::Arc;

use aws_to_devo::aws::chain::{Variables, container, document};
use aws_to_devo::aws::credentials::expiry;
use aws_to_devo::aws::proxy::Proxies;
use aws_to_devo_fuzz::parts;
use http::Uri;
use libfuzzer_sys::fuzz_target;

// Untrusted input from the environment: credentials documents of a process, a container's and an instance's endpoint,
// the endpoint's address, and the proxy variables. The first byte chooses.
fuzz_target!(|input: &[u8]| {
    let [kind, input @ ..] = input else { return };
    match kind % 8 {
        0 => check_document(document::of_process(input)),
        1 => check_document(document::of_container(input)),
        2 => check_document(document::of_instance(input)),
        3 => drop(document::refusal(input)),
        4 => drop(expiry(parts::text(input))),
        5 => check_address("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", parts::text(input)),
        6 => check_address("AWS_CONTAINER_CREDENTIALS_FULL_URI", parts::text(input)),
        _ => check_proxies(parts::of(input).map(parts::text)),
    }
});

fn check_document<T>(document: Result<T, String>) {
    if let Err(cause) = document {
        assert!(!cause.is_empty());
    }
}

/// Credentials are requested without encryption only from this machine and from the agents of AWS.
fn check_address(variable: &'static str, value: &str) {
    let value = value.to_owned();
    let variables: Variables = Arc::new(move |name| (name == variable).then(|| value.clone()));
    let Ok(Some(address)) = container::address(&variables) else {
        return;
    };
    let _ = container::host_part(&address);
    let Ok(uri) = address.parse::<Uri>() else { return };
    assert!(!uri.authority().is_some_and(|authority| authority.as_str().contains('@')), "{address}");
    let host = uri.host().unwrap_or_default();
    let is_near = host.starts_with("127.")
        || ["169.254.170.2", "169.254.170.23"].contains(&host)
        || host.eq_ignore_ascii_case("localhost")
        || host.contains(':');
    assert!(uri.scheme_str() == Some("https") || is_near, "{address}");
}

fn check_proxies([exceptions, host]: [&str; 2]) {
    let proxies = Proxies::read(|name| (name == "NO_PROXY").then(|| exceptions.to_owned()));
    let bypasses = proxies.bypasses(host);
    assert!(proxies.bypasses("localhost") && proxies.bypasses("127.0.0.1"));
    if exceptions.trim().is_empty() {
        let of_all = Proxies::read(|name| (name == "no_proxy").then(|| "*".to_owned()));
        assert!(of_all.bypasses(host) || !bypasses);
    }
}
