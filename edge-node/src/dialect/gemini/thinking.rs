//! Whether and how a model of this dialect thinks: by level since Gemini 3, with a budget of tokens
//! before, never both; and whether its thoughts are told.

use crate::dialect::Target;
use crate::dialect::gemini::model::Model;
use crate::dialect::write::put;
use crate::ingress::reasoning::Effort;
use crate::message::Request;
use shared::catalog::Parameter;

/// The smallest budget that an effort gives, in tokens.
const BUDGET_MIN: u64 = 1024;
/// The largest budget that any model takes, in tokens.
const BUDGET_MAX: u64 = 24_576;
/// The largest budget of the large models, in tokens.
const BUDGET_PRO_MAX: u64 = 32_768;
/// The smallest budget of the large models: they can't be told not to think.
const BUDGET_PRO_MIN: u64 = 128;
/// The smallest budget but 0 of the smallest models.
const BUDGET_LITE_MIN: u64 = 512;
/// The length of an answer when neither the client nor the catalogue says anything.
const ANSWER_TOKENS: u64 = 65_536;

/// How much to think.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Amount {
    Level(&'static str),
    Budget(u64),
}

/// What to say about thinking.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Thinking {
    amount: Option<Amount>,
    /// Tell what was thought.
    shown: bool,
}

/// The client's wish, as far as the model can follow it. `max_tokens` is what the client allows.
pub(super) fn choose(
    request: &Request<'_>,
    target: &Target<'_>,
    model: Model,
    max_tokens: Option<u64>,
) -> Thinking {
    let wish = &request.reasoning;
    let known = [Parameter::Reasoning, Parameter::IncludeReasoning];
    let knows = known.iter().any(|parameter| target.supports(*parameter));
    if !knows || !model.can_think() {
        return Thinking::default();
    }
    if wish.effort.is_none() && wish.max_tokens.is_none() {
        // These models think anyway; only those that are known to are asked to tell.
        let listed = &target.endpoint.supported_parameters;
        let thinks = known.iter().any(|parameter| listed.contains(parameter));
        return Thinking {
            amount: None,
            shown: thinks && model.thinks_unasked() && !wish.exclude,
        };
    }
    let most = max_tokens.or(target.endpoint.max_completion_tokens);
    let answer = most.unwrap_or(ANSWER_TOKENS);
    let amount = if model.is_third() {
        let effort = wish.effort.unwrap_or_else(|| {
            let share = wish.max_tokens.unwrap_or(0).saturating_mul(100) / answer.max(1);
            nearest(share)
        });
        Amount::Level(level(effort, model))
    } else {
        Amount::Budget(budget(wish.effort, wish.max_tokens, model, answer))
    };
    Thinking {
        amount: Some(amount),
        shown: !wish.exclude && wish.effort != Some(Effort::None),
    }
}

/// The effort whose share of the answer, in percent, is nearest.
const fn nearest(share: u64) -> Effort {
    match share {
        0..15 => Effort::Minimal,
        15..35 => Effort::Low,
        35..65 => Effort::Medium,
        _ => Effort::High,
    }
}

fn level(effort: Effort, model: Model) -> &'static str {
    match effort {
        // The large models have no lower one, and none has "off".
        Effort::None | Effort::Minimal if model.is_pro => "LOW",
        Effort::None | Effort::Minimal => "MINIMAL",
        Effort::Low => "LOW",
        Effort::Medium if model.has_medium() => "MEDIUM",
        Effort::Medium | Effort::High | Effort::XHigh | Effort::Max => "HIGH",
    }
}

/// The share of the answer that the effort stands for, or the client's own number, within what the
/// model takes and below the length of the answer, in which thinking counts.
fn budget(effort: Option<Effort>, tokens: Option<u64>, model: Model, answer: u64) -> u64 {
    let (least, most) = if model.is_pro {
        (BUDGET_PRO_MIN, BUDGET_PRO_MAX)
    } else if model.is_lite {
        (BUDGET_LITE_MIN, BUDGET_MAX)
    } else {
        (0, BUDGET_MAX)
    };
    if effort == Some(Effort::None) {
        return if model.is_pro { least } else { 0 };
    }
    let share = answer.saturating_mul(effort.map_or(0, Effort::percent)) / 100;
    let wish = tokens.unwrap_or(share).max(BUDGET_MIN);
    wish.min(most).min(answer.saturating_sub(1)).max(least)
}

impl Thinking {
    /// The object, none when nothing is to be said.
    pub(super) fn write(self, out: &mut Vec<u8>) {
        let amount = match self.amount {
            None => String::new(),
            Some(Amount::Level(level)) => format!("\"thinkingLevel\":\"{level}\""),
            Some(Amount::Budget(tokens)) => format!("\"thinkingBudget\":{tokens}"),
        };
        let comma = if amount.is_empty() || !self.shown {
            ""
        } else {
            ","
        };
        let shown = if self.shown {
            "\"includeThoughts\":true"
        } else {
            ""
        };
        put(out, &["{", &amount, comma, shown, "}"]);
    }

    pub(super) fn is_unsaid(self) -> bool {
        self == Self::default()
    }
}
