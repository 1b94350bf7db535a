//! Sources that stand beside the choices, as Perplexity and xAI give them:
//! `[{title, url, snippet}]` or `["https://…"]`.

use super::fields::Small;
use super::parts::escaped;
use crate::message::Event;
use crate::wire::json::{Kind, Scanner, Str, SyntaxError};

/// How many sources of one answer are given.
const SOURCES_MAX: usize = 256;

/// The links that were told.
#[derive(Debug, Default)]
pub(in crate::dialect::openai_chat) struct Told(Vec<String>);

impl Told {
    /// Notes the links of a list of annotations.
    pub(in crate::dialect::openai_chat) fn note(&mut self, list: &str) -> Result<(), SyntaxError> {
        let mut scanner = Scanner::new(list);
        scanner.begin_array()?;
        while scanner.element()? {
            let small = Small::read(&mut scanner)?;
            self.is_news(small.url);
        }
        Ok(())
    }

    /// True for a link that was not told before.
    pub(super) fn is_news(&mut self, url: Option<Str<'_>>) -> bool {
        let Some(url) = url.map(Str::inner) else {
            return false;
        };
        let is_news = self.0.len() < SOURCES_MAX && !self.0.iter().any(|known| known == url);
        if is_news {
            self.0.push(url.to_owned());
        }
        is_news
    }
}

/// Gives each source of a list whose link was not told before.
pub(in crate::dialect::openai_chat) fn each(
    list: &str,
    told: &mut Told,
    mut give: impl FnMut(Event<'_>),
) -> Result<(), SyntaxError> {
    let mut scanner = Scanner::new(list);
    scanner.begin_array()?;
    while scanner.element()? {
        let small = if scanner.kind()? == Kind::String {
            Small {
                url: Some(scanner.string()?),
                ..Small::default()
            }
        } else {
            Small::read(&mut scanner)?
        };
        if told.is_news(small.url)
            && let Some(event) = citation(&small)
        {
            give(event);
        }
    }
    Ok(())
}

/// A source; none without a link.
pub(super) fn citation<'a>(small: &Small<'a>) -> Option<Event<'a>> {
    let place = |count: Option<u64>| count.and_then(|count| usize::try_from(count).ok());
    small.url.map(|url| Event::Citation {
        url: url.into(),
        name: escaped(None),
        title: escaped(small.title),
        content: escaped(small.text),
        start: place(small.start),
        end: place(small.end),
    })
}
