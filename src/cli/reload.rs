//! SIGHUP: the configuration is read again. Certificates alone are renewed under the running pipeline, and `debug`
//! alone changes what is logged of it; anything else ends it in good order, and the next one runs by the new configuration. A bad one is refused, and the old
//! one goes on.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::notify::ServiceManager;
use crate::base::stop::Stop;
use crate::config::{self, Changes, Environment, Loaded, Problems, Snapshot};
use crate::stages::send::Renewal;

/// What a SIGHUP needs to know of the run, and the run of the SIGHUP.
#[derive(Debug, Clone)]
pub struct Reload {
    path: PathBuf,
    manager: Arc<ServiceManager>,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug)]
struct Shared {
    /// What runs was read from.
    snapshot: Snapshot,
    /// Of the pipeline that runs.
    running: Option<(Stop, Renewal)>,
    /// What is to run next.
    next: Option<Loaded>,
}

impl Reload {
    pub fn new(path: &Path, snapshot: Snapshot, manager: &Arc<ServiceManager>) -> Reload {
        let shared = Shared { snapshot, running: None, next: None };
        Reload { path: path.to_owned(), manager: Arc::clone(manager), shared: Arc::new(Mutex::new(shared)) }
    }

    /// A pipeline runs now.
    pub fn govern(&self, stop: &Stop, renewal: Renewal) {
        let mut shared = self.shared();
        if shared.next.is_some() {
            stop.stop();
        }
        shared.running = Some((stop.clone(), renewal));
    }

    /// What is to run after a pipeline that has ended. None: it did not end for a reload.
    pub fn next(&self) -> Option<Loaded> {
        let mut shared = self.shared();
        let next = shared.next.take();
        if let Some(next) = &next {
            shared.snapshot = next.snapshot.clone();
        }
        next
    }

    /// What was read last could not be started: this runs again.
    pub fn goes_back(&self, snapshot: Snapshot) {
        self.shared().snapshot = snapshot;
    }

    /// At SIGHUP.
    pub fn hangup(&self) {
        log::info!("SIGHUP: {} is read again", self.path.display());
        self.manager.reloading();
        match config::load(&self.path, &Environment::here()) {
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
        let changes =
            shared.next.as_ref().map_or(&shared.snapshot, |next| &next.snapshot).changes(&new.snapshot);
        log_changes(&changes);
        if changes.is_only_of_debug() && shared.next.is_none() {
            super::log::set_level(crate::cli::level::level(&new.config));
            log::info!(
                "lines for debugging are {}",
                if new.config.globals.debug { "logged" } else { "not logged" }
            );
            shared.snapshot = new.snapshot;
            return self.manager.ready();
        }
        if !changes.keys.is_empty() || shared.next.is_some() {
            log::info!("work in hand is finished or given back; then the new configuration runs");
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

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refuse(problems: &Problems) {
    super::log::problems(&problems.0);
    log::error!("the new configuration is refused; the old one goes on");
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

/// True: every connection will have the new ones.
fn renew(running: Option<&(Stop, Renewal)>) -> bool {
    match running.map(|(_, renewal)| renewal.renew()) {
        Some(Ok(())) => {
            log::info!("connections are renewed one by one with the new certificates");
            true
        }
        Some(Err(error)) => {
            log::error!("{error}; the certificates that were read before stay in use");
            false
        }
        None => false,
    }
}
