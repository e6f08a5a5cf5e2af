//! Calls to the endpoints inside a machine: no proxy, short timeouts, a few attempts.

use std::time::Duration;

use ureq::Agent;

use crate::aws::http;
use crate::base::limits::{
    CREDENTIALS_DOCUMENT_BYTES_MAX, METADATA_ATTEMPTS, METADATA_CONNECT_TIMEOUT, METADATA_RESPONSE_TIMEOUT,
    METADATA_RETRY_DELAY,
};

/// A whole answer, successful or not.
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

/// There was no answer, or no complete one.
pub struct Silence(pub String);

/// Makes calls of one method each, on a new connection each time.
pub struct Caller(Agent);

impl Caller {
    pub fn new() -> Self {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            // These addresses mean this machine, whatever the proxy variables say.
            .proxy(None)
            .tls_config(http::usual_tls())
            .user_agent(concat!("aws-to-devo/", env!("CARGO_PKG_VERSION")))
            .timeout_resolve(Some(METADATA_CONNECT_TIMEOUT))
            .timeout_connect(Some(METADATA_CONNECT_TIMEOUT))
            .timeout_send_request(Some(METADATA_RESPONSE_TIMEOUT))
            .timeout_recv_response(Some(METADATA_RESPONSE_TIMEOUT))
            .timeout_recv_body(Some(METADATA_RESPONSE_TIMEOUT))
            .build()
            .new_agent();
        Self(agent)
    }

    /// The answer to a request without a body. It is retried after 5xx and broken connections; an address that does not
    /// answer is tried once.
    pub fn call(&self, method: &str, url: &str, headers: &[(&str, &str)]) -> Result<Answer, Silence> {
        let mut tries = 1;
        loop {
            let (outcome, is_worth_a_try) = match self.once(method, url, headers) {
                Ok(answer) => {
                    let failed = answer.status >= 500 || answer.status == 429;
                    (Ok(answer), failed)
                }
                Err(error) => (Err(silence(&error)), is_broken(&error)),
            };
            if !is_worth_a_try || tries >= METADATA_ATTEMPTS {
                return outcome;
            }
            tries += 1;
            pause(METADATA_RETRY_DELAY);
        }
    }

    fn once(&self, method: &str, url: &str, headers: &[(&str, &str)]) -> Result<Answer, ureq::Error> {
        let mut request = ::http::Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(()).map_err(ureq::Error::Http)?;
        let mut answer = self.0.run(request)?;
        let limit = CREDENTIALS_DOCUMENT_BYTES_MAX as u64;
        let body = answer.body_mut().with_config().limit(limit).read_to_vec()?;
        Ok(Answer { status: answer.status().as_u16(), body })
    }
}

fn silence(error: &ureq::Error) -> Silence {
    Silence(match error {
        ureq::Error::Io(inner) => inner.to_string(),
        ureq::Error::Timeout(which) => format!("timed out ({which})"),
        other => other.to_string(),
    })
}

/// It had been reached.
fn is_broken(error: &ureq::Error) -> bool {
    use std::io::ErrorKind as E;
    match error {
        ureq::Error::Io(io) => {
            matches!(io.kind(), E::ConnectionReset | E::ConnectionAborted | E::BrokenPipe | E::UnexpectedEof)
        }
        ureq::Error::Protocol(_) => true,
        _ => false,
    }
}

fn pause(time: Duration) {
    std::thread::sleep(time);
}
