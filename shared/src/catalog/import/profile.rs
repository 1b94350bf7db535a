//! Inference profiles of Amazon Bedrock: the word before an id's vendor, which says where a model may
//! be served, and what it costs. Ids of newer models are of no use without one.

use super::decisions::Decisions;
use super::offer::Offer;
use std::collections::BTreeSet;

/// The profiles that can be used from the one region that the provider's row names.
const PROFILES: [&str; 2] = ["global", "us"];
/// The profile of an id that needs one and that no list has with one: models of one region only.
const NEAREST: &str = "us";

/// The offer's profile, and its id without it.
pub(super) fn of(offer: &Offer) -> Option<(&'static str, &str)> {
    let (first, rest) = offer.provider_model.split_once('.')?;
    let found = PROFILES.iter().find(|profile| **profile == first);
    found
        .filter(|_| offer.vendor_dots)
        .map(|found| (*found, rest))
}

/// Gives ids a profile that need one and that no list has with one.
pub(super) fn complete(offers: &mut [Offer], decisions: &Decisions) {
    let known = names(offers, true);
    for offer in offers {
        let id = &offer.provider_model;
        let needed = of(offer).is_none() && decisions.is_profiled(offer.provider.as_str(), id);
        if needed && !known.contains(&name(offer, id)) {
            offer.provider_model = format!("{NEAREST}.{id}");
        }
    }
}

/// The places of offers that can't be used, or that others make needless: of models that need a
/// profile those without one, of the rest those with one.
pub(super) fn needless(offers: &[Offer], decisions: &Decisions) -> BTreeSet<usize> {
    let (profiled, plain) = (names(offers, true), names(offers, false));
    let is_needless = |offer: &Offer| {
        let profile = of(offer);
        let id = profile.map_or(offer.provider_model.as_str(), |(_, id)| id);
        let needed = decisions.is_profiled(offer.provider.as_str(), id);
        match profile {
            Some(_) => !needed && plain.contains(&name(offer, id)),
            None => needed && profiled.contains(&name(offer, id)),
        }
    };
    let places = offers.iter().enumerate();
    places
        .filter(|(_, offer)| is_needless(offer))
        .map(|(at, _)| at)
        .collect()
}

type Name = (String, String);

fn name(offer: &Offer, id: &str) -> Name {
    (offer.provider.to_string(), id.to_ascii_lowercase())
}

/// The ids of offers with a profile, which is left out of them, or of those without one.
fn names(offers: &[Offer], with_profile: bool) -> BTreeSet<Name> {
    let some = offers.iter().filter_map(|offer| match of(offer) {
        Some((_, id)) => with_profile.then(|| name(offer, id)),
        None => (!with_profile).then(|| name(offer, &offer.provider_model)),
    });
    some.collect()
}
