//! A fixed block at the bottom of a terminal, with log lines above it.

use std::io::{self, Write};
use std::thread::JoinHandle;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::base::stop::Stop;

/// A block drawn on standard error. Log lines written to its writer stay above it.
#[derive(Clone)]
pub struct Screen(MultiProgress);

/// The thread that draws the block; dropping it removes the block.
pub struct Shown {
    screen: MultiProgress,
    stop: Stop,
    thread: Option<JoinHandle<()>>,
}

impl Screen {
    /// Creates the block without drawing anything yet.
    pub fn new() -> Screen {
        Screen(MultiProgress::new())
    }

    /// Writer for log lines.
    pub fn writer(&self) -> Box<dyn Write + Send> {
        Box::new(Above(self.0.clone()))
    }

    /// Adds a line to the block.
    pub fn add(&self, template: &str) -> ProgressBar {
        self.0.add(ProgressBar::no_length()).with_style(style(template))
    }

    /// Runs `draw` until the returned guard is dropped.
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
        // It only draws, so a panic is ignored.
        let _ = self.thread.take().map(JoinHandle::join);
        let _ = self.screen.clear();
    }
}

/// The style of a line.
pub fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// Standard error, with the block hidden while a line is written.
struct Above(MultiProgress);

impl Write for Above {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| io::stderr().write(line))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
