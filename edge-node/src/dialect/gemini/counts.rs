//! Usage as this dialect reports it: cumulative, on every frame or only on the last, thinking and
//! the prompts of its own tools beside the rest. The last value of each field holds.

use crate::wire::json::{self, Kind, Scanner, SyntaxError};
use shared::usage::Usage;
use std::borrow::Cow;

/// Bytes of output per token, where the provider's count has not come.
const BYTES_PER_TOKEN: u64 = 4;

/// What was reported so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    prompt: Option<u64>,
    tool_prompt: Option<u64>,
    cached: Option<u64>,
    candidates: Option<u64>,
    thoughts: Option<u64>,
    prompt_audio: u64,
    audio: u64,
    image: u64,
    searches: u64,
    maps: bool,
}

/// What the tokens of a list of details are of.
#[derive(Clone, Copy, Debug, Default)]
struct Modalities {
    audio: u64,
    image: u64,
}

impl Counts {
    /// Consumes a usage object.
    pub(super) fn read(&mut self, scanner: &mut Scanner<'_>) -> Result<(), SyntaxError> {
        scanner.begin_object()?;
        while let Some(key) = scanner.key()? {
            let name = key.name.decode();
            match (&*name, scanner.kind()?) {
                ("promptTokensDetails", Kind::Array) => {
                    self.prompt_audio = Modalities::read(scanner)?.audio;
                }
                ("candidatesTokensDetails", Kind::Array) => {
                    let said = Modalities::read(scanner)?;
                    (self.audio, self.image) = (said.audio, said.image);
                }
                (_, Kind::Number) => {
                    let span = scanner.value()?;
                    let count = json::count(scanner.raw(span));
                    if let Some(field) = self.field(&name) {
                        *field = count.or(*field);
                    }
                }
                _ => {
                    scanner.value()?;
                }
            }
        }
        Ok(())
    }

    /// So many searches of the web were made, over the whole answer.
    pub(super) fn searched(&mut self, searches: u64) {
        self.searches = self.searches.max(searches);
    }

    /// The answer rests on places of the provider's maps.
    pub(super) fn located(&mut self, maps: bool) {
        self.maps |= maps;
    }

    /// What was used. The completion is counted by the bytes that came while the provider's own
    /// count of it is missing.
    pub(super) fn usage(&self, output_bytes: u64) -> Option<Usage> {
        let prompt = self.prompt?.saturating_add(self.tool_prompt.unwrap_or(0));
        let estimated = self.candidates.is_none() && self.thoughts.is_none() && output_bytes > 0;
        let said = if estimated {
            output_bytes.div_ceil(BYTES_PER_TOKEN)
        } else {
            self.candidates.unwrap_or(0)
        };
        let thoughts = self.thoughts.unwrap_or(0);
        Some(Usage {
            prompt,
            cache_read: self.cached.unwrap_or(0).min(prompt),
            prompt_audio: self.prompt_audio,
            completion: said.saturating_add(thoughts),
            reasoning: thoughts,
            completion_audio: self.audio,
            completion_image: self.image,
            web_searches: self.searches,
            maps: self.maps.into(),
            estimated,
            ..Usage::default()
        })
    }

    fn field(&mut self, name: &str) -> Option<&mut Option<u64>> {
        Some(match name {
            "promptTokenCount" => &mut self.prompt,
            "toolUsePromptTokenCount" => &mut self.tool_prompt,
            "cachedContentTokenCount" => &mut self.cached,
            "candidatesTokenCount" => &mut self.candidates,
            "thoughtsTokenCount" => &mut self.thoughts,
            _ => return None,
        })
    }
}

impl Modalities {
    /// Consumes `[{"modality":"AUDIO","tokenCount":5},…]`. Modalities are words, or numbers where
    /// the client of a recording asked for numbers.
    fn read(scanner: &mut Scanner<'_>) -> Result<Self, SyntaxError> {
        let mut all = Self::default();
        scanner.begin_array()?;
        while scanner.element()? {
            if scanner.kind()? != Kind::Object {
                scanner.value()?;
                continue;
            }
            let (mut modality, mut count) = (Cow::Borrowed(""), 0);
            scanner.begin_object()?;
            while let Some(key) = scanner.key()? {
                match (&*key.name.decode(), scanner.kind()?) {
                    ("modality", Kind::String) => modality = scanner.string()?.decode(),
                    (name, _) => {
                        let span = scanner.value()?;
                        match name {
                            "modality" => modality = scanner.raw(span).into(),
                            "tokenCount" => count = json::count(scanner.raw(span)).unwrap_or(0),
                            _ => {}
                        }
                    }
                }
            }
            match &*modality {
                "AUDIO" | "4" => all.audio = all.audio.saturating_add(count),
                "IMAGE" | "2" => all.image = all.image.saturating_add(count),
                _ => {}
            }
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(frames: &[&str], bytes: u64) -> Option<Usage> {
        let mut counts = Counts::default();
        for frame in frames {
            counts.read(&mut Scanner::new(frame)).unwrap();
        }
        counts.usage(bytes)
    }

    #[test]
    fn thoughts_and_the_prompts_of_tools_are_added() {
        let frame = r#"{"promptTokenCount":85,"candidatesTokenCount":122,"totalTokenCount":443,
            "toolUsePromptTokenCount":149,"thoughtsTokenCount":87,"cachedContentTokenCount":11,
            "promptTokensDetails":[{"modality":"AUDIO","tokenCount":5},{"modality":1,"tokenCount":80}],
            "candidatesTokensDetails":[{"modality":"IMAGE","tokenCount":100},{"modality":4,"tokenCount":7}]}"#;
        let got = usage(&[frame], 9).unwrap();
        assert_eq!((got.prompt, got.completion), (234, 209));
        assert_eq!((got.reasoning, got.cache_read), (87, 11));
        assert_eq!((got.prompt_audio, got.completion_audio), (5, 7));
        assert_eq!((got.completion_image, got.estimated), (100, false));
    }

    #[test]
    fn the_last_value_of_each_field_holds() {
        let got = usage(
            &[
                r#"{"promptTokenCount":10,"thoughtsTokenCount":149,"candidatesTokenCount":1}"#,
                r#"{"promptTokenCount":530,"candidatesTokenCount":12}"#,
                r#"{"trafficType":"ON_DEMAND"}"#,
            ],
            0,
        );
        let got = got.unwrap();
        assert_eq!((got.prompt, got.completion), (530, 161));
    }

    #[test]
    fn what_is_not_told_is_not_made_up() {
        assert_eq!(usage(&[r#"{"trafficType":"ON_DEMAND"}"#], 50), None);
        let blocked = usage(&[r#"{"promptTokenCount":14}"#], 0).unwrap();
        assert_eq!((blocked.completion, blocked.estimated), (0, false));
        let cut = usage(&[r#"{"promptTokenCount":14}"#], 41).unwrap();
        assert_eq!((cut.completion, cut.estimated), (11, true));
    }
}
