//! The object's bytes: from a file, S3 or standard input.

use std::fs::File;
use std::io::{self, Read};

use crate::aws::{GetObject, S3};
use crate::base::buffers::Buffer;
use crate::base::limits::PART_BYTES;
use crate::cli::s3_place::{self, Place, s3_place};
use crate::settings::Input;

/// A piece of a file.
const CHUNK_BYTES: usize = 1 << 20;
const SCHEME: &str = "s3://";

pub struct Object {
    key: String,
    bytes: Bytes,
}

enum Bytes {
    /// `total`: 0 if it is not known.
    Read {
        reader: Box<dyn Read>,
        total: u64,
    },
    S3 {
        s3: Box<S3>,
        bucket: String,
        at: u64,
        total: Option<u64>,
        etag: String,
    },
}

pub fn is_in_s3(name: &str) -> bool {
    name.starts_with(SCHEME)
}

impl Object {
    /// Opens the object. `input` is the one that reads an object in S3.
    ///
    /// # Errors
    /// The reason why it cannot be read.
    pub fn open(name: &str, input: Option<&Input>) -> Result<Object, String> {
        if name == "-" {
            return Ok(Object {
                key: name.to_owned(),
                bytes: Bytes::Read { reader: Box::new(io::stdin()), total: 0 },
            });
        }
        if !is_in_s3(name) {
            let file = File::open(name).map_err(|error| format!("cannot read {name}: {error}"))?;
            // Zero for a pipe or a device.
            let total = file.metadata().map_or(0, |metadata| metadata.len());
            return Ok(Object { key: name.to_owned(), bytes: Bytes::Read { reader: Box::new(file), total } });
        }
        let Place { bucket, prefix: key } = s3_place(name).map_err(|error| format!("{name}: {error}"))?;
        let input = input.ok_or("an object in S3 needs --config, because its input has the credentials")?;
        let s3 = Box::new(s3_place::client(input)?);
        Ok(Object { key, bytes: Bytes::S3 { s3, bucket, at: 0, total: None, etag: String::new() } })
    }

    pub fn key(&self) -> &str {
        &self.key
    }

    /// Its length in bytes, 0 if it is not known. That of an object in S3 is known once a piece of it has been read.
    pub fn len(&self) -> u64 {
        match &self.bytes {
            Bytes::Read { total, .. } => *total,
            Bytes::S3 { total, .. } => total.unwrap_or_default(),
        }
    }

    /// Reads the next bytes; empty at the end.
    ///
    /// # Errors
    /// The reason why no more can be read.
    pub fn next(&mut self) -> Result<Vec<u8>, String> {
        match &mut self.bytes {
            Bytes::Read { reader, .. } => {
                let mut chunk = Vec::new();
                let read = reader.take(CHUNK_BYTES as u64).read_to_end(&mut chunk);
                read.map(|_| chunk).map_err(|error| format!("cannot read further: {error}"))
            }
            Bytes::S3 { total: Some(total), at, .. } if *at >= *total => Ok(Vec::new()),
            Bytes::S3 { s3, bucket, at, total, etag } => {
                let get = GetObject {
                    bucket,
                    key: &self.key,
                    version_id: None,
                    etag: None,
                    by_key: false,
                    start: *at,
                    len: PART_BYTES as u64,
                    if_match: Some(etag.as_str()).filter(|etag| !etag.is_empty()),
                    size: None,
                };
                let mut chunk = Buffer::default();
                let part = s3.get(&get, None, &mut chunk).map_err(|error| error.to_string())?;
                (*total, *etag) = (Some(part.total), part.etag.clone());
                *at += chunk.len() as u64;
                if chunk.is_empty() {
                    *total = Some(*at);
                }
                Ok(chunk.to_vec())
            }
        }
    }
}
