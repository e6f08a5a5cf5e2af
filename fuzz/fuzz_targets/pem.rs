//! Files with certificates and keys: used, or refused with an error.

#![no_main]

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::LazyLock;

use aws_to_devo::settings::{Identity, TlsFiles};
use aws_to_devo::stages::send::tls;
use aws_to_devo_fuzz::parts;
use libfuzzer_sys::fuzz_target;
use rustix::fs::{MemfdFlags, memfd_create};

/// Files without a disk.
static FILES: LazyLock<[Memory; 2]> = LazyLock::new(|| [Memory::new(), Memory::new()]);

struct Memory {
    file: File,
    path: PathBuf,
}

impl Memory {
    fn new() -> Memory {
        let file = File::from(memfd_create("pem", MemfdFlags::CLOEXEC).expect("a file in memory"));
        let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        Memory { file, path }
    }

    fn write(&self, content: &[u8]) {
        self.file
            .set_len(0)
            .and_then(|()| self.file.write_all_at(content, 0))
            .expect("memory can be written");
    }
}

// A zero byte ends the certificates; the key follows. The first byte chooses whether both are used.
fuzz_target!(|input: &[u8]| {
    let [kind, input @ ..] = input else { return };
    let ([chain, key], [certificates, private_key]) = (&*FILES, parts::of(input));
    chain.write(certificates);
    key.write(private_key);
    let identity = Identity { cert: chain.path.clone(), key: key.path.clone() };
    let files = TlsFiles { chain: Some(chain.path.clone()), identity: (kind & 1 == 0).then_some(identity) };
    if let Err(error) = tls::client_config(&files) {
        assert!(!error.to_string().is_empty());
    }
});
