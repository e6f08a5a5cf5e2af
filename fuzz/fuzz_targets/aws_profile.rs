#![no_main]

use aws_to_devo::aws::chain::{ini, profile};
use aws_to_devo_fuzz::parts;
use libfuzzer_sys::fuzz_target;

// Both files of the AWS tools, separated by a zero byte: for any content, every profile leads to an end.
fuzz_target!(|input: &[u8]| {
    let [config, credentials] = parts::of(input).map(parts::text);
    let (Ok(config), Ok(credentials)) = (ini::parse(config), ini::parse(credentials)) else { return };
    for section in config.iter().chain(&credentials) {
        assert!(!section.title.contains(['\n', ']']));
        assert!(section.entries.iter().all(|(key, _)| !key.is_empty() && !key.contains(['\n', '='])));
    }
    let names: Vec<String> = config
        .iter()
        .chain(&credentials)
        .map(|section| section.title.trim_start_matches("profile").trim().to_owned())
        .collect();
    let profiles = profile::Profiles::join(config, credentials);
    for name in names {
        if let Err(fault) = profiles.plan(&name) {
            assert!(!fault.to_string().is_empty());
        }
    }
});
