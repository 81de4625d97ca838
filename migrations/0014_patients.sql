-- Patients who register, and whom a call knows.

SET LOCAL ROLE frontdesk_owner;

-- Until a patient registers there is but a name and a number, left at a booking. What he tells at registration is one sealed document:
-- reason, allergies, prescriptions, conditions and the like are read together or not at all, and no question to the database needs one
-- of them alone. What has to be found again has its blind index: date of birth and e-mail.
ALTER TABLE patients
    ADD COLUMN intake_sealed bytea,
    ADD COLUMN birth_index   bytea CHECK (octet_length(birth_index) = 32),
    ADD COLUMN email_index   bytea CHECK (octet_length(email_index) = 32),
    ADD COLUMN registered_at timestamptz,
    ADD CONSTRAINT patients_registered CHECK ((birth_index IS NULL) = (registered_at IS NULL)),
    -- Name and date of birth are who somebody is as well: with another number it is the same patient, who must not be there twice.
    ADD CONSTRAINT patients_born UNIQUE (tenant_id, name_index, birth_index);
CREATE INDEX patients_by_email ON patients (tenant_id, email_index) WHERE email_index IS NOT NULL;

-- A registration completes what a booking left. It never rewrites another: the program names only rows without one.
GRANT UPDATE (intake_sealed, birth_index, email_index, registered_at) ON patients TO frontdesk_app;

-- Whom a call has shown to know two things of, or has registered. From then on the call may book for this patient where the clinic
-- demands it, and a booking under the patient's name is the patient's, whatever number is left with it.
CREATE TABLE call_patients (
    tenant_id     text NOT NULL,
    call_id       text NOT NULL,
    patient_id    uuid NOT NULL,
    caller_type   text NOT NULL CHECK (caller_type IN ('new', 'returning')),
    identified_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, call_id, patient_id),
    FOREIGN KEY (tenant_id, patient_id) REFERENCES patients
);
SELECT frontdesk_protect('call_patients');
GRANT SELECT, INSERT ON call_patients TO frontdesk_app;

RESET ROLE;
