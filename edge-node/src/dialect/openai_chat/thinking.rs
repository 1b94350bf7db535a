//! How hard to think, in the words that an endpoint has for it: an effort of those that it knows, or
//! a switch and a budget of its provider's own.

use crate::dialect::Target;
use crate::ingress::reasoning::{Effort, Reasoning};
use shared::catalog::{EffortWord, Parameter, Quirk};

/// Members of a client's body that say the same in a provider's own words.
const OWN_WORDS: [&str; 3] = ["thinking", "enable_thinking", "thinking_budget"];

/// True for a member in which a client says it in a provider's own words.
pub(super) fn is_own_word(name: &str) -> bool {
    OWN_WORDS.contains(&name)
}

/// True when the endpoint may be told how hard to think.
pub(in crate::dialect) fn takes_effort(target: &Target<'_>) -> bool {
    target.supports(Parameter::ReasoningEffort) || target.supports(Parameter::Reasoning)
}

/// The effort; a budget becomes the effort whose share of the answer it reaches.
pub(in crate::dialect) fn effort(wish: &Reasoning, max_tokens: Option<u64>) -> Option<Effort> {
    if wish.effort.is_some() {
        return wish.effort;
    }
    let budget = wish.max_tokens?;
    let Some(answer) = max_tokens else {
        return Some(Effort::Medium);
    };
    let percent = budget.saturating_mul(100) / answer.max(1);
    let reached = [Effort::High, Effort::Medium, Effort::Low];
    let effort = reached.into_iter().find(|e| percent >= e.percent());
    Some(effort.unwrap_or(Effort::Minimal))
}

/// The endpoint's word for an effort: the next one that it knows, else its most. None where it has
/// but a word to switch thinking off, or none for that.
pub(in crate::dialect) fn word(effort: Effort, target: &Target<'_>) -> Option<&'static str> {
    let known = &target.endpoint.efforts;
    if known.is_empty() {
        return Some(effort.as_str());
    }
    let wanted = rank(effort);
    let off = wanted == EffortWord::None;
    let fits = known.iter().filter(|it| off || **it != EffortWord::None);
    let next = fits.clone().filter(|it| **it >= wanted).min();
    next.or_else(|| fits.max()).map(|it| it.as_str())
}

/// The members that say it, for a request that does not say it in words that can pass; `forced` is
/// true where the model must call a tool.
pub(super) fn members(
    wish: &Reasoning,
    max_tokens: Option<u64>,
    forced: bool,
    target: &Target<'_>,
) -> Vec<(&'static str, String)> {
    let mut all = Vec::new();
    let effort = effort(wish, max_tokens);
    let switch = |on: bool| {
        let kind = if on { "enabled" } else { "disabled" };
        ("thinking", format!("{{\"type\":\"{kind}\"}}"))
    };
    let Some(effort) = effort else {
        if forced && target.has(Quirk::AutoToolChoiceThinking) {
            all.push(switch(false));
        }
        return all;
    };
    let thinks = effort != Effort::None;
    if target.has(Quirk::ThinkingType) || (!thinks && target.has(Quirk::ThinkingOff)) {
        all.push(switch(thinks));
    }
    if target.has(Quirk::EnableThinking) {
        all.push(("enable_thinking", thinks.to_string()));
    }
    if target.has(Quirk::ThinkingBudget) && thinks {
        let share = |answer: u64| answer.saturating_mul(effort.percent()) / 100;
        let budget = wish.max_tokens.or_else(|| max_tokens.map(share));
        all.extend(budget.map(|tokens| ("thinking_budget", tokens.max(1).to_string())));
    }
    // With a switch, efforts are told only where it is known which there are.
    let told = !is_switched(target) || (thinks && !target.endpoint.efforts.is_empty());
    if takes_effort(target)
        && told
        && let Some(word) = word(effort, target)
    {
        all.push(("reasoning_effort", format!("\"{word}\"")));
    }
    all
}

/// True where thinking is switched in the provider's own words.
pub(super) fn is_switched(target: &Target<'_>) -> bool {
    [
        Quirk::ThinkingType,
        Quirk::ThinkingOff,
        Quirk::EnableThinking,
        Quirk::ThinkingBudget,
    ]
    .into_iter()
    .any(|quirk| target.has(quirk))
}

const fn rank(effort: Effort) -> EffortWord {
    match effort {
        Effort::None => EffortWord::None,
        Effort::Minimal => EffortWord::Minimal,
        Effort::Low => EffortWord::Low,
        Effort::Medium => EffortWord::Medium,
        Effort::High => EffortWord::High,
        Effort::XHigh => EffortWord::XHigh,
        Effort::Max => EffortWord::Max,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::fixture::Fixture;
    use shared::catalog::Dialect;

    #[test]
    fn an_effort_is_the_next_that_is_known() {
        use EffortWord as W;
        let check = |known: &[W], effort: Effort, expected: Option<&str>| {
            let mut fixture = Fixture::new(Dialect::OpenaiChat);
            fixture.endpoint.efforts = known.to_vec();
            let got = fixture.with_target(|target| word(effort, target));
            assert_eq!(got, expected, "{known:?} {effort:?}");
        };
        check(&[], Effort::XHigh, Some("xhigh"));
        let three = [W::Low, W::Medium, W::High];
        check(&three, Effort::Minimal, Some("low"));
        check(&three, Effort::Max, Some("high"));
        check(&three, Effort::None, Some("low"));
        check(&[W::High, W::Max], Effort::Medium, Some("high"));
        check(&[W::High, W::Max], Effort::XHigh, Some("max"));
        check(&[W::None, W::Default], Effort::High, Some("default"));
        check(&[W::None, W::Default], Effort::None, Some("none"));
        check(&[W::None], Effort::None, Some("none"));
        check(&[W::None], Effort::High, None);
    }
}
