//! A transform that misbehaves as its config says. Its input is one fp32 column, `x`.

use std::cell::Cell;
use std::hint::black_box;

use caisson_plugin::prelude::*;
use caisson_plugin::{Block, Level, Values, log};

/// What to do.
#[derive(Deserialize, JsonSchema, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Behave {
    /// Give the input back.
    Well,
    /// Add the number of calls that this instance has served.
    Count,
    /// Loop for ever.
    Loop,
    /// Take memory until there is none, and panic then.
    GrabMemory,
    /// Take memory until there is none, and go on without.
    GrabMemoryGracefully,
    /// Recurse without end.
    Recurse,
    /// The `unreachable` instruction.
    Unreachable,
    /// Read beyond the end of memory.
    OutOfBounds,
    /// Panic with a message that tries to forge a log line.
    Panic,
    /// One row too few.
    WrongRows,
    /// Doubles where the schema says floats.
    WrongType,
    /// Too few elements.
    WrongLength,
    /// A missing value in a column that isn't nullable.
    Missing,
    /// 48 MiB.
    HugeOutput,
    /// 16 blocks where the schema has one.
    Blocks,
    /// 10,000 lines.
    LogFlood,
    /// Log for ever.
    HostCallStorm,
    /// One line of 1 MiB.
    LongLine,
    /// A line with line breaks and escape sequences.
    ForgedLine,
    /// The contract's own errors.
    BadInput,
    /// The contract's own errors.
    Internal,
    /// Loop in `configure`.
    LoopInConfigure,
    /// Panic in `configure`.
    PanicInConfigure,
    /// `configure` says `invalid-config`.
    InvalidConfig,
    /// `configure` takes 64 MiB and keeps them.
    LargeState,
}

/// See [`Behave`].
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    behave: Behave,
}

struct Hostile {
    behave: Behave,
    calls: Cell<u32>,
    state: Vec<u8>,
}

const MIB: usize = 1 << 20;

impl Transform for Hostile {
    type Config = Config;

    const ABOUT: About = About {
        name: "hostile",
        version: "0.1.0",
        help: "Misbehaves as its config says.",
    };

    fn configure(config: Config, input: &Arc<Schema>) -> Result<(Self, Schema), Error> {
        let mut state = Vec::new();
        match config.behave {
            Behave::LoopInConfigure => endless(),
            Behave::PanicInConfigure => boom("configure panicked"),
            Behave::InvalidConfig => return Err(Error::invalid_config("this config will never do")),
            Behave::LargeState => state = (0..64 * MIB).map(|i| (i % 251) as u8).collect(),
            _ => {}
        }
        let hostile = Self {
            behave: config.behave,
            calls: Cell::new(0),
            state,
        };
        Ok((hostile, (**input).clone()))
    }

    fn apply(&self, input: Batch) -> Result<Batch, Error> {
        self.calls.set(self.calls.get() + 1);
        let rows = input.rows();
        match self.behave {
            Behave::Count => {
                let count = self.calls.get() as f32;
                return other(
                    Field::new("x", DataType::Fp32),
                    rows,
                    Values::Fp32(vec![count; rows]),
                );
            }
            Behave::Loop => endless(),
            Behave::GrabMemory => {
                let mut grabbed: Vec<Vec<u8>> = Vec::new();
                loop {
                    grabbed.push(black_box(vec![1; MIB]));
                }
            }
            Behave::GrabMemoryGracefully => {
                let mut grabbed: Vec<Vec<u8>> = Vec::new();
                let mut piece = Vec::new();
                while piece.try_reserve_exact(MIB).is_ok() {
                    grabbed.push(std::mem::take(&mut piece));
                }
                black_box(&grabbed);
            }
            Behave::Recurse => {
                black_box(recurse(black_box(0)));
            }
            Behave::Unreachable => unreachable_instruction(),
            Behave::OutOfBounds => read_out_of_bounds(),
            Behave::Panic => boom("it was not meant to\nERROR root: forged"),
            Behave::WrongRows => {
                let fewer = rows.saturating_sub(1);
                return other(
                    Field::new("x", DataType::Fp32),
                    fewer,
                    Values::Fp32(vec![0.0; fewer]),
                );
            }
            Behave::WrongType => {
                return other(
                    Field::new("x", DataType::Fp64),
                    rows,
                    Values::Fp64(vec![0.0; rows]),
                );
            }
            Behave::WrongLength => {
                let field = Field::new("x", DataType::Fp32).with_shape([2]);
                return other(field, rows, Values::Fp32(vec![0.0; rows * 2]));
            }
            Behave::Missing => {
                let block = Block {
                    values: Values::Fp32(vec![0.0; rows]),
                    validity: Some(vec![0; rows.div_ceil(8)]),
                };
                let nullable = Field::new("x", DataType::Fp32).nullable();
                return Ok(Batch::new(schema(vec![nullable])?, rows, vec![block])?);
            }
            Behave::HugeOutput => {
                let field = Field::new("x", DataType::Fp32).with_shape([12 * MIB as u32]);
                return other(field, rows, Values::Fp32(vec![0.0; rows * 12 * MIB]));
            }
            Behave::Blocks => {
                let fields =
                    (0..16).map(|i| Field::new(format!("x{i}"), DataType::Uint8).with_shape([MIB as u32]));
                let schema = schema(fields.collect())?;
                let blocks = (0..16)
                    .map(|_| Block::new(Values::Uint8(vec![0; rows * MIB])))
                    .collect();
                return Ok(Batch::new(schema, rows, blocks)?);
            }
            Behave::LogFlood => {
                for i in 0..10_000 {
                    info!("line {i}");
                }
            }
            Behave::HostCallStorm => loop {
                log(Level::Debug, "again");
            },
            Behave::LongLine => log(Level::Info, &"long ".repeat(MIB / 5)),
            Behave::ForgedLine => log(Level::Info, "first\n2026-01-01 ERROR root: forged\r\u{1b}[2Jgone"),
            Behave::BadInput => return Err(Error::bad_input(1, "x", "negative\nvalue")),
            Behave::Internal => return Err(Error::internal("something is wrong in here")),
            Behave::LargeState => {
                let sum: u32 = self
                    .state
                    .iter()
                    .map(|&b| u32::from(b))
                    .fold(0, u32::wrapping_add);
                black_box(sum);
            }
            _ => {}
        }
        Ok(input)
    }
}

fn schema(fields: Vec<Field>) -> Result<Arc<Schema>, Error> {
    Schema::new(fields)
        .map(Arc::new)
        .map_err(|e| Error::internal(e.to_string()))
}

/// A batch of a schema that was never announced.
fn other(field: Field, rows: usize, values: Values) -> Result<Batch, Error> {
    Ok(Batch::new(schema(vec![field])?, rows, vec![Block::new(values)])?)
}

fn endless() {
    let mut n = 0u64;
    loop {
        n = black_box(n.wrapping_add(1));
    }
}

#[inline(never)]
#[allow(unconditional_recursion, reason = "what this guest is for")]
fn recurse(n: u64) -> u64 {
    black_box(recurse(black_box(n + 1)) + n)
}

#[allow(clippy::panic, reason = "what this guest is for")]
fn boom(message: &str) -> ! {
    panic!("{message}")
}

fn unreachable_instruction() -> ! {
    #[cfg(target_family = "wasm")]
    core::arch::wasm32::unreachable();
    #[cfg(not(target_family = "wasm"))]
    std::process::abort()
}

#[allow(unsafe_code, reason = "what this guest is for: the sandbox must hold")]
fn read_out_of_bounds() {
    // SAFETY: none; WebAssembly traps.
    black_box(unsafe { std::ptr::read_volatile(black_box(0xffff_fff0usize as *const u64)) });
}

caisson_plugin::export!(transform: Hostile);
