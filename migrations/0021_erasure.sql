-- What erasing a patient left behind until now: digests of what he said, messages about him that another's call had made, and
-- notices still to be sent.

SET LOCAL ROLE frontdesk_owner;

-- When a time becomes free, the clinic's staff is told whom on the waiting list to call. Whoever gave the time up has nothing to do
-- with that patient: the message is sealed with the patient's key, and goes with him. Not named patient_id, because the call is not
-- one that concerns the patient.
ALTER TABLE messages
    ADD COLUMN about_patient uuid,
    ADD CONSTRAINT messages_about FOREIGN KEY (tenant_id, about_patient) REFERENCES patients;
CREATE INDEX messages_about_patient ON messages (tenant_id, about_patient) WHERE about_patient IS NOT NULL;

-- As before, and what is named ..._hmac as well: a digest of a name and a number confirms a guess to whoever has the key.
CREATE OR REPLACE FUNCTION frontdesk_blank(key_column text, key text) RETURNS bigint
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
          AND a.atttypid = 'bytea'::regtype AND NOT a.attisdropped AND (a.attname LIKE '%\_sealed' OR a.attname LIKE '%\_index' OR a.attname LIKE '%\_hmac')
          AND EXISTS (SELECT FROM pg_attribute k WHERE k.attrelid = c.oid AND k.attname = key_column AND NOT k.attisdropped)
        ORDER BY 1, 2
    LOOP
        filled := CASE WHEN found.attname LIKE '%\_sealed' THEN '''''::bytea' ELSE 'sha256(gen_random_uuid()::text::bytea)' END;
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
                               found.relname, found.attname, key_column, found.attname NOT LIKE '%\_sealed') INTO kept USING key;
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

-- What has arrived is not unsaid, but it may be forgotten.
DROP TRIGGER outbox_delivered_is_final ON outbox;
CREATE TRIGGER outbox_delivered_is_final BEFORE UPDATE ON outbox
    FOR EACH ROW WHEN (OLD.status = 'delivered' AND NOT (
        octet_length(NEW.payload_sealed) = 0 AND to_jsonb(NEW) - 'payload_sealed' = to_jsonb(OLD) - 'payload_sealed'))
    EXECUTE FUNCTION delivered_is_final();

RESET ROLE;
