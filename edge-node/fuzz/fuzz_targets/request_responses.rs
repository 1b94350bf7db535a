//! Requests of the API responses, for providers of each dialect.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| edge_node_fuzz::request(
    edge_node_fuzz::Api::Responses,
    data
));
