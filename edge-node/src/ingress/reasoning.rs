//! What a client wants of reasoning: OpenRouter's `reasoning` object, OpenAI's `reasoning_effort`
//! and the legacy `include_reasoning`, brought together. How a dialect says it is not here.

use crate::failure::Failure;
use crate::ingress::peek::{Refused, boolean, expect, integer};
use crate::wire::json::{Kind, Scanner, Str};

/// How hard to think.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Effort {
    /// Not at all.
    None,
    /// A tenth of the answer.
    Minimal,
    /// A fifth.
    Low,
    /// Half.
    Medium,
    /// Four fifths.
    High,
    /// Nearly all.
    XHigh,
    /// Nearly all.
    Max,
}

impl Effort {
    /// How the API writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Minimal => "minimal",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::XHigh => "xhigh",
            Self::Max => "max",
        }
    }

    /// The share of the answer that goes into reasoning, in percent.
    #[must_use]
    pub const fn percent(self) -> u64 {
        match self {
            Self::None => 0,
            Self::Minimal => 10,
            Self::Low => 20,
            Self::Medium => 50,
            Self::High => 80,
            Self::XHigh | Self::Max => 95,
        }
    }

    /// The effort of that name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [
            Self::None,
            Self::Minimal,
            Self::Low,
            Self::Medium,
            Self::High,
            Self::XHigh,
            Self::Max,
        ]
        .into_iter()
        .find(|effort| effort.as_str() == text)
    }
}

/// What the client wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Reasoning {
    /// How hard; none when the client did not say.
    pub effort: Option<Effort>,
    /// Tokens for reasoning; not together with `effort`.
    pub max_tokens: Option<u64>,
    /// Reason, but do not show it.
    pub exclude: bool,
}

/// The members as they stand in the body.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wish {
    pub(crate) effort: Option<Effort>,
    pub(crate) shorthand: Option<Effort>,
    pub(crate) max_tokens: Option<u64>,
    pub(crate) exclude: bool,
    pub(crate) enabled: Option<bool>,
    pub(crate) include: Option<bool>,
}

impl Wish {
    /// Consumes the `reasoning` object.
    pub(crate) fn object(&mut self, scanner: &mut Scanner<'_>) -> Result<(), Refused> {
        scanner.begin_object()?;
        while let Some(key) = scanner.key()? {
            let name = key.name.decode();
            let place = format!("reasoning.{name}");
            let kind = scanner.kind()?;
            let wanted: &[Kind] = match &*name {
                "effort" => &[Kind::String],
                "max_tokens" => &[Kind::Number],
                "exclude" | "enabled" => &[Kind::Bool],
                _ => &[],
            };
            if kind == Kind::Null || wanted.is_empty() {
                scanner.value()?;
                continue;
            }
            expect(&place, wanted, kind)?;
            match &*name {
                "effort" => {
                    let text = scanner.string()?.decode();
                    let effort = Effort::parse(&text).ok_or_else(|| {
                        let known = "none, minimal, low, medium, high, xhigh, max";
                        Failure::invalid(&place, format!("{place} must be one of {known}"))
                    })?;
                    self.effort = Some(effort);
                }
                "max_tokens" => self.max_tokens = Some(integer(scanner, &place, 0, u64::MAX)?),
                "exclude" => self.exclude = boolean(scanner)?,
                _ => self.enabled = Some(boolean(scanner)?),
            }
        }
        Ok(())
    }

    /// Takes `reasoning_effort`. Providers have words of their own for it, which pass.
    pub(crate) fn shorthand(&mut self, text: Str<'_>) {
        self.shorthand = Effort::parse(&text.decode());
    }

    /// All members together.
    pub(crate) fn settle(self) -> Result<Reasoning, Failure> {
        if let (Some(effort), Some(shorthand)) = (self.effort, self.shorthand)
            && effort != shorthand
        {
            let message = "reasoning_effort and reasoning.effort differ";
            return Err(Failure::invalid("reasoning_effort", message));
        }
        let named = self.effort.or(self.shorthand);
        if self.effort.is_some() && self.max_tokens.is_some() {
            let message = "reasoning takes either effort or max_tokens, not both";
            return Err(Failure::invalid("reasoning", message));
        }
        let effort = match self.enabled {
            Some(false) => Some(Effort::None),
            Some(true) if self.max_tokens.is_none() => named.or(Some(Effort::Medium)),
            _ => named,
        };
        Ok(Reasoning {
            effort,
            max_tokens: self.max_tokens.filter(|_| effort != Some(Effort::None)),
            exclude: self.exclude || self.include == Some(false),
        })
    }
}
