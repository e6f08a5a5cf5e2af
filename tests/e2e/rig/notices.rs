//! The messages with which AWS and CrowdStrike announce objects, written by hand.

use serde_json::{Value, json};

use crate::rig::aws;

/// An S3 event notification that names `keys`, each form-URL-encoded as in S3.
pub fn s3_created(bucket: &str, keys: &[&str]) -> String {
    s3_event("ObjectCreated:Put", bucket, keys)
}

pub fn s3_event(name: &str, bucket: &str, keys: &[&str]) -> String {
    let records: Vec<_> = keys.iter().map(|key| s3_record(name, bucket, key)).collect();
    json!({ "Records": records }).to_string()
}

/// The same of one object, with its size and ETag, as S3 itself writes it.
pub fn s3_created_as(bucket: &str, key: &str, size: usize, etag: &str) -> String {
    let mut record = s3_record("ObjectCreated:Put", bucket, key);
    record["s3"]["object"]["size"] = size.into();
    record["s3"]["object"]["eTag"] = etag.into();
    json!({ "Records": [record] }).to_string()
}

/// S3's message when a notification is set up.
pub fn s3_test_event(bucket: &str) -> String {
    json!({"Service": "Amazon S3", "Event": "s3:TestEvent", "Time": "2026-11-21T10:00:00.000Z", "Bucket": bucket,
           "RequestId": "5582815E1AEA5ADF", "HostId": "8cLeGAmw098X5cv4Zkwcmo8vvZa3eH3eKxsPzbB9wrR"})
    .to_string()
}

/// An EventBridge event; its key is not encoded.
pub fn eventbridge(detail_type: &str, bucket: &str, key: &str) -> String {
    json!({
        "version": "0", "id": "17793124-05d4-b198-2fde-7ededc63b103", "detail-type": detail_type,
        "source": "aws.s3", "account": "123456789012", "time": "2026-11-21T10:00:00Z", "region": aws::REGION,
        "resources": [format!("arn:aws:s3:::{bucket}")],
        "detail": {
            "version": "0", "bucket": {"name": bucket},
            "object": {"key": key, "size": 5, "etag": "b1946ac92492d2347c6235b4d2611184", "sequencer": "00617F08299329D189"},
            "request-id": "N4N7GDK58NMKJ12R", "requester": "123456789012", "reason": "PutObject"
        }
    })
    .to_string()
}

/// CrowdStrike's own message; its paths are not encoded.
pub fn fdr(bucket: &str, prefix: &str, files: &[(&str, usize)]) -> String {
    let total: usize = files.iter().map(|f| f.1).sum();
    let files: Vec<_> = files.iter().map(fdr_file).collect();
    json!({
        "cid": "0123456789abcdef0123456789abcdef", "timestamp": 1492726639137u64, "fileCount": files.len(),
        "totalSize": total, "bucket": bucket, "pathPrefix": prefix, "files": files
    })
    .to_string()
}

/// CloudTrail's own message, which it publishes to a topic.
pub fn cloudtrail_delivery(bucket: &str, keys: &[&str]) -> String {
    json!({"s3Bucket": bucket, "s3ObjectKey": keys}).to_string()
}

/// AWS Config's own message.
pub fn config_delivery(bucket: &str, key: &str) -> String {
    json!({"s3Bucket": bucket, "s3ObjectKey": key, "notificationCreationTime": "2026-11-21T10:00:00.000Z",
           "messageType": "ConfigurationHistoryDeliveryCompleted", "recordVersion": "1.1"})
    .to_string()
}

/// AWS Config's message of a change that is too large for one.
pub fn config_oversized(bucket: &str, key: &str) -> String {
    json!({"configurationItemSummary": {"resourceId": "i-1"}, "messageType": "OversizedConfigurationItemChangeNotification",
           "s3DeliverySummary": {"s3BucketLocation": format!("{bucket}/{key}"), "errorCode": null, "errorMessage": null},
           "notificationCreationTime": "2026-11-21T10:00:00.000Z", "recordVersion": "1.0"})
    .to_string()
}

fn s3_record(name: &str, bucket: &str, key: &str) -> Value {
    let encoded = aws::encode(key, "/").replace("%20", "+");
    let mut object = json!({"key": encoded, "sequencer": "0055AED6DCD90281E5"});
    if name.starts_with("ObjectCreated") {
        // Not known here, as with some servers that stand in for S3.
        object["size"] = 0.into();
        object["eTag"] = "d41d8cd98f00b204e9800998ecf8427e".into();
    }
    json!({
        "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": aws::REGION,
        "eventTime": "2026-11-21T10:00:00.000Z", "eventName": name,
        "s3": {
            "s3SchemaVersion": "1.0", "configurationId": "it",
            "bucket": {"name": bucket, "arn": format!("arn:aws:s3:::{bucket}")},
            "object": object
        }
    })
}

fn fdr_file(&(path, size): &(&str, usize)) -> Value {
    json!({"path": path, "size": size, "checksum": "69fe068dd7d115ebdc21ed4181b4cd79"})
}
