//! The progress bar of a backfill: bytes delivered out of the total. A second listing counts the total, because the
//! first is never far ahead of delivery. Only on a terminal.

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

/// Interval between two draws of the bar.
const INTERVAL: Duration = Duration::from_millis(200);
/// The bar's template while the total is unknown.
const COUNTING: &str = "  {spinner} {bytes}, {msg}";
const BAR: &str = "  {bar:30} {percent:>3} %  {bytes} of {total_bytes}, {msg}, {eta} left";

/// A progress bar that is not shown yet.
pub struct Progress(Option<Screen>);

impl Progress {
    /// Creates the bar if `wanted` and standard error is a terminal.
    pub fn new(wanted: bool) -> Progress {
        Progress(wanted.then(Screen::new))
    }

    /// Writer for log lines that keeps them apart from the bar; None without a bar.
    pub fn writer(&self) -> Option<Box<dyn Write + Send>> {
        self.0.as_ref().map(Screen::writer)
    }

    /// Shows the bar until the returned guard is dropped.
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

/// Counts the total on its own thread, which nothing waits for. 0 until it is known.
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

/// The total, or None if counting failed. The backfill itself reports the error.
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
