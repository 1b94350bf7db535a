//! Where postings, their lines and what they add up to are written.

use crate::sql::rows::{Table, Type};

pub(super) const POSTINGS: Table<6> = Table {
    name: "postings",
    columns: [
        ("org", Type::Text),
        ("number", Type::Big),
        ("kind", Type::Text),
        ("reference", Type::Text),
        ("unix_ms", Type::Big),
        ("fence", Type::Big),
    ],
    conflict: "",
};
pub(super) const LINES: Table<6> = Table {
    name: "posting_lines",
    columns: [
        ("org", Type::Text),
        ("number", Type::Big),
        ("line", Type::Int),
        ("account", Type::Text),
        ("nano", Type::Big),
        ("pico_rem", Type::Small),
    ],
    conflict: "",
};
pub(super) const BALANCES: Table<10> = Table {
    name: "balances",
    columns: [
        ("account", Type::Text),
        ("kind", Type::Text),
        ("org", Type::Text),
        ("node", Type::Text),
        ("epoch", Type::Big),
        ("key_id", Type::Text),
        ("provider", Type::Text),
        ("limit_window", Type::Text),
        ("nano", Type::Big),
        ("pico_rem", Type::Small),
    ],
    conflict: "ON CONFLICT (account) DO UPDATE
        SET nano = excluded.nano, pico_rem = excluded.pico_rem",
};
pub(super) const HEADS: Table<2> = Table {
    name: "ledger_orgs",
    columns: [("org", Type::Text), ("postings", Type::Big)],
    conflict: "ON CONFLICT (org) DO UPDATE SET postings = excluded.postings",
};
pub(super) const NEW_HEADS: Table<2> = Table {
    conflict: "ON CONFLICT (org) DO NOTHING",
    ..HEADS
};
