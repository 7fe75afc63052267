-- What earlier builds made. Times are nanoseconds since 1970.

-- One row per step that was done: its key, and the layer that came out of it. `parts` says what the key was made of.
CREATE TABLE build_cache (
    key             TEXT PRIMARY KEY,            -- hex digits
    chain_id        TEXT NOT NULL REFERENCES layers (chain_id) ON DELETE CASCADE,
    parts           TEXT NOT NULL,               -- JSON object
    name            TEXT NOT NULL,               -- as progress showed it: "[2/3] RUN make"
    created         INTEGER NOT NULL,            -- when the step ended; the image's history shows it
    used            INTEGER NOT NULL,            -- when a build last hit it
    took            INTEGER NOT NULL             -- what it cost, nanoseconds
) WITHOUT ROWID;
CREATE INDEX build_cache_by_layer ON build_cache (chain_id);

-- Digests of the files of a build context, by directory on the host; valid as long as the file's stamp is the same.
CREATE TABLE context_files (
    context         TEXT NOT NULL,
    path            TEXT NOT NULL,               -- "/src/main.py"
    size            INTEGER NOT NULL,
    mtime           INTEGER NOT NULL,
    ctime           INTEGER NOT NULL,
    inode           INTEGER NOT NULL,
    hashed          INTEGER NOT NULL,            -- when: a file changed less than two seconds before is hashed again
    digest          BLOB NOT NULL,               -- sha256
    PRIMARY KEY (context, path)
) WITHOUT ROWID;
