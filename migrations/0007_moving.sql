-- Moving an appointment: one row, one code, another time.
--
-- A move is an UPDATE of the appointment's own row, not a new row and a cancellation: whatever fails, the patient still has
-- the old time, and the exclusion constraints judge the new one exactly as they judge a booking. The row's own old time is
-- no obstacle to its new one, because a constraint compares a row with others only.

SET LOCAL ROLE frontdesk_owner;

GRANT UPDATE (practitioner_id, during) ON appointments TO frontdesk_app;

-- What was cancelled stays as it was: it is a fact about the past. A policy would not do here: it would hide the row from
-- SELECT … FOR UPDATE as well, and whoever cancels twice has to be told so.
CREATE FUNCTION cancelled_is_final() RETURNS trigger
    LANGUAGE plpgsql
AS
$final$
BEGIN
    RAISE EXCEPTION 'a cancelled appointment is final' USING ERRCODE = 'insufficient_privilege';
END
$final$;
REVOKE ALL ON FUNCTION cancelled_is_final() FROM PUBLIC;

CREATE TRIGGER appointments_cancelled_is_final BEFORE UPDATE ON appointments
    FOR EACH ROW WHEN (OLD.status = 'cancelled') EXECUTE FUNCTION cancelled_is_final();

-- Nothing about an appointment is told before two things match that its patient knows. Who guesses is counted in the audit
-- log, and after a few failures his call is told nothing any more; this index makes the counting cheap.
CREATE INDEX audit_events_failed_identifications ON audit_events (tenant_id, call_id) WHERE action = 'identification.failed';

RESET ROLE;
