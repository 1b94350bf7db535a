//! How urgent a request is: `service_tier` and Anthropic's `speed`. Words that only one provider
//! knows pass as they are; what tiers a model has is the catalogue's concern.

use shared::catalog::Tier;

/// What the client says of the service tier.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Urgency {
    /// It named a tier that the API knows: the answer says which one served.
    pub asked: bool,
    /// The tier; none is the default.
    pub tier: Option<Tier>,
}

impl Urgency {
    /// Takes `service_tier`. A provider's own word (`on_demand`, `standard_only`) asks for no tier
    /// of ours.
    pub(crate) fn service_tier(&mut self, word: &str) {
        let tier = match word {
            "fast" => Some(Tier::Priority),
            word => Tier::parse(word),
        };
        self.asked |= tier.is_some() || matches!(word, "auto" | "default");
        self.tier = self.tier.or(tier);
    }

    /// Takes Anthropic's `speed`; false for a word that is not known.
    #[must_use]
    pub(crate) fn speed(&mut self, word: &str) -> bool {
        self.asked = true;
        if word == "fast" {
            self.tier = Some(Tier::Priority);
        }
        matches!(word, "fast" | "standard")
    }
}

/// Does the word, written by the client, name a tier that its endpoint does not have by itself?
#[must_use]
pub(crate) fn is_tier(word: &str) -> bool {
    word == "fast" || Tier::parse(word).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_speeds() {
        let check = |tier: &str, speed: &str, expect: (bool, Option<Tier>)| {
            let mut urgency = Urgency::default();
            if !tier.is_empty() {
                urgency.service_tier(tier);
            }
            if !speed.is_empty() {
                assert!(urgency.speed(speed));
            }
            assert_eq!((urgency.asked, urgency.tier), expect, "{tier} {speed}");
        };
        check("", "", (false, None));
        check("auto", "", (true, None));
        check("default", "", (true, None));
        check("flex", "", (true, Some(Tier::Flex)));
        check("fast", "", (true, Some(Tier::Priority)));
        check("priority", "", (true, Some(Tier::Priority)));
        check("scale", "", (true, Some(Tier::Scale)));
        check("on_demand", "", (false, None));
        check("standard_only", "fast", (true, Some(Tier::Priority)));
        check("", "standard", (true, None));
        assert!(!Urgency::default().speed("slow"));
    }
}
