//! A card: what is known of a model apart from who serves it. OpenRouter's listing is the first
//! source, models.dev's provider-neutral list the second, and an offer the last.

use super::json::Object;
use super::models_dev::kinds;
use super::name::{Name, Tail};
use super::offer::Offer;
use crate::catalog::{Modality, Model, Parameter};
use crate::id::ModelId;
use std::collections::BTreeMap;

/// A model and the parameters that somebody serves it with.
#[derive(Clone, Debug)]
pub(super) struct Card {
    pub(super) model: Model,
    /// None when no list tells.
    pub(super) parameters: Option<Vec<Parameter>>,
}

/// OpenRouter's listing, without aliases (`~…`), its own routers, and what gives no text.
pub(super) fn openrouter(text: &str) -> Result<Vec<Card>, serde_json::Error> {
    let listing = Object::parse(text)?;
    let cards = listing.objects("data").iter().filter_map(listed).collect();
    Ok(cards)
}

fn listed(line: &Object<'_>) -> Option<Card> {
    let id = line.text("id")?;
    if id.starts_with('~') || id.starts_with("openrouter/") {
        return None;
    }
    let architecture = line.object("architecture")?;
    let modality = |key: &str| kinds(&architecture.texts(key).unwrap_or_default());
    let output_modalities = modality("output_modalities");
    if !output_modalities.contains(&Modality::Text) {
        return None;
    }
    let parameters = line.texts("supported_parameters").unwrap_or_default();
    let mut parameters: Vec<_> = parameters
        .iter()
        .filter_map(|text| Parameter::parse(text))
        .collect();
    parameters.sort_unstable();
    parameters.dedup();
    let canonical = line.text("canonical_slug").filter(|slug| *slug != id);
    let model = Model {
        name: line.text("name").unwrap_or_else(|| id.clone()),
        created: line.integer("created").unwrap_or(0),
        context_length: line.integer("context_length").unwrap_or(0),
        input_modalities: or_text(modality("input_modalities")),
        output_modalities,
        tokenizer: architecture
            .text("tokenizer")
            .unwrap_or_else(|| "Other".to_owned()),
        canonical_slug: canonical,
        description: None,
        hugging_face_id: line.text("hugging_face_id").filter(|id| !id.is_empty()),
        instruct_type: architecture.text("instruct_type"),
        knowledge_cutoff: line.text("knowledge_cutoff").and_then(|text| day(&text)),
        expiration_date: line.text("expiration_date").and_then(|text| day(&text)),
        distillable: false,
        id: ModelId::from(id),
    };
    Some(Card {
        model,
        parameters: Some(parameters).filter(|list| !list.is_empty()),
    })
}

/// models.dev's provider-neutral list; `author` gives our name for the list's author.
pub(super) fn neutral(
    text: &str,
    author: impl Fn(&str) -> Option<String>,
) -> Result<Vec<Card>, serde_json::Error> {
    let list = Object::parse(text)?;
    let mut cards = Vec::new();
    for (key, line) in list.members() {
        let Some((maker, slug)) = key.split_once('/') else {
            continue;
        };
        let modalities = line.object("modalities");
        let modality = |key: &str| {
            modalities
                .as_ref()
                .and_then(|m| m.texts(key))
                .map(|texts| kinds(&texts))
        };
        let output_modalities = modality("output").unwrap_or_default();
        if !output_modalities.contains(&Modality::Text) || slug.ends_with("-latest") {
            continue;
        }
        let author = author(slug).unwrap_or_else(|| maker.to_owned());
        let name = Name::read(slug, false).cut(&[Tail::Date]).slug();
        let context = line
            .object("limit")
            .and_then(|limit| limit.integer("context"));
        let model = Model {
            id: ModelId::from(format!("{author}/{name}")),
            name: line.text("name").unwrap_or_else(|| slug.to_owned()),
            created: line.text("release_date").map_or(0, |date| seconds(&date)),
            context_length: context.unwrap_or(0),
            input_modalities: or_text(modality("input").unwrap_or_default()),
            output_modalities,
            knowledge_cutoff: line.text("knowledge").and_then(|text| day(&text)),
            ..empty()
        };
        cards.push(Card {
            model,
            parameters: None,
        });
    }
    Ok(cards)
}

/// A card made of offers of one model that no list describes by itself.
pub(super) fn from_offers(id: &str, offers: &[&Offer]) -> Card {
    let told =
        |pick: fn(&Offer) -> Option<&String>| offers.iter().find_map(|offer| pick(offer)).cloned();
    let slug = id.split('/').next_back().unwrap_or(id);
    let input = offers
        .iter()
        .filter_map(|offer| offer.input.as_ref())
        .max_by_key(|kinds| kinds.len());
    let released = told(|offer| offer.released.as_ref());
    let model = Model {
        id: ModelId::from(id),
        name: told(|offer| offer.name.as_ref()).unwrap_or_else(|| slug.to_owned()),
        created: released.map_or(0, |date| seconds(&date)),
        context_length: offers
            .iter()
            .filter_map(|offer| offer.context)
            .max()
            .unwrap_or(0),
        input_modalities: or_text(input.cloned().unwrap_or_default()),
        output_modalities: vec![Modality::Text],
        ..empty()
    };
    Card {
        model,
        parameters: None,
    }
}

fn empty() -> Model {
    Model {
        id: ModelId::from(""),
        name: String::new(),
        created: 0,
        context_length: 0,
        input_modalities: Vec::new(),
        output_modalities: Vec::new(),
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

fn or_text(kinds: Vec<Modality>) -> Vec<Modality> {
    if kinds.is_empty() {
        vec![Modality::Text]
    } else {
        kinds
    }
}

/// A whole date; a month alone is not one.
fn day(text: &str) -> Option<String> {
    let date = text.get(..10)?;
    (seconds(date) > 0).then(|| date.to_owned())
}

/// Seconds from 1970 to the start of `YYYY-MM-DD` in UTC; a missing day is the first, and 0 stands
/// for what is no date.
fn seconds(date: &str) -> u64 {
    let mut parts = date.splitn(3, '-').map(|part| part.parse::<u64>().ok());
    let (Some(Some(year)), Some(Some(month))) = (parts.next(), parts.next()) else {
        return 0;
    };
    let day = parts.next().flatten().unwrap_or(1);
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return 0;
    }
    // Years that begin in March, so that the leap day is a year's last.
    let (y, m) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1;
    (days - 719_468) * 86_400
}

/// Cards by id.
pub(super) type Cards = BTreeMap<String, Card>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_counted_from_1970() {
        for (date, expect) in [
            ("1970-01-01", 0),
            ("2000-03-01", 951_868_800),
            ("2024-02-29", 1_709_164_800),
            ("2026-11-22", 1_795_305_600),
            ("2024-05", 1_714_521_600),
            ("soon", 0),
            ("2024-13-01", 0),
        ] {
            assert_eq!(seconds(date), expect, "{date}");
        }
        assert_eq!(day("2025-08-31T00:00:00Z").as_deref(), Some("2025-08-31"));
        assert_eq!(day("2025-08"), None);
    }
}
