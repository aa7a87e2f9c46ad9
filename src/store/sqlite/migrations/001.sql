-- The first version of household.db. Times are seconds since 1970 UTC; a time that ends something is the first second at
-- which it is over.

-- What there is one of each.
CREATE TABLE facts (
    name TEXT PRIMARY KEY,
    value ANY NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO facts (name, value) VALUES
    -- Goes up with every change but that of last_seen.
    ('changes', 0),
    -- Of the hashes in taken_ids.
    ('salt', randomblob(32));

CREATE TABLE people (
    -- Never used again, so that what remembers one elsewhere does not mean another.
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    -- In lower case.
    folded TEXT NOT NULL UNIQUE,
    role TEXT NOT NULL CHECK (role IN ('owner', 'member', 'guest')),
    -- As JSON.
    grants TEXT NOT NULL,
    counts_from INTEGER,
    counts_until INTEGER,
    program INTEGER NOT NULL CHECK (program IN (0, 1)),
    created INTEGER NOT NULL
) STRICT;

CREATE TABLE sessions (
    id TEXT PRIMARY KEY,
    secret BLOB NOT NULL UNIQUE CHECK (length(secret) = 32),
    person INTEGER NOT NULL REFERENCES people ON DELETE CASCADE,
    user_id TEXT NOT NULL UNIQUE,
    label TEXT NOT NULL,
    created INTEGER NOT NULL,
    last_seen INTEGER NOT NULL,
    key BLOB
) STRICT;

CREATE INDEX sessions_by_person ON sessions (person);

CREATE TABLE invitations (
    id TEXT PRIMARY KEY,
    secret BLOB NOT NULL UNIQUE CHECK (length(secret) = 32),
    person INTEGER NOT NULL REFERENCES people ON DELETE CASCADE,
    uses_left INTEGER NOT NULL CHECK (uses_left >= 0),
    created INTEGER NOT NULL,
    expires INTEGER
) STRICT;

CREATE INDEX invitations_by_person ON invitations (person);

CREATE TABLE devices (
    id TEXT PRIMARY KEY,
    key BLOB NOT NULL CHECK (length(key) = 32),
    claimed INTEGER NOT NULL
) STRICT;

CREATE TABLE pairings (
    device TEXT PRIMARY KEY,
    secret BLOB NOT NULL UNIQUE CHECK (length(secret) = 32),
    expires INTEGER NOT NULL
) STRICT;

-- Every ID that was ever given to a session or asked for by a device: nobody gets one that was somebody else's. As hashes,
-- because the IDs of sessions are made of names, and people can be erased.
CREATE TABLE taken_ids (
    hash BLOB PRIMARY KEY,
    device INTEGER NOT NULL CHECK (device IN (0, 1))
) STRICT, WITHOUT ROWID;
