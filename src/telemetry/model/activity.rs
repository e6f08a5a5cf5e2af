//! What a sender may be doing.

/// Where a sender is between having nothing to do and having sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Activity {
    /// It has no connection, and nothing to send.
    Idle,
    Connecting,
    Connected,
    /// It waits before it tries to connect again.
    BackingOff,
}

impl Activity {
    pub const ALL: [Activity; 4] =
        [Activity::Idle, Activity::Connecting, Activity::Connected, Activity::BackingOff];

    /// As it is exposed.
    pub fn name(self) -> &'static str {
        match self {
            Activity::Idle => "idle",
            Activity::Connecting => "connecting",
            Activity::Connected => "connected",
            Activity::BackingOff => "backing_off",
        }
    }
}
