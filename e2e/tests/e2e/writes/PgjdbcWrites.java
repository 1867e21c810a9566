import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.SQLWarning;
import java.sql.Savepoint;
import java.util.Properties;

/** pgjdbc: prepared statements, batches, savepoints, and a transaction that begins by itself. */
public final class PgjdbcWrites {
    interface Body {
        SQLWarning run() throws SQLException;
    }

    static void told(String step, Body body) {
        try {
            SQLWarning warning = body.run();
            System.out.println(step + " " + (warning == null ? "done" : warning.getMessage()));
        } catch (SQLException error) {
            String first = error.getMessage().lines().findFirst().orElse("").replaceFirst("^ERROR: ", "");
            System.out.println(step + " " + error.getSQLState() + " " + first);
        }
    }

    public static void main(String[] arguments) throws SQLException {
        Properties settings = new Properties();
        settings.setProperty("user", System.getenv("PGUSER"));
        settings.setProperty("password", System.getenv("PGPASSWORD"));
        settings.setProperty("sslmode", "verify-full");
        settings.setProperty("sslrootcert", System.getenv("PGSSLROOTCERT"));
        String url = "jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT") + "/" + System.getenv("PGDATABASE");
        try (Connection conn = DriverManager.getConnection(url, settings)) {
            PreparedStatement alone = conn.prepareStatement("UPDATE orders SET total = total + ? WHERE id = ?");
            alone.setInt(1, 1);
            alone.setInt(2, 57);
            told("alone", () -> {
                alone.executeUpdate();
                return alone.getWarnings();
            });
            conn.setAutoCommit(false);
            PreparedStatement status = conn.prepareStatement("UPDATE orders SET status = ? WHERE id = ?");
            status.setString(1, "it's mine");
            status.setInt(2, 41);
            status.executeUpdate();
            Savepoint careful = conn.setSavepoint("careful");
            conn.createStatement().executeUpdate("DELETE FROM items WHERE order_id = 41");
            conn.rollback(careful);
            PreparedStatement add = conn.prepareStatement("UPDATE items SET quantity = quantity + ? WHERE order_id = ?");
            for (int i = 0; i < 2; i++) {
                add.setInt(1, 1);
                add.setInt(2, 41);
                add.addBatch();
            }
            add.executeBatch();
            System.out.println("sees " + one(conn, "SELECT status FROM orders WHERE id = 41"));
            told("commit", () -> {
                conn.clearWarnings();
                conn.commit();
                return conn.getWarnings();
            });
            conn.rollback();
            System.out.println("then " + one(conn, "SELECT count(*) FROM orders"));
        }
    }

    static String one(Connection conn, String sql) throws SQLException {
        ResultSet rows = conn.createStatement().executeQuery(sql);
        rows.next();
        return rows.getString(1);
    }
}
