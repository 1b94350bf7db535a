-- What is leased of one window: asked with each question for some of it.
CREATE INDEX balances_window ON balances (kind, org, limit_window);
