//! HAProxy in between: a balancer that can cut live connections, and an unreliable AWS.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use crate::rig::emulator;
use crate::rig::process::{PATIENCE, Process, free_port, wait_for};

pub struct Balancer {
    control: PathBuf,
    /// Forwards to the sink.
    pub sink_port: u16,
    /// Forwards to the emulator, but answers one call in five with 503 and drops one in ten.
    pub faulty_aws_port: u16,
    _process: Process,
}

impl Balancer {
    pub fn start(directory: &Path, sink: u16) -> Balancer {
        let (sink_port, faulty_aws_port) = (free_port(), free_port());
        let control = directory.join("haproxy.ctl");
        let file = directory.join("haproxy.conf");
        std::fs::write(&file, configuration(&control, sink, sink_port, faulty_aws_port)).unwrap();
        let arguments = ["-db", "-f", file.to_str().unwrap()];
        let log = directory.join("haproxy.log");
        let process = Process::start("/usr/sbin/haproxy".as_ref(), &arguments, "/dev/null".as_ref(), &log);
        let ready = || std::net::TcpStream::connect(("127.0.0.1", faulty_aws_port)).is_ok();
        wait_for("haproxy", PATIENCE, ready);
        Balancer { control, sink_port, faulty_aws_port, _process: process }
    }

    /// Cuts every live connection to the sink.
    pub fn cut(&self) {
        let mut control = UnixStream::connect(&self.control).unwrap();
        control.write_all(b"shutdown sessions server b_sink/sink\n").unwrap();
        let mut answer = String::new();
        control.read_to_string(&mut answer).unwrap();
        assert_eq!(answer.trim(), "", "haproxy refuses");
    }
}

fn configuration(control: &Path, sink: u16, sink_port: u16, faulty_aws_port: u16) -> String {
    format!(
        r#"global
  stats socket {control} mode 600 level admin
defaults
  timeout connect 5s
  timeout client 120s
  timeout server 120s
frontend f_sink
  mode tcp
  bind 127.0.0.1:{sink_port}
  default_backend b_sink
backend b_sink
  mode tcp
  server sink 127.0.0.1:{sink}
frontend f_aws
  mode http
  bind 127.0.0.1:{faulty_aws_port}
  http-request return status 503 content-type application/xml string "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>" if {{ rand(100) lt 20 }}
  http-request reject if {{ rand(100) lt 10 }}
  default_backend b_aws
backend b_aws
  mode http
  server aws {aws}
"#,
        control = control.display(),
        aws = emulator::endpoint().trim_start_matches("http://"),
    )
}
