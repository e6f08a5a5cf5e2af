//! Objects of every service, and their expected frames, each computed independently.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};

use crate::rig::frames::{Frame, frame};

pub const VPC_HEADER: &str = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets \
                              bytes start end action log-status";

/// An object, and its expected records.
#[derive(Clone)]
pub struct Object {
    pub key: String,
    pub bytes: Vec<u8>,
    pub frames: Vec<Frame>,
}

/// CloudTrail: one document; the fourth level of the tag is the event's source.
pub fn cloudtrail(label: &str, events: usize) -> Object {
    let key = format!(
        "AWSLogs/123456789012/CloudTrail/us-east-1/2026/11/21/123456789012_CloudTrail_{label}.json.gz"
    );
    let sources = ["s3", "ec2", "signin", "application-autoscaling"];
    let event = |i: usize| cloudtrail_event(label, i, sources[i % sources.len()]);
    let mut records: Vec<_> = (0..events).map(event).collect();
    let mut frames: Vec<_> =
        (0..events).map(|i| cloudtrail_frame(&records[i], sources[i % sources.len()])).collect();
    let insight = format!(
        r#"{{"eventVersion":"1.07","eventSource":"ec2.amazonaws.com","eventCategory":"Insight","eventID":"{label}-insight"}}"#
    );
    frames.push(frame("cloud.aws.cloudtrail.insights", &insight));
    records.push(insight);
    Object { key, bytes: gzip(format!(r#"{{"Records":[{}]}}"#, records.join(",")).as_bytes()), frames }
}

/// VPC flow: a header line, then a line per flow; no line feed at the end.
pub fn vpc(label: &str, flows: usize) -> Object {
    let key = format!(
        "AWSLogs/123456789012/vpcflowlogs/us-east-1/2026/11/21/123456789012_vpcflowlogs_{label}.log.gz"
    );
    let line = |i| {
        format!(
            "2 123456789012 eni-{label}-{i} 10.0.0.{} 10.1.0.1 443 {i} 6 20 4249 1418530010 1418530070 ACCEPT OK",
            i % 250
        )
    };
    let lines: Vec<_> = (0..flows).map(line).collect();
    let text = format!("{VPC_HEADER}\n{}", lines.join("\n"));
    Object { key, bytes: gzip(text.as_bytes()), frames: frames("cloud.aws.vpc.flow", &lines) }
}

/// S3 access: plain lines.
pub fn s3_access(label: &str, requests: usize) -> Object {
    let key = format!("access/2026-11-21-10-00-00-{:0>16}", label.to_uppercase());
    let line = |i| {
        format!(
            r#"79a59df900b949e5 logs-{label} [21/Nov/2026:10:00:38 +0000] 192.0.2.3 79a59df9 {i} REST.GET.VERSIONING - "GET /x?versioning HTTP/1.1" 200 - 113 - 7 - "-" "S3Console/0.4, a ""quoted"" agent" - TLSv1.2"#
        )
    };
    let lines: Vec<_> = (0..requests).map(line).collect();
    Object { key, bytes: (lines.join("\n") + "\n").into_bytes(), frames: frames("web.aws.s3.access", &lines) }
}

/// WAF: JSON lines.
pub fn waf(label: &str, requests: usize) -> Object {
    let key = format!("AWSLogs/123456789012/WAFLogs/us-east-1/acl/2026/11/21/10/00/aws-waf-{label}.log.gz");
    let line = |i| {
        format!(
            r#"{{"timestamp":1669549802503,"formatVersion":1,"webaclId":"arn:aws:wafv2:{label}","action":"BLOCK","httpRequest":{{"clientIp":"84.46.249.194","uri":"/a\"b\\c","args":"q=grün&n=\u00fc","requestId":"{i}"}}}}"#
        )
    };
    let lines: Vec<_> = (0..requests).map(line).collect();
    let text = lines.join("\n") + "\n";
    Object { key, bytes: gzip(text.as_bytes()), frames: frames("cloud.aws.waf.logs", &lines) }
}

/// Umbrella: CSV without a header; a value with line feeds in quotes is one record.
pub fn umbrella(folder: &str, table: &str) -> Object {
    let record = |i: usize| {
        let note = if i.is_multiple_of(4) { "two\nlines, \"\"quoted\"\"" } else { "Malware, Phishing" };
        format!("\"2026-11-21 10:00:{:02}\",\"{folder}\",\"10.0.0.{i}\",\"{note}\",\"é\"", i % 60)
    };
    let records: Vec<_> = (0..20).map(record).collect();
    Object {
        key: format!("2512345_ab12cd34/{folder}/2026-11-21/2026-11-21-10-00-9f3c.csv.gz"),
        bytes: gzip((records.join("\r\n") + "\r\n").as_bytes()),
        frames: frames(&format!("sig.cisco.umbrella.{table}"), &records),
    }
}

/// CloudFront: two lines about the file, then a line per request.
pub fn cloudfront(tag: &str) -> Object {
    let line = |i| {
        format!("2026-11-21\t10:00:{:02}\tFRA56-P1\t{i}\t192.0.2.7\tGET\tshop.example\t/#a\t200\t-", i % 60)
    };
    let lines: Vec<_> = (0..20).map(line).collect();
    let text = format!("#Version: 1.0\n#Fields: date time x-edge-location sc-bytes\n{}\n", lines.join("\n"));
    Object {
        key: "cdn/E2EXAMPLE1234.2026-11-21-10.ab12cd34.gz".to_owned(),
        bytes: gzip(text.as_bytes()),
        frames: frames(tag, &lines),
    }
}

/// CrowdStrike FDR: JSON lines of about 700 bytes.
pub fn fdr(label: &str, events: usize) -> Object {
    let lines: Vec<_> = (0..events).map(|i| fdr_event(label, i)).collect();
    let text = lines.join("\n") + "\n";
    Object {
        key: format!("data/{label}/part-00000.gz"),
        bytes: gzip(text.as_bytes()),
        frames: frames("edr.crowdstrike.cannon", &lines),
    }
}

/// Lines of one tag.
pub fn frames(tag: &str, lines: &[String]) -> Vec<Frame> {
    lines.iter().map(|line| frame(tag, line)).collect()
}

/// The frames of several objects.
pub fn all_frames(objects: &[Object]) -> Vec<Frame> {
    objects.iter().flat_map(|o| o.frames.iter().cloned()).collect()
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn fdr_event(label: &str, i: usize) -> String {
    let hash = (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!(
        concat!(
            r#"{{"event_simpleName":"ProcessRollup2","id":"{label}-{i}","aid":"{hash:016x}{hash:016x}","aip":"44.234.227.{octet}","#,
            r#""event_platform":"Win","ProcessCreateFlags":"525324","IntegrityLevel":"16384","ParentProcessId":"{i}","TokenType":"2","#,
            r#""SHA256HashData":"{hash:016x}{hash:016x}{hash:016x}{hash:016x}","ParentBaseFileName":"services.exe","UserSid":"S-1-5-19","#,
            r#""ImageFileName":"\\Device\\HarddiskVolume1\\Windows\\System32\\svchost.exe","CommandLine":"C:\\Windows\\System32\\svchost.exe -k LocalService -p -s {hash:x}","#,
            r#""Tags":"41, 53, 54, 55, 185, 874, 924, 10445360464024, 10445360464025, 10445360464026","ConfigBuild":"1007.3.0015807.1","#,
            r#""EffectiveTransmissionClass":"3","SessionId":"0","timestamp":"16610277{i:05}","name":"ProcessRollup2V19"}}"#
        ),
        label = label,
        i = i,
        hash = hash,
        octet = i % 250
    )
}

/// Every third event has a line feed between tokens, which becomes a space.
fn cloudtrail_event(label: &str, i: usize, source: &str) -> String {
    let gap = if i.is_multiple_of(3) { "\n" } else { "" };
    format!(
        r#"{{"eventVersion":"1.08",{gap}"userIdentity":{{"type":"IAMUser","userName":"an \"odd\" näme, ]}}"}},"eventSource":"{source}.amazonaws.com","eventName":"Describe","requestParameters":null,"resources":[{{"a":[1,2,{{}}]}}],"eventID":"{label}-{i}"}}"#
    )
}

fn cloudtrail_frame(record: &str, source: &str) -> Frame {
    let tag = format!("cloud.aws.cloudtrail.{}", source.replace('-', "_"));
    frame(&tag, record.replace('\n', " "))
}
