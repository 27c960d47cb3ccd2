//! The sandbox against real components: those of `tests/guests`, and crafted ones in text form.

mod calls;
mod compiling;
mod craft;
mod hostile;
mod logs;
mod models;
mod support;
mod uploads;
mod wasi;
