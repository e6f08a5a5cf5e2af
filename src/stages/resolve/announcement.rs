//! The content of a readable body.

use std::collections::{BTreeMap, HashSet};

use jiff::Timestamp;

use super::objects::Objects;
use crate::base::object::Object;

/// The content of a readable body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Announcement {
    /// Objects to collect.
    pub objects: Objects,
    /// Named things that are not new objects (removals, restores, test events, other event types), with their counts.
    pub ignored: BTreeMap<&'static str, usize>,
    /// When the first of the objects was written, if the message says so.
    pub written: Option<Timestamp>,
}

impl Announcement {
    pub(super) fn of(object: Object) -> Announcement {
        Announcement { objects: [object].into_iter().collect(), ..Announcement::default() }
    }

    /// The announcement of a message that names nothing to collect; `what` is its kind.
    pub(super) fn nothing(what: &'static str) -> Announcement {
        Announcement { ignored: BTreeMap::from([(what, 1)]), ..Announcement::default() }
    }

    /// Adds the content of another part of the same message.
    pub(super) fn and(mut self, other: Announcement) -> Announcement {
        self.objects.append(other.objects);
        other.ignored.into_iter().for_each(|(what, count)| *self.ignored.entry(what).or_default() += count);
        self.written(other.written)
    }

    /// Adds the objects of another place in the same message. One that is named in both places counts once.
    pub(super) fn and_beside(mut self, other: Announcement) -> Announcement {
        if self.objects.is_empty() || self.objects.is_refused() || other.objects.is_refused() {
            return self.and(other);
        }
        let names = |object: &Object| {
            let keys = std::iter::once(object.key.clone()).chain(object.other_key.clone());
            keys.map(|key| (object.bucket.clone(), key)).collect::<Vec<_>>()
        };
        let known: HashSet<(String, String)> =
            self.objects.iter().flat_map(|object| names(&object)).collect();
        let is_new = |object: &Object| !names(object).iter().any(|name| known.contains(name));
        self.objects.append(other.objects.into_iter().filter(is_new).collect());
        self.written(other.written)
    }

    /// Sets when its objects were written, unless one was written earlier.
    pub(super) fn written(self, written: Option<Timestamp>) -> Announcement {
        let written = [self.written, written].into_iter().flatten().min();
        Announcement { written: written.filter(|_| !self.objects.is_empty()), ..self }
    }

    /// Sets the region of the objects without one.
    pub(super) fn in_region(mut self, region: Option<&str>) -> Announcement {
        let known = |object: Object| {
            let region = object.region.or_else(|| region.map(str::to_owned));
            Object { region, ..object }
        };
        if !self.objects.is_refused() {
            self.objects = self.objects.into_iter().map(known).collect();
        }
        self
    }
}
