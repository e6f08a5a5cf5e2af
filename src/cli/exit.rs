//! Exit codes that say more than success and failure.

/// Something could not be delivered.
pub const UNDELIVERED: u8 = 1;

/// The configuration cannot be used.
pub const REFUSED: u8 = 2;

/// Something outside the configuration kept it from starting, and may be gone at the next try: `EX_TEMPFAIL` of
/// `sysexits.h`.
pub const TRY_AGAIN: u8 = 75;
