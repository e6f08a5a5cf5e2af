//! The far end of a connection.

use serde::Serialize;

/// The far end of a connection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Link {
    /// IP address and port.
    pub address: String,
    /// `TLS 1.3`; None: there is no TLS.
    pub tls: Option<String>,
}
