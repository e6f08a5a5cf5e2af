//! The binary. The library's map is in `src/lib.rs`.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Disables huge pages, which make the first byte of a thread's heap, or of a large buffer, cost 2 MiB. The
    // allocator is built not to request them; this stops the kernel from giving them anyway. A kernel without them has
    // nothing to refuse.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    aws_to_devo::cli::main()
}
