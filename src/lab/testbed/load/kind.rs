//! The kinds of logs that can be made.

/// The content of the objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// CrowdStrike FDR: JSON lines of 0.5 to 2 KB.
    Fdr,
    /// `{"Records":[…]}` on one line.
    CloudTrail,
    /// Text lines of about 110 bytes after a header line.
    Vpc,
}

impl Kind {
    /// The content that can be generated for a service, by its name in the registry.
    pub fn of_service(name: &str) -> Option<Kind> {
        match name {
            "aws_sqs_fdr" | "aws_sqs_fdr_large" => Some(Kind::Fdr),
            "aws_sqs_cloudtrail" => Some(Kind::CloudTrail),
            "aws_sqs_vpc" => Some(Kind::Vpc),
            _ => None,
        }
    }
}
