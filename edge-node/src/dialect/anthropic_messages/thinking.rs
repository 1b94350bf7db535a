//! Whether and how a model of this dialect thinks: adaptively where the endpoint knows an effort,
//! else with a budget of tokens; not at all where the request would be refused with it.

use crate::dialect::Target;
use crate::dialect::anthropic_messages::messages::is_own;
use crate::ingress::reasoning::Effort;
use crate::message::{Part, Request, Role, ToolChoice};
use shared::catalog::Parameter;

/// The smallest budget that is taken, in tokens.
const BUDGET_MIN: u64 = 1024;
/// The largest budget, in tokens.
const BUDGET_MAX: u64 = 128_000;

/// What to say about thinking.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Thinking {
    /// Nothing: the model's default.
    Unsaid,
    /// None wanted.
    Disabled,
    /// So many tokens.
    Budget(u64),
    /// As much as the model finds right at this effort.
    Adaptive(&'static str),
}

/// The client's wish, as far as the rest of the request allows it.
pub(crate) fn choose(request: &Request<'_>, target: &Target<'_>, max_tokens: u64) -> Thinking {
    let wish = &request.reasoning;
    let known = [Parameter::Reasoning, Parameter::IncludeReasoning];
    if (wish.effort.is_none() && wish.max_tokens.is_none())
        || !known.iter().any(|parameter| target.supports(*parameter))
    {
        return Thinking::Unsaid;
    }
    if wish.effort == Some(Effort::None) {
        return Thinking::Disabled;
    }
    let forced = matches!(
        request.tool_choice,
        Some(ToolChoice::Required | ToolChoice::Function(_))
    );
    if forced || has_lost_thoughts(request) {
        return Thinking::Unsaid;
    }
    // Only endpoints that name the parameter are of a generation that thinks adaptively; those
    // that know only a verbosity have efforts, and budgets for thinking.
    let supported = &target.endpoint.supported_parameters;
    if let Some(effort) = wish.effort
        && supported.contains(&Parameter::ReasoningEffort)
    {
        return Thinking::Adaptive(word(effort));
    }
    let percent = wish.effort.map_or(0, Effort::percent);
    let share = max_tokens.saturating_mul(percent) / 100;
    let budget = wish.max_tokens.unwrap_or(share);
    let budget = budget.clamp(BUDGET_MIN, BUDGET_MAX);
    let budget = budget.min(max_tokens.saturating_sub(1));
    if budget < BUDGET_MIN {
        return Thinking::Unsaid;
    }
    Thinking::Budget(budget)
}

impl Thinking {
    pub(crate) const fn is_on(self) -> bool {
        matches!(self, Self::Budget(_) | Self::Adaptive(_))
    }

    /// Appends the member `thinking`.
    pub(crate) fn write(self, out: &mut Vec<u8>) {
        let member = self.member();
        if !member.is_empty() {
            out.push(b',');
            out.extend_from_slice(member.as_bytes());
        }
    }

    /// The member `thinking`; empty for none.
    pub(crate) fn member(self) -> String {
        match self {
            Self::Unsaid => String::new(),
            Self::Disabled => "\"thinking\":{\"type\":\"disabled\"}".to_owned(),
            Self::Adaptive(_) => "\"thinking\":{\"type\":\"adaptive\"}".to_owned(),
            Self::Budget(tokens) => {
                format!("\"thinking\":{{\"type\":\"enabled\",\"budget_tokens\":{tokens}}}")
            }
        }
    }
}

const fn word(effort: Effort) -> &'static str {
    match effort {
        Effort::None | Effort::Minimal | Effort::Low => "low",
        Effort::Medium => "medium",
        Effort::High => "high",
        Effort::XHigh | Effort::Max => "max",
    }
}

/// True when a call of the current tool loop came without the thinking before it: the provider
/// refuses such a history while thinking is on.
fn has_lost_thoughts(request: &Request<'_>) -> bool {
    let is_call = |part: &Part<'_>| matches!(part, Part::Call { .. });
    let is_thought = |part: &Part<'_>| matches!(part, Part::Reasoning(own) if is_own(own));
    let turns = request.turns.iter().rev();
    turns
        .take_while(|turn| turn.role != Role::User)
        .any(|turn| turn.parts.iter().any(is_call) && !turn.parts.iter().any(is_thought))
}
