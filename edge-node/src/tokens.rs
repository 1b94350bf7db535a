//! How many tokens, where no provider has counted them: by each model's own bytes per token, which
//! are learned from what providers count of it, prompts and answers apart. Estimates are marked as
//! such; nothing here waits or allocates.

use crate::ingress::Call;
use crate::message::Progress;
use shared::prompt::Script;
use shared::prompt::tokens::{Ratios, default_ratio, estimate};
use shared::routing::View;
use shared::usage::Usage;

/// What is known of all models.
#[derive(Debug, Default)]
pub struct Tokens {
    prompts: Ratios,
    answers: Ratios,
}

impl Tokens {
    /// An estimate of the prompt's tokens, if this model reads it.
    pub(crate) fn prompt(&self, view: &View, model: &str, call: &Call) -> u64 {
        let learned = self.prompts.of(model);
        let ratio = learned.unwrap_or_else(|| unlearned(view, model));
        call.other_tokens
            .saturating_add(estimate(call.text_bytes, ratio))
    }

    /// An estimate of the tokens of so many bytes of a model's answer.
    pub(crate) fn answer(&self, view: &View, model: &str, bytes: u64) -> u64 {
        let learned = self.answers.of(model).or_else(|| self.prompts.of(model));
        estimate(bytes, learned.unwrap_or_else(|| unlearned(view, model)))
    }

    /// What the provider reported so far; what it did not, or what can't be, is estimated.
    pub(crate) fn usage(&self, view: &View, model: &str, call: &Call, seen: &Progress) -> Usage {
        let said = || self.answer(view, model, seen.output_bytes);
        match seen.usage.filter(|usage| believed(view, model, usage)) {
            None => Usage {
                prompt: self.prompt(view, model, call),
                completion: said(),
                estimated: true,
                ..Usage::default()
            },
            // Ollama counts no prompt that is all in its cache.
            Some(usage) if usage.estimated && usage.prompt == 0 => Usage {
                prompt: self.prompt(view, model, call),
                ..usage
            },
            // The reader has put its own guess in the place of the count.
            Some(usage) if usage.estimated => Usage {
                completion: said(),
                ..usage
            },
            // A count that came before the end (Anthropic's first event) says nothing of the output.
            Some(usage) if !seen.done => {
                let said = said();
                let estimated = usage.completion < said;
                Usage {
                    completion: usage.completion.max(said),
                    estimated,
                    ..usage
                }
            }
            Some(usage) => usage,
        }
    }

    /// Learns from what a provider counted of a prompt that is only text, and of an answer that was
    /// shown whole.
    pub(crate) fn learn(&self, view: &View, model: &str, call: &Call, seen: &Progress) {
        let counted = |usage: &Usage| !usage.estimated && believed(view, model, usage);
        let Some(usage) = seen.usage.filter(counted) else {
            return;
        };
        if call.demand.input.len() <= 1 {
            let counted = usage.prompt.saturating_sub(call.other_tokens);
            self.prompts.learn(model, call.text_bytes, counted);
        }
        let hidden = usage.reasoning + usage.completion_audio + usage.completion_image;
        if seen.done && hidden == 0 {
            self.answers
                .learn(model, seen.output_bytes, usage.completion);
        }
    }
}

/// False when no answer of this model comes to what was counted.
pub(crate) fn believed(view: &View, model: &str, usage: &Usage) -> bool {
    let known = view.snapshot.model(model);
    usage.is_plausible(known.map_or(0, |model| model.context_length))
}

fn unlearned(view: &View, model: &str) -> f64 {
    let known = view.snapshot.model(model);
    let tokenizer = known.map_or("", |model| model.tokenizer.as_str());
    default_ratio(tokenizer, Script::default())
}

#[cfg(test)]
mod tests;
