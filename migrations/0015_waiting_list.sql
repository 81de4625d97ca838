-- Patients who wait for a time that is taken as yet.

SET LOCAL ROLE frontdesk_owner;

CREATE TABLE waiting_list (
    tenant_id            text NOT NULL REFERENCES tenants,
    entry_id             uuid NOT NULL,
    -- Name and number are the patient's, sealed there; whoever waits has left both.
    patient_id           uuid NOT NULL,
    -- With whom and for what; NULL is anybody and anything.
    practitioner_id      text,
    service_code         text,
    duration_minutes     integer NOT NULL CHECK (duration_minutes BETWEEN 5 AND 480),
    -- Days and times of day in the clinic's local time, as the program understood the caller; during is what they span.
    wish                 jsonb NOT NULL,
    during               tstzrange NOT NULL CHECK (NOT isempty(during) AND NOT lower_inf(during) AND NOT upper_inf(during)),
    -- waiting: for a time; offered: one is free, and the clinic's staff has been told; booked, left by the patient, or expired since the
    -- days are over.
    status               text NOT NULL DEFAULT 'waiting' CHECK (status IN ('waiting', 'offered', 'booked', 'left', 'expired')),
    -- Whoever let an offer pass goes to the end of the queue, not out of it.
    waiting_since        timestamptz NOT NULL DEFAULT clock_timestamp(),
    offers               integer NOT NULL DEFAULT 0 CHECK (offers >= 0),
    offered_during       tstzrange,
    offered_practitioner text,
    offer_expires_at     timestamptz,
    -- The call that made it.
    call_id              text NOT NULL,
    created_at           timestamptz NOT NULL DEFAULT now(),
    updated_at           timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, entry_id),
    FOREIGN KEY (tenant_id, patient_id) REFERENCES patients,
    FOREIGN KEY (tenant_id, practitioner_id) REFERENCES practitioners,
    FOREIGN KEY (tenant_id, offered_practitioner) REFERENCES practitioners,
    FOREIGN KEY (tenant_id, service_code) REFERENCES services,
    CONSTRAINT waiting_list_offer CHECK (status <> 'offered'
        OR (offered_during IS NOT NULL AND offered_practitioner IS NOT NULL AND offer_expires_at IS NOT NULL)),
    -- Nobody stands in the queue twice for the same thing.
    CONSTRAINT waiting_list_once EXCLUDE USING gist (
        tenant_id WITH =, patient_id WITH =, (coalesce(practitioner_id, '')) WITH =, (coalesce(service_code, '')) WITH =, during WITH &&
    ) WHERE (status IN ('waiting', 'offered'))
);
SELECT frontdesk_protect('waiting_list');
-- The queue of a time that becomes free, in order.
CREATE INDEX waiting_list_queue ON waiting_list (tenant_id, waiting_since) WHERE status = 'waiting';

GRANT SELECT, INSERT ON waiting_list TO frontdesk_app;
GRANT UPDATE (status, waiting_since, offers, offered_during, offered_practitioner, offer_expires_at, updated_at) ON waiting_list
    TO frontdesk_app;

RESET ROLE;
