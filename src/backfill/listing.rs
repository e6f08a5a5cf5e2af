//! The pages of a plan's listing, one after another.

use super::Plan;
use crate::aws::{Error, ListObjects, Listed, S3};

/// Where a listing is. A page that failed is asked for again by the next call.
#[derive(Debug)]
pub struct Listing<'p> {
    plan: &'p Plan,
    /// The last key that has been handed out.
    start_after: String,
    ended: bool,
}

impl<'p> Listing<'p> {
    /// Nothing is asked for yet.
    pub fn of(plan: &'p Plan) -> Listing<'p> {
        Listing { plan, start_after: plan.start_after.clone(), ended: false }
    }

    /// The next keys in order; None: there are no more.
    ///
    /// # Errors
    /// Those of [`S3::list`].
    pub fn next_page(&mut self, s3: &S3) -> Result<Option<Vec<Listed>>, Error> {
        if self.ended {
            return Ok(None);
        }
        let Plan { bucket, prefix, .. } = self.plan;
        let page = s3.list(&ListObjects { bucket, prefix, start_after: &self.start_after })?;
        self.ended = !page.truncated;
        if let Some(last) = page.objects.last() {
            self.start_after.clone_from(&last.key);
        }
        Ok(Some(page.objects))
    }
}
