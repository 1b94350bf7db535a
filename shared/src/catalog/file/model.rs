//! `[[models]]`: one table to one [`Model`].

use super::section::Section;
use crate::catalog::{Modality, Model};
use crate::id::ModelId;

/// The longest id.
const ID_MAX: usize = 200;
/// The longest context that is believed, in tokens.
pub(super) const CONTEXT_MAX: u64 = 1_000_000_000;
/// The year 9999, in seconds since 1970.
const CREATED_MAX: u64 = 253_402_300_799;
/// The author whose models are made by the gateway itself.
const OWN_AUTHOR: &str = "godwit";
/// Suffixes that change how a model is routed; an id that ends so could not be asked for.
const VIRTUAL_VARIANTS: [&str; 4] = ["nitro", "floor", "exacto", "online"];

/// Reads a model. Its id comes back even when the rest is refused, so that what refers to it is
/// not refused as well.
pub(super) fn read(mut section: Section<'_, '_>) -> (Option<ModelId>, Option<Model>) {
    section.require("id");
    let form = "author/slug, with an optional :variant; letters, digits, '.', '_', '-'";
    let id = section.formed("id", is_id, form);
    if let Some(reason) = id.as_deref().and_then(reserved) {
        section.refuse("id", reason);
    }
    let id = id.map(ModelId::from);
    let model = body(&mut section, id.as_ref());
    section.finish();
    (id, model)
}

fn body(section: &mut Section<'_, '_>, id: Option<&ModelId>) -> Option<Model> {
    let name = section.text("name");
    let created = section.integer("created", 0..=CREATED_MAX);
    section.require("context_length");
    let context_length = section.integer("context_length", 1..=CONTEXT_MAX);
    let input_modalities = modalities(section, "input_modalities");
    let output_modalities = modalities(section, "output_modalities");
    let tokenizer = section.text("tokenizer");
    let canonical_slug = section.text("canonical_slug");
    let description = section.text("description");
    let hugging_face_id = section.text("hugging_face_id");
    let instruct_type = section.text("instruct_type");
    let knowledge_cutoff = section.formed("knowledge_cutoff", is_date, DATE);
    let expiration_date = section.formed("expiration_date", is_date, DATE);
    let distillable = section.boolean("distillable").unwrap_or(false);
    let id = id?.clone();
    Some(Model {
        name: name.unwrap_or_else(|| id.to_string()),
        id,
        created: created.unwrap_or_default(),
        context_length: context_length?,
        input_modalities,
        output_modalities,
        tokenizer: tokenizer.unwrap_or_else(|| "Other".to_owned()),
        canonical_slug,
        description,
        hugging_face_id,
        instruct_type,
        knowledge_cutoff,
        expiration_date,
        distillable,
    })
}

fn modalities(section: &mut Section<'_, '_>, key: &'static str) -> Vec<Modality> {
    match section.choices(key) {
        None => vec![Modality::Text],
        Some(chosen) => {
            if chosen.is_empty() {
                section.refuse(key, "none that is known");
            }
            chosen
        }
    }
}

/// `author/slug` or `author/slug:variant`.
pub(super) fn is_id(text: &str) -> bool {
    let Some((author, slug)) = text.split_once('/') else {
        return false;
    };
    let (slug, variant) = slug.split_once(':').unwrap_or((slug, "variant"));
    text.len() <= ID_MAX && [author, slug, variant].into_iter().all(is_word)
}

/// Letters, digits, `.`, `_` and `-`; the first is a letter or a digit.
pub(super) fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

fn reserved(id: &str) -> Option<&'static str> {
    if id.starts_with(OWN_AUTHOR) && id.split_once('/').is_some_and(|(a, _)| a == OWN_AUTHOR) {
        return Some("the author godwit is kept for router models");
    }
    let variant = id.rsplit_once(':')?.1;
    VIRTUAL_VARIANTS
        .contains(&variant)
        .then_some("this variant is a way to route (nitro, floor, exacto, online), not a model")
}

const DATE: &str = "a date YYYY-MM-DD";

fn is_date(text: &str) -> bool {
    let number = |range: std::ops::Range<usize>| {
        let digits = text.get(range)?;
        let plain = digits.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| digits.parse::<u32>().ok()).flatten()
    };
    let separated = text.get(4..5) == Some("-") && text.get(7..8) == Some("-");
    text.len() == 10
        && separated
        && number(0..4).is_some()
        && number(5..7).is_some_and(|month| (1..=12).contains(&month))
        && number(8..10).is_some_and(|day| (1..=31).contains(&day))
}
