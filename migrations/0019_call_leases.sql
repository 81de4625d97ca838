-- A call outlives its worker: who has a call, and until when.

SET LOCAL ROLE frontdesk_owner;

-- One row per call. Its holder renews it every second, with all others of the same process in one statement; when it has
-- expired, somebody else may take the call, under a higher epoch. Every write of a call looks whether its epoch still
-- stands (FOR SHARE, as the last thing before COMMIT), so whoever was only stalled finds out and writes nothing more.
--
-- All times are by this database's clock: the workers' clocks need not agree.
CREATE TABLE call_leases (
    tenant_id   text NOT NULL REFERENCES tenants,
    call_id     text NOT NULL,
    epoch       bigint NOT NULL CHECK (epoch > 0),
    -- One process; a new one has a new name. NULL: taken from its holder, and the next has not come yet.
    worker      text CHECK (length(worker) BETWEEN 1 AND 200),
    expires_at  timestamptz NOT NULL,
    -- The LiveKit project, as a digest of its key's name, and the server's id of the room. The room's own name is not kept:
    -- LiveKit's SIP service writes the caller's number into it.
    project     text NOT NULL CHECK (length(project) <= 64),
    room_sid    text NOT NULL CHECK (length(room_sid) <= 100),
    -- The holder in the room, to be removed by whoever takes the call.
    participant text NOT NULL CHECK (length(participant) <= 200),
    -- Who sees to it that another agent comes: our bridge, which is in the room, or `frontdesk rescue`.
    watched_by  text NOT NULL CHECK (watched_by IN ('bridge', 'rescue')),
    began_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- Since when nobody has it, and how often an agent was sent for since.
    orphaned_at timestamptz,
    attempts    integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    -- The call is over.
    released_at timestamptz,
    PRIMARY KEY (tenant_id, call_id),
    CONSTRAINT call_leases_orphan CHECK (orphaned_at IS NULL OR worker IS NULL),
    CONSTRAINT call_leases_over CHECK (released_at IS NULL OR worker IS NULL)
) WITH (fillfactor = 50); -- Renewed every second: room for the new version beside the old one.
SELECT frontdesk_protect('call_leases');

-- Calls under way; neither column changes with a renewal, which therefore touches no index.
CREATE INDEX call_leases_open ON call_leases (project) WHERE released_at IS NULL;

GRANT SELECT, INSERT ON call_leases TO frontdesk_app;
GRANT UPDATE (epoch, worker, expires_at, project, room_sid, participant, watched_by, began_at, orphaned_at, attempts, released_at)
    ON call_leases TO frontdesk_app;

-- An epoch that came back would let a worker write that was given up long ago.
CREATE FUNCTION epochs_only_rise() RETURNS trigger
    LANGUAGE plpgsql
AS
$rise$
BEGIN
    RAISE EXCEPTION 'the epoch of a lease only rises' USING ERRCODE = 'check_violation', CONSTRAINT = 'call_leases_epoch_rises';
END
$rise$;
REVOKE ALL ON FUNCTION epochs_only_rise() FROM PUBLIC;
CREATE TRIGGER call_leases_epoch_rises BEFORE UPDATE ON call_leases
    FOR EACH ROW WHEN (NEW.epoch < OLD.epoch) EXECUTE FUNCTION epochs_only_rise();

-- A process holds calls of many clinics and renews them all in one statement; who looks for calls without a worker cannot
-- name a clinic either. Both go through functions of the owner that tell ids and times and nothing else.
CREATE POLICY owner_keeps_leases ON call_leases TO frontdesk_owner USING (true) WITH CHECK (true);

-- Renews the leases of a process, and tells which of the calls it named it still has. A row that is locked at this moment (a
-- commit of the call, for a few milliseconds) is not waited for: it is still held, and renewed the next time.
CREATE FUNCTION renew_call_leases(of_worker text, tenants text[], calls text[], lasting interval)
    RETURNS TABLE (tenant_id text, call_id text, epoch bigint)
    LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog, public
AS
$renew$
    WITH named AS (
        SELECT l.tenant_id, l.call_id FROM unnest(tenants, calls) AS n (tenant_id, call_id)
        JOIN public.call_leases l USING (tenant_id, call_id)
        WHERE l.worker = of_worker AND l.released_at IS NULL
        FOR NO KEY UPDATE OF l SKIP LOCKED
    ), renewed AS (
        UPDATE public.call_leases l SET expires_at = clock_timestamp() + lasting FROM named n
        WHERE (l.tenant_id, l.call_id) = (n.tenant_id, n.call_id)
    )
    SELECT l.tenant_id, l.call_id, l.epoch FROM unnest(tenants, calls) AS n (tenant_id, call_id)
    JOIN public.call_leases l USING (tenant_id, call_id)
    WHERE l.worker = of_worker AND l.released_at IS NULL
$renew$;
REVOKE ALL ON FUNCTION renew_call_leases(text, text[], text[], interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION renew_call_leases(text, text[], text[], interval) TO frontdesk_app;

-- Takes calls whose lease has expired from their holders, at most so many. Those behind our bridge are left to it for
-- `bridge_patience`: it is in the room and sends for another agent by itself. A call that is taken is safe from others who look
-- for `pause`; if no agent has claimed it by then, it is found again, with one more attempt counted.
CREATE FUNCTION take_over_call_leases(of_project text, pause interval, bridge_patience interval, at_most integer)
    RETURNS TABLE (tenant_id text, call_id text, epoch bigint, room_sid text, participant text, watched_by text, attempts integer,
                   orphaned_for interval, began_at timestamptz)
    LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog, public
AS
$take$
    -- Calls that are long over: nobody can come back to them.
    DELETE FROM public.call_leases WHERE released_at < clock_timestamp() - interval '1 day';
    WITH expired AS (
        SELECT l.tenant_id, l.call_id FROM public.call_leases l
        WHERE l.project = of_project AND l.released_at IS NULL
          AND l.expires_at < clock_timestamp() - CASE WHEN l.watched_by = 'bridge' AND l.attempts = 0 THEN bridge_patience ELSE interval '0' END
        ORDER BY l.expires_at LIMIT at_most
        FOR NO KEY UPDATE SKIP LOCKED
    )
    UPDATE public.call_leases l
    SET epoch = l.epoch + 1, worker = NULL, expires_at = clock_timestamp() + pause, attempts = l.attempts + 1,
        orphaned_at = coalesce(l.orphaned_at, l.expires_at)
    FROM expired e WHERE (l.tenant_id, l.call_id) = (e.tenant_id, e.call_id)
    RETURNING l.tenant_id, l.call_id, l.epoch, l.room_sid, l.participant, l.watched_by, l.attempts,
              clock_timestamp() - l.orphaned_at, l.began_at
$take$;
REVOKE ALL ON FUNCTION take_over_call_leases(text, interval, interval, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION take_over_call_leases(text, interval, interval, integer) TO frontdesk_app;

RESET ROLE;
