//! The bar of a backfill: bytes delivered out of those to send, which a second listing counts meanwhile: the first
//! is never far ahead of what is delivered. Only on a terminal.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use indicatif::ProgressBar;

use crate::aws::S3;
use crate::base::stop::Stop;
use crate::cli::screen::{Screen, Shown, style};
use crate::settings::Input;
use crate::stages::backfill::{Backfill, Listing, Verdict};

/// How often the bar is drawn.
const INTERVAL: Duration = Duration::from_millis(200);
/// While the end is not known.
const COUNTING: &str = "  {spinner} {bytes}, {msg}";
const BAR: &str = "  {bar:30} {percent:>3} %  {bytes} of {total_bytes}, {msg}, {eta} left";

/// A bar that is not shown yet.
pub struct Progress(Option<Screen>);

impl Progress {
    /// `wanted`: somebody can see it.
    pub fn new(wanted: bool) -> Progress {
        Progress(wanted.then(Screen::new))
    }

    /// Where log lines go so that they stay apart from the bar; None: there is none.
    pub fn writer(&self) -> Option<Box<dyn Write + Send>> {
        self.0.as_ref().map(Screen::writer)
    }

    /// Shows it until what is returned is dropped.
    pub fn show(&self, backfill: &Backfill, s3: S3, input: Input) -> Option<Shown> {
        let screen = self.0.as_ref()?;
        let (bar, backfill) = (screen.add(COUNTING), backfill.clone());
        Some(screen.show(move |stop| draw(&bar, &backfill, &count(&backfill, s3, input, stop), stop)))
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
    let (counted, mut listing, stop) = (Arc::clone(&total), backfill.listing.clone(), stop.clone());
    if let Some(key) = backfill.tally.begins_after() {
        listing.resume_after(key);
    }
    std::thread::spawn(move || {
        let bytes = bytes_to_send(listing, &s3, &input, &stop);
        counted.store(bytes.unwrap_or(0), Ordering::Relaxed);
    });
    total
}

/// None: it could not be found out. The backfill itself says what is wrong.
fn bytes_to_send(mut listing: Listing, s3: &S3, input: &Input, stop: &Stop) -> Option<u64> {
    let mut bytes = 0;
    while let Some(page) = listing.next_page(s3).ok()? {
        let sent =
            page.iter().filter(|listed| matches!(listing.plan().verdict(listed, input), Verdict::Collect(_)));
        bytes += sent.map(|listed| listed.size).sum::<u64>();
        if stop.is_stopped() {
            return None;
        }
    }
    Some(bytes)
}
