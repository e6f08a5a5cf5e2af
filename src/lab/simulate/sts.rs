//! STS: sessions of a role that expire during the run.

use std::time::Duration;

use super::aws::Said;
use super::faults::Kind;
use super::scheduler::BEGINNING;
use super::world::{Seat, State};
use crate::aws::request::Request;

/// How long a session lives, in seconds: less than the collector asks for.
const LIFE: std::ops::Range<u64> = 60..900;
/// The beginning of a session's access key.
const SESSION: &str = "ASIA";

impl Seat {
    pub(super) fn sts(&self, request: &Request) -> Said {
        let (now, mut state) = (self.world.now(), self.world.state());
        if state.strikes(Kind::StsUnavailable) {
            return refusal(503, "ServiceUnavailable");
        }
        if state.strikes(Kind::StsDenies) {
            return refusal(403, "AccessDenied");
        }
        match request.action {
            "sts:GetCallerIdentity" => Said::new(200, IDENTITY.into()),
            "sts:AssumeRole" => Said::new(200, state.session(now).into_bytes()),
            _ => refusal(400, "InvalidAction"),
        }
    }
}

impl State {
    fn session(&mut self, now: Duration) -> String {
        let key = format!("{SESSION}{:016}", self.sessions.len());
        let expires = now + Duration::from_secs(self.random.u64(LIFE));
        let seconds = i64::try_from(BEGINNING + expires.as_secs()).unwrap_or(i64::MAX);
        let time = jiff::Timestamp::from_second(seconds).unwrap_or_default();
        self.tell(|| format!("STS: session {key} until {:.0} s", expires.as_secs_f64()));
        let text = format!(
            "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>{key}</AccessKeyId><SecretAccessKey>s</SecretAccessKey>\
             <SessionToken>t</SessionToken><Expiration>{time}</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"
        );
        self.sessions.insert(key, expires);
        text
    }

    /// True if a call was signed with a session that has expired.
    pub(super) fn is_expired(&self, signed: &[(&'static str, String)], now: Duration) -> bool {
        let authorization = signed.iter().find(|(name, _)| *name == "authorization");
        let key = authorization.and_then(|(_, text)| text.split_once("Credential=")?.1.split_once('/'));
        key.is_some_and(|(key, _)| {
            key.starts_with(SESSION) && self.sessions.get(key).is_none_or(|expires| *expires <= now)
        })
    }
}

fn refusal(status: u16, code: &str) -> Said {
    let text = format!(
        "<ErrorResponse><Error><Code>{code}</Code><Message>as planned</Message></Error></ErrorResponse>"
    );
    Said::new(status, text.into_bytes())
}

const IDENTITY: &str = "<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws:iam::123456789012:user/simulated</Arn>\
     <UserId>AIDASIMULATED</UserId><Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>";
