//! What Belay makes in a target in which tables are armed.

use crate::capture::pins::of_function;
use aws_lc_rs::digest;
use std::fmt::Write as _;

/// The schema of all of it.
pub(crate) const SCHEMA: &str = "belay_armed";
/// The table that images are written to.
pub(super) const IMAGES: &str = "images";
/// The trigger of an armed table.
pub(crate) const TRIGGER: &str = "belay_armed";
/// A setting of the sessions whose changes are written down. Who takes it away leaves counts that do not agree.
pub(crate) const SETTING: (&str, &str) = ("belay.armed", "on");
/// When the trigger acts. Everybody else's rows cost one comparison.
pub(crate) const WHEN: &str =
    "pg_catalog.starts_with(session_user::text, 'belay_') AND pg_catalog.current_setting('belay.armed', true) = 'on'";

/// The functions, for being compared: with their owner and with who may execute them.
pub(crate) const FUNCTIONS: &str = "SELECT pg_catalog.md5(string_agg(concat_ws(' ', pg_get_functiondef(p.oid), \
    pg_get_userbyid(p.proowner), p.proacl::text), ' ' ORDER BY p.proname)) FROM pg_catalog.pg_proc p \
    WHERE p.pronamespace = (SELECT n.oid FROM pg_catalog.pg_namespace n WHERE n.nspname = 'belay_armed')";

/// Nobody but the control user has to do with the tables.
pub(crate) const SOUND: &str = "SELECT bool_and(c.relowner = me.oid AND n.nspowner = me.oid AND (c.relkind IN ('i', 't') \
    OR c.relkind = 'r' AND NOT (c.relhastriggers OR c.relhasrules OR c.relrowsecurity OR c.relhassubclass) \
    AND NOT EXISTS (SELECT FROM aclexplode(c.relacl) x WHERE x.grantee <> me.oid))) \
    FROM pg_catalog.pg_roles me, pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE me.rolname = current_user AND n.nspname = 'belay_armed'";

/// SQL that makes it, or makes it as it should be.
///
/// Row images are text, written under pinned settings: under those of the client's session they might not be read
/// back as what they were. They hold what the client may not see, so they are given to nobody who cannot prove to be
/// Belay, in the client's own transaction, where nobody else sees them.
pub(crate) fn script() -> String {
    SCRIPT.replace("{pins}", &of_function())
}

/// Tells one version of it from another.
pub(crate) fn fingerprint() -> String {
    hex(digest::digest(&digest::SHA256, script().as_bytes()).as_ref())
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        // Writing into a string does not fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

const SCRIPT: &str = "\
CREATE SCHEMA IF NOT EXISTS belay_armed;
CREATE UNLOGGED TABLE IF NOT EXISTS belay_armed.images (transaction xid8 NOT NULL, relation oid NOT NULL, old text, new text);
CREATE INDEX IF NOT EXISTS images_found ON belay_armed.images (transaction, relation);
CREATE TABLE IF NOT EXISTS belay_armed.kept (secret text NOT NULL, script text NOT NULL, functions text NOT NULL);
CREATE TABLE IF NOT EXISTS belay_armed.tables (relation oid PRIMARY KEY, definition text NOT NULL);
CREATE OR REPLACE FUNCTION belay_armed.image() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
{pins} AS $$BEGIN
    INSERT INTO belay_armed.images
        VALUES (pg_current_xact_id(), TG_RELID, textin(record_out(OLD)), textin(record_out(NEW)));
    RETURN NULL;
END$$;
CREATE OR REPLACE FUNCTION belay_armed.open(proof text, wanted oid) RETURNS text LANGUAGE plpgsql STRICT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$DECLARE
    images refcursor := 'belay_images';
    counted text;
BEGIN
    IF proof IS DISTINCT FROM (SELECT encode(sha256(convert_to(k.secret || pg_current_xact_id()::text, 'UTF8')), 'hex')
            FROM belay_armed.kept k) THEN
        RAISE insufficient_privilege USING MESSAGE = 'only Belay reads row images';
    END IF;
    SELECT count(i.old) || ' ' || count(i.new) INTO counted FROM belay_armed.images i
        WHERE i.transaction = pg_current_xact_id() AND i.relation = wanted;
    OPEN images FOR SELECT i.old, i.new FROM belay_armed.images i
        WHERE i.transaction = pg_current_xact_id() AND i.relation = wanted;
    RETURN counted;
END$$;
CREATE OR REPLACE FUNCTION belay_armed.clear() RETURNS void LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$BEGIN
    DELETE FROM belay_armed.images i WHERE i.transaction = pg_current_xact_id();
END$$;
REVOKE ALL ON SCHEMA belay_armed FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA belay_armed FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA belay_armed FROM PUBLIC;
GRANT USAGE ON SCHEMA belay_armed TO PUBLIC;
GRANT EXECUTE ON FUNCTION belay_armed.open(text, oid), belay_armed.clear() TO PUBLIC;
";
