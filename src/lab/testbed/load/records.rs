//! Records that compress like real ones: some values are constant, some come from a pool, some are new each time.

use std::io::Write as _;

use fastrand::Rng;

use super::Kind;
use crate::lab::testbed::scenario::templates::{HEX, fill};

/// Recurring values: hosts, hashes of known programs, users.
const POOL: usize = 400;
const VPC_HEADER: &[u8] =
    b"version account-id interface-id srcaddr dstaddr srcport dstport protocol packets \
    bytes start end action log-status\n";
const PLACES: &[&str] = &[
    "Windows\\\\System32",
    "Windows\\\\SysWOW64",
    "Program Files\\\\Google\\\\Chrome\\\\Application",
    "Program Files (x86)\\\\Microsoft\\\\Edge\\\\Application",
    "ProgramData\\\\Microsoft\\\\Windows Defender\\\\Platform",
    "Users\\\\svc_build\\\\AppData\\\\Local\\\\Temp",
];
const PROGRAMS: &[&str] = &[
    "svchost.exe",
    "chrome.exe",
    "msedge.exe",
    "powershell.exe",
    "cmd.exe",
    "conhost.exe",
    "SearchIndexer.exe",
];
const SWITCHES: &[&str] = &[
    "--type=renderer",
    "-k netsvcs -p -s Schedule",
    "--lang=en-US",
    "--device-scale-factor=1",
    "/c echo",
    "-NoProfile -ExecutionPolicy Bypass",
    "--field-trial-handle=",
    "--mojo-platform-channel-handle=",
    "--renderer-client-id=",
];
const SOURCES: &[(&str, &str)] = &[
    ("s3.amazonaws.com", "GetObject"),
    ("sts.amazonaws.com", "AssumeRole"),
    ("kms.amazonaws.com", "Decrypt"),
    ("ec2.amazonaws.com", "DescribeInstances"),
    ("dynamodb.amazonaws.com", "GetItem"),
];

/// Writes records one after another.
pub struct Records {
    kind: Kind,
    rng: Rng,
    aids: Vec<String>,
    hashes: Vec<String>,
}

impl Records {
    pub fn new(kind: Kind, mut rng: Rng) -> Records {
        let aids = (0..POOL).map(|_| hex(&mut rng, 32)).collect();
        let hashes = (0..POOL).map(|_| hex(&mut rng, 64)).collect();
        Records { kind, rng, aids, hashes }
    }

    /// Appends the record of that number, with any separator before it.
    pub fn write(&mut self, number: u64, out: &mut Vec<u8>) {
        // Writing to a Vec cannot fail.
        let _ = match self.kind {
            Kind::Fdr => self.fdr(number, out),
            Kind::CloudTrail => self.cloudtrail(number, out),
            Kind::Vpc => self.vpc(number, out),
        };
    }

    /// The text after the last record.
    pub fn end(&self) -> &'static [u8] {
        if self.kind == Kind::CloudTrail { b"]}" } else { b"" }
    }

    fn fdr(&mut self, number: u64, out: &mut Vec<u8>) -> std::io::Result<()> {
        let event =
            ["ProcessRollup2", "DnsRequest", "NetworkConnectIP4", "NewExecutableWritten"][self.below(4)];
        let aid = self.aids[self.rng.usize(..POOL)].clone();
        let id = hex(&mut self.rng, 32);
        write!(
            out,
            "{{\"event_simpleName\":\"{event}\",\"name\":\"{event}V4\",\"aid\":\"{aid}\",\
             \"cid\":\"5c0e8a7d3f1b4926ae7d05c9b8f2e314\",\"aip\":\"198.51.100.{}\",\
             \"id\":\"{}-{}-{}-{}-{}\",\"timestamp\":\"{}\",\"event_platform\":\"Win\",\
             \"ConfigBuild\":\"1007.3.0019807.11\",\"ConfigStateHash\":\"{}\",\
             \"EffectiveTransmissionClass\":\"3\",\"Entitlements\":\"15\",\"ContextProcessId\":\"{}\",\
             \"ContextThreadId\":\"{}\",\"ContextTimeStamp\":\"{}.{:03}\"",
            aid.as_bytes()[0],
            &id[..8],
            &id[8..12],
            &id[12..16],
            &id[16..20],
            &id[20..],
            1_773_480_416_000 + number * 7,
            self.rng.u32(..),
            self.process_id(),
            self.process_id(),
            1_773_480_416 + number / 140,
            number % 1000,
        )?;
        match event {
            "DnsRequest" => self.dns(out)?,
            "NetworkConnectIP4" => self.network(out)?,
            _ => self.process(event, out)?,
        }
        out.extend_from_slice(b"}\n");
        Ok(())
    }

    fn dns(&mut self, out: &mut Vec<u8>) -> std::io::Result<()> {
        write!(
            out,
            ",\"DomainName\":\"edge-{}.content.example.com\",\"RequestType\":\"1\",\"QueryStatus\":\"0\",\
             \"DualRequest\":\"0\",\"InterfaceIndex\":\"{}\",\"FirstIP4Record\":\"203.0.113.{}\",\
             \"IP4Records\":\"203.0.113.{};203.0.113.{};\",\"CNAMERecords\":\"lb-{}.example.net;\"",
            self.below(5000),
            self.below(20),
            self.below(256),
            self.below(256),
            self.below(256),
            self.below(900),
        )
    }

    fn network(&mut self, out: &mut Vec<u8>) -> std::io::Result<()> {
        write!(
            out,
            ",\"LocalAddressIP4\":\"10.{}.{}.{}\",\"LocalPort\":\"{}\",\"RemoteAddressIP4\":\"203.0.113.{}\",\
             \"RemotePort\":\"443\",\"Protocol\":\"6\",\"ConnectionFlags\":\"0\",\"ConnectionDirection\":\"0\",\
             \"InContext\":\"0\",\"ContextBaseFileName\":\"{}\"",
            self.below(4),
            self.below(256),
            self.below(256),
            49152 + self.below(16384),
            self.below(256),
            PROGRAMS[self.below(PROGRAMS.len())],
        )
    }

    fn process(&mut self, event: &str, out: &mut Vec<u8>) -> std::io::Result<()> {
        let (place, program) = (PLACES[self.below(PLACES.len())], PROGRAMS[self.below(PROGRAMS.len())]);
        let hash = self.hashes[self.rng.usize(..POOL)].clone();
        let file = if event == "ProcessRollup2" { "ImageFileName" } else { "TargetFileName" };
        write!(
            out,
            ",\"{file}\":\"\\\\Device\\\\HarddiskVolume3\\\\{place}\\\\{program}\",\"SHA256HashData\":\"{hash}\",\
             \"MD5HashData\":\"{}\",\"SHA1HashData\":\"{}\",\
             \"TargetProcessId\":\"{}\",\"ParentProcessId\":\"{}\",\"RawProcessId\":\"{}\",\
             \"UserSid\":\"S-1-5-21-3623811015-3361044348-30300820-{}\",\"IntegrityLevel\":\"12288\",\
             \"TokenType\":\"1\",\"SessionId\":\"1\",\"ProcessCreateFlags\":\"525324\",\"WindowFlags\":\"128\",\
             \"ImageSubsystem\":\"3\",\"Tags\":\"25, 27, 40, 151, 874, 924, 12094627905582, 12094627906234\",\
             \"CommandLine\":\"\\\"C:\\\\{place}\\\\{program}\\\"",
            hex(&mut self.rng, 32),
            hex(&mut self.rng, 40),
            self.process_id(),
            self.process_id(),
            self.below(20_000),
            1000 + self.below(300),
        )?;
        for _ in 0..self.below(14) {
            write!(out, " {}{}", SWITCHES[self.below(SWITCHES.len())], self.below(3000))?;
        }
        out.push(b'"');
        Ok(())
    }

    fn cloudtrail(&mut self, number: u64, out: &mut Vec<u8>) -> std::io::Result<()> {
        out.extend_from_slice(if number == 0 { b"{\"Records\":[" } else { b"," });
        let (source, name) = SOURCES[self.below(SOURCES.len())];
        let (id, request) = (hex(&mut self.rng, 12), hex(&mut self.rng, 12));
        write!(
            out,
            "{{\"eventVersion\":\"1.09\",\"userIdentity\":{{\"type\":\"AssumedRole\",\
             \"principalId\":\"AROA2EXAMPLE6M2X8C4DJ:session-{0}\",\
             \"arn\":\"arn:aws:sts::111122223333:assumed-role/role-{1}/session-{0}\",\
             \"accountId\":\"111122223333\",\"accessKeyId\":\"ASIAEXAMPLE{1:09}\",\
             \"sessionContext\":{{\"sessionIssuer\":{{\"type\":\"Role\",\
             \"principalId\":\"AROA2EXAMPLE6M2X8C4DJ\",\"arn\":\"arn:aws:iam::111122223333:role/role-{1}\",\
             \"accountId\":\"111122223333\",\"userName\":\"role-{1}\"}},\"attributes\":{{\
             \"creationDate\":\"2026-03-14T09:{2:02}:00Z\",\"mfaAuthenticated\":\"false\"}}}}}},\
             \"eventTime\":\"2026-03-14T09:{2:02}:{3:02}Z\",\"eventSource\":\"{source}\",\
             \"eventName\":\"{name}\",\"awsRegion\":\"eu-west-1\",\"sourceIPAddress\":\"10.0.{4}.{5}\",\
             \"userAgent\":\"[aws-sdk-java/2.25.11 Linux/5.10 \\\"OpenJDK\\\" cfg/retry-mode#legacy]\",\
             \"requestParameters\":{{\"bucketName\":\"logs-{6}\",\"key\":\"a/b/{request}/part-{5}\",\
             \"Host\":\"logs-{6}.s3.eu-west-1.amazonaws.com\"}},\"responseElements\":null,\
             \"additionalEventData\":{{\"SignatureVersion\":\"SigV4\",\"CipherSuite\":\"TLS_AES_128_GCM_SHA256\",\
             \"bytesTransferredOut\":{7}}},\"requestID\":\"{request}\",\
             \"eventID\":\"{id}-41d3-8c1e-9a7f40c2b6d5\",\"readOnly\":true,\"resources\":[{{\
             \"type\":\"AWS::S3::Object\",\"ARNPrefix\":\"arn:aws:s3:::logs-{6}/\"}}],\
             \"eventType\":\"AwsApiCall\",\"managementEvent\":true,\"recipientAccountId\":\"111122223333\",\
             \"eventCategory\":\"Management\"}}",
            self.below(900),
            self.below(60),
            number / 60 % 60,
            number % 60,
            self.below(16),
            self.below(256),
            self.below(30),
            self.below(100_000),
        )
    }

    fn vpc(&mut self, number: u64, out: &mut Vec<u8>) -> std::io::Result<()> {
        if number == 0 {
            out.extend_from_slice(VPC_HEADER);
        }
        let start = 1_773_480_416 + number / 500;
        writeln!(
            out,
            "2 111122223333 eni-0{:015x} 10.0.{}.{} 203.0.113.{} {} {} 6 {} {} {start} {} {} OK",
            (self.below(40) as u64 + 1) * 0x0123_4567_89ab,
            self.below(16),
            self.below(256),
            self.below(256),
            49152 + self.below(16384),
            [443, 80, 53, 5432][self.below(4)],
            1 + self.below(40),
            40 + self.below(60_000),
            start + 60,
            if self.below(9) == 0 { "REJECT" } else { "ACCEPT" },
        )
    }

    /// Numbers of 15 digits that never recur.
    fn process_id(&mut self) -> u64 {
        730_000_000_000_000 + self.rng.u64(..200_000_000_000_000)
    }

    fn below(&mut self, bound: usize) -> usize {
        self.rng.usize(..bound)
    }
}

fn hex(rng: &mut Rng, length: usize) -> String {
    let mut digits = vec![0; length];
    fill(rng, HEX, &mut digits);
    String::from_utf8(digits).unwrap_or_default()
}
