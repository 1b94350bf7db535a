//! In which jurisdiction an endpoint serves, as far as the catalogue tells: by the place in its
//! tag, else by its provider's datacentres, else by its provider's regions. What is not known is
//! nowhere: a wish for a region fails closed.

use super::{Endpoint, Provider, text_enum};

text_enum! {
    /// A jurisdiction that prompts must not leave.
    DataRegion {
        /// The European Union.
        Eu = "eu",
        /// The United States.
        Us = "us",
    }
}

/// The European Union's members, ISO 3166.
const EU_COUNTRIES: [&str; 27] = [
    "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IT",
    "LT", "LU", "LV", "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK",
];
/// Cloud regions in Europe that are not in the Union: London and Zurich.
const EUROPE_OUTSIDE_EU: [&str; 4] = ["eu-west-2", "eu-central-2", "europe-west2", "europe-west6"];
/// Azure's names say no more than a place.
const AZURE_EU: [&str; 8] = [
    "westeurope",
    "northeurope",
    "francecentral",
    "germanywestcentral",
    "swedencentral",
    "polandcentral",
    "italynorth",
    "spaincentral",
];

impl DataRegion {
    /// Is a cloud region (`us-east-1`, `europe-west4`) in it? None for a word that names no place.
    #[must_use]
    pub fn has_place(self, place: &str) -> Option<bool> {
        let place = place.to_ascii_lowercase();
        let europe = place == "eu"
            || place.starts_with("eu-")
            || place.starts_with("europe")
            || AZURE_EU.contains(&&*place);
        let america = place == "us"
            || ["us-", "us.", "eastus", "westus", "centralus"]
                .iter()
                .any(|it| place.starts_with(it))
            || ["northcentralus", "southcentralus", "westcentralus"].contains(&&*place);
        let elsewhere = [
            "global", "ap", "asia", "ca", "sa", "me", "af", "uk", "cn", "jp", "au", "in",
        ];
        let first = place.split(['-', '.']).next().unwrap_or_default();
        match self {
            Self::Eu if europe => Some(!EUROPE_OUTSIDE_EU.contains(&&*place)),
            Self::Us if america => Some(true),
            _ if europe || america || elsewhere.contains(&first) => Some(false),
            _ => None,
        }
    }

    /// Is a country, by its ISO 3166 code, in it?
    #[must_use]
    pub fn has_country(self, code: &str) -> bool {
        match self {
            Self::Eu => EU_COUNTRIES.iter().any(|it| it.eq_ignore_ascii_case(code)),
            Self::Us => code.eq_ignore_ascii_case("US"),
        }
    }

    /// Does the endpoint surely serve in it, and nowhere else?
    #[must_use]
    pub fn contains(self, endpoint: &Endpoint, provider: &Provider) -> bool {
        let mut places = endpoint.tag_without_tier().split('/').skip(1);
        if let Some(in_it) = places.find_map(|place| self.has_place(place)) {
            return in_it;
        }
        if !provider.datacenters.is_empty() {
            return provider
                .datacenters
                .iter()
                .all(|code| self.has_country(code));
        }
        !provider.regions.is_empty()
            && provider
                .regions
                .iter()
                .all(|place| self.has_place(place) == Some(true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::tests::{endpoint, provider};

    #[test]
    fn a_tag_says_more_than_its_provider_and_silence_is_nowhere() {
        let check = |tag: &str, datacenters: &[&str], regions: &[&str], eu: bool, us: bool| {
            let endpoint = endpoint(0, 0, tag);
            let mut provider = provider(0);
            provider.datacenters = datacenters.iter().map(|it| (*it).to_owned()).collect();
            provider.regions = regions.iter().map(|it| (*it).to_owned()).collect();
            let got = [DataRegion::Eu, DataRegion::Us].map(|it| it.contains(&endpoint, &provider));
            assert_eq!(got, [eu, us], "{tag} {datacenters:?} {regions:?}");
        };
        check("p0", &[], &[], false, false);
        check("p0", &["DE", "FR"], &["us-east"], true, false);
        check("p0", &["DE", "US"], &[], false, false);
        check("p0", &["US"], &[], false, true);
        check("p0", &[], &["us-east", "us-west-2"], false, true);
        check("p0", &[], &["us-east", "somewhere"], false, false);
        check("p0/europe-west4", &["US"], &[], true, false);
        check("p0/eu-west-2", &[], &[], false, false);
        check("p0/us-east5/priority", &[], &["eu-west-1"], false, true);
        check("p0/global", &["DE"], &["eu-west-1"], false, false);
        check("p0/turbo", &["DE"], &[], true, false);
    }
}
