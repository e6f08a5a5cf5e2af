//! A source's currently unreadable items: named once, counted, and reported when they recover.

use std::collections::BTreeMap;

use super::source::LeftOut;
use crate::base::limits::UNREADABLE_NAMED_MAX;

/// The items that were passed over in the last round, and in this one.
#[derive(Debug, Default)]
pub struct Unreadable {
    /// By name: the round in which the item was last passed over.
    items: BTreeMap<String, u64>,
    round: u64,
    /// Items that were named in the log in this round; others are only counted.
    named: usize,
    unnamed: usize,
    /// An item has been read in this round.
    has_read: bool,
    last: Option<LeftOut>,
}

impl Unreadable {
    /// Notes an item that is passed over. Returns the line to log.
    pub fn add(&mut self, left_out: LeftOut) -> Option<String> {
        let LeftOut { item, why } = &left_out;
        let is_news = self.items.insert(item.clone(), self.round).is_none();
        let is_named = is_news && self.named < UNREADABLE_NAMED_MAX;
        self.named += usize::from(is_named);
        self.unnamed += usize::from(is_news && !is_named);
        let line = format!("{item} cannot be read and is passed over; it is retried with every pull: {why}");
        self.last = Some(left_out);
        is_named.then_some(line)
    }

    /// Notes an item that has been read.
    pub fn has_read(&mut self) {
        self.has_read = true;
    }

    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Ends the round. Returns the lines to log.
    pub fn end_round(&mut self) -> Vec<String> {
        let round = self.round;
        let mut lines = Vec::new();
        if self.unnamed > 0 {
            lines.push(format!("{} more items cannot be read and are passed over", self.unnamed));
        }
        let over =
            self.items.extract_if(.., |_, last| *last < round).map(|(item, _)| item).collect::<Vec<_>>();
        let named = over.iter().take(UNREADABLE_NAMED_MAX);
        lines.extend(
            named.map(|item| format!("{item} is no longer passed over: it can be read again, or is gone")),
        );
        if over.len() > UNREADABLE_NAMED_MAX {
            lines.push(format!("{} more items are no longer passed over", over.len() - UNREADABLE_NAMED_MAX));
        }
        (self.round, self.named, self.unnamed) = (round + 1, 0, 0);
        lines
    }

    /// The trouble, if no item at all could be read in the current round; call it before the round ends.
    pub fn trouble(&mut self) -> Option<String> {
        let has_read = std::mem::take(&mut self.has_read);
        let LeftOut { item, why } = self.last.take().filter(|_| !has_read)?;
        Some(format!("nothing can be read. {} items are passed over, such as {item}: {why}", self.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left_out(item: &str) -> LeftOut {
        LeftOut { item: item.to_owned(), why: "denied".to_owned() }
    }

    #[test]
    fn an_item_is_named_once_and_when_it_is_over() {
        let mut unreadable = Unreadable::default();
        assert!(unreadable.add(left_out("a")).unwrap().starts_with("a cannot be read"));
        unreadable.add(left_out("b"));
        assert!(unreadable.end_round().is_empty());
        assert_eq!(unreadable.add(left_out("a")), None);
        let lines = unreadable.end_round();
        assert!(lines.len() == 1 && lines[0].starts_with("b is no longer"), "{lines:?}");
        assert_eq!(unreadable.len(), 1);
    }

    #[test]
    fn thousands_do_not_flood_the_log() {
        let mut unreadable = Unreadable::default();
        let named = (0..5000).filter_map(|i| unreadable.add(left_out(&i.to_string()))).count();
        assert_eq!((named, unreadable.len()), (UNREADABLE_NAMED_MAX, 5000));
        assert_eq!(unreadable.end_round(), ["4980 more items cannot be read and are passed over"]);
        assert_eq!(unreadable.end_round().len(), UNREADABLE_NAMED_MAX + 1);
    }

    #[test]
    fn it_is_trouble_when_nothing_at_all_can_be_read() {
        let mut unreadable = Unreadable::default();
        assert_eq!(unreadable.trouble(), None);
        unreadable.add(left_out("a"));
        assert!(unreadable.trouble().unwrap().contains("such as a: denied"));
        unreadable.add(left_out("a"));
        unreadable.has_read();
        assert_eq!(unreadable.trouble(), None);
    }
}
