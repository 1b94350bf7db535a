-- Each organisation has books of its own: its postings are numbered without gaps, every line of
-- them is on one of its accounts, and its accounts add up to zero. So organisations don't wait for
-- each other, and one's books can be checked without the others'.

-- One row per organisation that ever had money. Locked first by whoever posts.
CREATE TABLE ledger_orgs (
    org TEXT PRIMARY KEY,
    postings BIGINT NOT NULL
);

CREATE TABLE postings (
    org TEXT NOT NULL REFERENCES ledger_orgs (org),
    number BIGINT NOT NULL,
    kind TEXT NOT NULL,
    -- What it is the posting of: unique by kind, so that nothing is posted twice.
    reference TEXT NOT NULL,
    unix_ms BIGINT NOT NULL,
    fence BIGINT NOT NULL,
    PRIMARY KEY (org, number),
    UNIQUE (org, kind, reference)
);

-- The lines of one posting add up to zero.
CREATE TABLE posting_lines (
    org TEXT NOT NULL,
    number BIGINT NOT NULL,
    line INTEGER NOT NULL,
    account TEXT NOT NULL,
    nano BIGINT NOT NULL,
    pico_rem SMALLINT NOT NULL,
    PRIMARY KEY (org, number, line),
    FOREIGN KEY (org, number) REFERENCES postings (org, number)
);

-- Where each old posting goes. One of no lines belongs to nobody.
CREATE TABLE places (
    transaction_id BIGINT PRIMARY KEY,
    org TEXT NOT NULL,
    number BIGINT NOT NULL
);

INSERT INTO places (transaction_id, org, number)
SELECT id, org, ROW_NUMBER() OVER (PARTITION BY org ORDER BY id)
FROM (
    SELECT j.id AS id, COALESCE((
        SELECT MAX(b.org) FROM journal_lines l JOIN balances b ON b.account = l.account
        WHERE l.transaction_id = j.id), '') AS org
    FROM journal j
) AS owned;

INSERT INTO ledger_orgs (org, postings) SELECT org, COUNT(*) FROM places GROUP BY org;

INSERT INTO postings (org, number, kind, reference, unix_ms, fence)
SELECT p.org, p.number, j.kind, j.reference, j.unix_ms, j.fence
FROM journal j JOIN places p ON p.transaction_id = j.id;

INSERT INTO posting_lines (org, number, line, account, nano, pico_rem)
SELECT p.org, p.number, l.line,
       CASE WHEN l.account = 'grants' THEN 'grants:' || p.org ELSE l.account END,
       l.nano, l.pico_rem
FROM journal_lines l JOIN places p ON p.transaction_id = l.transaction_id;

DELETE FROM balances WHERE account = 'grants';

INSERT INTO balances (account, kind, org, node, epoch, key_id, nano, pico_rem)
SELECT account, 'grants', org, '', 0, '', nano + pico / 1000, pico % 1000
FROM (
    SELECT account, org, CAST(SUM(nano) AS BIGINT) AS nano, CAST(SUM(pico_rem) AS BIGINT) AS pico
    FROM posting_lines WHERE account LIKE 'grants:%' GROUP BY account, org
) AS given;

DROP TABLE places;

DROP TABLE journal_lines;

DROP TABLE journal;

CREATE INDEX posting_lines_account ON posting_lines (account);

ALTER TABLE ledger_head DROP COLUMN transactions;
