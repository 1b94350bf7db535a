-- What was left of workspaces that were deleted and of members that were removed.
DELETE FROM limits WHERE scope = 'workspace' AND id NOT IN (SELECT id FROM workspaces);

DELETE FROM limits WHERE scope = 'member' AND NOT EXISTS (
    SELECT 1 FROM members m WHERE m.org = limits.org AND m.user_id = limits.id);

DELETE FROM guardrail_assignments
WHERE kind = 'workspace' AND subject NOT IN (SELECT id FROM workspaces);

DELETE FROM guardrail_assignments WHERE kind = 'member' AND NOT EXISTS (
    SELECT 1 FROM members m
    WHERE m.org = guardrail_assignments.org AND m.user_id = guardrail_assignments.subject);
