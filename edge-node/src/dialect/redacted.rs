//! Reasoning of Anthropic's that only Anthropic can read: its own API gives it as text that is
//! base64, Bedrock's as the base64 of that text. Each takes back what the other gave.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::borrow::Cow;

/// No such text is shorter, in bytes: what is may look like the other form by chance.
const LENGTH_MIN: usize = 16;

/// In Bedrock's form.
pub(crate) fn wrapped(data: &str) -> Cow<'_, str> {
    if inner(data).is_some() {
        Cow::Borrowed(data)
    } else {
        Cow::Owned(STANDARD.encode(data))
    }
}

/// In Anthropic's form.
pub(crate) fn bare(data: &str) -> Cow<'_, str> {
    inner(data).map_or(Cow::Borrowed(data), Cow::Owned)
}

/// What Bedrock has wrapped: base64 whose meaning is base64 again.
fn inner(data: &str) -> Option<String> {
    let text = String::from_utf8(STANDARD.decode(data).ok()?).ok()?;
    let is_base64 = text.len() >= LENGTH_MIN && STANDARD.decode(&text).is_ok();
    is_base64.then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_becomes_the_other_and_stays_itself() {
        // The beginnings of recorded ones.
        let anthropic = "EtkECkgIBxABGAIqQJTfqS/PYuAF";
        let bedrock = "RXRrRUNrZ0lCeEFCR0FJcVFKVGZxUy9QWXVBRg==";
        assert_eq!(wrapped(anthropic), bedrock);
        assert_eq!(wrapped(bedrock), bedrock);
        assert_eq!(bare(bedrock), anthropic);
        assert_eq!(bare(anthropic), anthropic);
        assert_eq!(bare("not base64!"), "not base64!");
        assert_eq!(bare("QQ=="), "QQ==");
    }
}
