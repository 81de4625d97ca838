-- The audit log proves itself: partitions by time, who acted by name, and a chain of hashes that shows what was altered.
--
-- audit_events stays what it was for those who write it: one row in the transaction of the act. A sealer, at most a second
-- later, gives each committed row the next number of its tenant's chain and a hash over the row and the hash before it. The
-- writers do not wait for each other that way: a chain that they wrote themselves would put all of a clinic's calls in a queue.

SET LOCAL ROLE frontdesk_owner;

-- Row-level security binds the owner, too; it is lifted for the length of this transaction to see how far the log goes.
ALTER TABLE audit_events NO FORCE ROW LEVEL SECURITY;

DO $partition$
DECLARE
    last_id  bigint;
    boundary timestamptz;
BEGIN
    SELECT coalesce(max(event_id), 0), date_trunc('year', greatest(max(at), now()) AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' + interval '1 year'
        INTO last_id, boundary FROM audit_events;

    -- What there is becomes the first partition, unmoved.
    ALTER TABLE audit_events RENAME TO audit_events_first;
    -- The key of a partitioned table has to contain what it is partitioned by.
    ALTER TABLE audit_events_first DROP CONSTRAINT audit_events_pkey;
    ALTER INDEX audit_events_failed_identifications RENAME TO audit_events_first_failed_identifications;
    ALTER TABLE audit_events_first ALTER COLUMN event_id DROP IDENTITY;
    -- A partition gets the row trigger from the whole; of its own it keeps what forbids TRUNCATE.
    DROP TRIGGER audit_no_change ON audit_events_first;
    -- Who it was, by name: "cli:jane login:clinic_operator". NULL in rows from before this column.
    ALTER TABLE audit_events_first ADD COLUMN principal text CONSTRAINT audit_events_principal_check CHECK (length(principal) BETWEEN 1 AND 200);
    -- What for, where a person said so to see what is otherwise masked.
    ALTER TABLE audit_events_first ADD COLUMN purpose text CONSTRAINT audit_events_purpose_check CHECK (length(purpose) BETWEEN 1 AND 200);

    CREATE TABLE audit_events (
        tenant_id  text NOT NULL REFERENCES tenants,
        event_id   bigint GENERATED ALWAYS AS IDENTITY,
        at         timestamptz NOT NULL DEFAULT clock_timestamp(),
        call_id    text,
        actor      text NOT NULL,
        action     text NOT NULL,
        subject    text,
        -- For whom the connection says that it acts (SET app.principal), and the login, which the database itself has seen.
        principal  text DEFAULT left(coalesce(nullif(current_setting('app.principal', true), '') || ' ', '') || 'login:' || session_user, 200),
        purpose    text,
        PRIMARY KEY (tenant_id, event_id, at),
        CONSTRAINT audit_events_actor_check CHECK (actor IN ('agent', 'caller', 'operator', 'system')),
        CONSTRAINT audit_events_action_check CHECK (action ~ '^[a-z_]+(\.[a-z_]+)*$'),
        CONSTRAINT audit_events_subject_check CHECK (length(subject) <= 100),
        CONSTRAINT audit_events_principal_check CHECK (length(principal) BETWEEN 1 AND 200),
        CONSTRAINT audit_events_purpose_check CHECK (length(purpose) BETWEEN 1 AND 200)
    ) PARTITION BY RANGE (at);
    EXECUTE format('ALTER TABLE audit_events ATTACH PARTITION audit_events_first FOR VALUES FROM (MINVALUE) TO (%L)', boundary);
    PERFORM setval(pg_get_serial_sequence('audit_events', 'event_id'), last_id + 1, false);
END
$partition$;

ALTER TABLE audit_events_first FORCE ROW LEVEL SECURITY;
SELECT frontdesk_protect('audit_events');
GRANT SELECT, INSERT ON audit_events TO frontdesk_app;
REVOKE ALL ON audit_events_first FROM frontdesk_app;

CREATE INDEX audit_events_failed_identifications ON audit_events (tenant_id, call_id) WHERE action = 'identification.failed';
-- What was done about an object, for access requests and for finding the calls that an erasure concerns.
CREATE INDEX audit_events_subject ON audit_events (tenant_id, subject) WHERE subject IS NOT NULL;

CREATE OR REPLACE FUNCTION audit_is_append_only() RETURNS trigger
    LANGUAGE plpgsql
AS
$append$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END
$append$;

CREATE TRIGGER audit_no_change BEFORE UPDATE OR DELETE ON audit_events
    FOR EACH ROW EXECUTE FUNCTION audit_is_append_only();
CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON audit_events
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();

-- Makes the yearly partitions from the first free year up to five years ahead; called by every `frontdesk migrate`, since the
-- running program may not make tables. A partition is protected like the whole, for nobody shall see more by naming it.
CREATE FUNCTION frontdesk_extend_audit() RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, public
AS
$extend$
DECLARE
    year      integer;
    partition text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('frontdesk.audit.extend'));
    FOR year IN extract(year FROM now() AT TIME ZONE 'UTC')::integer .. extract(year FROM now() AT TIME ZONE 'UTC')::integer + 5
    LOOP
        partition := format('audit_events_%s', year);
        CONTINUE WHEN to_regclass('public.' || partition) IS NOT NULL;
        BEGIN
            EXECUTE format('CREATE TABLE public.%I PARTITION OF public.audit_events FOR VALUES FROM (%L) TO (%L)', partition,
                           format('%s-01-01 00:00:00+00', year), format('%s-01-01 00:00:00+00', year + 1));
        EXCEPTION
            -- The first partition covers that year.
            WHEN invalid_object_definition THEN CONTINUE;
        END;
        PERFORM public.frontdesk_protect(('public.' || partition)::regclass);
        EXECUTE format('CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON public.%I '
                       'FOR EACH STATEMENT EXECUTE FUNCTION public.audit_is_append_only()', partition);
    END LOOP;
END
$extend$;
REVOKE ALL ON FUNCTION frontdesk_extend_audit() FROM PUBLIC;
SELECT frontdesk_extend_audit();

-- Should nobody migrate for five years, the log goes on here; frontdesk_extend_audit then complains, and rows have to be moved.
CREATE TABLE audit_events_later PARTITION OF audit_events DEFAULT;
SELECT frontdesk_protect('audit_events_later');
CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON audit_events_later
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();

-- The chain. The hash is SHA-256 over the hash before it (32 zero bytes before the first) and the row in canonical JSON, its
-- number included; see crates/clinic/src/audit/chain.rs. Gapless by its primary key and the sealer, one a tenant at a time.
CREATE TABLE audit_seals (
    tenant_id text NOT NULL REFERENCES tenants,
    sequence  bigint NOT NULL CHECK (sequence > 0),
    event_id  bigint NOT NULL,
    event_at  timestamptz NOT NULL,
    hash      bytea NOT NULL CHECK (octet_length(hash) = 32),
    sealed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, sequence),
    CONSTRAINT audit_seals_once UNIQUE (tenant_id, event_id)
);
SELECT frontdesk_protect('audit_seals');
GRANT SELECT, INSERT ON audit_seals TO frontdesk_app;
CREATE TRIGGER audit_no_change BEFORE UPDATE OR DELETE ON audit_seals
    FOR EACH ROW EXECUTE FUNCTION audit_is_append_only();
CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON audit_seals
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();

-- What is committed and not sealed yet. Event ids do not follow the order of commits, so "greater than the last one sealed"
-- would skip rows; here a row appears exactly when its transaction commits. An event that is neither sealed nor here came
-- past the trigger, and the verifier says so.
CREATE TABLE audit_pending (
    tenant_id text NOT NULL REFERENCES tenants,
    event_id  bigint NOT NULL,
    event_at  timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, event_id)
);
SELECT frontdesk_protect('audit_pending');
GRANT SELECT, INSERT, DELETE ON audit_pending TO frontdesk_app;

CREATE FUNCTION audit_note_pending() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, public
AS
$pending$
BEGIN
    INSERT INTO public.audit_pending (tenant_id, event_id, event_at) VALUES (NEW.tenant_id, NEW.event_id, NEW.at);
    RETURN NULL;
END
$pending$;
REVOKE ALL ON FUNCTION audit_note_pending() FROM PUBLIC;
CREATE TRIGGER audit_pending_until_sealed AFTER INSERT ON audit_events
    FOR EACH ROW EXECUTE FUNCTION audit_note_pending();

-- The sealer has to know where there is work, and the commands which clinics there are: ids, nothing else, by functions that act
-- as their owner, whom extra policies let read across tenants.
CREATE POLICY owner_finds_work ON audit_pending FOR SELECT TO frontdesk_owner USING (true);
CREATE FUNCTION tenants_with_unsealed_events() RETURNS SETOF text
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public
AS
$work$
    SELECT DISTINCT tenant_id FROM public.audit_pending
$work$;
REVOKE ALL ON FUNCTION tenants_with_unsealed_events() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenants_with_unsealed_events() TO frontdesk_app;

CREATE POLICY owner_lists_tenants ON tenants FOR SELECT TO frontdesk_owner USING (true);
CREATE FUNCTION tenant_ids() RETURNS SETOF text
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public
AS
$ids$
    SELECT tenant_id FROM public.tenants ORDER BY tenant_id
$ids$;
REVOKE ALL ON FUNCTION tenant_ids() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenant_ids() TO frontdesk_app;

-- The log up to here has no seal yet: it is sealed like everything else, by the first sealer that runs.
ALTER TABLE audit_events_first NO FORCE ROW LEVEL SECURITY;
ALTER TABLE audit_pending NO FORCE ROW LEVEL SECURITY;
INSERT INTO audit_pending (tenant_id, event_id, event_at) SELECT tenant_id, event_id, at FROM audit_events_first;
ALTER TABLE audit_pending FORCE ROW LEVEL SECURITY;
ALTER TABLE audit_events_first FORCE ROW LEVEL SECURITY;

RESET ROLE;
