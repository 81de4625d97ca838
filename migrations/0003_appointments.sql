-- Patients and appointments. That nobody is booked twice rests on the constraints of this file, not on isolation
-- levels and not on the program: whatever it gets wrong, the second of two overlapping bookings fails with 23P01.

SET LOCAL ROLE frontdesk_owner;

-- Names and numbers are sealed by the program (AES-256-GCM): the database, its backups and its logs never see them.
-- What must be found again has a blind index beside it: HMAC-SHA-256 under a key that the database does not have.
CREATE TABLE patients (
    tenant_id    text NOT NULL REFERENCES tenants,
    patient_id   uuid NOT NULL,
    name_sealed  bytea NOT NULL,
    name_index   bytea NOT NULL CHECK (octet_length(name_index) = 32),
    phone_sealed bytea NOT NULL,
    phone_index  bytea NOT NULL CHECK (octet_length(phone_index) = 32),
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, patient_id),
    -- A family shares a telephone; name and number together are who somebody is, as far as a caller can tell.
    CONSTRAINT patients_identity UNIQUE (tenant_id, phone_index, name_index)
);
SELECT frontdesk_protect('patients');
GRANT SELECT, INSERT ON patients TO frontdesk_app;

CREATE TABLE appointments (
    tenant_id         text NOT NULL,
    appointment_id    uuid NOT NULL,
    practitioner_id   text NOT NULL,
    service_code      text,
    -- Unknown while a slot is merely held for a caller who is new to the clinic.
    patient_id        uuid,
    -- Half-open [start, end): one may begin when the other ends.
    during            tstzrange NOT NULL
        CHECK (NOT isempty(during) AND lower_inc(during) AND NOT upper_inc(during) AND NOT lower_inf(during) AND NOT upper_inf(during)),
    -- held: kept for a caller between the read-back and his yes; booked; cancelled.
    status            text NOT NULL CHECK (status IN ('held', 'booked', 'cancelled')),
    hold_expires_at   timestamptz,
    -- The call that holds or booked it.
    call_id           text NOT NULL,
    -- Short enough to be spoken; never given out twice by one clinic, not even after a cancellation.
    confirmation_code text,
    created_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, appointment_id),
    FOREIGN KEY (tenant_id, practitioner_id) REFERENCES practitioners,
    FOREIGN KEY (tenant_id, service_code) REFERENCES services,
    FOREIGN KEY (tenant_id, patient_id) REFERENCES patients,
    CONSTRAINT appointments_held_or_known CHECK (
        CASE status
            WHEN 'held' THEN hold_expires_at IS NOT NULL AND confirmation_code IS NULL
            ELSE hold_expires_at IS NULL AND confirmation_code IS NOT NULL AND patient_id IS NOT NULL
        END),
    CONSTRAINT appointments_code UNIQUE (tenant_id, confirmation_code),
    -- One practitioner, one patient at a time. A hold counts like a booking until it is deleted, even when it is past
    -- its time: a constraint cannot ask the clock. Whoever wants the slot deletes expired holds first.
    CONSTRAINT appointments_practitioner_free
        EXCLUDE USING gist (tenant_id WITH =, practitioner_id WITH =, during WITH &&) WHERE (status <> 'cancelled'),
    -- And no patient in two places at once. NULL equals nothing, so holds for strangers are exempt.
    CONSTRAINT appointments_patient_free
        EXCLUDE USING gist (tenant_id WITH =, patient_id WITH =, during WITH &&) WHERE (status <> 'cancelled')
);
SELECT frontdesk_protect('appointments');

-- A call holds at most one slot: the next hold replaces it, the end of the call deletes it.
CREATE UNIQUE INDEX appointments_one_hold_a_call ON appointments (tenant_id, call_id) WHERE status = 'held';

GRANT SELECT, INSERT, DELETE ON appointments TO frontdesk_app;
GRANT UPDATE (patient_id, status, hold_expires_at, confirmation_code, updated_at) ON appointments TO frontdesk_app;

-- Holds come and go, appointments stay: a cancelled one is a fact, too. RESTRICTIVE is "and", not "or".
CREATE POLICY only_holds_are_deleted ON appointments AS RESTRICTIVE FOR DELETE TO frontdesk_app USING (status = 'held');

RESET ROLE;
