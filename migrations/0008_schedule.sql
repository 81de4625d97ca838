-- What a schedule knows besides working hours: places, absences, who offers what, and the minutes around a visit.

SET LOCAL ROLE frontdesk_owner;

-- A place of the clinic's, with the zone in which its hours count and its times are spoken.
CREATE TABLE locations (
    tenant_id   text NOT NULL REFERENCES tenants ON DELETE CASCADE,
    location_id text NOT NULL CHECK (location_id ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    -- As it is spoken: "the practice in Oak Street".
    name        text NOT NULL,
    zone        text NOT NULL,
    PRIMARY KEY (tenant_id, location_id)
);
SELECT frontdesk_protect('locations');

-- Nobody is in two places at once, so hours and practitioner tell where a visit is; appointments need not say it again.
-- NULL is a clinic that has one place and no name for it.
ALTER TABLE working_hours
    ADD COLUMN location_id text,
    ADD CONSTRAINT working_hours_location FOREIGN KEY (tenant_id, location_id) REFERENCES locations;

-- When somebody does not work although the week says so. In UTC, unlike working hours: an absence is of one day, not of every
-- week, and daylight saving does not move it. Rows of the configuration are replaced by its import, others stay.
CREATE TABLE time_off (
    tenant_id       text NOT NULL,
    practitioner_id text NOT NULL,
    during          tstzrange NOT NULL
        CHECK (NOT isempty(during) AND lower_inc(during) AND NOT upper_inc(during) AND NOT lower_inf(during) AND NOT upper_inf(during)),
    is_configured   boolean NOT NULL DEFAULT false,
    PRIMARY KEY (tenant_id, practitioner_id, during),
    FOREIGN KEY (tenant_id, practitioner_id) REFERENCES practitioners ON DELETE CASCADE
);
SELECT frontdesk_protect('time_off');

-- Who offers what. Most offer everything, and for them the flag says so: the absence of rows means nothing.
ALTER TABLE practitioners ADD COLUMN offers_all_services boolean NOT NULL DEFAULT true;
CREATE TABLE practitioner_services (
    tenant_id       text NOT NULL,
    practitioner_id text NOT NULL,
    service_code    text NOT NULL,
    PRIMARY KEY (tenant_id, practitioner_id, service_code),
    FOREIGN KEY (tenant_id, practitioner_id) REFERENCES practitioners ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, service_code) REFERENCES services ON DELETE CASCADE
);
SELECT frontdesk_protect('practitioner_services');

GRANT SELECT ON locations, time_off, practitioner_services TO frontdesk_app;

-- Minutes before and after a visit in which the practitioner cannot see anybody else: preparing, cleaning, writing.
ALTER TABLE services
    ADD COLUMN buffer_before_minutes integer NOT NULL DEFAULT 0 CHECK (buffer_before_minutes BETWEEN 0 AND 240),
    ADD COLUMN buffer_after_minutes  integer NOT NULL DEFAULT 0 CHECK (buffer_after_minutes BETWEEN 0 AND 240);

-- The visit is during; with its buffers it occupies the practitioner for longer, but not the patient. NULL is "no buffers".
-- It is kept with the appointment, so that a changed service does not make old appointments overlap.
ALTER TABLE appointments
    ADD COLUMN occupies tstzrange,
    ADD CONSTRAINT appointments_occupies_more CHECK (occupies @> during AND lower_inc(occupies) AND NOT upper_inc(occupies)),
    DROP CONSTRAINT appointments_practitioner_free,
    ADD CONSTRAINT appointments_practitioner_free
        EXCLUDE USING gist (tenant_id WITH =, practitioner_id WITH =, (coalesce(occupies, during)) WITH &&) WHERE (status <> 'cancelled');
GRANT UPDATE (occupies) ON appointments TO frontdesk_app;

RESET ROLE;
