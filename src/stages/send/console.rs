//! The console output: frames to standard output, confirmed when the kernel has taken them.
//!
//! Nothing is written twice and no line is cut: the rest of a batch is written when the kernel takes data again. A wait
//! can always be ended: a pipe or terminal is opened once more in non-blocking mode, because changing the original
//! would affect everyone who shares it.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{FileType, OFlags, fstat};
use rustix::net::{SendFlags, send};

use crate::ack::Outcome;
use crate::base::limits::{
    CONSOLE_PATIENCE, PIPE_BYTES_ATOMIC, SEND_BACKOFF_FIRST, SEND_BACKOFF_MAX, SEND_WAIT_SLICE,
};
use crate::base::runtime::channel::{Receiver, RecvTimeoutError};
use crate::base::runtime::clock;
use crate::base::stop::Stop;
use crate::handoff::Batch;
use crate::telemetry::Output;

/// Standard output ends within a line: a run of this process was stopped there. The next one ends the line first.
static CUT: AtomicBool = AtomicBool::new(false);

/// The writing thread.
pub struct Console {
    pub batches: Receiver<Batch>,
    pub telemetry: Arc<Output>,
    pub abort: Stop,
    /// The reason why nothing will read any more, which must end the run.
    pub closed: Arc<OnceLock<String>>,
}

/// The reason why a batch was not written.
enum Failure {
    Stopped,
    /// There is no reader any more.
    Closed(io::Error),
}

impl Console {
    /// Writes until the channel is closed, or until stopped.
    pub fn run(self) {
        self.run_on(io::stdout().as_fd());
    }

    fn run_on(self, fd: BorrowedFd<'_>) {
        let target = Target::of(fd);
        // There is nothing to wait for before the first batch.
        self.telemetry.health.works();
        if let Err(Failure::Closed(error)) = self.serve(&target) {
            let reason = format!(
                "standard output is closed ({error}): its reader has exited. What is not written will be sent again"
            );
            let _ = self.closed.set(format!("outputs.{}: {reason}", self.telemetry.name));
            self.telemetry.health.failed(reason, true);
            // Batches are kept until the end, so that nothing is returned and repeated to other outputs.
            self.abort.wait_until_stopped();
        }
    }

    fn serve(&self, target: &Target<'_>) -> Result<(), Failure> {
        loop {
            match self.batches.recv_timeout(SEND_WAIT_SLICE) {
                Ok(batch) => self.deliver(batch, target)?,
                Err(RecvTimeoutError::Timeout) if !self.abort.is_stopped() => (),
                Err(_) => return Ok(()),
            }
        }
    }

    fn deliver(&self, batch: Batch, target: &Target<'_>) -> Result<(), Failure> {
        let send = &self.telemetry.send;
        send.waiting.add(-1);
        send.events_written.add(batch.events.into());
        if CUT.load(Ordering::Acquire) {
            self.write(b"\n", target)?;
            CUT.store(false, Ordering::Release);
        }
        self.write(&batch.bytes, target)?;
        send.events.add(batch.events.into());
        send.bytes.add(batch.bytes.len() as u64);
        batch.share.resolve(Outcome::Delivered);
        Ok(())
    }

    /// Writes all of it, however long that takes.
    fn write(&self, bytes: &[u8], target: &Target<'_>) -> Result<(), Failure> {
        let (mut written, mut progress, mut pause) = (0, clock::now(), SEND_BACKOFF_FIRST);
        while written < bytes.len() {
            let stopped = match target.write(&bytes[written..]) {
                Ok(n) => {
                    written += n;
                    (progress, pause) = (clock::now(), SEND_BACKOFF_FIRST);
                    self.recover();
                    continue;
                }
                Err(error) if is_closed(&error) => return Err(Failure::Closed(error)),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.note_standstill(progress);
                    target.await_room();
                    self.abort.is_stopped()
                }
                Err(error) => {
                    let message = format!(
                        "cannot write to standard output: {error}. Is the disk full? The write is retried"
                    );
                    self.telemetry.health.failed(message, false);
                    let stopped = self.abort.wait(pause);
                    pause = (pause * 2).min(SEND_BACKOFF_MAX);
                    stopped
                }
            };
            if stopped {
                if written > 0 {
                    CUT.store(bytes[written - 1] != b'\n', Ordering::Release);
                }
                return Err(Failure::Stopped);
            }
        }
        Ok(())
    }

    fn note_standstill(&self, since: Instant) {
        if clock::since(since) >= CONSOLE_PATIENCE && self.telemetry.health.trouble().is_none() {
            let seconds = CONSOLE_PATIENCE.as_secs();
            let message =
                format!("standard output has taken nothing for {seconds} s: its reader has stopped");
            self.telemetry.health.failed(message, false);
        }
    }

    fn recover(&self) {
        if self.telemetry.health.trouble().is_some() {
            self.telemetry.health.works();
        }
    }
}

/// True for a pipe without readers, or a terminal or connection that is gone.
fn is_closed(error: &io::Error) -> bool {
    let closed =
        matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset | ErrorKind::NotConnected);
    closed || error.raw_os_error() == Some(rustix::io::Errno::BADF.raw_os_error())
}

/// Standard output, with its way of non-blocking writes.
enum Target<'fd> {
    /// A file never blocks.
    File(BorrowedFd<'fd>),
    Socket(BorrowedFd<'fd>),
    /// A pipe or terminal, opened once more.
    Own(File),
    /// A pipe or terminal that cannot be reopened: a little at a time, when there is room.
    Shared(BorrowedFd<'fd>),
}

impl Target<'_> {
    fn of(fd: BorrowedFd<'_>) -> Target<'_> {
        match fstat(fd).map(|stat| FileType::from_raw_mode(stat.st_mode)) {
            Ok(FileType::RegularFile) => Target::File(fd),
            Ok(FileType::Socket) => Target::Socket(fd),
            _ => match reopen(fd) {
                Ok(own) => Target::Own(own),
                Err(_) => Target::Shared(fd),
            },
        }
    }

    fn fd(&self) -> BorrowedFd<'_> {
        match self {
            Target::File(fd) | Target::Socket(fd) | Target::Shared(fd) => *fd,
            Target::Own(file) => file.as_fd(),
        }
    }

    /// Takes some of it, or fails with [`ErrorKind::WouldBlock`].
    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let written = match self {
            Target::File(fd) => rustix::io::write(fd, bytes),
            Target::Own(file) => rustix::io::write(file, bytes),
            Target::Socket(fd) => send(fd, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL),
            Target::Shared(fd) if self.has_room(Duration::ZERO) => {
                rustix::io::write(fd, &bytes[..bytes.len().min(PIPE_BYTES_ATOMIC)])
            }
            Target::Shared(_) => Err(rustix::io::Errno::AGAIN),
        };
        Ok(written?)
    }

    fn await_room(&self) {
        self.has_room(SEND_WAIT_SLICE);
    }

    fn has_room(&self, timeout: Duration) -> bool {
        let Ok(timeout) = timeout.try_into() else { return false };
        matches!(poll(&mut [PollFd::new(&self.fd(), PollFlags::OUT)], Some(&timeout)), Ok(1..))
    }
}

/// The same pipe or terminal through our own description, so that the mode is not shared.
fn reopen(fd: BorrowedFd<'_>) -> io::Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    OpenOptions::new().write(true).custom_flags(flags.bits() as i32).open(path)
}

#[cfg(test)]
mod tests {
    use crate::base::locks::lock;
    use std::io::{Read, pipe};
    use std::sync::{Mutex, MutexGuard, mpsc};
    use std::thread::JoinHandle;

    use super::*;
    use crate::ack::Ack;
    use crate::base::runtime::channel::{Sender, unbounded};
    use crate::base::runtime::still::Still;

    /// Standard output is shared by all, and so is the state of its last line.
    fn alone() -> MutexGuard<'static, ()> {
        static ALONE: Mutex<()> = Mutex::new(());
        let guard = lock(&ALONE);
        CUT.store(false, Ordering::Release);
        guard
    }

    struct Lab {
        batches: Option<Sender<Batch>>,
        telemetry: Arc<Output>,
        abort: Stop,
        closed: Arc<OnceLock<String>>,
        thread: Option<JoinHandle<()>>,
        settled: (mpsc::Sender<Outcome>, mpsc::Receiver<Outcome>),
    }

    impl Lab {
        fn start(fd: impl AsFd + Send + 'static) -> Lab {
            let (sender, batches) = unbounded();
            let telemetry = Arc::new(Output::new("console_1", "console".into()));
            let (abort, closed) = (Stop::new(), Arc::default());
            let console = Console {
                batches,
                telemetry: Arc::clone(&telemetry),
                abort: abort.clone(),
                closed: Arc::clone(&closed),
            };
            let thread = Some(std::thread::spawn(move || console.run_on(fd.as_fd())));
            Lab { batches: Some(sender), telemetry, abort, closed, thread, settled: mpsc::channel() }
        }

        fn send(&self, frames: &[u8]) {
            let settled = self.settled.0.clone();
            let ack = Ack::open(move |outcome| settled.send(outcome).unwrap());
            let batch = Batch::new(Arc::new(frames.to_vec().into()), 1, ack.share());
            self.batches.as_ref().unwrap().send(batch).unwrap();
            ack.close(Outcome::Delivered);
        }

        fn wait_for(&self, is_so: impl Fn(&Lab) -> bool) {
            while !is_so(self) {
                std::thread::sleep(Duration::from_millis(5));
            }
        }

        fn stop(mut self) {
            self.abort.stop();
            self.thread.take().unwrap().join().unwrap();
        }
    }

    fn line(byte: u8, length: usize) -> Vec<u8> {
        [vec![byte; length - 1], vec![b'\n']].concat()
    }

    /// A console without its thread.
    fn console(batches: Receiver<Batch>) -> Console {
        let telemetry = Arc::new(Output::new("console_1", "console".into()));
        Console { batches, telemetry, abort: Stop::new(), closed: Arc::default() }
    }

    #[test]
    fn a_reader_that_takes_nothing_for_a_while_is_a_trouble_until_it_does() {
        Still::run(|clock| {
            let console = console(unbounded().1);
            let since = clock::now();
            clock.pass(CONSOLE_PATIENCE - Duration::from_millis(1));
            console.note_standstill(since);
            assert!(console.telemetry.health.trouble().is_none());
            clock.pass(Duration::from_millis(1));
            console.note_standstill(since);
            let trouble = console.telemetry.health.trouble().unwrap();
            assert!(trouble.message.contains("its reader has stopped"));
            console.telemetry.health.failed("another", false);
            console.note_standstill(since);
            assert_eq!(console.telemetry.health.trouble().unwrap().message, "another", "it is said once");
            console.recover();
            assert!(console.telemetry.health.trouble().is_none());
        });
    }

    #[test]
    fn an_idle_console_ends_with_the_stop_or_the_last_sender() {
        Still::run(|clock| {
            let (reader, writer) = pipe().unwrap();
            let target = Target::of(writer.as_fd());
            let (sender, batches) = unbounded();
            let console = console(batches);
            console.abort.stop();
            assert!(console.serve(&target).is_ok());
            assert_eq!(clock.passed(), SEND_WAIT_SLICE);
            drop(sender);
            assert!(console.serve(&target).is_ok());
            assert_eq!(clock.passed(), SEND_WAIT_SLICE);
            drop(reader);
            assert!(matches!(console.write(b"x", &target), Err(Failure::Closed(_))));
        });
    }

    #[test]
    fn a_console_that_had_nothing_for_a_while_still_writes() {
        let _alone = alone();
        let (mut reader, writer) = pipe().unwrap();
        let lab = Lab::start(writer);
        std::thread::sleep(2 * SEND_WAIT_SLICE);
        lab.send(b"x\n");
        reader.read_exact(&mut [0; 2]).unwrap();
        lab.stop();
    }

    #[test]
    fn a_line_is_cut_only_if_the_last_byte_that_was_taken_is_no_line_feed() {
        let _alone = alone();
        for (at, is_cut) in [(PIPE_BYTES - 2, true), (PIPE_BYTES - 1, false), (PIPE_BYTES, true)] {
            let (_reader, writer) = pipe().unwrap();
            let target = Target::of(writer.as_fd());
            let console = console(unbounded().1);
            console.abort.stop();
            let mut frames = vec![b'x'; 2 * PIPE_BYTES];
            frames[at] = b'\n';
            assert!(matches!(console.write(&frames, &target), Err(Failure::Stopped)));
            assert_eq!(CUT.load(Ordering::Acquire), is_cut, "a line feed at {at}");
            assert!(console.telemetry.health.trouble().is_none(), "a full pipe is no trouble for a while");
        }
    }

    /// The size of a pipe's buffer on Linux.
    const PIPE_BYTES: usize = 65_536;

    #[test]
    fn nothing_blocks_that_somebody_else_shares() {
        let (mut reader, writer) = pipe().unwrap();
        let shared = Target::Shared(writer.as_fd());
        assert!(shared.has_room(Duration::ZERO));
        let mut taken = 0;
        while shared.has_room(Duration::ZERO) {
            let once = shared.write(&[b'x'; 2 * PIPE_BYTES_ATOMIC]).unwrap();
            assert_eq!(once, PIPE_BYTES_ATOMIC, "more could block, though there is room");
            taken += once;
        }
        assert_eq!(shared.write(b"x").unwrap_err().kind(), ErrorKind::WouldBlock);
        reader.read_exact(&mut vec![0; taken]).unwrap();
        assert!(shared.has_room(Duration::ZERO));

        let (_other, socket) = std::os::unix::net::UnixStream::pair().unwrap();
        let target = Target::of(socket.as_fd());
        assert!(matches!(target, Target::Socket(_)));
        let full = (0..1000).find_map(|_| target.write(&[b'x'; 1 << 20]).err()).unwrap();
        assert_eq!(full.kind(), ErrorKind::WouldBlock);
        let file = tempfile::tempfile().unwrap();
        assert!(matches!(Target::of(file.as_fd()), Target::File(_)));
    }

    #[test]
    fn lines_are_whole_though_the_reader_is_slow() {
        let _alone = alone();
        let (mut reader, writer) = pipe().unwrap();
        let mut lab = Lab::start(writer);
        let lines = [line(b'a', 300_000), line(b'b', 200_000)];
        lines.iter().for_each(|line| lab.send(line));
        drop(lab.batches.take());
        let mut read = vec![0; 500_000];
        reader.read_exact(&mut read).unwrap();
        assert!(read == lines.concat());
        assert_eq!([lab.settled.1.recv(), lab.settled.1.recv()], [Ok(Outcome::Delivered); 2]);
        lab.thread.take().unwrap().join().unwrap();
        assert_eq!(lab.telemetry.send.waiting.value(), -2, "whoever queued them had counted them");
    }

    #[test]
    fn a_reader_that_has_gone_ends_the_run_and_gives_nothing_back_before() {
        let _alone = alone();
        let (reader, writer) = pipe().unwrap();
        let lab = Lab::start(writer);
        drop(reader);
        lab.send(b"x\n");
        lab.wait_for(|lab| lab.closed.get().is_some());
        assert!(lab.closed.get().unwrap().contains("standard output is closed"));
        assert!(lab.telemetry.health.trouble().is_some_and(|trouble| trouble.is_lasting()));
        lab.stop();
    }

    #[test]
    fn a_reader_that_has_stopped_does_not_hold_the_thread_and_its_line_is_ended_later() {
        let _alone = alone();
        let (mut reader, writer) = pipe().unwrap();
        let lab = Lab::start(writer.try_clone().unwrap());
        lab.send(&line(b'a', 1 << 20));
        lab.wait_for(|lab| lab.telemetry.send.events_written.value() == 1);
        std::thread::sleep(Duration::from_millis(100));
        lab.stop();
        let mut lab = Lab::start(writer);
        lab.send(b"next\n");
        drop(lab.batches.take());
        let mut read = Vec::new();
        reader.read_to_end(&mut read).unwrap();
        lab.thread.take().unwrap().join().unwrap();
        let lines: Vec<_> = read.split(|byte| *byte == b'\n').collect();
        assert_eq!(lines.len(), 3, "one line that was cut, one that is whole");
        assert!(lines[0].iter().all(|byte| *byte == b'a') && lines[1] == b"next" && lines[2].is_empty());
    }

    #[test]
    fn files_and_sockets_are_written_to_as_well() {
        let _alone = alone();
        let lines = [line(b'a', 300_000), line(b'b', 200_000)];
        let write = |lab: Lab| {
            let mut lab = lab;
            lines.iter().for_each(|line| lab.send(line));
            drop(lab.batches.take());
            lab.thread.take().unwrap().join().unwrap();
            assert_eq!([lab.settled.1.recv(), lab.settled.1.recv()], [Ok(Outcome::Delivered); 2]);
        };
        let file = tempfile::NamedTempFile::new().unwrap();
        write(Lab::start(file.reopen().unwrap()));
        assert!(std::fs::read(file.path()).unwrap() == lines.concat());
        let (mut reader, writer) = std::os::unix::net::UnixStream::pair().unwrap();
        let read = std::thread::spawn(move || {
            let mut read = Vec::new();
            reader.read_to_end(&mut read).unwrap();
            read
        });
        write(Lab::start(writer));
        assert!(read.join().unwrap() == lines.concat());
    }

    #[test]
    fn a_full_disk_is_a_trouble_and_gives_nothing_back() {
        let _alone = alone();
        let lab = Lab::start(OpenOptions::new().write(true).open("/dev/full").unwrap());
        lab.send(b"x\n");
        lab.wait_for(|lab| lab.telemetry.health.trouble().is_some());
        let trouble = lab.telemetry.health.trouble().unwrap();
        assert!(trouble.message.contains("cannot write to standard output") && !trouble.is_lasting());
        assert!(lab.settled.1.try_recv().is_err() && lab.closed.get().is_none());
        lab.stop();
    }
}
