//! OpenRouter's router metadata: what was asked for, what there was, who was asked, who answered.

use super::words;
use crate::failure::FailedAttempt;
use serde_json::{Value, json};
use shared::catalog::Parameter;
use shared::id::{EndpointId, ModelId};

/// OpenRouter's router metadata.
#[derive(Debug)]
pub(super) struct Metadata {
    pub(super) requested: String,
    /// The model that was asked for first, or the first of those that a router became.
    pub(super) primary: Option<ModelId>,
    /// The router that was asked for first, and what it became.
    pub(super) router: Option<(&'static str, Vec<ModelId>)>,
    /// Names that were asked for and stand for nothing that could answer, each with the word for why.
    pub(super) unmet: Vec<Unmet>,
    pub(super) region: String,
    /// Endpoints of the models asked for, usable or not.
    pub(super) total: usize,
    pub(super) available: Vec<Offered>,
    /// What content filters found, if they found anything.
    pub(super) guardrails: Option<Value>,
}

/// A name, and why nothing was asked for it.
pub(super) type Unmet = (String, &'static str);

#[derive(Debug)]
pub(super) struct Offered {
    pub(super) endpoint: EndpointId,
    pub(super) model: ModelId,
    pub(super) provider: String,
    /// What of the request it leaves out.
    pub(super) unsupported: Vec<Parameter>,
}

/// Who has answered.
#[derive(Clone, Copy)]
pub(super) struct Served<'a> {
    pub(super) endpoint: &'a EndpointId,
    pub(super) model: &'a ModelId,
    pub(super) provider: &'a str,
    pub(super) own: bool,
}

impl Metadata {
    /// As the client reads it.
    pub(super) fn tell(&self, failed: &[FailedAttempt], served: Option<&Served<'_>>) -> Value {
        let told = |provider: &str, model: &ModelId, status: u16| {
            let model = model.as_str();
            json!({ "provider": provider, "model": model, "status": status })
        };
        let sent: Vec<_> = failed.iter().filter(|it| it.sent).collect();
        let tried = sent
            .iter()
            .map(|it| told(&it.provider, &it.model, it.status));
        let last = served.map(|it| told(it.provider, it.model, 200));
        let attempts: Vec<Value> = tried.chain(last).collect();
        let is_served = |offer: &Offered| served.is_some_and(|it| *it.endpoint == offer.endpoint);
        let available: Vec<Value> = self
            .available
            .iter()
            .map(|offer| {
                let mut told = json!({
                    "provider": offer.provider,
                    "model": offer.model.as_str(),
                    "selected": is_served(offer),
                });
                if let Some(members) = told.as_object_mut()
                    && !offer.unsupported.is_empty()
                {
                    let words = words(&offer.unsupported);
                    members.insert("unsupported_parameters".into(), words);
                }
                told
            })
            .collect();
        // Who was asked last stands for who has answered, where nobody has.
        let (model, own) = match (served, sent.last()) {
            (Some(served), _) => (Some(served.model), served.own),
            (None, Some(last)) => (Some(&last.model), last.own),
            (None, None) => (None, false),
        };
        json!({
            "requested": self.requested,
            "strategy": self.strategy(model),
            "region": self.region,
            "summary": self.summary(served.map(|it| it.provider)),
            "attempt": attempts.len(),
            "is_byok": own,
            "endpoints": { "total": self.total, "available": available },
            "attempts": attempts,
            "pipeline": self.guardrails.iter().collect::<Vec<_>>(),
        })
    }

    fn summary(&self, selected: Option<&str>) -> String {
        let by = selected.unwrap_or("none");
        let mut text = format!("available={}, selected={by}", self.available.len());
        for (name, why) in &self.unmet {
            text.push_str(&format!(", passed over {name} ({why})"));
        }
        text
    }

    /// By the first name that was asked for and the model that was asked last.
    fn strategy(&self, asked: Option<&ModelId>) -> &'static str {
        match &self.router {
            Some((word, models)) if asked.is_none_or(|it| models.contains(it)) => word,
            _ if asked.is_some() && asked != self.primary.as_ref() => "fallback",
            // A router that became nothing has been passed over.
            Some(_) => "fallback",
            None => "direct",
        }
    }
}
