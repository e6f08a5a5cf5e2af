//! The chain's files, with bounded reads: shared configuration, tokens.

use std::io::Read;
use std::path::Path;

use super::ini::{self, Section};
use super::profile::Profiles;
use crate::base::limits::{CREDENTIALS_DOCUMENT_BYTES_MAX, SHARED_FILE_BYTES_MAX};
use crate::base::permissions;

/// Both shared files, as far as they exist.
pub struct SharedFiles {
    pub profiles: Profiles,
    /// The paths, with the result of reading each.
    config: String,
    credentials: String,
}

impl SharedFiles {
    /// Reads the files for their credentials. Errors name the file, and the line of a mistake.
    pub fn read(env: &dyn Fn(&str) -> Option<String>) -> Result<Self, String> {
        Self::read_with(env, warn_if_open)
    }

    /// Reads the files for their settings, whatever their permissions.
    pub fn read_settings(env: &dyn Fn(&str) -> Option<String>) -> Result<Self, String> {
        Self::read_with(env, |_, _| ())
    }

    fn read_with(env: &dyn Fn(&str) -> Option<String>, judge: fn(&str, &[Section])) -> Result<Self, String> {
        let (config, config_sections) = shared_file(env, "AWS_CONFIG_FILE", "config", judge)?;
        let (credentials, sections) = shared_file(env, "AWS_SHARED_CREDENTIALS_FILE", "credentials", judge)?;
        Ok(Self { profiles: Profiles::join(config_sections, sections), config, credentials })
    }

    /// Both paths, for people.
    pub fn names(&self) -> String {
        format!("{}, {}", self.config, self.credentials)
    }

    /// The message if profile `name` is in neither.
    pub fn without(&self, name: &str) -> String {
        format!("no profile {name} in {}", self.names())
    }
}

/// The file's name and its sections; a missing file has none.
fn shared_file(
    env: &dyn Fn(&str) -> Option<String>,
    variable: &str,
    name: &str,
    judge: fn(&str, &[Section]),
) -> Result<(String, Vec<Section>), String> {
    let path = match (env(variable), env("HOME")) {
        (Some(path), home) => match (path.strip_prefix("~/"), home) {
            (Some(rest), Some(home)) => format!("{home}/{rest}"),
            _ => path,
        },
        (None, Some(home)) => format!("{home}/.aws/{name}"),
        (None, None) => return Ok((format!("~/.aws/{name} (HOME is not set)"), Vec::new())),
    };
    match read_text(&path, SHARED_FILE_BYTES_MAX) {
        Ok(text) => {
            let sections = ini::parse(&text).map_err(|fault| format!("{path}: {fault}"))?;
            judge(&path, &sections);
            Ok((path, sections))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Ok((format!("{path} (does not exist)"), Vec::new()))
        }
        Err(error) => Err(format!("cannot read {path}: {error}")),
    }
}

/// Checks the permissions each time the file is read: at the start, and when credentials are refreshed.
fn warn_if_open(path: &str, sections: &[Section]) {
    let mut keys = sections.iter().flat_map(|section| &section.entries).map(|(key, _)| key);
    if !keys.any(|key| key == "aws_secret_access_key") {
        return;
    }
    if let Some(advice) = permissions::advice(Path::new(path)) {
        log::warn!(place = path; "{path} contains a secret and can be read by other users: {advice}");
    }
}

/// Reads a token file: text, not empty.
pub fn read_small(path: &str) -> Result<String, String> {
    match read_text(path, CREDENTIALS_DOCUMENT_BYTES_MAX) {
        Ok(text) if text.trim().is_empty() => Err(format!("{path} is empty")),
        Ok(text) => Ok(text),
        Err(error) => Err(format!("cannot read {path}: {error}")),
    }
}

fn read_text(path: &str, bytes_max: usize) -> std::io::Result<String> {
    let mut text = String::new();
    let length = std::fs::File::open(path)?.take(bytes_max as u64 + 1).read_to_string(&mut text)?;
    if length > bytes_max {
        return Err(std::io::Error::other(format!("it is larger than {bytes_max} bytes")));
    }
    Ok(text)
}
