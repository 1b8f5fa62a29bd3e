-- What a person must hear of: raised once for each subject of a rule, cleared when the rule no longer finds it.
CREATE TABLE alerts (
  id             INTEGER PRIMARY KEY,
  rule           TEXT NOT NULL CHECK (length(rule) BETWEEN 1 AND 64),
  subject        TEXT NOT NULL CHECK (length(subject) BETWEEN 1 AND 200),
  severity       TEXT NOT NULL CHECK (severity IN ('warning', 'critical')),
  message        TEXT NOT NULL CHECK (length(message) > 0),   -- as it was raised
  raised_at      INTEGER NOT NULL,
  cleared_at     INTEGER CHECK (cleared_at >= raised_at),
  told_raised_at  INTEGER,                                    -- when the channels took it; NULL: not yet
  told_cleared_at INTEGER
) STRICT;
CREATE UNIQUE INDEX alerts_one_open ON alerts (rule, subject) WHERE cleared_at IS NULL;
CREATE INDEX alerts_untold ON alerts (id)
WHERE told_raised_at IS NULL OR (cleared_at IS NOT NULL AND told_cleared_at IS NULL);

CREATE TRIGGER alerts_only_end BEFORE UPDATE ON alerts
WHEN (old.id, old.rule, old.subject, old.severity, old.message, old.raised_at)
  IS NOT (new.id, new.rule, new.subject, new.severity, new.message, new.raised_at)
  OR (old.cleared_at IS NOT NULL AND new.cleared_at IS NOT old.cleared_at)
BEGIN
  SELECT raise(ABORT, 'an alert can only be cleared, once');
END;
CREATE TRIGGER alerts_kept BEFORE DELETE ON alerts
BEGIN
  SELECT raise(ABORT, 'an alert never leaves');
END;

-- What the audits of the books found; a difference stops money until an operator has looked.
CREATE TABLE book_audits (
  id          INTEGER PRIMARY KEY,
  is_full     INTEGER NOT NULL CHECK (is_full IN (0, 1)),
  accounts    INTEGER NOT NULL CHECK (accounts >= 0),
  differences TEXT NOT NULL CHECK (json_valid(differences)),  -- list of [invariant, row, message]
  audited_at  INTEGER NOT NULL,
  took_ms     INTEGER NOT NULL CHECK (took_ms >= 0)
) STRICT;
CREATE TRIGGER book_audits_append_only BEFORE UPDATE ON book_audits
BEGIN
  SELECT raise(ABORT, 'book_audits is append-only');
END;

-- Which state of an account was audited last.
CREATE TABLE book_audit_marks (
  account_id INTEGER PRIMARY KEY REFERENCES prop_accounts (id),
  revision   INTEGER NOT NULL
) STRICT;
