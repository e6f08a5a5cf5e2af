//! What a configuration reads in AWS, whatever kind of input it stands under.

use std::time::Duration;

use super::arn::queue_in;
use crate::aws::endpoint::partition;
use crate::config::{Credentials, Input};

/// All of it.
#[derive(Debug, Clone, Default)]
pub struct Needs {
    pub queues: Vec<Queue>,
}

/// One queue.
#[derive(Debug, Clone)]
pub struct Queue {
    /// Key of its input.
    pub input: String,
    pub account: String,
    pub name: String,
    pub region: String,
    pub credentials: Credentials,
    pub visibility_timeout: Duration,
    /// Messages are deleted after delivery.
    pub deletes: bool,
    /// Its messages announce objects; false: they are the logs.
    pub announces: bool,
    /// Names of the services that read it.
    pub services: Vec<String>,
}

/// `--input` names none of the configuration's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no enabled input {name:?}; there are: {known}")]
pub struct UnknownInput {
    name: String,
    known: String,
}

impl Needs {
    /// What the named inputs need; no name: all.
    ///
    /// # Errors
    /// A name that no input has.
    pub fn of(inputs: &[Input], names: &[String]) -> Result<Needs, UnknownInput> {
        let queues: Vec<Queue> = inputs.iter().map(Queue::of).collect();
        if let Some(name) = names.iter().find(|name| queues.iter().all(|queue| queue.input != **name)) {
            let known: Vec<&str> = queues.iter().map(|queue| queue.input.as_str()).collect();
            return Err(UnknownInput { name: name.clone(), known: known.join(", ") });
        }
        let is_named = |queue: &Queue| names.is_empty() || names.contains(&queue.input);
        Ok(Needs { queues: queues.into_iter().filter(is_named).collect() })
    }
}

impl Queue {
    fn of(input: &Input) -> Queue {
        let (account, name) = queue_in(input.queue.text());
        Queue {
            input: input.key.clone(),
            account,
            name,
            region: input.region.clone(),
            credentials: input.credentials.clone(),
            visibility_timeout: input.visibility_timeout,
            deletes: input.ack_messages,
            announces: !input.direct_mode,
            services: input.services.iter().map(|service| service.name.clone()).collect(),
        }
    }

    pub fn arn(&self) -> String {
        format!("arn:{}:sqs:{}:{}:{}", self.partition(), self.region, self.account, self.name)
    }

    pub fn partition(&self) -> &'static str {
        partition(&self.region)
    }

    pub fn is_fifo(&self) -> bool {
        self.name.ends_with(".fifo")
    }

    /// The role that reads it, if one does.
    pub fn role(&self) -> Option<&String> {
        self.credentials.cross_account_role.as_ref().or(self.credentials.base_role.as_ref())
    }

    /// CrowdStrike's own queue: its rights come with its key.
    pub fn is_crowdstrikes(&self) -> bool {
        !self.services.is_empty() && self.services.iter().all(|service| service.starts_with("aws_sqs_fdr"))
    }
}
