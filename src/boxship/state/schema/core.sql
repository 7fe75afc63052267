-- The store's truth. Times are nanoseconds since 1970 (INTEGER), documents are JSON (TEXT), digests are "sha256:HEX".
-- Read this file before any of the modules beside it.

-- One row per image config. id is the digest of the config blob: what Docker calls the image ID.
CREATE TABLE images (
    id              TEXT PRIMARY KEY,
    config          TEXT NOT NULL,               -- the OCI image config document, byte for byte
    created         INTEGER NOT NULL,            -- when it was made, from the config
    stored          INTEGER NOT NULL,            -- when it came into this store
    size            INTEGER NOT NULL,            -- sum of the unpacked layers, bytes
    manifest        TEXT NOT NULL,               -- digest of its manifest blob in content/
    media_type      TEXT NOT NULL                -- of that manifest
) WITHOUT ROWID;

-- Names. "docker.io/library/busybox:latest", or "docker.io/library/busybox@sha256:..." for a pull by digest.
CREATE TABLE image_refs (
    reference       TEXT PRIMARY KEY,
    image_id        TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE
) WITHOUT ROWID;
CREATE INDEX image_refs_by_image ON image_refs (image_id);

-- RepoDigests: the manifest digest under which a repository knows the image.
CREATE TABLE repo_digests (
    repository      TEXT NOT NULL,               -- "docker.io/library/busybox"
    digest          TEXT NOT NULL,
    image_id        TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    PRIMARY KEY (repository, digest, image_id)
) WITHOUT ROWID;
CREATE INDEX repo_digests_by_image ON repo_digests (image_id);

-- Unpacked layers, by chain ID (image-spec, config.md#layer-chainid). dir is a name below layers/, short on purpose.
CREATE TABLE layers (
    chain_id        TEXT PRIMARY KEY,
    diff_id         TEXT NOT NULL,
    parent          TEXT REFERENCES layers (chain_id),
    dir             TEXT NOT NULL UNIQUE,
    size            INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX layers_by_parent ON layers (parent);

CREATE TABLE image_layers (
    image_id        TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    position        INTEGER NOT NULL,            -- 0 is the base
    chain_id        TEXT NOT NULL REFERENCES layers (chain_id),
    PRIMARY KEY (image_id, position)
) WITHOUT ROWID;
CREATE INDEX image_layers_by_layer ON image_layers (chain_id);

-- Compressed or plain forms of a layer: a blob in content/ (kept = 1), or one that is only remembered (kept = 0).
CREATE TABLE layer_blobs (
    digest          TEXT PRIMARY KEY,
    diff_id         TEXT NOT NULL,
    media_type      TEXT NOT NULL,
    size            INTEGER NOT NULL,
    kept            INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX layer_blobs_by_diff ON layer_blobs (diff_id);

-- Repositories known to hold a blob: candidates for a cross-repository mount.
CREATE TABLE blob_sources (
    digest          TEXT NOT NULL REFERENCES layer_blobs (digest) ON DELETE CASCADE,
    repository      TEXT NOT NULL,               -- "127.0.0.1:5000/team/app"
    PRIMARY KEY (digest, repository)
) WITHOUT ROWID;

-- Containers. config and host_config are the documents of Docker's create request. Whether one runs is not stored:
-- its shim holds the lock of active/ID or it does not. The last exit is written here by the shim, or by the command
-- that finds exit.json after a crash.
CREATE TABLE containers (
    id              TEXT PRIMARY KEY,            -- 64 hex digits
    name            TEXT NOT NULL UNIQUE,
    image_id        TEXT NOT NULL REFERENCES images (id),
    image_name      TEXT NOT NULL,               -- as the user typed it
    created         INTEGER NOT NULL,
    config          TEXT NOT NULL,
    host_config     TEXT NOT NULL,
    started         INTEGER NOT NULL DEFAULT 0,  -- 0: never
    finished        INTEGER NOT NULL DEFAULT 0,
    exit_code       INTEGER NOT NULL DEFAULT 0,
    oom_killed      INTEGER NOT NULL DEFAULT 0,
    restart_count   INTEGER NOT NULL DEFAULT 0,
    error           TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;
CREATE INDEX containers_by_image ON containers (image_id);

CREATE TABLE networks (
    name            TEXT PRIMARY KEY,            -- "bridge"
    bridge          TEXT NOT NULL UNIQUE,        -- the interface on the host
    subnet          TEXT NOT NULL,               -- "172.17.0.0/16"
    gateway         TEXT NOT NULL,
    last_ip         INTEGER NOT NULL             -- the address handed out last, as a number: they rotate
) WITHOUT ROWID;

-- Leases, from a container's start to its end.
CREATE TABLE endpoints (
    container_id    TEXT NOT NULL REFERENCES containers (id) ON DELETE CASCADE,
    network         TEXT NOT NULL REFERENCES networks (name),
    ip              INTEGER NOT NULL,
    PRIMARY KEY (container_id, network),
    UNIQUE (network, ip)
) WITHOUT ROWID;

-- Addresses of builds: they belong to a process, and are free again once no process with that pid and start time lives.
CREATE TABLE build_endpoints (
    network         TEXT NOT NULL REFERENCES networks (name),
    ip              INTEGER NOT NULL,
    pid             INTEGER NOT NULL,
    start_time      INTEGER NOT NULL,            -- clock ticks since boot, proc_pid_stat(5)
    PRIMARY KEY (network, ip)
) WITHOUT ROWID;

-- 0.0.0.0 conflicts with every address of the same port: the trigger, not the primary key, says so.
CREATE TABLE ports (
    proto           TEXT NOT NULL,
    host_port       INTEGER NOT NULL,
    host_ip         TEXT NOT NULL,               -- "0.0.0.0" or an address
    container_id    TEXT NOT NULL REFERENCES containers (id) ON DELETE CASCADE,
    container_port  INTEGER NOT NULL,
    PRIMARY KEY (proto, host_port, host_ip)
) WITHOUT ROWID;
CREATE INDEX ports_by_container ON ports (container_id);
CREATE TRIGGER ports_overlap BEFORE INSERT ON ports
WHEN EXISTS (SELECT 1 FROM ports WHERE proto = NEW.proto AND host_port = NEW.host_port
             AND (host_ip = NEW.host_ip OR host_ip = '0.0.0.0' OR NEW.host_ip = '0.0.0.0'))
BEGIN
    SELECT RAISE(ABORT, 'port is already allocated');
END;

CREATE TABLE volumes (
    name            TEXT PRIMARY KEY,
    driver          TEXT NOT NULL,
    options         TEXT NOT NULL,               -- JSON object
    labels          TEXT NOT NULL,               -- JSON object
    anonymous       INTEGER NOT NULL,            -- removed with its container by rm -v and --rm
    created         INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE container_volumes (
    container_id    TEXT NOT NULL REFERENCES containers (id) ON DELETE CASCADE,
    volume          TEXT NOT NULL REFERENCES volumes (name),
    destination     TEXT NOT NULL,
    PRIMARY KEY (container_id, destination)
) WITHOUT ROWID;
CREATE INDEX container_volumes_by_volume ON container_volumes (volume);
