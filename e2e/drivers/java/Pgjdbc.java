import java.io.StringWriter;
import java.sql.BatchUpdateException;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Properties;
import java.util.Set;
import java.util.TreeSet;

/** pgjdbc: server-side prepared statements, fetch sizes, batches, metadata as IDEs read it, Statement.cancel. */
public final class Pgjdbc {
    static final String MODE = System.getenv().getOrDefault("BELAY_DRIVERS_MODE", "belay");
    static final String READ = "SELECT count(*) FROM public.orders";
    static final String WRITE = "UPDATE public.orders SET status = 'x'";
    static final String UNTOUCHED = "SELECT count(*) FROM public.orders WHERE status = 'x'";
    static final int LARGE_ROWS = 100_000;
    static final String LARGE = "SELECT g AS n, md5(g::text) AS h FROM generate_series(1, " + LARGE_ROWS + ") AS g";
    static final long CANCEL_MS = 200;
    static int failed = 0;

    interface Body {
        void run(List<String> notes) throws Exception;
    }

    public static void main(String[] arguments) throws Exception {
        Connection conn = connect(null, "");
        checkConnect(conn);
        checkReads(conn);
        checkMetadata(conn);
        checkWrites(conn);
        checkBatch(conn);
        checkCancel(conn);
        check("still usable at the end", notes -> {
            want(number(conn, READ) > 0, "no rows");
            conn.close();
        });
        System.exit(failed > 0 ? 1 : 0);
    }

    static Connection connect(String root, String more) throws SQLException {
        Properties settings = new Properties();
        settings.setProperty("user", env("PGUSER"));
        settings.setProperty("password", env("PGPASSWORD"));
        settings.setProperty("sslmode", System.getenv().getOrDefault("PGSSLMODE", "verify-full"));
        settings.setProperty("sslrootcert", root == null ? env("PGSSLROOTCERT") : root);
        settings.setProperty("connectTimeout", "10");
        return DriverManager.getConnection("jdbc:postgresql://" + env("PGHOST") + ":" + env("PGPORT") + "/" + env("PGDATABASE") + more, settings);
    }

    static String env(String name) {
        String value = System.getenv(name);
        if (value == null) {
            System.err.println("drivers: `" + name + "` is not set");
            System.exit(2);
        }
        return value;
    }

    static void check(String name, Body body) {
        List<String> notes = new ArrayList<>();
        long started = System.nanoTime();
        boolean ok = true;
        try {
            body.run(notes);
        } catch (Exception error) {
            ok = false;
            failed++;
            String state = error instanceof SQLException sql ? " " + sql.getSQLState() : "";
            notes.add(error.getClass().getSimpleName() + state + ": " + error.getMessage());
        }
        notes.add((System.nanoTime() - started) / 1_000_000 + " ms");
        System.out.println("{\"driver\":\"pgjdbc\",\"check\":" + quoted(name) + ",\"ok\":" + ok + ",\"detail\":" + quoted(String.join("; ", notes)) + "}");
    }

    static String quoted(String text) {
        StringBuilder out = new StringBuilder("\"");
        for (char c : text.toCharArray()) {
            if (c == '"' || c == '\\') out.append('\\').append(c);
            else if (c < ' ') out.append(' ');
            else out.append(c);
        }
        return out.append('"').toString();
    }

    static void want(boolean condition, String text) {
        if (!condition) throw new IllegalStateException(text);
    }

    static long number(Connection conn, String sql) throws SQLException {
        try (Statement statement = conn.createStatement(); ResultSet rows = statement.executeQuery(sql)) {
            rows.next();
            return rows.getLong(1);
        }
    }

    static SQLException refused(Connection conn, String sql) throws SQLException {
        try (Statement statement = conn.createStatement()) {
            statement.execute(sql);
        } catch (SQLException error) {
            return error;
        }
        throw new IllegalStateException("the statement was not refused");
    }

    static void wantRefused(SQLException error) {
        want("25006".equals(error.getSQLState()), "SQLSTATE " + error.getSQLState() + ", wanted 25006: " + error.getMessage());
        if (!MODE.equals("belay")) return;
        // pgjdbc's own text goes on with Detail and Hint; the server's message is asked for by itself.
        String message = ((org.postgresql.util.PSQLException) error).getServerErrorMessage().getMessage();
        want(message.stripTrailing().endsWith("[BLY-1001]"), "the message does not end with [BLY-1001]: " + message);
    }

    static void checkConnect(Connection conn) {
        check("connect: TLS, verified", notes -> {
            DatabaseMetaData meta = conn.getMetaData();
            notes.add(meta.getDriverName() + " " + meta.getDriverVersion() + ", server " + meta.getDatabaseProductVersion());
            want(conn.isValid(5), "not valid");
        });
        check("tls: a stranger's CA is refused", notes -> {
            try {
                connect(System.getenv("BELAY_DRIVERS_STRANGER_CA"), "").close();
            } catch (SQLException error) {
                String why = error.getMessage() + " " + error.getCause();
                want(why.contains("certif") || why.contains("PKIX"), "refused for another reason: " + why);
                return;
            }
            throw new IllegalStateException("connected to a server the stranger's CA did not sign");
        });
        for (String mode : List.of("simple", "extended", "extendedForPrepared", "extendedCacheEverything")) {
            check("connect: preferQueryMode=" + mode, notes -> {
                try (Connection other = connect(null, "?preferQueryMode=" + mode)) {
                    want(number(other, READ) > 0, "no rows");
                    if (!MODE.equals("plain")) wantRefused(refused(other, WRITE));
                    want(number(other, UNTOUCHED) == 0, "rows were changed");
                }
            });
        }
    }

    static void checkReads(Connection conn) {
        check("read: parameters, text then binary, prepared statement reused", notes -> {
            // The fifth use makes a named statement of it, and the results after that come in binary.
            String sql = "SELECT id, ?::text, ?::numeric, ?::int[] FROM public.customers WHERE id = ? AND email LIKE ?";
            try (PreparedStatement statement = conn.prepareStatement(sql)) {
                for (int n = 1; n <= 100; n++) {
                    statement.setString(1, "Zoë " + n);
                    statement.setBigDecimal(2, new java.math.BigDecimal("12.50"));
                    statement.setArray(3, conn.createArrayOf("int4", new Object[] {1, null, 3}));
                    statement.setInt(4, n);
                    statement.setString(5, "%@%");
                    try (ResultSet rows = statement.executeQuery()) {
                        want(rows.next() && rows.getInt(1) == n && rows.getString(2).equals("Zoë " + n), "row " + n);
                        want(rows.getBigDecimal(3).doubleValue() == 12.5, "numeric of row " + n);
                    }
                }
            }
        });
        check("read: large result", notes -> want(rows(conn, LARGE, 0) == LARGE_ROWS, "rows are missing"));
        check("read: large result with a fetch size", notes -> {
            conn.setAutoCommit(false);
            long rows = rows(conn, LARGE, 5000);
            conn.commit();
            conn.setAutoCommit(true);
            want(rows == LARGE_ROWS, rows + " rows");
        });
        check("read: COPY TO STDOUT", notes -> {
            StringWriter out = new StringWriter();
            long rows = conn.unwrap(org.postgresql.PGConnection.class).getCopyAPI().copyOut("COPY public.orders TO STDOUT", out);
            want(rows == number(conn, READ), rows + " rows");
        });
    }

    static long rows(Connection conn, String sql, int fetchSize) throws SQLException {
        try (Statement statement = conn.createStatement()) {
            statement.setFetchSize(fetchSize);
            long found = 0;
            try (ResultSet rows = statement.executeQuery(sql)) {
                while (rows.next()) found++;
            }
            return found;
        }
    }

    static void checkMetadata(Connection conn) {
        check("introspection: tables, columns, keys, indexes", notes -> {
            DatabaseMetaData meta = conn.getMetaData();
            Set<String> tables = names(meta.getTables(null, "public", "%", new String[] {"TABLE"}), "TABLE_NAME");
            want(tables.containsAll(List.of("customers", "items", "orders")), "tables " + tables);
            Set<String> columns = names(meta.getColumns(null, "public", "orders", "%"), "COLUMN_NAME");
            want(columns.contains("customer_id"), "columns " + columns);
            want(names(meta.getPrimaryKeys(null, "public", "orders"), "COLUMN_NAME").contains("id"), "no primary key");
            want(names(meta.getImportedKeys(null, "public", "orders"), "PKTABLE_NAME").contains("customers"), "no imported key");
            want(names(meta.getExportedKeys(null, "public", "customers"), "FKTABLE_NAME").contains("orders"), "no exported key");
            want(!names(meta.getIndexInfo(null, "public", "orders", false, true), "INDEX_NAME").isEmpty(), "no index");
        });
        check("introspection: schemas, types, functions, privileges", notes -> {
            DatabaseMetaData meta = conn.getMetaData();
            want(names(meta.getSchemas(), "TABLE_SCHEM").contains("public"), "no schema public");
            names(meta.getCatalogs(), "TABLE_CAT");
            want(!names(meta.getTypeInfo(), "TYPE_NAME").isEmpty(), "no types");
            names(meta.getFunctions(null, "pg_catalog", "pg_get%"), "FUNCTION_NAME");
            names(meta.getProcedures(null, "public", "%"), "PROCEDURE_NAME");
            names(meta.getTablePrivileges(null, "public", "orders"), "GRANTEE");
            names(meta.getUDTs(null, "public", "%", null), "TYPE_NAME");
        });
    }

    static Set<String> names(ResultSet rows, String column) {
        Set<String> found = new TreeSet<>();
        try (rows) {
            while (rows.next()) found.add(rows.getString(column));
        } catch (SQLException error) {
            throw new IllegalStateException(error.getSQLState() + " " + error.getMessage(), error);
        }
        return found;
    }

    static void checkWrites(Connection conn) {
        if (MODE.equals("plain")) {
            check("write: rolled back", notes -> {
                conn.setAutoCommit(false);
                try (Statement statement = conn.createStatement()) {
                    want(statement.executeUpdate(WRITE) > 0, "the write had no effect");
                }
                conn.rollback();
                conn.setAutoCommit(true);
                want(number(conn, UNTOUCHED) == 0, "rows were changed");
            });
            return;
        }
        check("write: refused", notes -> {
            SQLException error = refused(conn, WRITE);
            wantRefused(error);
            notes.add(error.getMessage().lines().findFirst().orElse(""));
        });
        check("write: refused with parameters, also once the statement is named", notes -> {
            try (PreparedStatement statement = conn.prepareStatement("UPDATE public.orders SET status = ? WHERE id = ?")) {
                for (int n = 1; n <= 10; n++) {
                    statement.setString(1, "x");
                    statement.setInt(2, n);
                    try {
                        statement.executeUpdate();
                        throw new IllegalStateException("the statement was not refused");
                    } catch (SQLException error) {
                        wantRefused(error);
                    }
                }
            }
        });
        check("write: connection usable after it", notes -> {
            want(number(conn, READ) > 0, "no rows");
            want(number(conn, UNTOUCHED) == 0, "rows were changed");
        });
        check("transaction: refused write fails it until rollback", notes -> {
            conn.setAutoCommit(false);
            number(conn, READ);
            wantRefused(refused(conn, WRITE));
            SQLException after = refused(conn, READ);
            want("25P02".equals(after.getSQLState()), "SQLSTATE " + after.getSQLState() + ", wanted 25P02");
            conn.rollback();
            want(number(conn, READ) > 0, "no rows");
            conn.rollback();
            conn.setAutoCommit(true);
        });
        check("transaction: commit() after a refused write changes nothing", notes -> {
            conn.setAutoCommit(false);
            wantRefused(refused(conn, WRITE));
            try {
                conn.commit();
                // Debian's 42.5.5 does not look at the tag COMMIT answers; upstream's later ones throw here.
                notes.add("commit() is silent");
            } catch (SQLException error) {
                notes.add("commit() throws " + error.getSQLState());
            } finally {
                conn.rollback();
                conn.setAutoCommit(true);
            }
            want(number(conn, UNTOUCHED) == 0, "rows were changed");
        });
        check("write: refused after setReadOnly(false)", notes -> {
            conn.setReadOnly(true);
            conn.setReadOnly(false);
            wantRefused(refused(conn, WRITE));
        });
    }

    static void checkBatch(Connection conn) {
        // A batch goes out as one pipeline with one Sync at its end.
        check("pipeline: batch", notes -> {
            conn.setAutoCommit(!MODE.equals("plain"));
            try (PreparedStatement batch = conn.prepareStatement("UPDATE public.orders SET status = ? WHERE id = ?")) {
                for (int n = 1; n <= 50; n++) {
                    batch.setString(1, "x");
                    batch.setInt(2, n);
                    batch.addBatch();
                }
                int[] counts = batch.executeBatch();
                want(MODE.equals("plain"), "the batch was not refused");
                want(Arrays.stream(counts).sum() == 50, "the batch had no effect");
            } catch (BatchUpdateException error) {
                want(!MODE.equals("plain"), error.getMessage());
                want("25006".equals(error.getSQLState()), "SQLSTATE " + error.getSQLState() + ": " + error.getMessage());
                want(Arrays.stream(error.getUpdateCounts()).allMatch(count -> count == Statement.EXECUTE_FAILED), "a part of it ran");
            }
            if (!conn.getAutoCommit()) conn.rollback();
            conn.setAutoCommit(true);
            want(number(conn, UNTOUCHED) == 0, "rows were changed");
        });
        check("pipeline: batch with a refused statement in the middle", notes -> {
            if (MODE.equals("plain")) return;
            try (Statement batch = conn.createStatement()) {
                batch.addBatch("SET application_name = 'before'");
                batch.addBatch(WRITE);
                batch.addBatch("SET application_name = 'after'");
                batch.executeBatch();
                throw new IllegalStateException("the batch was not refused");
            } catch (BatchUpdateException error) {
                want("25006".equals(error.getSQLState()), "SQLSTATE " + error.getSQLState() + ": " + error.getMessage());
            }
            try (Statement statement = conn.createStatement(); ResultSet rows = statement.executeQuery("SHOW application_name")) {
                rows.next();
                want(!rows.getString(1).equals("after"), "the statement after it ran");
            }
        });
    }

    static void checkCancel(Connection conn) {
        check("cancel: Statement.cancel() of pg_sleep(30)", notes -> {
            long[] times = new long[3];
            for (int n = 0; n < times.length; n++) times[n] = cancelOnce(conn);
            notes.add("answered after " + Arrays.toString(times) + " ms");
            Arrays.sort(times);
            want(times[1] < CANCEL_MS, "median over " + CANCEL_MS + " ms");
        });
        check("cancel: setQueryTimeout(1)", notes -> {
            try (Statement statement = conn.createStatement()) {
                statement.setQueryTimeout(1);
                statement.execute("SELECT pg_sleep(30)");
                throw new IllegalStateException("the statement was not cancelled");
            } catch (SQLException error) {
                want("57014".equals(error.getSQLState()), "SQLSTATE " + error.getSQLState() + ": " + error.getMessage());
            }
        });
    }

    static long cancelOnce(Connection conn) throws Exception {
        try (Statement statement = conn.createStatement()) {
            long[] asked = new long[1];
            Thread canceller = new Thread(() -> {
                try {
                    Thread.sleep(400);
                    asked[0] = System.nanoTime();
                    statement.cancel();
                } catch (InterruptedException | SQLException error) {
                    asked[0] = Long.MIN_VALUE;
                }
            });
            canceller.start();
            SQLException error = null;
            try {
                statement.execute("SELECT pg_sleep(30)");
            } catch (SQLException caught) {
                error = caught;
            }
            long ended = System.nanoTime();
            canceller.join();
            want(error != null && "57014".equals(error.getSQLState()), "not cancelled: " + error);
            return (ended - asked[0]) / 1_000_000;
        }
    }

    private Pgjdbc() {}
}
