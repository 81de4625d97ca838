-- From when until when an appointment takes its practitioner's time, as columns that an index can serve under row-level security.
--
-- A policy's condition is checked before any other that might tell a foreign row's values by failing, so only functions that are marked
-- LEAKPROOF may pick rows from an index. Comparing times is; neither the overlap of ranges nor lower() and upper() are. Asked by range,
-- whoever looked for free slots read all appointments that there ever were.

SET LOCAL ROLE frontdesk_owner;

ALTER TABLE appointments
    ADD COLUMN taken_from  timestamptz NOT NULL GENERATED ALWAYS AS (lower(coalesce(occupies, during))) STORED,
    ADD COLUMN taken_until timestamptz NOT NULL GENERATED ALWAYS AS (upper(coalesce(occupies, during))) STORED,
    -- So that whatever reaches into a window begins less than a day before it. The longest service with the longest buffers takes 16 hours.
    ADD CONSTRAINT appointments_within_a_day CHECK (taken_until - taken_from <= interval '1 day');

CREATE INDEX appointments_taken ON appointments (tenant_id, taken_from) WHERE status <> 'cancelled';

RESET ROLE;
