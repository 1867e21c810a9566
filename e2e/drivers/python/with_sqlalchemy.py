"""SQLAlchemy on psycopg 3: core, ORM session, reflection by the inspector, streaming."""

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

import matrix
from matrix import READ, TABLES, Report, env, require


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "orders"
    __table_args__ = {"schema": "public"}
    id: Mapped[int] = mapped_column(primary_key=True)
    status: Mapped[str]


def engine(driver):
    url = sa.URL.create(
        f"postgresql+{driver}", env("PGUSER"), env("PGPASSWORD"), env("PGHOST"), int(env("PGPORT")), env("PGDATABASE")
    )
    return sa.create_engine(url, pool_pre_ping=True)


def sqlstate_of(error):
    original = getattr(error, "orig", error)
    state = getattr(original, "sqlstate", None) or getattr(original, "pgcode", None)
    return state, getattr(getattr(original, "diag", None), "message_primary", None) or str(original)


def check_reads(report, conn):
    with report.check("read: parameters"):
        sql = sa.text("SELECT id, CAST(:name AS text) FROM public.customers WHERE id = :id AND email LIKE :like")
        require(tuple(conn.execute(sql, {"name": "Zoë", "id": 7, "like": "%@%"}).one()) == (7, "Zoë"), "another row")
    with report.check("read: same statement many times"):
        for n in range(1, 101):
            require(conn.scalar(sa.select(Order.id).where(Order.id == n)) == n, f"row {n}")
    with report.check("read: large result, streamed"):
        rows = conn.execution_options(yield_per=5000).execute(sa.text(matrix.LARGE))
        require(sum(1 for _ in rows) == matrix.LARGE_ROWS, "rows are missing")
    conn.rollback()


def check_inspector(report, inspector):
    with report.check("introspection: inspector") as note:
        require(set(TABLES) <= set(inspector.get_table_names("public")), f"got {inspector.get_table_names('public')}")
        for table in TABLES:
            columns = inspector.get_columns(table, "public")
            require(columns, f"no columns of {table}")
            require(inspector.get_pk_constraint(table, "public")["constrained_columns"] == ["id"], f"no key of {table}")
            inspector.get_indexes(table, "public")
            inspector.get_unique_constraints(table, "public")
            inspector.get_check_constraints(table, "public")
            inspector.get_table_comment(table, "public")
        keys = inspector.get_foreign_keys("orders", "public")
        require(keys and keys[0]["referred_table"] == "customers", f"got {keys}")
        inspector.get_view_names("public")
        inspector.get_sequence_names("public")
        inspector.get_schema_names()
        note(f"{len(TABLES)} tables")


def check_orm(report, made):
    with report.check("write: flush of an ORM object is refused" if matrix.MODE != "plain" else "write: ORM, rolled back"):
        with Session(made) as session:
            order = session.get(Order, 1)
            before, order.status = order.status, "x"
            try:
                session.flush()
            except sa.exc.DBAPIError as error:
                require(matrix.MODE != "plain", str(error))
                matrix.require_refused(*sqlstate_of(error))
            else:
                require(matrix.MODE == "plain", "the write was not refused")
            session.rollback()
            require(session.get(Order, 1).status == before, "the row was changed")


def main():
    report = Report("SQLAlchemy")
    for driver in ("psycopg", "psycopg2"):
        made = engine(driver)
        with report.check(f"connect: {driver}") as note, made.connect() as conn:
            note(f"SQLAlchemy {sa.__version__}, server {conn.dialect.server_version_info}")
        with made.connect() as conn:
            check_reads(report, conn)
        check_inspector(report, sa.inspect(made))
        check_orm(report, made)
        with report.check("introspection: Table reflected with what it refers to"):
            metadata = sa.MetaData()
            sa.Table("items", metadata, autoload_with=made, schema="public")
            require(len(metadata.tables) == 3, f"got {list(metadata.tables)}")
        check_autocommit(report, made)
        made.dispose()
    report.exit()


def check_autocommit(report, made):
    with made.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        raw = conn.connection.dbapi_connection

        def run(sql):
            result = conn.exec_driver_sql(sql)
            return result.fetchall() if result.returns_rows else None

        cancel = getattr(raw, "cancel_safe", raw.cancel)
        matrix.check_writes(report, run, sqlstate_of)
        matrix.check_cancel(report, lambda: run("SELECT pg_sleep(30)"), cancel, sqlstate_of)
        with report.check("still usable at the end"):
            require(run(READ)[0][0] > 0, "no rows")


main()
