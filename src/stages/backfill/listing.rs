//! The pages of a plan's listing, in order.

use std::sync::Arc;

use super::Plan;
use crate::aws::{Error, ListObjects, Listed, S3};
use crate::base::limits::S3_LIST_KEYS;
use crate::base::locks::lock;
use crate::base::runtime::sync::Mutex;

/// The position of a listing. The next call retries a failed page.
#[derive(Debug, Clone)]
pub struct Listing {
    /// Shared with its clones.
    plan: Arc<Plan>,
    /// The next page, read already.
    ahead: Option<Vec<Listed>>,
    /// The last listed key.
    start_after: String,
    ended: bool,
    /// The source of the keys if S3 is not asked. Clones share it.
    given: Option<Given>,
}

/// Objects that are already known.
#[derive(Clone)]
struct Given(Arc<Mutex<dyn Iterator<Item = Listed> + Send>>);

impl std::fmt::Debug for Given {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Given")
    }
}

impl Listing {
    /// Reads the first page, which shows whether there is anything, and keeps it for the first call.
    ///
    /// # Errors
    /// The errors of [`S3::list`].
    pub fn begin(plan: Plan, s3: &S3) -> Result<Listing, Error> {
        let start_after = plan.start_after.clone();
        let mut listing =
            Listing { plan: Arc::new(plan), ahead: None, start_after, ended: false, given: None };
        listing.ahead = Some(listing.read_page(s3)?);
        Ok(listing)
    }

    /// Creates a listing of objects that are already known, such as the missing ones of an audit. S3 is not asked, and
    /// progress is not recorded.
    pub fn given(plan: Plan, objects: impl Iterator<Item = Listed> + Send + 'static) -> Listing {
        let given = Some(Given(Arc::new(Mutex::new(objects))));
        Listing { plan: Arc::new(plan), ahead: None, start_after: String::new(), ended: false, given }
    }

    /// Returns true if its objects were already known.
    pub fn is_given(&self) -> bool {
        self.given.is_some()
    }

    /// The plan to list.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// True if the first page has no keys.
    pub fn is_empty(&self) -> bool {
        self.ahead.as_ref().is_some_and(Vec::is_empty)
    }

    /// The next keys in order; None if there are no more.
    ///
    /// # Errors
    /// The errors of [`S3::list`].
    pub fn next_page(&mut self, s3: &S3) -> Result<Option<Vec<Listed>>, Error> {
        match self.ahead.take() {
            Some(page) => Ok(Some(page)),
            None if self.ended => Ok(None),
            None => self.read_page(s3).map(Some),
        }
    }

    /// Resumes after this key, whatever was read so far.
    pub fn resume_after(&mut self, key: &str) {
        (self.ahead, self.ended) = (None, false);
        key.clone_into(&mut self.start_after);
    }

    /// The key after which a later run resumes if everything up to the last returned page is delivered. Empty if that
    /// page was the last one, and a later run lists everything again.
    pub fn checkpoint(&self) -> String {
        if self.ended { String::new() } else { self.start_after.clone() }
    }

    fn read_page(&mut self, s3: &S3) -> Result<Vec<Listed>, Error> {
        if let Some(given) = &self.given {
            let mut objects = lock(&given.0);
            let page: Vec<Listed> =
                std::iter::from_fn(|| objects.next()).take(S3_LIST_KEYS as usize).collect();
            self.ended = page.len() < S3_LIST_KEYS as usize;
            return Ok(page);
        }
        let Plan { bucket, prefix, exact, .. } = &*self.plan;
        let mut page = s3.list(&ListObjects { bucket, prefix, start_after: &self.start_after })?;
        if *exact {
            // Keys are listed in order, so the key that is the prefix itself comes first.
            page.objects.retain(|listed| listed.key == *prefix);
        }
        self.ended = *exact || !page.truncated;
        if let Some(last) = page.objects.last() {
            self.start_after.clone_from(&last.key);
        }
        Ok(page.objects)
    }
}
