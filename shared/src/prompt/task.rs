//! What a prompt may ask for. Two are told by the request's form (tools, pictures), the others by
//! its words.

macro_rules! tasks {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)+) => {
        /// What a prompt asks for.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Task { $($(#[$doc])* $variant,)+ }

        impl Task {
            /// Every task; those that are told by words come first, in the order of the weights.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// How it is written.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// The task that is written so.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

tasks! {
    /// Small talk.
    Chat = "chat",
    /// A fact.
    Question = "question",
    /// How something works.
    Explain = "explain",
    /// Medicine, law, tax.
    Expert = "expert",
    /// Fewer words.
    Summarize = "summarize",
    /// Another language.
    Translate = "translate",
    /// Better words.
    Rewrite = "rewrite",
    /// A story, a poem, a joke.
    Creative = "creative",
    /// A letter, a post, an advertisement.
    Draft = "draft",
    /// In somebody's place.
    Roleplay = "roleplay",
    /// Names, dates and numbers out of a text.
    Extract = "extract",
    /// A label.
    Classify = "classify",
    /// A program.
    Code = "code",
    /// What is wrong with a program.
    Debug = "debug",
    /// What a program does, and how to make it better.
    Review = "review",
    /// Queries, spreadsheets, statistics.
    Data = "data",
    /// A calculation or a proof.
    Math = "math",
    /// A riddle, a conclusion.
    Reason = "reason",
    /// What to do in which order.
    Plan = "plan",
    /// Tools are there to be used.
    Agent = "agent",
    /// There is something to look at or to listen to.
    Vision = "vision",
}

impl Task {
    /// How many are told by words.
    pub const LEARNED: usize = Self::Plan as usize + 1;
}
