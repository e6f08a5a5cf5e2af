//! The demo's progress: a bar on a terminal, an occasional line elsewhere.

use std::io::{self, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::report::{grouped, megabytes};
use crate::lab::testbed::tally::Counts;

/// Time between two lines without a terminal.
const LINE_EVERY: Duration = Duration::from_secs(2);
/// Width of the bar, so that it fits 80 columns with its figures.
const BAR: &str = "  {bar:30} {percent:>3} %  {msg}";

/// The demo's output.
pub struct Screen<'o> {
    out: &'o mut (dyn Write + Send),
    terminal: bool,
}

/// The pipeline's progress.
pub struct Progress<'s, 'o> {
    screen: &'s mut Screen<'o>,
    total: Counts,
    bar: Option<ProgressBar>,
    next_line_at: Duration,
    /// That all has been received has been said.
    is_complete: bool,
}

impl<'o> Screen<'o> {
    pub fn new(out: &'o mut (dyn Write + Send), terminal: bool) -> Screen<'o> {
        Screen { out, terminal }
    }

    pub fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{text}")?;
        self.out.flush()
    }

    pub fn progress(&mut self, total: Counts) -> Progress<'_, 'o> {
        let bar = self.terminal.then(|| bar(total.bytes));
        Progress { screen: self, total, bar, next_line_at: LINE_EVERY, is_complete: false }
    }
}

impl Progress<'_, '_> {
    /// Shows what has been received so far, the last of it after `worked`.
    pub fn show(&mut self, received: Counts, worked: Duration, elapsed: Duration) {
        let rate = megabytes((received.bytes as f64 / worked.as_secs_f64().max(0.001)) as u64);
        let is_complete = received.events >= self.total.events;
        let figures = match is_complete {
            false => format!("{} events, {rate} MB/s", grouped(received.events)),
            true => "all received; the queues are emptied".to_owned(),
        };
        if self.is_complete && self.bar.is_none() {
            return;
        }
        if is_complete {
            self.is_complete = true;
            self.next_line_at = elapsed;
        }
        if let Some(bar) = &self.bar {
            bar.set_position(received.bytes);
            bar.set_message(figures);
        } else if elapsed >= self.next_line_at {
            self.next_line_at = elapsed + LINE_EVERY;
            let percent = received.bytes * 100 / self.total.bytes.max(1);
            // Progress that cannot be written is not a reason to stop.
            let _ = self.screen.line(&format!("  {percent:>3} %  {figures}"));
        }
    }

    pub fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar(bytes: u64) -> ProgressBar {
    let style = ProgressStyle::with_template(BAR).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::stdout()).with_style(style)
}
