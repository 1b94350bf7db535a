//! What a model's name tells of it: generations differ in how thinking is asked for, which schemas
//! they take and whether calls have ids.

use crate::dialect::Target;
use crate::dialect::gemini::Host;
use shared::catalog::Parameter;

/// The generation of names without a number, such as `gemini-flash-latest`.
const LATEST: (u32, u32) = (3, 5);
/// The generation of a model of which nothing is known.
const USUAL: (u32, u32) = (2, 5);

/// A model, as far as its requests differ.
#[derive(Clone, Copy, Debug)]
pub(super) struct Model {
    pub(super) host: Host,
    generation: (u32, u32),
    /// Of the large ones, which always think.
    pub(super) is_pro: bool,
    /// Of the smallest ones.
    pub(super) is_lite: bool,
    /// Makes pictures or speech.
    is_artist: bool,
}

impl Model {
    pub(super) fn of(target: &Target<'_>, host: Host) -> Self {
        let name = target.endpoint.provider_model.as_str();
        let known = name.split_once("gemini-").map(|(_, rest)| number(rest));
        let has_efforts = target
            .endpoint
            .supported_parameters
            .contains(&Parameter::ReasoningEffort);
        let generation = match known {
            Some(Some(number)) => number,
            Some(None) => LATEST,
            None if has_efforts => LATEST,
            None => USUAL,
        };
        let says = |word: &str| name.contains(word);
        Self {
            host,
            generation,
            is_pro: says("-pro"),
            is_lite: says("-lite"),
            is_artist: says("-image") || says("-tts"),
        }
    }

    /// Gemini 3: thinks by level instead of budget, gives calls ids, and refuses calls of the past
    /// without their signatures.
    pub(super) fn is_third(self) -> bool {
        self.generation >= (3, 0)
    }

    /// Takes plain JSON Schema; older ones take OpenAPI's subset only.
    pub(super) fn takes_json_schema(self) -> bool {
        self.generation >= (2, 5)
    }

    /// May be told how to think; others refuse every word of it.
    pub(super) fn can_think(self) -> bool {
        self.generation >= (2, 5) && !self.is_artist
    }

    /// Thinks although nobody says so; others refuse to tell thoughts unless told to think.
    pub(super) fn thinks_unasked(self) -> bool {
        self.is_third() || !self.is_lite
    }

    /// Has a level between low and high.
    pub(super) fn has_medium(self) -> bool {
        !self.is_pro || self.generation >= (3, 1)
    }
}

/// `3.5-flash` is 3.5, `3-pro` is 3.0, `flash-latest` is nothing.
fn number(rest: &str) -> Option<(u32, u32)> {
    let mut parts = rest.split('-').next()?.split('.');
    let major = parts.next()?.parse().ok()?;
    let minor = parts.next().and_then(|minor| minor.parse().ok());
    Some((major, minor.unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_the_generation() {
        assert_eq!(number("3.5-flash"), Some((3, 5)));
        assert_eq!(number("3-pro-preview"), Some((3, 0)));
        assert_eq!(number("2.0-flash-001"), Some((2, 0)));
        assert_eq!(number("flash-latest"), None);
        assert_eq!(number(""), None);
    }
}
