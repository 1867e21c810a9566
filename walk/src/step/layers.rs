//! The database's own answer, were there no gateway in between.

use crate::Broken;
use crate::checks::Checks;
use crate::world::World;

const UPDATE: &str = "UPDATE public.orders SET total = 0";

/// A superuser takes on the role of alice's grant, and can do no more than it may.
pub(super) async fn the_database_alone_refuses(world: &World, checks: &mut Checks) -> Result<(), Broken> {
    checks.chapter("The same without the gateway: as the grant's role, directly in the database");
    let direct = &world.direct;
    let role = direct.role_of("g_1").await?;
    let rights = direct
        .value(&format!(
            "SELECT concat_ws(' ', rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls, rolvaliduntil > now(),
                rolvaliduntil < now() + interval '31 minutes', rolconnlimit > 0) FROM pg_roles WHERE rolname = '{role}'"
        ))
        .await?;
    checks.expect(
        rights == "f f f f f t t t",
        &format!("{role} is no superuser, has a connection limit, and its password ends with the grant"),
        &rights,
    );
    let may = direct
        .value(&format!(
            "SELECT string_agg(DISTINCT concat_ws(' ', table_schema, privilege_type), ', ')
                FROM information_schema.role_table_grants WHERE grantee = '{role}'"
        ))
        .await?;
    checks.expect(may == "public SELECT", "it holds SELECT on public, and no other privilege on any table", &may);
    direct.execute(&format!("SET SESSION AUTHORIZATION {role}")).await?;
    let read = direct.value("SELECT count(*) FROM public.orders").await?;
    let write = direct.sqlstate(&format!("BEGIN READ WRITE; {UPDATE}")).await;
    direct.execute("ROLLBACK").await?;
    let outside = direct.sqlstate("SELECT * FROM hr.salaries").await;
    let temporary = direct.sqlstate("SET transaction_read_only = off; CREATE TEMP TABLE t (i int)").await;
    direct.execute("RESET SESSION AUTHORIZATION").await?;
    checks.expect(read == "2000", "it reads public.orders", &read);
    let refused = |state: &Option<String>| state.as_deref() == Some("42501");
    checks.expect(refused(&write), "an UPDATE in BEGIN READ WRITE: 42501 permission denied", &format!("{write:?}"));
    checks.expect(refused(&outside), "a read of hr.salaries: 42501 permission denied", &format!("{outside:?}"));
    checks.expect(refused(&temporary), "a temporary table: 42501 permission denied", &format!("{temporary:?}"));
    Ok(())
}
