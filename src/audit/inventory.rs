//! S3 Inventory: a list of a bucket's objects, written by S3, instead of a listing.
//!
//! Format: "Amazon S3 Inventory list" of the Amazon S3 user guide: `manifest.json` names files of CSV (gzip, no header,
//! percent-encoded keys, columns as in `fileSchema`) or Parquet. ORC is refused.

use std::time::SystemTime;

use jiff::civil::DateTime;
use jiff::{Timestamp, tz::TimeZone};
use serde::Deserialize;
use serde_json::Value;

use super::walk::{Timed, Window};
use crate::aws::{GetObject, Listed, S3};
use crate::base::buffers::Buffer;
use crate::base::limits::{INVENTORY_MANIFEST_BYTES_MAX, INVENTORY_PARQUET_BYTES_MAX, PART_BYTES};
use crate::decode::{Bounds, Decoder, Format, Scratch};

/// The content of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The bucket whose objects are listed.
    pub bucket: String,
    /// The time when S3 began to write it.
    pub created: Option<Timestamp>,
    pub columns: Columns,
    /// The files, in the bucket of the manifest.
    pub files: Vec<File>,
}

/// A file of an inventory.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct File {
    pub key: String,
    /// Its size in bytes. None if the manifest does not say.
    pub size: Option<u64>,
}

/// The format of the files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Columns {
    /// CSV, with the positions of the columns.
    Csv(CsvColumns),
    /// Parquet, which names its columns.
    Parquet,
}

/// Positions of columns, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CsvColumns {
    key: usize,
    size: usize,
    modified: usize,
    etag: usize,
    storage: Option<usize>,
    latest: Option<usize>,
    marker: Option<usize>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    source_bucket: String,
    #[serde(default)]
    creation_timestamp: String,
    file_format: String,
    #[serde(default)]
    file_schema: String,
    files: Vec<File>,
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// If it is not a manifest, or its files have an unsupported format.
    pub fn read(bytes: &[u8]) -> Result<Manifest, String> {
        let raw: Raw =
            serde_json::from_slice(bytes).map_err(|error| format!("it is not a manifest: {error}"))?;
        let columns = match raw.file_format.to_ascii_uppercase().as_str() {
            "CSV" => Columns::Csv(CsvColumns::of(&raw.file_schema)?),
            "PARQUET" => Columns::Parquet,
            other => {
                return Err(format!("its files are {other}: configure the inventory as CSV or Parquet"));
            }
        };
        let milliseconds = raw.creation_timestamp.trim().parse().ok();
        Ok(Manifest {
            bucket: raw.source_bucket,
            created: milliseconds.and_then(|time| Timestamp::from_millisecond(time).ok()),
            columns,
            files: raw.files,
        })
    }

    /// Says what the inventory cannot show of a window, and what to do. None if it was created after the window.
    pub fn gap(&self, window: Window, now: Timestamp) -> Option<String> {
        const ELSE: &str = "or audit without --inventory";
        let Window { from, to } = window;
        let Some(created) = self.created else {
            return Some(format!(
                "the inventory's manifest has no creationTimestamp, so nothing says up to when it lists objects: name \
                 a manifest as S3 wrote it, {ELSE}"
            ));
        };
        if created > now {
            return Some(format!(
                "the inventory was created at {created}, which is in the future (it is {now}), so nothing says up to \
                 when it lists objects: set this machine's clock, name a manifest as S3 wrote it, {ELSE}"
            ));
        }
        if created >= to {
            return None;
        }
        let from = from.max(created);
        Some(format!(
            "the inventory was created at {created} and shows nothing of the time from {from} to {to}: end the window \
             before that (--to {created}, with an earlier --from), wait for the next inventory, {ELSE}"
        ))
    }

    /// Says that none of the listed keys belongs to an input, and what to do.
    pub fn gap_of(&self, input: &str) -> String {
        format!(
            "the inventory of the bucket {} lists no object of the services of inputs.{input}: if they are elsewhere, \
             name the inventory of their bucket and prefix, or audit the other inputs alone (--input)",
            self.bucket
        )
    }
}

impl CsvColumns {
    fn of(schema: &str) -> Result<CsvColumns, String> {
        let names: Vec<&str> = schema.split(',').map(str::trim).collect();
        let place = |name: &str| names.iter().position(|other| other.eq_ignore_ascii_case(name));
        let needed = |name: &str| {
            place(name)
                .ok_or_else(|| format!("it has no {name}: add the field to the inventory's configuration"))
        };
        Ok(CsvColumns {
            key: needed("Key")?,
            size: needed("Size")?,
            modified: needed("LastModifiedDate")?,
            etag: needed("ETag")?,
            storage: place("StorageClass"),
            latest: place("IsLatest"),
            marker: place("IsDeleteMarker"),
        })
    }

    /// Reads the object of a line. None for an older version or a delete marker.
    ///
    /// # Errors
    /// If the line does not have this form.
    fn object(&self, line: &[u8]) -> Result<Option<Listed>, String> {
        let values = values(line)?;
        let value = |place: usize| values.get(place).map(String::as_str).unwrap_or_default();
        let is = |place: Option<usize>, word: &str| {
            place.is_some_and(|place| value(place).eq_ignore_ascii_case(word))
        };
        if is(self.latest, "false") || is(self.marker, "true") {
            return Ok(None);
        }
        let key = value(self.key);
        let decoded = percent_encoding::percent_decode_str(&key.replace('+', " "))
            .decode_utf8()
            .map(|key| key.into_owned());
        let key = decoded.map_err(|_| format!("the key {key:?} is not UTF-8"))?;
        if key.is_empty() {
            return Err("a line has no key".to_owned());
        }
        let storage = self.storage.map(value).unwrap_or_default();
        let size = value(self.size);
        let size =
            size.parse().map_err(|_| format!("the size of {key:?} is {size:?}, which is not a number"))?;
        listed(key, size, value(self.etag), value(self.modified), storage).map(Some)
    }
}

/// Splits a line of CSV. Values may be in double quotes; a quote within quotes is doubled.
fn values(line: &[u8]) -> Result<Vec<String>, String> {
    let text = std::str::from_utf8(line).map_err(|_| "a line is not UTF-8".to_owned())?;
    let (mut values, mut value, mut quoted) = (Vec::new(), String::new(), false);
    let mut chars = text.trim_end_matches(['\r', '\n']).chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                value.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => values.push(std::mem::take(&mut value)),
            other => value.push(other),
        }
    }
    if quoted {
        return Err("a line ends within quotes".to_owned());
    }
    values.push(value);
    Ok(values)
}

/// Reads the object of a Parquet row, given as JSON. None for an older version or a delete marker.
fn object_of_row(row: &[u8]) -> Result<Option<Listed>, String> {
    let row: Value = serde_json::from_slice(row).map_err(|error| error.to_string())?;
    if row["is_latest"] == false || row["is_delete_marker"] == true {
        return Ok(None);
    }
    let text = |name: &str| row[name].as_str().unwrap_or_default();
    if text("key").is_empty() {
        return Err("a row has no key".to_owned());
    }
    for needed in ["size", "last_modified_date", "e_tag"] {
        if row.get(needed).is_none() {
            return Err(format!("it has no {needed}: add the field to the inventory's configuration"));
        }
    }
    let size = row["size"].as_u64();
    let size = size.ok_or_else(|| {
        format!("the size of {:?} is {}, which is not a number of bytes", text("key"), row["size"])
    })?;
    let modified = match &row["last_modified_date"] {
        Value::Number(milliseconds) => {
            let time = milliseconds.as_i64().and_then(|time| Timestamp::from_millisecond(time).ok());
            time.map(|time| time.to_string()).unwrap_or_default()
        }
        _ => text("last_modified_date").to_owned(),
    };
    listed(text("key").to_owned(), size, text("e_tag"), &modified, text("storage_class")).map(Some)
}

fn listed(key: String, size: u64, etag: &str, modified: &str, storage: &str) -> Result<Listed, String> {
    let text = modified.trim();
    // Other writers of Parquet than S3 may leave out the zone.
    let time = text
        .parse()
        .or_else(|_| text.parse::<DateTime>()?.to_zoned(TimeZone::UTC).map(|time| time.timestamp()));
    let time: Timestamp =
        time.map_err(|_| format!("the last change of {key:?} is {modified:?}, which is not a time"))?;
    let archived = matches!(storage, "GLACIER" | "DEEP_ARCHIVE");
    Ok(Listed {
        key,
        size,
        etag: etag.trim_matches('"').to_owned(),
        modified: SystemTime::from(time),
        archived,
    })
}

/// A reader of one file, chunk by chunk.
pub struct Reader<'r> {
    columns: &'r Columns,
    decoder: Decoder,
    scratch: Scratch,
}

impl<'r> Reader<'r> {
    /// Makes a reader for a file of so many bytes as stored.
    pub fn new(columns: &'r Columns, file_bytes: u64) -> Reader<'r> {
        let format = match columns {
            Columns::Csv(_) => Format::Csv { header_lines: 0 },
            Columns::Parquet => Format::Parquet,
        };
        let bounds = Bounds {
            held_bytes_max: INVENTORY_PARQUET_BYTES_MAX,
            object_bytes: file_bytes,
            ..Bounds::default()
        };
        Reader { columns, decoder: Decoder::new(format, bounds), scratch: Scratch::new() }
    }

    /// Reads the next bytes of the file; `last` marks the end.
    ///
    /// # Errors
    /// If they do not have the format that the manifest names.
    pub fn push(&mut self, chunk: &[u8], last: bool, found: &mut dyn FnMut(Listed)) -> Result<(), String> {
        let (columns, mut wrong) = (self.columns, None);
        let decoded =
            self.decoder.push(chunk, last, &mut self.scratch, &mut |record: crate::decode::Record<'_>| {
                let object = match columns {
                    Columns::Csv(columns) => columns.object(record.bytes),
                    Columns::Parquet => object_of_row(record.bytes),
                };
                match object {
                    Ok(object) => object.into_iter().for_each(&mut *found),
                    Err(why) => wrong = Some(why),
                }
            });
        decoded.map_err(|error| error.to_string())?;
        wrong.map_or(Ok(()), Err)
    }
}

/// Reads the manifest at `bucket` and `key`.
///
/// # Errors
/// If it cannot be read, or is not a manifest.
pub fn manifest(s3: &S3, bucket: &str, key: &str) -> Result<Manifest, String> {
    let mut bytes = Buffer::default();
    s3.get(&range(bucket, key, 0, INVENTORY_MANIFEST_BYTES_MAX as u64, None), None, &mut bytes)
        .map_err(|error| error.to_string())?;
    Manifest::read(&bytes).map_err(|why| format!("s3://{bucket}/{key}: {why}"))
}

/// Reads all files of the manifest, which are in `bucket`. `seen` gets the key of every object, `found` the objects of the
/// window in portions.
///
/// # Errors
/// If a file cannot be read.
pub fn objects(
    s3: &S3,
    bucket: &str,
    manifest: &Manifest,
    window: Window,
    seen: &mut dyn FnMut(&str),
    found: &mut dyn FnMut(Vec<Timed>) -> Result<(), super::Error>,
) -> Result<(), super::Error> {
    for File { key, size } in &manifest.files {
        let wrong = |why: String| super::Error::Inventory(format!("s3://{bucket}/{key}: {why}"));
        let (mut reader, mut start, mut etag) = (None, 0, None::<String>);
        loop {
            let mut bytes = Buffer::default();
            let part =
                s3.get(&range(bucket, key, start, PART_BYTES as u64, etag.as_deref()), None, &mut bytes)?;
            start += bytes.len() as u64;
            // A part of a file may end with a line, and would look whole.
            if let Some(size) = size.filter(|size| *size != part.total) {
                return Err(wrong(format!(
                    "it has {} bytes, but {size} according to the manifest: it was replaced or cut off",
                    part.total
                )));
            }
            let last = start >= part.total || bytes.is_empty();
            etag = Some(part.etag);
            let mut some = Vec::new();
            let reader = reader.get_or_insert_with(|| Reader::new(&manifest.columns, part.total));
            let mut take = |listed: Listed| {
                seen(&listed.key);
                some.extend(window.take(listed));
            };
            reader.push(&bytes, last, &mut take).map_err(wrong)?;
            drop(bytes);
            found(some)?;
            if last {
                break;
            }
        }
    }
    Ok(())
}

fn range<'a>(
    bucket: &'a str,
    key: &'a str,
    start: u64,
    len: u64,
    if_match: Option<&'a str>,
) -> GetObject<'a> {
    GetObject { bucket, key, version_id: None, etag: None, by_key: false, start, len, if_match, size: None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MANIFEST: &str = r#"{"sourceBucket": "logs", "destinationBucket": "arn:aws:s3:::inventory", "version": "2016-11-30",
        "creationTimestamp": "1764374400000", "fileFormat": "CSV",
        "fileSchema": "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size, LastModifiedDate, ETag, StorageClass",
        "files": [{"key": "i/logs/data/1.csv.gz", "size": 7, "MD5checksum": "f1"}]}"#;

    fn read(manifest: &Manifest, bytes: &[u8], cut: usize) -> Result<Vec<Listed>, String> {
        let (mut reader, mut found) = (Reader::new(&manifest.columns, bytes.len() as u64), Vec::new());
        let (first, rest) = bytes.split_at(cut.min(bytes.len()));
        reader.push(first, false, &mut |object| found.push(object))?;
        reader.push(rest, true, &mut |object| found.push(object))?;
        Ok(found)
    }

    #[test]
    fn a_manifest_in_the_documented_form() {
        let manifest = Manifest::read(MANIFEST.as_bytes()).unwrap();
        assert_eq!(
            (manifest.bucket.as_str(), manifest.files.as_slice()),
            ("logs", &[File { key: "i/logs/data/1.csv.gz".to_owned(), size: Some(7) }][..])
        );
        assert_eq!(manifest.created, Some("2025-11-29T00:00:00Z".parse().unwrap()));
        for (from, to, says) in [
            ("CSV", "ORC", "its files are ORC"),
            ("ETag, ", "", "it has no ETag"),
            ("sourceBucket", "bucket", "it is not a manifest"),
        ] {
            let error = Manifest::read(MANIFEST.replace(from, to).as_bytes()).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
        assert_eq!(
            Manifest::read(MANIFEST.replace("CSV", "Parquet").as_bytes()).unwrap().columns,
            Columns::Parquet
        );
    }

    #[test]
    fn an_inventory_shows_nothing_of_what_came_after_it() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let now = at("2025-12-01T12:00:00Z");
        let mut manifest = Manifest::read(MANIFEST.as_bytes()).unwrap();
        let gap = |manifest: &Manifest, from: &str, to: &str| {
            manifest.gap(Window { from: at(from), to: at(to) }, now).unwrap_or_default()
        };
        assert_eq!(gap(&manifest, "2025-11-28T00:00:00Z", "2025-11-29T00:00:00Z"), "");
        for (from, to, says) in [
            ("2025-11-28T00:00:00Z", "2025-11-29T00:00:01Z", "2025-11-29T00:00:00Z to 2025-11-29T00:00:01Z"),
            ("2025-11-30T11:30:00Z", "2025-12-01T11:30:00Z", "2025-11-30T11:30:00Z to 2025-12-01T11:30:00Z"),
        ] {
            let gap = gap(&manifest, from, to);
            assert!(gap.contains(says) && gap.contains("--to 2025-11-29T00:00:00Z"), "{gap}");
        }
        manifest.created = Some(at("2025-12-01T12:00:01Z"));
        assert!(gap(&manifest, "2025-11-28T00:00:00Z", "2025-11-29T00:00:00Z").contains("in the future"));
        manifest.created = None;
        assert!(gap(&manifest, "2025-11-28T00:00:00Z", "2025-11-29T00:00:00Z").contains("creationTimestamp"));
    }

    #[test]
    fn lines_of_csv() {
        let manifest = Manifest::read(MANIFEST.as_bytes()).unwrap();
        let text = concat!(
            "\"logs\",\"a+b%2B%C3%A9/x.gz\",\"\",\"true\",\"false\",\"17\",\"2026-11-29T10:00:00.000Z\",\"e1\",\"STANDARD\"\n",
            "\"logs\",\"old\",\"v\",\"false\",\"false\",\"17\",\"2026-11-29T10:00:00.000Z\",\"e1\",\"STANDARD\"\n",
            "\"logs\",\"gone\",\"v\",\"true\",\"true\",\"\",\"2026-11-29T10:00:00.000Z\",\"\",\"\"\r\n",
            "\"logs\",\"cold\",\"\",\"true\",\"false\",\"1\",\"2026-11-29T10:00:00.000Z\",\"\"\"e2\"\"\",\"GLACIER\"",
        );
        for cut in [0, 30, text.len()] {
            let found = read(&manifest, text.as_bytes(), cut).unwrap();
            let told: Vec<_> =
                found.iter().map(|o| (o.key.as_str(), o.size, o.etag.as_str(), o.archived)).collect();
            assert_eq!(told, [("a b+é/x.gz", 17, "e1", false), ("cold", 1, "e2", true)]);
        }
        let time = "2026-11-29T10:00:00.000Z";
        for bad in [
            "\"logs\",\"k\",\"\",\"true\",\"false\",\"1\",\"yesterday\",\"e\",\"\"\n",
            // An object of 0 bytes would count as skipped.
            &format!("\"logs\",\"k\",\"\",\"true\",\"false\",\"\",\"{time}\",\"e\",\"\"\n"),
            &format!("\"logs\",\"k\",\"\",\"true\",\"false\",\"-1\",\"{time}\",\"e\",\"\"\n"),
            &format!("\"logs\",\"\",\"\",\"true\",\"false\",\"1\",\"{time}\",\"e\",\"\"\n"),
            &format!("\"logs\",\"k%FF\",\"\",\"true\",\"false\",\"1\",\"{time}\",\"e\",\"\"\n"),
            "\"logs\",\"k\"\n",
            "<html>\n",
        ] {
            assert!(read(&manifest, bad.as_bytes(), 0).is_err(), "{bad}");
        }
    }

    #[test]
    fn rows_of_parquet_as_json() {
        let row = |text: &str| object_of_row(text.as_bytes());
        let good = r#"{"bucket":"logs","key":"a","size":3,"last_modified_date":"2026-11-29T10:00:00.000Z","e_tag":"e","is_latest":true,"is_delete_marker":false,"storage_class":"DEEP_ARCHIVE"}"#;
        let object = row(good).unwrap().unwrap();
        assert_eq!((object.key.as_str(), object.size, object.archived), ("a", 3, true));
        let milliseconds = good.replace("\"2026-11-29T10:00:00.000Z\"", "1795946400000");
        assert_eq!(row(&milliseconds).unwrap().unwrap().modified, object.modified);
        let without_zone = good.replace(".000Z", ".000");
        assert_eq!(row(&without_zone).unwrap().unwrap().modified, object.modified);
        assert_eq!(row(&good.replace("\"is_latest\":true", "\"is_latest\":false")).unwrap(), None);
        for (from, to) in [
            ("\"e_tag\"", "\"x\""),
            ("\"key\"", "\"x\""),
            ("\"2026-11-29T10:00:00.000Z\"", "null"),
            (":3,", ":null,"),
            (":3,", ":-3,"),
        ] {
            assert!(row(&good.replace(from, to)).is_err(), "{from}");
        }
    }

    /// A file that pyarrow wrote, with the columns and types of S3's own: two row groups, snappy.
    #[cfg(feature = "parquet")]
    #[test]
    fn a_parquet_file_of_another_writer() {
        let text = MANIFEST.replace("\"CSV\"", "\"Parquet\"");
        let manifest = Manifest::read(text.as_bytes()).unwrap();
        let file = include_bytes!("../../testdata/aws/inventory.parquet");
        for cut in [0, 1000, file.len()] {
            let found = read(&manifest, file, cut).unwrap();
            let told: Vec<_> = found.iter().map(|o| (o.key.as_str(), o.size, o.archived)).collect();
            let key = "AWSLogs/1/vpcflowlogs/us-east-1/2026/11/21/a b+c%2Fé.log.gz";
            assert_eq!(told, [(key, 17, false), ("cold.log.gz", 1 << 40, true)]);
            let time: Timestamp = "2026-11-21T10:00:00Z".parse().unwrap();
            assert!(found.iter().all(|object| object.modified == SystemTime::from(time)));
        }
        assert!(read(&manifest, &file[..file.len() - 9], 0).is_err());
    }

    proptest! {
        /// Naive version: every value in quotes, quotes doubled.
        #[test]
        fn quoted_values_come_back(all in proptest::collection::vec("[a-z,\"é ]{0,8}", 1..6)) {
            let line: Vec<String> = all.iter().map(|value| format!("\"{}\"", value.replace('"', "\"\""))).collect();
            prop_assert_eq!(values(line.join(",").as_bytes()).unwrap(), all);
        }

        #[test]
        fn no_bytes_are_too_odd(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Manifest::read(&bytes);
            let _ = object_of_row(&bytes);
            let manifest = Manifest::read(MANIFEST.as_bytes()).unwrap();
            let _ = read(&manifest, &bytes, 7);
        }
    }
}
