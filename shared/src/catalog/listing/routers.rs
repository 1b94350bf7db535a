//! The gateway's own models in the listings: routers, which have no endpoints and no price of their
//! own. OpenRouter writes such a price as -1.

use super::Filter;
use crate::catalog::Modality;
use serde_json::{Value, json};

/// A router as clients see it.
#[derive(Debug)]
pub struct Router {
    /// Its id.
    pub id: &'static str,
    name: &'static str,
    description: &'static str,
    price: &'static str,
}

/// What routers take: whether some model takes it, too, the plan says.
const INPUT: &[Modality] = &[
    Modality::Text,
    Modality::Image,
    Modality::File,
    Modality::Audio,
    Modality::Video,
];
/// The longest context of the models behind, in tokens, is not told: each has its own.
const CONTEXT: u64 = 2_000_000;
/// The first day of 2026, in seconds since 1970.
const CREATED: u64 = 1_767_225_600;

/// Every router.
pub const ROUTERS: &[Router] = &[
    Router {
        id: "godwit/auto",
        name: "Auto Router",
        description: "Chooses a model for the prompt: what it asks for, how hard it is and the cost \
                      tier decide. The answer names the model. Also openrouter/auto.",
        price: "-1",
    },
    Router {
        id: "godwit/free",
        name: "Free Models Router",
        description: "Chooses at random among the free models that can do what is asked. The answer \
                      names the model. Also openrouter/free.",
        price: "0",
    },
];

/// The router with this id, under either name.
#[must_use]
pub fn find(id: &str) -> Option<&'static Router> {
    let slug = id
        .strip_prefix("openrouter/")
        .or_else(|| id.strip_prefix("godwit/"))?;
    ROUTERS
        .iter()
        .find(|router| router.id.strip_prefix("godwit/") == Some(slug))
}

impl Router {
    pub(super) fn fits(&self, filter: &Filter) -> bool {
        let gives_text = filter.any_output
            || filter.output.is_empty()
            || filter.output.contains(&Modality::Text);
        let named =
            || self.id.contains(&filter.text) || self.name.to_lowercase().contains(&filter.text);
        gives_text
            && filter.choice.takes_all()
            && filter.input.iter().all(|kind| INPUT.contains(kind))
            && filter.parameters.is_empty()
            && (filter.text.is_empty() || named())
    }

    /// OpenRouter's model object.
    #[must_use]
    pub fn model(&self) -> Value {
        let input: Vec<&str> = INPUT.iter().map(|kind| kind.as_str()).collect();
        json!({
            "id": self.id,
            "canonical_slug": self.id,
            "hugging_face_id": "",
            "name": self.name,
            "created": CREATED,
            "description": self.description,
            "context_length": CONTEXT,
            "architecture": {
                "modality": format!("{}->text", input.join("+")),
                "input_modalities": input,
                "output_modalities": ["text"],
                "tokenizer": "Router",
                "instruct_type": null,
            },
            "pricing": { "prompt": self.price, "completion": self.price },
            "top_provider": {
                "context_length": null,
                "max_completion_tokens": null,
                "is_moderated": false,
            },
            "per_request_limits": null,
            "supported_parameters": [],
            "supported_voices": null,
            "default_parameters": null,
            "knowledge_cutoff": null,
            "expiration_date": null,
            "links": { "details": format!("/api/v1/models/{}/endpoints", self.id) },
        })
    }

    /// OpenRouter's `GET /models/{author}/{slug}/endpoints`: none.
    #[must_use]
    pub fn endpoints(&self) -> Value {
        let mut data = self.model();
        if let Some(object) = data.as_object_mut() {
            let kept = ["id", "name", "created", "description", "architecture"];
            object.retain(|name, _| kept.contains(&name.as_str()));
            object.insert("endpoints".into(), json!([]));
        }
        json!({ "data": data })
    }

    /// OpenAI's model object.
    #[must_use]
    pub fn openai_model(&self) -> Value {
        json!({ "id": self.id, "object": "model", "created": CREATED, "owned_by": "godwit" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routers_are_found_under_both_names() {
        assert_eq!(
            find("openrouter/auto").map(|router| router.id),
            Some("godwit/auto")
        );
        assert_eq!(
            find("godwit/free").map(|router| router.id),
            Some("godwit/free")
        );
        assert!(find("a/auto").is_none() && find("godwit/x").is_none());
        let model = find("godwit/auto").unwrap().model();
        assert_eq!(model["pricing"]["prompt"], "-1");
        assert_eq!(
            find("godwit/auto").unwrap().endpoints()["data"]["endpoints"],
            json!([])
        );
    }

    #[test]
    fn filters_hold_for_routers_too() {
        let auto = find("godwit/auto").unwrap();
        assert!(auto.fits(&Filter::default()));
        let text = |text: &str| Filter {
            text: text.to_owned(),
            ..Filter::default()
        };
        assert!(auto.fits(&text("auto")) && !auto.fits(&text("llama")));
        let output = vec![Modality::Embeddings];
        assert!(!auto.fits(&Filter {
            output,
            ..Filter::default()
        }));
    }
}
