//! The limit on open files: raised if possible, reported if too low.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Ensures that `needed` files can be open.
///
/// # Errors
/// If the hard limit is lower; the error says what to do. The run continues, with connections that fail at times.
pub fn allow(needed: u64) -> Result<(), String> {
    let limit = getrlimit(Resource::Nofile);
    let is_enough = |limit: Option<u64>| limit.is_none_or(|limit| limit >= needed);
    if is_enough(limit.current) {
        return Ok(());
    }
    let allowed = limit.maximum.map_or(needed, |maximum| maximum.min(needed));
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(allowed), maximum: limit.maximum });
    if is_enough(getrlimit(Resource::Nofile).current) {
        return Ok(());
    }
    let why = raised.err().map(|error| format!(" ({error})")).unwrap_or_default();
    Err(format!(
        "this configuration may need {needed} open files, but only {allowed} are allowed{why}: connections will fail at times and be retried. Raise the limit (`ulimit -Hn`, LimitNOFILE= of systemd), or lower `fetchers`, `receivers` or `senders`"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_allowed_is_no_problem_and_what_is_not_is_named() {
        assert_eq!(allow(3), Ok(()));
        if let Some(maximum) = getrlimit(Resource::Nofile).maximum {
            let problem = allow(maximum + 1).unwrap_err();
            assert!(problem.contains(&format!("need {} open files", maximum + 1)), "{problem}");
        }
    }
}
