-- A key for every patient and every call, so that destroying the key erases what it sealed, wherever copies of the row are.
--
-- What concerns a patient is sealed with the patient's key, what a call left (record, messages, state, results of tools) with
-- the call's. Those keys lie here, each wrapped under a master key that the database never sees. Another master key means
-- wrapping these rows anew, not the data: `frontdesk keys rotate`. What an earlier release sealed directly under a master key
-- stays as it is and stays readable as long as that version is configured: `frontdesk keys status` counts it.

SET LOCAL ROLE frontdesk_owner;

CREATE TABLE subject_keys (
    tenant_id      text NOT NULL REFERENCES tenants,
    -- Stands in the header of what it sealed.
    key_id         uuid NOT NULL,
    kind           text NOT NULL CHECK (kind IN ('patient', 'call')),
    -- The patient's id, or the call's.
    subject        text NOT NULL,
    -- Under which version of the master key it is wrapped, by AES-256-GCM: nonce (12 bytes), key (32), tag (16).
    master_version integer NOT NULL CHECK (master_version BETWEEN 1 AND 65535),
    wrapped        bytea NOT NULL CHECK (octet_length(wrapped) = 60),
    created_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, key_id),
    -- Two transactions that need the first key of a subject get the same one.
    CONSTRAINT subject_keys_one UNIQUE (tenant_id, kind, subject)
);
CREATE INDEX subject_keys_by_version ON subject_keys (tenant_id, master_version);
SELECT frontdesk_protect('subject_keys');
-- Destroying and re-wrapping keys is for operators, who act as the owner: a worker that was broken into can do neither.
GRANT SELECT, INSERT ON subject_keys TO frontdesk_app;

-- How many stored values are sealed directly under which version of the master key, over all columns named …_sealed. The header
-- of a sealed value: format (1 byte), version (2), id of the subject's key (16, all zero for none).
CREATE FUNCTION values_under_masters() RETURNS TABLE (master_version integer, value_count bigint)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, public
AS
$values$
DECLARE
    sealed record;
    counts text := '';
BEGIN
    FOR sealed IN
        SELECT c.relname, a.attname
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
          AND a.attname LIKE '%\_sealed' AND a.atttypid = 'bytea'::regtype AND NOT a.attisdropped
    LOOP
        counts := counts || CASE counts WHEN '' THEN '' ELSE ' UNION ALL ' END ||
            format('SELECT get_byte(%1$I, 1) * 256 + get_byte(%1$I, 2) AS v FROM public.%2$I '
                   'WHERE octet_length(%1$I) >= 19 AND substring(%1$I FROM 4 FOR 16) = decode(repeat(''00'', 16), ''hex'')',
                   sealed.attname, sealed.relname);
    END LOOP;
    RETURN QUERY EXECUTE 'SELECT v, count(*) FROM (' || counts || ') AS s GROUP BY v ORDER BY v';
END
$values$;
REVOKE ALL ON FUNCTION values_under_masters() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION values_under_masters() TO frontdesk_app;

RESET ROLE;
