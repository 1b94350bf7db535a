//! What of a provider's address is one's own: the host of a resource or a workspace, the project and
//! the region at a cloud. The catalogue's row has gaps there, and an own key says what belongs into
//! them. A host is taken only below the domains that are known to be that provider's. Pure.

use serde::{Deserialize, Serialize};

/// What stands in the catalogue for hosts of one's own, and the domains below which they are.
const OWN_HOSTS: [(&str, &[&str]); 4] = [
    (
        "resource.openai.azure.invalid",
        &["openai.azure.com", "cognitiveservices.azure.com"],
    ),
    (
        "resource.services.ai.azure.invalid",
        &["services.ai.azure.com", "cognitiveservices.azure.com"],
    ),
    (
        "workspace.cloud.databricks.invalid",
        &["cloud.databricks.com", "azuredatabricks.net"],
    ),
    (
        "account.snowflakecomputing.invalid",
        &["snowflakecomputing.com"],
    ),
];
const PROJECT: &str = "/projects/PROJECT/";
const ACCOUNT: &str = "/accounts/ACCOUNT/";
/// Where the region is a part of the host's name and of the path.
const GLOBAL_HOST: &str = "aiplatform.googleapis.com";
const GLOBAL_PATH: &str = "/locations/global";
/// The longest text of one.
const TEXT_MAX: usize = 200;

/// What fills the gaps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Place {
    /// The host of one's own resource, e.g. `mine.openai.azure.com`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The project at Google Cloud.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// The region, of providers that are in several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
}

/// Why an address can't be filled in.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Misplaced {
    /// Something is missing.
    #[error("{0}: it is needed for this provider")]
    Missing(&'static str),
    /// Something is not what it should be.
    #[error("{0}: {1}")]
    Wrong(&'static str, String),
    /// The provider has no place for it.
    #[error("{0}: this provider takes none")]
    Needless(&'static str),
}

impl Place {
    /// Nothing of one's own.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// A provider's address with what is one's own in it.
    ///
    /// # Errors
    /// When something is missing, is of no such form, or has no place in the address.
    pub fn fill(&self, base_url: &str) -> Result<String, Misplaced> {
        let mut url = base_url.to_owned();
        let host = host_of(base_url);
        let own = OWN_HOSTS.iter().find(|(stands_for, _)| *stands_for == host);
        match (own, &self.address) {
            (Some((stands_for, domains)), Some(address)) => {
                url = url.replacen(stands_for, &own_host(address, domains)?, 1);
            }
            (Some(_), None) => return Err(Misplaced::Missing("address")),
            (None, Some(_)) => return Err(Misplaced::Needless("address")),
            (None, None) => {}
        }
        let gaps = [
            ("project", PROJECT, &self.project),
            ("account", ACCOUNT, &self.account),
        ];
        for (name, gap, given) in gaps {
            match (url.contains(gap), given) {
                (true, Some(given)) => {
                    plain(name, given)?;
                    let word = gap.split('/').nth(1).unwrap_or_default();
                    url = url.replace(gap, &format!("/{word}/{given}/"));
                }
                (true, None) => return Err(Misplaced::Missing(name)),
                (false, Some(_)) => return Err(Misplaced::Needless(name)),
                (false, None) => {}
            }
        }
        match &self.region {
            Some(region) => in_region(&url, region),
            None => Ok(url),
        }
    }
}

fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}

/// A host below one of these domains, from a host, a URL of it, or the name alone.
fn own_host(given: &str, domains: &[&str]) -> Result<String, Misplaced> {
    let wrong = || {
        let all: Vec<_> = domains.iter().map(|it| format!("NAME.{it}")).collect();
        Misplaced::Wrong("address", format!("expected {}", all.join(" or ")))
    };
    let host = given.strip_prefix("https://").unwrap_or(given);
    let host = host.strip_suffix('/').unwrap_or(host).to_ascii_lowercase();
    let host = match (host.contains('.'), domains.first()) {
        (false, Some(domain)) => format!("{host}.{domain}"),
        _ => host,
    };
    let below = |domain: &&str| {
        let name = host.strip_suffix(*domain)?.strip_suffix('.')?;
        name.split('.').all(is_label).then_some(())
    };
    if host.len() > TEXT_MAX || domains.iter().find_map(below).is_none() {
        return Err(wrong());
    }
    Ok(host)
}

fn is_label(text: &str) -> bool {
    let inside = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let edges = !text.starts_with('-') && !text.ends_with('-');
    !text.is_empty() && edges && text.bytes().all(inside)
}

/// What stands between two slashes and means nothing but itself there.
fn plain(name: &'static str, text: &str) -> Result<(), Misplaced> {
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    let dots = text.bytes().all(|byte| byte == b'.');
    if dots || text.len() > TEXT_MAX || !text.bytes().all(inside) {
        let reason = "letters, digits, and any of - _ . : are expected".to_owned();
        return Err(Misplaced::Wrong(name, reason));
    }
    Ok(())
}

/// The address in a region instead of the global one; one that is in a region stays there.
fn in_region(url: &str, region: &str) -> Result<String, Misplaced> {
    const NAME: &str = "region";
    if !is_label(region) || region.len() > TEXT_MAX {
        let reason = "lower-case letters, digits and - are expected".to_owned();
        return Err(Misplaced::Wrong(NAME, reason));
    }
    let path = format!("/locations/{region}");
    let is_there = |path: &str| url.contains(&format!("{path}/")) || url.ends_with(path);
    if is_there(&path) {
        return Ok(url.to_owned());
    }
    if host_of(url) != GLOBAL_HOST || !is_there(GLOBAL_PATH) {
        return match url.contains("/locations/") {
            true => Err(Misplaced::Wrong(
                NAME,
                "this provider is in another one".to_owned(),
            )),
            false => Err(Misplaced::Needless(NAME)),
        };
    }
    let url = url.replacen(GLOBAL_HOST, &format!("{region}-{GLOBAL_HOST}"), 1);
    Ok(url.replacen(GLOBAL_PATH, &path, 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn place(address: &str, project: &str, region: &str, account: &str) -> Place {
        let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Place {
            address: given(address),
            project: given(project),
            region: given(region),
            account: given(account),
        }
    }

    const AZURE: &str = "https://resource.openai.azure.invalid/openai/v1";
    const VERTEX: &str = "https://aiplatform.googleapis.com/v1/projects/PROJECT/locations/global";

    #[test]
    fn gaps_are_filled_with_what_is_ones_own() {
        let check = |base_url: &str, place: Place, expect: &str| {
            assert_eq!(place.fill(base_url).as_deref(), Ok(expect));
        };
        for address in [
            "mine",
            "mine.openai.azure.com",
            "https://MINE.openai.azure.com/",
        ] {
            let expect = "https://mine.openai.azure.com/openai/v1";
            check(AZURE, place(address, "", "", ""), expect);
        }
        check(
            AZURE,
            place("mine.cognitiveservices.azure.com", "", "", ""),
            "https://mine.cognitiveservices.azure.com/openai/v1",
        );
        check(
            VERTEX,
            place("", "my-project", "", ""),
            "https://aiplatform.googleapis.com/v1/projects/my-project/locations/global",
        );
        check(
            &format!("{VERTEX}/endpoints/openapi"),
            place("", "my-project", "europe-west4", ""),
            "https://europe-west4-aiplatform.googleapis.com/v1/projects/my-project/locations/europe-west4/endpoints/openapi",
        );
        check(
            VERTEX,
            place("", "p", "global", ""),
            &VERTEX.replace("PROJECT", "p"),
        );
        let llama = "https://us-east5-aiplatform.googleapis.com/v1/projects/PROJECT/locations/us-east5/endpoints/openapi";
        check(
            llama,
            place("", "p", "us-east5", ""),
            &llama.replace("PROJECT", "p"),
        );
        assert!(place("", "p", "us-east1", "").fill(llama).is_err());
        check(
            "https://api.cloudflare.com/client/v4/accounts/ACCOUNT/ai/v1",
            place("", "", "", "0123ab"),
            "https://api.cloudflare.com/client/v4/accounts/0123ab/ai/v1",
        );
        check(
            "https://api.p.example/v1",
            Place::default(),
            "https://api.p.example/v1",
        );
    }

    #[test]
    fn what_is_missing_needless_or_somebody_elses_is_told() {
        let refused = |base_url: &str, place: Place| place.fill(base_url).unwrap_err();
        assert_eq!(
            refused(AZURE, Place::default()),
            Misplaced::Missing("address")
        );
        assert_eq!(
            refused(VERTEX, Place::default()),
            Misplaced::Missing("project")
        );
        let plain = "https://api.p.example/v1";
        for (given, name) in [
            (place("mine", "", "", ""), "address"),
            (place("", "p", "", ""), "project"),
            (place("", "", "us-east1", ""), "region"),
            (place("", "", "", "a"), "account"),
        ] {
            assert_eq!(refused(plain, given), Misplaced::Needless(name));
        }
        for address in [
            "evil.example",
            "openai.azure.com",
            "evil.example/.openai.azure.com",
            "evil.example#.openai.azure.com",
            "user@mine.openai.azure.com",
            "mine.openai.azure.com:8443",
            "mine.openai.azure.com.evil.example",
            "http://mine.openai.azure.com",
            "mineopenai.azure.com",
            "-mine.openai.azure.com",
            "mine..openai.azure.com",
            "",
        ] {
            let given = Place {
                address: Some(address.to_owned()),
                ..Place::default()
            };
            let refused = refused(AZURE, given);
            assert!(
                matches!(refused, Misplaced::Wrong("address", _)),
                "{address}"
            );
        }
        for project in ["a/b", "..", "p?x", "p#", "a b", "é"] {
            let refused = refused(VERTEX, place("", project, "", ""));
            assert!(
                matches!(refused, Misplaced::Wrong("project", _)),
                "{project}"
            );
        }
    }

    proptest! {
        /// Whatever is given, the host stays below a domain of the provider's.
        #[test]
        fn no_text_leads_elsewhere(
            address in "[a-z.:/@#?%-]{0,12}(\\.openai\\.azure\\.com)?[a-z./]{0,4}",
            project in "[a-z./?#@:-]{1,12}",
            region in "[a-z./?#@:-]{1,12}",
        ) {
            let given = Place { address: Some(address), ..Place::default() };
            if let Ok(url) = given.fill(AZURE) {
                let origin = super::super::origin_of(&url).unwrap();
                prop_assert!(
                    origin.ends_with(".openai.azure.com") || origin.ends_with(".cognitiveservices.azure.com"),
                    "{}", url
                );
            }
            let given = Place { project: Some(project), region: Some(region), ..Place::default() };
            if let Ok(url) = given.fill(VERTEX) {
                let origin = super::super::origin_of(&url).unwrap();
                prop_assert!(origin.ends_with("aiplatform.googleapis.com"), "{}", url);
            }
        }
    }
}
