//! One TOML table read key by key: what is there and well-formed is returned, everything else is
//! reported at its line. A [`Section`] knows which keys were asked for, so that the others can be
//! refused. Nothing here knows what a provider is.

use super::Problem;
use crate::catalog::Written;
use crate::money::Price;
use std::cell::RefCell;
use std::fmt::Write as _;
use std::ops::RangeInclusive;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The most bytes of one text.
const TEXT_MAX: usize = 8 * 1024;

/// One file's text, to turn positions into lines, and the problems found in it.
pub(super) struct Sheet<'a> {
    file: &'a str,
    line_starts: Vec<usize>,
    problems: RefCell<Vec<Problem>>,
}

/// A table of the file.
pub(super) struct Section<'s, 'i> {
    sheet: &'s Sheet<'s>,
    table: &'s DeTable<'i>,
    /// Where it begins, for what is missing in it.
    position: usize,
    /// Its name, e.g. `endpoints.pricing`.
    path: String,
    known: Vec<&'static str>,
}

impl<'a> Sheet<'a> {
    pub(super) fn new(file: &'a str, text: &str) -> Self {
        let after_newline = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Self {
            file,
            line_starts: after_newline.map(|(at, _)| at + 1).collect(),
            problems: RefCell::default(),
        }
    }

    pub(super) fn report(&self, position: usize, key: &str, reason: impl Into<String>) {
        self.problems.borrow_mut().push(Problem {
            file: self.file.to_owned(),
            line: self.line(position),
            key: key.to_owned(),
            reason: reason.into(),
        });
    }

    pub(super) fn file(&self) -> &'a str {
        self.file
    }

    pub(super) fn line(&self, position: usize) -> u32 {
        let before = self.line_starts.partition_point(|start| *start <= position);
        u32::try_from(before + 1).unwrap_or(u32::MAX)
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems.into_inner()
    }
}

impl<'s, 'i> Section<'s, 'i> {
    /// The whole document.
    pub(super) fn document(sheet: &'s Sheet<'s>, table: &'s DeTable<'i>) -> Self {
        Self {
            sheet,
            table,
            position: 0,
            path: String::new(),
            known: Vec::new(),
        }
    }

    pub(super) fn line(&self) -> u32 {
        self.sheet.line(self.position)
    }

    pub(super) fn file(&self) -> &'s str {
        self.sheet.file()
    }

    /// Refuses the keys that nobody asked for.
    pub(super) fn finish(self) {
        for key in self.table.keys() {
            let name = key.get_ref().as_ref();
            if !self.known.contains(&name) {
                let known = self.known.join(", ");
                let reason = format!("unknown key; known here: {known}");
                self.sheet.report(key.span().start, &self.key(name), reason);
            }
        }
    }

    /// Reports `reason` for `key`: at its line when it is there, else at the table's.
    pub(super) fn refuse(&self, key: &str, reason: impl Into<String>) {
        let position = self
            .table
            .get(key)
            .map_or(self.position, |value| value.span().start);
        self.sheet.report(position, &self.key(key), reason);
    }

    pub(super) fn text(&mut self, key: &'static str) -> Option<String> {
        let value = self.value(key)?;
        self.checked_text(key, value)
    }

    pub(super) fn required_text(&mut self, key: &'static str) -> Option<String> {
        self.require(key);
        self.text(key)
    }

    /// A text with a form of its own; `form` says which.
    pub(super) fn formed(
        &mut self,
        key: &'static str,
        fits: impl Fn(&str) -> bool,
        form: &str,
    ) -> Option<String> {
        let text = self.text(key)?;
        if fits(&text) {
            return Some(text);
        }
        self.refuse(key, format!("{text:?} is not {form}"));
        None
    }

    pub(super) fn integer(&mut self, key: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        let value = self.value(key)?;
        let Some(integer) = value.get_ref().as_integer() else {
            self.wrong_type(key, value, "an integer");
            return None;
        };
        let number = i128::from_str_radix(integer.as_str(), integer.radix()).ok();
        let number = number
            .and_then(|n| u64::try_from(n).ok())
            .filter(|n| range.contains(n));
        if number.is_none() {
            let (from, to) = (range.start(), range.end());
            self.refuse(key, format!("{integer} is not from {from} to {to}"));
        }
        number
    }

    pub(super) fn boolean(&mut self, key: &'static str) -> Option<bool> {
        let value = self.value(key)?;
        if value.get_ref().as_bool().is_none() {
            self.wrong_type(key, value, "true or false");
        }
        value.get_ref().as_bool()
    }

    pub(super) fn price(&mut self, key: &'static str) -> Option<Price> {
        let value = self.value(key)?;
        let Some(text) = value.get_ref().as_str() else {
            let form = "a price as a string, USD per unit, such as \"0.00000012\"";
            self.wrong_type(key, value, form);
            return None;
        };
        match text.parse() {
            Ok(price) => Some(price),
            Err(reason) => {
                self.refuse(key, format!("{text:?}: {reason}"));
                None
            }
        }
    }

    pub(super) fn choice<T: Written>(&mut self, key: &'static str) -> Option<T> {
        let text = self.text(key)?;
        let found = T::VALUES.iter().find(|value| value.text() == text);
        if found.is_none() {
            self.refuse(key, not_one_of::<T>(&text));
        }
        found.copied()
    }

    /// Several of an enum's values, sorted; repetitions are refused. `None` when the key is absent.
    pub(super) fn choices<T: Written>(&mut self, key: &'static str) -> Option<Vec<T>> {
        let mut chosen = Vec::new();
        for (position, text) in self.positioned_texts(key)? {
            match T::VALUES.iter().find(|value| value.text() == text) {
                None => self
                    .sheet
                    .report(position, &self.key(key), not_one_of::<T>(&text)),
                Some(value) if chosen.contains(value) => {
                    let reason = format!("{text:?} is listed twice");
                    self.sheet.report(position, &self.key(key), reason);
                }
                Some(value) => chosen.push(*value),
            }
        }
        chosen.sort_unstable();
        Some(chosen)
    }

    pub(super) fn texts(&mut self, key: &'static str) -> Vec<String> {
        let texts = self.positioned_texts(key).unwrap_or_default();
        texts.into_iter().map(|(_, text)| text).collect()
    }

    pub(super) fn section(&mut self, key: &'static str) -> Option<Section<'s, 'i>> {
        let value = self.value(key)?;
        let Some(table) = value.get_ref().as_table() else {
            self.wrong_type(key, value, "a table");
            return None;
        };
        Some(self.inner(key, value, table))
    }

    pub(super) fn sections(&mut self, key: &'static str) -> Vec<Section<'s, 'i>> {
        let Some(value) = self.value(key) else {
            return Vec::new();
        };
        let Some(array) = value.get_ref().as_array() else {
            self.wrong_type(key, value, "an array of tables");
            return Vec::new();
        };
        let mut inner = Vec::new();
        for item in array {
            match item.get_ref().as_table() {
                Some(table) => inner.push(self.inner(key, item, table)),
                None => self.wrong_type(key, item, "a table"),
            }
        }
        inner
    }

    pub(super) fn require(&self, key: &'static str) {
        if !self.table.contains_key(key) {
            self.refuse(key, "missing");
        }
    }

    fn inner(
        &self,
        key: &str,
        value: &Spanned<DeValue<'i>>,
        table: &'s DeTable<'i>,
    ) -> Section<'s, 'i> {
        Section {
            sheet: self.sheet,
            table,
            position: value.span().start,
            path: self.key(key),
            known: Vec::new(),
        }
    }

    fn value(&mut self, key: &'static str) -> Option<&'s Spanned<DeValue<'i>>> {
        self.known.push(key);
        self.table.get(key)
    }

    fn positioned_texts(&mut self, key: &'static str) -> Option<Vec<(usize, String)>> {
        let value = self.value(key)?;
        let Some(array) = value.get_ref().as_array() else {
            self.wrong_type(key, value, "an array of strings");
            return None;
        };
        let mut texts = Vec::new();
        for item in array {
            if let Some(text) = self.checked_text(key, item) {
                texts.push((item.span().start, text));
            }
        }
        Some(texts)
    }

    fn checked_text(&self, key: &str, value: &Spanned<DeValue<'i>>) -> Option<String> {
        let at = value.span().start;
        let Some(text) = value.get_ref().as_str() else {
            self.wrong_type(key, value, "a string");
            return None;
        };
        if text.trim().is_empty() {
            self.sheet.report(at, &self.key(key), "empty");
            return None;
        }
        if text.len() > TEXT_MAX {
            let reason = format!("longer than {TEXT_MAX} bytes");
            self.sheet.report(at, &self.key(key), reason);
            return None;
        }
        Some(text.to_owned())
    }

    fn wrong_type(&self, key: &str, value: &Spanned<DeValue<'i>>, wanted: &str) {
        let found = value.get_ref().type_str();
        let reason = format!("a TOML {found} where {wanted} is wanted");
        self.sheet
            .report(value.span().start, &self.key(key), reason);
    }

    fn key(&self, key: &str) -> String {
        if self.path.is_empty() {
            return key.to_owned();
        }
        format!("{}.{key}", self.path)
    }
}

fn not_one_of<T: Written>(text: &str) -> String {
    let mut reason = format!("{text:?} is not one of");
    for value in T::VALUES {
        // Writing to a String does not fail.
        let _ = write!(reason, " {}", value.text());
    }
    reason
}
