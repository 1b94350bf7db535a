//! Answers with embeddings and rankings, of each form.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| edge_node_fuzz::vectors(data));
