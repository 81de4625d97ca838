-- What a clinic is: written by the import of agent-config/<tenant>/, only read by the running program.
--
-- Ids here are the short names of the configuration ("demo", "dr-lovelace", "checkup"): the import can then be
-- repeated at will, and a log line says something to whoever reads it. Every primary key begins with tenant_id and
-- every foreign key carries it, so a row cannot even refer to another tenant's (foreign keys are checked without
-- regard to row-level security, so the key itself has to say it).

SET LOCAL ROLE frontdesk_owner;

CREATE TABLE tenants (
    tenant_id        text PRIMARY KEY CHECK (tenant_id ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    name             text NOT NULL,
    -- IANA zone. Times are stored in UTC and spoken in this zone.
    zone             text NOT NULL,
    language         text NOT NULL,
    -- ISO 4217, for co-payments.
    currency         text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    -- Slots begin every so many minutes from the opening of a working period.
    slot_minutes     integer NOT NULL CHECK (slot_minutes BETWEEN 5 AND 240),
    -- No appointment begins sooner than this after now, or later than so many days ahead.
    lead_minutes     integer NOT NULL CHECK (lead_minutes BETWEEN 0 AND 100000),
    horizon_days     integer NOT NULL CHECK (horizon_days BETWEEN 1 AND 1000),
    -- Local days on which nobody works.
    closed_days      date[] NOT NULL DEFAULT '{}',
    imported_at      timestamptz NOT NULL DEFAULT now()
);
SELECT frontdesk_protect('tenants');

-- The numbers under which a clinic is called, in E.164. The primary key spans tenants: a number rings at one clinic.
CREATE TABLE dialled_numbers (
    number    text PRIMARY KEY CHECK (number ~ '^\+[1-9][0-9]{3,14}$'),
    tenant_id text NOT NULL REFERENCES tenants ON DELETE CASCADE
);
SELECT frontdesk_protect('dialled_numbers');

CREATE TABLE practitioners (
    tenant_id       text NOT NULL REFERENCES tenants ON DELETE CASCADE,
    practitioner_id text NOT NULL CHECK (practitioner_id ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    -- As it is spoken: "Doctor Ada Lovelace".
    name            text NOT NULL,
    -- In which working hours count; another zone than the clinic's for a practitioner who works from afar.
    zone            text NOT NULL,
    -- One who left stays, because appointments refer to the row, but is offered no longer.
    is_active       boolean NOT NULL DEFAULT true,
    PRIMARY KEY (tenant_id, practitioner_id)
);
SELECT frontdesk_protect('practitioners');

-- Local wall-clock times, because "nine to five" moves with daylight saving. Periods of one weekday never overlap.
CREATE TABLE working_hours (
    tenant_id       text NOT NULL,
    practitioner_id text NOT NULL,
    -- ISO 8601: 1 is Monday, 7 is Sunday.
    weekday         smallint NOT NULL CHECK (weekday BETWEEN 1 AND 7),
    opens           time NOT NULL,
    closes          time NOT NULL CHECK (closes > opens),
    PRIMARY KEY (tenant_id, practitioner_id, weekday, opens),
    FOREIGN KEY (tenant_id, practitioner_id) REFERENCES practitioners ON DELETE CASCADE
);
SELECT frontdesk_protect('working_hours');

CREATE TABLE services (
    tenant_id        text NOT NULL REFERENCES tenants ON DELETE CASCADE,
    service_code     text NOT NULL CHECK (service_code ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    name             text NOT NULL,
    duration_minutes integer NOT NULL CHECK (duration_minutes BETWEEN 5 AND 480),
    is_active        boolean NOT NULL DEFAULT true,
    PRIMARY KEY (tenant_id, service_code)
);
SELECT frontdesk_protect('services');

CREATE TABLE insurance_coverage (
    tenant_id      text NOT NULL REFERENCES tenants ON DELETE CASCADE,
    payer          text NOT NULL,
    plan           text NOT NULL,
    procedure_code text NOT NULL,
    covered        boolean NOT NULL,
    -- What the patient pays, in hundredths of the tenant's currency; NULL where the table does not say.
    copay_cents    integer CHECK (copay_cents >= 0),
    notes          text NOT NULL DEFAULT ''
);
-- Callers do not spell in capitals: look-ups fold case, and two rows may not differ by case alone.
CREATE UNIQUE INDEX insurance_coverage_key
    ON insurance_coverage (tenant_id, lower(payer), lower(plan), lower(procedure_code));
SELECT frontdesk_protect('insurance_coverage');

GRANT SELECT ON tenants, dialled_numbers, practitioners, working_hours, services, insurance_coverage TO frontdesk_app;

-- Which clinic is called? The one question that has to be asked before a tenant can be named. The function acts as
-- its owner, whom an extra policy lets read this one table across tenants; it answers with an id and nothing else.
CREATE POLICY owner_finds_tenant ON dialled_numbers FOR SELECT TO frontdesk_owner USING (true);

CREATE FUNCTION tenant_of_dialled_number(dialled text) RETURNS text
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public
AS
$find$
    SELECT tenant_id FROM public.dialled_numbers WHERE number = dialled
$find$;
REVOKE ALL ON FUNCTION tenant_of_dialled_number(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenant_of_dialled_number(text) TO frontdesk_app;

RESET ROLE;
