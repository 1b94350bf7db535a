//! A model: what clients ask for by id, whoever serves it.

use crate::catalog::text_enum;
use crate::id::ModelId;

text_enum! {
    /// A kind of content that goes into or comes out of a model.
    Modality {
        /// Plain text.
        Text = "text",
        /// Pictures.
        Image = "image",
        /// Files such as PDFs.
        File = "file",
        /// Sound.
        Audio = "audio",
        /// Moving pictures.
        Video = "video",
        /// Vectors.
        Embeddings = "embeddings",
        /// Relevance scores.
        Rerank = "rerank",
        /// Spoken text.
        Speech = "speech",
        /// Text of spoken words.
        Transcription = "transcription",
    }
}

/// A model as the catalogue describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// `author/slug`, unique.
    pub id: ModelId,
    /// As shown to people.
    pub name: String,
    /// Seconds since 1970.
    pub created: u64,
    /// Tokens, prompt and completion together.
    pub context_length: u64,
    /// What it takes.
    pub input_modalities: Vec<Modality>,
    /// What it gives.
    pub output_modalities: Vec<Modality>,
    /// The tokenizer's family, e.g. `Llama3`, `GPT`, `Claude`, `Other`.
    pub tokenizer: String,
    /// The permanent id, where the id is an alias.
    pub canonical_slug: Option<String>,
    /// A sentence or two.
    pub description: Option<String>,
    /// Where the weights are.
    pub hugging_face_id: Option<String>,
    /// The chat template's name.
    pub instruct_type: Option<String>,
    /// `YYYY-MM-DD`.
    pub knowledge_cutoff: Option<String>,
    /// `YYYY-MM-DD`, when it goes away.
    pub expiration_date: Option<String>,
    /// Its author permits to train other models on its text; what is not known is not permitted.
    pub distillable: bool,
}

impl Model {
    /// A model that reads and writes text, named like its id, of which nothing else is known.
    #[must_use]
    pub fn new(id: impl Into<ModelId>, context_length: u64) -> Self {
        let id = id.into();
        Self {
            name: id.as_str().to_owned(),
            id,
            created: 0,
            context_length,
            input_modalities: vec![Modality::Text],
            output_modalities: vec![Modality::Text],
            tokenizer: "Other".to_owned(),
            canonical_slug: None,
            description: None,
            hugging_face_id: None,
            instruct_type: None,
            knowledge_cutoff: None,
            expiration_date: None,
            distillable: false,
        }
    }
}
