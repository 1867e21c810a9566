//! The rows that a transaction wrote in a large table, found without looking at all of it.
//!
//! Where they may lie is guessed: from what its statements compare with constants, from the keys of the rows found so
//! far, from foreign keys, and from the end of the table, where new rows mostly go. The guess is taken only if exactly
//! as many rows were found as the target counted.

use super::clue::Clue;
use super::describe::Described;
use super::judge::Written;
use super::scan::{MARKED, Scan, text, version};
use super::take::Gone;
use super::version::Version;
use super::{Ask, CaptureError, Limits, Row, places};
use belay_change::read_some;
use postgres_protocol::escape::escape_literal;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// Tables up to so many bytes are scanned as fast as anything is found in them.
const SMALL: u64 = 1 << 20;
/// Rows that are looked for by key.
const MOST_ROWS: u64 = 20_000;
/// So many old rows are taken with their images as they are found, before it is known whose they are.
const AT_ONCE: u64 = 1000;
/// Bytes of images that are held until their number is proven.
const MOST_BYTES: usize = 64 << 20;
/// Pages at the end of a table that are looked at for new rows.
const TAIL: u64 = 64;
/// Pages that are looked at because old rows lie there.
const MOST_PAGES: usize = 64;
/// Indexes of a table whose ends are looked at.
const MOST_INDEXES: usize = 8;
/// With so many keys for each statement the new rows are looked for by what the statements say first.
const KEYS_A_CLUE: usize = 100;
/// Rounds in which rows are followed that refer to rows of their own table.
const ROUNDS: usize = 16;
/// Milliseconds for one look. A guess that leads to more is a bad one.
const PATIENCE: u32 = 2000;

/// Ends a look within the writer's transaction.
const BACK: &str = "ROLLBACK TO SAVEPOINT belay_key; RELEASE SAVEPOINT belay_key";

/// The images of a table before and after.
type Found = (Vec<String>, Vec<String>);

/// Row versions with their images.
#[derive(Default)]
struct Versions {
    images: BTreeMap<Version, String>,
    bytes: usize,
}

impl Versions {
    /// Beyond the bound it takes no more, and so the number does not come out.
    fn add(&mut self, version: Version, image: &str) {
        if self.bytes + image.len() <= MOST_BYTES && self.images.insert(version, image.to_owned()).is_none() {
            self.bytes += image.len();
        }
    }

    fn len(&self) -> u64 {
        self.images.len() as u64
    }
}

/// What was found so far.
#[derive(Default)]
struct Sides {
    old: Versions,
    new: Versions,
    /// Where new rows were looked for already.
    asked: Option<String>,
}

/// Whether to look by key first: not in a small table, nor for so many rows that a scan is faster.
pub(super) fn worthwhile(written: &Written, about: &Described, limits: &Limits) -> bool {
    let rows = written.before().max(written.after());
    rows <= MOST_ROWS && about.bytes > SMALL && (rows <= 2 * about.pages() || about.bytes > limits.scan)
}

/// What is looked for.
pub(super) struct Search<'a> {
    pub(super) scan: &'a Scan<'a>,
    pub(super) written: &'a Written,
    pub(super) clues: &'a [Clue],
    pub(super) gone: &'a Gone,
    pub(super) described: &'a HashMap<u32, Described>,
}

impl Search<'_> {
    /// The images, if they are proven to be all.
    pub(super) async fn run(
        &self,
        writer: &mut dyn Ask,
        outsider: &mut dyn Ask,
    ) -> Result<Option<Found>, CaptureError> {
        let mut found = Sides::default();
        self.before(writer, outsider, &mut found).await?;
        if found.old.len() != self.written.before() {
            return Ok(None);
        }
        self.after(writer, outsider, &mut found).await?;
        if found.new.len() != self.written.after() {
            return Ok(None);
        }
        Ok(Some((found.old.images.into_values().collect(), found.new.images.into_values().collect())))
    }

    fn about(&self) -> &Described {
        self.scan.about
    }

    async fn before(
        &self,
        writer: &mut dyn Ask,
        outsider: &mut dyn Ask,
        found: &mut Sides,
    ) -> Result<(), CaptureError> {
        if self.written.before() == 0 {
            return Ok(());
        }
        for condition in self.told().chain(self.referring(self.gone)) {
            self.old_where(writer, outsider, &condition, found).await?;
            if found.old.len() >= self.written.before() {
                return Ok(());
            }
        }
        let about = self.about();
        let to_itself = about.references.iter().filter(|reference| reference.parent == about.table.oid);
        let referred: Vec<u16> = to_itself.filter_map(|reference| reference.places(about)).flatten().collect();
        for _ in 0..ROUNDS {
            let before = found.old.len();
            let own = Gone::from([(about.table.oid, self.fields(&found.old, &referred))]);
            for condition in self.referring(&own) {
                self.old_where(writer, outsider, &condition, found).await?;
            }
            if found.old.len() >= self.written.before() || found.old.len() == before {
                break;
            }
        }
        Ok(())
    }

    async fn old_where(
        &self,
        writer: &mut dyn Ask,
        outsider: &mut dyn Ask,
        condition: &str,
        found: &mut Sides,
    ) -> Result<(), CaptureError> {
        if self.written.before() <= AT_ONCE && self.old_at_once(writer, outsider, condition, found).await? {
            return Ok(());
        }
        // Rows that others locked are among them.
        let most = 2 * self.written.before() + 1000;
        let sql = patiently(&format!(
            "SELECT ctid, xmin FROM ONLY {} WHERE ({condition}) AND {MARKED} LIMIT {most}",
            self.about().quoted()
        ));
        let marked = match self.scan.marked(outsider, &sql).await {
            Err(CaptureError::Target { .. }) => return given_up(outsider).await,
            other => other?,
        };
        let add = &mut |version, image: &str| {
            found.old.add(version, image);
            Ok(())
        };
        self.scan.own(writer, outsider, &marked, add).await
    }

    /// Takes few rows with their images. Whether these were all: not where somebody else marked rows, or a savepoint did.
    async fn old_at_once(
        &self,
        writer: &mut dyn Ask,
        outsider: &mut dyn Ask,
        condition: &str,
        found: &mut Sides,
    ) -> Result<bool, CaptureError> {
        let most = self.written.before().saturating_sub(found.old.len()) + 1;
        let sql = patiently(&format!("{} LIMIT {most}", self.scan.marked_images(condition)));
        let (mut marked, mut seen, mut ours) = (Versions::default(), 0, true);
        let see = &mut |row: Row| {
            seen += 1;
            ours &= text(&row, 3)? == "t";
            marked.add(version(&row)?, text(&row, 2)?);
            Ok(())
        };
        match outsider.each(&sql, see).await {
            // The longer way finds out whether it is the condition.
            Err(CaptureError::Target { .. }) => return given_up(outsider).await.map(|()| false),
            other => other?,
        }
        if !ours || seen >= most || marked.len() < seen {
            return Ok(false);
        }
        if seen == 0 {
            return Ok(true);
        }
        let Some(alive) = self.alive(writer, &marked, found).await? else {
            return Ok(false);
        };
        for (version, image) in marked.images.iter().filter(|(version, _)| !alive.contains(version)) {
            found.old.add(*version, image);
        }
        Ok(true)
    }

    /// Those of the old rows that the transaction still sees, as it only locked them. Where they are all that is looked
    /// for, the new rows are asked for by them in the same message. Nothing where the look failed.
    async fn alive(
        &self,
        writer: &mut dyn Ask,
        marked: &Versions,
        found: &mut Sides,
    ) -> Result<Option<HashSet<Version>>, CaptureError> {
        let versions: Vec<Version> = marked.images.keys().copied().collect();
        let wanted = marked.len() == self.written.before() && found.new.len() < self.written.after();
        let Some(condition) = self.conditions(marked).into_iter().next().filter(|_| wanted) else {
            return self.scan.alive(writer, &versions).await.map(Some);
        };
        let mut alive = HashSet::new();
        let see = &mut |row: Row| {
            match row.len() {
                2 => drop(alive.insert(version(&row)?)),
                _ => found.new.add(version(&row)?, text(&row, 2)?),
            }
            Ok(())
        };
        let sql = format!("{}; {}", self.scan.are_alive(&versions), self.scan.made(&condition));
        match writer.each(&looked(&sql), see).await {
            Err(CaptureError::Target { .. }) => writer.ask(BACK).await.map(|_| None),
            other => {
                found.asked = Some(condition);
                other.map(|()| Some(alive))
            }
        }
    }

    async fn after(&self, writer: &mut dyn Ask, outsider: &mut dyn Ask, found: &mut Sides) -> Result<(), CaptureError> {
        if found.new.len() >= self.written.after() {
            return Ok(());
        }
        for condition in self.conditions(&found.old) {
            if found.new.len() >= self.written.after() {
                return Ok(());
            }
            if found.asked.as_ref() != Some(&condition) {
                self.new_where(writer, &condition, &mut found.new).await?;
            }
        }
        let about = self.about();
        for place in about.leading.iter().filter(|place| about.plain.contains(place)).take(MOST_INDEXES) {
            if found.new.len() >= self.written.after() {
                break;
            }
            let ends = [self.numbered(*place, writer).await?, self.beyond(*place, outsider).await?];
            for condition in ends.into_iter().flatten() {
                self.new_where(writer, &condition, &mut found.new).await?;
            }
        }
        Ok(())
    }

    /// Where new rows may lie, as the old ones and the statements say.
    fn conditions(&self, old: &Versions) -> Vec<String> {
        let about = self.about();
        let (key, columns) = (&about.table.key, about.table.columns.len());
        let of_row = |image: &String| read_some(image.as_bytes(), columns, key).ok()?.into_iter().collect();
        let keys: Vec<Vec<String>> = old.images.values().filter_map(of_row).collect();
        let by_key = places::among(key, &keys, about).into_iter().chain([self.pages(old)]);
        // The target ponders long over a long list of keys, and few rows leave the range that a statement has named.
        if self.clues.len() * KEYS_A_CLUE < keys.len() {
            self.told().chain(by_key).collect()
        } else {
            by_key.chain(self.told()).collect()
        }
    }

    async fn new_where(&self, writer: &mut dyn Ask, condition: &str, found: &mut Versions) -> Result<(), CaptureError> {
        let sql = looked(&self.scan.made(condition));
        let add = &mut |row: Row| {
            found.add(version(&row)?, text(&row, 2)?);
            Ok(())
        };
        match writer.each(&sql, add).await {
            // The guess made no sense; what it gave until then is true.
            Err(CaptureError::Target { .. }) => writer.ask(BACK).await.map(|_| ()),
            other => other,
        }
    }

    /// Conditions from what the statements say.
    fn told(&self) -> impl Iterator<Item = String> {
        self.clues.iter().filter_map(|clue| places::of_clue(clue, self.about()))
    }

    /// Conditions for rows that refer to rows which are gone.
    fn referring(&self, gone: &Gone) -> Vec<String> {
        let mut conditions = Vec::new();
        for reference in &self.about().references {
            let parent = self.described.get(&reference.parent);
            let Some((rows, places)) = gone.get(&reference.parent).zip(parent.and_then(|it| reference.places(it)))
            else {
                continue;
            };
            let tuple = |row: &HashMap<u16, String>| {
                places.iter().map(|place| row.get(place).cloned()).collect::<Option<Vec<String>>>()
            };
            let tuples: Vec<Vec<String>> = rows.iter().filter_map(tuple).collect();
            conditions.extend(places::among(&reference.columns, &tuples, self.about()));
        }
        conditions
    }

    /// The pages of the old rows, where an update leaves the new ones if there is room, and the last ones.
    fn pages(&self, old: &Versions) -> String {
        let about = self.about();
        let tail = about.pages().saturating_sub(TAIL + self.written.after() / 16);
        let pages: BTreeSet<u32> = old.images.keys().map(|version| version.page).collect();
        let one = |page: &u32| format!("ctid >= '({page},0)' AND ctid < '({},0)'", u64::from(*page) + 1);
        let known = if pages.len() <= MOST_PAGES { pages.iter().map(one).collect() } else { Vec::new() };
        std::iter::once(format!("ctid >= '({tail},0)'")).chain(known).collect::<Vec<_>>().join(" OR ")
    }

    /// The last numbers that the connection was given for a column.
    async fn numbered(&self, place: u16, writer: &mut dyn Ask) -> Result<Option<String>, CaptureError> {
        let about = self.about();
        let (true, Some(column)) = (self.scan.judged.moved_sequences(), about.table.columns.get(usize::from(place)))
        else {
            return Ok(None);
        };
        let sql = format!(
            "SAVEPOINT belay_key; SELECT currval(pg_get_serial_sequence({}, {})); {BACK}",
            escape_literal(&about.quoted()),
            escape_literal(&column.name)
        );
        let rows = match writer.ask(&sql).await {
            Err(CaptureError::Target { .. }) => {
                writer.ask(BACK).await?;
                return Ok(None);
            }
            other => other?,
        };
        let last: Option<i64> = rows.first().and_then(|row| row.first()?.as_deref()?.parse().ok());
        let reach = i64::try_from(self.written.after()).unwrap_or(0).saturating_mul(4).saturating_add(100);
        let name = places::name(place, about);
        Ok(last.map(|last| format!("{name} BETWEEN '{}' AND '{last}'", last.saturating_sub(reach))))
    }

    /// What comes after the greatest value of a column that was there before: rows are numbered, or dated.
    async fn beyond(&self, place: u16, outsider: &mut dyn Ask) -> Result<Option<String>, CaptureError> {
        let about = self.about();
        let name = places::name(place, about);
        let sql =
            format!("SELECT {name} FROM ONLY {} WHERE {name} IS NOT NULL ORDER BY {name} DESC LIMIT 1", about.quoted());
        let rows = match outsider.ask(&patiently(&sql)).await {
            Err(CaptureError::Target { .. }) => {
                given_up(outsider).await?;
                return Ok(None);
            }
            other => other?,
        };
        let greatest = rows.first().and_then(|row| row.first()?.as_deref());
        Ok(greatest.map(|value| format!("{name} > {}", escape_literal(value))))
    }

    /// Some fields of rows, without those that are NULL.
    fn fields(&self, versions: &Versions, wanted: &[u16]) -> Vec<HashMap<u16, String>> {
        let columns = self.about().table.columns.len();
        let row = |image: &String| {
            let fields = read_some(image.as_bytes(), columns, wanted).ok()?;
            Some(wanted.iter().copied().zip(fields).filter_map(|(place, field)| Some((place, field?))).collect())
        };
        versions.images.values().filter_map(row).collect()
    }
}

/// One look of the writer. After an error it is to be ended by [`BACK`].
fn looked(sql: &str) -> String {
    format!(
        "SAVEPOINT belay_key; SET LOCAL enable_seqscan = off; SET LOCAL statement_timeout = {PATIENCE}; {sql}; {BACK}"
    )
}

/// One look of the outsider.
fn patiently(sql: &str) -> String {
    format!("BEGIN; SET LOCAL enable_seqscan = off; SET LOCAL statement_timeout = {PATIENCE}; {sql}; COMMIT")
}

/// Ends a look that failed.
async fn given_up(outsider: &mut dyn Ask) -> Result<(), CaptureError> {
    outsider.ask("ROLLBACK").await.map(|_| ())
}
