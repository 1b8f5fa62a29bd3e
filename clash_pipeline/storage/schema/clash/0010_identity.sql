-- People by their wallets, and what proves that a request is theirs. No token text is ever stored, only its hash.
CREATE TABLE users (
  id         INTEGER PRIMARY KEY,
  created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE wallets (
  address    TEXT PRIMARY KEY CHECK (length(address) = 42 AND address GLOB '0x*' AND address = lower(address)),
  user_id    INTEGER NOT NULL REFERENCES users (id),
  is_primary INTEGER NOT NULL CHECK (is_primary IN (0, 1)),
  added_at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX wallets_one_primary ON wallets (user_id) WHERE is_primary = 1;
CREATE INDEX wallets_user ON wallets (user_id);

-- A message that we wrote and somebody may sign once.
CREATE TABLE auth_challenges (
  message_hash TEXT PRIMARY KEY CHECK (length(message_hash) = 64),
  address      TEXT NOT NULL,
  chain_id     INTEGER NOT NULL,
  issued_at    INTEGER NOT NULL,
  expires_at   INTEGER NOT NULL,
  used_at      INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX auth_challenges_expired ON auth_challenges (expires_at);

-- One sign-in and all refresh tokens that descend from it. The token of `counter` is the one that may be used next.
CREATE TABLE auth_sessions (
  id             TEXT PRIMARY KEY,
  user_id        INTEGER NOT NULL REFERENCES users (id),
  address        TEXT NOT NULL,
  counter        INTEGER NOT NULL CHECK (counter >= 0),
  token_hash     TEXT NOT NULL CHECK (length(token_hash) = 64),
  rotated_at     INTEGER NOT NULL,
  created_at     INTEGER NOT NULL,
  expires_at     INTEGER NOT NULL,
  revoked_at     INTEGER,
  revoked_reason TEXT,
  CHECK ((revoked_at IS NULL) = (revoked_reason IS NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX auth_sessions_user ON auth_sessions (user_id);
CREATE INDEX auth_sessions_expired ON auth_sessions (expires_at);

CREATE TRIGGER auth_sessions_stay_revoked BEFORE UPDATE ON auth_sessions
WHEN old.revoked_at IS NOT NULL
BEGIN
  SELECT raise(ABORT, 'a revoked session never changes');
END;

-- Tokens of operators and services, each with its scopes; every use is written down.
CREATE TABLE service_tokens (
  id         INTEGER PRIMARY KEY,
  name       TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 64),
  scopes     TEXT NOT NULL,                      -- JSON list of text
  token_hash TEXT NOT NULL UNIQUE CHECK (length(token_hash) = 64),
  created_at INTEGER NOT NULL,
  created_by TEXT NOT NULL,
  expires_at INTEGER,
  revoked_at INTEGER
) STRICT;
CREATE UNIQUE INDEX service_tokens_name ON service_tokens (name) WHERE revoked_at IS NULL;

CREATE TABLE service_token_uses (
  id       INTEGER PRIMARY KEY,
  token_id INTEGER NOT NULL REFERENCES service_tokens (id),
  scope    TEXT NOT NULL,
  action   TEXT NOT NULL,                        -- method and route template
  status   INTEGER NOT NULL,
  used_at  INTEGER NOT NULL
) STRICT;
CREATE INDEX service_token_uses_token ON service_token_uses (token_id, id);
CREATE TRIGGER service_token_uses_append_only BEFORE UPDATE ON service_token_uses
BEGIN
  SELECT raise(ABORT, 'service_token_uses is append-only');
END;
CREATE TRIGGER service_token_uses_kept BEFORE DELETE ON service_token_uses
BEGIN
  SELECT raise(ABORT, 'service_token_uses is append-only');
END;

-- Answers to requests that create or pay, kept seven days so that a repeat gets the first answer (09 §4.4). Written in
-- the transaction of the effect itself.
CREATE TABLE idempotency_keys (
  principal   TEXT NOT NULL,
  method      TEXT NOT NULL,
  route       TEXT NOT NULL,
  key         TEXT NOT NULL,
  fingerprint TEXT NOT NULL CHECK (length(fingerprint) = 64),
  status      INTEGER NOT NULL,
  body        TEXT NOT NULL,
  created_at  INTEGER NOT NULL,
  PRIMARY KEY (principal, method, route, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_keys_created ON idempotency_keys (created_at);
