use prost::Message as _;
use prost_types::FileDescriptorSet;
use prost_types::field_descriptor_proto::Type;

use super::*;
use crate::v1;

/// Encodes a field with a length.
fn field(number: u32, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    prost::encoding::bytes::encode(number, &value.to_vec(), &mut bytes);
    bytes
}

/// Puts an encoded field into the messages around it.
type Wrap<'a> = &'a dyn Fn(Vec<u8>) -> Vec<u8>;

/// Visits every string, bytes, list and map field of a message at any depth, with a function that encodes a
/// value of it within the outermost message.
fn each_field(name: &str, path: &str, wrap: Wrap<'_>, seen: &mut dyn FnMut(&Field, String, Wrap<'_>)) {
    let row = TABLE.iter().find(|(row, _)| *row == name);
    for bounded in row.map_or(&[][..], |(_, fields)| fields) {
        let path = if path.is_empty() { bounded.name.to_owned() } else { format!("{path}.{}", bounded.name) };
        seen(bounded, path.clone(), wrap);
        if !bounded.message.is_empty() {
            each_field(bounded.message, &path, &|inner| wrap(field(bounded.number, &inner)), seen);
        }
    }
}

#[test]
fn every_field_that_a_peer_sends_is_refused_just_above_its_bound() {
    let mut looked_at = 0;
    for (message, _) in TABLE {
        each_field(message, "", &|bytes| bytes, &mut |bounded, path, wrap| {
            if bounded.bytes != u64::MAX {
                let most = usize::try_from(bounded.bytes).expect("small");
                let of = |length| wrap(field(bounded.number, &vec![b'x'; length]));
                assert_eq!(check(message, &of(most)), Ok(()), "{message}.{path}");
                let error = check(message, &of(most + 1)).expect_err(&path);
                assert_eq!(
                    (error.field.as_str(), error.most, error.unit),
                    (path.as_str(), bounded.bytes, "bytes")
                );
                looked_at += 1;
            }
            if bounded.entries != u64::MAX {
                let most = usize::try_from(bounded.entries).expect("small");
                let of = |count| wrap(field(bounded.number, b"").repeat(count));
                assert_eq!(check(message, &of(most)), Ok(()), "{message}.{path}");
                let error = check(message, &of(most + 1)).expect_err(&path);
                assert_eq!(
                    (error.field.as_str(), error.most, error.unit),
                    (path.as_str(), bounded.entries, "entries")
                );
                looked_at += 1;
            }
        });
    }
    assert!(looked_at > 60, "{looked_at}");
}

/// The build checks this too. This test does so by reflection, so that a gap in the build's walk is found.
#[test]
fn no_string_bytes_list_or_map_of_a_request_or_a_monitors_answer_is_without_a_bound() {
    let set = FileDescriptorSet::decode(crate::DESCRIPTORS).expect("descriptors");
    let ours = || set.file.iter().filter(|file| file.package() == "sereno.v1");
    let message =
        |name: &str| ours().flat_map(|file| &file.message_type).find(|message| message.name() == name);
    let methods = ours()
        .flat_map(|file| &file.service)
        .flat_map(|service| service.method.iter().map(move |method| (service, method)));
    let mut open: Vec<String> = methods
        .flat_map(|(service, method)| {
            let answer = (service.name() == "Monitor").then(|| method.output_type());
            [Some(method.input_type()), answer].into_iter().flatten()
        })
        .map(|name| name.trim_start_matches(".sereno.v1.").to_owned())
        .collect();
    let mut at = 0;
    while at < open.len() {
        let name = open[at].clone();
        at += 1;
        let fields = TABLE.iter().find(|(row, _)| row.strip_prefix("sereno.v1.") == Some(&name));
        let fields = fields.unwrap_or_else(|| panic!("{name} has no row")).1;
        for declared in &message(&name).expect("declared").field {
            let held = fields.iter().find(|held| i32::try_from(held.number) == Ok(declared.number()));
            let held = held.unwrap_or_else(|| panic!("{name}.{} is not held", declared.name()));
            if declared.label() == prost_types::field_descriptor_proto::Label::Repeated {
                assert_ne!(held.entries, u64::MAX, "{name}.{}", declared.name());
            }
            match declared.r#type() {
                Type::String | Type::Bytes => assert_ne!(held.bytes, u64::MAX, "{name}.{}", declared.name()),
                Type::Message => {
                    let inner = declared.type_name().trim_start_matches(".sereno.v1.").to_owned();
                    if message(&inner).is_some() && !open.contains(&inner) {
                        open.push(inner);
                    }
                }
                _ => {}
            }
        }
    }
    assert!(open.len() > 30, "{open:?}");
}

#[test]
fn a_report_is_refused_for_the_reason_that_held_half_a_gigabyte() {
    let report =
        v1::ReportHealthRequest { blind_reason: "x".repeat(4 << 20), ..v1::ReportHealthRequest::default() };
    let error = check("sereno.v1.ReportHealthRequest", &report.encode_to_vec()).expect_err("too long");
    assert_eq!(error.to_string(), "blind_reason: has 4194304 bytes, and 300 are allowed at most");
    let evidence = v1::Evidence { body_head: vec![0; 201], ..v1::Evidence::default() };
    let ask = v1::RequestRestartRequest { evidence: Some(evidence), ..v1::RequestRestartRequest::default() };
    let error = check("sereno.v1.RequestRestartRequest", &ask.encode_to_vec()).expect_err("too long");
    assert_eq!(error.field, "evidence.body_head");
}

#[test]
fn bytes_that_are_no_message_are_left_to_the_decoder() {
    let mut seed = 7_u64;
    for length in 0..2_000 {
        let bytes: Vec<u8> = (0..length % 61)
            .map(|_| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                u8::try_from(seed >> 56).expect("a byte")
            })
            .collect();
        let _ = check("sereno.v1.ReportHealthRequest", &bytes);
    }
    assert_eq!(check("sereno.v1.NoSuch", b"\xff"), Ok(()));
}

#[test]
fn texts_are_cut_between_characters() {
    assert_eq!(cut("añejo".into(), 2), "a");
    assert_eq!(cut("añejo".into(), 3), "añ");
    assert_eq!(cut("añejo".into(), 99), "añejo");
}
