//! Bytes on the wire, without any dialect: scanning JSON in place, editing it in place, and cutting
//! event streams into events.

pub mod eventstream;
pub mod json;
pub mod lines;
pub mod splice;
pub mod sse;
