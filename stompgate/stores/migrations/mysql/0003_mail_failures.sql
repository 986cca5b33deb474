-- min_program: 0.1.0
--
-- Inquiries that could not be mailed. None is tried before next_try_at_us, nor after it was given up; to have such a one tried
-- again, delete its row here.
CREATE TABLE IF NOT EXISTS sg_mail_failure (
    inquiry_id BIGINT NOT NULL PRIMARY KEY,
    failures INT NOT NULL,
    first_failed_at_us BIGINT NOT NULL,
    next_try_at_us BIGINT NOT NULL,
    given_up_at_us BIGINT NULL
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE {collation};
