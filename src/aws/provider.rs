//! Keys and roles: loaded when first needed, refreshed before they expire, by one thread at a time.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::clock::Clock;
use super::credentials::Credentials;
use super::error::Error;
use crate::base::limits::{CREDENTIALS_LIFE_MIN, CREDENTIALS_REFRESH_EARLY, CREDENTIALS_RETRY};
use crate::base::locks::{intact, lock};
use crate::base::runtime::sync::{Condvar, Mutex, MutexGuard};
use crate::telemetry::{Failure, Health};

/// Where a provider's credentials come from.
pub trait CredentialSource: Send + Sync {
    /// Gets credentials, anew each time.
    ///
    /// # Errors
    /// There are none at present.
    fn load(&self) -> Result<Found, Error>;

    /// The time by the clock that their expiry is told by.
    fn now(&self) -> SystemTime;
}

/// Credentials and their source.
pub struct Found {
    pub credentials: Credentials,
    /// The source for people, never a secret: `profile prod (/home/a/.aws/config)`.
    pub origin: String,
}

/// The same credentials always.
struct Fixed(Credentials);

impl CredentialSource for Fixed {
    fn load(&self) -> Result<Found, Error> {
        Ok(Found { credentials: self.0.clone(), origin: String::new() })
    }

    fn now(&self) -> SystemTime {
        Clock::default().now()
    }
}

/// Provides credentials to many threads. Clones share them.
#[derive(Clone)]
pub struct Provider(Arc<SharedCredentials>);

struct SharedCredentials {
    source: Box<dyn CredentialSource>,
    state: Mutex<State>,
    changed: Condvar,
    /// Health of the refresh while the old credentials are still valid.
    health: Arc<Health>,
}

#[derive(Default)]
struct State {
    /// The owner in log lines: `inputs.sqs_collector`.
    owner: String,
    current: Option<Held>,
    /// A thread is loading.
    is_loading: bool,
    /// Counts finished loads, so that waiting threads know theirs is over.
    loads: u64,
    last_failure: Option<Error>,
    /// The source of the current ones, for people.
    origin: String,
}

struct Held {
    credentials: Arc<Credentials>,
    /// When a refresh is due; None if never.
    refresh_at: Option<SystemTime>,
    /// They had already expired when they came.
    came_expired: bool,
}

impl Provider {
    /// A provider of constant credentials.
    pub fn fixed(credentials: Credentials) -> Self {
        Self::of("", Fixed(credentials))
    }

    /// An anonymous provider: calls are not signed.
    pub fn anonymous() -> Self {
        Self::fixed(Credentials::anonymous())
    }

    /// Credentials available without a wait: the current ones, unless this thread should load new ones.
    pub fn in_hand(&self) -> Option<Arc<Credentials>> {
        self.lock().in_hand(self.now())
    }

    /// Valid credentials, loaded or refreshed if needed. While one thread refreshes, the others continue with the old
    /// ones as long as those are valid.
    pub fn credentials(&self) -> Result<Arc<Credentials>, Error> {
        let mut state = self.lock();
        loop {
            if let Some(credentials) = state.in_hand(self.now()) {
                return Ok(credentials);
            }
            if !state.is_loading {
                state.is_loading = true;
                drop(state);
                return self.load();
            }
            let seen = state.loads;
            state = self.wait_for_load(state, seen);
            if let (None, Some(error)) = (&state.current, &state.last_failure) {
                return Err(error.clone());
            }
        }
    }

    /// Reports that AWS considers the credentials with this key id expired: the next call loads new ones.
    pub fn invalidate(&self, access_key_id: &str) {
        let mut state = self.lock();
        // Credentials that came expired are refreshed on schedule: an immediate refresh would return the same.
        let is_current = |held: &Held| held.credentials.access_key_id == access_key_id && !held.came_expired;
        if state.current.as_ref().is_some_and(is_current) {
            log::info!(place = state.owner.as_str(); "{}: credentials expired before their time; requesting new ones", state.owner);
            state.current = None;
        }
    }

    /// Expiry of the current credentials, by AWS's clock; None if they never expire, or there are none.
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.lock().current.as_ref()?.credentials.expires_at
    }

    /// Health of their refresh. While there are no valid credentials, the calls that need them report it.
    pub fn health(&self) -> &Arc<Health> {
        &self.0.health
    }

    /// `owner` is named in log lines. Nothing is loaded yet.
    pub fn of(owner: &str, source: impl CredentialSource + 'static) -> Self {
        let state = Mutex::new(State { owner: owner.to_owned(), ..State::default() });
        let health = Arc::new(Health::dispensable(format!("{owner}: credentials")));
        let source = Box::new(source);
        Self(Arc::new(SharedCredentials { source, state, changed: Condvar::new(), health }))
    }

    fn now(&self) -> SystemTime {
        self.0.source.now()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.0.state)
    }

    fn wait_for_load<'a>(&self, state: MutexGuard<'a, State>, seen: u64) -> MutexGuard<'a, State> {
        let pending = |state: &mut State| state.is_loading && state.loads == seen;
        intact(self.0.changed.wait_while(state, pending))
    }

    /// Loads without holding the lock; this thread has set `is_loading`.
    fn load(&self) -> Result<Arc<Credentials>, Error> {
        // However the load ends, the others must not wait forever.
        let guard = Loading(self);
        let loaded = self.0.source.load();
        let now = self.now();
        let outcome = match loaded {
            Ok(found) => {
                match came_expired(&found, now) {
                    Some(trouble) => self.0.health.failed(trouble, true),
                    None => self.0.health.works(),
                }
                Ok(self.lock().accept(found, now))
            }
            Err(error) => self.lock().keep_old(error, &self.0.health, now),
        };
        drop(guard);
        outcome
    }
}

/// Marks the load as finished when dropped.
struct Loading<'a>(&'a Provider);

impl Drop for Loading<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.is_loading = false;
        state.loads += 1;
        self.0.0.changed.notify_all();
    }
}

impl State {
    fn in_hand(&self, now: SystemTime) -> Option<Arc<Credentials>> {
        let is_usable = |held: &&Held| !held.is_due(now) || (self.is_loading && held.is_valid(now));
        self.current.as_ref().filter(is_usable).map(|held| held.credentials.clone())
    }

    /// Credentials that came expired are used for a while as if valid: AWS decides, and its clock may differ from their
    /// source's. Otherwise every request would load others.
    fn accept(&mut self, mut found: Found, now: SystemTime) -> Arc<Credentials> {
        let came_expired = came_expired(&found, now).is_some();
        self.tell(found.origin);
        if came_expired {
            found.credentials.expires_at = Some(now + CREDENTIALS_RETRY);
        }
        let refresh_at = found.credentials.expires_at.map(|expiry| refresh_at(now, expiry));
        let credentials = Arc::new(found.credentials);
        self.current = Some(Held { credentials: credentials.clone(), refresh_at, came_expired });
        self.last_failure = None;
        credentials
    }

    /// Logs the source of credentials, at first and when it has changed.
    fn tell(&mut self, origin: String) {
        if !origin.is_empty() && origin != self.origin {
            log::info!(place = self.owner.as_str(); "{}: credentials: {origin}", self.owner);
        }
        self.origin = origin;
    }

    /// A failed refresh is not a reason to stop while the old credentials are valid.
    fn keep_old(
        &mut self,
        error: Error,
        health: &Health,
        now: SystemTime,
    ) -> Result<Arc<Credentials>, Error> {
        self.last_failure = Some(error.clone());
        match &mut self.current {
            Some(held) if held.is_valid(now) => {
                let Failure { cause, message } = Failure::from(&error);
                let message = format!("not refreshed, but the old ones are still valid: {message}");
                health.failed(Failure { cause, message }, !error.is_temporary());
                held.refresh_at = Some(now + CREDENTIALS_RETRY);
                Ok(held.credentials.clone())
            }
            _ => {
                self.current = None;
                Err(error)
            }
        }
    }
}

impl Held {
    fn is_due(&self, now: SystemTime) -> bool {
        self.refresh_at.is_some_and(|at| at <= now) || !self.is_valid(now)
    }

    fn is_valid(&self, now: SystemTime) -> bool {
        self.credentials.expires_at.is_none_or(|expiry| now < expiry)
    }
}

/// The trouble with credentials that have expired when they come, or will within [`CREDENTIALS_LIFE_MIN`].
fn came_expired(found: &Found, now: SystemTime) -> Option<String> {
    let expiry = found.credentials.expires_at.filter(|expiry| *expiry < now + CREDENTIALS_LIFE_MIN)?;
    let expiry = jiff::Timestamp::try_from(expiry).unwrap_or(jiff::Timestamp::MIN);
    Some(format!(
        "the credentials had expired when they came (at {expiry}; {}). They are used anyway and refreshed every {} \
         s: does their source renew them, and is its clock right?",
        found.origin,
        CREDENTIALS_RETRY.as_secs()
    ))
}

/// When to refresh: [`CREDENTIALS_REFRESH_EARLY`] before they expire, or when a third of a shorter lifetime is left.
fn refresh_at(now: SystemTime, expiry: SystemTime) -> SystemTime {
    let life = expiry.duration_since(now).unwrap_or(Duration::ZERO);
    now + (life - CREDENTIALS_REFRESH_EARLY.min(life / 3))
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::configured::roles;
    use super::*;
    use crate::aws::Kind;
    use crate::aws::testing::{Server, Step, answer, key};
    use crate::base::stop::Stop;
    use crate::settings;

    fn file(base: Option<&str>, cross: Option<&str>) -> settings::Credentials {
        let key = settings::AccessKey { id: "AKIABASE".into(), secret: "hush".into(), session_token: None };
        settings::Credentials {
            key: Some(key),
            profile: None,
            base_role: base.map(str::to_owned),
            cross_account_role: cross.map(str::to_owned),
            external_id: Some("ext".to_owned()),
        }
    }

    fn session(id: &str, expires: SystemTime) -> Step {
        let expires = jiff::Timestamp::try_from(expires).unwrap();
        answer(
            200,
            "",
            format!(
                "<R><AssumeRoleResult><Credentials><AccessKeyId>{id}</AccessKeyId><SecretAccessKey>s</SecretAccessKey>\
                 <SessionToken>t</SessionToken><Expiration>{expires}</Expiration></Credentials></AssumeRoleResult></R>"
            ),
        )
    }

    fn denied() -> Step {
        answer(403, "", "<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>")
    }

    fn in_seconds(seconds: u64) -> SystemTime {
        SystemTime::now() + Duration::from_secs(seconds)
    }

    fn provider(server: &Server, credentials: &settings::Credentials) -> Provider {
        Provider::new("inputs.test", credentials, &server.client(&Stop::new()))
    }

    #[test]
    fn roles_are_assumed_one_by_one_and_the_last_gets_the_external_id() {
        let server =
            Server::play(vec![session("ASIA1", in_seconds(3600)), session("ASIA2", in_seconds(3600))]);
        let provider = provider(&server, &file(Some("arn:base"), Some("arn:cross")));
        for _ in 0..3 {
            assert_eq!(provider.credentials().unwrap().access_key_id, "ASIA2");
        }
        let seen = server.seen();
        assert!(seen[0].head.contains("Credential=AKIABASE/") && !seen[0].body.contains("ExternalId"));
        assert!(
            seen[1].head.contains("Credential=ASIA1/") && seen[1].head.contains("x-amz-security-token: t")
        );
        assert!(seen[1].body.contains("ExternalId=ext") && seen[1].body.contains("arn%3Across"));
    }

    #[test]
    fn a_lone_role_gets_the_external_id_and_no_role_calls_nobody() {
        let roles_of = |base, cross| roles(&file(base, cross));
        assert_eq!(roles_of(Some("a"), None)[0].external_id.as_deref(), Some("ext"));
        assert_eq!(roles_of(None, Some("b"))[0].external_id.as_deref(), Some("ext"));
        let server = Server::play(vec![]);
        assert_eq!(provider(&server, &file(None, None)).credentials().unwrap().access_key_id, "AKIABASE");
    }

    #[test]
    fn invalidated_credentials_are_replaced_unless_they_already_were() {
        let server =
            Server::play(vec![session("ASIA1", in_seconds(3600)), session("ASIA2", in_seconds(3600))]);
        let provider = provider(&server, &file(Some("arn:base"), None));
        assert_eq!(provider.credentials().unwrap().access_key_id, "ASIA1");
        provider.invalidate("ASIA1");
        assert_eq!(provider.credentials().unwrap().access_key_id, "ASIA2");
        provider.invalidate("ASIA1");
        assert_eq!(provider.credentials().unwrap().access_key_id, "ASIA2");
        assert_eq!(server.seen().len(), 2);
    }

    /// One call for credentials, not one for each request, whether or not AWS refuses them.
    #[test]
    fn credentials_that_come_expired_are_asked_for_once_in_a_while() {
        let past = SystemTime::now() - Duration::from_secs(3600);
        for expires in [past, SystemTime::now(), in_seconds(1)] {
            let server = Server::play(vec![session("ASIA1", expires)]);
            let provider = provider(&server, &file(Some("arn:base"), None));
            for _ in 0..5 {
                assert_eq!(provider.credentials().unwrap().access_key_id, "ASIA1");
                provider.invalidate("ASIA1");
            }
            let trouble = provider.health().trouble().unwrap().message;
            assert!(
                trouble.contains("had expired when they came") && trouble.contains("arn:base"),
                "{trouble}"
            );
            assert_eq!(server.seen().len(), 1);
        }
    }

    #[test]
    fn an_expired_token_in_a_call_leads_to_new_credentials() {
        let expired =
            answer(400, "", r#"{"__type":"com.amazon.coral.service#ExpiredTokenException","message":"m"}"#);
        let script = vec![
            session("ASIA1", in_seconds(3600)),
            expired,
            session("ASIA2", in_seconds(3600)),
            answer(
                200,
                "",
                r#"{"Attributes":{"ApproximateNumberOfMessages":"0","ApproximateNumberOfMessagesNotVisible":"0"}}"#,
            ),
        ];
        let server = Server::play(script);
        let client = server.client_as(provider(&server, &file(Some("arn:base"), None)), &Stop::new());
        crate::aws::Sqs::new(client, &settings::Queue::Url("http://q/1/n".to_owned()))
            .unwrap()
            .attributes()
            .unwrap();
        assert!(server.seen()[3].head.contains("Credential=ASIA2/"));
    }

    #[test]
    fn an_expired_token_in_the_middle_of_an_object_is_renewed_and_the_object_goes_on() {
        let part = |range: &str, body: &str| {
            answer(206, &format!("content-range: bytes {range}/8\r\netag: \"e\"\r\nx-amz-id-2: i\r\n"), body)
        };
        let expired = answer(400, "", "<Error><Code>ExpiredToken</Code><Message>m</Message></Error>");
        let script = vec![
            session("ASIA1", in_seconds(3600)),
            part("0-3", "abcd"),
            expired,
            session("ASIA2", in_seconds(3600)),
            part("4-7", "efgh"),
        ];
        let server = Server::play(script);
        let client = server.client_as(provider(&server, &file(Some("arn:base"), None)), &Stop::new());
        let s3 = crate::aws::S3::new(client);
        let mut object = crate::base::buffers::Buffer::default();
        for (start, etag) in [(0, None), (4, Some("\"e\""))] {
            let get = crate::aws::GetObject {
                bucket: "b",
                key: "k",
                version_id: None,
                etag: None,
                by_key: false,
                start,
                len: 4,
                if_match: etag,
                size: None,
            };
            s3.get(&get, None, &mut object).unwrap();
        }
        assert_eq!(object.as_slice(), b"abcdefgh");
        let seen = server.seen();
        assert!(seen[2].head.contains("range: bytes=4-7") && seen[2].head.contains("Credential=ASIA1/"));
        assert!(seen[4].head.contains("range: bytes=4-7") && seen[4].head.contains("Credential=ASIA2/"));
        assert!(seen[4].head.contains("if-match: \"e\""));
    }

    #[test]
    fn an_expired_fixed_token_is_not_replaced_by_somebody_else_s() {
        let provider = Provider::fixed(key("ASIAFIXED"));
        assert_eq!(provider.credentials().unwrap().access_key_id, "ASIAFIXED");
        provider.invalidate("ASIAFIXED");
        assert_eq!(provider.credentials().unwrap().access_key_id, "ASIAFIXED");
    }

    #[test]
    fn the_roles_of_the_file_follow_those_of_the_profile() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("config");
        let text = "[profile p]\nrole_arn = arn:p\nsource_profile = q\n[profile q]\naws_access_key_id = AKIAQ\n\
            aws_secret_access_key = s\n";
        std::fs::write(&config, text).unwrap();
        let later = in_seconds(3600);
        let server = Server::play(vec![session("ASIAP", later), session("ASIAX", later)]);
        let written = settings::Credentials {
            key: None,
            profile: Some("p".to_owned()),
            ..file(None, Some("arn:cross"))
        };
        let path = config.to_str().unwrap().to_owned();
        let env = move |name: &str| (name == "AWS_CONFIG_FILE").then(|| path.clone());
        let provider = Provider::with("inputs.test", &written, &server.client(&Stop::new()), Arc::new(env));
        assert_eq!(provider.credentials().unwrap().access_key_id, "ASIAX");
        let origin = provider.lock().origin.clone();
        assert!(
            origin.starts_with("profile p (") && origin.ends_with(", then role arn:p, then role arn:cross")
        );
        assert!(server.seen()[1].body.contains("ExternalId=ext"));
    }

    #[test]
    fn a_failed_refresh_keeps_the_old_ones_while_they_are_valid() {
        let server = Server::play(vec![denied()]);
        let provider = provider(&server, &file(Some("arn:base"), None));
        let old = Credentials { expires_at: Some(in_seconds(600)), ..key("ASIAOLD") };
        let due = SystemTime::now() - Duration::from_secs(1);
        provider.lock().current =
            Some(Held { credentials: Arc::new(old), refresh_at: Some(due), came_expired: false });
        assert_eq!(provider.credentials().unwrap().access_key_id, "ASIAOLD");
        assert_eq!(provider.credentials().unwrap().access_key_id, "ASIAOLD", "no second try at once");
        assert_eq!(server.seen().len(), 1);
    }

    #[test]
    fn a_failed_first_load_is_an_error_and_can_be_repeated() {
        let server = Server::play(vec![denied(), session("ASIA1", in_seconds(3600))]);
        let provider = provider(&server, &file(Some("arn:base"), None));
        assert_eq!(provider.credentials().unwrap_err().kind(), &Kind::Denied);
        assert_eq!(provider.credentials().unwrap().access_key_id, "ASIA1");
        server.seen();
    }

    #[test]
    fn many_threads_load_once() {
        let server = Server::play(vec![session("ASIA1", in_seconds(3600))]);
        let provider = provider(&server, &file(Some("arn:base"), None));
        let ask = || provider.credentials().unwrap().access_key_id.clone();
        std::thread::scope(|scope| {
            let asking = (0..8).map(|_| scope.spawn(ask)).collect::<Vec<_>>();
            asking.into_iter().for_each(|thread| assert_eq!(thread.join().unwrap(), "ASIA1"));
        });
        assert_eq!(server.seen().len(), 1);
    }

    #[test]
    fn refreshed_five_minutes_early_or_in_the_last_third() {
        let now = SystemTime::UNIX_EPOCH;
        let seconds = |life: u64| {
            let at = refresh_at(now, now + Duration::from_secs(life));
            at.duration_since(now).unwrap().as_secs()
        };
        assert_eq!((seconds(3600), seconds(600), seconds(0)), (3300, 400, 0));
    }
}
