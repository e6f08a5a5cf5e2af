//! Clients and credentials for a configuration. This is above the chain, which makes calls itself.

use std::sync::Arc;
use std::time::SystemTime;

use super::chain::{self, Chain, Role, Variables};
use super::client::Client;
use super::credentials::Credentials;
use super::endpoint;
use super::error::Error;
use super::http::Http;
use super::provider::{CredentialSource, Found, Provider};
use crate::base::stop::Stop;
use crate::settings;
use crate::settings::shown_key_id;

impl Client {
    /// Creates the client of an input that reads a queue.
    pub fn of_input(http: &Http, input: &settings::Input, stop: &Stop) -> Self {
        let settings::Input { key, credentials, endpoints, region, .. } = input;
        Self::new(http, &format!("inputs.{key}"), credentials, endpoints, region, stop)
    }

    /// Creates a client, named `owner` in log lines: credentials from the file, endpoint overrides from the file and
    /// the environment. Nothing is sent yet. `stop` ends waits between attempts; calls are still possible after it.
    pub fn new(
        http: &Http,
        owner: &str,
        credentials: &settings::Credentials,
        endpoints: &settings::Endpoints,
        region: &str,
        stop: &Stop,
    ) -> Self {
        let endpoints = endpoint::resolve(endpoints, |name| std::env::var(name).ok());
        let first = Self::with(http, Provider::anonymous(), region, endpoints, stop);
        let provider = Provider::new(owner, credentials, &first);
        first.acting_as(provider)
    }
}

impl Provider {
    /// Creates a provider for the file's settings: its key, its profile or the standard AWS chain; then the base role,
    /// then the cross-account role. `owner` is named in log lines; `lender` provides connections, clock and the address
    /// of STS. Nothing is loaded yet.
    pub fn new(owner: &str, credentials: &settings::Credentials, lender: &Client) -> Self {
        Self::with(owner, credentials, lender, Arc::new(|name: &str| std::env::var(name).ok()))
    }

    /// Like [`Provider::new`], with the given environment.
    pub fn with(owner: &str, credentials: &settings::Credentials, lender: &Client, env: Variables) -> Self {
        let base = match &credentials.key {
            Some(key) => Base::Key(Credentials::of_key(key)),
            None => Base::Chain(Chain::new(credentials.profile.clone(), env)),
        };
        let settings = Settings { base, roles: roles(credentials), lender: lender.clone() };
        Self::of(owner, settings)
    }
}

/// The file's settings.
struct Settings {
    base: Base,
    /// Roles to assume, each with the keys of the one before.
    roles: Vec<Role>,
    /// Provides connections, clock and endpoints; its identity does not matter.
    lender: Client,
}

/// The source of the identity that calls AWS or assumes the first role.
enum Base {
    Key(Credentials),
    Chain(Chain),
}

impl CredentialSource for Settings {
    fn load(&self) -> Result<Found, Error> {
        let Found { credentials, origin } = self.load_base()?;
        let then = self.roles.iter().map(|role| format!(", then role {}", role.arn)).collect::<String>();
        let credentials = chain::assume(&self.roles, credentials, &self.lender)?;
        Ok(Found { credentials, origin: origin + &then })
    }

    fn now(&self) -> SystemTime {
        self.lender.clock().now()
    }
}

impl Settings {
    fn load_base(&self) -> Result<Found, Error> {
        match &self.base {
            Base::Key(key) => {
                let origin = format!("access key {}", shown_key_id(&key.access_key_id));
                Ok(Found { credentials: key.clone(), origin })
            }
            Base::Chain(chain) => chain.load(&self.lender),
        }
    }
}

/// The external id is for the last role, whose owner requires it.
pub(super) fn roles(credentials: &settings::Credentials) -> Vec<Role> {
    let arns = [&credentials.base_role, &credentials.cross_account_role].into_iter().flatten();
    let mut roles = arns.map(Role::new).collect::<Vec<_>>();
    if let Some(last) = roles.last_mut() {
        last.external_id.clone_from(&credentials.external_id);
    }
    roles
}
