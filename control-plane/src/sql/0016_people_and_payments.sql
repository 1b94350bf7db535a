-- The organisation whose administrator has chosen the password; empty: an operator, or nobody.
ALTER TABLE users ADD COLUMN password_by TEXT NOT NULL DEFAULT '';

-- Of those before, nobody has kept who it was.
UPDATE users SET password_by = COALESCE(
    (SELECT MIN(m.org) FROM members m WHERE m.user_id = users.id), '')
WHERE password <> '';

-- Payments that a payment provider tells of: each is one organisation's.
CREATE TABLE payments (
    reference TEXT PRIMARY KEY,
    org TEXT NOT NULL
);

INSERT INTO payments (reference, org)
SELECT reference, MIN(org) FROM postings
WHERE kind = 'purchase' AND reference LIKE 'payment/%' GROUP BY reference;
