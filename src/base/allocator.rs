//! The memory that the allocator holds without need.

/// Returns the free memory of the calling thread's heap to the system. Without that it is kept until the thread allocates
/// again: after a short while of use, for as long as the thread waits.
pub fn give_back() {
    // SAFETY: it may be called at any time, and touches only what nothing uses; without mimalloc as the allocator that is nothing.
    unsafe { libmimalloc_sys::mi_collect(true) };
}
