-- Patients who register are told of, and patients may be written to by e-mail.
--
-- Both are words of closed lists; the lists grow, no row changes.

SET LOCAL ROLE frontdesk_owner;

ALTER TABLE outbox
    DROP CONSTRAINT outbox_event_check,
    DROP CONSTRAINT outbox_channel_check,
    ADD CONSTRAINT outbox_event_check CHECK (event IN
        ('appointment_booked', 'appointment_moved', 'appointment_cancelled', 'message_taken', 'patient_registered', 'call_ended')),
    ADD CONSTRAINT outbox_channel_check CHECK (channel IN
        ('sms', 'patient_email', 'email', 'webhook', 'google_calendar', 'google_sheets', 'csv'));

RESET ROLE;
