-- Clones: who they are, the editable draft, the immutable published versions, and what they are entitled to.
CREATE TABLE clones (
  id               INTEGER PRIMARY KEY,
  owner            TEXT NOT NULL,
  name             TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 64),
  engine           TEXT NOT NULL CHECK (engine IN ('hold', 'rules', 'model')),
  model_tier       INTEGER NOT NULL CHECK (model_tier BETWEEN 1 AND 3),
  is_trading       INTEGER NOT NULL CHECK (is_trading IN (0, 1)),
  draft            TEXT,                         -- canonical JSON of the graph with its layout
  draft_updated_at INTEGER,
  created_at       INTEGER NOT NULL,
  updated_at       INTEGER NOT NULL,
  UNIQUE (owner, name)
) STRICT;

CREATE TABLE clone_versions (
  id            INTEGER PRIMARY KEY,
  clone_id      INTEGER NOT NULL REFERENCES clones (id),
  number        INTEGER NOT NULL CHECK (number >= 1),
  graph         TEXT NOT NULL,                   -- canonical JSON as published, layout included
  compiled      TEXT NOT NULL,                   -- canonical JSON of what the compiler made of it
  compiled_hash TEXT NOT NULL CHECK (length(compiled_hash) = 64),
  is_active     INTEGER NOT NULL CHECK (is_active IN (0, 1)),
  published_at  INTEGER NOT NULL,
  published_by  TEXT NOT NULL,
  UNIQUE (clone_id, number)
) STRICT;
CREATE UNIQUE INDEX clone_versions_one_active ON clone_versions (clone_id) WHERE is_active = 1;

CREATE TRIGGER clone_versions_never_change BEFORE UPDATE ON clone_versions
WHEN (old.id, old.clone_id, old.number, old.graph, old.compiled, old.compiled_hash, old.published_at, old.published_by)
  IS NOT (new.id, new.clone_id, new.number, new.graph, new.compiled, new.compiled_hash, new.published_at, new.published_by)
BEGIN
  SELECT raise(ABORT, 'a published version never changes');
END;
CREATE TRIGGER clone_versions_never_leave BEFORE DELETE ON clone_versions
BEGIN
  SELECT raise(ABORT, 'a published version never leaves');
END;

-- Grants; the effective entitlement is their component-wise maximum, and a mock Starter without any.
CREATE TABLE clone_entitlements (
  id            INTEGER PRIMARY KEY,
  clone_id      INTEGER NOT NULL REFERENCES clones (id),
  capacity_tier TEXT NOT NULL CHECK (capacity_tier IN ('starter', 'builder', 'pro')),
  model_tier    INTEGER NOT NULL CHECK (model_tier BETWEEN 1 AND 3),
  source        TEXT NOT NULL CHECK (source IN ('purchase', 'debug')),
  ref           TEXT NOT NULL,
  granted_at    INTEGER NOT NULL,
  UNIQUE (source, ref)
) STRICT;
CREATE INDEX clone_entitlements_clone ON clone_entitlements (clone_id);
