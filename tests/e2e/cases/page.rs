//! The status page in a browser: with few and many inputs, on small and large screens, light and dark, and with names
//! that want to be more than text.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use aws_to_devo::ack::{Delivery, Ending, Tables};
use aws_to_devo::base::object::Object;
use aws_to_devo::config;
use aws_to_devo::settings;
use aws_to_devo::status::Status;
use aws_to_devo::telemetry::{
    Activity, Depth, Failed, Input, Notices, Output, Phase, Redrive, Sender, Telemetry,
};
use jiff::Timestamp;
use serde_json::Value;

use crate::rig::browser::Browser;
use crate::rig::process::free_port;

const HOUR: u32 = 360;
const SERVICES: [(&str, &str, f64); 5] = [
    ("aws_sqs_cloudtrail", "cloud.aws.cloudtrail.events", 900.0),
    ("aws_sqs_vpc", "cloud.aws.vpc.flow", 5200.0),
    ("aws_sqs_guard_duty", "cloud.aws.guardduty.findings", 14.0),
    ("aws_sqs_fdr", "edr.crowdstrike.falconstreaming.events", 2600.0),
    ("aws_sqs_cisco_umbrella", "sig.cisco.umbrella.dns", 410.0),
];

/// A collector's page, without a collector: its figures are set by the test.
struct Page {
    telemetry: Arc<Telemetry>,
    port: u16,
    ends: Arc<AtomicBool>,
    busy: Option<JoinHandle<()>>,
    /// Kept, so that their states stay.
    _senders: Vec<Arc<Sender>>,
    _status: Status,
}

impl Page {
    /// Serves these inputs, with an hour behind them.
    fn of(inputs: Vec<Input>, output: Output, tables: &[String]) -> Page {
        let mut telemetry = Telemetry::of(&config(), Arc::new(Notices::default()));
        let shared = |mut input: Input| {
            input.failures = Arc::clone(&telemetry.failed);
            Arc::new(input)
        };
        telemetry.inputs = inputs.into_iter().map(shared).collect();
        telemetry.outputs = vec![Arc::new(output)];
        telemetry.enter(Phase::Running);
        telemetry.failed.set_config("/etc/aws-to-devo/config.yaml");
        let senders: Vec<_> =
            (0..4).map(|n| telemetry.outputs[0].add_sender(&format!("send-devo_1-{n}"))).collect();
        for sender in &senders {
            // For as long as the test runs.
            let sender: &'static Arc<Sender> = Box::leak(Box::new(Arc::clone(sender)));
            Box::leak(Box::new(sender.during(Activity::Connected)));
        }
        let (start, first) = (Instant::now(), Timestamp::now().as_second() - 10 * i64::from(HOUR));
        for point in 0..=HOUR {
            let time = Timestamp::from_second(first + 10 * i64::from(point)).unwrap();
            live(&telemetry, tables, f64::from(point), 10.0, time);
            senders.iter().for_each(|sender| {
                sender.unconfirmed.set(150_000 + (wave(f64::from(point)) * 90_000.0) as i64);
            });
            telemetry.remember(start + Duration::from_secs(10) * point, time);
        }
        let telemetry = Arc::new(telemetry);
        let port = free_port();
        let settings = settings::Status { address: (Ipv4Addr::LOCALHOST, port).into(), hosts: vec![] };
        let status = Status::start(&settings, &telemetry).unwrap();
        let ends = Arc::new(AtomicBool::new(false));
        let busy = {
            let (telemetry, ends, tables) = (Arc::clone(&telemetry), Arc::clone(&ends), tables.to_vec());
            std::thread::spawn(move || {
                let mut last = Instant::now();
                while !ends.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(1000));
                    let elapsed = last.elapsed().as_secs_f64();
                    last = Instant::now();
                    live(&telemetry, &tables, f64::from(HOUR), elapsed, Timestamp::now());
                }
            })
        };
        Page { telemetry, port, ends, busy: Some(busy), _senders: senders, _status: status }
    }

    /// A page that looks like a real collector's, with this number of inputs.
    fn usual(inputs: usize) -> Page {
        let input = |number: usize| {
            let (service, ..) = SERVICES[number % SERVICES.len()];
            let name = match number / SERVICES.len() {
                0 => service.trim_start_matches("aws_sqs_").to_owned() + "_prod",
                more => format!("{}_account_{more}", service.trim_start_matches("aws_sqs_")),
            };
            let queue =
                format!("https://sqs.eu-west-1.amazonaws.com/123456789012/{}-logs", name.replace('_', "-"));
            let input = Input::new(&name, &queue, &[service]);
            input.queue.set_depth(
                Depth { available: 12 + 7 * number as u64, in_flight: 31, delayed: 0 },
                Instant::now(),
            );
            input.queue.set_dead_letters(Some(u64::from(number == 3) * 2), Instant::now());
            let dead_letter_arn = format!("arn:aws:sqs:eu-west-1:123456789012:{name}-dead");
            input.queue.set_redrive(Redrive::After { attempts_max: 5, dead_letter_arn });
            input.queue.received(std::iter::empty());
            input.health.works();
            input
        };
        let output = Output::new("devo_1", "collector-eu.devo.io:443".into());
        output.health.works();
        output.set_certificate_expires_at(Some(Timestamp::now() + Duration::from_secs(200 * 86_400)));
        let tables: Vec<_> =
            SERVICES.iter().take(inputs.min(5)).map(|(_, table, _)| (*table).to_owned()).collect();
        let page = Page::of((0..inputs).map(input).collect(), output, &tables);
        page.telemetry.inputs[0].endings.add(Ending::NoService);
        page
    }

    fn open(&self, browser: &mut Browser) {
        browser.open(
            &format!("http://127.0.0.1:{}/", self.port),
            "document.querySelector('#services, section[data-table=services] tbody tr, #tiles .tile')",
        );
        browser.wait_until("document.querySelectorAll('section[data-table=services] tbody tr').length");
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        let _ = self.busy.take().map(JoinHandle::join);
    }
}

/// Only its globals matter: the figures' inputs and outputs are the test's own.
fn config() -> settings::Config {
    let text = r#"{
        "globals": {"id": "1023", "name": "collector-eu", "memory_limit": "512MiB", "workers": 2},
        "inputs": {"sqs_collector": {"id": "1", "base_url": "https://sqs.eu-west-1.amazonaws.com/111111111111/q", "services": {"aws_sqs_vpc": {}}}},
        "outputs": {"console": {"type": "console"}}
    }"#;
    config::parse(text, Path::new(""), &config::Environment::here()).unwrap_or_else(|e| panic!("{e}")).config
}

/// Between 0.1 and 1: a day's work with its ups and downs.
fn wave(x: f64) -> f64 {
    0.55 + 0.25 * (x / 41.0).sin() + 0.12 * (x / 7.3).sin() + 0.08 * (x * 1.7).sin()
}

/// Some seconds of a busy collector, at this point of the hour.
fn live(telemetry: &Telemetry, tables: &[String], point: f64, seconds: f64, now: Timestamp) {
    let add = |rate: f64| (rate * seconds) as u64;
    for (number, input) in telemetry.inputs.iter().enumerate() {
        let (_, _, rate) = SERVICES[number % SERVICES.len()];
        let events = rate * wave(point + 60.0 * number as f64);
        input.receive.messages.add(add(2.0));
        input.settle.deleted.add(add(2.0));
        input.fetch.objects.add(add(2.0));
        input.fetch.bytes.add(add(events * 60.0));
        let service = &input.services[0];
        let lag = 2.0 + 3.0 * wave(point + 30.0 * number as f64);
        service.lag.reached(now - Duration::from_secs_f64(lag), now);
        service.last_delivery.happened(Instant::now());
        service.decode.events.add(add(events));
        service.decode.bytes.add(add(events * 420.0));
        service.delivered.events.add(add(events));
        service.delivered.bytes.add(add(events * 470.0));
        for _ in 0..add(1.0) {
            service.endings.add(Ending::Sent);
        }
        let mut delivered = Tables::default();
        if let Some(table) = tables.get(number % tables.len().max(1)) {
            delivered.add(table, add(events), add(events * 470.0));
        }
        telemetry.tables.add(&delivered, Instant::now());
        let send = &telemetry.outputs[0].send;
        send.events.add(add(events));
        send.bytes.add(add(events * 470.0));
    }
    let (waits, config) = (&telemetry.waits, config());
    waits.send_batches.add(Duration::from_secs_f64(seconds * 4.0 * 0.72));
    waits
        .fetch_objects
        .add(Duration::from_secs_f64(seconds * config.fetchers() as f64 * (1.0 - 0.4 * wave(point))));
    waits
        .work_payloads
        .add(Duration::from_secs_f64(seconds * config.globals.workers as f64 * 0.6 * wave(point)));
}

fn fail(page: &Page, input: usize, key: &str, attempt: u32, ending: Option<Ending>, cause: &str) {
    let input = &page.telemetry.inputs[input];
    let delivery = Delivery { message_id: "5fea7756-0ea4-451a-a703-a558b933e274".into(), attempt };
    let service = input.services[0].name.clone();
    input.failed(&Failed {
        object: Some(&Object::named("acme-logs-prod", key)),
        polled: None,
        service: Some(&service),
        delivery: Some(&delivery),
        ending,
        cause,
        kind: "test",
    });
}

fn directory(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pictures").join(name);
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).unwrap();
    directory
}

const SCREENS: [(&str, u32, u32); 3] = [("phone", 390, 844), ("laptop", 1366, 800), ("wide", 1920, 1080)];

/// Nothing sticks out, nothing complains, nothing is fetched from elsewhere, and each chart has its hour.
fn expect_sound(browser: &mut Browser, port: u16, what: &str) {
    let out = browser.eval(
        "[...document.querySelectorAll('main *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1 \
         && !e.closest('svg') && getComputedStyle(e).overflow !== 'hidden').map(e => e.tagName + '.' + e.className + ' ' + e.textContent.slice(0, 40)).slice(0, 5)",
    );
    assert_eq!(out, serde_json::json!([]), "{what}: these are wider than the screen");
    let widths = browser.eval(
        "[document.documentElement, ...document.querySelectorAll('.wrap')].map(e => e.scrollWidth - e.clientWidth)",
    );
    assert!(widths.as_array().unwrap().iter().all(|over| *over == 0), "{what}: overflow by {widths}");
    assert_eq!(browser.complaints, Vec::<String>::new(), "{what}");
    // The browser may have had other pages of this machine before.
    let is_ours =
        |url: &str| url.starts_with("http://127.0.0.1:") || url.starts_with("data:") || url == "about:blank";
    let foreign: Vec<_> = browser.requests.iter().filter(|url| !is_ours(url)).collect();
    assert!(foreign.is_empty(), "{what}: {foreign:?}");
    let figures = format!("http://127.0.0.1:{port}/status.json");
    assert!(browser.requests.contains(&figures), "{what}: {:?}", browser.requests);
}

fn texts(browser: &mut Browser, selector: &str) -> Vec<String> {
    let list = browser.eval(&format!("[...document.querySelectorAll({selector:?})].map(e => e.textContent)"));
    list.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_page_fits_every_screen_with_few_and_many_inputs() {
    let directory = directory("screens");
    let mut browser = Browser::start(&directory);
    for inputs in [1, 5, 40] {
        let page = Page::usual(inputs);
        if inputs == 40 {
            for input in &page.telemetry.inputs[3..9] {
                input.health.failed(
                    "sqs:ReceiveMessage: HTTP 403 AccessDenied: the role may not read this queue",
                    true,
                );
            }
            fail(
                &page,
                1,
                "AWSLogs/123456789012/vpcflowlogs/eu-west-1/2026/11/28/flow.log.gz",
                5,
                Some(Ending::Damaged),
                "it is truncated: the gzip stream ends in the middle",
            );
        }
        for (screen, width, height) in SCREENS {
            for theme in ["light", "dark"] {
                let what = format!("{inputs}-{screen}-{theme}");
                browser.look(width, height, theme);
                page.open(&mut browser);
                expect_sound(&mut browser, page.port, &what);
                // An hour in every chart and every small one, drawn as lines.
                let points = browser.eval("[...document.querySelectorAll('.chart .line, .spark .line')].map(e => (e.getAttribute('d') || '').split('L').length)");
                let points: Vec<u64> =
                    points.as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).collect();
                assert!(
                    points.len() > 5 + inputs && points.iter().all(|n| *n == u64::from(HOUR)),
                    "{what}: {points:?}"
                );
                let dark = browser.eval("getComputedStyle(document.body).backgroundColor");
                assert_eq!(dark != "rgb(246, 247, 249)", theme == "dark", "{what}: {dark}");
                browser.picture(&directory.join(format!("{what}.png")), None, 1.0);
            }
        }
        browser.leave();
    }
}

#[test]
fn many_rows_can_be_sorted_and_searched_and_few_need_not() {
    let directory = directory("sorting");
    let mut browser = Browser::start(&directory);
    let few = Page::usual(5);
    browser.look(1366, 800, "light");
    few.open(&mut browser);
    let search = "document.querySelector('section[data-table=services] input')";
    assert_eq!(browser.eval(&format!("{search}.hidden")), true);
    browser.leave();
    drop(few);

    let page = Page::usual(40);
    page.open(&mut browser);
    assert_eq!(browser.eval(&format!("{search}.hidden")), false);
    let row = "section[data-table=services] tbody tr";
    assert_eq!(texts(&mut browser, row).len(), 40);
    browser.eval(&format!("{search}.value = 'account_3'; {search}.dispatchEvent(new Event('input'))"));
    let found = texts(&mut browser, &format!("{row} td:first-child small"));
    assert_eq!(found.len(), 5, "{found:?}");
    assert!(found.iter().all(|input| input.ends_with("_account_3")), "{found:?}");
    browser.eval(&format!("{search}.value = 'nowhere'; {search}.dispatchEvent(new Event('input'))"));
    assert_eq!(texts(&mut browser, row).len(), 0);
    assert_eq!(texts(&mut browser, "section[data-table=services] .empty:not([hidden])"), ["No row matches."]);
    browser.eval(&format!("{search}.value = ''; {search}.dispatchEvent(new Event('input'))"));

    // By name, both ways; by figures, the largest first; and it stays so after the next answer.
    let head = |n: usize| {
        format!("document.querySelectorAll('section[data-table=queues] thead button')[{n}].click()")
    };
    let column = |browser: &mut Browser, n: usize| {
        texts(browser, &format!("section[data-table=queues] tbody td:nth-child({n}) span"))
    };
    browser.eval(&head(0));
    let names = column(&mut browser, 1);
    assert!(names.is_sorted() && names.len() == 40, "{names:?}");
    browser.eval(&head(0));
    assert!(column(&mut browser, 1).iter().rev().is_sorted());
    browser.eval(&head(1));
    let figures = |texts: Vec<String>| {
        texts.iter().map(|text| text.replace(',', "").parse::<u64>().unwrap()).collect::<Vec<_>>()
    };
    let waiting = figures(column(&mut browser, 2));
    assert!(waiting.iter().rev().is_sorted() && waiting[0] == 12 + 7 * 39, "{waiting:?}");
    let asked = texts(&mut browser, "#asked");
    browser.wait_until(&format!("document.querySelector('#asked').textContent !== {:?}", asked[0]));
    assert_eq!(figures(column(&mut browser, 2)), waiting);
    expect_sound(&mut browser, page.port, "sorted");
}

#[test]
fn failed_objects_come_with_their_commands_and_troubles_are_grouped() {
    let directory = directory("failed");
    let mut browser = Browser::start(&directory);
    let page = Page::usual(5);
    browser.look(1366, 800, "light");
    page.open(&mut browser);
    assert!(texts(&mut browser, "#failed")[0].starts_with("None. "));
    assert_eq!(texts(&mut browser, "#troubles .box").len(), 0);
    fail(&page, 1, "AWSLogs/it's broken.gz", 1, Some(Ending::Damaged), "it is truncated");
    fail(&page, 3, "data/late.gz", 2, None, "s3:GetObject: HTTP 503 SlowDown");
    for input in &page.telemetry.inputs[1..4] {
        input.health.failed("sqs:ReceiveMessage: HTTP 403 AccessDenied", true);
    }
    browser.wait_until("document.querySelectorAll('.failed').length === 2");
    let failed = texts(&mut browser, ".failed");
    assert!(failed[0].contains("retried") && failed[0].contains("delivery attempt 2 of 5"), "{failed:?}");
    assert!(
        failed[1].contains("after delivery attempt 5 SQS moves it to the dead-letter queue vpc_prod-dead"),
        "{failed:?}"
    );
    let commands = texts(&mut browser, ".failed code");
    assert_eq!(
        commands[2],
        r"aws-to-devo backfill --exact 's3://acme-logs-prod/AWSLogs/it'\''s broken.gz' --config /etc/aws-to-devo/config.yaml --input vpc_prod --service aws_sqs_vpc"
    );
    assert_eq!(
        commands[3],
        "aws sqs start-message-move-task --region eu-west-1 --source-arn arn:aws:sqs:eu-west-1:123456789012:vpc_prod-dead"
    );
    browser.eval("document.querySelectorAll('.failed .copy')[2].click()");
    browser.wait_until("document.querySelectorAll('.failed .copy')[2].textContent === 'Copied'");
    let boxes = texts(&mut browser, "#troubles .box");
    assert_eq!(boxes.len(), 1, "{boxes:?}");
    assert!(
        boxes[0].starts_with("3 parts in the same trouble") && boxes[0].contains("inputs.guard_duty_prod"),
        "{boxes:?}"
    );
    expect_sound(&mut browser, page.port, "failed");
    browser.picture(&directory.join("failed.png"), None, 1.0);
    browser.look(390, 844, "dark");
    expect_sound(&mut browser, page.port, "failed, on a phone");
    browser.picture(&directory.join("failed-phone.png"), None, 1.0);
    // Delivered after all.
    page.telemetry.failed.delivered("5fea7756-0ea4-451a-a703-a558b933e274");
    browser.wait_until("document.querySelectorAll('.failed').length === 0");
}

/// Others choose names of objects, tables and queues, and the texts of errors.
#[test]
fn names_are_nothing_but_text() {
    let directory = directory("hostile");
    let mut browser = Browser::start(&directory);
    let hostile =
        "<img src=x onerror='window.injected=1'><script>window.injected=1</script>\"'>&amp;\u{202e}</td>${1}";
    let names = [hostile, "__proto__", "constructor", "toString", "<b>", &"long".repeat(200)];
    let input = |name: &str| {
        let input =
            Input::new(name, &format!("https://sqs.eu-west-1.amazonaws.com/111111111111/{name}"), &[name]);
        input.queue.set_redrive(Redrive::After {
            attempts_max: 3,
            dead_letter_arn: format!("arn:aws:sqs:{name}:1:{name}"),
        });
        input.queue.set_depth(Depth { available: 1, in_flight: 1, delayed: 0 }, Instant::now());
        input
    };
    let output = Output::new(hostile, hostile.into());
    let page = Page::of(names.iter().map(|name| input(name)).collect(), output, &names.map(str::to_owned));
    let notices: &Notices = &page.telemetry.notices;
    for (number, name) in names.iter().enumerate() {
        fail(&page, number, name, 1, Some(Ending::Damaged), name);
        page.telemetry.inputs[number].health.failed(*name, false);
        notices.add(log::Level::Warn, name, Timestamp::now());
    }
    for (screen, width, height) in SCREENS {
        browser.look(width, height, "dark");
        page.open(&mut browser);
        browser.wait_until("document.querySelectorAll('.failed').length === 6");
        browser.eval("document.querySelectorAll('thead button, .copy').forEach(button => button.click())");
        expect_sound(&mut browser, page.port, screen);
        assert_eq!(browser.eval("String(window.injected)"), "undefined");
        let foreign = browser.eval("document.querySelectorAll('img, b b, iframe, object, script:not([nonce]), [onerror], [style*=expression]').length");
        assert_eq!(foreign, 0);
        let shown = texts(&mut browser, "section[data-table=tables] td:first-child span");
        for name in names {
            assert!(shown.iter().any(|text| text == name), "{name:?} is not in {shown:?}");
        }
        browser.picture(&directory.join(format!("{screen}.png")), None, 1.0);
    }
    let policy = browser.eval("fetch('/').then(answer => answer.headers.get('content-security-policy'))");
    assert!(!policy.as_str().unwrap().contains("unsafe"), "{policy}");
}

/// The pictures of the README. `UPDATE_DOCS=1` replaces them.
#[test]
fn pictures_of_the_page() {
    let directory = directory("readme");
    let mut browser = Browser::start(&directory);
    let page = Page::usual(5);
    for theme in ["light", "dark"] {
        browser.look(1280, 800, theme);
        page.open(&mut browser);
        // Rates of the page's own ten seconds.
        browser.eval("new Promise(resolve => setTimeout(resolve, 9000))");
        expect_sound(&mut browser, page.port, theme);
        let committed =
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/pictures/status-{theme}.png"));
        let update = std::env::var_os("UPDATE_DOCS").is_some();
        let file = if update { committed.clone() } else { directory.join(format!("status-{theme}.png")) };
        browser.picture(&file, Some(960.0), 0.75);
        let bytes = std::fs::read(&committed).unwrap_or_else(|e| panic!("{}: {e}", committed.display()));
        assert!(bytes.starts_with(b"\x89PNG") && bytes.len() < 200_000, "{} bytes", bytes.len());
    }
}

/// The documentation that the page links to, on every screen.
#[test]
fn the_documentation_can_be_read() {
    let directory = directory("docs");
    let mut browser = Browser::start(&directory);
    let page = Page::usual(1);
    for (screen, width, height) in SCREENS {
        browser.look(width, height, "light");
        browser.open(
            &format!("http://127.0.0.1:{}/docs/monitoring#how-objects-end", page.port),
            "document.querySelector('h1')",
        );
        let over = browser.eval("document.documentElement.scrollWidth - innerWidth");
        assert!(over.as_i64().unwrap() <= 0, "{screen}: {over}");
        assert_eq!(browser.eval("document.querySelector(':target').textContent"), "How objects end");
        assert_eq!(browser.complaints, Vec::<String>::new());
        browser.picture(&directory.join(format!("{screen}.png")), Some(1200.0), 1.0);
    }
    let answer: Value = browser.eval("fetch('/docs/').then(answer => answer.status)");
    assert_eq!(answer, 200);
}
