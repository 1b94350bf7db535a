//! Shares of requests per minute on the wire.

use super::ConvertError;
use crate::limit::NoWindow;
use crate::proto::discovery as wire;
use crate::rate::{Ask, Minute, Share, Subject, Wish};

/// The most wishes or shares of one message that are read.
const ROWS_MAX: usize = 10_000;

impl From<&Ask> for wire::RateAsk {
    fn from(ask: &Ask) -> Self {
        let wish = |wish: &Wish| wire::RateWish {
            subject: wish.subject.to_string(),
            limit: wish.limit,
            minute: wish.minute.0,
            holds: wish.holds,
            wanted: wish.wanted,
            waiting: wish.waiting,
            demand: wish.demand,
        };
        Self {
            waived_minute: ask.waived.0,
            wishes: ask.wishes.iter().map(wish).collect(),
        }
    }
}

impl TryFrom<wire::RateAsk> for Ask {
    type Error = ConvertError;
    fn try_from(ask: wire::RateAsk) -> Result<Self, ConvertError> {
        let wishes = ask.wishes.into_iter().take(ROWS_MAX).map(|wish| {
            Ok(Wish {
                subject: subject("rates.wishes.subject", &wish.subject)?,
                limit: wish.limit,
                minute: Minute(wish.minute),
                holds: wish.holds,
                wanted: wish.wanted,
                waiting: wish.waiting,
                demand: wish.demand,
            })
        });
        Ok(Self {
            waived: Minute(ask.waived_minute),
            wishes: wishes.collect::<Result<_, ConvertError>>()?,
        })
    }
}

impl From<&[Share]> for wire::RateShares {
    fn from(shares: &[Share]) -> Self {
        let share = |share: &Share| wire::RateShare {
            subject: share.subject.to_string(),
            minute: share.minute.0,
            share: share.share,
            left: share.left,
        };
        Self {
            shares: shares.iter().map(share).collect(),
        }
    }
}

impl TryFrom<wire::RateShares> for Vec<Share> {
    type Error = ConvertError;
    fn try_from(shares: wire::RateShares) -> Result<Self, ConvertError> {
        let shares = shares.shares.into_iter().take(ROWS_MAX).map(|share| {
            Ok(Share {
                subject: subject("rates.shares.subject", &share.subject)?,
                minute: Minute(share.minute),
                share: share.share,
                left: share.left,
            })
        });
        shares.collect()
    }
}

fn subject(field: &'static str, text: &str) -> Result<Subject, ConvertError> {
    text.parse()
        .map_err(|error: NoWindow| ConvertError::new(field, error))
}
