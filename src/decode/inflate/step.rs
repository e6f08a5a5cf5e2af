//! The result of one call of a decompressor.

use super::super::Error;

/// The result of one call of a codec. It takes some input and fills some of the window. If it does neither, it needs
/// more input. The output counts even if it failed after it.
pub struct Step {
    pub consumed: usize,
    pub produced: usize,
    pub failed: Option<Error>,
}

impl Step {
    pub(super) fn on(consumed: usize, produced: usize) -> Self {
        Step { consumed, produced, failed: None }
    }

    pub(super) fn failed(consumed: usize, produced: usize, error: Error) -> Self {
        Step { consumed, produced, failed: Some(error) }
    }
}

/// True for bytes between two members, streams or frames: line ends that Firehose's record delimiter adds, and the zero
/// bytes that tapes and block devices pad with.
pub(super) fn padding(input: &[u8]) -> usize {
    input.iter().take_while(|byte| matches!(byte, 0 | b'\r' | b'\n')).count()
}
