//! Columns that look as if they should be masked. Names and types only: no row is read, and nothing is decided here.

use super::fault::Fault;
use super::pool::Act;
use belay_engine::Suspect;
use belay_model::{MaskKind, Pattern, Resource};
use tokio_postgres::Client;

/// The most columns that are looked at.
const COLUMNS: &str = "
SELECT n.nspname::text, c.relname::text, a.attname::text, format_type(a.atttypid, a.atttypmod)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition AND a.attnum > 0 AND NOT a.attisdropped
    AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
ORDER BY 1, 2, a.attnum LIMIT 200000";

/// Words of a name, what a column with them seems to hold, and the mask that would suit.
const SIGNS: [(&[&str], &str, MaskKind); 12] = [
    (&["password", "passwd", "pwd", "passphrase"], "a password", MaskKind::Withheld),
    (
        &["secret", "token", "apikey", "api key", "private key", "credential", "otp", "pin"],
        "a secret",
        MaskKind::Withheld,
    ),
    (&["cvv", "cvc", "csc"], "a card's check number", MaskKind::Withheld),
    (
        &["ssn", "social security", "national id", "tax id", "passport", "nin", "sin"],
        "a personal number",
        MaskKind::LastFour,
    ),
    (&["iban", "bic", "account number", "bank account", "routing number"], "a bank account", MaskKind::LastFour),
    (&["card number", "cardnumber", "credit card", "pan"], "a card number", MaskKind::LastFour),
    (&["email", "e mail", "mail address"], "an e-mail address", MaskKind::Hash),
    (&["phone", "mobile", "telephone", "msisdn", "fax"], "a telephone number", MaskKind::LastFour),
    (&["birth date", "birthdate", "birthday", "date of birth", "dob"], "a date of birth", MaskKind::Null),
    (&["ip", "ip address", "mac address"], "a network address", MaskKind::Hash),
    (&["salary", "wage"], "somebody's pay", MaskKind::Null),
    (&["diagnosis", "blood type", "religion", "ethnicity"], "health or belief", MaskKind::Null),
];

/// Looks at the columns of the target's own database.
pub(super) struct Suspects;

impl Act for Suspects {
    type Done = Vec<Suspect>;

    async fn act(&self, client: &mut Client) -> Result<Vec<Suspect>, Fault> {
        let mut suspects = Vec::new();
        for row in client.query_typed(COLUMNS, &[]).await? {
            let (column, type_name): (String, String) = (row.try_get(2)?, row.try_get(3)?);
            let Some((holds, kind)) = sign(&column, &type_name) else { continue };
            let named = Resource {
                database: None,
                schema: Pattern::Exact(row.try_get(0)?),
                table: Pattern::Exact(row.try_get(1)?),
                column: Some(column),
            };
            // A name that cannot be written as a resource cannot be masked by a command either.
            if named.to_string().parse::<Resource>().is_ok_and(|read| read == named) {
                suspects.push(Suspect { column: named, type_name, holds, kind });
            }
        }
        Ok(suspects)
    }
}

/// What a column of this name and type seems to hold.
fn sign(name: &str, type_name: &str) -> Option<(&'static str, MaskKind)> {
    let kind_of = type_name.split(['(', '[']).next().unwrap_or_default();
    if matches!(kind_of, "boolean" | "interval") {
        return None;
    }
    let words = words(name);
    let found = SIGNS.iter().find(|(signs, ..)| signs.iter().any(|sign| words.contains(&format!(" {sign} "))));
    let by_type = matches!(kind_of, "inet" | "cidr" | "macaddr").then_some(("a network address", MaskKind::Hash));
    let (holds, kind) = found.map(|(_, holds, kind)| (*holds, kind.clone())).or(by_type)?;
    let is_text =
        matches!(kind_of, "text" | "character varying" | "character" | "citext") || kind_of.ends_with(".citext");
    // What is shown in part or hashed is text.
    let kind = if is_text || matches!(kind, MaskKind::Withheld) { kind } else { MaskKind::Null };
    Some((holds, kind))
}

/// ` birth date ` of `birthDate`, `birth_date` and `BIRTH-DATE`.
fn words(name: &str) -> String {
    let mut text = " ".to_owned();
    let mut small_before = false;
    for char in name.chars() {
        if char.is_uppercase() && small_before {
            text.push(' ');
        }
        small_before = char.is_lowercase() || char.is_numeric();
        if char.is_alphanumeric() { text.extend(char.to_lowercase()) } else { text.push(' ') }
    }
    text.push(' ');
    text.split_whitespace().fold(" ".to_owned(), |joined, word| joined + word + " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_by_their_words() {
        for (name, type_name, holds) in [
            ("email", "text", Some("an e-mail address")),
            ("customerEmail", "character varying(80)", Some("an e-mail address")),
            ("E_MAIL", "text", Some("an e-mail address")),
            ("password_hash", "text", Some("a password")),
            ("birth_date", "date", Some("a date of birth")),
            ("last_seen_from", "inet", Some("a network address")),
            ("email_verified", "boolean", None),
            ("shipping", "text", None),
            ("company", "text", None),
            ("tokenizer", "text", None),
        ] {
            assert_eq!(sign(name, type_name).map(|(holds, _)| holds), holds, "{name}");
        }
        assert_eq!(sign("birth_date", "date").unwrap().1, MaskKind::Null);
        assert_eq!(sign("phone", "text").unwrap().1, MaskKind::LastFour);
        assert_eq!(sign("phone", "bigint").unwrap().1, MaskKind::Null);
    }
}
