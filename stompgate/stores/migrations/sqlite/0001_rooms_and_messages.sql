-- min_program: 0.1.0
--
-- Names begin with sg_ so that other programs' tables may live in the same database. Text is compared byte by byte.

CREATE TABLE sg_meta (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

-- live_key names buyer, seller and product of a living room that was made here; it is null once the room is deleted.
-- A deleted room keeps its row for good: servers must be able to learn of it late. cleared: its messages are gone too.
CREATE TABLE sg_room (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid TEXT NOT NULL UNIQUE,
    product_name TEXT NOT NULL,
    buyer TEXT NOT NULL,
    seller TEXT NOT NULL,
    live_key TEXT UNIQUE,
    last_seq INTEGER NOT NULL DEFAULT 0,
    members_version INTEGER NOT NULL DEFAULT 1,
    deleted INTEGER NOT NULL DEFAULT 0,
    cleared INTEGER NOT NULL DEFAULT 0,
    created_at_us INTEGER NOT NULL,
    unrelayed_by TEXT
) STRICT;

CREATE INDEX sg_room_unrelayed ON sg_room (id) WHERE unrelayed_by IS NOT NULL;
CREATE INDEX sg_room_uncleared ON sg_room (id) WHERE deleted = 1 AND cleared = 0;

CREATE TABLE sg_member (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    room_id INTEGER NOT NULL REFERENCES sg_room (id),
    user TEXT NOT NULL,
    other TEXT NOT NULL
) STRICT;

CREATE INDEX sg_member_room ON sg_member (room_id, user);
CREATE INDEX sg_member_user ON sg_member (user);

-- number is the order of storing, over all rooms: the order in which the outbox is read.
CREATE TABLE sg_message (
    number INTEGER PRIMARY KEY,
    room_id INTEGER NOT NULL REFERENCES sg_room (id),
    seq INTEGER NOT NULL,
    id TEXT NOT NULL UNIQUE,
    client_id TEXT,
    sender TEXT NOT NULL,
    content TEXT NOT NULL,
    sent_at_us INTEGER NOT NULL,
    members_version INTEGER NOT NULL,
    unrelayed_by TEXT,
    UNIQUE (room_id, seq)
) STRICT;

CREATE UNIQUE INDEX sg_message_client_id ON sg_message (room_id, sender, client_id) WHERE client_id IS NOT NULL;
CREATE INDEX sg_message_unrelayed ON sg_message (number) WHERE unrelayed_by IS NOT NULL;

CREATE TABLE sg_inquiry (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    email TEXT NOT NULL,
    phone TEXT NOT NULL,
    message TEXT NOT NULL,
    created_at_us INTEGER NOT NULL,
    mailed_at_us INTEGER
) STRICT;

CREATE INDEX sg_inquiry_unmailed ON sg_inquiry (id) WHERE mailed_at_us IS NULL;
