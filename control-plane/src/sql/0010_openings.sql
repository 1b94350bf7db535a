-- What was used of a window before its limit was set is posted when the window is first drawn from,
-- and records of that time that come later are found by when that was.
CREATE INDEX postings_openings ON postings (org, unix_ms) WHERE kind = 'opening';
