//! The writers of services' objects, which a new bucket must allow. From AWS's own pages on log delivery.

use serde_json::{Map, Value, json};

/// An AWS service that delivers logs to a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Writer {
    /// For the statement's id.
    pub name: &'static str,
    pub principal: &'static str,
    /// It reads the bucket's ACL before it writes.
    pub looks: &'static [&'static str],
    /// It gives the bucket's owner all rights on the object, which is required.
    pub gives_control: bool,
}

const CLOUDTRAIL: Writer = Writer {
    name: "CloudTrail",
    principal: "cloudtrail.amazonaws.com",
    looks: &["s3:GetBucketAcl"],
    gives_control: true,
};
const CONFIG: Writer = Writer {
    name: "Config",
    principal: "config.amazonaws.com",
    looks: &["s3:GetBucketAcl", "s3:ListBucket"],
    gives_control: true,
};
/// VPC flow logs, WAF, Route 53 Resolver query logs.
const DELIVERY: Writer = Writer {
    name: "LogDelivery",
    principal: "delivery.logs.amazonaws.com",
    looks: &["s3:GetBucketAcl", "s3:ListBucket"],
    gives_control: true,
};
const BALANCERS: Writer = Writer {
    name: "LoadBalancers",
    principal: "logdelivery.elasticloadbalancing.amazonaws.com",
    looks: &[],
    gives_control: false,
};
const S3_ACCESS: Writer =
    Writer { name: "S3Access", principal: "logging.s3.amazonaws.com", looks: &[], gives_control: false };
const GUARD_DUTY: Writer = Writer {
    name: "GuardDuty",
    principal: "guardduty.amazonaws.com",
    looks: &["s3:GetBucketLocation"],
    gives_control: false,
};

/// A service's name in the configuration, and the writers of its objects. For objects from Firehose, a role of the
/// user's writes.
const WRITERS: [(&str, &[Writer]); 12] = [
    ("aws_sqs_alb", &[BALANCERS]),
    ("aws_sqs_cloudtrail", &[CLOUDTRAIL]),
    ("aws_sqs_config", &[CONFIG]),
    ("aws_sqs_control_tower", &[CLOUDTRAIL, CONFIG, DELIVERY]),
    ("aws_sqs_elb", &[BALANCERS]),
    ("aws_sqs_guard_duty", &[GUARD_DUTY]),
    ("aws_sqs_route53", &[DELIVERY]),
    ("aws_sqs_s3_access", &[S3_ACCESS]),
    ("aws_sqs_vpc", &[DELIVERY]),
    ("aws_sqs_waf", &[DELIVERY]),
    ("audit-events-all/audits_s3", &[CLOUDTRAIL]),
    ("non-cloudwatch-logs/flowlogs", &[DELIVERY]),
];

/// The writers of all these services, each once.
pub fn of(services: &[String]) -> Vec<Writer> {
    let mut writers: Vec<Writer> = Vec::new();
    let named = WRITERS.iter().filter(|(name, _)| services.iter().any(|service| service == name));
    for writer in named.flat_map(|(_, writers)| *writers) {
        if !writers.contains(writer) {
            writers.push(*writer);
        }
    }
    writers
}

/// The services' writers as locals of a Terraform module: facts of each writer, and names for each service.
pub fn terraform() -> Value {
    let (mut facts, mut names) = (Map::new(), Map::new());
    for (service, writers) in WRITERS {
        for Writer { name, principal, looks, gives_control } in writers {
            let fact = json!({"principal": principal, "looks": looks, "gives_control": gives_control});
            facts.insert((*name).to_owned(), fact);
        }
        names.insert(service.to_owned(), writers.iter().map(|writer| writer.name).collect());
    }
    json!({"locals": {"writer": facts, "writers_of": names}})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::registry;

    #[test]
    fn every_name_is_a_service() {
        for (name, _) in WRITERS {
            assert!(registry::row(name).is_some() || !name.starts_with("aws_sqs"), "{name}");
        }
    }

    #[test]
    fn each_writer_is_listed_once() {
        let names = ["aws_sqs_vpc", "aws_sqs_control_tower", "aws_sqs_fdr"].map(str::to_owned);
        let names: Vec<&str> = of(&names).iter().map(|writer| writer.name).collect();
        assert_eq!(names, ["CloudTrail", "Config", "LogDelivery"]);
    }
}
