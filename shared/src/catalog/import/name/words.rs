//! A provider's id cut into words, as one name: paths, vendors and releases are gone, a date is one
//! word. What the words mean is `name.rs`'s business.

use super::Word;

/// The words of an id; `vendor_dots` when it begins with a region and a vendor.
pub(super) fn of(id: &str, vendor_dots: bool) -> Vec<Word> {
    let id = id.to_ascii_lowercase();
    let id = id.rsplit('/').next().unwrap_or_default();
    let id = id.split('@').next().unwrap_or_default();
    let id = if vendor_dots { after_vendor(id) } else { id };
    let mut words = cut_words(id);
    merge_dates(&mut words);
    if vendor_dots {
        cut_release(&mut words);
    }
    words
}

/// Cuts the region and the vendor off. Names such as `deepseek.r1` lose their family with it:
/// decisions name those.
fn after_vendor(id: &str) -> &str {
    let word =
        |part: &str| part.bytes().all(|b| b.is_ascii_alphabetic() || b == b'-') || part == "ai21";
    let mut rest = id;
    while let Some((head, tail)) = rest.split_once('.') {
        if head.is_empty() || !word(head) {
            break;
        }
        rest = tail;
    }
    rest
}

/// Bedrock's release, the `-v1:0` or `-1:0` of its ids: the count goes, `v1` stays as a word that
/// may be cut. `v0:2` is the model's own version, v0.2.
fn cut_release(words: &mut Vec<Word>) {
    let small = |text: &str| text.len() == 1 && is_number(text);
    let mut counted = false;
    if let [.., release, count] = words.as_mut_slice()
        && count.separator == ':'
        && small(&count.text)
    {
        if release.text == "v0" {
            count.separator = '.';
            return;
        }
        counted = true;
        let bare = small(&release.text);
        words.truncate(words.len() - if bare { 2 } else { 1 });
    }
    if let Some(last) = words.last_mut() {
        let release = last.text.strip_prefix('v').is_some_and(small);
        if release && (counted || last.text == "v1") {
            last.separator = ':';
        }
    }
}

/// Splits at `-`, `_`, `:`, blanks, and at `.`; `3p1` is 3.1; `llama3` and `llama-v3` are
/// llama-3.
fn cut_words(id: &str) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    let mut push = |separator: char, text: &str| {
        if !text.is_empty() {
            let text = text.to_owned();
            words.push(Word { separator, text });
        }
    };
    let mut separator = '-';
    for piece in id.split_inclusive(['-', '_', ':', ' ', '.']) {
        let text = piece.trim_end_matches(['-', '_', ':', ' ', '.']);
        match text.split_once('p') {
            Some((a, b)) if is_number(b) && a.ends_with(|c: char| c.is_ascii_digit()) => {
                push(separator, a);
                push('.', b);
            }
            _ => match text.strip_prefix("llama") {
                Some(version) if version.starts_with(|c: char| c.is_ascii_digit()) => {
                    push(separator, "llama");
                    push('-', version);
                }
                _ => push(separator, text),
            },
        }
        let mark = piece
            .chars()
            .next_back()
            .filter(|mark| matches!(mark, '.' | ':'));
        separator = mark.unwrap_or('-');
    }
    let llama = words.first().is_some_and(|word| word.text == "llama");
    if let [_, second, ..] = words.as_mut_slice()
        && llama
        && second.text.strip_prefix('v').is_some_and(is_number)
    {
        second.text.remove(0);
    }
    words
}

/// `2024-05-13` is one word, and so is `08-2024`, as the month's day 0.
fn merge_dates(words: &mut Vec<Word>) {
    let is = |words: &[Word], at: usize, len: usize| {
        words
            .get(at)
            .is_some_and(|word| word.text.len() == len && is_number(&word.text))
    };
    let year = |words: &[Word], at: usize| {
        is(words, at, 4)
            && words
                .get(at)
                .is_some_and(|word| word.text.starts_with("20"))
    };
    for at in 0..words.len() {
        if year(words, at) && is(words, at + 1, 2) && is(words, at + 2, 2) {
            let date: String = words.drain(at + 1..at + 3).map(|word| word.text).collect();
            if let Some(word) = words.get_mut(at) {
                word.text.push_str(&date);
            }
            return;
        }
    }
    let last = words.len().saturating_sub(1);
    if last > 0 && is(words, last - 1, 2) && year(words, last) {
        let year = words.pop().map_or_else(String::new, |word| word.text);
        if let Some(word) = words.last_mut() {
            word.text = format!("{year}{}00", word.text);
        }
    }
}

pub(super) fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}
