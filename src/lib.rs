//! aws-to-devo: moves AWS-side logs to Devo at the speed of the machine.
pub mod ack;
pub mod aws;
pub mod backoff;
pub mod cli;
pub mod config;
pub mod decode;
pub mod fetch;
pub mod frame;
pub mod limits;
pub mod pipeline;
pub mod receive;
pub mod resolve;
pub mod send;
pub mod services;
pub mod stop;
pub mod telemetry;
pub mod testbed;
