//! Bytes from outside, with the code that takes them: what fuzzers and the tests call.

use prost::Message as _;
use proto::v1;

use crate::Target;

/// What a supervisor wants a monitor to watch: nothing here panics, whatever the bytes are.
pub fn targets(bytes: &[u8]) {
    let Ok(set) = v1::WatchTargetsResponse::decode(bytes) else { return };
    for target in set.targets {
        if let Err(error) = Target::try_from(target) {
            assert!(!error.field.is_empty());
        }
    }
}
