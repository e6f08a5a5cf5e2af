//! Files with certificates and keys: used, or refused with an error.

#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use aws_to_devo::settings::{Identity, TlsFiles};
use aws_to_devo::stages::send::tls;
use libfuzzer_sys::fuzz_target;

static FILES: LazyLock<[PathBuf; 2]> = LazyLock::new(|| {
    let file = |name| std::env::temp_dir().join(format!("a2d-fuzz-{}-{name}", std::process::id()));
    [file("chain"), file("key")]
});

fuzz_target!(|input: (&[u8], &[u8])| {
    let [chain, key] = &*FILES;
    std::fs::write(chain, input.0).expect("the folder for temporary files can be written");
    std::fs::write(key, input.1).expect("the folder for temporary files can be written");
    let identity = Identity { cert: chain.clone(), key: key.clone() };
    for files in [
        TlsFiles { chain: Some(chain.clone()), identity: None },
        TlsFiles { chain: Some(chain.clone()), identity: Some(identity) },
    ] {
        if let Err(error) = tls::client_config(&files) {
            assert!(!error.to_string().is_empty());
        }
    }
});
