//! The states of a sender.

/// The states of a sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Activity {
    /// No connection, and nothing to send.
    Idle,
    Connecting,
    Connected,
    /// In backoff before it reconnects.
    BackingOff,
}

impl Activity {
    pub const ALL: [Activity; 4] =
        [Activity::Idle, Activity::Connecting, Activity::Connected, Activity::BackingOff];

    /// The exposed name.
    pub fn name(self) -> &'static str {
        match self {
            Activity::Idle => "idle",
            Activity::Connecting => "connecting",
            Activity::Connected => "connected",
            Activity::BackingOff => "backing_off",
        }
    }
}
