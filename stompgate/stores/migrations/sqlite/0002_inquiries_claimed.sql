-- min_program: 0.1.0
--
-- Who was given an inquiry to mail, and until when it is theirs.

ALTER TABLE sg_inquiry ADD COLUMN claimed_by TEXT;
ALTER TABLE sg_inquiry ADD COLUMN claimed_until_us INTEGER;
