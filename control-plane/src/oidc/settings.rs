//! What is configured of the OpenID provider: a file of its own, read by the same rules as a
//! program's, each of whose keys the environment may set as well (`GODWIT_OIDC_ISSUER` for
//! `issuer`). Every problem is told at once; the client's secret is never shown.

use crate::accounts::ID_LENGTH_MAX;
use crate::accounts::identities::Joining;
use crate::accounts::people::Role;
use crate::https;
use hyper::Uri;
use openidconnect::{ClientId, ClientSecret, IssuerUrl, RedirectUrl};
use shared::config::parse::text;
use shared::config::{ENVIRONMENT_PREFIX, Key, Layers, Problems};
use shared::id::OrgId;
use std::path::Path;

/// Lets anybody make an account for an address of any domain.
const ANYBODYS: &str = "https://accounts.google.com";
/// What the environment's names begin with.
const PREFIX: &str = "GODWIT_OIDC_";
/// Where the provider sends people back to, below [`Settings::origin`].
const CALLBACK: &str = "/api/v1/auth/oidc/callback";

/// Every key of the file.
const KEYS: &[Key] = &[
    Key::new("issuer", "", "the provider: an https:// URL"),
    Key::new("client_id", "", "as whom Godwit is registered there"),
    Key::secret("client_secret", "its secret, for the environment"),
    Key::new("client_secret_file", "", "a file with its secret"),
    Key::new(
        "public_url",
        "",
        "where browsers reach the console, e.g. https://godwit.example.com",
    ),
    Key::new("name", "Single sign-on", "what people call the provider"),
    Key::new(
        "join_domains",
        "",
        "whoever has an address of these domains and is not known yet becomes a member",
    ),
    Key::new(
        "join_org",
        "",
        "of this organisation, by its id; default: the first",
    ),
    Key::new("join_role", "member", "as member or admin"),
];

/// An OpenID provider, and who may log in by it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which provider.
    pub issuer: IssuerUrl,
    /// As whom Godwit is registered there.
    pub client_id: ClientId,
    /// None: as a public client, which has only PKCE.
    pub client_secret: Option<ClientSecret>,
    /// Scheme and host at which browsers reach the console.
    pub origin: String,
    /// Where the provider sends people back to.
    pub redirect_url: RedirectUrl,
    /// What people call the provider.
    pub name: String,
    /// Who may join; none: only who is known already logs in.
    pub joining: Option<Joining>,
}

impl Settings {
    /// Reads the file at `path`, and the environment over it.
    ///
    /// # Errors
    /// Every problem.
    pub fn load(path: &Path) -> Result<Self, Problems> {
        let mut layers = Layers::new(KEYS);
        layers.file(path);
        Self::of(layers, std::env::vars())
    }

    /// Reads a TOML text, and variables of an environment over it.
    ///
    /// # Errors
    /// Every problem.
    pub fn parse(
        toml: &str,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Problems> {
        let mut layers = Layers::new(KEYS);
        layers.toml(toml);
        Self::of(layers, environment)
    }

    fn of(
        mut layers: Layers,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Problems> {
        // The table knows its keys by their short names.
        layers.environment(environment.into_iter().filter_map(|(name, value)| {
            let name = name.strip_prefix(PREFIX)?;
            Some((format!("{ENVIRONMENT_PREFIX}{name}"), value))
        }));
        let read = Self::read(&mut layers);
        layers.finish(read)
    }

    fn read(layers: &mut Layers) -> Option<Self> {
        let issuer = layers.required("issuer", issuer);
        let client_id = layers.required("client_id", text);
        let client_secret = client_secret(layers);
        let origin = layers.required("public_url", origin);
        let name = layers.required("name", text);
        let joining = joining(layers);
        // One makes an account of one's own there for any address that one once could read.
        let keeps_nobody_out = issuer.as_ref().is_some_and(|it| it.as_str() == ANYBODYS);
        if keeps_nobody_out && layers.is_set("join_domains") {
            let reason = "this provider keeps accounts of people who have left the domain: add people \
                          by name";
            layers.refuse("join_domains", reason);
        }
        let origin = origin?;
        let redirect_url = RedirectUrl::new(format!("{origin}{CALLBACK}"));
        Some(Self {
            issuer: issuer?,
            client_id: ClientId::new(client_id?),
            client_secret,
            redirect_url: redirect_url.ok()?,
            origin,
            name: name?,
            joining: joining?,
        })
    }

    /// True when browsers come over TLS, so that a cookie may be kept to that.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.origin.starts_with("https://")
    }
}

/// At most one of two; neither is a public client.
fn client_secret(layers: &mut Layers) -> Option<ClientSecret> {
    if layers.is_set("client_secret") && layers.is_set("client_secret_file") {
        let reason = "either the secret or its file is expected, not both";
        layers.refuse("client_secret", reason);
    }
    let given = layers.optional("client_secret", secret);
    let filed = layers.optional("client_secret_file", |path| {
        let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
        secret(&text)
    });
    given.or(filed)
}

fn secret(text: &str) -> Result<ClientSecret, String> {
    let text = text.trim();
    match text.is_empty() {
        true => Err("no secret is in it".to_owned()),
        false => Ok(ClientSecret::new(text.to_owned())),
    }
}

/// The outer is none where something is wrong.
fn joining(layers: &mut Layers) -> Option<Option<Joining>> {
    let domains = layers.list("join_domains", domain);
    let role = layers.required("join_role", |text| {
        Role::of(text).ok_or_else(|| "member or admin is expected".to_owned())
    });
    if !layers.is_set("join_domains") {
        if layers.is_set("join_org") {
            layers.refuse("join_org", "nobody joins without join_domains");
        }
        return Some(None);
    }
    let org = layers.optional("join_org", org);
    Some(Some(Joining {
        domains,
        org: org.unwrap_or_else(|| OrgId::from("")),
        role: role?,
    }))
}

fn issuer(text: &str) -> Result<IssuerUrl, String> {
    let uri = asked_for(text)?;
    if uri.query().is_some() || text.contains('#') {
        return Err("an issuer has no query and no fragment".to_owned());
    }
    IssuerUrl::new(text.to_owned()).map_err(|error| error.to_string())
}

/// Scheme and host, without a path.
fn origin(text: &str) -> Result<String, String> {
    let uri = asked_for(text)?;
    let bare = uri.path_and_query().is_none_or(|path| path == "/");
    match uri.scheme_str().zip(uri.authority()) {
        Some((scheme, authority)) if bare && !text.contains('#') => {
            Ok(format!("{scheme}://{authority}"))
        }
        _ => Err("scheme and host are expected, without a path".to_owned()),
    }
}

/// A URL that may be asked, and that names nobody.
fn asked_for(text: &str) -> Result<Uri, String> {
    let wrong = || "an https:// URL is expected; http:// only for this machine".to_owned();
    let uri: Uri = text.parse().map_err(|_| wrong())?;
    let named = uri
        .authority()
        .is_some_and(|authority| authority.as_str().contains('@'));
    match https::may_ask(text) && !named {
        true => Ok(uri),
        false => Err(wrong()),
    }
}

fn domain(text: &str) -> Result<String, String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    match !text.is_empty() && text.bytes().all(allowed) {
        true => Ok(text.to_ascii_lowercase()),
        false => Err("a domain such as example.com is expected".to_owned()),
    }
}

fn org(text: &str) -> Result<OrgId, String> {
    let fits = text.len() <= ID_LENGTH_MAX && text.bytes().all(|byte| byte.is_ascii_graphic());
    match fits {
        true => Ok(OrgId::from(text)),
        false => Err("the id of an organisation is expected".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "issuer = 'https://id.example.com'\nclient_id = 'godwit'\n\
                        public_url = 'https://godwit.example.com/'\n";

    fn refused(toml: &str) -> String {
        Settings::parse(toml, []).unwrap_err().to_string()
    }

    #[test]
    fn a_file_and_the_environment_over_it() {
        let variables = [
            ("GODWIT_OIDC_CLIENT_SECRET", "hidden words"),
            ("GODWIT_OIDC_JOIN_DOMAINS", "Example.com, example.org"),
            ("GODWIT_OIDC_JOIN_ORG", "org_1"),
            ("GODWIT_ISSUER", "https://another.example.com"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let settings = Settings::parse(GOOD, variables).unwrap();
        assert_eq!(settings.issuer.as_str(), "https://id.example.com");
        assert_eq!(
            settings.redirect_url.as_str(),
            "https://godwit.example.com/api/v1/auth/oidc/callback"
        );
        assert!(settings.is_secure());
        let joining = settings.joining.as_ref().unwrap();
        assert_eq!(joining.domains, ["example.com", "example.org"]);
        assert_eq!(joining.role, Role::Member);
        assert_eq!(
            settings.client_secret.as_ref().unwrap().secret(),
            "hidden words"
        );
        assert!(!format!("{settings:?}").contains("hidden"));
    }

    #[test]
    fn every_mistake_is_told_and_no_secret() {
        let text = refused(
            "issuer = 'http://id.example.com'\npublic_url = 'https://a.example.com/console'\n\
             client_secret = 'hidden'\nclient_secret_file = '/nowhere'\n\
             join_domains = ['@example.com']\njoin_role = 'owner'\njoin_org = 'org 1'\n",
        );
        assert!(!text.contains("hidden"), "{text}");
        for key in [
            "issuer",
            "client_id",
            "public_url",
            "client_secret",
            "client_secret_file",
            "join_domains",
            "join_org",
            "join_role",
        ] {
            assert!(
                text.contains(&format!("{key} = ")),
                "{key} is not in\n{text}"
            );
        }
        let anybodys = GOOD.replace("https://id.example.com", ANYBODYS);
        let open = refused(&format!("{anybodys}join_domains = ['example.com']"));
        assert!(open.contains("people who have left"), "{open}");
        let lonely = refused(&format!("{GOOD}join_org = 'org_1'"));
        assert!(lonely.contains("nobody joins"), "{lonely}");
    }

    #[test]
    fn the_example_is_understood() {
        let text = include_str!("../../../deploy/config/oidc.toml").replace("# join_", "join_");
        let problems = Settings::parse(&text, []).unwrap_err().0;
        let keys: Vec<_> = problems.iter().map(|problem| &*problem.key).collect();
        assert_eq!(keys, ["client_secret_file"], "which is not on this machine");
    }

    #[test]
    fn only_https_but_on_this_machine() {
        for (url, good) in [
            ("https://id.example.com/realms/a", true),
            ("http://127.0.0.1:9000", true),
            ("http://localhost:9000/x", true),
            ("http://id.example.com", false),
            ("https://user@id.example.com", false),
            ("https://id.example.com/?a=b", false),
            ("https://id.example.com/#a", false),
            ("id.example.com", false),
        ] {
            assert_eq!(issuer(url).is_ok(), good, "{url}");
        }
    }
}
