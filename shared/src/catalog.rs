//! The catalogue: providers, models and endpoints, validated. Read from TOML by [`mod@file`], made from
//! public price lists by [`import`]; everything else may rely on what the types say. No I/O but
//! [`file::read_dir`].

pub mod auto;
pub mod endpoint;
pub mod file;
pub mod import;
pub mod listing;
pub mod model;
pub mod provider;
pub mod region;

pub use auto::{AutoRow, AutoTable, CostTier};
pub use endpoint::{EffortWord, Endpoint, Parameter, PriceOverride, Pricing, Quantization, Tier};
pub use model::{Modality, Model};
pub use provider::{Auth, DataPolicy, Dialect, Limits, Provider, Quirk, Timeouts};
pub use region::DataRegion;

use std::sync::Arc;

/// A whole catalogue: references resolve, ids are unique; sorted by id.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Catalog {
    /// By slug.
    pub providers: Vec<Arc<Provider>>,
    /// By id.
    pub models: Vec<Arc<Model>>,
    /// By (model, tag).
    pub endpoints: Vec<Arc<Endpoint>>,
    /// The table of `godwit/auto`, where there is one.
    pub auto: Option<Arc<AutoTable>>,
}

/// An enum whose values have one fixed text each.
pub trait Written: Copy + Ord + 'static {
    /// Every value, in declaration order.
    const VALUES: &'static [Self];
    /// How it is written.
    fn text(self) -> &'static str;
}

/// Declares an enum whose variants have one fixed text each: how the catalogue, the API and the
/// wire write it.
macro_rules! text_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum $name { $($(#[$vdoc])* $variant,)+ }

        impl $name {
            /// Every value, in declaration order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// How it is written.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// The value that is written so.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)+ _ => None }
            }
        }
        impl $crate::catalog::Written for $name {
            const VALUES: &'static [Self] = Self::ALL;
            fn text(self) -> &'static str {
                self.as_str()
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
pub(crate) use text_enum;
