//! Reads the limits of fields from the comments of the contract ("At most 64 bytes", "At most 16 entries of
//! at most 64 bytes each") and writes them as a table. A field that a peer may fill and that has no limit
//! is a build error.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use protox::prost_reflect::prost_types::field_descriptor_proto::{Label, Type};
use protox::prost_reflect::prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorSet, MessageOptions,
};

/// Why the table can not be built.
#[derive(Debug)]
pub(super) struct BoundsError(String);

impl std::fmt::Display for BoundsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BoundsError {}

/// A message of the contract with the comments of its fields.
struct Message<'a> {
    descriptor: &'a DescriptorProto,
    comments: BTreeMap<usize, String>,
}

/// Returns the Rust source of `TABLE`: every message that a daemon receives from an untrusted peer, and the
/// messages nested in it.
pub(super) fn table(set: &FileDescriptorSet) -> Result<String, BoundsError> {
    let messages = messages(set);
    let mut open = roots(set);
    let mut done = BTreeSet::new();
    let mut source = String::from("pub(super) const TABLE: &[(&str, &[Field])] = &[\n");
    let mut rows = BTreeMap::new();
    while let Some(name) = open.pop_first() {
        if !done.insert(name.clone()) {
            continue;
        }
        let Some(message) = messages.get(&name) else { continue };
        let mut row = String::new();
        for (index, field) in message.descriptor.field.iter().enumerate() {
            let comment = message.comments.get(&index).map_or("", String::as_str);
            let bound = bound(&name, field, comment, &messages)?;
            if let Some(inner) = &bound.message {
                open.insert(inner.clone());
            }
            let _ = writeln!(
                row,
                "Field {{ number: {}, name: {:?}, entries: {}, bytes: {}, message: {:?} }},",
                field.number(),
                field.name(),
                bound.entries,
                bound.bytes,
                bound.message.unwrap_or_default(),
            );
        }
        rows.insert(name, row);
    }
    for (name, row) in rows {
        let _ = writeln!(source, "({name:?}, &[\n{row}]),");
    }
    source.push_str("];\n");
    Ok(source)
}

struct Bound {
    entries: u64,
    bytes: u64,
    message: Option<String>,
}

fn bound(
    of: &str,
    field: &FieldDescriptorProto,
    comment: &str,
    messages: &BTreeMap<String, Message<'_>>,
) -> Result<Bound, BoundsError> {
    let lacks =
        |what: &str| BoundsError(format!("{of}.{}: its comment must say `At most {what}`", field.name()));
    let said = limits(comment);
    let repeated = field.label() == Label::Repeated;
    let inner =
        (field.r#type() == Type::Message).then(|| field.type_name().trim_start_matches('.').to_owned());
    let is_map = inner
        .as_ref()
        .and_then(|name| messages.get(name))
        .is_some_and(|inner| inner.descriptor.options.as_ref().is_some_and(MessageOptions::map_entry));
    let text = matches!(field.r#type(), Type::String | Type::Bytes);
    let bytes = said.iter().find_map(|(number, bytes)| bytes.then_some(*number));
    let entries = said.iter().find_map(|(number, bytes)| (!bytes).then_some(*number));
    Ok(Bound {
        entries: if repeated { entries.ok_or_else(|| lacks("N entries"))? } else { u64::MAX },
        bytes: if text || is_map { bytes.ok_or_else(|| lacks("N bytes"))? } else { u64::MAX },
        message: if is_map { None } else { inner },
    })
}

/// Returns every "at most N UNIT" of a comment: the number, and whether its unit is a unit of size.
fn limits(comment: &str) -> Vec<(u64, bool)> {
    let comment = comment.to_lowercase();
    let said = comment.match_indices("at most ").filter_map(|(at, phrase)| {
        let mut words = comment[at + phrase.len()..].split_whitespace();
        let number: u64 = words.next()?.replace(',', "").parse().ok()?;
        let unit = words.next().unwrap_or_default().trim_end_matches(['.', ';', ',']);
        let size = match unit {
            "bytes" => 1,
            "kib" => 1024,
            "mib" => 1024 * 1024,
            _ => return Some((number, false)),
        };
        Some((number * size, true))
    });
    said.collect()
}

/// Returns the messages that a peer sends: every request, and the answers of monitors, which anyone may implement.
fn roots(set: &FileDescriptorSet) -> BTreeSet<String> {
    let mut roots = BTreeSet::new();
    let services = set.file.iter().flat_map(|file| &file.service);
    for (service, method) in
        services.flat_map(|service| service.method.iter().map(move |method| (service, method)))
    {
        roots.insert(method.input_type().trim_start_matches('.').to_owned());
        if service.name() == "Monitor" {
            roots.insert(method.output_type().trim_start_matches('.').to_owned());
        }
    }
    roots
}

/// Returns every message of the contract by its full name, including nested ones (entries of maps).
fn messages(set: &FileDescriptorSet) -> BTreeMap<String, Message<'_>> {
    const MESSAGES: i32 = 4;
    const FIELDS: i32 = 2;
    let mut found = BTreeMap::new();
    for file in &set.file {
        for (index, descriptor) in file.message_type.iter().enumerate() {
            let name = format!("{}.{}", file.package(), descriptor.name());
            let locations = file.source_code_info.iter().flat_map(|info| &info.location);
            let comments = locations.filter_map(|location| match location.path[..] {
                [MESSAGES, message, FIELDS, field] if usize::try_from(message) == Ok(index) => {
                    let text = format!("{} {}", location.leading_comments(), location.trailing_comments());
                    Some((usize::try_from(field).ok()?, text))
                }
                _ => None,
            });
            for nested in &descriptor.nested_type {
                let nested_name = format!("{name}.{}", nested.name());
                found.insert(nested_name, Message { descriptor: nested, comments: BTreeMap::new() });
            }
            found.insert(name, Message { descriptor, comments: comments.collect() });
        }
    }
    found
}
