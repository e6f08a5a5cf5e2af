//! One SQS queue.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use super::client::Client;
use super::endpoint;
use super::error::Error;
use super::kind::Kind;
use super::request::{Address, Request};
use super::sqs::{self, Attributes, Failure, Message, Redrive};
use super::success::Unusable;
use crate::base::limits::SQS_BATCH;
use crate::settings;
use crate::settings::Service;

/// Calls one queue. Its URL is sent as written; requests go to the override, else to the URL's host.
#[derive(Clone)]
pub struct Sqs {
    client: Client,
    queue: settings::Queue,
    place: Arc<OnceLock<Place>>,
    /// See [`Sqs::within`].
    time_limit: Option<Duration>,
}

/// The address of a queue.
#[derive(Debug)]
struct Place {
    endpoint: String,
    url: String,
}

impl Sqs {
    /// Creates the caller. A queue given by name is looked up at the first call.
    ///
    /// # Errors
    /// If there is no override, and the URL has no `http(s)://host` to call.
    pub fn new(client: Client, queue: &settings::Queue) -> Result<Self, Error> {
        let place = OnceLock::new();
        if let settings::Queue::Url(url) = queue {
            let _ = place.set(place_of(&client, url)?);
        }
        Ok(Self { client, queue: queue.clone(), place: Arc::new(place), time_limit: None })
    }

    /// A copy whose calls end within `time_limit` each and are not retried: for a caller that must know soon, and
    /// retries by itself.
    pub fn within(&self, time_limit: Duration) -> Self {
        Self { client: self.client.tried_once(), time_limit: Some(time_limit), ..self.clone() }
    }

    /// The URL of the queue `name` in the client's account and region.
    pub fn queue_url(client: &Client, name: &str) -> Result<String, Error> {
        let endpoint = client.endpoint(Service::Sqs);
        let address = Address { endpoint: &endpoint, region: client.region(), resource: name };
        client.call_and_read(&sqs::queue_url(&address), sqs::read_queue_url)
    }

    /// Receives up to `max` (1 to 10) messages, waiting for the first up to `wait` (20 s), hidden for `visibility`.
    /// Blocks until SQS answers, or [`super::Http::shutdown`] ([`Kind::Stopped`]).
    pub fn receive(&self, max: u32, wait: Duration, visibility: Duration) -> Result<Vec<Message>, Error> {
        let request = sqs::receive(&self.address()?, max, wait, visibility);
        self.call(request, sqs::read_receive)
    }

    /// Deletes messages, given as (id for the report, receipt handle), in batches of ten. Returns those that SQS
    /// refused. An error ends it; the batches before it are done, and repeating them is harmless.
    pub fn delete(&self, messages: &[(&str, &str)]) -> Result<Vec<Failure>, Error> {
        let address = self.address()?;
        let request = |batch: &[(&str, &str)]| {
            let handles = batch.iter().map(|(_, handle)| *handle).collect::<Vec<_>>();
            sqs::delete(&address, &handles)
        };
        self.in_batches(messages, request, |(id, _)| *id)
    }

    /// Hides messages, given as (id for the report, receipt handle, seconds from now), in batches of ten; 0 returns
    /// them at once. Returns and fails as [`Sqs::delete`] does.
    pub fn change_visibility(&self, messages: &[(&str, &str, u32)]) -> Result<Vec<Failure>, Error> {
        let address = self.address()?;
        let request = |batch: &[(&str, &str, u32)]| {
            let handles = batch.iter().map(|(_, handle, seconds)| (*handle, *seconds)).collect::<Vec<_>>();
            sqs::change_visibility(&address, &handles)
        };
        self.in_batches(messages, request, |(id, ..)| *id)
    }

    /// Reads settings and depth.
    pub fn attributes(&self) -> Result<Attributes, Error> {
        self.call(sqs::attributes(&self.address()?), sqs::read_attributes)
    }

    /// The queue that takes this one's dead letters, which by SQS's rule is in the same account and region. None if the
    /// policy's ARN or this queue's URL does not have SQS's form.
    pub fn dead_letters(&self, redrive: &Redrive) -> Option<Self> {
        let mut arn = redrive.dead_letter_arn.rsplit(':');
        let (name, account) = (arn.next()?, arn.next()?);
        let plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        if !plain(name) || !plain(account) {
            return None;
        }
        let mut url = self.address().ok()?.resource.trim_end_matches('/').rsplitn(3, '/');
        let host = url.nth(2).filter(|host| host.contains("://"))?;
        let beside = settings::Queue::Url(format!("{host}/{account}/{name}"));
        Self::new(self.client.clone(), &beside).ok()
    }

    /// Expiry of the current credentials, by AWS's clock; None if they never expire, or there are none.
    pub fn credentials_expire_at(&self) -> Option<SystemTime> {
        self.client.provider().expires_at()
    }

    fn address(&self) -> Result<Address<'_>, Error> {
        let place = match self.place.get() {
            Some(place) => place,
            None => {
                let url = Self::queue_url(&self.client, self.queue.text())?;
                let place = place_of_answer(&self.client, url);
                self.place.get_or_init(|| place)
            }
        };
        Ok(Address { endpoint: &place.endpoint, region: self.client.region(), resource: &place.url })
    }

    fn call<T>(&self, mut request: Request, read: impl Fn(&[u8]) -> Result<T, Unusable>) -> Result<T, Error> {
        request.time_limit = self.time_limit;
        self.client.call_and_read(&request, read)
    }

    fn in_batches<'a, M>(
        &self,
        messages: &'a [M],
        request: impl Fn(&[M]) -> Request,
        id: impl Fn(&'a M) -> &'a str,
    ) -> Result<Vec<Failure>, Error> {
        let mut failed = Vec::new();
        for batch in messages.chunks(SQS_BATCH) {
            let ids = batch.iter().map(&id).collect::<Vec<_>>();
            failed.extend(self.call(request(batch), |body| sqs::read_batch(body, &ids))?);
        }
        Ok(failed)
    }
}

fn place_of(client: &Client, url: &str) -> Result<Place, Error> {
    let over = client.endpoints().sqs.clone();
    let endpoint = over.or_else(|| endpoint::queue(url, client.endpoints().variant));
    let no_url =
        || Error::setup("sqs", url, Kind::BadRequest, "not a queue's URL: it must look like https://host/…");
    Ok(Place { endpoint: endpoint.ok_or_else(no_url)?, url: url.to_owned() })
}

/// Checks that a URL in SQS's answer leads to a host of AWS's partition, or back to where it came from.
fn place_of_answer(client: &Client, url: String) -> Place {
    let over = client.endpoints().sqs.clone();
    let of_aws = |endpoint: &String| endpoint::is_of_aws(endpoint, client.region());
    let endpoint = over.or_else(|| endpoint::queue(&url, client.endpoints().variant).filter(of_aws));
    Place { endpoint: endpoint.unwrap_or_else(|| client.endpoint(Service::Sqs)), url }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::aws::Provider;
    use crate::aws::proxy::Proxies;
    use crate::aws::testing::Server;
    use crate::base::stop::Stop;

    #[test]
    fn a_call_within_a_time_limit_is_broken_off_wherever_it_hangs_and_made_once() {
        let (endpoint, calls) = crate::aws::testing::slow_answers();
        let http = crate::aws::Http::with(2, Proxies::default(), None).unwrap();
        let endpoints = settings::Endpoints::each(|_| Some(endpoint.clone()));
        let client = Client::with(&http, Provider::anonymous(), "us-east-1", endpoints, &Stop::new());
        let queue = Sqs::new(client, &settings::Queue::Url("http://q/1/n".to_owned())).unwrap();
        let error = queue.within(Duration::from_millis(300)).attributes().unwrap_err();
        assert_eq!(error.kind(), &Kind::Transient);
        assert_eq!(calls.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn dead_letters_lie_beside_their_queue() {
        let server = Server::play(vec![]);
        let url_of = |url: &str, arn: &str| {
            let redrive = Redrive { max_receive_count: 3, dead_letter_arn: arn.into() };
            let queue = Sqs::new(server.client(&Stop::new()), &settings::Queue::Url(url.into())).unwrap();
            let dead_letters = queue.dead_letters(&redrive)?;
            Some(dead_letters.address().unwrap().resource.to_owned())
        };
        let arn = "arn:aws:sqs:eu-west-1:111122223333:logs-dead";
        let beside = |host: &str| Some(format!("{host}/111122223333/logs-dead"));
        let aws = "https://sqs.eu-west-1.amazonaws.com";
        assert_eq!(url_of(&format!("{aws}/111122223333/logs"), arn), beside(aws));
        assert_eq!(
            url_of("http://localhost:4566/queue/eu/1/logs", arn),
            beside("http://localhost:4566/queue/eu")
        );
        for arn in [
            "arn:aws:sqs:eu-west-1:1@evil:q",
            "arn:aws:sqs:eu-west-1:1:q/../x",
            "arn:aws:sqs:eu-west-1:1:q?a=b",
        ] {
            assert_eq!(url_of(&format!("{aws}/111122223333/logs"), arn), None, "{arn}");
        }
        for (url, arn) in [("https://host", arn), ("https://host/1/q", "dead"), ("https://host/q", arn)] {
            assert_eq!(url_of(url, arn), None, "{url} {arn}");
        }
    }

    #[test]
    fn a_queue_s_url_in_an_answer_leads_to_no_other_host() {
        let server = Server::play(vec![]);
        let client = server.client(&Stop::new());
        let http = crate::aws::Http::with(1, Proxies::default(), None).unwrap();
        let aws = Client::with(
            &http,
            client.provider().clone(),
            "us-east-1",
            settings::Endpoints::default(),
            &Stop::new(),
        );
        let asked = "https://sqs.us-east-1.amazonaws.com";
        for (url, endpoint) in [
            ("https://sqs.us-east-1.amazonaws.com/1/q", asked),
            ("https://us-east-1.queue.amazonaws.com/1/q", asked),
            ("https://queue.amazonaws.com/1/q", asked),
            ("https://sqs.us-east-1.api.aws/1/q", "https://sqs.us-east-1.api.aws"),
            ("https://evil.example/1/q", asked),
            ("https://amazonaws.com.evil.example/1/q", asked),
            ("https://evilamazonaws.com/1/q", asked),
            ("http://sqs.us-east-1.amazonaws.com/1/q", asked),
            ("https://sqs.us-east-1.amazonaws.com:8443/1/q", asked),
            ("https://u@evil.example/.amazonaws.com/q", asked),
            ("", asked),
        ] {
            assert_eq!(place_of_answer(&aws, url.to_owned()).endpoint, endpoint, "{url}");
            assert_eq!(
                place_of_answer(&client, url.to_owned()).endpoint,
                server.endpoint,
                "the override wins"
            );
        }
    }
}
