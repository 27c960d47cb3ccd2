//! The sandbox against real components: those of `tests/guests`, and crafted ones in text form.

mod calls;
mod support;
