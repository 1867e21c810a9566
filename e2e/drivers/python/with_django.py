"""Django: the ORM over psycopg 3, server-side cursors, atomic blocks, and inspectdb of the granted tables."""

import io
import os

import django
from django.conf import settings
from django.core.management import call_command
from django.db import DatabaseError, connection, models, transaction

import matrix
from matrix import READ, TABLES, Report, env, require

DATABASE = {
    "ENGINE": "django.db.backends.postgresql",
    "NAME": env("PGDATABASE"),
    "USER": env("PGUSER"),
    "PASSWORD": env("PGPASSWORD"),
    "HOST": env("PGHOST"),
    "PORT": env("PGPORT"),
    "OPTIONS": {"sslmode": os.environ.get("PGSSLMODE", "verify-full"), "sslrootcert": env("PGSSLROOTCERT")},
}
settings.configure(DATABASES={"default": DATABASE}, DEFAULT_AUTO_FIELD="django.db.models.AutoField", USE_TZ=True)
django.setup()


class Customer(models.Model):
    name = models.TextField()
    email = models.TextField(unique=True)

    class Meta:
        app_label = "matrix"
        managed = False
        db_table = "customers"


class Order(models.Model):
    customer = models.ForeignKey(Customer, models.DO_NOTHING)
    total = models.DecimalField(max_digits=12, decimal_places=2)
    status = models.TextField()

    class Meta:
        app_label = "matrix"
        managed = False
        db_table = "orders"


def sqlstate_of(error):
    cause = error.__cause__ or error
    return getattr(cause, "sqlstate", None), getattr(getattr(cause, "diag", None), "message_primary", None) or str(error)


def run(sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall() if cursor.description else None


def check_reads(report):
    with report.check("read: parameters"):
        named = models.Value("Zoë", output_field=models.TextField())
        found = Customer.objects.annotate(said=named).get(id=7, email__contains="@")
        require(found.id == 7 and found.said == "Zoë", "another row")
    with report.check("read: same query many times"):
        for n in range(1, 101):
            require(Order.objects.filter(id=n).exists(), f"row {n}")
    with report.check("read: join, annotate, iterate with a server-side cursor"):
        found = Order.objects.values("customer__email").annotate(orders=models.Count("id")).filter(orders__gt=0)
        require(sum(1 for _ in found.iterator(chunk_size=20)) > 0, "no rows")
        require(Order.objects.select_related("customer").order_by("id").first().customer.name, "no name")
    with report.check("read: large result"):
        require(len(run(matrix.LARGE)) == matrix.LARGE_ROWS, "rows are missing")


def check_introspection(report):
    with report.check("introspection: inspectdb of the granted tables") as note:
        out = io.StringIO()
        call_command("inspectdb", *TABLES, stdout=out)
        text = out.getvalue()
        require("Unable to inspect" not in text, text.replace("\n", " ")[:300])
        for line in ("class Customers(", "class Orders(", "class Items(", "customer = models.ForeignKey("):
            require(line in text, f"`{line}` is missing")
        note(f"{text.count(chr(10))} lines")


def check_atomic(report):
    if matrix.MODE == "plain":
        with report.check("write: atomic block, rolled back"):
            with transaction.atomic():
                require(Order.objects.filter(id=1).update(status="x") == 1, "no row")
                transaction.set_rollback(True)
            require(not Order.objects.filter(status="x").exists(), "rows were changed")
        return
    with report.check("write: ORM update, save and delete are refused"):
        order = Order.objects.get(id=1)
        order.status = "x"
        writes = (lambda: Order.objects.filter(id=1).update(status="x"), order.save, order.delete)
        for write in writes:
            try:
                write()
            except DatabaseError as error:
                matrix.require_refused(*sqlstate_of(error))
            else:
                raise AssertionError("the write was not refused")
    with report.check("transaction: refused write in an atomic block raises out of it"):
        try:
            with transaction.atomic():
                require(Order.objects.count() > 0, "no rows")
                Order.objects.update(status="x")
        except DatabaseError as error:
            matrix.require_refused(*sqlstate_of(error))
        else:
            raise AssertionError("the block committed")
        require(not Order.objects.filter(status="x").exists(), "rows were changed")
    with report.check("transaction: savepoint around a refused write"):
        with transaction.atomic():
            try:
                with transaction.atomic():
                    Order.objects.update(status="x")
            except DatabaseError as error:
                matrix.require_refused(*sqlstate_of(error))
            else:
                raise AssertionError("the write was not refused")
            require(Order.objects.count() > 0, "no rows after ROLLBACK TO SAVEPOINT")


def main():
    report = Report("Django")
    with report.check("connect: TLS, verified") as note:
        connection.ensure_connection()
        require(connection.connection.pgconn.ssl_in_use, "the connection is not encrypted")
        note(f"Django {django.get_version()}")
    check_reads(report)
    check_introspection(report)
    matrix.check_writes(report, run, sqlstate_of)
    check_atomic(report)
    raw = connection.connection
    matrix.check_cancel(report, lambda: raw.execute("SELECT pg_sleep(30)"), raw.cancel_safe, sqlstate_of)
    with report.check("still usable at the end"):
        require(run(READ)[0][0] > 0, "no rows")
    report.exit()


main()
