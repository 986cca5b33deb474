-- min_program: 0.1.0
--
-- Messages that wait in queues. number is their order. claimed_by is the owner of a lease: one that is not in force holds
-- nothing. attempt is the call that claimed them. deliveries counts claims, and tells an old one from the one in force.
-- sg_queue_message_claim finds in one step what is free, and in one step for each owner who holds something.
CREATE TABLE IF NOT EXISTS sg_queue_message (
    number BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    queue VARCHAR(255) NOT NULL,
    id VARCHAR(64) NOT NULL,
    headers MEDIUMTEXT NOT NULL,
    body LONGBLOB NOT NULL,
    sent_at_us BIGINT NOT NULL,
    deliveries INT NOT NULL DEFAULT 0,
    claimed_by VARCHAR(255) NULL,
    attempt VARCHAR(64) NULL,
    UNIQUE KEY sg_queue_message_id (id, queue),
    KEY sg_queue_message_claim (queue, claimed_by, attempt, number)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE {collation};
