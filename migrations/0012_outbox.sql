-- What leaves the program: notices to patients and to the clinic's other systems, written with the act that they tell of.
--
-- A notice that were sent beside the transaction could tell of something that never happened, or never be sent of something
-- that did. So the act's transaction writes a row here, one a channel, and a dispatcher sends it afterwards, again and again until
-- the receiver has taken it. Twice is possible (a process may end between sending and noting it), which is why every attempt
-- carries the row's own id as its key and every channel knows how to make a repetition harmless.

SET LOCAL ROLE frontdesk_owner;

-- How often an appointment was changed: SEQUENCE of its calendar entry, and part of what tells one notice about it from another.
ALTER TABLE appointments ADD COLUMN revision integer NOT NULL DEFAULT 0 CHECK (revision >= 0);
GRANT UPDATE (revision) ON appointments TO frontdesk_app;

CREATE TABLE outbox (
    tenant_id       text NOT NULL REFERENCES tenants,
    -- Given to every receiver as the key of all attempts.
    notice_id       uuid NOT NULL,
    -- Notices about one thing leave in this order. Whoever changes an appointment has its row locked, so that for one appointment
    -- it is the order of the changes.
    position        bigint GENERATED ALWAYS AS IDENTITY,
    event           text NOT NULL CHECK (event IN
        ('appointment_booked', 'appointment_moved', 'appointment_cancelled', 'message_taken', 'call_ended')),
    channel         text NOT NULL CHECK (channel IN ('sms', 'email', 'webhook', 'google_calendar', 'google_sheets', 'csv')),
    -- The pseudonymous id of what it is about.
    subject         text NOT NULL CHECK (length(subject) BETWEEN 1 AND 100),
    call_id         text NOT NULL,
    -- Thing, revision, event and channel: the same act never makes two notices on one channel.
    dedupe_key      text NOT NULL CHECK (length(dedupe_key) BETWEEN 1 AND 250),
    -- What is told, and to whom; no more than the clinic lets the channel carry.
    payload_sealed  bytea NOT NULL,
    -- pending: to be sent when its time has come; sending: somebody has a lease on it; sent: the receiver has taken it; delivered,
    -- failed: a receipt, or the receiver at once, said so; dead: given up, until somebody asks for another try.
    status          text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'sending', 'sent', 'delivered', 'failed', 'dead')),
    -- All attempts so far, never set back: from the second on, an earlier one may have arrived unnoticed.
    attempts        integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    -- Of those, since somebody last asked for another try.
    tries           integer NOT NULL DEFAULT 0 CHECK (tries BETWEEN 0 AND attempts),
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    lease_token     uuid,
    lease_until     timestamptz,
    -- Words of a closed list and numbers; the pattern keeps out what a receiver says in its own words, which may quote the notice.
    last_error      text CHECK (last_error ~ '^[a-z0-9_]+(\.[a-z0-9_]+)*$' AND length(last_error) <= 60),
    provider_id     text CHECK (length(provider_id) BETWEEN 1 AND 200),
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, notice_id),
    CONSTRAINT outbox_once UNIQUE (tenant_id, dedupe_key),
    CONSTRAINT outbox_lease CHECK ((status = 'sending') = (lease_token IS NOT NULL) AND (lease_token IS NULL) = (lease_until IS NULL))
);
SELECT frontdesk_protect('outbox');

-- The dispatcher looks for what is due; few rows are ever open at once.
CREATE INDEX outbox_open ON outbox (tenant_id, next_attempt_at) WHERE status IN ('pending', 'sending');
CREATE INDEX outbox_open_subjects ON outbox (tenant_id, channel, subject, position) WHERE status IN ('pending', 'sending');
-- What became of the confirmations of an appointment, for whoever asks to have it sent again.
CREATE INDEX outbox_subjects ON outbox (tenant_id, subject, position);

GRANT SELECT, INSERT ON outbox TO frontdesk_app;
GRANT UPDATE (status, attempts, tries, next_attempt_at, lease_token, lease_until, last_error, provider_id, updated_at)
    ON outbox TO frontdesk_app;

-- Which clinics have something to send? Like the question whose number was dialled, it has to be asked before a tenant can be
-- named; the answer is a list of ids and nothing else.
CREATE POLICY owner_finds_due ON outbox FOR SELECT TO frontdesk_owner USING (true);
CREATE FUNCTION tenants_with_due_notices() RETURNS SETOF text
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public
AS
$due$
    SELECT DISTINCT tenant_id FROM public.outbox
    WHERE (status = 'pending' AND next_attempt_at <= now()) OR (status = 'sending' AND lease_until <= now())
$due$;
REVOKE ALL ON FUNCTION tenants_with_due_notices() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenants_with_due_notices() TO frontdesk_app;

-- What has arrived is not unsaid.
CREATE FUNCTION delivered_is_final() RETURNS trigger
    LANGUAGE plpgsql
AS
$final$
BEGIN
    RAISE EXCEPTION 'a delivered notice is final' USING ERRCODE = 'insufficient_privilege';
END
$final$;
REVOKE ALL ON FUNCTION delivered_is_final() FROM PUBLIC;
CREATE TRIGGER outbox_delivered_is_final BEFORE UPDATE ON outbox
    FOR EACH ROW WHEN (OLD.status = 'delivered') EXECUTE FUNCTION delivered_is_final();

RESET ROLE;
