//! What kind of problem it is.

/// What sort of problem it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The file is not there, or is neither YAML nor JSON.
    Syntax,
    UnknownKey,
    Missing,
    WrongType,
    OutOfRange,
    /// Well formed, but it cannot mean what it says.
    Invalid,
    /// The vendor's collector knows it, this version does not.
    Unsupported,
    /// A certificate, key or chain.
    TlsFile,
    /// Allowed, but probably not what was meant.
    Doubtful,
    /// The network says otherwise (`check --online`).
    Online,
    /// A queue does not answer (`check --online`).
    Queue,
}
