//! Something steady at the foot of a terminal, with log lines above it.

use std::io::{self, Write};
use std::thread::JoinHandle;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::base::stop::Stop;

/// What is drawn on standard error. Log lines that go to its writer stay above it.
#[derive(Clone)]
pub struct Screen(MultiProgress);

/// It is drawn by a thread; gone when dropped.
pub struct Shown {
    screen: MultiProgress,
    stop: Stop,
    thread: Option<JoinHandle<()>>,
}

impl Screen {
    /// Nothing is drawn yet.
    pub fn new() -> Screen {
        Screen(MultiProgress::new())
    }

    /// Where log lines go.
    pub fn writer(&self) -> Box<dyn Write + Send> {
        Box::new(Above(self.0.clone()))
    }

    /// One more line at the foot.
    pub fn add(&self, template: &str) -> ProgressBar {
        self.0.add(ProgressBar::no_length()).with_style(style(template))
    }

    /// Runs `draw` until what is returned is dropped.
    pub fn show(&self, draw: impl FnOnce(&Stop) + Send + 'static) -> Shown {
        let stop = Stop::new();
        let stopped = stop.clone();
        let thread = Some(std::thread::spawn(move || draw(&stopped)));
        Shown { screen: self.0.clone(), stop, thread }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.stop.stop();
        // It only draws.
        let _ = self.thread.take().map(JoinHandle::join);
        let _ = self.screen.clear();
    }
}

/// How a line looks.
pub fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// Standard error, with what is drawn out of the way for as long as a line is written.
struct Above(MultiProgress);

impl Write for Above {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| io::stderr().write(line))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
