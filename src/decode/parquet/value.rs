//! One value as JSON text.
//!
//! | stored as | written as |
//! |---|---|
//! | boolean, integer of any width and sign | itself |
//! | decimal | number with exactly its scale's digits: `12.50` |
//! | float, double, float16 | the shortest number that reads back the same; NaN and infinities are `null` |
//! | timestamp, INT96 | `"2026-01-02T03:04:05.678Z"`: 3, 6 or 9 digits by its unit, `Z` unless it is local time |
//! | date, time of day | `"2026-01-02"`, `"03:04:05.678"` |
//! | UUID | `"01234567-89ab-cdef-0123-456789abcdef"` |
//! | string, enum, JSON text, bytes | string; base64 when the bytes are not UTF-8 |
//!
//! A time that no calendar of four-digit years holds is the stored integer, as a number.

use std::fmt::Display;
use std::io::Write;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use parquet::basic::{ConvertedType, LogicalType, TimeUnit, Type as Physical};
use parquet::data_type::Int96;
use parquet::schema::types::Type;

use super::bad;
use super::column::Stored;
use crate::decode::Error;

/// The meaning of a column's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The stored value; bytes are text if possible.
    Plain,
    Unsigned,
    Decimal {
        scale: usize,
    },
    Date,
    Time(Unit),
    Timestamp {
        unit: Unit,
        utc: bool,
    },
    Float16,
    Uuid,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Millis,
    Micros,
    Nanos,
}

/// Digits of a decimal: the maximum of 32 bytes.
const DECIMAL_BYTES_MAX: usize = 32;
const DECIMAL_SCALE_MAX: i32 = 77;
const DAY_SECONDS: i64 = 86_400;
/// Julian day of the Unix epoch, since INT96's days are Julian.
const EPOCH_JULIAN_DAY: i64 = 2_440_588;

impl Kind {
    /// The kind of a primitive type.
    pub fn of(field: &Type) -> Result<Kind, Error> {
        if field.get_physical_type() == Physical::INT96 {
            return Ok(Kind::Timestamp { unit: Unit::Nanos, utc: true });
        }
        let Type::PrimitiveType { basic_info, scale, .. } = field else { return Ok(Kind::Plain) };
        match basic_info.logical_type_ref() {
            Some(logical) => Kind::of_logical(logical),
            None => Kind::of_converted(basic_info.converted_type(), *scale),
        }
    }

    fn of_logical(logical: &LogicalType) -> Result<Kind, Error> {
        Ok(match logical {
            LogicalType::Integer(integer) if !integer.is_signed => Kind::Unsigned,
            LogicalType::Decimal(decimal) => Kind::decimal(decimal.scale)?,
            LogicalType::Date => Kind::Date,
            LogicalType::Time(time) => Kind::Time(Unit::of(time.unit)),
            LogicalType::Timestamp(timestamp) => {
                Kind::Timestamp { unit: Unit::of(timestamp.unit), utc: timestamp.is_adjusted_to_u_t_c }
            }
            LogicalType::Float16 => Kind::Float16,
            LogicalType::Uuid => Kind::Uuid,
            _ => Kind::Plain,
        })
    }

    fn of_converted(converted: ConvertedType, scale: i32) -> Result<Kind, Error> {
        use ConvertedType as C;
        Ok(match converted {
            C::UINT_8 | C::UINT_16 | C::UINT_32 | C::UINT_64 => Kind::Unsigned,
            C::DECIMAL => Kind::decimal(scale)?,
            C::DATE => Kind::Date,
            C::TIME_MILLIS => Kind::Time(Unit::Millis),
            C::TIME_MICROS => Kind::Time(Unit::Micros),
            C::TIMESTAMP_MILLIS => Kind::Timestamp { unit: Unit::Millis, utc: true },
            C::TIMESTAMP_MICROS => Kind::Timestamp { unit: Unit::Micros, utc: true },
            _ => Kind::Plain,
        })
    }

    fn decimal(scale: i32) -> Result<Kind, Error> {
        match usize::try_from(scale) {
            Ok(scale) if scale <= DECIMAL_SCALE_MAX as usize => Ok(Kind::Decimal { scale }),
            _ => Err(bad(format!("a decimal of scale {scale}"))),
        }
    }

    /// Appends the value. A kind that does not fit the stored value is written as stored.
    pub fn write(self, stored: Stored<'_>, out: &mut Vec<u8>) {
        match (self, stored) {
            (Kind::Unsigned, Stored::Int32(value)) => number(value as u32, out),
            (Kind::Unsigned, Stored::Int64(value)) => number(value as u64, out),
            (Kind::Decimal { scale }, Stored::Int32(value)) => decimal(&value.to_be_bytes(), scale, out),
            (Kind::Decimal { scale }, Stored::Int64(value)) => decimal(&value.to_be_bytes(), scale, out),
            (Kind::Decimal { scale }, Stored::Bytes(value)) => decimal(value, scale, out),
            (Kind::Date, Stored::Int32(days)) => date(days, out),
            (Kind::Time(unit), Stored::Int32(value)) => time(unit, value.into(), out),
            (Kind::Time(unit), Stored::Int64(value)) => time(unit, value, out),
            (Kind::Timestamp { unit, utc }, Stored::Int64(value)) => {
                timestamp(unit, i128::from(value), utc, out);
            }
            (Kind::Timestamp { unit, utc }, Stored::Int96(value)) => timestamp(unit, nanos(value), utc, out),
            (Kind::Float16, Stored::Bytes(&[low, high])) => {
                float(float16(u16::from_le_bytes([low, high])), out);
            }
            (Kind::Uuid, Stored::Bytes(value)) if value.len() == 16 => uuid(value, out),
            (_, stored) => plain(stored, out),
        }
    }
}

impl Unit {
    fn of(unit: TimeUnit) -> Unit {
        match unit {
            TimeUnit::MILLIS => Unit::Millis,
            TimeUnit::MICROS => Unit::Micros,
            TimeUnit::NANOS => Unit::Nanos,
        }
    }

    fn digits(self) -> usize {
        match self {
            Unit::Millis => 3,
            Unit::Micros => 6,
            Unit::Nanos => 9,
        }
    }

    fn per_second(self) -> i64 {
        10i64.pow(self.digits() as u32)
    }
}

fn plain(stored: Stored<'_>, out: &mut Vec<u8>) {
    match stored {
        Stored::Bool(value) => number(value, out),
        Stored::Int32(value) => number(value, out),
        Stored::Int64(value) => number(value, out),
        Stored::Int96(value) => number(nanos(value), out),
        Stored::Float(value) => float(value, out),
        Stored::Double(value) => float(value, out),
        Stored::Bytes(value) => bytes(value, out),
    }
}

/// Appends a JSON string.
pub(super) fn text(text: &str, out: &mut Vec<u8>) {
    json(text, out);
}

fn bytes(value: &[u8], out: &mut Vec<u8>) {
    match std::str::from_utf8(value) {
        Ok(string) => text(string, out),
        Err(_) => quoted(BASE64_STANDARD.encode(value), out),
    }
}

fn json(value: impl serde::Serialize, out: &mut Vec<u8>) {
    // Neither a Vec nor a string or number can fail.
    let _ = serde_json::to_writer(out, &value);
}

fn number(value: impl Display, out: &mut Vec<u8>) {
    let _ = write!(out, "{value}");
}

/// NaN and the infinities, which JSON does not have, are null.
fn float(value: impl serde::Serialize, out: &mut Vec<u8>) {
    json(value, out);
}

/// A string that needs no escaping.
fn quoted(value: impl Display, out: &mut Vec<u8>) {
    let _ = write!(out, "\"{value}\"");
}

fn date(days: i32, out: &mut Vec<u8>) {
    match Timestamp::from_second(i64::from(days) * DAY_SECONDS).map(|day| day.to_string()) {
        Ok(day) if !day.starts_with('-') => quoted(&day[..day.find('T').unwrap_or(day.len())], out),
        _ => number(days, out),
    }
}

fn time(unit: Unit, value: i64, out: &mut Vec<u8>) {
    let (seconds, rest) = (value.div_euclid(unit.per_second()), value.rem_euclid(unit.per_second()));
    if !(0..=DAY_SECONDS).contains(&seconds) {
        return number(value, out);
    }
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    quoted(format_args!("{hours:02}:{minutes:02}:{seconds:02}.{rest:0width$}", width = unit.digits()), out);
}

fn timestamp(unit: Unit, value: i128, utc: bool, out: &mut Vec<u8>) {
    let to_nanos = i128::from(Unit::Nanos.per_second() / unit.per_second());
    let time = value.checked_mul(to_nanos).and_then(|nanos| Timestamp::from_nanosecond(nanos).ok());
    match time.map(|time| format!("{time:.width$}", width = unit.digits())) {
        Some(time) if !time.starts_with('-') => {
            quoted(if utc { &time } else { time.trim_end_matches('Z') }, out);
        }
        _ => number(value, out),
    }
}

/// Nanoseconds of the day, then the Julian day.
fn nanos(value: &Int96) -> i128 {
    let &[low, high, day] = value.data() else { return 0 };
    let of_day = i128::from(u64::from(high) << 32 | u64::from(low));
    let days = i128::from(i64::from(day) - EPOCH_JULIAN_DAY);
    days * i128::from(DAY_SECONDS) * 1_000_000_000 + of_day
}

/// A big-endian number in two's complement.
fn decimal(value: &[u8], scale: usize, out: &mut Vec<u8>) {
    if value.len() > DECIMAL_BYTES_MAX {
        return bytes(value, out);
    }
    let negative = value.first().is_some_and(|byte| byte & 0x80 != 0);
    if negative {
        out.push(b'-');
    }
    let mut digits = digits(magnitude(value, negative));
    while digits.len() <= scale {
        digits.push(b'0');
    }
    digits.reverse();
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    out.extend_from_slice(whole);
    if scale > 0 {
        out.push(b'.');
        out.extend_from_slice(fraction);
    }
}

fn magnitude(value: &[u8], negative: bool) -> Vec<u8> {
    let mut bytes = value.to_vec();
    if negative {
        let mut carry = true;
        for byte in bytes.iter_mut().rev() {
            (*byte, carry) = (!*byte).overflowing_add(u8::from(carry));
        }
    }
    bytes
}

/// Decimal digits, last first.
fn digits(mut number: Vec<u8>) -> Vec<u8> {
    let mut digits = Vec::new();
    while number.iter().any(|&byte| byte != 0) {
        let mut rest = 0;
        for byte in &mut number {
            let value = rest * 256 + u32::from(*byte);
            (*byte, rest) = ((value / 10) as u8, value % 10);
        }
        digits.push(b'0' + rest as u8);
    }
    digits
}

/// IEEE 754 binary16; every value of it is also one of `f32`.
fn float16(bits: u16) -> f32 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f32::from(bits & 0x3ff));
    sign * match exponent {
        0 => fraction * 2f32.powi(-24),
        0x1f if fraction == 0.0 => f32::INFINITY,
        0x1f => f32::NAN,
        _ => (1.0 + fraction / 1024.0) * 2f32.powi(exponent - 15),
    }
}

fn uuid(value: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for (number, byte) in value.iter().enumerate() {
        if matches!(number, 4 | 6 | 8 | 10) {
            out.push(b'-');
        }
        let _ = write!(out, "{byte:02x}");
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(kind: Kind, stored: Stored<'_>) -> String {
        let mut out = Vec::new();
        kind.write(stored, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_are_exact() {
        assert_eq!(written(Kind::Plain, Stored::Int64(i64::MIN)), "-9223372036854775808");
        assert_eq!(written(Kind::Unsigned, Stored::Int64(-1)), "18446744073709551615");
        assert_eq!(written(Kind::Unsigned, Stored::Int32(-1)), "4294967295");
        assert_eq!(written(Kind::Plain, Stored::Float(0.1)), "0.1");
        assert_eq!(written(Kind::Plain, Stored::Double(0.1)), "0.1");
        assert_eq!(written(Kind::Plain, Stored::Double(f64::NAN)), "null");
        assert_eq!(written(Kind::Plain, Stored::Float(f32::INFINITY)), "null");
    }

    #[test]
    fn decimals_keep_their_digits() {
        let decimal = |scale, value| written(Kind::Decimal { scale }, Stored::Int32(value));
        assert_eq!(decimal(2, 1250), "12.50");
        assert_eq!(decimal(2, -5), "-0.05");
        assert_eq!(decimal(0, 0), "0");
        assert_eq!(decimal(3, 0), "0.000");
        assert_eq!(decimal(0, i32::MIN), "-2147483648");
        assert_eq!(written(Kind::Decimal { scale: 1 }, Stored::Bytes(&[])), "0.0");
        let largest =
            format!("-5{}", "7896044618658097711785492504343953926634992332820282019728792003956564819968");
        assert_eq!(
            written(Kind::Decimal { scale: 0 }, Stored::Bytes(&[&[0x80][..], &[0; 31]].concat())),
            largest
        );
    }

    #[test]
    fn times_are_iso_8601() {
        let millis = Kind::Timestamp { unit: Unit::Millis, utc: true };
        assert_eq!(written(millis, Stored::Int64(1_767_323_045_678)), "\"2026-01-02T03:04:05.678Z\"");
        assert_eq!(written(millis, Stored::Int64(-1)), "\"1969-12-31T23:59:59.999Z\"");
        assert_eq!(written(millis, Stored::Int64(i64::MAX)), i64::MAX.to_string());
        let local = Kind::Timestamp { unit: Unit::Nanos, utc: false };
        assert_eq!(written(local, Stored::Int64(1)), "\"1970-01-01T00:00:00.000000001\"");
        let mut value = Int96::new();
        value.set_data(7, 0, 2_440_589);
        assert_eq!(
            written(Kind::Timestamp { unit: Unit::Nanos, utc: true }, Stored::Int96(&value)),
            "\"1970-01-02T00:00:00.000000007Z\""
        );
        assert_eq!(written(Kind::Date, Stored::Int32(20_455)), "\"2026-01-02\"");
        assert_eq!(written(Kind::Date, Stored::Int32(i32::MIN)), "-2147483648");
        assert_eq!(written(Kind::Time(Unit::Millis), Stored::Int32(11_045_678)), "\"03:04:05.678\"");
        assert_eq!(written(Kind::Time(Unit::Micros), Stored::Int64(-1)), "-1");
    }

    #[test]
    fn bytes_are_text_if_they_can_be() {
        assert_eq!(written(Kind::Plain, Stored::Bytes(b"a\"\n\0\xc3\xa9")), "\"a\\\"\\n\\u0000\u{e9}\"");
        assert_eq!(written(Kind::Plain, Stored::Bytes(b"\xff\xfe")), "\"//4=\"");
        let uuid: Vec<u8> = (0..16).collect();
        assert_eq!(written(Kind::Uuid, Stored::Bytes(&uuid)), "\"00010203-0405-0607-0809-0a0b0c0d0e0f\"");
    }

    #[test]
    fn half_floats() {
        let half = |bits: u16| written(Kind::Float16, Stored::Bytes(&bits.to_le_bytes()));
        assert_eq!(half(0x3c00), "1.0");
        assert_eq!(half(0xc000), "-2.0");
        assert_eq!(half(0x7bff), "65504.0");
        assert_eq!(half(0x0001), "5.9604645e-8");
        assert_eq!(half(0x7c00), "null");
        assert_eq!(half(0x7e00), "null");
    }

    proptest! {
        #[test]
        fn decimals_are_those_of_i128(value in any::<i128>()) {
            let all = value.to_be_bytes();
            prop_assert_eq!(written(Kind::Decimal { scale: 0 }, Stored::Bytes(&all)), value.to_string());
        }

        #[test]
        fn every_value_is_json(bytes in proptest::collection::vec(any::<u8>(), 0..40), number in any::<i64>()) {
            let kinds = [
                Kind::Plain, Kind::Unsigned, Kind::Decimal { scale: 9 }, Kind::Date, Kind::Time(Unit::Nanos),
                Kind::Timestamp { unit: Unit::Micros, utc: true }, Kind::Float16, Kind::Uuid,
            ];
            for kind in kinds {
                for stored in [Stored::Bytes(&bytes), Stored::Int64(number), Stored::Int32(number as i32)] {
                    let text = written(kind, stored);
                    prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{}", text);
                    prop_assert!(!text.contains('\n'));
                }
            }
        }
    }
}
