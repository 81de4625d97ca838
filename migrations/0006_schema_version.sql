-- Lets the running program read which migrations were applied, so that it can say "run frontdesk migrate" instead of failing
-- on the first call that needs a newer table. The migrator keeps that list in _sqlx_migrations, which it makes before the
-- first migration and which belongs to the migrating login; where these files are applied by hand there is none.

DO $grant$
BEGIN
    IF to_regclass('public._sqlx_migrations') IS NOT NULL THEN
        GRANT SELECT ON public._sqlx_migrations TO frontdesk_app;
    END IF;
END
$grant$;
