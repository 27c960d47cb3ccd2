//! What is wrong with a file, said once, with what may have been meant.

/// Edits between a misspelt name and the one that was meant: two, and one in names of up to five letters.
const EDITS_MAX: usize = 2;

/// The message of a YAML error, with the name that an unknown one is most like.
pub(super) fn explained(message: &str) -> String {
    let Some((name, known)) = unknown(message) else {
        return message.to_owned();
    };
    let nearest = known
        .map(|known| (strsim::damerau_levenshtein(known, name), known))
        .filter(|(edits, known)| *edits <= EDITS_MAX.min((known.len() / 3).max(1)))
        .min();
    match nearest {
        Some((_, known)) => format!("{message}; did you mean `{known}`?"),
        None => message.to_owned(),
    }
}

/// Of "unknown field `modle`, expected one of name, model": the name, and those that there are.
fn unknown(message: &str) -> Option<(&str, impl Iterator<Item = &str>)> {
    let (_, rest) = message
        .split_once("unknown field `")
        .or_else(|| message.split_once("unknown variant `"))?;
    let (name, rest) = rest.split_once('`')?;
    let (_, known) = rest.split_once("expected ")?;
    let known = known.strip_prefix("one of ").unwrap_or(known);
    Some((name, known.split(", ").map(|known| known.trim_matches('`'))))
}

#[cfg(test)]
mod tests {
    use super::explained;

    #[test]
    fn a_misspelt_name_gets_a_hint_and_another_does_not() {
        for (message, hint) in [
            (
                "line 2 column 1: unknown field `modle`, expected one of name, model",
                Some("model"),
            ),
            ("unknown field `xyz`, expected one of name, model", None),
            (
                "unknown variant `fp23`, expected one of `FP32`, `fp32`",
                Some("fp32"),
            ),
            ("unknown field `nmae`, expected `name`", Some("name")),
            ("unknown variant `foo`, expected one of bool, text", None),
            ("missing field `name`", None),
        ] {
            let expected = match hint {
                Some(hint) => format!("{message}; did you mean `{hint}`?"),
                None => message.to_owned(),
            };
            assert_eq!(explained(message), expected);
        }
    }
}
