//! One call to AWS: sign, send, classify, and retry where that helps.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::clock::Clock;
use super::credentials::Credentials;
use super::endpoint;
use super::error::Error;
use super::failure::Refusal;
use super::http::{Answer, Fault, Http};
use super::kind::Kind;
use super::pace::Pace;
use super::provider::Provider;
use super::request::Request;
use super::sign::sign;
use super::success::{self, Unusable};
use crate::base::backoff::Backoff;
use crate::base::limits::{
    ANSWER_PATIENCE_MIN, AWS_ANSWER_BYTES_MAX, AWS_ATTEMPTS, AWS_BACKOFF_FIRST, AWS_BACKOFF_MAX,
    AWS_BODY_TIMEOUT, AWS_LONG_POLL_MARGIN, AWS_REFUSAL_BYTES_MAX, AWS_RETRY_AT_ONCE, CREDENTIALS_PATIENCE,
};
use crate::base::runtime::clock;
use crate::base::stop::Stop;
use crate::settings;
use crate::settings::Service;
use crate::telemetry::{self, Calls, Health};

/// Calls AWS as one identity, from one region. Clones share connections, credentials and clock.
#[derive(Clone)]
pub struct Client {
    http: Http,
    provider: Provider,
    region: Arc<str>,
    endpoints: Arc<settings::Endpoints>,
    clock: Clock,
    stop: Stop,
    calls: Arc<Calls>,
    /// Receives reports of overdue answers.
    answers: Arc<Health>,
    /// The rate limits of its calls.
    paces: Arc<[Pace]>,
    /// A failed call waits here for its retry; otherwise its caller has a better place to wait.
    waits: bool,
    /// Attempts of one call.
    attempts: u32,
}

impl Client {
    /// Creates a client from parts; `endpoints` are used unchanged.
    pub fn with(
        http: &Http,
        provider: Provider,
        region: &str,
        endpoints: settings::Endpoints,
        stop: &Stop,
    ) -> Self {
        Self {
            http: http.clone(),
            provider,
            region: region.into(),
            endpoints: Arc::new(endpoints),
            clock: Clock::default(),
            stop: stop.clone(),
            calls: Arc::default(),
            answers: Arc::new(Health::new("")),
            paces: Arc::default(),
            waits: true,
            attempts: AWS_ATTEMPTS,
        }
    }

    /// A client with the same connections, clock and endpoints for another identity.
    pub fn acting_as(&self, provider: Provider) -> Self {
        Self { provider, ..self.clone() }
    }

    /// A client with another stop flag: for work that continues while the rest stops.
    pub fn stopped_by(&self, stop: &Stop) -> Self {
        Self { stop: stop.clone(), ..self.clone() }
    }

    /// A copy for a caller that must not be blocked: a failed call is not retried after a wait.
    pub fn without_waits(&self) -> Self {
        Self { waits: false, ..self.clone() }
    }

    /// A copy whose calls, including retries, each wait for their turn.
    pub fn paced_by(&self, paces: &[Pace]) -> Self {
        Self { paces: paces.into(), ..self.clone() }
    }

    /// A copy for a caller that retries by itself: each call is made once.
    pub fn tried_once(&self) -> Self {
        Self { attempts: 1, ..self.clone() }
    }

    /// A copy whose calls are counted for `input`, which also receives reports of overdue answers.
    pub fn counted_in(&self, input: &telemetry::Input) -> Self {
        input.adopt(self.provider.health());
        Self { calls: Arc::clone(&input.calls), answers: Arc::clone(&input.answers), ..self.clone() }
    }

    pub fn region(&self) -> &str {
        &self.region
    }

    /// Overrides, including the environment's.
    pub fn endpoints(&self) -> &settings::Endpoints {
        &self.endpoints
    }

    /// The address of a service, including overrides.
    pub fn endpoint(&self, service: Service) -> String {
        let over = self.endpoints.of(service).cloned();
        over.unwrap_or_else(|| endpoint::regional(service, &self.region, self.endpoints.variant))
    }

    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    pub fn stop(&self) -> &Stop {
        &self.stop
    }

    pub fn provider(&self) -> &Provider {
        &self.provider
    }

    /// Makes the call and reads a successful answer with `read`, which may run again after a [`Fault`] of kind
    /// [`Kind::Transient`]. Makes up to [`AWS_ATTEMPTS`] attempts, unless it is [`Client::tried_once`].
    pub(super) fn call<T>(
        &self,
        request: &Request,
        mut read: impl FnMut(&mut Answer) -> Result<T, Fault>,
    ) -> Result<T, Error> {
        let mut tries = Tries::new();
        let mut waiting = None;
        loop {
            let credentials = self.credentials(request)?;
            self.await_turn(request)?;
            self.calls.tries.increment();
            let waiting =
                waiting.get_or_insert_with(|| self.answers.asks(question(request), patience(request)));
            let read = &mut |answer: &mut Answer| {
                waiting.begins(2 * AWS_BODY_TIMEOUT);
                read(answer)
            };
            match self.once(request, &credentials, read) {
                Ok(value) => return Ok(value),
                Err(error) => {
                    if *error.kind() == Kind::Throttled {
                        waiting.restarts(clock::now());
                    }
                    self.prepare_retry(&mut tries, &credentials, error)?;
                }
            }
        }
    }

    /// Makes the call and reads the whole body of a successful answer with `read`, once. This is the only way to an
    /// answer that is not an object: an answer that AWS cannot have sent becomes [`Kind::Foreign`] here.
    pub fn call_and_read<T>(
        &self,
        request: &Request,
        mut read: impl FnMut(&[u8]) -> Result<T, Unusable>,
    ) -> Result<T, Error> {
        self.call(request, |answer| {
            let body = answer.read_all(AWS_ANSWER_BYTES_MAX)?;
            // An empty receive deletes nothing, and proxies drop headers; a drain also asks for the depth.
            if request.service != "sqs" {
                success::is_credible(&answer.headers, &body)?;
            }
            Ok(read(&body)?)
        })
    }

    fn credentials(&self, request: &Request) -> Result<Arc<Credentials>, Error> {
        // Nearly always: only a wait is worth reporting.
        if let Some(credentials) = self.provider.in_hand() {
            return Ok(credentials);
        }
        let what = format!("the request for credentials, which {} needs", request.action);
        let _waiting = self.answers.asks(what, CREDENTIALS_PATIENCE);
        self.provider.credentials()
    }

    fn await_turn(&self, request: &Request) -> Result<(), Error> {
        let stopped = self.paces.iter().any(|pace| pace.wait(&self.stop));
        if stopped { Err(Error::local(request, Kind::Stopped, "stopped")) } else { Ok(()) }
    }

    fn once<T>(
        &self,
        request: &Request,
        credentials: &Credentials,
        read: &mut impl FnMut(&mut Answer) -> Result<T, Fault>,
    ) -> Result<T, Error> {
        let key_id = &credentials.access_key_id;
        let failed = |fault: Fault| {
            Error::local(request, fault.kind, fault.message).through(fault.via).with_key(key_id)
        };
        let signed = self.signed(request, credentials)?;
        let sent = clock::now();
        let mut answer = self.http.send(request, &signed).map_err(failed)?;
        if let Some(date) = answer.date() {
            self.clock.learn(date, sent, clock::now());
        }
        if answer.is_success() {
            return read(&mut answer).map_err(failed);
        }
        let body = answer.read_some(AWS_REFUSAL_BYTES_MAX);
        Err(Error::refused(request, key_id, Refusal::read(answer.status, &answer.headers, &body)))
    }

    fn signed(
        &self,
        request: &Request,
        credentials: &Credentials,
    ) -> Result<Vec<(&'static str, String)>, Error> {
        if credentials.is_anonymous() {
            return Ok(Vec::new());
        }
        sign(request, credentials, self.clock.now())
            .map_err(|error| Error::local(request, Kind::BadRequest, error.to_string()))
    }

    /// Prepares the next attempt; Err if there is none.
    fn prepare_retry(&self, tries: &mut Tries, used: &Credentials, error: Error) -> Result<(), Error> {
        tries.made += 1;
        self.count(&error);
        let goes_on = match error.kind() {
            Kind::Skewed => !std::mem::replace(&mut tries.clock_set, true) && self.correct_clock(&error),
            Kind::Expired => !std::mem::replace(&mut tries.renewed, true) && self.renew(used),
            Kind::Throttled | Kind::Transient if self.waits => {
                tries.made < self.attempts && self.back_off(tries, &error)
            }
            Kind::Transient => tries.may_be_repeated_at_once(&error),
            _ => false,
        };
        if goes_on { Ok(()) } else { Err(error.after(tries.made)) }
    }

    fn count(&self, error: &Error) {
        match error.kind() {
            Kind::Throttled => self.calls.throttled.increment(),
            Kind::Denied | Kind::Expired => self.calls.denied.increment(),
            Kind::Stopped => (),
            _ => self.calls.failed.increment(),
        }
    }

    fn correct_clock(&self, error: &Error) -> bool {
        let Some(server_time) = error.server_time() else { return false };
        let now = clock::now();
        self.clock.learn(server_time, now, now);
        true
    }

    fn renew(&self, used: &Credentials) -> bool {
        self.provider.invalidate(&used.access_key_id);
        true
    }

    /// Returns false if the program is being stopped.
    fn back_off(&self, tries: &mut Tries, error: &Error) -> bool {
        let asked_for = error.retry_after().map(|wait| wait.min(AWS_BACKOFF_MAX));
        let wait = asked_for.unwrap_or_else(|| tries.backoff.pause());
        log::debug!("attempt {} of {AWS_ATTEMPTS} failed, next in {wait:?}: {error}", tries.made);
        !self.stop.wait(wait)
    }
}

/// The call, in words for people.
fn question(request: &Request) -> String {
    format!("{} {} (endpoint {})", request.action, request.resource, request.endpoint)
}

/// How long an answer may be missing before that is a trouble: twice the maximum of a long poll or any other call.
fn patience(request: &Request) -> Duration {
    (2 * request.response_timeout.saturating_sub(AWS_LONG_POLL_MARGIN)).max(ANSWER_PATIENCE_MIN)
}

/// The attempts of one call.
#[derive(Debug)]
struct Tries {
    made: u32,
    began: Instant,
    clock_set: bool,
    renewed: bool,
    backoff: Backoff,
}

impl Tries {
    fn new() -> Tries {
        let backoff = Backoff::new(AWS_BACKOFF_FIRST, AWS_BACKOFF_MAX);
        Tries { made: 0, began: clock::now(), clock_set: false, renewed: false, backoff }
    }

    fn may_be_repeated_at_once(&self, error: &Error) -> bool {
        self.made == 1 && error.status().is_none() && clock::since(self.began) < AWS_RETRY_AT_ONCE
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::aws::testing::{Server, Step, answer};
    use crate::aws::{Sqs, Sts};

    const NOBODY: &str = "<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>a</Arn><UserId>u</UserId>\
        <Account>1</Account></GetCallerIdentityResult></GetCallerIdentityResponse>";

    fn fails(code: &str, status: u16, headers: &str) -> Step {
        answer(status, headers, format!("<ErrorResponse><Error><Code>{code}</Code></Error></ErrorResponse>"))
    }

    #[test]
    fn a_clock_that_is_wrong_is_set_once() {
        let date = "date: Sat, 03 Feb 2024 04:05:06 GMT\r\n";
        let server = Server::play(vec![fails("RequestTimeTooSkewed", 403, date), answer(200, "", NOBODY)]);
        let client = server.client(&Stop::new());
        assert_eq!(Sts::new(client.clone()).caller_identity().unwrap().account, "1");
        let seen = server.seen();
        assert!(seen[1].head.contains("x-amz-date: 20240203T04"), "{}", seen[1].head);
        assert!(client.clock().skew_ms() < 0);

        let script = vec![fails("RequestTimeTooSkewed", 403, date), fails("RequestTimeTooSkewed", 403, date)];
        let server = Server::play(script);
        let error = Sts::new(server.client(&Stop::new())).caller_identity().unwrap_err();
        assert_eq!((error.kind(), server.seen().len()), (&Kind::Skewed, 2));
    }

    #[test]
    fn every_answer_tells_the_time_unless_it_comes_from_a_cache() {
        let date = |minute: u32| format!("date: Sat, 03 Feb 2024 04:{minute:02}:06 GMT\r\n");
        let cached = format!("{}age: 600\r\n", date(30));
        let server = Server::play(vec![
            answer(200, &date(5), NOBODY),
            answer(200, &cached, NOBODY),
            fails("AccessDenied", 403, &date(10)),
        ]);
        let client = server.client(&Stop::new());
        let sts = Sts::new(client.clone());
        let minute = || {
            let now = client.clock().now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
            now.as_secs() / 60 % 60
        };
        sts.caller_identity().unwrap();
        assert_eq!(minute(), 5);
        sts.caller_identity().unwrap();
        assert_eq!(minute(), 5);
        sts.caller_identity().unwrap_err();
        assert_eq!(minute(), 10, "a refusal, too");
        server.seen();
    }

    #[test]
    fn each_further_try_takes_a_turn_too() {
        const HOUR: Duration = Duration::from_secs(3600);
        let server = Server::play(vec![fails("InternalFailure", 500, "")]);
        let (stop, pace, began) = (Stop::new(), Pace::every(HOUR), Instant::now());
        let client = server.client(&stop).paced_by(std::slice::from_ref(&pace));
        let caller = std::thread::spawn(move || Sts::new(client).caller_identity());
        // The first attempt's turn is at once, the second's in an hour, and the next would be in two.
        while pace.next() < began + 2 * HOUR {
            assert!(!caller.is_finished());
            std::thread::sleep(Duration::from_millis(5));
        }
        stop.stop();
        assert_eq!(caller.join().unwrap().unwrap_err().kind(), &Kind::Stopped);
    }

    #[test]
    fn what_cannot_get_better_is_tried_once() {
        let server = Server::play(vec![fails("SignatureDoesNotMatch", 403, "")]);
        let error = Sts::new(server.client(&Stop::new())).caller_identity().unwrap_err();
        assert_eq!((error.kind(), server.seen().len()), (&Kind::Denied, 1));
    }

    #[test]
    fn a_stopped_client_still_calls_but_does_not_wait() {
        let stop = Stop::new();
        stop.stop();
        let server = Server::play(vec![fails("Throttling", 400, "retry-after: 20\r\n")]);
        let error = Sts::new(server.client(&stop)).caller_identity().unwrap_err();
        assert_eq!((error.kind(), server.seen().len()), (&Kind::Throttled, 1));
    }

    /// `retry-after` would block the caller for 20 s.
    #[test]
    fn a_client_without_waits_waits_for_nothing() {
        let busy = || fails("Throttling", 503, "retry-after: 20\r\n");
        let server = Server::play(vec![busy()]);
        let error = Sts::new(server.client(&Stop::new()).without_waits()).caller_identity().unwrap_err();
        assert_eq!((error.kind(), server.seen().len()), (&Kind::Throttled, 1));
        let server = Server::play(vec![fails("InternalFailure", 500, "")]);
        let error = Sts::new(server.client(&Stop::new()).without_waits()).caller_identity().unwrap_err();
        assert_eq!((error.kind(), server.seen().len()), (&Kind::Transient, 1));
        // A connection that was closed in the pool.
        let server = Server::play(vec![Step::Reset, answer(200, "", NOBODY)]);
        assert!(Sts::new(server.client(&Stop::new()).without_waits()).caller_identity().is_ok());
        let server = Server::play(vec![Step::Reset, Step::Reset]);
        let error = Sts::new(server.client(&Stop::new()).without_waits()).caller_identity().unwrap_err();
        assert_eq!((error.kind(), server.seen().len()), (&Kind::Transient, 2));
    }

    #[test]
    fn a_refused_connection_names_the_endpoint() {
        let server = Server::play(vec![]);
        let (client, endpoint) = (server.client(&Stop::new()), server.endpoint.clone());
        server.seen();
        let error = Sqs::new(client, &settings::Queue::Url("http://q/1/n".to_owned()))
            .unwrap()
            .attributes()
            .unwrap_err();
        assert_eq!(error.kind(), &Kind::Transient);
        assert!(error.to_string().contains(&endpoint), "{error}");
    }

    #[test]
    fn a_shut_agent_says_that_it_was_stopped() {
        let server = Server::play(vec![]);
        let client = server.client(&Stop::new());
        client.http.shutdown();
        let error = Sts::new(client).caller_identity().unwrap_err();
        assert_eq!(error.kind(), &Kind::Stopped);
    }

    #[test]
    fn the_queue_s_url_is_sent_as_it_is_and_batches_are_of_ten() {
        let server = Server::play(vec![
            answer(200, "", r#"{"Failed":[{"Id":"3","Code":"InternalError"}]}"#),
            answer(200, "", r#"{"Failed":[{"Id":"1","Code":"ReceiptHandleIsInvalid","SenderFault":true}]}"#),
        ]);
        let sqs = Sqs::new(
            server.client(&Stop::new()),
            &settings::Queue::Url("https://odd.example/x/y.fifo".to_owned()),
        )
        .unwrap();
        let ids = (0..12).map(|at| format!("id{at}")).collect::<Vec<_>>();
        let messages = ids.iter().map(|id| (id.as_str(), "handle")).collect::<Vec<_>>();
        let failed = sqs.delete(&messages).unwrap();
        assert_eq!((failed[0].id.as_str(), failed[0].kind()), ("id3", Kind::Transient));
        assert_eq!((failed[1].id.as_str(), failed[1].kind()), ("id11", Kind::ReceiptHandle));
        let seen = server.seen();
        assert!(seen[0].body.contains("https://odd.example/x/y.fifo"), "{}", seen[0].body);
        assert!(seen[0].head.contains("x-amz-target: AmazonSQS.DeleteMessageBatch"), "{}", seen[0].head);
        let entries = seen.iter().map(|seen| seen.body.matches("ReceiptHandle").count()).collect::<Vec<_>>();
        assert_eq!(entries, [10, 2]);
    }
}
