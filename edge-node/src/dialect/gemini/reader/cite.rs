//! Sources of an answer, each told once its text is there.

use crate::dialect::gemini::reader::Answer;
use crate::dialect::gemini::sources::{Cited, Grounding};
use crate::dialect::reader::Sink;
use crate::message::{Escaped, Event};

impl Answer {
    pub(super) fn grounding(&mut self, at: usize, grounding: &Grounding<'_>, sink: &mut dyn Sink) {
        // Before Gemini 3 a grounded prompt is one search, however many queries it took.
        let most = if self.model.is_third() { u64::MAX } else { 1 };
        self.counts.searched(grounding.searches.min(most));
        self.counts.located(grounding.has_maps);
        let parts = self.choices.get(at).map(|choice| choice.text.parts.clone());
        self.cite(at, &grounding.sources(&parts.unwrap_or_default()), sink);
    }

    pub(super) fn cite(&mut self, at: usize, all: &[Cited<'_>], sink: &mut dyn Sink) {
        let Some(choice) = self.choices.get_mut(at) else {
            return;
        };
        for source in all {
            if choice.text.is_news(source) && choice.text.reaches(source) {
                let place = choice.text.characters(source.bytes);
                let (url, title) = (source.url.into(), source.title.into());
                self.notes.give(citation(url, title, place), sink);
            }
        }
    }
}

pub(super) fn citation<'a>(
    url: Escaped<'a>,
    title: Escaped<'a>,
    place: Option<(usize, usize)>,
) -> Event<'a> {
    Event::Citation {
        url,
        name: Escaped(""),
        title,
        content: Escaped(""),
        start: place.map(|(start, _)| start),
        end: place.map(|(_, end)| end),
    }
}
