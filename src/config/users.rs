//! The user that this process runs as, for messages.

use rustix::process::geteuid;

/// Names this process's user, as in `the user aws-to-devo (990)`; only the number if its name is unknown.
pub fn me() -> String {
    let id = geteuid().as_raw();
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    match name_of(id, &passwd) {
        Some(name) => format!("the user {name} ({id})"),
        None => format!("the user {id}"),
    }
}

/// Finds the user in lines of `name:password:id:...`.
fn name_of(id: u32, passwd: &str) -> Option<&str> {
    passwd.lines().find_map(|line| {
        let mut parts = line.split(':');
        let name = parts.next()?;
        (parts.nth(1)?.parse() == Ok(id)).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::name_of;

    #[test]
    fn names_by_number() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nbroken\na:x:990:990::/:/bin/false\n";
        assert_eq!(name_of(0, passwd), Some("root"));
        assert_eq!(name_of(990, passwd), Some("a"));
        assert_eq!(name_of(1, passwd), None);
    }
}
