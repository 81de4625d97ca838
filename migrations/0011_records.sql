-- How long data is kept, what must not be erased, and erasing.
--
-- To erase is to destroy the key (subject_keys) and to blank what it sealed. What remains is pseudonymous: that a call was
-- answered, that a time was taken. The audit log remains as it is: it holds ids, and its chain must verify afterwards.

SET LOCAL ROLE frontdesk_owner;

-- HIPAA wants six years (45 CFR 164.316(b)(2)); what a state's law wants for medical records may be more.
ALTER TABLE tenants ADD COLUMN retention_years integer NOT NULL DEFAULT 6 CHECK (retention_years BETWEEN 1 AND 100);

ALTER TABLE patients ADD COLUMN erased_at timestamptz;

-- A court, or a complaint under way, forbids erasing. For operators alone, who act as the owner; the application only sees it.
CREATE TABLE legal_holds (
    tenant_id text NOT NULL REFERENCES tenants,
    kind      text NOT NULL CHECK (kind IN ('patient', 'call')),
    -- The patient's id, or the call's.
    subject   text NOT NULL CHECK (length(subject) BETWEEN 1 AND 100),
    set_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, kind, subject)
);
SELECT frontdesk_protect('legal_holds');
GRANT SELECT ON legal_holds TO frontdesk_app;

-- The calls that concern a patient: those that tables tie to him, and those that did something to him or his appointments.
-- Whatever table later has both columns is found by itself.
CREATE FUNCTION calls_of_patient(patient uuid) RETURNS SETOF text
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, public
AS
$calls$
DECLARE
    tying   name;
    sources text := 'SELECT e.call_id FROM public.audit_events e WHERE e.call_id IS NOT NULL AND (e.subject = $1::text OR e.subject IN '
                    '(SELECT a.appointment_id::text FROM public.appointments a WHERE a.patient_id = $1 AND a.status <> ''held''))';
BEGIN
    FOR tying IN
        SELECT c.relname FROM pg_class c
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
          AND EXISTS (SELECT FROM pg_attribute WHERE attrelid = c.oid AND attname = 'patient_id' AND NOT attisdropped)
          AND EXISTS (SELECT FROM pg_attribute WHERE attrelid = c.oid AND attname = 'call_id' AND NOT attisdropped)
    LOOP
        sources := sources || format(' UNION SELECT call_id FROM public.%I WHERE patient_id = $1 AND call_id IS NOT NULL', tying);
    END LOOP;
    RETURN QUERY EXECUTE sources USING patient;
END
$calls$;
REVOKE ALL ON FUNCTION calls_of_patient(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION calls_of_patient(uuid) TO frontdesk_app;

-- Blanks all that is sealed or indexed (…_sealed, …_index) in the rows of a patient or a call, in whatever table has such columns,
-- and tells how many values. NULL where that is allowed; else the empty value, or for an index a random one, which nothing finds.
CREATE FUNCTION frontdesk_blank(key_column text, key text) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path = pg_catalog, public
AS
$blank$
DECLARE
    found   record;
    filled  text;
    changed bigint;
    total   bigint := 0;
    kept    bigint;
BEGIN
    IF key_column NOT IN ('patient_id', 'call_id') THEN
        RAISE EXCEPTION 'rows are blanked by patient_id or call_id, not by %', key_column;
    END IF;
    FOR found IN
        SELECT c.relname, a.attname, a.attnotnull
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
          AND a.atttypid = 'bytea'::regtype AND NOT a.attisdropped AND (a.attname LIKE '%\_sealed' OR a.attname LIKE '%\_index')
          AND EXISTS (SELECT FROM pg_attribute k WHERE k.attrelid = c.oid AND k.attname = key_column AND NOT k.attisdropped)
        ORDER BY 1, 2
    LOOP
        filled := CASE WHEN found.attname LIKE '%\_index' THEN 'sha256(gen_random_uuid()::text::bytea)' ELSE '''''::bytea' END;
        BEGIN
            EXECUTE format('UPDATE public.%1$I SET %2$I = %3$s WHERE %4$I::text = $1 AND %2$I IS NOT NULL', found.relname, found.attname,
                           CASE WHEN found.attnotnull THEN filled ELSE 'NULL' END, key_column) USING key;
            GET DIAGNOSTICS changed = ROW_COUNT;
        EXCEPTION
            WHEN check_violation THEN
                -- Another column's being there depends on this one's.
                EXECUTE format('UPDATE public.%1$I SET %2$I = %3$s WHERE %4$I::text = $1 AND %2$I IS NOT NULL', found.relname,
                               found.attname, filled, key_column) USING key;
                GET DIAGNOSTICS changed = ROW_COUNT;
            WHEN insufficient_privilege THEN
                -- A final row. Its value dies with the key, unless no subject's key sealed it: then it must not pass for erased.
                EXECUTE format('SELECT count(*) FROM public.%1$I WHERE %3$I::text = $1 AND (%4$L OR octet_length(%2$I) >= 19 '
                               'AND substring(%2$I FROM 4 FOR 16) = decode(repeat(''00'', 16), ''hex''))',
                               found.relname, found.attname, key_column, found.attname LIKE '%\_index') INTO kept USING key;
                IF kept > 0 THEN
                    RAISE EXCEPTION '%.% cannot be blanked', found.relname, found.attname USING ERRCODE = 'insufficient_privilege';
                END IF;
                changed := 0;
        END;
        total := total + changed;
    END LOOP;
    RETURN total;
END
$blank$;
REVOKE ALL ON FUNCTION frontdesk_blank(text, text) FROM PUBLIC;

RESET ROLE;
