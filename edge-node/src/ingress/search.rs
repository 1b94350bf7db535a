//! A search of the web in OpenRouter's words: a tool, a plugin, options, or a suffix of the model. What
//! it says is read where it is said again, in `dialect::search`.

use crate::failure::Failure;
use crate::ingress::peek::Peek;
use crate::ingress::{Api, Call};
use crate::wire::json::Span;
use shared::catalog::Parameter;

/// Where a client asks for a search of the web, in OpenRouter's words.
#[derive(Clone, Debug)]
pub(crate) struct SearchAt {
    /// In words.
    pub(crate) place: String,
    /// Its settings, an object of the body; none where there are none.
    pub(crate) span: Option<Span>,
}

impl SearchAt {
    /// The settings as written.
    pub(crate) fn raw<'a>(&self, call: &'a Call) -> &'a str {
        let raw = |span: Span| call.text().get(span.start..span.end);
        self.span.and_then(raw).unwrap_or("{}")
    }
}

/// Takes the search that is asked for, and notes it among the parameters; the model suffix `:online`
/// is one without settings.
pub(super) fn of(api: Api, peek: &mut Peek, online: bool) -> Result<Option<SearchAt>, Failure> {
    let bare = || SearchAt {
        place: "model".to_owned(),
        span: None,
    };
    let search = peek.survey.search.take().or_else(|| online.then(bare));
    if let Some(search) = &search {
        if matches!(api, Api::Embeddings | Api::Rerank) {
            let message = format!("{}: there is nothing to search for", search.place);
            return Err(Failure::invalid(&search.place, message));
        }
        peek.parameters.push(Parameter::WebSearchOptions);
    }
    Ok(search)
}
