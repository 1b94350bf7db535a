//! Requests of the API embeddings, for providers of each dialect.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| edge_node_fuzz::request(
    edge_node_fuzz::Api::Embeddings,
    data
));
