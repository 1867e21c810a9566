"""psycopg2: values are put into the text, and a transaction begins by itself."""

import os

import psycopg2

conn = psycopg2.connect(f"host={os.environ['PGHOST']}")
cursor = conn.cursor()


def told(step, body):
    conn.notices.clear()
    try:
        body()
        print(step, conn.notices[0].strip().removeprefix("NOTICE:  ") if conn.notices else "done")
    except psycopg2.Error as error:
        print(step, error.pgcode, error.diag.message_primary)


conn.autocommit = True
told("alone", lambda: cursor.execute("UPDATE orders SET total = total + %s WHERE id = %s", (1, 57)))
conn.autocommit = False
cursor.execute("UPDATE orders SET status = %s WHERE id = %s", ("it's mine", 41))
cursor.execute("SAVEPOINT careful")
cursor.execute("DELETE FROM items WHERE order_id = %s", (41,))
cursor.execute("ROLLBACK TO SAVEPOINT careful")
cursor.execute("UPDATE items SET quantity = quantity + %s WHERE order_id = %s", (2, 41))
cursor.execute("SELECT status FROM orders WHERE id = %s", (41,))
print("sees", cursor.fetchone()[0])
told("commit", conn.commit)
conn.rollback()
cursor.execute("SELECT count(*) FROM orders")
print("then", cursor.fetchone()[0])
