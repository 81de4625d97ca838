-- Recordings of calls lie sealed in files; what the database knows of them is in the audit log: what callers said to being recorded,
-- and which calls were erased, so that every machine can take away the files that it has of them.

SET LOCAL ROLE frontdesk_owner;

-- Few events are of these kinds, and a sweep asks for hundreds of calls at once.
CREATE INDEX audit_events_recordings ON audit_events (tenant_id, call_id)
    WHERE action IN ('call.erased', 'call.expired', 'recording.consented', 'recording.refused');

RESET ROLE;
