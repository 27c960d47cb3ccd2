use caisson_quality::hysteresis::{Change, Hysteresis, Outcome};
use proptest::prelude::*;

fn run(n: u8, m: u8, outcomes: &str) -> String {
    let mut state = Hysteresis::new(n, m).unwrap();
    let step = |outcome| {
        let outcome = match outcome {
            'b' => Outcome::Bad,
            'g' => Outcome::Good,
            _ => Outcome::Unknown,
        };
        match state.observe(outcome) {
            Change::Raised => 'R',
            Change::Ended => 'E',
            Change::None if state.is_raised() => '!',
            Change::None => '.',
        }
    };
    outcomes.chars().map(step).collect()
}

#[test]
fn n_of_m_raise_an_alarm_and_n_good_ones_end_it() {
    assert_eq!(run(1, 1, "gbbgb"), ".R!ER");
    assert_eq!(run(3, 5, "bgbgbgggg"), "....R!!E.");
    assert_eq!(run(3, 3, "bbgbbbgbggg"), ".....R!!!!E");
    // A spike a day apart is none.
    assert_eq!(run(2, 3, "bggbggbgg"), ".........");
    assert_eq!(run(1, 3, "bgggb"), "R!!ER");
    // Windows without a verdict move nothing.
    assert_eq!(run(2, 2, "b?b?g?g?"), "..R!!!E.");
}

#[test]
fn numbers_that_cannot_be_are_refused() {
    for (n, m) in [(0, 3), (4, 3), (1, 65)] {
        assert!(Hysteresis::new(n, m).is_err());
    }
    let refused = Hysteresis::new(4, 3).unwrap_err().to_string();
    assert_eq!(refused, "4 of 3 windows: n must be from 1 to m, and m at most 64");
    // The same from a config or a state.
    assert!(serde_json::from_str::<Hysteresis>(r#"{"n": 4, "m": 3}"#).is_err());
    let read: Hysteresis = serde_json::from_str(r#"{"n": 2, "m": 3}"#).unwrap();
    assert_eq!(read, Hysteresis::new(2, 3).unwrap());
}

proptest! {
    #[test]
    fn an_alarm_is_as_its_definition_says(n in 1u8..=8, more in 0u8..=56, outcomes in prop::collection::vec(any::<bool>(), 0..200)) {
        let m = n + more;
        let mut state = Hysteresis::new(n, m).unwrap();
        let mut raised = false;
        for at in 0..outcomes.len() {
            let outcome = if outcomes[at] { Outcome::Bad } else { Outcome::Good };
            // As it would be after a restart.
            state = serde_json::from_str(&serde_json::to_string(&state).unwrap()).unwrap();
            state.observe(outcome);
            let past = &outcomes[..=at];
            let last = |count: u8| &past[past.len().saturating_sub(usize::from(count))..];
            let bad = last(m).iter().filter(|bad| **bad).count();
            if bad >= usize::from(n) {
                raised = true;
            } else if past.len() >= usize::from(n) && !last(n).contains(&true) {
                raised = false;
            }
            prop_assert_eq!(state.is_raised(), raised);
            prop_assert_eq!(state.recent(), (bad as u32, past.len().min(usize::from(m)) as u8));
        }
    }
}
