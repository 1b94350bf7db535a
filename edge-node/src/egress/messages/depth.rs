//! Whether a call's arguments are complete, seen piece by piece without keeping them: the end of a
//! JSON object is where its braces close.

/// State over the arguments of one call.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Depth {
    open: u32,
    begun: bool,
    in_string: bool,
    escaped: bool,
}

impl Depth {
    /// Takes a piece, given as it stands inside a JSON string.
    pub(super) fn take(&mut self, inner: &str) {
        let mut rest = inner;
        while let Some(byte) = rest.bytes().next() {
            let (byte, length) = match (byte, rest.get(1..2), rest.get(2..6)) {
                (b'\\', Some("\""), _) => (b'"', 2),
                (b'\\', Some("\\"), _) => (b'\\', 2),
                (b'\\', Some("u"), Some("0022")) => (b'"', 6),
                (b'\\', Some("u"), Some("005c" | "005C")) => (b'\\', 6),
                // Whatever else is escaped means nothing here.
                (b'\\', Some("u"), _) => (b' ', 6),
                (b'\\', _, _) => (b' ', 2),
                _ => (byte, 1),
            };
            self.step(byte);
            let mut at = length.min(rest.len());
            while !rest.is_char_boundary(at) {
                at += 1;
            }
            rest = rest.get(at..).unwrap_or("");
        }
    }

    fn step(&mut self, byte: u8) {
        if self.in_string {
            self.in_string = self.escaped || byte != b'"';
            self.escaped = !self.escaped && byte == b'\\';
            return;
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => {
                self.open += 1;
                self.begun = true;
            }
            b'}' | b']' => self.open = self.open.saturating_sub(1),
            _ => {}
        }
    }

    /// True once an object has come, whole.
    pub(super) const fn is_complete(self) -> bool {
        self.begun && self.open == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_end_where_their_braces_close() {
        let check = |inner: &str, complete: bool| {
            let mut whole = Depth::default();
            whole.take(inner);
            assert_eq!(whole.is_complete(), complete, "{inner}");
        };
        check("", false);
        check("{}", true);
        check(r#"{\"a\":"#, false);
        check(r#"{\"a\":\"}\""#, false);
        check(r#"{\"a\":\"}\"}"#, true);
        check(r#"{\"a\":\"\\\"}"#, false);
        check(r#"{\"a\":\"\\\\\"}"#, true);
        check(r#"{\u0022a\u0022:[{\"b\":\"é\n\u00e9\"}"#, false);
        check(r#"{\u0022a\u0022:[{\"b\":\"é\n\u00e9\"}]}"#, true);
    }

    #[test]
    fn pieces_may_be_cut_between_any_two_characters() {
        let mut depth = Depth::default();
        for piece in [
            "{", r#"\""#, "a", r#"\""#, ":", r#"\""#, "}", r"\\", r#"\""#, r#"\""#,
        ] {
            depth.take(piece);
            assert!(!depth.is_complete());
        }
        depth.take("}");
        assert!(depth.is_complete());
    }
}
