-- Roles, the extension that the booking constraints need, and the rule that keeps one clinic's rows from another's eyes.
--
-- Three kinds of database user are told apart:
--
--   frontdesk_owner  owns every table. Cannot log in. Migrations and the import of a clinic's configuration act as it.
--   frontdesk_app    what a running program acts as: it reads configuration, writes appointments and calls, and may do
--                    nothing else. It has no BYPASSRLS and owns nothing, so row-level security always applies to it.
--   logins           made by the operator, outside of migrations, because a password does not belong into them:
--                        CREATE ROLE clinic_worker LOGIN PASSWORD '…' IN ROLE frontdesk_app;
--                        CREATE ROLE clinic_migrator LOGIN PASSWORD '…' CREATEROLE;
--                    Every connection of the program says SET ROLE frontdesk_app, so a superuser's URL (the demo, the
--                    tests) and a proper login end up with the same small rights.
--
-- Roles belong to the whole cluster, not to one database, while migrations are locked per database. Two databases that
-- are migrated at the same moment therefore race for CREATE ROLE, and the loser sees either duplicate_object or, if
-- both looked before either wrote, unique_violation on the catalogue's index. Both mean "it is there": go on.
-- The advisory lock only spares migrations of one and the same database the detour (advisory locks are per database).

SELECT pg_advisory_xact_lock(hashtext('frontdesk.roles'));

DO $roles$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY ['frontdesk_owner', 'frontdesk_app']
    LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS', wanted);
            EXCEPTION
                WHEN duplicate_object OR unique_violation THEN NULL;
            END;
        END IF;
    END LOOP;

    -- Somebody else may have made the role before us, with more rights than it may have.
    IF EXISTS (SELECT FROM pg_roles WHERE rolname IN ('frontdesk_owner', 'frontdesk_app') AND (rolsuper OR rolbypassrls)) THEN
        RAISE EXCEPTION 'role frontdesk_owner or frontdesk_app is superuser or has BYPASSRLS: row-level security would not hold'
            USING HINT = 'ALTER ROLE frontdesk_owner NOSUPERUSER NOBYPASSRLS; ALTER ROLE frontdesk_app NOSUPERUSER NOBYPASSRLS;';
    END IF;

    -- A migrating login that is no superuser must be able to become the owner. From Postgres 16 on, whoever creates a role
    -- may administer it but not become it, so there mere membership is not enough.
    IF NOT pg_has_role(current_user, 'frontdesk_owner',
                       CASE WHEN current_setting('server_version_num')::integer >= 160000 THEN 'SET' ELSE 'MEMBER' END) THEN
        EXECUTE format('GRANT frontdesk_owner TO %I', current_user);
    END IF;
END
$roles$;

-- btree_gist lets one GiST index hold a text column beside a time range, which the exclusion constraints on
-- appointments need ("the same practitioner AND overlapping times"). It is a trusted extension: the database's owner
-- may create it, a superuser is not needed.
CREATE EXTENSION IF NOT EXISTS btree_gist;

GRANT USAGE, CREATE ON SCHEMA public TO frontdesk_owner;
GRANT USAGE ON SCHEMA public TO frontdesk_app;

SET LOCAL ROLE frontdesk_owner;

-- Row-level security, the same for every table: a row is visible and writable only within the tenant that the
-- transaction has named with SET LOCAL app.tenant_id. Nothing named, nothing seen: current_setting(…, true) is then
-- NULL (or '', after an earlier transaction of the session had set it), and no tenant is called so.
-- FORCE makes it hold for the owner of the table as well; only superusers and BYPASSRLS stand outside.
CREATE FUNCTION frontdesk_protect(target regclass) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, public
AS
$protect$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', target);
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', target);
    EXECUTE format(
        'CREATE POLICY tenant_isolation ON %s '
        'USING (tenant_id = current_setting(''app.tenant_id'', true)) '
        'WITH CHECK (tenant_id = current_setting(''app.tenant_id'', true))',
        target);
END
$protect$;
REVOKE ALL ON FUNCTION frontdesk_protect(regclass) FROM PUBLIC;

RESET ROLE;
