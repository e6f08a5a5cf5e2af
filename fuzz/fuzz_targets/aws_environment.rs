#![no_main]

use aws_to_devo::aws::chain::document;
use aws_to_devo::aws::proxy::Proxies;
use libfuzzer_sys::fuzz_target;

// Untrusted input from the environment: credentials documents of a process, a container's and an instance's endpoint;
// and the proxy variables.
fuzz_target!(|input: (&[u8], &str, &str)| {
    let (bytes, exceptions, host) = input;
    for document in [document::of_process(bytes), document::of_container(bytes), document::of_instance(bytes)]
    {
        if let Err(cause) = document {
            assert!(!cause.is_empty());
        }
    }
    let _ = document::refusal(bytes);
    let proxies = Proxies::read(|name| (name == "NO_PROXY").then(|| exceptions.to_owned()));
    let bypasses = proxies.bypasses(host);
    assert!(proxies.bypasses("localhost") && proxies.bypasses("127.0.0.1"));
    if exceptions.trim().is_empty() {
        let of_all = Proxies::read(|name| (name == "no_proxy").then(|| "*".to_owned()));
        assert!(of_all.bypasses(host) || !bypasses);
    }
});
