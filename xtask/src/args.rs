//! The command line, by hand: an argument parser would double the time until the first message.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use caisson_plugin_build::Route;

use crate::compare;
use crate::load::{self, Case};
use crate::setup::Build;
use crate::{schemathesis, soak};

pub(crate) const USAGE: &str = "\
cargo xtask <command>

  setup   put in place what is missing: a WebAssembly toolchain, ONNX Runtime, the plugins
            --release                 and the `caisson` program, optimised crate by crate
            --dist                    or as a whole: what is shipped and measured (25 minutes on two cores)
  guests  build every plugin and test guest into target/plugins and target/test-guests
  test    set up, then run every test; what follows goes to the test runner
  clients   run public Open Inference Protocol clients against a server
            --program FILE            this `caisson`, instead of building the release one
  demo    set up, then serve real predictions through sandboxed plugins, step by step
            --keep                    and leave the server running
  kill-test   kill a server again and again while clients change things, and look at what is left
            --kills N                 how often (default 20)
            --seed N                  the choices of an earlier run again
            --program FILE            this `caisson`, instead of building the release one
  schemathesis   send a server what its description of the API says, and nearly that, and look at the answers
            --examples N              of each operation and phase (default 10)
            --seed N                  other requests (default 1)
            --program FILE            this `caisson`, instead of building the release one
  load CASE   measure what many tenants cost each other: fairness, many, deploy, switch, stop;
              or overload: twice what the server can answer
            --seconds N               of each phase (default 10)
            --deployments N           another number of them, for many (default 100)
            --program FILE            this `caisson`, instead of building the one that is shipped
  compare measure Caisson beside other servers: the same model, stages and requests
            --peers A,B               these instead of the usual ones
            --cases A,B               some of the cases, by words of their names: two-json-1row-c8
            --seconds N               of each round (default 3)
            --rounds N                of which the median counts (default 3)
            --quiet-wait N            seconds that a round may wait for a quiet machine (default 8)
            --json FILE               the numbers for programs
            --program FILE            this `caisson`, instead of building the one that is shipped
  compare drift   measure drift reports beside Evidently's, and beside bare loops
            --rows N                  of the reference and of what is compared with it (default 100,000)
            --columns N               (default 20)
            --rounds N                of which the median counts (default 5)
            --json FILE               the numbers for programs
            --program FILE            this `caisson`, instead of building the one that is shipped
  soak    swaps, uploads, bad and cancelled requests and a hostile tenant at once, every answer checked
            --minutes N               how long (default 10); from 3 on the memory is judged too
            --seconds N               or so many seconds
            --clients A,B             some alone: predict, swap, upload, nonsense, hang-up, hostile
            --program FILE            this `caisson`, instead of building the release one
  observability   write examples/observability anew from the list of metrics
  deny    check licences, sources and bans of every dependency against deny.toml
            --advisories              and known vulnerabilities (needs cargo-deny and its database)

  --wasm-toolchain auto|rustup|debian   how to get the toolchain: rustup's target, Debian's
                                        packages, or the first that works (default)";

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Help,
    Setup {
        wasm: Option<Route>,
        program: Option<Build>,
    },
    Guests {
        wasm: Option<Route>,
    },
    Test {
        wasm: Option<Route>,
        pass: Vec<String>,
    },
    Clients {
        wasm: Option<Route>,
        program: Option<PathBuf>,
    },
    Demo {
        wasm: Option<Route>,
        keep: bool,
    },
    KillTest {
        wasm: Option<Route>,
        kills: u64,
        seed: Option<u64>,
        program: Option<PathBuf>,
    },
    Schemathesis {
        wasm: Option<Route>,
        examples: u64,
        seed: u64,
        program: Option<PathBuf>,
    },
    Load {
        wasm: Option<Route>,
        case: Case,
        seconds: u64,
        deployments: Option<u64>,
        program: Option<PathBuf>,
    },
    Compare {
        wasm: Option<Route>,
        program: Option<PathBuf>,
        /// Whose program is still empty.
        options: compare::Options,
    },
    CompareDrift {
        wasm: Option<Route>,
        program: Option<PathBuf>,
        /// Whose program is still empty.
        options: compare::drift::Options,
    },
    Soak {
        wasm: Option<Route>,
        program: Option<PathBuf>,
        seconds: u64,
        clients: Option<String>,
    },
    Observability,
    Deny {
        advisories: bool,
    },
}

/// Kills, unless told otherwise: under a minute.
pub(crate) const KILLS: u64 = 20;

/// Understand the arguments after the program's name.
pub(crate) fn parse(args: impl IntoIterator<Item = String>) -> Result<Command> {
    let mut args = args.into_iter();
    let Some(name) = args.next() else {
        return Ok(Command::Help);
    };
    let mut rest: Vec<String> = args.collect();
    if matches!(name.as_str(), "help" | "--help" | "-h") || (name != "test" && has(&mut rest, "--help")) {
        return Ok(Command::Help);
    }
    let command = match name.as_str() {
        "setup" => Command::Setup {
            wasm: wasm(&mut rest)?,
            program: match (has(&mut rest, "--dist"), has(&mut rest, "--release")) {
                (true, _) => Some(Build::Dist),
                (false, true) => Some(Build::Release),
                (false, false) => None,
            },
        },
        "guests" => Command::Guests {
            wasm: wasm(&mut rest)?,
        },
        "test" => {
            let wasm = wasm(&mut rest)?;
            return Ok(Command::Test { wasm, pass: rest });
        }
        "clients" => Command::Clients {
            wasm: wasm(&mut rest)?,
            program: value(&mut rest, "--program")?.map(PathBuf::from),
        },
        "demo" => Command::Demo {
            wasm: wasm(&mut rest)?,
            keep: has(&mut rest, "--keep"),
        },
        "kill-test" => Command::KillTest {
            wasm: wasm(&mut rest)?,
            kills: number(&mut rest, "--kills")?.unwrap_or(KILLS),
            seed: number(&mut rest, "--seed")?,
            program: value(&mut rest, "--program")?.map(PathBuf::from),
        },
        "schemathesis" => Command::Schemathesis {
            wasm: wasm(&mut rest)?,
            examples: number(&mut rest, "--examples")?.unwrap_or(schemathesis::EXAMPLES),
            seed: number(&mut rest, "--seed")?.unwrap_or(schemathesis::SEED),
            program: value(&mut rest, "--program")?.map(PathBuf::from),
        },
        "load" => {
            let command = Command::Load {
                wasm: wasm(&mut rest)?,
                seconds: number(&mut rest, "--seconds")?.unwrap_or(load::SECONDS),
                deployments: number(&mut rest, "--deployments")?,
                program: value(&mut rest, "--program")?.map(PathBuf::from),
                case: rest.first().context("`load` needs a case")?.parse()?,
            };
            rest.remove(0);
            command
        }
        "compare" if rest.first().is_some_and(|what| what == "drift") => {
            rest.remove(0);
            Command::CompareDrift {
                wasm: wasm(&mut rest)?,
                program: value(&mut rest, "--program")?.map(PathBuf::from),
                options: compare::drift::Options {
                    program: PathBuf::new(),
                    rows: number(&mut rest, "--rows")?.unwrap_or(compare::drift::ROWS),
                    columns: number(&mut rest, "--columns")?.unwrap_or(compare::drift::COLUMNS),
                    rounds: number(&mut rest, "--rounds")?.unwrap_or(compare::drift::ROUNDS),
                    json: value(&mut rest, "--json")?.map(PathBuf::from),
                },
            }
        }
        "compare" => Command::Compare {
            wasm: wasm(&mut rest)?,
            program: value(&mut rest, "--program")?.map(PathBuf::from),
            options: compare::Options {
                program: PathBuf::new(),
                peers: value(&mut rest, "--peers")?,
                cases: value(&mut rest, "--cases")?,
                seconds: number(&mut rest, "--seconds")?.unwrap_or(compare::SECONDS),
                rounds: number(&mut rest, "--rounds")?.unwrap_or(compare::ROUNDS),
                quiet_wait: number(&mut rest, "--quiet-wait")?.unwrap_or(compare::QUIET_WAIT),
                json: value(&mut rest, "--json")?.map(PathBuf::from),
            },
        },
        "soak" => Command::Soak {
            wasm: wasm(&mut rest)?,
            clients: value(&mut rest, "--clients")?,
            seconds: {
                let minutes = number(&mut rest, "--minutes")?.unwrap_or(soak::MINUTES);
                number(&mut rest, "--seconds")?.unwrap_or(minutes.saturating_mul(60))
            },
            program: value(&mut rest, "--program")?.map(PathBuf::from),
        },
        "observability" => Command::Observability,
        "deny" => Command::Deny {
            advisories: has(&mut rest, "--advisories"),
        },
        other => bail!("there is no command `{other}`"),
    };
    if let Some(left) = rest.first() {
        bail!("`{name}` takes no `{left}`");
    }
    Ok(command)
}

/// Take a flag out.
fn has(args: &mut Vec<String>, flag: &str) -> bool {
    let before = args.len();
    args.retain(|arg| arg != flag);
    args.len() < before
}

/// Take `--flag VALUE` or `--flag=VALUE` out.
fn value(args: &mut Vec<String>, flag: &str) -> Result<Option<String>> {
    let Some(at) = args.iter().position(|arg| arg.split('=').next() == Some(flag)) else {
        return Ok(None);
    };
    let given = args.remove(at);
    let value = match given.split_once('=') {
        Some((_, value)) => value.to_owned(),
        None if at < args.len() => args.remove(at),
        None => String::new(),
    };
    if value.is_empty() {
        bail!("{flag} needs a value");
    }
    Ok(Some(value))
}

/// Take `--flag NUMBER` out.
fn number(args: &mut Vec<String>, flag: &str) -> Result<Option<u64>> {
    let Some(text) = value(args, flag)? else {
        return Ok(None);
    };
    let number = text.parse().with_context(|| format!("{flag} {text}"))?;
    Ok(Some(number))
}

/// Take `--wasm-toolchain NAME` out.
fn wasm(args: &mut Vec<String>) -> Result<Option<Route>> {
    const FLAG: &str = "--wasm-toolchain";
    let name = value(args, FLAG)?;
    name.map(|name| name.parse().context(FLAG)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn commands_and_flags() {
        let debian = Some(Route::Debian);
        assert_eq!(parsed("").unwrap(), Command::Help);
        assert_eq!(parsed("setup --help").unwrap(), Command::Help);
        assert_eq!(
            parsed("setup --wasm-toolchain debian --release").unwrap(),
            Command::Setup {
                wasm: debian,
                program: Some(Build::Release)
            }
        );
        assert_eq!(
            parsed("setup --dist").unwrap(),
            Command::Setup {
                wasm: None,
                program: Some(Build::Dist)
            }
        );
        assert_eq!(
            parsed("guests --wasm-toolchain=debian").unwrap(),
            Command::Guests { wasm: debian }
        );
        assert_eq!(parsed("observability").unwrap(), Command::Observability);
        assert_eq!(parsed("deny").unwrap(), Command::Deny { advisories: false });
        assert_eq!(
            parsed("kill-test --kills 200 --seed=7").unwrap(),
            Command::KillTest {
                wasm: None,
                kills: 200,
                seed: Some(7),
                program: None
            }
        );
        let soak = |seconds| Command::Soak {
            wasm: None,
            program: None,
            seconds,
            clients: None,
        };
        assert_eq!(parsed("soak").unwrap(), soak(600));
        assert_eq!(parsed("soak --minutes 3").unwrap(), soak(180));
        assert_eq!(parsed("soak --seconds 30").unwrap(), soak(30));
        let Command::Compare { program, options, .. } =
            parsed("compare --peers limit,mosec --cases none --seconds 1 --json x --program y").unwrap()
        else {
            panic!("not the compare command")
        };
        assert_eq!((program, options.json), (Some("y".into()), Some("x".into())));
        assert_eq!(options.peers.as_deref(), Some("limit,mosec"));
        assert_eq!(
            (options.cases.as_deref(), options.seconds, options.rounds),
            (Some("none"), 1, 3)
        );
    }

    #[test]
    fn drift_is_compared_apart() {
        let Command::CompareDrift { program, options, .. } =
            parsed("compare drift --rows 1000 --rounds=2 --program y").unwrap()
        else {
            panic!("not the comparison of drift reports")
        };
        assert_eq!(program, Some("y".into()));
        assert_eq!((options.rows, options.columns, options.rounds), (1000, 20, 2));
    }

    #[test]
    fn tests_get_what_is_left() {
        let Command::Test { wasm, pass } =
            parsed("test -p caisson-data --wasm-toolchain rustup --help").unwrap()
        else {
            panic!("not the test command")
        };
        assert_eq!(
            (wasm, pass.join(" ")),
            (Some(Route::Rustup), "-p caisson-data --help".to_owned())
        );
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (line, word) in [
            ("tset", "tset"),
            ("guests --fast", "--fast"),
            ("setup --wasm-toolchain", "--wasm-toolchain"),
            ("setup --wasm-toolchain brew", "brew"),
            ("kill-test --kills many", "many"),
            ("kill-test --seed", "--seed"),
            ("schemathesis --examples few", "few"),
            ("load", "case"),
            ("load everything", "everything"),
            ("load many 100", "100"),
            ("soak --minutes long", "long"),
            ("compare --case none", "--case"),
            ("compare drift --peers limit", "--peers"),
        ] {
            let error = format!("{:#}", parsed(line).unwrap_err());
            assert!(error.contains(word), "{line}: {error}");
        }
    }
}
