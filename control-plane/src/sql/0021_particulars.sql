-- What people want to know of a request besides: shared::record::Particulars as JSON; empty: nothing.
ALTER TABLE usage_records ADD COLUMN particulars TEXT NOT NULL DEFAULT '';
