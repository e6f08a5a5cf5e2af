//! The figures themselves: counters and gauges by stage, what they are called, and how far behind the logs are.

pub mod activity;
pub mod counter;
pub mod endings;
pub mod groups;
pub mod lag;
pub mod metric;
pub mod process;
pub mod wait;
