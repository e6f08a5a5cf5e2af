//! The configuration files named on the command line.

use std::path::{Path, PathBuf};

use clap::builder::{PathBufValueParser, TypedValueParser};

use crate::config::{self, Environment, Loaded, Problems};

/// The names of a configuration in a folder, the first before the second: the vendor's container has either.
const NAMES: [&str; 2] = ["config.yaml", "config.json"];

/// Reads the path of a configuration.
pub fn configuration() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().map(in_folder)
}

/// The configuration in a folder, or the path itself if it is none. Without a configuration the first name is returned, so that
/// the error names it.
fn in_folder(path: PathBuf) -> PathBuf {
    if !path.is_dir() {
        return path;
    }
    let [first, second] = NAMES.map(|name| path.join(name));
    if second.exists() && !first.exists() { second } else { first }
}

/// The files named on the command line.
#[derive(Debug, Clone)]
pub struct Files {
    pub config: PathBuf,
    /// A file whose outputs replace the configuration's.
    pub output: Option<PathBuf>,
}

impl Files {
    /// Names a configuration file that has its own outputs.
    pub fn one(config: &Path) -> Files {
        Files { config: config.to_owned(), output: None }
    }

    /// # Errors
    /// All problems at once, if one of them is an error.
    pub fn load(&self) -> Result<Loaded, Problems> {
        config::load_with(&self.config, self.output.as_deref(), &Environment::here())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::command;

    #[test]
    fn a_folder_stands_for_the_configuration_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let found = |words: &[&str]| {
            let arguments = words.iter().map(|word| word.replace("FOLDER", folder.path().to_str().unwrap()));
            let matches = command().try_get_matches_from(arguments).unwrap();
            let (_, own) = matches.subcommand().unwrap();
            let path: &PathBuf = own.get_one("config").or_else(|| own.get_one("file")).unwrap();
            path.strip_prefix(folder.path()).unwrap().to_owned()
        };
        for (file, expected) in [
            (None, "config.yaml"),
            (Some("config.json"), "config.json"),
            (Some("config.yaml"), "config.yaml"),
        ] {
            if let Some(file) = file {
                std::fs::write(folder.path().join(file), "").unwrap();
            }
            for words in
                [&["run", "--config", "FOLDER"][..], &["check", "FOLDER"], &["check", "-c", "FOLDER"]]
            {
                assert_eq!(found(&[&["aws-to-devo"], words].concat()), Path::new(expected), "{words:?}");
            }
        }
        assert_eq!(found(&["aws-to-devo", "run", "-c", "FOLDER/config.json"]), Path::new("config.json"));
    }
}
