-- min_program: 0.1.0
--
-- What was taken out of sg_message by age, as it was there. Nothing of this program reads it; it goes with its room.
-- number is not unique: SQLite gives numbers out again once the highest ones are deleted.

CREATE TABLE sg_archive (
    number INTEGER NOT NULL,
    room_id INTEGER NOT NULL REFERENCES sg_room (id),
    seq INTEGER NOT NULL,
    id TEXT NOT NULL,
    client_id TEXT,
    sender TEXT NOT NULL,
    content TEXT NOT NULL,
    sent_at_us INTEGER NOT NULL,
    members_version INTEGER NOT NULL,
    archived_at_us INTEGER NOT NULL,
    UNIQUE (room_id, seq)
) STRICT;
