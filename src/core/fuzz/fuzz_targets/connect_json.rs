//! The JSON of CONNECT and INFO, whatever a peer makes of it.
#![no_main]

use gnatsd_core::proto::connect::{check_info, parse_connect};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let parsed = parse_connect(input);
    assert_eq!(parsed.is_ok(), check_info(input).is_ok());
    if let Ok(mut connect) = parsed {
        // What is shown in place of secrets is JSON again, gives the same, and holds none.
        let again =
            parse_connect(connect.public().as_bytes()).expect("what was written can be read");
        connect.has_secret = false;
        assert_eq!(again, connect);
    }
});
