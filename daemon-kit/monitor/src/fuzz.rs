//! Entry points for fuzzers and tests: untrusted bytes with the code that decodes them.

use prost::Message as _;
use proto::v1;

use crate::Target;

/// Decodes a set of targets from a supervisor. Must not panic for any bytes.
pub fn targets(bytes: &[u8]) {
    let Ok(set) = v1::WatchTargetsResponse::decode(bytes) else { return };
    for target in set.targets {
        if let Err(error) = Target::try_from(target) {
            assert!(!error.field.is_empty());
        }
    }
}
