//! STS: roles, and who we are.

use super::client::Client;
use super::credentials::Credentials;
use super::endpoint::Service;
use super::error::Error;
use super::sts::{self, AssumeRole, AssumeRoleWithWebIdentity, CallerIdentity};

/// Calls STS in the client's region.
#[derive(Clone)]
pub struct Sts {
    client: Client,
    endpoint: String,
}

impl Sts {
    pub fn new(client: Client) -> Self {
        let endpoint = client.endpoint(Service::Sts);
        Self { client, endpoint }
    }

    /// The role's temporary credentials.
    pub fn assume_role(&self, role: &AssumeRole<'_>) -> Result<Credentials, Error> {
        let request = sts::assume_role(role, &self.endpoint, self.client.region());
        self.client.call_and_read(&request, sts::read_assume_role)
    }

    /// The role's temporary credentials for a token; the client's own credentials should be anonymous.
    pub fn assume_role_with_web_identity(
        &self,
        role: &AssumeRoleWithWebIdentity<'_>,
    ) -> Result<Credentials, Error> {
        let request = sts::assume_role_with_web_identity(role, &self.endpoint, self.client.region());
        self.client.call_and_read(&request, sts::read_assume_role)
    }

    /// Account and ARN that the client's credentials belong to. Needs no permission, so it proves the key.
    pub fn caller_identity(&self) -> Result<CallerIdentity, Error> {
        let request = sts::caller_identity(&self.endpoint, self.client.region());
        self.client.call_and_read(&request, sts::read_caller_identity)
    }
}
