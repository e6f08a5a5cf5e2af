//! Any input from a client of the status page: no panic, and a request contains only what was sent.

#![no_main]

use aws_to_devo::http::read_request;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let (mut stream, mut buffer) = (bytes, Vec::new());
    while let Ok(Some(request)) = read_request(&mut stream, &mut buffer) {
        assert!(request.method.len() + request.target.len() + request.body.len() <= bytes.len());
    }
});
