//! The counts of inputs, services and outputs that a reload has removed. Totals include them, so that they never fall.

use std::iter::Sum;

use serde::Serialize;

use super::endings::EndingTotals;
use super::groups::{
    DecodeTotals, DeliveredTotals, FetchTotals, PollTotals, ReceiveTotals, SendTotals, SettleTotals,
};

/// Counts of parts that are not configured any more. Their gauges are zero.
#[derive(Debug, Default, Clone, Copy, Serialize)]
pub struct Former {
    pub receive: ReceiveTotals,
    pub poll: PollTotals,
    pub fetch: FetchTotals,
    pub settle: SettleTotals,
    pub decode: DecodeTotals,
    pub delivered: DeliveredTotals,
    pub endings: EndingTotals,
    pub send: SendTotals,
}

impl Sum for Former {
    fn sum<I: Iterator<Item = Former>>(all: I) -> Former {
        all.fold(Former::default(), |a, b| Former {
            receive: plus(a.receive, b.receive),
            poll: plus(a.poll, b.poll),
            fetch: plus(a.fetch, b.fetch),
            settle: plus(a.settle, b.settle),
            decode: plus(a.decode, b.decode),
            delivered: plus(a.delivered, b.delivered),
            endings: plus(a.endings, b.endings),
            send: plus(a.send, b.send),
        })
    }
}

fn plus<T: Sum>(a: T, b: T) -> T {
    [a, b].into_iter().sum()
}
