//! The stand-in for Devo: syslog-ng, which requires a client certificate and writes raw lines to files.

use std::path::{Path, PathBuf};

use rustix::process::Signal;

use crate::rig::pki;
use crate::rig::process::{PATIENCE, Process, free_port, wait_for};

/// A sink. Each start writes a separate file, so that a line cut by a stop cannot swallow the next.
pub struct SyslogNg {
    directory: PathBuf,
    pub port: u16,
    server: &'static str,
    /// TLS versions that it refuses, in syslog-ng's words, after those older than 1.2.
    refused_tls: &'static str,
    starts: u32,
    process: Option<Process>,
}

impl SyslogNg {
    /// Starts a sink with the certificate `server` of `pki.sh`.
    pub fn start(directory: &Path, server: &'static str) -> SyslogNg {
        let mut sink = SyslogNg {
            directory: directory.into(),
            port: free_port(),
            server,
            refused_tls: "",
            starts: 0,
            process: None,
        };
        sink.restart();
        sink
    }

    /// Restarts it with TLS 1.2 only.
    pub fn restart_with_tls_1_2(&mut self) {
        self.refused_tls = ", no-tlsv13";
        self.restart();
    }

    /// Starts it (again), on the same port.
    pub fn restart(&mut self) {
        self.stop();
        self.starts += 1;
        std::fs::write(self.path("conf"), self.configuration()).unwrap();
        let path = |suffix: &str| self.path(suffix).to_str().unwrap().to_owned();
        let (conf, persist, pid, ctl) = (path("conf"), path("persist"), path("pid"), path("ctl"));
        let arguments = ["-F", "--no-caps", "-f", &conf, "-R", &persist, "-p", &pid, "-c", &ctl];
        let log = self.path("log");
        self.process =
            Some(Process::start("/usr/sbin/syslog-ng".as_ref(), &arguments, "/dev/null".as_ref(), &log));
        let port = self.port;
        wait_for("syslog-ng", PATIENCE, || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    }

    /// The same with another certificate of `pki.sh`.
    pub fn restart_as(&mut self, server: &'static str) {
        self.server = server;
        self.restart();
    }

    /// Ends it with SIGTERM, upon which it writes what it has read.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.signal(Signal::TERM);
            process.wait("syslog-ng", PATIENCE);
        }
    }

    /// It stops reading, with its connections open.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Bytes received so far, over all starts.
    pub fn received_bytes(&self) -> u64 {
        self.outputs().iter().filter_map(|p| Some(p.metadata().ok()?.len())).sum()
    }

    /// Everything received so far: whole files, to be split at line feeds.
    pub fn received(&self) -> Vec<Vec<u8>> {
        self.outputs().iter().filter_map(|p| std::fs::read(p).ok()).collect()
    }

    /// The same as text, for a look at what has come.
    pub fn received_text(&self) -> String {
        self.received().iter().map(|file| String::from_utf8_lossy(file).into_owned()).collect()
    }

    fn signal(&self, signal: Signal) {
        self.process.as_ref().expect("the sink runs").signal(signal);
    }

    fn outputs(&self) -> Vec<PathBuf> {
        (1..=self.starts).map(|n| self.directory.join(format!("received.{n}"))).collect()
    }

    fn path(&self, suffix: &str) -> PathBuf {
        self.directory.join(format!("syslog-ng.{suffix}"))
    }

    /// Data that the sink has read but not written when it ends is beyond any sender's proof: hence the small receive
    /// buffer, the small window and a write per line.
    fn configuration(&self) -> String {
        let pki = |suffix: &str| pki::file(&format!("{}.{suffix}", self.server)).display().to_string();
        format!(
            r#"@version: 3.38
options {{ keep-hostname(yes); use-dns(no); stats-freq(0); flush-lines(1); log-msg-size(2097152); }};
source s_tls {{
  network(
    ip(127.0.0.1) port({port}) transport("tls") flags(no-parse) so-rcvbuf(65536)
    max-connections(20) log-iw-size(2000) log-fetch-limit(100) log-msg-size(2097152)
    tls(key-file("{key}") cert-file("{cert}") ca-file("{ca}") peer-verify(required-trusted)
        ssl-options(no-sslv2, no-sslv3, no-tlsv1, no-tlsv11{refused_tls}))
  );
}};
destination d_raw {{ file("{output}" template("${{MSG}}\n") log-fifo-size(4000)); }};
log {{ source(s_tls); destination(d_raw); flags(flow-control); }};
"#,
            port = self.port,
            refused_tls = self.refused_tls,
            key = pki("key"),
            cert = pki("crt"),
            ca = pki::file("authority.crt").display(),
            output = self.outputs().last().unwrap().display(),
        )
    }
}
