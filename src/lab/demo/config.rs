//! The demo's configuration file, written with the vendor's keys as a user would.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use crate::lab::testbed::aws::{ACCESS_KEY_ID, Aws, REGION, SECRET_ACCESS_KEY};
use crate::lab::testbed::scenario::QueuePlan;

/// Writes one input per queue and one output. `directory` has the certificates and the state.
pub fn yaml(aws: &Aws, queues: &[QueuePlan], sink: SocketAddr, directory: &Path) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write_yaml(&mut text, aws, queues, sink, directory);
    text
}

fn write_yaml(
    text: &mut String,
    aws: &Aws,
    queues: &[QueuePlan],
    sink: SocketAddr,
    directory: &Path,
) -> std::fmt::Result {
    let path = |name: &str| quoted(&directory.join(name).to_string_lossy());
    writeln!(text, "globals:")?;
    writeln!(text, "  id: demo")?;
    writeln!(text, "  name: demo")?;
    writeln!(text, "  persistence: {{type: filesystem, config: {{directory_name: {}}}}}", path("state"))?;
    writeln!(text, "outputs:")?;
    writeln!(text, "  devo_1:")?;
    writeln!(text, "    type: devo_platform")?;
    writeln!(text, "    config:")?;
    writeln!(text, "      address: {}", quoted(&sink.ip().to_string()))?;
    writeln!(text, "      port: {}", sink.port())?;
    writeln!(text, "      type: SSL")?;
    writeln!(text, "      chain: {}", path("chain.crt"))?;
    writeln!(text, "      cert: {}", path("domain.crt"))?;
    writeln!(text, "      key: {}", path("domain.key"))?;
    writeln!(text, "inputs:")?;
    queues.iter().enumerate().try_for_each(|(i, queue)| write_input(text, aws, queue, i))
}

fn write_input(text: &mut String, aws: &Aws, queue: &QueuePlan, index: usize) -> std::fmt::Result {
    writeln!(text, "  sqs_collector{}:", queue.service.trim_start_matches("aws_sqs"))?;
    writeln!(text, "    id: \"{}\"", 1001 + index)?;
    writeln!(text, "    enabled: true")?;
    writeln!(text, "    credentials:")?;
    writeln!(text, "      aws_access_key_id: {ACCESS_KEY_ID}")?;
    writeln!(text, "      aws_secret_access_key: {SECRET_ACCESS_KEY}")?;
    writeln!(text, "    base_url: {}", quoted(&aws.queue_url(&queue.name)))?;
    writeln!(text, "    region: {REGION}")?;
    writeln!(text, "    endpoint_url: {}", quoted(&aws.url()))?;
    writeln!(text, "    sqs_visibility_timeout: 120")?;
    // Short, because a queue counts as drained when its last poll was empty.
    writeln!(text, "    sqs_wait_timeout: 1")?;
    writeln!(text, "    sqs_max_messages: 10")?;
    writeln!(text, "    services: {{{}: {{}}}}", queue.service)
}

/// A JSON string is also a YAML string.
fn quoted(value: &str) -> String {
    serde_json::Value::from(value).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_yaml_with_the_vendors_keys() {
        let aws = Aws::start().unwrap();
        let queue =
            QueuePlan { name: "demo-fdr-large".into(), service: "aws_sqs_fdr_large", messages: vec![] };
        let text = yaml(&aws, &[queue], "127.0.0.1:7".parse().unwrap(), Path::new("/tmp/a \"b\""));
        let value: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
        let input = &value["inputs"]["sqs_collector_fdr_large"];
        assert_eq!(input["base_url"], aws.queue_url("demo-fdr-large"));
        assert_eq!(input["id"], "1001");
        assert!(input["services"]["aws_sqs_fdr_large"].is_object());
        assert_eq!(value["outputs"]["devo_1"]["config"]["key"], "/tmp/a \"b\"/domain.key");
    }
}
