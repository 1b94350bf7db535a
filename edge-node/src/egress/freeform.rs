//! Calls with free text where only one side knows such. A provider that has only functions is
//! offered one with the single argument `input`, and its calls are given back as text; a client
//! whose API has only functions gets the text as that argument. Which tools these are, the client's
//! request says.

mod input;

#[cfg(test)]
mod tests;

use crate::dialect::Bill;
use crate::egress::Writer;
use crate::failure::Failure;
use crate::message::{Escaped, Event, Finish};
use crate::wire::json;
use bytes::BytesMut;
use input::Input;

/// Makes free text of the calls of functions that stand for tools with free text.
pub(super) struct Texts {
    writer: Box<dyn Writer>,
    /// The tools, as the insides of JSON strings.
    names: Vec<String>,
    /// The choice that is spoken of.
    choice: usize,
    /// The calls of such tools: choice, index and what their arguments have come to.
    calls: Vec<(usize, usize, Input)>,
}

impl Texts {
    pub(super) fn new(writer: Box<dyn Writer>, names: Vec<String>) -> Self {
        Self {
            writer,
            names,
            choice: 0,
            calls: Vec::new(),
        }
    }
}

impl Writer for Texts {
    fn write(&mut self, event: &Event<'_>, out: &mut BytesMut) {
        match *event {
            Event::Choice(choice) => self.choice = choice,
            Event::Call { index, id, name } if self.names.iter().any(|it| it == name.0) => {
                self.calls.push((self.choice, index, Input::default()));
                let event = Event::Freeform { index, id, name };
                return self.writer.write(&event, out);
            }
            Event::Arguments { index, text } => {
                let mut calls = self.calls.iter_mut();
                let own = calls.find(|(choice, of, _)| (*choice, *of) == (self.choice, index));
                if let Some((_, _, input)) = own {
                    let piece = input.take(text);
                    if !piece.is_empty() {
                        let text = Escaped(&piece);
                        self.writer.write(&Event::Input { index, text }, out);
                    }
                    return;
                }
            }
            _ => {}
        }
        self.writer.write(event, out);
    }

    fn fail(&mut self, failure: &Failure) {
        self.writer.fail(failure);
    }

    fn close(&mut self, bill: &Bill<'_>, out: &mut BytesMut) {
        self.writer.close(bill, out);
    }
}

/// Makes functions of calls with free text.
pub(super) struct Functions {
    writer: Box<dyn Writer>,
    /// Calls whose argument has not ended.
    open: Vec<usize>,
}

impl Functions {
    pub(super) fn new(writer: Box<dyn Writer>) -> Self {
        Self {
            writer,
            open: Vec::new(),
        }
    }
}

impl Writer for Functions {
    fn write(&mut self, event: &Event<'_>, out: &mut BytesMut) {
        let argue = |writer: &mut Box<dyn Writer>, index, text: &str, out: &mut BytesMut| {
            let text = Escaped(text);
            writer.write(&Event::Arguments { index, text }, out);
        };
        match *event {
            Event::Freeform { index, id, name } => {
                self.writer.write(&Event::Call { index, id, name }, out);
                argue(&mut self.writer, index, "{\\\"input\\\":\\\"", out);
                self.open.push(index);
            }
            Event::Input { index, text } => {
                let mut piece = Vec::with_capacity(text.0.len());
                json::write_escaped(&mut piece, text.0);
                let piece = std::str::from_utf8(&piece).unwrap_or("");
                argue(&mut self.writer, index, piece, out);
            }
            Event::Finish { finish, .. } => {
                for index in std::mem::take(&mut self.open) {
                    // What was cut off stays so.
                    if finish != Finish::Length {
                        argue(&mut self.writer, index, "\\\"}", out);
                    }
                }
                self.writer.write(event, out);
            }
            _ => self.writer.write(event, out),
        }
    }

    fn fail(&mut self, failure: &Failure) {
        self.writer.fail(failure);
    }

    fn close(&mut self, bill: &Bill<'_>, out: &mut BytesMut) {
        self.writer.close(bill, out);
    }
}
