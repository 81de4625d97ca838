-- Effects that happen at most once, and the log that says who did what.

SET LOCAL ROLE frontdesk_owner;

-- One row per confirmation that was acted upon, written in the transaction of its effect and before it. The primary
-- key is the idempotency key: a second attempt waits for the first one's transaction, then finds the row and its
-- result. arguments_hmac tells a repeated request from another request under the same key. What was refused (a slot
-- that somebody else took) is kept as well: the caller has been told, so the answer must not change any more.
CREATE TABLE tool_commits (
    tenant_id       text NOT NULL REFERENCES tenants,
    call_id         text NOT NULL,
    confirmation_id text NOT NULL,
    tool            text NOT NULL,
    arguments_hmac  bytea NOT NULL CHECK (octet_length(arguments_hmac) = 32),
    -- pending is never seen from outside: it lives as long as its transaction.
    outcome         text NOT NULL DEFAULT 'pending' CHECK (outcome IN ('pending', 'done', 'refused')),
    result_sealed   bytea,
    created_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, call_id, confirmation_id),
    CONSTRAINT tool_commits_result CHECK ((outcome = 'pending') = (result_sealed IS NULL))
);
SELECT frontdesk_protect('tool_commits');
GRANT SELECT, INSERT ON tool_commits TO frontdesk_app;
GRANT UPDATE (outcome, result_sealed) ON tool_commits TO frontdesk_app;

-- A result, once there, is final.
CREATE POLICY only_pending_is_settled ON tool_commits AS RESTRICTIVE FOR UPDATE TO frontdesk_app
    USING (outcome = 'pending') WITH CHECK (true);

-- Who did what to which object, when. Ids only, no personal data; written in the transaction of the act it tells of.
CREATE TABLE audit_events (
    tenant_id  text NOT NULL REFERENCES tenants,
    -- Identity values may have gaps and need not follow the order of commits; within one transaction they do.
    event_id   bigint GENERATED ALWAYS AS IDENTITY,
    -- The clock at the act, not at the beginning of its transaction.
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    call_id    text,
    actor      text NOT NULL CHECK (actor IN ('agent', 'caller', 'operator', 'system')),
    action     text NOT NULL CHECK (action ~ '^[a-z_]+(\.[a-z_]+)*$'),
    -- A pseudonymous id, such as an appointment's.
    subject    text CHECK (length(subject) <= 100),
    PRIMARY KEY (tenant_id, event_id)
);
SELECT frontdesk_protect('audit_events');
-- Reads and appends. UPDATE, DELETE and TRUNCATE were never granted, and the triggers stop even the owner.
GRANT SELECT, INSERT ON audit_events TO frontdesk_app;

CREATE FUNCTION audit_is_append_only() RETURNS trigger
    LANGUAGE plpgsql
AS
$append$
BEGIN
    RAISE EXCEPTION 'audit_events is append-only' USING ERRCODE = 'insufficient_privilege';
END
$append$;
REVOKE ALL ON FUNCTION audit_is_append_only() FROM PUBLIC;

CREATE TRIGGER audit_no_change BEFORE UPDATE OR DELETE ON audit_events
    FOR EACH ROW EXECUTE FUNCTION audit_is_append_only();
CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON audit_events
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();

RESET ROLE;
