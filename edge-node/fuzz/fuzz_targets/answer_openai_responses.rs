//! Answers of openai-responses, for clients of each API.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| edge_node_fuzz::answer(
    edge_node_fuzz::Dialect::OpenaiResponses,
    data
));
