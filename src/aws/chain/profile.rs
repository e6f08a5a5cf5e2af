//! Profiles of the shared files -> the source of the first identity, and the roles that follow. Pure.
//!
//! Format: "Assume role credential provider", "Process credential provider" and "Shared config and credentials files"
//! of the AWS SDKs and Tools reference guide.

use std::collections::BTreeMap;
use std::time::Duration;

use super::ini::Section;
use crate::aws::credentials::Credentials;
use crate::base::limits::{ROLE_SESSION, ROLE_SESSION_MAX, ROLE_SESSION_MIN};

/// The profiles of both files.
#[derive(Debug, Default)]
pub struct Profiles(BTreeMap<String, Keys>);

/// A profile's keys, in lower case.
type Keys = BTreeMap<String, String>;

/// The way to a profile's credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub source: FirstIdentity,
    /// In the order in which they are assumed.
    pub roles: Vec<Role>,
}

/// The source of the first identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FirstIdentity {
    Key(Credentials),
    /// A command line for the shell.
    Process(String),
    WebIdentity(WebIdentity),
    Environment,
    Container,
    InstanceMetadata,
}

/// A role to assume with the token in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebIdentity {
    pub token_file: String,
    pub role: Role,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    pub arn: String,
    pub external_id: Option<String>,
    pub session_name: String,
    pub duration: Duration,
}

impl Role {
    /// The session's name and duration, if set.
    pub fn new(arn: impl Into<String>) -> Self {
        let session_name = SESSION_NAME.to_owned();
        Self { arn: arn.into(), external_id: None, session_name, duration: ROLE_SESSION }
    }
}

/// Visible in CloudTrail.
const SESSION_NAME: &str = "aws-to-devo";

/// The reason why a profile gives nothing. Contains names of profiles and keys, never values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("there is no profile {0}")]
    Unknown(String),
    #[error("profile {0} has neither keys, role_arn, credential_process nor web_identity_token_file")]
    Empty(String),
    #[error("profile {0}: {1} is missing")]
    Missing(String, &'static str),
    #[error("profile {0}: source_profile and credential_source cannot be used together")]
    TwoSources(String),
    #[error("profile {0}: role_arn needs source_profile, credential_source or web_identity_token_file")]
    NoSource(String),
    #[error("profile {0}: credential_source must be Environment, Ec2InstanceMetadata or EcsContainer")]
    UnknownSource(String),
    #[error(
        "profile {0}: duration_seconds must be a number from {min} to {max}",
        min = ROLE_SESSION_MIN.as_secs(),
        max = ROLE_SESSION_MAX.as_secs()
    )]
    Duration(String),
    #[error("profile {0}: {1} needs a person, so a collector cannot use it")]
    Interactive(String, &'static str),
    #[error("the profiles form a cycle: {0}")]
    Circle(String),
}

impl Profiles {
    /// Joins the sections of the config file and of the credentials file; the latter's keys win.
    pub fn join(config: Vec<Section>, credentials: Vec<Section>) -> Self {
        let mut profiles = Self::default();
        // `[profile default]` has precedence over `[default]`, wherever it is.
        let is_plain = |section: &&Section| section.title == DEFAULT;
        for section in config.iter().filter(is_plain) {
            profiles.add(DEFAULT.to_owned(), section);
        }
        for section in &config {
            if let Some(name) = profile_of(&section.title) {
                profiles.add(name, section);
            }
        }
        for section in &credentials {
            profiles.add(unquoted(&section.title), section);
        }
        profiles
    }

    /// A key of a profile, given in lower case.
    pub fn value(&self, name: &str, key: &str) -> Option<&str> {
        self.0.get(name)?.get(key).map(String::as_str)
    }

    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The way to the credentials of profile `name`.
    pub fn plan(&self, name: &str) -> Result<Plan, Fault> {
        let mut roles = Vec::new();
        let source = self.follow(name, &mut Vec::new(), &mut roles)?;
        roles.reverse();
        Ok(Plan { source, roles })
    }

    fn add(&mut self, name: String, section: &Section) {
        let keys = self.0.entry(name).or_default();
        keys.extend(section.entries.iter().filter(|(_, value)| !value.is_empty()).cloned());
    }

    /// Follows a profile to its source; `roles` collects the last one first.
    fn follow(
        &self,
        name: &str,
        path: &mut Vec<String>,
        roles: &mut Vec<Role>,
    ) -> Result<FirstIdentity, Fault> {
        let keys = self.0.get(name).ok_or_else(|| Fault::Unknown(name.to_owned()))?;
        let profile = Profile { name, keys };
        let is_source = !path.is_empty();
        // A profile that is the source of others gives its keys, if it has any; its role is for direct users.
        if is_source && let Some(key) = profile.key()? {
            return Ok(FirstIdentity::Key(key));
        }
        if path.iter().any(|seen| seen == name) {
            path.push(name.to_owned());
            return Err(Fault::Circle(path.join(" -> ")));
        }
        path.push(name.to_owned());
        match profile.role()? {
            None => profile.leaf(),
            Some(role) => match profile.role_source()? {
                RoleSource::Token(token_file) => {
                    Ok(FirstIdentity::WebIdentity(WebIdentity { token_file, role }))
                }
                RoleSource::Profile(next) => {
                    roles.push(role);
                    self.follow(next, path, roles)
                }
                RoleSource::Place(source) => {
                    roles.push(role);
                    Ok(source)
                }
            },
        }
    }
}

/// The profile used if none is named.
pub const DEFAULT: &str = "default";

/// The name in a config file's `[profile name]`; sections of other kinds are ignored.
fn profile_of(title: &str) -> Option<String> {
    let rest = title.strip_prefix("profile")?;
    rest.starts_with([' ', '\t']).then(|| unquoted(rest.trim()))
}

/// The AWS command line quotes names with spaces.
fn unquoted(name: &str) -> String {
    let quoted = |mark: char| name.strip_prefix(mark)?.strip_suffix(mark);
    quoted('"').or_else(|| quoted('\'')).unwrap_or(name).to_owned()
}

enum RoleSource<'a> {
    Token(String),
    Profile(&'a str),
    Place(FirstIdentity),
}

struct Profile<'a> {
    name: &'a str,
    keys: &'a Keys,
}

impl<'a> Profile<'a> {
    fn value(&self, key: &str) -> Option<&'a str> {
        self.keys.get(key).map(String::as_str)
    }

    fn own(&self, key: &str) -> Option<String> {
        self.value(key).map(str::to_owned)
    }

    fn missing(&self, key: &'static str) -> Fault {
        Fault::Missing(self.name.to_owned(), key)
    }

    /// The access key in the profile.
    fn key(&self) -> Result<Option<Credentials>, Fault> {
        let (id, secret) = (self.own("aws_access_key_id"), self.own("aws_secret_access_key"));
        let (access_key_id, secret_access_key) = match (id, secret) {
            (Some(id), Some(secret)) => (id, secret),
            (None, None) => return Ok(None),
            (Some(_), None) => return Err(self.missing("aws_secret_access_key")),
            (None, Some(_)) => return Err(self.missing("aws_access_key_id")),
        };
        let session_token = self.own("aws_session_token");
        Ok(Some(Credentials { access_key_id, secret_access_key, session_token, expires_at: None }))
    }

    fn role(&self) -> Result<Option<Role>, Fault> {
        let Some(arn) = self.value("role_arn") else { return Ok(None) };
        let mut role = Role::new(arn);
        role.external_id = self.own("external_id");
        if let Some(name) = self.own("role_session_name") {
            role.session_name = name;
        }
        if let Some(seconds) = self.value("duration_seconds") {
            role.duration = duration(seconds).ok_or_else(|| Fault::Duration(self.name.to_owned()))?;
        }
        Ok(Some(role))
    }

    fn role_source(&self) -> Result<RoleSource<'a>, Fault> {
        let name = || self.name.to_owned();
        if let Some(token_file) = self.own("web_identity_token_file") {
            return Ok(RoleSource::Token(token_file));
        }
        if self.value("mfa_serial").is_some() {
            return Err(Fault::Interactive(name(), "mfa_serial"));
        }
        match (self.value("source_profile"), self.value("credential_source")) {
            (Some(_), Some(_)) => Err(Fault::TwoSources(name())),
            (Some(profile), None) => Ok(RoleSource::Profile(profile)),
            (None, Some(place)) => {
                place_of(place).map(RoleSource::Place).ok_or_else(|| Fault::UnknownSource(name()))
            }
            (None, None) => Err(Fault::NoSource(name())),
        }
    }

    /// The source in a profile without a role.
    fn leaf(&self) -> Result<FirstIdentity, Fault> {
        let name = || self.name.to_owned();
        if let Some(key) = self.key()? {
            return Ok(FirstIdentity::Key(key));
        }
        if let Some(command) = self.own("credential_process") {
            return Ok(FirstIdentity::Process(command));
        }
        if self.value("web_identity_token_file").is_some() {
            return Err(self.missing("role_arn"));
        }
        for key in ["sso_session", "sso_start_url", "login_session"] {
            if self.value(key).is_some() {
                return Err(Fault::Interactive(name(), key));
            }
        }
        Err(Fault::Empty(name()))
    }
}

fn duration(seconds: &str) -> Option<Duration> {
    let duration = Duration::from_secs(seconds.parse().ok()?);
    (ROLE_SESSION_MIN..=ROLE_SESSION_MAX).contains(&duration).then_some(duration)
}

fn place_of(name: &str) -> Option<FirstIdentity> {
    match name.to_ascii_lowercase().as_str() {
        "environment" => Some(FirstIdentity::Environment),
        "ec2instancemetadata" => Some(FirstIdentity::InstanceMetadata),
        "ecscontainer" => Some(FirstIdentity::Container),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::ini::parse;
    use super::*;

    const CONFIG: &str = "
[default]
region = eu-west-1
[profile base]
aws_access_key_id = AKIACONFIG
[profile middle]
role_arn = arn:middle
source_profile = base
[profile prod]
role_arn = arn:prod
source_profile = middle
external_id = ext
role_session_name = me
duration_seconds = 900
[profile self]
role_arn = arn:self
source_profile = self
aws_access_key_id = AKIASELF
aws_secret_access_key = hush
[profile circle]
role_arn = arn:c
source_profile = round
[profile round]
role_arn = arn:r
source_profile = circle
[profile \"my prof\"]
credential_process = /bin/helper --for me
[profile pod]
role_arn = arn:pod
web_identity_token_file = /token
[profile machine]
role_arn = arn:machine
credential_source = Ec2InstanceMetadata
[profile task]
role_arn = arn:task
credential_source = EcsContainer
[profile env]
role_arn = arn:env
credential_source = Environment
[profile no-place]
role_arn = arn:x
credential_source = hush
[profile two]
role_arn = arn:x
source_profile = base
credential_source = Environment
[profile no-source]
role_arn = arn:x
[profile lost]
role_arn = arn:x
source_profile = nowhere
[profile long]
role_arn = arn:x
source_profile = base
duration_seconds = 43201
[profile person]
role_arn = arn:x
source_profile = base
mfa_serial = arn:mfa
[profile sso]
sso_session = s
[profile half]
aws_access_key_id = AKIAHALF
[sso-session s]
sso_start_url = https://x
";
    const CREDENTIALS: &str = "
[base]
aws_access_key_id = AKIABASE
aws_secret_access_key = hush
aws_session_token =
";

    fn profiles() -> Profiles {
        Profiles::join(parse(CONFIG).unwrap(), parse(CREDENTIALS).unwrap())
    }

    fn key(id: &str) -> FirstIdentity {
        FirstIdentity::Key(Credentials {
            access_key_id: id.to_owned(),
            secret_access_key: "hush".to_owned(),
            session_token: None,
            expires_at: None,
        })
    }

    #[test]
    fn chains_begin_at_the_far_end() {
        let prod = Role {
            arn: "arn:prod".to_owned(),
            external_id: Some("ext".to_owned()),
            session_name: "me".to_owned(),
            duration: Duration::from_secs(900),
        };
        let expected = Plan { source: key("AKIABASE"), roles: vec![Role::new("arn:middle"), prod] };
        assert_eq!(profiles().plan("prod").unwrap(), expected);
        let expected = Plan { source: key("AKIASELF"), roles: vec![Role::new("arn:self")] };
        assert_eq!(profiles().plan("self").unwrap(), expected);
    }

    #[test]
    fn every_kind_of_source() {
        let role = |name: &str| vec![Role::new(format!("arn:{name}"))];
        let pod = WebIdentity { token_file: "/token".to_owned(), role: Role::new("arn:pod") };
        for (name, source, roles) in [
            ("base", key("AKIABASE"), vec![]),
            ("my prof", FirstIdentity::Process("/bin/helper --for me".to_owned()), vec![]),
            ("pod", FirstIdentity::WebIdentity(pod), vec![]),
            ("machine", FirstIdentity::InstanceMetadata, role("machine")),
            ("task", FirstIdentity::Container, role("task")),
            ("env", FirstIdentity::Environment, role("env")),
        ] {
            assert_eq!(profiles().plan(name).unwrap(), Plan { source, roles }, "{name}");
        }
    }

    #[test]
    fn faults_say_which_profile_and_key() {
        for (name, part) in [
            ("none", "no profile none"),
            ("default", "profile default has neither"),
            ("circle", "circle -> round -> circle"),
            ("no-place", "profile no-place: credential_source"),
            ("two", "cannot be used together"),
            ("no-source", "needs source_profile"),
            ("lost", "no profile nowhere"),
            ("long", "from 900 to 43200"),
            ("person", "mfa_serial"),
            ("sso", "sso_session"),
            ("half", "aws_secret_access_key is missing"),
        ] {
            let fault = profiles().plan(name).unwrap_err().to_string();
            assert!(fault.contains(part) && !fault.contains("hush"), "{name}: {fault}");
        }
    }

    #[test]
    fn the_longer_name_of_default_wins_and_the_credentials_file_over_both() {
        let config = "[profile default]\ncredential_process = b\n[default]\ncredential_process = a\n";
        let plan = |credentials: &str| {
            let profiles = Profiles::join(parse(config).unwrap(), parse(credentials).unwrap());
            profiles.plan("default").unwrap().source
        };
        assert_eq!(plan(""), FirstIdentity::Process("b".to_owned()));
        assert_eq!(plan("[default]\ncredential_process = c"), FirstIdentity::Process("c".to_owned()));
        assert_eq!(plan("[profile default]\ncredential_process = c"), FirstIdentity::Process("b".to_owned()));
    }

    proptest::proptest! {
        /// For any references, an end is found or a cycle is reported.
        #[test]
        fn any_web_of_profiles_ends(links in proptest::collection::vec((0..6_usize, 0..3_u8), 6)) {
            let text: String = links.iter().enumerate().map(|(at, (to, kind))| match kind {
                0 => format!("[profile p{at}]\naws_access_key_id = a\naws_secret_access_key = hush\n"),
                1 => format!("[profile p{at}]\nrole_arn = r{at}\nsource_profile = p{to}\n"),
                _ => format!("[profile p{at}]\nrole_arn = r{at}\nsource_profile = p{to}\n\
                              aws_access_key_id = a\naws_secret_access_key = hush\n"),
            }).collect();
            let profiles = Profiles::join(parse(&text).unwrap(), vec![]);
            for at in 0..6 {
                // The naive way: at most six steps, the first profile's own keys do not count.
                let (mut here, mut roles) = (at, Vec::new());
                let found = loop {
                    if links[here].1 == 0 || (!roles.is_empty() && links[here].1 == 2) { break Some(roles) }
                    if roles.len() > 6 { break None }
                    roles.insert(0, Role::new(format!("r{here}")));
                    here = links[here].0;
                };
                proptest::prop_assert_eq!(profiles.plan(&format!("p{at}")).ok().map(|plan| plan.roles), found);
            }
        }
    }
}
