//! Limits: how much of something may be used in one window of time. A window is a purse like an
//! organisation's balance: edges lease slices of it, and what they lease together never exceeds
//! it. Pure; time is passed in, in seconds since 1970, UTC.

use crate::id::{LimitId, OrgId};
use crate::money::Amount;
use crate::policy::ResetInterval;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::str::FromStr;

const DAY_S: u64 = 86_400;
/// 1970 began on a Thursday, three days after a Monday.
const DAYS_FROM_MONDAY: u64 = 3;

/// What a limit is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// One key, by its hash.
    Key,
    /// What all keys of one member use, by the user's id.
    Member,
    /// What all keys of one workspace use, by its id.
    Workspace,
    /// What all keys of one organisation use, by its id.
    Org,
    /// Requests to free variants by one organisation, by its id: counted, not paid.
    Free,
    /// What one organisation may use on credit while the ledger is out of reach, by its id.
    Outage,
    /// A guardrail's budget of one key or one member: `ID/key/HASH` or `ID/member/USER`.
    Guardrail,
    /// What one organisation's own provider keys serve, at list prices, by its id: a month's limit
    /// is what is free of the fee, and what goes beyond it is charged rather than refused.
    Byok,
    /// The same in requests.
    ByokRequests,
    /// What one organisation was charged in fees on that, by its id: counted by the ledger alone.
    ByokFees,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Key,
        Self::Member,
        Self::Workspace,
        Self::Org,
        Self::Free,
        Self::Outage,
        Self::Guardrail,
        Self::Byok,
        Self::ByokRequests,
        Self::ByokFees,
    ];

    /// The word for it, as it is stored and sent.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Member => "member",
            Self::Workspace => "workspace",
            Self::Org => "org",
            Self::Free => "free",
            Self::Outage => "outage",
            Self::Guardrail => "guardrail",
            Self::Byok => "byok",
            Self::ByokRequests => "byok_requests",
            Self::ByokFees => "byok_fees",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How long a window lasts. The order is from narrow to broad.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Interval {
    /// From midnight to midnight.
    Daily,
    /// From Monday to Sunday.
    Weekly,
    /// From a month's first day to its last.
    Monthly,
    /// Without end.
    Lifetime,
}

impl Interval {
    /// All of them, from narrow to broad.
    pub const ALL: [Self; 4] = [Self::Daily, Self::Weekly, Self::Monthly, Self::Lifetime];

    /// The word for it, as it is stored, sent and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Daily => "daily",
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
            Self::Lifetime => "lifetime",
        }
    }

    /// When the window that `unix_s` is in began; 0 of one without end.
    #[must_use]
    pub fn start(self, unix_s: u64) -> u64 {
        let day = unix_s / DAY_S;
        let start = match self {
            Self::Daily => day,
            Self::Weekly => day.saturating_sub((day + DAYS_FROM_MONDAY) % 7),
            Self::Monthly => day - day_of_month(day),
            Self::Lifetime => 0,
        };
        start * DAY_S
    }

    /// When the window that began at `start` ends, and the next begins; none of one without end.
    #[must_use]
    pub fn end(self, start: u64) -> Option<u64> {
        match self {
            Self::Daily => Some(start + DAY_S),
            Self::Weekly => Some(start + 7 * DAY_S),
            // The first of a month and 31 days is in the next month.
            Self::Monthly => Some(self.start(start + 31 * DAY_S)),
            Self::Lifetime => None,
        }
    }
}

impl From<Option<ResetInterval>> for Interval {
    fn from(reset: Option<ResetInterval>) -> Self {
        match reset {
            Some(ResetInterval::Daily) => Self::Daily,
            Some(ResetInterval::Weekly) => Self::Weekly,
            Some(ResetInterval::Monthly) => Self::Monthly,
            None => Self::Lifetime,
        }
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Days since the first of the month, of the day `day` since 1970. From the proleptic Gregorian
/// calendar counted from 1 March of year 0, where leap days come last.
fn day_of_month(day: u64) -> u64 {
    let since_era = (day + 719_468) % 146_097;
    let year = (since_era - since_era / 1_460 + since_era / 36_524 - since_era / 146_096) / 365;
    let of_year = since_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    of_year - (153 * month + 2) / 5
}

/// One limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// What it is about.
    pub scope: Scope,
    /// Of that, which.
    pub id: LimitId,
    /// When it starts anew.
    pub interval: Interval,
    /// The most in one window, in USD; of [`Scope::Free`] in requests.
    pub amount: Amount,
    /// What own provider keys serve counts, too, at list prices.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub include_byok: bool,
}

impl Limit {
    /// The window that `unix_s` is in.
    #[must_use]
    pub fn window(&self, unix_s: u64) -> Window {
        Window {
            scope: self.scope,
            id: self.id.clone(),
            interval: self.interval,
            start: self.interval.start(unix_s),
        }
    }

    /// True when `window` is one of this limit's.
    #[must_use]
    pub fn has(&self, window: &Window) -> bool {
        (self.scope, self.interval) == (window.scope, window.interval) && self.id == window.id
    }
}

/// One window of a limit. Written `scope:id:interval:start`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Window {
    /// What the limit is about.
    pub scope: Scope,
    /// Of that, which.
    pub id: LimitId,
    /// When it starts anew.
    pub interval: Interval,
    /// When this window began, in seconds since 1970.
    pub start: u64,
}

impl Window {
    /// One of what is counted rather than paid.
    pub const ONE: Amount = Amount(1);

    /// The month, UTC, in which an organisation has this of its own keys' use.
    #[must_use]
    pub fn month(scope: Scope, org: &OrgId, unix_s: u64) -> Self {
        Self {
            scope,
            id: org.as_str().into(),
            interval: Interval::Monthly,
            start: Interval::Monthly.start(unix_s),
        }
    }

    /// What a request that holds `held` of the balance holds of this window.
    #[must_use]
    pub fn holds(&self, held: Amount) -> Amount {
        match self.scope {
            Scope::Free | Scope::ByokRequests => Self::ONE,
            _ => held,
        }
    }

    /// What a request that has cost `cost`, or whose hold of `cost` is in suspense, takes out of
    /// this window. A counted one counts however it ends.
    #[must_use]
    pub fn charges(&self, cost: Amount) -> Amount {
        self.holds(cost)
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scope, interval) = (self.scope, self.interval);
        write!(f, "{scope}:{}:{interval}:{}", self.id, self.start)
    }
}

/// A text that is no window or purse.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not a window of a limit")]
pub struct NoWindow;

impl FromStr for Window {
    type Err = NoWindow;
    fn from_str(text: &str) -> Result<Self, NoWindow> {
        let (scope, rest) = text.split_once(':').ok_or(NoWindow)?;
        let (rest, start) = rest.rsplit_once(':').ok_or(NoWindow)?;
        let (id, interval) = rest.rsplit_once(':').ok_or(NoWindow)?;
        let scope = Scope::ALL.into_iter().find(|one| one.as_str() == scope);
        let interval = Interval::ALL
            .into_iter()
            .find(|one| one.as_str() == interval);
        if id.is_empty() || !id.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(NoWindow);
        }
        Ok(Self {
            scope: scope.ok_or(NoWindow)?,
            id: id.into(),
            interval: interval.ok_or(NoWindow)?,
            start: start.parse().map_err(|_| NoWindow)?,
        })
    }
}

/// What is spent from: an organisation's balance, or a window of one of its limits. Written as the
/// organisation's id, then a space and the window.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Purse {
    /// Whose.
    pub org: OrgId,
    /// None is the balance.
    pub window: Option<Window>,
}

impl Purse {
    /// What a request that holds `held` of the balance holds of this.
    #[must_use]
    pub fn part(&self, held: Amount) -> Amount {
        self.window
            .as_ref()
            .map_or(held, |window| window.holds(held))
    }
}

impl From<OrgId> for Purse {
    fn from(org: OrgId) -> Self {
        Self { org, window: None }
    }
}

impl fmt::Display for Purse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.org)?;
        match &self.window {
            Some(window) => write!(f, " {window}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Purse {
    type Err = NoWindow;
    fn from_str(text: &str) -> Result<Self, NoWindow> {
        let (org, window) = match text.split_once(' ') {
            Some((org, window)) => (org, Some(window.parse()?)),
            None => (text, None),
        };
        Ok(Self {
            org: org.into(),
            window,
        })
    }
}

macro_rules! as_text {
    ($($name:ident),*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }
    )*};
}
as_text!(Window, Purse);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // Mon 2026-11-23 05:00, Sun 2026-11-29 23:59:59, Mon 2026-11-30.
    const NOW: u64 = 1_795_410_000;
    const MONDAY: u64 = 1_795_392_000;

    #[test]
    fn windows_begin_at_midnight_on_mondays_and_on_the_first() {
        assert_eq!(Interval::Daily.start(NOW), MONDAY);
        assert_eq!(Interval::Weekly.start(NOW), MONDAY);
        assert_eq!(Interval::Weekly.start(MONDAY + 7 * DAY_S - 1), MONDAY);
        assert_eq!(
            Interval::Weekly.start(MONDAY + 7 * DAY_S),
            MONDAY + 7 * DAY_S
        );
        let november = MONDAY - 22 * DAY_S;
        assert_eq!(Interval::Monthly.start(NOW), november);
        assert_eq!(Interval::Monthly.end(november), Some(november + 30 * DAY_S));
        assert_eq!(Interval::Monthly.start(0), 0);
        // 2024-02-29 and 2100-02-28.
        for (day, length) in [(19_782, 29), (47_540, 28)] {
            let start = Interval::Monthly.start(day * DAY_S);
            assert_eq!(Interval::Monthly.end(start), Some(start + length * DAY_S));
            assert_eq!(start, (day + 1 - length) * DAY_S, "{day}");
        }
        assert_eq!(Interval::Lifetime.start(NOW), 0);
        assert_eq!(Interval::Lifetime.end(0), None);
    }

    #[test]
    fn a_window_is_its_text() {
        let limit = Limit {
            scope: Scope::Workspace,
            id: "ws_a:b".into(),
            interval: Interval::Weekly,
            amount: Amount::USD,
            include_byok: false,
        };
        let window = limit.window(NOW);
        assert_eq!(
            window.to_string(),
            format!("workspace:ws_a:b:weekly:{MONDAY}")
        );
        assert_eq!(window.to_string().parse(), Ok(window.clone()));
        assert!(limit.has(&window));
        let purse = Purse {
            org: "org_1".into(),
            window: Some(window),
        };
        let text = serde_json::to_string(&purse).unwrap();
        assert_eq!(serde_json::from_str::<Purse>(&text).unwrap(), purse);
        let balance = Purse::from(OrgId::from("org_1"));
        assert_eq!(serde_json::to_string(&balance).unwrap(), "\"org_1\"");
        assert_eq!("org_1".parse(), Ok(balance));
        for bad in [
            "",
            "key",
            "key:a:daily",
            "key::daily:0",
            "x:a:daily:0",
            "key:a:daily:-1",
        ] {
            assert_eq!(bad.parse::<Window>(), Err(NoWindow), "{bad}");
        }
    }

    proptest! {
        /// Windows follow each other without gap or overlap, and narrow ones lie in broad ones
        /// as far as the calendar says so.
        #[test]
        fn windows_tile_time(unix_s in 0_u64..10_000_000_000) {
            for interval in [Interval::Daily, Interval::Weekly, Interval::Monthly] {
                let start = interval.start(unix_s);
                let end = interval.end(start).unwrap();
                prop_assert!(start <= unix_s && unix_s < end);
                prop_assert_eq!(start % DAY_S, 0);
                prop_assert_eq!(interval.start(end), end);
                prop_assert_eq!(interval.start(end - 1), start);
            }
        }
    }
}
