//! Kinds of problems.

/// The kind of a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The file is missing, or is neither YAML nor JSON.
    Syntax,
    UnknownKey,
    Missing,
    WrongType,
    OutOfRange,
    /// Well formed, but invalid.
    Invalid,
    /// The vendor's collector supports it, this version does not.
    Unsupported,
    /// A certificate, key or chain.
    TlsFile,
    /// Allowed, but probably a mistake.
    Doubtful,
    /// The network shows otherwise (`check --online`).
    Online,
    /// A queue does not answer (`check --online`).
    Queue,
}
