//! Calls to STS: roles, and the caller's identity.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use super::client::Client;
use super::credentials::Credentials;
use super::error::Error;
use super::sts::{self, AssumeRole, AssumeRoleWithWebIdentity, CallerIdentity};
use crate::base::backoff::Backoff;
use crate::base::limits::{RECEIVE_BACKOFF_FIRST, RECEIVE_BACKOFF_MAX};
use crate::base::stop::Stop;
use crate::settings::Service;
use crate::telemetry::{Failure, Health};

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

    /// Requests the role's temporary credentials.
    pub fn assume_role(&self, role: &AssumeRole<'_>) -> Result<Credentials, Error> {
        let request = sts::assume_role(role, &self.endpoint, self.client.region());
        self.client.call_and_read(&request, sts::read_assume_role)
    }

    /// Exchanges a token for the role's temporary credentials; the client's own credentials should be anonymous.
    pub fn assume_role_with_web_identity(
        &self,
        role: &AssumeRoleWithWebIdentity<'_>,
    ) -> Result<Credentials, Error> {
        let request = sts::assume_role_with_web_identity(role, &self.endpoint, self.client.region());
        self.client.call_and_read(&request, sts::read_assume_role)
    }

    /// The account and ARN of the client's credentials. Needs no permission, so it proves the key.
    pub fn caller_identity(&self) -> Result<CallerIdentity, Error> {
        let request = sts::caller_identity(&self.endpoint, self.client.region());
        self.client.call_and_read(&request, sts::read_caller_identity)
    }
}

/// The account of an input's credentials, for tags that need it. STS is asked once one does. Clones share it.
#[derive(Clone, Default)]
pub struct AccountId(Arc<State>);

#[derive(Default)]
struct State {
    known: OnceLock<String>,
    wanted: AtomicBool,
    sts: Option<Sts>,
}

impl AccountId {
    /// `known` is the account in the configuration. `wanted` means that nothing can be tagged without it.
    pub fn new(known: Option<&str>, wanted: bool, sts: Sts) -> AccountId {
        let known = known.map_or_else(OnceLock::new, |account| OnceLock::from(account.to_owned()));
        AccountId(Arc::new(State { known, wanted: wanted.into(), sts: Some(sts) }))
    }

    /// The account, if it is known.
    pub fn known(&self) -> Option<&str> {
        self.0.known.get().map(String::as_str)
    }

    /// Notes that something cannot be tagged without it.
    pub fn want(&self) {
        self.0.wanted.store(true, Ordering::Relaxed);
    }

    /// Asks STS unless the account is known, and tolerates a missing answer.
    pub fn ask(&self) {
        let Some(sts) = self.0.sts.as_ref().filter(|_| self.known().is_none()) else { return };
        match sts.caller_identity() {
            Ok(identity) => drop(self.0.known.set(identity.account)),
            Err(error) => log::debug!("the account of the credentials is not known: {error}"),
        }
    }

    /// Waits until the account is known, if something needs it. A wait for STS is a trouble of `health`. Returns false
    /// if stopped.
    pub fn learn(&self, health: &Health, stop: &Stop) -> bool {
        let mut backoff = Backoff::new(RECEIVE_BACKOFF_FIRST, RECEIVE_BACKOFF_MAX);
        while self.0.wanted.load(Ordering::Relaxed) && self.known().is_none() {
            if stop.is_stopped() {
                return false;
            }
            let Some(sts) = &self.0.sts else { return true };
            match sts.caller_identity() {
                // Another thread may have learned it meanwhile.
                Ok(identity) => drop(self.0.known.set(identity.account)),
                Err(_) if stop.is_stopped() => return false,
                Err(error) => {
                    health.failed(unknown(&error), !error.is_temporary());
                    stop.wait(backoff.pause());
                }
            }
        }
        true
    }
}

fn unknown(error: &Error) -> Failure {
    let message = format!(
        "the account, which is a level of its tags, is not known: {error}. Nothing is received until STS answers, so \
         that nothing is sent to a wrong table. Without STS: write the account into the service's \"tag\" instead of \
         {{account_id}}"
    );
    Failure { cause: error.cause(), message }
}
