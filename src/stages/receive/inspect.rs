//! The queue's own settings and what they mean for us: checked once, at the start, and by `check --online`.

use std::time::Duration;

use crate::aws::Attributes;
use crate::base::limits::IN_FLIGHT_ALARM;
use crate::settings::Input;

/// A message may wait for its object's whole way, several times; a queue with a shorter retention loses logs.
const RETENTION_ADVISED_MIN: Duration = Duration::from_secs(24 * 3600);

/// AWS's default visibility timeout of a queue.
const VISIBILITY_OF_AWS: Duration = Duration::from_secs(30);

/// The same for the log of a start. That a queue has AWS's own visibility timeout is nothing to be told of.
pub fn at_start(queue: &Attributes, input: &Input) -> Vec<String> {
    let visibility_timeout = queue.visibility_timeout.filter(|own| *own != VISIBILITY_OF_AWS);
    warnings(&Attributes { visibility_timeout, ..queue.clone() }, input)
}

/// Sentences for the operator, without the input's name.
pub fn warnings(queue: &Attributes, input: &Input) -> Vec<String> {
    let mut warnings = Vec::new();
    if queue.redrive.is_none() && input.ack_messages {
        warnings.push(
            "the queue has no redrive policy: a message that can never be read is redelivered until it expires. Give \
             the queue a dead-letter queue"
                .to_owned(),
        );
    }
    if let Some(own) = queue.visibility_timeout.filter(|own| *own != input.visibility_timeout) {
        warnings.push(format!(
            "sqs_visibility_timeout ({} s) is used instead of the queue's own ({} s)",
            input.visibility_timeout.as_secs(),
            own.as_secs()
        ));
    }
    if let Some(retention) = queue.retention.filter(|retention| *retention < RETENTION_ADVISED_MIN) {
        warnings.push(format!(
            "the queue expires messages after {} s: longer outages lose logs",
            retention.as_secs()
        ));
    }
    warnings
}

/// The possible cause of an empty receive. None if the queue looks healthy.
pub fn depth_warning(queue: &Attributes) -> Option<String> {
    (queue.available > 0 && queue.in_flight >= IN_FLIGHT_ALARM).then(|| {
        format!(
            "{} messages are in flight, and SQS allows no more than 120,000: {} wait although receives are empty. \
             Messages are received faster than they are deleted: are other collectors stuck?",
            queue.in_flight, queue.available
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_at_its_limit_in_flight_is_told_from_an_empty_one() {
        let queue = |available, in_flight| Attributes { available, in_flight, ..Attributes::default() };
        assert!(
            depth_warning(&queue(5, 120_000))
                .is_some_and(|text| text.contains("120000") || text.contains("120,000"))
        );
        assert_eq!(depth_warning(&queue(0, 120_000)), None);
        assert_eq!(depth_warning(&queue(5, 100)), None);
    }
}
