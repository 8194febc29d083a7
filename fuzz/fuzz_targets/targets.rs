#![no_main]

use daemon_kit::monitor::Target;
use libfuzzer_sys::fuzz_target;
use prost::Message as _;
use proto::v1;

fuzz_target!(|bytes: &[u8]| {
    let Ok(set) = v1::WatchTargetsResponse::decode(bytes) else { return };
    for target in set.targets {
        let _ = Target::try_from(target);
    }
});
