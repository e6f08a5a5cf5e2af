//! A headless Chromium, driven over its DevTools protocol through two pipes.
//!
//! Format: "Chrome DevTools Protocol", one JSON object per message, each ended by a NUL byte.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};

use serde_json::{Value, json};

use super::process::{PATIENCE, Process, wait_for};

/// The browser, with one tab.
pub struct Browser {
    commands: File,
    messages: Receiver<Value>,
    last_id: u64,
    session: Option<String>,
    /// What its console said, also about refused contents and failed requests.
    pub complaints: Vec<String>,
    /// The addresses it asked for.
    pub requests: Vec<String>,
    _process: Process,
}

impl Browser {
    /// Starts it, with its files in `directory`.
    pub fn start(directory: &Path) -> Browser {
        let [commands, answers] =
            ["commands", "answers"].map(|name| directory.join(format!("browser-{name}")));
        assert!(Command::new("mkfifo").args([&commands, &answers]).status().unwrap().success());
        let profile = format!("--user-data-dir={}", directory.join("browser").display());
        let switches = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync \
            --disable-background-networking --disable-component-update --hide-scrollbars --force-color-profile=srgb \
            --remote-debugging-pipe about:blank";
        // The pipes are the descriptors 3 and 4.
        let script = "exec chromium \"$@\" 3<\"$0/browser-commands\" 4>\"$0/browser-answers\"";
        let directory_name = directory.display().to_string();
        let mut arguments = vec!["-c", script, directory_name.as_str(), profile.as_str()];
        arguments.extend(switches.split_whitespace());
        let [out, log] = ["out", "log"].map(|name| directory.join(format!("browser.{name}")));
        let process = Process::start("sh".as_ref(), &arguments, &out, &log);
        // In the order in which the shell opens them: each waits for its other end.
        let commands = OpenOptions::new().write(true).open(commands).unwrap();
        let answers = BufReader::new(File::open(answers).unwrap());
        let (heard, messages) = channel();
        std::thread::spawn(move || {
            for message in answers.split(0).map_while(Result::ok) {
                let Ok(message) = serde_json::from_slice(&message) else { break };
                if heard.send(message).is_err() {
                    break;
                }
            }
        });
        let mut browser = Browser {
            commands,
            messages,
            last_id: 0,
            session: None,
            complaints: Vec::new(),
            requests: Vec::new(),
            _process: process,
        };
        let target = browser.call("Target.createTarget", json!({"url": "about:blank"}))["targetId"].clone();
        let attached = browser.call("Target.attachToTarget", json!({"targetId": target, "flatten": true}));
        browser.session = Some(attached["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser
    }

    /// Sets the window's size, and the theme that the user prefers.
    pub fn look(&mut self, width: u32, height: u32, theme: &str) {
        self.call(
            "Emulation.setDeviceMetricsOverride",
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false}),
        );
        let features = json!([{"name": "prefers-color-scheme", "value": theme}]);
        self.call("Emulation.setEmulatedMedia", json!({"features": features}));
    }

    /// Opens a page and waits until this expression is true on it.
    pub fn open(&mut self, url: &str, until: &str) {
        self.call("Page.navigate", json!({"url": url}));
        self.wait_until(until);
    }

    /// Leaves the page, whose server may then end without a complaint.
    pub fn leave(&mut self) {
        self.open("about:blank", "location.href === 'about:blank'");
    }

    pub fn wait_until(&mut self, expression: &str) {
        let mut last = Value::Null;
        let condition = format!("document.readyState === 'complete' && !!({expression})");
        wait_for(expression, PATIENCE, || {
            last = self.try_eval(&condition).unwrap_or(Value::Null);
            last == true
        });
    }

    /// The value of a JavaScript expression on the page, as if the user had asked for it.
    pub fn eval(&mut self, expression: &str) -> Value {
        self.try_eval(expression).unwrap_or_else(|problem| panic!("{expression}: {problem}"))
    }

    fn try_eval(&mut self, expression: &str) -> Result<Value, Value> {
        let arguments = json!({
            "expression": expression, "returnByValue": true, "awaitPromise": true, "userGesture": true,
        });
        let mut answer = self.call("Runtime.evaluate", arguments);
        match answer.get("exceptionDetails") {
            Some(problem) => Err(problem.clone()),
            None => Ok(answer["result"]["value"].take()),
        }
    }

    /// Writes a picture of the page's first `height` pixels (all of it if None), scaled.
    pub fn picture(&mut self, file: &Path, height: Option<f64>, scale: f64) {
        let size = self.eval("[document.documentElement.clientWidth, document.documentElement.scrollHeight]");
        let height = height.unwrap_or(size[1].as_f64().unwrap());
        let clip = json!({"x": 0, "y": 0, "width": size[0], "height": height, "scale": scale});
        let arguments = json!({"format": "png", "clip": clip, "captureBeyondViewport": true});
        let answer = self.call("Page.captureScreenshot", arguments);
        let decoded = base64(answer["data"].as_str().unwrap());
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, decoded).unwrap();
    }

    fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.last_id += 1;
        let mut message = json!({"id": self.last_id, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        self.commands.write_all(format!("{message}\0").as_bytes()).unwrap();
        loop {
            let mut message =
                self.messages.recv_timeout(PATIENCE).unwrap_or_else(|e| panic!("{method}: {e}"));
            if message["id"] == self.last_id {
                assert!(message.get("error").is_none(), "{method}: {message}");
                return message["result"].take();
            }
            self.hear(&message);
        }
    }

    fn hear(&mut self, event: &Value) {
        let parameters = &event["params"];
        match event["method"].as_str().unwrap_or_default() {
            "Runtime.exceptionThrown" | "Runtime.consoleAPICalled" => {
                self.complaints.push(parameters.to_string());
            }
            "Log.entryAdded" => self.complaints.push(parameters["entry"].to_string()),
            "Network.requestWillBeSent" => {
                self.requests.push(parameters["request"]["url"].as_str().unwrap().to_owned());
            }
            _ => (),
        }
    }
}

/// RFC 4648, section 4.
fn base64(text: &str) -> Vec<u8> {
    let value = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<u32> = text.bytes().filter(|c| *c != b'=').map(|c| u32::from(value(c))).collect();
    let bytes = digits.chunks(4).flat_map(|group| {
        let bits = group.iter().fold(0, |bits, digit| bits << 6 | digit) << (6 * (4 - group.len()));
        bits.to_be_bytes().into_iter().skip(1).take(group.len() - 1)
    });
    bytes.collect()
}

#[test]
fn base64_is_that_of_its_standard() {
    for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
        assert_eq!(base64(text), bytes.as_bytes());
    }
}
