-- What the server says of the grant's own role.
\du
SELECT rolconnlimit, rolvaliduntil IS NOT NULL AS ends, rolconfig FROM pg_roles WHERE rolname = session_user;
