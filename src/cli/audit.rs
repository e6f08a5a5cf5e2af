//! The `audit` command: finds missing objects, and can send them.

mod devo;
mod show;
mod spool;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use clap::Args;
use jiff::{SignedDuration, Timestamp};

use super::backfill::time;
use super::exit::{REFUSED, UNDELIVERED};
use super::files::Files;
use super::{run, s3_place};
use crate::audit::cause::{self, Facts};
use crate::audit::inventory::{self, Manifest};
use crate::audit::{self, Class, Judge, Ledgers, Place, Report, Window, places};
use crate::aws::{Http, Listed, S3, Sqs};
use crate::base::limits::{AUDIT_DELAY, AUDIT_WINDOW};
use crate::base::out::Out;
use crate::base::stop::Stop;
use crate::config::Loaded;
use crate::config::problem::suggestion;
use crate::fleet::{self, Table};
use crate::ledger::{self, FILE, Look, OpenError, Store};
use crate::pipeline::{self, Job};
use crate::settings::Bucket;
use crate::settings::{Config, Input};
use crate::stages::backfill::{Backfill, Listing, Plan};
use show::Unshown;
use spool::Spool;

#[derive(Debug, Args)]
pub struct Options {
    /// Configuration file, YAML or JSON
    #[arg(short, long, value_name = "FILE", value_parser = super::files::configuration())]
    config: PathBuf,
    /// Only the input with this key in the file
    #[arg(long, value_name = "KEY")]
    input: Option<String>,
    /// Only objects of this time or later, by the date in their key, otherwise by LastModified: 2026-11-01 (UTC) or
    /// 2026-11-01T12:00:00Z. Default: 24 hours before --to
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<SystemTime>,
    /// Only objects before this time. Default: 30 minutes ago
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: Option<SystemTime>,
    /// Location of the objects: [INPUT=]NAME[/PREFIX] or an ARN; may be repeated. Default: `globals.audit.buckets`,
    /// otherwise the location of the objects in the ledger
    #[arg(long, value_name = "BUCKET")]
    bucket: Vec<Bucket>,
    /// Ledger of another collector on the same queue, copied from its host; may be repeated. Hosts that share a table
    /// need none
    #[arg(long, value_name = "FILE")]
    ledger: Vec<PathBuf>,
    /// S3 Inventory to use instead of a listing: the address of its manifest.json. The listed bucket is audited
    #[arg(long, value_name = "S3_URL", value_parser = manifest_url, conflicts_with = "bucket")]
    inventory: Option<(String, String)>,
    /// Ask Devo (globals.devo_api) for the number of events in each table, and compare it with what was sent in the
    /// window
    #[arg(long)]
    devo: bool,
    /// Send objects that are missing, were rejected or that Devo lacks, and audit again
    #[arg(long)]
    fix: bool,
    /// Print JSON, with all missing objects
    #[arg(long)]
    json: bool,
}

/// Runs the audit. Returns exit code 0 if nothing is missing, 1 if something is missing or was rejected, 2 if that is
/// unknown.
pub fn run(options: &Options) -> ExitCode {
    let Some(Loaded { config, .. }) = run::load_around(&Files::one(&options.config), None) else {
        return ExitCode::from(REFUSED);
    };
    match audited(options, &config) {
        Ok(code) => code,
        Err(problem) => {
            log::error!("{problem}");
            ExitCode::from(REFUSED)
        }
    }
}

fn audited(options: &Options, config: &Config) -> Result<ExitCode, String> {
    let window = options.window(Timestamp::now())?;
    let meant = meant(config, options.input.as_deref())?;
    let mut ledgers = ledgers(options, config)?;
    let way = match &options.inventory {
        Some((bucket, key)) => of_inventory(config, &meant, bucket, key)?,
        None => Way::Listings(places_of(options, config, &meant, &ledgers)?),
    };
    for place in way.places() {
        log::info!("s3://{}/{} is listed from {} to {}", place.bucket, place.prefix, window.from, window.to);
    }
    let (mut report, mut missing) = once(&way, config, &ledgers, window)?;
    if options.fix && (report.total(Class::Missing).objects > 0 || report.total(Class::Refused).objects > 0) {
        fix(config, missing)?;
        // It may only exist since then.
        ledgers = self::ledgers(options, config)?;
        (report, missing) = once(&way, config, &ledgers, window)?;
    }
    let mut comparison = None;
    if options.devo {
        let Some(own) = own_ledger(config)? else {
            return Err(
                "--devo compares with what the ledger recorded as sent, and there is no ledger".to_owned()
            );
        };
        let found = devo::ask(config, &own, window)?;
        let concerned = found.concerned(&own)?;
        if options.fix && !concerned.is_empty() {
            send_again(config, &concerned)?;
        }
        comparison = Some((found, concerned));
    }
    let advice = advice(config, &report)?;
    let written = match options.json {
        true => {
            let devo = comparison.as_ref().map(|(found, concerned)| found.json(concerned));
            show::json(&mut Out, config, &report, missing, &advice, devo)
        }
        false => {
            let out = &mut Out;
            let devo = comparison.as_ref().map_or(Ok(()), |(found, concerned)| found.text(out, concerned));
            devo.and_then(|()| show::text(out, config, &report, &advice)).map_err(Unshown::Output)
        }
    };
    if let Err(Unshown::List(problem)) = written {
        return Err(problem);
    }
    Ok(ExitCode::from(code(&report, comparison.map(|(found, _)| found.is_complete()))))
}

/// The exit code. `devo` says whether Devo has everything, if it was asked and has answered.
fn code(report: &Report, devo: Option<Option<bool>>) -> u8 {
    match devo {
        _ if report.is_undelivered() => UNDELIVERED,
        Some(Some(false)) => UNDELIVERED,
        _ if !report.is_complete() => REFUSED,
        Some(None) => REFUSED,
        Some(Some(true)) | None => 0,
    }
}

impl Options {
    fn window(&self, now: Timestamp) -> Result<Window, String> {
        let timestamp = |time: SystemTime| Timestamp::try_from(time).map_err(|error| error.to_string());
        let ago =
            |time: Timestamp, span: SignedDuration| time.checked_sub(span).map_err(|error| error.to_string());
        // Shown in full: a fraction of a second would only be noise.
        let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
        let to = match self.to {
            Some(to) if timestamp(to)? > now => {
                log::warn!("--to is in the future: the window ends now, at {now}");
                now
            }
            Some(to) => timestamp(to)?,
            None => ago(now, AUDIT_DELAY)?,
        };
        let from = match self.from {
            Some(from) => timestamp(from)?,
            None => ago(to, AUDIT_WINDOW)?,
        };
        if from >= to {
            return Err(format!(
                "the window from {from} to {to} is empty: swap --from and --to, or set both (without --to it ends \
                 30 minutes ago)"
            ));
        }
        Ok(Window { from, to })
    }
}

/// The indices of the audited inputs, which are those with announced objects that are sent.
fn meant(config: &Config, key: Option<&str>) -> Result<Vec<usize>, String> {
    let is_meant = |input: &Input| input.can_be_audited() && key.is_none_or(|key| input.is_named(key));
    let all = config.inputs.iter().enumerate();
    let meant: Vec<usize> = all.filter(|(_, input)| is_meant(input)).map(|(index, _)| index).collect();
    if meant.is_empty() {
        let audited = config.inputs.iter().filter(|input| input.can_be_audited());
        let keys: Vec<&str> = audited.map(|input| input.key.as_str()).collect();
        return Err(match key {
            Some(key) => format!("{key:?} is not an enabled input with objects: {}", suggestion(key, &keys)),
            None => {
                "no input of the configuration sends objects announced by a queue: there is nothing to audit"
                    .to_owned()
            }
        });
    }
    Ok(meant)
}

/// Opens this collector's ledger, if it exists, and the named ones, and copies the objects of a shared table.
fn ledgers(options: &Options, config: &Config) -> Result<Ledgers, String> {
    let mut ledgers: Vec<Look> = own_ledger(config)?.into_iter().collect();
    if ledgers.is_empty() {
        log::warn!(
            "there is no ledger in {}: no object is known to be delivered by this collector",
            config.globals.state_directory.display()
        );
    }
    if let Some(table) = shared_table(config)? {
        ledgers.push(fleet::copied(&table, &pipeline::scope(config).destinations())?);
    }
    for path in &options.ledger {
        ledgers.push(Look::open(path, None).map_err(|error| error.to_string())?);
    }
    Ok(Ledgers(ledgers))
}

/// The table in which all hosts note their objects. None: this one has its ledger alone.
fn shared_table(config: &Config) -> Result<Option<Table>, String> {
    let Some(settings) = &config.globals.shared else { return Ok(None) };
    let http = Http::new(1).map_err(|error| error.to_string())?;
    Ok(Some(Table::new(&http, settings, &Stop::new()).patient()))
}

/// Opens this collector's ledger. None if there is none yet.
fn own_ledger(config: &Config) -> Result<Option<Look>, String> {
    let path = config.globals.state_directory.join(FILE);
    match Look::open(&path, Some(&pipeline::scope(config).destinations())) {
        Ok(ledger) => Ok(Some(ledger)),
        Err(OpenError::Absent { .. }) => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

fn places_of(
    options: &Options,
    config: &Config,
    meant: &[usize],
    ledgers: &Ledgers,
) -> Result<Vec<Place>, String> {
    check_inputs(&options.bucket, config)?;
    let of_configuration =
        config.globals.audit.as_ref().map(|audit| audit.buckets.as_slice()).unwrap_or_default();
    let buckets = if options.bucket.is_empty() { of_configuration } else { &options.bucket };
    if !buckets.is_empty() {
        let places = places::named(buckets, &config.inputs, meant);
        return match places.is_empty() {
            true => Err("--bucket (or globals.audit.buckets) names an unknown input: write INPUT=NAME \
                         with a key of `inputs`"
                .to_owned()),
            false => Ok(places),
        };
    }
    let mut keys: Vec<ledger::Keys> = Vec::new();
    for ledger in &ledgers.0 {
        keys.extend(ledger.keys().map_err(|error| error.to_string())?);
    }
    let mut places = places::seen(&keys, &config.inputs, meant);
    for index in meant {
        if !places.iter().any(|place| place.inputs.contains(index)) {
            places.extend(senders(&config.inputs[*index], *index));
        }
    }
    if places.is_empty() {
        return Err(
            "the location of the objects is unknown, because nothing has been delivered yet: name the bucket \
                    with --bucket NAME/FOLDER"
                .to_owned(),
        );
    }
    Ok(places)
}

/// Refuses buckets that are assigned to an unknown input: they would be passed over.
fn check_inputs(buckets: &[Bucket], config: &Config) -> Result<(), String> {
    for Bucket { input, name, .. } in buckets {
        let Some(key) = input else { continue };
        if !config.inputs.iter().any(|input| input.is_named(key)) {
            let keys: Vec<&str> = config.inputs.iter().map(|input| input.key.as_str()).collect();
            let advice = suggestion(key, &keys);
            return Err(format!("--bucket {key}={name}: {key:?} is not an enabled input: {advice}"));
        }
    }
    Ok(())
}

/// The buckets that may send to an input's queue, according to the queue's policy. Stacks created by `cloudformation` have
/// such a policy.
fn senders(input: &Input, index: usize) -> Vec<Place> {
    match queue(input).and_then(|queue| queue.attributes().map_err(|error| error.to_string())) {
        Ok(queue) => {
            let buckets = cause::senders(queue.policy.as_deref().unwrap_or_default());
            let place = |bucket| Place { bucket, prefix: String::new(), inputs: vec![index] };
            buckets.into_iter().map(place).collect()
        }
        Err(why) => {
            log::warn!("inputs.{}: the buckets that announce to its queue are unknown: {why}", input.key);
            Vec::new()
        }
    }
}

/// The way to learn the content of the buckets.
enum Way {
    Listings(Vec<Place>),
    /// An inventory, with the bucket that contains its files.
    Inventory {
        bucket: String,
        manifest: Manifest,
        places: Vec<Place>,
    },
}

impl Way {
    fn places(&self) -> &[Place] {
        match self {
            Way::Listings(places) | Way::Inventory { places, .. } => places,
        }
    }
}

fn of_inventory(config: &Config, meant: &[usize], bucket: &str, key: &str) -> Result<Way, String> {
    let input = meant.first().and_then(|index| config.inputs.get(*index)).ok_or("there is no input")?;
    let manifest = inventory::manifest(&s3_place::client(input)?, bucket, key)?;
    let place = Place { bucket: manifest.bucket.clone(), prefix: String::new(), inputs: meant.to_vec() };
    Ok(Way::Inventory { bucket: bucket.to_owned(), manifest, places: vec![place] })
}

/// Parses `s3://bucket/…/manifest.json`.
fn manifest_url(text: &str) -> Result<(String, String), String> {
    let place = text.strip_prefix("s3://").and_then(|rest| rest.split_once('/'));
    match place {
        Some((bucket, key)) if !bucket.is_empty() && key.ends_with(".json") => {
            Ok((bucket.to_owned(), key.to_owned()))
        }
        _ => Err("write s3://BUCKET/…/manifest.json".to_owned()),
    }
}

/// Audits all places. Missing and rejected objects are written to a file, since there may be many.
fn once(way: &Way, config: &Config, ledgers: &Ledgers, window: Window) -> Result<(Report, Spool), String> {
    let judge = Judge { inputs: &config.inputs, knowledge: ledgers };
    let (mut report, now) = (Report::new(window), Timestamp::now());
    let mut spool = Spool::new().map_err(|error| format!("no temporary file can be created: {error}"))?;
    for place in way.places() {
        let client = client(config, place)?;
        let mut note = |missing| spool.add(&missing);
        let done = match way {
            Way::Listings(_) => {
                audit::list(place, &client, &judge, now, &mut report, &mut note, &mut || true)
            }
            Way::Inventory { bucket, manifest, .. } => {
                report.gaps.extend(manifest.gap(window, now));
                let mut unlisted = place.inputs.clone();
                let mut seen = |key: &str| unlisted.retain(|index| !config.inputs[*index].claims(key));
                let done = inventory::objects(&client, bucket, manifest, window, &mut seen, &mut |objects| {
                    audit::judge_all(place, objects, &judge, &mut report, &mut note)
                });
                report.gaps.extend(unlisted.iter().map(|index| manifest.gap_of(&config.inputs[*index].key)));
                done
            }
        };
        done.map_err(|error| error.to_string())?;
    }
    Ok((report, spool))
}

fn client(config: &Config, place: &Place) -> Result<S3, String> {
    let first = place.inputs.first().and_then(|index| config.inputs.get(*index));
    s3_place::client(first.ok_or("a place without an input")?)
}

/// Collects probable causes by input and bucket, and further advice.
fn advice(config: &Config, report: &Report) -> Result<Vec<String>, String> {
    let mut advice = Vec::new();
    for ((index, _), oldest) in &report.oldest {
        let Some(input) = config.inputs.get(*index) else { continue };
        let queue = queue(input)?;
        let facts = Facts::ask(&s3_place::client(input)?, &queue, oldest, Timestamp::now());
        advice.push(format!("probable cause ({}): {}", input.key, cause::probable(&facts)));
    }
    if report.total(Class::Missing).objects > 0 {
        advice.push(
            "Objects delivered by other collectors of the same queue are in their ledgers: name copies of them with --ledger. \
             Missing objects are sent with --fix"
                .to_owned(),
        );
    }
    Ok(advice)
}

fn queue(input: &Input) -> Result<Sqs, String> {
    let client = s3_place::caller(input)?;
    Sqs::new(client, &input.queue).map_err(|error| error.to_string())
}

/// Sends missing objects, input by input, the way a backfill does.
fn fix(config: &Config, mut missing: Spool) -> Result<(), String> {
    let places: Vec<_> = missing.places().cloned().collect();
    let unreadable: Arc<OnceLock<String>> = Arc::default();
    for (index, bucket) in places {
        let of_bucket = bucket.clone();
        let objects = missing.objects().map_err(|error| error.to_string())?;
        let problem = Arc::clone(&unreadable);
        let objects = objects.map_while(move |object| object.map_err(|why| problem.set(why)).ok());
        let objects = objects.filter(move |object| object.input == index && object.bucket == of_bucket);
        send(config, index, &bucket, objects.map(|object| object.listed()))?;
        if let Some(why) = unreadable.get() {
            return Err(why.clone());
        }
    }
    Ok(())
}

/// Makes the ledger forget objects whose events Devo lacks, and sends them again.
fn send_again(config: &Config, rows: &[ledger::Row]) -> Result<(), String> {
    let path = config.globals.state_directory.join(FILE);
    let mut store = Store::open_existing(&path).map_err(|error| error.to_string())?;
    store.forget_rows(rows).map_err(|error| error.to_string())?;
    drop(store);
    if let Some(table) = shared_table(config)? {
        table.forget_rows(rows).map_err(|error| error.to_string())?;
    }
    let mut places: Vec<(usize, &str)> = Vec::new();
    for row in rows {
        let input = config.inputs.iter().position(|input| input.id == row.place.input);
        places.extend(input.map(|input| (input, row.place.bucket.as_str())));
    }
    places.sort_unstable();
    places.dedup();
    for (index, bucket) in places {
        let id = &config.inputs[index].id;
        let own = rows.iter().filter(|row| row.place.input == *id && row.place.bucket == bucket);
        let listed: Vec<Listed> = own
            .map(|row| Listed {
                key: row.place.key.clone(),
                size: row.size,
                etag: row.identity.etag.clone(),
                modified: SystemTime::UNIX_EPOCH,
                archived: false,
            })
            .collect();
        log::info!("{} objects of {bucket} are sent again, because Devo lacks events of them", listed.len());
        send(config, index, bucket, listed.into_iter())?;
    }
    Ok(())
}

/// Sends objects of one bucket as an input would.
fn send(
    config: &Config,
    index: usize,
    bucket: &str,
    objects: impl Iterator<Item = Listed> + Send + 'static,
) -> Result<(), String> {
    let Some(input) = config.inputs.get(index) else { return Ok(()) };
    let listing = Listing::given(plan(bucket), objects);
    let mut own = config.clone();
    own.inputs = vec![input.clone()];
    // The page is that of the collector, which may be running.
    own.globals.status = None;
    let job = Job::Backfill(Backfill { listing, tally: Arc::default() });
    let run = run::start(&own, &job).map_err(|_| "missing objects cannot be sent: see above".to_owned())?;
    let ending = run.run(&own);
    if let Some(reason) = ending.gave_up {
        return Err(format!("missing objects could not be sent: {reason}"));
    }
    if ending.interrupted {
        return Err("stopped before all missing objects were sent".to_owned());
    }
    Ok(())
}

fn plan(bucket: &str) -> Plan {
    Plan {
        bucket: bucket.to_owned(),
        prefix: String::new(),
        exact: false,
        start_after: String::new(),
        from: None,
        to: None,
        service: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_the_window_are_whole_seconds() {
        let now: Timestamp = "2026-12-01T16:21:30.370549804Z".parse().unwrap();
        let from = |text: &str| Some(SystemTime::from(text.parse::<Timestamp>().unwrap()));
        let options = |from, to| Options {
            config: PathBuf::new(),
            input: None,
            from,
            to,
            bucket: Vec::new(),
            ledger: Vec::new(),
            inventory: None,
            devo: false,
            fix: false,
            json: false,
        };
        let usual = options(None, None).window(now).unwrap();
        assert_eq!(usual.to.to_string(), "2026-12-01T15:51:30Z");
        let cut = options(None, from("2027-01-01T00:00:00Z")).window(now).unwrap();
        assert_eq!(cut.to.to_string(), "2026-12-01T16:21:30Z");
        let empty = options(from("2026-12-01T16:00:00Z"), None).window(now).map(drop).unwrap_err();
        assert!(empty.contains("to 2026-12-01T15:51:30Z is empty"), "{empty}");
    }

    #[test]
    fn what_was_not_seen_is_not_complete_and_what_is_missing_comes_first() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let window = Window { from: at("2026-11-28T00:00:00Z"), to: at("2026-11-29T00:00:00Z") };
        let mut report = Report::new(window);
        assert_eq!(code(&report, None), 0);
        assert_eq!([Some(true), Some(false), None].map(|devo| code(&report, Some(devo))), [0, 1, 2]);
        report.gaps.push("the inventory is old".to_owned());
        assert_eq!(code(&report, None), 2);
        assert_eq!([Some(true), Some(false), None].map(|devo| code(&report, Some(devo))), [2, 1, 2]);
        let (service, reason) = ("s".to_owned(), String::new());
        let judged = audit::Judged { input: 0, service, class: Class::Missing, reason };
        let modified = SystemTime::UNIX_EPOCH;
        let listed = Listed { key: "k".to_owned(), size: 1, etag: String::new(), modified, archived: false };
        report.add("b", &judged, &audit::Timed { listed, time: window.from });
        assert_eq!([None, Some(None), Some(Some(true))].map(|devo| code(&report, devo)), [1, 1, 1]);
    }
}
