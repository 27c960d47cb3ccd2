//! Plain decimal numbers, read and rounded in one pass.
//!
//! A prediction's body is numbers, nearly all of it, so this is where decoding spends its time. What is
//! not plain (more than 19 digits, huge exponents, results near the end of a type's range or too close to
//! the middle between two of its values) is left to the standard library's parser, which is exact for all of them.

/// Digits that a `u64` holds whatever they are.
const DIGITS_MAX: usize = 19;
/// Powers of ten that binary64 holds exactly.
const EXACT_POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];
/// Up to here integers are exact in binary64.
const EXACT_INTEGER: u64 = 1 << 53;
/// Bits that binary64 has behind those of binary32, and the middle between two values of binary32.
const BEHIND_F32: u64 = (1 << 29) - 1;
const MIDDLE: u64 = 1 << 28;

/// `±mantissa × 10^exponent`, and the bytes that it was written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Decimal {
    negative: bool,
    mantissa: u64,
    exponent: i32,
    /// Bytes read.
    pub(crate) length: usize,
}

impl Decimal {
    /// The number at the start of these bytes, as JSON's grammar has it. `None` for what is no number, and for a
    /// number that isn't plain. What follows is for the caller to look at.
    #[inline]
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let negative = bytes.first() == Some(&b'-');
        let start = bytes.get(usize::from(negative)..)?;
        let mut mantissa = 0u64;
        let rest = digits(start, &mut mantissa);
        let whole = start.len() - rest.len();
        // No digit, or a zero before others.
        if whole == 0 || whole > 1 && start.first() == Some(&b'0') {
            return None;
        }
        let (mut rest, mut count, mut exponent) = (rest, whole, 0);
        if let Some(fraction) = rest.strip_prefix(b".") {
            rest = digits(fraction, &mut mantissa);
            let places = fraction.len() - rest.len();
            if places == 0 {
                return None;
            }
            count += places;
            exponent = -(places as i32);
        }
        if count > DIGITS_MAX {
            return None;
        }
        if let [b'e' | b'E', written @ ..] = rest {
            let (sign, written) = match written {
                [b'-', digits @ ..] => (-1, digits),
                [b'+', digits @ ..] => (1, digits),
                digits => (1, digits),
            };
            let mut power = 0u64;
            rest = digits(written, &mut power);
            // Three digits are beyond every type's range already.
            if !(1..=3).contains(&(written.len() - rest.len())) {
                return None;
            }
            exponent += sign * power as i32;
        }
        Some(Self {
            negative,
            mantissa,
            exponent,
            length: bytes.len() - rest.len(),
        })
    }

    /// The nearest binary64.
    #[inline]
    pub(crate) fn to_f64(self) -> Option<f64> {
        // Both are exact, so the one operation between them rounds once (Clinger, 1990).
        (self.mantissa <= EXACT_INTEGER).then(|| self.scaled()).flatten()
    }

    /// The nearest binary32.
    #[inline]
    pub(crate) fn to_f32(self) -> Option<f32> {
        let near = self.scaled()?;
        // The mantissa and the operation were each rounded once, so this is less than two units off. That
        // can't reach the other side of the middle unless the middle is about as near.
        let behind = near.to_bits() & BEHIND_F32;
        let size = near.abs();
        let in_range =
            size > f64::from(f32::MIN_POSITIVE) && size < f64::from(f32::MAX) || self.mantissa == 0;
        (in_range && behind.abs_diff(MIDDLE) > 2).then_some(near as f32)
    }

    #[inline]
    fn scaled(self) -> Option<f64> {
        let power = *EXACT_POWERS.get(self.exponent.unsigned_abs() as usize)?;
        let mantissa = self.mantissa as f64;
        let size = if self.exponent < 0 {
            mantissa / power
        } else {
            mantissa * power
        };
        Some(if self.negative { -size } else { size })
    }
}

/// Read digits onto `value`, which wraps past [`DIGITS_MAX`] of them; gives what follows.
#[inline]
fn digits<'a>(mut bytes: &'a [u8], value: &mut u64) -> &'a [u8] {
    while let Some((eight, rest)) = bytes.split_first_chunk::<8>() {
        let Some(number) = eight_digits(*eight) else { break };
        *value = value.wrapping_mul(100_000_000).wrapping_add(number);
        bytes = rest;
    }
    while let [digit @ b'0'..=b'9', rest @ ..] = bytes {
        *value = value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
        bytes = rest;
    }
    bytes
}

/// The number that eight digits write, the first in the lowest byte of a word: neighbours are joined to
/// pairs, pairs to fours, fours to the whole, each by one multiplication for all of them.
#[inline]
fn eight_digits(bytes: [u8; 8]) -> Option<u64> {
    const HIGH: u64 = 0xF0F0_F0F0_F0F0_F0F0;
    let word = u64::from_le_bytes(bytes);
    // Every byte is 0x30 to 0x39: its high half is 3, also after adding 6.
    let threes = word & HIGH | (word.wrapping_add(0x0606_0606_0606_0606) & HIGH) >> 4;
    if threes != 0x3333_3333_3333_3333 {
        return None;
    }
    let ones = word & 0x0F0F_0F0F_0F0F_0F0F;
    let pairs = (ones.wrapping_mul(10).wrapping_add(ones >> 8)) & 0x00FF_00FF_00FF_00FF;
    let fours = (pairs.wrapping_mul(100).wrapping_add(pairs >> 16)) & 0x0000_FFFF_0000_FFFF;
    Some((fours.wrapping_mul(10_000).wrapping_add(fours >> 32)) & 0xFFFF_FFFF)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str) -> Result<(), TestCaseError> {
        let Some(number) = Decimal::read(text.as_bytes()) else {
            return Ok(());
        };
        prop_assert_eq!(number.length, text.len());
        if let Some(value) = number.to_f32() {
            prop_assert_eq!(
                value.to_bits(),
                text.parse::<f32>().unwrap().to_bits(),
                "{}",
                text
            );
        }
        if let Some(value) = number.to_f64() {
            prop_assert_eq!(
                value.to_bits(),
                text.parse::<f64>().unwrap().to_bits(),
                "{}",
                text
            );
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn as_the_standard_library_rounds(text in "-?(0|[1-9][0-9]{0,12})(\\.[0-9]{1,12})?([eE][+-]?[0-9]{1,3})?") {
            check(&text)?;
        }

        #[test]
        fn what_floats_are_written_as(bits in any::<u32>(), more in any::<u64>()) {
            let (narrow, wide) = (f32::from_bits(bits), f64::from_bits(more));
            for text in [format!("{narrow}"), format!("{narrow:e}"), format!("{}", f64::from(narrow)), format!("{wide:e}")] {
                check(&text)?;
            }
        }

        /// Numbers that lie at the middle between two of binary32, or next to it.
        #[test]
        fn the_middle_between_two(bits in 0x0080_0000u32..0x7F00_0000, off in -3i64..4) {
            let middle = f64::from(f32::from_bits(bits)).to_bits() + MIDDLE;
            let near = f64::from_bits(middle.wrapping_add_signed(off));
            for text in [format!("{near:e}"), format!("{near}")] {
                check(&text)?;
            }
        }
    }

    #[test]
    fn what_floats_are_usually_written_as_is_plain() {
        for text in [
            "0",
            "-0",
            "0.0",
            "17.99",
            "-1e5",
            "19.020000457763672",
            "0.012000000104308128",
            "1076.0",
        ] {
            let number = Decimal::read(text.as_bytes()).unwrap();
            assert_eq!(
                number.to_f32().map(f32::to_bits),
                text.parse::<f32>().ok().map(f32::to_bits),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_number_or_not_plain_is_left_alone() {
        for text in [
            "",
            "-",
            "01",
            "1.",
            ".5",
            "+1",
            "1e",
            "1e+",
            "NaN",
            "1.e3",
            "12345678901234567890",
            "1e1000",
        ] {
            assert_eq!(Decimal::read(text.as_bytes()), None, "{text}");
        }
        for text in ["1e-40", "3.5e38", "1e30"] {
            assert_eq!(
                Decimal::read(text.as_bytes()).and_then(Decimal::to_f32),
                None,
                "{text}"
            );
        }
        assert_eq!(Decimal::read(b"1.5,2").unwrap().length, 3);
    }
}
