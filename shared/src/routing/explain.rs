//! A plan for people: what `x-godwit-explain` and `/debug/plan` show.

use super::{Candidate, Exclusion, Plan, Refusal};
use serde_json::{Value, json};

impl Plan {
    /// Candidates in order with share and reason, exclusions with reason, and what makes the plan
    /// again.
    #[must_use]
    pub fn explain(&self) -> Value {
        json!({
            "table": self.snapshot_version.to_string(),
            "ranking": self.ranking_version.to_string(),
            "seed": self.seed.to_string(),
            "candidates": self.candidates.iter().map(candidate).collect::<Vec<_>>(),
            "excluded": self.excluded.iter().map(exclusion).collect::<Vec<_>>(),
        })
    }
}

impl Refusal {
    /// Why there is no plan.
    #[must_use]
    pub fn explain(&self) -> Value {
        match self {
            Self::ModelNotFound { model, nearest } => json!({
                "refused": "model_not_found",
                "model": model,
                "nearest": nearest,
            }),
            Self::WrongOutput { model, gives } => json!({
                "refused": "wrong_output",
                "model": model.as_str(),
                "gives": gives.iter().map(|kind| kind.as_str()).collect::<Vec<_>>(),
            }),
            Self::NoEndpoints { excluded } => json!({
                "refused": "no_endpoints",
                "excluded": excluded.iter().map(exclusion).collect::<Vec<_>>(),
            }),
        }
    }

    /// The reasons for exclusion, each once: OpenRouter's `excluded_by`.
    #[must_use]
    pub fn excluded_by(&self) -> Vec<&'static str> {
        let Self::NoEndpoints { excluded } = self else {
            return Vec::new();
        };
        let mut reasons: Vec<_> = excluded.iter().map(|one| one.why.as_str()).collect();
        reasons.sort_unstable();
        reasons.dedup();
        reasons
    }
}

fn candidate(candidate: &Candidate) -> Value {
    json!({
        "endpoint": candidate.endpoint.id.as_str(),
        "byok": candidate.own.as_ref().map(|own| own.id.as_str()),
        "provider": candidate.provider.name,
        "share": (candidate.share * 1e4).round() / 1e4,
        "reason": candidate.reason.as_str(),
    })
}

fn exclusion(exclusion: &Exclusion) -> Value {
    json!({
        "endpoint": exclusion.endpoint.as_str(),
        "reason": exclusion.why.as_str(),
    })
}
