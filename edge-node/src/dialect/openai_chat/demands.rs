//! What a client demands and some providers of this dialect can't do at all: such a provider is
//! passed over, because leaving it out would change the question.

use crate::dialect::Target;
use crate::dialect::write::refuse;
use crate::failure::Failure;
use crate::ingress::Call;
use crate::ingress::peek::Field;
use crate::message::{Request, ToolChoice};
use shared::catalog::{Parameter, Quirk};

/// True when the model must call a tool, or must call that one.
pub(super) fn forces(request: &Request<'_>) -> bool {
    matches!(
        request.tool_choice,
        Some(ToolChoice::Required | ToolChoice::Function(_))
    )
}

/// As [`forces`], for a call in this dialect.
pub(super) fn forces_raw(call: &Call, text: &str) -> bool {
    let choice = Field::Parameter(Parameter::ToolChoice);
    let mut choices = call.members.iter().filter(|it| it.field == choice);
    choices.any(|it| {
        let raw = text.get(it.value.start..it.value.end).unwrap_or("");
        raw.starts_with('{') || raw == "\"required\""
    })
}

/// # Errors
/// The endpoint can't do it; another may.
pub(super) fn check(call: &Call, forced: bool, target: &Target<'_>) -> Result<(), Failure> {
    if call.n > 1 && target.has(Quirk::SingleChoice) {
        return Err(refuse("n", "gives one answer only"));
    }
    if forced && target.has(Quirk::AutoToolChoice) {
        return Err(refuse("tool_choice", "takes only \"auto\" and \"none\""));
    }
    if forced && target.has(Quirk::AutoToolChoiceThinking) {
        let wish = call.reasoning;
        let off = wish.effort.is_some_and(|effort| effort.as_str() == "none");
        if (wish.effort.is_some() || wish.max_tokens.is_some()) && !off {
            return Err(refuse(
                "tool_choice",
                "forces no tool on a model that thinks",
            ));
        }
    }
    let schema = Parameter::StructuredOutputs;
    if call.demand.parameters.contains(&schema) && target.has(Quirk::JsonObjectOnly) {
        return Err(refuse("response_format", "takes no schema"));
    }
    Ok(())
}
