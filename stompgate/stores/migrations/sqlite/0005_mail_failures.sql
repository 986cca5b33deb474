-- min_program: 0.1.0
--
-- Inquiries that could not be mailed. None is tried before next_try_at_us, nor after it was given up; to have such a one tried
-- again, delete its row here.
CREATE TABLE sg_mail_failure (
    inquiry_id INTEGER PRIMARY KEY,
    failures INTEGER NOT NULL,
    first_failed_at_us INTEGER NOT NULL,
    next_try_at_us INTEGER NOT NULL,
    given_up_at_us INTEGER
) STRICT;
