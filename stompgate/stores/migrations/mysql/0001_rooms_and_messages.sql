-- min_program: 0.1.0
--
-- Names begin with sg_ so that other programs' tables may live in the same database. {collation} compares text byte by byte,
-- trailing blanks included. MySQL commits each statement by itself, so each may be repeated after a cut: IF NOT EXISTS,
-- with the indexes inside. There are no foreign keys: rows of rooms stay for good, and each check would take a lock.

CREATE TABLE IF NOT EXISTS sg_meta (
    name VARCHAR(255) NOT NULL PRIMARY KEY,
    value VARCHAR(255) NOT NULL
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE {collation};

-- Who acts for a server id, until when: microseconds since 1970, UTC, by the clock of the database.
CREATE TABLE IF NOT EXISTS sg_lease (
    server_id VARCHAR(64) NOT NULL PRIMARY KEY,
    owner VARCHAR(255) NOT NULL,
    expires_at_us BIGINT NOT NULL
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE {collation};

-- live_key names buyer, seller and product of a living room that was made here; it is null once the room is deleted.
-- A deleted room keeps its row for good: servers must be able to learn of it late. cleared: its messages are gone too.
CREATE TABLE IF NOT EXISTS sg_room (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    uuid VARCHAR(255) NOT NULL,
    product_name MEDIUMTEXT NOT NULL,
    buyer VARCHAR(255) NOT NULL,
    seller VARCHAR(255) NOT NULL,
    live_key CHAR(64) NULL,
    last_seq BIGINT NOT NULL DEFAULT 0,
    members_version BIGINT NOT NULL DEFAULT 1,
    deleted BOOLEAN NOT NULL DEFAULT 0,
    cleared BOOLEAN NOT NULL DEFAULT 0,
    created_at_us BIGINT NOT NULL,
    unrelayed_by VARCHAR(64) NULL,
    UNIQUE KEY sg_room_uuid (uuid),
    UNIQUE KEY sg_room_live_key (live_key),
    KEY sg_room_unrelayed (unrelayed_by),
    KEY sg_room_uncleared (deleted, cleared)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE {collation};

CREATE TABLE IF NOT EXISTS sg_member (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    room_id BIGINT NOT NULL,
    user VARCHAR(255) NOT NULL,
    other VARCHAR(255) NOT NULL,
    KEY sg_member_room (room_id, user),
    KEY sg_member_user (user)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE {collation};

-- number is the order of storing: within a room it rises with seq, since a room is locked until its rows are committed.
CREATE TABLE IF NOT EXISTS sg_message (
    number BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    room_id BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    id VARCHAR(255) NOT NULL,
    client_id VARCHAR(64) NULL,
    sender VARCHAR(255) NOT NULL,
    content MEDIUMTEXT NOT NULL,
    sent_at_us BIGINT NOT NULL,
    members_version BIGINT NOT NULL,
    unrelayed_by VARCHAR(64) NULL,
    UNIQUE KEY sg_message_id (id),
    UNIQUE KEY sg_message_seq (room_id, seq),
    UNIQUE KEY sg_message_client_id (room_id, sender, client_id),
    KEY sg_message_unrelayed (unrelayed_by)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE {collation};

-- What was taken out of sg_message by age, as it was there. Nothing of this program reads it.
CREATE TABLE IF NOT EXISTS sg_archive (
    number BIGINT NOT NULL PRIMARY KEY,
    room_id BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    id VARCHAR(255) NOT NULL,
    client_id VARCHAR(64) NULL,
    sender VARCHAR(255) NOT NULL,
    content MEDIUMTEXT NOT NULL,
    sent_at_us BIGINT NOT NULL,
    members_version BIGINT NOT NULL,
    archived_at_us BIGINT NOT NULL,
    UNIQUE KEY sg_archive_seq (room_id, seq)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE {collation};

-- waiting_key names all texts of an inquiry that waits to be mailed; it is null once it was. claimed_by mails it until then.
CREATE TABLE IF NOT EXISTS sg_inquiry (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    name TEXT NOT NULL,
    email TEXT NOT NULL,
    phone TEXT NOT NULL,
    message MEDIUMTEXT NOT NULL,
    waiting_key CHAR(64) NULL,
    created_at_us BIGINT NOT NULL,
    mailed_at_us BIGINT NULL,
    claimed_by VARCHAR(64) NULL,
    claimed_until_us BIGINT NULL,
    UNIQUE KEY sg_inquiry_waiting (waiting_key),
    KEY sg_inquiry_unmailed (mailed_at_us)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE {collation};
