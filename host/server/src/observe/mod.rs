//! What can be seen of a running server from outside: metrics, and traces of requests.

mod context;
mod export;
mod process;
pub(crate) mod scrape;
mod spans;
mod traces;

pub(crate) use traces::Traces;
