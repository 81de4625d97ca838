-- What calls leave behind: the state of a conversation under way, its record, messages and intents.

SET LOCAL ROLE frontdesk_owner;

-- A conversation as it was when it last committed a turn, for whoever has to take the call over. The sealed document
-- carries the version of its format; revision counts the writes. The epoch is that of the call's lease: who takes a
-- call over will write under a higher one, and its former holder no longer at all.
CREATE TABLE call_states (
    tenant_id    text NOT NULL REFERENCES tenants,
    call_id      text NOT NULL,
    epoch        bigint NOT NULL DEFAULT 0 CHECK (epoch >= 0),
    revision     bigint NOT NULL CHECK (revision > 0),
    state_sealed bytea NOT NULL,
    updated_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, call_id)
);
SELECT frontdesk_protect('call_states');
GRANT SELECT, INSERT, UPDATE, DELETE ON call_states TO frontdesk_app;

-- The end-of-call record, exactly one a call and never altered. The document (transcript, tool calls, fields) is
-- sealed; what lies open is what lists and retention need, and says nothing about a person.
CREATE TABLE call_records (
    tenant_id      text NOT NULL REFERENCES tenants,
    call_id        text NOT NULL,
    schema_version integer NOT NULL CHECK (schema_version > 0),
    outcome        text NOT NULL,
    started_at     timestamptz NOT NULL,
    ended_at       timestamptz NOT NULL CHECK (ended_at >= started_at),
    record_sealed  bytea NOT NULL,
    PRIMARY KEY (tenant_id, call_id)
);
SELECT frontdesk_protect('call_records');
GRANT SELECT, INSERT ON call_records TO frontdesk_app;

-- A message that a caller left for the clinic. record_key makes a repeated write harmless.
CREATE TABLE messages (
    tenant_id   text NOT NULL REFERENCES tenants,
    call_id     text NOT NULL,
    record_key  text NOT NULL,
    message_id  uuid NOT NULL,
    body_sealed bytea NOT NULL,
    is_urgent   boolean NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, call_id, record_key),
    UNIQUE (tenant_id, message_id)
);
SELECT frontdesk_protect('messages');
GRANT SELECT, INSERT ON messages TO frontdesk_app;

-- What a caller wanted, from a closed list, for the clinic's figures; in the order in which it was noted.
CREATE TABLE intents (
    tenant_id  text NOT NULL REFERENCES tenants,
    call_id    text NOT NULL,
    record_key text NOT NULL,
    intent     text NOT NULL
        CHECK (intent IN ('book', 'move', 'cancel', 'question', 'insurance', 'message', 'emergency', 'other')),
    noted_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, call_id, record_key)
);
SELECT frontdesk_protect('intents');
GRANT SELECT, INSERT ON intents TO frontdesk_app;

RESET ROLE;
