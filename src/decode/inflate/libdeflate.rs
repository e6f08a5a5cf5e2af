//! One whole gzip member in one call: libdeflate through its C interface.
//!
//! The safe wrappers do not report how much input a member used, which several members in one object need. Only this
//! file calls C.

use std::ptr::NonNull;

use libdeflate_sys as ffi;

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The member used this many bytes of the input; checksum and length are right.
    Whole { consumed: usize },
    /// The output buffer is too small.
    NoRoom,
    /// Not a whole, correct member.
    Damaged,
}

/// libdeflate's working memory (about 12 KiB).
pub(super) struct Libdeflate(NonNull<ffi::libdeflate_decompressor>);

// SAFETY: the decompressor is plain memory without ties to a thread; `&mut` gives one user at a time.
unsafe impl Send for Libdeflate {}

impl Libdeflate {
    /// None if there is no memory.
    pub fn new() -> Option<Self> {
        // SAFETY: no preconditions; null is handled.
        NonNull::new(unsafe { ffi::libdeflate_alloc_decompressor() }).map(Libdeflate)
    }

    /// Inflates the gzip member at the start of `input` into `output`, whose old content is lost and whose capacity is
    /// the limit. Unless the outcome is `Whole`, `output` is empty.
    pub fn member(&mut self, input: &[u8], output: &mut Vec<u8>) -> Outcome {
        output.clear();
        let room = output.spare_capacity_mut();
        let (mut consumed, mut produced) = (0, 0);
        // SAFETY: the decompressor is live until drop. `input` is readable for its length, `room` is
        // writable for its length, and they cannot overlap, as `output` is borrowed exclusively.
        // libdeflate reads and writes within these bounds. Both counters outlive the call.
        let result = unsafe {
            ffi::libdeflate_gzip_decompress_ex(
                self.0.as_ptr(),
                input.as_ptr().cast(),
                input.len(),
                room.as_mut_ptr().cast(),
                room.len(),
                &mut consumed,
                &mut produced,
            )
        };
        match result {
            ffi::libdeflate_result_LIBDEFLATE_SUCCESS => {
                debug_assert!(produced <= output.capacity() && consumed <= input.len());
                // SAFETY: on success the first `produced` bytes, within the capacity, are written.
                unsafe { output.set_len(produced) };
                Outcome::Whole { consumed }
            }
            ffi::libdeflate_result_LIBDEFLATE_INSUFFICIENT_SPACE => Outcome::NoRoom,
            _ => Outcome::Damaged,
        }
    }
}

impl Drop for Libdeflate {
    fn drop(&mut self) {
        // SAFETY: allocated by libdeflate in `new`, freed only here.
        unsafe { ffi::libdeflate_free_decompressor(self.0.as_ptr()) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::gzip;
    use super::*;

    #[test]
    fn one_member_of_several() {
        let (first, second) = (gzip(b"first"), gzip(b"second"));
        let both = [first.clone(), second].concat();
        let mut output = Vec::with_capacity(100);
        let mut libdeflate = Libdeflate::new().unwrap();
        assert_eq!(libdeflate.member(&both, &mut output), Outcome::Whole { consumed: first.len() });
        assert_eq!(output, b"first");
    }

    #[test]
    fn no_room_and_damage_leave_nothing() {
        let mut libdeflate = Libdeflate::new().unwrap();
        let mut output = Vec::with_capacity(3);
        assert_eq!(libdeflate.member(&gzip(b"12345678901"), &mut output), Outcome::NoRoom);
        assert_eq!(output, b"");
        for input in [&b""[..], b"\x1f\x8b", b"no gzip", &gzip(b"abc")[..10]] {
            assert_eq!(libdeflate.member(input, &mut output), Outcome::Damaged);
            assert_eq!(output, b"");
        }
    }
}
