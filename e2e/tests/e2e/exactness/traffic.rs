//! What clients send: random, and the same for the same seed. No two statements have the same text.

use super::batch::Batch;
use e2e::{Raw, World, message};
use testkit::{Dice, SAMPLE_DATABASE, Ticket};

/// Rows of `orders` and of `items` that a client has for itself.
const OWN_ROWS: usize = 400;
/// `version()`.
const VERSION: u32 = 89;

/// What a grant is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Read,
    Planned,
    Direct,
    All,
}

impl Kind {
    /// Writes go through the gateway's own transactions.
    pub(super) fn settles(self) -> bool {
        matches!(self, Kind::Planned | Kind::Direct)
    }
}

pub(super) struct Client<'w> {
    world: &'w World,
    ticket: &'w Ticket,
    kind: Kind,
    place: usize,
    dice: Dice,
    raw: Raw,
    /// How many texts were made.
    made: usize,
}

impl<'w> Client<'w> {
    pub(super) fn log_in(world: &'w World, ticket: &'w Ticket, kind: Kind, place: usize, seed: u64) -> Client<'w> {
        let raw = Raw::log_in(&world.belay, ticket, SAMPLE_DATABASE);
        Client { world, ticket, kind, place, dice: Dice::of(seed, place as u64), raw, made: 0 }
    }

    /// Sends at least so many statements, each of them answered in the end.
    pub(super) fn send(&mut self, statements: usize) {
        while self.made < statements {
            match self.dice.below(16) {
                0..3 => self.simple(),
                3..5 => self.bound(),
                5..8 => self.pipeline(),
                8 => self.suspended_portal(),
                9 => self.cursor(),
                10 => self.copied_out(),
                11 => self.failed_transaction(),
                12 => self.made_in_sql(),
                13 => self.transaction(),
                14 if self.kind != Kind::Read => self.copied_in(),
                14 => self.refused_in_a_transaction(),
                _ => self.odd(),
            }
        }
        self.raw.send(&message(b'X', b""));
        assert!(self.raw.read_to_end().is_empty());
    }

    /// The text, marked so that there is no other like it.
    fn mark(&mut self, text: &str) -> String {
        self.made += 1;
        format!("{text} /* {}-{} */", self.place, self.made)
    }

    fn row(&mut self) -> usize {
        1 + self.place * OWN_ROWS + self.dice.below(OWN_ROWS)
    }

    /// A statement that reads; it may fail.
    fn read(&mut self) -> String {
        let row = self.row();
        let text = match self.dice.below(12) {
            0 => "SELECT 1/(id - id) FROM orders".to_owned(),
            1 => "SELEC nothing".to_owned(),
            2 => "SELECT * FROM no_such_table".to_owned(),
            3 => "SELECT 'a;b''c', \"id\", E'\\n\\'' FROM\n\titems -- a remark, \"quoted\"\n LIMIT 2".to_owned(),
            4 => "SELECT 'Grüße, 世界' AS \"ü\"".to_owned(),
            5 => "SHOW work_mem".to_owned(),
            6 => "SET work_mem = '5MB'".to_owned(),
            7 => "EXPLAIN SELECT * FROM orders".to_owned(),
            8 => "VALUES (1), (2), (3)".to_owned(),
            _ => format!("SELECT * FROM orders WHERE id = {row}"),
        };
        self.mark(&text)
    }

    /// A statement that writes, if that is what the grant is for, or because it must not.
    fn write(&mut self) -> String {
        let row = self.row();
        let text = match self.dice.below(7) {
            0 => format!("INSERT INTO items (order_id, product, quantity, price) VALUES ({row}, 'tea', 1, 2.5)"),
            1 => format!("UPDATE items SET quantity = 0 WHERE order_id = {row}"),
            2 => format!("DELETE FROM items WHERE order_id = {row} RETURNING id"),
            3 => format!("INSERT INTO orders (id, customer_id) VALUES ({row}, 1)"),
            4 => format!("UPDATE orders SET total = total WHERE id = {row}"),
            _ => format!("UPDATE orders SET total = total + 1, status = 'paid' WHERE id = {row}"),
        };
        self.mark(&text)
    }

    fn statement(&mut self) -> String {
        let writes = if self.kind == Kind::Read { 8 } else { 2 };
        if self.dice.once_in(writes) { self.write() } else { self.read() }
    }

    fn say(&mut self, text: &str) {
        self.raw.query(text);
    }

    fn say_marked(&mut self, text: &str) {
        let text = self.mark(text);
        self.say(&text);
    }

    /// Sends it and waits for so many times that the server is ready.
    fn answered(&mut self, batch: &Batch, times: usize) {
        self.raw.send(&batch.bytes);
        for _ in 0..times {
            self.raw.await_ready();
        }
    }

    fn simple(&mut self) {
        let text = match self.dice.below(8) {
            0 => {
                let three = [self.read(), self.read(), self.read()].join("; ");
                self.made -= 2;
                three
            }
            1 => [self.write(), self.write()].join("; "),
            2 => self.mark(""),
            3 => format!("{};;", self.read()),
            4 if self.kind == Kind::Read => format!("{}; {}", self.read(), self.write()),
            // A transaction in one message.
            4 => format!("BEGIN; {}; {}; {}; COMMIT", self.write(), self.read(), self.write()),
            _ => self.statement(),
        };
        self.say(&text);
    }

    /// A statement with values.
    fn with_values(&mut self) -> (String, Vec<Option<String>>) {
        let row = self.row();
        let writes = self.kind != Kind::Read && self.dice.once_in(3);
        if writes {
            let text = self.mark("UPDATE orders SET status = $2, total = total + 1 WHERE id = $1::int");
            return (text, vec![Some(row.to_string()), Some("it's \\ paid".to_owned())]);
        }
        match self.dice.below(6) {
            // A Bind that fails: no number, and too few values.
            0 => (self.mark("SELECT * FROM orders WHERE id = $1::int"), vec![Some("none".to_owned())]),
            1 => (self.mark("SELECT $1::int, $2::text"), vec![Some("1".to_owned())]),
            2 => (self.mark("SELECT $1::text, $2::int"), vec![None, Some("-7".to_owned())]),
            // It fails when it runs.
            3 => (self.mark("SELECT 1 / $1::int"), vec![Some("0".to_owned())]),
            _ => (self.mark("SELECT * FROM orders WHERE id = $1::int"), vec![Some(row.to_string())]),
        }
    }

    fn bound(&mut self) {
        let (text, values) = self.with_values();
        let batch = if self.dice.once_in(3) {
            let times = self.dice.between(1, 3);
            let mut batch = Batch::default().parse("again", &text);
            for _ in 0..times {
                batch = batch.bind("", "again", &values).execute("", 0);
            }
            self.made += times - 1;
            // In a batch of its own, so that it is gone even where the first one fails.
            batch.sync().close('S', "again").sync()
        } else {
            Batch::default().parse("", &text).bind("", "", &values).describe("").execute("", 0).sync().sync()
        };
        self.answered(&batch, 2);
    }

    /// Several statements before one Sync, and several such batches before the first answer.
    fn pipeline(&mut self) {
        let mut batch = Batch::default();
        let batches = self.dice.between(1, 3);
        for _ in 0..batches {
            for _ in 0..self.dice.between(1, 5) {
                let (text, values) = if self.dice.once_in(2) { self.with_values() } else { (self.statement(), vec![]) };
                batch = batch.parse("", &text).bind("", "", &values).describe("").execute("", 0);
                if self.dice.once_in(6) {
                    batch = batch.flush();
                }
            }
            batch = batch.sync();
        }
        self.answered(&batch, batches);
    }

    fn suspended_portal(&mut self) {
        self.say_marked("BEGIN");
        let text = self.mark("SELECT id FROM items ORDER BY id LIMIT 20");
        let mut batch = Batch::default().parse("", &text).bind("p", "", &[]);
        for _ in 0..self.dice.between(1, 4) {
            batch = batch.execute("p", 3);
            self.made += 1;
        }
        self.answered(&batch.sync(), 1);
        let rest = Batch::default().execute("p", 0).close('P', "p").sync();
        self.answered(&rest, 1);
        self.say_marked("COMMIT");
    }

    fn cursor(&mut self) {
        for text in ["BEGIN", "DECLARE c SCROLL CURSOR FOR SELECT id FROM items ORDER BY id"] {
            self.say_marked(text);
        }
        for _ in 0..self.dice.between(1, 4) {
            let fetches = ["FETCH 3 FROM c", "MOVE 2 IN c", "FETCH BACKWARD 1 FROM c", "FETCH NEXT FROM no_cursor"];
            let text = *self.dice.pick(&fetches[..]);
            self.say_marked(text);
        }
        if self.dice.once_in(2) {
            // The cursor as a portal of the protocol.
            self.answered(&Batch::default().execute("c", 2).sync(), 1);
        }
        let end = *self.dice.pick(&["CLOSE c", "CLOSE ALL", "SELECT 1"]);
        self.say_marked(end);
        self.say_marked("COMMIT");
    }

    fn copied_out(&mut self) {
        let texts = ["COPY orders TO STDOUT", "COPY (SELECT 1/(id - 3) FROM orders) TO STDOUT (FORMAT csv)"];
        let text = *self.dice.pick(&texts);
        let text = self.mark(text);
        if self.dice.once_in(2) {
            return self.say(&text);
        }
        self.answered(&Batch::default().parse("", &text).bind("", "", &[]).execute("", 0).sync(), 1);
    }

    fn failed_transaction(&mut self) {
        self.say_marked("BEGIN");
        self.say_marked("SELECT 1/0");
        for _ in 0..self.dice.between(1, 3) {
            match self.dice.below(3) {
                0 => self.bound(),
                1 => self.pipeline(),
                _ => self.simple(),
            }
        }
        let end = *self.dice.pick(&["ROLLBACK", "COMMIT"]);
        self.say_marked(end);
    }

    fn transaction(&mut self) {
        self.say_marked("BEGIN");
        for _ in 0..self.dice.between(1, 4) {
            let text = self.statement();
            match self.dice.below(4) {
                0 => self.say_marked("SAVEPOINT s"),
                1 => self.say_marked("ROLLBACK TO SAVEPOINT s"),
                2 => self.answered(&Batch::default().parse("", &text).bind("", "", &[]).execute("", 0).sync(), 1),
                _ => self.say(&text),
            }
        }
        let end = *self.dice.pick(&["COMMIT", "COMMIT", "ROLLBACK"]);
        self.say_marked(end);
    }

    /// Statements that SQL prepares, run by SQL and by the protocol.
    fn made_in_sql(&mut self) {
        self.say_marked("PREPARE s (int) AS SELECT * FROM orders WHERE id = $1");
        self.say_marked("EXECUTE s (3)");
        let values = [Some("4".to_owned())];
        let batch = Batch::default().bind("", "s", &values).execute("", 0).sync();
        self.made += 1;
        self.answered(&batch, 1);
        self.say_marked("EXECUTE s (3, 4)");
        self.say_marked("DEALLOCATE s");
    }

    fn refused_in_a_transaction(&mut self) {
        self.say_marked("BEGIN");
        let write = self.write();
        if self.dice.once_in(2) {
            self.say(&write);
        } else {
            let before = self.read();
            let batch = Batch::default().parse("", &before).bind("", "", &[]).execute("", 0);
            let after = self.read();
            let batch = batch.parse("", &write).bind("", "", &[]).execute("", 0).parse("", &after);
            self.answered(&batch.bind("", "", &[]).execute("", 0).sync(), 1);
        }
        self.say_marked("SELECT 1");
        self.say_marked("ROLLBACK");
    }

    fn copied_in(&mut self) {
        let row = self.row();
        let text = self.mark("COPY items (order_id, product, quantity, price) FROM STDIN");
        let good = format!("{row}\ttea\t1\t2.50\n{row}\tcup\t2\t1.00\n");
        let (data, end): (String, (u8, &[u8])) = match self.dice.below(4) {
            0 => (format!("{good}{row}\ttea\tnone\t1\n"), (b'c', b"")),
            1 => (good, (b'f', b"no more\0")),
            _ => (good, (b'c', b"")),
        };
        let rows = Batch::default().with(b'd', data.as_bytes()).with(end.0, end.1);
        if self.dice.once_in(2) {
            return self.answered(&Batch { bytes: [Batch::default().query(&text).bytes, rows.bytes].concat() }, 1);
        }
        let start = Batch::default().parse("", &text).bind("", "", &[]).execute("", 0);
        self.answered(&Batch { bytes: [start.bytes, rows.bytes, Batch::default().sync().bytes].concat() }, 1);
    }

    /// What clients do that hold the protocol by its other end.
    fn odd(&mut self) {
        match self.dice.below(7) {
            // Bound and not executed; executed in another order than bound; executed again after its end.
            0 => {
                let text = self.statement();
                self.answered(&Batch::default().parse("", &text).bind("", "", &[]).sync(), 1);
            }
            1 => {
                let (first, second) = (self.statement(), self.statement());
                let batch = Batch::default().parse("", &first).bind("a", "", &[]).parse("", &second);
                self.answered(&batch.bind("b", "", &[]).execute("b", 0).execute("a", 0).sync(), 1);
            }
            2 => {
                let text = self.statement();
                let batch = Batch::default().parse("", &text).bind("", "", &[]).execute("", 0).execute("", 0);
                self.made += 1;
                self.answered(&batch.sync(), 1);
            }
            // Two queries at once.
            3 => {
                let batch = Batch::default().query(&self.statement()).query(&self.statement());
                self.answered(&batch, 2);
            }
            // A statement whose name is taken, and one that nobody made.
            4 => {
                let (first, second) = (self.read(), self.read());
                let batch = Batch::default().parse("s", &first).sync().parse("s", &second).bind("", "s", &[]);
                let batch = batch.execute("", 0).sync().bind("", "nobody", &[]).execute("", 0).sync();
                self.made += 1;
                self.answered(&batch.close('S', "s").sync(), 4);
            }
            5 if self.kind == Kind::All => {
                self.made += 1;
                let body = [&VERSION.to_be_bytes()[..], &[0, 0, 0, 0, 0, 0]].concat();
                self.answered(&Batch::default().with(b'F', &body), 1);
                self.say_marked("DO $$ BEGIN PERFORM 1/0; EXCEPTION WHEN division_by_zero THEN NULL; END $$");
            }
            _ => {
                self.raw.send(&message(b'X', b""));
                assert!(self.raw.read_to_end().is_empty());
                self.raw = Raw::log_in(&self.world.belay, self.ticket, SAMPLE_DATABASE);
            }
        }
    }
}
