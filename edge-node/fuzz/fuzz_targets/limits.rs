//! Headers that tell of limits and pauses.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| edge_node_fuzz::limits(data));
