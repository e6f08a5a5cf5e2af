//! The template's parts while they are put together.

use serde_json::{Map, Value, json};

use super::names::Names;

/// Parts of a template, filled by one queue after the other.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub(super) names: Names,
    pub(super) parameters: Map<String, Value>,
    pub(super) resources: Map<String, Value>,
    pub(super) outputs: Map<String, Value>,
    pub(super) notes: Vec<String>,
}

/// The statements of a policy for a queue, with the template's references.
#[derive(Debug)]
pub(super) struct Reads {
    pub(super) queue: Value,
    pub(super) dead_letters: Value,
    pub(super) objects: Vec<Value>,
    pub(super) buckets: Vec<Value>,
}

/// The tags of everything that costs money or grants access, by which its owner finds it.
pub(super) fn tags() -> Value {
    json!([{"Key": "usedBy", "Value": "aws-to-devo"}])
}

pub(super) fn arn_of(id: &str) -> Value {
    json!({"Fn::GetAtt": [id, "Arn"]})
}

/// A resource that an update does not delete; `deletion` is its policy when the stack is deleted.
pub(super) fn kept(kind: &str, deletion: &str, properties: Value) -> Value {
    json!({
        "Type": kind,
        "DeletionPolicy": deletion,
        "UpdateReplacePolicy": "Retain",
        "Properties": properties,
    })
}
