//! The answers that `init` needs, and the file that it writes from them.

use serde_json::json;

use crate::config::aws::rows::{ANY_NAME, rows};

#[derive(Debug, Clone, Default)]
pub struct Answers {
    pub id: String,
    /// URL of the only queue.
    pub queue: Option<String>,
    /// Services of its objects.
    pub services: Vec<String>,
    /// Services that poll an API.
    pub polled: Vec<String>,
    pub regions: Vec<String>,
    pub output: Option<Output>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// A Devo host.
    Devo(String),
    Relay {
        host: String,
        port: String,
    },
    Console,
}

impl Output {
    /// Reads `us`, `eu`, `ca`, `ap`, or a host name.
    pub fn devo(cloud: &str) -> Output {
        let host = match cloud {
            "us" | "eu" | "ca" | "ap" => format!("collector-{cloud}.devo.io"),
            host => host.to_owned(),
        };
        Output::Devo(host)
    }

    /// Reads the same, `console`, or a relay's `HOST:PORT`.
    pub fn of_text(text: &str) -> Output {
        match text.rsplit_once(':') {
            Some((host, port)) => Output::Relay { host: host.to_owned(), port: port.to_owned() },
            None if text == "console" => Output::Console,
            None => Output::devo(text),
        }
    }

    fn text(&self) -> String {
        match self {
            Output::Devo(host) => format!(
                "  devo_1:
    type: devo_platform
    config:
      address: {}
      # The domain's files from Devo: Administration, Credentials, X.509 certificates. Readable by the collector only
      chain: chain.crt
      cert: domain.crt
      key: domain.key
",
                quoted(host)
            ),
            Output::Relay { host, port } => format!(
                "  relay_1:
    type: syslog
    config:
      address: {}
      port: {}
      # Over TLS:
      # type: SSL
      # chain: chain.crt            # without it, the machine's own authorities are trusted
",
                quoted(host),
                quoted(port)
            ),
            Output::Console => "  console_1:
    type: console                   # prints records; nothing reaches Devo
"
            .to_owned(),
        }
    }
}

/// The services of an `aws` input that `init` can write: they need nothing but regions.
pub fn polled_services() -> Vec<&'static str> {
    let of_api = rows().iter().filter(|row| row.api.is_some() && row.service != ANY_NAME);
    of_api.map(|row| row.service.as_str()).collect()
}

impl Answers {
    /// The options that are still missing.
    pub fn missing(&self) -> Vec<String> {
        let input = self.queue.is_none() && self.polled.is_empty();
        let services = self.queue.is_some() && self.services.is_empty();
        let regions = !self.polled.is_empty() && self.regions.is_empty();
        let needed = [
            (input, "--queue URL or --poll NAME"),
            (services, "--service NAME"),
            (regions, "--region REGION"),
            (self.output.is_none(), "--devo CLOUD, --relay HOST:PORT or --console"),
        ];
        needed.iter().filter(|(is_needed, _)| *is_needed).map(|(_, option)| (*option).to_owned()).collect()
    }

    /// These answers, with a valid placeholder for each missing one.
    pub fn with_the_rest_invented(&self) -> Answers {
        let mut all = self.clone();
        if all.queue.is_none() && all.polled.is_empty() {
            all.polled = vec!["audit-events-all".to_owned()];
        }
        if all.services.is_empty() {
            all.services = vec!["aws_sqs_cloudtrail".to_owned()];
        }
        if all.regions.is_empty() {
            all.regions = vec!["us-east-1".to_owned()];
        }
        all.output = all.output.or(Some(Output::Console));
        all
    }

    /// The text of the file.
    pub fn text(&self) -> String {
        let id = quoted(&self.id);
        let output = self.output.as_ref().map(Output::text).unwrap_or_default();
        let (queue, polled) = (self.queue_text(), self.polled_text());
        format!(
            "# A configuration of aws-to-devo. `aws-to-devo check FILE --online` tries it out.
# Editors complete and check it: aws-to-devo schema > schema.json, and as the first line of this file
#   # yaml-language-server: $schema=schema.json
# Relative paths start at this file's folder. ${{NAME}} is replaced by the environment's variable.
globals:
  id: {id}              # HOST in Devo is collector-<id>-<machine's name>
  # memory_limit: 4GiB              # without it a quarter of the memory, at most 4GiB
  persistence: {{type: filesystem, config: {{directory_name: state}}}}    # what was delivered, kept over restarts

# Every event goes to every output.
outputs:
{output}
inputs:
{queue}{polled}"
        )
    }

    fn queue_text(&self) -> String {
        let Some(url) = &self.queue else { return String::new() };
        let services: String =
            self.services.iter().map(|name| format!("      {}: {{}}\n", quoted(name))).collect();
        // Messages whose records are only printed must not be deleted.
        let keep = match self.output {
            Some(Output::Console) => {
                "    ack_messages: false             # with an output to Devo: remove this line, and messages are deleted after delivery\n"
            }
            _ => "",
        };
        format!(
            "  # One entry for each queue; any key that begins with sqs_collector
  sqs_collector:
    id: \"10001\"                     # delivered objects are remembered under it
    base_url: {}
{keep}{CREDENTIALS}    services:                       # all services: aws-to-devo services
{services}",
            quoted(url)
        )
    }

    fn polled_text(&self) -> String {
        if self.polled.is_empty() {
            return String::new();
        }
        let regions: Vec<String> = self.regions.iter().map(|region| quoted(region)).collect();
        let regions = regions.join(", ");
        let services: String = self
            .polled
            .iter()
            .map(|name| format!("      {}:\n        regions: [{regions}]\n", quoted(name)))
            .collect();
        format!(
            "  # APIs that are polled
  aws:
    id: \"20001\"
    # No credentials: the standard AWS chain. Keys: access_key, access_secret, base_assume_role, target_assume_role
    services:
{services}"
        )
    }
}

const CREDENTIALS: &str = "    # No credentials: the standard AWS chain (environment, profiles, web identity, container, instance role)
    # credentials:
    #   aws_access_key_id: AKIA................
    #   aws_secret_access_key_file: aws.secret
    #   aws_cross_account_role: arn:aws:iam::222222222222:role/log-reader
    #   aws_external_id: an-id-that-both-sides-know
";

/// Quotes any text for YAML.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | ':');
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(is_plain)
        && text.contains(['-', '_', '.'])
        && !text.ends_with(':');
    if plain { text.to_owned() } else { json!(text).to_string() }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{self, Environment};

    #[test]
    fn what_is_written_is_accepted() {
        let queue = Some("https://sqs.us-east-1.amazonaws.com/111111111111/q".to_owned());
        let polled: Vec<String> = polled_services().into_iter().map(str::to_owned).collect();
        assert!(polled.len() >= 3, "{polled:?}");
        let regions = vec!["us-east-1".to_owned(), "eu-west-1".to_owned()];
        let relay = Output::Relay { host: "relay.local".to_owned(), port: "13000".to_owned() };
        for output in [Output::Console, relay] {
            for (queue, polled) in
                [(queue.clone(), vec![]), (None, polled.clone()), (queue.clone(), polled.clone())]
            {
                let answers = Answers {
                    id: "c 1: #".to_owned(),
                    queue,
                    services: vec!["aws_sqs_vpc".to_owned(), "aws_sqs_waf".to_owned()],
                    polled,
                    regions: regions.clone(),
                    output: Some(output.clone()),
                };
                let text = answers.text();
                let loaded = config::parse(&text, Path::new("/"), &Environment::here());
                let loaded = loaded.unwrap_or_else(|problems| panic!("{problems}\n{text}"));
                assert_eq!(loaded.config.globals.id, "c 1: #");
                let keeps = loaded
                    .config
                    .inputs
                    .iter()
                    .all(|input| !input.ack_messages || input.key.starts_with("aws."));
                assert_eq!(
                    keeps || answers.queue.is_none(),
                    output == Output::Console || answers.queue.is_none()
                );
            }
        }
    }

    #[test]
    fn any_text_is_quoted_as_it_must_be() {
        for text in ["a-b", "no", "1", "a: b", "x #y", "\"", "12:30", "a:", "us", "~", "- a"] {
            let tree: serde_json::Value = serde_saphyr::from_str(&format!("k: {}\n", quoted(text))).unwrap();
            assert_eq!(tree["k"], text);
        }
    }
}
