//! A test environment.

use std::sync::Arc;

use super::Variables;

pub fn variables(pairs: &[(&str, &str)]) -> Variables {
    let pairs = pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect::<Vec<_>>();
    Arc::new(move |name: &str| pairs.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone()))
}
