//! The `backfill` command: sends the objects of a listing, without a queue.

mod options;
mod progress;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::SystemTime;

use jiff::Timestamp;

use super::choice;
use super::exit::{REFUSED, UNDELIVERED};
use super::run;
use super::s3_place;
use crate::aws::{Listed, S3};
use crate::base::out::Out;
use crate::base::text::address;
use crate::config::Loaded;
use crate::pipeline::{Ending, Job};
use crate::settings::Input;
use crate::stages::backfill::{Backfill, Listing, Plan, Tally, Verdict};
use crate::telemetry::{Snapshot, size};
use progress::Progress;

pub use options::{Options, time};

/// Runs the backfill. Returns exit code 0 when every object is delivered, 1 when some are not (also because of a
/// signal), 2 when nothing was started.
pub fn run(options: &Options) -> ExitCode {
    if let Err(problem) = options.check_times(SystemTime::now()) {
        super::log::start(log::LevelFilter::Info);
        return refuse(&problem);
    }
    let screen = Progress::new(io::stderr().is_terminal() && !options.dry_run);
    let files = options.files();
    let Some(Loaded { mut config, .. }) = run::load_around(&files, screen.writer()) else {
        return ExitCode::from(REFUSED);
    };
    let chosen = choice::input(&config, &options.wanted()).and_then(|(input, service)| {
        let s3 = s3_place::client(&input)?;
        Ok((input, service, s3))
    });
    let (input, service, s3) = match chosen {
        Ok(chosen) => chosen,
        Err(problem) => return refuse(&problem),
    };
    let listing = match begin(options.plan(service), &s3) {
        Ok(listing) => listing,
        Err(problem) => return refuse(&problem),
    };
    if options.dry_run {
        return dry_run(listing, &input, &s3);
    }
    config.inputs = vec![input.clone()];
    let backfill = Backfill { listing, tally: Arc::default() };
    let job = Job::Backfill(backfill.clone());
    let run = match run::start(&config, &job) {
        Ok(run) => run,
        Err(refused) => return refused,
    };
    run.is_of(&files);
    let telemetry = Arc::clone(run.telemetry());
    let shown = screen.show(&backfill, s3, input);
    let ending = run.run(&config);
    drop(shown);
    report(&backfill.tally, &telemetry.snapshot(Timestamp::now()), &ending)
}

fn refuse(problem: &str) -> ExitCode {
    log::error!("{problem}");
    ExitCode::from(REFUSED)
}

/// Fails early on a listing that fails or is empty.
fn begin(plan: Plan, s3: &S3) -> Result<Listing, String> {
    let listing = Listing::begin(plan, s3).map_err(|error| error.to_string())?;
    if !listing.is_empty() {
        return Ok(listing);
    }
    Err(nothing_listed(listing.plan()))
}

fn nothing_listed(plan: &Plan) -> String {
    let Plan { bucket, prefix, .. } = plan;
    if plan.exact {
        return format!(
            "the bucket {bucket} has no object with the key {prefix:?}: is that right? Without --exact, it is a prefix of keys"
        );
    }
    format!(
        "no key of the bucket {} begins with {:?}{}: is that right? Keys begin without a slash, and case matters",
        bucket,
        prefix,
        if plan.start_after.is_empty() { "" } else { " and comes after --start-after" }
    )
}

/// Prints one line per object that would be sent, then the counts. The ledger is not read.
fn dry_run(mut listing: Listing, input: &Input, s3: &S3) -> ExitCode {
    let (tally, mut out) = (Tally::default(), Out);
    loop {
        let page = match listing.next_page(s3) {
            Ok(Some(page)) => page,
            Ok(None) => break,
            Err(error) => return refuse(&error.to_string()),
        };
        for listed in page {
            let verdict = listing.plan().verdict(&listed, input);
            tally.listed(&verdict, &listed);
            let is_sent = matches!(verdict, Verdict::Collect(_));
            if is_sent && writeln!(out, "{}", line(listing.plan(), &listed)).is_err() {
                // The reader has exited, or it is an error, which ends the process.
                return ExitCode::SUCCESS;
            }
        }
    }
    log::info!("{} ({}), nothing was read or sent", tally.listing(), size(tally.bytes_to_send.value()));
    ExitCode::SUCCESS
}

/// One line of the dry run. Its address can be given to `preview` or `backfill` as it is.
fn line(plan: &Plan, listed: &Listed) -> String {
    let modified =
        Timestamp::try_from(listed.modified).map_or_else(|_| "-".to_owned(), |time| time.to_string());
    format!("{modified} {:>12} {}", listed.size, address(&plan.bucket, &listed.key))
}

fn report(tally: &Tally, figures: &Snapshot, ending: &Ending) -> ExitCode {
    super::log::settle();
    log::info!("{}", tally.listing());
    let undelivered =
        (tally.to_send.value() + tally.archived.value()).saturating_sub(tally.delivered.value());
    log::info!(
        "{} objects delivered ({} of them before this run), {} events sent; {undelivered} objects not delivered",
        tally.delivered.value(),
        figures.fetch().known,
        figures.delivered().events,
    );
    if let Some(reason) = &ending.gave_up {
        log::error!("the backfill was aborted: {reason}");
    }
    if tally.is_complete() {
        return ExitCode::SUCCESS;
    }
    let why =
        if ending.interrupted { "the backfill was stopped early" } else { "not everything is delivered" };
    log::error!(
        "{why}: {undelivered} objects that were listed are not delivered; the same command resumes where this one ended"
    );
    ExitCode::from(UNDELIVERED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::backfill::options::time;

    #[test]
    fn spans_in_which_nothing_lies_are_refused() {
        #[derive(clap::Parser)]
        struct Command {
            #[command(flatten)]
            options: Options,
        }
        let now = time("2026-11-28T12:00:00Z").unwrap();
        let check = |arguments: &[&str]| {
            let fixed = ["backfill", "s3://b/p", "--config", "c", "--service", "s"];
            let all = fixed.into_iter().chain(arguments.iter().copied());
            <Command as clap::Parser>::parse_from(all).options.check_times(now)
        };
        for good in [
            &[][..],
            &["--from", "2026-11-01"],
            &["--to", "2027-01-01"],
            &["--from", "2026-11-01", "--to", "2026-11-02"],
        ] {
            assert_eq!(check(good), Ok(()), "{good:?}");
        }
        for (bad, word) in [
            (&["--from", "2026-11-02", "--to", "2026-11-01"][..], "before --to"),
            (&["--from", "2026-11-02", "--to", "2026-11-02"], "before --to"),
            (&["--from", "2026-11-29"], "future"),
        ] {
            assert!(check(bad).unwrap_err().contains(word), "{bad:?}");
        }
    }

    #[test]
    fn times() {
        let at = |text: &str| SystemTime::from(text.parse::<Timestamp>().unwrap());
        assert_eq!(time("2026-11-01").unwrap(), at("2026-11-01T00:00:00Z"));
        assert_eq!(time("2026-11-01T12:00:00+01:00").unwrap(), at("2026-11-01T11:00:00Z"));
        for bad in ["", "yesterday", "2026-13-01", "2026-11-01T12:00:00", "01.11.2026"] {
            assert!(time(bad).is_err(), "{bad}");
        }
    }
}
