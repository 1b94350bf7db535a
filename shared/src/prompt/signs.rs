//! What can be seen of a prompt without knowing words: its script, whether there is code or a
//! formula in it, how long it is. One pass, nothing is allocated.

/// How a text is written.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Script {
    /// English and most of Europe, Turkish, Vietnamese …
    #[default]
    Latin,
    /// Russian, Ukrainian, Bulgarian …
    Cyrillic,
    /// Greek.
    Greek,
    /// Arabic, Persian, Urdu.
    Arabic,
    /// Hebrew.
    Hebrew,
    /// Hindi and other scripts of India.
    Indic,
    /// Thai, Lao, Khmer, Burmese.
    SoutheastAsian,
    /// Korean.
    Hangul,
    /// Japanese.
    Kana,
    /// Chinese.
    Han,
}

impl Script {
    /// Every script.
    pub const ALL: [Self; 10] = [
        Self::Latin,
        Self::Cyrillic,
        Self::Greek,
        Self::Arabic,
        Self::Hebrew,
        Self::Indic,
        Self::SoutheastAsian,
        Self::Hangul,
        Self::Kana,
        Self::Han,
    ];

    /// How it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Latin => "latin",
            Self::Cyrillic => "cyrillic",
            Self::Greek => "greek",
            Self::Arabic => "arabic",
            Self::Hebrew => "hebrew",
            Self::Indic => "indic",
            Self::SoutheastAsian => "southeast_asian",
            Self::Hangul => "hangul",
            Self::Kana => "kana",
            Self::Han => "han",
        }
    }

    fn of(c: char) -> Option<Self> {
        Some(match u32::from(c) {
            0x41..=0x5a | 0x61..=0x7a | 0xc0..=0x24f | 0x1e00..=0x1eff => Self::Latin,
            0x370..=0x3ff | 0x1f00..=0x1fff => Self::Greek,
            0x400..=0x52f => Self::Cyrillic,
            0x590..=0x5ff => Self::Hebrew,
            0x600..=0x77f | 0xfb50..=0xfdff | 0xfe70..=0xfeff => Self::Arabic,
            0x900..=0xdff => Self::Indic,
            0xe00..=0xeff | 0x1000..=0x109f | 0x1780..=0x17ff => Self::SoutheastAsian,
            0x1100..=0x11ff | 0x3130..=0x318f | 0xac00..=0xd7af => Self::Hangul,
            0x3040..=0x30ff => Self::Kana,
            0x3400..=0x4dbf | 0x4e00..=0x9fff | 0x2_0000..=0x2_ffff => Self::Han,
            _ => return None,
        })
    }
}

/// True for characters of scripts that put no blanks between words.
#[must_use]
pub(super) fn stands_alone(c: char) -> bool {
    let script = Script::of(c);
    matches!(
        script,
        Some(Script::Han | Script::Kana | Script::SoutheastAsian)
    )
}

/// How long a prompt is, by its bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Length {
    /// A line.
    #[default]
    Short,
    /// Some paragraphs.
    Medium,
    /// Some pages.
    Long,
    /// A book.
    Huge,
}

impl Length {
    /// By the whole conversation's bytes.
    #[must_use]
    pub const fn of(bytes: u64) -> Self {
        match bytes {
            0..400 => Self::Short,
            400..4_000 => Self::Medium,
            4_000..100_000 => Self::Long,
            _ => Self::Huge,
        }
    }

    /// How it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Short => "short",
            Self::Medium => "medium",
            Self::Long => "long",
            Self::Huge => "huge",
        }
    }
}

/// What can be seen of a text.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Signs {
    /// The script of most of its letters.
    pub script: Script,
    /// There is a program, or a piece of one, in it.
    pub code: bool,
    /// There is a formula in it.
    pub maths: bool,
    /// The length of what was read.
    pub length: Length,
    question: bool,
    lines: bool,
    digits: bool,
}

impl Signs {
    /// Reads a text, all of it: bound it before.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let mut counts = Counts::default();
        for c in text.chars() {
            counts.take(c);
        }
        let kana = counts.of(Script::Kana);
        let mut script = Script::Latin;
        for one in Script::ALL {
            if counts.of(one) > counts.of(script) {
                script = one;
            }
        }
        // Japanese is written with more Chinese characters than its own.
        if script == Script::Han && kana * 10 > counts.of(Script::Han) {
            script = Script::Kana;
        }
        let chars = counts.chars.max(1);
        let fenced = text.contains("```");
        Self {
            script,
            code: fenced || (counts.code >= 6 && counts.code * 16 > chars),
            maths: text.contains("\\frac")
                || text.contains("$$")
                || counts.maths > 0
                || (counts.equals > 0 && counts.digits > 0 && counts.code == 0 && chars < 200),
            length: Length::of(text.len() as u64),
            question: text.trim_end().ends_with(['?', '？', '؟']),
            lines: counts.lines >= 4,
            digits: counts.digits * 12 > chars,
        }
    }

    /// As numbers, for the linear head.
    pub(super) fn features(&self) -> impl Iterator<Item = u32> {
        let flags = [
            self.code,
            self.maths,
            self.question,
            self.lines,
            self.digits,
        ];
        let flags = (100..).zip(flags).map(|(at, is)| (at << 1) | u32::from(is));
        let length = 20 + self.length as u32;
        std::iter::once(length).chain(flags)
    }
}

#[derive(Default)]
struct Counts {
    chars: u32,
    digits: u32,
    lines: u32,
    code: u32,
    maths: u32,
    equals: u32,
    scripts: [u32; Script::ALL.len()],
}

impl Counts {
    fn take(&mut self, c: char) {
        self.chars += 1;
        match c {
            'a'..='z' | 'A'..='Z' => self.letter(Script::Latin),
            '0'..='9' => self.digits += 1,
            '\n' => self.lines += 1,
            '{' | '}' | ';' | '<' | '>' | '[' | ']' | '_' | '(' | ')' => self.code += 1,
            '=' => self.equals += 1,
            '∫' | '∑' | '√' | '≤' | '≥' | '∞' | 'π' | '∂' | '^' => self.maths += 1,
            _ if c.is_ascii() => {}
            _ => {
                if let Some(script) = Script::of(c) {
                    self.letter(script);
                }
            }
        }
    }

    fn letter(&mut self, script: Script) {
        if let Some(count) = self.scripts.get_mut(script as usize) {
            *count += 1;
        }
    }

    fn of(&self, script: Script) -> u32 {
        self.scripts.get(script as usize).copied().unwrap_or(0)
    }
}
