-- min_program: 0.1.0
--
-- Messages that wait in queues. number is their order. claimed_by is the owner of a lease, attempt the call that claimed them.
-- deliveries counts claims, and tells an old one from the one in force.
CREATE TABLE sg_queue_message (
    number INTEGER PRIMARY KEY,
    queue TEXT NOT NULL,
    id TEXT NOT NULL,
    headers TEXT NOT NULL,
    body BLOB NOT NULL,
    sent_at_us INTEGER NOT NULL,
    deliveries INTEGER NOT NULL DEFAULT 0,
    claimed_by TEXT,
    attempt TEXT,
    UNIQUE (id, queue)
) STRICT;

CREATE INDEX sg_queue_message_claim ON sg_queue_message (queue, claimed_by, attempt, number);
