//! The bar of a backfill: bytes delivered out of those to send, which a second listing counts meanwhile.
//! Only on a terminal.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::aws::S3;
use crate::backfill::{Backfill, Listing, Plan, Verdict};
use crate::config::Input;
use crate::stop::Stop;

/// How often the bar is drawn.
const INTERVAL: Duration = Duration::from_millis(200);
/// While the end is not known.
const COUNTING: &str = "  {spinner} {bytes}, {msg}";
const BAR: &str = "  {bar:30} {percent:>3} %  {bytes} of {total_bytes}, {msg}, {eta} left";

/// A bar that is not shown yet.
pub struct Progress(Option<ProgressBar>);

/// A bar that is.
pub struct Shown(Option<(ProgressBar, Stop, JoinHandle<()>)>);

impl Progress {
    /// `wanted`: somebody can see it.
    pub fn new(wanted: bool) -> Progress {
        Progress(wanted.then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            bar.with_style(style(COUNTING)).with_message("0 objects")
        }))
    }

    /// Where log lines go so that they stay apart from the bar; None: there is none.
    pub fn writer(&self) -> Option<Box<dyn Write + Send>> {
        self.0.clone().map(|bar| Box::new(Around(bar)) as Box<dyn Write + Send>)
    }

    /// Shows it until the end.
    pub fn show(self, backfill: &Backfill, s3: S3, input: Input) -> Shown {
        let Some(bar) = self.0 else { return Shown(None) };
        let (stop, backfill) = (Stop::new(), backfill.clone());
        let thread = {
            let (bar, stop) = (bar.clone(), stop.clone());
            std::thread::spawn(move || draw(&bar, &backfill, &count(&backfill, s3, input, &stop), &stop))
        };
        Shown(Some((bar, stop, thread)))
    }
}

impl Shown {
    pub fn end(self) {
        if let Some((bar, stop, thread)) = self.0 {
            stop.stop();
            let _ = thread.join();
            bar.finish_and_clear();
        }
    }
}

fn draw(bar: &ProgressBar, backfill: &Backfill, total_bytes: &AtomicU64, stop: &Stop) {
    while !stop.wait(INTERVAL) {
        let total = total_bytes.load(Ordering::Relaxed);
        if total > 0 && bar.length().is_none() {
            bar.set_style(style(BAR));
            bar.set_length(total);
        }
        let tally = &backfill.tally;
        bar.set_position(tally.bytes_ended.value());
        bar.set_message(format!("{} objects", tally.delivered.value()));
        bar.tick();
    }
}

/// Counts on a thread of its own, which nobody waits for. 0: not known yet.
fn count(backfill: &Backfill, s3: S3, input: Input, stop: &Stop) -> Arc<AtomicU64> {
    let total = Arc::new(AtomicU64::new(0));
    let (counted, plan, stop) = (Arc::clone(&total), Arc::clone(&backfill.plan), stop.clone());
    std::thread::spawn(move || {
        let bytes = bytes_to_send(&plan, &s3, &input, &stop);
        counted.store(bytes.unwrap_or(0), Ordering::Relaxed);
    });
    total
}

/// None: it could not be found out. The backfill itself says what is wrong.
fn bytes_to_send(plan: &Plan, s3: &S3, input: &Input, stop: &Stop) -> Option<u64> {
    let (mut listing, mut bytes) = (Listing::of(plan), 0);
    while let Some(page) = listing.next_page(s3).ok()? {
        let sent = page.iter().filter(|listed| matches!(plan.verdict(listed, input), Verdict::Collect(_)));
        bytes += sent.map(|listed| listed.size).sum::<u64>();
        if stop.is_stopped() {
            return None;
        }
    }
    Some(bytes)
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// Standard error, with the bar out of the way for as long as a line is written.
struct Around(ProgressBar);

impl Write for Around {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| io::stderr().write(line))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
