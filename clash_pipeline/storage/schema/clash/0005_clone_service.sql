-- The clone service whole: grants with their history, holds, public profiles, moderation.

-- Grants of every source. What a clone may use is the component-wise maximum of the live ones (02).
CREATE TABLE clone_grants (
  id            INTEGER PRIMARY KEY,
  clone_id      INTEGER NOT NULL REFERENCES clones (id),
  source        TEXT NOT NULL CHECK (source IN ('purchase', 'debug', 'operator')),
  ref           TEXT NOT NULL CHECK (length(ref) BETWEEN 1 AND 200),   -- of a purchase: its id
  purpose       TEXT NOT NULL CHECK (length(purpose) BETWEEN 1 AND 64),
  capacity_tier TEXT CHECK (capacity_tier IN ('starter', 'builder', 'pro')),
  model_tier    INTEGER CHECK (model_tier BETWEEN 1 AND 3),
  candidates    INTEGER CHECK (candidates BETWEEN 11 AND 25),          -- the lifted candidate cap
  granted_at    INTEGER NOT NULL,
  granted_by    TEXT NOT NULL,
  reason        TEXT NOT NULL,
  expires_at    INTEGER CHECK (expires_at > granted_at),
  CHECK ((source = 'operator') = (candidates IS NOT NULL)),            -- never for sale
  CHECK ((source = 'operator') = (capacity_tier IS NULL)),
  CHECK ((source = 'operator') = (model_tier IS NULL)),
  CHECK (source <> 'purchase' OR expires_at IS NULL),
  UNIQUE (source, ref, purpose)
) STRICT;
INSERT INTO clone_grants
  (id, clone_id, source, ref, purpose, capacity_tier, model_tier, granted_at, granted_by, reason)
SELECT id, clone_id, source, ref, iif(source = 'purchase', 'audition', 'debug'), capacity_tier, model_tier, granted_at,
       iif(source = 'purchase', 'economy', 'operator'), ''
FROM clone_entitlements;
DROP TABLE clone_entitlements;
ALTER TABLE clone_grants RENAME TO clone_entitlements;
CREATE INDEX clone_entitlements_clone ON clone_entitlements (clone_id);

CREATE TABLE clone_entitlement_revocations (
  grant_id   INTEGER PRIMARY KEY REFERENCES clone_entitlements (id),
  reason     TEXT NOT NULL,
  revoked_by TEXT NOT NULL,
  revoked_at INTEGER NOT NULL
) STRICT;

CREATE TRIGGER clone_entitlements_append_only BEFORE UPDATE ON clone_entitlements
BEGIN
  SELECT raise(ABORT, 'clone_entitlements is append-only');
END;
CREATE TRIGGER clone_entitlements_kept BEFORE DELETE ON clone_entitlements
BEGIN
  SELECT raise(ABORT, 'clone_entitlements is append-only');
END;
CREATE TRIGGER clone_entitlement_revocations_legal BEFORE INSERT ON clone_entitlement_revocations
WHEN (SELECT source FROM clone_entitlements WHERE id = new.grant_id) = 'purchase'
BEGIN
  SELECT raise(ABORT, 'what was bought is never revoked');
END;
CREATE TRIGGER clone_entitlement_revocations_append_only BEFORE UPDATE ON clone_entitlement_revocations
BEGIN
  SELECT raise(ABORT, 'clone_entitlement_revocations is append-only');
END;
CREATE TRIGGER clone_entitlement_revocations_kept BEFORE DELETE ON clone_entitlement_revocations
BEGIN
  SELECT raise(ABORT, 'clone_entitlement_revocations is append-only');
END;

-- A running audition or race freezes toggles and publication; set and taken back by the arena, in its own transactions.
CREATE TABLE clone_holds (
  id          INTEGER PRIMARY KEY,
  clone_id    INTEGER NOT NULL REFERENCES clones (id),
  reason      TEXT NOT NULL CHECK (reason IN ('audition', 'race')),
  ref         TEXT NOT NULL CHECK (length(ref) BETWEEN 1 AND 200),     -- id of the audition or race
  since       INTEGER NOT NULL,
  released_at INTEGER,
  UNIQUE (clone_id, reason, ref)
) STRICT;
CREATE INDEX clone_holds_live ON clone_holds (clone_id) WHERE released_at IS NULL;

CREATE TRIGGER clone_holds_only_end BEFORE UPDATE ON clone_holds
WHEN old.released_at IS NOT NULL OR new.released_at IS NULL
  OR (old.id, old.clone_id, old.reason, old.ref, old.since)
    IS NOT (new.id, new.clone_id, new.reason, new.ref, new.since)
BEGIN
  SELECT raise(ABORT, 'a hold can only be released, once');
END;
CREATE TRIGGER clone_holds_kept BEFORE DELETE ON clone_holds
BEGIN
  SELECT raise(ABORT, 'a hold never leaves');
END;

CREATE TRIGGER clones_frozen BEFORE UPDATE ON clones
WHEN (old.engine, old.model_tier, old.is_trading) IS NOT (new.engine, new.model_tier, new.is_trading)
  AND EXISTS (SELECT 1 FROM clone_holds WHERE clone_id = old.id AND released_at IS NULL)
BEGIN
  SELECT raise(ABORT, 'a held clone keeps its engine, model and trading');
END;
CREATE TRIGGER clone_versions_frozen BEFORE INSERT ON clone_versions
WHEN EXISTS (SELECT 1 FROM clone_holds WHERE clone_id = new.clone_id AND released_at IS NULL)
BEGIN
  SELECT raise(ABORT, 'a held clone keeps its version');
END;

-- While a clone is retired its public name is free and it cannot compete.
CREATE TABLE clone_retirements (
  id            INTEGER PRIMARY KEY,
  clone_id      INTEGER NOT NULL REFERENCES clones (id),
  reason        TEXT NOT NULL,
  retired_by    TEXT NOT NULL,
  retired_at    INTEGER NOT NULL,
  reinstated_by TEXT,
  reinstated_at INTEGER,
  CHECK ((reinstated_by IS NULL) = (reinstated_at IS NULL))
) STRICT;
CREATE UNIQUE INDEX clone_retirements_one_open ON clone_retirements (clone_id) WHERE reinstated_at IS NULL;

CREATE TRIGGER clone_retirements_only_end BEFORE UPDATE ON clone_retirements
WHEN old.reinstated_at IS NOT NULL OR new.reinstated_at IS NULL
  OR (old.id, old.clone_id, old.reason, old.retired_by, old.retired_at)
    IS NOT (new.id, new.clone_id, new.reason, new.retired_by, new.retired_at)
BEGIN
  SELECT raise(ABORT, 'a retirement can only end, once');
END;
CREATE TRIGGER clone_retirements_kept BEFORE DELETE ON clone_retirements
BEGIN
  SELECT raise(ABORT, 'a retirement never leaves');
END;

-- One row for each submission of a public profile. An edit is a new row; what is approved is shown until replaced.
CREATE TABLE clone_profiles (
  id           INTEGER PRIMARY KEY,
  clone_id     INTEGER NOT NULL REFERENCES clones (id),
  name         TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
  name_seen    TEXT NOT NULL CHECK (name_seen <> ''),                  -- skeleton of the name as it is drawn
  name_read    TEXT NOT NULL CHECK (name_read <> ''),                  -- skeleton of the name in one case
  description  TEXT NOT NULL,
  image_key    TEXT,                                                   -- of the artifact store
  image_sha256 TEXT CHECK (length(image_sha256) = 64),
  image_type   TEXT CHECK (image_type IN ('image/png', 'image/jpeg')),
  state        TEXT NOT NULL CHECK (state IN ('submitted', 'approved', 'rejected', 'replaced', 'removed')),
  submitted_by TEXT NOT NULL,
  submitted_at INTEGER NOT NULL,
  decided_by   TEXT,
  decided_at   INTEGER,
  reason       TEXT,                                                   -- of the decision
  CHECK ((image_key IS NULL) = (image_sha256 IS NULL) AND (image_key IS NULL) = (image_type IS NULL)),
  CHECK ((state = 'submitted') = (decided_at IS NULL)),
  CHECK ((decided_at IS NULL) = (decided_by IS NULL) AND (decided_at IS NULL) = (reason IS NULL))
) STRICT;
CREATE UNIQUE INDEX clone_profiles_one_submitted ON clone_profiles (clone_id) WHERE state = 'submitted';
CREATE UNIQUE INDEX clone_profiles_one_approved ON clone_profiles (clone_id) WHERE state = 'approved';
CREATE INDEX clone_profiles_queue ON clone_profiles (submitted_at, id) WHERE state = 'submitted';
CREATE INDEX clone_profiles_clone ON clone_profiles (clone_id, id);

CREATE TRIGGER clone_profiles_fixed BEFORE UPDATE ON clone_profiles
WHEN (old.id, old.clone_id, old.name, old.name_seen, old.name_read, old.description, old.image_key, old.image_sha256,
      old.image_type, old.submitted_by, old.submitted_at)
  IS NOT (new.id, new.clone_id, new.name, new.name_seen, new.name_read, new.description, new.image_key,
          new.image_sha256, new.image_type, new.submitted_by, new.submitted_at)
BEGIN
  SELECT raise(ABORT, 'a submitted profile never changes');
END;
CREATE TRIGGER clone_profiles_legal_moves BEFORE UPDATE OF state ON clone_profiles
WHEN NOT ((old.state = 'submitted' AND new.state IN ('approved', 'rejected', 'replaced'))
       OR (old.state = 'approved' AND new.state IN ('replaced', 'removed')))
BEGIN
  SELECT raise(ABORT, 'a profile cannot move to that state');
END;
CREATE TRIGGER clone_profiles_kept BEFORE DELETE ON clone_profiles
BEGIN
  SELECT raise(ABORT, 'a profile never leaves');
END;

-- Which skeletons are taken, by submitted and approved profiles of clones that are not retired; rebuilt with each move.
CREATE TABLE clone_taken_names (
  kind     TEXT NOT NULL CHECK (kind IN ('seen', 'read')),
  skeleton TEXT NOT NULL,
  clone_id INTEGER NOT NULL REFERENCES clones (id),
  PRIMARY KEY (kind, skeleton)
) STRICT, WITHOUT ROWID;
CREATE INDEX clone_taken_names_clone ON clone_taken_names (clone_id);

-- Reports by users; nothing follows from one until an admin decides.
CREATE TABLE clone_profile_reports (
  id          INTEGER PRIMARY KEY,
  clone_id    INTEGER NOT NULL REFERENCES clones (id),
  profile_id  INTEGER NOT NULL REFERENCES clone_profiles (id),         -- what was shown when it was reported
  reporter    TEXT NOT NULL CHECK (length(reporter) BETWEEN 1 AND 200),
  category    TEXT NOT NULL CHECK (category IN ('impersonation', 'offensive', 'misleading', 'copyright', 'other')),
  text        TEXT NOT NULL,
  state       TEXT NOT NULL CHECK (state IN ('open', 'upheld', 'dismissed')),
  reported_at INTEGER NOT NULL,
  decided_by  TEXT,
  decided_at  INTEGER,
  reason      TEXT,
  CHECK ((state = 'open') = (decided_at IS NULL)),
  CHECK ((decided_at IS NULL) = (decided_by IS NULL) AND (decided_at IS NULL) = (reason IS NULL))
) STRICT;
CREATE UNIQUE INDEX clone_profile_reports_one_open ON clone_profile_reports (clone_id, reporter) WHERE state = 'open';
CREATE INDEX clone_profile_reports_queue ON clone_profile_reports (reported_at, id) WHERE state = 'open';

CREATE TRIGGER clone_profile_reports_only_end BEFORE UPDATE ON clone_profile_reports
WHEN old.state <> 'open' OR new.state = 'open'
  OR (old.id, old.clone_id, old.profile_id, old.reporter, old.category, old.text, old.reported_at)
    IS NOT (new.id, new.clone_id, new.profile_id, new.reporter, new.category, new.text, new.reported_at)
BEGIN
  SELECT raise(ABORT, 'a report can only be decided, once');
END;
CREATE TRIGGER clone_profile_reports_kept BEFORE DELETE ON clone_profile_reports
BEGIN
  SELECT raise(ABORT, 'a report never leaves');
END;

-- Who did what to the public face of a clone, and why.
CREATE TABLE clone_moderation_acts (
  id         INTEGER PRIMARY KEY,
  clone_id   INTEGER NOT NULL REFERENCES clones (id),
  profile_id INTEGER REFERENCES clone_profiles (id),
  report_id  INTEGER REFERENCES clone_profile_reports (id),
  act        TEXT NOT NULL CHECK (act IN ('submitted', 'approved', 'rejected', 'replaced', 'removed', 'reported',
                                          'upheld', 'dismissed', 'retired', 'reinstated')),
  actor      TEXT NOT NULL,
  reason     TEXT NOT NULL,
  at         INTEGER NOT NULL
) STRICT;
CREATE INDEX clone_moderation_acts_clone ON clone_moderation_acts (clone_id, id);

CREATE TRIGGER clone_moderation_acts_append_only BEFORE UPDATE ON clone_moderation_acts
BEGIN
  SELECT raise(ABORT, 'clone_moderation_acts is append-only');
END;
CREATE TRIGGER clone_moderation_acts_kept BEFORE DELETE ON clone_moderation_acts
BEGIN
  SELECT raise(ABORT, 'clone_moderation_acts is append-only');
END;
