-- What has been sent is forgotten after a while; and the audit log's oldest years go when no clinic keeps anything that old.

SET LOCAL ROLE frontdesk_owner;

-- Days for which a notice that was sent is kept: long enough to answer "was I told?", no longer than that, since it says where somebody
-- can be reached. What was given up stays until somebody has looked at it, or the call's retention is over.
ALTER TABLE tenants ADD COLUMN notice_days integer NOT NULL DEFAULT 90 CHECK (notice_days BETWEEN 2 AND 36500);

-- A place of the chain whose hash is taken as it stands, since what it was computed from is gone: the last of those that were
-- retired, and the few later ones that were sealed out of order. Written by operators only, and for good.
CREATE TABLE audit_anchors (
    tenant_id  text NOT NULL REFERENCES tenants,
    sequence   bigint NOT NULL CHECK (sequence > 0),
    hash       bytea NOT NULL CHECK (octet_length(hash) = 32),
    retired_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, sequence)
);
SELECT frontdesk_protect('audit_anchors');
GRANT SELECT ON audit_anchors TO frontdesk_app;
CREATE TRIGGER audit_no_change BEFORE UPDATE OR DELETE ON audit_anchors
    FOR EACH ROW EXECUTE FUNCTION audit_is_append_only();
CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON audit_anchors
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();

-- A seal may go when an anchor stands at its place or after it, and not before; it is never changed.
CREATE FUNCTION audit_seal_is_anchored() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, public
AS
$anchored$
BEGIN
    IF NOT EXISTS (SELECT FROM public.audit_anchors a WHERE a.tenant_id = OLD.tenant_id AND a.sequence >= OLD.sequence) THEN
        RAISE EXCEPTION 'audit_seals is append-only' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN OLD;
END
$anchored$;
REVOKE ALL ON FUNCTION audit_seal_is_anchored() FROM PUBLIC;
DROP TRIGGER audit_no_change ON audit_seals;
CREATE TRIGGER audit_no_change BEFORE UPDATE ON audit_seals
    FOR EACH ROW EXECUTE FUNCTION audit_is_append_only();
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit_seals
    FOR EACH ROW EXECUTE FUNCTION audit_seal_is_anchored();

-- Retires the oldest partition of the log, if all of it is older than every clinic's retention; gives its name and how many events it
-- held, or nothing. Nothing goes that is not sealed yet, or that concerns what is on legal hold. For operators, who verify the chain
-- before: what is wrong in a partition that is gone will never be found.
CREATE FUNCTION frontdesk_retire_audit(OUT partition text, OUT events bigint)
    LANGUAGE plpgsql
    SET search_path = pg_catalog, public
AS
$retire$
DECLARE
    ends   timestamptz;
    tenant text;
    first  bigint;
    last   bigint;
    passed bigint;
    held   bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('frontdesk.audit.extend'));
    SELECT c.relname, substring(pg_get_expr(c.relpartbound, c.oid) FROM 'TO \(''([^'']+)''\)')::timestamptz
        INTO partition, ends
        FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'public.audit_events'::regclass AND pg_get_expr(c.relpartbound, c.oid) <> 'DEFAULT'
        ORDER BY 2 LIMIT 1;
    IF ends IS NULL OR ends > (SELECT now() - make_interval(years => max(retention_years)) FROM public.tenants) THEN
        partition := NULL;
        RETURN;
    END IF;
    events := 0;
    FOR tenant IN SELECT public.tenant_ids()
    LOOP
        PERFORM set_config('app.tenant_id', tenant, true);
        IF EXISTS (SELECT FROM public.audit_pending WHERE event_at < ends)
            OR EXISTS (SELECT FROM public.legal_holds h JOIN public.audit_events e
                           ON e.call_id = h.subject OR e.subject = h.subject
                               OR (h.kind = 'patient' AND e.call_id IN (SELECT public.calls_of_patient(h.subject::uuid)))
                       WHERE e.at < ends) THEN
            RAISE EXCEPTION 'partition % of the audit log is still needed: an event is not sealed, or on legal hold', partition
                USING ERRCODE = 'object_in_use';
        END IF;
        SELECT count(*) INTO held FROM public.audit_events WHERE at < ends;
        events := events + held;
        INSERT INTO public.audit_events (tenant_id, actor, action, subject) VALUES (tenant, 'operator', 'audit.retired', partition);
        SELECT min(sequence) FILTER (WHERE event_at >= ends), max(sequence) INTO first, last FROM public.audit_seals;
        CONTINUE WHEN last IS NULL;
        -- The last seal always stays: the next one is computed from it.
        passed := least(coalesce(first - 1, last), last - 1);
        -- Events that were committed late have later places than some that stay: each of these is an anchor of its own.
        INSERT INTO public.audit_anchors (tenant_id, sequence, hash)
            SELECT s.tenant_id, s.sequence, s.hash FROM public.audit_seals s
            WHERE s.sequence = passed OR (s.sequence > passed AND s.event_at < ends)
            ON CONFLICT DO NOTHING;
        DELETE FROM public.audit_seals WHERE sequence <= passed;
    END LOOP;
    EXECUTE format('DROP TABLE public.%I', partition);
END
$retire$;
REVOKE ALL ON FUNCTION frontdesk_retire_audit() FROM PUBLIC;

RESET ROLE;
