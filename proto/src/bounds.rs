//! Limits on the size of message fields. The numbers are read at build time from the comments in
//! `proto/sereno/v1/*.proto`; they are enforced here on the encoded bytes, before anything is allocated.

use std::fmt;

mod table {
    #![allow(clippy::unreadable_literal, reason = "written by the build")]
    use super::Field;
    include!(concat!(env!("OUT_DIR"), "/bounds.rs"));
}

use table::TABLE;

/// Maximum length of a detail text in a report or a request, in bytes.
pub const DETAIL: usize = 300;

/// Maximum length of the beginning of a body in evidence, in bytes.
pub const BODY_HEAD: usize = 200;

/// Maximum length of `last_error` in a monitor's status, in bytes.
pub const LAST_ERROR: usize = 1_024;

/// Maximum nesting depth of messages of the contract.
const DEPTH: usize = 8;

/// A field and its limits.
struct Field {
    number: u32,
    name: &'static str,
    /// Maximum number of entries of a repeated field or a map.
    entries: u64,
    /// Maximum length of a string, bytes, or an entry of a map.
    bytes: u64,
    /// Full name of the nested message type; empty if there is none.
    message: &'static str,
}

/// A field that is larger than the contract allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TooLarge {
    /// Path of the field within its message, for example `results.detail`.
    pub field: String,
    /// Actual size of the field.
    pub has: u64,
    /// Maximum size of the field.
    pub most: u64,
    /// Unit of both sizes: bytes or entries.
    pub unit: &'static str,
}

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { field, has, most, unit } = self;
        write!(f, "{field}: has {has} {unit}, and {most} are allowed at most")
    }
}

impl std::error::Error for TooLarge {}

/// Checks an encoded message against the limits of its fields. `message` is its full name; a message that
/// no peer sends has no limits. Malformed bytes pass: decoding reports what is wrong with them.
pub fn check(message: &str, bytes: &[u8]) -> Result<(), TooLarge> {
    walk(message, bytes, &mut Vec::new())
}

fn walk(message: &str, mut bytes: &[u8], path: &mut Vec<&'static str>) -> Result<(), TooLarge> {
    let Ok(row) = TABLE.binary_search_by(|(name, _)| (*name).cmp(message)) else { return Ok(()) };
    let fields = TABLE[row].1;
    let mut counts = vec![0_u64; fields.len()];
    while let Some((number, value)) = next(&mut bytes) {
        let Some(index) = fields.iter().position(|field| field.number == number) else { continue };
        let field = &fields[index];
        let too_large = |path: &[&str], has, most, unit| {
            let field = path.iter().chain([&field.name]).copied().collect::<Vec<_>>().join(".");
            Err(TooLarge { field, has, most, unit })
        };
        counts[index] += 1;
        if counts[index] > field.entries {
            return too_large(path, counts[index], field.entries, "entries");
        }
        let Some(value) = value else { continue };
        let length = u64::try_from(value.len()).unwrap_or(u64::MAX);
        if length > field.bytes {
            return too_large(path, length, field.bytes, "bytes");
        }
        if !field.message.is_empty() && path.len() < DEPTH {
            path.push(field.name);
            walk(field.message, value, path)?;
            path.pop();
        }
    }
    Ok(())
}

/// Returns the number of the next field, and its bytes if it has a length. Returns `None` at the end or at
/// malformed bytes.
fn next<'a>(bytes: &mut &'a [u8]) -> Option<(u32, Option<&'a [u8]>)> {
    const VARINT: u64 = 0;
    const FIXED_64: u64 = 1;
    const LENGTH: u64 = 2;
    const FIXED_32: u64 = 5;
    let key = varint(bytes)?;
    let number = u32::try_from(key >> 3).ok()?;
    let length = match key & 7 {
        VARINT => {
            varint(bytes)?;
            return Some((number, None));
        }
        FIXED_64 => 8,
        FIXED_32 => 4,
        LENGTH => varint(bytes)?,
        _ => return None,
    };
    let (value, rest) = bytes.split_at_checked(usize::try_from(length).ok()?)?;
    *bytes = rest;
    Some((number, (key & 7 == LENGTH).then_some(value)))
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Shortens a text to at most `most` bytes, at a character boundary.
pub fn cut(mut text: String, most: usize) -> String {
    if text.len() > most {
        let end = (0..=most).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
    }
    text
}

#[cfg(test)]
#[path = "bounds_tests.rs"]
mod tests;
