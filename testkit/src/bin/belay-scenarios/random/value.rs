//! Types of columns, and literals of them whose text is easily lost.

use testkit::Dice;

/// A type, and literals of it.
#[derive(Debug)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    literals: &'static [&'static str],
}

const fn kind(name: &'static str, literals: &'static [&'static str]) -> Kind {
    Kind { name, literals }
}

const KINDS: &[Kind] = &[
    kind("int", &["0", "-1", "2147483647", "-2147483648"]),
    kind("smallint", &["7", "-32768"]),
    kind("bigint", &["9223372036854775807", "-9223372036854775808", "3"]),
    kind("numeric", &["1.0", "1.00", "NaN", "Infinity", "-0.000", "123456789012345678901234567890.123456789"]),
    kind("numeric(8,2)", &["1.5", "-99.99", "NaN"]),
    kind("real", &["NaN", "-0", "0", "Infinity", "0.1", "1e-38"]),
    kind("double precision", &["NaN", "-0", "0", "-Infinity", "0.30000000000000004", "1e308", "5e-324"]),
    kind("text", &["", "a", "it''s", "\\N", "a\tb\nc", "ünï ☃ 𝄞", "(1,\"x\")", "NULL", " a "]),
    kind("varchar(20)", &["", "v", "trailing  "]),
    kind("char(5)", &["a", "abcde", ""]),
    kind("boolean", &["t", "f"]),
    kind("date", &["2024-02-29", "infinity", "-infinity", "0044-03-15 BC", "9999-12-31"]),
    kind("time", &["24:00:00", "00:00:00.000001"]),
    kind("timetz", &["12:00:00+14", "12:00:00-03:30"]),
    kind("timestamp", &["2024-01-01 00:00:00.123456", "infinity", "0001-01-01 BC"]),
    kind("timestamptz", &["2024-03-31 02:30:00+01", "-infinity", "1999-12-31 23:59:59.999999Z"]),
    kind("interval", &["1 mon -1 day 00:00:01", "-1-0", "178000000 years", "1 day", "24:00"]),
    kind("json", &["{\"a\":1, \"a\":2}", "[1,  2]", "null", "{\"k\":\"\\u0000\"}", " 1.0 "]),
    kind("jsonb", &["{\"a\":1, \"a\":2}", "null", "[1.0,1.00]", "\"\"", "{}"]),
    kind("int[]", &["{}", "{1,NULL,3}", "[0:1]={1,2}", "[2:2][3:4]={{5,6}}"]),
    kind("text[]", &["{}", "{NULL,\"NULL\",\"\"}", "{\"a,b\",\"c\\\\d\"}"]),
    kind("double precision[]", &["{-0,0,NaN}", "{Infinity}"]),
    kind("bytea", &["\\x", "\\x00ff", "\\x5c786162"]),
    kind("uuid", &["00000000-0000-0000-0000-000000000000", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]),
    kind("mood", &["sad", "so so", "glad"]),
    kind("mood[]", &["{}", "{sad,\"so so\"}"]),
    kind("few", &["0", "99"]),
    kind("pair", &["(1,x)", "(,)", "(2,\"\")", "(3,\"a,b\")"]),
    kind("int4range", &["empty", "[1,5)", "(,)", "[3,3]"]),
    kind("tstzrange", &["empty", "[2024-01-01Z,infinity]", "(,2024-01-01Z)"]),
    kind("numrange", &["[1.0,1.00]", "empty"]),
    kind("inet", &["10.0.0.1/8", "::1"]),
    kind("cidr", &["10.0.0.0/8"]),
    kind("macaddr", &["08:00:2b:01:02:03"]),
    kind("point", &["(-0,1)", "(NaN,2)"]),
    kind("box", &["(2,2),(1,1)"]),
    kind("circle", &["<(0,0),1>"]),
    kind("bit(3)", &["101", "000"]),
    kind("varbit", &["", "1"]),
    kind("money", &["12.34", "-0.01"]),
    kind("tsvector", &["a:1 b:2A", ""]),
    kind("name", &["n", ""]),
    kind("\"char\"", &["c", ""]),
    kind("jsonpath", &["$.a"]),
    kind("oid", &["0", "4294967295"]),
];

const CITEXT: Kind = kind("citext", &["Abc", "aBC", ""]);

/// Any type; `citext` where the server has it.
pub(crate) fn any(dice: &mut Dice, citext: bool) -> &'static Kind {
    if citext && dice.once_in(20) { &CITEXT } else { dice.pick(KINDS) }
}

impl Kind {
    /// One of its literals without quotes, or NULL.
    pub(crate) fn bare(&self, dice: &mut Dice) -> Option<&'static str> {
        if dice.once_in(5) { None } else { Some(*dice.pick::<&'static str>(self.literals)) }
    }

    /// An expression of the type. Now and then a text that is kept out of line.
    pub(crate) fn literal(&self, dice: &mut Dice) -> String {
        if self.name == "text" && dice.once_in(12) {
            return format!(
                "(SELECT string_agg(md5(i::text), '') FROM generate_series(1, {}) i)",
                dice.between(100, 300)
            );
        }
        match self.bare(dice) {
            None => "NULL".to_owned(),
            // Only `text` doubles its quotes itself; nobody else has any.
            Some(bare) => format!("'{bare}'::{}", self.name),
        }
    }
}
