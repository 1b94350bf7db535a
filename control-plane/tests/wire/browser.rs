//! A browser as far as log-in goes: cookies by their site, scheme and `SameSite`, redirects, and
//! pages that go on by themselves. `https://console.test` is the control plane under test, behind
//! something that ends TLS.

use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) const CONSOLE: &str = "https://console.test";
/// Redirects in a row.
const HOPS_MAX: usize = 10;

#[derive(Clone, Debug)]
pub(crate) struct Cookie {
    host: String,
    pub(crate) name: String,
    pub(crate) value: String,
    pub(crate) rules: String,
}

#[derive(Clone)]
pub(crate) struct Browser {
    console: SocketAddr,
    pub(crate) jar: Vec<Cookie>,
    accept: &'static str,
}

#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Page {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// Where the page goes by itself.
    pub(crate) fn goes_on_to(&self) -> Option<&str> {
        let (_, rest) = self.body.split_once("content=\"0; url=")?;
        rest.split_once('"').map(|(path, _)| path)
    }
}

impl Browser {
    pub(crate) fn new(console: SocketAddr) -> Self {
        Self {
            console,
            jar: Vec::new(),
            accept: "text/html,application/xhtml+xml",
        }
    }

    /// A program that keeps cookies.
    pub(crate) fn program(console: SocketAddr) -> Self {
        Self {
            accept: "application/json",
            ..Self::new(console)
        }
    }

    pub(crate) fn cookie(&self, name: &str) -> Option<&Cookie> {
        self.jar.iter().find(|cookie| cookie.name == name)
    }

    /// Goes somewhere, as by the address bar, and wherever it is sent from there.
    pub(crate) async fn go(&mut self, url: &str) -> Page {
        let (page, url) = self.follow(url, None, false).await;
        page.unwrap_or_else(|| panic!("still on the way at {url}"))
    }

    /// Comes from another site.
    pub(crate) async fn come(&mut self, url: &str) -> Page {
        let (page, _) = self.follow(url, None, true).await;
        page.unwrap()
    }

    /// Goes somewhere, but not to the first address on the way that holds this.
    pub(crate) async fn go_before(&mut self, url: &str, before: &str) -> String {
        let (page, url) = self.follow(url, Some(before), false).await;
        assert!(page.is_none(), "{page:?}");
        url
    }

    async fn follow(
        &mut self,
        url: &str,
        before: Option<&str>,
        mut cross_site: bool,
    ) -> (Option<Page>, String) {
        let mut url = url.to_owned();
        for _ in 0..HOPS_MAX {
            let page = self.ask("GET", &url, cross_site, &[]).await;
            let Some(next) = page.header("location") else {
                return (Some(page), url);
            };
            let next = match next.starts_with('/') {
                true => format!("{}{next}", origin(&url)),
                false => next.to_owned(),
            };
            // Once a request has been at another site, it is that site's to the end.
            cross_site |= origin(&next) != origin(&url);
            url = next;
            if before.is_some_and(|before| url.contains(before)) {
                return (None, url);
            }
        }
        (None, url)
    }

    /// One request and its answer.
    pub(crate) async fn ask(
        &mut self,
        method: &str,
        url: &str,
        cross_site: bool,
        more: &[(&str, &str)],
    ) -> Page {
        let (origin, path) = url.split_at(origin(url).len());
        let (scheme, host) = origin.split_once("://").unwrap();
        let address = match origin {
            CONSOLE => self.console,
            _ => host.parse().unwrap(),
        };
        let path = if path.is_empty() { "/" } else { path };
        let cookies: Vec<_> = self
            .jar
            .iter()
            .filter(|cookie| cookie.host == host)
            .filter(|cookie| scheme == "https" || !cookie.rules.contains("; Secure"))
            .filter(|cookie| !cross_site || cookie.rules.contains("; SameSite=Lax"))
            .map(|cookie| format!("{}={}", cookie.name, cookie.value))
            .collect();
        let accept = self.accept;
        let mut request =
            format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\naccept: {accept}\r\n");
        for (name, value) in more {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        if !cookies.is_empty() {
            request.push_str(&format!("cookie: {}\r\n", cookies.join("; ")));
        }
        request.push_str("content-length: 0\r\nconnection: close\r\n\r\n");
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        let page = read(&answer);
        self.keep(host, &page);
        page
    }

    fn keep(&mut self, host: &str, page: &Page) {
        let set = page.headers.iter().filter(|(name, _)| name == "set-cookie");
        for (_, text) in set {
            let (pair, rules) = text.split_once(';').unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            self.jar
                .retain(|cookie| cookie.host != host || cookie.name != name);
            if rules.contains("Max-Age=0") {
                continue;
            }
            self.jar.push(Cookie {
                host: host.to_owned(),
                name: name.to_owned(),
                value: value.to_owned(),
                rules: format!(";{rules};"),
            });
        }
    }
}

fn origin(url: &str) -> &str {
    let start = url.find("://").unwrap() + 3;
    let end = url[start..].find('/').map_or(url.len(), |at| start + at);
    &url[..end]
}

fn read(answer: &str) -> Page {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap();
    let headers = lines.filter_map(|line| line.split_once(": "));
    Page {
        status: status.parse().unwrap(),
        headers: headers
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect(),
        body: body.to_owned(),
    }
}
