//! SIGHUP: reloads the configuration. Changed certificates are renewed in the running pipeline, and `debug` changes the
//! log level; any other change stops the pipeline in good order and starts the next one with the new configuration. A
//! bad configuration is refused, and the old one continues.

use std::sync::{Arc, Mutex, MutexGuard};

use super::files::Files;
use super::notify::ServiceManager;
use crate::base::locks::lock;
use crate::base::stop::Stop;
use crate::config::{Changes, Loaded, Problems, Snapshot};
use crate::stages::send::Renewal;

/// The state that a SIGHUP and the run share.
#[derive(Debug, Clone)]
pub struct Reload {
    files: Files,
    manager: Arc<ServiceManager>,
    shared: Arc<Mutex<ReloadState>>,
}

#[derive(Debug)]
struct ReloadState {
    /// The snapshot of the running configuration's files.
    snapshot: Snapshot,
    /// The stop handle of the running pipeline.
    running: Option<(Stop, Renewal)>,
    /// The configuration to run next.
    next: Option<Loaded>,
}

impl Reload {
    pub fn new(files: &Files, snapshot: Snapshot, manager: &Arc<ServiceManager>) -> Reload {
        let shared = ReloadState { snapshot, running: None, next: None };
        Reload { files: files.clone(), manager: Arc::clone(manager), shared: Arc::new(Mutex::new(shared)) }
    }

    /// Notes that a pipeline runs now.
    pub fn govern(&self, stop: &Stop, renewal: Renewal) {
        let mut shared = self.shared();
        if shared.next.is_some() {
            stop.stop();
        }
        shared.running = Some((stop.clone(), renewal));
    }

    /// The configuration to run after a pipeline has ended; None if it did not end for a reload.
    pub fn next(&self) -> Option<Loaded> {
        let mut shared = self.shared();
        let next = shared.next.take();
        if let Some(next) = &next {
            shared.snapshot = next.snapshot.clone();
        }
        next
    }

    /// Notes that the latest configuration could not be started and this one runs again.
    pub fn goes_back(&self, snapshot: Snapshot) {
        self.shared().snapshot = snapshot;
    }

    /// Handles a SIGHUP.
    pub fn hangup(&self) {
        log::info!("SIGHUP: reloading {}", self.files.config.display());
        self.manager.reloading();
        match self.files.load() {
            Ok(new) => self.take(new),
            Err(problems) => {
                refuse(&problems);
                self.manager.ready();
            }
        }
    }

    fn take(&self, new: Loaded) {
        super::log::problems(&new.warnings);
        let mut shared = self.shared();
        let changes = shared.snapshot.changes(&new.snapshot);
        if let Some(next) = &shared.next {
            told_again(&changes, &next.snapshot.changes(&new.snapshot));
            shared.next = Some(new);
            return;
        }
        log_changes(&changes);
        if changes.is_only_of_debug() {
            super::log::set_level(crate::cli::level::level(&new.config));
            log::info!("debug lines are {}", if new.config.globals.debug { "logged" } else { "not logged" });
            shared.snapshot = new.snapshot;
            return self.manager.ready();
        }
        if !changes.keys.is_empty() {
            log::info!("work in flight is finished or returned; then the new configuration runs");
            shared.next = Some(new);
            if let Some((stop, _)) = &shared.running {
                stop.stop();
            }
            return;
        }
        if !changes.certificates.is_empty() && renew(shared.running.as_ref()) {
            shared.snapshot = new.snapshot;
        }
        self.manager.ready();
    }

    fn shared(&self) -> MutexGuard<'_, ReloadState> {
        lock(&self.shared)
    }
}

fn refuse(problems: &Problems) {
    super::log::problems(&problems.0);
    log::error!("the new configuration is refused; the old one continues");
}

/// Logs what a reload under way will end with. `of_running` are the changes since the running configuration, `of_next` those
/// since the one that was to run next.
fn told_again(of_running: &Changes, of_next: &Changes) {
    let what = again(of_running, of_next);
    if what == Again::Other {
        log_changes(of_next);
    }
    log::info!("{}", what.text());
}

/// The sense of a SIGHUP during a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Again {
    Same,
    /// The running pipeline has been told to stop, which nothing takes back.
    Back,
    Other,
}

fn again(of_running: &Changes, of_next: &Changes) -> Again {
    let none = Changes::default();
    match (*of_next == none, *of_running == none) {
        (true, _) => Again::Same,
        (false, true) => Again::Back,
        (false, false) => Again::Other,
    }
}

impl Again {
    fn text(self) -> &'static str {
        match self {
            Again::Same => "nothing has changed since the last SIGHUP, whose reload is still under way",
            Again::Back => {
                "the file is as it was before the last SIGHUP, whose stop is still under way: work in flight is finished or \
                 returned; then the pipeline starts again with the configuration that runs now"
            }
            Again::Other => "the reload under way ends with this configuration",
        }
    }
}

fn log_changes(changes: &Changes) {
    if *changes == Changes::default() {
        log::info!("nothing has changed");
    }
    for key in &changes.keys {
        log::info!("changed: {}", if key.is_empty() { "the whole file" } else { key });
    }
    for file in &changes.certificates {
        log::info!("changed: {}", file.display());
    }
}

/// Renews the certificates. Returns true if every connection will use the new ones.
fn renew(running: Option<&(Stop, Renewal)>) -> bool {
    match running.map(|(_, renewal)| renewal.renew()) {
        Some(Ok(())) => {
            log::info!("connections are renewed one by one with the new certificates");
            true
        }
        Some(Err(error)) => {
            log::error!("{error}; the previous certificates stay in use");
            false
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reload_under_way_is_never_called_no_change_when_something_will_change() {
        let (none, some) =
            (Changes::default(), Changes { keys: vec!["globals".to_owned()], ..Changes::default() });
        assert_eq!(again(&some, &none), Again::Same);
        assert_eq!(again(&none, &some), Again::Back);
        assert_eq!(again(&some, &some), Again::Other);
        for what in [Again::Back, Again::Other] {
            assert!(!what.text().contains("nothing has changed"));
        }
    }
}
