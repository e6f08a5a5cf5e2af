//! The text of `--version`: version, commit, and how it was built.

use std::sync::LazyLock;

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Empty if it is unknown, or this is no release.
const COMMIT: &str = env!("A2D_COMMIT");
const PROFILE: &str = env!("A2D_PROFILE");
const TARGET: &str = env!("A2D_TARGET");

/// The text, for example `0.1.0 (052bd73a1b2c of 2026-11-28, release, x86_64-unknown-linux-musl, features: lab, parquet)`.
pub fn line() -> &'static str {
    static LINE: LazyLock<String> = LazyLock::new(made);
    &LINE
}

fn made() -> String {
    let commit = (!COMMIT.is_empty()).then_some(COMMIT);
    let features = features();
    let features =
        if features.is_empty() { "no features".to_owned() } else { format!("features: {features}") };
    let parts: Vec<&str> = commit.into_iter().chain([PROFILE, TARGET, &features]).collect();
    format!("{VERSION} ({})", parts.join(", "))
}

fn features() -> String {
    let all = [("lab", cfg!(feature = "lab")), ("parquet", cfg!(feature = "parquet"))];
    let built: Vec<&str> = all.into_iter().filter(|(_, is_built)| *is_built).map(|(name, _)| name).collect();
    built.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_version_target_and_features() {
        let line = line();
        assert!(line.starts_with(VERSION) && line.contains(TARGET) && line.contains("features"), "{line}");
        assert_eq!(line.contains("parquet"), cfg!(feature = "parquet"));
        assert_eq!(line.contains("lab"), cfg!(feature = "lab"));
    }
}
