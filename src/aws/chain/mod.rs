//! The standard AWS chain: the sources of an identity if the configuration file gives no key.
//!
//! The crate `aws-config` was considered: it needs an async runtime and a second HTTP client, which the collector does
//! without (`docs/decisions/01-threads.md`).
//!
//! | file | what | touches the world |
//! |---|---|---|
//! | `ini` | the text of the shared files -> sections | no |
//! | `profile` | sections -> the source of the first identity, and the roles that follow | no |
//! | `files` | the shared files and token files | files |
//! | `document` | JSON with credentials | no |
//! | `process` | `credential_process` | processes |
//! | `metadata` | calls inside the machine | sockets |
//! | `container`, `instance` | ECS and EKS, EC2 | sockets |
//!
//! The order is that of AWS's own tools: environment, profile, web identity, container, instance. A place that is set
//! up but does not work ends the search, since going on would use another identity.

pub mod container;
pub mod document;
mod files;
pub mod ini;
pub mod instance;
mod metadata;
pub mod process;
pub mod profile;
mod variables;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use self::files::{SharedFiles, read_small};
use self::profile::{FirstIdentity, Plan, WebIdentity};
use super::client::Client;
use super::credentials::Credentials;
use super::error::Error;
use super::identity::Sts;
use super::kind::Kind;
use super::provider::{Found, Provider};
use super::sts::{AssumeRole, AssumeRoleWithWebIdentity};
use crate::base::limits::STALE_METADATA_EXTENSION;
use crate::settings::shown_key_id;

pub use self::profile::Role;
pub use self::variables::Variables;

/// Searches for credentials. Everything is read again each time, because files and tokens change.
#[derive(Clone)]
pub struct Chain {
    env: Variables,
    /// The only profile to use, without searching elsewhere.
    profile: Option<String>,
}

/// A setting of a profile of the shared files: that of `profile`, else of the one in `AWS_PROFILE`, else of the default
/// one. None if it is not set.
///
/// # Errors
/// If an existing file cannot be read.
pub fn setting(
    profile: Option<&str>,
    key: &str,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<String>, String> {
    let env = |name: &str| env(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
    let named = profile.map(str::to_owned).or_else(|| env("AWS_PROFILE"));
    let files = SharedFiles::read_settings(&env)?;
    Ok(files.profiles.value(named.as_deref().unwrap_or(profile::DEFAULT), key).map(str::to_owned))
}

impl Chain {
    /// `profile` is the only place to search; None means the whole chain.
    pub fn new(profile: Option<String>, env: Variables) -> Self {
        // Empty variables count as absent, as in AWS's tools.
        let set = move |name: &str| {
            env(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
        };
        Self { env: Arc::new(set), profile }
    }

    /// The first place that has credentials. `lender` provides connections, clock and the address of STS.
    ///
    /// # Errors
    /// That of a place that is set up but does not work; else one that lists every place and why it has none.
    pub fn load(&self, lender: &Client) -> Result<Found, Error> {
        let search = Search { env: &self.env, lender };
        if let Some(name) = &self.profile {
            let found = search.profile(name);
            return found.map_err(|miss| miss.into_error(&format!("(profile {name})")));
        }
        let mut reasons = Vec::new();
        for place in Search::PLACES {
            match place(&search) {
                Ok(found) => return Ok(found),
                Err(Miss::Failed(error)) => return Err(error),
                Err(Miss::Nothing(why)) => reasons.push(why),
            }
        }
        Err(nothing_found(&reasons))
    }
}

/// Assumes one role after the other, each with the credentials of the one before.
pub fn assume(roles: &[Role], first: Credentials, lender: &Client) -> Result<Credentials, Error> {
    roles.iter().try_fold(first, |credentials, role| {
        log::debug!("assuming {}", role.arn);
        let sts = Sts::new(lender.acting_as(Provider::fixed(credentials)));
        sts.assume_role(&AssumeRole {
            role_arn: &role.arn,
            session_name: &role.session_name,
            external_id: role.external_id.as_deref(),
            duration: role.duration,
        })
    })
}

/// The reason why a place has no credentials.
enum Miss {
    /// It is not set up.
    Nothing(String),
    /// It is set up but does not work.
    Failed(Error),
}

impl Miss {
    fn denied(place: &str, why: impl Into<String>) -> Self {
        Self::Failed(Error::setup("credentials", place, Kind::Denied, why))
    }

    fn transient(place: &str, why: impl Into<String>) -> Self {
        Self::Failed(Error::setup("credentials", place, Kind::Transient, why))
    }

    /// The error of a place that was requested by name.
    fn into_error(self, place: &str) -> Error {
        match self {
            Self::Nothing(why) => Error::setup("credentials", place, Kind::Denied, why),
            Self::Failed(error) => error,
        }
    }
}

fn nothing_found(reasons: &[String]) -> Error {
    let message = format!(
        "none found: write aws_access_key_id and aws_secret_access_key in the file, or set up one of the places that \
         were searched: {}",
        reasons.join("; ")
    );
    Error::setup("credentials", "(standard AWS chain)", Kind::Denied, message)
}

/// One search along the chain.
struct Search<'a> {
    env: &'a Variables,
    lender: &'a Client,
}

type Place<'a> = fn(&Search<'a>) -> Result<Found, Miss>;

impl<'a> Search<'a> {
    /// The searched places, in order.
    const PLACES: [Place<'a>; 5] =
        [Self::environment, Self::chosen_profile, Self::web_identity, Self::container, Self::instance];

    fn environment(&self) -> Result<Found, Miss> {
        if (self.env)("AWS_ACCESS_KEY_ID").is_none() && (self.env)("AWS_SECRET_ACCESS_KEY").is_none() {
            return Err(Miss::Nothing("environment: AWS_ACCESS_KEY_ID is not set".to_owned()));
        }
        let credentials = Credentials::from_environment(|name| (self.env)(name)).map_err(Miss::Failed)?;
        let origin = format!("environment (AWS_ACCESS_KEY_ID {})", shown_key_id(&credentials.access_key_id));
        Ok(Found { credentials, origin })
    }

    /// The profile in the environment must exist; the default one need not.
    fn chosen_profile(&self) -> Result<Found, Miss> {
        if let Some(name) = (self.env)("AWS_PROFILE") {
            return self.profile(&name).map_err(|miss| Miss::Failed(miss.into_error("(AWS_PROFILE)")));
        }
        self.profile("default")
    }

    fn profile(&self, name: &str) -> Result<Found, Miss> {
        let files = SharedFiles::read(&**self.env).map_err(|why| Miss::denied("(shared files)", why))?;
        if !files.profiles.has(name) {
            return Err(Miss::Nothing(format!("profile {name}: {}", files.without(name))));
        }
        let place = format!("(profile {name})");
        let plan = match files.profiles.plan(name) {
            Ok(plan) => plan,
            // A default profile that only names a region is common.
            Err(fault @ profile::Fault::Empty(_)) => return Err(Miss::Nothing(fault.to_string())),
            Err(fault) => return Err(Miss::denied(&place, format!("{fault} ({})", files.names()))),
        };
        self.follow(plan, &place).map(|(credentials, steps)| Found {
            credentials,
            origin: format!("profile {name} ({}){steps}", files.names()),
        })
    }

    /// Credentials, and the steps that led to them.
    fn follow(&self, plan: Plan, place: &str) -> Result<(Credentials, String), Miss> {
        let first = match plan.source {
            FirstIdentity::Key(credentials) => Found { credentials, origin: String::new() },
            FirstIdentity::Process(command) => Found {
                credentials: process::run(&command).map_err(|why| Miss::denied(place, why))?,
                origin: ": credential_process".to_owned(),
            },
            FirstIdentity::WebIdentity(identity) => {
                let found = self.exchange(&identity)?;
                Found { origin: format!(": {}", found.origin), ..found }
            }
            named => self.named(&named).map_err(|miss| Miss::Failed(miss.into_error(place)))?,
        };
        let roles = plan.roles.iter().map(|role| format!(", then role {}", role.arn)).collect::<String>();
        let credentials = assume(&plan.roles, first.credentials, self.lender).map_err(Miss::Failed)?;
        Ok((credentials, format!("{}{roles}", first.origin)))
    }

    /// Credentials from a profile's `credential_source`.
    fn named(&self, source: &FirstIdentity) -> Result<Found, Miss> {
        let found = match source {
            FirstIdentity::Environment => self.environment(),
            FirstIdentity::Container => self.container(),
            _ => self.instance(),
        }?;
        Ok(Found { origin: format!(": {}", found.origin), ..found })
    }

    fn web_identity(&self) -> Result<Found, Miss> {
        let (file, arn) = ((self.env)("AWS_WEB_IDENTITY_TOKEN_FILE"), (self.env)("AWS_ROLE_ARN"));
        let (token_file, arn) = match (file, arn) {
            (Some(file), Some(arn)) => (file, arn),
            (None, _) => {
                return Err(Miss::Nothing("web identity: AWS_WEB_IDENTITY_TOKEN_FILE is not set".to_owned()));
            }
            (Some(_), None) => return Err(Miss::denied("(web identity)", "AWS_ROLE_ARN is not set")),
        };
        let mut role = Role::new(arn);
        if let Some(name) = (self.env)("AWS_ROLE_SESSION_NAME") {
            role.session_name = name;
        }
        self.exchange(&WebIdentity { token_file, role })
    }

    /// Exchanges a token for a role's credentials. The file is read each time, because its writer replaces it.
    fn exchange(&self, identity: &WebIdentity) -> Result<Found, Miss> {
        let WebIdentity { token_file, role } = identity;
        let token = read_small(token_file).map_err(|why| Miss::denied("(web identity)", why))?;
        let sts = Sts::new(self.lender.acting_as(Provider::anonymous()));
        let credentials = sts.assume_role_with_web_identity(&AssumeRoleWithWebIdentity {
            role_arn: &role.arn,
            session_name: &role.session_name,
            token: token.trim(),
            duration: role.duration,
        });
        let origin = format!("web identity ({token_file}) as role {}", role.arn);
        Ok(Found { credentials: credentials.map_err(Miss::Failed)?, origin })
    }

    fn container(&self) -> Result<Found, Miss> {
        let Some(url) = container::address(self.env).map_err(|why| Miss::denied("(container)", why))? else {
            let why = "container: AWS_CONTAINER_CREDENTIALS_RELATIVE_URI and _FULL_URI are not set";
            return Err(Miss::Nothing(why.to_owned()));
        };
        let loaded = container::load(&url, self.env);
        let credentials = loaded.map_err(|why| Miss::transient("(container)", why))?;
        Ok(Found { credentials, origin: format!("container ({})", container::host_part(&url)) })
    }

    fn instance(&self) -> Result<Found, Miss> {
        let mut credentials = instance::load(self.env).map_err(|fault| match fault {
            instance::Fault::Nothing(why) => Miss::Nothing(format!("instance metadata: {why}")),
            instance::Fault::Broken(why) => Miss::transient("(instance metadata)", why),
        })?;
        extend(&mut credentials, self.lender.clock().now());
        Ok(Found { credentials, origin: "instance metadata".to_owned() })
    }
}

/// While the service behind the metadata is down, the metadata keeps keys past their expiry, which AWS still accepts.
fn extend(credentials: &mut Credentials, now: SystemTime) {
    let least = now + Duration::from_secs(60);
    if credentials.expires_at.is_some_and(|expiry| expiry < least) {
        log::warn!("the instance metadata has expired keys; they are used until it has new ones");
        credentials.expires_at = Some(now + STALE_METADATA_EXTENSION);
    }
}

#[cfg(test)]
pub(in crate::aws) mod testing;
#[cfg(test)]
mod tests;
