"""psycopg 3: values are bound in the server, nested transactions are savepoints."""

import psycopg

conn = psycopg.connect(autocommit=True, prepare_threshold=0)
notices = []
conn.add_notice_handler(lambda diagnostic: notices.append(diagnostic.message_primary))


def told(step, body):
    notices.clear()
    try:
        body()
        print(step, notices[0] if notices else "done")
    except psycopg.Error as error:
        print(step, error.sqlstate, error.diag.message_primary)


def together():
    with conn.transaction():
        conn.execute("UPDATE orders SET status = %s WHERE id = %s", ("it's mine", 41))
        with conn.transaction():
            conn.execute("DELETE FROM items WHERE order_id = %s", (41,))
            raise psycopg.Rollback()
        conn.execute("UPDATE items SET quantity = quantity + %s WHERE order_id = %s", (2, 41))
        print("sees", conn.execute("SELECT status FROM orders WHERE id = %s", (41,)).fetchone()[0])


told("alone", lambda: conn.execute("UPDATE orders SET total = total + %s WHERE id = %s", (1, 57)))
told("commit", together)
print("then", conn.execute("SELECT count(*) FROM orders").fetchone()[0])
