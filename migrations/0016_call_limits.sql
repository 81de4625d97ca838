-- How many calls a clinic takes at once and a minute, over all workers.
--
-- Both are counted in the transaction that admits a call, under a lock of the clinic's: two workers cannot both take the last place.

SET LOCAL ROLE frontdesk_owner;

-- The calls under way. A worker renews what it has; the place of one that died falls free when its time is up, by the database's clock.
CREATE TABLE live_calls (
    tenant_id   text NOT NULL REFERENCES tenants,
    call_id     text NOT NULL,
    admitted_at timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, call_id)
);
SELECT frontdesk_protect('live_calls');
GRANT SELECT, INSERT, DELETE ON live_calls TO frontdesk_app;
GRANT UPDATE (expires_at) ON live_calls TO frontdesk_app;

-- The calls that began in a minute. Only the current one counts; those before are deleted as the next call comes.
CREATE TABLE call_starts (
    tenant_id text NOT NULL REFERENCES tenants,
    minute    timestamptz NOT NULL CHECK (minute = date_trunc('minute', minute)),
    calls     integer NOT NULL CHECK (calls > 0),
    PRIMARY KEY (tenant_id, minute)
);
SELECT frontdesk_protect('call_starts');
GRANT SELECT, INSERT, DELETE ON call_starts TO frontdesk_app;
GRANT UPDATE (calls) ON call_starts TO frontdesk_app;

RESET ROLE;
