//! The figures themselves: counters and gauges by stage, their names, and the lag.

pub mod activity;
pub mod counter;
pub mod endings;
pub mod former;
pub mod groups;
pub mod lag;
pub mod latest;
pub mod link;
pub mod metric;
pub mod process;
pub mod wait;
