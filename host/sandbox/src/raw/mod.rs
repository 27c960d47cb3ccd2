//! The one place with `unsafe`.

#![allow(
    unsafe_code,
    reason = "native code that nobody else can vouch for, and a system call that no library offers"
)]

mod slice;
mod trusted;

pub(crate) use slice::set_slice;
pub(crate) use trusted::Trusted;
