"""SQLAlchemy: the ORM's unit of work, with a nested transaction that is rolled back."""

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

notices = []
engine = sa.create_engine("postgresql+psycopg://", pool_pre_ping=True)


@sa.event.listens_for(engine, "connect")
def listen(connection, _):
    connection.add_notice_handler(lambda diagnostic: notices.append(diagnostic.message_primary))


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    status: Mapped[str]
    total: Mapped[float] = mapped_column(sa.Numeric(10, 2))


class Item(Base):
    __tablename__ = "items"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int]
    quantity: Mapped[int]


def told(step, body):
    notices.clear()
    try:
        body()
        print(step, notices[0] if notices else "done")
    except sa.exc.DBAPIError as error:
        print(step, error.orig.sqlstate, error.orig.diag.message_primary)


def alone():
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        conn.execute(sa.update(Order).where(Order.id == 57).values(total=Order.total + 1))


with Session(engine) as session:
    told("alone", alone)
    order = session.get(Order, 41)
    order.status = "it's mine"
    session.flush()
    nested = session.begin_nested()
    session.execute(sa.delete(Item).where(Item.order_id == 41))
    nested.rollback()
    for item in session.scalars(sa.select(Item).where(Item.order_id == 41)):
        item.quantity += 2
    session.flush()
    print("sees", session.scalar(sa.text("SELECT status FROM orders WHERE id = 41")))
    told("commit", session.commit)
    session.rollback()
    print("then", session.scalar(sa.select(sa.func.count()).select_from(Order)))
