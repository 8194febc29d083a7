//! Typed details of errors, in the standard envelope `google.rpc.Status`, which clients in any language can open.

use prost::Message as _;
use prost_types::Any;
use tonic::{Code, Status};

use crate::v1::UnknownSelector;

/// The message `google.rpc.Status`.
#[derive(Clone, PartialEq, prost::Message)]
struct Envelope {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

/// Returns the error for a selector that matches nothing, with the selector in its details.
pub fn unknown_selector(message: String, selector: String) -> Status {
    let detail = Any::from_msg(&UnknownSelector { selector }).expect("a vector takes it");
    let envelope = Envelope { code: Code::NotFound.into(), message: message.clone(), details: vec![detail] };
    Status::with_details(Code::NotFound, message, envelope.encode_to_vec().into())
}

/// Returns the selector that matches nothing, if the details of an error name one.
pub fn unknown_selector_of(status: &Status) -> Option<String> {
    let envelope = Envelope::decode(status.details()).ok()?;
    let detail = envelope.details.iter().find_map(|any| any.to_msg::<UnknownSelector>().ok())?;
    Some(detail.selector)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_selector_comes_back_out_of_the_details() {
        let status = unknown_selector("no such".into(), "wéb".into());
        assert_eq!((status.code(), status.message()), (Code::NotFound, "no such"));
        assert_eq!(unknown_selector_of(&status), Some("wéb".into()));
        assert_eq!(unknown_selector_of(&Status::not_found("no such")), None);
        assert_eq!(
            unknown_selector_of(&Status::with_details(Code::NotFound, "", vec![0xff; 9].into())),
            None
        );
    }
}
