//! Host names -> addresses, cached for a moment.
//!
//! `ureq` asks before every request, even if a connection is waiting in its pool, and its own resolver starts a thread
//! for each question, because it has a timeout: for an object of 2 KB that costs more than the GET.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use http::Uri;
use http::uri::Scheme;
use ureq::Error;
use ureq::config::Config;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use crate::base::limits::{NAME_LIFETIME, NAMES_MAX};
use crate::base::locks::lock;

/// Resolves names with the system, and caches them for [`NAME_LIFETIME`]. A thread that needs a name while another
/// thread is asking for it waits for that answer: otherwise hundreds of threads would start as many others every few
/// seconds.
#[derive(Debug, Default)]
pub(super) struct Names<R = DefaultResolver> {
    system: R,
    known: Mutex<HashMap<String, Known>>,
    asked: Mutex<HashMap<String, Arc<Question>>>,
}

/// A name being resolved. The resolving thread holds the lock; None in it means that there is no answer.
type Question = Mutex<Option<ResolvedSocketAddrs>>;

#[derive(Debug)]
struct Known {
    since: Instant,
    addresses: ResolvedSocketAddrs,
}

impl<R: Resolver> Resolver for Names<R> {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let name = host_and_port(uri);
        if let Some(known) = self.known().get(&name).filter(|known| known.since.elapsed() < NAME_LIFETIME) {
            return Ok(known.addresses.clone());
        }
        let question = Arc::new(Question::default());
        let mut answer = lock(&question);
        let asked_by_others = {
            let mut asked = lock(&self.asked);
            let others = asked.get(&name).cloned();
            others.is_none().then(|| asked.insert(name.clone(), Arc::clone(&question)));
            others
        };
        if let Some(others) = asked_by_others {
            // Their failure is ours too: otherwise each thread in turn would wait for its own timeout.
            let answer = lock(&others).clone();
            if others.is_poisoned() {
                // The resolving thread has panicked and left its entry behind.
                lock(&self.asked).remove(&name);
            }
            return answer.ok_or(Error::HostNotFound);
        }
        let resolved = self.system.resolve(uri, config, timeout);
        if let Ok(addresses) = &resolved {
            *answer = Some(addresses.clone());
            self.remember(name.clone(), addresses);
        }
        lock(&self.asked).remove(&name);
        resolved
    }
}

impl<R> Names<R> {
    fn remember(&self, name: String, addresses: &ResolvedSocketAddrs) {
        let mut known = self.known();
        if known.len() >= NAMES_MAX {
            known.clear();
        }
        known.insert(name, Known { since: Instant::now(), addresses: addresses.clone() });
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        lock(&self.known)
    }
}

/// The port is part of an address.
fn host_and_port(uri: &Uri) -> String {
    let host = uri.host().unwrap_or_default();
    let usual = if uri.scheme() == Some(&Scheme::HTTP) { 80 } else { 443 };
    format!("{host}:{}", uri.port_u16().unwrap_or(usual))
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};
    use std::sync::atomic::{AtomicU16, Ordering};
    use std::time::Duration;

    use super::*;

    /// Answers with the number of the question as the port.
    #[derive(Debug, Default)]
    struct Counted(AtomicU16);

    impl Resolver for Counted {
        fn resolve(&self, uri: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
            if uri.host() == Some("nowhere") {
                return Err(Error::HostNotFound);
            }
            let mut addresses = self.empty();
            addresses.push(SocketAddr::from((Ipv4Addr::LOCALHOST, self.0.fetch_add(1, Ordering::Relaxed))));
            Ok(addresses)
        }
    }

    fn ask<R: Resolver>(names: &Names<R>, uri: &str) -> Option<u16> {
        let config = Config::builder().build();
        let timeout = NextTimeout {
            after: Duration::from_secs(1).into(),
            reason: ureq::Timeout::Resolve,
            per_read: None,
            per_write: None,
        };
        let addresses = names.resolve(&uri.parse().unwrap(), &config, timeout).ok()?;
        Some(addresses[0].port())
    }

    #[test]
    fn a_name_is_asked_for_once_in_its_lifetime() {
        let names = Names::<Counted>::default();
        assert_eq!([ask(&names, "https://a/x"), ask(&names, "https://a:443/y?z")], [Some(0), Some(0)]);
        assert_eq!([ask(&names, "http://a/"), ask(&names, "https://b/")], [Some(1), Some(2)]);
        for known in names.known().values_mut() {
            known.since -= NAME_LIFETIME;
        }
        assert_eq!([ask(&names, "https://a/"), ask(&names, "https://a/")], [Some(3), Some(3)]);
    }

    /// Waits until it is told to answer.
    #[derive(Debug)]
    struct Slow {
        answer: Mutex<std::sync::mpsc::Receiver<()>>,
        asked: Counted,
    }

    impl Resolver for Slow {
        fn resolve(
            &self,
            uri: &Uri,
            config: &Config,
            timeout: NextTimeout,
        ) -> Result<ResolvedSocketAddrs, Error> {
            lock(&self.answer).recv().unwrap();
            self.asked.resolve(uri, config, timeout)
        }
    }

    #[test]
    fn many_threads_ask_once_and_share_the_answer() {
        for (uri, expected) in [("https://a/", Some(0)), ("https://nowhere/", None)] {
            let (tell, answer) = std::sync::mpsc::channel();
            let system = Slow { answer: Mutex::new(answer), asked: Counted::default() };
            let names = Names { system, known: Mutex::default(), asked: Mutex::default() };
            std::thread::scope(|scope| {
                let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| ask(&names, uri))).collect();
                // Held by the map, the resolving thread, and all waiting ones.
                while lock(&names.asked).values().next().is_none_or(|it| Arc::strong_count(it) < 2 + 7) {
                    std::thread::yield_now();
                }
                tell.send(()).unwrap();
                threads.into_iter().for_each(|thread| assert_eq!(thread.join().unwrap(), expected));
            });
            assert!(lock(&names.asked).is_empty());
        }
    }

    #[test]
    fn what_is_not_found_is_not_remembered() {
        let names = Names::<Counted>::default();
        assert_eq!(ask(&names, "https://nowhere/"), None);
        assert!(names.known().is_empty());
    }

    #[test]
    fn many_names_are_forgotten_together() {
        let names = Names::<Counted>::default();
        for number in 0..=NAMES_MAX {
            assert!(ask(&names, &format!("https://bucket-{number}/")).is_some());
        }
        assert_eq!(names.known().len(), 1);
    }
}
