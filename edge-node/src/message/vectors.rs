//! What is asked of models that do not converse: vectors of texts, and a ranking of documents.

use crate::message::Part;
use crate::wire::json::Str;

/// A call for embeddings.
#[derive(Clone, Debug, Default)]
pub struct Embed<'a> {
    /// At least one.
    pub inputs: Vec<Input<'a>>,
    /// How long the vectors shall be, as written.
    pub dimensions: Option<&'a str>,
    /// True when vectors shall come as base64 of little-endian 32-bit floats.
    pub base64: bool,
    /// What the vectors are for: `query`, `document`, or a provider's own word.
    pub input_type: Option<Str<'a>>,
}

/// What becomes one vector.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// A text.
    Text(Str<'a>),
    /// A text in the numbers of the model's own tokenizer, a list as written.
    Tokens(&'a str),
    /// Texts and pictures together.
    Parts(Vec<Part<'a>>),
}

/// A call for a ranking.
#[derive(Clone, Debug)]
pub struct Rerank<'a> {
    /// What to rank by.
    pub query: Str<'a>,
    /// What to rank; at least one.
    pub documents: Vec<Document<'a>>,
    /// How many of the best to give, as written; none is all.
    pub top_n: Option<&'a str>,
}

/// A document as the client wrote it.
#[derive(Clone, Copy, Debug)]
pub struct Document<'a> {
    /// A string or an object.
    pub raw: &'a str,
    /// Its text; none where it has more or other members than `text`.
    pub text: Option<Str<'a>>,
}
