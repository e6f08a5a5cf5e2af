//! Exit codes that say more than success and failure.

/// Something could not be delivered.
pub const UNDELIVERED: u8 = 1;

/// Exit code if the configuration, an argument or a file that the command needs cannot be used.
pub const REFUSED: u8 = 2;

/// Exit code if standard output cannot be written: `EX_IOERR` of `sysexits.h`.
pub const UNPRINTED: u8 = 74;

/// Exit code if a temporary condition outside the configuration prevented the start: `EX_TEMPFAIL` of `sysexits.h`.
pub const TRY_AGAIN: u8 = 75;
