-- Departments, and what kind of caller a call was from.

SET LOCAL ROLE frontdesk_owner;

-- One that is gone from the configuration stays, because somebody may wait for it.
CREATE TABLE departments (
    tenant_id     text NOT NULL REFERENCES tenants ON DELETE CASCADE,
    department_id text NOT NULL CHECK (department_id ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    -- As it is spoken: "Dermatology".
    name          text NOT NULL,
    PRIMARY KEY (tenant_id, department_id)
);
SELECT frontdesk_protect('departments');
GRANT SELECT ON departments TO frontdesk_app;

ALTER TABLE practitioners
    ADD COLUMN department_id text,
    ADD FOREIGN KEY (tenant_id, department_id) REFERENCES departments;

-- Who waits for anybody of a department waits for nobody of another.
ALTER TABLE waiting_list
    ADD COLUMN department_id text,
    ADD FOREIGN KEY (tenant_id, department_id) REFERENCES departments,
    DROP CONSTRAINT waiting_list_once,
    ADD CONSTRAINT waiting_list_once EXCLUDE USING gist (
        tenant_id WITH =, patient_id WITH =, (coalesce(practitioner_id, '')) WITH =, (coalesce(service_code, '')) WITH =,
        (coalesce(department_id, '')) WITH =, during WITH &&
    ) WHERE (status IN ('waiting', 'offered'));

-- new: a number that the clinic did not know when the call began, or a patient who registered in it; returning: one that it knew, or a
-- patient of whom two things matched; unknown: neither a number nor a patient. Whom and what a caller asked for is in the sealed record.
ALTER TABLE call_records
    ADD COLUMN caller_type text NOT NULL DEFAULT 'unknown' CHECK (caller_type IN ('new', 'returning', 'unknown'));

RESET ROLE;
